"""Versions of the format, and how files of older versions are read."""

import inspect

from .allowed import find_class
from .encode import parameters
from .file import require

#: Version that is written. A change that older versions of this package would misread raises it.
SCHEMA = 2

# Schema 1: all parameters belonged to BEIRARegressor itself, under these names.
_ARCHITECTURES = {
    "compact": "Compact",
    "autoencoder": "Autoencoder",
    "eegnet": "EEGNet",
    "brainwavelinker": "BrainWaveLinker",
}
_SIZES = (
    *("n_branches", "n_taps", "bands", "rectifier", "encoder_width", "decoder_width", "segment"),
    *("kernel_sizes", "pool_sizes", "dropout", "mode", "stride"),
)
_TRAINING = (
    *("max_epochs", "batch_size", "lr", "weight_decay", "loss", "validation_fraction"),
    *("validation_gap", "patience", "checkpoint", "net_params"),
)
_RENAMED = {"net_params": "skorch_params", "start_": "closed_form_"}


def upgrade(content: dict, schema: int, classes: dict[str, type]) -> dict:
    """Give the parameters and attributes of an object the names that they have today.

    Parameters
    ----------
    content : dict
        Content of an ``$object``, with ``class``, ``params`` and ``attributes``.
    schema : int
        Version that it was written in.
    classes : dict of str to type
        Classes that the caller allows.

    Returns
    -------
    content : dict
        The content in version ``SCHEMA``. Unknown names stay, so that they are refused.
    """
    if schema >= 2:
        return content
    params, attributes = dict(content["params"]), dict(content["attributes"])
    params.pop("array_sfreq", None)  # today, the EEG has its rate
    if content["class"] == "BEIRARegressor":
        sizes = {name: params.pop(name) for name in _SIZES if name in params}
        training = {_RENAMED.get(n, n): params.pop(n) for n in _TRAINING if n in params}
        given, inner = params.get("architecture"), params.pop("network_params", None) or {}
        params["architecture"] = _architecture(given, sizes, inner, classes)
        if training.get("max_epochs"):
            params["training"] = _object("Training", training)
        else:
            attributes.pop("history_", None)
        attributes = {_RENAMED.get(name, name): value for name, value in attributes.items()}
    return {**content, "params": params, "attributes": attributes}


def _architecture(given, sizes, inner, classes):
    require(isinstance(inner, dict), "it has parameters of a network without names")
    if isinstance(given, str):
        require(given in _ARCHITECTURES, f"it has an unknown architecture {given[:40]!r}")
        name = _ARCHITECTURES[given]
        names = parameters(find_class(name, {}))
        return _object(name, {n: v for n, v in sizes.items() if n in names} | inner)
    name = given.get("$class") if isinstance(given, dict) else None
    require(isinstance(name, str), "it has an invalid architecture")
    # A network of the user got the sizes that its constructor names.
    names = inspect.signature(classes[name]).parameters if name in classes else ()
    inner = {n: v for n, v in sizes.items() if n in names} | inner
    own = {n: sizes[n] for n in ("mode", "stride") if n in sizes}
    return _object("CustomNetwork", {"network": given, "params": inner, **own})


def _object(name, params):
    return {"$object": {"class": name, "params": params, "attributes": {}}}
