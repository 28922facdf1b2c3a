"""Alignment of EEG and BOLD: one sample for each acquired volume."""

from .align import align
from .seams import split_at_seams

__all__ = ["align", "split_at_seams"]
