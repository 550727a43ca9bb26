"""How well does each neuron's activation, above its train mean, separate the classes?

Streamed: a running mean over train, then running counts over the split.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from jaxtyping import Float, Int

from core.backbones.hooks import capture
from core.base.errors import BadTask
from core.base.measure import Measure, Stored, Table
from core.base.progress import Progress, no_progress, part
from core.base.prompts import Prompt
from core.base.specs import Contrast, Pinned, Precision, Spec, positive
from core.measures.attacked import asked_examples, attacks_needed
from core.measures.bench import Bench
from core.measures.questions import COLUMNS, columns, each_neuron
from core.stats.neurons import at_token, best_token, folded
from core.tasks import Task
from core.tasks.attacks import Attack

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from core.backbones.batches import Batch
    from core.backbones.prompted import PromptedModel
    from core.tasks.data import Examples

Array = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class PredictivitySpec(Spec):
    """How well does each neuron's activation, above its train mean, separate the classes?

    The baseline is the mean on the train split of the clean task (at most `train_limit` examples);
    accuracy is measured on `split`. `contrast` None means class 1 against class 0. `precision` is
    that of the forward pass, None that of the prompt. An `attack` strikes the texts of `split`,
    never those of train.
    """

    prompt: Prompt
    task: Pinned
    split: str = "validation"
    contrast: Contrast | None = None
    limit: int | None = None
    train_limit: int | None = None
    permutations: int = 100
    precision: Precision | None = None
    attack: Attack | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, "limit", "train_limit")
        positive(self, "permutations", least=0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Floor:
    """The permutation null: predictivity with labels shuffled within the split.

    `mean` and `p99` are over neurons and permutations. `fwer` is the 95th percentile of the best
    neuron under permutation. `fdr` is the lowest predictivity of a neuron whose `q` is at most
    0.05, NaN if there is none. Per neuron: `p` against its own shuffled values, `p_family` against
    the best neuron's (Westfall & Young 1993), `q` the false discovery rate (Benjamini & Hochberg
    1995) of all neurons that reach at least its predictivity.
    """

    mean: float
    p99: float
    fwer: float
    fdr: float
    permutations: int
    p: Float[Array, "layer neuron"]
    p_family: Float[Array, "layer neuron"]
    q: Float[Array, "layer neuron"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictivity:
    """Per neuron and prompt token: how often `activation > baseline` predicts the class."""

    spec: PredictivitySpec
    baseline: Float[Array, "layer token neuron"]
    correct: Int[Counts, "layer token neuron"]
    n: int
    n_train: int
    majority: float
    floor: Floor | None

    @property
    def accuracy(self) -> Float[Array, "layer token neuron"]:
        """Share of examples predicted correctly, in [0, 1]."""
        return self.correct / self.n


def needs(spec: PredictivitySpec) -> tuple[Spec, ...]:
    """The prompt, and the search for the worst texts."""
    return (spec.prompt, *attacks_needed(spec))


def measure(spec: PredictivitySpec, bench: Bench, progress: Progress) -> Predictivity:
    """Baseline on train, accuracy of `activation > baseline` on the split.

    The comparison is strict. For a contrast, only its classes' rows count, and the larger group of
    the evaluated rows is subsampled to the size of the smaller with a fixed seed, so that chance is
    0.5.
    Source: Wang et al. 2022; baseline of the clean task: Ackermann & Ohmer 2024.
    """
    task = bench.task(spec.task, spec.prompt)
    _check(task, spec)
    model = bench.model(spec.prompt, task, spec.precision)
    train = bench.examples(task, "train", spec.train_limit)
    examples = asked_examples(spec, bench)
    check_contrast(task, train, "train", spec.contrast)
    check_contrast(task, examples, spec.split, spec.contrast)
    train, examples = contrasted(train, spec.contrast), asked_rows(examples, spec.contrast)
    _check_labels(task, spec.split, examples)
    reader = Reader(model)
    share = len(train) / (len(train) + len(examples))
    baseline = baseline_on(train, spec, reader, bench, part(progress, 0, share))
    signs = shuffled(examples.labels, spec.permutations)
    correct, best = guesses(reader, baseline, examples, signs, part(progress, share, 1))
    return Predictivity(
        spec=spec,
        baseline=baseline.numpy(),
        correct=correct.long().numpy(),
        n=len(examples),
        n_train=len(train),
        majority=examples.majority,
        floor=floor(best, len(examples)),
    )


def baseline_on(
    train: Examples, spec: PredictivitySpec, reader: Reader, bench: Bench, progress: Progress
) -> Float[Tensor, "layer token neuron"]:
    """Mean activations on the train rows of a question: the same for each split and attack."""
    learnt = (spec.prompt, spec.task, spec.contrast, spec.train_limit, spec.precision)
    return bench.once(("baseline", *learnt), lambda: reader.mean(train, progress))


def _check(task: Task, spec: PredictivitySpec) -> None:
    first = task.contrasts()[0]
    if spec.contrast is None and first is not None:
        raise BadTask(
            f"{task.title} has {len(task.labels)} classes: ask about one of its contrasts, such "
            f"as {task.contrast_name(first)!r}."
        )


def check_contrast(task: Task, examples: Examples, split: str, contrast: Contrast | None) -> None:
    """Whether both groups of a contrast have rows. Raises: BadTask."""
    groups = () if contrast is None else (contrast.negative, contrast.positive)
    for group in groups:
        if not np.isin(examples.labels, group).any():
            absent = " or ".join(repr(task.labels[c]) for c in group)
            raise BadTask(
                f"{task.title} has no example of {absent} in the {split} split, so "
                f"{task.contrast_name(contrast)!r} cannot be measured; add some, or choose another "
                "contrast."
            )


def _check_labels(task: Task, split: str, examples: Examples) -> None:
    if len(set(examples.labels.tolist())) < 2:
        raise BadTask(
            f"All {len(examples)} measured examples of {task.title!r}, split {split!r}, are of one "
            "class: no neuron can separate classes there; choose a split with both, or more rows."
        )


def asked_rows(examples: Examples, contrast: Contrast | None) -> Examples:
    """The rows on which a question is measured; for a contrast, equally many of either side."""
    kept = contrasted(examples, contrast)
    return kept if contrast is None else balanced(kept)


def contrasted(examples: Examples, contrast: Contrast | None) -> Examples:
    """The rows of a contrast's classes, labelled 0 and 1."""
    if contrast is None:
        return examples
    group = dict.fromkeys(contrast.negative, 0) | dict.fromkeys(contrast.positive, 1)
    rows = np.flatnonzero(np.isin(examples.labels, list(group)))
    kept = examples.take(rows)
    kept.labels[:] = [group[label] for label in kept.labels]
    return kept


