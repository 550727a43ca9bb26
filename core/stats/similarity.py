"""How alike are soft prompts, and do alike ones transfer? Formulas without models or stores.

Sources: Su et al. 2022 (the four embedding indicators and the overlapping rate of activated
neurons, as their code has them); docs/method.md.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float

from core.stats.intervals import Estimate

Array = npt.NDArray[Any]
Embedding = Literal["cosine_average", "cosine_concat", "euclidean_average", "euclidean_concat"]
EMBEDDINGS: tuple[Embedding, ...] = get_args(Embedding)
RESAMPLES = 2000
FEWEST = 6  # tasks of an interval
WINDOW = 3  # layers of a window of the overlapping rate


# --- of vectors ----------------------------------------------------------------------------------
def cosine_average(prompts: Sequence[Float[Array, "token hidden"]]) -> Float[Array, "prompt other"]:
    """Mean cosine over all pairs of a vector of one prompt and a vector of the other.

    It is the product of the prompts' mean unit vectors; with itself, a prompt has less than 1.
    """
    means = np.stack([units(p).mean(axis=0) for p in prompts])
    found: Array = means @ means.T
    return found


def cosine_concat(prompts: Sequence[Float[Array, "token hidden"]]) -> Float[Array, "prompt other"]:
    """Cosine of the prompts as one long vector each; they must be equally long."""
    whole = units(np.stack([p.ravel() for p in prompts]))
    found: Array = whole @ whole.T
    return found


def euclidean_average(
    prompts: Sequence[Float[Array, "token hidden"]],
) -> Float[Array, "prompt other"]:
    """1 / (1 + mean distance over all pairs of a vector of one prompt and one of the other)."""
    squares = [(p**2).sum(axis=1) for p in prompts]
    found = np.empty((len(prompts), len(prompts)))
    for i, first in enumerate(prompts):
        for j, second in enumerate(prompts[: i + 1]):  # by products: pages have up to 100 prompts
            apart = squares[i][:, None] + squares[j] - 2 * first @ second.T
            found[i, j] = found[j, i] = 1 / (1 + np.sqrt(np.maximum(apart, 0)).mean())
    return found


def euclidean_concat(
    prompts: Sequence[Float[Array, "token hidden"]],
) -> Float[Array, "prompt other"]:
    """1 / (1 + distance of the prompts as one long vector each); they must be equally long."""
    from scipy.spatial.distance import cdist

    whole = np.stack([p.ravel() for p in prompts])
    found: Array = 1 / (1 + cdist(whole, whole))
    return found


def units(rows: Float[Array, "row hidden"]) -> Float[Array, "row hidden"]:
    """Each row over its length; a row of zeros stays."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    found: Array = rows / np.where(lengths > 0, lengths, 1)
    return found


SIMILARITY: dict[Embedding, Callable[[Sequence[Array]], Array]] = {
    "cosine_average": cosine_average,
    "cosine_concat": cosine_concat,
    "euclidean_average": euclidean_average,
    "euclidean_concat": euclidean_concat,
}


# --- of activated neurons ------------------------------------------------------------------------
def windows(layers: int) -> list[tuple[int, int]]:
    """First and last layer of windows of three that cover a model, all layers first; the last
    window ends with the last layer.
    """
    starts = sorted({*range(0, layers - WINDOW + 1, WINDOW), max(0, layers - WINDOW)})
    found = [(0, layers - 1), *((s, min(layers, s + WINDOW) - 1) for s in starts)]
    return list(dict.fromkeys(found))


def overlapping_rate(
    active: Sequence[Bool[Array, "layer neuron"]], first: int = 0, last: int | None = None
) -> Float[Array, "prompt other"]:
    """ON: the cosine of 0/1 vectors, |A and B| / sqrt(|A| |B|), over some layers; NaN where
    nothing is active.
    """
    end = None if last is None else last + 1
    rows = np.stack([a[first:end].ravel() for a in active]).astype(float)
    sizes = rows.sum(axis=1)
    with np.errstate(invalid="ignore"):
        rate: Array = (rows @ rows.T) / np.sqrt(np.outer(sizes, sizes))
    return rate


