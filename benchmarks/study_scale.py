"""How long does the command for studies take, and how much memory?

Writes a simulated study in BIDS and runs ``python -m sklearn_beira study`` on it. Each person has
two runs of EEG (64 channels at 250 Hz) and BOLD (3 mm, every 2 s, 17 regions of blocks). EEG and
BOLD of every run are new, so that no fit is found in a cache. Printed are wall time, processor
time, the real-time factor (duration of the EEG by wall time), and the largest memory of all
processes of the command together, seen four times a second: their own, and with the pages of mapped
files, which the system drops when it needs memory. The log of the command tells when a stage ends.

Run: OMP_NUM_THREADS=1 python benchmarks/study_scale.py --people 4 --minutes 20 --n-jobs 2
"""

import argparse
import json
import resource
import shutil
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
import psutil

from sklearn_beira import make_eeg_fmri

SHAPE, N_ROIS, T_R, SIZE = (61, 73, 61), 17, 2.0, 8  # SIZE: voxels of the edge of a region


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=4)
    parser.add_argument("--minutes", type=float, default=20.0, help="of each run")
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--folder", help="where the files go; by default the temporary folder")
    parser.add_argument("--keep", action="store_true", help="keep the files, and use those there")
    args = parser.parse_args()
    folder = Path(args.folder or tempfile.mkdtemp())
    try:
        write_study(folder, args.people, args.minutes)
        shutil.rmtree(folder / "out", ignore_errors=True)
        measure(folder, args)
    finally:
        if not args.keep:
            shutil.rmtree(folder)


def write_study(folder, n_people, minutes):
    """Write what is not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    regions = np.zeros(SHAPE, np.int16)
    for k in range(N_ROIS):
        x, y = 2 + 10 * (k % 5), 2 + 10 * (k // 5)
        regions[x : x + SIZE, y : y + SIZE, 20 : 20 + SIZE] = k + 1
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    nib.save(nib.Nifti1Image(regions, affine), folder / "atlas.nii.gz")
    for person in range(1, n_people + 1):
        for run in (1, 2):
            func = folder / f"data/sub-{person:02}/func"
            stem = f"sub-{person:02}_task-rest_run-{run}_bold"
            if (func / f"{stem}.json").exists():
                continue
            data = make_eeg_fmri(
                1, duration=minutes * 60, t_r=T_R, n_channels=64, n_rois=N_ROIS,
                random_state=10 * person + run,
            )  # fmt: skip
            names = {"index": range(1, N_ROIS + 1), "name": data.region_names}
            pd.DataFrame(names).to_csv(folder / "labels.csv", index=False)
            path = mne_bids.BIDSPath(
                f"{person:02}", task="rest", run=str(run), root=folder / "data", datatype="eeg"
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                mne_bids.write_raw_bids(
                    data.raws[0], path, allow_preload=True, format="BrainVision", verbose="error"
                )
            func.mkdir(exist_ok=True)
            write_image(func / f"{stem}.nii.gz", data.bolds[0].to_numpy(), regions, affine)
            (func / f"{stem}.json").write_text(json.dumps({"RepetitionTime": T_R}))


def write_image(path, bold, regions, affine):
    """Write BOLD as whole numbers around 1,000, with noise of its own in each voxel."""
    rng = np.random.default_rng(0)
    voxels = np.empty((*SHAPE, len(bold)), np.int16, order="F")
    for volume, values in enumerate(bold):
        noise = rng.standard_normal(SHAPE, dtype=np.float32)
        voxels[..., volume] = 1000 + 10 * (np.r_[0.0, values][regions] + noise)
    img = nib.Nifti1Image(voxels, affine)
    img.header.set_xyzt_units("mm", "sec")
    img.header.set_zooms((3.0, 3.0, 3.0, T_R))
    nib.save(img, path)


def measure(folder, args):
    """Run the command, and print what it took."""
    out = folder / "out"
    command = [sys.executable, "-m", "sklearn_beira", "study", folder / "data", "--bold", "raw"]
    command += ["--atlas", folder / "atlas.nii.gz", "--labels", folder / "labels.csv"]
    command += ["--out", out, "--n-jobs", args.n_jobs]
    command += ["--participants", *(f"{person:02}" for person in range(1, args.people + 1))]
    start, own, mapped = time.monotonic(), 0.0, 0.0
    with subprocess.Popen(list(map(str, command))) as process:
        while process.poll() is None:
            seen = memory(process.pid)
            own, mapped = max(own, seen[0]), max(mapped, sum(seen))
            time.sleep(0.25)
    wall = time.monotonic() - start
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime
    eeg = args.people * 2 * args.minutes * 60
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    print(f"\n{args.people} people x 2 runs x {args.minutes:g} min, {args.n_jobs} processes")
    print(f"exit code         {process.returncode}")
    print(f"wall time         {wall:8.0f} s, {wall / args.people:.0f} s per person")
    print(f"processor time    {cpu:8.0f} s, {cpu / args.people:.0f} s per person")
    print(f"real-time factor  {eeg / wall:8.1f}; {2 * eeg / cpu:.1f} if two cores were free")
    print(f"peak memory       {own:8.2f} GB, with mapped files {mapped:.2f} GB")
    print(f"output            {size / 1e9:8.2f} GB")


def memory(pid):
    """Sum the memory of a process and its children in GB: their own, and mapped files."""
    found = np.zeros(2)
    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return found
    for process in family:
        try:
            lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()[1:]
        except OSError:  # it has ended
            continue
        size = {line.split(":")[0]: float(line.split()[1]) / 1e6 for line in lines}
        found += [size["Pss"] - size["Pss_File"], size["Pss_File"]] if size else 0.0
    return found


if __name__ == "__main__":
    main()
