"""RoBERTa: `[mask] prompt <s> text </s>`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from jaxtyping import Float, Int

from core.backbones.masked import MaskedLM
from core.tasks.task import Template

if TYPE_CHECKING:
    from torch import Tensor


class Roberta(MaskedLM):
    """Masked LM of the RoBERTa family; positions are counted from the one after the pad's."""

    family: ClassVar[str] = "roberta"
    template: ClassVar[Template] = Template(single="<s>{a}</s>", pair="<s>{a}</s>{b}</s>")
    no_text: ClassVar[str] = "<s>"

    @property
    def _encoder(self) -> Any:
        return self.model.roberta

    @property
    def _first_position(self) -> int:
        return int(self._encoder.embeddings.padding_idx) + 1

    def output_vectors(self) -> Float[Tensor, "vocab hidden"]:
        vectors: Tensor = self.model.lm_head.decoder.weight
        return vectors

    def logits(
        self, state: Float[Tensor, "batch hidden"], words: Int[Tensor, " word"] | slice
    ) -> Float[Tensor, "batch word"]:
        from torch import nn

        head = self.model.lm_head
        state = head.layer_norm(nn.functional.gelu(head.dense(state)))
        return nn.functional.linear(state, head.decoder.weight[words], head.decoder.bias[words])
