"""From predictivities to a choice of neurons. Formulas without models or stores."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from core.base.specs import Choose, Scope

Array = npt.NDArray[Any]
STEP = 1e-6  # less than any two predictivities differ by, more than rounding makes of equal ones


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


# --- shared neurons ------------------------------------------------------------------------------
@dataclass(frozen=True, kw_only=True)
class Chance:
    """How many neurons two unrelated choices share: mean and 95 % range; `tail[i]` is the
    probability of at least i.
    """

    mean: float
    low: int
    high: int
    tail: Float[Array, " count"]

    def p(self, shared: int) -> float:
        """Probability of at least so many shared neurons by chance."""
        return float(self.tail[shared])


def chance_overlap(width: int, first: Int[Array, " layer"], second: Int[Array, " layer"]) -> Chance:
    """Shared neurons of two independent choices, of `first[layer]` and of `second[layer]` neurons
    out of `width`: a hypergeometric count in each layer, summed over the layers.
    """
    from scipy.stats import hypergeom

    total = np.ones(1)
    for a, b in zip(first, second, strict=True):
        total = np.convolve(total, hypergeom.pmf(np.arange(min(a, b) + 1), width, a, b))
    below = np.cumsum(total)
    tail = np.minimum(1.0, np.cumsum(total[::-1])[::-1])
    return Chance(
        mean=float((np.arange(len(total)) * total).sum()),
        low=int(np.searchsorted(below, 0.025)),
        high=int(np.searchsorted(below, 0.975)),
        tail=tail,
    )


def chosen(
    values: Float[Array, "layer neuron"], count: int, *, above: float = -math.inf
) -> Bool[Array, "layer neuron"]:
    """The `count` highest of each layer, the lower index first among equals; only those above a
    level, so perhaps fewer.
    """
    order = np.argsort(-values, axis=1, kind="stable")[:, :count]
    mask: Bool[Array, "layer neuron"] = np.zeros(values.shape, bool)
    np.put_along_axis(mask, order, True, axis=1)
    return mask & (values > above + STEP)


@dataclass(frozen=True, kw_only=True, eq=False)
class Ranking:
    """Predictivity of each neuron; `majority` is what always giving one answer reaches."""

    predictivity: Float[Array, "layer neuron"]
    majority: float

    def skill(self, fraction: float, *, scope: Scope = "layer") -> Bool[Array, "layer neuron"]:
        """The top `fraction` of each layer, or of the whole model, without neurons that tell no
        more than always giving one answer does: there may be so many that a choice would consist
        of them in order of their index, and any two choices would seem alike.
        """
        values = self.predictivity
        rows = values if scope == "layer" else values.reshape(1, -1)
        mask = chosen(rows, count(rows.shape[1], fraction), above=self.majority)
        return mask.reshape(values.shape)


def percentiles(values: Float[Array, "layer neuron"]) -> Float[Array, "layer neuron"]:
    """Where each neuron stands in its layer, in (0, 1): 1 is the highest; equals share the mean."""
    from scipy.stats import rankdata

    places: Float[Array, "layer neuron"] = (rankdata(values, axis=1) - 0.5) / values.shape[1]
    return places
