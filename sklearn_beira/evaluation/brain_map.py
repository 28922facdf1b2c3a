"""Maps of the brain: where EEG predicts BOLD, voxel by voxel."""

import gzip
import html
import json
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from .._utils.files import atomic_write, existing_file, expanded, one_line, writable_folder
from ..datasets.derivatives import write_table
from .comparison import format_p
from .metrics import ALPHA, by_few_volumes

# Columns of the table of voxels, and what they mean.
COLUMNS = {
    "i": "First index of the voxel",
    "j": "Second index of the voxel",
    "k": "Third index of the voxel",
    "x": "Position of its center in mm, to the right",
    "y": "Position in mm, to the front",
    "z": "Position in mm, upwards",
    "r": "Pearson's r of measured BOLD and out-of-fold predictions",
    "ci_low": "Lower end of the confidence interval of r",
    "ci_high": "Upper end of the confidence interval of r",
    "n_eff": "Effective number of volumes",
    "p_parametric": "One-sided p of r from the effective number of volumes",
    "p": "p of r in the null distribution of the voxel",
    "p_max": "p corrected over all voxels by the maximum statistic",
    "influence": "Variance of r from single volumes; above 1.5, a few volumes may drive r",
    "r_without_burst": "r without the stretch of volumes that carries most of it",
    "r_beyond": "r beyond the nuisance signals",
    "p_max_beyond": "p_max beyond the nuisance signals",
    "band": "Frequency band that most of the folds predict the voxel from",
    "delay": "Delay from EEG to BOLD in s that weighs most in this band, median over folds",
}
# What voxels outside of the brain have in images; 0 where it is not said.
_OUTSIDE = {"p": 1.0, "p_max": 1.0, "p_parametric": 1.0, "p_max_beyond": 1.0, "delay": np.nan}
_IMAGES = {"r": "stat-r", "p": "stat-p", "p_max": "stat-pmax", "n_eff": "stat-neff"}
# Images that a map may lack, so that those of a map before are removed.
_NOT_ALWAYS = ("desc-band_dseg.*", "desc-delay_map.nii.gz", "run-*_desc-predicted_bold.nii.gz")
_FACTS = ("volumes", "n_volumes", "t_r", "settings", "versions", "warnings")


