"""Alignment of EEG and BOLD: one sample for each acquired volume."""

from .align import align
from .nuisance import channel_nuisance, loud_eeg
from .physio import physio_confounds
from .seams import split_at_seams

__all__ = ["align", "channel_nuisance", "loud_eeg", "physio_confounds", "split_at_seams"]
