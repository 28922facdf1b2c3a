"""Fixtures that many tests share, and how tests are spread over processes."""

import os
from pathlib import Path

import joblib
import pytest

# One thread per process, because pytest-xdist starts one process per core. Libraries read these
# variables when they are imported, and the processes that tests start inherit them.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

# Whoever imports it changes what torch takes for the accelerator of the process: CUDA fails then.
# ``test_devices.py`` runs it in a process of its own; looking for doctests would import it here.
collect_ignore = ["simulated_device.py", "on_simulated_device.py"]


def pytest_xdist_auto_num_workers(config):
    """Use every core for folders of tests, and one process for single files and tests."""
    return joblib.cpu_count() if all(Path(name).is_dir() for name in config.args) else 0


def pytest_collection_modifyitems(items):
    """Put tests that share the dask cluster together, so that one process starts one cluster."""
    items.sort(key=lambda item: "dask_client" not in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def dask_client():
    """Start two dask workers of one thread each, once per session."""
    distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        yield client


@pytest.fixture(scope="session")
def make_study():
    """Simulate a small study; the simulation runs once per set of parameters."""
    from sklearn.utils import Bunch

    from sklearn_beira.datasets import make_eeg_fmri

    made = {}

    def make(n_runs=1, duration=120.0, n_channels=6, n_rois=2, random_state=0, **params):
        params |= {"n_runs": n_runs, "duration": duration, "n_channels": n_channels}
        params |= {"n_rois": n_rois, "random_state": random_state}
        key = repr(sorted(params.items()))
        if key not in made:
            made[key] = make_eeg_fmri(**params)
        study = made[key]
        # Each test gets copies of the recordings, which it may change.
        copies = {"raws": [raw.copy() for raw in study.raws]}
        copies["bolds"] = [bold.copy() for bold in study.bolds]
        return Bunch(**{**study, **copies})

    return make


@pytest.fixture(scope="session")
def make_raw():
    """Make a recording of white noise of 10 µV on channels E1, E2, …: many tests need no more."""
    import mne
    import numpy as np

    def make(n_channels=4, duration=60.0, sfreq=100.0, random_state=0, first_samp=0, **info):
        rng = np.random.default_rng(random_state)
        eeg = 1e-5 * rng.standard_normal((n_channels, round(duration * sfreq)))
        names = [f"E{i + 1}" for i in range(n_channels)]
        info = mne.create_info(**{"ch_names": names, "ch_types": "eeg", "sfreq": sfreq, **info})
        return mne.io.RawArray(eeg, info, first_samp=first_samp, verbose="error")

    return make


@pytest.fixture
def set_num_threads():
    """Set the number of threads of torch until the test ends."""
    import torch

    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def shared_data():
    """Find the folder of real recordings, see its README."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("SKLEARN_BEIRA_TEST_DATA", beside))
    if not folder.is_dir():
        pytest.skip(
            f"no real recordings at {folder}: set SKLEARN_BEIRA_TEST_DATA to the folder that holds "
            f"them"
        )
    return folder
