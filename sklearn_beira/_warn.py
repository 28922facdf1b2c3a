"""Warnings that point at the user's line, however deep inside they arise."""

import sys
import warnings


def warn_user(message, category=UserWarning):
    """Warn at the first line outside of this package.

    Parameters
    ----------
    message : str
        What to say.
    category : type of Warning
        As in :func:`warnings.warn`.
    """
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(f"{__package__}."):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
