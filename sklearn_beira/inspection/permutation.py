"""Which channels and bands a model needs: permutation in blocks of time."""

import uuid
from numbers import Integral, Real

import numpy as np
from sklearn.utils import Bunch, check_random_state
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from .._utils.estimators import chosen, last_step
from .._utils.numbers import check_bold
from ..eeg.checks import check_rows
from ..eeg.windows import as_windows
from ..evaluation.metrics import pearson_r
from ..features.bands import bands_within, check_filters, filter_bands


def channel_importance(model, X, y, *, blocks=None, n_repeats=10, block=30.0, random_state=None):
    r"""Compute how much worse a model predicts when a channel tells of another time.

    .. math:: \mathrm{importance}_{r,c} = \rho(y_r, \hat y_r(X)) -
              \operatorname{mean}_\pi \rho(y_r, \hat y_r(X^{c \to \pi}))

    with the correlation :math:`\rho` over volumes. In :math:`X^{c \to \pi}` blocks of the
    continuous signal of channel c have changed places, so that it keeps its spectrum and its
    amplitude, and loses its relation with BOLD and with the other channels. Windows keep their
    places in time.

    Parameters
    ----------
    model : estimator
        Fitted model of EEG, this package's or any other with its input, such as a rival of
        ``baselines``. In a Pipeline, the EEG is permuted behind the last step whose output still
        is EEG: as the model reads it, filtered and re-referenced.
    X : EEGWindows or ndarray of shape (n_volumes, n_channels, n_times)
        EEG. That of the training says what the model relies on, other EEG what serves it there.
    y : array-like of shape (n_volumes,) or (n_volumes, n_rois)
        BOLD.
    blocks : array-like of shape (n_volumes,) or None
        Label of each volume's block, within which the correlation is taken, as in
        :func:`~sklearn_beira.evaluation.pearson_r`.
    n_repeats : int
        Permutations of each channel; all channels have the same ones.
    block : float
        Length of the blocks that change places, in s. Every block moves, within its recording.
        Of plain arrays, which do not know how their windows follow each other, whole windows
        change places.
    random_state : int, RandomState instance or None
        Seed of the permutations.

    Returns
    -------
    importance : Bunch
        ``importances_mean`` and ``importances_std`` (n_rois, n_channels) and ``importances``
        (n_rois, n_channels, n_repeats), the loss of correlation; ``score`` (n_rois,), the
        correlation before; ``region_names`` and ``ch_names`` (None for arrays).

    Raises
    ------
    ValueError
        If X and y do not fit together, or a recording is shorter than two blocks.

    Notes
    -----
    Neighboring electrodes see much the same: a channel whose place others can take has little
    importance, and no sum over channels is meant. A channel that a spatial filter needs to cancel
    noise has importance without any signal of its own; patterns (:func:`read_branches`) say where
    the signal is.

    References
    ----------
    Breiman (2001), Random forests, Machine Learning 45, for permutation importance. Here blocks
    replace samples, which are not independent in time.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_beira import BEIRARegressor, Compact, EEGWindows
    >>> from sklearn_beira.inspection import channel_importance
    >>> rng = np.random.default_rng(0)
    >>> eeg, y = rng.standard_normal((40, 4, 400)), rng.standard_normal((40, 2))
    >>> X = EEGWindows.from_array(eeg, sfreq=100.0)
    >>> model = BEIRARegressor(Compact(n_branches=3), verbose=False).fit(X, y)
    >>> channel_importance(model, X, y, n_repeats=2, random_state=0).importances_mean.shape
    (2, 4)
    """
    check = _check(model, X, y, n_repeats, block)
    permuted = _Permutations(check.X, block, n_repeats, random_state)
    channels = [slice(c, c + 1) for c in range(check.X.shape[1])]
    parts = ((channel, [eeg[channel] for eeg in permuted.eeg]) for channel in channels)
    ch_names = check.X.ch_names
    return Bunch(**_losses(check, permuted, parts, blocks), ch_names=ch_names)


