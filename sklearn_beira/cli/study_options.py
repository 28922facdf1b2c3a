"""The options of ``python -m sklearn_beira study``. Imports nothing slow."""

import argparse

from .options import ATLAS


def parse_study(argv: list[str]) -> argparse.Namespace:
    """Parse the arguments of the command for studies.

    Parameters
    ----------
    argv : list of str
        Arguments after ``study``.

    Returns
    -------
    args : argparse.Namespace
        One attribute per option.
    """
    parser = argparse.ArgumentParser(
        prog="python -m sklearn_beira study",
        description="Process a BIDS folder: pair EEG with BOLD, extract regions, compare BEIRA "
        "with four baselines within each participant, and across participants by leaving one out. "
        "A run that fails does not end the others. Exit code: 0, 1 if a run or a participant "
        "failed, 2 if none can be used.",
        epilog="example: python -m sklearn_beira study ds003768 --task rest --bold raw --out out",
    )
    parser.set_defaults(paper=False)  # the published network takes hours
    add = parser.add_argument
    add("root", metavar="ROOT", help="BIDS folder")
    add("--out", metavar="FOLDER", help="folder for results (not needed with --dry-run)")
    add("--dry-run", action="store_true", help="print the table of runs, and stop")
    add("--resume", action="store_true", help="go on in a folder that holds results")
    add(
        "--level",
        choices=["participant", "group", "all"],
        default="all",
        help="within participants, across them, or both (default: %(default)s)",
    )
    add(
        "--only",
        nargs="+",
        metavar="LABEL",
        help="process these participants of the study (01 or sub-01), and no group: for jobs that "
        "run side by side, before one with --level group",
    )
    add(
        "--n-jobs",
        type=int,
        default=1,
        metavar="N",
        help="processes; -1 for one per processor (default: %(default)s)",
    )
    add("--folds", type=int, default=5, metavar="N", help="blocks per run (default: %(default)s)")
    add("--seed", type=int, default=0, metavar="N", help="random seed (default: %(default)s)")
    group = parser.add_argument_group("what to use")
    add = group.add_argument
    for name in ("participants", "session", "task", "run"):
        add(f"--{name}", nargs="+", metavar="LABEL", help="labels; all by default")
    add(
        "--eeg",
        default="raw",
        metavar="PATTERN",
        help="'raw' (default), a folder or a pattern of files; free of scanner artifacts",
    )
    add(
        "--bold",
        default="fmriprep",
        metavar="PATTERN",
        help="'fmriprep' (default), 'raw', a folder or a pattern of files",
    )
    add("--space", default="MNI152NLin2009cAsym", help="of fMRIPrep (default: %(default)s)")
    add(
        "--confounds",
        nargs="+",
        default=["motion", "wm_csf", "high_pass"],
        metavar="NAME",
        help="of fMRIPrep (default: motion wm_csf high_pass), a pattern of tables below ROOT, or "
        "none",
    )
    add("--pair", nargs="+", default=[], metavar="EEG=BOLD", help="tasks whose names differ")
    add(
        "--trigger",
        default="auto",
        metavar="NAME",
        help="marker of the volumes, CHANNEL:CODE of a stim channel, or COLUMN=VALUE of events.tsv "
        "(default: the marker that has the pace of the volumes)",
    )
    add(
        "--missing",
        metavar="END",
        help="'start' or 'end' that lacks triggers or volumes, or the number of the volume of the "
        "first trigger",
    )
    add("--atlas", default=ATLAS, help="name of an atlas, or label image (default: %(default)s)")
    add("--labels", metavar="FILE", help="table of regions with columns index and name")
    args = parser.parse_args(argv)
    if args.out is None and not args.dry_run:
        parser.error("--out is needed, or --dry-run")
    if args.folds < 2:
        parser.error(f"--folds must be at least 2, got {args.folds}")
    if args.only:
        if args.level == "group":
            parser.error("--only is for --level participant")
        args.level = "participant"
    if args.n_jobs == 0:
        parser.error("--n-jobs must be at least 1, or -1 for one per processor")
    if args.seed < 0:
        parser.error(f"--seed must be at least 0, got {args.seed}")
    if not all("=" in pair for pair in args.pair):
        parser.error("--pair takes EEG=BOLD")
    if args.missing not in (None, "start", "end") and not args.missing.isdigit():
        parser.error("--missing takes start, end or a number")
    return args
