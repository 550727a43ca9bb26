"""What neurons add: against gradients of the weights, finite differences and zeroed layers."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from core.backbones import load_backbone
from core.backbones.prompted import PromptedModel
from core.base.errors import BadInput
from core.lab.lab import Lab
from core.measures.ablation import margins
from core.measures.attribution import AttributionSpec, added_by_neurons, table
from core.measures.evaluation import EvaluationSpec, Suppression, suppressed_neurons
from core.measures.faithfulness import FaithfulnessSpec
from core.tasks import load_task
from core.tasks.data import Examples, load_split
from tests.conftest import write_task
from tests.measures.test_predictivity import question


@pytest.fixture(params=[2, pytest.param(3, marks=pytest.mark.slow)], ids=["two", "three"])
def toml(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    file = write_task(tmp_path / "task", classes=request.param, n=30)
    words = ["good", "yes", "dull"][: request.param]  # one piece each for every tiny tokenizer
    text = file.read_text()
    file.write_text(text[: text.rindex("default")] + f"default = {json.dumps(words)}\n")
    return file


@pytest.fixture
def spec(lab: Lab, tiny_folder: Path, toml: Path) -> AttributionSpec:
    """Of the encoder, and of the decoder of a T5 on one of the two tasks."""
    task = load_task(str(toml))
    prompt = question(lab, tiny_folder, task, permutations=0).prompt
    decoder = (tiny_folder.name, len(task.labels)) in {("tiny-t5", 3), ("tiny-t5-gated", 2)}
    return AttributionSpec(
        prompt=prompt, task=prompt.task, precision="fp64", limit=12,
        stack="decoder" if decoder else "encoder",
    )  # fmt: skip


def fresh(lab: Lab, folder: Path, spec: AttributionSpec) -> PromptedModel:
    """A model of our own, whose weights may be changed."""
    backbone = load_backbone(folder, precision="fp64")
    return PromptedModel(backbone, lab.prompt(spec.prompt), load_task(spec.task.name))


def margin(model: PromptedModel, examples: Examples, row: int) -> torch.Tensor:
    """The right answer's logit less the best other one, of one example, without any hook."""
    scores = model.scores(model.encode(examples).batch([row], model.backbone))[0]
    label = int(examples.labels[row])
    return scores[label] - torch.cat([scores[:label], scores[label + 1 :]]).max()


def test_it_is_what_the_gradient_of_each_weight_column_says(
    lab: Lab, tiny_folder: Path, spec: AttributionSpec
) -> None:
    """Scaling a neuron is scaling its column of the down-projection: one example at a time."""
    ours = lab.answer(spec)
    model = fresh(lab, tiny_folder, spec)
    examples = load_split(load_task(spec.task.name), "train", 12)
    weights = [m.weight.requires_grad_() for m in model.down_projections(spec.stack)]
    rows = []
    for row in range(len(examples)):
        with torch.enable_grad():
            gradients = torch.autograd.grad(margin(model, examples, row), weights)
        rows.append([(w * g).sum(0).tolist() for w, g in zip(weights, gradients, strict=True)])
    values = np.array(rows)
    assert ours.n == 12
    assert np.allclose(ours.signed, values.mean(0), atol=1e-10)
    assert np.allclose(ours.absolute, np.abs(values).mean(0), atol=1e-10)
    assert np.allclose(ours.error, values.std(0, ddof=1) / 12**0.5, atol=1e-8)


def test_finite_differences_agree(lab: Lab, tiny_folder: Path, spec: AttributionSpec) -> None:
    ours = lab.answer(spec)
    model = fresh(lab, tiny_folder, spec)
    examples = load_split(load_task(spec.task.name), "train", 12)

    def mean_margin() -> float:
        with torch.no_grad():
            return sum(float(margin(model, examples, r)) for r in range(len(examples))) / 12

    h = 1e-5
    for layer, neuron in [(0, 0), (0, 11), (-1, 5), (-1, 23)]:
        weight = model.down_projections(spec.stack)[layer].weight
        column = weight[:, neuron].detach().clone()
        found = []
        for scale in (1 + h, 1 - h):
            with torch.no_grad():
                weight[:, neuron] = column * scale
            found.append(mean_margin())
        with torch.no_grad():
            weight[:, neuron] = column
        assert ours.signed[layer, neuron] == pytest.approx(
            (found[0] - found[1]) / (2 * h), abs=1e-6
        )


