"""BEIRARegressor: branches of each region, read by delay kernels or by a network."""

from .estimator import BEIRARegressor, make_paper_beira

__all__ = ["BEIRARegressor", "make_paper_beira"]
