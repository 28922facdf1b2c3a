"""Workers of dask and loky: the same numbers, EEG sent once or never, nothing lost with them."""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import joblib
import mne
import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from sklearn_beira import EEGFilter, EEGWindows, Windower, align, compare, null_test
from sklearn_beira.evaluation.splitters import BlockedKFold
from sklearn_beira.features.band_power import BandPower

distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed")

# Sockets that distributed leaves to the garbage collector are not what is tested here.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

CV = BlockedKFold(3)
OPTIONS = {"cv": CV, "n_surrogates": 5, "null": "phase", "verbose": False}


class SlowRidge(Ridge):
    """A ridge that takes its time, so that it can be killed."""

    def fit(self, X, y):
        time.sleep(0.5)
        return super().fit(X, y)


def make_model(ridge=None):
    return Pipeline(
        [
            ("filter", EEGFilter(1, 40, sfreq=100)),
            ("window", Windower(4.0)),
            ("power", BandPower({"alpha": (8.0, 12.0), "beta": (16.0, 24.0)})),
            ("ridge", ridge or Ridge()),
        ]
    )


@pytest.fixture(scope="module")
def study(make_study):
    data = make_study(n_runs=2, duration=150.0)
    return align(data.raws, data.bolds, trigger="mri", tmin=-6.0, tmax=0.0, verbose="error")


@contextlib.contextmanager
def two_processes():
    """Two workers of one thread, each under a nanny that starts it again."""
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        yield client


def check_same(found, expected):
    """Compare tables; processes with other numbers of threads differ in the last digits."""
    found, expected = (table.drop(columns="fit_time") for table in (found, expected))
    pd.testing.assert_frame_equal(found, expected, rtol=1e-9, check_flags=False)


def test_a_search_a_comparison_and_a_null_over_recordings_run_on_dask(study, dask_client):
    X, y = study
    search = GridSearchCV(make_model(), {"window__delay": [0.0, 2.0]}, cv=CV)
    models = {"ridge": make_model(), "search": search}
    y_pred = search.fit(X, y).predict(X)
    scores = search.cv_results_["mean_test_score"]
    table, test = compare(models, X, y, **OPTIONS).table, null_test(make_model(), X, y, **OPTIONS)
    with parallel_config("dask"):
        found = search.fit(X, y).predict(X)
        found_table = compare(models, X, y, **OPTIONS).table
        found_test = null_test(make_model(), X, y, **OPTIONS)
    np.testing.assert_allclose(found, y_pred, rtol=1e-9)
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], scores, rtol=1e-9)
    check_same(found_table, table)
    np.testing.assert_allclose(found_test.draws, test.draws, rtol=1e-9)


@pytest.fixture
def n_sent(monkeypatch):
    """How often EEG in memory was pickled in this process."""
    sent = []
    getstate = EEGWindows.__getstate__

    def counting(X):
        sent.append(X._nbytes(of_files=False) > 0)
        return getstate(X)

    monkeypatch.setattr(EEGWindows, "__getstate__", counting)
    return lambda: sum(sent)


def test_the_eeg_leaves_this_process_once_for_all_tasks_of_a_call(study, dask_client, n_sent):
    X, y = study
    search = GridSearchCV(make_model(), {"ridge__alpha": [0.1, 1.0, 10.0]}, cv=CV, refit=False)
    with parallel_config("dask"):
        search.fit(X, y)  # 9 tasks
        assert n_sent() == 1
        compare({"a": make_model(), "b": make_model(Ridge(9.0))}, X, y, **OPTIONS)  # 6 tasks
        assert n_sent() == 2


def test_recordings_in_files_are_opened_by_the_workers(study, dask_client, n_sent, tmp_path):
    X, y = study
    table = compare(make_model(), X, y, **OPTIONS).table
    on_disk = X.to_folder(tmp_path)
    assert on_disk.tokens == X.tokens
    assert len(pickle.dumps(on_disk)) < 20_000 < X.recordings[0].nbytes
    for backend in ("dask", "loky"):
        with parallel_config(backend, n_jobs=2):
            found = compare(make_model(), on_disk, y, **OPTIONS).table
        check_same(found, table)
    assert n_sent() == 0


def describe(X):
    """What a worker sees: the file behind the first recording, and the EEG."""
    base = X.recordings[0]
    while not isinstance(base, np.memmap):
        base = base.base
    return Path(base.filename).resolve(), np.asarray(X[:2])


