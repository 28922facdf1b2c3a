"""BEIRARegressor: fit and prediction.

``_settings.py`` checks its parameters, ``_composition.py`` makes its net, ``_start.py`` its start.
"""

import copy
from numbers import Integral, Real
from os import PathLike
from typing import ClassVar

import numpy as np
import torch
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from .._utils.numbers import check_bold
from .._utils.warn import warn_user
from ..eeg.checks import check_eeg
from ..eeg.rows import tail_split
from ..features.bands import bands_within
from .batches import (
    Tiles,
    VolumeBatches,
    average_overlaps,
    cut_pieces,
    eeg_scale,
    place_eeg,
    tile,
    volumes_in_windows,
)
from .checkpoint import Checkpoint, find_state
from .closed_form import BANDS, start_from_data, time_of_volumes
from .nets import ARCHITECTURES, AtVolumes, starts_from_data
from .nets.calibration import calibrating
from .nets.losses import WeightedLoss, parse_loss
from .random_numbers import PrivateRandomNumbers
from .settings import check_settings, rate_to_start
from .skorch_net import build_network, even_batches, make_net, resolve_device

__all__ = ["BEIRARegressor", "make_paper_beira"]


class BEIRARegressor(RegressorMixin, BaseEstimator):
    """Predict BOLD of brain regions from windows of EEG by interpretable branches and a decoder.

    BOLD from EEG Interpretable Regression Autoencoder [1]_: every region has branches (spatial
    filter, band-pass, envelope) that can be read as scalp maps and spectra, and a decoder that
    turns their envelopes into BOLD. By default the decoder is a delay kernel per branch, and the
    network starts from the data, in closed form: that is accurate after minutes of recording and
    takes seconds. :func:`make_paper_beira` makes the published network.

    Parameters
    ----------
    architecture : {"compact", "autoencoder", "brainwavelinker", "eegnet"} or a class
        Name of the network. "compact" reads the power of every branch by a delay kernel, which can
        be read as a hemodynamic response. "autoencoder" is the paper's decoder, with 30 channels
        and the paper's sizes 245,057 parameters per region. "brainwavelinker" and "eegnet" are
        rivals without branches. All but "autoencoder" estimate only the volume of the window
        (``mode="many_to_one"``). The sizes below reach a network as far as its signature names
        them. A class derived from :class:`torch.nn.Module` is a network of your own; the user
        guide shows what it has to do.
    network_params : dict or None
        Parameters of the network that have no name of their own here, such as ``{"depth": 1}`` of
        "eegnet".
    n_branches : int
        Branches per region.
    n_taps : int
        Taps of the branches' FIR filters ("eegnet": of the temporal filters), odd.
    bands : dict of str to tuple of float, or "default"
        Edges in Hz of the bands that "compact" starts from. The default is 1–4, 4–8, 8–12, 12–16,
        16–24, 24–32 and 32–45 Hz, as far as the sampling rate reaches.
    rectifier : {"relu", "abs"}
        What makes an envelope of an oscillation: as in the paper's code, or as in its text
        ("autoencoder" only, as the next three).
    encoder_width, decoder_width : int
        Features of the encoder's and the decoder's blocks.
    kernel_sizes : tuple of int
        Kernels of the encoder's blocks, odd; the decoder mirrors all but the first.
    pool_sizes : tuple of int
        Max-pools behind the encoder's blocks but the first, undone in the decoder.
    segment : int
        Samples of EEG per value of the envelopes ("compact" only).
    dropout : float
        Dropout in the blocks ("autoencoder", "brainwavelinker") or behind the pools ("eegnet").
    mode : {"many_to_one", "many_to_many"}
        What a window estimates: its own volume alone, or every volume of ``X`` that lies in the
        delayed window (in training, only training volumes count; in prediction, the estimates of
        overlapping windows are averaged). Ready-cut arrays know only their own volumes.
    stride : {"volume", "window"}
        Which windows are read: that of every volume, or as few as cover all volumes, one beginning
        where another ends ("many_to_many" only). The second reads each sample of EEG about once, in
        prediction and in an epoch, in which the windows lie at random: far fewer steps an epoch.
    loss : {"mse", "mae", "correlation", "riemannian"} or dict of str to float
        Loss of the training by gradients, or weights of several: ``{"mse": 0.1, "correlation":
        1.0}``.
    max_epochs : int
        Passes of training by gradients over the windows. "compact" is ready after 0; more fine-tune
        it. Other networks need some.
    batch_size : int
        Windows per step.
    lr : float
        Learning rate of AdamW.
    weight_decay : float
        Weight decay of AdamW.
    validation_fraction : float
        Share of each recording's volumes, at its end, that training does not see and that decides
        which epoch's weights are kept. 0 trains on everything and keeps the last weights.
    validation_gap : float or None
        Time in s between training and validation volumes; None takes what keeps their EEG apart,
        window plus delay. Plain arrays have no times, and no gap.
    patience : int or None
        Epochs without a better validation loss after which training stops; None never stops early,
        the best weights are kept all the same.
    device : str
        "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1" or any other name torch knows.
        It counts in ``fit``; a fitted model predicts where it was fitted.
    skorch_params : dict or None
        Anything else for :class:`skorch.NeuralNet`, such as ``{"callbacks": [...]}``; what has a
        parameter here is refused.
    checkpoint : path-like or None
        Folder for the state of the training by gradients, which is written there every ten seconds,
        after an epoch. A fit that was killed goes on from there when it is called again, with the
        same data, parameters and versions, and ends with the weights that it would have had; one
        that was done is not repeated (None as ``random_state`` counts as a seed). Files are small
        and may be deleted when no longer needed. Callbacks in ``skorch_params`` cannot be continued.
    verbose : bool or int
        True shows a progress bar once training takes more than 5 s; 2 or more also prints
        skorch's table of epochs.
    random_state : int, RandomState instance or None
        Seed of weights, dropout and order of windows. "compact" without epochs draws nothing.

    Attributes
    ----------
    net_ : skorch.NeuralNet
        The trained net; ``net_.module_`` is the torch module.
    history_ : skorch.history.History
        Losses of all epochs.
    device_ : str
        Device used.
    eeg_scale_ : float
        Standard deviation of the training EEG in V; inputs are divided by it.
    target_mean_, target_scale_ : ndarray, shape (n_rois,)
        Mean and standard deviation of the training BOLD.
    region_names_ : list of str or None
        Regions, where y was a DataFrame.
    n_parameters_ : int
        Trained parameters in all.
    closed_form_ : Bunch or None
        What the data said where the network started from them: ``bands`` (names), ``shares``
        (n_rois, n_bands) of the bands in the variance of the prediction, ``known`` (n_rois,), the
        weight of the model given as ``init``, ``autocorrelation`` (n_rois,) of the noise in BOLD
        from volume to volume, and ``kept`` (n_rois,), the correlation of the prediction by the
        branches with that by the whole filter bank.
    n_features_in_ : int
        Number of channels.
    ch_names_in_ : list of str or None
        Their names, where X has names.

    See Also
    --------
    sklearn_beira.Windower : Sets window and delay.
    sklearn_beira.EEGFilter : Prepares the recordings.

    Notes
    -----
    EEG scale and BOLD scaling are learned in ``fit``, from the rows it is given. Ctrl-C ends the
    training and keeps the best weights so far. A fixed ``random_state`` gives the same weights on
    the same machine, whatever ``n_jobs`` a search around it uses: processes do not know of each
    other, and threads draw in turn. A ``fit`` that fails leaves the model as it was.

    How "compact" starts: the powers of all channels in a few bands are read by delay kernels
    with normal weights. A band has one variance per region, the noise of BOLD is a first-order
    autoregressive process, and both are chosen by the restricted likelihood, so that no volume
    has to be set apart. The kernels vary around Glover's response, counted from the end of the
    window: a ``delay`` of the :class:`Windower` expects a response that comes later by as much.
    What reads a band, a sum of powers of channels, is then written as a sum of powers of spatial
    filters with uncorrelated outputs, and those that carry most of the prediction become the
    branches.

    References
    ----------
    .. [1] Kovalev, Mikheev, Ossadtchi (2022), fMRI from EEG is only Deep Learning away: the use of
       interpretable DL to unravel EEG-fMRI relationships, arXiv 2211.02024.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_beira import BEIRARegressor, EEGWindows
    >>> rng = np.random.default_rng(0)
    >>> eeg, y = rng.standard_normal((40, 4, 400)), rng.standard_normal((40, 2))
    >>> X = EEGWindows.from_array(eeg, sfreq=100.0)
    >>> model = BEIRARegressor(n_branches=2).fit(X, y)
    >>> model.predict(X).shape
    (40, 2)
    """

    _parameter_constraints: ClassVar[dict] = {
        "architecture": [StrOptions(set(ARCHITECTURES)), type],
        "network_params": [dict, None],
        "n_branches": [Interval(Integral, 1, None, closed="left")],
        "n_taps": [Interval(Integral, 1, None, closed="left")],
        "bands": [dict, StrOptions({"default"})],
        "rectifier": [StrOptions({"relu", "abs"})],
        "encoder_width": [Interval(Integral, 1, None, closed="left")],
        "decoder_width": [Interval(Integral, 1, None, closed="left")],
        "kernel_sizes": ["array-like"],
        "pool_sizes": ["array-like"],
        "segment": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "mode": [StrOptions({"many_to_many", "many_to_one"})],
        "stride": [StrOptions({"volume", "window"})],
        "loss": [str, dict],
        "max_epochs": [Interval(Integral, 0, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "validation_gap": [Interval(Real, 0, None, closed="left"), None],
        "patience": [Interval(Integral, 1, None, closed="left"), None],
        "device": [str],
        "skorch_params": [dict, None],
        "checkpoint": [str, PathLike, None],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        architecture="compact",
        *,
        network_params=None,
        n_branches=16,
        n_taps=101,
        bands="default",
        rectifier="relu",
        encoder_width=128,
        decoder_width=32,
        kernel_sizes=(3, 5, 5, 3),
        pool_sizes=(8, 8, 4),
        segment=50,
        dropout=0.3,
        mode="many_to_one",
        stride="volume",
        loss="mse",
        max_epochs=0,
        batch_size=16,
        lr=3e-4,
        weight_decay=3e-4,
        validation_fraction=0.0,
        validation_gap=None,
        patience=20,
        device="auto",
        skorch_params=None,
        checkpoint=None,
        verbose=True,
        random_state=None,
    ):
        self.architecture = architecture
        self.network_params = network_params
        self.n_branches = n_branches
        self.n_taps = n_taps
        self.bands = bands
        self.rectifier = rectifier
        self.encoder_width = encoder_width
        self.decoder_width = decoder_width
        self.kernel_sizes = kernel_sizes
        self.pool_sizes = pool_sizes
        self.segment = segment
        self.dropout = dropout
        self.mode = mode
        self.stride = stride
        self.loss = loss
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.weight_decay = weight_decay
        self.validation_fraction = validation_fraction
        self.validation_gap = validation_gap
        self.patience = patience
        self.device = device
        self.skorch_params = skorch_params
        self.checkpoint = checkpoint
        self.verbose = verbose
        self.random_state = random_state

    def fit(self, X, y, *, init=None):
        """Train on windows of EEG and the BOLD of their volumes.

        Parameters
        ----------
        X : EEGWindows or array-like, shape (n_volumes, n_channels, n_times)
            EEG in V.
        y : array-like or DataFrame, shape (n_volumes, n_rois) or (n_volumes,)
            BOLD, one row per volume.
        init : BEIRARegressor or None
            A fitted model of the same regions, channels, window and sizes to go on from, such as
            one of other people. "compact" weighs its prediction by the evidence and reads from the
            data what it does not explain; every other network begins with its weights.

        Returns
        -------
        self : BEIRARegressor
            Fitted.

        Raises
        ------
        ValueError
            If a parameter, the EEG or the BOLD is not usable, if the network estimates only the
            volume of a window and ``mode`` is "many_to_many", or if there are too few volumes for
            the validation split.
        TypeError
            If ``architecture`` is a class that is no torch module, or cannot be built from the
            parameters there are.
        """
        before = vars(self).copy()
        try:
            return self._fit(X, y, init)
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise

    def _fit(self, X, y, init):
        self._validate_params()
        loss = parse_loss(self.loss)
        check_settings(self)
        X = check_eeg(self, X, reset=True, y=y, ensure_min_samples=2)
        y = self._check_target(X, y)
        sfreq = rate_to_start(self, X)
        self._check_init(init, y.shape[1])

        head, tail = self._split(X)
        self.device_ = resolve_device(self.device)
        self.eeg_scale_ = eeg_scale(X[head])
        if init is not None:
            self._check_init_scale(init)
        self.target_mean_ = y[head].mean(axis=0)
        spread = y[head].std(axis=0)
        self.target_scale_ = np.where(spread > 0, spread, 1.0)
        y = (y - self.target_mean_) / self.target_scale_
        checkpoint = self._checkpoint(X, y, init)
        eeg = self._place(X[head])
        training = self._batches(X[head], y[head], eeg=eeg, every_window=True)
        validation = self._batches(X[tail], y[tail]) if len(tail) else None

        seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        random = PrivateRandomNumbers(self.device_, seed)
        with random.drawn():
            module = AtVolumes(build_network(self, X, y.shape[1]))
            if self.stride == "window":
                batch_size, tiles = self.batch_size, Tiles(X[head], self.batch_size)
            else:
                batch_size, tiles = even_batches(len(training), self.batch_size), None
            self.net_ = make_net(
                self, module, WeightedLoss(loss), batch_size, validation, tiles, checkpoint
            )
            self.net_.initialize()  # moves the module to the device
        self.closed_form_ = self._start(module.network, X[head], y[head], sfreq, init)
        if self.max_epochs:
            with random.drawn():
                if checkpoint is not None:
                    checkpoint.rehearse(self.net_)
                done = 0 if checkpoint is None else checkpoint.n_epochs
                finished = checkpoint is not None and checkpoint.finished
                n_epochs = 0 if finished else self.max_epochs - done
                self.net_.partial_fit(training, None, epochs=n_epochs)
                with calibrating(module), torch.no_grad():
                    for batch, _ in self.net_.get_iterator(self._batches(X[head], eeg=eeg)):
                        self.net_.infer(batch)
        # These hold EEG, which no saved model should.
        self.net_.train_split = None
        if tiles is not None:
            self.net_.iterator_train__sampler = None
        self.history_ = self.net_.history_
        self.n_parameters_ = sum(p.numel() for p in module.parameters())
        return self

    def predict(self, X):
        """Predict BOLD.

        Parameters
        ----------
        X : EEGWindows or array-like, shape (n_volumes, n_channels, n_times)
            EEG in V, with the channels, window and sampling rate of the training.

        Returns
        -------
        y : ndarray of shape (n_volumes, n_rois), or (n_volumes,) if y was 1-D in fit
            Predicted BOLD, in the unit of the training BOLD.
        """
        check_is_fitted(self)
        X = check_eeg(self, X, reset=False)
        self._check_window(X)
        self._check_scale(X)
        y = self._estimate(X) * self.target_scale_ + self.target_mean_
        return y[:, 0] if self._target_is_1d else y

    def _estimate(self, X):
        """Standardized BOLD (n_volumes, n_rois)."""
        network = self.net_.module_.network
        if hasattr(network, "at"):
            return self._estimate_pieces(network, X)
        batches = self._batches(X)
        # A data loader draws a seed from the global generator even when it needs none.
        with PrivateRandomNumbers().drawn():
            estimates = [out.cpu().numpy() for out in self.net_.forward_iter(batches)]
        rows = batches.rows[batches.rows >= 0]
        return average_overlaps(np.concatenate(estimates), rows, len(X))

    def _estimate_pieces(self, network, X):
        """The same from continuous EEG, without reading overlapping windows one by one."""
        y = np.empty((len(X), len(self.target_mean_)))
        network.eval()
        with torch.no_grad():
            for piece in cut_pieces(X):
                stops = torch.from_numpy(piece.stops).to(self.device_)
                eeg = piece.scaled_eeg(self.eeg_scale_, network.kernel)
                y[piece.rows] = network.at(eeg, stops).cpu().numpy()
        return y

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.target_tags.multi_output = True
        # Made for hundreds of volumes of EEG, not for a table of ten columns.
        tags.regressor_tags.poor_score = True
        return tags

    # -- checks ---------------------------------------------------------------------------------
    def _check_target(self, X, y):
        if y is None:
            raise ValueError("BEIRARegressor requires y to be passed, but the target y is None.")
        columns = getattr(y, "columns", None)
        self.region_names_ = None if columns is None else [str(c) for c in columns]
        y = check_bold(y, allow_nd=True)
        if y.ndim > 2:
            raise ValueError(
                f"y must be (n_volumes, n_rois), got {y.ndim} dimensions; extract regions from "
                f"images with ROIExtractor."
            )
        check_consistent_length(X, y)
        self._target_is_1d = y.ndim == 1
        self._window, self._n_times = X._describe_window(), X.shape[2]
        return y.reshape(len(y), -1)

    def _check_window(self, X):
        expected, found = self._window, X._describe_window()
        # A model that was fitted without knowing the rate reads windows of any.
        if expected not in (found, f"windows of {X.shape[2]} samples"):
            hint = "" if X.has_sfreq else "; pass EEGWindows.from_array(X, sfreq=...)"
            raise ValueError(f"X has {found}, but BEIRARegressor was fitted with {expected}{hint}.")

    def _check_scale(self, X):
        """Notice EEG in another unit than that of the training; the first windows tell."""
        if X.shape[2] == 1:  # a table of features, which have no unit
            return
        found = float(np.sqrt(np.square(np.asarray(X[:16]), dtype=np.float64).mean()))
        if found and not 1e-2 < found / self.eeg_scale_ < 1e2:
            warn_user(
                f"X has an SD of {found:.3g}, the training EEG had {self.eeg_scale_:.3g}: check "
                f"the unit and the cleaning of X, which should be those of the training."
            )

    def _check_init(self, init, n_rois):
        if init is None:
            return
        if not isinstance(init, BEIRARegressor):
            raise TypeError(f"init must be a fitted BEIRARegressor, got {type(init).__name__}.")
        check_is_fitted(init)
        pairs = {
            "architecture": (init.architecture, self.architecture),
            "number of regions": (len(init.target_mean_), n_rois),
            "regions": (init.region_names_, self.region_names_),
            "number of channels": (init.n_features_in_, self.n_features_in_),
            "channels": (init.ch_names_in_, self.ch_names_in_),
            "window": (init._window, self._window),
            "n_taps": (init.n_taps, self.n_taps),
            "segment": (init.segment, self.segment),
        }
        for what, (theirs, ours) in pairs.items():
            if theirs != ours:
                raise ValueError(
                    f"init has another {what} than this fit ({theirs} against {ours}); fit it to "
                    f"data of the same regions, channels and windows, with the same sizes."
                )

    def _check_init_scale(self, init):
        ratio = self.eeg_scale_ / init.eeg_scale_
        if not 1e-3 < ratio < 1e3:
            raise ValueError(
                f"the EEG has an SD of {self.eeg_scale_:.3g}, that of init {init.eeg_scale_:.3g}: "
                f"they are in different units; give both in V."
            )

    # -- pieces of fit --------------------------------------------------------------------------
    def _start(self, network, X, y, sfreq, init):
        """Set weights from the data, where the network has such a start, and from another model."""
        known = None if init is None else self._known(init)
        if not starts_from_data(network):
            if known is not None:
                network.load_state_dict(known.state_dict())
            return None
        bands = None if sfreq is None else bands_within(self.bands, sfreq, BANDS)
        pieces = cut_pieces(X)
        rows = np.concatenate([piece.rows for piece in pieces])
        elapsed, constants = time_of_volumes(X, rows)
        return start_from_data(
            network,
            pieces,
            self.eeg_scale_,
            y[rows],
            elapsed,
            constants,
            sfreq=sfreq,
            bands=bands,
            known=known,
        )

    def _known(self, init):
        """The network of another model, on this device and for EEG of this scale."""
        network = copy.deepcopy(init.net_.module_.network).to(self.device_)
        if starts_from_data(network):
            network.branches.spatial.data *= self.eeg_scale_ / init.eeg_scale_
        return network

    def _split(self, X):
        if not self.validation_fraction:
            return np.arange(len(X)), np.arange(0)
        gap = self.validation_gap
        if gap and not X.has_times:
            raise ValueError(
                f"validation_gap={gap:g} s cannot be kept where the times of the rows are unknown; "
                f"pass EEGWindows.from_array(X, times=...), or set validation_gap=None if no two "
                f"rows share EEG."
            )
        return tail_split(X, self.validation_fraction, X.reach if gap is None else gap)

    def _batches(self, X, y=None, *, eeg=None, every_window=False):
        rows, samples = volumes_in_windows(X, self.mode)
        eeg = self._place(X) if eeg is None else eeg
        if self.stride == "window" and not every_window:
            some = tile(X)
            eeg, rows, samples = eeg.at(some), rows[some], samples[some]
        return VolumeBatches(eeg, rows, samples, y)

    def _place(self, X):
        """EEG of X, where batches are cut from it."""
        # What loads batches in other processes cannot reach the device; what reads the EEG once
        # need not keep it there.
        workers = any(name.endswith("__num_workers") for name in self.skorch_params or {})
        near = self.max_epochs and not workers
        return place_eeg(X, self.eeg_scale_, self.device_ if near else "cpu")

    def _checkpoint(self, X, y, init):
        """Where the training left off, or None where nothing is to be kept."""
        if self.checkpoint is None or not self.max_epochs:
            return None
        params = self.get_params(deep=False)
        for name in ("checkpoint", "verbose", "device"):
            del params[name]
        weights = None if init is None else self._known(init).state_dict()
        return Checkpoint(*find_state(self.checkpoint, params, self.device_, X, y, weights))


def make_paper_beira(**params):
    """Make the published network with the published training.

    The autoencoder in the paper's sizes, trained by AdamW at a learning rate and weight decay of
    3e-4 in batches of 16 windows, for up to 1,500 passes, on the squared error of every volume in a
    window. What differs from the authors' code: BOLD is never interpolated, windows end at
    volumes instead of anywhere, and the epoch is chosen on the last fifth of the training volumes,
    not on the test data.

    Parameters
    ----------
    **params
        Parameters of :class:`BEIRARegressor` that replace these settings.

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
    >>> make_paper_beira(max_epochs=100).get_params()["architecture"]
    'autoencoder'
    """
    settings = {
        "architecture": "autoencoder",
        "n_taps": 51,
        "mode": "many_to_many",
        "max_epochs": 1500,
        "validation_fraction": 0.2,
        "patience": None,
    }
    return BEIRARegressor(**{**settings, **params})
