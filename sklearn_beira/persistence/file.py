"""The file: safetensors with a JSON text in its metadata. Reading checks every claim.

The reader is our own, because the one of safetensors maps the file into memory and accepts a key
twice. This one reads one open file from front to back, and no size in the file is trusted before
the file is known to be that long.
"""

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np
from safetensors.numpy import save

from .._utils.files import atomic_write, expanded, one_line
from ..exceptions import ModelFileError

# Bytes of memory that a file may ask for beside its arrays, which it has to hold itself, and what
# a character and a value of JSON take.
BUDGET = 2**27
_CHARACTER, _VALUE = 8, 2**8
_CHUNK = 2**20
_TEXT, _DIGEST = "sklearn_beira", "blake2b"
_DTYPES = {
    "BOOL": np.dtype("?"),
    **{f"{k}{8 * n}": np.dtype(f"<{k.lower()}{n}") for k in "IU" for n in (1, 2, 4, 8)},
    **{f"F{8 * n}": np.dtype(f"<f{n}") for n in (2, 4, 8)},
}


class ModelFile:
    """An open file with a checked header and a verified checksum.

    Parameters
    ----------
    file : binary file
        Open for reading, seekable.
    max_bytes : int
        Largest file to read.

    Attributes
    ----------
    text : str
        The JSON text.
    arrays : dict of str to tuple, (dtype, shape)
        Type and shape of each array.
    """

    def __init__(self, file: BinaryIO, max_bytes: int):
        self._file, self._left = file, BUDGET
        n_bytes = file.seek(0, os.SEEK_END)
        problem = f"it has {n_bytes} bytes, more than max_bytes={max_bytes}; if you trust it, "
        require(n_bytes <= max_bytes, f"{problem}pass a larger max_bytes")
        file.seek(0)
        n_header = int.from_bytes(file.read(8), "little")
        problem = "it is no safetensors file, or truncated: its header does not fit in it"
        require(n_bytes >= 8 and 0 < n_header <= n_bytes - 8, problem)
        self.spend(_CHARACTER * n_header)
        header = self.parse_json(file.read(n_header), "header")
        metadata = header.pop("__metadata__", None) if isinstance(header, dict) else None
        valid = isinstance(metadata, dict) and isinstance(metadata.get(_TEXT), str)
        require(valid, "it holds no model of sklearn_beira")
        self.text = metadata[_TEXT]
        self.arrays, self._starts = {}, {}
        stop = 0
        for name, entry in sorted(header.items(), key=_offsets):
            dtype, shape = _check_entry(name, entry)
            start, next_stop = entry["data_offsets"]
            valid = start == stop and next_stop - start == dtype.itemsize * math.prod(shape)
            problem = "is not where its size says: it overlaps another array, or leaves a hole"
            require(valid, f"the array {name!r} {problem}")
            stop = next_stop
            self.arrays[name] = dtype, shape
            self._starts[name] = 8 + n_header + start
        stop += 8 + n_header
        problem = f"its arrays end at byte {stop}, the file at {n_bytes}"
        require(stop == n_bytes, f"it is truncated or has something appended: {problem}")
        valid = metadata.get(_DIGEST) == digest(self.text, self.arrays, self._chunks)
        require(valid, "its content is not what was saved: the checksum differs")

    def spend(self, n_bytes: int) -> None:
        """Count memory that the file asks for, and refuse it once this is more than allowed."""
        self._left -= n_bytes
        require(self._left >= 0, f"it asks for more than {BUDGET} bytes of memory, arrays excluded")

    def parse_json(self, text: str | bytes, what: str) -> object:
        """Parse JSON from the file, as :func:`parse_json` does."""
        # Each value but the first follows one of these characters.
        self.spend(_VALUE * sum(map(text.count, b",[{" if isinstance(text, bytes) else ",[{")))
        return parse_json(text, what)

    def read(self, name: str) -> np.ndarray:
        """Read an array."""
        dtype, shape = self.arrays[name]
        self._file.seek(self._starts[name])
        array = np.empty(shape, dtype)
        content = array.reshape(-1).view(np.uint8)
        require(self._file.readinto(content) == array.nbytes, "it was shortened while it was read")
        valid = dtype.kind != "b" or not (content > 1).any()
        require(valid, f"the array {name!r} holds invalid truth values")
        return array

    def _chunks(self, name):
        dtype, shape = self.arrays[name]
        left = dtype.itemsize * math.prod(shape)
        self._file.seek(self._starts[name])
        while left:
            chunk = self._file.read(min(left, _CHUNK))
            require(chunk, "it was shortened while it was read")
            left -= len(chunk)
            yield chunk


def read_file(path: str | os.PathLike, read: Callable[[BinaryIO], object]) -> object:
    """Read a file; every problem with its content becomes one sentence that names it.

    Parameters
    ----------
    path : path-like
        File.
    read : callable
        Takes the open file; its ValueErrors say what is wrong with the content.

    Returns
    -------
    content : object
        What ``read`` returns.

    Raises
    ------
    ModelFileError
        If the file does not exist, or its content is refused.
    """
    try:
        path = check_path(path)
        if not path.is_file():  # reading a pipe would never end
            raise ModelFileError("it does not exist or is not a file; check the path")
        with open(path, "rb") as file:
            return read(file)
    except ValueError as error:
        reason = one_line(error)[:500].rstrip(".")  # it may quote the file at any length
        raise ModelFileError(f"{path} cannot be loaded: {reason}.") from error
    except OSError as error:
        raise ModelFileError(
            f"{path} cannot be loaded: {error.strerror}; check the path."
        ) from error