def test_a_worker_reads_the_file_itself_and_not_a_copy(study, tmp_path):
    X = study[0].to_folder(tmp_path)
    # Below 1 byte everything would be copied to a file of joblib's own.
    found = joblib.Parallel(n_jobs=2, max_nbytes=1)(joblib.delayed(describe)(X) for _ in range(2))
    for path, eeg in found:
        assert path.parent == tmp_path.resolve()
        np.testing.assert_array_equal(eeg, study[0][:2])


def test_a_missing_file_is_named_by_the_worker_that_misses_it(study, dask_client, tmp_path):
    X, y = study
    on_disk = pickle.loads(pickle.dumps(X.to_folder(tmp_path)))
    for file in tmp_path.iterdir():
        file.unlink()
    assert "2 recording(s)" in repr(on_disk)  # nothing is opened before it is read
    with (
        parallel_config("dask"),
        pytest.raises(ValueError, match=r"the file of a recording cannot be read: .*\.npy"),
    ):
        compare(make_model(), on_disk, y, **OPTIONS)


# -- recordings in files ------------------------------------------------------------------------
def test_memory_maps_stay_where_they_are_whole_or_cut(study, tmp_path):
    X, _ = study
    eeg = X.recordings[0]
    np.save(tmp_path / "rows.npy", eeg)
    np.save(tmp_path / "columns.npy", np.asfortranarray(eeg))
    longer = np.concatenate([eeg[:2], eeg, eeg[:1]])
    np.save(tmp_path / "longer.npy", np.pad(longer, ((0, 0), (7, 3)), "edge"))
    maps = [np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("rows", "columns")]
    maps.append(np.load(tmp_path / "longer.npy", mmap_mode="r")[2:-1, 7:-3])
    one = X[X.groups == 0]
    for array in maps:
        found = EEGWindows([array], one.groups, one.times, X.info, tmin=X.tmin, tmax=X.tmax)
        assert found.tokens == X.tokens[:1]
        sent = pickle.dumps(found)
        assert len(sent) < 20_000
        twin = pickle.loads(sent)
        np.testing.assert_array_equal(twin.recordings[0], eeg)
        assert not twin.recordings[0].flags.writeable
        assert joblib.hash(twin) == joblib.hash(found)


def test_a_file_that_has_changed_is_named(study, tmp_path):
    X = study[0].to_folder(tmp_path)
    sent = pickle.dumps(X)
    file = next(iter(tmp_path.glob("*.npy")))
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match=f"has changed since X was made: .*{file.name}"):
        np.asarray(pickle.loads(sent))
    with pytest.raises(ValueError, match=r"recordings folder .* cannot be written to"):
        study[0].to_folder(file / "folder")


def test_files_are_written_once_and_a_damaged_one_is_named(study, tmp_path):
    X = study[0]
    X.to_folder(tmp_path)
    before = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    assert len(before) == 2
    first, second = before
    whole = first.read_bytes()
    for damaged in (whole[:200], whole[:5000] + b"\x7f" + whole[5001:], whole[:-1], b""):
        first.write_bytes(damaged)
        with pytest.raises(ValueError, match=f"cannot be used: .*{first.name}.*; delete it"):
            X.to_folder(tmp_path)
    first.unlink()
    again = X.to_folder(tmp_path)
    np.testing.assert_array_equal(again, X)
    assert second.stat().st_mtime_ns == before[second]
    assert set(tmp_path.iterdir()) == set(before)


def test_align_and_filter_write_to_a_folder_what_they_would_hold(make_study, tmp_path):
    data = make_study(n_runs=2, duration=150.0)
    raws = []
    for k, raw in enumerate(data.raws):
        raw.save(tmp_path / f"{k}_raw.fif", verbose="error")
        raws.append(mne.io.read_raw_fif(tmp_path / f"{k}_raw.fif", verbose="error"))
    options = {"trigger": "mri", "tmin": -6.0, "tmax": 0.0, "verbose": "error"}
    (X, _), (expected, _) = (
        align(raws, data.bolds, folder=folder, **options) for folder in (tmp_path / "eeg", None)
    )
    assert not any(raw.preload for raw in raws)
    assert X.tokens == expected.tokens
    assert X._nbytes(of_files=False) == 0
    steps = EEGFilter(1, 40, sfreq=100, notch=50, reference="average")
    expected = steps.fit_transform(expected)
    for _ in range(2):  # the second time, they are found
        found = EEGFilter(**{**steps.get_params(), "folder": tmp_path / "f"}).fit_transform(X)
        np.testing.assert_array_equal(found, expected)
        assert found.tokens == expected.tokens
        assert joblib.hash(found.info) == joblib.hash(expected.info)
        assert found._nbytes(of_files=False) == 0


