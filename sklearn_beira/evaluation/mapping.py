"""From EEG and BOLD images to a map of the brain."""

import numpy as np
import pandas as pd

from .._utils.estimators import chosen, last_step
from .._utils.warn import noting
from ..alignment.align import align
from ..baselines.makers import whole_brain_model
from ..bold.voxels import read_voxels
from .brain_map import COLUMNS, BrainMap
from .comparison import compare


def map_brain(
    eeg,
    bold,
    *,
    model=None,
    mask_img=None,
    smoothing_fwhm=None,
    detrend=True,
    confounds=None,
    confound_columns=None,
    trigger=None,
    t_r=None,
    volume_times=None,
    missing=None,
    slice_time_ref=0.0,
    tmin=-20.0,
    tmax=0.0,
    nuisance=None,
    subjects=None,
    **options,
) -> BrainMap:
    """Map where in the brain EEG predicts BOLD, from NIfTI images and EEG recordings.

    Every voxel is predicted out of fold and tested as a region of :func:`~sklearn_beira.compare`
    is. ``p_max`` is corrected over all voxels by the maximum statistic: if EEG predicts no voxel,
    any voxel at all has a ``p_max`` of at most .05 in at most 5 % of studies, as far as the null
    holds. Bursts, as of motion at the edge of the brain, break it: ``influence`` tells of them.

    Parameters
    ----------
    eeg : mne.io.Raw or list of mne.io.Raw
        Continuous EEG, one object per run.
    bold : path or image (nx, ny, nz, n_volumes), or list of them
        BOLD of each run, all on one grid.
    model : estimator or None
        Regressor for many targets, for example a Pipeline; None stands for an
        :class:`~sklearn_beira.EEGFilter` and a :class:`~sklearn_beira.WholeBrainRegressor` on the
        window from ``tmin`` to ``tmax``. If the fitted regressor has ``best_band_`` or
        ``best_delay_`` (n_voxels,), these are mapped as well.
    mask_img : path, image or None
        Voxels to map, all that are not 0, such as those of gray matter: fewer voxels, less
        correction. ``p_max`` holds for a mask that was made without r of the same data. None finds
        the brain in the mean image (nilearn's ``compute_epi_mask``).
    smoothing_fwhm : float or None
        Width of the Gaussian in mm; None for images that are smoothed already.
    detrend : bool
        Remove the mean and the linear trend of each voxel in each run.
    confounds : table, path, list of them (one per run), or None
        Confounds that are regressed out of each run, as in
        :class:`~sklearn_beira.ROIExtractor`.
    confound_columns : None or list of str
        Columns of the tables to use, as in :class:`~sklearn_beira.ROIExtractor`.
    trigger, t_r, volume_times, missing, slice_time_ref : object
        Onsets of the volumes, as in :func:`~sklearn_beira.align`.
    tmin, tmax : float
        Window of EEG around each volume onset in s, as in :func:`~sklearn_beira.align`.
    nuisance : object
        Signals that may change both EEG and BOLD, as in :func:`~sklearn_beira.align`; the map then
        also has ``r_beyond`` and ``p_max_beyond``.
    subjects : list of str or None
        Subject of each run. Images of several have to be in one space.
    **options
        Options of :func:`~sklearn_beira.compare`: ``cv``, ``null``, ``n_surrogates``,
        ``random_state``, ``n_jobs``, ``cache``, ``verbose`` and others. Bands and delays are mapped
        only if no fold is read from ``cache``, which does not hold them.

    Returns
    -------
    brain_map : BrainMap
        Table of voxels, maps as images, predicted BOLD; ``to_folder`` and ``to_html`` write them.

    Raises
    ------
    ValueError
        If images are on different grids, no voxel is left, or as in
        :func:`~sklearn_beira.align` and :func:`~sklearn_beira.compare`.

    See Also
    --------
    compare : The same for regions, with several models.

    Examples
    --------
    >>> from sklearn_beira import make_eeg_fmri, map_brain
    >>> study = make_eeg_fmri(
    ...     duration=200.0, n_channels=4, n_rois=2, return_img=True, random_state=0
    ... )
    >>> brain_map = map_brain(
    ...     study.raws, study.bold_imgs, mask_img=study.atlas_img, trigger="mri",
    ...     n_surrogates=99, verbose=False,
    ... )
    >>> brain_map.r_img().shape == study.atlas_img.shape
    True
    """
    bolds = list(bold) if isinstance(bold, list | tuple) else [bold]
    several = isinstance(eeg, list | tuple)
    n_raws = len(eeg) if several else 1
    if n_raws != len(bolds):
        raise ValueError(
            f"there are {n_raws} recordings of EEG, but {len(bolds)} BOLD images; give one image "
            f"per recording."
        )
    if not isinstance(confounds, list | tuple):
        confounds = [confounds]
    if confounds[0] is None and len(confounds) == 1:
        confounds = [None] * len(bolds)
    if len(confounds) != len(bolds):
        raise ValueError(
            f"{len(bolds)} BOLD images need a list of as many confounds, got {len(confounds)}."
        )
    if "return_estimator" in options or "oracle" in options:
        raise TypeError("map_brain has no options return_estimator and oracle; use compare.")
    said = []
    with noting(said):
        mask_img, mean_img, series = read_voxels(
            bolds, mask_img, smoothing_fwhm, detrend, confounds, confound_columns
        )
        X, y = align(
            eeg, series if several else series[0], t_r=t_r, volume_times=volume_times,
            trigger=trigger, missing=missing, slice_time_ref=slice_time_ref, tmin=tmin, tmax=tmax,
            nuisance=nuisance, subjects=subjects, verbose="error",
        )  # fmt: skip
    n_volumes = [len(one) for one in series]
    del series
    model = whole_brain_model(tmin, tmax) if model is None else model
    name = type(last_step(model)).__name__
    index = np.argwhere(np.asarray(mask_img.dataobj) != 0)
    comparison = compare({name: model}, X, y, return_estimator=_told_by, **options)
    settings = comparison.settings | {
        "model": name,
        "smoothing_fwhm": smoothing_fwhm,
        "detrend": detrend,
        "confounds": [None if one is None else type(one).__name__ for one in confounds],
        "window": [float(tmin), float(tmax)],
    }
    voxels, bands = _tabulate(comparison, name, mask_img, index)
    settings["bands"] = bands
    predicted = comparison.predictions[name].to_numpy()
    runs = np.asarray(X.groups)
    rows = [
        np.flatnonzero((runs == run) & np.isfinite(predicted[:, 0])) for run in range(len(bolds))
    ]
    return BrainMap(
        voxels,
        mask_img,
        mean_img,
        [predicted[of_run].astype(np.float32) for of_run in rows],
        [X.volumes[of_run].tolist() for of_run in rows],
        n_volumes,
        float(t_r or _repetition_time(X)),
        settings,
        comparison.versions,
        [*said, *comparison.warnings],
    )


