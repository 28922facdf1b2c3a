"""Predict fMRI BOLD of brain regions from EEG, as scikit-learn estimators."""

from ._version import __version__
from .alignment import align
from .comparison import compare, delay_curve, paired_test
from .persistence import load_model, save_model
from .preprocessing import EEGFilter, Windower
from .protocols import paper_protocol
from .regressor import BEIRARegressor, make_paper_beira
from .roi import ROIExtractor
from .significance import null_test
from .windows import EEGWindows

__all__ = [
    "BEIRARegressor",
    "EEGFilter",
    "EEGWindows",
    "ROIExtractor",
    "Windower",
    "__version__",
    "align",
    "compare",
    "delay_curve",
    "load_model",
    "make_paper_beira",
    "null_test",
    "paired_test",
    "paper_protocol",
    "save_model",
]
