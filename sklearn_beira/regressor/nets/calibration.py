"""Batch norms as the final weights see the training data."""

from contextlib import contextmanager

from torch import nn


@contextmanager
def calibrating(module):
    """Set the batch norms of a module to the data that pass it inside the context.

    The running averages of training lag behind the weights; with few steps an epoch, predictions
    would be off by a constant. Here each norm takes the plain average over all batches, while
    everything else, dropout above all, works as in prediction.

    Parameters
    ----------
    module : nn.Module
        Trained network, left in evaluation mode.

    Yields
    ------
    None
        Pass the training data, as the module takes them, inside the context.
    """
    norms = [
        layer for layer in module.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)
    ]
    momenta = [norm.momentum for norm in norms]
    module.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's word for the plain average
        norm.train()
    yield
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    module.eval()
