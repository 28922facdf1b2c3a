"""How often is something found where there is nothing? Rates of the nulls, p values and intervals.

BOLD is predicted, by a lagged ridge if nothing else is said, from EEG that has nothing to do with
it, and the share of tests with p <= .05 is counted: per region ("p"), and of repetitions in which
any region has a corrected p <= .05 ("p_max", family-wise).

1. "defaults": those of ``null_test`` and ``compare`` on real BOLD (six scans of vu_bold; the six
   null regions of semireal), with band powers of the real EEG of other people (ds003574) at lags of
   0 to 8 volumes, drawn at random in every repetition.
2. "raw": the same with simulated raw EEG, filtered and all, by the lagged ridge and by
   ``BEIRARegressor``.
3. "nulls": every null, refitted or not, beside the p value that takes volumes as independent
   ("naive"), the one from effective n ("n_eff") and the share of 95 % intervals of out-of-fold r
   that leave out 0, on simulated AR(1) BOLD, on BOLD with a drift and on real BOLD, against the
   same EEG; in "drift in both" the EEG has linear drifts of its own.
4. "neighbors": fixed predictions where test blocks are near training volumes, on AR(1) BOLD, alone
   or under white noise, of two models that follow time: three nearest neighbors on features that
   wander ("wandering"), and the best there is, which knows time and how smooth BOLD is ("time").
   Beside them r, and what compare computes before it fits: the r that neighbors can give, and how
   many standard errors that is. Above 1.5 of them compare warns; above 2.5, and an r of .2, it
   refuses the folds.
5. "bursts": features and BOLD, AR(1), that are louder in the same volumes, as in motion, and have
   nothing else in common: how often that is found, how often there is a warning, and how often
   p <= .05 without one.
6. "others": the same columns where recordings that are exchanged are not equally smooth, AR(1), for
   features as smooth as the BOLD beside them: of one recording, with 60 others, and of six, half of
   them smoother than the rest; and how unlike real scans are (vu_bold).
7. "fixed": p of fixed predictions by the number of folds, for models that choose features by BOLD
   and models that do not, on 60 features; "fixed-eeg": the same in 20 folds for models of the
   package that choose electrodes, filters or bands, on noise for EEG.

Regions of one repetition are correlated, so +- is the standard error over repetitions. The
repetitions share few scans of BOLD, which it does not know of.

Run: python benchmarks/false_findings.py [DATA] [--quick]
         [--parts defaults raw nulls neighbors bursts others fixed fixed-eeg]
         [--repetitions 15] [--first 0]
DATA is the folder with real/.
"""

import argparse
import os
import time
import warnings
from pathlib import Path
from unittest import mock

import mne
import numpy as np
import pandas as pd
from scipy.signal import lfilter
from scipy.stats import pearsonr
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.cross_decomposition import PLSRegression
from sklearn.feature_selection import SelectKBest, f_regression
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LassoCV, LinearRegression, Ridge
from sklearn.model_selection import LeaveOneGroupOut
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_beira import BEIRARegressor, EEGFilter, EEGWindows, Windower, align, compare, null_test
from sklearn_beira.baselines.makers import (
    make_band_power_ridge,
    make_eeg_fingerprint,
    make_spoc_ridge,
)
from sklearn_beira.baselines.ridge import BlockedRidgeCV
from sklearn_beira.datasets import make_eeg_fmri
from sklearn_beira.evaluation.assumptions import scatter_beside_draws
from sklearn_beira.evaluation.leakage import blocks_of_test
from sklearn_beira.evaluation.smoothness import carried_over, fit_smoothness
from sklearn_beira.evaluation.splitters import BlockedKFold
from sklearn_beira.evaluation.study import make_study
from sklearn_beira.evaluation.surrogates import slow_trend
from sklearn_beira.exceptions import GapWarning, StationarityWarning

