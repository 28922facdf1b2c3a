"""Sessions with the Lab Streaming Layer, on streams that this computer sends to itself."""

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

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


class FakeInlet:
    """An inlet of EEG with one channel more than the model has, first."""

    def __init__(self, names, units):
        self.sfreq, self.n_channels, self.chunks = RATE, 1 + len(names), []
        self.get_sinfo = lambda: self
        self.get_channel_names = lambda: ["misc", *names]
        self.get_channel_units = lambda: units if units is None else ["none", *[units] * len(names)]

    def pull_chunk(self, timeout, max_samples):
        return self.chunks.pop() if self.chunks else (np.zeros((0, 1)), np.zeros(0))


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
    assert live.said == [
        "The clock of the EEG went back by 5.00 s; time stamps follow it, and predictions go on "
        "when a window is full."
    ]
    rows = live.rows()
    assert not live.facts.n_lost
    np.testing.assert_allclose(rows[:6, 0], np.arange(104, 110), atol=0.01)
    assert 109 <= rows[6, 0] < 110
    np.testing.assert_allclose(np.diff(rows[6:, 0]), 1.0, atol=0.01)
    # Nothing of the EEG before is in the windows.
    other = BoldTwin(live.model, RATE, step=0.004)
    times, bold = zip(*other.push(live.eeg[:, : round(10 * RATE)]), strict=True)
    at = np.searchsorted(np.array(times) + 105, rows[6, 0] - 0.002)
    np.testing.assert_allclose(rows[6, 1:3], bold[at], rtol=1e-6)


def test_nan_is_left_out_and_said(live):
    live.eeg = live.eeg.copy()
    live.eeg[2, 2000:2020] = np.nan
    play(live, 0, 20)
    assert live.facts.n_lost == 50
    name = live.twin.ch_names[2]
    assert live.said == [
        f"The EEG of {name} holds NaN or infinite values; all channels are left out meanwhile."
    ]
    assert len(live.rows()) == 16
    assert np.isfinite(live.rows()).all()


@pytest.mark.parametrize("n", [25, 75])
def test_nan_in_several_chunks_is_one_gap(live, n):
    live.eeg = live.eeg.copy()
    live.eeg[2, 2025:2100] = np.nan
    play(live, 0, 18, n=n)
    assert live.facts.n_lost == 75
    assert len(live.said) == 1
    assert live.twin.n_seen == round(18 * RATE)
    np.testing.assert_allclose(live.rows()[:, 0], np.arange(4, 18), atol=1e-9)


def test_an_electrode_that_stays_bad_is_said_once(live):
    live.eeg = live.eeg.copy()
    live.eeg[2, 2000:] = np.nan
    play(live, 0, 20)
    assert len(live.said) == 2
    assert "s of EEG are missing; predictions go on in 4 s" in live.said[1]
    assert live.facts.n_lost == 3000


def test_gaps_within_a_chunk_are_noticed(live):
    play(live, 0, 10)
    k = np.r_[2500:2520, 2620:2650]
    live.push(live.eeg[:, k], k / RATE)
    assert live.facts.n_lost == 100
    assert live.twin.n_seen == 2650
    assert live.said == ["0.40 s of EEG are missing, and were bridged."]


@pytest.mark.parametrize(
    ("units", "scale"),
    [
        ("microvolts", 1e-6),
        ("\u00b5V", 1e-6),
        ("\u03bcV", 1e-6),
        ("uV", 1e-6),
        ("-6", 1e-6),
        ("nanovolts", 1e-9),
        ("mV", 1e-3),
        ("Volts", 1.0),
        (None, 1.0),
    ],
)
def test_eeg_is_scaled_to_volts(live, units, scale):
    take = session._Channels(FakeInlet(live.twin.ch_names, units))
    take.pick(live.twin, "EEG")
    np.testing.assert_array_equal(take(np.ones((5, 7))), np.full((6, 5), scale))
    assert take.has_units == (units is not None)


