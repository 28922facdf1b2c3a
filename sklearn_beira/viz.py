"""Figures. Each function draws on the axes it is given, and returns them."""

import itertools

import matplotlib.pyplot as plt
import mne
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from .metrics import pearson_r

__all__ = [
    "plot_branch",
    "plot_branches",
    "plot_comparison",
    "plot_predictions",
    "plot_scores",
]

# Told apart in grey and by the colour-blind (Okabe, Ito 2008): by lightness, then by hue.
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000"]
MARKERS = "osD^vPX"
MEASURED = "0.55"


def plot_predictions(y_true, predictions, times, *, groups=None, blocks=None, region=None, ax=None):
    """Plot measured and predicted BOLD of one region over time.

    Parameters
    ----------
    y_true : array-like, shape (n_volumes,)
        Measured BOLD.
    predictions : dict of str to array-like of shape (n_volumes,)
        Predicted BOLD by the name of the model, best out of fold.
    times : array-like, shape (n_volumes,)
        Onset of each volume in s.
    groups : array-like of shape (n_volumes,) or None
        Recording of each volume; recordings are drawn one after the other.
    blocks : array-like of shape (n_volumes,) or None
        Test block of each volume, as :func:`sklearn_beira.compare` leaves them in
        ``table.attrs["blocks"]``: every other one is shaded, and r is centred within them.
    region : str or None
        Title.
    ax : matplotlib.axes.Axes or None
        Where to draw; None makes a figure.

    Returns
    -------
    ax : matplotlib.axes.Axes
        The axes.
    """
    if ax is None:
        _, ax = plt.subplots(figsize=(8, 2.4), layout="constrained")
    times, starts = _one_axis(np.asarray(times, dtype=float), groups)
    y_true = np.asarray(y_true, dtype=float)
    centre, spread = y_true.mean(), y_true.std() or 1.0
    # NaN breaks the line between recordings and over dropped volumes.
    gaps = np.flatnonzero(np.diff(times) > 1.5 * np.median(np.diff(times))) + 1

    def draw(values, **style):
        ax.plot(np.insert(times, gaps, np.nan), np.insert(values, gaps, np.nan), **style)

    draw((y_true - centre) / spread, color=MEASURED, lw=2.2, label="measured")
    for (name, y), colour in zip(predictions.items(), itertools.cycle(COLOURS), strict=False):
        r = pearson_r(y_true, y, blocks=blocks)
        draw((np.asarray(y) - centre) / spread, color=colour, lw=1.2, label=f"{name}, r = {r:.2f}")
    if blocks is not None:
        edges = np.flatnonzero(np.diff(blocks)) + 1
        spans = np.split(np.arange(len(times)), edges)
        half = np.median(np.diff(times)) / 2
        for span in spans[1::2]:
            ax.axvspan(times[span[0]] - half, times[span[-1]] + half, color="0.95", lw=0, zorder=-1)
    for start in starts[1:]:
        ax.axvline(start, color="0.8", lw=0.8, zorder=0)
    ax.set(xlabel="time (s)", ylabel="BOLD (SD)", title=region)
    ax.margins(x=0.01)
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize="small")
    return _clean(ax)


def plot_scores(scores, *, ceiling=None, ax=None):
    """Plot the correlation of every model with every region.

    Parameters
    ----------
    scores : DataFrame, shape (n_rois, n_models)
        Pearson's r; index and columns name regions and models.
    ceiling : array-like of shape (n_rois,) or None
        Highest r there can be, where it is known, as in a simulation.
    ax : matplotlib.axes.Axes or None
        Where to draw; None makes a figure.

    Returns
    -------
    ax : matplotlib.axes.Axes
        The axes.
    """
    if ax is None:
        size = (round(1.8 + 0.9 * len(scores), 1), 3.2)
        _, ax = plt.subplots(figsize=size, layout="constrained")
    at = np.arange(len(scores))
    shifts = np.arange(scores.shape[1]) - (scores.shape[1] - 1) / 2
    shifts *= min(0.2, 0.7 / scores.shape[1])
    for (name, r), shift, colour, marker in zip(
        scores.items(), shifts, itertools.cycle(COLOURS), itertools.cycle(MARKERS), strict=False
    ):
        ax.vlines(at + shift, 0, r, color=colour, lw=1)
        ax.plot(at + shift, r, marker, color=colour, label=name)
    if ceiling is not None:
        ax.hlines(ceiling, at - 0.35, at + 0.35, color="0.3", lw=1.5, label="ceiling")
    ax.axhline(0, color="0.6", lw=0.8)
    labels = [str(name).replace(" ", "\n", 1) for name in scores.index]
    ax.set_xticks(at, labels, rotation=45 if len(at) > 12 else 0, fontsize="small")
    ax.set(ylabel="Pearson's r")
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize="small")
    return _clean(ax)


