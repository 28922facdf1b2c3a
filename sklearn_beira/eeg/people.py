"""Alignment of people: one map of channels per person, found in EEG alone."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from numbers import Integral, Real
from os import PathLike
from typing import ClassVar

import joblib
import mne
import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike
from scipy.signal import butter, sosfilt
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from . import cache
from .base import EEGTransformer
from .cache import process_recordings
from .channels import locate
from .checks import check_eeg, check_piece
from .maps import electrode_positions, find_map, geometric_median, interpolation_matrix, search
from .recordings import fill, in_pieces, kept_recording, recording_path
from .windows import EEGWindows, are_epochs

_ORDER = 3  # of the Butterworth filters
_MOST_WINDOWS = 300  # of a recording, spread over it
_ROUNDS = 5  # in which reference and maps are found in turn
_STEPS_LIVE = 5  # in a stream, where each search goes on from the last
_LOUDEST = 4.0  # power of a window in a stream, relative to that of the past, that counts fully
_HALF_OCTAVES = [(2.0 * 2 ** (k / 2), 2.0 * 2 ** ((k + 1) / 2)) for k in range(9)]


@dataclass(repr=False, eq=False)
class SubjectAligner(EEGTransformer, auto_wrap_output_keys=None):
    r"""Align people: map the channels of each person to those of the mean person, without BOLD.

    Electrodes sit elsewhere, heads and gains differ. The map :math:`M` of a person is computed from
    covariances of their EEG alone: :math:`C` in all, and :math:`C_b` in bands,

    .. math:: M = G^{1/2} Q\, C^{-1/2}, \qquad Q = \arg\max_{Q^\top Q = I}
              \sum_b \operatorname{tr}(Q A_b Q^\top B_b)
              + \lambda \operatorname{tr}(Q^\top G^{1/2} C^{1/2})

    with the means over the fitted people :math:`G, G_b`, and what is left of the bands in whitened
    EEG, :math:`A_b = C^{-1/2} C_b C^{-1/2}` and :math:`B_b = G^{-1/2} G_b G^{-1/2}`, each scaled to
    a mean variance of 1. So the aligned EEG has the covariance of the mean person, and in each band
    as far as a rotation can. The last term keeps it near the recorded channels; both terms are
    scaled to be equal for a person who is like the mean, who is not changed. Without bands the last
    term is all there is: then :math:`M` is the symmetric map of optimal transport, Euclidean
    alignment [1]_ in the channels of the mean person.

    Parameters
    ----------
    bands : list of tuple of float, "default" or None
        Edges in Hz of the bands. The default is the nine half octaves from 2 to 45 Hz, as far as
        the sampling rate allows. None aligns the whole covariance only.
    stay : float
        The weight :math:`\lambda` of staying near the recorded channels.
    by : {"subject", "recording"}
        What shares a map: all recordings of a person in X (``X.subjects``), or each recording its
        own. X without subjects is aligned by recording.
    window : float
        Length in s of the windows whose covariances are averaged, by their geometric median, which
        artifacts in less than half of the windows barely change.
    prior : float
        Time in s for which the mean person, at the power of the recording, counts in its
        covariances, so that short recordings change little but in their gain.
    channels : list of str or None
        Channels to map to, by names in the 10-05 system. None takes those of X in ``fit``. EEG with
        other channels is interpolated there by spherical splines, at any time.
    folder : path-like or None
        Folder for aligned recordings, as in :class:`EEGFilter`.
    n_jobs : int or None
        Number of recordings to work on in parallel (threads).

    Attributes
    ----------
    reference_ : ndarray, shape (1 + n_bands, n_channels, n_channels)
        Covariances :math:`G, G_b` of the mean person.
    bands_ : list of tuple of float
        The bands used.
    n_features_in_ : int
        Number of channels after the interpolation.
    ch_names_in_ : list of str or None
        Their names.

    See Also
    --------
    EEGFilter : Put it in front: slow drifts would dominate the covariance.

    Notes
    -----
    All EEG of a recording is used for its map, also the EEG of volumes that are to be predicted,
    but no BOLD. In ``transform``, people are aligned by the EEG in that X: new people need nothing
    else. For EEG that is still being recorded, :meth:`stream` uses the past only.

    Means and maps are found in turn, starting from the mean of the covariances.

    To fit people with different electrodes together, bring their recordings to one montage before
    :func:`~sklearn_beira.align`, with ``raw.interpolate_to(montage)`` of MNE.

    References
    ----------
    .. [1] He, Wu (2020), Transfer learning for brain-computer interfaces: a Euclidean space data
       alignment approach, IEEE Trans. Biomed. Eng. 67.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_beira import EEGWindows, SubjectAligner
    >>> eeg = np.random.default_rng(0).standard_normal((40, 3, 200))
    >>> eeg[20:] *= 5.0  # the amplifier of another person
    >>> X = EEGWindows.from_array(eeg, sfreq=100.0, groups=np.repeat([0, 1], 20))
    >>> aligned = np.asarray(SubjectAligner().fit_transform(X))
    >>> bool(abs(aligned[:20].std() / aligned[20:].std() - 1) < 0.05)
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        "bands": [list, tuple, StrOptions({"default"}), None],
        "stay": [Interval(Real, 0, None, closed="neither")],
        "by": [StrOptions({"subject", "recording"})],
        "window": [Interval(Real, 0, None, closed="neither")],
        "prior": [Interval(Real, 0, None, closed="left")],
        "channels": [list, tuple, np.ndarray, None],
        "folder": [str, PathLike, None],
        "n_jobs": [Integral, None],
    }

    bands: Sequence[tuple[float, float]] | str | None = "default"
    _: KW_ONLY
    stay: float = 0.1
    by: str = "subject"
    window: float = 2.0
    prior: float = 10.0
    channels: Sequence[str] | None = None
    folder: str | PathLike | None = None
    n_jobs: int | None = None

    def _fit(self, X):
        """Find the mean person."""
        self.positions_ = electrode_positions(X.info)
        if self.channels is not None:
            names = [str(name) for name in self.channels]
            info = mne.create_info(names, 100.0, "eeg")
            locate(info)
            self.n_features_in_, self.ch_names_in_ = len(names), names
            self.positions_ = electrode_positions(info)
            if self.positions_ is None:
                raise ValueError(
                    f"channels must be names of the 10-05 system, got {names}; use those of X "
                    f"(None), or other names."
                )
        self.bands_ = self._find_bands(X)
        X, mix = self._at_channels(X)
        covariances, counts = zip(*self._covariances(X, mix).values(), strict=True)
        power = np.array([np.trace(c[0]) for c in covariances])
        scales = np.median(power) / np.maximum(power, np.finfo(float).tiny)
        self.reference_ = np.mean([s * c for s, c in zip(scales, covariances, strict=True)], axis=0)
        for _ in range(_ROUNDS):
            own = [self._with_prior(c, n) for c, n in zip(covariances, counts, strict=True)]
            maps = [find_map(c, self.reference_, self.stay) for c in own]
            self.reference_ = np.mean(
                [m @ c @ m.T for m, c in zip(maps, covariances, strict=True)], axis=0
            )

    def transform(self, X: EEGWindows | ArrayLike) -> EEGWindows:
        """Align the people in X, each by their own EEG.

        Parameters
        ----------
        X : EEGWindows, mne.Epochs or array-like, shape (n_samples, n_channels, n_times)
            EEG in V, of the fitted or other people.

        Returns
        -------
        X : EEGWindows, shape (n_samples, n_channels, n_times)
            The same samples over aligned recordings.
        """
        check_is_fitted(self)
        X, mix = self._at_channels(X)
        labels, maps = self._labels(X), {}
        for label, (covariance, n) in self._covariances(X, mix).items():
            found = find_map(self._with_prior(covariance, n), self.reference_, self.stay)
            maps[label] = found if mix is None else found @ mix
        info = X.info
        if mix is not None:
            info = mne.create_info(self.ch_names_in_, X.sfreq, "eeg")
            positions = dict(zip(self.ch_names_in_, self.positions_, strict=True))
            info.set_montage(mne.channels.make_dig_montage(positions, coord_frame="head"))
        if X.epoched:
            every = np.stack([maps[label] for label in labels])
            return X.with_recordings((every @ X.recordings).astype(X.dtype), info, sfreq=X._sfreq)
        return process_recordings(
            lambda k: _apply(maps[labels[k]], X, k, self.folder), X, info, self.n_jobs
        )

    def stream(self, sfreq: float, half_life: float = 120.0) -> "AlignmentStream":
        """Start to align EEG that is being recorded, by its past.

        Parameters
        ----------
        sfreq : float
            Sampling rate in Hz.
        half_life : float
            Time in s after which EEG counts half.

        Returns
        -------
        stream : AlignmentStream
            Takes the EEG of one person in pieces.
        """
        check_is_fitted(self)
        return AlignmentStream(self, sfreq, half_life)

    # -- inside ---------------------------------------------------------------------------------
    def _check_parameters(self, X):
        self._find_bands(X)

    def _find_bands(self, X):
        if self.bands is None:
            return []
        if isinstance(self.bands, str):
            most = 0.45 * X.sfreq
            return [(float(low), float(high)) for low, high in _HALF_OCTAVES if high <= most]
        for band in self.bands:
            if np.shape(band) != (2,) or not 0 < band[0] < band[1] < X.sfreq / 2:
                raise ValueError(
                    f"bands must hold (low, high) in Hz with 0 < low < high < {X.sfreq / 2:g}, "
                    f"half the sampling rate, got {band!r}."
                )
        return [tuple(map(float, band)) for band in self.bands]

    def _with_prior(self, covariance, n):
        prior = self.prior / self.window
        # At the power of the recording, as gains are known soon.
        power = np.trace(self.reference_[0])
        scale = np.trace(covariance[0]) / power if power > 0 else 0.0
        return (n * covariance + prior * scale * self.reference_) / (n + prior)

    def _labels(self, X):
        """Person of each recording, or of each epoch."""
        if X.epoched:
            return (
                X.groups if self.by == "recording" or X.subjects is None else X.subjects
            ).tolist()
        if self.by == "recording" or X._subjects is None:
            return list(range(len(X.recordings)))
        return list(X._subjects)

    def _covariances(self, X, mix):
        """Covariances (1 + n_bands, n_channels, n_channels) and number of windows, by person."""
        labels = self._labels(X)
        parts = {label: [] for label in labels}
        if X.epoched:
            for label, epoch in zip(labels, X.recordings, strict=True):
                parts[label].append(self._windows(epoch[None], X))
        else:
            # All recordings of the people in X, also those without a volume in it, as in a fold.
            people = {labels[k] for k in np.unique(X.source)}
            real = [k for k, n in enumerate(X.lengths) if n > 1 and labels[k] in people]
            found = Parallel(n_jobs=self.n_jobs, require="sharedmem")(
                delayed(self._windows_of)(X, k) for k in real
            )
            for k, windows in zip(real, found, strict=True):
                parts[labels[k]].append(windows)
        parts = {label: np.concatenate(part) for label, part in parts.items() if part}
        if mix is not None:
            parts = {label: mix @ part @ mix.T for label, part in parts.items()}
        return {label: (geometric_median(part), len(part)) for label, part in parts.items()}

    def _windows_of(self, X, k):
        key = X.tokens[k], "covariances", *self.bands_, self.window
        return cache.results.get_or(key, lambda: self._windows(in_pieces(X.recordings[k]), X))

    def _windows(self, pieces, X):
        """Covariances of windows (n_windows, 1 + n_bands, n_channels, n_channels)."""
        length = X.shape[2] if X.epoched else max(round(self.window * X.sfreq), 1)
        count = WindowCovariances(self.bands_, X._sfreq, length)
        every = [window for piece in pieces for window in count.add(piece)]
        if not every:
            raise ValueError(
                f"a recording is shorter than a window of {self.window:g} s; leave it out."
            )
        return np.array(every[:: -(-len(every) // _MOST_WINDOWS)])

    def _at_channels(self, X):
        """X, and the matrix that maps its channels to the common ones; None for the same."""
        if are_epochs(X):
            X = EEGWindows.from_array(X)
        names = self.ch_names_in_
        if not isinstance(X, EEGWindows) or names is None or X.ch_names in (None, names):
            return check_eeg(self, X, reset=False), None
        if set(names) <= set(X.ch_names):
            return X, np.eye(X.shape[1])[[X.ch_names.index(name) for name in names]]
        there = electrode_positions(X.info)
        if there is None or self.positions_ is None:
            raise ValueError(
                f"X has other channels than SubjectAligner was fitted with, and their positions "
                f"are unknown; set a montage (raw.set_montage), or pick {names}."
            )
        return X, interpolation_matrix(there, self.positions_)


class AlignmentStream:
    """Align the EEG of one person while it is recorded; made by :meth:`SubjectAligner.stream`.

    The map is renewed after every window, by the covariances of the windows before: recent ones
    count more, and loud ones less. The search for a map goes on from the last one, which takes
    milliseconds. Pieces of any length give the same EEG as the whole at once.

    Parameters
    ----------
    aligner : SubjectAligner
        Fitted.
    sfreq : float
        Sampling rate in Hz.
    half_life : float
        Time in s after which EEG counts half.

    Attributes
    ----------
    map_ : ndarray, shape (n_channels, n_channels)
        The present map.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_beira import EEGWindows, SubjectAligner
    >>> eeg = np.random.default_rng(0).standard_normal((20, 3, 200))
    >>> aligner = SubjectAligner().fit(EEGWindows.from_array(eeg, sfreq=100.0))
    >>> stream = aligner.stream(sfreq=100.0)
    >>> for second in range(60):
    ...     aligned = stream.transform(5 * np.random.default_rng(second).standard_normal((3, 100)))
    >>> aligned.std().round()
    np.float64(1.0)
    """

    def __init__(self, aligner, sfreq, half_life=120.0):
        for name, value in (("sfreq", sfreq), ("half_life", half_life)):
            if not (isinstance(value, Real) and 0 < value < np.inf):
                raise ValueError(f"{name} must be a number above 0, got {value!r}.")
        self._aligner, n_channels = aligner, aligner.n_features_in_
        length = max(round(aligner.window * sfreq), 1)
        self._windows = WindowCovariances(aligner.bands_, float(sfreq), length)
        self._keep = 0.5 ** (length / sfreq / half_life)
        self._total, self._n = np.zeros_like(aligner.reference_), 0.0
        self.map_, self._rotation = np.eye(n_channels), None

    def transform(self, eeg: ArrayLike) -> np.ndarray:
        """Align the next piece.

        Parameters
        ----------
        eeg : array-like, shape (n_channels, n_times)
            EEG in V that follows the last piece.

        Returns
        -------
        aligned : ndarray, shape (n_channels, n_times)
            Aligned EEG.
        """
        eeg = check_piece(eeg, len(self.map_))
        parts, start = [], 0
        while start < eeg.shape[1]:
            part = eeg[:, start : start + self._windows.n_missing]
            parts.append(self.map_ @ part)
            for window in self._windows.add(part):
                self._learn(window)
            start += part.shape[1]
        return np.concatenate(parts, axis=1) if parts else eeg

    def _learn(self, window):
        aligner = self._aligner
        known = aligner._with_prior(self._total / self._n, self._n) if self._n else window
        power, expected = np.trace(window[0]), _LOUDEST * np.trace(known[0])
        weight = min(1.0, expected / power) if power > 0 else 0.0
        self._total = self._keep * self._total + weight * window
        self._n = self._keep * self._n + weight
        if self._n:
            known = aligner._with_prior(self._total / self._n, self._n)
            self.map_, self._rotation = search(
                known, aligner.reference_, aligner.stay, self._rotation, _STEPS_LIVE
            )


class WindowCovariances:
    """Covariances of successive windows of EEG, in all and in bands.

    Parameters
    ----------
    bands : list of tuple of float
        Edges in Hz.
    sfreq : float or None
        Sampling rate in Hz; None without bands.
    length : int
        Samples of a window.

    Attributes
    ----------
    n_missing : int
        Samples until the window is complete.
    """

    def __init__(self, bands, sfreq, length):
        self.length = self.n_missing = length
        self._filters = [butter(_ORDER, band, "bandpass", fs=sfreq, output="sos") for band in bands]
        self._states, self._total = None, 0.0

    def add(self, eeg):
        """Add EEG (n_channels, n_times); return a list of the windows that it completes."""
        eeg, done, start = np.asarray(eeg, dtype=np.float64), [], 0
        if self._states is None:
            self._states = [np.zeros((len(sos), len(eeg), 2)) for sos in self._filters]
        signals = [eeg]
        for k, sos in enumerate(self._filters):
            signal, self._states[k] = sosfilt(sos, eeg, axis=1, zi=self._states[k])
            signals.append(signal)
        signals = np.array(signals)
        while start < eeg.shape[1]:
            part = signals[..., start : start + self.n_missing]
            self._total = self._total + part @ part.transpose(0, 2, 1)
            start, self.n_missing = start + part.shape[2], self.n_missing - part.shape[2]
            if not self.n_missing:
                done.append(self._total / self.length)
                self._total, self.n_missing = 0.0, self.length
        return done


def _apply(matrix, X, k, folder):
    """Map a recording; return it and its name."""
    token = f"{X.tokens[k]}|{joblib.hash(matrix)}"
    eeg = X.recordings[k]
    shape = len(matrix), eeg.shape[1]
    pieces = ((matrix @ piece).astype(np.float32) for piece in in_pieces(eeg))
    if folder is not None:
        path = recording_path(folder, token)
        return kept_recording(path, shape, np.float32, pieces), token
    return cache.results.get_or(token, lambda: fill(np.empty(shape, np.float32), pieces)), token
