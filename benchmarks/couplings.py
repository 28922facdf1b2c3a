"""Worlds that disagree with the default model, from two generators that share no code.

``dipoles``   sources in a head of MNE, spectra shaped by FFT; noise by its spectrum.
``recorded``  real EEG of one person; what BOLD follows is computed from the EEG, by filters in
              time; noise by recursion. 30 channels and 238 s: longer runs are laid together from
              stretches of 60 s, some reversed in time, some mirrored left to right.

Run: OMP_NUM_THREADS=1 python benchmarks/couplings.py DATA [--seeds 3] [--whole | --plain]
[--people 6]

Each makes a study of four regions with the same kind of coupling at four places:
``(X, y)``, unfiltered. Nothing measured here supports a claim about brains.
"""

import argparse
from pathlib import Path

import mne
import numpy as np
import pandas as pd
from scipy import signal, stats

from sklearn_beira import align

HISTORY, LEAD_IN, N_ROIS = 16.0, 21.0, 4
CEILING = 0.78
COUPLINGS = (
    "power", "log", "amplitude", "coherence", "frequency", "bursts", "late", "late amplitude",
    "ratio", "delta log",
)  # fmt: skip
ARTIFACTS = ("heart", "heart varying", "movement", "blinks")
NOISES = ("white", "ar", "pink", "band", "low")
BANDS = ((8.0, 12.0), (4.0, 7.0), (15.0, 20.0), (22.0, 30.0))


# -- dipoles ------------------------------------------------------------------------------------
def dipoles(seed, kind, noise, *, minutes=5.0, n_channels=30, t_r=2.0, people=1):
    """Make a study of dipoles in a sphere; ``kind`` is a coupling or an artifact.

    Several people have the same sources and couplings, and heads and activity of their own.
    """
    parts = []
    for person in range(people):
        rng = np.random.default_rng(seed)  # again: the same sources
        own = rng if people == 1 else np.random.default_rng([seed, person])
        parts.append(_dipoles(kind, noise, minutes, n_channels, t_r, rng, own, people > 1))
    return _study(*map(list, zip(*parts, strict=True)))


def _dipoles(kind, noise, minutes, n_channels, t_r, rng, own, is_mixed):
    sfreq, coupling = 100.0, "power" if kind in ARTIFACTS else kind
    n, n_pairs = round((60 * minutes + 40) * sfreq), 2 * N_ROIS
    topographies, background, info = _head(n_pairs + 4, n_channels, sfreq, rng)
    rng = own
    spectrum = np.fft.rfftfreq(n, 1 / sfreq)
    eeg = background @ _shaped(
        np.maximum(spectrum, 0.5) ** -0.5 * (spectrum > 0.1), n, len(background.T), rng
    )
    eeg += 0.1 * rng.standard_normal(eeg.shape)
    level = eeg.std()
    drives = []
    for roi in range(N_ROIS):
        waves, drive = _activity(coupling, BANDS[roi], n, sfreq, rng)
        drives.append(drive)
        for wave, topography in zip(waves, topographies[roi::N_ROIS], strict=False):
            eeg += _loud(topography, wave, background, spectrum, BANDS[roi], n, 2.0)
    for band, topography in zip(BANDS, topographies[n_pairs:], strict=True):
        (wave,), _ = _activity("power", band, n, sfreq, rng)
        eeg += _loud(topography, wave, background, spectrum, band, n, 2.0)
    eeg += level * _artifact(kind, info, n, sfreq, rng)
    peak = 9.0 if "late" in kind else 5.0
    lags = np.arange(0, 30, 1 / sfreq)
    h = stats.gamma.pdf(lags, 6 * peak / 5, scale=1.0) - stats.gamma.pdf(lags, 3 * peak) / 6
    bold = np.fft.irfft(np.fft.rfft(drives, 2 * n) * np.fft.rfft(h, 2 * n))[:, :n]
    start = round(40 * sfreq)  # the response to what came before the recording
    eeg, bold = eeg[:, start:], bold[:, start:]
    onsets = np.arange(LEAD_IN, 60 * minutes, t_r)
    coupled = _zscore(bold[:, np.floor(onsets * sfreq).astype(int) - 1].T)
    freqs = np.fft.rfftfreq(len(onsets), t_r)
    gains = {
        "white": np.ones(len(freqs)),
        "ar": 1 / np.abs(1 - 0.75 ** (t_r / 2) * np.exp(-2j * np.pi * freqs * t_r)),
        "pink": np.maximum(freqs, freqs[1]) ** -0.5,
        "band": ((freqs > 0.01) & (freqs < 0.1)).astype(float),
        "low": 1 / np.sqrt(1 + (freqs / 0.12) ** 12),
    }
    random = _zscore(_shaped(gains[noise], len(onsets), N_ROIS, rng).T)
    y = CEILING * coupled + np.sqrt(1 - CEILING**2) * random
    eeg *= 1e-5 / level
    if is_mixed:
        eeg = _another_head(eeg, info, own)
    return eeg, info, onsets, y


