"""Nuisance signals, and what EEG predicts beyond them."""

import json
import re
import warnings

import matplotlib.pyplot as plt
import mne
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline

from sklearn_beira import (
    BEIRARegressor,
    BlockedKFold,
    Compact,
    Comparison,
    EEGFilter,
    EEGWindows,
    NuisanceRidge,
    Windower,
    align,
    channel_nuisance,
    compare,
    loud_eeg,
    make_band_power_ridge,
    make_eeg_fmri,
    make_nuisance_ridge,
    make_report,
    make_time_polynomial,
    physio_confounds,
    plot_comparison,
    read_branches,
)
from sklearn_beira.alignment.nuisance import read_nuisance
from sklearn_beira.bold.confounds import read_confounds
from sklearn_beira.bold.tables import MOTION

MODEL = make_pipeline(EEGFilter(1, 45, sfreq=100), make_band_power_ridge(16.0))
QUIET = {"cv": BlockedKFold(4), "n_surrogates": 199, "verbose": False}


@pytest.fixture(autouse=True)
def no_open_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def moved(make_study):
    """The first region follows a source; bursts of noise in the EEG change the second."""
    study = make_study(
        duration=500.0, n_channels=12, lead_in=17.0, weights=[[1, 0, 0], [0, 0, 0]], n_sources=3,
        sfreq=100.0,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    raw = study.raws[0].copy()
    bursts = np.zeros(raw.n_times)
    for start in rng.choice(raw.n_times - 200, 25, replace=False):
        bursts[start : start + 100] += rng.exponential()
    raw._data += 4 * raw._data.std() * bursts * rng.standard_normal(raw._data.shape)
    times = study.volume_times[0]
    at = np.interp(times, raw.times + 1.0, np.convolve(bursts, np.ones(300) / 300)[: raw.n_times])
    bold = study.bolds[0].copy()
    bold.iloc[:, 1] = bold.iloc[:, 1] / bold.iloc[:, 1].std() + 1.5 * at / at.std()
    motion = pd.DataFrame({"motion": at})
    X, y = align(
        [raw], [bold], trigger="mri", tmin=-16.0, nuisance=[motion], verbose="error"
    )  # fmt: skip
    return X, y, motion, raw, bold


@pytest.fixture(scope="module")
def comparison(moved):
    return compare({"ridge": MODEL}, *moved[:2], **QUIET)


def test_a_coupling_is_told_from_a_common_cause(comparison):
    assert list(comparison.verdict()) == ["brain", "shared"]
    assert list(comparison.predictions) == ["ridge", "nuisance"]
    summary = comparison.summary()
    assert list(summary["verdict"]) == ["brain", "shared", ""]
    beyond = comparison.beyond.table.query("scope == 'pooled'").set_index("region")["r"]
    assert [f"{r:z.2f}" for r in beyond] == [text[:-1] for text in summary["beyond"][:-1]]


def test_loud_eeg_stands_in_for_movement_that_was_not_recorded(moved):
    X, y, motion = moved[:3]
    loud = loud_eeg(X)
    assert np.corrcoef(loud.sum(axis=1), motion["motion"][-len(X) :])[0, 1] > 0.4
    found = compare({"ridge": MODEL}, X, y, nuisance=loud, **QUIET)
    assert list(found.verdict()) == ["brain", "shared"]


def test_noise_as_nuisance_changes_nothing(moved):
    X, y = moved[:2]
    noise = pd.DataFrame(np.random.default_rng(1).standard_normal((len(X), 2)))
    found = compare({"ridge": MODEL}, X, y[["Left Caudate"]], nuisance=noise, null=None, **{
        key: value for key, value in QUIET.items() if key != "n_surrogates"
    })  # fmt: skip
    plain, beyond = (
        one.table.query("scope == 'pooled'")["r"].iloc[0] for one in (found, found.beyond)
    )
    assert beyond == pytest.approx(plain, abs=0.03)
    assert "beyond" in found.summary()
    with pytest.raises(ValueError, match="a verdict needs nuisance signals and a null"):
        found.verdict()


def test_many_columns_of_noise_explain_next_to_nothing(make_study):
    study = make_study(duration=300.0, n_channels=12, lead_in=17.0, sfreq=100.0)
    X, y = align(study.raws, study.bolds, trigger="mri", tmin=-16.0, verbose="error")
    noise = pd.DataFrame(np.random.default_rng(0).standard_normal((len(X), 14)))
    options = {"nuisance": noise, "cv": BlockedKFold(4), "null": None, "verbose": False}
    found = compare({"ridge": MODEL}, X, y, **options)
    r, beyond = (
        one.table.query("scope == 'pooled' and model == 'ridge'")["r"].to_numpy()
        for one in (found, found.beyond)
    )
    assert r.mean() > 0.4
    assert (beyond - r).mean() == pytest.approx(0.0, abs=0.02)
    X = X.with_nuisance(noise)
    explained = make_nuisance_ridge().fit(X, y).predict(X).var(axis=0) / y.to_numpy().var(axis=0)
    assert explained.mean() < 0.01


@pytest.mark.slow
def test_noise_as_nuisance_does_not_cost_the_default_model_anything():
    model = make_pipeline(
        EEGFilter(1, 45, sfreq=100), Windower(20.0), BEIRARegressor(verbose=False)
    )
    differences = []
    for seed in range(3):
        study = make_eeg_fmri(
            duration=300.0, n_channels=16, n_rois=4, lead_in=21.0, sfreq=100.0, random_state=seed
        )
        X, y = align(study.raws, study.bolds, trigger="mri", tmin=-20.0, verbose="error")
        noise = pd.DataFrame(np.random.default_rng(seed).standard_normal((len(X), 14)))
        options = {"nuisance": noise, "cv": BlockedKFold(4), "null": None, "verbose": False}
        found = compare({"beira": model}, X, y, **options)
        whole, beyond = (
            one.table.query("scope == 'pooled' and model == 'beira'")["r"]
            for one in (found, found.beyond)
        )
        assert whole.mean() > 0.6
        differences += list(beyond.to_numpy() - whole.to_numpy())
    assert np.mean(differences) == pytest.approx(0.0, abs=0.02)


def test_r_beyond_is_that_of_bold_without_the_nuisance(moved, comparison):
    X, y = moved[:2]
    measured, predicted = np.full(y.shape, np.nan), np.full(y.shape, np.nan)
    for train, test in QUIET["cv"].split(X):
        nuisance = make_nuisance_ridge().fit(X[train], y.iloc[train])
        measured[test] = y.iloc[test] - nuisance.predict(X[test])
        left = y.iloc[train] - nuisance.predict(X[train])
        predicted[test] = MODEL.fit(X[train], left.to_numpy()).predict(X[test])
    np.testing.assert_allclose(comparison.beyond.bold, measured)
    np.testing.assert_allclose(comparison.beyond.predictions["ridge"], predicted, rtol=1e-6)


def test_the_nuisance_model_is_fitted_once_in_each_fold(moved, monkeypatch):
    X, y = moved[:2]
    fits = []
    fit = NuisanceRidge._fit
    monkeypatch.setattr(NuisanceRidge, "_fit", lambda *args: fits.append(fit(*args)))
    compare({"ridge": MODEL, "again": MODEL}, X, y, cv=BlockedKFold(4), null=None, verbose=False)
    assert len(fits) == 4


def test_p_beyond_is_of_fixed_predictions_whatever_is_asked_for(moved):
    X, y = moved[:2]
    options = {"cv": BlockedKFold(4), "n_surrogates": 19, "random_state": 0, "verbose": False}
    refit, fixed = (compare({"ridge": MODEL}, X, y, refit=r, **options) for r in (True, False))
    assert (refit.settings["refit"], refit.beyond.settings["refit"]) == (True, False)
    assert list(refit.verdict()) == ["brain", "shared"]
    columns = ["r", "p", "p_max", "null_high"]
    pd.testing.assert_frame_equal(refit.beyond.table[columns], fixed.beyond.table[columns])
    rows = [one.table.query("scope == 'pooled' and model == 'nuisance'") for one in (refit, fixed)]
    pd.testing.assert_series_equal(rows[0]["p"], rows[1]["p"])
    rows = [one.table.query("scope == 'pooled' and model == 'ridge'") for one in (refit, fixed)]
    assert not rows[0]["null_high"].equals(rows[1]["null_high"])


def test_folds_that_are_too_close_for_fixed_predictions_give_no_p_beyond(moved):
    X, y = moved[:2]
    options = {"cv": KFold(4, shuffle=True, random_state=0), "refit": True, "n_surrogates": 3}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = compare({"ridge": MODEL}, X, y, verbose=False, **options)
    assert found.beyond.table["p"].isna().all()
    (told,) = (text for text in found.warnings if text.startswith("beyond nuisance: there is no p"))
    assert "mix training and test volumes in time" in told
    assert "verdict" not in found.summary()
    with pytest.raises(ValueError, match="a null distribution beyond them"):
        found.verdict()


@pytest.fixture(scope="module")
def branched(moved):
    """BEIRA in the region that movement drives, with its fits in folds, and a signal of noise."""
    X, y = moved[0], moved[1].iloc[:, [1]]
    noise = np.random.default_rng(4).standard_normal(len(moved[2]))
    X = X.with_nuisance([X.nuisance[0].assign(noise=noise)])
    model = make_pipeline(
        MODEL[0], Windower(16.0), BEIRARegressor(Compact(n_branches=3), verbose=False)
    )
    cv = BlockedKFold(3)
    found = compare(
        model, X.with_nuisance(None), y, cv=cv, null=None, return_estimator=True, verbose=False
    )
    options = {"cv": cv, "estimators": found.estimators["Pipeline"]}
    whole = read_branches(model.fit(X, y), X.with_nuisance(None), y, **options)
    return model, X, y, options, whole


@pytest.mark.parametrize("signals", [None, ["motion"], ["noise"]])
def test_branches_are_tested_beyond_the_nuisance_as_models_are(branched, signals):
    model, X, y, options, whole = branched
    nuisance_model = make_nuisance_ridge(signals)
    beyond = read_branches(model, X, y, nuisance_model=nuisance_model, **options)
    models = {"ridge": MODEL, "nuisance": nuisance_model}
    verdict = compare(models, X, y, **QUIET | {"cv": options["cv"]}).verdict().item()
    np.testing.assert_array_equal(whole.stability, beyond.stability)
    assert whole.p_region[0] < 0.001
    if signals == ["noise"]:  # knows nothing of the movement
        assert beyond.p_region[0] < 0.001
        assert verdict == "brain"
        return
    assert beyond.p_region[0] > 0.05
    assert not beyond.supported.any()
    assert verdict == "shared"
    if signals is None:
        usual = read_branches(model, X, y, **options)
        np.testing.assert_array_equal(usual.p_held_out, beyond.p_held_out)


def test_the_schedule_is_a_model_of_some_of_the_signals(moved):
    X, y, motion = moved[:3]
    noise = np.random.default_rng(3).standard_normal(len(motion))
    X = X.with_nuisance([X.nuisance[0].assign(task=noise)])
    models = {"schedule": make_nuisance_ridge(["task"]), "motion": make_nuisance_ridge(["motion"])}
    found = compare(models, X, y, cv=BlockedKFold(4), null=None, verbose=False)
    r = found.table.query("scope == 'pooled'").pivot(index="model", columns="region", values="r")
    assert r.loc["motion", y.columns[1]] > 0.5
    assert abs(r.loc["schedule", y.columns[1]]) < 0.2
    with pytest.raises(ValueError, match="no nuisance signals work"):
        make_nuisance_ridge(["work"]).fit(X, y)


def test_verdicts_are_of_models_that_read_eeg(moved, comparison):
    X, y = moved[:2]
    models = {"time": make_time_polynomial(), "ridge": MODEL}
    found = compare(models, X, y, **QUIET)
    assert list(found.beyond.predictions) == ["ridge"]
    pd.testing.assert_series_equal(found.verdict(), comparison.verdict())
    with pytest.raises(ValueError, match="no verdict on 'time', but on ridge"):
        found.verdict(model="time")
    assert "verdict" not in found.summary()
    assert "verdict" in found.summary(model="ridge")
    for one, told in ((found, False), (comparison, True)):
        page = make_report(one, X, drawn=[]).html
        assert any("Brain (r beyond nuisance)" in part for part in page) == told


def test_events_of_bids_are_a_schedule(moved, tmp_path):
    raw, bold = moved[3:]
    path = tmp_path / "sub-01_task-rest_events.tsv"
    path.write_text("onset\tduration\ttrial_type\n10\t20\tleft\n40\tn/a\tright\n60.1\t5\tleft\n")
    X, _ = align(raw, bold, trigger="mri", tmin=-16.0, nuisance=path, verbose="error")
    table = X.nuisance[0]
    assert list(table) == ["left", "right"]
    first = raw.annotations.onset[raw.annotations.description == "mri"][0]
    on = table.index[table["left"] > 0] - first
    assert on[0] == pytest.approx(10.0, abs=0.3)
    assert table["left"].sum() / 4 == pytest.approx(25.0, abs=0.6)
    assert table["right"].sum() / 4 == pytest.approx(0.25, abs=0.3)
    assert (table.iloc[[0, -1]] == 0).all(axis=None)
    path.write_text("onset\tresponse\nn/a\t1\n10\t2\n")  # the fewest columns, and a missed event
    table = align(raw, bold, trigger="mri", nuisance=path, verbose="error")[0].nuisance[0]
    assert 0 < table["task"].sum() <= 2
    for text in ("onset\tduration\n", "duration\n2\n"):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"no events with an onset|it has no rows"):
            align(raw, bold, trigger="mri", nuisance=path, verbose="error")


