"""Maps of whole brains: time and memory of the null, and errors of maps of simulated brains.

Parts:

fit     Fit of :class:`WholeBrainRegressor` to 400, 1,000 and 30,000 targets: wall time, processor
        time and peak memory so far. 10 minutes, 30 channels; the EEG is already filtered.
alike   r in a second run of 400 targets that are fitted together, and 20 at a time, which are
        fitted one by one. Targets are mixtures of what EEG drives, half of them noise alone.
null    :func:`null_test` with fixed predictions on AR(1) series of many voxels: wall time of the
        whole call and of the surrogates alone, and peak memory. BOLD and EEG are noise.
map     :func:`map_brain` on a simulated brain of the given voxel size: wall time of reading, model,
        surrogates and table together, and peak memory.
errors  Simulated brains, noise that is smooth in space and time: share of studies without coupling
        in which any voxel has p_max of at most .05, and of the voxels of two planted patches the
        share that is found.

python benchmarks/whole_brain.py fit alike null map errors --threads 2
python benchmarks/whole_brain.py null --voxels 3000 --surrogates 100
OMP_NUM_THREADS=1 python benchmarks/whole_brain.py errors --studies 40 --size 10

Threads are those of NumPy's BLAS. Simulated brains are no claim about brains.
"""

import argparse
import resource
import sys
import time

import nibabel as nib
import numpy as np
from nilearn.datasets import load_mni152_brain_mask
from scipy.ndimage import gaussian_filter
from scipy.signal import lfilter
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from sklearn_beira import (
    BandPower,
    BlockedKFold,
    EEGFilter,
    WholeBrainRegressor,
    Windower,
    align,
    make_eeg_fmri,
    map_brain,
)
from sklearn_beira.evaluation.cross_validation import Runner, predict_all
from sklearn_beira.evaluation.null import null_distributions, prepare
from sklearn_beira.evaluation.study import make_study

UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
T_R, CENTERS, RADIUS = 2.0, ((-20, -80, 5), (40, 10, 30)), 16.0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parser.add_argument("--voxels", type=int, default=30000, help="of part null")
    parser.add_argument("--volumes", type=int, default=300, help="of part null")
    parser.add_argument("--surrogates", type=int, default=1000)
    parser.add_argument("--null", default="phase")
    parser.add_argument("--size", type=int, default=8, help="of voxels in mm, other parts")
    parser.add_argument("--minutes", type=float, default=10.0, help="other parts")
    parser.add_argument("--studies", type=int, default=40, help="of part errors")
    parser.add_argument("--first", type=int, default=0, help="seed of the first study")
    parser.add_argument("--model", choices=["ridge", "default"], default="ridge")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    for part in args.parts:
        with threadpool_limits(args.threads):
            PARTS[part](args)


def make_targets(n_targets, n_runs=1):
    """Make filtered EEG, and targets that follow EEG more or less, half of them not at all."""
    study = make_eeg_fmri(n_runs, duration=600.0, t_r=T_R, n_channels=30, random_state=0)
    X, _ = align(study.raws, study.bolds, trigger="mri", tmin=-20.0, verbose="error")
    X = make_pipeline(EEGFilter(), Windower(20.0)).fit_transform(X)
    coupled = np.concatenate(study.truth.coupled)
    coupled = coupled[len(study.bolds[0]) * X.groups + X.volumes]
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((8, n_targets)) * (rng.random((8, n_targets)) < 0.3)
    signal = coupled / coupled.std(axis=0) @ weights
    signal /= np.maximum(signal.std(axis=0), 1e-9)
    noise = np.array([
        lfilter([1], [1, -rho], rng.standard_normal(len(X) + 50))[50:]
        for rho in rng.uniform(0.4, 0.9, n_targets)
    ]).T  # fmt: skip
    r = np.where(rng.random(n_targets) < 0.5, rng.uniform(0.3, 0.8, n_targets), 0.0)
    r *= weights.any(axis=0)
    return X, r * signal + np.sqrt(1 - r**2) * noise / noise.std(axis=0), r > 0


def measure_fit(args):
    """Time fits of many targets."""
    for n_targets in (400, 1000, 30000):
        X, y, _ = make_targets(n_targets)
        start = time.perf_counter(), time.process_time()
        WholeBrainRegressor().fit(X, y)
        wall, used = time.perf_counter() - start[0], time.process_time() - start[1]
        print(
            f"fit: {n_targets} targets, {len(y)} volumes: {wall:.1f} s by the clock, {used:.1f} s "
            f"of processor time; peak memory so far {peak() / 1e9:.2f} GB",
            flush=True,
        )


def compare_fits(args):
    """Compare r of targets that are fitted together with r of few at a time."""
    X, y, coupled = make_targets(400, n_runs=2)
    train = X.groups == 0
    together = WholeBrainRegressor().fit(X[train], y[train]).predict(X[~train])
    alone = np.concatenate(
        [
            WholeBrainRegressor().fit(X[train], some[train]).predict(X[~train])
            for some in np.split(y, 20, axis=1)
        ],
        axis=1,
    )
    r = [np.array([np.corrcoef(*p)[0, 1] for p in zip(y[~train].T, q.T, strict=True)])
         for q in (together, alone)]  # fmt: skip
    more = (r[0] - r[1])[coupled]
    print(
        f"alike: mean r of {coupled.sum()} coupled targets {r[0][coupled].mean():.4f} together, "
        f"{r[1][coupled].mean():.4f} one by one; SD of the difference {more.std():.4f}; the others "
        f"{r[0][~coupled].mean():.4f}, {r[1][~coupled].mean():.4f}"
    )


