"""What does each neuron add to the right answer? Its activation times the gradient of the margin.

One forward and one backward pass for all neurons at once, where the exact answer (suppress one
neuron, look at the margin) takes a pass a neuron. It is the first-order effect of setting the
activation to zero; integrated gradients follow the path down to zero in steps.
Source: Nanda 2022 (attribution patching), Dai et al. 2022 (knowledge neurons); docs/method.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from core.base.measure import Measure, Stored, Table
from core.base.progress import Progress
from core.base.prompts import Prompt
from core.base.specs import Pinned, Precision, Spec, Stack, positive
from core.measures.attacked import asked_examples, attacks_needed
from core.measures.bench import Bench
from core.measures.questions import (
    COLUMNS,
    Positions,
    as_layers,
    at_all_positions,
    columns,
    each_neuron,
)
from core.tasks.attacks import Attack

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor, nn

    from core.backbones.batches import Batch
    from core.backbones.prompted import PromptedModel
    from core.tasks.data import Examples

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class AttributionSpec(Spec):
    """What does each neuron add to the margin of the right answer?

    Measured on train rows, so that a choice of neurons is tested on rows that it was not made from.
    `steps` 1 is activation times gradient; more are integrated gradients with so many steps, layer
    by layer. `positions`: where activations count, everywhere or at the prompt only. `stack`: whose
    neurons, the encoder's or, at the position of the answer, the decoder's.
    """

    prompt: Prompt
    task: Pinned
    split: str = "train"
    limit: int | None = 300
    steps: int = 1
    positions: Positions = "all"
    precision: Precision | None = None
    attack: Attack | None = None
    stack: Stack = "encoder"

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, "steps", "limit")
        at_all_positions(self.stack, self.positions)


@dataclass(frozen=True, kw_only=True, eq=False)
class Attribution:
    """Per neuron, over the examples: mean of what it adds to the margin of the right answer
    (`signed`, in logits), mean of its absolute value, and the standard error of `signed`.
    """

    spec: AttributionSpec
    signed: Float[Values, "layer neuron"]
    absolute: Float[Values, "layer neuron"]
    error: Float[Values, "layer neuron"]
    n: int


def needs(spec: AttributionSpec) -> tuple[Spec, ...]:
    """The prompt, and the search for the worst texts."""
    return (spec.prompt, *attacks_needed(spec))


def attribute(spec: AttributionSpec, bench: Bench, progress: Progress) -> Attribution:
    """One backward pass a batch; with more steps, one a layer and step."""
    model, examples = attributed(spec, bench)
    shape = model.shape(spec.stack)
    total, absolute, squares = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for _, added in each_batch(spec, model, examples, progress):
        values = added.double().cpu().numpy()
        total += values.sum(axis=0)
        absolute += np.abs(values).sum(axis=0)
        squares += (values**2).sum(axis=0)
    n = len(examples)
    mean = total / n
    variance = np.maximum(0, squares / n - mean**2) * n / max(1, n - 1)
    return Attribution(
        spec=spec, signed=mean, absolute=absolute / n, error=np.sqrt(variance / n), n=n
    )


def attributed(spec: AttributionSpec, bench: Bench) -> tuple[PromptedModel, Examples]:
    """The model and the rows of a question. Raises: BadTask for written answers."""
    task = bench.task(spec.task, spec.prompt)
    task.need_classes("attribution")
    return bench.model(spec.prompt, task, spec.precision), asked_examples(spec, bench)


def each_batch(
    spec: AttributionSpec, model: PromptedModel, examples: Examples, progress: Progress
) -> Iterator[tuple[Sequence[int], Float[Tensor, "batch layer neuron"]]]:
    """What neurons add in each batch of examples, and which examples these are."""
    done = 0
    for batch in model.batches(examples):
        yield batch.rows, added_by_neurons(model, batch, spec.steps, spec.positions, spec.stack)
        done += len(batch.rows)
        progress(done / len(examples))


def added_by_neurons(
    model: PromptedModel,
    batch: Batch,
    steps: int = 1,
    positions: Positions = "all",
    stack: Stack = "encoder",
) -> Float[Tensor, "batch layer neuron"]:
    """Sum over positions of activation times the gradient of each example's margin.

    With `steps` the gradient is averaged over the path on which the activations of one layer are
    scaled from 0 to their value (midpoints of equal parts); what all neurons of a layer add is then
    what the margin loses without the layer's neurons, up to the error of the steps.
    """
    import torch

    where = slice(0, model.prefix) if positions == "prompt" else slice(None)
    if steps == 1:
        layers = _gradients(model, batch, stack)
        return torch.stack([(a * g)[:, where].sum(1) for a, g in layers], dim=1)
    rows = []
    for layer in range(model.shape(stack)[0]):
        gradients = []
        for step in range(steps):
            there = _gradients(model, batch, stack, layer, (step + 0.5) / steps)
            activations, gradient = there[layer]
            gradients.append(gradient)
        whole = activations / ((steps - 0.5) / steps)
        rows.append((whole * torch.stack(gradients).mean(0))[:, where].sum(1))
    return torch.stack(rows, dim=1)


def _gradients(
    model: PromptedModel,
    batch: Batch,
    stack: Stack,
    scaled: int | None = None,
    scale: float = 1.0,
) -> list[tuple[Tensor, Tensor]]:
    """Each layer's activations and the gradient of the summed margins; examples of a batch do not
    touch each other, so the gradient of the sum is that of each. One layer can be scaled.
    """
    import torch

    with torch.enable_grad(), _kept(model.down_projections(stack), scaled, scale) as seen:
        vectors = model.vectors.detach().clone().requires_grad_()  # the graph starts here
        torch.autograd.backward(model.margins(batch, vectors).sum())
    return [(a.detach(), a.grad if a.grad is not None else torch.zeros_like(a)) for a in seen]


@contextmanager
def _kept(modules: Sequence[nn.Linear], scaled: int | None, scale: float) -> Iterator[list[Tensor]]:
    """Inside the block, a forward pass leaves its activations with their place in the graph."""
    seen: list[Tensor] = []
    with ExitStack() as hooks:
        for layer, module in enumerate(modules):

            def keep(_: Any, inputs: tuple[Tensor], layer: int = layer) -> tuple[Tensor]:
                values = inputs[0] * scale if layer == scaled else inputs[0]
                if not values.requires_grad:
                    values = values.detach().requires_grad_()
                values.retain_grad()
                seen.append(values)
                return (values,)

            hooks.callback(module.register_forward_pre_hook(keep).remove)
        yield seen


# --- in the store --------------------------------------------------------------------------------
MAIN = Table(
    name="attribution",
    columns=COLUMNS + ", steps INTEGER, positions VARCHAR, n INTEGER, stack VARCHAR",
)
NEURON = Table(
    name="neuron_attribution",
    columns="layer USMALLINT, neuron USMALLINT, signed FLOAT, absolute FLOAT, error FLOAT",
    order="key, layer, neuron",
)


def table(a: Attribution) -> pd.DataFrame:
    """One row per neuron: layer, neuron, signed, absolute, error, n."""
    layers, width = a.signed.shape
    return pd.DataFrame(
        {
            **each_neuron(layers, width),
            "signed": a.signed.ravel(),
            "absolute": a.absolute.ravel(),
            "error": a.error.ravel(),
            "n": a.n,
        }
    )


def rows(a: Attribution) -> dict[str, pd.DataFrame]:
    """A measurement and its neurons."""
    spec = a.spec
    row = {
        **columns(spec),
        "steps": spec.steps,
        "positions": spec.positions,
        "n": a.n,
        "stack": spec.stack,
    }
    return {"attribution": pd.DataFrame([row]), "neuron_attribution": table(a).drop(columns="n")}


def read(spec: AttributionSpec, stored: Stored) -> Attribution:
    """The stored attribution."""
    n = int(stored.rows("attribution", "n").n.iloc[0])
    found = stored.rows("neuron_attribution", order="layer, neuron")
    return Attribution(
        spec=spec,
        signed=as_layers(found, "signed"),
        absolute=as_layers(found, "absolute"),
        error=as_layers(found, "error"),
        n=n,
    )


ATTRIBUTION = Measure(
    spec=AttributionSpec,
    tables=(MAIN, NEURON),
    needs=needs,
    compute=attribute,
    rows=rows,
    read=read,
)
