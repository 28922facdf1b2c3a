"""Measured and predicted BOLD over time."""

from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..evaluation.metrics import region_scores
from .scores import model_rows, pooled_rows, region_of
from .style import COLORS, DASHES, MEASURED, axes_of, clean, figure_of, legend_beside


def plot_predictions(comparison, region=None, *, models=None, fig=None) -> Figure:
    """Plot measured BOLD and out-of-fold predictions of one region, a panel per recording.

    Parameters
    ----------
    comparison : Comparison
        Result of :func:`sklearn_beira.compare`.
    region : str, int or None
        Name of the region; None draws the one with the highest r of the first model.
    models : list of str or None
        Models to draw; None draws all.
    fig : matplotlib.figure.Figure or None
        Figure to draw on; None makes one.

    Returns
    -------
    fig : matplotlib.figure.Figure
        The figure. BOLD is in SD of the measured one around its mean. Every other test block is
        shaded. The legend shows r and its confidence interval over all recordings.

    See Also
    --------
    plot_time_course : The same for any measured and predicted BOLD.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn_beira import compare
    >>> from sklearn_beira.evaluation import BlockedKFold
    >>> from sklearn_beira.viz import plot_predictions
    >>> X = np.random.default_rng(0).standard_normal((100, 3))
    >>> cv = BlockedKFold(5, gap=0)
    >>> comparison = compare(Ridge(), X, X[:, :2], cv=cv, null=None, verbose=False)
    >>> fig = plot_predictions(comparison, "ROI 0")
    >>> fig.get_suptitle()
    'ROI 0'
    """
    region = region_of(model_rows(comparison), region)
    models = list(comparison.predictions) if models is None else list(models)
    comparison._check_known(*models)
    scores = pooled_rows(comparison).query("region == @region").set_index("model")
    lines = {
        f"{name}, {_r_in_words(scores.loc[name])}": comparison.predictions[name][region].to_numpy()
        for name in models
    }
    measured = comparison.bold[region].to_numpy()
    recordings = pd.unique(np.asarray(comparison.recordings))
    fig = figure_of(fig, 8.4, 0.9 + 1.5 * len(recordings))
    axes = fig.subplots(len(recordings), 1, sharex=True, sharey=True, squeeze=False).ravel()
    for ax, recording in zip(axes, recordings, strict=True):
        rows = np.flatnonzero(comparison.recordings == recording)
        rows = rows[np.argsort(comparison.times[rows], kind="stable")]
        _draw(ax, rows, comparison.times, measured, lines, comparison.blocks)
        if len(recordings) > 1:
            ax.set_title(f"recording {recording}", fontsize="small", loc="left")
    axes[-1].set_xlabel("time (s)")
    legend = legend_beside(axes[0])
    if len(recordings) > 1:
        legend.set_title("r over all recordings", {"size": "small"})
    fig.suptitle(region, fontsize="medium", fontweight="bold")
    return fig


