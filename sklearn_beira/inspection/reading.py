"""Everything that can be read from the branches of a model, in one place."""

import numpy as np

from .importance import branch_importance
from .network import at_regressor, owners, region_names, to_one, weights_of
from .patterns import branch_patterns, cross_spectrum, frequency_responses
from .responses import delay_kernels, differentiate


def read_branches(model, X, *, method="psd", importance="leave_out"):
    """Read the branches of a fitted model: scalp maps, spectra, delays and importance.

    Parameters
    ----------
    model : BEIRARegressor, Pipeline that ends in one, or search over these
        Fitted model.
    X : EEGWindows or ndarray of shape (n_samples, n_channels, n_times)
        EEG that the model can predict from, best the training EEG.
    method : {"psd", "amplitude"}
        Kind of frequency pattern, as in :func:`branch_patterns`.
    importance : {"leave_out", "gradient"}
        What branches are ranked by, as in :func:`branch_importance`. The paper ranks by
        "gradient", which branches that cancel each other may lead.

    Returns
    -------
    branches : Bunch
        The entries of :func:`branch_patterns`, and

        - ``lowpass_responses`` (n_filters, n_frequencies), what smooths the envelopes, scaled to a
          maximum of 1: the low-pass of "autoencoder", for "compact" the mean over a segment, NaN
          for a network of your own with neither;
        - ``importance`` (n_rois, n_filters) of :func:`branch_importance`, relative to the region's
          largest;
        - ``delay_kernels`` (n_rois, n_filters, n_lags), the response of the prediction to a
          branch, and its ``lags`` (n_lags,), the time in s by which BOLD follows the EEG;
        - ``regions`` (n_filters,), the number of the region that owns each branch, -1 where
          regions share them;
        - ``region_names``, ``ch_names`` and ``info`` (both None for arrays).

    See Also
    --------
    branch_envelopes : The envelopes over time.
    match_branches : Compare the branches of several fits.
    maps_of_random_weights : Compare with models that have learned nothing.

    Notes
    -----
    A delay kernel is the change of the region's prediction, in units of the SD of the training
    BOLD, per second of a doubling of the branch's power ("autoencoder": of its mean rectified
    signal),

    .. math:: h_{r,k}(\\tau) = \\frac{u_k}{\\Delta} \\operatorname{mean}
              \\frac{\\partial \\hat y_r(t)}{\\partial e_k(t - \\tau)}

    over windows, where values of the envelope :math:`e_k` come every :math:`\\Delta` seconds and
    :math:`u_k` is what a doubling adds to it. Of "compact" that is the kernel it has learned. Where
    the data say little, it stays near the response that the model expects: it proves nothing by
    looking like one. The kernel of a network that is not linear in the envelopes is its mean
    response to small changes.

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
        branches.importance = to_one(found.activation)
    else:
        branches.importance = to_one(branch_importance(regressor, X, method=importance))
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
    return to_one(frequency_responses(taps, frequencies, sfreq))
