"""Save and load fitted models in files that are safe to share, and export networks."""

import lazy_loader

# Lazy, so that models without a network are saved and loaded without importing torch.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "export": ["export_network"],
        "published": ["load_published_beira"],
        "saving": ["load_model", "read_metadata", "save_model"],
    },
)
