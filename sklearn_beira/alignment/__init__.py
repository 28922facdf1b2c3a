"""Alignment of EEG and BOLD: one sample for each acquired volume."""

from .align import align
from .nuisance import channel_nuisance, loud_eeg
from .seams import split_at_seams

__all__ = ["align", "channel_nuisance", "loud_eeg", "split_at_seams"]
