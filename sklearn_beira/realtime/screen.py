"""A screen that shows predictions as they come."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import FuncAnimation

from .._utils.extras import import_extra
from .._utils.numbers import standardize
from ..viz.style import COLORS, clean
from .names import EXTRAS, NAME

_GOOD, _BAD = COLORS[2], COLORS[5]
_LEAST = 0.8  # quality below which the EEG is to be looked at
_LATE = 3.0  # steps without a prediction after which the screen says so
_INTERVAL = 250  # ms between drawings
_SPREAD = 3.0  # SD between neighboring regions
_MARGIN = 4.0  # SD above the first and below the last


class Screen:
    """Time courses of regions, the quality of the EEG and the feedback, in one figure.

    Parameters
    ----------
    columns : list of str
        Names of the regions, and the other columns of the stream.
    minutes : float
        Time that is shown.
    """

    def __init__(self, columns, minutes=5.0):
        self.regions, self.seconds = list(columns[: -len(EXTRAS)]), 60.0 * minutes
        self.rows = np.zeros((0, 1 + len(columns)))
        n = len(self.regions)
        self.fig, axes = plt.subplot_mosaic(
            [["head", "head"], ["bold", "feedback"], ["quality", "feedback"]],
            width_ratios=[12, 1],
            height_ratios=[0.6, 8, 1],
            figsize=(10.0, min(2.0 + 0.45 * n, 9.0)),
            layout="constrained",
        )
        if self.fig.canvas.manager is not None:
            self.fig.canvas.manager.set_window_title(NAME)
        axes["head"].set_axis_off()
        self.head = axes["head"].text(
            0.0, 0.5, "Waiting for the first prediction.", fontsize="x-large", va="center"
        )
        ax = clean(axes["bold"])
        self.lines = [
            ax.plot([], [], color=COLORS[k % 6], marker="o", ms=2.5, lw=1.2)[0] for k in range(n)
        ]
        ax.set_yticks(-_SPREAD * np.arange(n), self.regions, fontsize="medium" if n < 20 else 6)
        ax.set(xlim=(-self.seconds, 0.0), ylim=(-_SPREAD * (n - 1) - _MARGIN, _MARGIN))
        ax.tick_params(labelbottom=False)
        ax.grid(axis="y", color="0.92")
        ax.set_title("Predicted BOLD, in SD of what is shown", fontsize="medium", loc="left")
        ax = clean(axes["quality"])
        ax.sharex(axes["bold"])
        self.quality = ax.plot([], [], color=_GOOD, marker="o", ms=2.5, ls="")[0]
        self.poor = ax.plot([], [], color=_BAD, marker="X", ms=5, ls="")[0]
        ax.axhline(_LEAST, color="0.8", lw=0.8, zorder=0)
        ax.set(ylim=(-0.1, 1.15), yticks=[0, 1], ylabel="quality", xlabel="s before now")
        ax = axes["feedback"]
        self.bar = ax.bar([0.0], [0.0], width=1.0, color=COLORS[0])[0]
        ax.axhline(0.0, color="k", lw=0.8)
        ax.set(ylim=(-3.2, 3.2), xlim=(-0.5, 0.5), xticks=[])
        ax.yaxis.tick_right()
        ax.set_title("feedback, z", fontsize="medium")

    def add(self, stamps, rows):
        """Take predictions (n, n_columns) of moments (n,) of the LSL clock."""
        new = np.column_stack([stamps, rows])
        self.rows = np.concatenate([self.rows, new])
        newest = self.rows[-1, 0]  # later ones are of a clock that went back
        is_shown = (self.rows[:, 0] > newest - self.seconds) & (self.rows[:, 0] <= newest)
        self.rows = self.rows[is_shown]

    def draw(self, now):
        """Draw all as of a moment of the LSL clock.

        Parameters
        ----------
        now : float
            In s.
        """
        if not len(self.rows):
            return
        ago, bold = self.rows[:, 0] - now, self.rows[:, 1 : 1 + len(self.regions)]
        steps = np.diff(ago)
        step = np.median(steps) if len(steps) else 1.0
        scaled = standardize(bold)
        gaps = np.flatnonzero(steps > 1.5 * step) + 1
        for k, line in enumerate(self.lines):
            values = np.insert(scaled[:, k] - _SPREAD * k, gaps, np.nan)
            line.set_data(np.insert(ago, gaps, np.nan), values)
        age, quality, feedback = self.rows[-1, -len(EXTRAS) :]
        poor = self.rows[:, -2] < _LEAST
        self.quality.set_data(ago[~poor], self.rows[~poor, -2])
        self.poor.set_data(ago[poor], self.rows[poor, -2])
        stopped = -ago[-1] > _LATE * step + 1.0
        self.bar.set(height=feedback, color="0.8" if stopped else COLORS[0])
        if stopped:
            self._say(f"No prediction for {-ago[-1]:.0f} s", _BAD)
        elif quality < _LEAST:
            self._say(f"Poor EEG: {quality:.0%} of the window is usable", _BAD)
        else:
            self._say(
                f"Running: EEG {1000 * max(age, 0.0):.0f} ms old, quality {quality:.0%}", _GOOD
            )

    def _say(self, text, color):
        self.head.set(text=text, color=color)


def show_live(name: str = NAME, *, minutes: float = 5.0) -> None:
    """Show the predictions of :func:`run_live` as they come, until the window is closed.

    Parameters
    ----------
    name : str
        Name of the stream of predictions, on this or another computer of the network. It is waited
        for, also when it is lost.
    minutes : float
        Time that is shown.

    Raises
    ------
    ImportError
        If mne-lsl is not installed.
    ValueError
        If the stream is not one of predictions.

    Notes
    -----
    The backend of matplotlib decides where: a window, or with "WebAgg" a page for a browser.
    """
    lsl = import_extra("mne_lsl.lsl", "show_live", "realtime")
    found = []
    while not found:
        print(f"Waiting for the stream {name!r}.", flush=True)
        found = lsl.resolve_streams(timeout=5.0, name=name)
    inlet = lsl.StreamInlet(found[0], processing_flags=["clocksync"])
    inlet.open_stream(timeout=10.0)
    screen = Screen(_columns(inlet.get_sinfo()), minutes)

    def update(_):
        rows, stamps = inlet.pull_chunk(timeout=0.0, max_samples=64)
        if len(stamps):
            screen.add(stamps, rows)
        screen.draw(lsl.local_clock())

    # Held until the window is closed.
    animation = FuncAnimation(screen.fig, update, interval=_INTERVAL, cache_frame_data=False)
    plt.show(block=True)
    del animation


def _columns(sinfo):
    """Columns of a stream of predictions."""
    columns = sinfo.get_channel_names() or []
    if sinfo.stype != "BOLD" or tuple(columns[-len(EXTRAS) :]) != EXTRAS:
        raise ValueError(f"the stream {sinfo.name!r} is not one of predictions of run_live.")
    return columns
