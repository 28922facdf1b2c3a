"""Rival models over the same X: the bar that BEIRA has to clear.

Every ``make_*`` returns a Pipeline without a filter; put an
:class:`~sklearn_beira.EEGFilter` in front where the recordings need one:
``Pipeline([("filter", EEGFilter()), *make_pls().steps])``.
"""

from importlib.util import find_spec

import numpy as np
from sklearn.cross_decomposition import PLSRegression
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression, RidgeCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from ..eeg.filters import Windower
from ..features.band_power import BandPower
from ..features.covariance import BandTangentSpace
from ..features.hrf import HRFBandPower
from ..features.time import TimePolynomial
from ..regressor.estimator import BEIRARegressor
from .lagged_power import BandedRidgeCV, FingerprintRidgeCV
from .ridge import BlockedRidgeCV
from .sparse import SparseGroupLassoCV
from .spoc import SPoCRidgeCV

__all__ = [
    "make_alpha_hrf",
    "make_band_power_ridge",
    "make_banded_ridge",
    "make_baselines",
    "make_brainwavelinker",
    "make_eeg_fingerprint",
    "make_eegnet",
    "make_mean",
    "make_pls",
    "make_sparse_group_lasso",
    "make_spoc_ridge",
    "make_tangent_space_ridge",
    "make_time_polynomial",
]


def make_mean():
    """Make the model that predicts the training mean of every region.

    Returns
    -------
    model : Pipeline
        ``mean``.

    Notes
    -----
    What is left when EEG tells nothing. Its R² is 0 at best. Pooled over folds, its predictions
    correlate negatively with BOLD: a fold above the mean is predicted from a mean below.

    Examples
    --------
    >>> from sklearn_beira.baselines import make_mean
    >>> list(make_mean().named_steps)
    ['mean']
    """
    return Pipeline([("mean", DummyRegressor())])


def make_time_polynomial(degree=3):
    """Make a polynomial of the time in the recording, which reads no EEG.

    BOLD drifts. What this model reaches, any model reaches that can tell early from late.

    Parameters
    ----------
    degree : int
        Degree of the polynomial.

    Returns
    -------
    model : Pipeline
        ``time`` and ``regression``. X must be EEGWindows: rows of plain arrays have no time.

    Notes
    -----
    Legendre polynomials on the length of each recording, least squares. Beyond the times of the
    training it stays where it was (:class:`~sklearn_beira.features.TimePolynomial`).

    Examples
    --------
    >>> from sklearn_beira.baselines import make_time_polynomial
    >>> list(make_time_polynomial().named_steps)
    ['time', 'regression']
    """
    return Pipeline([("time", TimePolynomial(degree)), ("regression", LinearRegression())])


