"""One HTML page: what was found, how well each model predicts, and how to repeat it."""

import html
import inspect
from functools import partial
from io import StringIO
from pathlib import Path

import matplotlib.pyplot as plt
import mne
import numpy as np
import pandas as pd
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import estimator_html_repr

from .._utils.estimators import chosen, last_step
from .._utils.files import atomic_write, one_line, printable
from .._utils.regions import some
from .._version import __version__
from ..eeg.checks import check_rows
from ..eeg.filters import EEGFilter
from ..evaluation.beyond import ORACLE
from ..evaluation.comparison import format_p, paired_test
from ..evaluation.metrics import ALPHA, by_few_volumes
from .brain import plot_rois
from .branches import plot_branches
from .influence import plot_influence
from .predictions import plot_predictions
from .recording import check_continuous, plot_alignment, plot_spectrum
from .scores import model_rows, plot_comparison, pooled_rows
from .training import is_trained, plot_training

_READING = (
    "r is Pearson's r of out-of-fold predictions, centered within test blocks. The {level:g}% "
    "confidence interval, p and p_max (p corrected for multiple comparisons) are those of the "
    "first model. An asterisk marks p_max of at most .05; ≤ marks the smallest p that so many "
    "surrogates can give. The last row is the mean over regions. With nuisance signals, beyond is "
    "r on BOLD without what these signals predict; the verdict is brain (found beyond them), "
    "shared (found, but not beyond them) or not found."
)
_FOREST = (
    "Line: confidence interval of r (dotted: too few effective volumes). Gray bar: central range "
    "of r under the null, not corrected. Hollow dot: p_max above .05."
)
_INFLUENCE = (
    "By how much each volume raises r of the first model. Shaded: the stretch that carries most."
)
_SHARES = (
    "Variance of the contribution of each band to the prediction, in % of the variance of the "
    "whole prediction. The model is solved in closed form, so there are no losses to show."
)
_BRANCHES = {
    "branch": "One rhythm that the model uses: a spatial filter and a band-pass give a signal, and "
    "its envelope (the slow course of its power or amplitude) changes the prediction.",
    "color": "A branch in color adds to what other branches predict of held-out volumes (p at "
    "most .05, not corrected over branches; part of r at least .03), and the folds find it again "
    "(mean stability at least .8). The others are gray and say why; do not interpret them.",
    "part of r": "How much of the r of held-out volumes the branch contributes. The parts of all "
    "branches add up to about r.",
    "pattern": "Where on the scalp the signal of the branch comes from (not the weights of the "
    "filter), scaled to a largest value of 1 (dark red; in gray maps black); 0 is white (gray), -1 "
    "dark blue (white). The sign is arbitrary. Without positions, each channel is a line.",
    "spectrum": "Filled: frequency pattern, the spectrum of the signal of the branch. Dashed: "
    "frequency response of the band-pass. Dotted: low-pass that smooths the envelope. Each curve "
    "is scaled to its maximum.",
    "delay kernel": "How BOLD follows the envelope: change of the predicted BOLD, in SD of the "
    "region's BOLD, per second in which the envelope doubles, against the delay of BOLD after "
    "the EEG. Gray: Glover's hemodynamic response, scaled to the kernel.",
}
_INTERPRET = (
    "Do not interpret the branches of a region that is not predicted{gray}. A good prediction does "
    "not prove that a map is right."
)
_BRAIN = "r of the first model. The anatomy is nilearn's MNI template, for BOLD in MNI space only."
_DOUBTS = {
    "influence": "variance of r from single volumes, relative to Gaussian ones; above 1.5, a few "
    "volumes may drive r: compare r_without_burst",
    "r_without_burst": "r without the stretch of volumes that carries most of it",
    "smoothness": "lag-one autocorrelation of the measured BOLD",
    "neighbor_r": "r that autocorrelated BOLD of neighboring training volumes could give alone",
    "null_scatter": "above 1, recordings are not equally smooth, and p is too low",
}
_NULLS = {
    "swap": "BOLD of other recordings (null: swap)",
    "shift": "BOLD shifted in time (null: shift)",
    "circular": "BOLD rotated in time (null: circular)",
    "phase": "BOLD with random phases (null: phase)",
}
_REPEAT = "Software versions and how to repeat it"
_MAX_COLUMNS = 10  # of a table of scores on a page of 1200 pixels
_STYLE = (Path(__file__).parent / "report.css").read_text(encoding="utf-8")


