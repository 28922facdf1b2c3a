"""Importance, delay kernels and envelopes: against finite differences and silenced branches."""

import copy

import numpy as np
import pytest
import torch
from scipy.signal import fftconvolve, freqz
from sklearn.pipeline import Pipeline
from small_networks import make_beira
from torch import nn

from sklearn_beira import (
    BEIRARegressor,
    Compact,
    CustomNetwork,
    EEGWindows,
    Windower,
    align,
    make_paper_beira,
)
from sklearn_beira.inspection import branch_envelopes, branch_importance, read_branches


@pytest.fixture(scope="module")
def windows(make_study):
    """Two recordings of 120 s at 100 Hz, windows of 16 s."""
    study = make_study(n_runs=2, sfreq=100.0, lead_in=17.0)
    return align(study.raws, study.bolds, trigger="mri", tmin=-16.0, tmax=0.0, verbose="error")


@pytest.fixture(scope="module")
def compact(windows):
    X, y = windows
    model = BEIRARegressor(Compact(n_branches=4), verbose=False).fit(X, y)
    # Without the limit on loud segments, power alone moves the prediction.
    model.network_.branches.power_limit.fill_(np.inf)
    return model


@pytest.fixture(scope="module")
def few(windows):
    """Every fourth window: the autoencoder reads window by window."""
    X, y = windows
    return X[::4], y[::4]


@pytest.fixture(scope="module")
def paper(few):
    sizes = {"n_branches": 3, "n_taps": 11, "encoder_width": 8, "decoder_width": 4}
    sizes |= {"kernel_sizes": (3, 3), "pool_sizes": (8,)}
    model = make_paper_beira(
        **sizes, mode="many_to_one", max_epochs=3, random_state=0, validation_fraction=0,
        verbose=False,
    )  # fmt: skip
    return model.fit(*few)


def decode(model, envelopes):
    network = model.network_
    with torch.no_grad():
        bold = network.decode(envelopes, 1600)
    return (bold if bold.ndim == 2 else bold[..., -1]).cpu().numpy().astype(float)


def window_envelopes(model, X):
    eeg = torch.tensor(np.asarray(X) / model.eeg_scale_, dtype=torch.float32)
    with torch.no_grad():
        return model.network_.eval().branches(eeg.to(model.device_))


def test_importance_is_gradient_times_activation(paper, few):
    found = branch_importance(paper, few[0])
    assert found.shape == (2, 6)
    # Each region has branches of its own: those of the other cannot matter to it.
    assert (found[0, 3:] == 0).all()
    assert (found[1, :3] == 0).all()
    envelopes = window_envelopes(paper, few[0])
    expected = np.zeros((2, 6))
    for roi in range(2):
        leaf = envelopes.clone().requires_grad_()
        paper.network_.decode(leaf, 1600)[:, roi, -1].sum().backward()
        expected[roi] = (leaf.grad * leaf).abs().mean(dim=(0, 2)).detach().cpu()
    np.testing.assert_allclose(found, expected / expected.max(axis=1, keepdims=True), rtol=1e-4)


def test_the_delay_kernel_of_compact_is_the_one_it_has_learned(compact, windows):
    branches = read_branches(compact, windows[0])
    kernel = compact.network_.kernel.detach().cpu().numpy()
    assert branches.delay_kernels.shape == (2, 8, 30)
    np.testing.assert_array_equal(branches.regions, [0, 0, 0, 0, 1, 1, 1, 1])
    # Segments last 0.5 s, the newest ends half a FIR filter, 0.5 s, before the volume.
    np.testing.assert_allclose(branches.delay_kernels[1, 4:], kernel[1] / 0.5, rtol=1e-5, atol=1e-7)
    assert (branches.delay_kernels[1, :4] == 0).all()
    np.testing.assert_allclose(branches.lags, 0.75 + 0.5 * np.arange(30))


def test_delay_kernels_say_what_more_power_some_seconds_ago_does(compact, windows):
    X, _ = windows
    branches = read_branches(compact, X)
    louder = np.asarray(X)
    louder[:, :, 1600 - 900 : 1600 - 500] *= np.sqrt(2)  # from 9 to 5 s before the volume
    envelopes = [window_envelopes(compact, eeg) for eeg in (X, louder)]
    before, after = (decode(compact, e).mean(axis=0) for e in envelopes)
    inside = (branches.lags > 5) & (branches.lags < 9)
    kernels = 0.5 * branches.delay_kernels[:, :, inside].sum(axis=2)
    assert (np.abs(kernels.sum(axis=1)) > 0.1).all()
    # Logarithms change by a little less on average than at the mean; branches may cancel out.
    off = np.abs(after - before - kernels.sum(axis=1))
    assert (off < 0.1 * np.abs(kernels).sum(axis=1)).all()


