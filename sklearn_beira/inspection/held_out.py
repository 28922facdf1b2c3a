"""What branches add to predictions of held-out volumes, and how well the folds reproduce them."""

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.base import clone

from ..baselines.makers import make_nuisance_ridge
from ..evaluation.beyond import explain, out_of_fold
from ..evaluation.cross_validation import Runner
from ..evaluation.leakage import check_folds
from ..evaluation.metrics import score_regions
from ..evaluation.study import make_study
from .importance import contributions
from .matching import branches_of
from .network import Envelopes, at_regressor
from .patterns import SAME, abs_cosines, similarity

# A branch is supported if its region is predicted with at most this p, if it adds to the prediction
# with at most this p and at least this part of r, and if the folds find it again with at least this
# mean similarity.
CRITERIA = {"p_region": 0.05, "p_held_out": 0.05, "held_out": 0.03, "stability": SAME}


def score_branches(branches, model, X, y, cv, read, estimators=None, nuisance_model=None):
    """Test the branches of a model on volumes that have not trained it.

    Parameters
    ----------
    branches : Bunch
        Branches of the model fitted to all volumes.
    model : estimator
        The model; clones are fitted in the folds.
    X : EEGWindows
        EEG.
    y : array-like of shape (n_volumes,) or (n_volumes, n_rois)
        BOLD.
    cv : cross-validation splitter, int or None
        Folds.
    read : callable
        Reads the branches of a fitted model, given the model and its training EEG.
    estimators : list of estimator or None
        Fitted model of each fold. A fold with None is fitted here; None for the list fits all.
    nuisance_model : estimator or None
        Model of the nuisance signals of X.

    Returns
    -------
    found : dict
        Arrays (n_rois, n_filters) ``held_out``, ``p_held_out``, ``stability`` and ``supported``,
        ``p_region`` (n_rois,), and ``criteria``.

    Raises
    ------
    ValueError
        If there are other folds than estimators, or BOLD of other regions than the model's.
    """
    study = make_study(X, y, cv, None, None)
    names, regions = list(study.region_names), list(branches.region_names)
    if len(names) != len(regions) or (names != regions and set(names) == set(regions)):
        raise ValueError(f"y has the regions {names}, and the model {regions}; give its BOLD.")
    check_folds({"model": model}, study, needs_apart=True)
    estimators = [None] * len(study.folds) if estimators is None else estimators
    if len(estimators) != len(study.folds):
        raise ValueError(
            f"there are {len(estimators)} estimators for {len(study.folds)} folds; give the cv of "
            f"the comparison."
        )
    shape = branches.importance.shape
    bold, parts = np.zeros(study.y.shape), np.zeros((len(study.y), *shape))
    stability = np.zeros(shape)
    left = study.y
    if getattr(study.X, "nuisance", None):
        nuisance_model = make_nuisance_ridge() if nuisance_model is None else nuisance_model
        explained, _ = explain(nuisance_model, study, Runner())
        left = out_of_fold(study, [study.y - of_fold for of_fold in explained])
    for (train, test), fitted in zip(study.folds, estimators, strict=True):
        if fitted is None:
            target = study.y[train] if shape[0] > 1 else study.y[train, 0]
            fitted = clone(model).fit(study.X[train], target)
        again = read(fitted, study.X[train])
        regressor, here = at_regressor(fitted, study.X[test])
        predicted, added = contributions(Envelopes(regressor, here), again.merged_into)
        scale = regressor.target_scale_
        bold[test] = predicted * scale
        for roi in range(shape[0]):
            own, other = (branches_of(one, roi) for one in (branches, again))
            alike = similarity(
                branches.patterns[own], branches.frequency_patterns[own],
                again.patterns[other], again.frequency_patterns[other],
            )  # fmt: skip
            first, second = linear_sum_assignment(alike, maximize=True)
            parts[np.ix_(test, [roi], own[first])] = (
                added[:, roi, other[second]][:, None] * scale[roi]
            )
            stability[roi, own[first]] += alike[first, second] / len(study.folds)
    tested = study.blocks >= 0
    copies = np.zeros((shape[1], shape[1]), dtype=bool)
    for roi in range(shape[0]):
        own = branches_of(branches, roi)
        copies[np.ix_(own, own)] = _copies(branches.patterns[own], branches.frequency_patterns[own])
    scores = _score(left[tested], bold[tested], parts[tested], study.blocks[tested], copies)
    supported = (scores["p_region"] <= CRITERIA["p_region"])[:, None]
    supported = supported & (scores["p_held_out"] <= CRITERIA["p_held_out"])
    supported &= scores["held_out"] >= CRITERIA["held_out"]
    supported &= stability >= CRITERIA["stability"]
    return {**scores, "stability": stability, "supported": supported, "criteria": CRITERIA}


def _copies(maps, spectra):
    """Tell which branches share a map, the spectrum of one lying in that of the other."""
    shared = np.minimum(spectra[:, None], spectra).sum(axis=2)
    sizes = spectra.sum(axis=1)
    smaller = np.maximum(np.minimum(sizes[:, None], sizes), np.finfo(float).tiny)
    return abs_cosines(maps, maps) * shared / smaller >= SAME


def _score(y, bold, parts, blocks, copies):
    """Split r into the parts of branches, and test each part beside the others.

    The largest copy stands for a source: it is tested without its copies, the others beside it.
    """
    y, bold, parts = (_centered(values, blocks) for values in (y, bold, parts))
    size = np.sqrt(np.square(y).sum(axis=0) * np.square(bold).sum(axis=0))
    held_out = np.einsum("vr,vrk->rk", y, parts) / np.where(size > 0, size, 1.0)[:, None]
    p, tested, left = np.ones(parts.shape[1:]), np.zeros(parts.shape[1:], dtype=bool), []
    active = parts.any(axis=0)
    for roi, branch in np.argwhere(active):
        others = active[roi] & (np.arange(p.shape[1]) != branch)
        others &= ~copies[branch] | (held_out[roi] > held_out[roi, branch])
        if len(y) - len(np.unique(blocks)) < 2 * (others.sum() + 1):
            continue  # the others would explain almost any BOLD
        rest, pair = parts[:, roi, others], np.stack([y[:, roi], parts[:, roi, branch]], axis=1)
        left.append(pair - rest @ np.linalg.lstsq(rest, pair, rcond=None)[0])
        tested[roi, branch] = True
    if left:
        p[tested] = _p_values(*np.transpose(left), blocks)
    p_region = np.minimum(_p_values(y, bold, blocks) * y.shape[1], 1.0)
    return {"held_out": held_out, "p_held_out": p, "p_region": p_region}


def _p_values(y, predicted, blocks):
    """Compute one-sided p of out-of-fold predictions (n_volumes, n_rois)."""
    names = list(range(y.shape[1]))
    scores = score_regions(y, predicted, blocks, True, names, 0.95)
    return scores["p"].to_numpy()


def _centered(values, blocks):
    codes = np.unique(blocks, return_inverse=True)[1]
    means = np.array([values[codes == k].mean(axis=0) for k in range(codes.max() + 1)])
    return values - means[codes]
