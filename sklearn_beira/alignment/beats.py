"""Heart beats, from R peaks of an ECG channel."""

import mne
import numpy as np

from .._utils.mne_log import quiet_mne


def find_beats(raw: mne.io.BaseRaw, name: str) -> np.ndarray:
    """Find heart beats with :func:`mne.preprocessing.find_ecg_events`.

    Of beats that follow within half of the usual interval, the second is left out. Where one or
    two are missing, they are put in between.

    Parameters
    ----------
    raw : mne.io.Raw
        Recording.
    name : str
        ECG channel.

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
        events = mne.preprocessing.find_ecg_events(
            raw, ch_name=name, reject_by_annotation=False, verbose="error"
        )[0]
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
