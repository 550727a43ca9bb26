"""The paper's plan: what it asks, that it is resumable, and that its numbers add up."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from core.base.errors import BadInput
from core.base.prompts import SoftPrompt
from core.base.specs import Pinned
from core.commands import paper
from core.lab.lab import Lab
from core.measures import sweeps
from core.measures.evaluation import EvaluationSpec
from core.measures.predictivity import PredictivitySpec
from core.measures.prompts import ImportedPrompt
from core.measures.tuning import TuneSpec
from core.tasks import Task, load_task, pin_task
from tests.commands.test_cli import call
from tests.conftest import write_task

BACKBONE = Pinned(name="FacebookAI/roberta-base", fingerprint="f")


@pytest.fixture(scope="module")
def tomls(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two clean tasks and a twin of the first."""
    folder = tmp_path_factory.mktemp("plan")
    first, second = write_task(folder / "one", n=240), write_task(folder / "two", n=240)
    rows = second.parent / "train.jsonl"  # data of its own: equal data are one task
    rows.write_text(rows.read_text().replace("the", "the the", 1))
    twin = first.parent / "twin.toml"
    text = first.read_text().replace('train = "train.jsonl"\n', "")
    twin.write_text('adversarial_of = "task"\n' + text)
    return [first, second, twin]


@pytest.fixture
def tasks(tomls: list[Path]) -> list[Task]:
    return [load_task(str(toml)) for toml in tomls]


def test_the_paper_has_nine_tasks_and_three_twins() -> None:
    found = [load_task(name) for name in paper.TASKS]
    assert sum(t.adversarial_of is None for t in found) == 9
    assert sum(t.adversarial_of is not None for t in found) == 3


def planned(tasks: list[Task], limit: int | None = None, **changes: int) -> paper.Plan:
    return paper.plan(
        tasks, paper.standard_prompts(BACKBONE, "roberta", tasks, **changes), "roberta", limit=limit
    )


def test_a_plan_counts_what_the_paper_does(tasks: list[Task]) -> None:
    plan = planned(tasks, limit=10)
    assert len(plan.prompts) == 2 * 5
    assert len(plan.transfer) == 10 * 3
    assert len(plan.predictivity) == 3 * 5
    assert len(plan.stability) == 1
    # per task: fraction 0, skill, three random draws; the pair also has the other's skill neurons
    assert len(plan.suppression) == 3 * 5 * (1 + 8 * 4) + 2 * 5 * 8
    assert all(p.prompt_length == 100 for p in plan.prompts)


def test_a_twin_is_suppressed_by_the_clean_ranking(tasks: list[Task]) -> None:
    plan = planned(tasks)
    twin = tasks[2].name
    skill = [s for s in plan.suppression if s.task.name == twin and s.suppression is not None
             and s.suppression.choose == "skill"]  # fmt: skip
    assert skill
    for spec in skill:
        assert spec.suppression is not None
        assert len({r.task.name for r in spec.suppression.ranking}) == 1
        assert {r.prompt.seed for r in spec.suppression.ranking} == set(range(5))


