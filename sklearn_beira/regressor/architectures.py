"""Architectures: the networks that a BEIRARegressor can be given, with their parameters.

An architecture holds the sizes of a network and makes it. A new one is a torch module in ``nets/``,
a class here, and a line in ``ARCHITECTURES``.
"""

from dataclasses import KW_ONLY, dataclass
from inspect import signature
from numbers import Integral, Real
from typing import ClassVar

import torch
from sklearn.base import BaseEstimator, clone
from sklearn.utils._param_validation import Interval, StrOptions
from torch import nn

from .._utils.warn import warn_user
from .nets import estimates_own_volume_only
from .nets.autoencoder import AutoencoderNetwork
from .nets.brainwavelinker import BrainWaveLinkerNetwork
from .nets.compact import CompactNetwork
from .nets.eegnet import EEGNetNetwork
from .training import Training

_COUNT = [Interval(Integral, 1, None, closed="left")]
_SHARE = [Interval(Real, 0, 1, closed="left")]
_MODE = [StrOptions({"many_to_one", "many_to_many"})]
_STRIDE = [StrOptions({"volume", "window"})]


class Architecture(BaseEstimator):
    """Base class of architectures.

    Subclasses set the class attribute ``network``. Parameters of the constructor
    that the network's constructor names as well are passed on.

    Attributes
    ----------
    network : type
        Class of the network, a :class:`torch.nn.Module`.
    closed_form : bool
        True if the weights are found in closed form before any training by gradients.
    mode, stride : str
        Volumes that a window estimates, and windows that are read; see :class:`Autoencoder`.
    """

    network: ClassVar[type]
    closed_form: ClassVar[bool] = False
    mode = "many_to_one"
    stride = "volume"
    _training = Training()

    def default_training(self) -> Training | None:
        """Make the training that ``training=None`` stands for.

        Returns
        -------
        training : Training or None
            Training by gradients; None if there is none.
        """
        return clone(self._training, safe=False)

    def make_network(self, n_channels: int, n_rois: int, n_times: int) -> nn.Module:
        """Make the network with its initial weights.

        Parameters
        ----------
        n_channels, n_rois, n_times : int
            EEG channels, BOLD regions, and samples of a window.

        Returns
        -------
        network : torch.nn.Module
            Network.
        """
        return self.network(n_channels, n_rois, **self._sizes(n_times))

    def _sizes(self, n_times):
        """Return what the network's constructor is given beside channels and regions."""
        given = {**self.get_params(deep=False), "n_times": n_times}
        return {name: given[name] for name in signature(self.network).parameters if name in given}

    def _check(self):
        self._validate_params()
        if self.stride == "window" and self.mode != "many_to_many":
            raise ValueError(
                f"stride='window' leaves out the windows of most volumes, but mode={self.mode!r} "
                f"needs the window of each volume; set mode='many_to_many'."
            )

    def _check_windows(self, X):
        """Check EEG that the network is to be fitted to."""

    def _check_network(self, network, n_channels, n_rois, n_times):
        """Check that the network maps EEG to BOLD."""


@dataclass(kw_only=True, repr=False, eq=False)
class Compact(Architecture):
    r"""Spatial filters whose band power is read by delay kernels; weights in closed form.

    .. math:: \hat y_r(t) = b_r + \sum_k \sum_l h_{r,k}(l)\, e_{r,k}(t - l)

    Branch k of region r is a spatial filter, a band-pass filter, and the power
    :math:`e_{r,k}` of the signal in segments. Its delay kernel :math:`h_{r,k}` covers the window
    and can be read as a hemodynamic response. The Notes of :class:`BEIRARegressor` say how the
    weights are found. ``training=None`` keeps these weights; a :class:`Training` fine-tunes them.

    Parameters
    ----------
    n_branches : int
        Branches per region. Beyond about 100, the closed form leaves them at weights of 0.
    n_taps : int
        Taps of the FIR band-pass filters, odd. The default is for EEG sampled at 100 Hz.
    bands : dict of str to tuple of float, or "default"
        Edges in Hz of the bands that the closed form reads. The default is 1–4, 4–8, 8–12, 12–16,
        16–24, 24–32 and 32–45 Hz, as far as the sampling rate allows.
    segment : int
        Samples of EEG per value of the power. The default is for EEG sampled at 100 Hz.

    See Also
    --------
    Autoencoder : The published network.

    Examples
    --------
    >>> from sklearn_beira import BEIRARegressor, Compact
    >>> model = BEIRARegressor(Compact(n_branches=4))
    >>> model.get_params()["architecture__n_branches"]
    4
    """

    network = CompactNetwork
    closed_form = True
    _training = None
    _parameter_constraints: ClassVar[dict] = {
        **dict.fromkeys(("n_branches", "n_taps", "segment"), _COUNT),
        "bands": [dict, StrOptions({"default"})],
    }

    n_branches: int = 16
    n_taps: int = 101
    bands: dict | str = "default"
    segment: int = 50

    def _check(self):
        super()._check()
        _check_odd(self, "n_taps")

    def _check_windows(self, X):
        if X.shape[2] == 1:  # a table has no time to filter in
            return
        default, sfreq = Compact(), X.sfreq
        is_default = (self.n_taps, self.segment) == (default.n_taps, default.segment)
        if is_default and not 75 <= sfreq <= 150:
            warn_user(
                f"X is sampled at {sfreq:g} Hz, but n_taps={self.n_taps} and "
                f"segment={self.segment} of Compact count samples at 100 Hz; put "
                f"EEGFilter(sfreq=100) in front, or set both for {sfreq:g} Hz."
            )


