"""Windows of EEG and the volumes they are answerable for, as batches of tensors."""

import copy
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from .nets.devices import has_room, send


class VolumeBatches(Dataset):
    """Batches of windows, cut when asked for, and the BOLD of the volumes that they estimate.

    Parameters
    ----------
    eeg : HostWindows or DeviceWindows
        Windows of EEG.
    rows, samples : ndarray of int, shape (n_windows, n_slots)
        The volumes of each window and the output samples they are read at, as
        :func:`volumes_in_windows` gives them; -1 marks an empty slot.
    y : ndarray of shape (n_volumes, n_rois) or None
        BOLD, scaled; None in prediction.
    """

    def __init__(self, eeg, rows, samples, y=None):
        self.eeg, self.rows, self.samples = eeg, rows, samples
        self.y = None if y is None else torch.from_numpy(y.astype(np.float32)).to(eeg.device)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        return self.__getitems__([i])

    def __getitems__(self, indices):
        # A whole batch at once: one call instead of one per window, and nothing left to collate.
        indices = np.asarray(indices)
        rows = self.rows[indices]
        filled = rows >= 0
        batch = {
            "eeg": self.eeg(indices),
            "window": send(np.nonzero(filled)[0], self.eeg.device),
            "sample": send(self.samples[indices][filled], self.eeg.device),
        }
        if self.y is None:
            return batch, torch.zeros(len(indices))
        return batch, self.y[send(rows[filled], self.eeg.device)]


class HostWindows:
    """Windows cut from the recordings and sent to the device, a batch at a time.

    Parameters
    ----------
    X : EEGWindows
        Windows.
    scale : float
        What the EEG is divided by.
    device : str
        Where batches go.
    """

    def __init__(self, X, scale, device):
        self.X, self.scale, self.device = X, scale, device

    def __call__(self, indices):
        """Return windows, scaled and on the device."""
        eeg = np.array(self.X[indices], dtype=np.float32)
        eeg /= self.scale
        return send(eeg, self.device)

    def at(self, rows):
        """The same of some rows of X."""
        return HostWindows(self.X[rows], self.scale, self.device)


class DeviceWindows:
    """Recordings that lie on the device, where windows are cut from them.

    Parameters
    ----------
    X, scale, device
        As of :class:`HostWindows`.
    """

    def __init__(self, X, scale, device):
        self.device = device
        n_channels, n_times = X.shape[1:]
        self.eeg = torch.empty(n_channels, count_samples(X), device=device)
        self.starts = np.empty(len(X), dtype=np.int64)
        done = 0
        for piece in cut_pieces(X):
            span = slice(done, done + piece.eeg.shape[1])
            self.eeg[:, span] = piece.scaled_eeg(scale, device)
            self.starts[piece.rows] = done + piece.stops - n_times
            done = span.stop
        self.window = torch.arange(n_times, device=device)

    def __call__(self, indices):
        """Return windows, scaled and on the device."""
        at = send(self.starts[indices], self.device)[:, None] + self.window
        return self.eeg[:, at].transpose(0, 1).contiguous()

    def at(self, rows):
        """The same of some rows of X."""
        some = copy.copy(self)
        some.starts = self.starts[rows]
        return some


def place_eeg(X, scale, device):
    """Keep EEG on the device where it has room for it, else on the host.

    Parameters
    ----------
    X, scale, device
        As of :class:`HostWindows`.

    Returns
    -------
    eeg : HostWindows or DeviceWindows
        Called with numbers of rows, it gives (n_rows, n_channels, n_times) in float32 on the
        device.
    """
    if torch.device(device).type == "cpu":  # nothing to gain, so that nothing is counted
        return HostWindows(X, scale, device)
    n_bytes = 4 * X.shape[1] * count_samples(X)
    windows = DeviceWindows if has_room(device, n_bytes) else HostWindows
    return windows(X, scale, device)


def make_batches(X, windows, y=None, *, mode, stride):
    """Lay out what a network reads and estimates.

    Parameters
    ----------
    X : EEGWindows
        Windows.
    windows : HostWindows or DeviceWindows
        The same, where batches are cut from.
    y : ndarray of shape (n_volumes, n_rois) or None
        BOLD, scaled; None in prediction.
    mode : {"many_to_many", "many_to_one"}
        Volumes that a window estimates.
    stride : {"volume", "window"}
        Windows that are read: all, or as few as hold all volumes.

    Returns
    -------
    batches : VolumeBatches
        Batches of windows.
    """
    rows, samples = volumes_in_windows(X, mode)
    if stride == "window":
        some = tile(X)
        windows, rows, samples = windows.at(some), rows[some], samples[some]
    return VolumeBatches(windows, rows, samples, y)


def count_samples(X):
    """Samples that the pieces of :func:`cut_pieces` hold in all."""
    return sum(piece.eeg.shape[1] for piece in cut_pieces(X))


class Piece(NamedTuple):
    """Continuous EEG and the windows that lie in it.

    Attributes
    ----------
    eeg : ndarray, shape (n_channels, n_times)
        EEG in V, a view.
    stops : ndarray of int, shape (n_volumes,)
        Sample behind the last of each window.
    rows : ndarray of int, shape (n_volumes,)
        Rows of X.
    """

    eeg: np.ndarray
    stops: np.ndarray
    rows: np.ndarray

    def scaled_eeg(self, scale, device):
        """EEG divided by a scale, as a tensor of float32 on a device."""
        scaled = np.array(self.eeg, dtype=np.float32) / np.float32(scale)
        return torch.from_numpy(scaled).to(device)


