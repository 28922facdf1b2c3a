"""Nuisance signals beside EEG and BOLD: tables, other channels, and loud EEG."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import mne
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.ndimage import uniform_filter1d

from .._utils.numbers import to_numbers
from ..bold.tables import MOTION, load_table, without_counts
from ..eeg.windows import EEGWindows
from .beats import find_beats
from .physio import ENDING, RATE, breathing, heart_rate, slow_physio

__all__ = ["channel_nuisance", "loud_eeg"]

# Of fMRIPrep's table: what moves. What is made of BOLD, such as DVARS, follows it.
_FMRIPREP = (*MOTION, *(f"{name}_derivative1" for name in MOTION), "framewise_displacement")
_EVENTS = "_events.tsv"
# Types of channels by words in their names.
_KINDS = {"ecg": "ecg", "ekg": "ecg", "resp": "resp"}
_SWAY = 30.0  # s, slower changes of a channel are no movement
_HEAD = 50.0  # mm, radius on which rotations are turned into displacements
# Loudness of EEG that is still usual, in robust standard deviations of its logarithm.
_USUAL = 5.0


def read_nuisance(
    nuisance: ArrayLike | str | PathLike | Sequence[str], raw: mne.io.BaseRaw | None = None
) -> pd.DataFrame:
    """Read the nuisance signals of a recording.

    Parameters
    ----------
    nuisance : DataFrame, array-like, path-like or list of str
        Table with one row per volume, file with such a table, ``_physio.tsv.gz`` or
        ``_events.tsv`` of BIDS, or channels of the recording.
    raw : mne.io.Raw or None
        The recording; None if there are no channels to choose from.

    Returns
    -------
    table : DataFrame
        The signals. The name of the index is its clock: "time" in s from the start of the
        recording, "scan time" in s from the first volume, or "volume", numbers of rows.

    Warns
    -----
    UserWarning
        If columns of a table count or time the volumes, and are left out.
    """
    if isinstance(nuisance, str) and raw is not None and nuisance in raw.ch_names:
        return channel_nuisance(raw, nuisance)
    if isinstance(nuisance, list | tuple) and all(isinstance(one, str) for one in nuisance):
        return channel_nuisance(raw, nuisance)
    if isinstance(nuisance, str | PathLike):
        duration = np.inf if raw is None else raw.times[-1]
        for ending, read in ((ENDING, slow_physio), (_EVENTS, _schedule)):
            if str(nuisance).endswith(ending):
                of_eeg = Path(nuisance).parent.name == "eeg"
                table = read(nuisance, duration)
                table.attrs["is_physio"] = read is slow_physio
                return table.rename_axis("time" if of_eeg else "scan time")
        name, table = Path(nuisance).name, load_table(nuisance)
        if name.startswith("rp_") and table.shape[1] == len(MOTION):  # written by SPM
            table.columns = MOTION
    else:
        name, table = "the nuisance table", pd.DataFrame(nuisance)
    if {"framewise_displacement", *MOTION} <= set(table.columns) and len(table.columns) > 20:
        table = table[[column for column in _FMRIPREP if column in table]]
    table = without_counts(table)
    table = pd.DataFrame(to_numbers(table, name), columns=table.columns)
    if len(table) > 1:  # derivatives have no first value
        table.iloc[0] = table.iloc[0].fillna(table.iloc[1])
    if set(MOTION) <= set(table.columns) and "framewise_displacement" not in table:
        table = _with_displacement(table)
    return table.rename_axis("volume")


def place_nuisance(table: pd.DataFrame, volumes, k) -> pd.DataFrame:
    """Place nuisance signals in the time of a recording.

    Parameters
    ----------
    table : DataFrame
        As from :func:`read_nuisance`.
    volumes : Bunch
        ``times`` (n_volumes,) in s from the start of the recording, NaN if unknown; their
        ``numbers`` (n_volumes,), which have gaps where volumes were left out; ``offset``, the time
        in s from the onset of a volume to its time; and ``n_acquired``, the number of volumes that
        were acquired, None if unknown.
    k : int or str
        Number or name of the recording, for messages.

    Returns
    -------
    table : DataFrame
        The signals, indexed by time in s from the start of the recording.

    Raises
    ------
    ValueError
        If a table of volumes has another number of rows, or heart beat and breathing were not
        recorded during most volumes.
    """
    times, numbers = volumes.times, volumes.numbers
    known = np.isfinite(times)
    if table.index.name == "time":
        return _covering(table, times[known], k)
    if table.index.name == "scan time":
        t_r = np.nanmedian(np.diff(times) / np.diff(numbers))
        first = np.argmax(known)
        start = times[first] - volumes.offset - numbers[first] * t_r
        table = table.set_axis(pd.Index(table.index + start, name="time"))
        return _covering(table, times[known], k)
    # Rows of all volumes, of which some were left out of the BOLD.
    of_all = len(table) != len(times) and len(times) < numbers[-1] + 1 <= len(table)
    of_all &= volumes.n_acquired in (None, len(table))
    if len(table) != len(times) and not of_all:
        raise ValueError(
            f"the nuisance table has {len(table)} rows, but recording {k} has {len(times)} "
            f"volumes; give one row per volume, or channels of the recording by name."
        )
    table = table.iloc[numbers] if of_all else table
    return table.set_axis(pd.Index(times, name="time"))[known]


def _covering(table, times, k):
    """Refuse heart beat and breathing that were not recorded at most times of volumes."""
    inside = np.count_nonzero((times >= table.index[0]) & (times <= table.index[-1]))
    if table.attrs.get("is_physio") and 2 * inside < len(times):
        raise ValueError(
            f"heart beat and breathing were recorded from {table.index[0]:g} to "
            f"{table.index[-1]:g} s of recording {k}, in {inside} of its {len(times)} volumes; "
            f"check StartTime and SamplingFrequency in the sidecar."
        )
    return table


def _schedule(path, end):
    """Read events of BIDS as signals that are 1 while an event of a type lasts, else 0."""
    events, step = load_table(path), 1 / RATE
    events = events.assign(onset=pd.to_numeric(events.get("onset"), errors="coerce"))
    events = events.dropna(subset="onset")
    if events.empty:
        raise ValueError(f"{Path(path).name} has no events with an onset.")
    onset, length = events["onset"], pd.Series(events.get("duration", 0.0), events.index)
    stop = onset + pd.to_numeric(length, errors="coerce").fillna(0.0).clip(lower=step)
    inside = (stop >= 0) & (onset <= end)
    if 2 * inside.sum() < len(events):
        raise ValueError(
            f"{Path(path).name} has {len(events)} events, of which {inside.sum()} are within the "
            f"{end:g} s of the recording; give onsets in s from its start."
        )
    onset, stop = onset[inside].clip(lower=-end), stop[inside].clip(upper=2 * end)
    kinds = pd.Series(events.get("trial_type", "task"), events.index).fillna("n/a").astype(str)
    kinds = kinds[inside]
    table = pd.DataFrame(
        0.0, np.arange(onset.min() - step, stop.max() + 2 * step, step), kinds.unique()
    )
    for kind, first, last in zip(kinds, onset, stop, strict=True):
        table.loc[first:last, kind] = 1.0
    return table


def _with_displacement(table):
    """Add derivatives of the motion parameters (mm, rad) and Power's framewise displacement."""
    change = table[list(MOTION)].diff()
    change.iloc[:1] = 0.0
    size = change.abs()
    size[[name for name in MOTION if name.startswith("rot")]] *= _HEAD
    change.columns = [f"{name}_derivative1" for name in MOTION]
    new = change.loc[:, ~change.columns.isin(table.columns)]
    return table.join(new).assign(framewise_displacement=size.sum(axis=1, skipna=False))


