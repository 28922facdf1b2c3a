"""Why markers and volumes differ in number, and what to do about it."""

from dataclasses import dataclass

import numpy as np

from .markers import is_candidate


@dataclass
class Markers:
    """The markers that were asked for, and the others of the recording.

    Parameters
    ----------
    trigger : object
        Parameter of :func:`~sklearn_beira.align`.
    onsets : ndarray of shape (n_markers,)
        Onsets in s from the start of the data.
    code : str
        Python code that computes them.
    others : dict of str or tuple of (str, int) to ndarray
        Onsets of the other markers in s.
    n_volumes : int
        Number of volumes.
    t_r : float or None
        Repetition time in s.
    """

    trigger: object
    onsets: np.ndarray
    code: str
    others: dict
    n_volumes: int
    t_r: float | None

    @property
    def pace(self):
        """Usual time between markers in s; NaN for a single one."""
        return float(np.median(np.diff(self.onsets))) if len(self.onsets) > 1 else np.nan


# Each explanation returns a sentence with the line that solves it, or None if it does not hold. The
# first one that holds is given.
def _single(markers):
    if len(markers.onsets) > 1 or markers.t_r is not None:
        return None
    return (
        f"if it marks the start of the scan, give t_r as well: trigger={markers.trigger!r}, t_r=..."
    )


def _several_scans(markers):
    onsets, steps, pace = markers.onsets, np.diff(markers.onsets), markers.pace
    trains = np.split(onsets, np.flatnonzero(steps > 1.5 * pace) + 1)
    fits = [one for one in trains if len(one) == markers.n_volumes]
    if not fits:  # a short gap may be a lost marker
        trains = np.split(onsets, np.flatnonzero(steps > max(5 * pace, pace + 3)) + 1)
        fits = trains[-1:]
    n_places = round((onsets[-1] - onsets[0]) / pace) + 1
    if len(trains) < 2 or min(map(len, trains)) == 1 or n_places == markers.n_volumes:
        return None
    spans = [f"{len(one)} from {one[0]:.1f} to {one[-1]:.1f} s" for one in trains]
    first, last = fits[0][[0, -1]]
    start = max([0.0, first - 30, *(onsets[onsets < first] + pace / 2)])  # with its history
    stop = "" if last == onsets[-1] else f", {last + pace:.1f}"
    return (
        f"there are several scans, with {', '.join(spans)}; crop the EEG to the scan of this BOLD, "
        f"for example raw.crop({start:.1f}{stop})"
    )


def _uneven(markers):
    """Markers that were lost or doubled in the middle."""
    onsets, pace = markers.onsets, markers.pace
    steps = np.diff(onsets)
    odd = np.flatnonzero(np.abs(steps - pace) > 0.25 * pace)
    if not len(odd):
        return None
    first = odd[0]
    said = (
        f"they are {pace:.3f} s apart, but numbers {first} and {first + 1} are {steps[first]:.3f} "
        f"s apart; a trigger is missing or doubled, so repair the onsets and give volume_times"
    )
    numbers = np.rint((onsets - onsets[0]) / pace)
    whole = np.abs(onsets - onsets[0] - numbers * pace).max() < 0.1 * pace
    if whole and numbers[-1] + 1 == markers.n_volumes and (np.diff(numbers) > 0).all():
        said += (
            f" ({markers.n_volumes - len(onsets)} were lost, if the first and the last one are "
            f"there; the user guide on alignment has the code)"
        )
    return said


def _slices(markers):
    onsets, n_volumes, t_r = markers.onsets, markers.n_volumes, markers.t_r
    n_each = [len(onsets) // n_volumes] if len(onsets) % n_volumes == 0 else []
    if t_r is not None:  # dummy volumes have slices as well
        n_each.append(round(t_r / markers.pace))
    for n in n_each:
        steps = np.diff(onsets[::n]) if n > 1 else []
        if len(steps) < 2 or np.ptp(steps) > 0.05 * steps[0]:
            continue
        if t_r is not None and abs(np.median(steps) - t_r) > 0.01 * t_r:
            continue
        n_first = len(steps) + 1
        take = "" if n_first == n_volumes else f", and of these {n_first} those of the BOLD"
        return (
            f"there are {n} markers per volume, for example one per slice; take the first of each "
            f"volume{take}: volume_times={markers.code}[::{n}]"
        )
    return None


def _every_other(markers):
    n_volumes, t_r, pace = markers.n_volumes, markers.t_r, markers.pace
    n, rest = divmod(n_volumes, len(markers.onsets))
    if t_r is not None:
        n = round(pace / t_r)
        rest = abs(pace - n * t_r) > 0.01 * pace
    if n < 2 or rest:
        return None
    return (
        f"only one volume of {n} has a marker; if the first one has, give "
        f"volume_times={markers.onsets[0]:.3f} + {pace / n:.6g} * np.arange({n_volumes})"
    )


def another(markers: Markers) -> str | None:
    """Find other markers that occur as often as volumes; say so."""
    for name, onsets in markers.others.items():
        if len(onsets) == markers.n_volumes and is_candidate(name):
            return f"{name!r} occurs as often as volumes; give trigger={name!r} if it marks them"
    return None


_EXPLANATIONS = (_single, _several_scans, _slices, _uneven, _every_other, another)


def explain(markers: Markers, missing: str | None) -> str | None:
    """Explain why markers cannot be those of the volumes.

    Parameters
    ----------
    markers : Markers
        The markers.
    missing : {None, "start", "end"}
        End that lacks markers or volumes. It settles the numbers of an even train of markers, but
        no other explanation.

    Returns
    -------
    sentence : str or None
        The likely reason and the line that solves it; None if the markers are those of the volumes.
    """
    n_onsets = len(markers.onsets)
    equal = n_onsets == markers.n_volumes
    for why in _EXPLANATIONS:
        if (equal and why not in (_several_scans, _uneven)) or (missing and why is another):
            continue
        if n_onsets < 2 and why not in (_single, another):
            continue
        said = why(markers)
        if said:
            return said
    if equal or missing:
        return None
    return "say which end lacks them: missing='start' or 'end', or give volume_times"
