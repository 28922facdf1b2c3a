"""The data of the command: a simulated recording, or one's own files."""

from pathlib import Path

import mne
import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from .._utils.files import reading, unreadable
from .._utils.numbers import to_numbers
from .._utils.warn import warn_user
from ..alignment import loud_eeg
from ..alignment.align import align, dropped_in_words
from ..bold.roi import ROIExtractor
from ..bold.tables import clock_unit, load_table, read_rows
from ..datasets import make_eeg_fmri
from .options import ATLAS
from .script import TMIN, arguments, call, literal

MINUTES = 10  # of the simulated recording
_MANY = 0.01  # of the volumes
_IMAGES = (".nii", ".img", ".hdr", ".nii.gz", ".img.gz", ".hdr.gz")


def get_data(args, tmin) -> Bunch:
    """Load one's own recordings, or simulate one where no file is given.

    Parameters
    ----------
    args : argparse.Namespace
        Parsed options.
    tmin : float
        Start of the windows in s, relative to the onset of the volume.

    Returns
    -------
    data : Bunch
        X, y : EEGWindows and DataFrame
        text, title : str, description of the data and its short form
        files : list of str, names of the files
        ceiling : ndarray or None, r of a perfect prediction of each region
        extractor : ROIExtractor or None, if the BOLD is an image
        imports, code : list of str, Python code that makes X and y (and ``study``, if simulated)
    """
    return _simulate(args, tmin) if args.eeg is None else _load(args, tmin)


def _simulate(args, tmin):
    duration = 60.0 * MINUTES
    study = make_eeg_fmri(duration=duration, random_state=args.seed)
    X, y = align(study.raws, study.bolds, trigger="mri", tmin=tmin, tmax=0.0, verbose="error")
    text = (
        f"Simulated recording of {MINUTES} minutes: {X.shape[1]} EEG channels, {len(y)} volumes, "
        f"{y.shape[1]} regions. BOLD follows band power, as the model assumes: expect less of "
        f"your own data. The column ceiling is the r of a perfect prediction."
    )
    code = [
        f"study = make_eeg_fmri(duration={duration}, random_state={args.seed})",
        f'X, y = align(study.raws, study.bolds, trigger="mri", {TMIN}, tmax=0.0)',
    ]
    return Bunch(
        X=X, y=y, text=text, title="simulated recording", files=["none (simulated data)"],
        ceiling=study.truth.noise_ceiling, extractor=None, code=code,
        imports=["from sklearn_beira.datasets import make_eeg_fmri"],
    )  # fmt: skip


def _load(args, tmin):
    _check_options(args)
    n = len(args.eeg)
    raws = [_read_eeg(path, args) for path in args.eeg]
    bolds = [read_bold(args, k) for k in range(n)]
    trigger = read_trigger(args.trigger, raws[0].ch_names)
    timed = trigger is None and all(bold.times is not None for bold in bolds)
    untimed = [bold.times is None for bold in bolds]
    if trigger is None and any(untimed) and not all(untimed):
        raise ValueError(
            f"{args.bold[untimed.index(True)]} has no column of times, but other tables have one; "
            f"give times in all tables or in none, or --trigger."
        )
    missing = [None if end == "none" else end for end in args.missing]
    missing = missing[0] if len(set(missing)) == 1 else missing or None
    given = {"t_r": args.t_r, "trigger": trigger, "missing": missing}
    given["subjects"] = args.subjects or None
    if args.nuisance != ["none"]:
        given["nuisance"] = args.nuisance or None
    given = {name: value for name, value in given.items() if value is not None}
    onsets = "--t-r, and the first volume starts with the EEG"
    times, placed = None, []
    if trigger:
        onsets = f"markers {args.trigger!r}"
    elif timed:
        onsets = f"column {bolds[0].times.name!r} of the table"
        times = [bold.times.to_numpy() for bold in bolds]
        placed = [f"volume_times={_listed(bold.code_of_times for bold in bolds)}"]
    regions = [bold.regions for bold in bolds]
    X, y = align(raws, regions, volume_times=times, **given, tmin=tmin, tmax=0.0, verbose="error")
    if X.info.get_montage() is None:
        warn_user(
            "the EEG has no electrode positions, so the report has no scalp maps; give --montage, "
            "for example easycap-M1."
        )
    sums = X.alignment.select_dtypes("number").sum()
    text = (
        f"{', '.join(args.eeg)} and {', '.join(args.bold)}: {X.shape[1]} EEG channels, "
        f"{sum(raw.times[-1] for raw in raws):.1f} s, {y.shape[1]} regions, {sums['kept']} of "
        f"{sums['n_volumes']} volumes used (dropped: {dropped_in_words(sums)}). Onsets of the "
        f"volumes: {onsets}."
    )
    if bolds[0].left_out:
        text += f" Not used as regions: {', '.join(map(str, bolds[0].left_out))}."
    loud = pd.DataFrame() if args.nuisance else loud_eeg(X)
    share = (loud > 0).any(axis=1).mean()
    if share >= _MANY:
        X = X.with_nuisance(loud)
        text += (
            f" The EEG is much louder than usual before {share:.0%} of the volumes, as in "
            f"movement; this loudness is the nuisance signal (see --nuisance)."
        )
    code = [line for k, raw in enumerate(raws) for line in _code_of_eeg(args, k, raw)]
    code += [line for bold in bolds for line in bold.code]
    names = [_listed(_named(what, args, k) for k in range(n)) for what in ("raw", "bold")]
    code.append(f"X, y = {call('align', [*names, *placed, *arguments(given), TMIN, 'tmax=0.0'])}")
    imports = ["import mne"]
    if share >= _MANY:
        code.append("X = X.with_nuisance(alignment.loud_eeg(X))")
        imports.append("from sklearn_beira import alignment")
    return Bunch(
        X=X, y=y, text=text, title=", ".join(Path(path).name for path in args.eeg),
        files=[*args.eeg, *args.bold], extractor=bolds[0].extractor, ceiling=None, code=code,
        imports=sorted({*imports, *(line for bold in bolds for line in bold.imports)}),
    )  # fmt: skip


