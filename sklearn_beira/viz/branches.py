"""What branches have learned: scalp maps, spectra and delay kernels."""

from collections.abc import Sequence

import mne
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from .._utils.regions import region_row
from ..evaluation.metrics import ALPHA
from ..features.hrf import hrf_at
from .style import COLORS, clean, figure_of, legend_below, ordinal

_FILTER, _LOWPASS = {"color": "0.35", "lw": 1.0, "ls": "--"}, {"color": "0.5", "lw": 1.0, "ls": ":"}
_GLOVER = {"color": "0.75", "lw": 2.5}
_SUPPORTED, _UNSUPPORTED = COLORS[0], "0.6"
_FEW_LAGS = 60  # up to here, each value of a kernel is marked


def plot_branch(branches, index, *, region=None, axes=None) -> Sequence[Axes]:
    """Plot the scalp map, the spectrum and the delay kernel of one branch.

    Parameters
    ----------
    branches : Bunch
        Result of :func:`sklearn_beira.inspection.read_branches`.
    index : int
        Row of the branch in ``branches``.
    region : str, int or None
        Region whose prediction the delay kernel changes. None takes the region that the branch
        belongs to or, if regions share branches, the one that it changes most.
    axes : sequence of three matplotlib.axes.Axes or None
        Axes for the map, the spectrum and the kernel; None makes a figure.

    Returns
    -------
    axes : sequence of three matplotlib.axes.Axes
        The axes. Map: spatial pattern, scaled to a largest absolute value of 1; contours below 0
        are dashed. Spectrum: frequency pattern (filled), frequency response of the band-pass
        (dashed) and of the low-pass that smooths the envelope (dotted), each scaled to a maximum
        of 1. Kernel: change of the predicted BOLD, in SD of BOLD per second, when the envelope
        doubles, against the delay of BOLD after the EEG. The broad gray line is Glover's response,
        scaled to the kernel by least squares. A branch that held-out volumes do not support, or
        that was not tested on any, is gray.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_beira import BEIRARegressor, Compact, EEGWindows
    >>> from sklearn_beira.inspection import read_branches
    >>> from sklearn_beira.viz import plot_branch
    >>> rng = np.random.default_rng(0)
    >>> eeg, y = rng.standard_normal((40, 4, 400)), rng.standard_normal((40, 1))
    >>> X = EEGWindows.from_array(eeg, sfreq=100.0)
    >>> model = BEIRARegressor(Compact(n_branches=2)).fit(X, y)
    >>> ax_map, ax_spectrum, ax_kernel = plot_branch(read_branches(model, X), 0)
    >>> ax_kernel.get_xlabel()
    'BOLD after EEG (s)'
    """
    n_branches = len(branches.patterns)
    if not 0 <= index < n_branches:
        raise ValueError(f"index must be 0 to {n_branches - 1}, got {index}.")
    row = _owner(branches, index) if region is None else region_row(branches, region)
    if axes is None:
        axes = figure_of(None, 6.6, 2.0).subplots(1, 3, width_ratios=[1, 1.2, 1.2])
    ax_map, ax_spectrum, ax_kernel = axes
    color = _UNSUPPORTED if _why_not(branches, row, index) else _SUPPORTED
    _draw_map(ax_map, branches, index, "RdBu_r" if color == _SUPPORTED else "Grays")
    _draw_spectrum(ax_spectrum, branches, index, color)
    _draw_kernel(ax_kernel, branches.lags, branches.delay_kernels[row, index], color)
    return axes


def _why_not(branches, row, index):
    """Tell why a branch is not to be interpreted; "" if it is."""
    if "supported" not in branches:
        return "not tested"
    if "people" in branches and branches.p_alike[index] > ALPHA:
        return "alike by chance"
    if branches.supported[row, index]:
        return ""
    if branches.p_region[row] > branches.criteria["p_region"]:
        return "region not\npredicted"
    p, stability = branches.p_held_out[row, index], branches.stability[row, index]
    if p > branches.criteria["p_held_out"]:
        return f"p = {p:z.3f}"
    return f"stability {stability:z.2f}" if stability < branches.criteria["stability"] else "small"


