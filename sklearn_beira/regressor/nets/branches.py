"""Branches, the readable part of a network: spatial filter, band-pass filter, envelope."""

import math

import torch
from scipy.fft import next_fast_len
from torch import nn

_ROWS = 16  # the number of rows in matrix products is a multiple of this
_GROUP_SIZE = 2**20  # samples of filtered EEG computed at a time

RECTIFIERS = {"relu": torch.relu, "abs": torch.abs}


class BandFilters(nn.Module):
    """Spatially and spectrally filtered EEG: the linear part of a branch.

    Spatial filter, batch norm, FIR band-pass, batch norm. Branches do not mix, and the batch norms
    have no weights.

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
    """Branches of the paper, whose envelope is the rectified signal after a FIR low-pass.

    Parameters
    ----------
    n_channels : int
        EEG channels.
    n_filters : int
        Branches in all (regions x branches a region).
    n_taps : int
        Taps of both FIR filters, odd.
    rectifier : {"relu", "abs"}
        Nonlinearity that turns an oscillation into its envelope.
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


class PowerBranches(nn.Module):
    r"""Branches whose envelope is the power in successive segments, relative to its mean.

    .. math:: e_k(t) = \frac{g(t)}{p_k}\, \overline{(h_k * w_k^\top x)^2}(t) - 1

    with spatial filter :math:`w_k`, FIR band-pass :math:`h_k`, the mean over a segment, and the
    mean power in training :math:`p_k`. Branches with a finite :math:`a_k` (``log_offset``) read the
    logarithm, :math:`(1 + a_k) \log((1 + e_k + a_k) / (1 + a_k))`, which changes as the power does
    where it is near its mean. The gain :math:`g \le 1` scales segments down whose total
    power exceeds ``power_limit``, so that artifacts weigh no more than strong EEG.

    Samples within half an FIR filter of the ends are not used, so that EEG has the same envelopes
    in windows as in a whole recording. Power is quadratic in the EEG: a weighted sum of powers of
    channels is also a weighted sum of powers of spatial filters.

    Parameters
    ----------
    n_channels : int
        EEG channels.
    n_filters : int
        Branches in all.
    n_taps : int
        Taps of the FIR filters, odd.
    segment : int
        Samples of EEG per value of the envelope.
    """

    def __init__(self, n_channels, n_filters, n_taps, segment):
        super().__init__()
        self.segment = segment
        self.spatial = make_parameter(n_filters, n_channels, fan_in=n_channels)
        self.bandpass = make_parameter(n_filters, n_taps, fan_in=n_taps)
        self.register_buffer("mean_power", torch.ones(n_filters))
        self.register_buffer("log_offset", torch.full((n_filters,), math.inf))
        self.register_buffer("power_limit", torch.tensor(math.inf))

    @property
    def margin(self):
        """Samples that the FIR filters lose at each end."""
        return self.bandpass.shape[-1] // 2

    def forward(self, eeg):
        """Map EEG (n_windows, n_channels, n_times) to (n_windows, n_filters, n_segments).

        Segments are counted from the end of the window.
        """
        n_segments = (eeg.shape[-1] - 2 * self.margin) // self.segment

        def means(signal):
            signal = signal[..., signal.shape[-1] - n_segments * self.segment :]
            return signal.unflatten(-1, (n_segments, self.segment)).mean(dim=-1)

        return self._envelopes(eeg, means)

    def at(self, eeg, stops):
        """Map a stretch of EEG to the envelopes at some of its samples.

        Parameters
        ----------
        eeg : tensor, shape (n_channels, n_times)
            Continuous EEG.
        stops : tensor of int, shape (n_volumes, n_segments)
            Sample after the last that each segment uses, margin included.

        Returns
        -------
        envelopes : tensor, shape (n_volumes, n_filters, n_segments)
            Envelopes of windows that end there.
        """
        stops = stops - 2 * self.margin

        def means(signal):
            return segment_means(signal, stops, self.segment).movedim(-2, 0)

        return self._envelopes(eeg, means)

    def gain(self, total):
        """Return the gain of segments of a given total power, the mean square over channels."""
        return (self.power_limit / total.clamp_min(torch.finfo(total.dtype).tiny)).clamp_max(1.0)

    def total_power(self, eeg):
        """Compute the total power behind each filtered sample (..., n_times - 2 * margin).

        This is the mean square over channels at the sample or over its FIR filter, whichever is
        larger, as an artifact reaches the segments beside its own.
        """
        n_taps, n_times = self.bandpass.shape[-1], eeg.shape[-1]
        power = eeg.square().mean(dim=-2)
        total = nn.functional.pad(power.cumsum(dim=-1, dtype=torch.float64), (1, 0))
        around = (total[..., n_taps:] - total[..., :-n_taps]) / n_taps
        own = power[..., self.margin : n_times - self.margin]
        return torch.maximum(own, around.to(power.dtype))

    def _envelopes(self, eeg, means):
        """Compute relative powers; ``means`` averages signals (..., n_times) over segments."""
        # A few filters at a time, as allocating large arrays takes longer than filling them.
        n_filters, size = len(self.spatial), eeg[..., 0, :].numel()
        step = max(_ROWS, _GROUP_SIZE // size // _ROWS * _ROWS)
        groups = [slice(first, first + step) for first in range(0, n_filters, step)]
        power = torch.cat([means(self._power(eeg, group)) for group in groups], dim=-2)
        gain = self.gain(means(self.total_power(eeg))).unsqueeze(-2)
        return self.read(power * gain / self.mean_power[:, None], self.log_offset[:, None])

    @staticmethod
    def read(power, offset):
        """Return envelopes: relative power less 1, or its logarithm where the offset is finite."""
        finite = torch.where(offset.isinf(), 1.0, offset)
        log = (1 + finite) * torch.log((power + finite) / (1 + finite))
        return torch.where(offset.isinf(), power - 1.0, log)

    def _power(self, eeg, filters):
        """Compute the power of some filters (..., n_filters, n_times - 2 * margin)."""
        spatial, margin = self.spatial[filters], self.margin
        # With few rows, rounding depends on the number of threads.
        rows = nn.functional.pad(spatial, (0, 0, 0, -len(spatial) % _ROWS))
        signals = (rows @ eeg)[..., : len(spatial), :]
        filtered = fir_filter(signals, self.bandpass[filters])
        return filtered[..., margin : eeg.shape[-1] - margin].square()


def segment_means(signal, stops, length):
    """Average a signal over segments.

    Parameters
    ----------
    signal : tensor, shape (..., n_times)
        Signals.
    stops : tensor of int, shape (n_volumes, n_segments)
        Sample after the last of each segment.
    length : int
        Samples of a segment.

    Returns
    -------
    means : tensor, shape (..., n_volumes, n_segments)
        Mean of each segment.
    """
    # Differences of a cumulative sum, in double precision as long sums lose small segments.
    total = nn.functional.pad(signal.cumsum(dim=-1, dtype=torch.float64), (1, 0))
    means = (total[..., stops] - total[..., stops - length]) / length
    return means.to(signal.dtype)


def fir_filter(x, taps):
    """Filter each row with its own FIR, keeping the length.

    This is a depthwise convolution by FFT. On a CPU, the depthwise ``nn.Conv1d`` is far slower,
    especially its backward pass.

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
    return next(fir_filters(x, [taps]))


def fir_filters(x, several):
    """Filter the same signals with one set of taps after another.

    Parameters
    ----------
    x : tensor, shape (..., n_filters, n_times)
        Signals.
    several : sequence of tensor, shape (n_filters, n_taps) or (1, n_taps)
        As in :func:`fir_filter`; all have the same length.

    Yields
    ------
    y : tensor, shape (..., n_filters, n_times)
        Filtered signals.
    """
    n_times, n_taps = x.shape[-1], several[0].shape[-1]
    # Even, as real FFTs of odd lengths are slow.
    n_fft = 2 * next_fast_len(-(-(n_times + n_taps - 1) // 2), real=True)
    spectrum, start = torch.fft.rfft(x, n_fft), (n_taps - 1) // 2
    for taps in several:
        # Two rows at least: the FFT of a single one depends on the number of threads.
        rows = taps.flip(-1).expand(max(len(taps), 2), -1)
        filtered = spectrum * torch.fft.rfft(rows, n_fft)[: len(taps)]
        yield torch.fft.irfft(filtered, n_fft)[..., start : start + n_times]


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
