"""Fuzz what reads files of strangers: `load_model`, all that reads text or JSON, and the command.

    python benchmarks/fuzz.py                  1,000,000 inputs
    python benchmarks/fuzz.py --only broken_file --inputs 300     files given to the command
    python benchmarks/fuzz.py --engine own --seed 1 --inputs 20000

Every input is a valid sample with edits. The engine `atheris` (`pip install atheris`) chooses the
edits by what they reach in the code, `own` draws them from a seed. What is not among the documented
exceptions of a reader, and what takes longer than a minute, is listed with the line it came from.
"""

import argparse
import contextlib
import copy
import io
import json
import random
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from sklearn_beira._utils.files import read_checked, write_checked

SECONDS = 60

VALUES = [
    *(None, True, False, -1, 0, 1, 2, 10**6, 2**31, 2**63, 2**64, 10**30, 0.5, 1e308),
    *(float("nan"), float("inf"), "", "a", "nan", "os.system", "../../etc/passwd", "\ud800"),
    *("__class__", "__init__", "predict", "steps", "passthrough", "F32", "BOOL", "x" * 1000),
    *([], {}, [[]], [0, 4], [2**62, 4], ["a", []], {"": 1}, {"$array": ["x", []]}),
    *({"$class": "Ridge"}, {"$function": "numpy.log"}, {"$object": {}}, {"$float": "inf"}),
    *({"$scalar": ["float16", 1e300]}, {"$strings": [[0, 9], None, []]}, {"$tuple": [1, 2]}),
    *({"$slice": [0, "1", None]}, {"$bunch": {"a": 1}}, {"$float": "nan"}, {"$strings": [1]}),
    {"$object": {"class": "Ridge", "params": {"alpha": 1.0}, "attributes": {"coef_": 0}}},
]
TOKENS = [
    *(b"", b",", b";", b"\t", b" ", b"\n", b"\r", b"\x00", b"\xff\xfe", b'"', b"'", b"nan", b"-"),
    *(b"inf", b"1e999", b"9" * 400, "é".encode(), b"\xef\xbb\xbf", b"{", b"[" * 50, b"null"),
    *(b'"a":1,', b"\\ud800", b"$object", b"time_s", b"index", b"name", b"volume", b"#"),
]
WORDS = [
    *("--eeg", "--bold", "--t-r", "--trigger", "--missing", "--exclude", "--atlas", "--seed"),
    *("start", "end", "a.csv", "nan", "-1", "1e999", "x" * 500, "\ud800", "", "--", "--help", "0"),
]


class Bytes:
    """Choices read from bytes, for an engine that varies bytes; 0 when they are used up."""

    def __init__(self, data):
        self._data = io.BytesIO(data)

    def randrange(self, n):
        return int.from_bytes(self._data.read(4), "little") % n

    def choice(self, values):
        return values[self.randrange(len(values))]


def edit_bytes(content, choose):
    """Cut, copy, change and insert."""
    content = bytearray(content)
    for _ in range(1 + choose.randrange(4)):
        at = choose.randrange(len(content) + 1)
        to = min(at + choose.randrange(40), len(content))
        kind = choose.randrange(6)
        if kind == 0:
            del content[at:]
        elif kind == 1:
            del content[at:to]
        elif kind == 2:
            content[at:at] = content[at:to]
        elif kind == 3:
            content[at:to] = choose.choice(TOKENS)
        elif kind == 4:
            content[at:at] = choose.choice(TOKENS)
        else:
            content[at : at + 1] = bytes([choose.randrange(256)])
    return bytes(content)


