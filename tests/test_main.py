"""The main job from the command line."""

import argparse
import html
import re

import matplotlib.pyplot as plt
import mne
import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from sklearn_beira import BEIRARegressor
from sklearn_beira.cli import data as _job_data, job as command
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


def test_ones_own_files_give_a_table_and_a_report(files, capsys):
    study, eeg, bold, report = files
    status = command.main(
        ["--eeg", str(eeg), "--bold", str(bold), "--trigger", "mri", "--folds", "2",
         "--output", str(report)]
    )  # fmt: skip
    out, err = capsys.readouterr()
    assert status == 0, out
    assert "folds:" not in err  # no bar where there is no terminal
    for region in study.region_names:
        full = rf"^{region} +-?\d\.\d\d[* ] +\[-?\d\.\d\d, -?\d\.\d\d\]( +(?:≤ )?\d\.\d{{3}}){{2}}"
        rivals = r"( +-?\d\.\d\d\*?){4}\s*$"
        assert re.search(full + rivals, out, flags=re.MULTILINE), out
    assert "time_s" not in out.split("Protocol")[1]
    assert "-0.00" not in out
    prose = [line for line in out.splitlines() if line.startswith(("p = (k + 1)", "is corrected"))]
    assert prose
    assert all(line == line.rstrip() for line in prose)
    assert "All of them read the 20 s of EEG before a volume." in " ".join(out.split())
    assert report.stat().st_size < 5e6
    page = report.read_text(encoding="utf-8")
    assert f"python -m sklearn_beira --eeg {eeg}" in page
    assert "Brain map" not in page


def run_code_of(report, monkeypatch):
    """Run the script that a report shows, in an empty folder, and return what it leaves behind."""
    page = html.unescape(report.read_text(encoding="utf-8"))
    (code,) = re.findall(r'<pre class="beira-code">((?:import|from) .*?)</pre>', page, re.DOTALL)
    assert all(len(line) <= 100 for line in code.splitlines() if "/" not in line)
    (report.parent / "elsewhere").mkdir()
    monkeypatch.chdir(report.parent / "elsewhere")
    monkeypatch.setattr(mne.Report, "save", lambda self, path, **_: saved.append(path))
    saved, names = [], {}
    exec(compile(code, "report", "exec"), names)
    plt.close("all")
    assert saved == [str(report.with_name("report_again.html"))]
    return names


def rows_of(printed, regions):
    return [line.split() for line in printed.splitlines() if line.startswith(tuple(regions))]


