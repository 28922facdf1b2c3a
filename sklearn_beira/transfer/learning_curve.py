"""How well a person is predicted with more and more of their own data."""

import copy
from collections.abc import Sequence

import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from .._utils.numbers import check_bold, region_names
from .._utils.regions import numbered
from ..eeg.checks import check_rows
from ..eeg.windows import EEGWindows
from .calibrated import WEIGHTS
from .people import People, choose_weights

# Rows of the table and their weights; None stands for those that are learned.
CURVES = {"others": (1.0, 0.0), "own": (0.0, 1.0), "calibrated": None}


def learning_curve_minutes(
    estimator: BaseEstimator,
    X: EEGWindows | ArrayLike,
    y: ArrayLike,
    minutes: Sequence[float] = (1, 3, 6, 13, 26),
    *,
    subjects: ArrayLike | None = None,
    n_splits: int = 3,
    t_r: float | None = None,
    n_jobs: int | None = None,
) -> pd.DataFrame:
    """Predict each person by others, by their own first minutes, and by both.

    Each person is left out in turn. A model of the others, models of the person's first minutes,
    and their combination as in :class:`SubjectRegressor`, whose weights are learned from the other
    people alone, predict the same volumes: those after the longest of the lengths.

    Parameters
    ----------
    estimator : estimator
        Regressor or Pipeline.
    X : EEGWindows or array-like, shape (n_volumes, ...)
        Data of all people.
    y : array-like, shape (n_volumes, n_rois) or (n_volumes,)
        BOLD.
    minutes : sequence of float
        Lengths of own data.
    subjects : array-like of shape (n_volumes,) or None
        Subject of each row; None takes ``X.subjects``.
    n_splits : int
        As in :class:`SubjectRegressor`.
    t_r : float or None
        Repetition time in s, for plain arrays, whose rows are volumes in order.
    n_jobs : int or None
        Processes, as in joblib; one person is one task.

    Returns
    -------
    curve : DataFrame
        Columns ``subject``, ``minutes``, ``model`` ("others", "own", "calibrated"), ``region``,
        ``r``, ``n`` (tested volumes), ``weight_others`` and ``weight_own``.

    Raises
    ------
    ValueError
        If there are fewer than three subjects, or if a subject has no volume after the longest
        length.

    See Also
    --------
    sklearn_beira.viz.plot_learning_curve : Draw it.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn_beira import learning_curve_minutes
    >>> rng = np.random.default_rng(0)
    >>> X, weights = rng.standard_normal((400, 5)), rng.standard_normal((5, 2))
    >>> y = X @ weights + rng.standard_normal((400, 2))
    >>> subjects = np.repeat(["A", "B", "C", "D"], 100)
    >>> curve = learning_curve_minutes(Ridge(), X, y, (1, 2), subjects=subjects, t_r=2.0)
    >>> curve.groupby(["minutes", "model"])["r"].mean().round(1).unstack().loc[1].to_dict()
    {'calibrated': 0.9, 'others': 0.9, 'own': 0.9}
    """
    check_rows(X, y)
    names, name = region_names(y), getattr(y, "name", None)
    y = check_bold(y)
    people = People(estimator, X, y.reshape(len(y), -1), subjects, t_r)
    if len(people.rows) < 3:
        raise ValueError(
            f"weights are learned from at least two other subjects; got {len(people.rows)} "
            f"subject(s) in all."
        )
    minutes = sorted(float(m) for m in minutes)
    if names is None:
        names = numbered(people.y.shape[1]) if name is None else [str(name)]
    tables = Parallel(n_jobs=n_jobs)(
        delayed(_curve_of)(people, k, minutes, n_splits, names) for k in people.rows
    )
    return pd.concat(tables, ignore_index=True)


def _curve_of(people, subject, minutes, n_splits, names):
    """Rows of one subject."""
    _, test = people.split(subject, minutes[-1], most=1.0)
    if len(test) < 2:
        raise ValueError(
            f"subject {subject} has no volumes to test after {minutes[-1]:g} minutes and the reach "
            f"of a window; use shorter lengths."
        )
    rest = copy.copy(people)
    rest.rows = {k: rows for k, rows in people.rows.items() if k != subject}
    others = rest.fit_without(())
    learned = rest.learn_weights(rest.fit_others(list(rest.rows), n_splits), minutes)
    tables = []
    for m, r in zip(minutes, learned, strict=True):
        own, _ = people.split(subject, m, most=1.0)
        curves = {name: w or WEIGHTS[choose_weights(r)] for name, w in CURVES.items()}
        r = people.score(others, own, test, set(curves.values()))
        for name, weights in curves.items():
            tables.append(
                pd.DataFrame(
                    {
                        "subject": subject,
                        "minutes": m,
                        "model": name,
                        "region": names,
                        "r": r[weights],
                        "n": len(test),
                        "weight_others": weights[0],
                        "weight_own": weights[1],
                    }
                )
            )
    return pd.concat(tables)
