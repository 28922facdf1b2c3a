"""The job of ``python -m sklearn_beira study``: a BIDS folder in, a report of the group out."""

import datetime
import sys
import warnings
from argparse import Namespace
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd
from joblib import Parallel, delayed, effective_n_jobs
from joblib.externals.loky import get_reusable_executor
from sklearn.model_selection import GroupKFold, LeaveOneGroupOut

from .._utils.files import atomic_write, expanded, one_line, writable_folder
from .._utils.hashing import digest, environment
from .._utils.regions import some
from .._utils.warn import warn_user
from ..alignment.markers import is_candidate
from ..bold import ROIExtractor
from ..bold.atlas import load_atlas
from ..datasets import load_bids
from ..datasets.bids import inherited
from ..datasets.derivatives import open_derivatives, write_table
from ..datasets.run import plain, read_tsv
from ..datasets.study import Study, join_runs
from ..eeg import EEGFilter
from ..evaluation import BlockedKFold, Comparison, compare
from ..inspection.group import load_branches, save_branches
from ..viz.report import save_report
from .data import read_trigger
from .group_report import make_group_report, score_table
from .job import HISTORY, collect, make_models, protocol, report_model
from .quality import run_quality

BAND, SFREQ = (1.0, 45.0), 100.0  # of the EEG, in Hz
# Of the models of a group: of more volumes, every second, third ... is used; of more participants,
# a fold each leaves several out. All of 40 people would take gigabytes and hours.
_MOST_VOLUMES, _MOST_PEOPLE, _FOLDS = 6000, 10, 5
_DIGEST = "digest.txt"
_PREPARED = (
    f"Before all that is shown here, EEG is filtered from {BAND[0]:g} to {BAND[1]:g} Hz and "
    f"resampled to {SFREQ:g} Hz, and BOLD is standardized in each run."
)
_UNCHECKED = (
    "Note: common causes of EEG and BOLD, such as movement, were not checked, as no signal of them "
    "is known in every run. A good prediction may be one of movement."
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
    _print_table(study.table)
    if args.dry_run:
        return _status(study, [])
    out = _empty_folder(args)
    load_atlas(args.atlas, args.labels, None)  # once, before every run needs it
    open_derivatives(out)
    say = _make_log(out)
    say(f"{args.command}: {study!r}")
    with _noting(say) as notes:
        # Of the whole study, so that jobs of single participants make what the group needs.
        picks = study.common_channels()
        bare = [run.name for run in study.usable if not (run.nuisance or run.physio)]
        if 0 < len(bare) < len(study.usable):
            say(f"motion is not checked, as these runs have no table of it: {', '.join(bare)}")
        study = _select(study, args.only)
        _warn_of_tasks(study)
        _write_tables("study", study.table, out, args.level)
        extractor = ROIExtractor(args.atlas, labels=args.labels, standardize="zscore_sample")
        shown = {"n_jobs": args.n_jobs, "verbose": sys.stderr.isatty()}
        try:
            study.extract_regions(extractor, cache=out / "work/regions", **shown)
            say("regions are extracted")
            parts = study.align_runs(
                tmin=-HISTORY,
                eeg_filter=EEGFilter(*BAND, sfreq=SFREQ),
                picks=picks,
                folder=out / "work/eeg",
                nuisance=None if bare else "confounds",
                **shown,
            )
        finally:  # the reasons, also if no run is left
            _write_tables("study", study.table, out, args.level)
    say(f"EEG and BOLD of {len(parts)} runs are aligned")
    for name, reason in study.refused.items():
        say(f"{name} is refused: {reason}")
    motion = [run.read_motion() for run in study.usable]
    with _noting(say):
        quality = Parallel(n_jobs=args.n_jobs)(
            delayed(run_quality)(X, y, None if fd is None else {0: fd})
            for (X, y), fd in zip(parts, motion, strict=True)
        )
    quality = pd.concat(quality, ignore_index=True)
    _write_tables("quality", quality, out, args.level)
    job = _Job(args, study, extractor, quality, out, say, notes)
    for X, y in parts:
        job.parts.setdefault(X.alignment["subject"][0], []).append((X, y))
    if args.level != "group":
        job.do_participants()
    if args.level != "participant":
        job.do_group()
    status = _status(study, job.failed)
    say("finished" if status == 0 else "finished; what failed is above")
    return status


@dataclass
class _Job:
    """What is done with the runs: participants one by one, then the group."""

    args: Namespace
    study: Study
    extractor: ROIExtractor
    quality: pd.DataFrame
    out: Path
    say: Callable
    notes: list = field(default_factory=list)
    parts: dict = field(default_factory=dict)
    keys: dict = field(default_factory=dict)
    failed: list = field(default_factory=list)

    def __post_init__(self):
        self.models = make_models(self.args, None, (HISTORY, 0.0), verbose=False)
        self.protocol = protocol(self.args, (HISTORY, 0.0))
        self.cv = BlockedKFold(self.args.folds)
        self.options = {
            "cache": self.out / "work/fits",
            "n_jobs": self.args.n_jobs,
            "random_state": self.args.seed,
            "verbose": sys.stderr.isatty(),
        }

    def do_participants(self):
        """Compare the models within each participant, and write what BEIRA predicts."""
        job, n_jobs = self, 1
        if len(self.parts) >= effective_n_jobs(self.args.n_jobs) > 1:  # a process for each
            job = replace(self, args=Namespace(**{**vars(self.args), "n_jobs": 1}))
            n_jobs = self.args.n_jobs
        numbered = enumerate(self.parts, 1)
        with _noting(self.say):
            done = Parallel(n_jobs=n_jobs)(delayed(job.try_participant)(*each) for each in numbered)
        if n_jobs != 1:  # the processes keep a gigabyte or two, which the group needs
            get_reusable_executor().shutdown()
        self.failed += [
            person for person, is_done in zip(self.parts, done, strict=True) if not is_done
        ]

    def try_participant(self, k, person):
        """Do a participant if that was not done before, and return whether it worked."""
        told = f"participant {person} ({k} of {len(self.parts)})"
        try:
            if self._is_done(person):
                self.say(f"{told} was done before")
            else:
                self.say(f"{told}: models are compared")
                self._do_participant(person)
                self.say(f"{told} is done")
        except Exception as error:  # one participant must not end the others
            self.say(f"participant {person} failed: {one_line(error) or type(error).__name__}")
            return False
        return True

    def _do_participant(self, person):
        folder = writable_folder(self.out / f"sub-{person}", "out")
        (folder / _DIGEST).unlink(missing_ok=True)
        with _noting(self.say) as notes:
            X, y = join_runs(self.parts[person])
        with _noting(self.say):
            comparison = compare(
                self.models, X, y, cv=self.cv, return_estimator=True, **self.options
            )
            comparison.to_folder(folder)
            own = self.quality[self.quality["subject"] == person]
            branches = report_model(
                self.args, self.models["BEIRA"], comparison, X, y, self.cv,
                folder / "report.html", data=self._told(notes, X), protocol=self.protocol,
                quality=own, title=f"EEG to BOLD: participant {person}",
            )  # fmt: skip
            for old in folder.rglob("*_desc-predicted_*"):  # also of runs that are left out now
                old.unlink()
            self.study.select(subject=person).write_predictions(
                comparison.predictions["BEIRA"], self.out, self.extractor
            )
        save_branches(branches, folder / "branches.npz")
        with atomic_write(folder / _DIGEST) as file:  # the last one: all others are complete
            file.write(self._key(person).encode())

    def _key(self, person):
        """Digest of all that the results of a participant depend on."""
        if person not in self.keys:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # they are said where the models are compared
                X, y = join_runs(self.parts[person])
            data = X, y.to_numpy(), list(map(str, y))  # hashes of tables differ with their history
            self.keys[person] = digest(
                environment(), *data, self.models, str(self.cv), self.args.seed
            )
        return self.keys[person]

    def _is_done(self, person):
        """Tell whether the folder holds the results of these data, settings and versions."""
        folder = self.out / f"sub-{person}"
        try:
            same = (folder / _DIGEST).read_text() == self._key(person)
        except OSError:
            return False
        return same and (folder / "report.html").is_file()

    def do_group(self):
        """Leave one participant out, and report both ways side by side."""
        if len(self.parts) < 2:
            self.say("a group needs at least 2 participants; there is no report of the group")
            return
        try:
            self._do_group()
        except Exception as error:  # the results of participants stay
            self.failed.append("group")
            self.say(f"the group failed: {one_line(error) or type(error).__name__}")

    def _do_group(self):
        within, branches = {}, {}
        for person in self.parts:
            folder = self.out / f"sub-{person}"
            try:
                if not self._is_done(person):
                    raise ValueError(
                        "it has no results of these data, settings and versions; repeat it with "
                        "--level participant"
                    )
                branches[person] = load_branches(folder / "branches.npz")
                within[person] = Comparison.from_folder(folder)
            except ValueError as error:
                self.say(f"sub-{person} is left out of the group: {one_line(error)}")
                self.failed.append(person)
        self.say(f"group: {len(self.parts)} participants are predicted by models of others")
        with _noting(self.say) as notes:
            X, y = join_runs([part for own in self.parts.values() for part in own])
            step = -(-len(y) // _MOST_VOLUMES)
            # From the first volume of each run, so that runs of one length keep one length.
            of_run = pd.Series(X.groups).groupby(X.groups).cumcount().to_numpy()
            X, y = X[of_run % step == 0], y.iloc[of_run % step == 0]
            cv = LeaveOneGroupOut() if len(self.parts) <= _MOST_PEOPLE else GroupKFold(_FOLDS)
            across = compare(self.models, X, y, cv=cv, groups=X.subjects, **self.options)
        folder = writable_folder(self.out / "group", "out")
        across.to_folder(folder)
        scores = score_table(across, within)
        write_table(scores, folder / "scores.tsv")
        report = make_group_report(
            across, within, X, scores, self.quality, branches=branches, runs=self.study.table,
            pages={person: f"sub-{person}/report.html" for person in within},
            data=self._told(notes, X), protocol=self.protocol, command=self.args.command,
            title=f"EEG to BOLD: {len(self.parts)} participants",
        )  # fmt: skip
        save_report(report, self.out / "group_report.html")
        self.say(f"report of the group: {(self.out / 'group_report.html').resolve()}")

    def _told(self, notes, X):
        """Write the notes of a report: those of all runs, and its own."""
        notes = dict.fromkeys([*self.notes, *notes])
        return "\n\n".join([_PREPARED, *notes, *[_UNCHECKED] * (X.nuisance is None)])


def _load(args):
    confounds = tuple(args.confounds)
    if len(confounds) == 1 and ("*" in confounds[0] or "/" in confounds[0]):
        confounds = confounds[0]
    trigger = read_trigger(args.trigger)
    if "=" in args.trigger:
        column, _, value = args.trigger.partition("=")
        trigger = {column: value}
    study = load_bids(
        args.root,
        args.participants,
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
    unknown = _unknown(study, args.participants or ())
    if unknown:
        warn_user(f"--participants {' '.join(unknown)}: they have no run of that description.")
    if not study.usable:
        _print_table(study.table)
        raise ValueError("no run can be used; see the column reason of the table.")
    return study


def _write_tables(name, table, out, level):
    """Write a table of runs; jobs that each have other participants share no file."""
    parts = {out: table}
    if level == "participant":
        parts = {out / f"sub-{person}": rows for person, rows in table.groupby("subject")}
    for folder, rows in parts.items():
        write_table(rows, writable_folder(folder, "out") / f"{name}.tsv")


def _unknown(study, labels):
    """List participants that the study does not have."""
    known = {plain(label, "subject") for label in study.table["subject"]}
    return [label for label in labels if plain(label, "subject") not in known]


def _select(study, only):
    """Select the participants of this job."""
    if only is None:
        return study
    unknown = _unknown(study, only)
    if unknown:
        raise ValueError(
            f"--only {' '.join(unknown)}: there is no such participant; the study has "
            f"{', '.join(dict.fromkeys(study.table['subject']))}."
        )
    selected = study.select(subject=only)
    if not selected.usable:
        raise ValueError(
            f"--only {' '.join(only)}: these participants have no run that can be used."
        )
    return selected


def _warn_of_tasks(study):
    """Warn if runs have the schedule of a task, which is no nuisance signal here."""
    found = {}
    for run in study.usable:
        own = inherited(run.root, run.bold, "func", "events.tsv")[-1:]
        kinds = [kind for path in {*own, run.events} - {None} for kind in _trial_types(path, run)]
        found |= {run.name: sorted(kinds)} if kinds else {}
    if found:
        kinds = some((kind for kinds in found.values() for kind in kinds), 6)
        warn_user(
            f"{some(found, 3)}: there are events other than volumes ({kinds}). If they are the "
            f"schedule of a task, it may drive EEG and BOLD alike. It was not used as a nuisance "
            f"signal, so what is predicted may be the task. In Python, align(..., nuisance=[...]) "
            f"takes the events.tsv of each run."
        )


def _trial_types(path, run):
    """List the trial types of a table of events; markers of volumes and of the file are none."""
    kinds = []
    with suppress(ValueError, OSError, KeyError):  # a damaged table has no schedule
        events = read_tsv(path)
        if "trial_type" not in events and path.parent.name != "eeg":
            events["trial_type"] = "task"  # as align names it
        onsets = pd.to_numeric(events["onset"], errors="coerce")
        for kind, at in onsets.dropna().groupby(events["trial_type"]):
            if len(at) < 2 or not is_candidate(kind):  # once is no schedule
                continue
            if abs(at.diff().median() - run.t_r) > 0.01 * run.t_r:
                kinds.append(kind)
    return kinds


def _print_table(table):
    names = ["subject", "session", "task", "run", "n_triggers", "n_volumes", "verdict", "reason"]
    shown = table[names].dropna(axis="columns", how="all").astype(object)
    print(f"{shown.where(shown.notna(), '').to_string(index=False)}\n", flush=True)


def _empty_folder(args):
    out = expanded(args.out)
    if out.is_dir() and any(out.iterdir()) and not args.resume:
        raise ValueError(f"--out {out} is not empty; give --resume to go on, or another folder.")
    return out


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
