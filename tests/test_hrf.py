"""Features weighted with the hemodynamic response, against loops over windows."""

import mne
import numpy as np
import pytest
from scipy.stats import gamma

from sklearn_beira import EEGWindows, align
from sklearn_beira.eeg import cache as _cache
from sklearn_beira.features.band_power import BandPower
from sklearn_beira.features.covariance import BandCovariance
from sklearn_beira.features.hrf import HRFBandPower, hrf_at, response_basis

ALPHA = {"alpha": (8.0, 12.0)}
TWO = {**ALPHA, "beta": (15.0, 30.0)}


@pytest.fixture(autouse=True)
def rows(monkeypatch):
    """Let no test live on the rows that another one has computed."""
    fresh = _cache.Cache(10**9)
    monkeypatch.setattr(_cache, "results", fresh)
    return fresh


def windows(raws, tmin=-20.0, tmax=0.0):
    raws = raws if isinstance(raws, list) else [raws]
    y = [np.arange(30.0)] * len(raws)
    X = align(raws, y, t_r=2.0, tmin=tmin, tmax=tmax, verbose="error")[0]
    return X.window(tmin, tmax)  # all of it, on purpose


def test_the_response_is_the_difference_of_the_two_gamma_densities_of_nilearn():
    times = np.arange(0.0, 32.0, 0.5)
    found = hrf_at(times)
    expected = gamma.pdf(times, 6 / 0.9, scale=0.9) - 0.48 * gamma.pdf(times, 12 / 0.9, scale=0.9)
    np.testing.assert_allclose(found, expected / expected.max(), atol=0.01)
    assert hrf_at(np.arange(0, 32, 0.01)).max() == pytest.approx(1.0, abs=1e-5)
    assert times[found.argmax()] == 5.0
    np.testing.assert_array_equal(hrf_at([-0.1, 32.1, 100.0]), 0.0)


def random_responses(lags, n, shift, stretch, seed=0):
    rng = np.random.default_rng(seed)
    later = shift * rng.standard_normal((n, 1))
    wider = np.exp(stretch * rng.standard_normal((n, 1)))
    return hrf_at((lags - later) / wider)


@pytest.mark.parametrize(("shift", "stretch"), [(1.5, 0.15), (0.5, 0.3), (2.0, 0.0)])
def test_the_basis_has_the_second_moment_of_random_responses(shift, stretch):
    lags = np.arange(0.75, 20.0, 0.5)
    basis = response_basis(lags, shift=shift, stretch=stretch, negligible=0.0)
    responses = random_responses(lags, 40_000, shift, stretch)
    expected = responses.T @ responses / len(responses)
    expected /= np.trace(expected)
    np.testing.assert_allclose(basis @ basis.T, expected, atol=0.02 * expected.max())


def test_few_kernels_span_the_responses_one_may_expect():
    lags = np.arange(0.75, 20.0, 0.5)
    basis = response_basis(lags)
    assert basis.shape[1] < 6
    responses = random_responses(lags, 2_000, 1.5, 0.15, seed=1)
    weights = np.linalg.lstsq(basis, responses.T, rcond=None)[0]
    missed = np.square(responses.T - basis @ weights).sum() / np.square(responses).sum()
    assert missed < 0.02
    # Independent weights of variance 1 are the prior: the responses have about those.
    spread = np.square(responses).sum(axis=1).mean()
    np.testing.assert_allclose(np.square(weights).mean(axis=1) / spread, 1.0, atol=0.15)


def test_kernels_are_orthogonal_of_falling_norm_and_point_up():
    basis = response_basis(np.arange(0.75, 20.0, 0.5), negligible=1e-3)
    gram = basis.T @ basis
    norms = np.diag(gram)
    np.testing.assert_allclose(gram, np.diag(norms), atol=1e-12)
    assert (np.diff(norms) < 0).all()
    assert norms[-1] > 1e-3 * norms[0]
    assert norms.sum() == pytest.approx(1.0, abs=0.01)
    assert (basis.sum(axis=0) > 0).all()


def test_without_shift_and_stretch_the_only_kernel_is_the_response():
    lags = np.arange(0.75, 20.0, 0.5)
    basis = response_basis(lags, shift=1e-4, stretch=1e-4)
    assert basis.shape == (len(lags), 1)
    response = hrf_at(lags)
    np.testing.assert_allclose(basis[:, 0], response / np.linalg.norm(response), atol=1e-3)


@pytest.mark.parametrize("end", [0.0, 2.0, -3.0])
def test_weighted_power_is_the_weighted_sum_of_the_lags(make_raw, end):
    X = windows(make_raw(), tmax=end)
    model = HRFBandPower(TWO).fit(X)
    found = model.transform(X).reshape(len(X), 2, 4)
    lags = BandPower(TWO, duration=1.0, step=1.0).fit_transform(X).reshape(len(X), -1, 2, 4)
    weights = hrf_at(np.arange(lags.shape[1]) - end + 0.5)
    expected = sum(w * lags[:, i] for i, w in enumerate(weights)) / np.abs(weights).sum()
    np.testing.assert_allclose(found, expected)
    assert model.get_feature_names_out()[5] == "E2 beta"


