"""Files: checked before they are read, complete when they are written."""

import contextlib
import errno
import os
import re
import secrets
import socket
import tempfile
import warnings
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

from .warn import warn_user

_DIGEST_SIZE = 16
# The process that writes a temporary file, so that another can tell whether it still runs.
_HOST = re.sub(r"\W", "_", socket.gethostname())[:60]
_TEMPORARY = ".sklearn_beira-{}-{}-{}.tmp"

_LONGEST = 300  # of the reason that a reader gives, in characters
# Exceptions that libraries raise by mistake, whose message says little without their name.
_BARE = (LookupError, AttributeError, TypeError, AssertionError, ArithmeticError, MemoryError)


def printable(text: object) -> str:
    """Return a text in which characters that no terminal or file can show are escaped."""
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in str(text))


def one_line(error: object) -> str:
    """Return the message of an exception without line breaks."""
    return printable(" ".join(str(error).split()))


def expanded(path: str | os.PathLike) -> Path:
    """Return a path with the home folder expanded.

    Parameters
    ----------
    path : path-like
        Path.

    Returns
    -------
    path : Path
        The path.

    Raises
    ------
    ValueError
        If it begins with the home folder of nobody.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        problem = f"there is no home folder for the path {path}; write it in full."
        raise ValueError(problem) from None


def unreadable(path: object, reason: str) -> ValueError:
    """Make the error for a file that cannot be read."""
    return ValueError(f"{path} cannot be read: {reason.rstrip('.?! ')}.")


@contextlib.contextmanager
def reading(path: object) -> Iterator[None]:
    """Turn whatever a reader raises into one sentence, and its warnings into those of this package.

    Parameters
    ----------
    path : path-like
        File that is read in the block.

    Raises
    ------
    ValueError
        ``PATH cannot be read: reason``, for any exception in the block.
    """
    start = f"{path} cannot be read: "
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield
        except Exception as error:  # a damaged file may raise anything inside a library
            if isinstance(error, ValueError) and str(error).startswith(start):
                raise
            name, reason = type(error).__name__, one_line(error).replace(str(path), "it")
            if not reason or isinstance(error, _BARE):
                reason = f"{name} {reason}".strip()
            if len(reason) > _LONGEST:
                reason = f"{reason[:_LONGEST]} …"
            raise unreadable(path, reason) from error
    notes = [w.message for w in caught if issubclass(w.category, (UserWarning, RuntimeWarning))]
    for note in dict.fromkeys(map(one_line, notes)):
        if "naming conventions" not in note:  # of MNE, for names of FIF files
            warn_user(f"{Path(str(path)).name}: {note}")


def existing_file(path: str | os.PathLike, role: str) -> Path:
    """Return the path of a file, or raise ValueError; ``role`` says what it holds."""
    return _existing(path, "file", role, Path.is_file)


def existing_folder(path: str | os.PathLike, role: str) -> Path:
    """Return the path of a folder, or raise ValueError; ``role`` says what it holds."""
    return _existing(path, "folder", role, Path.is_dir)


def _existing(path, kind, role, is_kind):
    path = expanded(path)
    try:
        found = is_kind(path)
    except OSError as error:  # a name that is too long, a folder that may not be read
        raise ValueError(
            f"The {kind} of the {role} cannot be read: {path} ({error.strerror}); check the path."
        ) from error
    if not found:
        raise ValueError(f"The {kind} of the {role} does not exist: {path}; check the path.")
    return path


def writable_folder(path: str | os.PathLike, name: str) -> Path:
    """Make a folder if it does not exist, and check that files can be written to it.

    Temporary files of processes that were killed are removed from it.

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
    folder = expanded(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        for file in folder.glob(_TEMPORARY.format(_HOST, "*", "*")):
            if file.is_file() and not _is_running(file.name.split("-")[-2]):
                file.unlink(missing_ok=True)
    except OSError as error:
        raise ValueError(
            f"the {name} folder {folder} cannot be written to ({error.strerror}); give another."
        ) from error
    return folder


def _is_running(pid):
    if os.name != "posix":  # where signal 0 would end the process
        return True
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError, OverflowError):  # ended, or no number of a process
        return False
    except OSError:  # of another user
        pass
    return True


@contextlib.contextmanager
def temporary_file(folder: Path) -> Iterator[BinaryIO]:
    """Open a new file in a folder, which is removed at the end unless it got another name.

    Parameters
    ----------
    folder : Path
        Folder.

    Yields
    ------
    file : binary file
        Open for reading and writing.
    """
    path = Path(folder) / _TEMPORARY.format(_HOST, os.getpid(), secrets.token_hex(6))
    try:
        with open(path, "x+b") as file:
            yield file
    finally:
        path.unlink(missing_ok=True)


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
    try:
        if path.exists() and not path.is_file():  # root could replace /dev/null
            raise FileExistsError(errno.EEXIST, "It exists and is no file", str(path))
        with temporary_file(path.parent) as file:
            yield file
            sync(file)
            file.close()  # where open files cannot be renamed
            Path(file.name).replace(path)
    except OSError as error:
        error.filename = str(path)  # not the temporary name, or none
        del error.filename2
        raise
    if os.name == "posix":  # only a synced folder is sure to hold the new name
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def sync(file: BinaryIO) -> None:
    """Wait until what was written to a file is on the disk."""
    file.flush()
    os.fsync(file.fileno())


def write_checked(path: Path, content: bytes) -> None:
    """Write a file behind a digest of its name and content.

    Parameters
    ----------
    path : Path
        File; it appears, or replaces another, when it is complete.
    content : bytes-like
        Content.
    """
    with atomic_write(path) as file:
        file.write(_digest(path, content))
        file.write(content)


def read_checked(path: Path) -> memoryview:
    """Read what :func:`write_checked` wrote.

    Parameters
    ----------
    path : Path
        File.

    Returns
    -------
    content : memoryview
        Content.

    Raises
    ------
    ValueError
        If the file holds anything but what was written under this name.
    OSError
        If it cannot be read.
    """
    content = path.read_bytes()
    known, content = content[:_DIGEST_SIZE], memoryview(content)[_DIGEST_SIZE:]
    if known != _digest(path, content):
        raise ValueError("not what was written")
    return content


def _digest(path, content):
    hashed = blake2b(path.name.encode(errors="surrogateescape"), digest_size=_DIGEST_SIZE)
    hashed.update(content)
    return hashed.digest()
