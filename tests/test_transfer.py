"""Models of several people, and their calibration for one of them."""

import matplotlib.pyplot as plt
import mne
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_beira import (
    BEIRARegressor,
    BlockedKFold,
    BlockedRidgeCV,
    CalibratedRegressor,
    EEGFilter,
    EEGWindows,
    LeaveOneSubjectOut,
    SubjectRegressor,
    compare,
    learning_curve_minutes,
    load_model,
    make_band_power_ridge,
    null_test,
    plot_learning_curve,
    save_model,
)
from sklearn_beira._utils.hashing import sketch, was_seen
from sklearn_beira.transfer.people import choose_weights

T_R, N, N_FEATURES = 2.0, 300, 40


def make_people(shared, n_people=6, n=N, seed=0, noise=1.7):
    """Features, BOLD and subjects; a share of the variance of the weights is common to all."""
    rng = np.random.default_rng(seed)
    common, X, y = rng.standard_normal((N_FEATURES, 2)), [], []
    for _ in range(n_people):
        weights = np.sqrt(shared) * common + np.sqrt(1 - shared) * rng.standard_normal(
            (N_FEATURES, 2)
        )
        X.append(rng.standard_normal((n, N_FEATURES)))
        signal = X[-1] @ weights
        y.append(signal / signal.std(axis=0) + noise * rng.standard_normal((n, 2)))
    return (
        np.concatenate(X),
        np.concatenate(y),
        np.repeat([chr(ord("A") + k) for k in range(n_people)], n),
    )


@pytest.fixture(scope="module")
def curves():
    """Mean r over people and regions, by share of common weights, model and minutes."""
    found = {}
    for shared in (0.0, 0.5, 1.0):
        X, y, subjects = make_people(shared)
        curve = learning_curve_minutes(Ridge(30), X, y, (1, 3, 6), subjects=subjects, t_r=T_R)
        found[shared] = curve.groupby(["model", "minutes"])["r"].mean().unstack()
    return found


@pytest.mark.parametrize("shared", [0.0, 0.5, 1.0])
def test_calibration_never_hurts(curves, shared):
    r = curves[shared]
    best = np.maximum(r.loc["others"], r.loc["own"])
    assert (r.loc["calibrated"] >= best - 0.02).all()


def test_calibration_gains_where_couplings_are_half_shared(curves):
    r = curves[0.5]
    assert (r.loc["calibrated"] - r.loc[["others", "own"]].max()).mean() > 0.02
    # The worlds differ as they should: others say nothing, or all.
    assert abs(curves[0.0].loc["others"]).max() < 0.1
    assert curves[1.0].loc["others"].min() > curves[1.0].loc["own"].max()


def test_weights_of_a_person_are_learned_from_the_others_alone():
    X, y, subjects = make_people(0.5, n_people=4)
    options = {"minutes": (2,), "subjects": subjects, "t_r": T_R}
    curve = learning_curve_minutes(Ridge(), X, y, **options)
    mine = subjects == "A"
    y[mine] = np.random.default_rng(1).standard_normal(y[mine].shape)
    again = learning_curve_minutes(Ridge(), X, y, **options)
    columns = ["weight_others", "weight_own"]
    one, other = (c[c["subject"] == "A"][columns] for c in (curve, again))
    pd.testing.assert_frame_equal(one, other)


def test_a_model_of_many_predicts_each_as_the_calibration_by_hand():
    X, y, subjects = make_people(0.5, n_people=4)
    y = 30 * y + 500
    model = SubjectRegressor(Ridge(), weights=(1.0, 0.5), n_splits=4, t_r=T_R)
    model.fit(X, y, subjects=subjects)
    mine = subjects == "B"
    units = {k: (y[subjects == k].mean(0), y[subjects == k].std(0)) for k in "ABCD"}
    z = np.concatenate([(y[subjects == k] - units[k][0]) / units[k][1] for k in "ABCD"])
    others = Ridge().fit(X[~mine], z[~mine])
    p = others.predict(X[mine])
    p = p - p.mean(axis=0)
    rest = Ridge().fit(X[mine], z[mine] - p).predict(X[mine])
    expected = units["B"][0] + units["B"][1] * (p + 0.5 * rest)
    np.testing.assert_allclose(model.predict(X[mine], subjects=subjects[mine]), expected)
    # Who is unknown is predicted by all.
    new = model.predict(X[:5], subjects=["new"] * 5)
    mean, scale = (np.mean([units[k][i] for k in "ABCD"], axis=0) for i in (0, 1))
    np.testing.assert_allclose(new, mean + scale * Ridge().fit(X, z).predict(X[:5]))


