"""Dose-response and the claim plot: every number worked out again from made-up answers."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_1samp

from core.base.measure import Run
from core.base.specs import Pinned
from core.figures.robustness import claim, dose, finding
from core.figures.robustness.finding import Finding, _within
from core.figures.words import interval
from core.lab.lab import Lab
from core.measures.evaluation import Evaluation
from core.measures.stability import Stability
from core.measures.sweeps import DoseSweep, dose_response
from core.measures.tuning import TuneSpec
from core.stats.intervals import Estimate
from core.tasks.attacks import Attack

RUN = Run(started="2026-01-01T00:00:00+00:00", seconds=1.0, device="cpu", versions="")
SPLITS = 20


@pytest.fixture
def sweep() -> DoseSweep:
    pin, task = (Pinned(name=name, fingerprint=name) for name in ("a", "one"))
    prompts = [TuneSpec(backbone=pin, task=task, seed=seed) for seed in range(3)]
    attack = Attack(kind="typo", dose=1)
    return dose_response(prompts, (task, "validation"), (None,), attack, [1, 2])


def answered(lab: Lab, sweep: DoseSweep, right: dict[int, int], n: int = 40) -> None:
    """Of n answers of each prompt, so many are right at each dose."""
    labels = np.arange(n) % 2
    for at, specs in sweep.evaluations.items():
        for spec in specs:
            scores = np.arange(n) < right[at]
            lab.store.add(
                Evaluation(
                    spec=spec, index=np.arange(n), labels=labels,
                    predictions=np.where(scores, labels, 1 - labels), metric="accuracy",
                    scores=scores.astype(float),
                ),
                RUN,
            )  # fmt: skip


def compared(lab: Lab, sweep: DoseSweep, kind: str, at: int, shared: dict[str, list[int]]) -> None:
    """Of 10 neurons, so many are shared in the draws of each kind."""
    kinds = [name for name, values in shared.items() for _ in values]
    numbers = np.array([n for values in shared.values() for n in values])
    spec, draws = sweep.stability[kind][at], len(kinds)
    fractions = len(spec.fractions)
    lab.store.add(
        Stability(
            spec=spec, kind=tuple(kinds), attack=("",) * draws, spearman=np.zeros((draws, 2)),
            skill=np.full((draws, fractions, 2), 5),
            shared=np.stack([numbers - numbers // 2, numbers // 2], axis=1)[:, None].repeat(
                fractions, axis=1
            ),
            median=np.zeros((draws, fractions)), neurons=100, n_clean=40, n_adversarial=40,
        ),
        RUN,
    )  # fmt: skip


def parts(clean: int, struck: int, mixed: int = 1) -> dict[str, list[int]]:
    return {
        "measured": [9], "control": [clean, clean - 1] * 10, "control shuffled": [mixed] * SPLITS,
        "crossed": [struck] * SPLITS, "crossed shuffled": [mixed] * SPLITS,
    }  # fmt: skip


# --- dose-response -------------------------------------------------------------------------------
def test_accuracy_kept_is_above_the_majority_and_relative_to_clean(
    lab: Lab, sweep: DoseSweep
) -> None:
    answered(lab, sweep, {0: 38, 1: 29, 2: 20})
    table = dose.accuracy(lab.store, {"a": sweep}).set_index("dose")
    assert table.accuracy.tolist() == pytest.approx([0.95, 0.725, 0.5])
    assert table.accuracy_kept.tolist() == pytest.approx([1, 0.225 / 0.45, 0])
    assert set(table.seeds) == {3}


def test_no_accuracy_is_kept_where_there_was_none(lab: Lab, sweep: DoseSweep) -> None:
    answered(lab, sweep, {0: 21, 1: 20, 2: 20})
    assert dose.accuracy(lab.store, {"a": sweep}).accuracy_kept.isna().all()


def test_shared_neurons_are_those_of_disjoint_parts(lab: Lab, sweep: DoseSweep) -> None:
    for at, struck in ((1, 5), (2, 2)):
        compared(lab, sweep, "skill", at, parts(8, struck))
    table = dose.overlap(lab.store, {"a": sweep}, 0.05).set_index("dose")
    assert table.shared.tolist() == pytest.approx([0.75, 0.5, 0.2]), "not the same examples' 0.9"
    assert table.shuffled.tolist() == pytest.approx([0.1] * 3)
    assert table.kept.tolist() == pytest.approx([1, 0.4 / 0.65, 0.1 / 0.65])
    assert table.loc[0, ["low", "high"]].tolist() == pytest.approx([0.7, 0.8])
    assert set(table.p) == {1 / 21}
    assert set(table.neurons) == {"skill"}, "causal ones are not stored yet"


def test_no_neurons_are_kept_where_clean_parts_share_no_more_than_chance(
    lab: Lab, sweep: DoseSweep
) -> None:
    compared(lab, sweep, "causal", 1, parts(2, 2, mixed=2))
    table = dose.overlap(lab.store, {"a": sweep}, 0.05)
    assert table.kept.isna().all()
    assert table.p.tolist() == [1, 1]


# --- the claim plot ------------------------------------------------------------------------------
def test_points_join_accuracy_and_neurons_of_a_dose(lab: Lab, sweep: DoseSweep) -> None:
    answered(lab, sweep, {0: 38, 1: 29, 2: 20})
    compared(lab, sweep, "skill", 1, parts(8, 5))
    compared(lab, sweep, "causal", 1, parts(2, 2, mixed=2))
    table = claim.points(lab.store, {("a", "One", "typo"): sweep}, 0.05)
    assert table[["backbone", "task", "attack", "dose", "neurons"]].values.tolist() == [
        ["a", "One", "typo", 1, "skill"], ["a", "One", "typo", 1, "causal"]
    ]  # fmt: skip
    assert table.accuracy_kept.tolist() == pytest.approx([0.5, 0.5])
    assert table.kept[0] == pytest.approx(0.4 / 0.65)
    assert claim.usable(table).neurons.tolist() == ["skill"]
    assert claim.slopes(table).set_index("neurons").left_out.to_dict() == {"skill": 0, "causal": 1}
    assert claim.points(lab.store, {}, 0.05).empty


def made_up(slopes: dict[str, float], ahead: float = 0.0, tasks: int = 8) -> pd.DataFrame:
    """Points on a line per backbone; the second's accuracy and neurons are ahead. Two categories of
    tasks.
    """
    rng = np.random.default_rng(1)
    rows = []
    for place, (backbone, rise) in enumerate(slopes.items()):
        for task in range(tasks):
            base = rng.normal(0, 0.03)
            for at, x in ((1, 0.8), (2, 0.5), (3, 0.2)):
                x += base + place * ahead
                rows.append(
                    {
                        "backbone": backbone, "task": f"T{task}", "attack": "typo", "dose": at,
                        "category": "ab"[task % 2],
                        "neurons": "skill", "accuracy": 0.5 + x / 2, "accuracy_kept": x,
                        "shared": 0.5, "shuffled": 0.1, "kept": rise * x, "n": 600, "seeds": 5,
                    }
                )  # fmt: skip
    return pd.DataFrame(rows)


def test_a_slope_is_that_of_least_squares() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.random(30), rng.random(30)
    assert claim.slope(x, y) == pytest.approx(np.polyfit(x, y, 1)[0])
    assert math.isnan(claim.slope(np.ones(3), rng.random(3)))
    table = made_up({"a": 0.7})
    row = claim.slopes(table).iloc[0]
    assert [row.slope, row.slope_low, row.slope_high] == pytest.approx([0.7] * 3)
    assert (row.points, row.tasks, row.left_out) == (24, 8, 0)


def test_a_slope_at_equal_dose_does_not_see_what_the_dose_alone_does() -> None:
    table = made_up({"a": 0.7})
    table["kept"] = 1 - table.dose / 4  # falls with the dose, whatever a task keeps
    row = claim.slopes(table).iloc[0]
    assert row.slope > 0.5
    assert row.slope_within == pytest.approx(0, abs=1e-12)
    # By hand: indicators of the doses and categories in a linear model.
    table["kept"] += np.random.default_rng(2).normal(0, 0.1, len(table))
    doses = pd.get_dummies(table.dose.astype(str) + table.category).to_numpy(float)
    design = np.column_stack([table.accuracy_kept, doses])
    by_hand = np.linalg.lstsq(design, table.kept, rcond=None)[0][0]
    assert claim.slopes(table).iloc[0].slope_within == pytest.approx(by_hand)


def test_intervals_are_those_of_the_tasks_not_of_the_points() -> None:
    """Doses of a task that move together: the t interval of the tasks' means."""
    rng = np.random.default_rng(3)
    shift = {f"T{i}": value for i, value in enumerate(rng.normal(0.2, 0.3, 12))}
    table = made_up({"a": 1.0, "b": 1.0}, tasks=12)
    second = table.backbone == "b"
    table.loc[second, "kept"] += table.task[second].map(shift)
    gap = claim.differences(table).iloc[0]
    places = ["task", "dose"]
    paired = table[second].set_index(places).kept - table[~second].set_index(places).kept
    means = paired.groupby("task").mean().to_numpy()
    expected = ttest_1samp(means, 0).confidence_interval(0.95)
    assert gap.kept == pytest.approx(means.mean())
    assert (gap.kept_low, gap.kept_high) == pytest.approx((expected.low, expected.high))
    assert (gap.kept_tasks, gap.accuracy_tasks) == (12, 12)


