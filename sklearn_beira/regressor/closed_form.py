"""Closed form of the compact network: linear models of the EEG in bands, rewritten as branches.

BOLD is a linear function of what is read of the EEG in a few bands behind a few delay kernels:
powers of channels, their logarithms, or covariances of principal axes. The weights come from
:mod:`sklearn_beira.regressor.reml`. For each region and band they are a quadratic form in the EEG,
for logarithms to first order. Its eigenvectors, relative to the covariance of the EEG in the band,
are spatial filters with uncorrelated outputs, the candidates for branches. Models of power and of
its logarithm are averaged by their evidence.
"""

import copy
from typing import NamedTuple

import numpy as np
import torch
from scipy.signal import firwin
from scipy.special import softmax
from sklearn.utils import Bunch
from threadpoolctl import threadpool_limits
from torch import nn

from ..features.bands import BRANCH_BANDS, NARROW_BANDS, bands_within
from ..features.covariance import principal_axes
from ..features.hrf import response_basis
from .batches import cut_pieces
from .nets.branches import PowerBranches, fir_filter, segment_means
from .reml import fit_reml

# Segments whose total power exceeds this multiple of the median are scaled down to it.
_LOUD = 3.0

# SD of shift (s) and log stretch of the responses that the delay kernels span; the wide ones have
# peaks up to 10 s.
_NARROW, _WIDE = (1.5, 0.15), (2.5, 0.3)

# Up to so many volumes are fitted by all models; longer studies read powers of channels alone.
# Covariances are those of the largest principal axes, with this weight of the identity.
_MOST, _MOST_AXES, _SHRINKAGE = 720, 24, 0.3

# Added to relative power before its logarithm.
_OFFSET = 0.1

# Prior evidence (nats) for the simplest model; all evidence is multiplied by the second number.
_AHEAD, _TEMPER = 1.5, 2.0

# Delay kernels per band; filters per reading; volumes on which branches are compared.
_MAX_RANK, _PER_READING, _MAX_VOLUMES = 2, 8, 500

# Smaller shares of a prediction are nothing. Smaller relative eigenvalues belong to directions
# without EEG, such as that of the reference.
_NO_SHARE, _RANK_TOLERANCE = 1e-3, 1e-6

# Expected log variance of a band, relative to the noise, if there is a pretrained network.
_LITTLE = -6.0

# With fewer volumes per branch, branches of the pretrained network come first, then the largest.
_FEW = 4

# Ridge penalty on changes of the kernels that make up for branches that are left out.
_FIRM = 1e-2

_TINY = np.finfo(float).tiny


class _Bank(NamedTuple):
    """Filters of the bands, and the training EEG behind them.

    Attributes
    ----------
    taps : ndarray, shape (n_bands, n_taps)
        FIR filters.
    basis : ndarray, shape (n_lags, n_kernels)
        Delay kernels, newest lag first.
    covariances : ndarray, shape (n_bands, n_channels, n_channels)
        Mean covariance of the EEG in each band.
    centers : list of float
        Centers of the bands in Hz.
    """

    taps: np.ndarray
    basis: np.ndarray
    covariances: np.ndarray
    centers: list


class _Branch(NamedTuple):
    """A candidate for a branch.

    Attributes
    ----------
    spatial : ndarray, shape (n_channels,)
        Spatial filter, whose output in the band has a mean power of 1.
    bank : _Bank
        Filters and delay kernels.
    band : int
        Index of its band there.
    offset : float
        Added to the power before its logarithm; infinite where power itself is read.
    weights : ndarray, shape (n_kernels,)
        Weights of the delay kernels.
    features : ndarray, shape (n_volumes, n_kernels)
        Envelope behind each kernel.
    """

    spatial: np.ndarray
    bank: _Bank
    band: int
    offset: float
    weights: np.ndarray
    features: np.ndarray

    @property
    def taps(self):
        """FIR filter (n_taps,)."""
        return self.bank.taps[self.band]

    @property
    def basis(self):
        """Delay kernels (n_lags, n_kernels)."""
        return self.bank.basis

    @property
    def center(self):
        """Center of the band in Hz; None for a branch of a known network."""
        return self.bank.centers and self.bank.centers[self.band]

    @property
    def part(self):
        """What the branch adds to the prediction (n_volumes,)."""
        return self.features @ self.weights