@dataclass(kw_only=True, repr=False, eq=False)
class Autoencoder(Architecture):
    """The published network: a convolutional autoencoder behind the branches of each region [1]_.

    With 30 channels and the default sizes it has 245,057 parameters per region. ``training=None``
    stands for the published training: up to 1,500 epochs, with the last fifth of the volumes for
    validation.

    Parameters
    ----------
    n_branches : int
        Branches per region.
    n_taps : int
        Taps of the FIR filters of the branches, odd.
    rectifier : {"relu", "abs"}
        Nonlinearity that turns an oscillation into an envelope: "relu" is that of the paper's
        code, "abs" that of its text.
    encoder_width, decoder_width : int
        Features of the blocks of encoder and decoder.
    kernel_sizes : tuple of int
        Kernels of the encoder's blocks, odd; the decoder mirrors all but the first.
    pool_sizes : tuple of int
        Max-pools behind the encoder's blocks but the first, undone in the decoder.
    dropout : float
        Dropout in every block.
    mode : {"many_to_many", "many_to_one"}
        Volumes that a window estimates: every volume of X inside the delayed window, or its own
        volume only. In training only training volumes count; in prediction the estimates of
        overlapping windows are averaged. Epoched arrays have no other volumes than their own.
    stride : {"volume", "window"}
        Windows that are read: one per volume, or as few as cover all volumes without overlap
        ("many_to_many" only). With "window", an epoch reads each sample of EEG about once and has
        far fewer steps; the windows of each epoch are placed at random.

    See Also
    --------
    make_paper_beira : Makes the published model in one call.

    References
    ----------
    .. [1] Kovalev, Mikheev, Ossadtchi (2022), fMRI from EEG is only Deep Learning away: the use of
       interpretable DL to unravel EEG-fMRI relationships, arXiv 2211.02024.

    Examples
    --------
    >>> from sklearn_beira import Autoencoder, BEIRARegressor, Training
    >>> model = BEIRARegressor(Autoencoder(encoder_width=16), training=Training(max_epochs=10))
    >>> model.set_params(architecture__encoder_width=32).architecture
    Autoencoder(encoder_width=32)
    """

    network = AutoencoderNetwork
    _training = Training(max_epochs=1500, validation_fraction=0.2, patience=None)
    _parameter_constraints: ClassVar[dict] = {
        **dict.fromkeys(("n_branches", "n_taps", "encoder_width", "decoder_width"), _COUNT),
        "kernel_sizes": ["array-like"],
        "pool_sizes": ["array-like"],
        "rectifier": [StrOptions({"relu", "abs"})],
        "dropout": _SHARE,
        "mode": _MODE,
        "stride": _STRIDE,
    }

    n_branches: int = 16
    n_taps: int = 51
    rectifier: str = "relu"
    encoder_width: int = 128
    decoder_width: int = 32
    kernel_sizes: tuple = (3, 5, 5, 3)
    pool_sizes: tuple = (8, 8, 4)
    dropout: float = 0.3
    mode: str = "many_to_many"
    stride: str = "volume"

    def _check(self):
        super()._check()
        _check_sizes(self, "kernel_sizes", "pool_sizes")
        if len(self.kernel_sizes) != len(self.pool_sizes) + 1:
            raise ValueError(
                f"kernel_sizes needs one entry more than pool_sizes, got "
                f"{len(self.kernel_sizes)} and {len(self.pool_sizes)}."
            )
        _check_odd(self, "n_taps", "kernel_sizes")


