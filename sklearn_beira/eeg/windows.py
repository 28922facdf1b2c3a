"""A lazy view of EEG that scikit-learn takes for an array: a sample is a BOLD volume."""

from html import escape
from numbers import Real

import joblib
import mne
import numpy as np
from sklearn.utils import check_array, check_consistent_length

from .._utils.numbers import LEAST, check_kind, check_magnitude, to_numbers
from .._utils.warn import warn_user
from .files import (
    RecordingFile,
    content_digest,
    held,
    in_pieces,
    opened,
    recording_path,
    write_recording,
)
from .spans import check_window, overlaps, to_spans

__all__ = ["EEGWindows"]


class EEGWindows:
    """Windows of continuous EEG, one per BOLD volume, cut only when asked for.

    The object looks like an array of shape ``(n_volumes, n_channels, n_times)`` and can be used as
    ``X`` in scikit-learn, but it holds the continuous recordings once, and for every sample a
    recording and an onset. Sample ``i`` is the EEG in ``[onsets[i] + tmin, onsets[i] + tmax)``.
    Indexing rows gives another view of the same recordings. :meth:`from_array` makes the same
    object from epochs that have already been cut.

    Parameters
    ----------
    recordings : list of ndarray, each of shape (n_channels, n_times_in_recording)
        Continuous EEG in V. Arrays are shared, not copied. Do not write to them: results that were
        computed for their content are remembered. Memory maps (:class:`numpy.memmap`) stay on disk:
        windows are read from the file when they are cut, and a copy of the object that is sent to
        another process holds the path, not the EEG.
    recording : array-like of int, shape (n_volumes,)
        Index of the recording of each sample.
    onsets : array-like of float, shape (n_volumes,)
        Onset of each BOLD volume, in s from the start of its recording.
    info : mne.Info
        Channel names, types, positions and the sampling rate, common to all recordings.
    tmin, tmax : float
        Start and end of the window in s relative to the onset, half open as Python's ranges are.
    bads : list of ndarray, each of shape (n_spans, 2), optional
        Start and end of the bad stretches of each recording, in s.
    subjects : list of str or int, optional
        Subject of each recording.

    Attributes
    ----------
    groups : ndarray of shape (n_volumes,)
        Recording of each sample: what scikit-learn's group splitters take as ``groups``.
    subjects : ndarray of shape (n_volumes,) or None
        Subject of each sample, where known: ``groups`` for leaving one subject out.
    times : ndarray, shape (n_volumes,)
        Onset of each volume in s from the start of its recording. Where :meth:`from_array` was not
        told the times, the number of the row within its group.
    has_times : bool
        Whether ``times`` are seconds.
    info : mne.Info or None
        As given; None for arrays without channel names.
    alignment : pandas.DataFrame or None
        Volumes that :func:`align` kept and dropped, one row per recording.
    volumes : ndarray of int, shape (n_volumes,), or None
        Number of each volume in the BOLD of its recording, where :func:`align` knows it.

    Raises
    ------
    ValueError
        If recordings differ in their channels, hold NaN or infinite values or a flat channel, or
        if a window extends beyond its recording.

    See Also
    --------
    align : Build the view from recordings and BOLD.

    Examples
    --------
    >>> import mne, numpy as np
    >>> eeg = np.random.default_rng(0).standard_normal((2, 1000)) * 1e-5
    >>> info = mne.create_info(["Fz", "Oz"], sfreq=100.0, ch_types="eeg")
    >>> X = EEGWindows([eeg], [0, 0, 0], [4.0, 6.0, 8.0], info, tmin=-3.0, tmax=0.0)
    >>> X.shape
    (3, 2, 300)
    >>> X[1:].times
    array([6., 8.])
    """

    def __init__(
        self, recordings, recording, onsets, info, *, tmin, tmax, bads=None, subjects=None
    ):
        if not np.iterable(recordings):  # np.ndim would read all of them
            raise TypeError(
                f"recordings must be a list of arrays, got {type(recordings).__name__}."
            )
        recordings = list(recordings)
        for k, one in enumerate(recordings):
            check_kind(one, f"recording {k}")
        self._recordings = tuple(held(r) for r in recordings)
        self.groups = _whole_numbers(recording)
        self.times = to_numbers(onsets, "onsets").copy()
        _check_shapes(self.recordings, info)
        self._set_info(info)
        bads = [()] * len(self.recordings) if bads is None else bads
        # No arrays: an empty one has another hash once it has been pickled.
        self.bads = tuple(to_spans(spans) for spans in bads)
        if len(self.bads) != len(self.recordings):
            raise ValueError(f"{len(self.recordings)} recording(s) but {len(self.bads)} of bads.")
        if isinstance(subjects, str) or (np.ndim(subjects) == 0 and subjects is not None):
            raise TypeError(f"subjects must be a list, one per recording, got {subjects!r}.")
        self._subjects = None if subjects is None else tuple(subjects)
        if subjects is not None and len(self._subjects) != len(self.recordings):
            raise ValueError(
                f"{len(self.recordings)} recording(s) but {len(self._subjects)} subjects."
            )
        if self.groups.shape != self.times.shape or self.groups.ndim != 1:
            raise ValueError(
                f"recording and onsets must be 1-D and of the same length, got shapes "
                f"{self.groups.shape} and {self.times.shape}."
            )
        if len(self) and not 0 <= self.groups.min() <= self.groups.max() < len(self._recordings):
            raise ValueError(
                f"recording must hold indices of the {len(self.recordings)} recordings, got values "
                f"from {self.groups.min()} to {self.groups.max()}."
            )
        if not np.isfinite(self.times).all():
            raise ValueError("onsets hold NaN or infinite values; drop those volumes.")
        self._set_window(tmin, tmax)
        _check_values(self.recordings, info)
        # Content, not identity, names a recording: the name survives pickling and is the same in
        # every worker, so that what was computed for a recording can be found again.
        self.tokens = tuple(content_digest(r, info) for r in self.recordings)

    @classmethod
    def from_array(cls, X, sfreq=None, *, times=None, groups=None, ch_names=None):
        """Make the same object from epochs that have already been cut.

        Parameters
        ----------
        X : array-like of shape (n, n_channels, n_times) or (n, n_features), or mne.Epochs
            One epoch of EEG in V per volume. A 2-D table is read as a single time point per row.
            Of :class:`mne.Epochs`, the good EEG channels are taken, with their names, positions,
            sampling rate, window, and the times of the events.
        sfreq : float or None
            Sampling rate in Hz; None if unknown. Steps that measure time in seconds need it.
        times : array-like of float, shape (n,), or None
            Onset of each volume, in s from the start of its recording. None if unknown; rows are
            then volumes in order of time.
        groups : array-like of shape (n,) or None
            Label of the recording of each row; None stands for a single recording.
        ch_names : list of str or None
            Names of the channels, of type EEG.

        Returns
        -------
        X : EEGWindows
            Windows that end at the volume onsets. Each epoch is a recording of its own: a filter
            never looks beyond it.

        Raises
        ------
        ValueError
            If shapes do not match, or if X or times hold NaN or infinite values.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_beira import EEGWindows
        >>> epochs = np.random.default_rng(0).standard_normal((5, 8, 400)) * 1e-5
        >>> X = EEGWindows.from_array(epochs, sfreq=100.0)
        >>> X.shape, X.tmin, X.tmax
        ((5, 8, 400), -4.0, 0.0)
        """
        info, tmax = None, 0.0
        if isinstance(X, mne.BaseEpochs) or are_epochs(X):
            X, info, tmax, events = _read_epochs([X] if isinstance(X, mne.BaseEpochs) else X)
            if sfreq is not None or ch_names is not None:
                raise ValueError("mne.Epochs know sfreq and ch_names; leave both out.")
            times = events if times is None else times
        check_kind(X, "X")
        X = check_array(
            X, dtype=[np.float64, np.float32], allow_nd=True, ensure_min_samples=0, input_name="X"
        )
        check_epochs(X)
        if not (sfreq is None or (isinstance(sfreq, Real) and 0 < sfreq < np.inf)):
            raise ValueError(f"sfreq must be a sampling rate above 0 Hz or None, got {sfreq!r}.")
        check_consistent_length(X, times, groups)
        if times is not None:
            times = to_numbers(times, "times").copy()
            if times.ndim != 1 or not np.isfinite(times).all():
                raise ValueError("times must hold one finite number per row of X, in s.")
        if ch_names is not None:
            ch_names = list(ch_names)
            if len(ch_names) != X.shape[1]:
                raise ValueError(f"X has {X.shape[1]} channels but ch_names holds {len(ch_names)}.")
            if sfreq is not None:
                info = mne.create_info(ch_names, sfreq, "eeg")
        groups = None if groups is None else group_labels(groups)
        return cls._of_epochs(X, sfreq, times, groups, ch_names, info, tmax)

    @classmethod
    def _of_epochs(cls, X, sfreq=None, times=None, groups=None, ch_names=None, info=None, tmax=0.0):
        """The same without checks."""
        new = object.__new__(cls)
        new._recordings = held(X if X.ndim == 3 else X[:, :, np.newaxis])
        new._n_times = new._recordings.shape[2]
        new.groups = np.zeros(len(X), dtype=np.intp) if groups is None else groups
        new.has_times = times is not None
        new.times = order_in_groups(new.groups) if times is None else times
        new.tokens, new.bads, new.tmax = None, (), float(tmax)
        new._set_info(info, sfreq, ch_names)
        return new

    # -- what makes it look like an array -------------------------------------------------------
    ndim = 3

    has_times = True
    alignment = volumes = _subjects = None

    # True until somebody says which part of what align kept is to be read.
    _cut_by_align = False
    # True where align returned BOLD whose index names the volumes.
    _y_is_indexed = False

    @property
    def shape(self):
        held_arrays = self._recordings if self.epoched else self._recordings[0]
        return len(self.times), held_arrays.shape[-2], self._n_times

    @property
    def epoched(self):
        """Whether every row is a recording of its own, as made by :meth:`from_array`."""
        return not isinstance(self._recordings, tuple)

    @property
    def recordings(self):
        """Continuous EEG, read-only; files are opened here. Of epoched arrays, a 3-D array."""
        if self.epoched:
            return opened(self._recordings)
        return tuple(opened(r) for r in self._recordings)

    @property
    def source(self):
        """Index of the recording that each window is cut from."""
        return np.arange(len(self)) if self.epoched else self.groups

    @property
    def lengths(self):
        """Number of samples of each recording."""
        if self.epoched:
            return np.full(len(self), self._n_times)
        return np.array([r.shape[1] for r in self._recordings])

    @property
    def dtype(self):
        if self.epoched:
            return self._recordings.dtype
        return np.result_type(*{r.dtype for r in self._recordings})

    @property
    def subjects(self):
        return None if self._subjects is None else np.asarray(self._subjects)[self.groups]

    @property
    def sfreq(self):
        """Sampling rate in Hz."""
        if self._sfreq is None:
            raise ValueError(
                "X is a plain array, whose sampling rate is unknown; pass "
                "EEGWindows.from_array(X, sfreq=...)."
            )
        return self._sfreq

    @property
    def has_sfreq(self):
        """Whether the sampling rate is known."""
        return self._sfreq is not None

    @property
    def tmin(self):
        """Start of the window in s relative to the volume onset."""
        if not self.epoched:
            return self._tmin
        if self._n_times == 1 and not self.has_sfreq:  # a row of a table
            return self.tmax
        return self.tmax - self._n_times / self.sfreq

    @property
    def reach(self):
        """Time in s by which two volumes must be apart for their windows to share nothing.

        From the start of a window to its end, or to its volume where that is later; 0 where the
        times of the volumes are unknown.
        """
        return max(self.tmax, 0.0) - self.tmin if self.has_times else 0.0

    @property
    def content(self):
        """What the samples are, by content and not by identity."""
        if self.epoched:
            eeg = joblib.hash(np.ascontiguousarray(self))
            return eeg, self.groups, self.times, self.tmax, self._sfreq, self.ch_names
        return self.tokens, self.groups, self.times, self.tmin, self.tmax, self.sfreq

    @property
    def starts(self):
        """First sample of each window in its recording."""
        return np.zeros(len(self), dtype=np.int64) if self.epoched else self._starts

    def __len__(self):
        return len(self.times)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key):
        # scikit-learn indexes rows as X[indices, ...]
        key = key if isinstance(key, tuple) else (key,)
        rows, *rest = key or (slice(None),)
        if rows is Ellipsis:
            raise IndexError("index the rows (volumes) of EEGWindows first, as X[rows, ...].")
        if isinstance(rows, int | np.integer):
            return self._cut(range(len(self))[rows])[tuple(rest)]
        view = self._view(rows)
        if all(r is Ellipsis or (isinstance(r, slice) and r == slice(None)) for r in rest):
            return view
        # As in NumPy, an array of rows pairs up with arrays in the other places.
        rows = slice(None) if isinstance(rows, slice) else np.arange(len(view))
        return np.asarray(view)[(rows, *rest)]

    def __array__(self, dtype=None, copy=None):
        if self.epoched:
            eeg = np.asarray(self.recordings, dtype=dtype)
            return eeg.copy() if copy else eeg
        if copy is False:
            raise ValueError("EEGWindows cannot become an array without a copy: windows overlap.")
        out = np.empty(self.shape, dtype=dtype or self.dtype)
        for i in range(len(self)):
            out[i] = self._cut(i)
        return out

    # -- other views ----------------------------------------------------------------------------
    def window(self, tmin, tmax):
        """Return the same samples seen through another window.

        Parameters
        ----------
        tmin, tmax : float
            Start and end of the new window in s relative to the volume onsets. It may be longer
            than the present one, as long as it stays inside the recordings. Epoched arrays are
            recordings of their own.

        Returns
        -------
        X : EEGWindows
            A view of the same recordings.

        Raises
        ------
        ValueError
            If a window would extend beyond its recording.
        """
        new = self._copy()
        if self.epoched:
            new._cut_epochs(tmin, tmax)
        else:
            new._set_window(tmin, tmax)
        new._cut_by_align = False
        return new

    def with_recordings(self, recordings, info, tokens=None, *, sfreq=None):
        """Return the same samples and window over processed recordings.

        Parameters
        ----------
        recordings : list of ndarray, each of shape (n_channels, n_times_in_recording)
            The processed recordings, at the sampling rate of ``info``, starting at the same time.
            Of epoched arrays, an array of shape (n, n_channels, n_times).
        info : mne.Info or None
            Their channels and sampling rate.
        tokens : list of str or None
            A name for the content of each recording, as in ``X.tokens``.
        sfreq : float or None
            Sampling rate in Hz of epoched arrays without ``info``.

        Returns
        -------
        X : EEGWindows
            A view of the new recordings.
        """
        new = self._copy()
        new._set_info(info, sfreq, self.ch_names)
        if self.epoched:
            new._recordings = held(recordings)
            new._n_times = recordings.shape[2]
            return new
        new._recordings = tuple(held(r) for r in recordings)
        new.tokens = tuple(tokens)
        new._set_window(self.tmin, self.tmax)
        return new

    def to_folder(self, folder):
        """Return the same samples over recordings that lie in files.

        Every process that gets the result opens the files itself, so that the EEG is neither sent
        to workers nor held in memory; what is read stays there as long as there is room.

        Parameters
        ----------
        folder : path-like
            Folder for the recordings that samples lie in, as ``.npy`` files that are named by their
            content; those that are there already are not written again. Recordings that lie in
            files stay where they are. The folder must outlive the result.

        Returns
        -------
        X : EEGWindows
            A view of the files; it predicts, compares and is remembered as before.
        """
        if self.epoched:
            eeg = self.recordings
            path = recording_path(folder, joblib.hash(eeg))
            eeg = write_recording(folder, eeg.shape, eeg.dtype, in_pieces(eeg), lambda _: path)
            return self.with_recordings(eeg, self.info, sfreq=self._sfreq)
        recordings = list(self._recordings)
        for k in np.unique(self.groups):
            if not isinstance(recordings[k], RecordingFile):
                eeg = recordings[k]
                path = recording_path(folder, f"{self.tokens[k]}{eeg.dtype}{eeg.shape}")
                recordings[k] = write_recording(
                    folder, eeg.shape, eeg.dtype, in_pieces(eeg), lambda _, path=path: path
                )
        return self.with_recordings(recordings, self.info, self.tokens)

    def stretches(self):
        """Find the continuous stretches of EEG that the windows cover.

        Returns
        -------
        stretches : list of tuple of int, (recording, start, stop)
            Disjoint ranges of samples, in order; their union is the union of the windows.
        """
        order = np.lexsort((self.starts, self.source))
        source, starts = self.source[order], self.starts[order]
        apart = (np.diff(source) != 0) | (np.diff(starts) > self._n_times)
        first = np.r_[True, apart][: len(order)]
        last = np.r_[apart, True][: len(order)]
        stretches = zip(source[first], starts[first], starts[last] + self._n_times, strict=True)
        return [(int(k), int(start), int(stop)) for k, start, stop in stretches]

    def overlaps_bad(self):
        """Tell which windows touch a stretch that was annotated as bad.

        Returns
        -------
        bad : ndarray of bool, shape (n_volumes,)
            True where the window overlaps a bad stretch of its recording.
        """
        bad = np.zeros(len(self), dtype=bool)
        for k, spans in enumerate(self.bads):
            rows = np.flatnonzero(self.groups == k)
            bad[rows] = overlaps(self.times[rows] + self.tmin, self.times[rows] + self.tmax, spans)
        return bad

    # -- inside ---------------------------------------------------------------------------------
    def _copy(self):
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__)
        return new

    def _view(self, rows):
        if not isinstance(rows, slice):
            rows = np.asarray(rows)
            if rows.ndim != 1:
                raise IndexError("the rows of EEGWindows are indexed with a 1-D array.")
            if rows.size == 0:
                rows = rows.astype(np.intp)  # an empty list is an array of floats to NumPy
        new = self._copy()
        # Copied, as strides would give a view and its pickled twin different hashes in joblib.
        if self.epoched:
            new._recordings = held(self.recordings[rows])
        for name in ("groups", "times", "_starts", "volumes"):
            values = getattr(self, name, None)
            if values is not None:
                setattr(new, name, values[rows].copy())
        if not self.has_times:
            new.times = order_in_groups(new.groups)
        return new

    def _cut(self, i):
        if self.epoched:
            return self.recordings[i]
        start = self._starts[i]
        return opened(self._recordings[self.groups[i]])[:, start : start + self._n_times]

    def _set_info(self, info, sfreq=None, ch_names=None):
        self.info = info
        self._sfreq = float(info["sfreq"]) if info is not None else sfreq and float(sfreq)
        self.ch_names = list(info["ch_names"]) if info is not None else ch_names

    def _cut_epochs(self, tmin, tmax):
        check_window(tmin, tmax)
        tmin, tmax = float(tmin) + 0.0, float(tmax) + 0.0  # no -0.0
        # Counted from the end, where the volume is.
        stop = self._n_times - round((self.tmax - tmax) * self.sfreq)
        start = stop - round((tmax - tmin) * self.sfreq)
        if not 0 <= start < stop <= self._n_times:
            raise ValueError(
                f"the window [{tmin:g}, {tmax:g}) s extends beyond the epochs, which hold "
                f"[{self.tmin:g}, {self.tmax:g}) s; cut longer epochs, or give a shorter window."
            )
        self._recordings = held(self.recordings[:, :, start:stop])
        self._n_times, self.tmax = stop - start, tmax

    def _set_window(self, tmin, tmax):
        check_window(tmin, tmax)
        self._tmin, self.tmax = float(tmin) + 0.0, float(tmax) + 0.0  # no -0.0
        n_times = (self.tmax - self.tmin) * self.sfreq
        if not 0.5 < n_times < np.inf:
            raise ValueError(
                f"a window needs tmax > tmin by at least one sample (1/{self.sfreq:g} s), got "
                f"tmin={self.tmin:g} s and tmax={self.tmax:g} s."
            )
        self._n_times = round(n_times)
        starts = (self.times + self.tmin) * self.sfreq
        stops = (self.times + self.tmax) * self.sfreq
        lengths = self.lengths[self.groups]
        # Onsets lie between samples and resampling rounds the length of a recording: a window may
        # end half a sample outside, and is then cut from the samples there are.
        outside = (starts < -0.6) | (stops > lengths + 0.6) | (self._n_times > lengths)
        if outside.any():
            i = int(np.flatnonzero(outside)[0])
            raise ValueError(
                f"the window [{self.tmin:g}, {self.tmax:g}) s leaves the recording for "
                f"{int(outside.sum())} of {len(self)} volumes (first: the volume at "
                f"{self.times[i]:.2f} s of recording {self.groups[i]}, which lasts "
                f"{lengths[i] / self.sfreq:.2f} s); shorten the window, or let align drop these "
                f"volumes with tmin<={self.tmin:g} and tmax>={self.tmax:g}."
            )
        self._starts = np.clip(np.round(starts).astype(np.int64), 0, lengths - self._n_times)

    def __getstate__(self):
        recordings = tuple(
            r if isinstance(r, RecordingFile) or r.flags.forc else np.ascontiguousarray(r)
            for r in self._parts
        )
        return {**self.__dict__, "_recordings": recordings[0] if self.epoched else recordings}

    def __setstate__(self, state):
        self.__dict__.update(state)
        # joblib hands workers memory maps; a plain view of one hashes and indexes like any array.
        recordings = tuple(held(r) for r in self._parts)
        self._recordings = recordings[0] if self.epoched else recordings

    def __sizeof__(self):
        # What a copy would take. joblib's dask backend asks, and sends large objects only once.
        rows = self.groups.nbytes + 2 * self.times.nbytes
        return object.__sizeof__(self) + rows + self._nbytes(of_files=False)

    @property
    def _parts(self):
        return (self._recordings,) if self.epoched else self._recordings

    def _nbytes(self, of_files):
        """Size in bytes of the recordings in files, or of those in memory."""
        return sum(r.nbytes for r in self._parts if isinstance(r, RecordingFile) is of_files)

    def _describe_window(self):
        if not self.has_sfreq:
            return f"windows of {self._n_times} samples"
        return f"windows [{self.tmin:g}, {self.tmax:g}) s at {self.sfreq:g} Hz"

    def __repr__(self):
        n, n_channels, n_times = self.shape
        n_recordings = "epoched" if self.epoched else f"{len(self._recordings)} recording(s)"
        mb = sum(r.nbytes for r in self._parts) / 1e6
        return (
            f"<EEGWindows | {n} volumes x {n_channels} channels x {n_times} time points, "
            f"{self._describe_window()}, {n_recordings}, {mb:.1f} MB>"
        )

    def _facts(self):
        """What it is, in words for HTML, by name."""
        n, n_channels, n_times = self.shape
        names = ", ".join((self.ch_names or [])[:6]) + (", …" if n_channels > 6 else "")
        facts = {
            "Samples": f"{n} BOLD volumes",
            "Channels": f"{n_channels} ({escape(names)})" if self.ch_names else f"{n_channels}",
            "Window": f"{n_times} time points",
        }
        if self.has_sfreq:
            facts["Window"] = (
                f"[{self.tmin:g}, {self.tmax:g}) s around the onset, {n_times} time points"
            )
            facts["Sampling rate"] = f"{self.sfreq:g} Hz"
            seconds = self.lengths.sum() / self.sfreq
            n_recordings = len(np.unique(self.groups)) if self.epoched else len(self._recordings)
            facts["Recordings"] = f"{n_recordings}, {seconds:.1f} s in all"
        return facts

    def _repr_html_(self):
        memory = (
            f"{self._nbytes(of_files=False) / 1e6:.1f} MB held, "
            f"{self._nbytes(of_files=True) / 1e6:.1f} MB in files, "
            f"{np.prod(self.shape) * self.dtype.itemsize / 1e6:.1f} MB as an array"
        )
        rows = {**self._facts(), "Memory": memory}
        body = "".join(f"<tr><th>{k}</th><td>{v}</td></tr>" for k, v in rows.items())
        return f"<table><caption>EEGWindows</caption>{body}</table>"


