"""Projectors: a small network turns prompts of one backbone into prompts of another.

Source: Su et al. 2022, whose published code is not followed where it is wrong (docs/method.md).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import pandas as pd
from jaxtyping import Float

from core.base.errors import BadInput
from core.base.measure import Artifact, Measure, Stored, Table
from core.base.progress import Progress
from core.base.prompts import Prompt, Step
from core.base.specs import Spec, dumps, positive
from core.measures.bench import Bench
from core.measures.fitting import selection_accuracy, split_selection
from core.measures.prompts import STEP
from core.measures.prompts import steps as read_steps
from core.measures.tuning import TuneSpec

if TYPE_CHECKING:
    from torch import Tensor

    from core.backbones.batches import Encoded
    from core.backbones.prompted import PromptedModel

By = Literal["distance", "task"]
Shape = Literal["whole", "each"]
SLOPE = 0.01  # of the leaky ReLU below zero


@dataclass(frozen=True, kw_only=True)
class ProjectorSpec(Spec):
    """Which projector results from training with these settings?

    Prompt `sources[i]` is projected to where `targets[i]` stands: the tuning of the same task on
    the other backbone. By `distance`, its result is what the projection should equal; by `task`,
    only its task counts, and the projected prompt should solve it. `shape`: the vectors of a prompt
    are projected as a whole (as in the paper), or each by itself.
    """

    by: By
    sources: tuple[Prompt, ...]
    targets: tuple[TuneSpec, ...]
    shape: Shape = "whole"
    width: int = 768
    steps: int = 400
    learning_rate: float = 0.005
    evaluate_every: int = 50
    seed: int = 0

    measured: ClassVar[dict[By, str]] = {
        "distance": "squared distance / squared norm of the target", "task": "cross entropy",
    }  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, "width", "steps", "evaluate_every")
        if not self.sources or len(self.sources) != len(self.targets):
            raise BadInput("A projector needs prompts to learn from, each with its target task.")
        for what, prompts in (("from", self.sources), ("to", self.targets)):
            if len({p.backbone for p in prompts}) > 1:
                raise BadInput(f"The prompts to project {what} are for different backbones.")
        if len({p.prompt_length for p in self.targets}) > 1:
            raise BadInput("The prompts to project to differ in length.")
        lengths = {p.prompt_length - (p.layout == "published") for p in self.sources}
        if self.shape == "each" and lengths != {self.target.prompt_length}:
            raise BadInput(
                "Vectors are projected each by itself only between prompts of equal length; "
                "project them as a whole."
            )

    @property
    def target(self) -> TuneSpec:
        """A prompt like those that come out: backbone, length, precision."""
        return self.targets[0]

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks it learns from, each once."""
        return tuple(dict.fromkeys(t.source_task for t in self.targets))


@dataclass(frozen=True, kw_only=True, eq=False)
class Projector:
    """A trained projector: its weights, and how its training went. `accuracy` of a step is the mean
    over the training tasks' selection rows, for training by task only.
    """

    spec: ProjectorSpec
    weights: Mapping[str, Tensor]
    best_step: int
    selection_accuracy: float | None
    history: tuple[Step, ...] = ()


def project(
    weights: Mapping[str, Tensor], vectors: Float[Tensor, "*prompt token hidden"], length: int
) -> Float[Tensor, "*prompt length other"]:
    """Linear, leaky ReLU, linear, and a layer normalization of each vector with its own gain and
    bias, from vectors divided by the spread of those that were learned from. Raises: BadInput if
    they are not as many, or not as wide, as what it was trained on.
    """
    import torch.nn.functional as F

    given, width = weights["first.weight"].shape[1], len(weights["norm.weight"])
    each = weights["last.weight"].shape[0] == width and length != 1
    token, hidden = vectors.shape[-2:]
    if given != (hidden if each else token * hidden) or (each and token != length):
        raise BadInput(
            f"A prompt of {token} vectors of width {hidden} does not fit this projector; choose "
            "one like those that it was trained on."
        )
    into = (vectors if each else vectors.flatten(-2)) / weights["spread"]
    inner = F.leaky_relu(
        F.linear(into, weights["first.weight"], weights["first.bias"]), negative_slope=SLOPE
    )
    out = F.linear(inner, weights["last.weight"], weights["last.bias"])
    rows = out.reshape(*vectors.shape[:-2], length, width)
    found: Tensor = F.layer_norm(rows, (width,), weights["norm.weight"], weights["norm.bias"])
    return found


