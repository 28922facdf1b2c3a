"""Makers of baselines: models of the same X and y that BEIRA has to beat.

Every ``make_*`` returns a Pipeline without a filter. If the recordings need one, put an
:class:`~sklearn_beira.EEGFilter` in front:
``Pipeline([("filter", EEGFilter()), *make_pls().steps])``. A new baseline is a function here, and a
line in ``BASELINES``.
"""

from importlib.util import find_spec
from inspect import signature
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from sklearn.cross_decomposition import PLSRegression
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression, RidgeCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from ..eeg.filters import EEGFilter, Windower
from ..features.band_power import BandPower, Bands
from ..features.covariance import BandTangentSpace
from ..features.hrf import HRFBandPower
from ..features.time import TimePolynomial
from .lagged_power import BandedRidgeCV, FingerprintRidgeCV
from .nuisance import NuisanceRidge
from .ridge import BlockedRidgeCV
from .sparse import SparseGroupLassoCV
from .spoc import SPoCRidgeCV


def make_mean() -> Pipeline:
    """Make a model that predicts the training mean of every region.

    Returns
    -------
    model : Pipeline
        ``mean``.

    Notes
    -----
    This is the best model if EEG is not informative. Its R² is 0 at most. Pooled over folds, its
    predictions correlate negatively with BOLD, because the training mean is low when the test fold
    is high.

    Examples
    --------
    >>> from sklearn_beira.baselines import make_mean
    >>> list(make_mean().named_steps)
    ['mean']
    """
    return Pipeline([("mean", DummyRegressor())])


def make_time_polynomial(degree: int = 3) -> Pipeline:
    """Make a polynomial of the time in the recording, which does not use EEG.

    BOLD drifts, so a model that only distinguishes early from late volumes reaches this score.

    Parameters
    ----------
    degree : int
        Degree of the polynomial.

    Returns
    -------
    model : Pipeline
        ``time`` and ``regression``. X must be the EEGWindows of continuous recordings.

    Notes
    -----
    Legendre polynomials over the length of each recording are fitted by least squares. Outside the
    times of the training volumes, predictions stay constant
    (:class:`~sklearn_beira.features.TimePolynomial`).

    Examples
    --------
    >>> from sklearn_beira.baselines import make_time_polynomial
    >>> list(make_time_polynomial().named_steps)
    ['time', 'regression']
    """
    return Pipeline([("time", TimePolynomial(degree)), ("regression", LinearRegression())])


def make_nuisance_ridge(signals: list[str] | None = None) -> Pipeline:
    """Make a ridge regression on nuisance signals, such as movement, which does not use EEG.

    Parameters
    ----------
    signals : list of str or None
        Names of the signals to use, such as those of the task, whose schedule alone may predict
        BOLD; None uses all.

    Returns
    -------
    model : Pipeline
        ``nuisance``. X must have nuisance signals
        (:meth:`~sklearn_beira.EEGWindows.with_nuisance`).

    Notes
    -----
    BOLD is predicted from the signals 0, 2, ... 24 s before the volume
    (:class:`~sklearn_beira.NuisanceRidge`).

    Examples
    --------
    >>> from sklearn_beira.baselines import make_nuisance_ridge
    >>> list(make_nuisance_ridge().named_steps)
    ['nuisance']
    """
    return Pipeline([("nuisance", NuisanceRidge(signals))])


def make_alpha_hrf(
    duration: float = 20.0,
    *,
    band: tuple[float, float] = (8.0, 12.0),
    channels: str | list[str] | None = "posterior",
) -> Pipeline:
    """Make the regression on posterior alpha power convolved with the hemodynamic response.

    This is the oldest model of EEG-fMRI, with one feature per volume.

    Parameters
    ----------
    duration : float
        Length of the EEG before each volume that the response covers, in s.
    band : tuple of float
        Edges of the band in Hz.
    channels : {"posterior", "all"}, list of str or None
        Channels to average: those with occipital and parieto-occipital names (all channels if there
        are none), all channels, or those listed. None does not average.

    Returns
    -------
    model : Pipeline
        ``window``, ``power``, ``scale`` and ``regression``.

    Notes
    -----
    The original studies convolve alpha power with the response and regress BOLD of every voxel on
    it. Here log power is averaged over channels, and the response ends with the window.

    References
    ----------
    Goldman et al. (2002), Simultaneous EEG and fMRI of the alpha rhythm, NeuroReport 13; Laufs et
    al. (2003), EEG-correlated fMRI of human alpha activity, NeuroImage 19.

    Examples
    --------
    >>> from sklearn_beira.baselines import make_alpha_hrf
    >>> list(make_alpha_hrf().named_steps)
    ['window', 'power', 'scale', 'regression']
    """
    return _windowed(
        duration,
        power=HRFBandPower({"alpha": band}, average=channels),
        scale=StandardScaler(),
        regression=LinearRegression(),
    )


