"""Saving and loading fitted models, without pickle."""

from ..exceptions import ModelFileError
from .export import export_network
from .saving import load_model, read_metadata, save_model

__all__ = ["ModelFileError", "export_network", "load_model", "read_metadata", "save_model"]
