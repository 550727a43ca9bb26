"""The embedded default: what is shipped can be recomputed, and is what the cards say."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from core.base.settings import EMBEDDED, PLAIN, ROOT, Settings
from core.base.specs import key
from core.figures import queries
from core.lab.lab import Lab
from core.measures import sweeps
from core.measures.evaluation import TIE, EvaluationSpec, nearly_tied
from core.measures.nearest import NearestSpec
from core.measures.predictivity import PredictivitySpec
from core.measures.projected import ProjectedPrompt
from core.measures.projector import ProjectorSpec
from core.measures.stability import StabilitySpec
from core.measures.tuning import TuneSpec
from core.measures.ways import WaySpec
from core.stats.neurons import at_token, best_token, folded
from core.tasks import Task, builtin_names, data_stamp, load_task
from core.tasks.baselines import bag_of_words, read_shipped
from demo.rebuild import prompts, shipped, struck, tasks
from tests.conftest import THOROUGH, here, opened_lab

pytestmark = pytest.mark.slow
ASSETS = ROOT / "assets"
THERE = [n for n in EMBEDDED if (ASSETS / "backbones" / n / "config.json").is_file()]
MISSED = {  # 0.79, 0.77 and 0.79, not 0.80
    ("t5-mini", "long_reviews"), ("t5-mini", "entailment"), ("t5-mini-weathered", "treatment"),
}  # fmt: skip
EVERY = 97 if THOROUGH else 997  # of so many shipped evaluations one is recomputed
THREADS = Settings.from_env().threads or 1  # tests/instruction_sets.py asks for more


@pytest.fixture(scope="module")
def demo(opened: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with opened_lab(opened, tmp_path_factory.mktemp("demo") / "cache", threads=THREADS) as lab:
        yield lab


@pytest.fixture
def empty(tmp_path: Path) -> Lab:
    with here(tmp_path / "empty") as store:
        yield Lab(Settings(threads=THREADS), store)


def test_the_backbones_take_at_most_60_megabytes() -> None:
    files = [f for f in (ASSETS / "backbones").rglob("*") if f.is_file()]
    assert sum(f.stat().st_size for f in files) <= 60e6


@pytest.mark.parametrize("name", THERE)
def test_a_backbone_has_weights_tokenizer_card_settings_and_log(name: str) -> None:
    folder = ASSETS / "backbones" / name
    for file in ("model.safetensors", "tokenizer.json", "README.md", "pretraining.json"):
        assert (folder / file).is_file()
    log = [json.loads(row) for row in (folder / "pretraining.jsonl").read_text().splitlines()]
    settings = json.loads((folder / "pretraining.json").read_text())
    assert log[-1]["step"] == settings["answer_steps"] + settings["mixed_steps"]


@pytest.mark.parametrize("name", THERE)
def test_answer_words_are_single_pieces(demo: Lab, name: str) -> None:
    backbone = demo.models.load(name)
    for task in tasks()[1]:
        assert all(len(backbone.token_ids(w)) == 1 for w in task.words(backbone.family))


@pytest.mark.parametrize("name", THERE)
def test_all_that_is_shipped_is_asked_for_and_there(demo: Lab, name: str) -> None:
    assert demo.missing(shipped(demo, name)) == ()


# What follows asks for equal counts, on every processor: `make instructions` tries several.
@pytest.mark.parametrize("name", THERE)
def test_shipped_evaluations_can_be_recomputed(demo: Lab, name: str) -> None:
    every = [s for s in shipped(demo, name) if isinstance(s, EvaluationSpec)]
    one_each = {s.suppression.choose: s for s in every if s.suppression}
    assert set(one_each) == {"causal", "skill", "random"}
    for spec in [*every[::EVERY], *one_each.values()]:
        stored, again = demo.store.read(spec), demo.answer(spec)
        assert again.predictions.tolist() == stored.predictions.tolist()
        assert again.index.tolist() == stored.index.tolist()


@pytest.mark.parametrize("name", THERE if THOROUGH else PLAIN)
def test_near_ties_alone_need_double_precision(
    demo: Lab, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is screened in fp32 is what fp64 answers throughout."""
    every = [s for s in shipped(demo, name) if isinstance(s, EvaluationSpec)]
    ties = 0
    for spec in every[3 :: 2000 if THOROUGH else 4000]:
        assert spec.precision == "fp64"
        screened = demo.answer(spec)
        with monkeypatch.context() as patch:
            patch.setattr("core.measures.evaluation.TIE", float("inf"))
            whole = demo.answer(spec)
        assert screened.predictions.tolist() == whole.predictions.tolist()
        assert np.abs(screened.logits - whole.logits).max() < TIE / 10
        ties += int(nearly_tied(torch.from_numpy(whole.logits)).sum())
    assert ties, "without a near tie nothing was put to the test"


