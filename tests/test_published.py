"""Checkpoints of the BEIRA authors: the estimates of the network that was saved, or an error."""

import io

import numpy as np
import pytest
import torch
from torch import nn

from sklearn_beira import (
    EEGWindows,
    ModelFileError,
    Windower,
    load_model,
    load_published_beira,
    read_branches,
    save_model,
)

SMALL = {"n_branches": 3, "n_taps": 7, "widths": (8, 4), "kernels": (3, 5, 3), "pools": (4, 2)}


class Branches(nn.Module):
    def __init__(self, n_channels, n_branches, n_taps):
        super().__init__()
        fir = {"padding": "same", "groups": n_branches}
        self.unmixing_layer = nn.Conv1d(n_channels, n_branches, 1)
        self.unmixed_channels_batchnorm = nn.BatchNorm1d(n_branches, affine=False)
        self.band_pass = nn.Conv1d(n_branches, n_branches, n_taps, bias=False, **fir)
        self.norm = nn.BatchNorm1d(n_branches, affine=False)
        self.low_pass = nn.Conv1d(n_branches, n_branches, n_taps, **fir)

    def forward(self, x):
        x = self.unmixed_channels_batchnorm(self.unmixing_layer(x))
        return self.low_pass(torch.relu(self.norm(self.band_pass(x))))


class Block(nn.Module):
    def __init__(self, n_in, n_out, size, pool=1):
        super().__init__()
        self.conv1d = nn.Conv1d(n_in, n_out, size, padding="same", bias=False)
        self.norm = nn.LayerNorm(n_out)
        self.pool = nn.MaxPool1d(pool)

    def forward(self, x):
        x = self.norm(self.conv1d(x).transpose(1, 2)).transpose(1, 2)
        return self.pool(nn.functional.gelu(x))


class UpsampleBlock(nn.Module):
    def __init__(self, n_in, n_out, size, factor):
        super().__init__()
        self.conv_block = Block(n_in, n_out, size)
        self.upsample = nn.Upsample(scale_factor=factor, mode="linear")

    def forward(self, x):
        return self.upsample(self.conv_block(x))


class RegionNetwork(nn.Module):
    def __init__(self, n_channels, n_branches, n_taps, widths, kernels, pools):
        super().__init__()
        wide, narrow = widths
        self.artur_block = Branches(n_channels, n_branches, n_taps)
        self.spatial_reduce = Block(n_branches, wide, kernels[0])
        self.downsample_blocks = nn.ModuleList(
            Block(wide, wide, size, pool) for size, pool in zip(kernels[1:], pools, strict=True)
        )
        self.upsample_blocks = nn.ModuleList(
            UpsampleBlock(n_in, narrow, size, pool)
            for n_in, size, pool in zip(
                [wide] + [narrow] * (len(pools) - 1), kernels[:0:-1], pools[::-1], strict=True
            )
        )
        self.conv1x1_one = nn.Conv1d(narrow, 1, 1)

    def forward(self, x):
        x = self.spatial_reduce(self.artur_block(x))
        for block in (*self.downsample_blocks, *self.upsample_blocks):
            x = block(x)
        return self.conv1x1_one(x)


class PlainNetwork(nn.Module):
    """The paper's network as ``nn.Conv1d`` has it, with the names of the authors' checkpoint."""

    def __init__(
        self,
        n_channels,
        n_rois,
        n_branches=16,
        n_taps=51,
        widths=(128, 32),
        kernels=(3, 5, 5, 3),
        pools=(8, 8, 4),
    ):
        super().__init__()
        sizes = n_branches, n_taps, widths, kernels, pools
        self.models = nn.ModuleList(RegionNetwork(n_channels, *sizes) for _ in range(n_rois))

    def forward(self, x):
        return torch.cat([model(x) for model in self.models], dim=1)


def make_network(*args, **sizes):
    """A network with statistics and norms as after a training."""
    torch.manual_seed(0)
    network = PlainNetwork(*args, **sizes)
    for module in network.modules():
        if isinstance(module, nn.LayerNorm):
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    network.train()
    with torch.no_grad():
        for _ in range(5):
            network(3 * torch.randn(4, args[0], 256) + 1)
    return network.eval()


