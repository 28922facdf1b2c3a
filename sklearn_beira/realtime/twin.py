"""BoldTwin: a fitted model that predicts BOLD while EEG is recorded. No network is in it."""

import warnings
from collections.abc import Sequence
from numbers import Real

import mne
import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from .._utils.estimators import chosen, parts_of
from .._utils.regions import numbered
from .._utils.warn import warn_user
from ..eeg import EEGFilter, EEGWindows, SubjectAligner, Windower
from ..eeg.checks import check_piece
from .quality import Quality


class BoldTwin:
    """Predict BOLD from EEG as it arrives, with a fitted model.

    The steps of the model itself do the work: its causal filter and its alignment of people go on
    from piece to piece, and what follows them predicts one window at a time. Pieces of any length,
    from one sample to the whole recording, give the same predictions to the last bit.

    Parameters
    ----------
    model : Pipeline or search
        Fitted: an :class:`EEGFilter` with ``causal=True``, possibly a :class:`SubjectAligner`
        without ``channels``, a :class:`Windower` and any model. Of a search, the best estimator is
        used.
    sfreq : float
        Sampling rate of the EEG that will come, in Hz.
    step : float
        Time between predictions in s, such as the repetition time: they are for the moments 0,
        ``step``, ``2 * step``, … after the first sample, from the first full window on.
    subject : str, int or None
        One of the people that the model knows (:class:`SubjectRegressor`); None is a new person.
    regions : list of str or None
        Names of the regions; None takes those that the model has seen in ``fit``, if it keeps them
        (models of scikit-learn do not), or "ROI 0", "ROI 1", ….
    bridge : float
        Longest gap in s that is bridged, by a straight line (:meth:`skip`).
    half_life : float
        Time in s after which EEG counts half for the alignment of people.

    Attributes
    ----------
    sfreq : float
        Sampling rate of the EEG in Hz.
    ch_names : list of str or None
        Channels that the EEG must have, in this order.
    region_names : list of str
        Regions that are predicted.
    reach : float
        How far back a prediction needs EEG, in s.
    latency : float
        Time in s from the moment that a prediction is for until it can be made: the delay of the
        filter minus that of the window. Negative for models that predict ahead.
    quality : list of float
        For each prediction of the last :meth:`push`, the share of its window that is neither
        bridged, nor flat, nor four times louder or fainter than usual, from 0 to 1. It goes by
        whole seconds of single channels. A flat channel is one whose EEG, as pushed, does not
        change at all. Usual is the median of the channel in the same window and, over all
        channels, the training EEG, if the model knows how loud it was (:class:`BEIRARegressor`
        does). Else EEG that is too loud or too faint for the whole window is not seen.
    n_seen : int
        Samples that were pushed or skipped.

    Raises
    ------
    ValueError
        If the model needs later EEG, such as zero-phase filters or windows that end after the
        volume, if its steps are others than those above, if it does not know the person, or if
        names of regions are missing or not unique.

    See Also
    --------
    EEGFilter : ``causal=True`` makes a model that can run live.
    save_model : Keep the model from the scanner for later sessions.

    Notes
    -----
    A prediction for time t equals that of ``model.predict`` for a volume at t, from its own window
    alone. Two kinds of models have seen a little more in training. Features that filter within the
    window (:class:`BandPower` and the baselines) reflect EEG at its ends, where recordings go on.
    The alignment of people learns as it runs, from the past only.

    A window is little work, which one thread does fastest: set ``OMP_NUM_THREADS=1`` before Python
    starts, or push within ``threadpoolctl.threadpool_limits(1)``, as :func:`run_live` does.

    Examples
    --------
    >>> from sklearn.pipeline import Pipeline
    >>> from sklearn_beira import BoldTwin, EEGFilter, align, make_band_power_ridge
    >>> from sklearn_beira.datasets import make_eeg_fmri
    >>> study = make_eeg_fmri(duration=120.0, n_channels=6, n_rois=2, random_state=0)
    >>> X, y = align(study.raws, study.bolds, trigger="mri", tmin=-20.0, verbose="error")
    >>> ridge = make_band_power_ridge(20.0).steps
    >>> model = Pipeline([("filter", EEGFilter(causal=True)), *ridge]).fit(X, y)
    >>> twin = BoldTwin(model, sfreq=250.0, step=2.0)
    >>> for start in range(0, 6000, 100):
    ...     for time, bold in twin.push(X.recordings[0][:, start : start + 100]):
    ...         print(time, bold.shape)
    20.0 (2,)
    22.0 (2,)
    """

    def __init__(
        self,
        model: BaseEstimator,
        sfreq: float,
        *,
        step: float = 1.0,
        subject: str | int | None = None,
        regions: Sequence[str] | None = None,
        bridge: float = 0.5,
        half_life: float = 120.0,
    ):
        for name, value in (("sfreq", sfreq), ("step", step), ("half_life", half_life)):
            if not (isinstance(value, Real) and 0 < value < np.inf):
                raise ValueError(f"{name} must be a number above 0, got {value!r}.")
        if not (isinstance(bridge, Real) and 0 <= bridge < np.inf):
            raise ValueError(f"bridge must be a time in s of at least 0, got {bridge!r}.")
        parts, names = examine(model, subject, regions)
        self._filter, self._aligner, self._windower, self._tail = parts
        self.sfreq, self.step, self._subject = float(sfreq), float(step), subject
        self.bridge, self._half_life = float(bridge), float(half_life)
        self.ch_names = self._filter.ch_names_in_
        stream = self._filter.stream(self.sfreq)
        self._rate, self.latency = stream.sfreq, stream.delay - self._windower.delay
        self._tmin = -self._windower.delay - self._windower.duration
        self.reach = -self._tmin
        self._n_times = round((-self._windower.delay - self._tmin) * self._rate)
        self._info = None
        if self.ch_names is not None:
            self._info = mne.create_info(list(self.ch_names), self._rate, "eeg")
        if self._aligner is not None:
            self._block = max(round(self._aligner.window * self._rate), 1)
        scales = [p.eeg_scale_ for p in parts_of(self._tail) if hasattr(p, "eeg_scale_")]
        self._scale = np.median(scales) if scales else None  # of several people, the middle
        n_rois = self._rehearse()
        self.region_names = numbered(n_rois) if names is None else names
        if len(self.region_names) != n_rois:
            raise ValueError(
                f"the model predicts {n_rois} regions, but regions has {len(self.region_names)} "
                f"names."
            )
        self.reset()

    def push(self, eeg: ArrayLike) -> list[tuple[float, np.ndarray]]:
        """Take the next EEG, and predict what it completes.

        Parameters
        ----------
        eeg : array-like, shape (n_channels, n_times)
            EEG in V that follows the last piece.

        Returns
        -------
        predictions : list of tuple, (time, bold)
            Moment in s from the first sample, and predicted BOLD (n_rois,) in the unit of
            ``model.predict``; empty if no window was completed.

        Raises
        ------
        ValueError
            If the number of channels differs, or if the EEG holds NaN or infinite values. The piece
            is then ignored.
        """
        eeg = check_piece(eeg, self._filter.n_features_in_, self.ch_names)
        self.quality, found = [], []
        if not eeg.shape[1]:
            return found
        if self._n_missing:
            found += self._run(self._line_to(eeg[:, :1]), bridged=True)
        self.n_seen += eeg.shape[1]
        return found + self._run(eeg)

    def skip(self, n_times: int) -> None:
        """Say that samples were lost between the last piece and the next.

        Parameters
        ----------
        n_times : int
            Number of lost samples.

        Warns
        -----
        UserWarning
            If the gap is longer than ``bridge``: the filter starts anew, and predictions go on when
            a window is full.
        """
        if n_times < 0 or n_times != int(n_times):
            raise ValueError(f"n_times must be a whole number of at least 0, got {n_times!r}.")
        self.n_seen += int(n_times)
        if self._quality.last is None:  # nothing to go on from
            self._start()
            return
        self._n_missing += int(n_times)
        lost = self._n_missing / self.sfreq
        if lost > self.bridge:
            self._start()
            warn_user(
                f"{lost:.2f} s of EEG are missing; predictions go on in "
                f"{self._windower.duration:g} s."
            )

    def reset(self) -> None:
        """Forget all EEG; time starts anew with the next sample."""
        self.n_seen, self._next, self.quality = 0, 0, []
        self._alignment = None
        if self._aligner is not None:
            self._alignment = self._aligner.stream(self._rate, self._half_life)
        self._start()

    # -- inside ---------------------------------------------------------------------------------
    def _start(self):
        """Start the filter and the window anew."""
        self._stream = self._filter.stream(self.sfreq)
        self._origin = self.n_seen / self.sfreq  # time of the first sample
        self._n, self._n_missing = 0, 0
        self._quality = Quality(self.sfreq, self._rate, self._scale)
        self._kept = np.zeros((self._filter.n_features_in_, 0), np.float32)
        self._pieces = []  # since the last window, or that are not aligned for good

    def _line_to(self, first):
        """EEG in place of what is missing."""
        n, last = self._n_missing, self._quality.last
        self._n_missing = 0
        return last + (first - last) * (np.arange(1, n + 1) / (n + 1))

    def _run(self, eeg, bridged=False):
        """Filter, and predict at the ends of windows."""
        self._quality.watch(eeg, bridged)
        eeg, found = self._stream.transform(eeg), []
        while eeg.shape[1]:
            if self._alignment is not None and self._pieces and not self._n % self._block:
                # Aligned by the map so far, which is then renewed: after predictions, as it takes
                # longer than they.
                self._keep(self._alignment.transform(np.concatenate(self._pieces, axis=1)))
            # Stops are the same for pieces of any length, and so are all shapes from here on.
            start, stop = self._window_at(self._next * self.step)
            n_left = stop - self._n
            if self._alignment is not None:
                n_left = min(n_left, self._block - self._n % self._block)
            part, eeg = eeg[:, : max(n_left, 0)], eeg[:, max(n_left, 0) :]
            self._n += part.shape[1]
            if part.shape[1]:
                self._pieces.append(part)
            if self._n >= stop:
                if start >= 0:
                    found.append((self._next * self.step, self._predict()))
                self._next += 1
        return found

    def _window_at(self, time):
        """First sample and end of the window of a moment, rounded as EEGWindows does."""
        start = round((time - self._origin + self._tmin) * self._rate)
        return start, start + self._n_times

    def _keep(self, new):
        kept = np.concatenate([self._kept[:, -self._n_times :], new], axis=1, dtype=np.float32)
        self._kept, self._pieces = kept[:, -self._n_times :], []

    def _predict(self):
        """Predict from the window that ends now."""
        if self._alignment is None:
            if self._pieces:
                self._keep(np.concatenate(self._pieces, axis=1))
            window = self._kept
        else:
            parts = [self._kept]
            if self._pieces:
                parts.append(self._alignment.map_ @ np.concatenate(self._pieces, axis=1))
            window = np.concatenate(parts, axis=1, dtype=np.float32)[:, -self._n_times :]
        self.quality.append(self._quality.of(window, self._n))
        return self._predict_window(window)

    def _predict_window(self, window):
        subjects = None if self._subject is None else {0: self._subject}
        X = EEGWindows._of_epochs(
            np.ascontiguousarray(window)[np.newaxis],
            self._rate,
            ch_names=self.ch_names,
            info=self._info,
            tmax=-self._windower.delay,
        )
        X._subjects = subjects
        return np.asarray(self._tail.predict(X), dtype=float).reshape(-1)

    def _rehearse(self):
        """Predict from noise: what does not work is said now, and the first push is not slow."""
        n_channels = self._filter.n_features_in_
        if self._aligner is not None:
            n_channels = self._aligner.n_features_in_
        noise = np.random.default_rng(0).standard_normal((n_channels, self._n_times))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the size of the noise
            try:
                return len(self._predict_window((1e-5 * noise).astype(np.float32)))
            except ValueError as error:
                raise ValueError(f"the model cannot predict a single window: {error}") from error


