"""The command: options, data, table and report."""

import argparse
import contextlib
import html
import inspect
import io
import re
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import mne
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from sklearn.utils import Bunch

import sklearn_beira.viz
from sklearn_beira import BEIRARegressor
from sklearn_beira.cli import data as job_data, job, main
from sklearn_beira.cli.options import in_flags, parse
from sklearn_beira.datasets import make_eeg_fmri


@pytest.fixture
def files(tmp_path):
    study = make_eeg_fmri(duration=100.0, n_channels=6, n_rois=2, random_state=0)
    eeg, bold = tmp_path / "run_raw.fif", tmp_path / "bold.csv"
    study.raws[0].save(eeg, verbose="error")
    table = study.bolds[0].copy()
    table.insert(0, "time_s", study.volume_times[0])
    table.to_csv(bold, index=False)
    return study, eeg, bold, tmp_path / "report.html"


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """Files of one recording, with the options that name them, by the way it is given."""
    folder = tmp_path_factory.mktemp("own files")
    study = make_eeg_fmri(duration=100.0, n_channels=6, n_rois=2, return_img=True, random_state=0)
    eeg, bold = folder / "sub 1_raw.fif", folder / "bold.csv"
    study.raws[0].save(eeg, verbose="error")
    table = study.bolds[0].copy()
    table.insert(0, "time (s)", study.volume_times[0])
    table.insert(0, "volume", range(len(table)))
    table.iloc[:-2].to_csv(bold, index=False, sep=";")
    image, atlas, labels = (folder / name for name in ("bold.nii.gz", "atlas.nii.gz", "labels.csv"))
    nib.save(study.bold_imgs[0], image)
    nib.save(study.atlas_img, atlas)
    pd.DataFrame({"index": [1, 2], "name": study.region_names}).to_csv(labels, index=False)
    times = ["--eeg", eeg, "--bold", bold, "--exclude", study.raws[0].ch_names[2]]
    ways = {
        "times": times,
        "trigger": [*times, "--trigger", "mri", "--missing", "end", "--nuisance", "none"],
        "image": ["--eeg", eeg, "--bold", image, "--atlas", atlas, "--labels", labels,
                  "--trigger", "mri", "--t-r", study.t_r, "--montage", "easycap-M1"],
    }  # fmt: skip
    ways = {way: [*map(str, given), "--folds", "2", "--seed", "3"] for way, given in ways.items()}
    return Bunch(study=study, folder=folder, ways=ways)


def run(recording, way):
    """Run the command in this process, and keep what it printed and wrote."""
    report = recording.folder / f"{way}.html"
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([*recording.ways[way], "--output", str(report)])
    assert status == 0, err.getvalue()
    page = report.read_text(encoding="utf-8")
    return Bunch(out=out.getvalue(), err=err.getvalue(), report=report, page=page)


@pytest.fixture(scope="module")
def table_run(recording):
    return run(recording, "trigger")


