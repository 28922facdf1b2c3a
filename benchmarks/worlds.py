"""Worlds in which models are compared: EEG and BOLD whose coupling is known, by seed.

Every function returns ``X`` (EEGWindows, unfiltered), ``y`` (DataFrame) and ``ceiling``, an array
with the best r that can be had of each region, NaN where nothing can be had or nothing is known.
In simulations it is measured like the models: the r within test blocks of the part of BOLD that the
EEG drives. It differs a little from the noise ceiling that was asked for, which is exact over the
whole run, drift included.

``simulated``  what ``make_eeg_fmri`` makes.
``adverse``    not what power models are built for: two regions follow the phase relation of two
               sources, six follow power with a delay of their own, and the noise is real BOLD.
``semireal``   real EEG and real BOLD of different people; four regions have a planted coupling.

Nothing measured here supports a claim about brains.
"""

import json
from pathlib import Path

import mne
import numpy as np
import pandas as pd
from scipy import signal

from sklearn_beira import align
from sklearn_beira.datasets import make_eeg_fmri
from sklearn_beira.evaluation.metrics import pearson_r
from sklearn_beira.evaluation.splitters import BlockedKFold

# What models may look back, and the EEG before the first volume, in s.
HISTORY, LEAD_IN = 20.48, 21.0
N_BLOCKS = 5

# In "adverse", sources 0 to 5 drive regions 0 to 5 by their power; 6 and 7 drive nothing; the
# phases of 8 and 9, and of 10 and 11, drive the last two regions. A pair shares its band.
N_POWER, PAIRS = 6, ((8, 9), (10, 11))
# Peaks of the responses of the power regions, in s.
PEAKS = np.linspace(3.0, 9.0, N_POWER)
# A region follows cos(phase difference - offset). At offset 0 the sources interfere at electrodes
# that see both, so that power there tells something, though the power of no source does. At a
# quarter of a cycle no power of any spatial filter tells anything.
OFFSETS = (0.0, np.pi / 2)
# How fast the phase difference wanders: cutoff in Hz, that of the sources' power.
WANDERING = 0.05
T_R_REAL = 2.1


def simulated(seed, minutes, noise_ceiling):
    """Make a run of ``make_eeg_fmri`` with 30 channels and eight regions, TR 1.95 s.

    Parameters
    ----------
    seed : int
        Determines everything. With another ceiling the EEG stays the same.
    minutes : float
        Length of the EEG.
    noise_ceiling : float
        Correlation of the coupled part with BOLD.

    Returns
    -------
    X : EEGWindows
        Samples.
    y : DataFrame of shape (n_volumes, 8)
        BOLD.
    ceiling : ndarray of shape (8,)
        r of the coupled part within test blocks.
    """
    study = make_eeg_fmri(
        duration=60 * minutes, t_r=1.95, n_channels=30, n_rois=8, noise_ceiling=noise_ceiling,
        lead_in=LEAD_IN, random_state=seed,
    )  # fmt: skip
    return _align(study.raws[0], study.bolds[0], study.volume_times[0], study.truth.coupled[0])


def adverse(seed, minutes, data, noise_ceiling=0.65):
    """Make a run whose BOLD follows phases, or power with differing delays, in real noise.

    Parameters
    ----------
    seed : int
        Determines everything.
    minutes : float
        Length of the EEG, up to 20: the real scans last 575 volumes of 2.1 s.
    data : path-like
        The folder with real/vu_bold.
    noise_ceiling : float
        Correlation of the coupled part with BOLD.

    Returns
    -------
    X : EEGWindows
        Samples.
    y : DataFrame of shape (n_volumes, 8)
        BOLD; six "power" regions, then "cosine" and "sine" of a phase difference.
    ceiling : ndarray of shape (8,)
        r of the coupled part within test blocks.
    """
    rng = np.random.default_rng(seed)
    study = make_eeg_fmri(
        duration=60 * minutes, t_r=T_R_REAL, n_channels=30, n_rois=8, n_sources=12,
        lead_in=LEAD_IN, random_state=seed,
    )  # fmt: skip
    truth, times = study.truth, study.volume_times[0]
    step, steps = truth.envelope_step, truth.envelope_times[0]
    at_volumes = np.rint((times - steps[0]) / step).astype(int)

    coupled = np.empty((len(times), N_POWER + len(PAIRS)))
    for roi, peak in enumerate(rng.permutation(PEAKS)):
        response = _shift_peak(truth.hrf, step, peak)
        regressors = _respond(truth.envelopes[0], response)[at_volumes]
        coupled[:, roi] = _zscore(regressors) @ truth.weights[roi]
    raw = study.raws[0]
    eeg = raw.get_data()
    for k, ((leader, follower), offset) in enumerate(zip(PAIRS, OFFSETS, strict=True)):
        lag = _wandering_phase(len(steps), step, rng)
        coupled[:, N_POWER + k] = _respond(np.cos(lag - offset), truth.hrf)[at_volumes]
        follow = _follow(truth.sources[0][[leader, follower]], np.interp(raw.times, steps, lag))
        eeg += np.outer(truth.patterns[follower], follow - truth.sources[0][follower])
    coupled = noise_ceiling * _zscore(coupled)

    noise = _zscore(_real_noise(data, *coupled.shape, rng))
    # Chance correlations with the coupled part would move the ceiling.
    noise -= coupled * (coupled * noise).sum(axis=0) / (coupled**2).sum(axis=0)
    bold = coupled + np.sqrt(1 - noise_ceiling**2) * _zscore(noise)
    names = [*(f"power {i + 1}" for i in range(N_POWER)), "cosine", "sine"]
    raw = mne.io.RawArray(eeg, raw.info, verbose="error")
    return _align(raw, pd.DataFrame(bold, columns=names), times, coupled)


