"""Data sets: simulated recordings with known truth, studies in folders, loaders for public ones."""

from .bids import load_bids
from .cwl import load_cwl
from .noddi import load_noddi
from .simulation import make_eeg_fmri
from .sleep import load_sleep_states
from .study import Study
from .vu import load_vu

__all__ = [
    "Study",
    "load_bids",
    "load_cwl",
    "load_noddi",
    "load_sleep_states",
    "load_vu",
    "make_eeg_fmri",
]
