"""Causal filters: the same numbers from a whole recording as from pieces that arrive one by one."""

from fractions import Fraction
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike
from scipy.signal import butter, iirdesign, iirnotch, sosfilt, sosfilt_zi, sosfreqz, tf2sos

from .checks import check_piece

_ORDER = 2  # of the high-pass
_LOSS, _STOP = 1.0, 40.0  # dB, of the low-pass at its edge and behind the transition
_TRANSITION = 0.25  # of its edge, and at least 2 Hz, as of MNE's FIR filters
_STEEPEST = 1.02  # end of the transition relative to its edge, for which the order stays low
_MOST = 32  # times that a sample is repeated
_PIECE = 2**16  # samples that are filtered at a time
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
    rows : tuple of ndarray of int, (reference, changed), or None
        Channels whose mean is subtracted, and those from which it is.
    n_channels : int
        Number of channels.

    Attributes
    ----------
    sfreq : float
        Sampling rate of the filtered EEG in Hz.
    delay : float
        Delay of the filter in s: sample i of the filtered EEG is that at ``i / sfreq``, and comes
        out after the EEG at ``i / sfreq + delay``.

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

    def __init__(self, steps, sfreq, rows, n_channels):
        if not (isinstance(sfreq, Real) and 0 < sfreq < np.inf):
            raise ValueError(f"sfreq must be a sampling rate above 0 Hz, got {sfreq!r}.")
        self._up, self._down = resampling(sfreq, steps["sfreq"])
        fast = sfreq * self._up
        self.sfreq = fast / self._down
        self._filters, delay = _design(
            steps["l_freq"], steps["h_freq"], steps["notch"], sfreq, fast, self.sfreq
        )
        self._ahead = round(delay * fast)
        self.delay = self._ahead / fast
        self._rows, self._n_channels = rows, n_channels
        self._states = [None] * len(self._filters)
        self._last, self._n_seen, self._n_in, self._n_out = None, 0, 0, 0

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
        eeg = check_piece(eeg, self._n_channels)
        if not eeg.shape[1]:
            return eeg.astype(np.float32)
        self._last = eeg[:, -1:].copy()
        self._n_in += eeg.shape[1]
        eeg = np.repeat(self._run(0, self._rereference(eeg)), self._up, axis=1)
        eeg = self._run(1, eeg)
        missing = self._ahead - self._n_seen
        first = missing if missing > 0 else missing % self._down
        self._n_seen += eeg.shape[1]
        filtered = self._run(2, eeg[:, first :: self._down]).astype(np.float32)
        self._n_out += filtered.shape[1]
        return filtered

    def finish(self) -> np.ndarray:
        """Return the samples that the delay withholds, as if the last sample went on.

        Returns
        -------
        filtered : ndarray of float32, shape (n_channels, n_new)
            The end of the recording.
        """
        if self._last is None:
            return np.zeros((self._n_channels, 0), np.float32)
        n_new = max(round(self._n_in * self._up / self._down), 1) - self._n_out
        n_times = -(-(self._ahead + self._down) // self._up)
        return self.transform(np.repeat(self._last, n_times, axis=1))[:, :n_new]

    def _rereference(self, eeg):
        if self._rows is None:
            return eeg
        reference, changed = self._rows
        # Sums of NumPy depend on the shape in their last bit; running sums do not.
        mean = np.add.accumulate(eeg[reference], axis=0)[-1] / len(reference)
        eeg = eeg.copy()
        eeg[changed] -= mean
        return eeg

    def _run(self, k, eeg):
        sos = self._filters[k]
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
    n_times = max(round(eeg.shape[1] * stream._up / stream._down), 1)
    out, start = np.empty((len(eeg), n_times), np.float32), 0
    step = max(_PIECE // stream._up, 1)
    for first in range(0, eeg.shape[1], step):
        part = stream.transform(eeg[:, first : first + step])[:, : n_times - start]
        out[:, start : start + part.shape[1]] = part
        start += part.shape[1]
    out[:, start:] = stream.finish()
    return out


def resampling(sfreq, new):
    """How often each sample is repeated, and every which is then kept."""
    if new is None or new == sfreq:
        return 1, 1
    ratio = Fraction(float(new) / float(sfreq)).limit_denominator(10**4)
    if ratio.numerator > _MOST or abs(float(ratio) * sfreq / new - 1) > 1e-9:
        raise ValueError(
            f"EEG recorded at {sfreq:g} Hz cannot be resampled to {new:g} Hz by a causal filter, "
            f"which needs simpler ratios; use sfreq={sfreq / max(sfreq // new, 1)!r}."
        )
    return ratio.numerator, ratio.denominator


def _design(l_freq, h_freq, notch, sfreq, fast, new):
    """Sections at the rate of the EEG, of its repeated samples, and at the new one; delay in s.

    The delay is the mean group delay in the pass band.
    """
    least_rate = min(sfreq, new)
    top = h_freq if h_freq is not None else 0.4 * least_rate
    no_filter = np.zeros((0, 6))
    mains, low_pass, high_pass = no_filter, no_filter, no_filter
    if h_freq is not None or fast > least_rate:
        # Frequencies that would fold into the pass band lie behind the transition.
        least = least_rate - top if fast > least_rate else (top + sfreq / 2) / 2
        stop = min(top + max(_TRANSITION * top, 2.0), least)
        if stop < _STEEPEST * top:
            raise ValueError(
                f"h_freq={top:g} Hz is too close to {least_rate / 2:g} Hz, the Nyquist frequency, "
                f"for a causal filter; use h_freq={least_rate / (1 + _STEEPEST):.1f} or lower."
            )
        if l_freq is not None and l_freq >= top:
            raise ValueError(
                f"l_freq={l_freq:g} Hz must lie below {top:g} Hz, from which on a causal filter "
                f"removes what resampling would fold; give h_freq."
            )
        low_pass = iirdesign(top, stop, _LOSS, _STOP, ftype="cheby2", fs=fast, output="sos")
    if l_freq is not None:
        high_pass = butter(_ORDER, l_freq, "highpass", fs=new, output="sos")
    # A repeated sample stands for the middle of its repetitions.
    delay, freqs = (1 / sfreq - 1 / fast) / 2, np.linspace(l_freq or top / 100, top, 1000)
    for sos, rate in ((low_pass, fast), (high_pass, new)):
        if len(sos):
            phase = np.unwrap(np.angle(sosfreqz(sos, freqs, fs=rate)[1]))
            delay += (phase[0] - phase[-1]) / (2 * np.pi * (freqs[-1] - freqs[0]))
    if notch is not None:
        # The low-pass removes the harmonics above.
        last = min(stop, sfreq / 2) if len(low_pass) else sfreq / 2
        harmonics = np.arange(1, last // notch + 1) * notch
        sections = [tf2sos(*iirnotch(f, f / _NOTCH, fs=sfreq)) for f in harmonics if f < last]
        mains = np.concatenate([no_filter, *sections])
    return (mains, low_pass, high_pass), delay
