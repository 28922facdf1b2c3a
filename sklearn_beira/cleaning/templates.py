"""Templates of an artifact that comes again: weighted sums of its other occurrences."""

import numpy as np


def template_weights(gram: np.ndarray, ridge: float) -> np.ndarray:
    """Find the weights with which all other cycles predict each cycle.

    Ridge regression that leaves out one cycle at a time; all of them follow from one inverse.

    Parameters
    ----------
    gram : ndarray, shape (n_cycles, n_cycles)
        Products of the cycles, in a band in which the artifact exceeds the EEG.
    ridge : float
        Penalty, relative to the mean power of a cycle.

    Returns
    -------
    weights : ndarray, shape (n_cycles, n_cycles)
        Weights, 0 on the diagonal: ``weights @ cycles`` are the templates.
    """
    n = len(gram)
    inverse = np.linalg.inv(gram + ridge * np.trace(gram) / n * np.eye(n))
    weights = -inverse / np.diag(inverse)[:, np.newaxis]
    np.fill_diagonal(weights, 0.0)
    return weights
