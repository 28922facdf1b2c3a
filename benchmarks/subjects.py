"""Several subjects: a subject that nobody trained on, and going on from a model of the others.

Simulated: four subjects share sources and coupling, but each has another mixture of sources at the
electrodes (a random matrix close to the identity), other activity and other noise. The last part of
a subject is predicted by

- "others": a model of the other subjects (leave one subject out),
- "alone": a model of the subject's own first minutes,
- "init": the same minutes with ``fit(..., pretrained=others)``.

With --align, every subject is predicted by a model of the others, as recorded and aligned by their
EEG (:class:`~sklearn_beira.SubjectAligner`, in the pipeline), by ridge on band power and by the
default.

Run: OMP_NUM_THREADS=1 python benchmarks/subjects.py [--align]
"""

import argparse

import numpy as np
from sklearn.pipeline import make_pipeline

from sklearn_beira import BEIRARegressor, EEGFilter, SubjectAligner, align, make_band_power_ridge
from sklearn_beira.datasets import make_eeg_fmri
from sklearn_beira.evaluation.metrics import pearson_r

N_SUBJECTS, MINUTES, HISTORY, CEILING = 4, 7.0, 20.0, 0.65
FIRST_MINUTES = (0.5, 1.0, 2.0, 3.0)
TEST, GAP = 180.0, 25.0  # s


def simulate(displacement, seed, minutes=MINUTES, powers=0.0):
    """Make windows and BOLD of all subjects."""
    data = make_eeg_fmri(
        N_SUBJECTS,
        duration=60 * minutes,
        noise_ceiling=CEILING,
        lead_in=HISTORY + 1,
        random_state=seed,
    )
    rng, patterns = np.random.default_rng(seed), data.truth.patterns
    for raw, sources in zip(data.raws, data.truth.sources, strict=True):
        if powers:
            gain = np.exp(powers * rng.standard_normal(len(patterns)))
            more = ((gain - 1)[:, None] * patterns).T @ sources[:, -raw.n_times :]
            raw.apply_function(lambda eeg, more=more: eeg + more, channel_wise=False)
        n = len(raw.ch_names)
        mixing = np.eye(n) + displacement * rng.standard_normal((n, n)) / np.sqrt(n)
        raw.apply_function(lambda eeg, mixing=mixing: mixing @ eeg, channel_wise=False)
    X, y = align(data.raws, data.bolds, trigger="mri", tmin=-HISTORY, tmax=0.0, verbose="error")
    return EEGFilter(1, 45, sfreq=100).fit_transform(X), y


def scores(X, y, subject):
    """r of each way of training, (name, minutes) to mean r over regions."""
    others = np.flatnonzero(X.groups != subject)
    own = np.flatnonzero(X.groups == subject)
    start, stop = X.times[own[0]], X.times[own[-1]]
    test = own[X.times[own] > stop - TEST]
    found = {}

    def note(name, minutes, model):
        r = pearson_r(y.iloc[test], model.predict(X[test]), multioutput="raw_values")
        found[name, minutes] = r.mean()

    model = BEIRARegressor(verbose=False)
    init = BEIRARegressor(verbose=False).fit(X[others], y.iloc[others])
    note("others", 0.0, init)
    for minutes in FIRST_MINUTES:
        first = own[X.times[own] < min(start + 60 * minutes, stop - TEST - GAP)]
        note("alone", minutes, model.fit(X[first], y.iloc[first]))
        note("init", minutes, model.fit(X[first], y.iloc[first], pretrained=init))
    return found


def compare_aligned(args):
    """Print r of subjects left out, as recorded and aligned."""
    models = {"ridge": make_band_power_ridge(HISTORY), "default": BEIRARegressor(verbose=False)}
    models = {name: models[name] for name in args.models}
    for displacement in args.displacements:
        found = {}
        for seed in range(args.seeds):
            X, y = simulate(displacement, seed, args.minutes, args.powers)
            for subject in range(N_SUBJECTS):
                others, own = X.groups != subject, X.groups == subject
                for name, model in models.items():
                    for kind, one in (
                        ("as recorded", model),
                        ("aligned", make_pipeline(SubjectAligner(), model)),
                    ):
                        r = pearson_r(y[own], one.fit(X[others], y[others]).predict(X[own]))
                        found.setdefault((name, kind), []).append(np.mean(r))
        print(f"\nmixture differs by {displacement:g}: mean r of subjects left out")
        for (name, kind), r in found.items():
            gain = np.subtract(r, found[name, "as recorded"])
            half = 1.96 * gain.std(ddof=1) / np.sqrt(len(gain))
            print(
                f"{name:>10s} {kind:12s} {np.mean(r):.3f}  {gain.mean():+.3f} ± {half:.3f}",
                flush=True,
            )


def main(args):
    for displacement in args.displacements:
        every = []
        for seed in range(args.seeds):
            X, y = simulate(displacement, seed)
            every += [scores(X, y, subject) for subject in range(N_SUBJECTS)]
        print(f"\nmixture differs by {displacement:g}: mean r of {len(every)} subjects")
        others = np.mean([found["others", 0.0] for found in every])
        print(f"others, none of the subject's own minutes: {others:.3f}")
        print(f"{'own minutes':>12s}" + "".join(f"{m:8g}" for m in FIRST_MINUTES))
        for name in ("alone", "init"):
            means = [np.mean([found[name, m] for found in every]) for m in FIRST_MINUTES]
            print(f"{name:>12s}" + "".join(f"{mean:8.3f}" for mean in means), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1, help="simulated groups of four")
    parser.add_argument("--align", action="store_true", help="align the people by their EEG")
    parser.add_argument("--models", nargs="+", default=["ridge", "default"], help="with --align")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="with --align")
    parser.add_argument(
        "--powers", type=float, default=0.0, help="SD of log amplitudes of sources, with --align"
    )
    parser.add_argument("--displacements", nargs="+", type=float, default=[0.0, 0.3, 0.6])
    args = parser.parse_args()
    (compare_aligned if args.align else main)(args)