def make_alpha_hrf(duration=20.0, *, band=(8.0, 12.0), channels="posterior"):
    """Make the regression on posterior alpha power convolved with the hemodynamic response.

    The oldest EEG-fMRI model: one number per volume.

    Parameters
    ----------
    duration : float
        History that the response covers, in s.
    band : tuple of float
        Edges of the band in Hz.
    channels : {"posterior", "all"}, list of str or None
        Channels to average over: the occipital and parieto-occipital ones by name (all, where none
        has such a name), all, or those named. None keeps the channels apart.

    Returns
    -------
    model : Pipeline
        ``window``, ``power``, ``scale`` and ``regression``.

    Notes
    -----
    The original studies convolve alpha power with a response and regress BOLD of every voxel on it.
    Here it is log power, averaged over channels, and the response ends with the window.

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
    power = HRFBandPower({"alpha": band}, average=channels)
    return Pipeline(
        [
            ("window", Windower(duration, 0.0)),
            ("power", power),
            ("scale", StandardScaler()),
            ("regression", LinearRegression()),
        ]
    )


def make_band_power_ridge(duration=16.0, *, bands="default", step=2.0, alphas=None):
    """Make the lagged band-power ridge, with a penalty of its own for every region.

    Log power of every channel, in every band, at every lag: the baseline to beat.

    Parameters
    ----------
    duration : float
        History that the lags cover, in s.
    bands : dict of str to tuple of float, or "default"
        Bands in Hz, as in :class:`~sklearn_beira.features.BandPower`.
    step : float
        Length of the segments power is averaged over and distance of lags, in s.
    alphas : array-like or None
        Penalties to choose from, per region, by leave-one-out inside the training data; None takes
        25 from 1 to 1e6.

    Returns
    -------
    model : Pipeline
        ``window``, ``power``, ``scale`` and ``ridge``.

    Notes
    -----
    A volume that is left out alone is known from its neighbors, which favors small penalties.
    Blocks of :class:`~sklearn_beira.baselines.BlockedRidgeCV` avoid that, but choose worse from a few
    minutes of recording: ``benchmarks/ridge_penalty.py`` prints both. What is tested is outside of
    this choice in any case.

    Examples
    --------
    >>> from sklearn_beira.baselines import make_band_power_ridge
    >>> list(make_band_power_ridge().named_steps)
    ['window', 'power', 'scale', 'ridge']
    """
    alphas = np.logspace(0, 6, 25) if alphas is None else alphas
    return Pipeline(
        [
            ("window", Windower(duration, 0.0)),
            ("power", BandPower(bands, duration=step, step=step)),
            ("scale", StandardScaler()),
            ("ridge", RidgeCV(alphas, alpha_per_target=True)),
        ]
    )


def make_eeg_fingerprint(duration=16.0, *, bands="default", step=2.0, alphas=None):
    """Make the EEG fingerprint: the lagged powers of one electrode, chosen for every region.

    Parameters
    ----------
    duration : float
        History that the lags cover, in s.
    bands : dict of str to tuple of float, or "default"
        Bands in Hz, as in :class:`~sklearn_beira.features.BandPower`.
    step : float
        Length of the segments power is averaged over and distance of lags, in s.
    alphas : array-like or None
        Penalties to choose from, as in :class:`~sklearn_beira.baselines.BlockedRidgeCV`.

    Returns
    -------
    model : Pipeline
        ``window`` and ``fingerprint``
        (:class:`~sklearn_beira.baselines.FingerprintRidgeCV`).

    Notes
    -----
    The paper reads a Stockwell transform at fine frequencies; here it is log power in bands. The
    electrode is chosen on blocks inside the training data, never on what is tested.

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
    return Pipeline(
        [
            ("window", Windower(duration, 0.0)),
            ("fingerprint", fingerprint),
        ]
    )


def make_spoc_ridge(duration=16.0, *, bands="default", n_components=2, alphas=None):
    """Make SPoC and ridge: spatial filters whose power goes with BOLD, for every region and band.

    Parameters
    ----------
    duration : float
        History that the hemodynamic response weights, in s.
    bands : dict of str to tuple of float, or "default"
        Bands in Hz, as in :class:`~sklearn_beira.features.BandPower`.
    n_components : int
        Components per band and region.
    alphas : array-like or None
        Penalties to choose from, as in :class:`~sklearn_beira.baselines.BlockedRidgeCV`.

    Returns
    -------
    model : Pipeline
        ``window`` and ``spoc`` (:class:`~sklearn_beira.baselines.SPoCRidgeCV`).

    Notes
    -----
    The paper learns one filter from epochs. Here an epoch is the past of a volume, weighted with
    the positive part of the hemodynamic response, and a ridge joins the components of all bands.

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
    spoc = SPoCRidgeCV(bands, n_components=n_components, alphas=alphas)
    return Pipeline([("window", Windower(duration, 0.0)), ("spoc", spoc)])


def make_pls(duration=16.0, *, bands="default", step=2.0, n_components=4):
    """Make partial least squares from lagged band power to all regions together.

    Parameters
    ----------
    duration : float
        History that the lags cover, in s.
    bands : dict of str to tuple of float, or "default"
        Bands in Hz, as in :class:`~sklearn_beira.features.BandPower`.
    step : float
        Length of the segments power is averaged over and distance of lags, in s.
    n_components : int
        Components kept; worth a search.

    Returns
    -------
    model : Pipeline
        ``window``, ``power`` and ``pls``, which scales features and regions itself.

    Notes
    -----
    In the spirit of one model of whole-head time-frequency features, as the fingerprints that
    followed the one-electrode one; not a reproduction of it. Regions share their components, so
    the prediction of one depends on which others are fitted beside it.

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
    return Pipeline(
        [
            ("window", Windower(duration, 0.0)),
            ("power", BandPower(bands, duration=step, step=step)),
            ("pls", PLSRegression(n_components)),
        ]
    )


