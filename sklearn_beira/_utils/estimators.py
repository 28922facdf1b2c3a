"""What a fitted model is made of: the choice of a search, the last step of a Pipeline."""

from sklearn.model_selection._search import BaseSearchCV


def chosen(model):
    """Take the model that a fitted search chose; any other model as it is."""
    return getattr(model, "best_estimator_", model)


def last_step(model):
    """Take the last step of a Pipeline; any other model as it is."""
    return model[-1] if hasattr(model, "steps") else model


def is_search(model):
    """Tell whether a model is a search over parameters, as GridSearchCV is.

    Parameters
    ----------
    model : object
        Model, or part of one.

    Returns
    -------
    searches : bool
        True for all searches of scikit-learn; what they share is not public there.
    """
    return isinstance(model, BaseSearchCV)
