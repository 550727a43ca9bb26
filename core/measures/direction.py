"""Which words does a neuron's output point at? Not stored: it takes milliseconds.

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

    direction = backbone.down_projections()[layer].weight[:, neuron].double()
    words = backbone.output_vectors().double()
    found = torch.nn.functional.cosine_similarity(words, direction, dim=1)
    cosines: npt.NDArray[np.float64] = found.cpu().numpy()
    return cosines
