"""Spans of time in s: windows, and stretches that are bad."""

from numbers import Real

import numpy as np

from .._utils.numbers import to_numbers


def check_window(tmin, tmax):
    """Check that a window is given in numbers.

    Parameters
    ----------
    tmin, tmax : float
        As given.
    """
    for name, value in (("tmin", tmin), ("tmax", tmax)):
        if not isinstance(value, Real):
            raise TypeError(f"{name} must be a time in s, got {value!r}.")


def to_spans(bads):
    """Read the bad stretches of a recording.

    Parameters
    ----------
    bads : array-like, shape (n_spans, 2)
        Start and end of each, as given.

    Returns
    -------
    spans : tuple of tuple of float, (start, end)
        The same.
    """
    bads = to_numbers(bads, "bads")
    if bads.size and (bads.ndim != 2 or bads.shape[1] != 2 or np.isnan(bads).any()):
        raise ValueError(
            f"bads must hold start and end of every bad stretch in s, shape (n_spans, 2) for each "
            f"recording, got shape {bads.shape}."
        )
    return tuple((float(start), float(end)) for start, end in bads)


def overlaps(starts, stops, spans):
    """Tell which windows touch a span.

    Parameters
    ----------
    starts, stops : array-like, shape (n_windows,)
        Windows, half open.
    spans : array-like, shape (n_spans, 2)
        Start and end of each; it may be a single moment.

    Returns
    -------
    touched : ndarray of bool, shape (n_windows,)
        True where a window touches at least one of them.
    """
    starts, stops = np.asarray(starts)[:, None], np.asarray(stops)[:, None]
    begins, ends = np.reshape(spans, (-1, 2)).T
    return (((starts < ends) | (starts <= begins)) & (stops > begins)).any(axis=1)