def test_units_that_are_not_known_are_refused(live):
    take = session._Channels(FakeInlet(live.twin.ch_names, "counts"))
    with pytest.raises(ValueError, match="the stream 'EEG' has EEG in counts; V, mV"):
        take.pick(live.twin, "EEG")


def test_the_feedback_is_a_z_score_of_what_was_before():
    out = session._Outputs(FakeLSL(), ["a", "b"], "twin", "b")
    values = np.random.default_rng(0).uniform(6.0, 8.0, 50)
    values[40] = 99.0
    for k, value in enumerate(values):
        out.send(k, np.array([0.0, value]), 0.0, 1.0)
    found = np.array([row[-1] for row in out.bold.sent if len(row) > 2])
    assert not found[:10].any()
    assert found[40] == 3.0
    before = values[:30]
    assert found[30] == pytest.approx((values[30] - before.mean()) / before.std())
    # The artifact has counted as 3 SD.
    before = np.append(values[:40], values[:40].mean() + 3 * values[:40].std())
    assert found[41] == pytest.approx((values[41] - before.mean()) / before.std())
    alone = [row[1] for row in out.bold.sent if len(row) == 2]
    np.testing.assert_array_equal(alone, found)
    with pytest.raises(ValueError, match="there is no region 'c'; give one of a, b"):
        session._Outputs(FakeLSL(), ["a", "b"], "twin", "c")


def test_the_log_is_appended_and_never_replaced(tmp_path):
    columns = ["time_s", "a", *session.EXTRAS]
    for n in (1, 2):
        out = session._Outputs(FakeLSL(), ["a"], "twin", None)
        with session._open_log(tmp_path / "log.tsv", ["a"]) as out.log:
            out.send(10.0 * n, np.array([1.5]), 0.01, 0.9)
        assert load_table(tmp_path / "log.tsv")["time_s"].tolist() == [10.0, 20.0][:n]
    table = load_table(tmp_path / "log.tsv")
    assert list(table) == columns
    assert table["quality"].tolist() == [0.9, 0.9]
    with pytest.raises(ValueError, match=r"log.tsv holds another table; give --log another file"):
        session._open_log(tmp_path / "log.tsv", ["a", "b"])


@pytest.mark.parametrize("torn", [b"", b"time_s\ta\teeg_age_s\tquality\tfeedback\n12.5\t0."])
def test_the_log_of_a_killed_session_goes_on(tmp_path, torn):
    path = tmp_path / "log.tsv"
    path.write_bytes(torn)
    out = session._Outputs(FakeLSL(), ["a"], "twin", None)
    with session._open_log(path, ["a"]) as out.log:
        assert path.read_bytes().startswith(b"time_s\ta\t")  # also if it is killed now
        out.send(20.0, np.array([1.5]), 0.01, 0.9)
    lines = path.read_text().splitlines()
    assert lines[-1].split("\t") == ["20.000000", "1.5", "0.01", "0.9", "0"]
    assert len(lines) == (3 if torn else 2)


