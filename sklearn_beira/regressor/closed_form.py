"""Closed form of the compact network: linear models of the EEG in bands, rewritten as branches.

BOLD is a linear function of what :mod:`sklearn_beira.regressor.readings` reads of the EEG in a few
bands behind a few delay kernels. The weights come from :mod:`sklearn_beira.regressor.reml`. For
each region and band they are a quadratic form in the EEG, for logarithms to first order. Its
eigenvectors, relative to the covariance of the EEG in the band, are spatial filters with
uncorrelated outputs, the candidates for branches. Models of power and of its logarithm are averaged
by the square root of their evidence.
"""

from typing import NamedTuple

import numpy as np
import torch
from scipy.special import logsumexp, softmax
from sklearn.utils import Bunch
from threadpoolctl import threadpool_limits

from ..eeg.rows import repetition_time, rows_in_time
from ..features.bands import BRANCH_BANDS, NARROW_BANDS, bands_within
from .batches import cut_pieces
from .readings import OFFSET, Bank, filter_banks, find_filters, read_bands, read_filters, spread
from .reml import PRIOR, fit_groups, fit_reml, is_long

# Segments whose total power exceeds this multiple of the median are scaled down to it.
_LOUD = 3.0

# SD of shift (s) and log stretch of the responses that the delay kernels span; the wide ones have
# peaks up to about 12 s.
_USUAL, _WIDE = (1.5, 0.15), (3.5, 0.4)

# BOLD of faster sequences is averaged to about one value in so many s. BOLD is slow, so little is
# lost, and the cost of a fit grows with the square of the number of volumes.
_SPACING = 2.0

# In long studies covariances are read in at most so many parts of so many volumes, and branches are
# compared on so many volumes. Filters per reading.
_PARTS, _PART, _MAX_VOLUMES, _PER_READING = 3, 400, 500, 8

# Exponent of the evidence: the models read the same EEG, and take their variances from the same
# BOLD. Models with smaller shares than the second number are left out.
_TRUST, _NO_SHARE = 0.5, 0.02

# The same as PRIOR, if there is a pretrained network: own data add little unless they say much.
_LITTLE = (-5.5, 1.0)

# Ridge penalty, in mean squares of the features, on changes of the kernels that make up for
# branches that are left out.
_FIRM = 3.0

# In choosing branches, directions of an envelope behind its kernels below this share of its size
# are none, and so is a rest of the prediction below the second number.
_MINOR, _NEGLIGIBLE = 0.3, 1e-3

_TINY = np.finfo(float).tiny