def _head(n_sources, n_channels, sfreq, rng):
    montage = mne.channels.make_standard_montage("biosemi64")
    names = montage.ch_names
    if n_channels < 64:
        names = [names[i] for i in np.linspace(0, 63, n_channels).round().astype(int)]
    with mne.utils.use_log_level("error"):
        info = mne.create_info(names, sfreq, "eeg").set_montage(montage)
        sphere = mne.make_sphere_model("auto", "auto", info)
        n = n_sources + 150
        where = rng.standard_normal((n, 3))
        where[:, 2] = np.abs(where[:, 2])
        where /= np.linalg.norm(where, axis=1, keepdims=True)
        depth = np.r_[np.full(n_sources, 0.75), rng.uniform(0.3, 0.8, 150)] * sphere.radius
        which = where + 0.6 * rng.standard_normal((n, 3))
        which /= np.linalg.norm(which, axis=1, keepdims=True)
        ones = np.ones(n)
        at = sphere["r0"] + depth[:, None] * where
        forward, _ = mne.make_forward_dipole(
            mne.Dipole(0 * ones, at, ones, which, ones), sphere, info
        )
    gain = forward["sol"]["data"]
    gain = (gain - gain.mean(axis=0)) / gain.std(axis=0)
    return gain.T[:n_sources], gain[:, n_sources:] / np.sqrt(150), info


def _shaped(gain, n, n_series, rng):
    """Noise of variance 1 with an amplitude spectrum."""
    spectrum = gain * np.fft.rfft(rng.standard_normal((n_series, n)))
    x = np.fft.irfft(spectrum, n)
    return x / x.std(axis=1, keepdims=True)


def _loud(topography, wave, background, spectrum, band, n, snr):
    """The source at the electrodes, with snr times the power of the background in its band."""
    pink = np.maximum(spectrum, 0.5) ** -1.0 * (spectrum > 0.1)
    inside = (spectrum > band[0]) & (spectrum < band[1])
    share = pink[inside].sum() / pink.sum() * np.square(background).sum() / len(background)
    return np.outer(topography, wave) * np.sqrt(snr * share) / wave.std()


def _activity(coupling, band, n, sfreq, rng):
    """Waves of the sources of a region, and what BOLD follows."""
    freqs = np.fft.rfftfreq(n, 1 / sfreq)

    def slow(cutoff=0.05):
        return _zscore(_shaped(1 / (1 + (freqs / cutoff) ** 2), n, 1, rng)[0])

    def carrier(low, high):
        edge = np.exp(-0.5 * ((freqs - (low + high) / 2) / ((high - low) / 3)) ** 2)
        return signal.hilbert(_shaped(edge, n, 1, rng)[0])

    if coupling == "delta log":
        band = (1.0, 3.5)
    if coupling == "frequency":
        hertz = 10 + 1.5 * np.tanh(slow())
        return [np.cos(2 * np.pi * np.cumsum(hertz) / sfreq) * np.abs(carrier(9, 11))], hertz
    if coupling == "coherence":
        a, b, share = carrier(*band).real, carrier(*band).real, stats.norm.cdf(1.5 * slow())
        return [a, np.sqrt(share) * a + np.sqrt(1 - share) * b], np.sqrt(share)
    if coupling == "bursts":
        rate = 0.5 * np.exp(0.8 * slow())
        starts = (rng.random(n) < rate / sfreq).astype(float)
        shape = signal.windows.hann(round(0.6 * sfreq))
        envelope = np.minimum(np.convolve(starts, shape)[:n], 1.0)
        wave = envelope * carrier(*band).real / np.abs(carrier(*band)).std()
        return [wave], np.convolve(starts, np.ones(len(shape)))[:n]
    if coupling == "ratio":
        low, high = 0.8 * slow(), 0.8 * slow()
        theta, beta = carrier(4, 7).real * np.exp(low / 2), carrier(15, 20).real * np.exp(high / 2)
        return [theta + 0.5 * beta], low - high
    log_power = 0.8 * slow()
    wave = carrier(*band).real * np.exp(log_power / 2)
    link = {"power": np.exp(log_power), "late": np.exp(log_power)}
    if "amplitude" in coupling:
        link[coupling] = np.exp(log_power / 2)
    return [wave], link.get(coupling, log_power)


