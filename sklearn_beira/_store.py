"""Finished results on disk, so that a killed run continues where it was."""

import contextlib
import inspect
import json
import os
import pickle
import pickletools
import sys
import tempfile
import zipfile
import zlib
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from types import CodeType

import joblib
import numpy as np
from sklearn.base import BaseEstimator

from .windows import EEGWindows


class ResultStore:
    """Arrays and facts by key, one file each; no file is ever half-written.

    Parameters
    ----------
    folder : path-like or None
        Where the files go; it is made if need be. None keeps nothing.
    """

    def __init__(self, folder):
        self.folder = None if folder is None else writable_folder(folder, "cache")

    def key(self, *parts):
        """Name what a result depends on; "" where nothing is kept, which saves the reading."""
        return digest(*parts) if self.folder is not None else ""

    def get(self, key):
        """Read a result, or None where there is none that can be read."""
        if self.folder is None:
            return None
        try:
            with open(self.folder / f"{key}.npz", "rb") as file:
                found = np.load(file, allow_pickle=False)
                return found["values"], json.loads(str(found["facts"]))
        except (
            OSError,
            ValueError,
            KeyError,
            EOFError,
            RuntimeError,
            zlib.error,
            zipfile.BadZipFile,
        ):
            return None

    def put(self, key, values, facts):
        """Write a result under a temporary name, then give it its own."""
        if self.folder is None:
            return
        with replacing(self.folder / f"{key}.npz") as file:
            np.savez(file, values=values, facts=json.dumps(facts))


def writable_folder(path, name):
    """Make a folder, if need be, and make sure that files can be written there.

    Parameters
    ----------
    path : path-like
        Folder.
    name : str
        Parameter that it was given as.

    Returns
    -------
    folder : Path
        The folder.

    Raises
    ------
    ValueError
        If it cannot be made or written to.
    """
    folder = Path(path).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(
            f"the {name} folder {folder} cannot be written to ({error.strerror}); give another, "
            f"or {name}=None."
        ) from error
    return folder


@contextlib.contextmanager
def replacing(path):
    """Open a file that takes the place of ``path`` once all is written.

    Parameters
    ----------
    path : Path
        File, which need not be there.

    Yields
    ------
    file : binary file
        To write to.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(handle)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


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
        if isinstance(part, EEGWindows):
            part = (part.tokens, part.groups, part.times, part.tmin, part.tmax, part.sfreq)
        if isinstance(part, BaseEstimator | dict):  # or the parameters of one
            hashed.update(joblib.hash(_own_code(part)).encode())
        hashed.update(joblib.hash(part).encode())
    return hashed.hexdigest()


def _own_code(model):
    """Code of the functions and classes in a model that no package with a version holds.

    Such as those of a notebook, which are hashed by name alone: edited, they would be taken for
    what they were. Of a module of one's own the whole file counts, of a notebook what the model
    names.
    """
    try:
        pickled = pickle.dumps(model)
    except Exception as error:  # what objects raise that cannot be pickled is of all kinds
        raise TypeError(
            f"{type(model).__name__} holds something that cannot be told from a later version of "
            f"it ({error}), such as a lambda; define it by name, or use cache=None."
        ) from None
    code, strings = {}, []
    for opcode, argument, _ in pickletools.genops(pickled):
        if isinstance(argument, str):
            strings.append(argument)
        if opcode.name == "GLOBAL":
            module, name = argument.split(" ", 1)
        elif opcode.name == "STACK_GLOBAL":
            module, name = strings[-2:]
        else:
            continue
        if not _is_installed(module):
            code[module, name] = _code_of(module, name)
    return code


def _code_of(module, name):
    file = getattr(sys.modules.get(module), "__file__", None)
    if module != "__main__" and file is not None and os.path.exists(file):
        return Path(file).read_bytes()
    found = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    functions = [found, *vars(found).values()] if isinstance(found, type) else [found]
    functions = [getattr(f, "__func__", getattr(f, "fget", f)) for f in functions]
    # scikit-learn wraps the transform of a class.
    functions = [inspect.unwrap(f) for f in functions if callable(f)]
    return [_instructions(f.__code__) for f in functions if hasattr(f, "__code__")]


def _instructions(code):
    """What a function does, wherever it stands in its file."""
    inner = [_instructions(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return code.co_code, code.co_names, code.co_varnames, inner


def _is_installed(module):
    """Whether a module is Python's, ours, or was installed, so that a version stands for it."""
    top = module.partition(".")[0]
    if top == "__main__":
        return False
    if top in sys.stdlib_module_names or top == __package__:
        return True
    file = getattr(sys.modules.get(module), "__file__", None)
    return file is not None and not {"site-packages", "dist-packages"}.isdisjoint(Path(file).parts)


def versions():
    """Versions of the packages that numbers depend on."""
    names = ("sklearn-beira", "scikit-learn", "numpy", "scipy", "torch", "skorch", "mne")
    return {name: version(name) for name in names}
