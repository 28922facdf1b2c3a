"""Figures show what they are given, on the axes they are given."""

import subprocess
import sys

import matplotlib as mpl
import matplotlib.pyplot as plt
import mne
import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline
from sklearn.utils import Bunch

from sklearn_beira import (
    BEIRARegressor,
    Compact,
    EEGFilter,
    ROIExtractor,
    Windower,
    align,
    compare,
    make_paper_beira,
)
from sklearn_beira.datasets import make_eeg_fmri
from sklearn_beira.evaluation import BlockedKFold, Comparison
from sklearn_beira.evaluation.metrics import pearson_r, region_scores
from sklearn_beira.features.hrf import hrf_at
from sklearn_beira.inspection import read_branches
from sklearn_beira.viz import (
    plot_alignment,
    plot_branch,
    plot_branches,
    plot_comparison,
    plot_delay_curve,
    plot_predictions,
    plot_rois,
    plot_scores,
    plot_spectrum,
    plot_time_course,
    plot_training,
)

BLUE = "#0072B2"


@pytest.fixture(autouse=True)
def no_screen():
    mpl.use("Agg")
    yield
    plt.close("all")


@pytest.fixture
def branches():
    """Two regions of two branches each, then one that is shared."""
    rng = np.random.default_rng(0)
    info = mne.create_info(["Fz", "Cz", "Pz", "Oz", "C3", "C4"], 100.0, "eeg")
    info.set_montage(mne.channels.make_standard_montage("biosemi64"), on_missing="ignore")
    frequencies, lags = np.linspace(0, 50, 101), np.arange(0.5, 20.0, 0.5)
    kernels = rng.uniform(0.1, 1, (2, 5, 1)) * hrf_at(lags)
    return Bunch(
        patterns=rng.uniform(-1, 1, (5, 6)),
        frequencies=frequencies,
        frequency_patterns=np.exp(-((frequencies - 10) ** 2) / rng.uniform(2, 9, (5, 1))),
        frequency_responses=np.exp(-((frequencies - 12) ** 2) / 50) * np.ones((5, 1)),
        lowpass_responses=np.exp(-(frequencies**2)) * np.ones((5, 1)),
        importance=np.array([[0.1, 1.0, 0.0, 0.0, 0.5], [0.0, 0.0, 0.3, 1.0, 0.9]]),
        lags=lags,
        delay_kernels=kernels,
        region_names=["Left Caudate", "Right Caudate"],
        ch_names=info["ch_names"],
        info=info,
        regions=np.array([0, 0, 1, 1, -1]),
    )


def make_comparison(rows, column="model"):
    """Comparison with pooled rows (model, region, r, p_max), and nothing else."""
    table = pd.DataFrame(
        {column: model, "region": region, "r": r, "ci_low": r - 0.1, "ci_high": r + 0.1,
         "null_low": -0.2, "null_high": 0.2, "p_max": p, "scope": "pooled"}
        for model, region, r, p in rows
    )  # fmt: skip
    return Bunch(table=table, beyond=None)


def texts(legend):
    return [text.get_text() for text in legend.get_texts()]


# -- predictions ---------------------------------------------------------------------------------
def test_each_recording_has_a_panel_and_r_is_that_of_the_table():
    rng = np.random.default_rng(0)
    table = make_comparison([("a", "Caudate", 0.6, 0.01), ("b", "Caudate", -0.001, 0.5)]).table
    bold = pd.DataFrame({"Caudate": rng.standard_normal(20)})
    comparison = Comparison(
        table, {"a": bold, "b": 0 * bold}, bold, np.tile([0, 1], 10), np.arange(20)[::-1] * 2.0,
        np.repeat([4, 7], 10), {}, {},
    )  # fmt: skip
    fig = plot_predictions(comparison, "Caudate")
    assert fig.get_suptitle() == "Caudate"
    assert [ax.get_title(loc="left") for ax in fig.axes] == ["recording 4", "recording 7"]
    assert fig.axes[1].get_xlabel() == "time (s)"
    for ax, rows in zip(fig.axes, (slice(9, None, -1), slice(19, 9, -1)), strict=True):
        measured, a, _b = ax.lines
        np.testing.assert_array_equal(measured.get_xdata(), comparison.times[rows])
        values = bold["Caudate"].to_numpy()
        np.testing.assert_allclose(a.get_ydata(), ((values - values.mean()) / values.std())[rows])
    told = texts(fig.axes[0].get_legend())
    assert told[:3] == ["measured", "a, r = 0.60 [0.50, 0.70]", "b, r = 0.00 [-0.10, 0.10]"]
    assert len(plot_predictions(comparison, "Caudate", models=["b"]).axes[0].lines) == 2
    with pytest.raises(ValueError, match="no region 'Thalamus'; it has Caudate"):
        plot_predictions(comparison, "Thalamus")
    with pytest.raises(ValueError, match="no model 'c'; it has a, b"):
        plot_predictions(comparison, "Caudate", models=["c"])
    with pytest.raises(TypeError, match="must be a Comparison, got DataFrame"):
        plot_predictions(table, "Caudate")


