"""Tables are read as they were written, and rows are placed by what they say about time."""

import contextlib
import gzip
import warnings

import mne
import numpy as np
import pandas as pd
import pytest

from sklearn_beira import align
from sklearn_beira._utils.files import reading
from sklearn_beira.bold import load_table
from sklearn_beira.bold.tables import clock_unit, read_rows

VALUES = [[1.5, -2.25], [1.75, 2.0], [1e-3, 30.0]]
TABLE = pd.DataFrame(VALUES, columns=["Left Caudate", "Right"])


def written(sep=",", decimal=".", names=True, end="\n"):
    rows = [[str(v).replace(".", decimal) for v in row] for row in VALUES]
    rows = [list(TABLE), *rows] if names else rows
    return end.join(sep.join(row) for row in rows) + end


@pytest.mark.parametrize(
    "content",
    [
        written(),
        written(sep=";"),
        written(sep="\t"),
        written(sep=";", decimal=","),
        written(sep="\t", decimal=","),
        written(sep=", "),
        written(end="\r\n"),
        written(end="\r"),
        "# made by hand\n" + written(),
        written() + "\n\n",
        written(end=",\n"),
        "# Left Caudate,Right\n" + written(names=False),
        ("\ufeff" + written()).encode(),
        written().encode("utf-16"),
        gzip.compress(written(sep=";").encode(), mtime=0),
        '"Left Caudate","Right"\n"1,5","-2,25"\n"1,75","2"\n"0,001","30"\n',
    ],
)
def test_a_table_is_read_as_it_was_written(tmp_path, content):
    path = tmp_path / "table.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    pd.testing.assert_frame_equal(load_table(path), TABLE, check_dtype=False)


def test_latin_1_and_blanks_are_read(tmp_path):
    path = tmp_path / "table.txt"
    path.write_bytes("Gyrus_précentral\tB\n1\t2\n".encode("latin-1"))
    assert list(load_table(path)) == ["Gyrus_précentral", "B"]
    path.write_text("# 3dvolreg -prefix run1\n  0,5   1\n -1,5 2\n")
    np.testing.assert_array_equal(load_table(path), [[0.5, 1], [-1.5, 2]])
    path.write_text("trans_x trans_y\nn/a 1\n2 3\n")
    assert np.isnan(load_table(path).iloc[0, 0])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a,b\n1,2\n1,2,3\n", "line 3 has 3 fields, but the first row has 2"),
        (b"a,b\n99,346,101,020\n", "line 2 has 4 fields.*decimal points"),
        (b"a;b\n\n1;2\n3\n", "line 4 has 1 fields"),
        (b"# nothing\n\n", "it has no rows"),
        (b"\x00\x01\x02" * 9, "it is not a text file"),
        (b"\x1f\x8b\x08", "Compressed file ended"),
    ],
)
def test_what_is_no_table_is_refused_in_one_sentence(tmp_path, content, reason):
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"^{path} cannot be read: .*{reason}"):
        load_table(path)


@pytest.mark.parametrize(
    ("name", "unit"),
    [("time_s", 1.0), ("Time (s)", 1.0), ("onset", 1.0), ("time_ms", 1e-3), ("time [ms]", 1e-3),
     ("onset (min)", 60.0), ("time [TR]", "volume"), ("time (h)", "?"), ("Timothy", None),
     ("Left Caudate", None)],
)  # fmt: skip
def test_units_of_times_are_read_from_names(name, unit):
    assert clock_unit(name) == unit


# -- rows ---------------------------------------------------------------------------------------
_NOTHING = contextlib.nullcontext()
SCRUBBED = [3, 4, 9]  # volumes that were left out, of 20
LEFT = np.setdiff1d(np.arange(20), SCRUBBED)


def scrubbed(**columns):
    rng = np.random.default_rng(0)
    return (
        pd.DataFrame(rng.standard_normal((20, 2)), columns=["a", "b"]).assign(**columns).loc[LEFT]
    )


