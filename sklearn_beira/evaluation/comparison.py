"""Comparison of models: one table with r, its confidence interval and its null distribution."""

import html
import json
import warnings
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.base import clone

from .._utils.files import atomic_write, existing_file, expanded, one_line, writable_folder
from .._utils.hashing import versions
from .._utils.numbers import fisher_z
from .._utils.regions import some
from .._utils.store import load_arrays
from .._utils.warn import noting, warn_user
from ..baselines.makers import make_nuisance_ridge
from ..eeg.filters import Windower
from ..eeg.windows import EEGWindows, are_epochs
from ..exceptions import StationarityWarning
from .beyond import NUISANCE, ORACLE, explain, out_of_fold, predict_from_past
from .cross_validation import (
    Runner,
    check_models,
    check_pretrained,
    may_select,
    predict_all,
    reads_eeg,
)
from .metrics import check_confidence_level, group_scores, t_of_mean
from .null import null_distributions, prepare
from .study import make_study

_COLUMNS = [
    "model", "region", "scope", "label", "r", "ci_low", "ci_high", "n", "n_eff", "p_parametric",
    "p", "p_max", "null_low", "null_high", "influence", "r_without_burst", "smoothness",
    "neighbor_r", "null_scatter", "r2", "mse", "n_train", "fit_time", "params",
]  # fmt: skip

# People with so few volumes say nothing about the mean of a group.
_LEAST = 3
_MOST_ROWS = 200  # of the table that is shown; voxels are thousands


