"""Look inside pipelines and searches."""

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
