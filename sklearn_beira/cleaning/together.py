"""Gradient artifact, movement and pulse together: each is estimated without the others."""

from collections.abc import Sequence

import mne
import numpy as np
from numpy.typing import ArrayLike

from .gradient import remove_gradient
from .pulse import ecg_channel, remove_pulse
from .wires import CarbonWireRegression

# Hz: band and rate after the gradient artifact was removed.
_BAND, _SFREQ = (0.5, 70.0), 250.0
# After four rounds, one more changes the power of the error by about a fiftieth.
_ROUNDS = 4


def remove_scanner_artifacts(
    raw: mne.io.BaseRaw,
    *,
    trigger: str | tuple[str, int] | None = None,
    volume_times: ArrayLike | None = None,
    t_r: float | None = None,
    wires: str | Sequence[str] | None = None,
    ecg: str | None = None,
) -> mne.io.BaseRaw:
    """Remove gradient artifact, movement and pulse, each estimated without the others.

    One step after the other, templates of the gradient artifact contain pulse and movement of other
    volumes, and the regression on wires is disturbed by the pulse. Here the steps are repeated:
    each artifact is estimated from the recording minus the last estimate of the others
    (backfitting [1]_). The steps are :func:`remove_gradient`, a band-pass from 0.5 to 70 Hz,
    resampling to 250 Hz, :class:`CarbonWireRegression` and :func:`remove_pulse`.

    Parameters
    ----------
    raw : mne.io.Raw
        Recording of one scan as it was recorded, not filtered or resampled. It is not changed.
    trigger : str or tuple of (str, int), optional
        Marker of volumes or of slices, as in :func:`align`. Without ``trigger`` and
        ``volume_times`` there is no gradient artifact.
    volume_times : array-like of shape (n_markers,), optional
        Onsets in s from the start of the recording, instead of ``trigger``; NaN if unknown.
    t_r : float, optional
        Repetition time in s. Needed if markers are those of slices.
    wires : str or list of str, optional
        Channels of carbon wires, if there are some.
    ecg : str, optional
        ECG channel. By default the only one of that type; without one, the pulse artifact stays.

    Returns
    -------
    clean : mne.io.Raw
        Copy, in memory, from 0.5 to 70 Hz, at 250 Hz.

    Raises
    ------
    ValueError
        As in the single steps, or if there is nothing to remove.

    See Also
    --------
    residual_artifacts : Measure what is left.

    References
    ----------
    .. [1] Breiman, L. and Friedman, J. H. (1985). Estimating optimal transformations for multiple
       regression and correlation. Journal of the American Statistical Association, 80(391),
       580-598.

    Examples
    --------
    >>> from sklearn_beira.cleaning import remove_scanner_artifacts
    >>> wires = ["CWL1", "CWL2"]
    >>> clean = remove_scanner_artifacts(raw, trigger="R128", wires=wires)  # doctest: +SKIP
    """
    has_gradient = trigger is not None or volume_times is not None
    has_pulse = ecg is not None or len(mne.pick_types(raw.info, ecg=True)) > 0
    if not (has_gradient or has_pulse or wires):
        raise ValueError("there is nothing to remove; give trigger, volume_times, wires or ecg.")
    ecg = ecg_channel(raw, ecg) if has_pulse else None
    wires = [wires] if isinstance(wires, str) else list(wires or ())
    markers = {"trigger": trigger, "volume_times": volume_times, "t_r": t_r}
    picks = [raw.ch_names[k] for k in mne.pick_types(raw.info, eeg=True, eog=True, exclude=())]
    picks = [name for name in picks if name not in wires]
    moved = pulse = np.zeros((len(picks), 1))
    slow = _slow(raw) if not has_gradient else None
    for _ in range(_ROUNDS):
        if has_gradient:
            others = _fast(moved + pulse, raw)
            slow = remove_gradient(_minus(raw, others, picks), **markers)
            slow = _slow(_minus(slow, -others, picks))
        if wires:
            clean = _minus(slow, pulse, picks)
            moved = clean.get_data(picks) - CarbonWireRegression(wires).apply(clean).get_data(picks)
        if has_pulse:
            clean = _minus(slow, moved, picks)
            pulse = clean.get_data(picks) - remove_pulse(clean, ecg=ecg).get_data(picks)
    return _minus(slow, moved + pulse, picks)


def _slow(raw):
    """Make a copy from 0.5 to 70 Hz, at 250 Hz; triggers stay as they are."""
    slow = raw.copy().load_data(verbose="error")
    if raw.info["sfreq"] > _SFREQ:
        slow.resample(_SFREQ, verbose="error")
    picks = [name for name in slow.ch_names if slow.get_channel_types(name) != ["stim"]]
    return slow.filter(*_BAND, picks, verbose="error")


def _fast(signals, raw):
    """Interpolate signals (n_channels, n_times) at 250 Hz to the rate of the recording."""
    if raw.info["sfreq"] <= _SFREQ or signals.shape[1] == 1:
        return signals
    fast = mne.filter.resample(signals, raw.info["sfreq"] / _SFREQ, verbose="error")
    missing = max(0, raw.n_times - fast.shape[1])
    return np.pad(fast, ((0, 0), (0, missing)), mode="edge")[:, : raw.n_times]


def _minus(raw, signals, picks):
    """Subtract signals (n_channels, n_times) from some channels of a copy."""
    return (
        raw.copy()
        .load_data(verbose="error")
        .apply_function(lambda x: x - signals, picks, channel_wise=False, verbose="error")
    )