def summarise(table: pd.DataFrame, **options: Any) -> Finding:
    return finding.summarise(claim.differences(table), claim.slopes(table), **options)


def test_which_backbone_is_more_robust_does_not_depend_on_the_neurons() -> None:
    table = made_up({"a": 0.5, "b": 0.5}, 0.2, tasks=9)
    table.loc[table.task.isin(["T0", "T1", "T2", "T3"]), "kept"] = np.nan
    gap = claim.differences(table).iloc[0]
    assert (gap.accuracy_tasks, gap.kept_tasks) == (9, 5)
    assert gap.accuracy == pytest.approx(
        claim.differences(made_up({"a": 0.5, "b": 0.5}, 0.2, tasks=9)).iloc[0].accuracy
    )
    assert summarise(table).verdict == "open"
    assert "on 5 tasks only (at least 6 are needed)" in summarise(table).lead


def test_five_tasks_have_no_interval() -> None:
    table = made_up({"a": 0.5, "b": 0.5}, tasks=5)
    assert math.isnan(claim.slopes(table).iloc[0].slope_low)
    assert summarise(table).verdict == "open"
    assert "too few tasks" in summarise(table).lead


# --- in words ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("slopes", "ahead", "verdict"),
    [
        ({"a": 0.5, "b": 0.5}, 0.2, "agrees"),
        ({"a": 0.5, "b": 0.5}, -0.2, "agrees"),
        ({"a": 0.9, "b": 0.1}, 0.2, "contradicts"),
        ({"a": 0.5, "b": 0.5}, 0.0, "not tested"),
    ],
)
def test_the_verdict_follows_the_intervals(
    slopes: dict[str, float], ahead: float, verdict: str
) -> None:
    said = summarise(made_up(slopes, ahead))
    assert said.verdict == verdict
    robust = "**b**" if ahead > 0 else "**a**"
    if verdict != "not tested":
        assert said.lead.startswith(f"At equal dose, {robust} keeps more of its accuracy")
    keeps = {
        "agrees": "that keeps more of its accuracy under attack also keeps more of its skill",
        "contradicts": "that keeps more of its accuracy under attack keeps fewer of its skill",
        "not tested": "does not differ clearly within the two, so the claim is not tested.",
    }
    assert keeps[verdict] in said.headline
    assert len(said.within) == 2
    assert "slope 0.50" in said.within[0] or slopes["a"] != 0.5


