"""Warnings that point at the user's line, however deep inside they arise."""

import contextlib
import sys
import warnings
from contextvars import ContextVar

_noted = ContextVar("noted", default=())  # lists that keep what is said


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
    inside = ("sklearn_beira.", "sklearn.", "joblib.")
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(inside):
        frame, level = frame.f_back, level + 1
    for said in _noted.get():
        said.append(message)
    warnings.warn(message, category, stacklevel=level)


@contextlib.contextmanager
def noting(said):
    """Keep what this package warns of.

    Parameters
    ----------
    said : list of str
        Gets the sentences, in this thread and within the block.
    """
    token = _noted.set((*_noted.get(), said))
    try:
        yield
    finally:
        _noted.reset(token)
