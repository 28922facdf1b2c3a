"""Studies in BIDS folders: which files belong together, and what their sidecars say."""

import json
from os import PathLike
from pathlib import Path

from .._utils.files import existing_folder, expanded, one_line
from ..alignment.physio import (
    ENDING,
    are_labels_of,
    has_signals,
    inherited_from,
    name_parts,
)
from .electrodes import read_electrodes
from .run import KEYS, Run, plain, pointer
from .study import Study

EEG_FORMATS = (".vhdr", ".set", ".edf", ".bdf", ".fif")  # in order of preference
BOLD_FORMATS = (".nii.gz", ".nii")
# Files that hold the signals of a header.
_PARTS = {".vhdr": (".eeg", ".dat", ".vmrk"), ".set": (".fdt",)}
# Files in a folder of derivatives.
_CLEANED = "**/sub-*_eeg.*"
_FMRIPREP = "**/func/sub-*_space-{space}_*desc-preproc_bold.nii*"
# Keys of names that images of fMRIPrep have, but not their tables of confounds.
_OF_IMAGE = ("space", "cohort", "res", "den", "desc", "echo", "part")
_OTHER = "as cleaned EEG may have another start"


def load_bids(
    root: str | PathLike,
    subject: str | list[str] | None = None,
    session: str | list[str] | None = None,
    task: str | list[str] | None = None,
    run: str | list[str] | None = None,
    *,
    eeg: str | PathLike = "raw",
    bold: str | PathLike = "fmriprep",
    pair: dict[str, str] | None = None,
    trigger: str | tuple[str, int] | dict = "auto",
    space: str = "MNI152NLin2009cAsym",
    confounds: tuple[str, ...] | str | None = ("motion", "wm_csf", "high_pass"),
    missing: str | int | None = None,
) -> Study:
    """Load a study from a BIDS folder: pair EEG with BOLD, and check every run.

    Only names, sidecars, headers and stim channels are read. EEG and BOLD are paired if subject,
    session, task and run are the same, where ``01`` is ``1``, and never by their order. A run that
    cannot be used is a row of ``study.table`` with the reason.

    Parameters
    ----------
    root : path-like
        Folder of the data set.
    subject, session, task, run : str, list of str or None
        Labels, with or without ``sub-`` etc.; None takes all.
    eeg : "raw", str or path-like
        Raw EEG, or for cleaned EEG a folder or a pattern of files, such as
        ``"derivatives/sub-*/eeg_pp/*.vhdr"``. Relative paths start at ``root``.
    bold : {"fmriprep", "raw"}, str or path-like
        Images of ``derivatives/fmriprep``, raw images, another folder of fMRIPrep, or a pattern of
        files.
    pair : dict of str to str or None
        Task of the BOLD by task of the EEG, where they have different names; with or without
        ``task-``.
    trigger : "auto", str, tuple of (str, int) or dict
        Marker of the volumes. "auto" finds the one whose median interval is the repetition time. A
        name is that of a marker in the EEG file, ``("STI", 8)`` an event of a stim channel.
        ``{column: value}`` takes rows of ``events.tsv`` beside the EEG (onsets in that of BOLD
        count from the first volume).
        A marker that occurs once is the start of the scan, unless it comes with every volume in
        other runs. Its name has to say so ("start"), or the EEG has to last until the last volume,
        or ``missing="end"`` has to be given.
        Volumes that were discarded, such as ``NumberOfVolumesDiscardedByScanner`` of the sidecar,
        come between the marker and the first volume. ``missing=0`` says that it is the marker of
        the first volume.
    space : str
        Space of the images of fMRIPrep.
    confounds : tuple of str, str or None
        Strategy of nilearn's ``load_confounds``, for images with a table of fMRIPrep beside them;
        or a pattern of tables below ``root``, paired as images are. ``reason`` says if there is
        no table for images of fMRIPrep, or for a pattern.
    missing : {None, "start", "end"} or int
        End that lacks markers or volumes if their numbers differ, as in
        :func:`~sklearn_beira.align`; a first (or last) marker that is not at the pace of the
        others is then left out. A number is that of the volume of the first marker, for EEG that
        was cut; the end may differ as well.

    Returns
    -------
    study : Study
        The study.

    Raises
    ------
    ValueError
        If the folder has neither EEG nor BOLD of that description, or no such images of fMRIPrep;
        or if ``missing`` is something else.

    Examples
    --------
    >>> from sklearn_beira import ROIExtractor
    >>> from sklearn_beira.datasets import load_bids
    >>> study = load_bids("nm000254", task="rest", bold="raw")  # doctest: +SKIP
    >>> study.table[["subject", "n_triggers", "n_volumes", "reason"]]  # doctest: +SKIP
    >>> study.extract_regions(ROIExtractor(), cache="regions", n_jobs=2)  # doctest: +SKIP
    >>> X, y = study.align(tmin=-20.0)  # doctest: +SKIP
    """
    root = existing_folder(root, "data set")
    if missing not in (None, "start", "end") and not isinstance(missing, int):
        raise ValueError(f"missing must be None, 'start', 'end' or a number, got {missing!r}.")
    pair = {
        plain(of_eeg, "task"): plain(of_bold, "task") for of_eeg, of_bold in (pair or {}).items()
    }
    wanted = {"subject": subject, "session": session, "task": task, "run": run}
    wanted = {
        entity: _labels(labels, entity) for entity, labels in wanted.items() if labels is not None
    }
    found = _index(_find(root, eeg, "eeg", EEG_FORMATS, _CLEANED), wanted)
    if "task" in wanted:
        wanted["task"] |= {pair[t] for t in pair if t in wanted["task"]}
    where = "derivatives/fmriprep" if bold == "fmriprep" else bold
    inside = _FMRIPREP.format(space=space)
    of_all = _find(root, where, "func", BOLD_FORMATS, inside)
    images = _index(of_all, wanted)
    if not found and not images:
        raise ValueError(
            f"{root} has neither EEG ({', '.join(EEG_FORMATS)}) nor BOLD of that description; "
            f"check subject, session, task, run, eeg={eeg!r} and bold={bold!r}."
        )
    if not images and bold == "fmriprep" and of_all:
        count = "1 image" if len(of_all) == 1 else f"{len(of_all)} images"
        raise ValueError(
            f"{root} has {count} of fMRIPrep in the space {space}, but none of that "
            f"description; check subject, session, task and run, and pair if EEG and BOLD have "
            f"tasks of different names."
        )
    if not images and bold == "fmriprep":
        raise ValueError(
            f"{root} has no images of fMRIPrep in the space {space}, below derivatives/fmriprep; "
            f"give bold='raw', a folder or a pattern of files as bold, or another space."
        )
    tables = {}
    if isinstance(confounds, str):
        tables = _index(_find(root, confounds, "func"), wanted)
    runs, settings = [], {"trigger": trigger, "missing": missing, "root": root}
    for key, files in sorted(found.items()):
        of_bold = (*key[:2], pair.get(key[2], key[2]), key[3])
        of_run = files, images.pop(of_bold, []), tables.get(of_bold, [])
        runs.append(_make_run(*of_run, confounds, **settings))
    runs += [
        _make_run([], files, tables.get(key, []), confounds, **settings)
        for key, files in images.items()
    ]
    for one in runs:
        one.check()
    _check_single_markers(runs)
    return Study(sorted(runs, key=lambda one: one.name))


