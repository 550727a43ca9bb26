"""Is a value of pairs of tasks higher where both tasks have one category?"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from core.base.markdown import plain
from core.figures.words import two
from core.stats.intervals import over_clusters

COLUMNS = "backbone within between difference low high tasks pairs".split()  # noqa: SIM905


def compared(table: pd.DataFrame, categories: Mapping[str, str]) -> pd.DataFrame:
    """Per backbone, over the pairs of different tasks that have a category: the mean value of pairs
    of one category (within) and of two (between), and their difference with its 95 % interval from
    leaving out one task, with all its pairs, at a time; tasks, pairs. `table` has a row per pair:
    backbone, first, second (tasks) and value. Backbones without pairs of both kinds are left out.
    """
    known = table[table["first"].isin(categories) & table["second"].isin(categories)]
    known = known[(known["first"] != known["second"]) & known.value.notna()]
    out = list[dict[str, object]]()
    for backbone, mine in known.groupby("backbone", sort=False):
        same = (mine["first"].map(categories) == mine["second"].map(categories)).to_numpy()
        if same.all() or not same.any():
            continue
        value = mine.value.to_numpy(float)
        tasks = sorted({*mine["first"], *mine["second"]})
        found = over_clusters(tasks, _difference(mine, value, same, tasks))
        out.append(
            {
                "backbone": backbone, "within": value[same].mean(),
                "between": value[~same].mean(), "difference": found.value, "low": found.low,
                "high": found.high, "tasks": len(tasks), "pairs": len(mine),
            }
        )  # fmt: skip
    return pd.DataFrame(out, columns=COLUMNS)


def _difference(
    mine: pd.DataFrame, value: npt.NDArray[Any], same: npt.NDArray[Any], tasks: list[str]
) -> Callable[[npt.NDArray[np.intp]], float]:
    """Of the pairs among some tasks: the mean within a category minus that between categories."""
    first, second = mine["first"].to_numpy(), mine["second"].to_numpy()

    def of(kept: npt.NDArray[np.intp]) -> float:
        names = [tasks[i] for i in kept]
        rows = np.isin(first, names) & np.isin(second, names)
        near, far = value[rows & same], value[rows & ~same]
        return float(near.mean() - far.mean()) if len(near) and len(far) else float("nan")

    return of


def sentence(found: pd.DataFrame, value: str, more: str, equal: str) -> str:
    """What `compared` found, in words; empty where there is nothing to compare. `more` says that
    the value is clearly higher within a category, `equal` that it is not for any backbone; `value`
    names it.
    """
    if found.empty:
        return ""
    clear = found.low > 0
    lead = more if clear.all() else equal
    if clear.any() and not clear.all():
        sure, unsure = (" and ".join(map(plain, found.backbone[c])) for c in (clear, ~clear))
        lead = f"{more} on {sure}, not clearly on {unsure}"
    said = []
    for row in found.itertuples():
        span = f" ({two(row.low)} to {two(row.high)})" if row.low == row.low else ""
        said.append(
            f"{plain(row.backbone)} **{two(row.within)}** within a category and "
            f"**{two(row.between)}** between categories, difference {two(row.difference)}{span}"
        )
    return f"**{lead}.** {value}: {'; '.join(said)}."
