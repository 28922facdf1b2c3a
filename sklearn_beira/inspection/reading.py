"""Read maps, spectra, delays and importances of branches together."""

from functools import partial

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.preprocessing import normalize
from sklearn.utils import Bunch

from .held_out import score_branches
from .importance import leave_out
from .network import Envelopes, at_regressor, owners, region_names, to_array, weights_of
from .patterns import SAME, branch_patterns, cross_spectrum, frequency_responses, similarity
from .responses import delay_kernels, differentiate


def read_branches(
    model: BaseEstimator,
    X,
    y=None,
    *,
    cv=None,
    estimators: list | None = None,
    nuisance_model: BaseEstimator | None = None,
    method: str = "psd",
    importance: str = "leave_out",
) -> Bunch:
    r"""Read the branches of a fitted model: scalp maps, spectra, delays and importance.

    Branches of a region with the same map and spectrum (a similarity of at least .8 as in
    :func:`match_branches`) are read as one: the most important of them gets the sum of their delay
    kernels and their joint importance, the others get 0.

    Parameters
    ----------
    model : BEIRARegressor, Pipeline that ends in one, or search over these
        Fitted model.
    X : EEGWindows, mne.Epochs or ndarray of shape (n_volumes, n_channels, n_times)
        EEG that the model can predict from, preferably the training EEG.
    y : array-like of shape (n_volumes,) or (n_volumes, n_rois), or None
        BOLD. If given, the model is fitted in the folds of ``cv``, and every branch is tested on
        volumes that did not train it. If X has nuisance signals, it is tested on BOLD minus their
        out-of-fold prediction.
    cv : cross-validation splitter, int or None
        Folds, as in :func:`~sklearn_beira.compare`; None stands for ``BlockedKFold(5)``. Only used
        with ``y``.
    estimators : list of estimator or None
        Fitted models of these folds, as in ``comparison.estimators`` of
        :func:`~sklearn_beira.compare`; None fits them.
    nuisance_model : estimator or None
        Model of the nuisance signals of X, as the model "nuisance" of
        :func:`~sklearn_beira.compare`; None stands for
        :func:`~sklearn_beira.make_nuisance_ridge`.
    method : {"psd", "amplitude"}
        Kind of frequency pattern, as in :func:`branch_patterns`.
    importance : {"leave_out", "gradient"}
        Importance that ranks the branches, as in :func:`branch_importance`. The paper uses
        "gradient", which can be large for branches that cancel each other.

    Returns
    -------
    branches : Bunch
        The entries of :func:`branch_patterns`, and

        - ``merged_into`` (n_filters,), the number of the branch that each one is read with, its own
          number for most;
        - ``lowpass_responses`` (n_filters, n_frequencies), the frequency response of the filter
          that smooths the envelopes, scaled to a maximum of 1: the low-pass filter of
          "autoencoder", the mean over a segment of "compact", NaN for other networks;
        - ``importance`` (n_rois, n_filters) of :func:`branch_importance`, relative to the largest
          value of the region;
        - ``delay_kernels`` (n_rois, n_branches, n_lags), the response of the prediction to a
          branch, and ``lags`` (n_lags,), the time in s by which BOLD follows the EEG;
        - ``regions`` (n_filters,), the number of the region of each branch, or -1 if regions share
          branches;
        - ``region_names``, ``ch_names`` and ``info`` (the last two are None for arrays).

        With ``y``, arrays (n_rois, n_filters) show which branches to interpret. The branches of
        each fold are assigned to those of the model by similarity.

        - ``held_out``, the part of the out-of-fold r that the branch contributes,
          :math:`\mathrm{cov}(y, c_k) / (\mathrm{SD}(y)\,\mathrm{SD}(\hat y))` where
          :math:`c_k` is the out-of-fold prediction :math:`\hat y` minus that with the branch held
          at its mean;
        - ``p_held_out``, the one-sided p of the partial correlation of :math:`c_k` with y, given
          the other branches, by the effective number of volumes. The others do not include smaller
          copies (the absolute cosine of the maps, times the part of the smaller spectrum that lies
          under the other one, is at least .8). It is 1 with fewer than two volumes per branch;
        - ``stability``, the mean similarity of the branch to the one assigned to it in each fold;
        - ``p_region`` (n_rois,), the one-sided p of the out-of-fold r, corrected over regions;
        - ``supported``, true where ``p_region`` is at most .05, ``p_held_out`` at most .05,
          ``held_out`` at least .03 and ``stability`` at least .8, which are the ``criteria``.

    See Also
    --------
    branch_envelopes : Compute the envelopes over time.
    match_branches : Compare the branches of several fits.
    maps_of_random_weights : Compare with models whose weights are shuffled.

    Notes
    -----
    A delay kernel is the change of the prediction, in SD of the training BOLD, per second in which
    the power of the branch is doubled ("autoencoder": its mean rectified signal),

    .. math:: h_{r,k}(\tau) = \frac{u_k}{\Delta} \operatorname{mean}
              \frac{\partial \hat y_r(t)}{\partial e_k(t - \tau)}

    The mean is over windows, :math:`\Delta` is the interval between values of the envelope
    :math:`e_k`, and :math:`u_k` is the change of the envelope when the power is doubled. For
    "compact" this is the learned kernel. It starts from a typical hemodynamic response, and stays
    close to it if the data hold little information, so its shape alone is no evidence. For a
    network that is not linear in the envelopes, the kernel is the mean response to small changes.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_beira import BEIRARegressor, Compact, EEGWindows
    >>> from sklearn_beira.inspection import read_branches
    >>> rng = np.random.default_rng(0)
    >>> eeg, y = rng.standard_normal((40, 4, 400)), rng.standard_normal((40, 2))
    >>> X = EEGWindows.from_array(eeg, sfreq=100.0)
    >>> model = BEIRARegressor(Compact(n_branches=3), verbose=False).fit(X, y)
    >>> branches = read_branches(model, X)
    >>> branches.patterns.shape, branches.importance.shape, branches.delay_kernels.shape
    ((6, 4), (2, 6), (2, 6, 6))
    """
    if importance not in ("leave_out", "gradient"):
        raise ValueError(f"importance must be 'leave_out' or 'gradient', got {importance!r}.")
    regressor, at = at_regressor(model, X)
    network, sfreq = regressor.network_, at.sfreq
    frequencies, spectrum = cross_spectrum(at)
    branches = branch_patterns(*weights_of(network), spectrum, frequencies, sfreq, method=method)
    branches.lowpass_responses = _lowpass_responses(network.branches, frequencies, sfreq)
    batches = Envelopes(regressor, at)
    found = differentiate(batches)
    branches.regions = owners(network)
    branches.merged_into = _merge(branches, found.activation.max(axis=0))
    branches.lags, kernels = delay_kernels(network, found.gradient, found.level, sfreq, -at.tmax)
    branches.delay_kernels = _sums(kernels, branches.merged_into)
    if importance == "gradient":
        size = _sums(found.activation, branches.merged_into)
    else:
        size = leave_out(batches, branches.merged_into)
    branches.importance = normalize(size, norm="max")
    branches.region_names = region_names(regressor)
    branches.info = at.info
    branches.ch_names = regressor.ch_names_in_
    if y is not None:
        read = partial(read_branches, method=method, importance=importance)
        branches.update(score_branches(branches, model, X, y, cv, read, estimators, nuisance_model))
    return branches


