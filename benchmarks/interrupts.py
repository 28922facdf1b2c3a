"""Press Ctrl-C at random moments: how long until the process ends, and does it end in the same?

    OMP_NUM_THREADS=1 python benchmarks/interrupts.py --rounds 20

Every round starts a job in a process of its own, presses Ctrl-C within the time that the job takes,
and runs the job again, with the same folder, to its end. The published network is trained for a few
epochs only; the command has nothing to continue from and begins anew.
"""

import argparse
import contextlib
import io
import os
import random
import signal
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path

import matplotlib as mpl
import numpy as np
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sklearn_beira import (
    BEIRARegressor,
    BlockedKFold,
    EEGFilter,
    EEGNet,
    Training,
    Windower,
    align,
    compare,
    make_eeg_fmri,
    make_paper_beira,
    null_test,
)
from sklearn_beira.cli import data, job, main
from sklearn_beira.regressor import checkpoint

CV = BlockedKFold(3, gap=8.0)


def make_net(**training):
    training = Training(max_epochs=15, lr=3e-3, **training)
    net = BEIRARegressor(EEGNet(), training=training, verbose=False, random_state=0)
    return make_pipeline(EEGFilter(), Windower(8.0), net)


def run_compare(X, y, folder):
    return compare(make_net(), X, y, cv=CV, null=None, cache=folder, verbose=False).table["r"]


def run_null_test(X, y, folder):
    options = {"cv": CV, "refit": True, "n_surrogates": 2, "null": "circular", "verbose": False}
    return null_test(make_net(), X, y, cache=folder, **options).draws


def run_search(X, y, folder):
    model = make_net(checkpoint=folder)
    grid = {"beiraregressor__training__lr": [1e-3, 1e-2]}
    return GridSearchCV(model, grid, cv=BlockedKFold(2, gap=8.0)).fit(X, y).predict(X)


def run_fit(X, y, folder):
    model = make_net(checkpoint=folder)
    model.set_params(beiraregressor__training__max_epochs=60)
    return model.fit(X, y).predict(X)


def run_command(X, y, folder, *options):
    with contextlib.redirect_stdout(io.StringIO()) as said:
        code = main(["--output", str(folder / "report.html"), "--folds", "2", *options])
    if code == 130:
        assert not (folder / "report.html").exists()
        raise KeyboardInterrupt
    assert code == 0
    return np.array([ord(c) for c in said.getvalue().partition("Report:")[0]])


JOBS = {
    "compare": run_compare,
    "null_test": run_null_test,
    "search": run_search,
    "fit with checkpoint": run_fit,
    "command": run_command,
    "command --paper": lambda *args: run_command(*args, "--paper"),
}


def start(work, *args):
    """Run a job in a process of its own, which leaves its result in a file beside its folder."""
    child = os.fork()
    if not child:
        code = 1
        try:
            np.save(args[-1].with_suffix(".npy"), np.asarray(work(*args)))
            code = 0
        except KeyboardInterrupt:
            code = 130
        finally:
            os._exit(code)
    return child


def end(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def measure(work, X, y, n_rounds, rng):
    """Seconds from Ctrl-C to the end of the process, and how many rounds ended in the same."""
    with tempfile.TemporaryDirectory() as home:
        started = time.monotonic()
        folder = Path(home) / "truth"
        folder.mkdir()
        assert end(start(work, X, y, folder)) == 0
        duration = time.monotonic() - started
        truth = np.load(folder.with_suffix(".npy"))
        seconds, n_same = [], 0
        for k in range(n_rounds):
            folder = Path(home) / str(k)
            folder.mkdir()
            child = start(work, X, y, folder)
            time.sleep(rng.uniform(0, 0.9 * duration))
            os.kill(child, signal.SIGINT)
            pressed = time.monotonic()
            code = end(child)
            if code == 130:
                seconds.append(time.monotonic() - pressed)
            else:
                assert code == 0  # it was done before
            assert end(start(work, X, y, folder)) == 0
            n_same += np.array_equal(truth, np.load(folder.with_suffix(".npy")), equal_nan=True)
    return duration, seconds, n_same


def main_script():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS))
    args = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells ignore it in the background
    mpl.use("agg")
    warnings.simplefilter("ignore")
    # Short jobs, so that there is time for many.
    data.MINUTES, checkpoint.EVERY = 4, 0.2
    small = {"max_epochs": 2, "n_branches": 2, "encoder_width": 16}
    job.make_paper_beira = partial(make_paper_beira, **small)
    study = make_eeg_fmri(duration=200.0, n_channels=8, n_rois=2, random_state=0)
    X, y = align(study.raws, study.bolds, trigger="mri", tmin=-8, tmax=0, verbose="error")
    rng = random.Random(args.seed)
    print("job                  takes   stopped  longest time to stop   same result")
    for name in args.jobs:
        duration, seconds, n_same = measure(JOBS[name], X, y, args.rounds, rng)
        print(
            f"{name:19} {duration:5.1f} s  {len(seconds):3} of {args.rounds}  "
            f"{max(seconds, default=0):17.2f} s  {n_same:3} of {args.rounds}",
            flush=True,
        )


if __name__ == "__main__":
    main_script()
