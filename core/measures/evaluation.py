"""How accurate is a prompt? The same question for transfer, robustness and suppression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from jaxtyping import Bool, Float

from core.backbones.hooks import Intervention, suppress
from core.base.errors import BadInput
from core.base.measure import Measure, Stored, Table, Whole
from core.base.progress import Progress, no_progress
from core.base.prompts import Prompt
from core.base.specs import Pinned, Precision, Spec, Stack, positive
from core.measures.attacked import asked_examples, attacks_needed
from core.measures.attribution import AttributionSpec
from core.measures.bench import Bench
from core.measures.predictivity import PredictivitySpec
from core.measures.questions import COLUMNS, Positions, at_all_positions, columns
from core.stats.intervals import redrawn, wilson
from core.stats.neurons import Choose, Scope, choose_neurons, mean_predictivity
from core.tasks import Text
from core.tasks.attacks import Attack

if TYPE_CHECKING:
    from torch import Tensor

    from core.backbones.prompted import PromptedModel
    from core.tasks.data import Examples

Kind = Literal["zero", "mean", "noise"]
Numbers = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
TIE = 1e-3


@dataclass(frozen=True, kw_only=True)
class Suppression(Spec):
    """Which neurons are suppressed: the `fraction` chosen by a ranking's mean over its seeds.

    `causal` neurons are chosen by attributions, all others by predictivities. In the decoder, which
    has no predictivities, neurons are causal or random.
    """

    ranking: tuple[PredictivitySpec, ...] | tuple[AttributionSpec, ...]
    choose: Choose
    fraction: float
    scope: Scope = "layer"
    positions: Positions = "all"
    kind: Kind = "zero"
    seed: int = 0
    noise: float = 0.1
    stack: Stack = "encoder"

    def __post_init__(self) -> None:
        super().__post_init__()
        at_all_positions(self.stack, self.positions)
        if self.stack == "decoder" and (
            self.choose not in ("causal", "random") or self.kind == "mean"
        ):
            raise BadInput(
                "Predictivity is measured in the encoder: choose causal or random neurons of the "
                "decoder, and zero or noise."
            )
        if {"encoder", "decoder"} <= {self.stack, *(_ranked(spec) for spec in self.ranking)}:
            raise BadInput(f"Neurons of the {self.stack} need a ranking of the {self.stack}.")
        kind = AttributionSpec if self.choose == "causal" else PredictivitySpec
        if not all(isinstance(spec, kind) for spec in self.ranking):
            raise BadInput(f"{self.choose} neurons cannot be chosen by such a ranking.")
        if self.choose == "causal" and self.kind == "mean":
            raise BadInput("Causal neurons can be set to zero or get noise, but not their mean.")


def _ranked(spec: PredictivitySpec | AttributionSpec) -> Stack:
    """Whose neurons a measurement ranks."""
    return spec.stack if isinstance(spec, AttributionSpec) else "encoder"


@dataclass(frozen=True, kw_only=True)
class EvaluationSpec(Spec):
    """How accurate is the prompt on a task?

    `precision` is that of the answers, None the prompt's: in fp64 an fp32 prompt is asked in fp32,
    and again in fp64 where that leaves a near tie.
    """

    prompt: Prompt
    task: Pinned
    split: str = "validation"
    limit: int | None = None
    suppression: Suppression | None = None
    precision: Precision | None = None
    attack: Attack | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, "limit")


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """The prompt's answers, example by example, in the order of the split.

    `scores[example]` in [0, 1] by `metric`: for a task with classes `accuracy`, 1 where the answer
    is right, with `labels` and `predictions`; else what is `written`. `logits[example class]` are
    those of the answer words, of near ties in fp64; the store does not keep them.
    """

    spec: EvaluationSpec
    index: Numbers
    metric: str
    scores: Values
    labels: Numbers | None = None
    predictions: Numbers | None = None
    written: tuple[str, ...] | None = None
    logits: Values | None = field(default=None, repr=False)

    @property
    def n(self) -> int:
        """Examples evaluated."""
        return len(self.scores)

    @property
    def score(self) -> float:
        """Mean of the scores: what the store calls `accuracy`, whatever the metric."""
        return float(self.scores.mean())

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval of the score: Wilson's for shares, else a percentile bootstrap over
        examples.
        """
        return mean_interval(self.scores)

    @property
    def majority(self) -> float:
        """Accuracy of always answering the most frequent class; NaN without classes."""
        if self.labels is None:
            return float("nan")
        return float(np.bincount(self.labels).max() / self.n)

    @property
    def correct(self) -> int:
        """Number of examples with the full score."""
        return int((self.scores == 1).sum())

    @property
    def accuracy(self) -> float:
        """Share of examples with the full score; below `score` where a metric gives parts of it."""
        return self.correct / self.n


