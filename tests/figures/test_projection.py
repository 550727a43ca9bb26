"""Projected prompts against made-up answers."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_1samp

from core.base.specs import Pinned
from core.figures import projection
from core.figures.projection import LEARNED, OTHER, SAME
from core.lab.lab import Lab
from core.measures.evaluation import EvaluationSpec
from core.measures.tuning import TuneSpec
from tests.figures.test_queries import add_evaluation, task

pytestmark = pytest.mark.slow
TASKS = {"a": LEARNED, "b": SAME, "c": OTHER, "d": OTHER, "e": OTHER, "f": OTHER}
SEEDS = range(3)


def stored(lab: Lab, correct: dict[str, dict[str, list[int]]]) -> projection.Rights:
    """So many right answers of 20, for each task and kind of prompt, one number per seed."""
    backbone = Pinned(name="x", fingerprint="x")
    kinds = {"own": 0, "task": 100, "task-random": 200}
    asked = {
        name: {
            how: [
                add_evaluation(
                    lab,
                    EvaluationSpec(
                        prompt=TuneSpec(backbone=backbone, task=task(name), seed=kinds[how] + seed),
                        task=task(name), split="validation",
                    ),
                    counts[seed],
                )
                for seed in SEEDS
            ]
            for how, counts in of_task.items()
        }
        for name, of_task in correct.items()
    }  # fmt: skip
    return projection.read(lab.store, asked)


@pytest.fixture
def correct() -> dict[str, dict[str, list[int]]]:
    rng = np.random.default_rng(0)
    return {
        name: {how: rng.integers(8, 20, 3).tolist() for how in ("own", "task", "task-random")}
        for name in TASKS
    }


def test_a_task_is_learned_or_like_a_learned_one_or_neither() -> None:
    categories = {"a": "x", "b": "x", "c": "y"}
    assert projection.groups(categories, ["a"]) == {"a": LEARNED, "b": SAME, "c": OTHER}


KINDS = ("own", "task", "task-random")


def test_means_over_a_group_and_their_intervals(
    lab: Lab, correct: dict[str, dict[str, list[int]]]
) -> None:
    answers = stored(lab, correct)
    each = projection.accuracies(answers, TASKS)
    table = projection.by_group(answers, TASKS, KINDS).set_index(["group", "how"])
    assert set(table.index) == {(g, how) for g in (LEARNED, SAME, OTHER) for how in KINDS}
    found = table.loc[(OTHER, "task")]
    assert found.accuracy == pytest.approx(np.mean([correct[t]["task"] for t in "cdef"]) / 20)
    assert found.relative == pytest.approx(
        np.sum([correct[t]["task"] for t in "cdef"]) / np.sum([correct[t]["own"] for t in "cdef"])
    )
    assert (found.n, found.prompts, found.tasks) == (80, 12, 4)
    assert table.loc[(OTHER, "task-random"), "prompts"] == 3, "the same for all tasks"
    # Independent tasks: the variances of their means add up.
    mine = each[(each.group == OTHER) & (each.how == "task")]
    width = math.sqrt(((mine.high - mine.low) ** 2).sum()) / 4
    assert found.high - found.low == pytest.approx(width, rel=0.12)
    alone = each[(each.task == "a") & (each.how == "own")].iloc[0]
    only = table.loc[(LEARNED, "own")]
    assert (only.accuracy, only.low) == pytest.approx((alone.accuracy, alone.low), abs=0.01)


def test_random_words_that_tasks_share_do_not_average_out(lab: Lab) -> None:
    """One set of words is bad on all tasks: more tasks do not make the mean surer."""
    correct = {t: {"own": [20, 19, 20], "task": [10, 12, 11], "task-random": [4, 18, 18]}
               for t in "cdef"}  # fmt: skip
    table = projection.by_group(stored(lab, correct), TASKS, KINDS).set_index("how")
    width = table.high - table.low
    assert width["task-random"] > 0.4
    assert width["task"] < 0.25


def test_a_gain_is_paired_by_seed_and_from_four_tasks_on_they_are_a_sample(
    lab: Lab, correct: dict[str, dict[str, list[int]]]
) -> None:
    table = projection.gain(stored(lab, correct), TASKS, "task", "task-random")
    found = table.set_index("group")
    each = {
        t: (np.array(correct[t]["task"]) - np.array(correct[t]["task-random"])) / 20 for t in TASKS
    }
    assert found.gain[LEARNED] == pytest.approx(each["a"].mean())
    assert found.gain[OTHER] == pytest.approx(np.mean([each[t] for t in "cdef"]))
    assert found.fixed.to_dict() == {LEARNED: True, SAME: True, OTHER: False}
    means = [each[t].mean() for t in "cdef"]
    over_tasks = ttest_1samp(means, 0).confidence_interval()
    assert found.low[OTHER] <= over_tasks.low + 1e-9, "prompts vary, too"
    assert found.low[OTHER] < found.gain[OTHER] < found.high[OTHER]
    assert (found.tasks[OTHER], found.prompts[OTHER]) == (4, 3)


def test_a_group_has_the_tasks_of_which_all_kinds_are_known(
    lab: Lab, correct: dict[str, dict[str, list[int]]]
) -> None:
    del correct["a"]["task"]
    del correct["c"]["task-random"], correct["d"]["own"]
    table = projection.by_group(stored(lab, correct), TASKS, KINDS)
    assert set(table.group) == {SAME, OTHER}
    other = table[table.group == OTHER].set_index("how")
    assert set(other.tasks) == {2}
    assert other.accuracy["own"] == pytest.approx(np.mean([correct[t]["own"] for t in "ef"]) / 20)
    assert projection.by_group({}, TASKS, KINDS).empty


def test_the_gain_of_few_tasks_has_the_interval_of_these_tasks(lab: Lab) -> None:
    """A second bootstrap, paired by seed and example."""
    group = {"a": LEARNED, "b": LEARNED}
    correct = {
        "a": {"own": [20, 20, 20], "task": [18, 15, 17], "task-random": [9, 12, 8]},
        "b": {"own": [20, 20, 20], "task": [14, 16, 12], "task-random": [10, 9, 15]},
    }
    (found,) = projection.gain(stored(lab, correct), group, "task", "task-random").itertuples()
    tables = [
        np.stack([
            (np.arange(20) < first).astype(float) - (np.arange(20) < second)
            for first, second in zip(of["task"], of["task-random"], strict=True)
        ])
        for of in correct.values()
    ]  # fmt: skip
    rng = np.random.default_rng(3)
    drawn = []
    for _ in range(5_000):
        seeds = rng.integers(3, size=3)  # the same for both tasks
        drawn.append(np.mean([t[seeds][:, rng.integers(20, size=20)].mean() for t in tables]))
    assert found.fixed
    assert found.gain == pytest.approx(np.mean([t.mean() for t in tables]))
    assert (found.low, found.high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.02)


def row(how: str, over: str, group: str, gain: float, low: float, high: float) -> dict[str, object]:
    return {"how": how, "over": over, "group": group, "gain": gain, "low": low, "high": high}


def test_what_projection_gains_in_words() -> None:
    near = [
        row("task", "own", LEARNED, 0.001, -0.001, 0.003),
        row("distance", "own", LEARNED, 0.002, 0.001, 0.003),
        row("task", "own", SAME, -0.03, -0.04, -0.02),
        row("distance", "own", SAME, -0.08, -0.1, -0.05),
        row("task", "own", OTHER, -0.36, -0.6, -0.1),
        row("distance", "own", OTHER, -0.2, -0.5, 0.1),
    ]
    control = [
        row("task", "task-random", LEARNED, 0, -0.01, 0.01),
        row("distance", "distance-random", LEARNED, 0.2, 0.1, 0.3),
        row("distance", "distance-random", SAME, 0.1, 0.05, 0.2),
        row("distance", "distance-random", OTHER, 0.0, -0.1, 0.1),
        row("task", "random", LEARNED, 0.4, 0.3, 0.5),
    ]
    assert projection.finding(pd.DataFrame(near + control)) == (
        "Compared with tuned prompts, projected prompts show no clear loss of accuracy on "
        "training tasks, but lose 3 to 8 points on unseen tasks and 36 points with the task loss "
        "on unseen categories."
    )
    some = [row("task", "own", SAME, -0.004, -0.006, -0.002), near[3]]
    assert "lose up to 8 points on unseen" in projection.finding(pd.DataFrame(some))
    little = row("task", "own", SAME, -0.003, -0.004, -0.002)
    assert "lose less than a point on unseen" in projection.finding(pd.DataFrame([little]))
    assert projection.finding(pd.DataFrame([near[2], control[1]])) == (
        "Compared with tuned prompts, projected prompts lose 3 points on unseen tasks."
    )
    assert projection.finding(pd.DataFrame([*near[:1], control[0], control[-1]])) == (
        "Compared with tuned prompts, projected prompts show no clear loss of accuracy on "
        "training tasks."
    )
    assert projection.finding(pd.DataFrame(control)) == "", "nothing about tuned prompts"
    assert projection.finding(pd.DataFrame(columns=list(near[0]))) == ""
    table = pd.DataFrame(near + control)
    assert projection.control(table, "distance") == (
        "Projected random tokens do worse on training tasks and unseen tasks."
    )
    assert projection.control(table, "task") == (
        "Projected random tokens do not differ clearly from projected prompts."
    )
    worse = row("task", "random", LEARNED, -0.2, -0.3, -0.1)
    assert projection.control(pd.DataFrame([control[0], worse]), "task").endswith(
        "On training tasks, random tokens that are not projected beat projected prompts."
    )
    better = row("task", "task-random", LEARNED, -0.2, -0.3, -0.1)
    assert projection.control(pd.DataFrame([control[0], better]), "task") == (
        "Projected random tokens do not do clearly worse than projected prompts."
    )
    mixed = [control[1], row("distance", "distance-random", SAME, -0.2, -0.3, -0.1)]
    assert projection.control(pd.DataFrame(mixed), "distance") == (
        "Projected random tokens do worse on training tasks, but better on unseen tasks."
    )
    assert projection.control(table, "other") == ""
    assert projection.differences(pd.DataFrame(near), "own").startswith(
        "training tasks 0.00 (0.00 to 0.00); training tasks 0.00 (0.00 to 0.00); unseen tasks −0.03"
    )
