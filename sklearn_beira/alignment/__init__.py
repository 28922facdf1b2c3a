"""Where EEG and BOLD meet: one sample for each acquired volume."""

from .align import align

__all__ = ["align"]
