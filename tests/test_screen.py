"""The screen says whether predictions come, and shows what came."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest

from sklearn_beira.cli import main
from sklearn_beira.realtime.names import EXTRAS
from sklearn_beira.realtime.screen import Screen, _columns

NAMES = ["V1", "A1", "M1"]


@pytest.fixture
def screen():
    yield Screen([*NAMES, *EXTRAS], minutes=1.0)
    plt.close("all")


def rows(n, quality=1.0):
    bold = np.random.default_rng(0).standard_normal((n, 3)) * [1.0, 100.0, 0.0] + 5.0
    return np.column_stack([bold, np.full(n, 0.012), np.full(n, quality), np.linspace(-1, 2, n)])


def test_time_courses_are_those_that_came(screen):
    given = rows(30)
    for k in range(30):
        screen.add([1000.0 + k], given[k : k + 1])
        screen.draw(1000.0 + k)
    assert [label.get_text() for label in screen.fig.axes[1].get_yticklabels()] == NAMES
    for k, line in enumerate(screen.lines):
        ago, values = line.get_data()
        np.testing.assert_array_equal(ago, np.arange(-29.0, 1.0))
        expected = given[:, k] - given[:, k].mean()
        expected /= expected.std() or 1.0
        np.testing.assert_allclose(values + 3.0 * k, expected, atol=1e-9)
    assert screen.bar.get_height() == 2.0
    assert screen.head.get_text() == "Running: EEG 12 ms old, quality 100%"
    screen.fig.canvas.draw()


def test_only_the_last_minutes_are_kept(screen):
    screen.add(np.arange(500.0), rows(500))
    assert len(screen.rows) == 60
    screen.add([1000.0], rows(1))
    assert len(screen.rows) == 1


def test_after_the_clock_went_back_only_new_predictions_are_shown(screen):
    screen.add(np.arange(100.0, 130.0), rows(30))
    screen.add([95.0, 96.0], rows(2))
    assert screen.rows[:, 0].tolist() == [95.0, 96.0]


def test_two_screens_are_two_figures(screen):
    other = Screen([*NAMES, *EXTRAS], minutes=1.0)
    assert other.fig is not screen.fig


def test_streams_of_something_else_are_refused():
    def columns(stype, names):
        return _columns(SimpleNamespace(name="some", stype=stype, get_channel_names=lambda: names))

    assert columns("BOLD", [*NAMES, *EXTRAS]) == [*NAMES, *EXTRAS]
    for stype, names in [("feedback", ["feedback"]), ("BOLD", None), ("EEG", [*NAMES, *EXTRAS])]:
        with pytest.raises(ValueError, match="'some' is not one of predictions of run_live"):
            columns(stype, names)


def test_it_says_what_is_wrong(screen):
    assert "Waiting for the first" in screen.head.get_text()
    screen.draw(0.0)  # nothing to draw
    screen.add(np.arange(20.0), rows(20, quality=0.6))
    screen.draw(19.1)
    assert screen.head.get_text() == "Poor EEG: 60% of the window is usable"
    assert len(screen.poor.get_xdata()) == 20
    screen.draw(33.0)
    assert screen.head.get_text() == "No prediction for 14 s"


def test_lines_break_where_predictions_are_missing(screen):
    screen.add([*range(10), *range(20, 25)], rows(15))
    screen.draw(24.0)
    assert np.isnan(screen.lines[0].get_ydata()).sum() == 1


def test_without_a_screen_the_page_is_offered(capsys, monkeypatch):
    pytest.importorskip("mne_lsl")
    monkeypatch.setattr("matplotlib.get_backend", lambda: "agg")
    assert main(["screen"]) == 2
    assert "no window can be opened here; use --web" in capsys.readouterr().err
