"""Saving and loading fitted models, without pickle.

One file holds a model: safetensors, that is a JSON header and the bytes of the arrays, with a JSON
text in its metadata that says how the arrays make a model. ``_encode.py`` makes that text,
``_decode.py`` reads it, ``_file.py`` writes and reads the file, ``_allowed.py`` lists what a file
may name. ``_network.py`` holds the network of a BEIRARegressor, ``_export.py`` its export as a
program of torch.
"""

import io
import json
import platform

from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from .._utils.estimators import is_search
from .._utils.files import one_line
from .._utils.hashing import versions
from .._utils.warn import warn_user
from ..exceptions import ModelFileError
from .allowed import check_classes
from .decode import Decoder
from .encode import Encoder
from .export import export_network
from .file import ModelFile, check_path, parse_json, to_bytes, write_atomically

__all__ = ["ModelFileError", "export_network", "load_model", "read_metadata", "save_model"]

#: Version of the format. A change that older versions of this package would misread raises it.
SCHEMA = 1

# Loading sets attributes whose meaning is theirs to change.
_OWNERS_OF_ATTRIBUTES = ("scikit-learn", "sklearn-beira")


def save_model(model, path, *, classes=None):
    """Save a fitted model in one file that is safe to share.

    The file holds weights and numbers, names of channels and regions, parameters, the history of
    the training and the versions of packages, but no code and no EEG or BOLD.

    Parameters
    ----------
    model : BEIRARegressor, Pipeline or another fitted estimator
        Model. Of a fitted search its best estimator is saved. What it is made of has to be on the
        list in the user guide.
    path : path-like
        The file. An old one is replaced when the new one is complete.
    classes : dict of str to type, or None
        Your own networks and estimators in the model, by a name that :func:`load_model` gets, too.

    Raises
    ------
    ValueError
        If the model is not fitted, if something in it cannot be saved, or if the file cannot be
        written. Nothing is written then.
    TypeError
        If the model is no estimator, or ``path`` and ``classes`` are not what they should be.

    See Also
    --------
    load_model : Load it.
    read_metadata : Read what it is without loading it.

    Notes
    -----
    ``memory``, ``checkpoint`` and ``n_jobs`` are not saved, as they say how one machine computes.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from sklearn_beira.baselines import BlockedRidgeCV
    >>> from sklearn_beira.persistence import load_model, save_model
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.standard_normal((50, 3)), rng.standard_normal((50, 2))
    >>> model = BlockedRidgeCV().fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_model(model, Path(folder) / "ridge.safetensors")
    ...     again = load_model(Path(folder) / "ridge.safetensors")
    >>> bool((again.predict(X) == model.predict(X)).all())
    True
    """
    path, classes = check_path(path), check_classes(classes)
    if not isinstance(model, BaseEstimator):
        raise TypeError(f"model must be a fitted estimator, got {type(model).__name__}.")
    try:
        check_is_fitted(model)
    except NotFittedError:
        raise ValueError(f"{type(model).__name__} is not fitted; fit it, then save it.") from None
    encoder = Encoder(classes)
    tree = encoder.encode(model)
    content = {"schema": SCHEMA, "facts": _facts(model), "model": tree}
    content = to_bytes(json.dumps(content, allow_nan=False), encoder.arrays)
    try:
        _load(io.BytesIO(content), len(content), classes)
    except ModelFileError as error:
        raise ValueError(
            f"the model cannot be saved, because it could not be loaded ({error}); parameters that "
            f"were changed after the fit are a usual reason: fit again."
        ) from error
    write_atomically(path, lambda file: file.write(content))


