"""How r depends on the delay between EEG and BOLD."""

import matplotlib.pyplot as plt

from .scores import has_interval, is_found, pooled_rows
from .style import COLORS, NULL, clean, group_sides

__all__ = ["plot_delay_curve"]

# Left, right, and what has no side.
_STYLES = {"L": (COLORS[0], "-", "o"), "R": (COLORS[5], "--", "s"), "": (COLORS[0], "-", "o")}


def plot_delay_curve(curve, *, alpha=0.05, n_columns=4, fig=None):
    """Plot r against the delay, a panel per structure, its left and right half together.

    The point is r, filled where ``p_max`` is at most ``alpha``; the line through a point is the
    interval of r, the gray band the range of r under the null. The vertical line is delay 0: left
    of it the model also reads EEG after the volume.

    Parameters
    ----------
    curve : Comparison
        What :func:`sklearn_beira.delay_curve` returned.
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
    """
    curve = getattr(curve, "table", curve)
    if "delay" not in getattr(curve, "columns", ()):
        raise ValueError("the table has no column 'delay'; give what delay_curve returned.")
    curve = pooled_rows(curve)
    structures = group_sides(list(curve["region"].unique()))
    regions = list(curve["region"].unique())
    n_columns = min(n_columns, len(structures))
    n_rows = -(-len(structures) // n_columns)
    if fig is None:
        size = (round(0.6 + 2.2 * n_columns, 1), round(0.7 + 1.7 * n_rows, 1))
        fig = plt.figure(figsize=size, layout="constrained")
    axes = fig.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False)
    shown = {}
    for k, (ax, (structure, sides)) in enumerate(zip(axes.flat, structures.items(), strict=False)):
        ax.axvline(0, color="0.6", lw=0.8, zorder=0)
        ax.axhline(0, color="0.6", lw=0.8, zorder=0)
        for side, i in sides.items():
            here = curve[curve["region"] == regions[i]].sort_values("delay")
            color, dashes, marker = _STYLES[side]
            ax.fill_between(
                here["delay"], here["null_low"], here["null_high"], color=NULL, lw=0, zorder=-1
            )
            ax.plot(here["delay"], here["r"], dashes, color=color, lw=1.3)
            told = has_interval(here)
            ax.vlines(
                here["delay"][told], here["ci_low"][told], here["ci_high"][told], color, lw=0.8
            )
            found = is_found(here, alpha)
            for mask, face in ((found, color), (~found, "white")):
                ax.plot(here["delay"][mask], here["r"][mask], marker, mfc=face, mec=color, ms=4)
            shown[{"L": "left", "R": "right"}.get(side, "no side")] = (color, dashes, marker)
        ax.set_title(structure, fontsize="medium")
        clean(ax)
        if k % n_columns == 0:
            ax.set_ylabel("Pearson's r")
        below = k + n_columns >= len(structures)
        ax.tick_params(labelbottom=below)
        if below:
            ax.set_xlabel("delay (s)")
    for ax in axes.flat[len(structures) :]:
        ax.set_axis_off()
    handles = [
        plt.Line2D([], [], color=color, ls=dashes, marker=marker, label=name)
        for name, (color, dashes, marker) in shown.items()
    ]
    if curve["p_max"].notna().any():
        hollow = {"ls": "", "marker": "o", "color": "0.2", "mfc": "white"}
        handles += [
            plt.Line2D([], [], **hollow, label=f"p_max > {alpha:g}"),
            plt.Rectangle((0, 0), 1, 1, color=NULL, label="range of the null"),
        ]
    # Five entries take 6 inches.
    fig.legend(
        handles=handles,
        loc="outside lower center",
        ncols=5 if fig.bbox.width / fig.dpi > 6 else 2,
        frameon=False,
        fontsize="small",
    )
    return fig
