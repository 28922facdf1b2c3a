"""Polynomials of time."""

import numpy as np
import pytest
from scipy.special import eval_legendre
from sklearn.base import clone

from sklearn_beira import EEGFilter, Windower, align
from sklearn_beira.features.time import TimePolynomial


def windows(raws):
    y = [np.arange(25.0)] * len(raws)
    return align(raws, y, t_r=2.0, tmin=-4.0, tmax=0.0, verbose="error")[0]


def test_features_are_legendre_polynomials_on_the_length_of_each_recording(make_raw):
    X = windows([make_raw(duration=60.0), make_raw(duration=100.0)])
    model = TimePolynomial(3).fit(X)
    scaled = 2 * X.times / np.where(X.groups == 0, 60.0, 100.0) - 1
    expected = np.column_stack([eval_legendre(d, scaled) for d in (1, 2, 3)])
    np.testing.assert_allclose(model.transform(X), expected, atol=1e-12)
    assert list(model.get_feature_names_out()) == ["time 1", "time 2", "time 3"]
    assert model.set_output(transform="pandas").transform(X).shape == (len(X), 3)


def test_filtering_and_cutting_do_not_change_the_time(make_raw):
    X = windows([make_raw()])
    found = TimePolynomial().fit_transform(Windower(2.0).fit_transform(X))
    filtered = EEGFilter(1, 20, sfreq=50).fit_transform(X)
    np.testing.assert_allclose(TimePolynomial().fit_transform(filtered), found, atol=1e-12)


def test_beyond_the_training_the_features_stay_where_they_were(make_raw):
    X = windows([make_raw()])
    model = TimePolynomial(5).fit(X[5:15])
    found = model.transform(X)
    assert (found[15:] == found[14]).all()
    assert (found[:5] == found[5]).all()
    again = model.fit(X)
    np.testing.assert_array_equal(again.transform(X), clone(model).fit(X).transform(X))


def test_bad_input_is_refused(make_raw):
    X = windows([make_raw()])
    with pytest.raises(ValueError, match="length of the recordings is unknown; pass the EEGWin"):
        TimePolynomial().fit(np.asarray(X))
    with pytest.raises(ValueError, match="The 'degree' parameter of TimePolynomial must be"):
        TimePolynomial(0).fit(X)
    with pytest.raises(ValueError, match="X has other channels"):
        TimePolynomial().fit(X).transform(windows([make_raw(n_channels=3)]))
