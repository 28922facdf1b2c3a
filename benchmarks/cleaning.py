"""Does cleaning bring back a coupling that artifacts of the scanner hid, and does it harm?

Real EEG (30 channels, 4 minutes, interpolated to 5 kHz, with 1 µV of amplifier noise), and
artifacts that are simulated and added to it:

gradient   three axes with harmonics of 30 slices up to 250 Hz, 1.5 mV, 1.89 s per volume, whose
           size at each channel follows real head motion ("still": a tenth of it)
pulse      four fields one after the other behind each heart beat, 40 µV, 55 to 75 beats a minute,
           larger and smaller with breathing
movement   bursts of 0.5 to 15 Hz at three axes, 40 µV, which EEG and six wires see with different
           delays; wires see no pulse
all        all of them: head motion a quarter, pulse 30 µV, movement 20 µV ("larger": as above), one
           step after the other, and together

The BOLD is real, with planted couplings to alpha power of four electrodes and to beta power of
three (r .85). The table has, for 1 to 45 Hz:

error      power of what differs from the EEG without artifacts, relative to that EEG
alpha      power from 8 to 12 Hz, relative to that of the EEG without artifacts
r, r beta  correlation of the convolved power with BOLD
slices, volumes, heart   ``residual_artifacts``, median over channels

Rank correlations of errors and residual artifacts follow. Nothing measured here supports a claim
about brains.

Run: OMP_NUM_THREADS=1 python benchmarks/cleaning.py DATA [--sfreq HZ] [--seed N]
     [--parts NAME ...] [--worlds NAME ...]     (worlds of the part "gradient")
"""

import argparse
from functools import partial
from pathlib import Path

import mne
import numpy as np
import pandas as pd
from scipy.signal import butter, hilbert, sosfiltfilt
from scipy.stats import spearmanr

from sklearn_beira import (
    CarbonWireRegression,
    remove_gradient,
    remove_pulse,
    remove_scanner_artifacts,
    residual_artifacts,
)
from sklearn_beira.features import hrf_at

T_R, N_SLICES, N_WIRES = 1.89, 30, 6
CHANNELS = {"r": ["O1", "O2", "Oz", "POz"], "r beta": ["C3", "CP1", "CP5"]}
COUPLED = {"r": ("LCau", (8.0, 12.0), -1), "r beta": ("LPut", (16.0, 24.0), 1)}
FAST, SLOW = 5000.0, 250.0  # Hz, while recording and after the gradient artifact


def load_eeg(data, sfreq, picks=None, seed=0):
    """Real EEG at a rate in Hz, without annotations."""
    raw = mne.io.read_raw_eeglab(data / "real/eeglab_sample/eeglab_data.set", preload=True)
    raw.set_channel_types({"EOG1": "eog", "EOG2": "eog"}).pick("eeg").set_annotations(None)
    raw.set_eeg_reference("average")
    raw.pick(picks or "eeg").filter(0.5, None).resample(sfreq)
    rng = np.random.default_rng(seed)
    return raw.apply_function(lambda x: x + 1e-6 * rng.standard_normal(x.shape))


# -- artifacts ------------------------------------------------------------------------------------
def onset_of(volumes, t_r, wander=0.0):
    """Onsets in s; the clock may wander by so much in s, within 100 s."""
    return t_r * volumes + wander * np.sin(2 * np.pi * t_r * volumes / 100)