@pytest.mark.parametrize("factor", [1e3, 1e12, -1e3])
def test_events_in_other_units_are_refused(moved, tmp_path, factor):
    raw, bold = moved[3:]
    path = tmp_path / "sub-01_task-rest_events.tsv"
    onsets = "\n".join(f"{factor * onset}\t1" for onset in range(10, 100, 10))
    path.write_text(f"onset\tduration\n{onsets}\n")
    with pytest.raises(ValueError, match=r"9 events, of which 0 are within .* give onsets in s"):
        align(raw, bold, trigger="mri", nuisance=path, verbose="error")
    path.write_text(f"onset\tduration\n10\t1\n{1e12}\t1\n20\t{1e12}\n")
    table = align(raw, bold, trigger="mri", nuisance=path, verbose="error")[0].nuisance[0]
    assert len(table) < 4 * 4 * raw.times[-1]


@pytest.mark.parametrize("sep", [",", ";", "\t"])
def test_the_index_that_pandas_wrote_is_no_signal(moved, tmp_path, sep):
    raw, bold = moved[3:]
    table = pd.DataFrame(
        np.random.default_rng(0).standard_normal((len(bold), 2)), columns=["x", "y"]
    )
    table.to_csv(tmp_path / "motion.csv", sep=sep)
    for nuisance in (tmp_path / "motion.csv", table.rename_axis("volume").reset_index()):
        with pytest.warns(UserWarning, match="left out of the table: (Unnamed: 0|volume); drop"):
            X, _ = align(raw, bold, trigger="mri", nuisance=nuisance, verbose="error")
        np.testing.assert_allclose(X.nuisance[0], table)


