"""Heart beat and breathing in files of BIDS, recorded beside the scan."""

import json
from collections.abc import Iterable
from os import PathLike
from pathlib import Path

import mne
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.ndimage import uniform_filter1d

from .._utils.files import expanded, reading
from .._utils.numbers import to_numbers
from .._utils.warn import warn_user
from .beats import find_beats

ENDING = "_physio.tsv.gz"
# Columns of BIDS, and their types in MNE.
_SIGNALS = {"cardiac": "ecg", "respiratory": "resp"}
# Hz: pulse waves are slower than R peaks.
_PULSE = (1.0, 8.0)
RATE = 4.0  # values per second of slow signals
_BREATH = 6.0  # s, longer than one breath


def heart_rate(beats: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Beats per minute at some times, averaged over 3 s of a grid of ``RATE``."""
    rate = np.interp(at, (beats[1:] + beats[:-1]) / 2, 60.0 / np.diff(beats))
    return uniform_filter1d(rate, int(3 * RATE), mode="nearest")


def breathing(signal: np.ndarray, sfreq: float) -> np.ndarray:
    """Standard deviation of respiration within 6 s."""
    signal = signal - uniform_filter1d(signal, max(int(_BREATH * 5 * sfreq), 1))
    power = uniform_filter1d(signal**2, max(int(_BREATH * sfreq), 1), mode="nearest")
    return np.sqrt(np.maximum(power, 0.0))


def has_signals(path: Path) -> bool:
    """Tell whether a file of BIDS holds heart beat or breathing."""
    sidecars = _find_sidecars(path)
    if not sidecars:
        return False
    with reading(sidecars[-1]):
        return not set(_SIGNALS).isdisjoint(_read_sidecars(sidecars).get("Columns") or ())


def read_physio(path: str | PathLike) -> tuple[mne.io.BaseRaw, float]:
    """Read heart beat and breathing, and when they start in s; flat signals are left out."""
    path = expanded(path)
    with reading(path):
        facts = _read_sidecars(_find_sidecars(path) or [_own_sidecar(path)])
        columns, sfreq = facts["Columns"], float(facts["SamplingFrequency"])
        start = float(facts.get("StartTime") or 0.0)
        table = pd.read_csv(path, sep="\t", header=None, na_values="n/a")
        if table.shape[1] != len(columns):
            raise ValueError(f"it has {table.shape[1]} columns, its sidecar names {len(columns)}")
        table = table.set_axis(columns, axis=1)
    kinds = {name: kind for name, kind in _SIGNALS.items() if name in columns}
    if not kinds:
        raise ValueError(f"{path.name} has the columns {columns}, but no cardiac or respiratory.")
    signals = table[list(kinds)].apply(pd.to_numeric, errors="coerce")
    signals = signals.interpolate(limit_direction="both")
    if signals.empty or signals.isna().to_numpy().any():
        raise ValueError(f"{path.name} has no numbers in {' or '.join(kinds)}.")
    flat = [name for name in kinds if np.ptp(signals[name]) == 0]
    if len(flat) == len(kinds):
        raise ValueError(f"{path.name} is flat in {' and '.join(flat)}; leave it out.")
    if flat:  # such as a pulse oximeter that fell off
        warn_user(f"{path.name} is flat in {flat[0]}, which is left out.")
        kinds = {name: kind for name, kind in kinds.items() if name not in flat}
        signals = signals[list(kinds)]
    info = mne.create_info(list(kinds), sfreq, list(kinds.values()))
    raw = mne.io.RawArray(signals.to_numpy().T, info, verbose="error")
    return raw, start


def name_parts(path: Path, *but: str) -> dict[str, str]:
    """Split a name of BIDS into labels by key, such as ``{"sub": "01"}``, without some keys."""
    name = path.name[max(path.name.find("sub-"), 0) :].partition(".")[0]
    parts = dict(part.split("-", 1) for part in name.split("_") if "-" in part)
    return {key: label for key, label in parts.items() if key not in but}


def without_zeros(label: str) -> str:
    """Leave out the zeros in front of a number, as some programs do in names of files."""
    return str(int(label)) if label.isdecimal() else label


def are_labels_of(file: Path, path: Path, *but: str) -> bool:
    """Tell whether the labels in the name of a file (but some) are labels of another one."""
    labels, own = (
        {key: without_zeros(label) for key, label in name_parts(one).items()}
        for one in (file, path)
    )
    return all(own.get(key) == label for key, label in labels.items() if key not in but)


def inherited_from(folders: Iterable[Path], path: Path, ending: str, *but: str) -> list[Path]:
    """Find sidecars by inheritance in BIDS: those whose labels (but some) are labels of a file.

    Parameters
    ----------
    folders : iterable of Path
        Folders, the most general first.
    path : Path
        File.
    ending : str
        End of the names of the sidecars, such as "events.tsv".
    *but : str
        Keys of labels that the file need not have.

    Returns
    -------
    found : list of Path
        Sidecars, the most general first.
    """
    found = []
    for folder in folders:
        files = [file for file in folder.glob(f"*{ending}") if not file.name.startswith(".")]
        files = [file for file in files if are_labels_of(file, path, *but)]
        found += sorted(files, key=lambda file: len(name_parts(file)))
    return found


def _own_sidecar(path):
    return path.with_name(path.name.removesuffix(".gz").removesuffix(".tsv") + ".json")


def _find_sidecars(path):
    """Find the sidecars of a file, from the most general to its own, by inheritance in BIDS."""
    path = path.absolute()  # a relative path does not name the folders above
    own, person = _own_sidecar(path), f"sub-{name_parts(path).get('sub')}"
    folders = [folder for folder in path.parents if person in folder.parts]
    folders += [folders[-1].parent] if folders else []  # the root of the data set
    found = inherited_from(reversed(folders), path, "physio.json")
    found = [file for file in found if file != own]
    return [*found, own] if own.is_file() else found


def _read_sidecars(paths):
    facts = {}
    for path in paths:
        facts = facts | json.loads(path.read_text(encoding="utf-8-sig"))
    return facts


def slow_physio(path: str | PathLike, duration: float) -> pd.DataFrame:
    """Read heart rate and breathing as four values per second, indexed by the time of the file.

    A file that lasts ten times as long as the recording, ``duration`` in s, is refused.
    """
    raw, start = read_physio(path)
    lasts = raw.n_times / raw.info["sfreq"]
    if lasts > 10 * duration:
        raise ValueError(
            f"{Path(path).name} lasts {lasts:g} s, but the recording {duration:g} s; check "
            f"SamplingFrequency in its sidecar, which is in Hz."
        )
    return _slow_signals(raw, start)


def _slow_signals(raw, start):
    """Heart rate and breathing, indexed by time in s."""
    at = np.arange(0, raw.n_times / raw.info["sfreq"], 1 / RATE)
    table = pd.DataFrame(index=pd.Index(at + start, name="time"))
    for name in raw.ch_names:
        if name == "cardiac":
            table["heart rate"] = heart_rate(find_beats(raw, name, _PULSE), at)
        else:
            strength = breathing(raw.get_data([name])[0], raw.info["sfreq"])
            table["respiration"] = np.interp(at, raw.times, strength)
    return table


def physio_confounds(path: str | PathLike, volume_times: ArrayLike) -> pd.DataFrame:
    """Make confounds of BOLD from heart beat and breathing in a file of BIDS.

    Heart rate in beats per minute, the standard deviation of respiration within 6 s, and the phases
    of both at each volume as two pairs of cosine and sine (RETROICOR [1]_).

    Parameters
    ----------
    path : path-like
        File ``*_physio.tsv.gz`` with the columns ``cardiac`` or ``respiratory`` (or both), and its
        sidecar beside it or, by inheritance in BIDS, in a folder above. A flat column is left out.
    volume_times : array-like of shape (n_volumes,)
        Times of volumes on the clock of the file, in s: for a file in ``func``, from the first
        volume on. The middle of a volume is a good choice.

    Returns
    -------
    table : DataFrame, shape (n_volumes, 10)
        Confounds, for :class:`ROIExtractor`; five columns where there is one signal. For ``align``
        give the file as ``nuisance``, of which heart rate and respiration are used.

    Raises
    ------
    ValueError
        If the file or its sidecar cannot be read, has no such column, if no beats are found, or if
        most volumes are not within the file.

    References
    ----------
    .. [1] Glover, G. H., Li, T.-Q. and Ress, D. (2000). Image-based method for retrospective
       correction of physiological motion effects in fMRI: RETROICOR. Magnetic Resonance in
       Medicine, 44(1), 162-167.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_beira.alignment import physio_confounds
    >>> times = 2.0 * np.arange(300) + 1.0
    >>> physio_confounds("sub-01_task-rest_physio.tsv.gz", times)  # doctest: +SKIP
    """
    times = to_numbers(volume_times, "volume_times")
    raw, start = read_physio(path)
    slow = _slow_signals(raw, start)
    inside = (times >= slow.index[0]) & (times <= slow.index[-1])
    if 2 * inside.sum() < len(times):
        raise ValueError(
            f"the file has signals from {slow.index[0]:g} to {slow.index[-1]:g} s, but only "
            f"{inside.sum()} of {len(times)} volumes are within; give times in s on its clock."
        )
    table = pd.DataFrame({name: np.interp(times, slow.index, x) for name, x in slow.items()})
    for name in raw.ch_names:
        if name == "cardiac":
            beats = find_beats(raw, name, _PULSE) + start
            phase = 2 * np.pi * np.interp(times, beats, np.arange(len(beats)))
        else:
            phase = np.interp(times, raw.times + start, _breathing_phase(raw))
        for k in (1, 2):
            table[f"{name} cos {k}"] = np.cos(k * phase)
            table[f"{name} sin {k}"] = np.sin(k * phase)
    return table


def _breathing_phase(raw):
    """Phase of breathing: the share of lower values, with the sign of the slope."""
    signal = raw.copy().pick("respiratory").filter(None, 1.0, picks="all", verbose="error")
    signal = signal.get_data()[0]
    rank = np.argsort(np.argsort(signal)) / len(signal)
    return np.pi * rank * np.where(np.gradient(signal) < 0, -1.0, 1.0)
