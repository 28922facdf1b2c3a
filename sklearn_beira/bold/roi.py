"""From BOLD images to region time series, and back."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from nibabel.spatialimages import SpatialImage
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from .atlas import (
    check_signal,
    load_atlas,
    make_masker,
    measure_coverage,
    pick_regions,
    select_regions,
)
from .confounds import compute_global_signal, read_confounds
from .images import mask_on_grid, open_bold, read_bold, resample, same_affine


class ROIExtractor(TransformerMixin, BaseEstimator):
    """Turn a BOLD image into a table of region time series.

    Per volume, a region of a label image gives the mean of its voxels; the maps of a
    probabilistic atlas are fitted to the volume together by least squares. nilearn's maskers do
    the work, in this order: smoothing, extraction, detrending, confound regression (detrended
    confounds, so that the trend does not come back), standardization.

    The targets are not standardized by default: whatever scales them must be learned in the
    training fold, and the regressor does that. Detrending and confound regression do use the whole
    run; they decide which signal is to be predicted, and they also let the run's own slope and
    confound weights reach the test volumes. Use ``detrend=False, confounds=None`` where even
    that is too much, or this class as the ``transformer`` of a ``TransformedTargetRegressor``.

    Parameters
    ----------
    atlas : str, path or image, default="harvard-oxford-subcortical"
        ``"harvard-oxford-subcortical"`` (maxprob-thr25-2mm [1]_), ``"harvard-oxford-cortical"``,
        ``"difumo-64"``; or a label image ``(nx, ny, nz)`` of whole numbers, 0 being background; or
        maps ``(nx, ny, nz, n_maps)``. It is resampled to the grid of the BOLD image: labels by
        nearest neighbor, maps linearly. On a coarser grid regions lose detail, so a region left
        without a voxel is an error and one left with less than half its volume a warning.
    regions : None, str or list of str, default=None
        Names, in the order of the columns wanted; or ``"striatum"``: pallidum, caudate, putamen and
        accumbens, left and right, the eight regions of [2]_; or ``"subcortical"``: all but
        white matter and cerebral cortex, 17 in Harvard-Oxford (ventricles and brain stem
        included). None is ``"subcortical"`` for Harvard-Oxford subcortical and every region for
        the others.
    labels : None, list of str, DataFrame or path, default=None
        Region names of an image given as ``atlas``. A list names the label values (maps) in
        increasing order, and may begin with "Background". A table (DataFrame, csv or tsv) has
        columns ``index`` (label value) and ``name``; label values it leaves out are not read,
        and the rows of a table for maps are taken in order. None: the numbers serve as names.
    smoothing_fwhm : float or None, default=3.0
        Width of the Gaussian in mm, 3 mm as in [2]_. None for images that are smoothed already.
    detrend : bool, default=True
        Remove mean and linear trend of each region. Slower drifts that are not linear: add
        cosine columns to the confounds (fMRIPrep has ``cosine00`` ...).
    standardize : False, "zscore_sample" or "psc", default=False
        As in nilearn; percent signal change refers to the mean before detrending.
    confounds : None, DataFrame, array of shape (n_volumes, n_confounds) or path, default=None
        Regressors of one run, read when `transform` is called. Paths: ``rp_*.txt`` of SPM, csv and
        tsv with or without a header. All columns count, except that of a whole fMRIPrep table (it
        has ``framewise_displacement``) the six motion parameters are taken. A missing value in
        the first row, where derivatives have none, takes the value of the second row.
    confound_columns : None or list of str, default=None
        The columns of the table to use instead.
    global_signal : bool, default=False
        Regress out the global signal as well: the column ``global_signal`` of the confounds where
        there is one, otherwise the mean over the brain, which is `mask_img` or nilearn's
        ``compute_epi_mask``. [2]_ does so; it also removes what all regions share, and with it
        signal that EEG vigilance measures predict, so it is off by default.
    mask_img : None, path or image, default=None
        Brain mask; voxels outside it count neither for regions nor for the global signal.
    affine : None or array of shape (4, 4), default=None
        Voxel indices to mm, for BOLD given as arrays. None takes the affine of the atlas if the
        spatial shapes agree. Mind the first axis: nilearn loads Harvard-Oxford left to right, FSL
        stores its images right to left, and a wrong guess swaps the hemispheres.
    data_dir : None or path, default=None
        Folder of nilearn's atlases, as in the fetchers of nilearn. Files that are not there are
        downloaded.

    Attributes
    ----------
    region_names_ : list of str, length n_rois
    atlas_img_ : Nifti1Image
        Atlas on the grid of the BOLD image: labels 1 ... n_rois in the order of the names, or maps.
    coverage_ : Series of float, length n_rois
        Share of each region's volume (map weight) that the grid and the mask leave, about 1.
    affine_ : array of shape (4, 4), in mm
    spatial_shape_ : tuple (nx, ny, nz)
    array_input_ : bool
        Fitted on an array, so `inverse_transform` returns one.
    masker_ : nilearn.maskers.NiftiLabelsMasker or NiftiMapsMasker

    Notes
    -----
    Inside a ``TransformedTargetRegressor(regressor, transformer=ROIExtractor(...),
    check_inverse=False)`` the volumes of a fold are treated as one contiguous run, and
    `confounds` must have the fold's length: regress confounds out beforehand.

    References
    ----------
    .. [1] Harvard-Oxford atlases, distributed with FSL,
       https://fsl.fmrib.ox.ac.uk/fsl/docs/other/datasets.html
    .. [2] Kovalev, Mikheev, Ossadtchi, arXiv 2211.02024, 2022.

    Examples
    --------
    >>> import nibabel, numpy as np
    >>> from sklearn_beira import ROIExtractor
    >>> labels = np.zeros((4, 4, 4), dtype="int16")
    >>> labels[:2], labels[2:] = 1, 2
    >>> atlas = nibabel.Nifti1Image(labels, np.eye(4))
    >>> bold = np.random.default_rng(0).normal(size=(4, 4, 4, 20))
    >>> roi = ROIExtractor(atlas, labels=["front", "back"], smoothing_fwhm=None)
    >>> Y = roi.fit_transform(nibabel.Nifti1Image(bold, np.eye(4)))
    >>> Y.shape, list(Y.columns)
    ((20, 2), ['front', 'back'])
    >>> roi.inverse_transform(Y).shape
    (4, 4, 4, 20)
    """

    def __init__(
        self,
        atlas="harvard-oxford-subcortical",
        *,
        regions=None,
        labels=None,
        smoothing_fwhm=3.0,
        detrend=True,
        standardize=False,
        confounds=None,
        confound_columns=None,
        global_signal=False,
        mask_img=None,
        affine=None,
        data_dir=None,
    ):
        self.atlas = atlas
        self.regions = regions
        self.labels = labels
        self.smoothing_fwhm = smoothing_fwhm
        self.detrend = detrend
        self.standardize = standardize
        self.confounds = confounds
        self.confound_columns = confound_columns
        self.global_signal = global_signal
        self.mask_img = mask_img
        self.affine = affine
        self.data_dir = data_dir

    def fit(self, X, y=None):
        """Bring the atlas onto the grid of X; no value of X is used.

        Parameters
        ----------
        X : path, image (nx, ny, nz, n_volumes) or array (n_volumes, nx, ny, nz)
            BOLD of one run.
        y : None
            Ignored.

        Returns
        -------
        self : ROIExtractor

        Raises
        ------
        ValueError
            Unknown atlas or region, missing file, or a region without a voxel in the image.
        """
        self._check_options()
        atlas, table = load_atlas(self.atlas, self.labels, self.data_dir)
        regions = self.regions
        if regions is None and self.atlas == "harvard-oxford-subcortical":
            regions = "subcortical"
        names = select_regions(regions, table)
        bold = open_bold(X, self.affine, atlas)
        shape, affine = bold.shape[:3], bold.affine

        atlas = pick_regions(atlas, [table[name] for name in names])
        on_grid = resample(atlas, shape, affine)
        if self.mask_img is not None:
            on_grid.dataobj[~mask_on_grid(self.mask_img, shape, affine)] = 0
        coverage = measure_coverage(atlas, on_grid, names)
        self.masker_ = make_masker(
            on_grid,
            names,
            smoothing_fwhm=self.smoothing_fwhm or None,
            detrend=self.detrend,
            standardize=self.standardize or None,  # nilearn retires False
        )
        self.region_names_ = names
        self.atlas_img_ = on_grid
        self.coverage_ = coverage
        self.spatial_shape_ = shape
        self.affine_ = affine
        self.array_input_ = not isinstance(X, (str, Path, SpatialImage))
        return self

    def transform(self, X):
        """Extract the time series of the regions.

        Parameters
        ----------
        X : path, image (nx, ny, nz, n_volumes) or array (n_volumes, nx, ny, nz)
            BOLD of one run, on the grid of the image given to `fit`.

        Returns
        -------
        Y : DataFrame of shape (n_volumes, n_rois)
            In the unit of the image, unless standardized.

        Raises
        ------
        ValueError
            Another grid, values that are not finite, a region that is constant, confounds of
            another length, or fewer volumes than regressors.
        """
        check_is_fitted(self)
        bold = open_bold(X, self.affine_)
        shape, n_volumes = bold.shape[:3], bold.shape[-1]
        if shape != self.spatial_shape_ or not same_affine(bold.affine, self.affine_):
            raise ValueError(
                f"The image has grid {shape} with another origin, orientation or voxel size than "
                f"the grid {self.spatial_shape_} that ROIExtractor was fitted on; call "
                "fit_transform on each image, or resample them to one grid first."
            )
        confounds, has_global = read_confounds(
            self.confounds, self.confound_columns, self.global_signal, n_volumes
        )
        compute_global = self.global_signal and not has_global
        n_regressors = confounds.shape[1] + compute_global + 1 + bool(self.detrend)
        if n_volumes <= n_regressors:
            raise ValueError(
                f"{n_volumes} volumes cannot be cleaned of {n_regressors} regressors (mean, trend "
                "and confounds), nothing would be left; use fewer confounds or a longer run."
            )
        data = read_bold(bold)
        check_signal(data, self.atlas_img_, self.region_names_)
        if compute_global:
            signal = compute_global_signal(data, bold.affine, self.mask_img)
            confounds = np.column_stack([confounds, signal])
        Y = self.masker_.transform(
            nib.Nifti1Image(data, self.affine_), confounds=confounds if confounds.size else None
        )
        # asarray: a global set_config(transform_output="pandas") makes the masker return a frame
        return pd.DataFrame(np.asarray(Y, dtype=float), columns=self.region_names_)

    def inverse_transform(self, Y):
        """Paint region values back into the brain.

        Each voxel of a label gets the value of its region, each voxel under maps the sum of map
        times value; everything else is 0. What `transform` removed (mean, trend, confounds)
        stays removed.

        Parameters
        ----------
        Y : DataFrame or array of shape (n_volumes, n_rois)
            Region time series, such as predictions.

        Returns
        -------
        X : Nifti1Image (nx, ny, nz, n_volumes), float32, or array (n_volumes, nx, ny, nz)
            Of the kind and on the grid given to `fit`.
        """
        check_is_fitted(self)
        names = list(getattr(Y, "columns", self.region_names_))
        values = np.asarray(Y, dtype=float)
        if values.ndim != 2 or names != self.region_names_ or values.shape[1] != len(names):
            raise ValueError(
                f"Y has shape {values.shape} and columns {names}; inverse_transform expects "
                f"(n_volumes, {len(self.region_names_)}) with the columns {self.region_names_}."
            )
        if not np.isfinite(values).all():
            raise ValueError(
                f"Y has {np.sum(~np.isfinite(values))} NaN or infinite values; inverse_transform "
                "expects finite ones: remove those volumes first."
            )
        regions = self.atlas_img_.dataobj
        if regions.ndim == 3:
            # one row of values per label, row 0 the background: indexing paints all voxels
            painted = np.vstack([np.zeros(len(values)), values.T]).astype(np.float32)[regions]
        else:
            painted = regions.astype(np.float32) @ values.T.astype(np.float32)
        if self.array_input_:
            return np.moveaxis(painted, -1, 0)
        return nib.Nifti1Image(painted, self.affine_)

    def get_feature_names_out(self, input_features=None):
        """Names of the regions, array of str of shape (n_rois,)."""
        check_is_fitted(self)
        return np.asarray(self.region_names_, dtype=object)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False  # images with time: four dimensions
        return tags

    def _check_options(self):
        fwhm, scale = self.smoothing_fwhm, self.standardize
        if fwhm is not None and not (np.isscalar(fwhm) and np.isreal(fwhm) and fwhm >= 0):
            raise ValueError(
                f"smoothing_fwhm is {fwhm!r}; expected a width in mm (0 or more) or None."
            )
        if not (scale is False or scale is None or scale in ("zscore_sample", "psc")):
            raise ValueError(f"standardize is {scale!r}; expected False, 'zscore_sample' or 'psc'.")
