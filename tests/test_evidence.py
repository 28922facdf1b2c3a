"""Variances chosen by evidence: against dense matrices, and against planted truth."""

import tracemalloc

import numpy as np
import pytest
from scipy.linalg import null_space
from scipy.optimize import approx_fprime
from scipy.signal import lfilter
from scipy.stats import multivariate_normal

from sklearn_beira.regressor import reml
from sklearn_beira.regressor.pass_band import find_pass_band
from sklearn_beira.regressor.reml import (
    _AUTOCORRELATIONS,
    _LIMITS,
    Likelihood,
    _contrasts,
    _correlations,
    _whitened,
    fit_reml,
    pack,
)

N, SIZES = 60, (5, 8)


def problem(seed=0, n=N, sizes=SIZES, n_targets=2):
    """Two recordings; the first has volumes missing."""
    rng = np.random.default_rng(seed)
    blocks = [rng.standard_normal((n, p)) / np.sqrt(p) for p in sizes]
    elapsed = np.ones(n)
    elapsed[[0, n // 2]] = np.inf
    elapsed[10] = 7.0
    recording = np.arange(n) >= n // 2
    constants = np.column_stack([~recording, recording]).astype(float)
    y = blocks[0] @ rng.standard_normal((sizes[0], n_targets)) + 3.0 * recording[:, None]
    return blocks, y + rng.standard_normal((n, n_targets)), elapsed, constants


def ar_noise(rng, n, rho, n_series):
    e = rng.standard_normal((n, n_series))
    for i in range(1, n):
        e[i] = rho * e[i - 1] + np.sqrt(1 - rho**2) * e[i]
    return e


def noise_correlation(elapsed, mixture):
    """Every entry from the time between two samples, recordings apart."""
    recording = np.cumsum(np.isinf(elapsed))
    times = np.cumsum(np.where(np.isinf(elapsed), 0.0, elapsed))
    apart = np.abs(times[:, None] - times)
    related = sum(share * rho**apart for share, rho in zip(mixture, _AUTOCORRELATIONS, strict=True))
    return np.where(recording[:, None] == recording, related, 0.0)


def dense_covariance(blocks, elapsed, theta, mixture):
    kernels = [np.exp(t) * block @ block.T for t, block in zip(theta, blocks, strict=True)]
    return noise_correlation(elapsed, mixture) + sum(kernels)


def dense_weights(blocks, y, elapsed, constants, theta, mixture):
    """Best linear unbiased prediction by inverses of the whole covariance."""
    inverse = np.linalg.inv(dense_covariance(blocks, elapsed, theta, mixture))
    fixed = np.linalg.solve(constants.T @ inverse @ constants, constants.T @ inverse @ y)
    residual = inverse @ (y - constants @ fixed)
    weights = [np.exp(t) * block.T @ residual for t, block in zip(theta, blocks, strict=True)]
    return np.concatenate(weights)


@pytest.mark.parametrize("searched", [24, 2], ids=["each searched", "two searched"])
@pytest.mark.parametrize("sizes", [(5, 8), (50, 70)], ids=["few features", "many features"])
def test_weights_are_the_posterior_mean_of_the_dense_model(monkeypatch, sizes, searched):
    monkeypatch.setattr(reml, "_SEARCHED", searched)
    blocks, y, elapsed, constants = problem(sizes=sizes, n_targets=5)
    fit = fit_reml(blocks, y, elapsed, constants)
    assert fit.coef.shape == (sum(sizes), 5)
    assert np.abs(fit.coef).max() > 0.1
    assert len(np.unique(fit.log_variance, axis=1).T) == min(searched, 5)
    for target in range(5):
        expected = dense_weights(
            blocks,
            y[:, target],
            elapsed,
            constants,
            fit.log_variance[:, target],
            fit.mixture[:, target],
        )
        np.testing.assert_allclose(fit.coef[:, target], expected, rtol=1e-6, atol=1e-9)


def test_a_target_goes_its_own_way_beside_others():
    blocks, y, elapsed, constants = problem(n_targets=6)
    together = fit_reml(blocks, y, elapsed, constants)
    assert len(set(together.autocorrelation)) > 1
    for target in range(6):
        alone = fit_reml(blocks, y[:, [target]], elapsed, constants)
        np.testing.assert_array_equal(alone.pass_band[:, 0], together.pass_band[:, target])
        np.testing.assert_allclose(alone.coef[:, 0], together.coef[:, target], rtol=1e-4, atol=1e-7)


def test_each_of_many_targets_takes_the_variances_that_suit_it_best(monkeypatch):
    rng = np.random.default_rng(5)
    blocks, _, elapsed, constants = problem(n=120)
    # Half of the targets follow each block, more or less, behind noise of its own.
    size = np.repeat([0.0, 0.5, 3.0], 40)
    y = np.concatenate(
        [block @ (size * rng.standard_normal((block.shape[1], len(size)))) for block in blocks],
        axis=1,
    )
    y += np.concatenate([ar_noise(rng, 120, rho, 120) for rho in (0.0, 0.9)], axis=1)
    monkeypatch.setattr(reml, "_SEARCHED", 12)
    shared = fit_reml(blocks, y, elapsed, constants)
    assert len(np.unique(shared.log_variance, axis=1).T) == 12
    monkeypatch.setattr(reml, "_SEARCHED", 240)
    alone = fit_reml(blocks, y, elapsed, constants)
    assert np.mean(alone.evidence - shared.evidence) < 1.5  # in nats
    fitted = [np.concatenate(blocks, axis=1) @ fit.coef for fit in (shared, alone)]
    coupled = np.tile(size == 3.0, 2)
    r = [np.corrcoef(*pair)[0, 1] for pair in zip(*(p.T[coupled] for p in fitted), strict=True)]
    assert np.mean(r) > 0.99


def test_costs_of_many_targets_are_those_of_each():
    rng = np.random.default_rng(2)
    dense = [a @ a.T / 30 for a in rng.standard_normal((3, 30, 30))]
    kernels = np.array(pack(dense))
    y, rest = rng.standard_normal((30, 7)), rng.random(7)
    model, at = Likelihood(kernels, 2, y, rest, 40), np.array([0.3, -1.0, 0.4])
    each = [model.cost(at, target)[0] for target in range(7)]
    np.testing.assert_allclose(model.costs(at), each)
    costs, dual = model.of([5, 1]).solve(at)
    np.testing.assert_allclose(costs, [each[5], each[1]])
    full = np.exp(at[0]) * dense[0] + np.exp(at[1]) * dense[1] + dense[2]
    np.testing.assert_allclose(full @ dual, y[:, [5, 1]], atol=1e-9)


def test_the_memory_of_a_long_study_does_not_hold_its_features_again(monkeypatch):
    monkeypatch.setattr(reml, "ROWS", 200)
    rng = np.random.default_rng(9)
    n = 40_000
    blocks = [rng.standard_normal((n, 40)) for _ in range(3)]
    y = ar_noise(rng, n, 0.5, 1) + blocks[0][:, :1]
    size = sum(block.nbytes for block in blocks)
    tracemalloc.start()
    fit = fit_reml(blocks, y, np.r_[np.inf, np.ones(n - 1)], np.ones((n, 1)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert fit.coef[0, 0] == pytest.approx(1.0, abs=0.05)
    assert peak < 0.5 * size


def likelihood():
    """Likelihood of one target, its contrasts, and the log shares of its noise."""
    blocks, y, elapsed, constants = problem()
    basis = _contrasts(elapsed, constants, (0.0, 0.5))
    kernels = [basis.T @ block @ block.T @ basis for block in blocks]
    kernels += [basis.T @ r @ basis for r in _correlations(elapsed)]
    return Likelihood(np.array(pack(kernels)), len(blocks), basis.T @ y[:, [0]]), basis.T @ y[:, 0]


@pytest.mark.parametrize("theta", [(-3.0, -3.0), (1.0, -8.0), (-0.5, 2.0)])
def test_the_gradient_is_that_of_finite_differences(theta):
    model, _ = likelihood()
    at = np.r_[theta, 0.5, -1.0, 0.0, 1.0, -0.3]
    numeric = approx_fprime(at, lambda at: model.cost(at)[0], 1e-6)
    np.testing.assert_allclose(model.cost(at)[1], numeric, rtol=1e-4, atol=1e-4)


def test_the_cost_is_the_likelihood_of_error_contrasts_up_to_a_constant():
    blocks, _, elapsed, constants = problem()
    model, seen = likelihood()
    basis = _contrasts(elapsed, constants, (0.0, 0.5))
    dof, differences = len(seen), []
    for mixture in ((1.0, 0.0, 0.0, 0.0, 0.0), (0.2, 0.1, 0.6, 0.05, 0.05)):
        for theta in np.array([(-3.0, -3.0), (0.5, -6.0), (-1.0, 2.0)]):
            covariance = basis.T @ dense_covariance(blocks, elapsed, theta, mixture) @ basis
            # The scale at its best is the mean square of the whitened contrasts.
            scale = seen @ np.linalg.solve(covariance, seen) / dof
            expected = -multivariate_normal(np.zeros(dof), scale * covariance).logpdf(seen)
            at = np.r_[theta, np.log(np.maximum(mixture, 1e-9))]
            # What holds the variances near their start is no part of the likelihood.
            held = 0.5 * model.hold @ np.square(model._held(at))
            differences.append(model.cost(at)[0] - held - expected)
    np.testing.assert_allclose(differences, differences[0], atol=1e-5)


def test_no_other_variances_nearby_are_more_likely():
    model, _ = likelihood()
    variances, mixture = model.maximize()
    found = np.log(np.r_[variances, mixture])
    for step in np.random.default_rng(0).normal(scale=0.5, size=(50, 7)):
        other = np.clip(found + step, *_LIMITS)
        assert model.cost(other)[0] >= model.cost(found)[0] - 1e-3


def test_targets_of_a_long_study_share_the_noise_only_if_theirs_is_alike(monkeypatch):
    rng = np.random.default_rng(3)
    blocks, _, elapsed, constants = problem(n=900, sizes=(5, 8))
    # Each noise three times, under other weights.
    noise = [ar_noise(rng, 900, 0.95, 1), rng.standard_normal((900, 1))]
    y = np.repeat(np.concatenate(noise, axis=1), 3, axis=1)
    y += blocks[0] @ rng.standard_normal((5, 6))
    seen, whiten = [], reml._whitened
    monkeypatch.setattr(reml, "_whitened", lambda *args: seen.append(args) or whiten(*args))
    together = fit_reml(blocks, y, elapsed, constants)
    assert len(seen) == 2
    for k, target in enumerate(y.T):
        alone = fit_reml(blocks, target[:, None], elapsed, constants)
        np.testing.assert_allclose(together.coef[:, k], alone.coef[:, 0], atol=0.02)
        np.testing.assert_allclose(together.evidence[k], alone.evidence[0], atol=3.0)
    np.testing.assert_array_less(
        together.autocorrelation[3:] + 0.2, together.autocorrelation[:3].min()
    )


@pytest.mark.parametrize("sizes", [(5, 8), (50, 70)], ids=["few features", "many features"])
@pytest.mark.parametrize("rows", [31, 45])
def test_a_long_study_is_whitened_in_parts_with_nearly_the_same_weights(monkeypatch, sizes, rows):
    data = problem(n=180, sizes=sizes)
    whole = fit_reml(*data)
    monkeypatch.setattr(reml, "ROWS", rows)
    parts = fit_reml(*data)
    assert np.corrcoef(whole.coef.ravel(), parts.coef.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("band", [(0.0, 0.5), (0.1, 0.5)], ids=["all", "without constants"])
def test_features_of_a_long_study_are_whitened_without_loss(monkeypatch, band):
    monkeypatch.setattr(reml, "ROWS", N // 2)  # the parts are the recordings
    monkeypatch.setattr(reml, "_BURIED", 0.0)
    blocks, y, elapsed, constants = problem()
    mixture = np.array([0.1, 0.2, 0.4, 0.2, 0.1])
    data = blocks, y[:, [0]], elapsed, constants
    features, seen, (rest,), dof, log_det = _whitened(*data, mixture, band, {})
    seen = seen[:, 0]
    axes = _contrasts(elapsed, constants, band) if band[0] else null_space(constants.T)
    root = np.linalg.cholesky(axes.T @ noise_correlation(elapsed, mixture) @ axes)
    expected, target = (np.linalg.solve(root, axes.T @ a) for a in (np.hstack(blocks), y[:, 0]))
    np.testing.assert_allclose(features.T @ features, expected.T @ expected, atol=1e-9)
    np.testing.assert_allclose(features.T @ seen, expected.T @ target, atol=1e-9)
    assert rest + seen @ seen == pytest.approx(target @ target)
    assert dof == axes.shape[1]
    removed = np.log(np.diag(root)).sum()
    if not band[0]:
        removed += np.linalg.slogdet(constants.T @ constants)[1] / 2
    assert log_det == pytest.approx(removed)


def low_passed(rng, n, n_series, edge=0.25):
    spectrum = np.fft.rfft(rng.standard_normal((n, n_series)), axis=0)
    gain = 1 / np.sqrt(1 + (np.fft.rfftfreq(n) / edge) ** 16)
    return np.fft.irfft(spectrum * gain[:, None], n, axis=0)


def test_the_pass_band_of_filtered_targets_is_found_and_no_other():
    rng = np.random.default_rng(0)
    elapsed = np.r_[np.inf, np.ones(199)]
    elapsed[90] = 12.0
    bands = [find_pass_band(y - y.mean(), elapsed) for y in low_passed(rng, 200, 10).T]
    assert np.median([low for low, _ in bands]) == 0.0
    # Where the filter has taken nine tenths or more.
    assert all(0.27 < high < 0.42 for _, high in bands)
    for rho in (0.0, 0.5, 0.9):
        plain = ar_noise(rng, 200, rho, 20).T
        found = [find_pass_band(y - y.mean(), elapsed) == (0.0, 0.5) for y in plain]
        assert np.mean(found) >= 0.85


def test_targets_that_were_filtered_together_have_one_pass_band(monkeypatch):
    monkeypatch.setattr(reml, "_SEARCHED", 9)
    rng = np.random.default_rng(0)
    n, elapsed = 200, np.r_[np.inf, np.ones(199)]
    y = low_passed(rng, n, 40, edge=0.2)
    fit = fit_reml([rng.standard_normal((n, 3))], y, elapsed, np.ones((n, 1)))
    low, high = np.unique(fit.pass_band, axis=1).ravel()
    assert low == 0.0
    assert 0.2 < high < 0.35


def test_bold_that_follows_eeg_has_power_below_the_response():
    # Flat up to 0.1 cycles per volume, then falling steeply: no filter was there.
    rng = np.random.default_rng(0)
    n, elapsed = 290, np.r_[np.inf, np.ones(289)]
    response = np.exp(-0.5 * np.square((np.arange(12) - 3) / 1.3))
    coupled = lfilter(response, 1.0, rng.standard_normal((n + 20, 100)), axis=0)[20:]
    y = 0.8 * coupled / coupled.std(axis=0) + 0.6 * ar_noise(rng, n, 0.5, 100)
    found = [find_pass_band(series - series.mean(), elapsed) for series in y.T]
    assert np.mean([low > 0 for low, _ in found]) < 0.05


def test_features_are_read_where_the_target_has_power():
    # A target of features and noise behind a low-pass. Without the pass band, its missing high
    # frequencies would say that the features, which have them, do not matter.
    rng = np.random.default_rng(1)
    n = 200
    block = rng.standard_normal((n, 5)) / np.sqrt(5)
    weights = rng.standard_normal((5, 6))
    spectrum = np.fft.rfft(block @ weights + 0.5 * rng.standard_normal((n, 6)), axis=0)
    spectrum[np.fft.rfftfreq(n) > 0.2] = 0.0
    y, elapsed = np.fft.irfft(spectrum, n, axis=0), np.r_[np.inf, np.ones(n - 1)]
    fit = fit_reml([block], y, elapsed, np.ones((n, 1)))
    np.testing.assert_allclose(fit.pass_band[1], 0.2, atol=0.06)
    assert np.linalg.norm(fit.coef - weights) < 0.3 * np.linalg.norm(weights)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.8])
def test_the_autocorrelation_of_the_noise_is_found(rho):
    rng = np.random.default_rng(1)
    n = 400
    block = rng.standard_normal((n, 10)) / np.sqrt(10)
    y = block @ rng.standard_normal((10, 6)) + ar_noise(rng, n, rho, 6)
    fit = fit_reml([block], y, np.r_[np.inf, np.ones(n - 1)], np.ones((n, 1)))
    assert fit.autocorrelation.mean() == pytest.approx(rho, abs=0.1)


def test_missing_volumes_do_not_lower_the_autocorrelation():
    rng = np.random.default_rng(2)
    kept = np.sort(rng.choice(900, 300, replace=False))
    y = ar_noise(rng, 900, 0.88, 6)[kept]
    block = rng.standard_normal((300, 4)) / 2
    gaps = np.r_[np.inf, np.diff(kept)]
    fit = fit_reml([block], y, gaps, np.ones((300, 1)))
    assert fit.autocorrelation.mean() == pytest.approx(0.88, abs=0.07)
    blind = fit_reml([block], y, np.minimum(gaps, 1e9) * 0 + 1.0, np.ones((300, 1)))
    assert blind.autocorrelation.mean() < 0.8


def test_only_the_block_that_carries_the_target_gets_a_variance():
    rng = np.random.default_rng(3)
    n = 300
    blocks = [rng.standard_normal((n, 20)) / np.sqrt(20) for _ in range(3)]
    weights = rng.standard_normal((20, 5))
    y = blocks[1] @ weights + ar_noise(rng, n, 0.5, 5)
    fit = fit_reml(blocks, y, np.r_[np.inf, np.ones(n - 1)], np.ones((n, 1)))
    # Planted: weights of variance 1, noise of variance 1.
    assert np.abs(fit.log_variance[1]).max() < 1.2
    assert fit.log_variance[[0, 2]].max() < -2.0
    parts = np.array([b @ w for b, w in zip(blocks, np.split(fit.coef, 3), strict=True)])
    size = parts.std(axis=1)
    assert size[[0, 2]].mean() < 0.2 * size[1].mean()
    correlation = np.corrcoef(fit.coef[20:40].ravel(), weights.ravel())[0, 1]
    assert correlation > 0.8


def test_a_target_that_nothing_predicts_is_left_alone():
    rng = np.random.default_rng(4)
    n = 150
    blocks = [rng.standard_normal((n, 200)) / np.sqrt(200) for _ in range(4)]
    y = ar_noise(rng, n, 0.8, 20)
    fit = fit_reml(blocks, y, np.r_[np.inf, np.ones(n - 1)], np.ones((n, 1)))
    predicted = np.concatenate(blocks, axis=1) @ fit.coef
    assert np.median(predicted.var(axis=0)) < 0.1


def test_noise_ends_with_its_recording():
    blocks, y, elapsed, constants = problem()
    fit = fit_reml(blocks, y, elapsed, constants)
    # Swapping the recordings is no more than a new order of rows.
    order = np.r_[N // 2 : N, : N // 2]
    swapped = fit_reml([b[order] for b in blocks], y[order], elapsed[order], constants[order])
    np.testing.assert_allclose(swapped.coef, fit.coef, atol=1e-4)
    elapsed[N // 2] = 1.0
    joined = fit_reml(blocks, y, elapsed, constants)
    assert np.abs(joined.coef - fit.coef).max() > 1e-3


def test_constants_of_a_recording_are_no_matter():
    blocks, y, elapsed, constants = problem()
    before = fit_reml(blocks, y, elapsed, constants)
    after = fit_reml(blocks, y + constants @ [[100.0], [-40.0]], elapsed, constants)
    np.testing.assert_allclose(after.coef, before.coef, atol=1e-5)
    np.testing.assert_allclose(after.autocorrelation, before.autocorrelation, atol=1e-6)


def test_the_unit_of_the_target_is_no_matter():
    blocks, y, elapsed, constants = problem()
    one, other = (fit_reml(blocks, s * y, elapsed, constants) for s in (1.0, 1e-4))
    np.testing.assert_allclose(1e4 * other.coef, one.coef, rtol=1e-4, atol=1e-6)


def test_a_sample_given_twice_counts_twice():
    blocks, y, elapsed, constants = problem(n_targets=6)
    twice = np.sort(np.r_[np.arange(N), 3, 20, 41])
    again = np.r_[elapsed[twice]]
    again[np.flatnonzero(np.diff(twice) == 0) + 1] = 0.0
    fit = fit_reml([b[twice] for b in blocks], y[twice], again, constants[twice])
    once = fit_reml(blocks, y, elapsed, constants)
    assert np.isfinite(fit.coef).all()
    assert np.corrcoef(fit.coef.ravel(), once.coef.ravel())[0, 1] > 0.95
    assert np.abs(fit.autocorrelation - once.autocorrelation).mean() < 0.15


def test_a_constant_target_gets_no_weights_and_changes_no_other():
    blocks, y, elapsed, constants = problem()
    alone = fit_reml(blocks, y, elapsed, constants)
    y = np.column_stack([y, np.full(N, 0.1)])
    fit = fit_reml(blocks, y, elapsed, constants)
    np.testing.assert_array_equal(fit.coef[:, 2], 0.0)
    np.testing.assert_array_equal(fit.coef[:, :2], alone.coef)


@pytest.mark.parametrize(("n", "n_constants"), [(2, 1), (2, 2), (3, 2), (3, 5), (1, 1)])
def test_too_few_samples_give_no_weights(n, n_constants):
    rng = np.random.default_rng(6)
    blocks = [rng.standard_normal((n, 4))]
    elapsed = np.r_[np.inf, np.ones(n - 1)]
    fit = fit_reml(blocks, rng.standard_normal((n, 2)), elapsed, np.ones((n, n_constants)))
    np.testing.assert_array_equal(fit.coef, np.zeros((4, 2)))
    np.testing.assert_array_equal(fit.log_variance, np.full((1, 2), _LIMITS[0]))


@pytest.mark.parametrize("n", [4, 40])
def test_features_without_variance_give_no_weights(n):
    rng = np.random.default_rng(7)
    elapsed = np.r_[np.inf, np.ones(n - 1)]
    y = rng.standard_normal((n, 2))
    fit = fit_reml([np.zeros((n, 5))], y, elapsed, np.ones((n, 1)))
    np.testing.assert_array_equal(fit.coef, 0.0)
    # One block of two is enough.
    blocks = [np.zeros((n, 5)), y[:, :1] + 0.3 * rng.standard_normal((n, 1))]
    fit = fit_reml(blocks, y, elapsed, np.ones((n, 1)))
    np.testing.assert_array_equal(fit.coef[:5], 0.0)
    assert np.isfinite(fit.coef).all()
    assert n < 10 or fit.coef[5, 0] > 0.5


def test_a_target_that_the_features_explain_to_the_last_digit_is_explained():
    rng = np.random.default_rng(8)
    block = rng.standard_normal((50, 3)) / np.sqrt(3)
    weights = np.array([[1.0], [-2.0], [0.5]])
    fit = fit_reml([block], block @ weights + 4.0, np.r_[np.inf, np.ones(49)], np.ones((50, 1)))
    np.testing.assert_allclose(fit.coef, weights, rtol=0.05, atol=0.05)


def test_a_target_that_only_recordings_tell_apart_gets_no_weights():
    blocks, _, elapsed, constants = problem()
    fit = fit_reml(blocks, constants @ [[0.1], [-3.7]], elapsed, constants)
    np.testing.assert_array_equal(fit.coef, 0.0)