def make_report(
    comparison,
    X,
    *,
    model=None,
    branches=None,
    n_branches=3,
    drawn=None,
    extractor=None,
    ceiling=None,
    files=(),
    data="",
    protocol="",
    code="",
    command="",
    title="EEG to BOLD",
) -> "mne.Report":  # a string, as mne.report is imported when it is used
    """Make an HTML report of a comparison: summary, data, model, scores, predictions, branches.

    Parameters
    ----------
    comparison : Comparison
        Result of :func:`sklearn_beira.compare`.
    X : EEGWindows
        The EEG that was given to ``compare``.
    model : estimator or None
        Model whose preprocessing and settings are shown and, if it is a fitted BEIRARegressor or a
        Pipeline that ends in one, its training; for a fitted search, its best estimator.
    branches : Bunch or None
        Result of :func:`sklearn_beira.inspection.read_branches` for the first model of the
        comparison. Headings show its r and p_max; regions with p_max above .05 are grayed.
    n_branches : int
        Number of branches shown per region.
    drawn : list of str or None
        Models whose predictions are drawn over time; None draws the first two, [] none.
    extractor : ROIExtractor or None
        Fitted extractor of the regions; r of the first model is then shown on the brain.
    ceiling : array-like of shape (n_rois,) or None
        Highest possible r, where it is known, as in a simulation.
    files : list of path-like
        Files of the BOLD, for the summary; those of the EEG are known from ``X.alignment``.
    data, protocol : str
        Descriptions of the data and of the evaluation: plain text, paragraphs separated by empty
        lines. A paragraph that begins with "Note: " is highlighted.
    code, command : str
        Python code and command line that repeat the analysis.
    title : str
        Title of the page.

    Returns
    -------
    report : mne.Report
        The report; ``report.save(path)`` writes one HTML file that needs no other files.
    """
    drawn = list(getattr(comparison, "predictions", ()))[:2] if drawn is None else list(drawn)
    _check(comparison, X, drawn)
    report = start_report(title)
    _add_summary(report, comparison, X, files)
    _add_data(report, X, data)
    if model is not None:
        _add_preprocessing(report, X, chosen(model))
        _add_model(report, model)
    add_scores(report, comparison, protocol, ceiling)
    for region in comparison.bold if drawn else ():
        draw = partial(plot_predictions, comparison, region, models=drawn)
        add_figure(report, draw, title=str(region), section="Predictions")
    if branches is not None:
        _add_branches(report, comparison, branches, n_branches)
    if extractor is not None:
        first = model_rows(comparison)
        label = f"Pearson's r of {first['model'].iloc[0]}"
        draw = partial(plot_rois, first["r"], extractor, label=label)
        add_figure(report, draw, _BRAIN, title="r in the brain", section="Brain map")
    add_software(report, comparison, code, command)
    return report


def start_report(title):
    """Make an empty report in our style."""
    report = mne.Report(title=title, verbose="error")
    report.add_custom_css(_STYLE)
    return report


def save_report(report, path):
    """Write a report; the old one stays until the new one is complete."""
    with atomic_write(path) as file:
        report.save(file.name, overwrite=True, open_browser=False, verbose="error")


def _check(comparison, X, drawn):
    pooled_rows(comparison)  # refuses what is not a Comparison
    bold = comparison.bold
    check_continuous(X)
    comparison._check_known(*drawn)
    if len(X) != len(bold):
        raise ValueError(
            f"X has {len(X)} volumes, but the comparison has {len(bold)}; give the X that compare "
            f"was given."
        )
    check_rows(X, bold)


def _add_summary(report, comparison, X, files):
    first = model_rows(comparison)
    name, r = first["model"].iloc[0], first["r"]
    found = first["p_max"] <= ALPHA
    if first["p_max"].isna().all():
        heading = f"{name}: mean r = {r.mean():z.2f} over {len(r)} regions"
        regions = {"r by region": r}
    else:
        heading = f"{name} predicts {found.sum()} of {len(r)} regions{few_in_words(first)}"
        regions = {f"Predicted (p_max ≤ {ALPHA:.2f})": r[found], "Not predicted": r[~found]}
    facts = {
        **_source(X, files),
        **{what: ranked(values) for what, values in regions.items() if len(values)},
        **beyond_nuisance(comparison),
        "Best model": best_model(comparison),
        "Evaluation": f"{comparison.settings['cv']}; {null_in_words(comparison.settings)}",
    }
    few = by_few_volumes(first)
    if few.any():
        facts["Driven by few volumes (r without a stretch)"] = ranked(first["r_without_burst"][few])
    if comparison.warnings:
        facts["Warnings"] = f"{len(comparison.warnings)}, above the scores"
    add_box(report, heading, facts)


