"""A backbone with a soft prompt on one task; every measurement starts from it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Int

from core.backbones.base import Backbone
from core.backbones.batches import Batch, Encoded
from core.base.errors import BadTask
from core.base.prompts import SoftPrompt
from core.base.specs import Stack
from core.tasks import Choice, Task, Text
from core.tasks.metrics import METRICS

if TYPE_CHECKING:
    from torch import Tensor, nn

    from core.tasks.data import Examples

BATCH = 32  # what lies in a processor's cache; 64 is slower on one thread, 16 on two


def margins(
    scores: Float[Tensor, "example class"], labels: Int[Tensor, " example"]
) -> Float[Tensor, " example"]:
    """The right answer's logit less the highest other one: above 0 where it is chosen."""
    right = labels[:, None]
    others = scores.scatter(1, right, float("-inf")).amax(dim=1)
    return scores.gather(1, right)[:, 0] - others


class PromptedModel:
    """Batches, forward pass, answer words and scores of one backbone, prompt and task."""

    def __init__(self, backbone: Backbone, prompt: SoftPrompt, task: Task) -> None:
        self.backbone, self.task, self.spec = backbone, task, prompt.spec
        self.vectors = prompt.vectors.to(backbone.device, backbone.dtype)
        self.template = task.templates.get(backbone.family)

    # --- sizes ---------------------------------------------------------------------------------
    @property
    def layers(self) -> int:
        """Number of layers whose neurons are studied."""
        return self.backbone.layers

    @property
    def width(self) -> int:
        """Neurons per layer."""
        return self.backbone.intermediate_size

    @property
    def prefix(self) -> int:
        """Positions before the text, at which predictivity is measured."""
        return self.backbone.prefix_length(len(self.vectors), self.spec.layout)

    def down_projections(self, stack: Stack = "encoder") -> list[nn.Linear]:
        """Where hooks are set."""
        return self.backbone.down_projections(stack)

    def shape(self, stack: Stack = "encoder") -> tuple[int, int]:
        """Layers of a stack and neurons per layer."""
        linears = self.down_projections(stack)
        return len(linears), linears[0].in_features

    # --- texts ---------------------------------------------------------------------------------
    def encode(self, examples: Examples) -> Encoded:
        """Examples as token ids, with the task's template."""
        return Encoded.of(self.backbone, examples, self.template, self.spec.max_length)

    def batches(self, examples: Examples, size: int = BATCH) -> Iterator[Batch]:
        """All examples, grouped by length."""
        return self.encode(examples).by_length(self.backbone, size)

    # --- answers -------------------------------------------------------------------------------
    @cached_property
    def words(self) -> Int[Tensor, " class"]:
        """The first piece of each class's answer word. Raises: BadTask if two classes share one."""
        import torch

        words = self.task.words(self.backbone.family)
        ids = [self.backbone.token_ids(word)[0] for word in words]
        if len(set(ids)) < len(ids):
            raise BadTask(
                f"Two answer words of {self.task.title!r} begin with the same piece for "
                f"{self.backbone.name}: {', '.join(words)}. Choose others under [verbalizer] in "
                f"{self.task.file}."
            )
        return torch.tensor(ids, device=self.backbone.device)

    def state(self, batch: Batch, vectors: Tensor | None = None) -> Float[Tensor, "batch hidden"]:
        """The state from which the answer is read, with other prompt vectors if given."""
        here = self.vectors if vectors is None else vectors.to(self.backbone.dtype)
        return self.backbone.answer_state(here, batch.ids, batch.mask, self.spec.layout)

    def scores(self, batch: Batch, vectors: Tensor | None = None) -> Float[Tensor, "batch class"]:
        """Logits of the answer words."""
        return self.backbone.logits(self.state(batch, vectors), self.words)

    def margins(self, batch: Batch, vectors: Tensor | None = None) -> Float[Tensor, " batch"]:
        """Each example's margin in this batch."""
        scores = self.scores(batch, vectors)
        return margins(scores, batch.labels.to(scores.device))

    def loss(self, batch: Batch, vectors: Tensor | None = None) -> Float[Tensor, ""]:
        """Cross entropy over the answer words, or over the tokens of the texts to be written."""
        from torch import nn

        if isinstance(self.task.answer, Text):
            assert batch.targets is not None
            here = self.vectors if vectors is None else vectors.to(self.backbone.dtype)
            first = [references[0] for references in batch.targets]
            return self.backbone.text_loss(here, batch.ids, batch.mask, first)
        scores = self.scores(batch, vectors).float()
        return nn.functional.cross_entropy(scores, batch.labels.to(scores.device))

    def write(self, batch: Batch, vectors: Tensor | None = None) -> list[str]:
        """The texts that the model writes, as the task's answer says."""
        answer = self.task.answer
        assert isinstance(answer, Text)
        here = self.vectors if vectors is None else vectors.to(self.backbone.dtype)
        return self.backbone.write(here, batch.ids, batch.mask, answer.max_new_tokens, answer.stop)

    def judge(self, batch: Batch, vectors: Tensor | None = None) -> Float[Tensor, " batch"]:
        """Each answer's score in [0, 1]: correct or not, or by the task's metric."""
        import torch

        answer = self.task.answer
        if isinstance(answer, Choice):
            return (self.scores(batch, vectors).argmax(1).cpu() == batch.labels).double()
        return torch.from_numpy(self.score_texts(self.write(batch, vectors), batch))

    def score_texts(self, written: list[str], batch: Batch) -> npt.NDArray[np.float64]:
        """Each written text's score by the task's metric, against the best of its references."""
        answer = self.task.answer
        assert isinstance(answer, Text)
        assert batch.targets is not None
        metric = METRICS[answer.metric]
        return np.array([metric(w, r) for w, r in zip(written, batch.targets, strict=True)])
