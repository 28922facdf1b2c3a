"""Simulated EEG: the activity of sources and background, and the recording of both."""

import mne
import numpy as np
from scipy import fft, signal

# The power of the background falls as 1/f above this frequency in Hz.
KNEE = 0.5
# Power of the white noise of the electrodes relative to the background, over the whole spectrum.
SENSOR_SHARE = 0.01
# SD of the log power of a source, and cutoff in Hz of its fluctuations, which are slow enough to
# pass the hemodynamic response.
MODULATION_SD, MODULATION_CUTOFF = 0.8, 0.05


def simulate_eeg(head, bands, clock, duration, sfreq, rng):
    """Make a recording, its sources (n_sources, n_times) and envelopes (n_steps, n_sources)."""
    start = int((clock.steps[0] - clock.step) * sfreq) - 1
    stop = int((duration + clock.step) * sfreq) + 1
    times = np.arange(start, stop) / sfreq
    activity, power = _make_sources(bands, clock, times, sfreq, rng)
    edges = np.append(clock.steps, clock.steps[-1] + clock.step) - clock.step / 2
    edges = np.searchsorted(times, edges)
    envelopes = np.add.reduceat(power[:, : edges[-1]], edges[:-1], axis=1) / np.diff(edges)

    recorded = slice(-start, -start + round(duration * sfreq))
    activity = activity[:, recorded]
    eeg = head.patterns.T @ activity
    eeg += head.mixing @ _pink_noise(head.mixing.shape[1], len(times), sfreq, rng)[:, recorded]
    eeg += head.sensor_sd * rng.standard_normal(eeg.shape)
    raw = mne.io.RawArray(eeg, head.info.copy(), verbose="error")
    raw.set_annotations(mne.Annotations(clock.volume_times, 0.0, "mri"), verbose="error")
    return raw, activity, envelopes.T


def _make_sources(bands, clock, times, sfreq, rng):
    """Make band-limited noise of variance 1 with slowly varying power, and that power."""
    lag_one = np.exp(-2 * np.pi * MODULATION_CUTOFF * clock.step)
    log_power = MODULATION_SD * autoregressive(len(clock.steps), len(bands), lag_one, rng)
    # Give the log-normal power a mean of 1.
    log_power -= MODULATION_SD**2 / 2
    n = fft.next_fast_len(len(times))
    freqs = fft.fftfreq(n, 1 / sfreq)
    sources, power = np.empty((2, len(bands), len(times)))
    for i, (low, high) in enumerate(bands):
        inside = np.flatnonzero((freqs >= low) & (freqs <= high))
        shape = signal.windows.tukey(len(inside), 0.5)
        spectrum = np.zeros(n, dtype=complex)
        spectrum[inside] = shape * (rng.standard_normal((2, len(inside))).T @ [1, 1j])
        # Without negative frequencies the signal is analytic, and its modulus is the envelope.
        analytic = fft.ifft(spectrum)[: len(times)] * (n / np.linalg.norm(shape))
        analytic *= np.exp(np.interp(times, clock.steps, log_power[:, i]) / 2)
        sources[i] = analytic.real
        power[i] = (analytic.real**2 + analytic.imag**2) / 2
    return sources, power


def autoregressive(n, n_series, lag_one, rng):
    """Make first-order autoregressive noise of variance 1, stationary from the start."""
    shocks = rng.standard_normal((n, n_series))
    shocks[1:] *= np.sqrt(1 - lag_one**2)
    return signal.lfilter([1], [1, -lag_one], shocks, axis=0)


def _pink_noise(n_series, n_times, sfreq, rng):
    """Make noise of variance 1 whose power falls as 1/f."""
    n = fft.next_fast_len(n_times, real=True)
    freqs = fft.rfftfreq(n, 1 / sfreq)
    power = 1 / np.maximum(freqs, KNEE)
    power[0] = 0
    spectrum = rng.standard_normal((2, n_series, len(freqs)))
    spectrum = (spectrum[0] + 1j * spectrum[1]) * np.sqrt(power / power.sum()) * n / 2
    return fft.irfft(spectrum, n, axis=1)[:, :n_times]


def noise_power(bands, sfreq):
    """Power of background and electrodes within bands, relative to that of the background."""
    nyquist = sfreq / 2
    below = np.where(bands < KNEE, bands / KNEE, 1 + np.log(np.maximum(bands, KNEE) / KNEE))
    pink = np.diff(below)[:, 0] / (1 + np.log(nyquist / KNEE))
    return pink + SENSOR_SHARE * np.diff(bands)[:, 0] / nyquist
