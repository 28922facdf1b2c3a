"""Onsets of volumes: from markers, from given times, or from the repetition time alone."""

from collections.abc import Iterator

import mne
import numpy as np
from numpy.typing import ArrayLike

from .._utils.numbers import to_numbers
from .counts import Markers, another, explain
from .markers import all_markers, is_candidate, is_clock, is_scan_start, trigger_times

# Volumes that follow faster than this, in s, may be slices, or times in another unit.
_FASTEST = 0.2


def find_onsets(
    raw: mne.io.BaseRaw,
    n_volumes: int | None,
    given: ArrayLike | None,
    trigger: str | tuple[str, int] | None,
    missing: str | None,
    t_r: float | None,
    k: int | str,
    found: dict | None = None,
    *,
    knows_last: bool = True,
) -> tuple[np.ndarray, int, list[str]]:
    """Find the onset of each volume of a recording.

    Parameters
    ----------
    raw : mne.io.Raw
        Recording.
    n_volumes : int or None
        Number of volumes of its BOLD; None if there is no BOLD.
    given, trigger, missing, t_r
        ``volume_times`` of this recording, and parameters of :func:`~sklearn_beira.align`.
    k : int or str
        Number or name of the recording, for errors.
    found : dict or None
        Markers to take, as from :func:`all_markers`; None reads them from the recording.
    knows_last : bool
        Whether the last of the volumes was the last one of the scan. The last ones may be among
        those that were left out of a table.

    Returns
    -------
    times : ndarray of shape (n_volumes,)
        Onsets in s from the start of the recording; NaN for volumes without a marker.
    n_onsets : int
        Number of markers or onsets found.
    doubts : list of str
        Warnings.
    """
    markers, doubts = None, []
    if given is not None:
        times, source = to_numbers(given, f"volume_times of recording {k}"), "volume_times"
    elif trigger is not None:
        markers = _find_markers(raw, n_volumes, trigger, t_r, k, found)
        times, source = markers.onsets, f"{trigger!r} triggers"
        if is_clock(trigger):
            doubts.append(
                f"{trigger!r} of recording {k} is the name of markers of a clock, which come with "
                f"and without a scan; check that they mark the volumes."
            )
    else:
        n = n_volumes or int(raw.n_times / raw.info["sfreq"] / t_r)
        times, source = np.arange(n) * float(t_r), "t_r"
    if times.ndim != 1 or not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        raise ValueError(
            f"the volume onsets of recording {k} must be 1-D, finite, sorted and without "
            f"duplicates; check {source}."
        )
    n_onsets = len(times)
    said = explain(markers, missing) if markers and n_volumes else None
    is_start = markers is not None and n_onsets == 1 and t_r is not None
    if is_start and n_volumes is None:  # as many as follow it
        n_volumes = int((raw.n_times / raw.info["sfreq"] - times[0]) / t_r)
    n_volumes = n_volumes or n_onsets
    if is_start and n_volumes > 1:
        markers.n_volumes = n_volumes
        others = another(markers)
        doubts.append(
            f"recording {k} has a single marker {trigger!r} for {n_volumes} volumes; it is taken "
            f"for the start of the scan, and volumes follow every {t_r:g} s"
            + (f", but {others}." if others else ".")
        )
        return times + np.arange(n_volumes) * float(t_r), 1, doubts
    if n_onsets != n_volumes and given is not None:
        said = "give one onset per volume"
    if said:
        raise ValueError(
            f"recording {k} has {n_onsets} {source} but the BOLD has {n_volumes} volumes; {said}."
            if n_onsets != n_volumes
            else f"recording {k} has as many {source} as volumes, but {said}."
        )
    if missing == "start" and n_onsets != n_volumes and not knows_last:
        raise ValueError(
            f"missing='start' counts from the end of the scan, but the last row of the BOLD of "
            f"recording {k} need not be its last volume, as volumes were left out; give the onset "
            f"of each volume (volume_times, or Study.place)."
        )
    if source != "t_r":
        _check_pace(times, t_r, source, k)
    pace = float(np.median(np.diff(times))) if n_onsets > 1 else np.inf
    if pace < _FASTEST:
        doubts.append(
            f"the volumes of recording {k} are {pace:g} s apart; check that times are in s, and "
            f"that markers are those of volumes, not of slices."
        )
    if n_onsets > n_volumes:
        times = times[-n_volumes:] if missing == "start" else times[:n_volumes]
    lacking = np.full(n_volumes - len(times), np.nan)
    times = np.concatenate([lacking, times] if missing == "start" else [times, lacking])
    return times, n_onsets, doubts


