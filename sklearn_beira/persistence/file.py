"""The file: safetensors, with a JSON text in its metadata; read with every claim checked.

The reader is our own: the one of safetensors maps the file into memory and takes the last of two
equal keys. Here one open file is read front to back, and nothing is allocated on its word alone.
"""

import hashlib
import json
import math
import os
import secrets
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from ..exceptions import ModelFileError

MAX_HEADER = 32 * 2**20  # bytes
MAX_VALUES = 2**20  # in a JSON text
_CHUNK = 2**20
_TEXT, _DIGEST = "sklearn_beira", "blake2b"
_DTYPES = {
    "BOOL": np.dtype("?"),
    **{f"{k}{8 * n}": np.dtype(f"<{k.lower()}{n}") for k in "IU" for n in (1, 2, 4, 8)},
    **{f"F{8 * n}": np.dtype(f"<f{n}") for n in (2, 4, 8)},
}


class ModelFile:
    """An open file whose header is checked and whose content is what was saved.

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
        What arrays there are.
    """

    def __init__(self, file, max_bytes):
        self._file = file
        n_bytes = file.seek(0, os.SEEK_END)
        if n_bytes > max_bytes:
            raise ModelFileError(
                f"it has {n_bytes} bytes, more than max_bytes={max_bytes}; if you trust it, give a "
                f"larger max_bytes"
            )
        file.seek(0)
        n_header = int.from_bytes(file.read(8), "little")
        if n_bytes < 8 or not 0 < n_header <= min(MAX_HEADER, n_bytes - 8):
            raise ModelFileError(
                "it is no safetensors file, or truncated: its header does not fit in it"
            )
        header = parse_json(file.read(n_header), "header")
        metadata = header.pop("__metadata__", None) if isinstance(header, dict) else None
        if not isinstance(metadata, dict) or not isinstance(metadata.get(_TEXT), str):
            raise ModelFileError("it holds no model of sklearn_beira")
        self.text = metadata[_TEXT]
        self.arrays, self._starts = {}, {}
        stop = 0
        for name, entry in sorted(header.items(), key=_start_of):
            dtype, shape, start, next_stop = _check_entry(name, entry)
            if start != stop or next_stop - start != dtype.itemsize * math.prod(shape):
                raise ModelFileError(
                    f"the array {name!r} does not lie where its size says: it overlaps another, or "
                    f"leaves a hole"
                )
            stop = next_stop
            self.arrays[name] = dtype, shape
            self._starts[name] = 8 + n_header + start
        if 8 + n_header + stop != n_bytes:
            raise ModelFileError(
                f"it is truncated or has something appended: its arrays end at byte "
                f"{8 + n_header + stop}, the file at {n_bytes}"
            )
        if metadata.get(_DIGEST) != digest(self.text, self.arrays, self._chunks):
            raise ModelFileError("its content is not what was saved: the checksum differs")

    def read(self, name):
        """Read an array."""
        dtype, shape = self.arrays[name]
        self._file.seek(self._starts[name])
        array = np.empty(shape, dtype)
        content = array.reshape(-1).view(np.uint8)
        if self._file.readinto(content) != array.nbytes:
            raise ModelFileError("it became shorter while it was read")
        if dtype.kind == "b" and (content > 1).any():
            raise ModelFileError(f"the array {name!r} holds truth values that are none")
        return array

    def _chunks(self, name):
        dtype, shape = self.arrays[name]
        left = dtype.itemsize * math.prod(shape)
        self._file.seek(self._starts[name])
        while left:
            chunk = self._file.read(min(left, _CHUNK))
            if not chunk:
                raise ModelFileError("it became shorter while it was read")
            left -= len(chunk)
            yield chunk


def to_bytes(text, arrays):
    """Write a text and arrays as the bytes of a file.

    Parameters
    ----------
    text : str
        JSON.
    arrays : dict of str to ndarray
        C-contiguous arrays of a type in ``_DTYPES``.

    Returns
    -------
    content : bytes
        The file.
    """
    kinds = {name: (array.dtype, array.shape) for name, array in arrays.items()}
    found = digest(text, kinds, lambda name: [arrays[name].tobytes()])
    return save(arrays, {_TEXT: text, _DIGEST: found})


