"""Stored answers as tables, one function per figure. Every function names its columns.

All take the specs that a figure asks for; what is not stored yet is simply not in the table, so a
partially computed figure can be drawn.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
import pandas as pd

from core.base.specs import Spec, key
from core.figures import asked
from core.measures.attribution import AttributionSpec
from core.measures.evaluation import EvaluationSpec
from core.measures.predictivity import PredictivitySpec
from core.stats.correlation import spearman
from core.stats.intervals import wilson
from core.stats.neurons import STEP, Ranking
from core.store import Store
from core.tasks import clean_name

CURVE_COLUMNS = (
    "backbone choose fraction accuracy low high seeds draws n majority".split()  # noqa: SIM905
)


def evaluations(store: Store, specs: Sequence[EvaluationSpec]) -> pd.DataFrame:
    """One row per stored evaluation: backbone, source_task, prompt (its key), seed, target_task,
    split, n, metric, correct, accuracy, majority, choose, fraction, draw, key.
    """
    return store.frame(
        "SELECT a.backbone, a.source_task, a.prompt, a.seed, a.target_task, a.split, e.n,"
        " e.metric, e.correct, e.accuracy, e.majority, e.choose, e.fraction, e.draw, key"
        " FROM asked a JOIN evaluation e USING (key)"
        " ORDER BY ALL",
        asked=asked.table(specs),
    )


def rights(
    store: Store, asked_by: Mapping[Any, Sequence[Spec]]
) -> dict[Any, tuple[np.ndarray, float]]:
    """Of groups of evaluations, read at once: `[prompt example]` of correct answers, by seed, and
    the majority-class accuracy; without the groups that are not all stored.
    """
    keys = {name: {key(spec) for spec in specs} for name, specs in asked_by.items()}
    rows = store.frame(
        "SELECT key, scores, majority FROM evaluation WHERE key IN ? ORDER BY seed, key",
        [sorted(set().union(*keys.values()))],
    )
    place = {name: i for i, name in enumerate(rows.key)}
    found = dict[Any, tuple[np.ndarray, float]]()
    for name, mine in keys.items():
        if mine and mine <= place.keys():
            at = rows.iloc[sorted(place[k] for k in mine)]
            found[name] = np.stack(at.scores.to_list()) == 1, float(at.majority.iloc[0])
    return found


Clean = Callable[[str], str]
"""The name of a task -> that of the clean task (`Lab.clean_name`: where the lab finds tasks)."""


def _clean(tasks: "pd.Series[str]", clean: Clean) -> "pd.Series[str]":
    """The clean task of each; names repeat, so each is looked up once."""
    return tasks.map({name: clean(name) for name in tasks.unique()})


def transfer(
    store: Store, specs: Sequence[EvaluationSpec], *, relative: bool, clean: Clean = clean_name
) -> pd.DataFrame:
    """Transfer per (backbone, source_task, target_task): value, sem, seeds (prompts), n, majority,
    accuracy.

    `value` is the mean over prompts of the accuracy, or, relative, of accuracy over the accuracy of
    the target's own prompt with the same seed (the ratio per prompt first; the mean, if several own
    prompts have that seed). `sem` is the standard error over prompts (ddof 1), NaN for one.
    """
    rows = evaluations(store, specs)
    own = rows[rows.source_task == _clean(rows.target_task, clean)]
    same = ["backbone", "target_task", "seed"]
    own = own.groupby(same).accuracy.mean().rename("own").reset_index()
    rows = rows.merge(own, on=same, how="left")
    rows["value"] = rows.accuracy / rows.own if relative else rows.accuracy
    groups = rows.dropna(subset="value").groupby(["backbone", "source_task", "target_task"])
    table = groups.agg(
        value=("value", "mean"),
        sem=("value", "sem"),
        seeds=("prompt", "nunique"),
        n=("n", "first"),
        majority=("majority", "first"),
        accuracy=("accuracy", "mean"),
    )
    return table.reset_index()


def accuracies(store: Store, specs: Sequence[EvaluationSpec]) -> pd.DataFrame:
    """Accuracy per (backbone, source_task, target_task): accuracy, sem over seeds, seeds, n,
    majority, low and high (mean -/+ sem; with one seed the 95% Wilson interval).
    """
    table = transfer(store, specs, relative=False).rename(columns={"value": "mean"})
    table["low"], table["high"] = table["mean"] - table["sem"], table["mean"] + table["sem"]
    for i, row in table[table["seeds"] == 1].iterrows():
        table.loc[i, ["low", "high"]] = wilson(round(row["mean"] * row["n"]), int(row["n"]))
    return table.drop(columns="accuracy").rename(columns={"mean": "accuracy"})


# A mean over prompts is one fraction of summed counts, so that equal neurons compare as equal; the
# binary questions of a task with more classes are averaged.
_MEASURED = """
WITH by_question AS (
  SELECT a.backbone, a.target_task AS task, a.contrast, n.layer, n.neuron,
         sum(n.correct) / sum(p.n) AS predictivity, count(DISTINCT a.prompt) AS seeds,
         first(p.n) AS n, avg(p.floor_mean) AS floor, avg(p.floor_family) AS fwer,
         avg(p.floor_fdr) FILTER (NOT isnan(p.floor_fdr)) AS fdr,
         avg((n.q <= 0.05)::INT) AS discovery, avg((n.p_family <= 0.05)::INT) AS certain,
         first(p.majority) AS majority
  FROM asked a JOIN predictivity p USING (key) JOIN neuron n USING (key) GROUP BY ALL),
