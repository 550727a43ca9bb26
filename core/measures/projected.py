"""Prompts that are projected from another backbone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from core.base.measure import Measure
from core.base.progress import Progress
from core.base.prompts import Origin, Prompt, SoftPrompt
from core.base.specs import Spec, key
from core.measures.bench import Bench
from core.measures.projector import ProjectorSpec, live, project
from core.measures.prompts import PROMPT, STEP, files, needs, read, rows


@dataclass(frozen=True, kw_only=True)
class ProjectedPrompt(Prompt):
    """A prompt of another backbone, projected. Make it with `projected`."""

    origin: ClassVar[Origin] = "projected"
    projector: ProjectorSpec
    source: Prompt

    @property
    def source_task(self) -> str:
        return self.source.source_task

    @property
    def recipe(self) -> tuple[str, ...]:
        by, name = self.projector.by, self.source.backbone.name
        return (
            f"projected from prompt {key(self.source)} of {name}",
            f"by projector {key(self.projector)}, trained by {by} on "
            f"{', '.join(self.projector.tasks)}",
        )

    def reseeded(self, seed: int) -> ProjectedPrompt | None:
        source = self.source.reseeded(seed)
        return None if source is None else replace(self, seed=seed, source=source)

    @property
    def needs(self) -> tuple[Spec, ...]:
        return (self.source, self.projector)


def projected(projector: ProjectorSpec, source: Prompt) -> ProjectedPrompt:
    """A source prompt as the target backbone gets it, with the seed of the source."""
    like = projector.target
    return ProjectedPrompt(
        backbone=like.backbone, seed=source.seed, prompt_length=like.prompt_length,
        max_length=like.max_length, precision=like.precision, projector=projector, source=source,
    )  # fmt: skip


def from_projector(spec: ProjectedPrompt, bench: Bench, progress: Progress) -> SoftPrompt:
    """The projected vectors. Raises: BadInput if the projector is for other prompts."""
    import torch

    weights = bench.stored(spec.projector).weights
    with torch.inference_mode():
        vectors = project(weights, live(spec.source, bench), spec.prompt_length)
    progress(1.0)
    return SoftPrompt(spec=spec, vectors=vectors.clone(), words=bench.stored(spec.source).words)


PROJECTED = Measure(
    spec=ProjectedPrompt,
    tables=(PROMPT, STEP),
    needs=needs,
    compute=from_projector,
    rows=rows,
    artifacts=("prompts",),
    files=files,
    read=read,
)