# -- the pieces of EEGWindows -------------------------------------------------------------------
def _whole_numbers(recording):
    numbers = to_numbers(recording, "recording")
    if not (np.isfinite(numbers) & (numbers == np.round(numbers))).all():
        raise ValueError("recording must hold whole numbers, the index of each volume's recording.")
    return numbers.astype(np.intp)


def _check_shapes(recordings, info):
    if not recordings:
        raise ValueError("EEGWindows needs at least one recording.")
    if not isinstance(info, mne.Info):
        raise TypeError(f"info must be mne.Info, got {type(info).__name__}.")
    n_channels = len(info["ch_names"])
    for k, data in enumerate(recordings):
        if data.ndim != 2 or data.shape[0] != n_channels or not data.size:
            raise ValueError(
                f"recording {k} must have shape ({n_channels} channels, n_times), got {data.shape}."
            )
        if not np.issubdtype(data.dtype, np.floating):
            raise TypeError(f"recording {k} must hold floating point numbers, got {data.dtype}.")


def _check_values(recordings, info):
    for k, data in enumerate(recordings):
        for name, channel in zip(info["ch_names"], data, strict=True):
            low, high = channel.min(), channel.max()
            if not (np.isfinite(low) and np.isfinite(high)):
                raise ValueError(
                    f"channel {name!r} of recording {k} holds NaN or infinite values; interpolate "
                    f"it, or mark the channel as bad."
                )
            check_magnitude(np.array([low, high]), f"channel {name!r} of recording {k}")
            if float(high) - float(low) < LEAST:
                raise ValueError(
                    f"channel {name!r} of recording {k} is flat; mark it as bad (raw.info['bads']) "
                    f"or interpolate it."
                )
        _check_unit(k, data, info)


