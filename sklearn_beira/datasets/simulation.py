"""Simulated simultaneous EEG-fMRI with known truth."""

from numbers import Integral, Real

import mne
import nibabel as nib
import numpy as np
import pandas as pd
from nilearn.glm.first_level import glover_hrf
from scipy import fft, signal
from sklearn.utils import Bunch, check_random_state

# Ordered so that the first 30 are the EEG channels of the usual 32-channel caps for the scanner.
CAP = (
    "Fp1 Fp2 F3 F4 C3 C4 P3 P4 O1 O2 F7 F8 T7 T8 P7 P8 Fz Cz Pz Oz FC1 FC2 CP1 CP2 FC5 FC6 CP5 CP6 "
    "TP9 TP10 F1 F2 C1 C2 P1 P2 AF3 AF4 FC3 FC4 CP3 CP4 PO3 PO4 F5 F6 C5 C6 P5 P6 AF7 AF8 FT7 FT8 "
    "TP7 TP8 PO7 PO8 FT9 FT10 Fpz FCz CPz POz"
)
CHANNELS = CAP.split()
# The paper's eight striatal regions come first, then the rest of the subcortical atlas.
PAIRED = ("Caudate", "Putamen", "Pallidum", "Accumbens", "Thalamus", "Hippocampus", "Amygdala")
REGIONS = [*(f"{side} {name}" for name in PAIRED for side in ("Left", "Right")), "Brain-Stem"]
BANDS = ((8.0, 12.0), (4.0, 7.0), (14.0, 20.0), (22.0, 30.0), (32.0, 42.0))
MIN_BANDWIDTH = 0.5

# The template 10-05 montage; MNE 1.13 renamed it and MNE 1.14 drops the old name.
MONTAGES = ("colin27_1005", "standard_1005")
MONTAGE = next(name for name in MONTAGES if name in mne.channels.get_builtin_montages())
# The sphere that MNE fits to that montage; fixed, so that the head does not depend on how many
# electrodes are used.
HEAD_CENTRE, HEAD_RADIUS = np.array([0.0, 0.015, 0.043]), 0.096
BRAIN_RADIUS = 0.9 * HEAD_RADIUS
GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))
N_BACKGROUND = 300
N_DISTRACTORS = 4
# Above this frequency (Hz) the power of the background falls as 1/f.
KNEE = 0.5
# Power of the electrodes' own white noise relative to the background's, over the whole spectrum.
SENSOR_SHARE = 0.01
# Log power of a source wanders with this SD around its mean, over seconds: slow enough
# to survive the haemodynamic response. The cutoff is in Hz.
MODULATION_SD, MODULATION_CUTOFF = 0.8, 0.05
# Envelopes are kept at steps of at most 0.1 s; the response is over after 32 s.
MAX_STEP, HRF_LENGTH = 0.1, 32.0
# A region is a cube of this many voxels a side; a voxel's own noise is in percent of the baseline.
CUBE, BASELINE, VOXEL_NOISE = 4, 1000.0, 0.5