# -- what is refused before there is a stream -----------------------------------------------------
@pytest.fixture
def no_stream(monkeypatch):
    """A network without streams, on which Ctrl-C is pressed."""

    def connect(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(session, "import_extra", lambda *_: FakeLSL())
    monkeypatch.setattr(session, "_connect", connect)


def test_control_c_ends_a_session(data, no_stream):
    facts = run_live(data[0], "EEG")
    assert facts.n_samples == facts.n_predictions == 0
    assert facts.compute.shape == (0,)


def test_what_cannot_work_is_said_before_there_is_eeg(data, no_stream, tmp_path):
    model, _, X, y = data
    (tmp_path / "log.tsv").write_text("a\tb\n")
    for regions in (["a", "b"], None):
        with pytest.raises(ValueError, match=r"log.tsv holds another table"):
            run_live(model, "EEG", regions=regions, log=tmp_path / "log.tsv")
    (tmp_path / "log.tsv").write_text("\t".join(["time_s", "a", *session.EXTRAS]) + "\n")
    assert not run_live(model, "EEG", log=tmp_path / "log.tsv").n_predictions
    with pytest.raises(ValueError, match="there is no region 'c'; give one of a, b"):
        run_live(model, "EEG", regions=["a", "b"], feedback="c")
    for name in ("EEG", "EE"):
        with pytest.raises(ValueError, match="must not both be called"):
            run_live(model, name + " feedback" * (name == "EE"), name=name)
    steps = [("filter", EEGFilter()), *make_band_power_ridge(4.0).steps]
    with pytest.raises(ValueError, match="zero-phase filter"):
        run_live(Pipeline(steps).fit(X, y), "EEG")


class FakeStream:
    def __init__(self, sfreq):
        self.sfreq = sfreq


class Network:
    """Streams that answer to a search, one search after the other."""

    def __init__(self, *answers):
        self.answers = list(answers)

    def resolve_streams(self, timeout, name, minimum):
        return self.answers.pop(0)[:minimum]

    def StreamInlet(self, found, **_):
        inlet = FakeInlet(["a"], None)
        inlet.found, inlet.open_stream = found, lambda timeout: None
        return inlet


def test_streams_of_the_same_name_are_refused_but_not_after_a_loss():
    one, other, markers = FakeStream(250.0), FakeStream(250.0), FakeStream(0.0)
    inlet = session._connect(Network([markers, one]), "EEG", print, np.inf)
    assert inlet.found is one
    with pytest.raises(ValueError, match="2 streams are called 'EEG'"):
        session._connect(Network([one, other]), "EEG", print, np.inf)
    inlet = session._connect(Network([one, other], [other]), "EEG", print, np.inf, again=True)
    assert inlet.found is other


def test_a_silent_stream_is_said_once_and_is_no_connection(live, monkeypatch):
    monkeypatch.setattr(session, "_SILENCE", 0.01)
    inlet = FakeInlet(live.twin.ch_names, "V")
    take = session._Channels(inlet)
    take.pick(live.twin, "EEG")
    for _ in range(3):
        assert live.listen(inlet, take, np.inf, 1.0) == np.inf  # minutes have not begun
    assert live.said == ["No EEG for 0.01 s; looking for the stream again."]
    assert not live.facts.n_connections
    inlet.chunks = [(np.zeros((5, 7)), np.arange(5) / RATE)]
    assert 50 < live.listen(inlet, take, np.inf, 1.0) - time.monotonic() < 61
    assert live.facts.n_connections == 1


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


def test_each_session_has_a_log_of_its_own(capsys, monkeypatch):
    pytest.importorskip("mne_lsl")
    given, facts = {}, session.Bunch(n_predictions=3, n_samples=750, n_lost=0)
    monkeypatch.setattr("sklearn_beira.cli.live.load_model", str)
    monkeypatch.setattr(
        "sklearn_beira.cli.live.run_live", lambda *_, **kw: given.update(kw) or facts
    )
    assert main(["live", "m", "--stream", "s"]) == 0
    assert re.fullmatch(r"beira_live_\d{8}-\d{4}\.tsv", given["log"])
    assert f"3 predictions in {given['log']}, from 750" in capsys.readouterr().out
    assert main(["live", "m", "--stream", "s", "--log", "mine.tsv"]) == 0
    assert given["log"] == "mine.tsv"


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


@pytest.mark.slow
def test_the_example_predicts_live_what_it_predicts_afterwards(tmp_path):
    pytest.importorskip("mne_lsl")
    example = Path(__file__).parents[1] / "examples" / "replay_live_session.py"
    environment = {**os.environ, "MPLBACKEND": "Agg", "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, example], check=True, capture_output=True, text=True, env=environment
    )
    assert float(re.search(r"live and offline predictions: (\S+)", done.stdout)[1]) > 0.99
    (log,) = tmp_path.glob("*/session.tsv")
    assert len(load_table(log)) > 40
