"""The state of a training on disk, so that a killed fit continues where it was."""

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

# Seconds between two states on disk: a kill costs no more than that.
EVERY = 10.0

# Entries of a state, and what is saved of early stopping.
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
    """Save the state of a training after epochs, and continue from it.

    Weights, optimizer, random numbers, history and the memory of early stopping are all that a
    training depends on: interrupted or not, it ends with the same weights. This has to be the last
    of the callbacks.

    Parameters
    ----------
    folder : path-like
        Folder of the states, one file per fit; it is made if need be.
    *parts : object
        What the fit depends on: only a state of the same is continued.
    """

    def __init__(self, folder, *parts):
        name = f"{digest(versions(), *parts)}.pt"
        self.path = writable_folder(folder, "checkpoint") / name
        self.state, self.finished = None, False
        self._written = time.monotonic()

    def restore(self, net):
        """Give an initialized net the weights, optimizer and history on disk, where there are some.

        Parameters
        ----------
        net : skorch.NeuralNet
            Initialized; it stays as it is where the file is missing, damaged or of another fit.

        Returns
        -------
        n_epochs : int
            Epochs that are left.
        """
        initial = copy.deepcopy(net.module_.state_dict())
        try:
            state = _read(self.path)
            _load(net, state)
            _take_a_step(net)
            _load(net, state)
        except FileNotFoundError:
            return net.max_epochs
        except Exception as error:  # torch, skorch and the optimizer each have their own
            net.module_.load_state_dict(initial)
            net.initialize()
            warn_user(
                # What torch says at length is how to read it in an unsafe way.
                f"the state of the training in {self.path} cannot be read "
                f"({type(error).__name__}); training begins anew."
            )
            return net.max_epochs
        self.state, self.finished = state, state["finished"]
        return 0 if self.finished else net.max_epochs - len(net.history_)

    def on_train_begin(self, net, **kwargs):
        """Restore what the beginning of a training resets."""
        state, self.state = self.state, None
        if state is None:
            return
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
            "stop": stop and {name: getattr(stop, name) for name in _STOP},
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "finished": finished,
        }
        if stop:  # skorch begins with an infinity of numpy's
            state["stop"]["dynamic_threshold_"] = float(stop.dynamic_threshold_)
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


def _load(net, state):
    """Give a net what a state holds, and check what is needed later."""
    if (state["stop"] is None) != (_early_stopping(net) is None):
        raise ValueError("early stopping")
    best = state["stop"] and state["stop"]["best_model_weights_"]
    if best is not None:
        net.module_.load_state_dict(best)
    torch.Generator().set_state(state["random"])
    net.module_.load_state_dict(state["module"])
    # Copied, as an optimizer works on the moments that it was given.
    net.optimizer_.load_state_dict(copy.deepcopy(state["optimizer"]))
    net.history_ = History()
    net.history_.extend(json.loads(state["history"]))
    if len(net.history_) > net.max_epochs:
        raise ValueError("more epochs than there are")


def _take_a_step(net):
    """Fail if the optimizer cannot go on: it checks its state only when it is used."""
    for parameter in net.module_.parameters():
        parameter.grad = torch.zeros_like(parameter)
    net.optimizer_.step(lambda: torch.zeros(()))  # some ask for the loss


def _digest(content):
    return blake2b(content, digest_size=_DIGEST_SIZE).digest()


def _early_stopping(net):
    return next((c for name, c in net.callbacks_ if name == "keep_best"), None)
