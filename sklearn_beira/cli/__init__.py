"""The command ``python -m sklearn_beira``: its options, its data, its job and the script of it."""

import shlex
import sys
import time

from .options import in_flags, parse
from .study_options import parse_study

__all__ = ["main"]


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
    of_study = argv[:1] == ["study"]
    options = argv[1:] if argv[:1] in (["study"], ["run"]) else argv
    args = parse_study(options) if of_study else parse(options)
    args.command = shlex.join(["python", "-m", "sklearn_beira", *argv])
    # A terminal that cannot write "≤" shows a question mark instead of ending the job.
    if hasattr(sys.stdout, "reconfigure"):  # notebooks have another kind of stream
        sys.stdout.reconfigure(errors="replace")
    started = time.monotonic()
    try:
        # Only now: --help and wrong options are answered at once.
        if of_study:
            from .study import run
        else:
            from .job import run
        status = run(args)
    except KeyboardInterrupt:
        said = "--resume goes on" if of_study else "no report was written"
        print(f"stopped: {said}", file=sys.stderr)
        return 130
    except (ValueError, TypeError, OSError) as error:
        print(f"error: {in_flags(error)}", file=sys.stderr)
        return 2
    print(f"Done in {time.monotonic() - started:.0f} s.")
    return status
