"""Keys of stored results: hashes of everything that a result depends on."""

import dis
import inspect
import io
import pickle
import sys
from contextlib import suppress
from functools import cache
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

import joblib
import numpy as np
from sklearn.base import BaseEstimator

from .._version import __version__

# Instructions that read a global variable.
_READS_GLOBAL = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")


def digest(*parts: object) -> str:
    """Hash what a result depends on.

    Parameters
    ----------
    *parts : object
        EEGWindows, arrays, estimators, plain values. Of estimators and dicts, the code of classes
        and functions that belong to no installed package is hashed as well, and what it names:
        functions, classes and constants.

    Returns
    -------
    key : str
        Hash of the contents, the same in every process.

    Raises
    ------
    TypeError
        If an estimator or a dict holds an object that cannot be hashed, such as a lambda.
    """
    hashed = blake2b(digest_size=16)
    for part in parts:
        if hasattr(part, "content"):  # EEGWindows
            part = part.content
        if isinstance(part, BaseEstimator | dict):
            hashed.update(joblib.hash(_code_of(part)).encode())
        hashed.update(joblib.hash(part).encode())
    return hashed.hexdigest()


# A model keeps so many digests of the BOLD that it was fitted to, each of so many volumes in a row:
# single ones can be equal by chance. So many known digests show that BOLD was seen.
_N_DIGESTS, _STRETCH, _ENOUGH = 1024, 8, 3


def _mix(found, values):
    """Add values to digests; the order of the calls matters."""
    found = (found ^ values) * np.uint64(0x9E3779B97F4A7C15)
    return found ^ (found >> np.uint64(29))


def _digests(y):
    """Hash each stretch of rows: (n_rows - _STRETCH + 1,), of a 2-D array; tell which vary."""
    n_stretches = max(len(y) - _STRETCH + 1, 0)
    rows = np.zeros(len(y), dtype=np.uint64)
    for column in y.T:
        one_zero = np.add(column, 0.0, dtype=np.float64)  # without -0.0
        rows = _mix(rows, one_zero.view(np.uint64))
    found = np.zeros(n_stretches, dtype=np.uint64)
    varies = np.zeros(n_stretches, dtype=bool)
    for k in range(_STRETCH):
        part = rows[k : k + n_stretches]
        varies |= part != rows[:n_stretches]
        found = _mix(found, part)
    return found.view(np.int64), varies


def sketch(y: np.ndarray) -> np.ndarray:
    """Return what is enough to recognize BOLD (n_volumes, n_rois): its smallest digests, sorted."""
    found, varies = _digests(y)
    return np.unique(found[varies])[:_N_DIGESTS]


