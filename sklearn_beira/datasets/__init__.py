"""Data sets: simulated recordings with known truth, and loaders for public ones."""

from .cwl import load_cwl
from .simulation import make_eeg_fmri

__all__ = ["load_cwl", "make_eeg_fmri"]
