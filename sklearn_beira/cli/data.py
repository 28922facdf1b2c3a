"""What the main job works on: a simulated recording, or one's own files."""

import re
from pathlib import Path

import mne
import pandas as pd
from sklearn.utils import Bunch

from .._utils.warn import warn_user
from ..alignment.align import align, dropped_in_words
from ..bold.roi import ROIExtractor
from ..bold.tables import SECONDS, clock_of, find_clocks, find_separator, read_table
from ..datasets import make_eeg_fmri
from .script import TMIN, arguments, call, literal

MINUTES = 10  # of the simulated run
ATLAS = "harvard-oxford-subcortical"


def get_data(args, tmin):
    """Read one's own recording, or simulate one where no file is given.

    Parameters
    ----------
    args : argparse.Namespace
        Parsed arguments.
    tmin : float
        Start of the windows in s, from the onset of the volume.

    Returns
    -------
    data : Bunch
        X, y : EEGWindows and DataFrame
        text : str, what the data are, in words
        ceiling : ndarray or None, highest r of each region
        extractor : ROIExtractor or None, of an image
        imports, code : list of str, Python code that makes X and y (and ``study``, if simulated)
    """
    return _simulate(args, tmin) if args.eeg is None else _load(args, tmin)


def _simulate(args, tmin):
    duration = 60.0 * MINUTES
    study = make_eeg_fmri(duration=duration, random_state=args.seed)
    X, y = align(study.raws, study.bolds, trigger="mri", tmin=tmin, tmax=0.0, verbose="error")
    text = (
        f"Data: SIMULATED, one {MINUTES}-minute run, {X.shape[1]} EEG channels, {len(y)} of "
        f"{len(study.bolds[0])} volumes every {study.t_r} s (the first have no EEG history). "
        f"'ceiling' is the r of a perfect predictor of the coupled part. Nothing here is a claim "
        f"about brains; use --eeg and --bold for your own recording."
    )
    code = [
        f"study = make_eeg_fmri(duration={duration}, random_state={args.seed})",
        f'X, y = align(study.raws, study.bolds, trigger="mri", {TMIN}, tmax=0.0)',
    ]
    return Bunch(
        X=X, y=y, text=text, ceiling=study.truth.noise_ceiling, extractor=None,
        imports=["from sklearn_beira.datasets import make_eeg_fmri"], code=code,
    )  # fmt: skip


def _load(args, tmin):
    for option, path in (("--eeg", args.eeg), ("--bold", args.bold)):
        if not Path(path).exists():  # EEG may be a folder
            raise ValueError(f"{option}: there is no file {path}; check the path.")
    if args.missing and not args.trigger:
        raise ValueError(
            "--missing says which end lacks triggers: give --trigger, or leave it out."
        )
    raw = _read_eeg(args)
    bold = read_bold(args)
    if args.trigger is None and bold.times is None and args.t_r is None:
        raise ValueError(
            "say when the volumes were acquired: give --trigger, a column time_s in the table of "
            "--bold, or --t-r."
        )
    options = {"t_r": args.t_r, "trigger": args.trigger, "missing": args.missing}
    options = {name: value for name, value in options.items() if value is not None}
    regions, times, placed = bold.regions, None, []
    if args.trigger:
        onsets = f"the markers {args.trigger!r}"
        if bold.times is not None:  # which align then holds against the markers
            regions = regions.set_axis(pd.Index(bold.times, name="time_s"))
    elif bold.times is not None:
        onsets = f"the time column of {args.bold}"
        times = bold.times.to_numpy()
        placed = [f"volume_times=table[{literal(bold.times.name)}].to_numpy()"]
    else:
        onsets = "--t-r, the first volume starting with the recording"
    X, y = align(raw, regions, volume_times=times, **options, tmin=tmin, tmax=0.0, verbose="error")
    row = X.alignment.iloc[0]
    left_out = f" (not regions: {', '.join(map(str, bold.left_out))})" if bold.left_out else ""
    text = (
        f"Data: {args.eeg} ({X.shape[1]} EEG channels: {', '.join(X.ch_names)}; "
        f"{raw.times[-1]:.1f} s) and {args.bold}. {row['kept']} of {row['n_volumes']} volumes are "
        f"used (dropped: {dropped_in_words(row)}). Volume onsets: {onsets}. Regions: "
        f"{', '.join(map(str, y.columns))}{left_out}."
    )
    code = [f"raw = mne.io.read_raw({literal(args.eeg)}, preload=True)"]
    if args.exclude:
        code.append(f'raw.info["bads"] = {literal(raw.info["bads"])}')
    if args.montage:
        montage = f'{literal(args.montage)}, match_case=False, on_missing="warn"'
        code.append(f"raw.set_montage({montage})")
    given = ["raw", "bold", *placed, *arguments(options), TMIN, "tmax=0.0"]
    code += [*bold.code, f"X, y = {call('align', given)}"]
    return Bunch(
        X=X, y=y, text=text, ceiling=None, extractor=bold.extractor,
        imports=["import mne", *bold.imports], code=code,
    )  # fmt: skip


