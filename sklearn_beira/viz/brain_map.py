"""Maps of voxels: glass brain, slices, surface, and a page with an interactive view."""

import html
import warnings
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap, Normalize
from matplotlib.figure import Figure

from ..evaluation.brain_map import COLUMNS
from ..evaluation.metrics import ALPHA
from .report import (
    add_box,
    add_figure,
    add_software,
    details,
    null_in_words,
    paragraphs,
    save_report,
    scores_html,
    start_report,
    terms_html,
)
from .style import COLORS

_VIEWS = {"r": ("glass", "slices", "surface"), "band": ("slices",), "delay": ("slices",)}
_LABELS = {"r": "Pearson's r", "band": "Best band", "delay": "Delay of BOLD in s"}
_BANDS = [*COLORS[:-1], "#F0E442"]  # yellow, as black is the color of the air around the head
_MOST_CLUSTERS = 20  # in a page


def plot_brain_map(
    brain_map, what="r", *, view=None, alpha=ALPHA, vmax=None, background=None, fig=None
) -> Figure:
    """Plot a map of the voxels that EEG predicts.

    Parameters
    ----------
    brain_map : BrainMap
        Result of :func:`~sklearn_beira.map_brain`.
    what : {"r", "band", "delay"}
        What is drawn.
    view : {"glass", "slices", "surface"} or None
        "glass" and "surface" are for "r" only, and for BOLD in MNI space: the highest r along each
        line through the head, or r on nilearn's fsaverage5. "slices" lie on the mean BOLD image,
        whatever its space. None is "glass" for "r" and "slices" for the others.
    alpha : float or None
        Only voxels whose ``p_max`` is at most this are drawn; None draws all. An r below 0 is never
        drawn.
    vmax : float or None
        Upper end of the scale of r; None takes the largest.
    background : image, path or None
        Anatomy behind slices; None is the mean BOLD image.
    fig : matplotlib.figure.Figure or None
        Figure to draw on; None makes one. A surface always makes its own.

    Returns
    -------
    fig : matplotlib.figure.Figure
        The figure. If no voxel is predicted, or none was tested, it shows the brain alone.
    """
    if what not in _VIEWS:
        raise ValueError(f"what must be one of {', '.join(_VIEWS)}, got {what!r}.")
    view = view or _VIEWS[what][0]
    if view not in _VIEWS[what]:
        raise ValueError(
            f"view must be one of {', '.join(_VIEWS[what])} for what={what!r}, got {view!r}."
        )
    img, colors, labels = _layer(brain_map, what, alpha, vmax)
    title = _LABELS[what]
    if not np.nan_to_num(np.asarray(img.dataobj)).any():
        tested = brain_map.settings["null"] is not None
        title += ": no voxel is predicted" if tested else ": no p; alpha=None shows all voxels"
    if view == "surface":
        fig = _on_surface(img, colors)
    elif view == "glass":
        fig = fig or plt.figure(figsize=(9.0, 2.8))
        _in_glass(img, colors, fig)
    else:
        fig = fig or plt.figure(figsize=(9.0, 2.2))
        anatomy = brain_map.mean_img if background is None else background
        _on_slices(img, colors, fig, anatomy, brain_map.mask_img)
    bar = fig.colorbar(colors, cax=fig.add_axes((0.91, 0.18, 0.012, 0.58)))
    if labels:
        bar.set_ticks(np.arange(len(labels)) + 1, labels=labels)
        bar.ax.tick_params(length=0)
    bar.ax.tick_params(labelsize="small")
    fig.suptitle(title, fontsize="medium")
    return fig


