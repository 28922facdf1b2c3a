"""How well do models predict BOLD? All rivals and BEIRA in the worlds of ``worlds.py``.

Every model gets the same EEG behind the same filter (1 to 45 Hz, 100 Hz) and is judged by r within
five test blocks, over acquired volumes, out of fold, with a gap as long as the history of the
windows, so that training and test share no EEG. The figure of a study is the mean r over the
regions that have a ceiling. What a model selects it selects inside the training folds.

Seeds 0 to 99 are for development, seeds from 1000 on for the final table: nothing may be chosen by
what the final ones gave. A seed determines the study, and the ``random_state`` of the models.
"semireal" is a single data set, of which seeds vary the models alone.

Each result is a file in FOLDER, written as soon as it is there; what is there already is not
computed again, unless the parameters of the model have changed since. After a change of code, say
which to throw away: ``--forget beira``. At the end, or at once with ``--table``, the tables are
printed, from all results in FOLDER that the options name.

"s" is processor time of all fits and predictions of a study, in s. Models of a study share the
filtered EEG and the features they have in common: who comes first in the list pays for them.

The published recipe takes hours a fit on a CPU: it is run where --models names it, for --passes,
on --device.
Regions do not depend on each other there, so that --regions 1 costs an eighth, and --blocks 1 has
but the last of five blocks predicted; such results, rivals and all, belong in a folder of their
own.

Run: python benchmarks/accuracy.py DATA --out FOLDER [--seeds 20] [--first-seed 1000] [--n-jobs 2]
         [--models a,b] [--worlds simulated,adverse,semireal] [--minutes 5 20]
         [--ceilings .65] [--regions 8] [--blocks 5] [--passes 1500] [--device cuda] [--table]
"""

import argparse
import json
import os
import time
import traceback
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import torch
import worlds
from published_recipe import PublishedRecipe
from scipy import stats
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from sklearn_beira import BEIRARegressor, EEGFilter, Windower, compare
from sklearn_beira.baselines import makers as baselines
from sklearn_beira.evaluation.splitters import BlockedKFold

# Noise levels of the simulated worlds; of long runs, which cost most, the middle one.
CEILINGS, LONG, CEILINGS_LONG = (0.5, 0.65, 0.8), 15.0, (0.65,)
# History that models read, in s; worlds hold as much at least.
WINDOW = 16.0
SEMIREAL_SEEDS = 5
CELL = ["world", "minutes", "ceiling"]
OURS, BAR = "beira", "ridge"


def beira():
    return [("window", Windower(WINDOW, 0.0)), ("beira", BEIRARegressor(verbose=False))]


# Steps of a model behind the filter.
MODELS = {
    "mean": lambda: baselines.make_mean().steps,
    "time": lambda: baselines.make_time_polynomial().steps,
    "alpha": lambda: baselines.make_alpha_hrf(WINDOW).steps,
    "ridge": lambda: baselines.make_band_power_ridge(WINDOW).steps,
    "EFP": lambda: baselines.make_eeg_fingerprint(WINDOW).steps,
    "PLS": lambda: baselines.make_pls(WINDOW).steps,
    "banded ridge": lambda: baselines.make_banded_ridge(WINDOW).steps,
    "SPoC": lambda: baselines.make_spoc_ridge(WINDOW).steps,
    "tangent": lambda: baselines.make_tangent_space_ridge(WINDOW).steps,
    "EEGNet": lambda: baselines.make_eegnet(WINDOW).steps,
    "BrainWaveLinker": lambda: baselines.make_brainwavelinker(WINDOW).steps,
    "beira": beira,
}
# Slow ones, only where --models names them.
ON_REQUEST = {
    "group lasso": lambda: baselines.make_sparse_group_lasso(WINDOW).steps,
    "published recipe": lambda: [("recipe", PublishedRecipe())],
}


def main(options):
    studies = plan(options)
    models = choose(options)
    if options.forget:
        forget(options, studies)
    if not options.table:
        options.out.mkdir(parents=True, exist_ok=True)
        todo = [study for study in studies if missing(study, models, options)]
        work = joblib.Parallel(n_jobs=options.n_jobs, return_as="generator_unordered")
        failed = sum(work(joblib.delayed(run_study)(s, models, options) for s in todo))
        if failed:
            print(f"{failed} model(s) failed, see above; run again to try once more.")
    print_tables(load(options, studies, models))


# -- running ------------------------------------------------------------------------------------
def plan(options):
    """World, minutes and seed of every study, seeds slowest: every cell fills at the same rate."""
    studies = []
    for k in range(options.seeds):
        for world in options.worlds:
            if world != "semireal":
                studies += [(world, m, options.first_seed + k) for m in options.minutes]
            elif k < SEMIREAL_SEEDS:
                studies.append((world, None, options.first_seed + k))
    return studies


