"""The effect of one neuron on the answers, suppressed at all positions or at one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from core.backbones import prompted
from core.backbones.hooks import Intervention, suppress
from core.base.errors import BadInput
from core.base.measure import Measure, Stored, Table
from core.base.progress import Progress
from core.base.specs import Spec, positive
from core.measures.bench import Bench
from core.measures.predictivity import PredictivitySpec
from core.measures.questions import COLUMNS, columns

if TYPE_CHECKING:
    from torch import Tensor

Numbers = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class AblationSpec(Spec):
    """How does suppressing one neuron change the answers, example by example?"""

    ranking: PredictivitySpec
    layer: int
    neuron: int
    limit: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, "limit")


@dataclass(frozen=True, kw_only=True, eq=False)
class Ablation:
    """The margin of the correct answer, example by example: its logit minus the highest other one.

    `margin` is that of the unmodified model, `without` with the neuron at 0 everywhere,
    `without_slot` with the neuron at 0 at its best prompt token only.
    """

    spec: AblationSpec
    index: Numbers
    labels: Numbers
    margin: Values
    without_slot: Values
    without: Values


def needs(spec: AblationSpec) -> tuple[Spec, ...]:
    """The measurement that gives the best token."""
    return (spec.ranking, spec.ranking.prompt)


def ablate(spec: AblationSpec, bench: Bench, progress: Progress) -> Ablation:
    """Margins: of the unmodified model, with the neuron at 0 at its best token, and at all."""
    import torch

    asked = spec.ranking
    token = _token(spec, bench.stored(asked).best_token)
    task = bench.task(asked.task, asked.prompt)
    model = bench.model(asked.prompt, task, asked.precision)
    examples = bench.examples(task, asked.split, spec.limit)
    mask = torch.zeros(model.layers, model.width, dtype=torch.bool)
    mask[spec.layer, spec.neuron] = True
    hooks = (
        None,
        Intervention(mask=mask, positions=slice(token, token + 1)),
        Intervention(mask=mask),
    )
    scores = torch.empty(len(hooks), len(examples), len(task.labels), dtype=torch.float64)
    done = 0
    for batch in model.batches(examples):
        for i, hook in enumerate(hooks):
            with torch.inference_mode(), suppress(model.down_projections(), hook):
                scores[i, batch.rows] = model.scores(batch).double().cpu()
        done += len(batch.rows)
        progress(done / len(examples))
    margin, without_slot, without = (margins(s, examples.labels) for s in scores)
    return Ablation(
        spec=spec,
        index=examples.index,
        labels=examples.labels,
        margin=margin,
        without_slot=without_slot,
        without=without,
    )


def _token(spec: AblationSpec, tokens: Numbers) -> int:
    layers, width = tokens.shape
    if not (0 <= spec.layer < layers and 0 <= spec.neuron < width):
        raise BadInput(
            f"{spec.ranking.prompt.backbone.name} has layers 0 to {layers - 1} with neurons 0 to "
            f"{width - 1}; there is no neuron {spec.layer}/{spec.neuron}."
        )
    return int(tokens[spec.layer, spec.neuron])


def margins(scores: Tensor, labels: Numbers | Sequence[int]) -> Values:
    """Each example's margin, as an array."""
    import torch

    margin: Values = prompted.margins(scores, torch.as_tensor(np.asarray(labels))).numpy()
    return margin


MAIN = Table(
    name="ablation",
    columns=COLUMNS + ", layer INTEGER, neuron INTEGER, rows INTEGER[],"
    " labels UTINYINT[], margin DOUBLE[], without_slot DOUBLE[], without DOUBLE[]",
)


def rows(a: Ablation) -> dict[str, pd.DataFrame]:
    """One row with its examples."""
    row = {
        **columns(a.spec.ranking),
        "layer": a.spec.layer,
        "neuron": a.spec.neuron,
        "rows": a.index.astype(np.int32),
        "labels": a.labels.astype(np.uint8),
        "margin": a.margin,
        "without_slot": a.without_slot,
        "without": a.without,
    }
    return {"ablation": pd.DataFrame([row])}


def read(spec: AblationSpec, stored: Stored) -> Ablation:
    """The stored ablation."""
    row = stored.rows("ablation", "rows, labels, margin, without_slot, without").iloc[0]
    return Ablation(
        spec=spec,
        index=np.array(row.rows, np.int64),
        labels=np.array(row.labels, np.int64),
        margin=np.array(row.margin, np.float64),
        without_slot=np.array(row.without_slot, np.float64),
        without=np.array(row.without, np.float64),
    )


ABLATION = Measure(
    spec=AblationSpec, tables=(MAIN,), needs=needs, compute=ablate, rows=rows, read=read
)