def _check_single_markers(runs):
    """Refuse a single marker if, in other runs, it comes with every volume."""
    runs = [one for one in runs if one.verdict == "ok" and not isinstance(one.missing, int)]
    # Markers of volumes are on the pace of the scanner; those of start and end are not.
    of_volumes = [one.trigger for one in runs if one.gaps < one.n_triggers - 1]
    for one in runs:
        if one.n_triggers == 1 < one.n_volumes and one.trigger in of_volumes:
            one.doubts = []
            one.problem = (
                f"{one.trigger!r} occurs once, but with every volume in other runs, so others are "
                f"lost; give missing=0 if it is that of the first volume"
            )


def _make_run(eegs, images, tables, confounds, *, root, **settings):
    eeg, problem, *notes = _choose(eegs, EEG_FORMATS)
    image, of_image, said = _choose(images, BOLD_FORMATS)
    notes.append(said)
    names = _entities(eeg or image)
    run = Run(**names, eeg=eeg, bold=image, problem=problem or of_image, **settings)
    run.root = root.resolve()
    if image is None:
        run.problem = "no BOLD of the same subject, session, task and run"
    elif eeg is None:
        run.problem = "no EEG of the same subject, session, task and run in a format of BIDS"
    is_raw, events = True, []
    if eeg:
        run.channels = _last(inherited(root, eeg, "eeg", "channels.tsv"))
        is_raw = eeg.parent.resolve() == _raw_folder(root, eeg, "eeg").resolve()
        events = inherited(root, eeg, "eeg", "events.tsv")
        run.events = _last([file for file in events if is_raw or file.parent == eeg.parent])
        notes.append(_read_places(root, run))
    if image:
        notes.append(_read_sidecars(root, run))
        if not isinstance(run.trigger, dict):  # onsets there count from the first volume
            run.events = run.events or _last(inherited(root, image, "func", "events.tsv"))
        beside, two, _ = _choose(_tables_beside(image), ("",))
        run.confounds, several, _ = _choose(tables, ("",))
        if two and confounds is None:  # nobody asked for the table
            notes.append(f"no table of confounds is used: {two}")
            beside, two = None, ""
        run.problem = run.problem or several or ("" if run.confounds else two)
        run.nuisance = run.confounds or beside
        try:
            run.physio = _physio(root, image, "func")
            if eeg and not run.physio:
                found = _physio(root, eeg, "eeg")
                run.physio = found if is_raw else []
                if found and not is_raw:
                    notes.append(f"heart beat and breathing of raw EEG are not used, {_OTHER}")
        except ValueError as error:
            notes.append(f"heart beat and breathing are not used: {one_line(error)}")
        if isinstance(confounds, list | tuple) and beside:
            run.confounds = tuple(confounds)
        asked = isinstance(confounds, str) or (confounds and "desc-preproc" in image.name)
        if asked and run.confounds is None:
            notes.append("no table of confounds fits, so none are removed")
    if events and run.events is None:
        notes.append(f"events of raw EEG are not used, {_OTHER}")
    run.add_notes(filter(None, notes))
    return run


