"""Figures, drawn on the axes or the figure that is given and returned, and the HTML report."""

from .brain import plot_rois
from .brain_map import plot_brain_map
from .branches import plot_branch, plot_branches
from .cleaning import plot_residual_artifacts
from .delays import plot_delay_curve
from .importance import plot_band_importance, plot_channel_importance, plot_stability
from .influence import plot_influence
from .learning_curve import plot_learning_curve
from .predictions import plot_predictions, plot_time_course
from .recording import plot_alignment, plot_spectrum
from .report import make_report
from .scores import plot_comparison, plot_scores
from .training import plot_training

__all__ = [
    "make_report",
    "plot_alignment",
    "plot_band_importance",
    "plot_brain_map",
    "plot_branch",
    "plot_branches",
    "plot_channel_importance",
    "plot_comparison",
    "plot_delay_curve",
    "plot_influence",
    "plot_learning_curve",
    "plot_predictions",
    "plot_residual_artifacts",
    "plot_rois",
    "plot_scores",
    "plot_spectrum",
    "plot_stability",
    "plot_time_course",
    "plot_training",
]
