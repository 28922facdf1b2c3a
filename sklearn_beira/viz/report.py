"""One HTML page that shows what was done, how well it predicts, and how to repeat it."""

import contextlib
import html
import inspect
import re
from collections.abc import Mapping
from io import StringIO

import matplotlib.pyplot as plt
import mne
import numpy as np
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import estimator_html_repr

from .._utils.estimators import chosen, last_step
from ..eeg.checks import check_rows
from ..eeg.filters import EEGFilter
from ..eeg.windows import EEGWindows
from ..evaluation.comparison import Comparison, format_p
from ..evaluation.metrics import ALPHA
from .brain import plot_rois
from .branches import plot_branches
from .predictions import plot_predictions
from .recording import plot_alignment, plot_spectrum
from .scores import plot_comparison, pooled_rows
from .training import plot_training

__all__ = ["make_report"]

_READING = (
    "r is that of out-of-fold predictions, centered within test blocks. The interval (95 % unless "
    "another level was asked for), p and p_max (p corrected over regions, or over regions and "
    "models where that was asked for) are those of the first model; * marks p_max of at most .05, "
    "≤ the smallest p that so many draws allow. mean: over regions."
)
_FOREST = (
    "Line: interval of r (dotted: too few effective volumes to tell). Gray bar: where the "
    "middle of the draws of the null lies, as many of them as the interval's level says. Models "
    "stand in the order of the table."
)
_SHARES = (
    "In %, the variance of what a band alone adds to the prediction of a region, over the variance "
    "of the whole prediction. This model is solved without epochs, so there are no losses to show."
)
_BRANCHES = {
    "branch": "One rhythm that the model reads: a spatial filter and a band-pass give a signal. "
    "Its envelope, the slow course of its power or amplitude, moves the prediction.",
    "importance": "How far the branch moves the prediction, relative to the region's first branch "
    "(1).",
    "pattern": "Where on the scalp the signal of the branch comes from; not the weights of the "
    "filter. No unit: scaled to a largest value of 1 (dark red); 0 is white, -1 dark blue. The "
    "sign is arbitrary: a map and its negative are the same branch. Without positions of "
    "electrodes: a line per channel.",
    "spectrum": "No unit: each curve is scaled to its maximum. Filled: frequency pattern, the "
    "spectrum of the signal of the branch. Dashed: what the band-pass lets through. Dotted: the "
    "low-pass that smooths the envelope; the lower it ends, the slower the envelope.",
    "delay kernel": "How BOLD follows the envelope: the change of the predicted BOLD, in SD of the "
    "region's BOLD, for each second in which the envelope is doubled, by the seconds that BOLD "
    "comes after the EEG. Broad and gray: Glover's hemodynamic response, scaled to the kernel.",
}
# Up to here, one table of scores fits a page of 1200 pixels.
_MAX_LETTERS = 95
_NOT_PREDICTED = "not predicted: do not interpret"
_BRAIN = (
    "r of the first model. The anatomy is nilearn's MNI template: right for BOLD in MNI space only."
)
# The page's own style squeezes columns and breaks words in a narrow list of contents, and that of
# estimators shows a scroll bar where there is nothing to scroll.
_STYLE = """
.beira-note {border-left: 4px solid #d99000; padding-left: .6rem}
.beira-scores {overflow-x: auto; margin-bottom: 1rem}
.beira-scores table {border-collapse: collapse; font-variant-numeric: tabular-nums}
.beira-scores th, .beira-scores td {padding: .2rem .4rem; text-align: right; white-space: nowrap}
.beira-scores thead th {white-space: normal; vertical-align: bottom}
.beira-scores tbody th {text-align: left; white-space: normal}
.beira-scores tbody th {position: sticky; left: 0; background: white}
.beira-scores tbody tr:nth-child(odd) {background: rgba(127, 127, 127, .12)}
.beira-scores tbody tr:nth-child(odd) th {background: #efefef}
.beira-scores tbody tr:last-child {border-top: 1px solid}
.beira-many table {font-size: .8rem}
.beira-many th, .beira-many td {padding: .2rem .4rem}
.accordion-body [data-mne-tags~="not-predicted"] .accordion-button {background: #eee}
.accordion-body [data-mne-tags~="not-predicted"] .accordion-button a {color: #666}
.accordion-body [data-mne-tags~="not-predicted"] img {opacity: .45}
.badge[data-mne-tag="not-predicted"] {background: #666 !important}
.beira-terms {display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem}
.beira-terms dd {margin: 0}
.beira-steps td, .beira-steps th {padding: .2rem .8rem .2rem 0; vertical-align: top}
.beira-steps code {overflow-wrap: anywhere; white-space: normal}
div.sk-top-container.sk-global {overflow-x: auto !important}
.beira-code {white-space: pre-wrap; overflow-wrap: anywhere}
@media (max-width: 900px) {
  #toc {font-size: .75rem}
  .beira-scores table {font-size: .72rem}
  .beira-scores th, .beira-scores td {padding: .2rem .22rem}
}
"""


