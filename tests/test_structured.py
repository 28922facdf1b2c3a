"""The linear models of channels, bands and lags against their closed forms and conditions."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import Lasso, Ridge
from sklearn.preprocessing import StandardScaler

from sklearn_beira import EEGWindows
from sklearn_beira.baselines.lagged_power import BandedRidgeCV, FingerprintRidgeCV
from sklearn_beira.baselines.ridge import BlockedRidgeCV
from sklearn_beira.baselines.sparse import SparseGroupLassoCV, sgl_alpha_max
from sklearn_beira.features.band_power import BandPower

BANDS = {"alpha": (8.0, 12.0), "beta": (15.0, 30.0)}


@pytest.fixture(scope="module")
def data():
    """Windows of 3 channels: region 0 follows beta of channel 2, region 1 alpha of channel 0."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((120, 3, 600)) * np.exp(0.5 * rng.standard_normal((120, 3, 1)))
    X = EEGWindows.from_array(X, sfreq=100.0)
    power = BandPower(BANDS).fit_transform(X).reshape(120, 3, 2, 3)
    y = np.column_stack([power[:, :, 1, 2].mean(axis=1), -power[:, :, 0, 0].mean(axis=1)])
    return X, 5.0 + 3.0 * y + 0.3 * rng.standard_normal(y.shape)


def features(X, *fit_on):
    power = BandPower(BANDS).fit_transform(X)
    return StandardScaler().fit_transform(power).reshape(len(X), 3, 2, 3)


# -- fingerprint -------------------------------------------------------------------------------
def test_each_region_gets_its_electrode_and_the_ridge_of_it(data):
    X, y = data
    model = FingerprintRidgeCV(BANDS).fit(X, y)
    np.testing.assert_array_equal(model.electrode_, [2, 0])
    assert model.electrode_names_ is None
    F = features(X)
    for roi, electrode in enumerate([2, 0]):
        table = F[..., electrode].reshape(len(X), -1)
        ridge = BlockedRidgeCV().fit(table, y[:, roi])
        assert model.alpha_[roi] == ridge.alpha_
        np.testing.assert_allclose(model.scores_[electrode, roi], ridge.best_score_)
        np.testing.assert_allclose(model.predict(X)[:, roi], ridge.predict(table))
        np.testing.assert_allclose(model.coef_[roi, :, :, electrode].ravel(), ridge.coef_)
    assert np.count_nonzero(model.coef_) == 2 * 3 * 2
    assert (model.scores_.max(axis=0) > 0.5).all()
    alone = clone(model).fit(X, y[:, 1])
    np.testing.assert_allclose(alone.predict(X), model.predict(X)[:, 1], rtol=1e-10)


def test_the_electrode_has_a_name_where_channels_have(make_study):
    from sklearn_beira import align

    study = make_study()
    X, y = align(study.raws, study.bolds, trigger="mri", tmin=-8.0, tmax=0.0, verbose="error")
    model = FingerprintRidgeCV(BANDS).fit(X, y)
    assert model.electrode_names_ == [X.ch_names[c] for c in model.electrode_]


# -- banded ridge -------------------------------------------------------------------------------
def test_a_search_of_one_is_the_plain_ridge(data):
    pytest.importorskip("himalaya")
    X, y = data
    alphas = np.logspace(0, 4, 9)
    model = BandedRidgeCV(BANDS, n_iter=1, alphas=alphas).fit(X, y)
    penalty = np.exp(-model.deltas_)  # the one relation that is tried first: equal shares
    np.testing.assert_allclose(penalty[:, 0], penalty[:, 1])
    np.testing.assert_allclose(np.log10(penalty / 2).round(6) * 2 % 1, 0, atol=1e-5)
    F = features(X).reshape(len(X), -1)
    for roi in range(2):
        ridge = Ridge(penalty[roi, 0]).fit(F, y[:, roi])
        np.testing.assert_allclose(model.predict(X)[:, roi], ridge.predict(F), rtol=1e-6)