@dataclass(repr=False)
class Comparison:
    """Result of :func:`compare` and :func:`delay_curve`.

    Parameters
    ----------
    table : DataFrame
        One row per model, region and scope.

        - ``model``, ``region``: their names. :func:`delay_curve` names models by their delay in s,
          and adds the column ``delay``.
        - ``scope``, ``label``: "pooled" (all folds), "fold" (``label`` is its number), "subject"
          (``label`` is its name) or "group" (all subjects).
        - ``r``, ``ci_low``, ``ci_high``: Pearson's r and its confidence interval, from ``n_eff``;
          in scope "group" over subjects.
        - ``n``, ``n_eff``: volumes (subjects in scope "group"), and effective volumes.
        - ``p_parametric``: one-sided p from ``n_eff``, or of the t test over subjects.
        - ``p``, ``p_max``: p of the null distribution, alone and corrected over regions (or regions
          and models); ``null_low``, ``null_high``: central interval of r under the null. Pooled
          rows only.
        - ``influence``: variance of r from the influence of single volumes, relative to Gaussian
          volumes. Above 1.5, a few high-amplitude volumes (for example motion) drive r.
        - ``r_without_burst``: r without the stretch of volumes that carries most of it
          (:func:`~sklearn_beira.plot_influence`). Pooled rows only, as the next three.
        - ``smoothness``: lag-one autocorrelation of measured BOLD.
        - ``neighbor_r``: the r that autocorrelated BOLD of neighboring training volumes alone
          could give, whatever the EEG; NaN if folds mix training and test volumes in time.
        - ``null_scatter``: for null "swap", ratio of the variance of r for unrelated BOLD to that
          for surrogates. Above 1, recordings are not equally smooth and p is too low.
        - ``r2``, ``mse``: as in scikit-learn.
        - ``n_train``: training volumes; in scope "subject" those of other subjects.
        - ``fit_time``: in s.
        - ``params``: what a search chose, as JSON.
    predictions : dict of str to DataFrame, shape (n_volumes, n_rois)
        Out-of-fold predictions by model; NaN where no fold tests.
    bold : DataFrame, shape (n_volumes, n_rois)
        Measured BOLD.
    blocks : ndarray of int, shape (n_volumes,)
        Test block (fold and recording) of each volume; -1 where no fold tests.
    times : ndarray of shape (n_volumes,)
        Onset of each volume in s; for a plain array the number of its row.
    recordings : ndarray of shape (n_volumes,)
        Recording of each volume.
    settings : dict
        ``question`` (what p answers), ``p_floor`` (the lowest p that so many draws can give),
        ``null``, ``n_surrogates``, ``refit``, ``keep_trend``, ``correct_over``,
        ``confidence_level``, ``cv``, ``random_state``, ``seeds`` (of every model, by parameter;
        "None" is not repeatable) and ``may_select`` (whether each model may select features using
        BOLD, which makes p of fixed predictions too low in 10 folds or more).
    versions : dict
        Versions of the packages that the numbers depend on.
    warnings : list of str
        Warnings on data, folds and null.
    beyond : Comparison or None
        If there are nuisance signals: the models that read EEG, fitted to BOLD minus what the
        signals predict of it in the training volumes, and scored on BOLD minus their out-of-fold
        prediction.
    estimators : dict of str to list of estimator
        With ``return_estimator``: by model, the fitted model of each fold; None if its
        result was in ``cache``. They are not written by :meth:`to_folder`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn_beira import BlockedKFold, compare
    >>> X = np.random.default_rng(0).standard_normal((100, 3))
    >>> cv = BlockedKFold(5, gap=0)
    >>> comparison = compare(Ridge(), X, X[:, :2], cv=cv, n_surrogates=99, verbose=False)
    >>> comparison.summary()["Ridge"].tolist()
    ['1.00*', '1.00*', '1.00 ']
    """

    table: pd.DataFrame
    predictions: dict
    bold: pd.DataFrame
    blocks: np.ndarray
    times: np.ndarray
    recordings: np.ndarray
    settings: dict
    versions: dict
    warnings: list = field(default_factory=list)
    beyond: "Comparison | None" = None
    estimators: dict = field(default_factory=dict)

    def __repr__(self):
        return "\n\n".join(
            filter(None, [self.summary().to_string(max_rows=_MOST_ROWS), self.settings["question"]])
        )

    def _repr_html_(self):
        lines = [self.settings["question"], *(f"Warning: {w}" for w in self.warnings)]
        paragraphs = "".join(f"<p>{html.escape(text)}</p>" for text in lines if text)
        return self.summary().to_html(border=0, max_rows=_MOST_ROWS) + paragraphs

    def summary(self, *, model=None, ceiling=None, alpha=0.05) -> pd.DataFrame:
        """Return the pooled scores as a formatted table: one model in full, r of the others.

        Parameters
        ----------
        model : str or None
            The model whose interval and p are shown; None takes the first.
        ceiling : array-like of shape (n_rois,) or None
            Highest possible r, if it is known, as in a simulation.
        alpha : float
            Level of the asterisks.

        Returns
        -------
        text : DataFrame of str, a row per region and a last row "mean"
            Columns: r of ``model``, its ``interval``, ``p`` and ``p_max``; with nuisance signals, r
            ``beyond`` them and the ``verdict``; r of every other model; the ceiling. An asterisk
            marks a ``p_max`` of at most ``alpha``, "≤" the lowest p that so many draws can give.
        """
        pooled = self.table[self.table["scope"] == "pooled"]
        regions, models = list(pooled["region"].unique()), list(pooled["model"].unique())
        model = models[0] if model is None else model
        self._check_known(model)
        by_model = {name: rows.set_index("region") for name, rows in pooled.groupby("model")}
        floor = self.settings["p_floor"]

        def column(name):
            r, p = by_model[name]["r"], by_model[name]["p_max"]
            found = [f"{r[k]:z.2f}{'*' if p[k] <= alpha else ' '}" for k in regions]
            return [*found, f"{r.mean():z.2f} "]

        full = by_model[model]
        ends = [f"[{full['ci_low'][k]:z.2f}, {full['ci_high'][k]:z.2f}]" for k in regions]
        text = {str(model): column(model), "interval": [*ends, ""]}
        for name in ("p", "p_max"):
            if full[name].notna().all():
                text[name] = [*(format_p(full[name][k], floor) for k in regions), ""]
        if self.beyond is not None and model in self.beyond.predictions:
            text["beyond"] = list(self.beyond.summary(model=model, alpha=alpha)[str(model)])
            if self.beyond.settings["null"] is not None:
                text["verdict"] = [*self.verdict(model=model, alpha=alpha), ""]
        text |= {str(name): column(name) for name in models if name != model}
        check_ceiling(ceiling, regions)
        if ceiling is not None:
            text["ceiling"] = [f"{r:z.2f}" for r in [*ceiling, np.mean(ceiling)]]
        return pd.DataFrame(text, index=pd.Index([*regions, "mean"], name="region"))

    def verdict(self, *, model=None, alpha=0.05) -> pd.Series:
        """Tell for each region whether EEG predicts BOLD beyond the nuisance signals.

        Parameters
        ----------
        model : str or None
            A model that reads EEG; None takes the first.
        alpha : float
            Level of ``p_max``.

        Returns
        -------
        verdict : Series of str, indexed by region
            "brain": found beyond the nuisance signals; "shared": found, but not beyond them; "not
            found". A verdict is as good as the signals: what they do not tell, or tell with
            noise, is not ruled out, and the more data, the more of it is found.

        Raises
        ------
        ValueError
            If there are no nuisance signals, or no p.
        """
        if self.beyond is None or self.beyond.settings["null"] is None:
            raise ValueError(
                "a verdict needs nuisance signals and a null distribution beyond them; use "
                "compare(..., nuisance=...), leave null as it is, and read the warnings."
            )
        model = next(iter(self.beyond.predictions)) if model is None else model
        if model not in self.beyond.predictions:
            known = ", ".join(map(str, self.beyond.predictions))
            raise ValueError(f"there is no verdict on {model!r}, but on {known}.")
        found, beyond = (one._pooled(model)["p_max"] for one in (self, self.beyond))
        words = np.where(beyond <= alpha, "brain", np.where(found <= alpha, "shared", "not found"))
        return pd.Series(words, index=found.index, name="verdict")

    def _pooled(self, model):
        self._check_known(model)
        rows = (self.table["scope"] == "pooled") & (self.table["model"] == model)
        return self.table[rows].set_index("region")

    def plot(self, **options):
        """Plot every model in every region, or r against the delay.

        Parameters
        ----------
        **options
            As in :func:`~sklearn_beira.viz.plot_comparison`, or
            :func:`~sklearn_beira.viz.plot_delay_curve` for what :func:`delay_curve` returned.

        Returns
        -------
        fig : matplotlib.figure.Figure
            The figure.
        """
        from .. import plot_comparison, plot_delay_curve

        plot = plot_delay_curve if "delay" in self.table else plot_comparison
        return plot(self, **options)

    def to_csv(self, path) -> None:
        """Write the table as CSV.

        Parameters
        ----------
        path : path-like
            File, which is replaced if it exists.
        """
        with atomic_write(expanded(path)) as file:
            self.table.to_csv(file, index=False)

    def to_folder(self, path) -> None:
        """Write everything to a folder: the table as CSV, settings as JSON, arrays as NPZ.

        Parameters
        ----------
        path : path-like
            Folder, which is made if it does not exist; a comparison in it is replaced.

        See Also
        --------
        Comparison.from_folder : Read it again.
        """
        folder = writable_folder(path, "comparison")
        index = self.bold.index
        arrays = {
            **{f"table_{name}": values for name, values in self.table.items()},
            **{f"row_{k}": index.get_level_values(k) for k in range(index.nlevels)},
            **{f"prediction_{k}": y_pred for k, y_pred in enumerate(self.predictions.values())},
            **{name: getattr(self, name) for name in _ARRAYS},
        }
        facts = {
            "models": list(self.predictions),
            "regions": list(map(str, self.bold.columns)),
            "row_names": list(index.names),
            "columns": list(self.table),
            "has_beyond": self.beyond is not None,
            **{name: getattr(self, name) for name in _FACTS},
        }
        text = json.dumps(facts, indent=1)
        arrays = {name: _without_objects(values) for name, values in arrays.items()}
        # All that is read; the other files are for people.
        with atomic_write(folder / "arrays.npz") as file:
            np.savez(file, facts=text, **arrays)
        with atomic_write(folder / "comparison.json") as file:
            file.write(text.encode())
        self.to_csv(folder / "table.csv")
        if self.beyond is not None:
            self.beyond.to_folder(folder / "beyond")

    @classmethod
    def from_folder(cls, path) -> "Comparison":
        """Read what :meth:`to_folder` wrote.

        Parameters
        ----------
        path : path-like
            Folder.

        Returns
        -------
        comparison : Comparison
            The same numbers, to the last bit.

        Raises
        ------
        ValueError
            If the folder holds anything but what :meth:`to_folder` writes.
        """
        folder = expanded(path)
        try:
            return cls._read(folder)
        except Exception as error:  # whatever the files may do to the readers
            raise ValueError(
                f"{folder} holds no comparison ({one_line(error)[:200]}); give a folder that "
                f"Comparison.to_folder wrote."
            ) from error

    @classmethod
    def _read(cls, folder):
        arrays = load_arrays(existing_file(folder / "arrays.npz", "comparison"))
        facts = json.loads(str(arrays["facts"]))
        table = pd.DataFrame(
            {name: _with_objects(arrays[f"table_{name}"]) for name in facts["columns"]}
        )
        if table["model"].dtype.kind not in "iuf":
            table["model"] = table["model"].map({str(name): name for name in facts["models"]})
        names = facts["row_names"]
        index = pd.MultiIndex.from_arrays(
            [_with_objects(arrays[f"row_{k}"]) for k in range(len(names))]
        )
        index = (index if len(names) > 1 else index.get_level_values(0)).set_names(names)
        of_volumes = {"index": index, "columns": facts["regions"]}
        predictions = {
            name: pd.DataFrame(arrays[f"prediction_{k}"], **of_volumes)
            for k, name in enumerate(facts["models"])
        }
        rest = {name: arrays[name] for name in _ARRAYS} | {name: facts[name] for name in _FACTS}
        if any(len(rest[name]) != len(index) for name in _ARRAYS):
            raise ValueError("its arrays are not of the same volumes")
        rest["bold"] = pd.DataFrame(rest["bold"], **of_volumes)
        beyond = cls._read(folder / "beyond") if facts.get("has_beyond") else None
        return cls(table, predictions, **rest, beyond=beyond)

    def _check_known(self, *names):
        known = list(self.table["model"].unique())
        for name in names:
            if name not in known:
                raise ValueError(
                    f"the comparison has no model {name!r}; it has {', '.join(map(str, known))}."
                )


