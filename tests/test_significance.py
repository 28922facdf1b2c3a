"""Nulls of whole procedures: planted truth is found, a null stays null, and no draw cheats."""

import itertools
import sys
import warnings
from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.signal import lfilter
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.cross_decomposition import PLSSVD
from sklearn.decomposition import PCA
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import RandomForestRegressor
from sklearn.feature_selection import SelectKBest, f_regression
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    LeaveOneGroupOut,
    PredefinedSplit,
    RandomizedSearchCV,
    ShuffleSplit,
    TimeSeriesSplit,
)
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state
from statsmodels.tools.sm_exceptions import InterpolationWarning
from statsmodels.tsa.stattools import kpss as statsmodels_kpss
from threadpoolctl import threadpool_limits

from sklearn_beira import CalibratedRegressor, EEGWindows, Windower, compare, null_test
from sklearn_beira.baselines.makers import (
    make_baselines,
    make_eegnet,
    make_mean,
    make_time_polynomial,
)
from sklearn_beira.baselines.ridge import BlockedRidgeCV
from sklearn_beira.evaluation.assumptions import kpss
from sklearn_beira.evaluation.cross_validation import has_independent_targets, may_select
from sklearn_beira.evaluation.leakage import blocks_of_test, longest_window
from sklearn_beira.evaluation.metrics import pearson_r
from sklearn_beira.evaluation.null import choose_null, draw_surrogates, score_draws
from sklearn_beira.evaluation.smoothness import carried_over, fit_smoothness, scatter_of_r
from sklearn_beira.evaluation.splitters import BlockedKFold
from sklearn_beira.evaluation.study import make_study
from sklearn_beira.evaluation.surrogates import NULLS, linear_shift_p, permutation_p
from sklearn_beira.exceptions import GapWarning, StationarityWarning
from sklearn_beira.features.band_power import BandPower

CV = BlockedKFold(5, gap=5, t_r=1)
RIDGE = make_pipeline(StandardScaler(), Ridge(1.0))


def smooth(n, n_series, lag_one=0.7, seed=0):
    """First-order autoregressive noise."""
    noise = np.random.default_rng(seed).standard_normal((n + 100, n_series))
    return lfilter([1], [1, -lag_one], noise, axis=0)[100:]


def coupled(n=200, n_null=2, seed=0):
    """Features, and BOLD whose first two regions follow them."""
    X, noise = smooth(n, 4, seed=seed), smooth(n, 2 + n_null, seed=seed + 1)
    noise[:, :2] += X[:, :2]
    return X, noise


def run(model, X, y, **options):
    return null_test(model, X, y, **{"cv": CV, "n_surrogates": 60, "verbose": False, **options})


class CountingRidge(Ridge):
    """A ridge that counts its fits."""

    fits = 0

    def fit(self, X, y):
        type(self).fits += 1
        return super().fit(X, y)


# -- the draws ----------------------------------------------------------------------------------
@pytest.fixture
def runs():
    return [np.arange(0, 20), np.arange(20, 45), np.arange(45, 65)]


def draws_of(null, y, runs, n_surrogates=50, others=None):
    return NULLS[null](y, runs, n_surrogates, check_random_state(0), others)


def scaled(series):
    return (series - series.mean(axis=0)) / series.std(axis=0)


def test_swaps_leave_no_recording_its_own_bold_and_have_the_scale_of_the_place(runs):
    y = smooth(65, 2)
    for k, run in enumerate(runs):
        y[run] = y[run] * (k + 1) + 10 * k
    draws = draws_of("swap", y, runs)
    np.testing.assert_array_equal(draws.rows, np.r_[0:20, 20:40, 45:65])  # cut to the shortest
    assert draws.n_surrogates == draws.n_distinct == 2
    pieces = [y[0:20], y[20:40], y[45:65]]
    expected = [
        np.concatenate(
            [p.mean(0) + p.std(0) * scaled(q) for p, q in zip(pieces, order, strict=True)]
        )
        for order in (pieces[1:] + pieces[:1], pieces[2:] + pieces[:2])
    ]
    found = [draws.bold(k) for k in range(2)]
    for one in expected:
        assert sum(np.allclose(one, other) for other in found) == 1


def test_many_recordings_are_swapped_at_random_and_none_is_left_in_place():
    runs = list(np.arange(80).reshape(8, 10))
    y = np.concatenate([scaled(smooth(10, 1, seed=k)) for k in range(8)])
    draws = draws_of("swap", y, runs, n_surrogates=30)
    assert draws.n_surrogates == 30
    assert draws.n_distinct == 14833  # derangements of 8
    found = {tuple(draws.bold(k).ravel().round(9)) for k in range(30)}
    assert len(found) == 30
    for one in found:
        moved = ~np.isclose(np.reshape(one, (8, 10)), y.reshape(8, 10)).all(axis=1)
        assert moved.all()
        np.testing.assert_allclose(np.sort(one), np.sort(y.ravel()), atol=1e-8)


def test_hundreds_of_recordings_are_swapped():
    runs = list(np.arange(800).reshape(200, 4))
    draws = draws_of("swap", smooth(800, 1, seed=0), runs, n_surrogates=3)
    assert draws.n_surrogates == 3
    assert draws.n_distinct == sys.maxsize  # of the derangements, which no float holds


def test_stretches_of_others_are_drawn_whole_at_the_scale_of_the_place(runs):
    y, others = smooth(65, 1), [smooth(40, 1, seed=1), smooth(10, 1, seed=2)]
    draws = draws_of("swap", y, runs, others=others)
    starts = set()
    for k in range(draws.n_surrogates):
        for run in runs:
            bold = draws.bold(k)[run, 0]
            np.testing.assert_allclose([bold.mean(), bold.std()], [y[run].mean(), y[run].std()])
            stretches = np.lib.stride_tricks.sliding_window_view(others[0][:, 0], len(run))
            r = [np.corrcoef(bold, stretch)[0, 1] for stretch in stretches]
            assert max(r) > 1 - 1e-9  # the short one cannot be used
            starts.add((run[0], int(np.argmax(r))))
    assert len(starts) > 15


@pytest.mark.filterwarnings("ignore:groups should be:sklearn_beira.exceptions.GapWarning")
def test_the_slow_trend_stays_in_place_and_the_rest_does_not():
    X, y = coupled(300)
    drift = np.outer(np.linspace(-1, 1, 300), [0.0, 0.0, 50.0, -50.0])
    drift += 30 * np.cos(np.pi * np.arange(300) / 300)[:, None]
    cv = BlockedKFold(5, gap=0)
    study = make_study(X, y + drift, cv, np.repeat(np.arange(6), 50))
    study_flat = make_study(X, y, cv, np.repeat(np.arange(6), 50))
    for null in NULLS:
        draws, flat = (draw_surrogates(s, null, 20, None, 0) for s in (study, study_flat))
        assert study.t_r == 2.0
        for k in range(draws.n_surrogates):
            # A line per recording of 50 volumes: what is left of the cosine over 300 is small.
            np.testing.assert_allclose(draws.bold(k) - drift[draws.rows], flat.bold(k), atol=2.0)
        assert not np.allclose(flat.bold(0), y[flat.rows], atol=1.0)


def test_whole_recordings_can_be_swapped_with_their_trends():
    X, y = coupled(300)
    y += np.tile(np.linspace(-2, 2, 50), 6)[:, None]
    study = make_study(X, y, CV, np.repeat(np.arange(6), 50))
    draws = draw_surrogates(study, "swap", 20, None, 0, keep_trend=False)
    pieces = {tuple(piece.ravel()) for piece in y.reshape(6, 50, 4)}
    for k in range(20):
        assert {tuple(piece.ravel()) for piece in draws.bold(k).reshape(6, 50, 4)} == pieces
    options = {"groups": study.groups, "cv": LeaveOneGroupOut(), "null": "swap"}
    with_trend, without = (run(RIDGE, X, y, keep_trend=k, **options) for k in (True, False))
    assert "slow trend of each recording" in with_trend.question
    assert "trend" not in without.question
    assert (without.table["p_max"][:2] <= 0.05).all()


def test_drifts_of_eeg_and_bold_that_agree_by_chance_are_no_finding():
    groups, found = np.repeat(np.arange(6), 60), {}
    for seed in range(12):
        rng = np.random.default_rng(seed)
        X, y = smooth(360, 3, seed=seed), smooth(360, 2, seed=seed + 100)
        for k in range(6):
            X[groups == k] += np.outer(np.linspace(-5, 5, 60), rng.standard_normal(3))
            y[groups == k] += np.outer(np.linspace(-5, 5, 60), rng.standard_normal(2))
        for null, refit in itertools.product(("swap", "phase", "circular"), (True, False)):
            options = {"groups": groups, "null": null, "refit": refit, "n_surrogates": 39}
            table = run(RIDGE, X, y, cv=BlockedKFold(3, gap=3, t_r=1), **options).table
            found.setdefault((null, refit), []).extend(table["p"] <= 0.05)
    rates = {key: np.mean(values) for key, values in found.items()}
    assert max(rates.values()) <= 0.17, rates  # of 24 regions; without the trend more than half


