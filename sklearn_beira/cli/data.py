"""The data of the command: a simulated recording, or one's own files."""

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
from .options import ATLAS
from .script import TMIN, arguments, call, literal

MINUTES = 10  # of the simulated recording


def get_data(args, tmin) -> Bunch:
    """Load one's own recording, or simulate one where no file is given.

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
        ceiling : ndarray or None, highest possible r of each region
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
        f"{y.shape[1]} regions. The column ceiling is the highest possible r; it is known because "
        f"the data are simulated."
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
    for option, path in (("--eeg", args.eeg), ("--bold", args.bold)):
        if not Path(path).exists():  # EEG may be a folder
            raise ValueError(f"{option}: there is no file {path}; check the path.")
    if args.missing and not args.trigger:
        raise ValueError("--missing needs --trigger; give both, or leave --missing out.")
    raw, bold = _read_eeg(args), read_bold(args)
    if args.trigger is None and bold.times is None and args.t_r is None:
        raise ValueError(
            "the onsets of the volumes are unknown; give --trigger, --t-r, or a column time_s in "
            "the table of --bold."
        )
    given = {"t_r": args.t_r, "trigger": args.trigger, "missing": args.missing}
    given = {name: value for name, value in given.items() if value is not None}
    regions, times, placed = bold.regions, None, []
    if args.trigger:
        onsets = f"markers {args.trigger!r}"
        if bold.times is not None:  # align compares them with the markers
            regions = regions.set_axis(pd.Index(bold.times, name="time_s"))
    elif bold.times is not None:
        onsets = f"column {bold.times.name!r} of the table"
        times = bold.times.to_numpy()
        placed = [f"volume_times=table[{literal(bold.times.name)}].to_numpy()"]
    else:
        onsets = "--t-r, and the first volume starts with the EEG"
    X, y = align(raw, regions, volume_times=times, **given, tmin=tmin, tmax=0.0, verbose="error")
    row = X.alignment.iloc[0]
    text = (
        f"{args.eeg} and {args.bold}: {X.shape[1]} EEG channels, {raw.times[-1]:.1f} s, "
        f"{y.shape[1]} regions, {row['kept']} of {row['n_volumes']} volumes used (dropped: "
        f"{dropped_in_words(row)}). Onsets of the volumes: {onsets}."
    )
    if bold.left_out:
        text += f" Not used as regions: {', '.join(map(str, bold.left_out))}."
    code = [f"raw = mne.io.read_raw({literal(args.eeg)}, preload=True)"]
    if args.exclude:
        code.append(f'raw.info["bads"] = {literal(raw.info["bads"])}')
    if args.montage:
        montage = f'{literal(args.montage)}, match_case=False, on_missing="warn"'
        code.append(f"raw.set_montage({montage})")
    arguments_of_align = ["raw", "bold", *placed, *arguments(given), TMIN, "tmax=0.0"]
    code += [*bold.code, f"X, y = {call('align', arguments_of_align)}"]
    return Bunch(
        X=X, y=y, text=text, title=Path(args.eeg).name, files=[args.eeg, args.bold],
        extractor=bold.extractor, ceiling=None, code=code, imports=["import mne", *bold.imports],
    )  # fmt: skip


def read_bold(args) -> Bunch:
    """Read a table of regions, or extract regions from an image.

    Parameters
    ----------
    args : argparse.Namespace
        Parsed options.

    Returns
    -------
    bold : Bunch
        regions : DataFrame, shape (n_volumes, n_rois)
        times : Series or None, column with the onset of each volume in s
        left_out : list, columns that are not regions
        extractor : ROIExtractor or None, if the BOLD is an image
        imports, code : list of str, Python code that makes ``bold`` (and ``table``, if it is one)
    """
    path = Path(args.bold)
    if path.name.endswith((".nii", ".nii.gz")):
        return _extract_regions(args)
    if path.is_dir():
        raise ValueError(f"--bold {path} is a folder; give a table or a NIfTI image.")
    for option in ("atlas", "labels", "confounds"):
        if getattr(args, option):
            raise ValueError(
                f"--{option} needs a NIfTI image, but --bold {path} is a table; leave --{option} "
                f"out."
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
    except (ValueError, RuntimeError) as error:  # UnicodeDecodeError is a ValueError
        header = "; give its header, the .vhdr file" if args.eeg.lower().endswith(".eeg") else ""
        raise ValueError(f"--eeg: MNE cannot read {args.eeg}{header} ({error}).") from None
    unknown = sorted(set(args.exclude) - set(raw.ch_names))
    if unknown:
        raise ValueError(
            f"--exclude names channels that {args.eeg} does not have: {', '.join(unknown)}; check "
            f"their spelling."
        )
    raw.info["bads"] = sorted({*raw.info["bads"], *args.exclude})
    if args.montage:
        raw.set_montage(args.montage, match_case=False, on_missing="warn")
    elif raw.get_montage() is None:
        warn_user(
            "the EEG has no electrode positions, so the report has no scalp maps; give --montage, "
            "for example easycap-M1."
        )
    return raw


def _extract_regions(args):
    given = {"labels": args.labels, "confounds": args.confounds}
    given = {name: value for name, value in given.items() if value}
    atlas = args.atlas or ATLAS
    extractor = ROIExtractor(atlas, **given)
    code = [
        f"extractor = {call('ROIExtractor', arguments({'atlas': atlas, **given}))}",
        f"bold = extractor.fit_transform({literal(args.bold)})",
    ]
    return Bunch(
        regions=extractor.fit_transform(args.bold), times=None, left_out=[], extractor=extractor,
        imports=["from sklearn_beira.bold import ROIExtractor"], code=code,
    )  # fmt: skip


def _check_regions(path, table, regions):
    """Refuse a table that pandas did not read as its author meant it."""
    text = list(regions.columns.difference(regions.select_dtypes("number").columns))
    if all(_is_number(name) for name in table):
        raise ValueError(f"the first line of {path} holds numbers; it must name the regions.")
    if text and regions[text[0]].astype(str).str.fullmatch(r"\s*-?\d+,\d+\s*").all():
        raise ValueError(f"{path} has numbers with a decimal comma; write them with a point.")
    if len(table.columns) == 1 and len(str(table.columns[0]).split()) > 1 and text:
        raise ValueError(f"separate the columns of {path} by a comma, a semicolon or a tab.")
    if text or regions.empty:
        raise ValueError(
            f"{path} must hold one column of numbers per region; columns with text in them: "
            f"{', '.join(map(str, text)) or 'none, but there is no other column'}."
        )


def _is_number(name):
    # pandas makes duplicate names unique by ".1".
    return re.fullmatch(r"\s*[-+]?\d+([.,]\d+)*(e[-+]?\d+)?(\.\d+)?\s*", str(name)) is not None