class _Branch(NamedTuple):
    """A candidate for a branch.

    Attributes
    ----------
    spatial : ndarray, shape (n_channels,)
        Spatial filter, whose output in the band has a mean power of 1.
    bank : Bank
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
    bank: Bank
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
    recording, steps = X.groups[rows], np.diff(X.times[rows])
    same = recording[1:] == recording[:-1]
    forward = steps[same & (steps > 0)]
    t_r = np.median(forward) if len(forward) else 1.0
    elapsed = np.r_[np.inf, np.where(same, steps / t_r, np.inf)]
    return elapsed, (recording[:, None] == np.unique(recording)).astype(float), t_r


def average_volumes(X, y):
    """Average the BOLD of a fast sequence around every second, third, ... volume.

    The delay kernels are so smooth that the EEG of the volume in the middle stands for all of an
    average.

    Parameters
    ----------
    X : EEGWindows
        Training EEG.
    y : ndarray, shape (n_volumes, n_rois)
        BOLD.

    Returns
    -------
    X, y : EEGWindows, ndarray
        Fewer volumes; the same ones if no sequence is fast, if times are unknown, or of a table.
    """
    if not X.has_times or X.shape[2] == 1:  # features in a table need not be smooth
        return X, y
    chosen, averages = [], []
    for rows in rows_in_time(X.groups, X.times):
        t_r = repetition_time(X.groups[rows], X.times[rows])
        step = round(_SPACING / t_r) if t_r else 1
        if step < 2 or len(rows) < 2:
            chosen.append(rows)
            averages.append(y[rows])
            continue
        times = X.times[rows] / t_r
        # The first volume of each stretch of so many repetition times.
        firsts = np.unique((times - times[0] + 0.5) // step, return_index=True)[1]
        chosen.append(rows[firsts])
        total, weights = 0.0, 0.0
        for lag in range(-(step // 2), step // 2 + 1):
            near = np.clip(firsts + lag, 0, len(rows) - 1)
            apart = np.abs(times[near] - times[firsts])
            weight = np.clip((step + 1) / 2 - apart, 0.0, 1.0) * (near == firsts + lag)
            total, weights = total + weight[:, None] * y[rows[near]], weights + weight
        averages.append(total / weights[:, None])
    if sum(map(len, chosen)) == len(y):
        return X, y
    return X[np.concatenate(chosen)], np.concatenate(averages)


class TrainingData(NamedTuple):
    """What the models are fitted to.

    Attributes
    ----------
    y : ndarray, shape (n_volumes, n_rois)
        BOLD.
    elapsed, constants : ndarray
        As :func:`time_of_volumes` returns them.
    pieces : list of Piece
        EEG of the volumes.
    known : ndarray, shape (n_volumes, n_rois)
        Part of the BOLD that a known network predicts.
    prior : tuple of float
        Expected log variance of a band, relative to the noise, and the precision of that.
    some : ndarray of int
        Volumes on which branches are compared.
    """

    y: np.ndarray
    elapsed: np.ndarray
    constants: np.ndarray
    pieces: list
    known: np.ndarray
    prior: tuple
    some: np.ndarray

    def fit(self, blocks, rois=slice(None), seen=None):
        """Fit blocks of features to regions."""
        y, known = self.y[:, rois], self.known[:, rois]
        return fit_reml(blocks, y, self.elapsed, self.constants, self.prior, known, seen)

    def groups(self, blocks, seen=None):
        """Fit blocks of features to all regions, in groups of the same variances."""
        data = self.y, self.elapsed, self.constants, self.prior
        return fit_groups(blocks, *data, seen=seen)

    @property
    def is_long(self):
        """Whether there are too many volumes to read covariances in all of them."""
        return is_long(len(self.y))

    def parts(self):
        """Yield parts of a long study: numbers of pieces from all over it, and their data."""
        stops = np.cumsum([len(piece.stops) for piece in self.pieces])
        starts = np.r_[0, stops[:-1]]
        if not self.is_long:
            return
        n_parts = min(_PARTS, len(self.pieces), -(-stops[-1] // _PART))
        for first in range(n_parts):
            chosen, n = [], 0
            for k in spread(range(first, len(self.pieces), n_parts)):
                if n + len(self.pieces[k].stops) <= _PART or not chosen:
                    chosen.append(k)
                    n += len(self.pieces[k].stops)
            chosen.sort()
            rows = np.concatenate([np.arange(starts[k], stops[k]) for k in chosen])
            elapsed, constants = self.elapsed[rows].copy(), self.constants[rows]
            elapsed[np.r_[True, np.diff(rows) > 1]] = np.inf
            part = self._replace(
                y=self.y[rows],
                elapsed=elapsed,
                constants=constants[:, constants.any(axis=0)],
                pieces=[self.pieces[k] for k in chosen],
                known=self.known[rows],
            )
            yield chosen, part


def bands_of(network, X, bands):
    """Find the sampling rate, and the bands that models of power and of its logarithm read.

    A table has no time to filter in: its rate is None.
    """
    sfreq = None if X.shape[2] == 1 else X.sfreq
    if network.branches.bandpass.shape[1] == 1:
        return sfreq, {"all": None}, {"all": None}
    return sfreq, *(bands_within(bands, sfreq, default) for default in (BRANCH_BANDS, NARROW_BANDS))


def _models_of(is_long, sfreq, bands, narrow):
    """List the models that are averaged, by what they read together.

    Narrow bands, wide kernels, and covariances of all volumes are too many numbers in long studies.

    Parameters
    ----------
    is_long : bool
        Whether the study is long.
    sfreq, bands, narrow : float or None, dict, dict
        As :func:`bands_of` returns them.

    Returns
    -------
    models : list of tuple, (bands, kernels, offsets)
        One model for each set of delay kernels and each number that is added to power before its
        logarithm (infinite: power itself is read).
    """
    kernels = [_USUAL] if is_long or sfreq is None else [_USUAL, _WIDE]
    models = [(bands, kernels, [np.inf, OFFSET])]
    if not is_long and [*narrow.values()] != [*bands.values()]:
        models.append((narrow, kernels, [OFFSET]))
    return models


def training_data(network, X, y, scale):
    """Collect what models are fitted to, and set the power of segments that the network limits.

    Parameters
    ----------
    network : CompactNetwork
        Its power limit is changed in place.
    X : EEGWindows
        Training EEG in V.
    y : ndarray, shape (n_volumes, n_rois)
        Standardized BOLD.
    scale : float
        The EEG is divided by this number.

    Returns
    -------
    data : TrainingData
        Data.
    t_r : float
        Repetition time in s.
    """
    X, y = average_volumes(X, y)
    pieces = cut_pieces(X)
    rows = np.concatenate([piece.rows for piece in pieces])
    elapsed, constants, t_r = time_of_volumes(X, rows)
    network.branches.power_limit.fill_(_LOUD * _median_power(network, pieces, scale))
    n = _MAX_VOLUMES if is_long(len(rows)) else len(rows)
    some = np.unique(np.linspace(0, len(rows) - 1, n).astype(int))
    zeros = np.broadcast_to(0.0, y.shape)
    return TrainingData(y[rows], elapsed, constants, pieces, zeros, PRIOR, some), t_r


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
        ``autocorrelation`` (n_rois,) of the noise in the model of power (of fast sequences, here
        and below, of averages of volumes); ``pass_band`` (n_rois, 2) in Hz, where BOLD has
        power; ``kept`` (n_rois,), the correlation over training volumes of the prediction by the
        branches with that by all candidates.
    """
    sfreq, bands, narrow = bands_of(network, X, bands)
    data, t_r = training_data(network, X, y, scale)
    y, pieces, some = data.y, data.pieces, data.some
    weight = np.zeros(y.shape[1])
    if known is not None:
        ((bank,),) = filter_banks(network, pieces, scale, sfreq, bands.values(), [_USUAL])
        others = _known_features(known, network.branches.power_limit, pieces, scale)
        predicted = others.sum(axis=2)
        weight = _weight_of_known(network, bank, data, predicted, scale)
        data = data._replace(known=weight * predicted, prior=_LITTLE)
    fit, candidates = _fit_models(network, data, scale, sfreq, bands, narrow)
    if known is not None:
        for roi, found in enumerate(candidates):
            found += _known_branches(known, roi, weight[roi], others[some, roi])
    kept, shares = np.zeros(y.shape[1]), np.zeros((y.shape[1], len(bands)))
    centers = [np.mean(edges) if edges else 0.0 for edges in bands.values()]
    for roi, found in enumerate(candidates):
        parts = np.zeros((len(bands), len(some)))
        for branch in found:
            if branch.center is not None:
                parts[np.abs(np.subtract(centers, branch.center)).argmin()] += branch.part
        prediction = sum((branch.part for branch in found), np.zeros(len(some)))
        shares[roi] = np.var(parts, axis=1) / max(prediction.var(), _TINY)
        chosen = _choose(found, network.n_branches)
        no_taps = found[0].taps if found else np.ones(network.branches.bandpass.shape[1])
        kept[roi] = _set_region(network, roi, chosen, no_taps, prediction)
    return Bunch(
        bands=list(bands),
        shares=shares,
        known=weight,
        autocorrelation=fit.autocorrelation,
        pass_band=fit.pass_band.T / t_r,
        kept=kept,
    )


