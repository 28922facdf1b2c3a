"""Reading images and tables, with errors that say what to do."""

import contextlib
import os
import tempfile
from pathlib import Path


def one_line(err):
    """Message of an exception without its line breaks."""
    return " ".join(str(err).split())


def existing_file(path, role):
    path = Path(path).expanduser()
    if not path.is_file():
        raise ValueError(f"The file of the {role} does not exist: {path}; check the path.")
    return path


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
