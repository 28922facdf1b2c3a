"""Does a common cause of EEG and BOLD pass for coupling?

Ten-minute studies of ``make_eeg_fmri`` (30 channels, four regions) in which something else changes
EEG and explains a quarter of the variance of BOLD:

heart      heart rate: pulse artifacts as large as the EEG, whose size follows the rate
movement   bursts of broadband noise in the EEG, and a response of BOLD to the same moments
blinks     eye blinks, whose rate waxes and wanes, and a hemodynamic response to them
task       blocks of 20 s: eye movements, and a hemodynamic response to the blocks
vigilance  slow waxing and waning of the EEG, and of BOLD
none       noise that changes neither, which must not cost anything

"uncoupled" regions follow no source of the EEG; "coupled" ones do (noise ceiling .6). Read from
``compare`` with lagged ridge (or ``--model default``, BEIRA) and phase-randomized BOLD:

found      share of regions with p <= .05, whatever the cause
beyond     share with p <= .05 beyond the nuisance signals
brain, shared   share of verdicts (p_max <= .05 over the four regions)

with the cause among 14 nuisance signals, of which 13 are noise ("in 14"), for heart rate after
``remove_pulse`` as well ("cleaned"), for movement with ``loud_eeg`` ("loud EEG"), and for coupled
regions where the cause changes the EEG alone ("EEG only"), which is what perfect nuisance signals
could leave to be found, or BOLD alone ("BOLD only"), which is what perfect cleaning could.
Nothing measured here supports a claim about brains.

Run: OMP_NUM_THREADS=1 python benchmarks/common_causes.py [--studies N] [--first SEED]
     [--causes NAME ...] [--worlds NAME ...] [--model default] [--signals NAME ...] [--refit]
     [--table CSV]
"""

import argparse
import warnings
from pathlib import Path

import mne
import numpy as np
import pandas as pd
from scipy.signal import butter, lfilter, sosfiltfilt
from sklearn.pipeline import make_pipeline

from sklearn_beira import (
    BEIRARegressor,
    BlockedKFold,
    EEGFilter,
    Windower,
    align,
    compare,
    hrf_at,
    loud_eeg,
    make_band_power_ridge,
    make_eeg_fmri,
    remove_pulse,
)

MINUTES, N_ROIS, STEP, SHARE = 10, 4, 0.1, 0.25
WINDOW = 20.0
SECONDS = np.arange(0, 30, STEP)


def main(studies, first, causes, worlds, model, signals, refit, table):
    rows = []
    for cause in causes:
        for world in worlds:
            for seed in range(first, first + studies):
                rows += measure(cause, world == "coupled", seed, MODELS[model], signals, refit)
    rows = pd.DataFrame(rows)
    if table is not None:  # together with those of earlier calls
        rows = pd.concat([pd.read_csv(table), rows]) if table.is_file() else rows
        rows.drop_duplicates(["cause", "world", "nuisance", "seed"]).to_csv(table, index=False)
        rows = pd.read_csv(table)
    groups = rows.drop(columns="seed").groupby(["cause", "world", "nuisance"], sort=False)
    shown = groups.mean().assign(studies=groups.size())
    print(f"{N_ROIS} regions a study: mean r, and shares of regions")
    print(shown.to_string(float_format="{:.3f}".format, na_rep=""))


