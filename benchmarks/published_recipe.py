"""The published recipe, written down layer by layer as torch has it, on a simulated run.

One network per region in a loop, ``nn.Conv1d`` everywhere, 512 random overlapping windows a pass,
BOLD interpolated to the EEG rate as target. It is what the faster ways are measured against:
``speed.py`` takes the network and the training step from here, and with --fast the same recipe is
run by AutoencoderNetwork, all regions at once.

The first 80 % of the volumes train, the last 20 % behind a gap of 30 s test. Every ten passes it
prints the r of each region at the test volumes, read from one pass over the test EEG, and the
processor time so far (training alone; on a GPU the time by the clock). Regions do not depend on
each other, so that two of eight cost a quarter.

``accuracy.py`` takes ``PublishedRecipe`` from here, the same as an estimator.

Run: python benchmarks/published_recipe.py --passes 100 --regions 2 --minutes 10 [--fast]
         [--device cuda [--precision high]]
"""

import argparse
import json
import time

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from sklearn.base import BaseEstimator, RegressorMixin
from torch import nn

from sklearn_beira import EEGFilter, align
from sklearn_beira.datasets import make_eeg_fmri
from sklearn_beira.evaluation.metrics import pearson_r
from sklearn_beira.regressor.batches import cut_pieces
from sklearn_beira.regressor.nets.autoencoder import AutoencoderNetwork

SFREQ, T_R = 100.0, 1.95
WINDOW, BATCH_SIZE, N_WINDOWS = 2048, 16, 512
LR = WEIGHT_DECAY = 3e-4
DELAY = 6.0  # s, from EEG to BOLD
TEST_SHARE, GAP = 0.2, 30.0
EVERY = 10  # passes between two looks at the test part


class PublishedNet(nn.Module):
    """The published network of one region.

    Parameters
    ----------
    n_channels : int
        EEG channels.
    rectifier : {"relu", "abs"}
        The released code has the first, the text the second.
    dropout : float
        Dropout in every block.
    """

    def __init__(self, n_channels, rectifier="relu", dropout=0.3):
        super().__init__()
        self.spatial = nn.Conv1d(n_channels, 16, 1)
        self.norm = nn.BatchNorm1d(16, affine=False)
        self.bandpass = nn.Conv1d(16, 16, 51, padding="same", groups=16, bias=False)
        self.band_norm = nn.BatchNorm1d(16, affine=False)
        self.rectifier = {"relu": torch.relu, "abs": torch.abs}[rectifier]
        self.lowpass = nn.Conv1d(16, 16, 51, padding="same", groups=16)
        self.encoder = nn.Sequential(
            ConvBlock(16, 128, 3, dropout),
            *(ConvBlock(128, 128, 5, dropout), nn.MaxPool1d(8)),
            *(ConvBlock(128, 128, 5, dropout), nn.MaxPool1d(8)),
            *(ConvBlock(128, 128, 3, dropout), nn.MaxPool1d(4)),
        )
        self.decoder = nn.Sequential(
            *(ConvBlock(128, 32, 3, dropout), nn.Upsample(scale_factor=4, mode="linear")),
            *(ConvBlock(32, 32, 5, dropout), nn.Upsample(scale_factor=8, mode="linear")),
            *(ConvBlock(32, 32, 5, dropout), nn.Upsample(scale_factor=8, mode="linear")),
        )
        self.output = nn.Conv1d(32, 1, 1)

    def forward(self, eeg):
        """Map EEG (n_windows, n_channels, n_times) to BOLD (n_windows, 1, n_times)."""
        x = self.band_norm(self.bandpass(self.norm(self.spatial(eeg))))
        x = self.lowpass(self.rectifier(x))
        return self.output(self.decoder(self.encoder(x)))


class ConvBlock(nn.Module):
    """Convolution, layer norm over the features, GELU, dropout."""

    def __init__(self, n_in, n_out, size, dropout):
        super().__init__()
        self.conv = nn.Conv1d(n_in, n_out, size, padding="same", bias=False)
        self.norm = nn.LayerNorm(n_out)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        """Map (n_windows, n_in, n_times) to (n_windows, n_out, n_times)."""
        x = self.norm(self.conv(x).transpose(1, 2)).transpose(1, 2)
        return self.dropout(nn.functional.gelu(x))


class PublishedNets(nn.ModuleList):
    """The networks of all regions, one after the other.

    Parameters
    ----------
    n_channels, n_rois : int
        EEG channels and BOLD regions.
    **params
        Parameters of ``PublishedNet``.
    """

    def __init__(self, n_channels, n_rois, **params):
        super().__init__(PublishedNet(n_channels, **params) for _ in range(n_rois))

    def forward(self, eeg):
        """Map EEG (n_windows, n_channels, n_times) to BOLD (n_windows, n_rois, n_times)."""
        return torch.cat([net(eeg) for net in self], dim=1)


