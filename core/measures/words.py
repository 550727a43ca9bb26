"""Prompts in words: the vectors of a text's tokens stand where a soft prompt's stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from core.base.errors import BadInput
from core.base.measure import Measure
from core.base.progress import Progress
from core.base.prompts import Origin, Prompt, SoftPrompt
from core.measures.bench import Bench
from core.measures.prompts import PROMPT, STEP, files, needs, read, rows


@dataclass(frozen=True, kw_only=True)
class WordsPrompt(Prompt):
    """A text as a prompt. `prompt_length` is the number of its tokens, `task` the task that it was
    written for.
    """

    origin: ClassVar[Origin] = "words"
    text: str
    task: str

    @property
    def source_task(self) -> str:
        return self.task

    @property
    def recipe(self) -> tuple[str, ...]:
        return (f"the words {self.text!r}",)


def from_words(spec: WordsPrompt, bench: Bench, progress: Progress) -> SoftPrompt:
    """The tokens' input embeddings, in their order. Raises: BadInput if they are more or fewer."""
    import torch

    backbone = bench.backbone(spec)
    ids = backbone.token_ids(spec.text)
    if len(ids) != spec.prompt_length:
        raise BadInput(f"{spec.text!r} has {len(ids)} tokens, not {spec.prompt_length}.")
    vectors = backbone.word_vectors()[torch.tensor(ids, device=backbone.device)]
    progress(1.0)
    return SoftPrompt(spec=spec, vectors=vectors.float().cpu().clone(), words=())


WORDS = Measure(
    spec=WordsPrompt,
    tables=(PROMPT, STEP),
    needs=needs,
    compute=from_words,
    rows=rows,
    artifacts=("prompts",),
    files=files,
    read=read,
)