# What a folder holds as arrays, and as JSON.
_ARRAYS = ("bold", "blocks", "times", "recordings")
_FACTS = ("settings", "versions", "warnings")


def _without_objects(values):
    values = np.asarray(values)
    return values.astype(str) if values.dtype.kind == "O" else values


def _with_objects(values):
    return values.astype(object) if values.dtype.kind == "U" else values


def _eeg_windows(X):
    if are_epochs(X):
        X = EEGWindows.from_array(X)
    if not isinstance(X, EEGWindows):
        raise TypeError(
            f"nuisance needs EEGWindows, got {type(X).__name__}; use EEGWindows.from_array(X, "
            f"times=...)."
        )
    return X


def compare(
    models,
    X,
    y,
    *,
    nuisance=None,
    oracle=False,
    cv=None,
    groups=None,
    subjects=None,
    null="auto",
    n_surrogates=1000,
    refit=False,
    keep_trend=True,
    other_bold=None,
    correct_over="regions",
    confidence_level=0.95,
    return_estimator=False,
    cache=None,
    n_jobs=None,
    random_state=0,
    verbose=True,
) -> Comparison:
    """Cross-validate models on the same folds, with confidence intervals and null p-values.

    Every r is computed on out-of-fold predictions of acquired volumes, centered within test blocks.
    Everything is checked before anything is fitted.

    Parameters
    ----------
    models : estimator or dict of str to estimator
        Regressors over X, for example from :mod:`sklearn_beira.baselines`. They are cloned.
    X : EEGWindows, mne.Epochs or array-like, shape (n_volumes, ...)
        Samples of one or several recordings.
    y : array-like or DataFrame, shape (n_volumes, n_rois) or (n_volumes,)
        BOLD.
    nuisance : DataFrame, ndarray, list of DataFrame or None
        Signals that may change both EEG and BOLD, such as movement or heart rate, as in
        :meth:`EEGWindows.with_nuisance`; None takes those of X, if it has any. They become the
        model "nuisance" (:func:`~sklearn_beira.make_nuisance_ridge`, unless ``models`` has one of
        that name), and ``comparison.beyond`` holds what EEG predicts beyond them.
    oracle : bool
        Add the row "past BOLD (oracle)", which predicts each region from its own last four
        volumes, those of the test included. It shows how predictable BOLD is, has no p, and is
        never a best model.
    cv : cross-validation splitter, int or None
        Every volume may be tested once; None stands for ``BlockedKFold(5)``.
    groups : array-like of shape (n_volumes,) or None
        Groups for the splitter, by default the recordings of EEGWindows. For plain arrays they
        also separate the recordings, whose rows are taken in order.
    subjects : array-like of shape (n_volumes,) or None
        Subject of each row, by default ``X.subjects``. With several subjects, rows for each subject
        and for the group are added.
    null : {"auto", "swap", "shift", "circular", "phase"} or None
        As in :func:`~sklearn_beira.null_test`; None computes no p.
    n_surrogates : int
        Number of surrogates.
    refit : bool
        True repeats the whole procedure of every model but "nuisance" for every surrogate, which
        costs as many fits. False, the default here, uses fixed predictions, as described in
        :func:`~sklearn_beira.null_test`. ``beyond`` always does.
    keep_trend : bool
        Surrogates keep the slow trend of BOLD in place, as in :func:`~sklearn_beira.null_test`.
    other_bold : list of array-like or None
        BOLD of other recordings, as in :func:`~sklearn_beira.null_test`.
    correct_over : {"regions", "all"}
        Correct ``p_max`` over the regions of each model, or over regions and models.
    confidence_level : float
        Level of the confidence intervals.
    return_estimator : bool or callable
        Keep the fitted model of each fold, as ``comparison.estimators``. A function keeps what it
        returns for the model instead.
    cache : path-like or None
        Folder for finished fits, from which the same call continues after it was killed. Fits are
        repeated if data, models, folds, versions or the code of your own classes change.
    n_jobs : int or None
        Processes, as in joblib; ``joblib.parallel_config("dask")`` works, too.
    random_state : int, RandomState instance or None
        Seed of the surrogates. Models have their own.
    verbose : bool
        Show a progress bar.

    Returns
    -------
    comparison : Comparison
        Table, predictions, measured BOLD, settings, versions and warnings. Intervals allow for
        cross-validation (:func:`~sklearn_beira.region_scores`), those of the group also for
        training data that subjects share (:func:`~sklearn_beira.group_scores`).

    Raises
    ------
    ValueError
        If folds leak so much that p would be meaningless, or if the null cannot be drawn.

    Warns
    -----
    GapWarning, StationarityWarning
        As in :func:`~sklearn_beira.null_test`.

    See Also
    --------
    paired_test : Difference between two models.
    sklearn_beira.null_test : Null distribution of one model, with selection and fit repeated.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.dummy import DummyRegressor
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn_beira import compare
    >>> from sklearn_beira.evaluation import BlockedKFold
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((100, 3))
    >>> y = X[:, :1] + rng.standard_normal((100, 1))
    >>> comparison = compare(
    ...     {"ridge": Ridge(), "mean": DummyRegressor()}, X, y, cv=BlockedKFold(5, gap=0),
    ...     verbose=False,
    ... )
    >>> comparison.table.query("scope == 'pooled'")[["model", "region", "r", "p"]].round(2)
       model region     r    p
    0  ridge  ROI 0  0.76  0.0
    6   mean  ROI 0  0.00  1.0
    """
    if not isinstance(models, dict):
        models = {type(models).__name__: models}
    if not models:
        raise ValueError("compare needs at least one model.")
    if oracle and ORACLE in models:
        raise ValueError(f"{ORACLE!r} is the name of the oracle; give your model another.")
    models = {k.item() if isinstance(k, np.generic) else k: model for k, model in models.items()}
    check_confidence_level(confidence_level)
    if correct_over not in ("regions", "all"):
        raise ValueError(f"correct_over must be 'regions' or 'all', got {correct_over!r}.")
    said = []
    with noting(said):
        check_models(models)
        if nuisance is not None:
            X = _eeg_windows(X).with_nuisance(nuisance)
        study = make_study(X, y, cv, groups, subjects)
        check_pretrained(models, study)
    options = {
        "null": null,
        "n_surrogates": n_surrogates,
        "refit": refit,
        "keep_trend": keep_trend,
        "other_bold": other_bold,
        "correct_over": correct_over,
        "confidence_level": confidence_level,
        "random_state": random_state,
    }
    runner = Runner(cache, n_jobs, verbose)
    of_eeg = {name: model for name, model in models.items() if reads_eeg(model)}
    has_nuisance = bool(getattr(study.X, "nuisance", None) and of_eeg)
    fitted = dict(models)
    if has_nuisance:
        nuisance_model = fitted.pop(NUISANCE, make_nuisance_ridge())
        models = fitted | {NUISANCE: nuisance_model}
    checked = _check(models, study, said, options)
    predictions, facts = predict_all(fitted, study, runner, return_estimator)
    estimators = {
        name: [fact.pop("estimator", None) for fact in facts[name]]
        for name in (fitted if return_estimator else ())
    }
    if has_nuisance:
        explained, facts[NUISANCE] = explain(nuisance_model, study, runner)
        predictions[NUISANCE] = out_of_fold(study, explained)
    if oracle:
        predictions[ORACLE] = predict_from_past(study)
        facts[ORACLE] = [{"fit_time": 0.0, "params": ""} for _ in study.folds]
    comparison = _tabulate(models, study, checked, predictions, facts, runner, said, options)
    comparison.estimators = estimators
    if not has_nuisance:
        return comparison
    if other_bold is not None:  # holds what nuisance signals explain
        options |= {"null": "auto", "other_bold": None}
    left = [study.y - of_fold for of_fold in explained]
    rest = replace(study, y=np.nan_to_num(out_of_fold(study, left)))
    said_beyond = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # most were said of the comparison
        # A fit to a surrogate would not repeat the fit of the signals, and its r would be too low.
        options |= {"refit": False}
        try:
            checked = _check(of_eeg, rest, said_beyond, options)
        except ValueError as error:  # folds are too close together for fixed predictions
            said_beyond.append(f"there is no p: {error}")
            options |= {"null": None}
            checked = _check(of_eeg, rest, said_beyond, options)
        done = predict_all(of_eeg, study, runner, targets=left)
        comparison.beyond = _tabulate(of_eeg, rest, checked, *done, runner, said_beyond, options)
    for message in said_beyond:
        if message not in said:
            said.append(f"beyond nuisance: {message}")
            warn_user(said[-1], StationarityWarning)
    return comparison


