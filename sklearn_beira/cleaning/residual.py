"""What cleaning left: power at the rates of volumes, slices and heart beats."""

import mne
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.ndimage import uniform_filter1d
from scipy.signal import welch

from .._utils.numbers import to_numbers
from ..alignment.beats import find_beats
from ..eeg.channels import pick_eeg
from .pulse import ecg_channel

# Hz: lowest and highest harmonic, and the band of alpha.
RANGE = (1.0, 45.0)
_ALPHA = (8.0, 12.0)
# Volumes in a piece of the spectrum, which has as many steps from harmonic to harmonic.
_CYCLES = 8
# Delays behind an R peak, up to the usual interval.
_DELAYS = 105


def residual_artifacts(
    raw: mne.io.BaseRaw,
    *,
    t_r: float | None = None,
    n_slices: int | None = None,
    ecg: str | ArrayLike | None = None,
) -> pd.DataFrame:
    """Measure what is left of gradient and pulse artifact, by channel.

    From 1 to 45 Hz, for the rates of volumes and of slices: power at harmonics, relative to
    neighbor frequencies. For the heart, whose rate varies: power at delays behind the R peak, as a
    mean over the beats that last so long; the mean over delays up to the median interval, relative
    to the quietest seventh of them. EEG has about 0 dB, residual artifact has more, and a spectrum
    from which EEG was taken with the artifact has less. Compare ways of cleaning on the same
    recording.

    Parameters
    ----------
    raw : mne.io.Raw
        Recording, raw or cleaned. Values of the same recording after ``align`` are those of
        ``mne.io.RawArray(X.recordings[0], X.info)``; ten minutes at 100 Hz take a second.
    t_r : float, optional
        Repetition time in s.
    n_slices : int, optional
        Excitations per volume: slices, or with multiband, slices divided by the multiband factor.
    ecg : str or array-like of shape (n_beats,), optional
        ECG channel, or times of heart beats in s from the start of ``raw``. By default the good
        channel of that type, if there is one.

    Returns
    -------
    table : DataFrame, shape (n_channels, 4)
        By good EEG channel: ``volumes``, ``slices`` and ``heart`` in dB, NaN where the rate is
        unknown or above 45 Hz, and ``alpha``, the power from 8 to 12 Hz in µV².

    Raises
    ------
    ValueError
        If the recording has fewer than nine volumes or beats, or no good EEG channel.

    See Also
    --------
    sklearn_beira.viz.plot_residual_artifacts : Figure of raw and cleaned EEG.

    Examples
    --------
    >>> from sklearn_beira.cleaning import residual_artifacts
    >>> from sklearn_beira.datasets import make_eeg_fmri
    >>> raw = make_eeg_fmri(duration=60.0, n_channels=4, random_state=0).raws[0]
    >>> table = residual_artifacts(raw, t_r=1.95)
    >>> list(table), bool(table["volumes"].abs().max() < 1)
    (['volumes', 'slices', 'heart', 'alpha'], True)
    """
    picks = pick_eeg(raw.info)[0]
    sfreq, top = raw.info["sfreq"], min(RANGE[1], 0.45 * raw.info["sfreq"])
    table = pd.DataFrame(index=pd.Index([raw.ch_names[k] for k in picks], name="channel"))
    if not len(picks):
        raise ValueError("the recording has no good EEG channel.")
    eeg = mne.filter.filter_data(raw.get_data(picks), sfreq, RANGE[0], top, verbose="error")
    table[["volumes", "slices", "heart"]] = np.nan
    if t_r is not None:
        at = np.arange(0.0, raw.n_times / sfreq, t_r)
        turned = _by_cycle(eeg, sfreq, at, int(np.ceil(3 * top * t_r)))
        table["volumes"], table["slices"] = _harmonics(turned, top * t_r, n_slices)
    if ecg is None and len(mne.pick_types(raw.info, ecg=True)):
        ecg = ecg_channel(raw, None)
    if ecg is not None:
        beats = find_beats(raw, ecg) if isinstance(ecg, str) else to_numbers(ecg, "ecg")
        beats = np.sort(beats[(beats >= 0) & (beats <= raw.n_times / sfreq)])
        power = uniform_filter1d(_behind(eeg, sfreq, beats), _DELAYS // 7, axis=1, mode="wrap")
        table["heart"] = 10 * np.log10(power.mean(axis=1) / power.min(axis=1))
    frequencies, power = welch(1e6 * eeg, sfreq, nperseg=min(int(2 * sfreq), raw.n_times))
    here = (frequencies >= _ALPHA[0]) & (frequencies <= _ALPHA[1])
    table["alpha"] = power[:, here].sum(axis=1) * (frequencies[1] - frequencies[0])
    return table


def _by_cycle(eeg, sfreq, at, n):
    """Interpolate n samples in each cycle, shape (n_channels, n_cycles, n)."""
    _check_number(at)
    times = np.interp(np.arange((len(at) - 1) * n) / n, np.arange(len(at)), at)
    turned = [np.interp(times * sfreq, np.arange(len(one)), one) for one in eeg]
    return np.reshape(turned, (len(eeg), -1, n))


def _behind(eeg, sfreq, beats):
    """Mean power at delays behind heart beats, shape (n_channels, n_delays)."""
    _check_number(beats)
    intervals = np.diff(beats)
    delays = np.median(intervals) * np.arange(_DELAYS) / _DELAYS
    lasts = delays < intervals[:, np.newaxis]
    at = (beats[:-1, np.newaxis] + delays)[lasts] * sfreq
    number = np.broadcast_to(np.arange(_DELAYS), lasts.shape)[lasts]
    power = [np.interp(at, np.arange(len(one)), one) ** 2 for one in eeg]
    return np.array([np.bincount(number, one) for one in power]) / lasts.sum(axis=0)


def _check_number(at):
    if len(at) <= _CYCLES:
        raise ValueError(
            f"{len(at)} volumes or heart beats lie in the recording; at least {_CYCLES + 1} are "
            f"needed: check that times are in s."
        )


def _harmonics(turned, top, n_slices):
    """Power at multiples of the volume rate and of the slice rate, in dB."""
    n = turned.shape[2]
    power = welch(turned.reshape(len(turned), -1), nperseg=_CYCLES * n)[1]

    def decibels(harmonics, near, beside):
        def mean(bins):
            return power[:, np.add.outer(_CYCLES * harmonics, bins).ravel()].mean(axis=1)

        return 10 * np.log10(mean(near) / mean(beside)) if len(harmonics) else np.nan

    steps, half = np.arange(3, int(top) - 3), _CYCLES // 2
    apart = n_slices and np.abs((steps + n_slices // 2) % n_slices - n_slices // 2)
    of_volumes = steps if not n_slices else steps[apart > 2]
    of_slices = steps[:0] if not n_slices else steps[apart == 0]
    # The artifact of a slice that varies from volume to volume is half a volume rate wide.
    wide = np.arange(-half, half + 1)
    beside = np.arange(2 * _CYCLES - half + 1, 2 * _CYCLES + half + 1)
    return (
        decibels(of_volumes, np.array([-1, 0, 1]), np.array([-half, half])),
        decibels(of_slices, wide, np.concatenate([-beside, beside])),
    )
