"""Sessions with the Lab Streaming Layer, on streams that this computer sends to itself."""

import subprocess
import sys
import threading
import time

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import Pipeline

from sklearn_beira import EEGFilter, align, load_table, make_band_power_ridge, run_live, save_model
from sklearn_beira.cli import main
from sklearn_beira.realtime import session
from sklearn_beira.realtime.twin import BoldTwin

RATE = 250.0


@pytest.fixture(scope="module")
def data(make_study):
    study = make_study(n_runs=1, duration=150.0, random_state=1)
    raw = study.raws[0]
    X, y = align(raw, study.bolds[0], trigger="mri", tmin=-4.0, verbose="error")
    model = Pipeline([("filter", EEGFilter(causal=True)), *make_band_power_ridge(4.0).steps])
    return model.fit(X, y), raw.copy().pick("eeg"), X, y


class FakeLSL:
    """A clock that stands still, and outlets that remember."""

    def __init__(self, now=0.0):
        self.now, self.sent = now, []
        self.StreamInfo = lambda *given: self
        self.set_channel_names = list
        self.StreamOutlet = lambda info: self

    def local_clock(self):
        return self.now

    def push_sample(self, row, timestamp):
        self.sent.append((timestamp, *row))


@pytest.fixture
def live(data):
    """A session without a network: push EEG with time stamps, look at what was sent."""
    model, _, X, y = data
    lsl, said = FakeLSL(), []
    out = session._Outputs(lsl, list(y.columns), "twin", None)
    facts = session.Bunch(n_samples=0, n_lost=0, n_predictions=0, n_connections=0, compute=[])
    one = session._Session(lsl, BoldTwin(model, RATE), out, facts, said.append)
    one.model, one.eeg, one.said = model, X.recordings[0], said
    one.rows = lambda: np.array([row for row in lsl.sent if len(row) > 2])
    return one


def play(live, start, stop, offset=0.0, n=50):
    """Push EEG in chunks, stamped as sample / rate + offset."""
    for k in range(round(start * RATE), round(stop * RATE), n):
        live.lsl.now = (k + n) / RATE + offset + 0.003
        stamps = np.arange(k, k + n) / RATE + offset
        live.push(live.eeg[:, k : k + n], stamps)


# -- time stamps and gaps -------------------------------------------------------------------------
def test_time_stamps_are_those_of_the_eeg(live):
    play(live, 0, 20, offset=1000.0)
    rows = live.rows()
    np.testing.assert_allclose(rows[:, 0], 1000.0 + np.arange(4, 20), atol=1e-9)
    twin = BoldTwin(live.model, RATE)
    bold = np.array([b for _, b in twin.push(live.eeg[:, : round(20 * RATE)])])
    np.testing.assert_allclose(rows[:, 1:3], bold)
    np.testing.assert_allclose(rows[:, 3], 0.003, atol=1e-6)  # age
    assert (rows[:, 4] > 0.9).all()
    assert live.facts.n_samples == round(20 * RATE)
    assert not live.facts.n_lost
    assert not live.said


def test_a_clock_that_drifts_and_jitters_is_followed(live):
    rng = np.random.default_rng(0)
    for k in range(0, round(100 * RATE), 25):
        stamps = np.arange(k, k + 25) / (RATE * (1 - 1e-4)) + 50 + 0.01 * rng.standard_normal()
        live.push(live.eeg[:, k : k + 25], stamps)
    assert not live.facts.n_lost
    expected = 50 + np.arange(4, 100) / (1 - 1e-4)
    assert np.abs(live.rows()[:, 0] - expected).max() < 0.01


def test_lost_samples_are_counted_bridged_and_said(live):
    play(live, 0, 10)
    play(live, 10.4, 20)
    assert live.facts.n_lost == 100
    assert live.said == ["0.40 s of EEG are missing, and were bridged."]
    rows = live.rows()
    np.testing.assert_allclose(rows[:, 0], np.arange(4, 20), atol=0.01)
    assert (rows[(rows[:, 0] > 10.5) & (rows[:, 0] < 14), 4] < 0.95).all()


