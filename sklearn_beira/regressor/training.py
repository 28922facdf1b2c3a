"""Training: the parameters of training by gradients, and their checks."""

from dataclasses import dataclass
from numbers import Integral, Real
from os import PathLike
from typing import ClassVar

from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval

from .nets.losses import parse_loss

__all__ = ["Training"]

# Parameters of skorch's net that have a name of their own here; None marks what fit sets.
_SET_HERE = {
    "module": None,
    "criterion": "loss of Training",
    "max_epochs": "max_epochs of Training",
    "batch_size": "batch_size of Training",
    "lr": "lr of Training",
    "optimizer__lr": "lr of Training",
    "optimizer__weight_decay": "weight_decay of Training",
    "device": "device of BEIRARegressor",
    "train_split": "validation_fraction of Training",
    "verbose": "verbose of BEIRARegressor",
    "iterator_train__collate_fn": None,
    "iterator_valid__collate_fn": None,
}


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
        if name in _SET_HERE or name.startswith(("module__", "criterion__")):
            own = _SET_HERE.get(name)
            hint = f"set {own} instead" if own else "fit sets it"
            raise ValueError(f"skorch_params may not hold {name!r}; {hint}.")