HERE = Path(__file__).parent
DATA = os.environ.get("SKLEARN_BEIRA_TEST_DATA", HERE.parents[1] / "shared" / "data")
BANDS = ["SW", "delta", "theta", "alpha", "sigma", "beta"]
T_R, N_LAGS = 2.1, 9
GAP = (N_LAGS - 1) * T_R
CV = BlockedKFold(5, gap=GAP, t_r=T_R)
RIDGE = make_pipeline(StandardScaler(), BlockedRidgeCV())
# In part 3 the penalties are fewer and the blocks larger, to save time.
FAST_RIDGE = make_pipeline(StandardScaler(), BlockedRidgeCV(np.logspace(1, 5, 5), n_splits=3))
N_ROIS = 7
AR = (0.0, 0.3, 0.5, 0.75, 0.9)
DESIGNS = ((120, 1), (300, 1), (120, 6))
NULLS = ("swap", "shift", "circular", "phase")
PARTS = ["defaults", "raw", "nulls", "neighbors", "bursts", "others", "fixed", "fixed-eeg"]
# Recordings, volumes of each, blocks, volumes left out between training and test, autocorrelation,
# share of white noise.
CLOSE = (
    (1, 200, 40, 0, 0.75, 0), (1, 200, 40, 1, 0.9, 0), (1, 200, 20, 1, 0.9, 0),
    (1, 300, 40, 1, 0.75, 0), (1, 300, 20, 1, 0.75, 0), (1, 300, 10, 0, 0.75, 0),
    (1, 300, 10, 1, 0.75, 0), (1, 300, 5, 0, 0.9, 0), (1, 200, 5, 1, 0.9, 0),
    (1, 600, 5, 0, 0.8, 0), (1, 200, 10, 9, 0.9, 0), (1, 300, 20, 1, 0.95, 0.6),
    (10, 300, 10, 1, 0.75, 0), (10, 300, 5, 0, 0.75, 0), (10, 300, 5, 0, 0.5, 0),
    (10, 300, 5, 9, 0.9, 0), (10, 300, 5, 9, 0.75, 0), (10, 300, 5, 9, 0.5, 0),
    (6, 200, 15, 1, 0.95, 0.6), (6, 200, 10, 4, 0.95, 0.6),
)  # fmt: skip
# Volumes, how much louder some are, and their share.
BURSTS = (
    (240, 1, 0.0), (600, 1, 0.0), (240, 2, 0.25), (240, 3, 0.1), (600, 3, 0.1), (120, 4, 0.12),
    (240, 4, 0.12), (600, 4, 0.12),
)  # fmt: skip
# Volumes, number of others (none: six recordings change places), autocorrelation of the recording
# and its EEG (or of three of six), of the others, and in how many regions.
UNLIKE = (
    (300, 60, 0.7, 0.7, 7), (120, 60, 0.9, 0.9, 7), (300, 60, 0.9, 0.8, 7), (300, 60, 0.7, 0.3, 7),
    (300, 60, 0.9, 0.7, 7), (300, 60, 0.9, 0.3, 7), (300, 60, 0.9, 0.3, 3), (300, 60, 0.7, 0.9, 7),
    (200, 0, 0.7, 0.7, 7), (200, 0, 0.9, 0.7, 7), (200, 0, 0.9, 0.3, 7),
)  # fmt: skip
# Blocks, volumes of a recording, recordings, of which one at a time is left out.
FOLDS = ((5, 300, 1), (10, 400, 1), (20, 400, 1), (20, 60, 20))


def main(data, quick, parts, repetitions, first):
    warnings.simplefilter("ignore", StationarityWarning)
    warnings.simplefilter("ignore", GapWarning)
    warnings.filterwarnings("ignore", ".* may select features using BOLD")
    folder = Path(data)
    eeg = [read_powers(path) for path in sorted(folder.glob("real/ds003574/*powerspectrum.tsv"))]
    scans = [
        pd.read_csv(path).drop(columns=["time_s", "global signal clean"]).to_numpy()
        for path in sorted(folder.glob("real/vu_bold/*.csv"))
    ]
    if not (eeg and scans):
        raise SystemExit(f"no real/ds003574 and real/vu_bold in {folder}")
    started = time.perf_counter()
    if "defaults" in parts:
        defaults(folder, eeg, scans, quick)
    if "raw" in parts:
        from_raw_eeg(folder, *((0, 2, 9) if quick else (first, repetitions, 39)))
    if "nulls" in parts:
        every_null(eeg, scans, quick)
    if "neighbors" in parts:
        neighbors(quick)
    if "bursts" in parts:
        bursts(quick)
    if "others" in parts:
        unlike_recordings(scans, quick)
    if "fixed" in parts:
        fixed_predictions(quick)
    if "fixed-eeg" in parts:
        fixed_from_eeg(quick)
    print(f"\n{time.perf_counter() - started:.0f} s")