def _check(models, study, said, options):
    """Check folds and null, and make the surrogates, before anything is fitted."""
    null = options["null"]
    given = ("n_surrogates", "refit", "keep_trend", "other_bold", "random_state")
    with noting(said):
        draws, doubts = prepare(
            models,
            study,
            null,
            **{name: options[name] for name in given},
        )
        if draws is not None and draws.null == "shift":
            warn_user(
                f"null='shift' leaves out the ends of recordings: p and p_max are of r on "
                f"{len(draws.rows)} of {len(study.y)} volumes; null_test gives that r."
            )
    return draws, doubts


def _tabulate(models, study, checked, predictions, facts, runner, said, options):
    """Compare out-of-fold predictions of models with BOLD and its surrogates."""
    draws, doubts = checked
    confidence_level = options["confidence_level"]
    refitted = {n: m for n, m in models.items() if options["refit"] and n != NUISANCE}
    fixed = {n: m for n, m in models.items() if n not in refitted}
    tests = {}
    for those in filter(len, (refitted, fixed) if draws is not None else ()):
        with noting(said):
            tests |= null_distributions(
                those,
                study,
                draws,
                refit=those is refitted,
                confidence_level=confidence_level,
                runner=runner,
                predictions=predictions,
                over_models=options["correct_over"] == "all",
            )
    rows = [
        row
        for name, y_pred in predictions.items()
        for row in _rows(name, study, y_pred, facts[name], tests, doubts, confidence_level)
    ]
    table = pd.DataFrame(pd.concat(rows, ignore_index=True), columns=_COLUMNS)
    table["params"] = table["params"].fillna("")

    def of_regions(values):
        return pd.DataFrame(values, study.index, study.region_names)

    return Comparison(
        table,
        {name: of_regions(y_pred) for name, y_pred in predictions.items()},
        of_regions(study.y),
        study.blocks,
        study.times,
        _without_objects(study.recordings),
        settings={
            "question": next(iter(tests.values())).question if tests else "",
            "p_floor": draws.lowest_p if tests else None,
            "null": draws.null if tests else None,
            "n_surrogates": draws.n_surrogates if tests else None,
            **{name: options[name] for name in ("refit", "keep_trend", "correct_over")},
            "confidence_level": float(confidence_level),
            "cv": str(study.cv),
            "random_state": str(options["random_state"]),
            "seeds": {str(name): _seeds(model) for name, model in models.items()},
            "may_select": {str(name): may_select(model) for name, model in models.items()},
        },
        versions=versions(),
        warnings=said,
    )


