"""Look inside pipelines and searches."""

from collections.abc import Iterator

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.compose import TransformedTargetRegressor
from sklearn.model_selection._search import BaseSearchCV

from .hashing import was_seen


def chosen(model: BaseEstimator) -> BaseEstimator:
    """Return the best estimator of a fitted search, and any other model as it is."""
    return getattr(model, "best_estimator_", model)


def last_step(model: BaseEstimator) -> BaseEstimator:
    """Return the last step of a Pipeline, and any other model as it is."""
    return model[-1] if hasattr(model, "steps") else model


def is_search(model: object) -> bool:
    """Tell whether a model is a search over parameters, such as GridSearchCV."""
    return isinstance(model, BaseSearchCV)  # no public class covers all searches


def parts_of(model: BaseEstimator) -> Iterator[BaseEstimator]:
    """Yield a model and the estimators that it holds, at any depth, each once.

    Parameters
    ----------
    model : estimator
        Estimators are looked for in its attributes, also within lists, tuples and dicts.

    Yields
    ------
    part : estimator
        The model first.
    """
    todo, done = [model], set()
    while todo:
        part = todo.pop()
        if isinstance(part, dict):
            todo += part.values()
        elif isinstance(part, list | tuple):
            todo += part
        elif isinstance(part, BaseEstimator) and id(part) not in done:
            done.add(id(part))
            yield part
            todo += vars(part).values()


def seen_digests(model: BaseEstimator) -> np.ndarray:
    """Return digests of the BOLD that a model, or a part of it, was fitted to; empty if unknown."""
    nothing = np.empty(0, dtype=np.int64)
    found = [getattr(part, "bold_digests_", nothing) for part in parts_of(model)]
    return np.unique(np.concatenate([nothing, *found]))


def seen_rows(model: BaseEstimator, y: np.ndarray) -> np.ndarray | None:
    """Tell which BOLD a model, or a part of it, was fitted to.

    Parameters
    ----------
    model : estimator
        Fitted.
    y : ndarray, shape (n_volumes, n_rois)
        BOLD, in order of time.

    Returns
    -------
    seen : ndarray of bool, shape (n_volumes,), or None
        Rows that begin a stretch of known BOLD (:func:`was_seen`); None if the model does not say
        what it was fitted to.
    """
    known = seen_digests(model)
    if not len(known):
        return None
    seen = was_seen(y, known)
    for part in parts_of(model):  # what was fitted to BOLD that was transformed before
        if isinstance(part, TransformedTargetRegressor) and hasattr(part, "transformer_"):
            n_rois = getattr(part.transformer_, "n_features_in_", y.shape[1])
            if n_rois == y.shape[1]:
                changed = np.asarray(part.transformer_.transform(y), dtype=float)
                seen |= was_seen(changed.reshape(len(y), -1), known)
    return seen