def examine(model, subject=None, regions=None):
    """Refuse what cannot run live; return the parts of a model, and its regions if it knows them.

    Parameters
    ----------
    model, subject, regions
        As of :class:`BoldTwin`.

    Returns
    -------
    parts : tuple
        Filter, alignment or None, window, and the steps from the window on.
    names : list of str or None
        Names of the regions.
    """
    model = chosen(model)
    check_is_fitted(model)
    parts = _split(model)
    last = parts[-1][-1]
    people = getattr(last, "people_", None)
    if subject is not None and people is None:
        raise ValueError(f"{type(last).__name__} knows no people; leave subject={subject!r} out.")
    if subject is not None and str(subject) not in people:
        raise ValueError(
            f"the model does not know {subject!r}; it knows {', '.join(people)}. Leave subject out "
            f"for a new person."
        )
    if isinstance(regions, str):
        raise ValueError(f"regions must be a list of names, got {regions!r}.")
    names = getattr(last, "region_names_", None) if regions is None else regions
    if names is None:
        return parts, None
    names = list(names)
    if len({*names}) < len(names):
        raise ValueError(f"names of regions must differ, got {', '.join(map(str, names))}.")
    return parts, names


def _split(model):
    """Filter, alignment, window and the steps from the window on, of a fitted model."""
    parts = list(_steps(model))
    if not isinstance(parts[0], EEGFilter):
        raise ValueError(
            f"the first step of the model must be EEGFilter(..., causal=True), which says how the "
            f"EEG of the stream is filtered, but it is {type(parts[0]).__name__}; put one in front "
            f"and fit again."
        )
    if not parts[0].is_causal:
        raise ValueError(
            "the model has a zero-phase filter, which needs later EEG; fit the model with "
            "EEGFilter(..., causal=True)."
        )
    at = 2 if len(parts) > 1 and isinstance(parts[1], SubjectAligner) else 1
    aligner = parts[1] if at == 2 else None
    if aligner is not None and aligner.channels is not None:
        raise ValueError(
            "SubjectAligner(channels=[...]) maps from other electrodes than those of the model, "
            "which cannot run live; fit with channels=None to EEG of the electrodes of the session."
        )
    window = parts[at] if len(parts) > at else None
    if not isinstance(window, Windower) or window.duration is None:
        raise ValueError(
            "the model needs a Windower with a duration behind the filter (or SubjectAligner), "
            "which says what EEG a prediction is made from; put one there and fit again."
        )
    if window.delay < 0:
        raise ValueError(
            f"the windows end {-window.delay:g} s after the volume, so that the model needs later "
            f"EEG; fit it with a Windower whose delay is at least 0."
        )
    tail = Pipeline([(f"step {k}", part) for k, part in enumerate(parts[at:])])
    for part in parts_of(tail):
        if isinstance(part, EEGFilter | SubjectAligner):
            raise ValueError(
                f"{type(part).__name__} within the model starts anew in each window; put it in "
                f"front of the model, as the first step of a Pipeline, and fit again."
            )
    return parts[0], aligner, window, tail


def _steps(model):
    """Yield the steps of a Pipeline, and of those within it."""
    if not isinstance(model, Pipeline):
        yield model
        return
    for _, step in model.steps:
        if step not in (None, "passthrough"):
            yield from _steps(step)