def _find_markers(raw, n_volumes, trigger, t_r, k, found):
    """Find the markers that were asked for, and all others."""
    onsets = trigger_times(raw, trigger, k) if found is None else found[trigger]
    found = all_markers(raw) if found is None else found
    others = {
        name: at
        for name, at in found.items()
        if name != trigger and not (isinstance(name, tuple) and name[0] == trigger)
    }
    name, number = trigger if isinstance(trigger, tuple) else (trigger, None)
    events = f"mne.find_events(raw, {name!r})"
    events = events if number is None else f"mne.pick_events({events}, {number})"
    code = f"(({events}[:, 0] - raw.first_samp) / raw.info['sfreq'])"
    if isinstance(trigger, str) and trigger in raw.annotations.description:
        here = f"raw.annotations.description == {trigger!r}"
        code = f"(raw.annotations.onset[{here}] - raw.first_time)"
    return Markers(trigger, onsets, code, others, n_volumes or len(onsets), t_r)


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
    markers = {name: at for name, at in all_markers(raw).items() if is_candidate(name)}
    for name, at in markers.items() if by_t_r else ():
        if len(at) == 1 and at[0] >= 0.5 / raw.info["sfreq"] and is_scan_start(name):
            yield (
                f"recording {k} has one marker {name!r} at {at[0]:.2f} s, but t_r alone puts the "
                f"first volume at the start of the EEG; give trigger={name!r} as well if it marks "
                f"the start of the scan."
            )
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
                f"recording {k} has {len(at)} markers {name!r} every {pace:g} s, the first "
                f"{at[0]:.2f} s after its start, but {source} puts {n_volumes} volumes every "
                f"{usual:g} s, the first at {times[0]:.2f} s; give trigger={name!r} if they mark "
                f"the volumes."
            )


def check_row_times(told: np.ndarray | None, times: np.ndarray, source: str, k: int) -> None:
    """Refuse onsets that contradict the times in a table.

    Parameters
    ----------
    told : ndarray of shape (n_volumes,) or None
        Times of the table in s.
    times : ndarray of shape (n_volumes,)
        Onsets in s; NaN where there is none.
    source : str
        Index or column of the table.
    k : int
        Number of the recording.
    """
    if told is None or len(told) < 2:
        return
    told, taken = np.diff(told), np.diff(times)
    usual = np.nanmedian(taken) if np.isfinite(taken).any() else np.nan
    odd = np.flatnonzero(np.abs(told - taken) > 0.05 * usual)
    if len(odd):
        i = odd[0]
        raise ValueError(
            f"the {source} of the BOLD of recording {k} puts volumes {i} and {i + 1} {told[i]:g} s "
            f"apart, but the onsets are {taken[i]:g} s apart; check t_r and the unit, or drop the "
            f"times if they are wrong."
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


def _check_pace(times, t_r, source, k):
    if len(times) < 2 or t_r is None:
        return
    usual = float(np.median(np.diff(times)))
    if abs(usual - t_r) > 0.01 * t_r:
        raise ValueError(
            f"the {source} of recording {k} are {usual:.4f} s apart, but t_r is {t_r:g} s; check "
            f"t_r."
        )