def make_band_power_ridge(
    duration: float = 20.0,
    *,
    bands: Bands = "default",
    step: float = 2.0,
    alphas: ArrayLike | None = None,
) -> Pipeline:
    """Make the lagged band-power ridge, with a penalty for every region.

    The features are the log power of every channel, in every band, at every lag. This is the
    strongest simple baseline.

    Parameters
    ----------
    duration : float
        Length of the EEG before each volume that the lags cover, in s.
    bands : dict of str to tuple of float, or "default"
        Bands in Hz, as in :class:`~sklearn_beira.features.BandPower`.
    step : float
        Length of the segments in which power is averaged, and time between lags, in s.
    alphas : array-like or None
        Penalties, from which leave-one-out within the training data chooses one for every region.
        None takes 25 from 1 to 1e6.

    Returns
    -------
    model : Pipeline
        ``window``, ``power``, ``scale`` and ``ridge``.

    Notes
    -----
    Leave-one-out favors small penalties, because BOLD is smooth and the neighbors of a volume
    predict it. The blocks of :class:`~sklearn_beira.baselines.BlockedRidgeCV` avoid that, but
    choose worse in a few minutes of recording: ``benchmarks/ridge_penalty.py`` prints both. Test
    data take no part in the choice.

    Examples
    --------
    >>> from sklearn_beira.baselines import make_band_power_ridge
    >>> list(make_band_power_ridge().named_steps)
    ['window', 'power', 'scale', 'ridge']
    """
    alphas = np.logspace(0, 6, 25) if alphas is None else alphas
    return _windowed(
        duration,
        power=BandPower(bands, duration=step, step=step),
        scale=StandardScaler(),
        ridge=RidgeCV(alphas, alpha_per_target=True),
    )


def make_eeg_fingerprint(
    duration: float = 20.0,
    *,
    bands: Bands = "default",
    step: float = 2.0,
    alphas: ArrayLike | None = None,
) -> Pipeline:
    """Make the EEG fingerprint: ridge on the lagged band powers of one electrode per region.

    Parameters
    ----------
    duration : float
        Length of the EEG before each volume that the lags cover, in s.
    bands : dict of str to tuple of float, or "default"
        Bands in Hz, as in :class:`~sklearn_beira.features.BandPower`.
    step : float
        Length of the segments in which power is averaged, and time between lags, in s.
    alphas : array-like or None
        Penalties to choose from, as in :class:`~sklearn_beira.baselines.BlockedRidgeCV`.

    Returns
    -------
    model : Pipeline
        ``window`` and ``fingerprint``
        (:class:`~sklearn_beira.baselines.FingerprintRidgeCV`).

    Notes
    -----
    The paper uses a Stockwell transform at many frequencies instead of log power in bands. The
    electrode is chosen on blocks within the training data.

    References
    ----------
    Meir-Hasson et al. (2014), An EEG Fingerprint of fMRI deep regional activation, NeuroImage 102.

    Examples
    --------
    >>> from sklearn_beira.baselines import make_eeg_fingerprint
    >>> list(make_eeg_fingerprint().named_steps)
    ['window', 'fingerprint']
    """
    fingerprint = FingerprintRidgeCV(bands, duration=step, step=step, alphas=alphas)
    return _windowed(duration, fingerprint=fingerprint)


