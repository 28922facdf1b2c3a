"""Recordings and BOLD volumes brought together: a sample is a volume, X is a lazy view of the EEG."""

import hashlib
from difflib import get_close_matches

import mne
import numpy as np
import pandas as pd
from mne.utils import logger

__all__ = ["EEGWindows", "align"]


class EEGWindows:
    """Windows of continuous EEG, one per BOLD volume, cut only when asked for.

    The object looks like an array of shape ``(n_volumes, n_channels, n_times)`` and can be used as
    ``X`` in scikit-learn, but it holds the continuous recordings once, and for every sample a
    recording and an onset. Sample ``i`` is the EEG in ``[onsets[i] + tmin, onsets[i] + tmax)``.
    Indexing rows gives another view of the same recordings.

    Parameters
    ----------
    recordings : list of ndarray, each of shape (n_channels, n_times_in_recording)
        Continuous EEG in V. Arrays are shared, not copied, and never written to.
    recording : array-like of int, shape (n_volumes,)
        Which recording each sample lies in.
    onsets : array-like of float, shape (n_volumes,)
        Onset of each BOLD volume, in s from the start of its recording.
    info : mne.Info
        Channel names, types, positions and the sampling rate, common to all recordings.
    tmin, tmax : float
        Start and end of the window in s relative to the onset, half open as Python's ranges are.
    bads : list of ndarray, each of shape (n_spans, 2), optional
        Start and end of the bad stretches of each recording, in s.

    Attributes
    ----------
    groups : ndarray of int, shape (n_volumes,)
        Recording of each sample: what scikit-learn's group splitters take as ``groups``.
    times : ndarray, shape (n_volumes,)
        Onset of each volume in s from the start of its recording.
    sfreq : float
        Sampling rate in Hz.
    ch_names : list of str
        Names of the channels.
    info : mne.Info
        As given.
    alignment : pandas.DataFrame or None
        What :func:`align` kept and dropped, one row per recording.

    Raises
    ------
    ValueError
        If recordings differ in their channels, hold NaN or infinite values or a flat channel, or
        if a window leaves its recording.

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

    def __init__(self, recordings, recording, onsets, info, *, tmin, tmax, bads=None):
        self.recordings = tuple(_read_only(r) for r in recordings)
        self.info = info
        self.groups = np.asarray(recording, dtype=np.intp)
        self.times = np.asarray(onsets, dtype=np.float64)
        self.bads = tuple(bads) if bads is not None else (np.empty((0, 2)),) * len(self.recordings)
        self.alignment = None
        _check_recordings(self.recordings, info)
        if self.groups.shape != self.times.shape or self.groups.ndim != 1:
            raise ValueError(
                f"recording and onsets must be 1-D and of the same length, got shapes "
                f"{self.groups.shape} and {self.times.shape}."
            )
        if len(self.groups) and not 0 <= self.groups.min() <= self.groups.max() < len(
            self.recordings
        ):
            raise ValueError(
                f"recording must hold indices of the {len(self.recordings)} recordings, got values "
                f"from {self.groups.min()} to {self.groups.max()}."
            )
        if not np.isfinite(self.times).all():
            raise ValueError("onsets hold NaN or infinite values; drop those volumes.")
        # Content, not identity, names a recording: the name survives pickling and is the same in
        # every worker, so that what was computed for a recording can be found again.
        self.tokens = tuple(_digest(r, info) for r in self.recordings)
        self._set_window(tmin, tmax)

    # -- what makes it look like an array -------------------------------------------------------
    ndim = 3

    @property
    def shape(self):
        return len(self.times), len(self.info["ch_names"]), self._n_times

    @property
    def dtype(self):
        return self.recordings[0].dtype

    @property
    def sfreq(self):
        return float(self.info["sfreq"])

    @property
    def ch_names(self):
        return list(self.info["ch_names"])

    def __len__(self):
        return len(self.times)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key):
        rest = ()
        if isinstance(key, tuple):
            # scikit-learn indexes rows as X[indices, ...]
            rows, *rest = key if key else (slice(None),)
            rest = tuple(rest)
            if rows is Ellipsis:
                raise IndexError("index the rows (volumes) of EEGWindows first, as X[rows, ...].")
        else:
            rows = key
        if isinstance(rows, int | np.integer):
            window = self._cut(np.arange(len(self))[rows])
            return window[rest] if rest else window
        view = self._view(rows)
        if all(r is Ellipsis or (isinstance(r, slice) and r == slice(None)) for r in rest):
            return view
        return np.asarray(view)[(slice(None), *rest)]

    def __array__(self, dtype=None, copy=None):
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
            than the present one, as long as it stays inside the recordings.

        Returns
        -------
        X : EEGWindows
            A view of the same recordings.

        Raises
        ------
        ValueError
            If a window would leave its recording.
        """
        new = self._copy()
        new._set_window(tmin, tmax)
        return new

    def with_recordings(self, recordings, info, tokens):
        """Return the same samples and window over processed recordings.

        Parameters
        ----------
        recordings : list of ndarray, each of shape (n_channels, n_times_in_recording)
            The processed recordings, at the sampling rate of ``info``, starting at the same time.
        info : mne.Info
            Their channels and sampling rate.
        tokens : list of str
            A name for the content of each recording, as in ``X.tokens``.

        Returns
        -------
        X : EEGWindows
            A view of the new recordings.
        """
        new = self._copy()
        new.recordings = tuple(_read_only(r) for r in recordings)
        new.info, new.tokens = info, tuple(tokens)
        new._set_window(self.tmin, self.tmax)
        return new

    def stretches(self):
        """Find the continuous stretches of EEG that the windows cover.

        Returns
        -------
        stretches : list of tuple of int, (recording, start, stop)
            Disjoint ranges of samples, in order; their union is the union of the windows.
        """
        spans = []
        for k in np.unique(self.groups):
            for start in np.sort(self._starts[self.groups == k]):
                if spans and spans[-1][0] == k and start <= spans[-1][2]:
                    spans[-1] = (k, spans[-1][1], max(spans[-1][2], start + self._n_times))
                else:
                    spans.append((k, start, start + self._n_times))
        return [(int(k), int(start), int(stop)) for k, start, stop in spans]

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
            bad[rows] = _overlaps(self.times[rows] + self.tmin, self.times[rows] + self.tmax, spans)
        return bad

    # -- inside ---------------------------------------------------------------------------------
    def _copy(self):
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__)
        return new

    def _view(self, rows):
        new = self._copy()
        rows = rows if isinstance(rows, slice) else np.asarray(rows)
        if not isinstance(rows, slice) and rows.size == 0:
            rows = rows.astype(np.intp)  # an empty list is an array of floats to NumPy
        new.groups, new.times = self.groups[rows], self.times[rows]
        new._starts = self._starts[rows]
        if new.times.ndim != 1:
            raise IndexError("the rows of EEGWindows are indexed with a 1-D array.")
        return new

    def _cut(self, i):
        start = self._starts[i]
        return self.recordings[self.groups[i]][:, start : start + self._n_times]

    def _set_window(self, tmin, tmax):
        self.tmin, self.tmax = float(tmin), float(tmax)
        self._n_times = round((self.tmax - self.tmin) * self.sfreq)
        if not self._n_times >= 1:
            raise ValueError(
                f"a window needs tmax > tmin by at least one sample (1/{self.sfreq:g} s), got "
                f"tmin={self.tmin:g} s and tmax={self.tmax:g} s."
            )
        starts = np.round((self.times + self.tmin) * self.sfreq).astype(np.int64)
        lengths = np.array([r.shape[1] for r in self.recordings])[self.groups]
        # Rounding may put a window that just fits one sample outside: pull that sample back.
        starts[starts == -1] = 0
        starts[starts + self._n_times == lengths + 1] -= 1
        early, late = starts < 0, starts + self._n_times > lengths
        if (early | late).any():
            i = int(np.flatnonzero(early | late)[0])
            k = self.groups[i]
            raise ValueError(
                f"the window [{self.tmin:g}, {self.tmax:g}) s leaves the recording for "
                f"{int((early | late).sum())} of {len(starts)} volumes (first: the volume at "
                f"{self.times[i]:.2f} s of recording {k}, which lasts "
                f"{lengths[i] / self.sfreq:.2f} s); shorten the window, or let align drop these "
                f"volumes with tmin<={self.tmin:g} and tmax>={self.tmax:g}."
            )
        self._starts = starts

    def __setstate__(self, state):
        self.__dict__.update(state)
        # joblib hands workers memory maps; a plain view of one hashes and indexes like any array.
        self.recordings = tuple(_read_only(r) for r in self.recordings)

    def __repr__(self):
        n, n_channels, n_times = self.shape
        mb = sum(r.nbytes for r in self.recordings) / 1e6
        return (
            f"<EEGWindows | {n} volumes x {n_channels} channels x {n_times} times, "
            f"window [{self.tmin:g}, {self.tmax:g}) s, {self.sfreq:g} Hz, "
            f"{len(self.recordings)} recording(s), {mb:.1f} MB>"
        )

    def _repr_html_(self):
        n, n_channels, n_times = self.shape
        seconds = sum(r.shape[1] for r in self.recordings) / self.sfreq
        rows = {
            "Samples": f"{n} BOLD volumes",
            "Channels": f"{n_channels} ({', '.join(self.ch_names[:6])}"
            f"{', …' if n_channels > 6 else ''})",
            "Window": f"[{self.tmin:g}, {self.tmax:g}) s around the volume onset, {n_times} times",
            "Sampling rate": f"{self.sfreq:g} Hz",
            "Recordings": f"{len(self.recordings)}, {seconds:.1f} s in all",
            "Memory": f"{sum(r.nbytes for r in self.recordings) / 1e6:.1f} MB held, "
            f"{np.prod(self.shape) * self.dtype.itemsize / 1e6:.1f} MB as an array",
        }
        body = "".join(f"<tr><th>{k}</th><td>{v}</td></tr>" for k, v in rows.items())
        return f"<table><caption>EEGWindows</caption>{body}</table>"


