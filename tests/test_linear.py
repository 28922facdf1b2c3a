"""BlockedRidgeCV against scikit-learn's Ridge and a plain loop over its blocks."""

import tracemalloc

import numpy as np
import pytest
from scipy.signal import lfilter
from sklearn.base import clone
from sklearn.linear_model import Ridge, RidgeCV

from sklearn_beira.baselines import ridge as _ridge
from sklearn_beira.baselines.ridge import BlockedRidgeCV, choose_alphas, inner_blocks

ALPHAS = np.logspace(-1, 4, 11)


def make_data(n_features, n_samples=90, n_targets=5, random_state=0):
    """Smooth features and targets, more and less predictable."""
    rng = np.random.default_rng(random_state)
    X = 3.0 + np.cumsum(rng.standard_normal((n_samples, n_features)), axis=0) * 0.3
    X += rng.standard_normal(X.shape)
    y = X[:, :3] @ rng.standard_normal((3, n_targets)) * np.linspace(0, 1, n_targets)
    return X, 10.0 + y + rng.standard_normal((n_samples, n_targets))


def errors_of_a_loop(X, y, alphas, blocks):
    return np.array(
        [
            sum(
                np.square(Ridge(alpha).fit(X[train], y[train]).predict(X[test]) - y[test]).sum(0)
                for train, test in blocks
            )
            for alpha in alphas
        ]
    )


@pytest.mark.parametrize("n_features", [7, 89, 90, 400])
def test_the_choice_is_that_of_a_plain_loop_and_the_fit_that_of_ridge(n_features):
    X, y = make_data(n_features)
    model = BlockedRidgeCV(ALPHAS[::-1], n_splits=4, gap=6).fit(X, y)
    blocks, gap = inner_blocks(90, 4, 6)
    errors = errors_of_a_loop(X, y, ALPHAS, blocks)
    assert gap == model.gap_ == 6
    np.testing.assert_array_equal(model.alpha_, ALPHAS[errors.argmin(axis=0)])
    assert len(set(model.alpha_)) > 1
    spread = sum(np.square(y[test] - y[train].mean(0)).sum(0) for train, test in blocks)
    np.testing.assert_allclose(model.best_score_, 1 - errors.min(axis=0) / spread, rtol=1e-8)
    for target, alpha in zip(range(5), model.alpha_, strict=True):
        ridge = Ridge(alpha).fit(X, y[:, target])
        np.testing.assert_allclose(model.coef_[target], ridge.coef_, rtol=1e-7, atol=1e-10)
        np.testing.assert_allclose(model.intercept_[target], ridge.intercept_, rtol=1e-8)
        np.testing.assert_allclose(model.predict(X)[:, target], ridge.predict(X), rtol=1e-8)


