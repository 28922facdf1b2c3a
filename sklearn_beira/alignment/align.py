"""align: EEG recordings and BOLD volumes become X and y."""

from collections.abc import Sequence
from numbers import Real
from os import PathLike
from pathlib import Path

import mne
import numpy as np
import pandas as pd
from mne.utils import logger
from numpy.typing import ArrayLike

from .._utils.numbers import check_magnitude, check_names, to_numbers, varying
from .._utils.warn import warn_once
from ..bold.tables import find_clocks
from ..eeg.recordings import content_digest, fill, recording_path, write_recording
from ..eeg.windows import EEGWindows, check_window, overlaps
from .triggers import (
    annotation_onsets,
    check_index_of_times,
    find_onsets,
    unused_markers,
    volumes_behind,
)

__all__ = ["align"]

# Names of channels that often have the type EEG by mistake.
NO_EEG = ("EOG", "HEOG", "VEOG", "ECG", "EKG", "EMG")

# Why volumes are dropped, by column of X.alignment.
_WHY = {
    "no_marker": "without a marker",
    "no_history": "without their history",
    "no_future": "at the end of the EEG",
    "bad": "in bad stretches",
}


def align(
    raw: mne.io.BaseRaw | Sequence[mne.io.BaseRaw],
    bold: ArrayLike | Sequence[ArrayLike],
    *,
    t_r: float | None = None,
    volume_times: ArrayLike | Sequence[ArrayLike] | None = None,
    trigger: str | tuple[str, int] | None = None,
    missing: str | None = None,
    tmin: float = -30.0,
    tmax: float = 0.0,
    picks: str | Sequence[str] = "eeg",
    reject_by_annotation: bool = True,
    subjects: str | int | Sequence[str | int] | None = None,
    folder: str | PathLike | None = None,
    verbose: bool | str | int | None = None,
) -> tuple[EEGWindows, np.ndarray | pd.DataFrame]:
    """Combine EEG recordings and BOLD volumes into X and y.

    Parameters
    ----------
    raw : mne.io.Raw or list of mne.io.Raw
        Continuous EEG, one object per recording.
    bold : array-like or DataFrame of shape (n_volumes, n_rois) or (n_volumes,), or list of them
        BOLD of the regions, one row per acquired volume, one table per recording.
    t_r : float, optional
        Repetition time in s. Alone, it means that the first volume starts with the recording and
        the next ones follow every ``t_r`` s. With ``trigger``, the intervals are checked.
    volume_times : array-like of shape (n_volumes,) or list of them, optional
        Onset of each volume in s from the start of the EEG recording, not from the first volume.
    trigger : str or tuple of (str, int), optional
        Marker of the volume onsets: the description of an annotation (``"mri"``) or the name of a
        stim channel, with the number of the event if the channel carries several.
    missing : {None, "start", "end"}
        End of the recording that lacks markers or volumes, if their numbers differ. Volumes without
        a marker, and markers without a volume, are left out at that end.
    tmin, tmax : float
        Window around each volume onset, in s. Later steps can use no other EEG; negative delays
        need a ``tmax`` above 0. Volumes whose window extends beyond the recording are dropped.
    picks : "eeg" or list of str
        All EEG channels except those in ``raw.info["bads"]``, or names of channels.
    reject_by_annotation : bool
        Whether to drop volumes whose window overlaps an annotation that starts with "bad".
        ``X.overlaps_bad()`` finds such volumes if they are kept.
    subjects : str, int or list of them, optional
        Subject of each recording, which becomes ``X.subjects``.
    folder : path-like or None
        Folder where the EEG is written piece by piece and read when needed, as by
        :meth:`EEGWindows.to_folder`: for recordings that do not fit in memory together.
    verbose : bool, str, int or None
        MNE's verbosity. At "info", MNE's default, the numbers of dropped volumes are logged.

    Returns
    -------
    X : EEGWindows
        View of shape ``(n_kept, n_channels, n_times)``, float32, in V. ``X.alignment`` has one row
        per recording with the numbers of kept and dropped volumes.
    y : ndarray or DataFrame of shape (n_kept, n_rois), or ndarray of shape (n_kept,)
        BOLD of the kept volumes. A DataFrame is indexed by recording and volume.

    Raises
    ------
    ValueError
        If the numbers of markers and volumes differ and ``missing`` is None, if a marker is missing
        in the middle, if recordings differ in channels or sampling rate, if EEG or BOLD hold NaN or
        infinite values, or if no volume is left.

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
        raise ValueError(f"tmin={tmin} s must be less than tmax={tmax} s.")
    _check_timing(t_r, volume_times, trigger, missing)
    info = _common_info(raws, picks)
    bolds = _check_bolds(bolds)
    onsets, keeps, bads, account, markers, ends = [], [], [], [], [], []
    for k, (one, volumes, known) in enumerate(zip(raws, bolds, given, strict=True)):
        times, n_onsets = find_onsets(one, len(volumes), known, trigger, missing, t_r, k)
        if trigger is None:
            markers += unused_markers(one, times, known is None, k)
        ends += volumes_behind(one, times, k)
        check_index_of_times(volumes, times, k)
        onsets.append(times)
        bads.append(_bad_spans(one))
        slack = 0.05 / info["sfreq"]  # rounding errors of onsets
        early = times + tmin < -slack
        late = times + tmax > one.n_times / info["sfreq"] + slack
        inside = np.isfinite(times) & ~early & ~late
        bad = inside & overlaps(times + tmin, times + tmax, bads[k])
        keep = inside & ~bad if reject_by_annotation else inside
        keeps.append(keep)
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
                "file": ", ".join(Path(name).name for name in one.filenames if name),
            }
        )
    alignment = pd.DataFrame(account).set_index("recording")
    # MNE 1.9 takes None for its default level, newer ones for the present level.
    with mne.use_log_level(logger.level if verbose is None else verbose):
        for k, row in alignment.iterrows():
            logger.info(_describe(k, row))
    if not alignment["kept"].sum():
        _refuse_nothing(raws, bolds, onsets, alignment, tmin, tmax)
    warn_once(markers)
    warn_once(ends)

    X = EEGWindows(
        [_read_eeg(one, info, folder) for one in raws],
        np.repeat(np.arange(len(raws)), alignment["kept"]),
        np.concatenate([times[keep] for times, keep in zip(onsets, keeps, strict=True)]),
        info,
        tmin=tmin,
        tmax=tmax,
        bads=bads,
        subjects=subjects,
    )
    X.alignment = alignment
    X.volumes = np.concatenate([np.flatnonzero(keep) for keep in keeps])
    X._cut_by_align = True
    X._y_is_indexed = isinstance(bolds[0], pd.DataFrame)
    return X, _concatenate_bolds(bolds, keeps)


# -- parameters ---------------------------------------------------------------------------------
def _listed(name, values, n_raws):
    if not isinstance(values, list | tuple) or len(values) != n_raws:
        found = len(values) if isinstance(values, list | tuple) else type(values).__name__
        raise ValueError(f"{n_raws} recording(s) need a list of as many {name}, got {found}.")
    return list(values)


def _check_timing(t_r, volume_times, trigger, missing):
    """Check the parameters of the volume onsets."""
    if missing not in (None, "start", "end"):
        raise ValueError(f"missing must be None, 'start' or 'end', got {missing!r}.")
    if volume_times is not None and trigger is not None:
        raise ValueError("give either volume_times or trigger, not both.")
    if missing is not None and trigger is None:
        raise ValueError(
            f"missing={missing!r} needs a trigger; give trigger, or leave out missing."
        )
    if volume_times is None and trigger is None and t_r is None:
        raise ValueError(
            "the onsets of the volumes are unknown; give trigger, volume_times or t_r."
        )
    if t_r is not None and not (isinstance(t_r, Real) and 0 < t_r < 604800):
        raise ValueError(f"t_r must be a positive time in s, got {t_r!r}.")
    if trigger is not None and not (
        isinstance(trigger, str)
        or (isinstance(trigger, tuple) and len(trigger) == 2 and isinstance(trigger[0], str))
    ):
        raise TypeError(f"trigger must be a name or a tuple (name, number), got {trigger!r}.")


# -- EEG ----------------------------------------------------------------------------------------
def _common_info(raws, picks):
    """Check that all recordings have the same channels and rate; return the Info of the first."""
    first, mistyped = None, []
    for k, raw in enumerate(raws):
        if not isinstance(raw, mne.io.BaseRaw):
            raise TypeError(
                f"raw must be mne.io.Raw or a list of them, got {type(raw).__name__}; use "
                f"mne.io.read_raw for files and mne.io.RawArray for arrays."
            )
        info = mne.pick_info(raw.info, _pick(raw, picks, k))
        others = [name for name in info["ch_names"] if name.upper().startswith(NO_EEG)]
        if others and isinstance(picks, str):
            mistyped.append(
                f"recording {k} has EEG channels named {', '.join(others)}; set their type with "
                f"raw.set_channel_types, or leave them out with picks."
            )
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
    warn_once(mistyped)
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
    for onset, name in zip(annotation_onsets(raw), raw.annotations.description, strict=True):
        if 0 < onset < raw.times[-1] and name.lower().startswith(("edge", "bad_acq_skip")):
            raise ValueError(
                f"recording {k} is not continuous ({name!r} at {onset:.2f} s); pass its parts to "
                f"align as a list of recordings."
            )


def _bad_spans(raw):
    """Get start and end in s of stretches annotated as bad, shape (n_spans, 2)."""
    bad = np.array([d.lower().startswith("bad") for d in raw.annotations.description], dtype=bool)
    onsets, durations = annotation_onsets(raw)[bad], raw.annotations.duration[bad]
    return np.stack([onsets, onsets + durations], axis=1)


def _read_eeg(raw, info, folder):
    """Read the EEG in pieces, without a copy of the whole recording in float64."""
    picks = [raw.ch_names.index(name) for name in info["ch_names"]]

    def read():
        for start in range(0, raw.n_times, 2**16):
            piece = raw.get_data(picks, start, min(start + 2**16, raw.n_times))
            check_magnitude(piece, "the EEG")
            yield piece

    pieces = read()
    # float32 holds 24 bits, as amplifiers do; filters compute in float64.
    shape, dtype = (len(picks), raw.n_times), np.float32
    if folder is None:
        return fill(np.empty(shape, dtype), pieces)
    return write_recording(
        folder, shape, dtype, pieces, lambda eeg: recording_path(folder, content_digest(eeg, info))
    )


# -- BOLD ---------------------------------------------------------------------------------------
def _check_bolds(bolds):
    """Check the BOLD of every recording; DataFrames stay DataFrames."""
    clocks, flat = [], []
    bolds = [_check_bold(bold, k, clocks, flat) for k, bold in enumerate(bolds)]
    warn_once(clocks)
    warn_once(flat)
    first = bolds[0]
    for k, bold in enumerate(bolds):
        same = type(bold) is type(first) and bold.shape[1:] == first.shape[1:]
        if same and isinstance(bold, pd.DataFrame):
            names, other = list(first.columns), list(bold.columns)
            same = names == other
            if not same and sorted(map(str, names)) == sorted(map(str, other)):
                raise ValueError(
                    f"the BOLD of recording {k} has the regions of recording 0 in another order; "
                    f"use bold[{names}]."
                )
        if not same:
            raise ValueError(
                f"the BOLD of recording {k} has other regions than that of recording 0 "
                f"({_regions(bold)} against {_regions(first)})."
            )
    return bolds


def _regions(bold):
    return bold.columns.to_list() if isinstance(bold, pd.DataFrame) else f"shape {bold.shape}"


def _check_bold(bold, k, clocks, flat):
    if isinstance(bold, str | PathLike) or hasattr(bold, "get_fdata"):
        raise TypeError(
            f"the BOLD of recording {k} must be a table (n_volumes, n_rois), got "
            f"{type(bold).__name__}; read tables with pandas.read_csv, and extract regions from "
            f"images with ROIExtractor."
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
    if isinstance(bold, pd.DataFrame):
        found = find_clocks(bold)
        if found:
            clocks.append(
                f"{name} has a column {found[0]!r}, which is taken for a region; use "
                f"bold.drop(columns={found}), or read the table with index_col."
            )
        constant = bold.columns[~varying(values)]
        if len(constant) and len(bold) > 1:
            flat.append(
                f"{name} does not vary in {', '.join(map(str, constant))}; check mask and image."
            )
        return bold
    return values


def _concatenate_bolds(bolds, keeps):
    """Concatenate the kept volumes of all recordings."""
    if isinstance(bolds[0], pd.DataFrame):
        kept = [
            bold.set_axis(pd.RangeIndex(len(bold), name="volume")).loc[keep]
            for bold, keep in zip(bolds, keeps, strict=True)
        ]
        return pd.concat(kept, keys=range(len(kept)), names=["recording"])
    return np.concatenate([bold[keep] for bold, keep in zip(bolds, keeps, strict=True)])


# -- summary ------------------------------------------------------------------------------------
def dropped_in_words(row: pd.Series | dict) -> str:
    """Describe the volumes that were dropped, for a row of ``X.alignment``."""
    return ", ".join(f"{row[key]} {why}" for key, why in _WHY.items() if row[key]) or "none"


def _refuse_nothing(raws, bolds, onsets, alignment, tmin, tmax):
    """Raise the error for no volume left, with the likely reason."""
    durations = [raw.n_times / raw.info["sfreq"] for raw in raws]
    advice = f"Use a shorter window than tmin={tmin:g}, tmax={tmax:g} s, or check the onsets."
    ends = [np.nanmax(times, initial=0.0) for times in onsets]
    far = [k for k, end in enumerate(ends) if end > 2 * durations[k]]
    wide = [k for k, bold in enumerate(bolds) if bold.ndim > 1 and bold.shape[1] > bold.shape[0]]
    if far:
        advice = (
            f"The last onset is at {ends[far[0]]:g} s, but the EEG lasts {durations[far[0]]:g} s; "
            f"give times in s."
        )
    elif wide:
        advice = (
            f"The BOLD has {bolds[wide[0]].shape[0]} rows and {bolds[wide[0]].shape[1]} columns; "
            f"transpose it, if columns are volumes."
        )
    raise ValueError(
        f"no volume is left of {alignment['n_volumes'].sum()}: {_describe(0, alignment.iloc[0])} "
        f"{advice}"
    )


def _describe(k, row):
    """Describe the volumes of a recording in one line."""
    return (
        f"Recording {k}: {row['n_volumes']} volumes, {row['n_onsets']} onsets; kept "
        f"{row['kept']}, dropped: {dropped_in_words(row)}."
    )
