"""Losses against closed forms and SciPy."""

import numpy as np
import pytest
import torch
from scipy.linalg import eigvalsh

from sklearn_beira.regressor.nets.losses import LOSSES, WeightedLoss, parse_loss


@pytest.fixture
def bold():
    rng = np.random.default_rng(0)
    y_true = rng.standard_normal((40, 3))
    return torch.tensor(0.5 * y_true + rng.standard_normal((40, 3))), torch.tensor(y_true)


def test_losses_equal_their_numpy_formulas(bold):
    y_pred, y_true = (y.numpy() for y in bold)
    r = [np.corrcoef(y_pred[:, i], y_true[:, i])[0, 1] for i in range(3)]
    a, b = (np.cov(y.T) + 1e-2 * np.eye(3) for y in (y_true, y_pred))
    expected = {
        "mse": np.mean((y_pred - y_true) ** 2),
        "mae": np.mean(np.abs(y_pred - y_true)),
        "correlation": -np.mean(r),
        "riemannian": np.sqrt(np.sum(np.log(eigvalsh(b, a)) ** 2)),
    }
    assert set(expected) == set(LOSSES)
    for name, value in expected.items():
        assert float(LOSSES[name](*bold)) == pytest.approx(value, abs=1e-5), name


def test_a_perfect_prediction_has_the_least_loss(bold):
    _, y_true = bold
    assert float(LOSSES["mse"](y_true, y_true)) == 0
    assert float(LOSSES["mae"](y_true, y_true)) == 0
    assert float(LOSSES["correlation"](y_true, y_true)) == pytest.approx(-1, abs=1e-6)
    assert float(LOSSES["riemannian"](y_true, y_true)) == pytest.approx(0, abs=2e-3)


def test_riemannian_distance_does_not_change_when_both_are_mixed_alike():
    # With many volumes the ridge hardly counts, and the distance is affine invariant.
    rng = np.random.default_rng(0)
    a, b = (torch.tensor(10 * rng.standard_normal((500, 2))) for _ in range(2))
    mixing = torch.tensor([[2.0, 1.0], [0.0, 1.0]], dtype=torch.float64)
    first = float(LOSSES["riemannian"](a, b))
    assert float(LOSSES["riemannian"](a @ mixing, b @ mixing)) == pytest.approx(first, abs=1e-3)


@pytest.mark.parametrize("name", list(LOSSES))
@pytest.mark.parametrize("n_volumes", [1, 2, 40])
def test_gradients_are_finite_also_for_tiny_batches_and_constant_predictions(name, n_volumes):
    y_pred = torch.zeros(n_volumes, 3, requires_grad=True)
    LOSSES[name](y_pred, torch.randn(n_volumes, 3)).backward()
    assert torch.isfinite(y_pred.grad).all()


def test_weighted_loss_adds_up(bold):
    y_pred, y_true = bold
    total = WeightedLoss({"mse": 0.1, "correlation": 2.0})(y_pred, y_true)
    expected = 0.1 * LOSSES["mse"](y_pred, y_true) + 2.0 * LOSSES["correlation"](y_pred, y_true)
    assert float(total) == pytest.approx(float(expected))


def test_names_and_dicts_are_read():
    assert parse_loss("mae") == {"mae": 1.0}
    assert parse_loss({"mse": 1, "riemannian": 0.5}) == {"mse": 1.0, "riemannian": 0.5}


def test_unknown_losses_are_named():
    with pytest.raises(ValueError, match="unknown loss 'rmse'; known are mse, mae"):
        parse_loss("rmse")
    with pytest.raises(TypeError, match="a name or a dict"):
        parse_loss({})
