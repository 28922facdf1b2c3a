"""The networks compute what the paper describes, whatever way they compute it."""

import pytest
import torch
from torch import nn

from sklearn_beira.nets import (
    ARCHITECTURES,
    AtVolumes,
    BEIRANet,
    BrainWaveLinkerNet,
    CompactNet,
    EEGNet,
    estimates_own_volume_only,
)
from sklearn_beira.nets.augmentation import vary_windows
from sklearn_beira.nets.autoencoder import LinearUpsample, convolve
from sklearn_beira.nets.branches import PowerBranches, fir_filter
from sklearn_beira.nets.calibration import calibrating
from sklearn_beira.nets.eegnet import pool_from_end


class PlainBEIRA(nn.Module):
    """The paper's network of one region, layer by layer as nn.Conv1d has it."""

    def __init__(self, n_channels, rectifier):
        super().__init__()
        self.rectifier = {"relu": torch.relu, "abs": torch.abs}[rectifier]
        self.spatial = nn.Conv1d(n_channels, 16, 1)
        self.norm1, self.norm2 = (nn.BatchNorm1d(16, affine=False) for _ in range(2))
        self.bandpass = nn.Conv1d(16, 16, 51, padding="same", groups=16, bias=False)
        self.lowpass = nn.Conv1d(16, 16, 51, padding="same", groups=16)
        shapes = [(16, 128, 3), (128, 128, 5), (128, 128, 5), (128, 128, 3)]
        shapes += [(128, 32, 3), (32, 32, 5), (32, 32, 5)]
        self.convs = nn.ModuleList(
            nn.Conv1d(n_in, n_out, size, padding="same", bias=False) for n_in, n_out, size in shapes
        )
        self.layer_norms = nn.ModuleList(nn.LayerNorm(n_out) for _, n_out, _ in shapes)
        self.steps = [
            *(nn.MaxPool1d(n) for n in (1, 8, 8, 4)),
            *(nn.Upsample(scale_factor=n, mode="linear") for n in (4, 8, 8)),
        ]
        self.output = nn.Conv1d(32, 1, 1)

    def forward(self, x):
        x = self.norm2(self.bandpass(self.norm1(self.spatial(x))))
        x = self.lowpass(self.rectifier(x))
        for conv, norm, step in zip(self.convs, self.layer_norms, self.steps, strict=True):
            x = step(nn.functional.gelu(norm(conv(x).transpose(1, 2)).transpose(1, 2)))
        return self.output(x)


def copy_weights(net, plain, roi):
    """Give region ``roi`` of a BEIRANet the weights of a PlainBEIRA."""
    branches, mine = net.branches, slice(16 * roi, 16 * (roi + 1))
    with torch.no_grad():
        branches.spatial[mine] = plain.spatial.weight[..., 0]
        branches.spatial_bias[mine] = plain.spatial.bias
        branches.bandpass[mine] = plain.bandpass.weight[:, 0]
        branches.lowpass[mine] = plain.lowpass.weight[:, 0]
        branches.lowpass_bias[mine] = plain.lowpass.bias
        blocks = [*net.encoder, *(layer for layer in net.decoder if hasattr(layer, "weight"))]
        for block, conv, norm in zip(blocks, plain.convs, plain.layer_norms, strict=True):
            block.weight[roi] = conv.weight.permute(2, 1, 0)
            block.scale[roi, 0, 0], block.shift[roi, 0, 0] = norm.weight, norm.bias
        net.output[roi, 0] = plain.output.weight[0]
        net.output_bias[roi] = plain.output.bias


def test_the_paper_configuration_has_245057_parameters_per_region():
    for n_rois in (1, 8):
        net = BEIRANet(n_channels=30, n_rois=n_rois)
        assert sum(p.numel() for p in net.parameters()) == n_rois * 245_057


