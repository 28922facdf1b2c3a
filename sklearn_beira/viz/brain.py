"""Values of regions on the brain."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from ..evaluation.comparison import Comparison
from .scores import model_rows


def plot_rois(
    values, extractor, *, label="Pearson's r", vmax=None, background="MNI152", fig=None
) -> Figure:
    """Plot one value per region, for example r, on slices of the brain.

    Parameters
    ----------
    values : Comparison, array-like or Series, shape (n_rois,)
        Result of :func:`sklearn_beira.compare`, of which r of the first model is drawn; or values
        in the order of ``extractor.region_names_``; or a Series indexed by region.
    extractor : ROIExtractor
        Fitted extractor with one region per value. Its ``inverse_transform`` maps them to voxels.
    label : str
        Title: what the values are.
    vmax : float or None
        Upper end of the color scale; None takes the largest value. The lower end is 0, or the
        lowest value if that is negative.
    background : "MNI152", image, path or None
        Anatomical image in the space of the BOLD. "MNI152" is nilearn's template, for BOLD in MNI
        space only; None draws no anatomy.
    fig : matplotlib.figure.Figure or None
        Figure to draw on; None makes one.

    Returns
    -------
    fig : matplotlib.figure.Figure
        The figure: axial slices with outlined regions, left hemisphere on the left. Brighter is
        higher.
    """
    from nilearn import plotting

    if isinstance(values, Comparison):
        values = model_rows(values)["r"]
    values = _check_values(values, list(extractor.region_names_))
    regions = _to_image(np.ones(len(values)), extractor)
    if vmax is None:
        vmax = values.max() if values.max() > 0 else 1.0
    scale = Normalize(min(0.0, values.min()), vmax)
    if fig is None:
        fig = plt.figure(figsize=(8.4, 2.0))
    # nilearn's template is its default, and has no name there.
    anatomy = (
        {} if isinstance(background, str) and background == "MNI152" else {"bg_img": background}
    )
    # Lightness alone tells the values, and no value has the gray of the anatomy. The color bar is
    # ours, as the labels of nilearn's lie on the last slice; it is to the right, the title above.
    display = plotting.plot_stat_map(
        _to_image(values, extractor), **anatomy, display_mode="z", cut_coords=_heights(regions),
        cmap="plasma", vmin=scale.vmin, vmax=scale.vmax, colorbar=False, black_bg=False, dim=-0.8,
        draw_cross=False, annotate=False, resampling_interpolation="nearest", figure=fig,
        axes=(0, 0, 0.92, 0.86),
    )  # fmt: skip
    # A region of r = 0 is not painted, and in print its color may be that of the anatomy.
    display.add_contours(regions, levels=[0.5], colors="black", linewidths=0.7)
    left_lower, right_upper = _corners(regions)
    for cut in display.axes.values():
        cut.ax.set(xlim=(left_lower[0], right_upper[0]), ylim=(left_lower[1], right_upper[1]))
        cut.ax.axvline(right_upper[0], color="white", lw=8)
    display.annotate(size=8)
    fig.colorbar(ScalarMappable(scale, "plasma"), cax=fig.add_axes((0.935, 0.1, 0.012, 0.66)))
    fig.suptitle(label, fontsize="medium")
    return fig


def _check_values(values, names):
    if hasattr(values, "reindex"):
        values = values.reindex(names)
    values = np.asarray(values, dtype=float)
    if values.shape != (len(names),) or not np.isfinite(values).all():
        raise ValueError(
            f"values must hold one finite number for each of the {len(names)} regions of the "
            f"extractor, got {values!r}."
        )
    return values


def _to_image(values, extractor):
    import nibabel as nib

    image = extractor.inverse_transform(values[None])
    if extractor.array_input_:
        return nib.Nifti1Image(image[0], extractor.affine_)
    return image.slicer[..., 0]


def _millimeters(image):
    """Positions in mm of the voxels of regions, shape (n_voxels, 3)."""
    import nibabel as nib

    return nib.affines.apply_affine(image.affine, np.argwhere(np.asarray(image.dataobj) > 0))


def _heights(image, n_slices=6):
    """Heights in mm of slices that cut the regions into parts of the same volume."""
    heights = _millimeters(image)[:, 2]
    return np.unique(np.quantile(heights, (np.arange(n_slices) + 0.5) / n_slices)).tolist()


def _corners(image, margin=25.0):
    """Lowest and highest x and y in mm (2, 2) of the regions, with some anatomy around them."""
    at = _millimeters(image)[:, :2]
    return np.array([at.min(axis=0) - margin, at.max(axis=0) + margin])