def test_help_imports_nothing_slow():
    code = (
        "import sys, sklearn_beira.cli; "
        "print({'numpy', 'sklearn', 'mne', 'torch', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_ones_own_files_give_a_table_and_a_report(recording, table_run):
    out = table_run.out
    assert "folds:" not in table_run.err  # no bar where there is no terminal
    for region in recording.study.region_names:
        full = rf"^{region} +-?\d\.\d\d[* ] +\[-?\d\.\d\d, -?\d\.\d\d\]( +(?:≤ )?\d\.\d{{3}}){{2}}"
        baselines = r"( +-?\d\.\d\d\*?){4}\s*$"
        assert re.search(full + baselines, out, flags=re.MULTILINE), out
    assert "Not used as regions: volume, time (s)" in " ".join(out.split())
    assert "-0.00" not in out
    assert table_run.report.stat().st_size < 5e6
    assert "python -m sklearn_beira --eeg" in table_run.page
    assert "<td>sub 1_raw.fif, bold.csv</td>" in table_run.page
    assert "Brain map" not in table_run.page


def test_an_image_with_its_atlas_gives_a_report(recording):
    done = run(recording, "image")
    assert all(name in done.out for name in recording.study.region_names)
    assert ">Brain map<" in done.page


def test_runs_of_several_people_give_the_report_of_a_group(make_study, tmp_path, capsys):
    study = make_study(3, duration=100.0)
    eegs, bolds = (
        [str(tmp_path / f"{k}_{what}") for k in range(3)] for what in ("raw.fif", "b.csv")
    )
    for raw, bold, eeg, table in zip(study.raws, study.bolds, eegs, bolds, strict=True):
        raw.save(eeg, verbose="error")
        bold.to_csv(table, index=False)
    report = tmp_path / "group.html"
    given = ["run", "--eeg", *eegs, "--bold", *bolds, "--output", str(report)]
    given += ["--trigger", "mri", "--folds", "2"]
    assert main([*given, "--subjects", "A", "A"]) == 2
    assert "--subjects needs one value per run (3), got 2" in capsys.readouterr().err
    assert main([*given, "--subjects", "A", "A", "B"]) == 0
    said = capsys.readouterr().out
    assert "Participant B (2 of 2) is compared." in said
    for way in ("within participants", "left-out participants"):
        rows = said.partition(f"{way}:\n")[2].splitlines()
        assert rows[0].split()[0] == "BEIRA"
        assert "interval" not in rows[0]  # of the mean of two
        assert all(map(str.startswith, rows[1:], study.region_names))
    page = report.read_text(encoding="utf-8")
    assert "Mean r of BEIRA: within participants" in page
    assert "could not be drawn" not in page
    assert "<td>A, B</td>" in page


def run_code_of(page, folder, monkeypatch):
    """Run the script that a report shows, in an empty folder, and return what it leaves behind."""
    (code,) = re.findall(
        r'<pre class="beira-code">((?:import|from) .*?)</pre>', html.unescape(page), re.DOTALL
    )
    assert all(len(line) <= 100 for line in code.splitlines() if "/" not in line)
    folder.mkdir()
    monkeypatch.chdir(folder)
    saved, names, signature = [], {}, inspect.signature(sklearn_beira.viz.make_report)

    def make_report(*args, **options):  # drawn once is enough
        signature.bind(*args, **options)
        return Bunch(save=lambda path, **_: saved.append(path))

    monkeypatch.setattr(sklearn_beira.viz, "make_report", make_report)
    exec(compile(code, "report", "exec"), names)
    plt.close("all")
    assert saved[0].endswith("_again.html")
    return names


def rows_of(printed, regions):
    return [line.split() for line in printed.splitlines() if line.startswith(tuple(regions))]


def test_the_code_in_the_report_repeats_the_job(
    recording, table_run, tmp_path, capsys, monkeypatch
):  # fmt: skip
    run_code_of(table_run.page, tmp_path / "elsewhere", monkeypatch)
    rows = rows_of(capsys.readouterr().out, recording.study.region_names)
    assert len(rows) == 2
    assert rows == rows_of(table_run.out, recording.study.region_names)


@pytest.mark.parametrize("way", ["trigger", "times", "image"])
def test_the_code_of_the_data_makes_the_same_data(recording, way):
    data = job_data.get_data(parse(recording.ways[way]), tmin=-20.0)
    names = {"duration": 20.0, "delay": 0.0, "history": 20.0}
    code = "\n".join(["from sklearn_beira import align", *data.imports, *data.code])
    exec(compile(code, "report", "exec"), names)
    np.testing.assert_array_equal(names["X"].times, data.X.times)
    np.testing.assert_array_equal(np.asarray(names["X"]), np.asarray(data.X))
    pd.testing.assert_frame_equal(names["y"], data.y)
    assert names["X"].ch_names == data.X.ch_names
    assert ("extractor" in names) == (way == "image")


@pytest.mark.slow
def test_the_code_in_the_report_repeats_the_demo(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(job_data, "MINUTES", 2)
    report = tmp_path / "report.html"
    assert main(["--seed", "1", "--folds", "2", "--output", str(report)]) == 0
    demo, _ = capsys.readouterr()
    page = report.read_text(encoding="utf-8")
    names = run_code_of(page, tmp_path / "elsewhere", monkeypatch)
    repeated, _ = capsys.readouterr()
    rows = rows_of(repeated, names["y"].columns)
    assert len(rows) == 8
    assert rows == rows_of(demo, names["y"].columns)


@pytest.mark.slow
def test_the_demo_prints_its_table_and_few_words(tmp_path):
    command = [sys.executable, "-m", "sklearn_beira", "--output", "demo.html"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    start = next(k for k, line in enumerate(lines) if line.split()[:1] == ["BEIRA"])
    assert [line.split()[0] for line in lines[start + 1 : start + 10]] == [
        *["Left", "Right"] * 4,
        "mean",
    ]
    words = " ".join(lines[:start] + lines[start + 10 :]).split()
    assert len(words) <= 120
    assert not done.stderr
    assert 'class="beira-box"' in (tmp_path / "demo.html").read_text(encoding="utf-8")


def test_the_published_network_is_trained_on_request(files, monkeypatch):
    _study, eeg, bold, report = files
    made, make = [], job.make_paper_beira
    cheap = {f"architecture__{size}": 4 for size in ("encoder_width", "decoder_width")}
    cheap |= {"architecture__n_branches": 2, "training__max_epochs": 2}
    cheap |= {"training__validation_fraction": 0.0}

    def make_cheap(**params):
        made.append(make(**params))
        return made[-1].set_params(**cheap)

    monkeypatch.setattr(job, "make_paper_beira", make_cheap)
    arguments = ["--eeg", eeg, "--bold", bold, "--trigger", "mri", "--folds", "2", "--paper"]
    assert main([str(a) for a in [*arguments, "--output", report]]) == 0
    assert [type(model.architecture).__name__ for model in made] == ["Autoencoder"]
    page = report.read_text(encoding="utf-8")
    assert "20.48 s of EEG that end 6 s before a volume" in page


def test_the_time_column_of_the_table_places_the_volumes(files, monkeypatch):
    study, eeg, bold, report = files
    seen = {}
    monkeypatch.setattr(job_data, "align", lambda *a, **k: seen.update(k) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["--eeg", str(eeg), "--bold", str(bold), "--output", str(report)])
    np.testing.assert_allclose(seen["volume_times"], [study.volume_times[0]])


def test_wrong_input_ends_with_one_sentence(files, capsys):
    study, eeg, bold, report = files
    pd.read_csv(bold).iloc[:-3].to_csv(bold, index=False)
    arguments = ["--eeg", str(eeg), "--bold", str(bold), "--output", str(report)]
    assert main([*arguments, "--trigger", "mri"]) == 2
    err = capsys.readouterr().err
    n = len(study.bolds[0])
    assert f"error: recording 0 has {n} 'mri' triggers but the BOLD has {n - 3} volumes" in err
    assert main([*arguments, "--exclude", "EOG"]) == 2
    assert "--exclude names channels that" in capsys.readouterr().err
    assert not report.exists()
    with pytest.raises(SystemExit):
        main(["--eeg", str(eeg)])


def test_what_would_be_lost_without_a_word_is_refused(files, capsys):
    _study, eeg, bold, report = files
    arguments = ["--eeg", str(eeg), "--bold", str(bold)]
    assert main([*arguments, "--output", str(report / "deep" / "report.html")]) == 2
    assert "does not exist" in capsys.readouterr().err
    arguments += ["--output", str(report)]
    assert main([*arguments, "--t-r", "2.5"]) == 2
    assert "--t-r is 2.5 s" in capsys.readouterr().err
    table = pd.read_csv(bold)
    table["Left Caudate"] = table["Left Caudate"].astype(str).replace(r"^.*$", "abc", regex=True)
    table.to_csv(bold, index=False)
    assert main(arguments) == 2
    assert "columns with text in them: Left Caudate" in capsys.readouterr().err


def test_notes_of_loading_come_before_the_work(files, capsys, monkeypatch):
    _study, eeg, bold, report = files
    table = pd.read_csv(bold).assign(cerebellum=100.0)
    table.to_csv(bold, index=False)
    monkeypatch.setattr(job, "compare", lambda *args, **kwargs: 1 / 0)
    arguments = ["--eeg", str(eeg), "--bold", str(bold), "--output", str(report)]
    with pytest.raises(ZeroDivisionError):
        main(arguments)
    assert "Note: the BOLD of recording 0 does not vary in cerebellum" in capsys.readouterr().out
    assert main([*arguments, "--folds", "200"]) == 2
    assert "too few for 200 blocks" in capsys.readouterr().err


def test_options_of_a_recording_without_one_are_refused(capsys):
    for options, message in (
        (["--trigger", "mri"], "--trigger needs --eeg and --bold"),
        (["--exclude", "Fz"], "--exclude needs --eeg and --bold"),
        (["--folds", "1"], "--folds must be at least 2, got 1"),
    ):
        with pytest.raises(SystemExit):
            main(options)
        assert message in capsys.readouterr().err


def test_times_in_the_table_are_held_against_the_triggers(files, capsys):
    _study, eeg, bold, report = files
    arguments = ["--eeg", str(eeg), "--bold", str(bold), "--output", str(report)]
    table = pd.read_csv(bold)
    table["time_s"] = np.arange(len(table))
    table.to_csv(bold, index=False)
    assert main([*arguments, "--trigger", "mri"]) == 2
    assert "puts volumes 0 and 1 1 s apart, but the onsets are 1.95 s apart" in (
        capsys.readouterr().err
    )


def test_times_in_some_tables_only_are_refused(files, capsys):
    _study, eeg, bold, report = files
    untimed = bold.with_name("untimed.csv")
    pd.read_csv(bold).drop(columns="time_s").to_csv(untimed, index=False)
    arguments = ["--eeg", eeg, eeg, "--bold", bold, untimed, "--t-r", 1.95, "--output", report]
    assert main(list(map(str, arguments))) == 2
    assert "untimed.csv has no column of times, but other tables have one" in (
        capsys.readouterr().err
    )


def test_too_many_folds_are_refused_before_the_work(files, capsys, monkeypatch):
    _study, eeg, bold, report = files
    arguments = ["--eeg", eeg, "--bold", bold, "--trigger", "mri", "--output", report]
    monkeypatch.setattr(BEIRARegressor, "fit", lambda *args, **kwargs: 1 / 0)
    assert main([str(a) for a in [*arguments, "--folds", 30]]) == 2
    assert "tests one volume, and r needs at least 2; use fewer folds" in capsys.readouterr().err


def test_electrodes_without_positions_are_noted_and_may_be_given(files, capsys, monkeypatch):
    study, eeg, bold, report = files
    raw = study.raws[0].copy().set_montage(None)
    raw.rename_channels({name: f"{name}'" for name in raw.ch_names[:1]})
    raw.save(eeg, overwrite=True, verbose="error")
    monkeypatch.setattr(job, "compare", lambda models, X, y, **_: seen.append(X) or 1 / 0)
    arguments = ["--eeg", str(eeg), "--bold", str(bold), "--trigger", "mri", "--folds", "2"]
    arguments += ["--output", str(report)]
    seen = []
    for more in ([], ["--montage", "easycap-M1"]):
        with pytest.raises(ZeroDivisionError):
            main(arguments + more)
        said = "Note: the EEG has no electrode positions" in capsys.readouterr().out
        assert said == (seen[-1].info.get_montage() is None) == (not more)
    assert main([*arguments, "--montage", "easycap-M0"]) == 2
    assert "easycap-M0" in capsys.readouterr().err


def test_what_mne_cannot_read_is_named(files, capsys):
    _study, _eeg, bold, report = files
    arguments = ["--eeg", str(bold), "--bold", str(bold), "--t-r", "2", "--output", str(report)]
    assert main(arguments) == 2
    assert f"error: {bold} cannot be read: Unsupported file type" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--confounds", "motion.tsv"], "--confounds needs a NIfTI image"),
        (["--atlas", "striatum"], "--atlas needs a NIfTI image"),
        (["--labels", "names.csv"], "--labels needs a NIfTI image"),
        (["--missing", "end"], "--missing needs --trigger"),
    ],
)
def test_options_that_would_do_nothing_are_refused(files, capsys, options, message):
    _study, eeg, bold, report = files
    arguments = ["--eeg", str(eeg), "--bold", str(bold), "--output", str(report), *options]
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1.5,2.5\n1.7,2.1\n1.2,2.9\n", "the first line of .* holds numbers"),
        ("a,b\n1,5,2,5\n1,7,2,1\n", "line 2 has 4 fields, but the first row has 2; write decimal"),
        ("a,b\n1,5\n1,7,2\n", "line 3 has 3 fields, but the first row has 2"),
        ("", "it has no rows"),
        (None, "is a folder; give a table or a NIfTI image"),
    ],
)
def test_a_table_that_is_written_otherwise_is_refused(tmp_path, content, message):
    path = tmp_path / "bold.csv"
    if content is None:
        path.mkdir()
    else:
        path.write_text(content)
    with pytest.raises(ValueError, match=message):
        job_data.read_bold(table_of(path))


