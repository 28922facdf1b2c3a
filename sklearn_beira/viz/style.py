"""What all figures share: colors, markers, legends, panels, and pairs of hemispheres."""

import re

import matplotlib.pyplot as plt

# Distinct in gray and for the color-blind (Okabe, Ito 2008): by lightness, then by hue. Markers
# and dashes repeat what colors say.
COLORS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000"]
MARKERS = "osD^vPX"
DASHES = ["-", (0, (4, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)), (0, (7, 2)), (0, (2, 1)), "-"]
MEASURED, NULL, CEILING = "0.6", "0.86", "0.3"

_SIDE = re.compile(
    r"^(left|right|l|r|lh|rh)[\s_.-]+(.+)$|^(.+)[\s_.-]+(left|right|l|r|lh|rh)$", re.I
)


def figure_of(fig, width, height):
    """Return the figure, or a new one of this size in inches if it is None."""
    if fig is None:
        # Rounded: a width that is not a whole number of pixels comes out sheared as WebP.
        fig = plt.figure(figsize=(round(width, 1), round(height, 1)), layout="constrained")
    return fig


def axes_of(ax, width, height):
    """Return the axes, or those of a new figure of this size in inches if they are None."""
    return figure_of(None, width, height).subplots() if ax is None else ax


def clean(ax):
    """Remove the top and the right spine."""
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def legend_beside(ax):
    """Put the legend to the right of the axes, where it hides nothing."""
    return ax.legend(
        loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize="small"
    )  # fmt: skip


def legend_below(fig, handles, width):
    """Put a legend below the panels, in one row if the figure has that width in inches."""
    n_columns = len(handles) if fig.bbox.width / fig.dpi > width else 2
    return fig.legend(
        handles=handles, loc="outside lower center", ncols=n_columns, frameon=False,
        fontsize="small",
    )  # fmt: skip


def panels(titles, n_columns, fig, width, height):
    """Make panels that share their axes.

    Parameters
    ----------
    titles : list of str
        Title of each panel, such as its region.
    n_columns : int
        How many panels at most beside each other.
    fig : matplotlib.figure.Figure or None
        Where to draw; None makes one.
    width, height : tuple of float
        Size of a new figure in inches: that of its margins, and that of each panel.

    Returns
    -------
    fig : matplotlib.figure.Figure
        The figure.
    axes : ndarray of matplotlib.axes.Axes, shape (n_panels,)
        The panels, row by row.
    is_lowest : list of bool
        Whether no panel is below.
    """
    n_panels = len(titles)
    n_columns = min(n_columns, n_panels)
    n_rows = -(-n_panels // n_columns)
    fig = figure_of(fig, width[0] + n_columns * width[1], height[0] + n_rows * height[1])
    axes = fig.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False).ravel()
    for ax in axes[n_panels:]:
        ax.set_axis_off()
    for ax, title in zip(axes, titles, strict=False):
        ax.set_title(title, fontsize="medium")
    return fig, axes[:n_panels], [k + n_columns >= n_panels for k in range(n_panels)]


def ordinal(rank):
    """Write a rank: 1st, 2nd, 3rd, 11th."""
    ending = "th" if 10 <= rank % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(rank % 10, "th")
    return f"{rank}{ending}"


def group_sides(regions):
    """Pair the left and the right half of each structure.

    Parameters
    ----------
    regions : list of str
        Regions.

    Returns
    -------
    structures : dict of str to dict of str to int
        Structures in the order of their first region; for each, the index of its region by side,
        "L", "R" or "".
    """
    structures = {}
    for i, region in enumerate(map(str, regions)):
        found = _SIDE.match(region)
        structure = (found[2] or found[3]) if found else region
        side = (found[1] or found[4])[0].upper() if found else ""
        if side in structures.get(structure, {}):  # a name that occurs twice is not a pair
            structure, side = region, ""
        structures.setdefault(structure, {})[side] = i
    return {name: dict(sorted(sides.items())) for name, sides in structures.items()}