def cut_pieces(X, max_times=2**15):
    """Cut EEG into continuous pieces, so that overlapping windows are not read one by one.

    Parameters
    ----------
    X : EEGWindows
        Windows; each epoch of an epoched array is a piece of its own.
    max_times : int
        Longest piece in samples, where a window is not longer.

    Returns
    -------
    pieces : list of Piece
        In order of recording and time; they overlap by less than a window.
    """
    pieces, n_times, recordings = [], X.shape[2], X.recordings
    source, starts = X.source, X.starts
    order = np.lexsort((starts, source))
    apart = (np.diff(source[order]) != 0) | (np.diff(starts[order]) > n_times)
    for rows in np.split(order, np.flatnonzero(apart) + 1):
        while len(rows):
            k, first = source[rows[0]], starts[rows[0]]
            n = max(np.searchsorted(starts[rows] + n_times, first + max_times, "right"), 1)
            here, rows = rows[:n], rows[n:]
            stops = starts[here] + n_times
            pieces.append(Piece(recordings[k][:, first : stops[-1]], stops - first, here))
    return pieces


def keep_batch(batch):
    """Collate what already is a batch."""
    return batch


def volumes_in_windows(X, mode):
    """Find the volumes that each window estimates, and where in its output.

    The last output sample of a window stands for the window's own volume. With
    ``mode="many_to_many"``, earlier samples stand for the earlier volumes of X that lie in the
    delayed window.

    Parameters
    ----------
    X : EEGWindows
        Windows; where times are unknown, they know of no volume but their own.
    mode : {"many_to_many", "many_to_one"}
        Which volumes.

    Returns
    -------
    rows, samples : ndarray of int, shape (n_windows, n_slots)
        Index of the volume in X and of the output sample; -1 marks an empty slot.
    """
    n, _, n_times = X.shape
    own = np.arange(n)
    if mode == "many_to_one" or not X.has_times:
        return own[:, None], np.full((n, 1), n_times - 1)
    found = []
    for i in own:
        mates = np.flatnonzero(X.groups == X.groups[i])
        ago = _samples_between(X.times[mates], X.times[i], X.sfreq)
        inside = (ago >= 0) & (ago < n_times)
        found.append((mates[inside], n_times - 1 - ago[inside]))
    n_slots = max(len(mates) for mates, _ in found)
    rows = np.full((n, n_slots), -1)
    samples = np.full((n, n_slots), -1)
    for i, (mates, at) in enumerate(found):
        rows[i, : len(mates)], samples[i, : len(mates)] = mates, at
    return rows, samples


def tile(X, generator=None):
    """Find few windows that hold all volumes: going back from the last, one where another begins.

    Parameters
    ----------
    X : EEGWindows
        Windows; where times are unknown, all are taken.
    generator : torch.Generator or None
        With one, the last window of each recording ends at a random volume among those that the
        very last window holds, and the few volumes behind it are left out.

    Returns
    -------
    windows : ndarray of int
        Rows of X.
    """
    if not X.has_times:
        return np.arange(len(X))
    chosen, n_times = [], X.shape[2]
    for k in np.unique(X.groups):
        rows = np.flatnonzero(X.groups == k)
        rows = rows[np.argsort(X.times[rows], kind="stable")]
        times = X.times[rows]

        def n_before(i, times=times):
            """Volumes that the window of the i-th does not hold, nor any later one."""
            return np.count_nonzero(_samples_between(times, times[i], X.sfreq) >= n_times)

        n_left = len(rows)
        if generator is not None:
            n_last = n_left - n_before(-1)
            n_left -= int(torch.randint(n_last, (), generator=generator))
        while n_left:
            chosen.append(rows[n_left - 1])
            n_left = n_before(n_left - 1)
    return np.array(chosen)


class Tiles(Sampler):
    """Windows of an epoch that do not overlap, in random order and at random places.

    Parameters
    ----------
    X : EEGWindows
        Windows to choose from.
    batch_size : int
        Windows of a step; an epoch that would end with a single one does without it.
    """

    def __init__(self, X, batch_size):
        self.X, self.batch_size = X, batch_size

    def __len__(self):
        return len(tile(self.X))

    def __iter__(self):
        # Seeded by the global generator, as the order of other windows is.
        generator = torch.Generator().manual_seed(int(torch.randint(2**31, ())))
        windows = tile(self.X, generator)
        windows = windows[torch.randperm(len(windows), generator=generator).numpy()]
        if len(windows) % self.batch_size == 1 and len(windows) > 1:
            windows = windows[:-1]
        return iter(windows.tolist())


def eeg_scale(X):
    """Standard deviation of all EEG that the windows cover, in V; each sample counts once.

    Parameters
    ----------
    X : EEGWindows
        Windows.

    Returns
    -------
    scale : float
        Standard deviation around zero, or 1 where the EEG is zero throughout.
    """
    total, count, recordings = 0.0, 0, X.recordings
    for k, start, stop in X.stretches():
        piece = recordings[k][:, start:stop]
        total += float(np.square(piece, dtype=np.float64).sum())
        count += piece.size
    return float(np.sqrt(total / count)) or 1.0


def _samples_between(times, later, sfreq):
    return np.round((later - times) * sfreq).astype(int)
