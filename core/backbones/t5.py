"""T5: `prompt text` into the encoder, pads masked; the answer is the first decoder step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from jaxtyping import Bool, Float, Int

from core.backbones.base import Backbone, Slot, with_batch
from core.base.specs import Layout, Stack
from core.tasks.task import Template

if TYPE_CHECKING:
    from torch import Tensor, nn


class T5(Backbone):
    """Encoder-decoder of the T5 family, including gated ones; the neurons are the encoder's unless
    the decoder is asked for.

    Source: Su et al. 2022, their T5 code, as it is evaluated (pads masked).
    """

    family: ClassVar[str] = "t5"
    template: ClassVar[Template] = Template(single="{a}</s>", pair="{a}</s>{b}</s>")
    no_text: ClassVar[str] = "<extra_id_0>"
    writes: ClassVar[bool] = True
    stacks: ClassVar[tuple[Stack, ...]] = ("encoder", "decoder")
    attention: ClassVar[tuple[str, ...]] = ("q", "v")
    head: ClassVar[str] = "AutoModelForSeq2SeqLM"
    sizes: ClassVar[dict[str, int]] = {
        "num_layers": 1000, "d_ff": 1 << 16, "d_model": 1 << 16, "num_heads": 1 << 16,
        "vocab_size": 10_000_000, "d_kv": 1 << 16, "num_decoder_layers": 1000,
        "relative_attention_num_buckets": 1 << 16, "relative_attention_max_distance": 10_000_000,
    }  # fmt: skip

    def __init__(self, name: str, model: Any, tokenizer: Any, device: str = "cpu") -> None:
        import torch

        if model.dtype == torch.float64:
            _norm_exactly(model)
        super().__init__(name, model, tokenizer, device)

    def down_projections(self, stack: Stack = "encoder") -> list[nn.Linear]:
        blocks = getattr(self.model, stack).block
        return [block.layer[-1].DenseReluDense.wo for block in blocks]

    def blocks(self) -> Sequence[nn.Module]:
        return list(self.model.encoder.block)

    def word_vectors(self) -> Float[Tensor, "vocab hidden"]:
        weight: Tensor = self.model.shared.weight
        return weight

    def prefix_length(self, prompt_length: int, layout: Layout = "mask_first") -> int:
        return prompt_length

    def room(self) -> int | None:
        return None

    def answer_state(
        self,
        vectors: Float[Tensor, "*batch token hidden"],
        ids: Int[Tensor, "batch seq"],
        mask: Bool[Tensor, "batch seq"],
        layout: Layout = "mask_first",
    ) -> Float[Tensor, "batch hidden"]:
        encoded, attended = self._encoded(vectors, ids, mask)
        start = ids.new_full((len(ids), 1), self.model.config.decoder_start_token_id)
        decoded = self.model.decoder(
            input_ids=start,
            encoder_hidden_states=encoded,
            encoder_attention_mask=attended,
            use_cache=False,
        )
        state: Tensor = decoded.last_hidden_state[:, 0]
        return state

    def _encoded(self, vectors: Tensor, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The encoder's states and their attention mask."""
        import torch

        batch = ids.shape[0]
        prompt = with_batch(vectors, batch)
        attended = torch.cat([mask.new_ones(batch, prompt.shape[1]), mask], dim=1).long()
        encoded: Tensor = self.model.encoder(
            inputs_embeds=torch.cat([prompt, self.word_vectors()[ids]], dim=1),
            attention_mask=attended,
        ).last_hidden_state
        return encoded, attended

    def write(
        self,
        vectors: Float[Tensor, "token hidden"],
        ids: Int[Tensor, "batch seq"],
        mask: Bool[Tensor, "batch seq"],
        max_new_tokens: int,
        stop: str = "",
    ) -> list[str]:
        from transformers.modeling_outputs import BaseModelOutput

        encoded, attended = self._encoded(vectors, ids, mask)
        written = self.model.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=encoded),
            attention_mask=attended,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            num_beams=1,
            **({"stop_strings": [stop], "tokenizer": self.tokenizer} if stop else {}),
        )
        texts: list[str] = self.tokenizer.batch_decode(written, skip_special_tokens=True)
        return [(text.partition(stop)[0] if stop else text).strip() for text in texts]

    def text_loss(
        self,
        vectors: Float[Tensor, "token hidden"],
        ids: Int[Tensor, "batch seq"],
        mask: Bool[Tensor, "batch seq"],
        targets: Sequence[str],
    ) -> Float[Tensor, ""]:
        import torch

        encoded, attended = self._encoded(vectors, ids, mask)
        rows = [[*self.token_ids(t), self.tokenizer.eos_token_id] for t in targets]
        width = max(map(len, rows))
        labels = torch.tensor([r + [-100] * (width - len(r)) for r in rows], device=ids.device)
        loss: Tensor = self.model(
            encoder_outputs=(encoded,), attention_mask=attended, labels=labels
        ).loss
        return loss

    def output_vectors(self) -> Float[Tensor, "vocab hidden"]:
        vectors: Tensor = self.model.lm_head.weight
        return vectors

    def logits(
        self, state: Float[Tensor, "batch hidden"], words: Int[Tensor, " word"] | slice
    ) -> Float[Tensor, "batch word"]:
        from torch import nn

        if self.model.config.scale_decoder_outputs:
            state = state * self.model.model_dim**-0.5
        return nn.functional.linear(state, self.model.lm_head.weight[words])

    @classmethod
    def prefix_names(cls, prompt_length: int, layout: Layout = "mask_first") -> list[str]:
        return [f"p{i}" for i in range(prompt_length)]

    def _prefix_slots(self, prompt_length: int, layout: Layout) -> list[Slot]:
        return [
            Slot(position=i, token=name, kind="prompt", position_id=None)
            for i, name in enumerate(self.prefix_names(prompt_length, layout))
        ]

    def _first_text_position_id(self, prefix: int) -> None:
        return None


def _norm_exactly(model: nn.Module) -> None:
    """Let the layer norms compute in double precision; those of transformers take the variance in
    fp32, whatever the weights are, and its rounding changes with the processor.
    """
    import torch
    from torch import nn
    from transformers.models.t5.modeling_t5 import T5LayerNorm

    for parent in list(model.modules()):
        for name, norm in list(parent.named_children()):
            if isinstance(norm, T5LayerNorm):
                exact = nn.RMSNorm(norm.weight.shape, norm.variance_epsilon, dtype=torch.float64)
                exact.weight = norm.weight
                setattr(parent, name, exact)