def test_shifts_take_volumes_from_their_true_place(runs):
    y = np.arange(65.0)[:, None]
    draws = draws_of("shift", y, runs)
    assert draws.n_surrogates == 10  # five volumes to either side: a quarter of the shortest
    np.testing.assert_array_equal(draws.rows, np.r_[5:15, 25:40, 50:60])
    shifts = {float((draws.bold(k)[:, 0] - draws.rows)[0]) for k in range(10)}
    assert shifts == {-5, -4, -3, -2, -1, 1, 2, 3, 4, 5}
    for k in range(10):
        assert len(np.unique(draws.bold(k)[:, 0] - draws.rows)) == 1


def test_rolls_keep_the_order_but_for_one_seam(runs):
    y = np.arange(65.0)[:, None]
    draws = draws_of("circular", y, runs)
    for k in range(draws.n_surrogates):
        bold = draws.bold(k)[:, 0]
        for run in runs:
            assert np.sum(np.diff(bold[run]) != 1) == 1
            np.testing.assert_array_equal(np.sort(bold[run]), run)
            rolled = int((run[0] - bold[run[0]]) % len(run))
            assert len(run) // 10 <= rolled <= len(run) - len(run) // 10


def test_random_phases_keep_spectra_and_how_regions_vary_together(runs):
    y = smooth(65, 3) + [1, 2, 3]
    y[:, 1] += 0.5 * y[:, 0]
    draws = draws_of("phase", y, runs)
    for run in runs:
        before = np.fft.rfft(y[run], axis=0)
        after = np.fft.rfft(draws.bold(0)[run], axis=0)
        cross = [f[:, :, None] * f[:, None, :].conj() for f in (before, after)]
        np.testing.assert_allclose(*cross, atol=1e-9)
        assert abs(np.corrcoef(y[run, 0], draws.bold(0)[run, 0])[0, 1]) < 0.9
    assert not np.allclose(draws.bold(0), draws.bold(1))
    np.testing.assert_array_equal(draws.bold(3), draws.bold(3))


@pytest.mark.parametrize("null", ["circular", "phase"])
def test_what_recordings_of_one_length_share_stays_shared(null):
    film, rng = smooth(60, 2), np.random.default_rng(1)
    y = np.concatenate([film, 3 * film, smooth(60, 2, seed=2)])
    draws = draws_of(null, y, [np.arange(60), np.arange(60, 120), np.arange(120, 180)])
    for k in rng.choice(draws.n_surrogates, 5):
        first, second, other = draws.bold(k).reshape(3, 60, 2)
        np.testing.assert_allclose(second, 3 * first, atol=1e-9)
        assert abs(np.corrcoef(first[:, 0], film[:, 0])[0, 1]) < 0.9
        assert abs(np.corrcoef(first[:, 0], other[:, 0])[0, 1]) < 0.9


@pytest.mark.slow
@pytest.mark.parametrize("lengths", [(100, 100, 100, 100), (100, 99, 98, 97)])
@pytest.mark.parametrize("refit", [True, False])
def test_a_film_that_eeg_and_bold_follow_apart_is_no_finding(refit, lengths):
    rows = np.concatenate([100 * k + np.arange(n) for k, n in enumerate(lengths)])
    groups, found = np.repeat(np.arange(4), lengths), []
    for seed in range(100):
        eeg, bold = smooth(400, 6, seed=seed), smooth(400, 1, seed=seed + 1000)
        eeg += np.tile(smooth(100, 6, seed=seed + 2000), (4, 1))
        bold += np.tile(smooth(100, 1, seed=seed + 3000), (4, 1))
        options = {"groups": groups, "cv": LeaveOneGroupOut(), "null": "phase", "refit": refit}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", StationarityWarning)
            result = run(RIDGE, eeg[rows], bold[rows], n_surrogates=39, **options)
        found.append(result.table["p"].iloc[0])
    assert np.mean(np.array(found) <= 0.05) <= 0.1


def test_each_recording_has_the_trend_of_its_own_repetition_time():
    y = np.cos(np.pi * np.arange(200) / 200 * 6)[:, None]  # a period of 66 or 133 volumes
    X = EEGWindows.from_array(
        np.random.default_rng(0).standard_normal((400, 2, 4)), sfreq=100.0,
        times=np.r_[np.arange(200) + 10.0, 2.0 * np.arange(200) + 10],
        groups=np.repeat([0, 1], 200),
    )  # fmt: skip
    study = make_study(X, np.r_[y, -y], BlockedKFold(2), None)
    draws = draw_surrogates(study, "phase", 1, None, 0)
    trend = draws.trend.reshape(2, 200)
    fast, slow = (abs(np.corrcoef(one, y[:, 0])[0, 1]) for one in trend)
    assert fast < 0.5  # 67 s are no drift
    assert slow > 0.99  # 133 s are


def test_p_values_by_hand():
    draws = np.array([[0.1, 0.5], [0.2, 0.6], [0.3, 0.7], [0.4, 0.8]])
    np.testing.assert_allclose(permutation_p(np.array([0.35, 0.9]), draws), [2 / 5, 1 / 5])
    np.testing.assert_allclose(permutation_p(np.array([0.1, 0.0]), draws), [1, 1])
    # Two shifts to each side: rank m of 5 gives m / 3.
    np.testing.assert_allclose(linear_shift_p(np.array([0.35, 0.9]), draws), [2 / 3, 1 / 3])
    np.testing.assert_allclose(linear_shift_p(np.array([0.1, 0.65]), draws), [1, 1])


# -- the test -----------------------------------------------------------------------------------
@pytest.mark.parametrize("refit", [True, False])
@pytest.mark.parametrize("null", ["swap", "circular", "phase"])
def test_planted_regions_are_found_and_the_others_are_not(null, refit):
    groups, false, missed = np.repeat(np.arange(6), 50), 0, 0
    for seed in range(0, 20, 2):
        X, y = coupled(300, seed=seed)
        result = run(RIDGE, X, y, null=null, refit=refit, groups=groups, cv=LeaveOneGroupOut())
        missed += (result.table["p_max"][:2] > 0.05).sum()
        # Recordings of one length are rolled alike, by 5 to 45 volumes.
        assert result.draws.shape == (41 if null == "circular" else 60, 4)
        false += (result.table["p_max"][2:] <= 0.05).any()
    assert false <= 2  # of ten studies at .05
    assert missed <= (0 if refit else 3)  # of 20; an upper bound of p finds less


def test_the_linear_shift_finds_a_coupling_with_enough_volumes():
    X, y = coupled(600)
    result = run(RIDGE, X, y, null="shift", n_surrogates=200)
    assert result.table["n"].eq(400).all()
    assert (result.table["p_max"][:2] <= 2 / 101).all()
    assert (result.table["p_max"][2:] > 0.05).all()


@pytest.mark.parametrize("null", ["swap", "circular", "phase"])
def test_smooth_noise_is_rejected_at_the_nominal_rate(null):
    """400 regions of noise: a rate of .05 has a standard error of .011."""
    n, groups = 240, np.repeat(np.arange(6), 40)
    X, y = smooth(n, 5, 0.9, seed=3), smooth(n, 400, 0.7, seed=4)
    cv = BlockedKFold(3, gap=4, t_r=1)
    result = run(RIDGE, X, y, null=null, groups=groups, cv=cv, n_surrogates=99)
    assert 0.01 < (result.table["p"] <= 0.05).mean() < 0.1
    assert result.table["p_max"].min() > 0.01


def test_r_is_that_of_the_procedure_centered_in_test_blocks():
    X, y = coupled()
    result = run(RIDGE, X, y, null="phase", n_surrogates=3)
    y_pred, blocks = np.empty_like(y), np.empty(len(y))
    for k, (train, test) in enumerate(CV.split(X)):
        y_pred[test], blocks[test] = RIDGE.fit(X[train], y[train]).predict(X[test]), k
    expected = pearson_r(y, y_pred, blocks=blocks, multioutput="raw_values")
    np.testing.assert_allclose(result.table["r"], expected)