@pytest.mark.parametrize("name", THERE if THOROUGH else PLAIN)
def test_a_shipped_predictivity_can_be_recomputed(demo: Lab, name: str) -> None:
    spec = [s for s in shipped(demo, name) if isinstance(s, PredictivitySpec)][7]
    stored, again = demo.store.read(spec), demo.answer(spec)
    token = best_token(again.correct, again.n)
    assert np.array_equal(stored.best_token, token)
    assert np.array_equal(stored.correct, at_token(folded(again.correct, again.n), token))
    (row,) = demo.store.frame(
        "SELECT floor_mean, floor_p99, floor_family FROM predictivity WHERE key = ?", [key(spec)]
    ).to_numpy()
    assert row.tolist() == [again.floor.mean, again.floor.p99, again.floor.fwer]


def adversarial_stability(lab: Lab, name: str) -> StabilitySpec:
    return next(s for s in shipped(lab, name) if isinstance(s, StabilitySpec))


def dose_stability(lab: Lab, name: str) -> StabilitySpec:
    return struck(lab, name, load_task("opinions")).stability["causal"][2]


@pytest.mark.parametrize(
    ("name", "which"),
    product(THERE, (adversarial_stability, dose_stability))
    if THOROUGH
    else [("t5-mini", dose_stability)],
)
def test_a_shipped_stability_can_be_recomputed(
    demo: Lab, name: str, which: Callable[[Lab, str], StabilitySpec]
) -> None:
    spec = which(demo, name)
    stored, again = demo.store.read(spec), demo.answer(spec)
    assert stored is not None
    assert (stored.kind, stored.attack) == (again.kind, again.attack)
    assert np.array_equal(stored.skill, again.skill)
    assert np.array_equal(stored.shared, again.shared)
    assert np.array_equal(stored.median, again.median, equal_nan=True)
    assert np.allclose(stored.spearman, again.spearman, atol=1e-12, equal_nan=True)


@pytest.mark.parametrize("name", PLAIN if THOROUGH else ["roberta-mini"])
def test_what_is_shipped_of_a_prompt_can_be_recomputed(demo: Lab, name: str) -> None:
    """The neurons that it activates, the tokens near it, and vectors left out."""
    task = load_task("excuses")
    prompt = prompts(demo, name, task)[0]
    (spec,) = sweeps.activated([prompt])
    assert np.array_equal(demo.store.read(spec).active, demo.answer(spec).active)
    shipped, again = (of(NearestSpec(prompt=prompt)) for of in (demo.store.read, demo.answer))
    assert shipped.start_id == again.start_id
    for metric, values in again.values.items():
        assert np.array_equal(shipped.ids[metric][:, 0], again.ids[metric][:, 0])
        assert shipped.values[metric] == pytest.approx(values, abs=1e-6)
    left_out = sweeps.dropped(prompt, demo.pin(task, name), task.evaluation_split)
    shipped, again = demo.store.read(left_out), demo.answer(left_out)
    for part in ("whole", "lost", "gained", "curve"):
        assert np.array_equal(getattr(shipped, part), getattr(again, part)), part


@pytest.mark.parametrize("name", PLAIN if THOROUGH else ["roberta-mini"])
def test_a_shipped_projection_can_be_recomputed(demo: Lab, name: str) -> None:
    mine = shipped(demo, name)
    sample = [s for s in mine if isinstance(getattr(s, "prompt", None), ProjectedPrompt)][::30]
    assert {s.prompt.projector.by for s in sample} == {"distance", "task"}
    for spec in sample:
        assert demo.answer(spec).predictions.tolist() == demo.store.read(spec).predictions.tolist()
    projector = next(s for s in mine if isinstance(s, ProjectorSpec) and s.by == "distance")
    stored, again = demo.store.read(projector), demo.answer(projector)
    losses = [[step.loss for step in found.history[:20]] for found in (stored, again)]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


