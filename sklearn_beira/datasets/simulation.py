"""Simulated simultaneous EEG-fMRI with known truth."""

from collections.abc import Sequence
from numbers import Integral, Real

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.utils import Bunch, check_random_state

from .bold import correlation, couple, make_atlas, make_bold_img, make_clock, make_noise
from .eeg import simulate_eeg
from .head import CHANNELS, make_head

# The paper's eight striatal regions come first, then the rest of the subcortical atlas.
PAIRED = ("Caudate", "Putamen", "Pallidum", "Accumbens", "Thalamus", "Hippocampus", "Amygdala")
REGIONS = [*(f"{side} {name}" for name in PAIRED for side in ("Left", "Right")), "Brain-Stem"]
SOURCE_BANDS = ((8.0, 12.0), (4.0, 7.0), (14.0, 20.0), (22.0, 30.0), (32.0, 42.0))
MIN_BANDWIDTH = 0.5
N_DISTRACTORS = 4


def make_eeg_fmri(
    n_runs: int = 1,
    *,
    duration: float = 300.0,
    t_r: float = 1.95,
    sfreq: float = 250.0,
    n_channels: int = 30,
    n_rois: int = 8,
    n_sources: int | None = None,
    bands: Sequence[tuple[float, float]] | None = None,
    weights: ArrayLike | None = None,
    delay: float = 0.0,
    lead_in: float = 10.0,
    eeg_snr: float = 2.0,
    amplitude: float = 20e-6,
    noise_ceiling: float = 0.8,
    autocorrelation: float = 0.75,
    drift: float = 0.3,
    return_img: bool = False,
    random_state: int | np.random.RandomState | None = None,
) -> Bunch:
    """Simulate simultaneous EEG-fMRI with a known coupling of EEG and BOLD.

    The EEG is ``sources @ patterns + background + sensor noise``. A source is band-limited noise
    whose power varies slowly; its pattern is the scalp topography of a dipole in a three-shell
    spherical head. The background is pink noise from 300 dipoles, and therefore correlated over
    the scalp. The BOLD signal of a region, in percent, is::

        bold = coupled + noise + drift,    coupled = zscore(hrf * power) @ weights.T

    where ``hrf *`` is a convolution in time and ``zscore`` is taken over the volumes of all runs.
    The sources are active before the recording starts, so the first volumes depend on EEG that was
    not recorded, as in a real scanner.

    Parameters
    ----------
    n_runs : int, default=1
        Number of runs, with the same head, sources and weights, and new activity.
    duration : float, default=300.0
        Length of the EEG of a run, in s.
    t_r : float, default=1.95
        Time between volumes, in s.
    sfreq : float, default=250.0
        Sampling rate of the EEG, in Hz.
    n_channels : int, default=30
        Number of electrodes at positions of the 10-10 system, from 2 to 64.
    n_rois : int, default=8
        Number of regions: left and right caudate, putamen, pallidum, accumbens, then others.
    n_sources : int, optional
        Number of sources, ``n_rois + 4`` by default. Each of the first ``n_rois`` drives one
        region, and half as strongly that of the other hemisphere; the others drive none.
    bands : sequence of (low, high), optional
        Frequency band of each source, in Hz; repeated if there are fewer bands than sources. By
        default each left-right pair has one band: alpha, theta, two of beta, gamma, then again.
    weights : array-like of shape (n_rois, n_sources), optional
        Coupling of regions and sources. A row of zeros makes a region that EEG does not predict.
        Each row is scaled to reach the noise ceiling, so only the ratios within a row matter.
    delay : float, default=0.0
        Delay of BOLD beyond that of the canonical response, in s.
    lead_in : float, default=10.0
        Length of the EEG before the first volume, in s.
    eeg_snr : float, default=2.0
        Power of a source relative to background and sensor noise, within the band of the source
        and averaged over the channels.
    amplitude : float, default=20e-6
        Root mean square over the channels of the expected SD of the EEG, in V.
    noise_ceiling : float, default=0.8
        Correlation of the coupled part with BOLD over all runs, which is reached exactly and which
        no prediction from EEG should exceed. Drift counts as noise.
    autocorrelation : float, default=0.75
        Correlation of the BOLD noise of neighboring volumes, a first-order autoregressive process.
        The default was measured on real detrended BOLD.
    drift : float, default=0.3
        SD of the slow drift relative to that of the BOLD noise.
    return_img : bool, default=False
        Also make 4-D images, in which each voxel has the series of its region and its own noise.
    random_state : int, RandomState instance or None, default=None
        Seed of all random numbers.

    Returns
    -------
    data : Bunch
        ``raws`` (list of Raw, in V, with an annotation ``mri`` at the onset of each volume),
        ``bolds`` (list of DataFrame of shape (n_volumes, n_rois), in percent), ``t_r``,
        ``volume_times`` (list of arrays, in s from the start of the recording),
        ``region_names``, ``DESCR`` and ``truth``. With ``return_img`` also ``bold_imgs`` (list of
        4-D images), ``atlas_img`` (region ``i`` has the value ``i + 1``) and ``labels``.

        ``truth`` is a Bunch of ``patterns`` (n_sources, n_channels), in V in the average
        reference, for sources of variance 1; ``bands`` (n_sources, 2) in Hz; ``weights`` (n_rois,
        n_sources) as scaled; ``hrf`` at steps of ``envelope_step`` s; ``noise_ceiling`` (n_rois,)
        over all runs and ``noise_ceiling_per_run`` (n_runs, n_rois), 0 for a region without
        coupling; and lists over runs of ``sources`` (n_sources, n_times), ``envelopes``
        (n_steps, n_sources) with their ``envelope_times`` in s, and the parts ``coupled``,
        ``noise`` and ``drift`` (n_volumes, n_rois) in percent.

    Raises
    ------
    ValueError
        If a parameter is out of range, or the parameters contradict each other.

    Notes
    -----
    The sensor noise is not re-referenced, so the EEG has full rank. Results on simulated data do
    not support claims about real brains: the response is linear and the same in all regions, and
    noise is Gaussian and independent between regions.

    References
    ----------
    .. [1] Glover, G. H. (1999). Deconvolution of impulse response in event-related BOLD fMRI.
       NeuroImage, 9(4), 416-429.
    .. [2] Mosher, J. C., Leahy, R. M. and Lewis, P. S. (1999). EEG and MEG: forward solutions for
       inverse methods. IEEE Transactions on Biomedical Engineering, 46(3), 245-259.

    Examples
    --------
    >>> from sklearn_beira.datasets import make_eeg_fmri
    >>> data = make_eeg_fmri(duration=60, n_channels=8, n_rois=2, random_state=0)
    >>> data.raws[0].get_data().shape, data.bolds[0].shape
    ((8, 15000), (25, 2))
    >>> data.region_names
    ['Left Caudate', 'Right Caudate']
    """
    _check_number("n_runs", n_runs, 1, integer=True)
    _check_number("n_channels", n_channels, 2, len(CHANNELS), integer=True)
    _check_number("n_rois", n_rois, 1, integer=True)
    _check_number("duration", duration, 1)
    _check_number("t_r", t_r, 0.1, 30)
    _check_number("sfreq", sfreq, 20)
    _check_number("delay", delay, 0, 30)
    _check_number("lead_in", lead_in, 0)
    _check_number("eeg_snr", eeg_snr, 0)
    _check_number("amplitude", amplitude, 1e-9, 1)
    _check_number("noise_ceiling", noise_ceiling, 0.01, 1)
    _check_number("autocorrelation", autocorrelation, 0, 0.99)
    _check_number("drift", drift, 0)
    if weights is not None:
        weights = _check_weights(weights, n_rois, n_sources)
        n_sources = weights.shape[1]
    if n_sources is None:
        n_sources = n_rois + N_DISTRACTORS
    _check_number("n_sources", n_sources, 1, integer=True)
    bands = _check_bands(bands, n_sources, sfreq)
    rng = check_random_state(random_state)
    if weights is None:
        weights = _make_weights(n_rois, n_sources, rng)

    clock = make_clock(duration, lead_in, t_r, delay)
    head = make_head(bands, n_channels, sfreq, eeg_snr, amplitude, rng)
    runs = [simulate_eeg(head, bands, clock, duration, sfreq, rng) for _ in range(n_runs)]
    raws, sources, envelopes = (list(part) for part in zip(*runs, strict=True))
    weights, coupled = couple(envelopes, clock, weights, noise_ceiling)
    noise, drifts = make_noise(coupled, n_runs, t_r, autocorrelation, drift, rng)
    bold = coupled + noise + drifts

    coupled, noise, drifts, bold = (np.split(x, n_runs) for x in (coupled, noise, drifts, bold))
    names = [*REGIONS, *(f"Region {i + 1}" for i in range(len(REGIONS), n_rois))][:n_rois]
    data = Bunch(
        raws=raws,
        bolds=[pd.DataFrame(run, columns=names) for run in bold],
        t_r=float(t_r),
        volume_times=[clock.volume_times.copy() for _ in runs],
        region_names=names,
        truth=Bunch(
            patterns=head.patterns,
            bands=bands,
            weights=weights,
            hrf=clock.hrf,
            noise_ceiling=correlation(np.concatenate(coupled), np.concatenate(bold)),
            noise_ceiling_per_run=np.array([*map(correlation, coupled, bold)]),
            sources=sources,
            envelopes=envelopes,
            envelope_times=[clock.steps.copy() for _ in runs],
            envelope_step=clock.step,
            coupled=coupled,
            noise=noise,
            drift=drifts,
        ),
        DESCR=(
            f"Simulated simultaneous EEG-fMRI. Runs: {n_runs}, of {duration:g} s. EEG: "
            f"{n_channels} channels at {sfreq:g} Hz. BOLD: {n_rois} regions, {len(bold[0])} "
            f"volumes a run, one every {t_r:g} s."
        ),
    )
    if return_img:
        data.atlas_img = make_atlas(n_rois)
        data.bold_imgs = [make_bold_img(run, data.atlas_img, t_r, rng) for run in bold]
        data.labels = list(names)
    return data