@pytest.mark.parametrize("name", ["time", "Onset (ms)", "index", "volume"])
def test_columns_are_signals_unless_their_numbers_rise(name):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({name: rng.standard_normal(50), "x": rng.standard_normal(50)})
    bold = np.zeros((50, 1))
    assert list(read_nuisance(table)) == [name, "x"]
    assert read_confounds(table, None, False, len(bold), False)[0].shape == (50, 2)
    table[name] = 2.0 + 0.5 * np.arange(50)
    for read in (read_nuisance, lambda one: read_confounds(one, None, False, len(bold), False)[0]):
        with pytest.warns(UserWarning, match=f"left out of the table: {re.escape(name)}; drop"):
            found = read(table)
        np.testing.assert_array_equal(found, table[["x"]])
    asked = read_confounds(table, name, False, len(bold), False)[0]  # by name
    np.testing.assert_array_equal(asked[:, 0], table[name])


@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_signals_stay_in_time_where_volumes_were_left_out(moved, tmp_path, offset):
    raw, bold = moved[3:]
    path = tmp_path / "sub-01_task-rest_events.tsv"
    path.write_text("onset\tduration\ttrial_type\n40\t20\tA\n")
    whole = pd.DataFrame(np.asarray(bold))
    scrubbed = whole[whole.index % 4 > 0]
    options = {"trigger": "mri", "slice_time_ref": offset, "verbose": "error"}
    X, _ = align(raw, whole, nuisance=path, **options)
    part, _ = align(raw, scrubbed, nuisance=path, **options)
    np.testing.assert_allclose(part.nuisance[0].index, X.nuisance[0].index, atol=0.01)
    start = raw.annotations.onset[raw.annotations.description == "mri"][0]
    signal = X.nuisance[0]["A"]
    assert signal.index[signal > 0][0] == pytest.approx(start + 40, abs=0.3)
    table = pd.DataFrame({"row": np.arange(len(whole))})
    part, _ = align(raw, scrubbed, nuisance=table, **options)
    assert part.nuisance[0]["row"].tolist() == scrubbed.index.tolist()


