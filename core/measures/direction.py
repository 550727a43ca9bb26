"""Which words does a neuron's output point at? Not stored: it is one product.

What a neuron adds to the residual stream is its activation times its column of the down-projection,
and the cosine of that column with a word's output embedding says, as the logit lens does, which
words it would favour if nothing came after it. Source: Geva et al. 2022 (feed-forward layers
promote words).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

if TYPE_CHECKING:
    from core.backbones.base import Backbone


def word_cosines(
    backbone: Backbone, layer: int, neuron: int
) -> Float[npt.NDArray[np.float64], " vocab"]:
    """Cosine of the neuron's output direction with each output embedding, by token id."""
    import torch

    words = backbone.output_vectors()
    exact = torch.promote_types(words.dtype, torch.float32)
    direction = backbone.down_projections()[layer].weight[:, neuron].to(exact)
    found = torch.nn.functional.cosine_similarity(words.to(exact), direction, dim=1)
    cosines: npt.NDArray[np.float64] = found.double().cpu().numpy()
    return cosines
