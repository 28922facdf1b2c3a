"""Covariances of EEG in frequency bands, for SPoC and for the Riemannian tangent space."""

from dataclasses import KW_ONLY, dataclass
from numbers import Integral, Real
from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import TransformerMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from .._utils.extras import import_extra
from ..eeg.base import EEGEstimator, EEGTransformer
from ..eeg.checks import check_eeg
from ..eeg.windows import EEGWindows
from .band_power import Bands
from .bands import BandTransformer, filter_bands
from .hrf import hrf_at, normalized_weights

# Directions with less than this share of the largest variance are not in the data: the one that an
# average reference removes, interpolated channels.
_RANK = 1e-8


@dataclass(repr=False, eq=False)
class BandCovariance(BandTransformer, auto_wrap_output_keys=None):
    r"""Covariance between channels in frequency bands, weighted with the hemodynamic response.

    .. math:: C_b = \sum_t h(\text{lag}_t) \, x_b(t) x_b(t)^\top / \sum_t h(\text{lag}_t)

    over the window, where :math:`x_b` is the EEG filtered to band b (zero mean by the filter) and
    h is the positive part of Glover's response. EEG is filtered, and features are kept, as by
    :class:`~sklearn_beira.features.BandPower`.

    Parameters
    ----------
    bands : dict of str to tuple of float, "default" or None
        As in :class:`~sklearn_beira.features.BandPower`.
    n_jobs : int or None
        Number of threads, one for each recording.

    Attributes
    ----------
    bands_ : dict
        The bands used.
    weights_ : ndarray, shape (n_times,)
        Weight of each sample of the window; they sum to 1.
    n_features_in_ : int
        Number of channels.
    ch_names_in_ : list of str or None
        Their names, where X has names.

    Notes
    -----
    pyRiemann's estimators of matrices take ``(n_matrices, n_channels, n_channels)``: one band,
    ``BandCovariance({"alpha": (8, 12)}).fit_transform(X)[:, 0]``. Those of signals, such as its
    ``Covariances``, take ``np.asarray(X)``. In a Pipeline, put a ``FunctionTransformer`` with
    either between.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_beira import EEGWindows
    >>> from sklearn_beira.features import BandCovariance
    >>> eeg = np.random.default_rng(0).standard_normal((5, 8, 2000))
    >>> X = EEGWindows.from_array(eeg, sfreq=100.0)
    >>> BandCovariance({"alpha": (8, 12)}).fit_transform(X).shape
    (5, 1, 8, 8)
    """

    _parameter_constraints: ClassVar[dict] = {"n_jobs": [Integral, None]}

    bands: Bands = "default"
    _: KW_ONLY
    n_jobs: int | None = None

    def _fit_window(self, X):
        self.weights_ = self._weights(X)

    set_output = EEGTransformer.set_output  # covariances are no table either

    def transform(self, X: EEGWindows | ArrayLike) -> np.ndarray:
        """Compute the covariances.

        Parameters
        ----------
        X : EEGWindows or array-like, shape (n_samples, n_channels, n_times)
            EEG in V.

        Returns
        -------
        covariances : ndarray of shape (n_samples, n_bands, n_channels, n_channels)
            Covariances in V².
        """
        check_is_fitted(self)
        X = self._check_input(X, reset=False)
        weights = self._weights(X)
        if len(weights) != len(self.weights_) or not np.allclose(weights, self.weights_):
            raise ValueError(
                f"X has windows of {len(weights)} samples with other weights than the "
                f"{len(self.weights_)} samples in fit; use the same window and sampling rate."
            )
        return self._rows(X, _covariances, weights=weights)

    def _rate(self, X):
        if self.bands_ == {"power": None} and X.shape[2] == 1:
            return 1.0  # nothing is measured in seconds
        return X.sfreq

    def _weights(self, X):
        n_times = X.shape[2]
        if n_times == 1:
            return np.ones(1)
        lags = (n_times - 0.5 - np.arange(n_times)) / self._rate(X) - X.tmax
        return normalized_weights(np.maximum(hrf_at(lags), 0.0), lags)


