"""EEG: windows of recordings, filters, alignment of people, and the memory for results."""

from .cache import set_cache_size
from .causal import FilterStream
from .filters import EEGFilter, Windower
from .people import AlignmentStream, SubjectAligner
from .windows import EEGWindows

__all__ = [
    "AlignmentStream",
    "EEGFilter",
    "EEGWindows",
    "FilterStream",
    "SubjectAligner",
    "Windower",
    "set_cache_size",
]
