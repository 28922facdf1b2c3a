"""Progress of long fits."""

import multiprocessing

from skorch.callbacks import Callback
from tqdm import tqdm

# Time in s before a bar is shown.
DELAY = 5.0


class EpochProgress(Callback):
    """A bar over epochs, shown only when training lasts longer than a moment.

    Parameters
    ----------
    max_epochs : int
        Length of the bar.
    """

    def __init__(self, max_epochs):
        self.max_epochs = max_epochs

    def on_train_begin(self, net, **kwargs):
        """Start the bar, silent in worker processes, whose bars would write over each other."""
        silent = multiprocessing.current_process().name != "MainProcess"
        self.bar_ = tqdm(
            total=self.max_epochs, delay=DELAY, leave=False, unit="epoch", disable=silent
        )

    def on_epoch_end(self, net, **kwargs):
        """Advance by one epoch."""
        row = net.history[-1]
        losses = {name: row[name] for name in ("train_loss", "valid_loss") if name in row}
        self.bar_.set_postfix(losses, refresh=False)
        self.bar_.update()

    def on_train_end(self, net, **kwargs):
        """Remove the bar."""
        self.bar_.close()
        del self.bar_  # a bar holds an open stream, which cannot be pickled with the net
