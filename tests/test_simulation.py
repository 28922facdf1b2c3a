"""The simulator plants what it says: every number of the truth is found in the data again."""

import io
import logging

import mne
import numpy as np
import pytest
from scipy import signal
from scipy.spatial.distance import pdist

from sklearn_beira.datasets import make_eeg_fmri
from sklearn_beira.eeg.channels import MONTAGE


@pytest.fixture(scope="module")
def simulate():
    """Make data once per set of parameters."""
    made = {}

    def make(**params):
        key = repr(sorted(params.items()))
        if key not in made:
            made[key] = make_eeg_fmri(**{"random_state": 0, **params})
        return made[key]

    return make


def band_pass(x, band, sfreq):
    sos = signal.butter(4, band, "bandpass", fs=sfreq, output="sos")
    return signal.sosfiltfilt(sos, x, axis=-1)


def regressors(data):
    """Convolve the power of the sources with the response, sample it at the volumes, z-score."""
    truth, parts = data.truth, []
    for times, power, at in zip(
        truth.envelope_times, truth.envelopes, data.volume_times, strict=True
    ):
        driven = np.array([np.convolve(p, truth.hrf)[: len(p)] for p in power.T])
        parts.append(np.array([np.interp(at, times, d) for d in driven]).T)
    parts = np.concatenate(parts)
    return (parts - parts.mean(0)) / parts.std(0)


