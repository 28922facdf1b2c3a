"""BEIRARegressor: branches of each region, read by delay kernels or by a network."""

from .architectures import Autoencoder, BrainWaveLinker, Compact, CustomNetwork, EEGNet
from .estimator import BEIRARegressor, make_paper_beira
from .nets.losses import LOSSES, WeightedLoss
from .training import Training, tail_split
from .whole_brain import WholeBrainRegressor

__all__ = [
    "LOSSES",
    "Autoencoder",
    "BEIRARegressor",
    "BrainWaveLinker",
    "Compact",
    "CustomNetwork",
    "EEGNet",
    "Training",
    "WeightedLoss",
    "WholeBrainRegressor",
    "make_paper_beira",
    "tail_split",
]