@pytest.fixture(scope="module")
def small():
    """A small network of four channels and two regions, and its state dict."""
    network = make_network(4, 2, **SMALL)
    return network, network.state_dict()


def load_small(path, content, **params):
    torch.save(content, path)
    return load_published_beira(path, ["Fz", "Cz", "Pz", "Oz"], pool_sizes=(4, 2), **params)


def test_the_paper_network_estimates_what_the_saved_network_estimates(tmp_path):
    network, names = make_network(30, 2), [f"E{i}" for i in range(30)]
    torch.save(network.state_dict(), tmp_path / "beira.pt")
    model = load_published_beira(tmp_path / "beira.pt", names, eeg_scale=1e-5)
    assert model.n_parameters_ == 2 * 245_057
    assert model.architecture.get_params() == type(model.architecture)().get_params()

    eeg = np.random.default_rng(0).standard_normal((1, 30, 6000)) * 1e-5
    info = EEGWindows.from_array(eeg, 100.0, ch_names=names).info
    X = EEGWindows(list(eeg), [0, 0], [30.0, 55.0], info, tmin=-26.48, tmax=0.0)
    windows = Windower(20.48, 6.0).fit_transform(X)
    with torch.no_grad():
        expected = network(torch.from_numpy(np.array(windows) / 1e-5).float())[..., -1].numpy()
    found = model.predict(windows)
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


def test_every_sample_of_a_network_of_any_sizes_is_estimated(small, tmp_path):
    network, weights = small
    names = ["Caudate", "Putamen"]
    model = load_small(tmp_path / "a.pt", weights, region_names=names, duration=2.0, delay=0.0)
    eeg = torch.randn(3, 4, 200)
    with torch.no_grad():
        expected, found = network(eeg), model.network_(eeg)
    assert found.shape == expected.shape == (3, 2, 200)
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()
    assert model.region_names_ == names
    assert model.get_params()["architecture__kernel_sizes"] == (3, 5, 3)


def test_branches_are_read_and_the_model_is_saved_again(small, tmp_path):
    model = load_small(tmp_path / "a.pt", small[1], duration=4.0, delay=0.0)
    eeg = np.random.default_rng(0).standard_normal((20, 4, 400))
    eeg[:, 1] += eeg[:, 0]
    X = EEGWindows.from_array(eeg, 100.0, ch_names=["Fz", "Cz", "Pz", "Oz"])
    found = read_branches(model, X)
    assert found.patterns.shape == (6, 4)
    for k, pattern in enumerate(found.patterns):  # Cov(filtered EEG) times weights
        branches = small[0].models[k // 3].artur_block
        fir = branches.band_pass.weight[k % 3, 0].detach().numpy()
        filtered = np.apply_along_axis(np.convolve, 2, eeg, fir[::-1], mode="valid")
        weights = branches.unmixing_layer.weight[k % 3, :, 0].detach().numpy()
        expected = np.cov(filtered.transpose(1, 0, 2).reshape(4, -1)) @ weights
        assert np.corrcoef(pattern, expected)[0, 1] > 0.99

    save_model(model, tmp_path / "again.safetensors")
    again = load_model(tmp_path / "again.safetensors")
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


def test_names_with_the_prefix_of_data_parallel_and_doubles_are_read(small, tmp_path):
    weights = {f"module.{name}": value.double() for name, value in small[1].items()}
    model = load_small(tmp_path / "a.pt", weights, duration=2.0, delay=0.0)
    expected = load_small(tmp_path / "b.pt", small[1], duration=2.0, delay=0.0)
    X = np.random.default_rng(0).standard_normal((3, 4, 200))
    X = EEGWindows.from_array(X, 100.0)
    np.testing.assert_array_equal(model.predict(X), expected.predict(X))


def test_only_windows_of_the_training_are_taken(small, tmp_path):
    model = load_small(tmp_path / "a.pt", small[1], delay=4.0)
    X = EEGWindows.from_array(np.random.default_rng(0).standard_normal((3, 4, 2048)), 100.0)
    with pytest.raises(ValueError, match=r"fitted with windows \[-24.48, -4\) s at 100 Hz"):
        model.predict(X)


UNMIXING = "models.1.artur_block.unmixing_layer.weight"
LAST = "models.1.upsample_blocks.1.conv_block.norm.bias"
VARIANCE = "models.0.artur_block.norm.running_var"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda w: w.pop(UNMIXING), f"lacks 1 weight.*{UNMIXING}"),
        (lambda w: w.update({"optimizer": torch.zeros(2)}), r"also holds 1 weight.*\(optimizer\)"),
        (lambda w: w.update({"models.7.x": torch.zeros(2)}), r"lacks \d+ weight"),
        (lambda w: w.update({UNMIXING: torch.zeros(3, 5, 1)}), "has shape .3, 5, 1., but"),
        (lambda w: w.update({LAST: w[LAST][:2]}), f"{LAST} has shape"),
        (lambda w: w.update({UNMIXING.replace("1", "0", 1): torch.zeros(3)}), "not .n_out, n_in"),
        (lambda w: w.update({LAST: w[LAST] * np.nan}), f"{LAST} holds NaN"),
        (lambda w: w.update({VARIANCE: -w[VARIANCE]}), f"{VARIANCE} holds a variance below 0"),
        (lambda w: w.update({LAST: w[LAST].int()}), "no tensor of real numbers"),
        (lambda w: w.update({LAST: [1.0] * 4}), "no tensor of real numbers"),
        (lambda w: w.update({LAST: w[LAST].to_sparse()}), "no tensor of real numbers"),
        (lambda w: w.update({LAST: torch.zeros(1).expand(10**9)}), "larger than the file"),
        (lambda w: w.clear(), "names start with models.0"),
        (lambda w: w.update({3: w[LAST]}), "no state dict"),
    ],
)
def test_other_weights_are_refused(change, problem, small, tmp_path):
    weights = dict(small[1])
    change(weights)
    with pytest.raises(ModelFileError, match=rf"a.pt cannot be loaded: .*{problem}"):
        load_small(tmp_path / "a.pt", weights)


