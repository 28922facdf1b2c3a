"""The network of a BEIRARegressor: sizes and weights instead of a pickled module."""

import inspect

import numpy as np
import torch
from sklearn.base import clone
from skorch.history import History

from ..exceptions import ModelFileError
from ..regressor.architectures import ARCHITECTURES, Architecture, CustomNetwork
from ..regressor.nets.devices import computes
from ..regressor.random_numbers import PrivateRandomNumbers
from ..regressor.training import Training

# Far above any size that makes sense, far below what takes long to compute with.
_MAX_SIZE = 10**7
_MAX_LENGTH = 10**4


def describe_network(model, attributes, encoder, where):
    """Describe the network of a fitted model, its weights as arrays.

    Parameters
    ----------
    model : BEIRARegressor
        Fitted or not.
    attributes : dict
        Its fitted attributes.
    encoder : Encoder
        Keeps the weights.
    where : str
        Name of the model.

    Returns
    -------
    tree : dict or None
        ``n_times`` and ``weights``; None for a model not fitted.

    Raises
    ------
    ValueError
        If something of the model cannot be saved.
    """
    if "network_" not in attributes:
        return None
    for name in _skorch_params(model):
        if not _is_of_the_optimizer(name):
            raise ValueError(
                f"{where}.training.skorch_params[{name!r}] cannot be saved; it belongs to the "
                f"training, so set_params(training__skorch_params=None) leaves the predictions as "
                f"they are."
            )
    weights = {}
    for name, tensor in model.network_.state_dict().items():
        path = f"{where}.network.{name}"
        if not isinstance(tensor, torch.Tensor) or tensor.dtype is torch.bfloat16:
            raise ValueError(f"{path} cannot be saved: it is no tensor of a type numpy knows.")
        weights[name] = encoder.encode(tensor.detach().cpu().numpy(), path)
    return {"n_times": model._n_times, "weights": weights}


def record_network(attributes):
    """Fitted attributes of a model as values that can be encoded.

    Parameters
    ----------
    attributes : dict
        As they are.

    Returns
    -------
    attributes : dict
        Without the nets, the history as a list of its epochs, without the batches in them.
    """
    kept = {name: v for name, v in attributes.items() if name not in ("net_", "network_")}
    if "history_" in kept:
        kept["history_"] = [
            {name: value for name, value in epoch.items() if name != "batches"}
            for epoch in kept["history_"]
        ]
    return kept


def add_network(model, tree, decoder):
    """Build the network of a model, check the weights, and put them in.

    Parameters
    ----------
    model : BEIRARegressor
        With its parameters and attributes, but without net.
    tree : dict or None
        As from ``describe_network``.
    decoder : Decoder
        Reads the weights.

    Raises
    ------
    ModelFileError
        If the weights are not those of the network that the parameters describe.
    """
    if tree is None:
        return
    n_times, weights = tree.get("n_times"), tree.get("weights")
    if not isinstance(weights, dict) or not _is_size(n_times):
        raise ModelFileError("it describes a network without window and weights")
    for name in _skorch_params(model):
        if not _is_of_the_optimizer(name):
            raise ModelFileError(f"it sets {name!r} of the net, which no saved model does")
    build = _builder(model, n_times, n_weights=len(weights))
    # Without memory first: the sizes are a stranger's until the weights have them as well.
    with torch.device("meta"):
        expected = build().state_dict()
    found = {name: decoder.kind_of(weight) for name, weight in weights.items()}
    wanted = {name: _kind_of(tensor) for name, tensor in expected.items()}
    for name in sorted(set(found) ^ set(wanted)):
        raise ModelFileError(f"the weights {name[:80]!r} are too many or missing")
    for name, kind in wanted.items():
        if kind is not None and kind != found[name]:
            raise ModelFileError(
                f"the weights {name!r} are {found[name]}, but the parameters ask for {kind}"
            )
    # What the constructor draws is replaced, and must not move the caller's random numbers.
    with PrivateRandomNumbers().drawn():
        network = build()
        network.load_state_dict(
            {name: torch.from_numpy(decoder.decode(w).copy()) for name, w in weights.items()}
        )
    if not isinstance(model.device_, str) or not computes(model.device_):
        # That of the training is not here; a fit takes what there is.
        model.device, model.device_ = "auto", "cpu"
    model.network_ = network.to(model.device_).eval()
    if "history_" in vars(model):
        epochs = _check_history(model.history_)
        model.history_ = History()
        model.history_.extend(epochs)


