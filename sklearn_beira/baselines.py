"""Rival models over the same X: the bar that BEIRA has to clear."""

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from .features import BandPower
from .preprocessing import Windower

__all__ = ["make_band_power_ridge"]


def make_band_power_ridge(duration=16.0, *, bands="default", step=2.0, alphas=None):
    """Make the lagged band-power ridge, with a penalty of its own for every region.

    Log power of every channel, in every band, at every lag: the honest bar for any network.

    Parameters
    ----------
    duration : float
        History that the lags cover, in s.
    bands : dict of str to tuple of float, or "default"
        Bands in Hz, as in :class:`~sklearn_beira.features.BandPower`.
    step : float
        Length of the segments power is averaged over and distance of lags, in s.
    alphas : array-like or None
        Penalties to choose from, per region, by leave-one-out inside the training data; None takes
        25 from 1 to 1e6.

    Returns
    -------
    model : Pipeline
        ``window``, ``power``, ``scale`` and ``ridge``.

    Examples
    --------
    >>> from sklearn_beira.baselines import make_band_power_ridge
    >>> list(make_band_power_ridge().named_steps)
    ['window', 'power', 'scale', 'ridge']
    """
    alphas = np.logspace(0, 6, 25) if alphas is None else alphas
    return Pipeline(
        [
            ("window", Windower(duration, 0.0)),
            ("power", BandPower(bands, duration=step, step=step)),
            ("scale", StandardScaler()),
            ("ridge", RidgeCV(alphas, alpha_per_target=True)),
        ]
    )
