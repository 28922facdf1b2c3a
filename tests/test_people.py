"""People are aligned by their EEG: differences between electrodes go, what is alike stays."""

import mne
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import LeaveOneGroupOut
from sklearn.pipeline import make_pipeline

from sklearn_beira import (
    AlignmentStream,
    EEGWindows,
    SubjectAligner,
    compare,
    load_model,
    make_band_power_ridge,
    save_model,
)
from sklearn_beira.eeg.maps import find_map, geometric_median, interpolation_matrix

SFREQ, N = 100.0, 6
NAMES = ["Fz", "Cz", "Pz", "Oz", "C3", "C4"]


def make_sources(seconds, rng, n=N):
    """Sources of 10 µV, each with a rhythm of its own."""
    t = np.arange(round(seconds * SFREQ)) / SFREQ
    rhythms = np.array(
        [np.sin(2 * np.pi * f * t + 3 * rng.standard_normal()) for f in 3 + 4.1 * np.arange(n)]
    )
    return 1e-5 * (rhythms + 0.5 * rng.standard_normal(rhythms.shape))


def make_windows(recordings, names=NAMES, subjects=None, montage=True):
    info = mne.create_info(names, SFREQ, "eeg")
    if montage:
        info.set_montage(
            "colin27_1005"
            if "colin27_1005" in mne.channels.get_builtin_montages()
            else "standard_1005"
        )
    onsets = [np.arange(21.0, r.shape[1] / SFREQ, 2.0) for r in recordings]
    which = np.repeat(np.arange(len(recordings)), [len(o) for o in onsets])
    return EEGWindows(
        recordings, which, np.concatenate(onsets), info, tmin=-20.0, tmax=0.0, subjects=subjects
    )


@pytest.fixture(scope="module")
def mixed():
    """Three people who see the same kind of sources through other electrodes and amplifiers."""
    rng = np.random.default_rng(0)
    maps = [g * (np.eye(N) + 0.5 * rng.standard_normal((N, N)) / np.sqrt(N)) for g in (1, 3, 0.3)]
    return make_windows([m @ make_sources(120, rng) for m in maps], subjects=list("abc")), maps


def covariances(X):
    return np.array([np.cov(r) for r in X.recordings])


def spread(matrices):
    mean = matrices.mean(axis=0)
    return np.sqrt(((matrices - mean) ** 2).sum() / (len(matrices) * (mean**2).sum()))


@pytest.mark.parametrize("bands", ["default", None])
def test_aligned_people_have_the_covariance_of_the_mean_person(mixed, bands):
    X, _ = mixed
    aligner = SubjectAligner(bands=bands).fit(X)
    Z = aligner.transform(X)
    assert spread(covariances(X)) > 1
    assert spread(covariances(Z)) < 0.1
    assert Z.shape == X.shape
    np.testing.assert_array_equal(Z.times, X.times)
    assert Z.recordings[0].dtype == np.float32


def test_bands_tell_the_rotation_that_the_covariance_leaves_open(mixed):
    X, maps = mixed

    def unmixed(aligner):
        """What is left of the differences between electrodes."""
        Z = aligner.fit_transform(X)
        found = [
            np.linalg.lstsq(x.T, z.T, rcond=None)[0].T
            for x, z in zip(X.recordings, Z.recordings, strict=True)
        ]
        return spread(np.array([f @ m for f, m in zip(found, maps, strict=True)]))

    assert unmixed(SubjectAligner(bands=None, prior=0.0)) > 0.15
    assert unmixed(SubjectAligner(prior=0.0)) < 0.05


def test_people_who_are_alike_stay_as_they_are():
    rng = np.random.default_rng(0)
    mixing = np.eye(N) + 0.5 * rng.standard_normal((N, N)) / np.sqrt(N)
    X = make_windows([mixing @ make_sources(200, rng) for _ in range(3)])
    Z = SubjectAligner().fit_transform(X)
    for x, z in zip(X.recordings, Z.recordings, strict=True):
        assert np.abs(z - x).std() < 0.05 * x.std()


