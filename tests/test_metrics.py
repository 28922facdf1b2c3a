"""pearson_r against scipy, region by region."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score

from sklearn_beira.metrics import pearson_r, pearson_r_scorer


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
