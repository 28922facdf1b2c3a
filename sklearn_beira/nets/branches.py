"""The part of a network that can be read: spatial filter, band-pass, envelope."""

import math

import torch
from torch import nn

RECTIFIERS = {"relu": torch.relu, "abs": torch.abs}


class BandFilters(nn.Module):
    """Spatially and spectrally filtered EEG: the linear part of a branch.

    Spatial filter, batch norm, FIR band-pass, batch norm. Branches do not mix; the batch norms
    have no weights of their own.

    Parameters
    ----------
    n_channels : int
        EEG channels.
    n_filters : int
        Branches in all.
    n_taps : int
        Taps of the FIR filters, odd.
    """

    def __init__(self, n_channels, n_filters, n_taps):
        super().__init__()
        self.spatial = make_parameter(n_filters, n_channels, fan_in=n_channels)
        self.spatial_bias = make_parameter(n_filters, fan_in=n_channels)
        self.norm = nn.BatchNorm1d(n_filters, affine=False)
        self.bandpass = make_parameter(n_filters, n_taps, fan_in=n_taps)
        self.band_norm = nn.BatchNorm1d(n_filters, affine=False)

    def forward(self, eeg):
        """Map EEG (n_windows, n_channels, n_times) to signals (n_windows, n_filters, n_times)."""
        x = self.norm(self.spatial @ eeg + self.spatial_bias[:, None])
        return self.band_norm(fir_filter(x, self.bandpass))


class RectifiedBranches(BandFilters):
    """Branches of the paper: the envelope is the rectified signal behind a FIR low-pass.

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

    def __init__(self, n_channels, n_filters, n_taps, rectifier):
        super().__init__(n_channels, n_filters, n_taps)
        self.rectifier = RECTIFIERS[rectifier]
        self.lowpass = make_parameter(n_filters, n_taps, fan_in=n_taps)
        self.lowpass_bias = make_parameter(n_filters, fan_in=n_taps)

    def forward(self, eeg):
        """Map EEG (n_windows, n_channels, n_times) to envelopes (n_windows, n_filters, n_times)."""
        x = self.rectifier(super().forward(eeg))
        return fir_filter(x, self.lowpass) + self.lowpass_bias[:, None]


class PowerBranches(BandFilters):
    """Branches whose envelope is the log of the mean power in successive segments.

    Parameters
    ----------
    n_channels : int
        EEG channels.
    n_filters : int
        Branches in all.
    n_taps : int
        Taps of the FIR filters, odd.
    segment : int
        Samples of EEG per value of the envelope. Segments are counted from the end of the window.
    """

    # Relative to the mean power, which the batch norm sets to 1: keeps silence finite.
    floor = 1e-4

    def __init__(self, n_channels, n_filters, n_taps, segment):
        super().__init__(n_channels, n_filters, n_taps)
        self.segment = segment
        self.power_norm = nn.BatchNorm1d(n_filters, affine=False)

    def forward(self, eeg):
        """Map EEG (n_windows, n_channels, n_times) to (n_windows, n_filters, n_segments)."""
        power = super().forward(eeg).square()
        n_segments = power.shape[-1] // self.segment
        power = power[..., power.shape[-1] - n_segments * self.segment :]
        power = power.unflatten(-1, (n_segments, self.segment)).mean(dim=-1)
        return self.power_norm(torch.log(power + self.floor))


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
    n_fft = fast_length(n_times + n_taps - 1)
    spectrum = torch.fft.rfft(x, n_fft) * torch.fft.rfft(taps.flip(-1), n_fft)
    start = (n_taps - 1) // 2
    return torch.fft.irfft(spectrum, n_fft)[..., start : start + n_times]


def fast_length(n):
    """Find the smallest even number of at least n that has no prime factor above 5.

    Parameters
    ----------
    n : int
        Least length.

    Returns
    -------
    length : int
        A length that FFTs are fast at.
    """
    while True:
        rest = n
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1 and n % 2 == 0:
            return n
        n += 1


def make_parameter(*shape, fan_in):
    """Make a parameter drawn from the initial range of ``nn.Conv1d``.

    Parameters
    ----------
    *shape : int
        Shape.
    fan_in : int
        Inputs of each output, which set the range.

    Returns
    -------
    parameter : nn.Parameter
        Uniform in plus or minus one over the root of ``fan_in``.
    """
    bound = 1 / math.sqrt(fan_in)
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