def make_report(
    comparison,
    X,
    y,
    *,
    predictions=None,
    model=None,
    branches=None,
    n_branches=3,
    extractor=None,
    ceiling=None,
    data="",
    protocol="",
    code="",
    command="",
    title="EEG to BOLD",
):
    """Make a report of data, model, scores, predictions and branches.

    Parameters
    ----------
    comparison : Comparison
        What :func:`sklearn_beira.compare` returned.
    X : EEGWindows
        The EEG that was compared on.
    y : DataFrame, shape (n_volumes, n_rois)
        Measured BOLD.
    predictions : dict of str to array-like of shape (n_volumes, n_rois) or None
        Out-of-fold predictions of the models to draw over time; None draws those of all.
    model : estimator or None
        Shown as scikit-learn draws it, with its preprocessing and, where it is a fitted
        BEIRARegressor or a Pipeline that ends in one, its training; of a fitted search, what it
        chose.
    branches : Bunch or None
        What :func:`sklearn_beira.inspection.read_branches` returns, of the first model of the
        table: headings tell its r and p_max, and regions whose p_max is above .05 are grayed as
        not predicted.
    n_branches : int
        Branches shown of each region.
    extractor : ROIExtractor or None
        Fitted, with the regions of y: r of the first model is then painted on the brain.
    ceiling : array-like of shape (n_rois,) or None
        Highest r there can be, where it is known, as in a simulation.
    data, protocol : str
        Paragraphs on the data and on how models were compared, in plain text, separated by empty
        lines. One that begins with "Note: " is marked.
    code, command : str
        Python code and command line that repeat what the report shows.
    title : str
        Title of the page.

    Returns
    -------
    report : mne.Report
        Call ``report.save(path)`` to write a self-contained page.
    """
    if not isinstance(comparison, Comparison):
        raise TypeError(
            f"comparison must be what compare returned, got {type(comparison).__name__}."
        )
    predictions = comparison.predictions if predictions is None else predictions
    _check(comparison.table, X, y, predictions)
    report = mne.Report(title=title, verbose="error")
    report.add_custom_css(_STYLE)
    _add_data(report, X, data)
    if model is not None:
        _add_preprocessing(report, X, chosen(model))
        _add_model(report, model)
    _add_scores(report, comparison, protocol, ceiling)
    _add_predictions(report, comparison, X, y, predictions)
    if branches is not None:
        _add_branches(report, comparison, branches, n_branches)
    if extractor is not None:
        _add_brain(report, comparison, extractor)
    _add_software(report, comparison, code, command)
    return report


def _check(table, X, y, predictions):
    if not isinstance(X, EEGWindows):
        raise TypeError(
            f"X must be EEGWindows, which know times and recordings, got {type(X).__name__}; align "
            f"makes them."
        )
    if not hasattr(y, "columns"):
        raise TypeError(
            f"y must be a DataFrame, whose columns name the regions, got {type(y).__name__}; of "
            f"one region, y[['name']] or y.to_frame() is one."
        )
    if not isinstance(predictions, Mapping):
        raise TypeError(
            f"predictions must be a dict of model: prediction, as in comparison.predictions, "
            f"got {type(predictions).__name__}."
        )
    regions = list(table.loc[table["scope"] == "pooled", "region"].unique())
    if [str(name) for name in y.columns] != regions:
        raise ValueError(
            f"y has the regions {', '.join(map(str, y.columns))}, but the table "
            f"{', '.join(regions)}; give what compare was given."
        )
    check_rows(X, y)
    models = list(table["model"].unique())
    for name, values in predictions.items():
        if name not in models:
            raise ValueError(
                f"predictions has {name!r}, but the table has the models {', '.join(models)}."
            )
        if list(getattr(values, "columns", y.columns)) != list(y.columns):
            raise ValueError(
                f"the prediction of {name!r} has the regions "
                f"{', '.join(map(str, values.columns))}, but y {', '.join(map(str, y.columns))}."
            )
        if np.shape(values) != y.shape:
            raise ValueError(
                f"the prediction of {name!r} has shape {np.shape(values)}, but y {y.shape}."
            )
    if len(X) != len(y):
        raise ValueError(f"X has {len(X)} volumes, but y {len(y)}.")


def _add_data(report, X, data):
    body = _paragraphs(data) + _facts_html(X._facts())
    report.add_html(body, title="Data", section="Data and alignment", tags=("data",))
    with _figure(plot_alignment(X)) as fig:
        report.add_figure(
            fig,
            title="EEG and volumes",
            section="Data and alignment",
            caption="Hatched: a volume there would lack the EEG that models look at.",
            tags=("data",),
        )


