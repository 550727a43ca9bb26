"""What is drawn in a comparison of two rankings: rows of weights and signs over the examples.

A weight says how often an example counts, a sign in which class: above 0 in class 1, below in 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

if TYPE_CHECKING:
    from torch import Tensor

    from core.tasks.data import Examples

Labels = npt.NDArray[np.int64]


def random_keys(rows: int, examples: int, *, seed: int) -> npt.NDArray[np.float64]:
    """Random numbers whose order is a permutation, `[row example]`."""
    return np.random.default_rng(seed).random((rows, examples))


def signed(weights: npt.NDArray[np.int64], labels: Labels) -> Float[Tensor, "row example"]:
    """The weights with signs: positive for class 1, negative for class 0."""
    import torch

    return torch.from_numpy(weights * (2 * labels - 1)).float()


def bootstrap_weights(labels: Labels, replicates: int, *, seed: int) -> npt.NDArray[np.int64]:
    """How often each example counts, `[row example]`: once in row 0, then resampled.

    Resampling is with replacement and within classes: on unbalanced labels, a neuron that never
    fires would otherwise appear informative and overtake weakly predictive ones. The weights are
    the same for every prompt, because all prompts are measured on the same examples.
    """
    rng = np.random.default_rng(seed)
    weights = np.ones((1 + replicates, len(labels)), np.int64)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        weights[1:, rows] = rng.multinomial(
            len(rows), np.full(len(rows), 1 / len(rows)), size=replicates
        )
    return weights


def control_weights(labels: Labels, wanted: Labels, splits: int) -> npt.NDArray[np.int64]:
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


def control_signs(
    labels: Labels, small: npt.NDArray[np.int64], keys: npt.NDArray[np.float64]
) -> Float[Tensor, "split part example"]:
    """Signs of the small part, of the rest, and of the small part with shuffled labels."""
    import torch

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
    import torch

    groups = {"": np.arange(len(examples))}
    kinds = np.array(examples.attack or ())
    named = [str(kind) for kind in dict.fromkeys(kinds.tolist()) if kind]
    if len(named) > 1:
        groups |= {kind: np.flatnonzero(kinds == kind) for kind in named}
    out: dict[str, Tensor] = {}
    for kind, rows in groups.items():
        labels = examples.labels[rows]
        if kind and len(set(labels)) < 2:
            continue
        signs = torch.zeros(1 + len(keys), len(examples))
        orders = [np.arange(len(rows)), *np.argsort(keys[:, rows], axis=1)]
        signs[:, rows] = torch.from_numpy(np.stack([2 * labels[o] - 1 for o in orders])).float()
        out[kind] = signs
    return out
