"""From predictivities to a choice of neurons. Formulas without models or stores."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from core.specs import Choose, Scope


def predictivity(
    accuracy: Float[Tensor, "layer token neuron"],
) -> Float[Tensor, "layer neuron"]:
    """Best accuracy of a neuron over the prompt tokens, whichever class it fires for.

    Range [0.5, 1]. Source: Wang et al. 2022, Pred(N), before the mean over prompts.
    """
    return accuracy.maximum(1 - accuracy).amax(dim=1)


def best_token(accuracy: Float[Tensor, "layer token neuron"]) -> Int[Tensor, "layer neuron"]:
    """The prompt token at which a neuron tells the classes apart best; the first of equals."""
    folded = accuracy.maximum(1 - accuracy)
    return folded.argmax(dim=1)


def at_token(
    values: Float[Tensor, "layer token neuron"], token: Int[Tensor, "layer neuron"]
) -> Float[Tensor, "layer neuron"]:
    """Each neuron's value at its own token."""
    return values.gather(1, token[:, None]).squeeze(1)


def ranking(
    predictivities: Sequence[Float[Tensor, "layer neuron"]],
) -> Float[Tensor, "layer neuron"]:
    """Mean over seeds. Source: Ackermann & Ohmer 2024."""
    return torch.stack(list(predictivities)).mean(dim=0)


def random_ranking(shape: tuple[int, int], seed: int) -> Float[Tensor, "layer neuron"]:
    """A draw of uniform ranks; one seed's choices are nested over fractions."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=torch.float64)


def count(width: int, fraction: float) -> int:
    """Neurons that a fraction makes: rounded down, safe against 0.07 * 100 = 7.000000001."""
    return math.floor(width * fraction + 1e-9)


def choose_neurons(
    rankings: Sequence[Float[Tensor, "layer neuron"]],
    *,
    choose: Choose,
    fraction: float,
    scope: Scope = "layer",
    seed: int = 0,
) -> Bool[Tensor, "layer neuron"]:
    """The chosen neurons: highest, lowest or random ranks, per layer or over the whole model.

    Several rankings (the binary questions of a task with more classes) take turns, each giving its
    best neuron not yet taken, as Wang et al. 2022 fill up theirs. Ties go to the lower index.
    """
    shape = (rankings[0].shape[0], rankings[0].shape[1])
    if choose == "random":
        rankings = [random_ranking(shape, seed)]
    elif choose == "lowest":
        rankings = [-r for r in rankings]
    rows = [r if scope == "layer" else r.reshape(1, -1) for r in rankings]
    orders = [r.argsort(dim=1, descending=True, stable=True) for r in rows]
    mask = torch.zeros_like(rows[0], dtype=torch.bool)
    for layer in range(mask.shape[0]):
        wanted = count(mask.shape[1], fraction)
        mask[layer, _in_turns([o[layer].tolist() for o in orders], wanted)] = True
    return mask.reshape(shape)


def _in_turns(orders: list[list[int]], wanted: int) -> list[int]:
    """The best of each order in turn, none twice, until there are enough."""
    taken: dict[int, None] = {}
    left = [iter(order) for order in orders]
    while len(taken) < wanted:
        for order in left:
            for neuron in order:
                if neuron not in taken:
                    taken[neuron] = None
                    break
    return list(taken)[:wanted]