def test_a_new_person_is_aligned_by_their_own_eeg(mixed):
    X, _ = mixed
    known = X[X.subjects != "b"]
    aligner = SubjectAligner(prior=0.0).fit(known)
    np.testing.assert_array_equal(
        aligner.reference_, SubjectAligner(prior=0.0).fit(known).reference_
    )
    found = np.cov(aligner.transform(X[X.subjects == "b"]).recordings[1])
    expected = aligner.reference_[0]
    assert np.linalg.norm(found - expected) < 0.1 * np.linalg.norm(expected)
    # Nothing of the person was used in fit.
    other = make_windows(
        [r if k != 1 else 7 * r[::-1] for k, r in enumerate(X.recordings)], subjects=list("abc")
    )
    again = SubjectAligner(prior=0.0).fit(other[other.subjects != "b"])
    np.testing.assert_array_equal(again.reference_, aligner.reference_)


def test_recordings_of_a_person_share_a_map(mixed):
    X, _ = mixed
    Y = make_windows(list(X.recordings), subjects=["a", "b", "b"])
    aligner = SubjectAligner(bands=None).fit(Y)

    def maps(aligner):
        Z = aligner.transform(Y)
        return [
            np.linalg.lstsq(x.T, z.T, rcond=None)[0]
            for x, z in zip(Y.recordings, Z.recordings, strict=True)
        ]

    one, two, three = maps(aligner)
    assert np.abs(two - three).max() < 1e-4 < np.abs(one - two).max()
    two, three = maps(aligner.set_params(by="recording"))[1:]
    assert np.abs(two - three).max() > 0.1


def test_artifacts_barely_change_a_map(mixed):
    X, _ = mixed
    loud = [r.copy() for r in X.recordings]
    loud[1][:, 3000:4500] += 1e-3 * np.random.default_rng(0).standard_normal((N, 1500))
    aligner = SubjectAligner().fit(X)
    clean, other = (
        aligner.transform(Y).recordings[1] for Y in (X, make_windows(loud, subjects=list("abc")))
    )
    quiet = np.r_[0:2900, 4600:12000]
    assert np.abs(other - clean)[:, quiet].std() < 0.15 * clean.std()


def test_eeg_without_a_direction_is_aligned_and_keeps_its_reference(mixed):
    X, _ = mixed
    Y = make_windows([r - r.mean(axis=0) for r in X.recordings])
    Z = SubjectAligner().fit_transform(Y)
    assert spread(covariances(Z)) < 0.1
    for z in Z.recordings:
        assert np.abs(z.mean(axis=0)).max() < 1e-5 * z.std()
        assert z.std() < 10 * Y.recordings[0].std()


@pytest.mark.parametrize("size", [1, 37, 1000])
def test_pieces_of_any_length_give_the_stream_of_the_whole(mixed, size):
    X, _ = mixed
    eeg = X.recordings[1][:, :3000]
    aligner = SubjectAligner(bands=[(2, 8), (8, 20)]).fit(X)
    whole = aligner.stream(SFREQ).transform(eeg)
    stream = aligner.stream(SFREQ)
    starts = range(0, eeg.shape[1], size) if size > 1 else range(250)
    pieces = np.concatenate([stream.transform(eeg[:, s : s + size]) for s in starts], axis=1)
    np.testing.assert_allclose(pieces, whole[:, : pieces.shape[1]], rtol=1e-9, atol=1e-12)


def test_a_stream_reads_the_past_only_and_ends_where_the_recording_does(mixed):
    X, _ = mixed
    aligner = SubjectAligner().fit(X)
    eeg = X.recordings[1]
    changed = np.concatenate([eeg[:, :6000], -9 * eeg[::-1, 6000:]], axis=1)
    one, two = (aligner.stream(SFREQ).transform(e) for e in (eeg, changed))
    np.testing.assert_array_equal(one[:, :6000], two[:, :6000])
    stream = aligner.stream(SFREQ, half_life=1e6)
    late = stream.transform(eeg)[:, 9000:]
    expected = aligner.transform(X).recordings[1][:, 9000:]
    assert np.abs(late - expected).std() < 0.15 * expected.std()