def channel_nuisance(raw: mne.io.BaseRaw, picks: str | Sequence[str]) -> pd.DataFrame:
    """Turn channels other than EEG into slow nuisance signals.

    Parameters
    ----------
    raw : mne.io.Raw
        Recording.
    picks : str or list of str
        Channels. Of ECG, the heart rate is used, from R peaks found by
        :func:`mne.preprocessing.find_ecg_events`; of respiration, the standard deviation within
        6 s; of every other channel (EOG, EMG, wires), the logarithm of its power within 1 s, after
        its mean over 30 s is subtracted. Types are those of ``raw``; channels of the type EEG are
        ECG or respiration if their names say so.

    Returns
    -------
    table : DataFrame
        Four values per second, indexed by time in s from the start of the recording.

    Raises
    ------
    ValueError
        If a channel does not exist or is flat, or if an ECG has fewer than three R peaks.

    Examples
    --------
    >>> import mne, numpy as np
    >>> from sklearn_beira.alignment import channel_nuisance
    >>> info = mne.create_info(["HEOG"], 100.0, "eog")
    >>> raw = mne.io.RawArray(np.random.default_rng(0).standard_normal((1, 6000)), info, verbose=0)
    >>> channel_nuisance(raw, ["HEOG"]).shape
    (240, 1)
    """
    picks = [picks] if isinstance(picks, str) else list(picks)
    unknown = [name for name in picks if name not in raw.ch_names]
    if unknown or not len(picks):
        raise ValueError(
            f"nuisance {unknown} is neither a file nor a channel; the recording has the channels "
            f"{', '.join(raw.ch_names)}."
        )
    at = np.arange(0, raw.n_times / raw.info["sfreq"], 1 / RATE)
    table = pd.DataFrame(index=pd.Index(at, name="time"))
    for name, kind in zip(picks, raw.get_channel_types(picks), strict=True):
        if kind == "eeg":  # as some readers say of all channels
            kind = next((kind for word, kind in _KINDS.items() if word in name.lower()), kind)
        if kind == "ecg":
            table[f"heart rate of {name}"] = heart_rate(find_beats(raw, name), at)
            continue
        signal, sfreq = raw.get_data([name])[0], raw.info["sfreq"]
        if not np.ptp(signal) > 0:
            raise ValueError(f"channel {name} is flat or holds NaN; leave it out.")
        if kind == "resp":
            table[f"respiration of {name}"] = np.interp(at, raw.times, breathing(signal, sfreq))
            continue
        signal = signal - uniform_filter1d(signal, max(int(_SWAY * sfreq), 1))
        power = uniform_filter1d(signal**2, max(int(sfreq), 1), mode="nearest")
        power = np.interp(at, raw.times, np.maximum(power, 0.0))
        table[f"power of {name}"] = np.log(np.maximum(power, power[power > 0].min()))
    return table