def make_spoc_ridge(
    duration: float = 20.0,
    *,
    bands: Bands = "default",
    n_components: int = 2,
    alphas: ArrayLike | None = None,
) -> Pipeline:
    """Make SPoC and ridge: spatial filters whose power covaries with BOLD, per region and band.

    Parameters
    ----------
    duration : float
        Length of the EEG before each volume, weighted with the hemodynamic response, in s.
    bands : dict of str to tuple of float, or "default"
        Bands in Hz, as in :class:`~sklearn_beira.features.BandPower`.
    n_components : int
        Number of components per band and region.
    alphas : array-like or None
        Penalties to choose from, as in :class:`~sklearn_beira.baselines.BlockedRidgeCV`.

    Returns
    -------
    model : Pipeline
        ``window`` and ``spoc`` (:class:`~sklearn_beira.baselines.SPoCRidgeCV`).

    Notes
    -----
    The paper learns one filter from epochs. Here an epoch is the EEG before a volume, weighted with
    the positive part of the hemodynamic response, and ridge combines the components of all bands.

    References
    ----------
    Dähne et al. (2014), SPoC: a novel framework for relating the amplitude of neuronal
    oscillations to behaviorally relevant parameters, NeuroImage 86.

    Examples
    --------
    >>> from sklearn_beira.baselines import make_spoc_ridge
    >>> list(make_spoc_ridge().named_steps)
    ['window', 'spoc']
    """
    return _windowed(duration, spoc=SPoCRidgeCV(bands, n_components=n_components, alphas=alphas))


def make_pls(
    duration: float = 20.0, *, bands: Bands = "default", step: float = 2.0, n_components: int = 4
) -> Pipeline:
    """Make partial least squares from lagged band power to all regions together.

    Parameters
    ----------
    duration : float
        Length of the EEG before each volume that the lags cover, in s.
    bands : dict of str to tuple of float, or "default"
        Bands in Hz, as in :class:`~sklearn_beira.features.BandPower`.
    step : float
        Length of the segments in which power is averaged, and time between lags, in s.
    n_components : int
        Number of components, which a grid search may choose.

    Returns
    -------
    model : Pipeline
        ``window``, ``power`` and ``pls``, which scales features and regions itself.

    Notes
    -----
    Like the fingerprints that followed the one of a single electrode, this is one model of
    time-frequency features of the whole head; it does not reproduce them. Regions share their
    components, so the prediction of a region depends on the other regions.

    References
    ----------
    Singer et al. (2023), Development and validation of an fMRI-informed EEG model of reward-related
    ventral striatum activation, NeuroImage 276.

    Examples
    --------
    >>> from sklearn_beira.baselines import make_pls
    >>> list(make_pls().named_steps)
    ['window', 'power', 'pls']
    """
    power = BandPower(bands, duration=step, step=step)
    return _windowed(duration, power=power, pls=PLSRegression(n_components))


def make_sparse_group_lasso(
    duration: float = 20.0, *, bands: Bands = "default", step: float = 2.0, l1_ratio: float = 0.5
) -> Pipeline:
    """Make the sparse group lasso, a distributed-lag model with few channels and bands.

    Needs skglm: ``pip install "sklearn-beira[baselines]"``.

    Parameters
    ----------
    duration : float
        Length of the EEG before each volume that the lags cover, in s.
    bands : dict of str to tuple of float, or "default"
        Bands in Hz, as in :class:`~sklearn_beira.features.BandPower`.
    step : float
        Length of the segments in which power is averaged, and time between lags, in s.
    l1_ratio : float
        Share of the penalty of single weights; the rest is the penalty of groups.

    Returns
    -------
    model : Pipeline
        ``window`` and ``lasso`` (:class:`~sklearn_beira.baselines.SparseGroupLassoCV`).

    Notes
    -----
    As in the paper, a linear model of band power at several delays has this penalty. The bands, the
    lags, and the choice of the penalty on blocks within the training data differ.

    References
    ----------
    Mehta et al. (2025), EEG-to-fMRI synthesis of task-evoked and spontaneous brain activity,
    arXiv 2504.10752.

    Examples
    --------
    >>> from sklearn_beira.baselines import make_sparse_group_lasso
    >>> list(make_sparse_group_lasso().named_steps)
    ['window', 'lasso']
    """
    lasso = SparseGroupLassoCV(bands, duration=step, step=step, l1_ratio=l1_ratio)
    return _windowed(duration, lasso=lasso)