def make_eeg_fmri(
    n_runs=1,
    *,
    duration=300.0,
    t_r=1.95,
    sfreq=250.0,
    n_channels=30,
    n_rois=8,
    n_sources=None,
    bands=None,
    weights=None,
    delay=0.0,
    lead_in=10.0,
    eeg_snr=2.0,
    amplitude=20e-6,
    noise_ceiling=0.8,
    autocorrelation=0.75,
    drift=0.3,
    return_img=False,
    random_state=None,
):
    """Simulate simultaneous EEG-fMRI whose coupling is known.

    The EEG is ``sources @ patterns + background + sensor noise``. A source is band-limited noise
    whose power wanders slowly; its pattern is the scalp topography of a dipole in a three-shell
    spherical head. The background is pink noise from 300 dipoles, hence correlated over the scalp.
    The BOLD signal of a region, in percent, is::

        bold = coupled + noise + drift,    coupled = zscore(hrf * power) @ weights.T

    where ``hrf *`` is a convolution in time and ``zscore`` is taken over the volumes of all runs.
    Sources were active before the recording started, so that the first volumes depend on EEG
    that nobody has recorded, as in life.

    Parameters
    ----------
    n_runs : int, default=1
        Number of runs: the same head, sources and weights, new activity.
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
        Number of sources. The first ``n_rois`` drive a region each, and the region of the other
        hemisphere half as much; the others drive nothing. The default is ``n_rois + 4``.
    bands : sequence of (low, high), optional
        Frequency band of each source, in Hz; reused in turn when there are fewer than sources. By
        default each left-right pair has one band: alpha, theta, two of beta, gamma, then again.
    weights : array-like of shape (n_rois, n_sources), optional
        Your own coupling; a row of zeros makes a region that no EEG can predict. Only the ratios
        within a row matter, as each row is scaled to reach the noise ceiling.
    delay : float, default=0.0
        How much later than the canonical response BOLD follows the sources, in s.
    lead_in : float, default=10.0
        EEG before the first volume, in s.
    eeg_snr : float, default=2.0
        Power of a source relative to that of everything that is not a source, within the band of
        the source and averaged over the channels.
    amplitude : float, default=20e-6
        Root mean square over the channels of the expected SD of the EEG, in V.
    noise_ceiling : float, default=0.8
        Correlation of the coupled part with BOLD over all runs, which no prediction from EEG
        should exceed. It is reached exactly. Drift counts as noise.
    autocorrelation : float, default=0.75
        Correlation of the BOLD noise of one volume with that of the next, a first-order
        autoregressive process. The default is what was measured on real detrended BOLD.
    drift : float, default=0.3
        SD of the slow drift relative to that of the BOLD noise.
    return_img : bool, default=False
        Also make 4-D images, in which the voxels of a region carry its series and their own noise.
    random_state : int, RandomState instance or None, default=None
        Determines every number of the result.

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
        coupling; and, as lists over runs, ``sources`` (n_sources, n_times), ``envelopes``
        (n_steps, n_sources) with their ``envelope_times`` in s, and the parts ``coupled``,
        ``noise`` and ``drift`` (n_volumes, n_rois) in percent.

    Raises
    ------
    ValueError
        If a parameter is out of its range or the parameters do not fit together.

    Notes
    -----
    The electrodes' own noise is not re-referenced, so that the EEG has full rank. Nothing measured
    on simulated data supports a claim about real brains: the response is linear and the same
    everywhere, and noise is Gaussian and independent between regions.

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

    clock = _make_clock(duration, lead_in, t_r, delay)
    head = _make_head(bands, n_channels, sfreq, eeg_snr, amplitude, rng)
    runs = [_simulate_eeg(head, bands, clock, duration, sfreq, rng) for _ in range(n_runs)]
    raws, sources, envelopes = (list(part) for part in zip(*runs, strict=True))
    weights, coupled = _couple(envelopes, clock, weights, noise_ceiling)
    noise, drifts = _make_noise(coupled, n_runs, t_r, autocorrelation, drift, rng)
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
            noise_ceiling=_correlation(np.concatenate(coupled), np.concatenate(bold)),
            noise_ceiling_per_run=np.array([*map(_correlation, coupled, bold)]),
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
        data.atlas_img = _make_atlas(n_rois)
        data.bold_imgs = [_make_bold_img(run, data.atlas_img, t_r, rng) for run in bold]
        data.labels = list(names)
    return data


def _check_number(name, value, low, high=np.inf, integer=False):
    kind = Integral if integer else Real
    # bool is an Integral, and NaN compares false with everything.
    if not isinstance(value, kind) or isinstance(value, bool) or not low <= value <= high:
        what = "an integer" if integer else "a number"
        bounds = f"of at least {low:g}" if high == np.inf else f"from {low:g} to {high:g}"
        raise ValueError(f"{name} must be {what} {bounds}, got {value!r}.")
    if value == np.inf:
        raise ValueError(f"{name} must be finite, got {value!r}.")


def _check_bands(bands, n_sources, sfreq):
    if bands is None:
        # A pair of homologous sources shares its band, so that only space tells left from right.
        bands = np.repeat(BANDS, 2, axis=0)
    bands = np.asarray(bands, dtype=float)
    if bands.ndim != 2 or bands.shape[1] != 2 or len(bands) == 0:
        raise ValueError(f"bands must be pairs of (low, high) in Hz, got shape {bands.shape}.")
    bands = np.resize(bands, (n_sources, 2))
    for low, high in bands:
        if not 0 < low < high <= sfreq / 2:
            raise ValueError(
                f"the band {low:g}-{high:g} Hz does not lie between 0 and half the sampling rate, "
                f"{sfreq / 2:g} Hz; raise sfreq or give other bands."
            )
        if high - low < MIN_BANDWIDTH:
            raise ValueError(
                f"the band {low:g}-{high:g} Hz is narrower than {MIN_BANDWIDTH:g} Hz; widen it."
            )
    return bands


def _check_weights(weights, n_rois, n_sources):
    weights = np.asarray(weights, dtype=float)
    expected = f"({n_rois}, {'n_sources' if n_sources is None else n_sources})"
    fits = weights.ndim == 2 and len(weights) == n_rois
    if not fits or weights.shape[1] == 0 or n_sources not in (None, weights.shape[1]):
        raise ValueError(
            f"weights must be of shape (n_rois, n_sources) = {expected}, got {weights.shape}; "
            "leave weights out for the default coupling."
        )
    if not np.isfinite(weights).all():
        raise ValueError("weights hold NaN or infinite values; give 0 for a source without effect.")
    return weights


def _make_weights(n_rois, n_sources, rng):
    """Give each region a source of its own and half of the source of the other hemisphere."""
    weights = np.zeros((n_rois, n_sources))
    n_driving = min(n_rois, n_sources)
    signs = rng.choice([-1.0, 1.0], size=n_rois // 2 + 1)
    for roi in range(n_rois):
        partner = roi ^ 1  # the other one of the pair (0, 1), (2, 3), ...
        if partner < n_rois and roi < 2 * len(PAIRED):
            weights[roi, partner % n_driving] = 0.5 * signs[roi // 2]
        weights[roi, roi % n_driving] = signs[roi // 2]
    return weights


def _make_clock(duration, lead_in, t_r, delay):
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


def _make_head(bands, n_channels, sfreq, eeg_snr, amplitude, rng):
    """Place the dipoles and scale their topographies to the SNR and the amplitude."""
    positions, orientations = _place_sources(len(bands), rng)
    # The cube root spreads the background evenly over the volume, but for the deepest part.
    depths = 0.9 * BRAIN_RADIUS * np.cbrt(rng.uniform(0.1, 1, (N_BACKGROUND, 1)))
    background = depths * _unit(rng.standard_normal((N_BACKGROUND, 3)))
    positions = HEAD_CENTRE + np.concatenate([positions, background])
    orientations = np.concatenate([orientations, _unit(rng.standard_normal((N_BACKGROUND, 3)))])

    with mne.utils.use_log_level("error"):
        info = mne.create_info(CHANNELS[:n_channels], sfreq, "eeg")
        info.set_montage(MONTAGE)
        sphere = mne.make_sphere_model(HEAD_CENTRE, HEAD_RADIUS)
        ones = np.ones(len(positions))
        dipoles = mne.Dipole(0 * ones, positions, ones, orientations, ones)
        forward, _ = mne.make_forward_dipole(dipoles, sphere, info)
    topographies = forward["sol"]["data"]
    topographies = topographies - topographies.mean(axis=0)

    # As many noises as channels have the same distribution as one noise per dipole, for less work.
    u, s, _ = np.linalg.svd(topographies[:, len(bands) :], full_matrices=False)
    mixing = u * s / np.sqrt((s**2).sum() / n_channels)
    patterns = topographies[:, : len(bands)].T
    patterns = patterns / np.sqrt((patterns**2).mean(axis=1, keepdims=True))
    patterns *= np.sqrt(eeg_snr * _noise_power(bands, sfreq))[:, np.newaxis]
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
    # Azimuths are folded into half a circle, short of the midline: mirror images stay apart.
    azimuth = np.pi * 0.15 + 0.7 * (turns % np.pi)
    flat = np.sqrt(1 - height**2)
    left = np.column_stack([-flat * np.sin(azimuth), flat * np.cos(azimuth), height])
    directions = np.stack([left, left * [-1, 1, 1]], axis=1).reshape(-1, 3)[:n_sources]
    # Mostly radial, as on the crowns of gyri, but no two topographies are exact mirror images.
    orientations = _unit(directions + 0.4 * rng.standard_normal(directions.shape))
    return 0.8 * BRAIN_RADIUS * directions, orientations


def _unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _noise_power(bands, sfreq):
    """Integrate the spectrum of all that is not a source over bands; the background's is 1."""
    nyquist = sfreq / 2
    below = np.where(bands < KNEE, bands / KNEE, 1 + np.log(np.maximum(bands, KNEE) / KNEE))
    pink = np.diff(below)[:, 0] / (1 + np.log(nyquist / KNEE))
    return pink + SENSOR_SHARE * np.diff(bands)[:, 0] / nyquist


