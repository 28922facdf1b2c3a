"""Predictions while EEG is recorded."""

from .screen import show_live
from .session import run_live
from .twin import BoldTwin

__all__ = ["BoldTwin", "run_live", "show_live"]