def test_the_oracle_sees_past_bold_and_has_no_p(moved):
    X, y = moved[:2]
    found = compare({"ridge": MODEL}, X, y, oracle=True, **QUIET)
    name = "past BOLD (oracle)"
    assert list(found.predictions) == ["ridge", "nuisance", name]
    train, test = next(QUIET["cv"].split(X))
    lags = np.column_stack([y.iloc[:, 0].shift(k) for k in range(1, 5)])
    train = train[np.isfinite(lags[train]).all(axis=1)]
    inside = test[np.isfinite(lags[test]).all(axis=1)]
    expected = LinearRegression().fit(lags[train], y.iloc[train, 0]).predict(lags[inside])
    predicted = found.predictions[name].iloc[inside, 0]
    np.testing.assert_allclose(predicted, expected, rtol=1e-6)
    rows = found.table.query("scope == 'pooled'").set_index("model").loc[[name]]
    assert (rows["r"] > 0.4).all()
    assert rows["p"].isna().all()
    assert name not in found.beyond.predictions
    assert name in found.summary()


def test_what_was_found_beyond_is_kept_in_a_folder(comparison, tmp_path):
    comparison.to_folder(tmp_path)
    again = Comparison.from_folder(tmp_path)
    pd.testing.assert_frame_equal(again.beyond.table, comparison.beyond.table)
    assert list(again.verdict()) == ["brain", "shared"]


