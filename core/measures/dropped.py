"""How does accuracy fall when vectors of a prompt are left out?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from core.base.measure import Measure, Stored, Table
from core.base.progress import Progress
from core.base.prompts import Prompt
from core.base.specs import Pinned, Precision, Spec, positive
from core.measures.bench import Bench
from core.measures.evaluation import nearly_tied
from core.measures.questions import COLUMNS, columns

if TYPE_CHECKING:
    from jaxtyping import Bool, Int

    from core.backbones.batches import Batch
    from core.backbones.prompted import PromptedModel

Numbers = npt.NDArray[np.int64]
POINTS = 10  # of a curve


@dataclass(frozen=True, kw_only=True)
class DroppedSpec(Spec):
    """How accurate is a prompt without each of its vectors, and without more and more of them, in
    `draws` random orders? Measured on a task with classes.
    """

    prompt: Prompt
    task: Pinned
    split: str = "validation"
    limit: int | None = 256
    draws: int = 5
    precision: Precision | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, "limit", "draws")


@dataclass(frozen=True, kw_only=True, eq=False)
class Dropped:
    """Right answers among `n` examples: `whole` with the prompt; without each vector alone, those
    `lost` that were right before and those `gained`, by `row` (its number); `curve[draw, point]`
    with `counts[point]` vectors left out, the last point without any vector.
    """

    spec: DroppedSpec
    n: int
    whole: int
    row: Int[Numbers, " row"]
    lost: Int[Numbers, " row"]
    gained: Int[Numbers, " row"]
    counts: Int[Numbers, " point"]
    curve: Int[Numbers, "draw point"]


def needs(spec: DroppedSpec) -> tuple[Spec, ...]:
    """The prompt."""
    return (spec.prompt,)


def drop(spec: DroppedSpec, bench: Bench, progress: Progress) -> Dropped:
    """One pass over the examples for each set of vectors. Raises: BadTask for written answers."""
    task = bench.task(spec.task, spec.prompt)
    task.need_classes("leaving out vectors")
    screened = spec.precision == "fp64" and spec.prompt.precision == "fp32"
    model = bench.model(spec.prompt, task, "fp32" if screened else spec.precision)
    exact = bench.model(spec.prompt, task, "fp64") if screened else None
    examples = bench.examples(task, spec.split, spec.limit)
    batches = list(model.batches(examples))
    length = len(model.vectors)
    first = 1 if model.backbone.has_dead_row(spec.prompt.layout) else 0
    row = np.arange(first, length)
    sets = [np.empty(0, np.int64), *(np.array([r]) for r in row)]
    counts = np.unique(np.linspace(0, len(row), POINTS + 1).round().astype(np.int64))[1:]
    for draw in range(spec.draws):
        order = np.random.default_rng([spec.prompt.seed, draw]).permutation(row)
        sets += [order[:count] for count in counts]
    right = np.empty((len(sets), len(examples)), bool)
    known = dict[frozenset[int], int]()
    for done, left_out in enumerate(sets):
        name = frozenset(left_out.tolist())
        if name in known:  # all of them, in whatever order
            right[done] = right[known[name]]
        else:
            right[done] = _right(model, exact, batches, left_out)
            known[name] = done
        progress((done + 1) / len(sets), f"set of vectors {done + 1} of {len(sets)}")
    whole, alone = right[0], right[1 : 1 + len(row)]
    return Dropped(
        spec=spec,
        n=len(examples),
        whole=int(whole.sum()),
        row=row,
        lost=(whole & ~alone).sum(axis=1),
        gained=(~whole & alone).sum(axis=1),
        counts=counts,
        curve=right[1 + len(row) :].sum(axis=1).reshape(spec.draws, len(counts)),
    )


def _right(
    model: PromptedModel, exact: PromptedModel | None, batches: Sequence[Batch], left_out: Numbers
) -> Bool[npt.NDArray[np.bool_], " example"]:
    """Which examples are answered correctly without some vectors; near ties by the exact model, if
    there is one.
    """
    import torch

    kept = torch.from_numpy(np.setdiff1d(np.arange(len(model.vectors)), left_out))
    found = np.empty(sum(len(batch.rows) for batch in batches), bool)
    with torch.inference_mode():
        for batch in batches:
            scores = model.scores(batch, model.vectors[kept.to(model.vectors.device)])
            near = nearly_tied(scores.double().cpu()).any()
            if exact is not None and near:
                scores = exact.scores(batch, exact.vectors[kept.to(exact.vectors.device)])
            found[batch.rows] = (scores.argmax(1).cpu() == batch.labels).numpy()
    return found


# --- in the store --------------------------------------------------------------------------------
MAIN = Table(name="dropped", columns=COLUMNS + ", n INTEGER, whole INTEGER")
ROW = Table(
    name="dropped_row", columns="row USMALLINT, lost INTEGER, gained INTEGER", order="key, row"
)
CURVE = Table(
    name="dropped_curve",
    columns="draw USMALLINT, count USMALLINT, correct INTEGER",
    order="key, draw, count",
)


def rows(d: Dropped) -> dict[str, pd.DataFrame]:
    """An answer, its vectors one by one, and its curves."""
    draws, points = d.curve.shape
    curve = {
        "draw": np.repeat(np.arange(draws), points), "count": np.tile(d.counts, draws),
        "correct": d.curve.ravel(),
    }  # fmt: skip
    return {
        "dropped": pd.DataFrame([{**columns(d.spec), "n": d.n, "whole": d.whole}]),
        "dropped_row": pd.DataFrame({"row": d.row, "lost": d.lost, "gained": d.gained}),
        "dropped_curve": pd.DataFrame(curve),
    }


def read(spec: DroppedSpec, stored: Stored) -> Dropped:
    """The stored answer."""
    main = stored.rows("dropped", "n, whole").iloc[0]
    vectors = stored.rows("dropped_row", order="row").astype({"row": np.int64})
    curve = stored.rows("dropped_curve", order="draw, count")
    counts = curve["count"].to_numpy(np.int64).reshape(spec.draws, -1)
    return Dropped(
        spec=spec,
        n=int(main.n),
        whole=int(main.whole),
        row=vectors.row.to_numpy(np.int64),
        lost=vectors.lost.to_numpy(np.int64),
        gained=vectors.gained.to_numpy(np.int64),
        counts=counts[0],
        curve=curve.correct.to_numpy(np.int64).reshape(counts.shape),
    )


DROPPED = Measure(
    spec=DroppedSpec,
    tables=(MAIN, ROW, CURVE),
    needs=needs,
    compute=drop,
    rows=rows,
    read=read,
)
