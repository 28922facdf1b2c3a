"""Positions of electrodes from the sidecars of BIDS."""

import json
import warnings

import mne
import numpy as np
import pandas as pd
import pytest
from test_bids import ONSETS, make_raw, write_eeg, write_image

from sklearn_beira import load_bids
from sklearn_beira.datasets.electrodes import read_electrodes
from sklearn_beira.eeg.channels import MONTAGE

mne_bids = pytest.importorskip("mne_bids", reason="mne-bids is not installed")
NAMES = ["Fz", "Cz", "Pz", "Oz"]
TO_CTF = np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]])  # from right, anterior, up
# A rotation and a shift, as of an MRI.
TURN, SHIFT = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0], np.array([1, -2, 3])


@pytest.fixture(scope="module")
def head():
    """Positions of the template in head coordinates, and its landmarks."""
    info = mne.create_info(NAMES, 100.0, "eeg").set_montage(MONTAGE)
    found = info.get_montage().get_positions()
    marks = {"NAS": found["nasion"], "LPA": found["lpa"], "RPA": found["rpa"]}
    return found["ch_pos"], marks


def write_places(folder, positions, system, unit, marks=None, stem="sub-01_task-rest"):
    table = pd.DataFrame.from_dict(positions, orient="index", columns=["x", "y", "z"])
    table.loc["ECG"] = np.nan
    paths = folder / f"{stem}_electrodes.tsv", folder / f"{stem}_coordsystem.json"
    table.rename_axis("name").to_csv(paths[0], sep="\t", na_rep="n/a")
    facts = {"EEGCoordinateSystem": system, "EEGCoordinateUnits": unit}
    if marks:
        facts["AnatomicalLandmarkCoordinates"] = {mark: list(x) for mark, x in marks.items()}
    paths[1].write_text(json.dumps(facts))
    return paths


@pytest.mark.parametrize(
    ("system", "unit", "change", "has_marks"),
    [
        ("CapTrak", "m", lambda x: x, False),
        ("CapTrak", "cm", lambda x: 100 * x, True),
        ("CTF", "mm", lambda x: 1000 * TO_CTF @ x, False),
        ("Other", "mm", lambda x: 1000 * (np.linalg.det(TURN) * TURN @ x) + 10 * SHIFT, True),
    ],
)
def test_units_and_axes_are_those_of_the_coordinate_system(
    tmp_path, head, system, unit, change, has_marks
):
    positions = {name: change(x) for name, x in head[0].items()}
    marks = {name: change(x) for name, x in head[1].items()} if has_marks else None
    found = read_electrodes(*write_places(tmp_path, positions, system, unit, marks))
    assert list(found) == NAMES
    for name, place in found.items():
        np.testing.assert_allclose(place, head[0][name], atol=1e-6)


@pytest.mark.parametrize(
    ("system", "unit", "change", "said"),
    [
        ("CapTrak", "n/a", lambda x: x, "unit is 'n/a'"),
        ("Other", "m", lambda x: x, "'Other' are unknown without landmarks"),
        ("CapTrak", "mm", lambda x: x, "m from its origin"),
        ("CapTrak", "m", lambda x: TO_CTF @ x, "not those of the names"),  # the sidecar lies
        ("CapTrak", "m", lambda x: 0 * x, "no positions"),
    ],
)
def test_positions_that_are_not_of_a_head_are_refused(tmp_path, head, system, unit, change, said):
    positions = {name: change(x) for name, x in head[0].items()}
    with pytest.raises(ValueError, match=said):
        read_electrodes(*write_places(tmp_path, positions, system, unit))


def test_an_electrode_at_the_origin_has_no_position(tmp_path, head):
    positions = {**head[0], "Cz": np.zeros(3)}
    found = read_electrodes(*write_places(tmp_path, positions, "CapTrak", "m"))
    assert sorted(found) == ["Fz", "Oz", "Pz"]
    positions = {name: TO_CTF @ place for name, place in positions.items()}
    with pytest.raises(ValueError, match="not those of the names"):  # of the others
        read_electrodes(*write_places(tmp_path, positions, "CapTrak", "m"))


def test_a_study_places_electrodes_as_mne_bids_does_or_else_by_name(tmp_path, head):
    raw = make_raw(ONSETS)
    moved = {name: place + [0.0, 0.0, 0.01] for name, place in head[0].items()}
    raw.set_montage(mne.channels.make_dig_montage(moved, coord_frame="head"), on_missing="ignore")
    for subject in ("01", "02"):
        write_eeg(tmp_path, raw, subject=subject, task="rest")
        write_image(tmp_path / f"sub-{subject}/func/sub-{subject}_task-rest_bold.nii.gz")
    assert list((tmp_path / "sub-01/eeg").glob("*_space-CapTrak_electrodes.tsv"))
    for file in (tmp_path / "sub-02/eeg").glob("*_coordsystem.json"):
        file.write_text(json.dumps({"EEGCoordinateSystem": "Other", "EEGCoordinateUnits": "n/a"}))
    study = load_bids(tmp_path, bold="raw")
    assert study.table["verdict"].tolist() == ["ok", "ok"]
    assert study.table["reason"][0] == ""
    assert (
        "placed by name, as sub-02_space-CapTrak_electrodes.tsv is not" in study.table["reason"][1]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = mne_bids.BIDSPath("01", task="rest", datatype="eeg", root=tmp_path)
        other = mne_bids.read_raw_bids(path, verbose="error")
    for name in NAMES:
        np.testing.assert_allclose(place_of(study.raws[0], name), place_of(other, name), atol=1e-6)
        np.testing.assert_allclose(place_of(study.raws[0], name), moved[name], atol=1e-6)
    assert study.raws[1].get_montage() is None  # align finds places by names


def place_of(raw, name):
    return raw.info["chs"][raw.ch_names.index(name)]["loc"][:3]


@pytest.mark.parametrize("sidecar", ["[1]", "{", None])
def test_a_damaged_coordinate_system_is_a_reason(tmp_path, head, sidecar):
    write_eeg(tmp_path, make_raw(ONSETS), subject="01", task="rest")
    write_image(tmp_path / "sub-01/func/sub-01_task-rest_bold.nii.gz")
    _, system = write_places(tmp_path / "sub-01/eeg", head[0], "CapTrak", "m")
    system.unlink() if sidecar is None else system.write_text(sidecar)
    run = load_bids(tmp_path, bold="raw").table.iloc[0]
    assert run["verdict"] == "ok"
    assert "electrodes are placed by name" in run["reason"]
