"""WholeBrainRegressor: what the closed form reads of the EEG, for thousands of targets."""

from dataclasses import KW_ONLY, dataclass
from itertools import groupby
from operator import itemgetter
from typing import ClassVar

import numpy as np
import torch
from scipy.special import logsumexp, softmax
from sklearn.utils import gen_batches
from sklearn.utils._param_validation import StrOptions
from threadpoolctl import threadpool_limits

from ..eeg.base import EEGRegressor
from .architectures import Compact
from .batches import cut_pieces, eeg_scale
from .closed_form import bands_of, read_models, shares_of, training_data
from .nets.compact import CompactNetwork
from .prediction import check_new_eeg
from .readings import Bank, read_bands

# Targets whose parts by band are computed at a time.
_MOST_TARGETS = 2048


@dataclass(repr=False, eq=False)
class WholeBrainRegressor(EEGRegressor):
    """Predict the BOLD of hundreds of parcels, or of all voxels.

    It reads the EEG as :class:`BEIRARegressor` does (powers and covariances in bands, and their
    logarithms, behind delay kernels) and averages the same models, but rewrites none as branches.
    Time and memory grow with the number of targets so slowly that the voxels of a brain can be
    fitted together.

    Parameters
    ----------
    bands : dict of str to tuple of float, or "default"
        As of :class:`Compact`.
    n_taps, segment : int
        As of :class:`Compact`. The defaults are for EEG sampled at 100 Hz.

    Attributes
    ----------
    bands_ : list of str
        Names of the bands.
    band_shares_ : ndarray of float32, shape (n_rois, n_bands)
        Share of each band in the variance of the prediction for the training volumes.
    best_band_ : ndarray of str, shape (n_rois,)
        The band with the largest share; empty if a target is constant.
    best_delay_ : ndarray, shape (n_rois,)
        Delay in s, from EEG to BOLD, that weighs most in this band; NaN if a target is constant.
    eeg_scale_ : float
        Standard deviation of the training EEG in V.
    target_mean_, target_scale_ : ndarray, shape (n_rois,)
        Mean and standard deviation of the training BOLD.
    region_names_ : list of str or None
        Names of the regions, if y was a DataFrame.
    readings_ : list of dict
        What ``predict`` needs: filters, features of the training volumes, and their weights.
    n_features_in_ : int
        Number of channels.
    ch_names_in_ : list of str or None
        Names of the channels, if X has names.

    See Also
    --------
    BEIRARegressor : Has branches that can be read, for up to dozens of regions.
    sklearn_beira.map_brain : Where in the brain EEG predicts BOLD.

    Notes
    -----
    Variances of bands and noise are searched for the 32 targets that differ most. Every other
    target takes those variances, of the ones found, that make its BOLD most likely; one pass band
    is found for all. Up to 32 targets are therefore fitted each on its own, but for the spectrum of
    their noise in studies of more than 720 volumes, which targets share if theirs is alike. Of such
    studies powers of channels are read, and no covariances. Fast BOLD is averaged as in
    :class:`BEIRARegressor`, and averages count as volumes.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_beira import EEGWindows, WholeBrainRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = EEGWindows.from_array(rng.standard_normal((40, 4, 400)), sfreq=100.0)
    >>> model = WholeBrainRegressor().fit(X, rng.standard_normal((40, 500)))
    >>> model.predict(X).shape
    (40, 500)
    """

    _parameter_constraints: ClassVar[dict] = {
        "bands": [dict, StrOptions({"default"})],
        "n_taps": Compact._parameter_constraints["n_taps"],
        "segment": Compact._parameter_constraints["segment"],
    }

    bands: dict | str = "default"
    _: KW_ONLY
    n_taps: int = 101
    segment: int = 50

    # Thousands of small matrix products, which a second thread of BLAS or torch would slow down.
    @threadpool_limits.wrap(limits=1)
    def _fit(self, X, y):
        sizes = Compact(bands=self.bands, n_taps=self.n_taps, segment=self.segment)
        sizes._check()
        sizes._check_windows(X)
        self._n_times, self._window = X.shape[2], X._describe_window()
        self.eeg_scale_ = eeg_scale(X)
        self.target_mean_, self.target_scale_ = y.mean(axis=0), y.std(axis=0)
        self.target_scale_[self.target_scale_ == 0] = 1.0
        y = (y - self.target_mean_) / self.target_scale_
        network = self._make_reader()
        sfreq, bands, narrow = bands_of(network, X, self.bands)
        data, _ = training_data(network, X, y, self.eeg_scale_)
        self._power_limit = float(network.branches.power_limit)

        self.readings_, evidence, within, seen = [], [], [], {}
        before, number = None, -1
        models = read_models(network, data, self.eeg_scale_, sfreq, bands, narrow)
        for bank, _, _, read in models:
            number += bank is not before
            before, own = bank, []
            for kind in [*read]:
                blocks, _, scales = read.pop(kind)
                weighed, found = _weigh(blocks, data, seen)
                own.append(found)
                what = {"model": number, "kind": kind, "scales": scales}
                self.readings_.append(what | bank._asdict() | weighed)
            evidence.append(logsumexp(own, axis=0))
            within.append(softmax(own, axis=0))
        shares = shares_of(evidence)
        weights = np.concatenate([s * own for s, own in zip(shares, within, strict=True)])
        for reading, weight in zip(self.readings_, weights, strict=True):
            reading["weights"] *= weight.astype(np.float32)
        self.readings_ = [reading for reading in self.readings_ if reading["weights"].any()]
        self._describe(bands, sfreq, X.tmax)
        for reading in self.readings_:
            if not reading["is_dual"]:
                del reading["features"]

    def _predict(self, X):
        check_new_eeg(self, X)
        network, pieces = self._make_reader(), cut_pieces(X)
        network.branches.power_limit.fill_(self._power_limit)
        y = np.zeros((len(X), len(self.target_mean_)))
        # Readings of the same bands and delay kernels read the EEG together.
        for _, group in groupby(self.readings_, key=itemgetter("model")):
            own = list(group)
            bank = Bank(*(own[0][name] for name in Bank._fields))
            scales = {reading["kind"]: reading["scales"] for reading in own}
            (read,) = read_bands(network, [bank], pieces, self.eeg_scale_, [*scales], [scales])
            for reading in own:
                for b, block in enumerate(read[reading["kind"]].blocks):
                    for some in gen_batches(y.shape[1], _MOST_TARGETS):
                        y[:, some] += _part(reading, b, block, some)
        rows = np.concatenate([piece.rows for piece in pieces])
        return y[np.argsort(rows)] * self.target_scale_ + self.target_mean_

    def _make_reader(self):
        sizes = {"n_branches": 1, "n_taps": self.n_taps, "segment": self.segment}
        with torch.random.fork_rng(devices=[]):
            return CompactNetwork(self.n_features_in_, 1, self._n_times, **sizes)

    def _describe(self, bands, sfreq, tmax):
        """Find the shares of the bands, and the best band and delay of each target."""
        n_targets = len(self.target_mean_)
        n = len(self.readings_[0]["features"][0]) if self.readings_ else 0
        centers = np.array([np.mean(edges) if edges else 0.0 for edges in bands.values()])
        self.bands_ = [*bands]
        self.band_shares_ = np.zeros((n_targets, len(bands)), dtype=np.float32)
        self.best_delay_ = np.full(n_targets, np.nan)
        for some in gen_batches(n_targets, _MOST_TARGETS):
            size = some.stop - some.start
            parts, most = np.zeros((len(bands), n, size), dtype=np.float32), np.zeros(size)
            for reading in self.readings_:
                own = []
                for b, block in enumerate(reading["features"]):
                    part = _part(reading, b, block, some)
                    own.append(part.var(axis=0))
                    parts[np.abs(centers - reading["centers"][b]).argmin()] += part
                # The delay is that of the largest band of the model with most of the prediction.
                total, best = np.sum(own, axis=0), np.argmax(own, axis=0)
                for b in np.unique(best[total > most]):
                    which = some.start + np.flatnonzero((total > most) & (best == b))
                    peaks = np.abs(reading["basis"] @ _kernels(reading, b, which)).argmax(axis=0)
                    ago = self.n_taps // 2 + (peaks + 0.5) * self.segment
                    self.best_delay_[which] = ago / (sfreq or np.nan) - tmax
                most = np.maximum(most, total)
            if n:
                whole = np.maximum(parts.sum(axis=0).var(axis=0), np.finfo(np.float32).tiny)
                self.band_shares_[some] = (parts.var(axis=1) / whole).T
        best = np.array(self.bands_)[self.band_shares_.argmax(axis=1)]
        self.best_band_ = np.where(self.band_shares_.any(axis=1), best, "")


