"""The part of the network that can be read: spatial filter, band-pass, envelope."""

import math

import torch
from torch import nn

RECTIFIERS = {"relu": torch.relu, "abs": torch.abs}


class Branches(nn.Module):
    """Envelopes of spatially and spectrally filtered EEG.

    Spatial filter with bias, batch norm, FIR band-pass without bias, batch norm, rectifier, FIR
    low-pass with bias. Branches do not mix; the batch norms have no weights of their own.

    Parameters
    ----------
    n_channels : int
        EEG channels.
    n_filters : int
        Branches in all (regions x branches a region).
    n_taps : int
        Taps of both FIR filters, odd.
    rectifier : {"relu", "abs"}
        What turns an oscillation into its envelope.
    """

    def __init__(self, n_channels, n_filters, n_taps=51, rectifier="relu"):
        super().__init__()
        self.rectifier = RECTIFIERS[rectifier]
        self.spatial = _parameter(n_filters, n_channels, fan_in=n_channels)
        self.spatial_bias = _parameter(n_filters, fan_in=n_channels)
        self.norm = nn.BatchNorm1d(n_filters, affine=False)
        self.bandpass = _parameter(n_filters, n_taps, fan_in=n_taps)
        self.band_norm = nn.BatchNorm1d(n_filters, affine=False)
        self.lowpass = _parameter(n_filters, n_taps, fan_in=n_taps)
        self.lowpass_bias = _parameter(n_filters, fan_in=n_taps)

    def forward(self, eeg):
        """Map EEG (n_windows, n_channels, n_times) to envelopes (n_windows, n_filters, n_times)."""
        x = self.spatial @ eeg + self.spatial_bias[:, None]
        x = self.band_norm(fir_filter(self.norm(x), self.bandpass))
        return fir_filter(self.rectifier(x), self.lowpass) + self.lowpass_bias[:, None]


def fir_filter(x, taps):
    """Filter each row with its own FIR, keeping the length.

    A depthwise convolution, computed through the FFT: on a CPU the depthwise ``nn.Conv1d`` is far
    slower, its backward pass above all.

    Parameters
    ----------
    x : tensor, shape (n_windows, n_filters, n_times)
        Signals.
    taps : tensor, shape (n_filters, n_taps)
        Cross-correlation kernels (the convention of ``nn.Conv1d``), odd length.

    Returns
    -------
    y : tensor, shape (n_windows, n_filters, n_times)
        Filtered signals; zeros are assumed outside.
    """
    n_times, n_taps = x.shape[-1], taps.shape[-1]
    n_fft = _fast_length(n_times + n_taps - 1)
    spectrum = torch.fft.rfft(x, n_fft) * torch.fft.rfft(taps.flip(-1), n_fft)
    start = (n_taps - 1) // 2
    return torch.fft.irfft(spectrum, n_fft)[..., start : start + n_times]


def _fast_length(n):
    """Smallest even number >= n with no prime factor above 5."""
    while True:
        rest = n
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1 and n % 2 == 0:
            return n
        n += 1


def _parameter(*shape, fan_in):
    bound = 1 / math.sqrt(fan_in)  # the initial range of nn.Conv1d
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