def band_importance(
    model,
    X,
    y,
    *,
    bands="default",
    blocks=None,
    n_repeats=10,
    block=30.0,
    random_state=None,
):
    r"""Compute how much worse a model predicts when a frequency band tells of another time.

    As :func:`channel_importance`, but what changes places is the part of the EEG in a band, of all
    channels alike,

    .. math:: X^{b \to \pi} = X - X_b + \pi(X_b)

    with :math:`X_b` the EEG behind a zero-phase FIR filter. The relations between channels within
    the band stay as they are.

    Parameters
    ----------
    model : estimator
        Fitted model of EEG, as in :func:`channel_importance`.
    X : EEGWindows or ndarray of shape (n_volumes, n_channels, n_times)
        EEG.
    y : array-like of shape (n_volumes,) or (n_volumes, n_rois)
        BOLD.
    bands : dict of str to tuple of float, or "default"
        Edges of the bands in Hz. The default is that of ``features.BANDS``, as far as the sampling
        rate reaches.
    blocks : array-like of shape (n_volumes,) or None
        Label of each volume's block, within which the correlation is taken.
    n_repeats : int
        Permutations of each band; all bands have the same ones.
    block : float
        Length of the blocks that change places, in s; of plain arrays, whole windows do.
    random_state : int, RandomState instance or None
        Seed of the permutations.

    Returns
    -------
    importance : Bunch
        ``importances_mean`` and ``importances_std`` (n_rois, n_bands) and ``importances``
        (n_rois, n_bands, n_repeats), the loss of correlation; ``score`` (n_rois,), the
        correlation before; ``bands``, the edges in Hz by name; and ``region_names``.

    Raises
    ------
    ValueError
        If X and y do not fit together, a recording is shorter than two blocks or than a filter, or
        a band is beyond the sampling rate.

    Notes
    -----
    Bands whose powers wax and wane together can take each other's place, as channels can.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_beira import BEIRARegressor, Compact, EEGWindows
    >>> from sklearn_beira.inspection import band_importance
    >>> rng = np.random.default_rng(0)
    >>> eeg, y = rng.standard_normal((40, 4, 400)), rng.standard_normal((40, 2))
    >>> X = EEGWindows.from_array(eeg, sfreq=100.0)
    >>> model = BEIRARegressor(Compact(n_branches=3), verbose=False).fit(X, y)
    >>> bands = {"alpha": (8.0, 12.0), "beta": (12.0, 30.0)}
    >>> found = band_importance(model, X, y, bands=bands, n_repeats=2, random_state=0)
    >>> found.importances_mean.shape
    (2, 2)
    """
    check = _check(model, X, y, n_repeats, block)
    sfreq = check.X.sfreq
    bands = bands_within(bands, sfreq)
    check_filters(check.X, sfreq, bands)
    permuted = _Permutations(check.X, block, n_repeats, random_state)
    parts = (
        (slice(None), [next(filter_bands(eeg, sfreq, {"": edges})) for eeg in permuted.eeg])
        for edges in bands.values()
    )
    return Bunch(**_losses(check, permuted, parts, blocks), bands=bands)


class _Permutations:
    """EEG in which blocks of time change places, drawn several times.

    Attributes
    ----------
    eeg : list of ndarray, each of shape (n_channels, n_times)
        Recordings, or the windows of a plain array.
    """

    def __init__(self, X, block, n_repeats, random_state):
        self.X = X
        rng = check_random_state(random_state)
        if not X.epoched:
            self.eeg = list(X.recordings)
            blocks = _blocks_in_time(X, block)
            self._moves = [
                {k: (np.concatenate(own), np.concatenate(own[_cycle(len(own), rng)]))
                 for k, own in blocks.items()}
                for _ in range(n_repeats)
            ]  # fmt: skip
            return
        self.eeg = X.recordings
        if len(X) < 2:
            raise ValueError("X has one window, which has none to change places with; give more.")
        self._moves = [_cycle(len(X), rng) for _ in range(n_repeats)]

    def draws(self, channels, parts):
        """Yield X with a part (n_channels, n_times) of each piece of EEG moved, draw by draw."""
        for move in self._moves:
            if not self.X.epoched:
                yield self._move_blocks(move, channels, parts)
                continue
            eeg = self.eeg.copy()
            eeg[:, channels] += np.array(parts)[move] - np.array(parts)
            yield self.X.with_recordings(eeg, self.X.info, sfreq=self.X._sfreq)

    def _move_blocks(self, move, channels, parts):
        recordings = list(self.eeg)
        for k, (here, there) in move.items():
            recordings[k] = recordings[k].copy()
            recordings[k][channels][:, here] += parts[k][:, there] - parts[k][:, here]
        # What is computed for a recording is remembered by its name: these need names of their own.
        tokens = [f"{token} {uuid.uuid4().hex}" for token in self.X.tokens]
        return self.X.with_recordings(recordings, self.X.info, tokens)


