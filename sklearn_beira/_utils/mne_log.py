"""MNE without its log, also where threads overlap."""

import threading
from contextlib import contextmanager

import mne

_lock, _depth, _level = threading.Lock(), 0, None


@contextmanager
def quiet_mne():
    """Let MNE log errors only; the level comes back when the last thread is done.

    ``mne.use_log_level`` in two threads at once can leave the level of one of them behind.
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