def test_lines_break_over_dropped_volumes():
    y = np.random.default_rng(0).standard_normal(20)
    times = np.r_[np.arange(10), np.arange(15, 25)] * 2.0
    ax = plot_time_course(y, {"perfect": y, "zero": 0 * y}, times, region="Caudate")
    measured, perfect = ax.lines[:2]
    assert np.isnan(measured.get_xdata()).sum() == 1
    np.testing.assert_array_equal(measured.get_ydata(), perfect.get_ydata())
    assert texts(ax.get_legend())[:2] == ["measured", "perfect, r = 1.00 [1.00, 1.00]"]
    assert ax.get_xlabel() == "time (s)"
    assert ax.get_ylabel() == "BOLD (SD)"
    assert ax.get_title() == "Caudate"


def test_r_and_interval_are_those_of_region_scores_and_test_blocks_are_shaded():
    rng = np.random.default_rng(0)
    y, blocks = rng.standard_normal(90), np.repeat([0, 1, 2], 30)
    y_pred = y + rng.standard_normal(90) + 5 * blocks
    ax = plot_time_course(y, {"m": y_pred}, np.arange(90) * 2.0, blocks=blocks)
    row = region_scores(y, y_pred, blocks=blocks).iloc[0]
    told = f"m, r = {row['r']:.2f} [{row['ci_low']:.2f}, {row['ci_high']:.2f}]"
    assert texts(ax.get_legend()) == ["measured", told, "every other test block"]
    (shade,) = ax.patches
    assert (shade.get_x(), shade.get_x() + shade.get_width()) == (59.0, 119.0)


def test_volumes_that_no_fold_tests_do_not_count_and_order_of_rows_does_not_matter():
    rng = np.random.default_rng(1)
    y, blocks, times = rng.standard_normal(80), np.repeat([-1, 0, 1, 2], 20), np.arange(80) * 2.0
    y_pred = np.where(blocks < 0, np.nan, y + rng.standard_normal(80))
    ax = plot_time_course(y, {"m": y_pred}, times, blocks=blocks)
    r = pearson_r(y[20:], y_pred[20:], blocks=blocks[20:])
    assert f"m, r = {r:.2f} [" in texts(ax.get_legend())[1]
    mixed = rng.permutation(80)
    other = plot_time_course(y[mixed], {"m": y_pred[mixed]}, times[mixed], blocks=blocks[mixed])
    assert texts(other.get_legend()) == texts(ax.get_legend())
    for line, same in zip(ax.lines, other.lines, strict=True):
        np.testing.assert_array_equal(line.get_xydata(), same.get_xydata())


def test_no_number_in_a_figure_is_minus_zero():
    y = np.random.default_rng(0).standard_normal(60)
    other = np.random.default_rng(1).standard_normal(60)
    other -= y * ((y - y.mean()) @ other) / ((y - y.mean()) @ y)  # r of 0
    ax = plot_time_course(y, {"m": other - 1e-3 * y}, np.arange(60) * 2.0)
    assert "r = 0.00 [" in texts(ax.get_legend())[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_true": np.zeros((9, 2))}, "y_true must have shape"),
        ({"predictions": {"m": np.zeros(8)}}, "'m' has 8 values for 9 volumes"),
        ({"times": np.arange(8)}, "times has 8 values for 9 volumes"),
        ({"blocks": np.zeros(8)}, "blocks has 8 values for 9 volumes"),
    ],
)
def test_predictions_of_another_length_are_refused(change, message):
    given = {"y_true": np.arange(9.0), "predictions": {}, "times": np.arange(9)} | change
    with pytest.raises(ValueError, match=message):
        plot_time_course(**given)


