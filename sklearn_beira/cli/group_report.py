"""What the report of a group adds: the table of runs, and every participant in every region."""

from html import escape
from urllib.parse import quote

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from .._utils.files import one_line
from ..evaluation import Comparison, group_scores
from ..viz.style import COLORS, clean

WITHIN, ACROSS = "within participants", "left-out participants"
_READING = (
    "A dot is r of one participant, a bar the mean with its 95 % interval over participants. "
    "Within: the model is trained on other blocks of the same participant. Left out: it is trained "
    "on the other participants only."
)


def read_own(folder, cv, across, y, say):
    """Read the comparison within a participant, if it is of this run.

    Parameters
    ----------
    folder : Path
        Folder of the participant.
    cv : cross-validation splitter
        Folds within participants.
    across : Comparison
        Comparison that leaves one participant out.
    y : DataFrame of shape (n_volumes, n_rois)
        BOLD of the participant.
    say : callable
        Gets a sentence if the comparison is left out.

    Returns
    -------
    own : Comparison or None
        None if it cannot be read, or is of other data, settings or versions.
    """
    try:
        own = Comparison.from_folder(folder)
    except ValueError as error:
        say(f"{folder.name} is left out of the group: {one_line(error)}")
        return None
    of_folds = ("question", "p_floor", "null", "n_surrogates", "cv")
    expected = {name: v for name, v in across.settings.items() if name not in of_folds}
    same = {
        "regions": list(own.bold) == list(map(str, y)),
        "BOLD": own.bold.shape == y.shape and np.allclose(own.bold, y),
        "models": list(own.predictions) == list(across.predictions),
        "nuisance signals": (own.beyond is None) == (across.beyond is None),
        "settings": {**expected, "cv": str(cv)}.items() <= own.settings.items(),
        "versions": own.versions == across.versions,
    }
    others = ", ".join(what for what, is_same in same.items() if not is_same)
    if others:
        say(
            f"{folder.name} is left out of the group: it holds a comparison with other {others}; "
            f"repeat it with --level participant"
        )
        return None
    return own


def score_table(across, within) -> pd.DataFrame:
    """Collect r of every participant and of the group, in both ways.

    Parameters
    ----------
    across : Comparison
        Comparison that leaves one participant out.
    within : dict of str to Comparison
        Comparisons within participants, by name.

    Returns
    -------
    scores : DataFrame
        Columns ``evaluation``, ``model``, ``region``, ``participant`` ("group" for the mean),
        ``r``, ``ci_low``, ``ci_high``, ``p_parametric``, and ``p_max`` within participants.
    """
    numbers = ["r", "ci_low", "ci_high", "p_parametric", "p_max"]
    columns = ["model", "region", "label", *numbers]
    table = across.table[across.table["scope"].isin(["subject", "group"])]
    parts = [table[columns].assign(evaluation=ACROSS)]
    parts[0].loc[table["scope"] == "group", "label"] = "group"
    own = [
        comparison.table.query("scope == 'pooled'")[columns].assign(label=person)
        for person, comparison in within.items()
    ]
    if own:
        own.append(_group_rows(pd.concat(own)))
        parts.insert(0, pd.concat(own).assign(evaluation=WITHIN))
    scores = pd.concat(parts, ignore_index=True).rename(columns={"label": "participant"})
    return scores[["evaluation", "model", "region", "participant", *numbers]]


def _group_rows(own):
    rows = []
    for model, table in own.groupby("model", sort=False):
        r = table.pivot(index="label", columns="region", values="r")[table["region"].unique()]
        found = group_scores(r).rename(columns={"p": "p_parametric"}).reset_index()
        rows.append(found.drop(columns="n_subjects").assign(model=model, label="group"))
    return pd.concat(rows)


def add_group(report, scores, runs, pages) -> None:
    """Add the sections of a group to a report, after its summary.

    Parameters
    ----------
    report : mne.Report
        Report; it is changed in place.
    scores : DataFrame
        What :func:`score_table` returned.
    runs : DataFrame
        Table of the study.
    pages : dict of str to str
        Links to the reports of participants, by their names.
    """
    n_before = len(report)
    fig = plot_participants(scores)
    report.add_figure(fig, title="Participants", section="Group", caption=_READING)
    plt.close(fig)
    links = ", ".join(f'<a href="{quote(page)}">{escape(name)}</a>' for name, page in pages.items())
    body = f"<p>Reports of participants: {links or 'none'}.</p>"
    group = scores[scores["participant"] == "group"]
    group = group.assign(r=[_with_interval(row) for row in group.itertuples()])
    for way, rows in group.groupby("evaluation", sort=False):
        means = rows.pivot(index="region", columns="model", values="r")
        means = means.loc[rows["region"].unique(), rows["model"].unique()]
        means = means.rename_axis(index=None, columns=None)
        body += f"<p>Mean r [interval], {way}:</p>{_scores_html(means)}"
    report.add_html(body, title="Means over participants", section="Group")
    shown = runs.drop(columns=["eeg", "bold"]).dropna(axis="columns", how="all").astype(object)
    shown = shown.where(shown.notna(), "").set_index("subject").rename_axis(None)
    counts = ", ".join(f"{n} {verdict}" for verdict, n in runs["verdict"].value_counts().items())
    body = f"<p>{len(runs)} runs: {counts}.</p>{_scores_html(shown)}"
    report.add_html(body, title="Runs", section="Runs")
    n = len(report)
    report.reorder([0, *range(n_before, n), *range(1, n_before)])


def plot_participants(scores, model="BEIRA"):
    """Plot r of every participant in every region, in both ways side by side.

    Parameters
    ----------
    scores : DataFrame
        What :func:`score_table` returned.
    model : str
        Model.

    Returns
    -------
    fig : matplotlib.figure.Figure
        The figure.
    """
    scores = scores[scores["model"] == model]
    regions, ways = list(scores["region"].unique()), list(scores["evaluation"].unique())
    size = (9.0, 1.0 + 0.35 * len(regions))
    fig, axes = plt.subplots(
        1, len(ways), figsize=size, sharex=True, sharey=True, layout="constrained"
    )
    axes = np.atleast_1d(axes)
    for ax, way, color in zip(axes, ways, COLORS, strict=False):
        rows = scores[scores["evaluation"] == way]
        people, group = rows["participant"] != "group", rows["participant"] == "group"
        at = pd.Series(np.arange(len(regions)), regions)
        spread = np.linspace(-0.25, 0.25, max(rows.loc[people, "participant"].nunique(), 1))
        order = rows[people].groupby("region", sort=False).cumcount()
        y = at[rows.loc[people, "region"]].to_numpy() + spread[order]
        ax.plot(rows.loc[people, "r"], y, "o", color=color, alpha=0.5, markersize=4)
        mean = rows[group].set_index("region").loc[regions]
        ax.hlines(at, mean["ci_low"], mean["ci_high"], color="k", lw=2)
        ax.plot(mean["r"], at, "|", color="k", markersize=12, markeredgewidth=2)
        ax.axvline(0.0, color="0.7", lw=0.8, zorder=0)
        ax.set(title=f"{model}, {way}", xlabel="Pearson's r", yticks=at, yticklabels=regions)
        clean(ax)
    axes[0].invert_yaxis()
    return fig


def _with_interval(row):
    return f"{row.r:.2f} [{row.ci_low:.2f}, {row.ci_high:.2f}]"


def _scores_html(table):
    return f'<div><div class="beira-scores">{table.to_html(border=0)}</div></div>'
