"""Importance of channels and bands by permutation of blocks of time."""

import uuid
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import Bunch, check_random_state
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from .._utils.estimators import chosen, last_step
from .._utils.numbers import check_bold
from .._utils.regions import numbered
from ..eeg.checks import check_rows
from ..eeg.windows import as_windows
from ..evaluation.metrics import pearson_r
from ..features.bands import bands_within, check_filters, filter_bands


def channel_importance(
    model: BaseEstimator,
    X,
    y,
    *,
    blocks=None,
    n_repeats: int = 10,
    block: float = 30.0,
    random_state: int | np.random.RandomState | None = None,
) -> Bunch:
    r"""Compute how much correlation is lost if the time course of one channel is permuted.

    .. math:: \mathrm{importance}_{r,c} = \rho(y_r, \hat y_r(X)) -
              \operatorname{mean}_\pi \rho(y_r, \hat y_r(X^{c \to \pi}))

    with the correlation :math:`\rho` over volumes. In :math:`X^{c \to \pi}`, blocks of the
    continuous signal of channel c are permuted. The channel keeps its spectrum and amplitude, but
    is no longer related to BOLD and to the other channels. Windows are cut afterwards.

    Parameters
    ----------
    model : estimator
        Fitted model with EEG as input. In a Pipeline, the output of the last step that returns EEG
        is permuted, such as EEG that is filtered and re-referenced.
    X : EEGWindows, mne.Epochs or ndarray of shape (n_volumes, n_channels, n_times)
        EEG. The training EEG shows what the model relies on, other EEG what its predictions there
        depend on.
    y : array-like of shape (n_volumes,) or (n_volumes, n_rois)
        BOLD.
    blocks : array-like of shape (n_volumes,) or None
        Labels of blocks of volumes. Correlations are computed within blocks, as in
        :func:`~sklearn_beira.evaluation.pearson_r`.
    n_repeats : int
        Number of permutations. They are the same for all channels.
    block : float
        Length of the permuted blocks in s. Every block moves to another place in its recording. In
        epoched arrays, whole windows are permuted instead.
    random_state : int, RandomState instance or None
        Seed of the permutations.

    Returns
    -------
    importance : Bunch
        ``importances_mean`` and ``importances_std`` (n_rois, n_channels) and ``importances``
        (n_rois, n_channels, n_repeats), the loss of correlation; ``score`` (n_rois,), the
        correlation without permutation; ``region_names``, ``ch_names`` and ``info`` (the last
        two are None for arrays).

    Raises
    ------
    ValueError
        If X and y have different volumes, or a recording is shorter than two blocks.

    Notes
    -----
    Neighboring electrodes record similar signals, so a channel that others can replace has little
    importance, and importances do not add up over channels. A channel that only serves a spatial
    filter to cancel noise is important, too; the patterns of :func:`read_branches` show where the
    signal comes from.

    References
    ----------
    Breiman (2001), Random forests, Machine Learning 45. Here, blocks of time are permuted instead
    of samples, which are not independent.

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
    moves = _moves(check.X, block, n_repeats, random_state)
    channels = [slice(c, c + 1) for c in range(check.X.shape[1])]
    parts = ((channel, [eeg[channel] for eeg in check.X.recordings]) for channel in channels)
    found = _losses(check, moves, parts, blocks)
    return Bunch(**found, ch_names=check.X.ch_names, info=check.X.info)


def band_importance(
    model: BaseEstimator,
    X,
    y,
    *,
    bands: dict[str, tuple[float, float]] | str = "default",
    blocks=None,
    n_repeats: int = 10,
    block: float = 30.0,
    random_state: int | np.random.RandomState | None = None,
) -> Bunch:
    r"""Compute how much correlation is lost if the time course of one band is permuted.

    This is :func:`channel_importance` for the part of the EEG in a frequency band, permuted in all
    channels alike,

    .. math:: X^{b \to \pi} = X - X_b + \pi(X_b)

    where :math:`X_b` is the EEG after a zero-phase FIR filter. Relations between channels within
    the band are preserved.

    Parameters
    ----------
    model : estimator
        Fitted model of EEG, as in :func:`channel_importance`.
    X : EEGWindows, mne.Epochs or ndarray of shape (n_volumes, n_channels, n_times)
        EEG.
    y : array-like of shape (n_volumes,) or (n_volumes, n_rois)
        BOLD.
    bands : dict of str to tuple of float, or "default"
        Edges of the bands in Hz. The default is :data:`~sklearn_beira.features.BANDS`, as far as
        the sampling rate allows.
    blocks : array-like of shape (n_volumes,) or None
        Labels of blocks of volumes. Correlations are computed within blocks.
    n_repeats : int
        Number of permutations. They are the same for all bands.
    block : float
        Length of the permuted blocks in s. In epoched arrays, whole windows are permuted.
    random_state : int, RandomState instance or None
        Seed of the permutations.

    Returns
    -------
    importance : Bunch
        ``importances_mean`` and ``importances_std`` (n_rois, n_bands) and ``importances``
        (n_rois, n_bands, n_repeats), the loss of correlation; ``score`` (n_rois,), the
        correlation without permutation; ``bands``, the edges in Hz by name; and ``region_names``.

    Raises
    ------
    ValueError
        If X and y have different volumes, a recording is shorter than two blocks or than a filter,
        or a band exceeds the Nyquist frequency.

    Notes
    -----
    If the powers of two bands fluctuate together, one band can replace the other, and both have
    little importance.

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
    moves = _moves(check.X, block, n_repeats, random_state)
    parts = (
        (slice(None), [next(filter_bands(eeg, sfreq, {"": edges})) for eeg in check.X.recordings])
        for edges in bands.values()
    )
    return Bunch(**_losses(check, moves, parts, blocks), bands=bands)


