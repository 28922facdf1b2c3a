"""How large is r when there is nothing to find? BOLD of one person "predicted" by that of another.

Real BOLD (vu_bold: six scans of four people, 575 volumes, TR 2.1 s), detrended over the stretch
that is compared. Every pair of different people, seven regions, non-overlapping stretches.

Run: python benchmarks/null_correlations.py [DATA]      (DATA: the folder with real/vu_bold)
"""

import itertools
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.signal import detrend

from sklearn_beira.metrics import pearson_r

HERE = Path(__file__).parent
DATA = os.environ.get("SKLEARN_BEIRA_TEST_DATA", HERE.parents[1] / "shared" / "data")
LENGTHS = (26, 47, 115, 575)


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
    print("volumes  pairs  SD of r  95 % of |r|")
    for length in LENGTHS:
        r = np.concatenate(
            [
                pearson_r(
                    detrend(a[start : start + length], axis=0),
                    detrend(b[start : start + length], axis=0),
                    multioutput="raw_values",
                )
                for (first, a), (second, b) in itertools.combinations(scans.items(), 2)
                if first.split("-")[0] != second.split("-")[0]
                for start in range(0, 575 - length + 1, length)
            ]
        )
        print(f"{length:7d}  {len(r):5d}  {r.std():7.3f}  {np.quantile(np.abs(r), 0.95):11.2f}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else DATA)
