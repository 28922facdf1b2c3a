"""Files: checked before they are read, complete when they are written."""

import contextlib
import os
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


def one_line(error: object) -> str:
    """Return the message of an exception without line breaks."""
    return " ".join(str(error).split())


def existing_file(path: str | os.PathLike, role: str) -> Path:
    """Return the path of a file that exists.

    Parameters
    ----------
    path : path-like
        File.
    role : str
        What the file holds, for the error.

    Returns
    -------
    path : Path
        The path, with the home folder expanded.

    Raises
    ------
    ValueError
        If there is no such file.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise ValueError(f"The file of the {role} does not exist: {path}; check the path.")
    return path


def writable_folder(path: str | os.PathLike, name: str) -> Path:
    """Make a folder if it does not exist, and check that files can be written to it.

    Parameters
    ----------
    path : path-like
        Folder.
    name : str
        Name of the parameter that holds it, for the error.

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
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a file that replaces ``path`` when the block ends without an error.

    The content is written under a temporary name in the same folder. Whenever the process is
    interrupted, ``path`` holds either the old or the new content, never a part of it.

    Parameters
    ----------
    path : Path
        File, which may exist or not.

    Yields
    ------
    file : binary file
        Open for writing.
    """
    temporary = path.with_name(f".{path.name[:200]}.{secrets.token_hex(6)}.tmp")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if os.name == "posix":  # only a synced folder is sure to hold the new name
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
