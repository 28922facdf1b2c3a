"""Warnings and errors of this package."""

__all__ = ["GapWarning", "ModelFileError", "StationarityWarning"]


class GapWarning(UserWarning):
    """Test and training volumes are close enough to share EEG or autocorrelated BOLD."""


class StationarityWarning(UserWarning):
    """BOLD violates an assumption of the null: it drifts, has bursts or differs between runs."""


class ModelFileError(ValueError):
    """A file does not hold a model of this package, or cannot be read safely."""
