"""One HTML page that shows what was done, how well it predicts, and how to repeat it."""

import contextlib
import html
import inspect
from io import StringIO

import matplotlib.pyplot as plt
import mne
import numpy as np
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import estimator_html_repr

from ._store import versions
from .comparison import format_comparison
from .preprocessing import EEGFilter
from .viz import (
    plot_alignment,
    plot_branches,
    plot_comparison,
    plot_predictions,
    plot_rois,
    plot_spectrum,
    plot_training,
)
from .windows import EEGWindows

__all__ = ["make_report"]

_READING = (
    "r is that of out-of-fold predictions, centred within test blocks. The interval (95 % unless "
    "another level was asked for), p and p_max (p corrected over regions, or over regions and "
    "models where that was asked for) are those of the first model; * marks p_max of at most .05, "
    "≤ the smallest p that so many draws allow. mean: over regions."
)
_FOREST = (
    "Line: interval of r (dotted: too few effective volumes to tell). Grey bar: where the "
    "middle of the draws of the null lies, as many of them as the interval's level says. Models "
    "stand in the order of the table."
)
_BRANCHES = (
    "Pattern: where the branch's signal comes from, scaled to ±1 (not weights; the sign of a map "
    "is arbitrary). Spectrum: each line scaled to its maximum. Delay kernel: change of the "
    "predicted BOLD per second, in SD of BOLD, when the branch's envelope doubles. Importance: how "
    "much the branch moves the prediction, relative to the first. A good prediction does not prove "
    "a map."
)
_BRAIN = (
    "r of the first model. The anatomy is nilearn's MNI template: right for BOLD in MNI space only."
)
# The page's own style squeezes columns and breaks words in a narrow list of contents, and that of
# estimators shows a scroll bar where there is nothing to scroll.
_STYLE = """
.beira-scores {overflow-x: auto; margin-bottom: 1rem}
.beira-scores table {border-collapse: collapse; font-variant-numeric: tabular-nums}
.beira-scores th, .beira-scores td {padding: .2rem .6rem; text-align: right; white-space: nowrap}
.beira-scores tbody th {text-align: left; white-space: normal}
.beira-scores tbody tr:nth-child(odd) {background: rgba(127, 127, 127, .12)}
.beira-scores tbody tr:last-child {border-top: 1px solid}
.beira-steps td, .beira-steps th {padding: .2rem .8rem .2rem 0; vertical-align: top}
.beira-steps code {overflow-wrap: anywhere; white-space: normal}
div.sk-top-container.sk-global {overflow-x: auto !important}
.beira-code {white-space: pre-wrap; overflow-wrap: anywhere}
@media (max-width: 900px) {
  #toc {font-size: .75rem}
  .beira-scores table {font-size: .72rem}
  .beira-scores th, .beira-scores td {padding: .2rem .22rem}
  .beira-scores thead th {white-space: normal}
}
"""


