"""The job of ``python -m sklearn_beira study``: a BIDS folder in, a report of the group out."""

import datetime
import sys
from contextlib import contextmanager

from sklearn.base import clone
from sklearn.model_selection import LeaveOneGroupOut

from .._utils.files import atomic_write, expanded, one_line, writable_folder
from ..bold import ROIExtractor
from ..bold.atlas import load_atlas
from ..datasets import load_bids
from ..datasets.derivatives import open_derivatives, write_table
from ..datasets.study import join_runs
from ..eeg import EEGFilter
from ..evaluation import BlockedKFold, compare
from ..inspection import read_branches
from ..viz import make_report
from .group_report import add_group, read_own, score_table
from .job import HISTORY, collect, make_models

SFREQ = 100.0
_UNCHECKED = (
    "Note: common causes of EEG and BOLD, such as movement, were not checked, as not every run has "
    "a table of confounds. A good prediction may be one of movement."
)


def run(args) -> int:
    """Process a study.

    Parameters
    ----------
    args : argparse.Namespace
        Parsed options.

    Returns
    -------
    status : int
        0, or 1 if a run or a participant failed.
    """
    study = _load(args)
    table = study.table
    _print_table(table)
    if args.dry_run:
        return _status(study, [])
    out = _open_folder(args)
    load_atlas(args.atlas, args.labels, None)  # once, before every run needs it
    say = _make_log(out)
    say(f"{args.command}: {study!r}")
    write_table(table, out / "study.tsv")
    with _noting(say):
        extractor = ROIExtractor(args.atlas, labels=args.labels, standardize="zscore_sample")
        shown = {"n_jobs": args.n_jobs, "verbose": sys.stderr.isatty()}
        study.extract_regions(extractor, cache=out / "work/regions", **shown)
        say("regions are extracted")
        bare = [run.name for run in study.usable if not (run.nuisance or run.physio)]
        if 0 < len(bare) < len(study.usable):
            say(f"motion is not checked, as these runs have no table of it: {', '.join(bare)}")
        parts = study.align_runs(
            tmin=-HISTORY,
            eeg_filter=EEGFilter(1.0, 45.0, sfreq=SFREQ),
            folder=out / "work/eeg",
            nuisance=None if bare else "confounds",
            **shown,
        )
    say(f"EEG and BOLD of {len(parts)} runs are aligned")
    write_table(study.table, out / "study.tsv")
    for name, reason in study.refused.items():
        say(f"{name} is refused: {reason}")
    by_person = {}
    for X, y in parts:
        by_person.setdefault(X.alignment["subject"][0], []).append((X, y))
    failed = []
    if args.level != "group":
        _do_participants(args, study, extractor, by_person, out, say, failed)
    if args.level != "participant":
        _do_group(args, study, by_person, out, say, failed)
    status = _status(study, failed)
    say("finished" if status == 0 else "finished; what failed is above and in study.tsv")
    return status


def _load(args):
    confounds = tuple(args.confounds)
    if len(confounds) == 1 and ("*" in confounds[0] or "/" in confounds[0]):
        confounds = confounds[0]
    trigger = args.trigger
    if "=" in trigger:
        column, _, value = trigger.partition("=")
        trigger = {column: value}
    study = load_bids(
        args.root,
        args.participants and [label.removeprefix("sub-") for label in args.participants],
        args.session,
        args.task,
        args.run,
        eeg=args.eeg,
        bold=args.bold,
        pair=dict(pair.split("=", 1) for pair in args.pair),
        trigger=trigger,
        space=args.space,
        confounds=None if confounds == ("none",) else confounds,
        missing=int(args.missing) if (args.missing or "").isdigit() else args.missing,
    )
    if not study.usable:
        _print_table(study.table)
        raise ValueError("no run can be used; the table tells why.")
    return study


def _print_table(table):
    names = ["subject", "session", "task", "run", "n_triggers", "n_volumes", "verdict", "reason"]
    shown = table[names].dropna(axis="columns", how="all").astype(object)
    print(f"{shown.where(shown.notna(), '').to_string(index=False)}\n", flush=True)


