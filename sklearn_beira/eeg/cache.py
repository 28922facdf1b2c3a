"""What was computed for a recording is remembered, within bounds."""

import threading
from collections import OrderedDict
from functools import partial

import numpy as np
from joblib import Parallel, delayed


class _Cache:
    """Results by key, bounded in bytes; the ones used longest ago go first.

    A result is a tuple whose first member is the array that counts.
    """

    def __init__(self, limit):
        self.limit = limit
        self._results, self._lock = OrderedDict(), threading.Lock()

    def get(self, key):
        with self._lock:
            if key in self._results:
                self._results.move_to_end(key)
            return self._results.get(key)

    def put(self, key, result):
        with self._lock:
            self._results[key] = result
            while sum(data.nbytes for data, *_ in self._results.values()) > self.limit:
                self._results.popitem(last=False)

    def clear(self):
        with self._lock:
            self._results.clear()


class RowCache:
    """Rows of features of a recording, by the first sample of their window.

    A cross-validation asks for the same volumes again and again, in another choice each time. What
    a row holds depends on nothing but its recording, the settings (both in the key) and where its
    window starts, so only rows never asked for before are computed.

    Parameters
    ----------
    limit : int
        Bytes kept; the recordings used longest ago go first.
    """

    def __init__(self, limit):
        self._cache = _Cache(limit)
        self._working, self._lock = {}, threading.Lock()

    def rows(self, key, starts, compute):
        """Look rows up, computing those that are missing.

        Parameters
        ----------
        key : hashable
            Recording and settings.
        starts : ndarray of int, shape (n_rows,)
            First sample of each row's window, in any order, with or without repetitions.
        compute : callable
            From an ndarray of starts, sorted and unique, to their rows ``(n_starts, ...)``.

        Returns
        -------
        rows : ndarray, shape (n_rows, ...)
            A copy of the rows, in the order of ``starts``.
        """
        with self._lock:
            # One thread at a time works on a recording; the next one finds what it left.
            lock, waiting = self._working.get(key, (threading.Lock(), 0))
            self._working[key] = lock, waiting + 1
        try:
            with lock:
                rows, known = self._cache.get(key) or (None, np.empty(0, dtype=np.int64))
                missing = np.setdiff1d(starts, known)
                if rows is None or len(missing):
                    new = compute(missing)
                    known = np.concatenate([known, missing])
                    order = np.argsort(known)
                    rows = (new if rows is None else np.concatenate([rows, new]))[order]
                    known = known[order]
                    self._cache.put(key, (rows, known))
        finally:
            with self._lock:
                lock, waiting = self._working.pop(key)
                if waiting > 1:
                    self._working[key] = lock, waiting - 1
        return rows[np.searchsorted(known, starts)]

    def clear(self):
        """Forget everything."""
        self._cache.clear()


#: Rows of all feature steps of this process.
feature_rows = RowCache(limit=1024**3)


def recording_rows(compute, X, settings, n_jobs=None):
    """Compute one row per sample of X, each recording on its own, and remember the rows.

    Parameters
    ----------
    compute : callable
        From continuous EEG ``(n_channels, n_times)`` and the first samples of windows, ndarray
        ``(n_starts,)``, to rows ``(n_starts, ...)``.
    X : EEGWindows
        Samples; rows of epoched arrays are not remembered.
    settings : tuple
        All that the rows depend on besides the recording and the start of the window.
    n_jobs : int or None
        Recordings worked on at the same time (threads).

    Returns
    -------
    rows : ndarray, shape (n_samples, ...)
        The rows, in the order of the samples.
    """
    if X.epoched:
        start = np.zeros(1, dtype=np.int64)
        return np.concatenate([compute(window, start) for window in X.recordings])
    used = np.unique(X.source)
    members = [np.flatnonzero(X.source == k) for k in used]
    # Threads whatever the backend: what is remembered, behind a lock, is that of this process.
    parts = Parallel(n_jobs=n_jobs, require="sharedmem", return_as="generator")(
        delayed(feature_rows.rows)(
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