def semireal(data):
    """Read real EEG with real BOLD of another person and a planted coupling, as the tests do.

    Parameters
    ----------
    data : path-like
        The folder with real/eeglab_sample and semireal.

    Returns
    -------
    X : EEGWindows
        Samples, with a history of 16 s.
    y : DataFrame of shape (n_volumes, 10)
        BOLD.
    ceiling : ndarray of shape (10,)
        Over the whole run, as planted; NaN in the six regions without coupling.
    """
    data = Path(data)
    raw = mne.io.read_raw_eeglab(
        data / "real" / "eeglab_sample" / "eeglab_data.set", preload=True, verbose="error"
    )
    raw.set_channel_types({"EOG1": "eog", "EOG2": "eog"})
    bold = pd.read_csv(data / "semireal" / "bold.csv", index_col="time_s")
    truth = json.loads((data / "semireal" / "truth.json").read_text())
    X, y = align(raw, bold, t_r=truth["t_r"], tmin=-16.0, tmax=0.0, verbose="error")
    return X, y, np.where(y.columns.isin(list(truth["planted"])), truth["oracle_r"], np.nan)


def _align(raw, bold, times, coupled):
    X, y = align(raw, bold, volume_times=times, tmin=-HISTORY, tmax=0.0, verbose="error")
    kept = len(times) - len(y)
    if kept:
        raise ValueError(f"{kept} volumes lack history; raise LEAD_IN.")
    blocks = np.empty(len(y), dtype=int)
    for k, (_, test) in enumerate(BlockedKFold(N_BLOCKS).split(X)):
        blocks[test] = k
    return X, y, pearson_r(y, coupled, blocks=blocks, multioutput="raw_values")


# -- the pieces of the adverse world ------------------------------------------------------------
def _shift_peak(hrf, step, peak):
    """Move a response in time; what would come before the stimulus is cut off."""
    lags = np.arange(len(hrf) + round(peak / step)) * step
    shift = peak - step * np.argmax(hrf)
    return np.interp(lags - shift, step * np.arange(len(hrf)), hrf, left=0.0, right=0.0)


def _respond(activity, response):
    response = response.reshape(-1, *[1] * (activity.ndim - 1))
    return signal.fftconvolve(activity, response, axes=0)[: len(activity)]


def _wandering_phase(n_steps, step, rng):
    """Phase of a slow complex process, unwrapped: every value is as likely as any other."""
    keep = np.exp(-2 * np.pi * WANDERING * step)
    # The first steps, until the process has forgotten where it started, are thrown away.
    burn_in = round(5 / (1 - keep))
    shocks = rng.standard_normal((burn_in + n_steps, 2)) @ [1, 1j]
    # Two poles: the phase has a derivative, and does not jitter from step to step.
    slow = signal.lfilter([1], [1, -2 * keep, keep**2], shocks)
    return np.unwrap(np.angle(slow[burn_in:]))


def _follow(sources, lag):
    """Give the second source the phase of the first, some radians later; its envelope stays."""
    leader, follower = signal.hilbert(sources, axis=1)
    return np.abs(follower) * np.cos(np.angle(leader) - lag)


def _real_noise(data, n_volumes, n_series, rng):
    """Random stretches of random regions of random scans, no series twice."""
    paths = sorted(Path(data).glob("real/vu_bold/*.csv"))
    if not paths:
        raise ValueError(f"no real/vu_bold in {data}; give the folder that holds it.")
    scans = [pd.read_csv(p).drop(columns=["time_s", "global signal clean"]) for p in paths]
    series = [scan[region].to_numpy() for scan in scans for region in scan]
    noise = np.empty((n_volumes, n_series))
    for k, i in enumerate(rng.permutation(len(series))[:n_series]):
        start = rng.integers(len(series[i]) - n_volumes + 1)
        noise[:, k] = series[i][start : start + n_volumes]
    return noise


def _zscore(x):
    return (x - x.mean(axis=0)) / x.std(axis=0)
