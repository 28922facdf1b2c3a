"""Silence MNE, also in threads that overlap."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import mne

_lock, _depth, _level = threading.Lock(), 0, None


@contextmanager
def quiet_mne() -> Iterator[None]:
    """Let MNE log errors only.

    The level is that of the whole process, also where MNE's own ``verbose`` sets it: of two
    threads that overlap, the last one to end would leave the level of the other. Here the first
    thread sets it, and the last one sets it back.
    """
    global _depth, _level
    with _lock:
        if _depth == 0:
            _level = mne.set_log_level("error", return_old_level=True)
        _depth += 1
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0:
                mne.set_log_level(_level)
