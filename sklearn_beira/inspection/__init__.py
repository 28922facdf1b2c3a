"""Read what a fitted model has learned from its branches, as arrays.

``reading`` combines the maps and spectra of ``patterns``, the importances of ``importance`` and the
delay kernels of ``responses``. ``envelopes`` computes the envelopes over a recording,
``permutation`` measures which channels and bands a model needs, ``matching`` compares the branches
of several fits, ``group`` finds those that people share, and ``randomization`` compares a model
with copies whose weights are shuffled.
"""

from .envelopes import branch_envelopes
from .group import group_branches
from .importance import branch_importance
from .matching import match_branches
from .patterns import branch_patterns, cross_spectrum
from .permutation import band_importance, channel_importance
from .randomization import maps_of_random_weights, randomize_branches
from .reading import read_branches

__all__ = [
    "band_importance",
    "branch_envelopes",
    "branch_importance",
    "branch_patterns",
    "channel_importance",
    "cross_spectrum",
    "group_branches",
    "maps_of_random_weights",
    "match_branches",
    "randomize_branches",
    "read_branches",
]
