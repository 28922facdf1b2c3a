"""The main job in one command: EEG and BOLD in, a table and an HTML report out.

Without files it runs on a simulated recording whose truth is known.
"""

import argparse
import re
import shlex
import sys
import time
import warnings
from contextlib import contextmanager
from pathlib import Path
from textwrap import fill

import matplotlib as mpl
import mne
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from ._columns import SECONDS, clock_of, find_clocks
from ._files import read_table
from .alignment import align, dropped_in_words
from .baselines import (
    make_alpha_hrf,
    make_band_power_ridge,
    make_eeg_fingerprint,
    make_time_polynomial,
)
from .comparison import compare, format_comparison
from .datasets import make_eeg_fmri
from .inspection import read_branches
from .model_selection import BlockedKFold
from .preprocessing import EEGFilter, Windower
from .regressor import BEIRARegressor, make_paper_beira
from .roi import ROIExtractor

# What models read of the EEG before a volume, in s; the paper's window ends some time before it.
HISTORY = 20.0
MINUTES = 10  # of the simulated run
PAPER_WINDOW, PAPER_DELAY = 20.48, 6.0
ATLAS = "harvard-oxford-subcortical"


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
    from .report import make_report  # pyplot is slow to import, and a wrong file needs no figure

    duration, delay = (PAPER_WINDOW, PAPER_DELAY) if args.paper else (HISTORY, 0.0)
    tmin = -(duration + delay)
    load = _simulate if args.eeg is None else _load
    notes = []
    with _noting(notes):
        X, y, data, ceiling, extractor = load(args, tmin)
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
        "finger-print": make_eeg_fingerprint(HISTORY),
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
        f"are the lagged band-power ridge (the baseline to beat), the EEG finger-print (one "
        f"electrode), and alpha power with the hemodynamic response. {reads} 'time' is a "
        f"polynomial of time, which reads no EEG."
    )
    print(f"{fill(data, 96)}\n\n{fill(protocol, 96)}\n")

    with _noting(notes):
        table, predictions = compare(
            models,
            X,
            y,
            cv=cv,
            random_state=args.seed,
            return_predictions=True,
            verbose=sys.stderr.isatty(),
        )
    scores = format_comparison(table, ceiling=ceiling)
    print(
        "r of BEIRA with its 95 % interval and p; r of its rivals. * where p_max (p corrected\n"
        "over regions) is at most .05; ≤ marks the smallest p that so many draws allow.\n"
    )
    print(f"{scores.rename_axis(None).to_string()}\n")
    print("\n\n".join(fill(text, 96) for text in [table.attrs["question"], *notes[n_said:]]))
    print("\nTraining BEIRA on all data, for its branches …")
    final = clone(models["BEIRA"]).fit(X, y)
    report = make_report(
        table,
        X,
        y,
        {name: predictions[name] for name in ("BEIRA", "ridge")},
        model=final,
        branches=read_branches(final, X),
        extractor=extractor,
        ceiling=ceiling,
        data=data,
        protocol="\n\n".join([protocol, *notes]),
        code=_code(args, eeg_filter, (duration, delay)) if args.eeg is None else "",
        command=args.command,
        title="sklearn-beira",
    )
    report.save(output, overwrite=True, open_browser=False, verbose="error")
    print(f"Report: {output.resolve()}")


@contextmanager
def _noting(notes):
    """Collect what is warned of, each sentence once, for the terminal and the report."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    new = dict.fromkeys(f"Note: {w.message}" for w in caught)
    notes.extend(note for note in new if note not in notes)


def _code(args, eeg_filter, window):
    """Python code that makes the table and the branches of the simulated run."""
    regressor = "make_paper_beira" if args.paper else "BEIRARegressor"
    tmin = -sum(window)
    return f"""\
from sklearn.pipeline import Pipeline
from sklearn_beira import {regressor}, EEGFilter, Windower, align, compare
from sklearn_beira import baselines
from sklearn_beira.comparison import format_comparison
from sklearn_beira.datasets import make_eeg_fmri
from sklearn_beira.inspection import read_branches
from sklearn_beira.model_selection import BlockedKFold
from sklearn_beira.viz import plot_branches

study = make_eeg_fmri(duration={MINUTES * 60:.1f}, random_state={args.seed})
X, y = align(study.raws, study.bolds, trigger="mri", tmin={tmin}, tmax=0.0)

