"""Do 95 % intervals of r cover, and do p values below .05 come one time in twenty?

First on pairs of AR(1) series whose innovations are correlated, so that the true r is known, as one
block and cut into five. Then on real BOLD (vu_bold) of pairs of different people, where the true r
is taken to be 0. Compared are the number of volumes itself ("volumes"), Bartlett's and the xDF
formula with plain sample correlations, cut at the first lag that is not significant ("Bart",
"xDF"), and ``effective_n`` with both methods ("bartlett", "xdf", the default).

Second on series that are loud at the same time and have nothing else in common, as EEG and BOLD
have in motion, and on series that were filtered whole. Third on predictions by cross-validation of
AR(1) BOLD that follows AR(1) features, or does not: "kept" takes the predictions for series of
their own, "region_scores" allows for BOLD that is learned from as well as tested against. The truth
is there the mean of r over studies, through Fisher's z.

Run: python benchmarks/interval_coverage.py [DATA]      (DATA: the folder with real/vu_bold)
"""

import itertools
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.signal import butter, detrend, lfilter, sosfiltfilt
from sklearn.linear_model import LinearRegression, Ridge

from sklearn_beira.evaluation.metrics import (
    effective_n,
    pearson_r,
    r_interval,
    r_p_value,
    region_scores,
)

HERE = Path(__file__).parent
DATA = os.environ.get("SKLEARN_BEIRA_TEST_DATA", HERE.parents[1] / "shared" / "data")
PERSISTENCE = ((0.0, 0.0), (0.3, 0.3), (0.5, 0.5), (0.75, 0.75), (0.9, 0.9), (0.75, 0.0))
LENGTHS = (26, 60, 120, 300, 575)
STRETCHES = (26, 47, 115, 575)
METHODS = ("volumes", "Bart", "xDF", "bartlett", "xdf")
N_PAIRS = 2000
N_STUDIES = 400


def main(folder):
    simulated()
    loud_together()
    cross_validated()
    scans = {path.stem: pd.read_csv(path) for path in sorted(Path(folder).glob("real/vu_bold/*"))}
    if scans:
        real(scans)
    else:
        print(f"\nno real BOLD: nothing matches {folder}/real/vu_bold/*")


def simulated():
    """Print coverage and rejection rates on AR(1) pairs."""
    rng = np.random.default_rng(0)
    columns = "".join(f"{name:>9s}" for name in METHODS)
    print(f"{N_PAIRS} AR(1) pairs a row: autocorrelations a and b at lag 1, true correlation r")
    print("true: independent volumes that have the variance of r; n_eff: mean of xdf")
    print("cover: share of 95 % intervals with the true r; p < .05: one-sided, where r is 0")
    header = f"blocks   n    a    b    r   true n_eff | cover{columns} | p < .05{columns}"
    rows = []
    for n_blocks, n, (a, b) in itertools.product((1, 5), LENGTHS, PERSISTENCE):
        if (a, b) == PERSISTENCE[0]:
            print(f"\n{header}" if n == LENGTHS[0] else "")
        blocks = np.arange(n) * n_blocks // n
        for r_true in (0.0, 0.5):
            x, y = ar_pair(a, b, r_true, n, rng)
            r_within = r_true * within_blocks(a, b, np.bincount(blocks))
            r = pearson_r(x, y, blocks=blocks, multioutput="raw_values")
            n_eff = all_methods(x, y, blocks)
            cover = [covers(r, n_eff[name], r_within) for name in METHODS]
            rates = [(r_p_value(r, n_eff[name]) < 0.05).mean() for name in METHODS]
            rows.append((n_blocks, n, a, b, r_true, *cover, *rates))
            print(
                f"{n_blocks:6d} {n:3d} {a:4.2f} {b:4.2f} {r_true:4.1f} {equivalent_n(r):6.1f} "
                f"{n_eff['xdf'].mean():5.1f} |      {''.join(f'{c:9.3f}' for c in cover)}"
                + (" |        " + "".join(f"{c:9.3f}" for c in rates) if r_true == 0 else "")
            )
    names = ["blocks", "n", "a", "b", "r", *METHODS, *(f"p {name}" for name in METHODS)]
    table = pd.DataFrame(rows, columns=names)
    print("\nlowest and highest coverage of 95 % intervals, highest share of p < .05")
    for title, part in (
        ("a = b <= .75, n >= 120", table.query("a == b and a <= .75 and n >= 120")),
        ("a = b <= .75, n <= 60", table.query("a == b and a <= .75 and n <= 60")),
        ("a = b = .9, n >= 120", table.query("a == b and a == .9 and n >= 120")),
        ("a = b = .9, n <= 60", table.query("a == b and a == .9 and n <= 60")),
        ("a = .75, b = 0, r = 0", table.query("a != b and r == 0")),
        ("a = .75, b = 0, r = .5", table.query("a != b and r != 0")),
    ):
        null = part.query("r == 0")
        for name in METHODS:
            rejected = f"{null[f'p {name}'].max():.3f}" if len(null) else "    -"
            print(
                f"{title:24s} {name:9s} {part[name].min():.3f} {part[name].max():.3f}   {rejected}"
            )


