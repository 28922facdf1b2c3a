"""Regions by name or number."""

from numbers import Integral


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
            f"there is no region {region!r}; give one of {', '.join(names)}, or a number from 0 to "
            f"{len(names) - 1}."
        )
    return int(region)
