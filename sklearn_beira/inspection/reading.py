"""Read maps, spectra, delays and importances of branches together."""

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.preprocessing import normalize
from sklearn.utils import Bunch

from .importance import branch_importance
from .network import at_regressor, owners, region_names, weights_of
from .patterns import branch_patterns, cross_spectrum, frequency_responses
from .responses import delay_kernels, differentiate


def read_branches(
    model: BaseEstimator, X, *, method: str = "psd", importance: str = "leave_out"
) -> Bunch:
    r"""Read the branches of a fitted model: scalp maps, spectra, delays and importance.

    Parameters
    ----------
    model : BEIRARegressor, Pipeline that ends in one, or search over these
        Fitted model.
    X : EEGWindows, mne.Epochs or ndarray of shape (n_volumes, n_channels, n_times)
        EEG that the model can predict from, preferably the training EEG.
    method : {"psd", "amplitude"}
        Kind of frequency pattern, as in :func:`branch_patterns`.
    importance : {"leave_out", "gradient"}
        Importance that ranks the branches, as in :func:`branch_importance`. The paper uses
        "gradient", which can be large for branches that cancel each other.

    Returns
    -------
    branches : Bunch
        The entries of :func:`branch_patterns`, and

        - ``lowpass_responses`` (n_filters, n_frequencies), the frequency response of the filter
          that smooths the envelopes, scaled to a maximum of 1: the low-pass filter of
          "autoencoder", the mean over a segment of "compact", NaN for other networks;
        - ``importance`` (n_rois, n_filters) of :func:`branch_importance`, relative to the largest
          value of the region;
        - ``delay_kernels`` (n_rois, n_filters, n_lags), the response of the prediction to a
          branch, and ``lags`` (n_lags,), the time in s by which BOLD follows the EEG;
        - ``regions`` (n_filters,), the number of the region of each branch, or -1 if regions share
          branches;
        - ``region_names``, ``ch_names`` and ``info`` (the last two are None for arrays).

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
    regressor, X = at_regressor(model, X)
    sfreq = X.sfreq
    network = regressor.network_
    frequencies, spectrum = cross_spectrum(X)
    branches = branch_patterns(*weights_of(network), spectrum, frequencies, sfreq, method=method)
    branches.lowpass_responses = _lowpass_responses(network.branches, frequencies, sfreq)
    found = differentiate(regressor, X)
    if importance == "gradient":
        branches.importance = found.activation
    else:
        branches.importance = branch_importance(regressor, X, method=importance)
    branches.importance = normalize(branches.importance, norm="max")
    branches.lags, branches.delay_kernels = delay_kernels(
        network, found.gradient, found.level, sfreq, -X.tmax
    )
    branches.regions = owners(network)
    branches.region_names = region_names(regressor)
    branches.info = X.info
    branches.ch_names = regressor.ch_names_in_
    return branches


def _lowpass_responses(branches, frequencies, sfreq):
    n_filters = len(branches.spatial)
    if hasattr(branches, "lowpass"):
        taps = branches.lowpass.detach().cpu().numpy().astype(float)
    elif hasattr(branches, "segment"):
        taps = np.full((n_filters, branches.segment), 1 / branches.segment)
    else:
        return np.full((n_filters, len(frequencies)), np.nan)
    return normalize(frequency_responses(taps, frequencies, sfreq), norm="max")
