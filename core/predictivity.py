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
    check_contrast(task, train, "train", spec.contrast)
    check_contrast(task, examples, spec.split, spec.contrast)
    train, examples = contrasted(train, spec.contrast), contrasted(examples, spec.contrast)
    if spec.contrast is not None:
        examples = balanced(examples)
    reader = Reader(backbone, prompt, task, spec)
    baseline = reader.mean(train, part(progress, 0, len(train) / (len(train) + len(examples))))
    rest = part(progress, len(train) / (len(train) + len(examples)), 1)
    signs = shuffled(examples.labels, spec.permutations)
    correct, best = guesses(reader, baseline, examples, signs, rest)
    return Predictivity(
        spec=spec,
        baseline=baseline,
        correct=correct.long(),
        n=len(examples),
        n_train=len(train),
        majority=examples.majority,
        floor=floor(best, len(examples)),
    )


def check_contrast(task: Task, examples: Examples, split: str, contrast: Contrast | None) -> None:
    """Whether both groups of a contrast have rows. Raises: BadTask."""
    groups = () if contrast is None else (contrast.negative, contrast.positive)
    for group in groups:
        if not np.isin(examples.labels, group).any():
            absent = " or ".join(repr(task.labels[c]) for c in group)
            raise BadTask(
                f"{task.title} has no example of {absent} in the {split} split, so nobody can ask "
                f"about {task.contrast_name(contrast)!r}; add some, or choose another contrast."
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
    if n == 0:
        raise BadTask("A binary question finds no example of one of its sides in this split.")
    return examples.take(np.sort(np.concatenate([rng.permutation(g)[:n] for g in groups])))


MOST_BYTES = 2 * 2**30  # of right guesses by row, layer, token and neuron


class Reader:
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


def guesses(
    reader: Reader,
    baseline: Float[Tensor, "layer token neuron"],
    examples: Examples,
    signs: Float[Tensor, "row example"],
    progress: Progress = silent,
) -> tuple[Float[Tensor, "layer token neuron"], Float[Tensor, "row layer neuron"]]:
    """`tally` of the first row, and `best_counts` of all: in one pass over the examples, or, where
    the tallies of all rows would not fit into `MOST_BYTES`, in as many as it takes.
    """
    size = reader.empty(torch.float32).nbytes
    parts = torch.split(signs, max(1, MOST_BYTES // size))
    first, best = None, []
    for i, rows in enumerate(parts):
        share = part(progress, i / len(parts), (i + 1) / len(parts))
        counts = tally(reader, baseline, examples, rows, share)
        first = counts[0].clone() if first is None else first
        best.append(best_counts(counts, rows.abs().sum(dim=1)))
    assert first is not None
    return first, torch.cat(best)


def tally(
    reader: Reader,
    baseline: Float[Tensor, "layer token neuron"],
    examples: Examples,
    signs: Float[Tensor, "row example"],
    progress: Progress = silent,
) -> Float[Tensor, "row layer token neuron"]:
    """How often each neuron guesses right, for several weightings of the examples in one pass.

    `signs` are weights, positive for class 1 and negative for class 0. The right guesses are the
    weight of class 0 plus sum(signs * fired): one matrix product counts all rows at once, exactly,
    as long as the weights are whole numbers.
    """
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
    totals += (-signs).clamp(min=0).sum(dim=1)[:, None, None, None]
    return totals.round_()


def best_counts(
    correct: Float[Tensor, "row layer token neuron"], n: Float[Tensor, " row"]
) -> Float[Tensor, "row layer neuron"]:
    """Right guesses of the best token, whichever class the neuron fires for: predictivity times n.

    Whole numbers, so that equal ones compare as equal.
    """
    rows = [torch.maximum(c, total - c).amax(dim=1) for c, total in zip(correct, n, strict=True)]
    return torch.stack(rows)


def shuffled(labels: np.ndarray, permutations: int) -> Float[Tensor, "row example"]:
    """Row 0 the true labels, the others shuffled, as +1 and -1."""
    rng = np.random.default_rng(0)
    rows = [labels, *(rng.permutation(labels) for _ in range(permutations))]
    return torch.from_numpy(np.stack(rows)).float() * 2 - 1


def floor(best: Float[Tensor, "row layer neuron"], n: int) -> Floor | None:
    """What chance reaches, from `best_counts` of the true labels (row 0) and of shuffled ones.

    None without shuffled rows. A p-value is (1 + shuffled values at least as high) / (1 + all
    shuffled values); for `q` the values of all neurons are taken together.
    """
    measured, null = best[0], best[1:]
    if not len(null):
        return None
    own = (null >= measured).sum(dim=0)
    highest = null.flatten(1).amax(dim=1)
    above = (highest[:, None, None] >= measured).sum(dim=0)
    q = false_discovery_rates(reached(null, measured))
    found = measured[q <= 0.05]
    return Floor(
        mean=null.mean(dtype=torch.float64).item() / n,
        p99=float(np.quantile(null.numpy(), 0.99)) / n,
        family=float(np.quantile(highest.numpy(), 0.95)) / n,
        fdr=found.min().item() / n if len(found) else float("nan"),
        permutations=len(null),
        p=(1 + own).double() / (1 + len(null)),
        p_family=(1 + above).double() / (1 + len(null)),
        q=q,
    )


def reached(null: Tensor, measured: Tensor) -> Float[Tensor, "layer neuron"]:
    """Share of all shuffled values, of all neurons, that are at least as high."""
    order = null.flatten().sort().values
    below = torch.searchsorted(order, measured.flatten().contiguous(), side="left")
    return ((1 + len(order) - below).double() / (1 + len(order))).view(measured.shape)


def false_discovery_rates(p: Float[Tensor, "layer neuron"]) -> Float[Tensor, "layer neuron"]:
    """Benjamini & Hochberg's adjusted p-values."""
    from scipy.stats import false_discovery_control

    return torch.from_numpy(false_discovery_control(p.flatten().numpy())).view(p.shape)
