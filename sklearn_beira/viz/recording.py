"""The data: EEG, its bad stretches, the volumes that are used, and the spectrum."""

from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from scipy.signal import welch

from ..alignment.align import dropped_in_words
from ..datasets.run import ENTITIES
from ..eeg.windows import EEGWindows, as_windows
from .style import COLORS, DASHES, axes_of, clean, legend_beside


def plot_alignment(X, *, ax=None) -> Axes:
    """Plot EEG and BOLD volumes on one time axis, with a row per recording.

    Parameters
    ----------
    X : EEGWindows
        Result of :func:`sklearn_beira.align`.
    ax : matplotlib.axes.Axes or None
        Axes to draw on; None makes a figure.

    Returns
    -------
    ax : matplotlib.axes.Axes
        The axes. Gray: EEG. Blue: volumes in X, each from its onset to the next. Hatched: a volume
        here would lack the EEG that its window needs. Orange: annotated as bad. Black: window of
        the first volume. The numbers beside a row show how many volumes were kept and dropped.
    """
    check_continuous(X)
    lengths = [recording.shape[1] / X.sfreq for recording in X.recordings]
    n = len(lengths)
    ax = axes_of(ax, 8.4, 1.1 + 0.7 * n)
    labels = {}
    for k, length in enumerate(lengths):
        times = np.sort(X.times[X.groups == k])
        labels |= _draw_recording(ax, X, k, length, times, 0.002 * max(lengths))
        ax.annotate(
            _count_in_words(X, k, times), (1.01, k), xycoords=("axes fraction", "data"),
            va="center", fontsize="small",
        )  # fmt: skip
    ax.set_yticks(range(n), _names(X))
    ax.set(xlabel="time in the recording (s)", xlim=(0, max(lengths)), ylim=(n - 0.4, -0.6))
    ax.tick_params(axis="y", length=0)
    ax.legend(
        labels.values(), labels.keys(), loc="lower left", bbox_to_anchor=(0, 1), ncols=5,
        frameon=False, fontsize="small", handlelength=1.4, columnspacing=1.2,
    )  # fmt: skip
    return clean(ax)


def plot_spectrum(X, *, label=None, ax=None) -> Axes:
    """Plot the power spectral density of the EEG that the windows cover.

    Parameters
    ----------
    X : EEGWindows
        EEG in V.
    label : str or None
        Name in the legend.
    ax : matplotlib.axes.Axes or None
        Axes to draw on, for example those of another spectrum; None makes a figure.

    Returns
    -------
    ax : matplotlib.axes.Axes
        The axes: median over channels (line), and lowest to highest channel (band).

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
    X = as_windows(X)
    ax = axes_of(ax, 7.0, 2.6)
    n = sum(line.get_gid() == "spectrum" for line in ax.lines)
    style = {"color": COLORS[n % len(COLORS)], "ls": DASHES[n % len(DASHES)]}
    frequencies, power = _power(X)
    low, high = power.min(axis=0), power.max(axis=0)
    ax.fill_between(frequencies, low, high, color=style["color"], alpha=0.25, lw=0)
    median = np.median(power, axis=0)
    ax.semilogy(frequencies, median, **style, lw=1.5, label=label, gid="spectrum")
    ax.set(xlabel="frequency (Hz)", ylabel="power (µV²/Hz)")
    ax.set_xlim(0, max(ax.get_xlim()[1] if n else 0, min(frequencies[-1], 100.0)))
    if label is not None:
        legend_beside(ax)
    return clean(ax)


def check_continuous(X):
    """Refuse what holds no continuous recordings to show."""
    if not isinstance(X, EEGWindows) or X.epoched:
        what = "epochs" if isinstance(X, EEGWindows) else type(X).__name__
        raise TypeError(f"X must hold recordings, got {what}; give the X that align returned.")


def _draw_recording(ax, X, k, length, times, least):
    """Draw one recording in row k; return what the legend explains."""
    drawn = {"EEG": ax.barh(k, length, 0.5, color="0.85", zorder=1)}
    hatch = {"fc": "none", "ec": "0.45", "hatch": "////", "lw": 0, "zorder": 2}
    for start, stop in ((0.0, min(-X.tmin, length)), (max(length - X.tmax, 0.0), length)):
        if stop > start:
            drawn["no full window"] = ax.barh(k, stop - start, 0.5, left=start, **hatch)
    for start, stop in X.bads[k]:
        width = max(stop - start, least)
        drawn["annotated as bad"] = ax.barh(k, width, 0.5, start, color=COLORS[1], zorder=3)
    volumes = {"color": COLORS[0], "alpha": 0.6, "lw": 0, "zorder": 3}
    for start, stop in _runs(times):
        drawn["volumes in X"] = ax.barh(k, stop - start, 0.26, left=start, **volumes)
    if len(times):
        window = times[0] + X.tmin, times[0] + X.tmax
        drawn["window of the first volume"] = ax.hlines(k - 0.36, *window, color="black", lw=2)
    return drawn


def _runs(times):
    """Start and end in s of stretches of consecutive volumes."""
    if not len(times):
        return []
    steps = np.diff(times)
    usual = np.median(steps) if len(steps) else 1.0
    pieces = np.split(times, np.flatnonzero(steps > 1.5 * usual) + 1)
    return [(piece[0], piece[-1] + usual) for piece in pieces]


def _names(X):
    """Name the recordings: as runs of a study, else by number and subject."""
    n = len(X.recordings)
    if X.alignment is not None and len(X.alignment) == n:
        runs = X.alignment[[name for name in ENTITIES if name in X.alignment]]
        runs = runs.dropna(axis="columns", how="all")
        if len(runs.columns):
            rows = runs.fillna("").astype(str).itertuples(index=False)
            names = [" ".join(filter(None, row)) for row in rows]
            return [name or f"recording {k}" for k, name in enumerate(names)]
    names = [f"recording {k}" for k in range(n)]
    if X.subjects is not None:
        names = [f"{name}\n{subject}" for name, subject in zip(names, X._subjects, strict=True)]
    return names


def _count_in_words(X, k, times):
    """Tell in two to four lines how many volumes were kept and dropped."""
    steps = np.diff(times)
    # Dropped volumes leave longer steps; the other steps are those of the triggers.
    usual = steps[steps < 1.5 * np.median(steps)] if len(steps) else steps
    spacing = f"every {np.median(usual):.3f} s" if len(usual) else ""
    if len(usual) and np.ptp(usual) > 1e-3:
        spacing = f"every {usual.min():.3f}–{usual.max():.3f} s"
    if X.alignment is None or k not in X.alignment.index:
        return f"{len(times)} volumes\n{spacing}"
    row = X.alignment.loc[k]
    return (
        f"{row['n_volumes']} volumes, {row['n_onsets']} onsets\n"
        f"kept {row['kept']}, {spacing}\n"
        f"{fill(f'dropped: {dropped_in_words(row)}', 44)}"
    )


def _power(X, duration=2.0):
    """Frequencies in Hz and power in µV²/Hz (n_channels, n_frequencies) of the windows' EEG."""
    pieces = [X.recordings[k][:, start:stop] for k, start, stop in X.stretches()]
    lengths = np.array([piece.shape[1] for piece in pieces])
    n_fft = min(round(duration * X.sfreq), lengths.min())
    power = [welch(1e6 * piece, X.sfreq, nperseg=n_fft)[1] for piece in pieces]
    # welch subtracts the mean of each segment, so that 0 Hz says nothing.
    frequencies = np.fft.rfftfreq(n_fft, 1 / X.sfreq)
    return frequencies[1:], np.average(power, axis=0, weights=lengths)[:, 1:]