def mean_interval(scores: Float[Values, " example"]) -> tuple[float, float]:
    """95% interval of a mean score: Wilson's where each is 0 or 1, else a percentile bootstrap."""
    if np.isin(scores, (0, 1)).all():
        return wilson(int(scores.sum()), len(scores))
    low, high = np.quantile(redrawn(scores[None]), [0.025, 0.975])
    return float(low), float(high)


def needs(spec: EvaluationSpec) -> tuple[Spec, ...]:
    """The prompt, the search for the worst texts, and what ranks the suppressed neurons."""
    how = spec.suppression
    ranked = how is not None and (how.choose != "random" or how.kind == "mean")
    return (
        spec.prompt,
        *attacks_needed(spec),
        *(how.ranking if how is not None and ranked else ()),
    )


def evaluate(spec: EvaluationSpec, bench: Bench, progress: Progress) -> Evaluation:
    """Answer every example, with or without a suppression."""
    task = bench.task(spec.task, spec.prompt)
    classes = not isinstance(task.answer, Text)
    screened = classes and spec.precision == "fp64" and spec.prompt.precision == "fp32"
    model = bench.model(spec.prompt, task, "fp32" if screened else spec.precision)
    examples = asked_examples(spec, bench)
    hook = None if spec.suppression is None else intervention(spec.suppression, bench, model)
    if isinstance(task.answer, Text):
        return _written(spec, model, task.answer, examples, hook, progress)
    stack = _stack(spec)
    logits = _scored(model, examples, hook, stack, progress)
    near = np.flatnonzero(nearly_tied(logits)) if screened else np.empty(0, np.int64)
    if len(near):
        exact = bench.model(spec.prompt, task, "fp64")
        logits[near] = _scored(exact, examples.take(near), hook, stack)
    if not logits.isfinite().all():
        raise BadInput(
            f"With this prompt, {model.backbone.name} produces logits that are not finite; tune it "
            "with a lower learning rate, or use fp32."
        )
    predictions = logits.argmax(dim=1).numpy()
    return Evaluation(
        spec=spec,
        index=examples.index,
        metric="accuracy",
        scores=(predictions == examples.labels).astype(np.float64),
        labels=examples.labels,
        predictions=predictions,
        logits=logits.numpy(),
    )


def _stack(spec: EvaluationSpec) -> Stack:
    """Whose neurons are suppressed."""
    return "encoder" if spec.suppression is None else spec.suppression.stack


def _scored(
    model: PromptedModel,
    examples: Examples,
    hook: Intervention | None,
    stack: Stack,
    progress: Progress = no_progress,
) -> Float[Tensor, "example class"]:
    """Logits of the answer words, in double precision for the store."""
    import torch

    logits = torch.empty(len(examples), len(model.task.labels), dtype=torch.float64)
    done = 0
    with torch.inference_mode(), suppress(model.down_projections(stack), hook) as current:
        for batch in model.batches(examples):
            current[:] = examples.index[batch.rows].tolist()
            logits[batch.rows] = model.scores(batch).double().cpu()
            done += len(batch.rows)
            progress(done / len(examples))
    return logits


def nearly_tied(logits: Float[Tensor, "example class"]) -> Bool[Mask, " example"]:
    """Examples whose two best answers are so close that fp32 rounding could decide between them.

    The margin is a hundred times the rounding error in small backbones. Only these need fp64.
    """
    best = logits.topk(2, dim=1).values
    near: Bool[Mask, " example"] = (
        (best[:, 0] - best[:, 1]) < TIE * (1 + best.abs().amax(dim=1))
    ).numpy()
    return near


def _written(
    spec: EvaluationSpec,
    model: PromptedModel,
    answer: Text,
    examples: Examples,
    hook: Intervention | None,
    progress: Progress,
) -> Evaluation:
    import torch

    texts, scores, done, stack = [""] * len(examples), np.zeros(len(examples)), 0, _stack(spec)
    with torch.inference_mode(), suppress(model.down_projections(stack), hook) as current:
        for batch in model.batches(examples):
            current[:] = examples.index[batch.rows].tolist()
            written = model.write(batch)
            scores[batch.rows] = model.score_texts(written, batch)
            for row, text in zip(batch.rows, written, strict=True):
                texts[row] = text
            done += len(batch.rows)
            progress(done / len(examples))
    return Evaluation(
        spec=spec, index=examples.index, metric=answer.metric, scores=scores, written=tuple(texts)
    )


# --- suppression ---------------------------------------------------------------------------------
def suppressed_neurons(
    how: Suppression, bench: Bench, shape: tuple[int, int]
) -> Bool[Mask, "layer neuron"]:
    """The neurons that a suppression chooses."""
    if how.choose == "random":
        rankings = [np.zeros(shape)]
    elif how.choose == "causal":
        rankings = [np.mean([bench.stored(s).signed for s in how.ranking], axis=0)]
    else:
        rankings = _rankings(how.ranking, bench)
    return choose_neurons(
        rankings, choose=how.choose, fraction=how.fraction, scope=how.scope, seed=how.seed
    )


