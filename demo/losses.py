"""The losses of pretraining: answer slots, matching, masking, span corruption."""

import random
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from core.backbones.base import Backbone
from core.backbones.fresh import SENTINELS
from demo.feed import Slots, Spoken, pad


def answer_logits(backbone: Backbone, slots: Slots) -> Float[Tensor, "batch vocab"]:
    """Scores of the whole vocabulary at the answer slot."""
    hints = backbone.word_vectors()[slots.hints]
    state = backbone.answer_state(hints, slots.ids, slots.ids != backbone.pad_id)
    return backbone.logits(state, slice(None))


def answer_loss(backbone: Backbone, slots: Slots, *, whole_vocabulary: bool) -> Tensor:
    """Cross entropy at the answer slot, summed over the batch.

    Against the whole vocabulary from the start, the slot's state grows a constant part that names
    the answer words and drowns the context, for good; so first against the task's own words only.
    """
    scores = answer_logits(backbone, slots)
    own = scores.gather(1, slots.words)
    everything = scores if whole_vocabulary else own
    chances = own - everything.logsumexp(1, keepdim=True)
    return -(slots.targets * chances).sum()


def spoken_logits(backbone: Backbone, spoken: Spoken) -> Float[Tensor, "batch word vocab"]:
    """Scores at each place of the answer, the right words before it given (T5)."""
    hints, shown = backbone.word_vectors()[spoken.hints], spoken.ids != backbone.pad_id
    output = backbone.model(
        inputs_embeds=torch.cat([hints, backbone.word_vectors()[spoken.ids]], dim=1),
        attention_mask=torch.cat([shown.new_ones(spoken.hints.shape), shown], dim=1).long(),
        labels=spoken.answers,
    )
    logits: Tensor = output.logits
    return logits


def spoken_loss(backbone: Backbone, spoken: Spoken) -> Tensor:
    """Cross entropy of the answers' words, mean over the words."""
    scores = spoken_logits(backbone, spoken)
    return F.cross_entropy(scores.flatten(0, 1), spoken.answers.flatten())


ENCODERS: dict[str, Callable[[Any], nn.Module]] = {
    "roberta": lambda model: model.roberta.encoder,
    "t5": lambda model: model.encoder,
}


class Matcher(nn.Module):
    """A head for the time of training: does the other text of the pair contain this token too?

    A binary answer per pair is too thin a signal to learn from it how to compare two texts; this
    one is there for every token. It reads the encoder's last states during `answer_loss`.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.end, self.pad = backbone.tokenizer.eos_token_id, backbone.pad_id
        self.start = backbone.tokenizer.bos_token_id if backbone.family == "roberta" else self.pad
        self.head = nn.Linear(backbone.word_vectors().shape[1], 1)
        self._states: Float[Tensor, "batch token hidden"] = torch.zeros(0)
        encoder = ENCODERS[backbone.family](backbone.model)
        encoder.register_forward_hook(self._keep)

    def _keep(self, module: nn.Module, args: Any, output: Any) -> None:
        self._states = output.last_hidden_state

    def loss(self, ids: Int[Tensor, "batch seq"]) -> Tensor:
        """Mean binary cross entropy over the words of the pairs; 0 if there is no pair."""
        ends = ids == self.end
        second = (ends.cumsum(1) - ends.long()) > 0
        word = ~ends & (ids != self.pad) & (ids != self.start)
        paired = word & (second & word).any(1, keepdim=True)
        if not paired.any():
            return torch.zeros(())
        same = ids[:, :, None] == ids[:, None, :]
        across = (second[:, :, None] != second[:, None, :]) & word[:, None, :]
        found = (same & across).any(2)
        scores = self.head(self._states[:, -ids.shape[1] :])[..., 0]
        return F.binary_cross_entropy_with_logits(scores[paired], found[paired].float())


class Density:
    """How many neurons of a token share its activation; large models have few (Li et al. 2023).

    Per token and layer sum |a| / (sqrt(N) * norm(a)): 1 if all N are equally active, 1 / sqrt(N)
    if one is. The activations' scale does not matter, so shrinking them gains nothing.
    """

    def __init__(self, backbone: Backbone) -> None:
        self._found = list[Tensor]()
        for linear in backbone.down_projections():
            linear.register_forward_pre_hook(self._keep)

    def _keep(self, module: nn.Module, args: tuple[Tensor, ...]) -> None:
        values = args[0]
        norm = values.norm(dim=-1).clamp_min(1e-6) * values.shape[-1] ** 0.5
        self._found.append((values.abs().sum(dim=-1) / norm).mean())

    def take(self) -> Tensor:
        """Mean over the layers and tokens of all forward passes since the last call."""
        density = torch.stack(self._found).mean()
        self._found.clear()
        return density


def masking_loss(backbone: Backbone, rows: list[list[int]], rng: random.Random) -> Tensor:
    """RoBERTa's objective: 15% of the tokens, of which 80% masked, 10% random, 10% kept."""
    tokenizer = backbone.tokenizer
    framed = [[tokenizer.bos_token_id, *row, tokenizer.eos_token_id] for row in rows]
    ids = pad(framed, backbone.pad_id)
    generator = torch.Generator().manual_seed(rng.getrandbits(60))
    draw = torch.rand(ids.shape, generator=generator)
    chosen = (draw < 0.15) & (ids > tokenizer.mask_token_id)
    shown = torch.where(chosen & (draw < 0.12), tokenizer.mask_token_id, ids)
    noise = torch.randint(5, len(tokenizer), ids.shape, generator=generator)
    shown = torch.where(chosen & (draw >= 0.12) & (draw < 0.135), noise, shown)
    output = backbone.model.roberta(
        input_ids=shown, attention_mask=(ids != backbone.pad_id).long()
    ).last_hidden_state
    return F.cross_entropy(backbone.logits(output[chosen], slice(None)), ids[chosen])


def span_loss(backbone: Backbone, rows: list[list[int]], rng: random.Random) -> Tensor:
    """T5's objective: 15% of the tokens in spans of mean length 3, each behind a sentinel."""
    tokenizer = backbone.tokenizer
    sentinels = tokenizer.convert_tokens_to_ids([f"<extra_id_{i}>" for i in range(SENTINELS)])
    pairs = [corrupt_spans(row, sentinels, rng) for row in rows]
    eos = tokenizer.eos_token_id
    inputs = pad([[*source, eos] for source, _ in pairs], backbone.pad_id)
    targets = pad([target for _, target in pairs], -100)
    output = backbone.model(
        input_ids=inputs, attention_mask=(inputs != backbone.pad_id).long(), labels=targets
    )
    loss: Tensor = output.loss
    return loss


def corrupt_spans(
    row: list[int], sentinels: list[int], rng: random.Random
) -> tuple[list[int], list[int]]:
    """One text with spans replaced by sentinels, and the target that names them."""
    spans = max(1, round(len(row) * 0.15 / 3))
    starts = sorted(
        rng.sample(range(0, len(row), 4), min(spans, len(sentinels) - 1, len(row) // 4))
    )
    source, target, at = list[int](), list[int](), 0
    for sentinel, start in zip(sentinels, starts, strict=False):
        length = rng.choice((2, 3, 3, 4))
        source += [*row[at:start], sentinel]
        target += [sentinel, *row[start : start + length]]
        at = start + length
    return source + row[at:], [*target, sentinels[len(starts)]]


LANGUAGE_LOSS: dict[str, Callable[[Backbone, list[list[int]], random.Random], Tensor]] = {
    "roberta": masking_loss,
    "t5": span_loss,
}
