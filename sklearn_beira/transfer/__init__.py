"""Models for people they were not fitted to: calibration with a few minutes of a new person."""

from .calibrated import CalibratedRegressor
from .learning_curve import learning_curve_minutes
from .subjects import SubjectRegressor

__all__ = ["CalibratedRegressor", "SubjectRegressor", "learning_curve_minutes"]
