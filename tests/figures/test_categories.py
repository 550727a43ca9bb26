"""Pairs within a category against pairs between categories, worked out by hand."""

import math
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from core.figures.categories import (
    WIDE,
    compared,
    differences,
    lead,
    listed,
    means,
    parts,
    same,
)

CATEGORIES = {"a": "x", "b": "x", "c": "x", "d": "y", "e": "y", "f": "y"}


def table(near: float, far: float, noise: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        [
            {"backbone": "m", "source": a, "target": b,
             "value": (near if CATEGORIES[a] == CATEGORIES[b] else far) + noise * rng.normal()}
            for a, b in permutations(CATEGORIES, 2)
        ]
    )  # fmt: skip


def difference(rows: pd.DataFrame) -> float:
    """Target by target."""
    found = []
    for target, mine in rows.groupby("target"):
        near = mine[[CATEGORIES[s] == CATEGORIES[target] for s in mine.source]]
        far = mine.drop(near.index)
        if len(near) and len(far):
            found.append(near.value.mean() - far.value.mean())
    return float(np.mean(found))


def test_means_and_difference_and_an_interval_over_tasks() -> None:
    rows = table(0.9, 0.6, 0.1)
    (found,) = compared(rows, CATEGORIES).itertuples()
    assert found.within - found.between == pytest.approx(difference(rows))
    assert found.difference == pytest.approx(difference(rows))
    assert (found.tasks, found.pairs) == (6, 30)
    left = [difference(rows[(rows.source != name) & (rows.target != name)]) for name in CATEGORIES]
    error = math.sqrt(5 / 6 * sum((x - np.mean(left)) ** 2 for x in left))
    assert found.high - found.difference == pytest.approx(t.ppf(0.975, 5) * error)
    assert found.difference - found.low == pytest.approx(t.ppf(0.975, 5) * error)


def test_what_has_no_category_and_a_task_with_itself_do_not_count() -> None:
    rows = table(0.9, 0.6)
    more = pd.DataFrame(
        [
            {"backbone": "m", "source": "a", "target": "a", "value": 5.0},
            {"backbone": "m", "source": "a", "target": "adversarial", "value": 5.0},
            {"backbone": "m", "source": "a", "target": "b", "value": math.nan},
            {"backbone": "one category only", "source": "a", "target": "b", "value": 0.5},
        ]
    )
    expected = compared(rows, CATEGORIES)
    pd.testing.assert_frame_equal(compared(pd.concat([rows, more]), CATEGORIES), expected)


def test_pairs_of_one_category_are_told_apart() -> None:
    source, target = pd.Series(list("aabzz")), pd.Series(list("abazq"))
    assert same(source, target, {"a": "x", "b": "y"}).tolist() == [True, False, False, False, False]


def test_few_tasks_have_no_interval() -> None:
    rows = table(0.9, 0.6)
    few = rows[rows.source.isin(list("abd")) & rows.target.isin(list("abd"))]
    (found,) = compared(few, CATEGORIES).itertuples()
    assert found.difference == pytest.approx(0.3)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert said(compared(few, CATEGORIES)) == "**There are too few tasks for an interval.**"
    assert differences(compared(few, CATEGORIES)) == "Difference: m 0.30."
    assert means(compared(few, CATEGORIES), "Mean") == (
        "Mean: m 0.90 within a category (x 0.90), 0.60 between categories."
    )


def said(found: pd.DataFrame, depends: str = "") -> str:
    return lead(found, "More", "Less", "Same", depends=depends)


def test_a_large_category_weighs_no_more_than_its_tasks() -> None:
    """Three tasks are alike with 1, two with 0.5, nothing else: a task weighs the same in both."""
    kinds = {**dict.fromkeys("abc", "x"), **dict.fromkeys("de", "y"), **dict.fromkeys("fg", "z")}
    values = {"x": 1.0, "y": 0.5, "z": 0.5}
    rows = pd.DataFrame(
        [
            {"backbone": "m", "source": a, "target": b,
             "value": values[kinds[a]] if kinds[a] == kinds[b] else 0.0}
            for a, b in permutations(kinds, 2)
        ]
    )  # fmt: skip
    (found,) = compared(rows, kinds).itertuples()
    assert found.within == pytest.approx((3 * 1 + 4 * 0.5) / 7)
    assert found.between == 0