def plot_branches(branches, region, *, n_branches=3, title=None, fig=None) -> Figure:
    """Plot the most important branches of a region, the most important on top.

    Branches that meet the criteria of :func:`~sklearn_beira.read_branches` are in color. The others
    are gray and say why: their p or stability, or that they were not tested, because that function
    did not get the BOLD. Branches of a group are in color if more people have them than by chance.

    Parameters
    ----------
    branches : Bunch
        Result of :func:`sklearn_beira.inspection.read_branches`, or of
        :func:`sklearn_beira.inspection.group_branches`.
    region : str or int
        Name or number of the region.
    n_branches : int
        Number of branches at most, but every one in color is drawn.
    title : str or None
        Title; None takes the name of the region.
    fig : matplotlib.figure.Figure or None
        Figure to draw on; None makes one.

    Returns
    -------
    fig : matplotlib.figure.Figure
        The figure: a row per branch with its part of the r of held-out volumes (if not tested, its
        importance in training relative to the first branch), its stability over folds, and the
        panels of :func:`plot_branch`. The color bar is that of maps in color; in gray maps, 1 is
        black and -1 white.
    """
    row = region_row(branches, region)
    if n_branches < 1:
        raise ValueError(f"n_branches must be at least 1, got {n_branches}.")
    tested = "held_out" in branches
    importance = branches["held_out" if tested else "importance"][row]
    used = branches.importance[row] > 0
    ranked = [i for i in np.argsort(-importance, kind="stable") if used[i]]
    reasons = {i: _why_not(branches, row, i) for i in ranked}
    order = [i for rank, i in enumerate(ranked) if rank < n_branches or not reasons[i]]
    if not order:
        raise ValueError(f"no branch changes the prediction of {branches.region_names[row]}.")
    fig = figure_of(fig, 8.0, 1.2 + 1.3 * len(order))
    axes = fig.subplots(len(order), 4, squeeze=False, width_ratios=[0.8, 1, 1.5, 1.5])
    for rank, (index, (ax_rank, *panels)) in enumerate(zip(order, axes, strict=True), start=1):
        plot_branch(branches, index, region=row, axes=panels)
        reason = reasons[index]
        color = _UNSUPPORTED if reason else _SUPPORTED
        ax_rank.barh(0, max(importance[index], 0), 0.3, color=color)
        ax_rank.set(xlim=(0, 1), ylim=(-0.6, 2.2), yticks=[], xticks=[0, 1])
        if tested and not reason:
            what = "similarity" if "people" in branches else "stability"
            reason = f"{what} {branches.stability[row, index]:z.2f}"
        if "people" in branches:
            reason += f"\n{len(branches.people[index])} of {branches.n_people} people"
            if np.isfinite(branches.n_by_chance[index]):
                reason += f"\n({branches.n_by_chance[index]:.0f} by chance)"
        ax_rank.text(
            0, 0.3, f"{ordinal(rank)}: {importance[index]:z.2f}\n{reason}", va="bottom",
            fontsize="small",
        )  # fmt: skip
        clean(ax_rank).spines["left"].set_visible(False)
    _label_columns(fig, axes, "part of r,\nheld out" if tested else "importance\n(of the 1st)")
    first = np.argmin([bool(reasons[i]) for i in order])  # in color, if there is one
    if axes[first, 1].images:
        _add_color_bar(axes[-1, 1], axes[first, 1].images[0])
    handles = [
        Patch(facecolor=_SUPPORTED, alpha=0.35, label="frequency pattern"),
        Line2D([], [], **_FILTER, label="band-pass"),
        Line2D([], [], **_LOWPASS, label="low-pass of envelope"),
        Line2D([], [], color=_SUPPORTED, lw=1.2, label="delay kernel"),
        Line2D([], [], **_GLOVER, label="Glover's response, scaled"),
    ]
    if not np.isfinite(branches.lowpass_responses).all():
        del handles[2]
    legend_below(fig, handles, width=0)
    fig.suptitle(title or branches.region_names[row], fontsize="medium", fontweight="bold")
    return fig


