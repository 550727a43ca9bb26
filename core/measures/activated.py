"""Which neurons does a prompt activate by itself, without a text?

What Su et al. 2022 compare prompts by (the overlapping rate of activated neurons, ON): the model
gets the prompt and one special token; a neuron counts as activated if its activation is above 0 at
the position at which the answer is read, the mask slot or the decoder's first step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from core.backbones.hooks import capture
from core.base.measure import Measure, Stored, Table
from core.base.progress import Progress
from core.base.prompts import Prompt
from core.base.specs import Precision, Spec, Stack, key
from core.measures.bench import Bench

if TYPE_CHECKING:
    from jaxtyping import Bool

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class ActivatedSpec(Spec):
    """Which neurons are active at the position of the answer, behind a prompt without a text?"""

    prompt: Prompt
    precision: Precision | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Activated:
    """`active[layer neuron]`, of the encoder of a masked model or of T5's decoder (`stack`)."""

    spec: ActivatedSpec
    active: Bool[Mask, "layer neuron"]
    stack: Stack


def needs(spec: ActivatedSpec) -> tuple[Spec, ...]:
    """The prompt."""
    return (spec.prompt,)


def activate(spec: ActivatedSpec, bench: Bench, progress: Progress) -> Activated:
    """One forward pass of one row."""
    import torch

    backbone = bench.backbone(spec.prompt, spec.precision)
    vectors = bench.stored(spec.prompt).vectors.to(backbone.device, backbone.dtype)
    ids = torch.tensor([backbone.token_ids(backbone.no_text, special=True)], device=backbone.device)
    every = torch.ones_like(ids, dtype=torch.bool)
    stack = backbone.stacks[-1]  # where the answer is read
    linears = backbone.down_projections(stack)
    with torch.inference_mode(), capture(linears, slice(0, 1)) as seen:
        backbone.answer_state(vectors, ids, every, spec.prompt.layout)
    active = torch.stack([seen[layer][0, 0] > 0 for layer in range(len(linears))])
    progress(1.0)
    return Activated(spec=spec, active=active.cpu().numpy(), stack=stack)


# --- in the store --------------------------------------------------------------------------------
MAIN = Table(
    name="activated",
    columns="prompt VARCHAR, backbone VARCHAR, source_task VARCHAR, seed INTEGER, stack VARCHAR,"
    " width INTEGER",
)
LAYER = Table(
    name="activated_layer", columns="layer USMALLINT, neurons USMALLINT[]", order="key, layer"
)


def rows(found: Activated) -> dict[str, pd.DataFrame]:
    """An answer, and the numbers of each layer's activated neurons."""
    asked = found.spec.prompt
    row: dict[str, Any] = {
        "prompt": key(asked), "backbone": asked.backbone.name, "source_task": asked.source_task,
        "seed": asked.seed, "stack": found.stack, "width": found.active.shape[1],
    }  # fmt: skip
    layers = pd.DataFrame(
        {
            "layer": np.arange(len(found.active)),
            "neurons": [np.flatnonzero(layer).tolist() for layer in found.active],
        }
    )
    return {"activated": pd.DataFrame([row]), "activated_layer": layers}


def read(spec: ActivatedSpec, stored: Stored) -> Activated:
    """The stored answer."""
    row = stored.rows("activated").iloc[0]
    layers = stored.rows("activated_layer", order="layer").neurons
    active = np.zeros((len(layers), int(row.width)), bool)
    for layer, neurons in enumerate(layers):
        active[layer, np.asarray(neurons, np.int64)] = True
    return Activated(spec=spec, active=active, stack=row.stack)


ACTIVATED = Measure(
    spec=ActivatedSpec,
    tables=(MAIN, LAYER),
    needs=needs,
    compute=activate,
    rows=rows,
    read=read,
)
