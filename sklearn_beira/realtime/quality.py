"""How much of the EEG in a window is as it should be."""

from typing import NamedTuple

import numpy as np

# Seconds that are louder or fainter than usual by a larger factor are unusual.
_UNUSUAL = 4.0


class _Second(NamedTuple):
    """What was seen in a second: whether each channel changes, and how many samples are bridged."""

    moves: np.ndarray
    n_bridged: int


class Quality:
    """Watch EEG from its start on, second by second, and judge windows of it.

    Parameters
    ----------
    sfreq : float
        Sampling rate of the EEG that is watched, in Hz.
    rate : float
        Sampling rate of the windows, in Hz.
    scale : float or None
        Standard deviation that the EEG of windows should have; None if it is unknown.

    Attributes
    ----------
    last : ndarray, shape (n_channels, 1), or None
        The last sample.
    """

    def __init__(self, sfreq, rate, scale):
        self._sfreq, self._rate, self._scale = sfreq, rate, scale
        self._seconds, self._n_seen, self.last = {}, 0, None

    def watch(self, eeg, bridged):
        """Note EEG (n_channels, n_times), and whether it bridges a gap."""
        before = eeg[:, :1] if self.last is None else self.last
        moves = np.diff(eeg, axis=1, prepend=before) != 0
        numbers = ((self._n_seen + np.arange(eeg.shape[1])) / self._sfreq).astype(int)
        numbers, starts, counts = np.unique(numbers, return_index=True, return_counts=True)
        moves = np.logical_or.reduceat(moves, starts, axis=1).T
        for number, moved, n_times in zip(numbers, moves, counts, strict=True):
            old = self._seconds.get(number, _Second(False, 0))
            self._seconds[number] = _Second(old.moves | moved, old.n_bridged + bridged * n_times)
        self._n_seen += eeg.shape[1]
        self.last = eeg[:, -1:].copy()

    def of(self, window, stop):
        """Share, from 0 to 1, of a filtered window (n_channels, n_times) that ends at a sample."""
        # The seconds that are whole within the window.
        first = -int(-(stop - window.shape[1]) // self._rate)
        numbers = range(first, int(stop // self._rate))
        self._seconds = {k: second for k, second in self._seconds.items() if k >= first}
        share = self._usual(window)
        if numbers:
            share = min(share, float(np.mean([self._seconds[k].moves for k in numbers])))
            lost = sum(self._seconds[k].n_bridged for k in numbers)
            share *= 1 - lost / (len(numbers) * self._sfreq)
        return share

    def _usual(self, window):
        """Share of seconds of channels that are about as loud as usual."""
        seconds = np.array_split(window, max(round(window.shape[1] / self._rate), 1), axis=1)
        sd = np.array([second.std(axis=1) for second in seconds])
        usual = (sd > 0) & _near(sd, np.median(sd, axis=0))
        if self._scale is not None:
            level = np.sqrt(np.mean(sd**2, axis=1, keepdims=True))  # over all channels
            usual &= _near(level, self._scale)
        return float(usual.mean())


def _near(sd, usual):
    return (sd <= _UNUSUAL * usual) & (sd >= usual / _UNUSUAL)
