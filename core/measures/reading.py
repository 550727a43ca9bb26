"""One text, evaluated live: class probabilities and activations at the prompt's positions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Int

from core.backbones.hooks import Intervention, capture, suppress_rows
from core.backbones.prompted import PromptedModel
from core.base.errors import BadInput
from core.stats.neurons import at_token
from core.tasks.data import Examples

LONGEST = 20_000  # characters of a text
Values = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Reading:
    """`probabilities[intervention class]`, in the order of the interventions; `activations[layer
    neuron]` at the given token, in the row of the first one.
    """

    probabilities: Float[Values, "intervention class"]
    activations: Float[Values, "layer neuron"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Play:
    """A reading, and each neuron's stored values: `neurons[name]` as [layer, neuron] arrays."""

    reading: Reading
    neurons: dict[str, Float[Values, "layer neuron"]]
    draws: int


def read(
    model: PromptedModel,
    texts: tuple[str, str | None],
    token: Int[npt.NDArray[np.int64], "layer neuron"],
    interventions: Sequence[Intervention | None],
) -> Reading:
    """Softmax over the answer words' logits, a row of one batch per intervention. Raises: BadInput
    for no text or too much of it.
    """
    import torch

    if not texts[0].strip() or (model.task.pair and not (texts[1] or "").strip()):
        raise BadInput("There is nothing to read: type a text.")
    if max(len(t or "") for t in texts) > LONGEST:
        raise BadInput(f"A text has more than {LONGEST:,} characters; only 128 tokens are read.")
    batch = model.encode(Examples.of_text(*texts)).batch([0] * len(interventions), model.backbone)
    modules = model.down_projections()
    with (
        torch.inference_mode(),
        capture(modules, slice(0, model.prefix)) as seen,
        suppress_rows(modules, interventions),
    ):
        scores = model.scores(batch).double().cpu()
    values = np.stack([seen[layer][0].double().cpu().numpy() for layer in range(model.layers)])
    return Reading(probabilities=scores.softmax(dim=1).numpy(), activations=at_token(values, token))