def _read_places(root, run):
    """Take the positions of electrodes; say why they are not used."""
    note = ""
    for file in reversed(inherited(root, run.eeg, "eeg", "electrodes.tsv")):
        try:
            system = _last(inherited(root, file, "eeg", "coordsystem.json"))
            run.electrodes = read_electrodes(file, system)
            return ""
        except (ValueError, LookupError, TypeError, AttributeError, OSError) as error:
            note = f"electrodes are placed by name, as {file.name} is not used: {one_line(error)}"
    return note


def _read_sidecars(root, run):
    """Take the repetition time, and what moves the onsets; return a note."""
    facts = {}
    try:
        for file in inherited(root, run.bold, "func", "bold.json"):
            facts |= json.loads(file.read_text(encoding="utf-8-sig"))
        run.t_r = float(facts.get("RepetitionTime") or 0.0) or None
        counts = [facts.get(f"NumberOfVolumesDiscardedBy{who}") for who in ("Scanner", "User")]
        run.n_discarded = sum(int(n) for n in counts if isinstance(n, int | float))
        if not facts.get("SliceTimingCorrected"):
            return ""
        if facts.get("StartTime") is not None:
            run.offset = float(facts["StartTime"])
            return ""
        slices = [float(at) for at in facts.get("SliceTiming") or ()]
        if not slices:
            return "slice times are corrected to an unknown moment, so onsets are not moved"
        run.offset = (min(slices) + max(slices)) / 2  # as fMRIPrep before 20.2.4
        return f"onsets are moved to the middle of SliceTiming ({run.offset:g} s)"
    except (ValueError, TypeError, OSError) as error:
        run.problem = run.problem or f"{file.name} is no sidecar of BIDS ({one_line(error)})"
        return ""


def _tables_beside(image):
    """Find tables of confounds that fMRIPrep wrote for an image."""
    own = name_parts(image, *_OF_IMAGE)
    files = [file for file in image.parent.glob("*desc-confounds*.tsv") if _is_named(file)]
    return sorted(file for file in files if name_parts(file, *_OF_IMAGE) == own)


