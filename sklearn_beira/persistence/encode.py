"""Fitted models as JSON trees that refer to arrays.

None, booleans, numbers, strings, lists and dicts stand for themselves. Anything else is a dict with
one key that begins with a dollar sign:

=============  ==================================================================================
``$array``     name of an array, and the order of its axes in memory
``$scalar``    NumPy scalar: type and value
``$strings``   array of strings: shape, width (None for Python objects), values
``$float``     "nan", "inf" or "-inf"
``$tuple``     list of values
``$slice``     start, stop, step
``$bunch``     dict
``$function``  name of a function or an optimizer in the list
``$class``     name of a network class that the caller allows
``$object``    name of a class, parameters of its constructor, attributes set by ``fit``
=============  ==================================================================================
"""

import inspect
import math
import re

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import Bunch

from .._utils.estimators import is_search
from .allowed import name_class, name_function
from .file import storable

MAX_DEPTH = 60
# Parameters that describe how one machine computes, and where it reads and writes. A file does not
# hold them, nor is it asked: it could fill disks, start processes, or send EEG to a folder.
_OF_THE_MACHINE = re.compile(
    r"(.*_)?(n_jobs|pre_dispatch|cache|cachedir|checkpoint|dir|directory|dirname|file|filename"
    r"|folder|location|memory|path)s?"
)


def of_the_machine(name: str) -> bool:
    """Tell whether a parameter, an attribute or a key, by its name, belongs to one machine."""
    return _OF_THE_MACHINE.fullmatch(name.strip("_")) is not None


class Encoder:
    """Turn values into JSON trees, and collect the arrays.

    Parameters
    ----------
    classes : dict of str to type
        Classes that the caller allows.

    Attributes
    ----------
    arrays : dict of str to ndarray
        Arrays that the trees refer to.
    """

    def __init__(self, classes: dict[str, type]):
        self.classes = classes
        self.arrays = {}

    # A flat list of cases, one per type.
    def encode(self, value: object, where: str = "model", depth: int = 0) -> object:  # noqa: C901
        """Encode a value.

        Parameters
        ----------
        value : object
            Value.
        where : str
            Its place in the model, for messages and as the name of an array.
        depth : int
            Number of levels above it.

        Returns
        -------
        tree : object
            Value that JSON can hold.

        Raises
        ------
        ValueError
            If the value cannot be saved.
        """
        if depth > MAX_DEPTH:
            raise ValueError(f"{where[:200]} cannot be saved: it is nested too deeply.")

        def inside(values):
            return [self.encode(v, f"{where}.{i}", depth + 1) for i, v in enumerate(values)]

        if value is None or type(value) in (bool, str):
            return value
        if type(value) is int and abs(value) < 2**64:
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"$float": str(value)}
        if type(value) is list:
            return inside(value)
        if type(value) is tuple:
            return {"$tuple": inside(value)}
        if type(value) is slice:
            return {"$slice": inside([value.start, value.stop, value.step])}
        if type(value) in (dict, Bunch):
            return self._dict(value, where, depth)
        if isinstance(value, np.generic) and storable(value.dtype):
            return {"$scalar": [value.dtype.name, self.encode(value.item(), where, depth + 1)]}
        if type(value) in (np.ndarray, np.memmap):
            return self._array(np.asarray(value), where)
        if is_search(value) and hasattr(value, "best_estimator_"):
            return self.encode(value.best_estimator_, where, depth)
        if isinstance(value, type) and value in self.classes.values():
            return {"$class": name_class(value, self.classes)}
        if callable(value) and name_function(value) is not None:
            return {"$function": name_function(value)}
        if isinstance(value, (BaseEstimator, BaseCrossValidator)):
            name = name_class(type(value), self.classes)
            if name is not None:
                return self._object(value, name, where, depth)
        raise ValueError(_refusal(value, where))

    def array(self, array: np.ndarray, where: str) -> str:
        """Keep an array and return its name."""
        where = where.encode("ascii", "backslashreplace").decode()
        name, n = where, 1
        while name in self.arrays:  # keys may hold dots
            name, n = f"{where}~{n}", n + 1
        self.arrays[name] = array
        return name

    def _dict(self, value, where, depth):
        if not all(type(key) is str for key in value):
            raise ValueError(f"{where} cannot be saved: it has keys that are not strings.")
        # Keys may be names of parameters, as in the grid of a search.
        found = {k: self.encode(v, f"{where}.{k}", depth + 1) for k, v in _portable(value).items()}
        if type(value) is Bunch:
            return {"$bunch": found}
        if any(key.startswith("$") for key in value):
            raise ValueError(f"{where} cannot be saved: a key in it begins with a dollar sign.")
        return found

    def _array(self, value, where):
        if value.dtype.kind in "OU":
            values = value.ravel().tolist()
            if not all(type(v) is str for v in values):
                raise ValueError(f"{where} cannot be saved: it is an array of Python objects.")
            width = None if value.dtype.kind == "O" else value.dtype.itemsize // 4
            return {"$strings": [list(value.shape), width, values]}
        if not storable(value.dtype):
            raise ValueError(f"{where} cannot be saved: it is an array of type {value.dtype}.")
        # Matrix products round differently in another memory layout, so the layout is kept.
        axes = sorted(range(value.ndim), key=lambda axis: -abs(value.strides[axis]))
        kept = np.ascontiguousarray(value.transpose(axes), value.dtype.newbyteorder("<"))
        return {"$array": [self.array(kept.reshape([value.shape[a] for a in axes]), where), axes]}

    def _object(self, value, name, where, depth):
        names = parameters(type(value))
        params = _portable({p: getattr(value, p) for p in names})
        attributes = _portable({a: v for a, v in vars(value).items() if a not in names})
        tree = {"class": name}
        if name == "BEIRARegressor":
            from .network import describe_network, plain_attributes

            tree["network"] = describe_network(value, self, where)
            attributes = plain_attributes(attributes)
        for kind, values in (("params", params), ("attributes", attributes)):
            tree[kind] = {k: self.encode(v, f"{where}.{k}", depth + 1) for k, v in values.items()}
        return {"$object": tree}


def parameters(cls: type) -> list[str]:
    """Return the names of the parameters of a constructor, in their order."""
    kinds = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    return [p.name for p in inspect.signature(cls).parameters.values() if p.kind in kinds]


def _portable(values):
    return {name: value for name, value in values.items() if not of_the_machine(name)}


def _refusal(value, where):
    cls = value if isinstance(value, type) else type(value)
    hint = "only numbers, strings, arrays, lists, dicts and classes on the list can be saved"
    if isinstance(value, np.random.RandomState):
        hint = "use an integer as random_state, and fit again"
    elif isinstance(value, (type, BaseEstimator)):
        hint = (
            f"it is not on the list of classes that can be loaded; if it is your own class, pass "
            f'classes={{"{cls.__name__}": {cls.__name__}}} here and when loading'
        )
    elif callable(value):
        hint = "it is not on the list of functions that can be loaded"
    return f"{where} cannot be saved: it is a {cls.__module__}.{cls.__name__}; {hint}."
