"""Closed form of the compact network: a linear model of band powers, rewritten as branches.

BOLD is a linear function of the powers of all channels in a few bands behind a few delay kernels,
whose weights come from :mod:`sklearn_beira.regressor.reml`. For each region and band, the weighted
sum of powers is a quadratic form in the EEG. Its eigenvectors, relative to the covariance of the
EEG in the band, are spatial filters with uncorrelated outputs. The filters that carry most of the
prediction become the branches of the region.
"""

from typing import NamedTuple

import numpy as np
import torch
from scipy.signal import firwin
from sklearn.utils import Bunch
from threadpoolctl import threadpool_limits

from ..features.bands import BRANCH_BANDS, bands_within
from ..features.covariance import principal_axes
from ..features.hrf import response_basis
from .batches import cut_pieces
from .nets.branches import fir_filter, segment_means
from .reml import fit_reml

# Segments whose total power exceeds this multiple of the median are scaled down to it.
_LOUD = 3.0

# Delay kernels per band; volumes on which branches are compared; values of their covariances.
_MAX_RANK, _MAX_VOLUMES, _MAX_VALUES = 2, 500, 20_000_000

# Bands with a smaller share of a region's prediction get no branches. Smaller relative eigenvalues
# belong to directions without EEG, such as that of the reference.
_NO_SHARE, _RANK_TOLERANCE = 1e-3, 1e-6

# Expected log variance of a band, relative to the noise, if there is a pretrained network.
_LITTLE = -6.0

# With fewer volumes per branch, branches of the pretrained network come first.
_FEW = 4

# Ridge penalty on changes of the kernels that make up for branches that are left out.
_FIRM = 1e-2

_TINY = np.finfo(float).tiny


class _Bank(NamedTuple):
    """Power of the training EEG in all bands and channels.

    Attributes
    ----------
    taps : ndarray, shape (n_bands, n_taps)
        FIR filters.
    basis : ndarray, shape (n_lags, n_kernels)
        Delay kernels, newest lag first.
    blocks : list of ndarray, shape (n_volumes, n_channels * n_kernels)
        Power of the channels in each band behind each kernel, centered and scaled.
    scales : ndarray, shape (n_bands, n_channels)
        The powers were divided by these numbers.
    covariances : ndarray, shape (n_bands, n_channels, n_channels)
        Mean covariance of the EEG in each band.
    """

    taps: np.ndarray
    basis: np.ndarray
    blocks: list
    scales: np.ndarray
    covariances: np.ndarray


class _Branch(NamedTuple):
    """A candidate for a branch.

    Attributes
    ----------
    spatial : ndarray, shape (n_channels,)
        Spatial filter, whose output in the band has a mean power of 1.
    taps : ndarray, shape (n_taps,)
        FIR filter.
    basis : ndarray, shape (n_lags, n_kernels)
        Delay kernels.
    weights : ndarray, shape (n_kernels,)
        Their weights.
    features : ndarray, shape (n_volumes, n_kernels)
        Power of the output behind each kernel.
    """

    spatial: np.ndarray
    taps: np.ndarray
    basis: np.ndarray
    weights: np.ndarray
    features: np.ndarray

    @property
    def share(self):
        """Variance of what the branch adds to the prediction."""
        return (self.features @ self.weights).var()


def time_of_volumes(X, rows):
    """Compute the times between volumes, and the constants of their recordings.

    Parameters
    ----------
    X : EEGWindows
        Training EEG. If times are unknown, rows are successive volumes.
    rows : ndarray of int, shape (n_volumes,)
        Order of the volumes.

    Returns
    -------
    elapsed : ndarray, shape (n_volumes,)
        Time since the volume before, in repetition times; infinite at the start of a recording.
    constants : ndarray, shape (n_volumes, n_recordings)
        1 in the column of the volume's recording, else 0.
    t_r : float
        Repetition time in s.
    """
    elapsed = np.r_[np.inf, np.ones(len(rows) - 1)]
    recording, steps = X.groups[rows], np.diff(X.times[rows])
    same = recording[1:] == recording[:-1]
    forward = steps[same & (steps > 0)]
    t_r = np.median(forward) if len(forward) else 1.0
    elapsed[1:] = np.where(same, steps / t_r, np.inf)
    return elapsed, (recording[:, None] == np.unique(recording)).astype(float), t_r