def require(condition: object, problem: str) -> None:
    """Refuse a file unless a condition holds.

    Parameters
    ----------
    condition : object
        Anything with a truth value.
    problem : str
        What is wrong with the file otherwise.

    Raises
    ------
    ModelFileError
        If the condition is false.
    """
    if not condition:
        raise ModelFileError(problem)


def to_bytes(text: str, arrays: dict[str, np.ndarray]) -> bytes:
    """Make the content of a file.

    Parameters
    ----------
    text : str
        JSON.
    arrays : dict of str to ndarray
        C-contiguous arrays of types that :func:`storable` accepts.

    Returns
    -------
    content : bytes
        The file.
    """
    kinds = {name: (array.dtype, array.shape) for name, array in arrays.items()}
    found = digest(text, kinds, lambda name: [arrays[name].tobytes()])
    return save(arrays, {_TEXT: text, _DIGEST: found})


def digest(text: str, arrays: dict[str, tuple], chunks: Callable[[str], Iterable[bytes]]) -> str:
    """Compute the checksum of a text and arrays.

    It detects damage, not forgery: whoever edits a file can renew it.

    Parameters
    ----------
    text : str
        JSON.
    arrays : dict of str to tuple, (dtype, shape)
        Type and shape of each array.
    chunks : callable
        Returns the bytes of an array in pieces, by its name.

    Returns
    -------
    digest : str
        In hexadecimal.
    """
    hashed = hashlib.blake2b(digest_size=16)
    for part in (text, *sorted(arrays)):
        hashed.update(json.dumps(part).encode())
    for name, (dtype, shape) in sorted(arrays.items(), key=lambda item: item[0]):
        hashed.update(f"{dtype.str} {shape}".encode())
        for chunk in chunks(name):
            hashed.update(chunk)
    return hashed.hexdigest()


def storable(dtype: np.dtype) -> bool:
    """Tell whether arrays of a type can be stored: booleans and the usual integers and floats."""
    return dtype.newbyteorder("<") in _DTYPES.values()


def parse_json(text: str | bytes, what: str) -> object:
    """Parse JSON from an untrusted file.

    Parameters
    ----------
    text : str or bytes
        JSON.
    what : str
        What it is, for messages.

    Returns
    -------
    value : object
        The parsed text.

    Raises
    ------
    ModelFileError
        If the text is not JSON, repeats a key, is nested too deeply, or holds NaN or numbers that
        do not fit into 64 bits.
    """
    try:
        text = text.decode() if isinstance(text, bytes) else text
        return json.loads(
            text,
            object_pairs_hook=_unique_keys,
            parse_int=_bounded_int,
            parse_float=_finite_float,
            parse_constant=_no_constant,
        )
    except RecursionError:
        raise ModelFileError(f"its {what} is nested too deeply") from None
    except ValueError as error:  # also of the decoder and the parser
        raise ModelFileError(f"its {what} is not the JSON that was saved ({error})") from None


def write_file(path: Path, content: bytes) -> None:
    """Write a file, which is complete or not there at all.

    Parameters
    ----------
    path : Path
        The file.
    content : bytes
        Content.

    Raises
    ------
    ValueError
        If it cannot be written.
    """
    try:
        with atomic_write(path) as file:
            file.write(content)
    except OSError as error:
        raise ValueError(
            f"the model cannot be written to {path} ({error.strerror}); check the folder."
        ) from error


def check_path(path: str | os.PathLike) -> Path:
    """Check the path of a file.

    Parameters
    ----------
    path : path-like
        Path given by the user.

    Returns
    -------
    path : Path
        The path, with the home folder expanded.

    Raises
    ------
    TypeError
        If it is not a path.
    ValueError
        If it has no file name, or the home folder of nobody.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path must be a path, got {type(path).__name__}.")
    path = expanded(path)
    if not path.name:
        raise ValueError(f"path {str(path)!r} is a folder; give the name of a file in it.")
    return path


def _offsets(item):
    name, entry = item
    offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
    valid = isinstance(offsets, list) and [type(o) for o in offsets] == [int, int]
    require(valid, f"the array {name!r} has no place in it")
    return offsets


def _check_entry(name, entry):
    dtype, shape = entry.get("dtype"), entry.get("shape")
    valid = len(entry) == 3 and isinstance(dtype, str) and dtype in _DTYPES
    require(valid, f"the array {name!r} is of no type that is saved")
    valid = isinstance(shape, list) and len(shape) <= 8 and all(type(n) is int for n in shape)
    require(valid, f"the array {name!r} has no usable shape")
    require(all(n >= 0 for n in shape), f"the array {name!r} has a negative size")
    # Of an empty array, the other sizes can be anything, but NumPy has a limit.
    require(math.prod(n for n in shape if n) < 2**60, f"the array {name!r} is too large")
    return _DTYPES[dtype], tuple(shape)


def _unique_keys(pairs):
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands there twice")
    return found


def _bounded_int(digits):
    if len(digits) > 21 or abs(int(digits)) >= 2**64:
        raise ValueError("a whole number of more than 64 bits")
    return int(digits)


def _finite_float(digits):
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("a number that is not finite")
    return number


def _no_constant(name):
    raise ValueError(f"{name} is no JSON")
