"""The sleep states that come with the package are those of the public tables."""

import csv
import tomllib
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.model_selection import LeaveOneGroupOut

from sklearn_beira import compare, load_sleep_states
from sklearn_beira.datasets import sleep

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def data():
    return load_sleep_states()


def read_rows(path):
    """Rows of a table by the number of the scan."""
    content = path.read_bytes()
    text = content.decode("utf-16" if content[:2] == b"\xff\xfe" else "utf-8")
    return {int(row["num_scan"]): row for row in csv.DictReader(text.splitlines(), delimiter="\t")}


def test_rows_are_volumes_of_people_in_order_of_time(data):
    assert len(data.X) == len(data.y) == len(data.subjects) == len(data.times) == len(data.stages)
    assert list(data.X.columns) == data.feature_names
    assert list(data.y.columns) == data.target_names
    first = np.unique(data.subjects, return_index=True)[1]
    assert len(first) == 12
    for times in np.split(data.times, np.sort(first)[1:]):
        np.testing.assert_allclose(np.diff(times), data.t_r)
    np.testing.assert_allclose(data.y.sum(axis=1), 1, atol=2e-3)
    assert np.isfinite(data.X.to_numpy()).all()
    assert set(data.stages) == {0, 1, 2, 3}


def test_numbers_are_those_of_the_public_tables(data, shared_data):
    folder = shared_data / "real" / "ds003574"
    if not folder.is_dir():
        pytest.skip(f"no tables at {folder}")
    for subject in np.unique(data.subjects):
        eeg = read_rows(folder / f"{subject}_task-rest_hypnogram-powerspectrum.tsv")
        fmri = read_rows(folder / f"{subject}_task-rest_decoding-states.tsv")
        scans = sorted(eeg.keys() & fmri.keys())
        mine = data.subjects == subject
        np.testing.assert_allclose(data.times[mine], (np.array(scans) - 1) * 2.1)
        assert data.stages[mine].tolist() == [int(eeg[k]["hypnogram"]) for k in scans]
        theirs = [column.replace("prep_maze", "pre_maze") for column in data.target_names]
        for found, rows, columns in ((data.X, eeg, data.feature_names), (data.y, fmri, theirs)):
            expected = [[float(rows[k][column]) for column in columns] for k in scans]
            np.testing.assert_allclose(found[mine], expected, rtol=1e-6)


def test_the_description_names_the_licence_and_the_paper_and_what_the_targets_are(data):
    text = " ".join(data.DESCR.split())
    for said in ("CC0", "Sterpenich", "ds003574", "no BOLD", "decoder"):
        assert said in text


def test_the_files_are_small_and_part_of_the_package():
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = patterns["tool"]["setuptools"]["package-data"]["sklearn_beira"]
    packaged = {path for p in patterns for path in (ROOT / "sklearn_beira").glob(p)}
    assert set(sleep.FOLDER.iterdir()) <= packaged
    assert sum(path.stat().st_size for path in sleep.FOLDER.iterdir()) < 2e6


def test_a_model_is_compared_with_people_left_out(data):
    few = np.flatnonzero(np.isin(data.subjects, ["sub-01", "sub-12", "sub-13"]))[::20]
    params = {"cv": LeaveOneGroupOut(), "null": None, "verbose": False}
    who = data.subjects[few]
    X, y = data.X.iloc[few], data.y.iloc[few]
    table = compare({"ridge": Ridge()}, X, y, groups=who, subjects=who, **params).table
    assert set(table.query("scope == 'subject'")["label"]) == {"sub-01", "sub-12", "sub-13"}
    assert set(table["region"]) == set(data.target_names)
