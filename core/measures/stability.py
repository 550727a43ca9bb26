"""How similar are clean and adversarial rankings, and how certain is the estimate?

Everything is counted in the same pass as predictivity or attribution: resampled examples and
shuffled labels are rows of weights. The gain of a predictive neuron is a whole number of correct
predictions beyond the majority class's; that of a causal one what it adds to the margins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from jaxtyping import Float, Int, Num

from core.base.errors import BadInput, BadTask
from core.base.measure import Measure, Stored, Table
from core.base.progress import Progress, no_progress, part
from core.base.specs import Spec, positive
from core.measures.attacked import asked_examples, attacks_needed
from core.measures.attribution import AttributionSpec, attributed, each_batch
from core.measures.bench import Bench
from core.measures.draws import (
    bootstrap_weights,
    control_signs,
    control_weights,
    random_keys,
    shuffled_by_attack,
    signed,
)
from core.measures.predictivity import (
    PredictivitySpec,
    Reader,
    asked_rows,
    baseline_on,
    check_contrast,
    contrasted,
    guesses,
)
from core.stats.correlation import spearman
from core.stats.neurons import chosen, count, percentiles

if TYPE_CHECKING:
    from torch import Tensor

    from core.tasks.data import Examples

Values = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
Counts = npt.NDArray[np.int64]
Ranked = PredictivitySpec | AttributionSpec


@dataclass(frozen=True, kw_only=True)
class StabilitySpec(Spec):
    """How similar are predictivities, or attributions, on clean and adversarial data, and how
    certain is this?

    `clean[i]` and `adversarial[i]` are the same prompt's; the means over prompts are compared.
    `fractions` are those at which shared skill neurons are counted. `permutations` shuffle the
    adversarial labels, `replicates` redraw examples and prompts, `splits` divide the clean split.
    """

    clean: tuple[Ranked, ...]
    adversarial: tuple[Ranked, ...]
    fractions: tuple[float, ...]
    replicates: int = 100
    splits: int = 20
    permutations: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, "replicates", "splits", "permutations", least=0)
        if len({getattr(s, "stack", "encoder") for s in (*self.clean, *self.adversarial)}) > 1:
            raise BadInput("Neurons of the encoder and of the decoder cannot be compared.")


@dataclass(frozen=True, kw_only=True, eq=False)
class Stability:
    """Clean and adversarial predictivities compared, as they are and over redrawn data.

    Each draw is one comparison of two rankings: `spearman[draw layer]`; at each fraction, how many
    skill neurons the first has in each layer, `skill[draw fraction layer]`, how many of these are
    also the second's, `shared[draw fraction layer]`, and the median of their rank percentiles by
    the second, `median[draw fraction]`. `kind` says which comparison: `measured`, clean against
    adversarial data as they are; `shuffled`, with shuffled adversarial labels; `bootstrap`,
    examples and prompts redrawn; `control`, two disjoint parts of the clean split, the second as
    large as the adversarial split; `control shuffled`, with shuffled labels of the second. Where
    the adversarial examples are the clean ones under an attack, the two share their examples, and
    `measured` is too favourable: `crossed` and `crossed shuffled` are the split control with the
    second part under attack. `attack` is the kind of the adversarial examples, empty for all.
    """

    spec: StabilitySpec
    kind: tuple[str, ...]
    attack: tuple[str, ...]
    spearman: Values
    skill: Counts
    shared: Counts
    median: Values
    neurons: int
    n_clean: int
    n_adversarial: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Gains:
    """Sums over `n` examples, by draw: each neuron's correct predictions beyond the majority
    class's, in whole numbers, or what it adds to the margins, in logits.
    """

    values: Num[Tensor, "row layer neuron"]
    n: Int[Tensor, " row"]

    @property
    def nbytes(self) -> int:
        """Memory."""
        return int(self.values.nbytes + self.n.nbytes)

    def rows(self, start: int, end: int) -> Gains:
        """Some of the drawings."""
        return Gains(values=self.values[start:end], n=self.n[start:end])


def mean_gain(gains: Sequence[Gains], row: int) -> Float[Values, "layer neuron"]:
    """Mean of one drawing over prompts, as a share of the examples; exact where n is the same."""
    import torch

    by_n: dict[int, list[Tensor]] = {}
    for one in gains:
        by_n.setdefault(int(one.n[row]), []).append(one.values[row])
    sums = [torch.stack(values).sum(dim=0).double().numpy() / n for n, values in by_n.items()]
    mean: Values = sum(sums[1:], sums[0]) / len(gains)
    return mean


@dataclass(frozen=True, kw_only=True, eq=False)
class Redrawn:
    """Gains of one prompt's neurons on drawn examples.

    In `clean` and `adversarial` row 0 the data as they are, then one row per bootstrap replicate.
    `control` has three rows a split of the clean data: a part as large as the adversarial split,
    the rest, and the former with shuffled labels; `crossed` is the same of the examples under
    attack, None where the adversarial examples are others. `by_attack[kind]` are the adversarial
    examples of one kind (empty: all), row 0 with their labels, then with shuffled ones.
    """

    prompt: object
    clean: Gains
    adversarial: Gains
    control: Gains
    crossed: Gains | None
    by_attack: dict[str, Gains]
    n_clean: int
    n_adversarial: int


def needs(spec: StabilitySpec) -> tuple[Spec, ...]:
    """The prompts, and the search for the worst texts."""
    searches = (search for s in spec.adversarial for search in attacks_needed(s))
    return tuple(dict.fromkeys((*(s.prompt for s in spec.clean), *searches)))


def compare(spec: StabilitySpec, bench: Bench, progress: Progress) -> Stability:
    """Measure every prompt on the data and on redrawn ones, then compare the means."""
    drawn = []
    for i in range(len(spec.clean)):
        share = part(progress, i / len(spec.clean), (i + 1) / len(spec.clean))
        drawn.append(redraw(spec, i, bench, share))
    return agree(spec, drawn)


def redraw(
    spec: StabilitySpec, place: int, bench: Bench, progress: Progress = no_progress
) -> Redrawn:
    """Measure the `place`-th prompt on both tasks' data and on redrawn ones."""
    import torch

    sides = _sides(spec, place, bench, part(progress, 0, 0.7))
    clean, adversarial = sides
    # What is drawn is drawn of whole splits: the binary questions of a task share their examples.
    first = 1 + spec.replicates
    weights = bootstrap_weights(clean.labels, spec.replicates, seed=1)[:, clean.rows]
    small = control_weights(clean.labels, adversarial.labels, spec.splits)[:, clean.rows]
    keys = random_keys(spec.splits, len(clean.labels), seed=5)[:, clean.rows]
    control = control_signs(clean.kept.labels, small, keys)
    signs = torch.cat([signed(weights, clean.kept.labels), control.flatten(0, 1)])
    drawn = (spec.clean[place], spec.replicates, spec.splits, tuple(adversarial.labels.tolist()))
    measured = bench.once(
        ("redrawn", *drawn), lambda: clean.gains(signs, part(progress, 0.7, 0.85))
    )
    weights = bootstrap_weights(adversarial.labels, spec.replicates, seed=2)[:, adversarial.rows]
    keys = random_keys(spec.permutations, len(adversarial.labels), seed=6)[:, adversarial.rows]
    by_attack = shuffled_by_attack(adversarial.kept, keys)
    parts = [signed(weights, adversarial.kept.labels), *by_attack.values()]
    paired = same_examples(spec.clean[place], spec.adversarial[place])
    signs = torch.cat([*parts, *([control.flatten(0, 1)] if paired else [])])
    attacked = adversarial.gains(signs, part(progress, 0.85, 1))
    size = 1 + spec.permutations
    return Redrawn(
        prompt=spec.clean[place].prompt,
        clean=measured.rows(0, first),
        adversarial=attacked.rows(0, first),
        control=measured.rows(first, len(measured.n)),
        crossed=attacked.rows(len(attacked.n) - 3 * spec.splits, len(attacked.n))
        if paired
        else None,
        by_attack={
            kind: attacked.rows(first + i * size, first + (i + 1) * size)
            for i, kind in enumerate(by_attack)
        },
        n_clean=len(clean.kept),
        n_adversarial=len(adversarial.kept),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Side:
    """One prompt on clean or on adversarial data: the labels of the split, the examples that count
    (at these `rows` of it), and what signs for them give.
    """

    labels: Labels
    rows: Labels
    kept: Examples
    gains: Callable[[Float[Tensor, "row example"], Progress], Gains]


def _sides(spec: StabilitySpec, place: int, bench: Bench, progress: Progress) -> tuple[Side, Side]:
    """The clean and the adversarial side of the `place`-th prompt."""
    clean, adversarial = spec.clean[place], spec.adversarial[place]
    if isinstance(clean, PredictivitySpec) and isinstance(adversarial, PredictivitySpec):
        return _predictive(clean, adversarial, bench, progress)
    if isinstance(clean, AttributionSpec) and isinstance(adversarial, AttributionSpec):
        half = part(progress, 0, 0.5), part(progress, 0.5, 1)
        return _causal(clean, bench, half[0]), _causal(adversarial, bench, half[1])
    raise BadInput(
        "Skill neurons can be compared only with skill neurons, and causal neurons only with "
        "causal neurons."
    )


def _predictive(
    clean: PredictivitySpec, adversarial: PredictivitySpec, bench: Bench, progress: Progress
) -> tuple[Side, Side]:
    """Signs give the correct predictions of each neuron; the baseline is the clean task's."""
    task = bench.task(clean.task, clean.prompt)
    learnt = bench.examples(task, "train", clean.train_limit)
    check_contrast(task, learnt, "train", clean.contrast)
    reader = Reader(bench.model(clean.prompt, task, clean.precision))
    train = contrasted(learnt, clean.contrast)
    baseline = baseline_on(train, clean, reader, bench, progress)

    def side(asked: PredictivitySpec) -> Side:
        where, whole = bench.task(asked.task, asked.prompt), asked_examples(asked, bench)
        check_contrast(where, whole, asked.split, asked.contrast)
        kept = asked_rows(whole, asked.contrast)
        there = Reader(bench.model(asked.prompt, where, asked.precision))
        return Side(
            labels=whole.labels, rows=_places(whole, kept), kept=kept,
            gains=lambda signs, progress: _measure(there, baseline, kept, signs, progress),
        )  # fmt: skip

    return side(clean), side(adversarial)


def _causal(asked: AttributionSpec, bench: Bench, progress: Progress) -> Side:
    """Signs give what each neuron adds to the margin of the class that they name: of two classes,
    the margin of the wrong one is that of the right one with the sign changed.
    """
    import torch

    model, examples = attributed(asked, bench)
    if len(model.task.labels) != 2:
        raise BadTask(
            f"{model.task.title} has {len(model.task.labels)} classes; causal neurons can be "
            "compared only for tasks with two."
        )

    def compute() -> Tensor:
        found = [torch.empty(0)] * len(examples)
        for rows, added in each_batch(asked, model, examples, progress):
            for row, values in zip(rows, added.cpu(), strict=True):
                found[row] = values
        return torch.stack(found)

    # Clean rows are compared with every dose of an attack, attacked ones once.
    added = compute() if asked.attack else bench.once(("added", asked), compute)
    right = torch.from_numpy(2 * examples.labels - 1)

    def gains(signs: Float[Tensor, "row example"], _: Progress) -> Gains:
        changed = (signs * right).to(added.dtype)
        values = torch.einsum("re,eln->rln", changed, added)
        return Gains(values=values, n=signs.abs().sum(dim=1).long())

    every = np.arange(len(examples))
    return Side(labels=examples.labels, rows=every, kept=examples, gains=gains)


def same_examples(clean: Ranked, adversarial: Ranked) -> bool:
    """Whether the adversarial examples are the clean ones under an attack."""
    return adversarial.attack is not None and replace(adversarial, attack=None) == clean


def _places(whole: Examples, kept: Examples) -> Labels:
    """Positions of the kept examples in their split."""
    place = {int(index): i for i, index in enumerate(whole.index)}
    return np.array([place[int(index)] for index in kept.index])


def _measure(
    reader: Reader,
    baseline: Tensor,
    examples: Examples,
    signs: Float[Tensor, "row example"],
    progress: Progress,
) -> Gains:
    """Gain of each row of signs: above 0 a neuron is informative."""
    import torch

    n, ones = signs.abs().sum(dim=1).long(), signs.clamp(min=0).sum(dim=1).long()
    _, counts = guesses(reader, baseline, examples, signs, progress)
    majority = torch.maximum(ones, n - ones)
    return Gains(values=counts.long() - majority[:, None, None], n=n)


def agree(spec: StabilitySpec, prompts: Sequence[Redrawn]) -> Stability:
    """Compare the means over prompts: as measured, over replicates, in the split control, and with
    shuffled adversarial labels.

    A replicate redraws examples and prompts; of a task with more classes, the binary questions of a
    prompt are redrawn together.
    """
    known = list(dict.fromkeys(p.prompt for p in prompts))
    rng = np.random.default_rng(4)
    clean = mean_gain([p.clean for p in prompts], 0)
    pairs: list[tuple[str, str, Values, Values]] = []
    for row in range(1, 1 + spec.replicates):
        lot = [known[i] for i in rng.choice(len(known), len(known))]
        drawn = [p for one in lot for p in prompts if p.prompt == one]
        first = mean_gain([p.clean for p in drawn], row)
        pairs.append(("bootstrap", "", first, mean_gain([p.adversarial for p in drawn], row)))
    for i in range(spec.splits):
        small, rest, mixed = (mean_gain([p.control for p in prompts], 3 * i + k) for k in range(3))
        pairs += [("control", "", rest, small), ("control shuffled", "", rest, mixed)]
        crossed = [p.crossed for p in prompts if p.crossed is not None]
        if len(crossed) == len(prompts):
            small, mixed = (mean_gain(crossed, 3 * i + k) for k in (0, 2))
            pairs += [("crossed", "", rest, small), ("crossed shuffled", "", rest, mixed)]
    for attack in [k for k in prompts[0].by_attack if all(k in p.by_attack for p in prompts)]:
        for row in range(1 + spec.permutations):
            second = mean_gain([p.by_attack[attack] for p in prompts], row)
            pairs.append(("shuffled" if row else "measured", attack, clean, second))
    skill, shared, median = zip(*(_common(a, b, spec.fractions) for *_, a, b in pairs), strict=True)
    return Stability(
        spec=spec,
        kind=tuple(kind for kind, *_ in pairs),
        attack=tuple(attack for _, attack, *_ in pairs),
        spearman=np.stack([spearman(a, b) for *_, a, b in pairs]),
        skill=np.stack(skill),
        shared=np.stack(shared),
        median=np.stack(median),
        neurons=clean.shape[1],
        n_clean=prompts[0].n_clean,
        n_adversarial=prompts[0].n_adversarial,
    )


def _common(a: Values, b: Values, fractions: Sequence[float]) -> tuple[Counts, Counts, Values]:
    """Of the first's skill neurons at each fraction: how many there are in each layer, how many are
    also the second's, and the median of their rank percentiles by the second.
    """
    skill, shared, medians = [], [], []
    places = percentiles(b)
    for fraction in fractions:
        first, second = (chosen(v, count(v.shape[1], fraction), above=0.0) for v in (a, b))
        skill.append(first.sum(axis=1))
        shared.append((first & second).sum(axis=1))
        medians.append(np.median(places[first]) if first.any() else np.nan)
    return np.stack(skill), np.stack(shared), np.array(medians)


# --- in the store --------------------------------------------------------------------------------
MAIN = Table(
    name="stability",
    columns="backbone VARCHAR, source_task VARCHAR, target_task VARCHAR, prompts INTEGER,"
    " layers INTEGER, neurons INTEGER, n_clean INTEGER, n_adversarial INTEGER, kind VARCHAR[],"
    " attack VARCHAR[], spearman DOUBLE[][], fractions DOUBLE[], skill INTEGER[][][],"
    " shared INTEGER[][][], median DOUBLE[][]",
)


def rows(s: Stability) -> dict[str, pd.DataFrame]:
    """One row with all draws."""
    first = s.spec.adversarial[0]
    row = {
        "backbone": first.prompt.backbone.name,
        "source_task": first.prompt.source_task,
        "target_task": first.task.name,
        "prompts": len({p.prompt for p in s.spec.clean}),
        "layers": s.spearman.shape[1],
        "neurons": s.neurons,
        "n_clean": s.n_clean,
        "n_adversarial": s.n_adversarial,
        "kind": list(s.kind),
        "attack": list(s.attack),
        "spearman": s.spearman.tolist(),
        "fractions": list(s.spec.fractions),
        "skill": s.skill.tolist(),
        "shared": s.shared.tolist(),
        "median": s.median.tolist(),
    }
    return {"stability": pd.DataFrame([row])}


def read(spec: StabilitySpec, stored: Stored) -> Stability:
    """The stored comparison."""
    row = stored.rows("stability").iloc[0]
    return Stability(
        spec=spec,
        kind=tuple(row.kind),
        attack=tuple(row.attack),
        spearman=as_array(row.spearman),
        skill=as_array(row.skill),
        shared=as_array(row.shared),
        median=as_array(row["median"]),
        neurons=int(row.neurons),
        n_clean=int(row.n_clean),
        n_adversarial=int(row.n_adversarial),
    )


def as_array(nested: Any) -> npt.NDArray[Any]:
    """Lists of lists as one array; missing values are NaN."""
    if isinstance(nested, np.ma.MaskedArray):
        return np.ma.filled(nested.astype(float), np.nan)
    if isinstance(nested, np.ndarray) and nested.dtype != object:
        return nested
    return np.stack([as_array(part) if np.ndim(part) or isinstance(part, list) else part
                     for part in nested])  # fmt: skip


STABILITY = Measure(
    spec=StabilitySpec, tables=(MAIN,), needs=needs, compute=compare, rows=rows, read=read
)