@pytest.mark.slow
def test_integrated_gradients_add_up_to_what_a_layer_adds(
    lab: Lab, tiny_folder: Path, spec: AttributionSpec
) -> None:
    ours = lab.answer(replace(spec, steps=200))
    examples = load_split(load_task(spec.task.name), "train", 12)
    labels = examples.labels
    for layer in range(len(ours.signed)):
        model = fresh(lab, tiny_folder, spec)
        batch = model.encode(examples).batch(range(12), model.backbone)
        with torch.no_grad():
            whole = margins(model.scores(batch), labels)
            model.down_projections(spec.stack)[layer].weight[:] = 0
            without = margins(model.scores(batch), labels)
        assert ours.signed[layer].sum() == pytest.approx((whole - without).mean(), abs=2e-3)


def test_the_prompt_and_the_text_add_up_to_all_positions(
    lab: Lab, tiny_folder: Path, spec: AttributionSpec
) -> None:
    if spec.stack == "decoder":
        with pytest.raises(BadInput, match="no prompt positions"):
            replace(spec, positions="prompt")
        return
    model = fresh(lab, tiny_folder, spec)
    examples = load_split(load_task(spec.task.name), "train", 12)
    batch = model.encode(examples).batch(range(12), model.backbone)
    everywhere = added_by_neurons(model, batch)
    prompt = added_by_neurons(model, batch, positions="prompt")
    assert not torch.allclose(everywhere, prompt)
    whole = PromptedModel.prefix.fget
    try:
        PromptedModel.prefix = property(lambda self: 10_000)  # type: ignore[assignment]
        assert torch.equal(added_by_neurons(model, batch, positions="prompt"), everywhere)
    finally:
        PromptedModel.prefix = property(whole)  # type: ignore[assignment]


def test_one_text_or_many_in_a_batch_is_the_same(
    lab: Lab, tiny_folder: Path, spec: AttributionSpec
) -> None:
    model = fresh(lab, tiny_folder, spec)
    examples = load_split(load_task(spec.task.name), "train", 12)
    rows = model.encode(examples)
    together = added_by_neurons(model, rows.batch(range(12), model.backbone), stack=spec.stack)
    for row in (0, 5, 11):
        alone = added_by_neurons(model, rows.batch([row], model.backbone), stack=spec.stack)
        assert torch.allclose(alone[0], together[row], atol=1e-10)


def test_it_is_kept_and_read(lab: Lab, spec: AttributionSpec) -> None:
    lab.ask(spec)
    kept, anew = lab.stored(spec), lab.answer(spec)
    for name in ("signed", "absolute", "error"):
        assert np.array_equal(getattr(kept, name), getattr(anew, name).astype(np.float32))
    assert kept.n == anew.n
    assert len(table(kept)) == kept.signed.size


def test_weights_are_left_as_they_are(lab: Lab, tiny_folder: Path, spec: AttributionSpec) -> None:
    lab.ask(spec)
    with lab.models.borrowed(str(tiny_folder), "fp64") as backbone:
        assert all(p.grad is None for p in backbone.model.parameters())


def test_the_ranking_is_made_on_other_rows_than_it_is_tested_on(spec: AttributionSpec) -> None:
    assert spec.split == "train"


def test_no_steps_are_refused(spec: AttributionSpec) -> None:
    with pytest.raises(BadInput, match="steps is 0"):
        replace(spec, steps=0)