def make_optimizer(net):
    """Make the optimizer of the recipe for a network."""
    return torch.optim.AdamW(net.parameters(), lr=LR, weight_decay=WEIGHT_DECAY)


def train_step(net, optimizer, eeg, bold):
    """Take one step on EEG (n_windows, n_channels, n_times) and BOLD (n_windows, n_rois, n_times).

    The loss is the sum over regions of their mean squared errors, so that a region learns as it
    would alone. Returns the mean.
    """
    loss = nn.functional.mse_loss(net(eeg), bold) * bold.shape[1]
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item() / bold.shape[1]


def timer(device):
    """Find what tells the seconds of work: processor time, by the clock where a GPU does it."""
    return time.perf_counter if torch.device(device).type == "cuda" else time.process_time


def set_precision(precision):
    """Set how many digits GPUs read, in matrix products and in convolutions.

    Parameters
    ----------
    precision : {"highest", "high", "medium"}
        As ``torch.set_float32_matmul_precision`` has it. Left to themselves convolutions read TF32.
    """
    torch.set_float32_matmul_precision(precision)
    torch.backends.cudnn.allow_tf32 = precision != "highest"


def train(runs, n_passes, seed, network=PublishedNets, report=None, device="cpu"):
    """Train on random windows of runs.

    Parameters
    ----------
    runs : list of tuple of ndarray, ((n_channels, n_times), (n_rois, n_times))
        EEG divided by its SD; BOLD one delay later at the rate of the EEG, z-scored. Windows begin
        anywhere in the runs, and do not go from one to the next.
    n_passes : int
        Passes of 512 windows.
    seed : int
        Determines initial weights, windows and dropout.
    network : type
        Class of the network, called with the number of channels and of regions.
    report : callable, optional
        Called as ``report(n, net, seconds)`` after pass n, with the seconds of the training so far
        (see ``timer``).
    device : str
        Where the network and the runs lie.

    Returns
    -------
    net : nn.Module
        Trained network.

    Raises
    ------
    ValueError
        If no run is as long as a window.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    eeg, bold = (
        torch.as_tensor(np.concatenate(series, axis=1), dtype=torch.float32, device=device)
        for series in zip(*runs, strict=True)
    )
    ends = np.cumsum([one.shape[1] for one, _ in runs])
    firsts = [np.arange(*span) for span in zip(np.r_[0, ends[:-1]], ends - WINDOW + 1, strict=True)]
    firsts = np.concatenate(firsts)
    if not len(firsts):
        raise ValueError(f"no run has the {WINDOW} samples of a window.")
    net = network(len(eeg), len(bold)).to(device)
    optimizer = make_optimizer(net)
    now, seconds = timer(device), 0.0
    for n in range(1, n_passes + 1):
        started = now()
        net.train()
        for batch in firsts[rng.integers(len(firsts), size=(N_WINDOWS // BATCH_SIZE, BATCH_SIZE))]:
            windows = [slice(first, first + WINDOW) for first in batch]
            train_step(
                net,
                optimizer,
                torch.stack([eeg[:, window] for window in windows]),
                torch.stack([bold[:, window] for window in windows]),
            )
        seconds += now() - started
        if report is not None:
            report(n, net, seconds)
    return net


def predict(net, eeg, samples):
    """Predict BOLD at samples of one recording, all in one pass.

    Parameters
    ----------
    net : nn.Module
        Trained network.
    eeg : ndarray of shape (n_channels, n_times)
        EEG, scaled as in training.
    samples : ndarray of shape (n_volumes,)
        Samples at which the estimates are read.

    Returns
    -------
    bold : ndarray of shape (n_volumes, n_rois)
        Estimates, one delay after the samples.
    """
    n_used = eeg.shape[1] - eeg.shape[1] % 256  # what the poolings divide
    dropped = eeg.shape[1] - n_used
    net.eval()
    with torch.no_grad():
        device = next(net.parameters()).device
        bold = net(torch.as_tensor(eeg[None, :, dropped:], dtype=torch.float32, device=device))[0]
    return bold.cpu().numpy()[:, np.asarray(samples) - dropped].T


class PublishedRecipe(RegressorMixin, BaseEstimator):
    """The published recipe behind a filter at 100 Hz, by AutoencoderNetwork.

    What it is given in ``fit`` are the training volumes of a fold: BOLD is interpolated between
    those that follow each other, and training windows lie in their EEG. A prediction reads the EEG
    of the windows that it is given, each continuous piece in one pass.

    Parameters
    ----------
    n_passes : int
        Passes of 512 windows.
    random_state : int
        Determines initial weights, windows and dropout.
    device : str
        Where it is trained.
    """

    def __init__(self, n_passes=1500, random_state=0, device="cpu"):
        self.n_passes = n_passes
        self.random_state = random_state
        self.device = device

    def fit(self, X, y):
        """Train on EEGWindows that end at their volumes, and their BOLD (n_volumes[, n_rois])."""
        y = np.asarray(y, dtype=float)
        self.shape_, y = y.shape[1:], y.reshape(len(y), -1)
        self.mean_, self.scale_ = y.mean(axis=0), y.std(axis=0)
        runs = []
        for eeg, samples, rows in self._pieces(X):
            at = np.arange(samples[0], samples[-1] + 1)
            bold = CubicSpline(samples, (y[rows] - self.mean_) / self.scale_)(at).T
            runs.append((eeg[:, at], bold))
        self.eeg_scale_ = np.concatenate([eeg for eeg, _ in runs], axis=1).std()
        runs = [(eeg / self.eeg_scale_, bold) for eeg, bold in runs]
        self.net_ = train(
            runs, self.n_passes, self.random_state, AutoencoderNetwork, device=self.device
        )
        return self

    def predict(self, X):
        """Predict BOLD (n_volumes[, n_rois]) of EEGWindows."""
        bold = np.empty((len(X), len(self.mean_)))
        for eeg, samples, rows in self._pieces(X):
            bold[rows] = predict(self.net_, eeg / self.eeg_scale_, samples)
        return (bold * self.scale_ + self.mean_).reshape(len(X), *self.shape_)

    def _pieces(self, X):
        """Continuous EEG, the samples whose estimates are those of its volumes, and their rows."""
        longest = max(recording.shape[1] for recording in X.recordings)
        for piece in cut_pieces(X, max_times=longest):
            eeg = np.asarray(piece.eeg, dtype=np.float64)
            yield eeg, piece.stops - 1 - round(DELAY * SFREQ), piece.rows


def make_study(minutes, n_rois, ceiling, seed):
    """Simulate a run of eight regions, keep the first ``n_rois``, and split it in time.

    Returns
    -------
    training : tuple of (eeg, bold)
        For ``train``.
    test : tuple of (eeg, samples, bold)
        EEG and samples for ``predict``; acquired BOLD (n_volumes, n_rois) there.
    """
    data = make_eeg_fmri(duration=60 * minutes, t_r=T_R, noise_ceiling=ceiling, random_state=seed)
    X, y = align(data.raws, data.bolds, trigger="mri", tmin=-DELAY, tmax=0.0, verbose="error")
    eeg = EEGFilter(1, 45, sfreq=SFREQ).fit_transform(X).recordings[0].astype(np.float64)
    y = np.asarray(y)[:, :n_rois]
    first_test = round(len(y) * (1 - TEST_SHARE))
    n_train = np.searchsorted(X.times, X.times[first_test] - GAP)
    y = (y - y[:n_train].mean(axis=0)) / y[:n_train].std(axis=0)

    # The estimate at sample t is that of BOLD one delay later.
    samples = np.round((X.times - DELAY) * SFREQ).astype(int)
    seen = slice(samples[0], samples[n_train - 1] + 1)
    eeg /= eeg[:, seen].std()
    at = np.arange(seen.start, seen.stop) / SFREQ + DELAY
    bold = CubicSpline(X.times[:n_train], y[:n_train])(at).T
    # The test EEG starts right behind that of the training.
    unseen = slice(seen.stop, None)
    test = eeg[:, unseen], samples[first_test:] - seen.stop, y[first_test:]
    return (eeg[:, seen], bold), test


def main(args):
    torch.set_num_threads(args.threads)
    set_precision(args.precision)
    training, (eeg, samples, bold) = make_study(args.minutes, args.regions, args.ceiling, args.seed)
    network = AutoencoderNetwork if args.fast else PublishedNets
    print(
        f"{network.__name__}, {args.regions} regions, {len(eeg)} channels, training on "
        f"{training[0].shape[1] / SFREQ:.0f} s, testing on {len(bold)} volumes"
    )
    result = {**vars(args), "n_test_volumes": len(bold), "looks": []}

    def report(n, net, seconds):
        if n % EVERY and n != args.passes:
            return
        r = pearson_r(bold, predict(net, eeg, samples), multioutput="raw_values")
        result["looks"].append({"passes": n, "seconds": seconds, "r": r.tolist()})
        regions = " ".join(f"{value:6.3f}" for value in r)
        print(f"{n:5d} passes {seconds:8.1f} s   mean r {r.mean():6.3f}   {regions}", flush=True)
        if args.out:
            with open(args.out, "w") as file:
                json.dump(result, file, indent=1)

    train([training], args.passes, args.seed, network, report, args.device)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--passes", type=int, default=100)
    parser.add_argument("--regions", type=int, default=8, help="how many of the eight")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--ceiling", type=float, default=0.8, help="noise ceiling")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--fast", action="store_true", help="the same recipe with AutoencoderNetwork"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--precision", choices=["highest", "high", "medium"], default="highest",
        help="of matrix products, as torch.set_float32_matmul_precision has it",
    )  # fmt: skip
    parser.add_argument("--out", help="path of a JSON file for the results")
    main(parser.parse_args())