def make_gradient(raw, motion, rng, t_r=T_R, wander=0.0, size=1.5e-3, highest=250.0):
    """Gradient artifact of whole volumes; motion (n_volumes, 6) is relative to its size."""
    times, n_channels, n = raw.times, len(raw.ch_names), int(highest * t_r)
    harmonics = np.arange(1, n + 1)
    weight = np.where(harmonics % N_SLICES == 0, 1.0, 0.1) / (1 + (harmonics / t_r / 120) ** 4)
    phases = np.exp(2j * np.pi * rng.random((3, n)))
    padded = np.zeros((3, 2**18 + 1), dtype=complex)
    padded[:, 1 : n + 1] = weight * rng.standard_normal((3, n)) * phases
    waves = np.fft.irfft(padded, axis=1)
    waves /= waves.std(axis=1, keepdims=True)
    numbers = np.arange(int(times[-1] / t_r) + 1)  # the scan ends with a whole volume
    volumes = np.interp(times, onset_of(numbers, t_r, wander), numbers)
    at, one = volumes % 1.0, np.linspace(0, 1, waves.shape[1], endpoint=False)
    moved = np.array([np.interp(volumes, np.arange(len(motion)), x) for x in motion.T])
    artifact = np.zeros((n_channels, len(times)))
    for wave in waves:
        field, change = rng.standard_normal(n_channels), rng.standard_normal((n_channels, 6))
        artifact += (field[:, np.newaxis] + change @ moved) * np.interp(at, one, wave, period=1.0)
    artifact[:, volumes == numbers[-1]] = 0.0
    return size * artifact / np.sqrt(3)


def read_motion(data, size):
    """Real head motion of SD ``size``, shape (n_volumes, 6)."""
    path = data / "real/motion/d_sub-xp101_task-MIpre_headmotion.tsv"
    motion = pd.read_csv(path, sep="\t").to_numpy()[:, -6:]
    return size * (motion - motion.mean(axis=0)) / motion.std(axis=0)


def make_markers(duration, t_r, rng, sfreq, slices=False, jitter=0, lost=0, wander=0.0):
    """Markers in s, rounded to samples, late or early by a few, with some lost in the middle."""
    volumes = np.arange(0, int(duration / t_r), 1 / N_SLICES if slices else 1)
    markers = np.rint(onset_of(volumes, t_r, wander) * sfreq)
    markers = np.maximum(markers + rng.integers(-jitter, jitter + 1, len(markers)), 0) / sfreq
    middle = len(markers) // 2
    return np.delete(markers, slice(middle, middle + lost))


def make_beats(duration, rng):
    """Times of heart beats in s, and breathing at them; 55 to 75 beats a minute."""
    step, low_pass = 0.25, butter(2, 0.02, fs=4, output="sos")
    rate = sosfiltfilt(low_pass, rng.standard_normal(int(duration / step) + 800))[400:-400]
    breath = np.sin(np.cumsum(2 * np.pi * 0.25 * step * (1 + 0.1 * rng.standard_normal(len(rate)))))
    rate = np.clip(65 + 5 * rate / rate.std() + 2 * breath, 55, 75)
    phase, clock = np.cumsum(rate) * step / 60, np.arange(len(rate)) * step
    beats = np.interp(np.arange(1, int(phase[-1])), phase, clock)
    beats = beats[(beats > 0.2) & (beats < duration - 1)]
    return beats, np.interp(beats, clock, breath)


def make_pulse(raw, beats, breath, rng, size=40e-6):
    """Pulse artifact of the channels, and the ECG."""
    sfreq, n_channels = raw.info["sfreq"], len(raw.ch_names)
    seconds = np.arange(int(0.8 * sfreq)) / sfreq
    fields = rng.standard_normal((n_channels, 4))
    pulse, ecg = np.zeros((n_channels, raw.n_times)), np.zeros(raw.n_times)
    sizes = 1 + 0.2 * breath + 0.1 * rng.standard_normal(len(beats))
    intervals = np.diff(beats, prepend=beats[0] - 0.92) / 0.92
    for beat, one, interval in zip(beats, sizes, intervals, strict=True):
        delays = np.array([0.16, 0.24, 0.33, 0.45]) * (0.8 + 0.2 * interval)
        x = (seconds - (delays + 0.004 * rng.standard_normal(4))[:, np.newaxis]).T
        x = (x / [0.04, 0.05, 0.07, 0.1]).T
        part = slice(int(beat * sfreq), int(beat * sfreq) + len(seconds))
        wave = one * fields @ (np.exp(-(x**2) / 2) * np.cos(1.5 * x))
        pulse[:, part] += wave[:, : raw.n_times - part.start]
        start = part.start - int(0.1 * sfreq)
        x = seconds[: int(0.5 * sfreq)] - 0.1
        qrs = np.exp(-((x / 0.01) ** 2)) + 0.25 * np.exp(-(((x - 0.25) / 0.05) ** 2))
        ecg[start : start + len(x)] += 1e-3 * qrs
    return size * pulse / pulse.std(), ecg + 1e-5 * rng.standard_normal(raw.n_times)


