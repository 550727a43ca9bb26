"""BERT: `[MASK] prompt [CLS] text [SEP]`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from jaxtyping import Float, Int

from core.backbones.masked import MaskedLM
from core.tasks.task import Template

if TYPE_CHECKING:
    from torch import Tensor


class Bert(MaskedLM):
    """Masked LM of the BERT family; a pair's second text is segment 1, as in pretraining."""

    family: ClassVar[str] = "bert"
    template: ClassVar[Template] = Template(single="[CLS]{a}[SEP]", pair="[CLS]{a}[SEP]{b}[SEP]")
    no_text: ClassVar[str] = "[CLS]"

    @property
    def _encoder(self) -> Any:
        return self.model.bert

    @property
    def _first_position(self) -> int:
        return 0

    def _segments(self, ids: Int[Tensor, "batch seq"]) -> Int[Tensor, "batch seq"]:
        ends = (ids == self.tokenizer.sep_token_id).long()
        second: Tensor = (ends.cumsum(dim=1) - ends) == 1
        return second.long()

    def output_vectors(self) -> Float[Tensor, "vocab hidden"]:
        vectors: Tensor = self.model.cls.predictions.decoder.weight
        return vectors

    def logits(
        self, state: Float[Tensor, "batch hidden"], words: Int[Tensor, " word"] | slice
    ) -> Float[Tensor, "batch word"]:
        from torch import nn

        head = self.model.cls.predictions
        state = head.transform(state)
        return nn.functional.linear(state, head.decoder.weight[words], head.decoder.bias[words])
