"""Statistics of batch norms under the final weights."""

from contextlib import contextmanager

from torch import nn


@contextmanager
def calibrating(module):
    """Compute the statistics of batch norms from the data that pass inside the context.

    The running averages of training lag behind the weights; with few steps per epoch, predictions
    would be off by a constant. Here each norm takes the average over all batches, while other
    layers, such as dropout, work as in prediction.

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
        norm.momentum = None  # the average over all batches
        norm.train()
    yield
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    module.eval()
