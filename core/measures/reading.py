"""One text, read live: class probabilities, and what the prompt's positions make of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.backbones.base import Backbone
from core.backbones.hooks import Intervention, capture, suppress_rows
from core.base.errors import BadInput
from core.base.results import SoftPrompt
from core.measures.evaluation import word_ids
from core.stats.neurons import at_token
from core.tasks import Task

LONGEST = 20_000  # characters of a text


@dataclass(frozen=True, kw_only=True, eq=False)
class Reading:
    """`probabilities[intervention class]`, in the order of the interventions; `activations[layer
    neuron]` at the given token, in the row of the first one.
    """

    probabilities: npt.NDArray[np.float64]
    activations: Float[Tensor, "layer neuron"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Play:
    """A reading, and what is known of each neuron: `neurons[name]` as [layer, neuron] arrays."""

    reading: Reading
    neurons: dict[str, np.ndarray]
    draws: int


@torch.inference_mode()
def read(
    backbone: Backbone,
    prompt: SoftPrompt,
    task: Task,
    texts: tuple[str, str | None],
    token: Int[Tensor, "layer neuron"],
    interventions: Sequence[Intervention | None],
) -> Reading:
    """Softmax over the answer words' logits, a row of one batch per intervention. Raises: BadInput
    for no text or too much of it.
    """
    if not texts[0].strip() or (task.pair and not (texts[1] or "").strip()):
        raise BadInput("There is nothing to read: type a text.")
    if max(len(t or "") for t in texts) > LONGEST:
        raise BadInput(f"A text has more than {LONGEST:,} characters; only 128 tokens are read.")
    asked = prompt.spec
    ids = backbone.encode(
        *texts, template=task.templates.get(backbone.family), max_length=asked.max_length
    )
    rows = torch.tensor([ids], device=backbone.device).repeat(len(interventions), 1)
    vectors = prompt.vectors.to(backbone.device, backbone.dtype)
    prefix = backbone.prefix_length(len(vectors), asked.layout)
    words, modules = word_ids(backbone, task), backbone.down_projections()
    mask = torch.ones_like(rows, dtype=torch.bool)
    with capture(modules, slice(0, prefix)) as seen, suppress_rows(modules, interventions):
        state = backbone.answer_state(vectors, rows, mask, asked.layout)
    values = torch.stack([seen[layer][0].cpu() for layer in range(backbone.layers)])
    scores = backbone.logits(state, words).double().cpu()
    return Reading(
        probabilities=scores.softmax(dim=1).numpy(),
        activations=at_token(values.double(), token),
    )
