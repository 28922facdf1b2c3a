"""A session: EEG from one stream of the Lab Streaming Layer, BOLD into another."""

import csv
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from os import PathLike
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import Bunch
from threadpoolctl import threadpool_limits

from .._utils.extras import import_extra
from .names import EXTRAS, NAME
from .twin import BoldTwin, examine

# Units in V, without upper case.
_UNITS = {
    **dict.fromkeys(("v", "volt", "volts", "none"), 1.0),
    **dict.fromkeys(("mv", "millivolt", "millivolts"), 1e-3),
    **dict.fromkeys(("uv", "\u03bcv", "microvolt", "microvolts"), 1e-6),
    **dict.fromkeys(("nv", "nanovolt", "nanovolts"), 1e-9),
    # Powers of ten, as MNE-LSL writes them.
    **{str(power): 10.0**power for power in (0, -3, -6, -9)},
}
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
    name: str = NAME,
    step: float = 1.0,
    subject: str | None = None,
    regions: Sequence[str] | None = None,
    feedback: str | None = None,
    log: str | PathLike | None = None,
    minutes: float | None = None,
    say: Callable[[str], None] = print,
) -> Bunch:
    """Predict BOLD from an EEG stream of the Lab Streaming Layer, and publish it as a stream.

    The stream is waited for, also when it is lost during the session. Lost samples are noticed by
    the time stamps of the others, if they last 0.2 s or longer: up to 0.5 s is bridged, after more
    a window has to fill anew. Shorter losses are taken for jitter of the clock, and are neither
    counted nor bridged.

    Parameters
    ----------
    model : Pipeline or search
        Fitted model, as :class:`BoldTwin` takes it.
    stream : str
        Name of the EEG stream. It needs the channels of the model, in any order, and their unit:
        V, mV, µV or nV. V is assumed if it says none.
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
        the first ten. Predictions after these count for later ones as if they were at most 3 SD
        from the mean, so that an artifact does not last. None takes the first region.
    log : path-like or None
        Table (tsv) for the predictions, with a column ``time_s``; :func:`load_table` reads it.
        Sessions with the same columns are appended.
    minutes : float or None
        Length of the session, from the first EEG on; None runs until Ctrl-C, which ends any
        session as its time does.
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
        If the model cannot run live, if the stream lacks channels or has another unit, if several
        streams have its name, or if the log holds another table.

    See Also
    --------
    BoldTwin : The same without a network.
    """
    lsl = import_extra("mne_lsl.lsl", "run_live", "realtime")
    facts = Bunch(n_samples=0, n_lost=0, n_predictions=0, n_connections=0, compute=[])
    if stream in (name, _feedback_name(name)):
        raise ValueError(f"the EEG and the predictions must not both be called {stream!r}.")
    _, known = examine(model, subject, regions)
    if known is not None:  # else only the stream tells, whose sampling rate is needed
        _number(known, feedback)
    if log is not None:
        _check_log(Path(log), known)
    session, until = None, np.inf
    with ExitStack() as stack:
        stack.enter_context(suppress(KeyboardInterrupt))
        # A window is little work: several threads would wait for each other.
        stack.enter_context(threadpool_limits(1))
        while time.monotonic() < until:
            inlet = _connect(lsl, stream, say, until, again=facts.n_connections > 0)
            if inlet is None:
                break
            try:
                take, is_first = _Channels(inlet), session is None
                if is_first:
                    twin = BoldTwin(model, take.sfreq, step=step, subject=subject, regions=regions)
                    out = _Outputs(lsl, twin.region_names, name, feedback)
                    if log is not None:
                        out.log = stack.enter_context(_open_log(log, twin.region_names))
                    session = _Session(lsl, twin, out, facts, say)
                    wait = np.ceil(twin.reach / step) * step + twin.latency
                    say(
                        f"Predicting {len(twin.region_names)} regions every {step:g} s from "
                        f"{stream!r}; first after {wait:.1f} s of EEG."
                    )
                take.pick(session.twin, stream)
                if is_first and not take.has_units:
                    say(f"The stream {stream!r} does not say the unit of its EEG; V is assumed.")
                until = session.listen(inlet, take, until, minutes)
            finally:
                inlet.close_stream()
    facts.compute = np.array(facts.compute)
    return facts