def _layer(brain_map, what, alpha, vmax):
    """Return the image, its colors, and the names of its colors, if they have some."""
    if what == "r":
        shown = brain_map.voxels["r"].clip(lower=0.0)
        if alpha is not None:
            shown = shown.where(brain_map.found(alpha), 0.0)
        img, most = brain_map._to_img(shown), vmax or float(shown.max()) or 1.0
        return img, ScalarMappable(Normalize(0.0, most), "plasma"), []
    if what == "band":
        img, names = brain_map.band_img(alpha=alpha)
        n = max(len(names), 1)
        cmap = ListedColormap([_BANDS[k % len(_BANDS)] for k in range(n)])
        colors = ScalarMappable(BoundaryNorm(np.arange(n + 1) + 0.5, n), cmap)
        return img, colors, list(names.values())
    img = brain_map.delay_img(alpha=alpha)
    delays = np.asarray(img.dataobj)
    delays = delays[np.isfinite(delays)] if np.isfinite(delays).any() else np.zeros(1)
    low, high = np.floor(delays.min()), np.ceil(delays.max())
    return img, ScalarMappable(Normalize(low, max(high, low + 1)), "viridis"), []


def _in_glass(img, colors, fig):
    from nilearn import plotting

    shown = img if np.asarray(img.dataobj).any() else None
    options = {"threshold": 1e-6, "vmin": 0.0, "vmax": colors.norm.vmax, "cmap": colors.cmap}
    plotting.plot_glass_brain(
        shown, display_mode="lyrz", colorbar=False, plot_abs=False, symmetric_cbar=False,
        alpha=0.4, figure=fig, axes=(0, 0, 0.9, 0.88), **(options if shown else {}),
    )  # fmt: skip


def _on_slices(img, colors, fig, anatomy, mask_img):
    import nibabel as nib
    from nilearn import plotting

    data = np.nan_to_num(np.asarray(img.dataobj, dtype=float))
    place = np.argwhere(data != 0 if (data != 0).any() else np.asarray(mask_img.dataobj))
    heights = nib.affines.apply_affine(img.affine, place)[:, 2]
    heights = np.unique(np.quantile(heights, (np.arange(7) + 0.5) / 7, method="nearest"))
    display = plotting.plot_anat(
        anatomy, display_mode="z", cut_coords=heights.tolist(), draw_cross=False, annotate=False,
        colorbar=False, black_bg=False, dim=-0.6, figure=fig, axes=(0, 0, 0.9, 0.88),
    )  # fmt: skip
    if (data != 0).any():
        norm = colors.norm
        display.add_overlay(
            nib.Nifti1Image(data, img.affine), cmap=colors.cmap, vmin=float(norm.vmin),
            vmax=float(norm.vmax), resampling_interpolation="nearest", threshold=1e-6,
        )  # fmt: skip
    display.annotate(size=8)


def _on_surface(img, colors):
    from nilearn import plotting
    from nilearn.image import resample_img

    # Small voxels, as r at a vertex is a mean over some millimeters, zeros beside it included.
    small = resample_img(img, target_affine=2.0 * np.eye(3), interpolation="nearest")
    shown = np.asarray(img.dataobj)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of nilearn, about vertices outside of the image
        fig, _ = plotting.plot_img_on_surf(
            small, surf_mesh="fsaverage5", hemispheres=["left", "right"],
            views=["lateral", "medial"], cmap=colors.cmap, vmin=0.0, vmax=colors.norm.vmax,
            threshold=shown[shown > 0].min() / 2 if shown.any() else 1e-6, symmetric_cbar=False,
            bg_on_data=True, colorbar=False,
        )  # fmt: skip
    fig.set_size_inches(6.4, 4.4)
    for ax in fig.axes:  # room for the color bar
        left, bottom, width, height = ax.get_position().bounds
        ax.set_position((0.88 * left, bottom, 0.88 * width, height))
    return fig


# -- the page -------------------------------------------------------------------------------------
_READING = (
    "Each voxel is predicted by models that have not seen the volumes they predict; r is Pearson's "
    "r of prediction and measured BOLD, centered within test blocks. p_max is the p of a voxel, "
    "corrected over all voxels: if EEG predicted no voxel at all, a map would show any voxel with "
    "p_max of at most .05 in at most one study of twenty, unless bursts, as of motion, break the "
    "null: see the column influence. Voxels that are not shown are not proven to be unrelated to "
    "EEG."
)
_MNI = "The outlines are nilearn's, for BOLD in MNI space only."


