"""One run of EEG and BOLD: what its files say, and the way to its X and y."""

from __future__ import annotations

import warnings
from contextlib import suppress
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

import mne
import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.utils import Bunch

from .._utils.files import atomic_write, one_line, reading
from .._utils.hashing import digest, environment
from .._utils.warn import noting, warn_user
from ..alignment import align
from ..alignment.markers import all_markers, find_marker, is_start, pick_trigger
from ..alignment.nuisance import place_nuisance, read_nuisance
from ..alignment.onsets import find_onsets
from ..alignment.physio import without_zeros
from ..alignment.seams import find_seams
from ..bold.tables import load_table, read_rows
from ..eeg.channels import pick_eeg
from .brainvision import with_its_files

# Columns of the table, and their keys in names of files.
KEYS = {"subject": "sub", "session": "ses", "task": "task", "run": "run"}
ENTITIES = tuple(KEYS)
# Times between volumes are the repetition time within this share of it.
_TOLERANCE = 0.01
# Types of BIDS, and their types in MNE; others are "misc".
_TYPES = {kind: kind for kind in ("eeg", "eog", "ecg", "emg", "resp")}
_TYPES |= {"veog": "eog", "heog": "eog", "trig": "stim"}
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
    n_discarded : int
        Number of volumes that were measured before the first one of the file, and discarded.
    trigger : str, tuple of (str, int) or dict
        "auto", a marker, or ``{column: value}`` of ``events``.
    missing : {None, "start", "end"} or int
        As in :func:`load_bids`.
    confounds : tuple of str, Path or None
        Strategy of nilearn's ``load_confounds``, or a table.
    nuisance : Path or None
        Table whose signals, such as motion, may change both EEG and BOLD; a row per volume.
    physio : list of Path
        Files ``*_physio.tsv.gz`` with heart beat or breathing.
    channels, events : Path or None
        ``channels.tsv`` and ``events.tsv``.
    electrodes : dict of str to ndarray or None
        Positions in m, in head coordinates; used if they are those of all good EEG channels.
    root : Path or None
        Folder of the data set, which distinguishes people of the same name.
    problem : str
        Why the run cannot be used; "" if it can.
    failure : str
        Why the last step failed, such as aligning; "" if it did not. The step may be tried again.
    note : str
        What else is to be known.
    doubts : list of str
        What is doubtful about the onsets.
    """

    subject: str
    session: str | None = None
    task: str | None = None
    run: str | None = None
    eeg: Path | None = None
    bold: Path | None = None
    t_r: float | None = None
    offset: float = 0.0
    n_discarded: int = 0
    trigger: str | tuple[str, int] | dict = "auto"
    missing: str | int | None = None
    confounds: tuple | Path | None = None
    nuisance: Path | None = None
    physio: list = field(default_factory=list)
    channels: Path | None = None
    events: Path | None = None
    electrodes: dict | None = None
    root: Path | None = None
    problem: str = ""
    failure: str = ""
    note: str = ""
    doubts: list = field(default_factory=list)
    # What the headers say.
    n_volumes: int | None = None
    n_triggers: int | None = None
    gaps: int | None = None
    ch_names: list = field(default_factory=list)
    onsets: np.ndarray | None = None
    # What Study.extract_regions has read.
    regions: pd.DataFrame | None = None

    @property
    def name(self):
        """Name of the run, as in a file of BIDS."""
        return "_".join(f"{key}-{getattr(self, e)}" for e, key in KEYS.items() if getattr(self, e))

    @property
    def verdict(self):
        """One of "ok", "no EEG", "no BOLD" and "refused"."""
        if self.eeg is None or self.bold is None:
            return "no EEG" if self.eeg is None else "no BOLD"
        return "refused" if self.problem or self.failure else "ok"

    @property
    def why_not(self):
        """Why the run is not used; "" if it is."""
        return (self.problem or self.failure).rstrip(".")

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
            "reason": "; ".join(filter(None, [self.why_not, self.note, *self.doubts])),
        }

    def check(self):
        """Read the headers, and find out whether each volume has its marker."""
        if self.verdict != "ok":
            return
        said = []
        with warnings.catch_warnings(), noting(said):
            warnings.simplefilter("ignore", UserWarning)
            try:
                self._read_headers()
            except Exception as error:  # damaged files raise errors of any kind in the readers
                self.problem = one_line(error) or type(error).__name__
        self.add_notes(said)

    def add_notes(self, messages):
        """Add messages to the note, each once."""
        for message in (one_line(message).rstrip(".") for message in messages):
            if message not in self.note:
                self.note = "; ".join(filter(None, [self.note, message]))

    def _read_headers(self):
        self.n_volumes, header, knows_last = read_header(self.bold)
        if self.t_r is None:
            self.t_r = header
        if self.t_r is None:
            raise ValueError(f"the repetition time of {self.bold.name} is unknown.")
        if header and abs(header - self.t_r) > _TOLERANCE * self.t_r:
            warn_user(f"the header of the image has a repetition time of {header:g} s")
        self._check_confounds()
        self._find_volumes(self.read_channels(), knows_last)

    def read_channels(self):
        """Open the EEG, check it, and take down the names of its good channels."""
        raw = self.read_eeg()
        self.ch_names = [raw.ch_names[i] for i in pick_eeg(raw.info)[0]]
        if not self.ch_names:
            kinds = ", ".join(sorted(set(raw.get_channel_types())))
            raise ValueError(
                f"the EEG has no good EEG channel: it has the types {kinds}, and "
                f"{len(raw.info['bads'])} of {len(raw.ch_names)} channels are bad; check "
                f"channels.tsv."
            )
        for onset, _, name in find_seams(raw)[:1]:
            raise ValueError(
                f"the EEG is not continuous ({name} at {onset:.2f} s); split it with "
                f"split_at_seams, and save the part with this scan as the EEG of the run."
            )
        return raw

    def _check_confounds(self):
        """Refuse images whose confounds nilearn does not find."""
        if not isinstance(self.confounds, tuple) or "ica_aroma" in self.confounds:
            return
        if not self.bold.name.endswith("desc-preproc_bold.nii.gz"):
            raise ValueError(
                f"nilearn reads confounds only for images named *desc-preproc_bold.nii.gz, and not "
                f"for {self.bold.name}; give confounds=None, or a pattern of tables."
            )

    def read_eeg(self):
        """Open the EEG, with types of channels; the signal stays on disk."""
        with reading(self.eeg), with_its_files(self.eeg) as path:
            raw = mne.io.read_raw(path, preload=False, verbose="error")
        set_channels(raw, self.channels)
        names = {raw.ch_names[i] for i in pick_eeg(raw.info)[0]}
        if names and names <= set(self.electrodes or ()):
            places = {name: self.electrodes[name] for name in names}
            montage = mne.channels.make_dig_montage(places, coord_frame="head")
            raw.set_montage(montage, on_missing="ignore", verbose="error")
        if isinstance(self.trigger, dict):
            ((column, value),) = self.trigger.items()
            events = self.read_events()
            if events is None or column not in events:
                raise ValueError(
                    f"the EEG has no events.tsv with a column {column!r}; that of BOLD counts from "
                    f"the first volume, and that of raw EEG from its own start."
                )
            onsets = events.loc[events[column] == str(value), "onset"].astype(float).dropna()
            raw.annotations.append(onsets + raw.first_time, 0.0, _name(self.trigger))
        return raw

    def read_events(self):
        """Read ``events.tsv``; None if there is none."""
        return read_tsv(self.events) if self.events else None

    def _find_volumes(self, raw, knows_last):
        """Find the marker of each volume; volumes without one have NaN."""
        markers = all_markers(raw)
        if self.trigger == "auto":
            self.trigger = pick_trigger(markers, self.t_r)
        name = find_marker(markers, _name(self.trigger))
        if not isinstance(self.trigger, dict):
            self.trigger = name
        onsets = markers[name]
        off_pace = np.abs(np.diff(onsets) - self.t_r) > _TOLERANCE * self.t_r
        self.n_triggers, self.gaps = len(onsets), int(off_pace.sum())
        first = self.missing if isinstance(self.missing, int) else 0
        missing = "end" if isinstance(self.missing, int) else self.missing
        if not 0 <= first < self.n_volumes:
            raise ValueError(f"missing={first} is none of its {self.n_volumes} volumes.")
        # At an end that may have too many markers, one off the pace is not that of a volume.
        odd = {"start": 0, "end": -1}.get(missing)
        if odd is not None and len(off_pace) and off_pace[odd]:
            markers[name] = np.delete(onsets, odd)
        n_volumes = self.n_volumes - first
        found, _, doubts = find_onsets(
            raw, n_volumes, None, name, missing, self.t_r, self.name, markers, knows_last=knows_last
        )
        self.onsets = np.concatenate([np.full(first, np.nan), found])
        if len(markers[name]) == 1 < self.n_volumes and not isinstance(self.missing, int):
            doubts += self._place_scan(name, raw.n_times / raw.info["sfreq"])
        self.doubts = [one_line(doubt).rstrip(".") for doubt in doubts]

    def _place_scan(self, name, duration):
        """Place volumes after the marker of the start of the scan, if it can be that."""
        is_short = self.onsets[-1] > duration and self.missing != "end"
        if is_short and not is_start(name):
            raise ValueError(
                f"{name!r} occurs once, and the last volume would start {self.onsets[-1]:.2f} s "
                f"after the start of the EEG, which lasts {duration:.2f} s, so other markers may "
                f"be lost; give missing='end' if the EEG ends before the scan, or missing=0 if it "
                f"is that of the first volume."
            )
        if not self.n_discarded:
            return []
        self.onsets += self.n_discarded * self.t_r
        return [
            f"volumes before the first of the image were discarded ({self.n_discarded}), so it "
            f"starts {self.n_discarded * self.t_r:g} s after the marker; give missing=0 if the "
            f"marker is that of the first volume in the file."
        ]

    def read_regions(self, extractor=None, cache=None):
        """Read the BOLD of the regions, indexed by the number of the volume."""
        if self.bold.suffix in _TABLES:
            rows = read_rows(load_table(self.bold))
            numbers = np.arange(len(rows.regions)) if rows.numbers is None else rows.numbers
            return rows.regions.set_axis(numbers).rename_axis("volume")
        confounds, kept = self.read_confounds()
        extractor = clone(extractor).set_params(confounds=confounds)
        path = None
        if cache is not None:
            key = digest(environment(), extractor, _stamps(self.bold, extractor), kept)
            path = Path(cache) / f"{self.name}_{key[:16]}_timeseries.tsv"
            notes = path.with_suffix(".txt")
            with suppress(OSError, ValueError, KeyError):  # none, or a damaged one
                table = pd.read_csv(path, sep="\t", dtype=str)  # all digits are kept
                table = table.astype(float).astype({"volume": int}).set_index("volume")
                for note in notes.read_text("utf-8").splitlines() if notes.is_file() else ():
                    warn_user(note)
                return table
        said = []
        with noting(said):
            regions = self._extract(extractor, confounds, kept).rename_axis("volume")
        if path is not None:
            if said:  # before the table, which is then complete
                with atomic_write(notes) as file:
                    file.write("\n".join(map(one_line, said)).encode())
            with atomic_write(path) as file:
                regions.to_csv(file, sep="\t")
        return regions

    def read_confounds(self):
        """Return confounds, and the numbers of the volumes that are used (None for all)."""
        if self.confounds is None:
            return None, None
        if not isinstance(self.confounds, tuple):
            from ..bold.confounds import unsteady  # which imports nilearn

            table = load_table(self.confounds)
            early = table[unsteady(table)].any(axis=1).to_numpy()
            return self.confounds, np.flatnonzero(~early) if early.any() else None
        from nilearn.interfaces.fmriprep import load_confounds

        return load_confounds(str(self.bold), strategy=self.confounds)

    def read_motion(self):
        """Read the framewise displacement of each volume in mm; None if no table has it."""
        table = pd.DataFrame()
        with suppress(ValueError, TypeError):
            if self.nuisance is not None:
                table = read_nuisance(self.nuisance)
        return table.get("framewise_displacement") if len(table) == self.n_volumes else None

    def _extract(self, extractor, confounds, kept):
        if kept is None:
            return extractor.fit_transform(self.bold)
        # Volumes before the steady state are bright, and those with motion have spikes: they are
        # left out before detrending.
        return extractor.fit(self.bold)._transform(self.bold, kept).set_axis(kept)

    def align(self, regions, picks, eeg_filter, folder, nuisance, **options):
        """Make X and y of the run."""
        of_table = nuisance == "confounds"
        if of_table and self.nuisance is None and not self.physio:
            raise ValueError("there is no table of confounds for nuisance='confounds'.")
        raw = self.read_eeg()
        times = self.onsets[regions.index] + self.offset
        marked = np.isfinite(times)
        X, y = align(
            raw, regions[marked], volume_times=times[marked], t_r=None, subjects=self.subject,
            picks=picks, nuisance=None if of_table else nuisance, verbose="error",
            folder=None if eeg_filter is not None else folder, **options,
        )  # fmt: skip
        X.volumes = regions.index[marked].to_numpy()[X.volumes]
        y.index = pd.MultiIndex.from_arrays([X.groups, X.volumes], names=y.index.names)
        X.alignment["n_volumes"] = self.n_volumes
        X.alignment["no_marker"] += int((~marked).sum())
        X.alignment["left_out"] = self.n_volumes - len(regions)
        if of_table:
            X = X.with_nuisance([self._read_nuisance(raw)])
        for entity in ENTITIES:
            X.alignment[entity] = getattr(self, entity)
        if eeg_filter is not None:
            X = clone(eeg_filter).fit_transform(X)
            X = X if folder is None else X.to_folder(folder)
        return X, y

    def _read_nuisance(self, raw):
        """Read the table of nuisance signals, with heart beat and breathing at its times."""
        volumes = Bunch(
            times=self.onsets + self.offset,
            numbers=np.arange(len(self.onsets)),
            offset=self.offset,
            n_acquired=None,
        )
        tables = []
        for path in filter(None, (self.nuisance, *self.physio)):
            try:
                tables.append(place_nuisance(read_nuisance(path, raw), volumes, self.name))
            except ValueError as error:
                if path == self.nuisance:
                    raise
                warn_user(f"{path.name} is left out: {one_line(error)}")
        if not tables:
            raise ValueError("the run has no nuisance signal that can be used.")
        table, *others = tables
        for name, values in (item for other in others for item in other.items()):
            table[name] = np.interp(table.index, values.index, values)
        return table


def plain(label, entity=None):
    """Strip the prefix of an entity, and the zeros in front of a number; "" for no label."""
    return without_zeros(("" if label is None else str(label)).removeprefix(f"{KEYS.get(entity)}-"))


def _stamps(bold, extractor):
    """Names, sizes and dates of the files that regions depend on, such as image and atlas."""
    paths = [bold, *(v for v in extractor.get_params().values() if isinstance(v, str | PathLike))]
    found = [(str(path), Path(path).stat()) for path in paths if Path(path).is_file()]
    return [(name, stamp.st_size, stamp.st_mtime_ns) for name, stamp in found]


def _name(trigger):
    """Name of the annotation of a trigger that ``events.tsv`` holds; others are their own name."""
    return "{}={}".format(*next(iter(trigger.items()))) if isinstance(trigger, dict) else trigger


# -- files ----------------------------------------------------------------------------------------
def pointer(path: Path) -> str:
    """Tell why a file has no content: it is empty, or only points to its content; else ""."""
    if not path.is_file():
        return f"{path.name} was not downloaded (a link without its file)"
    try:
        with path.open("rb") as file:
            head = file.read(200)
    except OSError as error:
        return f"{path.name} cannot be read ({error.strerror})"
    if head.startswith(_POINTERS) or b"annex/objects" in head:
        return f"{path.name} was not downloaded (it only points to its content)"
    return "" if head else f"{path.name} is empty"


def read_header(path: Path) -> tuple[int, float | None, bool]:
    """Read the number of volumes, the repetition time in s, and whether the last volume is known.

    The repetition time may be unknown, and a table may leave out the last volumes.
    """
    if path.suffix in _TABLES:
        rows = read_rows(load_table(path))
        for doubt in rows.doubts:
            warn_user(doubt.format(name=path.name))
        if rows.numbers is None:
            return len(rows.regions), None, True
        return int(rows.numbers[-1]) + 1, None, False
    from ..bold.images import open_image, repetition_time  # which import nilearn

    img = open_image(path, "BOLD image")
    if img.ndim != 4:
        raise ValueError(f"{path.name} has shape {img.shape}; expected four dimensions, time last.")
    t_r = repetition_time(img)
    return img.shape[3], t_r and round(t_r, 6), True


def read_tsv(path: Path) -> pd.DataFrame:
    """Read a table of BIDS as text; some are separated by blanks, with quotes."""
    with reading(path):
        with path.open(encoding="utf-8-sig") as lines:
            sep, quote = ("\t", '"') if "\t" in lines.readline() else (r"\s+", "'")
        options = {"dtype": str, "encoding": "utf-8-sig", "index_col": False}
        table = pd.read_csv(path, sep=sep, quotechar=quote, **options)
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
    table = pd.DataFrame()
    if channels is not None:
        try:
            table = read_tsv(channels).set_index("name")
            table.index = table.index.str.strip()
        except (ValueError, KeyError) as error:
            warn_user(f"{channels.name} is not used ({one_line(error)}).")
    if len(table):
        table = table[table.index.isin(raw.ch_names) & ~table.index.duplicated()]
        if not len(table):
            warn_user(f"{channels.name} is not used (it names no channel of the EEG).")
    if len(table):
        if "type" in table:
            types = table["type"].str.strip().str.lower()
            types = types[types.notna() & (types != "n/a")]  # the others keep those of the file
            types = types.map(lambda kind: _TYPES.get(kind, "misc"))
            raw.set_channel_types(types.to_dict(), on_unit_change="ignore", verbose="error")
        if "status" in table:
            raw.info["bads"] = list(table.index[table["status"].str.strip().str.lower() == "bad"])
    by_name = dict.fromkeys(pick_eeg(raw.info)[1], "misc")
    for word, kind in {"eog": "eog", "ecg": "ecg", "ekg": "ecg", "emg": "emg"}.items():
        by_name |= dict.fromkeys((name for name in raw.ch_names if word in name.lower()), kind)
    raw.set_channel_types(by_name, on_unit_change="ignore", verbose="error")


def _describe_confounds(confounds):
    if isinstance(confounds, tuple):
        return ", ".join(confounds)
    return confounds and confounds.name
