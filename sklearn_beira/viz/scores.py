"""How well every model predicts every region."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from .style import CEILING, COLORS, MARKERS, NULL, clean, group_sides, legend_beside

__all__ = ["plot_comparison", "plot_scores"]


def plot_scores(comparison, *, ceiling=None, alpha=0.05, ax=None):
    """Plot r of every model in every region, left and right halves beside each other.

    The point is r, filled where ``p_max`` is at most ``alpha``; the line is the interval of r, the
    gray bar the range of r under the null. Models stand in the order of the table.

    Parameters
    ----------
    comparison : Comparison
        What :func:`sklearn_beira.compare` returned.
    ceiling : array-like of shape (n_rois,) or None
        Highest r there can be, where it is known, as in a simulation.
    alpha : float
        Level at which points are filled.
    ax : matplotlib.axes.Axes or None
        Where to draw; None makes a figure.

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
    _check_ceiling(ceiling, regions)
    structures = group_sides(regions)
    if ax is None:
        width = 1.6 + max(0.1 * len(regions) * len(models), 0.42 * len(regions))
        _, ax = plt.subplots(figsize=(round(width + 1.0, 1), 3.4), layout="constrained")
    # A place per region, and half a place between structures.
    at, middles, k = np.zeros(len(regions)), [], 0.0
    for sides in structures.values():
        own = k + np.arange(len(sides))
        at[list(sides.values())] = own
        middles.append(own.mean())
        k = own[-1] + 1.5
    shifts = (np.arange(len(models)) - (len(models) - 1) / 2) * min(0.2, 0.8 / len(models))
    wide = 0.8 * (shifts[1] - shifts[0] if len(models) > 1 else 0.2)
    styles = zip(itertools.cycle(COLORS), itertools.cycle(MARKERS), strict=False)
    for name, shift, (color, marker) in zip(models, shifts, styles, strict=False):
        here = table[table["model"] == name].set_index("region").loc[regions]
        x = at + shift
        ax.bar(x, here["null_high"] - here["null_low"], wide, bottom=here["null_low"], color=NULL)
        told = has_interval(here)
        ax.vlines(x[told], here["ci_low"][told], here["ci_high"][told], color=color, lw=1.2)
        found = is_found(here, alpha)
        for mask, face in ((found, color), (~found, "white")):
            ax.plot(x[mask], here["r"][mask], marker, mfc=face, mec=color, ms=4.5, mew=1.1)
        ax.plot([], [], marker, color=color, label=str(name))
    if ceiling is not None:
        ax.hlines(ceiling, at - 0.45, at + 0.45, color=CEILING, lw=1.5, ls=":", label="ceiling")
    if table["p_max"].notna().any():
        ax.plot([], [], "o", mfc="white", mec="0.2", label=f"hollow: p_max > {alpha:g}")
        ax.bar([np.nan], [np.nan], color=NULL, label="range of the null")
    ax.axhline(0, color="0.6", lw=0.8, zorder=0)
    sides = {i: side for pair in structures.values() for side, i in pair.items()}
    ax.set_xticks(at, [sides[i] for i in range(len(regions))], fontsize="small")
    crowded = max(map(len, structures)) > 11 and len(structures) > 4
    for middle, structure in zip(middles, structures, strict=True):
        ax.annotate(
            str(structure) if crowded else str(structure).replace(" ", "\n", 1),
            (middle, 0),
            xycoords=("data", "axes fraction"),
            xytext=(4 if crowded else 0, -18),
            textcoords="offset points",
            ha="right" if crowded else "center",
            va="top",
            rotation=35 if crowded else 0,
            rotation_mode="anchor" if crowded else "default",
            fontsize="small",
        )
    ax.set(ylabel="Pearson's r", xlim=(-0.7, at.max() + 0.7))
    legend_beside(ax)
    return clean(ax)


