"""How alike are prompts, by each indicator, and do alike prompts transfer?

A table of likeness has one row per backbone, indicator and ordered pair of tasks: backbone,
indicator, source_task, target_task, value, pairs (of prompts, over which the value is the mean);
lowest and highest of these pairs, where there are several.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from jaxtyping import Float

from core.base.markdown import plain
from core.base.prompts import Dead, Prompt, never
from core.figures import queries
from core.figures.categories import same as same_category
from core.figures.queries import Clean
from core.figures.rankings import compare
from core.figures.words import each, ranged, two
from core.measures.activated import ActivatedSpec
from core.measures.sweeps import SimilaritySweep
from core.stats.correlation import spearman
from core.stats.neurons import Ranking
from core.stats.similarity import (
    EMBEDDINGS,
    SIMILARITY,
    overlapping_rate,
    windows,
    with_transfer,
)
from core.store import Store

Array = npt.NDArray[Any]
TITLES = {
    "cosine_average": "averaged cosine",
    "cosine_concat": "concatenated cosine",
    "euclidean_average": "averaged Euclidean similarity",
    "euclidean_concat": "concatenated Euclidean similarity",
    "activated": "overlap of activated neurons (ON)",
    "predictivity": "correlation of predictivities",
    "causal": "shared causal neurons",
}
FIRST = "cosine_average"  # the indicator of which a sentence speaks
LIVE = "_live"  # ending of an embedding indicator without the dead row
WINDOW = "activated_"  # beginning of an overlapping rate over a window of layers
COLUMNS = "backbone indicator source_task target_task value pairs".split()  # noqa: SIM905
RANGE = ["lowest", "highest"]  # of the pairs of prompts, where there are several
SHARED = 0.05  # of each layer: the causal neurons compared between tasks


def title(indicator: str) -> str:
    """An indicator's name in figures."""
    if is_window(indicator):
        return f"ON, layers {indicator.removeprefix(WINDOW)}"
    live = " (without dead row)" * indicator.endswith(LIVE)
    return TITLES[indicator.removesuffix(LIVE)] + live


def is_window(indicator: str) -> bool:
    """Whether it is an overlapping rate over a window of layers, not over all."""
    return indicator.startswith(WINDOW)


def order(found: Sequence[str]) -> list[str]:
    """Indicators in the order of figures, each once."""
    known = list(TITLES)

    def place(name: str) -> tuple[int, list[int], str]:
        """Windows by their first layer, not as texts."""
        if is_window(name):
            first, last = name.removeprefix(WINDOW).split(" to ")
            return known.index("activated"), [int(first), int(last)], name
        return known.index(name.removesuffix(LIVE)), [], name

    return sorted(dict.fromkeys(found), key=place)


# --- likeness ------------------------------------------------------------------------------------
def embeddings(
    vectors: Sequence[Float[Array, "token hidden"]], dead: Sequence[bool] = ()
) -> dict[str, Float[Array, "prompt other"]]:
    """Each embedding indicator of some prompts. Concatenated ones only for prompts of one length;
    if some of the prompts have a dead row (`dead`, one each; released prompts of masked models),
    each indicator also without these rows.
    """
    found = dict[str, Array]()
    one_length = len({len(v) for v in vectors}) == 1
    for name in EMBEDDINGS:
        if one_length or name.endswith("average"):
            found[name] = SIMILARITY[name](vectors)
    live = [v[int(cut) :] for v, cut in zip(vectors, dead, strict=False)]
    if any(dead) and all(len(v) for v in live):
        found |= {name + LIVE: values for name, values in embeddings(live).items()}
    return found


