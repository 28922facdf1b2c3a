"""Importance of bands and channels, and the stability of branches."""

import mne
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .branches import has_positions
from .style import COLORS, MARKERS, axes_of, clean, legend_beside, panels


def plot_band_importance(importance, *, n_columns=4, fig=None) -> Figure:
    """Plot how much r is lost without each band, with a panel per region.

    Losses do not add up, and one may exceed r.

    Parameters
    ----------
    importance : Bunch
        Result of :func:`sklearn_beira.inspection.band_importance`.
    n_columns : int
        Number of panels beside each other.
    fig : matplotlib.figure.Figure or None
        Figure to draw on; None makes one.

    Returns
    -------
    fig : matplotlib.figure.Figure
        The figure. Bars: mean loss of r over permutations; lines: its SD.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_beira import BEIRARegressor, Compact, EEGWindows
    >>> from sklearn_beira.inspection import band_importance
    >>> from sklearn_beira.viz import plot_band_importance
    >>> rng = np.random.default_rng(0)
    >>> eeg, y = rng.standard_normal((40, 4, 400)), rng.standard_normal((40, 2))
    >>> X = EEGWindows.from_array(eeg, sfreq=100.0)
    >>> model = BEIRARegressor(Compact(n_branches=2), verbose=False).fit(X, y)
    >>> bands = {"alpha": (8.0, 12.0), "beta": (12.0, 30.0)}
    >>> found = band_importance(model, X, y, bands=bands, n_repeats=2, random_state=0)
    >>> len(plot_band_importance(found).axes)
    2
    """
    names = [f"{name}, {low:g}–{high:g} Hz" for name, (low, high) in importance.bands.items()]
    return _bars(importance, names, n_columns, fig)


def plot_channel_importance(importance, *, n_columns=4, fig=None) -> Figure:
    """Plot how much r is lost without each channel, as a scalp map per region.

    Parameters
    ----------
    importance : Bunch
        Result of :func:`sklearn_beira.inspection.channel_importance`.
    n_columns : int
        Number of maps beside each other.
    fig : matplotlib.figure.Figure or None
        Figure to draw on; None makes one.

    Returns
    -------
    fig : matplotlib.figure.Figure
        The figure: maps of the mean loss of r over permutations, with one color scale. Without
        electrode positions, bars with the SD over permutations.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_beira import BEIRARegressor, Compact, EEGWindows
    >>> from sklearn_beira.inspection import channel_importance
    >>> from sklearn_beira.viz import plot_channel_importance
    >>> rng = np.random.default_rng(0)
    >>> eeg, y = rng.standard_normal((40, 4, 400)), rng.standard_normal((40, 2))
    >>> X = EEGWindows.from_array(eeg, sfreq=100.0)
    >>> model = BEIRARegressor(Compact(n_branches=2), verbose=False).fit(X, y)
    >>> found = channel_importance(model, X, y, n_repeats=2, random_state=0)
    >>> len(plot_channel_importance(found).axes)
    2
    """
    names = importance.ch_names or [str(i + 1) for i in range(importance.importances.shape[1])]
    if not has_positions(importance.info):
        return _bars(importance, names, n_columns, fig)
    maps = importance.importances_mean
    given = fig
    fig, axes, _ = panels(importance.region_names, n_columns, fig, (0.8, 1.8), (0.3, 1.9))
    limit = np.abs(maps).max() or 1.0
    for ax, losses in zip(axes, maps, strict=True):
        try:
            image, _ = mne.viz.plot_topomap(
                losses, importance.info, axes=ax, show=False, cmap="RdBu_r", vlim=(-limit, limit),
                contours=0,
            )  # fmt: skip
        except Exception:  # positions on which MNE can draw no map, as two channels at one place
            fig.clear()
            return _bars(importance, names, n_columns, given)
    fig.colorbar(image, ax=list(axes), shrink=0.6, label="loss of r")
    return fig


def plot_stability(branches, *, ax=None) -> Axes:
    """Plot every branch by its stability over folds and its part of the held-out r.

    Parameters
    ----------
    branches : Bunch
        Result of :func:`sklearn_beira.inspection.read_branches`, given the BOLD.
    ax : matplotlib.axes.Axes or None
        Axes; None makes a figure.

    Returns
    -------
    ax : matplotlib.axes.Axes
        The axes: branches in the color of their region if they are supported, else gray. Lines
        mark the least stability and the least part of r of supported branches.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_beira import BEIRARegressor, BlockedKFold, Compact, EEGWindows
    >>> from sklearn_beira.inspection import read_branches
    >>> from sklearn_beira.viz import plot_stability
    >>> rng = np.random.default_rng(0)
    >>> eeg, y = rng.standard_normal((40, 4, 400)), rng.standard_normal((40, 2))
    >>> X = EEGWindows.from_array(eeg, sfreq=100.0)
    >>> model = BEIRARegressor(Compact(n_branches=2), verbose=False).fit(X, y)
    >>> branches = read_branches(model, X, y, cv=BlockedKFold(2, gap=0))
    >>> ax = plot_stability(branches)
    >>> ax.get_xlabel()
    'stability over folds'
    """
    if "held_out" not in branches:
        raise ValueError(
            "branches were not tested; give the BOLD, as in read_branches(model, X, y)."
        )
    ax = axes_of(ax, 6.4, 3.2)
    used, supported = branches.importance > 0, branches.supported
    gray = used & ~supported
    criteria = branches.criteria
    ax.axvline(criteria["stability"], color="0.8", lw=0.8, zorder=0)
    ax.hlines(criteria["held_out"], criteria["stability"], 1.02, color="0.8", lw=0.8, zorder=0)
    ax.axhline(0, color="0.6", lw=0.8, zorder=0)
    ax.plot(
        branches.stability[gray], branches.held_out[gray], "o", color="0.75", ms=3,
        label="not supported",
    )  # fmt: skip
    for i, region in enumerate(branches.region_names):
        if (used & supported)[i].any():
            own = (used & supported)[i]
            ax.plot(
                branches.stability[i, own], branches.held_out[i, own],
                MARKERS[(i + i // len(COLORS)) % len(MARKERS)],
                color=COLORS[i % len(COLORS)], ms=5, label=region,
            )  # fmt: skip
    ax.set(xlabel="stability over folds", ylabel="part of r, held out", xlim=(0, 1.02))
    ax.set_title(
        f"in color: beyond both lines, p_held_out ≤ {criteria['p_held_out']:z.2f}, "
        f"p_region ≤ {criteria['p_region']:z.2f}",
        fontsize="medium",
    )
    legend_beside(ax)
    return clean(ax)


def _bars(importance, names, n_columns, fig):
    means, spreads = importance.importances_mean, importance.importances_std
    width = 0.6, max(0.6 + 0.16 * len(names), 1.8)
    fig, axes, is_lowest = panels(importance.region_names, n_columns, fig, width, (0.6, 1.6))
    for ax, mean, spread, lowest in zip(axes, means, spreads, is_lowest, strict=True):
        ax.bar(names, mean, yerr=spread, color=COLORS[0], error_kw={"lw": 0.8})
        ax.axhline(0, color="0.6", lw=0.8)
        ax.tick_params(axis="x", rotation=90, labelbottom=lowest)
        clean(ax)
    fig.supylabel("loss of r", fontsize="medium")
    return fig
