"""Pulse artifact: subtraction of templates that start with the R peaks of an ECG."""

import mne
import numpy as np
from scipy.signal import butter, sosfiltfilt

from ..alignment.beats import find_beats
from ..eeg.channels import pick_eeg
from .templates import Templates

# Hz: between, the artifact exceeds the EEG, and alpha has no say in the weights.
_BAND = (0.5, 7.0)
# Smallest penalty of the weights of templates: beats hold as much EEG as artifact in this band.
_LEAST = 3.0
_FEWEST = 20


def remove_pulse(raw: mne.io.BaseRaw, *, ecg: str | None = None) -> mne.io.BaseRaw:
    """Subtract the pulse artifact, which follows each heart beat.

    As in average artifact subtraction [1]_, the template of a beat is a sum of other beats. Its
    weights are not equal, but those that predict the beat best below 7 Hz, over all EEG channels:
    they follow heart rate and breathing, and leave alpha alone. They are small at frequencies with
    little artifact, and about 0 where there is none. Optimal basis sets
    (:func:`mne.preprocessing.apply_pca_obs`) are fitted to all frequencies, and remove more EEG.

    Parameters
    ----------
    raw : mne.io.Raw
        Recording without gradient artifact, at some 250 Hz. It is not changed.
    ecg : str, optional
        ECG channel. By default the only one of that type.

    Returns
    -------
    clean : mne.io.Raw
        Copy, in memory, with EEG and EOG corrected from the first to the last beat.

    Raises
    ------
    ValueError
        If there is no ECG channel, if it has fewer than 20 beats, or if there is no good EEG
        channel.

    See Also
    --------
    CarbonWireRegression : Where wires were recorded.

    Notes
    -----
    Beats are found by :func:`mne.preprocessing.find_ecg_events`. Single missed beats are put in,
    and doubled ones are left out. Look at the beats before: a beat that is not found is not
    corrected.

    References
    ----------
    .. [1] Allen, P. J. et al. (1998). Identification of EEG events in the MR scanner: the problem
       of pulse artifact and a method for its subtraction. NeuroImage, 8(3), 229-239.

    Examples
    --------
    >>> from sklearn_beira.cleaning import remove_pulse
    >>> clean = remove_pulse(raw, ecg="ECG")  # doctest: +SKIP
    """
    sfreq, beats = raw.info["sfreq"], find_beats(raw, ecg_channel(raw, ecg))
    length = int(1.1 * sfreq * np.median(np.diff(beats)))
    starts = np.rint(sfreq * beats).astype(int)
    starts = starts[starts + length <= raw.n_times]
    if len(starts) < _FEWEST:
        raise ValueError(f"{len(starts)} heart beats were found; at least {_FEWEST} are needed.")
    ends = np.minimum(starts + length, [*starts[1:], raw.n_times])
    rows = starts[:, np.newaxis] + np.arange(length)
    high_pass = butter(2, _BAND[0], "high", fs=sfreq, output="sos")
    band_pass = butter(4, _BAND, "band", fs=sfreq, output="sos")
    clean, inner = raw.copy().load_data(verbose="error"), rows[:, : int(0.8 * length)]
    eeg = (clean.get_data([k])[0] for k in pick_eeg(raw.info)[0])
    make_templates = Templates(
        ((sosfiltfilt(high_pass, one)[rows], sosfiltfilt(band_pass, one)[inner]) for one in eeg),
        _LEAST,
    )

    def subtract(channel):
        templates, channel = make_templates(sosfiltfilt(high_pass, channel)[rows]), channel.copy()
        for start, end, template in zip(starts, ends, templates, strict=True):
            channel[start:end] -= template[: end - start]
        return channel

    picks = mne.pick_types(raw.info, eeg=True, eog=True, exclude=())
    return clean.apply_function(subtract, picks=picks, verbose="error")


def ecg_channel(raw: mne.io.BaseRaw, name: str | None) -> str:
    """Find the ECG channel of a recording, or check the one that was named."""
    found = [raw.ch_names[k] for k in mne.pick_types(raw.info, ecg=True)]
    if name is None and len(found) == 1:
        return found[0]
    if name not in raw.ch_names:
        raise ValueError(
            f"which channel is the ECG: {name!r} is none of {', '.join(raw.ch_names)}."
            if name
            else f"the recording has {len(found)} channels of type ECG; name one with ecg=..."
        )
    return name
