"""What the branches of a fitted model have learned: arrays in, arrays out."""

import numpy as np
import torch
from scipy.signal import stft
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted

from .nets import estimates_own_volume_only
from .regressor import BEIRARegressor
from .windows import EEGWindows

__all__ = ["branch_importance", "branch_patterns", "cross_spectrum", "read_branches"]


def read_branches(model, X, *, sfreq=None, method="psd"):
    """Read the branches of a fitted model: scalp maps, spectra and importance.

    Parameters
    ----------
    model : BEIRARegressor or Pipeline that ends in one
        Fitted model.
    X : EEGWindows or ndarray of shape (n_samples, n_channels, n_times)
        EEG that the model can predict from, best the training EEG.
    sfreq : float or None
        Sampling rate in Hz of a plain array where the regressor reads it; EEGWindows know theirs.
    method : {"psd", "amplitude"}
        Kind of frequency pattern, as in :func:`branch_patterns`.

    Returns
    -------
    branches : Bunch
        The entries of :func:`branch_patterns`, and ``importance`` (n_rois, n_filters) of
        :func:`branch_importance`, ``region_names``, ``ch_names`` and ``info`` (None for arrays).
    """
    regressor, X = _at_regressor(model, X)
    if isinstance(X, EEGWindows):
        sfreq = X.sfreq
    elif sfreq is None:
        raise ValueError("X is a plain array, whose sampling rate is not known; give sfreq in Hz.")
    weights = regressor.net_.module_.network.branches
    frequencies, spectrum = cross_spectrum(X, sfreq)
    branches = branch_patterns(
        weights.spatial.detach().cpu().numpy().astype(float),
        weights.bandpass.detach().cpu().numpy().astype(float),
        spectrum,
        frequencies,
        sfreq,
        method=method,
    )
    branches.importance = branch_importance(regressor, X)
    n_rois = len(branches.importance)
    branches.region_names = regressor.region_names_ or [f"ROI {i}" for i in range(n_rois)]
    branches.info = X.info if isinstance(X, EEGWindows) else None
    branches.ch_names = regressor.ch_names_in_
    return branches


