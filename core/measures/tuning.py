"""Prompt tuning: only the vectors before the input are trained; the backbone is frozen."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from jaxtyping import Float, Int

from core.backbones.prompted import BATCH, PromptedModel
from core.base.errors import BadInput
from core.base.measure import Measure
from core.base.progress import Progress
from core.base.prompts import Origin, Prompt, SoftPrompt, Step
from core.base.specs import Pinned, Spec, key, positive
from core.measures import prompts
from core.measures.bench import Bench
from core.tasks import Task

if TYPE_CHECKING:
    from torch import Tensor

    from core.backbones.base import Backbone
    from core.backbones.batches import Encoded
    from core.tasks.data import Examples

FEWEST = 8  # train rows, a quarter of which choose the best step
Init = Literal["vocabulary", "random", "labels"]
BEGINS: dict[Init, str] = {
    "vocabulary": "of random words",
    "random": "Gaussian noise",
    "labels": "of the answer words",
}


@dataclass(frozen=True, kw_only=True)
class TuneSpec(Prompt):
    """Which soft prompt results from tuning with these settings?"""

    origin: ClassVar[Origin] = "tuned"
    task: Pinned
    prompt_length: int = 16
    init: Init = "vocabulary"
    steps: int = 80
    learning_rate: float = 0.03
    batch_size: int = 32
    selection: int = 200
    evaluate_every: int = 20
    start: Prompt | None = None  # another prompt whose vectors are the first ones, instead of init

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, "steps", "batch_size", "selection", "evaluate_every")

    @property
    def source_task(self) -> str:
        return self.task.name

    @property
    def recipe(self) -> tuple[str, ...]:
        return (
            f"tuned for {self.steps} steps",
            f"learning rate {self.learning_rate:g}, batch size {self.batch_size}, first vectors "
            f"{self._begins}",
        )

    @property
    def _begins(self) -> str:
        if self.start is None:
            return BEGINS[self.init]
        return f"of prompt {key(self.start)} ({self.start.source_task}, seed {self.start.seed})"

    @property
    def needs(self) -> tuple[Spec, ...]:
        return () if self.start is None else (self.start,)

    def reseeded(self, seed: int) -> TuneSpec:
        start = None if self.start is None else self.start.reseeded(seed) or self.start
        return replace(self, seed=seed, start=start)


def first_vectors(
    spec: TuneSpec, bench: Bench, backbone: Backbone, task: Task
) -> Float[Tensor, "token hidden"]:
    """Those of the prompt that tuning starts from, without a dead row, or initial ones. Raises:
    BadInput if they are for another backbone, or more or fewer than the prompt shall have.
    """
    if spec.start is None:
        return initial_vectors(spec, backbone, task)
    if spec.start.backbone != spec.backbone:
        raise BadInput(
            f"The prompt to start from is for {spec.start.backbone.name}, not for {backbone.name}."
        )
    known = bench.stored(spec.start).vectors
    vectors: Tensor = known[1:] if bench.has_dead_row(spec.start) else known
    if len(vectors) != spec.prompt_length:
        raise BadInput(
            f"The prompt to start from has {len(vectors)} vectors; {spec.prompt_length} are asked "
            f"for. Choose a prompt length of {len(vectors)}."
        )
    return vectors.float().clone()


def initial_vectors(
    spec: TuneSpec, backbone: Backbone, task: Task
) -> Float[Tensor, "token hidden"]:
    """Start of tuning: random words, Gaussian noise of the same spread, or answer words."""
    import torch

    words = backbone.word_vectors().float()
    if spec.init == "random":
        generator = torch.Generator().manual_seed(spec.seed)
        noise = torch.randn(spec.prompt_length, words.shape[1], generator=generator)
        return noise * words.std().cpu()
    if spec.init == "labels":
        ids = [i for w in task.words(backbone.family) for i in backbone.token_ids(w)]
        rows = torch.tensor([ids[i % len(ids)] for i in range(spec.prompt_length)])
    else:
        rows = initial_words(spec, len(words))
    return words[rows.to(words.device)].cpu().clone()


def initial_words(spec: Prompt, vocabulary: int) -> Int[Tensor, " token"]:
    """The words from which tuning starts, drawn from the whole vocabulary."""
    import torch

    generator = torch.Generator().manual_seed(spec.seed)
    return torch.randint(vocabulary, (spec.prompt_length,), generator=generator)


def _clock(vectors: Tensor) -> Callable[[], float]:
    """Seconds: of this thread alone where it does all the work, else of the clock on the wall."""
    import torch

    if vectors.device.type == "cuda":

        def finished() -> float:
            torch.cuda.synchronize()
            return time.perf_counter()

        return finished
    return time.thread_time if torch.get_num_threads() == 1 else time.perf_counter


def split_selection(examples: Examples, spec: TuneSpec) -> tuple[Examples, Examples]:
    """Disjoint rows for training and for choosing the best step, drawn with a fixed seed: as many
    of the latter as `selection` says, or a quarter of all where so many would leave nothing.
    """
    import torch

    if len(examples) < FEWEST:
        raise BadInput(
            f"Tuning needs at least {FEWEST} train examples; the train split has {len(examples)}."
        )
    enough = len(examples) >= spec.selection + 2
    held = spec.selection if enough else len(examples) // 4
    order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(0)).numpy()
    return examples.take(order[held:]), examples.take(order[:held])


def tune(spec: TuneSpec, bench: Bench, progress: Progress) -> SoftPrompt:
    """Tune with AdamW and cross entropy over the answer words; keep the best step.

    Constant learning rate, no weight decay (Su et al. 2022). Of equally good steps, the
    later one is kept.
    """
    task = bench.task(spec.task, spec)
    model = bench.untuned(spec, task)
    vectors = first_vectors(spec, bench, model.backbone, task).to(model.backbone.device)
    vectors.requires_grad_(True)

    def follow(step: Step) -> None:
        bench.report(spec, step)
        progress(step.step / spec.steps, f"step {step.step} of {spec.steps}")

    found = fit(spec, model, [vectors], vectors, bench.examples(task, "train"), follow)
    return SoftPrompt(
        spec=spec,
        vectors=vectors.detach().cpu(),
        words=task.words(model.backbone.family),
        best_step=found.best_step,
        selection_accuracy=found.accuracy,
        selection_rows=found.selection_rows,
        history=found.history,
    )


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """How training went; `accuracy` is that of the best step on the selection rows, `seconds` are
    those of the updates alone: processor time, which other programs do not prolong, or, with
    several threads or on a GPU, the time that passed.
    """

    best_step: int
    accuracy: float
    selection_rows: int
    history: tuple[Step, ...]
    seconds: float


def fit(
    spec: TuneSpec,
    model: PromptedModel,
    learned: Sequence[Tensor],
    vectors: Float[Tensor, "token hidden"],
    examples: Examples,
    follow: Callable[[Step], None],
) -> Fitted:
    """Train what is `learned` on a task's train rows and leave it as it was at the best step;
    `vectors` stand before the input, learned or not. Raises: BadInput for a loss that is no number.
    """
    import torch

    learn, select = split_selection(examples, spec)
    rows, held = model.encode(learn), model.encode(select)
    optimiser = torch.optim.AdamW(learned, lr=spec.learning_rate, weight_decay=0.0)
    best_accuracy, best_step, best = -1.0, 0, [p.detach().clone() for p in learned]
    history, seconds = list[Step](), 0.0
    clock = _clock(vectors)
    for step, chosen in enumerate(_batches(len(learn), spec), start=1):
        since = clock()
        loss = model.loss(rows.batch(chosen, model.backbone), vectors)
        if not loss.isfinite():
            raise BadInput(
                f"Tuning diverged at step {step}: the loss is no longer a number; choose a "
                f"learning rate below {spec.learning_rate:g}."
            )
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        seconds += clock() - since
        accuracy = None
        if step % spec.evaluate_every == 0 or step == spec.steps:
            accuracy = selection_accuracy(model, vectors.detach(), held)
            if accuracy >= best_accuracy:
                best_accuracy, best_step = accuracy, step
                best = [p.detach().clone() for p in learned]
        history.append(Step(step=step, loss=loss.item(), accuracy=accuracy))
        follow(history[-1])
    with torch.no_grad():
        for now, kept in zip(learned, best, strict=True):
            now.copy_(kept)
    return Fitted(
        best_step=best_step, accuracy=best_accuracy, selection_rows=len(select),
        history=tuple(history), seconds=seconds,
    )  # fmt: skip


def _batches(n: int, spec: TuneSpec) -> Iterator[list[int]]:
    """Row numbers of each step: shuffled epochs, incomplete last batches dropped."""
    rng, queue = random.Random(spec.seed), list[int]()
    size = min(spec.batch_size, n)
    for _ in range(spec.steps):
        if len(queue) < size:
            queue = rng.sample(range(n), n)
        yield queue[:size]
        queue = queue[size:]


def selection_accuracy(model: PromptedModel, vectors: Tensor, held: Encoded) -> float:
    """Accuracy on the selection rows, or the mean score of the written texts."""
    import torch

    batches = held.by_length(model.backbone, BATCH)
    with torch.inference_mode():
        right = sum(model.judge(batch, vectors).sum() for batch in batches)
    return float(right / len(held.ids))


TUNED = Measure(
    spec=TuneSpec,
    tables=(prompts.PROMPT, prompts.STEP),
    needs=prompts.needs,
    compute=tune,
    rows=prompts.rows,
    artifacts=("prompts",),
    files=prompts.files,
    read=prompts.read,
)
