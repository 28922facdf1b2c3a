"""Headers of BrainVision that name other files than theirs, as after renaming."""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ENDINGS = {b"DataFile": (".eeg", ".dat"), b"MarkerFile": (".vmrk",)}


@contextmanager
def with_its_files(path: Path) -> Iterator[Path]:
    """Find a header whose data and markers exist: the file, or a temporary copy that is mended.

    Parameters
    ----------
    path : Path
        EEG of any format.

    Yields
    ------
    path : Path
        File to read. Files that do not exist are replaced by those with the name of the header.
    """
    text = mended = path.read_bytes() if path.suffix == ".vhdr" else b""
    for key, endings in _ENDINGS.items():
        named = re.search(rb"^%s=(.*?)\s*$" % key, mended, re.MULTILINE)
        beside = [path.with_suffix(ending).resolve() for ending in endings]
        beside = [str(file).encode() for file in beside if file.exists()]
        if named and beside and not (path.parent / named[1].decode(errors="replace")).exists():
            mended = mended[: named.start(1)] + beside[0] + mended[named.end(1) :]
    if mended == text:
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        copy.write_bytes(mended)
        yield copy