class _Filter(NamedTuple):
    """A spatial filter of a region, its band, and the weights of the delay kernels of its power."""

    spatial: np.ndarray
    band: int
    weights: np.ndarray


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
        bands = narrow = {"all": None}
    else:
        narrow = bands_within(bands, sfreq, NARROW_BANDS)
        bands = bands_within(bands, sfreq, BRANCH_BANDS)
    pieces = cut_pieces(X)
    rows = np.concatenate([piece.rows for piece in pieces])
    y = y[rows]
    elapsed, constants, t_r = time_of_volumes(X, rows)
    branches = network.branches
    branches.power_limit.fill_(_LOUD * _median_power(network, pieces, scale))
    samples = elapsed, constants
    if known is None and len(y) <= _MOST:
        fit, candidates = _fit_models(network, y, samples, pieces, scale, sfreq, bands, narrow)
        some = np.arange(len(y))
    else:
        some = np.unique(np.linspace(0, len(y) - 1, min(len(y), _MAX_VOLUMES)).astype(int))
        bank = _filter_bank(network, pieces, scale, sfreq, bands.values(), *_NARROW)
        fit, candidates = _fit_powers(network, bank, y, samples, pieces, scale, known, some)
    kept, shares = np.zeros(y.shape[1]), np.zeros((y.shape[1], len(bands)))
    centers = [np.mean(edges) if edges else 0.0 for edges in bands.values()]
    for roi, found in enumerate(candidates):
        parts = np.zeros((len(bands), len(some)))
        for branch in found:
            if branch.center is not None:
                parts[np.abs(np.subtract(centers, branch.center)).argmin()] += branch.part
        prediction = sum((branch.part for branch in found), np.zeros(len(some)))
        shares[roi] = np.var(parts, axis=1) / max(prediction.var(), _TINY)
        if len(y) < _FEW * network.n_branches:
            found.sort(key=lambda branch: (branch.center is not None, -branch.part.var()))
            chosen = found[: network.n_branches]
        else:
            chosen = _choose(found, prediction, network.n_branches)
        no_taps = found[0].taps if found else np.ones(network.branches.bandpass.shape[1])
        kept[roi] = _set_region(network, roi, chosen, no_taps, prediction)
    return Bunch(
        bands=list(bands),
        shares=shares,
        known=fit.known,
        autocorrelation=fit.autocorrelation,
        pass_band=fit.pass_band.T / t_r,
        kept=kept,
    )


def _fit_models(network, y, samples, pieces, scale, sfreq, bands, narrow):
    """Fit models of power and of its logarithm, and average them by their evidence."""
    bank = _filter_bank(network, pieces, scale, sfreq, bands.values(), *_NARROW)
    rows = np.arange(len(y))
    found = [_fit_powers(network, bank, y, samples, pieces, scale, None, rows)]
    for offset, own in ((np.inf, bands), (_OFFSET, narrow)):
        bank = _filter_bank(network, pieces, scale, sfreq, own.values(), *_WIDE)
        found.append(_fit_model(network, bank, offset, y, samples, pieces, scale))
    fits, candidates = zip(*found, strict=True)
    evidence = np.array([fit.evidence for fit in fits])
    evidence[0] += _AHEAD
    weights = softmax(_TEMPER * evidence, axis=0)
    averaged = [
        [
            branch._replace(weights=weight * branch.weights)
            for weight, model in zip(weights[:, roi], candidates, strict=True)
            for branch in model[roi]
            if weight > _NO_SHARE
        ]
        for roi in range(y.shape[1])
    ]
    return fits[0], averaged


