"""The envelopes of the branches over a recording."""

import numpy as np
import torch
from sklearn.utils import Bunch

from ..eeg.windows import EEGWindows
from .network import at_regressor, sampling_rate
from .responses import steps_of


def branch_envelopes(model, X, *, sfreq=None):
    """Follow the envelope of every branch over the EEG.

    Stretches of a recording are read in one pass, so that no window has edges of its own: the
    values are those that the windows give, away from the half FIR filter at their ends.

    Parameters
    ----------
    model : BEIRARegressor, Pipeline that ends in one, or search over these
        Fitted model.
    X : EEGWindows or ndarray of shape (n_samples, n_channels, n_times)
        EEG that the model can predict from.
    sfreq : float or None
        Sampling rate in Hz of a plain array where the regressor reads it; None takes what the
        regressor or the EEGWindows know.

    Returns
    -------
    envelopes : Bunch
        Lists with an entry per continuous stretch: ``envelopes`` (n_filters, n_values), of
        "compact" the power relative to its mean in training, minus 1; ``times`` (n_values,), the
        center of what each value stands for, in s from the start of its recording; ``groups``,
        the number of the recording. Of a plain array every window is a recording.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_beira import BEIRARegressor
    >>> from sklearn_beira.inspection import branch_envelopes
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.standard_normal((40, 4, 400)), rng.standard_normal((40, 2))
    >>> model = BEIRARegressor(n_branches=3, array_sfreq=100.0, verbose=False).fit(X, y)
    >>> found = branch_envelopes(model, X)
    >>> found.envelopes[0].shape, found.times[0]
    ((6, 6), array([0.75, 1.25, 1.75, 2.25, 2.75, 3.25]))
    """
    regressor, X = at_regressor(model, X)
    sfreq = sampling_rate(regressor, X, sfreq)
    if isinstance(X, EEGWindows):
        stretches = X.stretches()
    else:
        stretches = [(i, 0, X.shape[2]) for i in range(len(X))]
    network = regressor.net_.module_.network.eval()
    step, margin = steps_of(network.branches)
    found = Bunch(envelopes=[], times=[], groups=[])
    for k, start, stop in stretches:
        source = X.recordings[k] if isinstance(X, EEGWindows) else X[k]
        eeg = np.array(source[:, start:stop], dtype=np.float32) / regressor.eeg_scale_
        with torch.no_grad():
            values = network.branches(torch.from_numpy(eeg)[None].to(regressor.device_))[0]
        # Counted from the end, as in windows.
        ago = margin + (np.arange(values.shape[1])[::-1] + 0.5) * step
        found.envelopes.append(values.cpu().numpy().astype(float))
        found.times.append((stop - ago) / sfreq)
        found.groups.append(k)
    return found