def read_powers(path):
    """Read band powers of real EEG; two of the files are in UTF-16."""
    encoding = "utf-16" if path.read_bytes().startswith(b"\xff\xfe") else "utf-8"
    return pd.read_csv(path, sep="\t", encoding=encoding)[BANDS].to_numpy()


# -- 1. the defaults, and 2. from raw EEG -------------------------------------------------------
def defaults(folder, eeg, scans, quick):
    """Print the rates of null_test and compare as they come, on real BOLD."""
    rng = np.random.default_rng(0)
    n_reps, n_surrogates = (4, 39) if quick else (60, 99)
    print_head(f"1. Defaults on real BOLD, {n_surrogates} draws")

    def several(cv):
        for _ in range(n_reps):
            bold = [scans[k] for k in rng.permutation(len(scans))]
            X = np.concatenate(stretches(eeg, len(bold[0]), len(bold), rng))
            groups = np.repeat(np.arange(len(bold)), len(bold[0]))
            yield RIDGE, X, np.concatenate(bold), cv, groups

    def single(n):
        for k in range(2 if quick else 12 * len(scans)):
            scan = scans[k % len(scans)]
            start = rng.integers(len(scan) - n + 1)
            yield RIDGE, stretches(eeg, n, 1, rng)[0], scan[start : start + n], CV, None

    show("six scans of 575, blocks", several(CV), n_surrogates)
    show("six scans of 575, leave one out", several(LeaveOneGroupOut()), n_surrogates)
    for n in (300, 575):
        show(f"one scan, {n} volumes, blocks", single(n), n_surrogates)
    bold = null_regions(folder)
    cases = ((RIDGE, stretches(eeg, len(bold), 1, rng)[0], bold, CV, None) for _ in range(n_reps))
    show(f"semireal, {len(bold)} volumes, blocks", cases, n_surrogates)


def from_raw_eeg(folder, first, n_reps, n_surrogates):
    """Print the same for whole pipelines, on simulated EEG of seeds from ``first`` on."""
    bold = null_regions(folder)
    print_head(f"2. Whole pipelines on {len(bold)} volumes of semireal, {n_surrogates} draws")
    for name, model in (("lagged ridge", RAW_RIDGE), ("BEIRARegressor", RAW_BEIRA)):
        seeds = range(first, first + n_reps)
        cases = ((model, *raw_eeg(bold, seed), None, None) for seed in seeds)
        show(name, cases, n_surrogates, first)
    X, y = raw_eeg(bold, 0)
    features = RAW_RIDGE[:3].fit_transform(X)
    groups = np.zeros(len(y))
    cv = BlockedKFold(5, gap=16.0, t_r=1.89)
    tests = [
        null_test(model, x, y, cv=cv, groups=groups, n_surrogates=39, verbose=False).table["p"]
        for model, x in ((RAW_RIDGE, X), (RAW_RIDGE[3:], features))
    ]
    print(f"p from raw EEG and from its features, largest difference: {np.ptp(tests, 0).max():.3f}")


def print_head(title):
    """Print the head of a table of rates."""
    print(f"\n{title}; refit: null_test, fixed: compare")
    print(f"{'':52s}{'refit':^32s}{'fixed':^32s}")
    print(f"{'data':40s}{'null':>6s}{'tests':>6s}" + f"{'p':>13s}{'p_max':>16s}" * 2)


def show(name, cases, n_surrogates, first_seed=0):
    """Print the rates of null_test and compare over cases."""
    # The draws of the null are seeded anew for each case.
    outcomes = [[], []]
    for seed, (model, X, y, cv, groups) in enumerate(cases, first_seed):
        options = {"cv": cv, "groups": groups, "n_surrogates": n_surrogates, "random_state": seed}
        test = null_test(model, X, y, **options, verbose=False)
        table = compare(model, X, y, **options, verbose=False).table.query("scope == 'pooled'")
        outcomes[0].append(test.table[["p", "p_max"]].to_numpy())
        outcomes[1].append(table[["p", "p_max"]].to_numpy(dtype=float))
    n_tests = len(outcomes[0]) * len(outcomes[0][0])
    columns = "  ".join(rates(np.array(outcome)) for outcome in outcomes)
    print(f"{name:40s}{test.null:>6s}{n_tests:6d} {columns}", flush=True)


