"""Our numbers against a straightforward implementation: full activations, one example at a time.

In double precision counts must agree exactly.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from core.backbones import load_backbone
from core.lab.lab import Lab
from core.measures.evaluation import EvaluationSpec, Suppression, suppressed_neurons
from core.measures.predictivity import PredictivitySpec
from core.measures.tuning import TuneSpec
from core.stats.neurons import best_token, predictivity
from core.tasks import load_task, pin_task
from tests.conftest import write_task
from tests.measures.oracle import Oracle, first_pieces, run_oracle, skill_mask, zero_columns


def setup(lab: Lab, folder: Path, toml: Path, precision: str) -> tuple[TuneSpec, Oracle]:
    spec = TuneSpec(
        backbone=lab.models.pin(str(folder)), seed=1,
        task=pin_task(load_task(str(toml)), "roberta"), prompt_length=5, steps=3,
        selection=10, learning_rate=0.05, precision=precision,
    )  # fmt: skip
    prompt = lab.prompt(spec)
    backbone = load_backbone(folder, precision=precision)
    return spec, Oracle(backbone, prompt.vectors)


@pytest.fixture(params=[False, True], ids=["single", "pair"])
def toml(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_task(tmp_path / "task", pair=request.param)


@pytest.mark.slow
def test_evaluation_agrees_in_fp32(lab: Lab, tiny_folder: Path, toml: Path) -> None:
    spec, oracle = setup(lab, tiny_folder, toml, "fp32")
    asked = EvaluationSpec(prompt=spec, task=spec.task)
    ours = lab.answer(asked)
    scores, _, labels = run_oracle(oracle, toml, "validation", first_pieces(oracle, toml))
    assert np.abs(ours.logits - scores.double().numpy()).max() < 1e-4
    assert ours.correct == int((scores.argmax(1) == labels).sum())
    assert ours.n == len(labels) == 31


def test_predictivity_agrees_exactly_in_fp64(lab: Lab, tiny_folder: Path, toml: Path) -> None:
    spec, oracle = setup(lab, tiny_folder, toml, "fp64")
    ours = lab.answer(PredictivitySpec(prompt=spec, task=spec.task, permutations=3))
    words = first_pieces(oracle, toml)
    _, train, _ = run_oracle(oracle, toml, "train", words)
    _, held, labels = run_oracle(oracle, toml, "validation", words)
    baseline = train.mean(dim=0)
    assert np.allclose(ours.baseline, baseline.numpy(), atol=1e-12)
    right = ((held > baseline) == labels[:, None, None, None].bool()).sum(dim=0)
    assert np.array_equal(ours.correct, right.numpy())
    n = len(labels)
    expected = torch.maximum(right, n - right).max(dim=1)
    assert np.array_equal(predictivity(ours.correct, n), expected.values.numpy() / n)
    assert np.array_equal(best_token(ours.correct, n), expected.indices.numpy())


@pytest.mark.slow
@pytest.mark.parametrize("choose", ["skill", "random", "lowest"])
def test_suppression_equals_zeroed_weight_columns(
    lab: Lab, tiny_folder: Path, toml: Path, choose: str
) -> None:
    spec, oracle = setup(lab, tiny_folder, toml, "fp64")
    ranking = (PredictivitySpec(prompt=spec, task=spec.task, permutations=0),)
    how = Suppression(ranking=ranking, choose=choose, fraction=0.3, seed=2)
    ours = lab.answer(EvaluationSpec(prompt=spec, task=spec.task, suppression=how))
    mask = suppressed_neurons(how, lab, (oracle.b.layers, oracle.b.intermediate_size))
    assert mask.sum(axis=1).tolist() == [int(0.3 * oracle.b.intermediate_size)] * oracle.b.layers
    words = first_pieces(oracle, toml)
    if choose == "skill":
        _, train, _ = run_oracle(oracle, toml, "train", words)
        _, held, labels = run_oracle(oracle, toml, "validation", words)
        assert np.array_equal(mask, skill_mask(held, train.mean(dim=0), labels, 0.3))
    zero_columns(oracle, mask)
    scores, _, _ = run_oracle(oracle, toml, "validation", words)
    assert np.abs(ours.logits - scores.numpy()).max() < 1e-12
