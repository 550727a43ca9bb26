"""The claim, tested inside one backbone: where accuracy is kept, are the neurons kept as well?

A point is a task under an attack at a dose. Both axes are relative to clean data and above what
chance gives, so 1 is as on clean data, 0 is nothing left.
"""

import math
from collections.abc import Callable, Mapping
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pandas as pd

from core.figures.robustness.dose import accuracy, overlap
from core.measures.sweeps import DoseSweep
from core.stats.intervals import Estimate
from core.store import Store

Asked = Mapping[tuple[str, str, str], DoseSweep]
"""Dose-responses by backbone, task (its title) and kind of attack."""
Values = npt.NDArray[np.float64]

PLACE = ["task", "attack", "dose"]
POINTS = ["backbone", *PLACE, "neurons", "accuracy", "accuracy_kept", "shared", "shuffled", "kept",
          "n", "seeds"]  # fmt: skip
RESAMPLES = 2000


def points(store: Store, asked: Asked, fraction: float) -> pd.DataFrame:
    """One row per backbone, task, attack, dose above 0 and kind of neuron (`neurons`), as far as
    stored: accuracy and accuracy_kept, shared, shuffled and kept (`dose.overlap`), n and seeds of
    the accuracy. A point with a NaN among its two kept values is not shown, and is counted.
    """
    found = list[pd.DataFrame]()
    for (backbone, task, attack), sweep in asked.items():
        mine = {backbone: sweep}
        left, right = accuracy(store, mine), overlap(store, mine, fraction)
        names = ["dose", "neurons", "shared", "shuffled", "kept"]
        both = left.merge(right[names], on="dose").query("dose > 0")
        found.append(both.assign(task=task, attack=attack))
    table = pd.concat(found) if found else pd.DataFrame(columns=POINTS)
    return table[POINTS].reset_index(drop=True)


def usable(table: pd.DataFrame) -> pd.DataFrame:
    """The points that can be shown: accuracy and neurons both exceed chance on clean data."""
    kept: pd.DataFrame = table.dropna(subset=["accuracy_kept", "kept"])
    return kept


def slopes(table: pd.DataFrame) -> pd.DataFrame:
    """Within each backbone, how much more of the neurons is kept where all accuracy is kept than
    where none is? A row per backbone and kind of neuron: slope (least squares) and slope_at_dose
    (the same after the mean of each dose is taken off both, so that it compares tasks), each with
    low and high (95 %, tasks redrawn); points, tasks, left_out.
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
    return pd.DataFrame(out)


def differences(table: pd.DataFrame) -> pd.DataFrame:
    """At equal dose, how much more does one backbone keep than another? A row per kind of neuron
    and pair of backbones: accuracy (of accuracy_kept) and kept, second less first, means over what
    both have, each with low and high (95 %, tasks redrawn); points, tasks.
    """
    out = list[dict[str, object]]()
    for neurons, every in usable(table).groupby("neurons", sort=False):
        for first, second in combinations(dict.fromkeys(table.backbone), 2):
            one, two = (every[every.backbone == name] for name in (first, second))
            pairs = one.merge(two, on=PLACE, suffixes=("", "_second"))
            found = {
                "accuracy": _difference(pairs, "accuracy_kept"),
                "kept": _difference(pairs, "kept"),
            }
            out.append(
                {
                    "neurons": neurons, "first": first, "second": second, **_columns(found),
                    "points": len(pairs), "tasks": pairs.task.nunique(),
                }
            )  # fmt: skip
    return pd.DataFrame(out)


# --- statistics ----------------------------------------------------------------------------------
def slope(x: Values, y: Values) -> float:
    """Least-squares slope of y on x; NaN without spread."""
    x = x - x.mean() if len(x) else x
    spread = float((x**2).sum())
    return float((x * y).sum() / spread) if spread > 1e-12 else math.nan


def centred(values: Values, group: npt.NDArray[np.int64]) -> Values:
    """Less the mean of each group."""
    sizes = np.maximum(1, np.bincount(group))
    centre: Values = values - (np.bincount(group, values) / sizes)[group]
    return centre


def over_tasks(table: pd.DataFrame, of: Callable[[npt.NDArray[np.int64]], float]) -> Estimate:
    """A statistic of the rows at some places, with its 95 % interval by redrawing tasks, because
    the doses of a task are not independent; no interval below three tasks.
    """
    code, tasks = pd.factorize(table.task)
    value = of(np.arange(len(table))) if len(table) else math.nan
    if len(tasks) < 3:
        return Estimate(value=value, low=math.nan, high=math.nan)
    rng = np.random.default_rng(0)
    rows = [np.flatnonzero(code == i) for i in range(len(tasks))]
    lots = rng.integers(len(tasks), size=(RESAMPLES, len(tasks)))
    drawn = [of(np.concatenate([rows[i] for i in lot])) for lot in lots]
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return Estimate(value=value, low=float(low), high=float(high))


def _slopes(shown: pd.DataFrame) -> dict[str, Estimate]:
    """The slope over all points, and after the mean of each attack and dose is taken off."""
    x, y = (shown[name].to_numpy(float) for name in ("accuracy_kept", "kept"))
    dose = shown.groupby(["attack", "dose"]).ngroup().to_numpy()

    def at_dose(rows: npt.NDArray[np.int64]) -> float:
        return slope(*(centred(values[rows], dose[rows]) for values in (x, y)))

    return {
        "slope": over_tasks(shown, lambda rows: slope(x[rows], y[rows])),
        "slope_at_dose": over_tasks(shown, at_dose),
    }


def _difference(pairs: pd.DataFrame, column: str) -> Estimate:
    """Mean of the second backbone's value less the first's."""
    gap = (pairs[f"{column}_second"] - pairs[column]).to_numpy(float)
    return over_tasks(pairs, lambda rows: float(gap[rows].mean()))


def _columns(found: Mapping[str, Estimate]) -> dict[str, float]:
    """An estimate's value, low and high under its name."""
    return {
        name + end: value
        for name, e in found.items()
        for end, value in (("", e.value), ("_low", e.low), ("_high", e.high))
    }
