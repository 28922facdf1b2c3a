"""Packages that only some models need."""

import importlib


def import_extra(name, user):
    """Import a module of the optional extra ``baselines``.

    Parameters
    ----------
    name : str
        Dotted name of the module.
    user : str
        What needs it, for the error.

    Returns
    -------
    module : module
        The module.

    Raises
    ------
    ImportError
        If its package is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise ImportError(
            f'{user} needs {package}: pip install "sklearn-beira[baselines]"'
        ) from error
