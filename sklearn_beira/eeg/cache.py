"""Filtered recordings and features, kept in memory within one bound per process."""

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import partial
from numbers import Integral
from weakref import WeakValueDictionary

import numpy as np
from joblib import Parallel, delayed


class Cache:
    """Results by key, bounded in bytes; the least recently used are dropped first.

    Parameters
    ----------
    size : int
        Bytes. Of a result, a tuple, the array that comes first counts.
    """

    def __init__(self, size: int):
        self.size = size
        self._results, self._lock = OrderedDict(), threading.Lock()
        self._row_locks = WeakValueDictionary()

    def get(self, key: Hashable) -> tuple | None:
        """Return a result, or None."""
        with self._lock:
            if key in self._results:
                self._results.move_to_end(key)
            return self._results.get(key)

    def put(self, key: Hashable, result: tuple) -> None:
        """Keep a result, as far as there is room."""
        if result[0].nbytes > self.size:  # it would drop all others, and then itself
            return
        with self._lock:
            self._results[key] = result
            self._drop()

    def get_or(self, key: Hashable, compute: Callable) -> np.ndarray:
        """Return an array, computed and kept if there is none."""
        found = self.get(key)
        if found is None:
            found = (compute(),)
            self.put(key, found)
        return found[0]

    def resize(self, size: int) -> None:
        """Change the bound."""
        with self._lock:
            self.size = size
            self._drop()

    def clear(self) -> None:
        """Drop all results."""
        with self._lock:
            self._results.clear()

    def rows(self, key: Hashable, starts: np.ndarray, compute: Callable) -> np.ndarray:
        """Return features of windows, computing those that are missing.

        Parameters
        ----------
        key : hashable
            Recording and settings.
        starts : ndarray of int, shape (n_rows,)
            First sample of each window, in any order, possibly repeated.
        compute : callable
            Takes sorted unique starts ``(n_starts,)`` and returns their rows ``(n_starts, ...)``.

        Returns
        -------
        rows : ndarray, shape (n_rows, ...)
            A copy of the rows, in the order of ``starts``.
        """
        with self._lock:
            lock = self._row_locks.setdefault(key, threading.Lock())
        with lock:  # the next thread finds what this one has computed
            rows, known = self.get(key) or (None, np.empty(0, dtype=np.int64))
            missing = np.setdiff1d(starts, known)
            if rows is None or len(missing):
                new = compute(missing)
                known = np.concatenate([known, missing])
                order = np.argsort(known)
                rows = (new if rows is None else np.concatenate([rows, new]))[order]
                known = known[order]
                self.put(key, (rows, known))
        return rows[np.searchsorted(known, starts)]

    def _drop(self):
        while sum(array.nbytes for array, *_ in self._results.values()) > self.size:
            self._results.popitem(last=False)


#: The cache of this process.
results = Cache(int(os.environ.get("SKLEARN_BEIRA_CACHE_SIZE", 10**9)))


def set_cache_size(n_bytes: int) -> None:
    """Set how much memory filtered recordings and features may take in this process.

    In a cross-validation, every fold and grid point asks for the same recordings. Filtered
    recordings and the features of volumes are therefore kept in memory, the most recently used
    ones first. The default is 1 GB, or the environment variable ``SKLEARN_BEIRA_CACHE_SIZE``,
    which worker processes read as well.

    Parameters
    ----------
    n_bytes : int
        Bytes; 0 keeps nothing.

    Raises
    ------
    ValueError
        If ``n_bytes`` is not a whole number of at least 0.

    See Also
    --------
    EEGFilter : With ``folder``, keeps filtered recordings in files.

    Examples
    --------
    >>> from sklearn_beira.eeg import set_cache_size
    >>> set_cache_size(4 * 10**9)
    >>> set_cache_size(10**9)
    """
    if not isinstance(n_bytes, Integral) or n_bytes < 0:
        raise ValueError(f"n_bytes must be a whole number of at least 0, got {n_bytes!r}.")
    results.resize(n_bytes)


def process_recordings(process: Callable, X, info, n_jobs: int | None = None):
    """Process the recordings that X has samples of.

    Parameters
    ----------
    process : callable
        Takes the number of a recording; returns the processed recording and the name of its
        content.
    X : EEGWindows
        Samples of continuous recordings.
    info : mne.Info
        Channels and sampling rate of the processed recordings.
    n_jobs : int or None
        Number of recordings to work on in parallel (threads).

    Returns
    -------
    X : EEGWindows
        The same samples over the processed recordings.
    """
    used = np.unique(X.source)
    # Threads, whatever the backend: the cache is that of this process.
    done = Parallel(n_jobs=n_jobs, require="sharedmem")(delayed(process)(k) for k in used)
    # Recordings without samples are not processed, but keep their number.
    recordings = [np.zeros((len(info["ch_names"]), 1), np.float32)] * len(X.recordings)
    tokens = list(X.tokens)
    for k, (recording, token) in zip(used, done, strict=True):
        recordings[k], tokens[k] = recording, token
    return X.with_recordings(recordings, info, tokens)


def recording_rows(compute: Callable, X, settings: tuple, n_jobs: int | None = None) -> np.ndarray:
    """Compute one row per sample of X, one recording at a time, and keep the rows.

    Parameters
    ----------
    compute : callable
        Takes continuous EEG ``(n_channels, n_times)`` and the first samples of windows
        ``(n_starts,)``; returns rows ``(n_starts, ...)``.
    X : EEGWindows
        Samples. Rows of epoched arrays are not kept.
    settings : tuple
        Everything that the rows depend on, except for the recording and the start of the window.
    n_jobs : int or None
        Number of recordings to work on in parallel (threads).

    Returns
    -------
    rows : ndarray, shape (n_samples, ...)
        The rows, in the order of the samples.
    """
    if X.epoched:
        start = np.zeros(1, dtype=np.int64)
        return np.concatenate([compute(epoch, start) for epoch in X.recordings])
    used = np.unique(X.source)
    members = [np.flatnonzero(X.source == k) for k in used]
    # Threads, whatever the backend: the cache is that of this process.
    parts = Parallel(n_jobs=n_jobs, require="sharedmem", return_as="generator")(
        delayed(results.rows)(
            (X.tokens[k], *settings), X.starts[rows], partial(compute, X.recordings[k])
        )
        for k, rows in zip(used, members, strict=True)
    )
    out = None
    for rows, part in zip(members, parts, strict=True):
        if out is None:
            out = np.empty((len(X), *part.shape[1:]))
        out[rows] = part
    return out
