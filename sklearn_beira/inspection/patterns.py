"""What activates a branch: spatial patterns and frequency patterns."""

import numpy as np
from scipy.signal import stft
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.preprocessing import normalize
from sklearn.utils import Bunch

from ..eeg.windows import as_windows

# Branches whose maps and spectra are at least this similar are the same.
SAME = 0.8


def branch_patterns(
    filters: np.ndarray,
    taps: np.ndarray,
    spectrum: np.ndarray,
    frequencies: np.ndarray,
    sfreq: float,
    *,
    method: str = "psd",
) -> Bunch:
    r"""Compute what activates each branch, from its weights and the spectrum of the EEG.

    .. math:: a_k = \sum_f |H_k(f)|^2\, \mathrm{Re}\, S(f)\, w_k, \qquad
              g_k(f) = w_k^\top S(f)\, w_k\, |H_k(f)|

    The spatial pattern is the covariance of the EEG that passes the branch's own FIR filter
    :math:`H_k`, times its spatial weights [1]_: weights say how a branch suppresses noise, patterns
    where its signal comes from. The frequency pattern is the temporal twin [2]_: spectrum of the
    spatially filtered EEG times the frequency response.

    Parameters
    ----------
    filters : ndarray, shape (n_filters, n_channels)
        Spatial weights :math:`w_k`.
    taps : ndarray, shape (n_filters, n_taps)
        FIR filters.
    spectrum : ndarray of complex, shape (n_frequencies, n_channels, n_channels)
        Cross-spectral density S of the EEG in V²/Hz.
    frequencies : ndarray, shape (n_frequencies,)
        Its frequencies in Hz.
    sfreq : float
        Sampling rate in Hz.
    method : {"psd", "amplitude"}
        Frequency pattern computed from the power spectrum, as in theory, or from its square root,
        the amplitude spectrum, as the BEIRA authors plotted it [3]_.

    Returns
    -------
    branches : Bunch
        ``filters`` and ``patterns`` (n_filters, n_channels), patterns scaled to a largest absolute
        value of 1; ``frequencies``; ``frequency_responses`` and ``frequency_patterns``
        (n_filters, n_frequencies), scaled to a maximum of 1.

    Raises
    ------
    ValueError
        If the shapes do not fit together, or ``method`` is unknown.

    References
    ----------
    .. [1] Haufe et al. (2014), On the interpretation of weight vectors of linear models in
       multivariate neuroimaging, NeuroImage 87.
    .. [2] Petrosyan et al. (2020), bioRxiv 2020.06.02.129114.
    .. [3] Kovalev, Mikheev, Ossadtchi (2022), arXiv 2211.02024.

    Examples
    --------
    Two electrodes see the same noise, and the first one a source as well. The filter takes one from
    the other; the pattern has the source where it is.

    >>> import numpy as np
    >>> from sklearn_beira import EEGWindows
    >>> from sklearn_beira.inspection import branch_patterns, cross_spectrum
    >>> source, noise = np.random.default_rng(0).standard_normal((2, 1, 10_000))
    >>> eeg = np.array([np.concatenate([source + noise, noise])])
    >>> X = EEGWindows.from_array(eeg, sfreq=100.0)
    >>> frequencies, spectrum = cross_spectrum(X)
    >>> found = branch_patterns([[1.0, -1.0]], [[1.0]], spectrum, frequencies, 100.0)
    >>> np.abs(found.patterns).round(1)
    array([[1., 0.]])
    """
    if method not in ("psd", "amplitude"):
        raise ValueError(f"method must be 'psd' or 'amplitude', got {method!r}.")
    filters, taps, spectrum = np.asarray(filters), np.asarray(taps), np.asarray(spectrum)
    n_channels = filters.shape[-1]
    if len(taps) != len(filters) or spectrum.shape != (len(frequencies), n_channels, n_channels):
        raise ValueError(
            f"filters {filters.shape}, taps {taps.shape} and spectrum {spectrum.shape} do not fit "
            f"together; give the spectrum and the frequencies that cross_spectrum returns."
        )
    response = frequency_responses(taps, frequencies, sfreq)
    density = spectrum.real
    patterns = np.einsum("kf,fcd,kd->kc", response**2, density, filters, optimize=True)
    power = np.einsum("kc,fcd,kd->kf", filters, density, filters, optimize=True)
    if method == "amplitude":
        power = np.sqrt(np.maximum(power, 0))
    return Bunch(
        filters=filters,
        patterns=normalize(patterns, norm="max"),
        frequencies=frequencies,
        frequency_responses=normalize(response, norm="max"),
        frequency_patterns=normalize(power * response, norm="max"),
    )


