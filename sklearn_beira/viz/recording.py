"""What is there to learn from: EEG, its bad stretches, and the volumes that have a history."""

from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
from scipy.signal import welch

from ..alignment.align import dropped_in_words
from ..eeg.windows import EEGWindows
from .style import COLORS, DASHES, clean, legend_beside

__all__ = ["plot_alignment", "plot_spectrum"]


def plot_alignment(X, *, ax=None):
    """Plot EEG and BOLD volumes of every recording on one time axis.

    Parameters
    ----------
    X : EEGWindows
        As :func:`sklearn_beira.align` returned it.
    ax : matplotlib.axes.Axes or None
        Where to draw; None makes a figure.

    Returns
    -------
    ax : matplotlib.axes.Axes
        The axes: a row per recording. Gray bar: EEG. Blue: volumes in X, each from its onset to
        that of the next. Hatched:
        where a volume would lack its history (or the EEG behind it, that X's window asks for).
        Orange: stretches annotated as bad. The line above the first volume of a recording is its
        window. Beside the row stands what :func:`sklearn_beira.align` kept and dropped, where it
        made X.
    """
    if not isinstance(X, EEGWindows):
        raise TypeError(
            f"X must be EEGWindows, which know when their volumes were acquired, got "
            f"{type(X).__name__}; align makes them."
        )
    n = len(X.recordings)
    if ax is None:
        _, ax = plt.subplots(figsize=(8.4, round(1.3 + 0.55 * n, 1)), layout="constrained")
    ends = [recording.shape[1] / X.sfreq for recording in X.recordings]
    labels = {}
    for k, end in enumerate(ends):
        times = np.sort(X.times[X.groups == k])
        labels["EEG"] = ax.barh(k, end, 0.5, color="0.85", zorder=1)
        lacking = {"history": (0.0, min(-X.tmin, end)), "future": (max(end - X.tmax, 0.0), end)}
        for start, stop in lacking.values():
            if stop > start:
                labels["no full window"] = ax.barh(
                    k, stop - start, 0.5, left=start, fc="none", ec="0.45", hatch="////", lw=0,
                    zorder=2,
                )  # fmt: skip
        for start, stop in X.bads[k]:
            labels["annotated as bad"] = ax.barh(
                k, max(stop - start, 0.002 * max(ends)), 0.5, left=start, color=COLORS[1], zorder=3
            )
        for start, stop in _runs(times):
            labels["volumes in X"] = ax.barh(
                k, stop - start, 0.26, left=start, color=COLORS[0], alpha=0.6, lw=0, zorder=3
            )
        if len(times):
            labels["window of the first volume"] = ax.hlines(
                k - 0.36, times[0] + X.tmin, times[0] + X.tmax, color="black", lw=2
            )
        ax.annotate(
            _account(X, k, times), (1.01, k), xycoords=("axes fraction", "data"), va="center",
            fontsize="small",
        )  # fmt: skip
    names = [f"recording {k}" for k in range(n)]
    if X.subjects is not None:
        names = [f"{name}\n{subject}" for name, subject in zip(names, X._subjects, strict=True)]
    ax.set_yticks(range(n), names)
    ax.set(xlabel="time in the recording (s)", xlim=(0, max(ends)), ylim=(n - 0.4, -0.6))
    ax.tick_params(axis="y", length=0)
    ax.legend(
        labels.values(), labels.keys(), loc="lower left", bbox_to_anchor=(0, 1), ncols=5,
        frameon=False, fontsize="small", handlelength=1.4, columnspacing=1.2,
    )  # fmt: skip
    return clean(ax)


def _runs(times):
    """Start and end in s of stretches of volumes that follow each other."""
    if not len(times):
        return []
    steps = np.diff(times)
    usual = np.median(steps) if len(steps) else 1.0
    pieces = np.split(times, np.flatnonzero(steps > 1.5 * usual) + 1)
    return [(piece[0], piece[-1] + usual) for piece in pieces]


def _account(X, k, times):
    """What is in X, and what was dropped, in two to four lines."""
    steps = np.diff(times)
    # Dropped volumes leave longer steps; the spacing of the others is that of the triggers.
    usual = steps[steps < 1.5 * np.median(steps)] if len(steps) else steps
    spacing = f"every {np.median(usual):.3f} s" if len(usual) else ""
    if len(usual) and np.ptp(usual) > 1e-3:
        spacing = f"every {usual.min():.3f}–{usual.max():.3f} s"
    if X.alignment is None or k not in X.alignment.index:
        return f"{len(times)} volumes\n{spacing}"
    row = X.alignment.loc[k]
    lines = [
        f"{row['n_volumes']} volumes, {row['n_onsets']} onsets",
        f"kept {row['kept']}, {spacing}",
        fill(f"dropped: {dropped_in_words(row)}", 44),
    ]
    return "\n".join(lines)


def plot_spectrum(X, *, label=None, ax=None):
    """Plot the power spectral density of the EEG that the windows cover.

    Parameters
    ----------
    X : EEGWindows
        EEG in V.
    label : str or None
        Name in the legend.
    ax : matplotlib.axes.Axes or None
        Where to draw, for example the axes of another spectrum; None makes a figure.

    Returns
    -------
    ax : matplotlib.axes.Axes
        The axes: median over channels (line), and from the lowest to the highest channel (band).

    Examples
    --------
    >>> import mne, numpy as np
    >>> from sklearn_beira import EEGWindows
    >>> from sklearn_beira.viz import plot_spectrum
    >>> eeg = np.random.default_rng(0).standard_normal((2, 1000)) * 1e-5
    >>> info = mne.create_info(["Fz", "Oz"], sfreq=100.0, ch_types="eeg")
    >>> X = EEGWindows([eeg], [0, 0], [4.0, 6.0], info, tmin=-3.0, tmax=0.0)
    >>> plot_spectrum(X).get_ylabel()
    'power (µV²/Hz)'
    """
    if not isinstance(X, EEGWindows):
        raise TypeError(f"X must be EEGWindows, got {type(X).__name__}; align makes them.")
    if ax is None:
        _, ax = plt.subplots(figsize=(7, 2.6), layout="constrained")
    n = sum(line.get_gid() == "spectrum" for line in ax.lines)
    color = COLORS[n % len(COLORS)]
    frequencies, power = _power(X)
    ax.fill_between(
        frequencies, power.min(axis=0), power.max(axis=0), color=color, alpha=0.25, lw=0
    )
    ax.semilogy(
        frequencies,
        np.median(power, axis=0),
        color=color,
        ls=DASHES[n % len(DASHES)],
        lw=1.5,
        label=label,
        gid="spectrum",
    )
    ax.set(xlabel="frequency (Hz)", ylabel="power (µV²/Hz)")
    ax.set_xlim(0, max(ax.get_xlim()[1] if n else 0, min(frequencies[-1], 100.0)))
    if label is not None:
        legend_beside(ax)
    return clean(ax)


def _power(X, duration=2.0):
    """Frequencies in Hz and power in µV²/Hz (n_channels, n_frequencies) of what windows cover."""
    pieces = [X.recordings[k][:, start:stop] for k, start, stop in X.stretches()]
    n_fft = min(round(duration * X.sfreq), min(piece.shape[1] for piece in pieces))
    total = 0.0
    for piece in pieces:
        frequencies, power = welch(1e6 * piece, X.sfreq, nperseg=n_fft)
        total = total + piece.shape[1] * power
    # The mean of each segment is taken out, so that 0 Hz says nothing.
    return frequencies[1:], total[:, 1:] / sum(piece.shape[1] for piece in pieces)
