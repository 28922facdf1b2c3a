"""How a model was trained, or which bands it uses."""

import numpy as np
from matplotlib.axes import Axes
from sklearn.utils.validation import check_is_fitted

from .._utils.estimators import chosen, last_step
from .._utils.regions import numbered
from .style import COLORS, axes_of, clean, legend_beside


def plot_training(model, *, ax=None) -> Axes:
    """Plot the losses of all epochs, or the bands that a closed-form model uses.

    Parameters
    ----------
    model : BEIRARegressor, Pipeline that ends in one, or search over these
        Fitted model; for a search, its best estimator is drawn.
    ax : matplotlib.axes.Axes or None
        Axes to draw on; None makes a figure.

    Returns
    -------
    ax : matplotlib.axes.Axes
        The axes. For a trained model: training and validation loss by epoch, and the epoch whose
        weights are used. For a model that was solved in closed form: the share of each band in
        the variance of the prediction of each region.
    """
    regressor = last_step(chosen(model))
    if not hasattr(regressor, "architecture"):
        raise TypeError(
            f"plot_training draws a BEIRARegressor, a Pipeline that ends in one or a search over "
            f"these, got {type(regressor).__name__}."
        )
    check_is_fitted(regressor)
    if is_trained(regressor):
        return _draw_losses(regressor, ax)
    return _draw_shares(regressor, ax)


def is_trained(regressor) -> bool:
    """Tell whether a fitted BEIRARegressor was trained by gradients, not only in closed form."""
    return bool(len(getattr(regressor, "history_", ())))


def _draw_losses(regressor, ax):
    history = regressor.history_
    ax = axes_of(ax, 6.4, 2.6)
    epochs = np.array(history[:, "epoch"])
    ax.plot(epochs, history[:, "train_loss"], color=COLORS[0], lw=1.5, label="training volumes")
    used, why = epochs[-1], "the last"
    if "valid_loss" in history[0]:
        losses = np.array(history[:, "valid_loss"], dtype=float)
        ax.plot(epochs, losses, color=COLORS[5], ls="--", lw=1.5, label="validation volumes")
        used, why = epochs[np.nanargmin(losses)], "lowest validation loss"
    ax.axvline(used, color="0.3", lw=1, ls=":", label=f"used: epoch {used}\n({why})")
    loss = regressor.get_training().loss
    if isinstance(loss, dict):
        loss = " + ".join(f"{weight:g} {name}" for name, weight in loss.items())
    ax.set(xlabel="epoch", ylabel=f"loss: {loss}\n(BOLD in SD)")
    ax.xaxis.get_major_locator().set_params(integer=True)
    legend_beside(ax)
    return clean(ax)


def _draw_shares(regressor, ax):
    shares, bands = regressor.closed_form_.shares, regressor.closed_form_.bands
    names = regressor.region_names_ or numbered(len(shares))
    ax = axes_of(ax, max(2.6 + 0.7 * len(bands), 5.0), 1.2 + 0.27 * len(names))
    highest = max(1.0, shares.max())
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=highest, aspect="auto")
    for (row, column), share in np.ndenumerate(shares):
        color = "white" if share > 0.6 * highest else "black"
        text = f"{100 * share:z.0f}"
        ax.text(column, row, text, ha="center", va="center", color=color, fontsize="small")
    ax.set_xticks(range(len(bands)), bands)
    ax.set_yticks(range(len(names)), names)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_xlabel("rows need not sum to 100, as bands are correlated", fontsize="small")
    ax.set_title("share of each band in the variance of the prediction (%)", fontsize="medium")
    return ax
