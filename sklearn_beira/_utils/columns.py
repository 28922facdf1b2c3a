"""Many columns of BOLD, some at a time."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from sklearn.utils import gen_batches
from threadpoolctl import threadpool_info


def by_columns(work: Callable, n_columns: int, size: int) -> list:
    """Call ``work(slice of columns)`` for all columns, on as many threads as NumPy has.

    Parameters
    ----------
    work : callable
        Function of some columns, which NumPy and SciPy spend their time in.
    n_columns : int
        Columns.
    size : int
        Columns of one call, at most: so many that their arrays fit in the cache, or in memory.

    Returns
    -------
    results : list
        Of each call, in the order of the columns.
    """
    some = list(gen_batches(n_columns, size))
    n_threads = 1
    if len(some) > 1:
        blas = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
        n_threads = max((pool["num_threads"] for pool in blas), default=1)
    if n_threads == 1:
        return [work(columns) for columns in some]
    with ThreadPoolExecutor(min(n_threads, len(some))) as pool:
        return list(pool.map(work, some))


def columns_at_a_time(n_rows: int, n_bytes: int = 2**19, itemsize: int = 8) -> int:
    """Return how many columns of so many rows take ``n_bytes``, at least 16."""
    return max(16, n_bytes // max(1, itemsize * n_rows))


def joined(results: list) -> np.ndarray:
    """Join arrays of some columns each, which are their last axis."""
    return results[0] if len(results) == 1 else np.concatenate(results, axis=-1)