def _check_options(args):
    for option, paths in (("--eeg", args.eeg), ("--bold", args.bold)):
        for path in paths:
            if not Path(path).exists():  # EEG may be a folder
                raise ValueError(f"{option}: there is no file {path}; check the path.")
    if args.missing and not args.trigger:
        raise ValueError("--missing needs --trigger; give both, or leave --missing out.")
    n = len(args.eeg)
    for option, given, fits in (
        ("--bold", args.bold, [n]),
        ("--subjects", args.subjects, [0, n]),
        ("--confounds", args.confounds, [0, n]),
        ("--missing", args.missing, [0, 1, n]),
    ):
        if len(given) not in fits:
            raise ValueError(f"{option} needs one value per run ({n}), got {len(given)}.")


def read_trigger(text, ch_names=None):
    """Read CHANNEL:CODE as an event of a trigger channel.

    Parameters
    ----------
    text : str or None
        What was given as trigger.
    ch_names : list of str or None
        Channels, of which CHANNEL has to be one; None if they are not known.

    Returns
    -------
    trigger : str, tuple of (str, int) or None
        Channel and code, or the text as it is.
    """
    name, _, code = (text or "").rpartition(":")
    known = name if ch_names is None else name in ch_names
    return (name, int(code)) if known and code.isdigit() else text


def _named(what, args, k):
    """Name the variable of a run in the script."""
    return what if len(args.eeg) == 1 else f"{what}_{k + 1}"


def _listed(names):
    names = list(names)
    return names[0] if len(names) == 1 else f"[{', '.join(names)}]"


