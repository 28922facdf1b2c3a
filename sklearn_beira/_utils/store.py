"""Finished results on disk, so that a killed run can continue."""

import io
import json
import zipfile

import numpy as np

from .files import one_line, read_checked, writable_folder, write_checked
from .hashing import digest, environment
from .warn import warn_user


def load_arrays(path):
    """Read the arrays that ``np.savez`` wrote, if they are no larger than their file.

    Parameters
    ----------
    path : path-like or binary file
        File.

    Returns
    -------
    arrays : dict of str to ndarray
        Arrays by name.

    Raises
    ------
    ValueError
        If the file is compressed, or holds more than it is long.
    """
    arrays = {}
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        left = archive.fp.seek(0, io.SEEK_END) - sum(entry.file_size for entry in entries)
        if left < 0 or any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("more arrays than the file is long")
        for entry in entries:
            with archive.open(entry) as file:
                array = np.lib.format.read_array(file, allow_pickle=False)
            if array.size > entry.file_size:  # of values without a size
                raise ValueError("an array of more values than the file has bytes")
            arrays[entry.filename.removesuffix(".npy")] = array
    return arrays


class ResultStore:
    """Finished results on disk, one file each.

    A file that cannot be written costs nothing but its result the next time.

    Parameters
    ----------
    folder : path-like or None
        Folder, which is made if it does not exist; None keeps nothing.
    """

    def __init__(self, folder):
        self.folder = None if folder is None else writable_folder(folder, "cache")
        self._writes = folder is not None

    def key(self, *parts):
        """Return a name for what a result depends on; "" if nothing is kept."""
        return "" if self.folder is None else digest(environment(), *parts)

    def get(self, key):
        """Read a result.

        Parameters
        ----------
        key : str
            Its name.

        Returns
        -------
        result : tuple of (ndarray, dict) or None
            Values and facts; None if there is none, or a file that holds something else.
        """
        if self.folder is None:
            return None
        try:
            found = load_arrays(io.BytesIO(read_checked(self.folder / f"{key}.npz")))
            values, facts = found["values"], json.loads(str(found["facts"]))
        except Exception:  # whatever a file may do to the readers
            return None
        return (values, facts) if values.dtype.kind == "f" and isinstance(facts, dict) else None

    def put(self, key, values, facts):
        """Write a result; the file appears when it is complete."""
        if not self._writes:
            return
        try:
            content = io.BytesIO()
            np.savez(content, values=values, facts=json.dumps(facts))
            write_checked(self.folder / f"{key}.npz", content.getbuffer())
        except OSError as error:
            self._writes = False
            warn_user(
                f"the cache cannot be written to ({one_line(error)}); this run goes on without it, "
                f"and finished fits are not kept from here on."
            )
