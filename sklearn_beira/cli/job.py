"""The job of the command: EEG and BOLD in, a table and an HTML report out."""

import sys
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path
from textwrap import fill

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.model_selection import LeaveOneGroupOut
from sklearn.pipeline import Pipeline

from .. import baselines
from .._utils.files import printable, temporary_file
from ..eeg import EEGFilter, Windower
from ..evaluation import BlockedKFold, compare
from ..inspection import read_branches
from ..regressor import BEIRARegressor, make_paper_beira
from ..viz import make_report
from ..viz.report import save_report
from .data import get_data
from .group_report import make_group_report, mean_tables, score_table
from .options import in_flags
from .quality import add_quality, run_quality
from .script import script

# EEG before a volume that models use, in s; the paper's window ends PAPER_DELAY before it.
HISTORY = 20.0
PAPER_WINDOW, PAPER_DELAY = 20.48, 6.0

_LEGEND = (
    "r is Pearson's r of out-of-fold predictions with its 95% interval, p_max is p corrected over "
    "regions, and * marks p_max of at most .05."
)
_BASELINES = (
    "Baselines: ridge (lagged band power, the one to beat), fingerprint (EEG fingerprint, one "
    "electrode), alpha (alpha power with the hemodynamic response), time (a polynomial of time, "
    "which uses no EEG)."
)


def run(args) -> int:
    """Load the data, compare the models, print the table and write the report.

    Parameters
    ----------
    args : argparse.Namespace
        Parsed options.

    Returns
    -------
    status : int
        0.
    """
    output = Path(args.output)
    _check_output(output)
    window = (PAPER_WINDOW, PAPER_DELAY) if args.paper else (HISTORY, 0.0)
    notes = []
    with collect(notes):
        data = get_data(args, tmin=-sum(window))
    X, y = data.X, data.y
    # Names of files may hold bytes that are no text.
    data.text, data.title = printable(data.text), printable(data.title)
    _say(data.text, *notes)  # before hours are spent on data that need a fix
    n_shown = len(notes)
    cv = BlockedKFold(args.folds, gap=sum(window))
    list(cv.split(X))  # raises where the folds are impossible, before anything is fitted
    eeg_filter = EEGFilter(1.0, min(45.0, 0.45 * X.sfreq), sfreq=min(100.0, X.sfreq))
    show_progress = sys.stderr.isatty()  # a progress bar leaves fragments in a log
    models = make_models(args, eeg_filter, window, show_progress)
    shown = {
        "data": "\n\n".join([data.text, *notes]),
        "protocol": protocol(args, window),
        "title": f"EEG to BOLD: {data.title}",
    }
    options = {"random_state": args.seed, "return_estimator": True, "verbose": show_progress}
    if X.subjects is not None and len(set(X.subjects)) > 1:
        report = compare_people(args, models, X, y, cv, shown, options)
        save_report(report, output)
        print(f"Report: {output.resolve()}")
        return 0
    with collect(notes):
        comparison = compare(models, X, y, cv=cv, **options)
    scores = comparison.summary(ceiling=data.ceiling).rename_axis(None)
    print(f"{scores.to_string()}\n")
    _say(_LEGEND, *notes[n_shown:])
    _say("Fitting BEIRA to all volumes …")
    report_model(
        args, models["BEIRA"], comparison, X, y, cv, output, **shown,
        extractor=data.extractor, ceiling=data.ceiling, files=data.files,
        code=printable(script(args, data, eeg_filter, window, HISTORY)),
    )  # fmt: skip
    print(f"Report: {output.resolve()}")
    return 0


def report_model(args, model, comparison, X, y, cv, path, *, quality=None, **shown):
    """Fit BEIRA to all volumes, read its branches, and write the report.

    Parameters
    ----------
    args : argparse.Namespace
        Parsed options.
    model : Pipeline
        Unfitted BEIRA.
    comparison : Comparison
        Its comparison with the baselines, with estimators.
    X, y, cv : EEGWindows, DataFrame, splitter
        Those of the comparison.
    path : Path
        HTML file.
    quality : DataFrame or None
        Quality of the runs.
    **shown
        Further parameters of :func:`~sklearn_beira.viz.make_report`.

    Returns
    -------
    branches : Bunch
        The tested branches.
    """
    final, branches = fit_branches(model, comparison, X, y, cv)
    report = make_report(
        comparison, X, model=final, branches=branches, drawn=["BEIRA", "ridge"],
        command=printable(args.command), **shown,
    )  # fmt: skip
    add_quality(report, run_quality(X, y) if quality is None else quality, "Data and alignment")
    save_report(report, path)
    return branches


def fit_branches(model, comparison, X, y, cv):
    """Fit BEIRA to all volumes, and test its branches with the fits of the comparison."""
    final = clone(model).fit(X, y)
    estimators = comparison.estimators["BEIRA"]
    return final, read_branches(final, X, y, cv=cv, estimators=estimators)


