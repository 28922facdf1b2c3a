"""Packages that only some parts need."""

import importlib


def import_extra(name, user, extra="baselines"):
    """Import a module of an optional extra.

    Parameters
    ----------
    name : str
        Dotted name of the module.
    user : str
        What needs it, for the error.
    extra : str
        Extra that installs it.

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
            f'{user} needs {package}: pip install "sklearn-beira[{extra}]"'
        ) from error