def test_more_accuracy_without_more_neurons_is_no_support() -> None:
    table = made_up({"a": 0.5, "b": 0.5}, 0.2)
    table["kept"] = np.random.default_rng(5).normal(0.5, 0.4, len(table))
    said = summarise(table)
    assert said.verdict == "no difference"
    assert "not clearly related" in said.within[0]


def test_one_backbone_leaves_the_claim_open_and_a_third_adds_its_pairs() -> None:
    table = made_up({"a": 0.5})
    assert (summarise(table).verdict, summarise(table).between) == ("open", ())
    assert summarise(table).headline == summarise(table).lead.replace("**", "")
    assert finding.compared(claim.differences(table)).empty
    three = made_up({"a": 0.5, "b": 0.5, "c": 0.5}, 0.2)
    assert summarise(three).headline.startswith("At equal dose, b keeps more"), "of one pair only"
    assert len(summarise(three).between) == 2
    assert summarise(three.assign(neurons="causal"), neurons="causal").verdict == "agrees"


def test_the_verdict_is_that_of_all_matched_pairs() -> None:
    one, other = (made_up({"a": 0.5, "b": 0.5}, by) for by in (0.2, 0.0))
    other = other.replace({"backbone": {"a": "c", "b": "d"}})
    table = pd.concat([one, other], ignore_index=True)
    both = summarise(table, matched=[("a", "b"), ("c", "d")])
    assert both.verdict == "mixed"
    assert both.headline == "Not every pair of backbones supports the claim."
    assert "**b** keeps more of its accuracy than a " in both.lead
    assert "**c** and **d** do not differ clearly" in both.lead
    assert (both.matched, len(both.between)) == (True, 4)
    alone = summarise(table, matched=[("a", "b")])
    assert (alone.verdict, len(alone.between)) == ("agrees", 5)
    assert alone.headline == (
        "The weathered backbone keeps more of its accuracy under attack than its counterpart, "
        "and more of its skill neurons."
    )
    plain = summarise(made_up({"a": 0.5, "b": 0.5}, -0.2), matched=[("a", "b")])
    assert plain.headline.startswith("The backbone that keeps more of its accuracy")
    assert not summarise(table).matched
    few = table[table.backbone.isin(["a", "b"]) | table.task.isin(["T0", "T1"])]
    early = summarise(few, matched=[("a", "b"), ("c", "d")])
    assert early.verdict == "agrees", "a pair that is not measured yet says nothing"
    assert early.headline.startswith("The weathered backbone"), "of one pair"