@pytest.mark.parametrize("rectifier", ["relu", "abs"])
def test_all_regions_in_one_pass_equal_one_plain_network_each(rectifier):
    torch.manual_seed(0)
    plains = [PlainBEIRA(5, rectifier) for _ in range(2)]
    for plain in plains:
        for norm in plain.layer_norms:
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.bias)
    net = BEIRANet(5, 2, rectifier=rectifier, dropout=0.0)
    for roi, plain in enumerate(plains):
        copy_weights(net, plain, roi)
    eeg, target = torch.randn(3, 5, 512), torch.randn(3, 2, 512)
    expected = torch.cat([plain(eeg) for plain in plains], dim=1)
    found = net(eeg)
    assert found.shape == (3, 2, 512)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)

    nn.functional.mse_loss(expected, target).backward()
    nn.functional.mse_loss(found, target).backward()
    for roi, plain in enumerate(plains):
        mine = slice(16 * roi, 16 * (roi + 1))
        pairs = [
            (net.branches.spatial.grad[mine], plain.spatial.weight.grad[..., 0]),
            (net.branches.bandpass.grad[mine], plain.bandpass.weight.grad[:, 0]),
            (net.branches.lowpass.grad[mine], plain.lowpass.weight.grad[:, 0]),
            (net.encoder[1].weight.grad[roi], plain.convs[1].weight.grad.permute(2, 1, 0)),
            (net.output.grad[roi, 0], plain.output.weight.grad[0]),
        ]
        for mine_grad, theirs in pairs:
            error = (mine_grad - theirs).norm() / theirs.norm()
            assert error < 1e-4


def test_regions_do_not_see_each_other():
    torch.manual_seed(0)
    net = BEIRANet(4, 3, n_branches=2, encoder_width=8, decoder_width=4).eval()
    eeg = torch.randn(2, 4, 256)
    net(eeg)[:, 1].sum().backward()
    gradients = net.encoder[0].weight.grad.abs().sum(dim=(1, 2, 3))
    assert gradients[1] > 0
    assert gradients[0] == gradients[2] == 0


@pytest.mark.parametrize("n_times", [1, 100, 256, 300])
def test_any_window_length_keeps_its_length(n_times):
    net = BEIRANet(4, 2, n_branches=2, encoder_width=8, decoder_width=4).eval()
    assert net(torch.randn(2, 4, n_times)).shape == (2, 2, n_times)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_convolution_of_long_rows_equals_conv1d(size):
    torch.manual_seed(0)
    x, weight = torch.randn(2, 3, 20, 4), torch.randn(2, size, 4, 6)
    found = convolve(x, weight)
    for roi in range(2):
        expected = nn.functional.conv1d(
            x[roi].transpose(1, 2), weight[roi].permute(2, 1, 0), padding="same"
        )
        torch.testing.assert_close(found[roi], expected.transpose(1, 2), rtol=1e-4, atol=1e-5)


