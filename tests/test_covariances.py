"""SPoC against mne.decoding, the tangent space against pyRiemann."""

import mne
import numpy as np
import pytest
from scipy.signal import lfilter
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from sklearn_beira import align
from sklearn_beira.baselines.ridge import inner_blocks
from sklearn_beira.baselines.spoc import SPoCRidgeCV, spoc_filters
from sklearn_beira.features.covariance import BandCovariance, BandTangentSpace
from sklearn_beira.features.hrf import hrf_at

BANDS = {"alpha": (8.0, 12.0), "beta": (15.0, 30.0)}


@pytest.fixture
def recording(make_raw):
    """Build EEG of 5 channels in which one source's alpha power waxes and wanes."""

    def make(reference=None):
        raw = make_raw(n_channels=5, duration=300.0)
        rng = np.random.default_rng(3)
        slow = lfilter([1.0], [1.0, -0.998], rng.standard_normal(raw.n_times))
        slow = 1.0 + np.tanh(slow / slow.std())
        pattern = np.array([1.0, 0.5, -0.7, 0.2, 0.0])
        source = slow * np.sin(20 * np.pi * raw.times + rng.uniform(0, 6))
        raw._data += 1e-5 * pattern[:, None] * source
        if reference:
            raw.set_eeg_reference(reference, verbose="error")
        X, _ = align(raw, np.zeros(150), t_r=2.0, tmin=-16.0, tmax=0.0, verbose="error")
        weights = np.maximum(hrf_at(np.arange(16.0, 0, -0.01)), 0)
        power = np.convolve(slow**2, weights[::-1] / weights.sum())[: raw.n_times]
        y = power[np.round(X.times * 100).astype(int) - 1]
        y = np.column_stack([y, -y]) + 0.2 * rng.standard_normal((len(y), 2))
        return X, y

    return make


def test_filters_are_those_of_mne_from_square_roots_as_epochs(recording):
    X, y = recording()
    C = BandCovariance(BANDS).fit_transform(X)[:, 0] * 1e12
    # An epoch whose covariance, as MNE computes it, is C: its square root, centered already.
    epochs = []
    for one in C:
        values, vectors = np.linalg.eigh(one)
        root = (vectors * np.sqrt(values)) @ vectors.T
        epochs.append(np.hstack([root, -root]) / np.sqrt(2) * np.sqrt(10))
    spoc = mne.decoding.SPoC(5, log=True, rank="full")
    with mne.use_log_level("error"):
        spoc.fit(np.array(epochs), y[:, 0])
    found = spoc_filters(C, y, 5)
    assert found.shape == (2, 5, 5)
    for mine, theirs in zip(found[0].T, spoc.filters_, strict=True):
        cosine = mine @ theirs / np.linalg.norm(mine) / np.linalg.norm(theirs)
        assert abs(cosine) == pytest.approx(1.0, abs=1e-6)


def test_filters_are_those_of_mne_on_the_weighted_windows_themselves(recording):
    X, y = recording()
    C = BandCovariance(BANDS).fit_transform(X)[:, 0]
    filtered = mne.filter.filter_data(
        np.float64(X.recordings[0]), 100.0, 8.0, 12.0, verbose="error"
    )
    weights = np.maximum(hrf_at(np.arange(16.0, 0, -0.01) - 0.005), 0)
    starts = np.round((X.times - 16.0) * 100).astype(int)
    epochs = np.array([filtered[:, s : s + 1600] * np.sqrt(weights) for s in starts])
    spoc = mne.decoding.SPoC(2, log=True, rank="full")
    with mne.use_log_level("error"):
        spoc.fit(epochs * 1e6, y[:, 0])
    found = spoc_filters(C, y[:, :1], 2)[0]
    cosine = found[:, 0] @ spoc.filters_[0]
    cosine /= np.linalg.norm(found[:, 0]) * np.linalg.norm(spoc.filters_[0])
    assert abs(cosine) > 0.999


def test_a_filter_has_unit_power_and_finds_the_source(recording):
    X, y = recording()
    C = BandCovariance(BANDS).fit_transform(X)[:, 0]
    w = spoc_filters(C, y, 2)[0]
    np.testing.assert_allclose(w.T @ C.mean(axis=0) @ w, np.eye(2), atol=1e-9)
    power = np.einsum("c,ncd,d->n", w[:, 0], C, w[:, 0])
    assert np.corrcoef(power, y[:, 0])[0, 1] > 0.8


