"""What the closed form reads of the EEG in bands, and the spatial filters that readings stand for.

Powers of channels, covariances of principal axes, and the logarithms of both, behind delay kernels.
Weights of these features are quadratic forms in the EEG, for logarithms to first order.
"""

import copy
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from scipy.signal import firwin
from torch import nn

from ..features.covariance import principal_axes
from ..features.hrf import response_basis
from .nets.branches import fir_filters, segment_means

# Covariances are those of the largest principal axes, their logarithms of fewer; with this weight
# of the identity in their whitening.
_MOST_AXES, _LOG_AXES, _SHRINKAGE = 24, 8, 0.3

# Added to relative power, and to whitened covariances, before their logarithm. Those of so many
# segments (2 s) are averaged before.
OFFSET, _AVERAGED = 0.1, 4

# Delay kernels per band.
_MAX_RANK = 2

# Mean covariances are those of so many samples, from all over a study.
_MOST_TIMES = 10**6

# Smaller relative eigenvalues belong to directions without EEG, such as that of the reference.
_RANK_TOLERANCE = 1e-6

_TINY = np.finfo(float).tiny


class Bank(NamedTuple):
    """Filters of the bands, and the training EEG behind them.

    Attributes
    ----------
    taps : list of ndarray, shape (n_taps,)
        FIR filter of each band.
    basis : ndarray, shape (n_lags, n_kernels)
        Delay kernels, newest lag first.
    covariances : ndarray, shape (n_bands, n_channels, n_channels), or None
        Mean covariance of the EEG in each band; None for branches of a known network.
    centers : list of float, or None
        Centers of the bands in Hz; None for branches of a known network.
    """

    taps: list
    basis: np.ndarray
    covariances: np.ndarray | None
    centers: list | None


class Filter(NamedTuple):
    """A spatial filter of a region, its band, and the weights of the delay kernels of its power."""

    spatial: np.ndarray
    band: int
    weights: np.ndarray


class Reading(NamedTuple):
    """EEG as a model reads it.

    Attributes
    ----------
    blocks : list of ndarray, shape (n_volumes, n_features * n_kernels)
        Features of each band.
    units : list of ndarray
        What turns the features of each band into EEG again: for powers the diagonal of a quadratic
        form (n_channels,) for each channel, for covariances axes (n_channels, n_axes).
    scales : list of tuple
        Mean of the features of each band before they were centered (n_features * n_kernels,), and
        the number by which they were divided.
    """

    blocks: list
    units: list
    scales: list


def filter_banks(network, pieces, scale, sfreq, bands, kernels, parts=()):
    """Make filters and delay kernels, and compute the mean covariance in each band.

    Parameters
    ----------
    network : CompactNetwork
        For its sizes and the gain of loud segments.
    pieces : list of Piece
        Training EEG.
    scale : float
        The EEG is divided by this number.
    sfreq : float or None
        Sampling rate in Hz; None for a table of features.
    bands : collection of tuple of float, or of None
        Edges in Hz; None reads all frequencies.
    kernels : sequence of tuple of float
        SD of shift (s) and log stretch of the responses that the delay kernels of a bank span.
    parts : sequence of list of int
        Numbers of the pieces of each part.

    Returns
    -------
    banks : list of list of Bank
        Those of the study, one with each of the kernels, whose covariances are of at most about a
        million samples, then those of each part.
    """
    branches, n_lags = network.branches, network.n_lags
    (n_taps,), n_channels = branches.bandpass.shape[1:], branches.spatial.shape[1]
    if n_taps == 1:  # nothing to filter with
        taps = np.ones((1, 1))
    else:
        taps = np.array([firwin(n_taps, band, fs=sfreq, pass_zero=False) for band in bands])
    if sfreq is None:  # a table of features
        bases = [np.ones((1, 1)) for _ in kernels]
    else:
        ago = branches.margin + (np.arange(n_lags) + 0.5) * branches.segment
        bases = [response_basis(ago / sfreq, shift=sd, stretch=log_sd) for sd, log_sd in kernels]
    counted, n = [], 0
    for k in spread(range(len(pieces))):
        if n < _MOST_TIMES:
            counted.append(k)
            n += pieces[k].eeg.shape[1]
    every = [set(counted), *map(set, parts)]
    totals, n_times = np.zeros((len(every), len(taps), n_channels, n_channels)), [0] * len(every)
    for k, piece in enumerate(pieces):
        where = [i for i, part in enumerate(every) if k in part]
        if not where:
            continue
        for b, (signal, total) in enumerate(_filtered(network, taps, piece, scale)):
            x, gain = _segments(network, signal, total)
            covariance = ((x * gain) @ x.transpose(1, 2)).sum(dim=0).cpu().numpy()
            for i in where:
                totals[i, b] += covariance
        for i in where:
            n_times[i] += len(x) * branches.segment
    centers = [np.mean(band) if band else 0.0 for band in bands]
    return [
        [Bank([*taps], basis, total / n, centers) for basis in bases]
        for total, n in zip(totals, n_times, strict=True)
    ]