def test_after_a_long_gap_predictions_go_on_when_the_window_is_full(live):
    play(live, 0, 10)
    play(live, 13, 25)
    assert live.facts.n_lost == round(3 * RATE)
    assert live.said == ["3.00 s of EEG are missing; predictions go on in 4 s."]
    times = live.rows()[:, 0]
    np.testing.assert_allclose(times, [*range(4, 10), *range(17, 25)], atol=0.01)


def test_a_clock_that_goes_back_is_followed_and_said(live):
    play(live, 0, 10, offset=100.0)
    live.eeg = np.roll(live.eeg, -round(10 * RATE), axis=1)
    play(live, 0, 10, offset=105.0)
    assert live.said == ["The clock of the EEG went back by 5.00 s; time stamps follow it."]
    np.testing.assert_allclose(live.rows()[:, 0], [*range(104, 110), *range(105, 115)], atol=0.01)


def test_nan_is_left_out_and_said(live):
    live.eeg = live.eeg.copy()
    live.eeg[2, 2000:2020] = np.nan
    play(live, 0, 20)
    assert live.facts.n_lost == 50
    assert live.said[0] == "The EEG holds NaN or infinite values; these samples are left out."
    assert len(live.rows()) == 16
    assert np.isfinite(live.rows()).all()


def test_the_feedback_is_a_z_score_of_what_was_before():
    out = session._Outputs(FakeLSL(), ["a", "b"], "twin", "b")
    values = np.random.default_rng(0).standard_normal(50) + 7
    values[40] = 99.0
    for k, value in enumerate(values):
        out.send(k, np.array([0.0, value]), 0.0, 1.0)
    found = np.array([row[-1] for row in out.bold.sent if len(row) > 2])
    assert not found[:10].any()
    assert found[40] == 3.0
    before = values[:30]
    assert found[30] == pytest.approx((values[30] - before.mean()) / before.std())
    alone = [row[1] for row in out.bold.sent if len(row) == 2]
    np.testing.assert_array_equal(alone, found)
    with pytest.raises(ValueError, match="there is no region 'c'; give one of a, b"):
        session._Outputs(FakeLSL(), ["a", "b"], "twin", "c")


def test_the_log_is_appended_and_never_replaced(tmp_path):
    columns = ["time_s", "a", *session.EXTRAS]
    for n in (1, 2):
        out = session._Outputs(FakeLSL(), ["a"], "twin", None)
        with session._open_log(tmp_path / "log.tsv", columns) as out.log:
            out.send(10.0 * n, np.array([1.5]), 0.01, 0.9)
        assert load_table(tmp_path / "log.tsv")["time_s"].tolist() == [10.0, 20.0][:n]
    table = load_table(tmp_path / "log.tsv")
    assert list(table) == columns
    assert table["quality"].tolist() == [0.9, 0.9]
    with pytest.raises(ValueError, match=r"log.tsv holds another table; give --log another file"):
        session._open_log(tmp_path / "log.tsv", [*columns, "b"])


# -- the command ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["live"], "required: MODEL, --stream"),
        (["live", "m", "--stream", "s", "--step", "0"], "--step must be above 0, got 0"),
        (["live", "m", "--stream", "s", "--minutes", "-1"], "--minutes must be above 0, got -1"),
        (["screen", "--minutes", "0"], "--minutes must be above 0, got 0"),
    ],
)
def test_wrong_options_are_refused(capsys, options, message):
    with pytest.raises(SystemExit):
        main(options)
    assert message in capsys.readouterr().err


def test_a_model_that_is_not_there_is_refused(capsys, tmp_path):
    pytest.importorskip("mne_lsl")
    assert main(["live", str(tmp_path / "none"), "--stream", "s"]) == 2
    assert "none" in capsys.readouterr().err


# -- streams --------------------------------------------------------------------------------------
PLAYER = """
import sys, time, mne
from mne_lsl.player import PlayerLSL
raw = mne.io.read_raw(sys.argv[1], preload=True, verbose="error")
player = PlayerLSL(raw, chunk_size=5, name=sys.argv[2], source_id=sys.argv[2]).start()
time.sleep(600)
"""


