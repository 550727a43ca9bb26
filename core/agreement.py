"""Do the neurons that know the clean task also know the adversarial one, and how sure is that?

Everything is counted in the same pass as predictivity: redrawn examples are rows of weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from core.backbones.base import Backbone
from core.correlation import spearman
from core.data import Examples
from core.neurons import count
from core.predictivity import Reader, balanced, contrasted, guesses
from core.progress import Progress, part, silent
from core.results import Agreement, SoftPrompt
from core.specs import AgreementSpec, PredictivitySpec
from core.statistics import chosen
from core.tasks import Task

Rows = Float[Tensor, "row layer neuron"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Redrawn:
    """Gains of one prompt's neurons: predictivity less what always giving one answer reaches.
    `[row layer neuron]`, row 0 the data as they are, then one row per bootstrap replicate.
    `halves[split half layer neuron]`: disjoint parts of the clean split.
    """

    seed: int
    clean: Rows
    adversarial: Rows
    halves: Float[Tensor, "split half layer neuron"]
    n_clean: int
    n_adversarial: int


def redraw(
    spec: AgreementSpec,
    place: int,
    backbone: Backbone,
    prompt: SoftPrompt,
    tasks: tuple[Task, Task],
    data: tuple[Examples, Examples, Examples],
    progress: Progress = silent,
) -> Redrawn:
    """Measure the `place`-th prompt on `data` (train, clean, adversarial) and on redrawn ones."""
    asked = spec.clean[place], spec.adversarial[place]
    train, clean, adversarial = (_rows(d, s) for d, s in zip(data, (asked[0], *asked), strict=True))
    readers = [Reader(backbone, prompt, t, s) for t, s in zip(tasks, asked, strict=True)]
    baseline = readers[0].mean(train, part(progress, 0, 0.7))
    boot_clean = bootstrap_weights(clean.labels, spec.replicates, seed=1)
    boot_adversarial = bootstrap_weights(adversarial.labels, spec.replicates, seed=2)
    halves = half_weights(clean.labels, adversarial.labels, spec.splits)
    weights = np.concatenate([boot_clean, halves.reshape(-1, len(clean))])
    measured = _measure(readers[0], baseline, clean, weights, part(progress, 0.7, 0.9))
    first = 1 + spec.replicates
    return Redrawn(
        seed=spec.clean[place].prompt.seed,
        clean=measured[:first],
        adversarial=_measure(
            readers[1], baseline, adversarial, boot_adversarial, part(progress, 0.9, 1)
        ),
        halves=measured[first:].view(spec.splits, 2, *measured.shape[1:]),
        n_clean=len(clean),
        n_adversarial=len(adversarial),
    )


def _rows(examples: Examples, spec: PredictivitySpec) -> Examples:
    kept = contrasted(examples, spec.contrast)
    return kept if spec.contrast is None else balanced(kept)


def _measure(
    reader: Reader,
    baseline: Tensor,
    examples: Examples,
    weights: npt.NDArray[np.int64],
    progress: Progress,
) -> Rows:
    """Gain of each row of weights: above 0 a neuron tells something."""
    signs = torch.from_numpy(weights * (2 * examples.labels - 1)).float()
    n, ones = signs.abs().sum(dim=1), signs.clamp(min=0).sum(dim=1)
    _, counts = guesses(reader, baseline, examples, signs, progress)
    # Predictivity as the store keeps it, so that equal means are equal here and there.
    majority = torch.maximum(ones, n - ones) / n
    return (counts / n[:, None, None]).double() - majority[:, None, None].double()


Labels = npt.NDArray[np.int64]


def bootstrap_weights(labels: Labels, replicates: int, *, seed: int) -> npt.NDArray[np.int64]:
    """How often each example counts, `[row example]`: once in row 0, then redrawn with return.

    Each class keeps its number: on labels out of balance a neuron that never fires would seem to
    know something, and pass those that know little. The same for every prompt: all of them are
    measured on the same examples.
    """
    rng = np.random.default_rng(seed)
    weights = np.ones((1 + replicates, len(labels)), np.int64)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        weights[1:, rows] = rng.multinomial(
            len(rows), np.full(len(rows), 1 / len(rows)), size=replicates
        )
    return weights


def half_weights(labels: Labels, wanted: Labels, splits: int) -> npt.NDArray[np.int64]:
    """Disjoint parts of the clean split, `[split half example]` of 0 and 1: one with as many of
    each class as the adversarial split has (at most half of the clean ones), and the rest.
    """
    rng = np.random.default_rng(3)
    chosen = np.zeros((splits, len(labels)), np.int64)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        size = min(int((wanted == label).sum()), len(rows) // 2)
        for row in chosen:
            row[rng.permutation(rows)[:size]] = 1
    return np.stack([chosen, 1 - chosen], axis=1)


def agree(spec: AgreementSpec, prompts: Sequence[Redrawn]) -> Agreement:
    """Compare the means over seeds: measured, over replicates, and clean against clean.

    A replicate redraws examples and seeds; of a task with more classes, the binary questions of a
    seed are averaged first.
    """
    seeds = sorted({p.seed for p in prompts})
    rng = np.random.default_rng(4)
    rows = [("measured", seeds, 0)]
    rows += [
        ("bootstrap", rng.choice(seeds, len(seeds)).tolist(), 1 + i) for i in range(spec.replicates)
    ]
    pairs = [(kind, *_means(prompts, drawn, row)) for kind, drawn, row in rows]
    pairs += [
        (
            "ceiling",
            _mean([p.halves[i, 1] for p in prompts]),
            _mean([p.halves[i, 0] for p in prompts]),
        )
        for i in range(spec.splits)
    ]
    counts = np.array([[_shared(a, b, f) for f in spec.fractions] for _, a, b in pairs])
    return Agreement(
        spec=spec,
        kind=tuple(kind for kind, _, _ in pairs),
        spearman=np.stack([spearman(a.numpy(), b.numpy()) for _, a, b in pairs]),
        chosen=counts[..., 0],
        shared=counts[..., 1],
        layers=pairs[0][1].shape[0],
        neurons=pairs[0][1].shape[1],
        n_clean=prompts[0].n_clean,
        n_adversarial=prompts[0].n_adversarial,
    )


def _means(
    prompts: Sequence[Redrawn], seeds: Sequence[int], row: int
) -> tuple[Float[Tensor, "layer neuron"], Float[Tensor, "layer neuron"]]:
    drawn = [p for seed in seeds for p in prompts if p.seed == seed]
    return _mean([p.clean[row] for p in drawn]), _mean([p.adversarial[row] for p in drawn])


def _mean(values: Sequence[Tensor]) -> Float[Tensor, "layer neuron"]:
    return torch.stack(list(values)).mean(dim=0)


def _shared(
    a: Float[Tensor, "layer neuron"], b: Float[Tensor, "layer neuron"], fraction: float
) -> tuple[int, int]:
    """Skill neurons of the first, and those of them that are the second's, too."""
    first, second = (chosen(v.numpy(), count(v.shape[1], fraction), above=0.0) for v in (a, b))
    return int(first.sum()), int((first & second).sum())
