"""Streamed predictivity: a running mean over train, then running counts over the split."""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.backbones.base import Backbone
from core.data import Batch, Encoded, Examples
from core.errors import BadTask
from core.evaluation import BATCH
from core.hooks import capture
from core.neurons import predictivity
from core.progress import Progress, part, silent
from core.results import Floor, Predictivity, SoftPrompt
from core.specs import Contrast, PredictivitySpec
from core.tasks import Task


def measure(
    spec: PredictivitySpec,
    backbone: Backbone,
    prompt: SoftPrompt,
    task: Task,
    train: Examples,
    examples: Examples,
    progress: Progress = silent,
) -> Predictivity:
    """Baseline on `train`, accuracy of `activation > baseline` on `examples`.

    Strict >. For a contrast only its classes' rows count, and the larger group of the evaluated
    rows is thinned to the size of the smaller by a fixed seed, so that chance is 0.5.
    Source: Wang et al. 2022; baseline of the clean task: Ackermann & Ohmer 2024.
    """
    if spec.contrast is None and len(task.labels) > 2:
        raise BadTask(
            f"{task.title} has {len(task.labels)} classes: ask about one of its contrasts, such "
            f"as {task.contrast_name(task.contrasts()[0])!r}."
        )
    train, examples = contrasted(train, spec.contrast), contrasted(examples, spec.contrast)
    if spec.contrast is not None:
        examples = balanced(examples)
    reader = _Reader(backbone, prompt, task, spec)
    baseline = reader.mean(train, part(progress, 0, len(train) / (len(train) + len(examples))))
    rest = part(progress, len(train) / (len(train) + len(examples)), 1)
    correct, floor = _counts(reader, baseline, examples, spec.permutations, rest)
    return Predictivity(
        spec=spec,
        baseline=baseline,
        correct=correct,
        n=len(examples),
        n_train=len(train),
        majority=examples.majority,
        floor=floor,
    )


def contrasted(examples: Examples, contrast: Contrast | None) -> Examples:
    """The rows of a contrast's classes, labelled 0 and 1."""
    if contrast is None:
        return examples
    group = dict.fromkeys(contrast.negative, 0) | dict.fromkeys(contrast.positive, 1)
    rows = np.flatnonzero(np.isin(examples.labels, list(group)))
    kept = examples.take(rows)
    kept.labels[:] = [group[label] for label in kept.labels]
    return kept


def balanced(examples: Examples) -> Examples:
    """As many rows of class 0 as of class 1."""
    rng = np.random.default_rng(0)
    groups = [np.flatnonzero(examples.labels == c) for c in (0, 1)]
    n = min(map(len, groups))
    return examples.take(np.sort(np.concatenate([rng.permutation(g)[:n] for g in groups])))


class _Reader:
    """Yields the prompt positions' activations, batch by batch, and keeps none of them."""

    def __init__(
        self, backbone: Backbone, prompt: SoftPrompt, task: Task, spec: PredictivitySpec
    ) -> None:
        self.backbone, self.task, self.spec = backbone, task, spec
        self.vectors = prompt.vectors.to(backbone.device, backbone.dtype)
        self.prefix = backbone.prefix_length(len(prompt.vectors), spec.prompt.layout)

    def read(
        self, examples: Examples
    ) -> Iterator[tuple[Batch, dict[int, Float[Tensor, "batch token neuron"]]]]:
        template = self.task.templates.get(self.backbone.family)
        encoded = Encoded.of(self.backbone, examples, template, self.spec.prompt.max_length)
        with (
            torch.inference_mode(),
            capture(self.backbone.down_projections(), slice(0, self.prefix)) as seen,
        ):
            for batch in encoded.by_length(self.backbone, BATCH):
                self.backbone.answer_state(
                    self.vectors, batch.ids, batch.mask, self.spec.prompt.layout
                )
                yield batch, seen

    def mean(self, examples: Examples, progress: Progress) -> Float[Tensor, "layer token neuron"]:
        """Plain mean over the examples, summed in double precision."""
        total = self.empty(torch.float64)
        done = 0
        for batch, seen in self.read(examples):
            for layer, values in seen.items():
                total[layer] += values.double().sum(dim=0).cpu()
            done += len(batch.rows)
            progress(done / len(examples), "baseline on train")
        return total / len(examples)

    def empty(self, dtype: torch.dtype, *front: int) -> Tensor:
        size = (*front, self.backbone.layers, self.prefix, self.backbone.intermediate_size)
        return torch.zeros(size, dtype=dtype)


def _counts(
    reader: _Reader,
    baseline: Float[Tensor, "layer token neuron"],
    examples: Examples,
    permutations: int,
    progress: Progress,
) -> tuple[Tensor, Floor | None]:
    """How often each neuron guesses right, for the true labels and for shuffled ones.

    With s = 1 for class 1 and -1 for class 0, the right guesses are n0 + sum(s * fired): one matrix
    product counts the true labels and all permutations at once, exactly.
    """
    signs = _signs(examples.labels, permutations)
    totals = reader.empty(torch.float32, len(signs))
    done = 0
    for batch, seen in reader.read(examples):
        weights = signs[:, batch.rows]
        for layer, values in seen.items():
            fired = (values.double() > baseline[layer].to(values.device)).float().flatten(1)
            added = weights.to(fired.device) @ fired
            totals[:, layer] += added.view(len(signs), *values.shape[1:]).cpu()
        done += len(batch.rows)
        progress(done / len(examples), "accuracy")
    totals = totals.round().long() + int((examples.labels == 0).sum())
    return totals[0], _floor(totals[1:], len(examples))


def _signs(labels: np.ndarray, permutations: int) -> Float[Tensor, "permutation example"]:
    """Row 0 the true labels, the others shuffled, as +1 and -1."""
    rng = np.random.default_rng(0)
    rows = [labels, *(rng.permutation(labels) for _ in range(permutations))]
    return torch.from_numpy(np.stack(rows)).float() * 2 - 1


def _floor(correct: Tensor, n: int) -> Floor | None:
    if not len(correct):
        return None
    values = torch.stack([predictivity(c.double() / n) for c in correct])
    highest = values.flatten(1).amax(dim=1)
    return Floor(
        mean=values.mean().item(),
        p99=float(np.quantile(values.numpy(), 0.99)),
        family=float(np.quantile(highest.numpy(), 0.95)),
        permutations=len(correct),
    )
