"""Finished results on disk, so that a killed run continues where it was."""

import json
import zipfile
import zlib

import numpy as np

from .._utils.files import atomic_write, writable_folder
from .._utils.hashing import digest


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
        with atomic_write(self.folder / f"{key}.npz") as file:
            np.savez(file, values=values, facts=json.dumps(facts))
