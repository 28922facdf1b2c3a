"""The published evaluation is what it was, the honest one is beside it, and words match numbers."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.interpolate import CubicSpline
from scipy.signal import lfilter
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV, KFold, RepeatedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from small_networks import make_beira
from torch import nn

from sklearn_beira import BandPower, CustomNetwork, EEGWindows, Windower
from sklearn_beira.evaluation.metrics import region_scores
from sklearn_beira.evaluation.paper_protocol import paper_protocol
from sklearn_beira.evaluation.splitters import BlockedKFold
from sklearn_beira.exceptions import GapWarning

CV = BlockedKFold(5, gap=10.0, t_r=2.0)


def smooth(n_volumes, n_series, random_state, lag_one=0.75):
    """Series with a lag-1 autocorrelation, as smooth as BOLD unless it is given."""
    rng = np.random.default_rng(random_state)
    noise = rng.standard_normal((n_volumes + 100, n_series))
    return lfilter([1], [1, -lag_one], noise, axis=0)[100:]


class Column(TransformerMixin, BaseEstimator):
    """Picks one feature: the candidates of a search that differ by chance alone."""

    def __init__(self, which=0):
        self.which = which

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def transform(self, X):
        return np.asarray(X)[:, [self.which]]


class LinearNet(nn.Module):
    """A network that is done in a moment."""

    own_volume_only = True

    def __init__(self, n_channels, n_rois, n_times):
        super().__init__()
        self.readout = nn.Linear(n_channels * n_times, n_rois)

    def forward(self, eeg):
        return self.readout(eeg.flatten(1))


def make_net(**params):
    settings = {"mode": "many_to_one", "max_epochs": 20, "lr": 0.03, "weight_decay": 0.0}
    settings |= {"validation_fraction": 0.0, "random_state": 0, "verbose": False}
    return make_beira(CustomNetwork(LinearNet), **{**settings, "batch_size": 512, **params})


def make_search(n_candidates=12):
    model = Pipeline([("column", Column()), ("fit", LinearRegression())])
    return GridSearchCV(model, {"column__which": range(n_candidates)}, cv=KFold(2))


@pytest.fixture(scope="module")
def windows(make_raw):
    """Two runs of 150 and 154 volumes over white EEG, in windows of 1 s, which keep folds near."""
    eeg = [make_raw(3, 320.0, 20.0, random_state=k).get_data() for k in range(2)]
    info = make_raw(3, 1.0, 20.0).info
    onsets = [4.0 + 2.0 * np.arange(n) for n in (150, 154)]
    X = EEGWindows(
        eeg, np.repeat([0, 1], [150, 154]), np.concatenate(onsets), info, tmin=-1.0, tmax=0.0
    )
    y = pd.DataFrame(smooth(len(X), 2, 0, 0.4) * 5 + 100, columns=["left", "right"])
    return X, y


def test_the_published_figure_is_that_of_its_recipe_step_by_step():
    X, y = smooth(150, 3, 0), smooth(150, 2, 1) + 7
    y[:, 0] += X[:, 0]
    table = paper_protocol(Ridge(), X, y, cv=CV, t_r=2.0, verbose=False)
    z = stats.zscore(y)
    y_pred = Ridge().fit(X[:120], z[:120]).predict(X[120:])
    times = 2.0 * np.arange(150)
    grid = np.linspace(240.0, 298.0, 5801)
    for region in range(2):
        truth = CubicSpline(times, z[:, region])(grid)
        guess = CubicSpline(times[120:], y_pred[:, region])(grid)
        expected = stats.pearsonr(truth, guess)
        row = table.loc[f"ROI {region}"]
        assert row["paper_r"] == pytest.approx(expected.statistic)
        assert row["paper_p"] == pytest.approx(expected.pvalue, rel=1e-6)
        assert row["paper_n"] == 5801
        assert row["paper_n_eff"] <= 30


def test_the_honest_figure_is_out_of_fold_within_blocks():
    X, y = smooth(150, 3, 0), smooth(150, 1, 1)[:, 0]
    table = paper_protocol(Ridge(), X, y, cv=CV, t_r=2.0, verbose=False)
    y_pred, blocks = np.empty(150), np.empty(150)
    for fold, (train, test) in enumerate(CV.split(X)):
        y_pred[test], blocks[test] = Ridge().fit(X[train], y[train]).predict(X[test]), fold
    expected = region_scores(y, y_pred, blocks=blocks)
    columns = ["r", "ci_low", "ci_high", "n", "n_eff", "p"]
    pd.testing.assert_frame_equal(
        table.loc[["ROI 0"], columns].reset_index(drop=True),
        expected[columns].reset_index(drop=True),
        check_dtype=False,
    )


def test_an_honest_figure_is_not_made_of_mixed_folds_and_warns_of_close_ones(windows):
    X, y = windows
    shuffled, repeated = KFold(5, shuffle=True, random_state=0), RepeatedKFold(n_repeats=2)
    with pytest.raises(ValueError, match="mix training and test volumes in time"):
        paper_protocol(make_net(max_epochs=1), X, y, cv=shuffled)
    with pytest.raises(ValueError, match="tests some volumes twice"):
        paper_protocol(make_net(max_epochs=1), X, y, cv=repeated)
    looks_back = Pipeline([("window", Windower(4.0)), ("net", make_net(max_epochs=1))])
    with (
        pytest.warns(GapWarning, match="2 s apart .* look back up to 4 s"),
        pytest.warns(GapWarning, match=r"\[-4, 0\) s reaches further than that of X"),
    ):
        paper_protocol(looks_back, X, y, cv=BlockedKFold(5, gap=0.5), verbose=False)
    # BOLD that goes on into the test blocks; the p beside the honest r comes from no null.
    X, y = smooth(150, 3, 0), smooth(150, 2, 1)
    with pytest.warns(GapWarning, match="autocorrelated BOLD leaks across the folds"):
        paper_protocol(Ridge(), X, y, cv=BlockedKFold(5, gap=0.0), t_r=2.0, verbose=False)


def test_the_mean_row_holds_the_means_and_inflation_is_the_difference(windows):
    X, y = windows
    table = paper_protocol(make_net(), X, y, verbose=False)
    assert list(table.index) == ["left", "right", "mean"]
    np.testing.assert_allclose(table["inflation"], table["paper_r"] - table["r"])
    for column in ("paper_r", "r", "inflation"):
        assert table.loc["mean", column] == pytest.approx(table[column].iloc[:2].mean())
    assert table.loc["mean", ["paper_p", "n_eff", "p"]].isna().all()


def test_on_a_null_the_published_figure_scatters_and_its_naive_p_claims_findings():
    figures = []
    for seed in range(60):
        X, y = smooth(200, 12, 2 * seed), smooth(200, 1, 2 * seed + 1)
        table = paper_protocol(Ridge(), X, y, cv=CV, t_r=2.0, verbose=False)
        figures.append(table.loc["ROI 0", ["paper_r", "r", "paper_p", "p"]].to_numpy(dtype=float))
    paper, honest, naive_p, honest_p = np.array(figures).T
    for r in (paper, honest):
        assert abs(r.mean()) < 3 * r.std() / np.sqrt(60)
    assert paper.std() > 1.7 * honest.std()
    assert np.mean(naive_p < 0.05) > 0.8
    assert np.mean(honest_p < 0.05) < 0.15


def test_a_candidate_chosen_on_the_test_lifts_the_published_figure_on_a_null_only():
    figures = []
    for seed in range(20):
        X, y = smooth(200, 8, 2 * seed), smooth(200, 1, 2 * seed + 1)
        cv = BlockedKFold(2, gap=10.0, t_r=2.0)
        table = paper_protocol(make_search(8), X, y, cv=cv, t_r=2.0, verbose=False)
        figures.append(table.loc["ROI 0", ["paper_r", "r"]].to_numpy(dtype=float))
    paper, honest = np.array(figures).T
    assert paper.mean() > 4 * paper.std() / np.sqrt(20)
    assert abs(honest.mean()) < 3 * honest.std() / np.sqrt(20)


def test_an_epoch_chosen_on_the_test_lifts_the_published_figure_on_a_null():
    figures = []
    for seed in range(8):
        X, y = smooth(200, 12, 2 * seed)[:, :, None], smooth(200, 1, 2 * seed + 1)
        model = make_net(max_epochs=15, lr=0.1, loss="correlation")
        one = [(np.arange(160), np.arange(170, 200))]  # the honest side is not the question here
        table = paper_protocol(model, X, y, cv=one, t_r=2.0, verbose=False)
        last = model.fit(X[:170], stats.zscore(y)[:170]).predict(X[170:])
        figures.append([table.loc["ROI 0", "paper_r"], np.corrcoef(last.T, y[170:].T)[0, 1]])
    best, last = np.array(figures).T
    # The best epoch cannot be worse than the last, but for what interpolation does to r.
    assert (best - last).min() > -0.1
    assert (best - last).mean() > 0.1


@pytest.mark.parametrize("wrapped", ["bare", "pipeline", "target"])
def test_the_epoch_kept_is_the_best_on_the_test(wrapped, windows):
    X, y = windows
    model = make_net(max_epochs=12, lr=0.3)
    if wrapped == "pipeline":
        model = Pipeline([("net", model)])
    if wrapped == "target":
        model = TransformedTargetRegressor(model, transformer=StandardScaler())
    table = paper_protocol(model, X, y, verbose=False)
    z = y.groupby(X.groups).transform(lambda v: (v - v.mean()) / v.std(ddof=0)).to_numpy()
    in_test = np.concatenate(
        [np.flatnonzero(X.groups == k)[np.arange(n) >= n - 30] for k, n in ((0, 150), (1, 154))]
    )
    train = np.setdiff1d(np.arange(len(X)), in_test)
    losses = []
    for n_epochs in range(1, 13):
        net = make_net(max_epochs=n_epochs, lr=0.3).fit(X[train], z[train])
        scaled = (net.predict(X[in_test]) - z[in_test]) / net.target_scale_
        losses.append(np.square(scaled).mean())
    best = int(np.argmin(losses)) + 1
    assert f"best on it, number {best} of" in table.attrs["words"].replace("\n", " ")


def test_the_candidate_kept_is_the_best_on_the_test():
    X, y = smooth(150, 6, 0), smooth(150, 1, 1)
    X[120:, 4] += 5 * y[120:, 0]  # says something only where the test is
    X[:120, 4] += 0.5 * y[:120, 0]
    X[:, 2] += 0.4 * y[:, 0]
    expected = paper_protocol(
        make_search().estimator.set_params(column__which=4), X, y, cv=CV, t_r=2.0, verbose=False
    )
    for model in (make_search(6), Pipeline([("scale", StandardScaler()), ("s", make_search(6))])):
        table = paper_protocol(model, X, y, cv=CV, t_r=2.0, verbose=False)
        assert table.loc["ROI 0", "paper_r"] == pytest.approx(expected.loc["ROI 0", "paper_r"])
        assert "the candidate with the best score on it, of 6" in words(table)


def test_a_search_over_networks_chooses_candidate_and_epoch_on_the_test(windows):
    X, y = windows
    search = GridSearchCV(make_net(max_epochs=3), {"training__lr": [0.01, 0.1]}, cv=BlockedKFold(2))
    text = words(paper_protocol(search, X, y, verbose=False))
    assert "of 2 and the weights of the epoch that was best on it" in text


def test_the_order_of_the_rows_changes_nothing(windows):
    X, y = windows
    model = make_pipeline(BandPower({"": (2, 8)}, duration=None), Ridge())
    order = np.random.default_rng(0).permutation(len(X))
    tables = [
        paper_protocol(model, X[rows], y.iloc[rows], cv=BlockedKFold(5, gap=20.0), verbose=False)
        for rows in (np.arange(len(X)), order)
    ]
    pd.testing.assert_frame_equal(*tables, rtol=1e-6)


def test_nothing_of_the_callers_is_changed(windows):
    X, y = windows
    before = y.copy()
    for model in (make_net(max_epochs=2), Pipeline([("net", make_net(max_epochs=2))])):
        parameters = repr(model.get_params())
        paper_protocol(model, X, y, verbose=False)
        assert repr(model.get_params()) == parameters
        assert not hasattr(model, "net_")
    pd.testing.assert_frame_equal(y, before)


def test_arrays_of_several_recordings_are_cut_at_the_end_of_each():
    X, y = smooth(200, 4, 0)[:, :, None], smooth(200, 1, 1)
    groups = np.repeat([0, 1], 100)
    cv = BlockedKFold(2, gap=10.0, t_r=2.0)
    table = paper_protocol(
        make_net(max_epochs=3), X, y, cv=cv, t_r=2.0, groups=groups, verbose=False
    )
    assert table.loc["ROI 0", "paper_n"] == 2 * 5801
    assert table.loc["ROI 0", "n"] == 200


def words(table):
    return table.attrs["words"].replace("\n", " ")


def test_the_text_prints_the_numbers_of_the_run(capsys):
    X, y = smooth(150, 3, 0), smooth(150, 2, 1)
    table = paper_protocol(Ridge(), X, y, cv=CV, t_r=2.0)
    mean, printed = table.loc["mean"], capsys.readouterr().out
    assert table.attrs["words"] in printed
    assert "paper_r" in printed
    text = words(table)
    assert f"mean r of {mean['paper_r']:.2f}, the honest one {mean['r']:.2f}" in text
    assert f"a difference of {mean['inflation']:+.2f}" in text
    assert "30 acquired volumes" in text
    assert "5,801 samples" in text
    assert "leaves nothing to choose on the test" in text


@pytest.mark.parametrize("sign", [1, -1])
def test_the_text_says_so_when_chance_makes_the_published_figure_lower(sign):
    X, y = smooth(150, 1, 0), smooth(150, 1, 1)
    y[:120] += X[:120]
    y[120:] += sign * X[120:]
    text = words(paper_protocol(Ridge(), X, y, cv=CV, t_r=2.0, verbose=False))
    assert ("chance can outweigh every bias" in text) == (sign == -1)


def test_bad_input_is_refused(windows, make_raw):
    X, y = smooth(60, 3, 0), smooth(60, 1, 1)
    with pytest.raises(ValueError, match="rows of a plain array have no time; give t_r"):
        paper_protocol(Ridge(), X, y, cv=CV)
    with pytest.raises(
        ValueError, match="rows of a plain array do not tell how much EEG they share; give gap"
    ):
        paper_protocol(Ridge(), X, y, t_r=2.0)
    with pytest.raises(ValueError, match="has 60 volumes, 60 of them in its last 120 s"):
        paper_protocol(Ridge(), X, y, cv=CV, t_r=2.0, test_duration=120.0)
    with pytest.raises(ValueError, match="test_duration and sfreq must be above 0"):
        paper_protocol(Ridge(), X, y, cv=CV, t_r=2.0, sfreq=0)
    with pytest.raises(ValueError, match="t_r must be a positive time in s, got -2"):
        paper_protocol(Ridge(), X, y, cv=CV, t_r=-2.0)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        paper_protocol(Ridge(), X, y[:-1], cv=CV, t_r=2.0)
    with pytest.raises(ValueError, match="y contains NaN"):
        paper_protocol(Ridge(), X, np.where(y > 0, y, np.nan), cv=CV, t_r=2.0)
    with pytest.raises(ValueError, match="cv gave no split"):
        paper_protocol(Ridge(), X, y, cv=[], t_r=2.0)
    windows_X, bold = windows
    unequal = np.concatenate([np.arange(80), np.arange(150, 304)])
    with pytest.raises(ValueError, match="recordings of 80 to 154 volumes differ too much"):
        paper_protocol(make_net(), windows_X[unequal], bold.iloc[unequal])
