"""Features of EEG windows: band power, covariances, hemodynamic responses, time."""

from .band_power import BANDS, BandPower, band_power
from .covariance import BandCovariance, BandTangentSpace
from .hrf import HRFBandPower, hrf_at, response_basis
from .time import TimePolynomial

__all__ = [
    "BANDS",
    "BandCovariance",
    "BandPower",
    "BandTangentSpace",
    "HRFBandPower",
    "TimePolynomial",
    "band_power",
    "hrf_at",
    "response_basis",
]