@dataclass(kw_only=True, repr=False, eq=False)
class EEGNet(Architecture):
    """EEGNet with a linear read-out of every region [1]_; estimates the volume of the window.

    ``training=None`` stands for 40 epochs of AdamW at a learning rate of 0.01 and a weight decay of
    1 in batches of 512 windows: settings of ours, for minutes of recording at 64 to 100 Hz.

    Parameters
    ----------
    n_taps : int
        Taps of the temporal filters, odd; the original has half a second.
    n_temporal : int
        Temporal filters (F1).
    depth : int
        Spatial filters of each temporal filter (D).
    n_separable : int
        Features behind the separable convolution (F2).
    separable_size : int
        Kernel of the separable convolution, odd.
    pools : tuple of int
        Two average pools, counted from the end of the window.
    dropout : float
        Dropout behind each pool.
    max_shift : int
        In training every window gets a random sign, and all windows are shifted by a random number
        of samples below this; 0 trains on the windows as they are. Not part of the original.

    See Also
    --------
    sklearn_beira.make_eegnet : Makes the baseline, window included.

    References
    ----------
    .. [1] Lawhern, Solon, Waytowich, Gordon, Hung, Lance (2018), EEGNet: a compact convolutional
       neural network for EEG-based brain-computer interfaces, J. Neural Eng. 15, 056013.

    Examples
    --------
    >>> from sklearn_beira import BEIRARegressor, EEGNet
    >>> BEIRARegressor(EEGNet(depth=1)).architecture
    EEGNet(depth=1)
    """

    network = EEGNetNetwork
    _training = Training(max_epochs=40, batch_size=512, lr=1e-2, weight_decay=1.0)
    _parameter_constraints: ClassVar[dict] = {
        **dict.fromkeys(("n_taps", "n_temporal", "depth", "n_separable"), _COUNT),
        "separable_size": _COUNT,
        "pools": ["array-like"],
        "dropout": _SHARE,
        "max_shift": [Interval(Integral, 0, None, closed="left")],
    }

    n_taps: int = 51
    n_temporal: int = 8
    depth: int = 2
    n_separable: int = 16
    separable_size: int = 15
    pools: tuple = (4, 8)
    dropout: float = 0.5
    max_shift: int = 64

    def _check(self):
        super()._check()
        _check_sizes(self, "pools")
        if len(self.pools) != 2:
            raise ValueError(f"pools must hold two sizes, got {self.pools!r}.")
        _check_odd(self, "n_taps", "separable_size")


@dataclass(kw_only=True, repr=False, eq=False)
class BrainWaveLinker(Architecture):
    """Convolutional network of BrainWaveLinker [1]_; estimates the volume of the window.

    ``training=None`` stands for 150 epochs of AdamW at a learning rate of 0.005 and a weight decay
    of 1 in batches of 512 windows on minus the correlation: settings of ours, for minutes of
    recording at 64 to 100 Hz. The loss leaves the scale of the predictions free: judge the model by
    r, not by R².

    Parameters
    ----------
    n_features : int
        Spatial filters, and features of every block.
    kernel_size : int
        Kernel and stride of the blocks, in samples of their input.
    n_blocks : int
        Blocks.
    readout_size : int
        Most steps of ``kernel_size ** n_blocks`` samples that the temporal convolution covers.
    dropout : float
        Dropout in every block.
    max_shift : int
        In training every window gets a random sign, and all windows are shifted by a random number
        of samples below this; 0 trains on the windows as they are. Not part of the original.

    See Also
    --------
    sklearn_beira.make_brainwavelinker : Makes the baseline, window included.

    References
    ----------
    .. [1] BrainWaveLinker (2024), bioRxiv 2024.11.20.624528.

    Examples
    --------
    >>> from sklearn_beira import BEIRARegressor, BrainWaveLinker
    >>> BEIRARegressor(BrainWaveLinker(n_blocks=2)).architecture
    BrainWaveLinker(n_blocks=2)
    """

    network = BrainWaveLinkerNetwork
    _training = Training(
        max_epochs=150, batch_size=512, lr=5e-3, weight_decay=1.0, loss="correlation"
    )
    _parameter_constraints: ClassVar[dict] = {
        **dict.fromkeys(("n_features", "kernel_size", "n_blocks", "readout_size"), _COUNT),
        "dropout": _SHARE,
        "max_shift": [Interval(Integral, 0, None, closed="left")],
    }

    n_features: int = 16
    kernel_size: int = 5
    n_blocks: int = 3
    readout_size: int = 21
    dropout: float = 0.25
    max_shift: int = 64


