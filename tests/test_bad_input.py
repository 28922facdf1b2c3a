"""What cannot be used is refused with a sentence of the user guide; all else works."""

import io
import re
import tempfile
import warnings
import zlib
from pathlib import Path

import mne
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from scipy.signal import lfilter
from sklearn.feature_selection import SelectKBest, f_regression
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, KFold, LeaveOneGroupOut
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from small_networks import make_beira

from sklearn_beira import (
    BEIRARegressor,
    Compact,
    EEGFilter,
    EEGWindows,
    ROIExtractor,
    Windower,
    align,
    compare,
    null_test,
)
from sklearn_beira._utils.files import read_checked, write_checked
from sklearn_beira._utils.store import ResultStore
from sklearn_beira.baselines.lagged_power import BandedRidgeCV, FingerprintRidgeCV
from sklearn_beira.baselines.makers import make_band_power_ridge
from sklearn_beira.baselines.ridge import BlockedRidgeCV
from sklearn_beira.baselines.sparse import SparseGroupLassoCV
from sklearn_beira.baselines.spoc import SPoCRidgeCV
from sklearn_beira.cli import main
from sklearn_beira.evaluation.metrics import (
    effective_n,
    pearson_r,
    r_interval,
    r_p_value,
    region_scores,
)
from sklearn_beira.evaluation.splitters import BlockedKFold
from sklearn_beira.features.band_power import BandPower
from sklearn_beira.inspection import read_branches
from sklearn_beira.persistence.saving import load_model, save_model

PAGE = Path(__file__).parents[1] / "docs" / "user_guide" / "refusals.rst"
SFREQ = 100.0
TIMES = np.arange(4.0, 28.0, 2.0)
_rng = np.random.default_rng(0)
EEG = 1e-5 * _rng.standard_normal((3, 3000))
BOLD = _rng.standard_normal((12, 2))
TABLE = _rng.standard_normal((12, 3))
WALK = _rng.standard_normal((120, 4)).cumsum(axis=0)
NAMES = ["Fz", "Cz", "Oz"]
FOLDS = {"cv": BlockedKFold(2, gap=0), "verbose": False}


# -- pieces that the cases are made of ----------------------------------------------------------
def make_info(names=NAMES, sfreq=SFREQ, kind="eeg"):
    return mne.create_info(list(names), sfreq, kind)


def make_raw(eeg=EEG, triggers=True, **info):
    raw = mne.io.RawArray(np.array(eeg, dtype=float), make_info(**info), verbose="error")
    if triggers:
        raw.set_annotations(mne.Annotations(np.arange(12) * 2.0, 0.0, ["mri"] * 12))
    return raw


def annotated(onset, duration, text):
    raw = make_raw()
    return raw.set_annotations(raw.annotations + mne.Annotations(onset, duration, text))


def marks(onsets, name="mri"):
    return mne.Annotations(onsets, 0.0, [name] * len(onsets))


def aligned(raw=None, bold=BOLD, **params):
    raw = make_raw() if raw is None else raw
    how = {"t_r": 2.0, "tmin": -2.0, "tmax": 0.0, "verbose": "error", **params}
    return align(raw, bold, **how)


def aligned_fit(rows=slice(None), index=None):
    """A fit to what align gave, to other rows of the BOLD, or to BOLD with another index."""
    X, y = aligned(bold=frame("ab"))
    return beira().fit(
        X[: len(y.iloc[rows])], y.iloc[rows] if index is None else y.set_index(index)
    )


def by_trigger(bold=BOLD, raw=None, **params):
    return aligned(raw, bold, **{"trigger": "mri", "t_r": None, **params})


def by_times(times, bold=BOLD, **params):
    return aligned(None, bold, volume_times=times, t_r=None, **params)


def changed(values, where, to):
    values = np.array(values)
    values[where] = to
    return values


def windows(eeg=EEG, onsets=TIMES, recording=None, info=None, tmin=-3.0, tmax=0.0, **more):
    recording = np.zeros(len(onsets), int) if recording is None else recording
    info = make_info() if info is None else info
    return EEGWindows([eeg], recording, onsets, info, tmin=tmin, tmax=tmax, **more)


def beira(**params):
    return make_beira(**{"n_branches": 1, "n_taps": 21, "segment": 20, "verbose": False, **params})


def image(n_volumes=8):
    bold = 100 + np.random.default_rng(0).standard_normal((4, 4, 4, n_volumes))
    return bold


def extracted(bold, **params):
    labels = np.ones((4, 4, 4), dtype="int16")
    labels[2:] = 2
    atlas = nib.Nifti1Image(labels, np.eye(4))
    roi = ROIExtractor(atlas, labels=["front", "back"], smoothing_fwhm=None, **params)
    return roi.fit_transform(
        bold if isinstance(bold, str | list) else nib.Nifti1Image(bold, np.eye(4))
    )


def frame(columns=("putamen", "putamen"), values=BOLD):
    return pd.DataFrame(values, columns=list(columns))


def searched(cv):
    steps = {"window": Windower(3.0), "power": BandPower(None), "ridge": Ridge()}
    return GridSearchCV(Pipeline(list(steps.items())), {"ridge__alpha": [1.0, 10.0]}, cv=cv)


def many_recordings():
    """Slow BOLD of 30 recordings."""
    noise = np.random.default_rng(0).standard_normal((30, 300, 2))
    y = lfilter([1], [1, -0.9], noise, axis=1)[:, 150:].reshape(-1, 2)
    return {"X": y[::-1], "y": y, "groups": np.repeat(np.arange(30), 150), "n_surrogates": 2}


