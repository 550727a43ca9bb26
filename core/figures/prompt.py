"""One soft prompt: where it works, the tokens near it, and what its vectors do."""

import numpy as np
import pandas as pd

from core.base.markdown import plain
from core.base.prompts import Dead, Prompt, SoftPrompt, never
from core.base.specs import key
from core.figures import queries
from core.figures.words import ranged, two
from core.measures.dropped import DroppedSpec
from core.measures.evaluation import EvaluationSpec
from core.measures.nearest import Metric, NearestSpec
from core.stats.intervals import Z, holm, mcnemar, wilson
from core.stats.similarity import cosine_average, units
from core.store import Store
from core.tasks.metrics import TITLES


def works_on(store: Store, specs: list[EvaluationSpec]) -> pd.DataFrame:
    """Accuracy per target task, or the mean score of written answers, with its 95% interval
    (Wilson's for accuracy, else a bootstrap over examples): task, metric, accuracy, low, high, n,
    majority, own (whether the prompt was tuned on it).
    """
    rows = queries.evaluations(store, specs)
    by_key = {key(spec): spec for spec in specs}
    spans = [
        wilson(int(row.correct), int(row.n)) if row.metric == "accuracy"
        else store.read(by_key[row.key]).interval
        for row in rows.itertuples()
    ]  # fmt: skip
    return pd.DataFrame(
        {
            "task": rows.target_task, "metric": rows.metric, "accuracy": rows.accuracy,
            "low": [low for low, _ in spans], "high": [high for _, high in spans], "n": rows.n,
            "majority": rows.majority, "own": rows.target_task == rows.source_task,
        }
    )  # fmt: skip


def sentence(table: pd.DataFrame) -> str:
    """How well a prompt answers its own task, and on how many others it is clearly better than the
    majority class: the columns of `works_on`. Empty where neither has been measured.
    """
    said = [
        f"{TITLES[row.metric].capitalize()} {ranged(row.accuracy, row.low, row.high)} on its own "
        "task"
        for row in table[table.own].itertuples()
    ]
    others = table[~table.own & (table.metric == "accuracy")]
    if len(others):
        clear = int((others.low > others.majority).sum())
        best = others.loc[others.accuracy.idxmax()]
        said.append(
            f"clearly above the majority class on {clear} of {len(others)} other clean tasks, "
            f"highest on {plain(best.task)} ({two(best.accuracy)})"
        )
    text = "; ".join(said)
    return f"**{text[0].upper()}{text[1:]}.**" if text else ""


def words(store: Store, spec: NearestSpec, metric: Metric, count: int = 5) -> pd.DataFrame:
    """Per vector: row, norm, start (the token it started from; None if it was not drawn from the
    vocabulary), nearest (tokens, the nearest first), value (of the nearest), unmoved (whether the
    nearest is the start), and the vocabulary's norms: low, middle, high. Empty if not stored.
    """
    found = store.read(spec)
    names = "row norm start nearest value unmoved low middle high".split()  # noqa: SIM905
    if found is None:
        return pd.DataFrame(columns=names)
    tokens, nothing = found.tokens[metric], (None,) * len(found.norms)
    low, middle, high = found.vocabulary
    best = found.ids[metric][:, 0].tolist()
    return pd.DataFrame(
        {
            "row": np.arange(len(found.norms)), "norm": found.norms,
            "start": list(found.start or nothing), "nearest": [row[:count] for row in tokens],
            "value": found.values[metric][:, 0],
            "unmoved": [a == b for a, b in zip(found.start_id or nothing, best, strict=True)],
            "low": low, "middle": middle, "high": high,
        }
    )[names]  # fmt: skip


def without_each(store: Store, spec: DroppedSpec) -> pd.DataFrame:
    """What accuracy loses without each vector: row, effect, low and high (95%, paired over
    examples), p (McNemar's exact test, Holm-adjusted), lost, gained, n. Empty if not stored.
    """
    found = store.read(spec)
    if found is None:
        return pd.DataFrame(columns="row effect low high p lost gained n".split())  # noqa: SIM905
    p = np.array([mcnemar(int(a), int(b)) for a, b in zip(found.lost, found.gained, strict=True)])
    effect = (found.lost - found.gained) / found.n
    spread = (found.lost + found.gained) / found.n - effect**2
    half = Z * np.sqrt(spread / found.n)
    return pd.DataFrame(
        {
            "row": found.row, "effect": effect, "low": effect - half, "high": effect + half,
            "p": holm(p),
            "lost": found.lost, "gained": found.gained, "n": found.n,
        }
    )  # fmt: skip


def fewer(store: Store, spec: DroppedSpec) -> pd.DataFrame:
    """Accuracy with so many vectors left out: count, accuracy (mean over random orders), low and
    high (range of the orders; for the whole prompt and without any vector the Wilson interval),
    orders, n. Empty if not stored.
    """
    found = store.read(spec)
    names = "count accuracy low high orders n".split()  # noqa: SIM905
    if found is None:
        return pd.DataFrame(columns=names)
    curves = found.curve / found.n
    out = [(0, found.whole / found.n, *wilson(found.whole, found.n), 1)]
    for i, count in enumerate(found.counts.tolist()):
        column = curves[:, i]
        ends = (float(column.min()), float(column.max()))
        if count == len(found.row):
            ends = wilson(int(found.curve[0, i]), found.n)
        out.append((count, float(column.mean()), *ends, len(curves)))
    return pd.DataFrame(out, columns=names[:-1]).assign(n=found.n)


def between_rows(first: SoftPrompt, second: SoftPrompt) -> pd.DataFrame:
    """Cosine of each vector of one prompt with each of another, or of itself: row, other,
    cosine.
    """
    a, b = units(first.array), units(second.array)
    cosine = a @ b.T
    row, other = (g.ravel() for g in np.indices(cosine.shape))
    return pd.DataFrame({"row": row, "other": other, "cosine": cosine.ravel()})


def neighbours(
    store: Store, prompt: Prompt, others: list[Prompt], count: int = 8, dead: Dead = never
) -> pd.DataFrame:
    """The prompts most like one, by averaged cosine: task, seed, cosine, the nearest first; of
    `dead` ones without the first vector, which never reaches the model.
    """
    here = store.read(prompt)
    known = [p for p in others if p != prompt]
    found = [(p, read) for p in known if (read := store.read(p)) is not None]
    if here is None or not found:
        return pd.DataFrame(columns=["task", "seed", "cosine"])
    every = (here, *(read for _, read in found))
    vectors = [p.array[int(dead(p.spec)) :] for p in every]
    table = pd.DataFrame(
        {
            "task": [p.source_task for p, _ in found], "seed": [p.seed for p, _ in found],
            "cosine": cosine_average(vectors)[0, 1:],
        }
    )  # fmt: skip
    return table.nlargest(count, "cosine").reset_index(drop=True)
