"""From counts of correct predictions to a choice of neurons: formulas without models or stores.

A neuron's predictivity is a whole number of correct predictions over a number of examples. Neurons
are ranked by sums of such numbers, so that ties are ties on every machine.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float, Int

Array = npt.NDArray[Any]
Choose = Literal["skill", "causal", "random", "lowest"]
Scope = Literal["layer", "model"]
STEP = 1e-9  # below any difference of two predictivities, above the rounding of their means


# --- counts --------------------------------------------------------------------------------------
def folded(correct: Int[Array, "layer token neuron"], n: int) -> Int[Array, "layer token neuron"]:
    """Correct predictions, whichever class the neuron fires for; at least n / 2."""
    counts: Int[Array, "layer token neuron"] = np.maximum(correct, n - correct)
    return counts


def predictivity(correct: Int[Array, "layer token neuron"], n: int) -> Float[Array, "layer neuron"]:
    """Best accuracy of a neuron over the prompt tokens, whichever class it fires for.

    Range [0.5, 1]. Source: Wang et al. 2022, Pred(N), before the mean over prompts.
    """
    best: Float[Array, "layer neuron"] = folded(correct, n).max(axis=1) / n
    return best


def best_token(correct: Int[Array, "layer token neuron"], n: int) -> Int[Array, "layer neuron"]:
    """The prompt token at which a neuron separates the classes best; the first of equals."""
    token: Int[Array, "layer neuron"] = folded(correct, n).argmax(axis=1)
    return token


def at_token(
    values: Float[Array, "layer token neuron"], token: Int[Array, "layer neuron"]
) -> Float[Array, "layer neuron"]:
    """Each neuron's value at its own token."""
    found: Float[Array, "layer neuron"] = np.take_along_axis(values, token[:, None], axis=1)[:, 0]
    return found


def mean_predictivity(
    counts: Sequence[tuple[Int[Array, "layer neuron"], int]],
) -> Float[Array, "layer neuron"]:
    """Mean over seeds of (correct, n), as one fraction of sums; every seed has the same n.

    Source: Ackermann & Ohmer 2024.
    """
    right = np.sum([c.astype(np.int64) for c, _ in counts], axis=0)
    mean: Float[Array, "layer neuron"] = right / sum(n for _, n in counts)
    return mean


# --- choices -------------------------------------------------------------------------------------
def count(width: int, fraction: float) -> int:
    """Number of neurons in a fraction, rounded down and robust to 0.07 * 100 = 7.000000001."""
    return math.floor(width * fraction + 1e-9)


def chosen(
    values: Float[Array, "layer neuron"], count: int, *, above: float = -math.inf
) -> Bool[Array, "layer neuron"]:
    """The `count` highest of each layer, ties broken by the lower index; fewer if fewer exceed
    `above`.
    """
    order = np.argsort(-values, axis=1, kind="stable")[:, :count]
    mask: Bool[Array, "layer neuron"] = np.zeros(values.shape, bool)
    np.put_along_axis(mask, order, True, axis=1)
    return mask & (values > above + STEP)


def skill_neurons(
    rankings: Sequence[Float[Array, "layer neuron"]],
    fraction: float,
    *,
    scope: Scope = "layer",
    informative: float | None = None,
) -> Bool[Array, "layer neuron"]:
    """The top `fraction` of each layer, or of the whole model, by predictivity.

    As in the papers, exactly this number is chosen, and several rankings (the binary questions of
    a task with more classes) take turns, each contributing its best neuron not yet taken (Wang et
    al. 2022). With `informative`, the majority-class accuracy, the mean of the rankings is used,
    and uninformative neurons (at or below that level) are left out: they tie, and choosing them by
    index would make any two choices similar.
    """
    shape = rankings[0].shape
    rows = [r if scope == "layer" else r.reshape(1, -1) for r in rankings]
    wanted = count(rows[0].shape[1], fraction)
    if informative is not None:
        mean = rows[0] if len(rows) == 1 else np.mean(rows, axis=0)
        return chosen(mean, wanted, above=informative).reshape(shape)
    if len(rows) == 1:
        return chosen(rows[0], wanted).reshape(shape)
    orders = [np.argsort(-r, axis=1, kind="stable") for r in rows]
    mask: Bool[Array, "layer neuron"] = np.zeros(rows[0].shape, bool)
    for layer in range(len(mask)):
        mask[layer, _in_turns([o[layer].tolist() for o in orders], wanted)] = True
    return mask.reshape(shape)


