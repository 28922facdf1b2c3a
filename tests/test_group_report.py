"""The report of a group, and the quality of its runs."""

import json
import re
from dataclasses import replace

import mne
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.model_selection import LeaveOneGroupOut
from sklearn.utils import Bunch

from sklearn_beira import BlockedKFold, EEGFilter, align, compare, group_scores
from sklearn_beira.baselines import make_alpha_hrf, make_time_polynomial
from sklearn_beira.cleaning import residual_artifacts
from sklearn_beira.cli.group_figures import plot_group_predictions
from sklearn_beira.cli.group_report import (
    _in_people,
    _shared_in_words,
    make_group_report,
    mean_tables,
    score_table,
)
from sklearn_beira.cli.quality import marked_runs, run_quality
from sklearn_beira.datasets import Study
from sklearn_beira.datasets.derivatives import write_table

PEOPLE = ["01", "<i>x", "<i>x", "group"]  # the last name is that of no mean


@pytest.fixture(scope="module")
def group(make_study):
    """Four runs of three people; the second run has a bad stretch, all have motion."""
    study = make_study(4, duration=150.0, n_channels=4, bands=[(8.0, 12.0)])
    study.raws[1].annotations.append(60.0, 15.0, "BAD_motion")
    rng = np.random.default_rng(0)
    moved = [pd.DataFrame({"framewise_displacement": rng.random(len(y))}) for y in study.bolds]
    X, y = align(
        study.raws, study.bolds, trigger="mri", tmin=-12.0, subjects=PEOPLE, nuisance=moved,
        verbose="error",
    )  # fmt: skip
    X = EEGFilter(1, 45, sfreq=100).fit_transform(X)
    models = {"BEIRA": make_alpha_hrf(12.0), "time": make_time_polynomial()}
    options = {"n_surrogates": 19, "verbose": False, "null": "phase"}
    across = compare(
        models, X.with_nuisance(None), y, cv=LeaveOneGroupOut(), groups=X.subjects, **options
    )
    within = {}
    for person in dict.fromkeys(PEOPLE):
        rows = np.flatnonzero(X.subjects == person)
        own = X[rows].with_nuisance(None), y.iloc[rows]
        within[person] = compare(models, *own, cv=BlockedKFold(2), **options)
    scores = score_table(across, within)
    return Bunch(X=X, y=y, moved=moved, across=across, within=within, scores=scores)


def test_scores_hold_every_participant_and_the_group_in_both_ways(group):
    scores = group.scores.set_index(["evaluation", "model", "participant"])
    scores = scores.sort_index(kind="stable")
    assert (scores["scope"] == "group").tolist() == [key[2] == "" for key in scores.index]
    for person, own in group.within.items():
        pooled = own.table.query("scope == 'pooled' and model == 'BEIRA'")
        found = scores.loc[("within participants", "BEIRA", person)]
        for column in ("r", "ci_low", "p_parametric", "p_max", "null_high"):
            assert found[column].tolist() == pooled[column].tolist()
    r = [scores.loc[("within participants", "BEIRA", person), "r"] for person in group.within]
    expected = group_scores(np.array(r))
    mean = scores.loc[("within participants", "BEIRA", "")]
    np.testing.assert_allclose(mean["r"], expected["r"])
    # p of the mean against the middle of the null, not against 0.
    ends = np.array([
        scores.loc[("within participants", "BEIRA", person), ["null_low", "null_high"]]
        for person in group.within
    ])  # fmt: skip
    middle = np.arctanh(ends).mean(axis=(0, 2))
    assert (np.abs(middle) > 1e-3).all()
    moved = group_scores(np.tanh(np.arctanh(np.array(r)) - middle))
    np.testing.assert_allclose(mean["p_parametric"], moved["p"], rtol=1e-6)
    pooled = group.across.table.query("scope == 'pooled' and model == 'time'")
    across = scores.loc[("left-out participants", "time", "")]
    assert across["p_max"].tolist() == pooled["p_max"].tolist()


def test_swaps_that_are_moved_towards_r_do_not_hide_a_group(group):
    ends = {"null_low": -0.1, "null_high": 0.3}  # as moved by a sixth of the way to r = .6
    found = {}
    for null in ("phase", "swap"):
        changed = replace(group.across, settings=group.across.settings | {"null": null})
        changed.recordings = np.arange(len(changed.bold)) % 6
        changed.table = changed.table.assign(r=0.6, ci_low=0.4, ci_high=0.75, **ends)
        scores = score_table(changed, {}).query("scope == 'group'")
        z = np.arctanh([0.6, 0.4, 0.75, -0.1, 0.3])
        middle = z[3:].mean()
        if null == "swap":
            middle = (middle - z[0] / 6) / (5 / 6)
        t = (z[0] - middle) / ((z[2] - z[1]) / 2 / stats.t.ppf(0.975, 2))
        np.testing.assert_allclose(scores["p_parametric"], stats.t.sf(t, 2))
        found[null] = scores["p_parametric"].iloc[0]
    assert found["swap"] < found["phase"]