def make_movement(raw, rng, size=40e-6):
    """Bursts of movement in the channels and in the wires."""
    sfreq, moved = raw.info["sfreq"], np.zeros(raw.n_times)
    for start in rng.uniform(0, raw.times[-1] - 6, 20):
        first = int(start * sfreq)
        moved[first : first + int(rng.uniform(1, 6) * sfreq)] += rng.exponential()
    band = butter(2, [0.5, 15], "band", fs=sfreq, output="sos")
    axes = sosfiltfilt(band, moved * rng.standard_normal((3, raw.n_times)))

    def seen(n):
        delays = (0.004 * sfreq * np.array([-3, -1, 0, 2, 4])).astype(int)
        parts = [rng.standard_normal((n, 3)) @ np.roll(axes, delay, axis=1) for delay in delays]
        return np.sum(parts, axis=0) / np.std(np.sum(parts, axis=0))

    noise = 2e-6 * rng.standard_normal((N_WIRES, raw.n_times))
    return size * seen(len(raw.ch_names)), 2 * size * seen(N_WIRES) + noise


def add(raw, artifact, **others):
    """A copy with an artifact in its channels, and with others: type=(n_channels, n_times)."""
    both = raw.copy().apply_function(lambda x: x + artifact, picks="all", channel_wise=False)
    for kind, signals in others.items():
        signals = np.atleast_2d(signals)
        names = [f"{kind.upper()}{k}" for k in range(len(signals))]
        info = mne.create_info(names, raw.info["sfreq"], kind)
        both.add_channels([mne.io.RawArray(signals, info)], force_update_info=True)
    return both