def delay_curve(
    model, X, y, delays=(-8, -6, -4, -2, 0, 2, 4, 6, 8), *, param=None, **options
) -> Comparison:
    """Compare one model at several delays between EEG and BOLD.

    At delay d, the window of the model ends d seconds before the volume. Negative delays read EEG
    after the volume as well. With a window shorter than the hemodynamic response, say 4 s, a peak
    at a negative delay indicates a misalignment or a leak. A longer window still holds the EEG that
    the volume follows, and its curve is flat towards negative delays.

    Parameters
    ----------
    model : estimator
        A pipeline with a :class:`~sklearn_beira.Windower`, or any model with a parameter for the
        delay.
    X : EEGWindows or array-like, shape (n_volumes, n_channels, n_times)
        Samples, with enough EEG before and after the volumes for every delay.
    y : array-like or DataFrame, shape (n_volumes, n_rois) or (n_volumes,)
        BOLD.
    delays : array-like of float
        Delays in s. X must hold the EEG of all of them (``tmin`` and ``tmax`` of
        :func:`~sklearn_beira.align`).
    param : str or None
        Name of the parameter, such as ``"window__delay"``; None finds the Windower's.
    **options
        As in :func:`compare`. ``correct_over`` is "all" unless given: ``p_max`` is then corrected
        over regions and delays, so that the highest point of the curve can be reported.

    Returns
    -------
    curve : Comparison
        As :func:`compare`, with a model for every delay, named by it; ``curve.table`` also has the
        column ``delay`` in s.
    """
    if param is None:
        found = [k for k, v in model.get_params(deep=True).items() if isinstance(v, Windower)]
        if len(found) != 1:
            raise ValueError(
                f"the model has {len(found)} Windowers to set the delay of; name the parameter, "
                f"such as param='window__delay'."
            )
        param = f"{found[0]}__delay"
    models = {float(d): clone(model).set_params(**{param: float(d)}) for d in delays}
    curve = compare(models, X, y, **{"correct_over": "all", **options})
    curve.table["delay"] = curve.table["model"].astype(float)
    return curve