def real(scans):
    """Print the same for BOLD of different people: r, and the share of intervals without 0."""
    people = {name: name.split("-")[0] for name in scans}
    bold = {
        name: table.drop(columns=["time_s", "global signal clean"]).to_numpy()
        for name, table in scans.items()
    }
    columns = "".join(f"{name:>9s}" for name in METHODS)
    print(
        f"\n{len(scans)} scans of real BOLD, same region of different people, detrended stretches"
    )
    print("true: as above, from the SD of r; n_eff: harmonic and arithmetic mean of xdf")
    print(f"blocks   n pairs  SD(r)   true      n_eff    | interval without 0{columns}")
    for n_blocks, n in itertools.product((1, 5), STRETCHES):
        blocks = np.arange(n) * n_blocks // n
        pairs = [
            (detrend(bold[one][i : i + n], axis=0), detrend(bold[other][i : i + n], axis=0))
            for one, other in itertools.combinations(bold, 2)
            if people[one] != people[other]
            for i in range(0, min(map(len, bold.values())) - n + 1, n)
        ]
        x, y = (np.hstack(series) for series in zip(*pairs, strict=True))
        r = pearson_r(x, y, blocks=blocks, multioutput="raw_values")
        n_eff = all_methods(x, y, blocks)
        outside = [1 - covers(r, n_eff[name], 0.0) for name in METHODS]
        print(
            f"{n_blocks:6d} {n:3d} {len(r):5d} {r.std():6.3f} {equivalent_n(r):6.1f} "
            f"{1 / np.mean(1 / n_eff['xdf']):6.1f} {n_eff['xdf'].mean():6.1f}  |                   "
            + "".join(f"{share:9.3f}" for share in outside)
        )


def loud_together():
    """Print the share of intervals without 0 where independent series share when they are loud."""
    rng, n = np.random.default_rng(1), 300
    restless = np.where((np.arange(n) >= 100) & (np.arange(n) < 160), 4.0, 1.0)
    scales = {
        "always the same": np.ones((n, N_PAIRS)),
        "4 volumes 5 times": volumes_apart(4, 5.0, n, rng),
        "10 volumes 5 times": volumes_apart(10, 5.0, n, rng),
        "60 volumes 4 times": restless[:, None],
        "from once to 4 times": np.linspace(1, 4, n)[:, None],
    }
    columns = "".join(f"{name:>9s}" for name in METHODS)
    print(f"\nindependent AR(1) pairs (.5), {n} volumes: interval without 0{columns}")

    def show(name, x, y):
        blocks = np.zeros(len(x), dtype=int)
        r, n_eff = pearson_r(x, y, multioutput="raw_values"), all_methods(x, y, blocks)
        outside = "".join(f"{1 - covers(r, n_eff[method], 0.0):9.3f}" for method in METHODS)
        print(f"{name:60s}{outside}")

    for name, scale in scales.items():
        x, y = ar_pair(0.5, 0.5, 0.0, n, rng)
        show(f"louder: {name}", scale * x, scale * y)
    for t_r, n in ((0.72, 800), (2.0, 300)):
        band = butter(2, (0.01, 0.1), "band", fs=1 / t_r, output="sos")
        whole = [sosfiltfilt(band, rng.standard_normal((n + 400, 400)), axis=0) for _ in "xy"]
        ends = [sosfiltfilt(band, rng.standard_normal((n, 400)), axis=0) for _ in "xy"]
        show(f".01 to .1 Hz at TR {t_r:g} s, {n} volumes, ends cut", *(z[200:-200] for z in whole))
        show(f".01 to .1 Hz at TR {t_r:g} s, {n} volumes, ends kept", *ends)


def volumes_apart(count, scale, n, rng):
    scales = np.ones((n, N_PAIRS))
    for column in scales.T:
        column[rng.choice(n, count, replace=False)] = scale
    return scales


def cross_validated():
    """Print coverage, and p < .05 where nothing is coupled, of cross-validated predictions."""
    print(f"\n{N_STUDIES} studies a row, cross-validated in blocks; AR(1) .5 features and noise")
    print(
        "model                n  blocks  multiple r | mean r | cover: kept, region_scores | p < .05"
    )
    models = {
        "5 features, OLS": (5, LinearRegression()),
        "20 features, ridge": (20, Ridge(1.0)),
        "60 features, ridge": (60, Ridge(100.0)),
    }
    rng = np.random.default_rng(2)
    designs = [(name, 300, 5) for name in models]
    designs += [("5 features, OLS", 120, 5), ("5 features, OLS", 300, 2)]
    for (name, n, n_blocks), multiple_r in itertools.product(designs, (0.0, 0.3, 0.6, 0.8)):
        blocks = np.arange(n) * n_blocks // n
        found = [study(*models[name], multiple_r, blocks, rng) for _ in range(N_STUDIES)]
        r, low, high, p = np.moveaxis(found, 2, 0)
        truth = np.tanh(np.arctanh(r[:, 0]).mean())
        cover = ((low <= truth) & (truth <= high)).mean(axis=0)
        rates = (p < 0.05).mean(axis=0)
        print(
            f"{name:20s} {n:3d} {n_blocks:4d} {multiple_r:8.1f} {truth:12.2f}     "
            f"{cover[0]:8.3f} {cover[1]:8.3f}"
            + (f"     {rates[0]:8.3f} {rates[1]:8.3f}" if multiple_r == 0 else ""),
            flush=True,
        )