def _artifact(kind, info, n, sfreq, rng):
    maps = rng.standard_normal((3, len(info["ch_names"])))
    where = np.array([ch["loc"][:3] for ch in info["chs"]])
    times, out = np.arange(n) / sfreq, np.zeros((3, n))
    if kind in ("heart", "heart varying"):
        beats = np.cumsum(rng.normal(0.9, 0.04, int(n / sfreq / 0.7)))
        size = np.exp(0.5 * _zscore(np.cumsum(rng.standard_normal(len(beats)))))
        size = size if kind == "heart varying" else np.ones(len(beats))
        for beat, s in zip(beats, size, strict=True):
            after = times - beat
            seen = (after > 0) & (after < 0.6)
            for k, (hertz, late) in enumerate(((4.0, 0.0), (7.0, 0.05), (2.5, 0.1))):
                t = after[seen] - late
                out[k, seen] += s * (t > 0) * np.sin(2 * np.pi * hertz * t) * np.exp(-t / 0.12)
        maps = (where @ rng.standard_normal((3, 3))).T  # smooth over the head
        return 5 * _unit(maps.T @ out)
    if kind == "movement":
        for start in rng.uniform(0, n / sfreq, round(n / sfreq / 40)):
            seen = (times > start) & (times < start + rng.uniform(0.5, 3))
            out[:, seen] += rng.exponential() * rng.standard_normal((3, seen.sum())).cumsum(axis=1)
        return 10 * _unit(maps.T @ out)
    if kind == "blinks":
        for start in np.cumsum(rng.exponential(4.0, round(n / sfreq))):
            out[0] += np.exp(-0.5 * ((times - start) / 0.08) ** 2) if start < times[-1] else 0.0
        maps[0] = np.exp(where[:, 1] / 0.03)
        return 5 * _unit(np.outer(maps[0] - maps[0].mean(), out[0]))
    return 0.0


# -- recorded -----------------------------------------------------------------------------------
def recorded(seed, kind, noise, *, data, minutes=5.0, n_channels=30, t_r=2.0, people=1):
    """Make a study of real EEG; BOLD follows what filters find in it.

    Several people have EEG of other stretches, mixed a little, and noise of their own, but the same
    couplings.
    """
    raw = mne.io.read_raw_eeglab(
        Path(data) / "real/eeglab_sample/eeglab_data.set", preload=True, verbose="error"
    )
    raw.set_channel_types({"EOG1": "eog", "EOG2": "eog"}).pick("eeg")
    parts = []
    for person in range(people):
        rng = np.random.default_rng(10_000 + seed)  # again: the same places, filters and responses
        own = rng if people == 1 else np.random.default_rng([10_000 + seed, person])
        parts.append(_person(raw, kind, noise, minutes, n_channels, t_r, rng, own, people > 1))
    return _study(*map(list, zip(*parts, strict=True)))


def _person(raw, kind, noise, minutes, n_channels, t_r, rng, own, is_mixed):
    sfreq = raw.info["sfreq"]
    where = np.array([ch["loc"][:3] for ch in raw.info["chs"]])
    eeg = _lay(raw.get_data(), where, round(60 * minutes * sfreq), sfreq, own)
    near = np.linalg.norm(where[:, None] - where, axis=2).argsort(axis=1)
    if is_mixed:
        eeg = _another_head(eeg, raw.info, own)
    keep = np.sort(rng.permutation(len(where))[:n_channels])
    coupled, onsets = [], np.arange(LEAD_IN, len(eeg.T) / sfreq, t_r)
    for band, place in zip(BANDS, rng.permutation(keep), strict=False):
        drive = _follow(kind, eeg, near, place, band, sfreq, rng)
        peak = (9.0 if "late" in kind else 5.0) * np.exp(0.1 * rng.standard_normal())
        lags = np.arange(0, 30, 1 / sfreq) / peak
        h = (lags * np.exp(1 - lags)) ** 4 - 0.15 * (lags / 2.2 * np.exp(1 - lags / 2.2)) ** 8
        bold = (
            signal.lfilter(h, 1.0, drive - drive.mean())
            if len(h) < 2
            else (signal.oaconvolve(drive - drive.mean(), h)[: len(drive)])
        )
        coupled.append(bold[np.floor(onsets * sfreq).astype(int) - 1])
    n = len(onsets)
    random = own.standard_normal((N_ROIS, n + 200))
    if noise == "ar":
        random = signal.lfilter([1], [1, -(0.75 ** (t_r / 2))], random)
    if noise == "pink":
        slow = np.exp(-t_r / np.array([4.0, 16.0, 64.0, 256.0]))
        random = sum(
            np.sqrt(1 - r**2) * signal.lfilter([1], [1, -r], own.standard_normal(random.shape))
            for r in slow
        )
    y = CEILING * _zscore(np.transpose(coupled))
    y += np.sqrt(1 - CEILING**2) * _zscore(random[:, 200:].T)
    edges = {"band": ([0.01, 0.1], "bandpass"), "low": (0.12, "lowpass")}
    if noise in edges:  # coupling and noise alike, as when BOLD is cleaned
        sos = signal.butter(4, *edges[noise], fs=1 / t_r, output="sos")
        y = signal.sosfiltfilt(sos, y, axis=0)
    info = mne.pick_info(raw.info, keep)
    return eeg[keep], info, onsets, y


