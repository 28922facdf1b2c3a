"""Values of regions, painted on the brain."""

import matplotlib.pyplot as plt
import nibabel as nib
import numpy as np
from nilearn import plotting

__all__ = ["plot_rois"]


def plot_rois(values, extractor, *, label="Pearson's r", vmax=None, background="MNI152", fig=None):
    """Paint a value per region, such as its r, on slices of the brain.

    Parameters
    ----------
    values : array-like or Series, shape (n_rois,)
        The values, in the order of ``extractor.region_names_``; a Series indexed by region may
        have another.
    extractor : ROIExtractor
        Fitted, with one region per value: its ``inverse_transform`` paints them.
    label : str
        What the values are, above the slices.
    vmax : float or None
        Upper end of the color scale; None takes the largest value. The lower end is 0, or the
        lowest value where that is negative.
    background : "MNI152", image, path or None
        Anatomy behind the regions, in the space of the BOLD. "MNI152" is nilearn's template, right
        for BOLD in MNI space only; None draws none.
    fig : matplotlib.figure.Figure or None
        Where to draw; None makes one.

    Returns
    -------
    fig : matplotlib.figure.Figure
        The figure: axial slices through the regions, outlined, left hemisphere on the left (L).
        Brighter is higher.
    """
    names = list(extractor.region_names_)
    if hasattr(values, "reindex"):
        missing = [name for name in names if name not in values.index]
        if missing:
            raise ValueError(f"values lack the regions {', '.join(missing)} of the extractor.")
        values = values.loc[names]
    values = np.asarray(values, dtype=float)
    if values.shape != (len(names),) or not np.isfinite(values).all():
        raise ValueError(
            f"values must hold one finite number for each of the {len(names)} regions of the "
            f"extractor, got {values!r}."
        )
    regions = _paint(np.ones(len(names)), extractor)
    corners = _corners(regions)
    vmax = (values.max() if values.max() > 0 else 1.0) if vmax is None else vmax
    if fig is None:
        fig = plt.figure(figsize=(8.4, 2.1))
    display = plotting.plot_stat_map(
        _paint(values, extractor),
        display_mode="z",
        cut_coords=_heights(regions),
        # Lightness alone tells the values, and no value has the gray of the anatomy.
        cmap="plasma",
        vmin=min(0.0, values.min()),
        vmax=vmax,
        symmetric_cbar=False,
        black_bg=False,
        dim=-0.8,
        draw_cross=False,
        annotate=False,
        resampling_interpolation="nearest",
        figure=fig,
        # Its template is nilearn's default, and has no name there.
        **(
            {} if isinstance(background, str) and background == "MNI152" else {"bg_img": background}
        ),
    )
    # A region of r = 0 is not painted, and in print its color may be that of the anatomy.
    display.add_contours(regions, levels=[0.5], colors="black", linewidths=0.7)
    for cut in display.axes.values():
        cut.ax.set(xlim=corners[:, 0], ylim=corners[:, 1])
        cut.ax.axvline(corners[1, 0], color="white", lw=8)
    display.annotate(size=8)
    fig.suptitle(label, fontsize="medium")
    return fig


def _paint(values, extractor):
    painted = extractor.inverse_transform(values[None])
    if extractor.array_input_:
        painted = nib.Nifti1Image(np.moveaxis(painted, 0, -1), extractor.affine_)
    return nib.Nifti1Image(np.asarray(painted.dataobj)[..., 0], painted.affine)


def _millimeters(image):
    return nib.affines.apply_affine(image.affine, np.argwhere(np.asarray(image.dataobj) > 0))


def _heights(image, n_slices=6):
    """Heights in mm of slices that cut the regions in parts of the same volume."""
    heights = _millimeters(image)[:, 2]
    return np.unique(np.quantile(heights, (np.arange(n_slices) + 0.5) / n_slices)).tolist()


def _corners(image, margin=25.0):
    """Least and greatest x and y in mm (2, 2) of the regions, with some anatomy around them."""
    at = _millimeters(image)[:, :2]
    return np.array([at.min(axis=0) - margin, at.max(axis=0) + margin])
