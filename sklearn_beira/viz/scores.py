"""How well every model predicts every region."""

from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ..evaluation.comparison import check_ceiling
from .style import (
    CEILING,
    COLORS,
    MARKERS,
    NULL,
    axes_of,
    clean,
    group_sides,
    legend_below,
    legend_beside,
    panels,
)


def plot_scores(comparison, *, ceiling=None, alpha=0.05, ax=None) -> Axes:
    """Plot r of every model in every region on one axis, hemispheres side by side.

    Points are r, filled where ``p_max`` is at most ``alpha``. Lines are confidence intervals, gray
    bars the central range of r under the null. Models keep the order of the comparison.

    Parameters
    ----------
    comparison : Comparison
        Result of :func:`sklearn_beira.compare`.
    ceiling : array-like of shape (n_rois,) or None
        Highest possible r, where it is known, as in a simulation.
    alpha : float
        Level at which points are filled.
    ax : matplotlib.axes.Axes or None
        Axes to draw on; None makes a figure.

    Returns
    -------
    ax : matplotlib.axes.Axes
        The axes.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn_beira import compare
    >>> from sklearn_beira.evaluation import BlockedKFold
    >>> from sklearn_beira.viz import plot_scores
    >>> X = np.random.default_rng(0).standard_normal((100, 3))
    >>> cv = BlockedKFold(5, gap=0)
    >>> comparison = compare(Ridge(), X, X[:, :2], cv=cv, n_surrogates=19, verbose=False)
    >>> plot_scores(comparison).get_ylabel()
    "Pearson's r"
    """
    table = pooled_rows(comparison)
    regions, models = list(table["region"].unique()), list(table["model"].unique())
    check_ceiling(ceiling, regions)
    ax = axes_of(ax, 2.6 + max(0.1 * len(regions) * len(models), 0.42 * len(regions)), 3.4)
    at = _label_structures(ax, regions)
    step = min(0.2, 0.8 / len(models))
    for k, (name, color, marker) in enumerate(zip(models, cycle(COLORS), cycle(MARKERS))):
        here = table[table["model"] == name].set_index("region").loc[regions]
        x = at + (k - (len(models) - 1) / 2) * step
        ax.bar(x, here["null_high"] - here["null_low"], 0.8 * step, here["null_low"], color=NULL)
        known = has_interval(here)
        ax.vlines(x[known], here["ci_low"][known], here["ci_high"][known], color=color, lw=1.2)
        style = {"color": color, "marker": marker, "ms": 4.5, "mew": 1.1}
        draw_points(ax, x, here["r"], here["p_max"], alpha, **style)
        ax.plot([], [], marker, color=color, label=str(name))
    if ceiling is not None:
        ax.hlines(ceiling, at - 0.45, at + 0.45, color=CEILING, lw=1.5, ls=":", label="ceiling")
    if table["p_max"].notna().any():
        ax.plot([], [], "o", mfc="white", mec="0.2", label=f"hollow: p_max > {alpha:g}")
        ax.bar([np.nan], [np.nan], color=NULL, label="range of the null")
    ax.axhline(0, color="0.6", lw=0.8, zorder=0)
    ax.set(ylabel="Pearson's r", xlim=(-0.7, at.max() + 0.7))
    legend_beside(ax)
    return clean(ax)


_BEYOND = {"color": COLORS[1], "marker": "D", "ms": 4}


def plot_comparison(comparison, *, ceiling=None, alpha=0.05, n_columns=4, fig=None) -> Figure:
    """Plot r, its confidence interval and its null, with a panel per region.

    Points are r, filled where ``p_max`` is at most ``alpha``. Lines are confidence intervals, gray
    bars the central range of r under the null. Diamonds are r beyond nuisance signals, filled in
    the same way. A panel has one row per model (or delay), in the order of the comparison.

    Parameters
    ----------
    comparison : Comparison
        Result of :func:`sklearn_beira.compare` or :func:`sklearn_beira.delay_curve`.
    ceiling : array-like of shape (n_rois,) or None
        Highest possible r, where it is known, as in a simulation.
    alpha : float
        Level at which points are filled.
    n_columns : int
        Number of panels beside each other.
    fig : matplotlib.figure.Figure or None
        Figure to draw on; None makes one.

    Returns
    -------
    fig : matplotlib.figure.Figure
        The figure.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn_beira import BlockedKFold, compare, plot_comparison
    >>> X = np.random.default_rng(0).standard_normal((100, 3))
    >>> cv = BlockedKFold(5, gap=0)
    >>> comparison = compare(Ridge(), X, X[:, :2], cv=cv, n_surrogates=19, verbose=False)
    >>> len(plot_comparison(comparison).axes)
    2
    """
    table = pooled_rows(comparison)
    if "delay" in table:
        table = table.assign(model=[f"{delay:zg} s" for delay in table["delay"]])
    regions, models = list(table["region"].unique()), list(table["model"].unique())
    check_ceiling(ceiling, regions)
    beyond = None if comparison.beyond is None else pooled_rows(comparison.beyond)
    height = 0.9, 0.75 + 0.24 * len(models)
    fig, axes, is_lowest = panels(regions, n_columns, fig, (2.0, 2.0), height)
    for i, (ax, region) in enumerate(zip(axes, regions, strict=True)):
        # The first model on top.
        here = table[table["region"] == region].set_index("model").loc[models[::-1]]
        _draw_forest(ax, here, alpha, None if ceiling is None else ceiling[i])
        if beyond is not None:
            left = beyond[beyond["region"] == region].set_index("model")
            at = here.index.get_indexer(left.index) - 0.25
            draw_points(ax, left["r"], at, left["p_max"], alpha, **_BEYOND)
        if is_lowest[i]:
            ax.set_xlabel("Pearson's r")
    point = {"color": COLORS[0], "marker": "o", "lw": 1.2}
    tested = table["p_max"].notna().any()
    label = "r and its interval"
    handles = [Line2D([], [], **point, label=f"{label}, p_max ≤ {alpha:g}" if tested else label)]
    if tested:
        handles.append(Line2D([], [], **point, mfc="white", label=f"p_max > {alpha:g}"))
        handles.append(Patch(color=NULL, label="range of the null"))
    if beyond is not None:
        handles.append(Line2D([], [], ls="", **_BEYOND, label="r beyond nuisance"))
    if ceiling is not None:
        handles.append(Line2D([], [], color=CEILING, lw=1.2, ls=":", label="ceiling"))
    legend_below(fig, handles, width=7)
    return fig


