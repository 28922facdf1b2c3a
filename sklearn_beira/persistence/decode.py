"""Fitted models from JSON trees of untrusted files; ``encode.py`` describes the trees."""

import math

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.model_selection import BaseCrossValidator
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.utils import Bunch

from ..exceptions import ModelFileError
from .allowed import find_class, find_function
from .encode import MAX_DEPTH, of_the_machine, parameters
from .file import ModelFile, require
from .schema import SCHEMA, upgrade

# Memory that a fitted estimator takes without its arrays, in bytes.
_OBJECT = 2**12
_SCALARS = [np.dtype(kind).name for kind in "?bBhHiIqQefd"]


class Decoder:
    """Turn JSON trees back into values.

    Parameters
    ----------
    file : ModelFile
        The arrays.
    classes : dict of str to type
        Classes that the caller allows.
    schema : int
        Version of the format that the trees have.

    Attributes
    ----------
    left_out : list of str
        Settings of the tree that belong to the machine of its author, and are not used.
    """

    def __init__(self, file: ModelFile, classes: dict[str, type], schema: int = SCHEMA):
        self.file = file
        self.classes = classes
        self.schema = schema
        self.left_out = []
        self._unused = set(file.arrays)

    def decode_model(self, tree: object) -> BaseEstimator:
        """Decode the tree of a model, which has to use all arrays.

        Parameters
        ----------
        tree : object
            Parsed JSON.

        Returns
        -------
        model : estimator
            Fitted model.

        Raises
        ------
        ModelFileError
            If the tree is not that of a model.
        """
        model = self.decode(tree)
        require(isinstance(model, BaseEstimator), f"it holds a {type(model).__name__}, not a model")
        require(not self._unused, "it holds arrays that are not part of the model")
        return model

    def decode(self, tree: object, depth: int = 0) -> object:
        """Decode a tree.

        Parameters
        ----------
        tree : object
            Parsed JSON.
        depth : int
            Number of levels above it.

        Returns
        -------
        value : object
            The value that was encoded.

        Raises
        ------
        ModelFileError
            If :class:`Encoder` makes no such tree.
        """
        require(depth <= MAX_DEPTH, "its values are nested too deeply")
        if isinstance(tree, list):
            return [self.decode(value, depth + 1) for value in tree]
        if not isinstance(tree, dict):
            return tree
        tags = [key for key in tree if key.startswith("$")]
        if not tags:
            return self._values(tree, "a dict", depth + 1)
        read = _READERS.get(tags[0])
        require(read and len(tree) == 1, f"it holds a value of unknown kind {tags[0][:40]!r}")
        return read(self, tree[tags[0]], depth + 1)

    def kind_of(self, tree: object) -> tuple:
        """Return type and shape of the array that a tree refers to, without reading it."""
        require(isinstance(tree, dict), "it refers to an array that it does not hold")
        return self.file.arrays[self._array_of(tree.get("$array"))[0]]

    def _array_of(self, content):
        name, axes = _items(content, 2)
        known = self.file.arrays.get(name) if isinstance(name, str) else None
        valid = known is not None and isinstance(axes, list) and all(type(a) is int for a in axes)
        valid = valid and sorted(axes) == list(range(len(known[1])))
        require(valid, "it refers to an array that it does not hold")
        return name, axes

    def _read_array(self, content, depth):
        name, axes = self._array_of(content)
        require(name in self._unused, f"it refers to the array {name!r} twice")
        self._unused.remove(name)
        return self.file.read(name).transpose(np.argsort(axes).tolist())

    def _read_scalar(self, content, depth):
        name, value = _items(content, 2)
        value = self.decode(value, depth)
        problem = "it holds a number of no type that is saved"
        require(name in _SCALARS and type(value) in (bool, int, float), problem)
        try:
            with np.errstate(all="ignore"):
                return np.dtype(name).type(value)
        except (OverflowError, ValueError):
            raise ModelFileError(problem) from None

    def _read_strings(self, content, depth):
        shape, width, values = _items(content, 3)
        valid = isinstance(values, list) and all(isinstance(v, str) for v in values)
        require(valid, "it holds an array of strings with other values")
        valid = isinstance(shape, list) and all(type(n) is int and 0 <= n <= 2**32 for n in shape)
        valid = valid and len(shape) <= 8 and math.prod(shape) == len(values)
        require(valid, "it holds an array of strings of another shape than it says")
        if width is None:
            return np.array(values, dtype=object).reshape(shape)
        valid = type(width) is int and max(map(len, values), default=0) <= width
        require(valid, "it holds an array of strings of another width than it says")
        self.file.spend(4 * width * max(len(values), 1))
        return np.array(values, dtype=f"<U{width}").reshape(shape)

    def _read_float(self, content, depth):
        require(content in ("nan", "inf", "-inf"), "it holds an invalid number")
        return float(content)

    def _read_tuple(self, content, depth):
        return tuple(self.decode(_items(content), depth))

    def _read_slice(self, content, depth):
        values = self.decode(_items(content, 3), depth)
        require(all(v is None or type(v) is int for v in values), "it holds an invalid slice")
        return slice(*values)

    def _read_bunch(self, content, depth):
        require(isinstance(content, dict), "it holds an invalid Bunch")
        bunch = Bunch()
        bunch.update(self._values(content, "a Bunch", depth))
        return bunch

    def _read_function(self, content, depth):
        return self._find(find_function, content)

    def _read_class(self, content, depth):
        return self._find(find_class, content, self.classes, ())

    def _read_object(self, content, depth):
        valid = isinstance(content, dict)
        valid = valid and all(isinstance(content.get(k), dict) for k in ("params", "attributes"))
        require(valid, "it holds an object without parameters and attributes")
        cls = self._find(find_class, content.get("class"), self.classes)
        valid = issubclass(cls, (BaseEstimator, BaseCrossValidator))
        require(valid, f"{cls.__name__} is no estimator")
        content = upgrade(content, self.schema, self.classes)
        params, attributes, known = content["params"], content["attributes"], parameters(cls)
        self.file.spend(_OBJECT)
        for name in set(params) - set(known):
            raise ModelFileError(f"{cls.__name__} has no parameter {name[:40]!r}")
        for name in attributes:
            # An attribute may not replace a method or a checked parameter.
            valid = name.isidentifier() and not name.startswith("__")
            valid = valid and not hasattr(cls, name) and name not in known
            require(valid, f"{cls.__name__} has no attribute {name[:40]!r} to set")
        params, attributes = (
            self._values(values, cls.__name__, depth + 1) for values in (params, attributes)
        )
        # Given values of a stranger, constructors and checks may raise errors of any kind.
        try:
            value = cls(**params)
            vars(value).update(attributes)
            if hasattr(value, "_parameter_constraints"):
                value._validate_params()
            if cls in (Pipeline, FeatureUnion):
                _check_steps(value)
            if content["class"] == "Training":
                _check_skorch_params(value.skorch_params or {})
            if content["class"] == "BEIRARegressor":
                from .network import add_network

                add_network(value, content.get("network"), self)
        except ModelFileError:
            raise
        except Exception as error:
            raise ModelFileError(f"{cls.__name__} cannot be made from it ({error})") from error
        return value

    def _values(self, trees, owner, depth):
        """Decode trees by name, without what belongs to the machine of the author."""
        kept = {name: tree for name, tree in trees.items() if not of_the_machine(name)}
        lost = [name for name in trees if name not in kept and trees[name] is not None]
        self.left_out += [f"{name[:40]} of {owner}" for name in lost]
        return {name: self.decode(tree, depth) for name, tree in kept.items()}

    def _find(self, find, name, *args):
        require(isinstance(name, str), "it names a class or function by another type than a string")
        try:
            return find(name[:200], *args)
        except LookupError as error:
            raise ModelFileError(str(error.args[0])) from None
        except ImportError as error:
            raise ModelFileError(
                f"{name[:40]} belongs to a package that is not installed ({error}): pip install "
                f'"sklearn-beira[baselines]"'
            ) from error


_READERS = {
    f"${name.removeprefix('_read_')}": read
    for name, read in vars(Decoder).items()
    if name.startswith("_read_")
}


def _items(content, n=None):
    valid = isinstance(content, list) and n in (None, len(content))
    require(valid, "it holds a list of another length than it should")
    return content


def _check_skorch_params(params):
    """Allow settings of the optimizer only: others of the net start workers or write files."""
    for name in params:
        valid = name.partition("__")[0] == "optimizer"
        require(valid, f"it sets {name[:40]!r} of the net, which no saved model does")


def _check_steps(value):
    """Check names and estimators, which a Pipeline itself checks only when it is used."""
    steps = value.steps if isinstance(value, Pipeline) else value.transformer_list
    valid = steps and all(
        isinstance(name, str)
        and (isinstance(step, BaseEstimator | None) or step in ("passthrough", "drop"))
        for name, step in steps
    )
    require(valid, f"{type(value).__name__} has invalid steps")
    names = {name for name, _ in steps}
    require(len(names) == len(steps), f"{type(value).__name__} has two steps of one name")
