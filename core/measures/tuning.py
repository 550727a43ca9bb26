"""Prompt tuning: only the vectors before the input are trained; the backbone is frozen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from jaxtyping import Float, Int

from core.base.errors import BadInput
from core.base.measure import Measure
from core.base.progress import Progress
from core.base.prompts import Origin, Prompt, SoftPrompt, Step
from core.base.specs import Pinned, Spec, key, positive
from core.measures import prompts
from core.measures.bench import Bench
from core.measures.fitting import fit
from core.tasks import Task

if TYPE_CHECKING:
    from torch import Tensor

    from core.backbones.base import Backbone

Init = Literal["vocabulary", "random", "labels"]
BEGINS: dict[Init, str] = {
    "vocabulary": "random tokens",
    "random": "Gaussian noise",
    "labels": "the answer words",
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
            f"learning rate {self.learning_rate:g}, batch size {self.batch_size}, initialised from "
            f"{self._begins}",
        )

    @property
    def _begins(self) -> str:
        if self.start is None:
            return BEGINS[self.init]
        return f"prompt {key(self.start)} ({self.start.source_task}, seed {self.start.seed})"

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
    """Start of tuning: random tokens, Gaussian noise of the same spread, or answer words."""
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


def tune(spec: TuneSpec, bench: Bench, progress: Progress) -> SoftPrompt:
    """Tune with AdamW and cross entropy over the answer words; keep the best step.

    Constant learning rate, no weight decay (Su et al. 2022). Of equally good steps, the
    later one is kept. A run that was interrupted goes on from its last step.
    """
    task = bench.task(spec.task, spec)
    model = bench.untuned(spec, task)
    vectors = first_vectors(spec, bench, model.backbone, task).to(model.backbone.device)
    vectors.requires_grad_(True)

    earlier = list[Step]()  # the progress is that of the steps that are left

    def before(steps: tuple[Step, ...]) -> None:
        earlier.extend(steps)
        for step in steps:
            bench.report(spec, step)

    def follow(step: Step) -> None:
        bench.report(spec, step)
        done = (step.step - len(earlier)) / (spec.steps - len(earlier))
        progress(done, f"step {step.step} of {spec.steps}")

    found = fit(
        spec, model, [vectors], vectors, bench.examples(task, "train"), follow,
        halfway=bench.halfway(spec), before=before,
        keep=lambda halfway: bench.keep(spec, halfway),
    )  # fmt: skip
    return SoftPrompt(
        spec=spec,
        vectors=vectors.detach().cpu(),
        words=task.words(model.backbone.family),
        best_step=found.best_step,
        selection_accuracy=found.accuracy,
        selection_rows=found.selection_rows,
        history=found.history,
    )


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
