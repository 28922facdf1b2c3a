"""The network of a BEIRARegressor in a model file: its architecture and its weights."""

import numpy as np
import torch
from skorch.history import History

from ..regressor import BEIRARegressor
from ..regressor.architectures import Architecture, check_architecture
from ..regressor.nets.devices import computes
from ..regressor.random_numbers import PrivateRandomNumbers
from .file import require

# Far above any useful size, far below sizes that take long to compute with.
_MAX_SIZE = 10**7
# Memory that a layer takes without its weights, in bytes.
_LAYER = 2**14


def describe_network(model: BEIRARegressor, encoder, where: str) -> dict | None:
    """Describe the network of a model, with its weights as arrays.

    Parameters
    ----------
    model : BEIRARegressor
        Fitted or not.
    encoder : Encoder
        Keeps the weights.
    where : str
        Place of the model, for messages and as the name of arrays.

    Returns
    -------
    tree : dict or None
        ``n_times`` and ``weights``; None for a model that is not fitted.

    Raises
    ------
    ValueError
        If weights or parameters of the training cannot be saved.
    """
    if "network_" not in vars(model):
        return None
    for name in (model.training and model.training.skorch_params) or {}:
        if name.partition("__")[0] != "optimizer":
            raise ValueError(
                f"{where}.training.skorch_params[{name!r}] cannot be saved; it has no effect on "
                f"predictions, so remove it by set_params(training__skorch_params=None)."
            )
    weights = {}
    for name, tensor in model.network_.state_dict().items():
        path = f"{where}.network.{name}"
        if not isinstance(tensor, torch.Tensor) or tensor.dtype is torch.bfloat16:
            raise ValueError(f"{path} cannot be saved: it is not a tensor of a NumPy type.")
        weights[name] = encoder.encode(tensor.detach().cpu().numpy(), path)
    return {"n_times": model._n_times, "weights": weights}


def plain_attributes(attributes: dict) -> dict:
    """Return the attributes of a fitted model that can be encoded.

    Parameters
    ----------
    attributes : dict
        All attributes.

    Returns
    -------
    attributes : dict
        Without the networks, and with the history as a list of epochs without their batches.
    """
    kept = {name: v for name, v in attributes.items() if name not in ("net_", "network_")}
    if "history_" in kept:
        kept["history_"] = [
            {name: value for name, value in epoch.items() if name != "batches"}
            for epoch in kept["history_"]
        ]
    return kept


def add_network(model: BEIRARegressor, tree: dict | None, decoder) -> None:
    """Make the network of a model, and give it its weights once they are checked.

    Parameters
    ----------
    model : BEIRARegressor
        With its parameters and attributes, but without its network.
    tree : dict or None
        As :func:`describe_network` returns it.
    decoder : Decoder
        Reads the weights.

    Raises
    ------
    ModelFileError
        If the weights are not those of the network that the architecture describes.
    """
    if tree is None:
        return
    n_times, weights = tree.get("n_times"), tree.get("weights")
    valid = isinstance(weights, dict) and type(n_times) is int and 1 <= n_times <= _MAX_SIZE
    require(valid, "it describes a network without window and weights")
    if "architecture_" not in vars(model):  # schema 1
        model.architecture_ = check_architecture(model.architecture)
    sizes = _sizes(model, decoder.file, n_weights=len(weights))
    # Without memory first: until the weights are known to have these sizes, they are a claim.
    with torch.device("meta"):
        expected = model.architecture_.make_network(*sizes, n_times).state_dict()
    found = {name: decoder.kind_of(weight) for name, weight in weights.items()}
    wanted = {name: _kind_of(tensor) for name, tensor in expected.items()}
    if "branches.log_offset" not in found:  # of before branches could read a logarithm
        wanted.pop("branches.log_offset", None)
    for name in sorted({*found, *wanted}):
        valid = name in found and name in wanted
        require(valid, f"the weights {name[:80]!r} are too many or missing")
        problem = f"are {found[name]}, but the parameters ask for {wanted[name]}"
        require(wanted[name] in (None, found[name]), f"the weights {name!r} {problem}")
    # The constructor draws weights that are replaced; this must not change the caller's numbers.
    with PrivateRandomNumbers().drawn():
        network = model.architecture_.make_network(*sizes, n_times)
        network.load_state_dict(
            {name: torch.from_numpy(decoder.decode(w).copy()) for name, w in weights.items()},
            strict=False,  # the names are checked
        )
    if not isinstance(model.device_, str) or not computes(model.device_):
        # The device of the training does not exist here; a new fit takes the one there is.
        model.device, model.device_ = "auto", "cpu"
    model.network_ = network.to(model.device_).eval()
    if "history_" in vars(model):
        epochs, model.history_ = model.history_, History()
        valid = isinstance(epochs, list) and all(isinstance(epoch, dict) for epoch in epochs)
        require(valid, "its history is not a list of epochs")
        model.history_.extend(epochs)


def _sizes(model, file, n_weights):
    """Return the numbers of channels and regions, once all sizes of the network are bounded."""
    kind = type(model.architecture_)
    require(issubclass(kind, Architecture), f"its architecture is a {kind.__name__}")
    params = check_architecture(model.architecture_).get_params(deep=False)
    n_channels, n_rois = model.n_features_in_, len(model.target_mean_)
    valid = model.target_mean_.shape == model.target_scale_.shape == (n_rois,)
    require(valid, "its regions have no mean and standard deviation each")
    sizes = [n_channels, n_rois, *params.values(), *(params.get("params") or {}).values()]
    _check_sizes(sizes, file)
    file.spend(_LAYER * n_weights)
    require(params.get("n_blocks", 0) <= n_weights, "its network has more blocks than weights")
    return n_channels, n_rois


def _check_sizes(values, file):
    for value in values:
        if isinstance(value, (list, tuple)):
            file.spend(_LAYER * len(value))
            _check_sizes(value, file)
        elif isinstance(value, (int, float)):
            require(abs(value) <= _MAX_SIZE, f"its network has a size of {value}")


def _kind_of(tensor):
    """Return type and shape, or None for a layer that takes its sizes from its weights."""
    if isinstance(tensor, torch.nn.parameter.UninitializedTensorMixin):
        return None
    return np.dtype(str(tensor.dtype).removeprefix("torch.")), tuple(tensor.shape)
