"""Predictions while EEG is recorded: what causal filters cost in r, and how fast and lean it is.

    OMP_NUM_THREADS=1 python benchmarks/realtime.py causal        r, zero-phase and causal
    OMP_NUM_THREADS=1 python benchmarks/realtime.py push          time of a push, 1 and 5 kHz
    OMP_NUM_THREADS=1 python benchmarks/realtime.py memory        two hours at 1 kHz, accelerated
    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/realtime.py replay --minutes 5 --sfreq 5000

Simulated EEG. ``replay`` plays 64 channels at real speed through PlayerLSL of mne-lsl, in a process
of its own, and predicts from the stream.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import mne
import numpy as np
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import Pipeline

from sklearn_beira import (
    BEIRARegressor,
    BlockedKFold,
    BoldTwin,
    EEGFilter,
    Windower,
    align,
    load_table,
    make_band_power_ridge,
    make_eeg_fmri,
    pearson_r,
    run_live,
)

T_R, CHUNK = 2.0, 0.01  # s
TAILS = {
    "default": lambda: [("window", Windower(20.0)), ("beira", BEIRARegressor(verbose=False))],
    "ridge": lambda: make_band_power_ridge(20.0).steps,
}
PLAYER = """
import sys, time, mne
from mne_lsl.player import PlayerLSL
raw = mne.io.read_raw(sys.argv[1], preload=True, verbose="error")
size = round(raw.info["sfreq"] * float(sys.argv[2]))
player = PlayerLSL(raw, chunk_size=size, name="benchmark EEG", source_id="benchmark").start()
time.sleep(1e6)
"""


def make_data(seed, minutes, **params):
    study = make_eeg_fmri(duration=60 * minutes, t_r=T_R, random_state=seed, **params)
    X, y = align(study.raws, study.bolds, trigger="mri", tmin=-20.0, verbose="error")
    return study, X, y


def causal(args):
    """Mean r over regions: five blocks within a run, and a second run offline and live."""
    found = {}
    for seed in range(args.seeds):
        _, X, y = make_data(seed, 10)
        _, X2, y2 = make_data(seed, 10, n_runs=2)
        for name, tail in TAILS.items():
            for is_causal in (False, True):
                model = Pipeline([("filter", EEGFilter(causal=is_causal)), *tail()])
                p = cross_val_predict(model, X, y, cv=BlockedKFold(5))
                found.setdefault((name, is_causal), []).append(pearson_r(y, p))
            first, second = X2.groups == 0, X2.groups == 1
            model.fit(X2[first], y2[first])
            offline = model.predict(X2[second])
            eeg = X2.recordings[1]
            times, bold = zip(*BoldTwin(model, X2.sfreq, step=T_R).push(eeg), strict=True)
            volumes = np.round(X2.times[second], 6)
            bold = np.array(bold)[np.isin(np.round(times, 6), volumes)]
            known = np.isin(volumes, np.round(times, 6))
            for key, p in (("offline", offline[known]), ("live", bold)):
                truth = y2[second][known]
                found.setdefault((name, key), []).append(pearson_r(truth, p))
    for name in TAILS:
        before, after = (np.array(found[name, c]) for c in (False, True))
        error = (before - after).std(ddof=1) / np.sqrt(args.seeds) if args.seeds > 1 else np.nan
        print(
            f"{name}: zero-phase {before.mean():.3f}, causal {after.mean():.3f}, loss "
            f"{(before - after).mean():.4f} ± {error:.4f} over {args.seeds} seeds; second run "
            f"offline {np.mean(found[name, 'offline']):.4f}, live "
            f"{np.mean(found[name, 'live']):.4f}"
        )


def make_model(name="default"):
    _, X, y = make_data(0, 10, n_channels=64)
    return Pipeline([("filter", EEGFilter(causal=True)), *TAILS[name]()]).fit(X, y), X


def make_eeg(X, sfreq, seconds):
    raw = mne.io.RawArray(X.recordings[0], X.info, verbose="error")
    raw = raw.crop(0, seconds + 1.0).resample(sfreq, verbose="error")
    # Not a multiple of the chunk: PlayerLSL would send the whole file at once at its end.
    return raw.crop(0, seconds + 3 / sfreq, include_tmax=False)


def push(args):
    """Time of pushes of 10 ms of 64 channels."""
    model, X = make_model()
    for sfreq in (1000.0, 5000.0):
        eeg, twin = make_eeg(X, sfreq, 120.0).get_data(), BoldTwin(model, sfreq)
        size, taken, with_one = round(sfreq * CHUNK), [], []
        for start in range(0, eeg.shape[1], size):
            began = time.perf_counter()
            found = twin.push(eeg[:, start : start + size])
            taken.append(time.perf_counter() - began)
            with_one.append(bool(found))
        taken = 1000 * np.array(taken)
        predicted = taken[np.array(with_one)]
        print(
            f"{sfreq:g} Hz: pushes of 10 ms with a prediction {np.median(predicted):.1f} ms "
            f"(median), {np.percentile(predicted, 99):.1f} ms (p99), {predicted.max():.1f} ms "
            f"(most); all together {taken.sum() / 1200:.1f} % of one core"
        )


def memory(args):
    """Memory over an accelerated session."""
    model, X = make_model()
    eeg, twin = make_eeg(X, 1000.0, 60.0).get_data(), BoldTwin(model, 1000.0)
    for minute in range(round(60 * args.hours) + 1):
        if minute % 20 == 0 or minute == 2:
            print(f"{minute:4d} min: {resident() / 1e6:.1f} MB", flush=True)
        for start in range(0, eeg.shape[1], 10):
            twin.push(eeg[:, start : start + 10])


def resident():
    """Memory of this process in bytes, on Linux."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return 4096 * pages


def replay(args):
    """Real speed, through the network of this computer."""
    model, X = make_model()
    with tempfile.TemporaryDirectory() as folder:
        path, log = Path(folder) / "replay_raw.fif", Path(folder) / "log.tsv"
        # Played eight times: after ten, a file of 1 kHz may end with a chunk.
        make_eeg(X, args.sfreq, max(60.0, 7.5 * args.minutes)).save(path, verbose="error")
        command = [sys.executable, "-c", PLAYER, str(path), str(CHUNK)]
        player = subprocess.Popen(command)
        before = resident()
        facts = run_live(model, "benchmark EEG", log=log, minutes=args.minutes)
        player.kill()
        player.wait()
        table = load_table(log)
    age, compute = 1000 * table["eeg_age_s"], 1000 * facts.compute
    # The player stamps samples by their number, so that a lost one would shift all after it.
    drift = (table["time_s"].iloc[-1] - table["time_s"].iloc[0]) - (len(table) - 1)
    print(
        f"{args.sfreq:g} Hz, {facts.n_samples} samples, {facts.n_lost} lost, clock of samples off "
        f"by {1e6 * drift:.0f} µs at the end; {len(table)} predictions, out "
        f"{np.median(age):.1f} ms (median), {np.percentile(age, 99):.1f} ms (p99), "
        f"{age.max():.1f} ms (most) after the last sample, computed in {np.median(compute):.1f}, "
        f"{np.percentile(compute, 99):.1f}, {compute.max():.1f} ms; memory "
        f"{before / 1e6:.0f} MB before, {resident() / 1e6:.0f} MB after"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = {"causal": causal, "push": push, "memory": memory, "replay": replay}
    parser.add_argument("parts", nargs="+", choices=parts)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--sfreq", type=float, default=1000.0)
    args = parser.parse_args()
    for part in args.parts:
        parts[part](args)


if __name__ == "__main__":
    main()