def loud_eeg(X: EEGWindows) -> pd.DataFrame:
    """Measure how much louder than usual the EEG is before each volume, a sign of movement.

    The logarithm of the power within 2 s, over all channels, counts where it exceeds its median by
    more than five robust standard deviations. In clean EEG the signal is 0 nearly everywhere, so
    rhythms that wax and wane stay in the EEG. It is the nuisance signal where movement was not
    recorded.

    Parameters
    ----------
    X : EEGWindows
        Windows of continuous EEG.

    Returns
    -------
    table : DataFrame, shape (n_volumes, 2)
        Loudness below 4 Hz and above 20 Hz in the 2 s before each volume.

    Raises
    ------
    ValueError
        If X is an epoched array.

    Examples
    --------
    >>> from sklearn_beira import align
    >>> from sklearn_beira.alignment import loud_eeg
    >>> from sklearn_beira.datasets import make_eeg_fmri
    >>> study = make_eeg_fmri(duration=120.0, random_state=0)
    >>> X, y = align(study.raws, study.bolds, trigger="mri", verbose="error")
    >>> loud_eeg(X).shape == (len(X), 2)
    True
    """
    if X.epoched:
        raise ValueError("X is an epoched array; pass the EEGWindows that align returns.")
    table = np.zeros((len(X), 2))
    for k in np.unique(X.groups):
        eeg, rows = X.recordings[k].astype(float), X.groups == k
        slow = eeg - mne.filter.filter_data(eeg, X.sfreq, 4.0, None, verbose="error")
        fast = mne.filter.filter_data(eeg, X.sfreq, min(20.0, 0.3 * X.sfreq), None, verbose="error")
        for j, part in enumerate((slow, fast)):
            power = uniform_filter1d((part**2).mean(axis=0), int(2 * X.sfreq), mode="nearest")
            loudness = np.log(power + power[power > 0].min() if power.any() else power + 1.0)
            center = np.median(loudness)
            spread = 1.4826 * np.median(np.abs(loudness - center)) or 1.0
            loudness = np.maximum((loudness - center) / spread - _USUAL, 0.0)
            at = np.clip(((X.times[rows] - 1.0) * X.sfreq).astype(int), 0, len(loudness) - 1)
            table[rows, j] = loudness[at]
    return pd.DataFrame(table, columns=["loud, slow", "loud, fast"])
