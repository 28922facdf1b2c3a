"""What a model file may name: the classes and functions that loading looks up, and no others."""

from importlib import import_module

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.model_selection import BaseCrossValidator

# Module by class. A name from a file is looked up here; it is never imported as it stands.
CLASSES = {
    **dict.fromkeys(
        ("Autoencoder", "BEIRARegressor", "BrainWaveLinker", "Compact", "CustomNetwork", "EEGNet"),
        "sklearn_beira.regressor",
    ),
    "Training": "sklearn_beira.regressor",
    "BandCovariance": "sklearn_beira.features",
    "BandPower": "sklearn_beira.features",
    "BandTangentSpace": "sklearn_beira.features",
    "BandedRidgeCV": "sklearn_beira.baselines",
    "BlockedKFold": "sklearn_beira.evaluation",
    "BlockedRidgeCV": "sklearn_beira.baselines",
    "EEGFilter": "sklearn_beira.eeg",
    "FingerprintRidgeCV": "sklearn_beira.baselines",
    "HRFBandPower": "sklearn_beira.features",
    "SPoCRidgeCV": "sklearn_beira.baselines",
    "SparseGroupLassoCV": "sklearn_beira.baselines",
    "TimePolynomial": "sklearn_beira.features",
    "Windower": "sklearn_beira.eeg",
    "TangentSpace": "pyriemann.tangentspace",
    "PLSRegression": "sklearn.cross_decomposition",
    "TransformedTargetRegressor": "sklearn.compose",
    "PCA": "sklearn.decomposition",
    "DummyRegressor": "sklearn.dummy",
    "SelectKBest": "sklearn.feature_selection",
    "VarianceThreshold": "sklearn.feature_selection",
    "BayesianRidge": "sklearn.linear_model",
    "ElasticNet": "sklearn.linear_model",
    "ElasticNetCV": "sklearn.linear_model",
    "Lasso": "sklearn.linear_model",
    "LassoCV": "sklearn.linear_model",
    "LinearRegression": "sklearn.linear_model",
    "MultiTaskElasticNetCV": "sklearn.linear_model",
    "MultiTaskLassoCV": "sklearn.linear_model",
    "Ridge": "sklearn.linear_model",
    "RidgeCV": "sklearn.linear_model",
    "GridSearchCV": "sklearn.model_selection",
    "GroupKFold": "sklearn.model_selection",
    "KFold": "sklearn.model_selection",
    "LeaveOneGroupOut": "sklearn.model_selection",
    "TimeSeriesSplit": "sklearn.model_selection",
    "MultiOutputRegressor": "sklearn.multioutput",
    "FeatureUnion": "sklearn.pipeline",
    "Pipeline": "sklearn.pipeline",
    "FunctionTransformer": "sklearn.preprocessing",
    "MaxAbsScaler": "sklearn.preprocessing",
    "MinMaxScaler": "sklearn.preprocessing",
    "Normalizer": "sklearn.preprocessing",
    "PowerTransformer": "sklearn.preprocessing",
    "QuantileTransformer": "sklearn.preprocessing",
    "RobustScaler": "sklearn.preprocessing",
    "StandardScaler": "sklearn.preprocessing",
}

_FUNCTIONS = {
    **{f"numpy.{f.__name__}": f for f in (np.exp, np.expm1, np.log, np.log1p, np.sqrt, np.square)},
    **{
        f"torch.optim.{c.__name__}": c
        for c in (torch.optim.Adam, torch.optim.AdamW, torch.optim.NAdam, torch.optim.SGD)
    },
}


def check_classes(classes):
    """Check what the caller allows beside this list.

    Parameters
    ----------
    classes : dict of str to type, or None
        Networks and estimators of the caller, by name.

    Returns
    -------
    classes : dict of str to type
        The same, {} for None.

    Raises
    ------
    TypeError
        If it is no dict of names to classes of networks or estimators.
    ValueError
        If a name is that of a class in this list.
    """
    classes = {} if classes is None else classes
    kinds = (torch.nn.Module, BaseEstimator, BaseCrossValidator)
    if not isinstance(classes, dict) or not all(
        isinstance(name, str) and isinstance(c, type) and issubclass(c, kinds)
        for name, c in classes.items()
    ):
        raise TypeError(
            f"classes must be a dict of names to classes of torch modules or scikit-learn "
            f'estimators, such as {{"MyNet": MyNet}}; got {classes!r}.'
        )
    taken = sorted(set(classes) & set(CLASSES))
    if taken:
        raise ValueError(
            f"classes may not hold {', '.join(taken)}: a class of that name is known; rename yours."
        )
    return classes


def name_class(cls, classes):
    """Find the name of a class; None for one that is not allowed.

    Parameters
    ----------
    cls : type
        Class.
    classes : dict of str to type
        What the caller allows.

    Returns
    -------
    name : str or None
        Its name in the list or with the caller.
    """
    name = cls.__name__
    if name in CLASSES and cls.__module__.partition(".")[0] == CLASSES[name].partition(".")[0]:
        return name if find_class(name, {}) is cls else None
    return next((name for name, c in classes.items() if c is cls), None)


def find_class(name, classes, known=CLASSES):
    """Find a class by its name in a file.

    Parameters
    ----------
    name : str
        Name.
    classes : dict of str to type
        What the caller allows.
    known : container of str
        Names in the list that may be meant.

    Returns
    -------
    cls : type
        The class.

    Raises
    ------
    LookupError
        If the name is neither in the list nor with the caller.
    ImportError
        If the class is in a package that is not installed.
    """
    if name in known:
        return getattr(import_module(CLASSES[name]), name)
    if name not in classes:
        raise LookupError(
            f"it names the class {name!r}, which is not on the list of classes that may be loaded; "
            f"if it is yours, and you trust it, give classes={{{name!r}: ...}}"
        )
    return classes[name]


def name_function(function):
    """Find the name of a function or an optimizer; None for one that is not allowed.

    Parameters
    ----------
    function : callable
        Function.

    Returns
    -------
    name : str or None
        Its name in the list.
    """
    return next((name for name, f in _functions().items() if f is function), None)


def find_function(name):
    """Find a function or an optimizer by its name in a file.

    Parameters
    ----------
    name : str
        Name.

    Returns
    -------
    function : callable
        The function.

    Raises
    ------
    LookupError
        If the name is not in the list.
    """
    if name not in _functions():
        raise LookupError(
            f"it names the function {name!r}, which is not on the list of functions that may be "
            f"loaded"
        )
    return _functions()[name]


def _functions():
    from sklearn.feature_selection import f_regression, r_regression

    scores = {f"sklearn.feature_selection.{f.__name__}": f for f in (f_regression, r_regression)}
    return {**_FUNCTIONS, **scores}
