"""compare: one table whose numbers are those of the parts, that a killed run finishes."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import matplotlib as mpl
import matplotlib.pyplot as plt
import mne
import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from scipy import stats
from scipy.signal import lfilter
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import (
    BaseCrossValidator,
    GridSearchCV,
    KFold,
    LeaveOneGroupOut,
    cross_val_predict,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_beira import (
    Comparison,
    EEGWindows,
    Windower,
    align,
    compare,
    delay_curve,
    null_test,
    paired_test,
)
from sklearn_beira._utils.hashing import digest
from sklearn_beira._utils.numbers import check_bold
from sklearn_beira.evaluation.metrics import effective_n, pearson_r, region_scores
from sklearn_beira.evaluation.splitters import BlockedKFold
from sklearn_beira.exceptions import GapWarning
from sklearn_beira.features.band_power import BandPower
from sklearn_beira.viz import plot_comparison, plot_influence, plot_predictions

mpl.use("Agg")
CV = BlockedKFold(5, gap=2.0, t_r=1.0)
MODELS = {"ridge": Ridge(), "strong": Ridge(1e3), "mean": DummyRegressor()}


def make_data(n=150, n_rois=3, seed=0):
    """Smooth features, and BOLD that follows them but in its last region."""
    noise = np.random.default_rng(seed).standard_normal((n + 50, 4 + n_rois))
    series = lfilter([1], [1, -0.6], noise, axis=0)[50:]
    X, y = series[:, :4], series[:, 4:].copy()
    y[:, :-1] += X[:, : n_rois - 1]
    return X, y


def run(models, X, y, **options):
    return compare(models, X, y, **{"cv": CV, "n_surrogates": 99, "verbose": False, **options})


def weights_of(model):
    return model.coef_


def test_a_function_keeps_a_part_of_each_fitted_model():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((60, 2)), rng.standard_normal((60, 3))
    options = {"cv": CV, "null": None, "verbose": False}
    whole = compare(Ridge(), X, y, return_estimator=True, **options).estimators["Ridge"]
    part = compare(Ridge(), X, y, return_estimator=weights_of, **options).estimators["Ridge"]
    np.testing.assert_array_equal(part, [model.coef_ for model in whole])


class CountingRidge(Ridge):
    """A ridge that counts its fits, and may fail at one of them."""

    fits, fails_at = 0, None

    def fit(self, X, y):
        type(self).fits += 1
        if self.fits == self.fails_at:
            raise KeyboardInterrupt
        return super().fit(X, y)


# -- the table ----------------------------------------------------------------------------------
def test_the_numbers_are_those_of_scikit_learn_and_of_the_metrics():
    X, y = make_data()
    comparison = run(MODELS, X, y)
    table = comparison.table
    blocks = np.empty(len(y), int)
    for k, (_, test) in enumerate(CV.split(X)):
        blocks[test] = k
    for name, model in MODELS.items():
        y_pred = cross_val_predict(model, X, y, cv=CV)
        np.testing.assert_array_equal(comparison.predictions[name], y_pred)
        pooled = table[(table["model"] == name) & (table["scope"] == "pooled")]
        expected = region_scores(y, y_pred, blocks=blocks)
        for column in ("r", "ci_low", "ci_high", "n", "n_eff", "r2", "mse"):
            np.testing.assert_allclose(pooled[column], expected[column])
        np.testing.assert_allclose(pooled["p_parametric"], expected["p"])
        for k, (train, test) in enumerate(CV.split(X)):
            fold = table[(table["model"] == name) & (table["label"] == str(k))]
            r = pearson_r(y[test], y_pred[test], multioutput="raw_values")
            np.testing.assert_allclose(fold["r"], r)
            assert (fold["n_train"] == len(train)).all()
            assert (fold["n"] == len(test)).all()
    assert len(table) == 3 * 3 * (1 + 5)
    assert table[table["scope"] == "fold"]["p"].isna().all()
    fold_times = table[(table["scope"] == "fold") & (table["region"] == "ROI 0")]
    pooled_times = table[(table["scope"] == "pooled") & (table["region"] == "ROI 0")]
    np.testing.assert_allclose(
        fold_times.groupby("model")["fit_time"].sum()[list(MODELS)], pooled_times["fit_time"]
    )


def test_the_mean_predicts_nothing_and_coupled_regions_are_found():
    X, y = make_data()
    pooled = run(MODELS, X, y).table.query("scope == 'pooled'").set_index(["model", "region"])
    assert (pooled.loc["mean", "r"] == 0).all()
    assert (pooled.loc["mean", "p"] == 1).all()
    ridge = pooled.loc["ridge"]
    assert (ridge["p_max"][:2] <= 0.01).all()
    assert ridge["p_max"].iloc[2] > 0.05
    assert (ridge["ci_low"] < ridge["r"]).all()
    assert (ridge["null_low"] < 0).all()


@pytest.mark.parametrize("refit", [False, True])
def test_the_null_is_that_of_null_test(refit):
    X, y = make_data()
    options = {"null": "phase", "refit": refit, "n_surrogates": 19}
    comparison = run({"ridge": Ridge()}, X, y, **options)
    table = comparison.table.query("scope == 'pooled'")
    test = null_test(Ridge(), X, y, cv=CV, verbose=False, **options)
    for column in ("p", "p_max", "null_low", "null_high"):
        np.testing.assert_array_equal(table[column], test.table[column])
    assert comparison.settings["question"] == test.question
    assert comparison.settings["refit"] is refit


def test_the_summary_holds_the_numbers_in_the_order_of_the_models():
    X, y = make_data()
    comparison = run(MODELS, X, y)
    assert comparison.settings["p_floor"] == 1 / 100
    text = comparison.summary(model="strong", ceiling=[0.9, 0.8, -0.001])
    assert list(text.columns) == ["strong", "interval", "p", "p_max", "ridge", "mean", "ceiling"]
    assert list(text.index) == ["ROI 0", "ROI 1", "ROI 2", "mean"]
    rows = comparison.table.query("scope == 'pooled' and model == 'strong'").set_index("region")
    for region, row in rows.iterrows():
        mark = "*" if row["p_max"] <= 0.05 else " "
        assert text.loc[region, "strong"] == f"{row['r']:.2f}{mark}"
        assert text.loc[region, "interval"] == f"[{row['ci_low']:.2f}, {row['ci_high']:.2f}]"
        # (0 + 1) / (99 + 1) is as low as 99 draws allow; any other p is told as it is.
        told = "≤ 0.010" if row["p"] == 0.01 else f"{row['p']:.3f}"
        assert text.loc[region, "p"] == told
    assert set(text["p"]) > {"≤ 0.010"}
    assert text.loc["mean", "strong"] == f"{rows['r'].mean():.2f} "
    assert text.loc["ROI 2", "ceiling"] == "0.00"
    with pytest.raises(ValueError, match="the comparison has no model 'lasso'"):
        comparison.summary(model="lasso")
    with pytest.raises(ValueError, match=r"ceiling has 1 value\(s\) for"):
        comparison.summary(ceiling=[0.5])


def test_nothing_to_read_is_minus_zero_or_a_p_without_a_null():
    X, y = make_data()
    comparison = run({"ridge": Ridge()}, X, y, null=None)
    assert comparison.settings["p_floor"] is None
    table = comparison.table
    table.loc[table["region"] == "ROI 1", ["r", "ci_low", "ci_high"]] = -0.001, -0.002, 0.002
    text = comparison.summary()
    assert list(text.columns) == ["ridge", "interval"]
    assert text.loc["ROI 1"].tolist() == ["0.00 ", "[0.00, 0.00]"]


def test_p_max_over_all_models_is_that_of_the_highest_model_in_every_draw():
    X, y = make_data()
    options = {"null": "phase", "n_surrogates": 39}
    table = run(MODELS, X, y, correct_over="all", **options).table.query("scope == 'pooled'")
    tests = [
        null_test(m, X, y, cv=CV, refit=False, verbose=False, **options) for m in MODELS.values()
    ]
    highest = np.max([t.draws.max(axis=1) for t in tests], axis=0)
    expected = [(1 + (highest >= r).sum()) / 40 for r in table["r"]]
    np.testing.assert_allclose(table["p_max"], expected)


@pytest.mark.parametrize("refit", [False, True])
def test_bold_is_checked_once(monkeypatch, refit):
    calls = []
    for module in ("study", "metrics"):
        name = f"sklearn_beira.evaluation.{module}.check_bold"
        monkeypatch.setattr(name, lambda y, *a, **k: calls.append(1) or check_bold(y, *a, **k))
    X, y = make_data()
    run(MODELS, X, y, refit=refit, n_surrogates=3)
    assert len(calls) == 1
    null_test(Ridge(), X, y, cv=CV, refit=refit, n_surrogates=3, verbose=False)
    assert len(calls) == 2


def test_without_a_null_there_is_no_p_but_an_interval():
    X, y = make_data()
    comparison = run({"ridge": Ridge()}, X, y, null=None)
    table = comparison.table
    assert table["p"].isna().all()
    assert table["ci_low"].notna().all()
    assert comparison.settings["question"] == ""


def test_what_a_search_chose_is_in_the_table():
    X, y = make_data()
    search = GridSearchCV(Ridge(), {"alpha": [1.0, 1e6]}, cv=KFold(3))
    table = run(search, X, y, null=None).table
    assert list(table["model"].unique()) == ["GridSearchCV"]
    assert (table.query("scope == 'fold'")["params"] == '{"alpha": 1.0}').all()


def test_one_region_and_names_from_pandas(make_study):
    study = make_study(n_rois=2, duration=120.0)
    X, y = align(study.raws, study.bolds, trigger="mri", tmin=-4, tmax=0, verbose="error")
    model = make_pipeline(BandPower({"alpha": (8, 12)}), Ridge())
    table = compare(model, X, y, cv=BlockedKFold(3), null=None, verbose=False).table
    assert list(table["region"].unique()) == list(study.region_names)
    one = compare(model, X, y.iloc[:, 0], cv=BlockedKFold(3), null=None, verbose=False).table
    assert list(one["region"].unique()) == [study.region_names[0]]
    np.testing.assert_allclose(one["r"], table[table["region"] == one["region"].iloc[0]]["r"])


def test_epochs_of_mne_are_windows_with_times():
    rng = np.random.default_rng(0)
    events = np.column_stack([200 * np.arange(2, 42), *np.ones((2, 40), dtype=int)])
    info = mne.create_info(2, 100.0, "eeg")
    eeg = 1e-5 * rng.standard_normal((40, 2, 400))
    epochs = mne.EpochsArray(eeg, info, events, tmin=-4.0, verbose="error")
    y = rng.standard_normal((40, 2))
    model = make_pipeline(BandPower({"alpha": (8, 12)}), Ridge())
    options = {"cv": BlockedKFold(2), "null": None, "verbose": False}
    found = compare(model, epochs, y, **options)
    np.testing.assert_array_equal(np.diff(found.times), 2.0)
    expected = compare(model, EEGWindows.from_array(epochs), y, **options)
    np.testing.assert_array_equal(found.table["r"], expected.table["r"])


def test_rows_may_come_in_any_order(make_study):
    study = make_study(n_runs=2, n_rois=2, duration=120.0)
    X, y = align(study.raws, study.bolds, trigger="mri", tmin=-4, tmax=0, verbose="error")
    order = np.random.default_rng(0).permutation(len(X))
    model = make_pipeline(BandPower({"alpha": (8, 12)}), Ridge())
    options = {"cv": BlockedKFold(3), "null": "phase", "n_surrogates": 19, "verbose": False}
    columns = ["r", "n_eff", "ci_low", "p", "mse"]
    np.testing.assert_allclose(
        compare(model, X, y, **options).table[columns],
        compare(model, X[order], y.iloc[order], **options).table[columns],
    )


# -- the result as an object --------------------------------------------------------------------
def check_equal(one, other):
    pd.testing.assert_frame_equal(one.table, other.table, check_exact=True)
    pd.testing.assert_frame_equal(one.bold, other.bold, check_exact=True, check_freq=False)
    assert list(one.predictions) == list(other.predictions)
    for name, predicted in one.predictions.items():
        again = other.predictions[name]
        pd.testing.assert_frame_equal(predicted, again, check_exact=True, check_freq=False)
    for name in ("blocks", "times", "recordings"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert getattr(one, name).dtype == getattr(other, name).dtype
    for name in ("settings", "versions", "warnings"):
        assert getattr(one, name) == getattr(other, name)


AWKWARD = ["NA", 'a "quoted", name\n']  # what a careless CSV would change


@pytest.mark.filterwarnings("ignore:.*leave no gap:sklearn_beira.exceptions.GapWarning")
@pytest.mark.parametrize("null", [None, "phase"])
def test_a_comparison_comes_back_from_its_folder_bit_for_bit(tmp_path, null):
    X, y = make_data(n_rois=2)
    y = pd.DataFrame(y, columns=AWKWARD, index=pd.date_range("2026-01-01", periods=len(y)))
    groups = np.repeat(["one", "two", "three"], 50)
    search = GridSearchCV(Ridge(), {"alpha": [1.0, 1e6]}, cv=KFold(3))
    options = {"groups": groups, "subjects": groups, "cv": LeaveOneGroupOut(), "null": null}
    comparison = run({AWKWARD[0]: Ridge(), AWKWARD[1]: search}, X, y, **options)
    comparison.to_folder(tmp_path)
    check_equal(Comparison.from_folder(tmp_path), comparison)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"table.csv", "arrays.npz", "comparison.json"}
    for array in np.load(tmp_path / "arrays.npz", allow_pickle=False).values():
        assert array.dtype != object
    run(MODELS, X, y.to_numpy(), null=null).to_folder(tmp_path)  # takes its place
    assert list(Comparison.from_folder(tmp_path).predictions) == list(MODELS)


def test_a_comparison_of_aligned_recordings_comes_back_as_well(make_study, tmp_path):
    study = make_study(n_runs=2, n_rois=2, duration=120.0)
    X, y = align(study.raws, study.bolds, trigger="mri", tmin=-8, tmax=0, verbose="error")
    model = Pipeline(
        [("window", Windower(4.0)), ("power", BandPower({"a": (8, 12)})), ("r", Ridge())]
    )
    curve = delay_curve(model, X, y, [0, 2.5], cv=BlockedKFold(2), null=None, verbose=False)
    assert list(curve.predictions) == [0.0, 2.5]
    assert curve.bold.equals(y)
    np.testing.assert_array_equal(curve.times, X.times)
    curve.to_folder(tmp_path / "curve")
    again = Comparison.from_folder(tmp_path / "curve")
    check_equal(again, curve)
    assert paired_test(again, 2.5, 0.0).equals(paired_test(curve, 2.5, 0.0))
    with pytest.raises(ValueError, match="holds no comparison"):
        Comparison.from_folder(tmp_path)


def test_predictions_and_bold_carry_the_labels_of_y_and_give_r_again():
    X, y = make_data()
    y = pd.DataFrame(y, columns=["a", "b", "c"], index=np.arange(len(y)) + 7)
    comparison = run(MODELS, X, y)
    assert comparison.bold.equals(y)
    for name in MODELS:
        predicted = comparison.predictions[name]
        assert predicted.index.equals(y.index)
        r = pearson_r(
            comparison.bold, predicted, blocks=comparison.blocks, multioutput="raw_values"
        )
        pooled = comparison.table.query("scope == 'pooled' and model == @name")
        np.testing.assert_array_equal(pooled["r"], r)


def test_a_comparison_shows_itself(tmp_path):
    X, y = make_data()
    comparison = run({"<ridge>": Ridge()}, X, y)
    page = comparison._repr_html_()
    assert "&lt;ridge&gt;" in page
    assert "randomized phases" in page
    assert "randomized phases" in repr(comparison)
    assert comparison.summary().loc["ROI 0", "interval"] in repr(comparison)
    comparison.to_csv(tmp_path / "table.csv")
    read = pd.read_csv(tmp_path / "table.csv")
    assert list(read.columns) == list(comparison.table.columns)
    assert len(comparison.plot(n_columns=2).axes) == 4
    plt.close("all")


# -- subjects -----------------------------------------------------------------------------------
def test_subjects_are_scored_one_by_one_and_as_a_group():
    X, y = make_data(240)
    subjects = np.repeat(["a", "b", "c"], 80)
    options = {"groups": subjects, "subjects": subjects, "cv": LeaveOneGroupOut()}
    table = run({"ridge": Ridge()}, X, y, **options).table
    each = table[table["scope"] == "subject"]
    assert list(each["label"].unique()) == ["a", "b", "c"]
    fold = table[table["scope"] == "fold"]
    np.testing.assert_allclose(each["r"], fold["r"])  # here a fold is a subject
    group = table[table["scope"] == "group"]
    z = np.arctanh(each["r"].to_numpy().reshape(3, 3))
    np.testing.assert_allclose(group["r"], np.tanh(z.mean(axis=0)))
    # Each is tested on 80 volumes, by a model of the 160 of the others.
    error = np.sqrt((1 / 3 + 80 / 160) * z.var(axis=0, ddof=1))
    low = z.mean(axis=0) - stats.t.ppf(0.975, 2) * error
    np.testing.assert_allclose(group["ci_low"], np.tanh(low))
    assert (group["n"] == 3).all()


def test_a_subject_that_is_predicted_without_error_ends_no_comparison():
    X, _ = make_data(240)
    subjects = np.repeat(["a", "b", "c"], 80)
    options = {"groups": subjects, "subjects": subjects, "cv": LeaveOneGroupOut(), "null": None}
    table = run({"exact": LinearRegression()}, X, X[:, :2], **options).table
    assert (table.query("scope == 'group'")["r"] > 0.999).all()


def test_subjects_come_with_the_windows(make_study):
    study = make_study(n_runs=3, n_rois=2, duration=120.0)
    X, y = align(
        study.raws, study.bolds, trigger="mri", tmin=-4, tmax=0, subjects=["s1", "s1", "s2"],
        verbose="error",
    )  # fmt: skip
    np.testing.assert_array_equal(X.subjects == "s2", X.groups == 2)
    model = make_pipeline(BandPower({"alpha": (8, 12)}), Ridge())
    options = {"groups": X.subjects, "cv": LeaveOneGroupOut(), "null": None, "verbose": False}
    table = compare(model, X, y, **options).table
    assert list(table.query("scope == 'subject'")["label"].unique()) == ["s1", "s2"]
    assert table.query("scope == 'fold'")["label"].nunique() == 2


# -- a killed run continues ---------------------------------------------------------------------
def test_an_interrupted_run_continues_where_it_was(tmp_path, monkeypatch):
    X, y = make_data()
    models = {"one": CountingRidge(1.0), "two": CountingRidge(2.0)}
    monkeypatch.setattr(CountingRidge, "fits", 0)
    monkeypatch.setattr(CountingRidge, "fails_at", 8)
    with pytest.raises(KeyboardInterrupt):
        run(models, X, y, cache=tmp_path)
    monkeypatch.setattr(CountingRidge, "fails_at", None)
    monkeypatch.setattr(CountingRidge, "fits", 0)
    continued = run(models, X, y, cache=tmp_path).table
    assert CountingRidge.fits == 3  # of ten
    whole = run(models, X, y).table
    np.testing.assert_array_equal(continued["r"], whole["r"])
    assert not list(tmp_path.glob("*.tmp"))
    # Damaged files are made anew, other data or models are not mixed up.
    for file in list(tmp_path.glob("*.npz"))[:4]:
        file.write_bytes(file.read_bytes()[:100])
    monkeypatch.setattr(CountingRidge, "fits", 0)
    np.testing.assert_array_equal(run(models, X, y, cache=tmp_path).table["r"], whole["r"])
    assert CountingRidge.fits == 4
    run({"one": CountingRidge(3.0)}, X, y, cache=tmp_path)
    assert CountingRidge.fits == 9
    run(models, X, y[:, ::-1].copy(), cache=tmp_path)
    assert CountingRidge.fits == 19


@pytest.mark.slow
def test_a_run_that_was_killed_leaves_whole_files_only(tmp_path):
    script = textwrap.dedent("""
        import sys, time
        import numpy as np
        from sklearn.linear_model import Ridge
        from sklearn_beira import compare
        from sklearn_beira.evaluation import BlockedKFold

        class SlowRidge(Ridge):
            def fit(self, X, y):
                print("fit", flush=True)
                time.sleep(0.3)
                return super().fit(X, y)

        rng = np.random.default_rng(0)
        X, y = rng.standard_normal((100, 3)), rng.standard_normal((100, 2))
        compare(SlowRidge(), X, y, cv=BlockedKFold(10, gap=0), cache=sys.argv[1], null=None)
    """)
    (tmp_path / "script.py").write_text(script)
    command = [sys.executable, tmp_path / "script.py", tmp_path / "cache"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    process = subprocess.Popen(command, **pipes)
    deadline = time.monotonic() + 120
    while len(list((tmp_path / "cache").glob("*.npz"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    done = len(list((tmp_path / "cache").glob("*.npz")))
    assert 3 <= done < 10
    again = subprocess.run(command, check=True, **pipes)
    assert again.stdout.count("fit") == 10 - done


def test_a_cache_that_cannot_be_written_is_refused(tmp_path):
    X, y = make_data()
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"the cache folder .* cannot be written to"):
        run(MODELS, X, y, cache=tmp_path / "file")


def test_processes_give_the_same_table():
    X, y = make_data()
    one, two = (run(MODELS, X, y, n_jobs=n).table.drop(columns="fit_time") for n in (1, 2))
    assert one.equals(two)


@pytest.mark.slow
def test_workers_of_dask_give_the_same_table_and_null(dask_client):
    X, y = make_data()
    search = GridSearchCV(Ridge(), {"alpha": [1.0, 100.0]}, cv=KFold(3))
    models = {"ridge": Ridge(), "search": search}
    options = {"cv": CV, "null": "phase", "n_surrogates": 19, "verbose": False}
    here = run(models, X, y, **options).table, null_test(search, X, y, **options)
    with parallel_config("dask"):
        there = run(models, X, y, **options).table, null_test(search, X, y, **options)
    assert there[0].drop(columns="fit_time").equals(here[0].drop(columns="fit_time"))
    np.testing.assert_array_equal(there[1].draws, here[1].draws)


NOTEBOOK = """
import sys
from functools import wraps
import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn_beira import compare
from sklearn_beira.evaluation import BlockedKFold
from mine import Mine, there

