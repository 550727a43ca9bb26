"""The texts that a question is about: as they are, or under an attack, the worst draw if asked for.

The search for the worst draw is a measurement of its own, so that accuracy, predictivity and
suppression of a prompt are measured on the same texts, and a search is done once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from core.base.measure import Measure, Stored, Table
from core.base.progress import Progress, part
from core.base.prompts import Prompt
from core.base.specs import Pinned, Precision, Spec, positive
from core.measures.bench import Bench
from core.measures.questions import COLUMNS, Asked, columns
from core.tasks.attacks import Attack, attacked

if TYPE_CHECKING:
    from core.tasks.data import Examples

Numbers = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]


EQUAL = 1e-6  # logits: two draws that make the same text differ by rounding only


def asked_examples(asked: Asked, bench: Bench) -> Examples:
    """The rows of the split, as the question's attack leaves them."""
    examples = bench.examples(bench.task(asked.task, asked.prompt), asked.split, asked.limit)
    if asked.attack is None:
        return examples
    search = worst(asked)
    return attacked(examples, asked.attack, None if search is None else bench.stored(search).draws)


def worst(asked: Asked) -> WorstSpec | None:
    """The search that must be done first; None where there is but one draw."""
    if asked.attack is None or asked.attack.worst_of == 1:
        return None
    return WorstSpec(
        prompt=asked.prompt,
        task=asked.task,
        split=asked.split,
        limit=asked.limit,
        attack=asked.attack,
        precision=asked.precision,
    )


def attacks_needed(asked: Asked) -> tuple[Spec, ...]:
    """What a measurement `needs` for its texts."""
    search = worst(asked)
    return () if search is None else (search,)


@dataclass(frozen=True, kw_only=True)
class WorstSpec(Spec):
    """Which of an attack's draws leaves each example's right answer the least margin?"""

    prompt: Prompt
    task: Pinned
    split: str
    attack: Attack
    limit: int | None = None
    precision: Precision | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, "limit")


@dataclass(frozen=True, kw_only=True, eq=False)
class Worst:
    """Per example: the worst draw, the first of equal ones, and the margin there, in logits."""

    spec: WorstSpec
    index: Numbers
    draws: Numbers
    margin: Values


def needs(spec: WorstSpec) -> tuple[Spec, ...]:
    """The prompt."""
    return (spec.prompt,)


def search(spec: WorstSpec, bench: Bench, progress: Progress) -> Worst:
    """One pass over the examples for each draw."""
    import torch

    task = bench.task(spec.task, spec.prompt)
    task.need_classes("the worst draw")
    model = bench.model(spec.prompt, task, spec.precision)
    examples = bench.examples(task, spec.split, spec.limit)
    found = np.empty((spec.attack.worst_of, len(examples)))
    for draw in range(spec.attack.worst_of):
        share = part(progress, draw / len(found), (draw + 1) / len(found))
        struck = attacked(examples, spec.attack, [draw] * len(examples))
        with torch.inference_mode():
            for batch in model.batches(struck):
                found[draw, batch.rows] = model.margins(batch).double().cpu()
                share(max(batch.rows) / len(examples), f"draw {draw + 1} of {len(found)}")
    worst_margin = found.min(axis=0)
    draws = (found <= worst_margin + EQUAL).argmax(axis=0)
    return Worst(spec=spec, index=examples.index, draws=draws, margin=worst_margin)


# --- in the store --------------------------------------------------------------------------------
MAIN = Table(
    name="worst_draw",
    columns=COLUMNS + ", rows INTEGER[], draws USMALLINT[], margin DOUBLE[]",
)


def rows(w: Worst) -> dict[str, pd.DataFrame]:
    """One row with its examples."""
    row = {
        **columns(w.spec),
        "rows": w.index.astype(np.int32),
        "draws": w.draws.astype(np.uint16),
        "margin": w.margin,
    }
    return {"worst_draw": pd.DataFrame([row])}


def read(spec: WorstSpec, stored: Stored) -> Worst:
    """The stored draws."""
    row = stored.rows("worst_draw", "rows, draws, margin").iloc[0]
    return Worst(
        spec=spec,
        index=np.array(row.rows, np.int64),
        draws=np.array(row.draws, np.int64),
        margin=np.array(row.margin, np.float64),
    )


WORST = Measure(spec=WorstSpec, tables=(MAIN,), needs=needs, compute=search, rows=rows, read=read)
