"""Warnings that point at the line of the user."""

import contextlib
import sys
import warnings
from collections.abc import Iterator
from contextvars import ContextVar

_PACKAGES = ("sklearn_beira.", "sklearn.", "joblib.", "contextlib")
_records = ContextVar("records", default=())  # lists that collect the messages


def warn_user(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn, pointing at the line outside of this package and scikit-learn that called it.

    Parameters
    ----------
    message : str
        Message.
    category : type of Warning
        As in :func:`warnings.warn`.
    """
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(_PACKAGES):
        frame, level = frame.f_back, level + 1
    for messages in _records.get():
        messages.append(message)
    warnings.warn(message, category, stacklevel=level)


def warn_once(messages: list[str]) -> None:
    """Warn with the first of the messages about recordings, and count the others."""
    if messages:
        others = f" {len(messages) - 1} other recording(s) look alike." if messages[1:] else ""
        warn_user(messages[0] + others)


@contextlib.contextmanager
def noting(messages: list[str]) -> Iterator[None]:
    """Collect the messages of this package's warnings.

    Parameters
    ----------
    messages : list of str
        Gets the messages of warnings in this thread and within the block.
    """
    token = _records.set((*_records.get(), messages))
    try:
        yield
    finally:
        _records.reset(token)