def _fit_model(network, bank, offset, y, samples, pieces, scale):
    """Find filters in two readings of the EEG, and weigh their envelopes anew."""
    seen, filters = {}, [[] for _ in y.T]
    fits, kind = {}, "power" if np.isinf(offset) else "log"
    for name, (blocks, units) in _read(network, bank, pieces, scale, (kind, "covariance")).items():
        fit = fits[name] = fit_reml(blocks, y, *samples, seen=seen)
        coef = np.split(fit.coef, np.cumsum([block.shape[1] for block in blocks])[:-1])
        for roi in range(y.shape[1]):
            filters[roi] += _filters(bank, units, [w[:, roi] for w in coef], _PER_READING)
    every = [f for found in filters for f in found]
    envelopes = _envelopes(network, bank, every, pieces, scale)
    candidates, first = [], 0
    for roi, found in enumerate(filters):
        candidates.append([])
        if not found:
            continue
        own = torch.as_tensor(envelopes[:, first : first + len(found)])
        first += len(found)
        features = PowerBranches.read(own, torch.tensor(offset)).numpy()
        features = np.tensordot(features, bank.basis, axes=1)  # (n_volumes, n_filters, n_kernels)
        centered = features - features.mean(axis=0)
        norms = np.sqrt(np.square(centered).sum(axis=2).mean(axis=0))
        # Filters that carry more of the readings are expected to matter more.
        shares = np.einsum("vfk,fk->vf", centered, [f.weights for f in found]).std(axis=0)
        size = shares / np.maximum(norms, _TINY)
        size /= np.sqrt(np.square(size * norms).sum()) or 1.0
        block = (centered * size[:, None]).reshape(len(y), -1)
        coef = fit_reml([block], y[:, [roi]], *samples, seen=seen).coef[:, 0]
        coef = coef.reshape(len(found), -1) * size[:, None]
        candidates[roi] = [
            _Branch(f.spatial, bank, f.band, offset, coef[i], features[:, i])
            for i, f in enumerate(found)
        ]
    # The evidence is that of all channels: filters were chosen knowing the BOLD.
    return fits[kind], candidates


def _fit_powers(network, bank, y, samples, pieces, scale, known, some):
    """Fit powers of channels, and the prediction of a known network, for branches on some rows."""
    ((blocks, units),) = _read(network, bank, pieces, scale, ("power",)).values()
    if known is None:
        fit, others = fit_reml(blocks, y, *samples), None
        fit.known = np.zeros(y.shape[1])
    else:
        others = _known_features(known, network.branches.power_limit, pieces, scale)
        fit = _fit_beside(blocks, y, samples, others)
    coef = np.split(fit.coef, np.cumsum([block.shape[1] for block in blocks])[:-1])
    filters = [
        _filters(bank, units, [w[:, roi] for w in coef], 2 * network.n_branches)
        for roi in range(y.shape[1])
    ]
    envelopes = _envelopes(network, bank, [f for own in filters for f in own], pieces, scale, some)
    candidates, first = [], 0
    for roi, found in enumerate(filters):
        own = np.tensordot(envelopes[:, first : first + len(found)] - 1, bank.basis, axes=1)
        first += len(found)
        candidates.append(
            [
                _Branch(f.spatial, bank, f.band, np.inf, f.weights, own[:, i])
                for i, f in enumerate(found)
            ]
        )
        if known is not None:
            candidates[roi] += _known_branches(known, roi, fit.known[roi], others[some, roi])
    return fit, candidates


