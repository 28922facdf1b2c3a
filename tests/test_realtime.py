"""BoldTwin: pieces of any length give what the model predicts from the whole recording."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline

from sklearn_beira import (
    BEIRARegressor,
    BlockedKFold,
    BoldTwin,
    CalibratedRegressor,
    Compact,
    EEGFilter,
    EEGWindows,
    SubjectAligner,
    SubjectRegressor,
    Windower,
    align,
    load_model,
    make_band_power_ridge,
    make_mean,
    make_time_polynomial,
    save_model,
)

RATE = 250.0
STEP = 2.1


def beira(delay=0.0, **params):
    regressor = BEIRARegressor(Compact(n_branches=2), verbose=False)
    window = Windower(20.0, delay)
    return [("filter", EEGFilter(causal=True, **params)), ("window", window), ("beira", regressor)]


def ridge(**params):
    return [("filter", EEGFilter(causal=True, **params)), *make_band_power_ridge(20.0).steps]


def aligned():
    steps = beira()
    bands = [(4.0, 8.0), (8.0, 12.0), (12.0, 30.0)]
    return [steps[0], ("people", SubjectAligner(bands)), *steps[1:]]


MODELS = {
    "beira": Pipeline(beira()),
    "ahead": Pipeline(beira(delay=4.0)),
    "another rate": Pipeline(ridge(sfreq=None)),
    "ridge": Pipeline(ridge(notch=50.0)),
    "aligned": Pipeline(aligned()),
}


@pytest.fixture(scope="module")
def data(make_study):
    study = make_study(n_runs=2, duration=150.0, random_state=1, t_r=STEP)
    X, y = align(
        study.raws, study.bolds, trigger="mri", tmin=-24.0, subjects=["A", "B"], verbose="error"
    )
    return X, y


@pytest.fixture(scope="module")
def fitted(data):
    """Fit a model once; later calls get the same one."""
    models = {}

    def fit(name):
        if name not in models:
            models[name] = clone(MODELS[name]).fit(*data)
        return models[name]

    return fit


def run(twin, eeg, cuts):
    """Push EEG in pieces that end at the cuts; return times, predictions and qualities."""
    found, quality, start = [], [], 0
    for stop in [*cuts, eeg.shape[1]]:
        found += twin.push(eeg[:, start:stop])
        quality += twin.quality
        start = stop
    times, bold = zip(*found, strict=True)
    return np.array(times), np.array(bold), np.array(quality)


# -- pieces ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", MODELS)
def test_pieces_of_any_length_give_the_same_to_the_last_bit(fitted, data, name):
    eeg = data[0].recordings[0][:, : round(40 * RATE)]
    twin = BoldTwin(fitted(name), RATE, step=STEP)
    whole = run(twin, eeg, [])
    assert len(whole[0]) >= 5

    @settings(deadline=None, max_examples=8)
    @given(st.lists(st.integers(0, 6000), max_size=20).map(sorted), st.integers(1, 800))
    def check(cuts, step):
        twin.reset()
        found = run(twin, eeg, [*cuts, *range(6000, eeg.shape[1], step)])
        for one, other in zip(found, whole, strict=True):
            np.testing.assert_array_equal(one, other)

    check()


def test_single_samples_give_the_same_to_the_last_bit(fitted, data):
    eeg = data[0].recordings[0][:, : round(25 * RATE)]
    twin = BoldTwin(fitted("ridge"), RATE, step=1.3)
    whole = run(twin, eeg, [])
    twin.reset()
    for one, other in zip(run(twin, eeg, range(1, eeg.shape[1])), whole, strict=True):
        np.testing.assert_array_equal(one, other)


def volumes(data, twin, times):
    """The recording that the twin is given, with a volume at each time."""
    X = data[0]
    tmin = twin._tmin
    return EEGWindows(
        [X.recordings[0]], np.zeros(len(times), int), times, X.info, tmin=tmin, tmax=0.0
    )


@pytest.mark.parametrize("name", ["beira", "ahead"])
def test_it_predicts_what_the_model_predicts_of_the_recording(fitted, data, name):
    twin = BoldTwin(fitted(name), RATE, step=STEP)
    times, bold, _ = run(twin, data[0].recordings[0], [])
    assert times[0] == STEP * np.ceil(-twin._tmin / STEP)
    assert len(times) > 50
    inside = times <= data[0].recordings[0].shape[1] / RATE
    expected = fitted(name).predict(volumes(data, twin, times[inside]))
    np.testing.assert_allclose(bold[inside], expected, rtol=1e-4, atol=1e-4 * expected.std())


def test_features_see_the_window_alone(fitted, data):
    model = fitted("ridge")
    twin = BoldTwin(model, RATE, step=STEP)
    times, bold, _ = run(twin, data[0].recordings[0], [])
    X = model[:1].transform(volumes(data, twin, times))
    alone = EEGWindows.from_array(np.asarray(X), sfreq=X.sfreq, ch_names=X.ch_names)
    np.testing.assert_allclose(bold, model[1:].predict(alone), rtol=1e-6)
    whole = model.predict(volumes(data, twin, times))
    r = [np.corrcoef(a, b)[0, 1] for a, b in zip(bold.T, whole.T, strict=True)]
    assert min(r) > 0.95  # recordings go on where windows end


def test_alignment_is_that_of_the_stream(fitted, data):
    model = fitted("aligned")
    twin = BoldTwin(model, RATE, step=STEP)
    times, bold, _ = run(twin, data[0].recordings[1], [])
    filtered = model["filter"].stream(RATE).transform(data[0].recordings[1])
    eeg = model["people"].stream(100.0).transform(filtered).astype(np.float32)
    stops = np.round(times * 100).astype(int)
    windows = np.stack([eeg[:, stop - 2000 : stop] for stop in stops])
    X = EEGWindows.from_array(windows, sfreq=100.0, ch_names=data[0].ch_names)
    np.testing.assert_allclose(bold, model[2:].predict(X), rtol=1e-3, atol=1e-3 * bold.std())


@pytest.mark.parametrize("name", ["beira", "ahead"])
def test_a_prediction_comes_with_its_last_sample(fitted, data, name):
    twin = BoldTwin(fitted(name), RATE, step=STEP)
    delay = fitted(name)["filter"].delay_ - fitted(name)["window"].delay
    assert twin.latency == pytest.approx(delay)
    for k in range(round(40 * RATE)):
        for time, _ in twin.push(data[0].recordings[0][:, k : k + 1]):
            assert abs((k + 1) / RATE - time - twin.latency) <= 0.016
    assert twin.n_seen == round(40 * RATE)


def test_a_saved_model_and_the_best_of_a_search_run(fitted, data, tmp_path):
    eeg = data[0].recordings[0][:, :8000]
    save_model(fitted("beira"), tmp_path / "model.safetensors")
    loaded = BoldTwin(load_model(tmp_path / "model.safetensors"), RATE)
    twin = BoldTwin(fitted("beira"), RATE)
    np.testing.assert_array_equal(run(loaded, eeg, [])[1], run(twin, eeg, [])[1])
    assert loaded.region_names == list(data[1].columns)
    assert loaded.ch_names == data[0].ch_names
    cv = BlockedKFold(2)
    grid = {"filter__h_freq": [30.0]}
    search = GridSearchCV(clone(MODELS["ridge"]), grid, cv=cv).fit(*data)
    assert len(run(BoldTwin(search, RATE), eeg, [])[0]) == 12


def test_pipelines_within_pipelines_run(fitted, data):
    inner = make_pipeline("passthrough", make_band_power_ridge(20.0))
    model = make_pipeline(EEGFilter(causal=True, notch=50.0), inner).fit(*data)
    eeg = data[0].recordings[0][:, :8000]
    one, other = (run(BoldTwin(m, RATE), eeg, [])[1] for m in (model, fitted("ridge")))
    np.testing.assert_array_equal(one, other)


def test_models_of_scikit_learn_are_told_the_names(fitted):
    assert BoldTwin(fitted("ridge"), RATE).region_names == ["ROI 0", "ROI 1"]
    assert BoldTwin(fitted("ridge"), RATE, regions=["V1", "A1"]).region_names == ["V1", "A1"]
    with pytest.raises(ValueError, match="predicts 2 regions, but regions has 1 names"):
        BoldTwin(fitted("ridge"), RATE, regions=["V1"])
    with pytest.raises(ValueError, match="regions must be a list of names, got 'V1'"):
        BoldTwin(fitted("ridge"), RATE, regions="V1")
    with pytest.raises(ValueError, match="names of regions must differ, got V1, V1"):
        BoldTwin(fitted("ridge"), RATE, regions=["V1", "V1"])


def test_each_person_has_a_model(data):
    X, y = data
    steps = ridge()
    people = SubjectRegressor(Pipeline(steps[1:]), weights=(0, 1))
    model = Pipeline([steps[0], ("people", people)])
    with pytest.raises(ValueError, match="needs a Windower"):
        BoldTwin(model.fit(X, y), RATE)
    model = Pipeline([steps[0], ("window", Windower(20.0)), ("people", people)]).fit(X, y)
    eeg = X.recordings[0][:, :8000]
    own, other, new = (run(BoldTwin(model, RATE, subject=s), eeg, [])[1] for s in ("A", "B", None))
    assert not np.allclose(own, other)
    assert not np.allclose(own, new)
    with pytest.raises(ValueError, match="does not know 'C'; it knows A, B"):
        BoldTwin(model, RATE, subject="C")


def test_a_model_of_others_is_calibrated_behind_the_filter_and_the_window(fitted, data, tmp_path):
    X, y = data
    front = Pipeline([("filter", EEGFilter(causal=True)), ("window", Windower(20.0))])
    others = Pipeline(ridge()[1:]).fit(front.fit(X).transform(X), y)
    person = Pipeline([*front.steps, ("person", CalibratedRegressor(others, weights=(1, 0)))])
    person.fit(X[X.subjects == "B"], y[X.subjects == "B"])
    save_model(person, tmp_path / "model.safetensors")
    eeg = X.recordings[1][:, :8000]
    twin = BoldTwin(load_model(tmp_path / "model.safetensors"), RATE)
    expected = run(BoldTwin(fitted("ridge"), RATE), eeg, [])[1]
    found = run(twin, eeg, [])[1]
    r = [np.corrcoef(a, b)[0, 1] for a, b in zip(found.T, expected.T, strict=True)]
    assert min(r) > 0.999


def test_memory_does_not_grow(fitted, data):
    twin = BoldTwin(fitted("aligned"), RATE, step=STEP)
    eeg, sizes = data[0].recordings[0], []
    for _ in range(4):
        run(twin, eeg, range(100, eeg.shape[1], 100))
        held = [twin._kept, *twin._pieces]
        assert len(twin._quality._seconds) < 30
        sizes.append(sum((one if one.base is None else one.base).nbytes for one in held))
    assert max(sizes) < 4 * 20.0 * 100 * 6 * 4
    assert len(twin._pieces) < 100


# -- gaps -----------------------------------------------------------------------------------------
def test_a_short_gap_is_bridged_and_said(fitted, data):
    eeg = data[0].recordings[0][:, : round(60 * RATE)]
    twin = BoldTwin(fitted("beira"), RATE, step=STEP)
    whole = run(twin, eeg, [])
    assert (whole[2] > 0.9).all()
    twin.reset()
    a, b = round(30 * RATE), round(30.4 * RATE)
    first = run(twin, eeg[:, :a], [])
    twin.skip(b - a)
    assert twin.n_seen == b  # while it waits for what comes behind the gap, too
    second = run(twin, eeg[:, b:], [100])
    np.testing.assert_array_equal([*first[0], *second[0]], whole[0])
    inside = (second[0] > 30.4) & (second[0] < 50)
    np.testing.assert_allclose(
        second[2][inside], whole[2][len(first[2]) :][inside] * 0.98, rtol=0.02
    )
    spread = whole[1].std(axis=0)
    assert (np.abs(second[1] - whole[1][len(first[1]) :]) < spread).all()
    after = second[0] > 52  # nothing of it is left
    np.testing.assert_allclose(second[1][after], whole[1][len(first[1]) :][after], rtol=1e-3)


def test_after_a_long_gap_the_window_fills_anew_and_time_goes_on(fitted, data):
    eeg = data[0].recordings[0]
    twin = BoldTwin(fitted("beira"), RATE, step=2.0)
    first = run(twin, eeg[:, : round(30 * RATE)], [])
    with pytest.warns(UserWarning, match=r"3.00 s of EEG are missing; .* go on in 20 s"):
        twin.skip(round(3 * RATE))
    second = run(twin, eeg[:, : round(30 * RATE)], [11, 5000])
    assert first[0].tolist() == [20, 22, 24, 26, 28]
    assert second[0].tolist() == [54, 56, 58, 60, 62]
    other = BoldTwin(fitted("beira"), RATE, step=1.0)
    times, bold, _ = run(other, eeg[:, : round(30 * RATE)], [])
    np.testing.assert_array_equal(second[1], bold[np.isin(times, second[0] - 33)])


def test_gaps_before_the_first_sample_only_count(fitted, data):
    twin = BoldTwin(fitted("ridge"), RATE, step=1.0)
    twin.skip(round(5 * RATE))
    assert run(twin, data[0].recordings[0][:, : round(21 * RATE)], [])[0].tolist() == [25.0]


def test_what_cannot_be_used_changes_nothing(fitted, data):
    eeg = data[0].recordings[0][:, :8000]
    twin = BoldTwin(fitted("ridge"), RATE)
    whole = run(twin, eeg, [])
    twin.reset()
    first = twin.push(eeg[:, :5100])
    with pytest.raises(
        ValueError, match=r"must have 6 channels, shape \(6, n_times\), got shape \(5,"
    ):
        twin.push(eeg[:5])
    with pytest.raises(ValueError, match=r"NaN or infinite values, in channels .*skip"):
        twin.push(np.full((6, 3), np.nan))
    for wrong in (-1, 2.5):
        with pytest.raises(ValueError, match="n_times must be a whole number of at least 0"):
            twin.skip(wrong)
    assert twin.push(eeg[:, :0]) == []
    found = [*first, *twin.push(eeg[:, 5100:])]
    np.testing.assert_array_equal(np.array([bold for _, bold in found]), whole[1])


def test_loud_seconds_lower_the_quality(fitted, data):
    eeg = data[0].recordings[0][:, :10000].copy()
    eeg[:, 6000:6500] *= 30.0
    _, _, quality = run(BoldTwin(fitted("beira"), RATE, step=4.0), eeg, [])
    assert (quality[:2] > 0.95).all()  # windows that end at 20 and 24 s
    assert (quality[2:] < 0.95).all()


def test_flat_eeg_lowers_the_quality(fitted, data):
    eeg = data[0].recordings[0][:, : round(26 * RATE)].copy()
    n = round(20 * RATE)

    def quality(eeg):
        return run(BoldTwin(fitted("beira"), RATE, step=4.0), eeg, [999])[2]

    usual = quality(eeg)
    assert (usual > 0.95).all()
    assert not quality(np.zeros_like(eeg)).any()
    assert not quality(np.ones_like(eeg)).any()
    one = eeg.copy()
    one[2] = 3e-6
    np.testing.assert_allclose(quality(one), 5 / 6, atol=0.02)
    off = eeg.copy()
    off[:, n - round(9 * RATE) : n] = 0.0
    assert quality(off)[0] < 0.6
    faint = eeg.copy()
    faint[:, n - round(9 * RATE) : n] *= 0.01
    assert quality(faint)[0] < 0.7


@pytest.mark.parametrize("name", ["beira", "ridge"])
def test_eeg_that_is_not_as_loud_as_that_of_the_training_lowers_the_quality(fitted, data, name):
    twin, eeg = BoldTwin(fitted(name), RATE), data[0].recordings[0][:, : round(24 * RATE)]
    for factor in (0.5, 2.0):
        assert (run(twin, factor * eeg, [])[2] > 0.95).all()
        twin.reset()
    for factor in (0.1, 10.0):
        quality = run(twin, factor * eeg, [])[2]
        # A ridge does not know the EEG of its training.
        assert (quality > 0.95).all() if name == "ridge" else (quality < 0.05).all()
        twin.reset()


# -- what is refused ------------------------------------------------------------------------------
REFUSED = {
    "a zero-phase filter": (
        lambda: Pipeline([("filter", EEGFilter()), *ridge()[1:]]),
        r"zero-phase filter, which needs later EEG; fit the model with EEGFilter\(..., causal=True",
    ),
    "a window after the volume": (
        lambda: Pipeline(beira(delay=-1.0)),
        "end 1 s after the volume, so that the model needs later EEG; fit it with a Windower",
    ),
    "no filter": (lambda: Pipeline(ridge()[1:]), "first step .* must be EEGFilter.*is Windower"),
    "no pipeline": (make_mean, "first step .* must be EEGFilter.*is DummyRegressor"),
    "no window": (
        lambda: make_pipeline(EEGFilter(causal=True), *make_mean()),
        "needs a Windower with a duration",
    ),
    "a window without a duration": (
        lambda: make_pipeline(EEGFilter(causal=True), Windower(None), make_mean()[-1]),
        "needs a Windower with a duration",
    ),
    "the time in the recording": (
        lambda: make_pipeline(EEGFilter(causal=True), Windower(), *make_time_polynomial()),
        "cannot predict a single window: X is an epoched array",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.filterwarnings("ignore:.*reaches further:sklearn_beira.GapWarning")
def test_models_that_cannot_run_live_are_refused(data, what):
    make, message = REFUSED[what]
    study_X, y = data
    X = study_X[study_X.times < 140]
    y = y[study_X.times < 140]
    model = make().fit(X, y)
    with pytest.raises(ValueError, match=message):
        BoldTwin(model, RATE)


def test_people_and_electrodes_that_the_model_cannot_take_are_refused(fitted, data):
    with pytest.raises(ValueError, match="knows no people; leave subject='A' out"):
        BoldTwin(fitted("beira"), RATE, subject="A")
    steps = aligned()
    bands = [(4.0, 8.0), (8.0, 12.0), (12.0, 30.0)]
    channels = data[0].ch_names[:5]
    steps[1] = ("people", SubjectAligner(bands, channels=channels))
    with pytest.raises(ValueError, match=r"SubjectAligner\(channels=.*cannot run live"):
        BoldTwin(Pipeline(steps).fit(*data), RATE)


def test_a_filter_within_the_model_is_refused(fitted, data):
    others = fitted("ridge")
    inner = CalibratedRegressor(others, weights=(1, 0))
    model = make_pipeline(EEGFilter(None, None, sfreq=None), Windower(20.0), inner).fit(*data)
    with pytest.raises(ValueError, match="EEGFilter within the model starts anew in each window"):
        BoldTwin(model, RATE)


@pytest.mark.parametrize(
    "params", [{"sfreq": 0}, {"step": -1.0}, {"bridge": np.nan}, {"half_life": 0}]
)
def test_wrong_parameters_are_refused(fitted, params):
    with pytest.raises(ValueError, match=f"{next(iter(params))} must be a"):
        BoldTwin(fitted("ridge"), **{"sfreq": RATE, **params})
    with pytest.raises(ValueError, match="h_freq=45 Hz is not below 40 Hz"):
        BoldTwin(fitted("ridge"), 80.0)
