"""Warnings that point at the user's line, however deep inside they arise."""

import sys
import warnings


def warn_user(message, category=UserWarning):
    """Warn at the first line outside of this package, and of scikit-learn, which calls it.

    Parameters
    ----------
    message : str
        What to say.
    category : type of Warning
        As in :func:`warnings.warn`.
    """
    frame, level = sys._getframe(1), 2
    inside = (f"{__package__}.", "sklearn.", "joblib.")
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(inside):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