def align(
    raw,
    bold,
    *,
    t_r=None,
    volume_times=None,
    trigger=None,
    missing=None,
    tmin=-30.0,
    tmax=2.0,
    picks="eeg",
    reject_by_annotation=True,
    verbose=None,
):
    """Bring EEG recordings and BOLD volumes together, without guessing.

    Parameters
    ----------
    raw : mne.io.Raw or list of mne.io.Raw
        Continuous EEG, one object per run.
    bold : array-like or DataFrame of shape (n_volumes, n_rois) or (n_volumes,), or list of them
        BOLD of the regions, one row per acquired volume, one table per run.
    t_r : float, optional
        Repetition time in s. Alone, it says that the first volume starts with the recording and
        that volumes follow each other every ``t_r`` s; beside ``trigger`` it is checked.
    volume_times : array-like of shape (n_volumes,) or list of them, optional
        Onset of each volume in s from the start of the recording.
    trigger : str or tuple of (str, int), optional
        What marks the volume onsets: the description of an annotation (``"mri"``) or the name of
        a stim channel, with the event's number when the channel carries several.
    missing : {None, "start", "end"}
        Which end of the run lacks markers (or volumes) when the two counts differ. Volumes
        without a marker, and markers without a volume, are left out at that end.
    tmin, tmax : float
        Window kept around each volume onset, in s: the history (and the future, for negative
        delays) that later steps may look at. Volumes whose window leaves the recording are
        dropped from both sides.
    picks : "eeg" or list of str
        The good EEG channels (those in ``raw.info["bads"]`` are left out), or channels by name.
    reject_by_annotation : bool
        Drop volumes whose window ``[tmin, tmax)`` touches an annotation that starts with "bad".
        With False they stay, and ``X.overlaps_bad()`` still finds them.
    verbose : bool, str, int or None
        MNE's verbosity; at "info" (MNE's default) what was dropped is logged.

    Returns
    -------
    X : EEGWindows
        View of shape ``(n_kept, n_channels, n_times)``, float32, in V.
        ``X.alignment`` is the account of what was kept and dropped.
    y : ndarray or DataFrame of shape (n_kept, n_rois), or ndarray of shape (n_kept,)
        The BOLD rows that stayed. A DataFrame is indexed by recording and volume number.

    Raises
    ------
    ValueError
        If the number of markers is not the number of volumes and ``missing`` does not say which
        end lacks them, if a marker is missing in the middle, if runs differ in channels or
        sampling rate, if EEG or BOLD hold NaN or infinite values, or if no volume is left.

    Examples
    --------
    >>> from sklearn_beira.datasets import make_eeg_fmri
    >>> study = make_eeg_fmri(n_runs=2, duration=120.0, random_state=0)
    >>> X, y = align(study.raws, study.bolds, trigger="mri", verbose="error")
    >>> len(X) == len(y)
    True
    """
    raws = list(raw) if isinstance(raw, list | tuple) else [raw]
    several = isinstance(raw, list | tuple)
    bolds = list(bold) if several else [bold]
    all_times = list(volume_times) if several and volume_times is not None else [volume_times]
    if volume_times is None:
        all_times = [None] * len(raws)
    for name, values in (("bold", bolds), ("volume_times", all_times)):
        if len(values) != len(raws):
            raise ValueError(f"{len(raws)} recording(s) but {len(values)} entries of {name}.")
    if missing not in (None, "start", "end"):
        raise ValueError(f"missing must be None, 'start' or 'end', got {missing!r}.")
    if sum(x is not None for x in (volume_times, trigger)) > 1:
        raise ValueError("give either volume_times or trigger, not both.")
    if volume_times is None and trigger is None and t_r is None:
        raise ValueError("say when the volumes were acquired: give trigger, volume_times or t_r.")

    bolds = [_check_bold(b, k) for k, b in enumerate(bolds)]
    _check_same_regions(bolds)
    infos = _common_infos(raws, picks)
    keeps, onsets, account = [], [], []
    for k, (one, b, given) in enumerate(zip(raws, bolds, all_times, strict=True)):
        times, has_marker, n_markers = _volume_times(one, len(b), given, trigger, missing, t_r, k)
        early = has_marker & (times + tmin < -0.5 / one.info["sfreq"])
        late = has_marker & (times + tmax > (one.n_times + 0.5) / one.info["sfreq"])
        inside = has_marker & ~early & ~late
        bad = inside & _overlaps(times + tmin, times + tmax, _bad_spans(one))
        keep = inside & ~bad if reject_by_annotation else inside
        keeps.append(keep)
        onsets.append(times[keep])
        account.append(
            {
                "recording": k,
                "n_volumes": len(b),
                "n_markers": n_markers,
                "no_marker": int((~has_marker).sum()),
                "no_history": int(early.sum()),
                "no_future": int((late & ~early).sum()),
                "bad": int((inside & ~keep).sum()),
                "kept": int(keep.sum()),
            }
        )
    alignment = pd.DataFrame(account).set_index("recording")
    with mne.use_log_level(verbose):
        for k, row in alignment.iterrows():
            logger.info(_describe(k, row))
    if not alignment["kept"].sum():
        raise ValueError(
            f"no volume is left of {alignment['n_volumes'].sum()}: {_describe(0, alignment.iloc[0])}"
            f" Shorten the window (now tmin={tmin:g}, tmax={tmax:g} s) or check the onsets."
        )

    X = EEGWindows(
        # float32 holds 24 bits, what amplifiers deliver; filters compute in float64 anyway.
        [r.get_data(picks=infos[0]["ch_names"]).astype(np.float32) for r in raws],
        np.repeat(np.arange(len(raws)), alignment["kept"]),
        np.concatenate(onsets),
        infos[0],
        tmin=tmin,
        tmax=tmax,
        bads=[_bad_spans(r) for r in raws],
    )
    X.alignment = alignment
    return X, _concatenate_bold(bolds, keeps)


