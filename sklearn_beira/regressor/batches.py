"""Batches of windows of EEG and of the volumes that they estimate, as tensors."""

from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from ..eeg.rows import rows_in_time
from .nets.devices import has_room, send


class VolumeBatches(Dataset):
    """Batches of windows and the BOLD of the volumes that they estimate.

    Parameters
    ----------
    eeg : HostWindows or DeviceWindows
        EEG of the windows.
    rows, samples : ndarray of int, shape (n_windows, n_slots)
        Volumes that each window estimates, and output samples of the estimates, as given by
        :func:`volumes_in_windows`; -1 marks an empty slot.
    y : ndarray of shape (n_volumes, n_rois) or None
        Standardized BOLD; None in prediction.
    windows : ndarray of int, shape (n_windows,) or None
        Index of each window in ``eeg``; None stands for all windows.
    """

    def __init__(self, eeg, rows, samples, y=None, windows=None):
        self.eeg, self.rows, self.samples = eeg, rows, samples
        self.windows = np.arange(len(rows)) if windows is None else windows
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
            "eeg": self.eeg(self.windows[indices]),
            "window": send(np.nonzero(filled)[0], self.eeg.device),
            "sample": send(self.samples[indices][filled], self.eeg.device),
        }
        if self.y is None:
            return batch, torch.zeros(len(indices))
        return batch, self.y[send(rows[filled], self.eeg.device)]


class HostWindows:
    """Windows that are cut on the host and sent to the device, a batch at a time.

    Parameters
    ----------
    X : EEGWindows
        Windows.
    scale : float
        The EEG is divided by this number.
    device : str
        Device of the batches.
    """

    def __init__(self, X, scale, device):
        self.X, self.scale, self.device = X, scale, device

    def __call__(self, indices):
        """Return windows, scaled and on the device."""
        eeg = np.array(self.X[indices], dtype=np.float32)
        eeg /= self.scale
        return send(eeg, self.device)


