"""Do prompts transfer where neurons are shared? Pairs of tasks, and how the two go together."""

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from core.figures.rankings import compare
from core.stats.intervals import Estimate, over_clusters
from core.stats.neurons import Ranking

Rankings = Mapping[tuple[str, str], Ranking]
"""By backbone and task, as `queries.rankings` has them."""
PAIRS = "backbone neurons source_task target_task shared chance transferred".split()  # noqa: SIM905


def pairs(
    transfer: pd.DataFrame, rankings: Mapping[str, Rankings], fraction: float
) -> pd.DataFrame:
    """One row per backbone, kind of neuron (`skill`, `causal`: the keys of `rankings`) and ordered
    pair of different tasks: shared (share of the source's neurons that are also the target's),
    chance (the same for independent choices), transferred (`value` of `queries.transfer`).
    """
    values = transfer.set_index(["backbone", "source_task", "target_task"]).value
    out = list[dict[str, object]]()
    for kind, found in rankings.items():
        tops = {name: ranking.top(fraction) for name, ranking in found.items()}
        for (backbone, source), first in tops.items():
            for (other, target), second in tops.items():
                known = (backbone, source, target) in values.index
                if other != backbone or source == target or not known or not first.any():
                    continue
                both = compare(first, second)
                out.append(
                    {
                        "backbone": backbone, "neurons": kind, "source_task": source,
                        "target_task": target, "shared": both.share,
                        "chance": both.of(both.chance.mean),
                        "transferred": float(values[backbone, source, target]),
                    }
                )  # fmt: skip
    return pd.DataFrame(out, columns=PAIRS)


def correlations(table: pd.DataFrame) -> pd.DataFrame:
    """Spearman of shared and transferred per backbone and kind of neuron: spearman, low and high
    (95%, tasks are clusters), apart (over the pairs of different category), pairs, tasks. The
    table is that of `pairs`, with a column `same` (category).
    """
    out = list[dict[str, object]]()
    for (backbone, neurons), mine in table.groupby(["backbone", "neurons"], sort=False):
        tasks = sorted({*mine.source_task, *mine.target_task})
        rho = over_tasks(mine, tasks)
        other = mine[~mine.same]
        out.append(
            {
                "backbone": backbone, "neurons": neurons, "spearman": rho.value, "low": rho.low,
                "high": rho.high,
                "apart": spearman(other.shared.to_numpy(), other.transferred.to_numpy()),
                "pairs": len(mine), "tasks": len(tasks),
            }
        )  # fmt: skip
    names = "backbone neurons spearman low high apart pairs tasks".split()  # noqa: SIM905
    return pd.DataFrame(out, columns=names)


def over_tasks(mine: pd.DataFrame, tasks: list[str]) -> Estimate:
    """Spearman with its 95% interval from leaving out one task, and all its pairs, at a time."""
    x, y = mine.shared.to_numpy(float), mine.transferred.to_numpy(float)
    source, target = mine.source_task.to_numpy(), mine.target_task.to_numpy()

    def of(kept: npt.NDArray[np.intp]) -> float:
        names = [tasks[i] for i in kept]
        rows = np.isin(source, names) & np.isin(target, names)
        return spearman(x[rows], y[rows])

    found = over_clusters(tasks, of)
    low, high = (float(np.clip(end, -1, 1)) for end in (found.low, found.high))
    return Estimate(value=found.value, low=low, high=high)


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Rank correlation; NaN of constant or too few values."""
    from scipy.stats import rankdata  # slow to import; the first page does not need it

    a, b = rankdata(x), rankdata(y)
    if len(a) < 3 or a.std() == 0 or b.std() == 0:
        return math.nan
    return float(np.corrcoef(a, b)[0, 1])
