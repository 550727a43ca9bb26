"""Each neuron's activation at its best prompt token, for a bounded number of examples."""

import torch
from jaxtyping import Int
from torch import Tensor

from core.backbones.base import Backbone
from core.backbones.batches import Encoded
from core.backbones.hooks import capture
from core.base.progress import Progress, silent
from core.base.results import Activations, SoftPrompt
from core.base.specs import ActivationSpec
from core.measures.evaluation import BATCH
from core.stats.neurons import at_token
from core.tasks import Task
from core.tasks.data import Examples


def activations(
    spec: ActivationSpec,
    backbone: Backbone,
    prompt: SoftPrompt,
    task: Task,
    examples: Examples,
    token: Int[Tensor, "layer neuron"],
    progress: Progress = silent,
) -> Activations:
    """One value per example, layer and neuron; positions are those of `token`."""
    asked = spec.ranking.prompt
    encoded = Encoded.of(backbone, examples, task.templates.get(backbone.family), asked.max_length)
    vectors = prompt.vectors.to(backbone.device, backbone.dtype)
    prefix = backbone.prefix_length(len(vectors), asked.layout)
    values = torch.empty(len(examples), backbone.layers, backbone.intermediate_size)
    with (
        torch.inference_mode(),
        capture(backbone.down_projections(), slice(0, prefix)) as seen,
    ):
        done = 0
        for batch in encoded.by_length(backbone, BATCH):
            backbone.answer_state(vectors, batch.ids, batch.mask, asked.layout)
            rows = torch.stack([seen[layer].cpu() for layer in range(backbone.layers)], dim=1)
            for at, row in enumerate(batch.rows):
                values[row] = at_token(rows[at], token)
            done += len(batch.rows)
            progress(done / len(examples))
    return Activations(index=examples.index, labels=examples.labels, values=values)
