"""Clean against adversarial data: accuracy and suppression, one table per figure.

overlap.py compares the neurons, and verdict.py states the results in words.

Every function takes the sweeps by backbone and returns only what is stored; missing answers have no
rows. Columns are named in each docstring.
"""

import math
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from jaxtyping import Bool

from core.figures import asked, queries, suppressed
from core.measures.sweeps import RobustnessSweep
from core.stats.intervals import Estimate, crossed, difference, holm, mean_accuracy, redrawn
from core.store import Store
from core.tasks import Task
from core.tasks.data import load_split

Sweeps = Mapping[str, RobustnessSweep]
CLEAN, ADVERSARIAL = "clean", "adversarial"
Array = npt.NDArray[Any]
Right = Bool[npt.NDArray[np.bool_], "prompt example"]


def attacks(adversarial: Task) -> dict[int, str]:
    """The kind of attack by example; empty where the data do not give it."""
    examples = load_split(adversarial, adversarial.evaluation_split)
    return dict(zip(examples.index.tolist(), examples.attack or (), strict=False))


# --- accuracy ------------------------------------------------------------------------------------
def answers(store: Store, sweeps: Sweeps, tasks: tuple[Task, Task]) -> pd.DataFrame:
    """One row per backbone, data (clean, adversarial), prompt, seed and example: attack (empty on
    clean data), right (0 or 1). The raw material of every interval on the page.
    """
    specs = [s for sweep in sweeps.values() for s in sweep.evaluations]
    rows = store.frame(
        "SELECT a.backbone, a.target_task, a.prompt, a.seed, unnest(e.rows) AS example,"
        " unnest(e.scores) AS score FROM asked a JOIN evaluation e USING (key)"
        " ORDER BY a.backbone, a.target_task, a.seed, a.prompt, example",
        asked=asked.table(specs),
    )
    _, adversarial = tasks
    kinds = attacks(adversarial)
    rows["data"] = np.where(rows.target_task == adversarial.name, ADVERSARIAL, CLEAN)
    attacked = rows.data == ADVERSARIAL
    rows["attack"] = ""
    rows.loc[attacked, "attack"] = rows.example[attacked].map(kinds).fillna("")
    rows["right"] = (rows.score == 1).astype(int)
    return rows[["backbone", "data", "prompt", "seed", "example", "attack", "right"]]


def _table(rows: pd.DataFrame) -> Right:
    """`[prompt example]`, in the order of seeds; every prompt answered the same examples."""
    wide = rows.pivot_table(
        index=["seed", "prompt"], columns="example", values="right", aggfunc="first"
    )
    table: Right = wide.dropna(axis=0).to_numpy().astype(bool)
    return table


def accuracy(rows: pd.DataFrame) -> pd.DataFrame:
    """From `answers`: one row per backbone and data, then per attack kind: data, attack, accuracy,
    low, high (95%), n, seeds.
    """
    groups = [("", rows)]
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


def accuracy_drops(rows: pd.DataFrame) -> dict[str, Estimate]:
    """From `answers`: accuracy drop from clean to adversarial data, per backbone."""
    return {
        backbone: difference(*(_table(part[part.data == d]) for d in (CLEAN, ADVERSARIAL)))
        for backbone, part in _complete(rows)
    }


def drop_difference(rows: pd.DataFrame, first: str, second: str) -> Estimate:
    """Difference in accuracy drop, second backbone minus first. Both answer the same examples, so
    these are resampled jointly; their prompts are unrelated and are resampled independently.
    """
    parts = dict(_complete(rows))

    def drop(backbone: str) -> tuple[float, npt.NDArray[np.float64]]:
        part, prompts = parts[backbone], zlib.crc32(backbone.encode())
        clean, attacked = (_table(part[part.data == d]) for d in (CLEAN, ADVERSARIAL))
        draws = [
            redrawn(right.astype(float), prompts=prompts, examples=examples)
            for examples, right in enumerate((clean, attacked))
        ]
        return float(clean.mean() - attacked.mean()), draws[0] - draws[1]

    (a, a_draws), (b, b_draws) = drop(first), drop(second)
    low, high = np.quantile(b_draws - a_draws, [0.025, 0.975])
    return Estimate(value=b - a, low=float(low), high=float(high))


def both_kinds(rows: pd.DataFrame) -> pd.DataFrame:
    """From `answers`: the rows of prompts that answered both kinds of data."""
    return rows[rows.groupby(["backbone", "prompt"]).data.transform("nunique") == 2]


def _complete(rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Backbones that have answered both kinds of data, by the prompts that answered both."""
    kept = both_kinds(rows)
    return [(str(backbone), part) for backbone, part in kept.groupby("backbone", sort=False)]


# --- suppression ---------------------------------------------------------------------------------
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


def paired_tests(store: Store, sweeps: Sweeps, kinds: Mapping[int, str]) -> pd.DataFrame:
    """Does suppressing skill neurons cost more accuracy than suppressing random ones?

    One row per backbone, found, tested and, on adversarial data, kind of attack (`kinds` by
    example; empty: all examples): cost (accuracy with random minus accuracy with skill neurons
    suppressed, on the same examples, averaged over fractions, seeds and draws), low, high, p,
    p_holm (over a backbone's rows with all examples; over the attacks of one ranking), n, draws,
    seeds. Prompts, random draws and examples are all treated as samples (`crossed`).
    """
    out = list[dict[str, object]]()
    for backbone, sweep in sweeps.items():
        for (found, tested), specs in sweep.suppression.items():
            costs = suppressed.costs(store, specs)
            if costs is None:
                continue
            table, examples = costs
            attack = np.array([kinds.get(int(i), "") for i in examples])
            groups = {"": np.ones(len(examples), bool)}
            if tested == ADVERSARIAL:
                groups |= {k: attack == k for k in dict.fromkeys(attack.tolist()) if k}
            for name, mask in groups.items():
                test = crossed(table[:, :, mask])
                out.append(
                    {
                        "backbone": backbone, "found": found, "tested": tested, "attack": name,
                        "cost": test.value, "low": test.low, "high": test.high, "p": test.p,
                        "n": int(mask.sum()), "draws": table.shape[1], "seeds": table.shape[0],
                    }
                )  # fmt: skip
    names = "backbone found tested attack cost low high p n draws seeds".split()  # noqa: SIM905
    tests = pd.DataFrame(out, columns=names)
    tests["p_holm"] = math.nan
    family = tests.found.where(tests.attack != "", "")
    for _, part in tests.groupby(["backbone", family]):
        tests.loc[part.index, "p_holm"] = holm(part.p.to_numpy(np.float64))
    return tests
