"""How r depends on the delay between EEG and BOLD."""

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from .scores import draw_points, has_interval, pooled_rows
from .style import COLORS, NULL, clean, group_sides, legend_below, panels

# By side: name, color, dashes and marker.
_SIDES = {
    "L": ("left", COLORS[0], "-", "o"),
    "R": ("right", COLORS[5], "--", "s"),
    "": ("no side", COLORS[0], "-", "o"),
}


def plot_delay_curve(curve, *, alpha=0.05, n_columns=4, fig=None) -> Figure:
    """Plot r against the delay, with a panel per structure that holds both hemispheres.

    Points are r, filled where ``p_max`` is at most ``alpha``. Lines through points are confidence
    intervals, the gray band is the central range of r under the null. The vertical line marks
    delay 0; left of it the model also uses EEG after the volume.

    Parameters
    ----------
    curve : Comparison
        Result of :func:`sklearn_beira.delay_curve`.
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
    """
    table = pooled_rows(curve)
    if "delay" not in table:
        raise ValueError("the comparison has no delays; give the result of delay_curve.")
    regions = list(table["region"].unique())
    structures = group_sides(regions)
    fig, axes, is_lowest = panels(list(structures), n_columns, fig, (0.6, 2.2), (0.7, 1.7))
    for ax, sides, lowest in zip(axes, structures.values(), is_lowest, strict=True):
        ax.axvline(0, color="0.6", lw=0.8, zorder=0)
        ax.axhline(0, color="0.6", lw=0.8, zorder=0)
        for side, i in sides.items():
            here = table[table["region"] == regions[i]].sort_values("delay")
            _draw_curve(ax, here, alpha, *_SIDES[side][1:])
        clean(ax).tick_params(labelbottom=lowest)
        ax.set_xlabel("delay (s)" if lowest else "")
        ax.set_ylabel("Pearson's r" if ax.get_subplotspec().is_first_col() else "")
    shown = {side for sides in structures.values() for side in sides}
    handles = [
        Line2D([], [], color=color, ls=dashes, marker=marker, label=name)
        for side, (name, color, dashes, marker) in _SIDES.items()
        if side in shown
    ]
    if table["p_max"].notna().any():
        hollow = {"ls": "", "marker": "o", "color": "0.2", "mfc": "white"}
        handles.append(Line2D([], [], **hollow, label=f"p_max > {alpha:g}"))
        handles.append(Patch(color=NULL, label="range of the null"))
    legend_below(fig, handles, width=6)
    return fig


def _draw_curve(ax, rows, alpha, color, dashes, marker):
    delay, r = rows["delay"], rows["r"]
    ax.fill_between(delay, rows["null_low"], rows["null_high"], color=NULL, lw=0, zorder=-1)
    ax.plot(delay, r, dashes, color=color, lw=1.3)
    known = has_interval(rows)
    ax.vlines(delay[known], rows["ci_low"][known], rows["ci_high"][known], color, lw=0.8)
    draw_points(ax, delay, r, rows["p_max"], alpha, color=color, marker=marker, ms=4)
