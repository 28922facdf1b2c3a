"""Tables in text files, and what the rows of a BOLD table say about time."""

from __future__ import annotations

import csv
import gzip
import io
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from .._utils.files import existing_file, reading, unreadable
from .._utils.warn import warn_user

# Motion parameters of a volume, as fMRIPrep names them.
MOTION = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")

# Names of columns that hold the time of each volume, their units in s, and units that count.
_TIME = re.compile(r"(times?|onsets?)(?:[\s_./(\[]+([a-zµ]+)\s*[\])]?)?")
_UNITS = {"s": 1.0, "sec": 1.0, "second": 1.0, "ms": 1e-3, "msec": 1e-3, "min": 60.0}
_COUNTED = ("tr", "volume", "vol", "scan", "frame")
# Names of columns that count the volumes.
_COUNTS = ("volume", "index")
# Rows that name volumes are at least one in three: of a region, whole numbers that rise are not.
_FEWEST = 3


@dataclass
class Rows:
    """What the rows of a BOLD table are.

    Parameters
    ----------
    regions : DataFrame or ndarray, shape (n_rows, n_rois)
        The table without columns that are not regions.
    numbers : ndarray of int, shape (n_rows,), or None
        Number of the volume in each row, from 0, where the table gives it and leaves some out.
    times : ndarray of float, shape (n_rows,), or None
        Times in s, from a start that the table does not give.
    source : str
        Name of the column or index that holds the numbers or times.
    step : float or None
        Even step of an index without a name, which may be the repetition time.
    left_out : list of str
        Columns that are not regions.
    doubts : list of str
        What the table leaves open, as sentences.
    """

    regions: object
    numbers: np.ndarray | None = None
    times: np.ndarray | None = None
    source: str = ""
    step: float | None = None
    left_out: list = field(default_factory=list)
    doubts: list = field(default_factory=list)


def read_rows(bold: pd.DataFrame | np.ndarray) -> Rows:
    """Tell regions from columns that count or time the volumes, and read these.

    Parameters
    ----------
    bold : DataFrame, Series or ndarray
        BOLD of one recording. The index of a DataFrame or Series may count volumes or hold their
        times.

    Returns
    -------
    rows : Rows
        The regions, and what is known about the rows.

    Raises
    ------
    ValueError
        If times have an unknown unit.
    """
    if isinstance(bold, pd.Series):
        rows = read_rows(bold.to_frame())
        rows.regions = rows.regions.iloc[:, 0].to_numpy()
        return rows
    rows = Rows(bold)
    if not isinstance(bold, pd.DataFrame):
        return rows
    if {"recording", "volume"} <= set(bold):  # the y of align, from a file
        rows.left_out = ["recording", "volume"]
        bold = bold.set_index(rows.left_out)
    if bold.index.names[0] == "recording" and bold.index.get_level_values(0).nunique() > 1:
        raise ValueError(
            "a table of BOLD holds several recordings; give one table for each, such as y.loc[0]."
        )
    clocks = [name for name in bold if _is_clock(name, bold[name])]
    if len(clocks) == bold.shape[1]:  # a region on its own may rise
        clocks = []
    rows.left_out += clocks
    rows.regions = bold.drop(columns=clocks)
    _read_clock(rows, bold.index.names[-1], bold.index.get_level_values(-1), "index")
    for name in clocks:
        _read_clock(rows, name, bold[name], "column")
    if rows.numbers is None and rows.times is not None and len(rows.times) > 1:
        steps = np.diff(rows.times)
        pace = np.median(steps[steps < 1.5 * steps.min()]) if steps.min() > 0 else np.nan
        counts = rows.times / pace
        if np.abs(counts - np.rint(counts)).max() < 0.05 and _leaves_out(np.rint(counts)):
            rows.numbers = np.rint(counts).astype(int)
    return rows


