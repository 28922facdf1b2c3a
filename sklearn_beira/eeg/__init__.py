"""EEG: windows over continuous recordings, and what is done to recordings before a model."""

from .filters import EEGFilter, Windower
from .rows import tail_split
from .windows import EEGWindows

__all__ = ["EEGFilter", "EEGWindows", "Windower", "tail_split"]
