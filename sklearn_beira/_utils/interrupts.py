"""Ctrl-C, which some libraries swallow: training ends, and their caller never learns why."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interrupts() -> Iterator[list]:
    """Note each Ctrl-C within the block, whatever becomes of its KeyboardInterrupt.

    Yields
    ------
    came : list
        Gets an entry for each Ctrl-C. Empty where none arrives, as in threads.

    Raises
    ------
    KeyboardInterrupt
        If the block ends in another exception after a Ctrl-C, of which it may be a consequence.
    """
    came, before = [], signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield came
        return

    def note(number, frame):
        came.append(number)
        return before(number, frame)

    signal.signal(signal.SIGINT, note)
    try:
        yield came
    except Exception as error:
        if came:
            raise KeyboardInterrupt from error
        raise
    finally:
        signal.signal(signal.SIGINT, before)
