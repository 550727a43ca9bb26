"""Other ways to tune a backbone, on the same rows as a prompt, and without the same neurons."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd
from jaxtyping import Bool

from core.backbones.hooks import Intervention, suppress
from core.backbones.prompted import PromptedModel
from core.backbones.trained import Way, trainable
from core.base.errors import BadInput
from core.base.measure import Measure, Stored, Table
from core.base.progress import Progress
from core.base.prompts import SoftPrompt, Step
from core.base.specs import Spec, positive
from core.measures.bench import Bench
from core.measures.evaluation import Suppression, intervention
from core.measures.fitting import fit
from core.measures.prompts import STEP
from core.measures.prompts import steps as read_steps
from core.measures.tuning import TuneSpec, first_vectors

if TYPE_CHECKING:
    from core.backbones.batches import Batch

Right = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class WaySpec(Spec):
    """How accurate is a backbone that was tuned in this way, and how accurate without neurons?

    `tuning` has the task, the rows, the batches, the steps and the learning rate; its prompt counts
    only for the ways that have one. `rank`: of LoRA's updates, and width of adapters.
    """

    way: Way
    tuning: TuneSpec
    rank: int = 8
    suppressions: tuple[Suppression, ...] = ()
    split: str = "validation"
    limit: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, "rank", "limit")
        if self.tuning.precision == "bf16":
            raise BadInput(
                "Weights are not trained in bf16, whose steps are too coarse for them; choose fp32."
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Tuned:
    """The answers after tuning. `right[example]`; `without[suppression example]` with those neurons
    suppressed; `trained` weights of `weights`; `seconds` of the updates.
    """

    spec: WaySpec
    right: Bool[Right, " example"]
    without: Bool[Right, "suppression example"]
    majority: float
    trained: int
    weights: int
    seconds: float
    best_step: int
    selection_accuracy: float
    history: tuple[Step, ...]


def needs(spec: WaySpec) -> tuple[Spec, ...]:
    """What ranks the suppressed neurons."""
    ranked = (how for how in spec.suppressions if how.choose != "random")
    return tuple(dict.fromkeys(s for how in ranked for s in how.ranking))


def tune_by(spec: WaySpec, bench: Bench, progress: Progress) -> Tuned:
    """Train a copy of the backbone, then answer every example, with all neurons and without some.

    Raises: BadTask for written answers.
    """
    tuning = spec.tuning
    task = bench.task(tuning.task, tuning)
    task.need_classes("comparing ways to tune")
    shared = bench.untuned(tuning, task)
    train = bench.examples(task, "train")
    examples = bench.examples(task, spec.split, spec.limit)
    begin = first_vectors(tuning, bench, shared.backbone, task).to(shared.backbone.device)
    first = shared.encode(train).batch(list(range(min(32, len(train)))), shared.backbone)

    def follow(step: Step) -> None:
        bench.report(spec, step)
        progress(0.8 * step.step / tuning.steps, f"step {step.step} of {tuning.steps}")

    with trainable(
        shared.backbone, spec.way, vectors=begin, rank=spec.rank, seed=tuning.seed,
        example=(first.ids, first.mask),
    ) as found:  # fmt: skip
        prompt = SoftPrompt(spec=tuning, vectors=found.vectors, words=())
        model = PromptedModel(found.backbone, prompt, task)
        fitted = fit(tuning, model, found.learned, found.vectors, train, follow)
        model.vectors = found.vectors.detach()
        batches = list(model.batches(examples))
        hooks = [None, *(intervention(how, bench, model) for how in spec.suppressions)]
        right = list[Right]()
        for hook in hooks:
            right.append(_right(model, batches, examples.index, hook))
            progress(0.8 + 0.2 * len(right) / len(hooks))
        trained = found.count
    return Tuned(
        spec=spec,
        right=right[0],
        without=np.array(right[1:]).reshape(len(right) - 1, len(examples)),
        majority=examples.majority,
        trained=trained,
        weights=shared.backbone.parameters(),
        seconds=fitted.seconds,
        best_step=fitted.best_step,
        selection_accuracy=fitted.accuracy,
        history=fitted.history,
    )


def _right(
    model: PromptedModel, batches: list[Batch], index: npt.NDArray[np.int64],
    hook: Intervention | None,
) -> Bool[Right, " example"]:  # fmt: skip
    """Which examples are answered correctly, with some neurons suppressed."""
    import torch

    found = np.empty(len(index), bool)
    with torch.inference_mode(), suppress(model.down_projections(), hook) as current:
        for batch in batches:
            current[:] = index[batch.rows].tolist()
            scores = model.scores(batch)
            if not scores.isfinite().all():
                raise BadInput(
                    f"After tuning, {model.backbone.name} produces logits that are not finite; "
                    "choose a lower learning rate."
                )
            answers = scores.argmax(1).cpu()
            found[batch.rows] = (answers == batch.labels).numpy()
    return found


# --- in the store --------------------------------------------------------------------------------
MAIN = Table(
    name="way",
    columns="way VARCHAR, backbone VARCHAR, task VARCHAR, seed INTEGER, split VARCHAR, n INTEGER,"
    " correct INTEGER, accuracy DOUBLE, majority DOUBLE, trained BIGINT, weights BIGINT,"
    " seconds DOUBLE, best_step INTEGER, selection_accuracy DOUBLE, correct_rows UTINYINT[]",
)
WITHOUT = Table(
    name="way_without",
    columns="place USMALLINT, choose VARCHAR, fraction DOUBLE, draw INTEGER, correct INTEGER,"
    " correct_rows UTINYINT[]",
    order="key, place",
)


def rows(found: Tuned) -> dict[str, pd.DataFrame]:
    """A run, one row per suppression, and the steps of the training."""
    spec, tuning = found.spec, found.spec.tuning
    row = {
        "way": spec.way, "backbone": tuning.backbone.name, "task": tuning.source_task,
        "seed": tuning.seed, "split": spec.split, "n": len(found.right),
        "correct": int(found.right.sum()), "accuracy": float(found.right.mean()),
        "majority": found.majority, "trained": found.trained, "weights": found.weights,
        "seconds": found.seconds, "best_step": found.best_step,
        "selection_accuracy": found.selection_accuracy,
        "correct_rows": found.right.astype(np.uint8).tolist(),
    }  # fmt: skip
    without = [
        {
            "place": i, "choose": how.choose, "fraction": how.fraction, "draw": how.seed,
            "correct": int(right.sum()), "correct_rows": right.astype(np.uint8).tolist(),
        }
        for i, (how, right) in enumerate(zip(spec.suppressions, found.without, strict=True))
    ]  # fmt: skip
    tables = {"way": pd.DataFrame([row]), "step": pd.DataFrame(map(asdict, found.history))}
    return {**tables, "way_without": pd.DataFrame(without)} if without else tables


def read(spec: WaySpec, stored: Stored) -> Tuned:
    """A stored run."""
    row = stored.rows("way").iloc[0]
    without = stored.rows("way_without", "place, correct_rows", "place")
    right = np.array(row.correct_rows, bool)
    return Tuned(
        spec=spec,
        right=right,
        without=np.array(without.correct_rows.to_list(), bool).reshape(len(without), len(right)),
        majority=float(row.majority),
        trained=int(row.trained),
        weights=int(row["weights"]),
        seconds=float(row.seconds),
        best_step=int(row.best_step),
        selection_accuracy=float(row.selection_accuracy),
        history=read_steps(stored),
    )


WAY = Measure(
    spec=WaySpec,
    tables=(MAIN, WITHOUT, STEP),
    needs=needs,
    compute=tune_by,
    rows=rows,
    read=read,
)
