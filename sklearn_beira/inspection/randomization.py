"""Sanity check: maps of a model whose weights are random must differ from what was learned."""

import copy
from numbers import Integral

import numpy as np
import torch
from sklearn.utils import Bunch, check_random_state

from .importance import branch_importance
from .network import at_regressor, region_names, regressor_of, weights_of
from .patterns import abs_cosines, branch_patterns, cross_spectrum, overlaps


def randomize_branches(model, *, random_state=None):
    """Copy a fitted model and put the weights of its network in random order.

    Every array of weights (spatial filters, FIR filters, kernels, layers behind them) keeps its
    values and loses their places, as in the model randomisation test of Adebayo et al. [1]_.

    Parameters
    ----------
    model : BEIRARegressor, Pipeline that ends in one, or search over these
        Fitted model; it stays as it is.
    random_state : int, RandomState instance or None
        Seed of the order.

    Returns
    -------
    model : BEIRARegressor or Pipeline
        A copy that has learned nothing.

    See Also
    --------
    maps_of_random_weights : Compares maps of the model with those of such copies.

    References
    ----------
    .. [1] Adebayo, Gilmer, Muelly, Goodfellow, Hardt, Kim (2018), Sanity checks for saliency maps,
       Advances in Neural Information Processing Systems 31.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_beira import BEIRARegressor, Compact, EEGWindows
    >>> from sklearn_beira.inspection import randomize_branches
    >>> rng = np.random.default_rng(0)
    >>> eeg, y = rng.standard_normal((40, 4, 400)), rng.standard_normal((40, 2))
    >>> X = EEGWindows.from_array(eeg, sfreq=100.0)
    >>> model = BEIRARegressor(Compact(n_branches=3), verbose=False).fit(X, y)
    >>> bool((randomize_branches(model, random_state=0).predict(X) == model.predict(X)).any())
    False
    """
    regressor_of(model)
    rng = check_random_state(random_state)
    model = copy.deepcopy(model)
    network = regressor_of(model).network_
    with torch.no_grad():
        for weights in network.parameters():
            order = torch.from_numpy(rng.permutation(weights.numel())).to(weights.device)
            weights.copy_(weights.flatten()[order].view_as(weights))
    return model


def maps_of_random_weights(model, X, *, n_surrogates=10, method="psd", random_state=None):
    r"""Compare the maps of a model with those of copies whose weights are random.

    Patterns are made of weights and of the EEG, and EEG alone makes maps that look like brains. A
    map shows what was learned as far as it is lost with the weights [1]_. Of each region's most
    important branch, before (a, g) and after,

    .. math:: |\cos(a, a')|, \qquad \sum_f \min(\tilde g(f), \tilde g'(f))

    with the spatial pattern a and the frequency pattern :math:`\tilde g`, scaled to a sum of 1.

    Parameters
    ----------
    model : BEIRARegressor, Pipeline that ends in one, or search over these
        Fitted model.
    X : EEGWindows or ndarray of shape (n_samples, n_channels, n_times)
        EEG that the model can predict from, best the training EEG.
    n_surrogates : int
        Copies, each with its own random order of weights.
    method : {"psd", "amplitude"}
        Kind of frequency pattern, as in :func:`branch_patterns`.
    random_state : int, RandomState instance or None
        Seed of the orders.

    Returns
    -------
    similarity : Bunch
        ``spatial`` and ``spectral`` (n_surrogates, n_rois), between 0 and 1, where 1 is the same map;
        ``branches`` (n_rois,), the numbers of the branches compared; ``patterns`` (n_surrogates, n_rois,
        n_channels) and ``frequency_patterns`` (n_surrogates, n_rois, n_frequencies) of the copies, with
        ``frequencies``; and ``region_names``.

    Notes
    -----
    Similarities near those between fits to different data (``stability`` of
    :func:`match_branches`) say that the map shows the EEG, not the model.

    References
    ----------
    .. [1] Adebayo, Gilmer, Muelly, Goodfellow, Hardt, Kim (2018), Sanity checks for saliency maps,
       Advances in Neural Information Processing Systems 31.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_beira import BEIRARegressor, Compact, EEGWindows
    >>> from sklearn_beira.inspection import maps_of_random_weights
    >>> rng = np.random.default_rng(0)
    >>> eeg, y = rng.standard_normal((40, 4, 400)), rng.standard_normal((40, 2))
    >>> X = EEGWindows.from_array(eeg, sfreq=100.0)
    >>> model = BEIRARegressor(Compact(n_branches=3), verbose=False).fit(X, y)
    >>> maps_of_random_weights(model, X, n_surrogates=5, random_state=0).spatial.shape
    (5, 2)
    """
    if not isinstance(n_surrogates, Integral) or n_surrogates < 1:
        raise ValueError(
            f"n_surrogates must be a whole number of at least 1, got {n_surrogates!r}."
        )
    regressor, X = at_regressor(model, X)
    rng = check_random_state(random_state)
    best = branch_importance(regressor, X).argmax(axis=1)
    frequencies, spectrum = cross_spectrum(X)

    def read(one):
        filters, taps = (w[best] for w in weights_of(one.network_))
        return branch_patterns(filters, taps, spectrum, frequencies, X.sfreq, method=method)

    learned = read(regressor)
    copies = [read(randomize_branches(regressor, random_state=rng)) for _ in range(n_surrogates)]
    return Bunch(
        spatial=np.array(
            [np.diag(abs_cosines(learned.patterns, drawn.patterns)) for drawn in copies]
        ),
        spectral=np.array(
            [
                np.diag(overlaps(learned.frequency_patterns, drawn.frequency_patterns))
                for drawn in copies
            ]
        ),
        branches=best,
        patterns=np.array([drawn.patterns for drawn in copies]),
        frequency_patterns=np.array([drawn.frequency_patterns for drawn in copies]),
        frequencies=frequencies,
        region_names=region_names(regressor),
    )
