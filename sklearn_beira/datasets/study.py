"""A study: many runs of EEG and BOLD, a table of them, and the way from files to X and y."""

from __future__ import annotations

import warnings
from ast import literal_eval
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

import mne
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.base import clone
from tqdm import tqdm

from .._utils.files import atomic_write, one_line, reading, writable_folder
from .._utils.hashing import digest, environment
from .._utils.numbers import to_numbers
from .._utils.warn import warn_user
from ..alignment import align
from ..alignment.counts import is_candidate
from ..alignment.triggers import all_markers, find_onsets
from ..bold.tables import load_table, read_rows
from ..eeg import EEGFilter
from ..eeg.channels import pick_eeg
from ..eeg.windows import EEGWindows

ENTITIES = ("subject", "session", "task", "run")
# Markers are on the pace of the scanner within this share of the repetition time.
_TOLERANCE = 0.01
_TYPES = {"eeg": "eeg", "eog": "eog", "ecg": "ecg", "emg": "emg", "trig": "stim"}
_TABLES = (".csv", ".tsv")
_POINTERS = (b"version https://git-lfs", b"/annex/objects", b"../")


@dataclass
class Run:
    """One run of a study: its files, and what is known about them.

    Parameters
    ----------
    subject, session, task, run : str or None
        Names.
    eeg, bold : Path or None
        EEG in a format that MNE reads; BOLD as image, or as table of regions.
    t_r : float or None
        Repetition time in s.
    offset : float
        Time in s from the onset of a volume to the moment that its BOLD stands for.
    trigger : str or dict
        "auto", a marker, or ``{column: value}`` of ``events``.
    missing : {None, "start", "end"} or int
        As in :func:`load_bids`.
    confounds : tuple of str, Path or None
        Strategy of nilearn's ``load_confounds``, or a table.
    channels, events : Path or None
        ``channels.tsv`` and ``events.tsv``.
    problem : str
        Why the run cannot be used; "" if it can.
    note : str
        What else is to be known.
    """

    subject: str
    session: str | None = None
    task: str | None = None
    run: str | None = None
    eeg: Path | None = None
    bold: Path | None = None
    t_r: float | None = None
    offset: float = 0.0
    trigger: str | dict = "auto"
    missing: str | int | None = None
    confounds: tuple | Path | None = None
    channels: Path | None = None
    events: Path | None = None
    problem: str = ""
    note: str = ""
    # What the headers say.
    n_volumes: int | None = None
    n_triggers: int | None = None
    gaps: int | None = None
    ch_names: list = field(default_factory=list)
    onsets: np.ndarray | None = None

    @property
    def name(self):
        """Name of the run, as in a file of BIDS."""
        parts = zip(("sub", "ses", "task", "run"), ENTITIES, strict=True)
        return "_".join(f"{key}-{getattr(self, e)}" for key, e in parts if getattr(self, e))

    @property
    def verdict(self):
        """One of "ok", "no EEG", "no BOLD" and "refused"."""
        if self.eeg is None or self.bold is None:
            return "no EEG" if self.eeg is None else "no BOLD"
        return "refused" if self.problem else "ok"

    def row(self):
        """Return the row of the table."""
        known = self.n_volumes is not None and self.n_triggers is not None
        return {
            **{entity: getattr(self, entity) for entity in ENTITIES},
            "eeg": self.eeg and self.eeg.name,
            "bold": self.bold and self.bold.name,
            "confounds": _describe_confounds(self.confounds),
            "t_r": self.t_r,
            "trigger": self.trigger,
            "n_triggers": self.n_triggers,
            "n_volumes": self.n_volumes,
            "difference": self.n_triggers - self.n_volumes if known else None,
            "gaps": self.gaps,
            "verdict": self.verdict,
            "reason": "; ".join(filter(None, [self.problem, self.note])),
        }

    def check(self):
        """Read the headers, and find out whether each volume has its marker."""
        if self.verdict != "ok":
            return
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                self._read_headers()
            except Exception as error:  # damaged files raise errors of any kind in the readers
                self.problem = one_line(error) or type(error).__name__
        said = [self.note, *(one_line(w.message) for w in caught)]
        self.note = "; ".join(dict.fromkeys(filter(None, said)))

    def _read_headers(self):
        self.n_volumes, header = read_header(self.bold)
        if self.t_r is None:
            self.t_r = header
        if self.t_r is None:
            raise ValueError(f"the repetition time of {self.bold.name} is unknown.")
        if header and abs(header - self.t_r) > _TOLERANCE * self.t_r:
            warn_user(f"the header of the image has a repetition time of {header:g} s")
        raw = self.read_eeg()
        self.ch_names = [raw.ch_names[i] for i in pick_eeg(raw.info)[0]]
        self._find_volumes(raw)

    def read_eeg(self):
        """Open the EEG, with types of channels; the signal stays on disk."""
        with reading(self.eeg):
            raw = mne.io.read_raw(self.eeg, preload=False, verbose="error")
        set_channels(raw, self.channels)
        if isinstance(self.trigger, dict):
            ((column, value),) = self.trigger.items()
            events = self.read_events()
            if events is None or column not in events:
                raise ValueError(f"the run has no events.tsv with a column {column!r}.")
            onsets = events.loc[events[column] == str(value), "onset"].astype(float).dropna()
            raw.annotations.append(onsets + raw.first_time, 0.0, _name(self.trigger))
        return raw

    def read_events(self):
        """Read ``events.tsv``; None if there is none."""
        return read_tsv(self.events) if self.events else None

    def _find_volumes(self, raw):
        """Find the marker of each volume; volumes without one have NaN."""
        markers = all_markers(raw)
        if self.trigger == "auto":
            self.trigger = pick_trigger(markers, self.t_r)
        # Blanks within names, such as "S  1", are lost on many ways; they are not compared.
        same = [one for one in map(literal_eval, markers) if _same(one, _name(self.trigger))]
        if len(same) != 1:
            raise ValueError(f"there is no marker {self.trigger!r}; {describe(markers)}.")
        name = same[0]
        if not isinstance(self.trigger, dict):
            self.trigger = name
        onsets = markers[repr(name)]
        off_pace = np.abs(np.diff(onsets) - self.t_r) > _TOLERANCE * self.t_r
        self.n_triggers, self.gaps = len(onsets), int(off_pace.sum())
        first = self.missing if isinstance(self.missing, int) else 0
        missing = "end" if isinstance(self.missing, int) else self.missing
        # At an end that may have too many markers, one off the pace is not that of a volume.
        odd = {"start": 0, "end": -1}.get(missing)
        if odd is not None and len(off_pace) and off_pace[odd]:
            here = np.flatnonzero(raw.annotations.description == name)
            raw.annotations.delete(here[[odd]] if len(here) else here)
        n_volumes = self.n_volumes - first
        found, _, doubts = find_onsets(raw, n_volumes, None, name, missing, self.t_r, self.name)
        for doubt in doubts:
            warn_user(doubt)
        self.onsets = np.concatenate([np.full(first, np.nan), found])

    def read_regions(self, extractor=None, cache=None):
        """Read the BOLD of the regions, indexed by the number of the volume."""
        if self.bold.suffix in _TABLES:
            return read_rows(load_table(self.bold)).regions.rename_axis("volume")
        confounds, kept = self.read_confounds()
        extractor = clone(extractor).set_params(confounds=confounds)
        path = None
        if cache is not None:
            key = digest(environment(), extractor, _stamps(self.bold, extractor), kept)
            path = Path(cache) / f"{self.name}_{key[:16]}_timeseries.tsv"
            with suppress(OSError, ValueError, KeyError):  # none, or a damaged one
                table = pd.read_csv(path, sep="\t", dtype=str)  # all digits are kept
                return table.astype(float).astype({"volume": int}).set_index("volume")
        regions = self._extract(extractor, confounds, kept).rename_axis("volume")
        if path is not None:
            with atomic_write(path) as file:
                regions.to_csv(file, sep="\t")
        return regions

    def read_confounds(self):
        """Return confounds, and the numbers of the volumes that are used (None for all)."""
        if not isinstance(self.confounds, tuple):
            return self.confounds, None
        from nilearn.interfaces.fmriprep import load_confounds

        return load_confounds(str(self.bold), strategy=self.confounds)

    def _extract(self, extractor, confounds, kept):
        if kept is None:
            return extractor.fit_transform(self.bold)
        from nilearn.image import load_img

        # Volumes before the steady state are bright: they are cut off before detrending.
        first = int(kept[0])
        if confounds is not None:
            extractor.set_params(confounds=confounds.iloc[first:])
        regions = extractor.fit_transform(load_img(self.bold).slicer[..., first:])
        return regions.set_axis(np.arange(first, first + len(regions))).loc[kept]

    def align(self, regions, picks, eeg_filter, folder, **options):
        """Make X and y of the run."""
        times = self.onsets[regions.index] + self.offset
        marked = np.isfinite(times)
        X, y = align(
            self.read_eeg(), regions[marked], volume_times=times[marked], t_r=None,
            subjects=self.subject, picks=picks, verbose="error",
            folder=None if eeg_filter is not None else folder, **options,
        )  # fmt: skip
        X.volumes = regions.index[marked].to_numpy()[X.volumes]
        X.alignment["n_volumes"] += int((~marked).sum())
        X.alignment["no_marker"] += int((~marked).sum())
        for entity in ENTITIES:
            X.alignment[entity] = getattr(self, entity)
        if eeg_filter is not None:
            X = clone(eeg_filter).fit_transform(X)
            X = X if folder is None else X.to_folder(folder)
        return X, y


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
        self._bolds = {}

    def __repr__(self):
        verdicts = ", ".join(f"{n} {v}" for v, n in self.table["verdict"].value_counts().items())
        return f"Study of {self.table['subject'].nunique()} subjects, {len(self)} runs: {verdicts}"

    def _repr_html_(self):
        return self.table.to_html(border=0, na_rep="")

    def __len__(self):
        return len(self._runs)

    def __add__(self, other):
        """Join two studies, such as parts that need other settings."""
        joined = Study([*self._runs, *other._runs])
        joined._bolds = self._bolds | other._bolds
        return joined

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
        return {run.name: run.problem for run in self._runs if run.verdict == "refused"}

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
        missing = [run.name for run in self.usable if run.name not in self._bolds]
        if missing:
            raise ValueError(f"{missing[0]} has no regions yet; call extract_regions first.")
        return [self._bolds[run.name] for run in self.usable]

    def select(self, mask=None, /, **values) -> Study:
        """Select runs.

        Parameters
        ----------
        mask : array-like of bool, shape (n_runs,), or None
            Rows of the table.
        **values : str or list of str
            Values of columns of the table, such as ``task="rest"`` or ``subject=["01", "02"]``.

        Returns
        -------
        study : Study
            Study of the selected runs.
        """
        table = self.table
        keep = np.ones(len(table), dtype=bool) if mask is None else np.asarray(mask, dtype=bool)
        for column, wanted in values.items():
            if column not in table:
                raise ValueError(f"the table has no column {column!r}; it has {list(table)}.")
            keep &= table[column].isin([wanted] if np.ndim(wanted) == 0 else list(wanted))
        selected = Study([run for run, kept in zip(self._runs, keep, strict=True) if kept])
        selected._bolds = self._bolds
        return selected

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
        found[0].onsets, found[0].problem, found[0].note = onsets, "", "onsets are given"
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

        A run that fails does not end the others: the table tells why.

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
        tasks = [delayed(_attempt)(run.read_regions, extractor, cache) for run in self.usable]
        self._bolds |= dict(self._do(tasks, "regions", n_jobs, verbose))
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
            EEG, with ``X.subjects``; ``X.alignment`` tells subject, session, task and run of each
            recording, and the volumes that were dropped.
        y : DataFrame of shape (n_kept, n_rois)
            BOLD, indexed by recording and volume.

        Raises
        ------
        ValueError
            If no run can be used, or if runs differ in sampling rate.
        """
        return join_runs(self.align_runs(**options))

    def align_runs(
        self,
        *,
        tmin: float = -30.0,
        tmax: float = 0.0,
        eeg_filter: EEGFilter | None = None,
        picks: Sequence[str] | None = None,
        nuisance: Sequence[str] | None = None,
        folder: str | PathLike | None = None,
        n_jobs: int | None = None,
        verbose: bool = True,
    ) -> list[tuple[EEGWindows, pd.DataFrame]]:
        """Combine EEG and regions of each usable run.

        A run that fails is left out, with a warning: the table tells why.

        Parameters
        ----------
        tmin, tmax : float
            Window around each volume in s, as in :func:`~sklearn_beira.align`.
        eeg_filter : EEGFilter or None
            Filter of each run, before it is kept: at 100 Hz, raw EEG needs a fiftieth of its space.
        picks : list of str or None
            Channels. None takes the good EEG channels that all runs have.
        nuisance : list of str or None
            Other channels, such as ECG, that become nuisance signals
            (:func:`~sklearn_beira.alignment.channel_nuisance`).
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
        runs, bolds = self.usable, self.bolds
        if picks is None and runs:
            common = set.intersection(*(set(run.ch_names) for run in runs))
            picks = [name for name in runs[0].ch_names if name in common]
            dropped = sorted(set().union(*(run.ch_names for run in runs)) - common)
            if dropped:
                warn_user(f"some runs lack the channels {', '.join(dropped)}; they are left out.")
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

    def _do(self, tasks, what, n_jobs, verbose):
        """Do a task per usable run; yield names and results, and write down what failed."""
        runs, failed = self.usable, []
        with tqdm(total=len(tasks), desc=what, disable=not verbose, leave=False) as bar:
            results = Parallel(n_jobs=n_jobs, return_as="generator")(tasks)
            for run, (result, problem) in zip(runs, results, strict=True):
                bar.update()
                if problem:
                    run.problem = problem
                    failed.append(run.name)
                else:
                    yield run.name, result
        if failed:
            warn_user(
                f"{len(failed)} of {len(runs)} runs failed and are left out ({', '.join(failed)}); "
                f"the table tells why."
            )