def test_draws_side_by_side_give_what_draws_one_by_one_give():
    X, y = coupled()
    pipeline = Pipeline([("scale", StandardScaler()), ("ridge", Ridge())])
    # The search has one candidate: the same model, but of unknown kind, so it is refitted per draw.
    search = GridSearchCV(pipeline, {"ridge__alpha": [1.0]}, cv=2)
    assert has_independent_targets(pipeline)
    assert not has_independent_targets(search)
    together, alone = (
        run(model, X, y, null="phase", n_surrogates=7) for model in (pipeline, search)
    )
    np.testing.assert_allclose(together.draws, alone.draws, atol=1e-12)
    np.testing.assert_allclose(together.table, alone.table, atol=1e-12)


def test_only_models_that_are_known_treat_their_targets_alone():
    class Mixes(Ridge):
        pass

    class MixesToo(BlockedRidgeCV):
        pass

    assert has_independent_targets(BlockedRidgeCV())
    for model in (Mixes(), MixesToo(), make_pipeline(Mixes()), Ridge(alpha=[1.0, 10.0])):
        assert not has_independent_targets(model)
    # Nor do steps that use BOLD, or that hold something unknown.
    steps = (PLSSVD(), SelectKBest(f_regression), ColumnTransformer([("s", StandardScaler(), [0])]))
    for step in steps:
        assert not has_independent_targets(make_pipeline(step, Ridge()))
        assert may_select(make_pipeline(step, Ridge()))
    X, y = coupled(100)
    result = run(Ridge(alpha=np.array([1.0, 10.0, 1.0, 10.0])), X, y, null="phase", n_surrogates=3)
    assert len(result.table) == 4


def test_a_search_repeats_its_selection_in_every_draw():
    X, y = coupled(100)
    CountingRidge.fits = 0
    search = GridSearchCV(CountingRidge(), {"alpha": [0.1, 1.0, 10.0]}, cv=KFold(2))
    run(search, X, y, null="phase", n_surrogates=4)
    assert CountingRidge.fits == (4 + 1) * 5 * (3 * 2 + 1)
    CountingRidge.fits = 0
    run(search, X, y, null="phase", n_surrogates=4, refit=False)
    assert CountingRidge.fits == 5 * (3 * 2 + 1)


def test_the_words_say_which_null_it_is():
    X, y = coupled(120)
    groups = np.repeat(np.arange(6), 20)
    with_fit = run(RIDGE, X, y, groups=groups, cv=LeaveOneGroupOut(), n_surrogates=9)
    assert with_fit.null == "swap"
    assert with_fit.n_distinct == 265
    study = make_study(X, y, LeaveOneGroupOut(), np.repeat(np.arange(5), 24))
    assert choose_null("auto", study, None) == "phase"
    assert "the BOLD of another recording" in with_fit.question
    assert "selection and fit are repeated" in with_fit.question
    assert "the predictions stay as they are" in run(RIDGE, X, y, refit=False).question
    assert run(RIDGE, X, y).null == "phase"
    assert "p_max" in repr(with_fit)
    assert "<table" in with_fit._repr_html_()


@pytest.mark.parametrize(("null", "of", "share"), [("phase", "n", 1), ("shift", "n / 2", 0.5)])
def test_p_is_what_the_words_say(null, of, share):
    X, y = coupled(120)
    test = run(RIDGE, X, y, null=null, refit=False)
    assert test.question.startswith(
        f"p = (k + 1) / ({of} + 1), where k of the n = {len(test.draws)}"
    )
    k = (test.draws >= test.table["r"].to_numpy() - 1e-9).sum(axis=0)
    expected = np.minimum(1, (k + 1) / (share * len(test.draws) + 1))
    np.testing.assert_allclose(test.table["p"], expected)


def test_the_seed_decides_and_the_number_of_processes_does_not():
    X, y = coupled(100)
    search = GridSearchCV(Ridge(), {"alpha": [0.1, 10.0]}, cv=KFold(2))
    options = {"null": "phase", "n_surrogates": 6}
    one, two = (run(search, X, y, n_jobs=n_jobs, **options) for n_jobs in (1, 2))
    np.testing.assert_array_equal(one.draws, two.draws)
    other = run(search, X, y, random_state=1, **options)
    assert not np.allclose(one.draws, other.draws)


def test_finished_draws_are_found_again(tmp_path):
    X, y = coupled(100)
    search = GridSearchCV(CountingRidge(), {"alpha": [0.1, 10.0]}, cv=KFold(2))
    first = run(search, X, y, null="phase", n_surrogates=4, cache=tmp_path)
    CountingRidge.fits = 0
    again = run(search, X, y, null="phase", n_surrogates=4, cache=tmp_path)
    assert CountingRidge.fits == 0
    np.testing.assert_array_equal(first.draws, again.draws)
    run(search, X, y + 1e-9, null="phase", n_surrogates=4, cache=tmp_path)
    assert CountingRidge.fits > 0


@pytest.mark.parametrize("cached", [False, True])
def test_compare_fits_measured_bold_once_and_finds_what_the_null_test_finds(cached, tmp_path):
    X, y = coupled(100)
    model, options = CountingRidge(), {"null": "phase", "n_surrogates": 4, "cv": CV}
    options["cache"] = tmp_path if cached else None
    CountingRidge.fits = 0
    table = compare(model, X, y, refit=True, verbose=False, **options).table
    assert CountingRidge.fits == 5 * (1 + 4)
    alone = run(model, X, y, **options)
    assert CountingRidge.fits == 5 * (1 + 4) * (1 if cached else 2)
    pooled = table[table["scope"] == "pooled"].set_index("region")
    for column in ("r", "p", "p_max", "null_low", "null_high"):
        np.testing.assert_array_equal(pooled[column], alone.table[column])


def test_a_model_that_never_varies_is_no_finding():
    X, y = coupled()
    result = run(Ridge(1e12), 0 * X, y, null="phase")
    assert (result.table["r"] == 0).all()
    assert (result.table["p"] == 1).all()


# -- what cannot be tested, or not like this ----------------------------------------------------
@pytest.mark.parametrize("trend", [False, True])
def test_stationarity_is_tested_as_statsmodels_does(trend):
    series = np.column_stack([smooth(120, 2), np.cumsum(smooth(120, 1), axis=0)])
    options = {"regression": "ct" if trend else "c", "nlags": "legacy", "result_object": False}
    with pytest.warns(InterpolationWarning):  # beyond the table of p values, which is not used
        expected = [statsmodels_kpss(x, **options)[0] for x in series.T]
    np.testing.assert_allclose(kpss(series, trend=trend), expected)
    assert kpss(np.ones(50), trend=trend) == 0


@pytest.mark.parametrize("null", ["shift", "circular", "phase"])
def test_bold_that_wanders_is_warned_of(null):
    X, y = coupled(200)
    y[:, 1] += np.abs(np.linspace(-9, 9, 200))
    match = r"the KPSS test rejects it for 1 of 4 series \(most for ROI 1 of recording 0: \d"
    with pytest.warns(StationarityWarning, match=match):
        run(RIDGE, X, y, null=null, n_surrogates=40, refit=False, cv=BlockedKFold(3, gap=10, t_r=1))


@pytest.mark.parametrize("null", ["shift", "circular", "phase"])
def test_a_trend_that_draws_move_is_no_stationary_bold(null):
    X, y = coupled(200)
    y[:, 1] += np.linspace(-3, 3, 200)
    options = {"null": null, "n_surrogates": 40, "cv": BlockedKFold(3, gap=10, t_r=1)}
    run(RIDGE, X, y, **options)
    match = r"for 1 of 4 series \(most for ROI 1 of .*; use keep_trend=True"
    with pytest.warns(StationarityWarning, match=match):
        run(RIDGE, X, y, keep_trend=False, **options)


def test_recordings_that_are_not_equally_smooth_are_warned_of_and_others_are_not():
    X, y = smooth(300, 4, 0.9, seed=1), smooth(300, 6, 0.9, seed=2)
    options = {"null": "swap", "n_surrogates": 20, "cv": BlockedKFold(5, gap=20, t_r=1)}
    for lag_one, warned in ((0.9, False), (0.85, False), (0.97, False), (0.5, True)):
        others = [smooth(300, 6, lag_one, seed=k) for k in range(3, 33)]
        if warned:
            match = r"recordings are not equally smooth, .* median [2-5]\.\d"
            with pytest.warns(StationarityWarning, match=match):
                run(RIDGE, X, y, other_bold=others, **options)
        else:
            run(RIDGE, X, y, other_bold=others, **options)
    # In some of the regions.
    y[:, 3:] = smooth(300, 3, 0.5, seed=2)
    others = [smooth(300, 6, 0.5, seed=k) for k in range(3, 33)]
    with pytest.warns(StationarityWarning, match=r"median 1\.\d, highest [23]\.\d in ROI [012]"):
        run(RIDGE, X, y, other_bold=others, **options)
    # Of several recordings that change places, some are smoother.
    X = np.concatenate([smooth(300, 4, 0.9, seed=k) for k in range(6)])
    options |= {"groups": np.repeat(np.arange(6), 300)}
    for lag_one, match in ((0.9, None), (0.2, "recordings are not equally smooth")):
        y = np.concatenate([smooth(300, 6, (0.9, lag_one)[k % 2], seed=k) for k in range(6, 12)])
        with pytest.warns(StationarityWarning, match=match) if match else nullcontext():
            run(RIDGE, X, y, **options)