def test_two_participants_give_no_interval(group):
    two = {name: group.within[name] for name in PEOPLE[:2]}
    scores = score_table(group.across, two)
    known = scores.groupby(["evaluation", "scope"])[["ci_low", "p_parametric"]].count().min(axis=1)
    assert known.to_dict() == {
        ("within participants", "participant"): 8,  # in 2 regions by 2 models
        ("within participants", "group"): 0,
        ("left-out participants", "participant"): 12,
        ("left-out participants", "group"): 4,
    }
    tables = dict(mean_tables(scores, 2, 0.05))
    for way, is_known in (("within participants", False), ("left-out participants", True)):
        assert ("interval" in tables[way], "p_people" in tables[way]) == (is_known, is_known)


def test_a_group_may_have_one_region(group):
    region = group.scores["region"].iloc[0]
    for _, table in mean_tables(group.scores[group.scores["region"] == region], 3, 0.05):
        assert table.index.tolist() == [region]


def test_quality_of_runs_is_that_of_signals_and_annotations(group):
    quality = run_quality(group.X, group.y)
    assert quality["subject"].tolist() == PEOPLE
    counts = group.X.alignment
    assert quality["kept"].tolist() == counts["kept"].tolist()
    np.testing.assert_allclose(quality["kept_share"], counts["kept"] / counts["n_volumes"])
    np.testing.assert_allclose(quality["bad_eeg"], [0.0, 0.1, 0.0, 0.0], atol=1e-3)
    fd = [table["framewise_displacement"] for table in group.moved]
    np.testing.assert_allclose(quality["max_fd"], [one.max() for one in fd])
    np.testing.assert_allclose(quality["mean_fd"], [one.mean() for one in fd])
    expected = [
        residual_artifacts(mne.io.RawArray(eeg, group.X.info, verbose="error"), t_r=1.95)
        for eeg in group.X.recordings
    ]
    np.testing.assert_allclose(
        quality["gradient"], [table["volumes"].median() for table in expected], atol=0.05
    )
    assert (quality["gradient"].abs() < 2).all()
    assert quality["n_eff"].between(3, quality["kept"]).all()
    unknown = run_quality(group.X.with_nuisance(None), group.y)
    assert unknown[["mean_fd", "max_fd"]].isna().to_numpy().all()
    known = run_quality(
        group.X, group.y, {0: [np.nan, 0.1, 0.3]}
    )  # the first one has no volume before
    np.testing.assert_allclose(known.loc[0, ["mean_fd", "max_fd"]].astype(float), [0.2, 0.3])


def test_a_run_of_which_no_volume_is_used_has_a_quality(make_study):
    study = make_study(2, duration=60.0, n_channels=4)
    study.raws[0].annotations.append([0.0, 10.0], 100.0, ["BAD_all", "BAD_twice"])
    X, y = align(study.raws, study.bolds, trigger="mri", tmin=-4.0, verbose="error")
    quality = run_quality(X, y)
    assert quality["kept"].tolist() == [0, len(y)]
    assert quality["bad_eeg"].tolist() == [1.0, 0.0]
    assert quality[["n_eff", "loud_eeg", "gradient"]].isna().all(axis=1).tolist() == [True, False]


def test_runs_that_differ_on_the_suspicious_side_are_marked(group):
    quality = pd.concat([run_quality(group.X, group.y)] * 3, ignore_index=True)
    quality["mean_fd"] = 0.1 + 0.01 * np.arange(12)
    quality.loc[3, "mean_fd"], quality.loc[4, "mean_fd"] = 2.0, 0.0
    quality["bad_eeg"] = 0.0
    quality.loc[5, "bad_eeg"], quality.loc[6, "bad_eeg"] = 0.3, 0.01
    marked = marked_runs(quality)
    assert np.flatnonzero(marked["mean_fd"]).tolist() == [3]
    assert np.flatnonzero(marked["bad_eeg"]).tolist() == [5]
    assert not marked_runs(quality.iloc[3:6]).to_numpy().any()  # few runs have no usual value


def test_columns_of_all_tables_are_described(group, tmp_path):
    names = dict.fromkeys(["subject", "session", "task", "run"], "1")
    quality = run_quality(group.X, group.y).drop(columns=["subject", "file"]).assign(**names)
    tables = {"study": Study([]).table, "scores": group.scores, "quality": quality}
    for name, table in tables.items():
        write_table(table, tmp_path / f"{name}.tsv")
        columns = json.loads((tmp_path / f"{name}.json").read_text())
        assert list(columns) == list(pd.read_csv(tmp_path / f"{name}.tsv", sep="\t"))