@pytest.mark.parametrize("name", ["Time (s)", "time", "scan", "TR"])
def test_columns_that_count_are_no_regions(tmp_path, name):
    path = tmp_path / "bold.csv"
    rng = np.random.default_rng(0)
    table = pd.DataFrame({name: 2.0 * np.arange(20), "left": rng.standard_normal(20)})
    table.to_csv(path, index=False)
    found = job_data.read_bold(table_of(path))
    assert list(found.regions) == ["left"]
    assert found.left_out == [name]
    assert (found.times is not None) == name.lower().startswith("time")


def test_the_data_file_of_brainvision_is_told_from_its_header(tmp_path, capsys):
    eeg, bold = tmp_path / "run.eeg", tmp_path / "bold.csv"
    eeg.write_bytes(b"\xa0\xff" * 1000)
    bold.write_text("left\n1.0\n")
    assert main(["--eeg", str(eeg), "--bold", str(bold), "--t-r", "2"]) == 2
    assert "the .vhdr file" in capsys.readouterr().err


def table_of(path):
    options = {"atlas": None, "labels": None, "confounds": [], "trigger": None}
    return argparse.Namespace(eeg=["-"], bold=[str(path)], **options)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("n_regions", [1, 2])
def test_a_table_is_read_whatever_separates_its_columns(files, separator, n_regions):
    study, _eeg, bold, _report = files
    table = study.bolds[0].iloc[:, :n_regions]
    table.to_csv(bold, index=False, sep=separator)
    found = job_data.read_bold(table_of(bold))
    pd.testing.assert_frame_equal(found.regions, table.reset_index(drop=True))
    assert found.times is None
    assert found.extractor is None