class DeviceWindows:
    """Windows that are cut on the device, which holds the recordings.

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


def place_eeg(X, scale, device):
    """Keep EEG on the device if there is room for it, else on the host.

    Parameters
    ----------
    X, scale, device
        As of :class:`HostWindows`.

    Returns
    -------
    eeg : HostWindows or DeviceWindows
        A call with row indices returns a float32 tensor (n_rows, n_channels, n_times) on the
        device.
    """
    if torch.device(device).type == "cpu":
        return HostWindows(X, scale, device)
    n_bytes = 4 * X.shape[1] * count_samples(X)
    windows = DeviceWindows if has_room(device, n_bytes) else HostWindows
    return windows(X, scale, device)


def make_batches(X, eeg, y=None, *, mode, stride):
    """Make the batches of an estimate or of an epoch.

    Parameters
    ----------
    X : EEGWindows
        Windows.
    eeg : HostWindows or DeviceWindows
        EEG of the windows.
    y : ndarray of shape (n_volumes, n_rois) or None
        Standardized BOLD; None in prediction.
    mode : {"many_to_many", "many_to_one"}
        Volumes that a window estimates.
    stride : {"volume", "window"}
        Windows that are read: all windows, or as few as hold all volumes.

    Returns
    -------
    batches : VolumeBatches
        Batches of windows.
    """
    rows, samples = volumes_in_windows(X, mode)
    windows = tile(X) if stride == "window" else np.arange(len(X))
    return VolumeBatches(eeg, rows[windows], samples[windows], y, windows)


def count_samples(X):
    """Count the samples in all pieces of :func:`cut_pieces`."""
    return sum(piece.eeg.shape[1] for piece in cut_pieces(X))


class Piece(NamedTuple):
    """Continuous EEG and the windows that lie in it.

    Attributes
    ----------
    eeg : ndarray, shape (n_channels, n_times)
        EEG in V, a view.
    stops : ndarray of int, shape (n_volumes,)
        Sample after the last of each window.
    rows : ndarray of int, shape (n_volumes,)
        Rows of X.
    """

    eeg: np.ndarray
    stops: np.ndarray
    rows: np.ndarray

    def only(self, some):
        """Yield the stretches of EEG that some windows lie in, as pieces.

        Parameters
        ----------
        some : ndarray of int
            Numbers of windows in the piece, ascending.
        """
        n_times = self.stops[0]  # the first window begins with the piece
        cuts = np.flatnonzero(np.diff(self.stops[some]) >= n_times) + 1
        for own in np.split(some, cuts) if len(some) else ():
            first, stop = self.stops[own[0]] - n_times, self.stops[own[-1]]
            yield Piece(self.eeg[:, first:stop], self.stops[own] - first, self.rows[own])

    def scaled_eeg(self, scale, device):
        """Return the EEG divided by a scale, as a float32 tensor on a device."""
        scaled = np.array(self.eeg, dtype=np.float32) / np.float32(scale)
        return torch.from_numpy(scaled).to(device)


def cut_pieces(X, max_times=2**15):
    """Cut EEG into continuous pieces, so that samples in overlapping windows are read once.

    Parameters
    ----------
    X : EEGWindows
        Windows; each epoch of an epoched array is a piece of its own.
    max_times : int
        Longest piece in samples, unless a window is longer.

    Returns
    -------
    pieces : list of Piece
        Pieces in order of recording and time, which overlap by less than a window.
    """
    pieces, n_times, recordings = [], X.shape[2], X.recordings
    source, starts = X.source, X.starts
    for rows in X._rows_of_stretches():
        while len(rows):
            k, first = source[rows[0]], starts[rows[0]]
            n = max(np.searchsorted(starts[rows] + n_times, first + max_times, "right"), 1)
            here, rows = rows[:n], rows[n:]
            stops = starts[here] + n_times
            pieces.append(Piece(recordings[k][:, first : stops[-1]], stops - first, here))
    return pieces


def keep_batch(batch):
    """Return a batch as it is; a collate function for :class:`VolumeBatches`."""
    return batch


def volumes_in_windows(X, mode):
    """Find the volumes that each window estimates, and the output samples of the estimates.

    The last output sample of a window belongs to the window's own volume. With
    ``mode="many_to_many"``, earlier samples belong to the earlier volumes of X inside the delayed
    window.

    Parameters
    ----------
    X : EEGWindows
        Windows. If times are unknown, each window estimates its own volume only.
    mode : {"many_to_many", "many_to_one"}
        All volumes inside the delayed window, or the own volume only.

    Returns
    -------
    rows, samples : ndarray of int, shape (n_windows, n_slots)
        Indices of the volumes in X and of the output samples; -1 marks an empty slot.
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
    """Choose as few windows as hold all volumes, without overlap.

    Windows are chosen backward from the end of each recording.

    Parameters
    ----------
    X : EEGWindows
        Windows. If times are unknown, all are chosen.
    generator : torch.Generator or None
        If given, the last chosen window ends at a random volume inside the last window of the
        recording, and later volumes are left out.

    Returns
    -------
    windows : ndarray of int
        Rows of X.
    """
    if not X.has_times:
        return np.arange(len(X))
    chosen, n_times = [], X.shape[2]
    for rows in rows_in_time(X.groups, X.times):
        times = X.times[rows]

        def n_before(i, times=times):
            """Count the volumes before the window of volume i."""
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
    """Sampler of windows that do not overlap, at random places and in random order.

    Parameters
    ----------
    X : EEGWindows
        Windows to choose from.
    batch_size : int
        Windows per step. A last batch of a single window is left out.
    """

    def __init__(self, X, batch_size):
        self.X, self.batch_size = X, batch_size

    def __len__(self):
        return len(tile(self.X))

    def __iter__(self):
        # Seeded by the global generator, as the shuffling of a DataLoader is.
        generator = torch.Generator().manual_seed(int(torch.randint(2**31, ())))
        windows = tile(self.X, generator)
        windows = windows[torch.randperm(len(windows), generator=generator).numpy()]
        if len(windows) % self.batch_size == 1 and len(windows) > 1:
            windows = windows[:-1]
        return iter(windows.tolist())


def eeg_scale(X):
    """Compute the standard deviation of the EEG that the windows cover, in V.

    A sample that lies in several windows counts once.

    Parameters
    ----------
    X : EEGWindows
        Windows.

    Returns
    -------
    scale : float
        Root mean square, or 1 if all EEG is zero.
    """
    total, count, recordings = 0.0, 0, X.recordings
    for k, start, stop in X.stretches():
        piece = recordings[k][:, start:stop]
        total += float(np.square(piece, dtype=np.float64).sum())
        count += piece.size
    return float(np.sqrt(total / count)) or 1.0


def _samples_between(times, later, sfreq):
    return np.round((later - times) * sfreq).astype(int)