def test_the_figure_has_a_diamond_beyond_each_model(comparison):
    fig = plot_comparison(comparison)
    beyond = comparison.beyond.table.query("scope == 'pooled'")
    for ax, row in zip(fig.axes, beyond.itertuples(), strict=False):
        diamonds = [line for line in ax.lines if line.get_marker() == "D" and len(line.get_xdata())]
        (diamond,) = diamonds
        np.testing.assert_allclose(diamond.get_xdata(), row.r)
        assert (diamond.get_markerfacecolor() == "white") == (row.p_max > 0.05)


def test_one_cause_among_many_columns_is_not_lost(moved):
    X, y, motion = moved[:3]
    noise = np.random.default_rng(2).standard_normal((len(X), 13))
    table = pd.DataFrame(np.column_stack([motion[-len(X) :], noise]))
    found = compare({"ridge": MODEL}, X, y, nuisance=table, **QUIET)
    assert list(found.verdict()) == ["brain", "shared"]


def test_a_cache_knows_the_nuisance_signals(moved, tmp_path):
    X, y = moved[:2]
    noise = pd.DataFrame(np.random.default_rng(1).standard_normal((len(X), 2)))
    options = {"cv": BlockedKFold(4), "null": None, "verbose": False, "cache": tmp_path}
    model = make_nuisance_ridge()
    first = compare({"nuisance": model}, X, y, nuisance=noise, **options)
    second = compare({"nuisance": model}, X, y, nuisance=y.reset_index(drop=True), **options)
    r = [one.table.query("scope == 'pooled'")["r"].mean() for one in (first, second)]
    assert r[0] < 0.3
    assert r[1] > 0.9
    assert "beyond" not in second.summary()


def test_signals_stay_with_their_volumes():
    eeg = np.random.default_rng(0).standard_normal((6, 2, 50))
    times, groups = [0.0, 2, 4, 0, 2, 4], [*"aaabbb"]
    X = EEGWindows.from_array(eeg, 100.0, times=times, groups=groups)
    X = X.with_nuisance(pd.DataFrame({"a": [1.0, 2, 3, 30, 20, 10]}))
    y, model = np.arange(6.0), NuisanceRidge(lags=(0.0, 2.0))
    found = model.fit(X, y)._features(X)
    one = np.sqrt(1.5)
    np.testing.assert_allclose(found[:, 0], [-one, 0, one, one, 0, -one])
    np.testing.assert_allclose(found[:, 1], [-one, -one, 0, one, one, 0])
    # The volume before a row counts, also where a fold leaves it out.
    np.testing.assert_allclose(model._features(X[[2, 4]])[:, 1], [0, one])
    assert X[[1]].with_nuisance(None).nuisance is None


def test_motion_that_is_not_known_has_no_displacement(tmp_path):
    motion = pd.DataFrame(np.ones((6, 6)), columns=MOTION)
    motion.loc[3, "trans_x"] = np.nan
    motion.to_csv(tmp_path / "motion.tsv", sep="\t", na_rep="n/a", index=False)
    found = read_nuisance(tmp_path / "motion.tsv")
    known = found["framewise_displacement"].notna().tolist()
    assert known == [True, True, True, False, False, True]


