"""The code of the user guide runs, page by page, in the order it is read."""

import re
from pathlib import Path
from textwrap import dedent

import matplotlib.pyplot as plt
import mne
import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from sklearn_beira import (
    BEIRARegressor,
    BrainMap,
    EEGFilter,
    Windower,
    align,
    compare,
    pearson_r,
    save_model,
)
from sklearn_beira.baselines.makers import make_band_power_ridge
from sklearn_beira.datasets import make_eeg_fmri

PAGES = Path(__file__).parents[1] / "docs" / "user_guide"

# A block that cannot run here says so to Sphinx as well: ``:force:`` (it needs a cluster).
BLOCK = re.compile(
    r"^\.\. code-block:: python\n(?P<options>(?: +:\w+:.*\n)*)\n(?P<code>(?: +.*\n|\n)+)", re.M
)


def run_page(page, namespace):
    """Run the blocks of a page one after the other, as a reader would."""
    blocks = list(BLOCK.finditer((PAGES / page).read_text()))
    for block in blocks:
        if ":force:" not in block["options"]:
            exec(compile(dedent(block["code"]), page, "exec"), namespace)
    assert blocks
    return namespace


def in_the_scanner():
    """A recording with artifacts that are known: gradients, heartbeats, loops that see the head."""
    study = make_eeg_fmri(
        duration=120.0, t_r=2.0, sfreq=500.0, n_channels=12, n_rois=2, lead_in=6.0, random_state=0
    )
    raw, rng = study.raws[0], np.random.default_rng(0)
    times = raw.times
    beats = np.cumsum(rng.normal(1.0, 0.05, 112)) + 1.0
    ecg = sum(np.exp(-(((times - beat) / 0.02) ** 2)) for beat in beats)
    pulse = sum(
        np.sin(8 * np.pi * (times - beat - 0.2)) * np.exp(-(((times - beat - 0.25) / 0.1) ** 2))
        for beat in beats
    )
    template = 2e-3 * rng.standard_normal((12, 1000))
    gradient = np.zeros((12, len(times)))
    for start in np.round(study.volume_times[0] * 500).astype(int):
        part = gradient[:, start : start + 1000]
        part += template[:, : part.shape[1]]
    clean = raw.get_data("eeg").copy()
    head = 60e-6 * rng.standard_normal((12, 1)) * pulse
    raw.apply_function(lambda eeg: eeg + gradient + head, picks="eeg", channel_wise=False)
    extra = np.stack([1e-3 * ecg, 1e-4 * pulse, 1e-4 * np.gradient(pulse) * 20])
    extra += 1e-6 * rng.standard_normal(extra.shape)
    info = mne.create_info(["ECG", "CWL1", "CWL2"], 500.0, ["ecg", "misc", "misc"])
    raw.add_channels([mne.io.RawArray(extra, info)], force_update_info=True)
    return raw, mne.io.RawArray(clean, mne.pick_info(raw.info, range(12))), study


def test_the_page_on_cleaning_removes_what_was_put_in():
    raw, truth, study = in_the_scanner()
    motion = np.random.default_rng(1).standard_normal((len(study.bolds[0]), 6))
    with mne.use_log_level("error"):
        names = run_page("cleaning.rst", {"raw": raw, "bold": study.bolds[0], "motion": motion})
        clean = names["clean"].copy().pick(truth.ch_names)
        error = (
            clean.filter(1.0, 45.0).get_data() - truth.filter(1.0, 45.0).resample(250).get_data()
        )
    inside = slice(8 * 250, -4 * 250)
    assert error[:, inside].std() < 0.4 * truth.get_data()[:, inside].std()
    assert list(names["X"].nuisance[0]) == list(range(6))
    plt.close("all")


def test_the_page_on_alignment_repairs_lost_triggers():
    study = make_eeg_fmri(n_runs=2, duration=90.0, n_channels=4, n_rois=2, random_state=0)
    raw, raw_2 = study.raws
    bold, bold_2 = study.bolds
    lost = raw.copy()
    lost.annotations.delete([5, 6, 20])
    names = {"raw": lost, "bold": bold, "t_r": study.t_r, "raw_2": raw_2, "bold_2": bold_2}
    page = (PAGES / "alignment.rst").read_text()
    repair = BLOCK.search(page)["code"]
    exec(dedent(repair), names)
    np.testing.assert_allclose(names["volume_times"], study.volume_times[0], atol=0.005)
    # The last block reads the triggers of both runs, which have to be whole.
    names = run_page("alignment.rst", {**names, "raw": raw})
    assert set(names["X"].subjects) == {"A", "B"}


def small_study():
    study = make_eeg_fmri(duration=200.0, n_channels=8, n_rois=2, random_state=0)
    X, y = align(study.raws, study.bolds, trigger="mri", tmin=-20.0, tmax=0.0, verbose="error")
    return EEGFilter(1, 45, sfreq=100).fit_transform(X), y


def test_the_page_on_interpretation_reads_a_fitted_model():
    X, y = small_study()
    model = Pipeline([("window", Windower(16.0)), ("beira", BEIRARegressor(verbose=False))])
    names = run_page("interpretation.rst", {"model": model.fit(X, y), "X": X, "y": y})
    assert names["branches"].patterns.shape[1] == 8


