"""The main job as a Python script: what the report shows to go on from."""

import json
from pathlib import Path

# What align keeps, in the words of the script.
TMIN = "tmin=-max(duration + delay, history)"


def literal(value):
    """Write a text, a number or a list of texts as Python code."""
    if isinstance(value, str | list):
        return json.dumps(value, ensure_ascii=False)
    return repr(value)


def arguments(options):
    """Write arguments of a function, by name, as Python code."""
    return [f"{name}={literal(value)}" for name, value in options.items()]


def call(name, given):
    """Write the call of a function, with an argument a line."""
    return "\n".join([f"{name}(", *(f"    {one}," for one in given), ")"])


def script(args, data, eeg_filter, window, history):
    """Write a script that makes the table and the report of the job.

    Parameters
    ----------
    args : argparse.Namespace
        Parsed arguments.
    data : Bunch
        The data, with the code that makes them.
    eeg_filter : EEGFilter
        Its filter.
    window : tuple of float
        Duration and delay of BEIRA's windows, in s.
    history : float
        What rivals read of the EEG before a volume, in s.

    Returns
    -------
    code : str
        The script.
    """
    regressor = "make_paper_beira" if args.paper else "BEIRARegressor"
    imports = [
        "from sklearn.pipeline import Pipeline",
        f"from sklearn_beira import {regressor}, EEGFilter, Windower, align, baselines, compare",
        "from sklearn_beira.inspection import read_branches",
        "from sklearn_beira.evaluation import BlockedKFold",
        "from sklearn_beira.viz import make_report",
        *data.imports,
    ]
    imports, code = "\n".join(sorted(imports, key=_as_sorted)), "\n".join(data.code)
    rates = f"{eeg_filter.l_freq}, {eeg_filter.h_freq}, sfreq={eeg_filter.sfreq}"
    ceiling = ["ceiling=study.truth.noise_ceiling"] * (data.ceiling is not None)
    reported = ["comparison", "X", "y", "predictions=predictions", "model=model"]
    reported += ["branches=read_branches(model, X)", *ceiling]
    reported += ["extractor=extractor"] * (data.extractor is not None)
    duration, delay = window
    output = Path(args.output)
    output = output.with_name(f"{output.stem}_again{output.suffix}")
    return f"""\
{imports}

# In s: BEIRA reads a window that ends some time before the volume, its rivals what is before it.
duration, delay = {duration}, {delay}
history = {history}

{code}

eeg_filter = ("filter", EEGFilter({rates}))
window = Windower(duration, delay)
regressor = {regressor}(random_state={args.seed})
rivals = {{
    "ridge": baselines.make_band_power_ridge(history),
    "fingerprint": baselines.make_eeg_fingerprint(history),
    "alpha": baselines.make_alpha_hrf(history),
    "time": baselines.make_time_polynomial(),
}}
models = {{"BEIRA": Pipeline([eeg_filter, ("window", window), ("beira", regressor)])}}
for name, rival in rivals.items():
    models[name] = Pipeline([eeg_filter, *rival.steps])

cv = BlockedKFold({args.folds})
comparison = compare(models, X, y, cv=cv, random_state={args.seed})
print(comparison.summary({"".join(ceiling)}).to_string())

model = models["BEIRA"].fit(X, y)
predictions = {{name: comparison.predictions[name] for name in ("BEIRA", "ridge")}}
report = {call("make_report", reported)}
report.save({literal(str(output))}, overwrite=True, open_browser=False)
"""


def _as_sorted(line):
    """Imports of modules before imports from modules, as isort has it."""
    return line.startswith("from"), line.split()[1]
