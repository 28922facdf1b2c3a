"""Is the result of a study the same after the command was killed?

Writes a small simulated study in BIDS, in which the image of one run is damaged, and runs
``python -m sklearn_beira study`` on it. Every round kills the command (SIGKILL) at a random moment
and repeats it with ``--resume``. The result is the same if exit code, tables, predictions and
shared branches are, to the last bit; times of fits are not compared.

Run: OMP_NUM_THREADS=1 python benchmarks/study_kills.py --rounds 20
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import mne_bids
import nibabel as nib
import numpy as np
import pandas as pd

from sklearn_beira import make_eeg_fmri

PEOPLE, RUNS = 2, 2


def write_study(folder):
    data = make_eeg_fmri(
        PEOPLE * RUNS, duration=90.0, t_r=2.0, sfreq=100.0, n_channels=6, n_rois=2,
        return_img=True, random_state=0,
    )  # fmt: skip
    for k, (raw, image) in enumerate(zip(data.raws, data.bold_imgs, strict=True)):
        person, run = f"{k // RUNS + 1:02}", str(k % RUNS + 1)
        path = mne_bids.BIDSPath(person, task="rest", run=run, root=folder, datatype="eeg")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mne_bids.write_raw_bids(
                raw, path, allow_preload=True, format="BrainVision", verbose="error"
            )
        func = folder / f"sub-{person}/func"
        func.mkdir(exist_ok=True)
        if k == PEOPLE * RUNS - 1:
            voxels = np.asarray(image.dataobj).copy()
            voxels[..., 5] = np.nan
            image = nib.Nifti1Image(voxels, image.affine, image.header)
        stem = func / f"sub-{person}_task-rest_run-{run}_bold"
        nib.save(image, f"{stem}.nii.gz")
        Path(f"{stem}.json").write_text(json.dumps({"RepetitionTime": 2.0}))
    nib.save(data.atlas_img, folder / "atlas.nii.gz")


def start(folder, out):
    command = ["study", folder, "--bold", "raw", "--atlas", folder / "atlas.nii.gz"]
    command += ["--out", out, "--folds", "2", "--resume"]
    command = [sys.executable, "-m", "sklearn_beira", *map(str, command)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def result(code, out):
    """Everything that is to be the same, by file."""
    found = {"exit code": str(code).encode()}
    for path in sorted(out.rglob("*")):
        name = str(path.relative_to(out))
        if name.startswith("work/") or not path.is_file():
            continue
        if path.suffix in (".tsv", ".json", ".gz") or name.endswith("branches.npz"):
            found[name] = path.read_bytes()
        elif path.name == "table.csv":
            found[name] = pd.read_csv(path).drop(columns="fit_time").to_csv().encode()
        elif path.suffix == ".html":
            found[name] = b""  # it exists; figures and reports hold random names
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    args = parser.parse_args()
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "data"
        write_study(folder)
        started = time.monotonic()
        truth = result(start(folder, Path(home) / "truth").wait(), Path(home) / "truth")
        duration = time.monotonic() - started
        print(f"{len(truth)} results in {duration:.0f} s, exit code {truth['exit code'].decode()}")
        n_killed = n_same = 0
        for k in range(args.rounds):
            out = Path(home) / str(k)
            process = start(folder, out)
            time.sleep(rng.uniform(0, duration))
            n_killed += process.poll() is None
            process.kill()
            process.wait()
            found = result(start(folder, out).wait(), out)
            n_same += found == truth
            others = [name for name in {*truth, *found} if truth.get(name) != found.get(name)]
            print(f"round {k + 1}: {', '.join(sorted(others)) or 'the same'}", flush=True)
    print(f"killed in {n_killed} of {args.rounds} rounds, same result in {n_same}")


if __name__ == "__main__":
    main()