def plot_time_course(
    y_true,
    predictions,
    times,
    *,
    blocks=None,
    cross_validated="auto",
    region=None,
    confidence_level=0.95,
    ax=None,
) -> Axes:
    """Plot measured and predicted BOLD of one region in one recording.

    Parameters
    ----------
    y_true : array-like, shape (n_volumes,)
        Measured BOLD.
    predictions : dict of str to array-like of shape (n_volumes,)
        Predicted BOLD by the name of the model; NaN where nothing is predicted.
    times : array-like, shape (n_volumes,)
        Onset of each volume in s.
    blocks : array-like of shape (n_volumes,) or None
        Test block of each volume, as in ``comparison.blocks``: every other one is shaded, and r is
        centered within blocks. -1 marks volumes that no fold tests.
    cross_validated : bool or "auto"
        As in :func:`sklearn_beira.evaluation.region_scores`: False if one model predicted all.
    region : str or None
        Title.
    confidence_level : float
        Level of the confidence interval of r.
    ax : matplotlib.axes.Axes or None
        Axes to draw on; None makes a figure.

    Returns
    -------
    ax : matplotlib.axes.Axes
        The axes. BOLD is in SD of the measured one around its mean. The legend shows r and its
        confidence interval.

    See Also
    --------
    plot_predictions : The same for the result of :func:`sklearn_beira.compare`.
    """
    y_true, times = _series(y_true, "y_true"), _series(times, "times", y_true)
    tested = np.ones(len(y_true), dtype=bool)
    if blocks is not None:
        blocks = _series(blocks, "blocks", y_true).astype(int)
        tested = blocks >= 0
    order = np.argsort(times, kind="stable")  # r of blocks is that of rows in order of time
    lines = {}
    for name, y in predictions.items():
        y = _series(y, f"the prediction of {name!r}", y_true)
        rows = order[(tested & np.isfinite(y))[order]]
        scores = region_scores(
            y_true[rows], y[rows], blocks=None if blocks is None else blocks[rows],
            cross_validated=cross_validated, confidence_level=confidence_level,
        )  # fmt: skip
        lines[f"{name}, {_r_in_words(scores.iloc[0])}"] = y
    ax = axes_of(ax, 8.4, 2.4)
    _draw(ax, order, times, y_true, lines, blocks)
    ax.set(xlabel="time (s)", title=region)
    legend_beside(ax)
    return ax


def _series(values, name, like=None):
    values = np.asarray(values, dtype=float)
    if values.ndim != 1:
        raise ValueError(
            f"{name} must have shape (n_volumes,), got {values.shape}; draw one region per call."
        )
    if like is not None and len(values) != len(like):
        raise ValueError(f"{name} has {len(values)} values for {len(like)} volumes of y_true.")
    return values


def _r_in_words(scores):
    return f"r = {scores['r']:z.2f} [{scores['ci_low']:z.2f}, {scores['ci_high']:z.2f}]"


def _draw(ax, rows, times, measured, lines, blocks):
    """Draw the volumes of one recording, which ``rows`` lists in order of time."""
    draw_series(ax, rows, times, measured, measured, color=MEASURED, lw=2.4, label="measured")
    for (label, values), color, dashes in zip(lines.items(), cycle(COLORS), cycle(DASHES)):
        style = {"color": color, "lw": 1.3, "ls": dashes, "label": label}
        draw_series(ax, rows, times, measured, values, **style)
    if blocks is not None and len(rows) > 1:
        _shade(ax, times[rows], np.asarray(blocks)[rows])
    ax.set_ylabel("BOLD (SD)")
    ax.margins(x=0.01)
    clean(ax)


def draw_series(ax, rows, times, measured, values, **style):
    """Draw volumes in SD of the measured BOLD, with a break over dropped volumes.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Axes.
    rows : ndarray of int
        Volumes of one recording, in order of time.
    times, measured, values : ndarray of shape (n_volumes,)
        Onsets in s, measured BOLD, and what is drawn.
    **style
        As in ``ax.plot``.

    Returns
    -------
    line : matplotlib.lines.Line2D
        The line.
    """
    at, steps = times[rows], np.diff(times[rows])
    gaps = np.flatnonzero(steps > 1.5 * np.median(steps)) + 1 if len(steps) else []
    values = (values[rows] - measured.mean()) / (measured.std() or 1.0)
    return ax.plot(np.insert(at, gaps, np.nan), np.insert(values, gaps, np.nan), **style)[0]


def _shade(ax, times, blocks):
    """Shade every other test block."""
    spans = np.split(np.arange(len(times)), np.flatnonzero(np.diff(blocks)) + 1)
    spans = [span for span in spans if blocks[span[0]] >= 0]
    half = np.median(np.diff(times)) / 2
    for k, span in enumerate(spans[1::2]):
        label = "every other test block" if k == 0 else None
        start, stop = times[span[0]] - half, times[span[-1]] + half
        ax.axvspan(start, stop, color="0.93", lw=0, zorder=-1, label=label)
