"""How much faster is a grid search on two dask workers than on one?

The same search, spread by joblib, in turn on a cluster of one worker and on a cluster of two, each
worker a process with one thread. Beside it, what two processors of this machine are worth when
nothing has to be shared out: the search in a process of its own, once alone, and once beside a
second one that does the same. Less than twice means that they share a cache, a core or a memory
bus.

By default dask makes workers give memory back to the system as soon as it is free
(``MALLOC_TRIM_THRESHOLD_``), and fetch it again, page by page, for the next array. Here they do
not, unless ``--trim`` is given.

Printed are the seconds of every round, the median ratios, and the load of the machine: on a busy
one they say nothing.

Run: OMP_NUM_THREADS=1 python benchmarks/dask_speed.py [--model ridge]
"""

import argparse
import os
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import dask
import numpy as np
from distributed import Client, LocalCluster
from joblib import parallel_config
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from sklearn_beira import BEIRARegressor, EEGFilter, Windower, align
from sklearn_beira.baselines.makers import make_band_power_ridge
from sklearn_beira.datasets import make_eeg_fmri
from sklearn_beira.eeg import cache as _cache
from sklearn_beira.evaluation.splitters import BlockedKFold

# Filled once in every process: EEG and BOLD.
DATA = []


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=["beira", "ridge"], default="beira")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--minutes", type=int, default=10)
    parser.add_argument("--trim", action="store_true", help="give memory back as dask does")
    args = parser.parse_args()
    if not args.trim:
        environ = dict(dask.config.get("distributed.nanny.pre-spawn-environ"))
        environ.pop("MALLOC_TRIM_THRESHOLD_", None)
        dask.config.set({"distributed.nanny.pre-spawn-environ": environ})
    job = args.model, args.minutes
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.2f}; {args.model}, 16 fits")
    # Processes that start afresh, as workers of dask do.
    with (
        cluster_of(1) as one,
        cluster_of(2) as two,
        ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool,
    ):
        ways = {
            "one worker": lambda: on_dask(one, *job),
            "two workers": lambda: on_dask(two, *job),
            "alone": lambda: next(iter(pool.map(run, [job]))),
            "side by side": lambda: list(pool.map(run, [job, job])).pop(),
        }
        scores = [way() for way in ways.values()]  # imports, and the data of each process
        for other in scores[1:]:
            assert np.allclose(other, scores[0])
        seconds = {name: [] for name in ways}
        for _ in range(args.rounds):
            for name, way in ways.items():
                started = time.perf_counter()
                way()
                seconds[name].append(time.perf_counter() - started)
            print(", ".join(f"{name} {s[-1]:.1f} s" for name, s in seconds.items()), flush=True)
    one, two, alone, both = (np.array(s) for s in seconds.values())
    print(f"two workers are {np.median(one / two):.2f} times as fast as one")
    print(f"two processors do {np.median(2 * alone / both):.2f} times the work of one")
    print(f"load {os.getloadavg()[0]:.2f}")


def cluster_of(n_workers):
    """Start workers of one thread."""
    return LocalCluster(n_workers=n_workers, threads_per_worker=1, dashboard_address=":0")


def on_dask(cluster, *job):
    """Search on a cluster; returns the scores."""
    with Client(cluster) as client:
        client.run(forget)
        forget()  # of a single worker joblib makes no use, and searches here
        search, X, y = make(*job)
        with parallel_config("dask"):
            return search.fit(X, y).cv_results_["mean_test_score"]


def run(job):
    """Search in this process, one fit after the other; returns the scores."""
    forget()
    search, X, y = make(*job)
    return search.fit(X, y).cv_results_["mean_test_score"]


def make(model, minutes):
    """Make the search and its data."""
    if not DATA:
        data = make_eeg_fmri(duration=60.0 * minutes, n_channels=32, n_rois=4, random_state=0)
        X, y = align(data.raws, data.bolds, trigger="mri", tmin=-26.0, tmax=0.0, verbose="error")
        DATA.extend([EEGFilter(1, 45, sfreq=100).fit_transform(X), y])
    if model == "beira":
        pipeline = Pipeline([("window", Windower(20.0)), ("beira", BEIRARegressor(verbose=False))])
    else:
        pipeline = make_band_power_ridge(20.0)
    delays = {"window__delay": [0.0, 2.0, 4.0, 6.0]}
    return GridSearchCV(pipeline, delays, cv=BlockedKFold(4), refit=False), *DATA


def forget():
    """Forget the features of the round before, or this one has nothing to do."""
    _cache.results.clear()


if __name__ == "__main__":
    main()
