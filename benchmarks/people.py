"""People that a model has not met: others alone, own minutes alone, and both.

- "sleepers": the recordings of ``load_sleep_states``. Log powers of the volume and of the seven
  before, scaled per person, predict log-odds of the decoded states by ridge regression; both sides
  are high-passed at 128 s.
- "simulated": people whose couplings are shared to a given degree, with the same electrodes or with
  sources mixed differently at the electrodes.
- "pretrained": the same people, and ``BEIRARegressor.fit(X, y, pretrained=others)``.

    OMP_NUM_THREADS=1 python benchmarks/people.py sleepers simulated
    OMP_NUM_THREADS=1 python benchmarks/people.py simulated --model beira --people 4 --length 16
    OMP_NUM_THREADS=1 python benchmarks/people.py pretrained --people 4 --length 24
"""

import argparse
import warnings

import mne
import numpy as np
import pandas as pd
from scipy.signal import butter, lfilter, sosfiltfilt

from sklearn_beira import (
    BEIRARegressor,
    BlockedRidgeCV,
    EEGWindows,
    hrf_at,
    learning_curve_minutes,
    make_band_power_ridge,
    pearson_r,
)
from sklearn_beira.datasets import load_sleep_states

MINUTES = (1, 3, 6, 13, 26)
SFREQ, T_R, HISTORY = 100.0, 2.0, 20.0
BANDS = [(4, 8), (8, 12), (12, 18), (18, 30)]


def sleepers():
    """Features, targets and subjects of the sleepers."""
    data = load_sleep_states()
    p = data.y.to_numpy().clip(1e-5, 1 - 1e-5)
    X, y, subjects = [], [], []
    for person in np.unique(data.subjects):
        rows = data.subjects == person
        powers, odds = (
            high_pass(v, data.t_r) for v in (data.X.to_numpy()[rows], np.log(p / (1 - p))[rows])
        )
        powers, odds = ((v - v.mean(axis=0)) / v.std(axis=0) for v in (powers, odds))
        X.append(np.concatenate([powers[7 - lag : len(powers) - lag] for lag in range(8)], axis=1))
        y.append(odds[7:])
        subjects += [person] * len(y[-1])
    return np.concatenate(X), np.concatenate(y), np.array(subjects), data.t_r


def high_pass(values, t_r, period=128.0):
    """Remove cosines slower than a period in s."""
    n = len(values)
    slow = np.arange(int(2 * n * t_r / period) + 1)
    basis = np.cos(np.pi * np.outer(np.arange(n) + 0.5, slow) / n)
    basis /= np.linalg.norm(basis, axis=0)
    return values - basis @ (basis.T @ values)


def simulate(shared, displacement, n_people, length, seed, n_channels=16, n_sources=12, n_rois=4):
    """Windows and BOLD of people: BOLD follows powers of sources, with weights shared in part."""
    rng = np.random.default_rng(seed)
    n = round((60 * length + HISTORY) * SFREQ)
    maps = rng.standard_normal((n_channels, n_sources))
    common = rng.standard_normal((n_rois, n_sources))
    onsets = HISTORY + 1 + np.arange(int((60 * length - 2) / T_R)) * T_R
    kernel = hrf_at(np.arange(0, 30, 1 / SFREQ))
    slow = butter(2, 0.15, fs=SFREQ, output="sos")
    recordings, bold = [], []
    for _ in range(n_people):
        powers, sources = [], []
        for k in range(n_sources):
            band = butter(2, BANDS[k % len(BANDS)], "bandpass", fs=SFREQ, output="sos")
            size = sosfiltfilt(slow, rng.standard_normal(n))
            size = np.exp(0.8 * size / size.std())
            wave = sosfiltfilt(band, rng.standard_normal(n))
            sources.append(np.sqrt(size) * wave / wave.std())
            powers.append(lfilter(kernel / kernel.sum(), [1.0], size))
        mixing = np.eye(n_channels) + displacement * rng.standard_normal((n_channels,) * 2) / 4
        noise = np.cumsum(rng.standard_normal((n_channels, n)), axis=1) * 0.02
        eeg = mixing @ maps @ np.array(sources) + noise + rng.standard_normal((n_channels, n))
        recordings.append(10e-6 * eeg)
        at = np.array(powers)[:, np.round(onsets * SFREQ).astype(int)].T
        at = (at - at.mean(axis=0)) / at.std(axis=0)
        own = rng.standard_normal((n_rois, n_sources))
        signal = at @ (np.sqrt(shared) * common + np.sqrt(1 - shared) * own).T
        noise = lfilter([1.0], [1.0, -0.7], rng.standard_normal(signal.shape), axis=0)
        bold.append(0.6 * signal / signal.std(axis=0) + 0.8 * noise / noise.std(axis=0))
    info = mne.create_info(n_channels, SFREQ, "eeg")
    recording = np.repeat(np.arange(n_people), len(onsets))
    names = [f"person {k + 1}" for k in range(n_people)]
    X = EEGWindows(
        recordings, recording, np.tile(onsets, n_people), info, tmin=-HISTORY, tmax=0.0,
        subjects=names,
    )  # fmt: skip
    return X, np.concatenate(bold)