def digest(text, arrays, chunks):
    """Checksum of a text and arrays. It finds damage; whoever edits a file can renew it.

    Parameters
    ----------
    text : str
        JSON.
    arrays : dict of str to tuple, (dtype, shape)
        What arrays there are.
    chunks : callable
        Gives the bytes of an array, by name, in pieces.

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


def storable(dtype):
    """Tell whether arrays of a type can be stored.

    Parameters
    ----------
    dtype : numpy.dtype
        Type, in any byte order.

    Returns
    -------
    storable : bool
        True for booleans and the usual integers and floats.
    """
    return dtype.newbyteorder("<") in _DTYPES.values()


def parse_json(text, what):
    """Parse JSON of strangers: no key twice, no NaN, no number that overflows, nothing huge.

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
        If it is anything else.
    """
    try:
        text = text.decode() if isinstance(text, bytes) else text
        # Every value but the first stands behind one of these: a bound on what is allocated.
        if sum(map(text.count, ",[{")) > MAX_VALUES:
            raise ValueError(f"more than {MAX_VALUES} values")
        return json.loads(
            text,
            object_pairs_hook=_no_key_twice,
            parse_int=_bounded_int,
            parse_float=_finite_float,
            parse_constant=_no_constant,
        )
    except RecursionError:
        raise ModelFileError(f"its {what} is nested too deeply") from None
    except ValueError as error:  # of the decoder and of the parser, too
        raise ModelFileError(f"its {what} is not the JSON that was saved ({error})") from None


def write_atomically(path, write):
    """Write a file under a temporary name beside it, then give it its own.

    Whenever this is interrupted, the old file is there, whole.

    Parameters
    ----------
    path : Path
        Where.
    write : callable
        Writes to the open binary file that it gets.

    Raises
    ------
    ValueError
        If the folder is not there or cannot be written to.
    """
    temporary = path.with_name(f".{path.name[:200]}.{secrets.token_hex(6)}.tmp")
    try:
        try:
            with open(temporary, "xb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        if os.name == "posix":  # where a folder can be synced: the new name is on disk as well
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except OSError as error:
        raise ValueError(
            f"the model cannot be written to {path} ({error.strerror}); check the folder."
        ) from error


def check_path(path):
    """Check a path given by the user.

    Parameters
    ----------
    path : path-like
        As given.

    Returns
    -------
    path : Path
        The path, the home folder expanded.

    Raises
    ------
    TypeError
        If it is no path.
    ValueError
        If it names no file.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path must be a path, got {type(path).__name__}.")
    path = Path(path).expanduser()
    if not path.name:
        raise ValueError(f"path {str(path)!r} is a folder; give the name of a file in it.")
    return path


def _start_of(item):
    offsets = item[1].get("data_offsets") if isinstance(item[1], dict) else None
    if isinstance(offsets, list) and len(offsets) == 2 and all(type(o) is int for o in offsets):
        return offsets
    raise ModelFileError(f"the array {item[0]!r} has no place in it")


def _check_entry(name, entry):
    dtype, shape = entry.get("dtype"), entry.get("shape")
    if len(entry) != 3 or not isinstance(dtype, str) or dtype not in _DTYPES:
        raise ModelFileError(f"the array {name!r} is of no type that is saved")
    if not isinstance(shape, list) or len(shape) > 8 or any(type(n) is not int for n in shape):
        raise ModelFileError(f"the array {name!r} has no usable shape")
    if any(n < 0 for n in shape):
        raise ModelFileError(f"the array {name!r} has a negative size")
    # An empty array may claim any other size; numpy could not make it.
    if math.prod(n for n in shape if n) >= 2**60:
        raise ModelFileError(f"the array {name!r} is too large")
    return _DTYPES[dtype], tuple(shape), *entry["data_offsets"]


def _no_key_twice(pairs):
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