def _rankings(
    specs: Sequence[PredictivitySpec | AttributionSpec], bench: Bench
) -> list[Float[Values, "layer neuron"]]:
    """One ranking per binary question: the mean over its seeds."""
    groups: dict[object, list[tuple[Numbers, int]]] = {}
    for spec in specs:
        assert isinstance(spec, PredictivitySpec)
        known = bench.stored(spec)
        groups.setdefault(spec.contrast, []).append((known.correct, known.n))
    return [mean_predictivity(group) for group in groups.values()]


def intervention(how: Suppression, bench: Bench, model: PromptedModel) -> Intervention | None:
    """The hook's settings for a suppression; None if no neuron is chosen."""
    import torch

    mask = suppressed_neurons(how, bench, model.shape(how.stack))
    if not mask.any():
        return None
    means = None
    if how.kind == "mean":
        means = torch.from_numpy(np.mean([bench.stored(s).mean for s in how.ranking], axis=0))
    return Intervention(
        mask=torch.from_numpy(mask),
        positions=slice(0, model.prefix) if how.positions == "prompt" else slice(None),
        replacement=means,
        noise=how.noise if how.kind == "noise" else None,
        seed=how.seed,
    )


# --- some rows of all ----------------------------------------------------------------------------
def _all_rows(spec: EvaluationSpec) -> EvaluationSpec | None:
    return None if spec.limit is None else replace(spec, limit=None)


def _some_rows(spec: EvaluationSpec, whole: Evaluation, bench: Bench) -> Evaluation:
    """The rows under a limit, as a new computation would return them."""
    wanted = bench.examples(bench.task(spec.task, spec.prompt), spec.split, spec.limit).index
    kept = np.isin(whole.index, wanted)

    def pick(values: Numbers | None) -> Numbers | None:
        return None if values is None else values[kept]

    texts = whole.written
    return Evaluation(
        spec=spec,
        index=whole.index[kept],
        metric=whole.metric,
        scores=whole.scores[kept],
        labels=pick(whole.labels),
        predictions=pick(whole.predictions),
        written=None if texts is None else tuple(t for t, k in zip(texts, kept, strict=True) if k),
    )


# --- in the store --------------------------------------------------------------------------------
MAIN = Table(
    name="evaluation",
    columns=COLUMNS + ", metric VARCHAR, n INTEGER, correct INTEGER,"
    " accuracy DOUBLE, majority DOUBLE, choose VARCHAR, fraction DOUBLE, draw INTEGER,"
    " rows INTEGER[], scores FLOAT[], labels UTINYINT[], predictions UTINYINT[],"
    " written VARCHAR[]",
)


def rows(e: Evaluation) -> dict[str, pd.DataFrame]:
    """An evaluation with its answers. The column `accuracy` is the mean score, whatever the metric;
    `correct` counts only answers that are classes.
    """
    how = e.spec.suppression
    row = {
        **columns(e.spec),
        "metric": e.metric,
        "n": e.n,
        "correct": e.correct if e.labels is not None else None,
        "accuracy": e.score,
        "majority": e.majority,
        "choose": None if how is None else how.choose,
        "fraction": None if how is None else how.fraction,
        "draw": None if how is None else how.seed,
        "rows": e.index.astype(np.int32),
        "scores": e.scores.astype(np.float32),
        "labels": None if e.labels is None else e.labels.astype(np.uint8),
        "predictions": None if e.predictions is None else e.predictions.astype(np.uint8),
        "written": None if e.written is None else list(e.written),
    }
    return {"evaluation": pd.DataFrame([row])}


def read(spec: EvaluationSpec, stored: Stored) -> Evaluation:
    """An evaluation without its logits."""
    row = stored.rows("evaluation", "metric, rows, scores, labels, predictions, written").iloc[0]

    def numbers(column: object) -> Numbers | None:
        return None if column is None or np.ndim(column) == 0 else np.array(column, np.int64)  # type: ignore[arg-type]

    return Evaluation(
        spec=spec,
        index=np.array(row.rows, np.int64),
        metric=row.metric,
        scores=np.array(row.scores, np.float64),
        labels=numbers(row.labels),
        predictions=numbers(row.predictions),
        written=None if np.ndim(row.written) == 0 else tuple(row.written),
    )


EVALUATION = Measure(
    spec=EvaluationSpec,
    tables=(MAIN,),
    needs=needs,
    compute=evaluate,
    rows=rows,
    read=read,
    whole=Whole(question=_all_rows, part=_some_rows),
)