def add_box(report, heading, facts):
    """Add the box of the summary; heading and facts are plain text."""
    facts = {key: html.escape(str(value)) for key, value in facts.items()}
    body = f'<div class="beira-box"><h4>{html.escape(heading)}</h4>{facts_html(facts)}</div>'
    report.add_html(body, title="Summary", section=None)


def few_in_words(first):
    """Tell how many of the regions that are found may be so by few volumes; "" if none is."""
    few = by_few_volumes(first).sum()
    return f", {few} of them perhaps by few volumes" if few else ""


def _verdict(comparison):
    """Verdict of the first model in each region; "" without one."""
    first, beyond = model_rows(comparison), comparison.beyond
    name = first["model"].iloc[0]
    if beyond is None or beyond.settings["null"] is None or name not in beyond.predictions:
        return pd.Series("", index=first.index)
    return comparison.verdict(model=name)


def beyond_nuisance(comparison):
    """Regions by verdict, with r beyond nuisance."""
    verdict = _verdict(comparison)
    kinds = [kind for kind in ("brain", "shared") if (verdict == kind).any()]
    r = model_rows(comparison.beyond)["r"] if kinds else None
    return {f"{k.title()} (r beyond nuisance)": ranked(r[verdict == k]) for k in kinds}


def _source(X, files):
    """Where the data come from: files, subject, date and size."""
    info = X.info
    subject = info["subject_info"] or {}
    subjects = X.subjects if X.subjects is not None else [subject.get("his_id") or ""]
    facts = {
        "Files": some(printable(Path(f).name) for f in [*_eeg_files(X), *files]),
        "Subject": ", ".join(dict.fromkeys(map(str, subjects))),
        "Measured": f"{info['meas_date']:%Y-%m-%d %H:%M}" if info["meas_date"] else "",
    }
    facts = {key: value or "not given" for key, value in facts.items()}
    kept = f"{len(X)}" if X.alignment is None else f"{len(X)} of {X.alignment['n_volumes'].sum()}"
    n = len(X.recordings)
    recordings = f"{n} recording{'s' * (n > 1)}"
    facts["Data"] = f"{kept} volumes, {recordings}, {len(X.ch_names)} EEG channels"
    return facts


def _eeg_files(X):
    return [] if X.alignment is None else [name for name in X.alignment["file"] if name]


def ranked(r, most=12):
    """Regions with their r, the highest first; no region breaks across lines."""
    r = r.sort_values(ascending=False, kind="stable")
    texts = [f"{region} ({value:z.2f})" for region, value in r.items()]
    return some([text.replace(" ", "\N{NO-BREAK SPACE}") for text in texts], most)


def best_model(comparison):
    """Name the two best models with their mean r, and test the difference."""
    means = pooled_rows(comparison).groupby("model", sort=False)["r"].mean()
    means = means.drop(ORACLE, errors="ignore")
    means = means.sort_values(ascending=False, kind="stable")
    best = f"{means.index[0]} (mean r = {means.iloc[0]:z.2f})"
    if len(means) == 1:
        return best
    best = f"{best}, then {means.index[1]} ({means.iloc[1]:z.2f})"
    try:
        p = paired_test(comparison, *means.index[:2])["p"].iloc[-1]
    except ValueError:  # a single fold
        return best
    p_text = f"= {p:.3f}" if p >= 0.001 else "< 0.001"
    return f"{best}; p of the difference {p_text}" if np.isfinite(p) else best


def null_in_words(settings):
    """Tell the null of a comparison, and the number of surrogates."""
    if settings["null"] is None:
        return "no null distribution"
    return f"{settings['n_surrogates']} surrogates, {_NULLS[settings['null']]}"


def _add_data(report, X, data):
    section = "Data and alignment"
    report.add_html(paragraphs(data) + facts_html(X._facts()), title="Data", section=section)
    caption = "Hatched: volumes here would lack the EEG that models use."
    draw = partial(plot_alignment, X)
    add_figure(report, draw, caption, title="EEG and volumes", section=section)