def paired_test(comparison, model, baseline, *, unit="auto", confidence_level=0.95) -> pd.DataFrame:
    r"""Test whether one model predicts better than another on the same folds or subjects.

    The differences of Fisher's z are compared with 0 by a t test. Folds are not independent, as
    their training data overlap, nor are subjects whose models were trained on one another. The
    variance is corrected for this [1]_:

    .. math:: t = \bar d / \sqrt{\Bigl(\frac{1}{k} + \frac{n_{test}}{n_{train}}\Bigr) s_d^2}

    where :math:`n_{train}` counts, for subjects, the volumes of other subjects. If there are none,
    subjects are independent, and the variance is not corrected.

    Parameters
    ----------
    comparison : Comparison
        What :func:`compare` returned.
    model, baseline : str
        Names of two models in it.
    unit : {"auto", "subject", "fold"}
        "auto" uses subjects if there are at least three: two that learn from each other agree by
        chance as well.
    confidence_level : float
        Level of the confidence interval.

    Returns
    -------
    result : DataFrame, indexed by region
        ``difference_z`` (mean difference of z), ``ci_low`` and ``ci_high`` of it, ``t``, ``df``,
        ``p`` (two-sided), ``unit``. The last row, "mean", is the mean over regions ("mean over
        regions" if a region has that name). t is NaN if all differences are equal.

    References
    ----------
    .. [1] Nadeau, Bengio (2003), Inference for the generalization error, Machine Learning 52.
    """
    if not isinstance(comparison, Comparison):
        raise TypeError(
            f"paired_test takes the Comparison that compare returned, got "
            f"{type(comparison).__name__}."
        )
    comparison._check_known(model, baseline)
    table = comparison.table
    if unit not in ("auto", "subject", "fold"):
        raise ValueError(f"unit must be 'auto', 'subject' or 'fold', got {unit!r}.")
    table = table[(table["scope"] != "subject") | (table["n"] > _LEAST)]
    if unit == "auto":
        n_subjects = table.loc[table["scope"] == "subject", "label"].nunique()
        unit = "subject" if n_subjects >= 3 else "fold"
    rows = table[table["scope"] == unit]
    r = [
        rows[rows["model"] == name].pivot(index="label", columns="region", values="r")
        for name in (model, baseline)
    ]
    difference = fisher_z(r[0]) - fisher_z(r[1])
    if len(difference) < 2:
        raise ValueError(
            f"a paired test needs at least 2 {unit}s, but the comparison has {len(difference)}."
        )
    difference = difference[table["region"].unique()]
    label = "mean over regions" if "mean" in difference else "mean"
    difference[label] = difference.mean(axis=1)
    one = rows[(rows["model"] == model) & (rows["region"] == rows["region"].iloc[0])]
    mean, t, half = t_of_mean(difference.to_numpy(), _overlap(one), confidence_level)
    df = len(difference) - 1
    return pd.DataFrame(
        {
            "difference_z": mean,
            "ci_low": mean - half,
            "ci_high": mean + half,
            "t": t,
            "df": df,
            "p": 2 * stats.t.sf(np.abs(t), df),
            "unit": unit,
        },
        index=difference.columns.rename("region"),
    )


