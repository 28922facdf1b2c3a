"""Alignment of EEG and BOLD: one sample for each acquired volume."""

from .align import align

__all__ = ["align"]
