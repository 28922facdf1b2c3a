"""One HTML page that shows what a model does."""

import contextlib
import html

import matplotlib.pyplot as plt
import mne
from sklearn.utils import estimator_html_repr

from .viz import plot_branches, plot_predictions, plot_scores

__all__ = ["make_report"]


def make_report(
    scores,
    y,
    predictions,
    times,
    *,
    groups=None,
    branches=None,
    model=None,
    summary="",
    title="EEG to BOLD",
):
    """Make a report of predictions and branches.

    Parameters
    ----------
    scores : DataFrame, shape (n_rois, n_columns)
        Figures per region, with r of each model in a column of its name, and the noise ceiling in
        one named "ceiling" where it is known. Further rows, such as a mean, go into the table only.
    y : DataFrame, shape (n_volumes, n_rois)
        Measured BOLD.
    predictions : dict of str to ndarray of shape (n_volumes, n_rois)
        Out-of-fold predictions by model.
    times : array-like, shape (n_volumes,)
        Onset of each volume in s.
    groups : array-like of shape (n_volumes,) or None
        Recording of each volume.
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
    report.add_html(body + _as_table(scores), title="Summary", section="Result", tags=("scores",))
    regions = scores.loc[list(y.columns)]
    with _figure(plot_scores(regions[list(predictions)], ceiling=regions.get("ceiling"))) as fig:
        report.add_figure(fig, title="Correlation per region", section="Result", tags=("scores",))
    for column, region in enumerate(y.columns):
        ax = plot_predictions(
            y.iloc[:, column],
            {name: values[:, column] for name, values in predictions.items()},
            times,
            groups=groups,
            region=region,
        )
        with _figure(ax) as fig:
            report.add_figure(
                fig, title=region, section="Predicted against measured BOLD", tags=("predictions",)
            )
    if branches is not None:
        note = (
            "Scalp maps are spatial patterns (where a branch's signal comes from, scaled to ±1), "
            "not weights. Filled: frequency pattern. Dashed: frequency response of the branch's "
            "band-pass."
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
        float_format="{:.2f}".format,
        na_rep="",
        border=0,
        classes="table table-sm table-striped w-auto",
        justify="right",
    )
    return f'<div class="table-responsive">{table}</div>'
