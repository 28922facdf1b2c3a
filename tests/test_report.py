"""The report is one page that holds everything and needs nothing else."""

import html
import re
from dataclasses import replace

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils import Bunch

from sklearn_beira import BEIRARegressor, EEGFilter, ROIExtractor, Windower, align, compare
from sklearn_beira.datasets import make_eeg_fmri
from sklearn_beira.evaluation.metrics import pearson_r_scorer
from sklearn_beira.evaluation.splitters import BlockedKFold
from sklearn_beira.inspection import channel_importance, read_branches
from sklearn_beira.viz.report import make_report


@pytest.fixture(scope="module")
def parts():
    """What a comparison leaves behind, of a recording that comes with its images."""
    study = make_eeg_fmri(duration=150.0, n_channels=6, n_rois=2, return_img=True, random_state=0)
    extractor = ROIExtractor(study.atlas_img, labels=study.labels, smoothing_fwhm=None)
    bold = extractor.fit_transform(study.bold_imgs[0])
    X, y = align(study.raws[0], bold, trigger="mri", tmin=-12.0, tmax=0.0, verbose="error")
    model = Pipeline(
        [
            ("filter", EEGFilter(1, 45, sfreq=100)),
            ("window", Windower(12.0)),
            ("beira", BEIRARegressor(n_branches=3, verbose=False)),
        ]
    )
    comparison = compare(
        {"BEIRA": model, "mean": DummyRegressor()}, X, y, cv=BlockedKFold(3), n_surrogates=19,
        verbose=False,
    )  # fmt: skip
    model.fit(X, y)
    return {
        "comparison": comparison, "X": X, "y": y, "model": model,
        "branches": read_branches(model, X), "extractor": extractor,
    }  # fmt: skip


@pytest.fixture(autouse=True)
def no_screen():
    mpl.use("Agg")
    yield
    plt.close("all")