def spread(items):
    """Order items so that the first few are far apart."""
    items = list(items)
    order = sorted(range(len(items)), key=lambda k: f"{k:032b}"[::-1])
    return [items[k] for k in order]


def read_bands(network, banks, pieces, scale, kinds, scales=None):
    """Read the EEG in each band behind the delay kernels.

    Parameters
    ----------
    network : CompactNetwork
        For its sizes and the gain of loud segments.
    banks : list of Bank
        Filters and delay kernels; only the kernels may differ.
    pieces : list of Piece
        Training EEG.
    scale : float
        The EEG is divided by this number.
    kinds : sequence of str
        "power" or "log power" of channels, "covariance" or "log covariance" of principal axes.
    scales : list of dict, or None
        For each bank and kind, the ``scales`` of a reading of the training EEG, for new EEG. With
        None, features are centered and scaled to about unit summed variance.

    Returns
    -------
    readings : list of dict of str to Reading
        For each bank, by kind.
    """
    branches, bank = network.branches, banks[0]
    basis = np.hstack([own.basis for own in banks])
    ends = np.cumsum([own.basis.shape[1] for own in banks])[:-1]
    power = np.diagonal(bank.covariances, axis1=1, axis2=2)
    # The power of a silent channel stays 0 instead of a ratio of rounding errors.
    least = np.maximum(_RANK_TOLERANCE**2 * power.max(axis=1, keepdims=True), _TINY)
    power = np.maximum(power, least)
    axes = {
        kind: [_whitener(c, _LOG_AXES if "log" in kind else _MOST_AXES) for c in bank.covariances]
        for kind in kinds
        if "covariance" in kind
    }
    # Filled piece by piece: small arrays that stay, between large ones that go, waste the memory.
    n_volumes, first = sum(len(piece.stops) for piece in pieces), 0
    every = [{kind: [None] * len(bank.taps) for kind in kinds} for _ in banks]
    for piece in pieces:
        rows = slice(first, first + len(piece.stops))
        first = rows.stop
        stops = network.segment_stops(torch.from_numpy(piece.stops)) - 2 * branches.margin
        for b, (signal, total) in enumerate(_filtered(network, bank.taps, piece, scale)):
            stops = stops.to(signal.device)
            gain = branches.gain(segment_means(total, stops, branches.segment))
            if len(axes) < len(kinds):
                means = segment_means(signal.square(), stops, branches.segment) * gain
                means = means.flip(-1).cpu().numpy() / power[b][:, None, None]
            for kind in kinds:
                if kind in axes:
                    z = axes[kind][b].T.astype(np.float32) @ signal.cpu().numpy()
                    covariances = _covariances(z, stops, gain, branches.segment)
                    project = _project_logs if "log" in kind else _project
                    read = np.stack([project(c, basis) for c in covariances])
                else:
                    read = np.log(means + OFFSET) if "log" in kind else means
                    read = (read @ basis).transpose(1, 0, 2)
                for blocks, own in zip(every, np.split(read, ends, axis=2), strict=True):
                    if blocks[kind][b] is None:
                        blocks[kind][b] = np.empty((n_volumes, own[0].size))
                    blocks[kind][b][rows] = own.reshape(len(own), -1)
    readings = []
    for blocks, given in zip(every, scales or [None] * len(banks), strict=True):
        readings.append({})
        for kind in kinds:
            if given is None:
                own = [_center(block) for block in blocks[kind]]
            else:
                own = given[kind]
                for block, (mean, size) in zip(blocks[kind], own, strict=True):
                    block -= mean
                    block /= size
            units = [
                axes[kind][b] / np.sqrt(size) if kind in axes else power[b] * size
                for b, (_, size) in enumerate(own)
            ]
            readings[-1][kind] = Reading(blocks[kind], units, own)
    return readings


def _center(block):
    """Center features and scale them to unit summed variance, in place."""
    mean = block.mean(axis=0)
    block -= mean
    size = np.sqrt(np.einsum("ij,ij->i", block, block).mean())
    if size > _RANK_TOLERANCE:
        block /= size
    else:  # EEG that is silent, or the same all the time
        block[:], size = 0.0, 1.0
    return mean, float(size)


def _whitener(covariance, n_axes):
    """Largest principal axes (n_channels, n_axes), scaled to nearly unit variance."""
    values, vectors = principal_axes(covariance, _RANK_TOLERANCE)
    values, vectors = values[-n_axes:], vectors[:, -n_axes:]
    return vectors / np.sqrt((1 - _SHRINKAGE) * values + _SHRINKAGE * values.mean())


def _covariances(z, stops, gain, length):
    """Yield the covariances of the segments of each volume (n_segments, n_axes, n_axes)."""
    # In NumPy, whose products do not depend on the number of threads here.
    last, where = np.unique(stops.cpu().numpy(), return_inverse=True)
    x = np.lib.stride_tricks.sliding_window_view(z, length, axis=1)[:, last - length]
    x = x.transpose(1, 0, 2)  # (n_segments, n_axes, length)
    every = x @ x.transpose(0, 2, 1) / length
    where, gain = where.reshape(gain.shape)[:, ::-1], gain.flip(-1).cpu().numpy()
    for own, g in zip(where, gain, strict=True):
        yield every[own] * g[:, None, None]