def _attempt(task, *args, **options):
    """Do a task, and return its result and "", or None and what went wrong."""
    try:
        return task(*args, **options), ""
    except Exception as error:  # one bad run must not end the others
        return None, one_line(error) or type(error).__name__


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
        X = X.with_nuisance([one.nuisance[0] for one in Xs])
    y = pd.concat(ys, ignore_index=True)
    y.index = pd.MultiIndex.from_arrays([X.groups, X.volumes], names=["recording", "volume"])
    return X, y


def _stamps(bold, extractor):
    """Names, sizes and dates of the files that regions depend on, such as image and atlas."""
    paths = [bold, *(v for v in extractor.get_params().values() if isinstance(v, str | PathLike))]
    found = [(str(path), Path(path).stat()) for path in paths if Path(path).is_file()]
    return [(name, stamp.st_size, stamp.st_mtime_ns) for name, stamp in found]


# -- markers --------------------------------------------------------------------------------------
def pick_trigger(markers: dict[str, np.ndarray], t_r: float) -> str | tuple[str, int]:
    """Find the marker whose median interval is the repetition time.

    Parameters
    ----------
    markers : dict of str to ndarray
        Onsets in s, by the code of the name.
    t_r : float
        Repetition time in s.

    Returns
    -------
    trigger : str or tuple of (str, int)
        Marker.

    Raises
    ------
    ValueError
        If there is none, or more than one.
    """
    found = [
        name
        for name, onsets in markers.items()
        if is_candidate(name.strip("'("))
        and len(onsets) > 2
        and abs(np.median(np.diff(onsets)) - t_r) <= _TOLERANCE * t_r
    ]
    if len(found) != 1:
        how_many = "several markers come" if found else "no marker comes"
        raise ValueError(f"{how_many} every {t_r:g} s; give the trigger: {describe(markers)}.")
    return literal_eval(found[0])


