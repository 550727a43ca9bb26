"""Masked language models: `[mask] prompt <text>`, the answer read at position 0."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from jaxtyping import Bool, Float, Int

from core.backbones.base import Backbone, Slot, with_batch
from core.base.errors import BadInput
from core.base.specs import Layout, Stack

if TYPE_CHECKING:
    from torch import Tensor, nn


class MaskedLM(Backbone):
    """The common part of RoBERTa and BERT.

    The mask slot and the prompt get no position embedding; the text's first token gets the position
    it would have after them. Layout `published` is that of the released prompts, whose first row
    never reaches the model: the mask slot takes its place (docs/method.md). Source: Su et al. 2022,
    their code.
    """

    attention: ClassVar[tuple[str, ...]] = ("query", "value")
    head: ClassVar[str] = "AutoModelForMaskedLM"
    sizes: ClassVar[dict[str, int]] = {
        "num_hidden_layers": 1000, "intermediate_size": 1 << 16, "hidden_size": 1 << 16,
        "num_attention_heads": 1 << 16, "vocab_size": 10_000_000,
        "max_position_embeddings": 10_000_000, "type_vocab_size": 1000,
    }  # fmt: skip

    @property
    @abstractmethod
    def _encoder(self) -> Any:
        """The model without its head."""

    @property
    @abstractmethod
    def _first_position(self) -> int:
        """Position id of an input's first token."""

    @property
    def _position_without_effect(self) -> int:
        """A position whose embedding is subtracted from the prefix."""
        return max(0, self._first_position - 1)

    def _segments(self, ids: Int[Tensor, "batch seq"]) -> Int[Tensor, "batch seq"] | None:
        """Segment ids of the text; None if the family has none."""
        return None

    def down_projections(self, stack: Stack = "encoder") -> list[nn.Linear]:
        if stack == "decoder":
            raise BadInput(f"{self.name} has no decoder; ask about its encoder.")
        return [layer.output.dense for layer in self._encoder.encoder.layer]

    def blocks(self) -> Sequence[nn.Module]:
        return list(self._encoder.encoder.layer)

    def word_vectors(self) -> Float[Tensor, "vocab hidden"]:
        weight: Tensor = self._encoder.embeddings.word_embeddings.weight
        return weight

    def prefix_length(self, prompt_length: int, layout: Layout = "mask_first") -> int:
        return prompt_length + (0 if self.has_dead_row(layout) else 1)

    def room(self) -> int | None:
        return int(self.model.config.max_position_embeddings) - self._first_position

    def answer_state(
        self,
        vectors: Float[Tensor, "*batch token hidden"],
        ids: Int[Tensor, "batch seq"],
        mask: Bool[Tensor, "batch seq"],
        layout: Layout = "mask_first",
    ) -> Float[Tensor, "batch hidden"]:
        import torch

        batch, length = ids.shape
        prompt = with_batch(vectors, batch)
        if self.has_dead_row(layout):
            prompt = prompt[:, 1:]
        slot = self.word_vectors()[self.tokenizer.mask_token_id].expand(batch, 1, -1)
        prefix = torch.cat([slot, prompt], dim=1)
        unused = self._encoder.embeddings.position_embeddings.weight[self._position_without_effect]
        count = prefix.shape[1]
        first = self._first_text_position_id(count)
        positions = torch.cat(
            [
                torch.full((count,), self._position_without_effect, device=ids.device),
                torch.arange(first, first + length, device=ids.device),
            ]
        )
        segments = self._segments(ids)
        if segments is not None:
            segments = torch.cat([segments.new_zeros(batch, count), segments], dim=1)
        output = self._encoder(
            inputs_embeds=torch.cat([prefix - unused, self.word_vectors()[ids]], dim=1),
            attention_mask=torch.cat([mask.new_ones(batch, count), mask], dim=1).long(),
            position_ids=positions[None],
            token_type_ids=segments,
        )
        state: Tensor = output.last_hidden_state[:, 0]
        return state

    @classmethod
    def prefix_names(cls, prompt_length: int, layout: Layout = "mask_first") -> list[str]:
        first = 1 if cls.has_dead_row(layout) else 0
        return ["mask", *(f"p{i}" for i in range(first, prompt_length))]

    @classmethod
    def has_dead_row(cls, layout: Layout) -> bool:
        return layout == "published"

    def _prefix_slots(self, prompt_length: int, layout: Layout) -> list[Slot]:
        mask = Slot(position=0, token=self.tokenizer.mask_token, kind="mask", position_id=None)
        names = self.prefix_names(prompt_length, layout)[1:]
        return [mask] + [
            Slot(position=i, token=name, kind="prompt", position_id=None)
            for i, name in enumerate(names, start=1)
        ]

    def _first_text_position_id(self, prefix: int) -> int:
        return prefix + self._first_position