@dataclass(repr=False, eq=False)
class BandTangentSpace(TransformerMixin, EEGEstimator):
    """Covariances in frequency bands, as vectors in the tangent space at their mean.

    The covariances of :class:`BandCovariance` are projected on the principal components of the mean
    training covariance, so that they have full rank even after an average reference. pyRiemann
    maps them to the tangent space.

    Parameters
    ----------
    bands : dict of str to tuple of float, "default" or None
        As in :class:`~sklearn_beira.features.BandPower`.
    n_components : int
        Number of principal components per band, at most the rank of the data.
    shrinkage : float
        Multiple of the identity that is added to each covariance, relative to the mean variance of
        the components in the training data.
    metric : {"riemann", "logeuclid"}
        Metric of the mean and of the tangent space.

    Attributes
    ----------
    projections_ : list of ndarray, each of shape (n_channels, n_kept)
        Principal components of each band.
    spaces_ : list of pyriemann.tangentspace.TangentSpace
        Tangent space of each band.
    n_features_in_ : int
        Number of channels.
    ch_names_in_ : list of str or None
        Their names, where X has names.

    Notes
    -----
    Needs pyRiemann: ``pip install "sklearn-beira[baselines]"``.

    References
    ----------
    Sabbagh et al. (2020), Predictive regression modeling with MEG/EEG: from source power to
    signals and cognitive states, NeuroImage 222.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_beira import EEGWindows
    >>> from sklearn_beira.features import BandTangentSpace
    >>> eeg = np.random.default_rng(0).standard_normal((20, 8, 2000))
    >>> X = EEGWindows.from_array(eeg, sfreq=100.0)
    >>> space = BandTangentSpace({"alpha": (8, 12)}, n_components=4)
    >>> space.fit_transform(X).shape  # 4 components have 10 variances and covariances
    (20, 10)
    """

    _parameter_constraints: ClassVar[dict] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "shrinkage": [Interval(Real, 0, None, closed="neither")],
        "metric": [StrOptions({"riemann", "logeuclid"})],
    }

    bands: Bands = "default"
    _: KW_ONLY
    n_components: int = 8
    shrinkage: float = 0.1
    metric: Literal["riemann", "logeuclid"] = "riemann"

    def fit(self, X: EEGWindows | ArrayLike, y: ArrayLike | None = None) -> Self:
        """Fit the projections and the tangent spaces.

        Parameters
        ----------
        X : EEGWindows or array-like, shape (n_samples, n_channels, n_times)
            EEG in V.
        y : array-like, DataFrame or None
            Only checked: the index of a DataFrame from :func:`align` has to be that of X.

        Returns
        -------
        self : BandTangentSpace
            Fitted.
        """
        self._validate_params()
        TangentSpace = import_extra("pyriemann.tangentspace", "BandTangentSpace").TangentSpace
        X = check_eeg(self, X, reset=True, y=y)
        self.covariance_ = BandCovariance(self.bands).fit(X)
        C = self.covariance_.transform(X)
        self.projections_, self._ridges, self.spaces_ = [], [], []
        for b in range(C.shape[1]):
            values, vectors = principal_axes(C[:, b].mean(axis=0))
            kept = slice(-min(self.n_components, len(values)), None)
            self.projections_.append(vectors[:, kept])
            self._ridges.append(self.shrinkage * values[kept].mean())
            self.spaces_.append(TangentSpace(metric=self.metric).fit(self._project(C, b)))
        return self

    def transform(self, X: EEGWindows | ArrayLike) -> np.ndarray:
        """Map covariances to the tangent space.

        Parameters
        ----------
        X : EEGWindows or array-like, shape (n_samples, n_channels, n_times)
            EEG in V.

        Returns
        -------
        features : ndarray of shape (n_samples, n_features)
            Upper triangles of all bands, ``n_kept * (n_kept + 1) / 2`` of each.
        """
        check_is_fitted(self)
        X = check_eeg(self, X, reset=False)
        C = self.covariance_.transform(X)
        return np.hstack(
            [space.transform(self._project(C, b)) for b, space in enumerate(self.spaces_)]
        )

    def get_feature_names_out(self, input_features: object = None) -> np.ndarray:
        """Return the names of the features: band and pair of components.

        Parameters
        ----------
        input_features : object
            Ignored.

        Returns
        -------
        names : ndarray of str
            For example ``"alpha 0-1"``.
        """
        check_is_fitted(self)
        return np.array(
            [
                f"{band} {i}-{j}"
                for band, projection in zip(self.covariance_.bands_, self.projections_, strict=True)
                for i, j in zip(*np.triu_indices(projection.shape[1]), strict=True)
            ],
            dtype=object,
        )

    def _project(self, C, b):
        projection = self.projections_[b]
        return projection.T @ C[:, b] @ projection + self._ridges[b] * np.eye(projection.shape[1])


def _covariances(eeg, starts, *, sfreq, bands, weights):
    """Compute (n_starts, n_bands, n_channels, n_channels) for windows of one recording."""
    out = np.empty((len(starts), len(bands), len(eeg), len(eeg)))
    seen = np.flatnonzero(weights)
    first, root = seen[0], np.sqrt(weights[seen[0] : seen[-1] + 1])
    for b, signal in enumerate(filter_bands(eeg, sfreq, bands)):
        for i, start in enumerate(starts + first):
            window = signal[:, start : start + len(root)] * root
            out[i, b] = window @ window.T
    return out


def principal_axes(covariance, tolerance=_RANK):
    """Find the principal axes with more variance than rounding errors.

    Parameters
    ----------
    covariance : ndarray, shape (n_channels, n_channels)
        Covariance, of full rank or not.
    tolerance : float
        Smallest variance, relative to the largest.

    Returns
    -------
    values : ndarray, shape (rank,)
        Variances, increasing.
    vectors : ndarray, shape (n_channels, rank)
        Principal axes.
    """
    values, vectors = np.linalg.eigh(covariance)
    kept = values > tolerance * values[-1]
    kept[-1] = True
    return np.maximum(values[kept], 1e-30), vectors[:, kept]
