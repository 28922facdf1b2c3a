"""Channels: which are EEG, and where they are."""

import re
from functools import cache

import mne
import numpy as np

# The template 10-05 montage; MNE 1.13 renamed it and MNE 1.14 drops the old name.
MONTAGE = next(
    name
    for name in ("colin27_1005", "standard_1005")
    if name in mne.channels.get_builtin_montages()
)
# Words that no name of an electrode contains: carbon-wire loops, eyes, heart, muscles, breath,
# skin, pulse, triggers, and inputs of other devices.
_NO_EEG = re.compile(
    r"^CWL?\d*$|EOG|[HV]EO|^[LR]OC$|ECG|EKG|EMG|EXG|RESP|FLOW|ABDO|THOR|SNOR|GSR|EDA|PLET|PULSE|PPG"
    r"|SPO2|OSAT|ET?CO2|BEAT|TRIG|STATUS|MARKER|EVENT|STI|SYNC|PHOT|ANNOTATION|BURST|SUPPR"
    r"|^(ACC|AUX|BIP|DC|ERG|IBI|MISC)[ _]?[\dXYZ]*$"
)
# What recording systems put around the name of an electrode, such as "EEG Fp1-Ref".
_AROUND = re.compile(r"^(EEG|POL)[ _]+|[-_ ](REF|LE|AVG|A1A2|M1M2)$", re.IGNORECASE)


def pick_eeg(info: mne.Info) -> tuple[np.ndarray, list[str]]:
    """Find the good EEG channels, without those that are EEG by their type only.

    Parameters
    ----------
    info : mne.Info
        Channels.

    Returns
    -------
    picks : ndarray of int
        Indices of the EEG channels.
    left_out : list of str
        Channels of type EEG whose names say that they are something else.
    """
    picks = mne.pick_types(info, eeg=True)
    names = [_AROUND.sub("", info["ch_names"][i]).upper() for i in picks]
    other = np.array([_NO_EEG.search(name) is not None for name in names], dtype=bool)
    return picks[~other], [info["ch_names"][i] for i in picks[other]]


def locate(info: mne.Info) -> None:
    """Give channels without positions those of the 10-05 system, if it has all their names.

    Parameters
    ----------
    info : mne.Info
        Channels; positions are set in place.
    """
    if not info["ch_names"] or info.get_montage() is not None:
        return
    names = {name: _AROUND.sub("", name).strip().lower() for name in info["ch_names"]}
    known = known_positions()
    if set(names.values()) <= set(known):
        positions = {name: known[place] for name, place in names.items()}
        info.set_montage(
            mne.channels.make_dig_montage(positions, coord_frame="head"), verbose="error"
        )


@cache
def known_positions():
    """Return positions of the 10-05 system in m, in head coordinates, by name in lower case."""
    montage = mne.channels.make_standard_montage(MONTAGE)
    info = mne.create_info(montage.ch_names, 100.0, "eeg").set_montage(montage)
    return {channel["ch_name"].lower(): channel["loc"][:3] for channel in info["chs"]}
