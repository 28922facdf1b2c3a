"""BOLD volumes and the EEG recorded with them brought together, without guessing."""

from difflib import get_close_matches
from numbers import Real

import mne
import numpy as np
import pandas as pd
from mne.utils import logger

from ._numbers import check_magnitude, check_names, to_numbers
from ._recordings import content_digest, fill, recording_path, write_recording
from ._spans import check_window, overlaps
from ._warn import warn_user
from .windows import EEGWindows

__all__ = ["align"]

# Columns of a table that tell when, not what; the first three in s.
TIME_COLUMNS = ("time_s", "time", "onset", "volume")

# Why volumes are dropped, by column of the account.
_WHY = {
    "no_marker": "without a marker",
    "no_history": "without their history",
    "no_future": "without EEG behind them",
    "bad": "in bad stretches",
}


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
    subjects=None,
    folder=None,
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
    subjects : str, int or list of them, optional
        Whose each recording is, one per run: ``X.subjects`` then names the
        subject of every sample.
    folder : path-like or None
        With a folder, the EEG is written there piece by piece and read when needed, as after
        :meth:`EEGWindows.to_folder`: for recordings that do not fit in memory together. Raws that
        are not preloaded are never read as a whole.
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
    several = isinstance(raw, list | tuple)
    raws, bolds, given = [raw], [bold], [volume_times]
    if several:
        raws, bolds = list(raw), _listed("bold", bold, len(raw))
        given = [None] * len(raw)
        if volume_times is not None:
            given = _listed("volume_times", volume_times, len(raw))
    if subjects is not None:
        subjects = [subjects] if isinstance(subjects, str | int) else subjects
        subjects = _listed("subjects", subjects, len(raws))
    if not raws:
        raise ValueError("align needs at least one recording.")
    check_window(tmin, tmax)
    if not tmin < tmax:
        raise ValueError(f"tmin={tmin} s must lie before tmax={tmax} s.")
    _check_timing(t_r, volume_times, trigger, missing)
    info = _common_info(raws, picks)
    bolds = _check_bolds(bolds)
    keeps, onsets, bads, account = [], [], [], []
    for k, (one, volumes, known) in enumerate(zip(raws, bolds, given, strict=True)):
        times, n_onsets = _volume_times(one, len(volumes), known, trigger, missing, t_r, k)
        bads.append(_bad_spans(one))
        slack = 0.05 / info["sfreq"]  # for what arithmetic does to the last digits of an onset
        early = times + tmin < -slack
        late = times + tmax > one.n_times / info["sfreq"] + slack
        inside = np.isfinite(times) & ~early & ~late
        bad = inside & overlaps(times + tmin, times + tmax, bads[k])
        keep = inside & ~bad if reject_by_annotation else inside
        keeps.append(keep)
        onsets.append(times[keep])
        account.append(
            {
                "recording": k,
                "n_volumes": len(volumes),
                "n_onsets": n_onsets,
                "no_marker": int(np.isnan(times).sum()),
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
            f"no volume is left of {alignment['n_volumes'].sum()}: "
            f"{_describe(0, alignment.iloc[0])} Shorten the window (now tmin={tmin:g}, "
            f"tmax={tmax:g} s) or check the onsets."
        )

    X = EEGWindows(
        [_read_eeg(one, info, folder) for one in raws],
        np.repeat(np.arange(len(raws)), alignment["kept"]),
        np.concatenate(onsets),
        info,
        tmin=tmin,
        tmax=tmax,
        bads=bads,
        subjects=subjects,
    )
    X.alignment = alignment
    X._cut_by_align = True
    return X, _concatenate_bolds(bolds, keeps)


# -- what is given ------------------------------------------------------------------------------
def _listed(name, values, n_raws):
    if not isinstance(values, list | tuple) or len(values) != n_raws:
        found = len(values) if isinstance(values, list | tuple) else type(values).__name__
        raise ValueError(f"{n_raws} recording(s) need a list of as many {name}, got {found}.")
    return list(values)


def _check_timing(t_r, volume_times, trigger, missing):
    """Check what says when the volumes were acquired."""
    if missing not in (None, "start", "end"):
        raise ValueError(f"missing must be None, 'start' or 'end', got {missing!r}.")
    if volume_times is not None and trigger is not None:
        raise ValueError("give either volume_times or trigger, not both.")
    if volume_times is None and trigger is None and t_r is None:
        raise ValueError("say when the volumes were acquired: give trigger, volume_times or t_r.")
    # A week is no repetition time, and as a factor stays a number.
    if t_r is not None and not (isinstance(t_r, Real) and 0 < t_r < 604800):
        raise ValueError(f"t_r must be a positive time in s, got {t_r!r}.")
    if trigger is not None and not (
        isinstance(trigger, str)
        or (isinstance(trigger, tuple) and len(trigger) == 2 and isinstance(trigger[0], str))
    ):
        raise TypeError(f"trigger must be a name or a tuple (name, number), got {trigger!r}.")


# -- when the volumes were acquired -------------------------------------------------------------
def _volume_times(raw, n_volumes, given, trigger, missing, t_r, k):
    """Find the onset (s) of each volume, NaN where unknown, and count the markers."""
    if given is not None:
        times, source = to_numbers(given, f"volume_times of recording {k}"), "volume_times"
    elif trigger is not None:
        times, source = _trigger_times(raw, trigger, k), f"{trigger!r} triggers"
    else:
        times, source = np.arange(n_volumes) * float(t_r), "t_r"
        _warn_of_unused_markers(raw, n_volumes, t_r, k)
    if times.ndim != 1 or not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        raise ValueError(
            f"the volume onsets of recording {k} must be 1-D, finite, sorted and without "
            f"duplicates."
        )
    _check_intervals(times, None if source == "t_r" else t_r, source, k)
    n_onsets = len(times)
    if n_onsets != n_volumes and (missing is None or given is not None):
        hint = (
            "give one onset per volume"
            if given is not None
            else "say which end lacks them with missing='start' or missing='end', or give "
            "volume_times"
        )
        raise ValueError(
            f"recording {k} has {n_onsets} {source} but the BOLD has {n_volumes} volumes; {hint}."
        )
    if n_onsets > n_volumes:
        times = times[-n_volumes:] if missing == "start" else times[:n_volumes]
    lacking = np.full(n_volumes - len(times), np.nan)
    return np.concatenate([lacking, times] if missing == "start" else [times, lacking]), n_onsets


def _trigger_times(raw, trigger, k):
    name, number = (trigger, None) if isinstance(trigger, str) else trigger
    if name in raw.ch_names and raw.get_channel_types([name])[0] in ("stim", "misc"):
        events = mne.find_events(raw, stim_channel=name, shortest_event=1, verbose="error")
        codes = np.unique(events[:, 2]).tolist()
        if number is None and len(codes) > 1:
            raise ValueError(
                f"stim channel {name!r} of recording {k} carries the events {codes}; say which "
                f"marks the volumes: trigger=({name!r}, number)."
            )
        if number is not None:
            events = events[events[:, 2] == number]
        if not len(events):
            what = "no event" if number is None else f"no event {number}"
            raise ValueError(
                f"stim channel {name!r} of recording {k} holds {what}; it carries the events "
                f"{codes}."
            )
        return (events[:, 0] - raw.first_samp) / raw.info["sfreq"]
    here = raw.annotations.description == name
    if not here.any():
        known = pd.Series(raw.annotations.description).value_counts()
        known = ", ".join(f"{d!r} ({n})" for d, n in known.items()) or "none"
        close = get_close_matches(name, [*raw.ch_names, *set(raw.annotations.description)])
        raise ValueError(
            f"recording {k} has neither an annotation nor a stim channel named {name!r}; its "
            f"annotations are: {known}" + (f". Did you mean {close[0]!r}?" if close else ".")
        )
    if number is not None:
        raise ValueError(
            f"{name!r} is an annotation of recording {k}, which has no number; give "
            f"trigger={name!r}."
        )
    return _annotation_onsets(raw)[here]


def _warn_of_unused_markers(raw, n_volumes, t_r, k):
    """Notice markers at the pace of the volumes, where the start of the recording is taken."""
    onsets = _annotation_onsets(raw)
    markers = {
        repr(str(name)): onsets[raw.annotations.description == name]
        for name in set(raw.annotations.description)
    }
    for name in (raw.ch_names[i] for i in mne.pick_types(raw.info, stim=True)):
        events = mne.find_events(raw, stim_channel=name, shortest_event=1, verbose="error")
        for code in np.unique(events[:, 2]).tolist():
            at = events[events[:, 2] == code, 0] - raw.first_samp
            markers[f"({name!r}, {code})"] = at / raw.info["sfreq"]
    for name, times in markers.items():
        if len(times) < max(5, n_volumes // 2) or times[0] < 0.5 / raw.info["sfreq"]:
            continue
        if abs(np.median(np.diff(times)) - t_r) <= 0.01 * t_r:
            warn_user(
                f"recording {k} has {len(times)} markers {name} that follow each other every "
                f"{t_r:g} s, the first at {times[0]:.2f} s, but t_r alone lets the first volume "
                f"start with the recording; give trigger={name} if they mark the volumes."
            )


def _annotation_onsets(raw):
    """Onsets in s from the start of the data; MNE counts from before a crop."""
    return raw.annotations.onset - raw.first_time


def _check_intervals(times, t_r, source, k):
    intervals = np.diff(times)
    if not len(intervals):
        return
    usual = float(np.median(intervals))
    odd = np.flatnonzero(np.abs(intervals - usual) > 0.25 * usual)
    if len(odd) and source != "volume_times":
        raise ValueError(
            f"the {source} of recording {k} are {usual:.3f} s apart, but numbers {odd[0]} and "
            f"{odd[0] + 1} are {intervals[odd[0]]:.3f} s apart: a trigger is missing or doubled "
            f"in the middle; repair them and give volume_times."
        )
    if t_r is not None and abs(usual - t_r) > 0.01 * t_r:
        raise ValueError(
            f"the {source} of recording {k} are {usual:.4f} s apart, but t_r is {t_r:g} s."
        )


# -- the EEG ------------------------------------------------------------------------------------
def _common_info(raws, picks):
    """Find the channels that all recordings share; the Info of the first one, picked."""
    first = None
    for k, raw in enumerate(raws):
        if not isinstance(raw, mne.io.BaseRaw):
            raise TypeError(f"raw must be mne.io.Raw or a list of them, got {type(raw).__name__}.")
        info = mne.pick_info(raw.info, _pick(raw, picks, k))
        first = first or info
        lost = [name for name in first["ch_names"] if name not in info["ch_names"]]
        new = [name for name in info["ch_names"] if name not in first["ch_names"]]
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
        _check_continuous(raw, k)
    return first


def _pick(raw, picks, k):
    if isinstance(picks, str) and picks == "eeg":
        indices = mne.pick_types(raw.info, eeg=True)
        if not len(indices):
            raise ValueError(
                f"recording {k} has no good EEG channel; its channel types are "
                f"{sorted(set(raw.get_channel_types()))}."
            )
        return indices
    names = list(picks) if isinstance(picks, list | tuple | np.ndarray) else [picks]
    unknown = [name for name in names if name not in raw.ch_names]
    if unknown or not names:
        raise ValueError(
            f"recording {k} has no channel(s) {unknown}; it has {raw.ch_names}. picks is 'eeg' or "
            f"a list of channel names."
        )
    if len(set(names)) < len(names):
        raise ValueError(f"picks names a channel twice: {names}.")
    return [raw.ch_names.index(name) for name in names]


def _check_continuous(raw, k):
    for onset, name in zip(_annotation_onsets(raw), raw.annotations.description, strict=True):
        if 0 < onset < raw.times[-1] and name.lower().startswith(("edge", "bad_acq_skip")):
            raise ValueError(
                f"recording {k} is not continuous ({name!r} at {onset:.2f} s), and no filter may "
                f"run over a seam; give align its parts as a list of recordings."
            )


def _bad_spans(raw):
    """Start and end (s) of the stretches that are annotated as bad, shape (n_spans, 2)."""
    bad = np.array([d.lower().startswith("bad") for d in raw.annotations.description], dtype=bool)
    onsets, durations = _annotation_onsets(raw)[bad], raw.annotations.duration[bad]
    return np.stack([onsets, onsets + durations], axis=1)


def _read_eeg(raw, info, folder):
    """Read channels in pieces: no second copy of a long recording in float64."""
    picks = [raw.ch_names.index(name) for name in info["ch_names"]]

    def read():
        for start in range(0, raw.n_times, 2**16):
            piece = raw.get_data(picks, start, min(start + 2**16, raw.n_times))
            check_magnitude(piece, "the EEG")
            yield piece

    pieces = read()
    # float32 holds 24 bits, what amplifiers deliver; filters compute in float64 anyway.
    shape, dtype = (len(picks), raw.n_times), np.float32
    if folder is None:
        return fill(np.empty(shape, dtype), pieces)
    return write_recording(
        folder, shape, dtype, pieces, lambda eeg: recording_path(folder, content_digest(eeg, info))
    )


# -- the BOLD -----------------------------------------------------------------------------------
def _check_bolds(bolds):
    """Check the BOLD of every recording; DataFrames stay DataFrames."""
    bolds = [_check_bold(bold, k) for k, bold in enumerate(bolds)]
    first = bolds[0]
    for k, bold in enumerate(bolds):
        same = type(bold) is type(first) and bold.shape[1:] == first.shape[1:]
        if same and isinstance(bold, pd.DataFrame):
            same = list(bold.columns) == list(first.columns)
        if not same:
            raise ValueError(
                f"the BOLD of recording {k} has other regions than that of recording 0."
            )
    return bolds


def _check_bold(bold, k):
    if isinstance(bold, str) or hasattr(bold, "get_fdata"):
        raise TypeError(
            f"the BOLD of recording {k} must be a table (n_volumes, n_rois), got "
            f"{type(bold).__name__}; extract regions from images with ROIExtractor."
        )
    name = f"the BOLD of recording {k}"
    values = to_numbers(bold, name)
    if values.ndim not in (1, 2) or not values.size:
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
    check_magnitude(values, name)
    check_names(bold, name)
    _warn_of_clocks(bold, name)
    return bold if isinstance(bold, pd.DataFrame) else values


def _warn_of_clocks(bold, name):
    """Notice columns that tell when a volume was acquired, and would be taken for regions."""
    names = map(str, getattr(bold, "columns", []))
    clocks = [
        n for n in names if n.lower() in (*TIME_COLUMNS, "index") or n.startswith("Unnamed: ")
    ]
    if clocks:
        warn_user(
            f"{name} has a column {clocks[0]!r}, which is taken for a region; leave it out: "
            f"bold.drop(columns={clocks}), or read the table with index_col."
        )


def _concatenate_bolds(bolds, keeps):
    """Put the kept volumes of all recordings into one table."""
    if isinstance(bolds[0], pd.DataFrame):
        kept = [
            bold.set_axis(pd.RangeIndex(len(bold), name="volume")).loc[keep]
            for bold, keep in zip(bolds, keeps, strict=True)
        ]
        return pd.concat(kept, keys=range(len(kept)), names=["recording"])
    return np.concatenate([bold[keep] for bold, keep in zip(bolds, keeps, strict=True)])


# -- the account --------------------------------------------------------------------------------
def dropped_in_words(row):
    """Say how many volumes of a recording were dropped, and why.

    Parameters
    ----------
    row : Series or dict
        A row of the account that :func:`align` keeps of its recordings.

    Returns
    -------
    dropped : str
        "none" where nothing was dropped.
    """
    return ", ".join(f"{row[key]} {why}" for key, why in _WHY.items() if row[key]) or "none"


def _describe(k, row):
    """Say in one line what happened to the volumes of a recording."""
    return (
        f"Recording {k}: {row['n_volumes']} volumes, {row['n_onsets']} onsets; kept "
        f"{row['kept']}, dropped: {dropped_in_words(row)}."
    )
