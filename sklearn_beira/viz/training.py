"""How a model was trained."""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._utils.estimators import chosen, last_step
from ..regressor.estimator import BEIRARegressor
from .style import COLORS, clean, legend_beside

__all__ = ["plot_training"]


def plot_training(model, *, ax=None):
    """Plot the losses of all epochs and the epoch whose weights were kept.

    A model without epochs has no losses. It started from the data in closed form, and what is
    drawn instead is the share of each band in the variance of its prediction of each region.

    Parameters
    ----------
    model : BEIRARegressor, Pipeline that ends in one, or search over these
        Fitted model; of a search, the one that it chose.
    ax : matplotlib.axes.Axes or None
        Where to draw; None makes a figure.

    Returns
    -------
    ax : matplotlib.axes.Axes
        The axes.
    """
    regressor = last_step(chosen(model))
    if not isinstance(regressor, BEIRARegressor):
        raise TypeError(
            f"the training of a BEIRARegressor, of a Pipeline that ends in one or of a fitted "
            f"search over these is drawn, got {type(regressor).__name__}."
        )
    check_is_fitted(regressor)
    history = regressor.history_
    if not len(history):
        return _draw_shares(regressor, ax)
    if ax is None:
        _, ax = plt.subplots(figsize=(6.4, 2.6), layout="constrained")
    epochs = np.array(history[:, "epoch"])
    ax.plot(epochs, history[:, "train_loss"], color=COLORS[0], lw=1.5, label="training volumes")
    kept, why = epochs[-1], "the last"
    if "valid_loss" in history[0]:
        losses = np.array(history[:, "valid_loss"], dtype=float)
        ax.plot(epochs, losses, color=COLORS[5], ls="--", lw=1.5, label="validation volumes")
        kept, why = epochs[np.nanargmin(losses)], "lowest validation loss"
    ax.axvline(kept, color="0.3", lw=1, ls=":", label=f"kept: epoch {kept}\n({why})")
    loss = regressor.loss
    if isinstance(loss, dict):
        loss = " + ".join(f"{weight:g} {name}" for name, weight in loss.items())
    ax.set(xlabel="epoch", ylabel=f"loss: {loss}\n(BOLD in SD)")
    ax.xaxis.get_major_locator().set_params(integer=True)
    legend_beside(ax)
    return clean(ax)


def _draw_shares(regressor, ax):
    start = regressor.closed_form_
    shares, bands = start.shares, start.bands
    names = regressor.region_names_ or [f"ROI {i}" for i in range(len(shares))]
    if ax is None:
        size = (round(max(2.6 + 0.7 * len(bands), 5.0), 1), round(1.2 + 0.27 * len(names), 1))
        _, ax = plt.subplots(figsize=size, layout="constrained")
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=max(1.0, shares.max()), aspect="auto")
    for (row, column), share in np.ndenumerate(shares):
        ax.text(
            column,
            row,
            f"{100 * share:z.0f}",
            ha="center",
            va="center",
            color="white" if share > 0.6 * max(1.0, shares.max()) else "black",
            fontsize="small",
        )
    ax.set_xticks(range(len(bands)), bands)
    ax.set_yticks(range(len(names)), names)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_xlabel("rows need not sum to 100: bands go together, or cancel", fontsize="small")
    ax.set_title("share of each band in the variance of the prediction (%)", fontsize="medium")
    return ax