def _add_preprocessing(report, X, model):
    steps = [step for _, step in getattr(model, "steps", [])[:-1] if not isinstance(step, str)]
    with config_context(print_changed_only=False):
        terms = {
            f"<code>{html.escape(repr(step))}</code>": html.escape(
                inspect.getdoc(type(step)).splitlines()[0]
            )
            for step in steps
        }
    body = "<p>The model has no steps before the regressor.</p>"
    if terms:
        body = (
            "<p>Steps of the model, in this order, on continuous EEG. They are fitted to training "
            f"folds only.</p>{terms_html(terms, 'beira-steps')}"
        )
    report.add_html(body, title="Steps", section="Preprocessing")

    def draw():
        filters = [step for step in steps if isinstance(step, EEGFilter)][:1]
        ax = plot_spectrum(X, label="before" if filters else None)
        for step in filters:
            plot_spectrum(clone(step).fit_transform(X), label="filtered", ax=ax)
        return ax

    caption = "Line: median over channels. Band: lowest to highest channel."
    add_figure(report, draw, caption, title="Spectrum of the EEG", section="Preprocessing")


def _add_model(report, model):
    # Unfitted: scikit-learn would write down every number that a fitted model has learned.
    drawn = estimator_html_repr(clone(model))
    report.add_html(drawn, title="Settings, before the fit", section="Model")
    if hasattr(model, "best_params_"):
        found = {
            f"<code>{html.escape(name)}</code>": f"<code>{html.escape(repr(value))}</code>"
            for name, value in model.best_params_.items()
        }
        body = "<p>Chosen by the fit to all data. In the comparison, each fold chose its own.</p>"
        report.add_html(body + facts_html(found), title="What the search chose", section="Model")
    try:
        ax = plot_training(model)
    except (TypeError, NotFittedError):
        return
    title, caption = "Bands it uses", _SHARES
    if is_trained(last_step(chosen(model))):
        title, caption = "How it was trained", "Losses of the fit to all data."
    add_figure(report, lambda: ax, caption, title=title, section="Model")


def add_scores(report, comparison, protocol, ceiling):
    """Add the section of scores: r of all models in all regions, and reasons to doubt."""
    scores = comparison.summary(ceiling=ceiling).rename_axis(None)
    # A blank at the end, where others have an asterisk, would not be shown.
    scores = scores.map(lambda text: text.replace(" ", "\N{NO-BREAK SPACE}"))
    body = paragraphs("\n\n".join(f"Note: {sentence}" for sentence in comparison.warnings))
    level = comparison.settings["confidence_level"]
    of_first = scores.columns.isin(["interval", "p", "p_max", "beyond", "verdict"])
    if scores.shape[1] <= _MAX_COLUMNS:
        body += scores_html(scores)
    else:
        body += scores_html(scores.iloc[:, : 1 + of_first.sum()])
        body += paragraphs("r of all models:") + scores_html(scores.loc[:, ~of_first])
    body += details("How to read this table", paragraphs(_READING.format(level=100 * level)))
    body += details("Reasons to doubt", _doubts_html(model_rows(comparison)))
    body += details("What p means", paragraphs(comparison.settings["question"]))
    body += details("How models were compared", paragraphs(protocol))
    report.add_html(body, title="Models compared", section="Scores")
    draw = partial(plot_comparison, comparison, ceiling=ceiling, n_columns=2)
    add_figure(report, draw, _FOREST, title="Models by region", section="Scores")
    first = model_rows(comparison)
    for region in first.index[by_few_volumes(first)]:
        draw = partial(plot_influence, comparison, region)
        title = f"Volumes that decide r of {region}"
        add_figure(report, draw, _INFLUENCE, title=title, section="Scores")


def _doubts_html(first):
    """Columns that show where r or p of the first model may mislead, and what they mean."""
    names = [name for name in _DOUBTS if first[name].notna().any()]
    table = first[names].map("{:z.2f}".format).rename_axis(None)
    return scores_html(table) + terms_html({name: _DOUBTS[name] for name in names})


def scores_html(scores, escape=True):
    """Table that scrolls sideways, with the names of its rows in place."""
    head, end, rows = scores.to_html(border=0, justify="right", escape=escape).partition("</thead>")
    # Long names of models may go on in the next line.
    head = head.replace("_", "_<wbr>").replace("p_<wbr>max", "p_max")
    return f'<div class="beira-scores">{head}{end}{rows}</div>'


