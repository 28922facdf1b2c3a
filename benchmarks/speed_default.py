"""How fast estimators are: the sections of ``speed.py`` on the default and on trained networks."""

import json
import multiprocessing
import resource
import time

import mne
import numpy as np
import torch
from published_recipe import BATCH_SIZE, GAP, N_WINDOWS, T_R, TEST_SHARE, timer
from scipy.signal import lfilter
from threadpoolctl import threadpool_limits

from sklearn_beira import BEIRARegressor, EEGFilter, EEGWindows, align, make_paper_beira
from sklearn_beira.baselines.makers import make_brainwavelinker, make_eegnet
from sklearn_beira.datasets import make_eeg_fmri
from sklearn_beira.evaluation.metrics import pearson_r

SFREQ, HISTORY = 100.0, 20.0


def fit(args):
    """Default fit of a simulated run: 10 minutes, 30 channels, 8 regions, EEG already filtered."""
    X, y = simulated_windows(3 if args.quick else 10)
    seconds = []
    for _ in range(3):
        started = time.perf_counter(), time.process_time()
        model = default(args.device).fit(X, y)
        seconds.append((time.perf_counter() - started[0], time.process_time() - started[1]))
    clock, processor = np.median(seconds, axis=0)
    print(
        f"{len(X)} volumes: {clock:.2f} s by the clock, {processor:.2f} s of processor time; "
        f"branches follow the whole bank with r {model.closed_form_.kept.min():.3f} at least"
    )
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        peaks = pool.apply(_peaks, (3 if args.quick else 10, args.threads, args.device))
    before, after, on_gpu = peaks
    print(f"peak resident memory {after:.2f} GB, {before:.2f} GB of it before fit")
    if on_gpu:
        print(f"peak memory of tensors on the GPU {on_gpu:.2f} GB")


def _peaks(minutes, threads, device):
    with threadpool_limits(threads):
        X, y = simulated_windows(minutes)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        default(device).fit(X, y)
    on_gpu = torch.cuda.max_memory_allocated() / 1e9 if torch.cuda.is_initialized() else 0.0
    return before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, on_gpu


def epochs(args):
    """An epoch of each network that is trained by gradients: 10 minutes, 30 channels, 8 regions."""
    X, y = simulated_windows(3 if args.quick else 10)
    models = {
        "paper BEIRA": make_paper_beira(validation_fraction=0.0),
        "EEGNet": make_eegnet(HISTORY).named_steps["net"],
        "BrainWaveLinker": make_brainwavelinker(HISTORY).named_steps["net"],
    }
    for name, model in models.items():
        n_epochs = 3 if name == "paper BEIRA" else 20
        model.set_params(training__max_epochs=n_epochs, device=args.device, verbose=False)
        seconds = model.fit(X, y).history_[1:, "dur"]  # the first one warms up
        clock = np.median(seconds)
        print(
            f"{name:16s} {clock:7.3f} s, {1e3 * clock / -(-len(X) // model.batch_size):7.1f} ms a "
            f"step of {model.batch_size} windows, {len(X) / clock:6.0f} windows a second"
        )


def prediction(args):
    """Prediction of an hour of filtered 64-channel EEG, 8 regions, a volume every 1.95 s."""
    hours = 0.2 if args.quick else 1.0
    X, y = noise_windows(hours, 64, 8)
    model = default(args.device).fit(X[:300], y[:300])
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        model.predict(X)
        seconds.append(time.perf_counter() - started)
    clock = np.median(seconds)
    print(f"{hours:g} h in {clock:.2f} s: {3600 * hours / clock:.0f} x real time")


def streaming(args):
    """One new volume at a time: predict on one window of 20 s, 30 channels, 8 regions."""
    X, y = simulated_windows(3 if args.quick else 10)
    windows = EEGWindows.from_array(X, sfreq=SFREQ)
    models = {
        "EEGWindows": (default(args.device).fit(X, y), [X[[i]] for i in range(len(X))]),
        "epoched": (
            default(args.device).fit(windows, y),
            [windows[[i]] for i in range(len(X))],
        ),
    }
    for name, (model, rows) in models.items():
        seconds = []
        for k in range(200 if args.quick else 1000):
            started = time.perf_counter()
            model.predict(rows[k % len(rows)])
            seconds.append(time.perf_counter() - started)
        middle, worst = 1e3 * np.quantile(seconds, [0.5, 0.99])
        print(f"{name:12s} median {middle:.1f} ms, 99 % below {worst:.1f} ms")


