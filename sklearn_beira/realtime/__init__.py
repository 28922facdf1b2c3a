"""Predictions while EEG is recorded."""

import lazy_loader

# BoldTwin needs no screen.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={"screen": ["show_live"], "session": ["run_live"], "twin": ["BoldTwin"]},
)
