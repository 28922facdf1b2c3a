"""align: EEG recordings and BOLD volumes become X and y."""

from collections.abc import Sequence
from numbers import Integral, Real
from os import PathLike
from pathlib import Path

import mne
import numpy as np
import pandas as pd
from mne.utils import logger
from numpy.typing import ArrayLike
from sklearn.utils import Bunch

from .._utils.files import expanded
from .._utils.numbers import check_magnitude, check_names, to_numbers, varying
from .._utils.warn import warn_once
from ..bold.tables import Rows, read_rows
from ..eeg.channels import locate, pick_eeg
from ..eeg.recordings import content_digest, fill, recording_path, write_recording
from ..eeg.windows import EEGWindows, check_window, overlaps
from .markers import trigger_times
from .nuisance import place_nuisance, read_nuisance
from .onsets import check_row_times, find_onsets, unused_markers, volumes_behind
from .seams import annotation_onsets, find_seams, is_bad

__all__ = ["align"]

# Why volumes are dropped, by column of X.alignment.
_WHY = {
    "left_out": "left out of the BOLD",
    "no_marker": "without a marker",
    "no_history": "without their history",
    "no_future": "at the end of the EEG",
    "bad": "in bad stretches",
}


def align(
    raw: mne.io.BaseRaw | Sequence[mne.io.BaseRaw],
    bold: ArrayLike | Sequence[ArrayLike] | None = None,
    *,
    t_r: float | None = None,
    volume_times: ArrayLike | Sequence[ArrayLike] | None = None,
    trigger: str | tuple[str, int] | None = None,
    missing: str | Sequence[str | None] | None = None,
    slice_time_ref: float = 0.0,
    tmin: float = -30.0,
    tmax: float = 0.0,
    picks: str | Sequence[str] = "eeg",
    nuisance: object = None,
    reject_by_annotation: bool = True,
    subjects: str | int | Sequence[str | int] | None = None,
    folder: str | PathLike | None = None,
    verbose: bool | str | int | None = None,
) -> EEGWindows | tuple[EEGWindows, np.ndarray | pd.DataFrame]:
    """Combine EEG recordings and BOLD volumes into X and y.

    Parameters
    ----------
    raw : mne.io.Raw or list of mne.io.Raw
        Continuous EEG, one object per recording.
    bold : array-like or DataFrame of shape (n_volumes, n_rois) or (n_volumes,), list, or None
        BOLD of the regions, one row per acquired volume, one table per recording. If an index or a
        column of whole numbers says that volumes were left out (scrubbing), rows are placed by
        these numbers, as are those of the y that ``align`` returned. None makes X alone, for
        prediction.
    t_r : float, optional
        Repetition time in s. Alone, it means that the first volume starts with the recording and
        the next ones follow every ``t_r`` s. With ``trigger``, the intervals are checked.
    volume_times : array-like of shape (n_volumes,) or list of them, optional
        Onset of each volume in s from the start of the EEG recording, not from the first volume.
    trigger : str or tuple of (str, int), optional
        Marker of the volume onsets: the description of an annotation (``"mri"``) or the name of a
        stim channel, with the number of the event if the channel carries several.
    missing : {None, "start", "end"} or list of them, one per recording
        End of the recording that lacks markers or volumes, if their numbers differ. Volumes without
        a marker, and markers without a volume, are left out at that end.
    slice_time_ref : float
        Moment of a volume to which slice-timing correction moved BOLD, as a share of the repetition
        time, as in nilearn: 0 is the first slice, 0.5 the middle.
    tmin, tmax : float
        Window around each volume onset, in s. Later steps can use no other EEG; negative delays
        need a ``tmax`` above 0. Volumes whose window extends beyond the recording are dropped.
    picks : "eeg" or list of str
        All EEG channels except those in ``raw.info["bads"]`` and those whose names say that they
        are something else (ECG, EOG, Trigger, ...), or names of channels. Channels without
        positions get those of the 10-05 system if it has all their names.
    nuisance : table, path-like, list of str, list of these, or None
        Signals that may change both EEG and BOLD, for :func:`compare`: a table with one row per
        volume (such as motion parameters or the convolved task), its file (of fMRIPrep's confounds,
        motion and its derivatives are used), heart beat and breathing (``*_physio.tsv.gz``) or
        the schedule (``*_events.tsv``, a signal for each ``trial_type``) of BIDS, or names of
        channels (:func:`channel_nuisance`). With several recordings, a list with one entry for
        each, or names of channels for all. If volumes were left out of the BOLD, tables may have
        the rows of all of them. Columns with a name such as "time", "volume" or "index" whose
        numbers rise from row to row count or time the volumes, and are left out with a warning.
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
        BOLD of the kept volumes. A DataFrame is indexed by recording and volume. Not returned
        without ``bold``.

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
    raws = list(raw) if several else [raw]
    n_raws = len(raws)
    if not raws:
        raise ValueError("align needs at least one recording.")
    bolds = _of_each("bold", bold, several, n_raws)
    given = _of_each("volume_times", volume_times, several, n_raws)
    if not isinstance(missing, list | tuple):
        missing = [missing] * n_raws
    missing = _of_each("missing", missing, True, n_raws)
    if subjects is not None:
        subjects = _of_each("subjects", subjects, not isinstance(subjects, str | int), n_raws)
    check_window(tmin, tmax)
    if not tmin < tmax:
        raise ValueError(f"tmin={tmin} s must be less than tmax={tmax} s.")
    _check_timing(t_r, volume_times, trigger, missing, slice_time_ref)
    nuisance = _nuisance_of_each(nuisance, several, n_raws)
    info = _common_info(raws, picks)
    rows = _check_bolds(bolds) if bold is not None else [Rows(None)] * n_raws
    timed = [
        _time_volumes(one, *of_one, trigger=trigger, t_r=t_r, k=k)
        for k, (one, *of_one) in enumerate(zip(raws, rows, given, missing, strict=True))
    ]
    account = []
    for k, (one, volumes) in enumerate(zip(raws, timed, strict=True)):
        times, volumes.offset = volumes.times, 0.0
        if slice_time_ref:
            volumes.offset = slice_time_ref * (t_r or volumes.t_r)
            times = volumes.times = times + volumes.offset
        volumes.bads = _bad_spans(one)
        slack = 0.05 / info["sfreq"]  # rounding errors of onsets
        early = times + tmin < -slack
        late = times + tmax > one.n_times / info["sfreq"] + slack
        inside = np.isfinite(times) & ~early & ~late
        bad = inside & overlaps(times + tmin, times + tmax, volumes.bads)
        keep = volumes.keep = inside & ~bad if reject_by_annotation else inside
        account.append(
            {
                "recording": k,
                "n_volumes": len(times),
                "n_onsets": volumes.n_onsets,
                "no_marker": int(np.isnan(times).sum()),
                "no_history": int(early.sum()),
                "no_future": int((late & ~early).sum()),
                "bad": int((inside & ~keep).sum()),
                "kept": int(keep.sum()),
                "file": ", ".join(Path(name).name for name in one.filenames if name),
            }
        )
    alignment = pd.DataFrame(account).set_index("recording")
    # MNE 1.11 takes None for its default level, newer versions for the present level.
    with mne.use_log_level(logger.level if verbose is None else verbose):
        for k, row in alignment.iterrows():
            logger.info(_describe(k, row))
            if timed[k].numbers[-1] >= len(timed[k].numbers):
                logger.info(
                    f"Rows of recording {k} are placed by the {rows[k].source} of its BOLD."
                )
    warn_once([said for one in timed for said in one.doubts])
    if not alignment["kept"].sum():
        _refuse_nothing(raws, rows, timed, alignment, tmin, tmax)
    for kind in ("markers", "ends"):
        warn_once([said for one in timed for said in one[kind]])

    X = EEGWindows(
        [_read_eeg(one, info, folder) for one in raws],
        np.repeat(np.arange(n_raws), alignment["kept"]),
        np.concatenate([one.times[one.keep] for one in timed]),
        info,
        tmin=tmin,
        tmax=tmax,
        bads=[one.bads for one in timed],
        subjects=subjects,
    )
    X.alignment = alignment
    X.volumes = np.concatenate([one.numbers[one.keep] for one in timed])
    X._cut_by_align = True
    if nuisance is not None:
        of_raws = enumerate(zip(nuisance, raws, timed, strict=True))
        X = X.with_nuisance(
            [place_nuisance(read_nuisance(one, raw), at, k) for k, (one, raw, at) in of_raws]
        )
    if bold is None:
        return X
    X._y_is_indexed = isinstance(rows[0].regions, pd.DataFrame)
    return X, _concatenate_bolds(rows, timed)


def _time_volumes(raw, rows, given, missing, *, trigger, t_r, k):
    """Find the onsets of the volumes in the rows of BOLD, their numbers, and what is doubtful."""
    n_rows = None if rows.regions is None else len(rows.regions)
    numbers = rows.numbers
    if numbers is not None and given is not None and np.size(given) == n_rows:
        numbers = None  # each row has its time
    whole = numbers is not None and (np.diff(numbers) == 1).all()
    is_each = trigger and whole and missing != "end"
    if is_each and len(trigger_times(raw, trigger, k)) == n_rows:
        numbers = None  # each row has its marker
    n_volumes = n_rows if numbers is None else numbers[-1] + 1
    if numbers is not None and given is not None:  # the last volumes may be among those left out
        n_volumes = max(n_volumes, np.size(given))
    times, n_onsets, doubts = find_onsets(
        raw, n_volumes, given, trigger, missing, t_r, k, knows_last=numbers is None
    )
    if numbers is not None:
        times = times[numbers]
    is_counted = trigger is not None and missing is None
    by_t_r = trigger is None and given is None and rows.step != t_r
    if numbers is not None or by_t_r:
        doubts += [f"{said.format(name=f'the BOLD of recording {k}')}." for said in rows.doubts]
    check_row_times(rows.times, times, rows.source, k)
    header = getattr(rows.regions, "attrs", {}).get("t_r")
    if numbers is None:
        numbers = np.arange(len(times))
    usual = np.nan
    if len(times) > 1:
        usual = float(np.nanmedian(np.diff(times) / np.diff(numbers)))
    if header and abs(header - usual) > 0.01 * usual:
        doubts.append(
            f"the image of the BOLD of recording {k} has a repetition time of {header:g} s in its "
            f"header, but the volumes are placed every {usual:g} s; check t_r and the markers."
        )
    return Bunch(
        times=times,
        numbers=numbers,
        t_r=usual,
        n_acquired=n_onsets if given is not None or (n_onsets > 1 and is_counted) else None,
        n_onsets=n_onsets,
        doubts=doubts,
        markers=[] if trigger else list(unused_markers(raw, times, given is None, k)),
        ends=list(volumes_behind(raw, times, k)),
    )


# -- parameters ---------------------------------------------------------------------------------
def _of_each(name, values, listed, n_raws):
    """Return the value of each recording; None is that of all."""
    if values is None:
        return [None] * n_raws
    values = values if listed else [values]
    if not isinstance(values, list | tuple) or len(values) != n_raws:
        found = len(values) if isinstance(values, list | tuple) else type(values).__name__
        raise ValueError(f"{n_raws} recording(s) need a list of as many {name}, got {found}.")
    return list(values)


# In s; no run is longer.
_WEEK = 7 * 24 * 3600.0


def _nuisance_of_each(nuisance, several, n_raws):
    """Return the nuisance of each recording; names of channels are those of all."""
    if nuisance is None:
        return None
    if isinstance(nuisance, list | tuple) and all(isinstance(one, str) for one in nuisance):
        if not all(expanded(one).is_file() for one in nuisance):
            return [nuisance] * n_raws
        several = True
    elif isinstance(nuisance, list | tuple):  # also the list of one recording
        several = several or all(isinstance(one, PathLike | pd.DataFrame) for one in nuisance)
    return _of_each("nuisance", nuisance, several, n_raws)


def _check_timing(t_r, volume_times, trigger, missing, slice_time_ref):
    """Check the parameters of the volume onsets."""
    for one in missing:
        if one not in (None, "start", "end"):
            raise ValueError(f"missing must be None, 'start' or 'end', got {one!r}.")
    missing = next(filter(None, missing), None)
    if not (isinstance(slice_time_ref, Real) and 0 <= slice_time_ref <= 1):
        raise ValueError(
            f"slice_time_ref must be a share of t_r between 0 and 1, got {slice_time_ref!r}."
        )
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
    if t_r is not None and not (isinstance(t_r, Real) and 0 < t_r < _WEEK):
        raise ValueError(f"t_r must be a positive time in s, got {t_r!r}.")
    name, number = trigger if isinstance(trigger, tuple) and len(trigger) == 2 else (trigger, 0)
    if trigger is not None and not (isinstance(name, str) and isinstance(number, Integral)):
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
        found, left_out = _pick(raw, picks, k)
        info = mne.pick_info(raw.info, found)
        if left_out:
            mistyped.append(
                f"channels of recording {k} have the type EEG, but other names, and are left out: "
                f"{', '.join(left_out)}; set their type with raw.set_channel_types, or name all "
                f"channels to use in picks."
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
    locate(first)
    return first


def _pick(raw, picks, k):
    if isinstance(picks, str) and picks == "eeg":
        indices, left_out = pick_eeg(raw.info)
        if not len(indices):
            raise ValueError(
                f"recording {k} has no good EEG channel; its channel types are "
                f"{sorted(set(raw.get_channel_types()))}."
            )
        return indices, left_out
    names = list(picks) if isinstance(picks, list | tuple | np.ndarray) else [picks]
    unknown = [name for name in names if name not in raw.ch_names]
    if unknown or not names:
        raise ValueError(
            f"recording {k} has no channel(s) {unknown}; it has {raw.ch_names}. picks is 'eeg' or "
            f"a list of channel names."
        )
    if len(set(names)) < len(names):
        raise ValueError(f"picks names a channel twice: {names}.")
    return [raw.ch_names.index(name) for name in names], []


def _check_continuous(raw, k):
    for onset, _, name in find_seams(raw)[:1]:
        raise ValueError(
            f"recording {k} is not continuous ({name} at {onset:.2f} s); split it with "
            f"split_at_seams, and pass its parts to align as a list of recordings."
        )


def _bad_spans(raw):
    """Get start and end in s of stretches annotated as bad, shape (n_spans, 2)."""
    bad = np.array([is_bad(name) for name in raw.annotations.description], dtype=bool)
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
    """Check the BOLD of every recording, and read its rows; DataFrames stay DataFrames."""
    clocks, flat = [], []
    rows = [_check_bold(bold, k, clocks, flat) for k, bold in enumerate(bolds)]
    warn_once(clocks)
    warn_once(flat)
    first = rows[0].regions
    for k, bold in enumerate(one.regions for one in rows):
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
    return rows


def _regions(bold):
    return bold.columns.to_list() if isinstance(bold, pd.DataFrame) else f"shape {bold.shape}"


def _check_bold(bold, k, clocks, flat):
    if isinstance(bold, str | PathLike) or hasattr(bold, "get_fdata"):
        raise TypeError(
            f"the BOLD of recording {k} must be a table (n_volumes, n_rois), got "
            f"{type(bold).__name__}; read tables with load_table, and extract regions from "
            f"images with ROIExtractor."
        )
    name = f"the BOLD of recording {k}"
    rows = read_rows(bold)
    bold = rows.regions
    if rows.left_out:
        clocks.append(
            f"{name} has columns that are no regions and are left out: "
            f"{', '.join(map(str, rows.left_out))}."
        )
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
        constant = bold.columns[~varying(values)]
        if len(constant) and len(bold) > 1:
            flat.append(
                f"{name} does not vary in {', '.join(map(str, constant))}; check mask and image."
            )
    else:
        rows.regions = values
    return rows


def _concatenate_bolds(rows, timed):
    """Concatenate the kept volumes of all recordings."""
    kept = [one.regions[volumes.keep] for one, volumes in zip(rows, timed, strict=True)]
    if not isinstance(kept[0], pd.DataFrame):
        return np.concatenate(kept)
    for bold, volumes in zip(kept, timed, strict=True):
        bold.index = pd.Index(volumes.numbers[volumes.keep], name="volume")
    return pd.concat(kept, keys=range(len(kept)), names=["recording"])


# -- summary ------------------------------------------------------------------------------------
def dropped_in_words(row: pd.Series | dict) -> str:
    """Describe the volumes that were dropped, for a row of ``X.alignment``."""
    dropped = {why: row[key] for key, why in _WHY.items() if row.get(key)}
    return ", ".join(f"{n} {why}" for why, n in dropped.items()) or "none"


def _refuse_nothing(raws, rows, timed, alignment, tmin, tmax):
    """Raise the error for no volume left, with the likely reason."""
    advice = f"Use a shorter window than tmin={tmin:g}, tmax={tmax:g} s, or check the onsets."
    for raw, one, volumes in zip(raws, rows, timed, strict=True):
        duration, end = raw.n_times / raw.info["sfreq"], np.nanmax(volumes.times, initial=0.0)
        n_rows, n_columns = (*np.shape(one.regions), 0, 0)[:2]
        if end > 2 * duration:
            advice = (
                f"The last onset is at {end:g} s, but the EEG lasts {duration:g} s; give times "
                f"in s."
            )
            break
        if n_columns > n_rows:
            advice = (
                f"The BOLD has {n_rows} rows and {n_columns} columns; transpose it, if columns are "
                f"volumes."
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
