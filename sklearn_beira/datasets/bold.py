"""BOLD driven by EEG power: response, noise to a given ceiling, images."""

import nibabel as nib
import numpy as np
from nilearn.glm.first_level import glover_hrf
from scipy import signal
from sklearn.utils import Bunch

from .eeg import autoregressive

# Envelopes are kept at steps of at most 0.1 s; the response is over after 32 s.
MAX_STEP, HRF_LENGTH = 0.1, 32.0
# A region is a cube of this many voxels a side; a voxel's own noise is in percent of the baseline.
CUBE, BASELINE, VOXEL_NOISE = 4, 1000.0, 0.5


def make_clock(duration, lead_in, t_r, delay):
    """Lay out the steps at which envelopes are known, and the volumes among them.

    Every volume falls on a step, so that nothing needs to be interpolated. The steps begin one
    response earlier than the recording: the first volumes have a past as well.
    """
    n_volumes = int((duration - lead_in) / t_r + 1e-9)
    if n_volumes < 3:
        raise ValueError(
            f"duration={duration:g} s holds {max(n_volumes, 0)} whole volume(s) of {t_r:g} s after "
            f"a lead_in of {lead_in:g} s, but 3 are needed; make the run longer."
        )
    oversampling = int(np.ceil(t_r / MAX_STEP))
    step = t_r / oversampling
    hrf = glover_hrf(t_r, oversampling, time_length=HRF_LENGTH + delay, onset=delay)
    first = len(hrf) + int(lead_in / step)
    n_steps = first + int((duration - lead_in) / step) + 1
    steps = lead_in + (np.arange(n_steps) - first) * step
    at_volumes = first + oversampling * np.arange(n_volumes)
    return Bunch(
        step=step, steps=steps, hrf=hrf, at_volumes=at_volumes, volume_times=steps[at_volumes]
    )


def couple(envelopes, clock, weights, noise_ceiling):
    """Return the weights scaled to the ceiling and the coupled part (all volumes, n_rois)."""
    hrf = clock.hrf[:, np.newaxis]
    regressors = np.concatenate(
        [signal.fftconvolve(run, hrf, axes=0)[clock.at_volumes] for run in envelopes]
    )
    regressors = (regressors - regressors.mean(axis=0)) / regressors.std(axis=0)
    coupled = regressors @ weights.T
    sd = np.where(weights.any(axis=1), coupled.std(axis=0), np.inf)
    return weights * (noise_ceiling / sd)[:, np.newaxis], coupled * (noise_ceiling / sd)


def make_noise(coupled, n_runs, t_r, autocorrelation, drift, rng):
    """Make noise and drift that bring each region to SD 1 without correlating with its signal."""
    n_volumes = len(coupled) // n_runs
    noise, drifts = [], []
    # Cosines slower than one cycle in 128 s, the customary border between drift and signal.
    order = np.arange(1, max(1, int(2 * n_volumes * t_r / 128)) + 1)
    cosines = np.cos(np.pi * np.outer(np.arange(n_volumes) + 0.5, order) / n_volumes)
    for _ in range(n_runs):
        noise.append(autoregressive(n_volumes, coupled.shape[1], autocorrelation, rng))
        drifts.append((cosines / order) @ rng.standard_normal((len(order), coupled.shape[1])))
    noise, drifts = np.concatenate(noise), np.concatenate(drifts)
    noise -= noise.mean(axis=0)
    drifts -= drifts.mean(axis=0)
    drifts *= drift * noise.std(axis=0) / drifts.std(axis=0)
    # Chance correlations with the signal would move the ceiling. The noise alone makes up for
    # them, so that the drift stays slow.
    power = (coupled**2).sum(axis=0)
    overlap = (coupled * (noise + drifts)).sum(axis=0)
    noise -= coupled * np.divide(overlap, power, out=np.zeros_like(power), where=power > 0)
    room = np.maximum(1 - coupled.var(axis=0), 0)
    scale = np.sqrt(room) / (noise + drifts).std(axis=0)
    return noise * scale, drifts * scale


def correlation(a, b):
    """Correlate the columns of two arrays; a constant column gives 0."""
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    norm = np.linalg.norm(a, axis=0) * np.linalg.norm(b, axis=0)
    return np.divide((a * b).sum(axis=0), norm, out=np.zeros_like(norm), where=norm > 0)


def make_atlas(n_rois):
    """Lay out cubes of 3 mm voxels, one per region, with gaps between them."""
    side = int(np.ceil(np.cbrt(n_rois)))
    atlas = np.zeros((side * (CUBE + 1) + 3,) * 3, dtype=np.int16)
    corners = 2 + (CUBE + 1) * np.array(list(np.ndindex(side, side, side)))
    for i, (x, y, z) in enumerate(corners[:n_rois]):
        atlas[x : x + CUBE, y : y + CUBE, z : z + CUBE] = i + 1
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    affine[:3, 3] = -1.5 * (np.array(atlas.shape) - 1)
    return nib.Nifti1Image(atlas, affine)


def make_bold_img(bold, atlas_img, t_r, rng):
    """Write the series (n_volumes, n_rois) into the voxels of a brain with an empty rim."""
    atlas = np.asarray(atlas_img.dataobj)
    percent = VOXEL_NOISE * rng.standard_normal((*atlas.shape, len(bold)))
    percent += np.pad(bold.T, ((1, 0), (0, 0)))[atlas]
    image = np.zeros(percent.shape, dtype=np.float32)
    brain = (slice(1, -1),) * 3
    image[brain] = BASELINE * (1 + percent[brain] / 100)
    img = nib.Nifti1Image(image, atlas_img.affine)
    img.header.set_xyzt_units("mm", "sec")
    img.header.set_zooms((3.0, 3.0, 3.0, t_r))
    return img