def test_a_new_person_is_calibrated_with_the_weights_of_that_length():
    X, y, subjects = make_people(0.5, n_people=5)
    old = subjects != "E"
    model = SubjectRegressor(Ridge(), minutes=(1, 4), t_r=T_R)
    model.fit(X[old], y[old], subjects=subjects[old])
    assert list(model.curve_.index) == [1, 4, 5]  # half of ten minutes is tested
    rows = np.flatnonzero(~old)
    for n, minutes in ((30, 1), (120, 4)):
        person = model.calibrate(X[rows[:n]], y[rows[:n]])
        r = model.curve_.loc[minutes]
        pairs = list(r.index)  # from the others alone to the own data alone
        assert pairs.index(person.weights_) <= pairs.index(r.idxmax())
        assert r.max() - r[person.weights_] < 0.05
        assert person.pretrained is model.group_


def test_weights_that_trust_the_others_are_kept_unless_people_agree_on_better_ones():
    gain = np.array([0.0, 0.01, 0.02, 0.03, 0.02, 0.0, -0.1])
    agreed = 0.3 + np.tile(gain, (3, 1)) + 0.2 * np.arange(3)[:, None]  # some are easy to predict
    assert choose_weights(agreed) == 3
    # The gains of three people are (1 - c), 1 and (1 + c) times as large: a quarter of their
    # standard error is c / sqrt(48) of the mean.
    mixed, doubtful = (agreed + c * np.outer([-1, 0, 1], gain) for c in (6.8, 7.0))
    assert choose_weights(mixed) == 3
    assert choose_weights(doubtful) == 0
    assert choose_weights(np.tile(doubtful, (9, 1))) == 3  # many people
    assert choose_weights(doubtful[2:]) == 3  # a single one


def test_epochs_are_calibrated_before_they_are_loaded(tmp_path):
    rng = np.random.default_rng(0)
    info = mne.create_info(4, 100.0, "eeg")
    eeg = 1e-5 * rng.standard_normal((40, 4, 800))
    epochs = mne.EpochsArray(eeg, info, tmin=-8.0, verbose="error")
    epochs.save(tmp_path / "x-epo.fif", verbose="error")
    epochs = mne.read_epochs(tmp_path / "x-epo.fif", preload=False, verbose="error")
    y = rng.standard_normal((40, 2))
    model = make_band_power_ridge(8.0).fit(epochs, y)
    assert CalibratedRegressor(model).fit(epochs.copy(), y).predict(epochs).shape == (40, 2)


def test_calibration_by_blocks_takes_the_own_data_if_the_others_are_wrong():
    X, y, subjects = make_people(0.0, n_people=2, n=600, noise=0.5)
    mine = subjects == "B"
    others = Ridge().fit(X[~mine], y[~mine])
    model = CalibratedRegressor(others).fit(X[mine], y[mine])
    assert model.weights_[1] == 1.0
    same = CalibratedRegressor(Ridge().fit(X[mine], y[mine])).fit(X[mine], y[mine])
    assert same.weights_ == (1.0, 0.0)


def test_own_data_without_coupling_leave_the_others_as_they_are():
    kept = 0
    X, y, _ = make_people(1.0, n_people=21, n=60)
    others = Ridge().fit(X[:60], y[:60])
    for k in range(1, 21):
        mine = slice(60 * k, 60 * (k + 1))
        rest = y[mine] - others.predict(X[mine])
        y_own = others.predict(X[mine]) + np.random.default_rng(k).permutation(rest)
        kept += CalibratedRegressor(others).fit(X[mine], y_own).weights_ == (1.0, 0.0)
    assert kept >= 18


def test_a_clone_keeps_the_model_of_the_others_and_a_search_finds_weights():
    X, y, _ = make_people(1.0, n_people=2)
    others = Ridge().fit(X[:N], y[:N])
    model = CalibratedRegressor(others, make_pipeline(StandardScaler(), Ridge()))
    assert clone(model).pretrained is others
    grid = {"weights": [(0.0, 1.0), (1.0, 0.0)], "estimator__ridge__alpha": [1.0, 10.0]}
    cv = BlockedKFold(3, gap=0)
    search = GridSearchCV(model, grid, cv=cv).fit(X[N : N + 40], y[N : N + 40])
    assert search.best_params_["weights"] == (1.0, 0.0)