# -- simple cleaning, to compare with -------------------------------------------------------------
def moving_average(raw, markers, n):
    """Subtract the mean of n neighbors from each volume (Allen et al. 2000)."""
    clean, starts = raw.get_data("eeg"), np.rint(markers * raw.info["sfreq"]).astype(int)
    length = np.diff(starts).min()
    volumes = clean[:, starts[starts + length <= raw.n_times, np.newaxis] + np.arange(length)]
    volumes = volumes - volumes.mean(axis=2, keepdims=True)
    for i, start in enumerate(starts[: volumes.shape[1]]):
        first = np.clip(i - n // 2, 0, volumes.shape[1] - n - 1)
        near = np.delete(np.arange(first, first + n + 1), i - first)
        clean[:, start : start + length] -= volumes[:, near].mean(axis=1)
    return raw.copy().apply_function(lambda _: clean, picks="eeg", channel_wise=False)


def optimal_basis(raw, beats, n):
    """Optimal basis sets of MNE (Niazy et al. 2005)."""
    clean = mne.preprocessing.apply_pca_obs
    return clean(raw, picks="eeg", qrs_times=beats + 0.2, n_components=n)


# -- measures -------------------------------------------------------------------------------------
class Measure:
    """What a cleaned recording has in common with the one without artifacts."""

    def __init__(self, data, truth):
        self.truth = self.slow(truth)
        self.bold = pd.read_csv(data / "semireal/bold.csv")

    def slow(self, raw):
        """The recording at 250 Hz."""
        return raw if raw.info["sfreq"] == SLOW else raw.copy().resample(SLOW, method="polyphase")

    def __call__(self, raw, **rates):
        """A row of the table."""
        clean = self.slow(raw)
        truth, found = (one.get_data("eeg")[:, 500:-500] for one in (self.truth, clean))
        wide, alpha = (
            butter(4, band, "band", fs=SLOW, output="sos") for band in ((1, 45), (8, 12))
        )
        row = {
            "error": power(found - truth, wide) / power(truth, wide),
            "alpha": power(found, alpha) / power(truth, alpha),
        }
        for name, (region, band, sign) in COUPLED.items():
            signal = coupled_signal(clean, CHANNELS[name], band, len(self.bold))
            row[name] = sign * np.corrcoef(signal, self.bold[region])[0, 1]
        return row | residual_artifacts(clean, **rates).median().drop("alpha").to_dict()


def power(x, band):
    return (sosfiltfilt(band, x) ** 2).mean()


def coupled_signal(raw, channels, band, n_volumes):
    """Log band power convolved with the response, at the volumes."""
    analytic = hilbert(raw.copy().pick(channels).filter(*band).get_data())
    signal = np.log((np.abs(analytic) ** 2).mean(axis=0))
    response = hrf_at(np.arange(0, 32, 1 / SLOW))
    signal = np.convolve(signal - signal.mean(), response)[: len(signal)]
    return np.interp(np.arange(n_volumes) * T_R, raw.times, signal)


# -- worlds ---------------------------------------------------------------------------------------
# SD of head motion, drift of the clock, and markers, of recordings with a gradient artifact.
WORLDS = {
    "head still": (0.002, 0, {}),
    "head moves": (0.02, 0, {}),
    "jitter, 2 lost": (0.02, 0, {"jitter": 1, "lost": 2}),
    "clock 40 ppm fast": (0.02, 40e-6, {"jitter": 1, "lost": 2}),
    "clock wanders": (0.02, 40e-6, {"jitter": 1, "lost": 2, "wander": 1e-4}),
    "slice markers": (0.02, 40e-6, {"slices": True, "jitter": 1, "lost": 2}),
    "no artifact": (0, 0, {}),
}


def gradient(data, raw, measure, seed, worlds):
    for name in worlds:
        size, drift, kind = WORLDS[name]
        rng, t_r = np.random.default_rng(seed), T_R * (1 + drift)
        rates = {"t_r": t_r, "n_slices": N_SLICES}
        markers = make_markers(raw.times[-1], t_r, rng, raw.info["sfreq"], **kind)
        dirty = raw
        if name != "no artifact":
            motion = read_motion(data, size)
            dirty = add(raw, make_gradient(raw, motion, rng, t_r, kind.get("wander", 0.0)))
            yield name, "not cleaned", measure(dirty, **rates)
        given = {"t_r": T_R} if name == "slice markers" else {}
        clean = remove_gradient(dirty, volume_times=markers, **given)
        yield name, "remove_gradient", measure(clean, **rates)
        if name in ("head still", "head moves", "no artifact"):
            for n in (4, 10, 20, 40):
                yield name, f"mean of {n}", measure(moving_average(dirty, markers, n), **rates)
        if name == "head moves":
            for size in (0.03, 0.01, 0.003):
                part = add(raw, size * (dirty.get_data() - raw.get_data()))
                yield name, f"{size:.1%} left", measure(part, **rates)


def pulse(data, raw, measure, seed, worlds):
    rng = np.random.default_rng(seed)
    slow = raw.copy().resample(SLOW)
    beats, breath = make_beats(slow.times[-1], rng)
    artifact, ecg = make_pulse(slow, beats, breath, rng)
    for name, present in (("pulse", artifact), ("no pulse", 0 * artifact)):
        dirty = add(slow, present, ecg=ecg)
        yield name, "not cleaned", measure(dirty)
        yield name, "remove_pulse", measure(remove_pulse(dirty))
        for n in (0, 1, 3):
            yield name, f"OBS, {n} components", measure(optimal_basis(dirty, beats, n))
    for size in (0.5, 0.3, 0.1):
        yield "pulse", f"{size:.0%} left", measure(add(slow, size * artifact, ecg=ecg))


def wires(data, raw, measure, seed, worlds):
    rng = np.random.default_rng(seed)
    slow = raw.copy().resample(SLOW)
    artifact, loops = make_movement(slow, rng)
    for name, present in (("movement", artifact), ("no movement", 0 * artifact)):
        dirty = add(slow, present, misc=loops)
        yield name, "not cleaned", measure(dirty)
        clean = CarbonWireRegression(dirty.ch_names[-N_WIRES:]).apply(dirty)
        yield name, "wires", measure(clean)


def all_artifacts(name, sizes, data, raw, measure, seed, worlds):
    rng = np.random.default_rng(seed)
    t_r, sfreq = T_R * (1 + 40e-6), raw.info["sfreq"]
    rates = {"t_r": t_r, "n_slices": N_SLICES}
    beats, breath = make_beats(raw.times[-1], rng)
    artifact, ecg = make_pulse(raw, beats, breath, rng, sizes[0])
    moved, loops = make_movement(raw, rng, sizes[1])
    dirty = add(raw, artifact + moved, ecg=ecg, misc=loops)
    dirty = add(dirty, make_gradient(dirty, read_motion(data, sizes[2]), rng, t_r))
    yield name, "not cleaned", measure(dirty, **rates)
    markers = make_markers(raw.times[-1], t_r, rng, sfreq, jitter=1, lost=2)
    names = dirty.ch_names[-N_WIRES:]
    clean = remove_gradient(dirty, volume_times=markers).resample(SLOW).filter(0.5, 70)
    yield name, "gradient", measure(clean, **rates)
    clean = CarbonWireRegression(names).apply(clean)
    yield name, "gradient, wires", measure(clean, **rates)
    yield name, "gradient, wires, pulse", measure(remove_pulse(clean), **rates)
    clean = remove_scanner_artifacts(dirty, volume_times=markers, wires=names)
    yield name, "remove_scanner_artifacts", measure(clean, **rates)


PARTS = {
    "gradient": gradient,
    "pulse": pulse,
    "wires": wires,
    "all": partial(all_artifacts, "all", (30e-6, 20e-6, 0.005)),
    "larger": partial(all_artifacts, "all, larger", (40e-6, 40e-6, 0.02)),
}


def main(data, sfreq, seed, parts, worlds):
    raw = load_eeg(data, sfreq, seed=seed)
    measure = Measure(data, raw)
    rows = {("EEG", "without artifacts"): measure(raw, t_r=T_R, n_slices=N_SLICES)}
    for part in parts:
        seeds = [seed, [*PARTS].index(part)]
        found = PARTS[part](data, raw, measure, seeds, worlds)
        rows |= {tuple(names): row for *names, row in found}
    table = pd.DataFrame(rows).T.rename_axis(["world", "cleaning"])
    print(f"{sfreq:g} Hz, seed {seed}")
    print(table.to_string(float_format="{:.3f}".format, na_rep=""))
    for world, rate in (("head moves", "slices"), ("head moves", "volumes"), ("pulse", "heart")):
        found = table[table.index.get_level_values(0) == world]
        if len(found):
            rank = spearmanr(found["error"], found[rate]).statistic
            print(f"rank correlation of error and {rate!r}, {len(found)} cleanings: {rank:.2f}")


if __name__ == "__main__":
    mne.set_log_level("error")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--sfreq", type=float, default=FAST)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=[*PARTS])
    parser.add_argument("--worlds", nargs="+", choices=WORLDS, default=[*WORLDS])
    main(**vars(parser.parse_args()))
