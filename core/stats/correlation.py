"""Rank correlation of two predictivity profiles."""

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

Array = npt.NDArray[np.float64]


def spearman(
    a: Float[Array, "layer neuron"], b: Float[Array, "layer neuron"]
) -> Float[Array, " layer"]:
    """Spearman's rho of two tasks' predictivities in each layer, in [-1, 1]; ties share ranks.

    NaN where a layer is constant. Source: Ackermann & Ohmer 2024, who then average over layers.
    """
    from scipy.stats import rankdata  # takes two seconds to import; the first page does not need it

    x, y = rankdata(a, axis=1), rankdata(b, axis=1)
    x, y = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        rho: Array = (x * y).sum(axis=1) / np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
    return rho