def test_other_electrodes_are_interpolated_by_position():
    rng = np.random.default_rng(0)
    all_names = mne.channels.make_standard_montage("biosemi32").ch_names
    places = np.array(
        [*mne.channels.make_standard_montage("biosemi32").get_positions()["ch_pos"].values()]
    )
    # A smooth field on the head: three dipoles far below the electrodes.
    lead = np.array(
        [
            1 / np.linalg.norm(places - p, axis=1)
            for p in ([0, 0.02, 0], [0.03, 0, 0.01], [-0.02, -0.03, 0])
        ]
    ).T
    eeg = 1e-6 * lead @ rng.standard_normal((3, 6000))
    eeg += 1e-7 * rng.standard_normal(eeg.shape)
    one, two = (
        [n for n in all_names if n not in ("Cz", "P3")],
        [n for n in all_names if n not in ("Fz", "O1")],
    )
    rows = [[all_names.index(n) for n in names] for names in (one, two)]
    X, Y = (make_windows([eeg[r]], names) for r, names in zip(rows, (one, two), strict=True))
    aligner = SubjectAligner(bands=None).fit(X)
    expected, found = aligner.transform(X).recordings[0], aligner.transform(Y)
    assert found.ch_names == one
    error = (found.recordings[0] - expected).std(axis=1) / expected.std(axis=1)
    assert np.median(error) < 0.1
    assert error.max() < 0.4
    # A subset of the channels is picked, not interpolated.
    few = SubjectAligner(bands=None, channels=["Pz", "C3", "Oz"], prior=0).fit(X)
    assert few.transform(X).ch_names == ["Pz", "C3", "Oz"]
    np.testing.assert_allclose(
        few.transform(X).recordings[0],
        eeg[[all_names.index(n) for n in ("Pz", "C3", "Oz")]],
        atol=1e-9,
    )


def test_splines_leave_electrodes_that_are_there_and_find_constant_fields():
    montage = mne.channels.make_standard_montage("biosemi32")
    places = np.array([*montage.get_positions()["ch_pos"].values()])
    matrix = interpolation_matrix(places, places[:5])
    np.testing.assert_allclose(matrix, np.eye(32)[:5], atol=1e-3)
    np.testing.assert_allclose(
        interpolation_matrix(places[5:], places[:5]).sum(axis=1), 1, atol=1e-3
    )


def test_channels_without_a_place_are_refused(mixed):
    X, _ = mixed
    aligner = SubjectAligner().fit(X)
    other = make_windows(list(X.recordings), names=[f"E{k}" for k in range(N)], montage=False)
    with pytest.raises(ValueError, match="positions are unknown; set a montage"):
        aligner.transform(other)
    with pytest.raises(ValueError, match="names of the 10-05 system"):
        SubjectAligner(channels=["Fz", "nowhere"]).fit(X)
    with pytest.raises(ValueError, match="0 < low < high"):
        SubjectAligner(bands=[(8, 60)]).fit(X)
    with pytest.raises(ValueError, match="shorter than a window"):
        SubjectAligner(window=500.0).fit(X)
    stream = aligner.stream(SFREQ)
    with pytest.raises(ValueError, match=r"must have 6 channels, shape \(6, n_times"):
        stream.transform(np.zeros((2, 10)))
    with pytest.raises(ValueError, match="half_life must be a number above 0"):
        AlignmentStream(aligner, SFREQ, 0)