def measure(cause, coupled, seed, model, signals, refit):
    """A row for each kind of nuisance signals."""
    study, nuisance, rest = simulate(cause, coupled, seed)
    rng = np.random.default_rng(seed)
    noise = pd.DataFrame(rng.standard_normal((len(nuisance), 13))).add_prefix("noise ")
    table = [pd.DataFrame({cause: nuisance}).join(noise)]
    options = {"trigger": "mri", "tmin": -WINDOW, "verbose": "error"}
    given = {"in 14": lambda: align(study.raws, study.bolds, nuisance=table, **options)}
    if cause == "movement":

        def with_loudness():
            X, y = align(study.raws, study.bolds, **options)
            return X.with_nuisance(loud_eeg(X)), y

        given["loud EEG"] = with_loudness
    if cause == "heart":
        given["cleaned"] = lambda: align(
            [*map(remove_pulse, study.raws)], study.bolds, nuisance=table, **options
        )
    if coupled:
        given["EEG only"] = lambda: align(study.raws, rest, **options)
        given["BOLD only"] = lambda: align(
            simulate(cause, coupled, seed, in_eeg=False)[0].raws, study.bolds, nuisance=table,
            **options,
        )  # fmt: skip
    for name, make in given.items():
        if signals is not None and name not in signals:
            continue
        X, y = make()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compared = compare(
                {"model": model}, X, y, cv=BlockedKFold(5), n_surrogates=199, refit=refit,
                verbose=False,
            )  # fmt: skip
        row = {"cause": cause, "world": "coupled" if coupled else "uncoupled", "nuisance": name}
        row["seed"] = seed
        row |= {"r": r_of(compared).mean(), "found": (r_of(compared, "p") <= 0.05).mean()}
        if compared.beyond is not None:
            beyond, verdict = compared.beyond, compared.verdict()
            row |= {
                "r beyond": r_of(beyond).mean(), "beyond": (r_of(beyond, "p") <= 0.05).mean(),
                "brain": (verdict == "brain").mean(), "shared": (verdict == "shared").mean(),
            }  # fmt: skip
        yield row


def r_of(comparison, column="r"):
    return comparison.table.query("scope == 'pooled' and model == 'model'")[column]


def simulate(cause, coupled, seed, in_eeg=True):
    """A study with a common cause, the cause at its volumes, and BOLD without the cause."""
    rng = np.random.default_rng(10_000 + seed)
    uncoupled = np.zeros((N_ROIS, N_ROIS + 4))
    study = make_eeg_fmri(
        duration=60 * MINUTES, n_rois=N_ROIS, lead_in=WINDOW + 1, random_state=seed,
        weights=None if coupled else uncoupled, noise_ceiling=0.6 if coupled else 0.8,
    )  # fmt: skip
    raw, (volumes,) = study.raws[0], study.volume_times
    without = [bold.copy() for bold in study.bolds]
    clock = np.arange(0, raw.n_times / raw.info["sfreq"] + STEP, STEP)
    if cause == "none":
        return study, rng.standard_normal(len(volumes)), without
    signal, response, artifact = CAUSES[cause](raw, clock, rng)
    raw._data += artifact if in_eeg else 0.0
    driven = np.convolve(signal - signal.mean(), response)[: len(clock)]
    driven = np.interp(volumes, clock, driven)
    driven = (driven - driven.mean()) / driven.std()
    (bold,) = study.bolds
    for region in bold:
        rest = bold[region] / bold[region].std()
        bold[region] = np.sqrt(1 - SHARE) * rest + rng.choice([-1, 1]) * np.sqrt(SHARE) * driven
    during = np.convolve(signal, np.full(20, 1 / 20), "same")  # as a volume takes 2 s
    return study, np.interp(volumes, clock, during), without


def heart(raw, clock, rng):
    rate = 1.1 + 0.12 * slow(clock, 40, rng)  # beats per second
    size = np.exp(0.15 * slow(clock, 60, rng) + 3 * (rate - 1.1))
    phase = np.cumsum(rate) * STEP
    beats = np.interp(np.arange(1, int(phase[-1])), phase, clock)
    samples = (beats * raw.info["sfreq"]).astype(int)
    impulses = np.zeros(raw.n_times)
    inside = samples < raw.n_times
    impulses[samples[inside]] = np.interp(beats[inside], clock, size)
    t = np.arange(0, 0.5, 1 / raw.info["sfreq"])
    pulse = lfilter(np.sin(8 * np.pi * t) * np.exp(-(((t - 0.25) / 0.1) ** 2)), 1, impulses)
    topography = rng.standard_normal(len(raw.ch_names))
    response = np.exp(-SECONDS / 5) - 0.36 * np.exp(-(((SECONDS - 12) / 3) ** 2))
    artifact = 1.4 * raw._data.std() * np.outer(topography, pulse / pulse.std())
    ecg = np.convolve(impulses > 0, np.hanning(int(0.06 * raw.info["sfreq"])), "same")
    info = mne.create_info(["ECG"], raw.info["sfreq"], "ecg")
    raw.add_channels(
        [mne.io.RawArray(1e-3 * ecg[None], info, verbose="error")], force_update_info=True
    )
    return rate, response, np.vstack([artifact, 0 * ecg])


