"""What one neuron does to the answers when it is switched off, everywhere or at one slot."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from core.backbones.base import Backbone
from core.backbones.batches import Encoded
from core.backbones.hooks import Intervention, suppress
from core.base.progress import Progress, silent
from core.base.results import NeuronEffect, SoftPrompt
from core.base.specs import NeuronSpec
from core.measures.evaluation import BATCH, word_ids
from core.tasks import Task
from core.tasks.data import Examples


def effect(
    spec: NeuronSpec,
    backbone: Backbone,
    prompt: SoftPrompt,
    task: Task,
    examples: Examples,
    token: int,
    progress: Progress = silent,
) -> NeuronEffect:
    """Margins of the right answer with the neuron as it is, at 0 at slot `token`, and at 0."""
    mask = torch.zeros(backbone.layers, backbone.intermediate_size, dtype=torch.bool)
    mask[spec.layer, spec.neuron] = True
    hooks = (
        None,
        Intervention(mask=mask, positions=slice(token, token + 1)),
        Intervention(mask=mask),
    )
    asked = spec.ranking.prompt
    encoded = Encoded.of(backbone, examples, task.templates.get(backbone.family), asked.max_length)
    words = word_ids(backbone, task)
    vectors = prompt.vectors.to(backbone.device, backbone.dtype)
    scores = torch.empty(len(hooks), len(examples), len(words), dtype=torch.float64)
    done = 0
    for batch in encoded.by_length(backbone, BATCH):
        for i, hook in enumerate(hooks):
            with torch.inference_mode(), suppress(backbone.down_projections(), hook):
                state = backbone.answer_state(vectors, batch.ids, batch.mask, asked.layout)
                scores[i, batch.rows] = backbone.logits(state, words).double().cpu()
        done += len(batch.rows)
        progress(done / len(examples))
    margin, without_slot, without = (margins(s, examples.labels) for s in scores)
    return NeuronEffect(
        spec=spec,
        index=examples.index,
        labels=examples.labels,
        margin=margin,
        without_slot=without_slot,
        without=without,
    )


def margins(
    scores: Tensor, labels: npt.NDArray[np.int64] | Sequence[int]
) -> npt.NDArray[np.float64]:
    """The right answer's logit less the best other one's: positive where the answer is right."""
    right = torch.as_tensor(np.asarray(labels))[:, None]
    others = scores.scatter(1, right, float("-inf"))
    margin: npt.NDArray[np.float64] = (scores.gather(1, right)[:, 0] - others.amax(dim=1)).numpy()
    return margin