def _fit_models(network, data, scale, sfreq, bands, narrow):
    """Fit models of power and of its logarithm, and average them by their evidence."""
    first, evidence, models, seen, parts = None, [], [], {}, [*data.parts()]
    own = bands, narrow, [pieces for pieces, _ in parts]
    for bank, part_banks, offset, read in read_models(network, data, scale, sfreq, *own):
        keeps_weights = data.is_long and np.isinf(offset)
        n_filters = 2 * network.n_branches if keeps_weights else _PER_READING
        fit, filters = _find_filters(bank, read, data, seen, n_filters)
        read.clear()  # not to be held beside the readings of parts
        if np.isfinite(offset):
            for (_, part), part_bank in zip(parts, part_banks, strict=True):
                logs = ["log covariance"]
                (of_part,) = read_bands(network, [part_bank], part.pieces, scale, logs)
                _, more = _find_filters(part_bank, of_part, part, {})
                filters = [old + new for old, new in zip(filters, more, strict=True)]
        evidence.append(fit.evidence)
        models.append((bank, offset, filters))
        first = first or fit
    averaged = [[] for _ in data.y.T]
    shares = shares_of(evidence)
    for of_rois, (bank, offset, filters) in zip(shares, models, strict=True):
        filters = [own if share else [] for share, own in zip(of_rois, filters, strict=True)]
        branches = _make_branches(network, bank, offset, filters, data, scale, seen)
        for mine, share, own in zip(averaged, of_rois, branches, strict=True):
            mine += [branch._replace(weights=share * branch.weights) for branch in own]
    return first, averaged


