"""Scores against scipy and scikit-learn, region by region; effective n against closed forms."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.signal import lfilter
from scipy.stats import norm, pearsonr, ttest_1samp
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.metrics import mean_squared_error, r2_score
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score, cross_validate

from sklearn_beira.evaluation.effective_n import bartlett_n, centering_effect
from sklearn_beira.evaluation.metrics import (
    effective_n,
    group_scores,
    pearson_r,
    pearson_r_scorer,
    r_interval,
    r_p_value,
    region_scorers,
    region_scores,
)

METHODS = ("bartlett", "xdf")


def ar_pairs(a, b, n_volumes, n_pairs, r=0.0, random_state=0):
    """Pairs of AR(1) series with correlation r."""
    common = r * (1 - a * b) / np.sqrt((1 - a**2) * (1 - b**2))
    rng = np.random.default_rng(random_state)
    first, second = rng.standard_normal((2, n_volumes + 100, n_pairs))
    second = common * first + np.sqrt(1 - common**2) * second
    return lfilter([1], [1, -a], first, axis=0)[100:], lfilter([1], [1, -b], second, axis=0)[100:]


@pytest.fixture
def y():
    """BOLD of three regions and a prediction of it."""
    rng = np.random.default_rng(0)
    true = rng.standard_normal((40, 3)).cumsum(axis=0) * [1.0, 1e-6, 1e6] + [0.0, 5.0, -1e8]
    return true, true @ rng.standard_normal((3, 3)) + rng.standard_normal((40, 3))


def test_it_is_scipys_correlation_of_each_region(y):
    expected = [pearsonr(t, p).statistic for t, p in zip(*(a.T for a in y), strict=True)]
    found = pearson_r(*y, multioutput="raw_values")
    np.testing.assert_allclose(found, expected, rtol=1e-7)
    assert pearson_r(*y) == pytest.approx(np.mean(expected))
    assert isinstance(pearson_r(*y), float)
    assert pearson_r(*y, multioutput=[1, 0, 3]) == pytest.approx(
        (expected[0] + 3 * expected[2]) / 4
    )
    tables = [pd.DataFrame(a) for a in y]
    np.testing.assert_allclose(pearson_r(*tables, multioutput="raw_values"), found)


def test_one_region_may_be_flat(y):
    true, pred = y[0][:, 0], y[1][:, 0]
    expected = pearsonr(true, pred).statistic
    for a in (true, true[:, None], true.tolist()):
        for b in (pred, pred[:, None]):
            assert pearson_r(a, b) == pytest.approx(expected)
            assert pearson_r(a, b, multioutput="raw_values").shape == (1,)


def test_scale_and_offset_do_not_count_and_the_sign_does(y):
    true = y[0]
    np.testing.assert_allclose(pearson_r(true, 3 * true - 7, multioutput="raw_values"), 1.0)
    np.testing.assert_allclose(pearson_r(true, 1 - true, multioutput="raw_values"), -1.0)
    extreme = np.array([1.0, -1.0, 1.0, -1.0])
    assert pearson_r(extreme, extreme) == 1.0  # and never 1.0000000000000002


@pytest.mark.parametrize("constant", [0.0, 1.0, 0.1, -1e8, 1e-12])
def test_a_constant_series_gives_zero(y, constant):
    true, pred = y[0].copy(), y[1].copy()
    pred[:, 1] = constant
    true[:, 2] = constant
    r = pearson_r(true, pred, multioutput="raw_values")
    assert r[0] != 0
    np.testing.assert_array_equal(r[1:], 0)
    assert pearson_r(np.full(7, constant), np.full(7, constant)) == 0
    assert pearson_r(np.full(1, constant), np.ones(1)) == 0


def test_the_scorer_works_in_searches():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 4))
    y = X @ rng.standard_normal((4, 2)) + rng.standard_normal((60, 2))
    scores = cross_val_score(Ridge(), X, y, cv=KFold(3), scoring=pearson_r_scorer)
    expected = [
        np.mean(
            [
                pearsonr(y[b, i], Ridge().fit(X[a], y[a]).predict(X[b])[:, i]).statistic
                for i in range(2)
            ]
        )
        for a, b in KFold(3).split(X)
    ]
    np.testing.assert_allclose(scores, expected)
    search = GridSearchCV(Ridge(), {"alpha": [1.0, 1e6]}, scoring=pearson_r_scorer, cv=3).fit(X, y)
    assert search.best_score_ == pytest.approx(search.cv_results_["mean_test_score"].max())
    assert search.score(X, y) == pytest.approx(pearson_r(y, search.predict(X)))
    dummy = cross_val_score(DummyRegressor(), X, y, scoring=pearson_r_scorer)
    np.testing.assert_array_equal(dummy, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_pred": np.ones((5, 3))}, "y_true has 2 region.* but y_pred has 3"),
        ({"y_pred": np.ones((4, 2))}, "inconsistent numbers of samples"),
        ({"y_pred": np.full((5, 2), np.nan)}, "y_pred contains NaN"),
        ({"y_true": np.full((5, 2), np.inf)}, "y_true contains infinity"),
        ({"y_true": np.ones((5, 2, 2))}, "dim 3"),
        ({"y_true": np.ones((0, 2)), "y_pred": np.ones((0, 2))}, "0 sample"),
        (
            {"multioutput": "variance_weighted"},
            "multioutput must be 'uniform_average', 'raw_values'",
        ),
        ({"multioutput": [1, 2, 3]}, "one weight of at least 0 for each of the 2 regions"),
        ({"multioutput": [1, -1]}, "one weight of at least 0 for each of the 2 regions"),
        ({"multioutput": [0, 0]}, "not zeros alone"),
        ({"multioutput": [np.nan, 1]}, "one weight of at least 0 for each"),
    ],
    ids=str,
)
def test_wrong_input_is_refused(change, message):
    rng = np.random.default_rng(0)
    arguments = {"y_true": rng.standard_normal((5, 2)), "y_pred": rng.standard_normal((5, 2))}
    with pytest.raises(ValueError, match=message):
        pearson_r(**{**arguments, **change})


# -- blocks ---------------------------------------------------------------------------------------
def test_blocks_are_centered_before_they_are_pooled(y):
    true, pred = y[0][:, :1], y[1][:, :1]
    blocks = np.repeat([0, 1, 2], [10, 25, 5])
    centered = [
        np.concatenate([a[blocks == b] - a[blocks == b].mean() for b in range(3)])[:, 0]
        for a in (true, pred)
    ]
    expected = pearsonr(*centered).statistic
    assert pearson_r(true, pred, blocks=blocks) == pytest.approx(expected, rel=1e-10)
    assert abs(pearson_r(true, pred) - expected) > 0.01
    one = pearson_r(true, pred, blocks=np.zeros(40))
    assert one == pytest.approx(pearson_r(true, pred))


@pytest.mark.parametrize("score", [pearson_r, effective_n])
def test_offsets_order_and_names_of_blocks_do_not_count(score):
    x, y = ar_pairs(0.8, 0.6, 90, 3, r=0.4)
    blocks = np.repeat([0, 1, 2], [30, 40, 20])
    arguments = {"multioutput": "raw_values"} if score is pearson_r else {}
    expected = score(x, y, blocks=blocks, **arguments)
    offsets = np.array([0.0, 50.0, -7.0])[blocks][:, np.newaxis]
    shifted = score(x + offsets, y - 3 * offsets, blocks=blocks, **arguments)
    np.testing.assert_allclose(shifted, expected, rtol=1e-9)
    whole_blocks = np.concatenate([np.flatnonzero(blocks == b) for b in (2, 0, 1)])
    # Rows of different blocks may be mixed, as long as each block keeps its order.
    mixed = np.argsort(np.concatenate([np.arange(n) for n in (30, 40, 20)]), kind="stable")
    for rows in (whole_blocks, mixed):
        found = score(x[rows], y[rows], blocks=blocks[rows], **arguments)
        np.testing.assert_allclose(found, expected, rtol=1e-9)
    for names in (np.array(["run-b", "run-a", "c"])[blocks], pd.Series([1.5, -2, 9])[blocks]):
        np.testing.assert_allclose(score(x, y, blocks=names, **arguments), expected, rtol=1e-9)
    regions = [2, 0, 1]
    found = score(x[:, regions], y[:, regions], blocks=blocks, **arguments)
    np.testing.assert_allclose(found, expected[regions], rtol=1e-9)


def test_a_prediction_constant_in_each_block_scores_zero():
    rng = np.random.default_rng(0)
    blocks = np.repeat([0, 1, 2], 20)
    level = np.array([0.1, -3.3, 1e4])[blocks]
    y = level + rng.standard_normal(60)
    assert pearson_r(y, level) > 0.9
    assert pearson_r(y, level, blocks=blocks) == 0
    assert pearson_r(y, level, blocks=np.arange(60)) == 0  # nothing is left of single volumes


def test_thousands_of_columns_equal_column_by_column():
    rng = np.random.default_rng(0)
    true, pred = rng.standard_normal((2, 60, 3000)).cumsum(axis=1)
    blocks = rng.integers(4, size=60)
    r = pearson_r(true, pred, blocks=blocks, multioutput="raw_values")
    n_eff = effective_n(true, pred, blocks=blocks)
    for i in (0, 1234, 2999):
        assert pearson_r(true[:, i], pred[:, i], blocks=blocks) == pytest.approx(r[i])
        assert effective_n(true[:, i], pred[:, i], blocks=blocks) == pytest.approx(n_eff[i])


# -- effective n ----------------------------------------------------------------------------------
@pytest.mark.parametrize("method", METHODS)
def test_white_noise_keeps_all_its_volumes(method):
    x, y = ar_pairs(0, 0, 500, 200)
    assert np.median(effective_n(x, y, method=method)) == pytest.approx(500, rel=0.02)
    blocks = np.arange(500) // 20
    n_eff = effective_n(x, y, blocks=blocks, method=method)
    assert np.median(n_eff) == pytest.approx(500 - 25 + 1, rel=0.02)  # a mean lost per block
    assert n_eff.max() <= 500 - 25 + 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("a", "b"), [(0.5, 0.5), (0.75, 0.75), (0.9, 0.5), (0.6, -0.6)])
def test_ar_pairs_have_bartletts_effective_n(a, b, method):
    n_volumes = 3000
    expected = min(n_volumes * (1 - a * b) / (1 + a * b), n_volumes)
    n_eff = effective_n(*ar_pairs(a, b, n_volumes, 50), method=method)
    np.testing.assert_allclose(np.median(n_eff), expected, rtol=0.06)


@pytest.mark.parametrize("n_blocks", [1, 4])
@pytest.mark.parametrize("r", [0.0, 0.5])
def test_it_foretells_the_spread_of_r(n_blocks, r):
    x, y = ar_pairs(0.8, 0.8, 160, 1500, r=r)
    blocks = np.arange(160) * n_blocks // 160
    seen = np.arctanh(pearson_r(x, y, blocks=blocks, multioutput="raw_values")).std()
    foretold = 1 / np.sqrt(np.median(effective_n(x, y, blocks=blocks)) - 3)
    assert foretold == pytest.approx(seen, rel=0.08)
    assert seen > 1.5 / np.sqrt(160 - 3)


def test_a_common_slow_part_under_white_noise_makes_xdf_less_than_bartlett():
    # Here the cross-correlations raise the variance of r, which Bartlett's formula cannot know.
    slow, _ = ar_pairs(0.9, 0, 400, 800)
    slow = slow * np.sqrt(1 - 0.9**2)
    rng = np.random.default_rng(1)
    x, y = slow + 1.5 * rng.standard_normal((2, 400, 800))
    seen = 1 / np.arctanh(pearson_r(x, y, multioutput="raw_values")).var() + 3
    bartlett, xdf = (np.median(effective_n(x, y, method=m)) for m in METHODS)
    assert xdf < bartlett
    assert abs(xdf - seen) < abs(bartlett - seen)


def test_the_effect_of_centering_is_that_of_dense_matrices():
    lengths, n_lags = np.array([7, 4, 7]), 3
    expected = np.zeros((4, 4))
    for n in lengths:
        center = np.eye(n) - 1 / n
        for k in range(4):
            for j in range(4):
                at_lag = np.eye(n, k=j) + (np.eye(n, k=-j) if j else 0)
                expected[k, j] += np.trace(np.eye(n, k=k) @ center @ at_lag @ center)
    np.testing.assert_allclose(centering_effect(lengths, n_lags), expected, atol=1e-12)


def test_bartletts_n_is_that_of_dense_matrices():
    lengths = np.array([6, 9])
    rho_x, rho_y = 0.8 ** np.arange(5.0), (-0.5) ** np.arange(5.0)
    products, traces = 0.0, np.zeros(2)
    for n in lengths:
        lag = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
        centered = [
            (np.eye(n) - 1 / n) @ np.where(lag < 5, rho[np.minimum(lag, 4)], 0)
            for rho in (rho_x, rho_y)
        ]
        products += np.trace(centered[0] @ centered[1])
        traces += [np.trace(c) for c in centered]
    n_eff, known = bartlett_n(rho_x[:, np.newaxis], rho_y[:, np.newaxis], lengths)
    assert known.all()
    np.testing.assert_allclose(n_eff, 1 + traces.prod() / products)


@pytest.mark.parametrize("n_blocks", [1, 5])
def test_intervals_cover_and_p_values_reject_at_their_level(n_blocks):
    x, y = ar_pairs(0.75, 0.75, 120, 4000)
    blocks = np.arange(120) * n_blocks // 120
    r = pearson_r(x, y, blocks=blocks, multioutput="raw_values")
    n_eff = effective_n(x, y, blocks=blocks)
    low, high = r_interval(r, n_eff)
    assert 0.93 <= ((low <= 0) & (high >= 0)).mean() <= 0.97
    assert 0.03 <= (r_p_value(r, n_eff) < 0.05).mean() <= 0.065
    assert (r_p_value(r, 120) < 0.05).mean() > 0.15  # what it is for


def test_effective_n_of_different_people_is_that_of_real_bold(shared_data):
    scans = [
        pd.read_csv(shared_data / "real" / "vu_bold" / f"{name}.csv")
        .drop(columns=["time_s", "global signal clean"])
        .to_numpy()
        for name in ("sub01-scan01", "sub02-scan01", "sub07-scan01", "sub12-scan01")
    ]
    pairs = [
        (scans[i][s : s + 115], scans[j][s : s + 115])
        for i in range(4)
        for j in range(i)
        for s in range(0, 461, 115)
    ]
    x, y = (np.hstack(series) for series in zip(*pairs, strict=True))
    r = pearson_r(x, y, multioutput="raw_values")
    n_eff = effective_n(x, y)
    low, high = r_interval(r, n_eff)
    assert 1 / np.mean(1 / n_eff) == pytest.approx(1 / r.var(), rel=0.2)
    assert ((low > 0) | (high < 0)).mean() < 0.09
    assert (r_p_value(r, 115, alternative="two-sided") < 0.05).mean() > 0.13


@pytest.mark.parametrize("loud", ["ten volumes", "two minutes", "later and later"])
def test_intervals_hold_where_both_series_are_loud_at_the_same_time(loud):
    """Independent but for when they are loud, as EEG and BOLD are in motion."""
    x, y = ar_pairs(0.5, 0.5, 300, 400)
    scale = np.ones((300, 400))
    if loud == "ten volumes":
        rng = np.random.default_rng(0)
        for column in scale.T:
            column[rng.choice(300, 10, replace=False)] = 5.0
    elif loud == "two minutes":
        scale[100:160] = 4.0
    else:
        scale *= np.linspace(1, 4, 300)[:, None]
    x, y = x * scale, y * scale
    r, n_eff = pearson_r(x, y, multioutput="raw_values"), effective_n(x, y)
    low, high = r_interval(r, n_eff)
    assert ((low <= 0) & (high >= 0)).mean() > 0.9
    low, high = r_interval(r, effective_n(x, y, method="bartlett"))
    assert ((low <= 0) & (high >= 0)).mean() < (0.93 if loud == "later and later" else 0.8)


@pytest.mark.slow
@pytest.mark.parametrize(("n_folds", "true_r"), [(2, 0.0), (5, 0.0), (5, 0.3), (5, 0.7)])
def test_intervals_of_cross_validated_r_cover_what_it_is_on_average(n_folds, true_r):
    rng, folds = np.random.default_rng(0), np.arange(200) * n_folds // 200
    rows = []
    for _ in range(300):
        X = rng.standard_normal((200, 10))
        y = true_r * X[:, 0] + np.sqrt(1 - true_r**2) * rng.standard_normal(200)
        y_pred = np.empty(200)
        for k in range(n_folds):
            y_pred[folds == k] = (
                LinearRegression().fit(X[folds != k], y[folds != k]).predict(X[folds == k])
            )
        kept = region_scores(y, y_pred, blocks=folds, cross_validated=False)
        rows.append([*region_scores(y, y_pred, blocks=folds).iloc[0], *kept.iloc[0]])
    columns = [*kept.columns, *(f"kept_{name}" for name in kept.columns)]
    table = pd.DataFrame(rows, columns=columns)
    mean = np.tanh(np.arctanh(table["r"]).mean())
    covered = (table["ci_low"] <= mean) & (mean <= table["ci_high"])
    assert 0.93 < covered.mean() < 0.995
    if true_r == 0:
        assert (table["p"] <= 0.05).mean() < 0.08
        assert (table["kept_p"] <= 0.05).mean() > 0.08
        covered = (table["kept_ci_low"] <= mean) & (mean <= table["kept_ci_high"])
        assert covered.mean() < 0.9


def test_several_blocks_count_as_cross_validation_unless_told_otherwise():
    x, y = ar_pairs(0.3, 0.3, 100, 2)
    blocks = np.repeat([0, 1], 50)
    for given, cross_validated in (
        ({"blocks": blocks}, True),
        ({"blocks": blocks, "cross_validated": False}, False),
        ({}, False),
        ({"cross_validated": True}, True),
    ):
        n_eff = effective_n(x, y, blocks=given.get("blocks"))
        found = region_scores(x, y, **given)
        expected = 3 + (n_eff - 3) / (2 - found["r"] ** 2) if cross_validated else n_eff
        np.testing.assert_allclose(found["n_eff"], expected)
    with pytest.raises(ValueError, match="cross_validated must be a bool or 'auto', got 'no'"):
        region_scores(x, y, cross_validated="no")


@pytest.mark.parametrize("n_volumes", [1, 2, 3, 4, 5, 9, 26])
@pytest.mark.parametrize("method", METHODS)
def test_it_stays_in_its_range_for_the_shortest_series(n_volumes, method):
    x, y = ar_pairs(0.95, 0.95, n_volumes, 300)
    for n_blocks in {1, 2, n_volumes // 2, n_volumes}:
        blocks = np.arange(n_volumes) * max(n_blocks, 1) // n_volumes
        most = n_volumes - len(np.unique(blocks)) + 1
        n_eff = effective_n(x, y, blocks=blocks, method=method)
        assert n_eff.shape == (300,)
        assert (n_eff >= min(3, most)).all()
        assert (n_eff <= most).all()


def test_identical_and_opposite_series_have_an_effective_n():
    x, _ = ar_pairs(0.7, 0, 100, 20)
    bartlett = effective_n(x, x, method="bartlett")
    for other in (x, -2 * x + 5):
        np.testing.assert_allclose(effective_n(x, other), bartlett, rtol=1e-6)


def test_of_a_constant_series_nothing_is_said(y):
    true, pred = y[0].copy(), y[1].copy()
    pred[:, 1] = 0.1
    true[:, 2] = -4.0
    for method in METHODS:
        np.testing.assert_array_equal(effective_n(true, pred, method=method)[1:], 3)
    scores = region_scores(true, pred)
    assert scores.loc[1:, "r"].eq(0).all()
    assert scores.loc[1:, "ci_low"].eq(-1).all()
    assert scores.loc[1:, "ci_high"].eq(1).all()
    assert scores.loc[1:, "p"].eq(0.5).all()
    assert scores.notna().all(axis=None)


# -- intervals and p values -----------------------------------------------------------------------
@pytest.mark.parametrize("alternative", ["greater", "less", "two-sided"])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_with_all_volumes_independent_they_are_scipys(y, alternative, level):
    for true, pred in zip(*(a.T for a in y), strict=True):
        expected = pearsonr(true, pred, alternative=alternative)
        r = expected.statistic
        assert r_p_value(r, 40, alternative=alternative) == pytest.approx(expected.pvalue)
        interval = pearsonr(true, pred).confidence_interval(level)
        np.testing.assert_allclose(r_interval(r, 40, confidence_level=level), interval)


def test_fewer_volumes_say_less_and_too_few_nothing():
    n_eff = np.array([100.0, 30.0, 4.0, 3.001, 3.0, 2.0, 1.0])
    low, high = r_interval(0.6, n_eff)
    assert (np.diff(low) <= 0).all()
    assert (np.diff(high) >= 0).all()
    np.testing.assert_array_equal(low[4:], -1)
    np.testing.assert_array_equal(high[4:], 1)
    p = r_p_value(0.6, n_eff)
    assert (np.diff(p) >= 0).all()
    np.testing.assert_array_equal(p[5:], 1)
    assert norm.cdf((np.arctanh(0.6) - np.arctanh(low[1])) * np.sqrt(27)) == pytest.approx(0.975)


def test_limits_of_r_and_nan_pass_through_without_a_warning():
    low, high = r_interval([1.0, -1.0, 0.2, np.nan], [50, 50, np.nan, 50])
    np.testing.assert_array_equal(low, [1, -1, np.nan, np.nan])
    np.testing.assert_array_equal(high, [1, -1, np.nan, np.nan])
    p = r_p_value([1.0, -1.0, 0.2, np.nan], [50, 50, np.nan, 50])
    np.testing.assert_array_equal(p, [0, 1, np.nan, np.nan])
    assert r_interval(0.5, [[10], [20]])[0].shape == (2, 1)
    assert r_p_value([0.5, 0.1], [[10], [20]]).shape == (2, 2)


# -- tables ---------------------------------------------------------------------------------------
def test_the_table_holds_the_single_scores(y):
    true, pred = y
    blocks = np.repeat([0, 1], 20)
    table = pd.DataFrame(true, columns=["putamen", "caudate", "cuneus"])
    scores = region_scores(table, pred, blocks=blocks, confidence_level=0.9)
    assert scores.index.tolist() == ["putamen", "caudate", "cuneus"]
    assert scores.index.name == "region"
    assert scores.columns.tolist() == [
        "r", "r2", "mse", "n", "n_eff", "ci_low", "ci_high", "p", "influence",
    ]  # fmt: skip
    np.testing.assert_array_equal(scores["n"], 40)
    r = pearson_r(true, pred, blocks=blocks, multioutput="raw_values")
    n_eff = 3 + (effective_n(true, pred, blocks=blocks) - 3) / (2 - r**2)
    low, high = r_interval(r, n_eff, confidence_level=0.9)
    for column, expected in {
        "r": r,
        "n_eff": n_eff,
        "ci_low": low,
        "ci_high": high,
        "p": r_p_value(r, n_eff),
        "r2": r2_score(true, pred, multioutput="raw_values"),
        "mse": mean_squared_error(true, pred, multioutput="raw_values"),
    }.items():
        np.testing.assert_allclose(scores[column], expected, rtol=1e-12)


def test_region_names_come_from_the_call_the_table_or_are_numbers(y):
    true, pred = y
    assert region_scores(true, pred).index.tolist() == [0, 1, 2]
    named = pd.DataFrame(true, columns=list("abc"))
    assert region_scores(named, pred, region_names=["x", "y", "z"]).index.tolist() == list("xyz")
    assert region_scores(named["b"], pred[:, 1]).index.tolist() == ["b"]
    assert region_scores(true[:, 0], pred[:, 0]).index.tolist() == [0]
    other = pd.DataFrame(pred)  # unnamed predictions of a named table
    assert region_scores(named, other).index.tolist() == list("abc")


def test_group_scores_are_a_t_test_of_fishers_z_over_subjects():
    rng = np.random.default_rng(0)
    r = pd.DataFrame(np.tanh(0.3 + 0.2 * rng.standard_normal((8, 3))), columns=list("abc"))
    scores = group_scores(r, confidence_level=0.9)
    assert scores.index.tolist() == list("abc")
    assert scores["n_subjects"].eq(8).all()
    for name in r:
        z = np.arctanh(r[name])
        assert scores.loc[name, "r"] == pytest.approx(np.tanh(z.mean()))
        interval = np.tanh(ttest_1samp(z, 0).confidence_interval(0.9))
        np.testing.assert_allclose(scores.loc[name, ["ci_low", "ci_high"]], interval)
        expected = ttest_1samp(z, 0, alternative="greater").pvalue
        assert scores.loc[name, "p"] == pytest.approx(expected)


def test_one_subject_or_subjects_all_the_same_leave_the_spread_unknown():
    for r in ([[0.3, 0.5]], [[0.3, 0.5]] * 4):
        scores = group_scores(r)
        np.testing.assert_allclose(scores["r"], [0.3, 0.5])
        assert scores[["ci_low", "ci_high", "p"]].isna().all(axis=None)
    scores = group_scores([[0.0, 0.3], [0.0, 0.4], [0.0, 0.2]])
    assert scores["p"].isna().tolist() == [True, False]


# -- scorers --------------------------------------------------------------------------------------
def test_region_scorers_work_in_cross_validation_and_searches():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 4))
    y = X @ rng.standard_normal((4, 2)) + rng.standard_normal((60, 2))
    scorers = pickle.loads(pickle.dumps(region_scorers(["left", "right"])))
    scores = cross_validate(Ridge(), X, y, cv=KFold(3), scoring=scorers)
    expected = np.array(
        [
            pearson_r(y[b], Ridge().fit(X[a], y[a]).predict(X[b]), multioutput="raw_values")
            for a, b in KFold(3).split(X)
        ]
    )
    np.testing.assert_allclose(scores["test_left"], expected[:, 0])
    np.testing.assert_allclose(scores["test_right"], expected[:, 1])
    search = GridSearchCV(Ridge(), {"alpha": [1.0, 1e6]}, scoring=scorers, refit="right", cv=3)
    search.fit(X, y)
    assert search.best_score_ == search.cv_results_["mean_test_right"].max()
    one = cross_validate(Ridge(), X, y[:, 1], cv=KFold(3), scoring=region_scorers(["right"]))
    np.testing.assert_allclose(one["test_right"], expected[:, 1])


# -- bad input ------------------------------------------------------------------------------------
SERIES = np.random.default_rng(0).standard_normal((2, 6, 2))


@pytest.mark.parametrize("score", [pearson_r, effective_n, region_scores])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"blocks": [0, 1]},
            r"blocks has the shape \(2,\), but must hold one label for each of the 6",
        ),
        ({"blocks": np.zeros((6, 2))}, r"blocks has the shape \(6, 2\)"),
        ({"blocks": [0, 0, 0, np.nan, 1, 1]}, "no label .* for 1 volume"),
        ({"y_true": SERIES[0, :, :1]}, "y_true has 1 region.* but y_pred has 2"),
        ({"y_pred": np.full((6, 2), np.nan)}, "y_pred contains NaN"),
        (
            {
                "y_true": pd.DataFrame(SERIES[0], columns=["a", "b"]),
                "y_pred": pd.DataFrame(SERIES[1], columns=["b", "a"]),
            },
            r"another order; take y_pred\[\['a', 'b'\]\]",
        ),
    ],
    ids=str,
)
def test_bad_series_and_blocks_are_refused(score, change, message):
    with pytest.raises(ValueError, match=message):
        score(**{"y_true": SERIES[0], "y_pred": SERIES[1], **change})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: effective_n(*SERIES, method="ar1"),
            "method must be 'xdf' or 'bartlett', got 'ar1'",
        ),
        (lambda: r_interval(1.2, 30), "r must lie between -1 and 1, got values from 1.2"),
        (
            lambda: r_interval(0.2, 30, confidence_level=95),
            "confidence_level must lie between 0 and 1, got 95",
        ),
        (lambda: r_p_value(-7, 30), "r must lie between -1 and 1"),
        (lambda: r_p_value(0.1, 30, alternative="larger"), "alternative must be one of .*'larger'"),
        (lambda: region_scores(*SERIES, confidence_level=1.0), "confidence_level must lie between"),
        (
            lambda: region_scores(*SERIES, region_names=["a"]),
            "of values .2. does not match .* index .1.",
        ),
        (lambda: region_scores(*SERIES[:, :1]), "at least 2 volumes, got 1"),
        (lambda: group_scores([0.1, 0.2]), "Expected 2D array, got 1D"),
        (lambda: group_scores([[1.0, 0.2]]), "above -1 and below 1, got values from 0.2 to 1"),
        (lambda: group_scores([[np.nan, 0.2]]), "r contains NaN"),
        (lambda: group_scores([[0.1]], confidence_level=0), "confidence_level must lie between"),
        (lambda: region_scorers("ab"), "list of one or more different names, got 'ab'"),
        (lambda: region_scorers(["a", "a"]), "different names"),
        (lambda: region_scorers([]), "one or more"),
        (
            lambda: region_scorers(["a", "b", "c"])["a"](DummyRegressor().fit(*SERIES), *SERIES),
            "the scorers name 3 region.*, but y has 2",
        ),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
