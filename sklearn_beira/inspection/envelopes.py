"""Envelopes of the branches over a recording."""

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import Bunch

from .network import at_regressor, to_array
from .responses import steps_of


def branch_envelopes(model: BaseEstimator, X) -> Bunch:
    """Compute the envelope of every branch over the recordings.

    Each continuous stretch of a recording is filtered as a whole. The values equal those in the
    windows, except within half a FIR filter of the ends of a window.

    Parameters
    ----------
    model : BEIRARegressor, Pipeline that ends in one, or search over these
        Fitted model.
    X : EEGWindows, mne.Epochs or ndarray of shape (n_volumes, n_channels, n_times)
        EEG that the model can predict from.

    Returns
    -------
    envelopes : Bunch
        Lists with one entry per continuous stretch:

        - ``envelopes`` (n_filters, n_values); for "compact" the power relative to its mean in
          training, minus 1;
        - ``times`` (n_values,), the center of the segment of each value, in s from the start of the
          recording;
        - ``groups``, the number of the recording. Each epoch of an epoched array is a recording.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_beira import BEIRARegressor, Compact, EEGWindows
    >>> from sklearn_beira.inspection import branch_envelopes
    >>> rng = np.random.default_rng(0)
    >>> eeg, y = rng.standard_normal((40, 4, 400)), rng.standard_normal((40, 2))
    >>> X = EEGWindows.from_array(eeg, sfreq=100.0)
    >>> model = BEIRARegressor(Compact(n_branches=3), verbose=False).fit(X, y)
    >>> found = branch_envelopes(model, X)
    >>> found.envelopes[0].shape, found.times[0]
    ((6, 6), array([0.75, 1.25, 1.75, 2.25, 2.75, 3.25]))
    """
    regressor, X = at_regressor(model, X)
    recordings = X.recordings
    network = regressor.network_.eval()
    step, margin = steps_of(network.branches)
    found = Bunch(envelopes=[], times=[], groups=[])
    for k, start, stop in X.stretches():
        eeg = np.array(recordings[k][:, start:stop], dtype=np.float32) / regressor.eeg_scale_
        with torch.no_grad():
            values = network.branches(torch.from_numpy(eeg)[None].to(regressor.device_))[0]
        # Segments are counted from the end, as in windows.
        ago = margin + (np.arange(values.shape[1])[::-1] + 0.5) * step
        found.envelopes.append(to_array(values))
        found.times.append((stop - ago) / X.sfreq)
        found.groups.append(k)
    return found
