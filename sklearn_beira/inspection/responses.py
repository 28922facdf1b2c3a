"""Response of the prediction to the envelopes, from gradients of the network."""

import numpy as np
import torch
from sklearn.utils import Bunch
from torch import nn

from .network import Envelopes, estimate, owners, to_array


def differentiate(batches: Envelopes) -> Bunch:
    """Differentiate the estimates for the volumes of windows by the envelopes.

    Parameters
    ----------
    batches : Envelopes
        Envelopes of all windows.

    Returns
    -------
    found : Bunch
        ``activation`` (n_rois, n_filters), the mean absolute gradient times envelope;
        ``gradient`` (n_rois, n_filters, n_values), the mean over windows, in order of time;
        ``level`` (n_filters,), the mean of the envelopes. Activation and gradient are 0 for the
        branches of other regions.
    """
    network, n_times = batches.network, batches.X.shape[2]
    owner = owners(network)
    activation = gradient = level = 0.0
    for _, envelopes in batches:
        envelopes = envelopes.detach().requires_grad_()
        estimates = estimate(network, envelopes, n_times).sum(dim=0)
        # If regions share no branches, one backward pass is enough for all of them.
        targets = estimates if (owner < 0).any() else [estimates.sum()]
        moved, slopes = [], []
        for target in targets:
            (slope,) = torch.autograd.grad(target, envelopes, retain_graph=True)
            moved.append((slope * envelopes).abs().mean(dim=-1).sum(dim=0))
            slopes.append(slope.sum(dim=0))
        activation = activation + to_array(torch.stack(moved))
        gradient = gradient + to_array(torch.stack(slopes))
        level = level + to_array(envelopes.mean(dim=-1).sum(dim=0))
    found = Bunch(activation=activation, gradient=gradient, level=level)
    if (owner >= 0).all():
        own = owner == np.arange(len(batches.regressor.target_mean_))[:, None]
        found.activation = np.where(own, activation, 0.0)
        found.gradient = np.where(own[:, :, None], gradient, 0.0)
    return Bunch(**{name: total / len(batches.X) for name, total in found.items()})


def delay_kernels(
    network: nn.Module, gradient: np.ndarray, level: np.ndarray, sfreq: float, delay: float
) -> tuple[np.ndarray, np.ndarray]:
    r"""Convert gradients by envelopes to kernels over the delay of BOLD.

    .. math:: h_{r,k}(\tau) = \frac{u_k}{\Delta} \operatorname{mean}
              \frac{\partial \hat y_r(t)}{\partial e_k(t - \tau)}

    where :math:`\Delta` is the interval between values of the envelope. The unit :math:`u_k` is a
    doubling of the power ("compact") or of the mean rectified signal ("autoencoder"), and that of
    the envelope in other networks.

    Parameters
    ----------
    network : nn.Module
        Network with branches.
    gradient : ndarray, shape (n_rois, n_filters, n_values)
        Mean gradient, in order of time.
    level : ndarray, shape (n_filters,)
        Mean of the envelopes.
    sfreq : float
        Sampling rate in Hz.
    delay : float
        Time in s from the end of the window to the volume.

    Returns
    -------
    lags : ndarray, shape (n_lags,)
        Center of the segment of each value, in s before the volume.
    kernels : ndarray, shape (n_rois, n_filters, n_lags)
        Change of the standardized prediction per second in which the envelope is one unit larger.
    """
    step, margin = steps_of(network.branches)
    lags = delay + (margin + (np.arange(gradient.shape[2]) + 0.5) * step) / sfreq
    unit = np.ones(len(level))
    if hasattr(network.branches, "lowpass_bias"):
        unit = level - to_array(network.branches.lowpass_bias)
    return lags, gradient[:, :, ::-1] * unit[:, None] * sfreq / step


def steps_of(branches: nn.Module) -> tuple[int, int]:
    """Return samples per value of the envelopes, and samples lost at each end of the EEG."""
    return getattr(branches, "segment", 1), getattr(branches, "margin", 0)