def compare_people(args, models, X, y, cv, shown, options):
    """Compare models within and across participants, and make the report of the group.

    Parameters
    ----------
    args : argparse.Namespace
        Parsed options.
    models : dict of str to Pipeline
        Unfitted models.
    X, y, cv : EEGWindows, DataFrame, splitter
        Data, and folds within a participant.
    shown : dict
        Texts of the report.
    options : dict
        Options of :func:`~sklearn_beira.compare`.

    Returns
    -------
    report : mne.Report
        Report of the group.
    """
    people, within, branches = pd.unique(X.subjects), {}, {}
    for k, person in enumerate(people, 1):
        rows = np.flatnonzero(X.subjects == person)
        own = X[rows], y.iloc[rows]
        within[person] = compare(models, *own, cv=cv, **options)
        branches[person] = fit_branches(models["BEIRA"], within[person], *own, cv)[1]
        print(f"Participant {person} ({k} of {len(people)}) is compared.", flush=True)
    print(f"Each of {len(people)} participants is left out.\n", flush=True)
    across = compare(
        models, X, y, cv=LeaveOneGroupOut(), groups=X.subjects,
        **{**options, "return_estimator": False},
    )  # fmt: skip
    scores = score_table(across, within)
    for way, table in mean_tables(scores, len(within), across.settings["p_floor"]):
        print(f"{way}:\n{table.to_string()}\n")
    return make_group_report(
        across, within, X, scores, run_quality(X, y), branches=branches,
        command=printable(args.command), **shown,
    )  # fmt: skip


def make_models(args, eeg_filter, window, verbose) -> dict:
    """Make BEIRA and its four baselines, each behind the same filter.

    Parameters
    ----------
    args : argparse.Namespace
        Parsed options.
    eeg_filter : EEGFilter or None
        Filter of all models; None if the EEG is filtered.
    window : tuple of float
        Duration and delay of BEIRA's windows in s.
    verbose : bool
        Whether BEIRA shows its progress.

    Returns
    -------
    models : dict of str to Pipeline
        Unfitted models by name.
    """
    make = make_paper_beira if args.paper else BEIRARegressor
    beira = make(random_state=args.seed, verbose=verbose)
    tails = {
        "BEIRA": [("window", Windower(*window)), ("beira", beira)],
        "ridge": baselines.make_band_power_ridge(HISTORY).steps,
        "fingerprint": baselines.make_eeg_fingerprint(HISTORY).steps,
        "alpha": baselines.make_alpha_hrf(HISTORY).steps,
        "time": baselines.make_time_polynomial().steps,
    }
    first = [] if eeg_filter is None else [("filter", eeg_filter)]
    return {name: Pipeline([*first, *tail]) for name, tail in tails.items()}


def protocol(args, window) -> str:
    """Describe folds and models, for the report.

    Parameters
    ----------
    args : argparse.Namespace
        Parsed options.
    window : tuple of float
        Duration and delay of BEIRA's windows in s.

    Returns
    -------
    text : str
        Paragraphs.
    """
    duration, delay = window
    folds = (
        f"Each recording is cut into {args.folds} blocks. Each block is predicted by models that "
        f"are trained on the other blocks, without the volumes within {sum(window):g} s of it."
    )
    beira = (
        f"BEIRA is the published architecture; it uses {duration:g} s of EEG that end {delay:g} s "
        f"before a volume. The baselines use the {HISTORY:g} s before it."
        if args.paper
        else f"BEIRA is the default architecture; all models use the {HISTORY:g} s of EEG before a "
        f"volume."
    )
    return f"{folds}\n\n{beira}\n\n{_BASELINES}"


def _check_output(path):
    """Refuse what cannot be written, before hours are spent on it."""
    if path.suffix not in (".html", ".htm") or path.is_dir():
        raise ValueError(f"--output {path} is no HTML file; give a name that ends in .html.")
    if not path.resolve().parent.is_dir():
        raise ValueError(f"the folder of --output {path} does not exist; make it first.")
    with suppress(FileNotFoundError):
        path.stat()  # fails for a name that is too long
    with temporary_file(path.parent):
        pass


def _say(*paragraphs):
    for text in paragraphs:
        print(f"{fill(text, 96)}\n")


@contextmanager
def collect(notes):
    """Collect warnings, each sentence once, for the terminal and the report.

    Parameters
    ----------
    notes : list of str
        Gets the warnings.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        # joblib replaces processes that have grown; no job is lost.
        warnings.filterwarnings("ignore", "A worker stopped while some jobs")
        try:
            yield
        except (ValueError, TypeError, OSError, ImportError):  # a note may say why
            _say(*dict.fromkeys(_as_note(w) for w in caught))
            raise
    new = dict.fromkeys(_as_note(w) for w in caught)
    notes.extend(note for note in new if note not in notes)


def _as_note(warning):
    return f"Note: {in_flags(warning.message)}"