def study(n_features, model, multiple_r, blocks, rng):
    """r, limits and p of one study (2, 4): with the prediction as it is, and as region_scores."""

    def series(count):
        white = rng.standard_normal((len(blocks) + 50, count))
        return lfilter([np.sqrt(0.75)], [1, -0.5], white, axis=0)[50:]

    X, noise = series(n_features), series(1)
    weights = rng.standard_normal((n_features, 1))
    signal = X @ weights / np.linalg.norm(weights)
    y = multiple_r * signal + np.sqrt(1 - multiple_r**2) * noise
    y_pred = np.empty_like(y)
    for k in np.unique(blocks):
        fitted = model.fit(X[blocks != k], y[blocks != k])
        y_pred[blocks == k] = fitted.predict(X[blocks == k]).reshape(-1, 1)
    tables = (region_scores(y, y_pred, blocks=blocks, cross_validated=how) for how in (False, True))
    return [table[["r", "ci_low", "ci_high", "p"]].to_numpy()[0] for table in tables]


def ar_pair(a, b, r, n, rng):
    """Simulate N_PAIRS pairs of AR(1) series with correlation r, by that of their innovations."""
    common = r * (1 - a * b) / np.sqrt((1 - a**2) * (1 - b**2))
    first, second = rng.standard_normal((2, n + 200, N_PAIRS))
    second = common * first + np.sqrt(1 - common**2) * second
    return lfilter([1], [1, -a], first, axis=0)[200:], lfilter([1], [1, -b], second, axis=0)[200:]


def within_blocks(a, b, lengths):
    """Correlation of the pair within blocks, over the one in endless series."""

    def centered(decay_after, decay_before):
        total = 0.0
        for length in lengths:
            k = np.arange(1, length)
            both = length + ((length - k) * (decay_after**k + decay_before**k)).sum()
            total += length - both / length
        return total

    return centered(a, b) / np.sqrt(centered(a, a) * centered(b, b))


def all_methods(x, y, blocks):
    """Effective number of volumes by every method."""
    plain = {"Bart": plain_n(x, y, blocks, xdf=False), "xDF": plain_n(x, y, blocks, xdf=True)}
    ours = {m: effective_n(x, y, blocks=blocks, method=m) for m in ("bartlett", "xdf")}
    return {"volumes": np.full(x.shape[1], float(len(x))), **plain, **ours}


def plain_n(x, y, blocks, *, xdf):
    """Formulas of Bartlett and of xDF with sample correlations, adaptively truncated."""
    n, n_lags = len(x), int(2 * np.sqrt(len(x)))
    x, y = (
        np.vstack(
            [part - part.mean(axis=0) for part in np.split(z, np.flatnonzero(np.diff(blocks)) + 1)]
        )
        for z in (x, y)
    )
    x, y = (z / np.linalg.norm(z, axis=0) for z in (x, y))
    r = (x * y).sum(axis=0)

    def lagged(u, v):
        return np.array(
            [
                (u[:-k] * v[k:] * (blocks[:-k] == blocks[k:])[:, np.newaxis]).sum(axis=0)
                for k in range(1, n_lags + 1)
            ]
        )

    def significant(rho):
        return (np.abs(rho) >= 1.96 / np.sqrt(n)).cumprod(axis=0)

    xx, yy = lagged(x, x), lagged(y, y)
    in_x, in_y = significant(xx), significant(yy)
    w = (1 - np.arange(1, n_lags + 1) / n)[:, np.newaxis]
    xx, yy = xx * in_x, yy * in_y
    if not xdf:
        return np.clip(n / (1 + 2 * (w * xx * yy).sum(axis=0)), 3, n)
    xy, yx = (rho * np.maximum(in_x, in_y) for rho in (lagged(x, y), lagged(y, x)))
    variance = (1 - r**2) ** 2 + (
        r**2 * (w * (xx**2 + yy**2 + xy**2 + yx**2)).sum(axis=0)
        - 2 * r * (w * (xx + yy) * (xy + yx)).sum(axis=0)
        + 2 * (w * (xx * yy + xy * yx)).sum(axis=0)
    )
    return np.clip(n * (1 - r**2) ** 2 / np.maximum(variance, (1 - r**2) ** 2), 3, n)


def equivalent_n(r):
    """Number of independent volumes whose Fisher z has the variance that was seen."""
    return 1 / np.arctanh(r).var() + 3


def covers(r, n_eff, r_true):
    low, high = r_interval(r, n_eff)
    return ((low <= r_true) & (r_true <= high)).mean()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else DATA)
