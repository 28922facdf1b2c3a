"""The command ``python -m sklearn_beira``."""