def _check(model, X, y, n_repeats, block):
    """The part of a model behind the EEG, X as it arrives there, and the targets."""
    if not isinstance(n_repeats, Integral) or n_repeats < 1:
        raise ValueError(f"n_repeats must be a whole number of at least 1, got {n_repeats!r}.")
    if not isinstance(block, Real) or not 0 < block < np.inf:
        raise ValueError(f"block must be a length above 0, in s, got {block!r}.")
    if not hasattr(model, "predict"):
        raise TypeError(f"model must be a fitted estimator with predict, got {model!r}.")
    check_is_fitted(model)
    check_rows(X, y)
    names = [str(name) for name in getattr(y, "columns", [])]
    y = check_bold(y)
    y = y.reshape(len(y), -1)
    if getattr(X, "ndim", 3) != 3:
        raise ValueError(
            f"X must be EEGWindows or an array (n_volumes, n_channels, n_times), got {X.ndim} "
            f"dimensions."
        )
    check_consistent_length(X, y)
    model = chosen(model)
    while hasattr(model, "steps") and len(model) > 1:
        out = model[:1].transform(X)
        if np.ndim(out) != 3:
            break
        model, X = model[1:], out
    plain = isinstance(X, np.ndarray)
    final, X = last_step(model), as_windows(X)
    return Bunch(model=model, final=final, X=X, plain=plain, y=y, names=names)


def _losses(check, permuted, parts, blocks):
    """Correlation lost by each part (channels, list of signals), over all draws."""

    def correlate(X):
        X = np.asarray(X) if check.plain else X  # models of other packages read what was given
        predicted = np.asarray(check.model.predict(X)).reshape(len(check.y), -1)
        return pearson_r(check.y, predicted, blocks=blocks, multioutput="raw_values")

    score = correlate(check.X)
    losses = np.array(
        [[score - correlate(X) for X in permuted.draws(channels, part)] for channels, part in parts]
    ).transpose(2, 0, 1)
    names = check.names or getattr(check.final, "region_names_", None)
    return {
        "importances_mean": losses.mean(axis=2),
        "importances_std": losses.std(axis=2),
        "importances": losses,
        "score": score,
        "region_names": names or [f"ROI {i}" for i in range(len(score))],
    }


def _blocks_in_time(X, block):
    """Samples of blocks (n_blocks, n_samples) of equal length, of what windows cover, by recording.

    What is left over at the end of a recording, less than a sample per block, stays.
    """
    covered = {}
    for k, start, stop in X.stretches():
        covered.setdefault(k, []).append(np.arange(start, stop))
    blocks = {}
    for k, spans in covered.items():
        samples = np.concatenate(spans)
        n_blocks = int(len(samples) / X.sfreq / block)
        if n_blocks < 2:
            raise ValueError(
                f"the windows cover {len(samples) / X.sfreq:.1f} s of recording {k}, less than two "
                f"blocks of {block:g} s; take shorter blocks."
            )
        length = len(samples) // n_blocks
        blocks[k] = samples[: n_blocks * length].reshape(n_blocks, length)
    return blocks


def _cycle(n, rng):
    """A random order in which nothing keeps its place."""
    order = rng.permutation(n)
    moved = np.empty(n, dtype=int)
    moved[order] = np.roll(order, 1)
    return moved