@pytest.mark.slow
def test_the_code_in_the_report_repeats_the_demo(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(_job_data, "MINUTES", 2)
    report = tmp_path / "report.html"
    assert command.main(["--seed", "1", "--folds", "2", "--output", str(report)]) == 0
    demo, _ = capsys.readouterr()
    names = run_code_of(report, monkeypatch)
    assert len(names["y"].columns) == 8
    repeated, _ = capsys.readouterr()
    rows = rows_of(repeated, names["y"].columns)
    assert len(rows) == 8
    assert rows == rows_of(demo, names["y"].columns)


@pytest.mark.parametrize("way", ["trigger", "times", "image"])
def test_the_code_in_the_report_repeats_the_job_on_ones_own_files(
    tmp_path, capsys, monkeypatch, way
):
    study = make_eeg_fmri(duration=100.0, n_channels=6, n_rois=2, return_img=True, random_state=0)
    eeg, report = tmp_path / "sub 1_raw.fif", tmp_path / "report.html"
    study.raws[0].save(eeg, verbose="error")
    arguments = ["--eeg", eeg, "--folds", "2", "--seed", "3", "--output", report]
    if way == "image":
        paths = [tmp_path / name for name in ("bold.nii.gz", "atlas.nii.gz", "labels.csv")]
        nib.save(study.bold_imgs[0], paths[0])
        nib.save(study.atlas_img, paths[1])
        pd.DataFrame({"index": [1, 2], "name": study.region_names}).to_csv(paths[2], index=False)
        arguments += ["--bold", paths[0], "--atlas", paths[1], "--labels", paths[2]]
        arguments += ["--trigger", "mri", "--t-r", study.t_r, "--montage", "easycap-M1"]
    else:
        table = study.bolds[0].copy()
        table.insert(0, "time (s)", study.volume_times[0])
        table.insert(0, "volume", range(len(table)))
        table.iloc[:-2].to_csv(tmp_path / "bold.csv", index=False, sep=";")
        arguments += ["--bold", tmp_path / "bold.csv"]
        arguments += ["--exclude", study.raws[0].ch_names[2]]
        if way == "trigger":
            arguments += ["--trigger", "mri", "--missing", "end"]
    assert command.main([str(a) for a in arguments]) == 0, capsys.readouterr().err
    job, _ = capsys.readouterr()
    names = run_code_of(report, monkeypatch)
    repeated, _ = capsys.readouterr()
    rows = rows_of(repeated, study.region_names)
    assert len(rows) == 2
    assert rows == rows_of(job, study.region_names)
    assert ("extractor" in names) == (way == "image")


def test_the_published_network_is_trained_on_request(files, capsys, monkeypatch):
    _study, eeg, bold, report = files
    made, make = [], command.make_paper_beira
    cheap = {"n_branches": 2, "encoder_width": 4, "decoder_width": 4, "max_epochs": 2}
    cheap |= {"validation_fraction": 0.0}

    def make_cheap(**params):
        made.append(make(**params))
        return made[-1].set_params(**cheap)

    monkeypatch.setattr(command, "make_paper_beira", make_cheap)
    arguments = ["--eeg", eeg, "--bold", bold, "--trigger", "mri", "--folds", "2", "--paper"]
    assert command.main([str(a) for a in [*arguments, "--output", report]]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "'BEIRA' is the published" in out
    assert "20.48 s of EEG that end 6 s before a volume" in out
    assert [model.architecture for model in made] == ["autoencoder"]
    assert report.exists()


def test_the_time_column_of_the_table_places_the_volumes(files, monkeypatch):
    study, eeg, bold, report = files
    seen = {}
    monkeypatch.setattr(_job_data, "align", lambda *a, **k: seen.update(k) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        command.main(["--eeg", str(eeg), "--bold", str(bold), "--output", str(report)])
    np.testing.assert_allclose(seen["volume_times"], study.volume_times[0])


def test_wrong_input_ends_with_one_sentence(files, capsys):
    study, eeg, bold, report = files
    pd.read_csv(bold).iloc[:-3].to_csv(bold, index=False)
    arguments = ["--eeg", str(eeg), "--bold", str(bold), "--output", str(report)]
    assert command.main([*arguments, "--trigger", "mri"]) == 2
    err = capsys.readouterr().err
    n = len(study.bolds[0])
    assert f"error: recording 0 has {n} 'mri' triggers but the BOLD has {n - 3} volumes" in err
    assert command.main([*arguments, "--exclude", "EOG"]) == 2
    assert "--exclude names channels that" in capsys.readouterr().err
    assert not report.exists()
    with pytest.raises(SystemExit):
        command.main(["--eeg", str(eeg)])


def test_what_would_be_lost_without_a_word_is_refused(files, capsys):
    _study, eeg, bold, report = files
    arguments = ["--eeg", str(eeg), "--bold", str(bold)]
    assert command.main([*arguments, "--output", str(report / "deep" / "report.html")]) == 2
    assert "does not exist; make it first" in capsys.readouterr().err
    arguments += ["--output", str(report)]
    assert command.main([*arguments, "--t-r", "2.5"]) == 2
    assert "t_r is 2.5 s" in capsys.readouterr().err
    table = pd.read_csv(bold)
    table["Left Caudate"] = table["Left Caudate"].astype(str).replace(r"^.*$", "abc", regex=True)
    table.to_csv(bold, index=False)
    assert command.main(arguments) == 2
    assert "columns with text in them: Left Caudate" in capsys.readouterr().err


def test_notes_of_loading_come_before_the_work(files, capsys, monkeypatch):
    _study, eeg, bold, report = files
    table = pd.read_csv(bold).assign(cerebellum=100.0)
    table.to_csv(bold, index=False)
    monkeypatch.setattr(command, "compare", lambda *args, **kwargs: 1 / 0)
    arguments = ["--eeg", str(eeg), "--bold", str(bold), "--output", str(report)]
    with pytest.raises(ZeroDivisionError):
        command.main(arguments)
    assert "Note: the BOLD of recording 0 does not vary in cerebellum" in capsys.readouterr().out
    assert command.main([*arguments, "--folds", "200"]) == 2
    captured = capsys.readouterr()
    assert "too few for 200 blocks" in captured.err
    assert "Protocol" not in captured.out


def test_options_of_a_recording_without_one_are_refused(capsys):
    for options, message in (
        (["--trigger", "mri"], "--trigger goes with --eeg and --bold"),
        (["--exclude", "Fz"], "--exclude goes with --eeg and --bold"),
        (["--folds", "1"], "--folds must be at least 2, got 1"),
    ):
        with pytest.raises(SystemExit):
            command.main(options)
        assert message in capsys.readouterr().err


def test_times_in_the_table_are_held_against_the_triggers(files, capsys):
    _study, eeg, bold, report = files
    arguments = ["--eeg", str(eeg), "--bold", str(bold), "--output", str(report)]
    table = pd.read_csv(bold)
    table["time_s"] = np.arange(len(table))
    table.to_csv(bold, index=False)
    assert command.main([*arguments, "--trigger", "mri"]) == 2
    assert "puts volumes 0 and 1 1 s apart, but they are taken to be 1.95 s" in (
        capsys.readouterr().err
    )


def test_too_many_folds_are_refused_before_the_work(files, capsys, monkeypatch):
    _study, eeg, bold, report = files
    arguments = ["--eeg", eeg, "--bold", bold, "--trigger", "mri", "--output", report]
    monkeypatch.setattr(BEIRARegressor, "fit", lambda *args, **kwargs: 1 / 0)
    assert command.main([str(a) for a in [*arguments, "--folds", 30]]) == 2
    assert "tests one volume, and r needs at least 2; use fewer folds" in capsys.readouterr().err


def test_electrodes_without_positions_are_noted_and_may_be_given(files, capsys, monkeypatch):
    study, eeg, bold, report = files
    raw = study.raws[0].copy().set_montage(None)
    raw.save(eeg, overwrite=True, verbose="error")
    monkeypatch.setattr(command, "compare", lambda models, X, y, **_: seen.append(X) or 1 / 0)
    arguments = ["--eeg", str(eeg), "--bold", str(bold), "--trigger", "mri", "--folds", "2"]
    arguments += ["--output", str(report)]
    seen = []
    for more in ([], ["--montage", "easycap-M1"]):
        with pytest.raises(ZeroDivisionError):
            command.main(arguments + more)
        said = "Note: the EEG does not tell where its electrodes are" in capsys.readouterr().out
        assert said == (seen[-1].info.get_montage() is None) == (not more)
    assert command.main([*arguments, "--montage", "easycap-M0"]) == 2
    assert "easycap-M0" in capsys.readouterr().err


def test_what_mne_cannot_read_is_named(files, capsys):
    _study, _eeg, bold, report = files
    arguments = ["--eeg", str(bold), "--bold", str(bold), "--t-r", "2", "--output", str(report)]
    assert command.main(arguments) == 2
    assert f"error: --eeg: MNE cannot read {bold}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--confounds", "motion.tsv"], "--confounds goes with a NIfTI image"),
        (["--atlas", "striatum"], "--atlas goes with a NIfTI image"),
        (["--labels", "names.csv"], "--labels goes with a NIfTI image"),
        (["--missing", "end"], "--missing says which end lacks triggers: give --trigger"),
    ],
)
def test_options_that_would_do_nothing_are_refused(files, capsys, options, message):
    _study, eeg, bold, report = files
    arguments = ["--eeg", str(eeg), "--bold", str(bold), "--output", str(report), *options]
    assert command.main(arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1.5,2.5\n1.7,2.1\n1.2,2.9\n", "the first line of .* holds numbers"),
        ("a;b\n1,5;2,5\n1,7;2,1\n", "numbers with a decimal comma"),
        ("left right\n1.5 2.5\n1.7 2.1\n", "separated by a comma, a semicolon or a tab"),
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
        _job_data.read_bold(table_of(path))


@pytest.mark.parametrize("name", ["Time (s)", "time", "scan", "TR"])
def test_columns_that_count_are_no_regions(tmp_path, name):
    path = tmp_path / "bold.csv"
    rng = np.random.default_rng(0)
    table = pd.DataFrame({name: 2.0 * np.arange(20), "left": rng.standard_normal(20)})
    table.to_csv(path, index=False)
    found = _job_data.read_bold(table_of(path))
    assert list(found.regions) == ["left"]
    assert found.left_out == [name]
    assert (found.times is not None) == name.lower().startswith("time")


def test_the_data_file_of_brainvision_is_told_from_its_header(tmp_path, capsys):
    eeg, bold = tmp_path / "run.eeg", tmp_path / "bold.csv"
    eeg.write_bytes(b"\xa0\xff" * 1000)
    bold.write_text("left\n1.0\n")
    assert command.main(["--eeg", str(eeg), "--bold", str(bold), "--t-r", "2"]) == 2
    assert "give the header, the .vhdr file" in capsys.readouterr().err


def table_of(path):
    return argparse.Namespace(bold=str(path), atlas=None, labels=None, confounds=None)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("n_regions", [1, 2])
def test_a_table_is_read_whatever_separates_its_columns(files, separator, n_regions):
    study, _eeg, bold, _report = files
    table = study.bolds[0].iloc[:, :n_regions]
    table.to_csv(bold, index=False, sep=separator)
    found = _job_data.read_bold(table_of(bold))
    pd.testing.assert_frame_equal(found.regions, table.reset_index(drop=True))
    assert found.times is None
    assert found.extractor is None


def test_an_image_with_its_atlas_gives_a_report(tmp_path, capsys):
    study = make_eeg_fmri(duration=100.0, n_channels=6, n_rois=2, return_img=True, random_state=0)
    eeg, bold, atlas, labels, report = (
        tmp_path / name
        for name in ("run_raw.fif", "bold.nii.gz", "atlas.nii.gz", "labels.csv", "report.html")
    )
    study.raws[0].save(eeg, verbose="error")
    nib.save(study.bold_imgs[0], bold)
    nib.save(study.atlas_img, atlas)
    pd.DataFrame({"index": [1, 2], "name": study.region_names}).to_csv(labels, index=False)
    arguments = ["--eeg", eeg, "--bold", bold, "--atlas", atlas, "--labels", labels]
    arguments += ["--trigger", "mri", "--folds", "2", "--output", report]
    assert command.main([str(a) for a in arguments]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in study.region_names)
    assert ">Brain map<" in report.read_text(encoding="utf-8")


def test_one_region_is_enough(files):
    study, eeg, bold, report = files
    study.bolds[0].iloc[:, :1].to_csv(bold, index=False)
    arguments = ["--eeg", eeg, "--bold", bold, "--trigger", "mri", "--folds", "2"]
    assert command.main([str(a) for a in [*arguments, "--output", report]]) == 0
    assert report.exists()
