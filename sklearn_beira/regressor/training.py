"""Training: the parameters of training by gradients, their checks, and the validation volumes."""

from dataclasses import dataclass
from numbers import Integral, Real
from os import PathLike
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval

from ..eeg.rows import is_within, recordings_and_times, rows_in_time
from ..eeg.windows import EEGWindows
from .nets.losses import parse_loss

# Parameters of skorch's net that fit sets, some of them by parameters of our own.
_SET_HERE = (
    "module criterion max_epochs batch_size lr optimizer__lr optimizer__weight_decay device "
    "train_split verbose iterator_train__collate_fn iterator_valid__collate_fn"
)


@dataclass(kw_only=True, repr=False, eq=False)
class Training(BaseEstimator):
    """Parameters of gradient-based training.

    Parameters
    ----------
    max_epochs : int
        Passes over the training windows.
    batch_size : int
        Windows per step.
    lr : float
        Learning rate of AdamW.
    weight_decay : float
        Weight decay of AdamW.
    loss : {"mse", "mae", "correlation", "riemannian"} or dict of str to float
        Loss, or weights of several losses, such as ``{"mse": 0.1, "correlation": 1.0}``.
    validation_fraction : float
        Share of each recording's volumes, at its end, that is set apart. The weights of the epoch
        with the lowest loss on these volumes are kept. With 0, the network trains on all volumes
        and keeps the weights of the last epoch.
    validation_gap : float or None
        Volumes less than this many seconds before the validation volumes are not used. None
        takes the duration of the window plus its delay, so that no EEG is shared.
    patience : int or None
        Training stops after this many epochs without a better validation loss. None never stops
        early. Ignored if ``validation_fraction`` is 0.
    checkpoint : path-like or None
        Folder where the state of the training is saved, at most every ten seconds. If a fit is
        killed, calling ``fit`` again with the same data, parameters and package versions continues
        from that state and ends with the same weights. A completed training is not repeated; a
        ``random_state`` of None counts as a fixed seed here. Cannot be combined with callbacks in
        ``skorch_params``.
    skorch_params : dict or None
        Further parameters of :class:`skorch.NeuralNet`, such as ``{"callbacks": [...]}`` or
        ``{"optimizer": torch.optim.SGD}``. Parameters that have a name of their own here are
        refused.

    See Also
    --------
    BEIRARegressor : Takes it as ``training``.

    Examples
    --------
    Fine-tune the default network for 20 epochs, and search over the learning rate:

    >>> from sklearn_beira import BEIRARegressor, Training
    >>> model = BEIRARegressor(training=Training(max_epochs=20))
    >>> model.set_params(training__lr=1e-3).training
    Training(lr=0.001, max_epochs=20)
    """

    _parameter_constraints: ClassVar[dict] = {
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "loss": [str, dict],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "validation_gap": [Interval(Real, 0, None, closed="left"), None],
        "patience": [Interval(Integral, 1, None, closed="left"), None],
        "checkpoint": [str, PathLike, None],
        "skorch_params": [dict, None],
    }

    max_epochs: int = 100
    batch_size: int = 16
    lr: float = 3e-4
    weight_decay: float = 3e-4
    loss: str | dict = "mse"
    validation_fraction: float = 0.0
    validation_gap: float | None = None
    patience: int | None = 20
    checkpoint: str | PathLike | None = None
    skorch_params: dict | None = None


def check_training(training: Training) -> None:
    """Check the parameters of a training.

    Parameters
    ----------
    training : Training
        Parameters as given.

    Raises
    ------
    ValueError
        If a parameter has no valid value, or if ``skorch_params`` sets what has a parameter.
    TypeError
        If ``loss`` is no name and no dict of weights.
    """
    training._validate_params()
    parse_loss(training.loss)
    params = training.skorch_params or {}
    if training.checkpoint is not None and params.get("callbacks"):
        raise ValueError(
            "checkpoint cannot save the state of the callbacks in skorch_params; leave out one of "
            "the two."
        )
    for name in params:
        if name in _SET_HERE.split() or name.startswith(("module__", "criterion__")):
            raise ValueError(
                f"skorch_params may not hold {name!r}, which fit sets; use the parameters of "
                f"Training and BEIRARegressor."
            )


def split_off_validation(X: EEGWindows, training: Training | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows to train on, and those of the validation, which may be none."""
    if training is None or not training.validation_fraction:
        return np.arange(len(X)), np.arange(0)
    gap = training.validation_gap
    if gap and not X.has_times:
        raise ValueError(
            f"validation_gap={gap:g} s cannot be kept, because the times of the rows are unknown; "
            f"pass EEGWindows.from_array(X, times=...), or set validation_gap=None if no two rows "
            f"share EEG."
        )
    return tail_split(X, training.validation_fraction, X.reach if gap is None else gap)


def tail_split(
    X: ArrayLike, fraction: float, gap: float, groups: ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Split off the last part of every recording, for validation inside ``fit``.

    Parameters
    ----------
    X : EEGWindows or array-like, shape (n_samples, ...)
        Samples.
    fraction : float
        Fraction of each recording's volumes in the tail.
    gap : float
        Volumes less than this many s before the tail are in neither part. Ignored where the times
        of the rows are unknown.
    groups : array-like of shape (n_samples,) or None
        Recording of each row, for arrays; None stands for a single one. EEGWindows know theirs.

    Returns
    -------
    head, tail : ndarray of int
        Row indices.

    Raises
    ------
    ValueError
        If either part would be empty.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_beira import EEGWindows, tail_split
    >>> eeg = np.random.default_rng(0).standard_normal((50, 2, 1600)) * 1e-5
    >>> X = EEGWindows.from_array(eeg, sfreq=100.0, times=20.0 + 2.0 * np.arange(50))
    >>> head, tail = tail_split(X, fraction=0.2, gap=16.0)
    >>> len(head), len(tail)
    (33, 10)
    >>> float(X.times[tail[0]] - X.times[head[-1]])
    16.0
    """
    numbers = isinstance(fraction, Real) and isinstance(gap, Real)
    if not (numbers and 0 < fraction < 1 and gap >= 0):
        raise ValueError(
            f"fraction must lie between 0 and 1 and gap be at least 0 s, got fraction={fraction!r} "
            f"and gap={gap!r}."
        )
    recordings, times = recordings_and_times(X, groups, None, needed=False)
    in_tail = np.zeros(len(times), dtype=bool)
    for rows in rows_in_time(recordings, times):
        in_tail[rows[len(rows) - round(fraction * len(rows)) :]] = True
    head, tail = np.flatnonzero(~in_tail), np.flatnonzero(in_tail)
    if getattr(X, "has_times", False):
        head = head[~is_within(head, tail, recordings, times, gap)]
    if not (len(head) and len(tail)):
        raise ValueError(
            f"{len(times)} volumes are too few to set the last {fraction:.0%} of each recording "
            f"apart for validation with a gap of {gap:g} s: {len(head)} would stay for training "
            f"and {len(tail)} for validation; use more volumes, a shorter gap, or no validation."
        )
    return head, tail
