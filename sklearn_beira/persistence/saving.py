"""Save and load fitted models, without pickle.

One safetensors file holds a model: a JSON header, the bytes of the arrays, and in the metadata of
the header a JSON text that says how the arrays make a model. ``encode.py`` makes this text,
``decode.py`` reads it, ``schema.py`` translates those of older versions, ``file.py`` writes and
reads the file, ``allowed.py`` lists what a file may name, ``network.py`` handles the network of a
BEIRARegressor. ``export.py`` is independent: it exports that network as a program of torch.
"""

import io
import json
import os
import platform

from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from .._utils.estimators import chosen, is_search
from .._utils.files import one_line, printable
from .._utils.hashing import versions
from .._utils.warn import warn_user
from ..exceptions import ModelFileError
from .allowed import check_classes
from .decode import Decoder
from .encode import Encoder
from .file import ModelFile, check_path, read_file, require, to_bytes, write_file
from .schema import SCHEMA

# Packages whose fitted attributes the file holds, and whose new versions may read them differently.
_OWNERS_OF_ATTRIBUTES = ("scikit-learn", "sklearn-beira")


def save_model(
    model: BaseEstimator, path: str | os.PathLike, *, classes: dict[str, type] | None = None
) -> None:
    """Save a fitted model in one file that is safe to share.

    The file holds weights and other numbers, names of channels and regions, parameters, the history
    of the training, and versions of packages. It holds no code, no EEG and no BOLD.

    Parameters
    ----------
    model : BEIRARegressor, Pipeline or another fitted estimator
        Fitted model. Of a search, the best estimator is saved. The user guide lists the estimators
        that can be saved.
    path : path-like
        File to write. An existing file is replaced once the new one is complete.
    classes : dict of str to type, or None
        Your own networks and estimators in the model, by name. :func:`load_model` needs them, too.

    Raises
    ------
    ValueError
        If the model is not fitted, if a part of it cannot be saved, or if the file cannot be
        written. Nothing is written then.
    TypeError
        If the model is not an estimator, or ``path`` or ``classes`` has the wrong type.

    See Also
    --------
    load_model : Load a saved model.
    read_metadata : Read the metadata of a saved model.

    Notes
    -----
    Parameters that belong to one machine are not saved: ``n_jobs`` and those that name a file or a
    folder, such as ``memory``, ``checkpoint`` and ``folder``.

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
    check_is_fitted(model, msg="%(name)s is not fitted; fit it, then save it.")
    encoder = Encoder(classes)
    tree = encoder.encode(model)
    content = {"schema": SCHEMA, "facts": _metadata(model), "model": tree}
    content = to_bytes(json.dumps(content, allow_nan=False), encoder.arrays)
    try:
        _load(io.BytesIO(content), len(content), classes)
    except ModelFileError as error:
        raise ValueError(
            f"the model cannot be saved, because it could not be loaded ({error}); if parameters "
            f"were changed after fit, fit again."
        ) from error
    write_file(path, content)


def load_model(
    path: str | os.PathLike, *, classes: dict[str, type] | None = None, max_bytes: int = 2**31
) -> BaseEstimator:
    """Load a model saved by :func:`save_model`.

    Loading executes nothing in the file, and looks up classes in a list. The predictions are still
    those of whoever made the file.

    Parameters
    ----------
    path : path-like
        File to read.
    classes : dict of str to type, or None
        Your own networks and estimators in the model, by the names used in :func:`save_model`.
    max_bytes : int
        Largest file to read.

    Returns
    -------
    model : estimator
        Fitted model, on the device it was trained on if it exists, else on the CPU. On the same
        machine, its predictions are exactly those of the saved model.

    Raises
    ------
    ModelFileError
        A ValueError, if the file is missing, damaged, not a model, in a newer version of the
        format, larger than ``max_bytes``, or names a class that is not allowed.
    TypeError
        If ``path`` or ``classes`` has the wrong type.

    Warns
    -----
    UserWarning
        If the model was saved with another version of scikit-learn or sklearn-beira, or if the file
        sets what belongs to one machine, such as a folder, which is left out.

    See Also
    --------
    save_model : Save a model.
    """
    classes = check_classes(classes)
    model, metadata, left_out = read_file(path, lambda file: _load(file, max_bytes, classes))
    if left_out:
        warn_user(
            f"the file sets {', '.join(left_out[:5])}, but such settings belong to one machine and "
            f"were left out; set your own with set_params."
        )
    for name in _OWNERS_OF_ATTRIBUTES:
        saved, here = metadata.get("versions", {}).get(name), versions()[name]
        if saved != here:
            warn_user(
                f"the model was saved with {name} {printable(saved)[:40]}, but this is {here}; "
                f"compare its predictions with known ones before you use it."
            )
    return model


def read_metadata(path: str | os.PathLike, *, max_bytes: int = 2**31) -> dict:
    """Read the metadata of a saved model, without loading the model.

    Parameters
    ----------
    path : path-like
        File to read.
    max_bytes : int
        Largest file to read.

    Returns
    -------
    metadata : dict
        ``channels`` and ``regions`` (names, or None), ``steps`` (name and text of every step of a
        pipeline), ``seeds`` (random states by parameter), ``search`` (best parameters and score of
        a search, or None), and ``versions`` (of packages and ``python``).

    Raises
    ------
    ModelFileError
        A ValueError, if the file is missing, damaged, not a model, in a newer version of the
        format, or larger than ``max_bytes``.
    """
    return read_file(path, lambda file: _parse(ModelFile(file, max_bytes))["facts"])


def _load(file, max_bytes, classes):
    file = ModelFile(file, max_bytes)
    content = _parse(file)
    decoder = Decoder(file, classes, content["schema"])
    model = decoder.decode_model(content["model"])
    try:
        check_is_fitted(model)
    except Exception as error:  # a pipeline asks its last step, which may raise anything
        raise ModelFileError(f"it holds a model that is not fitted ({error})") from error
    return model, content["facts"], decoder.left_out


def _parse(file):
    content = file.parse_json(file.text, "text")
    schema = content.get("schema") if isinstance(content, dict) else None
    require(type(schema) is int and schema >= 1, "it does not say its version of the format")
    require(
        schema <= SCHEMA,
        f"it has version {schema} of the format, this sklearn_beira reads up to {SCHEMA}; install "
        f"a newer sklearn_beira",
    )
    require(
        "model" in content and isinstance(content.get("facts"), dict),
        "it holds no model and metadata",
    )
    require(isinstance(content["facts"].get("versions", {}), dict), "it has invalid versions")
    return content


def _metadata(model):
    search = None
    if is_search(model):
        search = {"best_params": repr(model.best_params_), "best_score": repr(model.best_score_)}
    model = chosen(model)
    steps = model.steps if isinstance(model, Pipeline) else [("model", model)]
    seeds = {n: v for n, v in model.get_params().items() if n.split("__")[-1] == "random_state"}
    return {
        "channels": _first(steps, "ch_names_in_"),
        "regions": _first(steps, "region_names_"),
        "steps": {name: one_line(repr(step)) for name, step in steps},
        "seeds": {name: repr(seed) for name, seed in seeds.items()},
        "search": search,
        "versions": {**versions(), "python": platform.python_version()},
    }


def _first(steps, name):
    values = (getattr(step, name, None) for _, step in steps)
    return next((list(map(str, v)) for v in values if v is not None), None)