# --- suppressed in a stack -----------------------------------------------------------------------
@pytest.mark.parametrize("choose", ["causal", "random"])
def test_suppression_strikes_the_ranked_stack_alone(
    lab: Lab, tiny_folder: Path, spec: AttributionSpec, choose: str
) -> None:
    how = Suppression(
        ranking=(spec,) if choose == "causal" else (), choose=choose,  # type: ignore[arg-type]
        fraction=0.25, stack=spec.stack, seed=3,
    )  # fmt: skip
    asked = EvaluationSpec(
        prompt=spec.prompt, task=spec.task, split="train", limit=12, suppression=how,
        precision="fp64",
    )  # fmt: skip
    if choose == "causal":
        lab.ask(spec)
    answer = lab.answer(asked)
    model = fresh(lab, tiny_folder, spec)
    mask = suppressed_neurons(how, lab, model.shape(spec.stack))
    assert mask.sum(axis=1).tolist() == [6] * len(mask)
    if choose == "causal":
        assert lab.stored(spec).signed[mask].min() > np.quantile(lab.stored(spec).signed, 0.5)
    for linear, row in zip(model.down_projections(spec.stack), mask, strict=True):
        with torch.no_grad():
            linear.weight[:, torch.from_numpy(row)] = 0
    examples = load_split(load_task(spec.task.name), "train", 12)
    with torch.no_grad():
        scores = model.scores(model.encode(examples).batch(range(12), model.backbone))
    assert answer.logits is not None
    assert answer.logits == pytest.approx(scores.numpy(), abs=1e-9)


def test_a_stack_is_asked_only_for_what_it_has(spec: AttributionSpec, lab: Lab) -> None:
    other = {"encoder": "decoder", "decoder": "encoder"}[spec.stack]
    with pytest.raises(BadInput, match="need a ranking of the"):
        Suppression(ranking=(spec,), choose="causal", fraction=0.1, stack=other)  # type: ignore[arg-type]
    for wrong in ({"choose": "skill"}, {"choose": "random", "kind": "mean"}):
        with pytest.raises(BadInput, match="Predictivity is measured in the encoder"):
            Suppression(ranking=(), fraction=0.1, stack="decoder", **wrong)  # type: ignore[arg-type]
    if lab.models.family(spec.prompt.backbone.name) != "t5":
        with pytest.raises(BadInput, match="has no decoder"):
            lab.answer(replace(spec, stack="decoder"))


# --- is it faithful? -----------------------------------------------------------------------------
def test_exact_effects_are_those_of_zeroed_weights(
    lab: Lab, tiny_folder: Path, spec: AttributionSpec
) -> None:
    ours = lab.answer(FaithfulnessSpec(attribution=spec, neurons=5, limit=7))
    model = fresh(lab, tiny_folder, spec)
    examples = load_split(load_task(spec.task.name), "train", 12).take(np.arange(7))
    assert (ours.n, ours.neuron.shape) == (7, (model.shape(spec.stack)[0], 5))
    with torch.no_grad():
        whole = np.array([float(margin(model, examples, row)) for row in range(7)])
        for (layer, place), neuron in np.ndenumerate(ours.neuron):
            column = model.down_projections(spec.stack)[layer].weight[:, int(neuron)]
            kept = column.clone()
            column.zero_()
            lost = whole - [float(margin(model, examples, row)) for row in range(7)]
            column.copy_(kept)
            assert ours.exact[layer, place] == pytest.approx(lost.mean(), abs=1e-10)
            assert ours.error[layer, place] == pytest.approx(lost.std(ddof=1) / 7**0.5, abs=1e-10)


def test_it_is_compared_on_the_same_rows_with_what_attribution_says_there(
    lab: Lab, spec: AttributionSpec
) -> None:
    ours = lab.answer(FaithfulnessSpec(attribution=spec, neurons=4, limit=12))
    signed = lab.answer(spec).signed
    assert np.allclose(ours.attributed, np.take_along_axis(signed, ours.neuron, axis=1))
    highest, lowest = signed.argmax(axis=1), signed.argmin(axis=1)
    assert ours.neuron[:, 0].tolist() == highest.tolist()
    assert ours.neuron[:, -1].tolist() == lowest.tolist()
    every = lab.answer(FaithfulnessSpec(attribution=spec, neurons=1000, limit=3))
    assert [sorted(row) for row in every.neuron.tolist()] == [list(range(24))] * len(signed)


def test_a_stored_comparison_is_the_computed_one(lab: Lab, spec: AttributionSpec) -> None:
    asked = FaithfulnessSpec(attribution=spec, neurons=6, limit=5)
    kept, anew = lab.stored(asked), lab.answer(asked)
    for name in ("neuron", "attributed", "exact", "error"):
        assert np.array_equal(getattr(kept, name), getattr(anew, name)), name
    assert kept.n == anew.n