@pytest.mark.parametrize(("these", "those"), [((0.8, 1.0), (0.8, 1.0)), ((0.9, 0.5), (0.6, 1.0))])
def test_r_of_unrelated_series_scatters_as_their_smoothness_says(these, those):
    pairs = []
    for seed, (rho, share) in enumerate((these, those)):
        series = smooth(2000, 400, rho, seed)
        noise = np.random.default_rng(seed + 9).standard_normal(series.shape)
        pairs.append(np.sqrt(share) * series / series.std() + np.sqrt(1 - share) * noise)
    variance = pearson_r(*pairs, multioutput="raw_values").var() * 2000
    assert scatter_of_r(np.array([these]), np.array([those]))[0] == pytest.approx(variance, rel=0.2)


def test_too_few_draws_to_find_anything_are_warned_of():
    X, y = coupled(100)
    groups = np.repeat([0, 1], 50)
    with pytest.warns(UserWarning, match=r"has only 1 draws here, so p cannot fall below 0\.50"):
        run(RIDGE, X, y, null="swap", groups=groups, cv=LeaveOneGroupOut())


def test_recordings_are_not_swapped_by_themselves_if_one_was_aborted():
    X, y = coupled(640)
    whole, aborted = np.repeat(np.arange(6), 100), np.repeat(np.arange(7), [*[100] * 6, 40])
    for n, groups, null in ((600, whole, "swap"), (640, aborted, "phase")):
        study = make_study(X[:n], y[:n], LeaveOneGroupOut(), groups)
        assert choose_null("auto", study, None) == null


def test_volumes_left_out_of_swaps_are_told():
    X, y = coupled(200)
    groups = np.repeat(np.arange(4), [50, 45, 50, 55])
    swaps = {"null": "swap", "n_surrogates": 5}  # of nine
    with pytest.warns(UserWarning, match="20 of 200 volumes at their ends are left out"):
        result = run(RIDGE, X, y, groups=groups, cv=LeaveOneGroupOut(), refit=False, **swaps)
    assert (result.table["n"] == 180).all()


def test_a_gap_shorter_than_the_model_looks_back_is_warned_of(make_raw):
    raw = make_raw(n_channels=2, duration=140, sfreq=20.0)
    times = 20 + np.arange(60) * 2.0
    X = EEGWindows([raw.get_data()], np.zeros(60, int), times, raw.info, tmin=-16, tmax=0)
    y = smooth(60, 1)
    model = Pipeline([("window", Windower(8.0, 2.0)), ("power", BandPower(None)), ("r", Ridge())])
    assert longest_window(model, X).reach == 10.0
    match = r"share EEG: they are 8 s apart in .* to 10 s \('Pipeline'\); use .*\(gap=10\)"
    with pytest.warns(GapWarning, match=match):
        run(model, X, y, cv=BlockedKFold(3, gap=7.0), refit=False)
    with pytest.warns(GapWarning, match=r"2 s apart in KFold\(.* back up to 10 s \('Pipeline'\)"):
        run(model, X, y, cv=KFold(3), refit=False)
    # What reads no EEG does not look back.
    models = {"mean": make_mean(), "time": make_time_polynomial(), "ridge": model}
    with pytest.warns(GapWarning, match=r"8 s apart in .* back up to 10 s \('ridge'\)"):
        compare(models, X, y, cv=BlockedKFold(3, gap=7.0), null=None, verbose=False)
    # The windows of X are longer, but the model does not read them: no warning.
    run(model, X, y, cv=BlockedKFold(3, gap=10.0), refit=False)
    grid = {"window__delay": [-2.0, 4.0], "window__duration": [6.0, 8.0]}
    search = GridSearchCV(model, grid, cv=BlockedKFold(2, gap=12.0))
    assert longest_window(search, X).reach == 12.0
    assert longest_window(Ridge(), X).reach == 16.0
    unread = clone(search).set_params(estimator__window__duration=60.0, cv=BlockedKFold(2))
    assert longest_window(unread, X).reach == 12.0  # the grid has others
    run(unread, X, y, n_surrogates=1, cv=BlockedKFold(3), refit=False)
    # The gap inside of a search is its own, that of the folds is what align kept.
    inside = clone(search).set_params(cv=BlockedKFold(2, gap=6.0))
    match = r"6 s apart in the search over .* to 12 s \('GridSearchCV'\); use .*\(gap=12\)"
    with (
        pytest.warns(GapWarning, match=match),
        pytest.warns(GapWarning, match="the gap of 6 s is shorter than the 16 s that"),
    ):
        run(inside, X, y, n_surrogates=1, cv=BlockedKFold(3), refit=False)
    ahead = clone(model).set_params(window__duration=None, window__delay=-2.0)
    with (
        pytest.warns(GapWarning, match=r"look back up to 18 s .*; use align with the window"),
        pytest.warns(GapWarning, match=r"\[-16, 2\) s reaches further than that of X"),
    ):
        run(ahead, X, y, n_surrogates=1, cv=BlockedKFold(3), refit=False)
    # A search that chooses next to what it trains on, and one whose windows cannot all be read.
    careless = clone(search).set_params(cv=KFold(2, shuffle=True, random_state=0))
    match = r"choose by KFold\(n_splits=2, .* are neighbors \('GridSearchCV'\)"
    with pytest.warns(GapWarning, match=match):
        run(careless, X, y, n_surrogates=1, cv=BlockedKFold(3), refit=False)
    far = clone(search).set_params(param_grid={"window__duration": [8.0, 60.0]})
    with pytest.raises(ValueError, match=r"window \[-62, -2\) s extends beyond the recording"):
        run(far, X, y, cv=BlockedKFold(3))
    longer = clone(model).set_params(window__duration=18.0)
    with (
        pytest.warns(GapWarning, match=r"look back up to 20 s .*; use align with the window"),
        pytest.warns(GapWarning, match=r"\[-20, -2\) s reaches further than that of X"),
    ):
        run(longer, X, y, n_surrogates=1, cv=BlockedKFold(3), refit=False)
    # Wherever the search is, and whatever a distribution tells of itself.
    scaled = TransformedTargetRegressor(search, transformer=StandardScaler())
    assert longest_window(scaled, X).reach == 12.0
    assert longest_window(Pipeline([("search", search)]), X).reach == 12.0
    for delays, history in ((stats.uniform(0, 4), 12.0), (stats.norm(), 16.0), (Drawn(), 16.0)):
        drawn = RandomizedSearchCV(model, {"window__delay": delays})
        assert longest_window(drawn, X).reach == history


class Drawn:
    """All that RandomizedSearchCV asks of a distribution."""

    def rvs(self, random_state=None):
        return 1.0


def test_shuffled_folds_are_not_called_a_finding():
    """EEG and BOLD are smooth and independent: neighbors in time make them look coupled."""
    X, y = smooth(200, 4, 0.98, seed=1), smooth(200, 2, 0.95, seed=2)
    model, shuffled = KNeighborsRegressor(3), KFold(5, shuffle=True, random_state=0)
    with pytest.raises(ValueError, match="mix training and test volumes"):
        run(model, X, y, cv=shuffled, refit=False, null="phase")
    with pytest.warns(GapWarning, match="mix training and test volumes"):
        result = run(model, X, y, cv=shuffled, null="phase", n_surrogates=39)
    assert result.table["r"].min() > 0.5
    assert (result.table["p_max"] > 0.05).all()  # the null is inflated as much


