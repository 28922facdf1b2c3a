"""Does a study larger than memory train? Recordings in files, filtered to files, two models.

The content is simulated: noise, with an alpha rhythm on a few channels whose power BOLD follows, so
that r on the last recordings tells whether anything was learned. The recordings are written to
--folder, and deleted at the end unless --keep is given. Printed are the seconds of every step, and
two peaks of this process while it ran, seen every 20 ms:

anonymous    RssAnon of /proc/self/status: what the process itself asked for, and what has to fit
resident     VmRSS: with the pages of the files that were read last, which the system takes back
             when anything else needs the room

Run: OMP_NUM_THREADS=1 python benchmarks/larger_than_memory.py --gb 24 --folder /big/disk
"""

import argparse
import shutil
import tempfile
import threading
import time
from pathlib import Path

import mne
import numpy as np
import torch
from scipy.signal import lfilter

from sklearn_beira import BEIRARegressor, EEGFilter, EEGWindows, Windower
from sklearn_beira.baselines.makers import make_band_power_ridge
from sklearn_beira.evaluation.metrics import pearson_r
from sklearn_beira.features.hrf import response_basis

T_R, DURATION = 2.0, 20.0
N_ALPHA = 4  # channels with the rhythm
PIECE = 60  # s written at a time


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gb", type=float, default=1.0, help="size of the recordings")
    parser.add_argument("--minutes", type=int, default=20, help="of each recording")
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--sfreq", type=int, default=1000)
    parser.add_argument("--regions", type=int, default=2)
    parser.add_argument("--models", nargs="+", default=["ridge", "beira"])
    parser.add_argument("--folder", help="where the files go; by default the temporary folder")
    parser.add_argument("--keep", action="store_true", help="keep the files, and use those there")
    args = parser.parse_args()
    torch.set_num_threads(1)
    folder = Path(args.folder or tempfile.mkdtemp())
    try:
        run(args, folder)
    finally:
        if not args.keep:
            shutil.rmtree(folder, ignore_errors=True)


def run(args, folder):
    """Take the steps one after the other."""
    n_times = args.minutes * 60 * args.sfreq
    n_runs = max(2, round(args.gb * 1e9 / (4 * args.channels * n_times)))
    gb = n_runs * args.channels * n_times * 4 / 1e9
    total, free = memory()
    print(
        f"{n_runs} recordings of {args.minutes} min, {args.channels} channels at {args.sfreq} Hz: "
        f"{gb:.1f} GB; this machine has {total:.1f} GB of memory, {free:.1f} GB of it available",
        flush=True,
    )
    with step("write the recordings"):
        bolds = [
            write_run(folder / "raw" / f"{k}.npy", args, n_times, seed=k) for k in range(n_runs)
        ]
    onsets = np.arange(len(bolds[0])) * T_R
    use = onsets >= DURATION
    info = mne.create_info([f"E{i}" for i in range(args.channels)], args.sfreq, "eeg")
    with step("make X"):
        X = EEGWindows(
            [np.load(folder / "raw" / f"{k}.npy", mmap_mode="r") for k in range(n_runs)],
            np.repeat(np.arange(n_runs), use.sum()),
            np.tile(onsets[use], n_runs),
            info,
            tmin=-DURATION,
            tmax=0.0,
        )
    y = np.concatenate([bold[use] for bold in bolds])
    with step("filter"):
        X = EEGFilter(1, 45, sfreq=100, folder=folder / "filtered").fit_transform(X)
    X = Windower(DURATION).fit_transform(X)
    print(f"{len(X)} volumes, {sum(r.nbytes for r in X.recordings) / 1e9:.1f} GB once filtered")
    test = X.groups >= n_runs - max(1, n_runs // 10)
    models = {"ridge": make_band_power_ridge(DURATION), "beira": BEIRARegressor(verbose=False)}
    for name in args.models:
        with step(f"fit {name}"):
            model = models[name].fit(X[~test], y[~test])
        with step(f"predict {name}"):
            y_pred = model.predict(X[test])
        r = pearson_r(y[test], y_pred, multioutput="raw_values")
        print(f"r of {name} on {test.sum()} other volumes: {np.round(r, 2)}", flush=True)


def write_run(path, args, n_times, seed):
    """Write one recording minute by minute, and return its BOLD (n_volumes, n_regions)."""
    rng = np.random.default_rng(seed)
    seconds = n_times // args.sfreq
    # Power of the rhythm in every second, smooth over about ten; BOLD follows it by the response.
    drive = lfilter([1], [1, -0.9], rng.standard_normal(seconds)) / 2.3
    kernel = response_basis(np.arange(0.5, DURATION))[:, 0]
    response = np.convolve(drive, kernel)[:seconds]
    response = (response / response.std())[:: round(T_R), None]
    bold = response + rng.standard_normal((len(response), args.regions))
    if path.exists():
        return bold
    path.parent.mkdir(parents=True, exist_ok=True)
    pool = 1e-5 * np.random.default_rng(0).standard_normal(2**22).astype(np.float32)
    eeg = np.lib.format.open_memmap(path, "w+", np.float32, (args.channels, n_times))
    amplitude = np.repeat(np.exp(drive / 4).astype(np.float32), args.sfreq)
    carrier = 1e-5 * np.sin(2 * np.pi * 10 * np.arange(args.sfreq) / args.sfreq).astype(np.float32)
    for start in range(0, n_times, PIECE * args.sfreq):
        stop = min(start + PIECE * args.sfreq, n_times)
        rhythm = amplitude[start:stop] * np.tile(carrier, (stop - start) // args.sfreq)
        for c in range(args.channels):
            first = rng.integers(len(pool) - (stop - start))
            eeg[c, start:stop] = pool[first : first + stop - start]
            if c < N_ALPHA:
                eeg[c, start:stop] += (1 + c) * rhythm
    return bold


class step:
    """Print seconds and peaks of what is done inside."""

    def __init__(self, name):
        self.name = name

    def __enter__(self):
        self.peaks, self.done = np.zeros(2), threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        self.started = time.perf_counter()

    def watch(self):
        while not self.done.wait(0.02):
            self.peaks = np.maximum(self.peaks, status("RssAnon", "VmRSS"))

    def __exit__(self, *error):
        seconds = time.perf_counter() - self.started
        self.done.set()
        self.thread.join()
        anonymous, resident = np.maximum(self.peaks, status("RssAnon", "VmRSS"))
        print(
            f"{self.name:22s}{seconds:8.1f} s   anonymous {anonymous:6.2f} GB   "
            f"resident {resident:6.2f} GB",
            flush=True,
        )


def status(*names, path="/proc/self/status"):
    """Read sizes in GB from a file of the system."""
    lines = dict(line.split(":", 1) for line in Path(path).read_text().splitlines() if ":" in line)
    return [int(lines[name].split()[0]) * 1024 / 1e9 for name in names]


def memory():
    """Memory of the machine in GB: all, and what is available."""
    return status("MemTotal", "MemAvailable", path="/proc/meminfo")


if __name__ == "__main__":
    main()
