"""Sleep states: derived series of simultaneous EEG and fMRI that come with the package."""

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

FOLDER = Path(__file__).parent / "data"
FILE = FOLDER / "sleep_states.npz"
POWERS = ["SW", "delta", "theta", "alpha", "sigma", "beta"]
STATES = ["face", "maze", "prep_face", "prep_maze", "rest"]
T_R = 2.1


def load_sleep_states() -> Bunch:
    """Load the sleep states: band powers and decoded states of 12 people who slept in the scanner.

    EEG and fMRI were recorded at the same time [1]_. One row is one volume. The targets are the
    output of a decoder of whole-brain fMRI, not BOLD of regions. The data come with the package
    (CC0).

    Returns
    -------
    data : Bunch
        - ``X`` : DataFrame, shape (33689, 6), logarithms of EEG power in six bands, smoothed over
          some volumes;
        - ``y`` : DataFrame, shape (33689, 5), probabilities of five states, which sum to 1;
        - ``subjects`` : ndarray of str, shape (33689,), the person of each row, for
          ``LeaveOneGroupOut``;
        - ``times`` : ndarray, shape (33689,), onset of each volume in s from the first of the scan;
        - ``stages`` : ndarray of int, shape (33689,), sleep stage: 0 is wake, 1 to 3 are N1 to N3;
        - ``t_r`` : float, repetition time in s;
        - ``feature_names``, ``target_names`` : list of str, the columns of X and y;
        - ``DESCR`` : str, description, license and citation.

    References
    ----------
    .. [1] Sterpenich et al. (2021), Reward biases spontaneous neural reactivation during sleep,
       Nature Communications 12, 4162. Data set: ds003574, doi 10.18112/openneuro.ds003574.v1.0.2.

    Examples
    --------
    >>> from sklearn_beira.datasets import load_sleep_states
    >>> data = load_sleep_states()
    >>> data.X.shape, data.y.shape
    ((33689, 6), (33689, 5))
    >>> data.target_names
    ['face', 'maze', 'prep_face', 'prep_maze', 'rest']
    """
    with np.load(FILE, allow_pickle=False) as arrays:
        X = pd.DataFrame(arrays["powers"].astype(np.float64), columns=POWERS)
        y = pd.DataFrame(arrays["states"].astype(np.float64), columns=STATES)
        return Bunch(
            X=X,
            y=y,
            subjects=np.repeat(arrays["subjects"], arrays["n_volumes"]),
            times=(arrays["scans"] - 1) * T_R,
            stages=arrays["stages"].astype(int),
            t_r=T_R,
            feature_names=[*POWERS],
            target_names=[*STATES],
            DESCR=(FOLDER / "sleep_states.rst").read_text(encoding="utf-8"),
        )
