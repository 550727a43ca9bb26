"""Is an attribution faithful? What it says of single neurons, against what suppressing them does.

Attribution is a first-order estimate, made for all neurons at once; the exact effect takes a pass a
neuron, so it is measured for a sample of them.
Source: Kramár et al. 2024 (AtP*), who name where such estimates fail: a saturated softmax or
activation function, and effects of opposite sign that cancel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from core.backbones.hooks import Intervention, suppress
from core.base.measure import Measure, Stored, Table
from core.base.progress import Progress, part
from core.base.specs import Spec, positive
from core.measures.attribution import AttributionSpec, attributed, each_batch
from core.measures.bench import Bench
from core.measures.questions import COLUMNS, as_layers, columns

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import nn

    from core.backbones.batches import Batch
    from core.backbones.prompted import PromptedModel

Values = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class FaithfulnessSpec(Spec):
    """How close is an attribution to the effect of suppressing one neuron?

    Both are measured on `limit` of the attribution's rows, for `neurons` of each layer, spread
    evenly over its ranking, so that the highest and the lowest are among them.
    """

    attribution: AttributionSpec
    neurons: int = 100
    limit: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, "neurons", "limit")


@dataclass(frozen=True, kw_only=True, eq=False)
class Faithfulness:
    """Per layer and sampled neuron, in logits, means over n examples: what attribution says the
    neuron adds to the margin of the right answer, and what the margin loses without it (`exact`),
    with its standard error.
    """

    spec: FaithfulnessSpec
    neuron: Int[Numbers, "layer sample"]
    attributed: Float[Values, "layer sample"]
    exact: Float[Values, "layer sample"]
    error: Float[Values, "layer sample"]
    n: int


def needs(spec: FaithfulnessSpec) -> tuple[Spec, ...]:
    """The attribution."""
    return (spec.attribution,)


def compare(spec: FaithfulnessSpec, bench: Bench, progress: Progress) -> Faithfulness:
    """Attribution on the rows, then a pass over them without each sampled neuron."""
    asked = spec.attribution
    sampled = spread(bench.stored(asked).signed, spec.neurons)
    model, examples = attributed(asked, bench)
    examples = examples.take(np.arange(min(spec.limit, len(examples))))
    n = len(examples)
    shape = model.shape(asked.stack)
    said = np.zeros(shape)
    for _, added in each_batch(asked, model, examples, part(progress, 0, 0.05)):
        said += added.double().cpu().numpy().sum(axis=0)
    batches = list(model.batches(examples))
    where = slice(0, model.prefix) if asked.positions == "prompt" else slice(None)
    linears = model.down_projections(asked.stack)
    whole = _margins(model, batches, linears, n)
    lost = np.empty((*sampled.shape, n))
    each = part(progress, 0.05, 1)
    for done, (layer, place) in enumerate(np.ndindex(*sampled.shape), start=1):
        without = _without(shape, layer, int(sampled[layer, place]), where)
        lost[layer, place] = whole - _margins(model, batches, linears, n, without)
        each(done / sampled.size, f"neuron {done} of {sampled.size}")
    return Faithfulness(
        spec=spec,
        neuron=sampled,
        attributed=np.take_along_axis(said / n, sampled, axis=1),
        exact=lost.mean(axis=2),
        error=lost.std(axis=2, ddof=min(1, n - 1)) / np.sqrt(n),
        n=n,
    )


def spread(signed: Values, neurons: int) -> Numbers:
    """Neurons of each layer, evenly spaced in its ranking, highest first and lowest last."""
    order = np.argsort(-signed, axis=1, kind="stable")
    places = np.unique(np.linspace(0, signed.shape[1] - 1, neurons).round().astype(int))
    return order[:, places]


def _without(shape: tuple[int, int], layer: int, neuron: int, where: slice) -> Intervention:
    import torch

    mask = torch.zeros(shape, dtype=torch.bool)
    mask[layer, neuron] = True
    return Intervention(mask=mask, positions=where)


def _margins(
    model: PromptedModel,
    batches: Sequence[Batch],
    linears: Sequence[nn.Linear],
    n: int,
    without: Intervention | None = None,
) -> Values:
    """Each example's margin, with a neuron suppressed if given."""
    import torch

    found = np.empty(n)
    with torch.inference_mode(), suppress(linears, without):
        for batch in batches:
            found[batch.rows] = model.margins(batch).double().cpu().numpy()
    return found


# --- in the store --------------------------------------------------------------------------------
MAIN = Table(name="faithfulness", columns=COLUMNS + ", n INTEGER")
NEURON = Table(
    name="neuron_faithfulness",
    columns="layer USMALLINT, place USMALLINT, neuron USMALLINT, attributed DOUBLE, exact DOUBLE,"
    " error DOUBLE",
    order="key, layer, place",
)


def rows(f: Faithfulness) -> dict[str, pd.DataFrame]:
    """A comparison and its neurons."""
    layers, samples = f.neuron.shape
    table = pd.DataFrame(
        {
            "layer": np.repeat(np.arange(layers), samples),
            "place": np.tile(np.arange(samples), layers), "neuron": f.neuron.ravel(),
            "attributed": f.attributed.ravel(), "exact": f.exact.ravel(), "error": f.error.ravel(),
        }
    )  # fmt: skip
    row = {**columns(f.spec.attribution), "n": f.n}
    return {"faithfulness": pd.DataFrame([row]), "neuron_faithfulness": table}


def read(spec: FaithfulnessSpec, stored: Stored) -> Faithfulness:
    """The stored comparison."""
    found = stored.rows("neuron_faithfulness", order="layer, place")
    return Faithfulness(
        spec=spec,
        neuron=as_layers(found, "neuron").astype(np.int64),
        attributed=as_layers(found, "attributed"),
        exact=as_layers(found, "exact"),
        error=as_layers(found, "error"),
        n=int(stored.rows("faithfulness", "n").n.iloc[0]),
    )


FAITHFULNESS = Measure(
    spec=FaithfulnessSpec,
    tables=(MAIN, NEURON),
    needs=needs,
    compute=compare,
    rows=rows,
    read=read,
)