def fresh(
    spec: ProjectorSpec, prompts: list[Float[Tensor, "token hidden"]], words: Tensor
) -> dict[str, Tensor]:
    """Weights before training: uniform as in `torch.nn.Linear`; the gain of the normalization is
    the spread of the target's word vectors.
    """
    import torch

    generator = torch.Generator().manual_seed(spec.seed)
    (token, hidden), width = prompts[0].shape, words.shape[1]
    each = spec.shape == "each"
    into = hidden if each else token * hidden
    out = width if each else spec.target.prompt_length * width

    def uniform(fan_in: int, *shape: int) -> Tensor:
        drawn: Tensor = (
            2 * torch.rand(*shape, generator=generator, dtype=torch.float32) - 1
        ) / fan_in**0.5
        return drawn

    return {
        "spread": torch.stack(prompts).std(),
        "first.weight": uniform(into, spec.width, into),
        "first.bias": uniform(into, spec.width),
        "last.weight": uniform(spec.width, out, spec.width),
        "last.bias": uniform(spec.width, out),
        "norm.weight": torch.full((width,), float(words.float().std()), dtype=torch.float32),
        "norm.bias": torch.zeros(width, dtype=torch.float32),
    }


def live(prompt: Prompt, bench: Bench) -> Float[Tensor, "token hidden"]:
    """The vectors of a stored prompt, without a dead row."""
    vectors: Tensor = bench.stored(prompt).vectors.float()
    return vectors[1:] if bench.has_dead_row(prompt) else vectors


@dataclass(kw_only=True)
class Training:
    """What both ways of training have in common: weights, optimiser, history, the best step."""

    spec: ProjectorSpec
    weights: dict[str, Tensor]

    def __post_init__(self) -> None:
        import torch

        self.learned = [w for name, w in self.weights.items() if name != "spread"]
        for weight in self.learned:
            weight.requires_grad_(True)
        self.optimiser = torch.optim.AdamW(
            self.learned, lr=self.spec.learning_rate, weight_decay=0.0
        )
        self.history = list[Step]()
        self.best: tuple[float, int, dict[str, Tensor]] = (-1.0, 0, self.copied())

    def copied(self) -> dict[str, Tensor]:
        """The weights as they are now."""
        return {name: w.detach().cpu().clone() for name, w in self.weights.items()}

    def step(self, loss: Tensor) -> int:
        """One update; the number of the step. Raises: BadInput if the loss is no number."""
        number = len(self.history) + 1
        if not loss.isfinite():
            raise BadInput(
                f"Training diverged at step {number}: the loss is no longer a number; choose a "
                f"learning rate below {self.spec.learning_rate:g}."
            )
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return number

    def keep(self, step: Step) -> None:
        """Note a step; of equally good ones the later is the best, without accuracies the last."""
        self.history.append(step)
        last = step.step == self.spec.steps and self.best[1] == 0
        if last or (step.accuracy is not None and step.accuracy >= self.best[0]):
            known = -1.0 if step.accuracy is None else step.accuracy
            self.best = (known, step.step, self.copied())

    def result(self) -> Projector:
        """The best step's projector."""
        accuracy, step, weights = self.best
        return Projector(
            spec=self.spec, weights=weights, best_step=step,
            selection_accuracy=accuracy if accuracy >= 0 else None, history=tuple(self.history),
        )  # fmt: skip


def train(spec: ProjectorSpec, bench: Bench, progress: Progress) -> Projector:
    """Train with AdamW at a constant rate, without weight decay; both backbones stay frozen."""
    prompts = [live(prompt, bench) for prompt in spec.sources]
    if len({p.shape for p in prompts}) > 1:
        raise BadInput("The prompts to project from differ in length.")
    backbone = bench.backbone(spec.target)
    weights = fresh(spec, prompts, backbone.word_vectors())
    training = Training(spec=spec, weights={n: w.to(backbone.device) for n, w in weights.items()})
    here = [p.to(backbone.device) for p in prompts]
    way = by_distance if spec.by == "distance" else by_task
    for step in way(spec, bench, training, here):
        training.keep(step)
        bench.report(spec, step)
        progress(step.step / spec.steps, f"step {step.step} of {spec.steps}")
    return training.result()


def by_distance(
    spec: ProjectorSpec, bench: Bench, training: Training, prompts: list[Tensor]
) -> Iterator[Step]:
    """All pairs at each step: mean squared distance from the target's own prompts, in units of
    their mean squared norm.
    """
    import torch

    goals = torch.stack([live(t, bench).to(prompts[0].device) for t in spec.targets])
    norm = goals.square().mean()
    for _ in range(spec.steps):
        found = project(training.weights, torch.stack(prompts), spec.target.prompt_length)
        loss = (found - goals).square().mean() / norm
        yield Step(step=training.step(loss), loss=loss.item())


