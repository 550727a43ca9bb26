"""Examples as token ids, in padded batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jaxtyping import Bool, Int

from core.backbones.base import Backbone

if TYPE_CHECKING:
    from torch import Tensor

    from core.tasks import Template
    from core.tasks.data import Examples


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Right-padded texts; `rows` are positions in the Examples they came from."""

    ids: Int[Tensor, "batch seq"]
    mask: Bool[Tensor, "batch seq"]
    labels: Int[Tensor, " batch"]
    rows: list[int]
    targets: list[tuple[str, ...]] | None = None


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """Examples as token ids, ready to be batched."""

    ids: list[list[int]]
    labels: list[int]
    targets: tuple[tuple[str, ...], ...] | None = None

    @classmethod
    def of(
        cls,
        backbone: Backbone,
        examples: Examples,
        template: Template | None = None,
        max_length: int = 128,
    ) -> Encoded:
        """Tokenise each example with the task's template."""
        pairs = zip(examples.text_a, examples.text_b or [None] * len(examples), strict=True)
        ids = [backbone.encode(a, b, template=template, max_length=max_length) for a, b in pairs]
        return cls(ids=ids, labels=examples.labels.tolist(), targets=examples.targets)

    def batch(self, rows: list[int], backbone: Backbone) -> Batch:
        """The given rows as one batch."""
        import torch

        chosen = [self.ids[i] for i in rows]
        width = max(map(len, chosen))
        mask = torch.tensor([[True] * len(r) + [False] * (width - len(r)) for r in chosen])
        padded = [r + [backbone.pad_id] * (width - len(r)) for r in chosen]
        return Batch(
            ids=torch.tensor(padded, device=backbone.device),
            mask=mask.to(backbone.device),
            labels=torch.tensor([self.labels[i] for i in rows]),
            rows=rows,
            targets=None if self.targets is None else [self.targets[i] for i in rows],
        )

    def by_length(self, backbone: Backbone, batch_size: int) -> Iterator[Batch]:
        """All rows, grouped by length to reduce padding."""
        order = sorted(range(len(self.ids)), key=lambda i: len(self.ids[i]))
        for start in range(0, len(order), batch_size):
            yield self.batch(order[start : start + batch_size], backbone)