# Thousands of small matrix products, which a second thread of BLAS or torch would slow down.
@threadpool_limits.wrap(limits=1)
def fit_closed_form(network, X, y, scale, bands, known=None):
    """Set the weights of a compact network from the training data, in closed form.

    Parameters
    ----------
    network : CompactNetwork
        Changed in place.
    X : EEGWindows
        Training EEG in V.
    y : ndarray, shape (n_volumes, n_rois)
        Standardized BOLD.
    scale : float
        The EEG is divided by this number.
    bands : dict of str to tuple of float, or "default"
        Edges in Hz of the bands; not used for filters of one tap.
    known : CompactNetwork or None
        A network fitted to other recordings, for EEG of this scale. Its prediction gets a weight
        like that of a band, and the bands explain the rest.

    Returns
    -------
    found : Bunch
        ``bands`` (list of str); ``shares`` (n_rois, n_bands), the share of each band in the
        variance of the prediction; ``known`` (n_rois,), the weight of the known network;
        ``autocorrelation`` (n_rois,) of the noise; ``pass_band`` (n_rois, 2) in Hz, where BOLD has
        power; ``kept`` (n_rois,), the correlation over training volumes of the prediction by the
        branches with that by all bands and channels.
    """
    sfreq = None if X.shape[2] == 1 else X.sfreq  # a table has no time to filter in
    if network.branches.bandpass.shape[1] == 1:
        bands = {"all": None}
    else:
        bands = bands_within(bands, sfreq, BRANCH_BANDS)
    pieces = cut_pieces(X)
    rows = np.concatenate([piece.rows for piece in pieces])
    y = y[rows]
    elapsed, constants, t_r = time_of_volumes(X, rows)
    branches = network.branches
    branches.power_limit.fill_(_LOUD * _median_power(network, pieces, scale))
    bank = _filter_bank(network, pieces, scale, sfreq, bands)
    others = None if known is None else _known_features(known, branches.power_limit, pieces, scale)
    fit = _fit_bank(bank, y, elapsed, constants, others)
    coef = np.split(fit.coef, len(bank.blocks))
    parts = np.array([block @ w for block, w in zip(bank.blocks, coef, strict=True)])
    predictions = parts.sum(axis=0)
    if known is not None:
        predictions = predictions + fit.known * others.sum(axis=2)
    variances = parts.var(axis=1).T
    shares = variances / np.maximum(predictions.var(axis=0), _TINY)[:, None]

    most = max(_MAX_VALUES // (bank.basis.shape[1] * branches.spatial.shape[1] ** 2), 2)
    n_some = min(len(y), _MAX_VOLUMES, most)
    some = np.unique(np.linspace(0, len(y) - 1, n_some).astype(int))
    candidates = _find_candidates(network, bank, coef, shares, pieces, scale, some)
    kept = np.zeros(y.shape[1])
    for roi, found in enumerate(candidates):
        if known is not None:
            found = found + _known_branches(known, roi, fit.known[roi], others[some, roi])
        found.sort(key=lambda branch: -branch.share)
        if known is not None and len(y) < _FEW * network.n_branches:
            found.sort(key=lambda branch: branch.basis is bank.basis)  # a stable sort
        chosen = found[: network.n_branches]
        kept[roi] = _set_region(network, roi, chosen, bank.taps[0], predictions[some, roi])
    return Bunch(
        bands=list(bands),
        shares=shares,
        known=fit.known,
        autocorrelation=fit.autocorrelation,
        pass_band=fit.pass_band.T / t_r,
        kept=kept,
    )


def _find_candidates(network, bank, coef, shares, pieces, scale, rows):
    """Write the weights of each region as branches, which are compared on some rows."""
    n_rois, n_bands = shares.shape
    candidates = [[] for _ in range(n_rois)]
    for b in range(n_bands):
        rois = np.flatnonzero(shares[:, b] > _NO_SHARE)
        if not len(rois):
            continue
        moments = _moments(network, bank, b, pieces, scale, rows)
        weights = coef[b].reshape(len(bank.scales[b]), -1, n_rois) / bank.scales[b][:, None, None]
        for roi in rois:
            candidates[roi] += _eigen_branches(
                weights[:, :, roi], bank, b, moments, network.n_branches
            )
    return candidates


def _fit_bank(bank, y, elapsed, constants, others):
    """Fit every region to the powers, and to the prediction of the known network."""
    if others is None:
        fit = fit_reml(bank.blocks, y, elapsed, constants)
        return Bunch(known=np.zeros(y.shape[1]), **fit)
    fits = []
    for roi, target in enumerate(y.T):
        feature = others[:, roi].sum(axis=1, keepdims=True)
        blocks = [*bank.blocks, feature - feature.mean()]
        # The expected weight of the known network is 1.
        fits.append(fit_reml(blocks, target[:, None], elapsed, constants, _LITTLE, feature))
    coef, rho, band = (
        np.concatenate([fit[name] for fit in fits], axis=-1)
        for name in ("coef", "autocorrelation", "pass_band")
    )
    return Bunch(coef=coef[:-1], known=1.0 + coef[-1], autocorrelation=rho, pass_band=band)


def _known_features(known, power_limit, pieces, scale):
    """Compute the terms of a known network's prediction (n_volumes, n_rois, n_branches).

    Loud segments are scaled down as in the network that is fitted.
    """
    limit = known.branches.power_limit.clone()
    known.branches.power_limit.copy_(power_limit)
    added = []
    with torch.no_grad():
        for piece in pieces:
            eeg = piece.scaled_eeg(scale, known.kernel.device)
            stops = known.segment_stops(torch.from_numpy(piece.stops).to(known.kernel.device))
            power = known.branches.at(eeg, stops) + 1.0
            power = power.unflatten(1, (known.n_rois, -1))
            added.append((power * known.kernel.flip(-1)).sum(dim=-1).cpu().numpy())
    known.branches.power_limit.copy_(limit)
    return np.concatenate(added).astype(float)


def _known_branches(known, roi, weight, features):
    """Return the branches of a known network, whose kernels are kept in shape."""
    own = slice(roi * known.n_branches, (roi + 1) * known.n_branches)
    spatial, bandpass, power = (
        a[own].detach().cpu().numpy().astype(float)
        for a in (known.branches.spatial, known.branches.bandpass, known.branches.mean_power)
    )
    kernels = known.kernel[roi].detach().cpu().numpy().astype(float)
    spatial = spatial / np.sqrt(power)[:, None]
    return [
        _Branch(filter_, taps, kernel[:, None], np.array([weight]), feature[:, None])
        for filter_, taps, kernel, feature in zip(
            spatial, bandpass, kernels, features.T, strict=True
        )
    ]


def _median_power(network, pieces, scale):
    """Compute the median total power of the segments that are not silent."""
    segment, powers = network.branches.segment, []
    for piece in pieces:
        eeg = piece.scaled_eeg(scale, network.kernel.device)
        total = network.branches.total_power(eeg).cpu().numpy()
        n_segments = len(total) // segment
        powers.append(total[len(total) - n_segments * segment :].reshape(-1, segment).mean(axis=1))
    powers = np.concatenate(powers)
    return float(np.median(powers[powers > 0])) if powers.any() else 1.0


def _filter_bank(network, pieces, scale, sfreq, bands):
    """Compute the power in all bands and channels behind the delay kernels."""
    branches, n_lags = network.branches, network.n_lags
    (n_taps,), n_channels = branches.bandpass.shape[1:], branches.spatial.shape[1]
    if n_taps == 1:  # nothing to filter with
        taps = np.ones((1, 1))
    else:
        edges = bands.values()
        taps = np.array([firwin(n_taps, band, fs=sfreq, pass_zero=False) for band in edges])
    if sfreq is None:  # a table of features
        basis = np.ones((1, 1))
    else:
        ago = branches.margin + (np.arange(n_lags) + 0.5) * branches.segment
        basis = response_basis(ago / sfreq)
    # Filled in and scaled in place: the powers of a long study fit in memory once.
    shape = sum(len(piece.stops) for piece in pieces), n_channels, basis.shape[1]
    behind, filled = [np.empty(shape) for _ in taps], 0
    totals, n_times = np.zeros((len(taps), n_channels, n_channels)), 0
    for piece in pieces:
        here = slice(filled, filled + len(piece.stops))
        filled = here.stop
        stops = network.segment_stops(torch.from_numpy(piece.stops)) - 2 * branches.margin
        for b, (signal, total) in enumerate(_filtered(network, taps, piece, scale)):
            stops = stops.to(signal.device)
            gain = branches.gain(segment_means(total, stops, branches.segment))
            means = segment_means(signal.square(), stops, branches.segment) * gain
            power = means.flip(-1).cpu().numpy().astype(float) @ basis
            behind[b][here] = power.transpose(1, 0, 2)
            x, gain = _segments(network, signal, total)
            totals[b] += ((x * gain) @ x.transpose(1, 2)).sum(dim=0).cpu().numpy()
        n_times += len(x) * branches.segment
    covariances = totals / n_times
    power = np.diagonal(covariances, axis1=1, axis2=2)
    # The power of a silent channel stays 0 instead of a ratio of rounding errors.
    least = np.maximum(_RANK_TOLERANCE**2 * power.max(axis=1, keepdims=True), _TINY)
    blocks, scales = [], np.maximum(power, least)
    for b, power in enumerate(behind):
        power /= scales[b][:, None]
        block = power.reshape(len(power), -1)
        block -= block.mean(axis=0)
        size = np.sqrt(np.einsum("ij,ij->i", block, block).mean()) or 1.0
        block /= size
        blocks.append(block)
        scales[b] *= size
    return _Bank(taps, basis, blocks, scales, covariances)


def _filtered(network, taps, piece, scale):
    """Yield the EEG of a piece in each band (n_channels, n_times) and its total power (n_times,).

    Half an FIR filter is cut off at both ends.
    """
    margin, eeg = network.branches.margin, piece.scaled_eeg(scale, network.kernel.device)
    stop = eeg.shape[1] - margin
    total = network.branches.total_power(eeg)
    for h in torch.as_tensor(taps).to(eeg):
        yield fir_filter(eeg, h.expand(len(eeg), -1))[:, margin:stop], total


def _segments(network, signal, total):
    """Cut a signal into segments (n_segments, n_channels, segment), and compute their gains."""
    segment = network.branches.segment
    n_segments = len(total) // segment
    first = len(total) - n_segments * segment
    x = signal[:, first:].unflatten(1, (n_segments, segment)).transpose(0, 1)
    gain = network.branches.gain(total[first:].unflatten(0, (n_segments, segment)).mean(dim=1))
    return x, gain[:, None, None]


def _moments(network, bank, b, pieces, scale, rows):
    """Compute covariances behind the delay kernels (n_rows, n_kernels, n_channels, n_channels)."""
    segment, n_lags = network.branches.segment, network.n_lags
    moments, before = [], 0
    basis = torch.as_tensor(bank.basis[::-1].copy()).to(network.kernel)
    for piece in pieces:
        here = rows[(rows >= before) & (rows < before + len(piece.stops))] - before
        before += len(piece.stops)
        if not len(here):
            continue
        ((signal, total),) = _filtered(network, bank.taps[b : b + 1], piece, scale)
        for stop in piece.stops[here] - 2 * network.branches.margin:
            window = slice(stop - n_lags * segment, stop)
            x, gain = _segments(network, signal[:, window], total[window])
            covariances = (x * gain) @ x.transpose(1, 2) / segment
            moments.append(torch.einsum("lj,lcd->jcd", basis, covariances).cpu().numpy())
    return np.array(moments, dtype=float)


def _eigen_branches(form, bank, b, moments, n_branches):
    """Write a quadratic form in the EEG of a band as powers of spatial filters.

    Parameters
    ----------
    form : ndarray, shape (n_channels, n_kernels)
        Weights of the channels' powers behind each delay kernel.
    bank : _Bank
        Powers.
    b : int
        Index of the band.
    moments : ndarray, shape (n_volumes, n_kernels, n_channels, n_channels)
        Covariances behind each kernel.
    n_branches : int
        Most branches of each rank.

    Returns
    -------
    branches : list of _Branch
        Candidates, in no order.
    """
    values, vectors = principal_axes(bank.covariances[b], _RANK_TOLERANCE)
    color, whiten = vectors * np.sqrt(values), vectors / np.sqrt(values)
    channels, sizes, kernels = np.linalg.svd(form, full_matrices=False)
    branches = []
    for column, size, kernel in zip(channels.T[:_MAX_RANK], sizes, kernels, strict=False):
        values, vectors = np.linalg.eigh(color.T @ ((size * column)[:, None] * color))
        largest = np.argsort(-np.abs(values))[:n_branches]
        filters = whiten @ vectors[:, largest]
        # (n_volumes, n_kernels, n_filters)
        features = np.einsum("ck,vjck->vjk", filters, moments @ filters)
        for i, value in enumerate(values[largest]):
            branches.append(
                _Branch(filters[:, i], bank.taps[b], bank.basis, value * kernel, features[:, :, i])
            )
    return branches


def _set_region(network, roi, branches, no_taps, prediction):
    """Set the branches of a region; return their correlation with the whole prediction."""
    first = roi * network.n_branches
    own = slice(first, first + network.n_branches)
    spatial, bandpass = network.branches.spatial.data, network.branches.bandpass.data
    spatial[own], bandpass[own] = 0.0, torch.as_tensor(no_taps).to(bandpass)
    network.branches.mean_power[own] = 1.0
    network.kernel.data[roi], network.bias.data[roi] = 0.0, 0.0
    if not branches:
        return 0.0
    features = np.concatenate([branch.features for branch in branches], axis=1)
    mean = features.mean(axis=0)
    features = features - mean
    weights = np.concatenate([branch.weights for branch in branches])
    # Kernels change a little to make up for the branches that are left out.
    gram = features.T @ features
    gram.flat[:: len(gram) + 1] += _FIRM * np.trace(gram) / len(gram) + _TINY
    missing = prediction - prediction.mean() - features @ weights
    weights += np.linalg.solve(gram, features.T @ missing)
    cuts = np.cumsum([branch.features.shape[1] for branch in branches])[:-1]
    kernels = [
        branch.basis @ own for branch, own in zip(branches, np.split(weights, cuts), strict=True)
    ]
    for i, (branch, kernel) in enumerate(zip(branches, kernels, strict=True)):
        spatial[first + i] = torch.as_tensor(branch.spatial).to(spatial)
        bandpass[first + i] = torch.as_tensor(branch.taps).to(bandpass)
        network.kernel.data[roi, i] = torch.as_tensor(kernel).to(spatial)
    # Envelopes are relative to a mean power of 1, and the mean prediction over the volumes is 0.
    network.bias.data[roi] = float(np.sum(kernels) - mean @ weights)
    spread = (features @ weights).std() * prediction.std()
    if not spread:
        return 0.0
    return float(((features @ weights) * (prediction - prediction.mean())).mean() / spread)