def pretrained(X, y, minutes):
    """Predict each person by others, own first minutes, and own minutes with the others before."""
    found = []
    for k in np.unique(X.groups):
        mine = np.flatnonzero(X.groups == k)
        apart = round(X.reach / T_R)
        test = mine[round(30 * minutes[-1]) + apart :]
        others = BEIRARegressor(verbose=False).fit(X[X.groups != k], y[X.groups != k])
        for length in minutes:
            own = mine[: round(30 * length)]
            alone, both = (
                BEIRARegressor(verbose=False).fit(X[own], y[own], pretrained=known)
                for known in (None, others)
            )
            for name, model in (("others", others), ("own", alone), ("pretrained", both)):
                r = pearson_r(y[test], model.predict(X[test]))
                found.append((k, length, name, r))
    return pd.DataFrame(found, columns=["subject", "minutes", "model", "r"])


def show(title, curve):
    """Print mean r and weights."""
    r = curve.groupby(["model", "minutes"])["r"].mean().unstack()
    print(f"\n{title}: mean r of {curve['subject'].nunique()} people")
    print(f"{'own minutes':>14s}" + "".join(f"{m:8g}" for m in r.columns))
    for name in r.index:
        print(f"{name:>14s}" + "".join(f"{v:8.3f}" for v in r.loc[name]), flush=True)
    if "weight_own" in curve:
        weights = curve[curve["model"] == "calibrated"].groupby("minutes")
        for name in ("weight_others", "weight_own"):
            print(f"{name:>14s}" + "".join(f"{v:8.2f}" for v in weights[name].mean()), flush=True)


def main(args):
    warnings.simplefilter("ignore")
    if "sleepers" in args.parts:
        X, y, subjects, t_r = sleepers()
        curve = learning_curve_minutes(
            BlockedRidgeCV(gap=30), X, y, MINUTES, subjects=subjects, t_r=t_r
        )
        show("sleepers", curve)
    for part in {"simulated", "pretrained"}.intersection(args.parts):
        ridge = make_band_power_ridge(HISTORY)
        model = ridge[2:] if args.model == "ridge" else BEIRARegressor(verbose=False)
        minutes = [m for m in MINUTES if m < 0.9 * args.length]
        for displacement in args.displacements:
            for shared in args.shares:
                X, y = simulate(shared, displacement, args.people, args.length, args.seed)
                if part == "pretrained":
                    show(f"shared {shared:g}, mixed by {displacement:g}", pretrained(X, y, minutes))
                    continue
                subjects = X.subjects
                if args.model == "ridge":  # what learns nothing is done once
                    X = ridge[:2].fit_transform(X, y)
                curve = learning_curve_minutes(model, X, y, minutes, subjects=subjects, t_r=T_R)
                show(f"{args.model}, shared {shared:g}, mixed by {displacement:g}", curve)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "parts",
        nargs="*",
        default=["sleepers", "simulated"],
        help="sleepers, simulated, pretrained",
    )
    parser.add_argument("--model", choices=["ridge", "beira"], default="ridge")
    parser.add_argument("--people", type=int, default=6)
    parser.add_argument("--length", type=float, default=32.0, help="minutes of each person")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.0, 0.5, 1.0])
    parser.add_argument("--displacements", type=float, nargs="+", default=[0.0, 0.5])
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args())
