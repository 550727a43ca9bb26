"""One neuron suppressed: margins against zeroed weights, one example at a time."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from core.backbones import load_backbone
from core.backbones.prompted import PromptedModel
from core.base.errors import BadInput
from core.lab.lab import Lab
from core.measures.ablation import AblationSpec, margins
from core.measures.evaluation import EvaluationSpec
from core.tasks import load_task
from core.tasks.data import load_split
from tests.measures.test_predictivity import question


def test_margins_are_the_right_logit_less_the_best_other() -> None:
    scores = torch.tensor([[1.0, 3.0, 2.0], [4.0, 0.0, 5.0]])
    assert margins(scores, [1, 0]).tolist() == [1.0, -1.0]


@pytest.mark.parametrize("where", [(0, 3), (1, 20)])
def test_without_a_neuron_is_a_zeroed_weight_column(
    lab: Lab, tiny_folder: Path, toy_task: Path, where: tuple[int, int]
) -> None:
    task = load_task(str(toy_task))
    spec = AblationSpec(
        ranking=question(lab, tiny_folder, task, permutations=0), layer=where[0], neuron=where[1]
    )
    result = lab.answer(spec)
    backbone = load_backbone(tiny_folder, precision="fp64")
    with torch.no_grad():
        backbone.down_projections()[where[0]].weight[:, where[1]] = 0
    examples = load_split(task, "validation")
    model = PromptedModel(backbone, lab.prompt(spec.ranking.prompt), task)
    rows = model.encode(examples)
    for i in range(len(examples)):
        with torch.no_grad():
            scores = model.scores(rows.batch([i], backbone))
        expected = margins(scores, examples.labels[i : i + 1])[0]
        assert result.without[i] == pytest.approx(expected, abs=1e-9)


def test_as_the_model_is_the_signs_are_the_evaluation(
    lab: Lab, tiny_folder: Path, toy_task: Path
) -> None:
    task = load_task(str(toy_task))
    asked = question(lab, tiny_folder, task, permutations=0)
    result = lab.answer(AblationSpec(ranking=asked, layer=0, neuron=0))
    plain = lab.answer(EvaluationSpec(prompt=asked.prompt, task=asked.task))
    assert ((result.margin > 0) == (plain.labels == plain.predictions)).all()
    assert result.index.tolist() == plain.index.tolist()


def test_one_slot_is_less_than_everywhere(lab: Lab, tiny_roberta: Path, toy_task: Path) -> None:
    asked = question(lab, tiny_roberta, load_task(str(toy_task)), permutations=0)
    results = [lab.answer(AblationSpec(ranking=asked, layer=0, neuron=n)) for n in range(6)]
    assert any((r.without_slot != r.margin).any() for r in results)
    assert any((r.without_slot != r.without).any() for r in results)


def test_a_neuron_that_is_not_there_is_refused(
    lab: Lab, tiny_roberta: Path, toy_task: Path
) -> None:
    asked = question(lab, tiny_roberta, load_task(str(toy_task)), permutations=0)
    spec = AblationSpec(ranking=asked, layer=0, neuron=0)
    for wrong in (replace(spec, layer=3), replace(spec, neuron=24)):
        with pytest.raises(BadInput, match="has layers 0 to 2 with neurons 0 to 23"):
            lab.answer(wrong)
