"""Gradient artifact: subtraction of templates, with markers as they come."""

import mne
import numpy as np
from numpy.polynomial import Polynomial
from numpy.typing import ArrayLike
from scipy.ndimage import map_coordinates
from scipy.signal import butter, sosfiltfilt

from .._utils.numbers import to_numbers
from ..alignment.markers import trigger_times
from ..eeg.channels import pick_eeg
from .templates import Templates

# Hz: above, the artifact is far larger than the EEG.
_HIGH = 70.0
# Smallest penalty of the weights of templates.
_LEAST = 1e-8
# Markers are those of volumes if they are on the pace within this share of the repetition time.
_TOLERANCE = 0.01
_FEWEST = 10
# s: volumes do not follow faster.
_FASTEST = 0.2


def remove_gradient(
    raw: mne.io.BaseRaw,
    *,
    trigger: str | tuple[str, int] | None = None,
    volume_times: ArrayLike | None = None,
    t_r: float | None = None,
) -> mne.io.BaseRaw:
    """Subtract the gradient artifact of a scanner.

    The artifact is the same in every volume, except for head movement. As in average artifact
    subtraction [1]_, the template of a volume is a sum of other volumes. Its weights are not
    equal, but those that predict the volume best above 70 Hz, over all EEG channels [2]_: they
    follow movement. They are small at frequencies with little artifact, and about 0 where there is
    none.

    Onsets come from a cubic curve through the markers. Markers may be lost or late by a few
    samples, and the clocks of scanner and amplifier may differ: volumes are interpolated to the
    clock of the scanner, and templates back. If the clocks wander by less than about 0.3 ms around
    the curve, the weights follow that as well.

    Parameters
    ----------
    raw : mne.io.Raw
        Recording of one scan as it was recorded, not filtered or resampled. It is not changed.
    trigger : str or tuple of (str, int), optional
        Marker of volumes or of slices, as in :func:`align`.
    volume_times : array-like of shape (n_markers,), optional
        Onsets in s from the start of the recording, instead of ``trigger``; NaN if unknown.
    t_r : float, optional
        Repetition time in s. Needed if markers are those of slices.

    Returns
    -------
    clean : mne.io.Raw
        Copy, in memory. All channels but triggers are corrected, between the first marker and the
        end of the last volume. Low-pass it, as by ``clean.resample(250).filter(None, 70)``.

    Raises
    ------
    ValueError
        If there are fewer than ten volumes, if markers do not keep a pace, or if there is no good
        EEG channel.

    See Also
    --------
    remove_pulse : The next step.

    References
    ----------
    .. [1] Allen, P. J., Josephs, O. and Turner, R. (2000). A method for removing imaging artifact
       from continuous EEG recorded during functional MRI. NeuroImage, 12(2), 230-239.
    .. [2] Niazy, R. K. et al. (2005). Removal of FMRI environment artifacts from EEG data using
       optimal basis sets. NeuroImage, 28(3), 720-737. Also fits what varies above 70 Hz, by
       principal components.

    Examples
    --------
    >>> import mne, numpy as np
    >>> from sklearn_beira.cleaning import remove_gradient
    >>> rng = np.random.default_rng(0)
    >>> eeg = 1e-5 * rng.standard_normal((2, 20_000))
    >>> artifact = np.tile(1e-3 * np.diff(rng.standard_normal((2, 1001))), 20)
    >>> info = mne.create_info(["Fz", "Oz"], 1000.0, "eeg")
    >>> raw = mne.io.RawArray(eeg + artifact, info, verbose="error")
    >>> clean = remove_gradient(raw, volume_times=np.arange(20.0))
    >>> bool((clean.get_data() - eeg).std() < 0.3 * eeg.std())
    True
    """
    clean = raw.copy().load_data(verbose="error")
    return GradientArtifact(clean, trigger, volume_times, t_r).remove_from(clean)


