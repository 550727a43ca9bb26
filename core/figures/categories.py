"""Is a value of pairs of tasks higher where both tasks have one category?"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from core.base.markdown import plain
from core.figures.words import ranged, two, verdict
from core.stats.intervals import over_clusters

TOO_FEW = "There are too few tasks for an interval"
WIDE = 0.3
"""Where the differences of categories are so far apart, their mean says little."""
COLUMNS = "backbone within between difference low high tasks pairs each".split()  # noqa: SIM905


class Part(NamedTuple):
    """A category: the mean value of pairs of its tasks, and of its tasks with sources of other
    categories.
    """

    within: float
    between: float


def same(source: pd.Series, target: pd.Series, categories: Mapping[str, str]) -> pd.Series:
    """Whether two tasks have one category; False where one has none."""
    found = source.map(categories)
    return (found == target.map(categories)) & found.notna()


def listed(categories: Mapping[str, str]) -> str:
    """Which tasks (titles) each category has."""
    tasks = dict[str, list[str]]()
    for title, category in categories.items():
        tasks.setdefault(category, []).append(plain(title))
    parts = (f"{plain(name)} ({', '.join(titles)})" for name, titles in tasks.items())
    return f"Categories: {'; '.join(parts)}."


def compared(table: pd.DataFrame, categories: Mapping[str, str]) -> pd.DataFrame:
    """Per backbone, over target tasks that have pairs of both kinds: the mean value of their pairs
    with sources of their own category (within) and with others (between), and the mean of the
    difference with its 95% interval from leaving out one task, with all its pairs, at a time;
    tasks, pairs; each (category -> its `Part`). Every target weighs the same, however many tasks
    its category has.

    `table` has a row per ordered pair: backbone, source, target and value; tasks without a category
    and pairs of a task with itself do not count. Backbones without such targets are left out.
    """
    known = table[table.source.isin(categories) & table.target.isin(categories)]
    known = known[(known.source != known.target) & known.value.notna()]
    out = list[dict[str, object]]()
    for backbone, mine in known.groupby("backbone", sort=False):
        tasks = sorted({*mine.source, *mine.target})
        values = mine.pivot(index="source", columns="target", values="value")
        matrix = values.reindex(index=tasks, columns=tasks).to_numpy(float)
        kinds = np.array([categories[t] for t in tasks])
        near, far = _means(matrix, kinds, np.arange(len(tasks)))
        if not math.isfinite(near):
            continue
        found = over_clusters(tasks, lambda kept, m=matrix, k=kinds: _difference(m, k, kept))  # type: ignore[misc]
        out.append(
            {
                "backbone": backbone, "within": near, "between": far, "difference": found.value,
                "low": found.low, "high": found.high, "tasks": len(tasks), "pairs": len(mine),
                "each": _each(mine, categories),
            }
        )  # fmt: skip
    return pd.DataFrame(out, columns=COLUMNS)


def _each(pairs: pd.DataFrame, categories: Mapping[str, str]) -> dict[str, Part]:
    """Each category with pairs of its own and with others, the highest mean within first."""
    mine, out = pairs.target.map(categories), dict[str, Part]()
    own = same(pairs.source, pairs.target, categories)
    for name in dict.fromkeys(mine):
        within, between = pairs.value[own & (mine == name)], pairs.value[~own & (mine == name)]
        if len(within) and len(between):
            out[str(name)] = Part(within.mean(), between.mean())
    return dict(sorted(out.items(), key=lambda item: -item[1].within))


def _means(
    matrix: npt.NDArray[Any], kinds: npt.NDArray[Any], kept: npt.NDArray[np.intp]
) -> tuple[float, float]:
    """Mean over targets of the mean over sources of their category, and of other categories, of
    some tasks `[source target]`; NaN without a target that has both.
    """
    values, same = matrix[np.ix_(kept, kept)], kinds[kept][:, None] == kinds[kept]
    there = np.isfinite(values)
    counts = [(there & mask).sum(axis=0) for mask in (same, ~same)]
    both = (counts[0] > 0) & (counts[1] > 0)
    if not both.any():
        return math.nan, math.nan
    near, far = (
        float((np.where(there & mask, values, 0).sum(axis=0)[both] / count[both]).mean())
        for mask, count in zip((same, ~same), counts, strict=True)
    )
    return near, far


def _difference(
    matrix: npt.NDArray[Any], kinds: npt.NDArray[Any], kept: npt.NDArray[np.intp]
) -> float:
    near, far = _means(matrix, kinds, kept)
    return near - far


def lead(found: pd.DataFrame, higher: str, lower: str, same: str, *, depends: str = "") -> str:
    """What `compared` found, in words; empty where there is nothing to compare. The clauses are
    those of `words.verdict`. If `depends` names what is compared, backbones whose mean difference
    is unclear because categories differ widely are said to: with the categories of the highest and
    the lowest difference.
    """
    if found.empty:
        return ""
    mixed = _mixed(found, depends) if depends else {}
    clause = verdict(found, higher=higher, lower=lower, same=same, mixed=mixed) or TOO_FEW
    return f"**{clause}.**"


def _mixed(found: pd.DataFrame, what: str) -> dict[str, str]:
    said = dict[str, str]()
    for row in found[(found.low <= 0) & (found.high >= 0)].itertuples():
        over = {name: part.within - part.between for name, part in row.each.items()}
        top, bottom = max(over, key=over.__getitem__), min(over, key=over.__getitem__)
        if over[top] - over[bottom] >= WIDE:
            said[row.backbone] = (
                f"it depends on the category: {what} {two(row.each[top].within)} for {plain(top)}, "
                f"{two(row.each[bottom].within)} for {plain(bottom)}"
            )
    return said


def differences(found: pd.DataFrame, what: str = "Difference") -> str:
    """The differences of `compared`, with their intervals; `what` they are called."""
    said = [
        f"{plain(row.backbone)} {ranged(row.difference, row.low, row.high)}"
        for row in found.itertuples()
    ]
    interval = " (95% interval)" if found.low.notna().any() else ""
    return f"{what}{interval}: {', '.join(said)}."


def means(found: pd.DataFrame, value: str) -> str:
    """The means behind the differences of `compared`; `value` names what is compared."""
    said = [
        f"{plain(row.backbone)} {two(row.within)} within a category ("
        + ", ".join(f"{plain(name)} {two(part.within)}" for name, part in row.each.items())
        + f"), {two(row.between)} between categories"
        for row in found.itertuples()
    ]
    return f"{value}: {'; '.join(said)}."


def parts(found: pd.DataFrame) -> pd.DataFrame:
    """A row per backbone of `compared` and category: backbone, category, and its `Part`."""
    rows = [
        {"backbone": row.backbone, "category": name, **part._asdict()}
        for row in found.itertuples() for name, part in row.each.items()
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["backbone", "category", *Part._fields])
