"""Predict fMRI BOLD of brain regions from EEG, as scikit-learn estimators."""

from .preprocessing import EEGFilter, Windower
from .regressor import BEIRARegressor
from .roi import ROIExtractor
from .windows import EEGWindows, align

from ._version import __version__

__all__ = ["BEIRARegressor", "EEGFilter", "EEGWindows", "ROIExtractor", "Windower", "align"]
