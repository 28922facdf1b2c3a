"""Every public object has a complete numpydoc docstring."""

import inspect
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from numpydoc.validate import validate

MODULES = [
    "sklearn_beira",
    "sklearn_beira.baselines",
    "sklearn_beira.comparison",
    "sklearn_beira.covariances",
    "sklearn_beira.datasets",
    "sklearn_beira.drift",
    "sklearn_beira.features",
    "sklearn_beira.hrf",
    "sklearn_beira.inspection",
    "sklearn_beira.linear",
    "sklearn_beira.losses",
    "sklearn_beira.metrics",
    "sklearn_beira.model_selection",
    "sklearn_beira.nets",
    "sklearn_beira.protocols",
    "sklearn_beira.report",
    "sklearn_beira.significance",
    "sklearn_beira.sparse",
    "sklearn_beira.spoc",
    "sklearn_beira.structured",
    "sklearn_beira.viz",
]

# The codes that this project does not follow stand in pyproject.toml, which pre-commit reads, too.
PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
CHECKS = tomllib.loads(PYPROJECT.read_text())["tool"]["numpydoc_validation"]["checks"]


def public_objects():
    found = {}
    for module in map(import_module, MODULES):
        for name in getattr(module, "__all__", ()):
            thing = getattr(module, name)
            if not (inspect.isclass(thing) or inspect.isfunction(thing)):
                continue
            path = f"{thing.__module__}.{thing.__qualname__}"
            found[path] = thing
            if inspect.isclass(thing):
                for method, function in vars(thing).items():
                    if inspect.isfunction(function) and not method.startswith("_"):
                        found[f"{path}.{method}"] = function
    return sorted(found)


@pytest.mark.parametrize("path", public_objects())
def test_docstring_is_complete(path):
    problems = [f"{code}: {text}" for code, text in validate(path)["errors"] if code not in CHECKS]
    assert not problems, "\n".join(problems)
