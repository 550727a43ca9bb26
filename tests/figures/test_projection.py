"""Projected prompts against made-up answers."""

import math

import numpy as np
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


def asked(lab: Lab, correct: dict[str, dict[str, list[int]]]) -> projection.Asked:
    """So many right answers of 20, for each task and kind of prompt, one number per seed."""
    backbone = Pinned(name="x", fingerprint="x")
    kinds = {"own": 0, "task": 100, "task-random": 200}
    return {
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
    specs = asked(lab, correct)
    each = projection.accuracies(lab.store, specs, TASKS)
    table = projection.by_group(lab.store, specs, TASKS, KINDS).set_index(["group", "how"])
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
    table = projection.by_group(lab.store, asked(lab, correct), TASKS, KINDS).set_index("how")
    width = table.high - table.low
    assert width["task-random"] > 0.4
    assert width["task"] < 0.25


def test_a_gain_is_paired_by_seed_and_has_an_interval_from_four_tasks_on(
    lab: Lab, correct: dict[str, dict[str, list[int]]]
) -> None:
    table = projection.gain(lab.store, asked(lab, correct), TASKS, "task", "task-random")
    found = table.set_index("group")
    each = {
        t: (np.array(correct[t]["task"]) - np.array(correct[t]["task-random"])) / 20 for t in TASKS
    }
    assert found.gain[LEARNED] == pytest.approx(each["a"].mean())
    assert found.gain[OTHER] == pytest.approx(np.mean([each[t] for t in "cdef"]))
    assert math.isnan(found.low[LEARNED])
    assert math.isnan(found.high[SAME])
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
    table = projection.by_group(lab.store, asked(lab, correct), TASKS, KINDS)
    assert set(table.group) == {SAME, OTHER}
    other = table[table.group == OTHER].set_index("how")
    assert set(other.tasks) == {2}
    assert other.accuracy["own"] == pytest.approx(np.mean([correct[t]["own"] for t in "ef"]) / 20)
    assert projection.by_group(lab.store, {}, TASKS, KINDS).empty