def check_ceiling(ceiling, regions):
    """Refuse a ceiling without a value for each region."""
    if ceiling is not None and len(ceiling) != len(regions):
        raise ValueError(
            f"ceiling has {len(ceiling)} value(s) for {len(regions)} region(s); give one per "
            f"region."
        )


def format_p(p, floor):
    """Format a p, with "≤" before the lowest that so many surrogates can give.

    Parameters
    ----------
    p : float
        A p, of one region or corrected over regions.
    floor : float or None
        The lowest possible p; None if it is not known.

    Returns
    -------
    text : str
        For example "0.012" or "≤ 0.001".
    """
    # Rounded up: "≤ .001" must be true of 1 / 1001 and of 1 / 998.
    at_floor = p <= (floor or 0.0) * (1 + 1e-9)
    return f"≤ {np.ceil(1000 * p - 1e-9) / 1000:.3f}" if at_floor else f"{p:.3f}"


# -- the rows of the table ------------------------------------------------------------------------
def _seeds(model):
    params = model.get_params(deep=True)
    return {name: str(v) for name, v in params.items() if name.split("__")[-1] == "random_state"}


def _rows(name, study, y_pred, facts, tests, doubts, confidence_level):
    """Yield the rows of one model, a DataFrame for each scope."""
    order, subjects = study.tested_in_time, study.subjects

    def scores(rows, scope, label, **more):
        table = study.scores(y_pred, rows, confidence_level).rename(columns={"p": "p_parametric"})
        return table.reset_index().assign(model=name, scope=scope, label=label, **more)

    seconds = sum(fact["fit_time"] for fact in facts)
    doubts = doubts | {"r_without_burst": study.r_without_burst(y_pred)}
    pooled = scores(order, "pooled", "all folds", fit_time=seconds, **doubts)
    if name in tests:
        for column in ("p", "p_max", "null_low", "null_high"):
            pooled[column] = tests[name].table[column].to_numpy()
    yield pooled
    for k, ((train, test), fact) in enumerate(zip(study.folds, facts, strict=True)):
        rows = order[np.isin(order, test)]
        yield scores(rows, "fold", str(k), n_train=len(train), **fact)
    people = [] if subjects is None else list(pd.unique(subjects[order]))
    if len(people) < 2:
        return
    per_subject = []
    for person in people:
        mine = subjects == person
        # Volumes of other subjects that the models of this one learned from, mean over its folds.
        n_train = np.mean([(~mine[train]).sum() for train, test in study.folds if mine[test].any()])
        rows = order[mine[order]]
        per_subject.append(scores(rows, "subject", str(person), n_train=float(n_train)))
    yield from per_subject
    few = [table["label"].iloc[0] for table in per_subject if table["n"].max() <= _LEAST]
    if few:  # their r is 1 or -1, or nearly so
        warn_user(f"people with at most {_LEAST} volumes are left out of the group: {some(few)}.")
        per_subject = [table for table in per_subject if table["label"].iloc[0] not in few]
        if len(per_subject) < 2:
            return
    r = np.array([table["r"].to_numpy() for table in per_subject])
    r = np.tanh(fisher_z(r))  # an r of 1, as in a simulation without noise, becomes finite
    overlap = _overlap(pd.concat([table.iloc[[0]] for table in per_subject]))
    group = group_scores(r, overlap=overlap, confidence_level=confidence_level)
    group = group.reset_index(drop=True).rename(columns={"p": "p_parametric", "n_subjects": "n"})
    if len(r) == 2 and overlap:  # each learned from the other: they agree by chance as well
        group[["ci_low", "ci_high", "p_parametric"]] = np.nan
    yield group.assign(
        region=study.region_names, model=name, scope="group", label=f"{len(r)} subjects"
    )


def _overlap(rows):
    """Return the mean ratio of tested to training volumes; 0 without training volumes."""
    trained = rows["n_train"].to_numpy(dtype=float)
    shared = trained > 0  # False for NaN
    return float(np.mean(np.where(shared, rows["n"] / np.where(shared, trained, 1.0), 0.0)))
