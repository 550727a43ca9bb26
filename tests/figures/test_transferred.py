"""Shared neurons against transfer, worked out by hand from sets and ranks."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from core.figures import transferred
from core.stats.neurons import Ranking

TASKS = ["a", "b", "c", "d", "e", "f"]


def rankings(seed: int = 0) -> dict[tuple[str, str], Ranking]:
    rng = np.random.default_rng(seed)
    return {("x", task): Ranking(values=rng.random((2, 20)), least=0.0) for task in TASKS}


def transfer(value: float | None = None) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        [
            {"backbone": "x", "source_task": a, "target_task": b,
             "value": rng.random() if value is None else value}
            for a in TASKS for b in TASKS
        ]
    )  # fmt: skip


def sorted_out(table: pd.DataFrame) -> pd.DataFrame:
    """Tasks a to c are of one category, the others of another."""
    first = [table[c].isin(["a", "b", "c"]) for c in ("source_task", "target_task")]
    return table.assign(same=first[0] == first[1])


def test_a_pair_shares_the_neurons_of_both_tops() -> None:
    found = rankings()
    table = transferred.pairs(transfer(), {"skill": found}, 0.25)
    assert len(table) == 6 * 5, "a task is no pair with itself"
    tops = {
        task: {(layer, int(n)) for layer, row in enumerate(found["x", task].values)
               for n in np.argsort(-row)[:5]}
        for task in TASKS
    }  # fmt: skip
    for row in table.itertuples():
        both = tops[row.source_task] & tops[row.target_task]
        assert row.shared == pytest.approx(len(both) / 10)
    assert table.chance.tolist() == pytest.approx([0.25] * 30)
    expected = transfer().set_index(["source_task", "target_task"]).value
    assert table.transferred.tolist() == [
        expected[r.source_task, r.target_task] for r in table.itertuples()
    ]


def test_the_correlation_is_spearmans_and_its_interval_holds_it() -> None:
    kinds = {"skill": rankings(), "causal": rankings(5)}
    table = sorted_out(transferred.pairs(transfer(), kinds, 0.25))
    agreed = transferred.correlations(table).set_index("neurons")
    for kind in kinds:
        mine, row = table[table.neurons == kind], agreed.loc[kind]
        assert row.spearman == pytest.approx(spearmanr(mine.shared, mine.transferred).statistic)
        assert row.low < row.spearman < row.high
        assert (row.pairs, row.tasks) == (30, 6)
        other = mine[~mine.same]
        assert len(other) == 2 * 3 * 3
        assert row.apart == pytest.approx(spearmanr(other.shared, other.transferred).statistic)


def test_an_interval_of_pairs_that_agree_is_narrow_and_of_three_tasks_there_is_none() -> None:
    table = sorted_out(transferred.pairs(transfer(), {"skill": rankings()}, 0.25))
    perfect = table.assign(transferred=table.shared * 2)
    row = transferred.correlations(perfect).iloc[0]
    assert (row.spearman, row.low, row.high) == pytest.approx((1, 1, 1))
    few = table[table.source_task.isin(TASKS[:3]) & table.target_task.isin(TASKS[:3])]
    assert math.isnan(transferred.correlations(few).iloc[0].low)
    assert math.isnan(transferred.spearman(np.ones(5), np.arange(5.0))), "nothing varies"


def test_what_was_not_evaluated_or_ranked_is_no_pair() -> None:
    some = transfer().query("source_task != 'a'")
    assert set(transferred.pairs(some, {"skill": rankings()}, 0.25).source_task) == set("bcdef")
    dead = {("x", task): Ranking(values=np.zeros((2, 20)), least=0.0) for task in TASKS}
    assert transferred.pairs(transfer(), {"skill": dead}, 0.25).empty
    assert transferred.correlations(sorted_out(transferred.pairs(some, {}, 0.25))).empty
