"""The report is one page that holds everything and needs nothing else."""

import html
import re
from dataclasses import replace
from datetime import UTC, datetime

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils import Bunch

from sklearn_beira import (
    BEIRARegressor,
    Compact,
    EEGFilter,
    EEGWindows,
    ROIExtractor,
    Windower,
    align,
    compare,
)
from sklearn_beira.datasets import make_eeg_fmri
from sklearn_beira.evaluation.metrics import pearson_r_scorer
from sklearn_beira.evaluation.splitters import BlockedKFold
from sklearn_beira.inspection import channel_importance, read_branches
from sklearn_beira.viz import report
from sklearn_beira.viz.report import make_report


@pytest.fixture(scope="module")
def parts():
    """A comparison and its models, of a recording that comes with its images."""
    study = make_eeg_fmri(
        duration=150.0, n_channels=6, n_rois=2, return_img=True, noise_ceiling=0.97, random_state=0
    )  # fmt: skip
    study.raws[0].set_meas_date(datetime(2024, 5, 6, 7, 8, tzinfo=UTC))
    study.raws[0].info["subject_info"] = {"his_id": "sub-<07>"}
    extractor = ROIExtractor(study.atlas_img, labels=study.labels, smoothing_fwhm=None)
    bold = extractor.fit_transform(study.bold_imgs[0])
    X, y = align(study.raws[0], bold, trigger="mri", tmin=-12.0, tmax=0.0, verbose="error")
    model = Pipeline(
        [
            ("filter", EEGFilter(1, 45, sfreq=100)),
            ("window", Windower(12.0)),
            ("beira", BEIRARegressor(Compact(n_branches=3), verbose=False)),
        ]
    )
    comparison = compare(
        {"BEIRA": model, "mean": DummyRegressor()}, X, y, cv=BlockedKFold(3), n_surrogates=19,
        verbose=False,
    )  # fmt: skip
    model.fit(X, y)
    return {
        "comparison": comparison, "X": X, "model": model, "branches": read_branches(model, X),
        "extractor": extractor,
    }  # fmt: skip


@pytest.fixture(autouse=True)
def no_screen():
    mpl.use("Agg")
    yield
    plt.close("all")


def page_of(given, folder):
    path = folder / "report.html"
    make_report(**given, n_branches=1).save(
        path, overwrite=True, open_browser=False, verbose="error"
    )
    return path.read_text(encoding="utf-8")


def few(parts, *names):
    return {name: parts[name] for name in ("comparison", "X", *names)}


def changed(comparison, **columns):
    """The comparison with other values in pooled rows of BEIRA."""
    table = comparison.table.copy()
    first = (table["model"] == "BEIRA") & (table["scope"] == "pooled")
    for name, values in columns.items():
        table.loc[first, name] = values
    return replace(comparison, table=table)


def summary_of(page):
    """Heading and facts of the box that the report opens with."""
    (box,) = re.findall(r'<div class="beira-box"><h4>(.*?)</table></div>', page, re.DOTALL)
    heading, facts = box.split("</h4>")
    facts = re.findall("<th>(.*?)</th><td>(.*?)</td>", facts)
    clean = {html.unescape(k): html.unescape(v).replace("\xa0", " ") for k, v in facts}
    return html.unescape(heading), clean


