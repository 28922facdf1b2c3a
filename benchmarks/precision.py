"""What do a GPU's fast matrix products cost in accuracy? Emulated, so that no GPU is needed.

GPUs multiply matrices several times faster when they read their entries with fewer digits, and sum
in float32 all the same: with 10 bits of fraction (TF32, ``torch.set_float32_matmul_precision(
"high")``) or 7 (bfloat16, ``"medium"``). Here the entries of all matrix products are rounded so,
in both directions, and everything else stays what it is. How fast it is this cannot tell.

"step"      one step of the published network without dropout: output and gradients against
            float64. The gradients that differ most are those of a max-pool that takes the other
            of two nearly equal samples.
"recipe"    r of one region after --passes of the published recipe (``published_recipe.py``, five
            minutes, ceiling .8), from two initial weights.
"models"    mean r of EEGNet and of the default over five blocks and eight regions
            (``accuracy.py``, simulated, five minutes, ceiling .65), and how the default's
            predictions correlate with those of float32.

All seeds are of development. Run: OMP_NUM_THREADS=1 python benchmarks/precision.py [section ...]
"""

import argparse
from statistics import median
from types import SimpleNamespace

import accuracy
import numpy as np
import torch
import worlds
from published_recipe import BATCH_SIZE, WINDOW, make_study, predict, train
from speed import relative
from torch.utils._python_dispatch import TorchDispatchMode

from sklearn_beira import compare
from sklearn_beira.evaluation.metrics import pearson_r
from sklearn_beira.evaluation.splitters import BlockedKFold
from sklearn_beira.regressor.nets.autoencoder import AutoencoderNetwork

FRACTION_BITS = {"float32": 23, "TF32": 10, "bfloat16": 7}
_ATEN = torch.ops.aten
PRODUCTS = {
    getattr(_ATEN, name).default
    for name in ("mm", "bmm", "addmm", "baddbmm", "convolution", "convolution_backward")
}


class Rounded(TorchDispatchMode):
    """Inside, matrix products read float32 with fewer bits; ``count`` tells how many did."""

    def __init__(self, precision):
        super().__init__()
        self.n_lost, self.count = 23 - FRACTION_BITS[precision], 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func in PRODUCTS and self.n_lost:
            self.count += 1
            args = [self.round(a) if isinstance(a, torch.Tensor) else a for a in args]
        return func(*args, **(kwargs or {}))

    def round(self, x):
        """Round to the nearest, ties to even."""
        if x.dtype != torch.float32:
            return x
        bits = x.contiguous().view(torch.int32)
        odd = (bits >> self.n_lost) & 1
        kept = (bits + (1 << (self.n_lost - 1)) - 1 + odd) & -(1 << self.n_lost)
        return kept.view(torch.float32)


def step(args):
    """A step of the published network against float64: relative errors of output and gradients."""
    torch.manual_seed(0)
    eeg, bold = torch.randn(BATCH_SIZE // 4, 30, WINDOW), torch.randn(BATCH_SIZE // 4, 2, WINDOW)
    net = AutoencoderNetwork(30, 2, dropout=0.0)
    exact = AutoencoderNetwork(30, 2, dropout=0.0).double()
    exact.load_state_dict(net.state_dict())
    expected = _run_step(exact, eeg.double(), bold.double())
    print(
        f"{'':10s}{'output':>10s}{'gradients: median':>20s}{'largest':>10s}{'cosine of all':>16s}"
    )
    for precision in FRACTION_BITS:
        with Rounded(precision):
            found = _run_step(net, eeg, bold)
        output, *errors = (relative(a, b).item() for a, b in zip(found, expected, strict=True))
        flat = [torch.cat([g.double().flatten() for g in some[1:]]) for some in (found, expected)]
        print(
            f"{precision:10s}{output:10.1e}{median(errors):20.1e}{max(errors):10.1e}"
            f"{torch.cosine_similarity(*flat, dim=0).item():16.5f}"
        )


def _run_step(net, eeg, bold):
    """Output and gradients; without that of a bias that a batch norm takes out, which is 0."""
    net.zero_grad()
    output = net(eeg)
    torch.nn.functional.mse_loss(output, bold).backward()
    named = net.named_parameters()
    return output, *(p.grad.clone() for name, p in named if name != "branches.spatial_bias")


def recipe(args):
    """r of the first region after the published recipe, at two seeds of the initial weights."""
    training, (eeg, samples, bold) = make_study(minutes=5, n_rois=1, ceiling=0.8, seed=0)
    for precision in FRACTION_BITS:
        found = []
        for seed in (0, 1):
            with Rounded(precision):
                net = train([training], args.passes, seed, AutoencoderNetwork)
            found.append(pearson_r(bold, predict(net, eeg, samples)))
        print(f"{precision:10s} {found[0]:6.3f} {found[1]:6.3f}", flush=True)


def models(args):
    """Mean r of EEGNet and of the default, by seed of the study."""
    cv, plain = BlockedKFold(worlds.N_BLOCKS), {}
    for name in ("EEGNet", "beira"):
        for precision in FRACTION_BITS:
            r, same = [], []
            for seed in (10, 11):
                X, y, _ = worlds.simulated(seed, minutes=5, noise_ceiling=0.65)
                options = SimpleNamespace(passes=None)
                model = accuracy.build(accuracy.MODELS[name], options, seed)
                with Rounded(precision) as rounded:
                    found = compare({name: model}, X, y, cv=cv, null=None, verbose=False)
                if precision != "float32" and not rounded.count:
                    raise RuntimeError(f"{name} used no matrix product that was rounded.")
                r.append(found.table.query("scope == 'pooled'")["r"].mean())
                predicted = found.predictions
                reference = plain.setdefault((name, seed), predicted[name])
                same.append(pearson_r(reference, predicted[name], multioutput="raw_values").min())
            r = " ".join(f"{value:6.3f}" for value in r)
            print(
                f"{name:8s} {precision:10s} r {r}   least correlation with the predictions of "
                f"float32 {np.min(same):.5f}",
                flush=True,
            )


SECTIONS = {"step": step, "recipe": recipe, "models": models}


def main(args):
    torch.set_num_threads(1)  # what other threads compute would not be rounded
    for name in args.sections or SECTIONS:
        print(f"\n{name}: {SECTIONS[name].__doc__.splitlines()[0]}", flush=True)
        SECTIONS[name](args)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sections", nargs="*", choices=[*SECTIONS, []], metavar="section")
    parser.add_argument("--passes", type=int, default=10, help="of the published recipe (10)")
    main(parser.parse_args())
