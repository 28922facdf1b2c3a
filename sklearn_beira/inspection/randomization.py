"""Sanity check: compare the maps of a model with those of copies with shuffled weights."""

from copy import deepcopy
from numbers import Integral

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import Bunch, check_random_state

from .importance import branch_importance
from .network import at_regressor, region_names, regressor_of, weights_of
from .patterns import abs_cosines, branch_patterns, cross_spectrum, overlaps


def randomize_branches(
    model: BaseEstimator, *, random_state: int | np.random.RandomState | None = None
) -> BaseEstimator:
    """Copy a fitted model and shuffle the weights of its network.

    The values in each array of weights are shuffled (spatial filters, FIR filters, kernels and
    later layers), as in the model randomization test of Adebayo et al. [1]_.

    Parameters
    ----------
    model : BEIRARegressor, Pipeline that ends in one, or search over these
        Fitted model; it is not changed.
    random_state : int, RandomState instance or None
        Seed.

    Returns
    -------
    model : estimator
        Copy with shuffled weights.

    See Also
    --------
    maps_of_random_weights : Compare the maps of a model with those of such copies.

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
    model = deepcopy(model)
    network = regressor_of(model).network_
    with torch.no_grad():
        for weights in network.parameters():
            order = torch.from_numpy(rng.permutation(weights.numel())).to(weights.device)
            weights.copy_(weights.flatten()[order].view_as(weights))
    return model


def maps_of_random_weights(
    model: BaseEstimator,
    X,
    *,
    n_surrogates: int = 10,
    method: str = "psd",
    random_state: int | np.random.RandomState | None = None,
) -> Bunch:
    r"""Compare the maps of a model with those of copies with shuffled weights.

    Patterns depend on weights and on the EEG, and the EEG alone can produce plausible maps. A map
    reflects what was learned only if it changes when the weights are shuffled [1]_. For the most
    important branch of each region, the similarities of pattern and spectrum before and after are

    .. math:: |\cos(a, a')|, \qquad \sum_f \min(\tilde g(f), \tilde g'(f))

    with the spatial pattern a and the frequency pattern :math:`\tilde g`, which is scaled to a sum
    of 1.

    Parameters
    ----------
    model : BEIRARegressor, Pipeline that ends in one, or search over these
        Fitted model.
    X : EEGWindows, mne.Epochs or ndarray of shape (n_volumes, n_channels, n_times)
        EEG that the model can predict from, preferably the training EEG.
    n_surrogates : int
        Number of copies with shuffled weights.
    method : {"psd", "amplitude"}
        Kind of frequency pattern, as in :func:`branch_patterns`.
    random_state : int, RandomState instance or None
        Seed.

    Returns
    -------
    similarity : Bunch
        - ``spatial`` and ``spectral`` (n_surrogates, n_rois), similarities from 0 to 1;
        - ``branches`` (n_rois,), the numbers of the branches compared;
        - ``patterns`` (n_surrogates, n_rois, n_channels) and ``frequency_patterns`` (n_surrogates,
          n_rois, n_frequencies) of the copies, and ``frequencies``;
        - ``region_names``.

    Notes
    -----
    If the similarities are as large as those between fits to different data (``stability`` of
    :func:`match_branches`), the maps show the EEG and not the model.

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
        raise ValueError(f"n_surrogates must be an integer of at least 1, got {n_surrogates!r}.")
    regressor, X = at_regressor(model, X)
    rng = check_random_state(random_state)
    best = branch_importance(regressor, X).argmax(axis=1)
    frequencies, spectrum = cross_spectrum(X)

    def read(one):
        filters, taps = (w[best] for w in weights_of(one.network_))
        return branch_patterns(filters, taps, spectrum, frequencies, X.sfreq, method=method)

    learned = read(regressor)
    copies = [read(randomize_branches(regressor, random_state=rng)) for _ in range(n_surrogates)]
    maps = np.array([copy.patterns for copy in copies])
    spectra = np.array([copy.frequency_patterns for copy in copies])
    return Bunch(
        spatial=np.array([np.diag(abs_cosines(learned.patterns, m)) for m in maps]),
        spectral=np.array([np.diag(overlaps(learned.frequency_patterns, s)) for s in spectra]),
        branches=best,
        patterns=maps,
        frequency_patterns=spectra,
        frequencies=frequencies,
        region_names=region_names(regressor),
    )
