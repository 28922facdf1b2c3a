"""Finished results on disk, so that a killed run continues where it was."""

import contextlib
import json
import os
import tempfile
import zipfile
import zlib
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path

import joblib
import numpy as np

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
        hashed.update(joblib.hash(part).encode())
    return hashed.hexdigest()


def versions():
    """Versions of the packages that numbers depend on."""
    names = ("sklearn-beira", "scikit-learn", "numpy", "scipy", "torch", "skorch", "mne")
    return {name: version(name) for name in names}
