"""The paper's network computes what the paper describes, whatever way it computes it."""

import numpy as np
import pytest
import torch
from torch import nn

from sklearn_beira.regressor.nets import chunks
from sklearn_beira.regressor.nets.autoencoder import AutoencoderNetwork, draw_mask, upsample
from sklearn_beira.regressor.nets.convolution import convolve, maps, transform_kernel

SMALL = {"n_branches": 2, "encoder_width": 8, "decoder_width": 4}


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
        for norm in self.layer_norms:
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.bias)
        self.steps = [
            *(nn.MaxPool1d(n) for n in (1, 8, 8, 4)),
            *(nn.Upsample(scale_factor=n, mode="linear") for n in (4, 8, 8)),
        ]
        self.output = nn.Conv1d(32, 1, 1)

    def forward(self, x, masks=(None,) * 7):
        """Map EEG to BOLD; masks (n_windows, n_times, n_features) are what dropout keeps."""
        x = self.norm2(self.bandpass(self.norm1(self.spatial(x))))
        x = self.lowpass(self.rectifier(x))
        for conv, norm, step, mask in zip(
            self.convs, self.layer_norms, self.steps, masks, strict=True
        ):
            x = nn.functional.gelu(norm(conv(x).transpose(1, 2)).transpose(1, 2))
            if mask is not None:
                x = x * mask.transpose(1, 2) / 0.7
            x = step(x)
        return self.output(x)


def pairs_of_weights(net, plain, roi):
    """List the parameters of region ``roi`` of a network, each with that of a PlainBEIRA.

    Functions, from the parameter (or its gradient) to the same shape in both.
    """
    mine = slice(16 * roi, 16 * (roi + 1))
    branches = net.branches
    pairs = [
        (branches.spatial, mine, plain.spatial.weight, lambda w: w[..., 0]),
        (branches.spatial_bias, mine, plain.spatial.bias, lambda w: w),
        (branches.bandpass, mine, plain.bandpass.weight, lambda w: w[:, 0]),
        (branches.lowpass, mine, plain.lowpass.weight, lambda w: w[:, 0]),
        (branches.lowpass_bias, mine, plain.lowpass.bias, lambda w: w),
        (net.output, roi, plain.output.weight, lambda w: w),
        (net.output_bias, roi, plain.output.bias, lambda w: w[:, None, None]),
    ]
    for block, conv, norm in zip(
        [*net.encoder, *net.decoder], plain.convs, plain.layer_norms, strict=True
    ):
        pairs += [
            (block.weight, roi, conv.weight, lambda w: w.permute(2, 1, 0)),
            (block.scale, roi, norm.weight, lambda w: w[None, None]),
            (block.shift, roi, norm.bias, lambda w: w[None, None]),
        ]
    return pairs


def make_twins(n_rois, dtype, rectifier="relu", dropout=0.0):
    """Make a AutoencoderNetwork, and one plain network per region with the same weights."""
    plains = [PlainBEIRA(5, rectifier).to(dtype) for _ in range(n_rois)]
    net = AutoencoderNetwork(5, n_rois, rectifier=rectifier, dropout=dropout).to(dtype)
    with torch.no_grad():
        for roi, plain in enumerate(plains):
            for mine, index, theirs, view in pairs_of_weights(net, plain, roi):
                mine[index] = view(theirs)
    return net, plains


def compare_with_plain(net, plains, n_times, masks=None):
    """Errors of the output and of all gradients, relative to their norms."""
    dtype = net.output.dtype
    eeg, target = torch.randn(3, 5, n_times, dtype=dtype), torch.randn(3, len(plains), n_times)
    options = {} if masks is None else {"masks": masks}
    expected = torch.cat([plain(eeg, **options) for plain in plains], dim=1)
    found = net.decode(net.branches(eeg), n_times, **options)
    assert found.shape == expected.shape
    errors = [(found - expected).norm() / expected.norm()]
    for output in (expected, found):
        nn.functional.mse_loss(output, target.to(dtype)).backward()
    for roi, plain in enumerate(plains):
        for mine, index, theirs, view in pairs_of_weights(net, plain, roi):
            if mine is net.branches.spatial_bias:
                continue  # the batch norm takes it out again: its gradient is rounding
            error = (mine.grad[index] - view(theirs.grad)).norm()
            errors.append(error / theirs.grad.norm())
    return torch.stack(errors).detach()