def _simulate_eeg(head, bands, clock, duration, sfreq, rng):
    """Make one recording, its sources (n_sources, n_times) and envelopes (n_steps, n_sources)."""
    start = int((clock.steps[0] - clock.step) * sfreq) - 1
    stop = int((duration + clock.step) * sfreq) + 1
    times = np.arange(start, stop) / sfreq
    activity, power = _make_sources(bands, clock, times, sfreq, rng)
    edges = np.append(clock.steps, clock.steps[-1] + clock.step) - clock.step / 2
    edges = np.searchsorted(times, edges)
    envelopes = np.add.reduceat(power[:, : edges[-1]], edges[:-1], axis=1) / np.diff(edges)

    recorded = slice(-start, -start + round(duration * sfreq))
    activity = activity[:, recorded]
    eeg = head.patterns.T @ activity
    eeg += head.mixing @ _pink_noise(head.mixing.shape[1], len(times), sfreq, rng)[:, recorded]
    eeg += head.sensor_sd * rng.standard_normal(eeg.shape)
    raw = mne.io.RawArray(eeg, head.info.copy(), verbose="error")
    onsets = clock.volume_times
    raw.set_annotations(mne.Annotations(onsets, 0.0, ["mri"] * len(onsets)), verbose="error")
    return raw, activity, envelopes.T


