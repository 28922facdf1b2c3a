"""A study: many runs of EEG and BOLD, a table of them, and the way from files to X and y."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path

import mne
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

from .._utils.files import expanded, one_line, writable_folder
from .._utils.numbers import to_numbers
from .._utils.regions import some
from .._utils.warn import noting, warn_user
from ..eeg import EEGFilter
from ..eeg.windows import EEGWindows
from .derivatives import open_derivatives, write_predicted
from .run import KEYS, Run, plain


class Study:
    """Runs of EEG and BOLD: a table of them, and the way from files to X and y.

    Parameters
    ----------
    runs : list of Run
        Runs. Only their headers are read.

    Attributes
    ----------
    table : DataFrame
        One row per run. ``subject``, ``session``, ``task``, ``run``; ``eeg``, ``bold`` and
        ``confounds`` tell what was paired; ``t_r`` in s; ``trigger``, ``n_triggers``,
        ``n_volumes``, ``difference`` (triggers less volumes), ``gaps`` (intervals that are not
        ``t_r``); ``verdict`` ("ok", "no EEG", "no BOLD" or "refused") and ``reason``.
    bolds : list of DataFrame
        Regions of the usable runs, after :meth:`extract_regions`.

    See Also
    --------
    load_bids : Make a study of a BIDS folder.

    Examples
    --------
    >>> from sklearn_beira import ROIExtractor
    >>> from sklearn_beira.datasets import load_bids
    >>> study = load_bids("ds002725", bold="raw")  # doctest: +SKIP
    >>> print(study.table)  # doctest: +SKIP
    >>> study.extract_regions(ROIExtractor(), cache="regions", n_jobs=2)  # doctest: +SKIP
    >>> X, y = study.align(tmin=-20.0)  # doctest: +SKIP
    """

    def __init__(self, runs: Sequence[Run]):
        self._runs = list(runs)

    def __repr__(self):
        verdicts = ", ".join(f"{n} {v}" for v, n in self.table["verdict"].value_counts().items())
        return f"Study of {self.table['subject'].nunique()} subjects, {len(self)} runs: {verdicts}"

    def _repr_html_(self):
        return self.table.to_html(border=0, na_rep="")

    def __len__(self):
        return len(self._runs)

    def __add__(self, other):
        """Join two studies, such as parts that need other settings.

        Subjects of the same name in two data sets get the name of their data set's folder in front.
        """
        runs = [*self._runs, *other._runs]
        homes = _homes(runs)
        for k, run in enumerate(runs):
            if len(homes[run.subject]) > 1 and run.root:
                runs[k] = replace(run, subject=f"{run.root.name}-{run.subject}")
        for person, folders in _homes(runs).items():
            if len(folders) > 1:
                raise ValueError(
                    f"{person} is a subject of two data sets whose folders have the same name; "
                    f"rename one of {', '.join(map(str, folders))}."
                )
        n = len(self)
        twice = {run.name for run in runs[:n]} & {run.name for run in runs[n:]}
        if twice:
            raise ValueError(f"both studies have {min(twice)}; select the runs of each to add.")
        return Study(runs)

    @property
    def table(self) -> pd.DataFrame:
        """One row per run."""
        columns = list(Run("").row())
        whole = dict.fromkeys(["n_triggers", "n_volumes", "difference", "gaps"], "Int64")
        return pd.DataFrame([run.row() for run in self._runs], columns=columns).astype(whole)

    @property
    def usable(self) -> list[Run]:
        """Runs whose verdict is "ok"."""
        return [run for run in self._runs if run.verdict == "ok"]

    @property
    def refused(self) -> dict[str, str]:
        """Reasons of the runs whose verdict is "refused", by their names."""
        return {run.name: run.why_not for run in self._runs if run.verdict == "refused"}

    @property
    def raws(self) -> list[mne.io.BaseRaw]:
        """EEG of the usable runs; signals stay on disk."""
        return [run.read_eeg() for run in self.usable]

    @property
    def images(self) -> list[Path]:
        """Paths of the BOLD of the usable runs."""
        return [run.bold for run in self.usable]

    @property
    def confounds(self) -> list:
        """Confounds of the usable runs: tables, paths or None."""
        return [run.read_confounds()[0] for run in self.usable]

    @property
    def events(self) -> list[pd.DataFrame | None]:
        """Events of the usable runs."""
        return [run.read_events() for run in self.usable]

    @property
    def subjects(self) -> list[str]:
        """Subject of each usable run."""
        return [run.subject for run in self.usable]

    @property
    def bolds(self) -> list[pd.DataFrame]:
        """Regions of the usable runs, indexed by the number of the volume."""
        missing = [run.name for run in self.usable if run.regions is None]
        if missing:
            raise ValueError(f"{missing[0]} has no regions yet; call extract_regions first.")
        return [run.regions for run in self.usable]

    def select(self, mask=None, /, **values) -> Study:
        """Select runs.

        Parameters
        ----------
        mask : array-like of bool, shape (n_runs,), or None
            Rows of the table; where it is unknown (NA), the run is left out.
        **values : str or list of str
            Values of columns of the table, such as ``task="rest"`` or ``subject=["01", "02"]``;
            labels with or without ``sub-`` etc. and zeros.

        Returns
        -------
        study : Study
            Study of the selected runs.

        Raises
        ------
        ValueError
            If the mask is not one True or False per run, or if there is no such column.
        """
        table = self.table
        if mask is None:
            mask = np.ones(len(table), dtype=bool)
        try:
            keep = pd.array(mask, dtype="boolean").fillna(False).to_numpy(bool)
        except (TypeError, ValueError):
            keep = None
        if keep is None or keep.shape != (len(table),):
            raise ValueError(
                f"a mask needs True or False for each of {len(table)} runs, got {mask!r}."
            )
        for column, wanted in values.items():
            if column not in table:
                raise ValueError(f"the table has no column {column!r}; it has {list(table)}.")
            wanted = [wanted] if np.ndim(wanted) == 0 else list(wanted)
            own = table[column]
            if column in KEYS:  # with or without "sub-" etc. and zeros, as in names of files
                loose = {plain(label, column) for label in wanted if label not in {*own}}
                wanted += [label for label in own if plain(label, column) in loose]
            keep &= own.isin(wanted).to_numpy()
        return Study([run for run, kept in zip(self._runs, keep, strict=True) if kept])

    def place(self, name: str, onsets: Sequence[float]) -> Study:
        """Give the onsets of the volumes of a run, such as repaired triggers.

        Parameters
        ----------
        name : str
            Such as ``"sub-01_task-rest"``.
        onsets : array-like of shape (n_volumes,)
            Onset of each volume in s from the start of the EEG; NaN for volumes to leave out.

        Returns
        -------
        self : Study
            The study.

        Raises
        ------
        ValueError
            If there is no such run, if its EEG cannot be read, or if the number of onsets is wrong.
        """
        found = [run for run in self._runs if run.name == name and run.n_volumes is not None]
        if not found:
            raise ValueError(f"there is no run {name!r} with BOLD that can be read.")
        onsets = to_numbers(onsets, "onsets")
        if onsets.shape != (found[0].n_volumes,):
            raise ValueError(
                f"{name} has {found[0].n_volumes} volumes, but onsets have shape {onsets.shape}; "
                f"give one onset per volume."
            )
        found[0].read_channels()
        found[0].onsets, found[0].problem, found[0].failure = onsets, "", ""
        found[0].doubts = []
        found[0].add_notes(["onsets are given"])
        return self

    def extract_regions(
        self,
        extractor=None,
        *,
        cache: str | PathLike | None = None,
        n_jobs: int | None = None,
        verbose: bool = True,
    ) -> Study:
        """Extract the regions of every usable run, or read tables of them.

        A run that fails does not end the others; column ``reason`` of the table says why, and the
        next call tries it again. Warnings name their runs, and are in ``reason`` as well.

        Parameters
        ----------
        extractor : ROIExtractor or None
            Extractor; it is cloned, and gets the confounds of each run. None for tables.
        cache : path-like or None
            Folder where the regions of each run are kept as a table, which is read if it is there.
        n_jobs : int or None
            Processes, as in joblib.
        verbose : bool
            Show a progress bar.

        Returns
        -------
        self : Study
            The study, with ``bolds``.
        """
        cache = None if cache is None else writable_folder(cache, "cache")
        for run in self._runs:
            run.failure, run.regions = "", None
        tasks = [delayed(_attempt)(run.read_regions, extractor, cache) for run in self.usable]
        for run, regions in self._do(tasks, "regions", n_jobs, verbose):
            run.regions = regions
        return self

    def align(self, **options) -> tuple[EEGWindows, pd.DataFrame]:
        """Combine EEG and regions of all usable runs into X and y.

        Parameters
        ----------
        **options
            As in :meth:`align_runs`.

        Returns
        -------
        X : EEGWindows
            EEG, with ``X.subjects``; ``X.alignment`` holds subject, session, task and run of each
            recording, and the volumes that were dropped.
        y : DataFrame of shape (n_kept, n_rois)
            BOLD, indexed by recording and volume.

        Raises
        ------
        ValueError
            If no run can be used, or if runs differ in sampling rate.
        """
        return join_runs(self.align_runs(**options))

    def common_channels(self) -> list[str]:
        """List the good EEG channels that all usable runs have.

        Returns
        -------
        ch_names : list of str
            Channels, in the order of the first run.

        Raises
        ------
        ValueError
            If there is none.
        """
        runs = self.usable
        common = set.intersection(*(set(run.ch_names) for run in runs)) if runs else ()
        if not common:
            raise ValueError(f"the runs have no EEG channel in common; {_without_odd_ones(runs)}.")
        dropped = sorted(set().union(*(run.ch_names for run in runs)) - common)
        if dropped:
            warn_user(f"some runs lack the channels {', '.join(dropped)}; they are left out.")
        return [name for name in runs[0].ch_names if name in common]

    def align_runs(
        self,
        *,
        tmin: float = -30.0,
        tmax: float = 0.0,
        eeg_filter: EEGFilter | None = None,
        picks: Sequence[str] | None = None,
        nuisance: Sequence[str] | str | None = None,
        folder: str | PathLike | None = None,
        n_jobs: int | None = None,
        verbose: bool = True,
    ) -> list[tuple[EEGWindows, pd.DataFrame]]:
        """Combine EEG and regions of each usable run.

        A run that fails is left out, with a warning; column ``reason`` of the table says why, and
        the next call tries it again. Warnings name their runs, and are in ``reason`` as well.

        Parameters
        ----------
        tmin, tmax : float
            Window around each volume in s, as in :func:`~sklearn_beira.align`.
        eeg_filter : EEGFilter or None
            Filter of each run, before it is kept: at 100 Hz, raw EEG needs a fiftieth of its space.
        picks : list of str or None
            Channels. None takes the good EEG channels that all runs have.
        nuisance : list of str, "confounds" or None
            Other channels, such as ECG, that become nuisance signals
            (:func:`~sklearn_beira.alignment.channel_nuisance`); or "confounds" for each run's table
            of confounds, of which motion is used if fMRIPrep wrote it, and its heart beat and
            breathing (``*_physio.tsv.gz``). Signals that some runs lack are left out.
        folder : path-like or None
            Folder for the EEG, which is then read when it is needed.
        n_jobs : int or None
            Processes, as in joblib. Give a ``folder`` as well, or EEG is sent between them.
        verbose : bool
            Show a progress bar.

        Returns
        -------
        parts : list of tuple of (EEGWindows, DataFrame)
            X and y of each run.
        """
        for run in self._runs:
            run.failure = "" if run.regions is not None else run.failure
        runs, bolds = self.usable, self.bolds
        if picks is None and runs:
            picks = self.common_channels()
        options = {"tmin": tmin, "tmax": tmax, "nuisance": nuisance}
        tasks = [
            delayed(_attempt)(run.align, bold, picks, eeg_filter, folder, **options)
            for run, bold in zip(runs, bolds, strict=True)
        ]
        parts = [part for _, part in self._do(tasks, "EEG", n_jobs, verbose)]
        if not parts:
            reason = next(iter(self.refused.values()), "there is none with EEG and BOLD")
            raise ValueError(f"no run can be used; first reason: {reason}.")
        return parts

    def write_predictions(
        self, predictions: pd.DataFrame, folder: str | PathLike, extractor=None
    ) -> Study:
        """Write predicted BOLD as BIDS derivatives: a table and an image of every run.

        Images have the grid, the space and the number of volumes of the measured ones. The value
        of a region is in all of its voxels. Volumes without prediction are 0 in the image and "n/a"
        in the table.

        Parameters
        ----------
        predictions : DataFrame of shape (n_volumes, n_rois)
            Predictions, indexed by recording and volume as the y of :meth:`align`, such as
            ``comparison.predictions["BEIRA"]``.
        folder : path-like
            Folder, such as ``"derivatives/beira"``; it is made if it does not exist.
        extractor : ROIExtractor or None
            Extractor that was given to :meth:`extract_regions`. None writes tables only.

        Returns
        -------
        self : Study
            The study.

        Raises
        ------
        ValueError
            If the predictions are not indexed as y is.

        Examples
        --------
        >>> study.write_predictions(
        ...     comparison.predictions["BEIRA"], "derivatives/beira", extractor
        ... )  # doctest: +SKIP
        """
        runs, index = self.usable, getattr(predictions, "index", pd.Index([]))
        is_indexed = list(getattr(index, "names", ())) == ["recording", "volume"]
        if not is_indexed or set(index.get_level_values(0)) != set(range(len(runs))):
            raise ValueError(
                f"predictions of {len(runs)} runs need an index of recording and volume, as y has; "
                f"give comparison.predictions[...], for example."
            )
        folder = open_derivatives(expanded(folder))
        for run, (_, predicted) in zip(runs, predictions.groupby(level=0), strict=True):
            write_predicted(run, predicted.droplevel(0), folder, extractor)
        return self

    def _do(self, tasks, what, n_jobs, verbose):
        """Do a task per usable run; yield runs and results, and tell what failed or is doubtful."""
        runs, failed, doubts = self.usable, [], {}
        with tqdm(total=len(tasks), desc=what, disable=not verbose, leave=False) as bar:
            results = Parallel(n_jobs=n_jobs, return_as="generator")(tasks)
            for run, (result, problem, said, warned) in zip(runs, results, strict=True):
                bar.update()
                run.add_notes(said)
                for warning in warned:
                    doubts.setdefault(warning, []).append(run.name)
                if problem:
                    run.failure = problem
                    failed.append(run.name)
                else:
                    yield run, result
        for (message, category), names in doubts.items():
            warn_user(f"{some(names)}: {message}", category)
        if failed:
            warn_user(
                f"{len(failed)} of {len(runs)} runs failed and are left out ({', '.join(failed)}); "
                f"see the column reason of the table."
            )


def _homes(runs):
    """Find the folders of data sets that each subject is in."""
    homes = {}
    for run in runs:
        homes.setdefault(run.subject, set()).add(run.root)
    return homes


def _attempt(task, *args, **options):
    """Do a task; return its result (None if it failed), what went wrong, notes and warnings.

    The notes are this package's; warnings, with their categories, are those of other packages too.
    """
    result, problem, said = None, "", []
    with warnings.catch_warnings(record=True) as caught, noting(said):
        try:
            result = task(*args, **options)
        except Exception as error:  # one bad run must not end the others
            problem = one_line(error) or type(error).__name__
    warned = dict.fromkeys((_without_number(w.message), w.category) for w in caught)
    return result, problem, list(map(_without_number, said)), list(warned)


def _without_number(message):
    """Leave out the number of the recording, as a task knows one only; others add its name."""
    return one_line(message).replace("recording 0", "the recording")


def _without_odd_ones(runs):
    """Tell which few runs leave no channel that all runs have, and what to do about it."""
    counts = Counter(name for run in runs for name in run.ch_names)
    most = max(counts, key=counts.get, default=None)
    odd = [run.name for run in runs if most not in run.ch_names]
    if 2 * len(odd) >= len(runs):
        return "select runs of one montage"
    left = set.intersection(*(set(run.ch_names) for run in runs if most in run.ch_names))
    return (
        f"without {some(odd)}, they have {len(left)}: check names and bad channels there, or "
        f"select the other runs"
    )


def join_runs(parts: Sequence[tuple[EEGWindows, pd.DataFrame]]) -> tuple:
    """Join X and y of several runs.

    Parameters
    ----------
    parts : list of tuple of (EEGWindows, DataFrame)
        What :meth:`Study.align_runs` returned, or some of it.

    Returns
    -------
    X, y : EEGWindows and DataFrame
        As :meth:`Study.align` returns them.
    """
    Xs, ys = zip(*parts, strict=True)
    rates = {X.sfreq for X in Xs}
    if len(rates) > 1:
        raise ValueError(
            f"runs are sampled at {', '.join(f'{r:g}' for r in sorted(rates))} Hz; give "
            f"eeg_filter=EEGFilter(..., sfreq=...), or select runs of one rate."
        )
    for X, y in parts:
        other = set(y) ^ set(ys[0])
        if other:
            run = X.alignment.iloc[0]
            raise ValueError(
                f"a run of {run['subject']} (task {run['task']}, run {run['run']}) has other "
                f"regions than the first run: {some(sorted(map(str, other)))} are in one of them "
                f"only; give tables of the same regions, or select runs."
            )
    X = EEGWindows(
        [X._recordings[0] for X in Xs],
        np.repeat(np.arange(len(Xs)), [len(X) for X in Xs]),
        np.concatenate([X.times for X in Xs]),
        Xs[0].info,
        tmin=Xs[0].tmin,
        tmax=Xs[0].tmax,
        bads=[X.bads[0] for X in Xs],
        subjects=[X._subjects[0] for X in Xs],
    )
    X.alignment = pd.concat([X.alignment for X in Xs], ignore_index=True)
    X.alignment.index.name = "recording"
    X.volumes = np.concatenate([one.volumes for one in Xs])
    X._cut_by_align = X._y_is_indexed = True
    if Xs[0].nuisance is not None:
        tables = [one.nuisance[0] for one in Xs]
        names = [name for name in tables[0] if all(name in table for table in tables)]
        if names:
            X = X.with_nuisance([table[names] for table in tables])
        else:
            known = some(str(name) for table in tables for name in table)
            warn_user(
                f"no nuisance signal is known in every run, so none is used; some have {known}."
            )
    y = pd.concat(ys, ignore_index=True)
    y.index = pd.MultiIndex.from_arrays([X.groups, X.volumes], names=["recording", "volume"])
    return X, y


def sort_files(paths: Iterable[Path], key: Callable) -> dict:
    """Sort files by scan.

    Parameters
    ----------
    paths : iterable of Path
        Files; hidden ones are left out.
    key : callable
        Gives the scan of a file, or None.

    Returns
    -------
    found : dict of str or tuple to list of Path
        Files of each scan.
    """
    found = {}
    for path in sorted(paths):
        if key(path) is not None and not path.name.startswith("."):
            found.setdefault(key(path), []).append(path)
    return found


def pair_files(root, eegs, bolds, subject, **facts):
    """Pair EEG and BOLD of each scan, and check them; several files of a kind are refused.

    Parameters
    ----------
    root : Path
        Folder of the data set.
    eegs, bolds : dict of str or tuple of str to list of Path
        Files by subject, or by subject and run, as :func:`sort_files` returns them.
    subject : str, list of str or None
        Subjects that are wanted.
    **facts
        What all runs have in common.

    Returns
    -------
    study : Study
        The study.
    """
    wanted = [subject] if isinstance(subject, str) else subject
    runs = []
    for key in sorted({*eegs, *bolds}):
        person, run = (key, None) if isinstance(key, str) else key
        if wanted is not None and person not in wanted:
            continue
        found = [eegs.get(key, []), bolds.get(key, [])]
        eeg, bold = (paths[0] if paths else None for paths in found)
        problem = "" if eeg and bold else f"no {'BOLD' if eeg else 'EEG'} of that name"
        for paths in found:
            if len(paths) > 1:
                names = ", ".join(path.name for path in paths)
                problem = f"{len(paths)} files fit ({names}); leave one in its folder"
        runs.append(Run(person, run=run, eeg=eeg, bold=bold, problem=problem, **facts))
        runs[-1].root = root.resolve()
        runs[-1].check()
    if not runs:
        raise ValueError(
            f"{root} has neither EEG nor BOLD where they are expected; give the folder of the data "
            f"set, and subjects that it has."
        )
    return Study(runs)