@pytest.mark.parametrize("as_array", [False, True])
def test_lags_count_the_delay_of_the_window(windows, as_array):
    X, y = windows
    X = EEGWindows.from_array(X, sfreq=100.0) if as_array else X
    beira = BEIRARegressor(Compact(n_branches=2), verbose=False)
    window = Windower(10.0, 2.0)
    model = Pipeline([("window", window), ("beira", beira)]).fit(X, y)
    np.testing.assert_allclose(read_branches(model, X).lags, 2.75 + 0.5 * np.arange(18))


def test_the_delay_kernel_of_the_autoencoder_is_its_mean_response_to_a_doubling(paper, few):
    X, _ = few
    branches = read_branches(paper, X)
    assert branches.delay_kernels.shape == (2, 6, 1600)
    np.testing.assert_allclose(branches.lags[[0, -1]], [0.005, 15.995])
    envelopes = window_envelopes(paper, X)
    bias = paper.network_.branches.lowpass_bias.detach()
    unit = envelopes.mean(dim=(0, 2)) - bias
    # In double precision the step can be too small to cross the kinks of a max-pool.
    precise = copy.deepcopy(paper)
    precise.network_.double()
    envelopes, unit = envelopes.double(), unit.double()
    for k, newest in ((0, 0), (1, 6), (4, 3)):
        step, moved = 1e-5, []
        for sign in (1, -1):
            other = envelopes.clone()
            other[:, k, 1600 - newest - 10 : 1600 - newest] += sign * step * unit[k]
            moved.append(decode(precise, other).mean(axis=0))
        slope = (moved[0] - moved[1]) / (2 * step)
        found = branches.delay_kernels[:, k, newest : newest + 10].sum(axis=1) / 100.0
        np.testing.assert_allclose(found, slope, rtol=1e-3, atol=1e-7)
        assert np.abs(found).max() > 2e-4
    # Convolutions and pools of this network do not reach back 4 s.
    assert (branches.delay_kernels[:, :, branches.lags > 4] == 0).all()


def test_lowpass_responses_of_the_autoencoder_are_those_of_its_filters(paper, few):
    branches = read_branches(paper, few[0])
    taps = paper.network_.branches.lowpass.detach().cpu().numpy()[2]
    _, response = freqz(taps, worN=branches.frequencies, fs=100.0)
    expected = np.abs(response) / np.abs(response).max()
    np.testing.assert_allclose(branches.lowpass_responses[2], expected, atol=1e-6)


def test_leaving_a_branch_out_equals_a_network_without_its_kernel(compact, windows):
    X, _ = windows
    found = branch_importance(compact, X, method="leave_out")
    assert found.shape == (2, 8)
    whole = compact.predict(X)
    for roi, branch in ((0, 0), (1, 2)):
        without = copy.deepcopy(compact)
        without.network_.kernel.data[roi, branch] = 0.0
        change = (whole - without.predict(X))[:, roi].std() / whole[:, roi].std()
        assert found[roi, 4 * roi + branch] == pytest.approx(change, rel=1e-3)
    assert (found[0, 4:] == 0).all()


def test_leaving_a_branch_of_the_autoencoder_out_equals_one_with_a_constant_envelope(paper, few):
    X, _ = few
    found = branch_importance(paper, X, method="leave_out")
    constant = copy.deepcopy(paper)
    branches = constant.network_.branches
    mean = window_envelopes(paper, X).mean(dim=(0, 2))[4]
    branches.lowpass.data[4], branches.lowpass_bias.data[4] = 0.0, mean
    whole, without = paper.predict(X), constant.predict(X)
    expected = (whole - without)[:, 1].std() / whole[:, 1].std()
    assert found[1, 4] == pytest.approx(expected, rel=1e-3)
    assert found[0, 4] == 0
    np.testing.assert_array_equal(whole[:, 0], without[:, 0])


def test_importance_of_another_name_is_refused(compact, windows):
    with pytest.raises(ValueError, match="'gradient' or 'leave_out', got 'shapley'"):
        branch_importance(compact, windows[0], method="shapley")


class Powers(nn.Module):
    def __init__(self, n_channels):
        super().__init__()
        self.spatial = nn.Parameter(torch.randn(3, n_channels))
        self.bandpass = nn.Parameter(torch.ones(3, 1))

    def forward(self, eeg):
        return (self.spatial @ eeg).square()