def describe(markers: dict[str, np.ndarray]) -> str:
    """List markers with their numbers and median intervals."""
    told = []
    for name, onsets in markers.items():
        every = f" every {np.median(np.diff(onsets)):.4g} s" if len(onsets) > 1 else ""
        told.append(f"{name} ({len(onsets)}{every})")
    return f"the EEG has the markers {', '.join(told)}" if told else "the EEG has no markers"


def _name(trigger):
    """Name of the annotation of a trigger that ``events.tsv`` holds; others are their own name."""
    return "{}={}".format(*next(iter(trigger.items()))) if isinstance(trigger, dict) else trigger


def _same(a, b):
    return str(a).split() == str(b).split()


# -- files ----------------------------------------------------------------------------------------
def pointer(path: Path) -> str:
    """Tell why a file has no content yet: it is empty, or only points to its content; else ""."""
    if not path.is_file():
        return f"{path.name} was not downloaded (a link without its file)"
    head = path.read_bytes()[:200] if path.stat().st_size < 1000 else b""
    if head.startswith(_POINTERS) or b"annex/objects" in head:
        return f"{path.name} was not downloaded (it only points to its content)"
    return f"{path.name} is empty" if path.stat().st_size == 0 else ""


def read_header(path: Path) -> tuple[int, float | None]:
    """Read the number of volumes, and the repetition time in s if it is known."""
    if path.suffix in _TABLES:
        return len(load_table(path)), None
    from ..bold.images import open_image, repetition_time  # which import nilearn

    img = open_image(path, "BOLD image")
    if img.ndim != 4:
        raise ValueError(f"{path.name} has shape {img.shape}; expected four dimensions, time last.")
    t_r = repetition_time(img)
    return img.shape[3], t_r and round(t_r, 6)