def choose(options):
    every = {**MODELS, **ON_REQUEST}
    unknown = set(options.models) - set(every)
    if unknown:
        raise SystemExit(f"no model {', '.join(sorted(unknown))}; there are {', '.join(every)}.")
    chosen = {name: every[name] for name in options.models}
    return {name: (make, settings_of(build(make, options))) for name, make in chosen.items()}


def build(make, options, seed=None):
    """Model of one study; with a seed, in all that is random."""
    model = Pipeline([("filter", EEGFilter(1, 45, sfreq=100)), *make()])
    given = {"n_passes": options.passes}
    if options.device is not None:
        given["device"] = options.device
    if seed is not None:
        given["random_state"] = seed
    last = {name: name.split("__")[-1] for name in model.get_params()}
    return model.set_params(**{name: given[end] for name, end in last.items() if end in given})


def settings_of(model):
    """Name of all parameters of a model, the same in every process."""
    return joblib.hash(model)


def ceilings_of(world, minutes, options):
    simulated = CEILINGS_LONG if minutes and minutes > LONG else CEILINGS
    simulated = options.ceilings or simulated
    return {"simulated": simulated, "adverse": (0.65,), "semireal": (None,)}[world]


def path_of(folder, world, minutes, ceiling, seed, model):
    parts = [world, f"{minutes:g}min" if minutes else "", f"c{ceiling}" if ceiling else ""]
    name = "-".join([*filter(None, parts), f"seed{seed}", model.replace(" ", "_")])
    return folder / f"{name}.json"


def missing(study, models, options):
    """(ceiling, model name) of what is not in the folder, or of another model than today's."""
    world, minutes, seed = study
    todo = []
    for ceiling in ceilings_of(world, minutes, options):
        for name, (_, settings) in models.items():
            found = read(path_of(options.out, world, minutes, ceiling, seed, name))
            if found is None or found["settings"] != settings:
                todo.append((ceiling, name))
    return todo


def forget(options, studies):
    for world, minutes, seed in studies:
        for ceiling in ceilings_of(world, minutes, options):
            for name in options.forget:
                path = path_of(options.out, world, minutes, ceiling, seed, name)
                path.unlink(missing_ok=True)


def run_study(study, models, options):
    """Run what is missing of a study; return how many models failed.

    All ceilings of a seed have the same EEG, and whatever was computed from it is remembered.
    """
    world, minutes, seed = study
    todo, failed = missing(study, models, options), 0
    with threadpool_limits(1):
        torch.set_num_threads(1)
        for ceiling in dict.fromkeys(c for c, _ in todo):
            X, y, oracle = make_world(world, seed, minutes, ceiling, options)
            same = joblib.hash((X.tokens, X.times, y.to_numpy()))
            for name in (name for c, name in todo if c == ceiling):
                make, settings = models[name]
                path = path_of(options.out, world, minutes, ceiling, seed, name)
                try:
                    model = build(make, options, seed)
                    facts = evaluate(model, X, y, options.blocks, world == "semireal")
                except Exception:
                    # One model's mishap should not cost a night's run of the others.
                    traceback.print_exc()
                    failed += 1
                    continue
                cell = {"world": world, "minutes": minutes, "ceiling": ceiling}
                oracles = {k: r for k, r in zip(y, oracle, strict=True) if np.isfinite(r)}
                key = {**cell, "seed": seed, "model": name, "settings": settings, "study": same}
                write(path, {**key, **facts, "oracle": oracles})
                scored = np.mean([facts["r"][region] for region in oracles])
                print(f"{path.stem}: r {scored:.3f}, {facts['processor_s']:.1f} s", flush=True)
    return failed


def make_world(world, seed, minutes, ceiling, options):
    if world == "simulated":
        X, y, oracle = worlds.simulated(seed, minutes, ceiling)
    elif world == "adverse":
        X, y, oracle = worlds.adverse(seed, minutes, options.data, ceiling)
    else:
        X, y, oracle = worlds.semireal(options.data)
    return X, y.iloc[:, : options.regions], oracle[: options.regions]