def make_tangent_space_ridge(
    duration: float = 20.0,
    *,
    bands: Bands = "default",
    n_components: int = 8,
    alphas: ArrayLike | None = None,
) -> Pipeline:
    """Make ridge on covariances in the Riemannian tangent space.

    Needs pyRiemann: ``pip install "sklearn-beira[baselines]"``.

    Parameters
    ----------
    duration : float
        Length of the EEG before each volume, weighted with the hemodynamic response, in s.
    bands : dict of str to tuple of float, or "default"
        Bands in Hz, as in :class:`~sklearn_beira.features.BandPower`.
    n_components : int
        Number of principal components per band.
    alphas : array-like or None
        Penalties to choose from, as in :class:`~sklearn_beira.baselines.BlockedRidgeCV`.

    Returns
    -------
    model : Pipeline
        ``window``, ``tangent`` (:class:`~sklearn_beira.features.BandTangentSpace`), ``scale``
        and ``ridge``.

    Notes
    -----
    The paper predicts one number per recording from its covariances. Here it is one per volume,
    from the covariances of the EEG before it, weighted with the hemodynamic response.

    References
    ----------
    Sabbagh et al. (2020), Predictive regression modeling with MEG/EEG: from source power to
    signals and cognitive states, NeuroImage 222.

    Examples
    --------
    >>> from sklearn_beira.baselines import make_tangent_space_ridge
    >>> list(make_tangent_space_ridge().named_steps)
    ['window', 'tangent', 'scale', 'ridge']
    """
    return _windowed(
        duration,
        tangent=BandTangentSpace(bands, n_components=n_components),
        scale=StandardScaler(),
        ridge=BlockedRidgeCV(alphas),
    )


def make_banded_ridge(
    duration: float = 20.0,
    *,
    bands: Bands = "default",
    step: float = 2.0,
    n_iter: int = 20,
    random_state: int | np.random.RandomState | None = 0,
) -> Pipeline:
    """Make the lagged band-power ridge with a penalty for every frequency band.

    Needs himalaya: ``pip install "sklearn-beira[baselines]"``.

    Parameters
    ----------
    duration : float
        Length of the EEG before each volume that the lags cover, in s.
    bands : dict of str to tuple of float, or "default"
        Bands in Hz, as in :class:`~sklearn_beira.features.BandPower`.
    step : float
        Length of the segments in which power is averaged, and time between lags, in s.
    n_iter : int
        Number of ratios between the penalties of the bands that are tried.
    random_state : int, RandomState instance or None
        Seed of this random search.

    Returns
    -------
    model : Pipeline
        ``window`` and ``ridge`` (:class:`~sklearn_beira.baselines.BandedRidgeCV`).

    Notes
    -----
    The feature spaces of the paper are frequency bands here.

    References
    ----------
    Dupré la Tour et al. (2022), Feature-space selection with banded ridge regression,
    NeuroImage 264.

    Examples
    --------
    >>> from sklearn_beira.baselines import make_banded_ridge
    >>> list(make_banded_ridge().named_steps)
    ['window', 'ridge']
    """
    params = {"n_iter": n_iter, "random_state": random_state}
    return _windowed(duration, ridge=BandedRidgeCV(bands, duration=step, step=step, **params))


def _windowed(duration, **steps):
    return Pipeline([("window", Windower(duration, 0.0)), *steps.items()])


# The linear baselines: maker, and the package of the extra that it needs.
BASELINES = {
    "mean": (make_mean, None),
    "time_polynomial": (make_time_polynomial, None),
    "alpha_hrf": (make_alpha_hrf, None),
    "band_power_ridge": (make_band_power_ridge, None),
    "eeg_fingerprint": (make_eeg_fingerprint, None),
    "spoc_ridge": (make_spoc_ridge, None),
    "pls": (make_pls, None),
    "sparse_group_lasso": (make_sparse_group_lasso, "skglm"),
    "tangent_space_ridge": (make_tangent_space_ridge, "pyriemann"),
    "banded_ridge": (make_banded_ridge, "himalaya"),
}


