"""BOLD: region signals from images, and tables."""

from .roi import ROIExtractor
from .tables import load_table

__all__ = ["ROIExtractor", "load_table"]
