"""Measured and predicted BOLD over time."""

import itertools

import matplotlib.pyplot as plt
import numpy as np

from ..evaluation.metrics import region_scores
from .style import COLORS, DASHES, MEASURED, clean, legend_beside

__all__ = ["plot_predictions"]

# Empty time between two recordings in the figure, in s.
_BETWEEN = 20.0


def plot_predictions(
    y_true,
    predictions,
    times,
    *,
    groups=None,
    blocks=None,
    cross_validated="auto",
    region=None,
    confidence_level=0.95,
    ax=None,
):
    """Plot measured and predicted BOLD of one region over time, with r and its interval.

    Parameters
    ----------
    y_true : array-like, shape (n_volumes,)
        Measured BOLD.
    predictions : dict of str to array-like of shape (n_volumes,)
        Predicted BOLD by the name of the model, best out of fold. NaN where nothing is predicted.
    times : array-like, shape (n_volumes,)
        Onset of each volume in s.
    groups : array-like of shape (n_volumes,) or None
        Recording of each volume; recordings are drawn one after the other.
    blocks : array-like of shape (n_volumes,) or None
        Test block of each volume, as :func:`sklearn_beira.compare` leaves them in
        ``comparison.blocks``: every other one is shaded, and r is centered within them. -1 marks
        volumes that no fold tests.
    cross_validated : bool or "auto"
        As in :func:`sklearn_beira.evaluation.region_scores`: False where one model predicted all.
    region : str or None
        Title.
    confidence_level : float
        Level of the interval of r, as :func:`sklearn_beira.evaluation.region_scores` gives it.
    ax : matplotlib.axes.Axes or None
        Where to draw; None makes a figure.

    Returns
    -------
    ax : matplotlib.axes.Axes
        The axes. BOLD is in SD of the measured one around its mean.
    """
    y_true = _series(y_true, "y_true")
    predictions = {
        name: _series(y, f"the prediction of {name!r}") for name, y in predictions.items()
    }
    times = _series(times, "times")
    groups = np.zeros(len(y_true), dtype=int) if groups is None else np.asarray(groups)
    for name, values in (("times", times), ("groups", groups), *predictions.items()):
        if len(values) != len(y_true):
            raise ValueError(
                f"{name} has {len(values)} values for {len(y_true)} volumes of y_true."
            )
    if blocks is not None and len(blocks) != len(y_true):
        raise ValueError(f"blocks has {len(blocks)} values for {len(y_true)} volumes of y_true.")
    if ax is None:
        _, ax = plt.subplots(figsize=(8.4, 2.4), layout="constrained")
    # One recording after the other, each in order of time, as compare scores them.
    order = np.lexsort((times, groups))
    y_true, times, groups = y_true[order], times[order], groups[order]
    at, starts = _one_axis(times, groups)
    center, spread = y_true.mean(), y_true.std() or 1.0
    # NaN breaks the line between recordings and over dropped volumes.
    gaps = np.flatnonzero(np.diff(at) > 1.5 * np.median(np.diff(at))) + 1

    def draw(values, **style):
        ax.plot(np.insert(at, gaps, np.nan), np.insert(values, gaps, np.nan), **style)

    draw((y_true - center) / spread, color=MEASURED, lw=2.4, label="measured")
    inside = None if blocks is None else np.asarray(blocks)[order]
    styles = zip(itertools.cycle(COLORS), itertools.cycle(DASHES), strict=False)
    for (name, y), (color, dashes) in zip(predictions.items(), styles, strict=False):
        y = y[order]
        known = np.isfinite(y) if inside is None else np.isfinite(y) & (inside >= 0)
        within = None if inside is None else inside[known]
        told = _told(y_true[known], y[known], within, cross_validated, confidence_level)
        draw((y - center) / spread, color=color, lw=1.3, ls=dashes, label=f"{name}, {told}")
    if inside is not None:
        _shade(ax, at, inside)
    for start in starts[1:]:
        ax.axvline(start - _BETWEEN / 2, color="0.6", lw=0.8, zorder=0)
    ax.set(xlabel="time (s)", ylabel="BOLD (SD)", title=region)
    ax.margins(x=0.01)
    legend_beside(ax)
    return clean(ax)


def _series(values, name):
    values = np.asarray(values, dtype=float)
    if values.ndim != 1:
        raise ValueError(
            f"{name} must be one series (n_volumes,), got shape {values.shape}; draw each region "
            f"on axes of its own."
        )
    return values


def _told(y_true, y_pred, blocks, cross_validated, confidence_level):
    """r and its interval, in words."""
    row = region_scores(
        y_true,
        y_pred,
        blocks=blocks,
        cross_validated=cross_validated,
        confidence_level=confidence_level,
    ).iloc[0]
    return f"r = {row['r']:z.2f} [{row['ci_low']:z.2f}, {row['ci_high']:z.2f}]"


def _shade(ax, times, blocks):
    """Shade every other test block."""
    spans = np.split(np.arange(len(times)), np.flatnonzero(np.diff(blocks)) + 1)
    spans = [span for span in spans if blocks[span[0]] >= 0]
    half = np.median(np.diff(times)) / 2
    for k, span in enumerate(spans[1::2]):
        ax.axvspan(
            times[span[0]] - half,
            times[span[-1]] + half,
            color="0.93",
            lw=0,
            zorder=-1,
            label="every other test block" if k == 0 else None,
        )


def _one_axis(times, groups):
    """Times of several recordings on one axis, and where each starts."""
    out, starts, offset = times.copy(), [], 0.0
    for k in np.unique(groups):
        mine = groups == k
        starts.append(offset)
        out[mine] += offset
        offset = out[mine].max() + _BETWEEN
    return out, starts