def _moves(X, block, n_repeats, random_state):
    """Draw permutations: orders of epochs, or the samples of blocks here and there by recording."""
    rng = check_random_state(random_state)
    if X.epoched:
        if len(X) < 2:
            raise ValueError("X has one epoch, but permutation needs at least two; pass more.")
        return [_cycle(len(X), rng) for _ in range(n_repeats)]
    blocks = _blocks_in_time(X, block)
    return [
        {k: (own.ravel(), own[_cycle(len(own), rng)].ravel()) for k, own in blocks.items()}
        for _ in range(n_repeats)
    ]


def _permuted(X, move, channels, parts):
    """Return X with a part (n_channels, n_times) of each recording permuted."""
    if X.epoched:
        eeg, parts = X.recordings.copy(), np.array(parts)
        eeg[:, channels] += parts[move] - parts
        return X.with_recordings(eeg, X.info, sfreq=X._sfreq)
    recordings = list(X.recordings)
    for k, (here, there) in move.items():
        recordings[k] = recordings[k].copy()
        recordings[k][channels][:, here] += parts[k][:, there] - parts[k][:, here]
    # Results are cached by the token of a recording, so permuted ones need tokens of their own.
    tokens = [f"{token} {uuid.uuid4().hex}" for token in X.tokens]
    return X.with_recordings(recordings, X.info, tokens)


def _check(model, X, y, n_repeats, block):
    """Return the steps of a model behind the last one that returns EEG, their X, and y."""
    if not isinstance(n_repeats, Integral) or n_repeats < 1:
        raise ValueError(f"n_repeats must be an integer of at least 1, got {n_repeats!r}.")
    if not isinstance(block, Real) or not 0 < block < np.inf:
        raise ValueError(f"block must be a positive length in s, got {block!r}.")
    check_is_fitted(model)
    check_rows(X, y)
    names = [str(name) for name in getattr(y, "columns", [])]
    y = check_bold(y)
    y = y.reshape(len(y), -1)
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


def _losses(check, moves, parts, blocks):
    """Compute the correlation lost with each part (channels, list of signals)."""

    def correlate(X):
        X = np.asarray(X) if check.plain else X  # models of other packages read what was given
        predicted = np.asarray(check.model.predict(X)).reshape(len(check.y), -1)
        return pearson_r(check.y, predicted, blocks=blocks, multioutput="raw_values")

    score = correlate(check.X)
    losses = [
        [score - correlate(_permuted(check.X, move, *part)) for move in moves] for part in parts
    ]
    losses = np.array(losses).transpose(2, 0, 1)
    names = check.names or getattr(check.final, "region_names_", None)
    return {
        "importances_mean": losses.mean(axis=2),
        "importances_std": losses.std(axis=2),
        "importances": losses,
        "score": score,
        "region_names": names or numbered(len(score)),
    }


def _blocks_in_time(X, block):
    """Return the samples of blocks (n_blocks, n_samples) of equal length, by recording.

    Only samples in windows are used. The last few samples of a recording, fewer than one per block,
    stay in place.
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
                f"blocks of {block:g} s; use a smaller block."
            )
        length = len(samples) // n_blocks
        blocks[k] = samples[: n_blocks * length].reshape(n_blocks, length)
    return blocks


def _cycle(n, rng):
    """Draw a random order in which every item moves."""
    order = rng.permutation(n)
    moved = np.empty(n, dtype=int)
    moved[order] = np.roll(order, 1)
    return moved