def compare_twins(dtype, n_seeds, rectifier="relu", dropout=0.0):
    """Errors of ``compare_with_plain``, (n_seeds, n_errors)."""
    errors = []
    for seed in range(n_seeds):
        torch.manual_seed(seed)
        net, plains = make_twins(2, dtype, rectifier, dropout)
        masks = {"masks": net._draw_masks(3, 512)} if dropout else {}
        errors.append(compare_with_plain(net, plains, 512, **masks))
    return torch.stack(errors)


def test_the_paper_configuration_has_245057_parameters_per_region():
    for n_rois in (1, 8):
        net = AutoencoderNetwork(n_channels=30, n_rois=n_rois)
        assert sum(p.numel() for p in net.parameters()) == n_rois * 245_057


# Rounding may change which of two near samples a max-pool takes, and sends the gradient there. That
# happens with some seeds, and with others on another processor; in double precision it does not.
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("rectifier", ["relu", "abs"])
def test_all_regions_in_one_pass_equal_one_plain_network_each(rectifier, dropout):
    errors = compare_twins(torch.float32, 5, rectifier, dropout)
    assert errors[:, 0].max() < 1e-4
    assert errors.median(dim=0).values.max() < 1e-4
    assert compare_twins(torch.float64, 1, rectifier, dropout).max() < 1e-10


@pytest.mark.parametrize("chunk_size", [1, 1024, 10**6])
def test_chunks_do_not_change_what_is_computed(chunk_size, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_SIZE", chunk_size)
    torch.manual_seed(0)
    net, plains = make_twins(2, torch.float64)
    assert compare_with_plain(net, plains, 512).max() < 1e-10


def test_what_dropout_keeps_is_drawn_at_the_rate_of_the_block():
    masks = AutoencoderNetwork(4, 2)._draw_masks(3, 512)
    assert [mask.shape[1] for mask in masks] == [512, 512, 64, 8, 2, 8, 64]


def test_dropout_acts_in_training_only_and_keeps_the_mean():
    torch.manual_seed(0)
    net, eeg = AutoencoderNetwork(4, 2, **SMALL), torch.randn(2, 4, 256)
    assert not torch.equal(net(eeg), net(eeg))
    net.eval()
    assert torch.equal(net(eeg), net(eeg))
    block = net.encoder[0]
    x, mask = torch.randn(2, 2, 4000, 2), draw_mask((2, 4000, 8), 0.3, None)
    plain, dropped = (block.run(x, block.prepare(), m)[0].mean() for m in (None, mask))
    torch.testing.assert_close(dropped, plain, rtol=0.03, atol=0.0)


@pytest.mark.parametrize("dropout", [0.0, 0.1, 0.3, 0.5, 0.9])
def test_dropout_drops_the_share_it_is_told(dropout):
    torch.manual_seed(0)
    mask = draw_mask((30, 101, 99), dropout, None)
    assert mask.shape == (30, 101, 99)
    assert set(mask.unique().tolist()) <= {0, 1}
    error = (dropout * (1 - dropout) / mask.numel()) ** 0.5
    assert abs(1 - mask.double().mean() - dropout) <= 4 * error
    # Neither features nor samples share what is dropped.
    flat = mask.double().reshape(-1)
    if dropout:
        for lag in (1, 2, 4, 99):
            assert abs(np.corrcoef(flat[:-lag], flat[lag:])[0, 1]) < 0.01


def test_a_seed_determines_dropout():
    net, eeg = AutoencoderNetwork(4, 2, **SMALL), torch.randn(2, 4, 256)
    outputs = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        outputs.append(net(eeg))
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])


# One region: threads share its operations. Two: a thread each.
@pytest.mark.parametrize("n_rois", [1, 2])
def test_the_number_of_threads_changes_outputs_and_gradients_by_rounding_only(
    n_rois, set_num_threads
):
    torch.manual_seed(0)
    net, eeg = (
        AutoencoderNetwork(30, n_rois, dropout=0.0).double(),
        torch.randn(2, 30, 2048).double(),
    )
    found = []
    for n_threads in (1, 2):
        set_num_threads(n_threads)
        net.zero_grad()
        output = net(eeg)
        output.square().sum().backward()
        found.append([output.detach(), *(p.grad.clone() for p in net.parameters())])
    for (name, _), one, two in zip([("", 0), *net.named_parameters()], *found, strict=True):
        if name != "branches.spatial_bias":  # the batch norm takes it out: its gradient is rounding
            assert (one - two).norm() <= 1e-10 * one.norm()


