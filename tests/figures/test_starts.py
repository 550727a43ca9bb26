"""Steps saved by another start, from runs made by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from core.figures import starts


def runs(**curves: list[list[float]]) -> pd.DataFrame:
    """Accuracies of each start's runs at steps 10, 20, ..."""
    return pd.DataFrame(
        [
            {"start": name, "run": run, "step": 10 * (i + 1), "accuracy": value}
            for name, found in curves.items()
            for run, curve in enumerate(found)
            for i, value in enumerate(curve)
        ]
    )


def test_convergence_is_a_mean_with_the_range_of_runs() -> None:
    table = starts.convergence(runs(random=[[0.5, 0.8], [0.7, 0.8]])).set_index("step")
    assert table.loc[10, ["accuracy", "low", "high"]].tolist() == pytest.approx([0.6, 0.5, 0.7])
    assert table.runs.tolist() == [2, 2]


def test_a_start_is_as_much_faster_as_it_takes_fewer_steps() -> None:
    plain = [[0.5, 0.6, 0.7, 0.8], [0.5, 0.9, 0.9, 0.91]]
    other = [[0.6, 0.79, 0.6, 0.6], [0.95, 0.9, 0.9, 0.9]]
    table = starts.speed(runs(vocabulary=plain, other=other)).set_index("start")
    # 98% of 0.8 are reached at 40 and at 20; of 0.91 at 20 (0.9) and at 10.
    row = table.loc["other"]
    assert (row.steps, row.plain, row.reached, row.runs) == (15, 30, 2, 2)
    logs = np.log([40 / 20, 20 / 10])
    assert row.speedup == pytest.approx(np.exp(logs.mean()))
    assert row.best == pytest.approx((0.79 + 0.95) / 2)
    assert table.loc["vocabulary", "speedup"] == 1


def test_the_interval_is_over_pairs_and_a_run_that_never_gets_there_counts_its_last_step() -> None:
    plain = [[0.9, 0.9]] * 3
    other = [[0.5, 0.9], [0.9, 0.9], [0.5, 0.5]]
    row = starts.speed(runs(vocabulary=plain, other=other)).set_index("start").loc["other"]
    assert (row.reached, row.runs, row.steps) == (2, 3, 15)
    logs = np.log([10 / 20, 10 / 10, 10 / 20])
    half = t.ppf(0.975, 2) * logs.std(ddof=1) / np.sqrt(3)
    assert (row.speedup, row.low, row.high) == pytest.approx(
        np.exp([logs.mean(), logs.mean() - half, logs.mean() + half])
    )


def test_without_plain_runs_nothing_is_compared() -> None:
    row = starts.speed(runs(other=[[0.5, 0.9]])).iloc[0]
    assert row.runs == 0
    assert np.isnan(row.speedup)
    assert row.best == 0.9


def test_runs_that_all_save_the_same_are_sure() -> None:
    plain, other = [[0.5, 0.6, 0.7, 0.8]] * 3, [[0.8, 0.8, 0.8, 0.8]] * 3
    table = starts.speed(runs(vocabulary=plain, other=other)).set_index("start")
    assert table.loc["other", ["speedup", "low", "high"]].tolist() == pytest.approx([4, 4, 4])


def test_a_sentence_names_the_starts_that_are_clearly_different() -> None:
    row = {"start": "vocabulary", "speedup": 1.0, "low": 1.0, "high": 1.0, "reached": 5, "runs": 5}
    vague = {**row, "start": "random", "speedup": 1.1, "low": 0.6, "high": 2.0}
    table = pd.DataFrame([row, vague])
    assert starts.sentence(table).startswith("**No start clearly needs fewer or more steps")
    fast = {**row, "start": "Opinions", "speedup": 2.4, "low": 1.2, "high": 5.0}
    slow = {**row, "start": "Excuses", "speedup": 0.5, "low": 0.3, "high": 0.8, "reached": 3}
    said = starts.sentence(pd.DataFrame([row, vague, fast, slow]))
    assert "fewer from Opinions (speed-up 2.40, 95% interval 1.20 to 5.00); " in said
    assert "more from Excuses (speed-up at most 0.50, 95% interval 0.30 to 0.80)" in said
    assert "random" not in said
    assert starts.sentence(table[:1]) == ""
