"""Heart beats, from R peaks of an ECG channel."""

import mne
import numpy as np

from .._utils.mne_log import quiet_mne


def find_beats(
    raw: mne.io.BaseRaw, name: str, band: tuple[float, float] = (5.0, 35.0)
) -> np.ndarray:
    """Find heart beats with :func:`mne.preprocessing.find_ecg_events`.

    Of beats that follow within half of the usual interval, the second is left out. Where one or
    two are missing, they are put in between.

    Parameters
    ----------
    raw : mne.io.Raw
        Recording.
    name : str
        ECG channel.
    band : tuple of (float, float)
        Band in Hz in which peaks are looked for.

    Returns
    -------
    beats : ndarray, shape (n_beats,)
        R peaks in s from the start of the recording.

    Raises
    ------
    ValueError
        If there are fewer than three.
    """
    with quiet_mne():
        low, high = band[0], min(band[1], 0.4 * raw.info["sfreq"])
        options = {"l_freq": low, "h_freq": high, "reject_by_annotation": False}
        events = mne.preprocessing.find_ecg_events(raw, ch_name=name, verbose="error", **options)[0]
    found = (events[:, 0] - raw.first_samp) / raw.info["sfreq"]
    if len(found) < 3:
        raise ValueError(f"no heart beats were found in {name}; leave it out.")
    usual = np.median(np.diff(found))
    beats = [found[0]]
    for beat in found[1:]:
        interval = beat - beats[-1]
        if interval > 0.5 * usual:
            n = round(interval / usual) if interval < 3.5 * usual else 1
            beats += [beats[-1] + interval * k / n for k in range(1, n + 1)]
    return np.array(beats)
