"""Volumes that decide r."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ..evaluation.effective_n import r_without, strongest_burst
from ..evaluation.metrics import unit_pair
from .scores import model_rows, region_of
from .style import COLORS, axes_of, clean


def plot_influence(comparison, region=None, *, model=None, ax=None) -> Axes:
    """Plot how much every volume raises r, and the stretch of volumes that carries most of it.

    Parameters
    ----------
    comparison : Comparison
        Result of :func:`sklearn_beira.compare`.
    region : str, int or None
        Name of the region; None draws the one with the highest r.
    model : str or None
        Name of the model; None takes the first.
    ax : matplotlib.axes.Axes or None
        Axes to draw on; None makes a figure.

    Returns
    -------
    ax : matplotlib.axes.Axes
        The axes. Volumes of all recordings follow each other; lines separate the recordings. The
        shaded stretch is as long as the autocorrelations of BOLD and prediction make neighboring
        volumes redundant. The title shows r, and r without it (``r_without_burst``).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn_beira import BlockedKFold, compare, plot_influence
    >>> X = np.random.default_rng(0).standard_normal((100, 3))
    >>> y = X[:, :2] * np.where(np.arange(100) < 3, 9, 1)[:, None]
    >>> cv = BlockedKFold(5, gap=0)
    >>> comparison = compare(Ridge(), X, y, cv=cv, null=None, verbose=False)
    >>> plot_influence(comparison, "ROI 0").get_ylabel()
    'change of r'
    """
    scores = model_rows(comparison, model)
    model, region = scores["model"].iloc[0], region_of(scores, region)
    rows = np.flatnonzero(comparison.blocks >= 0)
    rows = rows[np.lexsort([comparison.times[rows], comparison.recordings[rows]])]
    rows = rows[np.argsort(pd.factorize(comparison.blocks[rows])[0], kind="stable")]
    tables = comparison.bold, comparison.predictions[model]
    series = [table[[region]].to_numpy()[rows] for table in tables]
    x, y, codes = unit_pair(*series, comparison.blocks[rows])
    (start,), (length,), (rest,) = strongest_burst(x, y, codes)
    r = float((x * y).sum())
    ax = axes_of(ax, 8.4, 2.4)
    ax.axvspan(start - 0.5, start + length - 0.5, color="0.9", lw=0)
    ax.bar(np.arange(len(rows)), r - r_without(x[:, 0], y[:, 0], 1), 1.0, color=COLORS[0])
    for border in np.flatnonzero(np.diff(pd.factorize(comparison.recordings[rows])[0])):
        ax.axvline(border + 0.5, color="0.6", lw=0.8)
    ax.axhline(0, color="0.6", lw=0.8)
    title = f"{region}, {model}: r = {r:z.2f}, {rest:z.2f} without the shaded {length} volumes"
    ax.set_title(title, fontsize="medium")
    ax.set(xlabel="volume", ylabel="change of r")
    ax.margins(x=0.01)
    return clean(ax)
