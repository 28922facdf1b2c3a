"""What is read from the branches: against independent computation, and against planted truth."""

import mne
import numpy as np
import pytest
from scipy.signal import csd, freqz, lfilter, welch
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline

from sklearn_beira import BEIRARegressor, Compact, EEGFilter, EEGWindows, Training, Windower
from sklearn_beira.inspection import branch_patterns, cross_spectrum, read_branches

SFREQ = 100.0


def make_windows(seed=0, n_times=30_000, n_channels=6):
    """White sensor noise plus a 10 Hz source of waxing and waning power, with its topography."""
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal(n_channels)
    strength = np.exp(np.repeat(rng.standard_normal(n_times // 200), 200))
    wave = strength * np.sin(2 * np.pi * 10 * np.arange(n_times) / SFREQ)
    eeg = 1e-5 * (np.outer(mixing, wave) + rng.standard_normal((n_channels, n_times)))
    info = mne.create_info(n_channels, SFREQ, "eeg")
    onsets = np.arange(6.0, n_times / SFREQ, 2.0)
    X = EEGWindows([eeg], np.zeros(len(onsets), int), onsets, info, tmin=-4.0, tmax=0.0)
    power = np.log(strength)[np.round(onsets * SFREQ).astype(int) - 100]
    return X, power, mixing


@pytest.fixture(scope="module")
def fitted():
    X, power, mixing = make_windows()
    null = np.random.default_rng(1).standard_normal(len(power))
    model = BEIRARegressor(verbose=False)
    return model.fit(X, np.column_stack([power, null])), X, mixing


def test_cross_spectrum_equals_that_of_scipy():
    X, _, _ = make_windows(n_times=5000)
    frequencies, spectrum = cross_spectrum(X)
    _, start, stop = X.stretches()[0]
    eeg = X.recordings[0][:, start:stop]
    expected_f, power = welch(eeg, SFREQ, nperseg=200)
    np.testing.assert_allclose(frequencies, expected_f)
    np.testing.assert_allclose(np.diagonal(spectrum, axis1=1, axis2=2).T, power, rtol=1e-6)
    _, cross = csd(eeg[1], eeg[0], SFREQ, nperseg=200)
    np.testing.assert_allclose(spectrum[:, 0, 1], cross, rtol=1e-6, atol=1e-20)


def test_spatial_pattern_is_the_covariance_of_the_filtered_eeg_times_the_weights():
    X, _, _ = make_windows()
    rng = np.random.default_rng(0)
    filters, taps = rng.standard_normal((3, 6)), rng.standard_normal((3, 21))
    frequencies, spectrum = cross_spectrum(X)
    found = branch_patterns(filters, taps, spectrum, frequencies, SFREQ).patterns
    for w, h, pattern in zip(filters, taps, found, strict=True):
        expected = np.cov(lfilter(h, 1, X.recordings[0])) @ w
        cosine = expected @ pattern / np.linalg.norm(expected) / np.linalg.norm(pattern)
        assert cosine > 0.99
        assert np.abs(pattern).max() == pytest.approx(1)


def test_frequency_pattern_is_the_spectrum_of_the_virtual_channel_times_the_response():
    X, _, _ = make_windows()
    rng = np.random.default_rng(0)
    filters, taps = rng.standard_normal((1, 6)), rng.standard_normal((1, 21))
    frequencies, spectrum = cross_spectrum(X)
    response = np.abs(np.fft.rfft(taps[0], 200))
    _, start, stop = X.stretches()[0]
    _, psd = welch(filters[0] @ X.recordings[0][:, start:stop], SFREQ, nperseg=200)
    for method, power in (("psd", psd), ("amplitude", np.sqrt(psd))):
        found = branch_patterns(filters, taps, spectrum, frequencies, SFREQ, method=method)
        expected = power * response
        np.testing.assert_allclose(
            found.frequency_patterns[0], expected / expected.max(), atol=1e-6
        )
        np.testing.assert_allclose(
            found.frequency_responses[0], response / response.max(), atol=1e-9
        )
    with pytest.raises(ValueError, match="method must be 'psd' or 'amplitude', got 'power'"):
        branch_patterns(filters, taps, spectrum, frequencies, SFREQ, method="power")


def test_the_planted_source_is_read_from_the_most_important_branch(fitted):
    model, X, mixing = fitted
    branches = read_branches(model, X)
    assert branches.importance.shape == (2, 32)  # each region has 16 branches of its own
    assert (branches.importance[0, 16:] == 0).all()
    assert (branches.importance[1, :16] == 0).all()
    best = np.argmax(branches.importance[0])
    pattern = branches.patterns[best]
    cosine = abs(pattern @ mixing) / np.linalg.norm(pattern) / np.linalg.norm(mixing)
    assert cosine > 0.95
    peak = branches.frequencies[np.argmax(branches.frequency_patterns[best])]
    assert abs(peak - 10) <= 1
    assert model.closed_form_.bands[np.argmax(model.closed_form_.shares[0])] == "alpha"


def test_branches_are_read_through_a_pipeline(fitted):
    _, X, _ = fitted
    beira = BEIRARegressor(Compact(n_branches=2), verbose=False)
    model = Pipeline([("f", EEGFilter(1, 40, sfreq=None)), ("w", Windower(3.0)), ("b", beira)])
    model.fit(X, np.arange(len(X), dtype=float))
    branches = read_branches(model, X)
    assert branches.importance.shape == (1, 2)
    assert branches.region_names == ["ROI 0"]
    assert branches.ch_names == X.ch_names


def test_a_model_of_one_region_and_several_recordings_is_read():
    X, power, _ = make_windows(n_times=12_000)
    both = EEGWindows(
        [X.recordings[0][:, :6000], X.recordings[0][:, 6000:]],
        np.repeat([0, 1], 27),
        np.tile(X.times[:27], 2),
        X.info,
        tmin=-4.0,
        tmax=0.0,
    )
    model = BEIRARegressor(Compact(n_branches=3), verbose=False).fit(
        both, np.r_[power[:27], power[30:57]]
    )
    branches = read_branches(model, both)
    assert branches.importance.shape == (1, 3)
    assert branches.delay_kernels.shape == (1, 3, 6)
    assert (branches.regions == 0).all()
    # Each recording counts: the spectrum is the mean over both, weighted with their segments.
    parts = [cross_spectrum(both[both.groups == k])[1] for k in (0, 1)]
    np.testing.assert_allclose(cross_spectrum(both)[1], np.mean(parts, axis=0), rtol=1e-6)


def test_arrays_are_read_as_the_windows_they_were_cut_from(fitted):
    X = EEGWindows.from_array(fitted[1], sfreq=SFREQ)
    y = np.random.default_rng(0).standard_normal(len(X))
    model = BEIRARegressor(Compact(n_branches=2), verbose=False).fit(X, y)
    branches = read_branches(model, X)
    assert branches.ch_names is None
    assert branches.info is None
    np.testing.assert_allclose(branches.lags, 0.5 + 0.5 * (0.5 + np.arange(6)))
    with pytest.raises(ValueError, match=r"at 50 Hz, but BEIRARegressor was fitted with .* 100 Hz"):
        read_branches(model, EEGWindows.from_array(X, sfreq=50))


def test_lowpass_responses_are_those_of_the_mean_over_a_segment(fitted):
    model, X, _ = fitted
    branches = read_branches(model, X)
    _, expected = freqz(np.ones(50) / 50, worN=branches.frequencies, fs=SFREQ)
    assert branches.lowpass_responses.shape == branches.frequency_responses.shape
    np.testing.assert_allclose(branches.lowpass_responses[3], np.abs(expected), atol=1e-9)


def test_what_has_no_branches_is_refused(fitted):
    _, X, _ = fitted
    with pytest.raises(TypeError, match=r"a BEIRARegressor, .* got Windower"):
        read_branches(Windower(), X)
    model = BEIRARegressor("eegnet", training=Training(max_epochs=1), verbose=False).fit(
        X[:20], np.arange(20.0)
    )
    with pytest.raises(TypeError, match="EEGNet has no branches to read"):
        read_branches(model, X)
    with pytest.raises(NotFittedError):
        read_branches(BEIRARegressor(), X)


def test_eeg_that_the_model_could_not_predict_from_is_refused(fitted):
    model, X, _ = fitted
    with pytest.raises(ValueError, match=r"windows of 400 samples, but .* fitted with windows"):
        read_branches(model, np.asarray(X))
    with pytest.raises(ValueError, match=r"X has windows \[-3, 0\) s at 100 Hz, but"):
        read_branches(model, X.window(-3.0, 0.0))
    features = np.random.default_rng(0).standard_normal((40, 6))
    of_features = BEIRARegressor(verbose=False).fit(features, features[:, 0])
    with pytest.raises(ValueError, match=r"EEGWindows.from_array\(X, sfreq="):
        read_branches(of_features, features)
    with pytest.raises(ValueError, match=r"1 sample\(s\) have no spectrum"):
        read_branches(of_features, EEGWindows.from_array(features, sfreq=1.0))


def test_weights_and_spectra_that_do_not_fit_together_are_refused(fitted):
    _, X, _ = fitted
    frequencies, spectrum = cross_spectrum(X)
    with pytest.raises(ValueError, match=r"filters \(3, 6\), taps \(2, 5\) .* do not fit"):
        branch_patterns(np.ones((3, 6)), np.ones((2, 5)), spectrum, frequencies, SFREQ)
    with pytest.raises(ValueError, match=r"spectrum \(101, 6, 6\) do not fit .* cross_spectrum"):
        branch_patterns(np.ones((3, 5)), np.ones((3, 5)), spectrum, frequencies, SFREQ)
    with pytest.raises(ValueError, match="has no volumes"):
        cross_spectrum(X[:0])
