"""Time as a predictor, which any model of drifting BOLD has to beat."""

from dataclasses import dataclass
from numbers import Integral
from typing import ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import TransformerMixin
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from ..eeg.base import EEGEstimator
from ..eeg.checks import check_eeg
from ..eeg.windows import EEGWindows


@dataclass(repr=False, eq=False)
class TimePolynomial(TransformerMixin, EEGEstimator):
    """Legendre polynomials of the time of each volume in its recording; EEG is not used.

    Time runs from -1 at the start of a recording to 1 at its end. Outside the times seen in
    ``fit`` the polynomials keep their nearest value, so that a model of them does not extrapolate
    to a test block at the end of a recording.

    Parameters
    ----------
    degree : int
        Degree of the highest polynomial. There is no constant, which the next model fits.

    Attributes
    ----------
    range_ : tuple of float, (first, last)
        Scaled times of the training volumes.
    n_features_in_ : int
        Number of channels.
    ch_names_in_ : list of str
        Their names.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_beira import align
    >>> from sklearn_beira.datasets import make_eeg_fmri
    >>> from sklearn_beira.features import TimePolynomial
    >>> study = make_eeg_fmri(duration=120.0, random_state=0)
    >>> X, y = align(study.raws, study.bolds, trigger="mri", verbose="error")
    >>> TimePolynomial(2).fit_transform(X).shape == (len(y), 2)
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        "degree": [Interval(Integral, 1, None, closed="left")]
    }

    degree: int = 3

    _reads = False

    def fit(self, X: EEGWindows, y: ArrayLike | None = None) -> Self:
        """Store the range of times.

        Parameters
        ----------
        X : EEGWindows
            Windows of continuous recordings.
        y : array-like, DataFrame or None
            Only checked: the index of a DataFrame from :func:`align` has to be that of X.

        Returns
        -------
        self : TimePolynomial
            Fitted.

        Raises
        ------
        ValueError
            If X is an epoched array, where the length of the recordings is unknown.
        """
        self._validate_params()
        time = self._scaled_time(X, reset=True, y=y)
        self.range_ = float(time.min()), float(time.max())
        return self

    def transform(self, X: EEGWindows) -> np.ndarray:
        """Compute the polynomials.

        Parameters
        ----------
        X : EEGWindows
            Windows of continuous recordings.

        Returns
        -------
        features : ndarray of shape (n_samples, degree)
            Legendre polynomials of degree 1 to ``degree``, between -1 and 1.
        """
        check_is_fitted(self)
        time = np.clip(self._scaled_time(X, reset=False), *self.range_)
        return np.polynomial.legendre.legvander(time, self.degree)[:, 1:]

    def get_feature_names_out(self, input_features: object = None) -> np.ndarray:
        """Return the names of the features, with their degree.

        Parameters
        ----------
        input_features : object
            Ignored.

        Returns
        -------
        names : ndarray of str
            For example ``"time 2"``.
        """
        check_is_fitted(self)
        return np.array([f"time {d}" for d in range(1, self.degree + 1)], dtype=object)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        return tags

    def _scaled_time(self, X, *, reset, y=None):
        X = check_eeg(self, X, reset=reset, y=y, reads=False)
        if X.epoched:
            raise ValueError(
                "X is an epoched array, where the length of the recordings is unknown; pass the "
                "EEGWindows that align returns."
            )
        lengths = X.lengths[X.source] / X.sfreq
        return np.clip(2.0 * X.times / lengths - 1.0, -1.0, 1.0)
