"""Regions by name or number."""

from collections.abc import Iterable
from numbers import Integral


def some(names: Iterable[str], most: int = 8) -> str:
    """List names once, and count those that are too many to read."""
    names = list(dict.fromkeys(names))
    if len(names) == most + 1:  # naming the last one is no longer than counting it
        most += 1
    more = f" and {len(names) - most} others" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def numbered(n_rois: int) -> list[str]:
    """Name regions that have no name."""
    return [f"ROI {i}" for i in range(n_rois)]


def region_row(branches, region: str | int) -> int:
    """Return the row of a region in what read_branches returned.

    Parameters
    ----------
    branches : Bunch
        As returned by :func:`~sklearn_beira.read_branches`.
    region : str or int
        Name or number of the region.

    Returns
    -------
    row : int
        Its number.
    """
    names = list(branches.region_names)
    if region in names:
        return names.index(region)
    if not isinstance(region, Integral) or not 0 <= region < len(names):
        raise ValueError(
            f"there is no region {region!r}; give one of {some(names, 40)}, or a number from 0 to "
            f"{len(names) - 1}."
        )
    return int(region)
