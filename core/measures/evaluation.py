"""How many examples does a prompt get right? Transfer, robustness and suppression alike."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.backbones.base import Backbone
from core.backbones.batches import Encoded
from core.backbones.hooks import Intervention, suppress
from core.base.errors import BadInput, BadTask
from core.base.progress import Progress, silent
from core.base.results import Evaluation, SoftPrompt
from core.base.specs import EvaluationSpec
from core.tasks import Task
from core.tasks.data import Examples

BATCH = 32  # what lies in a processor's cache; 64 is slower on one thread, 16 on two


def word_ids(backbone: Backbone, task: Task) -> Int[Tensor, " class"]:
    """The first piece of each class's answer word. Raises: BadTask if two classes share one."""
    words = task.words(backbone.family)
    ids = [backbone.token_ids(word)[0] for word in words]
    if len(set(ids)) < len(ids):
        raise BadTask(
            f"Two answer words of {task.title!r} begin with the same piece for {backbone.name}: "
            f"{', '.join(words)}. Choose others under [verbalizer] in {task.file}."
        )
    return torch.tensor(ids, device=backbone.device)


def evaluate(
    spec: EvaluationSpec,
    backbone: Backbone,
    prompt: SoftPrompt,
    task: Task,
    examples: Examples,
    intervention: Intervention | None = None,
    progress: Progress = silent,
) -> Evaluation:
    """Answer every example with the task's own answer words, under an intervention or none."""
    encoded = Encoded.of(
        backbone, examples, task.templates.get(backbone.family), spec.prompt.max_length
    )
    words = word_ids(backbone, task)
    vectors = prompt.vectors.to(backbone.device, backbone.dtype)
    scores = torch.empty(len(examples), len(words), dtype=torch.float64)
    with (
        torch.inference_mode(),
        suppress(backbone.down_projections(), intervention) as current,
    ):
        done = 0
        for batch in encoded.by_length(backbone, BATCH):
            current[:] = examples.index[batch.rows].tolist()
            scores[batch.rows] = score(backbone, vectors, batch.ids, batch.mask, words, spec).cpu()
            done += len(batch.rows)
            progress(done / len(examples))
    if not scores.isfinite().all():
        raise BadInput(
            f"With this prompt {backbone.name} gives answers that are no numbers; tune it with a "
            "lower learning rate, or use fp32."
        )
    return Evaluation(
        spec=spec,
        index=examples.index,
        labels=examples.labels,
        predictions=scores.argmax(dim=1).numpy(),
        scores=scores.numpy(),
    )


def score(
    backbone: Backbone,
    vectors: Float[Tensor, "token hidden"],
    ids: Int[Tensor, "batch seq"],
    mask: Tensor,
    words: Int[Tensor, " class"],
    spec: EvaluationSpec,
) -> Float[Tensor, "batch class"]:
    """Logits of the answer words, in double precision for the store."""
    state = backbone.answer_state(vectors, ids, mask, spec.prompt.layout)
    return backbone.logits(state, words).double()


def intervention(
    mask: Tensor,
    spec: EvaluationSpec,
    prefix: int,
    means: Float[Tensor, "layer neuron"] | None,
) -> Intervention | None:
    """The hook's settings for a spec's suppression; None if no neuron is chosen."""
    how = spec.suppression
    if how is None or not mask.any():
        return None
    return Intervention(
        mask=mask,
        positions=slice(0, prefix) if how.positions == "prompt" else slice(None),
        replacement=means if how.kind == "mean" else None,
        noise=how.noise if how.kind == "noise" else None,
        seed=how.seed,
    )