def _lay(eeg, where, n_times, sfreq, rng):
    mirror = np.linalg.norm(where[:, None] * [1, -1, 1] - where, axis=2).argmin(axis=1)
    if n_times <= eeg.shape[1]:
        return eeg[:, :n_times]
    length, fade = round(60 * sfreq), round(sfreq)
    out, ramp = np.zeros((len(eeg), n_times + length)), np.linspace(0, 1, fade)
    for start in range(0, n_times, length - fade):
        first = rng.integers(eeg.shape[1] - length)
        piece = eeg[:, first : first + length].copy()
        piece = piece[:, ::-1].copy() if rng.random() < 0.5 else piece
        piece = piece[mirror] if rng.random() < 0.5 else piece
        piece[:, :fade] *= ramp
        piece[:, -fade:] *= ramp[::-1]
        out[:, start : start + length] += piece
    return out[:, :n_times]


def _follow(kind, eeg, near, place, band, sfreq, rng):
    """What BOLD follows: computed from one electrode against its neighbors, or from a patch."""

    def at(place, band):
        around = eeg[near[place, 1:5]].mean(axis=0)
        x = eeg[place] - around if rng.random() < 0.5 else eeg[near[place, :3]].mean(axis=0)
        sos = signal.butter(3, band, "bandpass", fs=sfreq, output="sos")
        return signal.hilbert(signal.sosfiltfilt(sos, x))

    def smooth(x, seconds=1.0):
        size = round(seconds * sfreq)
        return signal.oaconvolve(x, np.ones(size) / size, mode="same")

    if kind == "delta log":
        band = (1.0, 4.0)
    if kind in ("late amplitude", "frequency"):
        band = (8.0, 12.0)
    z = at(place, band)
    power = np.maximum(smooth(np.abs(z) ** 2), 1e-16)
    power = np.minimum(power, np.quantile(power, 0.99))
    if kind == "frequency":
        turn = np.angle(z[1:] * z[:-1].conj()) * sfreq / 2 / np.pi
        weight = np.abs(z[1:]) ** 2
        hertz = smooth(weight * np.clip(turn, 7, 13), 2.0) / smooth(weight, 2.0)
        return np.r_[hertz[:1], hertz]
    if kind == "coherence":
        other = at(near[place, rng.integers(6, 15)], band)
        cross = smooth((z * other.conj()).real, 2.0)
        return cross / np.sqrt(smooth(np.abs(z) ** 2, 2.0) * smooth(np.abs(other) ** 2, 2.0))
    if kind == "ratio":
        high = np.maximum(smooth(np.abs(at(place, (15.0, 25.0))) ** 2), 1e-16)
        low = np.maximum(smooth(np.abs(at(place, (4.0, 8.0))) ** 2), 1e-16)
        return np.log(low) - np.log(high)
    if kind == "bursts":
        return smooth((power > np.quantile(power, 0.85)).astype(float))
    if "amplitude" in kind:
        return np.sqrt(power)
    return np.log(power) if "log" in kind else power


# -- both ---------------------------------------------------------------------------------------
def _another_head(eeg, info, rng):
    """Mix each electrode with its neighbors, and give it another gain."""
    where = np.array([ch["loc"][:3] for ch in info["chs"]])
    near = np.linalg.norm(where[:, None] - where, axis=2).argsort(axis=1)
    mixed = eeg.copy()
    for k in (1, 2, 3):
        mixed += 0.3 * rng.standard_normal(len(eeg))[:, None] * eeg[near[:, k]]
    return np.exp(0.2 * rng.standard_normal(len(eeg)))[:, None] * mixed