def make_sparse_group_lasso(duration=16.0, *, bands="default", step=2.0, l1_ratio=0.5):
    """Make the distributed-lag model with few channels and bands: the sparse group lasso.

    Needs skglm: ``pip install "sklearn-beira[rivals]"``.

    Parameters
    ----------
    duration : float
        History that the lags cover, in s.
    bands : dict of str to tuple of float, or "default"
        Bands in Hz, as in :class:`~sklearn_beira.features.BandPower`.
    step : float
        Length of the segments power is averaged over and distance of lags, in s.
    l1_ratio : float
        Share of the penalty that goes to single weights, the rest goes to groups.

    Returns
    -------
    model : Pipeline
        ``window`` and ``lasso`` (:class:`~sklearn_beira.baselines.SparseGroupLassoCV`).

    Notes
    -----
    As in the paper, a linear model of band power at several delays with this penalty. Bands, lags
    and the choice of the penalty, on blocks inside the training data, are this package's.

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
    return Pipeline([("window", Windower(duration, 0.0)), ("lasso", lasso)])


def make_tangent_space_ridge(duration=16.0, *, bands="default", n_components=8, alphas=None):
    """Make ridge on covariances in the Riemannian tangent space.

    Needs pyRiemann: ``pip install "sklearn-beira[rivals]"``.

    Parameters
    ----------
    duration : float
        History that the hemodynamic response weights, in s.
    bands : dict of str to tuple of float, or "default"
        Bands in Hz, as in :class:`~sklearn_beira.features.BandPower`.
    n_components : int
        Principal components kept per band.
    alphas : array-like or None
        Penalties to choose from, as in :class:`~sklearn_beira.baselines.BlockedRidgeCV`.

    Returns
    -------
    model : Pipeline
        ``window``, ``tangent`` (:class:`~sklearn_beira.features.BandTangentSpace`), ``scale``
        and ``ridge``.

    Notes
    -----
    The paper predicts one number per recording from its covariances; here it is one per volume,
    from the covariances of its past, weighted with the hemodynamic response.

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
    tangent = BandTangentSpace(bands, n_components=n_components)
    return Pipeline(
        [
            ("window", Windower(duration, 0.0)),
            ("tangent", tangent),
            ("scale", StandardScaler()),
            ("ridge", BlockedRidgeCV(alphas)),
        ]
    )


