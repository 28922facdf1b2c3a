"""The command ``python -m sklearn_beira``: its options, its data, its job and the script of it."""

import shlex
import sys
import time

from .live_options import parse_live, parse_screen
from .options import in_flags, parse
from .study_options import parse_study

__all__ = ["main"]

_PARSERS = {"run": parse, "study": parse_study, "live": parse_live, "screen": parse_screen}
_STOPPED = {"run": "no report was written", "study": "--resume goes on"}


def main(argv: list[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : list of str or None
        Arguments; None takes those of the command line.

    Returns
    -------
    status : int
        0, 1 if a part of a study failed, 2 if the input cannot be used, 130 after Ctrl-C.
    """
    argv = sys.argv[1:] if argv is None else argv
    named = bool(argv) and argv[0] in _PARSERS
    job = argv[0] if named else "run"
    args = _PARSERS[job](argv[named:])
    args.command = shlex.join(["python", "-m", "sklearn_beira", *argv])
    # A terminal that cannot write "≤" shows a question mark instead of ending the job.
    if hasattr(sys.stdout, "reconfigure"):  # notebooks have another kind of stream
        sys.stdout.reconfigure(errors="replace")
    started = time.monotonic()
    try:
        # Only now: --help and wrong options are answered at once.
        if job == "study":
            from .study import run
        elif job == "live":
            from .live import run
        elif job == "screen":
            from .live import show as run
        else:
            from .job import run
        status = run(args)
    except KeyboardInterrupt:
        said = f": {_STOPPED[job]}" if job in _STOPPED else ""
        print(f"stopped{said}", file=sys.stderr)
        return 130
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(f"error: {in_flags(error)}", file=sys.stderr)
        return 2
    print(f"Done in {time.monotonic() - started:.0f} s.")
    return status
