"""Clean against adversarial: one table per figure. finding.py puts them into words.

Every function takes the sweeps by backbone and tells only what is stored; what is not is not in the
table. Columns are named in each docstring.
"""

import math
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from jaxtyping import Bool

from core import queries
from core.correlation import spearman
from core.data import load_split
from core.neurons import count
from core.rankings import compare, mean_of
from core.specs import EvaluationSpec, PredictivitySpec, key
from core.statistics import (
    Estimate,
    Ranking,
    Z,
    difference,
    holm,
    mean_accuracy,
    median_standing,
    paired,
    percentiles,
    redrawn,
)
from core.store import Store
from core.sweeps import PAPER_FRACTIONS, RobustnessSweep
from core.tasks import Task

Sweeps = Mapping[str, RobustnessSweep]
CLEAN, ADVERSARIAL = "clean", "adversarial"
Right = Bool[npt.NDArray[np.bool_], "seed example"]


# --- accuracy ------------------------------------------------------------------------------------
def answers(store: Store, sweeps: Sweeps, tasks: tuple[Task, Task]) -> pd.DataFrame:
    """One row per backbone, data (clean, adversarial), seed and example: attack (empty on clean
    data), right (0 or 1). The raw material of every interval on the page.
    """
    specs = [s for sweep in sweeps.values() for s in sweep.evaluations]
    rows = store.frame(
        "SELECT backbone, target_task, seed, unnest(rows) AS example, unnest(labels) AS label,"
        " unnest(predictions) AS prediction FROM evaluation WHERE key IN ?"
        " ORDER BY backbone, target_task, seed, example",
        [[key(s) for s in specs]],
    )
    _, twin = tasks
    rows["data"] = np.where(rows.target_task == twin.name, ADVERSARIAL, CLEAN)
    examples = load_split(twin, twin.evaluation_split)
    kinds = dict(zip(examples.index.tolist(), examples.attack or (), strict=False))
    attacked = rows.data == ADVERSARIAL
    rows["attack"] = ""
    rows.loc[attacked, "attack"] = rows.example[attacked].map(kinds).fillna("")
    rows["right"] = (rows.label == rows.prediction).astype(int)
    return rows[["backbone", "data", "seed", "example", "attack", "right"]]


def _table(rows: pd.DataFrame) -> Right:
    """`[seed example]`; every seed was asked the same examples."""
    wide = rows.pivot_table(index="seed", columns="example", values="right", aggfunc="first")
    table: Right = wide.dropna(axis=0).to_numpy().astype(bool)
    return table


def accuracy(rows: pd.DataFrame) -> pd.DataFrame:
    """From `answers`: one row per backbone and data, then per attack kind: data, attack, accuracy,
    low, high (95 %), n, seeds.
    """
    groups = [("", part) for part in [rows]]
    groups += [(kind, rows[rows.attack == kind]) for kind in rows.attack.unique() if kind]
    out = list[dict[str, object]]()
    for kind, part in groups:
        for (backbone, data), mine in part.groupby(["backbone", "data"], sort=False):
            right = _table(mine)
            value = mean_accuracy(right)
            out.append(
                {
                    "backbone": backbone, "data": data, "attack": kind, "accuracy": value.value,
                    "low": value.low, "high": value.high, "n": right.shape[1],
                    "seeds": right.shape[0],
                }
            )  # fmt: skip
    names = ["backbone", "data", "attack", "accuracy", "low", "high", "n", "seeds"]
    return pd.DataFrame(out, columns=names)


def falls(rows: pd.DataFrame) -> dict[str, Estimate]:
    """From `answers`: accuracy lost from clean to adversarial data, per backbone."""
    return {
        backbone: difference(*(_table(part[part.data == d]) for d in (CLEAN, ADVERSARIAL)))
        for backbone, part in _complete(rows)
    }


