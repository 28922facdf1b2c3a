"""The options of ``python -m sklearn_beira live`` and ``screen``. Imports nothing slow."""

import argparse

from ..realtime.names import NAME


def parse_live(argv: list[str]) -> argparse.Namespace:
    """Parse the arguments of the command for live predictions.

    Parameters
    ----------
    argv : list of str
        Arguments after ``live``.

    Returns
    -------
    args : argparse.Namespace
        One attribute per option.
    """
    parser = argparse.ArgumentParser(
        prog="python -m sklearn_beira live",
        description="Predict BOLD from an EEG stream of the Lab Streaming Layer, and publish it as "
        "a stream with one channel per region, the age of the EEG, the quality of the window and "
        "the feedback; the feedback is a stream of its own, too. Ctrl-C ends the session.",
        epilog='example: python -m sklearn_beira live model.safetensors --stream "actiCHamp-0"',
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help="file of save_model; its EEGFilter has causal=True")
    add("--stream", required=True, metavar="NAME", help="name of the EEG stream")
    add("--name", default=NAME, help="name of the stream of predictions (default: %(default)s)")
    add(
        "--step",
        type=float,
        default=1.0,
        metavar="S",
        help="time between predictions in s (default: %(default)s)",
    )
    add("--subject", metavar="LABEL", help="one of the people that the model knows")
    add(
        "--regions",
        nargs="+",
        metavar="NAME",
        help="names of the regions, for models that do not keep them, such as ridge",
    )
    add("--feedback", metavar="REGION", help="region of the feedback (default: the first)")
    add(
        "--log",
        metavar="FILE",
        help="table of predictions; a session is appended to a file of the same columns (default: "
        "beira_live_DATE-TIME.tsv, one per session)",
    )
    add("--minutes", type=float, metavar="M", help="length of the session (default: until Ctrl-C)")
    args = parser.parse_args(argv)
    if not args.step > 0:
        parser.error(f"--step must be above 0, got {args.step:g}")
    if args.minutes is not None and not args.minutes > 0:
        parser.error(f"--minutes must be above 0, got {args.minutes:g}")
    return args


def parse_screen(argv: list[str]) -> argparse.Namespace:
    """Parse the arguments of the command for the screen.

    Parameters
    ----------
    argv : list of str
        Arguments after ``screen``.

    Returns
    -------
    args : argparse.Namespace
        One attribute per option.
    """
    parser = argparse.ArgumentParser(
        prog="python -m sklearn_beira screen",
        description="Show the predictions of python -m sklearn_beira live as they come, on this or "
        "another computer of the network.",
    )
    add = parser.add_argument
    add(
        "--stream",
        default=NAME,
        metavar="NAME",
        help="stream of predictions (default: %(default)s)",
    )
    add("--minutes", type=float, default=5.0, metavar="M", help="time shown (default: %(default)s)")
    add("--web", action="store_true", help="serve a page for a browser instead of a window")
    add("--port", type=int, default=8988, help="of the page (default: %(default)s)")
    args = parser.parse_args(argv)
    if not args.minutes > 0:
        parser.error(f"--minutes must be above 0, got {args.minutes:g}")
    return args