def balanced(examples: Examples) -> Examples:
    """As many rows of class 0 as of class 1."""
    rng = np.random.default_rng(0)
    groups = [np.flatnonzero(examples.labels == c) for c in (0, 1)]
    n = min(map(len, groups))
    if n == 0:
        raise BadTask("This split has no examples of one side of a binary question.")
    return examples.take(np.sort(np.concatenate([rng.permutation(g)[:n] for g in groups])))


MOST_BYTES = 2 * 2**30  # of right guesses by row, layer, token and neuron


class Reader:
    """Yields the prompt positions' activations, batch by batch, and keeps none of them."""

    def __init__(self, model: PromptedModel) -> None:
        self.model = model

    def read(
        self, examples: Examples
    ) -> Iterator[tuple[Batch, dict[int, Float[Tensor, "batch token neuron"]]]]:
        """Each batch with its activations by layer, at the prompt's positions."""
        import torch

        positions = slice(0, self.model.prefix)
        with torch.inference_mode(), capture(self.model.down_projections(), positions) as seen:
            for batch in self.model.batches(examples):
                self.model.state(batch)
                yield batch, seen

    def mean(self, examples: Examples, progress: Progress) -> Float[Tensor, "layer token neuron"]:
        """Plain mean over the examples, summed in double precision."""
        import torch

        total = self.empty(torch.float64)
        done = 0
        for batch, seen in self.read(examples):
            for layer, values in seen.items():
                total[layer] += values.double().sum(dim=0).cpu()
            done += len(batch.rows)
            progress(done / len(examples), "baseline on train")
        return total / len(examples)

    def empty(self, dtype: torch.dtype, *front: int) -> Tensor:
        """Zeros for each neuron at each prompt position."""
        import torch

        size = (*front, self.model.layers, self.model.prefix, self.model.width)
        return torch.zeros(size, dtype=dtype)


