"""What a fitted model has learned, read from its branches: arrays in, arrays out.

``reading`` puts together what the other modules compute: maps and spectra (``patterns``), what
moves the prediction (``importance``), and how BOLD follows a branch in time (``responses``).
``envelopes`` follows the branches over a recording, ``permutation`` asks which channels and bands
a model needs, ``matching`` compares the branches of several fits, and ``randomisation`` those of a
model with copies that have learned nothing.
"""

from .envelopes import branch_envelopes
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
    "maps_of_random_weights",
    "match_branches",
    "randomize_branches",
    "read_branches",
]
