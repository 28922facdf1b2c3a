"""The networks compute what the paper describes, whatever way they compute it."""

import numpy as np
import pytest
import torch
from torch import nn

from sklearn_beira.regressor.architectures import ARCHITECTURES
from sklearn_beira.regressor.nets import AtVolumes, estimates_own_volume_only
from sklearn_beira.regressor.nets.augmentation import vary_windows
from sklearn_beira.regressor.nets.autoencoder import AutoencoderNetwork
from sklearn_beira.regressor.nets.brainwavelinker import BrainWaveLinkerNetwork
from sklearn_beira.regressor.nets.branches import PowerBranches, fir_filter, segment_means
from sklearn_beira.regressor.nets.calibration import calibrating
from sklearn_beira.regressor.nets.compact import CompactNetwork
from sklearn_beira.regressor.nets.eegnet import EEGNetNetwork, pool_from_end


def test_a_branch_with_an_offset_reads_the_logarithm_and_changes_as_power_does_near_its_mean():
    power = torch.tensor([0.5, 1.0, 1.001, 8.0])
    log = PowerBranches.read(power, torch.tensor(0.1))
    torch.testing.assert_close(log, 1.1 * torch.log((power + 0.1) / 1.1))
    assert log[2] == pytest.approx(0.001, rel=1e-2)
    torch.testing.assert_close(PowerBranches.read(power, torch.tensor(torch.inf)), power - 1)


@pytest.mark.parametrize(("n_times", "n_taps"), [(64, 51), (20, 51), (100, 5)])
def test_fir_filter_equals_a_depthwise_convolution(n_times, n_taps):
    torch.manual_seed(0)
    x, taps = torch.randn(3, 4, n_times), torch.randn(4, n_taps)
    expected = nn.functional.conv1d(x, taps[:, None], padding="same", groups=4)
    torch.testing.assert_close(fir_filter(x, taps), expected, rtol=1e-4, atol=1e-4)


def make_compact(n_channels=2, n_rois=2, n_times=300, **sizes):
    """A compact network with weights that differ from branch to branch and lag to lag."""
    torch.manual_seed(0)
    sizes = {"n_branches": 3, "n_taps": 11, **sizes}
    net = CompactNetwork(n_channels, n_rois, n_times, **sizes).eval()
    with torch.no_grad():
        net.kernel.normal_()
        net.bias.normal_()
        net.branches.mean_power.uniform_(0.5, 2.0)
    return net


def test_envelopes_are_power_relative_to_the_mean_in_segments_counted_from_the_end():
    torch.manual_seed(0)
    branches = PowerBranches(2, 3, n_taps=5, segment=10).eval()
    branches.mean_power.copy_(torch.tensor([0.5, 1.0, 2.0]))
    eeg = torch.randn(1, 2, 29)  # 25 samples have whole filters around them: two segments
    envelopes = branches(eeg)[0]
    assert envelopes.shape == (3, 2)
    for k in range(3):
        mixed = (branches.spatial[k] @ eeg[0]).detach().numpy()
        filtered = np.correlate(mixed, branches.bandpass[k].detach().numpy(), mode="valid")
        power = np.array([np.square(filtered[a : a + 10]).mean() for a in (5, 15)])
        expected = power / float(branches.mean_power[k]) - 1
        np.testing.assert_allclose(envelopes[k].detach().numpy(), expected, rtol=1e-4)


def test_segments_louder_than_the_limit_are_turned_down_to_it():
    torch.manual_seed(0)
    branches = PowerBranches(2, 3, n_taps=1, segment=10).eval()
    eeg = torch.randn(1, 2, 30)
    quiet = branches(eeg) + 1
    total = eeg.square().mean(dim=1).unflatten(1, (3, 10)).mean(dim=-1)[0]
    branches.power_limit.fill_(1.01 * float(total.max()))
    torch.testing.assert_close(branches(eeg) + 1, quiet)  # nobody is that loud
    loud = eeg.clone()
    loud[..., 10:20] *= 100
    found = branches(loud) + 1
    torch.testing.assert_close(found[..., [0, 2]], quiet[..., [0, 2]])
    # What is left of the artifact is its pattern, with the power of the limit.
    expected = quiet[..., 1] * branches.power_limit / total[1]
    torch.testing.assert_close(found[..., 1], expected, rtol=1e-4, atol=1e-5)
    branches.power_limit.fill_(float("inf"))
    torch.testing.assert_close(
        branches(loud)[..., 1] + 1, 1e4 * quiet[..., 1], rtol=1e-4, atol=1e-3
    )
    silent = torch.zeros_like(eeg)
    torch.testing.assert_close(branches(silent), torch.full((1, 3, 3), -1.0))


