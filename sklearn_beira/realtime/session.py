"""A session: EEG from one stream of the Lab Streaming Layer, BOLD into another."""

import csv
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from os import PathLike
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import Bunch
from threadpoolctl import threadpool_limits

from .._utils.extras import import_extra
from .twin import BoldTwin

#: Columns of the stream and of the log besides the regions.
EXTRAS = ("eeg_age_s", "quality", "feedback")

_POLL = 0.002  # s
_SILENCE = 2.0  # s without EEG after which the stream is looked for again
_GAP = 0.2  # s by which samples are late if others before them were lost; clocks jitter less
_FOLLOW = 0.02  # share of the lateness of a chunk by which the clock of the samples follows
_FIRST = 10  # predictions before the feedback says something
_MOST = 3.0  # SD


def run_live(
    model: BaseEstimator,
    stream: str,
    *,
    name: str = "BOLD twin",
    step: float = 1.0,
    subject: str | None = None,
    regions: Sequence[str] | None = None,
    feedback: str | None = None,
    log: str | PathLike | None = None,
    minutes: float | None = None,
    say: Callable[[str], None] = print,
) -> Bunch:
    """Predict BOLD from an EEG stream of the Lab Streaming Layer, and publish it as a stream.

    The stream is waited for, also when it is lost during the session.

    Parameters
    ----------
    model : Pipeline or search
        Fitted model, as :class:`BoldTwin` takes it.
    stream : str
        Name of the EEG stream. It needs the channels of the model, in any order, and says their
        unit.
    name : str
        Name of the stream of predictions, of type "BOLD". Its samples are the regions, the age of
        the EEG in s, the quality of the window (as in :class:`BoldTwin`) and the feedback. Their
        time stamp is the moment that the prediction is for, on the LSL clock of this computer.
    step : float
        Time between predictions in s.
    subject, regions
        As of :class:`BoldTwin`.
    feedback : str or None
        Region of the feedback, which also is a stream of its own, named ``name`` and " feedback",
        with one channel: the prediction as a z-score of those before it, from -3 to 3, and 0 for
        the first ten. None takes the first region.
    log : path-like or None
        Table (tsv) for the predictions, with a column ``time_s``; :func:`load_table` reads it.
        Sessions with the same columns are appended.
    minutes : float or None
        Length of the session, from the first EEG on; None runs until Ctrl-C.
    say : callable
        Takes messages about the stream, such as gaps.

    Returns
    -------
    facts : Bunch
        ``n_samples`` and ``n_lost`` of the EEG, ``n_predictions``, ``n_connections``, and
        ``compute`` (n_predictions,), the time in s from the arrival of the last samples until the
        prediction was out.

    Raises
    ------
    ImportError
        If mne-lsl is not installed.
    ValueError
        If the model cannot run live, if the stream lacks channels or a sampling rate, or if the log
        holds another table.

    See Also
    --------
    BoldTwin : The same without a network.
    """
    lsl = import_extra("mne_lsl.lsl", "run_live", "realtime")
    facts = Bunch(n_samples=0, n_lost=0, n_predictions=0, n_connections=0, compute=[])
    session, until = None, np.inf
    with ExitStack() as stack:
        # A window is little work: several threads would wait for each other.
        stack.enter_context(threadpool_limits(1))
        while time.monotonic() < until:
            inlet = _connect(lsl, stream, say, until)
            if inlet is None:
                break
            try:
                take = _Channels(inlet)
                if session is None:
                    twin = BoldTwin(model, take.sfreq, step=step, subject=subject, regions=regions)
                    out = _Outputs(lsl, twin.region_names, name, feedback)
                    if log is not None:
                        out.log = stack.enter_context(_open_log(log, out.columns))
                    session = _Session(lsl, twin, out, facts, say)
                    say(
                        f"Predicting {len(twin.region_names)} regions every {step:g} s from "
                        f"{stream!r}; first after {twin.reach:g} s of EEG."
                    )
                take.pick(session.twin, stream)
                if not take.has_units:
                    say(f"The stream {stream!r} does not say the unit of its EEG; V is assumed.")
                facts.n_connections += 1
                if minutes is not None and facts.n_connections == 1:
                    until = time.monotonic() + 60 * minutes
                session.listen(inlet, take, until)
            finally:
                inlet.close_stream()
    facts.compute = np.array(facts.compute)
    return facts


