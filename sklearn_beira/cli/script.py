"""The job as a Python script, which the report shows as a starting point."""

import json
from pathlib import Path

# The window that align keeps, in the words of the script.
TMIN = "tmin=-max(duration + delay, history)"


def literal(value) -> str:
    """Write a text, a number or a list of texts as Python code."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return f"[{', '.join(map(literal, value))}]" if isinstance(value, list) else repr(value)


def arguments(options) -> list[str]:
    """Write keyword arguments as Python code."""
    return [f"{name}={literal(value)}" for name, value in options.items()]


def call(name, given) -> str:
    """Write the call of a function, one argument per line."""
    return "\n".join([f"{name}(", *(f"    {one}," for one in given), ")"])


def script(args, data, eeg_filter, window, history) -> str:
    """Write a script that computes the table and the report of the job.

    Parameters
    ----------
    args : argparse.Namespace
        Parsed options.
    data : Bunch
        The data, with the code that loads them.
    eeg_filter : EEGFilter
        The filter of all models.
    window : tuple of float
        Duration and delay of BEIRA's windows in s.
    history : float
        EEG before a volume that the baselines use, in s.

    Returns
    -------
    code : str
        The script.
    """
    regressor = "make_paper_beira" if args.paper else "BEIRARegressor"
    imports = [
        "from sklearn.pipeline import Pipeline",
        f"from sklearn_beira import {regressor}, EEGFilter, Windower, align, baselines, compare",
        "from sklearn_beira.evaluation import BlockedKFold",
        "from sklearn_beira.inspection import read_branches",
        "from sklearn_beira.viz import make_report",
        *data.imports,
    ]
    # Imports of modules before imports from modules, as isort sorts them.
    imports.sort(key=lambda line: (line.startswith("from"), line.split()[1]))
    rates = f"{eeg_filter.l_freq}, {eeg_filter.h_freq}, sfreq={eeg_filter.sfreq}"
    ceiling = ["ceiling=study.truth.noise_ceiling"] * (data.ceiling is not None)
    reported = ["comparison", "X", "model=model", "branches=branches"]
    reported += ['drawn=["BEIRA", "ridge"]', *ceiling]
    reported += ["extractor=extractor"] * (data.extractor is not None)
    output = Path(args.output)
    output = output.with_name(f"{output.stem}_again{output.suffix}")
    imports, load = "\n".join(imports), "\n".join(data.code)
    return f"""\
{imports}

# In s: the window of BEIRA, its delay, and the EEG before a volume that the baselines use.
duration, delay = {window[0]}, {window[1]}
history = {history}

{load}

eeg_filter = ("filter", EEGFilter({rates}))
regressor = {regressor}(random_state={args.seed})
tails = {{
    "BEIRA": [("window", Windower(duration, delay)), ("beira", regressor)],
    "ridge": baselines.make_band_power_ridge(history).steps,
    "fingerprint": baselines.make_eeg_fingerprint(history).steps,
    "alpha": baselines.make_alpha_hrf(history).steps,
    "time": baselines.make_time_polynomial().steps,
}}
models = {{name: Pipeline([eeg_filter, *tail]) for name, tail in tails.items()}}

cv = BlockedKFold({args.folds}, gap=duration + delay)
comparison = compare(models, X, y, cv=cv, return_estimator=True, random_state={args.seed})
print(comparison.summary({", ".join(ceiling)}).to_string())

model = models["BEIRA"].fit(X, y)
branches = read_branches(model, X, y, cv=cv, estimators=comparison.estimators["BEIRA"])
report = {call("make_report", reported)}
report.save({literal(str(output))}, overwrite=True, open_browser=False)
"""
