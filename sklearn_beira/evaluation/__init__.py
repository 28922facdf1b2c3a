"""Honest evaluation: folds, scores, comparisons of models, null distributions."""

from .assumptions import kpss
from .brain_map import BrainMap
from .comparison import Comparison, compare, delay_curve, paired_test
from .mapping import map_brain
from .metrics import (
    effective_n,
    group_scores,
    pearson_r,
    pearson_r_scorer,
    r_interval,
    r_p_value,
    region_scorers,
    region_scores,
)
from .null import NullTest, null_test
from .paper_protocol import paper_protocol
from .prediction import predict_frame
from .splitters import BlockedKFold, LeaveOneSubjectOut

__all__ = [
    "BlockedKFold",
    "BrainMap",
    "Comparison",
    "LeaveOneSubjectOut",
    "NullTest",
    "compare",
    "delay_curve",
    "effective_n",
    "group_scores",
    "kpss",
    "map_brain",
    "null_test",
    "paired_test",
    "paper_protocol",
    "pearson_r",
    "pearson_r_scorer",
    "predict_frame",
    "r_interval",
    "r_p_value",
    "region_scorers",
    "region_scores",
]
