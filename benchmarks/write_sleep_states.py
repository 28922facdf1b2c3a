"""Write the file that ``load_sleep_states`` reads, from the tables of the public data set ds003574.

python benchmarks/write_sleep_states.py DIR    DIR holds sub-*_task-rest_*.tsv

The two tables of a person are joined on the number of the scan: EEG counts from 1, the decoder from
2. Numbers are stored as float32. Some tables are UTF-16.
"""

import argparse
from pathlib import Path

import numpy as np

from sklearn_beira import load_table
from sklearn_beira.datasets.sleep import FILE, POWERS, STATES

NAMES = {"pre_maze": "prep_maze"}  # like prep_face


def read_subject(folder, subject):
    """Read the scans of a person that both tables have, indexed by their number."""
    tables = [
        load_table(folder / f"{subject}_task-rest_{name}.tsv").set_index("num_scan")
        for name in ("hypnogram-powerspectrum", "decoding-states")
    ]
    return tables[0].join(tables[1].rename(columns=NAMES), how="inner")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    subjects = sorted(path.name[:6] for path in folder.glob("*_decoding-states.tsv"))
    tables = [read_subject(folder, subject) for subject in subjects]
    np.savez_compressed(
        FILE,
        subjects=np.array(subjects),
        n_volumes=np.array([len(table) for table in tables]),
        scans=np.concatenate([table.index for table in tables]).astype(np.int16),
        stages=np.concatenate([table["hypnogram"] for table in tables]).astype(np.int8),
        powers=np.concatenate([table[POWERS] for table in tables]).astype(np.float32),
        states=np.concatenate([table[STATES] for table in tables]).astype(np.float32),
    )
    print(f"{FILE}: {FILE.stat().st_size / 1e6:.2f} MB, {len(subjects)} people")


if __name__ == "__main__":
    main()