@pytest.mark.parametrize("content", [nn.Linear(2, 2), torch.zeros(3), [1, 2], {"a": print}])
def test_files_without_a_state_dict_are_refused(content, tmp_path):
    with pytest.raises(ModelFileError, match=r"no state dict|tensors alone"):
        load_small(tmp_path / "a.pt", content)


def test_files_that_are_no_checkpoints_are_refused(small, tmp_path):
    buffer = io.BytesIO()
    torch.save(small[1], buffer)
    whole = buffer.getvalue()
    for content in (b"", b"PK\x03\x04", b"text of a file", whole[: len(whole) // 2], whole[1:]):
        (tmp_path / "a.pt").write_bytes(content)
        with pytest.raises(ModelFileError, match="no PyTorch file"):
            load_published_beira(tmp_path / "a.pt", ["Cz"])
    with pytest.raises(ModelFileError, match="does not exist"):
        load_published_beira(tmp_path / "b.pt", ["Cz"])
    with pytest.raises(TypeError, match="path must be a path"):
        load_published_beira(3, ["Cz"])


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({"ch_names": ["Cz"]}, "ch_names holds 1 names, but the network has 4"),
        ({"region_names": ["a"] * 3}, "region_names holds 3 names, but the network has 2"),
        ({"sfreq": 0}, "'sfreq' parameter"),
        ({"eeg_scale": np.nan}, "'eeg_scale' parameter"),
        ({"rectifier": "tanh"}, "'rectifier' parameter"),
        ({"pool_sizes": (8, 8, 4)}, "another network, or pool_sizes has another length"),
        ({"pool_sizes": ()}, "pool_sizes must hold"),
        ({"pool_sizes": (4, 0)}, "pool_sizes must hold whole numbers"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(params, problem, small, tmp_path):
    torch.save(small[1], tmp_path / "a.pt")
    params = {"ch_names": ["Fz", "Cz", "Pz", "Oz"], "pool_sizes": (4, 2), **params}
    with pytest.raises(ValueError, match=problem):
        load_published_beira(tmp_path / "a.pt", **params)