@pytest.fixture
def player(data, tmp_path):
    """Start players of the recording in processes of their own."""
    pytest.importorskip("mne_lsl")
    path, running = tmp_path / "one_raw.fif", []
    data[1].save(path, verbose="error")

    def start(name):
        running.append(subprocess.Popen([sys.executable, "-c", PLAYER, path, name]))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait()


def listen(name, seconds, found):
    """Collect the samples of a stream of predictions in a thread."""
    from mne_lsl import lsl

    def collect():
        streams = []
        while not streams:
            streams = lsl.resolve_streams(1.0, name=name)
        inlet = lsl.StreamInlet(streams[0])
        inlet.open_stream(timeout=10)
        found.append(inlet.get_sinfo().get_channel_names())
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            chunk, stamps = inlet.pull_chunk(timeout=0.1, max_samples=8)
            found.extend((t, *row) for t, row in zip(stamps, np.array(chunk), strict=True))

    thread = threading.Thread(target=collect)
    thread.start()
    return thread


@pytest.mark.slow
def test_a_lost_player_is_waited_for_and_no_sample_of_the_others_is_lost(data, player, tmp_path):
    model, _, _, y = data
    first, found, said = player("test EEG"), [], []
    thread = listen("test twin", 25.0, found)

    def restart():
        time.sleep(14.0)
        first.kill()
        first.wait()
        time.sleep(1.0)
        player("test EEG")

    other = threading.Thread(target=restart)
    other.start()
    log = tmp_path / "log.tsv"
    facts = run_live(
        model,
        "test EEG",
        name="test twin",
        minutes=0.5,
        log=log,
        regions=list(y.columns),
        say=said.append,
    )
    other.join()
    thread.join()
    assert facts.n_connections == 2
    assert "The stream was lost; waiting for it." in said
    assert any("s of EEG are missing; predictions go on in 4 s" in text for text in said)
    table = load_table(log)
    assert list(table) == ["time_s", *y.columns, "eeg_age_s", "quality", "feedback"]
    assert len(table) == facts.n_predictions >= 12
    # One second apart, but where the player was gone.
    steps = np.diff(table["time_s"])
    assert np.sum(np.abs(steps - 1) > 0.02) == 1
    assert abs(facts.n_samples + facts.n_lost - 30 * RATE) < 2.5 * RATE
    assert found[0] == list(table)[1:]
    streamed = pd.DataFrame(found[1:], columns=list(table))
    both = streamed.round(4).merge(table.round(4), on="time_s", suffixes=("", "_log"))
    assert len(both) >= 10
    np.testing.assert_allclose(both[y.columns[0]], both[f"{y.columns[0]}_log"], atol=2e-4)


@pytest.mark.slow
def test_a_killed_session_goes_on_in_the_same_log(data, player, tmp_path):
    model, *_ = data
    player("kill EEG")
    log, path = tmp_path / "log.tsv", tmp_path / "model.safetensors"
    save_model(model, path)
    command = [sys.executable, "-m", "sklearn_beira", "live", path, "--stream", "kill EEG"]
    command += ["--log", log, "--name", "kill twin"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while time.monotonic() < end and (not log.exists() or len(log.read_text().splitlines()) < 4):
        time.sleep(0.2)
    process.kill()
    process.wait()
    n = len(load_table(log))
    assert n >= 3
    done = subprocess.run(
        [*command, "--minutes", "0.15"], check=True, capture_output=True, text=True
    )
    assert "0 were lost" in done.stdout
    table = load_table(log)
    assert len(table) >= n + 3
    assert (np.diff(table["time_s"]) > 0.9).all()


@pytest.mark.slow
def test_streams_that_lack_channels_are_refused(data, player, tmp_path):
    model, raw, *_ = data
    raw = raw.copy().drop_channels(raw.ch_names[:1])
    raw.save(tmp_path / "one_raw.fif", overwrite=True, verbose="error")
    player("other EEG")
    with pytest.raises(ValueError, match=f"lacks the channels {data[1].ch_names[0]}, which"):
        run_live(model, "other EEG", name="other twin", minutes=0.2)