def test_one_region_is_enough(files):
    study, eeg, bold, report = files
    study.bolds[0].iloc[:, :1].to_csv(bold, index=False)
    arguments = ["--eeg", eeg, "--bold", bold, "--trigger", "mri", "--folds", "2"]
    assert main([str(a) for a in [*arguments, "--output", report]]) == 0
    assert report.exists()


# -- files as people have them -------------------------------------------------------------------
def test_several_runs_are_one_data_set(files, tmp_path, capsys):
    study, eeg, bold, report = files
    other, late = tmp_path / "two_raw.fif", tmp_path / "two.npy"
    raw = study.raws[0].copy()
    raw._data *= 1.5
    raw.save(other, verbose="error")
    np.save(late, study.bolds[0].iloc[:-2])
    regions = (
        pd.read_csv(bold)
        .drop(columns="time_s")
        .add_prefix("x")
        .set_axis(["ROI 0", "ROI 1"], axis=1)
    )
    regions.to_csv(bold, index=False)
    arguments = ["--eeg", eeg, other, "--bold", bold, late, "--trigger", "mri"]
    arguments = [*map(str, arguments), "--missing", "none", "end"]
    data = job_data.get_data(parse(arguments), tmin=-20.0)
    assert len(data.X.recordings) == 2
    np.testing.assert_allclose(data.y.loc[0].iloc[:30], data.y.loc[1].iloc[:30], rtol=1e-12)
    names = {"duration": 20.0, "delay": 0.0, "history": 20.0}
    code = "\n".join(["from sklearn_beira import align", *data.imports, *data.code])
    exec(compile(code, "report", "exec"), names)
    np.testing.assert_array_equal(np.asarray(names["X"]), np.asarray(data.X))
    pd.testing.assert_frame_equal(names["y"], data.y)
    assert main([*arguments, "--output", str(report), "--bold", str(bold)]) == 2
    assert "--bold needs one value per run (2), got 1" in capsys.readouterr().err


