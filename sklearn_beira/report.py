"""One HTML page that shows what a model does."""

import contextlib
import html

import matplotlib.pyplot as plt
import mne
from sklearn.utils import estimator_html_repr

from .comparison import format_comparison
from .viz import plot_branches, plot_comparison, plot_predictions

__all__ = ["make_report"]


def make_report(
    table,
    y,
    predictions,
    times,
    *,
    groups=None,
    ceiling=None,
    branches=None,
    model=None,
    summary="",
    title="EEG to BOLD",
):
    """Make a report of predictions and branches.

    Parameters
    ----------
    table : DataFrame
        What :func:`sklearn_beira.compare` returned.
    y : DataFrame, shape (n_volumes, n_rois)
        Measured BOLD.
    predictions : dict of str to ndarray of shape (n_volumes, n_rois)
        Out-of-fold predictions of the models to draw over time.
    times : array-like, shape (n_volumes,)
        Onset of each volume in s.
    groups : array-like of shape (n_volumes,) or None
        Recording of each volume.
    ceiling : array-like of shape (n_rois,) or None
        Highest r there can be, where it is known, as in a simulation.
    branches : Bunch or None
        What :func:`sklearn_beira.inspection.read_branches` returns.
    model : estimator or None
        Shown as scikit-learn draws it.
    summary : str
        Paragraphs on data and protocol, in plain text, separated by empty lines.
    title : str
        Title of the page.

    Returns
    -------
    report : mne.Report
        Call ``report.save(path)`` to write a self-contained page.
    """
    report = mne.Report(title=title, verbose="error")
    body = "".join(f"<p>{html.escape(p)}</p>" for p in summary.split("\n\n"))
    scores = format_comparison(table, ceiling=ceiling)
    reading = (
        "r of out-of-fold predictions, centred within test blocks; 95 % interval from the "
        "effective number of volumes; mean: over regions; * where p_max, corrected over regions, "
        "is at most .05. "
        f"{table.attrs.get('question', '')}"
    )
    body += f"{_as_table(scores)}<p>{html.escape(reading)}</p>"
    report.add_html(body, title="Summary", section="Result", tags=("scores",))
    with _figure(plot_comparison(table, ceiling=ceiling)) as fig:
        report.add_figure(
            fig,
            title="Models by region",
            section="Result",
            caption="Line: interval of r (dotted: too few effective volumes to tell). Grey bar: "
            "where 95 % of the draws of the null lie.",
            tags=("scores",),
        )
    blocks = table.attrs.get("blocks")
    for column, region in enumerate(y.columns):
        ax = plot_predictions(
            y.iloc[:, column],
            {name: values[:, column] for name, values in predictions.items()},
            times,
            groups=groups,
            blocks=blocks,
            region=region,
        )
        with _figure(ax) as fig:
            report.add_figure(
                fig,
                title=region,
                section="Predicted against measured BOLD",
                caption="Every other test block is shaded; each was predicted by models trained on "
                "the others.",
                tags=("predictions",),
            )
    if branches is not None:
        note = (
            "Scalp maps are spatial patterns (where a branch's signal comes from, scaled to ±1), "
            "not weights. Filled: frequency pattern. Dashed: frequency response of the branch's "
            "band-pass. Importance: how much the branch moves the prediction, relative to the "
            "first."
        )
        for region in branches.region_names:
            with _figure(plot_branches(branches, region)) as fig:
                report.add_figure(
                    fig,
                    title=region,
                    section="Most important branches",
                    caption=note,
                    tags=("branches",),
                )
    if model is not None:
        report.add_html(
            estimator_html_repr(model), title="Estimator", section="Model", tags=("model",)
        )
    report.add_sys_info(title="Software versions")
    return report


@contextlib.contextmanager
def _figure(drawn):
    """Hand over the figure of axes or the figure itself, and close it afterwards."""
    fig = drawn.figure if hasattr(drawn, "spines") else drawn
    try:
        yield fig
    finally:
        plt.close(fig)


def _as_table(scores):
    table = scores.rename_axis(None).to_html(
        border=0,
        classes="table table-sm table-striped w-auto text-nowrap",
        justify="right",
    )
    return f'<div class="table-responsive">{table}</div>'
