"""Live predictions, and the screen that shows them."""

from datetime import datetime

import matplotlib as mpl
from matplotlib.backends.registry import BackendFilter, backend_registry

from .._utils.extras import import_extra
from ..persistence import load_model
from ..realtime.session import run_live


def run(args) -> int:
    """Predict until the session ends.

    Parameters
    ----------
    args : argparse.Namespace
        Parsed options.

    Returns
    -------
    status : int
        0.
    """
    import_extra("mne_lsl.lsl", "python -m sklearn_beira live", "realtime")
    log = args.log or f"beira_live_{datetime.now():%Y%m%d-%H%M}.tsv"
    facts = run_live(
        load_model(args.model),
        args.stream,
        name=args.name,
        step=args.step,
        subject=args.subject,
        regions=args.regions,
        feedback=args.feedback,
        log=log,
        minutes=args.minutes,
        say=lambda text: print(text, flush=True),
    )
    print(
        f"{facts.n_predictions} predictions in {log}, from {facts.n_samples} samples of EEG; "
        f"{facts.n_lost} were lost."
    )
    return 0


def show(args) -> int:
    """Show predictions until the window is closed.

    Parameters
    ----------
    args : argparse.Namespace
        Parsed options.

    Returns
    -------
    status : int
        0.
    """
    import_extra("mne_lsl.lsl", "python -m sklearn_beira screen", "realtime")
    if args.web:
        mpl.use("WebAgg")
        mpl.rcParams.update({"webagg.port": args.port, "webagg.open_in_browser": False})
    elif mpl.get_backend().lower() not in map(
        str.lower, backend_registry.list_builtin(BackendFilter.INTERACTIVE)
    ):
        raise ValueError("no window can be opened here; use --web, and open the page in a browser.")
    from ..realtime.screen import show_live

    show_live(args.stream, minutes=args.minutes)
    return 0
