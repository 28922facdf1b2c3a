"""Markers of a recording: where they are, what their names mean, and which ones mark volumes."""

import re
from difflib import get_close_matches

import mne
import numpy as np
import pandas as pd

from .seams import SEAM, annotation_onsets, is_bad

# Markers of the clock that EEG and scanner share, which come with and without a scan.
_CLOCK = re.compile(r"sync", re.IGNORECASE)
# A single marker with such a name may mark the start of a scan.
_SCAN = re.compile(r"scan|mri|bold|epi\b|volume|pulse|trigger|r128|\btr\b|start", re.IGNORECASE)
# Such a name says that there is one marker for the whole scan.
_START = re.compile(r"start|begin", re.IGNORECASE)

# Markers are those of volumes if their pace is the repetition time within this share of it.
_TOLERANCE = 0.01


def all_markers(raw: mne.io.BaseRaw) -> dict[str | tuple[str, int], np.ndarray]:
    """Find the markers of a recording.

    Parameters
    ----------
    raw : mne.io.Raw
        Recording.

    Returns
    -------
    markers : dict of str or tuple of (str, int) to ndarray
        Onsets in s from the start of the data, by the name of the annotations, or by stim channel
        and number.
    """
    onsets = annotation_onsets(raw)
    markers = {
        str(name): onsets[raw.annotations.description == name]
        for name in sorted(set(raw.annotations.description))
    }
    for name in (raw.ch_names[i] for i in mne.pick_types(raw.info, stim=True)):
        events = _find_events(raw, name)
        for code in np.unique(events[:, 2]).tolist():
            at = events[events[:, 2] == code, 0] - raw.first_samp
            markers[name, code] = at / raw.info["sfreq"]
    return markers


def trigger_times(raw: mne.io.BaseRaw, trigger: str | tuple[str, int], k: int) -> np.ndarray:
    """Find the onsets of a trigger in s from the start of recording k."""
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
        if name in raw.ch_names:
            kind = raw.get_channel_types([name])[0]
            raise ValueError(
                f"channel {name!r} of recording {k} has the type {kind}, not that of triggers; use "
                f"raw.set_channel_types({{{name!r}: 'stim'}}) if it holds the triggers."
            )
        known = pd.Series(raw.annotations.description).value_counts()
        known = ", ".join(f"{d!r} ({n})" for d, n in known.items()) or "none"
        names = [*raw.ch_names, *map(str, dict.fromkeys(raw.annotations.description))]
        names = [other for other in names if is_clock(name) or not is_clock(other)]
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

    The value of the first sample is a trigger if the same value is a trigger later on, and not the
    one at rest, to which inverted pulses return. The start of a pulse may lie before the recording.
    """
    values = raw.get_data(picks=[name])[0]  # read once, as files may be large
    info = mne.create_info([name], raw.info["sfreq"], "stim")
    stim = mne.io.RawArray(values[None], info, first_samp=raw.first_samp, verbose="error")
    events = mne.find_events(stim, stim_channel=name, shortest_event=1, verbose="error")
    onsets = events[events[:, 2] == int(values[0]), 0] - raw.first_samp
    if not values[0] or not len(onsets):
        return events
    changes = np.append(np.flatnonzero(np.diff(values)) + 1, len(values))
    lengths = changes[np.searchsorted(changes, onsets, side="right")] - onsets
    if len(onsets) > 1 and np.median(lengths) > 0.75 * np.median(np.diff(onsets)):
        return events  # the value at rest
    onset = min(0, changes[0] - int(np.median(lengths)))
    return np.vstack([[raw.first_samp + onset, 0, int(values[0])], events])


def is_clock(marker: str | tuple[str, int]) -> bool:
    """Tell markers of a clock that EEG and scanner share from those of volumes."""
    return _CLOCK.search(_name(marker)) is not None


def is_candidate(marker: str | tuple[str, int]) -> bool:
    """Tell whether markers of that name may mark volumes."""
    name = _name(marker)
    return not (is_clock(marker) or SEAM.match(name) or is_bad(name))


def is_scan_start(marker: str | tuple[str, int]) -> bool:
    """Tell whether a single marker of that name may mark the start of a scan."""
    return is_candidate(marker) and _SCAN.search(_name(marker)) is not None


def is_start(marker: str | tuple[str, int]) -> bool:
    """Tell whether the name of a marker says that there is one for the whole scan."""
    return _START.search(_name(marker)) is not None


def _name(marker):
    """Name of an annotation, or of the stim channel of (channel, number)."""
    return marker if isinstance(marker, str) else marker[0]


def pick_trigger(markers: dict, t_r: float) -> str | tuple[str, int]:
    """Find the marker whose median interval is the repetition time.

    Parameters
    ----------
    markers : dict of str or tuple of (str, int) to ndarray
        Onsets in s, as from :func:`all_markers`.
    t_r : float
        Repetition time in s.

    Returns
    -------
    trigger : str or tuple of (str, int)
        Marker.

    Raises
    ------
    ValueError
        If there is none, or more than one.
    """
    found = [
        name
        for name, onsets in markers.items()
        if is_candidate(name)
        and len(onsets) > 2
        and abs(np.median(np.diff(onsets)) - t_r) <= _TOLERANCE * t_r
    ]
    if len(found) != 1:
        how_many = "several markers come" if found else "no marker comes"
        raise ValueError(f"{how_many} every {t_r:g} s; give the trigger: {describe(markers)}.")
    return found[0]


def find_marker(markers: dict, wanted: str | tuple[str, int]) -> str | tuple[str, int]:
    """Find a marker by its name, in which one blank may stand for several.

    Parameters
    ----------
    markers : dict of str or tuple of (str, int) to ndarray
        Onsets in s.
    wanted : str or tuple of (str, int)
        Name, such as "S 1" for "S  1"; ("T", 8) also stands for "T:8", and a stim channel for its
        events if all have one number.

    Returns
    -------
    marker : str or tuple of (str, int)
        Marker.

    Raises
    ------
    ValueError
        If there is none, or if there are several but none of exactly that name.
    """
    same = [name for name in markers if str(name).split() == str(wanted).split()]
    if isinstance(wanted, tuple):
        same += [name for name in markers if _channel_and_code(str(name)) == wanted]
    same = [name for name in same if name == wanted] or same
    same = same or [name for name in markers if isinstance(name, tuple) and name[0] == wanted]
    if len(same) != 1:
        there_is = "there are several markers" if same else "there is no marker"
        raise ValueError(f"{there_is} {wanted!r}; {describe(markers)}.")
    return same[0]


def _channel_and_code(name):
    channel, _, code = name.rpartition(":")
    return channel, int(code) if code.strip().isdecimal() else None


def describe(markers: dict) -> str:
    """List markers with their numbers and median intervals."""
    told = []
    for name, onsets in markers.items():
        every = f" every {np.median(np.diff(onsets)):.4g} s" if len(onsets) > 1 else ""
        told.append(f"{name!r} ({len(onsets)}{every})")
    return f"the EEG has the markers {', '.join(told)}" if told else "the EEG has no markers"
