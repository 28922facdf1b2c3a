"""Onsets of volumes: from markers, from given times, or from the repetition time alone."""

from collections.abc import Iterator
from difflib import get_close_matches

import mne
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from .._utils.numbers import to_numbers
from ..bold.tables import SECONDS, clock_of


def find_onsets(
    raw: mne.io.BaseRaw,
    n_volumes: int,
    given: ArrayLike | None,
    trigger: str | tuple[str, int] | None,
    missing: str | None,
    t_r: float | None,
    k: int,
) -> tuple[np.ndarray, int]:
    """Find the onset of each volume of a recording.

    Parameters
    ----------
    raw : mne.io.Raw
        Recording.
    n_volumes : int
        Number of volumes of its BOLD.
    given, trigger, missing, t_r
        ``volume_times`` of this recording, and parameters of :func:`~sklearn_beira.align`.
    k : int
        Number of the recording, for errors.

    Returns
    -------
    times : ndarray of shape (n_volumes,)
        Onsets in s from the start of the recording; NaN for volumes without a marker.
    n_onsets : int
        Number of markers or onsets found.
    """
    if given is not None:
        times, source = to_numbers(given, f"volume_times of recording {k}"), "volume_times"
    elif trigger is not None:
        times, source = _trigger_times(raw, trigger, k), f"{trigger!r} triggers"
    else:
        times, source = np.arange(n_volumes) * float(t_r), "t_r"
    if times.ndim != 1 or not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        raise ValueError(
            f"the volume onsets of recording {k} must be 1-D, finite, sorted and without "
            f"duplicates; check {source}."
        )
    _check_intervals(times, None if source == "t_r" else t_r, source, k)
    n_onsets = len(times)
    if n_onsets != n_volumes and missing is None:
        hint = "say which end lacks them: missing='start' or 'end', or give volume_times"
        hint = "give one onset per volume" if given is not None else hint
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
        events = _find_events(raw, name)
        codes = np.unique(events[:, 2]).tolist()
        if number is None and len(codes) > 1:
            raise ValueError(
                f"stim channel {name!r} of recording {k} carries the events {codes}; give the one "
                f"of the volumes: trigger=({name!r}, number)."
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
        names = [*raw.ch_names, *map(str, dict.fromkeys(raw.annotations.description))]
        close = get_close_matches(name, names) or [n for n in names if name.lower() in n.lower()]
        raise ValueError(
            f"recording {k} has neither an annotation nor a stim channel named {name!r}; its "
            f"annotations are: {known}" + (f". Did you mean {close[0]!r}?" if close else ".")
        )
    if number is not None:
        raise ValueError(
            f"{name!r} is an annotation of recording {k}, which has no number; use "
            f"trigger={name!r}."
        )
    return annotation_onsets(raw)[here]


def _find_events(raw, name):
    """Find the events of a stim channel, and one at the first sample, which MNE does not find.

    The value of the first sample is a trigger if the same value is a trigger later on. The start of
    a pulse may lie before the recording.
    """
    events = mne.find_events(raw, stim_channel=name, shortest_event=1, verbose="error")
    values = raw.get_data(picks=[name])[0]
    onsets = events[events[:, 2] == int(values[0]), 0] - raw.first_samp
    if not values[0] or not len(onsets):
        return events
    changes = np.append(np.flatnonzero(np.diff(values)) + 1, len(values))
    lengths = changes[np.searchsorted(changes, onsets, side="right")] - onsets
    onset = min(0, changes[0] - int(np.median(lengths)))
    return np.vstack([[raw.first_samp + onset, 0, int(values[0])], events])


def unused_markers(raw: mne.io.BaseRaw, times: np.ndarray, by_t_r: bool, k: int) -> Iterator[str]:
    """Find markers that look like those of the volumes, at other times.

    Parameters
    ----------
    raw : mne.io.Raw
        Recording.
    times : ndarray of shape (n_volumes,)
        Volume onsets in s.
    by_t_r : bool
        Whether they come from the repetition time alone.
    k : int
        Number of the recording.

    Yields
    ------
    message : str
        Warning.
    """
    n_volumes = len(times)
    if n_volumes < 2:
        return
    usual = np.median(np.diff(times))
    onsets = annotation_onsets(raw)
    markers = {
        repr(str(name)): onsets[raw.annotations.description == name]
        for name in set(raw.annotations.description)
    }
    for name in (raw.ch_names[i] for i in mne.pick_types(raw.info, stim=True)):
        events = _find_events(raw, name)
        for code in np.unique(events[:, 2]).tolist():
            at = events[events[:, 2] == code, 0] - raw.first_samp
            markers[f"({name!r}, {code})"] = at / raw.info["sfreq"]
    for name, at in markers.items():
        if len(at) < max(5, n_volumes // 2):
            continue
        intervals = np.diff(at)
        pace = np.median(intervals)
        same_pace = abs(pace - usual) <= 0.01 * usual
        as_many = abs(len(at) - n_volumes) <= 0.05 * n_volumes
        steady = np.mean(np.abs(intervals - pace) <= 0.01 * pace) >= 0.9
        if by_t_r:
            elsewhere = at[0] >= 0.5 / raw.info["sfreq"]
        else:  # repaired times may reach beyond lost markers
            outside = (times < at[0] - pace / 2) | (times > at[-1] + pace / 2)
            elsewhere = len(at) >= n_volumes and outside.any()
        if (same_pace and elsewhere) or (not same_pace and as_many and steady):
            source = f"t_r={usual:g} s" if by_t_r else "volume_times"
            yield (
                f"recording {k} has {len(at)} markers {name} every {pace:g} s, the first "
                f"{at[0]:.2f} s after its start, but {source} puts {n_volumes} volumes every "
                f"{usual:g} s, the first at {times[0]:.2f} s; give trigger={name} if they mark the "
                f"volumes."
            )


def check_index_of_times(bold: pd.DataFrame | np.ndarray, times: np.ndarray, k: int) -> None:
    """Refuse onsets that contradict an index of times.

    Parameters
    ----------
    bold : DataFrame or ndarray
        BOLD of the recording.
    times : ndarray of shape (n_volumes,)
        Onsets in s; NaN where there is none.
    k : int
        Number of the recording.
    """
    index = getattr(bold, "index", None)
    if clock_of(getattr(index, "name", None)) not in SECONDS:
        return
    if not pd.api.types.is_numeric_dtype(index) or len(index) < 2:
        return
    told, taken = np.diff(index.to_numpy(dtype=float)), np.diff(times)
    usual = np.nanmedian(taken) if np.isfinite(taken).any() else np.nan
    odd = np.flatnonzero(np.abs(told - taken) > 0.05 * usual)
    if len(odd):
        i = odd[0]
        raise ValueError(
            f"the index {index.name!r} of the BOLD of recording {k} puts volumes {i} and {i + 1} "
            f"{told[i]:g} s apart, but the onsets are {taken[i]:g} s apart; check t_r and the "
            f"unit, or use bold.reset_index(drop=True) if the index is wrong."
        )


def volumes_behind(raw: mne.io.BaseRaw, times: np.ndarray, k: int) -> Iterator[str]:
    """Find more volumes after the end of the EEG than usual.

    Parameters
    ----------
    raw : mne.io.Raw
        Recording.
    times : ndarray of shape (n_volumes,)
        Onsets in s; NaN for volumes without a marker.
    k : int
        Number of the recording.

    Yields
    ------
    message : str
        Warning.
    """
    known = times[np.isfinite(times)]
    duration = raw.n_times / raw.info["sfreq"]
    n_behind = np.count_nonzero(known > duration)
    if max(5, 0.1 * len(known)) < n_behind < len(known):
        yield (
            f"{n_behind} of {len(known)} volumes of recording {k} start after the end of its EEG "
            f"(it lasts {duration:.1f} s, the last volume starts at {known[-1]:.1f} s); check that "
            f"EEG and BOLD are of one recording, and that times are in s."
        )


def annotation_onsets(raw: mne.io.BaseRaw) -> np.ndarray:
    """Get onsets of annotations in s from the start of the data, also after a crop."""
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
            f"{odd[0] + 1} are {intervals[odd[0]]:.3f} s apart; a trigger is missing or doubled, "
            f"so repair the onsets and give volume_times."
        )
    if t_r is not None and abs(usual - t_r) > 0.01 * t_r:
        raise ValueError(
            f"the {source} of recording {k} are {usual:.4f} s apart, but t_r is {t_r:g} s; check "
            f"t_r."
        )
