"""Filter recordings and epochs: by MNE, or by causal filters."""

import mne
import numpy as np

from .._utils.hashing import environment
from .._utils.mne_log import quiet_mne
from . import cache
from .causal import FilterStream, filter_causally, resampling
from .recordings import find_recording, in_pieces, kept_recording, recording_path

# What is done to the EEG.
STEPS = ("l_freq", "h_freq", "sfreq", "notch", "reference")


def filter_recording(X, steps, folder, k):
    """Filter a recording, or get it from the folder or the cache; return it and its name."""
    token = f"{X.tokens[k]}|{sorted(steps.items())}"
    if folder is None:
        return cache.results.get_or(token, lambda: _filter(X.recordings[k], X.info, steps)), token
    # What MNE computes depends on its version, and files outlive it.
    path = recording_path(folder, f"{token}{environment()}")
    data = find_recording(path)
    if data is None:
        data = _filter(X.recordings[k], X.info, steps)
        data = kept_recording(path, data.shape, data.dtype, in_pieces(data))
    return data, token


def _filter(data, info, steps):
    if "causal" in steps:
        rows = reference_rows(steps["reference"], info, info["ch_names"], len(data))
        return filter_causally(data, FilterStream(steps, info["sfreq"], rows, len(data)))
    with quiet_mne():
        raw = _raw(data, info)
        _filter_raw(raw, **steps)
        return raw.get_data().astype(np.float32)


def _raw(data, info):
    # MNE filters in place. It takes an array of an unpickled dtype for a copy of its own.
    own = np.empty(data.shape)
    own[:] = data
    raw = mne.io.RawArray(own, info, copy="info")
    # Projectors that have not been applied refer to the EEG before filtering.
    return raw.del_proj([i for i, p in enumerate(raw.info["projs"]) if not p["active"]])


def _filter_raw(raw, *, l_freq, h_freq, sfreq, notch, reference):
    _rereference(raw, reference)
    if notch is not None:
        raw.notch_filter(_harmonics(notch, raw.info["sfreq"]), picks="all")
    if l_freq is not None or h_freq is not None:
        raw.filter(l_freq, h_freq, picks="all")
    if sfreq is not None and sfreq != raw.info["sfreq"]:
        raw.resample(sfreq)


def _rereference(raw, reference):
    if reference is not None:
        raw.set_eeg_reference(reference if isinstance(reference, str) else list(reference))
    return raw


def filtered_info(info, steps):
    """Info as MNE writes it for a filtered recording."""
    with quiet_mne():
        empty = _raw(np.zeros((len(info["ch_names"]), 1)), info)
        info = _rereference(empty, steps["reference"]).info
    l_freq, h_freq, sfreq = (steps[name] for name in ("l_freq", "h_freq", "sfreq"))
    with info._unlock():
        info["sfreq"] = float(sfreq or info["sfreq"])
        info["highpass"] = float(max(info["highpass"], l_freq or 0.0))
        info["lowpass"] = float(min(info["lowpass"], h_freq or np.inf, info["sfreq"] / 2))
    return info


def reference_rows(reference, info, ch_names, n_channels):
    """Channels whose mean is subtracted, and those from which it is; None without a reference."""
    if reference is None:
        return None
    if info is not None:  # channels of other types than EEG may be among them
        with quiet_mne():
            unit = np.eye(n_channels)
            change = unit - _rereference(_raw(unit, info), reference).get_data()
        return np.flatnonzero(change.any(axis=0)), np.flatnonzero(change.any(axis=1))
    every = np.arange(n_channels)
    if reference == "average":
        return every, every
    return np.array([ch_names.index(name) for name in reference]), every


def filter_epochs(X, steps):
    """Filter epoched arrays, each epoch on its own."""
    out = _filter_causally(X, steps) if "causal" in steps else _filter_by_mne(X, steps)
    info = X.info and filtered_info(X.info, steps)
    return X.with_recordings(
        out.astype(X.dtype, copy=False), info, sfreq=steps["sfreq"] or X._sfreq
    )