def test_convolution_has_the_gradients_of_its_formula():
    x = torch.randn(2, 2, 6, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 3, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(convolve, (x, weight))


@pytest.mark.parametrize(("n_times", "n_taps"), [(64, 51), (20, 51), (100, 5)])
def test_fir_filter_equals_a_depthwise_convolution(n_times, n_taps):
    torch.manual_seed(0)
    x, taps = torch.randn(3, 4, n_times), torch.randn(4, n_taps)
    expected = nn.functional.conv1d(x, taps[:, None], padding="same", groups=4)
    torch.testing.assert_close(fir_filter(x, taps), expected, rtol=1e-4, atol=1e-4)


def test_upsampling_equals_that_of_torch():
    x = torch.randn(2, 5, 3)
    expected = nn.functional.interpolate(x.transpose(1, 2), scale_factor=4, mode="linear")
    torch.testing.assert_close(LinearUpsample(4)(x), expected.transpose(1, 2))


def test_power_branches_are_log_power_counted_from_the_end():
    torch.manual_seed(0)
    branches = PowerBranches(2, 3, n_taps=1, segment=10).eval()
    eeg = torch.randn(1, 2, 25)
    x = branches.spatial @ eeg[0] + branches.spatial_bias[:, None]
    x = x / (1 + 1e-5) ** 0.5 * branches.bandpass / (1 + 1e-5) ** 0.5
    expected = [torch.log(x[:, a : a + 10].square().mean(dim=1) + 1e-4) for a in (5, 15)]
    torch.testing.assert_close(branches(eeg)[0], torch.stack(expected, 1), rtol=1e-4, atol=1e-4)


def test_compact_delay_kernel_acts_at_its_lag():
    net = CompactNet(2, 1, n_times=60, n_branches=1, segment=10).eval()
    with torch.no_grad():
        net.kernel[0, 0, -1 - 2] = 1.0  # two segments back
    envelopes = torch.arange(6.0).reshape(1, 1, 6)
    bold = net.decode(envelopes, 60)[0, 0]
    assert bold[-1] == 3.0  # the last segment is number 5
    assert bold[0] == 0.0


def test_windows_shorter_than_a_segment_are_refused():
    with pytest.raises(ValueError, match="windows of 30 samples are shorter than one segment"):
        CompactNet(2, 1, n_times=30)


def test_networks_are_read_at_the_volumes_asked_for():
    net = BEIRANet(4, 3, n_branches=2, encoder_width=8, decoder_width=4).eval()
    eeg, samples = torch.randn(2, 4, 256), torch.tensor([[255, 10], [30, 40]])
    full = net(eeg)
    found = AtVolumes(net)(eeg, samples)
    for window in range(2):
        for slot in range(2):
            torch.testing.assert_close(found[window, slot], full[window, :, samples[window, slot]])


def test_networks_of_the_own_volume_are_read_as_they_are():
    net = BrainWaveLinkerNet(4, 3, 256).eval()
    eeg = torch.randn(2, 4, 256)
    found = AtVolumes(net)(eeg, torch.tensor([[255], [255]]))
    torch.testing.assert_close(found, net(eeg)[:, None])


def test_every_architecture_estimates_the_own_volume_or_has_branches_that_can_be_read():
    for network in ARCHITECTURES.values():
        if estimates_own_volume_only(network):
            assert network(4, 2, 256).eval()(torch.randn(3, 4, 256)).shape == (3, 2)
            continue
        sizes = {"n_times": 256} if network is CompactNet else {}
        net = network(4, 2, **sizes).eval()
        eeg = torch.randn(2, 4, 256)
        assert net.branches.spatial.shape[1] == 4
        assert net.branches.bandpass.ndim == 2
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
    net = BrainWaveLinkerNet(4, 3, n_times, n_features=6).eval()
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
    net = BrainWaveLinkerNet(2, 1, 3000).eval()
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
    net = EEGNet(5, 3, 256, n_taps=25, dropout=0.0, max_shift=0)
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


@pytest.mark.parametrize("network", [BrainWaveLinkerNet, EEGNet])
def test_variation_is_off_in_prediction(network):
    torch.manual_seed(0)
    net, eeg = network(2, 1, 256, dropout=0.0), torch.randn(4, 2, 256)
    if network is EEGNet:
        nn.init.normal_(net.readout)
    assert not torch.equal(net(eeg), net(eeg))
    net.eval()
    assert torch.equal(net(eeg), net(eeg))


def test_windows_too_short_for_the_rivals_are_refused():
    with pytest.raises(ValueError, match="windows of 124 samples are shorter than the 125 samples"):
        BrainWaveLinkerNet(2, 1, 124)
    with pytest.raises(ValueError, match="windows of 31 samples are shorter than the pools of 4 x"):
        EEGNet(2, 1, 31)
    with pytest.raises(ValueError, match="separable_size must be odd, got 16"):
        EEGNet(2, 1, 64, separable_size=16)
