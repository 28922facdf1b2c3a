"""BEIRARegressor: what it learns, from what, and what it refuses."""

import multiprocessing
import pickle
from pathlib import Path
from types import SimpleNamespace

import mne
import numpy as np
import pytest
import torch
from joblib import parallel_config
from scipy.ndimage import gaussian_filter1d
from scipy.signal import butter, fftconvolve, sosfiltfilt
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import Pipeline
from skorch.callbacks import Callback
from small_networks import SIZES, make_beira
from torch import nn

from sklearn_beira import (
    Autoencoder,
    BEIRARegressor,
    Compact,
    CustomNetwork,
    EEGFilter,
    EEGNet,
    EEGWindows,
    Training,
    Windower,
    align,
    hrf_at,
    make_paper_beira,
)
from sklearn_beira.datasets import make_eeg_fmri
from sklearn_beira.evaluation.metrics import pearson_r, pearson_r_scorer
from sklearn_beira.evaluation.splitters import BlockedKFold
from sklearn_beira.inspection import read_branches
from sklearn_beira.regressor.architectures import ARCHITECTURES
from sklearn_beira.regressor.batches import cut_pieces, eeg_scale, tile, volumes_in_windows
from sklearn_beira.regressor.closed_form import TrainingData, average_volumes
from sklearn_beira.regressor.nets import AtVolumes
from sklearn_beira.regressor.prediction import average_overlaps
from sklearn_beira.regressor.readings import Filter, filter_banks, read_bands, read_filters

SMALL = {
    **SIZES,
    "max_epochs": 2,
    "validation_fraction": 0.2,
    "random_state": 0,
    "verbose": False,
}

# The paper's network, cheap, and what is asked of it by default.
PAPER = {"architecture": "autoencoder", "mode": "many_to_many", **SMALL}

# Big batches: there a sum over threads would show.
RIVALS = [
    make_beira(name, loss=loss, **{**SMALL, "batch_size": 512, "lr": 1e-2})
    for name, loss in (("brainwavelinker", "correlation"), ("eegnet", "mse"))
]

# The default, as it is and fine-tuned.
DEFAULT = BEIRARegressor(verbose=False)
TUNED = make_beira(
    **{**SMALL, "n_taps": 31, "validation_fraction": 0.0, "batch_size": 512}, lr=1e-3
)

both = pytest.mark.parametrize("model", [DEFAULT, make_beira(**PAPER)], ids=repr)