def _check_number(name, value, low, high=1e12, integer=False):
    kind = Integral if integer else Real
    # bool is an Integral; NaN fails every comparison.
    if not isinstance(value, kind) or isinstance(value, bool) or not low <= value <= high:
        what = "an integer" if integer else "a finite number"
        raise ValueError(f"{name} must be {what} from {low:g} to {high:g}, got {value!r}.")


def _check_bands(bands, n_sources, sfreq):
    if bands is None:
        # Both sources of a pair have the same band, so only space tells left from right.
        bands = np.repeat(SOURCE_BANDS, 2, axis=0)
    bands = np.asarray(bands, dtype=float)
    if bands.ndim != 2 or bands.shape[1] != 2 or len(bands) == 0:
        raise ValueError(f"bands must be pairs of (low, high) in Hz, got shape {bands.shape}.")
    bands = np.resize(bands, (n_sources, 2))
    for low, high in bands:
        if not (0 < low <= high - MIN_BANDWIDTH and high <= sfreq / 2):
            raise ValueError(
                f"the band {low:g}-{high:g} Hz must be at least {MIN_BANDWIDTH:g} Hz wide and lie "
                f"between 0 and half the sampling rate, {sfreq / 2:g} Hz; change bands or sfreq."
            )
    return bands


def _check_weights(weights, n_rois, n_sources):
    weights = np.asarray(weights, dtype=float)
    expected = f"({n_rois}, {'n_sources' if n_sources is None else n_sources})"
    fits = weights.ndim == 2 and len(weights) == n_rois
    if not fits or weights.shape[1] == 0 or n_sources not in (None, weights.shape[1]):
        raise ValueError(
            f"weights must have shape (n_rois, n_sources) = {expected}, got {weights.shape}."
        )
    if not np.isfinite(weights).all():
        raise ValueError("weights has NaN or infinite values; use 0 for a source without effect.")
    return weights


def _make_weights(n_rois, n_sources, rng):
    """Couple each region with its own source, and half as much with that of the other side."""
    weights = np.zeros((n_rois, n_sources))
    n_driving = min(n_rois, n_sources)
    signs = rng.choice([-1.0, 1.0], size=n_rois // 2 + 1)
    for roi in range(n_rois):
        partner = roi ^ 1  # the other one of the pair (0, 1), (2, 3), ...
        if partner < n_rois and roi < 2 * len(PAIRED):
            weights[roi, partner % n_driving] = 0.5 * signs[roi // 2]
        weights[roi, roi % n_driving] = signs[roi // 2]
    return weights
