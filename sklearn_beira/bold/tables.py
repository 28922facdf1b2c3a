"""Columns of a table of BOLD that are no regions: times and numbers of volumes."""

import re

import numpy as np
import pandas as pd

from .._utils.files import existing_file, one_line

# Columns of a table that tell when, in s, and others that tell no BOLD.
SECONDS = ("time_s", "time", "onset")
COUNTS = ("volume", "index")


def clock_of(name):
    """Reduce the name of a column to what it says of time.

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
    """Find columns of a table that number volumes or tell their times.

    Parameters
    ----------
    table : DataFrame
        BOLD as it was read.

    Returns
    -------
    columns : list
        Those whose name says so, and those that rise by the same step from row to row.
    """
    found = []
    for column in table:
        named = clock_of(column) in (*SECONDS, *COUNTS) or str(column).startswith("Unnamed: ")
        if named or _rises_evenly(table[column]):
            found.append(column)
    return found


def _rises_evenly(values):
    if not pd.api.types.is_numeric_dtype(values) or len(values) < 10:
        return False
    steps = np.diff(values.to_numpy(dtype=float))
    return bool(steps[0] > 0 and np.ptp(steps) <= 1e-3 * steps[0])


def read_table(path, role, **options):
    """DataFrame of a text file; the options are those of ``pandas.read_csv``."""
    path = existing_file(path, role)
    try:
        return pd.read_csv(path, **options)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as err:
        raise ValueError(
            f"The file of the {role} cannot be read as a table: {path} ({one_line(err)}); "
            "expected rows of equal length in a csv, tsv or txt file."
        ) from err