def first(X):
    return X if "a" in {"a", "b", "c"} else None  # a set, whose order differs between processes

FIRST = 0

def keep(X):
    return X[:, FIRST + 0:]

def second(X, start=0):
    return keep(X)[:, start + 0:]

def from_column(start):
    def decorate(function):
        @wraps(function)
        def wrapped(X):
            return function(X)[:, start:]
        return wrapped
    return decorate

@from_column(0)
def third(X):
    return X

class Base(TransformerMixin, BaseEstimator):
    START = 0

    def fit(self, X, y=None):
        self.n_ = 1
        return self

    def transform(self, X):
        return X[:, self.START + 0:]

class Own(Base):
    def fit(self, X, y=None):
        return super().fit(X)

steps = [FunctionTransformer(f) for f in (first, second, third, there)]
rng = np.random.default_rng(0)
X = rng.standard_normal((80, 3))
y = X[:, :1] + rng.standard_normal((80, 1))
options = {"null": None, "cache": sys.argv[1], "verbose": False}
model = make_pipeline(*steps, Own(), Mine(), Ridge())
table = compare(model, X, y, cv=BlockedKFold(4, gap=0), **options).table
print(round(table["r"][0], 6), sum(table["fit_time"]))
"""
# Each drops the informative column.
EDITS = {
    "a function": ("start + 0:", "start + 1:"),
    "a function that is called": ("FIRST + 0:", "FIRST + 1:"),
    "a constant": ("FIRST = 0", "FIRST = 1"),
    "a module that is imported": ("return X[:, 0:]", "return X[:, 1:]"),
    "a default": ("start=0", "start=1"),
    "an argument of a decorator": ("from_column(0)", "from_column(1)"),
    "an inherited method": ("self.START + 0:", "self.START + 1:"),
    "an attribute of a class": ("START = 0", "START = 1"),
    "a file": ("cut(X)[:, 0:]", "cut(X)[:, 1:]"),
    "the file of an inherited class": ("START = 0", "START = 1"),
}
FILES = {
    "mine.py": """
