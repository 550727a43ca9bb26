"""Our numbers against a straightforward implementation: full activations, one example at a time.

The oracle builds inputs by hand, pads every text to one length, calls the stock model with hooks
of its own and keeps everything. In double precision counts must agree exactly.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from core.backbones import Backbone, load_backbone
from core.data import load_split
from core.lab import Lab
from core.neurons import best_token, predictivity
from core.specs import EvaluationSpec, PredictivitySpec, Suppression, TuneSpec
from core.tasks import load_task, pin_task
from tests.conftest import write_task

PADDED = 40


class Oracle:
    """No batching, no streaming, no verbalizer-only logits."""

    def __init__(self, backbone: Backbone, vectors: torch.Tensor) -> None:
        self.b, self.model = backbone, backbone.model
        self.vectors = vectors.to(backbone.dtype)
        self.seen: list[torch.Tensor] = []
        self.zeroed: np.ndarray | None = None

    def linears(self) -> list[torch.nn.Linear]:
        if self.b.family == "roberta":
            return [m for n, m in self.model.named_modules() if n.endswith("output.dense")
                    and ".attention." not in n]  # fmt: skip
        return [m for n, m in self.model.encoder.named_modules() if n.endswith("DenseReluDense.wo")]

    def logits(self, text: str, text_b: str | None) -> torch.Tensor:
        tok = self.b.tokenizer
        ids = tok(text, add_special_tokens=False)["input_ids"]
        other = tok(text_b, add_special_tokens=False)["input_ids"] if text_b is not None else None
        end = tok.eos_token_id
        if self.b.family == "roberta":
            ids = [tok.bos_token_id, *ids, end] + ([*other, end] if other is not None else [])
        else:
            ids = [*ids, end] + ([*other, end] if other is not None else [])
        keep = [1] * len(ids) + [0] * (PADDED - len(ids))
        ids = ids + [tok.pad_token_id] * (PADDED - len(ids))
        embed = self.model.get_input_embeddings()
        text_vectors = embed(torch.tensor([ids]))
        self.seen = []
        handles = [
            m.register_forward_pre_hook(lambda _, x: self.seen.append(x[0].clone()))
            for m in self.linears()
        ]
        if self.b.family == "roberta":
            position = self.model.roberta.embeddings.position_embeddings.weight
            prompt = torch.cat([embed(torch.tensor([tok.mask_token_id])), self.vectors])
            count = len(prompt)
            # Sequential ids would give the prompt positions 2, 3, ...: take those away again.
            prompt = prompt - position[2 : 2 + count]
            out = self.model(
                inputs_embeds=torch.cat([prompt[None], text_vectors], dim=1),
                attention_mask=torch.tensor([[1] * count + keep]),
                position_ids=torch.arange(2, 2 + count + PADDED)[None],
            )
        else:
            out = self.model(
                inputs_embeds=torch.cat([self.vectors[None], text_vectors], dim=1),
                attention_mask=torch.tensor([[1] * len(self.vectors) + keep]),
                decoder_input_ids=torch.tensor([[tok.pad_token_id]]),
            )
        for handle in handles:
            handle.remove()
        return out.logits[0, 0]


def setup(lab: Lab, folder: Path, toml: Path, precision: str) -> tuple[TuneSpec, Oracle]:
    spec = TuneSpec(
        backbone=lab.pin_backbone(str(folder)), task=pin_task(load_task(str(toml))), seed=1,
        prompt_length=5, steps=3, selection=10, learning_rate=0.05, precision=precision,
    )  # fmt: skip
    prompt = lab.prompt(spec)
    backbone = load_backbone(folder, precision=precision)
    return spec, Oracle(backbone, prompt.vectors)


@pytest.fixture(params=[False, True], ids=["single", "pair"])
def toml(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_task(tmp_path / "task", pair=request.param)


@torch.no_grad()
def run_oracle(oracle: Oracle, toml: Path, split: str, words: list[int]):
    examples = load_split(load_task(str(toml)), split)
    scores, activations = [], []
    prefix = len(oracle.vectors) + (oracle.b.family == "roberta")
    for i, text in enumerate(examples.text_a):
        out = oracle.logits(text, examples.text_b[i] if examples.text_b else None)
        scores.append(out[words])
        activations.append(torch.stack([a[0, :prefix] for a in oracle.seen]))
    return torch.stack(scores), torch.stack(activations), torch.from_numpy(examples.labels)


def first_pieces(oracle: Oracle, toml: Path) -> list[int]:
    words = load_task(str(toml)).words(oracle.b.family)
    return [oracle.b.tokenizer(w, add_special_tokens=False)["input_ids"][0] for w in words]


def test_evaluation_agrees_in_fp32(lab: Lab, tiny_folder: Path, toml: Path) -> None:
    spec, oracle = setup(lab, tiny_folder, toml, "fp32")
    asked = EvaluationSpec(prompt=spec, task=spec.task)
    ours = lab.evaluate(asked)
    scores, _, labels = run_oracle(oracle, toml, "validation", first_pieces(oracle, toml))
    assert np.abs(ours.scores - scores.double().numpy()).max() < 1e-4
    assert ours.correct == int((scores.argmax(1) == labels).sum())
    assert ours.n == len(labels) == 31


def test_predictivity_agrees_exactly_in_fp64(lab: Lab, tiny_folder: Path, toml: Path) -> None:
    spec, oracle = setup(lab, tiny_folder, toml, "fp64")
    ours = lab.measure(PredictivitySpec(prompt=spec, task=spec.task, permutations=3))
    words = first_pieces(oracle, toml)
    _, train, _ = run_oracle(oracle, toml, "train", words)
    _, held, labels = run_oracle(oracle, toml, "validation", words)
    baseline = train.mean(dim=0)
    assert torch.allclose(ours.baseline, baseline, atol=1e-12)
    right = ((held > baseline) == labels[:, None, None, None].bool()).sum(dim=0)
    assert torch.equal(ours.correct, right)
    accuracy = right.double() / len(labels)
    expected = torch.maximum(accuracy, 1 - accuracy).max(dim=1)
    assert torch.equal(predictivity(ours.accuracy), expected.values)
    assert torch.equal(best_token(ours.accuracy), expected.indices)


@pytest.mark.parametrize("choose", ["skill", "random", "lowest"])
def test_suppression_equals_zeroed_weight_columns(
    lab: Lab, tiny_folder: Path, toml: Path, choose: str
) -> None:
    spec, oracle = setup(lab, tiny_folder, toml, "fp64")
    ranking = (PredictivitySpec(prompt=spec, task=spec.task, permutations=0),)
    how = Suppression(ranking=ranking, choose=choose, fraction=0.3, seed=2)
    ours = lab.evaluate(EvaluationSpec(prompt=spec, task=spec.task, suppression=how))
    mask = lab.mask(how, oracle.b)
    assert mask.sum(dim=1).tolist() == [int(0.3 * oracle.b.intermediate_size)] * oracle.b.layers
    with torch.no_grad():
        for linear, row in zip(oracle.linears(), mask, strict=True):
            linear.weight[:, row] = 0
    scores, _, _ = run_oracle(oracle, toml, "validation", first_pieces(oracle, toml))
    assert np.abs(ours.scores - scores.numpy()).max() < 1e-12
