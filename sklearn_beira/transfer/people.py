"""Data of several people, and the fits of models to others and to each."""

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.utils import _safe_indexing

from .._utils.estimators import chosen, last_step
from .._utils.hashing import sketch
from .._utils.numbers import mean_and_sd, standardize
from ..eeg.rows import first_minutes, is_within, recordings_and_times, repetition_time
from ..evaluation.metrics import pearson_r
from ..evaluation.splitters import subjects_of
from .calibrated import WEIGHTS, CalibratedRegressor, combine, fit_own, predict_2d

# Pairs of weights are about as good as the best if r is at most so many standard errors lower. With
# one standard error, simulated people who share nothing lose by trusting others.
_ERRORS = 0.25


class People:
    """Data of several people, whose BOLD is standardized.

    Parameters
    ----------
    estimator : estimator
        Regressor, not fitted.
    X : EEGWindows or array-like, shape (n_volumes, ...)
        Samples.
    y : ndarray, shape (n_volumes, n_rois)
        BOLD.
    subjects : array-like of shape (n_volumes,) or None
        Subjects, where X does not know them.
    t_r : float or None
        Repetition time in s, where X does not know times.
    n_jobs : int or None
        Processes for fits, as in joblib.
    names : list of str or None
        Names of the regions.

    Attributes
    ----------
    rows : dict of str to ndarray of int
        Rows of each subject, by its label as text.
    raw : ndarray, shape (n_volumes, n_rois)
        BOLD as given.
    units : dict of str to tuple of ndarray of shape (n_rois,)
        Mean and standard deviation of each subject's BOLD.
    y : ndarray, shape (n_volumes, n_rois)
        Standardized BOLD.
    """

    def __init__(self, estimator, X, y, subjects, t_r, n_jobs=None, names=None):
        self.estimator, self.X, self.n_jobs, self.names = estimator, X, n_jobs, names
        subjects = subjects_of(X, subjects)
        if len(subjects) != len(y):
            raise ValueError(f"subjects has {len(subjects)} rows, but y has {len(y)}.")
        groups = subjects if not hasattr(X, "groups") else None
        self.recordings, self.times = recordings_and_times(X, groups, t_r, needed=True)
        self.reach = X.reach if getattr(X, "has_times", False) else 0.0
        self.rows = {str(k): np.flatnonzero(subjects == k) for k in np.unique(subjects)}
        self.raw, self.units, self.y = y, {}, np.empty_like(y, dtype=float)
        for k, rows in self.rows.items():
            if len(rows) < 2:
                raise ValueError(f"subject {k} has one volume; a model needs at least 2 of each.")
            mean, scale = mean_and_sd(y[rows])
            self.units[k], self.y[rows] = (mean, scale), (y[rows] - mean) / scale

    def minutes(self, subject):
        """Minutes of data of a subject."""
        rows = self.rows[subject]
        return len(rows) * repetition_time(self.recordings[rows], self.times[rows]) / 60

    def take(self, rows):
        """X and y of some rows, y with the names of the regions, or without their axis if one."""
        X, y = _safe_indexing(self.X, rows), self.y[rows]
        if self.names is not None:
            index = None
            if getattr(X, "volumes", None) is not None:  # rows of y say which volumes they are
                index = pd.MultiIndex.from_arrays(
                    [X.groups, X.volumes], names=["recording", "volume"]
                )
            y = pd.DataFrame(y, index, self.names)
        elif y.shape[1] == 1:
            y = y[:, 0]
        return X, y

    def fit_without(self, left_out):
        """Fit the estimator to all people but some."""
        some = [rows for k, rows in self.rows.items() if k not in left_out]
        if not some:
            raise ValueError(f"a model of others needs at least 2 subjects, got {len(self.rows)}.")
        rows = np.sort(np.concatenate(some))
        model = clone(self.estimator).fit(*self.take(rows))
        last_step(chosen(model)).bold_digests_ = sketch(self.raw[rows])
        return model

    def fit_others(self, subjects, n_splits):
        """Fit models for subjects that have not seen them: one for each part of the subjects."""
        parts = [part for part in (subjects[i::n_splits] for i in range(n_splits)) if part]
        models = self.run(delayed(self.fit_without)(part) for part in parts)
        return {k: model for part, model in zip(parts, models, strict=True) for k in part}

    def calibrate(self, subject, others, weights):
        """Combine a model of others with one of a subject."""
        person = CalibratedRegressor(others, self.estimator, weights=tuple(weights))
        person.fit(*self.take(self.rows[subject]))
        person.bold_digests_ = sketch(self.raw[self.rows[subject]])
        return person

    def run(self, calls):
        """Run delayed calls."""
        return Parallel(n_jobs=self.n_jobs)(calls)

    def split(self, subject, minutes, most=0.5):
        """Rows of the first minutes of a subject, at most a share of them, and rows to test."""
        mine = self.rows[subject]
        recordings, times = self.recordings[mine], self.times[mine]
        minutes = min(minutes, most * self.minutes(subject))
        own = first_minutes(recordings, times, minutes)
        rest = np.setdiff1d(np.arange(len(mine)), own)
        rest = rest[~is_within(rest, own, recordings, times, self.reach)]
        return mine[own], mine[rest]

    def learn_weights(self, others, lengths):
        """Try all weights on subjects, whose models of others are given.

        Returns
        -------
        r : ndarray, shape (n_lengths, n_subjects, n_weights)
            Mean r over regions.
        """
        calls = [(k, m) for m in lengths for k in others]
        splits = [self.split(*call) for call in calls]
        found = self.run(
            delayed(self.score)(others[k], *split, WEIGHTS)
            for (k, _), split in zip(calls, splits, strict=True)
        )
        r = np.array([[one[w].mean() for w in WEIGHTS] for one in found])
        return r.reshape(len(lengths), len(others), len(WEIGHTS))

    def score(self, others, own, test, weights):
        """R in each region (n_rois,) for pairs of weights, on rows of a subject."""
        X, target = _safe_indexing(self.X, own), standardize(self.raw[own])
        p = predict_2d(others, X)
        models = fit_own(self.estimator, X, target, p - p.mean(axis=0), weights)
        X = _safe_indexing(self.X, test)
        p = predict_2d(others, X)
        f = {name: predict_2d(model, X) for name, model in models.items()}
        blocks = np.unique(self.recordings[test], return_inverse=True)[1].ravel()
        return {
            w: pearson_r(self.y[test], combine(w, p, f), blocks=blocks, multioutput="raw_values")
            for w in weights
        }


def choose_weights(r):
    """Choose weights with care: those that trust others most, of all that are about the best.

    Parameters
    ----------
    r : ndarray, shape (n_subjects, n_weights)
        Mean r over regions.

    Returns
    -------
    number : int
        Of the pair in ``WEIGHTS``, the first whose mean r over subjects is at most a quarter of a
        standard error of the difference below the highest.
    """
    behind = r[:, [r.mean(axis=0).argmax()]] - r
    error = behind.std(axis=0, ddof=min(len(r) - 1, 1)) / np.sqrt(len(r))
    return int(np.argmax(behind.mean(axis=0) <= _ERRORS * error))
