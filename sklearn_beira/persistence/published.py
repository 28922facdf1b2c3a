"""The network of the BEIRA authors in a PyTorch checkpoint, as a fitted model."""

import os
from collections.abc import Sequence
from numbers import Real

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, validate_params

from .._utils.files import printable
from ..eeg.windows import describe_window
from ..exceptions import ModelFileError
from ..regressor import BEIRARegressor, make_paper_beira
from ..regressor.architectures import check_architecture
from ..regressor.random_numbers import PrivateRandomNumbers
from .file import check_path, read_file, require

# Our names of the weights of a region's branches, blocks and output, and the authors'.
_BRANCHES = {
    "spatial": "unmixing_layer.weight",
    "spatial_bias": "unmixing_layer.bias",
    "norm.running_mean": "unmixed_channels_batchnorm.running_mean",
    "norm.running_var": "unmixed_channels_batchnorm.running_var",
    "bandpass": "band_pass.weight",
    "band_norm.running_mean": "norm.running_mean",
    "band_norm.running_var": "norm.running_var",
    "lowpass": "low_pass.weight",
    "lowpass_bias": "low_pass.bias",
}
_BLOCK = {"weight": "conv1d.weight", "scale": "norm.weight", "shift": "norm.bias"}
_OUTPUT = {"output": "conv1x1_one.weight", "output_bias": "conv1x1_one.bias"}
# Batch norms count their batches, which changes no prediction.
_COUNT = ".num_batches_tracked"

_POSITIVE = [Interval(Real, 0, None, closed="neither")]


