"""EEG: windows of recordings, filters, and the memory that results may take."""

from .cache import set_cache_size
from .filters import EEGFilter, Windower
from .windows import EEGWindows

__all__ = ["EEGFilter", "EEGWindows", "Windower", "set_cache_size"]
