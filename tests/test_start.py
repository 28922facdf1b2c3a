"""The start of the default network: exact where it can be, and against a planted source."""

import mne
import numpy as np
import pytest
import torch
from scipy.signal import butter, fftconvolve, firwin, sosfiltfilt
from small_networks import make_beira

from sklearn_beira import EEGWindows
from sklearn_beira.features.hrf import hrf_at
from sklearn_beira.inspection import branch_importance
from sklearn_beira.regressor.nets.compact import CompactNetwork
from sklearn_beira.regressor.readings import Bank, _whitener, find_filters

SFREQ, T_R, WINDOW = 100.0, 2.0, 20.0
TRAIN, TEST = slice(0, 100), slice(110, None)


def simulate(
    seed=0, n_channels=8, duration=300.0, sfreq=SFREQ, band=(8.0, 12.0), shift=0.0, noise=0.7
):
    """One source of waxing and waning power in white noise; BOLD follows it by Glover's response.

    Returns EEG, onsets, BOLD with a first-order autoregressive noise, and the topography.
    """
    rng = np.random.default_rng(seed)
    n = round(duration * sfreq)
    topography = rng.standard_normal(n_channels)
    wave = firwin(401, band, fs=sfreq, pass_zero=False)
    wave = fftconvolve(rng.standard_normal(n + 400), wave, "valid")
    strength = np.repeat(rng.standard_normal(n // 400 + 1), 400)[:n]
    wave *= np.exp(0.5 * strength) / wave.std()
    eeg = 1e-5 * (0.7 * np.outer(topography, wave) + rng.standard_normal((n_channels, n)))
    response = hrf_at(np.arange(0, 32, 1 / sfreq) - shift)
    bold = fftconvolve(np.exp(strength), response)[:n]
    onsets = np.arange(WINDOW + 2.0, duration, T_R)
    bold = bold[np.round(onsets * sfreq).astype(int) - 1]
    error = rng.standard_normal(len(bold))
    for i in range(1, len(error)):
        error[i] = 0.6 * error[i - 1] + 0.8 * error[i]
    return eeg, onsets, (bold - bold.mean()) / bold.std() + noise * error, topography


def windows(recordings, onsets, sfreq=SFREQ):
    info = mne.create_info(len(recordings[0]), sfreq, "eeg")
    recording = np.repeat(np.arange(len(onsets)), [len(times) for times in onsets])
    onsets = np.concatenate(onsets)
    return EEGWindows(recordings, recording, onsets, info, tmin=-WINDOW, tmax=0.0)


def fit(X, y, **params):
    return make_beira(**{"verbose": False, **params}).fit(X, y)


def corr(a, b):
    return np.corrcoef(np.ravel(a), np.ravel(b))[0, 1]


def top_branch(model, X, roi=0):
    """Weights and delay kernel of the branch without which the prediction changes most."""
    network = model.network_
    k = branch_importance(model, X, method="leave_out")[roi].argmax()
    kernels = network.kernel.detach().cpu().numpy().reshape(-1, network.n_lags)
    return network.branches.spatial[k].detach().cpu().numpy(), kernels[k]


@pytest.fixture(scope="module")
def world():
    eeg, onsets, y, topography = simulate()
    null = np.random.default_rng(9).standard_normal(len(y))
    X = windows([eeg], [onsets])
    y = np.column_stack([y, null, np.full(len(y), 0.1)])
    return X, y, topography, fit(X[TRAIN], y[TRAIN])


# -- the planted source --------------------------------------------------------------------------
def test_the_planted_source_is_found(world):
    X, y, _, model = world
    start = model.closed_form_
    assert start.bands[start.shares[0].argmax()] == "alpha"
    assert start.shares[0].max() > 0.7
    assert start.autocorrelation[0] == pytest.approx(0.6, abs=0.21)
    assert start.kept[0] > 0.99
    assert corr(model.predict(X[TEST])[:, 0], y[TEST, 0]) > 0.5


def test_the_pattern_of_the_top_branch_is_the_planted_topography(world):
    X, _, topography, model = world
    spatial, _ = top_branch(model, X)
    sos = butter(4, (8.0, 12.0), "bandpass", fs=SFREQ, output="sos")
    covariance = np.cov(sosfiltfilt(sos, X.recordings[0]))
    assert abs(corr(covariance @ spatial, topography)) > 0.95


@pytest.mark.parametrize(("band", "name"), [((4.5, 7.5), "theta"), ((16.5, 23.5), "beta")])
def test_the_band_of_the_source_is_found(band, name):
    shares = 0.0
    for seed in (3, 4, 5):
        eeg, onsets, y, _ = simulate(seed=seed, band=band, noise=0.4)
        start = fit(windows([eeg], [onsets]), y).closed_form_
        shares = shares + start.shares[0]
    assert start.bands[shares.argmax()] == name


@pytest.mark.parametrize("shift", [-1.5, 0.0, 2.0, 4.0])
def test_the_kernel_peaks_when_the_planted_response_does(shift):
    peaks = []
    for seed in (4, 5, 6):
        eeg, onsets, y, _ = simulate(seed=seed, shift=shift, noise=0.3)
        X = windows([eeg], [onsets])
        _, kernel = top_branch(fit(X, y), X)
        # Newest lag first: half an FIR filter, then segments of 0.5 s.
        peaks.append(0.5 + 0.5 * (np.argmax(kernel) + 0.5))
    assert np.mean(peaks) == pytest.approx(5.0 + shift, abs=1.0)


def test_bold_that_falls_with_power_gets_a_negative_kernel():
    eeg, onsets, y, _ = simulate(seed=4, noise=0.3)
    X = windows([eeg], [onsets])
    up, down = (top_branch(fit(X, sign * y), X)[1] for sign in (1.0, -1.0))
    np.testing.assert_allclose(up, -down, atol=1e-3 * np.abs(up).max())
    assert up[np.abs(up).argmax()] > 0


def test_a_region_that_no_eeg_predicts_stays_near_its_mean(world):
    X, y, _, model = world
    predicted = model.predict(X[TEST])[:, 1]
    assert predicted.std() < 0.3 * y[:, 1].std()
    np.testing.assert_allclose(predicted, y[TRAIN, 1].mean(), atol=0.5)


def test_constant_bold_is_predicted_as_what_it_is(world):
    X, _, _, model = world
    np.testing.assert_allclose(model.predict(X)[:, 2], 0.1, rtol=1e-6)
    np.testing.assert_array_equal(model.closed_form_.shares[2], 0.0)
    assert model.closed_form_.kept[2] == 0.0


def test_regions_do_not_mix(world):
    X, y, _, model = world
    alone = fit(X[TRAIN], y[TRAIN, 0])
    np.testing.assert_allclose(alone.predict(X), model.predict(X)[:, 0], atol=1e-4)


def test_the_mean_prediction_of_the_training_volumes_is_their_mean(world):
    X, y, _, model = world
    predicted = model.predict(X[TRAIN])
    np.testing.assert_allclose(predicted.mean(axis=0), y[TRAIN].mean(axis=0), atol=1e-3)


def test_more_branches_follow_the_filter_bank_more_closely(world):
    X, y, _, _ = world
    kept = [fit(X[TRAIN], y[TRAIN, 0], n_branches=n).closed_form_.kept[0] for n in (1, 3, 16)]
    assert 0.8 < min(kept[:2]) < kept[2] <= 1.0


# -- what must not matter ------------------------------------------------------------------------
# It is noticed, all the same.
@pytest.mark.filterwarnings("ignore:the EEG of recording 0 has an SD")
@pytest.mark.parametrize("unit", [1e6, 1e-3])
def test_the_unit_of_the_eeg_does_not_matter(world, unit):
    X, y, _, model = world
    scaled = windows([unit * X.recordings[0]], [X.times])
    found = fit(scaled[TRAIN], y[TRAIN]).predict(scaled)
    np.testing.assert_allclose(found, model.predict(X), atol=1e-2)


def test_the_unit_and_the_baseline_of_bold_do_not_matter(world):
    X, y, _, model = world
    found = fit(X[TRAIN], 1e4 + 25.0 * y[TRAIN]).predict(X)
    np.testing.assert_allclose((found - 1e4) / 25.0, model.predict(X), atol=1e-3)


def test_the_order_of_the_volumes_does_not_matter(world):
    X, y, _, model = world
    order = np.random.default_rng(0).permutation(100)
    found = fit(X[order], y[order]).predict(X)
    np.testing.assert_allclose(found, model.predict(X), atol=1e-3)


def test_a_fit_draws_nothing(world):
    X, y, _, model = world
    again = fit(X[TRAIN], y[TRAIN], random_state=7)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


def test_recordings_with_other_baselines_are_not_confused():
    (a, times, y, _), (b, _, z, _) = (simulate(seed=5, duration=t) for t in (150.0, 100.0))
    X = windows([a, b], [times, times[: len(z)]])
    plain = np.r_[y, z]
    shifted = plain + 40.0 * X.groups
    one, other = fit(X, plain), fit(X, shifted)
    difference = other.predict(X) - one.predict(X)
    np.testing.assert_allclose(difference, shifted.mean() - plain.mean(), atol=2e-3)
    assert one.predict(X).std() > 0.5


def test_a_recording_cut_in_two_reads_as_in_one_piece(world):
    X, y, _, _ = world
    eeg, times = X.recordings[0], X.times
    early, late = times < 160.0, times >= 160.0 + WINDOW
    two = windows([eeg[:, :16_000], eeg[:, 16_000:]], [times[early], times[late] - 160.0])
    y = y[early | late, 0]
    one = fit(X[early | late], y).predict(X)
    assert corr(fit(two, y).predict(X), one) > 0.98
    # The rows of the second recording are not those of the first.
    assert corr(fit(two, y[::-1]).predict(X), one) < 0.5


# -- EEG as it comes -----------------------------------------------------------------------------
def test_artifacts_hardly_move_predictions_elsewhere(world):
    X, y, _, model = world
    eeg = X.recordings[0].copy()
    for start in np.random.default_rng(0).uniform(22.0, 220.0, 5):
        eeg[:, round(start * SFREQ) : round(start * SFREQ) + 50] *= 100.0
    spoilt = windows([eeg], [X.times])
    found = fit(spoilt[TRAIN], y[TRAIN]).predict(spoilt)
    assert corr(found[TEST, 0], model.predict(X)[TEST, 0]) > 0.9
    # Nor do they throw the volumes they reach far off.
    assert np.abs(found[TRAIN, 0]).max() < 2 * np.abs(model.predict(X)[TRAIN, 0]).max()


def test_an_artifact_moves_no_prediction_whose_window_it_is_not_in(world):
    X, _, _, model = world
    eeg = X.recordings[0].copy()
    eeg[:, 20_000:20_050] *= 1000.0
    touched = (X.times > 199.9) & (X.times < 220.6)
    before, after = (model.predict(Z)[:, 0] for Z in (X, windows([eeg], [X.times])))
    np.testing.assert_allclose(after[~touched], before[~touched], atol=1e-4)
    assert (np.abs(after - before)[touched] > 1e-3).any()


def test_average_reference_and_a_channel_given_twice_work(world):
    X, y, _, model = world
    expected = corr(model.predict(X[TEST])[:, 0], y[TEST, 0])
    eeg = X.recordings[0]
    referenced = windows([eeg - eeg.mean(axis=0)], [X.times])
    twice = windows([np.concatenate([eeg, eeg[:1]])], [X.times])
    for Z in (referenced, twice):
        found = fit(Z[TRAIN], y[TRAIN, 0])
        assert found.closed_form_.kept[0] > 0.99
        assert corr(found.predict(Z[TEST]), y[TEST, 0]) > expected - 0.1
        weights = found.network_.branches.spatial.detach().cpu().numpy()
        kernels = found.network_.kernel.detach().cpu().numpy()
        # Whitening may not blow up the direction that the EEG does not have.
        assert np.abs(weights).max() < 100
        assert np.isfinite(kernels).all()


@pytest.mark.parametrize("n_channels", [2, 5], ids=["few features", "many features"])
def test_a_silent_channel_of_an_array_changes_nothing(n_channels):
    eeg, onsets, y, _ = simulate(n_channels=n_channels)
    X = np.asarray(windows([eeg], [onsets]).window(-15.0, 0.0))
    train, test = slice(0, 80), slice(110, None)
    silent = EEGWindows.from_array(np.insert(X, 1, 0.0, axis=1), sfreq=SFREQ)
    X = EEGWindows.from_array(X, sfreq=SFREQ)
    expected = fit(X[train], y[train]).predict(X[test])
    found = fit(silent[train], y[train]).predict(silent[test])
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_a_silent_channel_of_windows_is_refused(world):
    X, _, _, _ = world
    eeg = np.insert(X.recordings[0], 1, 0.0, axis=0)
    with pytest.raises(ValueError, match="channel '1' of recording 0 is flat; mark it as bad"):
        windows([eeg], [X.times])


@pytest.mark.parametrize("level", [0.0, 1e-5])
def test_eeg_without_any_signal_predicts_the_mean(level):
    X = EEGWindows.from_array(np.full((20, 3, 400), level), sfreq=SFREQ)
    y = np.random.default_rng(0).standard_normal((20, 2))
    found = fit(X, y).predict(X)
    np.testing.assert_allclose(found, np.tile(y.mean(axis=0), (20, 1)), atol=1e-2)


def test_a_recording_that_is_silent_most_of_the_time_is_read_where_it_is_not(world):
    X, y, _, _ = world
    eeg = np.concatenate([X.recordings[0], 0.0 * X.recordings[0][:, ::-1]], axis=1)
    times = np.r_[X.times, X.times + 300.0][TRAIN.stop :]
    target = np.r_[y[:, 0], np.zeros(len(y))][TRAIN.stop :]
    Z = windows([eeg], [times])
    assert fit(Z, target).predict(Z).std() > 0.05


# -- sizes and rates -----------------------------------------------------------------------------
@pytest.mark.parametrize("sfreq", [64.0, 250.0])
def test_other_sampling_rates_find_the_source(sfreq):
    eeg, onsets, y, topography = simulate(seed=2, sfreq=sfreq, noise=0.4)
    X = windows([eeg], [onsets], sfreq)
    model = fit(X[TRAIN], y[TRAIN], n_taps=2 * round(sfreq / 2) + 1, segment=round(sfreq / 2))
    assert corr(model.predict(X[TEST]), y[TEST]) > 0.5
    spatial, _ = top_branch(model, X)
    sos = butter(4, (8.0, 12.0), "bandpass", fs=sfreq, output="sos")
    assert abs(corr(np.cov(sosfiltfilt(sos, eeg)) @ spatial, topography)) > 0.9


def test_few_volumes_one_channel_and_many_channels_work():
    eeg, onsets, y, _ = simulate()
    X = windows([eeg], [onsets])
    np.testing.assert_allclose(fit(X[:2], y[:2]).predict(X), y[:2].mean(), rtol=1e-6)
    assert np.isfinite(fit(X[:3], y[:3]).predict(X)).all()
    one = windows([eeg[:1]], [onsets])
    assert np.isfinite(fit(one, y).predict(one)).all()
    eeg, onsets, y, _ = simulate(n_channels=128, duration=62.0)
    many = windows([eeg], [onsets])
    assert np.isfinite(fit(many, y).predict(many)).all()


def test_a_very_short_recording_beside_a_long_one_changes_little(world):
    X, y, _, _ = world
    eeg, onsets, z, _ = simulate(seed=8, duration=25.0)
    assert len(z) == 2
    Z = windows([X.recordings[0], eeg], [X.times, onsets[:1]])
    found = fit(Z, np.r_[y[:, 0], 50.0]).predict(X)
    alone = fit(X, y[:, 0]).predict(X)
    assert corr(found, alone) > 0.98


@pytest.mark.filterwarnings("ignore:.* left out one by one")
def test_volumes_given_twice_as_in_a_bootstrap_work(world):
    X, y, _, model = world
    found = []
    for seed in range(6):
        rows = np.sort(np.random.default_rng(seed).integers(0, 100, 100))
        found.append(corr(fit(X[rows], y[rows, 0]).predict(X[TEST]), model.predict(X[TEST])[:, 0]))
    assert np.mean(found) > 0.4


def test_one_tap_reads_the_power_of_all_frequencies(world):
    X, y, _, _ = world
    model = fit(X[TRAIN], y[TRAIN, 0], n_taps=1)
    assert model.closed_form_.bands == ["all"]
    assert model.closed_form_.shares.shape == (1, 1)
    assert corr(model.predict(X[TEST]), y[TEST, 0]) > 0.3


# -- a quadratic form as powers of filters -------------------------------------------------------
@pytest.mark.parametrize("rank", [5, 3], ids=["full rank", "average reference"])
@pytest.mark.parametrize("kind", ["power", "covariance"])
def test_all_filters_together_are_the_quadratic_form(rank, kind):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5, rank)) @ rng.standard_normal((30, rank, 12))
    moments = x @ x.swapaxes(1, 2)
    covariance = moments.mean(axis=0)
    bank = Bank([np.ones(1)], np.ones((20, 1)), [covariance], [10.0])
    if kind == "power":
        unit, features = (
            np.diag(covariance),
            np.einsum("vcc->vc", moments / np.diag(covariance)[:, None]),
        )
    else:
        unit = _whitener(covariance, 24)
        z, (i, j) = unit.T @ moments @ unit, np.triu_indices(unit.shape[1])
        features = z[:, i, j] * np.where(i == j, 1.0, np.sqrt(2.0))
    weights = rng.standard_normal(features.shape[1])
    found = find_filters(bank, [unit], [weights], 99)
    assert len(found) == rank
    filters = np.array([f.spatial for f in found])
    np.testing.assert_allclose(filters @ covariance @ filters.T, np.eye(rank), atol=1e-8)
    power = np.einsum("kc,vcd,kd->vk", filters, moments, filters)
    weighted = power @ np.array([f.weights[0] for f in found])
    np.testing.assert_allclose(weighted, features @ weights, rtol=1e-7, atol=1e-7)
    assert [f.spatial.tolist() for f in find_filters(bank, [unit], [weights], 2)] == filters[
        :2
    ].tolist()