class GradientArtifact:
    """Templates of the gradient artifact of a recording.

    Parameters
    ----------
    raw : mne.io.Raw
        Recording, in memory.
    trigger, volume_times, t_r : object
        As in :func:`remove_gradient`.
    """

    def __init__(self, raw, trigger, volume_times, t_r):
        if (trigger is None) == (volume_times is None):
            raise ValueError("give trigger or volume_times, one of them.")
        if volume_times is None:
            markers = trigger_times(raw, trigger, 0)
        else:
            markers = to_numbers(volume_times, "volume_times")
        markers = np.sort(markers[np.isfinite(markers)])  # NaN is a lost marker
        self._trigger = trigger[0] if isinstance(trigger, tuple) else trigger
        self._onsets, sfreq = _even(markers, t_r), raw.info["sfreq"]
        self._n_whole = np.count_nonzero(sfreq * self._onsets[1:] <= raw.n_times)
        if self._n_whole < _FEWEST:
            raise ValueError(
                f"{self._n_whole} volumes lie within the recording; at least {_FEWEST} are needed: "
                f"check that times are in s from its start."
            )
        high_pass = butter(4, min(_HIGH, sfreq / 4), "high", fs=sfreq, output="sos")
        eeg = (raw.get_data([k])[0] for k in pick_eeg(raw.info)[0])
        pairs = (
            (self._cut(channel, sfreq), self._cut(sosfiltfilt(high_pass, channel), sfreq))
            for channel in eeg
        )
        self._make_templates = Templates(pairs, _LEAST)

    def _cut(self, channel, sfreq):
        """Interpolate whole volumes to the clock of the scanner, shape (n_volumes, n_times)."""
        onsets = sfreq * self._onsets
        length = round(np.diff(onsets).mean())
        at = np.arange(self._n_whole * length) / length
        at = np.interp(at, np.arange(len(onsets)), onsets)
        cut = map_coordinates(channel, [at], order=5, mode="nearest")
        return cut.reshape(self._n_whole, length)

    def estimate(self, channel: np.ndarray, sfreq: float) -> np.ndarray:
        """Estimate the artifact of one channel: to each volume, the weighted sum of the others.

        It is linear in the channel, whose parts can be estimated one by one.

        Parameters
        ----------
        channel : ndarray, shape (n_times,)
            Channel of the recording, or a part of it, at the rate of the recording or a lower one.
        sfreq : float
            Rate in Hz.

        Returns
        -------
        artifact : ndarray, shape (n_times,)
            What :meth:`remove_from` subtracts, 0 outside of the volumes.
        """
        volumes = self._cut(channel, sfreq)
        templates = self._make_templates(volumes - volumes.mean(axis=1, keepdims=True))
        if self._n_whole < len(self._onsets) - 1:  # the recording ends within a volume
            templates = np.vstack([templates, templates[-1:]])
        onsets = sfreq * self._onsets
        inside = np.arange(
            max(0, int(np.ceil(onsets[0]))), min(len(channel), int(np.ceil(onsets[-1])))
        )
        at = templates.shape[1] * np.interp(inside, onsets, np.arange(len(onsets)))
        artifact = np.zeros(len(channel))
        artifact[inside] = map_coordinates(templates.ravel(), [at], order=5, mode="nearest")
        return artifact

    def remove_from(self, raw: mne.io.BaseRaw) -> mne.io.BaseRaw:
        """Subtract the artifact in place, from all channels but triggers."""
        triggers = [self._trigger]
        triggers += [raw.ch_names[k] for k in mne.pick_types(raw.info, stim=True)]
        picks = [name for name in raw.ch_names if name not in triggers]
        return raw.apply_function(
            lambda x: x - self.estimate(x, raw.info["sfreq"]), picks, verbose="error"
        )


def _even(markers, t_r):
    """Return onsets of all volumes and the end of the last one in s, from uneven markers in s."""
    if len(markers) < _FEWEST:
        raise ValueError(f"there are {len(markers)} markers; at least {_FEWEST} are needed.")
    pace = float(np.median(np.diff(markers)))
    if t_r is None and pace < _FASTEST:
        raise ValueError(f"the markers are {pace:g} s apart, as those of slices; give t_r as well.")
    t_r = t_r or pace
    near = min(_TOLERANCE * t_r, pace / 2)
    # The first one that another follows: a marker may come before the scan.
    first = np.argmax([np.abs(markers - one - t_r).min() <= near for one in markers[:9]])
    markers = markers[first:]
    at, numbers = [*markers[:1]], [0]
    for marker in markers[1:]:  # those of other slices are off the pace of the first
        step = round((marker - at[-1]) / t_r)
        if step and abs(marker - at[-1] - step * t_r) <= near:
            at.append(marker)
            numbers.append(numbers[-1] + step)
    if len(at) < _FEWEST:
        raise ValueError(
            f"of {len(markers)} markers, {len(at)} are {t_r:g} s apart; at least {_FEWEST} are "
            f"needed: check t_r and the markers."
        )
    if markers[-1] - at[-1] > 1.5 * t_r:
        raise ValueError(
            f"the markers after {at[-1]:.2f} s do not go on at the pace of those before; crop the "
            f"recording to one scan."
        )
    curve = Polynomial.fit(numbers, at, 3)
    return curve(np.arange(numbers[-1] + 2))