def over_tasks(prompts: Sequence[Prompt], values: Array, backbone: str, name: str) -> pd.DataFrame:
    """A matrix of prompts as a table of likeness: the mean over pairs of prompts with different
    seeds, because those with the same seed started from the same vectors and stay alike. If some
    two tasks have no such prompts, all pairs are taken, for all tasks; never a prompt with itself.
    """
    places: dict[str, list[int]] = {}
    for i, prompt in enumerate(prompts):
        places.setdefault(prompt.source_task, []).append(i)
    seeds = np.array([p.seed for p in prompts])
    apart = seeds[:, None] != seeds
    if not all(
        apart[np.ix_(a, b)].any() for s, a in places.items() for t, b in places.items() if s != t
    ):
        apart = ~np.eye(len(prompts), dtype=bool)
    out = list[dict[str, object]]()
    for source, first in places.items():
        for target, second in places.items():
            block = np.ix_(first, second)
            kept = apart[block]
            if kept.any():
                pairs = int(kept.sum()) // (2 if source == target else 1)
                mine = values[block][kept]
                out.append(
                    {
                        "backbone": backbone, "indicator": name, "source_task": source,
                        "target_task": target, "value": float(mine.mean()), "pairs": pairs,
                        "lowest": float(mine.min()), "highest": float(mine.max()),
                    }
                )  # fmt: skip
    return pd.DataFrame(out, columns=COLUMNS + RANGE)


def of_prompts(
    store: Store, backbone: str, prompts: Sequence[Prompt], dead: Dead = never
) -> pd.DataFrame:
    """Likeness by the vectors of the stored ones among the prompts of a backbone; `dead`: of which
    ones the first row never reaches the model.
    """
    known = [found for p in prompts if (found := store.read(p)) is not None]
    if not known:
        return pd.DataFrame(columns=COLUMNS)
    matrices = embeddings([p.array for p in known], [dead(p.spec) for p in known])
    specs = [p.spec for p in known]
    tables = [over_tasks(specs, values, backbone, name) for name, values in matrices.items()]
    return pd.concat(tables, ignore_index=True)


def of_activated(store: Store, backbone: str, specs: Sequence[ActivatedSpec]) -> pd.DataFrame:
    """Likeness by the neurons that prompts activate: all layers, and windows of three."""
    known = [found for s in specs if (found := store.read(s)) is not None]
    if not known:
        return pd.DataFrame(columns=COLUMNS)
    active, prompts = [a.active for a in known], [a.spec.prompt for a in known]
    tables = []
    for i, (first, last) in enumerate(windows(len(active[0]))):
        name = f"{WINDOW}{first} to {last}" if i else "activated"
        rate = overlapping_rate(active, first, last)
        tables.append(over_tasks(prompts, rate, backbone, name))
    return pd.concat(tables, ignore_index=True)


def of_rankings(
    backbone: str, name: str, found: Mapping[str, Ranking], of: Callable[[Ranking, Ranking], float]
) -> pd.DataFrame:
    """Likeness by rankings of neurons, one a task (means over seeds)."""
    out = [
        {
            "backbone": backbone, "indicator": name, "source_task": source, "target_task": target,
            "value": of(first, second), "pairs": 1,
        }
        for source, first in found.items()
        for target, second in found.items()
        if source != target
    ]  # fmt: skip
    return pd.DataFrame(out, columns=COLUMNS)


def same_ranks(first: Ranking, second: Ranking) -> float:
    """Spearman of two tasks' values of neurons, mean over layers."""
    return float(np.nanmean(spearman(first.values, second.values)))


def shared_neurons(fraction: float) -> Callable[[Ranking, Ranking], float]:
    """Share of the first task's highest neurons that are also the second's."""
    return lambda first, second: compare(first.top(fraction), second.top(fraction)).share


ALIKE: Mapping[str, Callable[[Ranking, Ranking], float]] = {
    "predictivity": same_ranks, "causal": shared_neurons(SHARED),
}  # fmt: skip
"""How alike two rankings are, by indicator."""


def of_everything(
    store: Store, backbone: str, sweep: SimilaritySweep, *, clean: Clean, dead: Dead = never
) -> pd.DataFrame:
    """Likeness by every indicator whose answers are stored."""
    predictive, causal = (
        {task: found for (_, task), found in queries.rankings(store, specs, clean=clean).items()}
        for specs in (sweep.predictive, sweep.causal)
    )
    parts = [
        of_prompts(store, backbone, sweep.prompts, dead),
        of_activated(store, backbone, sweep.active),
        of_rankings(backbone, "predictivity", predictive, ALIKE["predictivity"]),
        of_rankings(backbone, "causal", causal, ALIKE["causal"]),
    ]
    return pd.concat(parts, ignore_index=True)


