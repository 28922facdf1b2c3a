"""Data sets: simulated recordings with known truth, and loaders for public ones."""

from .bids import load_bids
from .cwl import load_cwl
from .simulation import make_eeg_fmri
from .study import Study

__all__ = ["Study", "load_bids", "load_cwl", "make_eeg_fmri"]