# -- scores --------------------------------------------------------------------------------------
def test_scores_stand_side_by_side_in_the_order_of_the_table():
    regions = ["Left Caudate", "Brain-Stem", "Right Caudate"]
    rng = np.random.default_rng(0)
    found = make_comparison([(m, k, rng.uniform(0.2, 0.8), 0.01) for m in "ba" for k in regions])
    _, ax = plt.subplots()
    assert plot_scores(found, ceiling=[0.9, 0.8, 0.7], ax=ax) is ax
    assert texts(ax.get_legend())[:2] == ["b", "a"]
    labels = [t.get_text() for t in ax.get_xticklabels()]
    at = dict(zip(regions, ax.get_xticks(), strict=True))
    assert labels == ["L", "", "R"]
    # Halves of a structure are neighbors, whatever stands between them in the table.
    assert at["Right Caudate"] - at["Left Caudate"] == 1
    assert at["Brain-Stem"] - at["Right Caudate"] == 1.5
    drawn = {}
    for line in ax.lines:
        if line.get_marker() in "os" and len(line.get_xdata()) == 3:
            drawn[line.get_marker()] = line.get_xydata()
    for model, marker in (("b", "o"), ("a", "s")):
        rows = found.table[found.table["model"] == model].set_index("region")
        np.testing.assert_allclose(drawn[marker][:, 1], rows.loc[regions, "r"])
    assert (drawn["o"][:, 0] < drawn["s"][:, 0]).all()


def test_a_comparison_fills_what_was_found_and_shows_interval_null_and_ceiling():
    comparison = make_comparison([("b", "X", 0.1, 0.9), ("b", "Y", 0.5, 0.05),
                                  ("a", "X", 0.6, 0.01), ("a", "Y", 0.3, 0.2)])  # fmt: skip
    comparison.table.loc[0, ["ci_low", "ci_high"]] = -1.0, 1.0
    fig = plot_comparison(comparison, ceiling=[0.8, 0.0])
    ax_x, ax_y = fig.axes
    # The first model of the table on top, though the second is better.
    assert [t.get_text() for t in ax_x.get_yticklabels()] == ["a", "b"]
    assert ax_x.get_title() == "X"

    def points(ax, face):
        markers = [line for line in ax.lines if line.get_marker() == "o"]
        found = [m.get_xdata() for m in markers if m.get_markerfacecolor() == face]
        return np.concatenate(found).tolist()

    assert points(ax_x, "white") == [0.1]
    assert points(ax_y, "white") == [0.3]
    assert points(ax_y, BLUE) == [0.5]

    def is_ceiling(line):
        return line.get_linestyle() == ":" and line.get_xdata()[0] == line.get_xdata()[1]

    intervals = ax_x.collections[0].get_segments()
    np.testing.assert_allclose(intervals, [[[0.5, 0], [0.7, 0]]])
    assert [bar.get_width() for bar in ax_x.patches] == [0.4, 0.4]
    assert [line.get_xdata()[0] for line in ax_x.lines if is_ceiling(line)] == [0.8]
    assert not [line for line in ax_y.lines if is_ceiling(line)]
    # The whole range says nothing: it is dotted.
    dotted = [line for line in ax_x.lines if line.get_linestyle() == ":" and not is_ceiling(line)]
    assert [line.get_ydata()[0] for line in dotted] == [1]


def test_every_panel_of_a_comparison_has_numbers_below():
    regions = [f"region {k}" for k in range(10)]
    fig = plot_comparison(make_comparison([("a", k, 0.3, 0.2) for k in regions]), n_columns=3)
    fig.draw_without_rendering()
    for ax in fig.axes[:10]:
        assert [t for t in ax.get_xticklabels() if t.get_visible() and t.get_text()], ax.get_title()
    named = [bool(ax.get_xlabel()) for ax in fig.axes[:10]]
    assert named == 7 * [False] + 3 * [True]


