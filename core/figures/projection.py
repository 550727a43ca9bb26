"""How well do prompts of one backbone work on another one, once they are projected?"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from core.figures.queries import right
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
    "task-random": "random tokens, projected, task loss",
    "distance-random": "random tokens, projected, distance loss",
    "random": "random tokens",
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
    """One row per task and kind of prompt (`how`): group, accuracy, low, high (95%, examples and
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


def by_group(
    store: Store, asked: Asked, group: Mapping[str, str], kinds: Sequence[str]
) -> pd.DataFrame:
    """Mean accuracy over the tasks of each group for which all of some kinds of prompts are known:
    the columns of `accuracies` with a group as `task`, and tasks (how many). low and high: 95%,
    the tasks fixed, their prompts and examples redrawn; random tokens are the same for all tasks.
    `majority` is a mean over tasks; relative is that of the means.
    """
    out = list[dict[str, object]]()
    for name in GROUPS:
        found = [
            [right(store, asked[task][how]) if how in asked[task] else None for how in kinds]
            for task in asked
            if group[task] == name
        ]
        known = [[r for r in row if r is not None] for row in found]
        known = [row for row in known if len(row) == len(kinds)]
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


def gain(
    store: Store, asked: Asked, group: Mapping[str, str], how: str, over: str = "random"
) -> pd.DataFrame:
    """What one kind of prompt gains over another: per group, the mean over tasks, prompts (of the
    same seed) and examples of the difference in accuracy: gain, low and high (95%), fixed, tasks,
    prompts, accuracy (mean of the first kind).

    From four tasks on the interval treats tasks and prompts as samples. With fewer, the tasks are
    `fixed`: prompts and examples are redrawn, and the interval holds for these tasks only. Seeds
    are redrawn jointly, because random tokens are the same for all tasks.
    """
    out = list[dict[str, object]]()
    for name in GROUPS:
        found = []
        for task, kinds in asked.items():
            if group[task] != name or how not in kinds:
                continue
            first, second = right(store, kinds[how]), right(store, kinds[over])
            if first is not None and second is not None:
                found.append((first[0].astype(float), second[0].astype(float)))
        if found:
            gains = [first - second for first, second in found]  # [seed example] of each task
            fixed = len(gains) < FEWEST
            value = _of_these(gains) if fixed else crossed(np.stack([g.mean(1) for g in gains]))
            out.append(
                {
                    "group": name, "how": how, "over": over, "gain": value.value,
                    "low": value.low, "high": value.high, "fixed": fixed, "tasks": len(gains),
                    "prompts": len(gains[0]),
                    "accuracy": float(np.mean([first.mean() for first, _ in found])),
                }
            )  # fmt: skip
    names = "group how over gain low high fixed tasks prompts accuracy".split()  # noqa: SIM905
    return pd.DataFrame(out, columns=names)


def _of_these(gains: Sequence[npt.NDArray[np.float64]]) -> Estimate:
    """Mean over tasks that are not a sample of others."""
    draws = np.mean([redrawn(g, examples=i) for i, g in enumerate(gains)], axis=0)
    low, high = np.quantile(draws, [0.025, 0.975])
    mean = float(np.mean([g.mean() for g in gains]))
    return Estimate(value=mean, low=float(low), high=float(high))


def finding(gained: pd.DataFrame) -> str:
    """How near projected prompts come to tuned ones, and whether it matters which is projected, in
    Markdown; from rows of `gain` over `own` and over projected random tokens.
    """
    near, control = _near(gained[gained.over == "own"]), _control(gained)
    return " ".join(part for part in (f"**{near}**" * bool(near), control) if part)


def _near(gained: pd.DataFrame) -> str:
    """What projected prompts lose against tuned ones, by group of tasks, over the projectors."""
    parts = dict[str, list[str]]()
    for name, rows in gained.groupby("group", sort=False):
        lost = -100 * rows.gain[rows.high < 0]
        if lost.empty:
            worse = "not clearly less accurate"
        else:
            low, high = f"{lost.min():.0f}", f"{lost.max():.0f}"
            by = high if low == high else f"{low} to {high}"
            which = f" with the {listed(list(rows.how[lost.index]))} loss"
            worse = f"{by} points less accurate{which * (len(lost) < len(rows))}"
        parts.setdefault(worse, []).append(str(name))
    said = listed([f"{worse} on {listed(names)}" for worse, names in parts.items()])
    return f"Compared with tuned prompts, projected prompts are {said}." if parts else ""


def _control(gained: pd.DataFrame) -> str:
    """Whether projected prompts beat random tokens that are projected in the same way, and where
    random tokens of the target backbone, not projected, beat them.
    """
    mine = gained[gained.over == gained.how + "-random"]
    groups = dict[str, pd.DataFrame](list(mine.groupby("how", sort=False)))
    better = {how: list(rows.group[rows.low > 0]) for how, rows in groups.items()}
    unclear = {how for how, rows in groups.items() if ((rows.low <= 0) & (rows.high >= 0)).all()}
    if not better:
        return ""
    said = [
        f"With the {how} loss, projected random tokens do worse on {listed(found)}." if found
        else f"With the {how} loss, projected random tokens show no clear difference."
        if how in unclear
        else f"With the {how} loss, projected random tokens do not do clearly worse."
        for how, found in sorted(better.items(), key=lambda item: not item[1])
    ]  # fmt: skip
    if not any(better.values()):
        said = ["It makes no clear difference which prompt is projected."]
    plain = gained[gained.over == "random"]
    worse = [str(g) for g, rows in plain.groupby("group", sort=False) if (rows.high < 0).all()]
    if worse:
        said.append(f"On {listed(worse)}, random tokens that are not projected do better.")
    return " ".join(said)


def differences(gained: pd.DataFrame, over: str) -> str:
    """Differences in accuracy from one kind of prompt, with their intervals, by group of tasks."""
    rows = gained[gained.over == over].itertuples()
    return "; ".join(f"{row.group} {ranged(row.gain, row.low, row.high)}" for row in rows)
