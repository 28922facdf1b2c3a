"""The report of a group: r of every participant, shared branches, and the quality of runs."""

from functools import partial
from html import escape
from urllib.parse import quote

import numpy as np
import pandas as pd
from scipy import stats

from .._utils.numbers import fisher_z
from .._utils.regions import some
from ..evaluation import group_scores
from ..evaluation.comparison import format_p
from ..evaluation.metrics import ALPHA
from ..inspection import group_branches
from ..viz import plot_branches
from ..viz.report import (
    add_box,
    add_figure,
    add_scores,
    add_software,
    best_model,
    beyond_nuisance,
    details,
    few_in_words,
    null_in_words,
    paragraphs,
    ranked,
    scores_html,
    start_report,
)
from ..viz.scores import model_rows, pooled_rows
from .group_figures import plot_group_predictions, plot_participants, plot_region
from .quality import add_quality, marked_runs

WITHIN, ACROSS = "within participants", "left-out participants"
ONE = "participant"  # scope of a row; that of a mean is "group"
_READING = (
    "A dot is r of one participant, the black bar their mean with its 95% interval. Within: the "
    "model is trained on other blocks of the same participant. Left out: it is trained on the "
    "other participants only. Gray: range of r under the null, of one participant (within, median) "
    "or of all volumes (left out; compare it with the mean, not with a dot). It need not be "
    "centered on 0, as BOLD of different runs may be alike."
)
_REGION = (
    "The region with the highest mean r. Lines are 95% intervals: of a participant from the "
    "effective number of volumes, of the group over participants."
)
_PREDICTED = (
    "The region with the highest mean r. The tables above have r of every participant in every "
    "region."
)
_STARS, _NO_STARS = " (* p_max ≤ .05)", " (not tested one by one)"
_MOST = 6  # regions that a line of the summary names
_UNCHECKED = {"Common causes": "not checked: a good prediction may be one of movement"}
_FEW = 2  # participants, which give no interval of their mean
_TWO = "two participants give no interval of their mean: read r of each of them"
_COLUMNS = (
    "interval and p_people are over participants: p_people tests whether the mean r of people like "
    "these, in such a study with the same stimuli, is above the middle of the null (one-sided t "
    "test, not corrected over regions; the interval is that of r itself). p_max is over volumes, "
    "corrected over regions; found in counts the participants with p_max of at most .05. An "
    "asterisk in the table of participants marks these. Other models: mean r."
)
_PROTOCOL = (
    "This table is that of left-out participants, who are predicted by models of the others. r is "
    "over the volumes of all participants; the tables of the group have the mean of their r.\n\n"
    "Within participants, the folds are blocks. "
)
_BRANCHES = (
    "Branches that are supported in more participants than they would be if EEG predicted nothing, "
    "and that are alike in them: averages over these participants. Maps are broad and rhythms few, "
    "so some are alike by chance; those that are in no more participants than if everyone's "
    "regions changed places are gray. Beside each: its part of held-out r, "
    "its similarity over pairs of participants, and how many have it. Reports of participants "
    "explain the panels. Heads differ, so an average map is broader than that of a participant. Do "
    "not interpret the branches of a region that is not predicted. What participants share may "
    "also be an artifact."
)


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
        Columns ``evaluation``, ``model``, ``region``, ``scope`` ("participant", or "group" for the
        mean), ``participant`` ("" for the mean), ``r``, ``ci_low``, ``ci_high``,
        ``p_parametric``, ``p_max``, ``null_low`` and ``null_high``.
        The last three of the group are over all volumes for left-out participants; within
        participants, there is no ``p_max`` of the group, and the range of the null is the median.
        ``p_parametric`` of the group tests the mean against the middle of that range.
        Two participants give no interval and no p of their mean.
    """
    nulls = ["p_max", "null_low", "null_high"]
    numbers = ["r", "ci_low", "ci_high", "p_parametric", *nulls]
    columns = ["model", "region", "label", *numbers]
    table = across.table[across.table["scope"].isin(["subject", "group"])]
    of_all = table["scope"] == "group"
    parts = [table[columns].assign(evaluation=ACROSS, scope=np.where(of_all, "group", ONE))]
    parts[0].loc[of_all, "label"] = ""
    pooled = _pooled(across).set_index(["model", "region"])[[*nulls, "middle"]]
    of_group = pd.MultiIndex.from_frame(table.loc[of_all, ["model", "region"]])
    parts[0].loc[of_all, [*nulls, "middle"]] = pooled.loc[of_group].to_numpy()
    own = [
        _pooled(comparison)[[*columns, "middle"]].assign(scope=ONE, label=person)
        for person, comparison in within.items()
    ]
    if own:
        own.append(_group_rows(pd.concat(own)))
        parts.insert(0, pd.concat(own).assign(evaluation=WITHIN))
    scores = pd.concat(parts, ignore_index=True).rename(columns={"label": "participant"})
    n_people = scores.groupby("evaluation")["participant"].transform("nunique") - 1  # "" is none
    is_group = scores["scope"] == "group"
    scores.loc[is_group, "p_parametric"] = _above_null(scores[is_group], n_people[is_group])
    unknown = is_group & (n_people <= _FEW)
    scores.loc[unknown, ["ci_low", "ci_high", "p_parametric"]] = np.nan
    return scores[["evaluation", "model", "region", "scope", "participant", *numbers]]


def _pooled(comparison):
    """Pooled rows, with the middle of the null in z, which drifts and shared stimuli may move."""
    rows = pooled_rows(comparison)
    z = fisher_z(rows[["r", "null_low", "null_high"]])
    middle = z[["null_low", "null_high"]].mean(axis=1).fillna(0.0)
    if comparison.settings["null"] == "swap":  # which was moved towards r; see Surrogates.complete
        pull = 1 / len(np.unique(comparison.recordings))
        middle = (middle - pull * z["r"]) / (1 - pull)
    return rows.assign(middle=middle)


def _above_null(rows, n_people):
    """One-sided p of a mean above the middle of the null."""
    z = fisher_z(rows[["r", "ci_low", "ci_high"]])
    error = (z["ci_high"] - z["ci_low"]) / 2 / stats.t.ppf(0.975, n_people - 1)
    return stats.t.sf((z["r"] - rows["middle"]) / error, n_people - 1)


def _group_rows(own):
    rows = []
    for model, table in own.groupby("model", sort=False):
        r = table.pivot(index="label", columns="region", values="r")[table["region"].unique()]
        found = group_scores(np.tanh(fisher_z(r))).rename(columns={"p": "p_parametric"})
        found = found.join(table.groupby("region")[["null_low", "null_high"]].median())
        found = found.join(table.groupby("region")["middle"].mean())
        found = found.reset_index().drop(columns="n_subjects")
        rows.append(found.assign(model=model, scope="group", label=""))
    return pd.concat(rows)


def make_group_report(
    across, within, X, scores, quality, *,
    branches=None, runs=None, pages=None, data="", protocol="", command="", title="",
):  # fmt: skip
    """Make the report of a group.

    Parameters
    ----------
    across : Comparison
        Comparison that leaves one participant out.
    within : dict of str to Comparison
        Comparisons within participants, by name.
    X : EEGWindows
        The EEG of ``across``.
    scores : DataFrame
        What :func:`score_table` returned.
    quality : DataFrame
        What :func:`~sklearn_beira.cli.quality.run_quality` returned.
    branches : dict of str to Bunch or None
        Tested branches of each participant.
    runs : DataFrame or None
        Table of the study.
    pages : dict of str to str or None
        Links to the reports of participants, by their names.
    data, protocol, command, title : str
        As in :func:`~sklearn_beira.viz.make_report`.

    Returns
    -------
    report : mne.Report
        The report.
    """
    report = start_report(title)
    model, regions = next(iter(across.predictions)), list(across.bold)
    shared = None
    if branches is not None and len(branches) > 1:
        shared = group_branches(branches)
        shared.info = X.info
    group = scores[(scores["scope"] == "group") & (scores["model"] == model)]
    means = group.groupby("evaluation", sort=False)["r"].mean()
    said = ", ".join(f"{way} {r:z.2f}" for way, r in means.items())
    odd = marked_runs(quality).any(axis=1)
    facts = {
        "Participants": some(X.subjects, 40),
        **({"Intervals": _TWO} if len(set(X.subjects)) <= _FEW else {}),
        "Runs": f"{len(X.recordings)} used" if runs is None else _counts(runs),
        "Runs to look at": some(odd.index[odd]) or "none is marked",
        "Data": f"{len(X)} volumes, {len(X.ch_names)} EEG channels",
        **{
            f"Mean r, {way}": ranked(rows.set_index("region")["r"], _MOST)
            for way, rows in group.groupby("evaluation", sort=False)
        },
        **_in_people(group[group["evaluation"] == ACROSS]),
        "Predicted over all volumes": _predicted(across),
        **(_UNCHECKED if across.beyond is None else beyond_nuisance(across)),
        "Best model": f"{best_model(across)}, {ACROSS}",
        "Shared branches": _shared_in_words(shared),
        "Evaluation": f"{across.settings['cv']}; {null_in_words(across.settings)}",
    }
    add_box(report, f"Mean r of {model}: {said}", facts)

    placed = {"section": "Group"}
    add_figure(report, lambda: plot_participants(scores), _READING, title="Regions", **placed)
    tables = mean_tables(scores, len(within), across.settings["p_floor"])
    body = "".join(f"<div><h5>{way}</h5>{scores_html(table)}</div>" for way, table in tables)
    body += details("How to read these tables", paragraphs(_COLUMNS))
    report.add_html(body, title="Means over participants", **placed)
    best = group.set_index("region")["r"].idxmax()
    title = f"Participants: {best}"
    add_figure(report, lambda: plot_region(scores, best), _REGION, title=title, **placed)
    people = scores[(scores["scope"] == ONE) & (scores["model"] == model)]
    body = ""
    for way, rows in people.groupby("evaluation", sort=False):
        table = scores_html(_people_table(rows, regions, pages or {}), escape=False)
        tested = rows["p_max"].notna().any()
        body += f"<div><h5>{way}{_STARS if tested else _NO_STARS}</h5>{table}</div>"
    report.add_html(body, title="Participants: all regions", **placed)

    draw = partial(plot_group_predictions, across, within, X.subjects, best)
    add_figure(report, draw, _PREDICTED, title=f"{best}", section="Predictions")
    if shared is not None:
        _add_branches(report, shared)

    if runs is not None:
        last = ["verdict", "reason", "t_r", "trigger", "confounds"]
        shown = runs.sort_values("verdict", key=lambda v: v == "ok", kind="stable")
        shown = shown[[*runs.columns.drop([*last, "eeg", "bold"]), *last]]
        shown = shown.astype(object).where(shown.notna(), "")
        shown = shown.map(lambda value: escape(str(value)))
        shown["reason"] = [t and f'<div class="beira-text">{t}</div>' for t in shown["reason"]]
        shown = shown.loc[:, (shown != "").any()]
        table = scores_html(shown.set_index("subject").rename_axis(None), escape=False)
        unused = "" if (runs["verdict"] == "ok").all() else " Those that are not used come first."
        body = f"{paragraphs(f'{_counts(runs)}.{unused}')}<div>{table}</div>"
        report.add_html(body, title="Pairs of EEG and BOLD", section="Runs")
    add_quality(report, quality, "Runs")
    if data:
        report.add_html(paragraphs(data), title="Notes", section="Runs")
    add_scores(report, across, _PROTOCOL + protocol, None)
    add_software(report, across, "", command)
    return report


def _predicted(across):
    first = model_rows(across)
    rule = f"p_max ≤ {ALPHA:.2f}; one participant may carry it"
    found = _found_in_words(first["r"], first["p_max"] <= ALPHA, rule)
    return found.replace(" regions", f" regions{few_in_words(first)}", 1)


def _in_people(rows):
    """Tell whether people like these are predicted, with p corrected over regions."""
    rows = rows.set_index("region")
    if rows["p_parametric"].isna().all():
        return {}
    found = rows["p_parametric"] * len(rows) <= ALPHA
    rule = f"p_people × {len(rows)} ≤ {ALPHA:.2f}"
    return {"Predicted in people like these": _found_in_words(rows["r"], found, rule)}


def _found_in_words(r, found, rule):
    which = f": {ranked(r[found], _MOST)}" if found.any() else ""
    return f"{found.sum()} of {len(found)} regions ({rule}){which}"


def _shared_in_words(shared):
    if shared is None:
        return "not known"
    sizes = pd.Series([len(people) for people in shared.people], shared.regions, dtype=float)
    known = ~(shared.p_alike > ALPHA)
    most = sizes[known].groupby(level=0).max().sort_values(ascending=False, kind="stable")
    told = [f"{shared.region_names[row]} ({n:.0f} of {shared.n_people})" for row, n in most.items()]
    if not told:
        return "none that is in more participants than by chance" if len(sizes) else "none"
    told = some([text.replace(" ", "\N{NO-BREAK SPACE}") for text in told], _MOST)
    return f"in {len(most)} of {len(shared.region_names)} regions (participants with one): {told}"


def _counts(runs):
    counts = ", ".join(f"{n} {verdict}" for verdict, n in runs["verdict"].value_counts().items())
    return f"{len(runs)} runs: {counts}"


def mean_tables(scores, n_within, floor):
    """Yield, for each way, the first model in full and the mean r of the others."""
    models = list(scores["model"].unique())
    for way, rows in scores.groupby("evaluation", sort=False):
        group = rows[rows["scope"] == "group"].set_index(["model", "region"])
        first = group.loc[models[0]]
        table = pd.DataFrame({models[0]: first["r"].map("{:z.2f}".format)})
        if first["ci_low"].notna().any():
            ends = zip(first["ci_low"], first["ci_high"], strict=True)
            table["interval"] = [f"[{low:z.2f}, {high:z.2f}]" for low, high in ends]
            p_people = first["p_parametric"]
            table["p_people"] = ["< 0.001" if p < 0.001 else f"{p:.3f}" for p in p_people]
        if way == ACROSS:
            table["p_max"] = [format_p(p, floor) for p in first["p_max"]]
        else:
            people = rows[(rows["scope"] == ONE) & (rows["model"] == models[0])]
            found = (people["p_max"] <= ALPHA).groupby(people["region"]).sum()
            table["found in"] = [f"{found[region]} of {n_within}" for region in table.index]
        for model in models[1:]:
            table[model] = group.loc[model]["r"].map("{:z.2f}".format)
        yield way, table.rename_axis(None)


def _people_table(rows, regions, pages):
    """Return r of every participant in every region, with links; the more of them in rows."""
    stars = np.where(rows["p_max"] <= ALPHA, "*", "\N{NO-BREAK SPACE}")
    rows = rows.assign(text=[f"{r:z.2f}{star}" for r, star in zip(rows["r"], stars, strict=True)])
    table = rows.pivot(index="participant", columns="region", values="text")
    table = table.loc[rows["participant"].unique(), regions].rename_axis(index=None, columns=None)

    def linked(name):
        page = pages.get(name)
        return f'<a href="{quote(page)}">{escape(name)}</a>' if page else escape(name)

    table = table.rename(index=linked, columns=escape)
    return table.T if len(table) < table.shape[1] else table  # long tables are read, wide ones not


def _add_branches(report, shared):
    alone = [name for row, name in enumerate(shared.region_names) if row not in shared.regions]
    body = paragraphs(_BRANCHES)
    if alone:
        body += paragraphs(f"No branch is shared in {', '.join(alone)}.")
    report.add_html(body, title="How to read branches", section="Branches")
    for row in pd.unique(shared.regions):
        n = int((shared.regions == row).sum())
        draw = partial(plot_branches, shared, int(row), n_branches=n)
        add_figure(report, draw, title=shared.region_names[row], section="Branches")