def test_the_differences_behind_the_verdict_are_those_of_its_pairs() -> None:
    one = made_up({"a": 0.5, "b": 0.5}, 0.2)
    other = one.replace({"backbone": {"a": "c", "b": "d"}})
    table = pd.concat([one, other, one.assign(neurons="causal")], ignore_index=True)
    mine = finding.compared(claim.differences(table), [("a", "b"), ("c", "d")])
    pairs = [("a", "b", k) for k in ("accuracy", "causal", "skill")]
    pairs += [("c", "d", k) for k in ("accuracy", "skill")]
    known = mine.dropna(subset="value")
    assert sorted(zip(known["first"], known["second"], known.kind, strict=True)) == pairs
    every = claim.differences(table)
    for row in known.itertuples():
        at = every[(every["first"] == row.first) & (every["second"] == row.second)]
        column = "accuracy" if row.kind == "accuracy" else "kept"
        if column == "kept":
            at = at[at.neurons == row.kind]
        assert (row.value, row.low, row.high, row.tasks) == tuple(
            at[[column, f"{column}_low", f"{column}_high", f"{column}_tasks"]].iloc[0]
        )
    alone = finding.compared(claim.differences(table))
    assert set(zip(alone["first"], alone["second"], strict=True)) == {("a", "b")}