class _Session:
    """What goes on over connections: the twin, the clock of its samples, and the outputs."""

    def __init__(self, lsl, twin, out, facts, say):
        self.lsl, self.twin, self.out, self.facts, self.say = lsl, twin, out, facts, say
        self.start = None  # LSL time of the first sample

    def listen(self, inlet, take, until):
        """Predict until the stream is lost or silent, or the session over."""
        heard = time.monotonic()
        while (now := time.monotonic()) < until:
            try:
                chunk, stamps = inlet.pull_chunk(timeout=0.0, max_samples=take.most)
            except RuntimeError:  # LostError of mne-lsl
                self.say("The stream was lost; waiting for it.")
                return
            if len(stamps):
                self.push(take(chunk), stamps)
                heard = now
            elif now - heard > _SILENCE:
                self.say(f"No EEG for {_SILENCE:g} s; looking for the stream again.")
                return
            else:
                time.sleep(_POLL)

    def push(self, eeg, stamps):
        """Predict from a chunk (n_channels, n_times) with time stamps (n_times,)."""
        arrived, twin = self.lsl.local_clock(), self.twin
        if self.start is None:
            self.start = stamps[0]
        late = stamps[0] - (self.start + self.seen())
        if late > _GAP:
            self._skip(round(late * twin.sfreq))
        elif late < -_GAP:
            self.say(f"The clock of the EEG went back by {-late:.2f} s; time stamps follow it.")
            self.start += late
        else:
            self.start += late * _FOLLOW
        self.facts.n_samples += eeg.shape[1]
        if not np.isfinite(eeg).all():
            self.say("The EEG holds NaN or infinite values; these samples are left out.")
            self._skip(eeg.shape[1])
            return
        found = twin.push(eeg)
        for (moment, bold), quality in zip(found, twin.quality, strict=True):
            age = self.lsl.local_clock() - (self.start + self.seen())
            self.out.send(self.start + moment, bold, age, quality)
            self.facts.n_predictions += 1
            self.facts.compute.append(self.lsl.local_clock() - arrived)

    def seen(self):
        """Time in s from the first sample to the next."""
        return self.twin.n_seen / self.twin.sfreq

    def _skip(self, n_times):
        self.facts.n_lost += n_times
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            self.twin.skip(n_times)
        for warning in caught:
            self.say(str(warning.message))
        if not caught:
            self.say(f"{n_times / self.twin.sfreq:.2f} s of EEG are missing, and were bridged.")


class _Channels:
    """Channels of an inlet that the model reads, in its order and in V."""

    def __init__(self, inlet):
        sinfo = inlet.get_sinfo()
        self.sfreq, self.most = sinfo.sfreq, max(int(sinfo.sfreq), 1)
        if not self.sfreq:
            raise ValueError(f"the stream {sinfo.name!r} has no sampling rate; it holds no EEG.")
        self.names, self.scale = sinfo.get_channel_names(), np.ones(sinfo.n_channels)
        self.has_units = sinfo.get_channel_units() is not None
        if self.names is not None:
            channels = sinfo.get_channel_info()["chs"]
            self.scale = 10.0 ** np.array([int(channel["unit_mul"]) for channel in channels])
        self.picks = slice(None)

    def pick(self, twin, stream):
        """Find the channels of the twin."""
        if self.sfreq != twin.sfreq:
            raise ValueError(
                f"the stream {stream!r} has now {self.sfreq:g} Hz instead of {twin.sfreq:g} Hz; "
                f"start again."
            )
        if twin.ch_names is not None:
            if self.names is None:
                raise ValueError(
                    f"the stream {stream!r} does not name its channels; the model needs "
                    f"{', '.join(twin.ch_names)}."
                )
            lost = [name for name in twin.ch_names if name not in self.names]
            if lost:
                raise ValueError(
                    f"the stream {stream!r} lacks the channels {', '.join(lost)}, which the model "
                    f"was fitted with; it has {', '.join(self.names)}."
                )
            self.picks = [self.names.index(name) for name in twin.ch_names]
        self.scale = self.scale[self.picks]

    def __call__(self, chunk):
        return (chunk[:, self.picks] * self.scale).T.astype(np.float64)


