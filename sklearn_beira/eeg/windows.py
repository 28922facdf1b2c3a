"""EEGWindows: array-like container of EEG windows, one per BOLD volume."""

from collections.abc import Sequence
from html import escape
from numbers import Real
from os import PathLike
from typing import Self

import joblib
import mne
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.utils import check_array, check_consistent_length

from .._utils.numbers import LEAST, check_kind, check_magnitude, to_numbers
from .._utils.warn import warn_once
from .channels import pick_eeg
from .recordings import (
    RecordingFile,
    content_digest,
    held,
    in_pieces,
    kept_recording,
    opened,
    recording_path,
)
from .rows import group_labels, order_in_groups


class EEGWindows:
    """Windows of continuous EEG, one per BOLD volume, cut when they are used.

    The object looks like an array of shape ``(n_volumes, n_channels, n_times)`` and is used as
    ``X`` in scikit-learn. It holds each continuous recording once, and a recording and an onset for
    every sample. Sample ``i`` is the EEG in ``[onsets[i] + tmin, onsets[i] + tmax)``. Indexing rows
    returns another view of the same recordings. :meth:`from_array` makes EEGWindows from epochs.

    Parameters
    ----------
    recordings : list of ndarray, each of shape (n_channels, n_times_in_recording)
        Continuous EEG in V. Arrays are not copied; do not write to them, because results are cached
        by their content. Memory maps (:class:`numpy.memmap`) stay on disk: windows are read from
        the file, and other processes get the path, not the EEG.
    recording : array-like of int, shape (n_volumes,)
        Index of the recording of each sample.
    onsets : array-like of float, shape (n_volumes,)
        Onset of each BOLD volume, in s from the start of its recording.
    info : mne.Info
        Channel names, types, positions and the sampling rate, common to all recordings.
    tmin, tmax : float
        Start (included) and end (excluded) of the window, in s relative to the onset.
    bads : list of ndarray, each of shape (n_spans, 2), optional
        Start and end of the bad stretches of each recording, in s.
    subjects : list of str or int, optional
        Subject of each recording.

    Attributes
    ----------
    groups : ndarray of shape (n_volumes,)
        Recording of each sample, for scikit-learn's group splitters.
    subjects : ndarray of shape (n_volumes,) or None
        Subject of each sample, for leaving one subject out.
    times : ndarray, shape (n_volumes,)
        Onset of each volume in s from the start of its recording. If unknown, the number of the row
        within its recording.
    has_times : bool
        Whether ``times`` are known in s.
    epoched : bool
        Whether it was made by :meth:`from_array`: each row is cut from an array of its own.
    info : mne.Info or None
        As given; None for arrays without channel names.
    alignment : pandas.DataFrame or None
        Volumes that :func:`align` kept and dropped, one row per recording.
    volumes : ndarray of int, shape (n_volumes,), or None
        Number of each volume in the BOLD of its recording, where :func:`align` knows it.
    nuisance : dict of DataFrame or None
        Nuisance signals by recording (:meth:`with_nuisance`), indexed by time in s.

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
        self,
        recordings: Sequence[np.ndarray],
        recording: ArrayLike,
        onsets: ArrayLike,
        info: mne.Info,
        *,
        tmin: float,
        tmax: float,
        bads: Sequence[ArrayLike] | None = None,
        subjects: Sequence[str | int] | None = None,
    ):
        recordings = list(recordings)
        for k, one in enumerate(recordings):
            check_kind(one, f"recording {k}")
        self._recordings = tuple(held(r) for r in recordings)
        self.groups = _whole_numbers(recording)
        self.times = to_numbers(onsets, "onsets").copy()
        _check_shapes(self.recordings, info)
        self._set_info(info)
        for name, values in (("bads", bads), ("subjects", subjects)):
            if values is not None and (isinstance(values, str) or len(values) != len(recordings)):
                raise ValueError(
                    f"{name} must be a list with one entry for each of the {len(recordings)} "
                    f"recording(s), got {values!r}."
                )
        # Tuples, because joblib gives an empty array another hash after pickling.
        self.bads = tuple(
            to_spans(spans) for spans in ([()] * len(recordings) if bads is None else bads)
        )
        self._subjects = None if subjects is None else tuple(subjects)
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
            raise ValueError("onsets hold NaN or infinite values; drop these volumes.")
        self._set_window(tmin, tmax)
        _check_values(self.recordings, info)
        # Named by content, recordings are found in caches after pickling and in every worker.
        self.tokens = tuple(content_digest(r, info) for r in self.recordings)

    @classmethod
    def from_array(
        cls,
        X: ArrayLike | mne.BaseEpochs,
        sfreq: float | None = None,
        *,
        times: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        subjects: ArrayLike | None = None,
        ch_names: Sequence[str] | None = None,
    ) -> Self:
        """Make EEGWindows from epoched arrays, tables or :class:`mne.Epochs`.

        Parameters
        ----------
        X : array-like of shape (n, n_channels, n_times) or (n, n_features), or mne.Epochs
            One epoch of EEG in V per volume. A 2-D table is read as one time point per row. Of
            :class:`mne.Epochs`, the good EEG channels are used, with their names, positions,
            sampling rate, window and event times.
        sfreq : float or None
            Sampling rate in Hz, which filters and models need; None if unknown.
        times : array-like of float, shape (n,), or None
            Onset of each volume, in s from the start of its recording. If None, rows are volumes
            in order of time.
        groups : array-like of shape (n,) or None
            Label of the recording of each row. If None, there is one recording.
        subjects : array-like of shape (n,) or None
            Subject of each row. Without ``groups``, each subject has one recording.
        ch_names : list of str or None
            Names of the EEG channels.

        Returns
        -------
        X : EEGWindows
            Windows that end at the volume onsets. Each epoch is filtered on its own.

        Raises
        ------
        ValueError
            If shapes do not match, if X or times hold NaN or infinite values, or if a recording has
            several subjects.

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
        if are_epochs(X):
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
        check_consistent_length(X, times, groups, subjects)
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
        subjects = None if subjects is None else group_labels(subjects, "subjects")
        groups = subjects if groups is None else group_labels(groups)
        new = cls._of_epochs(X, sfreq, times, groups, ch_names, info, tmax)
        if subjects is not None:
            pairs = set(zip(new.groups.tolist(), subjects.tolist(), strict=True))
            new._subjects = dict(pairs)
            if len(new._subjects) < len(pairs):
                raise ValueError("a recording has rows of several subjects; give groups as well.")
        return new

    @classmethod
    def _of_epochs(cls, X, sfreq=None, times=None, groups=None, ch_names=None, info=None, tmax=0.0):
        """Make EEGWindows from a checked array."""
        new = object.__new__(cls)
        new._recordings = (held(X if X.ndim == 3 else X[:, :, np.newaxis]),)
        new._n_times, new.epoched = new._recordings[0].shape[2], True
        new.groups = np.zeros(len(X), dtype=np.intp) if groups is None else groups
        new.has_times = times is not None
        new.times = order_in_groups(new.groups) if times is None else times
        new.tokens, new.bads, new.tmax = None, (), float(tmax)
        new._set_info(info, sfreq, ch_names)
        return new

    # -- what makes it look like an array -------------------------------------------------------
    ndim = 3

    has_times, epoched = True, False
    alignment = volumes = nuisance = _subjects = None
    # Rows of the EEGWindows that these were indexed from.
    _rows = None

    # True until a window within the one that align kept is chosen.
    _cut_by_align = False
    # True where align returned BOLD whose index names the volumes.
    _y_is_indexed = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (n_windows, n_channels, n_times) of the array that it looks like."""
        return len(self.times), self._recordings[0].shape[-2], self._n_times

    @property
    def recordings(self) -> Sequence[np.ndarray]:
        """Continuous EEG, read-only; for epoched arrays, one 3-D array."""
        if self.epoched:
            return opened(self._recordings[0])
        return tuple(opened(r) for r in self._recordings)

    @property
    def source(self) -> np.ndarray:
        """Index in ``recordings`` of the array that each window is cut from."""
        return np.arange(len(self)) if self.epoched else self.groups

    @property
    def lengths(self) -> np.ndarray:
        """Number of samples of each array in ``recordings``."""
        if self.epoched:
            return np.full(len(self), self._n_times)
        return np.array([r.shape[1] for r in self._recordings])

    @property
    def dtype(self) -> np.dtype:
        """Type of the numbers."""
        return np.result_type(*{r.dtype for r in self._recordings})

    @property
    def subjects(self) -> np.ndarray | None:
        """Subject of each window, or None."""
        if self._subjects is None:
            return None
        if isinstance(self._subjects, dict):  # by the label of the recording
            return np.array([self._subjects[k] for k in self.groups.tolist()])
        return np.asarray(self._subjects)[self.groups]

    @property
    def sfreq(self) -> float:
        """Sampling rate in Hz."""
        if self._sfreq is None:
            raise ValueError(
                "X is a plain array, whose sampling rate is unknown; pass "
                "EEGWindows.from_array(X, sfreq=...)."
            )
        return self._sfreq

    @property
    def has_sfreq(self) -> bool:
        """Whether the sampling rate is known."""
        return self._sfreq is not None

    @property
    def tmin(self) -> float:
        """Start of the window in s relative to the volume onset."""
        if not self.epoched:
            return self._tmin
        if self._n_times == 1 and not self.has_sfreq:  # a row of a table
            return self.tmax
        return self.tmax - self._n_times / self.sfreq

    @property
    def reach(self) -> float:
        """Time in s by which two volumes must be apart so that their windows do not overlap.

        From the start of the window to its end or to the volume, whichever is later. 0 if the times
        of the volumes are unknown.
        """
        return max(self.tmax, 0.0) - self.tmin if self.has_times else 0.0

    @property
    def content(self) -> tuple:
        """What results for these samples depend on, for hashing."""
        samples = self.groups, self.times, self.tmin if self.has_sfreq else None, self.tmax
        beside = () if self.nuisance is None else (joblib.hash(self.nuisance),)
        if self.epoched:
            eeg = joblib.hash(np.ascontiguousarray(self))
            return eeg, *samples, self._sfreq, self.ch_names, *beside
        return self.tokens, *samples, self.sfreq, *beside

    @property
    def starts(self) -> np.ndarray:
        """First sample of each window in the array that it is cut from."""
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
            raise IndexError("EEGWindows are indexed by rows first; use X[rows, ...].")
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
    def window(self, tmin: float, tmax: float) -> Self:
        """Return the same samples with another window.

        Parameters
        ----------
        tmin, tmax : float
            Start and end of the new window in s relative to the volume onsets. It may be longer
            than the present one, but not beyond the recordings or, for epoched arrays, the epochs.

        Returns
        -------
        X : EEGWindows
            A view of the same recordings.

        Raises
        ------
        ValueError
            If a window extends beyond its recording or epoch.
        """
        new = self._copy()
        if self.epoched:
            new._cut_epochs(tmin, tmax)
        else:
            new._set_window(tmin, tmax)
        new._cut_by_align = False
        return new

    def with_recordings(
        self,
        recordings: Sequence[np.ndarray],
        info: mne.Info | None,
        tokens: Sequence[str] | None = None,
        *,
        sfreq: float | None = None,
    ) -> Self:
        """Return the same samples and window over processed recordings.

        Parameters
        ----------
        recordings : list of ndarray, each of shape (n_channels, n_times_in_recording)
            Processed recordings, which start at the same time. For epoched arrays, an array of
            shape (n, n_channels, n_times).
        info : mne.Info or None
            Channels and sampling rate.
        tokens : list of str or None
            Name of the content of each recording, as in ``X.tokens``.
        sfreq : float or None
            Sampling rate in Hz, where there is no ``info``.

        Returns
        -------
        X : EEGWindows
            A view of the new recordings.
        """
        new = self._copy()
        new._set_info(info, sfreq, self.ch_names)
        if self.epoched:
            new._recordings = (held(recordings),)
            new._n_times = recordings.shape[2]
            return new
        new._recordings = tuple(held(r) for r in recordings)
        new.tokens = tuple(tokens)
        new._set_window(self.tmin, self.tmax)
        return new

    def with_nuisance(self, nuisance: pd.DataFrame | Sequence[pd.DataFrame] | None) -> Self:
        """Return the same samples with nuisance signals beside them, such as movement.

        :func:`compare` asks what EEG predicts beyond these signals.

        Parameters
        ----------
        nuisance : DataFrame, ndarray, list of DataFrame or None
            A table with one row per volume of X; or for each recording a table indexed by time in
            s from its start, with any number of rows. None removes the signals.

        Returns
        -------
        X : EEGWindows
            The same samples.

        Raises
        ------
        ValueError
            If rows or recordings do not match, or the signals hold NaN or infinite values.
        """
        new = self._copy()
        if nuisance is None:
            new.nuisance = None
            return new
        if not self.has_times:
            raise ValueError(
                "nuisance signals need the times of the volumes; give times= to "
                "EEGWindows.from_array."
            )
        if isinstance(nuisance, np.ndarray):
            nuisance = pd.DataFrame(nuisance)
        if isinstance(nuisance, pd.DataFrame):
            check_consistent_length(self, nuisance)
            at = nuisance.set_axis(self.times)
            nuisance = {k: at[self.groups == k].sort_index() for k in np.unique(self.groups)}
        else:
            nuisance = dict(enumerate(nuisance))
        tables = {k: table.astype(float) for k, table in nuisance.items()}
        needed = set(np.unique(self.groups))
        if not needed <= set(tables):
            raise ValueError(f"X has recordings {needed}, but there are {len(tables)} tables.")
        names = next(iter(tables.values())).columns
        if not names.is_unique:
            raise ValueError("two nuisance signals have the same name.")
        for k, table in tables.items():
            clock = table.index.to_numpy(dtype=float)
            if not (np.isfinite(table.to_numpy()).all() and np.isfinite(clock).all()):
                raise ValueError(f"the nuisance signals of recording {k} hold NaN or infinity.")
            if (np.diff(clock) <= 0).any() or (k in needed and not table.size):
                raise ValueError(
                    f"the nuisance signals of recording {k} need an index of rising times in s and "
                    f"at least one column."
                )
            if list(table.columns) != list(names):
                raise ValueError(
                    f"recording {k} has the nuisance signals {', '.join(map(str, table))}, but the "
                    f"first one has {', '.join(map(str, names))}."
                )
        new.nuisance = tables
        return new

    def to_folder(self, folder: str | PathLike) -> Self:
        """Write the recordings to files, and return the same samples over these.

        Every process opens the files itself, so that EEG is neither sent to workers nor held in
        memory.

        Parameters
        ----------
        folder : path-like
            Folder for ``.npy`` files, named by their content. Existing files are not written again.
            Recordings without samples, or in files already, are not written. Keep the folder as
            long as you use the result.

        Returns
        -------
        X : EEGWindows
            A view of the files, with the same content.
        """
        if self.epoched:
            eeg = self.recordings
            path = recording_path(folder, joblib.hash(eeg))
            eeg = _in_file(eeg, path)
            return self.with_recordings(eeg, self.info, sfreq=self._sfreq)
        recordings = list(self._recordings)
        for k in np.unique(self.groups):
            if not isinstance(recordings[k], RecordingFile):
                eeg = recordings[k]
                path = recording_path(folder, f"{self.tokens[k]}{eeg.dtype}{eeg.shape}")
                recordings[k] = _in_file(eeg, path)
        return self.with_recordings(recordings, self.info, self.tokens)

    def stretches(self) -> list[tuple[int, int, int]]:
        """Find the continuous stretches of EEG that the windows cover.

        Returns
        -------
        stretches : list of tuple of int, (recording, start, stop)
            Disjoint ranges of samples, in order.
        """
        source, starts = self.source, self.starts
        return [
            (int(source[rows[0]]), int(starts[rows[0]]), int(starts[rows[-1]]) + self._n_times)
            for rows in self._rows_of_stretches()
        ]

    def _rows_of_stretches(self):
        """Return the windows of each continuous stretch, in order."""
        order = np.lexsort((self.starts, self.source))
        apart = (np.diff(self.source[order]) != 0) | (np.diff(self.starts[order]) > self._n_times)
        return np.split(order, np.flatnonzero(apart) + 1) if len(self) else []

    def n_singly_left_out(self) -> int:
        """Count the volumes that indexing left out between two neighbors that it kept.

        Returns
        -------
        n : int
            Number of such volumes; many if rows were drawn at random, as by a shuffled KFold.
        """
        if self._rows is None:
            return 0
        rows, first = np.unique(self._rows, return_index=True)
        together = self.groups[first][1:] == self.groups[first][:-1]
        return int(np.sum((np.diff(rows) == 2) & together))

    def overlaps_bad(self) -> np.ndarray:
        """Tell which windows overlap a stretch that was annotated as bad.

        Returns
        -------
        bad : ndarray of bool, shape (n_volumes,)
            True where a window overlaps a bad stretch of its recording.
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
                raise IndexError("rows of EEGWindows are indexed with a 1-D array.")
            if rows.size == 0:
                rows = rows.astype(np.intp)  # an empty list is an array of floats to NumPy
        new = self._copy()
        # Copied, because joblib gives views with other strides another hash after pickling.
        if self.epoched:
            new._recordings = (held(self.recordings[rows]),)
        new._rows = np.arange(len(self)) if self._rows is None else self._rows
        for name in ("groups", "times", "_starts", "volumes", "_rows"):
            values = getattr(new, name, None)
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
        self._recordings = (held(self.recordings[:, :, start:stop]),)
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
        # Onsets between samples and rounded lengths may put a window half a sample outside.
        outside = (starts < -0.6) | (stops > lengths + 0.6) | (self._n_times > lengths)
        if outside.any():
            i = int(np.flatnonzero(outside)[0])
            raise ValueError(
                f"the window [{self.tmin:g}, {self.tmax:g}) s extends beyond the recording for "
                f"{int(outside.sum())} of {len(self)} volumes (first: the volume at "
                f"{self.times[i]:.2f} s of recording {self.groups[i]}, which lasts "
                f"{lengths[i] / self.sfreq:.2f} s); shorten the window, or drop these volumes with "
                f"align(..., tmin={self.tmin:g}, tmax={max(self.tmax, 0.0):g})."
            )
        self._starts = np.clip(np.round(starts).astype(np.int64), 0, lengths - self._n_times)

    def __getstate__(self):
        recordings = tuple(
            r if isinstance(r, RecordingFile) or r.flags.forc else np.ascontiguousarray(r)
            for r in self._recordings
        )
        return {**self.__dict__, "_recordings": recordings}

    def __setstate__(self, state):
        self.__dict__.update(state)
        # joblib gives memory maps to workers; plain views of these hash like arrays.
        self._recordings = tuple(held(r) for r in self._recordings)

    def __sizeof__(self):
        # Read by joblib's dask backend, which sends large objects only once.
        rows = self.groups.nbytes + 2 * self.times.nbytes
        return object.__sizeof__(self) + rows + self._nbytes(of_files=False)

    def _nbytes(self, of_files):
        """Size in bytes of the recordings in files, or of those in memory."""
        return sum(r.nbytes for r in self._recordings if isinstance(r, RecordingFile) is of_files)

    def _describe_window(self):
        if not self.has_sfreq:
            return f"windows of {self._n_times} samples"
        return describe_window(self.tmin, self.tmax, self.sfreq)

    def __repr__(self):
        n, n_channels, n_times = self.shape
        n_recordings = "epoched" if self.epoched else f"{len(self._recordings)} recording(s)"
        mb = sum(r.nbytes for r in self._recordings) / 1e6
        return (
            f"<EEGWindows | {n} volumes x {n_channels} channels x {n_times} time points, "
            f"{self._describe_window()}, {n_recordings}, {mb:.1f} MB>"
        )

    def _facts(self):
        """Rows of the HTML table."""
        n, n_channels, n_times = self.shape
        names = ", ".join((self.ch_names or [])[:6]) + (", …" if n_channels > 6 else "")
        facts = {
            "Samples": f"{n} BOLD volumes",
            "Channels": f"{n_channels} ({escape(names)})" if self.ch_names else f"{n_channels}",
            "Window": f"{n_times} time points",
        }
        if self.has_sfreq:
            facts["Window"] = (
                f"[{self.tmin:g}, {self.tmax:g}) s relative to the onset, {n_times} time points"
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


def _in_file(eeg, path):
    return kept_recording(path, eeg.shape, eeg.dtype, in_pieces(eeg))


# -- checks -------------------------------------------------------------------------------------
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
    units = []
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
        units += [f"the EEG of recording {k} {said}." for said in _odd_unit(data, info)]
    warn_once(units)


# A channel whose SD differs by such a factor from the others has another unit.
_ODD = 100.0


def _odd_unit(data, info):
    """SD in V of EEG that is not as cleaned EEG in V is, and what it is like."""
    eeg = mne.pick_types(info, eeg=True, exclude=())
    if not len(eeg):
        return
    each = _sd_within_seconds(data, eeg, info["sfreq"])
    sd = float(np.median(each))
    like = None
    if sd > 1.0:
        like = "µV taken for V"
    elif sd > 1e-3:
        like = "mV taken for V, or EEG with gradient artifacts"
    elif sd < 5e-8:
        like = "EEG converted to V twice"
    if like is not None:
        yield f"has an SD of {sd:.2g} V within seconds, like {like}; give cleaned EEG in V"
    ratio = each / sd
    odd = np.flatnonzero((ratio > _ODD) | (ratio < 1 / _ODD)) if len(eeg) > 2 else []
    if len(odd):
        names = ", ".join(info["ch_names"][eeg[i]] for i in odd)
        yield (
            f"has channels with {ratio[odd[0]]:.2g} times the SD of the others, like another unit: "
            f"{names}; bring all to V, or mark them as bad"
        )


def _sd_within_seconds(data, channels, sfreq, n_most=200):
    """SD of each channel within a second, median over seconds spread over the recording."""
    n_times = data.shape[1]
    length = min(n_times, max(2, round(sfreq)))
    starts = np.linspace(0, n_times - length, min(n_most, n_times // length)).astype(int)
    return np.median([data[channels, s : s + length].std(axis=1) for s in starts], axis=0)


def check_epochs(X: np.ndarray) -> None:
    """Raise an error if X is not a valid array of epochs."""
    if X.ndim not in (2, 3):
        raise ValueError(
            f"X must be EEGWindows or an array (n_samples, n_channels, n_times), got {X.ndim} "
            f"dimensions."
        )
    if len(X) and not X.size:
        raise ValueError(f"X has windows without a time point, got shape {X.shape}.")
    check_magnitude(X, "X")


def as_windows(X: ArrayLike | mne.BaseEpochs) -> EEGWindows:
    """Make EEGWindows of what :meth:`EEGWindows.from_array` takes; EEGWindows stay as they are."""
    return X if isinstance(X, EEGWindows) else EEGWindows.from_array(X)


def are_epochs(X: object) -> bool:
    """Tell whether X is mne.Epochs, or a list as scikit-learn makes from rows of mne.Epochs."""
    if isinstance(X, list):
        return bool(X) and all(isinstance(epochs, mne.BaseEpochs) for epochs in X)
    return isinstance(X, mne.BaseEpochs)


def _read_epochs(parts):
    """Data in V, Info of the good EEG channels, end of the window and times of the events."""
    first = parts[0]
    picks, _ = pick_eeg(first.info)
    if not len(picks):
        raise ValueError(
            f"the epochs have no good EEG channel; their channel types are "
            f"{sorted(set(first.get_channel_types()))}."
        )
    data = np.concatenate([epochs.get_data(picks, copy=False) for epochs in parts])
    # Events count samples of the recording, also after decimating or resampling the epochs.
    times = np.concatenate(
        [e.events[:, 0] / getattr(e, "_raw_sfreq", e.info["sfreq"]) for e in parts]
    )
    end = first.tmin + data.shape[2] / first.info["sfreq"]
    return data, mne.pick_info(first.info, picks), end, times


# -- spans of time in s ----------------------------------------------------------------------------
def check_window(tmin: float, tmax: float) -> None:
    """Refuse windows that are not numbers."""
    for name, value in (("tmin", tmin), ("tmax", tmax)):
        if not isinstance(value, Real):
            raise TypeError(f"{name} must be a time in s, got {value!r}.")


def describe_window(tmin: float, tmax: float, sfreq: float) -> str:
    """Describe a window (s) at a sampling rate (Hz), the same for all windows that are alike."""
    return f"windows [{tmin:g}, {tmax:g}) s at {sfreq:g} Hz"


def to_spans(bads: ArrayLike) -> tuple:
    """Read the bad stretches (n_spans, 2) of a recording, in s, as a tuple of (start, end)."""
    bads = to_numbers(bads, "bads")
    if bads.size and (bads.ndim != 2 or bads.shape[1] != 2 or np.isnan(bads).any()):
        raise ValueError(
            f"bads must hold start and end of every bad stretch in s, shape (n_spans, 2) for each "
            f"recording, got shape {bads.shape}."
        )
    return tuple((float(start), float(end)) for start, end in bads)


def overlaps(starts: ArrayLike, stops: ArrayLike, spans: ArrayLike) -> np.ndarray:
    """Tell which windows overlap a span.

    Parameters
    ----------
    starts, stops : array-like, shape (n_windows,)
        Windows, half open.
    spans : array-like, shape (n_spans, 2)
        Start and end of each span, which may be a single moment.

    Returns
    -------
    overlap : ndarray of bool, shape (n_windows,)
        True where a window overlaps at least one span.
    """
    starts, stops = np.asarray(starts)[:, None], np.asarray(stops)[:, None]
    begins, ends = np.reshape(spans, (-1, 2)).T
    return (((starts < ends) | (starts <= begins)) & (stops > begins)).any(axis=1)