eeg_filter = ("filter", {eeg_filter})
window, regressor = Windower{window}, {regressor}(random_state={args.seed})
rivals = {{
    "ridge": baselines.make_band_power_ridge({HISTORY}),
    "finger-print": baselines.make_eeg_fingerprint({HISTORY}),
    "alpha": baselines.make_alpha_hrf({HISTORY}),
    "time": baselines.make_time_polynomial(),
}}
models = {{"BEIRA": Pipeline([eeg_filter, ("window", window), ("beira", regressor)])}}
for name, rival in rivals.items():
    models[name] = Pipeline([eeg_filter, *rival.steps])

table = compare(models, X, y, cv=BlockedKFold({args.folds}, gap={-tmin}), random_state={args.seed})
print(format_comparison(table, ceiling=study.truth.noise_ceiling).to_string())

branches = read_branches(models["BEIRA"].fit(X, y), X)
for region in y.columns:
    plot_branches(branches, region)
"""


def _simulate(args, tmin):
    study = make_eeg_fmri(duration=60.0 * MINUTES, random_state=args.seed)
    X, y = align(study.raws, study.bolds, trigger="mri", tmin=tmin, tmax=0.0, verbose="error")
    data = (
        f"Data: SIMULATED, one {MINUTES}-minute run, {X.shape[1]} EEG channels, {len(y)} of "
        f"{len(study.bolds[0])} volumes every {study.t_r} s (the first have no EEG history). "
        f"'ceiling' is the r of a perfect predictor of the coupled part. Nothing here is a claim "
        f"about brains; use --eeg and --bold for your own recording."
    )
    return X, y, data, study.truth.noise_ceiling, None


def _load(args, tmin):
    for option, path in (("--eeg", args.eeg), ("--bold", args.bold)):
        if not Path(path).exists():  # EEG may be a folder
            raise ValueError(f"{option}: there is no file {path}; check the path.")
    if args.missing and not args.trigger:
        raise ValueError(
            "--missing says which end lacks triggers: give --trigger, or leave it out."
        )
    try:
        raw = mne.io.read_raw(args.eeg, preload=True, verbose="error")
    except UnicodeDecodeError as error:
        header = "; give the header, the .vhdr file" if args.eeg.lower().endswith(".eeg") else ""
        raise ValueError(f"--eeg: MNE cannot read {args.eeg}{header} ({error}).") from None
    unknown = sorted(set(args.exclude) - set(raw.ch_names))
    if unknown:
        raise ValueError(f"--exclude names channels that {args.eeg} lacks: {', '.join(unknown)}.")
    raw.info["bads"] = sorted({*raw.info["bads"], *args.exclude})
    bold, volume_times, extractor, left_out = _read_bold(args)
    if args.trigger is None and volume_times is None and args.t_r is None:
        raise ValueError(
            "say when the volumes were acquired: give --trigger, a column time_s in the table of "
            "--bold, or --t-r."
        )
    if args.trigger:
        onsets, volume_times = f"the markers {args.trigger!r}", None
    elif volume_times is not None:
        onsets = f"the time column of {args.bold}"
    else:
        onsets = "--t-r, the first volume starting with the recording"
    X, y = align(
        raw,
        bold,
        t_r=args.t_r,
        volume_times=volume_times,
        trigger=args.trigger,
        missing=args.missing,
        tmin=tmin,
        tmax=0.0,
        verbose="error",
    )
    row = X.alignment.iloc[0]
    no_region = f" (not regions: {', '.join(map(str, left_out))})" if left_out else ""
    data = (
        f"Data: {args.eeg} ({X.shape[1]} EEG channels: {', '.join(X.ch_names)}; "
        f"{raw.times[-1]:.1f} s) and {args.bold}. {row['kept']} of {row['n_volumes']} volumes are "
        f"used (dropped: {dropped_in_words(row)}). Volume onsets: {onsets}. Regions: "
        f"{', '.join(map(str, y.columns))}{no_region}."
    )
    return X, y, data, None, extractor


def _read_bold(args):
    """Regions, onset of each volume if the table tells it, extractor of an image, other columns."""
    path = Path(args.bold)
    if path.name.endswith((".nii", ".nii.gz")):
        extractor = ROIExtractor(args.atlas or ATLAS, labels=args.labels, confounds=args.confounds)
        return extractor.fit_transform(str(path)), None, extractor, []
    if path.is_dir():
        raise ValueError(f"--bold {path} is a folder; give a table or a NIfTI image.")
    for_images = [name for name in ("atlas", "labels", "confounds") if getattr(args, name)]
    if for_images:
        raise ValueError(
            f"--{for_images[0]} goes with a NIfTI image, but {path} is a table, whose columns are "
            f"taken as they are; leave it out."
        )
    with path.open(encoding="utf-8-sig") as lines:
        header = lines.readline()
    # Not left to pandas: in a table of one region it takes a digit for the separator.
    table = read_table(path, "BOLD", sep=max(",;\t", key=header.count))
    when = find_clocks(table)
    regions = table.drop(columns=when)
    text = list(regions.columns.difference(regions.select_dtypes("number").columns))
    if all(_is_number(name) for name in table):
        raise ValueError(f"the first line of {path} holds numbers; let it name the regions.")
    if text and regions[text[0]].astype(str).str.fullmatch(r"\s*-?\d+,\d+\s*").all():
        raise ValueError(f"{path} has numbers with a decimal comma; write them with a point.")
    if len(table.columns) == 1 and len(str(table.columns[0]).split()) > 1 and text:
        raise ValueError(
            f"columns of {path} have to be separated by a comma, a semicolon or a tab."
        )
    if text or regions.empty:
        raise ValueError(
            f"{path} must hold one column of numbers per region; columns with text in them: "
            f"{', '.join(map(str, text)) or 'none, but no other column either'}."
        )
    seconds = [name for name in when if clock_of(name) in SECONDS]
    return regions, (table[seconds[0]].to_numpy() if seconds else None), None, when


def _is_number(name):
    # pandas tells columns of one name apart by ".1".
    return re.fullmatch(r"\s*[-+]?\d+([.,]\d+)*(e[-+]?\d+)?(\.\d+)?\s*", str(name)) is not None


def _parse(argv):
    parser = argparse.ArgumentParser(
        prog="python -m sklearn_beira",
        description="Predict BOLD from EEG under blocked cross-validation, beside four rivals; "
        "print r per region with its interval and p, and write an HTML report. Without files it "
        "runs on a simulated 10-minute recording, in sizes that take less than 3 minutes on two "
        "cores.",
    )
    own = parser.add_argument_group("your own recording")
    own.add_argument("--eeg", metavar="FILE", help="EEG in any format that MNE reads")
    own.add_argument(
        "--bold",
        metavar="FILE",
        help="table (csv, tsv) with a row per volume and a column per region, or a NIfTI image",
    )
    own.add_argument(
        "--t-r",
        type=float,
        metavar="S",
        help="repetition time in s; alone, it says that the first volume starts with the "
        "recording; beside --trigger or a column time_s (onset of each volume in s) it is checked",
    )
    own.add_argument(
        "--trigger", metavar="NAME", help="annotation or stim channel that marks the volumes"
    )
    own.add_argument(
        "--missing", choices=["start", "end"], help="which end lacks triggers (or volumes), if any"
    )
    own.add_argument(
        "--exclude",
        nargs="+",
        default=[],
        metavar="CH",
        help="channels to leave out (EOG, bad ones)",
    )
    own.add_argument("--atlas", help=f"for a NIfTI image: name or label image (default: {ATLAS})")
    own.add_argument("--labels", metavar="FILE", help="for a NIfTI image: names of regions")
    own.add_argument(
        "--confounds", metavar="FILE", help="for a NIfTI image: fMRIPrep table or SPM rp_*.txt"
    )
    parser.add_argument("--folds", type=int, default=5, help="number of blocks (default: 5)")
    parser.add_argument(
        "--paper",
        action="store_true",
        help="the published sizes, window and delay: hours on a CPU",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed (default: 0)")
    parser.add_argument(
        "--output", default="beira_report.html", help="where the report goes (default: %(default)s)"
    )
    args = parser.parse_args(argv)
    if (args.eeg is None) != (args.bold is None):
        parser.error("--eeg and --bold go together")
    return args


if __name__ == "__main__":
    mpl.use("Agg")  # not in main, which may be called where figures are shown
    sys.exit(main())
