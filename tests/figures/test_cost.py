"""What edits cost a task: worked out again from made-up answers, and by a second bootstrap."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from core.base.specs import Pinned
from core.figures.robustness import cost
from core.lab.lab import Lab
from core.measures.sweeps import DoseSweep, dose_response
from core.measures.tuning import TuneSpec
from core.tasks.attacks import Attack
from tests.figures.test_claim import answered, compared, parts

PAIR = (("plain", "weathered"),)


def sweep_of(backbone: str) -> DoseSweep:
    pin, task = (Pinned(name=name, fingerprint=name) for name in (backbone, "one"))
    prompts = [TuneSpec(backbone=pin, task=task, seed=seed) for seed in range(3)]
    return dose_response(
        prompts, (task, "validation"), (None,), Attack(kind="typo", dose=1), [1, 2]
    )


@pytest.fixture
def sweeps() -> dict[str, DoseSweep]:
    return {name: sweep_of(name) for name in ("plain", "weathered")}


def test_the_accuracy_lost_is_the_mean_over_the_doses(
    lab: Lab, sweeps: dict[str, DoseSweep]
) -> None:
    answered(lab, sweeps["plain"], {0: 38, 1: 28, 2: 20})
    answered(lab, sweeps["weathered"], {0: 36, 1: 34, 2: 24})
    alone = cost.costs(lab.store, sweeps, (), 0.05).set_index("backbone")
    assert alone.lost.to_dict() == pytest.approx({"plain": 14 / 40, "weathered": 7 / 40})
    assert set(alone.versus) == {""}
    assert alone.neurons.isna().all(), "no neurons have been compared"
    (pair,) = cost.costs(lab.store, sweeps, PAIR, 0.05).itertuples()
    assert (pair.backbone, pair.versus) == ("weathered", "plain")
    assert pair.lost == pytest.approx(7 / 40)
    assert (pair.n, pair.seeds, pair.doses, pair.splits) == (40, 3, 2, 0)


def test_the_interval_is_that_of_a_second_bootstrap(lab: Lab, sweeps: dict[str, DoseSweep]) -> None:
    right = {"plain": (38, 28, 20), "weathered": (36, 34, 24)}
    lost = dict[str, np.ndarray]()
    for name, (clean, one, two) in right.items():
        answered(lab, sweeps[name], {0: clean, 1: one, 2: two})
        rows = [np.arange(40) < k for k in (clean, one, two)]
        lost[name] = rows[0] - (rows[1].astype(float) + rows[2]) / 2
    rng = np.random.default_rng(7)
    drawn = [(lost["plain"] - lost["weathered"])[rng.integers(40, size=40)].mean()
             for _ in range(20_000)]  # fmt: skip
    low, high = np.quantile(drawn, [0.025, 0.975])
    (pair,) = cost.costs(lab.store, sweeps, PAIR, 0.05).itertuples()
    assert (pair.low, pair.high) == pytest.approx((low, high), abs=0.02)
    assert high - low > 0.15, "or the tolerance would hide anything"


def test_neurons_are_compared_split_by_split(lab: Lab, sweeps: dict[str, DoseSweep]) -> None:
    for name, struck in (("plain", (4, 2)), ("weathered", (7, 5))):
        answered(lab, sweeps[name], {0: 38, 1: 28, 2: 20})
        for at, shared in zip((1, 2), struck, strict=True):
            compared(lab, sweeps[name], "skill", at, parts(8, shared))
    (one, other) = cost.costs(lab.store, sweeps, (), 0.05).itertuples()
    # Clean parts share 8 and 7 of 10 in turn, attacked ones 3 and 6 in the mean of the doses.
    assert (one.neurons, one.neurons_low, one.neurons_high) == pytest.approx((0.45, 0.4, 0.5))
    assert (other.neurons, other.neurons_low, other.neurons_high) == pytest.approx((0.15, 0.1, 0.2))
    (pair,) = cost.costs(lab.store, sweeps, PAIR, 0.05).itertuples()
    assert (pair.neurons, pair.neurons_low, pair.neurons_high) == pytest.approx((0.3,) * 3)
    assert pair.splits == 20


def test_nothing_is_said_before_all_doses_are_there(lab: Lab, sweeps: dict[str, DoseSweep]) -> None:
    part = replace(sweeps["plain"], evaluations={
        dose: specs for dose, specs in sweeps["plain"].evaluations.items() if dose < 2
    })  # fmt: skip
    answered(lab, part, {0: 38, 1: 28})
    assert cost.costs(lab.store, {"plain": sweeps["plain"]}, (), 0.05).empty
    assert cost.sentence(pd.DataFrame(columns=cost.COLUMNS), "1 typo") == ""
    answered(lab, sweeps["weathered"], {0: 36, 1: 34, 2: 24})
    found = cost.costs(lab.store, sweeps, PAIR, 0.05)
    assert found.backbone.tolist() == ["weathered"]
    assert found.versus.tolist() == [""], "no pair yet"


def row(lost: float, low: float, high: float, versus: str, neurons: float = math.nan) -> object:
    return {
        "backbone": "b", "versus": versus, "lost": lost, "low": low, "high": high,
        "neurons": neurons, "neurons_low": neurons - 0.1, "neurons_high": neurons + 0.05,
        "n": 600, "seeds": 5, "splits": 20, "doses": 4,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([row(0.061, 0.038, 0.085, "a")],
         "**With 1 typo, b loses 6.1 fewer points of accuracy than a (3.8 to 8.5).**"),
        ([row(-0.061, -0.085, -0.038, "a")],
         "**With 1 typo, b loses 6.1 more points of accuracy than a (3.8 to 8.5).**"),
        ([row(-0.01, -0.035, 0.015, "a", 0.02)],
         "**With 1 typo, b and a do not differ clearly in lost accuracy. On this task alone, "
         "the skill neurons found again do not differ clearly.**"),
        ([row(0.061, 0.038, 0.085, "a", 0.2)],
         "**With 1 typo, b loses 6.1 fewer points of accuracy than a (3.8 to 8.5). More skill "
         "neurons are found again than by a.**"),
        ([row(0.3, 0.28, 0.33, "", 0.2), row(0.1, 0.08, 0.13, "")],
         "**With 1 typo, b loses 30.0 points of accuracy (28.0 to 33.0); b loses 10.0 points of "
         "accuracy (8.0 to 13.0). Fewer skill neurons are found again than in other clean texts "
         "on b.**"),
    ],
)  # fmt: skip
def test_what_they_cost_in_words(rows: list[object], said: str) -> None:
    assert cost.sentence(pd.DataFrame(rows), "With 1 typo") == said


def test_the_numbers_behind_the_words() -> None:
    rows = [row(-0.01, -0.035, 0.015, "a", 0.02), row(0.061, 0.038, 0.085, "a")]
    assert cost.numbers(pd.DataFrame(rows)) == (
        "Accuracy kept, in points: b minus a −1.0 (−3.5 to 1.5). "
        "Skill neurons found again, in points: b minus a 2.0 (−8.0 to 7.0)."
    )
    assert cost.numbers(pd.DataFrame([row(0.3, 0.28, 0.33, "")])) == ""