def numbers(data):
    truth = data.truth
    return [
        *(raw.get_data() for raw in data.raws),
        *(bold.to_numpy() for bold in data.bolds),
        *truth.sources,
        *truth.envelopes,
        truth.patterns,
        truth.weights,
    ]


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others():
    params = {"duration": 40, "n_channels": 6, "n_rois": 2, "return_img": True}
    first, again = (make_eeg_fmri(**params, random_state=3) for _ in range(2))
    for a, b in zip(numbers(first), numbers(again), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(first.bold_imgs[0].dataobj, again.bold_imgs[0].dataobj)
    instance = make_eeg_fmri(**params, random_state=np.random.RandomState(3))
    np.testing.assert_array_equal(first.bolds[0], instance.bolds[0])
    other = make_eeg_fmri(**params, random_state=4)
    for a, b in zip(numbers(first), numbers(other), strict=True):
        assert not np.allclose(a, b, atol=0)


def test_random_state_of_the_process_and_the_log_of_mne_are_left_alone():
    np.random.seed(0)  # noqa: NPY002 - the global state is what is watched here
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    level, stream = mne.utils.logger.level, io.StringIO()
    handler = logging.StreamHandler(stream)
    mne.utils.logger.addHandler(handler)
    try:
        make_eeg_fmri(duration=40, n_channels=6, n_rois=2, random_state=0)
    finally:
        mne.utils.logger.removeHandler(handler)
    assert stream.getvalue() == ""
    assert mne.utils.logger.level == level
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_runs_share_the_head_but_not_the_activity(simulate):
    data = simulate(n_runs=3, duration=60)
    assert [len(part) for part in (data.raws, data.bolds, data.volume_times)] == [3, 3, 3]
    assert data.truth.noise_ceiling_per_run.shape == (3, 8)
    first, second, _ = (raw.get_data() for raw in data.raws)
    assert abs(np.corrcoef(first[0], second[0])[0, 1]) < 0.2
    # The same patterns explain the sources' share of every run.
    for raw, sources in zip(data.raws, data.truth.sources, strict=True):
        rest = raw.get_data() - data.truth.patterns.T @ sources
        assert rest.var() < raw.get_data().var()
    # One run more does not change the EEG of the runs before it.
    np.testing.assert_array_equal(simulate(duration=60).raws[0].get_data(), first)


def test_every_volume_has_a_trigger_at_its_time(simulate):
    data = simulate(duration=60, lead_in=7.3, t_r=2.1)
    raw, times = data.raws[0], data.volume_times[0]
    np.testing.assert_allclose(times, 7.3 + 2.1 * np.arange(25))
    np.testing.assert_allclose(raw.annotations.onset, times)
    assert set(raw.annotations.description) == {"mri"}
    assert data.bolds[0].shape == (25, 8)
    # Every volume was acquired in full before the recording ended, and one more would not fit.
    assert times[-1] + 2.1 <= raw.times[-1] + 1 / raw.info["sfreq"] < times[-1] + 2 * 2.1


@pytest.mark.parametrize("n_channels", [2, 30, 64])
@pytest.mark.parametrize("eeg_snr", [0, 2, 1e4])
def test_eeg_has_the_amplitude_of_eeg(n_channels, eeg_snr, simulate):
    raw = simulate(n_channels=n_channels, eeg_snr=eeg_snr, duration=60).raws[0]
    sd = raw.get_data().std(axis=1)
    assert raw.get_data().shape == (n_channels, 15_000)
    assert np.sqrt((sd**2).mean()) == pytest.approx(20e-6, rel=0.2)
    if n_channels == 30 and eeg_snr == 2:
        assert sd.min() > 8e-6
        assert sd.max() < 45e-6
    assert np.linalg.matrix_rank(np.cov(1e6 * raw.get_data())) == n_channels


def test_electrodes_lie_where_the_standard_montage_has_them(simulate):
    raw = simulate(duration=60).raws[0]
    found = raw.get_montage().get_positions()["ch_pos"]
    standard = mne.channels.make_standard_montage(MONTAGE).get_positions()["ch_pos"]
    # Distances, because the two differ by the turn into head coordinates.
    distances = (pdist([place[name] for name in raw.ch_names]) for place in (found, standard))
    np.testing.assert_allclose(*distances, atol=1e-6)
    assert raw.get_channel_types(unique=True) == ["eeg"]


def test_background_is_pink_and_correlated_over_the_scalp(simulate):
    raw = simulate(eeg_snr=0, duration=200).raws[0]
    freqs, psd = signal.welch(raw.get_data(), 250, nperseg=1000)
    inside = (freqs >= 1) & (freqs <= 20)
    slope = np.polyfit(np.log(freqs[inside]), np.log(psd.mean(0)[inside]), 1)[0]
    assert slope == pytest.approx(-1, abs=0.15)
    r = np.corrcoef(raw.get_data())
    at = raw.ch_names.index
    assert r[at("C3"), at("CP1")] > 0.3
    assert r[at("C3"), at("CP1")] > r[at("C3"), at("TP10")] + 0.3


def test_projection_of_a_source_peaks_in_its_band(simulate):
    data = simulate(duration=300, eeg_snr=1e4, n_rois=10, n_sources=10)
    # One channel pattern per source, so the sources can be read off the EEG by least squares.
    read = np.linalg.pinv(data.truth.patterns.T) @ data.raws[0].get_data()
    freqs, psd = signal.welch(read, 250, nperseg=500)
    for peak, (low, high) in zip(freqs[psd.argmax(1)], data.truth.bands, strict=True):
        assert low <= peak <= high
    assert {tuple(band) for band in data.truth.bands} == {
        *((8, 12), (4, 7), (14, 20), (22, 30), (32, 42))
    }


def test_pattern_of_a_source_is_found_in_the_eeg(simulate):
    data = simulate(duration=300, eeg_snr=1e3, n_rois=8)
    eeg, patterns = data.raws[0].get_data(), data.truth.patterns
    for source, pattern, band in zip(
        data.truth.sources[0], patterns, data.truth.bands, strict=True
    ):
        # Two sources of a band correlate by chance over a few minutes: regress on all of them.
        same = (data.truth.bands == band).all(axis=1)
        design = band_pass(data.truth.sources[0][same], band, 250)
        found = np.linalg.lstsq(design.T, band_pass(eeg, band, 250).T, rcond=None)[0]
        found = found[np.flatnonzero((data.truth.sources[0][same] == source).all(axis=1))[0]]
        cosine = found @ pattern / np.linalg.norm(found) / np.linalg.norm(pattern)
        assert cosine > 0.99
        assert np.linalg.norm(found) == pytest.approx(np.linalg.norm(pattern), rel=0.05)
    np.testing.assert_allclose(patterns.mean(axis=1), 0, atol=1e-12)
    # No two sources look alike, or nobody could tell which one drives a region.
    unit = patterns / np.linalg.norm(patterns, axis=1, keepdims=True)
    assert np.abs(unit @ unit.T - np.eye(len(unit))).max() < 0.99


def test_pattern_is_that_of_a_dipole_in_the_head(simulate):
    data = simulate(duration=60)
    raw = data.raws[0]
    evoked = mne.EvokedArray(data.truth.patterns[:3].T, raw.info.copy(), verbose="error")
    evoked.set_eeg_reference(projection=True, verbose="error")
    evoked.info["dev_head_t"] = mne.Transform("meg", "head")  # MNE 1.11 fits no dipole without
    # What is fitted is a sphere of MNE's own choice, not ours.
    sphere = mne.make_sphere_model("auto", "auto", evoked.info, verbose="error")
    noise = mne.make_ad_hoc_cov(evoked.info, verbose="error")
    dipoles, _ = mne.fit_dipole(evoked, noise, sphere, verbose="error")
    assert dipoles.gof.min() > 97


def test_signal_to_noise_ratio_is_the_one_asked_for(simulate):
    data = simulate(duration=400, eeg_snr=0.5, n_rois=4, sfreq=100)
    truth, eeg = data.truth, data.raws[0].get_data()
    rest = eeg - truth.patterns.T @ truth.sources[0]
    freqs, psd = signal.welch(rest, 100, nperseg=400)
    for source, pattern, (low, high) in zip(
        truth.sources[0], truth.patterns, truth.bands, strict=True
    ):
        inside = (freqs >= low) & (freqs <= high)
        noise = psd[:, inside].mean() * (high - low)
        assert (pattern**2).mean() * source.var() / noise == pytest.approx(0.5, rel=0.3)


def test_envelopes_are_the_power_of_the_sources(simulate):
    data = simulate(duration=120)
    truth = data.truth
    power = np.abs(signal.hilbert(truth.sources[0])) ** 2 / 2
    times = np.arange(power.shape[1]) / 250
    at = truth.envelope_times[0]
    inside = (at > 5) & (at < 115)
    width = round(truth.envelope_step * 250)
    for i, p in enumerate(power):
        smooth = np.convolve(p, np.ones(width) / width, "same")
        found = np.interp(at[inside], times, smooth)
        assert np.corrcoef(found, truth.envelopes[0][inside, i])[0, 1] > 0.99
        assert found.mean() == pytest.approx(truth.envelopes[0][inside, i].mean(), rel=0.01)


@pytest.mark.parametrize("t_r", [0.8, 1.95, 3.0])
@pytest.mark.parametrize("noise_ceiling", [0.3, 0.8, 1.0])
def test_ceiling_is_reached_exactly_by_the_coupled_part(t_r, noise_ceiling, simulate):
    data = simulate(n_runs=2, duration=100, t_r=t_r, noise_ceiling=noise_ceiling, n_channels=4)
    coupled = regressors(data) @ data.truth.weights.T
    np.testing.assert_allclose(coupled, np.concatenate(data.truth.coupled), atol=1e-9)
    bold = np.concatenate(data.bolds)
    r = [np.corrcoef(a, b)[0, 1] for a, b in zip(coupled.T, bold.T, strict=True)]
    np.testing.assert_allclose(r, noise_ceiling, atol=1e-9)
    np.testing.assert_allclose(data.truth.noise_ceiling, r, atol=1e-9)
    np.testing.assert_allclose(bold.std(axis=0), 1)
    for run, (part, b) in enumerate(zip(data.truth.coupled, data.bolds, strict=True)):
        r = [np.corrcoef(p, q)[0, 1] for p, q in zip(part.T, b.to_numpy().T, strict=True)]
        np.testing.assert_allclose(data.truth.noise_ceiling_per_run[run], r)


def test_first_volumes_depend_on_eeg_before_the_recording(simulate):
    data = simulate(duration=60, lead_in=0)
    assert data.volume_times[0][0] == 0
    assert data.truth.envelope_times[0][0] < -31
    assert data.truth.coupled[0][:3].std() > 0


def test_delay_moves_bold_later(simulate):
    lags, best = np.arange(0, 16, 0.25), []
    for delay in (0.0, 5.0):
        data = simulate(duration=900, delay=delay, n_rois=1, n_sources=1, n_channels=2)
        truth, at = data.truth, data.volume_times[0]
        power = [
            np.interp(at - lag, truth.envelope_times[0], truth.envelopes[0][:, 0]) for lag in lags
        ]
        best.append(lags[np.abs(np.corrcoef(power, truth.coupled[0].T)[-1, :-1]).argmax()])
    assert 4 < best[0] < 6.5
    assert best[1] - best[0] == pytest.approx(5, abs=0.8)


@pytest.mark.parametrize("autocorrelation", [0.0, 0.4, 0.75])
def test_noise_is_as_autocorrelated_as_asked_for(autocorrelation, simulate):
    data = simulate(duration=3000, autocorrelation=autocorrelation, sfreq=100, n_channels=2)
    noise = data.truth.noise[0] - data.truth.noise[0].mean(0)
    lag_one = (noise[1:] * noise[:-1]).sum(0) / (noise**2).sum(0)
    assert lag_one.mean() == pytest.approx(autocorrelation, abs=0.03)


def test_drift_is_slow_and_of_the_size_asked_for(simulate):
    data = simulate(duration=900, drift=0.7, sfreq=100, n_channels=2)
    drift, noise = data.truth.drift[0], data.truth.noise[0]
    np.testing.assert_allclose(drift.std(0) / noise.std(0), 0.7, rtol=0.1)
    freqs, power = signal.periodogram(drift, 1 / data.t_r, window="hann", axis=0)
    assert (power[freqs > 1 / 100].sum(0) < 0.01 * power.sum(0)).all()
    assert not simulate(duration=60, drift=0).truth.drift[0].any()


def test_region_without_weights_is_null(simulate):
    weights = [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, -2.0, 0.0]]
    data = simulate(duration=3000, n_rois=3, weights=weights, sfreq=100, n_channels=2)
    truth = data.truth
    np.testing.assert_allclose(truth.noise_ceiling, [0.8, 0, 0.8])
    np.testing.assert_array_equal(np.sign(truth.weights), np.sign(weights))
    assert not truth.coupled[0][:, 1].any()
    r = np.corrcoef(regressors(data).T, data.bolds[0].to_numpy().T)[:3, 3:]
    assert np.abs(r[:, 1]).max() < 0.15
    assert r[0, 0] == pytest.approx(0.8)
    assert r[1, 2] == pytest.approx(-0.8)
    # The third source is a distractor.
    assert np.abs(r[2]).max() < 0.15


