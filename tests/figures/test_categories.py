"""Pairs within a category against pairs between categories, worked out by hand."""

import math
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from core.figures.categories import compared, sentence

CATEGORIES = {"a": "x", "b": "x", "c": "x", "d": "y", "e": "y", "f": "y"}


def table(near: float, far: float, noise: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        [
            {"backbone": "m", "first": a, "second": b,
             "value": (near if CATEGORIES[a] == CATEGORIES[b] else far) + noise * rng.normal()}
            for a, b in permutations(CATEGORIES, 2)
        ]
    )  # fmt: skip


def difference(rows: pd.DataFrame) -> float:
    same = [CATEGORIES[r.first] == CATEGORIES[r.second] for r in rows.itertuples()]
    other = [not s for s in same]
    return float(rows.value[same].mean() - rows.value[other].mean())


def test_means_and_difference_and_an_interval_over_tasks() -> None:
    rows = table(0.9, 0.6, 0.1)
    (found,) = compared(rows, CATEGORIES).itertuples()
    assert found.within - found.between == pytest.approx(difference(rows))
    assert found.difference == pytest.approx(difference(rows))
    assert (found.tasks, found.pairs) == (6, 30)
    left = [
        difference(rows[(rows["first"] != name) & (rows["second"] != name)]) for name in CATEGORIES
    ]
    error = math.sqrt(5 / 6 * sum((x - np.mean(left)) ** 2 for x in left))
    assert found.high - found.difference == pytest.approx(t.ppf(0.975, 5) * error)
    assert found.difference - found.low == pytest.approx(t.ppf(0.975, 5) * error)


def test_what_has_no_category_and_a_task_with_itself_do_not_count() -> None:
    rows = table(0.9, 0.6)
    more = pd.DataFrame(
        [
            {"backbone": "m", "first": "a", "second": "a", "value": 5.0},
            {"backbone": "m", "first": "a", "second": "adversarial", "value": 5.0},
            {"backbone": "m", "first": "a", "second": "b", "value": math.nan},
            {"backbone": "one category only", "first": "a", "second": "b", "value": 0.5},
        ]
    )
    expected = compared(rows, CATEGORIES)
    pd.testing.assert_frame_equal(compared(pd.concat([rows, more]), CATEGORIES), expected)


def test_few_tasks_have_no_interval() -> None:
    rows = table(0.9, 0.6)
    few = rows[rows["first"].isin(list("abd")) & rows["second"].isin(list("abd"))]
    (found,) = compared(few, CATEGORIES).itertuples()
    assert found.difference == pytest.approx(0.3)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    said = sentence(compared(few, CATEGORIES), "Mean", "More", "Equal")
    assert said == (
        "**Equal.** Mean: m **0.90** within a category and **0.60** between categories, "
        "difference 0.30."
    )


def test_a_sentence_says_for_which_backbones_it_is_clear() -> None:
    clear = compared(table(0.9, 0.6, 0.01), CATEGORIES)
    vague = compared(table(0.61, 0.6, 0.2).assign(backbone="n"), CATEGORIES)
    assert sentence(clear, "Mean", "More", "Equal").startswith("**More.** Mean: m **0.90**")
    assert not vague.low.iloc[0] > 0
    both = sentence(pd.concat([clear, vague]), "Mean", "More", "Equal")
    assert both.startswith("**More on m, not clearly on n.** Mean: m **0.90**")
    assert sentence(vague, "Mean", "More", "Equal").startswith("**Equal.** Mean: n **")
    assert "; n **" in both
    assert sentence(clear.iloc[:0], "Mean", "More", "Equal") == ""
