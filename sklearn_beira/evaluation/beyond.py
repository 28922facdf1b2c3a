"""What predicts BOLD without EEG: nuisance signals, and its own past."""

import numpy as np
from joblib import delayed
from sklearn.base import clone

from .cross_validation import fit_predict

NUISANCE = "nuisance"
ORACLE = "past BOLD (oracle)"
# Volumes of its own past that the oracle sees.
_N_PAST = 4


def explain(model, study, runner):
    """Predict BOLD of all volumes by nuisance signals, fitted to the training volumes of each fold.

    Parameters
    ----------
    model : estimator
        Model of the nuisance signals.
    study : Study
        Samples, with nuisance signals, and folds.
    runner : Runner
        Runs the fits.

    Returns
    -------
    explained : list of ndarray of shape (n_volumes, n_rois)
        By fold, the predicted BOLD of training and test volumes.
    facts : list of dict
        As those of :func:`~sklearn_beira.evaluation.cross_validation.fit_predict`.
    """
    key, everywhere = runner.store.key, np.arange(len(study.y))
    shared = key(study.X, study.y, clone(model), everywhere)
    calls = [
        (key(shared, *fold), delayed(fit_predict)(model, study, study.y, k, everywhere))
        for k, fold in enumerate(study.folds)
    ]
    return map(list, zip(*runner.run(calls, "Nuisance"), strict=True))


def out_of_fold(study, values):
    """Collect the test volumes of each fold.

    Parameters
    ----------
    study : Study
        Samples and folds.
    values : list of ndarray of shape (n_volumes, n_rois)
        Values of all volumes by fold.

    Returns
    -------
    collected : ndarray, shape (n_volumes, n_rois)
        NaN in rows that no fold tests.
    """
    collected = np.full(study.y.shape, np.nan)
    for (_, test), of_fold in zip(study.folds, values, strict=True):
        collected[test] = of_fold[test]
    return collected


def predict_from_past(study):
    """Predict each region from its own last volumes, by least squares.

    A measured volume predicts the next one, whatever drives both, so this is no model of EEG.

    Parameters
    ----------
    study : Study
        Samples and folds.

    Returns
    -------
    y_pred : ndarray, shape (n_volumes, n_rois)
        NaN in rows that no fold tests.
    """
    past = np.tile(study.y.mean(axis=0), (_N_PAST + 1, len(study.y), 1))
    past[-1] = 1.0
    for run in study.runs:
        for k in range(_N_PAST):
            past[k, run[k + 1 :]] = study.y[run[: -k - 1]]
    y_pred = np.full(study.y.shape, np.nan)
    for region, bold in enumerate(study.y.T):
        own = past[:, :, region].T
        for train, test in study.folds:
            y_pred[test, region] = own[test] @ np.linalg.lstsq(own[train], bold[train])[0]
    return y_pred
