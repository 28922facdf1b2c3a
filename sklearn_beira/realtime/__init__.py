"""Predictions while EEG is recorded."""

from .twin import BoldTwin

__all__ = ["BoldTwin"]
