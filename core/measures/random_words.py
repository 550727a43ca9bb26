"""Prompts of random tokens: where tuning starts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from core.base.measure import Measure
from core.base.progress import Progress
from core.base.prompts import Origin, Prompt, SoftPrompt
from core.measures.bench import Bench
from core.measures.prompts import PROMPT, STEP, files, needs, read, rows
from core.measures.tuning import initial_words


@dataclass(frozen=True, kw_only=True)
class RandomPrompt(Prompt):
    """Random tokens of the vocabulary: where tuning starts, and no task is known."""

    origin: ClassVar[Origin] = "random"

    @property
    def source_task(self) -> str:
        return "random"

    @property
    def recipe(self) -> tuple[str, ...]:
        return ("random tokens, not tuned",)

    def reseeded(self, seed: int) -> RandomPrompt:
        return replace(self, seed=seed)


def of_random_words(spec: RandomPrompt, bench: Bench, progress: Progress) -> SoftPrompt:
    """The first vectors of a tuning run with this seed and length."""
    words = bench.backbone(spec).word_vectors()
    vectors = words[initial_words(spec, len(words)).to(words.device)]
    progress(1.0)
    return SoftPrompt(spec=spec, vectors=vectors.float().cpu().clone(), words=())


RANDOM = Measure(
    spec=RandomPrompt,
    tables=(PROMPT, STEP),
    needs=needs,
    compute=of_random_words,
    rows=rows,
    artifacts=("prompts",),
    files=files,
    read=read,
)