def test_the_report_is_one_file_that_holds_everything(parts, tmp_path):
    before = plt.get_fignums()
    page = page_of(
        parts
        | {"ceiling": [0.8, 0.7], "data": "Simulated <data>.\n\nNote: <two>.",
           "protocol": "Blocks.",
           "code": "for _ in range(2):\n    compare(models, X, y)",
           "command": "python -m sklearn_beira --seed 3"},
        tmp_path,
    )  # fmt: skip
    comparison = parts["comparison"]
    pooled = comparison.table.query("scope == 'pooled' and model == 'BEIRA'")
    for text in (
        f"{pooled['r'].iloc[0]:.2f}",
        html.escape(comparison.settings["question"]),
        "<p>Simulated &lt;data&gt;.</p>",
        '<p class="beira-note">Note: &lt;two&gt;.</p>',
        "Blocks.",
        "for _ in range(2):\n    compare(models, X, y)",
        "python -m sklearn_beira --seed 3",
        comparison.settings["cv"],
        *comparison.versions.values(),
        "EEGFilter(",
        "BEIRARegressor",
    ):
        assert text in page, text
    sections = [
        "Summary", "Data and alignment", "Preprocessing", "Model", "Scores", "Predictions",
        "Branches", "Brain map", "Software versions and how to repeat it",
    ]  # fmt: skip
    places = [page.index(f">{section}<") for section in sections]
    assert places == sorted(places)
    # Nothing is fetched when the page is opened.
    assert not re.search(r"""(src|@import)\s*=?\s*["'(]*\s*https?:""", page)
    assert not re.search(r"<link[^>]*https?:", page)
    assert "-0.00" not in page
    # What EEGWindows need of memory is no fact about the data.
    assert f"{len(parts['X'])} BOLD volumes" in page
    assert not re.search("Memory</th>|<caption>EEGWindows", page)
    assert "<th>n_surrogates</th><td>19</td>" in page
    assert "Bands it uses" in page  # a model without epochs
    assert "How it was trained" not in page
    assert plt.get_fignums() == before


def test_the_summary_tells_what_was_found_where_by_which_model_and_in_which_file(parts, tmp_path):
    left, right = parts["comparison"].bold
    comparison = changed(parts["comparison"], r=[0.5, -0.001], p_max=[0.05, 0.051])
    files = ["/data/run<1>.vhdr", "bold.csv"]
    heading, facts = summary_of(
        page_of(few(parts) | {"comparison": comparison, "files": files}, tmp_path)
    )
    assert heading == "BEIRA predicts 1 of 2 regions"
    assert facts["Files"] == "run<1>.vhdr, bold.csv"
    assert facts["Subject"] == "sub-<07>"
    assert facts["Measured"] == "2024-05-06 07:08"
    assert facts["Predicted (p_max ≤ 0.05)"] == f"{left} (0.50)"
    assert facts["Not predicted"] == f"{right} (0.00)"
    assert facts["Best model"].startswith("BEIRA (mean r = 0.25), then mean (")
    burst = "Driven by few volumes (r without a stretch)"
    assert not {"Warnings", burst} & set(facts)
    few_decide = {"p_parametric": [0.06, 0.05], "influence": 1.6, "r_without_burst": [0.2, 0.4]}
    doubted = changed(comparison, p=0.05, **few_decide)
    page = page_of(few(parts) | {"comparison": doubted}, tmp_path)
    heading, facts = summary_of(page)
    assert heading == "BEIRA predicts 1 of 2 regions, 1 of them perhaps by few volumes"
    assert facts[burst] == f"{left} (0.20)"
    assert "<dt>r_without_burst</dt>" in page
    assert f"Volumes that decide r of {left}" in page
    assert f"Volumes that decide r of {right}" not in page
    # Without a null there is no verdict.
    untested = changed(comparison, p_max=np.nan)
    heading, facts = summary_of(page_of(few(parts) | {"comparison": untested}, tmp_path))
    assert heading == "BEIRA: mean r = 0.25 over 2 regions"
    assert facts["r by region"] == f"{left} (0.50), {right} (0.00)"
    assert facts["Files"] == "not given"
    assert not {"Predicted (p_max ≤ 0.05)", "Not predicted"} & set(facts)


def test_nothing_of_the_page_passes_for_ours_that_is_of_mne(parts, tmp_path):
    style = page_of(few(parts), tmp_path)
    assert re.search(r"#top-bar img[^{]*footer \{display: none !important\}", style)


