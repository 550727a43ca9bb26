"""Figures' tables against the same numbers computed by hand in pandas and scipy."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from core.base.measure import Run
from core.base.specs import Pinned
from core.figures import queries
from core.lab.lab import Lab
from core.measures.evaluation import Evaluation, EvaluationSpec, Suppression
from core.measures.predictivity import Predictivity, PredictivitySpec
from core.measures.prompts import ImportedPrompt
from core.measures.tuning import TuneSpec
from core.stats.intervals import wilson
from core.tasks import pin_task
from tests.conftest import some_floor, write_task

RUN = Run(started="2026-01-01T00:00:00+00:00", seconds=1.0, device="cpu", versions="")
BACKBONE = Pinned(name="tiny", fingerprint="f")


def task(name: str) -> Pinned:
    return Pinned(name=name, fingerprint=name)


def prompt(name: str, seed: int) -> TuneSpec:
    return TuneSpec(backbone=BACKBONE, task=task(name), seed=seed)


def add_evaluation(lab: Lab, spec: EvaluationSpec, correct: int, n: int = 20) -> EvaluationSpec:
    labels = np.arange(n) % 2
    predictions = np.where(np.arange(n) < correct, labels, 1 - labels)
    lab.store.add(
        Evaluation(
            spec=spec, index=np.arange(n), labels=labels, predictions=predictions,
            metric="accuracy", scores=(labels == predictions).astype(float),
        ),
        RUN,
    )  # fmt: skip
    return spec


def add_predictivity(lab: Lab, name: str, seed: int, rng: np.random.Generator) -> PredictivitySpec:
    spec = PredictivitySpec(prompt=prompt(name, seed), task=task(name))
    lab.store.add(
        Predictivity(
            spec=spec,
            baseline=np.zeros((2, 3, 40)),
            correct=rng.integers(0, 101, (2, 3, 40)),
            n=100, n_train=200, majority=0.5,
            floor=some_floor(2, 40),
        ),
        RUN,
    )  # fmt: skip
    return spec


@pytest.fixture
def grid(lab: Lab) -> list[EvaluationSpec]:
    counts = {("a", "a"): (18, 16), ("a", "b"): (9, 12), ("b", "a"): (10, 8), ("b", "b"): (20, 10)}
    return [
        add_evaluation(lab, EvaluationSpec(prompt=prompt(s, seed), task=task(t)), c[seed])
        for (s, t), c in counts.items()
        for seed in (0, 1)
    ]


def test_transfer_is_the_mean_of_ratios_not_the_ratio_of_means(
    lab: Lab, grid: list[EvaluationSpec]
) -> None:
    table = queries.transfer(lab.store, grid, relative=True).set_index(
        ["source_task", "target_task"]
    )
    assert table.value["a", "a"] == table.value["b", "b"] == 1.0
    assert table.value["a", "b"] == pytest.approx((9 / 20 + 12 / 10) / 2)
    assert table.value["a", "b"] != pytest.approx((9 + 12) / (20 + 10))
    assert table.accuracy["a", "b"] == pytest.approx(21 / 40)
    assert table.seeds["a", "b"] == 2


def test_standard_error_over_seeds_has_ddof_1(lab: Lab, grid: list[EvaluationSpec]) -> None:
    table = queries.accuracies(lab.store, grid).set_index(["source_task", "target_task"])
    expected = np.std([18 / 20, 16 / 20], ddof=1) / np.sqrt(2)
    assert table["sem"]["a", "a"] == pytest.approx(expected)
    assert table.high["a", "a"] - table.accuracy["a", "a"] == pytest.approx(expected)


def test_one_seed_gets_a_wilson_interval(lab: Lab, grid: list[EvaluationSpec]) -> None:
    row = queries.accuracies(lab.store, grid[:1]).iloc[0]
    assert (row.low, row.high) == pytest.approx(wilson(18, 20))


def test_half_a_grid_gives_half_a_table(lab: Lab, grid: list[EvaluationSpec]) -> None:
    unknown = EvaluationSpec(prompt=prompt("c", 0), task=task("a"))
    table = queries.transfer(lab.store, [*grid[:2], unknown], relative=False)
    assert list(table.source_task) == ["a"]


def seed_mean(lab: Lab, specs: list[PredictivitySpec]) -> np.ndarray:
    """As one fraction of sums, so that equal neurons are equal."""
    found = [lab.store.read(s) for s in specs]
    return np.sum([f.correct for f in found], axis=0) / sum(f.n for f in found)


def test_boxes_agree_with_numpy(lab: Lab) -> None:
    rng = np.random.default_rng(0)
    specs = [add_predictivity(lab, "a", seed, rng) for seed in (0, 1, 2)]
    values = seed_mean(lab, specs)
    box = queries.predictivity_boxes(lab.store, specs).iloc[0]
    q1, median, q3 = np.quantile(values, [0.25, 0.5, 0.75])
    assert [box["q1"], box["median"], box["q3"]] == pytest.approx([q1, median, q3])
    inside = values[(values >= q1 - 1.5 * (q3 - q1)) & (values <= q3 + 1.5 * (q3 - q1))]
    assert [box["whisker_low"], box["whisker_high"]] == pytest.approx([inside.min(), inside.max()])
    assert (box["neurons"], box["seeds"], box["n"]) == (80, 3, 100)
    assert box["floor"] == pytest.approx(0.55)


def test_outliers_lie_beyond_the_whiskers_and_hold_the_best(lab: Lab) -> None:
    spec = PredictivitySpec(prompt=prompt("a", 0), task=task("a"))
    correct = np.full((2, 3, 40), 55)
    correct[:, :, :8] = 60
    correct[1, 2, 30] = 99
    add = Predictivity(
        spec=spec, baseline=np.zeros((2, 3, 40)), correct=correct, n=100, n_train=200,
        majority=0.5, floor=None,
    )  # fmt: skip
    lab.store.add(add, RUN)
    box = queries.predictivity_boxes(lab.store, [spec]).iloc[0]
    dots = queries.predictivity_outliers(lab.store, [spec])
    assert len(dots)
    assert not dots.predictivity.between(box["whisker_low"], box["whisker_high"]).any()
    assert dots.iloc[0][["layer", "neuron"]].tolist() == [1, 30]
    assert dots.predictivity.max() == pytest.approx(box["highest"])


def test_correlation_agrees_with_scipy(lab: Lab) -> None:
    rng = np.random.default_rng(1)
    specs = [add_predictivity(lab, name, seed, rng) for name in "ab" for seed in (0, 1)]
    table = queries.correlation(lab.store, specs).set_index(["task_a", "task_b"])
    means = [seed_mean(lab, specs[i : i + 2]) for i in (0, 2)]
    layers = [spearmanr(means[0][i], means[1][i]).statistic for i in range(2)]
    assert table.spearman["a", "b"] == pytest.approx(np.mean(layers), abs=1e-6)
    assert table.spearman["a", "b"] == table.spearman["b", "a"]
    assert table.spearman["a", "a"] == pytest.approx(1.0)


def test_a_curve_starts_where_nothing_is_suppressed(lab: Lab) -> None:
    ranking = (PredictivitySpec(prompt=prompt("a", 0), task=task("a")),)

    def point(choose: str, fraction: float, draw: int, correct: int) -> EvaluationSpec:
        how = Suppression(ranking=ranking, choose=choose, fraction=fraction, seed=draw)
        return add_evaluation(
            lab, EvaluationSpec(prompt=prompt("a", 0), task=task("a"), suppression=how), correct
        )

    plain = add_evaluation(lab, EvaluationSpec(prompt=prompt("a", 0), task=task("a")), 18)
    drawn = [point("random", 0.1, 0, 17), point("random", 0.1, 1, 15)]
    specs = [plain, point("skill", 0.1, 0, 12), *drawn]
    curve = queries.suppression_curve(lab.store, specs).set_index(["choose", "fraction"])
    assert curve.accuracy["skill", 0.0] == curve.accuracy["random", 0.0] == 0.9
    assert curve.accuracy["random", 0.1] == pytest.approx(0.8)
    assert (curve.low["random", 0.1], curve.high["random", 0.1]) == (0.75, 0.85)
    assert curve.draws["random", 0.1] == 2
    assert (curve.low["skill", 0.1], curve.high["skill", 0.1]) == pytest.approx(wilson(12, 20))
    each = queries.suppression_answers(lab.store, specs)
    assert len(each) == len(each.drop_duplicates(["choose", "fraction", "draw", "example"])) == 80
    means = each.groupby(["choose", "fraction"]).score.mean()
    assert means["", 0.0] == 0.9
    assert means["random", 0.1] == pytest.approx(0.8)


def test_nothing_stored_gives_an_empty_table_with_its_columns(lab: Lab) -> None:
    spec = EvaluationSpec(prompt=prompt("a", 0), task=task("a"))
    curve = queries.suppression_curve(lab.store, [spec])
    assert isinstance(curve, pd.DataFrame)
    assert list(curve) == list(queries.CURVE_COLUMNS)


@pytest.mark.parametrize(("correct", "n"), [(0, 10), (10, 10), (5, 10), (853, 872)])
def test_wilson_agrees_with_scipy(correct: int, n: int) -> None:
    from scipy.stats import binomtest

    interval = binomtest(correct, n).proportion_ci(method="wilson")
    assert wilson(correct, n) == pytest.approx((interval.low, interval.high))


def test_nothing_stored_is_no_ranking(lab: Lab) -> None:
    one = PredictivitySpec(prompt=prompt("a", 0), task=task("a"))
    for asked, by_seed in product(([one], []), (False, True)):
        assert queries.rankings(lab.store, asked, by_seed=by_seed) == {}
        assert queries.correlation(lab.store, asked, by_seed=by_seed).empty


def test_two_prompts_of_one_seed_are_two(lab: Lab) -> None:
    """As imports of one task and seed may be: neither crossed, dropped nor averaged unseen."""
    first = ImportedPrompt(
        backbone=BACKBONE, sha256="a", task="a", seed=0, prompt_length=2, layout="published"
    )
    both = [first, replace(first, sha256="b")]
    own = [
        add_evaluation(lab, EvaluationSpec(prompt=p, task=task("a")), c)
        for p, c in zip(both, (10, 20), strict=True)
    ]
    away = [
        add_evaluation(lab, EvaluationSpec(prompt=p, task=task("b")), c)
        for p, c in zip(both, (6, 9), strict=True)
    ]
    table = queries.transfer(lab.store, [*own, *away], relative=False).set_index("target_task")
    assert table.seeds.to_dict() == {"a": 2, "b": 2}
    assert table.accuracy.to_dict() == pytest.approx({"a": 0.75, "b": 0.375})
    relative = queries.transfer(lab.store, own, relative=True)
    assert relative.value.tolist() == pytest.approx([1.0]), "over the mean of both own prompts"
    rng = np.random.default_rng(3)
    for p in both:
        spec = PredictivitySpec(prompt=p, task=task("a"))
        counts = rng.integers(0, 101, (2, 3, 40))
        lab.store.add(
            Predictivity(
                spec=spec, baseline=np.zeros((2, 3, 40)), correct=counts, n=100, n_train=9,
                majority=0.5, floor=None,
            ),
            RUN,
        )  # fmt: skip
    asked = [PredictivitySpec(prompt=p, task=task("a")) for p in both]
    names = [name for _, name in queries.rankings(lab.store, asked, by_seed=True)]
    assert len(set(names)) == 2
    assert all(name.startswith("a (seed 0, ") for name in names)


def test_tasks_are_looked_up_where_the_lab_says(
    lab: Lab, tmp_path: Path, tiny_roberta: Path
) -> None:
    """An adversarial version among the lab's own tasks is relative to its clean task's prompt."""
    file = write_task(tmp_path / "mine")
    (tmp_path / "mine" / "attacked.toml").write_text('adversarial_of = "task"\n' + file.read_text())
    lab.settings = replace(lab.settings, tasks=tmp_path / "mine")
    task, attacked = lab.find_task("task"), lab.find_task("attacked")
    prompt = TuneSpec(
        backbone=lab.models.pin(str(tiny_roberta)), task=pin_task(task, "roberta"), seed=0,
        prompt_length=2, steps=1, selection=10,
    )  # fmt: skip
    specs = [EvaluationSpec(prompt=prompt, task=pin_task(t, "roberta")) for t in (task, attacked)]
    for spec in specs:
        lab.ask(spec)
    found = queries.transfer(lab.store, specs, relative=True, clean=lab.clean_name)
    assert set(found.target_task) == {"task", "attacked"}


def test_half_of_the_skill_is_read_off_the_line() -> None:
    points = {"causal": [0.9, 0.8, 0.6, 0.5], "skill": [0.9, 0.88, 0.86, 0.85],
              "random": [0.5, 0.5, 0.5, 0.4]}  # fmt: skip
    curve = pd.DataFrame(
        [
            {"backbone": "a", "choose": kind, "fraction": x, "accuracy": y, "majority": 0.5}
            for kind, line in points.items()
            for x, y in zip((0.0, 0.05, 0.1, 0.15), line, strict=True)
        ]
    )
    found = queries.half_lost(curve).set_index("choose").fraction
    assert found["causal"] == pytest.approx(0.05 + 0.05 * 0.1 / 0.2), "0.7 lies half-way"
    assert np.isnan(found["skill"]), "it never falls so far"
    assert np.isnan(found["random"]), "there was nothing to lose"
    started = curve[curve.fraction > 0]
    assert queries.half_lost(started).fraction.isna().all(), "clean accuracy is not known yet"
