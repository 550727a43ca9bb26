"""Pairs within a category against pairs between categories, worked out by hand."""

import math
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from core.figures.categories import apart, compared, differences, lead, listed, means, parts, same
from core.figures.words import two

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
    assert differences(compared(few, CATEGORIES)) == "Difference (95% interval): m 0.30."
    assert means(compared(few, CATEGORIES), "Mean") == (
        "Mean: m 0.90 within a category (x 0.90), 0.60 between categories."
    )


def said(found: pd.DataFrame) -> str:
    return lead(found, "More", "Less", "Same")


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
    over = {kind: rows.value.mean() - vague.between.iloc[0] for kind, rows in each.items()}
    most, least = sorted(over, key=lambda kind: -over[kind])
    assert apart(vague) == (
        f"On n, it depends on the category: {two(over[most])} for {most}, {two(over[least])} for "
        f"{least}."
    )
    assert apart(clear) == ""
    ticks = parts(vague).set_index("category")
    for kind, rows in each.items():
        expected = rows.value.mean() - vague.between.iloc[0]
        assert ticks.difference[kind] == pytest.approx(expected)
    assert said(pd.concat([clear, vague])) == "**More on m; the evidence is unclear on n.**"
    less = compared(table(0.3, 0.6, 0.01), CATEGORIES)
    assert said(less) == "**Less.**"
    unknown = vague.assign(low=math.nan, high=math.nan)
    assert said(pd.concat([clear, unknown])) == "**More on m.**", "n cannot be told"
    assert said(clear.iloc[:0]) == ""
    assert parts(clear.iloc[:0]).empty


def test_each_category_is_listed_with_its_tasks() -> None:
    named = {"A": "sentiment", "B": "ethics", "*C*": "sentiment"}
    assert listed(named) == "Categories: sentiment (A, \\*C\\*); ethics (B)."