def make_banded_ridge(duration=16.0, *, bands="default", step=2.0, n_iter=20, random_state=0):
    """Make the lagged band-power ridge with a penalty for every frequency band.

    Needs himalaya: ``pip install "sklearn-beira[rivals]"``.

    Parameters
    ----------
    duration : float
        History that the lags cover, in s.
    bands : dict of str to tuple of float, or "default"
        Bands in Hz, as in :class:`~sklearn_beira.features.BandPower`.
    step : float
        Length of the segments power is averaged over and distance of lags, in s.
    n_iter : int
        Relations between the bands that are tried.
    random_state : int, RandomState instance or None
        Seed of the search for them.

    Returns
    -------
    model : Pipeline
        ``window`` and ``ridge`` (:class:`~sklearn_beira.baselines.BandedRidgeCV`).

    Notes
    -----
    The paper's feature spaces are frequency bands here.

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
    ridge = BandedRidgeCV(
        bands,
        duration=step,
        step=step,
        n_iter=n_iter,
        random_state=random_state,
    )
    return Pipeline([("window", Windower(duration, 0.0)), ("ridge", ridge)])


# What a rival needs beyond the core dependencies.
_EXTRAS = {
    "sparse_group_lasso": "skglm",
    "tangent_space_ridge": "pyriemann",
    "banded_ridge": "himalaya",
}


def make_baselines(extras="installed", *, duration=16.0):
    """Make all linear rivals that can run here, with their defaults.

    Parameters
    ----------
    extras : {"installed", "all", "none"}
        Which of the rivals that rest on an extra to include.
    duration : float
        History in s that each of them reads.

    Returns
    -------
    models : dict of str to Pipeline
        By name, without a filter in front.

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
    models = {
        "mean": make_mean(),
        "time_polynomial": make_time_polynomial(),
        "alpha_hrf": make_alpha_hrf(duration),
        "band_power_ridge": make_band_power_ridge(duration),
        "eeg_fingerprint": make_eeg_fingerprint(duration),
        "spoc_ridge": make_spoc_ridge(duration),
        "pls": make_pls(duration),
        "sparse_group_lasso": make_sparse_group_lasso(duration),
        "tangent_space_ridge": make_tangent_space_ridge(duration),
        "banded_ridge": make_banded_ridge(duration),
    }
    missing = [name for name in _EXTRAS if find_spec(_EXTRAS[name]) is None]
    if extras == "all" and missing:
        packages = ", ".join(_EXTRAS[name] for name in missing)
        raise ImportError(
            f'the rivals {", ".join(missing)} need {packages}: pip install "sklearn-beira[rivals]"'
        )
    left_out = {"installed": missing, "all": [], "none": list(_EXTRAS)}[extras]
    return {name: model for name, model in models.items() if name not in left_out}


def make_brainwavelinker(duration=16.0, **params):
    """Make the BrainWaveLinker convolution, a neural rival, as a model that estimates one volume.

    The network is :class:`~sklearn_beira.regressor.nets.BrainWaveLinkerNet`, trained on minus the correlation
    [1]_, which leaves the scale of the predictions free: judge it by r, not by R². The training
    settings are ours: for minutes of recording at 64 to 100 Hz, on a CPU.

    Parameters
    ----------
    duration : float
        History that a window covers, in s.
    **params
        Parameters of :class:`~sklearn_beira.BEIRARegressor` that replace these settings.

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
    >>> make_brainwavelinker(random_state=0).named_steps["net"].loss
    'correlation'
    """
    settings = {
        "architecture": "brainwavelinker",
        "loss": "correlation",
        "dropout": 0.25,
        "max_epochs": 150,
        "lr": 5e-3,
    }
    return _make_net(duration, {**settings, **params})


def make_eegnet(duration=16.0, **params):
    """Make an EEGNet-style regressor, a neural rival, as a model that estimates one volume.

    The network is :class:`~sklearn_beira.regressor.nets.EEGNet` [1]_. The training settings are ours: for
    minutes of recording at 64 to 100 Hz, on a CPU.

    Parameters
    ----------
    duration : float
        History that a window covers, in s.
    **params
        Parameters of :class:`~sklearn_beira.BEIRARegressor` that replace these settings.

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
    >>> make_eegnet(random_state=0).named_steps["net"].architecture
    'eegnet'
    """
    settings = {
        "architecture": "eegnet",
        "n_taps": 51,
        "dropout": 0.5,
        "max_epochs": 40,
        "lr": 1e-2,
    }
    return _make_net(duration, {**settings, **params})


def _make_net(duration, params):
    """A network behind its window, with what both neural rivals are trained by."""
    settings = {
        "mode": "many_to_one",
        "batch_size": 512,  # whole-batch steps on a run of minutes
        "weight_decay": 1.0,
        "validation_fraction": 0.0,
        "verbose": False,
    }
    return Pipeline(
        [
            ("window", Windower(duration, 0.0)),
            ("net", BEIRARegressor(**{**settings, **params})),
        ]
    )
