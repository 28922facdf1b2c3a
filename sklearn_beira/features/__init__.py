"""Features of EEG: band power, covariances, hemodynamic responses, time."""

from .band_power import BandPower, band_power
from .bands import BANDS
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