def test_scrubbed_volumes_are_placed_and_noted(files, tmp_path):
    study, eeg, bold, _report = files
    whole = study.bolds[0].rename_axis("TR").reset_index().drop(index=[3, 4, 20])
    whole.to_csv(bold, index=False)
    arguments = [
        "--eeg",
        str(eeg),
        "--bold",
        str(bold),
        "--t-r",
        str(study.t_r),
        "--trigger",
        "mri",
    ]
    with pytest.warns(UserWarning, match="leaves out 3 of 46 volumes; its rows are placed by"):
        data = job_data.get_data(parse(arguments), tmin=-1.0)
    kept = np.setdiff1d(np.arange(46), [3, 4, 20])
    times = study.volume_times[0][kept]
    np.testing.assert_allclose(data.X.times, times[times >= 1])
    names = {"duration": 1.0, "delay": 0.0, "history": 1.0}
    code = "\n".join(["from sklearn_beira import align", *data.imports, *data.code])
    exec(compile(code, "report", "exec"), names)
    pd.testing.assert_frame_equal(names["y"], data.y)


def test_codes_of_a_trigger_channel_are_given_with_a_colon(files, capsys):
    study, eeg, bold, report = files
    raw, onsets = study.raws[0].copy(), study.volume_times[0]
    stim = np.zeros((1, raw.n_times))
    stim[0, np.round(onsets * raw.info["sfreq"]).astype(int)] = 8
    stim[0, 100] = 3
    info = mne.create_info(["STI"], raw.info["sfreq"], "stim")
    raw.set_annotations(None).add_channels(
        [mne.io.RawArray(stim, info, verbose="error")], force_update_info=True
    )
    raw.save(eeg, overwrite=True, verbose="error")
    arguments = ["--eeg", str(eeg), "--bold", str(bold), "--output", str(report)]
    data = job_data.get_data(parse([*arguments, "--trigger", "STI:8"]), tmin=-1.0)
    np.testing.assert_allclose(data.X.times, onsets[onsets >= 1], atol=0.005)
    assert main([*arguments, "--trigger", "STI"]) == 2
    assert "give the one of the volumes: --trigger 'STI:number'" in capsys.readouterr().err