def was_seen(y: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Tell which rows begin a stretch that a model has learned from.

    Parameters
    ----------
    y : ndarray of float, shape (n_rows, n_columns)
        BOLD, in order of time.
    known : ndarray of int64
        Digests that the model keeps (:func:`sketch`).

    Returns
    -------
    seen : ndarray of bool, shape (n_rows,)
        False everywhere if there are only one or two such stretches.
    """
    found, varies = _digests(y)
    seen = np.zeros(len(y), dtype=bool)
    seen[: len(found)] = np.isin(found, known) & varies
    return seen if len(np.unique(found[seen[: len(found)]])) >= _ENOUGH else np.zeros_like(seen)


def versions() -> dict[str, str]:
    """Return the versions of this package and of those that affect numerical results."""
    names = ("scikit-learn", "numpy", "scipy", "torch", "skorch", "mne")
    # A source tree on sys.path has no metadata.
    return {"sklearn-beira": __version__, **{name: version(name) for name in names}}


@cache
def environment() -> tuple:
    """Return all versions that stored results depend on, and a digest of our own source.

    The version of a package that is installed from its repository says little about its code.
    """
    found = {*versions().items()}
    for name in ("himalaya", "nilearn", "pyriemann", "skglm"):
        with suppress(PackageNotFoundError):
            found.add((name, version(name)))
    source = blake2b(digest_size=16)
    package = Path(__file__).parents[1]
    for file in sorted(package.rglob("*.py")):
        content = file.read_bytes()
        source.update(f"{file.relative_to(package)} {len(content)} ".encode() + content)
    return source.hexdigest(), *sorted(found)


class _References(pickle.Pickler):
    """Collect the functions and classes that a pickle stores by name only."""

    def __init__(self):
        super().__init__(io.BytesIO())
        self.found = []

    def reducer_override(self, value):
        if isinstance(value, type | FunctionType):
            self.found.append(value)
        return NotImplemented


def _code_of(value):
    """Return, by name, the version or the source of all code that a value refers to."""
    references = _References()
    try:
        references.dump(value)
    except Exception as error:  # pickling raises errors of many kinds
        raise TypeError(
            f"the parameters hold an object that cannot be hashed ({error}), such as a lambda; "
            f"define it by name, or use neither cache nor checkpoint."
        ) from None
    code, waiting = {}, references.found
    while waiting:
        found = waiting.pop()
        for part in getattr(found, "__mro__", (found,)):  # a class depends on those it inherits
            module = part.__module__ or "builtins"
            name = f"{module}.{part.__qualname__}"
            if _is_installed(module):
                package = sys.modules.get(module.partition(".")[0])
                code[module] = getattr(package, "__version__", None)
            elif name not in code:
                called, constants = _named_by(part)
                code[name] = _source(part), constants
                waiting += called
    return sorted(code.items())


def _named_by(found):
    """Return the functions and classes, and the constants, that code of the user names."""
    parts = vars(found).values() if isinstance(found, type) else [found]
    functions = [getattr(part, "__func__", getattr(part, "fget", part)) for part in parts]
    functions = [inspect.unwrap(f) for f in functions if isinstance(f, FunctionType)]
    functions = [f for f in functions if isinstance(f, FunctionType)]
    codes, names, read = [f.__code__ for f in functions], set(), set()
    while codes:
        code = codes.pop()
        names.update(code.co_names)
        read |= {i.argval for i in dis.get_instructions(code) if i.opname in _READS_GLOBAL}
        codes += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    space = vars(sys.modules.get(found.__module__, sys))
    named = {name: space[name] for name in sorted(read & set(space))}
    for module in [v for v in named.values() if isinstance(v, ModuleType)]:
        if not _is_installed(module.__name__):
            named |= {name: vars(module)[name] for name in sorted(names & set(vars(module)))}
    for part in functions:
        defaults = [*(part.__defaults__ or ()), *(part.__kwdefaults__ or {}).values()]
        named |= {f"{part.__qualname__} {k}": value for k, value in enumerate(defaults)}
    called = [value for value in named.values() if isinstance(value, type | FunctionType)]
    return called, [(n, v) for n, v in named.items() if _is_constant(v)]


def _is_constant(value):
    """Tell whether a value is plain data, which hashes by its content."""
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(_is_constant, value))
    if isinstance(value, dict):
        return all(map(_is_constant, [*value, *value.values()]))
    if isinstance(value, np.ndarray):
        return value.dtype != object
    return value is None or isinstance(value, bool | int | float | complex | str | bytes)


def _is_installed(module):
    """Tell whether a module belongs to Python, to this package or to an installed package."""
    top = module.partition(".")[0]
    if top == "__main__":
        return False
    if top in sys.stdlib_module_names or top == __package__.partition(".")[0]:
        return True
    file = getattr(sys.modules.get(module), "__file__", None)
    return file is not None and not {"site-packages", "dist-packages"}.isdisjoint(Path(file).parts)


def _source(found):
    """Return the source of a module of the user, of ``__main__`` only that of the object."""
    module = sys.modules.get(found.__module__)
    try:
        return inspect.getsource(found if found.__module__ == "__main__" else module)
    except (OSError, TypeError):
        if isinstance(found, type):  # Python 3.12 and older find no class of a notebook
            parts = {name: getattr(v, "__func__", v) for name, v in vars(found).items()}
            return {
                name: _source(v) if isinstance(v, FunctionType) else repr(v)
                for name, v in parts.items()
                if name not in ("__dict__", "__weakref__")
            }
        raise TypeError(
            f"the source of {found.__qualname__} cannot be read, so that changes to it would go "
            f"unnoticed; define it in a file, or use neither cache nor checkpoint."
        ) from None