@dataclass(repr=False)
class BrainMap:
    """Result of :func:`map_brain`.

    Parameters
    ----------
    voxels : DataFrame, one row per voxel of the mask
        Indices ``i``, ``j``, ``k`` and position ``x``, ``y``, ``z`` in mm; ``r``, ``ci_low``,
        ``ci_high``, ``n_eff``, ``p_parametric``, ``p``, ``p_max`` (corrected over all voxels),
        ``influence`` and ``r_without_burst`` of out-of-fold predictions, as in
        :class:`~sklearn_beira.Comparison`; with nuisance signals ``r_beyond`` and
        ``p_max_beyond``; and, if the model tells them, ``band`` and ``delay`` in s.
    mask_img : Nifti1Image (nx, ny, nz)
        Voxels that have results: those of the brain mask that vary in every run.
    mean_img : Nifti1Image (nx, ny, nz)
        Mean of the BOLD images, a background for figures.
    predictions : list of ndarray of float32, shape (n_predicted, n_voxels)
        Out-of-fold predictions of each run, in the unit of the images, without mean and trend
        unless ``detrend`` was False.
    volumes : list of list of int
        Number of the volume of each row, by run.
    n_volumes : list of int
        Volumes of the image of each run.
    t_r : float
        Repetition time in s.
    settings : dict
        Those of :class:`~sklearn_beira.Comparison`, ``model``, and how voxels were prepared.
    versions : dict
        Versions of the packages that the numbers depend on.
    warnings : list of str
        Warnings on data, folds and null.
    """

    voxels: pd.DataFrame
    mask_img: object
    mean_img: object
    predictions: list
    volumes: list
    n_volumes: list
    t_r: float
    settings: dict
    versions: dict
    warnings: list = field(default_factory=list)

    def __repr__(self):
        return "\n\n".join([self.headline(), self.summary().to_string(), self.settings["question"]])

    def _repr_html_(self):
        lines = [self.settings["question"], *(f"Warning: {w}" for w in self.warnings)]
        paragraphs = "".join(f"<p>{html.escape(text)}</p>" for text in lines if text)
        table = self.summary().to_html(border=0)
        return f"<p><b>{html.escape(self.headline())}</b></p>{table}{paragraphs}"

    def found(self, alpha=ALPHA) -> np.ndarray:
        """Tell which voxels are predicted: ndarray of bool, shape (n_voxels,).

        Parameters
        ----------
        alpha : float
            Level of ``p_max``.

        Returns
        -------
        found : ndarray of bool, shape (n_voxels,)
            Whether ``p_max`` is at most ``alpha``; False without a null distribution.
        """
        return (self.voxels["p_max"] <= alpha).to_numpy()

    def headline(self, alpha=ALPHA) -> str:
        """Say how many voxels are predicted, and from how many volumes.

        Parameters
        ----------
        alpha : float
            Level of ``p_max``.

        Returns
        -------
        text : str
            Two sentences.
        """
        best = self.voxels.iloc[int(self.voxels["r"].argmax())]
        n, name = len(self.voxels), self.settings["model"]
        what = f"{name} predicts {self.found(alpha).sum():,} of {n:,} voxels (p_max ≤ {alpha:g})"
        few = by_few_volumes(self.voxels, alpha).sum()
        what += f", {few:,} of them perhaps by few volumes" if few else ""
        if self.settings["null"] is None:
            what = f"{name} was evaluated in {n:,} voxels, without a null distribution"
        place = ", ".join(f"{best[axis]:.0f}" for axis in "xyz")
        n_predicted = sum(map(len, self.predictions))
        return (
            f"{what}; the largest r is {best['r']:z.2f}, at ({place}) mm. {n_predicted:,} of "
            f"{sum(self.n_volumes):,} volumes were predicted."
        )

    def summary(self, *, alpha=ALPHA) -> pd.DataFrame:
        """Return the clusters of predicted voxels and their peaks, the highest first.

        Parameters
        ----------
        alpha : float
            Level of ``p_max`` of a voxel.

        Returns
        -------
        clusters : DataFrame, indexed by cluster
            Peaks of :func:`nilearn.reporting.get_clusters_table`, at least 8 mm apart ("1a" is a
            second peak of cluster 1): position in mm, ``r``, ``p_max``, and if known ``band`` and
            ``delay`` of the peak, and ``size_mm3`` of the cluster.
        """
        from nilearn.reporting import get_clusters_table

        shown = [name for name in ("r", "p_max", "band", "delay") if name in self.voxels]
        found = self.found(alpha) & (self.voxels["r"] > 0).to_numpy()
        if not found.any():
            return pd.DataFrame(
                columns=["x", "y", "z", *shown, "size_mm3"], index=pd.Index([], name="cluster")
            )
        img = self._to_img(np.where(found, self.voxels["r"], 0.0))
        lowest = self.voxels["r"][found].min() / 2
        table = get_clusters_table(img, stat_threshold=lowest)
        inverse = np.linalg.inv(self.mask_img.affine)
        at = table[["X", "Y", "Z"]].to_numpy(dtype=float)
        index = np.round(at @ inverse[:3, :3].T + inverse[:3, 3]).astype(int)
        number = np.full(self.mask_img.shape, -1)
        number[self._mask] = np.arange(len(self.voxels))
        peaks = self.voxels.iloc[number[tuple(index.T)]]
        clusters = peaks[["x", "y", "z", *shown]].set_index(pd.Index(table["Cluster ID"].map(str)))
        clusters["size_mm3"] = table["Cluster Size (mm3)"].to_numpy()
        clusters["p_max"] = [format_p(p, self.settings["p_floor"]) for p in clusters["p_max"]]
        return clusters.rename_axis("cluster").round({"r": 3, "delay": 1})

    # -- images -------------------------------------------------------------------------------
    @property
    def _mask(self):
        return np.asarray(self.mask_img.dataobj) != 0

    def _to_img(self, values, outside=0.0, dtype=np.float32):
        """Write values (n_voxels,) or (n_volumes, n_voxels) into an image."""
        import nibabel as nib

        values = np.asarray(values)
        data = np.full((*self.mask_img.shape, *values.shape[:-1]), outside, dtype=dtype, order="F")
        data[self._mask] = values.T
        img = nib.Nifti1Image(data, self.mask_img.affine, self.mask_img.header)
        img.set_data_dtype(dtype)
        if values.ndim == 2:
            img.header.set_xyzt_units("mm", "sec")
            img.header.set_zooms((*img.header.get_zooms()[:3], self.t_r))
        return img

    def img(self, column):
        """Make an image of a column of ``voxels``.

        Parameters
        ----------
        column : str
            Name of a column of numbers.

        Returns
        -------
        img : Nifti1Image (nx, ny, nz)
            Numbers in float32. Outside of the mask they are 0, of p 1, and of the delay NaN.
        """
        if column not in self.voxels or self.voxels[column].dtype.kind not in "iuf":
            known = [name for name, of in self.voxels.items() if of.dtype.kind in "iuf"]
            raise ValueError(f"there is no map of {column!r}; give one of {', '.join(known)}.")
        return self._to_img(self.voxels[column], _OUTSIDE.get(column, 0.0))

    def r_img(self, *, alpha=None):
        """Make an image of r.

        Parameters
        ----------
        alpha : float or None
            Level of ``p_max``, above which voxels are 0; None shows all.

        Returns
        -------
        img : Nifti1Image (nx, ny, nz)
            0 outside of the mask.
        """
        return self._to_img(np.where(self._shown(alpha), self.voxels["r"], 0.0))

    def _shown(self, alpha):
        return np.ones(len(self.voxels), dtype=bool) if alpha is None else self.found(alpha)

    def band_img(self, *, alpha=ALPHA):
        """Make a label image of the best band.

        Parameters
        ----------
        alpha : float or None
            Level of ``p_max``, above which voxels are 0: the best band of a voxel that is not
            predicted means nothing. None shows all.

        Returns
        -------
        img : Nifti1Image (nx, ny, nz)
            The number of the band, or 0.
        names : dict of int to str
            Bands by number, from low to high frequencies as far as the model orders them.
        """
        self._check_told("band")
        names = {number: name for number, name in enumerate(self.settings["bands"], start=1)}
        numbers = self.voxels["band"].map({name: k for k, name in names.items()}).fillna(0)
        return self._to_img(np.where(self._shown(alpha), numbers, 0), dtype=np.int16), names

    def delay_img(self, *, alpha=ALPHA):
        """Make an image of the best delay in s.

        Parameters
        ----------
        alpha : float or None
            Level of ``p_max``, above which voxels are NaN. None shows all.

        Returns
        -------
        img : Nifti1Image (nx, ny, nz)
            NaN outside of the mask.
        """
        self._check_told("delay")
        return self._to_img(np.where(self._shown(alpha), self.voxels["delay"], np.nan), np.nan)

    def _check_told(self, column):
        if column not in self.voxels:
            raise ValueError(
                f"the model {self.settings['model']} does not tell the best {column} of a voxel; "
                f"use one that has best_{column}_ after its fit."
            )

    def predicted_img(self, run=0):
        """Make an image of the predicted BOLD of a run.

        Parameters
        ----------
        run : int
            Number of the run.

        Returns
        -------
        img : Nifti1Image (nx, ny, nz, n_volumes)
            Out-of-fold predictions, as in ``predictions``. Volumes that were not predicted, such as
            the first ones, which lack their EEG, are 0.
        """
        if not 0 <= run < len(self.predictions):
            raise ValueError(
                f"there is no run {run!r}; give a number from 0 to {len(self.predictions) - 1}."
            )
        values = np.zeros((self.n_volumes[run], len(self.voxels)), dtype=np.float32)
        values[self.volumes[run]] = self.predictions[run]
        return self._to_img(values)

    # -- out ----------------------------------------------------------------------------------
    def plot(self, **options):
        """Plot r of the predicted voxels on a glass brain.

        Parameters
        ----------
        **options
            As in :func:`~sklearn_beira.viz.plot_brain_map`.

        Returns
        -------
        fig : matplotlib.figure.Figure
            The figure.
        """
        from .. import plot_brain_map

        return plot_brain_map(self, **options)

    def to_html(self, path) -> None:
        """Write one page: what was found, figures, an interactive view, and how to repeat it.

        Parameters
        ----------
        path : path-like
            File, which is replaced if it exists. It needs no other files.
        """
        from ..viz.brain_map import write_page

        write_page(self, expanded(path))

    def to_folder(self, path) -> None:
        """Write everything to a folder: maps and predictions as NIfTI, tables as TSV, settings.

        Parameters
        ----------
        path : path-like
            Folder, which is made if it does not exist; a map in it is replaced.

        See Also
        --------
        BrainMap.from_folder : Read it again.
        """
        folder = writable_folder(path, "map")
        for old in [file for pattern in _NOT_ALWAYS for file in folder.glob(pattern)]:
            old.unlink()
        _write_img(self.mask_img, folder / "desc-brain_mask.nii.gz")
        _write_img(self.mean_img, folder / "desc-mean_boldref.nii.gz")
        for column, name in _IMAGES.items():
            _write_img(self.img(column), folder / f"{name}_statmap.nii.gz")
        alpha = None if self.settings["null"] is None else ALPHA
        if "band" in self.voxels:
            img, names = self.band_img(alpha=alpha)
            _write_img(img, folder / "desc-band_dseg.nii.gz")
            labels = pd.DataFrame({"index": list(names), "name": list(names.values())})
            columns = {
                "index": {"Description": "Number of the band in the image"},
                "name": {"Description": "Frequency band"},
            }
            write_table(labels, folder / "desc-band_dseg.tsv", columns)
        if "delay" in self.voxels:
            _write_img(self.delay_img(alpha=alpha), folder / "desc-delay_map.nii.gz")
        for run in range(len(self.predictions)):
            name = f"run-{run + 1}_desc-predicted_bold.nii.gz"
            _write_img(self.predicted_img(run), folder / name)
        columns = {name: {"Description": COLUMNS[name]} for name in self.voxels}
        write_table(self.voxels, folder / "voxels.tsv", columns)
        facts = {name: getattr(self, name) for name in _FACTS}
        with atomic_write(folder / "map.json") as file:
            file.write(json.dumps(facts, indent=1, ensure_ascii=False).encode())

    @classmethod
    def from_folder(cls, path) -> "BrainMap":
        """Read what :meth:`to_folder` wrote.

        Parameters
        ----------
        path : path-like
            Folder.

        Returns
        -------
        brain_map : BrainMap
            The same numbers.

        Raises
        ------
        ValueError
            If the folder holds anything but what :meth:`to_folder` writes.
        """
        folder = expanded(path)
        facts_file = existing_file(folder / "map.json", "map")
        try:
            return cls._read(folder, json.loads(facts_file.read_text(encoding="utf-8")))
        except Exception as error:  # whatever the files may do to the readers
            raise ValueError(
                f"{folder} holds no map ({one_line(error)[:200]}); give a folder that "
                f"BrainMap.to_folder wrote."
            ) from error

    @classmethod
    def _read(cls, folder, facts):
        import nibabel as nib

        # As text, from which numbers are made to the last bit.
        options = {"dtype": str, "na_values": ["n/a"], "keep_default_na": False}
        voxels = pd.read_csv(folder / "voxels.tsv", sep="\t", **options).astype(object)
        for name in voxels.columns.drop("band", errors="ignore"):
            voxels[name] = voxels[name].astype(int if name in "ijk" else float)
        if "band" in voxels:
            voxels["band"] = voxels["band"].fillna("")
        mask_img, mean_img = (
            nib.load(folder / f"desc-{name}.nii.gz") for name in ("brain_mask", "mean_boldref")
        )
        mask = np.asarray(mask_img.dataobj) != 0
        if mask.sum() != len(voxels):
            raise ValueError("mask and table differ")
        predictions = []
        for run, volumes in enumerate(facts["volumes"], start=1):
            img = nib.load(folder / f"run-{run}_desc-predicted_bold.nii.gz")
            predictions.append(np.asarray(img.dataobj, dtype=np.float32)[mask].T[volumes])
        return cls(
            voxels, mask_img, mean_img, predictions, **{name: facts[name] for name in _FACTS}
        )


def _write_img(img, path):
    with atomic_write(path) as file, gzip.GzipFile("", "wb", 1, file, mtime=0) as out:
        img.to_stream(out)