def _make_sources(bands, clock, times, sfreq, rng):
    """Make band-limited noise of variance 1 with wandering power, and its instantaneous power."""
    lag_one = np.exp(-2 * np.pi * MODULATION_CUTOFF * clock.step)
    log_power = MODULATION_SD * _autoregressive(len(clock.steps), len(bands), lag_one, rng)
    # The mean of a log-normal power is not the exponential of the mean: make it 1.
    log_power -= MODULATION_SD**2 / 2
    n = fft.next_fast_len(len(times))
    freqs = fft.fftfreq(n, 1 / sfreq)
    sources, power = np.empty((2, len(bands), len(times)))
    for i, (low, high) in enumerate(bands):
        inside = np.flatnonzero((freqs >= low) & (freqs <= high))
        shape = signal.windows.tukey(len(inside), 0.5)
        spectrum = np.zeros(n, dtype=complex)
        spectrum[inside] = shape * (rng.standard_normal((2, len(inside))).T @ [1, 1j])
        # Without negative frequencies the signal is analytic: its modulus is the envelope.
        analytic = fft.ifft(spectrum)[: len(times)] * (n / np.linalg.norm(shape))
        analytic *= np.exp(np.interp(times, clock.steps, log_power[:, i]) / 2)
        sources[i] = analytic.real
        power[i] = (analytic.real**2 + analytic.imag**2) / 2
    return sources, power


