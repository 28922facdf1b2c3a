"""JSON trees of strangers back to fitted models: the other side of ``_encode.py``."""

import math

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import Bunch

from ..exceptions import ModelFileError
from ..regressor.estimator import BEIRARegressor
from .allowed import find_class, find_function
from .encode import MAX_DEPTH, OF_THE_MACHINE, parameters
from .network import FLAT_PARAMETERS, add_network, modernize


class Decoder:
    """Turn JSON trees back into values.

    Parameters
    ----------
    file : ModelFile
        The arrays.
    classes : dict of str to type
        Classes that the caller allows.
    """

    def __init__(self, file, classes):
        self.file = file
        self.classes = classes
        self._unused = set(file.arrays)

    def decode_model(self, tree):
        """Decode a tree that stands for a model, which uses all arrays.

        Parameters
        ----------
        tree : object
            Parsed JSON.

        Returns
        -------
        model : estimator
            Fitted.

        Raises
        ------
        ModelFileError
            If the tree stands for anything else.
        """
        model = self.decode(tree)
        if not isinstance(model, BaseEstimator):
            raise ModelFileError(f"it holds a {type(model).__name__}, not a model")
        if self._unused:
            raise ModelFileError("it holds arrays that are not part of the model")
        return model

    def decode(self, tree, depth=0):
        """Decode a tree.

        Parameters
        ----------
        tree : object
            Parsed JSON.
        depth : int
            Levels above it.

        Returns
        -------
        value : object
            What was encoded.

        Raises
        ------
        ModelFileError
            If the tree is none that ``Encoder`` makes.
        """
        if depth > MAX_DEPTH:
            raise ModelFileError("its values are nested too deeply")
        if isinstance(tree, list):
            return [self.decode(value, depth + 1) for value in tree]
        if not isinstance(tree, dict):
            return tree
        tags = [key for key in tree if key.startswith("$")]
        if not tags:
            return {key: self.decode(value, depth + 1) for key, value in tree.items()}
        read = getattr(self, f"_read_{tags[0][1:]}", None) if tags[0] in _TAGS else None
        if read is None or len(tree) > 1:
            raise ModelFileError(f"it holds a value of unknown kind {tags[0][:40]!r}")
        return read(tree[tags[0]], depth + 1)

    def kind_of(self, tree):
        """Type and shape of an array that a tree refers to, before it is read."""
        return self.file.arrays[self._array_of(tree.get("$array"))[0]]

    def _array_of(self, content):
        name, axes = _items(content, 2)
        known = self.file.arrays.get(name) if isinstance(name, str) else None
        if (
            known is None
            or not isinstance(axes, list)
            or sorted(map(str, axes)) != sorted(map(str, range(len(known[1]))))
        ):
            raise ModelFileError("it refers to an array that it does not hold")
        return name, [int(axis) for axis in axes]

    def _read_array(self, content, depth):
        name, axes = self._array_of(content)
        if name not in self._unused:
            raise ModelFileError(f"it refers to the array {name!r} twice")
        self._unused.remove(name)
        return self.file.read(name).transpose(np.argsort(axes).tolist())

    def _read_scalar(self, content, depth):
        name, value = _items(content, 2)
        value = self.decode(value, depth)
        try:
            dtype = np.dtype(name if name in _SCALARS else None)
            with np.errstate(all="ignore"):
                scalar = dtype.type(value)
            if name in _SCALARS and type(value) in (bool, int, float):
                return scalar
        except (OverflowError, ValueError, TypeError):
            pass
        raise ModelFileError("it holds a number of no type that is saved")

    def _read_strings(self, content, depth):
        shape, width, values = _items(content, 3)
        if not isinstance(values, list) or not all(isinstance(v, str) for v in values):
            raise ModelFileError("it holds an array of texts that are none")
        if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
            raise ModelFileError("it holds an array of texts without a shape")
        if math.prod(shape) != len(values) or len(shape) > 8 or max(shape, default=0) > 2**32:
            raise ModelFileError("it holds an array of texts of another shape than it says")
        if width is None:
            return np.array(values, dtype=object).reshape(shape)
        longest = max(map(len, values), default=0)
        if type(width) is not int or not longest <= width <= 2**26 // max(len(values), 1):
            raise ModelFileError("it holds an array of texts of another width than it says")
        return np.array(values, dtype=f"<U{width}").reshape(shape)

    def _read_float(self, content, depth):
        if content not in ("nan", "inf", "-inf"):
            raise ModelFileError("it holds a number that is none")
        return float(content)

    def _read_tuple(self, content, depth):
        return tuple(self.decode(_items(content), depth))

    def _read_slice(self, content, depth):
        values = self.decode(_items(content, 3), depth)
        if not all(v is None or type(v) is int for v in values):
            raise ModelFileError("it holds a slice that is none")
        return slice(*values)

    def _read_bunch(self, content, depth):
        if not isinstance(content, dict):
            raise ModelFileError("it holds a Bunch that is none")
        return Bunch(**{key: self.decode(value, depth) for key, value in content.items()})

    def _read_function(self, content, depth):
        return self._find(find_function, content)

    def _read_class(self, content, depth):
        return self._find(find_class, content, self.classes, ())

    def _read_object(self, content, depth):
        if not isinstance(content, dict) or not {"class", "params", "attributes"} <= set(content):
            raise ModelFileError("it holds an object without class, parameters and attributes")
        cls = self._find(find_class, content["class"], self.classes)
        if not issubclass(cls, (BaseEstimator, BaseCrossValidator)):
            raise ModelFileError(f"{cls.__name__} is no estimator")
        params, attributes = content["params"], content["attributes"]
        if not isinstance(params, dict) or not isinstance(attributes, dict):
            raise ModelFileError(f"{cls.__name__} has no parameters and attributes by name")
        params.pop("array_sfreq", None)  # of files from before X knew its own rate
        flat = cls is BEIRARegressor and "n_branches" in params
        for name in set(params) - set(FLAT_PARAMETERS if flat else parameters(cls)):
            raise ModelFileError(f"{cls.__name__} has no parameter {name[:40]!r}")
        for name in OF_THE_MACHINE:
            if params.get(name) is not None:
                raise ModelFileError(f"it sets {name} of {cls.__name__}, which no saved model does")
        for name in attributes:
            # Data may not take the place of a method.
            if not name.isidentifier() or name.startswith("__") or hasattr(cls, name):
                raise ModelFileError(f"{cls.__name__} has no attribute {name[:40]!r} to set")
        params = {k: self.decode(v, depth + 1) for k, v in params.items()}
        attributes = {k: self.decode(v, depth + 1) for k, v in attributes.items()}
        # Constructors and checks run on what a stranger may have written: they may say anything.
        try:
            if flat:
                params, attributes = modernize(params, attributes)
            value = cls(**params)
            vars(value).update(attributes)
            if hasattr(value, "_parameter_constraints"):
                value._validate_params()
            if cls.__name__ in ("Pipeline", "FeatureUnion"):
                _check_steps(value)
            if isinstance(value, BEIRARegressor):
                add_network(value, content.get("network"), self)
        except ModelFileError:
            raise
        except Exception as error:
            raise ModelFileError(f"{cls.__name__} cannot be made from it ({error})") from error
        return value

    def _find(self, find, name, *args):
        if not isinstance(name, str):
            raise ModelFileError("it names a class or function by something that is no text")
        try:
            return find(name[:200], *args)
        except LookupError as error:
            raise ModelFileError(str(error.args[0])) from None
        except ImportError as error:
            raise ModelFileError(
                f"{name[:40]} is in a package that is not installed ({error}): pip install "
                f'"sklearn-beira[baselines]"'
            ) from error


_TAGS = {f"${name.removeprefix('_read_')}" for name in vars(Decoder) if name.startswith("_read_")}
_SCALARS = {np.dtype(kind).name for kind in "?bBhHiIqQefd"}


def _items(content, n=None):
    if not isinstance(content, list) or (n is not None and len(content) != n):
        raise ModelFileError("it holds a list of another length than it should")
    return content


def _check_steps(value):
    """Names and estimators: a Pipeline looks at its steps only when it is used."""
    steps = value.steps if hasattr(value, "steps") else value.transformer_list
    names = [name for name, _ in steps]
    plain = all(isinstance(s, BaseEstimator) or s in (None, "passthrough") for _, s in steps)
    if not names or not plain or not all(isinstance(name, str) for name in names):
        raise ModelFileError(f"{type(value).__name__} has steps that are none")
    if len(set(names)) < len(names):
        raise ModelFileError(f"{type(value).__name__} has two steps of one name")
