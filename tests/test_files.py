"""Files: full disks, killed writers, damage, and what was written by other code."""

import contextlib
import json
import os
import resource
import shutil
import subprocess
import zipfile
from pathlib import Path

import mne
import numpy as np
import pytest
from sklearn.linear_model import Ridge

from sklearn_beira import BlockedKFold, Comparison, EEGFilter, EEGWindows, align, compare, null_test
from sklearn_beira._utils import files, hashing
from sklearn_beira._utils.files import temporary_file, writable_folder, write_checked
from sklearn_beira.cli import job, main
from sklearn_beira.eeg import filtering


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 1 MB, which only root can mount."""
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no small disk can be mounted here")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


@contextlib.contextmanager
def no_room():
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.fixture(scope="module")
def windows():
    eeg = 1e-5 * np.random.default_rng(0).standard_normal((6, 60_000)).astype(np.float32)
    info = mne.create_info(6, 100.0, "eeg")
    return EEGWindows([eeg], [0] * 20, np.arange(20) * 2.0 + 60, info, tmin=-16, tmax=0)


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 3))
    return X, X[:, :2] + rng.standard_normal((60, 2))


OPTIONS = {"cv": BlockedKFold(3, gap=0, t_r=2.0), "verbose": False}


# -- full disks -----------------------------------------------------------------------------------
def align_to(folder, X):
    raw = mne.io.RawArray(X.recordings[0], X.info, verbose="error")
    align(raw, np.zeros((20, 1)), volume_times=X.times, folder=folder, verbose="error")


WRITERS = {
    "to_folder": lambda folder, X: X.to_folder(folder),
    "epochs": lambda folder, X: EEGWindows.from_array(np.asarray(X, float)).to_folder(folder),
    "EEGFilter": lambda folder, X: EEGFilter(folder=folder).fit_transform(X),
    "align": align_to,
}


@pytest.mark.parametrize("what", WRITERS)
def test_recordings_on_a_full_disk_are_an_error_that_names_the_folder(what, windows, small_disk):
    with pytest.raises(ValueError, match=f"folder {small_disk} .No space left on device.; use ano"):
        WRITERS[what](small_disk, windows)
    assert not list(small_disk.iterdir())


def test_a_comparison_on_a_full_disk_goes_on_without_its_cache(table, tmp_path):
    whole = compare(Ridge(), *table, null=None, **OPTIONS).table
    with no_room(), pytest.warns(UserWarning, match=f"cache cannot be .*{tmp_path}") as said:
        found = compare(Ridge(), *table, null=None, cache=tmp_path, **OPTIONS).table
    assert len(said) == 1
    np.testing.assert_array_equal(found["r"], whole["r"])
    assert not list(tmp_path.iterdir())


def test_an_error_in_writing_names_the_file_and_leaves_the_old_one(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with no_room(), pytest.raises(OSError, match=f"File too large: '{path}'"):
        write_checked(path, b"new")
    assert path.read_text() == "old"
    with pytest.raises(FileNotFoundError, match=f"'{tmp_path / 'no' / 'file'}'$"):
        write_checked(tmp_path / "no" / "file", b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    os.mkfifo(tmp_path / "pipe")  # as a device, which root could replace
    for place in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(FileExistsError, match=f"exists and is no file: '{place}'"):
            write_checked(place, b"new")


# -- the command's report -------------------------------------------------------------------------
@pytest.mark.parametrize("output", ["folder", "", "report.h5", "x" * 300 + ".html", "no/x.html"])
def test_a_report_that_cannot_be_written_is_refused_before_the_data_are_read(
    output, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(job, "get_data", None)
    Path("folder").mkdir()
    assert main(["--output", output]) == 2
    assert "output" in (said := capsys.readouterr().err) or "too long" in said
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.slow
def test_no_name_and_no_full_disk_costs_the_old_report(make_study, small_disk, monkeypatch, capsys):
    monkeypatch.chdir(small_disk)
    study = make_study(duration=200.0)
    eeg, bold = "r\udcff_raw.fif", "b\udcff.csv"
    study.raws[0].crop(0, 150).resample(100).save("r_raw.fif", verbose="error")
    Path("r_raw.fif").replace(eeg)
    study.bolds[0].iloc[:50].to_csv(bold, index=False)
    Path("old.html").write_text("old")
    options = ["--eeg", eeg, "--bold", bold, "--t-r", "2", "--folds", "2"]
    assert main([*options, "--output", "old.html"]) == 2
    assert "No space left on device: 'old.html'" in capsys.readouterr().err
    assert Path("old.html").read_text() == "old"
    subprocess.run(["mount", "-o", "remount,size=9m", str(small_disk)], check=True)
    assert main([*options, "--output", "old.html"]) == 0
    assert r"b\udcff.csv" in Path("old.html").read_text()


# -- killed writers -------------------------------------------------------------------------------
def test_files_of_killed_writers_are_removed_and_those_of_others_stay(tmp_path):
    child = os.fork()
    if not child:
        with temporary_file(tmp_path) as file:
            file.write(b"half")
            os._exit(0)
    os.waitpid(child, 0)
    assert len(list(tmp_path.iterdir())) == 1
    (tmp_path / ".sklearn_beira-another_host-1-0.tmp").touch()
    with temporary_file(tmp_path) as file:
        name = Path(file.name).name.split("-")
        for pid in ("x", "9" * 30):  # of no process
            (tmp_path / "-".join([*name[:2], pid, name[3]])).touch()
        writable_folder(tmp_path, "any")
        assert len(list(tmp_path.iterdir())) == 2  # the child's is gone
    assert [p.name for p in tmp_path.iterdir()] == [".sklearn_beira-another_host-1-0.tmp"]


def test_whoever_shares_a_folder_may_read_its_files(windows, table, tmp_path):
    before = os.umask(0o002)
    try:
        windows.to_folder(tmp_path)
        compare(Ridge(), *table, null=None, cache=tmp_path, **OPTIONS)
    finally:
        os.umask(before)
    modes = {file.suffix: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    assert modes == {".npy": 0o664, ".npz": 0o664}


# -- damage ---------------------------------------------------------------------------------------
def test_files_of_recordings_are_what_was_written_or_refused(windows, tmp_path):
    expected = np.asarray(EEGFilter().fit_transform(windows))
    for writer in (EEGFilter(folder=tmp_path).fit_transform, lambda X: X.to_folder(tmp_path)):
        writer(windows)
        (path,) = tmp_path.iterdir()
        whole = path.read_bytes()
        other = path.with_name("other.npy")
        np.save(other, np.zeros((2, 60_000), np.float32))
        damaged = [whole[:5000] + b"\x7f" + whole[5001:], whole[:-1], b"", other.read_bytes()]
        other.unlink()
        for content in damaged:
            path.write_bytes(content)
            with pytest.raises(ValueError, match=f"cannot be used: {path} .*; delete it"):
                writer(windows)
        path.unlink()
        writer(windows)
        assert path.read_bytes() == whole
        path.unlink()
    found = EEGFilter(folder=tmp_path).fit_transform(windows)
    np.testing.assert_array_equal(np.asarray(found), expected)


def test_a_file_under_the_name_of_another_is_refused(windows, tmp_path):
    EEGFilter(folder=tmp_path).fit_transform(windows)
    (path,) = tmp_path.iterdir()
    stray = path.rename(tmp_path / "stray")
    EEGFilter(1, 30, folder=tmp_path).fit_transform(windows)
    (other,) = tmp_path.glob("*.npy")
    stray.rename(other)
    with pytest.raises(ValueError, match="its content has changed"):
        EEGFilter(1, 30, folder=tmp_path).fit_transform(windows)


def test_stored_results_that_do_not_parse_are_computed_again(table, tmp_path):
    def run():
        test = null_test(Ridge(), *table, refit=True, n_surrogates=3, cache=tmp_path, **OPTIONS)
        return test.table

    expected = run()
    entries = sorted(tmp_path.iterdir())
    contents = [b"", b"\0" * 100, b"{}", entries[0].read_bytes(), entries[0].read_bytes()[:-1]]
    for content in contents:
        for path in entries[1:]:
            path.write_bytes(content)
        np.testing.assert_array_equal(run(), expected)
    for values, facts in (("text", "{}"), (np.zeros(20), "[]"), (np.zeros(20), "{"), (3, "{}")):
        for path in entries:
            with open(tmp_path / "new", "wb") as file:
                np.savez(file, values=np.asarray(values), facts=facts)
            write_checked(path, (tmp_path / "new").read_bytes())
        np.testing.assert_array_equal(run(), expected)


def test_a_folder_of_no_comparison_is_refused_whatever_is_in_it(table, tmp_path):
    compare(Ridge(), *table, null=None, **OPTIONS).to_folder(tmp_path)
    path = tmp_path / "arrays.npz"
    whole = path.read_bytes()
    with np.load(path) as found:
        arrays = dict(found)
    facts = json.loads(str(arrays["facts"]))
    forged = [{"facts": text} for text in ("[]", "{}", "[" * 10**5)]
    forged += [{"facts": json.dumps({**facts, "regions": 3})}, {"blocks": np.array([None])}]
    forged += [{"blocks": arrays["blocks"][1:]}]
    for content in (b"", whole[:-100], whole[:3000] + b"\x7f" + whole[3001:]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"{tmp_path} holds no comparison"):
            Comparison.from_folder(tmp_path)
    for parts in forged:
        np.savez(path, **{**arrays, **parts})
        with pytest.raises(ValueError, match=f"{tmp_path} holds no comparison"):
            Comparison.from_folder(tmp_path)
    np.savez_compressed(path, **{**arrays, "bold": np.zeros((10**7, 2))})
    assert path.stat().st_size < 10**6
    with pytest.raises(ValueError, match="more arrays than the file is long"):
        Comparison.from_folder(tmp_path)
    np.savez(path, **arrays)
    with zipfile.ZipFile(path, "a") as archive:  # the same bytes once more
        archive.filelist += archive.filelist
        archive.writestr("end", "")
    with pytest.raises(ValueError, match="more arrays than the file is long"):
        Comparison.from_folder(tmp_path)
    with zipfile.ZipFile(path, "w") as archive, archive.open("facts.npy", "w") as file:
        header = {"descr": "<U0", "fortran_order": False, "shape": (10**7,)}
        np.lib.format.write_array_header_1_0(file, header)
    with pytest.raises(ValueError, match="more values than the file has bytes"):
        Comparison.from_folder(tmp_path)
    for name in ("~nobody_at_home", "x" * 300):
        with pytest.raises(ValueError, match=r"no home folder|holds no comparison"):
            Comparison.from_folder(name)


# -- other code -----------------------------------------------------------------------------------
def test_keys_of_stored_results_change_with_the_source(tmp_path, monkeypatch):
    package = Path(files.__file__).parents[1]
    shutil.copytree(package, tmp_path / "copy", ignore=shutil.ignore_patterns("__pycache__"))
    environment = hashing.environment.__wrapped__
    assert environment() == hashing.environment()
    monkeypatch.setattr(hashing, "__file__", str(tmp_path / "copy" / "_utils" / "hashing.py"))
    assert environment() == hashing.environment()
    with open(tmp_path / "copy" / "features" / "band_power.py", "a") as file:
        file.write("\n")
    assert environment() != hashing.environment()


def test_a_filter_of_another_version_is_applied_again(windows, tmp_path, monkeypatch):
    EEGFilter(folder=tmp_path).fit_transform(windows)
    monkeypatch.setattr(filtering, "environment", lambda: ("another", ("mne", "0")))
    EEGFilter(folder=tmp_path).fit_transform(windows)
    assert len(list(tmp_path.iterdir())) == 2
