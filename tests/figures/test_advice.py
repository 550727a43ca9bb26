"""Advice on starts: chosen without the task it is for, and tested as it is given."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr, t

from core.figures import advice, indicators, released

TASKS = "a b c d e".split()  # noqa: SIM905


def pairs(**likeness: np.ndarray) -> pd.DataFrame:
    """Transfer is drawn by chance; each indicator is a matrix `[source target]`."""
    transfer = np.random.default_rng(0).random((5, 5))
    rows = [
        {
            "backbone": "x", "indicator": name, "source_task": s, "target_task": t,
            "value": values[i, j], "transferred": transfer[i, j], "same": False,
        }
        for name, values in likeness.items()
        for i, s in enumerate(TASKS)
        for j, t in enumerate(TASKS)
        if i != j
    ]  # fmt: skip
    return pd.DataFrame(rows)


def good() -> np.ndarray:
    return np.random.default_rng(0).random((5, 5)) ** 3  # the order of transfer itself


def bad() -> np.ndarray:
    return np.random.default_rng(1).random((5, 5))


def test_the_indicator_that_goes_best_with_the_other_tasks_is_chosen() -> None:
    table = pairs(bad=bad(), good=good())
    assert advice.chosen(table, "a") == ("good", pytest.approx(1.0))
    alone = table[
        (table.indicator == "bad") & (table[["source_task", "target_task"]] != "a").all(axis=1)
    ]
    each = [spearmanr(m.value, m.transferred).statistic for _, m in alone.groupby("target_task")]
    assert advice.chosen(table[table.indicator == "bad"], "a")[1] == pytest.approx(np.mean(each))


def test_the_tasks_own_transfer_does_not_enter_its_advice() -> None:
    table = pairs(bad=bad(), good=good())
    other = table.copy()
    mine = (table.target_task == "a") | (table.source_task == "a")
    other.loc[mine, "transferred"] = 1 - other.transferred[mine]
    one, two = (advice.advise(t, "a") for t in (table, other))
    assert one.source_task.tolist() == two.source_task.tolist()
    assert one.spearman.tolist() == two.spearman.tolist()


def test_a_perfect_indicator_advises_the_best_source_and_gains_what_it_says() -> None:
    table = advice.tested(pairs(good=good()))
    assert (table.source_task == table.best_source).all()
    assert table.advised.tolist() == table.best.tolist()
    assert table.alike.isna().all(), "no two tasks are of one category"
    (row,) = advice.gained(table).itertuples()
    assert row.over == "all"
    gains = (table.advised - table["mean"]).to_numpy()
    half = t.ppf(0.975, 4) * gains.std(ddof=1) / np.sqrt(5)
    assert (row.gain, row.low, row.high) == pytest.approx(
        (gains.mean(), gains.mean() - half, gains.mean() + half)
    )
    assert (row.lost, row.tasks) == (0, 5)


def test_advice_is_compared_with_the_tasks_of_the_category_too() -> None:
    table = pairs(good=good())
    table["same"] = table.source_task.isin(["a", "b"]) & table.target_task.isin(["a", "b"])
    found = advice.tested(table).set_index("target_task")
    transfer = table.set_index(["source_task", "target_task"]).transferred
    assert found.alike["a"] == transfer["b", "a"]
    assert np.isnan(found.alike["c"])
    gains = advice.gained(found.reset_index()).set_index("over")
    assert gains.tasks.to_dict() == {"all": 5, "category": 2}
    assert gains.gain["category"] == pytest.approx((found.advised - found.alike).mean())


def test_what_rests_on_the_tested_labels_gives_no_advice() -> None:
    table = pairs(predictivity=good(), bad=bad())
    assert set(advice.tested(table).indicator) == {"bad"}


def test_where_nothing_can_be_compared_nothing_is_advised() -> None:
    assert advice.tested(pairs(flat=np.ones((5, 5)))).empty
    assert advice.tested(pairs(good=good()).head(0)).empty
    assert advice.gained(advice.tested(pairs(good=good()).head(0))).empty


def test_advice_on_published_prompts_is_that_of_a_loop() -> None:
    from core.base.settings import ROOT
    from core.figures import literature

    assets = ROOT / "assets"
    table = indicators.joined(
        released.likeness(assets), literature.transfer(assets, relative=True),
        literature.categories(),
    )  # fmt: skip
    mine = table[table.backbone == "T5 base"]
    found = advice.tested(mine).set_index("target_task")
    for target in ("SST-2", "QNLI"):
        others = mine[(mine.source_task != target) & (mine.target_task != target)]
        rho = {
            name: np.mean(
                [spearmanr(g.value, g.transferred).statistic for _, g in m.groupby("target_task")]
            )
            for name, m in others.groupby("indicator")
        }
        best = max(rho, key=rho.__getitem__)
        near = mine[(mine.indicator == best) & (mine.target_task == target)]
        top = near.loc[near.value.idxmax()]
        assert found.loc[target, ["indicator", "source_task"]].tolist() == [best, top.source_task]
        assert found.advised[target] == top.transferred