# -- the network: stretches and windows ----------------------------------------------------------
@pytest.mark.parametrize("n_times", [2000, 1999, 151, 150])
def test_reading_a_stretch_equals_reading_its_windows(n_times):
    torch.manual_seed(0)
    network = CompactNetwork(3, 2, n_times, n_branches=4)
    torch.nn.init.normal_(network.kernel)
    torch.nn.init.normal_(network.bias)
    network.branches.power_limit.fill_(1.1)  # some segments are turned down, others are not
    eeg = torch.randn(3, 6000)
    stops = torch.tensor([n_times, n_times + 1, 3000, 3007, 6000])
    with torch.no_grad():
        stretch = network.at(eeg, stops)
        cut = network(torch.stack([eeg[:, stop - n_times : stop] for stop in stops.tolist()]))
    assert cut.shape == (5, 2)
    assert cut.std() > 0.1
    torch.testing.assert_close(stretch, cut, rtol=1e-4, atol=1e-4)


def test_a_fitted_model_predicts_windows_as_its_network_reads_them(world):
    X, _, _, model = world
    network = model.network_
    eeg = torch.from_numpy(np.asarray(X[:20]).astype(np.float32) / np.float32(model.eeg_scale_))
    with torch.no_grad():
        estimates = network(eeg.to(model.device_)).cpu().numpy()
    expected = estimates * model.target_scale_ + model.target_mean_
    np.testing.assert_allclose(model.predict(X[:20]), expected, atol=1e-4)


def test_an_artifact_moves_the_predictions_of_its_own_windows_little(world):
    X, _, _, model = world
    before = model.predict(X)[:, 0]
    for loud in (100.0, 1000.0):
        eeg = X.recordings[0].copy()
        eeg[:, 20_010:20_040] *= loud
        after = model.predict(windows([eeg], [X.times]))[:, 0]
        # The FIR filters carry it into the segments beside its own.
        assert np.abs(after - before).max() < before.std()