def _filter_by_mne(X, steps):
    eeg, rate, reference = X.recordings, X._sfreq, steps["reference"]
    if reference is not None:
        picks, _ = reference_rows(reference, None, X.ch_names, X.shape[1])
        eeg = eeg - eeg[:, picks].mean(axis=1, keepdims=True)
    eeg = np.asarray(eeg, dtype=np.float64)
    with quiet_mne():
        if steps["notch"] is not None:
            eeg = mne.filter.notch_filter(eeg, rate, _harmonics(steps["notch"], rate))
        if steps["l_freq"] is not None or steps["h_freq"] is not None:
            eeg = mne.filter.filter_data(
                eeg, rate, steps["l_freq"], steps["h_freq"], pad="reflect_limited"
            )
        if steps["sfreq"] is not None and steps["sfreq"] != rate:
            eeg = mne.filter.resample(eeg, up=steps["sfreq"], down=rate)
    return eeg


def _filter_causally(X, steps):
    rate = X._sfreq
    if all(steps[name] is None for name in STEPS if name != "reference"):
        rate = rate or 1.0  # nothing is measured in seconds
    rows = reference_rows(steps["reference"], X.info, X.ch_names, X.shape[1])
    streams = [FilterStream(steps, rate, rows, X.shape[1]) for _ in range(len(X))]
    pairs = zip(X.recordings, streams, strict=True)
    return np.stack([filter_causally(epoch, stream) for epoch, stream in pairs])


def filter_length(l_freq: float | None, h_freq: float | None, sfreq: float) -> int:
    """Compute the length of the filter that MNE designs for a band.

    Parameters
    ----------
    l_freq, h_freq : float or None
        Band edges in Hz.
    sfreq : float
        Sampling rate in Hz.

    Returns
    -------
    n_times : int
        Number of taps; 0 without a band.
    """
    if l_freq is None and h_freq is None:
        return 0
    with quiet_mne():
        return len(mne.filter.create_filter(None, sfreq, l_freq, h_freq))


def notch_length(notch: float, sfreq: float) -> int:
    """Compute the length of the filter that MNE designs for mains and its harmonics.

    Parameters
    ----------
    notch : float
        Mains frequency in Hz.
    sfreq : float
        Sampling rate in Hz.

    Returns
    -------
    n_times : int
        Number of taps.
    """
    with quiet_mne():
        freqs = _harmonics(notch, sfreq)
        edges = freqs * (1 + 1 / 400) + 0.5, freqs * (1 - 1 / 400) - 0.5
        return len(
            mne.filter.create_filter(
                None, sfreq, *edges, l_trans_bandwidth=0.5, h_trans_bandwidth=0.5
            )
        )


def _harmonics(notch, sfreq):
    # MNE's notch is 1/200 of the frequency wide, with transition bands of 1 Hz on either side.
    freqs = notch * np.arange(1, sfreq / 2 // notch + 1)
    return freqs[freqs * (1 + 1 / 400) + 1 < sfreq / 2]


def check_rates(eeg_filter, rate):
    """Refuse edges and rates that do not fit EEG recorded at a rate in Hz."""
    _check_band(eeg_filter.l_freq, eeg_filter.h_freq, rate, eeg_filter.sfreq)
    notch = eeg_filter.notch
    if notch is not None and not len(_harmonics(notch, rate)):
        raise ValueError(
            f"notch={notch:g} Hz is less than 1 Hz below {rate / 2:g} Hz, the Nyquist frequency of "
            f"EEG recorded at {rate:g} Hz; use notch=None."
        )
    if eeg_filter.causal:
        resampling(rate, eeg_filter.sfreq)


def _check_band(l_freq, h_freq, rate, new_rate):
    if l_freq is not None and h_freq is not None and l_freq >= h_freq:
        raise ValueError(f"l_freq={l_freq:g} Hz must lie below h_freq={h_freq:g} Hz.")
    for name, edge in (("l_freq", l_freq), ("h_freq", h_freq)):
        if edge is None:
            continue
        for rate_name, this in (("recorded at", rate), ("resampled to", new_rate)):
            if this is not None and edge >= this / 2:
                raise ValueError(
                    f"{name}={edge:g} Hz is not below {this / 2:g} Hz, the Nyquist frequency of "
                    f"EEG {rate_name} {this:g} Hz; lower {name} or use a higher sampling rate."
                )