def movement(raw, clock, rng):
    moved = np.zeros(len(clock))
    for start in rng.choice(len(clock), int(clock[-1] / 25), replace=False):
        moved[start : start + int(rng.uniform(5, 15))] += rng.exponential(1)
    noise = rng.standard_normal(raw._data.shape) * rng.uniform(0.3, 1, (len(raw.ch_names), 1))
    response = np.where(SECONDS < 0.5, 0, np.exp(-SECONDS / 1.5))
    return moved, response, 3 * raw._data.std() * over_samples(raw, clock, moved) * noise


def blinks(raw, clock, rng):
    rate = np.exp(0.8 * slow(clock, 40, rng))
    blinks = (rng.random(len(clock)) < rate / rate.mean() * STEP / 3).astype(float)
    return blinks, hrf_at(SECONDS), 4.0 * at_the_eyes(raw, clock, blinks)


def task(raw, clock, rng):
    blocks = (clock // 20 % 2).astype(float)
    moves = np.zeros(len(clock))
    moves[rng.choice(len(clock), int(clock[-1] / 2))] = 1
    return blocks, hrf_at(SECONDS), 2.4 * at_the_eyes(raw, clock, moves * (1 + 4 * blocks))


def vigilance(raw, clock, rng):
    level = slow(clock, 200, rng)
    return level, hrf_at(SECONDS), raw._data * (np.exp(0.25 * over_samples(raw, clock, level)) - 1)


def at_the_eyes(raw, clock, moves):
    moves = over_samples(raw, clock, moves)
    eyes = np.convolve(moves, np.hanning(int(0.3 * raw.info["sfreq"])))[: raw.n_times]
    topography = np.exp(-np.arange(len(raw.ch_names)) / 4)
    return raw._data.std() * np.outer(topography, eyes / eyes.std())


def slow(clock, period, rng):
    """Gaussian noise of unit variance, slower than a period in s."""
    low_pass = butter(2, 2 * STEP / period, output="sos")
    x = sosfiltfilt(low_pass, rng.standard_normal(len(clock) + 4000))[2000:-2000]
    return (x - x.mean()) / x.std()


def over_samples(raw, clock, values):
    return np.interp(raw.times, clock, values)


WORLDS = ["coupled", "uncoupled"]
MODELS = {
    "ridge": make_pipeline(EEGFilter(1, 45, sfreq=100), make_band_power_ridge(WINDOW)),
    "default": make_pipeline(
        EEGFilter(1, 45, sfreq=100), Windower(WINDOW), BEIRARegressor(verbose=False)
    ),
}
CAUSES = {
    "heart": heart, "movement": movement, "blinks": blinks, "task": task, "vigilance": vigilance
}  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--studies", type=int, default=40)
    parser.add_argument("--first", type=int, default=0, help="seed of the first study")
    parser.add_argument("--worlds", nargs="+", choices=WORLDS, default=WORLDS)
    parser.add_argument("--table", type=Path, help="CSV to which studies are added")
    parser.add_argument("--causes", nargs="+", default=[*CAUSES, "none"])
    parser.add_argument("--model", choices=MODELS, default="ridge")
    parser.add_argument("--signals", nargs="+", help="rows to measure, such as 'in 14'")
    parser.add_argument("--refit", action="store_true", help="fit to every surrogate, too")
    main(**vars(parser.parse_args()))