def evaluate(model, X, y, n_last, significance):
    """Predict the last blocks: r of every region, p corrected over regions, and what it cost."""
    folds = list(BlockedKFold(worlds.N_BLOCKS).split(X, y))[-n_last:]
    wall, processor = time.perf_counter(), time.process_time()
    # Without a null, compare is the cross-validation and nothing else.
    table = compare(
        model, X, y, cv=folds, null="auto" if significance else None, verbose=False,
    ).table  # fmt: skip
    table = table[table["scope"] == "pooled"].set_index("region")
    facts = {
        "r": table["r"].to_dict(),
        "processor_s": time.process_time() - processor,
        "wall_s": time.perf_counter() - wall,
    }
    return {**facts, "p_max": table["p_max"].to_dict()} if significance else facts


def read(path):
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None


def write(path, result):
    """Write under a temporary name first: a killed run leaves no half of a result."""
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(json.dumps(result) + "\n")
    temporary.replace(path)


# -- tables -------------------------------------------------------------------------------------
def load(options, studies, models):
    """Results of studies and models, one row each; those of outdated settings are left out."""
    rows, outdated = [], 0
    for world, minutes, seed in studies:
        for ceiling in ceilings_of(world, minutes, options):
            for name, (_, settings) in models.items():
                row = read(path_of(options.out, world, minutes, ceiling, seed, name))
                if row is None:
                    continue
                outdated += row["settings"] != settings
                if row["settings"] == settings:
                    rows.append(row)
    if outdated:
        print(f"{outdated} result(s) of models with other parameters than today's are left out.")
    if not rows:
        raise SystemExit(f"no result in {options.out} of these worlds, seeds and models.")
    table = pd.DataFrame(rows)
    # pandas leaves NaN out of its groups.
    table[["minutes", "ceiling"]] = table[["minutes", "ceiling"]].astype(float).fillna(0.0)
    mixed = table.groupby([*CELL, "seed"])["study"].nunique() > 1
    if mixed.any():
        raise SystemExit(
            f"models were run on different versions of the world {mixed.idxmax()}; --forget those "
            f"of before, or use a new folder."
        )
    scored = zip(table["r"], table["oracle"], strict=True)
    table["mean_r"] = [np.mean([r[region] for region in oracle]) for r, oracle in scored]
    table["best_r"] = [np.mean(list(oracle.values())) for oracle in table["oracle"]]
    return table


def print_tables(table):
    for world, rows in table.groupby("world", sort=False):
        print(f"\n### {world}\n")
        print_world(rows)
        if world == "adverse":
            print_regions(rows)
        if world == "semireal":
            print_semireal(rows)
    print_targets(table)


def print_world(rows):
    """Mean r, standard error over seeds and share of the ceiling; columns are cells."""
    cells = list(rows.groupby(CELL[1:]))
    columns = {label(key): cell for key, cell in cells}
    lengths = {minutes: part for minutes, part in rows.groupby("minutes")}
    head = ["model", *columns, *(f"s, {m:g} min" if m else "s" for m in lengths)]
    best = [cell.groupby("seed")["best_r"].first() for cell in columns.values()]
    body = [
        ["ceiling", *(f"{b.mean():.3f} (seeds: {len(b)})" for b in best), *("" for _ in lengths)]
    ]
    for model in rows["model"].unique():
        line = [model]
        for cell in columns.values():
            one = cell[cell["model"] == model]
            line.append(describe(one["mean_r"], one["best_r"]))
        of_model = (part.loc[part["model"] == model] for part in lengths.values())
        line.extend(f"{part['processor_s'].mean():.1f}" for part in of_model)
        body.append(line)
    differences = [difference(by_seed(cell), cell["world"].iloc[0]) for cell in columns.values()]
    body.append([f"{OURS} − best rival", *differences, *("" for _ in lengths)])
    print_markdown(head, body)


def label(key):
    minutes, ceiling = key
    parts = [f"{minutes:g} min" if minutes else "", f"noise ceiling {ceiling:g}" if ceiling else ""]
    return ", ".join(filter(None, parts)) or "planted regions"


def describe(r, best):
    if not len(r):
        return ""
    error = f" ± {r.sem():.3f}" if len(r) > 1 else ""
    return f"{r.mean():.3f}{error}, {r.mean() / best.mean():.0%}"


def by_seed(rows):
    """Mean r, a row per seed and a column per model; over ceilings, where rows have several."""
    return rows.pivot_table(index="seed", columns="model", values="mean_r", aggfunc="mean")


def best_rival(r):
    """The rival with the highest mean, of those that were run on every seed that BEIRA was."""
    if OURS not in r:
        return None
    r = r[r[OURS].notna()]
    means = r.loc[:, r.notna().all()].mean().drop(OURS)
    return means.idxmax() if len(means) else None


