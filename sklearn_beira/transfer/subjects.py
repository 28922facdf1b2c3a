"""One model for many people, calibrated for each with as much of their own data as there is."""

from dataclasses import KW_ONLY, dataclass
from numbers import Integral, Real
from typing import ClassVar, Self

import numpy as np
import pandas as pd
from joblib import delayed
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import _safe_indexing
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import _num_samples, check_is_fitted

from .._utils.numbers import check_bold, region_names
from ..eeg.checks import check_rows, check_target
from ..eeg.windows import EEGWindows
from ..evaluation.splitters import subjects_of
from .calibrated import (
    WEIGHTS,
    CalibratedRegressor,
    TransferRegressor,
    check_weights,
    predict_2d,
)
from .people import People, choose_weights


@dataclass(repr=False, eq=False)
class SubjectRegressor(TransferRegressor):
    """Predict people by a model of others, calibrated with their own data.

    A group model is fitted to all people, and people it has not met are predicted by it. A person
    with own data in the training is predicted by a :class:`CalibratedRegressor`, whose model of
    others has not seen that person. How much to trust the others, and how much the own data, is
    learned from the people in the training: each is predicted by models of others and of its first
    minutes. Of the weights whose mean r over people is within a quarter of a standard error of the
    highest, those that trust the others most are taken.

    Parameters
    ----------
    estimator : estimator
        Regressor or Pipeline for all people, and for the own data of each.
    weights : "auto" or tuple of float
        Weights of the model of others and of the own model, as in :class:`CalibratedRegressor`;
        "auto" learns them. (1, 0) trusts others alone, (0, 1) the own data alone.
    minutes : array-like of float
        Lengths of own data for which the weights are learned, besides those of the people to be
        calibrated; at most half of what a person has. :meth:`calibrate` takes the nearest.
    n_splits : int
        People are divided into so many parts, and the model of others for a part is fitted to the
        rest.
    t_r : float or None
        Repetition time in s, for plain arrays, whose rows are volumes in order.
    n_jobs : int or None
        Processes, as in joblib.

    Attributes
    ----------
    group_ : estimator
        Fitted to all people.
    people_ : dict of str to CalibratedRegressor
        By subject, whose label is made a text.
    curve_ : DataFrame, indexed by minutes
        Mean r over people and regions for each pair of weights, (others, own); empty if weights
        are given.

    See Also
    --------
    CalibratedRegressor : One person and a model of others.
    learning_curve_minutes : r against the minutes of own data.
    LeaveOneSubjectOut : Folds whose training holds minutes of the subject that is tested.

    Notes
    -----
    BOLD of each person is standardized before the fit, and predictions are in the unit of the
    person's training BOLD; for people without any, in the mean unit of the others.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn_beira import SubjectRegressor
    >>> rng = np.random.default_rng(0)
    >>> X, weights = rng.standard_normal((400, 5)), rng.standard_normal((5, 2))
    >>> y = X @ weights + rng.standard_normal((400, 2))
    >>> subjects = np.repeat(["A", "B", "C", "D"], 100)
    >>> model = SubjectRegressor(Ridge(), t_r=2.0).fit(X, y, subjects=subjects)
    >>> list(model.people_)
    ['A', 'B', 'C', 'D']
    >>> model.predict(X[:3], subjects=["E", "E", "E"]).shape
    (3, 2)
    """

    _parameter_constraints: ClassVar[dict] = {
        "estimator": [HasMethods(["fit", "predict"])],
        "weights": [StrOptions({"auto"}), tuple, list],
        "minutes": ["array-like"],
        "n_splits": [Interval(Integral, 2, None, closed="left")],
        "t_r": [Interval(Real, 0, None, closed="neither"), None],
        "n_jobs": [Integral, None],
    }

    # compare tells fit and predict the subjects, and fit those that are tested.
    _calibrates = True

    estimator: BaseEstimator
    _: KW_ONLY
    weights: str | tuple[float, float] = "auto"
    minutes: ArrayLike = (1, 3, 6, 13, 26)
    n_splits: int = 3
    t_r: float | None = None
    n_jobs: int | None = None

    def fit(
        self,
        X: EEGWindows | ArrayLike,
        y: ArrayLike,
        *,
        subjects: ArrayLike | None = None,
        calibrate: ArrayLike | None = None,
    ) -> Self:
        """Fit the group model, learn the weights and calibrate people.

        Parameters
        ----------
        X : EEGWindows or array-like, shape (n_volumes, ...)
            Data of all people.
        y : array-like, shape (n_volumes, n_rois) or (n_volumes,)
            BOLD.
        subjects : array-like of shape (n_volumes,) or None
            Subject of each row; None takes ``X.subjects``.
        calibrate : array-like or None
            Subjects to calibrate for; None takes all. The others only train the models of others.

        Returns
        -------
        self : SubjectRegressor
            Fitted.

        Raises
        ------
        ValueError
            If there are fewer than two subjects.
        """
        self._validate_params()
        given = None if isinstance(self.weights, str) else check_weights(self.weights)
        check_rows(X, y)
        y, self._target_is_1d = check_target(self, X, y)
        people = People(self.estimator, X, y, subjects, self.t_r, self.n_jobs, self.region_names_)
        known = list(people.rows)
        wanted = known if calibrate is None else [str(k) for k in np.atleast_1d(calibrate)]
        if unknown := sorted(set(wanted) - set(known)):
            raise ValueError(f"calibrate names {', '.join(unknown)}; X has {', '.join(known)}.")
        self.group_ = people.fit_without(())
        others = people.fit_others(wanted, self.n_splits)
        self._units = {k: people.units[k] for k in wanted}
        self._unit = tuple(np.mean([people.units[k] for k in known], axis=0))
        self._curve = None
        if given is None:
            lengths = {people.minutes(k) for k in wanted}
            if calibrate is None or not wanted:
                lengths |= {float(m) for m in self.minutes}
            longest = max(people.minutes(k) for k in known)
            lengths = {min(m, longest / 2) for m in lengths}  # the other half is tested
            teachers = [k for k in known if k not in wanted]
            enough = len(teachers) >= 2
            teachers = people.fit_others(teachers, self.n_splits) if enough else others
            lengths = sorted(lengths)
            r = people.learn_weights(teachers, lengths)
            chosen = np.array([choose_weights(one) for one in r])
            self._curve = np.array(lengths), r.mean(axis=1), chosen
        weights = [given or self._weights(people.minutes(k)) for k in wanted]
        models = people.run(
            delayed(people.calibrate)(k, others[k], w) for k, w in zip(wanted, weights, strict=True)
        )
        self.people_ = dict(zip(wanted, models, strict=True))
        return self

    def calibrate(
        self, X: EEGWindows | ArrayLike, y: ArrayLike, *, minutes: float | None = None
    ) -> CalibratedRegressor:
        """Calibrate the group model for a person who is not in the training.

        Parameters
        ----------
        X : EEGWindows or array-like, shape (n_volumes, ...)
            Data of the person, rows in order of time.
        y : array-like, shape (n_volumes, n_rois) or (n_volumes,)
            BOLD of the person.
        minutes : float or None
            Length of the data; None computes it.

        Returns
        -------
        person : CalibratedRegressor
            Fitted, with the weights learned for so many minutes. It predicts standardized BOLD.
        """
        check_is_fitted(self)
        check_rows(X, y)
        values = check_bold(y)
        one, names = np.zeros(len(values), dtype=int), region_names(y)
        values = values.reshape(len(values), -1)
        people = People(self.estimator, X, values, one, self.t_r, names=names)
        known = X.subjects if isinstance(X, EEGWindows) else None
        if known is not None and len(np.unique(known)) > 1:
            raise ValueError("calibrate takes one person, but X has several subjects.")
        (person,) = people.rows
        if minutes is None:
            minutes = people.minutes(person)
        weights = self._weights(minutes) if isinstance(self.weights, str) else self.weights
        return people.calibrate(person, self.group_, weights)

    def predict(
        self, X: EEGWindows | ArrayLike, *, subjects: ArrayLike | None = None
    ) -> np.ndarray:
        """Predict BOLD, each subject by its own model, if there is one.

        Parameters
        ----------
        X : EEGWindows or array-like, shape (n_volumes, ...)
            EEG.
        subjects : array-like of shape (n_volumes,) or None
            Subject of each row; None takes ``X.subjects``. Without any, all are new people.

        Returns
        -------
        y : ndarray of shape (n_volumes, n_rois), or (n_volumes,) if y was 1-D in fit
            Predicted BOLD.
        """
        check_is_fitted(self)
        if subjects is None and not (isinstance(X, EEGWindows) and X.subjects is not None):
            subjects = np.full(_num_samples(X), "")
        subjects = subjects_of(X, subjects)
        y = np.zeros((len(subjects), len(self._unit[0])))
        for k in np.unique(subjects):
            rows = np.flatnonzero(subjects == k)
            model = self.people_.get(str(k), self.group_)
            mean, scale = self._units.get(str(k), self._unit)
            y[rows] = mean + scale * predict_2d(model, _safe_indexing(X, rows))
        return y[:, 0] if self._target_is_1d else y

    @property
    def curve_(self) -> pd.DataFrame:
        """Mean r by minutes and weights."""
        check_is_fitted(self)
        columns = pd.MultiIndex.from_tuples(WEIGHTS, names=["others", "own"])
        lengths, r, _ = ([], None, None) if self._curve is None else self._curve
        return pd.DataFrame(r, pd.Index(lengths, name="minutes"), columns)

    def _weights(self, minutes):
        """Weights for the nearest length."""
        lengths, _, chosen = self._curve
        return WEIGHTS[chosen[np.abs(np.log(lengths / minutes)).argmin()]]