measured AS (
  SELECT backbone, task, layer, neuron, avg(predictivity) AS predictivity, max(seeds) AS seeds,
         first(n) AS n, avg(floor) AS floor, avg(fwer) AS fwer, avg(fdr) AS fdr,
         avg(discovery) AS discovery, avg(certain) AS certain, first(majority) AS majority
  FROM by_question GROUP BY ALL)
"""
_BOXES = (
    _MEASURED
    + f"""
, quartiles AS (
  SELECT backbone, task, max(seeds) AS seeds, first(n) AS n, avg(floor) AS floor,
         avg(fwer) AS fwer, avg(fdr) AS fdr, avg(discovery) AS discoveries,
         avg(certain) AS certain, first(majority) AS majority, count(*) AS neurons,
         quantile_cont(predictivity, 0.25) AS q1, median(predictivity) AS median,
         quantile_cont(predictivity, 0.75) AS q3, quantile_cont(predictivity, 0.99) AS p99,
         max(predictivity) AS highest,
         count(*) FILTER (predictivity <= majority + {STEP}) / count(*) AS uninformative
  FROM measured GROUP BY backbone, task)
"""
)


def predictivity_boxes(store: Store, specs: Sequence[PredictivitySpec]) -> pd.DataFrame:
    """Distribution over neurons of the seed-mean predictivity, per (backbone, task): q1, median,
    q3, whisker_low, whisker_high (last values within 1.5 IQR), p99 (99th percentile), highest,
    floor (mean of the permutation null), fwer (95th percentile of the best neuron under
    permutation), fdr (lowest predictivity of a discovery at a false discovery rate of
    5%), discoveries and certain (shares of neurons, averaged over seeds: q, and p_family, at most
    0.05), neurons, seeds, n, majority (accuracy of the most frequent class), uninformative (share
    of neurons at or below it). Levels are means over seeds; the mean of
    predictivities varies less than one of them, so that they are on the safe side.
    """
    return store.frame(
        _BOXES + "SELECT q.*, min(m.predictivity) FILTER (m.predictivity >= q1 - 1.5 * (q3 - q1))"
        " AS whisker_low, max(m.predictivity) FILTER (m.predictivity <= q3 + 1.5 * (q3 - q1))"
        " AS whisker_high FROM quartiles q JOIN measured m USING (backbone, task) GROUP BY ALL"
        " ORDER BY backbone, task",
        asked=asked.table(specs),
    )


def predictivity_outliers(
    store: Store, specs: Sequence[PredictivitySpec], per_box: int = 40
) -> pd.DataFrame:
    """A sample of the neurons beyond the whiskers, the highest always among them: backbone, task,
    layer, neuron, predictivity.
    """
    return store.frame(
        _BOXES + ", beyond AS (SELECT m.backbone, m.task, m.layer, m.neuron, m.predictivity,"
        " row_number() OVER (PARTITION BY m.backbone, m.task ORDER BY m.predictivity DESC)"
        " AS place,"
        " row_number() OVER (PARTITION BY m.backbone, m.task ORDER BY hash(m.layer, m.neuron))"
        " AS lot FROM measured m JOIN quartiles q USING (backbone, task)"
        " WHERE m.predictivity > q3 + 1.5 * (q3 - q1) OR m.predictivity < q1 - 1.5 * (q3 - q1))"
        " SELECT backbone, task, layer, neuron, predictivity FROM beyond"
        " WHERE place <= 5 OR lot <= ? ORDER BY backbone, task, predictivity DESC",
        [per_box],
        asked=asked.table(specs),
    )


def layer_profile(store: Store, specs: Sequence[PredictivitySpec]) -> pd.DataFrame:
    """Median and 99th percentile of the seed-mean predictivity per (backbone, task, layer)."""
    return store.frame(
        _MEASURED + "SELECT backbone, task, layer, median(predictivity) AS median,"
        " quantile_cont(predictivity, 0.99) AS p99, avg(floor) AS floor, avg(fwer) AS fwer"
        " FROM measured GROUP BY ALL ORDER BY backbone, task, layer",
        asked=asked.table(specs),
    )


Rankable = Sequence[PredictivitySpec | AttributionSpec]
_VALUES = {
    PredictivitySpec: "sum(n.correct) / sum(p.n) AS value, avg(p.majority) AS least"
    " FROM asked a JOIN predictivity p USING (key) JOIN neuron n USING (key)",
    AttributionSpec: "avg(n.signed) AS value, 0.0 AS least"
    " FROM asked a JOIN neuron_attribution n USING (key)",
}


def rankings(
    store: Store, specs: Rankable, *, by_seed: bool = False, clean: Clean = clean_name
) -> dict[tuple[str, str], Ranking]:
    """Seed-mean predictivity, or attribution, per (backbone, task), or one per seed."""
    if not specs:
        return {}
    prompt = "a.seed, a.prompt" if by_seed else "0 AS seed, '' AS prompt"
    rows = store.frame(
        "WITH by_question AS ("
        f" SELECT a.backbone, a.source_task, a.target_task, {prompt}, a.contrast, n.layer,"
        f" n.neuron, {_VALUES[type(specs[0])]} GROUP BY ALL)"
        " SELECT * EXCLUDE (contrast, value, least), avg(value) AS value,"
        " avg(least) AS least FROM by_question GROUP BY ALL ORDER BY ALL",
        asked=asked.table(specs),
    )
    own = rows.source_task == _clean(rows.target_task, clean)
    rows["task"] = rows.target_task.where(own, rows.source_task + " on " + rows.target_task)
    if by_seed:
        rows["task"] += " (" + _prompt_names(rows) + ")"
    return {
        (str(group[0]), str(group[1])): ranking(part)
        for group, part in rows.groupby(["backbone", "task"], sort=False)
    }


def _prompt_names(rows: pd.DataFrame) -> "pd.Series[str]":
    """`seed 3`, with the prompt's key where several prompts of a task have that seed."""
    names, keys = "seed " + rows.seed.astype(str), rows.prompt.astype(str).str[:8]
    same = rows.groupby(["backbone", "source_task", "target_task", "seed"]).prompt
    return names.where(same.transform("nunique") == 1, names + ", " + keys)


