"""The main job in one command: EEG and BOLD in, a table and an HTML report out.

Without files it runs on a simulated recording whose truth is known.
"""

import argparse
import shlex
import sys
import time
import warnings
from contextlib import contextmanager
from pathlib import Path
from textwrap import fill

from sklearn.base import clone
from sklearn.pipeline import Pipeline

from .._version import __version__
from ..baselines.makers import (
    make_alpha_hrf,
    make_band_power_ridge,
    make_eeg_fingerprint,
    make_time_polynomial,
)
from ..eeg.filters import EEGFilter, Windower
from ..evaluation.comparison import compare
from ..evaluation.splitters import BlockedKFold
from ..features.hrf import channels_to_average
from ..inspection import read_branches
from ..regressor.estimator import BEIRARegressor, make_paper_beira
from .data import ATLAS, get_data
from .script import script

# What models read of the EEG before a volume, in s; the paper's window ends some time before it.
HISTORY = 20.0
PAPER_WINDOW, PAPER_DELAY = 20.48, 6.0


def main(argv=None):
    """Run the main job.

    Parameters
    ----------
    argv : list of str or None
        Arguments; None takes those of the command line.

    Returns
    -------
    status : int
        0, or 2 if the input cannot be used.
    """
    args = _parse(argv)
    args.command = shlex.join(
        ["python", "-m", "sklearn_beira", *(sys.argv[1:] if argv is None else argv)]
    )
    # A terminal that cannot write "≤" shows something else instead of ending the job.
    if hasattr(sys.stdout, "reconfigure"):  # notebooks have another kind of stream
        sys.stdout.reconfigure(errors="replace")
    started = time.monotonic()
    try:
        run(args)
    except (ValueError, TypeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"Done in {time.monotonic() - started:.0f} s.")
    return 0


def run(args):
    """Load, cross-validate, print the table and write the report.

    Parameters
    ----------
    args : argparse.Namespace
        Parsed arguments.
    """
    output = Path(args.output)
    if not output.resolve().parent.is_dir():
        raise ValueError(f"the folder of --output {output} does not exist; make it first.")
    from ..viz.report import make_report

    duration, delay = (PAPER_WINDOW, PAPER_DELAY) if args.paper else (HISTORY, 0.0)
    tmin = -(duration + delay)
    notes = []
    with _noting(notes):
        data = get_data(args, tmin)
    X, y = data.X, data.y
    for note in notes:  # before minutes or hours are spent on what should be mended first
        print(f"{fill(note, 96)}\n")
    n_said = len(notes)
    cv = BlockedKFold(args.folds, gap=-tmin)
    list(cv.split(X))  # refuses what cannot be split
    eeg_filter = EEGFilter(1.0, min(45.0, 0.45 * X.sfreq), sfreq=min(100.0, X.sfreq))
    # In a log, a progress bar leaves fragments.
    options = {"random_state": args.seed, "verbose": sys.stderr.isatty()}
    beira = make_paper_beira(**options) if args.paper else BEIRARegressor(**options)
    rivals = {
        "ridge": make_band_power_ridge(HISTORY),
        "fingerprint": make_eeg_fingerprint(HISTORY),
        "alpha": make_alpha_hrf(HISTORY),
        "time": make_time_polynomial(),
    }
    models = {
        "BEIRA": Pipeline(
            [("filter", eeg_filter), ("window", Windower(duration, delay)), ("beira", beira)]
        ),
        **{
            name: Pipeline([("filter", eeg_filter), *rival.steps]) for name, rival in rivals.items()
        },
    }
    reads = f"All of them read the {HISTORY:g} s of EEG before a volume."
    if args.paper:
        reads = (
            f"'BEIRA' reads {duration:g} s of EEG that end {delay:g} s before a volume, as "
            f"published, its rivals the {HISTORY:g} s before it."
        )
    protocol = (
        f"Protocol: {args.folds} contiguous blocks of each recording, predicted in turn by models "
        f"trained on the others; training volumes closer than {-tmin:g} s to a test block are left "
        f"out. 'BEIRA' is the {'published' if args.paper else 'default'} architecture; its rivals "
        f"are the lagged band-power ridge (the baseline to beat), the EEG fingerprint (one "
        f"electrode), and alpha power ({_averaged(X.ch_names)}) with the hemodynamic response. "
        f"{reads} 'time' is a polynomial of time, which reads no EEG."
    )
    print(f"{fill(data.text, 96)}\n\n{fill(protocol, 96)}\n")

    with _noting(notes):
        comparison = compare(
            models,
            X,
            y,
            cv=cv,
            random_state=args.seed,
            verbose=sys.stderr.isatty(),
        )
    scores = comparison.summary(ceiling=data.ceiling)
    print(
        "r of BEIRA with its 95 % interval and p; r of its rivals. * where p_max (p corrected\n"
        "over regions) is at most .05; ≤ marks the smallest p that so many draws allow.\n"
    )
    print(f"{scores.rename_axis(None).to_string()}\n")
    print(
        "\n\n".join(fill(text, 96) for text in [comparison.settings["question"], *notes[n_said:]])
    )
    print("\nTraining BEIRA on all data, for its branches …")
    final = clone(models["BEIRA"]).fit(X, y)
    report = make_report(
        comparison,
        X,
        y,
        predictions={name: comparison.predictions[name] for name in ("BEIRA", "ridge")},
        model=final,
        branches=read_branches(final, X),
        extractor=data.extractor,
        ceiling=data.ceiling,
        data="\n\n".join([*notes[:n_said], data.text]),
        protocol="\n\n".join([protocol, *notes[n_said:]]),
        code=script(args, data, eeg_filter, (duration, delay), HISTORY),
        command=args.command,
        title="sklearn-beira",
    )
    report.save(output, overwrite=True, open_browser=False, verbose="error")
    print(f"Report: {output.resolve()}")