def test_short_blocks_next_to_training_volumes_are_not_called_a_finding():
    X, y = smooth(200, 10, 0.97), smooth(200, 3, 0.9, seed=1)
    model = KNeighborsRegressor(3)
    short = {"cv": BlockedKFold(40, gap=4.0, t_r=2.0), "null": "phase"}
    y = pd.DataFrame(np.column_stack([np.random.default_rng(1).standard_normal(200), y]))
    y.columns = ["white", "red", "pink", "rose"]
    leaks = r"leaks across .* r = 0\.\d\d in (?:red|pink|rose), \d\.\d standard errors"
    with pytest.raises(ValueError, match=leaks):
        run(model, X, y, refit=False, **short)
    with pytest.warns(GapWarning, match=leaks):
        run(model, X, y, n_surrogates=2, **short)
    # A larger gap, or fewer blocks, leak less: first that is refused, then warned of.
    run(model, X, y, refit=False, cv=BlockedKFold(40, gap=30.0, t_r=2.0), null="phase")
    run(model, X, y, refit=False, cv=BlockedKFold(2, gap=4.0, t_r=2.0), null="phase")
    for cv in (BlockedKFold(40, gap=16.0, t_r=2.0), BlockedKFold(5, gap=4.0, t_r=2.0)):
        with pytest.warns(GapWarning, match=leaks):
            run(model, X, y, refit=False, cv=cv, null="phase")
    # The number itself stands in the table.
    with pytest.warns(GapWarning, match=leaks):
        table = compare(model, X, y, refit=True, n_surrogates=2, verbose=False, **short).table
    pooled = table.query("scope == 'pooled'").set_index("region")
    assert pooled.loc["white", "neighbor_r"] < 0.1 < 0.3 < pooled.loc["red", "neighbor_r"]
    assert pooled.loc["white", "smoothness"] < 0.3 < 0.8 < pooled.loc["red", "smoothness"]
    # Long blocks, or a gap over which BOLD is another, or BOLD that is not smooth: not a word.
    run(model, X, y, refit=False, cv=BlockedKFold(5, gap=10.0, t_r=2.0), null="phase")
    run(model, X, y, refit=False, cv=BlockedKFold(10, gap=40.0, t_r=2.0), null="phase")
    white = np.random.default_rng(1).standard_normal((200, 3))
    white = np.column_stack([white, np.full(200, 1000.1), np.linspace(0, 7, 200)])
    run(model, X, white, refit=False, **short)


def test_close_folds_are_warned_of_whatever_x_is(make_raw):
    y = smooth(200, 1, 0.9)
    with pytest.warns(GapWarning, match="leaks across the folds of BlockedKFold"):
        run(RIDGE, y, y, n_surrogates=1, cv=BlockedKFold(20, gap=0))
    with (
        pytest.warns(GapWarning, match="leaks across the folds of KFold"),
        pytest.warns(GapWarning, match="leave no gap between training and test"),
    ):
        run(RIDGE, y, y, n_surrogates=1, cv=KFold(20))
    raw = make_raw(n_channels=2, duration=440, sfreq=20.0)
    times = 32 + np.arange(200) * 2.0
    X = EEGWindows([raw.get_data()], np.zeros(200, int), times, raw.info, tmin=-30, tmax=0)
    model = Pipeline([("power", BandPower(None)), ("ridge", Ridge())])
    with (
        pytest.warns(GapWarning, match="leaks across the folds"),
        pytest.warns(GapWarning, match=r"share EEG: .* use BlockedKFold\(gap=30\)"),
    ):
        run(model, X, y, n_surrogates=1, cv=BlockedKFold(20, gap=2.0, t_r=2.0))


def test_many_recordings_are_not_refused_for_little_but_warned_of():
    X = np.concatenate([smooth(150, 3, seed=k) for k in range(30)])
    y = np.concatenate([smooth(150, 2, 0.9, seed=100 + k) for k in range(30)])
    groups = np.repeat(np.arange(30), 150)
    cv = BlockedKFold(5, gap=16.0, t_r=2.0)
    options = {"groups": groups, "null": "phase", "n_surrogates": 5}
    with pytest.warns(GapWarning, match=r"could give r = 0\.1\d in ROI \d, \d\.\d standard errors"):
        run(RIDGE, X, y, cv=cv, refit=False, **options)
    # Draws that are fitted have the same advantage, and whole recordings tell nothing.
    run(RIDGE, X, y, cv=cv, **options)
    run(RIDGE, X, y, cv=LeaveOneGroupOut(), refit=False, **options)


@pytest.mark.parametrize(("rho", "share", "n_neighbors"), [(0.8, 1.0, 1), (0.95, 0.4, 10)])
def test_what_neighbors_tell_is_what_a_regression_on_them_finds(rho, share, n_neighbors):
    n, length, apart = 60_000, 6, 2
    noise = np.random.default_rng(2).standard_normal(n)
    slow = smooth(n, 1, rho)[:, 0]
    y = np.sqrt(share) * slow / slow.std() + np.sqrt(1 - share) * noise
    far = apart + n_neighbors - 1
    period = length + 2 * far
    starts = np.arange(far, n - period, period)
    behind = np.arange(apart, far + 1)
    before, after = starts[:, None] - behind, starts[:, None] + length - 1 + behind
    inside = y[starts[:, None] + np.arange(length)]
    outside = np.column_stack([y[before], y[after]])
    inside -= inside.mean(axis=1, keepdims=True)
    told = outside @ np.linalg.lstsq(outside, inside, rcond=None)[0]
    # What as many columns of noise would have explained is no part of it.
    by_chance = outside.shape[1] / len(outside)
    r = np.sqrt(np.corrcoef(told.ravel(), inside.ravel())[0, 1] ** 2 - by_chance)
    folds = [
        (np.concatenate(near), np.arange(start, start + length))
        for *near, start in zip(before[:300], after[:300], starts[:300], strict=True)
    ]
    study = make_study(np.zeros((n, 1)), y, folds, None)
    mixed, blocks = blocks_of_test(study)
    assert not mixed
    assert blocks == [(length, apart, apart)] * 300
    smoothness = fit_smoothness(study.y, study.runs)
    np.testing.assert_allclose(smoothness[1], [[rho, share]], atol=0.03)
    (found,), (n_errors,) = carried_over(smoothness, blocks, 1.0)
    assert found == pytest.approx(r, abs=0.015)
    # r of independent series, as smooth and cut into as many blocks, scatters by found / n_errors.
    blocks = smooth(300 * 20, 200, rho, seed=1)
    noise = np.random.default_rng(3).standard_normal(blocks.shape)
    blocks = np.sqrt(share) * blocks / blocks.std() + np.sqrt(1 - share) * noise
    blocks = blocks.reshape(300, 20, 200)[:, :length]
    blocks = (blocks - blocks.mean(axis=1, keepdims=True)).reshape(-1, 200)
    one, other = blocks[:, :100], blocks[:, 100:]
    chance = (one * other).sum(axis=0) / np.sqrt((one**2).sum(axis=0) * (other**2).sum(axis=0))
    assert found / n_errors == pytest.approx(chance.std(), rel=0.2)


def test_slow_bold_under_white_noise_is_noticed_though_lag_one_says_little():
    rng, groups = np.random.default_rng(0), np.repeat(np.arange(6), 200)
    slow = np.concatenate([smooth(200, 2, 0.95, seed=k) for k in range(6)])
    y = np.sqrt(0.4) * slow / slow.std() + np.sqrt(0.6) * rng.standard_normal(slow.shape)
    X = rng.standard_normal((1200, 3))
    options = {"groups": groups, "null": "phase", "n_surrogates": 5}
    with pytest.warns(GapWarning, match=r"leaks across .* r = 0\.1\d in ROI"):
        run(RIDGE, X, y, cv=BlockedKFold(10, gap=10.0, t_r=2.0), refit=False, **options)


def test_influence_tells_where_few_volumes_decide_r():
    X, y = smooth(240, 4, 0.7, seed=1), smooth(240, 12, 0.7, seed=2)
    options = {"cv": BlockedKFold(5, gap=20.0, t_r=2.0), "null": "circular", "n_surrogates": 99}
    loud = np.where(np.arange(240) % 48 < 8, 3.0, 1.0)[:, np.newaxis]
    usual = run(RIDGE, X, y, refit=False, **options).table["influence"]
    # What is loud in one of them alone decides nothing.
    alone = run(RIDGE, X * loud, y, refit=False, **options).table["influence"]
    both = run(RIDGE, X * loud, y * loud, refit=False, **options).table["influence"]
    assert usual.median() < 1.2
    assert alone.median() < 1.5
    assert both.median() > 2


def leave_two_out():
    """Runs of unequal length, whose names sort otherwise than they come, and folds by row."""
    groups = np.repeat([f"run-{k}" for k in range(1, 13)], np.arange(30, 54, 2))
    return groups, PredefinedSplit(np.unique(groups, return_inverse=True)[1] % 4)