@validate_params(
    {
        "ch_names": [list, tuple, np.ndarray],
        "region_names": [list, tuple, np.ndarray, None],
        "sfreq": _POSITIVE,
        "duration": _POSITIVE,
        "delay": [Interval(Real, None, None, closed="neither")],
        "eeg_scale": _POSITIVE,
        "pool_sizes": [list, tuple],
    },
    prefer_skip_nested_validation=True,
)
def load_published_beira(
    path: str | os.PathLike,
    ch_names: Sequence[str],
    *,
    region_names: Sequence[str] | None = None,
    sfreq: float = 100.0,
    duration: float = 20.48,
    delay: float = 6.0,
    eeg_scale: float = 1.0,
    rectifier: str = "relu",
    pool_sizes: tuple[int, ...] = (8, 8, 4),
) -> BEIRARegressor:
    """Load a network that the authors of BEIRA trained, from their PyTorch checkpoint.

    The checkpoint is the state dict of one network per region. ``{r}`` is the number of the region,
    ``{i}`` that of the block; all sizes are read from the tensors. Names in ``models.{r}.``:

    =======================================================  =====================================
    Name                                                     Shape
    =======================================================  =====================================
    ``artur_block.unmixing_layer.weight``                    (n_branches, n_channels, 1)
    ``artur_block.unmixing_layer.bias``                      (n_branches,)
    ``artur_block.unmixed_channels_batchnorm.running_mean``  (n_branches,)
    ``artur_block.unmixed_channels_batchnorm.running_var``   (n_branches,)
    ``artur_block.band_pass.weight``                         (n_branches, 1, n_taps)
    ``artur_block.norm.running_mean``                        (n_branches,)
    ``artur_block.norm.running_var``                         (n_branches,)
    ``artur_block.low_pass.weight``                          (n_branches, 1, n_taps)
    ``artur_block.low_pass.bias``                            (n_branches,)
    ``spatial_reduce.conv1d.weight``                         (encoder_width, n_branches, size)
    ``spatial_reduce.norm.weight``                           (encoder_width,), and so its ``bias``
    ``downsample_blocks.{i}.conv1d.weight``                  (encoder_width, encoder_width, size)
    ``downsample_blocks.{i}.norm.weight``                    (encoder_width,), and so its ``bias``
    ``upsample_blocks.{i}.conv_block.conv1d.weight``         (decoder_width, n_in, size)
    ``upsample_blocks.{i}.conv_block.norm.weight``           (decoder_width,), and so its ``bias``
    ``conv1x1_one.weight``                                   (1, decoder_width, 1)
    ``conv1x1_one.bias``                                     (1,)
    =======================================================  =====================================

    Parameters
    ----------
    path : path-like
        File that ``torch.save(network.state_dict(), path)`` wrote. It is read by
        ``torch.load(weights_only=True)``, which runs no code of the file.
    ch_names : sequence of str
        Names of the EEG channels in the order of the training. The file does not hold them.
    region_names : sequence of str or None
        Names of the regions in the order of the networks. The file does not hold them either. Those
        of the paper are left and right pallidum, caudate, putamen and accumbens.
    sfreq : float
        Sampling rate of the EEG in Hz.
    duration : float
        Length of the windows in s.
    delay : float
        Time in s from a sample of EEG to the BOLD that the network estimates there.
    eeg_scale : float
        SD in V by which the EEG is divided. The authors divided EEG by its SD before training, so
        give the SD of the EEG that you predict from. The default is for EEG that has been divided.
    rectifier : {"relu", "abs"}
        Rectifier of the branches.
    pool_sizes : tuple of int
        Max-pool of each block ``downsample_blocks.{i}``. The other blocks upsample in reverse
        order.

    Returns
    -------
    model : BEIRARegressor
        :func:`~sklearn_beira.make_paper_beira` with the weights of the file, on the CPU. It takes
        windows of ``Windower(duration, delay)`` of EEG at ``sfreq``, and its predictions have the
        unit of the BOLD in the authors' training.

    Raises
    ------
    ModelFileError
        A ValueError, if the file does not exist or is no state dict, or if names, shapes or numbers
        in it are not those of such a network.
    ValueError
        If ``ch_names`` or ``region_names`` has another length than the network has channels or
        regions, or if another parameter has no valid value.
    TypeError
        If ``path`` is no path.

    See Also
    --------
    sklearn_beira.make_paper_beira : The same network, to be trained.
    load_model : Load a model of this package.

    Notes
    -----
    The prefix ``module.`` of all names, which ``torch.nn.DataParallel`` writes, is left out.

    References
    ----------
    Kovalev, Mikheev, Ossadtchi (2022), fMRI from EEG is only Deep Learning away: the use of
    interpretable DL to unravel EEG-fMRI relationships, arXiv 2211.02024.

    Examples
    --------
    >>> from sklearn_beira import EEGFilter, Windower, load_published_beira
    >>> model = load_published_beira("beira.pt", X.ch_names, eeg_scale=1e-5)  # doctest: +SKIP
    >>> for step in (EEGFilter(1, None, notch=50), Windower(20.48, 6.0)):  # doctest: +SKIP
    ...     X = step.fit_transform(X)
    >>> bold = model.predict(X)  # doctest: +SKIP
    """
    path, pool_sizes = check_path(path), tuple(pool_sizes)
    if not pool_sizes:
        raise ValueError("pool_sizes must hold the pool of each block, got none.")
    weights, sizes = read_file(path, lambda file: _read_checkpoint(file, len(pool_sizes)))
    n_channels, n_rois = sizes.pop("n_channels"), len(weights["output"])
    _check_names("ch_names", ch_names, n_channels)
    if region_names is not None:
        _check_names("region_names", region_names, n_rois)
        region_names = [str(name) for name in region_names]

    model = make_paper_beira(rectifier=rectifier, pool_sizes=pool_sizes, verbose=False, **sizes)
    model.architecture_ = check_architecture(model.architecture)
    model._n_times = max(round(duration * sfreq), 1)
    # The constructor draws weights that are replaced; this must not change the caller's numbers.
    with PrivateRandomNumbers().drawn():
        network = model.architecture_.make_network(n_channels, n_rois, model._n_times)
    network.load_state_dict(_state_dict(weights, network.state_dict()))
    model.network_ = network.eval()
    model.n_parameters_ = sum(p.numel() for p in network.parameters())
    model.n_features_in_, model.ch_names_in_ = n_channels, [str(name) for name in ch_names]
    model.region_names_, model._target_is_1d = region_names, False
    model.eeg_scale_ = float(eeg_scale)
    model.target_mean_, model.target_scale_ = np.zeros(n_rois), np.ones(n_rois)
    model.device_, model.interrupted_, model.closed_form_ = "cpu", False, None
    model._window = describe_window(-delay - duration, 0.0 - delay, sfreq)
    return model


def _check_names(parameter, names, n):
    if len(names) != n:
        raise ValueError(
            f"{parameter} holds {len(names)} names, but the network has {n}; name all of them, in "
            f"the order of its training."
        )


