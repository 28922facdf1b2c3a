"""Training by gradients: the skorch net, and the function that trains a network with it."""

import multiprocessing

import skorch
import torch
from skorch.callbacks import Callback, EarlyStopping
from skorch.helper import predefined_split
from skorch.utils import noop
from tqdm import tqdm

from .._utils.interrupts import interrupts
from .batches import Tiles, keep_batch, make_batches, place_eeg
from .nets import AtVolumes
from .nets.calibration import calibrating
from .nets.losses import WeightedLoss, parse_loss

# Seconds before a progress bar is shown.
DELAY = 5.0


class Net(skorch.NeuralNet):
    """Net of skorch that reads losses from the device once per epoch, not once per batch.

    ``interrupts`` holds an entry for each Ctrl-C during the training, which skorch swallows: it
    takes a KeyboardInterrupt for the wish of a callback to stop.
    """

    interrupts = ()

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """Train or validate for an epoch, and record the losses at its end."""
        if iterator is None:
            return
        found = []  # (record of the batch, loss)
        try:
            for batch in iterator:
                self.notify("on_batch_begin", batch=batch, training=training)
                step = step_fn(batch, **fit_params)
                found.append((self.history_[-1]["batches"][-1], step["loss"].detach()))
                self.history_.record_batch(f"{prefix}_batch_size", len(batch[0]["eeg"]))
                self.notify("on_batch_end", batch=batch, training=training, **step)
        finally:  # an interrupted epoch has losses, too
            losses = torch.stack([loss for _, loss in found]).cpu().tolist() if found else []
            for (record, _), loss in zip(found, losses, strict=True):
                record[f"{prefix}_loss"] = loss
        self.history_.record(f"{prefix}_batch_count", len(found))


def train_network(
    network, X, y, scale, architecture, training, *, validation, checkpoint, random, verbose
):
    """Train a network by gradients.

    Parameters
    ----------
    network : nn.Module
        With its initial weights, on the device to train on; changed in place.
    X : EEGWindows
        Training EEG in V.
    y : ndarray, shape (n_volumes, n_rois)
        Standardized BOLD.
    scale : float
        The EEG is divided by this number.
    architecture : Architecture
        Volumes that a window estimates, and windows that are read.
    training : Training
        Settings.
    validation : tuple of (EEGWindows, ndarray) or None
        EEG and BOLD that choose the epoch whose weights are kept.
    checkpoint : Checkpoint or None
        Saves the state of the training.
    random : PrivateRandomNumbers
        Random numbers for dropout and the order of windows, on the device of the network.
    verbose : bool or int
        As of BEIRARegressor.

    Returns
    -------
    net : Net
        Trained; ``net.module_.network`` is the network. After a Ctrl-C, ``net.interrupts`` is not
        empty, and the weights are the best so far.
    """
    device = random.device
    # Processes that load batches cannot reach the device.
    workers = any(name.endswith("__num_workers") for name in training.skorch_params or {})
    place = "cpu" if workers else device
    mode, stride = architecture.mode, architecture.stride
    eeg = place_eeg(X, scale, place)
    batches = make_batches(X, eeg, y, mode=mode, stride="volume")
    if validation is not None:
        held_out, y_held_out = validation
        eeg_held_out = place_eeg(held_out, scale, place)
        validation = make_batches(held_out, eeg_held_out, y_held_out, mode=mode, stride=stride)
    tiles = Tiles(X, training.batch_size) if stride == "window" else None
    with random.drawn():
        net = make_net(
            AtVolumes(network),
            training,
            batch_size=training.batch_size if tiles else even_batches(len(X), training.batch_size),
            validation=validation,
            tiles=tiles,
            checkpoint=checkpoint,
            device=device,
            verbose=verbose,
        ).initialize()
        n_epochs = training.max_epochs if checkpoint is None else checkpoint.restore(net)
        with interrupts() as net.interrupts:
            net.partial_fit(batches, None, epochs=n_epochs)
        if not net.interrupts:
            unshuffled = make_batches(X, eeg, mode=mode, stride=stride)
            with calibrating(net.module_), torch.no_grad():
                for batch, _ in net.get_iterator(unshuffled):
                    net.infer(batch)
    # These hold EEG, which a pickled model should not.
    net.train_split = None
    if tiles is not None:
        net.iterator_train__sampler = None
    return net


def make_net(
    module, training, *, batch_size, validation=None, tiles=None, checkpoint=None, device, verbose
):
    """Make the skorch net that trains a network.

    Parameters
    ----------
    module : AtVolumes
        The network at volumes.
    training : Training
        Settings.
    batch_size : int
        Windows per step.
    validation : VolumeBatches or None
        Volumes that choose the epoch whose weights are kept.
    tiles : Tiles or None
        Windows of an epoch; None reads all windows.
    checkpoint : Checkpoint or None
        Saves the state of the training.
    device : str
        Device.
    verbose : bool or int
        As of BEIRARegressor.

    Returns
    -------
    net : Net
        Not initialized.
    """
    given = dict(training.skorch_params or {})
    callbacks = list(given.pop("callbacks", None) or [])
    if validation is not None:
        stop = EarlyStopping(
            patience=training.patience or training.max_epochs + 1,
            threshold=0.0,
            threshold_mode="abs",  # "rel" accepts worse values of a negative loss
            load_best=True,
            sink=noop,
        )
        callbacks.append(("keep_best", stop))
    if verbose:
        callbacks.append(("progress", EpochProgress(training.max_epochs)))
    if checkpoint is not None:
        callbacks.append(("checkpoint", checkpoint))
    order = {"iterator_train__shuffle": tiles is None, "iterator_train__sampler": tiles}
    return Net(
        module,
        WeightedLoss(parse_loss(training.loss)),
        lr=training.lr,
        optimizer__weight_decay=training.weight_decay,
        max_epochs=training.max_epochs,
        batch_size=batch_size,
        train_split=None if validation is None else predefined_split(validation),
        iterator_train__collate_fn=keep_batch,
        iterator_valid__collate_fn=keep_batch,
        device=device,
        verbose=max(int(verbose) - 1, 0),
        callbacks=callbacks,
        **{"optimizer": torch.optim.AdamW, **order, **given},
    )


def even_batches(n_windows, batch_size):
    """Increase the batch size until the last batch has more than one window.

    Batch norms cannot be trained on a single window of one time point, nor well on one window.

    Parameters
    ----------
    n_windows : int
        Windows of an epoch.
    batch_size : int
        Smallest number of windows per step.

    Returns
    -------
    batch_size : int
        Windows per step.
    """
    while n_windows % batch_size == 1 and batch_size > 1:
        batch_size += 1
    return batch_size


class EpochProgress(Callback):
    """Progress bar over epochs, shown if training takes more than a few seconds.

    Parameters
    ----------
    max_epochs : int
        Length of the bar.
    """

    def __init__(self, max_epochs):
        self.max_epochs = max_epochs

    def on_train_begin(self, net, **kwargs):
        """Start the bar; worker processes show none, as their bars would overwrite each other."""
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