def test_shared_branches_are_named_with_the_number_of_people():
    shared = Bunch(
        region_names=["A", "B", "C"], regions=np.array([0, 0, 2]), n_people=9,
        people=[dict.fromkeys("xyz", 0), dict.fromkeys("xy", 1), dict.fromkeys("yz", 2)],
        p_alike=np.array([0.01, 0.04, np.nan]),
    )  # fmt: skip
    assert _shared_in_words(shared) == (
        "in 2 of 3 regions (participants with one): A\N{NO-BREAK SPACE}(3\N{NO-BREAK SPACE}of"
        "\N{NO-BREAK SPACE}9), C\N{NO-BREAK SPACE}(2\N{NO-BREAK SPACE}of\N{NO-BREAK SPACE}9)"
    )
    shared.p_alike[:] = 0.06
    assert _shared_in_words(shared) == "none that is in more participants than by chance"
    none = Bunch(region_names=["A"], regions=np.array([], dtype=int), n_people=9, people=[])
    none.p_alike = np.array([])
    assert _shared_in_words(none) == "none"


def test_regions_predicted_in_people_like_these_are_corrected_for_their_number():
    rows = pd.DataFrame({"region": list("abc"), "r": 0.3, "p_parametric": [0.01, 0.04, np.nan]})
    (told,) = _in_people(rows).values()
    assert told == "1 of 3 regions (p_people × 3 ≤ 0.05): a\N{NO-BREAK SPACE}(0.30)"
    assert _in_people(rows.assign(p_parametric=np.nan)) == {}


def test_predictions_within_are_drawn_at_the_volumes_that_the_group_uses(group):
    count = pd.Series(group.X.groups).groupby(group.X.groups).cumcount()
    rows = np.flatnonzero(count % 2 == 0)
    X, people = group.X[rows].with_nuisance(None), group.X.subjects[rows]
    models = {"BEIRA": make_alpha_hrf(12.0)}
    across = compare(
        models,
        X,
        group.y.iloc[rows],
        cv=LeaveOneGroupOut(),
        groups=people,
        null=None,
        verbose=False,
    )
    region = group.y.columns[0]
    fig = plot_group_predictions(across, group.within, people, region)
    for ax, person in zip(fig.axes, dict.fromkeys(PEOPLE), strict=False):
        own, measured = group.within[person], across.bold[region].to_numpy()[people == person]
        lines = [line for line in ax.lines if line.get_label() == "predicted, within"]
        drawn = np.concatenate([line.get_ydata() for line in lines])
        every = own.predictions["BEIRA"][region].groupby(own.recordings)
        every = np.concatenate([of_run.to_numpy()[::2] for _, of_run in every])
        every = (every[np.isfinite(every)] - measured.mean()) / measured.std()
        np.testing.assert_allclose(drawn[np.isfinite(drawn)], every)


def test_page_of_a_group(group, tmp_path):
    runs = pd.DataFrame({
        "subject": ["01", "<i>x", "<i>x", "03", "04"], "session": None, "task": "rest",
        "run": ["1", "1", "2", "1", "1"], "eeg": "", "bold": "", "confounds": None, "t_r": 1.95,
        "trigger": "mri", "verdict": ["ok"] * 4 + ["refused"], "reason": [""] * 4 + ["<b>no"],
    })  # fmt: skip
    pages = {"<i>x": 'sub-<i>"x/report.html'}
    report = make_group_report(
        group.across, group.within, group.X, group.scores, run_quality(group.X, group.y),
        runs=runs, pages=pages, data="Note: one.", title="Group",
    )  # fmt: skip
    report.save(tmp_path / "group.html", open_browser=False, verbose="error")
    page = (tmp_path / "group.html").read_text(encoding="utf-8")
    assert "could not be drawn" not in page
    assert "<i>x" not in page
    assert '<a href="sub-%3Ci%3E%22x/report.html">&lt;i&gt;x</a>' in page
    assert "&lt;b&gt;no" in page
    assert "5 runs: 4 ok, 1 refused. Those that are not used come first." in page
    assert page.index("&lt;b&gt;no") < page.index(">ok<")
    sections = ["Summary", "Group", "Predictions", "Runs", "Scores"]
    places = [page.rindex(f">{name}<") for name in sections]
    assert places == sorted(places)
    for way in ("within participants", "left-out participants"):
        r = group.scores.query("scope == 'group' and model == 'BEIRA' and evaluation == @way")
        assert f"{way} {r['r'].mean():z.2f}" in page
    assert re.search(r"p_people.*found in.*p_max", page, flags=re.DOTALL)
    assert " of 2 regions (p_people × 2 ≤ 0.05)" in page
    assert "not checked: a good prediction may be one of movement" in page
