"""Figures of a group: r of every participant, and what is predicted in each."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ..viz.predictions import draw_series
from ..viz.style import COLORS, DASHES, MARKERS, MEASURED, NULL, clean, legend_below

_MEAN = {"color": "k", "marker": "|", "ls": "", "ms": 12, "mew": 2}


def plot_participants(scores):
    """Plot r of every participant in every region, in both ways side by side.

    Parameters
    ----------
    scores : DataFrame
        What :func:`~sklearn_beira.cli.group_report.score_table` returned.

    Returns
    -------
    fig : matplotlib.figure.Figure
        The figure. Dots: r of one participant with the first model. Black: mean over participants
        with its interval. Gray: range of r under the null. Other markers: means of other models.
    """
    regions, models = list(scores["region"].unique()), list(scores["model"].unique())
    at = pd.Series(np.arange(len(regions)), regions)
    fig, axes = _two_ways(scores, 1.5 + 0.45 * len(regions), at)
    by_way = scores.groupby("evaluation", sort=False)
    for ax, (_, rows) in zip(axes, by_way, strict=True):
        group = rows[rows["scope"] == "group"].set_index(["model", "region"])
        mean = group.loc[models[0]].loc[regions]
        width = mean["null_high"] - mean["null_low"]
        null = ax.barh(at, width, 0.8, mean["null_low"], color=NULL, label="range of the null")
        people = rows[(rows["scope"] != "group") & (rows["model"] == models[0])]
        n = people["participant"].nunique()
        spread = np.linspace(-0.3, 0.3, n) if n > 1 else np.zeros(1)
        y = at[people["region"]].to_numpy()
        y = y + spread[people.groupby("region", sort=False).cumcount()]
        ax.hlines(at, mean["ci_low"], mean["ci_high"], color="k", lw=2)
        handles = [null, *ax.plot(mean["r"], at, **_MEAN, label=f"{models[0]}, mean")]
        label = f"{models[0]}, one participant"
        handles += ax.plot(people["r"], y, "o", color=COLORS[0], ms=4, mew=0, label=label)
        for model, marker, shade in zip(models[1:], MARKERS[1:], COLORS[1:], strict=False):
            r = group.loc[model].loc[regions, "r"]
            style = {"ls": "", "marker": marker, "ms": 5, "mec": shade, "mfc": "none"}
            handles += ax.plot(r, at, **style, label=model)
    legend_below(fig, handles, width=7)
    return fig


def plot_region(scores, region):
    """Plot r of every participant in one region with its interval, in both ways side by side.

    Parameters
    ----------
    scores : DataFrame
        What :func:`~sklearn_beira.cli.group_report.score_table` returned.
    region : str
        Region.

    Returns
    -------
    fig : matplotlib.figure.Figure
        The figure: a row per participant, and one of the group.
    """
    scores = scores[(scores["region"] == region) & (scores["model"] == scores["model"].iloc[0])]
    people = list(scores.loc[scores["scope"] != "group", "participant"].unique())
    at = pd.Series(np.arange(len(people) + 1), [*people, ""])  # "" is the mean
    fig, axes = _two_ways(scores, 1.0 + 0.2 * len(at), at.set_axis([*people, "group"]))
    by_way = scores.groupby("evaluation", sort=False)
    for ax, color, (_, rows) in zip(axes, COLORS, by_way, strict=False):
        y = at[rows["participant"]].to_numpy()
        colors = np.where(rows["scope"] == "group", "k", color)
        ax.hlines(y, rows["ci_low"], rows["ci_high"], color=colors, lw=1.2)
        ax.scatter(rows["r"], y, 18, colors, zorder=3)
        ax.axhline(len(people) - 0.5, color="0.7", lw=0.8)
        ax.tick_params(axis="y", labelsize="small")
    fig.suptitle(region, fontsize="medium", fontweight="bold")
    return fig


def _two_ways(scores, height, at):
    """Make a panel per way of evaluation, with a row per name in ``at``."""
    ways = list(scores["evaluation"].unique())
    fig, axes = plt.subplots(
        1, len(ways), figsize=(9.0, round(height, 1)), sharex=True, sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for ax, way in zip(axes[0], ways, strict=True):
        ax.axvline(0.0, color="0.7", lw=0.8, zorder=0)
        ax.set(title=way, xlabel="Pearson's r", yticks=at, yticklabels=at.index)
        clean(ax).locator_params(axis="x", nbins=6)
    axes[0, 0].set_ylim(len(at) - 0.4, -0.6)
    return fig, axes[0]


def plot_group_predictions(across, within, people, region):
    """Plot measured and predicted BOLD of every participant in one region.

    Parameters
    ----------
    across : Comparison
        Comparison that leaves one participant out.
    within : dict of str to Comparison
        Comparisons within participants, by name.
    people : ndarray of shape (n_volumes,)
        Participant of each volume of ``across``.
    region : str
        Region.

    Returns
    -------
    fig : matplotlib.figure.Figure
        The figure: a panel per participant, with the recordings one after another.
    """
    names, model = list(pd.unique(people)), next(iter(across.predictions))
    n_columns = 1 if len(names) < 4 else 2
    n_rows = -(-len(names) // n_columns)
    fig, axes = plt.subplots(
        n_rows, n_columns, figsize=(9.0, round(0.9 + 1.1 * n_rows, 1)), squeeze=False,
        sharey=True, layout="constrained",
    )  # fmt: skip
    lines = {}
    for ax, name in zip(axes.ravel(), names, strict=False):
        rows = np.flatnonzero(people == name)
        predicted = {"left out": across.predictions[model][region].to_numpy()[rows]}
        times, recordings = across.times[rows], across.recordings[rows]
        if name in within:  # which may hold more volumes
            own = within[name]
            series = own.predictions[model][region].set_axis(_volumes(own.recordings, own.times))
            series = series.reindex(_volumes(recordings, times)).to_numpy()
            predicted = {"within": series, **predicted}
        measured = across.bold[region].to_numpy()[rows]
        end = 0.0
        for recording in pd.unique(recordings):
            here = np.flatnonzero(recordings == recording)
            here = here[np.argsort(times[here])]
            at = times - times[here[0]] + end
            style = {"color": MEASURED, "lw": 1.8, "label": "measured"}
            lines["measured"] = draw_series(ax, here, at, measured, measured, **style)
            for way, color, dashes in zip(("within", "left out"), COLORS, DASHES, strict=False):
                if way in predicted:
                    style = {"color": color, "lw": 1.0, "ls": dashes, "label": f"predicted, {way}"}
                    lines[way] = draw_series(ax, here, at, measured, predicted[way], **style)
            end = at[here[-1]] + 20.0
        ax.set_title(name, fontsize="small", loc="left")
        ax.margins(x=0.01)
        clean(ax)
    for ax in axes.ravel()[len(names) :]:
        ax.set_axis_off()
    for ax in axes[-1]:
        ax.set_xlabel("time, recordings one after another (s)")
    fig.supylabel("BOLD (SD)", fontsize="medium")
    fig.suptitle(region, fontsize="medium", fontweight="bold")
    legend_below(fig, list(lines.values()), width=4)
    return fig


def _volumes(recordings, times):
    """Name the volumes of a participant by recording, counted from 0, and time."""
    return pd.MultiIndex.from_arrays([pd.factorize(recordings, sort=True)[0], times])