def _repetition_time(X):
    """Time between volumes that follow each other, in s."""
    follows = (np.diff(X.volumes) == 1) & (np.diff(X.groups) == 0)
    return np.median(np.diff(X.times)[follows]) if follows.any() else np.nan


def _told_by(model):
    """Return what a fitted model says of bands and delays; the model itself is large."""
    regressor = last_step(chosen(model))
    names = ("bands_", "best_band_", "best_delay_")
    return {name: getattr(regressor, name) for name in names if hasattr(regressor, name)}


def _tabulate(comparison, name, mask_img, index):
    """Make the table of voxels, and list the bands of the model."""
    pooled = comparison._pooled(name)
    at = index @ mask_img.affine[:3, :3].T + mask_img.affine[:3, 3]
    voxels = pd.DataFrame(index, columns=list("ijk"))
    voxels[list("xyz")] = at
    scores = [column for column in COLUMNS if column in pooled]
    voxels[scores] = pooled[scores].to_numpy(dtype=float)
    if comparison.beyond is not None:
        rest = comparison.beyond._pooled(name)
        for column in ("r", "p_max"):
            voxels[f"{column}_beyond"] = rest[column].to_numpy(dtype=float)
    told = [one or {} for one in comparison.estimators[name]]  # nothing of a fold from the cache
    if all("best_band_" in one for one in told):
        of_folds = np.array([one["best_band_"] for one in told])
        names = [str(band) for band in told[0].get("bands_", np.unique(of_folds))]
        votes = np.array([(of_folds == band).sum(axis=0) for band in names])
        voxels["band"] = np.where(votes.any(axis=0), np.array(names)[votes.argmax(axis=0)], "")
        voxels["band"] = voxels["band"].astype(object)
    else:
        names = []
    if all("best_delay_" in one for one in told):
        voxels["delay"] = np.median([one["best_delay_"] for one in told], axis=0)
    return voxels, names