def _builder(model, n_times, n_weights):
    """Make what builds the network that the parameters of a model describe."""
    architecture = model.architecture_
    if not isinstance(architecture, Architecture):
        raise ModelFileError(f"its architecture is a {type(architecture).__name__}")
    architecture._check()
    n_channels, n_rois = model.n_features_in_, len(model.target_mean_)
    if model.target_mean_.shape != (n_rois,) or model.target_scale_.shape != (n_rois,):
        raise ModelFileError("its regions have no mean and standard deviation each")
    sizes = architecture.get_params(deep=False)
    _check_sizes([n_channels, n_rois, *sizes.values(), *(sizes.get("params") or {}).values()])
    if sizes.get("n_blocks", 0) > n_weights:
        raise ModelFileError("its network has more blocks than weights")
    return lambda: architecture.make_network(n_channels, n_rois, n_times)


# Parameters of a BEIRARegressor in files of before architectures and trainings, under new names.
_RENAMED = {"net_params": "skorch_params", "start_": "closed_form_"}
FLAT_PARAMETERS = (
    *("architecture", "network_params", "n_branches", "n_taps", "bands", "rectifier", "segment"),
    *("encoder_width", "decoder_width", "kernel_sizes", "pool_sizes", "dropout", "mode", "stride"),
    *("loss", "max_epochs", "batch_size", "lr", "weight_decay", "validation_fraction"),
    *("validation_gap", "patience", "device", "skorch_params", "net_params"),
    *("checkpoint", "verbose", "random_state"),
)


def modernize(params, attributes):
    """Read the parameters and attributes of a model saved before architectures had parameters.

    Parameters
    ----------
    params, attributes : dict
        As saved, with all sizes and settings as parameters of BEIRARegressor.

    Returns
    -------
    params, attributes : dict
        As of BEIRARegressor today.
    """
    params = {_RENAMED.get(name, name): value for name, value in params.items()}
    attributes = {_RENAMED.get(name, name): value for name, value in attributes.items()}
    given = params.pop("architecture")
    inner = params.pop("network_params", None) or {}
    if isinstance(given, str):
        kind = ARCHITECTURES[given]
        sizes = {**params, **inner}
        names = set(kind().get_params()) & set(sizes)
        architecture = kind(**{name: sizes[name] for name in names})
    else:
        names = list(inspect.signature(given).parameters)[2:]
        inner = {name: params[name] for name in names if name in params} | inner
        architecture = CustomNetwork(given, inner, mode=params["mode"], stride=params["stride"])
    attributes["architecture_"] = architecture
    training = None
    if params["max_epochs"]:
        training = Training(**{name: params[name] for name in Training().get_params()})
    else:
        attributes.pop("history_", None)
    own = {name: params[name] for name in ("device", "verbose", "random_state")}
    return {"architecture": clone(architecture), "training": training, **own}, attributes


def _skorch_params(model):
    return (model.training and model.training.skorch_params) or {}


def _check_sizes(values):
    for value in values:
        if isinstance(value, (list, tuple)):
            if len(value) > _MAX_LENGTH:
                raise ModelFileError("its network has too many layers")
            _check_sizes(value)
        elif isinstance(value, (int, float)) and abs(value) > _MAX_SIZE:
            raise ModelFileError(f"its network has a size of {value}")


def _kind_of(tensor):
    """Type and shape; None for a layer that takes its sizes from its weights."""
    if isinstance(tensor, torch.nn.parameter.UninitializedTensorMixin):
        return None
    dtype = str(tensor.dtype).removeprefix("torch.")
    return np.dtype(dtype), tuple(tensor.shape)


def _check_history(epochs):
    if not isinstance(epochs, list) or not all(isinstance(epoch, dict) for epoch in epochs):
        raise ModelFileError("its history is no list of epochs")
    return epochs


def _is_of_the_optimizer(name):
    return name == "optimizer" or name.startswith("optimizer__")


def _is_size(value):
    return type(value) is int and 1 <= value <= _MAX_SIZE
