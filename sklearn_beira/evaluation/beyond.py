"""What a model of EEG predicts beyond nuisance signals."""

from dataclasses import replace

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, RegressorMixin, clone

from ..baselines.makers import make_nuisance_ridge
from .cross_validation import Runner, predict_all
from .study import Study

NUISANCE = "nuisance"


class BeyondNuisance(MetaEstimatorMixin, RegressorMixin, BaseEstimator):
    r"""A model of the part of BOLD that nuisance signals do not explain.

    .. math:: \hat y(X) = f(X), \qquad f \text{ fitted to } y - g(N)

    with the nuisance signals N of X and their ridge regression g, fitted to the same volumes.

    Parameters
    ----------
    model : estimator
        The model f.

    Attributes
    ----------
    model_, nuisance_ : estimator
        The fitted models f and g.
    """

    def __init__(self, model):
        self.model = model

    def fit(self, X, y):
        """Fit both models.

        Parameters
        ----------
        X : EEGWindows
            EEG with nuisance signals.
        y : ndarray, shape (n_volumes, n_rois) or (n_volumes,)
            BOLD.

        Returns
        -------
        self : BeyondNuisance
            Fitted.
        """
        self.nuisance_ = make_nuisance_ridge().fit(X, y)
        self.model_ = clone(self.model).fit(X, y - self.nuisance_.predict(X))
        return self

    def predict(self, X):
        """Predict the part of BOLD beyond the nuisance signals.

        Parameters
        ----------
        X : EEGWindows
            EEG.

        Returns
        -------
        y : ndarray, shape (n_volumes, n_rois) or (n_volumes,)
            Predicted BOLD.
        """
        return self.model_.predict(X)


def predict_beyond(models: dict, study: Study, runner: Runner) -> tuple[Study, dict, dict]:
    """Predict out of fold what nuisance signals leave of BOLD.

    Parameters
    ----------
    models : dict of str to estimator
        Models of EEG.
    study : Study
        Samples, with nuisance signals, and folds.
    runner : Runner
        Runs the fits.

    Returns
    -------
    beyond : Study
        The same samples; BOLD minus its out-of-fold prediction by the nuisance signals.
    predictions, facts : dict
        As those of :func:`~sklearn_beira.evaluation.cross_validation.predict_all`.
    """
    nuisance, _ = predict_all({NUISANCE: make_nuisance_ridge()}, study, runner)
    wrapped = {name: BeyondNuisance(model) for name, model in models.items()}
    predictions, facts = predict_all(wrapped, study, runner)
    left = study.y - np.nan_to_num(nuisance[NUISANCE])
    return replace(study, y=left), predictions, facts
