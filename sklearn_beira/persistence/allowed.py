"""The classes and functions that a model file may name; no other name is looked up."""

import sys
from importlib import import_module

from sklearn.base import BaseEstimator
from sklearn.model_selection import BaseCrossValidator

_CLASSES_BY_MODULE = {
    "sklearn_beira.baselines": (
        "BandedRidgeCV BlockedRidgeCV FingerprintRidgeCV NuisanceRidge SPoCRidgeCV "
        "SparseGroupLassoCV"
    ),
    "sklearn_beira.eeg": "EEGFilter SubjectAligner Windower",
    "sklearn_beira.evaluation": "BlockedKFold LeaveOneSubjectOut",
    "sklearn_beira.features": (
        "BandCovariance BandPower BandTangentSpace HRFBandPower TimePolynomial"
    ),
    "sklearn_beira.regressor": (
        "Autoencoder BEIRARegressor BrainWaveLinker Compact CustomNetwork EEGNet Training "
        "WholeBrainRegressor"
    ),
    "sklearn_beira.transfer": "CalibratedRegressor SubjectRegressor",
    "pyriemann.tangentspace": "TangentSpace",
    "sklearn.compose": "TransformedTargetRegressor",
    "sklearn.cross_decomposition": "PLSRegression",
    "sklearn.decomposition": "PCA",
    "sklearn.dummy": "DummyRegressor",
    "sklearn.feature_selection": "SelectKBest VarianceThreshold",
    "sklearn.linear_model": (
        "BayesianRidge ElasticNet ElasticNetCV Lasso LassoCV LinearRegression "
        "MultiTaskElasticNetCV MultiTaskLassoCV Ridge RidgeCV"
    ),
    "sklearn.model_selection": "GridSearchCV GroupKFold KFold LeaveOneGroupOut TimeSeriesSplit",
    "sklearn.multioutput": "MultiOutputRegressor",
    "sklearn.pipeline": "FeatureUnion Pipeline",
    "sklearn.preprocessing": (
        "FunctionTransformer MaxAbsScaler MinMaxScaler Normalizer PowerTransformer "
        "QuantileTransformer RobustScaler StandardScaler"
    ),
}
_FUNCTIONS_BY_MODULE = {
    "numpy": "exp expm1 log log1p sqrt square",
    "sklearn.feature_selection": "f_regression r_regression",
    "torch.optim": "Adam AdamW NAdam SGD",
}

# Module by class. Class names are unique, and files hold them without the module, which may move.
CLASSES = {name: module for module, names in _CLASSES_BY_MODULE.items() for name in names.split()}
# Module by function.
_FUNCTIONS = {
    f"{module}.{name}": module
    for module, names in _FUNCTIONS_BY_MODULE.items()
    for name in names.split()
}


def check_classes(classes: dict[str, type] | None) -> dict[str, type]:
    """Check the classes that the caller allows in addition to the list.

    Parameters
    ----------
    classes : dict of str to type, or None
        Networks and estimators of the caller, by name.

    Returns
    -------
    classes : dict of str to type
        The same dict, empty for None.

    Raises
    ------
    TypeError
        If it is not a dict of names to classes of networks or estimators.
    ValueError
        If a name is that of a class in the list.
    """
    classes = {} if classes is None else classes
    kinds = (BaseEstimator, BaseCrossValidator)
    if "torch" in sys.modules:  # without it, no class can be a torch module
        kinds += (sys.modules["torch"].nn.Module,)
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
            f"classes may not hold {', '.join(taken)}, the name of a class in the list; use "
            f"another name."
        )
    return classes


def name_class(cls: type, classes: dict[str, type]) -> str | None:
    """Return the name by which a file refers to a class, or None if it is not allowed.

    Parameters
    ----------
    cls : type
        Class.
    classes : dict of str to type
        Classes that the caller allows.

    Returns
    -------
    name : str or None
        Name in the list or in ``classes``.
    """
    name = cls.__name__
    if name in CLASSES and cls.__module__.partition(".")[0] == CLASSES[name].partition(".")[0]:
        return name if find_class(name, {}) is cls else None
    return next((name for name, c in classes.items() if c is cls), None)


def find_class(name: str, classes: dict[str, type], known=CLASSES) -> type:
    """Return the class that a file refers to.

    Parameters
    ----------
    name : str
        Name in the file.
    classes : dict of str to type
        Classes that the caller allows.
    known : container of str
        Names in the list that are allowed here.

    Returns
    -------
    cls : type
        The class.

    Raises
    ------
    LookupError
        If the class is not allowed.
    ImportError
        If the class belongs to a package that is not installed.
    """
    if name in known:
        return getattr(import_module(CLASSES[name]), name)
    if name not in classes:
        raise LookupError(
            f"it names the class {name!r}, which is not on the list of classes that may be loaded; "
            f"if it is your own class, and you trust the file, pass classes={{{name!r}: ...}}"
        )
    return classes[name]


def name_function(function: object) -> str | None:
    """Return the name by which a file refers to a function, or None if it is not allowed.

    Parameters
    ----------
    function : callable
        Function or class of an optimizer.

    Returns
    -------
    name : str or None
        Name in the list.
    """
    ending = f".{getattr(function, '__name__', '')}"
    names = [name for name in _FUNCTIONS if name.endswith(ending)]
    return next((name for name in names if find_function(name) is function), None)


def find_function(name: str) -> object:
    """Return the function that a file refers to.

    Parameters
    ----------
    name : str
        Name in the file.

    Returns
    -------
    function : callable
        Function or class of an optimizer.

    Raises
    ------
    LookupError
        If the function is not in the list.
    """
    if name not in _FUNCTIONS:
        raise LookupError(
            f"it names the function {name!r}, which is not on the list of functions that may be "
            f"loaded"
        )
    return getattr(import_module(_FUNCTIONS[name]), name.rpartition(".")[2])