def compared(model=None, X=TABLE, y=BOLD, **params):
    return compare(BlockedRidgeCV() if model is None else model, X, y, **{**FOLDS, **params})


def command(capsys, *words):
    assert main([str(word) for word in words]) == 2
    raise ValueError(capsys.readouterr().err.strip())


def run_with_table(capsys, tmp_path, table):
    make_raw().save(tmp_path / "é_raw.fif", verbose="error")
    (tmp_path / "b.csv").write_text(table)
    words = ["--eeg", tmp_path / "é_raw.fif", "--bold", tmp_path / "b.csv", "--t-r", 2]
    command(capsys, *words, "--output", tmp_path / "r.html")


def twice(eeg=EEG):
    info = make_info()
    recording = np.repeat([0, 1], 6)
    return EEGWindows([eeg, eeg.copy()], recording, np.tile(TIMES[:6], 2), info, tmin=-3, tmax=0)


# -- a case for every row of the page -----------------------------------------------------------
CASES = {
    "``align``": {
        "no recording": lambda: align([], [], t_r=2.0),
        "a path in place of a recording": lambda: align("run.fif", BOLD, t_r=2.0),
        "lists of different length": lambda: aligned([make_raw()] * 2, [BOLD]),
        "nothing that gives the times of volumes": lambda: align(make_raw(), BOLD),
        "two things that give them": lambda: aligned(volume_times=TIMES, trigger="mri"),
        "an end that lacks triggers, without a trigger": lambda: aligned(missing="end"),
        "another pace than that of the table's index": lambda: aligned(
            bold=frame("ab").set_index(pd.Index(1.9 * np.arange(12), name="time_s"))
        ),
        "onsets in ms": lambda: aligned(make_raw(triggers=False), t_r=2000.0),
        "BOLD with volumes as columns": lambda: aligned(bold=BOLD[:, :1].T),
        "an invalid repetition time": lambda: aligned(t_r=float("nan")),
        "more triggers than volumes": lambda: by_trigger(BOLD[:10]),
        "a trigger that is not there": lambda: by_trigger(trigger="mr"),
        "a trigger lost in the middle": lambda: by_trigger(
            BOLD[:11],
            make_raw(triggers=False).set_annotations(
                mne.Annotations(np.delete(np.arange(12) * 2.0, 5), 0.0, ["mri"] * 11)
            ),
        ),
        "triggers at another pace than ``t_r``": lambda: by_trigger(t_r=2.5),
        "unsorted volume times": lambda: by_times(TIMES[::-1]),
        "a volume time that is there twice": lambda: by_times(changed(TIMES, 5, TIMES[4])),
        "volume times that are text": lambda: by_times(["now"] * 12),
        "a window that is no number": lambda: aligned(tmin="long"),
        "a window that ends before it starts": lambda: aligned(tmin=2.0),
        "a window longer than the recording": lambda: aligned(tmin=-40.0),
        "a recording that is bad throughout": lambda: aligned(annotated(0.0, 30.0, "BAD_all")),
        "several markers per volume": lambda: by_trigger(
            BOLD[:6], make_raw(triggers=False).set_annotations(marks(np.arange(12) * 2.0))
        ),
        "several scans in one recording": lambda: by_trigger(
            BOLD[:8],
            make_raw(triggers=False).set_annotations(marks([*range(0, 8, 2), *range(14, 30, 2)])),
        ),
        "a channel of another type as trigger": lambda: by_trigger(trigger="Fz"),
        "a table of several recordings": lambda: aligned(
            bold=pd.concat([frame("ab")] * 2, keys=[0, 1], names=["recording", "volume"])
        ),
        "times of an unknown unit": lambda: aligned(
            bold=frame("ab").assign(**{"time (h)": np.arange(12.0) ** 1.1})
        ),
        "a seam in a recording": lambda: aligned(annotated(9.0, 0.0, "EDGE boundary")),
        "runs with other channels": lambda: aligned(
            [make_raw(), make_raw(EEG[:2], names=NAMES[:2])], [BOLD] * 2
        ),
        "runs at other rates": lambda: aligned([make_raw(), make_raw(sfreq=50.0)], [BOLD] * 2),
        "a channel that is not there": lambda: aligned(picks=["Pz"]),
        "a channel picked twice": lambda: aligned(picks=["Fz", "Fz"]),
        "no EEG channel": lambda: aligned(make_raw(kind="misc")),
        "NaN in the EEG": lambda: aligned(make_raw(changed(EEG, (1, 7), np.nan))),
        "a constant channel": lambda: aligned(make_raw(changed(EEG, 2, 1e-3))),
        "EEG beyond all units": lambda: aligned(make_raw(EEG * 1e60)),
        "an image in place of a table": lambda: aligned(bold=nib.Nifti1Image(image(), np.eye(4))),
        "BOLD without a region": lambda: aligned(bold=BOLD[:, :0]),
        "NaN in the BOLD": lambda: aligned(bold=changed(BOLD, (3, 1), np.nan)),
        "text in the BOLD": lambda: aligned(bold=pd.DataFrame({"left": ["high"] * 12})),
        "complex BOLD": lambda: aligned(bold=BOLD + 0j),
        "a masked array": lambda: aligned(bold=np.ma.masked_greater(BOLD, 1.0)),
        "BOLD beyond all units": lambda: aligned(bold=BOLD * 1e200),
        "a region that is there twice": lambda: aligned(bold=frame()),
        "runs with other regions": lambda: aligned([make_raw()] * 2, [BOLD, BOLD[:, :1]]),
        "runs with regions in another order": lambda: aligned(
            [make_raw()] * 2, [frame("ab"), frame("ba")]
        ),
    },
    "``EEGWindows``": {
        "no list of recordings": lambda: EEGWindows(None, [0], [5], make_info(), tmin=-3, tmax=0),
        "whole numbers as EEG": lambda: windows((EEG * 1e7).astype("int64")),
        "a recording of another shape": lambda: windows(EEG[:2]),
        "onsets that are not finite": lambda: windows(onsets=[5.0, np.nan]),
        "half a recording": lambda: windows(recording=[0.5] * 12),
        "a recording that is not there": lambda: windows(recording=[1] * 12),
        "bad stretches without an end": lambda: windows(bads=[[3.0]]),
        "a window that extends beyond the recording": lambda: windows(onsets=[1.0, 5.0]),
        "a window of nothing": lambda: windows(tmin=0.0),
    },
    "``EEGFilter`` and ``Windower``": {
        "an edge beyond the Nyquist frequency": lambda: EEGFilter(1, 60).fit(windows()),
        "edges in the wrong order": lambda: EEGFilter(20, 10).fit(windows()),
        "a recording shorter than the filter": lambda: EEGFilter(0.05, 40).fit(windows()),
        "an average of one channel": lambda: EEGFilter(1, 40).fit(
            windows(EEG[:1], info=make_info(["Fz"]))
        ),
        "a reference that is not there": lambda: EEGFilter(1, 40, reference=["M1"]).fit(windows()),
        "a plain array without a rate": lambda: EEGFilter(1, 40).fit(np.asarray(windows())),
        "other channels than in ``fit``": lambda: (
            EEGFilter(1, 40).fit(windows()).transform(windows(info=make_info(NAMES[::-1])))
        ),
        "an array without time": lambda: EEGFilter().fit(np.zeros((12, 3, 0))),
        "an array of four dimensions": lambda: EEGFilter().fit(np.zeros((12, 3, 4, 5))),
        "an array beyond all units": lambda: EEGFilter().fit(np.asarray(windows()) * 1e60),
        "a window that an epoch does not hold": lambda: Windower(9.0).fit(
            EEGWindows.from_array(windows(), sfreq=SFREQ)
        ),
    },
    "``BEIRARegressor``": {
        "a recording in place of its windows": lambda: beira().fit(make_raw(), BOLD),
        "the BOLD that ``align`` was given": lambda: beira().fit(aligned()[0], BOLD),
        "EEG and BOLD that changed places": lambda: beira().fit(BOLD, windows()),
        "no BOLD": lambda: beira().fit(windows(), None),
        "one volume": lambda: beira().fit(windows()[:1], BOLD[:1]),
        "a masked y": lambda: beira().fit(windows(), np.ma.masked_greater(BOLD, 1.0)),
        "a y of three dimensions": lambda: beira().fit(windows(), BOLD[..., None]),
        "another window in ``predict``": lambda: (
            beira().fit(windows(), BOLD).predict(windows(tmin=-2.0))
        ),
        "a device that is not there": lambda: beira(device="tpu9").fit(windows(), BOLD),
        "too few volumes to validate on": lambda: beira(max_epochs=1, validation_fraction=0.9).fit(
            windows(), BOLD
        ),
        "a gap that a plain array cannot keep": lambda: beira(
            max_epochs=1, validation_fraction=0.5, validation_gap=20.0
        ).fit(EEGWindows.from_array(windows(), sfreq=SFREQ), BOLD),
        "an even filter": lambda: beira(n_taps=20).fit(windows(), BOLD),
    },
    "``BandPower`` and what reads it": {
        "an invalid band": lambda: BandPower({"alpha": (12, 8)}).fit(windows()),
        "a band beyond the Nyquist frequency": lambda: BandPower({"gamma": (30, 80)}).fit(
            windows()
        ),
        "EEG shorter than the filter of a band": lambda: BandPower({"alpha": (8, 12)}).fit(
            EEGWindows.from_array(windows(tmin=-1.6), sfreq=SFREQ)
        ),
        "segments longer than the window": lambda: BandPower({"alpha": (8, 12)}, duration=4.0).fit(
            windows()
        ),
    },
    "``BlockedKFold``": {
        "one fold": lambda: list(BlockedKFold(1, gap=0).split(TABLE)),
        "a gap that is no time": lambda: list(BlockedKFold(gap="long").split(TABLE)),
        "a plain array without a gap": lambda: list(BlockedKFold().split(TABLE)),
        "a plain array without a pace": lambda: list(BlockedKFold(gap=4.0).split(TABLE)),
        "an invalid pace of an array": lambda: list(BlockedKFold(gap=4.0, t_r=-2.0).split(TABLE)),
        "more folds than volumes": lambda: list(BlockedKFold(13, gap=0).split(TABLE)),
        "a gap that leaves nothing": lambda: list(BlockedKFold(2, gap=30.0).split(windows())),
        "groups without a name": lambda: list(
            BlockedKFold(2, gap=0).split(TABLE, groups=[None] * 12)
        ),
    },
    "``compare`` and ``null_test``": {
        "no model": lambda: compared({}),
        "a maker that was not called": lambda: compared({"ridge": make_band_power_ridge}),
        "NaN in y": lambda: compared(y=changed(BOLD, (3, 1), np.nan)),
        "a column of y that is there twice": lambda: null_test(
            BlockedRidgeCV(), TABLE, frame(), **FOLDS
        ),
        "a fold without a test volume": lambda: compared(cv=[(np.arange(6), [])]),
        "a fold beyond the rows": lambda: compared(cv=[(np.arange(6), np.arange(6, 13))]),
        "several models at once": lambda: null_test({"ridge": BlockedRidgeCV()}, TABLE, BOLD),
        "groups of another length": lambda: compared(groups=[0, 1]),
        "volumes tested twice": lambda: compared(cv=[(np.arange(6), np.arange(4, 12))]),
        "a recording that is there twice": lambda: compared(X=twice()),
        "BOLD that is there twice": lambda: compared(
            y=np.tile(BOLD[:6], (2, 1)), groups=np.repeat([0, 1], 6)
        ),
        "``other_bold`` that is there twice": lambda: compared(
            null="swap", other_bold=[BOLD[::-1]] * 2
        ),
        "BOLD of other volumes than the EEG": lambda: aligned_fit(slice(1, None)),
        "tables in different order": lambda: compared(
            X=pd.DataFrame(TABLE), y=pd.DataFrame(BOLD).iloc[::-1]
        ),
        "tables out of order": lambda: compared(
            X=pd.DataFrame(TABLE).iloc[::-1], y=pd.DataFrame(BOLD).iloc[::-1]
        ),
        "folds without a split": lambda: compared(cv=[]),
        "a cache for a function without a name": lambda: compared(
            {"m": make_pipeline(FunctionTransformer(lambda X: X), BlockedRidgeCV())},
            cache=tempfile.mkdtemp(),
            null=None,
        ),
        "no draw": lambda: compared(n_surrogates=0),
        "an unknown null": lambda: compared(null="shuffle"),
        "a swap of one recording": lambda: compared(null="swap"),
        "an invalid level": lambda: compared(confidence_level=95),
        "shuffled folds without a refit": lambda: compared(
            cv=KFold(3, shuffle=True, random_state=0)
        ),
        "short test blocks next to training volumes, without a refit": lambda: compare(
            BlockedRidgeCV(), WALK[:, :3], WALK[:, 3], cv=BlockedKFold(30, gap=0), verbose=False
        ),
        "shifts of too little": lambda: compared(
            X=WALK[1:], y=np.diff(WALK, axis=0), null="shift", n_surrogates=1
        ),
    },
    "Metrics": {
        "other regions": lambda: pearson_r(BOLD, BOLD[:, :1]),
        "regions in another order": lambda: pearson_r(frame("ab"), frame("ba")),
        "blocks of another length": lambda: effective_n(BOLD, BOLD, blocks=[0, 1, 2]),
        "a volume without a block": lambda: pearson_r(BOLD, BOLD, blocks=[None] + [1] * 11),
        "invalid weights": lambda: pearson_r(BOLD, BOLD, multioutput=[0, 0]),
        "scores of one volume": lambda: region_scores(BOLD[:1], BOLD[:1]),
        "a correlation above 1": lambda: r_p_value(2.0, 10),
        "shapes that do not fit": lambda: r_interval([0.1, 0.2], [5, 6, 7]),
    },
    "``ROIExtractor``": {
        "a file that is not there": lambda: extracted("/nowhere/bold.nii"),
        "a list of runs": lambda: extracted([image(), image()]),
        "one volume of an image": lambda: extracted(image(1)),
        "NaN in an image": lambda: extracted(changed(image(), (1, 1, 1, 2), np.nan)),
        "confounds of another run": lambda: extracted(image(), confounds=np.zeros((3, 2))),
        "confounds that are no numbers": lambda: extracted(
            image(), confounds=pd.DataFrame({"csf": ["high"] * 8})
        ),
    },
    "``save_model`` and ``load_model``": {
        "a model that is not fitted": lambda tmp_path: save_model(
            BlockedRidgeCV(), tmp_path / "m.safetensors"
        ),
        "what is no model": lambda tmp_path: save_model(3, tmp_path / "m.safetensors"),
        "a model file that is not there": lambda tmp_path: load_model(tmp_path / "é.safetensors"),
    },
    "The command line": {
        "a folder that is not there": lambda capsys, tmp_path: command(
            capsys, "--output", tmp_path / "new" / "r.html"
        ),
        "an EEG file that is not there": lambda capsys, tmp_path: command(
            capsys, "--eeg", tmp_path / "é.fif", "--bold", "b.csv", "--output", tmp_path / "r.html"
        ),
        "a table with text in it": lambda capsys, tmp_path: run_with_table(
            capsys, tmp_path, "left,right\nhigh,1\nlow,2\n"
        ),
        "a table with decimal commas between commas": lambda capsys, tmp_path: run_with_table(
            capsys, tmp_path, "left,right\n1,5,2,5\n"
        ),
    },
    "What scikit-learn says": {
        "NaN in an array": lambda: BlockedRidgeCV().fit(changed(TABLE, (2, 1), np.nan), BOLD),
        "infinity in an array": lambda: EEGFilter().fit(changed(TABLE, (2, 1), np.inf)),
        "an array of text": lambda: EEGFilter().fit(np.full((12, 3), "a")),
        "an array of objects that are no numbers": lambda: EEGFilter().fit([[{}] * 3] * 12),
        "rows of different length": lambda: EEGFilter().fit([[1.0, 2.0], [1.0]]),
        "no rows": lambda: EEGFilter().fit(TABLE[:0]),
        "no channels": lambda: beira().fit(TABLE[:, :0], BOLD),
        "one row for a fit": lambda: beira().fit(TABLE[:1], BOLD[:1]),
        "X and y of different length": lambda: beira().fit(windows(), BOLD[:11]),
        "complex numbers": lambda: EEGFilter().fit(TABLE + 1j),
        "a single number as X": lambda: EEGFilter().fit(3.0),
        "a single row as X": lambda: EEGFilter().fit(TABLE[0]),
        "a table of three dimensions": lambda: pearson_r(BOLD[..., None], BOLD),
        "a single number as BOLD": lambda: pearson_r(3.0, BOLD),
        "another number of channels": lambda: (
            EEGFilter(None, None, sfreq=None).fit(TABLE).transform(TABLE[:, :2])
        ),
        "a parameter of a wrong kind": lambda: EEGFilter("low").fit(windows()),
        "a method before ``fit``": lambda: beira().predict(windows()),
    },
}