def test_a_typo_is_not_compared_with_a_synonym() -> None:
    table = made_up({"a": 0.5, "b": 0.5}, 0.2)
    table.loc[table.backbone == "b", "attack"] = "synonym"
    assert claim.differences(table).kept_tasks.tolist() == [0]


@pytest.mark.parametrize(
    ("overall", "within", "said"),
    [
        ((0.5, 0.2, 0.8), (0.5, 0.2, 0.9), "goes with more of them kept (slope 0.50, 95%"),
        (
            (0.5, 0.2, 0.8),
            (-0.5, -0.9, -0.2),
            "goes with fewer of them kept (slope \N{MINUS SIGN}0.50",
        ),
        ((0.5, -0.2, 0.8), (0.5, 0.2, 0.9), "not clearly related (slope 0.50"),
        ((0.5, 0.2, 0.8), (0.1, -0.2, 0.9), "there is no clear relation (slope 0.10"),
        ((0.5, 0.2, 0.8), (math.nan,) * 3, "there are too few to tell."),
        ((math.nan,) * 3, (math.nan,) * 3, "no slope; the 4 tasks with points are too few"),
    ],
)
def test_each_slope_has_a_sentence_of_its_own(
    overall: tuple[float, ...], within: tuple[float, ...], said: str
) -> None:
    names = ("", "_low", "_high")
    row = SimpleNamespace(
        backbone="a", points=12, tasks=4,
        **{f"slope{n}": v for n, v in zip(names, overall, strict=True)},
        **{f"slope_within{n}": v for n, v in zip(names, within, strict=True)},
    )  # fmt: skip
    text = _within(row, "skill")
    assert said in text
    assert "nan" not in text


def test_an_interval_that_ends_close_to_zero_shows_on_which_side() -> None:
    shown = interval(Estimate(value=0.084, low=-0.002, high=0.17))
    assert shown == "0.084, 95% interval \N{MINUS SIGN}0.002 to 0.170"
    assert interval(Estimate(value=0.5, low=0.2, high=0.8)) == "0.50, 95% interval 0.20 to 0.80"


def test_what_a_dose_costs_is_the_difference_to_clean_texts() -> None:
    table = pd.DataFrame(
        {
            "backbone": ["a", "a", "a", "b", "c"], "dose": [0, 2, 5, 0, 2],
            "accuracy": [0.9, 0.7, 0.5, 0.8, 0.6],
        }
    )  # fmt: skip
    found = dose.at(table, 2)
    assert found.backbone.tolist() == ["a"], "b has no attack, c no clean accuracy"
    assert (found.dose.item(), found.clean.item()) == (2, 0.9)
    assert found.lost.item() == pytest.approx(0.2)
    assert dose.at(table, 1).empty


def test_the_parts_of_a_point_make_its_two_kept_values() -> None:
    accuracies = pd.DataFrame(
        {
            "backbone": "a", "dose": [0, 1, 3], "accuracy": [0.9, 0.8, 0.6], "majority": 0.5,
            "accuracy_kept": [1, 0.75, 0.25],
        }
    )  # fmt: skip
    shared = pd.DataFrame(
        {
            "backbone": "a", "neurons": ["skill", "skill", "causal"], "dose": [0, 3, 3],
            "shared": [0.6, 0.4, 0.1], "shuffled": [0.1, 0.2, 0.1], "kept": [1, 0.4, 0],
        }
    )  # fmt: skip
    (row,) = claim.parts(accuracies, shared, 3).to_dict("records")
    assert row["neurons"] == "skill", "nothing clean is known of the causal ones"
    kept = (row["accuracy"] - row["majority"]) / (row["accuracy_clean"] - row["majority"])
    assert row["accuracy_kept"] == pytest.approx(kept)
    assert row["kept"] == pytest.approx(
        (row["shared"] - row["shuffled"]) / (row["shared_clean"] - row["shuffled_clean"])
    )
    assert claim.parts(accuracies, shared, 2).empty