class _Session:
    """What goes on over connections: the twin, the clock of its samples, and the outputs."""

    def __init__(self, lsl, twin, out, facts, say):
        self.lsl, self.twin, self.out, self.facts, self.say = lsl, twin, out, facts, say
        self.start = None  # LSL time of the first sample
        self.is_silent, self.is_bad = False, False

    def listen(self, inlet, take, until, minutes):
        """Predict until the stream is lost or silent, or the session over; return when it is."""
        heard, is_new = time.monotonic(), True
        while (now := time.monotonic()) < until:
            try:
                chunk, stamps = inlet.pull_chunk(timeout=0.0, max_samples=take.most)
            except RuntimeError:  # LostError of mne-lsl
                self.say("The stream was lost; waiting for it.")
                return until
            if len(stamps):
                self.facts.n_connections += is_new
                if minutes is not None and is_new and self.facts.n_connections == 1:
                    until = now + 60 * minutes
                self.push(take(chunk), stamps)
                heard, is_new, self.is_silent = now, False, False
            elif now - heard > _SILENCE:
                if not self.is_silent:
                    self.say(f"No EEG for {_SILENCE:g} s; looking for the stream again.")
                self.is_silent = True
                return until
            else:
                time.sleep(_POLL)
        return until

    def push(self, eeg, stamps):
        """Predict from a chunk (n_channels, n_times) with time stamps (n_times,)."""
        arrived = self.lsl.local_clock()
        jumps = np.abs(np.diff(stamps) - 1 / self.twin.sfreq) > _GAP
        cuts = np.flatnonzero(jumps) + 1
        for part, start in zip(np.split(eeg, cuts, axis=1), stamps[[0, *cuts]], strict=True):
            self._push(part, start, arrived)

    def _push(self, eeg, stamp, arrived):
        """Predict from EEG without jumps, whose first sample has a time stamp."""
        twin = self.twin
        if self.start is None:
            self.start = stamp
        late = stamp - (self.start + self.seen())
        if late > _GAP:
            self._skip(round(late * twin.sfreq))
        elif late < -_GAP:
            self._start_anew(stamp, -late)
        else:
            self.start += late * _FOLLOW
        self.facts.n_samples += eeg.shape[1]
        bad = np.flatnonzero(~np.isfinite(eeg).all(axis=1))
        if len(bad):
            if not self.is_bad:  # else it goes on
                names = [str(k) if twin.ch_names is None else twin.ch_names[k] for k in bad]
                self.say(
                    f"The EEG of {', '.join(names)} holds NaN or infinite values; all channels are "
                    f"left out meanwhile."
                )
            self.is_bad = True
            self._skip(eeg.shape[1])
            return
        self.is_bad = False
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
        if not caught and not self.is_bad:
            self.say(f"{n_times / self.twin.sfreq:.2f} s of EEG are missing, and were bridged.")

    def _start_anew(self, stamp, back):
        """Go on with EEG that does not follow what was before."""
        self.say(
            f"The clock of the EEG went back by {back:.2f} s; time stamps follow it, and "
            f"predictions go on when a window is full."
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # nothing is lost
            self.twin.skip(int(self.twin.bridge * self.twin.sfreq) + 1)
        self.start = stamp - self.seen()


class _Channels:
    """Channels of an inlet that the model reads, in its order and in V."""

    def __init__(self, inlet):
        sinfo = inlet.get_sinfo()
        self.sfreq, self.most = sinfo.sfreq, max(int(sinfo.sfreq), 1)
        self.names, self.picks = sinfo.get_channel_names(), range(sinfo.n_channels)
        self.units = sinfo.get_channel_units() or [None] * sinfo.n_channels

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
        units = [(self.units[k] or "none").strip() for k in self.picks]
        self.has_units = "none" not in units
        unknown = {unit for unit in units if unit.casefold() not in _UNITS}
        if unknown:
            raise ValueError(
                f"the stream {stream!r} has EEG in {', '.join(sorted(unknown))}; V, mV, µV and nV "
                f"are known."
            )
        self.scale = np.array([_UNITS[unit.casefold()] for unit in units])

    def __call__(self, chunk):
        return (chunk[:, self.picks] * self.scale).T.astype(np.float64)


class _Outputs:
    """Streams of predictions and of feedback, and the log."""

    def __init__(self, lsl, regions, name, feedback):
        self.columns, self.log = _columns(regions), None
        self.region = _number(regions, feedback)
        self.n, self.mean, self.squares = 0, 0.0, 0.0
        self.bold = _outlet(lsl, name, "BOLD", self.columns[1:])
        self.value = _outlet(lsl, _feedback_name(name), "feedback", ["feedback"])

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
        z = 0.0
        if self.n >= _FIRST and spread > 0:
            z = np.clip((x - self.mean) / spread, -_MOST, _MOST)
            x = self.mean + z * spread  # or one artifact would flatten the rest of the session
        self.n += 1
        before = x - self.mean
        self.mean += before / self.n
        self.squares += before * (x - self.mean)
        return float(z)


def _columns(regions):
    return ["time_s", *regions, *EXTRAS]


def _feedback_name(name):
    return f"{name} feedback"


def _number(regions, feedback):
    """Number of the region of the feedback."""
    if feedback is None:
        return 0
    if feedback not in regions:
        raise ValueError(f"there is no region {feedback!r}; give one of {', '.join(regions)}.")
    return list(regions).index(feedback)


def _outlet(lsl, name, kind, columns):
    # A source of the same name is found again by those who listen.
    info = lsl.StreamInfo(name, kind, len(columns), 0.0, "float64", f"sklearn-beira {name}")
    info.set_channel_names(list(columns))
    return lsl.StreamOutlet(info)


def _connect(lsl, stream, say, until, again=False):
    """Wait for a stream with a sampling rate; None if the time is over."""
    said = False
    while time.monotonic() < until:
        # With minimum=1 the search would end before a second stream answers.
        found = lsl.resolve_streams(timeout=1.0, name=stream, minimum=2)
        found = [one for one in found if one.sfreq > 0]
        if len(found) > 1 and not again:
            raise ValueError(
                f"{len(found)} streams are called {stream!r}; give the stream of the EEG another "
                f"name."
            )
        if len(found) == 1:  # of a stream that was lost, an old outlet may still be there
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


def _open_log(path, regions):
    path = Path(path)
    _check_log(path, regions)
    text = path.read_bytes() if path.exists() else b""
    file = path.open("a", encoding="utf-8", newline="")
    if not text:
        file.write("\t".join(_columns(regions)) + "\n")
    elif not text.endswith(b"\n"):  # a session was killed while it wrote
        file.write("\n")
    file.flush()
    return file


def _check_log(path, regions):
    """Refuse a file that holds another table, or, if no regions are given, none of a session."""
    if path.exists() and path.stat().st_size:
        with path.open(encoding="utf-8", newline="") as file:
            found = next(csv.reader(file, delimiter="\t"), [])
        if regions is None:
            regions = found[1 : -len(EXTRAS)]
        if found != _columns(regions):
            raise ValueError(f"{path} holds another table; give --log another file.")