def _read_checkpoint(file, n_pools):
    """Read the weights of each region (a list of tensors by our names) and the sizes."""
    n_bytes = file.seek(0, os.SEEK_END)
    file.seek(0)
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # given other files, torch raises errors of any kind
        raise ModelFileError(
            "it is no PyTorch file of tensors alone; write it with "
            "torch.save(network.state_dict(), path)"
        ) from error
    valid = isinstance(content, dict) and all(isinstance(name, str) for name in content)
    require(valid, "it holds no state dict; save network.state_dict()")
    if all(name.startswith("module.") for name in content):
        content = {name.removeprefix("module."): value for name, value in content.items()}
    content = {name: value for name, value in content.items() if not name.endswith(_COUNT)}
    regions = {name.split(".")[1] for name in content if name.startswith("models.")}
    names = _names(n_pools)
    expected = {f"models.{r}.{theirs}" for r in range(len(regions)) for theirs in names.values()}
    require(expected, "it holds no weights of regions, whose names start with models.0")
    for problem, wrong in (("lacks", expected - {*content}), ("also holds", {*content} - expected)):
        some = ", ".join(printable(name)[:80] for name in sorted(wrong)[:3])
        problem = f"it {problem} {len(wrong)} weight(s) ({some})"
        require(not wrong, f"{problem}: it is another network, or pool_sizes has another length")
    for name, value in content.items():
        valid = isinstance(value, torch.Tensor) and value.layout is torch.strided
        require(valid and value.is_floating_point(), f"{name} is no tensor of real numbers")
    # A tensor may be a view that claims any size.
    valid = sum(value.nbytes for value in content.values()) <= n_bytes
    require(valid, "its tensors are larger than the file")
    weights = {
        ours: [content[f"models.{r}.{theirs}"] for r in range(len(regions))]
        for ours, theirs in names.items()
    }
    sizes = _sizes({ours: tuple(parts[0].shape) for ours, parts in weights.items()}, n_pools)
    for ours, shape in _shapes(**sizes).items():
        for r, part in enumerate(weights[ours]):
            name, found = f"models.{r}.{names[ours]}", tuple(part.shape)
            problem = f"{name} has shape {found}, but with the sizes of models.0 it has {shape}"
            require(found == shape, problem)
            require(torch.isfinite(part).all(), f"{name} holds NaN or infinite values")
            valid = not name.endswith("running_var") or (part >= 0).all()
            require(valid, f"{name} holds a variance below 0")
    return weights, sizes


def _names(n_pools):
    """Names of the weights of a region in the file, by our names."""
    blocks = {"encoder.0": "spatial_reduce"}
    blocks |= {f"encoder.{i + 1}": f"downsample_blocks.{i}" for i in range(n_pools)}
    blocks |= {f"decoder.{i}": f"upsample_blocks.{i}.conv_block" for i in range(n_pools)}
    names = {f"branches.{ours}": f"artur_block.{theirs}" for ours, theirs in _BRANCHES.items()}
    for block, prefix in blocks.items():
        names |= {f"{block}.{ours}": f"{prefix}.{theirs}" for ours, theirs in _BLOCK.items()}
    return {**names, **_OUTPUT}


def _sizes(shapes, n_pools):
    """Read the sizes of the network from the shapes of a region's weights."""
    encoder = [f"encoder.{i}.weight" for i in range(n_pools + 1)]
    for ours in ("branches.spatial", "branches.bandpass", *encoder, "decoder.0.weight"):
        valid = len(shapes[ours]) == 3 and min(shapes[ours]) > 0
        name = f"models.0.{_names(n_pools)[ours]}"
        require(valid, f"{name} has shape {shapes[ours]}, not (n_out, n_in, size)")
    sizes = {
        "n_channels": shapes["branches.spatial"][1],
        "n_branches": shapes["branches.spatial"][0],
        "n_taps": shapes["branches.bandpass"][2],
        "encoder_width": shapes["encoder.0.weight"][0],
        "decoder_width": shapes["decoder.0.weight"][0],
        "kernel_sizes": tuple(shapes[ours][2] for ours in encoder),
    }
    odd = all(size % 2 for size in (sizes["n_taps"], *sizes["kernel_sizes"]))
    require(odd, f"its filters have even lengths ({sizes['n_taps']}, {sizes['kernel_sizes']})")
    return sizes


def _shapes(n_channels, n_branches, n_taps, encoder_width, decoder_width, kernel_sizes):
    """Compute the shapes of a region's weights in the file, by our names."""
    shapes = {f"branches.{ours}": (n_branches,) for ours in _BRANCHES}
    shapes["branches.spatial"] = n_branches, n_channels, 1
    shapes["branches.bandpass"] = shapes["branches.lowpass"] = n_branches, 1, n_taps
    n_in = n_branches
    for part, n_out, kernels in (
        ("encoder", encoder_width, kernel_sizes),
        ("decoder", decoder_width, kernel_sizes[:0:-1]),
    ):
        for i, size in enumerate(kernels):
            shapes |= {f"{part}.{i}.{ours}": (n_out,) for ours in _BLOCK}
            shapes[f"{part}.{i}.weight"] = n_out, n_in, size
            n_in = n_out
    return {**shapes, "output": (1, n_in, 1), "output_bias": (1,)}


def _state_dict(weights, own):
    """Make the state dict of our network, in which regions share tensors, like ``own``."""
    state = dict(own)  # keeps the counts of the batch norms
    for ours, parts in weights.items():
        if ours.startswith("branches."):
            whole = torch.cat(parts)
        else:  # features last
            whole = torch.stack([part.permute(*range(part.ndim)[::-1]) for part in parts])
        state[ours] = whole.reshape(own[ours].shape).float()
    return state