def test_short_and_silent_recordings_are_changed_little_but_in_their_gain():
    rng = np.random.default_rng(0)
    X = EEGWindows.from_array(rng.standard_normal((20, 3, 200)), SFREQ)
    aligner = SubjectAligner().fit(X)
    skew = np.array([[2.0, 0, 0], [1.5, 2, 0], [0, 0, 2]]) @ rng.standard_normal((40, 3, 200))
    short, long = (EEGWindows.from_array(skew[:n], SFREQ) for n in (1, 40))
    left = [np.corrcoef(np.hstack(np.asarray(aligner.transform(Y))))[0, 1] for Y in (short, long)]
    assert left[0] > 0.35 > 0.1 > abs(left[1])
    for Y in (short, long):
        assert 0.8 < np.asarray(aligner.transform(Y)).std() < 1.2
    silent = EEGWindows.from_array(np.zeros((4, 3, 200)), SFREQ)
    assert not np.asarray(aligner.transform(silent)).any()
    np.testing.assert_array_equal(SubjectAligner().fit(silent).transform(short), short)


def test_files_and_threads_give_the_same(mixed, tmp_path):
    X, _ = mixed
    expected = SubjectAligner().fit_transform(X)
    found = SubjectAligner(folder=tmp_path, n_jobs=2).fit_transform(X)
    assert len(list(tmp_path.glob("*.npy"))) == 3
    for a, b in zip(expected.recordings, found.recordings, strict=True):
        np.testing.assert_array_equal(a, b)
    again = SubjectAligner(folder=tmp_path).fit_transform(X)
    np.testing.assert_array_equal(again.recordings[0], expected.recordings[0])
    assert clone(SubjectAligner(stay=0.3)).stay == 0.3


def test_people_left_out_are_predicted_better_and_the_model_is_saved(tmp_path):
    rng = np.random.default_rng(1)
    sources, recordings, bold = make_sources, [], []
    for gain in (1.0, 2.0, 0.7, 1.4):
        s = sources(240, rng)
        envelope = 1 + 0.9 * np.sin(
            2 * np.pi * 0.04 * np.arange(s.shape[1]) / SFREQ + rng.uniform(0, 6)
        )
        s[2] *= envelope
        recordings.append(gain * (np.eye(N) + 0.9 * rng.standard_normal((N, N)) / np.sqrt(N)) @ s)
        bold.append(envelope)
    X = make_windows(recordings, subjects=list("abcd"))
    at = [np.round(X.times[X.groups == k] * SFREQ).astype(int) for k in range(4)]
    y = np.concatenate([b[i] for b, i in zip(bold, at, strict=True)])[:, None]
    y = y + 0.3 * rng.standard_normal(y.shape)
    ridge = make_band_power_ridge(20.0)
    aligned = make_pipeline(SubjectAligner(), *clone(ridge))
    models = {"ridge": ridge, "aligned": aligned}
    options = {"cv": LeaveOneGroupOut(), "groups": X.subjects, "null": None, "verbose": False}
    table = compare(models, X, y, **options).table.query("scope == 'pooled'").set_index("model")
    assert table.loc["aligned", "r"] > table.loc["ridge", "r"] + 0.05

    aligned.fit(X[X.subjects != "d"], y[X.subjects != "d"])
    save_model(aligned, tmp_path / "model.safetensors")
    new = X[X.subjects == "d"]
    np.testing.assert_array_equal(
        load_model(tmp_path / "model.safetensors").predict(new), aligned.predict(new)
    )


def test_the_map_is_that_of_optimal_transport_without_bands():
    rng = np.random.default_rng(0)
    own, other = (a @ a.T for a in rng.standard_normal((2, 4, 4)))
    found = find_map(own[None], other[None], 1.0)
    np.testing.assert_allclose(found, found.T, atol=1e-9)
    assert np.linalg.eigvalsh(found).min() > 0
    np.testing.assert_allclose(found @ own @ found.T, other, atol=1e-9)


def test_the_geometric_median_is_where_no_step_helps():
    matrices = np.random.default_rng(0).standard_normal((9, 3, 3))
    matrices[0] += 1e6
    median = geometric_median(matrices)

    def cost(x):
        return np.sqrt(((matrices - x) ** 2).sum(axis=(1, 2))).sum()

    for step in 0.05 * np.random.default_rng(1).standard_normal((20, 3, 3)):
        assert cost(median) <= cost(median + step)
    np.testing.assert_array_equal(geometric_median(np.ones((3, 2, 2))), np.ones((2, 2)))