def test_tables_of_packages_and_channels_are_read(moved, tmp_path, make_study):
    *_, raw, bold = moved
    n = len(bold)
    rng = np.random.default_rng(0)
    np.savetxt(tmp_path / "rp_run1.txt", rng.standard_normal((n, 6)))
    options = {"trigger": "mri", "tmin": -16.0, "verbose": "error"}
    X, _ = align(raw, bold, nuisance=str(tmp_path / "rp_run1.txt"), **options)
    found = X.nuisance[0]
    assert list(found.columns)[:2] == ["trans_x", "trans_y"]
    change = found[["trans_x", "trans_y", "trans_z"]].diff().abs().sum(axis=1)
    change += 50 * found[["rot_x", "rot_y", "rot_z"]].diff().abs().sum(axis=1)
    np.testing.assert_allclose(found["framewise_displacement"][1:], change[1:])
    names = [f"{part}_{axis}" for part in ("trans", "rot") for axis in "xyz"]
    columns = [*names, *(f"{name}_derivative1" for name in names), "framewise_displacement"]
    columns += [*(f"a_comp_cor_{k:02}" for k in range(10)), "global_signal"]
    table = pd.DataFrame(rng.standard_normal((n, len(columns))), columns=columns)
    table.loc[0, "framewise_displacement"] = np.nan
    table.to_csv(tmp_path / "confounds.tsv", sep="\t", index=False, na_rep="n/a")
    X, _ = align([raw], [bold], nuisance=[str(tmp_path / "confounds.tsv")], **options)
    assert list(X.nuisance[0].columns) == columns[:13]
    for one in (tmp_path / "confounds.tsv", [tmp_path / "confounds.tsv"], [table]):
        same = align(raw, bold, nuisance=one, **options)[0].nuisance[0]
        np.testing.assert_allclose(same, X.nuisance[0])
    with pytest.raises(ValueError, match=rf"has {n - 1} rows, but recording 0 has {n} volumes"):
        align(raw, bold, nuisance=table[1:], **options)
    with pytest.raises(ValueError, match=r"\['ECG'\] is neither a file nor a channel"):
        align(raw, bold, nuisance=["ECG"], **options)


def test_heart_rate_and_breathing_come_from_channels():
    sfreq, seconds = 200.0, 240
    t = np.arange(int(sfreq * seconds)) / sfreq
    rate = 66 + 8 * np.sin(2 * np.pi * t / 60)  # beats per minute
    beats = np.searchsorted(
        np.cumsum(rate / 60) / sfreq, np.arange(1, int(rate.mean() / 60 * seconds))
    )
    ecg = np.zeros(len(t))
    ecg[beats[beats < len(t)]] = 1e-3
    ecg = np.convolve(ecg, np.hanning(12), mode="same")
    depth = 1 + 0.5 * np.sin(2 * np.pi * t / 80)
    info = mne.create_info(["ECG", "Resp"], sfreq, ["ecg", "resp"])
    raw = mne.io.RawArray([ecg, depth * np.sin(2 * np.pi * t / 4)], info, verbose="error")
    table = channel_nuisance(raw, ["ECG", "Resp"])
    inside = slice(40, -40)
    expected = np.interp(table.index, t, rate)
    error = table["heart rate of ECG"].to_numpy() - expected
    assert np.abs(error[inside]).max() < 2
    r = np.corrcoef(
        table["respiration of Resp"].iloc[inside], np.interp(table.index, t, depth)[inside]
    )
    assert r[0, 1] > 0.95
    raw.set_channel_types(dict.fromkeys(raw.ch_names, "eeg"), on_unit_change="ignore")
    pd.testing.assert_frame_equal(channel_nuisance(raw, ["ECG", "Resp"]), table)  # by their names