def load_model(path, *, classes=None, max_bytes=2**31):
    """Load a model that :func:`save_model` saved.

    Nothing in the file is executed, and classes are looked up in a list. Still, what a model
    predicts is up to who made the file.

    Parameters
    ----------
    path : path-like
        The file.
    classes : dict of str to type, or None
        Your own networks and estimators in the model, by the names that it was saved with.
    max_bytes : int
        Largest file to read.

    Returns
    -------
    model : estimator
        Fitted, on the device it was trained on where there is one, else on the CPU. Its
        predictions are those of the saved one to the last bit, on the same machine.

    Raises
    ------
    ModelFileError
        A ValueError, if the file is missing, damaged, no model, of a newer version of the format,
        larger than ``max_bytes``, or names anything that is not on the list.
    TypeError
        If ``path`` or ``classes`` are not what they should be.

    Warns
    -----
    UserWarning
        If another version of scikit-learn or sklearn-beira saved the model.

    See Also
    --------
    save_model : Save it.
    """
    path, classes = check_path(path), check_classes(classes)
    model, facts = _read(path, lambda file: _load(file, max_bytes, classes))
    for name in _OWNERS_OF_ATTRIBUTES:
        saved, here = facts.get("versions", {}).get(name), versions()[name]
        if saved != here:
            warn_user(
                f"the model was saved with {name} {str(saved)[:40]}, this is {here}: compare its "
                f"predictions with known ones before you rely on them."
            )
    return model


def read_metadata(path):
    """Read what a saved model is, without loading it.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    facts : dict
        ``channels`` and ``regions`` (names, or None), ``steps`` (name and text of every step of a
        pipeline), ``seeds`` (random states by parameter), ``search`` (best parameters and score of
        a search, or None), ``versions`` of the packages and ``python``.

    Raises
    ------
    ModelFileError
        A ValueError, if the file is missing, damaged, no model or of a newer version of the format.
    """
    return _read(check_path(path), lambda file: _parse(ModelFile(file, 2**63))["facts"])


def _read(path, read):
    if not path.is_file():  # a pipe would never end
        raise ModelFileError(f"{path} does not exist, or is no file; check the path.")
    try:
        with open(path, "rb") as file:
            return read(file)
    except ModelFileError as error:
        # What is quoted from the file may be as long as it likes.
        reason = one_line(error)[:500]
        raise ModelFileError(f"{path} cannot be loaded: {reason}.") from error
    except OSError as error:
        raise ModelFileError(
            f"{path} cannot be loaded: {error.strerror}; check the path."
        ) from error


def _load(file, max_bytes, classes):
    file = ModelFile(file, max_bytes)
    content = _parse(file)
    model = Decoder(file, classes).decode_model(content["model"])
    try:
        check_is_fitted(model)
    except Exception as error:  # a pipeline asks its last step, whatever that is
        raise ModelFileError(f"it holds a model that is not fitted ({error})") from error
    return model, content["facts"]


def _parse(file):
    content = parse_json(file.text, "text")
    schema = content.get("schema") if isinstance(content, dict) else None
    if type(schema) is not int or schema < 1:
        raise ModelFileError("it does not say which version of the format it has")
    if schema > SCHEMA:
        raise ModelFileError(
            f"it has version {schema} of the format, this sklearn_beira reads up to {SCHEMA}; "
            f"install a newer sklearn_beira"
        )
    if "model" not in content or not isinstance(content.get("facts"), dict):
        raise ModelFileError("it holds no model and facts")
    if not isinstance(content["facts"].get("versions", {}), dict):
        raise ModelFileError("it has versions that are none")
    return content


def _facts(model):
    search = None
    if is_search(model):
        search = {"best_params": repr(model.best_params_), "best_score": repr(model.best_score_)}
        model = model.best_estimator_
    steps = model.steps if isinstance(model, Pipeline) else [("model", model)]
    found = [step for _, step in steps]
    seeds = {n: v for n, v in model.get_params().items() if n.split("__")[-1] == "random_state"}
    return {
        "channels": _first(found, "ch_names_in_"),
        "regions": _first(found, "region_names_"),
        "steps": {name: " ".join(repr(step).split()) for name, step in steps},
        "seeds": {name: repr(seed) for name, seed in seeds.items()},
        "search": search,
        "versions": {**versions(), "python": platform.python_version()},
    }


def _first(steps, name):
    values = (getattr(step, name, None) for step in steps)
    return next((list(map(str, v)) for v in values if v is not None), None)