def branch_patterns(filters, taps, spectrum, frequencies, sfreq, *, method="psd"):
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
        Frequency pattern from the power spectrum, as the theory has it, or from its root, the
        amplitude spectrum, as the BEIRA authors plotted it [3]_.

    Returns
    -------
    branches : Bunch
        ``filters`` and ``patterns`` (n_filters, n_channels), patterns scaled to a largest absolute
        value of 1; ``frequencies``; ``frequency_responses`` and ``frequency_patterns``
        (n_filters, n_frequencies), scaled to a maximum of 1.

    References
    ----------
    .. [1] Haufe et al. (2014), On the interpretation of weight vectors of linear models in
       multivariate neuroimaging, NeuroImage 87.
    .. [2] Petrosyan et al. (2020), bioRxiv 2020.06.02.129114.
    .. [3] Kovalev, Mikheev, Ossadtchi (2022), arXiv 2211.02024.
    """
    if method not in ("psd", "amplitude"):
        raise ValueError(f"method must be 'psd' or 'amplitude', got {method!r}.")
    times = np.arange(taps.shape[1]) / sfreq
    response = np.abs(taps @ np.exp(-2j * np.pi * np.outer(times, frequencies)))
    density = spectrum.real
    patterns = np.einsum("kf,fcd,kd->kc", response**2, density, filters, optimize=True)
    power = np.einsum("kc,fcd,kd->kf", filters, density, filters, optimize=True)
    if method == "amplitude":
        power = np.sqrt(np.maximum(power, 0))
    return Bunch(
        filters=filters,
        patterns=_to_one(patterns),
        frequencies=frequencies,
        frequency_responses=_to_one(response),
        frequency_patterns=_to_one(power * response),
    )


def branch_importance(regressor, X):
    r"""Compute how much each branch moves the prediction of each region.

    .. math:: \mathrm{importance}_{r,k} = \operatorname{mean} \left|
              \frac{\partial \hat y_r}{\partial e_k(t)}\, e_k(t) \right|

    over windows and times, where :math:`e_k` is the envelope of branch k and :math:`\hat y_r` the
    estimate of the window's own volume.

    Parameters
    ----------
    regressor : BEIRARegressor
        Fitted regressor.
    X : EEGWindows or ndarray of shape (n_samples, n_channels, n_times)
        Windows as the regressor reads them.

    Returns
    -------
    importance : ndarray, shape (n_rois, n_filters)
        Importance relative to the region's largest; 0 for the branches of other regions.
    """
    network = regressor.net_.module_.network.eval()
    totals = 0.0
    for start in range(0, len(X), 16):
        eeg = np.array(X[start : start + 16], dtype=np.float32) / regressor.eeg_scale_
        envelopes = network.branches(torch.from_numpy(eeg).to(regressor.device_))
        envelopes = envelopes.detach().requires_grad_()
        estimates = network.decode(envelopes, eeg.shape[-1])
        if not estimates_own_volume_only(network):
            estimates = estimates[..., -1]
        estimates = estimates.sum(dim=0)
        rows = []
        for estimate in estimates:
            (gradient,) = torch.autograd.grad(estimate, envelopes, retain_graph=True)
            rows.append((gradient * envelopes).abs().mean(dim=-1).sum(dim=0).detach())
        totals = totals + torch.stack(rows).cpu().numpy().astype(float)
    return _to_one(totals)


def cross_spectrum(X, sfreq, duration=2.0):
    """Estimate the cross-spectral density of EEG by Welch's method.

    Parameters
    ----------
    X : EEGWindows or ndarray of shape (n_samples, n_channels, n_times)
        EEG in V; of EEGWindows, each sample of the recordings counts once.
    sfreq : float
        Sampling rate in Hz.
    duration : float
        Length in s of the segments, whose inverse is the frequency resolution.

    Returns
    -------
    frequencies : ndarray, shape (n_frequencies,)
        Frequencies in Hz.
    spectrum : ndarray of complex, shape (n_frequencies, n_channels, n_channels)
        Cross-spectral density in V²/Hz.
    """
    if isinstance(X, EEGWindows):
        pieces = [X.recordings[k][:, start:stop] for k, start, stop in X.stretches()]
    else:
        pieces = list(X)
    n_fft = min(round(duration * sfreq), min(piece.shape[1] for piece in pieces))
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
        # (n_channels, n_frequencies, n_segments): channels against channels, per frequency
        segments = segments.transpose(1, 0, 2)
        total = total + segments @ segments.conj().transpose(0, 2, 1)
        n_segments += segments.shape[2]
    spectrum = total / n_segments
    spectrum[1 : len(spectrum) - (n_fft % 2 == 0)] *= 2  # one-sided
    return frequencies, spectrum


def _at_regressor(model, X):
    """The regressor at the end of a pipeline, and X as it arrives there."""
    regressor = model
    if hasattr(model, "steps"):
        regressor = model[-1]
        X = model[:-1].transform(X) if len(model) > 1 else X
    if not isinstance(regressor, BEIRARegressor):
        raise TypeError(
            f"branches are read from a BEIRARegressor or a Pipeline that ends in one, got "
            f"{type(regressor).__name__}; a search has it as best_estimator_."
        )
    check_is_fitted(regressor)
    network = regressor.net_.module_.network
    if not hasattr(network, "branches"):
        raise TypeError(
            f"{type(network).__name__} has no branches to read; maps and spectra need a network "
            f"like 'compact' or 'autoencoder'."
        )
    return regressor, X


def _to_one(rows):
    """Scale each row to a largest absolute value of 1."""
    largest = np.abs(rows).max(axis=1, keepdims=True)
    return rows / np.where(largest > 0, largest, 1.0)