def test_the_bands_weigh_as_their_penalties_say(data):
    pytest.importorskip("himalaya")
    X, y = data
    model = BandedRidgeCV(BANDS, n_iter=15).fit(X, y)
    assert model.deltas_[0, 1] > model.deltas_[0, 0] + 1  # region 0 follows beta
    assert model.deltas_[1, 0] > model.deltas_[1, 1] + 1  # region 1 alpha
    F = features(X)
    for roi in range(2):
        scaled = F * np.exp(model.deltas_[roi] / 2)[None, None, :, None]
        ridge = Ridge(1.0).fit(scaled.reshape(len(X), -1), y[:, roi])
        np.testing.assert_allclose(
            model.predict(X)[:, roi], ridge.predict(scaled.reshape(len(X), -1)), rtol=1e-6
        )


def test_the_search_is_seeded_and_regions_do_not_matter_to_each_other(data):
    pytest.importorskip("himalaya")
    X, y = data
    model = BandedRidgeCV(BANDS, n_iter=5).fit(X, y)
    np.testing.assert_array_equal(clone(model).fit(X, y).predict(X), model.predict(X))
    alone = clone(model).fit(X, y[:, 1])
    np.testing.assert_allclose(alone.predict(X), model.predict(X)[:, 1], rtol=1e-8)
    small = clone(model).fit(X, y * 1e-9)
    np.testing.assert_allclose(small.predict(X), model.predict(X) * 1e-9, rtol=1e-6)


# -- sparse group lasso -------------------------------------------------------------------------
@pytest.mark.parametrize("l1_ratio", [0.0, 0.3, 1.0])
def test_all_weights_are_zero_from_the_largest_penalty_on_and_not_below(l1_ratio):
    c = np.random.default_rng(0).standard_normal(24)
    alpha = sgl_alpha_max(c, 4, l1_ratio)

    def survives(alpha):
        soft = np.maximum(np.abs(c) - alpha * l1_ratio, 0).reshape(-1, 4)
        return (np.linalg.norm(soft, axis=1) > alpha * (1 - l1_ratio) * 2).any()

    assert not survives(alpha * (1 + 1e-9))
    assert survives(alpha * (1 - 1e-9))
    if l1_ratio == 1:
        assert alpha == pytest.approx(np.abs(c).max())
    if l1_ratio == 0:
        assert alpha == pytest.approx(np.linalg.norm(c.reshape(-1, 4), axis=1).max() / 2)


@pytest.mark.slow
@pytest.mark.parametrize("groups", ["channel-band", "channel"])
def test_the_lasso_keeps_the_planted_groups_and_meets_its_optimality_conditions(data, groups):
    pytest.importorskip("skglm")
    X, y = data
    model = SparseGroupLassoCV(BANDS, groups=groups, tol=1e-8).fit(X, y)
    strength = np.linalg.norm(model.coef_, axis=1)  # over lags: regions, bands, channels
    assert np.unravel_index(strength[0].argmax(), (2, 3)) == (1, 2)
    assert np.unravel_index(strength[1].argmax(), (2, 3)) == (0, 0)
    assert (strength == 0).any()
    z, size = (y - y.mean(axis=0)) / y.std(axis=0), 3 if groups == "channel-band" else 6
    F = features(X).transpose(0, 3, 2, 1).reshape(len(X), -1)
    coef = model.coef_.transpose(0, 3, 2, 1).reshape(2, -1) / y.std(axis=0)[:, None]
    for roi, alpha in enumerate(model.alpha_):
        slope = (F.T @ (z[:, roi] - F @ coef[roi]) / len(X)).reshape(-1, size)
        for w, g in zip(coef[roi].reshape(-1, size), slope, strict=True):
            group = alpha * 0.5 * np.sqrt(size)
            if not w.any():
                soft = np.maximum(np.abs(g) - alpha * 0.5, 0)
                assert np.linalg.norm(soft) <= group + 1e-6
                continue
            on = w != 0
            expected = group * w / np.linalg.norm(w) + alpha * 0.5 * np.sign(w)
            np.testing.assert_allclose(g[on], expected[on], atol=1e-6)
            assert (np.abs(g[~on]) <= alpha * 0.5 + 1e-6).all()
    np.testing.assert_allclose(
        model.predict(X), (F @ coef.T) * y.std(axis=0) + y.mean(axis=0), rtol=1e-8
    )


