"""Warnings and errors of this package."""

__all__ = ["GapWarning", "ModelFileError", "StationarityWarning"]


class GapWarning(UserWarning):
    """Test and training volumes are so close that they may share EEG, or BOLD that is alike."""


class StationarityWarning(UserWarning):
    """BOLD is not what a null assumes: it drifts, has bursts, or differs between recordings."""


class ModelFileError(ValueError):
    """A file that is not a model of this package, or not one that can be read safely."""