@pytest.mark.parametrize("way", ["index", "column", "unnamed", "volume", "times", "ms", "TR", "y"])
def test_rows_of_scrubbed_bold_are_placed_by_their_numbers(make_raw, way):
    raw, window = make_raw(), {"tmin": -3.0, "tmax": 0.0, "verbose": "error"}
    bold, count = scrubbed(), np.arange(20)
    if way in ("column", "unnamed", "volume", "TR"):
        name = {"column": "frame", "unnamed": "Unnamed: 0", "TR": "time [TR]"}.get(way, way)
        bold = scrubbed(**{name: count}).reset_index(drop=True)
    elif way in ("times", "ms"):
        name = {"times": "time_s", "ms": "onset_ms"}[way]
        bold = scrubbed(**{name: 2.0 * count * (1000 if way == "ms" else 1)}).reset_index(drop=True)
    elif way == "y":
        _, bold = align(raw, bold, t_r=2.0, **window)
    said = pytest.warns(UserWarning, match="are left out") if bold.shape[1] > 2 else _NOTHING
    with said:
        X, y = align(raw, bold, t_r=2.0, **window)
    kept = LEFT[LEFT >= 2]  # those with 3 s of history
    np.testing.assert_array_equal(X.times, 2.0 * kept)
    np.testing.assert_array_equal(y.index.get_level_values("volume"), kept)
    assert list(y) == ["a", "b"]
    np.testing.assert_array_equal(y, scrubbed().loc[kept])


def test_numbers_and_markers_go_together(make_raw):
    raw = make_raw()
    window = {"trigger": "mri", "tmin": -3.0, "tmax": 0.0, "verbose": "error"}
    raw.set_annotations(mne.Annotations(5.0 + 2.0 * np.arange(20), 0.0, "mri"))
    X, _ = align(raw, scrubbed(), **window)
    np.testing.assert_array_equal(X.times, 5.0 + 2.0 * LEFT)
    last = scrubbed().iloc[:-2]  # or are dummies among the markers?
    with pytest.raises(
        ValueError, match="20 'mri' triggers but the BOLD has 18 volumes; say which"
    ):
        align(raw, last, **window)
    X, _ = align(raw, last, missing="end", **window)
    np.testing.assert_array_equal(X.times, 5.0 + 2.0 * LEFT[:-2])
    raw.set_annotations(raw.annotations[LEFT])
    with pytest.raises(ValueError, match="17 'mri' triggers but the BOLD has 20 volumes"):
        align(raw, scrubbed(), **window)


def test_a_counter_from_one_and_a_late_index_are_said(make_raw):
    window = {"t_r": 2.0, "tmin": -3.0, "tmax": 0.0, "verbose": "error"}
    table = scrubbed(frame=np.arange(20) + 1).reset_index(drop=True)
    said = "'frame' of the BOLD of recording 0 begins with 1, so it is taken to count .* from 1;"
    with pytest.warns(UserWarning, match=said), pytest.warns(UserWarning, match="are left out"):
        X, _ = align(make_raw(), table, **window)
    np.testing.assert_array_equal(X.times, 2.0 * LEFT[LEFT >= 2])
    late = scrubbed().loc[10:].set_index(np.arange(5, 15))
    with pytest.warns(
        UserWarning, match="index of the BOLD of recording 0 begins with 5, so it is"
    ):
        X, _ = align(make_raw(), late, **window)
    np.testing.assert_array_equal(X.times, 2.0 * np.arange(5, 15))
    with pytest.warns(UserWarning, match="begins with 0 and 3, but its rows are taken for all"):
        align(make_raw(), late.set_index(np.arange(0, 30, 3)), **window)
    align(make_raw(), late.set_index(np.arange(0, 20, 2)), **window)  # times, without a name


def test_y_of_align_may_come_from_a_file(make_raw, tmp_path):
    window = {"t_r": 2.0, "tmin": -3.0, "tmax": 0.0, "verbose": "error"}
    raws, bolds = [make_raw(), make_raw(random_state=1)], [scrubbed(), scrubbed() ** 2]
    X, y = align(raws, bolds, **window)
    found, _ = align(raws, [y.loc[0], y.loc[1]], **window)
    np.testing.assert_array_equal(found.times, X.times)
    y.loc[[0]].to_csv(tmp_path / "y.csv")
    with pytest.warns(UserWarning, match="left out: recording, volume"):
        found, _ = align(raws[0], load_table(tmp_path / "y.csv"), **window)
    np.testing.assert_array_equal(found.times, X.times[X.groups == 0])
    with pytest.raises(ValueError, match=r"several recordings; give one table for each, such as y"):
        align(raws[0], y, **window)


