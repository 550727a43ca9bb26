"""RoBERTa: `[mask] prompt <s> text </s>`, the answer read at position 0 by the masked-LM head."""

from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from core.backbones.base import Backbone, Layout, Slot, Template, with_batch


class Roberta(Backbone):
    """Masked LM of the RoBERTa family.

    The mask slot and the prompt get no position embedding; `<s>` gets the id it would have after
    them. Layout `published` is that of the released prompts, whose first row never reaches the
    model: the mask slot takes its place (docs/method.md). Source: Su et al. 2022, their code.
    """

    family: ClassVar[str] = "roberta"
    template: ClassVar[Template] = Template(single="<s>{a}</s>", pair="<s>{a}</s>{b}</s>")

    @property
    def _encoder(self) -> Any:
        return self.model.roberta

    def down_projections(self) -> list[nn.Linear]:
        return [layer.output.dense for layer in self._encoder.encoder.layer]

    def word_vectors(self) -> Float[Tensor, "vocab hidden"]:
        weight: Tensor = self._encoder.embeddings.word_embeddings.weight
        return weight

    def prefix_length(self, prompt_length: int, layout: Layout = "mask_first") -> int:
        return prompt_length + (1 if layout == "mask_first" else 0)

    def room(self) -> int | None:
        return int(self.model.config.max_position_embeddings) - self._pad_position - 1

    @property
    def _pad_position(self) -> int:
        return int(self._encoder.embeddings.padding_idx)

    def answer_state(
        self,
        vectors: Float[Tensor, "*batch token hidden"],
        ids: Int[Tensor, "batch seq"],
        mask: Bool[Tensor, "batch seq"],
        layout: Layout = "mask_first",
    ) -> Float[Tensor, "batch hidden"]:
        batch, length = ids.shape
        prompt = with_batch(vectors, batch)
        if layout == "published":
            prompt = prompt[:, 1:]
        slot = self.word_vectors()[self.tokenizer.mask_token_id].expand(batch, 1, -1)
        prefix = torch.cat([slot, prompt], dim=1)
        silent = self._encoder.embeddings.position_embeddings.weight[self._pad_position]
        count = prefix.shape[1]
        first = self._first_text_position_id(count)
        positions = torch.cat(
            [
                torch.full((count,), self._pad_position, device=ids.device),
                torch.arange(first, first + length, device=ids.device),
            ]
        )
        output = self._encoder(
            inputs_embeds=torch.cat([prefix - silent, self.word_vectors()[ids]], dim=1),
            attention_mask=torch.cat([mask.new_ones(batch, count), mask], dim=1).long(),
            position_ids=positions[None],
        )
        state: Tensor = output.last_hidden_state[:, 0]
        return state

    def logits(
        self, state: Float[Tensor, "batch hidden"], words: Int[Tensor, " word"] | slice
    ) -> Float[Tensor, "batch word"]:
        head = self.model.lm_head
        state = head.layer_norm(nn.functional.gelu(head.dense(state)))
        return nn.functional.linear(state, head.decoder.weight[words], head.decoder.bias[words])

    def _prefix_slots(self, prompt_length: int, layout: Layout) -> list[Slot]:
        first = 1 if layout == "published" else 0
        names = [("mask", "<mask>")] + [("prompt", f"p{i}") for i in range(first, prompt_length)]
        return [
            Slot(position=i, token=token, kind=kind, position_id=None)  # type: ignore[arg-type]
            for i, (kind, token) in enumerate(names)
        ]

    def _first_text_position_id(self, prefix: int) -> int:
        return prefix + self._pad_position + 1