def _read_clock(rows, name, values, kind):
    """Read numbers or times from an index or a column."""
    source = kind if name is None else f"{kind} {name!r}"
    if pd.api.types.is_timedelta64_dtype(values) and rows.times is None:
        rows.times, rows.source = values.to_numpy() / np.timedelta64(1, "s"), source
        return
    if not pd.api.types.is_numeric_dtype(values) or len(values) < 2:
        return
    values = values.to_numpy(dtype=float)
    if kind == "index" and name == "volume" and not _whole_and_rising(values):
        raise ValueError(
            "the index 'volume' of a table of BOLD does not count upwards; sort its rows, or give "
            "one table for each recording."
        )
    if rows.times is None:
        rows.times = _seconds(name, values)
        if rows.times is not None:
            rows.source = source
            return
    if rows.numbers is not None or not _whole_and_rising(values):
        return
    first, steps = int(values[0]), np.diff(values)
    said = None
    if kind == "index" and name == "volume":
        rows.numbers = values.astype(int) if first or steps.max() > 1 else None
    elif _leaves_out(values) or (first > 1 and steps.max() == 1):
        by_pandas = name is None or str(name).startswith("Unnamed: ")
        base = int(first == 1 and not by_pandas)
        rows.numbers = values.astype(int) - base
        if first and not (by_pandas and steps.max() > 1):
            said = f"begins with {first}, so it is taken to count the volumes from {base}"
    elif name is None and (first == 1 or steps.max() > 1):
        rows.step = steps[0] if np.ptp(steps) == 0 else None
        said = f"begins with {first} and {int(values[1])}, but its rows are taken for all volumes"
    if rows.numbers is not None:
        rows.source = source
    if said:
        rows.doubts.append(
            f"the {source} of {{name}} {said}; give rows an index named 'volume' that counts the "
            f"volumes from 0 if that is wrong"
        )


def _whole_and_rising(values):
    whole = len(values) > 1 and np.isfinite(values).all() and (values == np.rint(values)).all()
    return bool(whole and values[0] >= 0 and (np.diff(values) > 0).all())


def _leaves_out(values):
    """Tell whether whole numbers rise mostly by one, and sometimes by more."""
    if not _whole_and_rising(values):
        return False
    steps = np.diff(values)
    return steps.min() == 1 < steps.max() and values[-1] - values[0] < _FEWEST * len(values)


def without_counts(table: pd.DataFrame) -> pd.DataFrame:
    """Leave out the columns that count or time the rows, and say so.

    These have a name of a clock or a counter ("time", "onset_ms", "volume", "index", or "Unnamed:
    0", which pandas gives to the index that it wrote), and their numbers rise from row to row.

    Parameters
    ----------
    table : DataFrame
        Table with one row per volume.

    Returns
    -------
    table : DataFrame
        The other columns.

    Warns
    -----
    UserWarning
        If columns are left out.
    """
    counts = [_counts_rows(name) and _rises(values) for name, values in table.items()]
    if any(counts):
        warn_user(
            f"columns that count or time the volumes are no signals and are left out of the table: "
            f"{', '.join(map(str, table.columns[counts]))}; drop them yourself, or give them "
            f"another name if they are signals."
        )
    return table.loc[:, ~np.array(counts, dtype=bool)]


def _rises(values):
    if not pd.api.types.is_numeric_dtype(values):
        return False
    return bool((np.diff(values.to_numpy(dtype=float, na_value=np.nan)) > 0).all())


def _counts_rows(name):
    name = str(name).strip().lower()
    return clock_unit(name) not in (None, "?") or name in _COUNTS or name.startswith("unnamed: ")


def _is_clock(name, values):
    if _counts_rows(name):
        return True
    if not pd.api.types.is_numeric_dtype(values) or len(values) < 10:
        return False
    values = values.to_numpy(dtype=float)
    steps = np.diff(values)
    evenly = steps[0] > 0 and np.ptp(steps) <= 1e-3 * steps[0]
    named = clock_unit(name) == "?" and (steps > 0).all()
    return bool(evenly or named or _leaves_out(values))


def clock_unit(name: object) -> float | str | None:
    """Read the unit of a column of times.

    Parameters
    ----------
    name : object
        Such as "Time (s)", "onset_ms" or "time [TR]".

    Returns
    -------
    unit : float, "volume", "?" or None
        Unit in s, or "volume" if it counts volumes, "?" if it is unknown, or None if the column is
        not one of times.
    """
    found = _TIME.fullmatch(str(name).strip().lower())
    if not found:
        return None
    unit = found[2] or "s"
    if unit.rstrip("s") in _COUNTED:
        return "volume"
    return _UNITS.get(unit, _UNITS.get(unit.rstrip("s"), "?"))


def _seconds(name, values):
    """Times in s of a column or index; None if it has none."""
    unit = clock_unit(name)
    if unit == "?":
        raise ValueError(
            f"the unit of {name!r} is unknown; name it time_s or time_ms, or drop it if it holds "
            f"no times."
        )
    return None if unit in (None, "volume") else unit * values


