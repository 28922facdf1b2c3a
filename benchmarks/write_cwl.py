"""Write a folder laid out like the CWL data set, for tests and benchmarks without the real one.

python benchmarks/write_cwl.py DIR            a small run, simulated
python benchmarks/write_cwl.py DIR --full     as large as the real one: 303,601 samples of 38
                                              channels at 1 kHz, 146 volumes of 61 x 72 x 61
python benchmarks/write_cwl.py DIR --real R   EEG, BOLD series and head motion from real recordings
                                              in the folder R (shared/data), of different people
"""

import argparse
from pathlib import Path

import mne
import nibabel as nib
import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter1d
from scipy.signal import resample_poly
from sklearn.utils import check_random_state

from sklearn_beira.datasets import make_eeg_fmri
from sklearn_beira.datasets.cwl import FILES

T_R = 1.95
SMALL = {"n_times": 15_000, "n_volumes": 26, "n_triggers": 23, "shape": (16, 18, 16), "sfreq": 250}
FULL = {
    "n_times": 303_601,
    "n_volumes": 146,
    "n_triggers": 143,
    "shape": (61, 72, 61),
    "sfreq": 1000,
}
LOOPS = [f"CW{i}" for i in range(1, 7)]
# Columns of the real BOLD table beside the names that the atlas gives them.
REAL_REGIONS = {
    f"{side} {name}": f"{side[0]}{column}"
    for name, column in (("Caudate", "Cau"), ("Putamen", "Put"), ("Thalamus", "Thal"))
    for side in ("Left", "Right")
} | {"Left Hippocampus": "LHip", "Right Hippocampus": "RHip"}
# Scanner units, the real ones being integers as well; noise in percent of the baseline.
BASELINE, VOXEL_NOISE = 8000, 1.0


def write_cwl(
    data_dir,
    subject="trio1",
    *,
    pump="off",
    n_times=SMALL["n_times"],
    n_volumes=SMALL["n_volumes"],
    n_triggers=SMALL["n_triggers"],
    shape=SMALL["shape"],
    sfreq=SMALL["sfreq"],
    real_dir=None,
    random_state=0,
):
    """Write EEG, BOLD and motion parameters of a run as the CWL data set has them.

    The first ``n_triggers`` volumes have a trigger, the last ones have none. Without ``real_dir``
    the EEG predicts BOLD (see :func:`~sklearn_beira.datasets.make_eeg_fmri`); with it, EEG and BOLD
    are real but of different people, so nothing couples them, and what a recording lacks in length
    is filled by running it backwards.

    Parameters
    ----------
    data_dir : str or path
        Folder to write into. ``atlas.nii`` and ``labels.tsv`` (``index``, ``name``) are put at its
        top: the regions in which the BOLD images carry signal.
    subject, pump : str
        Which run to write.
    n_times : int
        Samples of the EEG.
    n_volumes, n_triggers : int
        Numbers of BOLD volumes (1.95 s apart) and of triggers in the EEG.
    shape : tuple of 3 int
        Voxels of a volume.
    sfreq : int
        Sampling rate, in Hz.
    real_dir : str or path, optional
        Folder with real recordings.
    random_state : int or RandomState, default=0
        Determines what is simulated.

    Returns
    -------
    bold : DataFrame of shape (n_volumes, n_rois)
        The series that the regions carry, in percent.
    """
    rng = check_random_state(random_state)
    duration = n_times / sfreq
    lead_in = np.floor((duration - n_volumes * T_R) / 2 * 100) / 100
    if lead_in < 0:
        raise ValueError(
            f"{n_volumes} volumes last {n_volumes * T_R:g} s, but {n_times} samples at {sfreq:g} "
            f"Hz only {duration:g} s; raise n_times."
        )
    if not 2 <= n_triggers <= n_volumes:
        raise ValueError(f"n_triggers must be from 2 to n_volumes={n_volumes}, got {n_triggers}.")
    paths = {
        kind: Path(data_dir) / name.format(subject=subject, pump=pump)
        for kind, name in FILES.items()
    }
    for path in paths.values():
        path.parent.mkdir(parents=True, exist_ok=True)

    if real_dir is None:
        data = make_eeg_fmri(
            duration=duration, lead_in=lead_in, t_r=T_R, sfreq=sfreq, random_state=rng
        )
        raw, bold = data.raws[0], data.bolds[0][:n_volumes]
        motion = np.cumsum(rng.normal(scale=[0.01] * 3 + [1e-4] * 3, size=(n_volumes, 6)), axis=0)
    else:
        raw, bold, motion = _read_real(Path(real_dir), n_times, n_volumes, sfreq)
    raw = _add_peripheral(raw, rng)
    onsets = lead_in + T_R * np.arange(n_triggers)
    raw.set_annotations(mne.Annotations(onsets, 0.0, ["mri"] * n_triggers))
    mne.export.export_raw(paths["eeg"], raw, fmt="eeglab", overwrite=True, verbose="error")
    np.savetxt(paths["motion"], motion, fmt="%16.7e")

    atlas = _make_atlas(shape, bold.shape[1])
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    affine[:3, 3] = -1.5 * (np.array(shape) - 1)
    nib.save(nib.Nifti1Image(atlas, affine), Path(data_dir) / "atlas.nii")
    labels = pd.DataFrame({"index": np.arange(bold.shape[1]) + 1, "name": bold.columns})
    labels.to_csv(Path(data_dir) / "labels.tsv", sep="\t", index=False)
    _write_bold(paths["bold"], bold.to_numpy(), atlas, affine, rng)
    return bold


