"""How well do prompts of one backbone work on another one, once they are projected?"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from core.figures.queries import rights
from core.figures.words import listed, ranged
from core.measures.evaluation import EvaluationSpec
from core.stats.intervals import Estimate, crossed, mean_accuracy, redrawn
from core.store import Store

LEARNED, SAME, OTHER = "training tasks", "unseen tasks", "unseen categories"
FEWEST = 4  # tasks that are samples of their category
GROUPS = (LEARNED, SAME, OTHER)
HOW = {
    "own": "tuned on the target",
    "task": "projected, task loss",
    "distance": "projected, distance loss",
    "task-random": "projected random tokens, task loss",
    "distance-random": "projected random tokens, distance loss",
    "random": "random tokens",
}
COLUMNS = "task group how accuracy low high n prompts majority relative".split()  # noqa: SIM905
Asked = Mapping[str, Mapping[str, Sequence[EvaluationSpec]]]
"""By task and by how the prompts came about (`projections.questions`)."""
Rights = Mapping[tuple[str, str], tuple[npt.NDArray[np.bool_], float]]
"""(task, how) -> `[prompt example]` of correct answers and the majority-class accuracy."""


def read(store: Store, asked: Asked) -> Rights:
    """The answers that are stored, read at once."""
    return rights(
        store, {(task, how): specs for task, kinds in asked.items() for how, specs in kinds.items()}
    )


def groups(categories: Mapping[str, str], learned: Sequence[str]) -> dict[str, str]:
    """Task -> whether a projector was trained on it, on another of its category, or on neither."""
    known = {categories[t] for t in learned}
    return {
        t: LEARNED if t in learned else SAME if c in known else OTHER
        for t, c in categories.items()
    }  # fmt: skip


def accuracies(found: Rights, group: Mapping[str, str]) -> pd.DataFrame:
    """One row per task and kind of prompt (`how`): group, accuracy, low, high (95%, examples and
    prompts redrawn), n, prompts, majority, relative (accuracy divided by that of the task's own
    prompts, NaN until these are stored).
    """
    out = list[dict[str, object]]()
    for (task, how), (correct, majority) in found.items():
        value = mean_accuracy(correct)
        own = found[task, "own"][0].mean() if (task, "own") in found else float("nan")
        out.append(
            {
                "task": task, "group": group[task], "how": how, "accuracy": value.value,
                "low": value.low, "high": value.high, "n": correct.shape[1],
                "prompts": len(correct), "majority": majority, "relative": value.value / own,
            }
        )  # fmt: skip
    return pd.DataFrame(out, columns=COLUMNS)


def by_group(found: Rights, group: Mapping[str, str], kinds: Sequence[str]) -> pd.DataFrame:
    """Mean accuracy over the tasks of each group for which all of some kinds of prompts are known:
    the columns of `accuracies` with a group as `task`, and tasks (how many). low and high: 95%,
    the tasks fixed, their prompts and examples redrawn; random tokens are the same for all tasks.
    `majority` is a mean over tasks; relative is that of the means.
    """
    out = list[dict[str, object]]()
    for name in GROUPS:
        known = [
            [found[task, how] for how in kinds]
            for task in _tasks(found, group, name)
            if all((task, how) in found for how in kinds)
        ]
        for place, how in enumerate(kinds if known else ()):
            tables = [row[place][0].astype(float) for row in known]
            shared = how.endswith("random")
            draws = np.mean(
                [redrawn(t, prompts=0 if shared else i, examples=i) for i, t in enumerate(tables)],
                axis=0,
            )
            low, high = np.quantile(draws, [0.025, 0.975])
            mean = float(np.mean([t.mean() for t in tables]))
            own = np.mean([row[kinds.index("own")][0].mean() for row in known])
            prompts = [len(t) for t in tables]
            out.append(
                {
                    "task": name, "group": name, "how": how, "accuracy": mean, "low": float(low),
                    "high": float(high), "n": sum(t.shape[1] for t in tables),
                    "prompts": max(prompts) if shared else sum(prompts),
                    "majority": float(np.mean([row[place][1] for row in known])),
                    "relative": mean / own, "tasks": len(tables),
                }
            )  # fmt: skip
    return pd.DataFrame(out, columns=[*COLUMNS, "tasks"])


def gain(found: Rights, group: Mapping[str, str], how: str, over: str = "random") -> pd.DataFrame:
    """What one kind of prompt gains over another: per group, the mean over tasks, prompts (of the
    same seed) and examples of the difference in accuracy: gain, low and high (95%), fixed, tasks,
    prompts, accuracy (mean of the first kind).

    From four tasks on the interval treats tasks and prompts as samples. With fewer, the tasks are
    `fixed`: prompts and examples are redrawn, and the interval holds for these tasks only. Seeds
    are redrawn jointly, because random tokens are the same for all tasks.
    """
    out = list[dict[str, object]]()
    for name in GROUPS:
        pairs = [
            (found[task, how][0].astype(float), found[task, over][0].astype(float))
            for task in _tasks(found, group, name)
            if (task, how) in found and (task, over) in found
        ]
        if pairs:
            gains = [first - second for first, second in pairs]  # [seed example] of each task
            fixed = len(gains) < FEWEST
            value = _of_these(gains) if fixed else crossed(np.stack([g.mean(1) for g in gains]))
            out.append(
                {
                    "group": name, "how": how, "over": over, "gain": value.value,
                    "low": value.low, "high": value.high, "fixed": fixed, "tasks": len(gains),
                    "prompts": len(gains[0]),
                    "accuracy": float(np.mean([first.mean() for first, _ in pairs])),
                }
            )  # fmt: skip
    names = "group how over gain low high fixed tasks prompts accuracy".split()  # noqa: SIM905
    return pd.DataFrame(out, columns=names)


def _tasks(found: Rights, group: Mapping[str, str], name: str) -> list[str]:
    """The tasks of a group, in their order."""
    return [task for task in dict.fromkeys(task for task, _ in found) if group[task] == name]


def _of_these(gains: Sequence[npt.NDArray[np.float64]]) -> Estimate:
    """Mean over tasks that are not a sample of others."""
    draws = np.mean([redrawn(g, examples=i) for i, g in enumerate(gains)], axis=0)
    low, high = np.quantile(draws, [0.025, 0.975])
    mean = float(np.mean([g.mean() for g in gains]))
    return Estimate(value=mean, low=float(low), high=float(high))


def finding(gained: pd.DataFrame) -> str:
    """What projected prompts lose against tuned ones, by group of tasks, over the projectors: a
    sentence, or nothing; from rows of `gain`.
    """
    kept, lost = list[str](), dict[str, list[str]]()
    for name, rows in gained[gained.over == "own"].groupby("group", sort=False):
        worse = -100 * rows.gain[rows.high < 0]
        if worse.empty:
            kept.append(str(name))
            continue
        low, high = f"{worse.min():.0f}", f"{worse.max():.0f}"
        span = high if low == high else f"up to {high}" if low == "0" else f"{low} to {high}"
        by = "less than a point" if high == "0" else f"{span} point{'s' * (high != '1')}"
        which = f" with the {listed(list(rows.how[worse.index]))} loss"
        lost.setdefault(by + which * (len(worse) < len(rows)), []).append(str(name))
    parts = [f"show no clear loss of accuracy on {listed(kept)}"] if kept else []
    if lost:
        parts.append("lose " + listed([f"{by} on {listed(names)}" for by, names in lost.items()]))
    return f"Compared with tuned prompts, projected prompts {', but '.join(parts)}." * bool(parts)


def control(gained: pd.DataFrame, how: str) -> str:
    """Whether prompts that are projected in one way beat random tokens projected in the same way,
    and where random tokens of the target backbone, not projected, beat them.
    """
    mine = gained[gained.how == how]
    rows = mine[mine.over == f"{how}-random"]
    if rows.empty:
        return ""
    better, less = list(rows.group[rows.low > 0]), list(rows.group[rows.high < 0])
    also = f", but better on {listed(less)}" * bool(less)
    unclear = ((rows.low <= 0) & (rows.high >= 0)).all()
    said = (
        f"Projected random tokens do worse on {listed(better)}{also}." if better
        else "Projected random tokens do not differ clearly from projected prompts." if unclear
        else "Projected random tokens do not do clearly worse than projected prompts."
    )  # fmt: skip
    plain = mine[(mine.over == "random") & (mine.high < 0)]
    if len(plain):
        where = listed(list(plain.group))
        said += f" On {where}, random tokens that are not projected beat projected prompts."
    return said


def differences(gained: pd.DataFrame, over: str) -> str:
    """Differences in accuracy from one kind of prompt, with their intervals, by group of tasks."""
    rows = gained[gained.over == over].itertuples()
    return "; ".join(f"{row.group} {ranged(row.gain, row.low, row.high)}" for row in rows)