def growth(args):
    """Cost of fit and predict by length of the recording and by number of regions."""
    lengths = (0.2, 0.4) if args.quick else (1, 3, 10)
    for hours in lengths:
        X, y = noise_windows(hours, 30, 8)
        print(f"{hours:5g} h,   8 regions: {_fit_predict(X, y, args.device)}", flush=True)
    for n_rois in (8, 24) if args.quick else (8, 25, 100):
        X, y = noise_windows(1 / 6, 30, n_rois)
        print(f" 1/6 h, {n_rois:3d} regions: {_fit_predict(X, y, args.device)}", flush=True)


def _fit_predict(X, y, device):
    now = timer(device)
    started = now()
    model = default(device).fit(X, y)
    fitted = now()
    model.predict(X)
    done = now()
    return (
        f"{len(X)} volumes, fit {fitted - started:.1f} s, predict {done - fitted:.1f} s "
        f"({_kind(now)})"
    )


def _kind(now):
    return "processor time" if now is time.process_time else "by the clock"


def time_to_accuracy(args):
    """Default against the published recipe, on the run of published_recipe.py.

    The accuracy of the recipe is read from the file that ``published_recipe.py --out`` wrote, the
    time of its passes from a training step measured in ``training_step`` (--step-seconds).
    """
    with open(args.published) as file:
        recipe = json.load(file)
    look = recipe["looks"][-1]
    data = make_eeg_fmri(
        duration=60 * recipe["minutes"],
        t_r=T_R,
        noise_ceiling=recipe["ceiling"],
        random_state=recipe["seed"],
    )
    X, y = align(data.raws, data.bolds, trigger="mri", tmin=-HISTORY, tmax=0.0, verbose="error")
    X = EEGFilter(1, 45, sfreq=SFREQ).fit_transform(X)
    y = np.asarray(y)
    first_test = len(y) - recipe["n_test_volumes"]
    n_train = np.searchsorted(X.times, X.times[first_test] - GAP)
    now = timer(args.device)
    started = now()
    model = default(args.device).fit(X[:n_train], y[:n_train])
    seconds = now() - started
    y_pred = model.predict(X[first_test:])
    r = pearson_r(y[first_test:], y_pred, multioutput="raw_values")
    n_rois = len(look["r"])
    passes = args.step_seconds * look["passes"] * N_WINDOWS / BATCH_SIZE
    print(
        f"last {TEST_SHARE:.0%} of {recipe['minutes']:g} minutes ({recipe['n_test_volumes']} "
        f"volumes), noise ceiling {recipe['ceiling']:g}"
    )
    print(f"default: {seconds:.2f} s ({_kind(now)}), mean r of 8 regions {r.mean():.3f}")
    print(f"the {n_rois} region(s) of the recipe: default {np.round(r[:n_rois], 3)}")
    print(f"recipe after {look['passes']} passes: {np.round(look['r'], 3)}")
    print(
        f"recipe: {passes:.0f} s for eight regions, straightforward form "
        f"({args.step_seconds:g} s a step); default needs 1/{passes / seconds:.0f} of it"
    )


def default(device):
    """Make the default estimator."""
    return BEIRARegressor(device=device, verbose=False)


def simulated_windows(minutes):
    """Make a simulated run, filtered, in windows."""
    data = make_eeg_fmri(duration=60 * minutes, lead_in=HISTORY + 1, random_state=0)
    X, y = align(data.raws, data.bolds, trigger="mri", tmin=-HISTORY, tmax=0.0, verbose="error")
    return EEGFilter(1, 45, sfreq=SFREQ).fit_transform(X), y.to_numpy()


def noise_windows(hours, n_channels, n_rois):
    """Make white EEG at the rate after filtering, and autocorrelated BOLD, of any size."""
    rng = np.random.default_rng(0)
    n_times = round(hours * 3600 * SFREQ)
    eeg = 1e-5 * rng.standard_normal((n_channels, n_times), dtype=np.float32)
    onsets = np.arange(HISTORY + 1, n_times / SFREQ, T_R)
    info = mne.create_info(n_channels, SFREQ, "eeg")
    X = EEGWindows([eeg], np.zeros(len(onsets), int), onsets, info, tmin=-HISTORY, tmax=0.0)
    return X, lfilter([1], [1, -0.75], rng.standard_normal((len(onsets), n_rois)), axis=0)


SECTIONS = [fit, prediction, streaming, epochs, growth, time_to_accuracy]