def by_task(
    spec: ProjectorSpec, bench: Bench, training: Training, prompts: list[Tensor]
) -> Iterator[Step]:
    """One prompt and one batch of its task at each step: cross entropy of the projected prompt on
    the target backbone.
    """
    first = {t.source_task: t for t in reversed(spec.targets)}
    places = {name: Place.of(t, bench) for name, t in first.items()}
    rng = random.Random(spec.seed)
    length = spec.target.prompt_length
    turns = _turns(len(prompts), spec.steps, rng)
    for i in turns:
        place = places[spec.targets[i].source_task]
        batch = place.rows.batch(place.draw(rng), place.model.backbone)
        loss = place.model.loss(batch, project(training.weights, prompts[i], length))
        step = training.step(loss)
        accuracy = None
        if step % spec.evaluate_every == 0 or step == spec.steps:
            accuracy = _accuracy(spec, places, training, prompts)
        yield Step(step=step, loss=loss.item(), accuracy=accuracy)


@dataclass(frozen=True, kw_only=True, eq=False)
class Place:
    """A training task on the target backbone: rows to learn from, and rows held out for choosing
    the best step.
    """

    model: PromptedModel
    rows: Encoded
    held: Encoded
    size: int

    @classmethod
    def of(cls, spec: TuneSpec, bench: Bench) -> Place:
        """The same rows as the tuning itself would have. Raises: BadInput for too few."""
        task = bench.task(spec.task, spec)
        model = bench.untuned(spec, task)
        learn, select = split_selection(bench.examples(task, "train"), spec)
        size = min(spec.batch_size, len(learn))
        return cls(model=model, rows=model.encode(learn), held=model.encode(select), size=size)

    def draw(self, rng: random.Random) -> list[int]:
        """Row numbers of a batch."""
        return rng.sample(range(len(self.rows.ids)), self.size)


def _turns(n: int, steps: int, rng: random.Random) -> Iterator[int]:
    """Which prompt each step learns from: shuffled rounds over all of them."""
    queue = list[int]()
    for _ in range(steps):
        queue = queue or rng.sample(range(n), n)
        yield queue.pop()


def _accuracy(
    spec: ProjectorSpec, places: Mapping[str, Place], training: Training, prompts: list[Tensor]
) -> float:
    """Mean over tasks of the accuracy on selection rows, each with its first prompt."""
    import torch

    found = dict[str, float]()
    for prompt, target in zip(prompts, spec.targets, strict=True):
        name = target.source_task
        if name not in found:
            with torch.inference_mode():
                vectors = project(training.weights, prompt, target.prompt_length)
            found[name] = selection_accuracy(places[name].model, vectors, places[name].held)
    return sum(found.values()) / len(found)


# --- in the store --------------------------------------------------------------------------------
PROJECTOR = Table(
    name="projector",
    columns="trained_by VARCHAR, from_backbone VARCHAR, to_backbone VARCHAR, tasks VARCHAR[],"
    " prompts INTEGER, seed INTEGER, best_step INTEGER, selection_accuracy DOUBLE",
)


def needs(spec: ProjectorSpec) -> tuple[Spec, ...]:
    """The prompts to project; by distance, those to project to as well."""
    return (*spec.sources, *(spec.targets if spec.by == "distance" else ()))


def rows(found: Projector) -> dict[str, pd.DataFrame]:
    """A projector and the steps of its training."""
    spec = found.spec
    row = {
        "trained_by": spec.by, "from_backbone": spec.sources[0].backbone.name,
        "to_backbone": spec.target.backbone.name, "tasks": list(spec.tasks),
        "prompts": len(spec.sources), "seed": spec.seed, "best_step": found.best_step,
        "selection_accuracy": found.selection_accuracy,
    }  # fmt: skip
    steps = pd.DataFrame([vars(step) for step in found.history])
    return {"projector": pd.DataFrame([row]), "step": steps}


def files(found: Projector) -> Mapping[str, Artifact]:
    """The weights."""
    return {"projectors": Artifact(tensors=found.weights, header={"spec": dumps(found.spec)})}


def read(spec: ProjectorSpec, stored: Stored) -> Projector:
    """A stored projector with its history."""
    row = stored.rows("projector").iloc[0]
    known = row.selection_accuracy
    return Projector(
        spec=spec,
        weights=stored.file("projectors").tensors,
        best_step=int(row.best_step),
        selection_accuracy=None if pd.isna(known) else float(known),
        history=read_steps(stored),
    )


PROJECTORS = Measure(
    spec=ProjectorSpec,
    tables=(PROJECTOR, STEP),
    needs=needs,
    compute=train,
    rows=rows,
    artifacts=("projectors",),
    files=files,
    read=read,
)