WARNINGS = {
    "µV taken for V": lambda: windows(EEG * 1e6),
    "mV taken for V": lambda: aligned(make_raw(EEG * 1e3)),
    "V scaled to V": lambda: aligned(make_raw(EEG * 1e-6)),
    "a fit at another rate than 100 Hz": lambda: BEIRARegressor(
        Compact(n_branches=1), verbose=False
    ).fit(EEGWindows.from_array(_rng.standard_normal((12, 2, 500)), sfreq=250.0), BOLD),
    "EEG after the volume": lambda: beira().fit(*aligned(tmax=2.0)),
    "a column of times among the regions": lambda: aligned(
        bold=frame(["time_s", "putamen"], np.c_[np.arange(12) * 2.0, BOLD[:, 0]])
    ),
    "markers at another pace than ``t_r``": lambda: aligned(t_r=1.9),
    "volumes without EEG": lambda: aligned(make_raw(triggers=False), t_r=5.5),
    "one channel in another unit": lambda: aligned(make_raw(EEG * [[1], [1], [1000]])),
    "a single marker": lambda: by_trigger(
        raw=make_raw(triggers=False).set_annotations(marks([3.0], "scan")), trigger="scan", t_r=2.0
    ),
    "BOLD whose rows count from 1": lambda: aligned(
        bold=frame("ab").assign(frame=[1, 2, 3, *range(5, 14)]), tmin=-1.0
    ),
    "EOG among the EEG": lambda: aligned(make_raw(names=["Fz", "Cz", "EOG1"])),
    "a region that does not vary": lambda: aligned(bold=frame("ab", changed(BOLD, (..., 0), 1.0))),
    "BOLD whose index says nothing": lambda: aligned_fit(index=pd.RangeIndex(11)),
    "a column that counts among the regions": lambda: aligned(
        bold=frame("ab").assign(scan=np.arange(12))
    ),
    "markers that ``t_r`` alone does not use": lambda: aligned(
        make_raw().set_annotations(mne.Annotations(3.0 + 2.0 * np.arange(12), 0.0, ["mri"] * 12))
    ),
    "times that begin with the first volume": lambda: aligned(
        make_raw().set_annotations(mne.Annotations(3.0 + 2.0 * np.arange(12), 0.0, ["mri"] * 12)),
        volume_times=2.0 * np.arange(12),
    ),
    "another unit than in the training": lambda: (
        beira().fit(windows(), BOLD).predict(windows(eeg=1e3 * EEG))
    ),
    "a window beyond that of X": lambda: (
        Windower(1.0, 2.0).fit(aligned()[0]).transform(aligned()[0][3:])
    ),
    "training and test volumes next to each other": lambda: compared(cv=KFold(2), null=None),
    "short test blocks next to training volumes": lambda: compared(
        X=WALK[:, :3], y=WALK[:, 3], cv=BlockedKFold(30, gap=0), null=None
    ),
    "smooth BOLD in blocks, without a refit": lambda: compared(
        **many_recordings(), cv=BlockedKFold(5, gap=10, t_r=1)
    ),
    "smooth BOLD in blocks, beside the p of ``n_eff``": lambda: compared(
        **many_recordings(), cv=BlockedKFold(5, gap=10, t_r=1), null=None
    ),
    "a selection in many folds, without a refit": lambda: compared(
        make_pipeline(SelectKBest(f_regression, k=1), Ridge()),
        _rng.standard_normal((60, 4)),
        _rng.standard_normal(60),
        cv=BlockedKFold(10, gap=0),
    ),
    "conditions taken for recordings": lambda: compared(
        X=WALK[:, :3],
        y=WALK[:, 3],
        groups=np.arange(120) // 10 % 2,
        cv=LeaveOneGroupOut(),
        null=None,
    ),
    "others whose BOLD is less smooth": lambda: compared(
        X=WALK[:, :3],
        y=WALK[:, 3],
        cv=BlockedKFold(2, gap=20, t_r=1),
        null="swap",
        n_surrogates=99,
        other_bold=list(np.random.default_rng(2).standard_normal((30, len(WALK)))),
    ),
    "a trend that draws move": lambda: compared(
        X=WALK[:, :3],
        y=WALK[:, 3] + np.arange(len(WALK)),
        cv=BlockedKFold(2, gap=20, t_r=1),
        null="phase",
        keep_trend=False,
    ),
    "a window longer than the folds are apart": lambda: compared(
        searched(BlockedKFold(2)), *aligned(tmin=-3.0), cv=BlockedKFold(2, gap=1.0), null=None
    ),
    "a search that chooses on volumes next to those it trains on": lambda: compared(
        searched(KFold(2)), *aligned(tmin=-3.0), cv=BlockedKFold(2), null=None
    ),
    "few swaps": lambda: compared(groups=np.repeat([0, 1], 6), null="swap"),
}