@pytest.mark.parametrize(
    ("nuisance", "message"),
    [
        (pd.DataFrame({"a": [1.0, np.nan, 1, 2]}), "hold NaN or infinity"),
        ([pd.DataFrame({"a": [1.0, 2]}, index=[2.0, 2.0])], "rising times"),
        ([pd.DataFrame({"a": []}, index=[])], "at least one column"),
        ([], "there are 0 tables"),
        (pd.DataFrame(np.ones((4, 2)), columns=["a", "a"]), "have the same name"),
    ],
)
def test_signals_that_cannot_be_used_are_refused(nuisance, message):
    eeg = np.random.default_rng(0).standard_normal((4, 2, 50))
    with pytest.raises(ValueError, match="need the times of the volumes"):
        EEGWindows.from_array(eeg, 100.0).with_nuisance(nuisance)
    X = EEGWindows.from_array(eeg, 100.0, times=[0.0, 2, 4, 6])
    assert X.with_nuisance(np.arange(8.0).reshape(4, 2)).nuisance[0][1].tolist() == [1, 3, 5, 7]
    with pytest.raises(ValueError, match=message):
        X.with_nuisance(nuisance)
    with pytest.raises(ValueError, match="X has no nuisance signals"):
        NuisanceRidge().fit(X, np.arange(4.0))
    with pytest.raises(TypeError, match="nuisance needs EEGWindows, got ndarray"):
        compare(MODEL, eeg, np.zeros(4), nuisance=nuisance)


@pytest.fixture(scope="module")
def physio(tmp_path_factory):
    """A file of BIDS with pulse waves and breathing, and what they follow: (path, rate, depth)."""
    sfreq, times = 62.5, np.arange(0, 300, 1 / 62.5)
    rate = 65 + 8 * np.sin(2 * np.pi * times / 90)
    turns = np.cumsum(rate / 60) / sfreq
    depth = 1 + 0.5 * np.sin(2 * np.pi * times / 60)
    waves = np.exp(-(((turns % 1 - 0.25) / 0.1) ** 2)) + 0.3 * np.exp(
        -(((turns % 1 - 0.6) / 0.1) ** 2)
    )
    breath = 10 + depth * np.sin(2 * np.pi * 0.21 * times)
    path = tmp_path_factory.mktemp("bids") / "func" / "sub-01_task-rest_physio.tsv.gz"
    path.parent.mkdir()
    noise = 0.02 * np.random.default_rng(0).standard_normal(len(times))
    table = pd.DataFrame({"cardiac": waves + noise, "trigger": 0.0, "respiratory": breath})
    table.to_csv(path, sep="\t", header=False, index=False)
    facts = {"SamplingFrequency": sfreq, "StartTime": -20.0, "Columns": list(table)}
    (path.parent / "sub-01_task-rest_physio.json").write_text(json.dumps(facts))
    return path, (times - 20, rate), (times - 20, depth)


def test_heart_beat_and_breathing_are_read_on_the_clock_of_the_volumes(physio, make_raw):
    path, rate, depth = physio
    raw, onsets = make_raw(duration=260.0), 7.0 + 2.0 * np.arange(120)
    X = align(raw, volume_times=onsets, nuisance=path, tmin=-4.0, verbose="error")
    table = X.nuisance[0]
    inside = table[(table.index > 10) & (table.index < 230)]
    truth = np.interp(inside.index - 7.0, *rate)
    np.testing.assert_allclose(inside["heart rate"], truth, atol=1.5)
    assert np.corrcoef(inside["respiration"], np.interp(inside.index - 7.0, *depth))[0, 1] > 0.95


def test_phases_of_heart_and_breathing_are_confounds_of_bold(physio, make_raw):
    path, (times, rate), _ = physio
    volumes = 2.0 * np.arange(120) + 1.0
    table = physio_confounds(path, volumes)
    assert table.shape == (120, 10)
    phase = 2 * np.pi * np.interp(volumes, times, np.cumsum(rate / 60) / 62.5)
    for name, turn in (("cardiac", phase), ("respiratory", 2 * np.pi * 0.21 * (volumes + 20))):
        for k in (1, 2):  # the phase has another start
            waves = np.column_stack([np.cos(k * turn), np.sin(k * turn)])
            known = LinearRegression().fit(waves, table[f"{name} cos {k}"])
            # Breathing is deep and shallow, and only deep breaths have all phases.
            least = 0.9 if name == "cardiac" else 0.5
            assert known.score(waves, table[f"{name} cos {k}"]) > least
    path.with_name("other_physio.tsv.gz").write_bytes(path.read_bytes())
    path.with_name("other_physio.json").write_text(
        json.dumps({"SamplingFrequency": 1, "Columns": ["a", "b", "c"]})
    )
    with pytest.raises(ValueError, match="only 1 of 120 volumes are within; give times in s"):
        physio_confounds(path, 1000 * (volumes - 1))  # in ms
    with pytest.raises(ValueError, match="no cardiac or respiratory"):
        physio_confounds(path.with_name("other_physio.tsv.gz"), volumes)
    facts = {"SamplingFrequency": 0.0625, "Columns": ["cardiac", "trigger", "respiratory"]}  # kHz
    path.with_name("other_physio.json").write_text(json.dumps(facts))
    with pytest.raises(ValueError, match=r"lasts 300000 s, but the recording 2.* s; check"):
        read_nuisance(path.with_name("other_physio.tsv.gz"), make_raw(duration=240.0))