def test_one_dimension_less_changes_the_filters_but_not_what_they_see(recording):
    X, y = recording()
    full = np.delete(BandCovariance(BANDS).fit_transform(X)[:, 0], 4, axis=1)[:, :, :4]
    # The same four channels behind a singular mixture into five.
    mixing = np.vstack([np.eye(4), -np.ones((1, 4))])
    deficient = mixing @ full @ mixing.T
    powers = [
        np.einsum("c,ncd,d->n", w, C, w)
        for C in (full, deficient)
        for w in spoc_filters(C, y, 1)[0].T
    ]
    np.testing.assert_allclose(powers[1], powers[0], rtol=1e-6)
    filters = spoc_filters(deficient, y, 5)
    assert np.isfinite(filters).all()
    np.testing.assert_array_equal(filters[:, :, 4], 0.0)  # there are only four dimensions


@pytest.mark.parametrize("reference", [None, "average"])
def test_the_model_is_spoc_and_ridge_with_a_choice_that_sees_no_inner_block(recording, reference):
    X, y = recording(reference)
    alphas = np.logspace(-2, 4, 7)
    model = SPoCRidgeCV(BANDS, n_components=2, alphas=alphas, n_splits=3, gap=5).fit(X, y)
    C = BandCovariance(BANDS).fit_transform(X)

    def powers(C, filters):
        return np.log([[w @ one[b] @ w for b in range(2) for w in filters[b].T] for one in C])

    def learn(rows):
        filters = [spoc_filters(C[rows, b], y[rows, :1], 2, model.shrinkage)[0] for b in range(2)]
        scaler = StandardScaler().fit(powers(C[rows], filters))
        return lambda C: scaler.transform(powers(C, filters))

    errors = np.zeros(len(alphas))
    for train, test in inner_blocks(len(y), 3, 5)[0]:
        features = learn(train)
        for a, alpha in enumerate(alphas):
            ridge = Ridge(alpha).fit(features(C[train]), y[train, 0])
            errors[a] += np.square(ridge.predict(features(C[test])) - y[test, 0]).sum()
    assert model.alpha_[0] == alphas[errors.argmin()]
    features = learn(np.arange(len(y)))
    expected = Ridge(model.alpha_[0]).fit(features(C), y[:, 0]).predict(features(C))
    np.testing.assert_allclose(model.predict(X)[:, 0], expected, rtol=1e-6)
    alone = SPoCRidgeCV(BANDS, n_components=2, alphas=alphas, n_splits=3, gap=5).fit(X, y[:, 0])
    np.testing.assert_allclose(alone.predict(X), model.predict(X)[:, 0], rtol=1e-10)
    assert model.best_score_.min() > 0.3


# -- tangent space ------------------------------------------------------------------------------
@pytest.mark.parametrize("reference", [None, "average"])
def test_the_tangent_space_is_that_of_pyriemann(recording, reference):
    tangentspace = pytest.importorskip("pyriemann.tangentspace")
    X, _ = recording(reference)
    model = BandTangentSpace(BANDS, n_components=4, shrinkage=0.01).fit(X[:80])
    found = model.transform(X[80:])
    assert found.shape == (len(X) - 80, 2 * 10)
    assert len(set(model.get_feature_names_out())) == 20
    assert model.get_feature_names_out()[1] == "alpha 0-1"
    C = BandCovariance(BANDS).fit_transform(X)
    for b in range(2):
        values, vectors = np.linalg.eigh(C[:80, b].mean(axis=0))
        projected = vectors[:, -4:].T @ C[:, b] @ vectors[:, -4:]
        projected += 0.01 * values[-4:].mean() * np.eye(4)
        space = tangentspace.TangentSpace().fit(projected[:80])
        expected = space.transform(projected[80:])
        np.testing.assert_allclose(
            np.abs(found[:, b * 10 : b * 10 + 10]), np.abs(expected), rtol=1e-6, atol=1e-8
        )


def test_no_more_components_than_dimensions_are_kept(recording):
    pytest.importorskip("pyriemann")
    X, _ = recording("average")
    model = BandTangentSpace(BANDS, n_components=30).fit(X)
    assert [p.shape for p in model.projections_] == [(5, 4)] * 2
    assert np.isfinite(model.transform(X)).all()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (SPoCRidgeCV(n_components=0), "The 'n_components' parameter of SPoCRidgeCV must be"),
        (SPoCRidgeCV(shrinkage=1.0), "The 'shrinkage' parameter of SPoCRidgeCV must be"),
        (SPoCRidgeCV(BANDS, alphas=[-1.0]), "alphas must be a list of finite numbers above 0"),
        (SPoCRidgeCV({"a": (40, 60)}), "band 'a' ends at 60 Hz, not below 50 Hz"),
        (BandTangentSpace(metric="x"), "The 'metric' parameter of BandTangentSpace must be"),
        (BandTangentSpace(shrinkage=0.0), "The 'shrinkage' parameter of BandTangentSpace must"),
    ],
    ids=repr,
)
def test_parameters_that_cannot_work_are_refused_in_fit(recording, model, message):
    if isinstance(model, BandTangentSpace):
        pytest.importorskip("pyriemann")
    with pytest.raises(ValueError, match=message):
        model.fit(*recording())
