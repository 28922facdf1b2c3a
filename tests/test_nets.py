"""The networks compute what the paper describes, whatever way they compute it."""

import pytest
import torch
from torch import nn

from sklearn_beira.nets import ARCHITECTURES, AtVolumes, BEIRANet, CompactNet
from sklearn_beira.nets.autoencoder import LinearUpsample, convolve
from sklearn_beira.nets.branches import PowerBranches, fir_filter
from sklearn_beira.nets.calibration import calibrating


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


def test_every_architecture_has_branches_that_can_be_read():
    for network in ARCHITECTURES.values():
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