def _weigh(blocks, data, seen):
    """Fit a reading; return features and weights, and the evidence of each target.

    The weights are those of the training volumes in the inner products of features: of each band,
    the prediction is ``new features @ features.T @ (weights * variances of the band)``. In a long
    study, features are fewer than volumes, and the weights are those of features.
    """
    n, n_targets = data.y.shape
    widths = [block.shape[1] for block in blocks]
    n_rows = sum(widths) if data.is_long else n
    weights = np.zeros((n_rows, n_targets), dtype=np.float32)
    variances = np.zeros((len(blocks), n_targets), dtype=np.float32)
    evidence = np.zeros(n_targets)
    for group in data.groups(blocks, seen):
        own = group.targets
        weights[:, own] = group.coef(blocks) if data.is_long else group.dual
        variances[:, own] = group.variances[:, None]
        evidence[own] = group.evidence
    features = [block.astype(np.float32) for block in blocks]
    stops = np.cumsum(widths).tolist()
    model = {"features": features, "weights": weights, "variances": variances, "stops": stops}
    return {**model, "is_dual": not data.is_long}, evidence


def _part(reading, b, block, targets):
    """What a band adds to the prediction of targets, from its features (n_volumes, n_features)."""
    if reading["is_dual"]:
        block = block @ reading["features"][b].T
        weights = reading["weights"][:, targets] * reading["variances"][b, targets]
    else:
        weights = reading["weights"][_rows(reading, b), targets]
    return block @ weights.astype(block.dtype)


def _kernels(reading, b, targets):
    """Delay kernels (n_kernels, n_targets) that carry most of a band's prediction, as weights."""
    n_kernels = reading["basis"].shape[1]
    if reading["is_dual"]:
        coef = reading["features"][b].T @ reading["weights"][:, targets]
    else:
        coef = reading["weights"][_rows(reading, b)][:, targets]
    coef = coef.reshape(-1, n_kernels, len(targets))
    return np.linalg.eigh(np.einsum("fkt,flt->tkl", coef, coef))[1][:, :, -1].T


def _rows(reading, b):
    return slice(*[0, *reading["stops"]][b : b + 2])