def test_without_a_null_nothing_is_said_of_one():
    untested = make_comparison([("a", "X", 0.6, np.nan), ("b", "X", 0.1, np.nan)])
    untested.table[["null_low", "null_high"]] = np.nan
    for legend in (plot_scores(untested).get_legend(), plot_comparison(untested).legends[0]):
        assert not [text for text in texts(legend) if "null" in text or "p_max" in text]
    with pytest.raises(TypeError, match="must be a Comparison, got DataFrame"):
        plot_scores(untested.table)
    with pytest.raises(ValueError, match=r"ceiling has 2 value\(s\) for 1 region"):
        plot_comparison(untested, ceiling=[0.5, 0.6])


def test_a_delay_curve_has_left_and_right_in_one_panel():
    delays = [4.0, -2.0, 0.0]
    curve = make_comparison(
        [(d, k, 0.05 * d + 0.1 * i, 0.01 if d == 4 else 0.5)
         for i, k in enumerate(["Left Caudate", "Right Caudate", "Brain-Stem"]) for d in delays],
        "delay",
    )  # fmt: skip
    fig = plot_delay_curve(curve)
    caudate, stem = fig.axes
    assert [caudate.get_title(), stem.get_title()] == ["Caudate", "Brain-Stem"]
    assert stem.get_xlabel() == "delay (s)"
    curves = [line.get_xydata() for line in caudate.lines if len(line.get_xdata()) == 3]
    np.testing.assert_allclose(curves[0], [[-2, -0.1], [0, 0], [4, 0.2]])
    np.testing.assert_allclose(curves[1], [[-2, 0.0], [0, 0.1], [4, 0.3]])
    filled = [line for line in stem.lines if line.get_markerfacecolor() == BLUE]
    assert 4.0 in np.concatenate([line.get_xdata() for line in filled if line.get_marker() == "o"])
    with pytest.raises(ValueError, match="has no delays"):
        plot_delay_curve(make_comparison([("a", "X", 0.6, 0.1)]))


# -- branches ------------------------------------------------------------------------------------
def test_branches_come_in_the_order_of_importance_and_are_named_by_rank(branches):
    fig = plot_branches(branches, "Right Caudate", n_branches=5)
    rows = np.array(fig.axes).reshape(-1, 4)
    assert [ax.texts[0].get_text() for ax in rows[:, 0]] == [
        "1st: 1.00\nnot tested", "2nd: 0.90\nnot tested", "3rd: 0.30\nnot tested",
    ]  # fmt: skip
    for ax, index in zip(rows[:, 3], [3, 4, 2], strict=True):
        kernel = [line.get_ydata() for line in ax.lines if len(line.get_xdata()) > 2][-1]
        np.testing.assert_array_equal(kernel, branches.delay_kernels[1, index])
    assert rows[-1, 3].get_xlabel() == "BOLD after EEG (s)"
    width = fig.get_size_inches()[0] * fig.dpi
    assert width == int(width)
    with pytest.raises(ValueError, match=r"no region 'Thalamus'; .* Left Caudate"):
        plot_branches(branches, "Thalamus")


def test_colors_of_maps_are_told_by_one_bar_and_kernels_have_a_unit(branches):
    fig = plot_branches(branches, "Right Caudate")
    rows = np.array(fig.axes).reshape(-1, 4)
    assert [len(ax.child_axes) for ax in rows[:, 1]] == [0, 0, 1]
    (bar,) = rows[-1, 1].child_axes
    assert bar.get_xlabel() == "of maximum"
    assert bar.get_xlim() == (-1, 1)
    for ax in rows[:, 1]:
        assert ax.images[0].get_clim() == (-1, 1)
    for ax in rows[:, 3]:
        assert " ".join(ax.get_ylabel().split()) == "BOLD (SD) per second of 2 × envelope"
    # Channels without positions have no colors.
    branches.info = None
    rows = np.array(plot_branches(branches, "Right Caudate").axes).reshape(-1, 4)
    assert not any(ax.child_axes for ax in rows[:, 1])


def test_the_response_beside_a_kernel_is_the_nearest_multiple_of_glovers(branches):
    *_, ax = plot_branch(branches, 1)
    glover, _, kernel = (line.get_ydata() for line in ax.lines)
    np.testing.assert_allclose(glover, kernel)  # the fixture's kernels are multiples of it
    # A shared branch is drawn for the region that it moves most, unless another is asked for.
    for region, row in ((None, 1), ("Left Caudate", 0)):
        *_, ax = plot_branch(branches, 4, region=region)
        np.testing.assert_array_equal(ax.lines[-1].get_ydata(), branches.delay_kernels[row, 4])
    with pytest.raises(ValueError, match="index must be 0 to 4"):
        plot_branch(branches, 5)


