"""Positions of electrodes, from the sidecars of BIDS."""

import json
from pathlib import Path

import mne
import numpy as np
import pandas as pd

from ..eeg.channels import known_positions
from .run import read_tsv

_UNITS = {"m": 1.0, "cm": 1e-2, "mm": 1e-3}
_LANDMARKS = {"NAS": "nasion", "LPA": "lpa", "RPA": "rpa"}
# Axes of head coordinates (right, anterior, up) in systems that need no landmarks.
_AXES = dict.fromkeys(("CapTrak", "ElektaNeuromag", "ChietiItab"), np.eye(3))
_AXES |= dict.fromkeys(
    ("CTF", "EEGLAB", "EEGLAB-HJ", "4DBti", "KitYokogawa"),  # anterior, left, up
    np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
)
_RADII = 0.03, 0.3  # of heads, in m, from between the ears
_SIMILAR = 0.8  # mean cosine between an electrode and the place of its name


def read_electrodes(electrodes: Path, coordsystem: Path | None) -> dict[str, np.ndarray]:
    """Read positions of electrodes, and check that they are those of a head.

    Parameters
    ----------
    electrodes, coordsystem : Path
        ``electrodes.tsv`` and its ``coordsystem.json``.

    Returns
    -------
    positions : dict of str to ndarray of shape (3,)
        Positions in m, in head coordinates.

    Raises
    ------
    ValueError
        If units or axes are unknown, or if the positions are not those of the names.
    """
    facts = json.loads(coordsystem.read_text(encoding="utf-8-sig")) if coordsystem else {}
    system, unit = facts.get("EEGCoordinateSystem"), facts.get("EEGCoordinateUnits")
    if unit not in _UNITS:
        raise ValueError(f"its unit is {unit!r} in coordsystem.json")
    table = read_tsv(electrodes).set_index("name")[["x", "y", "z"]]
    table = _UNITS[unit] * table.apply(pd.to_numeric, errors="coerce").dropna()
    table = table[table.any(axis=1)]  # the origin is no place on a head
    if table.empty:
        raise ValueError("it has no positions")
    marks = facts.get("AnatomicalLandmarkCoordinates") or {}
    in_system = facts.get("AnatomicalLandmarkCoordinateSystem", system) == system
    if in_system and {*_LANDMARKS} <= {*marks}:
        scale = _UNITS[facts.get("AnatomicalLandmarkCoordinateUnits", unit)]
        marks = {name: scale * np.array(marks[mark], float) for mark, name in _LANDMARKS.items()}
        frame = "unknown"  # MNE finds the axes by the landmarks
    elif system in _AXES:
        marks, frame = {}, "head"
        table = table @ _AXES[system].T
    else:
        raise ValueError(f"the axes of its system {system!r} are unknown without landmarks")
    positions = dict(zip(table.index, table.to_numpy(), strict=True))
    montage = mne.channels.make_dig_montage(positions, coord_frame=frame, **marks)
    info = mne.create_info(list(positions), 100.0, "eeg").set_montage(montage, verbose="error")
    positions = {channel["ch_name"]: channel["loc"][:3] for channel in info["chs"]}
    radius = np.median([np.linalg.norm(place) for place in positions.values()])
    if not _RADII[0] < radius < _RADII[1]:
        raise ValueError(f"its electrodes are {radius:.2g} m from its origin")
    known = known_positions()
    cosines = [
        place @ known[name.lower()] / np.linalg.norm(place) / np.linalg.norm(known[name.lower()])
        for name, place in positions.items()
        if name.lower() in known
    ]
    if cosines and np.mean(cosines) < _SIMILAR:
        raise ValueError("its positions are not those of the names of the electrodes")
    return positions