def _zscore(x):
    return (x - x.mean(axis=0)) / x.std(axis=0)


def _unit(x):
    return x / x.std()


def _study(eegs, infos, onsets, ys):
    pairs = zip(eegs, infos, strict=True)
    raws = [mne.io.RawArray(eeg, info, verbose="error") for eeg, info in pairs]
    names = [f"region {k + 1}" for k in range(N_ROIS)]
    frames = [pd.DataFrame(y, columns=names) for y in ys]
    return align(raws, frames, volume_times=onsets, tmin=-HISTORY, tmax=0.0, verbose="error")


# -- the command --------------------------------------------------------------------------------
BASELINES = ("ridge", "banded ridge", "SPoC", "tangent")
MINUTES, CHANNELS, T_RS = (5.0, 5.0, 20.0), (30, 8, 64), (2.0, 0.7, 3.0)


def plan(seeds, whole, plain, people=1):
    """Worlds of each coupling: all combinations, or one per seed that goes through all levels.

    The plain ones are all of 5 minutes, 30 channels, 2 s and AR(1) noise. Several people
    have 4 minutes each.
    """
    for make, kinds in ((dipoles, COUPLINGS + ARTIFACTS), (recorded, COUPLINGS)):
        for i, kind in enumerate(kinds):
            levels = [
                (noise, {"minutes": m, "n_channels": c, "t_r": t})
                for noise in NOISES for m in MINUTES[1:] for c in CHANNELS for t in T_RS
            ]  # fmt: skip
            for seed in range(seeds):
                k = seed + i
                minutes, n_channels, t_r = MINUTES[k % 3], CHANNELS[k // 3 % 3], T_RS[k // 5 % 3]
                own = NOISES[k % 5], {"minutes": minutes, "n_channels": n_channels, "t_r": t_r}
                own = ("ar", {}) if plain else own
                if people > 1:
                    own = NOISES[k % 5], {"minutes": 4.0, "people": people}
                for noise, sizes in levels if whole else [own]:
                    if make is recorded and "n_channels" in sizes:
                        sizes = {**sizes, "n_channels": min(sizes["n_channels"], 30)}
                    yield make, kind, noise, seed, sizes


def main(options):
    import accuracy

    found = {}
    options.passes, options.device = 1, None
    for make, kind, noise, seed, sizes in plan(
        options.seeds, options.whole, options.plain, options.people
    ):
        extra = {"data": options.data} if make is recorded else {}
        X, y = make(options.first_seed + seed, kind, noise, **sizes, **extra)
        scores = []
        for name in (accuracy.OURS, *BASELINES):
            model = accuracy.build(accuracy.MODELS[name], options, seed)
            facts = accuracy.evaluate(model, X, y, 5, significance=False)
            scores.append(np.mean(list(facts["r"].values())))
        found.setdefault((make.__name__, kind), []).append(scores)
        print(make.__name__, kind, noise, sizes, np.round(scores, 2), flush=True)
    differences = []
    for (generator, kind), scores in found.items():
        scores = np.array(scores)
        best = 1 + scores[:, 1:].mean(axis=0).argmax()
        paired = scores[:, 0] - scores[:, best]
        differences.append(paired.mean())
        half = (
            stats.sem(paired) * stats.t.ppf(0.975, len(paired) - 1) if len(paired) > 1 else np.nan
        )
        print(
            f"{generator:9s} {kind:15s} default {scores[:, 0].mean():.2f}, {BASELINES[best - 1]} "
            f"{scores[:, best].mean():.2f}: {paired.mean():+.2f} ± {half:.2f}"
        )
    print(f"mean {np.mean(differences):+.3f}, lowest {np.min(differences):+.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="the folder with real/")
    parser.add_argument("--seeds", type=int, default=3, help="studies of each coupling (3)")
    parser.add_argument(
        "--first-seed", type=int, default=1000, help="below 100: development (1000)"
    )
    parser.add_argument("--whole", action="store_true", help="every noise, length, size and TR")
    parser.add_argument("--plain", action="store_true", help="5 minutes, 30 channels, AR(1) noise")
    parser.add_argument("--people", type=int, default=1, help="of 4 minutes, couplings shared")
    args = parser.parse_args()
    if args.people > 1 and (args.whole or args.plain):
        parser.error("--people goes with neither --whole nor --plain")
    main(args)