class LogPower(nn.Module):
    """A network of a user: log power of spatially filtered EEG, read linearly."""

    own_volume_only = True

    def __init__(self, n_channels, n_rois, *, n_filters=4, dropout=0.0):
        super().__init__()
        self.spatial = nn.Linear(n_channels, n_filters, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.readout = nn.Linear(n_filters, n_rois)

    def forward(self, eeg):
        power = self.spatial(eeg.transpose(1, 2)).square().mean(dim=1)
        return self.readout(self.dropout(torch.log(power + 1e-6)))


class WindowCounter(Callback):
    """Counts the windows that training reads."""

    def initialize(self):
        self.n_windows_ = 0
        return self

    def on_batch_begin(self, net, batch=None, training=False, **kwargs):
        self.n_windows_ += len(batch[0]["eeg"]) if training else 0


class EverySample(nn.Module):
    """A network of a user that estimates every sample."""

    def __init__(self, n_channels, n_rois):
        super().__init__()
        self.mix = nn.Conv1d(n_channels, n_rois, 1)

    def forward(self, eeg):
        return self.mix(eeg)


class NeedsWidth(LogPower):
    """A network with a parameter that has no default."""

    def __init__(self, n_channels, n_rois, width):
        super().__init__(n_channels, n_rois, n_filters=width)


class WrongShape(EverySample):
    """A network that forgets to say that it estimates the own volume only."""

    def forward(self, eeg):
        return self.mix(eeg)[..., -1]


@pytest.fixture(scope="module")
def windows():
    """Two short runs, filtered to 100 Hz, in windows of 10.24 s."""
    study = make_eeg_fmri(2, duration=100.0, n_channels=8, n_rois=3, random_state=0)
    X, y = align(study.raws, study.bolds, trigger="mri", tmin=-16, tmax=0, verbose="error")
    X = EEGFilter(1, 40, sfreq=100).fit_transform(X)
    return Windower(10.24).fit_transform(X), y


def test_a_planted_coupling_is_found_and_a_null_stays_null():
    study = make_eeg_fmri(
        duration=480.0, n_channels=16, n_rois=2, noise_ceiling=0.9, random_state=1
    )
    X, y = align(study.raws, study.bolds, trigger="mri", tmin=-20, tmax=0, verbose="error")
    X = EEGFilter(1, 45, sfreq=100).fit_transform(X)
    y = y.assign(null=np.random.default_rng(0).standard_normal(len(y))).to_numpy()
    model = BEIRARegressor(verbose=False)
    train, test = next(iter(BlockedKFold(3, gap=20.0).split(X)))
    r = pearson_r(y[test], model.fit(X[train], y[train]).predict(X[test]), multioutput="raw_values")
    assert r[:2].min() > 0.7
    assert abs(r[2]) < 0.25
    assert not hasattr(model, "net_")  # nothing was trained by gradients
    assert not hasattr(model, "history_")
    assert model.closed_form_.kept[:2].min() > 0.95
    assert model.closed_form_.autocorrelation[2] < model.closed_form_.autocorrelation[:2].min()


def test_the_paper_architecture_learns_envelopes():
    rng = np.random.default_rng(0)
    power = np.repeat(rng.uniform(0.2, 2.0, (120, 1)), 256, axis=1)
    X = rng.standard_normal((120, 3, 256))
    X[:, 1] *= power
    y = power[:, -1]
    model = make_beira(
        "autoencoder", mode="many_to_one", n_branches=4, n_taps=15, encoder_width=16,
        decoder_width=8, dropout=0.0, max_epochs=30, lr=3e-3, random_state=0, verbose=False,
    )  # fmt: skip
    assert pearson_r(y[90:], model.fit(X[:90], y[:90]).predict(X[90:])) > 0.8


def test_many_to_many_learns_from_every_training_volume_in_the_window(windows):
    X, _ = windows
    rows, samples = volumes_in_windows(X, "many_to_many")
    for i in (0, 12, len(X) - 1):
        mine = rows[i][rows[i] >= 0]
        ago = X.times[i] - X.times[mine]
        inside = (X.groups == X.groups[i]) & (X.times <= X.times[i])
        inside &= np.round((X.times[i] - X.times) * 100) < 1024
        assert set(mine) == set(np.flatnonzero(inside))
        np.testing.assert_allclose(samples[i][rows[i] >= 0], 1023 - np.round(ago * 100), atol=0.5)


def test_a_stride_of_a_window_reads_every_sample_about_once(windows):
    X, y = windows
    settings = {**PAPER, "stride": "window", "max_epochs": 3, "validation_fraction": 0.0}
    counter = WindowCounter()
    model = make_beira(**settings, skorch_params={"callbacks": [counter]}).fit(X, y)
    n_samples = sum(stop - start for _, start, stop in X.stretches())
    # No sample twice; between windows up to a volume is left out, and a window at the end.
    n_read = counter.n_windows_ / 3 * X.shape[2]
    longest_step = X.shape[2] + np.diff(X.times).max() * X.sfreq
    n_recordings = len(np.unique(X.groups))
    assert n_read <= n_samples
    assert n_read > (n_samples - n_recordings * longest_step) * X.shape[2] / longest_step
    again = make_beira(**settings).fit(X, y)
    np.testing.assert_array_equal(model.predict(X), again.predict(X))

    # Each volume is estimated in the window that ends with it or holds it.
    rows, samples = volumes_in_windows(X, "many_to_many")
    tiles = tile(X)
    y_pred = model.predict(X)
    module = AtVolumes(model.network_).cpu().eval()
    window, slot = np.nonzero(rows[tiles] >= 0)
    sample = samples[tiles][window, slot]
    with torch.no_grad():
        eeg = torch.from_numpy(np.asarray(X[tiles], dtype=np.float32)) / model.eeg_scale_
        estimates = module(eeg, torch.from_numpy(window), torch.from_numpy(sample)).numpy()
    expected = average_overlaps(estimates, rows[tiles][window, slot], len(X))
    expected = expected * model.target_scale_ + model.target_mean_
    np.testing.assert_allclose(y_pred, expected, rtol=1e-4, atol=1e-6)
    # The sampler held the training EEG.
    assert len(pickle.dumps(model)) < X.recordings[0].nbytes / 4


def test_a_stride_of_a_window_needs_windows_of_many_volumes(windows):
    with pytest.raises(ValueError, match="set mode='many_to_many'"):
        BEIRARegressor(Autoencoder(mode="many_to_one", stride="window")).fit(*windows)


def test_volumes_outside_the_fold_are_not_estimated_in_training(windows):
    X, _ = windows
    fold = X[np.arange(len(X)) % 3 != 1]
    rows, _ = volumes_in_windows(fold, "many_to_many")
    assert rows.max() == len(fold) - 1  # rows count within the fold: nothing else can be reached


def test_many_to_one_and_arrays_know_only_their_own_volume(windows):
    X, _ = windows
    epochs = EEGWindows.from_array(np.asarray(X))
    for data, mode in ((X, "many_to_one"), (epochs, "many_to_many")):
        rows, samples = volumes_in_windows(data, mode)
        np.testing.assert_array_equal(rows[:, 0], np.arange(len(X)))
        assert (samples == 1023).all()
        assert rows.shape[1] == 1


def test_estimates_of_overlapping_windows_are_averaged():
    estimates = np.array([[1.0], [3.0], [5.0]])
    rows = np.array([0, 0, 1])
    np.testing.assert_array_equal(average_overlaps(estimates, rows, 2), [[2.0], [5.0]])


def test_windows_and_arrays_give_the_same_model_in_many_to_one(windows):
    X, y = windows
    model = make_beira(**{**PAPER, "mode": "many_to_one", "validation_fraction": 0.0})
    lazy = model.fit(X, y).predict(X)
    # Overlap counts once in the EEG scale of recordings, once per window in that of arrays.
    plain = clone(model).fit(np.asarray(X), y).predict(np.asarray(X))
    np.testing.assert_allclose(lazy, plain, atol=0.1 * lazy.std())
    assert pearson_r(lazy, plain) > 0.99


def test_windows_and_arrays_give_the_same_default(windows):
    X, y = windows
    X, y = X[X.groups == 0], y[X.groups == 0]  # an array does not tell recordings apart
    lazy = clone(DEFAULT).fit(X, y).predict(X)
    epochs = EEGWindows.from_array(np.asarray(X), sfreq=100.0, times=X.times, ch_names=X.ch_names)
    plain = clone(DEFAULT).fit(epochs, y).predict(epochs)
    # Overlap counts once in the covariances of recordings, once per window in those of arrays.
    np.testing.assert_allclose(lazy, plain, atol=0.1 * lazy.std())
    assert pearson_r(lazy, plain) > 0.99


@pytest.mark.parametrize("model", [DEFAULT, TUNED], ids=repr)
def test_recordings_are_predicted_in_one_go_as_window_by_window(model, windows):
    X, y = windows
    model = clone(model).fit(X, y)
    y_pred = model.predict(X)
    network = model.network_.cpu()
    eeg = torch.from_numpy(np.asarray(X, dtype=np.float32) / model.eeg_scale_)
    with torch.no_grad():
        one_by_one = torch.cat([network(window[None]) for window in eeg])
    expected = one_by_one.numpy() * model.target_scale_ + model.target_mean_
    np.testing.assert_allclose(y_pred, expected, atol=1e-5 * y_pred.std())


@pytest.mark.parametrize("model", [DEFAULT, TUNED], ids=repr)
def test_the_prediction_of_a_row_does_not_depend_on_the_other_rows(model, windows):
    X, y = windows
    model = clone(model).fit(X, y)
    y_pred = model.predict(X)
    shuffled = np.random.default_rng(0).permutation(len(X))
    for rows in ([0], [len(X) - 1, 3], np.arange(5, len(X), 7), shuffled, np.repeat(4, 3)):
        np.testing.assert_allclose(model.predict(X[rows]), y_pred[rows], atol=1e-5 * y_pred.std())


def test_eeg_scale_counts_overlapping_samples_once(windows):
    X, _ = windows
    pieces = [X.recordings[k][:, a:b] for k, a, b in X.stretches()]
    expected = np.sqrt(np.mean(np.concatenate(pieces, axis=1).astype(float) ** 2))
    assert eeg_scale(X) == pytest.approx(expected, rel=1e-6)


@both
def test_the_same_seed_gives_the_same_numbers_whatever_n_jobs(model, windows, set_num_threads):
    X, y = windows
    set_num_threads(1)  # as the processes have
    scores = [
        cross_val_score(model, X, y, cv=BlockedKFold(2), scoring=pearson_r_scorer, n_jobs=n_jobs)
        for n_jobs in (1, 2)
    ]
    np.testing.assert_array_equal(*scores)


def test_the_default_draws_nothing(windows):
    X, y = windows
    models = [clone(DEFAULT).set_params(random_state=seed).fit(X, y) for seed in (None, None, 1)]
    weights = [model.network_.state_dict() for model in models]
    for other, theirs in zip(models[1:], weights[1:], strict=True):
        assert all(torch.equal(weights[0][name], theirs[name]) for name in weights[0])
        np.testing.assert_array_equal(other.predict(X), models[0].predict(X))


def test_epochs_fine_tune_the_default_from_its_start(windows):
    X, y = windows
    start = clone(TUNED).set_params(training=None).fit(X, y)
    scaled = (start.predict(X) - start.target_mean_) / start.target_scale_
    expected = np.square(scaled - (y.to_numpy() - start.target_mean_) / start.target_scale_).mean()
    model = clone(TUNED).set_params(training__max_epochs=20).fit(X, y)
    losses = model.history_[:, "train_loss"]
    assert len(losses) == 20
    # One batch an epoch: the first loss is that of the weights that the data gave.
    assert losses[0] == pytest.approx(expected, rel=1e-4)
    assert losses[-1] < 0.98 * losses[0]
    assert expected < 0.9  # of a variance of 1
    moved = model.predict(X) - start.predict(X)
    assert 1e-3 < moved.std() / start.predict(X).std() < 1
    for name in ("spatial", "bandpass"):
        before, after = (getattr(m.network_.branches, name) for m in (start, model))
        assert not torch.equal(before, after)
    assert model.closed_form_.bands == start.closed_form_.bands
    again = clone(TUNED).set_params(training__max_epochs=20).fit(X, y)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


@pytest.mark.parametrize("architecture", ["compact", "eegnet"])
def test_models_fitted_in_threads_are_those_fitted_one_by_one(windows, architecture):
    X, y = windows
    model = make_beira(architecture, **SMALL)
    state = torch.get_rng_state()
    alone = cross_val_predict(model, X, y, cv=BlockedKFold(4))
    with parallel_config("threading", n_jobs=4):
        together = cross_val_predict(model, X, y, cv=BlockedKFold(4))
    np.testing.assert_array_equal(together, alone)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("fails_at", ["segment", "loss", "training"])
def test_a_fit_that_fails_leaves_the_model_as_it_was(windows, fails_at):
    class Breaks(Callback):
        def on_batch_begin(self, net, **kwargs):
            raise OSError("a disk is full")

    X, y = windows
    changes = {
        "segment": {"architecture": Compact(segment=10**5)},
        "loss": {"training": Training(loss="no_loss")},
        "training": {"training": Training(skorch_params={"callbacks": [Breaks()]})},
    }[fails_at]
    model = clone(DEFAULT).set_params(**changes)
    with pytest.raises((ValueError, OSError)):
        model.fit(X, y)
    with pytest.raises(NotFittedError):
        model.predict(X)
    model.set_params(**DEFAULT.get_params()).fit(X, y)
    before, fitted = model.predict(X), vars(model).copy()
    model.set_params(**changes)
    with pytest.raises((ValueError, OSError)):
        model.fit(X, 100 * y + 5000)
    np.testing.assert_array_equal(model.predict(X), before)
    assert {name for name in vars(model)} == set(fitted)
    assert all(vars(model)[name] is fitted[name] for name in fitted if name.endswith("_"))


def test_a_gap_that_a_plain_array_cannot_keep_is_refused():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((20, 2, 50)), rng.standard_normal((20, 1))
    model = make_beira("eegnet", **SMALL, validation_gap=20.0)
    with pytest.raises(ValueError, match=r"validation_gap=20 s .* times of the rows are unknown"):
        model.fit(X, y)
    model.set_params(training__validation_fraction=0.0).fit(X, y)


@pytest.mark.parametrize("model", [DEFAULT, TUNED, make_beira(**PAPER), *RIVALS], ids=repr)
def test_the_number_of_threads_changes_the_last_digits_and_nothing_of_the_default(
    model, windows, set_num_threads
):
    X, y = windows
    weights, predictions = [], []
    for n_threads in (1, 2):
        set_num_threads(n_threads)
        fitted = clone(model).fit(X, y)
        weights.append(fitted.network_.state_dict())
        predictions.append(fitted.predict(X))
        assert torch.get_num_threads() == n_threads
    if model is DEFAULT:
        assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    # Matrix libraries round products by their threads, on some processors all of them.
    atol = 0 if model is DEFAULT else 1e-5 * predictions[0].std()
    np.testing.assert_allclose(*predictions, rtol=0, atol=atol)


@pytest.mark.parametrize("model", [DEFAULT, TUNED, make_beira(**PAPER)], ids=repr)
def test_the_global_random_state_is_untouched(model, windows):
    X, y = windows
    torch.manual_seed(7)
    np.random.seed(7)  # noqa: NPY002
    state, np_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    clone(model).set_params(random_state=0).fit(X, y).predict(X)
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(np.random.get_state()[1], np_state)  # noqa: NPY002


def test_seeds_differ_where_something_is_drawn(windows):
    X, y = windows
    model = make_beira(**PAPER)
    first = model.fit(X, y).predict(X)
    other = clone(model).set_params(random_state=1).fit(X, y).predict(X)
    assert np.abs(first - other).max() > 1e-3


@both
def test_a_fitted_model_pickles_without_the_eeg(model, windows):
    X, y = windows
    model = clone(model).fit(X, y)
    data = pickle.dumps(model)
    assert len(data) < 200_000 < sum(r.nbytes for r in X.recordings)
    np.testing.assert_array_equal(pickle.loads(data).predict(X), model.predict(X))


def test_the_best_epoch_on_the_tail_is_kept(windows):
    X, y = windows
    model = make_beira(**{**PAPER, "max_epochs": 15, "lr": 0.1}, patience=3).fit(X, y)
    losses = model.history_[:, "valid_loss"]
    best = int(np.argmin(losses))
    assert len(losses) <= best + 1 + 3
    stopped = make_beira(**{**PAPER, "max_epochs": best + 1, "lr": 0.1}, patience=None)
    np.testing.assert_array_equal(stopped.fit(X, y).predict(X), model.predict(X))


def test_validation_volumes_are_not_trained_on(windows):
    X, y = windows
    y = y.to_numpy()
    changed = y.copy()
    tail = np.concatenate([np.flatnonzero(X.groups == k)[-8:] for k in (0, 1)])
    changed[tail] += 100.0
    model = make_beira(**PAPER, validation_gap=0.0, patience=None)
    model.set_params(training__max_epochs=1)
    np.testing.assert_array_equal(
        clone(model).fit(X, y).predict(X), clone(model).fit(X, changed).predict(X)
    )


@pytest.mark.parametrize("model", [TUNED, make_beira(**PAPER)], ids=repr)
def test_ctrl_c_ends_training_and_keeps_the_best_so_far(model, windows):
    X, y = windows

    class Interrupt(Callback):
        def on_epoch_begin(self, net, **kwargs):
            if len(net.history) == 3:
                raise KeyboardInterrupt

    model = clone(model).set_params(training__max_epochs=50)
    model.set_params(training__skorch_params={"callbacks": [("interrupt", Interrupt())]})
    y_pred = model.fit(X, y).predict(X)
    assert len(model.history_) == 3
    assert np.isfinite(y_pred).all()


@both
def test_targets_keep_their_unit_and_shape(model, windows):
    X, y = windows
    model = clone(model)
    plain = model.fit(X, y).predict(X)
    assert model.region_names_ == list(y.columns)
    scaled = clone(model).fit(X, 1000.0 * y + 50.0).predict(X)
    np.testing.assert_allclose(scaled, 1000.0 * plain + 50.0, rtol=1e-3)
    assert clone(model).fit(X, y.iloc[:, 0].to_numpy()).predict(X).shape == (len(X),)


@both
def test_the_score_is_r2_averaged_over_regions(model, windows):
    X, y = windows
    model = clone(model).fit(X, y)
    assert model.score(X, y) == pytest.approx(r2_score(y, model.predict(X)))


def test_every_loss_trains(windows):
    X, y = windows
    for loss in ("mse", "mae", "correlation", {"mse": 0.1, "correlation": 1, "riemannian": 0.1}):
        model = make_beira(**{**PAPER, "max_epochs": 4, "lr": 1e-2}, loss=loss).fit(X, y)
        losses = model.history_[:, "train_loss"]
        assert losses[-1] < losses[0], loss


def test_net_params_reach_skorch_and_may_not_repeat_a_parameter(windows):
    X, y = windows
    model = make_beira(**PAPER, skorch_params={"optimizer": torch.optim.SGD}).fit(X, y)
    assert isinstance(model.net_.optimizer_, torch.optim.SGD)
    for name, own in (("lr", "lr"), ("train_split", "validation_fraction"), ("module", None)):
        with pytest.raises(ValueError, match=f"skorch_params may not hold '{name}'"):
            make_beira(**PAPER, skorch_params={name: 1}).fit(X, y)
        assert own is None or hasattr(model.training, own)


@both
def test_the_network_runs_where_it_is_told(model, windows):
    X, y = windows
    model = clone(model).fit(X, y)
    assert model.device_ == ("cuda" if torch.cuda.is_available() else "cpu")
    for device in ("tpu9", "gpu", "meta", "mps", "xpu", "privateuseone", "cuda:99"):
        with pytest.raises(
            ValueError, match=f"device='{device}' is not available here; use 'auto'"
        ):
            clone(model).set_params(device=device).fit(X, y)


@both
@pytest.mark.parametrize("delay", [0.0, 3600.0])
def test_progress_is_shown_only_in_long_fits(model, delay, windows, capsys, monkeypatch):
    X, y = windows
    monkeypatch.setattr("sklearn_beira.regressor.skorch_net.DELAY", delay)
    assert multiprocessing.current_process().name == "MainProcess"
    model = clone(model).set_params(verbose=True).fit(X, y)
    assert ("epoch" in capsys.readouterr().err) == (delay == 0.0 and hasattr(model, "history_"))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_taps": 50}, "n_taps must be odd, got 50"),
        ({"kernel_sizes": (3, 4)}, "kernel_sizes must be odd"),
        ({"kernel_sizes": (3,)}, "kernel_sizes needs one entry more than pool_sizes"),
        ({"pool_sizes": (0,)}, "pool_sizes must hold whole numbers of at least 1"),
        ({"mode": "one_to_many"}, "'mode' parameter of Autoencoder must be"),
        ({"loss": "huber"}, "unknown loss 'huber'"),
        ({"validation_fraction": 0.9}, "volumes are too few to set the last 90% of each"),
    ],
)
def test_bad_parameters_are_refused_in_fit(params, message, windows):
    X, y = windows
    with pytest.raises(ValueError, match=message):
        make_beira(**{**PAPER, **params}).fit(X, y)


