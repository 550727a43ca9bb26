"""The lab: what it takes from the store instead of computing it."""

from dataclasses import replace
from pathlib import Path

import pytest

from core.lab import Lab
from core.settings import Settings
from core.specs import EvaluationSpec, PredictivitySpec, Suppression, TuneSpec
from core.tasks import load_task, pin_task


@pytest.fixture
def whole(lab: Lab, tiny_roberta: Path, toy_task: Path) -> EvaluationSpec:
    task = pin_task(load_task(str(toy_task)))
    prompt = TuneSpec(
        backbone=lab.pin_backbone(str(tiny_roberta)), task=task, seed=0, prompt_length=2, steps=1,
        selection=10,
    )  # fmt: skip
    return EvaluationSpec(prompt=prompt, task=task)


@pytest.mark.parametrize("limit", [1, 7, 30, 31, 1000])
def test_some_rows_of_a_stored_evaluation_are_what_computing_them_gives(
    lab: Lab, whole: EvaluationSpec, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.ask(whole)
    some = replace(whole, limit=limit)
    computed = lab.evaluate(some)
    with monkeypatch.context() as patch:
        patch.setattr(lab, "evaluate", None)  # nothing may be computed
        lab.ask(some)
    stored = lab.store.evaluation(some)
    assert stored is not None
    assert stored.index.tolist() == computed.index.tolist()
    assert stored.labels.tolist() == computed.labels.tolist()
    assert stored.predictions.tolist() == computed.predictions.tolist()


def test_a_suppressed_evaluation_is_not_taken_from_the_plain_one(
    lab: Lab, whole: EvaluationSpec
) -> None:
    lab.ask(whole)
    ranking = (PredictivitySpec(prompt=whole.prompt, task=whole.task, permutations=1),)
    how = Suppression(ranking=ranking, choose="skill", fraction=1.0)
    some = replace(whole, limit=20, suppression=how)
    lab.ask(some)
    stored = lab.store.evaluation(some)
    assert stored is not None
    assert stored.predictions.tolist() == lab.evaluate(some).predictions.tolist()


def test_a_server_leaves_the_browser_a_core_unless_told_otherwise() -> None:
    assert Settings(threads=7).beside_pages().threads == 7
    assert (Settings().beside_pages().threads or 0) >= 1