# -- killed -------------------------------------------------------------------------------------
@pytest.mark.slow
@pytest.mark.parametrize("where", ["memory", "files"])
def test_a_killed_worker_takes_nothing_with_it(study, tmp_path, where):
    X, y = study
    if where == "files":
        X = X.to_folder(tmp_path / "eeg")
    cache = tmp_path / "cache"
    models = {"a": make_model(SlowRidge()), "b": make_model(SlowRidge(9.0))}
    expected = compare(models, X, y, **OPTIONS).table
    done = []

    def kill(pid):
        deadline = time.monotonic() + 60
        while not list(cache.glob("*.npz")) and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(pid, signal.SIGKILL)
        done.extend(cache.glob("*.npz"))

    with two_processes() as client, parallel_config("dask"):
        pids = client.run(os.getpid).values()
        killer = threading.Thread(target=kill, args=(next(iter(pids)),))
        killer.start()
        found = compare(models, X, y, cache=cache, **OPTIONS).table
        killer.join()
    assert 1 <= len(done) < 6  # of all models x folds
    check_same(found, expected)
    assert len(list(cache.glob("*.npz"))) == 6


SCRIPT = textwrap.dedent("""
    import sys, time
    import numpy as np
    from sklearn.linear_model import Ridge
    from sklearn_beira import EEGWindows, compare
    from sklearn_beira.features import BandPower
    from sklearn_beira.evaluation import BlockedKFold
    from sklearn.pipeline import make_pipeline
    import mne

    class SlowRidge(Ridge):
        def fit(self, X, y):
            time.sleep(0.1)
            return super().fit(X, y)

    rng = np.random.default_rng(0)
    info = mne.create_info(3, 100.0, "eeg")
    eeg = 1e-5 * rng.standard_normal((3, 20_000))
    X = EEGWindows([eeg], np.zeros(90, int), np.arange(5.0, 185.0, 2.0), info, tmin=-4, tmax=0)
    y = rng.standard_normal((90, 2))
    models = {
        str(alpha): make_pipeline(BandPower({"alpha": (8, 12)}), SlowRidge(alpha))
        for alpha in range(1, 1 + int(sys.argv[3]))
    }
    print("begins", flush=True)
    table = compare(
        models, X, y, cv=BlockedKFold(6, gap=4.0), cache=sys.argv[1], n_surrogates=9, verbose=False
    )
    table.table.drop(columns="fit_time").to_pickle(sys.argv[2])
""")


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize(("n_kills", "n_models"), [(3, 3), (50, 25)])
def test_a_comparison_killed_at_random_moments_ends_with_the_same_table(
    tmp_path, n_kills, n_models
):
    (tmp_path / "script.py").write_text(SCRIPT)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}

    def start(cache, table):
        command = [sys.executable, tmp_path / "script.py", tmp_path / cache, tmp_path / table]
        command.append(str(n_models))
        return subprocess.Popen(command, **pipes)

    whole = start("whole", "whole.pkl")
    assert whole.stdout.readline() == "begins\n"
    began = time.monotonic()
    assert whole.wait(300) == 0, whole.stderr.read()
    longest = max(0.5, (time.monotonic() - began) / 10)
    rng, n_files, in_the_middle = np.random.default_rng(n_kills), [], 0
    for _ in range(n_kills):
        run = start("killed", "killed.pkl")
        assert run.stdout.readline() == "begins\n"
        time.sleep(rng.uniform(0.0, longest))
        in_the_middle += run.poll() is None
        run.kill()
        run.communicate()
        n_files.append(len(list((tmp_path / "killed").glob("*.npz"))))
    assert in_the_middle >= 0.8 * n_kills
    assert n_files == sorted(n_files)  # nothing that was done is done again
    assert n_files[-1] > 0
    last = start("killed", "killed.pkl")
    assert last.wait(300) == 0, last.stderr.read()
    tables = [pickle.loads((tmp_path / f"{name}.pkl").read_bytes()) for name in ("whole", "killed")]
    assert tables[0].equals(tables[1])
    # A file that was being written is never taken for one that was.
    names = [{p.name for p in (tmp_path / d).glob("*.npz")} for d in ("whole", "killed")]
    assert names[0] == names[1]