def _label_columns(fig, axes, importance):
    """Label the columns above the first and below the last row only."""
    for ax in axes[:-1].flat:
        ax.set_xlabel("")
    for ax in axes[:-1, [0, 2, 3]].flat:
        ax.tick_params(labelbottom=False)
    axes[-1, 0].set_xlabel(importance, fontsize="small")
    for ax, title in zip(axes[0], ("", "pattern", "spectrum", "delay kernel"), strict=True):
        ax.set_title(title, fontsize="medium")
    for ax in axes[:, 2:].flat:
        ax.yaxis.label.set_fontsize("small")
    fig.align_ylabels(axes[:, 2])
    fig.align_ylabels(axes[:, 3])


def _owner(branches, index):
    owner = int(branches.regions[index])
    return owner if owner >= 0 else int(np.argmax(branches.importance[:, index]))


def _draw_map(ax, branches, index, cmap):
    pattern = branches.patterns[index]
    # The sign is arbitrary: a branch uses power, so a map and its negative are the same branch.
    pattern = pattern * (np.sign(pattern[np.argmax(np.abs(pattern))]) or 1.0)
    if has_positions(branches.info):
        try:
            mne.viz.plot_topomap(
                pattern, branches.info, axes=ax, show=False, cmap=cmap, vlim=(-1, 1),
                contours=np.linspace(-0.75, 0.75, 7),
            )  # fmt: skip
            return
        except Exception:  # positions on which MNE can draw no map, as two channels at one place
            ax.clear()
            ax.set_axis_on()
            ax.set_aspect("auto")
    ax.stem(np.arange(1, len(pattern) + 1), pattern, linefmt="C0-", markerfmt=" ", basefmt="k-")
    names = branches.ch_names or [str(i + 1) for i in range(len(pattern))]
    largest = [names[i] for i in np.argsort(-np.abs(pattern))[:2]]
    ax.set(xlabel="channel number", ylabel="pattern", ylim=(-1.05, 1.35))
    ax.text(0.02, 1.0, f"most: {', '.join(largest)}", transform=ax.transAxes, va="top", fontsize=7)
    clean(ax)


def _add_color_bar(ax, image):
    """Add the color bar of an image below a map."""
    place = ax.inset_axes([0.1, -0.16, 0.8, 0.07])
    bar = ax.figure.colorbar(image, place, orientation="horizontal", ticks=[-1, 0, 1])
    bar.set_label("of maximum", fontsize="small")


def has_positions(info: mne.Info | None) -> bool:
    """Tell whether every channel has a position on the head."""
    if info is None or info.get_montage() is None:
        return False
    at = np.array([channel["loc"][:3] for channel in info["chs"]])
    return bool(np.isfinite(at).all() and np.abs(at).any(axis=1).all())


def _draw_spectrum(ax, branches, index, color):
    frequencies, pattern = branches.frequencies, branches.frequency_patterns[index]
    ax.fill_between(frequencies, pattern, color=color, alpha=0.35, lw=0)
    ax.plot(frequencies, pattern, color=color, lw=1.2)
    ax.plot(frequencies, branches.frequency_responses[index], **_FILTER)
    ax.plot(frequencies, branches.lowpass_responses[index], **_LOWPASS)
    ax.set(xlabel="frequency (Hz)", ylabel="of maximum", ylim=(0, 1.05))
    ax.set_xlim(0, min(50.0, frequencies[-1]))
    clean(ax)


def _draw_kernel(ax, lags, kernel, color):
    reference = hrf_at(lags)
    norm = reference @ reference
    if norm > 0:
        ax.plot(lags, reference * (reference @ kernel) / norm, **_GLOVER)
    ax.axhline(0, color="0.6", lw=0.8, zorder=0)
    marker = "." if len(lags) <= _FEW_LAGS else ""
    ax.plot(lags, kernel, color=color, lw=1.2, marker=marker, ms=3)
    ax.set(xlabel="BOLD after EEG (s)", ylabel="BOLD (SD)\nper second of\n2 × envelope")
    ax.locator_params(axis="y", nbins=3)
    ax.set_xlim(min(0.0, lags.min()), 1.03 * lags.max())
    clean(ax)