class LearnsRunsApart(RegressorMixin, BaseEstimator):
    """Notices a run that is trained on and tested; the first feature is its number."""

    def fit(self, X, y):
        self.runs_, self.mean_ = set(X[:, 0]), y.mean(axis=0)
        return self

    def predict(self, X):
        assert not self.runs_ & set(X[:, 0])
        return self.mean_ + X[:, 1:2]


@pytest.mark.parametrize("null", ["swap", "shift", "circular", "phase"])
@pytest.mark.filterwarnings("ignore:recordings differ in length")
def test_folds_by_row_number_stay_what_they_are_in_every_null(null):
    groups, cv = leave_two_out()
    X, y = smooth(len(groups), 2), smooth(len(groups), 2, seed=1)
    X[:, 0] = np.unique(groups, return_inverse=True)[1]
    options = {"groups": groups, "null": null, "n_surrogates": 10}
    for folds in (cv, list(cv.split())):
        result = run(LearnsRunsApart(), X, y, cv=folds, **options)
        if null in ("circular", "phase"):  # all volumes take part
            kept = run(LearnsRunsApart(), X, y, cv=folds, refit=False, **options)
            np.testing.assert_allclose(result.table["r"], kept.table["r"])


def test_blocks_given_as_a_list_are_those_of_the_splitter_where_recordings_take_turns():
    both = zip(coupled(100), coupled(100, seed=5), strict=True)
    X, y = (np.stack(recordings, axis=1).reshape(200, -1) for recordings in both)
    groups = np.tile([1, 0], 100)
    cv = BlockedKFold(4, gap=6.0, t_r=2.0)
    folds = list(cv.split(X, groups=groups))
    one, other = (
        run(RIDGE, X, y, cv=c, groups=groups, null="phase", n_surrogates=5).table
        for c in (cv, folds)
    )
    pd.testing.assert_frame_equal(one, other)


def test_shifts_need_some_volumes_and_draws():
    X, y = coupled(40)
    with pytest.raises(
        ValueError, match="needs n_surrogates of at least 2 and recordings of at least 4"
    ):
        run(RIDGE, X, y, null="shift", n_surrogates=1)


def test_draws_that_equal_the_truth_do_not_lose_to_it_by_rounding():
    X, y = coupled(60)
    # Recordings that are the same but for their scale, which draws take from their place.
    X, groups = np.tile(X, (5, 1)), np.repeat(np.arange(5), 60)
    y = np.concatenate([scale * y for scale in (1.0, 1.1, 1.2, 1.3, 1.4)])
    swaps = {"null": "swap", "n_surrogates": 50}
    result = run(RIDGE, X, y, groups=groups, cv=LeaveOneGroupOut(), **swaps)
    assert result.null == "swap"
    assert (result.table["p"] == 1).all()


@pytest.mark.parametrize("null", ["swap", "phase"])
@pytest.mark.parametrize(
    "cv", [BlockedKFold(2, gap=2, t_r=1), BlockedKFold(5, gap=5, t_r=1), LeaveOneGroupOut()]
)
def test_kept_predictions_find_no_more_than_chance_in_any_cross_validation(cv, null):
    """A ridge with many features, whose r scatters most beside what its predictions tell."""
    false = 0
    for seed in range(60):
        X, y = smooth(240, 30, 0.5, seed=seed), smooth(240, 3, 0.5, seed=1000 + seed)
        options = {"groups": np.repeat(np.arange(6), 40), "null": null, "n_surrogates": 99}
        result = run(Ridge(30.0), X, y, cv=cv, refit=False, **options)
        false += (result.table["p_max"] <= 0.05).any()
    assert false <= 7  # of 60 studies at .05


def test_many_folds_of_models_that_select_are_warned_of_where_predictions_are_kept():
    rng, select = np.random.default_rng(0), make_pipeline(SelectKBest(f_regression, k=1), Ridge())
    X, y = rng.standard_normal((200, 20)), rng.standard_normal(200)
    many, few = BlockedKFold(10, gap=0), BlockedKFold(9, gap=0)
    match = r"with 10 folds for models that may select features using BOLD \('Pipeline'\)"
    with pytest.warns(UserWarning, match=match):
        run(select, X, y, cv=many, refit=False)
    models = {"select": select, "ridge": RIDGE, "trees": RandomForestRegressor(2)}
    with pytest.warns(UserWarning, match=r"may select features using BOLD \('select', 'trees'\)"):
        compare(models, X, y, cv=many, n_surrogates=20, verbose=False)
    run(select, X, y, cv=few, refit=False)
    run(select, X, y, cv=many, n_surrogates=5)
    compare(select, X, y, cv=many, null=None, verbose=False)
    # What is linear in BOLD, searches of few, and the models of this package.
    search = GridSearchCV(Ridge(), {"alpha": [1, 9]}, cv=few)
    for model in (None, make_pipeline(StandardScaler(), search), BlockedRidgeCV()):
        for whole in (model or RIDGE, TransformedTargetRegressor(model)):
            run(whole, X, y, cv=many, refit=False, n_surrogates=5)
    chosen = {name for name, rival in make_baselines(duration=8.0).items() if may_select(rival)}
    assert chosen == {"eeg_fingerprint"}
    assert not may_select(make_eegnet())
    assert may_select(GridSearchCV(select, {"selectkbest__k": [1, 2]}))
    assert may_select(MultiOutputRegressor(select))
    assert not may_select(MultiOutputRegressor(Ridge()))


class BestFeature(RegressorMixin, BaseEstimator):
    """Regression on the feature that goes with BOLD best, for every region."""

    def fit(self, X, y):
        self.mean_ = X.mean(axis=0), y.mean(axis=0)
        X, y = X - self.mean_[0], y - self.mean_[1]
        slopes = X.T @ y
        best = np.abs(slopes / np.linalg.norm(X, axis=0)[:, np.newaxis]).argmax(axis=0)
        self.coef_ = np.zeros_like(slopes)
        self.coef_[best, range(y.shape[1])] = 1.0
        self.coef_ *= slopes
        return self

    def predict(self, X):
        return self.mean_[1] + (X - self.mean_[0]) @ self.coef_


@pytest.mark.filterwarnings("ignore:.* may select features using BOLD")
def test_a_selection_finds_too_much_in_many_folds_but_not_where_draws_select_as_well():
    found = {False: [], True: []}
    for seed in range(30):
        X, y = np.split(np.random.default_rng(seed).standard_normal((300, 70)), [60], axis=1)
        for refit in (False, True):
            options = {"cv": BlockedKFold(20, gap=0), "n_surrogates": 19, "random_state": seed}
            result = run(BestFeature(), X, y, refit=refit, **options)
            found[refit].append((result.table["p"] <= 0.05).mean())
    assert np.mean(found[True]) < 0.075 < np.mean(found[False])


@pytest.mark.filterwarnings("ignore:.*leave no gap:sklearn_beira.exceptions.GapWarning")
def test_volumes_that_are_not_tested_are_not_counted():
    X, y = coupled(200)
    holdout = PredefinedSplit(np.where(np.arange(200) < 150, -1, 0))
    for refit in (True, False):
        result = run(RIDGE, X, y, cv=holdout, null="phase", refit=refit)
        assert result.table["n"].eq(50).all()
    # One fold, whose BOLD no model was trained on: nothing to widen.
    study = make_study(X, y, holdout, None)
    bold = draw_surrogates(study, "phase", 60, None, 0).bold(7)[150:]
    y_pred = clone(RIDGE).fit(X[:150], y[:150]).predict(X[150:])
    r = pearson_r(bold, y_pred, multioutput="raw_values")
    np.testing.assert_allclose(result.draws[7], r, atol=1e-6)


@pytest.mark.filterwarnings("ignore:.*leave no gap:sklearn_beira.exceptions.GapWarning")
def test_folds_that_do_not_learn_from_each_other_are_not_widened():
    X, y = coupled(120)
    for cv, expected in ((CV, True), (TimeSeriesSplit(4), False), (LeaveOneGroupOut(), True)):
        study = make_study(X, y, cv, np.repeat([0, 1, 2], 40))
        assert study.is_cross_validated(study.tested) == expected
    assert not study.is_cross_validated(np.arange(40))  # one recording, left out as a whole


