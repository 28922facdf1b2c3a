"""Gradient artifact, movement and pulse together: each is estimated without the others."""

from collections.abc import Sequence

import mne
import numpy as np
from numpy.typing import ArrayLike

from .gradient import GradientArtifact
from .pulse import ecg_channel, remove_pulse
from .wires import CarbonWireRegression

# Hz: band and rate after the gradient artifact was removed.
_BAND, _SFREQ = (0.5, 70.0), 250.0
# A fifth round changes the power of the error by a fiftieth.
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
    (backfitting [1]_). The steps are :func:`remove_gradient`, whose weights stay those of the first
    round, resampling to 250 Hz, a band-pass from 0.5 to 70 Hz, :class:`CarbonWireRegression` and
    :func:`remove_pulse`.

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
    picks = [raw.ch_names[k] for k in mne.pick_types(raw.info, eeg=True, eog=True, exclude=())]
    picks = [name for name in picks if name not in wires]
    slow = raw.copy().load_data(verbose="error")
    if has_gradient:
        gradient = GradientArtifact(slow, trigger, volume_times, t_r)
        gradient.remove_from(slow)
    _slow(slow)
    moved = pulse = lost = np.zeros((len(picks), slow.n_times))
    for _ in range(_ROUNDS):
        if wires:
            clean = _minus(slow, pulse - lost, picks)
            moved = clean.get_data(picks) - CarbonWireRegression(wires).apply(clean).get_data(picks)
        if has_pulse:
            clean = _minus(slow, moved - lost, picks)
            pulse = clean.get_data(picks) - remove_pulse(clean, ecg=ecg).get_data(picks)
        if has_gradient:  # templates are linear: what they took of the others comes back
            lost = [gradient.estimate(one, slow.info["sfreq"]) for one in moved + pulse]
            lost = np.array(lost)
    return _minus(slow, moved + pulse - lost, picks)


def _slow(raw):
    """Resample to 250 Hz and filter in place; triggers are not filtered."""
    if raw.info["sfreq"] > _SFREQ:
        raw.resample(_SFREQ, verbose="error")
    kinds = raw.get_channel_types()
    picks = [name for name, kind in zip(raw.ch_names, kinds, strict=True) if kind != "stim"]
    raw.filter(_BAND[0], min(_BAND[1], 0.4 * raw.info["sfreq"]), picks, verbose="error")


def _minus(raw, signals, picks):
    """Subtract signals (n_channels, n_times) from some channels of a copy."""
    return raw.copy().apply_function(
        lambda x: x - signals, picks, channel_wise=False, verbose="error"
    )
