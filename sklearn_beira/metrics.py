"""How well predicted BOLD follows measured BOLD, per region."""

import numpy as np
from sklearn.metrics import make_scorer
from sklearn.utils import check_array
from sklearn.utils.validation import check_consistent_length

__all__ = ["pearson_r", "pearson_r_scorer"]


def pearson_r(y_true, y_pred, *, multioutput="uniform_average"):
    """Pearson correlation over volumes, per region.

    Parameters
    ----------
    y_true, y_pred : array-like, shape (n_volumes,) or (n_volumes, n_rois)
        Measured and predicted BOLD.
    multioutput : {"uniform_average", "raw_values"} or array-like of shape (n_rois,)
        The mean over regions, one value per region, or a weighted mean.

    Returns
    -------
    r : float or ndarray of shape (n_rois,)
        Correlation. Where one of the two series is constant it is not defined, and 0 is returned.

    Examples
    --------
    >>> from sklearn_beira.metrics import pearson_r
    >>> round(float(pearson_r([1.0, 2.0, 3.0], [2.0, 4.0, 6.5])), 3)
    0.998
    """
    y_true, y_pred = (
        check_array(y, ensure_2d=False, dtype=np.float64, input_name=name)
        for name, y in (("y_true", y_true), ("y_pred", y_pred))
    )
    check_consistent_length(y_true, y_pred)
    y_true, y_pred = (y.reshape(len(y), -1) for y in (y_true, y_pred))
    if y_true.shape != y_pred.shape:
        raise ValueError(
            f"y_true has {y_true.shape[1]} region(s), but y_pred has {y_pred.shape[1]}."
        )
    true, pred = _unit(y_true), _unit(y_pred)
    r = np.clip((true * pred).sum(axis=0), -1, 1)
    if isinstance(multioutput, str):
        if multioutput == "raw_values":
            return r
        if multioutput != "uniform_average":
            raise ValueError(
                f"multioutput must be 'uniform_average', 'raw_values' or weights, got "
                f"{multioutput!r}."
            )
        return float(r.mean())
    weights = np.asarray(multioutput, dtype=float)
    if weights.shape != r.shape or not (weights >= 0).all() or not weights.sum() > 0:
        raise ValueError(
            f"multioutput must hold one weight of at least 0 for each of the {len(r)} regions, and "
            f"not zeros alone, got {multioutput!r}."
        )
    return float(np.average(r, weights=weights))


def _unit(y):
    """Centre and scale to norm 1; zeros where nothing varies beyond rounding."""
    centred = y - y.mean(axis=0)
    norm = np.linalg.norm(centred, axis=0)
    constant = norm <= 1e-10 * np.sqrt(len(y)) * np.abs(y).max(axis=0)
    return np.where(constant, 0.0, centred / np.where(constant, 1.0, norm))


#: Scorer for ``scoring=``: the mean over regions of Pearson's r.
pearson_r_scorer = make_scorer(pearson_r)