@dataclass(repr=False, eq=False)
class CustomNetwork(Architecture):
    """User-defined network: any class derived from :class:`torch.nn.Module`.

    The class is called as ``network(n_channels, n_rois, **params)``, with ``n_times`` as well if
    its constructor names it. It maps EEG ``(n_windows, n_channels, n_times)`` to BOLD
    ``(n_windows, n_rois, n_times)``, or with the class attribute ``own_volume_only = True`` to
    ``(n_windows, n_rois)``. ``training=None`` stands for ``Training()``.

    Parameters
    ----------
    network : type
        Class of the network.
    params : dict or None
        Further parameters of its constructor.
    mode, stride : str
        As of :class:`Autoencoder`; networks of the own volume only need the defaults.

    Examples
    --------
    >>> from torch import nn
    >>> from sklearn_beira import BEIRARegressor, CustomNetwork
    >>> class Mix(nn.Module):
    ...     def __init__(self, n_channels, n_rois, width=4):
    ...         super().__init__()
    ...         filters = nn.Conv1d(n_channels, width, 9, padding=4)
    ...         self.layers = nn.Sequential(filters, nn.ELU(), nn.Conv1d(width, n_rois, 1))
    ...     def forward(self, eeg):
    ...         return self.layers(eeg)
    >>> architecture = CustomNetwork(Mix, {"width": 8}, mode="many_to_many")
    >>> architecture.make_network(n_channels=3, n_rois=2, n_times=100).layers[0].out_channels
    8
    """

    _parameter_constraints: ClassVar[dict] = {
        "network": [type],
        "params": [dict, None],
        "mode": _MODE,
        "stride": _STRIDE,
    }

    network: type
    params: dict | None = None
    _: KW_ONLY
    mode: str = "many_to_one"
    stride: str = "volume"

    def _sizes(self, n_times):
        named = "n_times" in signature(self.network).parameters
        return {**(self.params or {}), **({"n_times": n_times} if named else {})}

    def _check_network(self, network, n_channels, n_rois, n_times):
        eeg = torch.zeros(2, n_channels, n_times)
        expected, axes = (2, n_rois, n_times), "(n_windows, n_rois, n_times)"
        if estimates_own_volume_only(network):
            expected, axes = expected[:2], "(n_windows, n_rois)"
        # As in prediction: no batch norm learns from it. Lazy layers get their sizes here.
        network.eval()
        with torch.no_grad():
            found = tuple(network(eeg).shape)
        network.train()
        if found != expected:
            raise ValueError(
                f"{type(network).__name__} maps EEG of shape {tuple(eeg.shape)} to {found}, "
                f"expected {expected}, that is {axes}; a network that estimates only the volume of "
                f"the window has the class attribute own_volume_only = True and returns "
                f"(n_windows, n_rois)."
            )

    def _check(self):
        super()._check()
        if not issubclass(self.network, nn.Module):
            raise TypeError(
                f"network of CustomNetwork must be a class derived from torch.nn.Module, got "
                f"{self.network.__name__}."
            )
        if self.mode == "many_to_many" and estimates_own_volume_only(self.network):
            raise ValueError(
                f"{self.network.__name__} estimates only the volume of a window, but "
                f"mode='many_to_many' asks for every volume inside it; set mode='many_to_one'."
            )
        for name in {"n_channels", "n_rois", "n_times"} & set(self.params or {}):
            raise ValueError(f"params of CustomNetwork may not hold {name!r}; fit sets it.")


#: Architectures by the name that ``BEIRARegressor(architecture=...)`` takes.
ARCHITECTURES = {
    "compact": Compact,
    "autoencoder": Autoencoder,
    "eegnet": EEGNet,
    "brainwavelinker": BrainWaveLinker,
}


def check_architecture(architecture: str | Architecture) -> Architecture:
    """Make the architecture that a regressor was given, and check its parameters.

    Parameters
    ----------
    architecture : str or Architecture
        Name or object.

    Returns
    -------
    architecture : Architecture
        A new object.

    Raises
    ------
    ValueError
        If a parameter has no valid value.
    TypeError
        If a network of the user is no torch module.
    """
    if isinstance(architecture, str):
        if architecture not in ARCHITECTURES:
            raise ValueError(
                f"architecture must be one of {', '.join(ARCHITECTURES)} or an Architecture, got "
                f"{architecture!r}."
            )
        return ARCHITECTURES[architecture]()
    architecture = clone(architecture)
    architecture._check()
    return architecture


def _check_sizes(architecture, *names):
    for name in names:
        sizes = getattr(architecture, name)
        if not all(isinstance(size, Integral) and size >= 1 for size in sizes):
            raise ValueError(f"{name} must hold whole numbers of at least 1, got {sizes!r}.")


def _check_odd(architecture, *names):
    for name in names:
        value = getattr(architecture, name)
        sizes = value if isinstance(value, tuple | list) else [value]
        if any(size % 2 == 0 for size in sizes):
            raise ValueError(f"{name} must be odd, got {value!r}.")