def measure_null(args):
    """Time the null of fixed predictions for many voxels."""
    rng = np.random.default_rng(0)
    y = lfilter([1], [1, -0.6], rng.standard_normal((args.volumes + 50, args.voxels)), axis=0)[50:]
    X = lfilter([1], [1, -0.6], rng.standard_normal((args.volumes + 50, 40)), axis=0)[50:]
    groups = np.repeat(np.arange(10), -(-len(y) // 10))[: len(y)] if args.null == "swap" else None
    before = peak()
    start = time.perf_counter()
    models = {"ridge": Ridge(100.0)}
    study = make_study(X, y, BlockedKFold(5, gap=20, t_r=T_R), groups)
    draws, _ = prepare(
        models, study, args.null, n_surrogates=args.surrogates, refit=False, keep_trend=True,
        other_bold=None, random_state=0,
    )  # fmt: skip
    runner = Runner()
    predictions, _ = predict_all(models, study, runner)
    ready = time.perf_counter()
    test = null_distributions(
        models, study, draws, refit=False, confidence_level=0.95, runner=runner,
        predictions=predictions,
    )["ridge"]  # fmt: skip
    end = time.perf_counter()
    print(
        f"null {args.null}: {draws.n_surrogates} surrogates of {args.voxels} voxels, "
        f"{args.volumes} volumes, {args.threads} threads"
    )
    print(f"  surrogates and p  {end - ready:7.1f} s")
    print(f"  with checks, fit  {end - start:7.1f} s")
    print(f"  peak memory       {peak() / 1e9:7.2f} GB, {before / 1e9:.2f} GB before")
    print(f"  lowest p_max      {test.table['p_max'].min():7.3f}")


def measure_map(args):
    """Time a whole map."""
    run, img, mask_img, near = make_brain(args, 0, coupled=True)
    start = time.perf_counter()
    brain_map = map_brain(
        run.raws[0], img, model=make_model(args), mask_img=mask_img, trigger="mri",
        n_surrogates=args.surrogates, verbose=False,
    )  # fmt: skip
    print(f"map: {len(near)} voxels, {img.shape[-1]} volumes, {args.threads} threads")
    print(f"  map_brain         {time.perf_counter() - start:7.1f} s")
    print(f"  peak memory       {peak() / 1e9:7.2f} GB")
    print(f"  {brain_map.headline()}")


def count_errors(args):
    """Count false findings, and voxels of patches that are found."""
    wrong, shares, beside = [], [], []
    for seed in range(args.first, args.first + args.studies):
        for coupled in (False, True):
            run, img, mask_img, near = make_brain(args, seed, coupled)
            found = map_brain(
                run.raws[0], img, model=make_model(args), mask_img=mask_img, trigger="mri",
                n_surrogates=args.surrogates, null=args.null, random_state=seed, verbose=False,
            ).found()  # fmt: skip
            if coupled:
                shares.append(found[near].mean())
                beside.append(found[~near].any())
            else:
                wrong.append(found.any())
    error = np.sqrt(np.mean(wrong) * (1 - np.mean(wrong)) / len(wrong))
    print(f"errors: {args.studies} studies of {len(near)} voxels, {args.model}, {args.null}")
    print(f"  without coupling, any voxel   {np.mean(wrong):.3f} ± {error:.3f} of studies")
    print(f"  with patches, found of them   {np.mean(shares):.2f} of {near.sum()} voxels")
    print(f"  with patches, any voxel else  {np.mean(beside):.3f} of studies")


def make_model(args):
    """Make the model; None is the default of map_brain."""
    if args.model == "default":
        return None
    steps = EEGFilter(), Windower(20), BandPower(), StandardScaler(), Ridge(1000.0)
    return make_pipeline(*steps)


def make_brain(args, seed, coupled):
    """Simulate EEG and a brain of noise, with two patches that follow the EEG if coupled."""
    run = make_eeg_fmri(
        duration=60 * args.minutes, t_r=T_R, n_channels=16, n_rois=2, bands=[(8, 12), (15, 20)],
        noise_ceiling=0.8, random_state=seed,
    )  # fmt: skip
    bold = run.bolds[0].to_numpy()
    mask_img = load_mni152_brain_mask(resolution=args.size)
    brain = np.asarray(mask_img.dataobj) != 0
    at = nib.affines.apply_affine(mask_img.affine, np.argwhere(brain))
    rng = np.random.default_rng(1000 + seed)
    voxels = np.zeros((*brain.shape, len(bold)), np.float32)
    noise = np.zeros(brain.shape)
    for volume in range(-20, len(bold)):
        noise = 0.6 * noise + gaussian_filter(rng.standard_normal(brain.shape), 8.0 / args.size)
        if volume >= 0:
            voxels[..., volume] = noise
    voxels /= voxels[brain].std()
    near = np.zeros(len(at), dtype=bool)
    for center, series in zip(CENTERS, (bold / bold.std(axis=0)).T, strict=True):
        inside = np.linalg.norm(at - center, axis=1) < RADIUS
        near |= inside
        if coupled:
            patch = np.zeros(brain.shape, dtype=bool)
            patch[brain] = inside
            voxels[patch] = 0.5 * voxels[patch] + series.astype(np.float32)
    voxels = np.where(brain[..., None], 1000 + 10 * voxels, 0).astype(np.float32)
    img = nib.Nifti1Image(voxels, mask_img.affine)
    img.header.set_xyzt_units("mm", "sec")
    img.header.set_zooms((*[args.size] * 3, T_R))
    img.set_sform(mask_img.affine, code="mni")
    return run, img, mask_img, near


def peak():
    """Return the largest resident memory so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT


PARTS = {
    "fit": measure_fit, "alike": compare_fits, "null": measure_null, "map": measure_map,
    "errors": count_errors,
}  # fmt: skip

if __name__ == "__main__":
    main()