def model_rows(comparison, model=None) -> pd.DataFrame:
    """Return the pooled rows of a model, the first one if None, indexed by region."""
    pooled = pooled_rows(comparison)  # refuses what is not a Comparison
    return comparison._pooled(pooled["model"].iloc[0] if model is None else model)


def pooled_rows(comparison) -> pd.DataFrame:
    """Select the rows over all folds of a Comparison."""
    table = getattr(comparison, "table", None)
    if table is None:
        raise TypeError(
            f"comparison must be a Comparison, got {type(comparison).__name__}; give the result of "
            f"compare or delay_curve."
        )
    return table[table["scope"] == "pooled"]


def region_of(rows, region) -> str:
    """Return the name of a region, or that of the highest r if None; refuse what is unknown."""
    region = rows["r"].idxmax() if region is None else str(region)
    if region not in rows.index:
        known = ", ".join(map(str, rows.index))
        raise ValueError(f"the comparison has no region {region!r}; it has {known}.")
    return region


def has_interval(rows):
    """Tell where the interval is narrower than from -1 to 1."""
    return (rows["ci_high"] - rows["ci_low"] < 2).to_numpy()


def draw_points(ax, x, y, p_max, alpha, **style):
    """Draw points, hollow where p_max is above alpha."""
    hollow = (p_max > alpha).to_numpy()
    for mask, face in ((~hollow, style["color"]), (hollow, "white")):
        ax.plot(x[mask], y[mask], ls="", mfc=face, **style)


def _draw_forest(ax, rows, alpha, ceiling):
    """Draw r, interval and null of one region, a row per model from bottom to top."""
    at = np.arange(len(rows))
    ax.axvline(0, color="0.6", lw=0.8, zorder=0)
    ax.barh(at, rows["null_high"] - rows["null_low"], 0.62, left=rows["null_low"], color=NULL)
    known = has_interval(rows)
    ax.hlines(at[known], rows["ci_low"][known], rows["ci_high"][known], color=COLORS[0], lw=1.2)
    # Dotted where the interval is unknown; no line where r is undefined.
    for row in at[~known & (rows["r"] != 0).to_numpy()]:
        ax.axhline(row, color=COLORS[0], lw=1.0, ls=":")
    style = {"color": COLORS[0], "marker": "o", "ms": 5, "mew": 1.2}
    draw_points(ax, rows["r"], at, rows["p_max"], alpha, **style)
    if ceiling is not None and ceiling > 0:
        ax.axvline(ceiling, color=CEILING, lw=1.2, ls=":")
    ax.set_yticks(at, rows.index)
    ax.tick_params(axis="y", length=0)
    # Numbers below every panel: with many regions the last row is far from the first.
    clean(ax).tick_params(labelbottom=True)


def _label_structures(ax, regions):
    """Label the x axis with structures and hemispheres; return the place of each region."""
    structures = group_sides(regions)
    at, labels, left = np.zeros(len(regions)), [""] * len(regions), 0.0
    crowded = max(map(len, structures)) > 11 and len(structures) > 4
    style = {"xytext": (0, -18), "ha": "center"}
    if crowded:
        style = {"xytext": (4, -18), "ha": "right", "rotation": 35, "rotation_mode": "anchor"}
    for structure, sides in structures.items():
        own = left + np.arange(len(sides))
        at[list(sides.values())] = own
        for side, i in sides.items():
            labels[i] = side
        left = own[-1] + 1.5  # half a place between structures
        name = structure if crowded else structure.replace(" ", "\n", 1)
        ax.annotate(
            name, (own.mean(), 0), xycoords=("data", "axes fraction"), va="top", fontsize="small",
            textcoords="offset points", **style,
        )  # fmt: skip
    ax.set_xticks(at, labels, fontsize="small")
    return at