def make_report(
    table,
    X,
    y,
    predictions,
    *,
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
    table : DataFrame
        What :func:`sklearn_beira.compare` returned.
    X : EEGWindows
        The EEG that was compared on.
    y : DataFrame, shape (n_volumes, n_rois)
        Measured BOLD.
    predictions : dict of str to ndarray of shape (n_volumes, n_rois)
        Out-of-fold predictions of the models to draw over time.
    model : estimator or None
        Shown as scikit-learn draws it, with its preprocessing and, where it is a fitted
        BEIRARegressor or a Pipeline that ends in one, its training.
    branches : Bunch or None
        What :func:`sklearn_beira.inspection.read_branches` returns.
    n_branches : int
        Branches shown of each region.
    extractor : ROIExtractor or None
        Fitted, with the regions of y: r of the first model is then painted on the brain.
    ceiling : array-like of shape (n_rois,) or None
        Highest r there can be, where it is known, as in a simulation.
    data, protocol : str
        Paragraphs on the data and on how models were compared, in plain text, separated by empty
        lines.
    code, command : str
        Python code and command line that repeat what the report shows.
    title : str
        Title of the page.

    Returns
    -------
    report : mne.Report
        Call ``report.save(path)`` to write a self-contained page.
    """
    _check(table, X, y, predictions)
    report = mne.Report(title=title, verbose="error")
    report.add_custom_css(_STYLE)
    _add_data(report, X, data)
    if model is not None:
        _add_preprocessing(report, X, model)
        _add_model(report, model)
    _add_scores(report, table, protocol, ceiling)
    _add_predictions(report, table, X, y, predictions)
    if branches is not None:
        for k, region in enumerate(branches.region_names):
            with _figure(plot_branches(branches, region, n_branches=n_branches)) as fig:
                report.add_figure(
                    fig,
                    title=region,
                    section="Branches",
                    caption=_BRANCHES if k == 0 else "Read as the first region.",
                    tags=("branches",),
                )
    if extractor is not None:
        _add_brain(report, table, extractor)
    _add_software(report, table, code, command)
    return report


def _check(table, X, y, predictions):
    if not isinstance(X, EEGWindows):
        raise TypeError(
            f"X must be EEGWindows, which know times and recordings, got {type(X).__name__}; align "
            f"makes them."
        )
    if not hasattr(y, "columns"):
        raise TypeError(
            f"y must be a DataFrame, whose columns name the regions, got {type(y).__name__}."
        )
    regions = list(table.loc[table["scope"] == "pooled", "region"].unique())
    if [str(name) for name in y.columns] != regions:
        raise ValueError(
            f"y has the regions {', '.join(map(str, y.columns))}, but the table "
            f"{', '.join(regions)}; give what compare was given."
        )
    for name, values in predictions.items():
        if np.shape(values) != y.shape:
            raise ValueError(
                f"the prediction of {name!r} has shape {np.shape(values)}, but y {y.shape}."
            )
    if len(X) != len(y):
        raise ValueError(f"X has {len(X)} volumes, but y {len(y)}.")


def _add_data(report, X, data):
    body = _paragraphs(data) + f'<div class="beira-steps">{X._repr_html_()}</div>'
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
    try:
        ax = plot_training(model)
    except (TypeError, NotFittedError):
        return
    with _figure(ax) as fig:
        report.add_figure(
            fig,
            title="How it was trained",
            section="Model",
            caption="Of the model that was fitted to all data, whose branches are shown below.",
            tags=("model",),
        )


def _add_scores(report, table, protocol, ceiling):
    scores = format_comparison(table, ceiling=ceiling).rename_axis(None)
    # A blank at the end, where others have an asterisk, would not be shown.
    scores = scores.map(lambda text: text.replace(" ", "\N{NO-BREAK SPACE}"))
    body = f'<div class="beira-scores">{scores.to_html(border=0, justify="right")}</div>'
    body += _paragraphs("\n\n".join([_READING, table.attrs.get("question", "")]))
    body += _paragraphs(protocol)
    report.add_html(body, title="Models beside each other", section="Scores", tags=("scores",))
    with _figure(plot_comparison(table, ceiling=ceiling, n_columns=2)) as fig:
        report.add_figure(
            fig, title="Models by region", section="Scores", caption=_FOREST, tags=("scores",)
        )


def _add_predictions(report, table, X, y, predictions):
    for column, region in enumerate(y.columns):
        ax = plot_predictions(
            y.iloc[:, column],
            {name: np.asarray(values)[:, column] for name, values in predictions.items()},
            X.times,
            groups=X.groups,
            blocks=table.attrs.get("blocks"),
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


def _add_brain(report, table, extractor):
    pooled = table[table["scope"] == "pooled"]
    name = pooled["model"].iloc[0]
    r = pooled[pooled["model"] == name].set_index("region")["r"]
    with _figure(plot_rois(r, extractor, label=f"Pearson's r of {name}")) as fig:
        report.add_figure(
            fig, title="r in the brain", section="Brain map", caption=_BRAIN, tags=("scores",)
        )


def _add_software(report, table, code, command):
    how = {key: table.attrs.get(key) for key in ("cv", "null", "refit", "random_state")}
    told = [f"{key}: {value}" for key, value in how.items() if value is not None]
    used = table.attrs.get("versions") or versions()
    told += [f"{package}: {version}" for package, version in used.items()]
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


def _paragraphs(text):
    return "".join(f"<p>{html.escape(part)}</p>" for part in text.split("\n\n") if part.strip())
