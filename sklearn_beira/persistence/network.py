"""The network of a BEIRARegressor: sizes and weights instead of a pickled skorch net."""

import numpy as np
import torch
from skorch.history import History

from ..exceptions import ModelFileError
from ..regressor.nets import AtVolumes
from ..regressor.nets.losses import WeightedLoss, parse_loss
from ..regressor.random_numbers import PrivateRandomNumbers
from ..regressor.skorch_net import computes, make_net, network_class, network_sizes

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
        ``n_times``, ``batch_size`` of prediction and ``weights``; None for a model not fitted.

    Raises
    ------
    ValueError
        If something of the model cannot be saved.
    """
    if "net_" not in attributes:
        return None
    for name in model.skorch_params or {}:
        if not _is_of_the_optimizer(name):
            raise ValueError(
                f"{where}.skorch_params[{name!r}] cannot be saved; it belongs to the training, so "
                f"set_params(skorch_params=None) leaves the predictions as they are."
            )
    network = model.net_.module_.network
    weights = {}
    for name, tensor in network.state_dict().items():
        path = f"{where}.network.{name}"
        if not isinstance(tensor, torch.Tensor) or tensor.dtype is torch.bfloat16:
            raise ValueError(f"{path} cannot be saved: it is no tensor of a type numpy knows.")
        weights[name] = encoder.encode(tensor.detach().cpu().numpy(), path)
    return {
        "n_times": model._n_times,
        "batch_size": model.net_.batch_size,
        "weights": weights,
    }


def record_network(attributes):
    """Fitted attributes of a model as values that can be encoded.

    Parameters
    ----------
    attributes : dict
        As they are.

    Returns
    -------
    attributes : dict
        Without the net, the history as a list of its epochs, without the batches in them.
    """
    kept = {name: value for name, value in attributes.items() if name != "net_"}
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
    n_times, batch_size, weights = (tree.get(k) for k in ("n_times", "batch_size", "weights"))
    if not isinstance(weights, dict) or not _is_size(n_times) or not _is_size(batch_size):
        raise ModelFileError("it describes a network without window, batch size and weights")
    for name in model.skorch_params or {}:
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
        module = AtVolumes(build())
        module.network.load_state_dict(
            {name: torch.from_numpy(decoder.decode(w).copy()) for name, w in weights.items()}
        )
        if not isinstance(model.device_, str) or not computes(model.device_):
            # That of the training is not here; a fit takes what there is.
            model.device, model.device_ = "auto", "cpu"
        history = History()
        history.extend(_check_history(model.history_))
        loss = WeightedLoss(parse_loss(model.loss))
        model.net_ = make_net(model, module, loss, batch_size)
        model.net_.initialize()
    model.history_ = model.net_.history_ = history


def _builder(model, n_times, n_weights):
    """Make what builds the network that the parameters of a model describe."""
    network = network_class(model)
    if not issubclass(network, torch.nn.Module):
        raise ModelFileError(f"{network.__name__} is no network")
    sizes = network_sizes(model, n_times)
    n_channels, n_rois = model.n_features_in_, len(model.target_mean_)
    if model.target_mean_.shape != (n_rois,) or model.target_scale_.shape != (n_rois,):
        raise ModelFileError("its regions have no mean and standard deviation each")
    _check_sizes([n_channels, n_rois, *sizes.values()])
    if sizes.get("n_blocks", 0) > n_weights:
        raise ModelFileError("its network has more blocks than weights")
    return lambda: network(n_channels, n_rois, **sizes)


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
