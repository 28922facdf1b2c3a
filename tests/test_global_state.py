"""What belongs to the whole process is as before after any public call, failed ones included."""

import os
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import joblib
import matplotlib as mpl
import matplotlib.pyplot as plt
import mne
import numpy as np
import pytest
import torch
import torch._dynamo  # the first training imports it, and it sets a variable and filters
from joblib import delayed
from sklearn.pipeline import Pipeline
from small_networks import SIZES, make_beira

from sklearn_beira import EEGFilter, Windower, align, compare, null_test
from sklearn_beira.baselines.makers import make_band_power_ridge
from sklearn_beira.cli import main
from sklearn_beira.datasets import make_eeg_fmri
from sklearn_beira.evaluation.cross_validation import run_tasks
from sklearn_beira.evaluation.splitters import BlockedKFold
from sklearn_beira.inspection import read_branches
from sklearn_beira.persistence.saving import load_model, save_model
from sklearn_beira.regressor.nets.chunks import each_region
from sklearn_beira.regressor.random_numbers import PrivateRandomNumbers
from sklearn_beira.viz import plot_branches
from sklearn_beira.viz.report import make_report

CV = BlockedKFold(2, gap=8.0)


def threads_of_a_new_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return found[0]


def process_state():
    return {
        "threads of torch": torch.get_num_threads(),
        "threads of torch in a new thread": threads_of_a_new_thread(),
        "type of torch": torch.get_default_dtype(),
        "gradients": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "random numbers of torch": torch.get_rng_state().numpy().tobytes(),
        "random numbers of NumPy": str(np.random.get_state()),  # noqa: NPY002
        "errors of NumPy": np.geterr(),
        "printing of NumPy": str(np.get_printoptions()),
        "log of MNE": mne.utils.logger.level,
        "warnings": [str(f) for f in warnings.filters],
        "Matplotlib": dict(mpl.rcParams),
        "figures": plt.get_fignums(),
        "environment": dict(os.environ),
        "folder": Path.cwd(),
        "threads": {t.name for t in threading.enumerate() if t.name.startswith("region")},
    }


@pytest.fixture(scope="module")
def study():
    data = make_eeg_fmri(duration=80.0, n_channels=5, n_rois=2, random_state=0)
    X, y = align(data.raws, data.bolds, trigger="mri", tmin=-8, tmax=0, verbose="error")
    return data, X, y


@pytest.fixture(scope="module")
def fitted(study):
    _, X, y = study
    return make_pipeline().fit(X, y)


def make_pipeline(**params):
    # None as random_state draws from NumPy's own numbers, as everywhere in scikit-learn.
    beira = make_beira(**{"n_branches": 2, "verbose": False, "random_state": 0, **params})
    return Pipeline([("filter", EEGFilter(1, 45)), ("window", Windower(8.0)), ("beira", beira)])


TRAINED = {
    "architecture": "autoencoder",
    **SIZES,
    "max_epochs": 2,
    "mode": "many_to_many",
}


def broken(*args):
    raise OSError("no more memory")


def fit_that_breaks(X, y, monkeypatch):
    monkeypatch.setattr("sklearn_beira.regressor.nets.chunks._run", broken)
    make_pipeline(**TRAINED).fit(X, y)


def save_and_load(model, folder):
    save_model(model, folder / "model.safetensors")
    load_model(folder / "model.safetensors")


def report(model, data, X, y, folder):
    comparison = compared(X, y)
    branches = read_branches(model, X)
    made = make_report(comparison, X, model=model, branches=branches)
    made.save(folder / "r.html", open_browser=False, verbose="error")


def compared(X, y, **params):
    models = {"ridge": make_band_power_ridge(8.0)}
    return compare(models, X, y, cv=CV, n_surrogates=3, verbose=False, **params)


