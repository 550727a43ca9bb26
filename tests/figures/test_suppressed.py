"""Chosen against random neurons, in words."""

import pandas as pd
import pytest

from core.figures.suppressed import COLUMNS, numbers, sentence


def table(*rows: tuple[str, str, float, float, float]) -> pd.DataFrame:
    names = ["backbone", "choose", "cost", "low", "high"]
    return pd.DataFrame(rows, columns=names).assign(p=0.5, n=256, draws=3, seeds=1)[COLUMNS]


A, B = ("a", "causal", 0.2, 0.15, 0.25), ("b", "causal", 0.02, 0.01, 0.03)
UNCLEAR = ("b", "causal", 0.02, -0.01, 0.05)
SKILL, LESS = ("a", "skill", 0.03, 0.01, 0.05), ("a", "skill", -0.03, -0.05, -0.01)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([A], "**Suppressing causal neurons costs more accuracy than suppressing random ones on "
              "a.**"),
        ([A, B], "**Suppressing causal neurons costs more accuracy than suppressing random ones on "
                 "all 2 backbones.**"),
        ([A, UNCLEAR, SKILL],
         "**Suppressing causal neurons costs more accuracy than suppressing random ones only on a; "
         "suppressing skill neurons does so on a.**"),
        ([A, LESS],
         "**Suppressing causal neurons costs more accuracy than suppressing random ones on a; "
         "suppressing skill neurons does not clearly do so.**"),
        ([UNCLEAR, SKILL],
         "**Suppressing causal neurons does not clearly cost more accuracy than suppressing random "
         "ones; suppressing skill neurons costs more accuracy on a.**"),
        ([UNCLEAR, LESS],
         "**Suppressing causal neurons does not clearly cost more accuracy than suppressing random "
         "ones; suppressing skill neurons does not clearly cost more accuracy.**"),
        ([], ""),
    ],
)  # fmt: skip
def test_where_chosen_neurons_cost_more(
    rows: list[tuple[str, str, float, float, float]], said: str
) -> None:
    assert sentence(table(*rows)) == said


def test_the_numbers_are_in_points() -> None:
    assert numbers(table(A, UNCLEAR, SKILL)) == (
        "causal neurons: a 20.0 (15.0 to 25.0), b 2.0 (−1.0 to 5.0); skill neurons: a 3.0 (1.0 to "
        "5.0)"
    )