def _fit_beside(blocks, y, samples, others):
    """Fit every region to the powers and to the prediction of the known network."""
    fits = []
    for roi, target in enumerate(y.T):
        feature = others[:, roi].sum(axis=1, keepdims=True)
        # The expected weight of the known network is 1.
        every = [*blocks, feature - feature.mean()]
        fits.append(fit_reml(every, target[:, None], *samples, _LITTLE, feature))
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
            power = known.branches.at(eeg, stops)
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
    offsets = known.branches.log_offset[own].cpu().numpy()
    banks = [
        _Bank([taps], kernel[:, None], None, None)
        for taps, kernel in zip(bandpass, kernels, strict=True)
    ]
    return [
        _Branch(spatial[i], bank, 0, offsets[i], np.array([weight]), features[:, [i]])
        for i, bank in enumerate(banks)
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


def _filter_bank(network, pieces, scale, sfreq, bands, shift, stretch):
    """Make filters and delay kernels, and compute the mean covariance in each band."""
    branches, n_lags = network.branches, network.n_lags
    (n_taps,), n_channels = branches.bandpass.shape[1:], branches.spatial.shape[1]
    if n_taps == 1:  # nothing to filter with
        taps = np.ones((1, 1))
    else:
        taps = np.array([firwin(n_taps, band, fs=sfreq, pass_zero=False) for band in bands])
    if sfreq is None:  # a table of features
        basis = np.ones((1, 1))
    else:
        ago = branches.margin + (np.arange(n_lags) + 0.5) * branches.segment
        basis = response_basis(ago / sfreq, shift=shift, stretch=stretch)
    totals, n_times = np.zeros((len(taps), n_channels, n_channels)), 0
    for piece in pieces:
        for b, (signal, total) in enumerate(_filtered(network, taps, piece, scale)):
            x, gain = _segments(network, signal, total)
            totals[b] += ((x * gain) @ x.transpose(1, 2)).sum(dim=0).cpu().numpy()
        n_times += len(x) * branches.segment
    centers = [np.mean(band) if band else 0.0 for band in bands]
    return _Bank([*taps], basis, totals / n_times, centers)


def _read(network, bank, pieces, scale, kinds):
    """Read the EEG in each band behind the delay kernels.

    Returns
    -------
    readings : dict
        For each kind, the blocks of all bands (n_volumes, n_features * n_kernels), centered and
        scaled, and what turns their features into EEG again: for "power" and "log" the diagonal of
        a quadratic form (n_channels,) for each channel, for "covariance" axes (n_channels, n_axes).
    """
    branches, found = network.branches, {}
    power = np.diagonal(bank.covariances, axis1=1, axis2=2)
    # The power of a silent channel stays 0 instead of a ratio of rounding errors.
    least = np.maximum(_RANK_TOLERANCE**2 * power.max(axis=1, keepdims=True), _TINY)
    power = np.maximum(power, least)
    axes = [_whitener(covariance) for covariance in bank.covariances]
    parts = {kind: [[] for _ in bank.taps] for kind in kinds}
    for piece in pieces:
        stops = network.segment_stops(torch.from_numpy(piece.stops)) - 2 * branches.margin
        for b, (signal, total) in enumerate(_filtered(network, bank.taps, piece, scale)):
            stops = stops.to(signal.device)
            gain = branches.gain(segment_means(total, stops, branches.segment))
            means = segment_means(signal.square(), stops, branches.segment) * gain
            means = means.flip(-1).cpu().numpy() / power[b][:, None, None]
            if "power" in kinds:
                parts["power"][b].append((means @ bank.basis).transpose(1, 0, 2))
            if "log" in kinds:
                log = np.log(means + _OFFSET)
                parts["log"][b].append((log @ bank.basis).transpose(1, 0, 2))
            if "covariance" in kinds:
                z = axes[b].T.astype(np.float32) @ signal.cpu().numpy()
                parts["covariance"][b].append(_covariances(z, stops, gain, branches.segment, bank))
    for kind in kinds:
        blocks, units = [], []
        for b, part in enumerate(parts[kind]):
            block = np.concatenate(part).reshape(sum(map(len, part)), -1).astype(float)
            part.clear()
            block -= block.mean(axis=0)
            size = np.sqrt(np.einsum("ij,ij->i", block, block).mean())
            if size > _RANK_TOLERANCE:
                block /= size
            else:  # EEG that is silent, or the same all the time
                block[:], size = 0.0, 1.0
            blocks.append(block)
            root = np.sqrt(size)
            units.append(axes[b] / root if kind == "covariance" else power[b] * size)
        found[kind] = blocks, units
    return found


def _whitener(covariance):
    """Largest principal axes (n_channels, n_axes), scaled to nearly unit variance."""
    values, vectors = principal_axes(covariance, _RANK_TOLERANCE)
    values, vectors = values[-_MOST_AXES:], vectors[:, -_MOST_AXES:]
    return vectors / np.sqrt((1 - _SHRINKAGE) * values + _SHRINKAGE * values.mean())


def _covariances(z, stops, gain, length, bank):
    """Upper triangles of covariances behind the delay kernels (n_volumes, n_pairs, n_kernels)."""
    # In NumPy, whose products do not depend on the number of threads here.
    last, where = np.unique(stops.cpu().numpy(), return_inverse=True)
    x = np.lib.stride_tricks.sliding_window_view(z, length, axis=1)[:, last - length]
    x = x.transpose(1, 0, 2)  # (n_segments, n_axes, length)
    i, j = np.triu_indices(len(z))
    pairs = (x @ x.transpose(0, 2, 1) / length)[:, i, j] * np.where(i == j, 1.0, np.sqrt(2.0))
    where, gain = where.reshape(gain.shape)[:, ::-1], gain.flip(-1).cpu().numpy()
    basis = bank.basis.astype(pairs.dtype)
    return np.stack([(pairs[w] * g[:, None]).T @ basis for w, g in zip(where, gain, strict=True)])


def _filters(bank, units, weights, n_filters):
    """Spatial filters of a region: eigenvectors of the quadratic forms that a reading is.

    Parameters
    ----------
    bank : _Bank
        Filters of the bands.
    units : list of ndarray
        As :func:`_read` returns them.
    weights : list of ndarray, shape (n_features * n_kernels,)
        Weights of each band.
    n_filters : int
        Most filters.

    Returns
    -------
    filters : list of _Filter
        Those whose power is weighed most.
    """
    found, n_kernels = [], bank.basis.shape[1]
    for b, (unit, own) in enumerate(zip(units, weights, strict=True)):
        own = own.reshape(-1, n_kernels)
        if not own.any():
            continue
        values, vectors = principal_axes(bank.covariances[b], _RANK_TOLERANCE)
        color, whiten = vectors * np.sqrt(values), vectors / np.sqrt(values)
        features, sizes, kernels = np.linalg.svd(own, full_matrices=False)
        for column, size, kernel in zip(features.T[:_MAX_RANK], sizes, kernels, strict=False):
            if unit.ndim == 1:
                form = np.diag(size * column / unit)
            else:
                i, j = np.triu_indices(unit.shape[1])
                form = np.zeros((unit.shape[1],) * 2)
                form[i, j] = size * column * np.where(i == j, 0.5, np.sqrt(0.5))
                form = unit @ (form + form.T) @ unit.T
            values, vectors = np.linalg.eigh(color.T @ form @ color)
            found += [
                (abs(value), _Filter(whiten @ vector, b, value * kernel))
                for value, vector in zip(values, vectors.T, strict=True)
                if value
            ]
    found.sort(key=lambda pair: -pair[0])
    return [filter_ for _, filter_ in found[:n_filters]]


def _envelopes(network, bank, filters, pieces, scale, rows=None):
    """Relative power of spatial filters (n_rows, n_filters, n_lags), newest lag first."""
    branches = copy.copy(network.branches)
    branches._parameters, branches._buffers = {}, dict(network.branches._buffers)
    like, n_lags = network.branches.spatial, network.n_lags
    if not filters:
        return np.zeros(
            (sum(len(p.stops) for p in pieces) if rows is None else len(rows), 0, n_lags)
        )
    branches.spatial = nn.Parameter(
        torch.as_tensor(np.array([f.spatial for f in filters])).to(like)
    )
    taps = np.array([bank.taps[f.band] for f in filters])
    branches.bandpass = nn.Parameter(torch.as_tensor(taps).to(like))
    branches.mean_power = like.new_ones(len(filters))
    branches.log_offset = torch.full_like(branches.mean_power, np.inf)
    found, before = [], 0
    for piece in pieces:
        n = len(piece.stops)
        here = (
            np.arange(n) if rows is None else rows[(rows >= before) & (rows < before + n)] - before
        )
        before += n
        if len(here):
            eeg = piece.scaled_eeg(scale, like.device)
            stops = network.segment_stops(torch.from_numpy(piece.stops[here]).to(like.device))
            with torch.no_grad():
                found.append(branches.at(eeg, stops).flip(-1).cpu().numpy() + 1.0)
    return np.concatenate(found).astype(float)


def _filtered(network, taps, piece, scale):
    """Yield the EEG of a piece in each band (n_channels, n_times) and its total power (n_times,).

    Half an FIR filter is cut off at both ends.
    """
    margin, eeg = network.branches.margin, piece.scaled_eeg(scale, network.kernel.device)
    stop = eeg.shape[1] - margin
    total = network.branches.total_power(eeg)
    for h in torch.as_tensor(np.array(taps)).to(eeg):
        yield fir_filter(eeg, h.expand(len(eeg), -1))[:, margin:stop], total


def _segments(network, signal, total):
    """Cut a signal into segments (n_segments, n_channels, segment), and compute their gains."""
    segment = network.branches.segment
    n_segments = len(total) // segment
    first = len(total) - n_segments * segment
    x = signal[:, first:].unflatten(1, (n_segments, segment)).transpose(0, 1)
    gain = network.branches.gain(total[first:].unflatten(0, (n_segments, segment)).mean(dim=1))
    return x, gain[:, None, None]


def _choose(candidates, prediction, n_branches):
    """Choose branches one by one, each the one that brings them nearest to the prediction."""
    spans = []
    for branch in candidates:
        features = branch.features - branch.features.mean(axis=0)
        u, size, _ = np.linalg.svd(features, full_matrices=False)
        spans.append(u * (size > 1e-3 * size.max(initial=0.0)))
    left, chosen = prediction - prediction.mean(), []
    least = _NO_SHARE**2 * (left @ left)
    axes = np.zeros((len(left), 0))
    while len(chosen) < min(n_branches, len(candidates)) and left @ left > least:
        gains = [
            -1.0 if k in chosen else np.square(span.T @ left).sum() for k, span in enumerate(spans)
        ]
        chosen.append(int(np.argmax(gains)))
        new = spans[chosen[-1]]
        axes = np.linalg.qr(np.concatenate([axes, new], axis=1))[0]
        left = left - axes @ (axes.T @ left)
    return [candidates[k] for k in chosen]


def _set_region(network, roi, branches, no_taps, prediction):
    """Set the branches of a region; return their correlation with the whole prediction."""
    first = roi * network.n_branches
    own = slice(first, first + network.n_branches)
    spatial, bandpass = network.branches.spatial.data, network.branches.bandpass.data
    spatial[own], bandpass[own] = 0.0, torch.as_tensor(no_taps).to(bandpass)
    network.branches.mean_power[own], network.branches.log_offset[own] = 1.0, np.inf
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
        network.branches.log_offset[first + i] = float(branch.offset)
        network.kernel.data[roi, i] = torch.as_tensor(kernel).to(spatial)
    # The mean prediction over the volumes is 0.
    network.bias.data[roi] = -float(mean @ weights)
    spread = (features @ weights).std() * prediction.std()
    if not spread:
        return 0.0
    return float(((features @ weights) * (prediction - prediction.mean())).mean() / spread)