def read_bold(args, k=0) -> Bunch:
    """Read a table of regions, or extract regions from an image.

    Parameters
    ----------
    args : argparse.Namespace
        Parsed options.
    k : int
        Number of the run.

    Returns
    -------
    bold : Bunch
        regions : DataFrame, shape (n_volumes, n_rois)
        times : Series or None, column with the onset of each volume in s
        left_out : list, columns that are not regions
        extractor : ROIExtractor or None, if the BOLD is an image
        imports, code : list of str, Python code that makes ``bold`` (and ``table``, if it is one)
        code_of_times : str, Python code of the times
    """
    path = Path(args.bold[k])
    if path.name.lower().endswith(_IMAGES):
        return _extract_regions(args, k)
    if path.is_dir():
        raise ValueError(f"--bold {path} is a folder; give a table or a NIfTI image.")
    for option in ("atlas", "labels", "confounds"):
        if getattr(args, option):
            raise ValueError(
                f"--{option} needs a NIfTI image, but --bold {path} is a table; leave --{option} "
                f"out."
            )
    table, bold = _named("table", args, k), _named("bold", args, k)
    if path.suffix.lower() == ".npy":
        with reading(path):
            whole = pd.DataFrame(np.load(path, allow_pickle=False)).add_prefix("ROI ")
        imports = ["import numpy as np", "import pandas as pd"]
        code = [f'{table} = pd.DataFrame(np.load({literal(str(path))})).add_prefix("ROI ")']
    else:
        whole = load_table(path)
        imports = ["from sklearn_beira.bold import load_table"]
        code = [f"{table} = load_table({literal(str(path))})"]
    rows = read_rows(whole)
    _check_regions(path, whole, rows.regions)
    dropped = f".drop(columns={literal(rows.left_out)})" if rows.left_out else ""
    code.append(f"{bold} = {table}{dropped}")
    times = None
    for name in rows.left_out:
        if isinstance(clock_unit(name), float) and times is None:
            unit = clock_unit(name)
            try:
                values = to_numbers(whole[name], f"column {name!r}")
            except TypeError as error:
                raise ValueError(f"{path}: {error}") from None
            times = pd.Series(unit * values, name=name)
            code_of_times = f"{table}[{literal(name)}].to_numpy()" + f" * {unit}" * (unit != 1)
    if rows.numbers is not None:
        scrubbed = np.setdiff1d(np.arange(rows.numbers[-1] + 1), rows.numbers).tolist()
        warn_user(
            f"{path} leaves out {len(scrubbed)} of {rows.numbers[-1] + 1} volumes; its rows are "
            f"placed by the {rows.source}."
        )
        for doubt in rows.doubts:
            warn_user(f"{doubt.format(name=path)}.")
        rows.regions.index = pd.Index(rows.numbers, name="volume")
        left = f"np.delete(np.arange({rows.numbers[-1] + 1}), {scrubbed})"
        code.append(f"{bold}.index = {call('pd.Index', [left, *arguments({'name': 'volume'})])}")
        imports += ["import numpy as np", "import pandas as pd"]
    elif times is not None and args.trigger:  # align compares them with the markers
        rows.regions.index = pd.Index(times, name="time_s")
    return Bunch(
        regions=rows.regions, times=times, left_out=rows.left_out, extractor=None,
        imports=imports, code=code, code_of_times="" if times is None else code_of_times,
    )  # fmt: skip


def _read_eeg(path, args):
    try:
        with reading(path):
            raw = mne.io.read_raw(path, preload=True, verbose="warning")
    except ValueError as error:
        if path.lower().endswith((".eeg", ".vmrk")):
            raise unreadable(path, "give its header, the .vhdr file") from error
        raise
    unknown = sorted(set(args.exclude) - set(raw.ch_names))
    if unknown:
        raise ValueError(
            f"--exclude names channels that {path} does not have: {', '.join(unknown)}; check "
            f"their spelling."
        )
    raw.info["bads"] = sorted({*raw.info["bads"], *args.exclude})
    if args.montage:
        raw.set_montage(args.montage, match_case=False, on_missing="warn")
    return raw


def _code_of_eeg(args, k, raw):
    name = _named("raw", args, k)
    yield f"{name} = mne.io.read_raw({literal(args.eeg[k])}, preload=True)"
    if args.exclude:
        yield f'{name}.info["bads"] = {literal(raw.info["bads"])}'
    if args.montage:
        montage = f'{literal(args.montage)}, match_case=False, on_missing="warn"'
        yield f"{name}.set_montage({montage})"


def _extract_regions(args, k):
    given = {"labels": args.labels, "confounds": args.confounds[k] if args.confounds else None}
    given = {name: value for name, value in given.items() if value}
    atlas = args.atlas or ATLAS
    extractor = ROIExtractor(atlas, **given)
    name, path = _named("extractor", args, k), args.bold[k]
    if k == 0:  # the one of the report
        name = "extractor"
    code = [
        f"{name} = {call('ROIExtractor', arguments({'atlas': atlas, **given}))}",
        f"{_named('bold', args, k)} = {name}.fit_transform({literal(path)})",
    ]
    return Bunch(
        regions=extractor.fit_transform(path), times=None, left_out=[], extractor=extractor,
        imports=["from sklearn_beira.bold import ROIExtractor"], code=code, code_of_times="",
    )  # fmt: skip


def _check_regions(path, table, regions):
    """Refuse a table without names, or with text in it."""
    text = list(regions.columns.difference(regions.select_dtypes("number").columns))
    if pd.api.types.is_integer_dtype(table.columns):
        raise ValueError(f"the first line of {path} holds numbers; it must name the regions.")
    if text or regions.empty:
        raise ValueError(
            f"{path} must hold one column of numbers per region; columns with text in them: "
            f"{', '.join(map(str, text)) or 'none, but there is no other column'}."
        )