def _averaged(ch_names):
    picks = channels_to_average("posterior", ch_names)
    if isinstance(picks, slice):
        return "mean over all channels, as the name of none says that it is posterior"
    return f"mean over {', '.join(ch_names[i] for i in picks)}"


@contextmanager
def _noting(notes):
    """Collect what is warned of, each sentence once, for the terminal and the report."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    new = dict.fromkeys(f"Note: {w.message}" for w in caught)
    notes.extend(note for note in new if note not in notes)


def _parse(argv):
    parser = argparse.ArgumentParser(
        prog="python -m sklearn_beira",
        description="Predict BOLD from EEG under blocked cross-validation, beside four rivals; "
        "print r per region with its interval and p, and write an HTML report. Without files it "
        "runs on a simulated 10-minute recording, in sizes that take less than 3 minutes on two "
        "cores.",
        epilog="example: python -m sklearn_beira --eeg run1.vhdr --bold regions.csv --t-r 2.1 "
        "--trigger Response/R128",
    )
    parser.add_argument("--version", action="version", version=f"sklearn-beira {__version__}")
    of_own = _add_own(parser)
    parser.add_argument("--folds", type=int, default=5, help="number of blocks (default: 5)")
    parser.add_argument(
        "--paper",
        action="store_true",
        help="the published network, with its window and delay, in place of the default: hours on "
        "a CPU; a GPU is used where torch finds one",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of all that is drawn (default: 0)"
    )
    parser.add_argument(
        "--output", default="beira_report.html", help="where the report goes (default: %(default)s)"
    )
    args = parser.parse_args(argv)
    if (args.eeg is None) != (args.bold is None):
        parser.error("--eeg and --bold go together")
    if args.folds < 2:
        parser.error(f"--folds must be at least 2, got {args.folds}")
    given = [option for option in of_own if getattr(args, option.dest) != option.default]
    if args.eeg is None and given:
        parser.error(f"{given[0].option_strings[0]} goes with --eeg and --bold")
    return args


def _add_own(parser):
    """Options that belong to an own recording, which --eeg and --bold name."""
    own = parser.add_argument_group("your own recording")
    return [
        own.add_argument(
            "--eeg",
            metavar="FILE",
            help="EEG in any format that MNE reads, cleaned of gradient and pulse artifacts",
        ),
        own.add_argument(
            "--bold",
            metavar="FILE",
            help="table (csv, tsv) with a row per volume and a column per region, or a NIfTI image",
        ),
        own.add_argument(
            "--t-r",
            type=float,
            metavar="S",
            help="repetition time in s; alone, it says that the first volume starts with the "
            "recording; beside --trigger or a column time_s (onset of each volume, in s from the "
            "start of the EEG) it is checked",
        ),
        own.add_argument(
            "--trigger", metavar="NAME", help="annotation or stim channel that marks the volumes"
        ),
        own.add_argument(
            "--missing",
            choices=["start", "end"],
            help="where triggers and volumes differ in number: the end at which the fewer are "
            "missing",
        ),
        own.add_argument(
            "--exclude",
            nargs="+",
            default=[],
            metavar="CH",
            help="channels to leave out (EOG, bad ones)",
        ),
        own.add_argument(
            "--montage",
            metavar="NAME",
            help="where electrodes of these names are, such as easycap-M1, for EEG that does not "
            "tell it",
        ),
        own.add_argument(
            "--atlas", help=f"for a NIfTI image: name or label image (default: {ATLAS})"
        ),
        own.add_argument(
            "--labels",
            metavar="FILE",
            help="for a NIfTI image: table (csv, tsv) of its regions, with the columns index and "
            "name",
        ),
        own.add_argument(
            "--confounds", metavar="FILE", help="for a NIfTI image: fMRIPrep table or SPM rp_*.txt"
        ),
    ]
