"""Regressors by parameters of any of their parts, and sizes that are trained in a moment."""

from sklearn_beira import BEIRARegressor, Training
from sklearn_beira.regressor.architectures import ARCHITECTURES

SIZES = {
    "n_branches": 2,
    "n_taps": 15,
    "encoder_width": 4,
    "decoder_width": 4,
    "kernel_sizes": (3, 3),
    "pool_sizes": (8,),
}

ALL_SIZES = {size for kind in ARCHITECTURES.values() for size in kind().get_params()}


def make_beira(architecture="compact", **params):
    """Make a regressor from parameters of its own, of its architecture and of its training.

    There is a training where ``max_epochs`` is given and not 0. Sizes that this architecture does
    not have are left out, so that a test may go through all architectures.
    """
    if isinstance(architecture, str):
        architecture = ARCHITECTURES[architecture]()
    training = Training() if params.get("max_epochs") else None
    model = BEIRARegressor(architecture, training=training)
    nested = {name.rpartition("__")[2]: name for name in model.get_params()}
    left_out = ALL_SIZES | (set() if training else set(Training().get_params()))
    return model.set_params(
        **{nested.get(k, k): v for k, v in params.items() if k in nested or k not in left_out}
    )
