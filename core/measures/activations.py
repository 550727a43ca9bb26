"""Each neuron's activation at its best prompt token, for a bounded number of examples."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from jaxtyping import Float

from core.backbones.hooks import capture
from core.base.measure import Measure, Stored, Table
from core.base.progress import Progress
from core.base.specs import Spec, positive
from core.measures.bench import Bench
from core.measures.predictivity import PredictivitySpec
from core.stats.neurons import at_token

Numbers = npt.NDArray[np.int64]
Values = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class ActivationSpec(Spec):
    """What is each neuron's activation at its best prompt token, example by example?"""

    ranking: PredictivitySpec
    limit: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, "limit")


@dataclass(frozen=True, kw_only=True, eq=False)
class Activations:
    """Activations at each neuron's best prompt token, in single precision."""

    spec: ActivationSpec
    index: Numbers
    labels: Numbers
    values: Float[Values, "example layer neuron"]


def needs(spec: ActivationSpec) -> tuple[Spec, ...]:
    """The measurement that gives the best token."""
    return (spec.ranking, spec.ranking.prompt)


def activations(spec: ActivationSpec, bench: Bench, progress: Progress) -> Activations:
    """One value per example, layer and neuron."""
    import torch

    asked = spec.ranking
    token = bench.stored(asked).best_token
    task = bench.task(asked.task, asked.prompt)
    model = bench.model(asked.prompt, task, asked.precision)
    examples = bench.examples(task, asked.split, spec.limit)
    values = np.empty((len(examples), model.layers, model.width), np.float32)
    done = 0
    positions = slice(0, model.prefix)
    with torch.inference_mode(), capture(model.down_projections(), positions) as seen:
        for batch in model.batches(examples):
            model.state(batch)
            rows = torch.stack([seen[layer] for layer in range(model.layers)], dim=1)
            for row, found in zip(batch.rows, rows.float().cpu().numpy(), strict=True):
                values[row] = at_token(found, token)
            done += len(batch.rows)
            progress(done / len(examples))
    return Activations(spec=spec, index=examples.index, labels=examples.labels, values=values)


INDEX = Table(name="activation_index", columns="bytes BIGINT, used BIGINT")
MAIN = Table(
    name="activation",
    columns='example INTEGER, label UTINYINT, layer USMALLINT, "values" FLOAT[]',
    order="key, example, layer",
)


def rows(a: Activations) -> dict[str, pd.DataFrame]:
    """One row per example and layer."""
    examples, layers, width = a.values.shape
    table = pd.DataFrame(
        {
            "example": np.repeat(a.index, layers),
            "label": np.repeat(a.labels, layers),
            "layer": np.tile(np.arange(layers), examples),
            "values": list(a.values.reshape(-1, width)),
        }
    )
    return {"activation_index": pd.DataFrame([{"bytes": a.values.nbytes}]), "activation": table}


def read(spec: ActivationSpec, stored: Stored) -> Activations:
    """The stored activations."""
    table = stored.rows("activation", 'example, label, layer, "values"', "example, layer")
    layers = int(table.layer.max()) + 1
    values = np.stack(table["values"].to_list()).astype(np.float32)
    heads = table.iloc[::layers]
    return Activations(
        spec=spec,
        index=heads.example.to_numpy(np.int64),
        labels=heads.label.to_numpy(np.int64),
        values=values.reshape(len(heads), layers, -1),
    )


ACTIVATIONS = Measure(
    spec=ActivationSpec,
    tables=(INDEX, MAIN),
    needs=needs,
    compute=activations,
    rows=rows,
    read=read,
    bounded=True,
)