def _add_branches(report, comparison, branches, n_branches):
    first = model_rows(comparison)
    tested = bool(first["p_max"].notna().any())
    said = f"Headings show r{' and p_max' * tested} of {first['model'].iloc[0]}, the first model."
    gray = " (gray, p_max above .05)" * tested
    body = paragraphs(f"{said} {_INTERPRET.format(gray=gray)}")
    body += details("How to read the panels", terms_html(_BRANCHES))
    report.add_html(body, title="How to read branches", section="Branches")
    for row, region in enumerate(branches.region_names):
        heading, is_predicted = _heading(comparison, first, str(region))
        placed = {"title": heading, "section": "Branches"}
        placed["tags"] = ("branches",) if is_predicted else ("branches", "not-predicted")
        if not (branches.importance[row] > 0).any():
            report.add_html("<p>No branch changes the prediction of this region.</p>", **placed)
            continue
        draw = partial(plot_branches, branches, row, n_branches=n_branches, title=heading)
        add_figure(report, draw, **placed)


def _heading(comparison, first, region):
    """Name of a region with its r and p_max, and whether p_max leaves it predicted."""
    if region not in first.index:
        return region, True
    r, p_max = first.loc[region, ["r", "p_max"]]
    heading = f"{region}: r = {r:z.2f}"
    if np.isnan(p_max):
        return heading, True
    p_text = format_p(p_max, comparison.settings["p_floor"])
    heading += f", p_max {p_text}" if p_text.startswith("≤") else f", p_max = {p_text}"
    if p_max <= ALPHA and _verdict(comparison)[region] == "shared":
        return f"{heading} (shared with nuisance signals: do not interpret)", False
    if p_max <= ALPHA:
        return heading, True
    return f"{heading} (not predicted: do not interpret)", False


def add_software(report, comparison, code, command):
    """Add the section of versions, settings, command, code and system."""
    names = ("cv", "null", "n_surrogates", "refit", "random_state")
    told = {name: comparison.settings[name] for name in names} | comparison.versions
    told = {name: html.escape(str(value)) for name, value in told.items() if value is not None}
    body = f"<p>Made by sklearn-beira {__version__} with mne.Report.</p>{facts_html(told)}"
    report.add_html(body, title="Versions and settings", section=_REPEAT)
    for text, what in ((command, "Command"), (code, "Code")):
        if text:
            body = f'<pre class="beira-code">{html.escape(text)}</pre>'
            report.add_html(body, title=what, section=_REPEAT)
    # Not add_sys_info, which asks the network for the newest version of MNE.
    with StringIO() as system:
        mne.sys_info(system, check_version=False)
        report.add_code(system.getvalue(), title="System", language="shell", section=_REPEAT)


def add_figure(report, draw, caption=None, **placed):
    """Add the figure or axes that ``draw`` makes, or say why it cannot be drawn."""
    try:
        drawn = draw()
        fig = drawn.figure if hasattr(drawn, "spines") else drawn
        report.add_figure(fig, caption=caption, **placed)
        plt.close(fig)
    except Exception as error:  # results are not lost with a figure
        reason = f"{type(error).__name__}: {one_line(error)}"
        said = f"<p>This figure could not be drawn ({html.escape(reason)}).</p>"
        report.add_html(said, **placed)


def facts_html(facts):
    """Table of two columns; names and values are HTML."""
    rows = "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in facts.items())
    return f'<table class="beira-steps">{rows}</table>'


def paragraphs(text):
    """Paragraphs of plain text; those that begin with "Note: " are highlighted."""
    parts = [part for part in text.split("\n\n") if part.strip()]
    kinds = [' class="beira-note"' if part.startswith("Note: ") else "" for part in parts]
    return "".join(
        f"<p{kind}>{html.escape(part)}</p>" for kind, part in zip(kinds, parts, strict=True)
    )


def terms_html(terms, kind="beira-terms"):
    """List of terms and what they mean, both HTML."""
    rows = "".join(f"<dt>{term}</dt><dd>{text}</dd>" for term, text in terms.items())
    return f'<dl class="{kind}">{rows}</dl>'


def details(title, body):
    """Make a part that is closed until its title is clicked; nothing without a body."""
    return f"<details><summary>{title}</summary>{body}</details>" if body else ""