def frequency_responses(taps: np.ndarray, frequencies: np.ndarray, sfreq: float) -> np.ndarray:
    """Compute the magnitude responses (n_filters, n_frequencies) of FIR filters."""
    times = np.arange(taps.shape[1]) / sfreq
    return np.abs(taps @ np.exp(-2j * np.pi * np.outer(times, frequencies)))


def cross_spectrum(X, duration: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Estimate the cross-spectral density of EEG by Welch's method.

    Parameters
    ----------
    X : EEGWindows
        EEG in V. Samples that several windows share count once.
    duration : float
        Length of the segments in s. Its inverse is the frequency resolution.

    Returns
    -------
    frequencies : ndarray, shape (n_frequencies,)
        Frequencies in Hz.
    spectrum : ndarray of complex, shape (n_frequencies, n_channels, n_channels)
        Cross-spectral density in V²/Hz.

    Raises
    ------
    ValueError
        If X has no samples or an unknown sampling rate, or a segment has fewer than two samples.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_beira import EEGWindows
    >>> from sklearn_beira.inspection import cross_spectrum
    >>> X = np.random.default_rng(0).standard_normal((5, 4, 1000))
    >>> frequencies, spectrum = cross_spectrum(EEGWindows.from_array(X, sfreq=100.0))
    >>> spectrum.shape, float(frequencies[1])
    ((101, 4, 4), 0.5)
    """
    X = as_windows(X)
    if not len(X):
        raise ValueError("X has no volumes; pass at least one.")
    sfreq, recordings = X.sfreq, X.recordings
    pieces = [recordings[k][:, start:stop] for k, start, stop in X.stretches()]
    n_fft = min(round(duration * sfreq), min(piece.shape[1] for piece in pieces))
    if n_fft < 2:
        raise ValueError(
            f"segments of {n_fft} sample(s) have no spectrum: windows have {X.shape[2]} sample(s) "
            f"at {sfreq:g} Hz, and duration is {duration:g} s; use longer ones."
        )
    total, n_segments = 0.0, 0
    for piece in pieces:
        frequencies, _, segments = stft(
            piece.astype(np.float64),
            sfreq,
            nperseg=n_fft,
            boundary=None,
            padded=False,
            detrend="constant",
            scaling="psd",
        )
        segments = segments.transpose(1, 0, 2)  # (n_frequencies, n_channels, n_segments)
        total = total + segments @ segments.conj().transpose(0, 2, 1)
        n_segments += segments.shape[2]
    spectrum = total / n_segments
    spectrum[1 : len(spectrum) - (n_fft % 2 == 0)] *= 2  # one-sided
    return frequencies, spectrum


def abs_cosines(maps: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Compute absolute cosines (n_maps, n_others) between maps (n_maps, n_channels)."""
    return np.abs(cosine_similarity(maps, others))


def overlaps(spectra: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Compute overlaps (n_spectra, n_others), at most 1, of spectra (n_spectra, n_frequencies)."""
    spectra, others = normalize(spectra, norm="l1"), normalize(others, norm="l1")
    return np.minimum(spectra[:, None], others[None]).sum(axis=2)


def similarity(maps, spectra, other_maps, other_spectra) -> np.ndarray:
    """Compute similarities (n_branches, n_others) of maps and spectra, from 0 to 1."""
    return abs_cosines(maps, other_maps) * overlaps(spectra, other_spectra)
