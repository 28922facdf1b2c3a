"""What a fitted model is made of: the choice of a search, the last step of a Pipeline."""


def chosen(model):
    """Take the model that a fitted search chose; any other model as it is."""
    return getattr(model, "best_estimator_", model)


def last_step(model):
    """Take the last step of a Pipeline; any other model as it is."""
    return model[-1] if hasattr(model, "steps") else model
