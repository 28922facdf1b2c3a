"""Look inside pipelines and searches."""

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.model_selection._search import BaseSearchCV


def chosen(model: BaseEstimator) -> BaseEstimator:
    """Return the best estimator of a fitted search, and any other model as it is."""
    return getattr(model, "best_estimator_", model)


def last_step(model: BaseEstimator) -> BaseEstimator:
    """Return the last step of a Pipeline, and any other model as it is."""
    return model[-1] if hasattr(model, "steps") else model


def is_search(model: object) -> bool:
    """Tell whether a model is a search over parameters, such as GridSearchCV."""
    return isinstance(model, BaseSearchCV)  # no public class covers all searches


def seen_digests(model: BaseEstimator) -> np.ndarray:
    """Return digests of the BOLD that a model, or a part of it, was fitted to; empty if unknown."""
    found, todo, done = [np.empty(0, dtype=np.int64)], [model], set()
    while todo:
        part = todo.pop()
        if id(part) in done or not isinstance(part, BaseEstimator):
            continue
        done.add(id(part))
        found.append(getattr(part, "bold_digests_", found[0]))
        for value in vars(part).values():
            todo += value if isinstance(value, list | tuple) else [value]
        todo += [step for _, step in getattr(part, "steps", ())]
    return np.unique(np.concatenate(found))