def _project(covariances, basis):
    """Upper triangles of covariances behind the delay kernels (n_pairs, n_kernels)."""
    pairs, factors = _upper(covariances.shape[1])
    values = covariances.reshape(len(covariances), -1)[:, pairs] * factors.astype(covariances.dtype)
    return values.T @ basis.astype(values.dtype)


@cache
def _upper(n):
    """Elements of an upper triangle, and factors that keep the norm of the matrix."""
    i, j = np.triu_indices(n)
    return n * i + j, np.where(i == j, 1.0, np.sqrt(2.0))


def _project_logs(covariances, basis):
    """Upper triangles of the matrix logarithms of averaged covariances."""
    starts = np.arange(0, len(basis), _AVERAGED)
    counts = np.diff(starts, append=len(basis))[:, None, None]
    averages = np.add.reduceat(covariances, starts, axis=0) / counts
    values, vectors = np.linalg.eigh(averages.astype(float))
    logs = (vectors * np.log(np.maximum(values, 0.0) + OFFSET)[:, None]) @ vectors.swapaxes(1, 2)
    return _project(logs, np.add.reduceat(basis, starts, axis=0))


def find_filters(bank, units, weights, n_filters):
    """Spatial filters of a region: eigenvectors of the quadratic forms that a reading is.

    Parameters
    ----------
    bank : Bank
        Filters of the bands.
    units : list of ndarray
        As :func:`read_bands` returns them.
    weights : list of ndarray, shape (n_features * n_kernels,)
        Weights of each band.
    n_filters : int
        Most filters.

    Returns
    -------
    filters : list of Filter
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
                (abs(value), Filter(whiten @ vector, b, value * kernel))
                for value, vector in zip(values, vectors.T, strict=True)
                if value
            ]
    found.sort(key=lambda pair: -pair[0])
    return [filter_ for _, filter_ in found[:n_filters]]


def read_filters(network, bank, filters, offset, pieces, scale, rows=None):
    """Read the power of spatial filters behind the delay kernels.

    Parameters
    ----------
    network : CompactNetwork
        For its sizes and the gain of loud segments.
    bank : Bank
        Filters of the bands and delay kernels.
    filters : list of Filter
        Spatial filters.
    offset : float
        Added to relative power before its logarithm; infinite where power itself is read.
    pieces : list of Piece
        Training EEG.
    scale : float
        The EEG is divided by this number.
    rows : ndarray of int or None
        Volumes to read, counted over the pieces, ascending; None takes all.

    Returns
    -------
    features : ndarray of float32, shape (n_rows, n_filters, n_kernels)
        Features.
    """
    branches = copy.copy(network.branches)
    branches._parameters, branches._buffers = {}, dict(network.branches._buffers)
    like = network.branches.spatial
    n_rows = sum(len(p.stops) for p in pieces) if rows is None else len(rows)
    features = np.empty((n_rows, len(filters), bank.basis.shape[1]), dtype=np.float32)
    if not filters:
        return features
    branches.spatial = nn.Parameter(
        torch.as_tensor(np.array([f.spatial for f in filters])).to(like)
    )
    taps = np.array([bank.taps[f.band] for f in filters])
    branches.bandpass = nn.Parameter(torch.as_tensor(taps).to(like))
    branches.mean_power = like.new_ones(len(filters))
    branches.log_offset = torch.full_like(branches.mean_power, np.inf)
    done = before = 0
    for piece in pieces:
        n = len(piece.stops)
        here = (
            np.arange(n) if rows is None else rows[(rows >= before) & (rows < before + n)] - before
        )
        before += n
        for part in piece.only(here):
            eeg = part.scaled_eeg(scale, like.device)
            stops = network.segment_stops(torch.from_numpy(part.stops).to(like.device))
            with torch.no_grad():
                power = branches.at(eeg, stops).flip(-1).cpu().double() + 1.0
                read = branches.read(power, torch.tensor(offset)).numpy()
            features[done : done + len(stops)] = np.tensordot(read, bank.basis, axes=1)
            done += len(stops)
    return features


def _filtered(network, taps, piece, scale):
    """Yield the EEG of a piece in each band (n_channels, n_times) and its total power (n_times,).

    Half an FIR filter is cut off at both ends.
    """
    margin, eeg = network.branches.margin, piece.scaled_eeg(scale, network.kernel.device)
    stop = eeg.shape[1] - margin
    total = network.branches.total_power(eeg)
    bands = torch.as_tensor(np.array(taps)).to(eeg)[:, None]
    for signal in fir_filters(eeg, bands):
        yield signal[:, margin:stop], total


def _segments(network, signal, total):
    """Cut a signal into segments (n_segments, n_channels, segment), and compute their gains."""
    segment = network.branches.segment
    n_segments = len(total) // segment
    first = len(total) - n_segments * segment
    x = signal[:, first:].unflatten(1, (n_segments, segment)).transpose(0, 1)
    gain = network.branches.gain(total[first:].unflatten(0, (n_segments, segment)).mean(dim=1))
    return x, gain[:, None, None]
