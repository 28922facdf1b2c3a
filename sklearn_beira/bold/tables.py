"""Tables in text files, and the columns of a BOLD table that are not regions."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from .._utils.files import existing_file, one_line

# Names of columns that hold the time of each volume in s, and of columns that count the volumes.
SECONDS = ("time_s", "time", "onset")
COUNTS = ("volume", "index")


def clock_of(name):
    """Strip the unit and the case from the name of a column.

    Parameters
    ----------
    name : object
        Such as "Time (s)".

    Returns
    -------
    name : str
        Such as "time".
    """
    return re.sub(r"[(\[].*", "", str(name)).strip().lower()


def find_clocks(table):
    """Find the columns of a table that count volumes or hold their times.

    Parameters
    ----------
    table : DataFrame
        BOLD as it was read.

    Returns
    -------
    columns : list
        Columns with the name of a time or a counter, and columns that rise in equal steps.
    """
    return [
        column
        for column in table
        if clock_of(column) in (*SECONDS, *COUNTS)
        or str(column).startswith("Unnamed: ")
        or _rises_evenly(table[column])
    ]


def _rises_evenly(values):
    if not pd.api.types.is_numeric_dtype(values) or len(values) < 10:
        return False
    steps = np.diff(values.to_numpy(dtype=float))
    return bool(steps[0] > 0 and np.ptp(steps) <= 1e-3 * steps[0])


def find_separator(path):
    """Return the comma, semicolon or tab that occurs most often in the first line of a file."""
    with path.open(encoding="utf-8-sig") as lines:
        header = lines.readline()
    # Not left to pandas: in a table with one column it takes a digit for the separator.
    return max(",;\t", key=header.count)


def read_table(path, role, *, sep=None, header=0):
    """Read a text file with pandas.

    Parameters
    ----------
    path : str or Path
        The file.
    role : str
        What the table holds, for the errors.
    sep : str or None
        Separator of the columns; None finds it in the first line.
    header : int, None or "infer"
        Row that names the columns, as in :func:`pandas.read_csv`. With "infer" the first row is a
        header if any cell of it is not a number.

    Returns
    -------
    table : DataFrame
        The table.

    Raises
    ------
    ValueError
        If there is no such file, or if it is not a table.
    """
    path = existing_file(path, role)
    try:
        sep = sep or find_separator(path)
        if header == "infer":
            first = pd.read_csv(path, sep=sep, header=None, nrows=1).iloc[0]
            header = 0 if any(isinstance(cell, str) for cell in first) else None
        return pd.read_csv(path, sep=sep, header=header)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as err:
        raise ValueError(
            f"The file of the {role} cannot be read as a table: {path} ({one_line(err)}); give a "
            "csv, tsv or txt file whose rows are equally long."
        ) from err