def _merge(branches, importance):
    """Return the branch that each branch is read with: the most important one that is the same."""
    maps, spectra = branches.patterns, branches.frequency_patterns
    into = np.full(len(maps), -1)
    for region in np.unique(branches.regions):
        own = np.flatnonzero(branches.regions == region)
        same = similarity(maps[own], spectra[own], maps[own], spectra[own]) >= SAME
        for k in np.argsort(-importance[own], kind="stable"):
            if into[own[k]] < 0:
                into[own[same[k] & (into[own] < 0)]] = own[k]
                into[own[k]] = own[k]
    return into


def _sums(values, into):
    """Add up values (n_rois, n_filters, ...) of the branches that are read as one."""
    sums = np.zeros_like(values)
    for branch, first in enumerate(into):
        sums[:, first] += values[:, branch]
    return sums


def _lowpass_responses(branches, frequencies, sfreq):
    n_filters = len(branches.spatial)
    if hasattr(branches, "lowpass"):
        taps = to_array(branches.lowpass)
    elif hasattr(branches, "segment"):
        taps = np.full((n_filters, branches.segment), 1 / branches.segment)
    else:
        return np.full((n_filters, len(frequencies)), np.nan)
    return normalize(frequency_responses(taps, frequencies, sfreq), norm="max")