RAW_RIDGE = Pipeline([("filter", EEGFilter(1, 45, sfreq=100)), *make_band_power_ridge(16.0).steps])
RAW_BEIRA = Pipeline(
    [
        ("filter", EEGFilter(1, 45, sfreq=100)),
        ("window", Windower(16.0)),
        ("beira", BEIRARegressor(verbose=False)),
    ]
)


def null_regions(folder):
    bold = pd.read_csv(folder / "semireal" / "bold.csv", index_col="time_s")
    return bold[["LThal", "RThal", "LHip", "RHip", "LAmy", "RAmy"]].to_numpy()


def raw_eeg(bold, seed):
    """Windows of simulated EEG beside BOLD that it did not drive."""
    simulated = make_eeg_fmri(
        duration=17.0 + 1.89 * (len(bold) + 0.5), lead_in=17.0, t_r=1.89, n_channels=8, n_rois=2,
        random_state=1000 + seed,
    )  # fmt: skip
    times = simulated.volume_times[0]
    return align(simulated.raws[0], bold, volume_times=times, tmin=-16.0, tmax=0.0, verbose="error")


# -- 3. every null ------------------------------------------------------------------------------
def every_null(eeg, scans, quick):
    """Print the rates of all nulls and of the parametric p values, by kind of BOLD."""
    n_reps, n_surrogates = (3 if quick else 40), 39
    kinds = {f"AR(1) {phi:.2f}": simulate(phi, 0.0) for phi in AR}
    kinds["AR(1) 0.50, drift"] = kinds["drift in both"] = simulate(0.5, 3.0)
    kinds["vu_bold"] = cut_from(scans)
    if quick:
        kinds = {name: kinds[name] for name in ("drift in both", "vu_bold")}
    print(
        f"\n3. Every null, {n_reps} repetitions of {N_ROIS} regions, {n_surrogates} draws "
        f"(shift: 98)"
    )
    for n, n_recordings in DESIGNS:
        print(f"\n{n_recordings} recording(s) of {n} volumes, 5 blocks; p and p_max")
        rng, rows = np.random.default_rng(1), {}
        for name, make_bold in kinds.items():
            drift = 3.0 * (name == "drift in both")
            for test, outcome in cell(
                eeg, make_bold, drift, n, n_recordings, n_reps, n_surrogates, rng
            ):
                rows.setdefault(test, {})[name] = outcome
        print(f"{'':24s}" + "".join(f"{name:^24s}" for name in kinds))
        for test, row in rows.items():
            cells = (rates(row[name], brief=True) for name in kinds)
            print(f"{test:24s}" + "".join(f"{c:^24s}" for c in cells), flush=True)


def cell(eeg, make_bold, drift, n, n_recordings, n_reps, n_surrogates, rng):
    """Outcomes (n_reps, n_rois, 2) of every test on one kind and amount of BOLD."""
    found = {}
    groups = np.repeat(np.arange(n_recordings), n)
    for seed in range(n_reps):
        bold, others = make_bold(n, n_recordings, rng)
        parts = stretches(eeg, n, n_recordings, rng)
        # All lags of a band drift alike.
        drifts = [np.tile(drifting(n, len(BANDS), drift, rng), N_LAGS) for _ in parts]
        X = np.concatenate([p + d * p.std(axis=0) for p, d in zip(parts, drifts, strict=True)])
        y = np.concatenate(bold)
        comparison = compare(FAST_RIDGE, X, y, cv=CV, groups=groups, null=None, verbose=False)
        table = comparison.table.query("scope == 'pooled'")
        predicted = next(iter(comparison.predictions.values())).to_numpy()
        for null in NULLS:
            for pool in [None, others] if null == "swap" else [None]:
                if null == "swap" and pool is None and n_recordings == 1:
                    continue
                for refit in (True, False):
                    test = null_test(
                        FAST_RIDGE if refit else Kept(), X if refit else predicted, y, cv=CV,
                        groups=groups, null=null, refit=refit, other_bold=pool, random_state=seed,
                        n_surrogates=99 if null == "shift" else n_surrogates, verbose=False,
                    )  # fmt: skip
                    name = f"{null}{' others' if pool else ''}{', refit' if refit else ', fixed'}"
                    found.setdefault(name, []).append(test.table[["p", "p_max"]].to_numpy())
        naive = pearsonr(y, predicted, alternative="greater", axis=0).pvalue
        outside = (table["ci_low"] > 0) | (table["ci_high"] < 0)
        # Bonferroni stands in for the maximum statistic.
        for name, p in (("naive p", naive), ("n_eff p", table["p_parametric"].to_numpy())):
            found.setdefault(name, []).append(np.column_stack([p, np.minimum(1, p * len(p))]))
        outside = np.where(outside, 0.0, 1.0)
        found.setdefault("interval without 0", []).append(np.column_stack([outside] * 2))
    return [(name, np.array(outcome)) for name, outcome in found.items()]