# -- the pieces of align ------------------------------------------------------------------------
def _volume_times(raw, n_volumes, given, trigger, missing, t_r, k):
    """Onset (s) of each volume, NaN where unknown, with the mask of known ones and the count."""
    if given is not None:
        times = np.asarray(given, dtype=float)
        source = "volume_times"
    elif trigger is not None:
        times = _trigger_times(raw, trigger, k)
        source = f"{trigger!r} triggers"
    else:
        times = np.arange(n_volumes) * float(t_r)
        source = "t_r"
    if not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        raise ValueError(
            f"the volume onsets of recording {k} must be finite, sorted and without duplicates."
        )
    if source not in ("volume_times", "t_r"):
        _check_regular(times, t_r, source, k)
    n_markers = len(times)
    if n_markers != n_volumes:
        if missing is None or source == "volume_times":
            hint = (
                "give one onset per volume"
                if source == "volume_times"
                else "say which end lacks them with missing='start' or missing='end', or give "
                "volume_times"
            )
            raise ValueError(
                f"recording {k} has {n_markers} {source} but the BOLD has {n_volumes} volumes; "
                f"{hint}."
            )
        if n_markers > n_volumes:
            times = times[-n_volumes:] if missing == "start" else times[:n_volumes]
        else:
            pad = np.full(n_volumes - n_markers, np.nan)
            times = np.concatenate([pad, times] if missing == "start" else [times, pad])
    return times, np.isfinite(times), n_markers