def _add_preprocessing(report, X, model):
    steps = [step for _, step in getattr(model, "steps", [])[:-1]]
    with config_context(print_changed_only=False):
        rows = "".join(
            f"<dt><code>{html.escape(repr(step))}</code></dt>"
            f"<dd>{html.escape(inspect.getdoc(type(step)).splitlines()[0])}</dd>"
            for step in steps
            if not isinstance(step, str)
        )
    body = "<p>The model has no steps before the regressor.</p>"
    if rows:
        body = (
            "<p>Inside the model, on continuous EEG, in this order; what is learned from data is "
            f'learned in the training folds.</p><dl class="beira-steps">{rows}</dl>'
        )
    report.add_html(body, title="Steps", section="Preprocessing", tags=("preprocessing",))
    filters = [step for step in steps if isinstance(step, EEGFilter)]
    ax = plot_spectrum(X, label="as given")
    if filters:
        plot_spectrum(clone(filters[0]).fit_transform(X), label="filtered", ax=ax)
    with _figure(ax) as fig:
        report.add_figure(
            fig,
            title="Spectrum of the EEG",
            section="Preprocessing",
            caption="Line: median over channels; band: from the lowest to the highest channel.",
            tags=("preprocessing",),
        )


def _add_model(report, model):
    # The recipe: what a fitted model has learned, scikit-learn would write down number by number.
    drawn = estimator_html_repr(clone(model))
    report.add_html(drawn, title="Settings, before the fit", section="Model", tags=("model",))
    if hasattr(model, "best_params_"):
        found = {
            f"<code>{html.escape(name)}</code>": f"<code>{html.escape(repr(value))}</code>"
            for name, value in model.best_params_.items()
        }
        body = "<p>By the fit to all data; in the comparison, each fold chose on its own.</p>"
        body += _facts_html(found)
        report.add_html(body, title="What the search chose", section="Model", tags=("model",))
    try:
        ax = plot_training(model)
    except (TypeError, NotFittedError):
        return
    regressor = last_step(chosen(model))
    caption = "Of the model that was fitted to all data, whose branches are shown below."
    with _figure(ax) as fig:
        report.add_figure(
            fig,
            title="How it was trained" if len(regressor.history_) else "Bands it reads",
            section="Model",
            caption=caption if len(regressor.history_) else f"{_SHARES} {caption}",
            tags=("model",),
        )


def _add_scores(report, comparison, protocol, ceiling):
    scores = comparison.summary(ceiling=ceiling).rename_axis(None)
    # A blank at the end, where others have an asterisk, would not be shown.
    scores = scores.map(lambda text: text.replace(" ", "\N{NO-BREAK SPACE}"))
    notes = [f"Note: {sentence}" for sentence in comparison.warnings]
    body = _paragraphs("\n\n".join(notes))
    if _letters_across(scores) <= _MAX_LETTERS:
        body += _scores_html(scores)
    else:
        of_first = scores.columns.isin(["interval", "p", "p_max"])
        first = scores.iloc[:, : 1 + of_first.sum()]
        body += _paragraphs(f"{first.columns[0]}, the first model:") + _scores_html(first)
        body += _paragraphs("r of all models:")
        body += _scores_html(scores.loc[:, ~of_first], "beira-scores beira-many")
    body += _paragraphs("\n\n".join([_READING, comparison.settings["question"], protocol]))
    report.add_html(body, title="Models beside each other", section="Scores", tags=("scores",))
    with _figure(plot_comparison(comparison, ceiling=ceiling, n_columns=2)) as fig:
        report.add_figure(
            fig, title="Models by region", section="Scores", caption=_FOREST, tags=("scores",)
        )


def _letters_across(scores):
    """Letters in a row of a table, names in several lines and two for the space between columns."""
    pieces = [
        [word for region in scores.index for word in str(region).split()],
        *([*re.split(r"[\s_-]", name), *scores[name]] for name in scores),
    ]
    return sum(2 + max(map(len, some)) for some in pieces)


def _scores_html(scores, kind="beira-scores"):
    head, end, rows = scores.to_html(border=0, justify="right").partition("</thead>")
    # Long names of models may go on in the next line.
    head = head.replace("_", "_<wbr>").replace("p_<wbr>max", "p_max")
    return f'<div class="{kind}">{head}{end}{rows}</div>'


def _add_predictions(report, comparison, X, y, predictions):
    for column, region in enumerate(y.columns):
        ax = plot_predictions(
            y.iloc[:, column],
            {name: np.asarray(values)[:, column] for name, values in predictions.items()},
            X.times,
            groups=X.groups,
            blocks=comparison.blocks,
            region=region,
        )
        with _figure(ax) as fig:
            report.add_figure(
                fig,
                title=str(region),
                section="Predictions",
                caption="Each test block was predicted by models trained on the others.",
                tags=("predictions",),
            )