class Shared(nn.Module):
    """Two regions read the same three branches."""

    own_volume_only = True

    def __init__(self, n_channels, n_rois):
        super().__init__()
        self.branches = Powers(n_channels)
        self.weights = nn.Parameter(torch.tensor([[1.0, 0.5, 0.0], [0.0, 0.2, -2.0]]))

    def forward(self, eeg):
        return self.decode(self.branches(eeg), eeg.shape[-1])

    def decode(self, envelopes, n_times):
        return envelopes.mean(dim=-1) @ self.weights.T


def test_branches_that_regions_share_belong_to_none(windows):
    X, y = windows
    model = make_beira(
        CustomNetwork(Shared),
        max_epochs=1,
        lr=1e-12,
        weight_decay=0,
        random_state=3,
        verbose=False,
    ).fit(X, y)
    branches = read_branches(model, X, importance="gradient")
    np.testing.assert_array_equal(branches.regions, [-1, -1, -1])
    assert np.isnan(branches.lowpass_responses).all()
    level = window_envelopes(model, X).mean(dim=(0, 2)).cpu().numpy()
    moved = np.abs(model.network_.weights.detach().cpu().numpy()) * level
    np.testing.assert_allclose(
        branches.importance, moved / moved.max(axis=1, keepdims=True), rtol=1e-4, atol=1e-6
    )
    weights = np.array([[1.0, 0.5, 0.0], [0.0, 0.2, -2.0]])
    # Per second: the mean over 16 s.
    np.testing.assert_allclose(
        branches.delay_kernels.mean(axis=2), weights / 16, rtol=1e-4, atol=1e-9
    )
    left_out = branch_importance(model, X, method="leave_out")
    assert left_out.shape == (2, 3)
    assert left_out[0, 2] < 1e-6 < left_out[0, 0]


def test_envelopes_of_compact_are_relative_powers_of_filtered_eeg(compact, windows):
    X, _ = windows
    found = branch_envelopes(compact, X)
    assert found.groups == [0, 1]
    branches = compact.network_.branches
    k, start, stop = X.stretches()[1]
    assert k == 1
    spatial, taps = (w[6].detach().cpu().numpy() for w in (branches.spatial, branches.bandpass))
    signal = spatial @ (X.recordings[1][:, start:stop] / compact.eeg_scale_)
    power = fftconvolve(signal, taps[::-1], mode="valid") ** 2
    n = len(power) // 50
    expected = power[len(power) - 50 * n :].reshape(n, 50).mean(axis=1)
    expected = expected / float(branches.mean_power[6]) - 1
    np.testing.assert_allclose(found.envelopes[1][6], expected, rtol=1e-3, atol=1e-4)
    # The newest half second ends half a filter before the end.
    np.testing.assert_allclose(found.times[1][-1], stop / 100 - 0.5 - 0.25)
    np.testing.assert_allclose(np.diff(found.times[1]), 0.5)


def test_envelopes_of_the_autoencoder_are_those_of_its_windows_away_from_their_edges(paper, few):
    X, _ = few
    found = branch_envelopes(paper, X)
    row = 5
    expected = window_envelopes(paper, X[[row]])[0].cpu().numpy()[:, 20:-20]
    inside = slice(X.starts[row] + 20, X.starts[row] + 1580)
    offset = X.stretches()[0][1]
    got = found.envelopes[0][:, inside.start - offset : inside.stop - offset]
    np.testing.assert_allclose(got, expected, atol=1e-4)
    times = found.times[0][inside.start - offset : inside.stop - offset]
    np.testing.assert_allclose(times, (np.arange(inside.start, inside.stop) + 0.5) / 100)


def test_a_burst_shows_in_the_envelopes_at_its_time(compact, windows):
    X, _ = windows
    eeg = [r.copy() for r in X.recordings]
    eeg[0][:, 6000:6200] *= 10  # from 60 to 62 s
    louder = EEGWindows(eeg, X.groups, X.times, X.info, tmin=X.tmin, tmax=X.tmax)
    found = branch_envelopes(compact, louder)
    peaks = found.times[0][found.envelopes[0].argmax(axis=1)]
    assert ((peaks > 60) & (peaks < 62)).all()


def test_every_window_of_an_array_is_a_recording(windows):
    X, y = windows
    X = EEGWindows.from_array(X[:20], sfreq=100.0)
    model = BEIRARegressor(Compact(n_branches=1), verbose=False).fit(X, y.to_numpy()[:20])
    found = branch_envelopes(model, X)
    assert found.groups == list(range(20))
    assert found.envelopes[3].shape == (2, 30)
    np.testing.assert_allclose(found.times[3], 0.75 + 0.5 * np.arange(30))
