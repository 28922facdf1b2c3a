"""Causal filters: the same numbers from a whole recording as from pieces that arrive one by one."""

import math
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike
from scipy.signal import butter, iirdesign, iirnotch, sosfilt, sosfilt_zi, sosfreqz, tf2sos

from .recordings import in_pieces

_ORDER = 2  # of the high-pass
_LOSS, _STOP = 1.0, 40.0  # dB, of the low-pass at its edge and behind the transition
_TRANSITION = 0.25  # of its edge, and at least 2 Hz, as of MNE's FIR filters
_STEEPEST = 1.02  # end of the transition relative to its edge, for which the order stays low
_NOTCH = 2.0  # Hz, width at half power


class FilterStream:
    """Filter EEG while it is recorded; made by :meth:`EEGFilter.stream`.

    Pieces of any length give the same samples, to the last bit, as the whole recording at once.
    The first sample is taken to have lasted forever, so that offsets cause no transient.

    Parameters
    ----------
    steps : dict
        ``l_freq``, ``h_freq``, ``sfreq`` and ``notch`` of :class:`EEGFilter`.
    sfreq : float
        Sampling rate of the EEG in Hz.
    referenced : tuple of ndarray of int, (reference, changed), or None
        Channels whose mean is subtracted, and those from which it is.

    Attributes
    ----------
    sfreq : float
        Sampling rate of the filtered EEG in Hz.
    delay : float
        Delay of the filter in s, a whole number of samples of the EEG: sample i of the filtered EEG
        is the EEG at ``i / sfreq``, and comes out after the EEG at ``i / sfreq + delay``.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_beira import EEGFilter, EEGWindows
    >>> eeg = np.random.default_rng(0).standard_normal((4, 3, 1000))
    >>> X = EEGWindows.from_array(eeg, sfreq=500.0)
    >>> stream = EEGFilter(causal=True).fit(X).stream(sfreq=500.0)
    >>> stream.delay
    0.022
    >>> [stream.transform(eeg[0, :, k : k + 9]).shape[1] for k in range(0, 36, 9)]
    [0, 2, 2, 1]
    """

    def __init__(self, steps, sfreq, referenced=None):
        if not (isinstance(sfreq, Real) and 0 < sfreq < np.inf):
            raise ValueError(f"sfreq must be a sampling rate above 0 Hz, got {sfreq!r}.")
        self._factor = decimation(sfreq, steps["sfreq"])
        self.sfreq = sfreq / self._factor
        self._fast, self._slow, delay = _design(
            steps["l_freq"], steps["h_freq"], steps["notch"], sfreq, self._factor
        )
        self._ahead = round(delay * sfreq)
        self.delay = self._ahead / sfreq
        self._referenced = referenced
        self._n_channels, self._states = None, [None, None]
        self._last, self._n_seen = None, 0

    def transform(self, eeg: ArrayLike) -> np.ndarray:
        """Filter the next piece.

        Parameters
        ----------
        eeg : array-like, shape (n_channels, n_times)
            EEG in V that follows the last piece.

        Returns
        -------
        filtered : ndarray of float32, shape (n_channels, n_new)
            The filtered samples that are new.

        Raises
        ------
        ValueError
            If the number of channels changes, or if the EEG holds NaN or infinite values. The piece
            is then ignored.
        """
        eeg = np.asarray(eeg, dtype=np.float64)
        n_channels = self._n_channels or (len(eeg) if eeg.ndim == 2 else "n")
        if eeg.ndim != 2 or len(eeg) != n_channels or not np.isfinite(eeg).all():
            raise ValueError(
                f"eeg must be ({n_channels} channels, n_times) without NaN or infinite values, got "
                f"shape {eeg.shape}."
            )
        self._n_channels = n_channels
        if not eeg.shape[1]:
            return np.zeros(eeg.shape, np.float32)
        self._last = eeg[:, -1:].copy()
        eeg = self._run(0, self._fast, self._rereference(eeg))
        first = (self._ahead - self._n_seen) % self._factor
        if self._n_seen < self._ahead:
            first = self._ahead - self._n_seen
        self._n_seen += eeg.shape[1]
        return self._run(1, self._slow, eeg[:, first :: self._factor]).astype(np.float32)

    def finish(self) -> np.ndarray:
        """Return the samples that the delay withholds, as if the last sample went on.

        Returns
        -------
        filtered : ndarray of float32, shape (n_channels, n_new)
            The end of the recording.
        """
        return self.transform(np.repeat(self._last, self._ahead + self._factor, axis=1))

    def _rereference(self, eeg):
        if self._referenced is None:
            return eeg
        reference, changed = self._referenced
        # Sums of NumPy depend on the shape in their last bit; running sums do not.
        mean = np.add.accumulate(eeg[reference], axis=0)[-1] / len(reference)
        eeg = eeg.copy()
        eeg[changed] -= mean
        return eeg

    def _run(self, k, sos, eeg):
        if not len(sos) or not eeg.shape[1]:
            return eeg
        if self._states[k] is None:
            self._states[k] = sosfilt_zi(sos)[:, None] * eeg[:, :1, None].transpose(1, 0, 2)
        out, self._states[k] = sosfilt(sos, eeg, axis=1, zi=self._states[k])
        return out


