"""Prompt tuning: the vectors before the input learn, the backbone does not."""

import random
from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from core.backbones.base import Backbone
from core.backbones.batches import Encoded
from core.base.errors import BadInput
from core.base.progress import Progress, silent
from core.base.results import SoftPrompt, Step
from core.base.specs import TuneSpec
from core.measures.evaluation import BATCH, word_ids
from core.tasks import Task
from core.tasks.data import Examples


def initial_vectors(
    spec: TuneSpec, backbone: Backbone, task: Task
) -> Float[Tensor, "token hidden"]:
    """Where tuning starts: random words, Gaussian noise of the same spread, or answer words."""
    words = backbone.word_vectors().float()
    generator = torch.Generator().manual_seed(spec.seed)
    if spec.init == "random":
        noise = torch.randn(spec.prompt_length, words.shape[1], generator=generator)
        return noise * words.std().cpu()
    if spec.init == "labels":
        ids = [i for w in task.words(backbone.family) for i in backbone.token_ids(w)]
        rows = torch.tensor([ids[i % len(ids)] for i in range(spec.prompt_length)])
    else:
        rows = torch.randint(len(words), (spec.prompt_length,), generator=generator)
    return words[rows.to(words.device)].cpu().clone()


def split_selection(examples: Examples, spec: TuneSpec) -> tuple[Examples, Examples]:
    """Rows to learn from and rows to choose the best step by; disjoint, drawn by a fixed seed."""
    if len(examples) < spec.selection + 2:
        raise BadInput(
            f"The train split has {len(examples)} examples; {spec.selection} are set aside for "
            f"choosing the best step, so at least {spec.selection + 2} are needed; lower "
            "`selection`."
        )
    order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(0)).numpy()
    return examples.take(order[spec.selection :]), examples.take(order[: spec.selection])


def tune(
    spec: TuneSpec,
    backbone: Backbone,
    task: Task,
    train: Examples,
    progress: Progress = silent,
    report: Callable[[Step], None] = lambda step: None,
) -> SoftPrompt:
    """AdamW on the vectors; cross entropy over the answer words only; the best step is kept.

    Constant learning rate, no weight decay (Su et al. 2022). Of equally good steps the later wins.
    """
    learn, select = split_selection(train, spec)
    template = task.templates.get(backbone.family)
    rows = Encoded.of(backbone, learn, template, spec.max_length)
    held = Encoded.of(backbone, select, template, spec.max_length)
    words = word_ids(backbone, task)
    vectors = initial_vectors(spec, backbone, task).to(backbone.device).requires_grad_(True)
    optimiser = torch.optim.AdamW([vectors], lr=spec.learning_rate, weight_decay=0.0)
    best: tuple[float, int, Tensor] = (-1.0, 0, vectors.detach().clone())
    history = list[Step]()
    for step, chosen in enumerate(_batches(len(learn), spec), start=1):
        batch = rows.batch(chosen, backbone)
        state = backbone.answer_state(
            vectors.to(backbone.dtype), batch.ids, batch.mask, spec.layout
        )
        scores = backbone.logits(state, words).float()
        loss = F.cross_entropy(scores, batch.labels.to(scores.device))
        if not loss.isfinite():
            raise BadInput(
                f"Tuning diverged at step {step}: the loss is no longer a number; choose a "
                f"learning rate below {spec.learning_rate:g}."
            )
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        accuracy = None
        if step % spec.evaluate_every == 0 or step == spec.steps:
            accuracy = selection_accuracy(backbone, vectors.detach(), held, words, spec)
            if accuracy >= best[0]:
                best = (accuracy, step, vectors.detach().clone())
        history.append(Step(step=step, loss=loss.item(), accuracy=accuracy))
        report(history[-1])
        progress(step / spec.steps, f"step {step} of {spec.steps}")
    return SoftPrompt(
        spec=spec,
        vectors=best[2].cpu(),
        words=task.words(backbone.family),
        best_step=best[1],
        selection_accuracy=best[0],
        selection_rows=len(select),
        history=tuple(history),
    )


def _batches(n: int, spec: TuneSpec) -> Iterator[list[int]]:
    """Row numbers of each step: shuffled epochs, incomplete last batches dropped."""
    rng, queue = random.Random(spec.seed), list[int]()
    size = min(spec.batch_size, n)
    for _ in range(spec.steps):
        if len(queue) < size:
            queue = rng.sample(range(n), n)
        yield queue[:size]
        queue = queue[size:]


@torch.inference_mode()
def selection_accuracy(
    backbone: Backbone, vectors: Tensor, held: Encoded, words: Tensor, spec: TuneSpec
) -> float:
    """Share of the selection rows answered right."""
    right = 0
    for batch in held.by_length(backbone, BATCH):
        state = backbone.answer_state(
            vectors.to(backbone.dtype), batch.ids, batch.mask, spec.layout
        )
        right += int((backbone.logits(state, words).argmax(1).cpu() == batch.labels).sum())
    return right / len(held.ids)
