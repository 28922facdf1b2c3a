"""Finished results on disk, so that a killed run can continue."""

import io
import json
import zipfile

import numpy as np

from .files import one_line, read_checked, writable_folder, write_checked
from .hashing import digest, environment
from .warn import warn_user


def load_arrays(file):
    """Open what ``np.savez`` wrote, which is not compressed: it holds no more than it is long."""
    with zipfile.ZipFile(file) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise ValueError("compressed arrays")
    return np.load(file, allow_pickle=False)


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
            with io.BytesIO(read_checked(self.folder / f"{key}.npz")) as file:
                found = load_arrays(file)
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
