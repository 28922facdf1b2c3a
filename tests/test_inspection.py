"""What is read from the branches: against independent computation, and against planted truth."""

import mne
import numpy as np
import pytest
import torch
from scipy.signal import csd, lfilter, welch
from sklearn.pipeline import Pipeline

from sklearn_beira import BEIRARegressor, EEGFilter, EEGWindows, Windower
from sklearn_beira.inspection import (
    branch_importance,
    branch_patterns,
    cross_spectrum,
    read_branches,
)

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
    frequencies, spectrum = cross_spectrum(X, SFREQ)
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
    frequencies, spectrum = cross_spectrum(X, SFREQ)
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
    frequencies, spectrum = cross_spectrum(X, SFREQ)
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
    assert model.start_.bands[np.argmax(model.start_.shares[0])] == "alpha"


def test_importance_is_gradient_times_activation():
    X, power, _ = make_windows(n_times=6000)
    model = BEIRARegressor(
        "autoencoder", n_branches=2, n_taps=5, encoder_width=4, decoder_width=4,
        kernel_sizes=(3, 3), pool_sizes=(4,), mode="many_to_many", max_epochs=1, random_state=0,
        verbose=False,
    ).fit(X, np.column_stack([power, -power]))  # fmt: skip
    found = branch_importance(model, X)
    assert found.shape == (2, 4)
    # Each region has branches of its own: those of the other cannot matter to it.
    assert (found[0, 2:] == 0).all()
    assert (found[1, :2] == 0).all()
    network = model.net_.module_.network
    eeg = torch.tensor(np.asarray(X) / model.eeg_scale_, dtype=torch.float32)
    envelopes = network.branches(eeg).detach()
    step, expected = 1e-2, []
    for k in range(2):
        moved = [envelopes.clone() for _ in range(2)]
        moved[0][:, k, -3] += step
        moved[1][:, k, -3] -= step
        up, down = (network.decode(m, 400)[:, 0, -1] for m in moved)
        gradient = (up - down) / (2 * step)
        expected.append(float((gradient * envelopes[:, k, -3]).abs().mean().detach()))
    leaf = envelopes.clone().requires_grad_()
    network.decode(leaf, 400)[:, 0, -1].sum().backward()
    exact = (leaf.grad * leaf).abs()[:, :2, -3].mean(dim=0).detach().numpy()
    np.testing.assert_allclose(expected, exact, rtol=0.05, atol=1e-4)
    total = (leaf.grad * leaf).abs().mean(dim=(0, 2))[:2].detach().numpy()
    np.testing.assert_allclose(found[0, :2], total / total.max(), rtol=1e-4)


def test_branches_are_read_through_a_pipeline(fitted):
    _, X, _ = fitted
    beira = BEIRARegressor(n_branches=2, verbose=False)
    model = Pipeline([("f", EEGFilter(1, 40, sfreq=None)), ("w", Windower(3.0)), ("b", beira)])
    model.fit(X, np.arange(len(X), dtype=float))
    branches = read_branches(model, X)
    assert branches.importance.shape == (1, 2)
    assert branches.region_names == ["ROI 0"]
    assert branches.ch_names == X.ch_names


def test_what_has_no_branches_is_refused(fitted):
    model, X, _ = fitted
    with pytest.raises(TypeError, match=r"read from a BEIRARegressor or a Pipeline .* Windower"):
        read_branches(Windower(), X)
    with pytest.raises(ValueError, match="give sfreq in Hz"):
        read_branches(model, np.asarray(X))