class _Outputs:
    """Streams of predictions and of feedback, and the log."""

    def __init__(self, lsl, regions, name, feedback):
        if feedback is not None and feedback not in regions:
            raise ValueError(f"there is no region {feedback!r}; give one of {', '.join(regions)}.")
        self.columns, self.log = ["time_s", *regions, *EXTRAS], None
        self.region = 0 if feedback is None else regions.index(feedback)
        self.n, self.mean, self.squares = 0, 0.0, 0.0
        self.bold = _outlet(lsl, name, "BOLD", self.columns[1:])
        self.value = _outlet(lsl, f"{name} feedback", "feedback", ["feedback"])

    def send(self, moment, bold, age, quality):
        """Publish a prediction for a moment of the LSL clock."""
        value = self._z_score(bold[self.region])
        row = [*bold, age, quality, value]
        self.bold.push_sample(np.array(row), timestamp=moment)
        self.value.push_sample(np.array([value]), timestamp=moment)
        if self.log is not None:
            self.log.write("\t".join([f"{moment:.6f}", *(f"{x:.8g}" for x in row)]) + "\n")
            self.log.flush()

    def _z_score(self, x):
        """Score relative to the values before, then count the value as well."""
        spread = np.sqrt(self.squares / self.n) if self.n else 0.0
        z = (x - self.mean) / spread if self.n >= _FIRST and spread > 0 else 0.0
        self.n += 1
        before = x - self.mean
        self.mean += before / self.n
        self.squares += before * (x - self.mean)
        return float(np.clip(z, -_MOST, _MOST))


def _outlet(lsl, name, kind, columns):
    # A source of the same name is found again by those who listen.
    info = lsl.StreamInfo(name, kind, len(columns), 0.0, "float64", f"sklearn-beira {name}")
    info.set_channel_names(list(columns))
    return lsl.StreamOutlet(info)


def _connect(lsl, stream, say, until):
    """Wait for a stream; None if the time is over."""
    said = False
    while time.monotonic() < until:
        found = lsl.resolve_streams(timeout=1.0, name=stream)
        if len(found) > 1:
            raise ValueError(
                f"{len(found)} streams are called {stream!r}; give the stream of the EEG another "
                f"name."
            )
        if found:
            # Reconnecting is done here, where channels are checked and gaps are counted.
            inlet = lsl.StreamInlet(found[0], recover=False, processing_flags=["clocksync"])
            try:
                inlet.open_stream(timeout=5.0)
                return inlet
            except (RuntimeError, TimeoutError):  # it went away again
                continue
        if not said:
            say(f"Waiting for the stream {stream!r}.")
            said = True
    return None


def _open_log(path, columns):
    path, line = Path(path), "\t".join(columns)
    if path.exists():
        with path.open(encoding="utf-8", newline="") as file:
            if next(csv.reader(file, delimiter="\t"), None) != columns:
                raise ValueError(f"{path} holds another table; give --log another file.")
        return path.open("a", encoding="utf-8", newline="")
    file = path.open("w", encoding="utf-8", newline="")
    file.write(f"{line}\n")
    return file