class Kept(RegressorMixin, BaseEstimator):
    """Hand on predictions that were made before: null tests without refit need no more fits."""

    def fit(self, X, y):
        self.fitted_ = True
        return self

    def predict(self, X):
        return X


def simulate(phi, drift):
    """Maker of AR(1) BOLD, regions correlated by .5, with a linear drift of so many SD."""

    def make(n, n_recordings, rng):
        def recording():
            noise = rng.standard_normal((n + 200, N_ROIS)) + rng.standard_normal((n + 200, 1))
            bold = autoregressive(noise, phi)[200:]
            return bold / bold.std(axis=0) + drifting(n, N_ROIS, drift, rng)

        return [recording() for _ in range(n_recordings)], [recording() for _ in range(60)]

    return make


def drifting(n, n_series, size, rng):
    """Lines of random slope and sign, of SD ``size`` on the average."""
    return np.linspace(-1.73, 1.73, n)[:, None] * size * rng.standard_normal(n_series)


def cut_from(scans):
    """Maker of stretches of real BOLD; other scans are the others."""

    def make(n, n_recordings, rng):
        order = rng.permutation(len(scans))
        n_used = 1 if n_recordings == 1 else len(scans) // 2
        used = [scans[k] for k in order[:n_used]]
        return stretches(used, n, n_recordings, rng, lag=False), [scans[k] for k in order[n_used:]]

    return make


# -- 4. BOLD that is predicted from its neighbors ----------------------------------------------
def neighbors(quick):
    """Print the rates of fixed predictions where folds are close, refused ones as well."""
    n_surrogates = 39 if quick else 99
    print(f"\n4. Folds that are close, {N_ROIS} regions, {n_surrogates} draws")
    print(f"{'':63s}{'possible r, errors':>20s}", end="")
    print("".join(f"{name:>18s}{'p':>8s}{'n_eff p':>9s}" for name in ("wandering: r", "time: r")))
    for n_recordings, n, n_splits, left_out, phi, white in CLOSE[-1:] if quick else CLOSE:
        cv = BlockedKFold(n_splits, gap=left_out + 1.0, t_r=1.0)
        groups, found = np.repeat(np.arange(n_recordings), n), []
        times = np.column_stack([1e6 * groups, np.tile(np.arange(n), n_recordings)])
        n_reps = 2 if quick else 40 if n_recordings == 1 else 10
        for seed in range(n_reps):
            rng = np.random.default_rng(seed)
            parts = [near_time(n, phi, white, rng) for _ in range(n_recordings)]
            wandering, y = map(np.concatenate, zip(*parts, strict=True))
            study = make_study(times, y, cv, groups)
            _, blocks = blocks_of_test(study)
            possible = carried_over(fit_smoothness(study.y, study.runs), blocks, 1.0)
            worst = possible[1].argmax()
            noise = max(white / (1 - white), 1e-6)
            knows = KernelRidge(alpha=noise, kernel="laplacian", gamma=-np.log(phi))
            outcomes = [[one[worst] for one in possible]]
            for X, model in ((wandering, KNeighborsRegressor(3)), (times, knows)):
                with mock.patch(
                    "sklearn_beira.evaluation.null.check_folds", return_value=(0.0, 0.0)
                ):  # which may refuse
                    table = compare(
                        model, X, y, cv=cv, groups=groups, n_surrogates=n_surrogates,
                        random_state=seed, null="phase" if n_recordings == 1 else "swap",
                        verbose=False,
                    ).table.query("scope == 'pooled'")  # fmt: skip
                outcomes.append([table["r"], table["p"] <= 0.05, table["p_parametric"] <= 0.05])
            found.append([np.mean(o) for outcome in outcomes for o in outcome])
        case = f"{n_recordings} x {n} volumes, {n_splits} blocks, {left_out} left out, {phi:.2f}"
        case += f", {white:.0%} white" if white else ""
        possible, errors, *rest = np.mean(found, axis=0)
        print(f"{case:63s}{possible:12.2f}{errors:8.1f}", end="")
        for r, p, p_parametric in (rest[:3], rest[3:]):
            print(f"{r:18.2f}{p:8.3f}{p_parametric:9.3f}", end="")
        print(flush=True)


