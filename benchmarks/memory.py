"""Peak memory of a whole study: build X, filter, and go through all batches.

python benchmarks/memory.py                    20 runs of 10 minutes, 64 channels at 250 Hz
python benchmarks/memory.py --runs 1 --minutes 60

The EEG itself is what MNE holds in float64. The peak should stay under three times that.
"""

import argparse
import resource
import sys

import mne
import numpy as np

from sklearn_beira import EEGFilter, Windower, align

UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
T_R, BATCH_SIZE = 2.0, 16


def main():
    """Measure, step by step, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--sfreq", type=float, default=250.0)
    args = parser.parse_args()

    steps = [("start", peak())]
    raws = make_raws(args.runs, args.channels, round(args.minutes * 60 * args.sfreq), args.sfreq)
    eeg = sum(raw.get_data(stop=1).nbytes * raw.n_times for raw in raws)
    before = peak()
    steps.append(("recordings made", before))
    bolds = [np.zeros((round(args.minutes * 60 / T_R), 8)) for _ in raws]
    X, _ = align(raws, bolds, t_r=T_R, tmin=-20.0, tmax=0.0, verbose="error")
    steps.append(("align", peak()))
    X = EEGFilter(1, 45, sfreq=100).fit_transform(X)
    steps.append(("EEGFilter", peak()))
    X = Windower(20.0).fit_transform(X)
    total = sum(float(np.asarray(X[i : i + BATCH_SIZE]).sum()) for i in batches(len(X)))
    steps.append(("batches", peak()))
    assert np.isfinite(total)

    print(
        f"{args.runs} runs of {args.minutes:g} min, {args.channels} channels at {args.sfreq:g} Hz"
    )
    print(f"X {X.shape}, as an array {np.prod(X.shape) * 4 / 1e9:.2f} GB")
    print(f"EEG size           {eeg / 1e9:6.2f} GB")
    for name, value in steps:
        print(f"peak, {name:15s}{value / 1e9:6.2f} GB {(value - steps[0][1]) / eeg:6.2f} x EEG")
    print(f"RSS before         {before / 1e9:6.2f} GB")
    print(f"peak               {peak() / 1e9:6.2f} GB")
    print(f"ratio              {peak() / eeg:6.2f}")


def make_raws(n_runs, n_channels, n_times, sfreq):
    """Make white noise in float64, without a second copy of it."""
    info = mne.create_info([f"E{i + 1}" for i in range(n_channels)], sfreq, "eeg")
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(2**16) * 1e-5
    raws = []
    for _ in range(n_runs):
        eeg = np.empty((n_channels, n_times))
        for channel in eeg:
            channel[:] = np.resize(np.roll(noise, rng.integers(2**16)), n_times)
        raws.append(mne.io.RawArray(eeg, info, verbose="error"))
    return raws


def batches(n_samples):
    """Return the first row of each batch."""
    return range(0, n_samples, BATCH_SIZE)


def peak():
    """Return the largest resident memory so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT


if __name__ == "__main__":
    main()
