"""Recordings in files, which every process opens itself."""

import math
import os
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

import joblib
import numpy as np

from .._utils.files import expanded, one_line, sync, temporary_file, writable_folder

# Samples copied at a time.
_CHUNK = 2**16
_DIGEST_SIZE = 16
# Size and date of the files that were checked, by path.
_checked = {}


class RecordingFile:
    """A recording in a file, which is opened when it is first read.

    Pickling keeps the path, not the numbers.

    Parameters
    ----------
    path : path-like
        File.
    offset : int
        First byte of the numbers in the file.
    shape : tuple of int, (n_channels, n_times) or (n, n_channels, n_times)
        Shape.
    dtype : dtype
        Type of the numbers.
    strides : tuple of int
        Steps from channel to channel and from sample to sample, in bytes.
    """

    def __init__(self, path, offset, shape, dtype, strides):
        self.path = os.path.abspath(path)  # noqa: PTH100 (links stay, ".." goes)
        self.offset, self.shape, self.strides = int(offset), tuple(shape), tuple(strides)
        self._dtype = np.dtype(dtype).str
        self._stamp = _stamp(self.path)
        self._array = None

    @property
    def dtype(self):
        """Type of the numbers."""
        return np.dtype(self._dtype)

    @property
    def nbytes(self):
        """Size of the array in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def array(self):
        """A read-only view of the file, which then stays open."""
        if self._array is None:
            self._array = self._open()
        return self._array

    def _open(self):
        try:
            now = _stamp(self.path)
        except OSError as error:
            raise ValueError(
                f"the file of a recording cannot be read: {self.path} ({error.strerror}); keep it "
                f"where it was, on a disk that all workers share."
            ) from error
        if now != self._stamp:
            raise ValueError(
                f"the file of a recording has changed since X was made: {self.path}; make X again, "
                f"and do not write to its files."
            )
        extent = self.dtype.itemsize
        extent += sum((n - 1) * step for n, step in zip(self.shape, self.strides, strict=True))
        raw = np.memmap(self.path, np.uint8, mode="r", offset=self.offset, shape=(extent,))
        return np.ndarray(self.shape, self.dtype, np.asarray(raw), strides=self.strides)

    def __getstate__(self):
        return {**self.__dict__, "_array": None}


def held(recording):
    """Make a recording read-only; of a memory map, keep the path.

    Parameters
    ----------
    recording : array-like, shape (n_channels, n_times)
        Recording.

    Returns
    -------
    recording : ndarray or RecordingFile
        RecordingFile for a memory map.
    """
    if isinstance(recording, RecordingFile):
        return recording
    view = np.asarray(recording).view()
    view.flags.writeable = False
    if not isinstance(recording, np.memmap) or recording.ndim not in (2, 3) or not recording.size:
        return view
    whole = recording
    while isinstance(whole.base, np.memmap):
        whole = whole.base
    path = whole.filename
    # joblib deletes its files after the call that they were made for.
    if path is None or "joblib_memmapping_folder" in str(path) or min(view.strides) < 0:
        return view
    offset = whole.offset + view.ctypes.data - whole.ctypes.data
    try:
        file = RecordingFile(path, offset, view.shape, view.dtype, view.strides)
    except OSError:  # a deleted file, whose memory map is still open
        return view
    file._array = view
    return file


def opened(recording):
    """Return a recording from :func:`held` as a read-only array."""
    return recording.array if isinstance(recording, RecordingFile) else recording


def content_digest(recording, info):
    """Name the content of a recording, the same in every process.

    Parameters
    ----------
    recording : ndarray, shape (n_channels, n_times)
        EEG.
    info : mne.Info
        Results also depend on types, bad channels and positions.

    Returns
    -------
    digest : str
        Name.
    """
    info = info.copy()
    with info._unlock():  # MNE lists these points in an order that changes with the process
        info["dig"] = None
    head = f"{joblib.hash(info)}{recording.dtype}{recording.shape}"
    digest = blake2b(head.encode(), digest_size=16)
    for channel in recording:
        digest.update(np.ascontiguousarray(channel))
    return digest.hexdigest()


def recording_path(folder, token):
    """Name the file of a recording by its content.

    Parameters
    ----------
    folder : path-like
        Folder.
    token : str
        Name of the content.

    Returns
    -------
    path : Path
        File in the folder.
    """
    name = blake2b(token.encode(), digest_size=16).hexdigest()
    return expanded(folder) / f"{name}.npy"


def find_recording(path):
    """Open a recording that was written before.

    A file ends with a digest of its name and content, which is checked once per process.

    Parameters
    ----------
    path : Path
        File.

    Returns
    -------
    recording : memmap or None
        None if there is no file.

    Raises
    ------
    ValueError
        If it does not hold what was written under this name.
    """
    try:
        stamp, recording = _stamp(path), np.load(path, mmap_mode="r", allow_pickle=False)
        if _checked.get(path) != stamp:
            with open(path, "rb") as file:
                file.seek(-_DIGEST_SIZE, os.SEEK_END)
                if file.read() != _digest(path, recording):
                    raise ValueError("its content has changed")
            _checked[path] = stamp
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(
            f"the file of a recording cannot be used: {path} ({one_line(error)}); delete it, so "
            f"that it is written again."
        ) from error
    return recording


def kept_recording(path, shape, dtype, pieces):
    """Open a recording that was written before, or write it.

    Parameters
    ----------
    path : Path
        File.
    shape, dtype, pieces : object
        As in :func:`write_recording`; pieces are not made if there is a file.

    Returns
    -------
    recording : memmap
        Memory map of the file.
    """
    found = find_recording(path)
    if found is not None:
        return found
    return write_recording(path.parent, shape, dtype, pieces, lambda _: path)


def write_recording(folder, shape, dtype, pieces, name):
    """Write a recording piece by piece; the file appears when it is complete.

    Parameters
    ----------
    folder : path-like
        Folder.
    shape : tuple of int, (n_channels, n_times) or (n, n_channels, n_times)
        Shape.
    dtype : dtype
        Type of the numbers.
    pieces : iterable of ndarray, each of shape (n_channels, n_some) or (n, n_some, n_times)
        The recording, from its start to its end.
    name : callable
        Takes the complete memory map and returns the path of the file.

    Returns
    -------
    recording : memmap
        Memory map of the file.
    """
    folder, dtype = writable_folder(folder, "recordings"), np.dtype(dtype)
    shape = tuple(map(int, shape))  # NumPy cannot read a header with its own integers
    step, start = dtype.itemsize * math.prod(shape[2:]), 0
    with temporary_file(folder) as file:
        # Not through a memory map, which ends the process where the disk is full.
        with _naming(folder):
            header = {"descr": dtype.str, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            first = file.tell()
        for piece in pieces:
            with _naming(folder):
                for k, row in enumerate(piece):
                    file.seek(first + (k * shape[1] + start) * step)
                    file.write(np.ascontiguousarray(row, dtype))
            start += piece.shape[1]
        with _naming(folder):
            file.flush()
            whole = np.load(file.name, mmap_mode="r", allow_pickle=False)
            path = Path(name(whole))
            file.seek(0, os.SEEK_END)
            file.write(_digest(path, whole))
            sync(file)
            file.close()
            _put_in_place(file.name, path)
    return np.load(path, mmap_mode="r", allow_pickle=False)


@contextmanager
def _naming(folder):
    try:
        yield
    except OSError as error:
        raise ValueError(
            f"recordings cannot be written to the folder {folder} ({error.strerror}); use another."
        ) from error


def _put_in_place(temporary, path):
    # The first file stays: other processes may have opened it, and check its date.
    try:
        os.link(temporary, path)
    except OSError:
        if find_recording(path) is None:  # the disk has no links
            Path(temporary).replace(path)


def fill(whole, pieces):
    """Fill an array (n_channels, n_times) with pieces (n_channels, n_some), and return it."""
    start = 0
    for piece in pieces:
        whole[:, start : start + piece.shape[1]] = piece
        start += piece.shape[1]
    return whole


def in_pieces(array):
    """Yield views (n_channels, n_some) of a few MB of a recording (n_channels, n_times)."""
    for start in range(0, array.shape[1], _CHUNK):
        yield array[:, start : start + _CHUNK]


def _digest(path, recording):
    head = f"{path.name}{recording.dtype.str}{recording.shape}"
    hashed = blake2b(head.encode(), digest_size=_DIGEST_SIZE)
    for row in recording:
        hashed.update(np.ascontiguousarray(row))
    return hashed.digest()


def _stamp(path):
    status = Path(path).stat()
    return status.st_size, status.st_mtime_ns
