"""The claim, tested inside one backbone: where accuracy is kept, are the neurons kept as well?

A point is a task under an attack at a dose. Both axes are relative to clean data and above what
chance gives, so 1 is as on clean data, 0 is nothing left.
"""

import math
from collections.abc import Mapping
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pandas as pd

from core.figures.robustness.dose import accuracy, overlap
from core.measures.sweeps import DoseSweep
from core.stats.intervals import Estimate, over_clusters
from core.store import Store

Asked = Mapping[tuple[str, str, str], DoseSweep]
"""Dose-responses by backbone, task (its title) and kind of attack."""
Values = npt.NDArray[np.float64]

PLACE = ["task", "attack", "dose"]
POINTS = [
    "backbone", *PLACE, "category", "neurons", "accuracy", "accuracy_kept", "shared", "shuffled",
    "kept", "n", "seeds",
]  # fmt: skip
SLOPES = [
    "backbone", "neurons", "slope", "slope_low", "slope_high", "slope_within", "slope_within_low",
    "slope_within_high", "points", "tasks", "left_out",
]  # fmt: skip
DIFFERENCES = [
    "neurons", "first", "second", "accuracy", "accuracy_low", "accuracy_high", "accuracy_tasks",
    "kept", "kept_low", "kept_high", "kept_tasks",
]  # fmt: skip
PARTS = [
    "backbone", "neurons", "majority", "accuracy_clean", "accuracy", "accuracy_kept",
    "shared_clean", "shuffled_clean", "shared", "shuffled", "kept",
]  # fmt: skip