def read_bold(args):
    """Read a table of regions, or regions of an image.

    Parameters
    ----------
    args : argparse.Namespace
        Parsed arguments.

    Returns
    -------
    bold : Bunch
        regions : DataFrame, shape (n_volumes, n_rois)
        times : Series or None, the column that tells the onset of each volume in s
        left_out : list, columns that are no regions
        extractor : ROIExtractor or None, of an image
        imports, code : list of str, Python code that makes ``bold`` (from ``table``, if it is one)
    """
    path = Path(args.bold)
    if path.name.endswith((".nii", ".nii.gz")):
        return _extract_regions(args)
    if path.is_dir():
        raise ValueError(f"--bold {path} is a folder; give a table or a NIfTI image.")
    for_images = [name for name in ("atlas", "labels", "confounds") if getattr(args, name)]
    if for_images:
        raise ValueError(
            f"--{for_images[0]} goes with a NIfTI image, but {path} is a table, whose columns are "
            f"taken as they are; leave it out."
        )
    separator = find_separator(path)
    table = read_table(path, "BOLD", sep=separator)
    left_out = find_clocks(table)
    regions = table.drop(columns=left_out)
    _check_regions(path, table, regions)
    seconds = [name for name in left_out if clock_of(name) in SECONDS]
    code = [
        f"table = pd.read_csv({literal(args.bold)}, sep={literal(separator)})",
        f"bold = table.drop(columns={literal(left_out)})" if left_out else "bold = table",
    ]
    return Bunch(
        regions=regions, times=table[seconds[0]] if seconds else None, left_out=left_out,
        extractor=None, imports=["import pandas as pd"], code=code,
    )  # fmt: skip


def _read_eeg(args):
    try:
        raw = mne.io.read_raw(args.eeg, preload=True, verbose="error")
    except UnicodeDecodeError as error:
        header = "; give the header, the .vhdr file" if args.eeg.lower().endswith(".eeg") else ""
        raise ValueError(f"--eeg: MNE cannot read {args.eeg}{header} ({error}).") from None
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"--eeg: MNE cannot read {args.eeg} ({error})") from None
    unknown = sorted(set(args.exclude) - set(raw.ch_names))
    if unknown:
        raise ValueError(f"--exclude names channels that {args.eeg} lacks: {', '.join(unknown)}.")
    raw.info["bads"] = sorted({*raw.info["bads"], *args.exclude})
    if args.montage:
        raw.set_montage(args.montage, match_case=False, on_missing="warn")
    elif raw.get_montage() is None:
        warn_user(
            "the EEG does not tell where its electrodes are, so the report has no scalp maps; "
            "give --montage, such as easycap-M1."
        )
    return raw


def _extract_regions(args):
    options = {"labels": args.labels, "confounds": args.confounds}
    options = {name: value for name, value in options.items() if value}
    atlas = args.atlas or ATLAS
    extractor = ROIExtractor(atlas, **options)
    regions = extractor.fit_transform(args.bold)
    code = [
        f"extractor = {call('ROIExtractor', arguments({'atlas': atlas, **options}))}",
        f"bold = extractor.fit_transform({literal(args.bold)})",
    ]
    return Bunch(
        regions=regions, times=None, left_out=[], extractor=extractor,
        imports=["from sklearn_beira.bold import ROIExtractor"], code=code,
    )  # fmt: skip


def _check_regions(path, table, regions):
    """Refuse a table that was not read as its author meant it."""
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


def _is_number(name):
    # pandas tells columns of one name apart by ".1".
    return re.fullmatch(r"\s*[-+]?\d+([.,]\d+)*(e[-+]?\d+)?(\.\d+)?\s*", str(name)) is not None