def test_the_table_keeps_the_order_of_models_and_marks_the_lowest_p(parts, tmp_path):
    page = page_of(few(parts), tmp_path)
    header, _doubts = re.findall(r"dataframe.*?<thead>(.*?)</thead>", page, flags=re.DOTALL)
    columns = re.findall(r"<th[^>]*>\s*([^<]*?)\s*</th>", header)
    assert columns == ["", "BEIRA", "interval", "p", "p_max", "mean"]
    pooled = parts["comparison"].table.query("scope == 'pooled' and model == 'BEIRA'")
    assert parts["comparison"].settings["p_floor"] == 0.05
    cells = re.findall(r"<td>(≤.0\.050)</td>", page)
    assert len(cells) == (pooled[["p", "p_max"]] == 0.05).to_numpy().sum() > 0
    # What was not given has no section.
    for section in ("Model", "Branches", "Brain map", "Preprocessing"):
        assert f">{section}<" not in page


def branch_headings(page):
    """Whether it is tagged as not predicted, by heading of the section of branches."""
    items = re.findall(
        r'<div class="accordion-item[^>]*id="Branches-[^>]*data-mne-tags="([^"]*)".*?'
        r'text-decoration-none">(.*?)</a>', page, flags=re.DOTALL,
    )  # fmt: skip
    return {html.unescape(title): "not-predicted" in tags for tags, title in items[1:]}


def test_warnings_stand_above_the_scores(parts, tmp_path):
    note = '<p class="beira-note">Note: the folds &lt;of&gt; KFold leave no gap.</p>'
    assert note not in page_of(few(parts), tmp_path)
    warned = replace(parts["comparison"], warnings=["the folds <of> KFold leave no gap."])
    page = page_of(few(parts) | {"comparison": warned}, tmp_path)
    assert page.index(note) < page.index('beira-scores"><table')
    assert summary_of(page)[1]["Warnings"].startswith("1")


def test_a_region_that_is_not_predicted_says_so_where_its_branches_are(parts, tmp_path):
    left, right = parts["comparison"].bold
    comparison = changed(parts["comparison"], r=[0.5, -0.001], p_max=[0.05, 0.051])
    page = page_of(few(parts, "branches") | {"comparison": comparison}, tmp_path)
    assert branch_headings(page) == {
        f"{left}: r = 0.50, p_max ≤ 0.050": False,
        f"{right}: r = 0.00, p_max = 0.051 (not predicted: do not interpret)": True,
    }
    # Grayed by the page's own style, and explained once.
    assert '[data-mne-tags~="not-predicted"] img {opacity' in page
    assert page.count("r and p_max of BEIRA") == 1
    for term in ("branch", "color", "part of r", "pattern", "spectrum", "delay kernel"):
        assert page.count(f"<dt>{term}</dt>") == 1


def test_without_p_there_is_no_verdict_and_without_r_the_name_alone(parts, tmp_path):
    left, _right = parts["comparison"].bold
    untested = changed(
        parts["comparison"], r=-0.13, p=np.nan, p_max=np.nan, null_low=np.nan, null_high=np.nan
    )
    branches = Bunch(**parts["branches"])
    branches.region_names = [left, "Thalamus"]
    page = page_of(few(parts) | {"comparison": untested, "branches": branches}, tmp_path)
    assert branch_headings(page) == {f"{left}: r = -0.13": False, "Thalamus": False}
    assert "Headings show r of BEIRA" in page
    assert "not predicted:" not in page


def test_a_region_that_no_branch_moves_does_not_end_the_report(parts, tmp_path):
    branches = Bunch(**parts["branches"])
    branches.importance = branches.importance * [[1.0], [0.0]]
    page = page_of(few(parts) | {"branches": branches}, tmp_path)
    assert page.count("No branch changes the prediction of this region.") == 1
    assert len(branch_headings(page)) == 2