def test_regions_of_both_hemispheres_go_together(simulate):
    data = simulate(duration=600, sfreq=100, n_channels=2)
    r = np.corrcoef(np.concatenate(data.truth.coupled).T)
    assert r[[0, 2, 4, 6], [1, 3, 5, 7]].min() > 0.5
    assert np.abs(r[0, 2:]).max() < 0.5
    assert (data.truth.weights[:, 8:] == 0).all()
    assert data.region_names[:3] == ["Left Caudate", "Right Caudate", "Left Putamen"]


@pytest.mark.parametrize(("n_rois", "n_sources"), [(1, None), (3, 2), (20, None), (20, 5)])
def test_any_number_of_regions_and_sources_fits_together(n_rois, n_sources, simulate):
    data = simulate(n_rois=n_rois, n_sources=n_sources, duration=60, n_channels=4, sfreq=128)
    assert data.truth.weights.shape == (n_rois, n_sources or n_rois + 4)
    assert data.truth.weights.any(axis=1).all()
    assert len(set(data.region_names)) == n_rois
    assert list(data.bolds[0]) == data.region_names


def test_regions_of_the_images_carry_the_series(simulate):
    data = simulate(n_runs=2, duration=60, n_rois=9, return_img=True)
    atlas = np.asarray(data.atlas_img.dataobj)
    assert set(np.unique(atlas)) == set(range(10))
    assert data.labels == data.region_names
    for img, bold in zip(data.bold_imgs, data.bolds, strict=True):
        np.testing.assert_array_equal(img.affine, data.atlas_img.affine)
        assert img.shape == (*atlas.shape, len(bold))
        assert img.header.get_zooms()[3] == pytest.approx(data.t_r)
        values = np.asarray(img.dataobj)
        for i, name in enumerate(bold):
            voxels = values[atlas == i + 1]
            assert np.corrcoef(voxels.mean(axis=0), bold[name])[0, 1] > 0.99
            # A single voxel has noise of its own.
            assert np.corrcoef(voxels[0], bold[name])[0, 1] < 0.98


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_runs": 0}, "n_runs must be an integer from 1 .*got 0"),
        ({"n_runs": 1.5}, "n_runs must be an integer"),
        ({"n_channels": 65}, "n_channels must be an integer from 2 to 64, got 65"),
        ({"n_rois": True}, "n_rois must be an integer"),
        ({"n_sources": 0}, "n_sources must be an integer from 1 "),
        ({"t_r": "2"}, "t_r must be a finite number from 0.1 to 30, got '2'"),
        ({"sfreq": np.nan}, "sfreq must be a finite number from 20 .*got nan"),
        ({"duration": np.inf}, "duration must be a finite number"),
        ({"duration": 15}, r"duration=15 s is enough for 2 volumes of 1.95 s"),
        ({"lead_in": 400}, r"enough for 0 volumes"),
        ({"delay": -1}, "delay must be a finite number from 0 to 30, got -1"),
        ({"eeg_snr": -1}, "eeg_snr must be a finite number from 0 "),
        ({"noise_ceiling": 1.1}, "noise_ceiling must be a finite number from 0.01 to 1, got 1.1"),
        ({"autocorrelation": 1}, "autocorrelation must be a finite number from 0 to 0.99, got 1"),
        ({"drift": -0.1}, "drift must be a finite number from 0 "),
        ({"amplitude": 0}, "amplitude must be a finite number"),
        ({"sfreq": 80}, "the band 32-42 Hz .* half the sampling rate, 40"),
        ({"bands": [8, 12]}, r"bands must be pairs of \(low, high\) in Hz, got shape \(2,\)"),
        ({"bands": [[12, 8]]}, "the band 12-8 Hz"),
        ({"bands": [[8, 8.1]]}, "band 8-8.1 Hz must be at least 0.5 Hz wide"),
        (
            {"weights": np.eye(3)},
            r"shape \(n_rois, n_sources\) = \(8, n_sources\), got \(3, 3\)",
        ),
        ({"weights": np.eye(8), "n_sources": 9}, r"= \(8, 9\), got \(8, 8\)"),
        ({"weights": np.full((8, 8), np.nan)}, "weights has NaN or infinite values"),
    ],
)
def test_bad_parameters_are_refused(params, message):
    with pytest.raises(ValueError, match=message):
        make_eeg_fmri(**params)
