"""Cleaning of EEG from a scanner: gradient and pulse artifacts, carbon wires, and what is left."""

from .gradient import remove_gradient
from .pulse import remove_pulse
from .residual import residual_artifacts
from .together import remove_scanner_artifacts
from .wires import CarbonWireRegression

__all__ = [
    "CarbonWireRegression",
    "remove_gradient",
    "remove_pulse",
    "remove_scanner_artifacts",
    "residual_artifacts",
]
