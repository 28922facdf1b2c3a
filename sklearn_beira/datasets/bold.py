"""Simulated BOLD: the response to EEG power, noise up to a given ceiling, and images."""

import numpy as np
from scipy import signal
from sklearn.utils import Bunch

from .eeg import autoregressive

# Largest step of the envelopes and length of the response, in s.
MAX_STEP, HRF_LENGTH = 0.1, 32.0
# Voxels along each side of a region; mean of a voxel; SD of its own noise in percent of the mean.
CUBE, BASELINE, VOXEL_NOISE = 4, 1000.0, 0.5


def make_clock(duration, lead_in, t_r, delay):
    """Lay out the time steps of the envelopes, and the volumes among them.

    Every volume falls on a step, so no interpolation is needed. The steps begin before the
    recording, by the length of the response, so that the first volumes have a history as well.
    """
    from nilearn.glm.first_level import glover_hrf  # nilearn is imported only when it is used

    n_volumes = int((duration - lead_in) / t_r + 1e-9)
    if n_volumes < 3:
        raise ValueError(
            f"duration={duration:g} s is enough for {max(n_volumes, 0)} volumes of {t_r:g} s after "
            f"a lead_in of {lead_in:g} s; at least 3 are needed, so increase the duration."
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
    """Scale the weights to the ceiling, and compute the coupled part (all volumes, n_rois)."""
    hrf = clock.hrf[:, np.newaxis]
    regressors = np.concatenate(
        [signal.fftconvolve(run, hrf, axes=0)[clock.at_volumes] for run in envelopes]
    )
    regressors = (regressors - regressors.mean(axis=0)) / regressors.std(axis=0)
    coupled = regressors @ weights.T
    sd = np.where(weights.any(axis=1), coupled.std(axis=0), np.inf)
    return weights * (noise_ceiling / sd)[:, np.newaxis], coupled * (noise_ceiling / sd)


def make_noise(coupled, n_runs, t_r, autocorrelation, drift, rng):
    """Make noise and drift, uncorrelated with the coupled part, so that each region has SD 1."""
    n_volumes = len(coupled) // n_runs
    noise, drifts = [], []
    # Cosines slower than one cycle in 128 s, the usual cutoff between drift and signal.
    order = np.arange(1, max(1, int(2 * n_volumes * t_r / 128)) + 1)
    cosines = np.cos(np.pi * np.outer(np.arange(n_volumes) + 0.5, order) / n_volumes)
    for _ in range(n_runs):
        noise.append(autoregressive(n_volumes, coupled.shape[1], autocorrelation, rng))
        drifts.append((cosines / order) @ rng.standard_normal((len(order), coupled.shape[1])))
    noise, drifts = np.concatenate(noise), np.concatenate(drifts)
    noise -= noise.mean(axis=0)
    drifts -= drifts.mean(axis=0)
    drifts *= drift * noise.std(axis=0) / drifts.std(axis=0)
    # A chance correlation with the signal would change the ceiling. Only the noise is corrected
    # for it, so that the drift stays slow.
    power = (coupled**2).sum(axis=0)
    overlap = (coupled * (noise + drifts)).sum(axis=0)
    noise -= coupled * np.divide(overlap, power, out=np.zeros_like(power), where=power > 0)
    room = np.maximum(1 - coupled.var(axis=0), 0)
    scale = np.sqrt(room) / (noise + drifts).std(axis=0)
    return noise * scale, drifts * scale


def correlation(a, b):
    """Correlate each column of an array with that of another; a constant column gives 0."""
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    norm = np.linalg.norm(a, axis=0) * np.linalg.norm(b, axis=0)
    return np.divide((a * b).sum(axis=0), norm, out=np.zeros_like(norm), where=norm > 0)


def make_atlas(n_rois):
    """Make an atlas with one cube per region, of voxels of 3 mm, and gaps between the cubes."""
    import nibabel as nib

    side = int(np.ceil(np.cbrt(n_rois)))
    atlas = np.zeros((side * (CUBE + 1) + 3,) * 3, dtype=np.int16)
    corners = 2 + (CUBE + 1) * np.array(list(np.ndindex(side, side, side)))
    for i, (x, y, z) in enumerate(corners[:n_rois]):
        atlas[x : x + CUBE, y : y + CUBE, z : z + CUBE] = i + 1
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    affine[:3, 3] = -1.5 * (np.array(atlas.shape) - 1)
    return nib.Nifti1Image(atlas, affine)


def make_bold_img(bold, atlas_img, t_r, rng):
    """Write time series (n_volumes, n_rois) into the voxels of a brain with an empty rim."""
    atlas = np.asarray(atlas_img.dataobj)
    percent = VOXEL_NOISE * rng.standard_normal((*atlas.shape, len(bold)))
    percent += np.pad(bold.T, ((1, 0), (0, 0)))[atlas]
    image = np.zeros(percent.shape, dtype=np.float32)
    brain = (slice(1, -1),) * 3
    image[brain] = BASELINE * (1 + percent[brain] / 100)
    img = type(atlas_img)(image, atlas_img.affine)
    img.header.set_xyzt_units("mm", "sec")
    img.header.set_zooms((3.0, 3.0, 3.0, t_r))
    return img