def test_the_page_on_clusters_keeps_results_and_gives_the_same_table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the page keeps results in a folder
    X, y = small_study()
    model = make_band_power_ridge()
    names = {"X": X, "y": y, "model": model, "models": {"mine": model}, "__name__": "__main__"}
    run_page("clusters.rst", names)
    assert names["search"].best_params_["window__duration"] in (12.0, 16.0)
    assert list((tmp_path / "results").iterdir())
    expected = compare(names["models"], X, y, null=None, verbose=False)
    np.testing.assert_allclose(names["comparison"].table["r"], expected.table["r"], rtol=1e-6)


def test_the_page_on_saving_gives_the_model_back(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = run_page("saving.rst", {})
    expected = names["model"].predict(names["X"][:1])
    np.testing.assert_allclose(names["bold"].numpy(force=True), expected, rtol=1e-4)


def test_the_page_on_networks_trains_and_predicts():
    names = run_page("your_own_network.rst", {"__name__": "guide"})
    assert names["r"] > 0.2


def test_the_page_on_people_predicts_people(tmp_path, monkeypatch, make_study):
    monkeypatch.chdir(tmp_path)
    study = make_study(n_runs=4, duration=480.0, n_channels=4)
    X, y = align(
        study.raws, study.bolds, trigger="mri", tmin=-8, tmax=0, subjects=[*"ABCD"], verbose="error"
    )
    pipeline = make_band_power_ridge(8.0)
    old, new = X.subjects != "D", np.flatnonzero(X.subjects == "D")
    save_model(clone(pipeline).fit(X[old], y[old]), "others.safetensors")
    names = {"pipeline": pipeline, "X": X[old], "y": y[old], "X_new": X[new]}
    names |= {"X_first": X[new[:60]], "y_first": y.iloc[new[:60]], "X_later": X[new[70:]]}
    names = run_page("people.rst", names)
    assert set(names["curve"]["model"]) == {"others", "own", "calibrated"}
    plt.close("all")


def test_the_page_on_live_predictions_predicts_piece_by_piece(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # A log on another clock, and BOLD that is half of what was predicted.
    clock, rng = 5000.0 + np.arange(20.0, 320.0, 0.5), np.random.default_rng(0)
    log = pd.DataFrame({"time_s": clock, "A": np.sin(clock / 5), "B": np.cos(clock / 9)})
    log.to_csv("session.tsv", sep="\t", index=False)
    volumes = 5000.0 + np.arange(0.3, 330.0, 2.0)
    truth = np.column_stack([np.sin(volumes / 5), np.cos(volumes / 9)]) / np.sqrt(0.5)
    measured = pd.DataFrame(truth + rng.standard_normal(truth.shape), columns=["A", "B"])
    names = run_page("realtime.rst", {"volumes": volumes, "measured": measured})
    assert names["time"] == 118.0
    assert names["bold"].shape == (2,)
    assert names["inside"].sum() == 150
    rows = names["inside"]
    r = [np.corrcoef(truth[rows, k], measured[name][rows])[0, 1] for k, name in enumerate("AB")]
    found = pearson_r(measured[rows], names["predicted"], multioutput="raw_values")
    np.testing.assert_allclose(found, r, atol=1e-3)


def test_the_page_on_maps_makes_a_map(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = make_eeg_fmri(
        duration=200.0, n_channels=4, n_rois=1, sfreq=100.0, return_img=True, random_state=0
    )
    study.raws[0].save("run-1_raw.fif", verbose="error")
    study.bold_imgs[0].to_filename("run-1_bold.nii.gz")
    with mne.use_log_level("error"):
        names = run_page("maps.rst", {})
    assert (tmp_path / "map.html").stat().st_size > 100_000
    found = BrainMap.from_folder(tmp_path / "map")
    assert len(found.voxels) == len(names["brain_map"].voxels)
    plt.close("all")


def test_the_first_code_of_the_readme_runs():
    text = (PAGES.parents[1] / "README.md").read_text()
    code = re.search(r"^```python\n(.*?)^```", text, re.M | re.S)[1]
    assert "duration=600" in code
    namespace = {}
    exec(compile(code.replace("duration=600", "duration=200"), "README.md", "exec"), namespace)
    assert set(namespace["comparison"].table["model"]) == {"BEIRA", "ridge"}


def test_getting_started_goes_from_a_recording_to_a_report(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = BLOCK.finditer((PAGES.parent / "getting_started.rst").read_text())
    codes = [dedent(block["code"]) for block in blocks if ":force:" not in block["options"]]
    assert "make_eeg_fmri" in codes[-1]  # the data of those who have none
    namespace = {}
    for code in [codes[-1].replace("duration=400.0", "duration=200.0"), *codes[:-1]]:
        exec(
            compile(code.replace("Response/R128", "mri"), "getting_started.rst", "exec"), namespace
        )
    assert (tmp_path / "report.html").stat().st_size > 100_000
    assert {"comparison", "beira.safetensors"} <= {path.name for path in tmp_path.iterdir()}
