"""Figures show what they are given, on the axes they are given."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import mne
import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import Ridge
from sklearn.utils import Bunch

from sklearn_beira import compare
from sklearn_beira.metrics import pearson_r
from sklearn_beira.model_selection import BlockedKFold
from sklearn_beira.report import make_report
from sklearn_beira.viz import (
    COLOURS,
    plot_branch,
    plot_branches,
    plot_comparison,
    plot_predictions,
    plot_scores,
)


@pytest.fixture(autouse=True)
def no_screen():
    mpl.use("Agg")
    yield
    plt.close("all")


@pytest.fixture
def branches():
    rng = np.random.default_rng(0)
    info = mne.create_info(["Fz", "Cz", "Pz", "Oz", "C3", "C4"], 100.0, "eeg")
    info.set_montage(mne.channels.make_standard_montage("biosemi64"), on_missing="ignore")
    frequencies = np.linspace(0, 50, 101)
    return Bunch(
        patterns=rng.uniform(-1, 1, (4, 6)),
        frequencies=frequencies,
        frequency_patterns=np.exp(-((frequencies - 10) ** 2) / rng.uniform(2, 9, (4, 1))),
        frequency_responses=np.exp(-((frequencies - 12) ** 2) / 50) * np.ones((4, 1)),
        importance=np.array([[0.1, 1.0, 0.5, 0.2], [1.0, 0.3, 0.0, 0.9]]),
        region_names=["Left Caudate", "Right Caudate"],
        info=info,
    )


def test_predictions_break_between_recordings_and_name_r():
    rng = np.random.default_rng(0)
    y, times = rng.standard_normal(20), np.tile(np.arange(10) * 2.0, 2)
    groups = np.repeat([0, 1], 10)
    ax = plot_predictions(y, {"perfect": y, "zero": 0 * y}, times, groups=groups, region="Caudate")
    measured, perfect = ax.lines[:2]
    assert np.isnan(measured.get_xdata()).sum() == 1
    np.testing.assert_array_equal(measured.get_ydata(), perfect.get_ydata())
    assert [t.get_text() for t in ax.get_legend().get_texts()] == [
        "measured", "perfect, r = 1.00", "zero, r = 0.00",
    ]  # fmt: skip
    assert ax.get_xlabel() == "time (s)"
    assert ax.get_title() == "Caudate"


def test_scores_are_drawn_where_they_lie():
    scores = pd.DataFrame({"BEIRA": [0.5, 0.1], "ridge": [0.4, 0.2]}, index=["A", "B"])
    _, ax = plt.subplots()
    assert plot_scores(scores, ceiling=[0.8, 0.7], ax=ax) is ax
    points = {line.get_label(): line.get_ydata() for line in ax.lines}
    np.testing.assert_array_equal(points["BEIRA"], [0.5, 0.1])
    np.testing.assert_array_equal(points["ridge"], [0.4, 0.2])


def test_a_comparison_fills_what_was_found_and_shows_interval_null_and_ceiling():
    rows = [
        {"model": model, "region": region, "r": r, "ci_low": r - 0.1, "ci_high": r + 0.1,
         "null_low": -0.2, "null_high": 0.2, "p_max": p, "scope": "pooled"}
        for model, region, r, p in [("a", "X", 0.6, 0.01), ("a", "Y", 0.3, 0.2),
                                    ("b", "X", 0.1, 0.9), ("b", "Y", 0.5, 0.05)]
    ]  # fmt: skip
    rows[2] |= {"ci_low": -1.0, "ci_high": 1.0}
    fig = plot_comparison(pd.DataFrame(rows), ceiling=[0.8, 0.0])
    ax_x, ax_y = fig.axes
    assert [t.get_text() for t in ax_x.get_yticklabels()] == ["b", "a"]  # best mean on top
    assert ax_x.get_title() == "X"

    def points(ax, face):
        markers = [line for line in ax.lines if line.get_marker() == "o"]
        found = [m.get_xdata() for m in markers if m.get_markerfacecolor() == face]
        return np.concatenate(found).tolist()

    assert points(ax_x, "white") == [0.1]
    assert points(ax_y, "white") == [0.3]
    assert points(ax_y, COLOURS[0]) == [0.5]

    def is_ceiling(line):
        return line.get_linestyle() == ":" and line.get_xdata()[0] == line.get_xdata()[1]

    intervals = ax_x.collections[0].get_segments()
    np.testing.assert_allclose(intervals, [[[0.5, 1], [0.7, 1]]])
    assert [bar.get_width() for bar in ax_x.patches] == [0.4, 0.4]
    assert [line.get_xdata()[0] for line in ax_x.lines if is_ceiling(line)] == [0.8]
    assert not [line for line in ax_y.lines if is_ceiling(line)]
    # The whole range says nothing: it is dotted.
    dotted = [line for line in ax_x.lines if line.get_linestyle() == ":" and not is_ceiling(line)]
    assert [line.get_ydata()[0] for line in dotted] == [0]


def test_r_in_the_figure_is_that_of_the_table_and_test_blocks_are_shaded():
    rng = np.random.default_rng(0)
    y, blocks = rng.standard_normal(30), np.repeat([0, 1, 2], 10)
    y_pred = y + rng.standard_normal(30) + 5 * blocks
    ax = plot_predictions(y, {"m": y_pred}, np.arange(30) * 2.0, blocks=blocks)
    r = pearson_r(y, y_pred, blocks=blocks)
    assert ax.get_legend().get_texts()[1].get_text() == f"m, r = {r:.2f}"
    (shade,) = ax.patches
    assert (shade.get_x(), shade.get_x() + shade.get_width()) == (19.0, 39.0)


def test_branches_come_in_the_order_of_importance(branches):
    fig = plot_branches(branches, "Right Caudate", n_branches=3)
    titles = [ax.get_title() for ax in fig.axes if "branch" in ax.get_title()]
    assert [t.split("\n")[0] for t in titles] == ["branch 1", "branch 4", "branch 2"]
    width = fig.get_size_inches()[0] * fig.dpi
    assert width == int(width)


def test_a_branch_without_positions_is_drawn_channel_by_channel(branches):
    branches.info = None
    ax_map, ax_spectrum = plot_branch(branches, 0)
    assert ax_map.get_xlabel() == "channel"
    assert ax_spectrum.get_xlabel() == "frequency (Hz)"


def test_the_report_is_one_file_that_holds_everything(branches, tmp_path):
    rng = np.random.default_rng(0)
    y = pd.DataFrame(rng.standard_normal((30, 2)), columns=branches.region_names)
    X = y.to_numpy() + rng.standard_normal((30, 2))
    table, predictions = compare(
        {"BEIRA": Ridge(), "mean": DummyRegressor()}, X, y, cv=BlockedKFold(3, gap=0), n_draws=19,
        return_predictions=True, verbose=False,
    )  # fmt: skip
    report = make_report(
        table, y, predictions, np.arange(30) * 2.0, branches=branches, ceiling=[0.8, 0.7],
        summary="Simulated <data>.\n\nBlocked folds.",
    )  # fmt: skip
    r = table.query("scope == 'pooled' and model == 'BEIRA'")["r"].iloc[0]
    path = tmp_path / "report.html"
    report.save(path, open_browser=False, verbose="error")
    page = path.read_text(encoding="utf-8")
    for text in (
        f"{r:.2f}",
        "randomised phases",
        "Simulated &lt;data&gt;.",
        "Right Caudate",
        "Most important branches",
    ):
        assert text in page
    assert 'src="http' not in page
    assert not plt.get_fignums()