def test_passes_add_up(tasks: list[Task]) -> None:
    plan = planned(tasks, limit=10, steps=40)
    prompt = plan.prompts[0]
    assert paper.passes([prompt]) == 3 * 40 * 16 + (40 // 10 + 1) * 200
    plain = EvaluationSpec(prompt=prompt, task=prompt.task, limit=10)
    assert paper.passes([plain, plain]) == 20
    assert paper.passes([PredictivitySpec(prompt=prompt, task=prompt.task)]) == 240 + 121


@pytest.mark.slow
def test_the_command_says_what_it_takes_does_it_and_resumes(
    tomls: list[Path], tiny_roberta: Path, tmp_path: Path
) -> None:
    words = [
        "paper", "--backbone", tiny_roberta, "--subset", ",".join(map(str, tomls)), "--seeds", 2,
        "--steps", 2, "--prompt-length", 2, "--limit", 8,
    ]  # fmt: skip
    dry = call(tmp_path, *words, "--dry-run", "--json")
    assert dry.returncode == 0, dry.stderr
    (expected,) = json.loads(dry.stdout)
    assert expected["left"] > 0
    assert expected["hours"] > 0
    assert len(json.loads(call(tmp_path, "status", "--json").stdout)["prompts"]) == 0
    done = call(tmp_path, *words, "--json")
    assert done.returncode == 0, done.stderr
    (again,) = json.loads(call(tmp_path, *words, "--dry-run", "--json").stdout)
    assert again["left"] == 0
    assert again["hours"] == 0


def test_calibration_times_reading_and_a_warm_pass(
    lab: Lab, tiny_roberta: Path, tasks: list[Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock on which reading takes 32 s, the first pass 100 s and the next ones 8 s."""
    clock, passes = [0.0], [100.0, 8.0, 8.0]
    backbone, of = lab.models.load(str(tiny_roberta)), paper.Encoded.of
    forward = backbone.answer_state

    def tick(seconds: float, then: Callable[..., Any], *args: Any) -> Any:
        clock[0] += seconds
        return then(*args)

    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    monkeypatch.setattr(paper.Encoded, "of", lambda *a: tick(32, of, *a))
    monkeypatch.setattr(backbone, "answer_state", lambda *a: tick(passes.pop(0), forward, *a))
    pin = lab.models.pin(str(tiny_roberta))
    (prompt,) = paper.standard_prompts(
        pin, "roberta", tasks[:1], seeds=[0], prompt_length=2, steps=1
    )[tasks[0].name]
    pace = paper.calibrate(lab, prompt, tasks[0])
    assert pace == paper.Pace(forward=8 / paper.SAMPLE, reading=32 / paper.SAMPLE)


def test_the_estimate_counts_passes_and_each_split_once(tasks: list[Task]) -> None:
    plan = planned(tasks[:1], steps=40)
    assert paper.rows(plan.everything) == 240 + 121
    pace = paper.Pace(forward=2.0, reading=3.0)
    expected = (2 * paper.passes(plan.everything) + 3 * (240 + 121)) / 3600
    assert pace.hours(plan.everything) == pytest.approx(expected)


def test_a_twin_without_its_clean_task_is_refused(tasks: list[Task]) -> None:
    with pytest.raises(BadInput, match="needs the prompts of"):
        planned(tasks[2:])


def test_the_plan_answers_what_the_suppression_page_asks(tasks: list[Task]) -> None:
    asked = set(planned(tasks).suppression)
    clean, prompts = tasks[0], paper.standard_prompts(BACKBONE, "roberta", tasks)
    place = (pin_task(clean, "roberta"), clean.evaluation_split)
    ranking = sweeps.predictivities((p, *place) for p in prompts[clean.name])
    first = [p for p in prompts[clean.name] if p.seed == 0]
    page = sweeps.suppression_sweep(first, ranking, *place, sweeps.SuppressionChoices())
    assert set(page) <= asked


def test_released_prompts_take_the_place_of_tuned_ones(
    lab: Lab, tiny_roberta: Path, tasks: list[Task]
) -> None:
    pin = lab.models.pin(str(tiny_roberta))
    with pytest.raises(BadInput, match="No released prompt of"):
        paper.released_prompts(lab, pin, tasks)
    for seed, task in enumerate(tasks[:2]):
        spec = ImportedPrompt(
            backbone=pin, sha256=f"{seed}", task=task.name, seed=seed, prompt_length=3,
            layout="published",
        )  # fmt: skip
        lab.adopt(SoftPrompt(spec=spec, vectors=torch.ones(3, 16), words=()), "0")
    plan = paper.plan(tasks, paper.released_prompts(lab, pin, tasks), "roberta", limit=10)
    assert len(plan.transfer) == 2 * 3
    assert not any(isinstance(q, TuneSpec) for q in plan.everything)