def plot_comparison(table, *, ceiling=None, alpha=0.05, n_columns=4, fig=None):
    """Plot every model in every region: r, its interval, and its null.

    A panel per region, a row per model, best mean on top (or a row per delay, in order). The point
    is r, filled where ``p_max`` is at most ``alpha``; the line is the interval of r, the grey bar
    the range of r under the null.

    Parameters
    ----------
    table : DataFrame
        What :func:`sklearn_beira.compare` or :func:`sklearn_beira.delay_curve` returned.
    ceiling : array-like of shape (n_rois,) or None
        Highest r there can be, where it is known, as in a simulation.
    alpha : float
        Level at which points are filled.
    n_columns : int
        Panels beside each other.
    fig : matplotlib.figure.Figure or None
        Where to draw; None makes one.

    Returns
    -------
    fig : matplotlib.figure.Figure
        The figure.
    """
    table = table[table["scope"] == "pooled"]
    if "delay" in table:
        table = table.assign(model=[f"{delay:g} s" for delay in table["delay"]])
    regions = list(table["region"].unique())
    models = list(table["model"].unique()[::-1])
    if "delay" not in table:
        models = list(table.groupby("model")["r"].mean().sort_values().index)
    n_columns = min(n_columns, len(regions))
    n_rows = -(-len(regions) // n_columns)
    if fig is None:
        size = (2.0 + 2.0 * n_columns, 0.9 + n_rows * (0.6 + 0.24 * len(models)))
        fig = plt.figure(figsize=tuple(round(inches, 1) for inches in size), layout="constrained")
    axes = fig.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False)
    for i, ax in enumerate(axes.flat):
        if i >= len(regions):
            ax.set_axis_off()
            continue
        here = table[table["region"] == regions[i]].set_index("model").loc[models]
        at = np.arange(len(models))
        ax.axvline(0, color="0.6", lw=0.8, zorder=0)
        ax.barh(at, here["null_high"] - here["null_low"], 0.62, left=here["null_low"], color="0.86")
        # Dotted where nothing can be said of the interval; where r is not defined, no line.
        told = (here["ci_high"] - here["ci_low"] < 2).to_numpy()
        interval = here.loc[told, ["ci_low", "ci_high"]].to_numpy().T
        ax.hlines(at[told], *interval, color=COLOURS[0], lw=1.2)
        for row in at[~told & (here["r"] != 0).to_numpy()]:
            ax.axhline(row, color=COLOURS[0], lw=1.0, ls=":")
        found = (here["p_max"] <= alpha).to_numpy()
        for mask, face in ((found, COLOURS[0]), (~found, "white")):
            ax.plot(here["r"][mask], at[mask], "o", mfc=face, mec=COLOURS[0], ms=5, mew=1.2)
        if ceiling is not None and ceiling[i] > 0:
            ax.axvline(ceiling[i], color="0.3", lw=1.2, ls=":")
        ax.set_title(regions[i], fontsize="medium")
        ax.set_yticks(at, models)
        ax.tick_params(axis="y", length=0)
        _clean(ax)
        below = i + n_columns >= len(regions)
        ax.tick_params(labelbottom=below)
        if below:
            ax.set_xlabel("Pearson's r")
    handles = [
        Line2D([], [], color=COLOURS[0], marker="o", mfc=COLOURS[0], lw=1.2),
        Line2D([], [], color=COLOURS[0], marker="o", mfc="white", lw=1.2),
        Patch(color="0.86"),
    ]
    labels = [f"r and its interval, p_max ≤ {alpha:g}", f"p_max > {alpha:g}", "range of the null"]
    if ceiling is not None:
        handles.append(Line2D([], [], color="0.3", lw=1.2, ls=":"))
        labels.append("ceiling")
    fig.legend(
        handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize="small"
    )
    return fig