def _trigger_times(raw, trigger, k):
    name, number = (trigger, None) if isinstance(trigger, str) else trigger
    if name in raw.ch_names:
        events = mne.find_events(raw, stim_channel=name, shortest_event=1, verbose="error")
        if number is not None:
            events = events[events[:, 2] == number]
        elif len(np.unique(events[:, 2])) > 1:
            raise ValueError(
                f"stim channel {name!r} of recording {k} carries the events "
                f"{np.unique(events[:, 2]).tolist()}; say which marks the volumes: "
                f"trigger=({name!r}, number)."
            )
        if not len(events):
            raise ValueError(f"stim channel {name!r} of recording {k} holds no such event.")
        return (events[:, 0] - raw.first_samp) / raw.info["sfreq"]
    here = raw.annotations.description == name
    if not here.any():
        known = pd.Series(raw.annotations.description).value_counts()
        known = ", ".join(f"{d!r} ({n})" for d, n in known.items()) or "none"
        close = get_close_matches(name, [*raw.ch_names, *set(raw.annotations.description)])
        raise ValueError(
            f"recording {k} has neither an annotation nor a channel named {name!r}; its "
            f"annotations are: {known}" + (f". Did you mean {close[0]!r}?" if close else ".")
        )
    return _annotation_onsets(raw)[here]