def filter_causally(eeg: np.ndarray, stream: FilterStream) -> np.ndarray:
    """Filter a finished recording.

    Parameters
    ----------
    eeg : ndarray, shape (n_channels, n_times)
        EEG in V.
    stream : FilterStream
        Filter, which has seen nothing yet.

    Returns
    -------
    filtered : ndarray of float32, shape (n_channels, n_times_out)
        As many samples as resampling gives; those that the delay withholds are the response to the
        last sample.
    """
    out = np.empty((len(eeg), max(round(eeg.shape[1] / stream._factor), 1)), np.float32)
    start = 0
    for piece in in_pieces(eeg):
        part = stream.transform(piece)[:, : out.shape[1] - start]
        out[:, start : start + part.shape[1]] = part
        start += part.shape[1]
    out[:, start:] = stream.finish()[:, : out.shape[1] - start]
    return out


def decimation(sfreq, new):
    """Every which sample is kept; refuse rates that are no whole multiple of the new one."""
    if new is None:
        return 1
    factor = max(math.floor(sfreq / new * (1 + 1e-6)), 1)
    if abs(sfreq / new - factor) > 1e-6 * factor:
        raise ValueError(
            f"a causal filter keeps every n-th sample, so that EEG recorded at {sfreq:g} Hz cannot "
            f"be resampled to {new:g} Hz; use sfreq={sfreq / factor:g}."
        )
    return factor


def _design(l_freq, h_freq, notch, sfreq, factor):
    """Second-order sections at both rates, and the mean group delay in the pass band in s."""
    new = sfreq / factor
    top = h_freq if h_freq is not None else 0.4 * new
    fast, slow = np.zeros((0, 6)), np.zeros((0, 6))
    if h_freq is not None or factor > 1:
        # Frequencies that would fold into the pass band lie behind the transition.
        least = new - top if factor > 1 else (top + sfreq / 2) / 2
        stop = min(top + max(_TRANSITION * top, 2.0), least)
        if stop < _STEEPEST * top:
            raise ValueError(
                f"h_freq={top:g} Hz is too close to {new / 2:g} Hz, the Nyquist frequency, for a "
                f"causal filter; use h_freq={new / (1 + _STEEPEST):.1f} or lower."
            )
        fast = iirdesign(top, stop, _LOSS, _STOP, ftype="cheby2", fs=sfreq, output="sos")
    if l_freq is not None:
        slow = butter(_ORDER, l_freq, "highpass", fs=new, output="sos")
    delay, freqs = 0.0, np.linspace(l_freq or top / 100, top, 1000)
    for sos, rate in ((fast, sfreq), (slow, new)):
        if len(sos):
            phase = np.unwrap(np.angle(sosfreqz(sos, freqs, fs=rate)[1]))
            delay += (phase[0] - phase[-1]) / (2 * np.pi * (freqs[-1] - freqs[0]))
    if notch is not None:
        # The low-pass removes the harmonics above.
        last = stop if len(fast) else sfreq / 2
        mains = np.arange(1, last // notch + 1) * notch
        sections = [tf2sos(*iirnotch(f, f / _NOTCH, fs=sfreq)) for f in mains if f < last]
        fast = np.concatenate([*sections, fast])
    return fast, slow, delay