def test_segment_means_equal_those_of_the_slices():
    torch.manual_seed(0)
    signal = 1e4 + torch.randn(3, 20_000)
    stops = torch.tensor([[10, 25], [400, 20_000]])
    found = segment_means(signal, stops, 10)
    expected = torch.stack(
        [torch.stack([signal[:, s - 10 : s].mean(dim=1) for s in row], 1) for row in stops], 1
    )
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=2e-3)


def test_compact_delay_kernel_acts_at_its_lag():
    net = CompactNetwork(2, 2, n_times=60, n_branches=1, n_taps=1, segment=10).eval()
    with torch.no_grad():
        net.kernel[0, 0, 2] = 1.0  # two segments back
        net.kernel[1, 0, 0] = 1.0  # the newest
        net.bias[1] = 10.0
    envelopes = torch.arange(6.0).expand(1, 2, 6)
    torch.testing.assert_close(net.decode(envelopes, 60), torch.tensor([[3.0, 15.0]]))
    # The same from EEG: a burst of 10 samples moves the estimate when it is 20 to 30 samples old.
    for segment, moves in enumerate([False, False, False, True, False, False]):
        eeg = torch.zeros(1, 2, 60)
        eeg[..., 10 * segment : 10 * segment + 10] = 5.0
        moved = (net(eeg) - net(torch.zeros(1, 2, 60)))[0, 0]
        assert (moved.abs() > 1e-3) == moves


def test_a_region_reads_no_branch_of_another():
    net, eeg = make_compact(), torch.randn(4, 2, 300)
    before = net(eeg)
    with torch.no_grad():
        net.branches.spatial[3:] *= 2.0  # of the second region
    after = net(eeg)
    torch.testing.assert_close(after[:, 0], before[:, 0])
    assert (after[:, 1] - before[:, 1]).abs().min() > 1e-3


@pytest.mark.parametrize("sizes", [{}, {"n_taps": 101}, {"segment": 30}, {"n_taps": 1}], ids=repr)
def test_a_stretch_of_recording_gives_the_numbers_of_its_windows(sizes):
    net = make_compact(**sizes)
    torch.manual_seed(1)
    eeg = torch.randn(2, 2000)
    eeg[:, 700:720] *= 50
    net.branches.power_limit.fill_(3.0)
    stops = torch.tensor([300, 301, 555, 820, 2000, 1200])
    windows = torch.stack([eeg[:, stop - 300 : stop] for stop in stops])
    expected = net(windows)
    assert expected.std() > 0.1
    torch.testing.assert_close(net.at(eeg, stops), expected, rtol=1e-5, atol=1e-5)
    # Whichever other windows are asked for, and whatever lies beyond the window's own EEG.
    torch.testing.assert_close(net.at(eeg, stops[2:4]), expected[2:4], rtol=1e-5, atol=1e-5)
    eeg[:, :255], eeg[:, 820:] = 100.0, -100.0
    torch.testing.assert_close(net.at(eeg, stops[2:4]), expected[2:4], rtol=1e-5, atol=1e-4)


def test_compact_begins_with_the_mean_and_a_table_needs_no_filter():
    assert (CompactNetwork(2, 3, 300)(torch.randn(4, 2, 300)) == 0).all()
    net = CompactNetwork(2, 3, 1)
    assert (net.n_lags, net.branches.segment, net.branches.bandpass.shape[-1]) == (1, 1, 1)
    assert net(torch.randn(4, 2, 1)).shape == (4, 3)


def test_windows_shorter_than_a_filter_and_a_segment_are_refused():
    with pytest.raises(ValueError, match=r"windows of 149 samples are shorter than an FIR filter"):
        CompactNetwork(2, 1, n_times=149)
    assert CompactNetwork(2, 1, n_times=150).n_lags == 1
    assert CompactNetwork(2, 1, n_times=2000).n_lags == 38


