"""The main job as a Python script: what the report shows to go on from."""

import json


def literal(value):
    """Write a text, a number or a list of texts as Python code."""
    if isinstance(value, str | list):
        return json.dumps(value, ensure_ascii=False)
    return repr(value)


def arguments(options):
    """Write arguments of a function, by name, as Python code."""
    return ", ".join(f"{name}={literal(value)}" for name, value in options.items())


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
        "from sklearn_beira.comparison import format_comparison",
        "from sklearn_beira.inspection import read_branches",
        "from sklearn_beira.model_selection import BlockedKFold",
        "from sklearn_beira.report import make_report",
    ]
    rates = f"{eeg_filter.l_freq}, {eeg_filter.h_freq}, sfreq={eeg_filter.sfreq}"
    ceiling = [f"ceiling={data.ceiling_code}"] if data.ceiling_code else []
    reported = ["table, X, y, predictions", "model=model", "branches=read_branches(model, X)"]
    reported += ceiling + ["extractor=extractor"] * (data.extractor is not None)
    return f"""\
{_lines(sorted({*imports, *data.imports}, key=_as_sorted))}

{_lines(data.code)}

eeg_filter = ("filter", EEGFilter({rates}))
window, regressor = Windower{window}, {regressor}(random_state={args.seed})
rivals = {{
    "ridge": baselines.make_band_power_ridge({history}),
    "finger-print": baselines.make_eeg_fingerprint({history}),
    "alpha": baselines.make_alpha_hrf({history}),
    "time": baselines.make_time_polynomial(),
}}
models = {{"BEIRA": Pipeline([eeg_filter, ("window", window), ("beira", regressor)])}}
for name, rival in rivals.items():
    models[name] = Pipeline([eeg_filter, *rival.steps])

cv = BlockedKFold({args.folds}, gap={sum(window)})
table, predictions = compare(models, X, y, cv=cv, random_state={args.seed}, return_predictions=True)
print(format_comparison({", ".join(["table", *ceiling])}).to_string())

model = models["BEIRA"].fit(X, y)
report = make_report(
    {_lines([f"{given}," for given in reported], "    ")}
)
report.save({literal(args.output)}, overwrite=True)
"""


def _lines(lines, indent=""):
    return f"\n{indent}".join(lines)


def _as_sorted(line):
    """Imports of modules before imports from modules, as isort has it."""
    return line.startswith("from"), line.split()[1]