def _autoregressive(n, n_series, lag_one, rng):
    """Make first-order autoregressive noise of variance 1, stationary from its first value."""
    shocks = rng.standard_normal((n, n_series))
    shocks[1:] *= np.sqrt(1 - lag_one**2)
    return signal.lfilter([1], [1, -lag_one], shocks, axis=0)


def _pink_noise(n_series, n_times, sfreq, rng):
    """Make noise of variance 1 whose power falls as 1/f."""
    n = fft.next_fast_len(n_times, real=True)
    freqs = fft.rfftfreq(n, 1 / sfreq)
    power = 1 / np.maximum(freqs, KNEE)
    power[0] = 0
    spectrum = rng.standard_normal((2, n_series, len(freqs)))
    spectrum = (spectrum[0] + 1j * spectrum[1]) * np.sqrt(power / power.sum()) * n / 2
    return fft.irfft(spectrum, n, axis=1)[:, :n_times]


def _couple(envelopes, clock, weights, noise_ceiling):
    """Return the weights scaled to the ceiling and the coupled part (all volumes, n_rois)."""
    hrf = clock.hrf[:, np.newaxis]
    regressors = np.concatenate(
        [signal.fftconvolve(run, hrf, axes=0)[clock.at_volumes] for run in envelopes]
    )
    regressors = (regressors - regressors.mean(axis=0)) / regressors.std(axis=0)
    coupled = regressors @ weights.T
    sd = np.where(weights.any(axis=1), coupled.std(axis=0), np.inf)
    return weights * (noise_ceiling / sd)[:, np.newaxis], coupled * (noise_ceiling / sd)


def _make_noise(coupled, n_runs, t_r, autocorrelation, drift, rng):
    """Make noise and drift that bring each region to SD 1 without correlating with its signal."""
    n_volumes = len(coupled) // n_runs
    noise, drifts = [], []
    # Cosines slower than one cycle in 128 s, the customary border between drift and signal.
    order = np.arange(1, max(1, int(2 * n_volumes * t_r / 128)) + 1)
    cosines = np.cos(np.pi * np.outer(np.arange(n_volumes) + 0.5, order) / n_volumes)
    for _ in range(n_runs):
        noise.append(_autoregressive(n_volumes, coupled.shape[1], autocorrelation, rng))
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


def _correlation(a, b):
    """Correlate the columns of two arrays; a constant column gives 0."""
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    norm = np.linalg.norm(a, axis=0) * np.linalg.norm(b, axis=0)
    return np.divide((a * b).sum(axis=0), norm, out=np.zeros_like(norm), where=norm > 0)


def _make_atlas(n_rois):
    """Lay out cubes of 3 mm voxels, one per region, with gaps between them."""
    side = int(np.ceil(np.cbrt(n_rois)))
    atlas = np.zeros((side * (CUBE + 1) + 3,) * 3, dtype=np.int16)
    corners = 2 + (CUBE + 1) * np.array(list(np.ndindex(side, side, side)))
    for i, (x, y, z) in enumerate(corners[:n_rois]):
        atlas[x : x + CUBE, y : y + CUBE, z : z + CUBE] = i + 1
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    affine[:3, 3] = -1.5 * (np.array(atlas.shape) - 1)
    return nib.Nifti1Image(atlas, affine)


def _make_bold_img(bold, atlas_img, t_r, rng):
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
