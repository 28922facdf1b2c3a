"""How r grows with the minutes of a person's own data."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ..evaluation.metrics import t_of_mean
from .style import COLORS, axes_of, clean, legend_beside

# By model: color, dashes and marker.
_STYLES = {
    "others": ("0.45", "--", None),
    "own": (COLORS[1], "-", "s"),
    "calibrated": (COLORS[0], "-", "o"),
}


def plot_learning_curve(curve: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Plot r against the minutes of a person's own data.

    Parameters
    ----------
    curve : DataFrame
        Result of :func:`sklearn_beira.learning_curve_minutes`.
    ax : matplotlib.axes.Axes or None
        Axes to draw on; None makes a figure.

    Returns
    -------
    ax : matplotlib.axes.Axes
        The axes. Points are means over people of r, averaged over regions. Bars are 95 % t
        intervals over people of the difference to "others".

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_beira import plot_learning_curve
    >>> rows = [(s, m, k, "ROI 0", 0.1) for s in "AB" for m in (1, 3) for k in ("others", "own")]
    >>> curve = pd.DataFrame(rows, columns=["subject", "minutes", "model", "region", "r"])
    >>> plot_learning_curve(curve).get_xlabel()
    'minutes of own data'
    """
    needed = ["subject", "minutes", "model", "region", "r"]
    if not isinstance(curve, pd.DataFrame) or not set(needed) <= set(curve.columns):
        raise ValueError(
            f"curve must be the table of learning_curve_minutes, with columns {', '.join(needed)}."
        )
    ax = axes_of(ax, 6.4, 3.2)
    r = curve.groupby(["model", "minutes", "subject"])["r"].mean().unstack()
    minutes = np.unique(curve["minutes"])
    at = np.arange(len(minutes))
    for k, (name, (color, dashes, marker)) in enumerate(_STYLES.items()):
        if name not in r.index.get_level_values("model"):
            continue
        own = r.loc[name].loc[minutes].astype(float)
        mean, half = own.mean(axis=1), None
        if name != "others" and own.shape[1] > 1:
            differences = (own - r.loc["others"].loc[minutes]).to_numpy().T
            half = t_of_mean(differences, 0.0, 0.95)[2]
        line = {"color": color, "ls": dashes, "marker": marker, "ms": 4, "lw": 1.3}
        x = at + 0.06 * (k - 1)
        ax.errorbar(x, mean.to_numpy(), half, **line, elinewidth=0.8, label=name)
    ax.axhline(0, color="0.6", lw=0.8, zorder=0)
    clean(ax).set_xticks(at, [f"{m:g}" for m in minutes])
    ax.set(
        xlabel="minutes of own data",
        ylabel="Pearson's r",
        title=f"Mean of {r.shape[1]} people, volumes after the longest length",
    )
    ax.title.set_fontsize("medium")
    legend_beside(ax)
    return ax
