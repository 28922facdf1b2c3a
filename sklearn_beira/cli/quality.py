"""The quality of every run: alignment, motion, loud EEG and effective number of volumes."""

from contextlib import suppress
from html import escape

import mne
import numpy as np
import pandas as pd

from .._utils.files import printable
from ..alignment import loud_eeg
from ..cleaning import residual_artifacts
from ..datasets.derivatives import COLUMNS as MEANINGS
from ..datasets.run import ENTITIES
from ..evaluation import effective_n
from ..viz.report import details, paragraphs, scores_html, terms_html

# How each column is shown, and the difference from the median of the study from which a run is
# marked: positive, if high values are suspicious. A new measure needs a line here, one in
# run_quality, and its meaning in datasets/derivatives.py.
COLUMNS = {
    "volumes": ("{:.0f}", None),
    "kept": ("{:.0f}", None),
    "kept_share": ("{:.0%}", -0.1),
    "mean_fd": ("{:.2f}", 0.1),
    "max_fd": ("{:.2f}", 0.5),
    "n_eff": ("{:.0f}", -10),
    "loud_eeg": ("{:.1%}", 0.02),
    "bad_eeg": ("{:.1%}", 0.05),
    "gradient": ("{:.1f}", 3.0),
}
_MARKED = "Marked: far from the median over runs, on the side that is suspicious."
_RESIDUAL = "A gradient above {:g} dB is always marked: the artifact is then as strong as the EEG."
_MOTION = "Motion is known where there is a table of confounds."
_SUSPICIOUS = 5.0  # robust standard deviations from the median of the study
_FEW = 5  # runs, of which the spread is not known
# dB of gradient artifact that is marked whatever the other runs have, as none may be cleaned. Clean
# EEG has about 0, within 1 in recordings of 2 minutes or more. At 3, half of the power at the rate
# of volumes is artifact.
_ARTIFACT = 3.0


def run_quality(X, y, motion=None) -> pd.DataFrame:
    """Measure the quality of every run.

    Parameters
    ----------
    X : EEGWindows
        EEG, as :func:`~sklearn_beira.align` makes it.
    y : DataFrame of shape (n_volumes, n_rois)
        BOLD.
    motion : dict of int to array-like or None
        Framewise displacement of all volumes in mm, by recording; None takes that of the nuisance
        signals of X, if it is one of them.

    Returns
    -------
    table : DataFrame, a row per recording
        Names of the run, and ``COLUMNS``; NaN where something is not known.
    """
    loud = (loud_eeg(X) > 0).any(axis=1).to_numpy()
    if motion is None:
        motion = {
            k: table["framewise_displacement"]
            for k, table in (X.nuisance or {}).items()
            if "framewise_displacement" in table
        }
    rows = []
    for k, facts in X.alignment.iterrows():
        names = {name: facts[name] for name in ENTITIES if name in facts}
        if not names:
            names = {"subject": X._subjects and X._subjects[k], "file": printable(facts["file"])}
        here, moved = X.groups == k, pd.Series(motion.get(k, [np.nan]), dtype=float)
        bold = y.to_numpy()[here]
        bad = np.zeros(X.recordings[k].shape[1], dtype=bool)
        for start, stop in X.bads[k]:  # which may overlap, or reach beyond the recording
            bad[max(round(start * X.sfreq), 0) : max(round(stop * X.sfreq), 0)] = True
        rows.append(
            names
            | dict.fromkeys(COLUMNS, np.nan)
            | {
                "volumes": facts["n_volumes"],
                "kept": facts["kept"],
                "kept_share": facts["kept"] / facts["n_volumes"],
                "mean_fd": moved.mean(),
                "max_fd": moved.max(),
                "bad_eeg": bad.mean(),
            }
        )
        if here.any():  # the other measures are of the volumes that are used
            rows[-1] |= {
                "n_eff": np.median(effective_n(bold, bold, method="bartlett")),
                "loud_eeg": loud[here].mean(),
                "gradient": _gradient_left(X, k),
            }
    return pd.DataFrame(rows)


def _gradient_left(X, k):
    """Median over channels of the power at the rate of volumes; NaN in short recordings."""
    raw = mne.io.RawArray(X.recordings[k], X.info, verbose="error")
    with suppress(ValueError):
        t_r = np.median(np.diff(X.times[X.groups == k]))
        return residual_artifacts(raw, t_r=t_r)["volumes"].median()
    return np.nan


def marked_runs(quality) -> pd.DataFrame:
    """Find values that are far from the median of the study, and gradient artifact that is left.

    Parameters
    ----------
    quality : DataFrame
        What :func:`run_quality` returned.

    Returns
    -------
    marked : DataFrame of bool
        Indexed by the names of the runs.
    """
    names = quality.drop(columns=list(COLUMNS)).to_numpy(object)
    names = [" ".join(str(one) for one in row if pd.notna(one)).strip() for row in names]
    marked = pd.DataFrame(index=names)
    for name, (_, least) in COLUMNS.items():
        values = quality[name].astype(float)
        known = values.dropna()  # pandas 2 warns of the median of missing values alone
        away = values - known.median()
        spread = (known - known.median()).abs().median()
        limit = max(_SUSPICIOUS * 1.4826 * spread, abs(least or np.inf))
        odd = np.sign(least or 0) * away > limit
        marked[name] = odd.to_numpy() & (len(odd) >= _FEW)
    marked["gradient"] |= (quality["gradient"] > _ARTIFACT).to_numpy()
    return marked


def add_quality(report, quality, section) -> None:
    """Add the table of quality to a report.

    Parameters
    ----------
    report : mne.Report
        Report; it is changed in place.
    quality : DataFrame
        What :func:`run_quality` returned.
    section : str
        Section of the report.
    """
    marked = marked_runs(quality)
    known = [name for name in COLUMNS if quality[name].notna().any()]
    shown = pd.DataFrame(index=marked.index.map(escape))
    for name in known:
        text = quality[name].map(COLUMNS[name][0].format, na_action="ignore").fillna("")
        odd = marked[name].to_numpy()
        shown[name] = [f"<mark>{t}</mark>" if o else t for t, o in zip(text, odd, strict=True)]
    meanings = {name: MEANINGS[name] for name in known}
    body = f"<div>{scores_html(shown, escape=False)}</div>" + details(
        "What the columns mean", terms_html(meanings)
    )
    reading = [_MARKED] * (len(quality) >= _FEW) + [_RESIDUAL.format(_ARTIFACT), _MOTION]
    report.add_html(paragraphs(" ".join(reading)) + body, title="Quality of runs", section=section)
