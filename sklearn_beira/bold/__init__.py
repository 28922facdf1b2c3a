"""BOLD: region signals from images."""

from .roi import ROIExtractor

__all__ = ["ROIExtractor"]