def read_models(network, data, scale, sfreq, bands, narrow, parts=()):
    """Read the EEG for each of the models that are averaged.

    Parameters
    ----------
    network, data, scale, sfreq, bands, narrow, parts : object
        As in :func:`filter_banks`, :func:`training_data` and :func:`bands_of`.

    Yields
    ------
    bank, part_banks : Bank, list of Bank
        Filters and delay kernels, and those of each part.
    offset : float
        Added to power before its logarithm; infinite where power itself is read.
    readings : dict of str to Reading
        What the model reads, by kind. Clear what has been used, to save memory.
    """
    for own, kernels, offsets in _models_of(data.is_long, sfreq, bands, narrow):
        edges = own.values()
        banks, *of_parts = filter_banks(network, data.pieces, scale, sfreq, edges, kernels, parts)
        kinds = [kind for offset in offsets for kind in _kinds_of(offset, data.is_long)]
        readings = read_bands(network, banks, data.pieces, scale, kinds)
        for read, bank, *part_banks in zip(readings, banks, *of_parts, strict=True):
            for offset in offsets:
                here = {kind: read.pop(kind) for kind in _kinds_of(offset, data.is_long)}
                yield bank, part_banks, offset, here


def shares_of(evidence):
    """Compute the shares of models in the average (n_models, n_targets) from their evidence."""
    shares = softmax(_TRUST * np.array(evidence), axis=0)
    shares[shares < _NO_SHARE] = 0.0
    return shares / shares.sum(axis=0)


def _kinds_of(offset, is_long):
    """Name what a model reads of the EEG."""
    kinds = ["power"] if is_long else ["covariance", "power"]
    return kinds if np.isinf(offset) else [f"log {kind}" for kind in kinds]


def _find_filters(bank, readings, data, seen, n_filters=_PER_READING):
    """Find filters of each region in readings of the EEG, and the evidence for these."""
    filters, evidence = [[] for _ in data.y.T], []
    for blocks, units, _ in readings.values():
        fit = data.fit(blocks, seen=seen)
        evidence.append(fit.evidence)
        for roi, own in enumerate(_weights_of(fit, blocks)):
            filters[roi] += find_filters(bank, units, own, n_filters)
    # The evidence is that of the readings: filters were chosen knowing the BOLD.
    fit.evidence = logsumexp(evidence, axis=0)
    return fit, filters


def _weights_of(fit, blocks):
    """Return the weights of each block, for each region."""
    ends = np.cumsum([block.shape[1] for block in blocks])[:-1]
    return [np.split(coef, ends) for coef in fit.coef.T]


def _make_branches(network, bank, offset, filters, data, scale, seen):
    """Make each region's candidates for branches from its filters, weighed anew by their envelopes.

    In long studies filters of power keep the weights of their reading.
    """
    as_read = data.is_long and np.isinf(offset)
    rows = data.some if as_read else None
    every = [f for found in filters for f in found]
    envelopes = read_filters(network, bank, every, offset, data.pieces, scale, rows)
    candidates, first = [], 0
    for roi, found in enumerate(filters):
        features = envelopes[:, first : first + len(found)].astype(float)
        first += len(found)  # (n_volumes, n_filters, n_kernels)
        weights = [f.weights for f in found]
        if found and not as_read:
            weights = _weigh_envelopes(features, weights, data, roi, seen)
            features = features[data.some]
        candidates.append(
            [
                _Branch(f.spatial, bank, f.band, offset, own, features[:, i])
                for i, (f, own) in enumerate(zip(found, weights, strict=True))
            ]
        )
    return candidates