@pytest.mark.parametrize("model", [DEFAULT, TUNED, make_beira(**PAPER)], ids=repr)
def test_bad_input_is_refused(model, windows):
    X, y = windows
    model = clone(model)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(X, y[:-1])
    with pytest.raises(ValueError, match="y contains NaN"):
        model.fit(X, np.where(np.arange(len(y)) == 3, np.nan, y.iloc[:, 0]))
    with pytest.raises(ValueError, match="extract regions from images with ROIExtractor"):
        model.fit(X, np.zeros((len(X), 2, 2, 2)))
    broken = np.array(X)
    broken[0, 0, 0] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        model.fit(broken, y)


@pytest.mark.parametrize("model", [DEFAULT, make_beira(**PAPER)], ids=repr)
def test_windows_unlike_those_of_the_training_are_refused(model, windows):
    X, y = windows
    model = clone(model).fit(X, y)
    with pytest.raises(ValueError, match=r"X has windows \[-8, 0\) s at 100 Hz, but .* \[-10.24"):
        model.predict(X.window(-8.0, 0.0))
    with pytest.raises(ValueError, match="X has 7 features, but BEIRARegressor is expecting 8"):
        clone(model).fit(EEGWindows.from_array(X, sfreq=100.0), y).predict(np.asarray(X)[:, :7])
    renamed = X.info.copy()
    renamed.rename_channels({renamed["ch_names"][0]: "A1"})
    with pytest.raises(ValueError, match="other channels than BEIRARegressor was fitted with"):
        model.predict(X.with_recordings(X.recordings, renamed, X.tokens))