def points(
    store: Store, asked: Asked, fraction: float, categories: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """One row per backbone, task, attack, dose above 0 and kind of neuron (`neurons`), as far as
    stored: category (of the task's title, empty if not given), accuracy and accuracy_kept, shared,
    shuffled and kept (`dose.overlap`), n and seeds of the accuracy. A point with a NaN among its
    two kept values is not shown, and is counted.
    """
    left, right = accuracy(store, asked, intervals=False), overlap(store, asked, fraction)
    names = ["backbone", "dose", "neurons", "shared", "shuffled", "kept"]
    table = left.merge(right[names], on=["backbone", "dose"])
    if table.empty:
        return pd.DataFrame(columns=POINTS)
    table = table[table.dose > 0].reset_index(drop=True)
    for at, name in ((1, "task"), (2, "attack"), (0, "backbone")):  # the name of a dose-response
        table[name] = [place[at] for place in table.backbone]
    table["category"] = table.task.map(lambda task: (categories or {}).get(task, ""))
    return table[POINTS]


def usable(table: pd.DataFrame) -> pd.DataFrame:
    """The points that can be shown: accuracy and neurons both exceed chance on clean data."""
    kept: pd.DataFrame = table.dropna(subset=["accuracy_kept", "kept"])
    return kept


def slopes(table: pd.DataFrame) -> pd.DataFrame:
    """Within each backbone, how much more of the neurons is kept where all accuracy is kept than
    where none is? A row per backbone and kind of neuron: slope (least squares) and slope_within
    (the same after the mean of each attack, dose and category of tasks is subtracted from both, so
    that it compares like tasks at equal dose), each with low and high (95%, tasks are clusters);
    points, tasks, left_out.
    """
    out = list[dict[str, object]]()
    for (backbone, neurons), every in table.groupby(["backbone", "neurons"], sort=False):
        shown = usable(every)
        out.append(
            {
                "backbone": backbone, "neurons": neurons, **_columns(_slopes(shown)),
                "points": len(shown), "tasks": shown.task.nunique(),
                "left_out": len(every) - len(shown),
            }
        )  # fmt: skip
    return pd.DataFrame(out, columns=SLOPES)


def differences(table: pd.DataFrame) -> pd.DataFrame:
    """At equal dose, how much more does one backbone keep than another? A row per kind of neuron
    and pair of backbones: accuracy (of accuracy_kept, whatever the neurons do) and kept, second
    less first, means over what both have, each with low and high (95%, tasks are clusters), and
    their tasks: accuracy_tasks, kept_tasks.
    """
    out = list[dict[str, object]]()
    for neurons, every in table.groupby("neurons", sort=False):
        for first, second in combinations(dict.fromkeys(table.backbone), 2):
            one, two = (every[every.backbone == name] for name in (first, second))
            pairs = one.merge(two, on=PLACE, suffixes=("", "_second"))
            row: dict[str, object] = {"neurons": neurons, "first": first, "second": second}
            for name, column in (("accuracy", "accuracy_kept"), ("kept", "kept")):
                both = pairs.dropna(subset=[column, f"{column}_second"])
                row |= _columns({name: _difference(both, column)})
                row[f"{name}_tasks"] = both.task.nunique()
            out.append(row)
    return pd.DataFrame(out, columns=DIFFERENCES)


def parts(accuracy: pd.DataFrame, overlap: pd.DataFrame, dose: int) -> pd.DataFrame:
    """What the points of one task at one dose are made of: `dose.accuracy` and `dose.overlap`, a
    row per backbone and kind of neuron (`neurons`): majority, accuracy_clean, accuracy,
    accuracy_kept, shared_clean, shuffled_clean, shared, shuffled, kept.
    """
    names = {
        "accuracy": ["backbone", "majority", "accuracy", "accuracy_kept"],
        "overlap": ["backbone", "neurons", "shared", "shuffled", "kept"],
    }
    clean = overlap[overlap.dose == 0][names["overlap"][:-1]].merge(
        accuracy[accuracy.dose == 0][["backbone", "accuracy"]], on="backbone"
    )
    struck = overlap[overlap.dose == dose][names["overlap"]].merge(
        accuracy[accuracy.dose == dose][names["accuracy"]], on="backbone"
    )
    return struck.merge(clean, on=["backbone", "neurons"], suffixes=("", "_clean"))[PARTS]


# --- statistics ----------------------------------------------------------------------------------
def slope(x: Values, y: Values) -> float:
    """Least-squares slope of y on x; NaN without spread."""
    x = x - x.mean() if len(x) else x
    spread = float((x**2).sum())
    return float((x * y).sum() / spread) if spread > 1e-12 else math.nan


def centred(values: Values, group: npt.NDArray[np.intp]) -> Values:
    """Less the mean of each group."""
    sizes = np.maximum(1, np.bincount(group))
    centre: Values = values - (np.bincount(group, values) / sizes)[group]
    return centre


def _slopes(shown: pd.DataFrame) -> dict[str, Estimate]:
    """The slope over all points, and among like tasks at equal dose."""
    x, y = (shown[name].to_numpy(float) for name in ("accuracy_kept", "kept"))
    like = shown.groupby(["attack", "dose", "category"]).ngroup().to_numpy(np.intp)

    def within(rows: npt.NDArray[np.intp]) -> float:
        return slope(*(centred(values[rows], like[rows]) for values in (x, y)))

    tasks = shown.task.tolist()
    return {
        "slope": over_clusters(tasks, lambda rows: slope(x[rows], y[rows])),
        "slope_within": over_clusters(tasks, within),
    }


def _difference(pairs: pd.DataFrame, column: str) -> Estimate:
    """Mean over tasks of the second backbone's value less the first's."""
    gap = (pairs[f"{column}_second"] - pairs[column]).to_numpy(float)
    return over_clusters(pairs.task.tolist(), lambda rows: float(gap[rows].mean()))


def _columns(found: Mapping[str, Estimate]) -> dict[str, float]:
    """An estimate's value, low and high under its name."""
    return {
        name + end: value
        for name, e in found.items()
        for end, value in (("", e.value), ("_low", e.low), ("_high", e.high))
    }
