"""What a BEIRARegressor refuses of its parameters before anything is computed."""

from numbers import Integral

import torch

from .._utils.warn import warn_user
from .nets import ARCHITECTURES, estimates_own_volume_only, starts_from_data
from .skorch_net import network_class

# Defaults that count samples.
_FOR_100_HZ = {"n_taps": 101, "segment": 50}

# What fit sets on the net itself: skorch_params may not set it a second time, with another meaning.
_OWN_NET_PARAMS = {
    "module": "architecture",
    "criterion": "loss",
    "max_epochs": "max_epochs",
    "batch_size": "batch_size",
    "lr": "lr",
    "optimizer__lr": "lr",
    "optimizer__weight_decay": "weight_decay",
    "device": "device",
    "train_split": "validation_fraction",
    "verbose": "verbose",
    "iterator_train__collate_fn": None,
    "iterator_valid__collate_fn": None,
}


def check_settings(model):
    """Check parameters that exclude each other, or that no network can be built from.

    Parameters
    ----------
    model : BEIRARegressor
        Only its parameters are read.

    Raises
    ------
    ValueError
        If parameters exclude each other, something is set twice, or the network would stay
        untrained.
    TypeError
        If ``architecture`` is a class that is no torch module.
    """
    _check_network(model)
    _check_sizes(model)
    _check_net_params(model)


def rate_to_start(model, X):
    """Find the sampling rate that a start from the data needs.

    Parameters
    ----------
    model : BEIRARegressor
        Only its parameters are read.
    X : EEGWindows
        Checked EEG.

    Returns
    -------
    sfreq : float or None
        In Hz; None where nothing is filtered.

    Raises
    ------
    ValueError
        If the sampling rate of X is unknown.
    """
    # A table of features has no time to filter in.
    if not starts_from_data(network_class(model)) or X.shape[2] == 1:
        return None
    sfreq = X.sfreq
    if all(getattr(model, name) == n for name, n in _FOR_100_HZ.items()) and not (
        75 <= sfreq <= 150
    ):
        warn_user(
            f"X is sampled at {sfreq:g} Hz, but n_taps={model.n_taps} and "
            f"segment={model.segment} count samples and are made for 100 Hz: filters are "
            f"{model.n_taps / sfreq:.2f} s long and segments {model.segment / sfreq:.2f} s. Put "
            f"EEGFilter(sfreq=100) in front, or set both."
        )
    return sfreq


def _check_network(model):
    network = network_class(model)
    if not issubclass(network, torch.nn.Module):
        raise TypeError(
            f"architecture must be one of {', '.join(map(repr, ARCHITECTURES))} or a class "
            f"derived from torch.nn.Module, got the class {network.__name__}."
        )
    if model.mode == "many_to_many" and estimates_own_volume_only(network):
        raise ValueError(
            f"{network.__name__} estimates only the volume of a window, but "
            f"mode='many_to_many' asks for every volume inside it; set mode='many_to_one'."
        )
    if model.stride == "window" and model.mode != "many_to_many":
        raise ValueError(
            f"stride='window' leaves out the windows of most volumes, but mode={model.mode!r} "
            f"needs the window of each; set mode='many_to_many'."
        )
    if not model.max_epochs and not starts_from_data(network):
        raise ValueError(
            f"max_epochs=0 would leave {network.__name__} untrained; give max_epochs, or take "
            f"make_paper_beira() for the published network and its training."
        )
    own = model.get_params(deep=False)
    for name in model.network_params or {}:
        if name in own:
            raise ValueError(
                f"network_params may not hold {name!r}; set {name} of BEIRARegressor instead."
            )
        if name in ("n_channels", "n_rois", "n_times"):
            raise ValueError(f"network_params may not hold {name!r}; it is set by fit.")


def _check_sizes(model):
    for name in ("kernel_sizes", "pool_sizes"):
        sizes = getattr(model, name)
        if not all(isinstance(s, Integral) and s >= 1 for s in sizes):
            raise ValueError(f"{name} must hold whole numbers of at least 1, got {sizes!r}.")
    if len(model.kernel_sizes) != len(model.pool_sizes) + 1:
        raise ValueError(
            f"kernel_sizes needs one entry more than pool_sizes, got "
            f"{len(model.kernel_sizes)} and {len(model.pool_sizes)}."
        )
    for name, sizes in (("n_taps", [model.n_taps]), ("kernel_sizes", model.kernel_sizes)):
        if any(size % 2 == 0 for size in sizes):
            raise ValueError(f"{name} must be odd, got {getattr(model, name)!r}.")


def _check_net_params(model):
    if model.checkpoint is not None and (model.skorch_params or {}).get("callbacks"):
        raise ValueError(
            "checkpoint cannot continue what the callbacks in skorch_params remember; leave out "
            "one of the two."
        )
    for name in model.skorch_params or {}:
        if name in _OWN_NET_PARAMS or name.startswith(("module__", "criterion__")):
            own = _OWN_NET_PARAMS.get(name)
            hint = f"set {own} of BEIRARegressor instead" if own else "it is set by fit"
            raise ValueError(f"skorch_params may not hold {name!r}; {hint}.")