# -- files ----------------------------------------------------------------------------------------
def load_table(path: str | Path) -> pd.DataFrame:
    r"""Read a table from a text file as it was written.

    Separators (tab, semicolon, comma or blanks) and decimal commas are recognized, and lines that
    begin with ``#`` are skipped. Files may be compressed (``.gz``), and in UTF-8, UTF-16 or
    Latin-1.

    Parameters
    ----------
    path : path-like
        File, such as csv, tsv or txt.

    Returns
    -------
    table : DataFrame
        The table. Columns have the names of the first row, if any cell of it is not a number or
        it counts columns of other numbers (as pandas writes them), or of the last line with ``#``,
        if it has as many fields, or else numbers.

    Raises
    ------
    ValueError
        If there is no such file, or if it is not a table: a row has more or fewer fields than the
        first one, for example.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn_beira.bold import load_table
    >>> path = Path(tempfile.mkdtemp()) / "bold.csv"
    >>> _ = path.write_text("left;right\n1,5;2\n1,25;3\n")
    >>> load_table(path)
       left  right
    0  1.50      2
    1  1.25      3
    """
    path = existing_file(path, "table")
    with reading(path):
        comments, lines = _lines(path)
        sep = _separator([text for _, text in lines])
        rows = [_cells(text, sep) for _, text in lines]
        first = rows[0]
        for (number, _), row in zip(lines, rows, strict=True):
            if len(row) != len(first):
                fields = f"line {number} has {len(row)} fields, but the first row has {len(first)}"
                raise unreadable(path, fields + _hint(row, sep))
        # Of lines that begin or end with a separator.
        keep = [i for i in range(len(first)) if any(row[i] for row in rows)]
        rows = [[row[i] for i in keep] for row in rows]
        first = rows[0]
        has_names = not all(map(_is_number, first)) or _counts_columns(rows)
        commas = any(_DECIMAL_COMMA.fullmatch(cell) for row in rows for cell in row)
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows(rows)
        out.seek(0)
        header = 0 if has_names else None
        table = pd.read_csv(out, header=header, decimal="," if commas else ".", index_col=False)
    names = _cells(comments[-1], sep) if comments else []
    if not has_names and len(names) == table.shape[1]:
        table.columns = names
    return table


_DECIMAL_COMMA = re.compile(r"[-+]?\d*,\d+(e[-+]?\d+)?", re.IGNORECASE)


def _lines(path):
    """Comments, and (number, text) of the other lines that are not empty."""
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = content.decode("utf-16")
    else:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = content.decode("latin-1")
    if "\0" in text:
        raise unreadable(path, "it is not a text file")
    lines = enumerate(re.split(r"\r\n|\r|\n", text), start=1)
    lines = [(k, line.strip(" ")) for k, line in lines]
    comments = [line.lstrip("# ") for _, line in lines if line.startswith("#")]
    lines = [(k, line) for k, line in lines if line.strip() and not line.startswith("#")]
    if not lines:
        raise unreadable(path, "it has no rows")
    return comments, lines


def _separator(lines):
    """Find the separator in the first row; the empty text stands for any number of blanks."""
    first = lines[0]
    for sep in "\t;":
        if sep in first:
            return sep
    words = first.split()
    numbers = all(_is_number(word) and not word.endswith(",") for word in words)
    blanks = numbers or len({len(line.split()) for line in lines[:2]}) == 1
    blanks &= len(words) > 1
    if "," in first and not (blanks and numbers):
        return ","
    return "" if blanks else ","


def _cells(line, sep):
    if not sep:
        return line.split()
    return [cell.strip() for cell in next(csv.reader([line], delimiter=sep, skipinitialspace=True))]


def _counts_columns(rows):
    """Tell whether the first row counts the columns, which hold numbers that are not whole."""
    first, *others = rows
    first = first[not first[0] :]  # pandas names no index
    counts = [[str(k + start) for k in range(len(first))] for start in (0, 1)]
    return (
        len(first) > 1
        and first in counts
        and any(re.search(r"[.,]\d*[1-9]|e-", cell) for row in others for cell in row)
    )


def _is_number(cell):
    if cell.lower() in ("", "n/a", "na", "nan"):
        return True
    try:
        float(cell.replace(",", "."))
    except ValueError:
        return False
    return True


def _hint(row, sep):
    numbers = sum(cell.lstrip("-+").isdigit() for cell in row)
    if sep == "," and numbers == len(row):
        return "; write decimal points, or separate columns by semicolons or tabs"
    return ""
