"""Seams: moments at which a recording was paused, cut or glued."""

import re
from pathlib import Path

import mne
import numpy as np

# Of concatenated Raws, pauses in FIF, cuts in EEGLAB (by name or code) and BrainVision.
SEAM = re.compile(r"(edge|bad)[ _]boundary|bad_acq_skip|boundary|-99(\.0)?|new segment", re.I)


def find_seams(raw: mne.io.BaseRaw) -> list[tuple[float, float, str]]:
    """Find where a recording is not continuous.

    Parameters
    ----------
    raw : mne.io.Raw
        Recording.

    Returns
    -------
    seams : list of tuple of (float, float, str)
        Start and end of each seam in s from the start of the data, and what it is. They differ
        where data were skipped.
    """
    last, half = raw.n_times / raw.info["sfreq"], 0.5 / raw.info["sfreq"]
    onsets, notes, seams = annotation_onsets(raw), raw.annotations, []
    for k, name in enumerate(notes.description):
        if SEAM.match(name):
            skipped = notes.duration[k] if name.lower() == "bad_acq_skip" else 0.0
            seams.append((onsets[k], onsets[k] + skipped, repr(str(name))))
    for start, clock in _stretches(raw)[1:]:
        seams.append((start, start, f"pause of the file, which goes on at {clock:.2f} s"))
    return sorted(seam for seam in seams if seam[1] > half and seam[0] < last - half)


def split_at_seams(raw: mne.io.BaseRaw) -> list[mne.io.BaseRaw]:
    """Split a recording that was paused, cut or glued into continuous recordings.

    Seams are annotations that begin with ``EDGE boundary``, ``BAD boundary``, ``boundary`` or
    ``New Segment`` and spans of ``BAD_ACQ_SKIP``, and the gaps of EDF+D and BDF+D files. Each part
    has a clock of its own, which starts at 0, with the annotations at the right times.

    Parameters
    ----------
    raw : mne.io.Raw
        Recording.

    Returns
    -------
    parts : list of mne.io.Raw
        Continuous recordings, in order, for :func:`align`.

    Examples
    --------
    >>> import mne, numpy as np
    >>> from sklearn_beira.alignment import split_at_seams
    >>> info = mne.create_info(["Fz", "Oz"], 100.0, "eeg")
    >>> raws = [mne.io.RawArray(np.ones((2, 500)), info, verbose="error") for _ in range(2)]
    >>> parts = split_at_seams(mne.concatenate_raws(raws, verbose="error"))
    >>> [int(part.n_times) for part in parts]
    [500, 500]
    """
    last, half = raw.n_times / raw.info["sfreq"], 0.5 / raw.info["sfreq"]
    seams, stretches = find_seams(raw), _stretches(raw)
    onsets, notes = annotation_onsets(raw), raw.annotations
    if len(stretches) > 1:  # MNE leaves out what lies beyond the data by the clock
        written = mne.read_annotations(raw.filenames[0])
        written.onset -= raw.first_time
        notes = notes[onsets < last - half]
        onsets = onsets[onsets < last - half]
        beyond = written[written.onset >= last - half]
        onsets = np.r_[onsets, beyond.onset]
        notes.append(beyond.onset, beyond.duration, beyond.description)
    bad = np.array([is_bad(name) for name in notes.description], dtype=bool)
    parts = []
    starts, stops = [0.0, *(s[1] for s in seams)], [*(s[0] for s in seams), last]
    for start, stop in zip(starts, stops, strict=True):
        if stop - start <= half:
            continue
        part = raw.copy().crop(start, None if stop == last else stop, include_tmax=stop == last)
        first, clock = [one for one in stretches if one[0] <= start + half][-1]
        at = onsets - (start + clock - first)
        # A seam may divide a bad stretch; markers of volumes that last stay where they begin.
        here = (at < stop - start) & ((at > -half) | (bad & (at + notes.duration > half)))
        here &= [not SEAM.match(name) for name in notes.description]
        begins = np.where(at > -half, at, 0.0)[here]
        ends = np.minimum(at + notes.duration, stop - start)[here]
        kept = begins, np.maximum(ends - begins, 0.0), notes.description[here]
        parts.append(part.set_annotations(mne.Annotations(*kept)))
    return parts


def is_bad(name: str) -> bool:
    """Tell whether an annotation of that name marks a bad stretch, as in MNE."""
    return name.lower().startswith("bad")


def annotation_onsets(raw: mne.io.BaseRaw) -> np.ndarray:
    """Get onsets of annotations in s from the start of the data, also after a crop."""
    return raw.annotations.onset - raw.first_time


def _stretches(raw):
    """Start in the data and by the clock, in s, of each continuous stretch of an EDF+D file."""
    start = -raw.first_time
    files = [Path(name) for name in raw.filenames if name]
    if len(files) != 1 or files[0].suffix.lower() not in (".edf", ".bdf") or not files[0].exists():
        return [(start, start)]
    with files[0].open("rb") as file:
        head = file.read(256)
        if head[192:197] not in (b"EDF+D", b"BDF+D"):
            return [(start, start)]
        duration, n_signals = float(head[244:252]), int(head[252:256])
        fields = file.read(256 * n_signals)
        labels = [fields[16 * i : 16 * (i + 1)].strip() for i in range(n_signals)]
        sizes = np.array([int(fields[216 * n_signals + 8 * i :][:8]) for i in range(n_signals)])
        sizes *= 3 if head[192:193] == b"B" else 2
        where = sizes[: labels.index(b"%cDF Annotations" % head[192])].sum()
        clocks, size = [], sizes.sum()
        for place in range(256 * (1 + n_signals), files[0].stat().st_size - size + 1, size):
            file.seek(place + where)
            clocks.append(float(file.read(24).split(b"\x14")[0]))
    clocks = np.array(clocks) - clocks[0]
    begins = np.r_[0, np.flatnonzero(np.diff(clocks) > duration + 0.5 / raw.info["sfreq"]) + 1]
    return [(start + k * duration, start + clocks[k]) for k in begins]
