"""How long does ``compare`` take? Linear rivals on one simulated 10-minute run, in five blocks.

300 volumes, 64 channels, eight regions, a filter in front of every rival. Printed are the seconds
of each rival alone (filtering and features included), of five in one call with one and with two
processes, and what 1,000 draws of the swap null without refit add, from the BOLD of five other
runs of 20 minutes. With --all the other rivals are timed as well; the sparse group lasso takes
minutes.

Features are remembered within a process, so every call gets a run that was not seen before;
inside one call the rivals share them.

Run: OMP_NUM_THREADS=1 python benchmarks/compare_speed.py [--all] [--profile]
"""

import argparse
import cProfile
import pstats
import tempfile
import time

import torch
from sklearn.pipeline import Pipeline

from sklearn_beira import EEGFilter, align, compare
from sklearn_beira.baselines.makers import make_baselines
from sklearn_beira.datasets import make_eeg_fmri
from sklearn_beira.evaluation.splitters import BlockedKFold

# The first five that are installed are "the five".
RIVALS = (
    "band_power_ridge", "alpha_hrf", "pls", "eeg_fingerprint", "banded_ridge", "time_polynomial",
    "spoc_ridge", "tangent_space_ridge", "sparse_group_lasso",
)  # fmt: skip
N_OTHERS = 5


def main(every, profile):
    torch.set_num_threads(1)
    rivals = make_baselines(duration=16.0)
    models = {
        name: Pipeline([("filter", EEGFilter(1, 45, sfreq=100)), *rivals[name].steps])
        for name in RIVALS
        if name in rivals
    }
    five = dict(list(models.items())[:5])
    seeds = iter(range(1000))
    n_volumes, n_channels, _ = new_run(next(seeds))[0].shape
    print(f"{n_volumes} volumes, {n_channels} channels, 8 regions, 5 blocks")
    for name in models if every else five:
        first, again = timed({name: models[name]}, *new_run(next(seeds)))
        print(f"{name:20s} {first:6.1f} s, once more with its features remembered {again:6.1f} s")
    print("five: " + ", ".join(five))
    for n_jobs in (1, 2):
        first, again = timed(five, *new_run(next(seeds)), n_jobs=n_jobs)
        print(f"n_jobs={n_jobs}: {first:.1f} s, once more {again:.1f} s")
    null(five, *new_run(next(seeds)), [new_run(next(seeds), 1200.0)[1] for _ in range(N_OTHERS)])
    if profile:
        X, y = new_run(next(seeds))
        profiler = cProfile.Profile()
        profiler.runcall(run, five, X, y)
        pstats.Stats(profiler).sort_stats("tottime").print_stats(15)


def new_run(seed, duration=617.0):
    data = make_eeg_fmri(
        duration=duration, lead_in=31.0, t_r=1.95, n_channels=64, random_state=seed
    )
    return align(data.raws, data.bolds, trigger="mri", tmin=-16.0, tmax=0.0, verbose="error")


def run(models, X, y, **options):
    options = {"null": None, "cv": BlockedKFold(5), "verbose": False, **options}
    return compare(models, X, y, **options)


def timed(models, X, y, **options):
    """Seconds of a first call and of a second one, which finds the features of the first."""
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        run(models, X, y, **options)
        seconds.append(time.perf_counter() - started)
    return seconds


def null(models, X, y, others):
    """Print what the null adds: the predictions are kept on disk, so nothing else is computed."""
    with tempfile.TemporaryDirectory() as cache:
        run(models, X, y, cache=cache)
        seconds = []
        for options in ({}, {"null": "swap", "other_bold": others, "n_surrogates": 1000}):
            started = time.perf_counter()
            run(models, X, y, cache=cache, **options)
            seconds.append(time.perf_counter() - started)
    print(f"1,000 draws of the swap null, five models: {seconds[1] - seconds[0]:.1f} s more")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--all", action="store_true", help="also time the rivals beyond the five")
    parser.add_argument("--profile", action="store_true", help="also profile the five")
    arguments = parser.parse_args()
    main(arguments.all, arguments.profile)