def test_many_models_are_laid_out_in_two_tables(parts, tmp_path):
    table = parts["comparison"].table
    names = [f"long_name_{k}" for k in range(10)]
    more = [table[table["model"] == "mean"].assign(model=name) for name in names]
    many = pd.concat([table[table["model"] == "BEIRA"], *more], ignore_index=True)
    many = replace(parts["comparison"], table=many)
    page = page_of(few(parts) | {"comparison": many, "drawn": ["BEIRA"]}, tmp_path)
    headers = [
        [text.replace("<wbr>", "") for text in re.findall(r"<th>(.*?)</th>", header)]
        for header in re.findall(r"dataframe.*?<thead>(.*?)</thead>", page, flags=re.DOTALL)
    ]
    assert headers[:2] == [["", "BEIRA", "interval", "p", "p_max"], ["", "BEIRA", *names]]
    assert "long_<wbr>name_<wbr>3" in page


def test_what_does_not_belong_together_is_refused(parts):
    given, comparison, X = few(parts), parts["comparison"], parts["X"]
    with pytest.raises(TypeError, match="X must hold recordings, got ndarray"):
        make_report(**given | {"X": np.zeros((len(X), 2, 10))})
    with pytest.raises(TypeError, match="X must hold recordings, got epochs"):
        make_report(**given | {"X": EEGWindows.from_array(np.zeros((len(X), 2, 10)), 100.0)})
    with pytest.raises(TypeError, match="comparison must be a Comparison, got DataFrame"):
        make_report(**given | {"comparison": comparison.table})
    with pytest.raises(ValueError, match="no model 'm'; it has BEIRA, mean"):
        make_report(**given | {"drawn": ["m"]})
    other = replace(comparison, bold=comparison.bold.iloc[::-1])
    with pytest.raises(ValueError, match="rows of y are of other volumes than those of X"):
        make_report(**given | {"comparison": other})
    with pytest.raises(ValueError, match="X has 5 volumes"):
        make_report(**given | {"X": X[:5]})


def test_a_report_of_several_recordings_draws_each(make_study, tmp_path):
    study = make_study(n_runs=2)
    X, y = align(study.raws, study.bolds, trigger="mri", tmin=-4.0, tmax=0.0, verbose="error")
    comparison = compare(DummyRegressor(), X, y, cv=BlockedKFold(2), null=None, verbose=False)
    page = page_of({"comparison": comparison, "X": X}, tmp_path)
    header, _doubts = re.findall(r"dataframe.*?<thead>(.*?)</thead>", page, flags=re.DOTALL)
    assert "interval" in header
    assert "p_max" not in header
    assert "2 recordings" in summary_of(page)[1]["Data"]


def test_of_a_search_the_report_shows_what_it_chose(parts, tmp_path):
    grid = {"beira__architecture__n_branches": [2, 3]}
    search = GridSearchCV(parts["model"], grid, cv=BlockedKFold(2), scoring=pearson_r_scorer)
    X, y = parts["X"], parts["comparison"].bold
    search.fit(X, y)
    branches = read_branches(search, X)
    page = page_of(parts | {"model": search, "branches": branches}, tmp_path)
    n_branches = search.best_params_["beira__architecture__n_branches"]
    chosen = (
        f"<th><code>beira__architecture__n_branches</code></th><td><code>{n_branches}</code></td>"
    )
    assert chosen in page
    assert "EEGFilter(" in page
    assert "has no steps before the regressor" not in page
    assert "Bands it uses" in page
    best = read_branches(search.best_estimator_, X)
    np.testing.assert_array_equal(branches.importance, best.importance)
    losses = [
        channel_importance(m, X, y, n_repeats=1, random_state=0).score
        for m in (search, search.best_estimator_)
    ]
    np.testing.assert_array_equal(*losses)


def test_a_figure_that_fails_does_not_cost_the_report(parts, tmp_path, monkeypatch):
    def fail(*args, **options):
        raise RuntimeError("no <place> for it")

    monkeypatch.setattr(report, "plot_predictions", fail)
    page = page_of(few(parts), tmp_path)
    said = "This figure could not be drawn (RuntimeError: no &lt;place&gt; for it)."
    assert page.count(said) == 2