def edit_tree(tree, choose, duplicate=lambda value: json.loads(json.dumps(value))):
    """Replace, remove, rename and repeat values anywhere in parsed JSON, in place."""
    places = []

    def walk(values):
        for key in values if isinstance(values, dict) else range(len(values)):
            places.append((values, key))
            if isinstance(values[key], (dict, list)):
                walk(values[key])

    walk(tree)
    for _ in range(1 + choose.randrange(3)):
        values, key = choose.choice(places)
        gone = key not in values if isinstance(values, dict) else key >= len(values)
        kind = 0 if gone else choose.randrange(6)
        if kind <= 2 and not gone:
            values[key] = choose.choice(VALUES)
        elif kind == 3:
            del values[key]
        elif kind == 4:
            other, at = choose.choice(places)
            with contextlib.suppress(KeyError, IndexError):
                values[key] = duplicate(other[at])
        elif kind == 5 and isinstance(values, dict):
            values[str(choose.choice(VALUES))] = values.pop(key)


class Readers:
    """The readers, each with valid samples. A method is a target: it reads one edited sample.

    Parameters
    ----------
    folder : Path
        For the files to read.
    """

    # Of a hundred inputs; those of a network cost the most.
    SHARES = (
        ("model_bytes", 30),
        ("model_header", 25),
        ("model_tree", 20),
        ("network_tree", 1),
        ("stored_result", 3),
        ("training_state", 2),
        ("training_entries", 1),
        ("bold_table", 3),
        ("labels_table", 3),
        ("confounds_table", 3),
        ("motion_table", 5),
        ("triggers", 2),
        ("command_line", 2),
        ("broken_file", 0),  # reading recordings is slow: by --only
    )

    def __init__(self, folder):
        import mne
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        from sklearn_beira import BEIRARegressor, Compact, EEGWindows, Training
        from sklearn_beira._utils import store as _store
        from sklearn_beira.alignment import onsets
        from sklearn_beira.baselines.ridge import BlockedRidgeCV
        from sklearn_beira.bold import atlas as _atlas, confounds as _confounds
        from sklearn_beira.cli import data as _job_data, main as command, options as command_line
        from sklearn_beira.datasets import cwl
        from sklearn_beira.exceptions import ModelFileError
        from sklearn_beira.persistence import file as _file
        from sklearn_beira.persistence.saving import load_model, save_model
        from sklearn_beira.regressor import checkpoint as _checkpoint

        self.path = folder / "file"
        self.main, self.job_data, self.command = command_line, _job_data, command
        self.alignment, self.atlas = onsets, _atlas
        self.confounds, self.store, self.cwl, self.file = _confounds, _store, cwl, _file
        self.load_model, self.documented = load_model, ModelFileError
        rng = np.random.default_rng(0)
        X, y = rng.standard_normal((20, 3)), rng.standard_normal((20, 2))
        ridge = make_pipeline(StandardScaler(), BlockedRidgeCV()).fit(X, y)
        eeg = rng.standard_normal((20, 3, 120))
        net = BEIRARegressor(Compact(n_branches=1, n_taps=5, segment=20), verbose=False)
        self.samples = []
        for model in (ridge, net.fit(EEGWindows.from_array(eeg, sfreq=50), y)):
            save_model(model, self.path)
            self.samples.append(self.path.read_bytes())
        self.parts = [self._split(sample) for sample in self.samples]
        results = _store.ResultStore(folder / "store")
        results.put("key", np.arange(6.0), {"a": [1, 2.5, None]})
        self.results, self.result_path = results, folder / "store" / "key.npz"
        self.result = self.result_path.read_bytes()
        self.checkpoint = _checkpoint
        training = Training(max_epochs=2, checkpoint=folder / "states")
        self.trained = net.set_params(training=training, random_state=0)
        self.trained.fit(EEGWindows.from_array(eeg, sfreq=50), y)
        (self.state_path,) = (folder / "states").iterdir()
        self.state = self.state_path.read_bytes()
        self.state_content = bytes(read_checked(self.state_path))
        self.raw = mne.io.RawArray(
            np.zeros((1, 1000)), mne.create_info(["E1"], 100.0, "eeg"), verbose="error"
        )
        self.annotations = mne.Annotations
        self.folder, self.files = folder, write_recording(folder / "whole")

    def _split(self, sample):
        """Header, data, text and arrays of a model's file."""
        n_header = struct.unpack("<Q", sample[:8])[0]
        file = self.file.ModelFile(io.BytesIO(sample), len(sample))
        arrays = {name: file.read(name) for name in file.arrays}
        return sample[8 : 8 + n_header], sample[8 + n_header :], file.text, arrays

    def _load(self, content):
        self.path.write_bytes(content)
        with contextlib.suppress(self.documented):
            self.load_model(self.path)
            return True
        return False

    def model_bytes(self, choose):
        return self._load(edit_bytes(choose.choice(self.samples), choose))

    def model_header(self, choose):
        header, data, _, _ = choose.choice(self.parts)
        header = json.loads(header)
        edit_tree(header, choose)
        header = json.dumps(header).encode()
        if choose.randrange(4) == 0:
            header = edit_bytes(header, choose)
        n_header = choose.choice([len(header)] * 9 + [2**63, 2**40, 0, 2**20])
        return self._load(struct.pack("<Q", n_header) + header + data)

    def _tree(self, part, choose):
        _, _, text, arrays = part
        content = json.loads(text)
        edit_tree(content, choose)
        text = json.dumps(content)
        if choose.randrange(8) == 0:
            text = edit_bytes(text.encode(), choose).decode(errors="replace")
        return self._load(self.file.to_bytes(text, arrays))

    def model_tree(self, choose):
        return self._tree(self.parts[0], choose)

    def network_tree(self, choose):
        return self._tree(self.parts[1], choose)

    def stored_result(self, choose):
        self.result_path.write_bytes(edit_bytes(self.result, choose))
        return self.results.get("key") is not None

    def _take_state(self, content, genuine):
        """Read a state as a fit does; ``genuine`` gives it the digest of a whole file."""
        if genuine:
            write_checked(self.state_path, content)
        else:
            self.state_path.write_bytes(content)
        net, random_state = copy.deepcopy(self.trained.net_), torch.get_rng_state()
        point = dict(net.callbacks_)["checkpoint"]
        try:
            point.restore(net)
            if point.state is None:
                return False
            # What could be restored must not fail in the middle of the fit.
            point.on_train_begin(net)
        finally:
            torch.set_rng_state(random_state)
        return True

    def training_state(self, choose):
        if choose.randrange(4) == 0:
            return self._take_state(edit_bytes(self.state, choose), genuine=False)
        return self._take_state(edit_bytes(self.state_content, choose), genuine=True)

    def training_entries(self, choose):
        state = torch.load(io.BytesIO(self.state_content), weights_only=True)
        if choose.randrange(2) == 0:
            history = json.loads(state["history"])
            edit_tree(history, choose)
            state["history"] = json.dumps(history)
        else:
            edit_tree(state, choose, copy.deepcopy)
        content = io.BytesIO()
        try:
            torch.save(state, content)
        except Exception:  # a tree that torch cannot write is no input
            return False
        return self._take_state(content.getvalue(), genuine=True)

    def _table(self, sample, suffix, choose, read):
        path = self.path.with_suffix(suffix)
        path.write_bytes(edit_bytes(sample, choose))
        with contextlib.suppress(ValueError):
            read(path)
            return True
        return False

    def bold_table(self, choose):
        sample = b"time_s,left,right\n0,1.5,2\n2,1,-1\n4,0.5,1e-3\n"
        sample = choose.choice([sample, sample.replace(b",", b"\t"), b"a\n1\n2\n"])
        return self._table(
            sample, ".csv", choose, lambda p: self.job_data.read_bold(self._arguments(p))
        )

    def _arguments(self, bold):
        return self.main.parse(["--eeg", "-", "--bold", str(bold)])

    def labels_table(self, choose):
        sample = b"index\tname\n1\tleft\n2\tright\n3\tthird\n"
        suffix = choose.choice([".tsv", ".csv"])
        sample = sample.replace(b"\t", b",") if suffix == ".csv" else sample
        are_labels = choose.randrange(2) == 0
        values = np.array([1, 2, 3])
        return self._table(
            sample, suffix, choose, lambda p: self.atlas._name_values(p, values, are_labels)
        )

    def confounds_table(self, choose):
        sample = b"trans_x trans_y csf\nn/a 1 2\n0.5 1 2\n1e-3 -1 2\n"
        suffix = choose.choice([".tsv", ".csv", ".txt"])
        sample = sample.replace(b" ", b",") if suffix == ".csv" else sample
        return self._table(
            sample, suffix, choose, lambda p: self.confounds.read_confounds(p, None, True, 3, True)
        )

    def motion_table(self, choose):
        sample = b"".join(b" 0.1 -2e-3 3 4.5 0 1e1\n" for _ in range(3))
        return self._table(sample, ".txt", choose, self.cwl._read_motion)

    def triggers(self, choose):
        onsets = [choose.randrange(12000) / 1000 - 1 for _ in range(choose.randrange(6))]
        names = [choose.choice(["mri", "MRI", "bad", "", "R  1", "\ud800"]) for _ in onsets]
        with contextlib.suppress(ValueError):
            self.raw.set_annotations(self.annotations(onsets, 0.0, names), verbose="error")
            self.alignment.find_onsets(
                self.raw,
                choose.randrange(6),
                None,
                choose.choice(["mri", "E1", "", ("mri", 1), "R  1"]),
                choose.choice([None, "start", "end"]),
                choose.choice([None, 2.0, 1e-9]),
                0,
            )
            return True
        return False

    def command_line(self, choose):
        words = [choose.choice(WORDS) for _ in range(choose.randrange(6))]
        silent = io.StringIO()
        with contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent):
            try:
                self.main.parse(words)
            except SystemExit:
                return False
        return True

    def broken_file(self, choose):
        """Give the command a file with edits: it ends with a report, or with one sentence."""
        name = choose.choice(sorted(self.files))
        whole = self.files[name]
        # Most of a file are numbers, any of which are valid: half of the edits are near its start.
        head = len(whole) if choose.randrange(2) else min(len(whole), 600)
        folder = self.folder / "broken"
        shutil.copytree(self.folder / "whole", folder, dirs_exist_ok=True)
        (folder / name).write_bytes(edit_bytes(whole[:head], choose) + whole[head:])
        eeg, bold, more = USES[name]
        words = [
            str(folder / word) if word in self.files else word
            for word in ("--eeg", eeg, "--bold", bold, *more)
        ]
        # So many folds end the job once all files are read, before a model is fitted.
        words += ["--t-r", "2", "--folds", "500", "--output", str(folder / "r.html")]
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = self.command(words)
        lines = err.getvalue().splitlines()
        if status != 2 or len(lines) != 1 or not lines[0].startswith("error: "):
            raise AssertionError(f"{name}: {lines}")
        return "too few for 500 blocks" in lines[0]