def test_times_of_an_unknown_unit_are_questioned(make_raw):
    table = scrubbed(**{"time (h)": np.arange(20) * 0.01}).reset_index(drop=True)
    with pytest.raises(ValueError, match=r"unit of 'time \(h\)' is unknown; name it time_s"):
        align(make_raw(), table, t_r=2.0)
    with pytest.warns(UserWarning, match="0.035 s apart; check that times are in s"):
        align(make_raw(), np.arange(20.0), volume_times=5 + 0.035 * np.arange(20), tmin=-3.0)


def test_a_region_is_no_counter():
    rng = np.random.default_rng(0)
    squares = pd.DataFrame({"a": np.arange(40) ** 2, "b": rng.standard_normal(40)})
    assert list(read_rows(squares).regions) == ["a", "b"]
    assert list(read_rows(squares[["a"]].assign(a=np.arange(40))).regions) == ["a"]
    assert list(read_rows(squares.assign(timeseries=1.0)).regions) == ["a", "b", "timeseries"]


def test_a_repetition_time_in_the_header_is_compared(make_raw):
    bold = scrubbed().reset_index(drop=True)
    bold.attrs["t_r"] = 2.5  # as ROIExtractor writes it
    with pytest.warns(UserWarning, match="repetition time of 2.5 s in its header.*every 2 s"):
        align(make_raw(), bold, t_r=2.0, tmin=-3.0, verbose="error")


# -- readers ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyError("chanlocs"), "a.set cannot be read: KeyError 'chanlocs'."),
        (AssertionError(), "a.set cannot be read: AssertionError."),
        (RuntimeError("It is\n  broken."), "a.set cannot be read: It is broken."),
        (OSError("a.set: x" * 99), "a.set cannot be read: it: x"),
    ],
)
def test_whatever_a_reader_raises_is_one_sentence_of_the_file(error, said):
    with pytest.raises(ValueError, match="cannot be read") as found, reading("a.set"):
        raise error
    assert str(found.value).startswith(said)
    assert len(str(found.value)) < 400


def test_warnings_of_a_reader_reach_the_user_with_the_name_of_the_file():
    def read():
        with reading("folder/a.vhdr"):
            warnings.warn("markers are\n lost", RuntimeWarning, stacklevel=1)
            warnings.warn("old", DeprecationWarning, stacklevel=1)

    with pytest.warns(UserWarning, match=r"^a\.vhdr: markers are lost$") as found:
        read()
    assert len(found) == 1
    assert found[0].filename == __file__


@pytest.mark.parametrize("start", [0, 1])
def test_a_header_that_counts_columns_is_no_row(tmp_path, start):
    values = np.random.default_rng(0).standard_normal((20, 3))
    table = pd.DataFrame(values, columns=range(start, start + 3))
    table.to_csv(tmp_path / "bold.csv", index=False)
    np.testing.assert_allclose(load_table(tmp_path / "bold.csv"), values)
    table.to_csv(tmp_path / "bold.csv")
    np.testing.assert_allclose(load_table(tmp_path / "bold.csv").iloc[:, 1:], values)
    # Whole numbers may be data.
    (tmp_path / "events.csv").write_text("0,1\n30,2\n60,1\n")
    assert load_table(tmp_path / "events.csv").shape == (3, 2)


def test_an_index_of_volumes_has_to_rise(make_raw):
    y = pd.DataFrame(np.random.default_rng(0).standard_normal((30, 2)))
    for index in (np.random.default_rng(0).permutation(30), [*range(15), *range(15)]):
        table = y.set_axis(pd.Index(index, name="volume"))
        with pytest.raises(ValueError, match="'volume' of a table of BOLD does not count upwards"):
            align(make_raw(duration=80.0), table, t_r=2.0, tmin=-4.0)


def test_an_index_of_time_differences_is_in_time(make_raw):
    y = pd.DataFrame(np.random.default_rng(0).standard_normal((30, 2)))
    kept = np.r_[0:5, 9:30]
    table = y.set_axis(pd.to_timedelta(2.0 * np.arange(30), unit="s")).iloc[kept]
    X, _ = align(make_raw(duration=80.0), table, t_r=2.0, tmin=-4.0, verbose="error")
    np.testing.assert_allclose(X.times, 2.0 * kept[kept >= 2])
