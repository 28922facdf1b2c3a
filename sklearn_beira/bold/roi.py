"""Time series of regions from BOLD images, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import check_is_fitted

from .._utils.warn import warn_user

# The other modules of this room import nilearn, so they are imported only when they are used.
if TYPE_CHECKING:
    from nibabel import Nifti1Image
    from nibabel.spatialimages import SpatialImage
    from numpy.typing import ArrayLike


@dataclass(repr=False, eq=False)
class ROIExtractor(TransformerMixin, BaseEstimator):
    """Extract the time series of brain regions from a BOLD image.

    A region of a label image has the mean of its voxels in each volume. The maps of a
    probabilistic atlas are fitted to each volume together, by least squares. nilearn's maskers
    smooth, extract, detrend, regress out the (detrended) confounds and standardize, in this order.

    The time series are not standardized by default, because scales have to be learned in the
    training fold; the regressor does that. Detrending and confound regression define the signal
    to be predicted, and are fitted to the whole run, test volumes included. To avoid even that, use
    ``detrend=False, confounds=None``, or this class as the ``transformer`` of a
    ``TransformedTargetRegressor``.

    Parameters
    ----------
    atlas : str, path or image, default="harvard-oxford-subcortical"
        Name of an atlas: ``"harvard-oxford-subcortical"`` (maxprob-thr25-2mm [1]_),
        ``"harvard-oxford-cortical"``, ``"aal"`` (SPM12), ``"schaefer-100"`` to ``"schaefer-1000"``
        (in steps of 100, seven networks), or the maps ``"difumo-64"``, ``"difumo-128"`` and
        ``"difumo-256"``. Or an image: labels ``(nx, ny, nz)``, whole numbers with 0 for the
        background, or maps ``(nx, ny, nz, n_maps)``. The atlas is resampled to the grid of the BOLD
        image, labels by nearest neighbor and maps linearly.
    regions : None, str or list of str, default=None
        Names of the regions, in the order of the columns. ``"striatum"`` selects the eight regions
        of [2]_: pallidum, caudate, putamen and accumbens, left and right. ``"subcortical"`` selects
        all regions but white matter and cerebral cortex, 17 in Harvard-Oxford (with ventricles and
        brain stem). None is ``"subcortical"`` for the subcortical Harvard-Oxford atlas, and all
        regions for the others.
    labels : None, list of str, DataFrame or path, default=None
        Names of the regions of an image given as `atlas`. A list names the label values (or maps)
        in increasing order, and may begin with "Background". A table (DataFrame, csv or tsv) has
        the columns ``index`` (label value) and ``name``; label values that it omits are ignored,
        and for maps its rows are taken in order. With None the numbers serve as names.
    smoothing_fwhm : float or None, default=3.0
        Width of the Gaussian in mm; 3 mm as in [2]_. None for images that are already smoothed.
    detrend : bool, default=True
        Remove the mean and the linear trend of each region. For slower drifts of other shapes, add
        cosines to the confounds (fMRIPrep has ``cosine00`` ...).
    standardize : False, "zscore_sample" or "psc", default=False
        As in nilearn; percent signal change refers to the mean before detrending.
    confounds : None, DataFrame, array of shape (n_volumes, n_confounds) or path, default=None
        Confounds of one run, read by `transform`. Files are ``rp_*.txt`` of SPM, csv and tsv, with
        or without a header. All columns are used, except in a table of fMRIPrep (which has
        ``framewise_displacement``): there the six motion parameters are used. Columns with a name
        such as "time", "volume" or "index" whose numbers rise from row to row count or time the
        volumes, and are left out with a warning. A missing value in the first row, where
        derivatives have none, is replaced by the value of the second row.
    confound_columns : None or list of str, default=None
        Columns of the table to use instead.
    global_signal : bool, default=False
        Regress out the global signal too, as in [2]_: the column ``global_signal`` of the
        confounds, or, without such a column, the mean over the brain (`mask_img`, or nilearn's
        ``compute_epi_mask``). This removes what all regions share, and with it signal that EEG
        measures of vigilance predict.
    mask_img : None, path or image, default=None
        Brain mask of zeros and ones. Voxels outside are used neither for regions (after smoothing,
        which mixes neighbors) nor for the global signal.
    affine : None or array of shape (4, 4), default=None
        Transform from voxel indices to mm, for BOLD given as arrays. None takes the affine of the
        atlas if the spatial shapes agree. Check the first axis: nilearn loads Harvard-Oxford from
        left to right, FSL stores its images from right to left, and a wrong affine swaps the
        hemispheres.
    data_dir : None or path, default=None
        Folder of nilearn's atlases, as in nilearn's fetchers. Missing files are downloaded.

    Attributes
    ----------
    region_names_ : list of str, length n_rois
        Names of the regions.
    atlas_img_ : Nifti1Image
        Atlas on the grid of the BOLD image: labels 1 ... n_rois in the order of the names, or maps.
    coverage_ : Series of float, length n_rois
        Share of each region's volume (map weight) inside the grid and the mask, about 1.
    affine_ : array of shape (4, 4)
        Transform from voxel indices to mm.
    spatial_shape_ : tuple (nx, ny, nz)
        Grid of the BOLD image.
    t_r_ : float or None
        Repetition time in s in the header of the BOLD image.
    array_input_ : bool
        True after a fit on an array; `inverse_transform` then returns an array.
    masker_ : nilearn.maskers.NiftiLabelsMasker or NiftiMapsMasker
        The fitted masker, which smooths and extracts.

    Notes
    -----
    In a ``TransformedTargetRegressor(regressor, transformer=ROIExtractor(...),
    check_inverse=False)`` the volumes of a fold are treated as one contiguous run, and
    `confounds` would have to be as long as the fold: regress confounds out beforehand.

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

    _parameter_constraints: ClassVar[dict] = {
        "smoothing_fwhm": [Interval(Real, 0, None, closed="left"), None],
        "standardize": [StrOptions({"zscore_sample", "psc"}), Options(bool, {False}), None],
    }

    atlas: str | Path | SpatialImage = "harvard-oxford-subcortical"
    _: KW_ONLY
    regions: str | Sequence[str] | None = None
    labels: Sequence[str] | pd.DataFrame | str | Path | None = None
    smoothing_fwhm: float | None = 3.0
    detrend: bool = True
    standardize: Literal[False, "zscore_sample", "psc"] = False
    confounds: pd.DataFrame | ArrayLike | str | Path | None = None
    confound_columns: Sequence[str] | None = None
    global_signal: bool = False
    mask_img: str | Path | SpatialImage | None = None
    affine: ArrayLike | None = None
    data_dir: str | Path | None = None

    def fit(self, X: str | Path | SpatialImage | ArrayLike, y: None = None) -> Self:
        """Resample the atlas to the grid of X; the values of X are not used.

        Parameters
        ----------
        X : path, image (nx, ny, nz, n_volumes) or array (n_volumes, nx, ny, nz)
            BOLD of one run.
        y : None
            Ignored.

        Returns
        -------
        self : ROIExtractor
            Fitted.

        Raises
        ------
        ValueError
            If an atlas or a region is unknown, a file is missing, or a region has no voxel in the
            image.
        """
        from .atlas import load_atlas, make_masker, measure_coverage, pick_regions, select_regions
        from .images import is_array, mask_on_grid, open_bold, repetition_time, resample, space_of

        self._validate_params()
        atlas, table, space = load_atlas(self.atlas, self.labels, self.data_dir)
        default = isinstance(self.atlas, str) and self.atlas == "harvard-oxford-subcortical"
        names = select_regions(
            "subcortical" if default and self.regions is None else self.regions, table
        )
        bold = open_bold(X, self.affine, atlas)
        shape, affine = bold.shape[:3], bold.affine
        if space and space_of(bold) not in (None, space):
            warn_user(
                f"The atlas is in {space}, but the BOLD image in {space_of(bold)}; bring both to "
                "one space, or correct the sform code of the one that is wrong."
            )

        atlas = pick_regions(atlas, [table[name] for name in names])
        on_grid = resample(atlas, shape, affine)
        if self.mask_img is not None:
            on_grid.dataobj[~mask_on_grid(self.mask_img, shape, affine)] = 0
        coverage = measure_coverage(atlas, on_grid, names)
        self.masker_ = make_masker(
            on_grid,
            names,
            smoothing_fwhm=self.smoothing_fwhm or None,
            detrend=False,  # which needs all volumes
            standardize=None,
        )
        self.region_names_ = names
        self.atlas_img_ = on_grid
        self.coverage_ = coverage
        self.spatial_shape_ = shape
        self.affine_ = affine
        self.t_r_ = repetition_time(bold)
        self.array_input_ = is_array(X)
        return self

    def transform(self, X: str | Path | SpatialImage | ArrayLike) -> pd.DataFrame:
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
            If the grid differs, values are not finite, a region is constant, the confounds have
            another length, or there are not more volumes than regressors.
        """
        return self._transform(X)

    def _transform(self, X, rows=None):
        """Extract the regions in some volumes, which alone are cleaned; confounds are of all."""
        check_is_fitted(self)
        import nibabel as nib
        from nilearn.signal import clean

        from .atlas import check_signal
        from .confounds import find_brain, read_confounds
        from .images import open_bold, read_pieces, repetition_time, same_affine

        bold = open_bold(X, self.affine_)
        rows = np.arange(bold.shape[-1]) if rows is None else rows
        shape, first = bold.shape[:3], rows[0]
        if shape != self.spatial_shape_ or not same_affine(bold.affine, self.affine_):
            raise ValueError(
                f"The image has grid {shape} with another origin, orientation or voxel size than "
                f"the grid {self.spatial_shape_} that ROIExtractor was fitted on; call "
                "fit_transform on each image, or resample the images to one grid."
            )
        confounds, has_global = read_confounds(
            self.confounds,
            self.confound_columns,
            self.global_signal,
            bold.shape[-1],
            self.detrend,
            rows,
        )
        compute_global = self.global_signal and not has_global
        signals, total = [], np.zeros(shape)
        low, high = np.full(shape, np.inf), np.full(shape, -np.inf)
        for data in read_pieces(bold, first):
            total += data.sum(axis=-1, dtype=float)
            np.minimum(low, data.min(axis=-1), out=low)
            np.maximum(high, data.max(axis=-1), out=high)
            signals.append(self.masker_.transform(nib.Nifti1Image(data, self.affine_)))
        check_signal(high > low, self.atlas_img_, self.region_names_)
        if compute_global:
            mean = total / (bold.shape[-1] - first)
            brain = find_brain(nib.Nifti1Image(mean, self.affine_), self.mask_img)
            pieces = [data[brain].mean(axis=0, dtype=float) for data in read_pieces(bold, first)]
            confounds = np.column_stack([confounds, np.concatenate(pieces)[rows - first]])
        signals = np.concatenate([np.asarray(signal, dtype=float) for signal in signals])
        Y = clean(
            signals[rows - first],
            detrend=self.detrend,
            standardize=self.standardize or None,  # nilearn retires False
            confounds=confounds if confounds.size else None,
        )
        Y = pd.DataFrame(Y, columns=self.region_names_)
        t_r = repetition_time(bold)
        if t_r is not None:
            Y.attrs["t_r"] = t_r  # which align compares with the onsets
        return Y

    def inverse_transform(self, Y: pd.DataFrame | ArrayLike) -> Nifti1Image | np.ndarray:
        """Write values of regions into the voxels of an image.

        Each voxel of a label gets the value of its region, and each voxel of maps the sum of map
        times value; all other voxels are 0. Mean, trend and confounds are not added back.

        Parameters
        ----------
        Y : DataFrame or array of shape (n_volumes, n_rois)
            Time series of the regions, such as predictions.

        Returns
        -------
        X : Nifti1Image (nx, ny, nz, n_volumes), float32, or array (n_volumes, nx, ny, nz)
            Of the kind, on the grid and with the repetition time given to `fit`.

        Raises
        ------
        ValueError
            If the columns are not those of the regions, or values are not finite.
        """
        check_is_fitted(self)
        import nibabel as nib

        names = list(getattr(Y, "columns", self.region_names_))
        values = np.asarray(Y, dtype=float)
        if values.ndim != 2 or names != self.region_names_ or values.shape[1] != len(names):
            raise ValueError(
                f"Y has shape {values.shape} and columns {names}; inverse_transform expects "
                f"(n_volumes, {len(self.region_names_)}) with the columns {self.region_names_}."
            )
        if not np.isfinite(values).all():
            raise ValueError("Y has NaN or infinite values; remove those volumes.")
        regions = self.atlas_img_.dataobj
        if regions.ndim == 3:
            # a row per label, with zeros for the background: indexing fills all voxels
            painted = np.vstack([np.zeros(len(values)), values.T]).astype(np.float32)[regions]
        else:
            painted = regions.astype(np.float32) @ values.T.astype(np.float32)
        if self.array_input_:
            return np.moveaxis(painted, -1, 0)
        img = nib.Nifti1Image(painted, self.affine_)
        img.header.set_xyzt_units("mm", "sec")
        img.header.set_zooms((*img.header.get_zooms()[:3], self.t_r_ or 0.0))
        return img

    def get_feature_names_out(self, input_features: object = None) -> np.ndarray:
        """Return the names of the regions.

        Parameters
        ----------
        input_features : object
            Ignored.

        Returns
        -------
        names : ndarray of str, shape (n_rois,)
            The names.
        """
        check_is_fitted(self)
        return np.asarray(self.region_names_, dtype=object)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False  # images with time: four dimensions
        return tags
