"""How much faster is a grid search on two dask workers than on one?

In turn, on two workers of one thread each: the whole search as one task on one worker; its fits
spread over both by joblib; and the whole search twice, once on each worker. The last tells what
two processors of this machine are worth when nothing has to be shared out: less than twice one
where they share a core. Printed are the seconds of every round, the median ratios, and the load
of the machine: on a busy one they say nothing.

Run: OMP_NUM_THREADS=1 python benchmarks/dask_speed.py [--model ridge]
"""

import argparse
import os
import time

import numpy as np
from distributed import Client, LocalCluster, wait
from joblib import parallel_config
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from sklearn_beira import BEIRARegressor, EEGFilter, Windower, _cache, align
from sklearn_beira.baselines import make_band_power_ridge
from sklearn_beira.datasets import make_eeg_fmri
from sklearn_beira.model_selection import BlockedKFold


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=["beira", "ridge"], default="beira")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--channels", type=int, default=32)
    args = parser.parse_args()
    data = make_eeg_fmri(
        n_runs=args.runs, duration=600.0, n_channels=args.channels, n_rois=4, random_state=0
    )
    X, y = align(data.raws, data.bolds, trigger="mri", tmin=-26.0, tmax=0.0, verbose="error")
    X = EEGFilter(1, 45, sfreq=100).fit_transform(X)
    model = {"beira": BEIRARegressor(verbose=False), "ridge": make_band_power_ridge()[1:]}
    model = Pipeline([("window", Windower(20.0)), ("model", model[args.model])])
    search = GridSearchCV(
        model, {"window__delay": [0.0, 2.0, 4.0, 6.0]}, cv=BlockedKFold(4), refit=False
    )
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.2f}; {args.model}, 16 fits")
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        workers = list(client.scheduler_info()["workers"])
        shared = client.scatter([X, y], broadcast=True)

        def whole(*where):
            tasks = [
                client.submit(fit, search, *shared, workers=[worker], pure=False)
                for worker in where
            ]
            wait(tasks)
            return tasks[0].result()

        def spread():
            client.run(forget)
            with parallel_config("dask"):
                return search.fit(X, y).cv_results_["mean_test_score"]

        ways = {
            "one": lambda: whole(workers[0]),
            "two": spread,
            "twice": lambda: whole(*workers),
        }
        scores = [way() for way in ways.values()]  # imports
        assert np.allclose(scores[0], scores[1])
        seconds = {name: [] for name in ways}
        for _ in range(args.rounds):
            for name, way in ways.items():
                started = time.perf_counter()
                way()
                seconds[name].append(time.perf_counter() - started)
            print(", ".join(f"{name} {s[-1]:.1f} s" for name, s in seconds.items()), flush=True)
    one, two, twice = (np.array(s) for s in seconds.values())
    print(f"two workers are {np.median(one / two):.2f} times as fast as one")
    print(f"two processors do {np.median(2 * one / twice):.2f} times the work of one")
    print(f"load {os.getloadavg()[0]:.2f}")


def fit(search, X, y):
    """Search in this process, one fit after the other; returns the scores."""
    forget()
    return search.fit(X, y).cv_results_["mean_test_score"]


def forget():
    """Forget the features of the round before, or this one has nothing to do."""
    _cache.feature_rows.clear()


if __name__ == "__main__":
    main()