def _raw_folder(root, path, datatype):
    """Folder of the raw files of that type, for the person and the session of a file."""
    own = name_parts(path)
    return root / f"sub-{own['sub']}" / (f"ses-{own['ses']}" if "ses" in own else "") / datatype


def _physio(root, path, datatype):
    """Find raw files of heart beat and breathing of a run."""

    def fits(file):
        return "task" in name_parts(file) and are_labels_of(file, path, "recording")

    files = sorted(_raw_folder(root, path, datatype).glob(f"*{ENDING}"))
    files = [one for one in files if _is_named(one) and fits(one) and not pointer(one)]
    return [one for one in files if has_signals(one)]


# -- names ----------------------------------------------------------------------------------------
def _find(root, what, datatype, formats=(), inside=""):
    """Find files: raw ones by the rules of BIDS, others by a pattern, or the one in a folder."""
    if what != "raw":
        where = expanded(what)
        try:
            pattern = where / inside if (root / where).is_dir() else where
            if pattern.is_absolute():
                root, pattern = Path(pattern.anchor), pattern.relative_to(pattern.anchor)
            found = [path for path in root.glob(str(pattern)) if _is_named(path)]
        except OSError as error:  # a name that is too long
            raise ValueError(
                f"the pattern {where} cannot be used ({error.strerror}); give another."
            ) from error
        return [path for path in found if path.name.endswith(formats or "") and not path.is_dir()]
    ending = f"{datatype}/*_{'eeg' if datatype == 'eeg' else 'bold'}.*"
    found = [*root.glob(f"sub-*/{ending}"), *root.glob(f"sub-*/ses-*/{ending}")]
    return [path for path in found if path.name.endswith(formats) and _is_named(path)]


def _is_named(path):
    return "sub-" in path.name and not path.name.startswith(".")


def _entities(path):
    parts = name_parts(path)
    return {entity: parts.get(key) for entity, key in KEYS.items()}


def _index(paths, wanted):
    """Sort files by subject, session, task and run, and keep those that are wanted."""
    found = {}
    for path in sorted(paths):
        labels = {entity: plain(label) for entity, label in _entities(path).items()}
        if all(labels[entity] in kept for entity, kept in wanted.items()):
            found.setdefault(tuple(labels.values()), []).append(path)
    return found


def _labels(labels, entity):
    labels = [labels] if isinstance(labels, str | int) else labels
    return {plain(label, entity) for label in labels}


def _choose(paths, formats):
    """Choose among files of one run: the first format that has its content; and what to say.

    Files that differ in more than their format are different recordings.
    """
    problem = ""
    if len({_without(path, formats) for path in paths}) > 1:
        names = ", ".join(path.name for path in paths)
        return paths[0], f"{len(paths)} files fit ({names}); give a pattern", ""
    for kind in formats:
        for path in (path for path in paths if path.name.endswith(kind)):
            parts = [path.with_suffix(part) for part in _PARTS.get(kind, ())]
            parts = [path, *(part for part in parts if part.is_symlink() or part.exists())]
            empty = [why for why in map(pointer, parts) if why]
            if not empty:
                others = ", ".join(other.name for other in paths if other != path)
                return path, "", f"{path.name} is read, and not {others}" if others else ""
            problem = problem or empty[0]
    return (paths[0] if paths else None), problem, ""


def _without(path, formats):
    """Path of a file without the ending of its format."""
    return str(path).removesuffix(next(kind for kind in formats if path.name.endswith(kind)))


def inherited(root, path, datatype, ending):
    """Find the sidecars of a file by inheritance in BIDS, from the most general to its own.

    Parameters
    ----------
    root : Path
        Folder of the data set.
    path : Path
        File, raw or of derivatives.
    datatype : {"eeg", "func"}
        Folder of raw files of its kind.
    ending : str
        End of the names of the sidecars, such as "events.tsv".

    Returns
    -------
    found : list of Path
        Sidecars.
    """
    own, folders = name_parts(path), [root]
    for part in (f"sub-{own['sub']}", f"ses-{own['ses']}" if "ses" in own else "", datatype):
        folders += [folders[-1] / part] if part else []
    folders += [] if path.parent in folders else [path.parent]
    space = ["space"] if ending == "electrodes.tsv" else []  # which the EEG does not name
    return inherited_from(folders, path, ending, *space)


def _last(files):
    return files[-1] if files else None