def ranking(part: pd.DataFrame) -> Ranking:
    """From rows in the order of layer and neuron: layer, value, least."""
    values = part.value.to_numpy(np.float64).reshape(part.layer.nunique(), -1)
    return Ranking(values=values, least=float(part.least.iloc[0]))


def correlation(
    store: Store,
    specs: Sequence[PredictivitySpec],
    *,
    by_seed: bool = False,
    clean: Clean = clean_name,
) -> pd.DataFrame:
    """Spearman between two tasks' seed-mean predictivities, per (backbone, task_a, task_b): the
    mean over layers, the lowest and highest layer, neurons per layer, layers.

    With `by_seed` each prompt has its own rows, and tasks are named `task (seed 0)`.
    """
    values, rows = rankings(store, specs, by_seed=by_seed, clean=clean), list[dict[str, object]]()
    for backbone in dict.fromkeys(b for b, _ in values):
        tasks = [t for b, t in values if b == backbone]
        for a, b in combinations_with_replacement(tasks, 2):
            first, second = values[backbone, a].values, values[backbone, b].values
            rho = spearman(first, second)
            row = {
                "backbone": backbone,
                "spearman": float(np.nanmean(rho)) if np.isfinite(rho).any() else math.nan,
                "lowest_layer": float(np.fmin.reduce(rho)),
                "highest_layer": float(np.fmax.reduce(rho)),
                "layers": len(rho),
                "neurons": first.shape[1],
            }
            rows.append({**row, "task_a": a, "task_b": b})
            if a != b:
                rows.append({**row, "task_a": b, "task_b": a})
    return pd.DataFrame(rows)


def suppression_curve(store: Store, specs: Sequence[EvaluationSpec]) -> pd.DataFrame:
    """Points of a suppression curve, per (backbone, choose, fraction): accuracy (mean over seeds
    and draws), low, high, seeds, draws, n, majority.

    The band is the mean -/+ the standard error over seeds; with one seed the 95% Wilson interval
    for chosen neurons and the range of the draws for random ones. Fraction 0 belongs to each kind.
    """
    rows = evaluations(store, specs)
    kinds = list(dict.fromkeys(s.suppression.choose for s in specs if s.suppression))
    start = rows[rows.choose.isna()].drop(columns="choose")
    start = start.merge(pd.DataFrame({"choose": kinds}), how="cross")
    start["fraction"] = 0.0
    rows = pd.concat([start, rows[rows.choose.notna()]])
    out = list[dict[str, object]]()
    for (backbone, choose, fraction), part in rows.groupby(["backbone", "choose", "fraction"]):
        low, high = _band(part, str(choose))
        out.append(
            {
                "backbone": backbone,
                "choose": choose,
                "fraction": fraction,
                "accuracy": part.accuracy.mean(),
                "low": low,
                "high": high,
                "seeds": part.prompt.nunique(),
                "draws": part.draw.nunique() or 1,
                "n": int(part.n.iloc[0]),
                "majority": part.majority.iloc[0],
            }
        )
    return pd.DataFrame(out, columns=CURVE_COLUMNS)