@pytest.mark.parametrize("n_features", [7, 400])
def test_targets_fitted_together_or_alone_are_the_same(n_features):
    X, y = make_data(n_features, n_targets=40)
    y[:, 7] = 3.0  # a target that does not vary
    together = BlockedRidgeCV(ALPHAS).fit(X, y)
    for target in (0, 7, 39):
        alone = BlockedRidgeCV(ALPHAS).fit(X, y[:, target])
        np.testing.assert_array_equal(alone.alpha_, together.alpha_[target])
        np.testing.assert_allclose(alone.coef_, together.coef_[target], rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(
            alone.predict(X), together.predict(X)[:, target], rtol=1e-10, atol=1e-10
        )
    assert together.alpha_[7] == ALPHAS.max()
    assert together.best_score_[7] == 0.0


def test_thousands_of_targets_are_those_of_a_few():
    X, y = make_data(30, n_targets=4)
    many = BlockedRidgeCV(ALPHAS).fit(X, np.tile(y, 1200))
    few = BlockedRidgeCV(ALPHAS).fit(X, y)
    np.testing.assert_array_equal(many.alpha_, np.tile(few.alpha_, 1200))
    np.testing.assert_allclose(many.coef_, np.tile(few.coef_, (1200, 1)), rtol=1e-10, atol=1e-12)


def test_the_penalty_is_larger_than_that_of_leave_one_out_on_smooth_noise():
    rng = np.random.default_rng(0)
    X, y = (lfilter([1], [1, -0.9], rng.standard_normal((300, n)), axis=0) for n in (150, 20))
    X = (X - X.mean(0)) / X.std(0)
    alphas = np.logspace(-2, 6, 17)
    blocked = BlockedRidgeCV(alphas).fit(X, y)
    left_out = RidgeCV(alphas, alpha_per_target=True).fit(X, y)
    assert np.median(blocked.alpha_) > 30 * np.median(left_out.alpha_)


def test_one_target_in_one_out():
    X, y = make_data(7, n_targets=1)
    one, table = BlockedRidgeCV().fit(X, y[:, 0]), BlockedRidgeCV().fit(X, y)
    assert one.predict(X).shape == (90,)
    assert one.coef_.shape == (7,)
    assert isinstance(one.alpha_, float)
    assert table.predict(X).shape == (90, 1)
    np.testing.assert_array_equal(one.predict(X), table.predict(X)[:, 0])


def test_a_refit_forgets():
    (X, y), (other, target) = make_data(7), make_data(400, n_samples=20, random_state=1)
    twice = BlockedRidgeCV().fit(other, target[:, 0]).fit(X, y)
    np.testing.assert_array_equal(twice.predict(X), clone(twice).fit(X, y).predict(X))
    assert twice.gap_ == 8


@pytest.mark.parametrize("n_samples", [2, 3, 5, 11, 30, 100])
@pytest.mark.parametrize("gap", [0, 8, 50])
def test_blocks_cover_every_row_once_and_keep_their_distance(n_samples, gap):
    blocks, used = inner_blocks(n_samples, 5, gap)
    np.testing.assert_array_equal(np.concatenate([test for _, test in blocks]), range(n_samples))
    assert used <= gap
    for train, test in blocks:
        distance = np.abs(np.subtract.outer(train, test)).min(axis=1)
        assert (distance > used).all()
        assert len(train) >= (n_samples - len(test)) / 2
    if n_samples == 100 and gap <= 8:
        assert used == gap


def test_the_errors_of_an_uncentered_block_are_those_of_ridge():
    for n_features in (5, 200):
        X, y = make_data(n_features)
        train, mean = np.arange(60), y[:60].mean(axis=0)
        for alpha in (0.5, 50.0):
            errors = (y[60:] - Ridge(alpha).fit(X[:60], y[:60]).predict(X[60:])) ** 2
            spread = (y[60:] - mean) ** 2
            for k in range(60, len(y)):  # row by row, so that no errors cancel
                _, score = choose_alphas(X, y, np.array([alpha]), [(train, np.array([k]))])
                found = (1 - score) * spread[k - 60]
                np.testing.assert_allclose(found, errors[k - 60], rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"alphas": [1.0, 0.0]}, r"alphas must be .* above 0, got \[1.0, 0.0\]"),
        ({"alphas": []}, "alphas must be a list of finite numbers above 0"),
        ({"alphas": [1.0, np.nan]}, "alphas must be a list of finite numbers above 0"),
        ({"alphas": 3.0}, "The 'alphas' parameter of BlockedRidgeCV must be"),
        ({"n_splits": 1}, "The 'n_splits' parameter of BlockedRidgeCV must be"),
        ({"gap": -1}, "The 'gap' parameter of BlockedRidgeCV must be"),
    ],
    ids=str,
)
def test_parameters_that_cannot_work_are_refused_in_fit(params, message):
    with pytest.raises(ValueError, match=message):
        BlockedRidgeCV(**params).fit(*make_data(7))


# -- long tables ---------------------------------------------------------------------------------
@pytest.mark.parametrize("n_features", [3, 30, 89])
def test_a_tall_table_read_in_batches_is_fitted_as_in_one_piece(monkeypatch, n_features):
    X, y = make_data(n_features)
    whole = BlockedRidgeCV(ALPHAS, n_splits=4, gap=6).fit(X, y)
    monkeypatch.setattr(_ridge, "_ROWS", 7)
    batches = BlockedRidgeCV(ALPHAS, n_splits=4, gap=6).fit(X, y)
    np.testing.assert_array_equal(batches.alpha_, whole.alpha_)
    np.testing.assert_allclose(batches.best_score_, whole.best_score_, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(batches.coef_, whole.coef_, rtol=1e-8, atol=1e-11)
    np.testing.assert_allclose(batches.intercept_, whole.intercept_, rtol=1e-9)


def test_a_long_table_is_not_copied():
    X, y = make_data(50, n_samples=20_000)
    tracemalloc.start()
    BlockedRidgeCV(ALPHAS).fit(X, y)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 0.9 * X.nbytes