@pytest.mark.parametrize("slope", [0.0, 3.0, -3.0])
def test_draws_are_widened_where_bold_is_learned_from_and_tested_against(slope):
    """Around their mean, which drifts of EEG and BOLD, that stay in place, move away from 0."""
    X, y = coupled(200)
    X += np.linspace(-2, 2, 200)[:, None]
    y += slope * np.linspace(-1, 1, 200)[:, None]
    result = run(RIDGE, X, y, null="phase", refit=False)
    study = make_study(X, y, CV, None)
    draws = draw_surrogates(study, "phase", 60, None, 0)
    y_pred = np.empty_like(y)
    for train, test in CV.split(X):
        y_pred[test] = clone(RIDGE).fit(X[train], y[train]).predict(X[test])
    options = {"blocks": study.blocks, "multioutput": "raw_values"}
    z = np.arctanh([pearson_r(draws.bold(k), y_pred, **options) for k in range(60)])
    expected = z.mean(axis=0) + np.sqrt(2) * (z - z.mean(axis=0))
    np.testing.assert_allclose(np.arctanh(result.draws), expected, atol=2e-6)


@pytest.mark.parametrize("keep_trend", [True, False])
@pytest.mark.parametrize("null", [*NULLS, "others"])
def test_surrogates_are_scored_for_some_regions_at_a_time_as_one_by_one(null, keep_trend):
    rng = np.random.default_rng(0)
    n_rois, groups = 1000, np.repeat(np.arange(6), [50, 50, 53, 50, 60, 50])
    y = 1e4 + 20.0 * smooth(len(groups), n_rois) + groups[:, None]
    y[:, 3] = 7.0  # does not vary
    y_pred = smooth(len(y), n_rois, seed=1)
    y_pred[:, 4] = 0.1
    # A fold without test volumes of recording 0, and recordings whose rows are not in order.
    order = rng.permutation(len(y))
    y[order, 5] = 1e4 + 50.0 * pd.Series(groups[order]).groupby(groups[order]).cumcount()  # a line
    study = make_study(y_pred[order, :2], y[order], LeaveOneGroupOut(), groups[order])
    study.folds = study.folds[1:]
    study.__post_init__()
    y_pred = np.where(study.blocks[:, None] >= 0, y_pred[order], np.nan)
    others = [20.0 * smooth(80, n_rois, seed=k) for k in range(7)] if null == "others" else None
    null = "swap" if null == "others" else null
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        draws = draw_surrogates(study, null, 30, others, 0, keep_trend)
    with threadpool_limits(2):
        r, null_r = score_draws(study, y_pred, draws)
    with threadpool_limits(1):
        np.testing.assert_array_equal(null_r, score_draws(study, y_pred, draws)[1])
    rows = draws.rows[study.blocks[draws.rows] >= 0]
    use = np.isin(draws.rows, rows)
    options = {"blocks": study.blocks[rows], "multioutput": "raw_values"}
    np.testing.assert_allclose(r, pearson_r(study.y[rows], y_pred[rows], **options), atol=1e-12)
    one_by_one = [
        pearson_r(draws.bold(k)[use], y_pred[rows], **options) for k in range(draws.n_surrogates)
    ]
    z = np.arctanh(one_by_one)
    expected = np.tanh(z.mean(axis=0) + np.sqrt(2) * (z - z.mean(axis=0)))
    np.testing.assert_allclose(null_r, expected, atol=2e-6)
    p = draws.p_value(r, null_r)
    assert p[4] == 1
    assert not keep_trend or (p[[3, 5]] == 1).all()


def test_bursts_in_bold_are_warned_of_and_only_they():
    rng = np.random.default_rng(0)
    X, y = smooth(300, 3, 0.5, seed=0), smooth(300, 4, 0.5, seed=1)
    run(RIDGE, X, y, null="phase", n_surrogates=9)
    y[rng.choice(300, 6, replace=False), 2] += 12.0
    with pytest.warns(StationarityWarning, match="that of ROI 2 has an excess kurtosis of"):
        run(RIDGE, X, y, null="phase", n_surrogates=9)


def test_what_cannot_be_two_recordings_is_refused():
    X, y = coupled(120)
    groups, twice = np.repeat(np.arange(2), 60), np.tile(y[:60], (2, 1))
    with pytest.raises(ValueError, match="recordings 0 and 1 have the same BOLD"):
        run(RIDGE, X, twice, groups=groups)
    others = [smooth(120, y.shape[1], 0.5, seed=k) for k in range(6)]
    with pytest.raises(ValueError, match=r"other_bold\[1\] and other_bold\[6\] are the same BOLD"):
        run(RIDGE, X, y, other_bold=[*others, 3.0 * others[1] + 7.0])


def test_groups_that_are_pieces_of_a_recording_are_warned_of_and_recordings_are_not():
    X, y = smooth(300, 4, 0.9, seed=0), smooth(300, 2, 0.9, seed=1)
    groups = np.repeat(np.arange(20), 15)
    with pytest.warns(GapWarning, match="BOLD continues across their 19 borders"):
        run(RIDGE, X, y, groups=groups, cv=GroupKFold(5), null="swap")
    for seed in range(20):
        y = np.concatenate([smooth(15, 3, 0.9, seed=100 * seed + k) for k in range(20)])
        y[::40] += 30.0 * (seed % 2)  # bursts
        y[:, 2] = 0.1 if seed % 3 else y[:, 2]
        run(RIDGE, X, y, groups=groups, cv=GroupKFold(5), null="swap", n_surrogates=20)


@pytest.mark.parametrize("length", [1, 10])
def test_conditions_within_a_recording_are_no_recordings(length):
    X, y = smooth(240, 4, 0.9, seed=0), smooth(240, 3, 0.9, seed=1)
    groups = np.arange(240) // length % 2
    options = {"groups": groups, "cv": LeaveOneGroupOut(), "null": "phase", "n_surrogates": 5}
    with pytest.warns(GapWarning, match=r"BOLD continues across their \d+ borders"):
        run(RIDGE, X, y, **options)
    # Recordings whose rows come in turn.
    for seed in range(10):
        for k in (0, 1):
            y[groups == k] = smooth(120, 3, 0.9, seed=2 * seed + k) + 9 * k
        run(RIDGE, X, y, **options)


def test_a_recording_of_one_volume_and_a_region_that_is_a_line_can_be_swapped():
    y, groups = smooth(121, 2, 0.5), np.repeat(np.arange(5), [30, 30, 30, 30, 1])
    y[:, 1] = np.arange(121) % 30
    others = [smooth(60, 2, 0.5, seed=k) for k in range(1, 21)]
    options = {"groups": groups, "cv": GroupKFold(4), "null": "swap", "other_bold": others}
    result = run(RIDGE, smooth(121, 3, seed=30), y, **options)
    assert np.isfinite(result.draws).all()


def test_tables_whose_index_says_that_they_are_shuffled_are_refused():
    X, y = coupled(120)
    X, y = pd.DataFrame(X), pd.DataFrame(y)
    order = np.random.default_rng(0).permutation(120)
    with pytest.raises(ValueError, match="the same index in another order"):
        run(RIDGE, X, y.iloc[order])
    with pytest.raises(ValueError, match="rows are not in order of time"):
        run(RIDGE, X.iloc[order], y.iloc[order])
    plain = run(RIDGE, X, y)
    for index in (np.arange(120) * 2.0, [f"volume {k}" for k in order], np.r_[:60, :60]):
        again = run(RIDGE, X.set_axis(index), y.set_axis(index))
        np.testing.assert_allclose(again.draws, plain.draws, atol=1e-12)


def test_a_model_that_is_not_fitted_anew_is_warned_of():
    X, y = coupled(120)
    with pytest.warns(UserWarning, match="holds a fitted Ridge"):
        run(FrozenEstimator(Ridge().fit(X, y)), X, y)
    with pytest.warns(UserWarning, match="holds a fitted Ridge"):
        run(CalibratedRegressor(Ridge().fit(X, y), weights=(1, 0)), X, y)


def test_a_recording_that_is_there_twice_is_refused(make_raw):
    eeg, times = make_raw(n_channels=2, duration=140, sfreq=20.0), 20 + np.arange(60) * 2.0
    groups, times = np.repeat([0, 1], 60), np.tile(times, 2)
    X = EEGWindows([eeg.get_data()] * 2, groups, times, eeg.info, tmin=-16, tmax=0)
    with pytest.raises(ValueError, match="recordings 0 and 1 hold the same EEG"):
        run(make_pipeline(BandPower(None), Ridge()), X, smooth(120, 1), cv=BlockedKFold(3))


