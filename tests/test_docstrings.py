"""Every public object has a complete numpydoc docstring, and an example to start from."""

import ast
import doctest
import inspect
import re
import tomllib
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
from numpydoc.validate import validate

import sklearn_beira

ROOMS = (
    "sklearn_beira.alignment",
    "sklearn_beira.baselines",
    "sklearn_beira.bold",
    "sklearn_beira.cleaning",
    "sklearn_beira.datasets",
    "sklearn_beira.eeg",
    "sklearn_beira.evaluation",
    "sklearn_beira.exceptions",
    "sklearn_beira.features",
    "sklearn_beira.inspection",
    "sklearn_beira.persistence",
    "sklearn_beira.regressor",
    "sklearn_beira.viz",
)
ROOT = Path(__file__).parents[1]

# The codes that this project does not follow stand in pyproject.toml, which pre-commit reads, too.
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CHECKS = PYPROJECT["tool"]["numpydoc_validation"]["checks"]


def public_objects():
    found = {}
    for module in map(import_module, ROOMS):
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


def public_names():
    return sorted(
        f"{module}.{name}"
        for module in ROOMS
        for name in getattr(import_module(module), "__all__", ())
        if name != "__version__"
    )


# Names without an example of their own, with the reason.
SHOWN_ELSEWHERE = {
    "sklearn_beira.exceptions.ModelFileError": "docs/user_guide/saving.rst",
    "sklearn_beira.persistence.ModelFileError": "docs/user_guide/saving.rst",
    "sklearn_beira.persistence.export_network": "docs/user_guide/saving.rst, whose code is tested",
    "sklearn_beira.evaluation.BrainMap": "what map_brain returns, which the example of it shows",
    "sklearn_beira.evaluation.NullTest": "what null_test returns, which the example of it shows",
}


@cache
def names_in_examples():
    """Names that the gallery's code uses: one that its prose only talks of is not shown."""
    names = set()
    for script in (ROOT / "examples").glob("plot_*.py"):
        for node in ast.walk(ast.parse(script.read_text())):
            kinds = ((ast.Name, "id"), (ast.Attribute, "attr"), (ast.alias, "name"))
            names |= {
                getattr(node, attribute) for kind, attribute in kinds if isinstance(node, kind)
            }
    return names


@cache
def names_in_doctests(module):
    """Names in the examples of a module's docstrings, which show constants, too."""
    names = set()
    for thing in vars(import_module(module)).values():
        if inspect.isclass(thing) or inspect.isfunction(thing):
            for example in doctest.DocTestParser().get_examples(thing.__doc__ or ""):
                names |= set(re.findall(r"\w+", example.source))
    return names


@pytest.mark.parametrize("path", public_names())
def test_every_public_name_has_an_example(path):
    module, name = path.rsplit(".", 1)
    thing = getattr(import_module(module), name)
    documented = inspect.isclass(thing) or inspect.isfunction(thing)
    in_docstring = documented and ">>>" in (thing.__doc__ or "")
    shown = in_docstring or name in names_in_examples() or name in names_in_doctests(module)
    assert shown or path in SHOWN_ELSEWHERE, (
        f"{path} has no Examples section, and no code of examples/*.py uses it"
    )


@pytest.mark.parametrize("path", public_names())
def test_every_public_name_is_in_the_api_page(path):
    listed = re.findall(
        r"^(?:   |\.\. autodata:: )([\w.]+)$", (ROOT / "docs/api.rst").read_text(), re.M
    )
    name = path.rsplit(".", 1)[1]
    assert name in {path.removeprefix("sklearn_beira.") for path in listed}
    assert getattr(sklearn_beira, name) is getattr(import_module(path.rsplit(".", 1)[0]), name)