def test_arrays_need_a_sampling_rate_and_tables_do_not(windows):
    X, y = windows
    with pytest.raises(ValueError, match=r"EEGWindows.from_array\(X, sfreq="):
        clone(DEFAULT).fit(np.asarray(X), y)
    table = np.square(np.asarray(X)).mean(axis=2)
    model = clone(DEFAULT).fit(table, y)
    assert model.predict(table).shape == y.shape
    assert model.closed_form_.bands == ["all"]


def test_a_table_of_amplitudes_is_read_by_its_squares():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 5)) * 1e-5
    y = 3 * X[:, 1] ** 2 / 1e-10 - 2 * X[:, 3] ** 2 / 1e-10 + 0.5 * rng.standard_normal(200)
    model = clone(DEFAULT).fit(X[:150], y[:150])
    assert pearson_r(y[150:], model.predict(X[150:])) > 0.95


def test_bands_are_those_that_are_asked_for(windows):
    X, y = windows
    assert clone(DEFAULT).fit(X, y).closed_form_.shares.shape == (3, 7)
    bands = Compact(bands={"slow": (2, 7), "fast": (15, 35)})
    model = clone(DEFAULT).set_params(architecture=bands).fit(X, y)
    assert model.closed_form_.bands == ["slow", "fast"]
    taps = model.network_.branches.bandpass.detach().cpu().numpy()
    response = np.abs(np.fft.rfft(taps, 500))  # 0.2 Hz a value
    assert set(np.argmax(response, axis=1) // 5) <= {*range(2, 8), *range(15, 36)}
    with pytest.raises(ValueError, match="band 'high' ends at 60 Hz, not below 50 Hz"):
        model.set_params(architecture__bands={"high": (40, 60)}).fit(X, y)


def test_windows_too_short_for_the_default_are_refused(windows):
    X, y = windows
    with pytest.raises(ValueError, match="windows of 120 samples are shorter than an FIR filter"):
        clone(DEFAULT).fit(X.window(-1.2, 0.0), y)


def test_the_paper_is_made_by_name():
    model = make_paper_beira(n_branches=4)
    assert isinstance(model.architecture, Autoencoder)
    expected = {"n_taps": 51, "mode": "many_to_many", "n_branches": 4, "kernel_sizes": (3, 5, 5, 3)}
    assert expected.items() <= clone(model).architecture.get_params().items()
    expected = {"max_epochs": 1500, "loss": "mse", "validation_fraction": 0.2}
    assert expected.items() <= clone(model).training.get_params().items()
    rng = np.random.default_rng(0)
    model = make_paper_beira(max_epochs=1, random_state=0, verbose=False)
    model.fit(rng.standard_normal((10, 30, 256)), rng.standard_normal((10, 1)))
    assert model.n_parameters_ == 245_057


@both
def test_a_fit_goes_on_from_another_model(model, windows):
    X, y = windows
    settings = {} if model.training is None else {"validation_fraction": 0.2}
    first = clone(model).set_params(training=Training(max_epochs=2, lr=1e-3, **settings)).fit(X, y)
    rows = np.flatnonzero(X.groups == 1)[:20]
    model = clone(model).set_params(training=Training(max_epochs=1, lr=1e-9, **settings))
    again = clone(model).fit(X[rows], y.iloc[rows], pretrained=first)
    alone = clone(model).fit(X[rows], y.iloc[rows])
    distance = [pearson_r(first.predict(X), m.predict(X)) for m in (again, alone)]
    assert distance[0] > max(distance[1], 0.5)


def test_another_model_has_to_fit(windows):
    X, y = windows
    first = clone(DEFAULT).fit(X, y)
    with pytest.raises(TypeError, match="pretrained must be a fitted BEIRARegressor, got dict"):
        clone(DEFAULT).fit(X, y, pretrained={})
    with pytest.raises(ValueError, match=r"another number of regions than .* \(3 against 2\)"):
        clone(DEFAULT).fit(X, y.iloc[:, :2], pretrained=first)
    with pytest.raises(ValueError, match=r"another regions than this fit"):
        clone(DEFAULT).fit(X, y.iloc[:, ::-1], pretrained=first)
    with pytest.raises(ValueError, match=r"another window than this fit .*\[-10.24, 0\)"):
        clone(DEFAULT).fit(X.window(-8.0, 0.0), y, pretrained=first)
    with pytest.raises(ValueError, match=r"another n_taps than this fit \(101 against 51\)"):
        clone(DEFAULT).set_params(architecture=Compact(n_taps=51)).fit(X, y, pretrained=first)
    with pytest.raises(ValueError, match="another architecture than this fit"):
        make_beira("autoencoder", **SMALL).fit(X, y, pretrained=first)
    other = clone(DEFAULT).set_params(architecture=Compact(n_branches=2))
    other.fit(X, y, pretrained=first)  # it chooses its branches anew
    trained = make_beira("eegnet", max_epochs=1, dropout=0.5).fit(X, y)
    with pytest.raises(ValueError, match=r"another dropout than this fit \(0.5 against 0.2\)"):
        make_beira("eegnet", max_epochs=1, dropout=0.2).fit(X, y, pretrained=trained)


def test_a_dataframe_of_regions_names_them(windows):
    X, y = windows
    frame = y.set_axis([1, 2, 3], axis="columns")
    assert clone(DEFAULT).fit(X, frame).region_names_ == ["1", "2", "3"]


@pytest.mark.parametrize("model", RIVALS, ids=repr)
def test_rivals_give_the_same_numbers_whatever_n_jobs(model, windows, set_num_threads):
    X, y = windows
    set_num_threads(1)  # as the processes have
    scores = [
        cross_val_score(model, X, y, cv=BlockedKFold(2), scoring=pearson_r_scorer, n_jobs=n_jobs)
        for n_jobs in (1, 2)
    ]
    np.testing.assert_array_equal(*scores)


def test_networks_of_the_own_volume_refuse_many_to_many(windows):
    X, y = windows
    with pytest.raises(ValueError, match=r"only the volume of a window.*set mode='many_to_one'"):
        BEIRARegressor(CustomNetwork(LogPower, mode="many_to_many")).fit(X, y)


def test_networks_without_branches_are_not_read(windows):
    X, y = windows
    model = clone(RIVALS[1]).set_params(training__max_epochs=1).fit(X, y)
    with pytest.raises(TypeError, match="has no branches to read"):
        read_branches(model, X)


def test_a_network_of_a_user_is_taken_as_a_class():
    rng = np.random.default_rng(0)
    power = rng.uniform(0.2, 2.0, 120)
    X = rng.standard_normal((120, 3, 128))
    X[:, 1] *= power[:, None]
    model = BEIRARegressor(
        CustomNetwork(LogPower, {"n_filters": 6, "dropout": 0.1}),
        training=Training(max_epochs=40, lr=3e-2),
        random_state=0,
        verbose=False,
    )
    model.fit(X[:90], power[:90])
    assert pearson_r(power[90:], model.predict(X[90:])) > 0.8
    network = model.network_
    assert network.spatial.out_features == 6
    assert network.dropout.p == 0.1
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    copy = clone(model)
    assert copy.architecture.network is LogPower
    np.testing.assert_array_equal(copy.fit(X[:90], power[:90]).predict(X), model.predict(X))


def test_networks_of_a_user_are_searched_like_any_other(windows):
    X, y = windows
    search = GridSearchCV(
        make_beira(**SMALL),
        {"architecture": [CustomNetwork(LogPower), "compact", CustomNetwork(EverySample)]},
        cv=BlockedKFold(2),
        scoring=pearson_r_scorer,
        n_jobs=2,
    )
    scores = search.fit(X, y).cv_results_["mean_test_score"]
    assert np.isfinite(scores).all()
    alone = cross_val_score(
        search.estimator.set_params(architecture=CustomNetwork(LogPower)), X, y, cv=search.cv,
        scoring=pearson_r_scorer,
    )  # fmt: skip
    assert scores[0] == pytest.approx(alone.mean(), abs=0)


def test_a_network_of_a_user_may_estimate_every_sample(windows):
    X, y = windows
    model = make_beira(CustomNetwork(EverySample, mode="many_to_many"), **SMALL).fit(X, y)
    assert model.predict(X).shape == y.shape
    eeg = torch.zeros(1, X.shape[1], X.shape[2])
    found = AtVolumes(model.network_)(eeg, torch.zeros(3, dtype=int), torch.tensor([3, 5, 900]))
    assert found.shape == (3, 3)


@pytest.mark.parametrize(
    ("architecture", "error", "message"),
    [
        (CustomNetwork(dict), TypeError, "derived from torch.nn.Module, got dict"),
        ("transformer", ValueError, "'architecture' parameter of BEIRARegressor"),
        (LogPower, ValueError, "'architecture' parameter of BEIRARegressor"),
        (CustomNetwork(LogPower, {"n_times": 3}), ValueError, "hold 'n_times'; fit sets it"),
        (
            CustomNetwork(LogPower, {"width": 3}),
            TypeError,
            "LogPower.*unexpected keyword.* 'width'",
        ),
        (CustomNetwork(NeedsWidth), TypeError, "NeedsWidth.* missing .* 'width'"),
        (
            CustomNetwork(WrongShape),
            ValueError,
            r"to \(2, 3\), expected \(2, 3, 1024\), that is .* own_volume_only = True",
        ),
    ],
)
def test_networks_that_cannot_work_are_refused_in_fit(architecture, error, message, windows):
    X, y = windows
    with pytest.raises(error, match=message):
        BEIRARegressor(architecture, verbose=False).fit(X, y)


# -- parameters of the parts -----------------------------------------------------------------------
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_architecture_and_a_training_are_parameters_like_any_other(name):
    architecture = ARCHITECTURES[name]()
    model = BEIRARegressor(architecture, training=Training(lr=0.1))
    copy = clone(model)
    assert copy.architecture is not architecture
    assert copy.architecture.get_params() == architecture.get_params()
    first = next(iter(architecture.get_params()))
    copy.set_params(**{f"architecture__{first}": 7}, training__lr=0.5)
    assert getattr(copy.architecture, first) == 7
    assert copy.training.lr == copy.get_params()["training__lr"] == 0.5
    assert model.training.lr == 0.1
    assert getattr(architecture, first) != 7
    assert len(BEIRARegressor().get_params(deep=False)) <= 12


def test_a_search_goes_through_sizes_and_learning_rates(windows):
    X, y = windows
    model = Pipeline([("window", Windower(8.0)), ("beira", make_beira(**PAPER))])
    grid = {"beira__architecture__encoder_width": [2, 4], "beira__training__lr": [1e-3, 1e-2]}
    search = GridSearchCV(model, grid, cv=BlockedKFold(2), scoring=pearson_r_scorer).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    best = search.best_estimator_[-1]
    assert best.architecture_.encoder_width == best.network_.encoder[0].shift.shape[-1]
    assert best.training.lr == search.best_params_["beira__training__lr"]


@pytest.mark.parametrize("name", [*ARCHITECTURES, "custom"])
def test_without_a_training_the_default_of_the_architecture_counts(name, windows):
    X, y = windows
    architecture = CustomNetwork(LogPower) if name == "custom" else name
    model = BEIRARegressor(architecture)
    training = model.get_training()
    if name == "compact":
        assert training is None
        return
    assert training.max_epochs >= 40
    if name == "eegnet":
        given = BEIRARegressor(EEGNet(), training=Training(**training.get_params()))
        given.set_params(random_state=0, verbose=False)
        model.set_params(random_state=0, verbose=False)
        np.testing.assert_array_equal(model.fit(X, y).predict(X), given.fit(X, y).predict(X))


def test_an_unknown_architecture_is_refused_before_fit_as_well():
    with pytest.raises(ValueError, match=r"architecture must be one of .*compact.*, got 'compcat'"):
        BEIRARegressor("compcat").get_training()


def test_a_model_predicts_by_the_architecture_that_it_was_fitted_with(windows):
    X, y = windows
    model = make_beira(**PAPER).fit(X, y)
    expected = model.predict(X)
    model.set_params(architecture__mode="many_to_one", architecture__n_branches=3)
    np.testing.assert_array_equal(model.predict(X), expected)


def test_a_fit_in_closed_form_forgets_the_training_of_an_earlier_one(windows):
    X, y = windows
    model = clone(TUNED).fit(X, y)
    assert model.net_.module_.network is model.network_
    model.set_params(training=None).fit(X, y)
    assert not hasattr(model, "net_")
    assert not hasattr(model, "history_")


def test_the_network_of_the_user_guide_works():
    """The page is run as it stands."""
    page = Path(__file__).parents[1] / "docs" / "user_guide" / "your_own_network.rst"
    names = {}
    for block in page.read_text().split(".. code-block:: python")[1:]:
        lines = block.splitlines()[1:]
        body = [line[4:] for line in lines if line.startswith("    ") or not line.strip()]
        stop = next((i for i, line in enumerate(lines) if line[:1].strip()), len(lines))
        exec("\n".join(body[:stop]), names)
    assert names["r"] > 0.3
    assert names["search"].best_params_["net__architecture__params"]["n_filters"] in (4, 8)


@pytest.mark.parametrize("link", ["power", "log"])
def test_a_long_study_is_read_in_parts_with_the_link_that_its_bold_has(monkeypatch, link):
    monkeypatch.setattr("sklearn_beira.regressor.reml.ROWS", 150)
    monkeypatch.setattr("sklearn_beira.regressor.closed_form._PART", 100)
    rng, sfreq, n = np.random.default_rng(0), 100.0, 60_000
    slow = gaussian_filter1d(rng.standard_normal(n), 100)
    size = np.exp(slow / slow.std())
    alpha = sosfiltfilt(butter(2, (8, 12), "bandpass", fs=sfreq, output="sos"), rng.normal(size=n))
    eeg = np.outer([1.0, 0.7, 0.4, -0.3], np.sqrt(size) * alpha / alpha.std())
    eeg = 1e-5 * (eeg + rng.standard_normal(eeg.shape))
    kernel = hrf_at(np.arange(0, 20, 1 / sfreq))
    bold = fftconvolve(np.log(size) if link == "log" else size, kernel)[:n]
    onsets = 21.0 + 2.0 * np.arange(285)
    y = bold[(onsets * sfreq).astype(int)]
    y = y / y.std() + 0.3 * rng.standard_normal(len(y))
    info = mne.create_info(4, sfreq, "eeg")
    X = EEGWindows([eeg], np.zeros(len(y), dtype=int), onsets, info, tmin=-20.0, tmax=0.0)
    model = BEIRARegressor().fit(X[:200], y[:200])
    assert np.corrcoef(model.predict(X[212:]), y[212:])[0, 1] > 0.7
    branches = model.network_.branches
    weight = model.network_.kernel[0].abs().sum(dim=1)
    is_log = branches.log_offset.isfinite()
    assert (weight[is_log].sum() > weight[~is_log].sum()) == (link == "log")


@pytest.mark.parametrize(("t_r", "step"), [(0.4, 5), (0.7, 3), (1.0, 2), (1.4, 1), (2.0, 1)])
def test_bold_of_fast_sequences_is_averaged_to_about_two_seconds(t_r, step):
    rng, n = np.random.default_rng(0), 400
    groups, onsets = np.repeat([0, 1], n // 2), 5.0 + t_r * np.tile(np.arange(n // 2), 2)
    here = np.delete(rng.permutation(n), np.arange(40))  # in any order, a tenth is missing
    eeg = 1e-5 * rng.standard_normal((2, 1, round(100 * (onsets.max() + 1))))
    X = EEGWindows([*eeg], groups, onsets, mne.create_info(1, 100.0, "eeg"), tmin=-4.0, tmax=0.0)
    y = np.c_[onsets, np.cos(2 * np.pi * 0.05 * onsets), rng.standard_normal(n), groups]
    few, means = average_volumes(X[here], y[here])
    if step == 1:
        np.testing.assert_array_equal(few.times, X.times[here])
        np.testing.assert_array_equal(means, y[here])
        return
    apart = np.diff(few.times)[np.diff(few.groups) == 0]
    assert np.median(apart) == pytest.approx(step * t_r)
    np.testing.assert_array_equal(means[:, 3], few.groups)  # no average crosses recordings
    # A volume stands for the time around it, and slow BOLD stays; noise becomes less.
    assert np.abs(means[:, 0] - few.times).max() < step * t_r / 2
    assert np.mean(means[:, 0] - few.times) == pytest.approx(0, abs=0.03 * step * t_r)
    assert np.corrcoef(means[:, 1], np.cos(2 * np.pi * 0.05 * few.times))[0, 1] > 0.99
    assert 0.7 < means[:, 2].var() * step < 1.7


def test_recordings_are_averaged_by_their_own_repetition_time():
    rng, lengths, t_rs = np.random.default_rng(0), (300, 60), (0.7, 2.0)
    groups = np.repeat([0, 1], lengths)
    onsets = np.concatenate([5.0 + t * np.arange(n) for t, n in zip(t_rs, lengths, strict=True)])
    eeg = 1e-5 * rng.standard_normal((2, 1, 22_000))
    X = EEGWindows([*eeg], groups, onsets, mne.create_info(1, 100.0, "eeg"), tmin=-4.0, tmax=0.0)
    y = rng.standard_normal((360, 1))
    few, means = average_volumes(X, y)
    assert np.bincount(few.groups).tolist() == [100, 60]
    np.testing.assert_array_equal(means[100:], y[300:])


@pytest.mark.parametrize("some", [[3, 4, 60, 60, 130], [], [149]])
def test_filters_are_read_where_they_are_asked_for(make_study, some):
    study = make_study(duration=330.0, sfreq=100.0)
    X, _ = align(study.raws, study.bolds, trigger="mri", tmin=-10, tmax=0, verbose="error")
    network = BEIRARegressor().fit(X[:40], np.arange(40.0)[:, None] % 7).network_
    pieces, few = cut_pieces(X), np.array(some, dtype=int)
    ((bank,),) = filter_banks(network, pieces, 1e-5, 100.0, [(8, 12)], [(1.5, 0.15)])
    filters = [Filter(np.eye(6)[k], 0, np.ones(bank.basis.shape[1])) for k in range(3)]
    every = read_filters(network, bank, filters, np.inf, pieces, 1e-5)
    found = read_filters(network, bank, filters, np.inf, pieces, 1e-5, few)
    np.testing.assert_allclose(found, every[few], rtol=1e-4, atol=1e-4)


def test_several_sets_of_delay_kernels_read_the_same_together_as_alone(make_study):
    study = make_study(duration=330.0, sfreq=100.0)
    X, _ = align(study.raws, study.bolds, trigger="mri", tmin=-10, tmax=0, verbose="error")
    network = BEIRARegressor().fit(X[:40], np.arange(40.0)[:, None] % 7).network_
    data = network, cut_pieces(X), 1e-5
    (banks,) = filter_banks(*data, 100.0, [(8, 12), (15, 20)], [(1.5, 0.15), (3.5, 0.4)])
    kinds = ["power", "log power", "covariance", "log covariance"]
    together = read_bands(network, banks, *data[1:], kinds)
    for bank, found in zip(banks, together, strict=True):
        (alone,) = read_bands(network, [bank], *data[1:], kinds)
        for kind in kinds:
            for a, b in zip(found[kind].blocks, alone[kind].blocks, strict=True):
                np.testing.assert_allclose(a, b, atol=1e-5)  # of float32
            assert found[kind].blocks[0].shape == (len(X), found[kind].scales[0][0].size)


def test_mean_covariances_of_a_part_of_the_study_are_nearly_those_of_all(make_study, monkeypatch):
    study = make_study(duration=330.0, sfreq=100.0)
    X, _ = align(study.raws, study.bolds, trigger="mri", tmin=-10, tmax=0, verbose="error")
    network = BEIRARegressor().fit(X[:40], np.arange(40.0)[:, None] % 7).network_
    pieces = cut_pieces(X, max_times=4000)
    options = network, pieces, 1e-5, 100.0, [(8, 12)], [(1.5, 0.15)], [[2, 3]]
    (whole,), (part,) = filter_banks(*options)
    monkeypatch.setattr("sklearn_beira.regressor.readings._MOST_TIMES", 8000)
    (fewer,), (same,) = filter_banks(*options)
    np.testing.assert_array_equal(same.covariances, part.covariances)
    error = np.linalg.norm(fewer.covariances - whole.covariances)
    assert 0 < error < 0.3 * np.linalg.norm(whole.covariances)


def test_parts_of_a_long_study_are_few_volumes_from_all_over_it(monkeypatch):
    def parts_of(*lengths):
        pieces = [SimpleNamespace(stops=np.zeros(n)) for n in lengths]
        n = sum(lengths)
        elapsed, column = np.r_[np.inf, np.ones(n - 1)], np.arange(n)[:, None]
        data = TrainingData(column, elapsed, column**0, pieces, column, (-3.0, 0.2), column[:, 0])
        return [(part.y[:, 0], part.elapsed, part.pieces) for _, part in data.parts()]

    assert parts_of(100, 600) == []
    ((rows, _, pieces),) = parts_of(900)  # a short repetition time
    assert len(rows) == 900
    assert len(pieces) == 1
    many = parts_of(*[160] * 40)
    assert [len(rows) for rows, *_ in many] == [320] * 3
    assert all(np.isinf(elapsed).sum() == 2 for _, elapsed, _ in many)
    assert len(np.unique(np.concatenate([rows for rows, *_ in many]))) == 960
    assert all(np.ptp(rows) > 3000 for rows, *_ in many)
