"""How fast is it? One section per question; a section prints its rows.

Everything that is compared is run in turn in one process, and the medians are printed, so that
what else the machine does hits all alike. Ratios are those of medians, by the clock and in
processor time. With one thread the second is the fairer one on a busy machine.

On a GPU, seconds end when it has done its work; processor time is that of the CPU beside it.
With --precision high or medium matrix products and convolutions there read fewer digits, see
``precision.py``.

Run: OMP_NUM_THREADS=1 python benchmarks/speed.py [section ...] [--quick] [--threads 2]
         [--device cuda [--precision high]]
"""

import argparse
import time
from statistics import median

import speed_default
import torch
from published_recipe import (
    BATCH_SIZE,
    WINDOW,
    PublishedNets,
    make_optimizer,
    set_precision,
    train_step,
)
from torch.utils.flop_counter import FlopCounterMode

from sklearn_beira.regressor.nets.autoencoder import AutoencoderNetwork

N_CHANNELS, N_ROIS = 30, 8


def training_step(args):
    """A training step of the paper's network, as published and as AutoencoderNetwork."""
    n_rois, n_windows, n_runs = (2, 4, 3) if args.quick else (N_ROIS, BATCH_SIZE, 5)
    print(f"{n_rois} regions, {N_CHANNELS} channels, batch of {n_windows} x {WINDOW}, AdamW")
    torch.manual_seed(0)
    eeg = torch.randn(n_windows, N_CHANNELS, WINDOW).to(args.device)
    bold = torch.randn(n_windows, n_rois, WINDOW).to(args.device)
    nets = {
        "published": PublishedNets(N_CHANNELS, n_rois).to(args.device),
        "AutoencoderNetwork": AutoencoderNetwork(N_CHANNELS, n_rois).to(args.device),
    }
    steps, products = {}, {}
    for name, net in nets.items():
        steps[name] = _step(net, make_optimizer(net), eeg, bold)
        # The counter sees its own thread only.
        torch.set_num_threads(1)
        with FlopCounterMode(display=False) as counter:
            steps[name]()
        torch.set_num_threads(args.threads)
        products[name] = counter.get_total_flops() / 1e9
    # Products of matrices: a large one, and those that most of the work of a step comes in.
    rates = {
        "product 2048^3": _product(args.device, 1, 2048, 2048, 2048),
        "products 8 x (512 x 128 x 128)": _product(args.device, 8, WINDOW // 4, 128, 128),
        "products 8 x (128 x 512 x 128)": _product(args.device, 8, 128, WINDOW // 4, 128),
    }
    clock, processor = interleaved({**steps, **{k: run for k, (run, _) in rates.items()}}, n_runs)

    print(f"{'':32s}{'s':>9s}{'ratio':>7s}{'proc. s':>9s}{'ratio':>7s}{'GFLOP':>8s}{'GFLOP/s':>9s}")
    products |= {name: n_products for name, (_, n_products) in rates.items()}
    for name, seconds in clock.items():
        ratios = "", ""
        if name in nets:
            ratios = clock["published"] / seconds, processor["published"] / processor[name]
            ratios = tuple(f"{ratio:.2f}" for ratio in ratios)
        print(
            f"{name:32s}{seconds:9.4f}{ratios[0]:>7s}{processor[name]:9.4f}{ratios[1]:>7s}"
            f"{products[name]:8.2f}{products[name] / processor[name]:9.1f}"
        )
    print("(GFLOP of convolutions and matrix products only, per second of processor time)")
    for dtype in (torch.float64, torch.float32):
        outputs, gradients = differences(dtype, eeg[:2], bold[:2])
        print(
            f"{str(dtype)[6:]}, no dropout: outputs differ by {outputs:.1e} of their norm, "
            f"gradients by {gradients[0]:.1e} (median over parameters) to {gradients[1]:.1e}"
        )


def _step(net, optimizer, eeg, bold):
    return lambda: train_step(net, optimizer, eeg, bold)


def _product(device, n_products, n_rows, n_inner, n_columns):
    """A run of a batch of matrix products, and its GFLOP."""
    a = torch.randn(n_products, n_rows, n_inner, device=device)
    b = torch.randn(n_products, n_inner, n_columns, device=device)
    out = torch.empty(n_products, n_rows, n_columns, device=device)
    n_repeats = max(1, round(10e9 / (2 * a.numel() * n_columns)))

    def run():
        for _ in range(n_repeats):
            torch.bmm(a, b, out=out)
        if out.is_cuda:
            torch.cuda.synchronize()

    return run, 2e-9 * a.numel() * n_columns * n_repeats


def differences(dtype, eeg, bold):
    """Compare a AutoencoderNetwork with published networks of the same weights.

    Returns
    -------
    outputs : float
        Norm of the difference of outputs, relative to the norm.
    gradients : tuple of float
        The same of the gradients of each parameter: median and largest. In single precision they
        are those of a max-pool that takes another one of two nearly equal samples.
    """
    n_rois = bold.shape[1]
    plain = PublishedNets(N_CHANNELS, n_rois, dropout=0.0).to(bold.device, dtype)
    net = AutoencoderNetwork(N_CHANNELS, n_rois, dropout=0.0).to(bold.device, dtype)
    with torch.no_grad():
        for mine, theirs in zip(net.parameters(), stacked(plain, "data", net), strict=True):
            mine.copy_(theirs)
    outputs = [module(eeg.to(dtype)) for module in (plain, net)]
    for output in outputs:
        torch.nn.functional.mse_loss(output, bold.to(dtype)).backward()
    errors = [
        relative(mine.grad, theirs)
        for (name, mine), theirs in zip(
            net.named_parameters(), stacked(plain, "grad", net), strict=True
        )
        if name != "branches.spatial_bias"  # the batch norm takes it out: its gradient is 0
    ]
    return relative(outputs[1], outputs[0]).item(), (median(errors).item(), max(errors).item())


def relative(found, expected):
    """Norm of the difference relative to that of what is expected."""
    return ((found - expected).norm() / expected.norm()).detach()


def stacked(plain, what, net):
    """Weights ("data") or gradients ("grad") of published networks, stacked as in ours."""

    def layer(get):
        return torch.stack([getattr(get(one), what) for one in plain])

    found = {
        "output": layer(lambda one: one.output.weight),
        "output_bias": layer(lambda one: one.output.bias),
        "branches.spatial": layer(lambda one: one.spatial.weight),
        "branches.spatial_bias": layer(lambda one: one.spatial.bias),
        "branches.bandpass": layer(lambda one: one.bandpass.weight),
        "branches.lowpass": layer(lambda one: one.lowpass.weight),
        "branches.lowpass_bias": layer(lambda one: one.lowpass.bias),
    }
    for part, places in (("encoder", (0, 1, 3, 5)), ("decoder", (0, 2, 4))):
        for i, place in enumerate(places):

            def block(one, part=part, place=place):
                return getattr(one, part)[place]

            weight = layer(lambda one, block=block: block(one).conv.weight)
            found[f"{part}.{i}.weight"] = weight.permute(0, 3, 2, 1)
            found[f"{part}.{i}.scale"] = layer(lambda one, block=block: block(one).norm.weight)
            found[f"{part}.{i}.shift"] = layer(lambda one, block=block: block(one).norm.bias)
    return [found[name].reshape(p.shape) for name, p in net.named_parameters()]


def interleaved(runs, n_runs):
    """Run functions in turn, after one round that does not count.

    Parameters
    ----------
    runs : dict of callable
        What is timed.
    n_runs : int
        Rounds.

    Returns
    -------
    clock, processor : dict of float
        Median seconds of each, by the clock and of processor time.
    """
    seconds = {name: [] for name in runs}
    for i in range(n_runs + 1):
        for name, run in runs.items():
            started = time.perf_counter(), time.process_time()
            run()
            if i:
                seconds[name].append(
                    (time.perf_counter() - started[0], time.process_time() - started[1])
                )
    return tuple(
        {name: median(pair[which] for pair in pairs) for name, pairs in seconds.items()}
        for which in (0, 1)
    )


LAST = "time_to_accuracy"  # needs a file of published_recipe.py, so it runs on request only
SECTIONS = [training_step, *speed_default.SECTIONS]


def name_of(device):
    """Name of a device, as its maker calls it where that is known."""
    cuda = torch.device(device).type == "cuda"
    return torch.cuda.get_device_name(device) if cuda else device


def main(args):
    torch.set_num_threads(args.threads)
    set_precision(args.precision)
    print(
        f"torch {torch.__version__}, {args.threads} thread(s), {name_of(args.device)}, "
        f"precision of products: {args.precision}"
    )
    for section in SECTIONS:
        wanted = section.__name__ in args.sections if args.sections else section.__name__ != LAST
        if wanted:
            print(f"\n{section.__name__}: {section.__doc__.splitlines()[0]}")
            section(args)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [section.__name__ for section in SECTIONS]
    parser.add_argument("sections", nargs="*", metavar="section", help=", ".join(names))
    parser.add_argument("--quick", action="store_true", help="smaller, for a look")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="of all networks, such as cuda")
    parser.add_argument(
        "--precision", choices=["highest", "high", "medium"], default="highest",
        help="of matrix products, as torch.set_float32_matmul_precision has it",
    )  # fmt: skip
    parser.add_argument("--published", help="time_to_accuracy: file that published_recipe.py wrote")
    parser.add_argument(
        "--step-seconds",
        type=float,
        help="time_to_accuracy: seconds of a published step, from training_step (processor time, "
        "by the clock on a GPU)",
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.sections) - set(names):
        parser.error(f"unknown section {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    if LAST in arguments.sections and not (arguments.published and arguments.step_seconds):
        parser.error(f"{LAST} needs --published and --step-seconds")
    main(arguments)
