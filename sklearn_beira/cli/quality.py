"""The quality of every run: alignment, motion, loud EEG and effective number of volumes."""

from html import escape

import numpy as np
import pandas as pd

from ..alignment import loud_eeg
from ..datasets.run import ENTITIES
from ..evaluation import effective_n

# Meaning of each column, how it is shown, and which end is suspicious. A new measure needs a line
# here and one in run_quality.
COLUMNS = {
    "volumes": ("number of volumes of the image", "{:.0f}", None),
    "kept": ("volumes that are used", "{:.0f}", None),
    "kept_share": ("share of volumes that are used", "{:.0%}", "low"),
    "mean_fd": ("mean framewise displacement, mm", "{:.2f}", "high"),
    "max_fd": ("largest framewise displacement, mm", "{:.2f}", "high"),
    "n_eff": ("effective number of volumes of the BOLD, median over regions", "{:.0f}", "low"),
    "loud_eeg": (
        "share of volumes after EEG that is much louder than usual, as in movement",
        "{:.1%}",
        "high",
    ),
    "bad_eeg": ("share of the EEG that is annotated as bad", "{:.1%}", "high"),
}
_SUSPICIOUS = 5.0  # robust standard deviations from the median of the study
_FEW = 5  # runs, of which the spread is not known


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
        here, moved = X.groups == k, np.asarray(motion.get(k, [np.nan]))
        bold = y.to_numpy()[here]
        bad = sum(stop - start for start, stop in X.bads[k])
        rows.append(
            {name: facts[name] for name in (*ENTITIES, "file") if name in facts}
            | {
                "volumes": facts["n_volumes"],
                "kept": facts["kept"],
                "kept_share": facts["kept"] / facts["n_volumes"],
                "mean_fd": moved.mean(),
                "max_fd": moved.max(),
                "n_eff": np.median(effective_n(bold, bold, method="bartlett")),
                "loud_eeg": loud[here].mean(),
                "bad_eeg": bad * X.sfreq / X.recordings[k].shape[1],
            }
        )
    return pd.DataFrame(rows)


def quality_html(quality) -> tuple[pd.DataFrame, list]:
    """Format the table, with marks where a run differs from the others of the study.

    Parameters
    ----------
    quality : DataFrame
        What :func:`run_quality` returned.

    Returns
    -------
    shown : DataFrame of str
        HTML, indexed by the name of the run.
    marked : list of str
        Runs with a mark.
    """
    names = [column for column in ("subject", *ENTITIES[1:]) if column in quality]
    names = quality[names].dropna(axis="columns", how="all").astype(str).agg(" ".join, axis=1)
    shown, marks = pd.DataFrame(index=names.map(escape)), np.zeros(len(quality), dtype=bool)
    for name, (_, form, end) in COLUMNS.items():
        values = quality[name].astype(float)
        if values.isna().all():
            continue
        away = values - values.median() if end == "high" else values.median() - values
        limit = _SUSPICIOUS * 1.4826 * (values - values.median()).abs().median()
        odd = (away > limit) & (limit > 0) & (len(values) >= _FEW) & (end is not None)
        marks |= odd
        text = ["" if np.isnan(value) else form.format(value) for value in values]
        shown[name] = [f"<mark>{t}</mark>" if o else t for t, o in zip(text, odd, strict=True)]
    return shown, names[marks].tolist()