def _in_turns(orders: list[list[int]], wanted: int) -> list[int]:
    """The best of each order in turn, without repetition, until there are enough."""
    taken: dict[int, None] = {}
    left = [iter(order) for order in orders]
    while len(taken) < wanted:
        for order in left:
            for neuron in order:
                if neuron not in taken:
                    taken[neuron] = None
                    break
    return list(taken)[:wanted]


def random_ranking(shape: tuple[int, int], seed: int) -> Float[Array, "layer neuron"]:
    """Uniform random ranks; the choices of one seed are nested over fractions."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    draw: Float[Array, "layer neuron"] = torch.rand(
        shape, generator=generator, dtype=torch.float64
    ).numpy()
    return draw


def choose_neurons(
    rankings: Sequence[Float[Array, "layer neuron"]],
    *,
    choose: Choose,
    fraction: float,
    scope: Scope = "layer",
    seed: int = 0,
) -> Bool[Array, "layer neuron"]:
    """The neurons to suppress, by highest (as in the papers), lowest or random rank. `causal` ones
    are the highest of an attribution.
    """
    if choose == "random":
        rankings = [random_ranking((rankings[0].shape[0], rankings[0].shape[1]), seed)]
    elif choose == "lowest":
        rankings = [-r for r in rankings]
    return skill_neurons(rankings, fraction, scope=scope)


@dataclass(frozen=True, kw_only=True, eq=False)
class Ranking:
    """A value of each neuron, by which neurons are ranked; one at or below `least` has nothing to
    do with the task. Predictivity with the majority-class accuracy, or attribution with 0.
    """

    values: Float[Array, "layer neuron"]
    least: float

    def top(self, fraction: float, *, scope: Scope = "layer") -> Bool[Array, "layer neuron"]:
        """The highest neurons above `least`: skill neurons, or causal ones (`skill_neurons`)."""
        return skill_neurons([self.values], fraction, scope=scope, informative=self.least)


def percentiles(values: Float[Array, "layer neuron"]) -> Float[Array, "layer neuron"]:
    """Rank percentile of each neuron in its layer, in (0, 1), highest near 1; ties share one."""
    from scipy.stats import rankdata

    shares: Float[Array, "layer neuron"] = (rankdata(values, axis=1) - 0.5) / values.shape[1]
    return shares


# --- shared neurons ------------------------------------------------------------------------------
@dataclass(frozen=True, kw_only=True)
class Chance:
    """Chance overlap of two independent choices of neurons: mean and 95% range; `tail[i]` is the
    probability of at least i shared neurons.
    """

    mean: float
    low: int
    high: int
    tail: Float[Array, " count"]

    def p(self, shared: int) -> float:
        """Probability of at least `shared` neurons by chance."""
        return float(self.tail[shared])


@lru_cache(maxsize=1024)
def _shared_by_chance(width: int, first: int, second: int) -> npt.NDArray[np.float64]:
    """Probability of 0, 1, ... shared neurons in one layer: a figure asks for few, often."""
    from scipy.stats import hypergeom

    counts = np.arange(min(first, second) + 1)
    probability: npt.NDArray[np.float64] = hypergeom.pmf(counts, width, first, second)
    return probability


def chance_overlap(width: int, first: Int[Array, " layer"], second: Int[Array, " layer"]) -> Chance:
    """Shared neurons of two independent choices, of `first[layer]` and of `second[layer]` neurons
    out of `width`: a hypergeometric count in each layer, summed over the layers.
    """
    total = np.ones(1)
    for a, b in zip(first.tolist(), second.tolist(), strict=True):
        total = np.convolve(total, _shared_by_chance(width, a, b))
    below = np.cumsum(total)
    tail = np.minimum(1.0, np.cumsum(total[::-1])[::-1])
    return Chance(
        mean=float((np.arange(len(total)) * total).sum()),
        low=int(np.searchsorted(below, 0.025)),
        high=int(np.searchsorted(below, 0.975)),
        tail=tail,
    )
