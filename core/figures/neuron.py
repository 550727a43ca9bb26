"""One neuron: predictivity by task, activations, effect of suppression, and similar neurons."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from core.base.markdown import plain
from core.base.specs import key
from core.figures import asked, queries
from core.figures.words import listed, p_value, two
from core.measures.ablation import AblationSpec
from core.measures.activations import Activations
from core.measures.attribution import AttributionSpec
from core.measures.predictivity import PredictivitySpec
from core.stats.intervals import Z, paired
from core.store import Store
from core.tasks.data import Examples

SIGNIFICANT = 0.05  # family-wise p-value below which a neuron predicts a task
NAMED = 3  # at most so many tasks are named in a sentence


def profile(
    store: Store, specs: Sequence[PredictivitySpec], layer: int, neuron: int
) -> pd.DataFrame:
    """The neuron in each stored measurement: task, seed, contrast, n, predictivity, accuracy (at
    the best token), best_token, baseline, p, p_family, q, floor, fwer (levels of shuffled
    labels).
    """
    return store.frame(
        "SELECT a.target_task AS task, a.seed, p.contrast, p.n, n.predictivity, n.accuracy,"
        " n.best_token, n.baseline, n.p, n.p_family, n.q, p.floor_mean AS floor,"
        " p.floor_family AS fwer FROM asked a JOIN predictivity p USING (key)"
        " JOIN neuron n USING (key)"
        " WHERE n.layer = ? AND n.neuron = ? ORDER BY task, a.seed, contrast",
        [layer, neuron],
        asked=asked.table(specs),
    )


def attributed(
    store: Store, specs: Sequence[AttributionSpec], layer: int, neuron: int
) -> pd.DataFrame:
    """What the neuron adds to the margin of the right answer, in each stored attribution: task,
    seed, n, attribution (mean over examples, in logits), low and high (95%, over examples), place
    (rank percentile in its layer, 1 is the highest).
    """
    return store.frame(
        "WITH placed AS (SELECT n.*, (rank() OVER (PARTITION BY key ORDER BY signed) - 1"
        " + count(*) OVER (PARTITION BY key, signed) / 2) / count(*) OVER (PARTITION BY key)"
        " AS place FROM neuron_attribution n WHERE key IN (SELECT key FROM asked) AND layer = ?)"
        " SELECT a.target_task AS task, a.seed, t.n, p.signed AS attribution,"
        " p.signed - ? * p.error AS low, p.signed + ? * p.error AS high, p.place"
        " FROM asked a JOIN attribution t USING (key) JOIN placed p USING (key)"
        " WHERE p.neuron = ? ORDER BY task, a.seed",
        [layer, Z, Z, neuron],
        asked=asked.table(specs),
    )


def by_token(
    store: Store, specs: Sequence[PredictivitySpec], layer: int, neuron: int
) -> pd.DataFrame:
    """Accuracy at each prompt position of one task's measurements: seed, position (0 is the first),
    accuracy, best (whether the maximum is there).
    """
    return store.frame(
        "WITH one AS (SELECT a.seed, p.n, n.best_token, generate_subscripts(n.by_token, 1) - 1"
        " AS position, unnest(n.by_token) AS correct FROM asked a"
        " JOIN predictivity p USING (key) JOIN neuron n USING (key)"
        " WHERE n.layer = ? AND n.neuron = ?)"
        " SELECT seed, position, correct / n AS accuracy, position = best_token AS best FROM one"
        " ORDER BY seed, position",
        [layer, neuron],
        asked=asked.table(specs),
    )


def fired(
    cached: Activations, examples: Examples, layer: int, neuron: int, labels: Sequence[str]
) -> pd.DataFrame:
    """The neuron's activation at its best token, example by example: example, class, activation,
    text, text_b (empty where there is none).
    """
    place = {int(index): i for i, index in enumerate(examples.index)}
    rows = [place[int(index)] for index in cached.index]
    second = examples.text_b or ("",) * len(examples)
    return pd.DataFrame(
        {
            "example": cached.index,
            "class": [labels[examples.labels[i]] for i in rows],
            "activation": cached.values[:, layer, neuron].astype(np.float64),
            "text": [examples.text_a[i] for i in rows],
            "text_b": [second[i] for i in rows],
        }
    )


def ablation(store: Store, spec: AblationSpec) -> pd.DataFrame:
    """Margins of the correct answer, example by example: example, label, margin, contribution (of
    the neuron to the margin) and slot (its contribution at its best token alone).
    """
    rows = store.frame(
        "SELECT unnest(rows) AS example, unnest(labels) AS label, unnest(margin) AS margin,"
        " unnest(without_slot) AS without_slot, unnest(without) AS without FROM ablation"
        " WHERE key = ?",
        [key(spec)],
    )
    rows["contribution"] = rows.margin - rows.without
    rows["slot"] = rows.margin - rows.without_slot
    return rows


def changed(rows: pd.DataFrame) -> int:
    """How many answers of `ablation` are others with the neuron suppressed."""
    return int(((rows.margin > 0) != (rows.margin - rows.contribution > 0)).sum())


def summary(rows: pd.DataFrame) -> dict[str, float]:
    """From `ablation`: accuracy with the neuron active and suppressed, the number of changed
    answers, and the neuron's mean contribution to the margin with its 95% interval and p-value.
    """
    before, after = rows.margin > 0, rows.margin - rows.contribution > 0
    test = paired(rows.contribution.to_numpy(np.float64))
    return {
        "n": len(rows), "accuracy": float(before.mean()), "without": float(after.mean()),
        "changed": changed(rows), "contribution": test.value, "low": test.low,
        "high": test.high, "p": test.p,
    }  # fmt: skip


def elsewhere(everywhere: pd.DataFrame, tasks: Sequence[str], seed: int) -> tuple[int, int]:
    """How many of these tasks the neuron predicts with a seed's prompts, and of how many that is
    known: the columns of `profile`. A task of several binary questions counts if it predicts one.
    """
    mine = everywhere[everywhere.task.isin(tasks) & (everywhere.seed == seed)]
    p = mine.groupby("task").p_family.min()
    return int((p < SIGNIFICANT).sum()), len(p)


def helps(attributed: pd.DataFrame, titles: Mapping[str, str]) -> str:
    """On which tasks the neuron clearly supports the right answer, in a sentence: with each seed,
    the 95% interval is above 0. From the columns of `attributed`; empty without rows.
    """
    if attributed.empty:
        return ""
    clear = attributed.groupby("task").low.min() > 0
    named = [plain(titles.get(str(task), str(task))) for task in clear.index[clear]]
    if not named:
        return f"It does not clearly support the right answer on any of {len(clear)} tasks"
    if len(named) > NAMED:
        return f"It clearly supports the right answer on {len(named)} of {len(clear)} tasks"
    only = "only " * (len(named) < len(clear))
    return f"It clearly supports the right answer {only}on {listed(named)}"


def sentence(
    predicted: pd.DataFrame,
    effect: pd.DataFrame,
    title: str,
    others: tuple[int, int] = (0, 0),
    helped: str = "",
) -> str:
    """Whether the neuron predicts a task, and what its suppression changes: one row of `profile`,
    and `ablation` (empty if not stored). Empty where there is no such row. `others`: `elsewhere`,
    `helped`: `helps`.
    """
    if predicted.empty:
        return ""
    row = predicted.iloc[0]
    clear = "predicts" if row.p_family < SIGNIFICANT else "does not clearly predict"
    said = (
        f"**This neuron {clear} the classes of {plain(title)}** (predictivity "
        f"{two(row.predictivity)}, family-wise {p_value(row.p_family)})"
    )
    if others[1]:
        joint = (
            ("and those of {} of {}" if others[0] else "but those of none of {1}")
            if row.p_family < SIGNIFICANT
            else ("but does predict those of {} of {}" if others[0] else "or those of any of {1}")
        )
        said += f" {joint.format(*others)} other clean task{'s' * (others[1] > 1)}"
    said += f". **{helped}**." if helped else "."
    if effect.empty:
        return said
    return f"{said} Suppressing it changes {changed(effect)} of {len(effect)} answers."


def best(store: Store, specs: Sequence[PredictivitySpec]) -> tuple[int, int]:
    """Layer and index of the neuron with the highest mean stored predictivity; 0, 0 if none."""
    values = [ranking.values for ranking in queries.rankings(store, specs).values()]
    if not values:
        return 0, 0
    layer, neuron = np.unravel_index(int(np.mean(values, axis=0).argmax()), values[0].shape)
    return int(layer), int(neuron)


def neighbours(
    store: Store, specs: Sequence[PredictivitySpec], layer: int, neuron: int, most: int = 10
) -> pd.DataFrame:
    """The neurons whose seed-mean predictivities over the tasks differ least (root mean square):
    layer, neuron, difference, and a column per task. The neuron itself comes first, with 0.
    """
    values = queries.rankings(store, specs)
    if not values:
        return pd.DataFrame(columns=["layer", "neuron", "difference"])
    tasks, table = [t for _, t in values], np.stack([v.values for v in values.values()])
    here = table[:, layer, neuron]
    distance = np.sqrt(((table - here[:, None, None]) ** 2).mean(axis=0))
    distance[layer, neuron] = -1  # itself, before its doubles
    order = np.argsort(distance, axis=None, kind="stable")[: most + 1]
    layers, neurons = np.unravel_index(order, distance.shape)
    columns = {task: table[i, layers, neurons] for i, task in enumerate(tasks)}
    near = distance[layers, neurons].clip(min=0)
    return pd.DataFrame({"layer": layers, "neuron": neurons, "difference": near, **columns})
