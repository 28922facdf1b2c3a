"""Simulated head: electrodes, dipoles and their topographies in a sphere."""

import mne
import numpy as np
from sklearn.utils import Bunch

from .._utils.mne_log import quiet_mne
from ..eeg.channels import MONTAGE
from .eeg import SENSOR_SHARE, noise_power

# The first 30 are the EEG channels of the usual 32-channel caps for the scanner.
CAP = (
    "Fp1 Fp2 F3 F4 C3 C4 P3 P4 O1 O2 F7 F8 T7 T8 P7 P8 Fz Cz Pz Oz FC1 FC2 CP1 CP2 FC5 FC6 CP5 CP6 "
    "TP9 TP10 F1 F2 C1 C2 P1 P2 AF3 AF4 FC3 FC4 CP3 CP4 PO3 PO4 F5 F6 C5 C6 P5 P6 AF7 AF8 FT7 FT8 "
    "TP7 TP8 PO7 PO8 FT9 FT10 Fpz FCz CPz POz"
)
CHANNELS = CAP.split()
# The sphere that MNE fits to that montage, in m; constant, whatever the number of electrodes.
HEAD_CENTER, HEAD_RADIUS = np.array([0.0, 0.015, 0.043]), 0.096
BRAIN_RADIUS = 0.9 * HEAD_RADIUS
GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))
N_BACKGROUND = 300


def make_head(bands, n_channels, sfreq, eeg_snr, amplitude, rng):
    """Place the dipoles, and scale their topographies to the SNR and the amplitude."""
    positions, orientations = _place_sources(len(bands), rng)
    # The cube root spreads the background evenly over the volume, except its deepest part.
    depths = 0.9 * BRAIN_RADIUS * np.cbrt(rng.uniform(0.1, 1, (N_BACKGROUND, 1)))
    background = depths * _unit(rng.standard_normal((N_BACKGROUND, 3)))
    positions = HEAD_CENTER + np.concatenate([positions, background])
    orientations = np.concatenate([orientations, _unit(rng.standard_normal((N_BACKGROUND, 3)))])

    with quiet_mne():
        info = mne.create_info(CHANNELS[:n_channels], sfreq, "eeg")
        info.set_montage(MONTAGE)
        sphere = mne.make_sphere_model(HEAD_CENTER, HEAD_RADIUS)
        ones = np.ones(len(positions))
        dipoles = mne.Dipole(0 * ones, positions, ones, orientations, ones)
        forward, _ = mne.make_forward_dipole(dipoles, sphere, info)
    topographies = forward["sol"]["data"]
    topographies = topographies - topographies.mean(axis=0)

    # One noise per channel has the same distribution as one per dipole, and takes less time.
    u, s, _ = np.linalg.svd(topographies[:, len(bands) :], full_matrices=False)
    mixing = u * s / np.sqrt((s**2).sum() / n_channels)
    patterns = topographies[:, : len(bands)].T
    patterns = patterns / np.sqrt((patterns**2).mean(axis=1, keepdims=True))
    patterns *= np.sqrt(eeg_snr * noise_power(bands, sfreq))[:, np.newaxis]
    scale = amplitude / np.sqrt(1 + SENSOR_SHARE + (patterns**2).sum() / n_channels)
    return Bunch(
        info=info,
        patterns=patterns * scale,
        mixing=mixing * scale,
        sensor_sd=np.sqrt(SENSOR_SHARE) * scale,
    )


def _place_sources(n_sources, rng):
    """Spread pairs of mirrored dipoles evenly over the upper part of the brain."""
    n_pairs = (n_sources + 1) // 2
    height = rng.permutation(np.linspace(-0.2, 0.85, n_pairs))
    turns = rng.uniform(0, np.pi) + GOLDEN_ANGLE * np.arange(n_pairs)
    # Azimuths stay within half a circle, away from the midline, so that mirror images are apart.
    azimuth = np.pi * 0.15 + 0.7 * (turns % np.pi)
    flat = np.sqrt(1 - height**2)
    left = np.column_stack([-flat * np.sin(azimuth), flat * np.cos(azimuth), height])
    directions = np.stack([left, left * [-1, 1, 1]], axis=1).reshape(-1, 3)[:n_sources]
    # Mostly radial, as on the crowns of gyri; random, so that topographies are not mirror images.
    orientations = _unit(directions + 0.4 * rng.standard_normal(directions.shape))
    return 0.8 * BRAIN_RADIUS * directions, orientations


def _unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
