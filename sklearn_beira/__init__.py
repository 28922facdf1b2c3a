"""Predict fMRI BOLD of brain regions from EEG, as scikit-learn estimators."""

from ._version import __version__
from .preprocessing import EEGFilter, Windower
from .regressor import BEIRARegressor, make_compact_beira
from .roi import ROIExtractor
from .windows import EEGWindows, align

__all__ = [
    "BEIRARegressor",
    "EEGFilter",
    "EEGWindows",
    "ROIExtractor",
    "Windower",
    "__version__",
    "align",
    "make_compact_beira",
]