def read_tsv(path: Path) -> pd.DataFrame:
    """Read a table of BIDS as text; some are separated by blanks, with quotes."""
    with path.open(encoding="utf-8-sig") as lines:
        sep = "\t" if "\t" in lines.readline() else r"\s+"
    table = pd.read_csv(
        path, sep=sep, dtype=str, encoding="utf-8-sig", quotechar="'" if sep != "\t" else '"'
    )
    return table.rename(columns=str.strip)


def set_channels(raw: mne.io.BaseRaw, channels: Path | None) -> None:
    """Set types and bad channels, by ``channels.tsv`` and by the names.

    Parameters
    ----------
    raw : mne.io.Raw
        Recording; it is changed in place.
    channels : Path or None
        Table with the columns ``name``, ``type`` and ``status``.
    """
    if channels is not None:
        table = read_tsv(channels).set_index("name")
        table = table[table.index.isin(raw.ch_names) & ~table.index.duplicated()]
        if "type" in table:
            types = table["type"].str.lower().map(lambda kind: _TYPES.get(kind, "misc"))
            raw.set_channel_types(types.to_dict(), on_unit_change="ignore", verbose="error")
        if "status" in table:
            raw.info["bads"] = list(table.index[table["status"] == "bad"])
    by_name = dict.fromkeys(pick_eeg(raw.info)[1], "misc")
    for kind in ("eog", "ecg", "emg"):
        by_name |= dict.fromkeys((name for name in raw.ch_names if kind in name.lower()), kind)
    raw.set_channel_types(by_name, on_unit_change="ignore", verbose="error")


def _describe_confounds(confounds):
    if isinstance(confounds, tuple):
        return ", ".join(confounds)
    return confounds and confounds.name