def _annotation_onsets(raw):
    """Onsets in s from the start of the data; MNE counts from the measurement date if it has one."""
    shift = raw.first_time if raw.annotations.orig_time is not None else 0.0
    return raw.annotations.onset - shift


def _check_regular(times, t_r, source, k):
    intervals = np.diff(times)
    if not len(intervals):
        return
    usual = float(np.median(intervals))
    odd = np.flatnonzero(np.abs(intervals - usual) > 0.25 * usual)
    if len(odd):
        raise ValueError(
            f"the {source} of recording {k} are {usual:.3f} s apart, but numbers {odd[0]} and "
            f"{odd[0] + 1} are {intervals[odd[0]]:.3f} s apart: a trigger is missing or doubled "
            f"in the middle; repair them and give volume_times."
        )
    if t_r is not None and abs(usual - t_r) > 0.01 * t_r:
        raise ValueError(
            f"the {source} of recording {k} are {usual:.4f} s apart, but t_r is {t_r:g} s."
        )


def _common_infos(raws, picks):
    """One Info per recording, with the same channels in the same order."""
    infos = []
    for k, raw in enumerate(raws):
        if not isinstance(raw, mne.io.BaseRaw):
            raise TypeError(f"raw must be mne.io.Raw or a list of them, got {type(raw).__name__}.")
        if isinstance(picks, str) and picks == "eeg":
            indices = mne.pick_types(raw.info, eeg=True)
        else:
            names = [picks] if isinstance(picks, str) else list(picks)
            unknown = [name for name in names if name not in raw.ch_names]
            if unknown:
                raise ValueError(
                    f"recording {k} has no channel(s) {unknown}; it has {raw.ch_names}. picks is "
                    f"'eeg' or a list of channel names."
                )
            indices = [raw.ch_names.index(name) for name in names]
        if not len(indices):
            raise ValueError(
                f"recording {k} has no good channel of picks={picks!r}; its channel types are "
                f"{sorted(set(raw.get_channel_types()))}."
            )
        info = mne.pick_info(raw.info, indices)
        first = infos[0] if infos else info
        lost = sorted(set(first["ch_names"]) - set(info["ch_names"]))
        new = sorted(set(info["ch_names"]) - set(first["ch_names"]))
        if lost or new:
            raise ValueError(
                f"recording {k} has other channels than recording 0 (missing: {lost}, extra: "
                f"{new}); pick the common ones, or interpolate bad channels."
            )
        if info["sfreq"] != first["sfreq"]:
            raise ValueError(
                f"recording {k} is sampled at {info['sfreq']:g} Hz, recording 0 at "
                f"{first['sfreq']:g} Hz; resample them to one rate first."
            )
        infos.append(info)
    return infos


