"""Names of results by the content of what they depend on."""

import io
import os
import pickle
import sys
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from types import CodeType, FunctionType

import joblib
from sklearn.base import BaseEstimator

from .._version import __version__


def digest(*parts):
    """Name what a result depends on, by content.

    Parameters
    ----------
    *parts : object
        EEGWindows, arrays, estimators, plain values.

    Returns
    -------
    key : str
        The same in every process and on every day.
    """
    hashed = blake2b(digest_size=16)
    for part in parts:
        if hasattr(part, "content"):  # EEGWindows
            part = part.content
        if isinstance(part, BaseEstimator | dict):  # or the parameters of one
            hashed.update(joblib.hash(_own_code(part)).encode())
        hashed.update(joblib.hash(part).encode())
    return hashed.hexdigest()


class _Named(pickle.Pickler):
    """Finds the functions and classes that a pickle would name."""

    def __init__(self):
        super().__init__(io.BytesIO())
        self.found = []

    def reducer_override(self, found):
        if isinstance(found, type | FunctionType):
            self.found.append(found)
        return NotImplemented


def _own_code(model):
    """Code of the functions and classes in a model that no version stands for.

    Such as those of a notebook, which are hashed by name alone: edited, they would be taken for
    what they were. Of a module of one's own the whole file counts, of a notebook what the model
    names.
    """
    named = _Named()
    try:
        named.dump(model)
    except Exception as error:  # what objects raise that cannot be pickled is of all kinds
        raise TypeError(
            f"the parameters hold something that cannot be told from a later version of it "
            f"({error}), such as a lambda; define it by name, or use neither cache nor checkpoint."
        ) from None
    code = {}
    # Of a class, what it inherits counts as well.
    for found in [c for f in named.found for c in (f.__mro__ if isinstance(f, type) else (f,))]:
        module = found.__module__ or "builtins"
        if _is_installed(module):
            top = module.partition(".")[0]
            code[top] = getattr(sys.modules.get(top), "__version__", None)
        else:
            code[f"{module}.{found.__qualname__}"] = _code_of(found, module)
    return sorted(code.items())


def _code_of(found, module):
    file = getattr(sys.modules.get(module), "__file__", None)
    if module != "__main__" and file is not None and os.path.exists(file):
        return Path(file).read_bytes()
    return _content(found)


def _content(value, within=()):
    """What a value of a notebook is or does, the same in every process."""

    def content(part):
        return _content(part, (*within, value))

    if any(value is outer for outer in within):  # a method that calls super knows its class
        return getattr(value, "__qualname__", type(value).__qualname__)
    if isinstance(value, type):
        own = [c for c in value.__mro__ if not _is_installed(c.__module__ or "builtins")]
        names = {name: v for c in reversed(own) for name, v in vars(c).items()}
        return [
            (name, content(v))
            for name, v in sorted(names.items())
            if name not in ("__dict__", "__weakref__", "__doc__", "__module__")
        ]
    if isinstance(value, staticmethod | classmethod):
        return content(value.__func__)
    if isinstance(value, property):
        return [content(f) for f in (value.fget, value.fset, value.fdel)]
    if isinstance(value, FunctionType):
        if _is_installed(value.__module__ or "builtins"):  # such as scikit-learn's wrappers
            return content(getattr(value, "__wrapped__", None))
        cells = [_contents_of_cell(cell) for cell in value.__closure__ or ()]
        parts = value.__code__, value.__defaults__, value.__kwdefaults__, cells
        return [content(part) for part in (*parts, getattr(value, "__wrapped__", None))]
    if isinstance(value, CodeType):
        parts = value.co_consts, value.co_names, value.co_varnames
        return [value.co_code, *map(content, parts)]
    if isinstance(value, int | float | complex | str | bytes | type(None)):
        return repr(value)
    if isinstance(value, list | tuple):
        return [content(v) for v in value]
    if isinstance(value, set | frozenset):
        return sorted(str(content(v)) for v in value)
    if isinstance(value, dict):
        return sorted((str(k), content(v)) for k, v in value.items())
    return type(value).__qualname__


def _contents_of_cell(cell):
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _is_installed(module):
    """Whether a module is Python's, ours, or was installed, so that a version stands for it."""
    top = module.partition(".")[0]
    if top == "__main__":
        return False
    if top in sys.stdlib_module_names or top == __package__.partition(".")[0]:
        return True
    file = getattr(sys.modules.get(module), "__file__", None)
    return file is not None and not {"site-packages", "dist-packages"}.isdisjoint(Path(file).parts)


def versions():
    """Versions of the packages that numbers depend on."""
    names = ("scikit-learn", "numpy", "scipy", "torch", "skorch", "mne")
    # A checkout on the path of Python has no metadata that would tell its own.
    return {"sklearn-beira": __version__, **{name: version(name) for name in names}}