def test_copies_between_subjects_are_refused_by_name_even_if_they_were_cut(make_raw):
    raws = [make_raw(n_channels=2, duration=140, sfreq=20.0, random_state=k) for k in range(3)]
    eegs = [raw.get_data() for raw in raws]
    eegs[2] = eegs[0][:, 300:].copy()
    times, who = np.tile(20 + np.arange(50) * 2.0, 3), np.repeat(["ann", "bob", "cid"], 50)
    y = smooth(150, 2, 0.5)
    params = {"tmin": -16, "tmax": 0}

    def study(eegs, y):
        X = EEGWindows(eegs, np.repeat([0, 1, 2], 50), times, raws[0].info, **params)
        return make_study(X, y, LeaveOneGroupOut(), None, who)

    message = r"recordings 0 \(subject ann\) and 2 \(subject cid\) hold the same EEG; give each"
    with pytest.raises(ValueError, match=message):
        study(eegs, y)
    eegs[2] = raws[2].get_data()
    study(eegs, y)
    y[107:150] = y[50:93]  # the first volumes were dropped
    message = r"recordings 1 \(subject bob\) and 2 \(subject cid\) have the same BOLD"
    with pytest.raises(ValueError, match=message):
        study(eegs, y)


def test_rows_without_a_gap_are_warned_of_and_models_that_are_none_refused():
    X, y = coupled(100)
    with pytest.warns(GapWarning, match="leave no gap between training and test"):
        run(RIDGE, X, y, cv=KFold(5), null="phase", n_surrogates=5)
    for model, found in ((Ridge, "Ridge"), ("ridge", "'ridge'"), (lambda: RIDGE, "function")):
        with pytest.raises(TypeError, match=f"must be a scikit-learn regressor, got .*{found}"):
            run(model, X, y)
    with pytest.raises(ValueError, match=r"other_bold\[0\] must hold finite BOLD of the 4 region"):
        run(RIDGE, X, y, other_bold=y)
    with pytest.raises(ValueError, match=r"other_bold\[1\] is the BOLD of y itself"):
        run(RIDGE, X, y, other_bold=[smooth(100, 4), y])


def test_no_draw_counts_twice():
    X, y = coupled(60)
    result = run(RIDGE, X, y, null="circular", n_surrogates=200)
    assert len(result.draws) == result.n_distinct == 49
    others = [smooth(80, 4, seed=k) for k in range(9)]
    result = run(RIDGE, X, y, other_bold=others, n_surrogates=200)
    # Four stretches of each: those that begin a few volumes apart are nearly the same.
    assert len(result.draws) == result.n_distinct == 36
    assert len(np.unique(result.draws[:, 0])) == 36
    with (
        pytest.warns(UserWarning, match=r"holds only 2 stretch\(es\) of 60 volumes that do not"),
        pytest.warns(UserWarning, match=r"has only 8 draws here, so p cannot fall below 0\.11"),
    ):
        run(RIDGE, X, y, other_bold=others[:2], n_surrogates=50)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"null": "swap"}, "needs several recordings, or BOLD of others"),
        ({"null": None}, r"null must be 'auto' or one of swap, .*, got None"),
        ({"null": "shuffle"}, "null must be 'auto' or one of swap, shift, circular, phase"),
        ({"null": "phase", "other_bold": [np.zeros((99, 4))]}, "other_bold is for null='swap'"),
        (
            {"other_bold": [np.zeros((99, 3))]},
            r"other_bold\[0\] must hold finite BOLD of the 4",
        ),
        ({"other_bold": [np.zeros((99, 4))]}, "none of other_bold has the 100 volumes"),
        ({"confidence_level": 95}, "confidence_level must lie between 0 and 1, got 95"),
        ({"n_surrogates": 0}, "n_surrogates must be an integer of at least 1, got 0"),
        ({"cv": ShuffleSplit(3, random_state=0)}, "tests some volumes twice"),
        ({"groups": [0, 1]}, "groups must hold one label for each of the"),
    ],
    ids=str,
)
def test_what_cannot_be_tested_is_refused(options, message):
    X, y = coupled(100)
    with pytest.raises(ValueError, match=message):
        run(RIDGE, X, y, **options)
    with pytest.raises(ValueError, match=r"Input y contains NaN or infinity in ROI 0, "):
        run(RIDGE, X, np.where(y > 1, np.nan, y))


def test_shuffled_rows_of_several_recordings_are_refused():
    rng = np.random.default_rng(0)
    X, runs = rng.standard_normal((60, 3)), np.repeat([0, 1], 30)
    volumes = np.tile(np.arange(30), 2)
    index = pd.MultiIndex.from_arrays([runs, volumes], names=["recording", "volume"])
    order = rng.permutation(60)
    for labels, groups in ((index, None), (index, runs), (pd.Index(volumes), runs)):
        y = pd.DataFrame(rng.standard_normal((60, 1)), index=labels)
        options = {"cv": BlockedKFold(3, gap=1, t_r=1), "n_surrogates": 19, "verbose": False}
        compare(Ridge(), X, y, groups=groups, **options)
        groups = None if groups is None else groups[order]
        with pytest.raises(ValueError, match="the index says that rows are not in order of time"):
            compare(Ridge(), X[order], y.iloc[order], groups=groups, **options)


def test_times_that_start_again_without_groups_are_refused():
    rng = np.random.default_rng(0)
    eeg, times = rng.standard_normal((60, 2, 50)), np.tile(20 + 2.0 * np.arange(30), 2)
    X = EEGWindows.from_array(eeg, 100.0, times=times)
    with pytest.raises(ValueError, match=r"several rows at one time.*apart with groups"):
        compare(DummyRegressor(), X, rng.standard_normal((60, 1)), n_surrogates=19)


def test_pieces_of_a_recording_are_no_groups_of_epoched_eeg():
    rng = np.random.default_rng(0)
    y = lfilter([1], [1, -0.95], rng.standard_normal((200, 1)), axis=0)
    times, pieces = 20 + 2.0 * np.arange(200), np.repeat(np.arange(20), 10)
    eeg = rng.standard_normal((200, 2, 50))
    X = EEGWindows.from_array(eeg, 100.0, times=times, groups=pieces)
    with pytest.warns(GapWarning, match="BOLD continues across their 19 borders"):
        compare(DummyRegressor(), X, y, cv=LeaveOneGroupOut(), null=None, verbose=False)


class NaNRidge(Ridge):
    """Predicts NaN for BOLD with small values."""

    def fit(self, X, y):
        self.fails_ = np.min(y) < 0.1
        return super().fit(X, y)

    def predict(self, X):
        return super().predict(X) * (np.nan if self.fails_ else 1.0)


def test_a_model_that_fails_on_surrogates_has_no_p():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((60, 3)), np.abs(rng.standard_normal((60, 1))) + 0.1
    with pytest.raises(ValueError, match=r"predicts NaN .* for .* of 19 surrogates"):
        null_test(NaNRidge(), X, y, cv=BlockedKFold(3, gap=1, t_r=1), n_surrogates=19)


def test_a_frozen_selection_that_is_not_repeated_in_the_folds_is_told():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((60, 30)), rng.standard_normal(60)
    options = {"cv": BlockedKFold(3, gap=1, t_r=1), "n_surrogates": 19, "verbose": False}
    chosen = FrozenEstimator(SelectKBest(f_regression, k=3).fit(X, y))
    with pytest.warns(UserWarning, match="holds a fitted SelectKBest, which is not fitted in the"):
        compare(make_pipeline(chosen, Ridge()), X, y, **options)
    scaled = FrozenEstimator(make_pipeline(StandardScaler(), PCA(3)).fit(X))  # which read no BOLD
    compare(make_pipeline(scaled, Ridge()), X, y, **options)


def test_two_people_who_learn_from_each_other_have_no_interval_and_no_p():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((120, 3)), rng.standard_normal((120, 2))
    for n_people, is_known in ((2, False), (3, True)):
        people = np.repeat(np.arange(n_people), 120 // n_people)
        found = compare(
            {"ridge": Ridge(), "mean": DummyRegressor()}, X, y, cv=LeaveOneGroupOut(),
            groups=people, subjects=people, null=None, verbose=False,
        )  # fmt: skip
        group = found.table[(found.table["scope"] == "group") & (found.table["model"] == "ridge")]
        known = group[["ci_low", "ci_high", "p_parametric"]].notna().to_numpy()
        assert (known == is_known).all()
        assert group["r"].notna().all()


def test_a_person_of_two_volumes_does_not_decide_the_mean_of_the_group():
    rng = np.random.default_rng(0)
    people = np.repeat(np.arange(4), [50, 50, 50, 2])
    X, y = rng.standard_normal((152, 3)), rng.standard_normal((152, 1))
    with pytest.warns(UserWarning, match="at most 3 volumes are left out of the group: 3"):
        found = compare(
            Ridge(), X, y, cv=LeaveOneGroupOut(), groups=people, subjects=people, null=None,
            verbose=False,
        )  # fmt: skip
    group = found.table[found.table["scope"] == "group"].iloc[0]
    assert group["n"] == 3
    assert abs(group["r"]) < 0.3
