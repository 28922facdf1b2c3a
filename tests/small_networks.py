"""Sizes of networks that are trained in a moment."""

SIZES = {
    "n_branches": 2,
    "n_taps": 15,
    "encoder_width": 4,
    "decoder_width": 4,
    "kernel_sizes": (3, 3),
    "pool_sizes": (8,),
}