def _bad_spans(raw):
    onsets = _annotation_onsets(raw)
    bad = [d.lower().startswith("bad") for d in raw.annotations.description]
    spans = np.column_stack([onsets, onsets + raw.annotations.duration])
    return spans[np.array(bad, dtype=bool)] if len(spans) else np.empty((0, 2))


def _overlaps(starts, stops, spans):
    starts, stops = np.asarray(starts)[:, None], np.asarray(stops)[:, None]
    return ((starts < spans[:, 1]) & (stops > spans[:, 0])).any(axis=1)


def _check_bold(bold, k):
    values = np.asarray(bold, dtype=float)
    if values.ndim not in (1, 2):
        raise ValueError(
            f"the BOLD of recording {k} must be (n_volumes, n_rois), got shape {values.shape}; "
            f"extract regions from images with ROIExtractor."
        )
    if not np.isfinite(values).all():
        rows = np.unique(np.argwhere(~np.isfinite(values))[:, 0])
        raise ValueError(
            f"the BOLD of recording {k} holds NaN or infinite values in {len(rows)} volumes "
            f"(first: volume {rows[0]}); drop or repair them."
        )
    return bold if isinstance(bold, pd.DataFrame) else values


def _check_same_regions(bolds):
    first = bolds[0]
    for k, b in enumerate(bolds):
        same = type(b) is type(first) and b.shape[1:] == first.shape[1:]
        if same and isinstance(b, pd.DataFrame):
            same = list(b.columns) == list(first.columns)
        if not same:
            raise ValueError(f"the BOLD of recording {k} has other regions than that of recording 0.")


def _concatenate_bold(bolds, keeps):
    if isinstance(bolds[0], pd.DataFrame):
        kept = [
            b.set_axis(pd.RangeIndex(len(b), name="volume")).loc[keep]
            for b, keep in zip(bolds, keeps, strict=True)
        ]
        return pd.concat(kept, keys=range(len(kept)), names=["recording"])
    return np.concatenate([b[keep] for b, keep in zip(bolds, keeps, strict=True)])


def _describe(k, row):
    parts = {
        "without a marker": row["no_marker"],
        "without their history": row["no_history"],
        "without EEG behind them": row["no_future"],
        "in bad stretches": row["bad"],
    }
    dropped = ", ".join(f"{n} {why}" for why, n in parts.items() if n) or "none"
    return (
        f"Recording {k}: {row['n_volumes']} volumes, {row['n_markers']} onsets; kept "
        f"{row['kept']}, dropped: {dropped}."
    )


# -- the pieces of EEGWindows -------------------------------------------------------------------
def _read_only(array):
    view = np.asarray(array).view()
    view.flags.writeable = False
    return view


def _digest(array, info):
    names = "\n".join([f"{info['sfreq']}", f"{array.dtype}{array.shape}", *info["ch_names"]])
    digest = hashlib.blake2b(names.encode(), digest_size=16)
    for row in array:
        digest.update(np.ascontiguousarray(row))
    return digest.hexdigest()


def _check_recordings(recordings, info):
    if not recordings:
        raise ValueError("EEGWindows needs at least one recording.")
    if not isinstance(info, mne.Info):
        raise TypeError(f"info must be mne.Info, got {type(info).__name__}.")
    n_channels = len(info["ch_names"])
    for k, data in enumerate(recordings):
        if data.ndim != 2 or data.shape[0] != n_channels:
            raise ValueError(
                f"recording {k} must have shape ({n_channels} channels, n_times), got {data.shape}."
            )
        if not np.issubdtype(data.dtype, np.floating):
            raise TypeError(f"recording {k} must hold floating point numbers, got {data.dtype}.")
        for name, channel in zip(info["ch_names"], data, strict=True):
            low, high = channel.min(), channel.max()
            if not (np.isfinite(low) and np.isfinite(high)):
                raise ValueError(
                    f"channel {name!r} of recording {k} holds NaN or infinite values; interpolate "
                    f"it, or mark the channel as bad."
                )
            if low == high:
                raise ValueError(
                    f"channel {name!r} of recording {k} is flat; mark it as bad (raw.info['bads']) "
                    f"or interpolate it."
                )
