"""What cleaning left of the artifacts of the scanner."""

import mne
import numpy as np
from matplotlib.figure import Figure
from scipy.signal import welch

from ..cleaning.residual import RANGE, residual_artifacts
from ..eeg.channels import pick_eeg
from .style import COLORS, DASHES, MARKERS, clean, figure_of

_RATES = ("volumes", "slices", "heart")


def plot_residual_artifacts(
    raws: dict[str, mne.io.BaseRaw], *, t_r=None, n_slices=None, ecg=None, fig=None
) -> Figure:
    """Plot spectra of a recording before and after cleaning, and residual artifacts.

    Parameters
    ----------
    raws : dict of str to mne.io.Raw
        The recording by stage of cleaning.
    t_r, n_slices, ecg : object
        Parameters of :func:`~sklearn_beira.residual_artifacts`.
    fig : matplotlib.figure.Figure or None
        Figure to draw on; None makes one.

    Returns
    -------
    fig : matplotlib.figure.Figure
        The figure. Left: power, median over channels; gray lines are multiples of the slice rate.
        Right: residual artifacts, median (marker) and range (line) over channels.

    Examples
    --------
    >>> from sklearn_beira.datasets import make_eeg_fmri
    >>> from sklearn_beira.viz import plot_residual_artifacts
    >>> raw = make_eeg_fmri(duration=60.0, n_channels=4, random_state=0).raws[0]
    >>> fig = plot_residual_artifacts({"simulated": raw}, t_r=1.95)
    >>> [ax.get_ylabel() for ax in fig.axes]
    ['power (µV²/Hz)', 'residual artifact (dB)']
    """
    fig = figure_of(fig, 9.0, 3.2)
    left, right = fig.subplots(1, 2, width_ratios=(2, 1))
    top = min([RANGE[1], *(0.45 * raw.info["sfreq"] for raw in raws.values())])
    if t_r and n_slices:
        for rate in np.arange(n_slices / t_r, top, n_slices / t_r):
            left.axvline(rate, color="0.85", lw=3, zorder=0)
    for k, (name, raw) in enumerate(raws.items()):
        color, sfreq = COLORS[k % len(COLORS)], raw.info["sfreq"]
        eeg = 1e6 * raw.get_data(pick_eeg(raw.info)[0])
        frequencies, power = welch(eeg, sfreq, nperseg=min(int(4 * sfreq), raw.n_times))
        here = (frequencies >= RANGE[0]) & (frequencies <= top)
        style = {"color": color, "ls": DASHES[k % len(DASHES)], "lw": 1.2, "label": name}
        left.semilogy(frequencies[here], np.median(power, axis=0)[here], **style)
        table = residual_artifacts(raw, t_r=t_r, n_slices=n_slices, ecg=ecg)[list(_RATES)]
        at = np.arange(len(_RATES)) + 0.5 * (k + 0.5) / len(raws) - 0.25
        right.vlines(at, table.min(), table.max(), color=color, lw=1.2)
        right.plot(at, table.median(), MARKERS[k % len(MARKERS)], color=color, ms=5)
    left.set(xlabel="frequency (Hz)", ylabel="power (µV²/Hz)", xlim=(0, top))
    fig.legend(loc="outside lower center", ncols=5, frameon=False, fontsize="small")
    right.axhline(0, color="0.6", lw=0.8, zorder=0)
    right.set_xticks(range(len(_RATES)), _RATES)
    right.set(ylabel="residual artifact (dB)", xlim=(-0.5, len(_RATES) - 0.5))
    clean(left)
    clean(right)
    return fig
