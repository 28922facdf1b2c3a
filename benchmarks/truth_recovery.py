"""Do the maps of the branches show the sources that drive BOLD?

Simulated: ``make_eeg_fmri``, ten minutes, 30 channels, eight regions, default noise. In the world
"one source" each region follows one source; in "two sources", the default, the source of the other
hemisphere drives it half as much. Read from the default pipeline, over regions and seeds:

abs(cos)   cosine between a map and the topography of the region's (stronger) source
off band   distance in Hz of the peak of the frequency pattern from the band of that source
true       share of regions in which that map is a true one: abs(cos) of at least .9, peak within
           1 Hz of the band. A source whose band straddles two of the model's may have two of them
nearest    share of regions in which it is the one nearest to the topography

of the most important branch, of the branch nearest to the topography, and of the weights of the
most important branch taken for a map. Beside them the components of SPoC and ridge, a linear rival,
by the size of their coefficients, with patterns as Haufe et al. (2014) have them.

Stability: the same, with two regions that nothing drives. Branches of the first half of the run are
matched with those of the second, and compared with those of random weights.

Supported: six regions that one, two, three, four and no (twice) sources of unequal strength and
either sign drive, 5, 10 and 20 minutes. Of the branches that ``read_branches`` supports, the share
that is a planted source (true, with the sign of its kernel); of the planted sources with at least a
tenth of the coupled variance of their region, the share that a supported branch shows.

Semi-real, given the folder with the test data: real EEG with planted couplings, whose topography is
not known, but the channels and the band. Nothing measured here supports a claim about brains.

Run: OMP_NUM_THREADS=1 python benchmarks/truth_recovery.py [DATA] [--seeds N] [--first-seed N]
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline
from sklearn.utils import Bunch
from worlds import semireal

from sklearn_beira import BEIRARegressor, EEGFilter, Windower, align
from sklearn_beira.baselines.makers import make_spoc_ridge
from sklearn_beira.datasets import make_eeg_fmri
from sklearn_beira.inspection import (
    cross_spectrum,
    maps_of_random_weights,
    match_branches,
    read_branches,
)

MINUTES, WINDOW, N_ROIS, N_SOURCES, N_DRIVEN = 10, 16.0, 8, 12, 6
ONE_SOURCE = np.eye(N_ROIS, N_SOURCES)
SOME_DRIVEN = ONE_SOURCE * (np.arange(N_ROIS) < N_DRIVEN)[:, None]
PIPELINE = Pipeline(
    [
        ("filter", EEGFilter(1, 45, sfreq=100)),
        ("window", Windower(WINDOW)),
        ("beira", BEIRARegressor(verbose=False)),
    ]
)


def main(data, seeds):
    worlds = {"one source": ONE_SOURCE, "two sources": None}
    maps = pd.DataFrame(
        [
            {"world": world, "seed": seed, **row}
            for world, weights in worlds.items()
            for seed in seeds
            for row in measure_maps(*simulate(weights, seed))
        ]
    )
    head = f"{MINUTES} minutes, {N_ROIS} regions x {len(seeds)} seeds"
    print(f"{head}: median (tenth from the worst)")
    print(summarize(maps.groupby(["world", "map"], sort=False)).to_string(), end="\n\n")
    print("The most important branch, by the band of the source")
    best = maps[maps["map"] == "most important branch"]
    print(summarize(best.groupby(["world", "band"])).to_string(), end="\n\n")
    stability = pd.DataFrame(
        [row for seed in seeds for row in measure_stability(*simulate(SOME_DRIVEN, seed))]
    )
    groups = stability.groupby("region")
    print("The most important branch of both halves, and of random weights: median (10 %, 90 %)")
    print(
        groups.agg(
            lambda x: f"{x.median():.2f} ({x.quantile(0.1):.2f}, {x.quantile(0.9):.2f})"
        ).to_string(),
        end="\n\n",
    )
    print("Supported branches")
    for minutes in (5, 10, 20):
        measured = [measure_supported(minutes, seed) for seed in seeds]
        shown, found = (np.concatenate(part) for part in zip(*measured, strict=True))
        print(
            f"{minutes:2} minutes: {shown.mean():.2f} of {len(shown)} branches are planted, "
            f"{found.mean():.2f} of {len(found)} planted sources are shown"
        )
    print()
    if data is not None:
        print("Semi-real: the most important branch of every planted region")
        print(measure_semireal(data).to_string(index=False))


def simulate(weights, seed, minutes=MINUTES):
    """Samples, BOLD and truth of one recording."""
    n_rois, n_sources = np.shape(weights) or (N_ROIS, N_SOURCES)
    study = make_eeg_fmri(
        duration=60 * minutes, n_rois=n_rois, n_sources=n_sources, weights=weights,
        lead_in=WINDOW + 1, random_state=seed,
    )  # fmt: skip
    X, y = align(study.raws, study.bolds, trigger="mri", tmin=-WINDOW, tmax=0.0, verbose="error")
    return X, y, study.truth


def measure_maps(X, y, truth):
    """A row for every region and kind of map."""
    model = PIPELINE.fit(X, y)
    branches = read_branches(model, X)
    X = model[:1].transform(X)
    components = read_spoc(make_spoc_ridge(WINDOW).fit(X, y)[-1], X)
    for roi, drive in enumerate(np.abs(truth.weights)):
        source = np.argmax(drive)
        topography, (low, high) = truth.patterns[source], truth.bands[source]
        for kind, found in (("branch", branches), ("SPoC component", components)):
            own = np.flatnonzero(found.importance[roi])
            cos = abs_cosine(found.patterns[own], topography)
            first, nearest = np.argmax(found.importance[roi, own]), np.argmax(cos)
            for name, i in (("most important", first), ("nearest", nearest)):
                peak = found.frequencies[np.argmax(found.frequency_patterns[own[i]])]
                off = max(low - peak, peak - high, 0.0)
                yield {
                    "map": f"{name} {kind}",
                    "band": f"{low:g}-{high:g} Hz",
                    "cos": cos[i],
                    "off band": off,
                    "true": float(cos[i] >= 0.9 and off <= 1),
                    "nearest": float(i == nearest),
                }
            weights = abs_cosine(found.filters[own[first]], topography)
            yield {"map": f"weights of the most important {kind}", "cos": weights}


def read_spoc(model, X):
    """Haufe patterns of SPoC: covariance of the EEG in the band times the filter."""
    frequencies, spectrum = cross_spectrum(X)
    filters, patterns, spectra, importance = [], [], [], []
    for roi, per_band in enumerate(model.filters_):
        for b, (low, high) in enumerate(model.covariance_.bands_.values()):
            inside = (frequencies >= low) & (frequencies <= high)
            density = spectrum.real * inside[:, None, None]
            for k, w in enumerate(per_band[b].T):
                filters.append(w)
                patterns.append(density.sum(axis=0) @ w)
                spectra.append(np.einsum("c,fcd,d->f", w, density, w))
                importance.append(np.abs(model.coef_[roi, b, k]) * (np.arange(N_ROIS) == roi))
    return Bunch(
        filters=np.array(filters),
        patterns=np.array(patterns),
        frequencies=frequencies,
        frequency_patterns=np.array(spectra),
        importance=np.array(importance).T,
    )


def measure_stability(X, y, truth):
    """A row for every region: agreement of halves, and with random weights."""
    half = len(X) // 2
    runs = [
        read_branches(PIPELINE.fit(X[rows], y[rows]), X[rows])
        for rows in (slice(half), slice(half, None))
    ]
    random = maps_of_random_weights(PIPELINE.fit(X, y), X, random_state=0)
    for roi, drive in enumerate(truth.weights):
        matched = match_branches(runs, roi)
        yield {
            "region": "driven" if drive.any() else "not driven",
            "stability": matched.stability[0],
            "kernels of halves": matched.kernel_stability[0],
            "random maps": random.spatial[:, roi].mean(),
            "random spectra": random.spectral[:, roi].mean(),
        }


def measure_supported(minutes, seed):
    """Whether each supported branch is a planted source, and whether each source is shown."""
    rng = np.random.default_rng(seed)
    weights = np.zeros((6, 10))
    for roi, n_driving in enumerate((1, 2, 3, 4)):
        drive = rng.uniform(0.4, 1, n_driving) * rng.choice([-1, 1], n_driving)
        weights[roi, rng.choice(7, n_driving, replace=False)] = drive
    X, y, truth = simulate(weights, seed, minutes)
    branches = read_branches(PIPELINE.fit(X, y), X, y)
    peaks = branches.frequencies[branches.frequency_patterns.argmax(axis=1)]
    shown, found = [], []
    for roi, drive in enumerate(truth.weights):
        sources = np.flatnonzero(drive)
        low, high = truth.bands[sources].T
        branch = np.flatnonzero(branches.supported[roi])[:, None]
        near = (peaks[branch] >= low - 1) & (peaks[branch] <= high + 1)
        cos = [abs_cosine(branches.patterns[branch[:, 0]], truth.patterns[s]) for s in sources]
        signs = np.sign(branches.delay_kernels[roi, branch].sum(axis=-1)) == np.sign(drive[sources])
        true = near & signs & (np.reshape(cos, (len(sources), len(branch))).T >= 0.9)
        shown.append(true.any(axis=1))
        found.append(true.any(axis=0)[drive[sources] ** 2 >= 0.1 * np.sum(drive**2)])
    return np.concatenate(shown), np.concatenate(found)


def measure_semireal(data):
    """Peak and strongest channels of the most important branch, beside what was planted."""
    X, y, _ = semireal(data)
    truth = json.loads((Path(data) / "semireal" / "truth.json").read_text())
    branches = read_branches(PIPELINE.fit(X, y), X)
    rows = []
    for region, planted in truth["planted"].items():
        best = np.argmax(branches.importance[branches.region_names.index(region)])
        strongest = np.argsort(-np.abs(branches.patterns[best]))[:3]
        rows.append(
            {
                "region": region,
                "peak, Hz": branches.frequencies[np.argmax(branches.frequency_patterns[best])],
                "planted band": "{:g}-{:g}".format(*planted["band_hz"]),
                "strongest channels": ", ".join(branches.ch_names[c] for c in strongest),
                "planted channels": ", ".join(planted["channels"]),
            }
        )
    return pd.DataFrame(rows)


def abs_cosine(maps, topography):
    size = np.linalg.norm(maps, axis=-1) * np.linalg.norm(topography)
    return np.abs(maps @ topography) / np.where(size > 0, size, 1.0)


def summarize(groups):
    cos, off = groups["cos"], groups["off band"]
    table = pd.DataFrame(
        {
            "abs(cos)": cos.median().map("{:.3f}".format)
            + cos.quantile(0.1).map(" ({:.3f})".format),
            "off band, Hz": off.median().map("{:.1f}".format)
            + off.quantile(0.9).map(" ({:.1f})".format),
            "within 1 Hz": off.agg(lambda x: np.mean(x <= 1)).map("{:.0%}".format),
            "true": groups["true"].mean().map("{:.0%}".format),
            "nearest": groups["nearest"].mean().map("{:.0%}".format),
        }
    )
    return table.where(table["true"] != "nan%", table[["abs(cos)"]]).fillna("")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("data", nargs="?")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    arguments = parser.parse_args()
    first = arguments.first_seed
    main(arguments.data, range(first, first + arguments.seeds))