def test_a_burst_is_weighted_most_at_the_peak_of_the_response(make_raw):
    raw = make_raw(n_channels=2, duration=120.0)
    rng = np.random.default_rng(0)
    raw._data[:] = 1e-7 * rng.standard_normal(raw._data.shape)
    raw._data[0] += 1e-4 * np.sin(20 * np.pi * raw.times) * (np.abs(raw.times - 60.0) < 1.0)
    onsets = np.arange(55.0, 85.0, 1.0)
    X, _ = align(raw, onsets, volume_times=onsets, tmin=-20.0, tmax=0.0, verbose="error")
    power = HRFBandPower(ALPHA).fit_transform(X)[:, 0]
    assert onsets[power.argmax()] - 60.0 == pytest.approx(5.0, abs=1.0)
    covariance = BandCovariance(ALPHA).fit_transform(X)[:, 0, 0, 0]
    assert onsets[covariance.argmax()] - 60.0 == pytest.approx(5.0, abs=1.0)


@pytest.mark.parametrize(
    ("average", "picks"),
    [("all", [0, 1, 2, 3, 4]), ("posterior", [1, 3]), (["Fz", "PO7"], [0, 3])],
)
def test_channels_are_averaged_by_name(make_raw, average, picks):
    X = windows(make_raw(n_channels=5, ch_names=["Fz", "Oz", "P3", "PO7", "Other"]))
    kept = HRFBandPower(TWO).fit_transform(X).reshape(len(X), 2, 5)
    model = HRFBandPower(TWO, average=average).fit(X)
    np.testing.assert_allclose(model.transform(X), kept[:, :, picks].mean(axis=-1))
    assert list(model.get_feature_names_out()) == ["alpha", "beta"]


def test_without_posterior_names_all_channels_are_averaged(make_raw):
    X = windows(make_raw())
    found, expected = (
        HRFBandPower(ALPHA, average=a).fit_transform(X) for a in ("posterior", "all")
    )
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("end", [0.0, 2.0, -3.0])
def test_covariances_are_those_of_a_loop_over_windows(make_raw, end):
    raws = [make_raw(random_state=i) for i in range(2)]
    X = windows(raws, tmax=end)
    found = BandCovariance(TWO).fit_transform(X)
    assert found.shape == (len(X), 2, 4, 4)
    weights = np.maximum(hrf_at(np.arange(20.0 + end, 0, -0.01) - 0.005 - end), 0)
    weights /= weights.sum()
    for b, band in enumerate(TWO.values()):
        filtered = [raw.copy().filter(*band, verbose="error").get_data() for raw in raws]
        for i in (0, 7, len(X) - 1):
            start = round((X.times[i] - 20.0) * 100)
            window = filtered[X.groups[i]][:, start : start + len(weights)]
            expected = np.cov(window, aweights=weights, bias=True)
            mean = window @ weights
            expected += np.outer(mean, mean)  # the filter has taken the mean already
            np.testing.assert_allclose(found[i, b], expected, rtol=1e-4, atol=1e-16)
    np.testing.assert_array_equal(found, found.transpose(0, 1, 3, 2))
    assert np.linalg.eigvalsh(found).min() > 0


def test_covariances_are_the_same_from_the_cache_and_in_any_order(make_raw, rows, monkeypatch):
    X = windows([make_raw(random_state=i) for i in range(2)])
    found = BandCovariance(TWO).fit_transform(X)
    calls = []
    monkeypatch.setattr(
        "sklearn_beira.features.covariance.filter_bands", lambda *args: calls.append(args)
    )
    chosen = [30, 2, 31, 2]
    np.testing.assert_array_equal(BandCovariance(TWO).fit_transform(X[chosen]), found[chosen])
    monkeypatch.undo()
    monkeypatch.setattr(_cache, "results", _cache.Cache(10**9))
    assert not calls
    np.testing.assert_array_equal(BandCovariance(TWO).fit_transform(X[chosen]), found[chosen])
    np.testing.assert_array_equal(BandCovariance(TWO).fit_transform(X), found)


def test_a_table_is_one_time_point_per_sample():
    X = np.random.default_rng(0).standard_normal((6, 3))
    found = BandCovariance(None).fit_transform(X)
    np.testing.assert_allclose(found[:, 0], X[:, :, None] * X[:, None, :])


def test_an_average_reference_shows_as_one_missing_dimension(make_raw):
    raw = make_raw()
    raw.set_eeg_reference("average", verbose="error")
    values = np.linalg.eigvalsh(BandCovariance(ALPHA).fit_transform(windows(raw)))
    assert (values[..., 0] < 1e-6 * values[..., 1]).all()


@pytest.mark.parametrize("Step", [HRFBandPower, BandCovariance])
def test_a_window_outside_the_response_is_refused(make_raw, Step):
    info = mne.create_info(2, 100.0, "eeg")
    eeg = make_raw(n_channels=2).get_data()
    X = EEGWindows([eeg], [0, 0], [20.0, 30.0], info, tmin=3.0, tmax=6.0)
    with pytest.raises(ValueError, match=r"the window, from -\d.* is outside the hemodyn"):
        Step(ALPHA).fit(X)


def test_another_window_is_refused(make_raw):
    model = BandCovariance(ALPHA).fit(windows(make_raw()))
    with pytest.raises(ValueError, match=r"windows of 1000 samples .* in fit"):
        model.transform(windows(make_raw(), tmin=-10.0))


def test_unknown_channels_are_refused(make_raw):
    X = windows(make_raw())
    with pytest.raises(ValueError, match=r"average .*\['Oz'\].* not among \['E1'"):
        HRFBandPower(ALPHA, average=["Oz", "E1"]).fit(X)
    with pytest.raises(ValueError, match="no channel names; use average='all'"):
        HRFBandPower(ALPHA, average=["Oz"]).fit(EEGWindows.from_array(X, sfreq=100))
    with pytest.raises(ValueError, match=r"EEGWindows.from_array\(X, sfreq="):
        BandCovariance(ALPHA).fit(np.asarray(X))