def plot_comparison(comparison, *, ceiling=None, alpha=0.05, n_columns=4, fig=None):
    """Plot every model in every region: r, its interval, and its null.

    A panel per region, a row per model (or per delay), in the order of the table. The point is r,
    filled where ``p_max`` is at most ``alpha``; the line is the interval of r, the gray bar the
    range of r under the null.

    Parameters
    ----------
    comparison : Comparison
        What :func:`sklearn_beira.compare` or :func:`sklearn_beira.delay_curve` returned.
    ceiling : array-like of shape (n_rois,) or None
        Highest r there can be, where it is known, as in a simulation.
    alpha : float
        Level at which points are filled.
    n_columns : int
        Panels beside each other.
    fig : matplotlib.figure.Figure or None
        Where to draw; None makes one.

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
    regions = list(table["region"].unique())
    _check_ceiling(ceiling, regions)
    # The first model on top.
    models = list(table["model"].unique()[::-1])
    n_columns = min(n_columns, len(regions))
    n_rows = -(-len(regions) // n_columns)
    if fig is None:
        size = (2.0 + 2.0 * n_columns, 0.9 + n_rows * (0.75 + 0.24 * len(models)))
        fig = plt.figure(figsize=tuple(round(inches, 1) for inches in size), layout="constrained")
    axes = fig.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False)
    for i, ax in enumerate(axes.flat):
        if i >= len(regions):
            ax.set_axis_off()
            continue
        here = table[table["region"] == regions[i]].set_index("model").loc[models]
        at = np.arange(len(models))
        ax.axvline(0, color="0.6", lw=0.8, zorder=0)
        ax.barh(at, here["null_high"] - here["null_low"], 0.62, left=here["null_low"], color=NULL)
        # Dotted where nothing can be said of the interval; where r is not defined, no line.
        told = has_interval(here)
        interval = here.loc[told, ["ci_low", "ci_high"]].to_numpy().T
        ax.hlines(at[told], *interval, color=COLORS[0], lw=1.2)
        for row in at[~told & (here["r"] != 0).to_numpy()]:
            ax.axhline(row, color=COLORS[0], lw=1.0, ls=":")
        found = is_found(here, alpha)
        for mask, face in ((found, COLORS[0]), (~found, "white")):
            ax.plot(here["r"][mask], at[mask], "o", mfc=face, mec=COLORS[0], ms=5, mew=1.2)
        if ceiling is not None and ceiling[i] > 0:
            ax.axvline(ceiling[i], color=CEILING, lw=1.2, ls=":")
        ax.set_title(regions[i], fontsize="medium")
        ax.set_yticks(at, models)
        ax.tick_params(axis="y", length=0)
        clean(ax)
        # In every row: with many regions the last one is far from the first.
        ax.tick_params(labelbottom=True)
        if i + n_columns >= len(regions):
            ax.set_xlabel("Pearson's r")
    handles = [Line2D([], [], color=COLORS[0], marker="o", mfc=COLORS[0], lw=1.2)]
    labels = ["r and its interval"]
    if table["p_max"].notna().any():
        handles += [
            Line2D([], [], color=COLORS[0], marker="o", mfc="white", lw=1.2),
            Patch(color=NULL),
        ]
        labels = [f"{labels[0]}, p_max ≤ {alpha:g}", f"p_max > {alpha:g}", "range of the null"]
    if ceiling is not None:
        handles.append(Line2D([], [], color=CEILING, lw=1.2, ls=":"))
        labels.append("ceiling")
    # Four entries take 7 inches.
    fig.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=4 if fig.bbox.width / fig.dpi > 7 else 2,
        frameon=False,
        fontsize="small",
    )
    return fig


def pooled_rows(comparison):
    """Rows over all folds of what compare or delay_curve returned, or of its table."""
    table = getattr(comparison, "table", comparison)
    missing = {"scope", "region", "r", "ci_low", "ci_high"} - set(getattr(table, "columns", ()))
    if missing:
        raise ValueError(
            f"the table lacks the columns {', '.join(sorted(missing))}; give what compare or "
            f"delay_curve returned."
        )
    return table[table["scope"] == "pooled"]


def has_interval(rows):
    """Where the interval says more than that r lies between -1 and 1."""
    return (rows["ci_high"] - rows["ci_low"] < 2).to_numpy()


def is_found(rows, alpha):
    """Where r is higher than the null explains; everywhere, where no null was drawn."""
    return (~(rows["p_max"] > alpha)).to_numpy()


def _check_ceiling(ceiling, regions):
    if ceiling is not None and len(ceiling) != len(regions):
        raise ValueError(f"ceiling has {len(ceiling)} value(s) for {len(regions)} region(s).")