# --- against transfer ----------------------------------------------------------------------------
def joined(
    likeness: pd.DataFrame,
    transfer: pd.DataFrame,
    categories: Mapping[str, str],
    *,
    unmeasured: str | None = None,
) -> pd.DataFrame:
    """Likeness with `transferred` (the column `value` of a transfer table) and `same` (category of
    both tasks), pairs of different tasks for which both are known; of a target task that may be
    `unmeasured`, all pairs (`transferred` is then NaN).
    """
    keys = ["backbone", "source_task", "target_task"]
    values = transfer[[*keys, "value"]].rename(columns={"value": "transferred"})
    both = likeness.merge(values, on=keys, how="left")
    same = same_category(both.source_task, both.target_task, categories)
    known = both.transferred.notna() | (both.target_task == unmeasured)
    kept = (both.source_task != both.target_task) & known
    return both.assign(same=same)[kept].reset_index(drop=True)


def agreement(pairs: pd.DataFrame) -> pd.DataFrame:
    """Per backbone and indicator: spearman (mean over target tasks) of likeness and transfer, its
    95% interval (low, high), across_categories (the same without pairs of one category), tasks
    (targets), pairs (rows). The table is that of `joined`.
    """
    out = list[dict[str, object]]()
    for (backbone, name), mine in pairs.groupby(["backbone", "indicator"], sort=False):
        rho = with_transfer(*matrices(mine, mine))
        across = with_transfer(*matrices(mine, mine[~mine.same]))
        out.append(
            {
                "backbone": backbone, "indicator": name, "spearman": rho.value, "low": rho.low,
                "high": rho.high, "across_categories": across.value,
                "tasks": int(mine.target_task.nunique()), "pairs": len(mine),
            }
        )  # fmt: skip
    names = "backbone indicator spearman low high across_categories tasks pairs".split()  # noqa: SIM905
    return pd.DataFrame(out, columns=names)


def sentence(agreed: pd.DataFrame) -> str:
    """How many indicators are related to transfer: the columns of `agreement`."""
    known = agreed.dropna(subset="low")
    if known.empty:
        return "There are too few tasks to say whether more similar prompts transfer better."
    clauses, counts = dict[str, list[str]](), list[str]()
    for backbone, mine in known.groupby("backbone", sort=False):
        above = int((mine.low > 0).sum())
        clause = (
            "Every indicator predicts transfer" if above == len(mine)
            else "Some indicators predict transfer" if above
            else "No indicator clearly predicts transfer"
        )  # fmt: skip
        clauses.setdefault(clause, []).append(str(backbone))
        counts.append(f"{above} of {len(mine)} on {plain(str(backbone))}")
    return f"**{each(clauses)}**: {' and '.join(counts)} (95% interval above 0)."


def quoted(agreed: pd.DataFrame) -> str:
    """How closely the averaged cosine is related to transfer; empty without an interval."""
    first = agreed[agreed.indicator == FIRST].dropna(subset="low")
    if first.empty:
        return ""
    values = [
        f"{ranged(row.spearman, row.low, row.high)} on {plain(row.backbone)}"
        for row in first.itertuples()
    ]
    across = first.dropna(subset="across_categories")
    between = " and ".join(two(value) for value in across.across_categories)
    apart = f" For pairs from different categories only, it is {between}." * bool(between)
    return (
        f"For the {title(FIRST)}, the mean Spearman correlation with transfer is "
        f"{' and '.join(values)}.{apart}"
    )


def matrices(every: pd.DataFrame, mine: pd.DataFrame) -> tuple[Array, Array]:
    """Likeness and transfer, `[source target]`, of some of the pairs; NaN for the others."""
    tasks = sorted({*every.source_task, *every.target_task})
    likeness, transferred = (
        mine.pivot(index="source_task", columns="target_task", values=column)
        .reindex(index=tasks, columns=tasks)
        .to_numpy(float)
        for column in ("value", "transferred")
    )
    return likeness, transferred
