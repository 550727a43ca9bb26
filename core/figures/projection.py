"""How well do prompts of one backbone work on another one, once they are projected?"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from core.figures.queries import right
from core.measures.evaluation import EvaluationSpec
from core.stats.intervals import Estimate, crossed, mean_accuracy, mean_of
from core.store import Store

LEARNED, SAME, OTHER = "training tasks", "unseen tasks", "unseen categories"
FEWEST = 4  # tasks that are samples of their category
GROUPS = (LEARNED, SAME, OTHER)
HOW = {
    "own": "tuned on the target",
    "task": "projected, by task",
    "distance": "projected, by distance",
    "task-random": "random words, projected by task",
    "distance-random": "random words, projected by distance",
    "random": "random words",
}
COLUMNS = "task group how accuracy low high n prompts majority relative".split()  # noqa: SIM905
Asked = Mapping[str, Mapping[str, Sequence[EvaluationSpec]]]
"""By task and by how the prompts came about (`projections.questions`)."""


def groups(categories: Mapping[str, str], learned: Sequence[str]) -> dict[str, str]:
    """Task -> whether a projector was trained on it, on another of its category, or on neither."""
    known = {categories[t] for t in learned}
    return {
        t: LEARNED if t in learned else SAME if c in known else OTHER
        for t, c in categories.items()
    }  # fmt: skip


def accuracies(store: Store, asked: Asked, group: Mapping[str, str]) -> pd.DataFrame:
    """One row per task and kind of prompt (`how`): group, accuracy, low, high (95 %, examples and
    prompts redrawn), n, prompts, majority, relative (accuracy divided by that of the task's own
    prompts, NaN until these are stored).
    """
    out = list[dict[str, object]]()
    for task, kinds in asked.items():
        own = float("nan")
        for how, specs in kinds.items():
            found = right(store, specs)
            if found is None:
                continue
            correct, majority = found
            value = mean_accuracy(correct)
            own = value.value if how == "own" else own
            out.append(
                {
                    "task": task, "group": group[task], "how": how, "accuracy": value.value,
                    "low": value.low, "high": value.high, "n": correct.shape[1],
                    "prompts": len(correct), "majority": majority, "relative": value.value / own,
                }
            )  # fmt: skip
    return pd.DataFrame(out, columns=COLUMNS)


def by_group(table: pd.DataFrame) -> pd.DataFrame:
    """`accuracies` with a row per group (as `task`) and kind of prompt: means over the group's
    tasks. low and high are for these very tasks, whose own intervals are combined; `majority` is a
    mean, too; relative is that of the means.
    """
    out = list[dict[str, object]]()
    for name, rows in table.groupby("group", sort=False):
        own = rows[rows.how == "own"].accuracy.mean()
        for how, mine in rows.groupby("how", sort=False):
            each = [
                Estimate(value=row.accuracy, low=row.low, high=row.high)
                for row in mine.itertuples()
            ]
            value = mean_of(each)
            out.append(
                {
                    "task": name, "group": name, "how": how, "accuracy": value.value,
                    "low": value.low, "high": value.high, "n": mine.n.sum(),
                    "prompts": mine.prompts.sum(), "majority": mine.majority.mean(),
                    "relative": value.value / own,
                }
            )  # fmt: skip
    return pd.DataFrame(out, columns=COLUMNS)


def gain(
    store: Store, asked: Asked, group: Mapping[str, str], how: str, over: str = "random"
) -> pd.DataFrame:
    """What one kind of prompt gains over another: per group, the mean over tasks and prompts (of
    the same seed) of the difference in accuracy: gain, low and high (95 %, tasks and prompts are
    samples; NaN for fewer than four tasks), tasks, prompts, accuracy (mean of the first kind).
    """
    out = list[dict[str, object]]()
    for name in GROUPS:
        found = []
        for task, kinds in asked.items():
            if group[task] != name or how not in kinds:
                continue
            first, second = right(store, kinds[how]), right(store, kinds[over])
            if first is not None and second is not None:
                found.append((first[0].mean(axis=1), second[0].mean(axis=1)))
        if found:
            means = np.array(found)  # [task kind prompt]
            value: Estimate = crossed(means[:, 0] - means[:, 1])
            if len(means) < FEWEST:
                value = replace(value, low=math.nan, high=math.nan)
            out.append(
                {
                    "group": name, "how": how, "over": over, "gain": value.value,
                    "low": value.low, "high": value.high, "tasks": len(means),
                    "prompts": means.shape[2], "accuracy": float(means[:, 0].mean()),
                }
            )  # fmt: skip
    names = "group how over gain low high tasks prompts accuracy".split()  # noqa: SIM905
    return pd.DataFrame(out, columns=names)
