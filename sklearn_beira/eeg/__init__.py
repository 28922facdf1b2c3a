"""EEG: windows over continuous recordings, and what is done to recordings before a model."""

from .filters import EEGFilter, Windower
from .rows import tail_split
from .windows import EEGWindows, window_reach

__all__ = ["EEGFilter", "EEGWindows", "Windower", "tail_split", "window_reach"]