def test_it_is_saved_with_all_its_models(tmp_path):
    X, y, subjects = make_people(0.5, n_people=3)
    model = SubjectRegressor(BlockedRidgeCV(gap=0), minutes=(2,), t_r=T_R).fit(
        X, y, subjects=subjects
    )
    save_model(model, tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors")
    expected = model.predict(X, subjects=subjects)
    np.testing.assert_array_equal(loaded.predict(X, subjects=subjects), expected)


# -- folds and comparisons ------------------------------------------------------------------------
def test_folds_train_on_others_and_on_the_first_minutes():
    subjects, t = np.repeat(["A", "B"], 100), np.tile(np.arange(100) * T_R, 2)
    folds = list(LeaveOneSubjectOut(1.0, gap=10.0, t_r=T_R).split(t[:, None], groups=subjects))
    assert len(folds) == LeaveOneSubjectOut().get_n_splits(t, groups=subjects) == 2
    train, test = folds[1]
    own = train[subjects[train] == "B"]
    assert (t[own] < 60).all()
    assert len(own) == 30
    assert (subjects[train] == "A").sum() == 100
    assert set(subjects[test]) == {"B"}
    assert t[test].min() == t[own].max() + 10
    whole = list(LeaveOneSubjectOut().split(t[:, None], groups=subjects))
    assert [len(rows) for fold in whole for rows in fold] == [100] * 4
    with pytest.raises(ValueError, match="no volume left to test"):
        next(LeaveOneSubjectOut(4.0, gap=0.0, t_r=T_R).split(t[:, None], groups=subjects))
    with pytest.raises(ValueError, match="subjects of X are unknown"):
        next(LeaveOneSubjectOut().split(t[:, None]))


def test_compare_calibrates_for_the_person_who_is_tested(make_study):
    study = make_study(n_runs=3, duration=240.0)
    from sklearn_beira import align

    X, y = align(
        study.raws, study.bolds, trigger="mri", tmin=-8, tmax=0, subjects=[*"ABC"], verbose="error"
    )
    ridge = make_band_power_ridge(8.0)
    models = {
        "others": SubjectRegressor(ridge, weights=(1, 0)),
        "own": SubjectRegressor(ridge, weights=(0, 1)),
        "calibrated": SubjectRegressor(ridge),
        "ridge": ridge,
    }
    options = {"cv": LeaveOneSubjectOut(1.5), "null": None, "verbose": False}
    result = compare(models, X, y, return_estimator=True, **options)
    for fold, person in enumerate("ABC"):
        assert list(result.estimators["calibrated"][fold].people_) == [person]
    train, test = next(iter(options["cv"].split(X)))
    mine = train[X.subjects[train] == "A"]
    own = clone(ridge).fit(X[mine], y.iloc[mine]).predict(X[test])
    found = result.predictions["own"].to_numpy()[test]
    np.testing.assert_allclose(found - found.mean(0), own - own.mean(0), atol=1e-6 * own.std())
    assert set(result.table.query("scope == 'subject'")["label"]) == set("ABC")


def test_subjects_are_left_out_whatever_the_recordings():
    X, y, subjects = make_people(0.0, n_people=4)
    rng = np.random.default_rng(0)
    y = (
        0.2 * y
        + rng.standard_normal((4, 2)).repeat(N, axis=0) * np.sin(np.arange(len(y)) / 9)[:, None]
    )
    recordings = np.arange(len(y)) // (N // 2)
    options = {"cv": LeaveOneSubjectOut(), "null": None, "verbose": False}
    given = {"groups": recordings, "subjects": subjects}
    result = compare(Ridge(), X, y, **given, **options)
    assert len(result.table.query("scope == 'fold'")["label"].unique()) == 4
    windows = EEGWindows.from_array(X, groups=recordings)
    with pytest.raises(ValueError, match="subjects of X are unknown"):
        compare(Ridge(), windows, y, **options)


def test_minutes_of_one_length_and_labels_that_are_numbers():
    X, y, _ = make_people(0.5, n_people=4, n=120)
    subjects = np.arange(4).repeat(120)
    cv = LeaveOneSubjectOut(1.0, gap=4.0, t_r=T_R)
    model = SubjectRegressor(Ridge(30), minutes=(1,), t_r=T_R)
    options = {"groups": subjects, "subjects": subjects, "null": None, "verbose": False}
    result = compare(model, X, y, cv=cv, return_estimator=True, **options)
    assert [list(m.people_) for m in result.estimators["SubjectRegressor"]] == [
        [*"0"],
        [*"1"],
        [*"2"],
        [*"3"],
    ]
    table = pd.DataFrame(X).add_prefix("power ").assign(subjects=0.0)
    fitted = clone(model).fit(table, y, subjects=subjects)
    assert list(fitted.people_) == [*"0123"]
    with pytest.raises(ValueError, match="calibrate names 7"):
        clone(model).fit(X, y, subjects=subjects, calibrate=[7])
    regions = pd.DataFrame(y, columns=["a", "b"])
    named = clone(model).fit(X, regions, subjects=subjects)
    np.testing.assert_allclose(named.predict(X[:3]), named.predict(X[:3], subjects=["new"] * 3))


def test_other_regions_than_those_of_the_group_are_refused():
    X, y, subjects = make_people(0.5, n_people=3, n=120)
    y = pd.DataFrame(y, columns=["a", "b"])
    pipeline = make_pipeline(StandardScaler(), BlockedRidgeCV(gap=0))
    model = SubjectRegressor(pipeline, weights=(1, 0.5), t_r=T_R).fit(X, y, subjects=subjects)
    with pytest.raises(ValueError, match="predicts other regions"):
        model.calibrate(X[:60], y.iloc[:60, ::-1])


def test_a_frozen_model_of_others_is_fitted_anew_to_own_data():
    X, y, _ = make_people(0.0, n_people=2)
    others = FrozenEstimator(Ridge().fit(X[:N], y[:N]))
    model = CalibratedRegressor(others, weights=(0.0, 1.0)).fit(X[N:], y[N:])
    np.testing.assert_allclose(model.predict(X[N:]), Ridge().fit(X[N:], y[N:]).predict(X[N:]))


def test_tested_bold_does_not_scale_own_minutes():
    X, y, subjects = make_people(0.5, n_people=4)
    options = {"minutes": (2,), "subjects": subjects, "t_r": T_R}
    curve = learning_curve_minutes(Ridge(30), X, y, **options)
    late = np.tile(np.arange(N) >= 60, 4) & (subjects == "A")
    curves = (
        curve,
        learning_curve_minutes(Ridge(30), X, np.where(late[:, None], 7 * y, y), **options),
    )
    one, other = (c[c["subject"] == "A"]["r"] for c in curves)
    np.testing.assert_allclose(one, other)


def test_a_pretrained_model_that_has_seen_the_test_is_refused():
    X, y, subjects = make_people(0.5, n_people=3)
    others = BlockedRidgeCV(gap=0).fit(X[subjects != "A"], y[subjects != "A"])
    cv = BlockedKFold(3, gap=0)
    options = {"cv": cv, "verbose": False}
    for model in (CalibratedRegressor(others), make_pipeline(FrozenEstimator(others))):
        mine = subjects == "A"
        compare(model, X[mine], y[mine], null=None, **options)
        with pytest.raises(ValueError, match="has learned from BOLD of"):
            compare(model, X[~mine][:200], y[~mine][:200], null=None, **options)
        with pytest.raises(ValueError, match="has learned from BOLD of"):
            null_test(model, X[-100:], y[-100:], **options)


def test_the_models_inside_know_what_they_have_seen(make_study):
    from sklearn_beira import align

    study = make_study(n_runs=3, duration=200.0)
    timing = {"trigger": "mri", "tmin": -8, "tmax": 0, "verbose": "error"}
    X, y = align(study.raws, study.bolds, subjects=[*"ABC"], **timing)
    X = EEGFilter(1, 40, sfreq=100).fit_transform(X)
    model = SubjectRegressor(BEIRARegressor(verbose=False), weights=(1, 1)).fit(X, y)
    mine = X.subjects == "A"
    first, second = (X.subjects == k for k in "BC")
    chain = BEIRARegressor(verbose=False).fit(X[mine], y[mine])
    chain = BEIRARegressor(verbose=False).fit(X[first], y[first], pretrained=chain)
    options = {"cv": BlockedKFold(3, gap=8.0), "null": None, "verbose": False}
    for fitted in (model.group_, model.people_["A"], chain):
        with pytest.raises(ValueError, match="has learned from BOLD of subject A"):
            compare(FrozenEstimator(fitted), X[mine], y[mine], **options)
    compare(FrozenEstimator(chain), X[second], y[second], **options)


def test_parts_of_a_model_know_what_they_have_seen():
    X, y, subjects = make_people(0.5, n_people=3)
    mine = subjects == "A"
    options = {"cv": BlockedKFold(3, gap=0), "null": None, "verbose": False}
    people = SubjectRegressor(BlockedRidgeCV(gap=0), weights=(1, 1), t_r=T_R)
    people.fit(X, y, subjects=subjects)
    people.people_ = {"A": people.people_["A"]}  # alone has seen A
    for name in ("group_", "bold_digests_"):
        delattr(people, name)
    scaled = TransformedTargetRegressor(BlockedRidgeCV(gap=0), transformer=StandardScaler())
    same, scaled = (
        model.fit(X[mine], y[mine])
        for model in (TransformedTargetRegressor(BlockedRidgeCV(gap=0)), scaled)
    )
    for model in (people, same, scaled):
        with pytest.raises(ValueError, match="has learned from BOLD of recording"):
            compare(FrozenEstimator(model), X[mine], y[mine], **options)
    for model in (same, scaled):
        compare(FrozenEstimator(model), X[subjects == "B"], y[subjects == "B"], **options)


def test_bold_of_few_digits_is_not_taken_for_another():
    rng = np.random.default_rng(0)
    y = rng.standard_normal((900, 1)).cumsum(axis=0).round()
    y[100:200] = 0.0
    y[700:800] = 0.0
    known = sketch(y[:600])
    assert not was_seen(y[600:], known).any()
    assert was_seen(y[300:400], known).sum() > 30


# -- what is refused ------------------------------------------------------------------------------
def test_what_does_not_fit_is_refused():
    X, y, subjects = make_people(0.5, n_people=2)
    with pytest.raises(ValueError, match="pretrained is not fitted"):
        CalibratedRegressor(Ridge()).fit(X, y)
    others = Ridge().fit(X, y)
    with pytest.raises(ValueError, match="predicts 2 region"):
        CalibratedRegressor(others).fit(X, y[:, 0])
    for weights in ((1.0,), (2.0, 0.0), "half", (None, 1)):
        with pytest.raises(ValueError, match="weights"):
            CalibratedRegressor(others, weights=weights).fit(X, y)
    with pytest.raises(ValueError, match="subjects of X are unknown"):
        SubjectRegressor(Ridge(), t_r=T_R).fit(X, y)
    with pytest.raises(ValueError, match="at least 2 subjects"):
        SubjectRegressor(Ridge(), t_r=T_R).fit(X[:N], y[:N], subjects=subjects[:N])
    with pytest.raises(ValueError, match="two other subjects"):
        learning_curve_minutes(Ridge(), X, y, subjects=subjects, t_r=T_R)
    X, y, subjects = make_people(0.5, n_people=3)
    with pytest.raises(ValueError, match="no volumes to test after 26 minutes"):
        learning_curve_minutes(Ridge(), X, y, subjects=subjects, t_r=T_R)


def test_windows_of_arrays_know_their_subjects():
    eeg = np.random.default_rng(0).standard_normal((6, 2, 50))
    X = EEGWindows.from_array(eeg, 50.0, subjects=[*"AABBBB"])
    assert X.subjects.tolist() == [*"AABBBB"]
    assert X[3:].subjects.tolist() == [*"BBB"]
    X = EEGWindows.from_array(eeg, 50.0, groups=[1, 1, 2, 2, 3, 3], subjects=[*"AABBBB"])
    assert X[[0, 5]].subjects.tolist() == [*"AB"]
    with pytest.raises(ValueError, match="several subjects"):
        EEGWindows.from_array(eeg, 50.0, groups=[1] * 6, subjects=[*"AABBBB"])


def test_the_figure_shows_means_over_people():
    rows = [
        (s, m, k, "ROI 0", r + 0.1 * i)
        for i, s in enumerate("ABC")
        for m in (1, 3)
        for k, r in (("others", 0.1), ("own", 0.0), ("calibrated", 0.2))
    ]
    curve = pd.DataFrame(rows, columns=["subject", "minutes", "model", "region", "r"])
    ax = plot_learning_curve(curve)
    lines = {c.get_label(): c[0].get_ydata() for c in ax.containers}
    np.testing.assert_allclose(lines["calibrated"], [0.3, 0.3])
    plt.close(ax.figure)
    with pytest.raises(ValueError, match="table of learning_curve_minutes"):
        plot_learning_curve(curve[["r"]])