def test_networks_are_read_at_the_volumes_asked_for():
    net = AutoencoderNetwork(4, 3, n_branches=2, encoder_width=8, decoder_width=4).eval()
    eeg, window, sample = torch.randn(2, 4, 256), [0, 1, 1], [255, 10, 30]
    full = net(eeg)
    found = AtVolumes(net)(eeg, torch.tensor(window), torch.tensor(sample))
    assert found.shape == (3, 3)
    for estimate, w, s in zip(found, window, sample, strict=True):
        torch.testing.assert_close(estimate, full[w, :, s])


def test_networks_of_the_own_volume_are_read_as_they_are():
    net = BrainWaveLinkerNetwork(4, 3, 256).eval()
    eeg = torch.randn(2, 4, 256)
    found = AtVolumes(net)(eeg, torch.arange(2), torch.tensor([255, 255]))
    torch.testing.assert_close(found, net(eeg))


def test_every_architecture_estimates_the_own_volume_or_every_sample():
    for architecture in ARCHITECTURES.values():
        net = architecture().make_network(4, 2, 256).eval()
        own = estimates_own_volume_only(net)
        assert net(torch.randn(3, 4, 256)).shape == ((3, 2) if own else (3, 2, 256))


@pytest.mark.parametrize("network", [CompactNetwork, AutoencoderNetwork])
def test_networks_of_branches_decode_their_envelopes_and_have_weights_to_read(network):
    net = (make_compact(4, 2, 256) if network is CompactNetwork else network(4, 2)).eval()
    eeg = torch.randn(2, 4, 256)
    assert net.branches.spatial.shape[1] == 4
    assert net.branches.bandpass.shape[0] == net.branches.spatial.shape[0]
    torch.testing.assert_close(net.decode(net.branches(eeg), 256), net(eeg))


def test_calibration_gives_the_norms_the_statistics_of_the_data():
    torch.manual_seed(0)
    norm, data = nn.BatchNorm1d(3, affine=False), torch.randn(40, 3, 5) * 4 + 2
    net = nn.Sequential(norm, nn.Dropout(0.5))
    with calibrating(net), torch.no_grad():
        for batch in data.split(20):
            net(batch)
    torch.testing.assert_close(norm.running_mean, data.mean(dim=(0, 2)))
    expected = torch.stack([b.transpose(0, 1).flatten(1).var(dim=1) for b in data.split(20)])
    torch.testing.assert_close(norm.running_var, expected.mean(dim=0))
    assert not net.training
    assert norm.momentum == 0.1


def plain_brainwavelinker(n_channels, n_features, n_rois, n_read):
    """The description, layer by layer as nn.Conv1d has it; the last output is read."""
    blocks = [
        layer
        for _ in range(3)
        for layer in (nn.Conv1d(n_features, n_features, 5, stride=5), nn.GELU(), nn.Dropout(0.25))
    ]
    return nn.Sequential(
        nn.Conv1d(n_channels, n_features, 1), *blocks, nn.Conv1d(n_features, n_rois, n_read)
    )


@pytest.mark.parametrize(("n_times", "n_read"), [(1000, 8), (21 * 125, 21)])
def test_brainwavelinker_equals_plain_convolutions(n_times, n_read):
    torch.manual_seed(0)
    net = BrainWaveLinkerNetwork(4, 3, n_times, n_features=6).eval()
    plain = plain_brainwavelinker(4, 6, 3, n_read).eval()
    with torch.no_grad():
        plain[0].weight[..., 0], plain[0].bias[:] = net.spatial, net.spatial_bias
        for block, conv in zip(net.blocks, (plain[1], plain[4], plain[7]), strict=True):
            conv.weight[:] = block.weight.unflatten(0, (5, 6)).permute(2, 1, 0)
            conv.bias[:] = block.bias
        plain[-1].weight[:] = net.readout.unflatten(0, (n_read, 6)).permute(2, 1, 0)
        plain[-1].bias[:] = net.readout_bias
    eeg = torch.randn(5, 4, n_times)
    expected = plain(eeg)
    assert expected.shape == (5, 3, 1)
    torch.testing.assert_close(net(eeg), expected[..., 0], rtol=1e-4, atol=1e-5)