@pytest.mark.parametrize("name", PLAIN if THOROUGH else ["t5-mini"])
def test_a_shipped_way_to_tune_can_be_recomputed(demo: Lab, name: str) -> None:
    """Training in double precision ends at the same answers, but for what rounding may add."""
    spec = next(s for s in shipped(demo, name) if isinstance(s, WaySpec) and s.way == "bias")
    stored, again = demo.store.read(spec), demo.answer(spec)
    assert (stored.trained, stored.weights) == (again.trained, again.weights)
    assert (stored.right != again.right).mean() <= 0.005
    assert (stored.without != again.without).mean() <= 0.005
    first, second = ([step.loss for step in found.history] for found in (stored, again))
    assert first == pytest.approx(second, rel=1e-3)


@pytest.mark.parametrize("name", PLAIN)
def test_a_shipped_prompt_can_be_tuned_again(demo: Lab, empty: Lab, name: str) -> None:
    spec = prompts(demo, name, load_task("opinions"))[0]
    stored, again = demo.store.read(spec), empty.answer(spec)
    assert stored is not None
    assert stored.selection_accuracy == pytest.approx(again.selection_accuracy, abs=0.06)
    first = [step.loss for step in stored.history[:5]]
    assert first == pytest.approx([step.loss for step in again.history[:5]], abs=1e-3)


@pytest.mark.parametrize("name", THERE)
def test_clean_tasks_reach_the_aim_but_for_three_and_beat_single_words(
    demo: Lab, name: str
) -> None:
    shipped_baselines = read_shipped(ASSETS)
    for task in tasks()[0]:
        specs = [
            sweeps.own_evaluation(p, demo.pin(task, name), task.evaluation_split)
            for p in prompts(demo, name, task)
        ]
        accuracy = queries.accuracies(demo.store, specs).accuracy[0]
        missed = (name, task.name) in MISSED
        assert missed == (accuracy < 0.80), task.name
        assert accuracy > bag_of_words(task, shipped_baselines) + 0.1, task.name


def test_advice_is_computed_from_shipped_answers_alone(demo: Lab, tmp_path: Path) -> None:
    """By the command, on an empty cache; transfer is counted again."""
    name, target = "roberta-mini", load_task("excuses")
    done = subprocess.run(
        [sys.executable, "-m", "core", "advise", target.name, "--backbone", name, "--json"],
        cwd=ROOT, env={**os.environ, "SKILLSCOPE_CACHE": str(tmp_path)}, capture_output=True,
        text=True, timeout=600, check=True,
    )  # fmt: skip
    rows = json.loads(done.stdout)
    clean = {t.name for t in tasks()[0]}
    assert {r["source_task"] for r in rows} == clean - {target.name}
    values = [r["value"] for r in rows]
    assert values == sorted(values, reverse=True)
    assert len({(r["indicator"], r["spearman"]) for r in rows}) == 1

    def accuracies(of: Task) -> list[float]:
        place = demo.pin(target, name), target.evaluation_split
        return [
            float(demo.store.read(sweeps.own_evaluation(p, *place)).scores.mean())
            for p in prompts(demo, name, of)
        ]

    own = accuracies(target)
    for row in rows:
        found = accuracies(load_task(row["source_task"]))
        ratios = [a / b for a, b in zip(found, own, strict=True)]
        assert row["transferred"] == pytest.approx(np.mean(ratios))


def test_shipped_baselines_are_the_ones_of_these_texts() -> None:
    shipped_baselines = read_shipped(ASSETS)
    assert set(shipped_baselines) == {data_stamp(load_task(n)) for n in builtin_names()}
    task = load_task("opinions")
    assert bag_of_words(task) == pytest.approx(bag_of_words(task, shipped_baselines), abs=0.005)


def test_prompts_carry_their_spec(demo: Lab) -> None:
    spec = prompts(demo, "t5-mini", load_task("excuses"))[-1]
    stored = demo.store.read(spec)
    assert stored is not None
    assert isinstance(stored.spec, TuneSpec)
    assert stored.words == load_task("excuses").words("t5")