def fall_difference(rows: pd.DataFrame, first: str, second: str) -> Estimate:
    """How much more the second backbone loses. Both answer the same examples, which are redrawn
    alike; a seed's prompts of two backbones have nothing to do with each other.
    """
    parts = dict(_complete(rows))

    def fall(backbone: str) -> tuple[float, npt.NDArray[np.float64]]:
        part, prompts = parts[backbone], zlib.crc32(backbone.encode())
        clean, attacked = (_table(part[part.data == d]) for d in (CLEAN, ADVERSARIAL))
        draws = [
            redrawn(right.astype(float), prompts=prompts, examples=examples)
            for examples, right in enumerate((clean, attacked))
        ]
        return float(clean.mean() - attacked.mean()), draws[0] - draws[1]

    (a, a_draws), (b, b_draws) = fall(first), fall(second)
    low, high = np.quantile(b_draws - a_draws, [0.025, 0.975])
    return Estimate(value=b - a, low=float(low), high=float(high))


def _complete(rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Backbones that have answered both kinds of data, by the prompts that answered both."""
    found = list[tuple[str, pd.DataFrame]]()
    for backbone, part in rows.groupby("backbone", sort=False):
        kept = part[part.groupby("seed").data.transform("nunique") == 2]
        if len(kept):
            found.append((str(backbone), kept))
    return found


# --- the same neurons? ---------------------------------------------------------------------------
def _ranking(store: Store, specs: Sequence[PredictivitySpec]) -> Ranking | None:
    """Seed-mean predictivity; None until all of it is stored."""
    if len(store.known(key(s) for s in specs)) < len({key(s) for s in specs}):
        return None
    return mean_of(store, specs)


def _both(store: Store, sweeps: Sweeps) -> list[tuple[str, Ranking, Ranking]]:
    """The clean and the adversarial ranking of every backbone that has both."""
    found = list[tuple[str, Ranking, Ranking]]()
    for backbone, sweep in sweeps.items():
        clean, twin = _ranking(store, sweep.clean), _ranking(store, sweep.adversarial)
        if clean is not None and twin is not None:
            found.append((backbone, clean, twin))
    return found


def overlap(store: Store, sweeps: Sweeps) -> pd.DataFrame:
    """Shared skill neurons per backbone and fraction, all layers together: asked (neurons in that
    share of each layer), chosen (clean skill neurons, at most so many), adversarial (skill
    neurons), shared, share (of chosen), low and high (bootstrap, see `agreement`), chance,
    chance_low, chance_high (hypergeometric, 95 %), p (at least so many by chance), ceiling (clean
    against clean).
    """
    draws = _draws(store, sweeps)
    out = list[dict[str, object]]()
    for backbone, clean, twin in _both(store, sweeps):
        mine = draws[draws.backbone == backbone]
        for fraction in PAPER_FRACTIONS[1:]:
            layers, width = clean.predictivity.shape
            pair = compare(clean.skill(fraction), twin.skill(fraction))
            if pair.first == 0:
                continue
            again = mine[mine.fraction == fraction].groupby("kind").share
            half = Z * again.std().get("bootstrap", math.nan)
            out.append(
                {
                    "backbone": backbone, "fraction": fraction,
                    "asked": layers * count(width, fraction), "chosen": pair.first,
                    "adversarial": pair.second, "shared": pair.shared, "share": pair.share,
                    "low": np.maximum(0.0, pair.share - half),
                    "high": np.minimum(1.0, pair.share + half),
                    "chance": pair.of(pair.chance.mean), "chance_low": pair.of(pair.chance.low),
                    "chance_high": pair.of(pair.chance.high), "p": pair.p,
                    "ceiling": again.mean().get("ceiling", math.nan),
                }
            )  # fmt: skip
    return pd.DataFrame(out, columns=OVERLAP)


OVERLAP = (
    "backbone fraction asked chosen adversarial shared share low high chance chance_low"  # noqa: SIM905
    " chance_high p ceiling".split()
)


def overlap_by_layer(store: Store, sweeps: Sweeps, fraction: float) -> pd.DataFrame:
    """Shared skill neurons per backbone and layer at one fraction: chosen (clean skill neurons),
    adversarial (skill neurons), shared, share (of chosen), chance, chance_low, chance_high, p (Holm
    over the layers of a backbone).
    """
    out = list[dict[str, object]]()
    for backbone, clean, twin in _both(store, sweeps):
        first, second = clean.skill(fraction), twin.skill(fraction)
        pairs = [compare(a[None], b[None]) for a, b in zip(first, second, strict=True)]
        adjusted = holm(np.array([pair.p for pair in pairs]))
        out += [
            {
                "backbone": backbone, "layer": layer, "chosen": pair.first,
                "adversarial": pair.second, "shared": pair.shared, "share": pair.share,
                "chance": pair.of(pair.chance.mean), "chance_low": pair.of(pair.chance.low),
                "chance_high": pair.of(pair.chance.high), "p": p,
            }
            for layer, (pair, p) in enumerate(zip(pairs, adjusted, strict=True))
        ]  # fmt: skip
    names = (
        "backbone layer chosen adversarial shared share chance chance_low chance_high p".split()  # noqa: SIM905
    )
    return pd.DataFrame(out, columns=names)


def standing(
    store: Store, sweeps: Sweeps, fraction: float
) -> tuple[pd.DataFrame, dict[str, Estimate]]:
    """Where the clean skill neurons stand among the adversarial predictivities of their layer: one
    row per such neuron (backbone, layer, neuron, percentile in (0, 1), clean and adversarial: its
    predictivities); and per backbone the median, the central 95 % of the medians of random choices,
    and the permutation p-value.
    """
    out, medians = list[pd.DataFrame](), dict[str, Estimate]()
    for backbone, clean, twin in _both(store, sweeps):
        mask, place = clean.skill(fraction), percentiles(twin.predictivity)
        layer, neuron = np.nonzero(mask)
        out.append(
            pd.DataFrame(
                {
                    "backbone": backbone, "layer": layer, "neuron": neuron,
                    "percentile": place[mask], "clean": clean.predictivity[mask],
                    "adversarial": twin.predictivity[mask],
                }
            )
        )  # fmt: skip
        medians[backbone] = median_standing(place, mask)
    names = ["backbone", "layer", "neuron", "percentile", "clean", "adversarial"]
    return (pd.concat(out) if out else pd.DataFrame(columns=names)), medians


def _draws(store: Store, sweeps: Sweeps) -> pd.DataFrame:
    """Replicates of the stored agreements: backbone, draw, kind, spearman (mean over layers),
    fraction, share (of the first's skill neurons, how many are the second's, too).
    """
    names = {key(s.agreement): b for b, s in sweeps.items()}
    rows = store.frame(
        "WITH draws AS (SELECT backbone, generate_subscripts(kind, 1) AS draw,"
        " unnest(kind) AS kind, unnest(spearman) AS by_layer, unnest(shared) AS counts,"
        " unnest(chosen) AS sizes, fractions FROM agreement WHERE key IN ?)"
        " SELECT backbone, draw, kind, list_avg(list_filter(by_layer, lambda x: NOT isnan(x)))"
        " AS spearman, unnest(fractions) AS fraction, unnest(counts) AS shared,"
        " unnest(sizes) AS chosen FROM draws ORDER BY backbone, draw, fraction",
        [list(names)],
    )
    return rows.assign(share=rows.shared / rows.chosen.clip(lower=1))


def replicates(store: Store, sweeps: Sweeps) -> pd.DataFrame:
    """Every comparison of `agreement`: backbone, draw, kind, spearman."""
    rows = _draws(store, sweeps)
    return rows.drop_duplicates(["backbone", "draw"])[["backbone", "draw", "kind", "spearman"]]


Others = Mapping[str, Sequence[Sequence[PredictivitySpec]]]


def _elsewhere(
    store: Store, sweep: RobustnessSweep, others: Sequence[Sequence[PredictivitySpec]]
) -> float:
    """Mean Spearman of the clean ranking with the adversarial rankings of other tasks; NaN if none
    is stored.
    """
    clean = _ranking(store, sweep.clean)
    found = [r for r in (_ranking(store, specs) for specs in others) if r is not None]
    if clean is None or not found:
        return math.nan
    rhos = [spearman(clean.predictivity, twin.predictivity) for twin in found]
    return float(np.mean([np.nanmean(rho) for rho in rhos]))


def agreement(store: Store, sweeps: Sweeps, others: Others | None = None) -> pd.DataFrame:
    """Spearman of clean and adversarial predictivities per backbone (mean over layers): spearman,
    elsewhere (mean Spearman with the adversarial rankings of other tasks, `others` by backbone),
    error (standard deviation over redrawn examples and seeds), low and high (1.96 errors around
    it), ceiling and ceiling_error (clean against clean: mean and standard deviation), n_clean,
    n_adversarial, seeds, replicates.

    Replicates are lower on average than the value itself, since redrawing adds noise to
    predictivities; so their spread counts, not their quantiles.
    """
    rows = replicates(store, sweeps)
    sizes = store.frame(
        "SELECT backbone, n_clean, n_adversarial, seeds FROM agreement WHERE key IN ?",
        [[key(s.agreement) for s in sweeps.values()]],
    )
    out = list[dict[str, object]]()
    for size in sizes.to_dict("records"):
        mine = rows[rows.backbone == size["backbone"]].groupby("kind").spearman
        value, error = float(mine.first()["measured"]), float(mine.std()["bootstrap"])
        out.append(
            {
                **size, "spearman": value,
                "elsewhere": _elsewhere(
                    store, sweeps[size["backbone"]], (others or {}).get(size["backbone"], ())
                ),
                "error": error, "low": max(-1.0, value - Z * error),
                "high": min(1.0, value + Z * error), "ceiling": mine.mean()["ceiling"],
                "ceiling_error": mine.std()["ceiling"], "replicates": int(mine.size()["bootstrap"]),
            }
        )  # fmt: skip
    names = (
        "backbone n_clean n_adversarial seeds spearman elsewhere error low high"  # noqa: SIM905
        " ceiling ceiling_error replicates".split()
    )
    return pd.DataFrame(out, columns=names)


# --- switched off --------------------------------------------------------------------------------
def curves(store: Store, sweeps: Sweeps) -> pd.DataFrame:
    """Suppression curves: `queries.suppression_curve` with found (where the neurons were ranked)
    and tested (where the prompt is tested).
    """
    out = list[pd.DataFrame]()
    for sweep in sweeps.values():
        for (found, tested), specs in sweep.suppression.items():
            part = queries.suppression_curve(store, specs)
            out.append(part.assign(found=found, tested=tested))
    table = pd.concat(out) if out else pd.DataFrame()
    return table.reset_index(drop=True)


def paired_tests(store: Store, sweeps: Sweeps) -> pd.DataFrame:
    """Does switching off skill neurons cost more than random ones? One row per backbone, found and
    tested: cost (accuracy with random less accuracy with skill neurons off, on the same examples,
    averaged over fractions, seeds and draws), low, high, p, p_holm (over the rows of a backbone),
    n.
    """
    out = list[dict[str, object]]()
    for backbone, sweep in sweeps.items():
        rows = list[dict[str, object]]()
        for (found, tested), specs in sweep.suppression.items():
            costs = _costs(store, specs)
            if costs is None:
                continue
            test = paired(costs)
            rows.append(
                {
                    "backbone": backbone, "found": found, "tested": tested, "cost": test.value,
                    "low": test.low, "high": test.high, "p": test.p, "n": len(costs),
                }
            )  # fmt: skip
        adjusted = holm(np.array([r["p"] for r in rows], float))
        out += [{**r, "p_holm": p} for r, p in zip(rows, adjusted, strict=True)]
    names = ["backbone", "found", "tested", "cost", "low", "high", "p", "p_holm", "n"]
    return pd.DataFrame(out, columns=names)


def _costs(store: Store, specs: Sequence[EvaluationSpec]) -> npt.NDArray[np.float64] | None:
    """Per example: how often it is right with random neurons off, less with skill neurons off; None
    until the whole curve is stored.
    """
    asked = [s for s in specs if s.suppression is not None]
    rows = store.frame(
        "SELECT choose, unnest(rows) AS example, unnest(list_transform(list_zip(labels,"
        " predictions), lambda x: (x[1] = x[2])::INT)) AS right_answer"
        " FROM evaluation WHERE key IN ?",
        [[key(s) for s in asked]],
    )
    if len(store.known(key(s) for s in asked)) < len({key(s) for s in asked}):
        return None
    means = rows.groupby(["example", "choose"]).right_answer.mean().unstack()
    if not {"skill", "random"} <= set(means):
        return None
    costs: npt.NDArray[np.float64] = (means["random"] - means["skill"]).to_numpy(np.float64)
    return costs