def test_a_branch_without_positions_is_drawn_channel_by_channel(branches):
    branches.info = None
    ax_map, ax_spectrum, _ = plot_branch(branches, 0)
    largest = branches.ch_names[np.argmax(np.abs(branches.patterns[0]))]
    assert ax_map.get_xlabel() == "channel number"
    assert ax_map.texts[0].get_text().startswith(f"most: {largest}")
    assert ax_spectrum.get_xlabel() == "frequency (Hz)"


# -- recordings, training, brain -----------------------------------------------------------------
@pytest.fixture(scope="module")
def fitted(make_study):
    study = make_study(n_runs=2)
    study.raws[1].annotations.append(60.0, 5.0, "bad_movement")
    X, y = align(study.raws, study.bolds, trigger="mri", tmin=-12.0, tmax=0.0, verbose="error")
    steps = [("filter", EEGFilter(1, 45, sfreq=100)), ("window", Windower(12.0))]
    model = Pipeline([*steps, ("beira", BEIRARegressor(Compact(n_branches=3), verbose=False))])
    return X, y, model.fit(X, y)


def test_the_alignment_shows_what_align_kept_and_dropped(fitted):
    X, _, _ = fitted
    ax = plot_alignment(X)
    told = [" ".join(text.get_text().split()) for text in ax.texts]
    for k in (0, 1):
        row = X.alignment.loc[k]
        assert f"kept {row['kept']}, every 1.950 s" in told[k]
        assert f"{row['no_history']} without their history" in told[k]
    assert "in bad stretches" in told[1]
    assert "bad" not in told[0]
    assert ax.get_xlabel() == "time in the recording (s)"
    blue = [p for p in ax.patches if p.get_facecolor() == mpl.colors.to_rgba(BLUE, 0.6)]
    # The stretch that is bad divides the volumes of recording 1.
    assert len(blue) == 3
    assert blue[0].get_x() == X.times[0]
    with pytest.raises(TypeError, match="X must hold recordings"):
        plot_alignment(np.zeros((3, 2, 10)))


def test_the_spectrum_is_that_of_the_eeg(make_raw):
    # White noise of 10 µV at 100 Hz has 100 µV² / 50 Hz at every frequency.
    X, _ = align(make_raw(duration=200.0), np.arange(90.0)[:, None], t_r=2.0, tmin=-10.0, tmax=0.0,
                 verbose="error")  # fmt: skip
    ax = plot_spectrum(X, label="noise")
    frequencies, power = ax.lines[0].get_data()
    assert (frequencies[0], frequencies[-1]) == (0.5, 50.0)
    np.testing.assert_allclose(np.mean(power[1:-1]), 2.0, rtol=0.05)
    plot_spectrum(X, label="again", ax=ax)
    assert texts(ax.get_legend()) == ["noise", "again"]
    assert ax.lines[0].get_color() != ax.lines[1].get_color()


def test_a_model_without_epochs_shows_the_shares_of_its_bands(fitted):
    _, y, model = fitted
    ax = plot_training(model)
    assert ax.get_title() == "share of each band in the variance of the prediction (%)"
    assert "need not sum to 100" in ax.get_xlabel()
    assert [t.get_text() for t in ax.get_yticklabels()] == list(y.columns)
    assert [t.get_text() for t in ax.get_xticklabels()] == model[-1].closed_form_.bands
    shown = np.array([float(t.get_text()) for t in ax.texts]).reshape(
        model[-1].closed_form_.shares.shape
    )
    np.testing.assert_allclose(shown, 100 * model[-1].closed_form_.shares, atol=0.5)
    with pytest.raises(TypeError, match=r"a BEIRARegressor, .* got EEGFilter"):
        plot_training(EEGFilter())