def test_inherited_sidecars_of_heart_beat_are_found_from_a_relative_path(tmp_path, monkeypatch):
    func = tmp_path / "sub-01/func"
    func.mkdir(parents=True)
    (tmp_path / "task-rest_physio.json").write_text(
        json.dumps({"SamplingFrequency": 10, "StartTime": 0, "Columns": ["respiratory"]})
    )
    name = "sub-01_task-rest_physio.tsv.gz"
    breath = pd.DataFrame(np.sin(2 * np.pi * 0.25 * np.arange(0, 130, 0.1)))
    breath.to_csv(func / name, sep="\t", header=False, index=False)
    monkeypatch.chdir(func)
    assert physio_confounds(name, np.arange(60.0)).shape == (60, 5)


@pytest.mark.parametrize(
    ("columns", "values", "message"),
    [
        (["cardiac"], [[1.0, 2.0]] * 500, "it has 2 columns, its sidecar names 1"),
        (["cardiac", "x"], [["n/a", 1.0]] * 500, "has no numbers in cardiac"),
        (["respiratory"], [["off"]] * 500, "has no numbers in respiratory"),
        (None, [[1.0]] * 500, "cannot be read"),
    ],
)
def test_damaged_files_of_heart_beat_and_breathing_are_refused(tmp_path, columns, values, message):
    path = tmp_path / "sub-01_task-rest_physio.tsv.gz"
    pd.DataFrame(values).to_csv(path, sep="\t", header=False, index=False)
    facts = {"SamplingFrequency": 50, "StartTime": None, "Columns": columns}
    path.with_name("sub-01_task-rest_physio.json").write_text(json.dumps(facts))
    with pytest.raises(ValueError, match=message):
        physio_confounds(path, np.arange(5.0))


def test_nuisance_of_more_volumes_than_have_markers_is_refused(make_raw):
    raw, y = make_raw(duration=140.0), pd.DataFrame({"a": np.arange(60.0) % 7})
    raw.set_annotations(mne.Annotations(5 + 2.0 * np.arange(60), 0.0, "mri"))
    window = {"trigger": "mri", "tmin": -4.0, "verbose": "error"}
    for bold in (y, y.drop([20, 30])):
        with pytest.raises(ValueError, match="the nuisance table has 64 rows"):
            align(raw, bold, nuisance=pd.DataFrame({"m": np.arange(64.0)}), **window)
        X, _ = align(raw, bold, nuisance=pd.DataFrame({"m": np.arange(60.0) ** 2}), **window)
        at = np.interp(X.times, X.nuisance[0].index, X.nuisance[0]["m"])
        np.testing.assert_allclose(at, X.volumes**2.0)
    # Where the EEG stopped early, or the last volume was left out, tables of all volumes are taken.
    raw.set_annotations(raw.annotations[:50])
    bold, window["missing"] = y.drop([20, 59]), "end"
    X, _ = align(raw, bold, nuisance=pd.DataFrame({"m": np.arange(60.0) ** 2}), **window)
    at = np.interp(X.times, X.nuisance[0].index, X.nuisance[0]["m"])
    np.testing.assert_allclose(at, X.volumes**2.0)


def test_heart_beat_that_was_not_recorded_during_the_scan_is_refused(physio, make_raw):
    path = physio[0].with_name("late_physio.tsv.gz")
    path.write_bytes(physio[0].read_bytes())
    facts = json.loads(physio[0].with_name("sub-01_task-rest_physio.json").read_text())
    path.with_name("late_physio.json").write_text(json.dumps(facts | {"StartTime": 150.0}))
    raw, onsets = make_raw(duration=260.0), 7.0 + 2.0 * np.arange(120)
    with pytest.raises(ValueError, match=r"from 157 to .* s of recording 0, in 45 of its 120 vol"):
        align(raw, volume_times=onsets, nuisance=path, tmin=-4.0, verbose="error")