def _open_folder(args):
    out = expanded(args.out)
    if out.is_dir() and any(out.iterdir()) and not args.resume:
        raise ValueError(f"--out {out} is not empty; give --resume to go on, or another folder.")
    return open_derivatives(out)


def _make_log(out):
    """Return a function that prints a line, and adds it to the log."""

    def say(text):
        line = f"{datetime.datetime.now():%Y-%m-%d %H:%M:%S}  {one_line(text)}"
        print(line, flush=True)
        with open(out / "study.log", "a", encoding="utf-8") as log:
            log.write(f"{line}\n")

    return say


@contextmanager
def _noting(say):
    """Write the warnings of a step to the log."""
    notes = []
    with collect(notes):
        yield notes
    for note in notes:
        say(note)


def _status(study, failed):
    return int(bool(failed) or (study.table["verdict"] == "refused").any())


def _options(args, out):
    return {
        "cache": out / "work/fits",
        "n_jobs": args.n_jobs,
        "random_state": args.seed,
        "verbose": sys.stderr.isatty(),
    }


def _do_participants(args, study, extractor, by_person, out, say, failed):
    """Compare the models within each participant, and write what BEIRA predicts."""
    for k, (person, parts) in enumerate(by_person.items(), 1):
        try:
            with _noting(say) as notes:
                comparison = _do_participant(args, *join_runs(parts), person, out, notes)
                own = study.select(subject=person)
                own.write_predictions(comparison.predictions["BEIRA"], out, extractor)
            say(f"participant {person} ({k} of {len(by_person)}) is done")
        except Exception as error:  # one participant must not end the others
            failed.append(person)
            say(f"participant {person} failed: {one_line(error) or type(error).__name__}")


def _do_participant(args, X, y, person, out, notes):
    models = make_models(args, "passthrough", (HISTORY, 0.0), verbose=False)
    cv = BlockedKFold(args.folds)
    comparison = compare(models, X, y, cv=cv, **_options(args, out))
    folder = writable_folder(out / f"sub-{person}", "out")
    comparison.to_folder(folder)
    model = clone(models["BEIRA"]).fit(X, y)
    report = make_report(
        comparison, X, model=model, branches=read_branches(model, X, y, cv=cv),
        drawn=["BEIRA", "ridge"], data=_told(notes, X), command=args.command,
        title=f"EEG to BOLD: participant {person}",
    )  # fmt: skip
    _save(report, folder / "report.html")
    return comparison


def _do_group(args, study, by_person, out, say, failed):
    """Leave one participant out, and report both ways side by side."""
    if len(by_person) < 2:
        say("a group needs at least 2 participants; there is no report of the group")
        return
    models = make_models(args, "passthrough", (HISTORY, 0.0), verbose=False)
    try:
        with _noting(say) as notes:
            X, y = join_runs([part for own in by_person.values() for part in own])
            across = compare(
                models, X, y, cv=LeaveOneGroupOut(), groups=X.subjects, **_options(args, out)
            )
        folder = writable_folder(out / "group", "out")
        across.to_folder(folder)
        cv = BlockedKFold(args.folds)
        within = {
            person: read_own(out / f"sub-{person}", cv, across, join_runs(own)[1], say)
            for person, own in by_person.items()
            if person not in failed and (out / f"sub-{person}/comparison.json").is_file()
        }
        within = {person: own for person, own in within.items() if own is not None}
        scores = score_table(across, within)
        write_table(scores, folder / "scores.tsv")
        report = make_report(
            across, X, drawn=[], data=_told(notes, X), command=args.command,
            title=f"EEG to BOLD: {len(by_person)} participants",
            protocol="Each participant is predicted by models that are trained on the others.",
        )  # fmt: skip
        pages = {person: f"sub-{person}/report.html" for person in within}
        add_group(report, scores, study.table, pages)
        _save(report, out / "group_report.html")
    except Exception as error:  # the results of participants stay
        failed.append("group")
        say(f"the group failed: {one_line(error) or type(error).__name__}")
        return
    say(f"report of the group: {(out / 'group_report.html').resolve()}")


def _told(notes, X):
    return "\n\n".join([*notes, *[_UNCHECKED] * (X.nuisance is None)])


def _save(report, path):
    with atomic_write(path) as file:
        report.save(file.name, overwrite=True, open_browser=False, verbose="error")