def make_baselines(
    extras: Literal["installed", "all", "none"] = "installed", *, duration: float = 20.0
) -> dict[str, Pipeline]:
    """Make all linear baselines, with their defaults.

    Parameters
    ----------
    extras : {"installed", "all", "none"}
        Which of the baselines that need a package of the extra ``baselines`` to make.
    duration : float
        Length of the EEG before each volume that they use, in s.

    Returns
    -------
    models : dict of str to Pipeline
        Models by name, without a filter in front.

    Raises
    ------
    ImportError
        With ``extras="all"``, if a package is missing.

    Examples
    --------
    >>> from sklearn_beira.baselines import make_baselines
    >>> list(make_baselines("none"))  # doctest: +ELLIPSIS
    ['mean', 'time_polynomial', 'alpha_hrf', 'band_power_ridge', ...]
    """
    if extras not in ("installed", "all", "none"):
        raise ValueError(f"extras must be 'installed', 'all' or 'none', got {extras!r}.")
    models = {}
    for name, (maker, package) in BASELINES.items():
        if package and (extras == "none" or find_spec(package) is None):
            if extras == "all":
                raise ImportError(f'{name} needs {package}: pip install "sklearn-beira[baselines]"')
            continue
        reads_eeg = "duration" in signature(maker).parameters
        models[name] = maker(duration) if reads_eeg else maker()
    return models


def make_brainwavelinker(duration: float = 20.0, **params: Any) -> Pipeline:
    """Make the BrainWaveLinker convolution, a network that estimates one volume per window.

    The network is :class:`~sklearn_beira.BrainWaveLinker` [1]_ with its default training. Its loss
    is minus the correlation, which does not determine the scale of the predictions, so compare r
    and not R².

    Parameters
    ----------
    duration : float
        Length of the EEG before each volume, in s.
    **params
        Parameters of :class:`~sklearn_beira.BEIRARegressor`,
        :class:`~sklearn_beira.BrainWaveLinker` or :class:`~sklearn_beira.Training` that replace
        these settings.

    Returns
    -------
    model : Pipeline
        ``window`` and ``net``.

    References
    ----------
    .. [1] BrainWaveLinker (2024), bioRxiv 2024.11.20.624528.

    Examples
    --------
    >>> from sklearn_beira.baselines import make_brainwavelinker
    >>> make_brainwavelinker(random_state=0).named_steps["net"].training.loss
    'correlation'
    """
    from ..regressor.architectures import BrainWaveLinker

    return _make_net(duration, BrainWaveLinker(), params)


def make_eegnet(duration: float = 20.0, **params: Any) -> Pipeline:
    """Make an EEGNet regressor, a network that estimates one volume per window.

    The network is :class:`~sklearn_beira.EEGNet` [1]_ with its default training.

    Parameters
    ----------
    duration : float
        Length of the EEG before each volume, in s.
    **params
        Parameters of :class:`~sklearn_beira.BEIRARegressor`, :class:`~sklearn_beira.EEGNet` or
        :class:`~sklearn_beira.Training` that replace these settings.

    Returns
    -------
    model : Pipeline
        ``window`` and ``net``.

    References
    ----------
    .. [1] Lawhern, Solon, Waytowich, Gordon, Hung, Lance (2018), EEGNet: a compact convolutional
       neural network for EEG-based brain-computer interfaces, J. Neural Eng. 15, 056013.

    Examples
    --------
    >>> from sklearn_beira.baselines import make_eegnet
    >>> make_eegnet(n_temporal=4).named_steps["net"].architecture
    EEGNet(n_temporal=4)
    """
    from ..regressor.architectures import EEGNet

    return _make_net(duration, EEGNet(), params)


def whole_brain_model(tmin: float, tmax: float) -> Pipeline:
    """Make the model of maps: :class:`~sklearn_beira.WholeBrainRegressor` behind a filter.

    Parameters
    ----------
    tmin, tmax : float
        Window in s, relative to the volume onset.

    Returns
    -------
    model : Pipeline
        ``filter``, ``window`` and ``regressor``.
    """
    from ..regressor.whole_brain import WholeBrainRegressor

    window = Windower(tmax - tmin, delay=-tmax)
    steps = {"filter": EEGFilter(), "window": window, "regressor": WholeBrainRegressor()}
    return Pipeline(list(steps.items()))


def _make_net(duration, architecture, params):
    """Make a network behind its window, with the default training of its architecture."""
    from ..regressor.estimator import make_regressor  # torch is imported only when it is used

    return _windowed(duration, net=make_regressor(architecture, **{"verbose": False, **params}))