def test_a_sentence_says_for_which_backbones_it_is_clear() -> None:
    clear = compared(table(0.9, 0.6, 0.01), CATEGORIES)
    vague = compared(table(0.61, 0.6, 0.2).assign(backbone="n"), CATEGORIES)
    assert said(clear) == "**More.**"
    assert differences(clear).startswith("Difference (95% interval): m 0.31 (")
    assert vague.low.iloc[0] < 0 < vague.high.iloc[0]
    assert said(vague) == "**Same.**"
    near = table(0.61, 0.6, 0.2)
    each = {
        kind: near[(near.source.map(CATEGORIES) == kind) & (near.target.map(CATEGORIES) == kind)]
        for kind in "xy"
    }
    x, y = (f"{kind} {rows.value.mean():.2f}" for kind, rows in each.items())
    listed = means(vague, "Mean").split("within a category (")[1]
    assert listed.split("), 0.")[0] in (f"{x}, {y}", f"{y}, {x}")
    assert said(pd.concat([clear, vague])) == "**More on m; the evidence is unclear on n.**"
    less = compared(table(0.3, 0.6, 0.01), CATEGORIES)
    assert said(less) == "**Less.**"
    unknown = vague.assign(low=math.nan, high=math.nan)
    assert said(pd.concat([clear, unknown])) == "**More on m.**", "n cannot be told"
    assert said(clear.iloc[:0]) == ""
    assert parts(clear.iloc[:0]).empty


def test_where_categories_differ_widely_the_mean_is_not_all_that_is_said() -> None:
    """Tasks of x are alike, those of y are not: the mean is unclear, but that is not all."""
    rows = table(0.0, 0.0, 0.002).assign(backbone="n")
    alike = (rows.source.map(CATEGORIES) == "x") & (rows.target.map(CATEGORIES) == "x")
    rows.loc[alike, "value"] += 0.8
    differ, clear = compared(rows, CATEGORIES), compared(table(0.9, 0.6, 0.01), CATEGORIES)
    assert differ.low.iloc[0] < 0 < differ.high.iloc[0]
    assert said(differ) == "**Same.**"
    depends = "n, it depends on the category: mean 0.80 for x, 0.00 for y.**"
    assert said(differ, "mean") == f"**On {depends}"
    assert said(pd.concat([clear, differ]), "mean") == f"**More on m; on {depends}"
    assert said(clear, "mean") == "**More.**"
    vague = compared(table(0.61, 0.6, 0.2).assign(backbone="o"), CATEGORIES)
    both = said(pd.concat([vague, differ]), "mean")
    assert both == f"**The evidence is unclear on o; on {depends}"
    x, y = (rows[rows.target.map(CATEGORIES) == kind] for kind in "xy")
    own = x[x.source.map(CATEGORIES) == "x"].value.mean()
    shown = parts(differ).set_index("category")
    assert shown.within["x"] == pytest.approx(own)
    assert shown.between["y"] == pytest.approx(y[y.source.map(CATEGORIES) == "x"].value.mean())
    little = rows.assign(value=rows.value.where(~alike, rows.value - 0.8 + WIDE / 2))
    assert "matters" not in said(compared(little, CATEGORIES), "mean")


def test_each_category_is_listed_with_its_tasks() -> None:
    named = {"A": "sentiment", "B": "ethics", "*C*": "sentiment"}
    assert listed(named) == "Categories: sentiment (A, \\*C\\*); ethics (B)."


def test_high_values_between_categories_do_not_make_a_category_matter() -> None:
    """All values are high in x, low in y: not those within categories only."""
    rows = table(0.3, 0.3, 0.02)
    rows["value"] += 0.5 * (rows.target.map(CATEGORIES) == "x")
    found = compared(rows, CATEGORIES)
    first, last = found["each"][0].values()
    assert first.within - last.within > WIDE
    assert found.low.iloc[0] < 0 < found.high.iloc[0]
    assert said(found, "mean") == "**Same.**"


def test_a_single_category_of_several_tasks_does_not_matter() -> None:
    kinds = {**dict.fromkeys("abc", "x"), "d": "y", "e": "z", "f": "u"}
    found = compared(table(0.6, 0.6, 0.3), kinds)
    assert list(found["each"][0]) == ["x"]
    assert found.low.iloc[0] < 0 < found.high.iloc[0]
    assert said(found, "mean") == "**Same.**"
