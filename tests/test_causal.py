"""EEGFilter(causal=True) needs no later EEG, and filters pieces as it filters recordings."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.signal import hilbert
from sklearn.pipeline import Pipeline

from sklearn_beira import (
    EEGFilter,
    EEGWindows,
    Windower,
    align,
    load_model,
    make_band_power_ridge,
    save_model,
)
from sklearn_beira.eeg import cache
from sklearn_beira.eeg.causal import filter_causally

RATE = 500.0


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch):
    """Let no test live on what another one has filtered."""
    monkeypatch.setattr(cache, "results", cache.Cache(10**9))


def windows(raw, tmin=-8.0):
    X, _ = align(raw, np.arange(20.0), t_r=2.0, tmin=tmin, verbose="error")
    return X


def recording(raw, **params):
    """The recording behind a causal filter."""
    return EEGFilter(causal=True, **params).fit_transform(windows(raw)).recordings[0]


def filtered(raw, **params):
    """What EEG of any size becomes behind a causal filter that was fitted to noise."""
    noise = raw.copy()
    noise._data[:] = 1e-5 * np.random.default_rng(0).standard_normal(raw._data.shape)
    eeg_filter = EEGFilter(causal=True, **params).fit(windows(noise))
    return filter_causally(raw.get_data(), eeg_filter.stream(raw.info["sfreq"]))


# -- pieces ---------------------------------------------------------------------------------------
PARAMS = [
    {},
    {"notch": 50.0, "reference": ["E2", "E4"]},
    {"sfreq": None, "l_freq": None, "h_freq": 30.0, "reference": None},
    {"sfreq": 250.0, "l_freq": 4.0, "h_freq": None},
    {"sfreq": 80.0, "h_freq": 30.0},
    {"sfreq": 600.0, "l_freq": None, "h_freq": None},
    {"sfreq": None, "l_freq": None, "h_freq": None, "notch": 60.0},
    {"sfreq": None, "l_freq": None, "h_freq": None},
]


@pytest.mark.parametrize("params", PARAMS, ids=str)
def test_pieces_of_any_length_give_the_samples_of_the_whole_recording(make_raw, params):
    raw = make_raw(sfreq=RATE, duration=42.0)
    raw._data += 5e-3  # as amplifiers with offsets
    X = windows(raw)
    eeg_filter = EEGFilter(causal=True, **params)
    whole = eeg_filter.fit_transform(X).recordings[0]
    eeg = X.recordings[0]

    @settings(deadline=None, max_examples=8)
    @given(st.lists(st.integers(0, 4000), max_size=30), st.integers(1, 700))
    def check(cuts, step):
        stream = eeg_filter.stream(RATE)
        stops = [*sorted(cuts), *range(4000, eeg.shape[1], step), eeg.shape[1]]
        starts = [0, *stops[:-1]]
        parts = [stream.transform(eeg[:, a:b]) for a, b in zip(starts, stops, strict=True)]
        found = np.concatenate(parts, axis=1)
        withheld = round(stream.delay * stream.sfreq) + 1
        assert whole.shape[1] - withheld <= found.shape[1] <= whole.shape[1]
        np.testing.assert_array_equal(found, whole[:, : found.shape[1]])

    check()


def test_single_samples_give_the_same_as_the_whole(make_raw):
    eeg = make_raw(duration=2.0, sfreq=RATE).get_data()
    X = windows(make_raw(sfreq=RATE))
    whole, single = (EEGFilter(notch=50.0, causal=True).fit(X).stream(RATE) for _ in range(2))
    parts = [single.transform(eeg[:, k : k + 1]) for k in range(eeg.shape[1])]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole.transform(eeg))


def test_later_eeg_changes_nothing(make_raw):
    raw = make_raw(sfreq=RATE)
    delay = EEGFilter(causal=True).fit(windows(raw)).delay_
    before = recording(raw)
    stop = round(30.0 * RATE) + round(delay * RATE) + 1
    raw._data[:, stop:] *= 7.0
    np.testing.assert_array_equal(recording(raw)[:, :3001], before[:, :3001])
    assert not np.array_equal(recording(raw)[:, :3010], before[:, :3010])


def test_a_piece_that_cannot_be_used_is_ignored(make_raw):
    eeg = make_raw(duration=2.0, sfreq=RATE).get_data()
    stream, other = (EEGFilter(causal=True).fit(windows(make_raw())).stream(RATE) for _ in range(2))
    first = stream.transform(eeg[:, :400])
    for wrong in (eeg[:3], eeg[0], np.where(np.arange(1000) == 3, np.nan, eeg)):
        with pytest.raises(ValueError, match=r"have 4 channels, shape \(4, n|NaN or infinite"):
            stream.transform(wrong)
    found = np.concatenate([first, stream.transform(eeg[:, 400:])], axis=1)
    np.testing.assert_array_equal(found, other.transform(eeg))


# -- what it does to EEG --------------------------------------------------------------------------
@pytest.mark.parametrize("sfreq", [100.0, 160.0, None])
@pytest.mark.parametrize("freq", [4.0, 10.0, 20.0])
def test_a_rhythm_keeps_its_time_and_size(make_raw, freq, sfreq):
    raw = make_raw(sfreq=RATE, duration=45.0)
    bursts = np.exp(-0.5 * ((raw.times - 20.5) / 0.4) ** 2)
    raw._data[:] = 1e-5 * bursts * np.sin(2 * np.pi * freq * raw.times)
    found = filtered(raw, sfreq=sfreq, reference=None)[0]
    envelope = np.abs(hilbert(found))
    assert abs(envelope.max() / 1e-5 - 1) < 0.03
    assert abs(envelope.argmax() / (sfreq or RATE) - 20.5) < 0.025


@pytest.mark.parametrize(
    ("freq", "most"),
    [(0.1, 0.02), (0.3, 0.12), (50.0, 1e-3), (55.0, 0.011), (90.0, 0.011), (1, 0.8)],
)
def test_what_lies_outside_the_pass_band_is_removed_before_it_folds(make_raw, freq, most):
    raw = make_raw(sfreq=1000.0, duration=45.0)
    raw._data[:] = np.sin(2 * np.pi * freq * raw.times)
    found = filtered(raw, notch=50.0, reference=None)[0, 1000:-100]
    assert np.abs(found).max() < most


def test_an_offset_of_the_amplifier_causes_no_transient(make_raw):
    raw = make_raw(sfreq=RATE)
    before = filtered(raw)
    raw._data += 0.3 * np.arange(4)[:, None]
    raw._data[:, 0] = 0.3 * np.arange(4)
    assert np.abs(filtered(raw)).max() < 1.2 * np.abs(before).max()


def test_names_rates_and_times_are_those_of_zero_phase_filters(make_raw):
    raw = make_raw(sfreq=RATE, duration=45.002)
    for params in PARAMS[:6]:
        one, other = (
            EEGFilter(causal=c, **params).fit_transform(windows(raw)) for c in (False, True)
        )
        assert one.shape == other.shape
        assert one.recordings[0].shape == other.recordings[0].shape
        assert one.recordings[0].dtype == other.recordings[0].dtype
        np.testing.assert_array_equal(one.starts, other.starts)
        for name in ("sfreq", "lowpass", "highpass", "custom_ref_applied", "ch_names"):
            assert one.info[name] == other.info[name]


def test_the_average_is_that_of_the_good_eeg_channels(make_raw):
    raw = make_raw(5, sfreq=RATE, ch_types=["eeg", "eeg", "ecg", "eeg", "eeg"])
    raw.info["bads"] = ["E5"]
    params = {"l_freq": None, "h_freq": None, "sfreq": None}
    X, _ = align(raw, np.arange(20.0), t_r=2.0, tmin=-8.0, picks=raw.ch_names, verbose="error")
    one, other = (
        EEGFilter(causal=c, **params).fit_transform(X).recordings[0] for c in (False, True)
    )
    np.testing.assert_allclose(one, other, atol=1e-11)


def test_epochs_are_filtered_from_their_first_sample(make_raw):
    eeg = make_raw(duration=30.0, sfreq=RATE).get_data().reshape(4, 3, -1).transpose(1, 0, 2)
    for X in (
        EEGWindows.from_array(eeg, sfreq=RATE),
        EEGWindows.from_array(eeg, sfreq=RATE, ch_names=list("abcd")),
    ):
        eeg_filter = EEGFilter(causal=True).fit(X)
        found = eeg_filter.transform(X)
        assert found.shape == (3, 4, 1000)
        assert found.sfreq == 100.0
        for epoch, one in zip(eeg, np.asarray(found), strict=True):
            part = eeg_filter.stream(RATE).transform(epoch)
            np.testing.assert_array_equal(one[:, : part.shape[1]], part.astype(np.float32))


# -- where it is kept -----------------------------------------------------------------------------
def test_causal_and_zero_phase_results_are_kept_apart(make_raw, tmp_path):
    X = windows(make_raw(sfreq=RATE))
    for folder in (None, tmp_path):
        found = {
            causal: np.array(EEGFilter(causal=causal, folder=folder).fit_transform(X).recordings[0])
            for causal in (False, True, False, True)
        }
        assert not np.allclose(found[False], found[True], atol=1e-7)
        np.testing.assert_array_equal(found[True], recording(make_raw(sfreq=RATE)))
    assert len(list(tmp_path.glob("*.npy"))) == 2
    again = EEGFilter(causal=True, folder=tmp_path).fit_transform(X)
    np.testing.assert_array_equal(again.recordings[0], found[True])
    assert again.info["lowpass"] == 45.0


def test_a_saved_model_filters_as_before(make_raw, tmp_path):
    raw = make_raw(sfreq=RATE, duration=60.0)
    X, y = align(raw, np.arange(25.0) % 3, t_r=2.0, tmin=-8.0, verbose="error")
    ridge = make_band_power_ridge(8.0).steps
    model = Pipeline([("filter", EEGFilter(causal=True)), *ridge]).fit(X, y)
    save_model(model, tmp_path / "model.safetensors")
    again = load_model(tmp_path / "model.safetensors")
    assert again["filter"].causal
    assert again["filter"].delay_ == model["filter"].delay_ > 0
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    eeg = X.recordings[0]
    one, other = (m["filter"].stream(RATE).transform(eeg) for m in (model, again))
    np.testing.assert_array_equal(one, other)


# -- what is refused ------------------------------------------------------------------------------
def test_zero_phase_filters_do_not_stream(make_raw):
    X = windows(make_raw(sfreq=RATE))
    eeg_filter = EEGFilter().fit(X)
    assert eeg_filter.delay_ == 0.0
    with pytest.raises(ValueError, match=r"zero-phase filter.*EEGFilter\(..., causal=True\)"):
        eeg_filter.stream(RATE)
    reference = EEGFilter(None, None, sfreq=None).fit(X)
    found = reference.stream(RATE).transform(X.recordings[0])
    expected = reference.transform(X).recordings[0]
    np.testing.assert_allclose(found, expected, atol=1e-11)


@pytest.mark.parametrize(
    ("rate", "params", "message"),
    [
        (999.0, {}, "recorded at 999 Hz cannot be resampled to 100 Hz.*use sfreq=111"),
        (250.0, {"sfreq": 499.0}, "cannot be resampled to 499 Hz .*use sfreq=250"),
        (1000.0, {"h_freq": 49.9}, "h_freq=49.9 Hz is too close to 50 Hz.*use h_freq=49.5"),
        (250.0, {"h_freq": 130.0, "sfreq": None}, "h_freq=130 Hz is not below 125 Hz"),
        (250.0, {"l_freq": 45.0, "h_freq": None}, "l_freq=45 Hz must lie below 40 Hz"),
        (90.0, {"notch": 50.0, "h_freq": 30.0, "sfreq": None}, "notch=50 Hz is less than 1 Hz"),
    ],
)
def test_rates_that_do_not_fit_are_refused(make_raw, rate, params, message):
    X = windows(make_raw(sfreq=rate))
    with pytest.raises(ValueError, match=message):
        EEGFilter(causal=True, **params).fit(X)


def test_parameters_that_change_after_the_fit_are_refused(make_raw):
    X = windows(make_raw())
    for one, other in (({}, {"causal": True}), ({"causal": True}, {"reference": None})):
        eeg_filter = EEGFilter(**one).fit(X).set_params(**other)
        with pytest.raises(ValueError, match="fitted with other parameters; fit it again"):
            eeg_filter.stream(RATE)


def test_a_stream_that_is_finished_has_as_many_samples_as_the_recording(make_raw):
    eeg = make_raw().get_data()
    for params in ({}, {"sfreq": 80.0, "h_freq": 30.0}, {"sfreq": None}):
        stream = EEGFilter(causal=True, **params).fit(windows(make_raw())).stream(RATE)
        assert stream.finish().shape == (len(eeg), 0)
        n_times = stream.transform(eeg).shape[1] + stream.finish().shape[1]
        assert n_times == round(eeg.shape[1] * stream.sfreq / RATE)


def test_a_window_ends_with_the_eeg_of_its_own_time(make_raw):
    # The delay is counted: EEG of the last 20 ms lies in this window, not in the next one.
    raw = make_raw(sfreq=RATE, duration=45.0)
    raw._data *= 0.01 + 100 * ((raw.times >= 20.0) & (raw.times < 22.0))
    X = EEGFilter(8.0, 40.0, causal=True).fit_transform(windows(raw))
    power = np.square(np.asarray(Windower(2.0).fit_transform(X))).mean(axis=(1, 2))
    assert power[np.flatnonzero(X.times == 22.0)] > 0.98 * power.sum()
