"""Which neurons a prompt activates, against a plain forward pass of the model's own modules."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from core.backbones import load_backbone
from core.base.specs import key
from core.lab.lab import Lab
from core.measures.activated import ActivatedSpec
from core.tasks import load_task
from tests.measures.test_predictivity import question


@pytest.fixture
def spec(lab: Lab, tiny_folder: Path, toy_task: Path) -> ActivatedSpec:
    prompt = question(lab, tiny_folder, load_task(str(toy_task)), permutations=0).prompt
    return ActivatedSpec(prompt=prompt, precision="fp64")


def inner(model: torch.nn.Module, decoder: bool) -> list[torch.nn.Module]:
    """What computes each layer's activations, from the library's own names; of a gated network
    both factors.
    """
    ends = ("wi", "wi_0", "wi_1") if decoder else ("intermediate",)
    return [
        m for n, m in model.named_modules()
        if n.split(".")[-1] in ends and (n.startswith("decoder") or not decoder)
    ]  # fmt: skip


def test_they_are_those_above_zero_where_the_answer_is_read(
    lab: Lab, tiny_folder: Path, spec: ActivatedSpec
) -> None:
    found = lab.answer(spec)
    backbone = load_backbone(tiny_folder, precision="fp64")
    vectors = lab.prompt(spec.prompt).vectors.double()
    decoder = backbone.family == "t5"
    assert found.stack == ("decoder" if decoder else "encoder")
    seen = list[torch.Tensor]()
    hooks = [
        module.register_forward_hook(lambda _m, _i, out: seen.append(out[0, 0]))
        for module in inner(backbone.model, decoder)
    ]
    token = {"roberta": "<s>", "bert": "[CLS]", "t5": "<extra_id_0>"}[backbone.family]
    ids = backbone.tokenizer(token, add_special_tokens=False, return_tensors="pt").input_ids
    with torch.no_grad():
        backbone.answer_state(vectors, ids, torch.ones_like(ids, dtype=torch.bool))
    for hook in hooks:
        hook.remove()
    above = torch.stack(seen) > 0
    if "gated" in tiny_folder.name:  # positive if both factors have the same sign
        above = above[0::2] == above[1::2]
    assert np.array_equal(found.active, above.numpy())
    assert 0 < found.active.mean() < 1


def test_the_store_gives_it_back(lab: Lab, spec: ActivatedSpec) -> None:
    lab.ask(spec)
    again, computed = lab.store.read(spec), lab.answer(spec)
    assert np.array_equal(again.active, computed.active)
    assert again.stack == computed.stack
    assert key(replace(spec, precision=None)) != key(spec)