def plot_branch(branches, index, *, axes=None):
    """Plot the scalp map and the spectrum of one branch.

    Parameters
    ----------
    branches : Bunch
        What :func:`sklearn_beira.inspection.read_branches` returns.
    index : int
        Number of the branch.
    axes : sequence of two matplotlib.axes.Axes or None
        For the map and the spectrum; None makes a figure.

    Returns
    -------
    axes : sequence of two matplotlib.axes.Axes
        The axes.
    """
    if axes is None:
        _, axes = plt.subplots(
            1, 2, figsize=(4.6, 2.1), width_ratios=[1, 1.4], layout="constrained"
        )
    ax_map, ax_spectrum = axes
    pattern = branches.patterns[index]
    # Sign is arbitrary: a branch reads power, so a map and its mirror image are the same branch.
    pattern = pattern * np.sign(pattern[np.argmax(np.abs(pattern))])
    if branches.info is not None and branches.info.get_montage() is not None:
        mne.viz.plot_topomap(
            pattern,
            branches.info,
            axes=ax_map,
            show=False,
            cmap="RdBu_r",
            vlim=(-1, 1),
            sensors="k.",
        )
    else:
        ax_map.stem(pattern, basefmt=" ")
        ax_map.set(xlabel="channel", ylabel="pattern (a.u.)")
    ax_spectrum.fill_between(
        branches.frequencies, branches.frequency_patterns[index], color=COLOURS[0], alpha=0.35, lw=0
    )
    ax_spectrum.plot(branches.frequencies, branches.frequency_patterns[index], color=COLOURS[0])
    ax_spectrum.plot(
        branches.frequencies, branches.frequency_responses[index], color="0.5", lw=1, ls="--"
    )
    ax_spectrum.set(xlabel="frequency (Hz)", ylabel="a.u.", ylim=(0, 1.05))
    ax_spectrum.set_xlim(0, min(50.0, branches.frequencies[-1]))
    _clean(ax_spectrum)
    return axes


def plot_branches(branches, region, *, n_branches=3, fig=None):
    """Plot the most important branches of a region, in order.

    Parameters
    ----------
    branches : Bunch
        What :func:`sklearn_beira.inspection.read_branches` returns.
    region : str or int
        Name or number of the region.
    n_branches : int
        How many.
    fig : matplotlib.figure.Figure or None
        Where to draw; None makes one.

    Returns
    -------
    fig : matplotlib.figure.Figure
        The figure: per branch a scalp map, and below it the frequency pattern (filled) with the
        frequency response of the band-pass (dashed).
    """
    row = branches.region_names.index(region) if isinstance(region, str) else region
    order = np.argsort(-branches.importance[row])[:n_branches]
    if fig is None:
        # Rounded: a width that is not a whole number of pixels comes out sheared as WebP.
        fig = plt.figure(figsize=(round(2.4 * len(order), 1), 3.8), layout="constrained")
    axes = fig.subplots(2, len(order), squeeze=False, height_ratios=[1.4, 1])
    for column, index in zip(axes.T, order, strict=True):
        plot_branch(branches, index, axes=column)
        column[0].set_title(
            f"branch {index + 1}\nimportance {branches.importance[row, index]:.2f}",
            fontsize="small",
        )
    for ax in axes[1, 1:]:
        ax.set_ylabel("")
    fig.suptitle(branches.region_names[row], fontsize="medium")
    return fig


def _one_axis(times, groups):
    """Times of several recordings on one axis, and where each starts."""
    groups = np.zeros(len(times), dtype=int) if groups is None else np.asarray(groups)
    out, starts, offset = times.copy(), [], 0.0
    for k in np.unique(groups):
        mine = groups == k
        starts.append(offset)
        out[mine] += offset
        offset = out[mine].max() + 20.0
    return out, starts


def _clean(ax):
    ax.spines[["top", "right"]].set_visible(False)
    return ax