def guesses(
    reader: Reader,
    baseline: Float[Tensor, "layer token neuron"],
    examples: Examples,
    signs: Float[Tensor, "row example"],
    progress: Progress = no_progress,
) -> tuple[Float[Tensor, "layer token neuron"], Float[Tensor, "row layer neuron"]]:
    """`tally` of the first row, and `best_counts` of all: in one pass over the examples, or, where
    the tallies of all rows would not fit into `MOST_BYTES`, in as many as it takes.
    """
    import torch

    size = reader.empty(torch.float32).nbytes
    parts = torch.split(signs, max(1, MOST_BYTES // size))
    first, best = None, []
    for i, rows in enumerate(parts):
        share = part(progress, i / len(parts), (i + 1) / len(parts))
        counts = tally(reader, baseline, examples, rows, share)
        first = counts[0].clone() if first is None else first
        best.append(best_counts(counts, rows.abs().sum(dim=1)))
    assert first is not None
    return first, torch.cat(best)


def tally(
    reader: Reader,
    baseline: Float[Tensor, "layer token neuron"],
    examples: Examples,
    signs: Float[Tensor, "row example"],
    progress: Progress = no_progress,
) -> Float[Tensor, "row layer token neuron"]:
    """Correct predictions of each neuron, for several weightings of the examples in one pass.

    `signs` are weights, positive for class 1 and negative for class 0. The right guesses are the
    weight of class 0 plus sum(signs * fired): one matrix product counts all rows at once, exactly,
    as long as the weights are whole numbers.
    """
    import torch

    totals = reader.empty(torch.float32, len(signs))
    done = 0
    for batch, seen in reader.read(examples):
        weights = signs[:, batch.rows]
        for layer, values in seen.items():
            fired = (values.double() > baseline[layer].to(values.device)).float().flatten(1)
            added = weights.to(fired.device) @ fired
            totals[:, layer] += added.view(len(signs), *values.shape[1:]).cpu()
        done += len(batch.rows)
        progress(done / len(examples), "accuracy")
    totals += (-signs).clamp(min=0).sum(dim=1)[:, None, None, None]
    return totals.round_()


def best_counts(
    correct: Float[Tensor, "row layer token neuron"], n: Float[Tensor, " row"]
) -> Float[Tensor, "row layer neuron"]:
    """Correct predictions at the best token, whichever class the neuron fires for.

    This is predictivity times n, in whole numbers, so that ties are exact.
    """
    import torch

    rows = [torch.maximum(c, total - c).amax(dim=1) for c, total in zip(correct, n, strict=True)]
    return torch.stack(rows)


def shuffled(labels: np.ndarray, permutations: int) -> Float[Tensor, "row example"]:
    """The labels as +1 and -1: the true ones in row 0, shuffled ones in the other rows."""
    import torch

    rng = np.random.default_rng(0)
    rows = [labels, *(rng.permutation(labels) for _ in range(permutations))]
    return torch.from_numpy(np.stack(rows)).float() * 2 - 1


def floor(best: Float[Tensor, "row layer neuron"], n: int) -> Floor | None:
    """The permutation null, from `best_counts` of the true labels (row 0) and of shuffled ones.

    None without shuffled rows. A p-value is (1 + shuffled values at least as high) / (1 + all
    shuffled values); for `q` the values of all neurons are taken together.
    """
    import torch

    measured, null = best[0], best[1:]
    if not len(null):
        return None
    own = (null >= measured).sum(dim=0)
    highest = null.flatten(1).amax(dim=1)
    above = (highest[:, None, None] >= measured).sum(dim=0)
    q = false_discovery_rates(reached(null, measured))
    found = measured[q <= 0.05]
    return Floor(
        mean=null.mean(dtype=torch.float64).item() / n,
        p99=float(np.quantile(null.numpy(), 0.99)) / n,
        fwer=float(np.quantile(highest.numpy(), 0.95)) / n,
        fdr=found.min().item() / n if len(found) else float("nan"),
        permutations=len(null),
        p=((1 + own).double() / (1 + len(null))).numpy(),
        p_family=((1 + above).double() / (1 + len(null))).numpy(),
        q=q.numpy(),
    )


def reached(null: Tensor, measured: Tensor) -> Float[Tensor, "layer neuron"]:
    """Share of all shuffled values, of all neurons, that are at least as high."""
    import torch

    order = null.flatten().sort().values
    below = torch.searchsorted(order, measured.flatten().contiguous(), side="left")
    return ((1 + len(order) - below).double() / (1 + len(order))).view(measured.shape)


def false_discovery_rates(p: Float[Tensor, "layer neuron"]) -> Float[Tensor, "layer neuron"]:
    """p-values adjusted by Benjamini & Hochberg."""
    import torch
    from scipy.stats import false_discovery_control

    return torch.from_numpy(false_discovery_control(p.flatten().numpy())).view(p.shape)


# --- in the store --------------------------------------------------------------------------------
MAIN = Table(
    name="predictivity",
    columns=COLUMNS + ", contrast VARCHAR, n INTEGER, n_train INTEGER,"
    " majority DOUBLE, floor_mean DOUBLE, floor_p99 DOUBLE, floor_family DOUBLE, floor_fdr DOUBLE,"
    " permutations INTEGER",
)
NEURON = Table(
    name="neuron",
    columns="layer USMALLINT, neuron USMALLINT, correct UINTEGER, predictivity DOUBLE,"
    " best_token USMALLINT, accuracy DOUBLE, baseline FLOAT, mean FLOAT, p FLOAT, p_family FLOAT,"
    " q FLOAT, by_token UINTEGER[]",
    order="key, layer, neuron",
)


def rows(p: Predictivity) -> dict[str, pd.DataFrame]:
    """A measurement and its neurons."""
    contrast, floor = p.spec.contrast, p.floor
    row = {
        **columns(p.spec),
        "contrast": None if contrast is None else str((contrast.negative, contrast.positive)),
        "n": p.n,
        "n_train": p.n_train,
        "majority": p.majority,
        "floor_mean": floor.mean if floor else np.nan,
        "floor_p99": floor.p99 if floor else np.nan,
        "floor_family": floor.fwer if floor else np.nan,
        "floor_fdr": floor.fdr if floor else np.nan,
        "permutations": floor.permutations if floor else 0,
    }
    table = neuron_table(p)
    table["mean"] = p.baseline.mean(axis=1).ravel()
    by_token = p.correct.transpose(0, 2, 1).reshape(-1, p.correct.shape[1])
    table["by_token"] = list(by_token.astype(np.uint32))
    return {"predictivity": pd.DataFrame([row]), "neuron": table.drop(columns="n")}


def neuron_table(p: Predictivity) -> pd.DataFrame:
    """One row per neuron: layer, neuron, best_token, baseline, correct (right guesses at the best
    token, whichever class the neuron fires for), accuracy (of firing for class 1), predictivity, n;
    with a floor also p, p_family, q.
    """
    token = best_token(p.correct, p.n)
    layers, width = token.shape
    known = {"p": p.floor.p, "p_family": p.floor.p_family, "q": p.floor.q} if p.floor else {}
    right = at_token(folded(p.correct, p.n), token).ravel()
    return pd.DataFrame(
        {
            **each_neuron(layers, width),
            "best_token": token.ravel(),
            "baseline": at_token(p.baseline, token).ravel(),
            "correct": right,
            "accuracy": at_token(p.correct, token).ravel() / p.n,
            "predictivity": right / p.n,
            "n": p.n,
            **{name: values.ravel() for name, values in known.items()},
        }
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Neurons:
    """What the store keeps of each neuron, `[layer neuron]`: right guesses out of `n` at its best
    token, that token, accuracy and baseline there, and the mean activation over all prompt tokens.
    """

    correct: Int[Counts, "layer neuron"]
    best_token: Int[Counts, "layer neuron"]
    accuracy: Float[Array, "layer neuron"]
    baseline: Float[Array, "layer neuron"]
    mean: Float[Array, "layer neuron"]
    n: int

    @property
    def predictivity(self) -> Float[Array, "layer neuron"]:
        """Range [0.5, 1]."""
        return self.correct / self.n


def read(spec: PredictivitySpec, stored: Stored) -> Neurons:
    """Values per neuron; the arrays by token stay in the store."""
    n = int(stored.rows("predictivity", "n").n.iloc[0])
    table = stored.rows(
        "neuron", "layer, correct, best_token, accuracy, baseline, mean", "layer, neuron"
    )
    layers = int(table.layer.max()) + 1

    def column(name: str, kind: type) -> Any:
        return table[name].to_numpy(kind).reshape(layers, -1)

    return Neurons(
        correct=column("correct", np.int64),
        best_token=column("best_token", np.int64),
        accuracy=column("accuracy", np.float64),
        baseline=column("baseline", np.float64),
        mean=column("mean", np.float64),
        n=n,
    )


PREDICTIVITY = Measure(
    spec=PredictivitySpec, tables=(MAIN, NEURON), needs=needs, compute=measure, rows=rows, read=read
)
