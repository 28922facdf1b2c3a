"""Numbers: what is refused before anything is computed, and what several modules compute."""

from collections import Counter

import numpy as np
from sklearn.utils import check_array

# Squares of what is larger, or differences of what is smaller, do not fit into float32. EEG and
# BOLD are far from both, in whatever unit.
MOST, LEAST = 1e15, 1e-15


def to_numbers(values, name):
    """Read a table of real numbers, of whatever type they are.

    Parameters
    ----------
    values : array-like or DataFrame
        As given; it stays as it is.
    name : str
        What it is, for the error.

    Returns
    -------
    numbers : ndarray of float64
        A missing value of pandas becomes NaN.

    Raises
    ------
    TypeError
        If it holds anything but real numbers.
    """
    check_kind(values, name)
    if getattr(getattr(values, "dtype", None), "kind", "f") == "c":
        raise TypeError(f"{name} must hold real numbers, got {values.dtype}.")
    try:
        if hasattr(values, "to_numpy"):
            return values.to_numpy(dtype=np.float64, na_value=np.nan)
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(
            f"{name} must hold real numbers, in rows of one length; found something else in "
            f"{type(values).__name__}."
        ) from None


def check_bold(y, name="y", **options):
    """Check BOLD that goes into a fit or a score.

    Parameters
    ----------
    y : array-like or DataFrame, shape (n_volumes, ...)
        As given.
    name : str
        What it is, for the error.
    **options
        Further options of :func:`sklearn.utils.check_array`.

    Returns
    -------
    y : ndarray of float64
        The same numbers.
    """
    check_kind(y, name)
    check_names(y, name)
    y = check_array(y, ensure_2d=False, dtype=np.float64, input_name=name, **options)
    check_magnitude(y, name)
    return y


def check_kind(values, name):
    """Refuse what NumPy would silently make other numbers of: masks would be lost, dates counted.

    Parameters
    ----------
    values : array-like or DataFrame
        As given.
    name : str
        What it is, for the error.
    """
    if isinstance(values, np.ma.MaskedArray):
        raise TypeError(
            f"{name} is a masked array, whose mask would be lost; leave the masked rows out, or "
            f"repair them, and give a plain array."
        )
    dtype = getattr(values, "dtype", None)
    if getattr(dtype, "kind", "f") in "mM":
        raise TypeError(f"{name} must hold real numbers, got {dtype}.")


def check_magnitude(values, name):
    """Refuse values that no unit explains; what is not finite passes.

    Parameters
    ----------
    values : ndarray
        Numbers.
    name : str
        What they are, for the error.
    """
    if not values.size:
        return
    largest = max(-float(values.min()), float(values.max()))
    if MOST < largest < np.inf:
        raise ValueError(
            f"{name} holds values up to {largest:.3g}, which no unit explains; check how it was "
            f"read."
        )


def check_names(values, name):
    """Refuse a table that names a column twice.

    Parameters
    ----------
    values : array-like or DataFrame
        As given.
    name : str
        What it is, for the error.
    """
    columns = getattr(values, "columns", None)
    twice = [column for column, n in Counter([] if columns is None else columns).items() if n > 1]
    if twice:
        raise ValueError(
            f"{name} has several columns named {twice[0]!r}; give every region a name of its own."
        )


def standardize(values):
    """Give every column mean 0 and SD 1; a constant one becomes zeros.

    Parameters
    ----------
    values : ndarray, shape (n_volumes, n_rois)
        Numbers.

    Returns
    -------
    standard : ndarray, shape (n_volumes, n_rois)
        In SD around the mean.
    """
    sd = values.std(axis=0)
    return (values - values.mean(axis=0)) / np.where(sd > 0, sd, 1.0)


def varying(values):
    """Tell which columns vary by more than rounding.

    Parameters
    ----------
    values : ndarray, shape (n_volumes, n_rois)
        Numbers.

    Returns
    -------
    varies : ndarray of bool, shape (n_rois,)
        True where they do.
    """
    return values.std(axis=0) > 1e-9 * np.abs(values).max(axis=0)


def fisher_z(r):
    """Compute Fisher's z of correlations; of 1 and -1 it is large, and finite."""
    most = 1 - 1e-12
    return np.arctanh(np.clip(r, -most, most))
