"""How large is r when there is nothing to find? BOLD of one person "predicted" by that of another.

Real BOLD (vu_bold: six scans of four people, 575 volumes, TR 2.1 s), detrended over the stretch
that is compared. Every pair of different people, seven regions, non-overlapping stretches.

Two effective numbers of volumes are printed: the one that gives r the spread it has, 1 + 1 / SD²,
and what ``effective_n`` estimates from the autocorrelations of the two series alone (its harmonic
mean, as variances average, and its mean). +- is a bootstrap standard error over pairs of scans.

Run: python benchmarks/null_correlations.py [DATA]      (DATA: the folder with real/vu_bold)
"""

import itertools
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.signal import detrend

from sklearn_beira.evaluation.metrics import effective_n, pearson_r

HERE = Path(__file__).parent
DATA = os.environ.get("SKLEARN_BEIRA_TEST_DATA", HERE.parents[1] / "shared" / "data")
LENGTHS = (26, 47, 115, 575)
N_BOOTSTRAP = 2000


def main(folder):
    scans = {
        path.stem: pd.read_csv(path) for path in sorted(Path(folder).glob("real/vu_bold/*.csv"))
    }
    scans = {
        name: table.drop(columns=["time_s", "global signal clean"]).to_numpy()
        for name, table in scans.items()
    }
    if not scans:
        sys.exit(f"no real/vu_bold/*.csv in {folder}")
    print(f"{len(scans)} scans of real BOLD; r between different people, same region")
    print("volumes  pairs           SD of r  95 % of |r|       n from SD  n estimated")
    pairs = [
        (first, second)
        for (one, first), (other, second) in itertools.combinations(scans.items(), 2)
        if one.split("-")[0] != other.split("-")[0]
    ]
    for length in LENGTHS:
        r, n_eff = zip(*(compared(*pair, length) for pair in pairs), strict=True)
        r, n_eff = np.array(r), np.concatenate(n_eff)
        sd = r.std()
        rng = np.random.default_rng(0)
        drawn = np.array([r[rng.integers(len(r), size=len(r))].std() for _ in range(N_BOOTSTRAP)])
        print(
            f"{length:7d}  {r.size:5d}  {sd:.3f} +- {drawn.std():.3f} "
            f"{np.quantile(np.abs(r), 0.95):12.2f}"
            f"{1 + 1 / sd**2:8.1f} +- {np.std(1 + 1 / drawn**2):4.1f}"
            f"{1 / np.mean(1 / n_eff):7.1f} {n_eff.mean():.1f}"
        )


def compared(first, second, length):
    """Correlations of all stretches and regions of two scans, and their effective volumes."""
    r, n_eff = [], []
    for start in range(0, min(len(first), len(second)) - length + 1, length):
        x, y = (detrend(scan[start : start + length], axis=0) for scan in (first, second))
        r.append(pearson_r(x, y, multioutput="raw_values"))
        n_eff.append(effective_n(x, y))
    return np.concatenate(r), np.concatenate(n_eff)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else DATA)
