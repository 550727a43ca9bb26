"""Do the neurons that know the clean task also know the adversarial one, and how sure is that?

Everything is counted in the same pass as predictivity: redrawn examples and shuffled labels are
rows of weights.
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
from core.predictivity import Reader, balanced, check_contrast, contrasted, guesses
from core.progress import Progress, part, silent
from core.results import Agreement, SoftPrompt
from core.specs import AgreementSpec, PredictivitySpec
from core.statistics import chosen, percentiles
from core.tasks import Task

Rows = Float[Tensor, "row layer neuron"]
Values = Float[Tensor, "layer neuron"]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Redrawn:
    """Gains of one prompt's neurons: predictivity less what always giving one answer reaches.

    `[row layer neuron]`: in `clean` and `adversarial` row 0 the data as they are, then one row per
    bootstrap replicate. `halves[split part layer neuron]` are parts of the clean split: one as
    large as the adversarial split, the rest, and the first with shuffled labels. `by_attack[kind]`
    are the adversarial examples of one kind (empty: all), row 0 with their labels, then with
    shuffled ones.
    """

    seed: int
    clean: Rows
    adversarial: Rows
    halves: Float[Tensor, "split part layer neuron"]
    by_attack: dict[str, Rows]
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
    splits = ("train", *(s.split for s in asked))
    for task, examples, split in zip((tasks[0], *tasks), data, splits, strict=True):
        check_contrast(task, examples, split, asked[0].contrast)
    train = contrasted(data[0], asked[0].contrast)
    clean, adversarial = (_rows(d, s) for d, s in zip(data[1:], asked, strict=True))
    readers = [Reader(backbone, prompt, t, s) for t, s in zip(tasks, asked, strict=True)]
    baseline = readers[0].mean(train, part(progress, 0, 0.7))
    # What is drawn is drawn of whole splits: the binary questions of a task share their examples.
    here, there = (_places(d, kept) for d, kept in zip(data[1:], (clean, adversarial), strict=True))
    first = 1 + spec.replicates
    weights = bootstrap_weights(data[1].labels, spec.replicates, seed=1)[:, here]
    small = half_weights(data[1].labels, data[2].labels, spec.splits)[:, here]
    halves = half_signs(clean.labels, small, _keys(spec.splits, len(data[1]), seed=5)[:, here])
    signs = torch.cat([signed(weights, clean.labels), halves.flatten(0, 1)])
    measured = _measure(readers[0], baseline, clean, signs, part(progress, 0.7, 0.9))
    weights = bootstrap_weights(data[2].labels, spec.replicates, seed=2)[:, there]
    keys = _keys(spec.permutations, len(data[2]), seed=6)[:, there]
    by_attack = shuffled_by_attack(adversarial, keys)
    signs = torch.cat([signed(weights, adversarial.labels), *by_attack.values()])
    attacked = _measure(readers[1], baseline, adversarial, signs, part(progress, 0.9, 1))
    groups = attacked[first:].view(len(by_attack), 1 + spec.permutations, *attacked.shape[1:])
    return Redrawn(
        seed=spec.clean[place].prompt.seed,
        clean=measured[:first],
        adversarial=attacked[:first],
        halves=measured[first:].view(spec.splits, 3, *measured.shape[1:]),
        by_attack=dict(zip(by_attack, groups, strict=True)),
        n_clean=len(clean),
        n_adversarial=len(adversarial),
    )


def _rows(examples: Examples, spec: PredictivitySpec) -> Examples:
    kept = contrasted(examples, spec.contrast)
    return kept if spec.contrast is None else balanced(kept)


def _places(whole: Examples, kept: Examples) -> Labels:
    """Where the kept examples stand in their split."""
    place = {int(index): i for i, index in enumerate(whole.index)}
    return np.array([place[int(index)] for index in kept.index])


def _keys(rows: int, examples: int, *, seed: int) -> npt.NDArray[np.float64]:
    """Random numbers whose order is a permutation, `[row example]`."""
    return np.random.default_rng(seed).random((rows, examples))


def _measure(
    reader: Reader,
    baseline: Tensor,
    examples: Examples,
    signs: Float[Tensor, "row example"],
    progress: Progress,
) -> Rows:
    """Gain of each row of signs: above 0 a neuron tells something."""
    n, ones = signs.abs().sum(dim=1), signs.clamp(min=0).sum(dim=1)
    _, counts = guesses(reader, baseline, examples, signs, progress)
    # Predictivity as the store keeps it, so that equal means are equal here and there.
    majority = torch.maximum(ones, n - ones) / n
    return (counts / n[:, None, None]).double() - majority[:, None, None].double()


def signed(weights: npt.NDArray[np.int64], labels: Labels) -> Float[Tensor, "row example"]:
    """Weights, positive for class 1 and negative for class 0."""
    return torch.from_numpy(weights * (2 * labels - 1)).float()


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
    """A part of the clean split, `[split example]` of 0 and 1: as many of each class as the
    adversarial split has, at most half of the clean ones.
    """
    rng = np.random.default_rng(3)
    small = np.zeros((splits, len(labels)), np.int64)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        size = min(int((wanted == label).sum()), len(rows) // 2)
        for row in small:
            row[rng.permutation(rows)[:size]] = 1
    return small


def half_signs(
    labels: Labels, small: npt.NDArray[np.int64], keys: npt.NDArray[np.float64]
) -> Float[Tensor, "split part example"]:
    """Signs of the small part, of the rest, and of the small part with shuffled labels."""
    mixed = np.zeros_like(small)
    for row, part_, order in zip(mixed, small, keys, strict=True):
        rows = np.flatnonzero(part_)
        row[rows] = 2 * labels[rows][np.argsort(order[rows])] - 1
    parts = [signed(small, labels), signed(1 - small, labels), torch.from_numpy(mixed).float()]
    return torch.stack(parts, dim=1)


def shuffled_by_attack(
    examples: Examples, keys: npt.NDArray[np.float64]
) -> dict[str, Float[Tensor, "row example"]]:
    """Signs per kind of attack (empty: all examples), the true labels first, then shuffled among
    the examples of that kind in the order of each row of keys. Kinds of which all examples are of
    one class are left out, and all of them if there is but one.
    """
    groups = {"": np.arange(len(examples))}
    kinds = np.array(examples.attack or ())
    named = [str(kind) for kind in dict.fromkeys(kinds.tolist()) if kind]
    if len(named) > 1:
        groups |= {kind: np.flatnonzero(kinds == kind) for kind in named}
    out = dict[str, Tensor]()
    for kind, rows in groups.items():
        labels = examples.labels[rows]
        if kind and len(set(labels)) < 2:
            continue
        signs = torch.zeros(1 + len(keys), len(examples))
        orders = [np.arange(len(rows)), *np.argsort(keys[:, rows], axis=1)]
        signs[:, rows] = torch.from_numpy(np.stack([2 * labels[o] - 1 for o in orders])).float()
        out[kind] = signs
    return out


def agree(spec: AgreementSpec, prompts: Sequence[Redrawn]) -> Agreement:
    """Compare the means over seeds: measured, over replicates, clean against clean, and with
    shuffled adversarial labels.

    A replicate redraws examples and seeds; of a task with more classes, the binary questions of a
    seed are averaged first.
    """
    seeds = sorted({p.seed for p in prompts})
    rng = np.random.default_rng(4)
    clean = _mean([p.clean[0] for p in prompts])
    pairs: list[tuple[str, str, Values, Values]] = []
    for row in range(1, 1 + spec.replicates):
        drawn = [p for seed in rng.choice(seeds, len(seeds)) for p in prompts if p.seed == seed]
        first = _mean([p.clean[row] for p in drawn])
        pairs.append(("bootstrap", "", first, _mean([p.adversarial[row] for p in drawn])))
    for i in range(spec.splits):
        small, rest, mixed = (_mean([p.halves[i, part] for p in prompts]) for part in range(3))
        pairs += [("halves", "", rest, small), ("halves shuffled", "", rest, mixed)]
    kinds = [k for k in prompts[0].by_attack if all(k in p.by_attack for p in prompts)]
    for attack in kinds:
        for row in range(1 + spec.permutations):
            second = _mean([p.by_attack[attack][row] for p in prompts])
            pairs.append(("shuffled" if row else "measured", attack, clean, second))
    skill, kept, median = zip(*(_common(a, b, spec.fractions) for *_, a, b in pairs), strict=True)
    return Agreement(
        spec=spec,
        kind=tuple(kind for kind, *_ in pairs),
        attack=tuple(attack for _, attack, *_ in pairs),
        spearman=np.stack([spearman(a.numpy(), b.numpy()) for *_, a, b in pairs]),
        skill=np.stack(skill),
        kept=np.stack(kept),
        median=np.stack(median),
        neurons=clean.shape[1],
        n_clean=prompts[0].n_clean,
        n_adversarial=prompts[0].n_adversarial,
    )


def _mean(values: Sequence[Tensor]) -> Values:
    return torch.stack(list(values)).mean(dim=0)


Counts = npt.NDArray[np.int64]


def _common(
    a: Values, b: Values, fractions: Sequence[float]
) -> tuple[Counts, Counts, npt.NDArray[np.float64]]:
    """Of the first's skill neurons at each fraction: how many there are in each layer, how many are
    the second's, too, and the median of their places by the second.
    """
    skill, kept, medians = [], [], []
    places = percentiles(b.numpy())
    for fraction in fractions:
        first, second = (chosen(v.numpy(), count(v.shape[1], fraction), above=0.0) for v in (a, b))
        skill.append(first.sum(axis=1))
        kept.append((first & second).sum(axis=1))
        medians.append(np.median(places[first]) if first.any() else np.nan)
    return np.stack(skill), np.stack(kept), np.array(medians)