def read_page():
    """Rows of the tables: section, what is refused, error or warning, parts of its message."""
    section, rows = None, []
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        if line and re.fullmatch(r"([-=])\1+", below):
            section = line
        elif line.startswith("   * - "):
            rows.append([section, line[7:]])
        elif line.startswith("     - "):
            rows[-1].append(line[7:])
        elif line.startswith("       "):
            rows[-1][-1] += " " + line.strip()
    return [(*row[:3], tuple(row[3].split(" … "))) for row in rows if row[2:] and row[3] != HEAD]


HEAD = "The message contains"
ROWS = read_page()
REFUSED = [row for row in ROWS if row[0] != "Warnings"]


def is_said(facts, message):
    """Whether the message has every key fact, whatever else it says and in whichever order."""
    message = " ".join(str(message).split()).lower()
    return all(fact.lower() in message for fact in facts)


def kinds(error):
    return {kind.__name__ for kind in type(error).__mro__}


# What differs from case to case: numbers, quoted names, shapes, and who says it.
VARIES = re.compile(
    r"the BOLD of recording 0|recording 0|each window|-?\b\d+(\.\d+)?\b|'[^']*'|\([^()]*\)|"
    r"\b(X|y|y_true|y_pred|list|DataFrame|int64|complex128|EEGFilter|BEIRARegressor)\b"
)
DOCUMENTED = [
    (kind, [part.strip() for fact in facts for part in VARIES.sub("…", fact).split("…")])
    for _, _, kind, facts in ROWS
]


