"""BEIRARegressor: fit and prediction."""

import copy
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted

from .._utils.estimators import seen_digests
from ..eeg.base import EEGRegressor
from ..eeg.checks import check_eeg, check_target
from ..eeg.windows import EEGWindows
from .architectures import ARCHITECTURES, Architecture, Autoencoder, check_architecture
from .batches import eeg_scale
from .checkpoint import Checkpoint
from .closed_form import fit_closed_form
from .nets.devices import resolve_device, use_own_threads
from .prediction import check_new_eeg, estimate_bold
from .random_numbers import PrivateRandomNumbers
from .skorch_net import train_network
from .training import Training, check_training, split_off_validation


@dataclass(repr=False, eq=False)
class BEIRARegressor(EEGRegressor):
    r"""Predict the BOLD of brain regions from windows of EEG, with interpretable branches.

    BOLD from EEG Interpretable Regression Autoencoder [1]_. Every region has branches (spatial
    filter, band-pass filter, envelope) that can be read as scalp maps and spectra, and a decoder
    that turns the envelopes into BOLD. In the default architecture, the decoder is a delay kernel
    per branch and all weights are found in closed form, which takes seconds and works with minutes
    of recording. :func:`make_paper_beira` makes the published network.

    Parameters
    ----------
    architecture : {"compact", "autoencoder", "eegnet", "brainwavelinker"} or Architecture
        The network: a name, or an object that holds its sizes. :class:`Compact` is the default,
        :class:`Autoencoder` the published network; :class:`EEGNet` and :class:`BrainWaveLinker`
        have no branches to read; :class:`CustomNetwork` takes a torch module of your own.
    training : Training or None
        Training by gradients. None stands for the default of the architecture: "compact" is then
        not trained beyond its closed form; the others say in their documentation how they are
        trained.
    device : str
        "auto" (CUDA if available), "cpu", "cuda", "cuda:1" or any other device of torch.
        Used by ``fit``; ``predict`` uses the same device.
    verbose : bool or int
        True shows a progress bar if training takes more than 5 s; 2 or more also prints the losses
        of every epoch.
    random_state : int, RandomState instance or None
        Seed of initial weights, dropout and order of windows. The closed form needs none.

    Attributes
    ----------
    network_ : torch.nn.Module
        The network with its weights.
    closed_form_ : Bunch or None
        Facts about the closed form, if the architecture has one: ``bands`` (names), ``shares``
        (n_rois, n_bands), the share of each band in the variance of the prediction;
        ``autocorrelation`` (n_rois,) of the noise in the model of power, from volume to volume, of
        fast sequences from average to average; ``pass_band`` (n_rois, 2), the band in Hz in which
        BOLD has power, from 0 to the Nyquist frequency of these unless BOLD was filtered; ``kept``
        (n_rois,), the correlation of the prediction by the branches with that by all candidates;
        ``known`` (n_rois,), the weight of the pretrained model.
    net_ : skorch.NeuralNet
        The net that trained the network. Exists only after training by gradients, and is not saved
        by :func:`~sklearn_beira.save_model`.
    history_ : skorch.history.History
        Losses of all epochs. Exists only after training by gradients.
    architecture_ : Architecture
        The architecture used.
    interrupted_ : bool
        Whether Ctrl-C ended the training, so that the weights are only the best until then.
    device_ : str
        Device used.
    eeg_scale_ : float
        Standard deviation of the training EEG in V; the EEG is divided by it.
    target_mean_, target_scale_ : ndarray, shape (n_rois,)
        Mean and standard deviation of the training BOLD.
    region_names_ : list of str or None
        Names of the regions, if y was a DataFrame.
    n_parameters_ : int
        Number of weights.
    n_features_in_ : int
        Number of channels.
    ch_names_in_ : list of str or None
        Names of the channels, if X has names.

    See Also
    --------
    WholeBrainRegressor : For hundreds of regions, or voxels.
    sklearn_beira.Windower : Sets window and delay.
    sklearn_beira.EEGFilter : Prepares the recordings.
    Training : Settings of the training by gradients.

    Notes
    -----
    The closed form of "compact" reads the powers of all channels in a few bands:

    .. math:: y = C b + \sum_j F_j w_j + \varepsilon, \qquad
              w_j \sim N(0, \sigma^2 e^{\theta_j} I), \qquad
              \varepsilon \sim N\Bigl(0, \sigma^2 \sum_m \pi_m R_m\Bigr)

    where the columns of :math:`F_j` are the powers of the channels in band j behind a few delay
    kernels, :math:`C` has a constant per recording, and :math:`R_m` is the correlation of a
    first-order autoregressive process: their mixture holds white, autoregressive and nearly 1/f
    noise. The restricted likelihood chooses the variances of the bands :math:`\theta_j` and the
    shares :math:`\pi_m` for every region, so that no volume has to be set apart. Where BOLD was
    filtered, as to .01–.1 Hz, only the frequencies in which it has power are compared, of EEG and
    BOLD alike (``closed_form_.pass_band``). The delay kernels vary around Glover's response,
    counted from the end of the window: with a ``delay`` of the :class:`~sklearn_beira.Windower`,
    the expected response comes later by as much. For each region and band, the weighted sum of
    powers of channels is a quadratic form in the EEG. Its eigenvectors, relative to the covariance
    of the EEG in the band, are spatial filters with uncorrelated outputs, and some of these become
    branches.

    BOLD with a repetition time below 1.33 s is averaged to about one value every 2 s, from which
    the model learns; it predicts every volume. Up to 720 values (volumes, or averages of them), at
    most six models are fitted: of power, of its logarithm, and (not with ``bands`` of your own) of
    the logarithm in narrower bands, each with the usual delay kernels and with wider ones that have
    peaks up to 12 s, which tables do not have. Each model finds filters in the channels and in the
    covariances of principal axes, and weighs the envelopes of these filters anew. The models are
    averaged by the square root of their evidence. Then up to ``n_branches`` filters become
    branches, one by one: the next is the one that carries most of what is left of the average, when
    the envelopes of the earlier ones are regressed out. Others have weights of 0. A branch whose
    ``network_.branches.log_offset`` is finite reads a logarithm. Of more than 32 regions, variances
    are searched for 32 and shared by the others (:class:`WholeBrainRegressor`). Above 720 values,
    regions whose noise is alike share its spectrum.

    EEG and BOLD are scaled by the training rows. A fixed ``random_state`` gives the same weights on
    the same machine, in processes and in threads. A ``fit`` that fails leaves the model as it was.
    Ctrl-C in a training by gradients raises KeyboardInterrupt as well, but the model keeps the best
    weights so far and can predict.

    References
    ----------
    .. [1] Kovalev, Mikheev, Ossadtchi (2022), fMRI from EEG is only Deep Learning away: the use of
       interpretable DL to unravel EEG-fMRI relationships, arXiv 2211.02024.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_beira import BEIRARegressor, Compact, EEGWindows
    >>> rng = np.random.default_rng(0)
    >>> X = EEGWindows.from_array(rng.standard_normal((40, 4, 400)), sfreq=100.0)
    >>> y = rng.standard_normal((40, 2))
    >>> model = BEIRARegressor(Compact(n_branches=2)).fit(X, y)
    >>> model.predict(X).shape
    (40, 2)
    """

    _parameter_constraints: ClassVar[dict] = {
        "architecture": [StrOptions(set(ARCHITECTURES)), Architecture],
        "training": [Training, None],
        "device": [str],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    architecture: str | Architecture = "compact"
    _: KW_ONLY
    training: Training | None = None
    device: str = "auto"
    verbose: bool | int = True
    random_state: int | np.random.RandomState | None = None

    def fit(
        self,
        X: EEGWindows | ArrayLike,
        y: ArrayLike,
        *,
        pretrained: "BEIRARegressor | None" = None,
    ) -> Self:
        """Fit the network to windows of EEG and the BOLD of their volumes.

        Parameters
        ----------
        X : EEGWindows, mne.Epochs or array-like, shape (n_volumes, n_channels, n_times)
            EEG in V. "compact" needs the sampling rate, which a plain array does not have.
        y : array-like or DataFrame, shape (n_volumes, n_rois) or (n_volumes,)
            BOLD, one row per volume.
        pretrained : BEIRARegressor or None
            A model with the same regions, channels, window and sizes, fitted to other recordings.
            "compact" finds the weight of its prediction from the data and fits its models to what
            is left, with a prior that expects little; branches are chosen from both. Other
            architectures start training from its weights.

        Returns
        -------
        self : BEIRARegressor
            Fitted.

        Raises
        ------
        ValueError
            If a parameter, the EEG or the BOLD is not usable, or if there are too few volumes for
            the validation.
        TypeError
            If the network of a :class:`CustomNetwork` cannot be made from its parameters.
        KeyboardInterrupt
            After Ctrl-C. A training by gradients keeps the best weights so far (``interrupted_``).
        """
        # A copy is fitted: if that fails, the model stays as it was.
        self.__dict__ = vars(copy.copy(self)._fit(X, y, pretrained))
        if self.interrupted_:
            raise KeyboardInterrupt(
                "the training was stopped; the model keeps the best weights so far (interrupted_)"
            )
        return self

    def _fit(self, X, y, pretrained):
        for name in ("net_", "history_"):
            vars(self).pop(name, None)  # of an earlier fit
        use_own_threads()
        self._validate_params()
        architecture = self.architecture_ = check_architecture(self.architecture)
        training = self.get_training()
        if training is not None:
            check_training(training)
        X = check_eeg(self, X, reset=True, y=y, ensure_min_samples=2)
        architecture._check_windows(X)
        y, self._target_is_1d = check_target(self, X, y)
        self._window, self._n_times = X._describe_window(), X.shape[2]
        if pretrained is not None:
            self._check_pretrained(pretrained, y.shape[1])
        head, tail = split_off_validation(X, training)

        self.device_ = resolve_device(self.device)
        self.eeg_scale_ = eeg_scale(X[head])
        self.target_mean_, self.target_scale_ = y[head].mean(axis=0), y[head].std(axis=0)
        self.target_scale_[self.target_scale_ == 0] = 1.0
        y = (y - self.target_mean_) / self.target_scale_
        known = None if pretrained is None else self._network_of(pretrained)
        if pretrained is not None:
            self.bold_digests_ = np.union1d(self.bold_digests_, seen_digests(pretrained))
        checkpoint = self._make_checkpoint(training, X, y, known)

        seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        random = PrivateRandomNumbers(self.device_, seed)
        with random.drawn():
            network = architecture.make_network(X.shape[1], y.shape[1], X.shape[2])
            architecture._check_network(network, X.shape[1], y.shape[1], X.shape[2])
        network.to(self.device_)
        self.closed_form_ = None
        if architecture.closed_form:
            self.closed_form_ = fit_closed_form(
                network, X[head], y[head], self.eeg_scale_, architecture.bands, known
            )
        elif known is not None:
            network.load_state_dict(known.state_dict())
        if training is not None:
            self.net_ = train_network(
                network,
                X[head],
                y[head],
                self.eeg_scale_,
                architecture,
                training,
                validation=(X[tail], y[tail]) if len(tail) else None,
                checkpoint=checkpoint,
                random=random,
                verbose=self.verbose,
            )
            self.history_ = self.net_.history_
        self.interrupted_ = training is not None and bool(self.net_.interrupts)
        self.network_ = network
        self.n_parameters_ = sum(p.numel() for p in network.parameters())
        return self

    def _predict(self, X):
        use_own_threads()
        check_new_eeg(self, X)
        y = estimate_bold(
            self.network_, X, self.eeg_scale_, self.architecture_, device=self.device_
        )
        return y * self.target_scale_ + self.target_mean_

    def get_training(self) -> Training | None:
        """Find the training that ``fit`` uses.

        Returns
        -------
        training : Training or None
            ``training`` if it is given, else the default of the architecture; None if the network
            is not trained by gradients.
        """
        if self.training is not None:
            return self.training
        return check_architecture(self.architecture).default_training()

    # -- checks ---------------------------------------------------------------------------------
    def _check_pretrained(self, pretrained, n_rois):
        if not isinstance(pretrained, BEIRARegressor):
            raise TypeError(
                f"pretrained must be a fitted BEIRARegressor, got {type(pretrained).__name__}."
            )
        check_is_fitted(pretrained)
        ours, theirs = self.architecture_, pretrained.architecture_
        pairs = {
            "architecture": (type(theirs).__name__, type(ours).__name__),
            "number of regions": (len(pretrained.target_mean_), n_rois),
            "regions": (pretrained.region_names_, self.region_names_),
            "number of channels": (pretrained.n_features_in_, self.n_features_in_),
            "channels": (pretrained.ch_names_in_, self.ch_names_in_),
            "window": (pretrained._window, self._window),
        }
        one, other = theirs._sizes(self._n_times), ours._sizes(self._n_times)
        for size in {**one, **other}:
            if size != "n_branches" or not ours.closed_form:  # the closed form chooses its own
                pairs[size] = one.get(size), other.get(size)
        for what, (one, other) in pairs.items():
            if one != other:
                raise ValueError(
                    f"pretrained has another {what} than this fit ({one} against {other}); both "
                    f"need the same architecture, sizes, regions, channels and windows."
                )

    # -- pieces of fit --------------------------------------------------------------------------
    def _network_of(self, pretrained):
        """The network of another model, on this device and for EEG of this scale."""
        ratio = self.eeg_scale_ / pretrained.eeg_scale_
        if not 1e-3 < ratio < 1e3:
            raise ValueError(
                f"X has an SD of {self.eeg_scale_:.3g}, but the EEG of pretrained had "
                f"{pretrained.eeg_scale_:.3g}; give both in V."
            )
        network = copy.deepcopy(pretrained.network_).to(self.device_)
        if self.architecture_.closed_form:
            network.branches.spatial.data *= ratio
        return network

    def _make_checkpoint(self, training, X, y, known):
        """The state of this very fit on disk, or None where none is to be saved."""
        if training is None or training.checkpoint is None:
            return None
        settings = training.get_params(deep=False)
        folder = settings.pop("checkpoint")
        weights = None if known is None else known.state_dict()
        fit = self.architecture_, settings, self.random_state, self.device_
        return Checkpoint(folder, *fit, X, y, weights)


def make_regressor(architecture: Architecture, **params: Any) -> BEIRARegressor:
    """Make a regressor with the default training of its architecture.

    Parameters
    ----------
    architecture : Architecture
        The network.
    **params
        Parameters of the regressor, of the architecture or of the training, by their own names.

    Returns
    -------
    model : BEIRARegressor
        Not fitted.
    """
    model = BEIRARegressor(architecture, training=architecture.default_training())
    nested = {name.rpartition("__")[2]: name for name in model.get_params()}
    return model.set_params(**{nested.get(name, name): value for name, value in params.items()})


def make_paper_beira(**params: Any) -> BEIRARegressor:
    """Make the published network with the published training.

    The autoencoder in the paper's sizes, trained by AdamW at a learning rate and weight decay of
    3e-4 in batches of 16 windows, for up to 1,500 epochs, on the squared error of every volume in a
    window. There are three differences from the authors' code: BOLD is never interpolated, windows
    end at volumes instead of anywhere, and the epoch is chosen on the last fifth of the training
    volumes, not on the test data.

    Parameters
    ----------
    **params
        Parameters of :class:`BEIRARegressor`, :class:`Autoencoder` or :class:`Training` that
        replace these settings, such as ``max_epochs=100``.

    Returns
    -------
    model : BEIRARegressor
        Not fitted.

    References
    ----------
    Kovalev, Mikheev, Ossadtchi (2022), fMRI from EEG is only Deep Learning away: the use of
    interpretable DL to unravel EEG-fMRI relationships, arXiv 2211.02024.

    Examples
    --------
    >>> from sklearn_beira import make_paper_beira
    >>> model = make_paper_beira(max_epochs=100, n_branches=8)
    >>> model.architecture
    Autoencoder(n_branches=8)
    >>> model.training.max_epochs
    100
    """
    return make_regressor(Autoencoder(), **params)