CALLS = {
    "simulate and align": lambda s, m, tmp, patch: align(
        make_eeg_fmri(duration=40.0, n_channels=3, n_rois=1, random_state=1).raws[0],
        np.random.default_rng(0).standard_normal((19, 1)),
        t_r=2.0,
        tmin=-4.0,
        tmax=0.0,
    ),
    "refuse": lambda s, m, tmp, patch: align(s[0].raws[0], s[0].bolds[0], trigger="no"),
    "fit and predict": lambda s, m, tmp, patch: make_pipeline().fit(*s[1:]).predict(s[1]),
    "train": lambda s, m, tmp, patch: make_pipeline(**TRAINED).fit(*s[1:]),
    "train and break": lambda s, m, tmp, patch: fit_that_breaks(*s[1:], patch),
    "ridge": lambda s, m, tmp, patch: make_band_power_ridge(8.0).fit(*s[1:]).predict(s[1]),
    "compare": lambda s, m, tmp, patch: compared(*s[1:], cache=tmp),
    "null test": lambda s, m, tmp, patch: null_test(
        make_band_power_ridge(8.0), *s[1:], cv=CV, n_surrogates=2, n_jobs=2, verbose=False
    ),
    "save and load": lambda s, m, tmp, patch: save_and_load(m, tmp),
    "plot": lambda s, m, tmp, patch: plt.close(plot_branches(read_branches(m, s[1]), 0)),
    "report": lambda s, m, tmp, patch: report(m, *s, tmp),
    "command line": lambda s, m, tmp, patch: main(["--output", str(tmp / "no" / "r.html")]),
}
FAILS = {"refuse": ValueError, "train and break": OSError}


@pytest.mark.parametrize("what", CALLS)
def test_a_call_leaves_the_process_as_it_was(
    what, study, fitted, tmp_path, monkeypatch, set_num_threads
):
    set_num_threads(2)
    mne.set_log_level("warning")
    with warnings.catch_warnings(), mpl.rc_context({"font.size": 7.5}):
        warnings.simplefilter("ignore")
        before = process_state()
        with monkeypatch.context() as patch:
            if what in FAILS:
                with pytest.raises(FAILS[what]):
                    CALLS[what](study, fitted, tmp_path, patch)
            else:
                CALLS[what](study, fitted, tmp_path, patch)
        after = process_state()
    assert after == before


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_threads_over_regions_give_the_number_of_threads_back(error, set_num_threads):
    set_num_threads(3)

    def work(region):
        if region.start == 1:
            raise error
        return torch.get_num_threads()

    with pytest.raises(error):
        each_region(work, 4)
    assert torch.get_num_threads() == threads_of_a_new_thread() == 3
    assert each_region(lambda region: torch.get_num_threads(), 3) == [1, 1, 1]
    assert torch.get_num_threads() == threads_of_a_new_thread() == 3


def test_workers_together_have_no_more_threads_than_cores():
    tasks = [delayed(torch.get_num_threads)() for _ in range(4)]
    found = list(run_tasks(tasks, 2, "", verbose=False))
    assert found == [max(joblib.cpu_count() // 2, 1)] * 4


FORK = """
import multiprocessing, sys
import numpy as np
from sklearn_beira import BEIRARegressor, EEGNet, EEGWindows, Training

rng = np.random.default_rng(0)
X = EEGWindows.from_array(1e-5 * rng.standard_normal((60, 8, 500)).astype(np.float32), sfreq=100.0)
y = rng.standard_normal((60, 3))
training = Training(max_epochs=2)
models = [
    BEIRARegressor(EEGNet(), training=training, verbose=False, random_state=0),
    BEIRARegressor(training=training, verbose=False, random_state=0),
]
for model in models:
    model.fit(X, y)
    for work in (lambda: model.fit(X, y), lambda: model.predict(X)):
        child = multiprocessing.get_context("fork").Process(target=work)
        child.start()
        child.join(30)
        assert child.exitcode == 0, "hangs" if child.exitcode is None else "fails"
"""


@pytest.mark.slow
def test_a_forked_process_does_not_wait_for_threads_that_it_has_lost():
    threads = {name: "2" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    command = [sys.executable, "-c", FORK]
    done = subprocess.run(command, env={**os.environ, **threads}, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_importing_the_package_changes_nothing(tmp_path):
    script = (
        "import os, warnings, numpy as np, torch, mne\n"
        "state = lambda: (torch.get_num_threads(), torch.get_default_dtype(), np.geterr(),\n"
        "    dict(os.environ), mne.utils.logger.level,\n"
        "    torch.get_rng_state().tolist(), str(np.random.get_state()))\n"
        "before = state()\n"
        "import sklearn_beira\n"
        "assert state() == before\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path)
    assert not list(tmp_path.iterdir())


def test_private_random_numbers_go_on_where_they_ended_and_leave_those_of_the_caller():
    with PrivateRandomNumbers(seed=3).drawn():
        at_once = torch.rand(6)
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    private, found, own = PrivateRandomNumbers(seed=3), [], []
    for _ in range(2):
        with private.drawn():
            found.append(torch.rand(3))
        own.append(torch.rand(1))
    assert torch.equal(torch.cat(found), at_once)
    assert torch.equal(torch.cat(own), expected)