@pytest.mark.slow
def test_with_single_weights_alone_it_is_the_lasso(data):
    pytest.importorskip("skglm")
    X, y = data
    model = SparseGroupLassoCV(BANDS, l1_ratio=1.0, tol=1e-9).fit(X, y[:, 0])
    F, spread = features(X).reshape(len(X), -1), y[:, 0].std()
    lasso = Lasso(model.alpha_[0] * spread, tol=1e-10, max_iter=100_000).fit(F, y[:, 0])
    np.testing.assert_allclose(model.coef_.ravel(), lasso.coef_, atol=1e-5)
    np.testing.assert_allclose(model.predict(X), lasso.predict(F), rtol=1e-4)


@pytest.mark.slow
def test_a_silent_channel_gets_no_weight(data):
    pytest.importorskip("skglm")
    X, y = data
    silent = np.array(X)
    silent[:, 1] = 0.0
    silent = EEGWindows.from_array(silent, sfreq=100.0)
    for l1_ratio in (0.5, 1.0):
        model = SparseGroupLassoCV(BANDS, n_alphas=4, l1_ratio=l1_ratio).fit(silent, y)
        assert np.isfinite(model.coef_).all()
        assert not model.coef_[..., 1].any()
        assert model.coef_[..., 0].any()


@pytest.mark.slow
def test_a_region_that_does_not_vary_is_predicted_as_it_is(data):
    pytest.importorskip("skglm")
    X, y = data
    y = np.column_stack([np.full(len(y), 7.0), y[:, 0]])
    model = SparseGroupLassoCV(BANDS, n_alphas=3).fit(X, y)
    np.testing.assert_allclose(model.predict(X)[:, 0], 7.0)


# -- messages -----------------------------------------------------------------------------------
@pytest.mark.parametrize("Model", [FingerprintRidgeCV, BandedRidgeCV])
def test_bad_targets_are_refused(data, Model):
    X, y = data
    model = Model(BANDS)
    if Model is BandedRidgeCV:
        pytest.importorskip("himalaya")
    with pytest.raises(ValueError, match=f"{Model.__name__} requires y to be passed"):
        model.fit(X, None)
    with pytest.raises(ValueError, match="Input y contains NaN"):
        model.fit(X, np.where(y > y.max() - 1e-9, np.nan, y))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(X, y[:-1])
    with pytest.raises(ValueError, match=r"y must be \(n_volumes, n_rois\), got"):
        model.fit(X, y[:, :, None])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (SparseGroupLassoCV(l1_ratio=1.5), "The 'l1_ratio' parameter of SparseGroupLassoCV must"),
        (SparseGroupLassoCV(groups="all"), "The 'groups' parameter of SparseGroupLassoCV must"),
        (SparseGroupLassoCV(eps=1.0), "The 'eps' parameter of SparseGroupLassoCV must be"),
        (BandedRidgeCV(n_iter=0), "The 'n_iter' parameter of BandedRidgeCV must be"),
        (FingerprintRidgeCV(n_splits=1), "The 'n_splits' parameter of FingerprintRidgeCV must"),
        (FingerprintRidgeCV(step=-1.0), "The 'step' parameter of BandPower must be"),
    ],
    ids=repr,
)
def test_parameters_that_cannot_work_are_refused_in_fit(data, model, message):
    with pytest.raises(ValueError, match=message):
        model.fit(*data)