def write_page(brain_map, path):
    """Write one HTML page about a map; see :meth:`BrainMap.to_html`.

    Parameters
    ----------
    brain_map : BrainMap
        The map.
    path : Path
        File.
    """
    report = start_report("EEG to BOLD: map of the brain")
    settings, voxels = brain_map.settings, brain_map.voxels
    n_runs, n_volumes = len(brain_map.volumes), sum(map(len, brain_map.volumes))
    facts = {
        "Voxels": f"{len(voxels):,}, smoothed by {settings['smoothing_fwhm'] or 0:g} mm",
        "Volumes": f"{n_volumes} of {sum(brain_map.n_volumes)} in {n_runs} "
        f"run{'s' * (n_runs > 1)}, every {brain_map.t_r:.3g} s",
        "Effective volumes": "{:.0f} to {:.0f}".format(*voxels["n_eff"].quantile([0.05, 0.95])),
        "Evaluation": f"{settings['cv']}; {null_in_words(settings)}",
    }
    add_box(report, brain_map.headline(), facts)
    notes = paragraphs("\n\n".join(f"Note: {said}" for said in brain_map.warnings))
    body = notes + paragraphs(_READING) + details("What p means", paragraphs(settings["question"]))
    report.add_html(body, title="How to read the maps", section="Maps")
    tested = settings["null"] is not None
    alpha = ALPHA if tested else None
    draw = partial(plot_brain_map, brain_map, alpha=alpha)
    add_figure(report, draw, _MNI, title="r in a glass brain", section="Maps")
    draw = partial(plot_brain_map, brain_map, view="slices", alpha=alpha)
    caption = "Slices on the mean BOLD image, heights in mm."
    add_figure(report, draw, caption, title="r on slices", section="Maps")
    for what, title in (("band", "Best band"), ("delay", "Best delay")):
        if what in voxels:
            draw = partial(plot_brain_map, brain_map, what, alpha=alpha)
            add_figure(report, draw, COLUMNS[what] + ".", title=title, section="Maps")
    draw = partial(plot_brain_map, brain_map, view="surface", alpha=alpha)
    add_figure(report, draw, _MNI, title="r on the surface", section="Maps")
    report.add_html(_interactive(brain_map, alpha), title="r, interactive", section="Maps")
    _add_clusters(report, brain_map)
    add_software(report, brain_map, "", "")
    save_report(report, path)


def _interactive(brain_map, alpha):
    from nilearn import plotting

    img = brain_map.r_img(alpha=alpha)
    if not (np.asarray(img.dataobj) > 0).any():
        return "<p>No voxel is predicted.</p>"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of nilearn, about the size of the page
        view = plotting.view_img(
            img, bg_img=brain_map.mean_img, threshold=1e-6, cmap="plasma", symmetric_cmap=False,
            vmin=0.0, resampling_interpolation="nearest", black_bg=False, title="Pearson's r",
        )  # fmt: skip
    frame = view.get_iframe(width=900, height=480)
    return f'<p>Click to move the slices.</p><div style="overflow-x: auto">{frame}</div>'


def _add_clusters(report, brain_map):
    clusters = brain_map.summary()
    if not len(clusters):
        report.add_html("<p>No voxel is predicted.</p>", title="Peaks", section="Peaks")
        return
    table = clusters.head(_MOST_CLUSTERS).map(lambda v: v if isinstance(v, str) else f"{v:z.5g}")
    body = scores_html(table.rename_axis(None))
    if len(clusters) > _MOST_CLUSTERS:
        body += f"<p>{len(clusters) - _MOST_CLUSTERS} more peaks are left out.</p>"
    terms = {name: html.escape(COLUMNS[name]) for name in clusters if name in COLUMNS}
    body += details("What the columns mean", terms_html(terms))
    report.add_html(body, title="Peaks", section="Peaks")