def test_regions_do_not_see_each_other():
    torch.manual_seed(0)
    net = AutoencoderNetwork(4, 3, **SMALL).eval()
    eeg = torch.randn(2, 4, 256)
    net(eeg)[:, 1].sum().backward()
    gradients = net.encoder[0].weight.grad.abs().sum(dim=(1, 2, 3))
    assert gradients[1] > 0
    assert gradients[0] == gradients[2] == 0


def test_windows_do_not_see_each_other():
    torch.manual_seed(0)
    net = AutoencoderNetwork(4, 2, n_branches=2, encoder_width=32).eval()
    eeg = torch.randn(3, 4, 256, requires_grad=True)
    net(eeg)[1].sum().backward()
    gradients = eeg.grad.abs().sum(dim=(1, 2))
    assert gradients[1] > 0
    assert gradients[0] == gradients[2] == 0


@pytest.mark.parametrize("n_times", [1, 100, 256, 300])
def test_any_window_length_keeps_its_length(n_times):
    net = AutoencoderNetwork(4, 2, **SMALL).eval()
    assert net(torch.randn(2, 4, n_times)).shape == (2, 2, n_times)


@pytest.mark.parametrize("sizes", [((5, 3), (2,)), ((1, 7, 3), (1, 3))])
def test_other_sizes_of_kernels_and_pools_train(sizes):
    net = AutoencoderNetwork(4, 2, **SMALL, kernel_sizes=sizes[0], pool_sizes=sizes[1])
    output = net(torch.randn(2, 4, 50))
    assert output.shape == (2, 2, 50)
    output.sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in net.encoder.parameters())


def plain_convolution(x, weight):
    return torch.stack(
        [
            nn.functional.conv1d(x[roi].mT, weight[roi].permute(2, 1, 0), padding="same").mT
            for roi in range(len(x))
        ]
    )


@pytest.mark.parametrize("n_in", [4, 32])
@pytest.mark.parametrize("size", [1, 3, 5, 7])
@pytest.mark.parametrize("n_times", [1, 2, 20, 23])
def test_convolution_equals_conv1d(size, n_in, n_times):
    torch.manual_seed(0)
    x = torch.randn(2, 3, n_times, n_in, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, size, n_in, 6, dtype=torch.float64, requires_grad=True)
    found, expected = (
        convolve(x, transform_kernel(weight), size),
        plain_convolution(x, weight),
    )
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    direction = torch.randn_like(expected)
    gradients = [torch.autograd.grad(y, (x, weight), direction) for y in (found, expected)]
    for mine, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-10)


def test_convolution_by_tiles_is_exact_to_1e_5_in_single_precision():
    torch.manual_seed(0)
    x, weight = torch.randn(1, 2, 512, 128), torch.randn(1, 5, 128, 128)
    expected = plain_convolution(x.double(), weight.double())
    error = convolve(x, transform_kernel(weight), 5) - expected
    assert error.norm() < 1e-5 * expected.norm()


def test_maps_compute_a_filter():
    in_map, kernel_map, out_map = maps(torch.float64, torch.device("cpu"))
    rng = np.random.default_rng(0)
    tile, kernel = rng.standard_normal(8), rng.standard_normal(5)
    found = out_map @ ((kernel_map @ torch.tensor(kernel)) * (in_map @ torch.tensor(tile)))
    np.testing.assert_allclose(found, np.correlate(tile, kernel, "valid"), atol=1e-12)


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 5, 8])
def test_upsampling_equals_that_of_torch(factor):
    x = torch.randn(2, 5, 3)
    expected = nn.functional.interpolate(x.transpose(1, 2), scale_factor=factor, mode="linear")
    torch.testing.assert_close(upsample(x, factor), expected.transpose(1, 2))


@pytest.mark.parametrize("n_rois", [1, 3])
def test_a_step_leaves_the_number_of_threads_as_it_was(n_rois, set_num_threads):
    set_num_threads(2)
    net = AutoencoderNetwork(4, n_rois, n_branches=2, n_taps=5, encoder_width=4, decoder_width=4)
    net(torch.randn(2, 4, 512)).sum().backward()
    assert torch.get_num_threads() == 2


def test_an_error_in_one_region_comes_out_and_leaves_the_number_of_threads(set_num_threads):
    def fail(region):
        raise ArithmeticError(f"region {region.start}")

    set_num_threads(2)
    with pytest.raises(ArithmeticError, match="region 0"):
        chunks.each_region(fail, 3)
    assert torch.get_num_threads() == 2