def _add_branches(report, comparison, branches, n_branches):
    pooled = pooled_rows(comparison)
    name = pooled["model"].iloc[0]
    said = f"r and p_max in the headings are those of {name}, the first model of the table. "
    found = pooled[pooled["model"] == name].set_index("region")
    gray = " (gray, p_max above .05)"
    if found["p_max"].isna().all():
        said, gray = f"r in the headings is that of {name}, the first model of the table. ", ""
    said += (
        f"There is nothing to interpret in a region that is not predicted{gray}, and a good "
        f"prediction does not prove a map."
    )
    terms = "".join(f"<dt>{term}</dt><dd>{text}</dd>" for term, text in _BRANCHES.items())
    report.add_html(
        f'{_paragraphs(said)}<dl class="beira-terms">{terms}</dl>',
        title="How to read branches",
        section="Branches",
        tags=("branches",),
    )
    for row, region in enumerate(branches.region_names):
        heading, is_predicted = _heading(comparison, found, str(region))
        tags = ("branches",) if is_predicted else ("branches", "not-predicted")
        placed = {"title": heading, "section": "Branches", "tags": tags}
        if not (branches.importance[row] > 0).any():
            report.add_html("<p>No branch moves the prediction of this region.</p>", **placed)
            continue
        with _figure(plot_branches(branches, row, n_branches=n_branches)) as fig:
            fig.suptitle(heading, fontsize="medium", fontweight="bold")
            report.add_figure(fig, **placed)


def _heading(comparison, found, region):
    """Name of a region with its r and p_max, and whether it may be predicted for all that p says.

    Parameters
    ----------
    comparison : Comparison
        What compare returned.
    found : DataFrame, indexed by region
        Its pooled rows of one model.
    region : str
        A region, which the table need not have.

    Returns
    -------
    heading : str
        For example "Left Caudate: r = 0.61, p_max = 0.010".
    is_predicted : bool
        False where p_max is above .05.
    """
    if region not in found.index:
        return region, True
    r, p_max = found.loc[region, ["r", "p_max"]]
    heading = f"{region}: r = {r:z.2f}"
    if np.isnan(p_max):
        return heading, True
    p_text = format_p(p_max, comparison.settings["p_floor"])
    heading += f", p_max {p_text}" if p_text.startswith("≤") else f", p_max = {p_text}"
    if p_max <= ALPHA:
        return heading, True
    return f"{heading} ({_NOT_PREDICTED})", False


def _add_brain(report, comparison, extractor):
    pooled = pooled_rows(comparison)
    name = pooled["model"].iloc[0]
    r = pooled[pooled["model"] == name].set_index("region")["r"]
    with _figure(plot_rois(r, extractor, label=f"Pearson's r of {name}")) as fig:
        report.add_figure(
            fig, title="r in the brain", section="Brain map", caption=_BRAIN, tags=("scores",)
        )


def _add_software(report, comparison, code, command):
    settings = ("cv", "null", "n_surrogates", "refit", "random_state")
    how = {key: comparison.settings[key] for key in settings}
    told = [f"{key}: {value}" for key, value in how.items() if value is not None]
    told += [f"{package}: {version}" for package, version in comparison.versions.items()]
    section = "Software versions and how to repeat it"
    report.add_html(
        f"<ul>{''.join(f'<li>{html.escape(line)}</li>' for line in told)}</ul>",
        title="Versions and settings",
        section=section,
        tags=("software",),
    )
    for text, what in ((command, "Command"), (code, "Code")):
        if text:
            body = f'<pre class="beira-code">{html.escape(text)}</pre>'
            report.add_html(body, title=what, section=section, tags=("software",))
    # Not add_sys_info, which asks the network for the newest version of MNE.
    with StringIO() as system:
        mne.sys_info(system, check_version=False)
        report.add_code(
            system.getvalue(), title="System", language="shell", section=section, tags=("software",)
        )


@contextlib.contextmanager
def _figure(drawn):
    """Hand over the figure of axes or the figure itself, and close it afterwards."""
    fig = drawn.figure if hasattr(drawn, "spines") else drawn
    try:
        yield fig
    finally:
        plt.close(fig)


def _facts_html(facts):
    """Table of two columns; names and values are HTML."""
    rows = "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in facts.items())
    return f'<table class="beira-steps">{rows}</table>'


def _paragraphs(text):
    parts = [part for part in text.split("\n\n") if part.strip()]
    kinds = [' class="beira-note"' if part.startswith("Note: ") else "" for part in parts]
    return "".join(
        f"<p{kind}>{html.escape(part)}</p>" for kind, part in zip(kinds, parts, strict=True)
    )