def _weigh_envelopes(features, weights, data, roi, seen):
    """Weigh a region's envelopes (n_volumes, n_filters, n_kernels), given their earlier weights."""
    centered = features - features.mean(axis=0)
    norms = np.sqrt(np.square(centered).sum(axis=2).mean(axis=0))
    # Filters that carry more of the readings are expected to matter more.
    parts = np.einsum("vfk,fk->vf", centered, weights).std(axis=0)
    size = parts / np.maximum(norms, _TINY)
    size /= np.sqrt(np.square(size * norms).sum()) or 1.0
    block = (centered * size[:, None]).reshape(len(features), -1)
    coef = data.fit([block], [roi], seen).coef[:, 0]
    return coef.reshape(len(weights), -1) * size[:, None]


def _weight_of_known(network, bank, data, predicted, scale):
    """Weigh the prediction of a known network in each region, beside powers of channels."""
    (reading,) = read_bands(network, [bank], data.pieces, scale, ["power"])
    blocks = reading["power"].blocks
    # The expected weight is 1.
    data, weights = data._replace(known=predicted, prior=_LITTLE), []
    for roi in range(predicted.shape[1]):
        feature = predicted[:, [roi]]
        fit = data.fit([*blocks, feature - feature.mean()], [roi])
        weights.append(1.0 + fit.coef[-1, 0])
    return np.array(weights)


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
        Bank([taps], kernel[:, None], None, None)
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


def _choose(candidates, n_branches):
    """Choose branches one by one: next, the one that carries most of what is left.

    The envelopes of a chosen branch are regressed out of the parts of all, so that little is left
    of a second copy of a source.
    """
    if not candidates:
        return []
    left = np.array([branch.part - branch.part.mean() for branch in candidates])
    total = left.sum(axis=0)
    chosen, axes, least = [], np.zeros((len(total), 0)), _NEGLIGIBLE**2 * (total @ total)
    while len(chosen) < min(n_branches, len(candidates)) and total @ total > least:
        k = int((left @ total).argmax())
        chosen.append(candidates[k])
        features = candidates[k].features - candidates[k].features.mean(axis=0)
        u, size, _ = np.linalg.svd(features - axes @ (axes.T @ features), full_matrices=False)
        u = u[:, size > _MINOR * np.linalg.norm(features)]
        axes = np.concatenate([axes, u], axis=1)
        left -= (left @ u) @ u.T
        left[k] = 0.0
        total = left.sum(axis=0)
    return chosen


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
    features, prediction = features - mean, prediction - prediction.mean()
    weights = np.concatenate([branch.weights for branch in branches])
    # Kernels change a little to make up for the branches that are left out.
    gram = features.T @ features
    gram.flat[:: len(gram) + 1] += _FIRM * np.trace(gram) / len(gram) + _TINY
    weights += np.linalg.solve(gram, features.T @ (prediction - features @ weights))
    fitted = features @ weights
    weights *= fitted @ prediction / max(fitted @ fitted, _TINY)
    cuts = np.cumsum([branch.features.shape[1] for branch in branches])[:-1]
    for i, (branch, own) in enumerate(zip(branches, np.split(weights, cuts), strict=True)):
        spatial[first + i] = torch.as_tensor(branch.spatial).to(spatial)
        bandpass[first + i] = torch.as_tensor(branch.taps).to(bandpass)
        network.branches.log_offset[first + i] = float(branch.offset)
        network.kernel.data[roi, i] = torch.as_tensor(branch.basis @ own).to(spatial)
    # The mean prediction over the volumes is 0.
    network.bias.data[roi] = -float(mean @ weights)
    size = fitted.std() * prediction.std()
    return float((fitted * prediction).mean() / size) if size else 0.0
