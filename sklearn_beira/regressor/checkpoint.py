"""The state of a training on disk, so that a killed fit goes on where it was."""

import copy
import io
import json
import time
from hashlib import blake2b
from numbers import Real

import torch
from skorch.callbacks import Callback
from skorch.history import History

from .._utils.files import atomic_write, one_line, writable_folder
from .._utils.hashing import digest, versions
from .._utils.warn import warn_user

# Seconds between two states on disk; a kill costs no more than that.
EVERY = 10.0

# What a state is, and what is remembered of early stopping.
_STATE = {
    "module": dict,
    "optimizer": dict,
    "history": str,
    "stop": dict | None,
    "random": torch.Tensor,
    "random_cuda": list,
    "finished": bool,
}
_STOP = {
    "misses_": int,
    "dynamic_threshold_": float,
    "best_model_weights_": dict | None,
    "best_epoch_": int,
}
_DIGEST_SIZE = 16


class Checkpoint(Callback):
    """Keep the state of a training on disk after an epoch, and go on from it.

    Weights, optimizer, random numbers, history and what early stopping remembers are all that a
    training depends on, so that it ends with the same weights, interrupted or not. It has to be the
    last of the callbacks.

    Parameters
    ----------
    path : Path
        The file.
    state : dict or None
        What was found there by :func:`find_state`.

    Attributes
    ----------
    n_epochs : int
        Epochs done before.
    finished : bool
        Whether none is left to do.
    """

    def __init__(self, path, state):
        self.path = path
        self._take(state)
        self._written = time.monotonic()

    def _take(self, state):
        self.state = state
        self.n_epochs = len(json.loads(state["history"])) if state else 0
        self.finished = bool(state and state["finished"])

    def rehearse(self, net):
        """Try the state on a copy of what is to be trained; what does not fit is given up.

        Parameters
        ----------
        net : skorch.NeuralNet
            Initialized; it stays as it is.
        """
        if self.state is None:
            return
        try:
            _rehearse(self.state, net)
        except Exception as error:  # torch, skorch and the optimizer each have their own
            _warn_unreadable(self.path, error)
            self._take(None)

    def on_train_begin(self, net, **kwargs):
        """Put everything back where it was."""
        state, self.state = self.state, None
        if state is None:
            return
        net.module_.load_state_dict(state["module"])
        net.optimizer_.load_state_dict(state["optimizer"])
        net.history_ = History()
        net.history_.extend(json.loads(state["history"]))
        stop = _early_stopping(net)
        if stop is not None:
            vars(stop).update(state["stop"])
        torch.set_rng_state(state["random"])
        if torch.cuda.is_available():
            torch.cuda.set_rng_state_all(state["random_cuda"])

    def on_epoch_end(self, net, **kwargs):
        """Write the state, unless that was done a moment ago."""
        if time.monotonic() - self._written >= EVERY:
            self._write(net, finished=False)

    def on_train_end(self, net, **kwargs):
        """Write the last state, unless the training was interrupted by hand."""
        stop = _early_stopping(net)
        stopped = stop is not None and stop.misses_ == stop.patience
        if not self.finished and (stopped or len(net.history_) >= net.max_epochs):
            self._write(net, finished=True)

    def _write(self, net, finished):
        stop = _early_stopping(net)
        state = {
            "module": net.module_.state_dict(),
            "optimizer": net.optimizer_.state_dict(),
            "history": json.dumps(net.history_.to_list()),
            "stop": None if stop is None else _memory_of(stop),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "finished": finished,
        }
        try:
            content = io.BytesIO()
            torch.save(state, content)
            with atomic_write(self.path) as file:
                # torch does not notice a bit that has changed on the disk.
                file.write(_digest(content.getbuffer()))
                file.write(content.getbuffer())
        except (OSError, RuntimeError) as error:  # torch wraps those of its writer
            # What is trained is worth more than the record of it.
            warn_user(
                f"the state of the training cannot be written to {self.path} ({one_line(error)}); "
                f"training goes on, but a kill would cost all since the last state written."
            )
        self._written = time.monotonic()


def find_state(folder, *parts):
    """Look for the state of a fit.

    Parameters
    ----------
    folder : path-like
        Where the states are, one file per fit; it is made if need be.
    *parts : object
        What the fit depends on: only a state of the same is found.

    Returns
    -------
    path : Path
        The file, which need not be there.
    state : dict or None
        What is in it.
    """
    path = writable_folder(folder, "checkpoint") / f"{digest(versions(), *parts)}.pt"
    try:
        return path, _read(path)
    except FileNotFoundError:
        pass
    except Exception as error:  # what torch raises on a damaged file is of all kinds
        _warn_unreadable(path, error)
    return path, None


def _read(path):
    content = path.read_bytes()
    known, content = content[:_DIGEST_SIZE], memoryview(content)[_DIGEST_SIZE:]
    if known != _digest(content):
        raise ValueError("not what was written")
    state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    _check_entries(state, _STATE)
    if state["stop"] is not None:
        _check_entries(state["stop"], _STOP)
    history = json.loads(state["history"])
    if not isinstance(history, list) or not history:
        raise ValueError("no history")
    losses = {"train_loss"} if state["stop"] is None else {"train_loss", "valid_loss"}
    for n, row in enumerate(history, 1):
        # Losses may be NaN: a training that has diverged is continued, too.
        if row["epoch"] != n or not all(isinstance(row[loss], Real) for loss in losses):
            raise ValueError("no history")
    return state


def _check_entries(found, expected):
    if set(found) != set(expected):
        raise KeyError("other entries")
    for name, kind in expected.items():
        if not isinstance(found[name], kind):
            raise TypeError(name)


def _rehearse(state, net):
    # Copied together, so that the optimizer's copy holds the parameters of the module's copy.
    module, optimizer = copy.deepcopy((net.module_, net.optimizer_))
    module.load_state_dict(state["module"])
    # Copied, as an optimizer works on the moments that it was given.
    optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))
    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step(lambda: torch.zeros(()))  # some ask for the loss
    if len(json.loads(state["history"])) > net.max_epochs:
        raise ValueError("more epochs than there are")
    if (state["stop"] is None) != (_early_stopping(net) is None):
        raise ValueError("early stopping")
    best = state["stop"] and state["stop"]["best_model_weights_"]
    if best is not None:
        module.load_state_dict(best)
    torch.Generator().set_state(state["random"])


def _warn_unreadable(path, error):
    warn_user(
        # What torch says at length is how to read it in an unsafe way.
        f"the state of the training in {path} cannot be read ({type(error).__name__}); "
        f"training begins anew."
    )


def _digest(content):
    return blake2b(content, digest_size=_DIGEST_SIZE).digest()


def _early_stopping(net):
    return next((c for name, c in net.callbacks_ if name == "keep_best"), None)


def _memory_of(stop):
    """What skorch's EarlyStopping knows beside its parameters."""
    return {
        "misses_": stop.misses_,
        "dynamic_threshold_": float(stop.dynamic_threshold_),
        "best_model_weights_": stop.best_model_weights_,
        "best_epoch_": stop.best_epoch_,
    }
