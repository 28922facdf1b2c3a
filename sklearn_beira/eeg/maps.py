"""Maps of channels that give EEG the covariances of a reference, and electrodes elsewhere."""

import mne
import numpy as np

from .._utils.mne_log import quiet_mne
from .channels import locate

_RANK = 1e-7  # smaller relative variances are directions without EEG, such as that of a reference
_STEPS, _TOLERANCE = 300, 1e-5  # of the search for a rotation


def find_map(covariance, reference, stay):
    """Find the map of channels that gives EEG the covariances of the reference.

    Parameters
    ----------
    covariance, reference : ndarray, shape (1 + n_bands, n_channels, n_channels)
        Covariances of a person and the reference, in all and in bands.
    stay : float
        Weight of staying near the channels.

    Returns
    -------
    matrix : ndarray, shape (n_channels, n_channels)
        The map; directions in which the reference has no EEG stay as they are, and all of them
        without EEG.
    """
    return search(covariance, reference, stay, None, _STEPS)[0]


def search(covariance, reference, stay, rotation, n_steps):
    """Map and rotation, found from another rotation or, if it is None, from the nearest one."""
    if not (np.trace(covariance[0]) > 0 and np.trace(reference[0]) > 0):
        return np.eye(covariance.shape[-1]), rotation
    values, axes = np.linalg.eigh(reference[0])
    axes = axes[:, values > _RANK * values[-1]]
    n = axes.shape[1]
    own, other = (axes.T @ c @ axes for c in (covariance, reference))
    back, near = _power(other[0], 0.5), _power(own[0], 0.5)
    white = _power(own[0], -0.5)
    displacement = back @ near
    nearest = _nearest_rotation(displacement)
    if rotation is None or len(own) == 1:
        rotation = nearest
    if len(own) > 1:
        a = _relative(white @ own[1:] @ white)
        whiten = _power(other[0], -0.5)
        b = _relative(whiten @ other[1:] @ whiten)
        size = np.sum((b - np.eye(n)) ** 2)
        pull = stay * n / np.sum(displacement * nearest) * displacement
        # The identity has no part in the choice, but makes steps small: as little as convexity
        # asks for, with which each step can only raise the value.
        a, b = _at_least_zero(a), _at_least_zero(b)
        for _ in range(n_steps if size > 0 else 0):
            last = rotation
            rotation = _nearest_rotation(n / size * (b @ last @ a).sum(axis=0) + pull)
            if np.abs(rotation - last).max() < _TOLERANCE:
                break
    matrix = axes @ (back @ rotation @ white) @ axes.T + np.eye(len(axes)) - axes @ axes.T
    return matrix, rotation


def geometric_median(matrices):
    """Compute the geometric median (n, n) of matrices (n_matrices, ..., n, n), by Weiszfeld."""
    median = np.median(matrices, axis=0)
    axes = tuple(range(-matrices.ndim + 1, 0))
    for _ in range(100):
        distance = np.sqrt(((matrices - median) ** 2).sum(axis=axes, keepdims=True))
        if not distance.any():
            break
        weight = 1 / np.maximum(distance, 1e-9 * distance.max())
        last, median = median, (weight * matrices).sum(axis=0) / weight.sum()
        if np.abs(median - last).max() <= 1e-6 * np.abs(median).max():
            break
    return median


def interpolation_matrix(positions, targets):
    """Compute the spherical splines of MNE from electrodes to others.

    Parameters
    ----------
    positions, targets : ndarray, shape (n, 3)
        Positions in m, in head coordinates.

    Returns
    -------
    matrix : ndarray, shape (n_targets, n_channels)
        Maps EEG at the positions to EEG at the targets.
    """

    def montage(places):
        names = {f"E{k}": place for k, place in enumerate(places)}
        return mne.channels.make_dig_montage(names, coord_frame="head")

    info = mne.create_info(montage(positions).ch_names, 100.0, "eeg")
    with quiet_mne():
        one = mne.EvokedArray(np.eye(len(positions)), info.set_montage(montage(positions)))
        return one.interpolate_to(montage(targets), method="spline").data


def electrode_positions(info):
    """Positions of the channels (n_channels, 3) in m, or None if one has none."""
    if info is None:
        return None
    info = info.copy()
    locate(info)
    places = np.array([channel["loc"][:3] for channel in info["chs"]])
    return places if np.isfinite(places).all() and (places != 0).any(axis=1).all() else None


def _power(covariance, exponent):
    """Power of a symmetric matrix; directions without variance become 0."""
    values, vectors = np.linalg.eigh(covariance)
    kept = values > _RANK * max(values[-1], np.finfo(float).tiny)
    return (vectors[:, kept] * values[kept] ** exponent) @ vectors[:, kept].T


def _nearest_rotation(matrix):
    left, _, right = np.linalg.svd(matrix)
    return left @ right


def _relative(covariances):
    """Scale covariances to a mean variance of 1."""
    mean = np.trace(covariances, axis1=1, axis2=2) / covariances.shape[1]
    return covariances / np.maximum(mean, np.finfo(float).tiny)[:, None, None]


def _at_least_zero(covariances):
    least = np.linalg.eigvalsh(covariances)[:, :1, None]
    return covariances - least * np.eye(covariances.shape[1])