def suppression_answers(store: Store, specs: Sequence[EvaluationSpec]) -> pd.DataFrame:
    """What a suppression curve is made of, a row per answer: backbone, choose (empty without
    suppression), fraction, draw, seed, example (its row in the split), score (1: right).
    """
    return store.frame(
        "SELECT a.backbone, coalesce(e.choose, '') AS choose, coalesce(e.fraction, 0) AS fraction,"
        " e.draw, a.seed, unnest(e.rows) AS example, unnest(e.scores) AS score"
        " FROM asked a JOIN evaluation e USING (key) ORDER BY ALL",
        asked=asked.table(specs),
    )


def half_lost(curve: pd.DataFrame) -> pd.DataFrame:
    """At which fraction is half of the skill lost, that is, of the accuracy above the majority
    class? One row per (backbone, choose) of a `suppression_curve`: fraction, the first place where
    the line between two points reaches it; NaN if it never does, or if there is no skill to lose.
    """
    out = list[dict[str, object]]()
    for (backbone, choose), line in curve.groupby(["backbone", "choose"], sort=False):
        line = line.sort_values("fraction")
        x, y = line.fraction.to_numpy(float), line.accuracy.to_numpy(float)
        majority = float(line.majority.iloc[0])
        half = majority + (y[0] - majority) / 2
        below = np.flatnonzero(y <= half)
        at = math.nan
        if x[0] == 0 and y[0] > majority and len(below):
            i = int(below[0])
            at = x[i - 1] + (x[i] - x[i - 1]) * (y[i - 1] - half) / (y[i - 1] - y[i])
        out.append({"backbone": backbone, "choose": choose, "fraction": at})
    return pd.DataFrame(out, columns=["backbone", "choose", "fraction"])


def _band(part: pd.DataFrame, choose: str) -> tuple[float, float]:
    values = part.accuracy.to_numpy(np.float64)
    if part.prompt.nunique() > 1:
        per_seed = part.groupby("prompt").accuracy.mean().to_numpy(np.float64)
        half = float(per_seed.std(ddof=1) / math.sqrt(len(per_seed)))
        return values.mean() - half, values.mean() + half
    if choose == "random":
        return values.min(), values.max()
    n = int(part.n.iloc[0])
    return wilson(round(values[0] * n), n)  # written answers have scores, but no counts


def tuning_history(store: Store, name: str) -> pd.DataFrame:
    """Steps of a stored prompt: step, loss, accuracy (on the selection rows, else NaN)."""
    return store.frame("SELECT step, loss, accuracy FROM step WHERE key = ? ORDER BY step", [name])


def prompts(store: Store) -> pd.DataFrame:
    """All stored soft prompts that were tuned or imported: key, backbone, fingerprint, task, seed,
    prompt_length, origin, best_step, selection_accuracy, selection_rows.
    """
    return store.frame(
        "SELECT * EXCLUDE (spec) FROM prompt WHERE origin IN ('tuned', 'imported')"
        " ORDER BY backbone, task, seed, prompt_length"
    )


def projectors(store: Store) -> pd.DataFrame:
    """All stored projectors: key, trained_by, from_backbone, to_backbone, tasks (names), prompts
    (pairs it was trained on), seed, best_step, selection_accuracy (NaN if trained by distance).
    """
    return store.frame(
        "SELECT * EXCLUDE (spec) FROM projector ORDER BY from_backbone, to_backbone, trained_by,"
        " seed, key"
    )


def neurons(store: Store, spec: PredictivitySpec) -> tuple[pd.DataFrame, dict[str, float | None]]:
    """One stored measurement: one row per neuron (layer, neuron, best_token, baseline, accuracy,
    correct, predictivity, n, p, p_family, q), and the permutation null (floor, floor_p99;
    None without permutations).
    """
    table = store.frame(
        "SELECT n.layer, n.neuron, n.best_token, n.baseline, n.accuracy, n.correct, n.predictivity,"
        " p.n, n.p, n.p_family, n.q FROM neuron n JOIN predictivity p USING (key) WHERE key = ?"
        " ORDER BY n.layer, n.neuron",
        [key(spec)],
    )
    row = store.frame("SELECT floor_mean, floor_p99 FROM predictivity WHERE key = ?", [key(spec)])
    levels = [None if math.isnan(v) else float(v) for v in row.iloc[0]]
    return table, {"floor": levels[0], "floor_p99": levels[1]}