def write_recording(folder):
    """Write one recording in every format, and return the content of the files by name."""
    import mne
    import nibabel as nib
    import pandas as pd
    from scipy.io import savemat

    folder.mkdir()
    rng = np.random.default_rng(0)
    names, eeg = ["Fz", "Cz", "Oz"], 1e-5 * rng.standard_normal((3, 6000))
    raw = mne.io.RawArray(eeg, mne.create_info(names, 100.0, "eeg"), verbose="error")
    raw.save(folder / "e_raw.fif", verbose="error")
    (folder / "e.eeg").write_bytes((1e6 * eeg.T).astype("<f4").tobytes())
    (folder / "e.vhdr").write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\nDataFile=e.eeg\n"
        "MarkerFile=e.vmrk\nDataFormat=BINARY\nDataOrientation=MULTIPLEXED\nNumberOfChannels=3\n"
        "SamplingInterval=10000\n[Binary Infos]\nBinaryFormat=IEEE_FLOAT_32\n[Channel Infos]\n"
        + "".join(f"Ch{i}={name},,1,µV\n" for i, name in enumerate(names, start=1)),
        encoding="utf-8",
    )
    (folder / "e.vmrk").write_text(
        "Brain Vision Data Exchange Marker File, Version 1.0\n[Common Infos]\nDataFile=e.eeg\n"
        "[Marker Infos]\nMk1=New Segment,,1,1,0,20200101100000000000\nMk2=Response,R128,1,1,0\n"
    )
    for kind, width in (("EDF", 2), ("BDF", 3)):
        (folder / f"e.{kind.lower()}").write_bytes(edf_bytes(1e6 * eeg, names, kind, width))
    channels = np.zeros(3, [("labels", "O")])
    channels["labels"] = names
    empty = {
        name: [] for name in ("icawinv", "icasphere", "icaweights", "icaact", "event", "epoch")
    }
    facts = {"setname": "e", "nbchan": 3.0, "trials": 1.0, "pnts": 6000.0, "srate": 100.0}
    facts |= {"xmin": 0.0, "xmax": 59.99, "data": (1e6 * eeg).astype("f4"), "chanlocs": channels}
    savemat(folder / "e.set", {"EEG": {**facts, **empty, "etc": []}}, appendmat=False)
    bold = pd.DataFrame(100 + rng.standard_normal((30, 2)), columns=["Left", "Right"])
    bold.to_csv(folder / "b.csv", index=False)
    bold.to_csv(folder / "b.tsv", sep="\t")
    bold.to_csv(folder / "b.txt.gz", sep=";", decimal=",", index=False)
    np.save(folder / "b.npy", bold)
    labels = np.ones((4, 4, 4), "int16")
    labels[2:] = 2
    data = 100 + rng.standard_normal((4, 4, 4, 30)).astype("f4")
    nib.save(nib.Nifti1Image(labels, np.eye(4)), folder / "atlas.nii")
    for name in ("b.nii", "b.nii.gz"):
        nib.save(nib.Nifti1Image(data, np.eye(4)), folder / name)
    nib.save(nib.Nifti1Pair(data, np.eye(4)), folder / "pair.img")
    (folder / "labels.csv").write_text("index,name\n1,left\n2,right\n")
    np.savetxt(folder / "rp.txt", rng.standard_normal((30, 6)))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def edf_bytes(eeg, names, kind, width):
    """Write EDF or BDF with records of 1 s; eeg in µV at 100 Hz."""

    def fields(*values, size=8):
        return b"".join(str(value).encode()[:size].ljust(size) for value in values)

    n, most = len(names), 2 ** (8 * width - 1) - 1
    head = fields(0) if kind == "EDF" else b"\xffBIOSEMI"
    head += b" " * 160 + b"01.01.2010.00.00" + fields(256 * (n + 1)) + b" " * 44
    head += fields(eeg.shape[1] // 100, 1) + fields(n, size=4) + fields(*names, size=16)
    head += b" " * 80 * n + fields(*["uV"] * n) + fields(*[-3276] * n) + fields(*[3276] * n)
    head += fields(*[-most] * n) + fields(*[most] * n) + b" " * 80 * n + fields(*[100] * n)
    digits = np.rint(eeg * most / 3276).astype("<i4").reshape(n, -1, 100).swapaxes(0, 1)
    digits = digits.reshape(-1, 1).view("u1")[:, :width]
    return head + b" " * 32 * n + digits.tobytes()


_IMAGE = ("--atlas", "atlas.nii", "--labels", "labels.csv", "--confounds", "rp.txt")
# EEG, BOLD and further options of the command that read a file.
USES = {
    "e_raw.fif": ("e_raw.fif", "b.csv", ()),
    **{f"e.{kind}": (f"e.{kind}", "b.csv", ()) for kind in ("vhdr", "edf", "bdf", "set")},
    **dict.fromkeys(("e.eeg", "e.vmrk"), ("e.vhdr", "b.csv", ())),
    **{f"b.{kind}": ("e_raw.fif", f"b.{kind}", ()) for kind in ("csv", "tsv", "txt.gz", "npy")},
    **{f"b.{kind}": ("e_raw.fif", f"b.{kind}", _IMAGE) for kind in ("nii", "nii.gz")},
    **{f"pair.{kind}": ("e_raw.fif", f"pair.{kind}", _IMAGE) for kind in ("img", "hdr")},
    **dict.fromkeys(("atlas.nii", "labels.csv", "rp.txt"), ("e_raw.fif", "b.nii", _IMAGE)),
}


class Run:
    """Count inputs, and note what is raised undocumented or hangs.

    Parameters
    ----------
    readers : Readers
        Targets.
    n_inputs : int
        Inputs in all.
    """

    def __init__(self, readers, n_inputs, only=None):
        self.readers, self.n_inputs = readers, n_inputs
        self.targets = [name for name, share in readers.SHARES for _ in range(share)]
        self.targets = [only] if only else self.targets
        self.read, self.accepted, self.slowest = Counter(), Counter(), Counter()
        self.found = Counter()
        self.start = time.monotonic()
        signal.signal(signal.SIGALRM, self._hangs)

    def _hangs(self, number, frame):
        raise TimeoutError(f"an input takes longer than {SECONDS} s")

    def one(self, choose):
        name = choose.choice(self.targets)
        start = time.process_time()
        signal.alarm(SECONDS)
        try:
            self.accepted[name] += bool(getattr(self.readers, name)(choose))
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)
            own = [f for f in frames if "sklearn_beira" in Path(f.filename).parts]
            line = f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else "benchmark"
            self.found[f"{name}: {type(error).__name__} in {line} ({str(error)[:100]!r})"] += 1
        finally:
            signal.alarm(0)
        self.slowest[name] = max(self.slowest[name], time.process_time() - start)
        self.read[name] += 1
        done = self.read.total()
        if done % 50_000 == 0 or done == self.n_inputs:
            self.report()

    def report(self):
        minutes = (time.monotonic() - self.start) / 60
        found = self.found.total()
        print(f"\n{self.read.total():,} inputs in {minutes:.1f} min, {found} undocumented")
        for what, n in self.found.most_common():
            print(f"    {n} x {what}")
        print(f"{'target':16}{'inputs':>10}{'accepted':>10}{'slowest, s of CPU':>20}")
        for name, _ in self.readers.SHARES:
            counts = f"{self.read[name]:10,}{self.accepted[name]:10,}"
            print(f"{name:16}{counts}{self.slowest[name]:20.3f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    engine = "atheris" if find_spec("atheris") else "own"
    parser.add_argument("--engine", choices=["atheris", "own"], default=engine)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=[name for name, _ in Readers.SHARES])
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    # A header may announce any size: what does not fit raises MemoryError.
    resource.setrlimit(resource.RLIMIT_AS, (16 * 2**30, resource.RLIM_INFINITY))
    memory = Path("/dev/shm")  # a file on disk takes longer to make than to read
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        if args.engine == "own":
            run = Run(Readers(Path(folder)), args.inputs, args.only)
            choose = random.Random(args.seed)
            for _ in range(args.inputs):
                run.one(choose)
            return
        import atheris

        with atheris.instrument_imports(include=["sklearn_beira"]):
            readers = Readers(Path(folder))
        run = Run(readers, args.inputs, args.only)
        options = [
            f"-atheris_runs={args.inputs}",
            f"-seed={args.seed}",
            "-max_len=200",
            "-len_control=0",
        ]
        options += ["-rss_limit_mb=6000", f"-timeout={2 * SECONDS}", "-print_final_stats=1"]
        atheris.Setup([sys.argv[0], *options], lambda data: run.one(Bytes(data)))
        atheris.Fuzz()


if __name__ == "__main__":
    main()
