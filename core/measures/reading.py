"""One text, evaluated live: class probabilities and activations at the prompt's positions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Int

from core.backbones.hooks import Intervention, capture, suppress_rows
from core.backbones.prompted import PromptedModel
from core.base.errors import BadInput
from core.measures.attribution import added_by_neurons
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


@dataclass(frozen=True, kw_only=True, eq=False)
class Alone:
    """Single neurons of the highest attribution to an answer, the highest first: what each adds to
    the answer's margin by attribution (logits), and the class probabilities with it suppressed,
    `probabilities[neuron class]`; `unmodified[class]` without suppression.
    """

    layer: Int[npt.NDArray[np.int64], " neuron"]
    neuron: Int[npt.NDArray[np.int64], " neuron"]
    attributed: Float[Values, " neuron"]
    probabilities: Float[Values, "neuron class"]
    unmodified: Float[Values, " class"]


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

    _check(model, texts)
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


def along(
    model: PromptedModel, texts: tuple[str, str | None], layer: int, neuron: int
) -> Float[Values, " position"]:
    """One neuron's activation at every position of the input, prompt and text. Raises: BadInput as
    `read`.
    """
    import torch

    _check(model, texts)
    batch = model.encode(Examples.of_text(*texts)).batch([0], model.backbone)
    with torch.inference_mode(), capture(model.down_projections(), slice(None)) as seen:
        model.state(batch)
    found: Values = seen[layer][0, :, neuron].double().cpu().numpy()
    return found


def alone(model: PromptedModel, texts: tuple[str, str | None], count: int) -> Alone:
    """Which single neuron carries the answer to a text? Attribution proposes `count` neurons; then
    each is suppressed by itself, all in one batch. Raises: BadInput as `read`.
    """
    import torch

    _check(model, texts)
    example = Examples.of_text(*texts)
    with torch.inference_mode():
        scores = model.scores(model.encode(example).batch([0], model.backbone))
    example.labels[:] = int(scores[0].argmax())  # the margin of what is answered
    batch = model.encode(example).batch([0], model.backbone)
    added = added_by_neurons(model, batch)[0].double().cpu().numpy()
    order = np.argsort(-added, axis=None, kind="stable")[:count]
    layer, neuron = np.unravel_index(order, added.shape)
    masks = np.zeros((len(order), *added.shape), bool)
    masks[np.arange(len(order)), layer, neuron] = True
    hooks = [None, *(Intervention(mask=torch.from_numpy(mask)) for mask in masks)]
    batch = model.encode(example).batch([0] * len(hooks), model.backbone)
    with torch.inference_mode(), suppress_rows(model.down_projections(), hooks):
        found = model.scores(batch).double().cpu().softmax(dim=1).numpy()
    return Alone(
        layer=layer.astype(np.int64),
        neuron=neuron.astype(np.int64),
        attributed=added[layer, neuron],
        probabilities=found[1:],
        unmodified=found[0],
    )


def _check(model: PromptedModel, texts: tuple[str, str | None]) -> None:
    """Whether there is something to read, and not too much. Raises: BadInput."""
    if not texts[0].strip() or (model.task.pair and not (texts[1] or "").strip()):
        raise BadInput("There is nothing to read: type a text.")
    if max(len(t or "") for t in texts) > LONGEST:
        raise BadInput(f"A text has more than {LONGEST:,} characters; only 128 tokens are read.")