def test_messages_are_in_the_options_of_the_command():
    for said, expected in (
        ("take the first: volume_times=(raw.annotations.onset - 1)[::20].",
         "take the first, and give their times in s in a column time_s of --bold."),
        ("missing='start' or 'end', t_r is 2 s", "--missing start or end, --t-r is 2 s"),
        ("give trigger=('STI', 8), trigger='S  1' as well",
         "give --trigger 'STI:8', --trigger 'S  1' as well"),
        ("left out: ECG; set their type with raw.set_channel_types, or name all channels to use "
         "in picks.", "left out: ECG."),
    ):  # fmt: skip
        assert in_flags(said) == expected


def test_errors_name_the_options_of_the_command(files, capsys):
    _study, eeg, bold, report = files
    pd.read_csv(bold).iloc[:-3].to_csv(bold, index=False)
    arguments = ["--eeg", str(eeg), "--bold", str(bold), "--output", str(report)]
    assert main([*arguments, "--trigger", "mri"]) == 2
    said = capsys.readouterr().err
    assert "lacks them: --missing start or end, or give a column time_s in --bold." in said
    assert "missing=" not in said


def test_a_lost_marker_file_is_noted_also_where_the_job_ends(tmp_path, capsys):
    (tmp_path / "run.eeg").write_bytes(np.ones((3000, 2), "<f4").tobytes())
    (tmp_path / "run.vhdr").write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\nDataFile=run.eeg\n"
        "MarkerFile=old.vmrk\nDataFormat=BINARY\nDataOrientation=MULTIPLEXED\nNumberOfChannels=2\n"
        "SamplingInterval=10000\n[Binary Infos]\nBinaryFormat=IEEE_FLOAT_32\n[Channel Infos]\n"
        "Ch1=Fz,,1,µV\nCh2=Cz,,1,µV\n",
        encoding="utf-8",
    )
    (tmp_path / "b.csv").write_text("left\n1.0\n2.0\n")
    arguments = ["--eeg", tmp_path / "run.vhdr", "--bold", tmp_path / "b.csv", "--trigger", "R128"]
    assert main([str(word) for word in arguments]) == 2
    said = "".join(capsys.readouterr())  # MNE 1.11 calls it an error, newer versions do not
    assert "old.vmrk" in said


@pytest.mark.slow
def test_broken_files_end_with_one_sentence_each():
    fuzz = Path(__file__).parents[1] / "benchmarks" / "fuzz.py"
    command = [sys.executable, fuzz, "--engine", "own", "--only", "broken_file", "--inputs", "300"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert re.search(r"300 inputs in .*, 0 undocumented", done.stdout), done.stdout