# --- against transfer ----------------------------------------------------------------------------
def with_transfer(
    likeness: Float[Array, "source target"], transferred: Float[Array, "source target"]
) -> Estimate:
    """Spearman over the sources of each target, without its own prompt; mean over the targets. NaN
    marks an unknown pair. The 95% interval redraws tasks, which are sources and targets at once,
    and is on the wide side (docs/method.md).

    No interval below six tasks, or where most draws leave nothing to compare. Source: Su et al.
    2022 for the statistic.
    """
    n, compared = len(likeness), _compared(likeness, transferred)
    value = _mean_rho(np.ones((1, n)), *compared)[0]
    if not math.isfinite(value) or n < FEWEST:
        return Estimate(value=float(value), low=math.nan, high=math.nan)
    drawn = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    means = _mean_rho(drawn.astype(float), *compared)
    if np.isfinite(means).mean() < 0.9:
        return Estimate(value=float(value), low=math.nan, high=math.nan)
    low, high = np.nanquantile(means, [0.025, 0.975])
    return Estimate(value=float(value), low=float(low), high=float(high))


def by_target(
    likeness: Float[Array, "source target"], transferred: Float[Array, "source target"]
) -> Float[Array, " target"]:
    """The correlations of which `with_transfer` is the mean; NaN where there is none."""
    found: Array = _rho(np.ones((1, len(likeness))), *_compared(likeness, transferred))[0]
    return found


def _compared(
    likeness: Float[Array, "source target"], transferred: Float[Array, "source target"]
) -> tuple[Array, Array, Array]:
    """Which pairs of different tasks are known, and who is lower than whom by either value."""
    known = np.isfinite(likeness) & np.isfinite(transferred) & ~np.eye(len(likeness), dtype=bool)
    return known, _lower(likeness, known), _lower(transferred, known)


def _lower(
    values: Float[Array, "source target"], known: Bool[Array, "source target"]
) -> Float[Array, "target source other"]:
    """1 where the other source's value is lower, a half where it is equal, else 0."""
    filled = np.where(known, values, 0.0).T
    both = known.T[:, :, None] & known.T[:, None, :]
    lower = filled[:, None, :] < filled[:, :, None]
    equal = filled[:, None, :] == filled[:, :, None]
    found: Array = np.where(both, lower + 0.5 * equal, 0.0)
    return found


def _rho(
    weights: Float[Array, "draw task"],
    known: Bool[Array, "source target"],
    x: Float[Array, "target source other"],
    y: Float[Array, "target source other"],
) -> Float[Array, "draw target"]:
    """Spearman of each target's sources, drawn so many times, from who is lower than whom."""
    found = np.full((len(weights), len(x)), np.nan)
    for target in range(len(x)):
        w = weights * known[:, target]
        total = w.sum(axis=1, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            a, b = (_centred(w @ of[target].T, w, total) for of in (x, y))
            top = (w * a * b).sum(axis=1)
            spread = (w * a * a).sum(axis=1) * (w * b * b).sum(axis=1)
            rho = top / np.sqrt(spread)
        found[:, target] = np.where((spread > 1e-12) & ((w > 0).sum(axis=1) >= 3), rho, np.nan)
    return found


def _centred(
    ranks: Float[Array, "draw source"],
    w: Float[Array, "draw source"],
    total: Float[Array, "draw one"],
) -> Float[Array, "draw source"]:
    centred: Array = ranks - (w * ranks).sum(axis=1, keepdims=True) / total
    return centred


def _mean_rho(
    weights: Float[Array, "draw task"],
    known: Bool[Array, "source target"],
    x: Float[Array, "target source other"],
    y: Float[Array, "target source other"],
) -> Float[Array, " draw"]:
    """The mean over the targets that were drawn, as often as they were."""
    rho = _rho(weights, known, x, y)
    there = np.where(np.isfinite(rho), weights, 0.0)
    with np.errstate(invalid="ignore"):
        mean: Array = (np.nan_to_num(rho) * there).sum(axis=1) / there.sum(axis=1)
    return mean
