"""Predictions as tables that name regions and volumes."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from .._utils.estimators import chosen, last_step
from .._utils.regions import numbered
from ..eeg.windows import EEGWindows


def predict_frame(
    model: BaseEstimator, X: EEGWindows | ArrayLike, regions: Sequence[str] | None = None
) -> pd.DataFrame:
    """Predict BOLD as a table that names regions, recordings and times.

    Regressors return arrays, as all of scikit-learn, whose ``set_output`` is for transformers.

    Parameters
    ----------
    model : estimator
        Fitted regressor, Pipeline or search.
    X : EEGWindows or array-like, shape (n_volumes, ...)
        EEG, such as that of ``align(raw, trigger=...)``, without BOLD.
    regions : list of str or None
        Names of the regions, such as ``y.columns``. None takes those of the training BOLD, which
        regressors of this package remember; others have "ROI 0", ...

    Returns
    -------
    y : DataFrame of shape (n_volumes, n_rois)
        Predicted BOLD, in the unit of the training BOLD. Rows of EEGWindows are indexed by
        recording, by volume where it is known, and by time in s from the start of the recording.

    Examples
    --------
    >>> from sklearn_beira import align, make_band_power_ridge, make_eeg_fmri
    >>> from sklearn_beira.evaluation import predict_frame
    >>> study = make_eeg_fmri(duration=120.0, n_channels=4, n_rois=2, random_state=0)
    >>> timing = {"trigger": "mri", "tmin": -8.0, "verbose": "error"}
    >>> X, y = align(study.raws[0], study.bolds[0], **timing)
    >>> model = make_band_power_ridge(8.0).fit(X, y)
    >>> predicted = predict_frame(model, align(study.raws[0], **timing), y.columns)
    >>> predicted.index.names
    FrozenList(['recording', 'volume', 'time_s'])
    """
    y = np.asarray(model.predict(X))
    y = y.reshape(len(y), -1)
    if regions is None:
        regions = getattr(last_step(chosen(model)), "region_names_", None)
    if regions is None:
        regions = numbered(y.shape[1])
    index = None
    if isinstance(X, EEGWindows):
        levels = {"recording": X.groups, "volume": X.volumes, "time_s": X.times}
        if not X.has_times:
            del levels["time_s"]
        levels = {name: values for name, values in levels.items() if values is not None}
        index = pd.MultiIndex.from_arrays(list(levels.values()), names=list(levels))
    return pd.DataFrame(y, index, list(regions))
