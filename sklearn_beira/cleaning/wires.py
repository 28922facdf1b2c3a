"""Carbon wires: what they pick up is regressed out of the EEG."""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

import mne
import numpy as np
from scipy.signal.windows import hann

_STEP = 0.01  # s between lags
_RIDGE = 1e-3


@dataclass
class CarbonWireRegression:
    """Regress wires, which pick up movement and pulse but no EEG, out of EEG.

    In Hann windows that overlap by half, each EEG channel is predicted from the wires at several
    lags, by least squares, and the sum of the windowed predictions is subtracted [1]_.

    Parameters
    ----------
    wires : list of str
        Channels of the wires.
    lag : float
        Largest lag in s, in both directions.
    window : float
        Length of a window in s. Short windows follow a coupling that changes, and take more EEG.

    References
    ----------
    .. [1] van der Meer, J. N. et al. (2016). Carbon-wire loop based artifact correction
       outperforms post-processing EEG/fMRI corrections - A validation of a real-time simultaneous
       EEG/fMRI correction method. NeuroImage, 125, 880-894.

    Examples
    --------
    >>> import mne, numpy as np
    >>> from sklearn_beira.cleaning import CarbonWireRegression
    >>> rng = np.random.default_rng(0)
    >>> eeg, wire = 1e-5 * rng.standard_normal((2, 1, 15_000))
    >>> info = mne.create_info(["Oz", "CWL1"], 250.0, ["eeg", "misc"])
    >>> moved = eeg + 5 * np.roll(wire, 5)
    >>> raw = mne.io.RawArray(np.vstack([moved, wire]), info, verbose="error")
    >>> clean = CarbonWireRegression(["CWL1"]).apply(raw)
    >>> bool((clean.get_data("eeg") - eeg).std() < 0.1 * eeg.std())
    True
    """

    wires: Sequence[str]
    lag: float = 0.02
    window: float = 20.0

    def apply(self, raw: mne.io.BaseRaw) -> mne.io.BaseRaw:
        """Correct the EEG and EOG of a recording.

        Parameters
        ----------
        raw : mne.io.Raw
            Recording without gradient artifact, high-passed at 0.5 Hz or more, at some 250 Hz. It
            is not changed.

        Returns
        -------
        clean : mne.io.Raw
            Copy, in memory.

        Raises
        ------
        ValueError
            If wires are not channels of the recording, are flat, or if lag or window is below 0 or
            longer than the recording, or a window too short for the lags.
        """
        wires = [self.wires] if isinstance(self.wires, str) else list(self.wires)
        unknown = [name for name in wires if name not in raw.ch_names]
        if unknown or not wires:
            raise ValueError(f"wires {unknown} are none of {', '.join(raw.ch_names)}.")
        for name, value in {"lag": self.lag, "window": self.window}.items():
            if not (isinstance(value, Real) and 0 <= value <= raw.duration):
                raise ValueError(
                    f"{name} must be from 0 to the {raw.duration:g} s of the recording, got "
                    f"{value!r}."
                )
        sfreq, half = raw.info["sfreq"], round(self.window * raw.info["sfreq"] / 2)
        shifts = np.unique(np.rint(np.arange(-self.lag, self.lag + _STEP / 2, _STEP) * sfreq))
        design = raw.get_data(wires)
        spread = design.std(axis=1, keepdims=True)
        if not spread.all():
            raise ValueError(f"{wires[int(np.argmin(spread))]} is flat; leave it out.")
        design = (design - design.mean(axis=1, keepdims=True)) / spread
        design = np.vstack([np.roll(design, int(shift), axis=1) for shift in shifts])
        if not 4 * len(design) < 2 * half <= raw.n_times:
            raise ValueError(
                f"a window has {2 * half} samples for {len(design)} wires and lags, and the "
                f"recording {raw.n_times}; change window or lag."
            )
        clean = raw.copy().load_data(verbose="error")
        picks = [k for k in mne.pick_types(raw.info, eeg=True, eog=True, exclude=())]
        picks = [k for k in picks if raw.ch_names[k] not in wires]
        eeg = clean.get_data(picks)
        fitted, total = np.zeros_like(eeg), np.zeros(raw.n_times)
        taper = hann(2 * half, sym=False) + 1e-6  # the first sample counts as well
        for start in [*range(0, raw.n_times - 2 * half, half), raw.n_times - 2 * half]:
            part = slice(start, start + 2 * half)
            weighted = taper * design[:, part]
            gram = weighted @ weighted.T
            gram += _RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
            slopes = np.linalg.solve(gram, weighted @ (taper * eeg[:, part]).T)
            fitted[:, part] += taper * (slopes.T @ design[:, part])
            total[part] += taper
        return clean.apply_function(
            lambda x: x - fitted / total, picks=picks, channel_wise=False, verbose="error"
        )
