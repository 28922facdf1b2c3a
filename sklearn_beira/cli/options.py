"""The options of the command. Imports nothing slow, so that ``--help`` answers at once."""

import argparse
import re

from .._version import __version__

ATLAS = "harvard-oxford-subcortical"
# Option of a recording of one's own, what it takes, and its help.
_OWN = {
    "--eeg": (
        "FILE",
        "EEG without gradient and pulse artifacts, in any format that MNE reads; one file per run",
    ),
    "--bold": (
        "FILE",
        "table (csv, tsv, npy) with one row per volume and one column per region, or NIfTI image; "
        "one file per run",
    ),
    "--subjects": (
        "LABEL",
        "subject of each run; with several, models are compared within each and by leaving one "
        "out, and the report is that of the group",
    ),
    "--t-r": (
        "S",
        "repetition time in s; without --trigger and without a column time_s in the table, the "
        "first volume starts with the EEG; otherwise only checked",
    ),
    "--trigger": (
        "NAME",
        "annotation or stim channel that marks the volumes; STI:8 for code 8 of the channel STI",
    ),
    "--missing": (
        None,
        "where markers or volumes are missing if their numbers differ; one for all runs, or one "
        "per run",
    ),
    "--exclude": ("CH", "channels to exclude, for example EOG or bad channels"),
    "--montage": ("NAME", "electrode positions, for example easycap-M1, for EEG without positions"),
    "--atlas": ("ATLAS", f"NIfTI only: name of an atlas or label image (default: {ATLAS})"),
    "--labels": ("FILE", "NIfTI only: table (csv, tsv) of regions with columns index and name"),
    "--nuisance": (
        "X",
        "tables with one row per volume (motion, heart rate, task), one per run, or names of "
        "channels (ECG, EOG); the report shows what EEG predicts beyond them. Without it, moments "
        "of loud EEG are used if a hundredth of the volumes follows some; none turns it off",
    ),
    "--confounds": ("FILE", "NIfTI only: fMRIPrep confounds table or SPM rp_*.txt, per run"),
}
_KINDS = {
    "--t-r": {"type": float},
    "--eeg": {"nargs": "+"},
    "--bold": {"nargs": "+"},
    "--subjects": {"nargs": "+", "default": []},
    "--missing": {"choices": ["start", "end", "none"], "nargs": "+", "default": []},
    "--exclude": {"nargs": "+", "default": []},
    "--confounds": {"nargs": "+", "default": []},
    "--nuisance": {"nargs": "+", "default": []},
}
# Parameters of Python in messages, and what the command has in their place.
_FLAGS = (
    (r"give trigger, volume_times or t_r", "give --trigger, --t-r or a column time_s in --bold"),
    (r"give volume_times=.*$", "give the times in s in a column time_s of --bold."),
    (r": volume_times=.*$", ", and give their times in s in a column time_s of --bold."),
    (r"give volume_times", "give a column time_s in --bold"),
    (r"\bvolume_times\b", "times of the column time_s"),
    (r"bold='raw', a folder or a pattern of files as bold", "--bold raw, a folder or a pattern"),
    (r"missing='start' or 'end'", "--missing start or end"),
    (r"missing='(\w+)'", r"--missing \1"),
    (r"trigger=\('([^']*)', (\w+)\)", r"--trigger '\1:\2'"),
    (r"trigger=('[^']*')", r"--trigger \1"),
    (r"\bt_r=", "--t-r "),
    (r"\bt_r\b", "--t-r"),
    (r"raw\.info\['bads'\]", "--exclude"),
    (r"; set their type with raw\.set_channel_types, or name all channels to use in picks", ""),
    (r"use raw\.set_channel_types\(.*?\)", "save the EEG with the type stim for it"),
    (r"or mark them as bad", "or give them to --exclude"),
    (r"give rows an index named 'volume' that counts", "let a column named volume count"),
    (r"pass its parts to align as a list of recordings", "give its parts as several runs"),
)


def in_flags(message: object) -> str:
    """Write a message of the package with the options of the command."""
    text = str(message)
    for pattern, flag in _FLAGS:
        text = re.sub(pattern, flag, text)
    return text


def parse(argv: list[str]) -> argparse.Namespace:
    """Parse the arguments of the command, and check which of them go together.

    Parameters
    ----------
    argv : list of str
        Arguments.

    Returns
    -------
    args : argparse.Namespace
        One attribute per option.
    """
    parser = argparse.ArgumentParser(
        prog="python -m sklearn_beira",
        description="Predict BOLD from EEG with blocked cross-validation, compare the model with "
        "four baselines, print r, its confidence interval and p of every region, and write an "
        "HTML report. Without files, a simulated 10-minute recording is analyzed (less than 3 "
        "minutes on two cores). The word run may stand in front of the options.",
        epilog="example: python -m sklearn_beira --eeg run1.vhdr --bold regions.csv --t-r 2.1 "
        "--trigger Response/R128. For a whole BIDS folder: python -m sklearn_beira study --help. "
        "While EEG is recorded: python -m sklearn_beira live --help",
    )
    parser.add_argument("--version", action="version", version=f"sklearn-beira {__version__}")
    parser.add_argument("--folds", type=int, default=5, help="number of blocks (default: 5)")
    parser.add_argument(
        "--paper",
        action="store_true",
        help="use the published network with its window and delay (hours on a CPU; uses a GPU if "
        "torch finds one)",
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
    parser.add_argument(
        "--output", default="beira_report.html", help="HTML file to write (default: %(default)s)"
    )
    group = parser.add_argument_group("your own recording")
    own = [
        group.add_argument(option, help=text, metavar=metavar, **_KINDS.get(option, {}))
        for option, (metavar, text) in _OWN.items()
    ]
    args = parser.parse_args(argv)
    if (args.eeg is None) != (args.bold is None):
        parser.error("--eeg and --bold go together")
    if args.folds < 2:
        parser.error(f"--folds must be at least 2, got {args.folds}")
    if args.seed < 0:
        parser.error(f"--seed must be at least 0, got {args.seed}")
    given = [option for option in own if getattr(args, option.dest) != option.default]
    if args.eeg is None and given:
        parser.error(f"{given[0].option_strings[0]} needs --eeg and --bold")
    return args