import helpers
from theirs import Theirs

def there(X):
    return helpers.cut(X)[:, 0:]

class Mine(Theirs):
    pass
""",
    "helpers.py": """
def cut(X):
    return X[:, 0:]
""",
    "theirs.py": """
from sklearn.base import BaseEstimator, TransformerMixin

class Theirs(TransformerMixin, BaseEstimator):
    START = 0

    def fit(self, X, y=None):
        self.n_ = 1
        return self

    def transform(self, X):
        return X[:, self.START:]
""",
    "notebook.py": NOTEBOOK,
}


@pytest.fixture(scope="module")
def run_notebook(tmp_path_factory):
    """Run the notebook with these files, each time in a new process and with the same cache."""
    folder = tmp_path_factory.mktemp("notebook")

    def run_with(files):
        for name, text in files.items():
            (folder / name).write_text(text)
        command = [sys.executable, str(folder / "notebook.py"), str(folder / "cache")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return done.stdout.split()

    return run_with


@pytest.fixture(scope="module")
def r_unedited(run_notebook):
    r, seconds = run_notebook(FILES)
    assert run_notebook(FILES) == [r, seconds]  # read, not computed
    return float(r)


@pytest.mark.parametrize("edit", EDITS)
def test_a_cache_notices_edited_code_of_ones_own(edit, run_notebook, r_unedited):
    places = {
        "a file": "mine.py",
        "a module that is imported": "helpers.py",
        "the file of an inherited class": "theirs.py",
    }
    place = places.get(edit, "notebook.py")
    found = run_notebook(FILES | {place: FILES[place].replace(*EDITS[edit])})
    assert float(found[0]) < 0.3 < r_unedited


def test_a_cache_refuses_what_it_could_not_recognize(tmp_path):
    X, y = make_data()
    model = make_pipeline(FunctionTransformer(lambda X: X), Ridge())
    with pytest.raises(TypeError, match="such as a lambda; define it by name"):
        run(model, X, y, cache=tmp_path)
    assert np.isfinite(run(model, X, y).table["r"]).all()


# -- two models ---------------------------------------------------------------------------------
def test_what_is_warned_of_close_folds_is_kept_with_the_table():
    X, y = make_data()
    with pytest.warns(GapWarning, match="leave no gap") as caught:
        comparison = run(MODELS, X, y, cv=KFold(3), null=None)
    assert comparison.warnings == [str(w.message) for w in caught]
    assert run(MODELS, X, y, null=None).warnings == []


def test_what_is_said_of_the_null_is_kept_as_well():
    X, y = make_data()
    with pytest.warns(UserWarning, match="null='shift' leaves out the ends") as caught:
        comparison = run(MODELS, X, y, null="shift")
    assert comparison.warnings == [str(w.message) for w in caught]


def test_r_without_a_burst_is_that_of_the_other_volumes():
    X, y = make_data()
    noise = np.random.default_rng(3).standard_normal(y.shape)
    noise[20:22] += 30 * X[20:22, :1]
    noise[70:72] += 30 * X[70:72, :1]
    found = run(MODELS, X, noise, null=None)
    pooled = found.table.query("scope == 'pooled' and model == 'ridge'")
    y_pred, blocks = found.predictions["ridge"].to_numpy(), found.blocks
    n_independent = effective_n(noise, y_pred, blocks=blocks, method="bartlett")
    means = [pd.DataFrame(one).groupby(blocks).transform("mean") for one in (noise, y_pred)]
    x, y_pred = noise - means[0].to_numpy(), y_pred - means[1].to_numpy()

    def r_of_the_rest(roi, length):
        for start in range(len(x) - length + 1):
            kept = np.delete(np.arange(len(x)), slice(start, start + length))
            one, other = x[kept, roi], y_pred[kept, roi]
            yield one @ other / np.linalg.norm(one) / np.linalg.norm(other)

    for roi, row in enumerate(pooled.itertuples()):
        rest = r_of_the_rest(roi, int(np.ceil(len(x) / n_independent[roi])))
        assert row.r_without_burst == pytest.approx(min(rest))
        assert row.r_without_burst < row.r
    ax = plot_influence(found, "ROI 0")
    change = [bar.get_height() for bar in ax.patches if bar.get_width() == 1.0]
    np.testing.assert_allclose(change, pooled["r"].iloc[0] - np.array([*r_of_the_rest(0, 1)]))
    assert f"{pooled['r_without_burst'].iloc[0]:.2f} without the shaded" in ax.get_title()
    with pytest.raises(ValueError, match="no region 'ROI 9'"):
        plot_influence(found, "ROI 9")
    numbered = run(MODELS, X, pd.DataFrame(noise, columns=range(noise.shape[1])), null=None)
    assert plot_influence(numbered, 1).get_title().startswith("1, ")
    assert plot_predictions(numbered, 1).get_suptitle() == "1"
    plt.close("all")


def test_models_of_which_the_same_is_true_are_named_in_one_sentence(make_study):
    study = make_study(n_rois=2, duration=120.0)
    X, y = align(study.raws, study.bolds, trigger="mri", tmin=-8, tmax=0, verbose="error")
    power = make_pipeline(BandPower({"alpha": (8, 12)}), Ridge())
    short = make_pipeline(Windower(4.0), BandPower({"alpha": (8, 12)}), Ridge())
    models = {"short": short, "long": power, "other": power, "constant": DummyRegressor()}
    models["third"] = power
    with pytest.warns(GapWarning) as caught:
        comparison = compare(models, X, y, cv=BlockedKFold(3, gap=6), null=None, verbose=False)
    (said,) = comparison.warnings
    assert "look back up to 8 s ('long', 'other', 'third')" in said
    assert [str(w.message) for w in caught] == [said]


class OwnData(BaseCrossValidator):
    """Five blocks of every subject, predicted from the other blocks of the same subject."""

    def get_n_splits(self, X=None, y=None, groups=None):
        return 25

    def split(self, X, y=None, groups=None):
        for subject in np.unique(groups):
            mine = np.flatnonzero(groups == subject)
            for block in np.array_split(mine, 5):
                yield np.setdiff1d(mine, block), block


@pytest.mark.filterwarnings("ignore:.*leave no gap:sklearn_beira.exceptions.GapWarning")
@pytest.mark.filterwarnings("ignore:autocorrelated BOLD:sklearn_beira.exceptions.GapWarning")
def test_over_subjects_with_their_own_models_the_paired_test_is_the_t_test():
    X, y = make_data(400)
    subjects = np.repeat(np.arange(5), 80)
    options = {"groups": subjects, "subjects": subjects, "cv": OwnData(), "null": None}
    comparison = run(MODELS, X, y, **options)
    table = comparison.table
    assert (table.query("scope == 'subject'")["n_train"] == 0).all()
    result = paired_test(comparison, "ridge", "strong")
    assert (result["unit"] == "subject").all()
    r = {
        name: table.query("scope == 'subject' and model == @name")["r"].to_numpy().reshape(5, 3)
        for name in ("ridge", "strong")
    }
    expected = stats.ttest_rel(np.arctanh(r["ridge"]), np.arctanh(r["strong"]))
    np.testing.assert_allclose(result["t"][:3], expected.statistic)
    np.testing.assert_allclose(result["p"][:3], expected.pvalue)
    low, high = expected.confidence_interval()
    np.testing.assert_allclose(result[["ci_low", "ci_high"]][:3], np.transpose([low, high]))
    assert result.index[-1] == "mean"
    np.testing.assert_allclose(result["difference_z"].iloc[-1], result["difference_z"][:3].mean())


def test_a_region_may_be_named_mean():
    X, y = make_data()
    y = pd.DataFrame(y, columns=["mean", "median", "mode"])
    result = paired_test(run(MODELS, X, y, null=None), "ridge", "strong")
    assert list(result.index) == [*y, "mean over regions"]
    assert result["difference_z"].iloc[-1] == pytest.approx(result["difference_z"][:3].mean())


@pytest.mark.slow
def test_subjects_that_learn_from_each_other_are_no_independent_evidence():
    """Leave one subject out, where there is nothing to find: rates of p <= .05 over 60 studies."""
    rates = {"group": [], "subject": [], "naive": []}
    subjects = np.repeat(np.arange(6), 60)
    for seed in range(60):
        rng = np.random.default_rng(seed)
        X, y = rng.standard_normal((360, 5)), rng.standard_normal((360, 1))
        options = {"groups": subjects, "subjects": subjects, "null": None, "verbose": False}
        models = {"ridge": Ridge(), "mean": DummyRegressor()}
        comparison = compare(models, X, y, cv=LeaveOneGroupOut(), **options)
        table = comparison.table
        group = table.query("scope == 'group' and model == 'ridge'")
        rates["group"].append(group["p_parametric"].iloc[0])
        rates["subject"].append(paired_test(comparison, "ridge", "mean")["p"].iloc[0])
        each = table.query("scope == 'subject' and model == 'ridge'")
        rates["naive"].append(stats.ttest_1samp(np.arctanh(each["r"]), 0).pvalue)
    rates = {name: np.mean(np.array(p) <= 0.05) for name, p in rates.items()}
    assert rates["group"] < 0.1
    assert rates["subject"] < 0.1
    assert rates["naive"] > 0.1


def test_over_folds_it_takes_the_overlap_of_the_training_data_into_account():
    X, y = make_data()
    comparison = run(MODELS, X, y, null=None)
    table = comparison.table
    result = paired_test(comparison, "ridge", "strong")
    assert (result["unit"] == "fold").all()
    r = {
        name: table.query("scope == 'fold' and model == @name")["r"].to_numpy().reshape(5, 3)
        for name in ("ridge", "strong")
    }
    d = np.arctanh(r["ridge"]) - np.arctanh(r["strong"])
    ratio = np.mean([len(test) / len(train) for train, test in CV.split(X)])
    t = d.mean(axis=0) / np.sqrt((1 / 5 + ratio) * d.var(axis=0, ddof=1))
    np.testing.assert_allclose(result["t"][:3], t)
    naive = stats.ttest_1samp(d, 0)
    assert (result["p"][:3] > naive.pvalue).all()
    swapped = paired_test(comparison, "strong", "ridge")
    np.testing.assert_allclose(swapped["difference_z"], -result["difference_z"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ridge", "forest"), "no model 'forest'; it has ridge, strong, mean"),
        (("ridge", "mean", "volume"), "unit must be 'auto', 'subject' or 'fold'"),
        (("ridge", "mean", "subject"), "needs at least 2 subjects, but the comparison has 0"),
        (("ridge", "mean", "fold", 95), "confidence_level must lie between 0 and 1, got 95"),
    ],
)
def test_pairs_that_cannot_be_tested_are_refused(arguments, message):
    X, y = make_data()
    comparison = run(MODELS, X, y, null=None)
    options = dict(zip(["unit", "confidence_level"], arguments[2:], strict=False))
    with pytest.raises(ValueError, match=message):
        paired_test(comparison, *arguments[:2], **options)


# -- delays -------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def delayed(make_study):
    study = make_study(n_rois=1, duration=400.0, noise_ceiling=0.95)
    X, y = align(study.raws, study.bolds, trigger="mri", tmin=-16, tmax=10, verbose="error")
    band = tuple(study.truth.bands[0])
    power = BandPower({"a": band}, duration=4.0)
    return X, y, Pipeline([("window", Windower(4.0)), ("power", power), ("ridge", Ridge())])


def test_the_delay_curve_peaks_at_the_delay_of_the_response(delayed):
    X, y, model = delayed
    delays = [-8, -4, 0, 4, 8]
    curve = delay_curve(model, X, y, delays, cv=BlockedKFold(4), n_surrogates=99, verbose=False)
    pooled = curve.table.query("scope == 'pooled'")
    assert list(pooled["delay"]) == delays
    r = pooled.set_index("delay")["r"]
    assert r.idxmax() == 4  # the Glover response peaks at 5 to 6 s; the window is 4 s long
    assert r[4] > r[-8] + 0.3
    (ax,) = plot_comparison(curve).axes
    labels = [text.get_text() for text in ax.get_yticklabels()]
    assert labels == ["8 s", "4 s", "0 s", "-4 s", "-8 s"]
    plt.close("all")
    # Corrected over the delays: never below the p of one delay.
    assert (pooled["p_max"] >= pooled["p"]).all()


def test_the_parameter_of_the_delay_is_found_or_named(delayed):
    X, y, model = delayed
    options = {"cv": BlockedKFold(2), "null": None, "verbose": False}
    named = delay_curve(model, X, y, [0, 2], param="window__delay", **options)
    found = delay_curve(model, X, y, [0, 2], **options)
    np.testing.assert_array_equal(named.table["r"], found.table["r"])
    with pytest.raises(ValueError, match=r"window \[-18, -14\) s extends beyond the recording"):
        delay_curve(model, X, y, [0, 14], **options)
    with pytest.raises(ValueError, match="the model has 0 Windowers to set the delay of"):
        delay_curve(Ridge(), X, y, [0, 2], **options)


# -- bad input ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("models", "options", "message"),
    [
        ({}, {}, "compare needs at least one model"),
        (
            MODELS,
            {"correct_over": "models"},
            "correct_over must be 'regions' or 'all', got 'models'",
        ),
        (MODELS, {"subjects": [0, 1]}, "subjects must name the subject of each of the 150 rows"),
        (MODELS, {"subjects": np.arange(150) % 2}, "recording 0 has rows of several subjects"),
        (MODELS, {"null": "swap"}, "null='swap' needs several recordings"),
        (MODELS, {"n_surrogates": 0}, "n_surrogates must be an integer of at least 1"),
        (MODELS, {"cv": BlockedKFold(5)}, "do not tell how much EEG they share"),
        (
            {"past BOLD (oracle)": Ridge()},
            {"oracle": True},
            "is the name of the oracle; give your model another",
        ),
    ],
    ids=str,
)
def test_what_cannot_be_compared_is_refused_before_any_fit(models, options, message, monkeypatch):
    X, y = make_data()
    monkeypatch.setattr(CountingRidge, "fits", 0)
    models = {**models, "last": CountingRidge()} if models else models
    with pytest.raises(ValueError, match=message):
        run(models, X, y, **options)
    assert CountingRidge.fits == 0


SHIFT = [0.0]


def shift(X, by=None):
    return X + SHIFT[0]


@pytest.mark.parametrize("value", [[1.0], (0.0,), np.zeros(1), {"a": 0.0}, None])
def test_results_in_a_cache_depend_on_the_constants_of_the_code(monkeypatch, value):
    before = digest(FunctionTransformer(shift))
    assert digest(FunctionTransformer(shift)) == before
    monkeypatch.setitem(globals(), "SHIFT", value)
    changed = digest(FunctionTransformer(shift))
    assert changed != before
    monkeypatch.setattr(shift, "__defaults__", (value,))
    assert (digest(FunctionTransformer(shift)) == changed) == (value is None)