def attempt(use, *args):
    """What comes out, or the error; only one that is documented may come, and no warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return np.asarray(use(*args), dtype=float), None
        except (ValueError, TypeError) as caught:
            error = caught
    if not any(kind in kinds(error) and is_said(facts, error) for kind, facts in DOCUMENTED):
        raise AssertionError(f"not documented: {type(error).__name__}: {error}") from error
    return None, error


def test_the_page_has_a_row_for_every_case_and_none_besides():
    cases = {(section, what) for section, rows in CASES.items() for what in rows}
    cases |= {("Warnings", what) for what in WARNINGS}
    assert cases == {row[:2] for row in ROWS}
    assert len(cases) == len(ROWS)


@pytest.mark.parametrize(
    ("section", "what", "kind", "facts"), REFUSED, ids=[row[1] for row in REFUSED]
)
def test_what_is_refused_is_told_as_the_page_says(section, what, kind, facts, request):
    case = CASES[section][what]
    fixtures = case.__code__.co_varnames[: case.__code__.co_argcount]
    inputs = [values.copy() for values in (EEG, BOLD, TABLE, TIMES)]
    with pytest.raises((ValueError, TypeError)) as caught:
        case(*(request.getfixturevalue(name) for name in fixtures))
    assert is_said(facts, caught.value), str(caught.value)
    assert kind in kinds(caught.value) | {"exit status 2"}
    for before, after in zip(inputs, (EEG, BOLD, TABLE, TIMES), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize(
    ("what", "kind", "facts"), [row[1:] for row in ROWS if row[0] == "Warnings"], ids=list(WARNINGS)
)
def test_what_looks_wrong_is_said_at_the_line_of_the_user(what, kind, facts):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        WARNINGS[what]()
    said = [w for w in caught if is_said(facts, w.message)]
    assert len(said) == 1, [str(w.message) for w in caught]
    assert said[0].category.__name__ == kind
    assert said[0].filename == __file__


# -- numbers of any type, order and layout ------------------------------------------------------
def read_only(values):
    values = values.copy()
    values.flags.writeable = False
    return values


LAYOUTS = {
    "Fortran order": np.asfortranarray,
    "read-only": read_only,
    "every other column": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "backwards": lambda x: x[..., ::-1].copy()[..., ::-1],
    "as it is": lambda x: x,
}
TYPES = {
    "float64": lambda x: x,
    "float32": lambda x: x.astype("f4"),
    "float16": lambda x: x.astype("f2"),
    "big-endian": lambda x: x.astype(">f8"),
    "small big-endian": lambda x: x.astype(">f4"),
    "long": lambda x: x.astype("g"),
    "whole": lambda x: np.round(10 * x).astype("i2"),
    "objects": lambda x: x.astype(object),
}

#: What is done with ready-cut windows X and BOLD y: the function returns numbers.
USES = {
    "filter": lambda X, y: EEGFilter(5, 20, sfreq=50).fit_transform(
        EEGWindows.from_array(X, SFREQ)
    ),
    "windower": lambda X, y: Windower(1.0, 0.5).fit_transform(EEGWindows.from_array(X, SFREQ)),
    "power": lambda X, y: BandPower({"alpha": (8, 12)}, duration=1.0, step=1.0).fit_transform(
        EEGWindows.from_array(X, SFREQ)
    ),
    "network": lambda X, y: (
        beira().fit(EEGWindows.from_array(X, SFREQ), y).predict(EEGWindows.from_array(X, SFREQ))
    ),
    "ridge": lambda X, y: BlockedRidgeCV().fit(X[:, :, 0], y).predict(X[:, :, 0]),
    "folds": lambda X, y: np.concatenate(
        [np.r_[train, test] for train, test in BlockedKFold(3, gap=2.0, t_r=2.0).split(X)]
    ),
    "table": lambda X, y: compare(BlockedRidgeCV(), X[:, :, 0], y, null=None, **FOLDS).table[
        ["r", "mse", "n_eff"]
    ],
    "scores": lambda X, y: region_scores(y, X[:, : y.shape[1], 0]),
    "n_eff": lambda X, y: effective_n(y, X[:, : y.shape[1], 0]),
}
ONCE = settings(
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=40,
    suppress_health_check=list(HealthCheck),
)
LONG = settings(ONCE, max_examples=300)


def result_or_refusal(use, *args):
    """Numbers, or None where they are refused; the input stays as it is."""
    before = [np.array(arg) for arg in args]
    found, _ = attempt(use, *args)
    for arg, values in zip(args, before, strict=True):
        np.testing.assert_array_equal(np.asarray(arg), values)
    return found


def check_layouts(use, seed, shape, n_rois, of_x, of_y, layout):
    rng = np.random.default_rng(seed)
    X = TYPES[of_x](rng.standard_normal(shape))
    y = TYPES[of_y](rng.standard_normal((shape[0], n_rois)))
    expected = result_or_refusal(USES[use], X.astype("f8"), y.astype("f8"))
    found = result_or_refusal(USES[use], LAYOUTS[layout](X), LAYOUTS[layout](y))
    assert (found is None) == (expected is None)
    if found is not None:
        assert np.isfinite(found).all()
        scale = np.abs(expected).max() or 1.0
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * scale)


any_layout = given(
    use=st.sampled_from(list(USES)),
    seed=st.integers(0, 9),
    shape=st.tuples(st.integers(6, 14), st.integers(1, 4), st.sampled_from([160, 200])),
    n_rois=st.integers(1, 2),
    of_x=st.sampled_from(list(TYPES)),
    of_y=st.sampled_from(list(TYPES)),
    layout=st.sampled_from(list(LAYOUTS)),
)
test_any_type_and_layout_gives_what_float64_gives = ONCE(any_layout(check_layouts))
test_many_types_and_layouts_give_what_float64_gives = pytest.mark.slow(
    LONG(any_layout(check_layouts))
)


# -- values and shapes that have no place in EEG or BOLD ----------------------------------------
SPOILED = {
    "nothing": lambda x: x,
    "NaN": lambda x: changed(x, (0,) * x.ndim, np.nan),
    "infinity": lambda x: changed(x, (-1,) * x.ndim, -np.inf),
    "a constant column": lambda x: changed(x, (slice(None), 0), x.flat[0]),
    "zeros": lambda x: 0 * x,
    "a column twice": lambda x: changed(x, (slice(None), 0), x[:, -1]),
    "too large": lambda x: x * 1e200,
    "too small": lambda x: x * 1e-200,
    "an offset": lambda x: x + 1e6,
    "no rows": lambda x: x[:0],
    "one row": lambda x: x[:1],
    "two rows": lambda x: x[:2],
    "no columns": lambda x: x[:, :0],
    "a row less": lambda x: x[:-1],
    "one dimension": lambda x: x.ravel()[: len(x)],
    "one more dimension": lambda x: x[..., None],
    "complex": lambda x: x + 0j,
    "masked": lambda x: np.ma.masked_greater(x, 0.0),
    "text": lambda x: np.full(x.shape, "a"),
    "dates": lambda x: x.astype("M8[s]"),
    "a list": lambda x: x.tolist(),
    "None": lambda x: None,
    "a number": lambda x: 3.0,
    "a dict": lambda x: {"x": x},
}
# Where there is too little to tell a number, NaN is what scores say.
MAY_BE_NAN = {"table", "scores"}


def check_spoiled(use, of_x, of_y):
    run = SPOILED_USES.get(use) or USES[use]
    X, y = SPOILED[of_x](EEG if use == "windows" else EEG3), SPOILED[of_y](BOLD)
    found, error = attempt(run, X, y)
    assert error is not None or use in MAY_BE_NAN or np.isfinite(found).all()


EEG3 = 1e-5 * _rng.standard_normal((12, 3, 200))
SPOILED_USES = {
    "ridge": lambda X, y: BlockedRidgeCV().fit(TABLE, y).predict(TABLE),
    "windows": lambda X, y: windows(X),
    "align": lambda X, y: aligned(bold=y)[1],
    "table": lambda X, y: compare(BlockedRidgeCV(), TABLE, y, null=None, **FOLDS).table["r"],
    "scores": lambda X, y: region_scores(y, BOLD),
    "r": lambda X, y: pearson_r(BOLD, y),
    "n_eff": lambda X, y: effective_n(y, BOLD),
}


@pytest.mark.parametrize("use", ["filter", "windower", "power", "windows"])
@pytest.mark.parametrize("of_x", SPOILED)
def test_spoiled_eeg_is_refused_as_the_page_says_or_works(use, of_x):
    check_spoiled(use, of_x, "nothing")


@pytest.mark.parametrize("use", ["network", "ridge", "align", "table", "scores", "r", "n_eff"])
@pytest.mark.parametrize("of_y", SPOILED)
def test_spoiled_bold_is_refused_as_the_page_says_or_works(use, of_y):
    check_spoiled(use, "nothing", of_y)


@pytest.mark.parametrize("of_x", SPOILED)
def test_a_network_refuses_spoiled_eeg_as_the_page_says_or_works(of_x, capfd):
    check_spoiled("network", of_x, "nothing")
    assert capfd.readouterr() == ("", "")  # LAPACK complains there, not by an exception


ALPHA = {"alpha": (8, 12)}
MODELS = {
    "BEIRARegressor": lambda: beira(),
    "BlockedRidgeCV": lambda: BlockedRidgeCV(),
    "FingerprintRidgeCV": lambda: FingerprintRidgeCV(ALPHA, duration=1.0),
    "BandedRidgeCV": lambda: BandedRidgeCV(ALPHA, duration=1.0, n_iter=2),
    "SPoCRidgeCV": lambda: SPoCRidgeCV(ALPHA),
    "SparseGroupLassoCV": lambda: SparseGroupLassoCV(ALPHA, duration=1.0, n_alphas=2),
}


@pytest.mark.parametrize("name", MODELS)
def test_baselines_refuse_the_bold_that_beira_refuses(name):
    X = TABLE if name == "BlockedRidgeCV" else windows()
    model = MODELS[name]()
    twice = pd.DataFrame(BOLD, columns=["Thalamus", "Thalamus"])
    with pytest.raises(ValueError, match="y has several columns named 'Thalamus'"):
        model.fit(X, twice)
    with pytest.raises(TypeError, match="y is a masked array"):
        model.fit(X, np.ma.masked_greater(BOLD, 1.0))
    with pytest.raises(ValueError, match=r"y holds values up to 1e\+18"):
        model.fit(X, np.full_like(BOLD, 1e18))


# -- when volumes were acquired -----------------------------------------------------------------
times = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True), st.floats(-5.0, 40.0), st.just(6.0)
)


@ONCE
@given(
    onsets=st.lists(times, min_size=1, max_size=6),
    tmin=st.floats(-20.0, 2.0),
    span=st.floats(0.0, 10.0),
    bad=st.tuples(st.floats(0.0, 29.0), st.floats(0.0, 20.0)),
)
def test_align_keeps_volumes_whose_eeg_is_there_and_good_or_says_why_not(onsets, tmin, span, bad):
    start, duration = bad
    raw, tmax = annotated(start, min(duration, 29.5 - start), "BAD_move"), tmin + span
    bold = BOLD[: len(onsets)]
    try:
        X, y = align(raw, bold, volume_times=onsets, tmin=tmin, tmax=tmax, verbose="error")
    except ValueError as error:
        if re.match(
            "the volume onsets of recording 0 must be|no volume is left|tmin=.* must be less than|"
            "a window needs tmax > tmin",
            str(error),
        ):
            return
        raise
    assert len(X) == len(y) > 0
    assert np.isfinite(np.asarray(X)).all()
    assert not X.overlaps_bad().any()
    kept = np.isin(onsets, X.times)
    np.testing.assert_array_equal(y, bold[kept])


# -- names, many channels -----------------------------------------------------------------------
def test_names_and_paths_may_be_of_any_script(tmp_path):
    folder = tmp_path / "Ünï 脑 путь"
    folder.mkdir()
    names = ["Fz é", "电极", "Ω"]
    regions = frame(["скорлупа", "尾状核 左"])
    X, y = aligned(make_raw(names=names), regions)
    model = beira().fit(X, y)
    save_model(model, folder / "модель.safetensors")
    again = load_model(folder / "модель.safetensors")
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert read_branches(again, X).ch_names == names
    comparison = compare(
        make_band_power_ridge(2.0, bands={"α": (8, 12)}),
        X, y, cv=BlockedKFold(2, gap=0.5), null=None, cache=folder / "кэш", verbose=False,
    )  # fmt: skip
    assert list(comparison.bold.columns) == list(regions.columns)


@pytest.mark.parametrize("n_channels", [1, 256])
def test_one_channel_and_many_channels_work(n_channels):
    eeg = 1e-5 * np.random.default_rng(0).standard_normal((n_channels, 3000))
    X = windows(eeg, info=make_info([f"E{k}" for k in range(n_channels)]))
    reference = "average" if n_channels > 1 else None
    X = EEGFilter(2, 40, sfreq=100, reference=reference).fit_transform(X)
    y = beira().fit(X, BOLD).predict(X)
    assert np.isfinite(y).all()
    assert y.shape == BOLD.shape


def test_channels_that_are_copies_of_each_other_work():
    X = windows(EEG[[0, 0, 1]])
    y = beira().fit(X, BOLD).predict(X)
    assert np.isfinite(y).all()


@pytest.mark.parametrize("value", [10**400, -(10**400)])
def test_confounds_that_no_float_holds_are_refused(value):
    table = pd.DataFrame({"csf": [value, *[1] * 7]}, dtype=object)
    with pytest.raises(ValueError, match=r"The confounds .*csf.* are not all numbers"):
        extracted(image(), confounds=table)


# -- results on disk ----------------------------------------------------------------------------
def claim(content, flags=0, method=0):
    """The same zip file, whose members claim to be encrypted or compressed."""
    content = bytearray(content)
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        for found in re.finditer(re.escape(signature), bytes(content)):
            content[found.start() + at] |= flags
            content[found.start() + at + 2] |= method
    return bytes(content)


@pytest.mark.parametrize(
    ("what", "error"), [({"flags": 1}, RuntimeError), ({"method": 8}, zlib.error)]
)
def test_a_stored_result_that_claims_what_it_is_not_is_computed_again(what, error, tmp_path):
    store = ResultStore(tmp_path)
    store.put("key", np.arange(6.0), {"a": 1})
    path = tmp_path / "key.npz"
    whole = bytes(read_checked(path))
    # \xff begins no compressed block.
    changed = claim(whole, **what).replace(b"\x93NUMPY", b"\xffNUMPY")
    with pytest.raises(error), np.load(io.BytesIO(changed)) as found:  # what could reach the user
        found["values"]
    path.write_bytes(path.read_bytes()[: -len(whole)] + changed)
    assert store.get("key") is None
    write_checked(path, changed)
    assert store.get("key") is None
    write_checked(path, whole)
    np.testing.assert_array_equal(store.get("key")[0], np.arange(6.0))
