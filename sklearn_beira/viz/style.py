"""What all figures share: colors, markers, and how regions are put side by side."""

import re

# Told apart in gray and by the color-blind (Okabe, Ito 2008): by lightness, then by hue. Markers
# and dashes say the same once more.
COLORS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000"]
MARKERS = "osD^vPX"
DASHES = ["-", (0, (4, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)), (0, (7, 2)), (0, (2, 1)), "-"]
MEASURED, NULL, CEILING = "0.6", "0.86", "0.3"

_SIDE = re.compile(
    r"^(left|right|l|r|lh|rh)[\s_.-]+(.+)$|^(.+)[\s_.-]+(left|right|l|r|lh|rh)$", re.I
)


def clean(ax):
    """Leave the frame out where it says nothing."""
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def legend_beside(ax, **options):
    """Put the legend to the right of the axes, where it hides nothing."""
    return ax.legend(
        **{
            "loc": "upper left",
            "bbox_to_anchor": (1.0, 1.0),
            "frameon": False,
            "fontsize": "small",
            **options,
        }
    )


def ordinal(rank):
    """Write a rank: 1st, 2nd, 3rd, 11th."""
    ending = "th" if 10 <= rank % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(rank % 10, "th")
    return f"{rank}{ending}"


def split_side(region):
    """Split the name of a region into structure and side: "L", "R" or ""."""
    found = _SIDE.match(str(region))
    if not found:
        return str(region), ""
    structure = found[2] or found[3]
    return structure, (found[1] or found[4])[0].upper()


def group_sides(regions):
    """Put the left and the right half of a structure beside each other.

    Parameters
    ----------
    regions : list of str
        Regions.

    Returns
    -------
    structures : dict of str to dict of str to int
        Structures in the order of their first region; for each, the index of its region by side.
    """
    structures = {}
    for i, region in enumerate(regions):
        structure, side = split_side(region)
        # A name that comes twice is no pair.
        if side in structures.get(structure, {}):
            structure, side = str(region), ""
        structures.setdefault(structure, {})[side] = i
    return {name: dict(sorted(sides.items())) for name, sides in structures.items()}