def test_a_model_with_epochs_shows_the_one_that_was_kept():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((40, 3, 256)), rng.standard_normal((40, 2))
    sizes = {"n_branches": 2, "encoder_width": 4, "decoder_width": 4, "n_taps": 11}
    model = make_paper_beira(
        **sizes, max_epochs=6, lr=0.05, mode="many_to_one", validation_gap=0.0, verbose=False,
        random_state=0,
    ).fit(X, y)  # fmt: skip
    ax = plot_training(model)
    losses = model.history_[:, "valid_loss"]
    kept = 1 + int(np.argmin(losses))
    assert dict(model.net_.callbacks_)["keep_best"].best_epoch_ == kept
    training, validation, line = ax.lines
    np.testing.assert_array_equal(validation.get_ydata(), losses)
    np.testing.assert_array_equal(training.get_ydata(), model.history_[:, "train_loss"])
    assert line.get_xdata() == [kept, kept]
    assert f"used: epoch {kept}\n(lowest validation loss)" in texts(ax.get_legend())


def test_real_branches_are_drawn(fitted):
    X, y, model = fitted
    branches = read_branches(model, X)
    fig = plot_branches(branches, str(y.columns[1]))
    assert fig.get_suptitle() == y.columns[1]
    kernel = fig.axes[3].lines[-1].get_ydata()
    first = np.argmax(branches.importance[1])
    np.testing.assert_array_equal(kernel, branches.delay_kernels[1, first])


def test_values_are_painted_where_their_regions_are():
    study = make_eeg_fmri(duration=60.0, n_channels=4, n_rois=2, return_img=True, random_state=0)
    extractor = ROIExtractor(study.atlas_img, labels=study.labels, smoothing_fwhm=None)
    extractor.fit(study.bold_imgs[0])
    series = pd.Series([0.5, -0.2], index=study.labels)
    figs = [
        plot_rois(values, extractor, background=None)
        for values in (series, series[::-1], series.to_numpy())
    ]
    assert figs[0].get_suptitle() == "Pearson's r"
    painted = [_painted(fig) for fig in figs]
    # The background of the atlas is not painted.
    np.testing.assert_allclose(np.unique(painted[0]), [-0.2, 0.5], rtol=1e-6)
    for other in painted[1:]:
        np.testing.assert_array_equal(other, painted[0])
    with pytest.raises(ValueError, match="one finite number for each of the 2 regions"):
        plot_rois(series[:1], extractor)
    with pytest.raises(ValueError, match="one finite number for each of the 2 regions"):
        plot_rois([0.1], extractor)


def _painted(fig):
    images = [image.get_array() for ax in fig.axes for image in ax.images]
    return np.concatenate([np.ma.compressed(image) for image in images])


def test_figures_need_neither_torch_nor_nilearn_nor_the_report_of_mne():
    code = (
        "import sys, sklearn_beira.viz; "
        "print({'torch', 'nilearn', 'mne.report', 'sklearn_beira.regressor'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_plots_take_what_compare_returned():
    study = make_eeg_fmri(duration=90.0, n_channels=4, n_rois=2, return_img=True, random_state=0)
    extractor = ROIExtractor(study.atlas_img, labels=study.labels, smoothing_fwhm=None)
    bold = extractor.fit_transform(study.bold_imgs[0])
    rng = np.random.default_rng(0)
    X = bold.to_numpy() + [0.5, 3.0] * bold.std().to_numpy() * rng.standard_normal(bold.shape)
    models = {"ridge": Ridge(), "mean": DummyRegressor()}
    comparison = compare(models, X, bold, cv=BlockedKFold(3, gap=0), null=None, verbose=False)
    assert plot_predictions(comparison).get_suptitle() == bold.columns[0]  # the best one
    r = comparison.table.query("scope == 'pooled' and model == 'ridge'").set_index("region")["r"]
    for one, other in zip(
        plot_rois(comparison, extractor, background=None).axes,
        plot_rois(r, extractor, background=None).axes,
        strict=True,
    ):
        assert one.get_ylim() == other.get_ylim()


def test_positions_that_cannot_be_drawn_give_lines(make_raw):
    names = ["Fz", "T7", "T3", "O1", "O2"]  # T7 and T3 are one place
    raw = make_raw(n_channels=5, ch_names=names, duration=120.0)
    y = pd.DataFrame(np.random.default_rng(0).standard_normal((60, 1)), columns=["Caudate"])
    X, y = align(raw, y, t_r=2.0, tmin=-8.0, verbose="error")
    assert X.info.get_montage() is not None
    model = BEIRARegressor(Compact(n_branches=1), verbose=False).fit(X, y)
    fig = plot_branches(read_branches(model, X), "Caudate")
    assert any("most: " in text.get_text() for ax in fig.axes for text in ax.texts)
