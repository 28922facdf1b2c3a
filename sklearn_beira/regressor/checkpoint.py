"""State of a training on disk, from which a killed fit continues."""

import io
import json
import time

import torch
from skorch.callbacks import Callback
from skorch.history import History

from .._utils.files import one_line, read_checked, writable_folder, write_checked
from .._utils.hashing import digest, environment
from .._utils.warn import warn_user

# Seconds between two states on disk, the most that a kill costs.
EVERY = 10.0

# What early stopping remembers.
_STOP = ("misses_", "dynamic_threshold_", "best_model_weights_", "best_epoch_")


class Checkpoint(Callback):
    """Callback that saves the state of a training after epochs, and continues from it.

    A training depends on weights, optimizer, random numbers, history and early stopping only.
    Interrupted or not, it therefore ends with the same weights. This must be the last callback.

    Parameters
    ----------
    folder : path-like
        Folder of the states, one file per fit. It is made if it does not exist.
    *parts : object
        Everything that the fit depends on; the name of the file is their digest.
    """

    def __init__(self, folder, *parts):
        name = f"{digest(environment(), *parts)}.pt"
        self.path = writable_folder(folder, "checkpoint") / name
        self.state, self.finished = None, False
        self._written = time.monotonic()

    def restore(self, net):
        """Load weights, optimizer and history from disk into a net.

        Parameters
        ----------
        net : skorch.NeuralNet
            Initialized. It is not changed if the file is missing or damaged.

        Returns
        -------
        n_epochs : int
            Epochs left to train.
        """
        try:
            content = read_checked(self.path)
        except FileNotFoundError:
            return net.max_epochs
        except (OSError, ValueError):
            warn_user(f"the state of the training in {self.path} is damaged; training begins anew.")
            return net.max_epochs
        # It is what this fit wrote, as a digest of name and content tells.
        self.state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        net.module_.load_state_dict(self.state["module"])
        net.optimizer_.load_state_dict(self.state["optimizer"])
        net.history_ = History()
        net.history_.extend(json.loads(self.state["history"]))
        self.finished = self.state["finished"]
        return 0 if self.finished else net.max_epochs - len(net.history_)

    def on_train_begin(self, net, **kwargs):
        """Restore early stopping and random numbers, which the begin of a training resets."""
        state, self.state = self.state, None
        if state is None:
            return
        stop = _early_stopping(net)
        if stop is not None:
            vars(stop).update(state["stop"])
        torch.set_rng_state(state["random"])
        if _on_cuda(net):
            torch.cuda.set_rng_state_all(state["random_cuda"])

    def on_epoch_end(self, net, **kwargs):
        """Save the state, at most every few seconds."""
        if time.monotonic() - self._written >= EVERY:
            self._write(net, finished=False)

    def on_train_end(self, net, **kwargs):
        """Save the last state, unless Ctrl-C ended the training."""
        if net.interrupts:
            return
        stop = _early_stopping(net)
        stopped = stop is not None and stop.misses_ == stop.patience
        if not self.finished and (stopped or len(net.history_) >= net.max_epochs):
            self._write(net, finished=True)

    def _write(self, net, finished):
        stop = _early_stopping(net)
        state = {
            "module": net.module_.state_dict(),
            "optimizer": net.optimizer_.state_dict(),
            "history": json.dumps(net.history_.to_list()),
            "stop": stop and {name: getattr(stop, name) for name in _STOP},
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if _on_cuda(net) else [],
            "finished": finished,
        }
        if stop:  # a number of numpy's at first
            state["stop"]["dynamic_threshold_"] = float(stop.dynamic_threshold_)
        try:
            content = io.BytesIO()
            torch.save(state, content)
            # torch does not notice a bit that has changed on the disk.
            write_checked(self.path, content.getbuffer())
        except (OSError, RuntimeError) as error:  # torch wraps those of its writer
            warn_user(
                f"the state of the training cannot be written to {self.path} ({one_line(error)}); "
                f"training goes on, but a kill would lose the epochs since the last state."
            )
        self._written = time.monotonic()


def _on_cuda(net):
    return str(net.device).startswith("cuda")


def _early_stopping(net):
    return next((c for name, c in net.callbacks_ if name == "keep_best"), None)