def _read_real(real_dir, n_times, n_volumes, sfreq):
    """Read EEG, BOLD series and motion of different people, brought to the length asked for."""
    folder = real_dir / "real"
    raw = mne.io.read_raw_eeglab(folder / "eeglab_sample" / "eeglab_data.set", verbose="error")
    raw.pick([name for name in raw.ch_names if not name.startswith("EOG")])
    eeg = resample_poly(raw.get_data(), round(sfreq), round(raw.info["sfreq"]), axis=1)
    info = mne.create_info(raw.ch_names, sfreq, "eeg")
    info.set_montage(raw.get_montage())
    table = pd.read_csv(folder / "nitime_bold" / "fmri_timeseries.csv")
    bold = table[list(REAL_REGIONS.values())].set_axis(list(REAL_REGIONS), axis=1)
    bold = (bold - bold.mean()) / bold.std()
    bold = pd.DataFrame(_fill(bold.to_numpy(), n_volumes), columns=bold.columns)
    path = folder / "motion" / "d_sub-xp102_task-eegfmriNF_headmotion.tsv"
    motion = _fill(np.loadtxt(path, skiprows=1), n_volumes)
    raw = mne.io.RawArray(_fill(eeg.T, n_times).T, info, verbose="error")
    return raw, bold, motion


def _fill(values, n):
    """Cut a series to n rows, or prolong it by running back and forth."""
    back_and_forth = np.concatenate([np.arange(len(values)), np.arange(len(values))[::-1]])
    return values[np.resize(back_and_forth, n)]


def _add_peripheral(raw, rng):
    """Add what is recorded beside the EEG: eyes, heart and carbon-wire loops."""
    n_times, sfreq = raw.n_times, raw.info["sfreq"]
    spikes = np.zeros((2, n_times))
    for row, interval in zip(spikes, (4.0, 0.9), strict=True):
        n = int(n_times / sfreq / interval)
        row[((np.arange(n) + rng.uniform(0.3, 0.7, n)) * interval * sfreq).astype(int)] = 1
    blinks, beats = (
        gaussian_filter1d(row, width * sfreq) * width * sfreq
        for row, width in zip(spikes, (0.1, 0.02), strict=True)
    )
    loops = np.outer(rng.uniform(5e-5, 1e-4, len(LOOPS)), beats)
    values = np.vstack([6e-4 * blinks, 1e-3 * beats, loops])
    values += 2e-6 * rng.standard_normal(values.shape)
    info = mne.create_info(["EOG", "ECG", *LOOPS], sfreq, "eeg")
    extra = mne.io.RawArray(values, info, verbose="error")
    return raw.copy().load_data().add_channels([extra], force_update_info=True)


def _make_atlas(shape, n_rois):
    """Split the middle of a volume into as many blocks as regions, with gaps between them."""
    atlas = np.zeros(shape, dtype=np.int16)
    side = int(np.ceil(np.cbrt(n_rois)))
    cell = (np.array(shape) - 4) // side
    if cell.min() < 3:
        raise ValueError(f"a volume of {tuple(shape)} voxels is too small for {n_rois} regions.")
    # Real regions are a few centimeters wide, however large the volume is.
    size = np.minimum(cell - 1, 6)
    for i, corner in enumerate(list(np.ndindex(side, side, side))[:n_rois]):
        start = 2 + np.array(corner) * cell
        atlas[tuple(slice(a, b) for a, b in zip(start, start + size, strict=True))] = i + 1
    return atlas


def _write_bold(path, bold, atlas, affine, rng):
    """Write volume after volume: a full run in floating point would take a gigabyte."""
    images = np.zeros((*atlas.shape, len(bold)), dtype=np.int16, order="F")
    brain = (slice(1, -1),) * 3
    inside = atlas[brain]
    for i, values in enumerate(bold):
        percent = np.concatenate([[0.0], values])[inside]
        percent += VOXEL_NOISE * rng.standard_normal(inside.shape)
        images[(*brain, i)] = np.rint(BASELINE * (1 + percent / 100))
    img = nib.Nifti1Image(images, affine)
    img.header.set_xyzt_units("mm", "sec")
    img.header.set_zooms((3.0, 3.0, 3.0, T_R))
    nib.save(img, path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write a folder laid out like the CWL data set.")
    parser.add_argument("data_dir", metavar="DIR")
    parser.add_argument("--full", action="store_true", help="as large as the real one")
    parser.add_argument("--real", metavar="R", help="folder with real recordings to use")
    parser.add_argument("--subject", default="trio1")
    args = parser.parse_args()
    size = FULL if args.full else SMALL
    write_cwl(args.data_dir, args.subject, **size, real_dir=args.real)
