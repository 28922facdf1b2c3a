"""What a BEIRARegressor is composed of: its network, and the skorch net that trains it."""

import inspect
import multiprocessing

import numpy as np
import skorch
import torch
from skorch.callbacks import Callback, EarlyStopping
from skorch.helper import predefined_split
from skorch.utils import noop
from tqdm import tqdm

from .batches import keep_batch
from .nets import ARCHITECTURES, estimates_own_volume_only


def network_class(model):
    """Find the class of a model's network.

    Parameters
    ----------
    model : BEIRARegressor
        Only its parameters are read.

    Returns
    -------
    network : type
        The class.
    """
    if isinstance(model.architecture, str):
        return ARCHITECTURES[model.architecture]
    return model.architecture


def network_sizes(model, n_times):
    """Collect what the constructor of a model's network gets beside channels and regions.

    Parameters
    ----------
    model : BEIRARegressor
        Only its parameters are read.
    n_times : int
        Samples of a window.

    Returns
    -------
    sizes : dict
        Those parameters of the model that the signature names, and its ``network_params``.
    """
    given = {**model.get_params(deep=False), "n_times": n_times}
    names = list(inspect.signature(network_class(model)).parameters)[2:]
    return {name: given[name] for name in names if name in given} | (model.network_params or {})


def build_network(model, X, n_rois):
    """Build the network of a model, and make sure that it gives what it should.

    Parameters
    ----------
    model : BEIRARegressor
        Its parameters and ``eeg_scale_``.
    X : EEGWindows
        Training EEG in V.
    n_rois : int
        Regions.

    Returns
    -------
    network : nn.Module
        With its first weights.

    Raises
    ------
    TypeError
        If it cannot be built from the parameters there are.
    ValueError
        If its output has another shape than it should.
    """
    network, sizes = network_class(model), network_sizes(model, X.shape[2])
    try:
        inspect.signature(network).bind(X.shape[1], n_rois, **sizes)
    except TypeError as error:
        raise TypeError(
            f"{network.__name__} cannot be built as {network.__name__}(n_channels, n_rois, "
            f"{', '.join(f'{name}=...' for name in sizes)}): {error}; what a network needs "
            f"beside the parameters of BEIRARegressor and n_times goes into network_params."
        ) from None
    network = network(X.shape[1], n_rois, **sizes)
    _check_output(network, np.array(X[:2], dtype=np.float32) / model.eeg_scale_, n_rois)
    return network


class Net(skorch.NeuralNet):
    """The net of skorch, with epochs that do not wait for the device after every step."""

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """Train or validate for an epoch; losses are read from the device when it is over."""
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
        finally:  # an epoch that is interrupted has losses, too
            losses = torch.stack([loss for _, loss in found]).cpu().tolist() if found else []
            for (record, _), loss in zip(found, losses, strict=True):
                record[f"{prefix}_loss"] = loss
        self.history_.record(f"{prefix}_batch_count", len(found))


def make_net(model, module, criterion, batch_size, validation=None, tiles=None, checkpoint=None):
    """Compose the skorch net of a BEIRARegressor.

    Parameters
    ----------
    model : BEIRARegressor
        Its parameters and ``device_``.
    module : AtVolumes
        What is trained.
    criterion : nn.Module
        Loss.
    batch_size : int
        Windows per step.
    validation : VolumeBatches or None
        What decides which epoch's weights are kept.
    tiles : Tiles or None
        Which windows an epoch reads, where not all of them.
    checkpoint : Checkpoint or None
        Keeps the state of the training.

    Returns
    -------
    net : Net
        Not initialized.
    """
    callbacks = list((model.skorch_params or {}).get("callbacks") or [])
    if validation is not None:
        stop = EarlyStopping(
            patience=model.patience or model.max_epochs + 1,
            threshold=0.0,
            threshold_mode="abs",  # "rel" takes a worse value of a negative loss for better
            load_best=True,
            sink=noop,
        )
        callbacks.append(("keep_best", stop))
    if model.verbose:
        callbacks.append(("progress", EpochProgress(model.max_epochs)))
    if checkpoint is not None:
        callbacks.append(("checkpoint", checkpoint))
    order = {"iterator_train__shuffle": True}
    if tiles is not None:
        order = {"iterator_train__sampler": tiles}
    params = {
        "optimizer": torch.optim.AdamW,
        **order,
        **(model.skorch_params or {}),
        "callbacks": callbacks,
    }
    return Net(
        module,
        criterion,
        lr=model.lr,
        optimizer__weight_decay=model.weight_decay,
        max_epochs=model.max_epochs,
        batch_size=batch_size,
        train_split=None if validation is None else predefined_split(validation),
        iterator_train__collate_fn=keep_batch,
        iterator_valid__collate_fn=keep_batch,
        device=model.device_,
        verbose=max(int(model.verbose) - 1, 0),
        **params,
    )


def even_batches(n_windows, batch_size):
    """Find the least batch size, from the one asked for, that leaves no window alone in the last.

    A batch norm cannot be trained on one window of one time point, nor well on one window.

    Parameters
    ----------
    n_windows : int
        Windows of an epoch.
    batch_size : int
        Least windows per step.

    Returns
    -------
    batch_size : int
        Windows per step.
    """
    while n_windows % batch_size == 1 and batch_size > 1:
        batch_size += 1
    return batch_size


def resolve_device(device):
    """Find the device to compute on.

    Parameters
    ----------
    device : str
        As given.

    Returns
    -------
    device : str
        As torch names it.

    Raises
    ------
    ValueError
        If it is not available here.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if not computes(device):
        raise ValueError(
            f"device={device!r} is not available here; use 'auto', which takes CUDA where there is "
            f"one, 'cpu', or the name of a GPU that torch finds, 'cuda' or 'cuda:1'."
        )
    return device


def computes(device):
    """Tell whether there is a device of this name here, by getting a number from it.

    Parameters
    ----------
    device : str
        As torch names it.

    Returns
    -------
    there : bool
        False as well for "meta", which has no numbers, and for what names no device.
    """
    try:
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, ImportError):  # torch has a class for every kind
        return False
    return True


def _check_output(network, eeg, n_rois):
    eeg = torch.from_numpy(eeg)
    expected, axes = (len(eeg), n_rois, eeg.shape[2]), "(n_windows, n_rois, n_times)"
    if estimates_own_volume_only(network):
        expected, axes = expected[:2], "(n_windows, n_rois)"
    # As in prediction: nothing is drawn, no norm learns. Lazy layers get their sizes here.
    network.eval()
    with torch.no_grad():
        found = tuple(network(eeg).shape)
    network.train()
    if found != expected:
        raise ValueError(
            f"{type(network).__name__} maps EEG of shape {tuple(eeg.shape)} to {found}, "
            f"expected {expected}, that is {axes}; a network that estimates only the volume of "
            f"the window has the class attribute own_volume_only = True and returns "
            f"(n_windows, n_rois)."
        )


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