def difference(r, world, rival=None):
    """BEIRA minus a rival (the best), with a paired 95 % interval where seeds are studies."""
    rival = rival or best_rival(r)
    if rival is None or OURS not in r or rival not in r:
        return ""
    paired = (r[OURS] - r[rival]).dropna()
    text = f"{paired.mean():+.3f}"
    if len(paired) > 1 and world != "semireal":
        half = stats.t.ppf(0.975, len(paired) - 1) * paired.sem()
        text += f" [{paired.mean() - half:+.3f}, {paired.mean() + half:+.3f}]"
    return f"{text} ({rival})"


def print_regions(rows):
    """What the mean over the adverse world hides: regions of power and of phase."""
    print("\nMean r by kind of region\n")
    kinds = {"power": "power", "phase, cosine": "cosine", "phase, sine": "sine"}
    cells = list(rows.groupby(CELL[1:]))
    head = ["model", *(f"{label(key)}: {kind}" for key, _ in cells for kind in kinds)]
    body = []
    for model in rows["model"].unique():
        line = [model]
        for _, cell in cells:
            r = pd.DataFrame(list(cell.loc[cell["model"] == model, "r"]))
            for prefix in kinds.values():
                names = [name for name in r if name.startswith(prefix)]
                line.append(f"{r[names].mean(axis=1).mean():.3f}" if names else "")
        body.append(line)
    print_markdown(head, body)


def print_semireal(rows):
    print("\nRegion by region; seeds vary the models alone\n")
    head = ["model", "planted: mean r", "lowest r", "highest p_max", "null: highest r"]
    head.append("lowest p_max")
    body = []
    for model, found in rows.groupby("model", sort=False):
        planted = list(found["oracle"].iloc[0])
        r, p = pd.DataFrame(list(found["r"])), pd.DataFrame(list(found["p_max"]))
        nulls = [region for region in r if region not in planted]
        line = [r[planted].mean(axis=None), r[planted].min(axis=None), p[planted].max(axis=None)]
        line += [r[nulls].max(axis=None), p[nulls].min(axis=None)]
        body.append([model, *(f"{x:.3f}" for x in line)])
    print_markdown(head, body)


def print_targets(table):
    """Differences where seeds are averaged over noise ceilings, and the worst of all cells."""
    print(f"\n### {OURS} minus rivals, means over noise ceilings\n")
    body = []
    for (world, minutes), rows in table.groupby(["world", "minutes"], sort=False):
        r = by_seed(rows)
        name = f"{world}, {minutes:g} min" if minutes else world
        share = ""
        if OURS in r:
            ours = rows[rows["model"] == OURS]
            share = f"{ours['mean_r'].mean() / ours['best_r'].mean():.0%}"
        body.append([name, share, difference(r, world), difference(r, world, BAR)])
    print_markdown(["world", "share of ceiling", "minus best rival", f"minus {BAR}"], body)
    r = table.pivot_table(index=[*CELL, "seed"], columns="model", values="mean_r")
    if OURS in r and BAR in r:
        cells = (r[OURS] - r[BAR]).groupby(CELL).mean().dropna()
        world, *key = cells.idxmin()
        print(f"\nlowest {OURS} − {BAR} of all cells: {cells.min():+.3f} ({world}, {label(key)})")


def print_markdown(head, body):
    widths = [max(len(line[k]) for line in [head, *body]) for k in range(len(head))]
    for line in (head, ["-" * w for w in widths], *body):
        print("| " + " | ".join(f"{c:{w}s}" for c, w in zip(line, widths, strict=True)) + " |")


def listed(text):
    return [name.strip() for name in text.split(",")]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="the folder with real/ and semireal/")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--seeds", type=int, default=20, help="how many (20)")
    parser.add_argument("--first-seed", type=int, default=1000, help="0 to 99: development (1000)")
    parser.add_argument("--models", type=listed, default=list(MODELS), help="names, with commas")
    parser.add_argument("--worlds", type=listed, default=["simulated", "adverse", "semireal"])
    parser.add_argument("--minutes", type=float, nargs="+", default=[5.0, 20.0])
    parser.add_argument("--ceilings", type=float, nargs="+", help="of simulated worlds")
    parser.add_argument("--regions", type=int, help="the first of each study (all)")
    parser.add_argument(
        "--blocks", type=int, default=worlds.N_BLOCKS, help="as test, last first (all)"
    )
    parser.add_argument("--passes", type=int, default=1500, help="of the published recipe (1500)")
    parser.add_argument("--device", help="of all networks (CUDA where there is one; recipe: CPU)")
    parser.add_argument("--n-jobs", type=int, default=1, help="processes, a study each (1)")
    parser.add_argument("--forget", type=listed, default=[], help="models to run anew")
    parser.add_argument("--table", action="store_true", help="only print what is there")
    main(parser.parse_args())