def test_the_report_is_one_file_that_holds_everything(parts, tmp_path):
    report = make_report(
        **parts, ceiling=[0.8, 0.7], data="Simulated <data>.\n\nNote: <two>.", protocol="Blocks.",
        code="for _ in range(2):\n    compare(models, X, y)",
        command="python -m sklearn_beira --seed 3",
    )  # fmt: skip
    path = tmp_path / "report.html"
    report.save(path, open_browser=False, verbose="error")
    page = path.read_text(encoding="utf-8")
    pooled = parts["comparison"].table.query("scope == 'pooled' and model == 'BEIRA'")
    for text in (
        f"{pooled['r'].iloc[0]:.2f}",
        "randomized phases",
        "<p>Simulated &lt;data&gt;.</p>",
        '<p class="beira-note">Note: &lt;two&gt;.</p>',
        "Blocks.",
        "for _ in range(2):\n    compare(models, X, y)",
        "python -m sklearn_beira --seed 3",
        parts["comparison"].settings["cv"],
        *parts["comparison"].versions.values(),
        "EEGFilter(",
        "BEIRARegressor",
    ):
        assert text in page, text
    sections = [
        "Data and alignment", "Preprocessing", "Model", "Scores", "Predictions", "Branches",
        "Brain map", "Software versions and how to repeat it",
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
    assert "<li>n_surrogates: 19</li>" in page
    assert "the variance of what a band alone adds" in page  # a model without epochs
    assert "Bands it reads" in page
    assert "How it was trained" not in page
    assert not plt.get_fignums()


def test_the_table_keeps_the_order_of_models_and_marks_the_lowest_p(parts, tmp_path):
    few = {key: parts[key] for key in ("comparison", "X", "y")}
    path = tmp_path / "report.html"
    make_report(**few).save(path, open_browser=False, verbose="error")
    page = path.read_text(encoding="utf-8")
    (header,) = re.findall(r"dataframe.*?<thead>(.*?)</thead>", page, flags=re.DOTALL)
    columns = re.findall(r"<th[^>]*>\s*([^<]*?)\s*</th>", header)
    assert columns == ["", "BEIRA", "interval", "p", "p_max", "mean"]
    pooled = parts["comparison"].table.query("scope == 'pooled' and model == 'BEIRA'")
    assert parts["comparison"].settings["p_floor"] == 0.05
    cells = re.findall(r"<td>(≤.0\.050)</td>", page)
    assert len(cells) == (pooled[["p", "p_max"]] == 0.05).to_numpy().sum() > 0
    # What was not given has no section.
    for section in ("Model", "Branches", "Brain map", "Preprocessing"):
        assert f">{section}<" not in page


def page_of(given, folder):
    path = folder / "report.html"
    make_report(**given, n_branches=1).save(
        path, overwrite=True, open_browser=False, verbose="error"
    )
    return path.read_text(encoding="utf-8")


def branch_headings(page):
    """Whether it is tagged as not predicted, by heading of the section of branches."""
    items = re.findall(
        r'<div class="accordion-item[^>]*id="Branches-[^>]*data-mne-tags="([^"]*)".*?'
        r'text-decoration-none">(.*?)</a>', page, flags=re.DOTALL,
    )  # fmt: skip
    return {html.unescape(title): "not-predicted" in tags for tags, title in items[1:]}


def test_what_was_said_of_the_folds_stands_above_the_scores(parts, tmp_path):
    few = {key: parts[key] for key in ("comparison", "X", "y")}
    note = '<p class="beira-note">Note: the folds &lt;of&gt; KFold leave no gap.</p>'
    assert note not in page_of(few, tmp_path)
    warned = replace(parts["comparison"], warnings=["the folds <of> KFold leave no gap."])
    page = page_of({**few, "comparison": warned}, tmp_path)
    assert page.index(note) < page.index('beira-scores"><table')


def test_a_region_that_is_not_predicted_says_so_where_its_branches_are(parts, tmp_path):
    few = {key: parts[key] for key in ("X", "y", "branches")}
    left, right = parts["y"].columns
    table = parts["comparison"].table.copy()
    first = (table["model"] == "BEIRA") & (table["scope"] == "pooled")
    table.loc[first & (table["region"] == left), ["r", "p_max"]] = 0.5, 0.05
    table.loc[first & (table["region"] == right), ["r", "p_max"]] = -0.001, 0.051
    page = page_of({"comparison": replace(parts["comparison"], table=table), **few}, tmp_path)
    assert branch_headings(page) == {
        f"{left}: r = 0.50, p_max ≤ 0.050": False,
        f"{right}: r = 0.00, p_max = 0.051 (not predicted: do not interpret)": True,
    }
    # Grayed by the page's own style, and explained once.
    assert '[data-mne-tags~="not-predicted"] img {opacity' in page
    assert page.count("those of BEIRA, the first model of the table") == 1
    for term in ("branch", "importance", "pattern", "spectrum", "delay kernel"):
        assert page.count(f"<dt>{term}</dt>") == 1


def test_without_p_there_is_no_verdict_and_without_r_the_name_alone(parts, tmp_path):
    few = {key: parts[key] for key in ("X", "y")}
    left = parts["y"].columns[0]
    table = parts["comparison"].table.assign(
        p=np.nan, p_max=np.nan, null_low=np.nan, null_high=np.nan
    )
    table.loc[table["scope"] == "pooled", "r"] = -0.13
    branches = Bunch(**parts["branches"])
    branches.region_names = [left, "Thalamus"]
    given = {"comparison": replace(parts["comparison"], table=table), "branches": branches}
    page = page_of({**given, **few}, tmp_path)
    assert branch_headings(page) == {f"{left}: r = -0.13": False, "Thalamus": False}
    assert "r in the headings is that of BEIRA" in page
    assert "do not interpret" not in page


def test_a_region_that_no_branch_moves_does_not_end_the_report(parts, tmp_path):
    few = {key: parts[key] for key in ("comparison", "X", "y")}
    branches = Bunch(**parts["branches"])
    branches.importance = branches.importance * [[1.0], [0.0]]
    page = page_of({"branches": branches, **few}, tmp_path)
    assert page.count("No branch moves the prediction of this region.") == 1
    assert len(branch_headings(page)) == 2


def test_many_models_are_laid_out_in_two_tables(parts, tmp_path):
    few = {"X": parts["X"], "y": parts["y"]}
    few["predictions"] = {"BEIRA": parts["comparison"].predictions["BEIRA"]}
    table = parts["comparison"].table
    names = [f"long_name_{k}" for k in range(10)]
    rivals = [table[table["model"] == "mean"].assign(model=name) for name in names]
    many = pd.concat([table[table["model"] == "BEIRA"], *rivals], ignore_index=True)
    comparison = replace(parts["comparison"], table=many)
    page = page_of({"comparison": comparison, **few}, tmp_path)
    headers = [
        [text.replace("<wbr>", "") for text in re.findall(r"<th>(.*?)</th>", header)]
        for header in re.findall(r"dataframe.*?<thead>(.*?)</thead>", page, flags=re.DOTALL)
    ]
    assert headers == [["", "BEIRA", "interval", "p", "p_max"], ["", "BEIRA", *names]]
    assert "long_<wbr>name_<wbr>3" in page


def test_what_does_not_belong_together_is_refused(parts):
    few = {key: parts[key] for key in ("comparison", "X", "y")}
    y, X = parts["y"], parts["X"]
    with pytest.raises(TypeError, match="X must be EEGWindows"):
        make_report(**few | {"X": np.zeros((len(X), 2, 10))})
    with pytest.raises(TypeError, match="comparison must be what compare returned"):
        make_report(**few | {"comparison": parts["comparison"].table})
    with pytest.raises(TypeError, match="predictions must be a dict of model: prediction"):
        make_report(**few | {"predictions": parts["comparison"].predictions["BEIRA"]})
    with pytest.raises(TypeError, match="y must be a DataFrame"):
        make_report(**few | {"y": y.to_numpy()})
    with pytest.raises(ValueError, match="give what compare was given"):
        make_report(**few | {"y": y.iloc[:, ::-1]})
    with pytest.raises(ValueError, match=r"the prediction of 'BEIRA' has shape \(3, 2\)"):
        make_report(**few | {"predictions": {"BEIRA": np.zeros((3, 2))}})
    with pytest.raises(ValueError, match="predictions has 'm', but the table has the models BEIRA"):
        make_report(**few | {"predictions": {"m": parts["comparison"].predictions["BEIRA"]}})
    other = parts["comparison"].predictions["BEIRA"].iloc[:, ::-1]
    with pytest.raises(ValueError, match="the prediction of 'BEIRA' has the regions"):
        make_report(**few | {"predictions": {"BEIRA": other}})
    with pytest.raises(ValueError, match="rows of y are of other volumes than those of X"):
        make_report(**few | {"y": y.iloc[::-1]})
    with pytest.raises(ValueError, match="X has 5 volumes"):
        make_report(**few | {"X": X[:5]})


def test_a_report_of_several_recordings_draws_each(make_study, tmp_path):
    study = make_study(n_runs=2)
    X, y = align(study.raws, study.bolds, trigger="mri", tmin=-4.0, tmax=0.0, verbose="error")
    comparison = compare(DummyRegressor(), X, y, cv=BlockedKFold(2), null=None, verbose=False)
    assert isinstance(y, pd.DataFrame)
    path = tmp_path / "report.html"
    make_report(comparison, X, y).save(path, open_browser=False, verbose="error")
    page = path.read_text(encoding="utf-8")
    (header,) = re.findall(r"dataframe.*?<thead>(.*?)</thead>", page, flags=re.DOTALL)
    assert "interval" in header
    assert "p_max" not in header


def test_of_a_search_the_report_shows_what_it_chose(parts, tmp_path):
    grid = {"beira__n_branches": [2, 3]}
    search = GridSearchCV(parts["model"], grid, cv=BlockedKFold(2), scoring=pearson_r_scorer)
    search.fit(parts["X"], parts["y"])
    given = parts | {"model": search, "branches": read_branches(search, parts["X"])}
    page = page_of(given, tmp_path)
    best = parts | {"model": search.best_estimator_}
    best["branches"] = read_branches(search.best_estimator_, parts["X"])
    n_branches = search.best_params_["beira__n_branches"]
    chosen = f"<th><code>beira__n_branches</code></th><td><code>{n_branches}</code></td>"
    assert chosen in page
    assert "EEGFilter(" in page
    assert "has no steps before the regressor" not in page
    assert "the variance of what a band alone adds" in page
    assert branch_headings(page) == branch_headings(page_of(best, tmp_path))
    np.testing.assert_array_equal(given["branches"].importance, best["branches"].importance)
    losses = [
        channel_importance(m, parts["X"], parts["y"], n_repeats=1, random_state=0).score
        for m in (search, search.best_estimator_)
    ]
    np.testing.assert_array_equal(*losses)