def _check_unit(k, data, info):
    """Notice EEG of a size that no cleaned EEG in V has."""
    eeg = mne.pick_types(info, eeg=True, exclude=())
    if not len(eeg):
        return
    sd = _sd_within_seconds(data, eeg, info["sfreq"])
    if sd > 1.0:
        what = "like µV taken for V"
    elif sd > 1e-3:
        what = "like mV taken for V or EEG that still has its gradient artifacts"
    elif sd < 5e-8:
        what = "as if it had been scaled to V twice"
    else:
        return
    warn_user(
        f"the EEG of recording {k} has an SD of {sd:.2g} V within seconds (median over channels), "
        f"{what}; MNE and sklearn-beira take cleaned EEG in V."
    )


def _sd_within_seconds(data, channels, sfreq, n_most=200):
    """SD within a second, median over channels and over seconds spread over the recording."""
    n_times = data.shape[1]
    length = min(n_times, max(2, round(sfreq)))
    starts = np.linspace(0, n_times - length, min(n_most, n_times // length)).astype(int)
    return float(np.median([data[channels, s : s + length].std(axis=1) for s in starts]))


# -- epoched arrays -----------------------------------------------------------------------------
def check_epochs(X):
    """Check the shape and the size of an array of finite numbers.

    Parameters
    ----------
    X : ndarray
        As given.

    Raises
    ------
    ValueError
        If it is no array of epochs.
    """
    if X.ndim not in (2, 3):
        raise ValueError(
            f"X must be EEGWindows or an array (n_samples, n_channels, n_times), got {X.ndim} "
            f"dimensions."
        )
    if len(X) and not X.size:
        raise ValueError(f"X has windows without a time point, got shape {X.shape}.")
    check_magnitude(X, "X")


def order_in_groups(groups):
    """Number the rows of each group, in the order in which they come."""
    order = np.argsort(groups, kind="stable")
    _, first, counts = np.unique(groups[order], return_index=True, return_counts=True)
    number = np.empty(len(groups))
    number[order] = np.arange(len(groups)) - np.repeat(first, counts)
    return number


def group_labels(groups):
    """Recording of each row, as labels that can be sorted.

    Parameters
    ----------
    groups : array-like of shape (n_samples,)
        As given.

    Returns
    -------
    labels : ndarray of shape (n_samples,)
        The same.

    Raises
    ------
    ValueError
        If a row has no label, or if labels are of types that have no common order.
    """
    labels = np.asarray(groups)
    try:
        known = np.unique(labels)
    except TypeError:
        known = [None]
    if labels.ndim != 1 or any(label is None or label != label for label in known):
        raise ValueError(
            f"groups must name the recording of each row by a number or a text, got "
            f"{np.array2string(labels, threshold=5)}."
        )
    return labels


def as_windows(X):
    """Make EEGWindows of what :meth:`EEGWindows.from_array` takes; EEGWindows stay as they are."""
    return X if isinstance(X, EEGWindows) else EEGWindows.from_array(X)


def are_epochs(X):
    """Whether scikit-learn made a list of the rows of mne.Epochs, which it cannot index."""
    return isinstance(X, list) and bool(X) and all(isinstance(e, mne.BaseEpochs) for e in X)


def _read_epochs(parts):
    """Data in V, Info of the good EEG channels, end of the window and times of the events."""
    first = parts[0]
    picks = mne.pick_types(first.info, eeg=True)
    if not len(picks):
        raise ValueError(
            f"the epochs have no good EEG channel; their channel types are "
            f"{sorted(set(first.get_channel_types()))}."
        )
    data = np.concatenate([epochs.get_data(picks, copy=False) for epochs in parts])
    times = np.concatenate([epochs.events[:, 0] for epochs in parts]) / first.info["sfreq"]
    end = first.tmin + data.shape[2] / first.info["sfreq"]
    return data, mne.pick_info(first.info, picks), end, times
