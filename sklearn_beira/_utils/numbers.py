"""Checks of numerical input, and small computations that several rooms share."""

from collections import Counter

import numpy as np
from sklearn.utils import check_array

# In float32, squares of larger values overflow and differences of smaller ones vanish. EEG and
# BOLD are far from both limits in any unit.
MOST, LEAST = 1e15, 1e-15


def to_numbers(values, name: str) -> np.ndarray:
    """Convert array-like or pandas input to real numbers.

    Parameters
    ----------
    values : array-like or DataFrame
        Input; it is not changed.
    name : str
        Name of the input, for the error.

    Returns
    -------
    numbers : ndarray of float64
        Missing values of pandas become NaN.

    Raises
    ------
    TypeError
        If it holds anything but real numbers.
    """
    check_kind(values, name)
    if getattr(getattr(values, "dtype", None), "kind", "f") == "c":
        raise TypeError(f"{name} must hold real numbers, got {values.dtype}.")
    try:
        if hasattr(values, "iloc"):  # pandas; others know no missing values
            return values.to_numpy(dtype=np.float64, na_value=np.nan)
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(
            f"{name} must hold real numbers, in rows of one length; found something else in "
            f"{type(values).__name__}."
        ) from None


def check_bold(y, name: str = "y", **options) -> np.ndarray:
    """Check BOLD that is fitted or scored.

    Parameters
    ----------
    y : array-like or DataFrame, shape (n_volumes, ...)
        BOLD.
    name : str
        Name of the input, for the error.
    **options
        Further options of :func:`sklearn.utils.check_array`.

    Returns
    -------
    y : ndarray of float64
        The checked BOLD.
    """
    check_kind(y, name)
    check_names(y, name)
    y = check_array(y, ensure_2d=False, dtype=np.float64, input_name=name, **options)
    check_magnitude(y, name)
    return y


def check_kind(values, name: str) -> None:
    """Refuse masked arrays and dates, which NumPy would silently convert to other numbers.

    Parameters
    ----------
    values : array-like or DataFrame
        Input.
    name : str
        Name of the input, for the error.
    """
    if isinstance(values, np.ma.MaskedArray):
        raise TypeError(
            f"{name} is a masked array, whose mask would be lost; leave the masked rows out, or "
            f"repair them, and give a plain array."
        )
    dtype = getattr(values, "dtype", None)
    if getattr(dtype, "kind", "f") in "mM":
        raise TypeError(f"{name} must hold real numbers, got {dtype}.")


def check_magnitude(values: np.ndarray, name: str) -> None:
    """Refuse finite values that are too large for EEG or BOLD in any unit.

    Parameters
    ----------
    values : ndarray
        Input.
    name : str
        Name of the input, for the error.
    """
    if not values.size:
        return
    largest = max(-float(values.min()), float(values.max()))
    if MOST < largest < np.inf:
        raise ValueError(
            f"{name} holds values up to {largest:.3g}, which no unit explains; check how it was "
            f"read."
        )


def check_names(values, name: str) -> None:
    """Refuse a table in which two columns have the same name.

    Parameters
    ----------
    values : array-like or DataFrame
        Input.
    name : str
        Name of the input, for the error.
    """
    columns = getattr(values, "columns", None)
    twice = [column for column, n in Counter([] if columns is None else columns).items() if n > 1]
    if twice:
        raise ValueError(
            f"{name} has several columns named {twice[0]!r}; give every region a name of its own."
        )


def region_names(y) -> list[str] | None:
    """Return the names of the regions of a DataFrame; None for other BOLD."""
    columns = getattr(y, "columns", None)
    return None if columns is None else [str(name) for name in columns]


def mean_and_sd(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of each column, which is 1 for constant columns."""
    sd = values.std(axis=0)
    return values.mean(axis=0), np.where(sd > 0, sd, 1.0)


def standardize(values: np.ndarray) -> np.ndarray:
    """Scale each column to mean 0 and standard deviation 1; constant columns become zeros.

    Parameters
    ----------
    values : ndarray, shape (n_volumes, n_rois)
        Input.

    Returns
    -------
    scaled : ndarray, shape (n_volumes, n_rois)
        Scaled values.
    """
    mean, sd = mean_and_sd(values)
    return (values - mean) / sd


def varying(values: np.ndarray) -> np.ndarray:
    """Tell which columns vary by more than rounding errors.

    Parameters
    ----------
    values : ndarray, shape (n_volumes, n_rois)
        Input.

    Returns
    -------
    varies : ndarray of bool, shape (n_rois,)
        True for columns that vary.
    """
    return values.std(axis=0) > 1e-9 * np.abs(values).max(axis=0)


def fisher_z(r: np.ndarray) -> np.ndarray:
    """Compute Fisher's z of correlations; for 1 and -1 it is large but finite."""
    most = 1 - 1e-12
    return np.arctanh(np.clip(r, -most, most))