def near_time(n, phi, white, rng):
    """Features of a recording that wander around its own level, and BOLD."""
    features = autoregressive(rng.standard_normal((n + 200, 10)), 0.97)[200:]
    bold = autoregressive(rng.standard_normal((n + 200, N_ROIS)), phi)[200:]
    if white:
        bold *= np.sqrt((1 - phi**2) * (1 - white))
        bold += np.sqrt(white) * rng.standard_normal(bold.shape)
    return features + 20 * rng.standard_normal(10), bold


def autoregressive(noise, phi):
    return lfilter([1], [1, -phi], noise, axis=0)


# -- 5. what is loud at the same time ------------------------------------------------------------
def bursts(quick):
    """Print the rates of null_test where few volumes decide r, and how many are noticed."""
    print_head_of_warnings("5. Volumes that are louder, null='phase'", quick)
    for n, factor, share in BURSTS[-1:] if quick else BURSTS:
        # Five stretches, one in the middle of each fifth.
        place = np.arange(n) % (n // 5) / (n // 5)
        loud = np.where(np.abs(place - 0.5) < share / 2, factor, 1.0)[:, np.newaxis]

        def make(seed, n=n, factor=factor, loud=loud):
            rng = np.random.default_rng([seed, n, factor])
            series = autoregressive(rng.standard_normal((n + 200, 4 + N_ROIS)), 0.7)[200:] * loud
            return series[:, :4], series[:, 4:], {"null": "phase"}

        show_warnings(f"{n} volumes, {share:.0%} x {factor}", make, quick)


# -- 6. recordings that are not alike -------------------------------------------------------------
def unlike_recordings(scans, quick):
    """Print the rates of null='swap' where what is exchanged is not equally smooth."""
    print_head_of_warnings("6. Recordings that are not alike, null='swap'", quick)
    for n, n_others, phi, of_others, n_unlike in UNLIKE[-1:] if quick else UNLIKE:

        def make(seed, n=n, n_others=n_others, phi=phi, of_others=of_others, n_unlike=n_unlike):
            rng = np.random.default_rng([seed, n, n_others])

            def recording(smoothness):
                noise = rng.standard_normal((n + 200, 4 + N_ROIS))
                series = autoregressive(noise, smoothness)[200:]
                series[:, 4 + n_unlike :] = autoregressive(noise, of_others)[200:, 4 + n_unlike :]
                return series / series.std(axis=0)

            if n_others:
                series = recording(phi)
                others = [recording(of_others)[:, 4:] for _ in range(n_others)]
                return series[:, :4], series[:, 4:], {"null": "swap", "other_bold": others}
            series = np.concatenate([recording(phi if k % 2 else of_others) for k in range(6)])
            return series[:, :4], series[:, 4:], {"null": "swap", "groups": np.arange(6).repeat(n)}

        who = f"{n_others} others of" if n_others else "six recordings, three of"
        case = f"{n} volumes, {phi:.2f}, {who} {of_others:.2f}"
        show_warnings(case + f", {n_unlike} regions" * (n_unlike < N_ROIS), make, quick)
    scans = [scan - slow_trend(scan, T_R) for scan in scans]
    ratios = [
        np.median(scatter_beside_draws(scan, [np.arange(len(scan))], scans[:k] + scans[k + 1 :])[0])
        for k, scan in enumerate(scans)
    ]
    print(f"vu_bold, a scan and the others: r scatters up to {max(ratios):.2f} times as much")


def print_head_of_warnings(title, quick):
    """Print the head of a table of rates with and without a warning."""
    print(f"\n{title}, {N_ROIS} regions, {39 if quick else 99} draws")
    print(f"{'':56s}{'p':>8s}{'p_max':>8s}{'warned':>8s}{'p, no warning':>15s}")


def show_warnings(case, make, quick):
    """Print the rates of null_test, refitted or not, and of its warnings."""
    n_surrogates, n_reps = (39, 4) if quick else (99, 40)
    for refit in (True, False):
        found = []
        for seed in range(n_reps):
            X, y, options = make(seed)
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                test = null_test(
                    Ridge(), X, y, refit=refit, cv=BlockedKFold(5, gap=20.0, t_r=2.0),
                    n_surrogates=n_surrogates, random_state=seed, verbose=False, **options,
                ).table  # fmt: skip
            said = any(issubclass(w.category, StationarityWarning) for w in caught)
            alone = (test["p"] <= 0.05) & (test["p_parametric"] > 0.05)
            said |= (alone & (test["influence"] > 1.5)).any()
            found.append([(test["p"] <= 0.05).mean(), test["p_max"].min() <= 0.05, said])
        p, family, warned = np.array(found, dtype=float).T
        silent = (p * (1 - warned)).mean()
        line = f"{p.mean():8.3f}{family.mean():8.2f}{warned.mean():8.2f}{silent:15.3f}"
        name = f"{case}, {'refit' if refit else 'fixed'}"
        print(f"{name:56s}{line}", flush=True)


# -- 7. fixed predictions of models that select ---------------------------------------------------
def fixed_predictions(quick):
    """Print the rates of fixed predictions by model and number of folds."""
    n_reps, n_surrogates, models = 2 if quick else 30, 39 if quick else 99, selecting_models()
    print(
        f"\n7. Fixed predictions, 10 regions, {n_surrogates} draws, {n_reps} repetitions: p <= .05"
    )
    print(f"{'':32s}" + "".join(f"{name:>18s}" for name in models))
    for phi in (0.0, 0.5):
        for n_splits, n, n_recordings in FOLDS[-1:] if quick else FOLDS:
            found = {name: [] for name in models}
            for seed in range(n_reps):
                rng = np.random.default_rng(seed)
                X, y = (
                    np.concatenate([
                        autoregressive(rng.standard_normal((n + 100, k)), phi)[100:]
                        for _ in range(n_recordings)
                    ])
                    for k in (60, 10)
                )  # fmt: skip
                cv = BlockedKFold(n_splits, gap=10.0, t_r=2.0)
                for name, model in models.items():
                    test = null_test(
                        model, X, y, cv=LeaveOneGroupOut() if n_recordings > 1 else cv,
                        groups=np.arange(n_recordings).repeat(n), refit=False,
                        n_surrogates=n_surrogates, random_state=seed, verbose=False,
                    ).table  # fmt: skip
                    found[name].append((test["p"] <= 0.05).mean())
            of = f"{n_recordings} recordings of {n}" if n_recordings > 1 else f"{n_splits} blocks"
            cells = (f"{np.mean(f):.3f} ± {np.std(f) / n_reps**0.5:.3f}" for f in found.values())
            print(f"AR {phi}, {of:24s}" + "".join(f"{c:>18s}" for c in cells), flush=True)


def fixed_from_eeg(quick):
    """Print the same for models of the package that read EEG."""
    models = {
        "EFP": (make_eeg_fingerprint(8.0), 20),
        "SPoC": (make_spoc_ridge(8.0), 20),
        "BEIRARegressor": (BEIRARegressor(verbose=False), 10),
    }
    print("\nModels of the package, 8 channels of noise, 10 regions of AR 0.5, 99 draws: p <= .05")
    for n, n_recordings in ((60, 20), (400, 1)):
        for name, (model, n_reps) in models.items():
            found = []
            for seed in range(2 if quick else n_reps):
                X, y = noise_beside_bold(n, n_recordings, np.random.default_rng(seed))
                test = null_test(
                    model, X, y, cv=LeaveOneGroupOut() if n_recordings > 1 else BlockedKFold(20),
                    refit=False, n_surrogates=99, random_state=seed, verbose=False,
                ).table  # fmt: skip
                found.append((test["p"] <= 0.05).mean())
            rate = f"{np.mean(found):.3f} ± {np.std(found) / len(found) ** 0.5:.3f}"
            of = f"{n_recordings} recordings of {n}" if n_recordings > 1 else f"{n}, 20 blocks"
            print(f"{of:24s}{name:16s}{rate} ({len(found)} repetitions)", flush=True)


def noise_beside_bold(n, n_recordings, rng, history=8.0, t_r=2.0, sfreq=100.0):
    """Windows of mixed noise, some of it slow, and BOLD that it has nothing to do with."""
    n_times = int((history + t_r * n + 1) * sfreq)
    recordings, bold = [], []
    for _ in range(n_recordings):
        white, steps = rng.standard_normal((2, 8, n_times))
        slow = 0.02 * steps.cumsum(axis=1)
        eeg = rng.standard_normal((8, 8)) @ white + rng.standard_normal((8, 8)) @ slow
        eeg = mne.filter.filter_data(
            eeg - eeg.mean(axis=1, keepdims=True), sfreq, 1, 45, verbose="error"
        )
        recordings.append(2e-5 * eeg / eeg.std())
        bold.append(autoregressive(rng.standard_normal((n + 100, 10)), 0.5)[100:])
    times = np.tile(history + t_r * np.arange(n), n_recordings)
    which = np.arange(n_recordings).repeat(n)
    info = mne.create_info(8, sfreq, "eeg")
    X = EEGWindows(recordings, which, times, info, tmin=-history, tmax=0.0)
    return X, np.concatenate(bold)


def selecting_models():
    """Regressors of one region each, but for ridges, by name."""
    one = make_pipeline(SelectKBest(f_regression, k=1), LinearRegression())
    ten = make_pipeline(SelectKBest(f_regression, k=10), Ridge(10.0))
    return {
        "ridge": Ridge(10.0),
        "BlockedRidgeCV": make_pipeline(StandardScaler(), BlockedRidgeCV()),
        "PLS, 2": MultiOutputRegressor(PLSRegression(2)),
        "LassoCV": MultiOutputRegressor(LassoCV(cv=3, alphas=15)),
        "10 of 60, ridge": MultiOutputRegressor(ten),
        "1 of 60": MultiOutputRegressor(one),
    }


# -- all of them ------------------------------------------------------------------------------
def stretches(series, n, count, rng, lag=True):
    """Random stretches of n rows that do not overlap; with lag, each row with the 8 before it."""
    length = n + (N_LAGS - 1 if lag else 0)
    starts = [
        (k, start)
        for k, one in enumerate(series)
        for start in range(rng.integers(len(one) % length + 1), len(one) - length + 1, length)
    ]
    parts = [
        series[k][start : start + length]
        for k, start in (starts[i] for i in rng.permutation(len(starts))[:count])
    ]
    if len(parts) < count:
        raise ValueError(f"{len(starts)} stretches of {length} rows, {count} are needed.")
    if not lag:
        return parts
    return [np.hstack([p[N_LAGS - 1 - k : length - k] for k in range(N_LAGS)]) for p in parts]


def rates(outcomes, brief=False):
    """Rates of p and p_max at .05, with standard errors over repetitions."""
    p = (outcomes[:, :, 0] <= 0.05).mean(axis=1)
    family = (outcomes[:, :, 1] <= 0.05).any(axis=1)
    if brief:
        return f"{p.mean():.3f} +- {p.std() / np.sqrt(len(p)):.3f}, {family.mean():.2f}"
    return "  ".join(f"{x.mean():.3f} +- {x.std() / np.sqrt(len(x)):.3f}" for x in (p, family))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", default=DATA)
    parser.add_argument("--quick", action="store_true", help="few repetitions, below a minute")
    parser.add_argument(
        "--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure (all of it)"
    )
    parser.add_argument("--repetitions", type=int, default=15, help="of raw (15)")
    parser.add_argument("--first", type=int, default=0, help="of them (0), for some more")
    main(**vars(parser.parse_args()))
