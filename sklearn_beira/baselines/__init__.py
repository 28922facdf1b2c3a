"""Baselines: models of the same X and y, each with its reference."""

from .lagged_power import BandedRidgeCV, FingerprintRidgeCV
from .makers import (
    make_alpha_hrf,
    make_band_power_ridge,
    make_banded_ridge,
    make_baselines,
    make_brainwavelinker,
    make_eeg_fingerprint,
    make_eegnet,
    make_mean,
    make_nuisance_ridge,
    make_pls,
    make_sparse_group_lasso,
    make_spoc_ridge,
    make_tangent_space_ridge,
    make_time_polynomial,
)
from .nuisance import NuisanceRidge
from .ridge import BlockedRidgeCV
from .sparse import SparseGroupLassoCV
from .spoc import SPoCRidgeCV

__all__ = [
    "BandedRidgeCV",
    "BlockedRidgeCV",
    "FingerprintRidgeCV",
    "NuisanceRidge",
    "SPoCRidgeCV",
    "SparseGroupLassoCV",
    "make_alpha_hrf",
    "make_band_power_ridge",
    "make_banded_ridge",
    "make_baselines",
    "make_brainwavelinker",
    "make_eeg_fingerprint",
    "make_eegnet",
    "make_mean",
    "make_nuisance_ridge",
    "make_pls",
    "make_sparse_group_lasso",
    "make_spoc_ridge",
    "make_tangent_space_ridge",
    "make_time_polynomial",
]