def test_brainwavelinker_reads_the_last_steps_of_long_windows():
    net = BrainWaveLinkerNetwork(2, 1, 3000).eval()
    eeg = torch.randn(1, 2, 3000)
    old, new = eeg.clone(), eeg.clone()
    old[..., : 3000 - 21 * 125] += 1.0
    new[..., -1] += 1.0
    assert torch.equal(net(old), net(eeg))
    assert not torch.equal(net(new), net(eeg))


class PlainEEGNet(nn.Module):
    """EEGNet as nn.Conv2d has it: time before space, with the batch norm between."""

    def __init__(self, n_channels, n_taps, n_outputs, n_steps):
        super().__init__()
        self.temporal = nn.Conv2d(1, 8, (1, n_taps), padding="same", bias=False)
        self.temporal_norm = nn.BatchNorm2d(8)
        self.spatial = nn.Conv2d(8, 16, (n_channels, 1), groups=8, bias=False)
        self.spatial_norm = nn.BatchNorm2d(16)
        self.depthwise = nn.Conv2d(16, 16, (1, 15), groups=16, padding="same", bias=False)
        self.pointwise = nn.Conv2d(16, 16, 1, bias=False)
        self.separable_norm = nn.BatchNorm2d(16)
        self.readout = nn.Linear(16 * n_steps, n_outputs)

    def forward(self, x):
        x = self.temporal_norm(self.temporal(x[:, None]))
        x = nn.functional.elu(self.spatial_norm(self.spatial(x)))
        x = self.depthwise(nn.functional.avg_pool2d(x, (1, 4)))
        x = nn.functional.elu(self.separable_norm(self.pointwise(x)))
        return self.readout(nn.functional.avg_pool2d(x, (1, 8)).flatten(1))


def test_eegnet_equals_the_original_order_of_its_layers_in_training():
    torch.manual_seed(0)
    net = EEGNetNetwork(5, 3, 256, n_taps=25, dropout=0.0, max_shift=0)
    plain = PlainEEGNet(5, 25, 3, 8)
    with torch.no_grad():
        net.readout.normal_()
        plain.temporal.weight[:, 0, 0] = net.temporal
        plain.spatial.weight[:, 0, :, 0] = net.spatial
        plain.depthwise.weight[:, 0, 0] = net.depthwise
        plain.pointwise.weight[..., 0, 0] = net.pointwise
        plain.readout.weight[:], plain.readout.bias[:] = net.readout.T, net.readout_bias
        # Whatever the batch norm in between has learned.
        plain.temporal_norm.weight.uniform_(0.5, 2.0)
        plain.temporal_norm.bias.normal_()
    eeg = 10 * torch.randn(6, 5, 256)
    torch.testing.assert_close(net(eeg), plain(eeg), rtol=1e-3, atol=1e-3)


def test_pools_are_counted_from_the_end():
    x = torch.arange(7.0)[None]
    torch.testing.assert_close(pool_from_end(x, 3), torch.tensor([[2.0, 5.0]]))


def test_windows_vary_in_training_but_not_their_power():
    torch.manual_seed(0)
    eeg = torch.randn(64, 2, 50)
    varied = vary_windows(eeg, 10)
    shifts = [s for s in range(10) if torch.equal(varied.abs(), eeg.roll(s, -1).abs())]
    assert len(shifts) == 1
    signs = (varied / eeg.roll(shifts[0], -1)).round()
    assert torch.equal(signs, signs[:, :1, :1].expand_as(signs))  # one sign for a whole window
    assert 16 < (signs[:, 0, 0] > 0).sum() < 48
    assert vary_windows(eeg, 1).abs().equal(eeg.abs())


@pytest.mark.parametrize("network", [BrainWaveLinkerNetwork, EEGNetNetwork])
def test_variation_is_off_in_prediction(network):
    torch.manual_seed(0)
    net, eeg = network(2, 1, 256, dropout=0.0), torch.randn(4, 2, 256)
    if network is EEGNetNetwork:
        nn.init.normal_(net.readout)
    assert not torch.equal(net(eeg), net(eeg))
    net.eval()
    assert torch.equal(net(eeg), net(eeg))


def test_windows_too_short_for_the_rivals_are_refused():
    with pytest.raises(ValueError, match="windows of 124 samples are shorter than the 125 samples"):
        BrainWaveLinkerNetwork(2, 1, 124)
    with pytest.raises(ValueError, match="windows of 31 samples are shorter than the pools of 4 x"):
        EEGNetNetwork(2, 1, 31)
