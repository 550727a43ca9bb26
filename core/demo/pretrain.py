"""Pretrain the embedded backbones from nothing: `python -m core demo pretrain`.

Two phases. First answer slots only: a hint in the soft prompt's place, the text, the answer word;
the further a task is from being learnt, the more of the batch it gets. Where nothing simple hints
at the answer, the slot learns to ignore its context, and stays so; three things prevent that. Some
heads start as matching heads (`look_for_copies`). A discarded head tells of each token of a pair
whether the other text has it too. And texts are easy at first: sentiment whose words alone give it
away, pairs whose texts have nothing to do with each other. Where the hint is of another family, no
answer is right: both words are to be equally likely, so that a prompt matters.

Then half of each step is ordinary language modelling (masking for RoBERTa, span corruption for T5),
both losses weighing the same. Each evaluation goes to a log: loss, accuracy and margin per task.
The margin is the difference of the answer logits between the two classes' texts: 0 means that the
context is ignored.
"""

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from core.backbones.base import Backbone
from core.backbones.fresh import (
    SENTINELS,
    fresh_roberta,
    fresh_t5,
    look_for_copies,
    save_backbone,
    train_bpe,
    train_unigram,
)
from core.demo import card
from core.demo.corpus import HINTS, Corpus, read_plain, tokenizer_texts
from core.demo.splits import held_out
from core.demo.texts import FAMILY_OF, VERBALIZERS

MAX_TEXT = 96


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All settings of a pretraining run; written beside the weights."""

    family: str
    sizes: dict[str, Any]
    vocabulary: int = 8000
    seed: int = 0
    documents: int = 60_000
    answer_steps: int
    mixed_steps: int
    batch_size: int = 32
    learning_rate: float
    embedding_rate: float
    warmup: int = 300
    decay: float = 0.2
    clip: float = 1.0
    evaluate_every: int = 400
    learnt: float = 0.8
    # Share of easy texts at first, in single texts and in pairs, and later in all.
    easy: float = 0.9
    easy_pairs: float = 0.5
    easy_steps: int = 2400
    easy_later: float = 0.2
    after: tuple[tuple[str, str], ...] = (("long_reviews", "short_reviews"),)  # once it is learnt
    astray: float = 0.1  # share of hints of another family, once a task is learnt


RECIPES = {
    "roberta-mini": Recipe(
        family="roberta",
        sizes={
            "hidden_size": 128,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "intermediate_size": 512,
            "max_position_embeddings": 256,
            "initializer_range": 0.06,
            "hidden_dropout_prob": 0.0,
            "attention_probs_dropout_prob": 0.0,
        },
        answer_steps=9_000,
        mixed_steps=2_500,
        learning_rate=4e-4,
        embedding_rate=4e-4,
    ),
    "t5-mini": Recipe(
        family="t5",
        sizes={
            "d_model": 128,
            "d_kv": 32,
            "d_ff": 512,
            "num_layers": 4,
            "num_decoder_layers": 2,
            "num_heads": 4,
            "dropout_rate": 0.0,
        },
        answer_steps=9_000,
        mixed_steps=2_500,
        learning_rate=4e-4,
        embedding_rate=4e-3,
    ),
}


def fresh(recipe: Recipe, corpus: Corpus) -> Backbone:
    """Tokenizer and random weights."""
    texts = tokenizer_texts(corpus, seed=recipe.seed, draws=4000)
    if recipe.family == "roberta":
        tokenizer = train_bpe(texts, recipe.vocabulary)
        backbone: Backbone = fresh_roberta(tokenizer, seed=recipe.seed, **recipe.sizes)
    else:
        tokenizer = train_unigram(texts, recipe.vocabulary)
        backbone = fresh_t5(tokenizer, seed=recipe.seed, **recipe.sizes)
    look_for_copies(backbone)
    return backbone


# --- batches -------------------------------------------------------------------------------------
@dataclass(frozen=True, kw_only=True)
class Slots:
    """A padded batch of answer slots: hint, text, both words' ids and how likely each should be."""

    hints: Int[Tensor, "batch token"]
    ids: Int[Tensor, "batch seq"]
    words: Int[Tensor, "batch 2"]
    labels: Int[Tensor, " batch"]
    targets: Float[Tensor, "batch 2"]


@dataclass(frozen=True)
class _Drawn:
    ids: list[int]
    hint: list[int]
    task: str
    label: int
    astray: bool


class Feed:
    """Draws and tokenises text for one backbone."""

    def __init__(self, backbone: Backbone, corpus: Corpus) -> None:
        self.backbone, self.corpus = backbone, corpus
        self.words = {t: [backbone.token_ids(w)[0] for w in VERBALIZERS[t]] for t in VERBALIZERS}
        self.hints = {h: backbone.token_ids(h) for h in _all_hints()}

    def slots(
        self,
        tasks: list[str],
        rng: random.Random,
        easy: Mapping[str, float] = MappingProxyType({}),
        astray: Mapping[str, float] = MappingProxyType({}),
    ) -> Iterator[Slots]:
        """Answer slots of the given tasks in two chunks by length.

        `easy` and `astray` are the shares of easy texts and of another family's hints, by task.
        """
        drawn = [self._draw(t, rng, easy.get(t, 0.0), astray.get(t, 0.0)) for t in tasks]
        drawn.sort(key=lambda item: len(item.ids))
        half = (len(drawn) + 1) // 2
        for chunk in (drawn[:half], drawn[half:]):
            if chunk:
                yield self._slots(chunk, rng.randint(3, 8))

    def _draw(self, task: str, rng: random.Random, easy: float, astray: float) -> _Drawn:
        draw = self.corpus.easy_example if rng.random() < easy else self.corpus.example
        example = draw(task, rng)
        asked, lost = task, rng.random() < astray
        if lost:
            others = [t for t, family in FAMILY_OF.items() if family != FAMILY_OF[task]]
            asked = rng.choice(others)
        ids = self.backbone.encode(example.text_a, example.text_b, max_length=MAX_TEXT)
        return _Drawn(ids, self.hints[self.corpus.hint(asked, rng)], task, example.label, lost)

    def _slots(self, chunk: list[_Drawn], prompt: int) -> Slots:
        label = torch.tensor([item.label for item in chunk])
        lost = torch.tensor([item.astray for item in chunk])
        sure = F.one_hot(label, 2).float()
        return Slots(
            hints=torch.tensor([(item.hint * prompt)[:prompt] for item in chunk]),
            ids=pad([item.ids for item in chunk], self.backbone.pad_id),
            words=torch.tensor([self.words[item.task] for item in chunk]),
            labels=label,
            targets=torch.where(lost[:, None], torch.full_like(sure, 0.5), sure),
        )

    def running(self, n: int, rng: random.Random) -> list[list[int]]:
        """Token ids of `n` pieces of running text, no special tokens."""
        pieces = (self.backbone.token_ids(self.corpus.sentence(rng))[:48] for _ in range(n))
        return sorted((p for p in pieces if len(p) > 4), key=len)


def _all_hints() -> set[str]:
    return {hint for hints in HINTS.values() for hint in hints}


def pad(rows: list[list[int]], filler: int) -> Int[Tensor, "batch seq"]:
    """Rows of ids as one right-padded tensor."""
    width = max(map(len, rows))
    return torch.tensor([row + [filler] * (width - len(row)) for row in rows])


# --- losses --------------------------------------------------------------------------------------
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
        states = torch.zeros(0)
        self.head = nn.Linear(backbone.word_vectors().shape[1], 1)
        self._states: Float[Tensor, "batch token hidden"] = states
        encoder = ENCODERS[backbone.family](backbone.model)
        encoder.register_forward_hook(self._keep)

    def _keep(self, module: nn.Module, args: Any, output: Any) -> None:
        self._states = output.last_hidden_state

    def loss(self, ids: Int[Tensor, "batch seq"]) -> Tensor:
        """Mean binary cross entropy over the words of the pairs; 0 if there is no pair."""
        ends = ids == self.end
        second = (ends.cumsum(1) - ends.long()) > 0
        word = ~ends & (ids != self.pad)
        paired = word & (second & word).any(1, keepdim=True)
        if not paired.any():
            return torch.zeros(())
        same = ids[:, :, None] == ids[:, None, :]
        across = (second[:, :, None] != second[:, None, :]) & word[:, None, :]
        found = (same & across).any(2)
        scores = self.head(self._states[:, -ids.shape[1] :])[..., 0]
        return F.binary_cross_entropy_with_logits(scores[paired], found[paired].float())


def masking_loss(backbone: Backbone, rows: list[list[int]], rng: random.Random) -> Tensor:
    """RoBERTa's objective: 15 % of the tokens, of which 80 % masked, 10 % random, 10 % kept."""
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
    """T5's objective: 15 % of the tokens in spans of mean length 3, each behind a sentinel."""
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


# --- the loop ------------------------------------------------------------------------------------
@torch.no_grad()
def probe(feed: Feed, task: str, n: int = 160) -> tuple[float, float]:
    """Accuracy and margin on fresh examples of a task."""
    right, margins = 0, list[tuple[float, int]]()
    rng = random.Random(f"probe/{task}")
    for slots in feed.slots([task] * n, rng):
        scores = answer_logits(feed.backbone, slots).gather(1, slots.words)
        right += int((scores.argmax(1) == slots.labels).sum())
        difference = (scores[:, 1] - scores[:, 0]).tolist()
        margins += zip(difference, slots.labels.tolist(), strict=True)
    means = [_mean([m for m, y in margins if y == label]) for label in (0, 1)]
    return right / n, means[1] - means[0]


def _mean(values: list[float]) -> float:
    return sum(values) / max(1, len(values))


def rate(step: int, recipe: Recipe) -> float:
    """Learning-rate factor: linear warm-up, constant, at last a linear decay to 5 %."""
    total = recipe.answer_steps + recipe.mixed_steps
    left = (total - step) / (recipe.decay * total)
    return min((step + 1) / recipe.warmup, max(0.05, min(1.0, left)))


def optimiser(backbone: Backbone, matcher: Matcher, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW, with a rate of their own for the word vectors."""
    words = backbone.word_vectors()
    others = [p for p in backbone.model.parameters() if p is not words]
    groups = [
        {"params": others, "lr": recipe.learning_rate},
        {"params": [words], "lr": recipe.embedding_rate},
        {"params": list(matcher.parameters()), "lr": recipe.learning_rate},
    ]
    return torch.optim.AdamW(groups, betas=(0.9, 0.999), weight_decay=0.01, foreach=True)


def pretrain(
    recipe: Recipe, folder: Path, corpus_folder: Path | None, log: Callable[[str], None] = print
) -> Backbone:
    """Train one backbone and write its Hugging Face folder, in half precision, with its log.

    A killed run goes on from `checkpoint.pt` in `folder`.
    """
    plain = read_plain(corpus_folder, documents=recipe.documents, seed=recipe.seed)
    corpus = Corpus(plain=plain, held_out=held_out())
    backbone = fresh(recipe, corpus)
    backbone.model.requires_grad_(True)
    folder.mkdir(parents=True, exist_ok=True)
    _Loop(recipe, backbone, corpus, folder, log).run()
    backbone.model.requires_grad_(False)
    save_backbone(backbone, folder, dtype=torch.float16)
    settings = {
        **asdict(recipe),
        "plain_documents": len(plain),
        "parameters": backbone.parameters(),
    }
    (folder / "pretraining.json").write_text(json.dumps(settings, indent=1) + "\n")
    card.write(folder)
    (folder / "checkpoint.pt").unlink(missing_ok=True)
    return backbone


class _Loop:
    def __init__(
        self,
        recipe: Recipe,
        backbone: Backbone,
        corpus: Corpus,
        folder: Path,
        log: Callable[[str], None],
    ) -> None:
        self.recipe, self.backbone, self.folder, self.log = recipe, backbone, folder, log
        self.feed = Feed(backbone, corpus)
        self.matcher = Matcher(backbone)
        self.optimiser = optimiser(backbone, self.matcher, recipe)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimiser, lambda step: rate(step, recipe)
        )
        self.accuracy = dict.fromkeys(VERBALIZERS, 0.5)
        self.waiting = {task for task, _ in recipe.after}
        self.done, self.started = 0, time.time()

    def run(self) -> None:
        self._resume()
        total = self.recipe.answer_steps + self.recipe.mixed_steps
        losses = list[tuple[float, float]]()
        while self.done < total:
            losses.append(self._step())
            self.done += 1
            if self.done % self.recipe.evaluate_every == 0 or self.done == total:
                self._evaluate(losses)
                losses.clear()
                self._save()

    def _easy(self, task: str) -> float:
        if self.done >= self.recipe.easy_steps:
            return self.recipe.easy_later
        return self.recipe.easy if FAMILY_OF[task] == "sentiment" else self.recipe.easy_pairs

    def _step(self) -> tuple[float, float]:
        rng = random.Random(self.recipe.seed * 10_000_019 + self.done)
        mixed = self.done >= self.recipe.answer_steps
        size = self.recipe.batch_size
        learnt = {t: a >= self.recipe.learnt for t, a in self.accuracy.items()}
        self.waiting -= {t for t, first in self.recipe.after if learnt[first]}
        need = {t: 2.15 - 2 * a for t, a in self.accuracy.items() if t not in self.waiting}
        chosen = rng.choices(list(need), weights=list(need.values()), k=size)
        easy = {t: self._easy(t) for t in learnt}
        astray = {t: self.recipe.astray * done for t, done in learnt.items()}
        answer = 0.0
        for slots in self.feed.slots(chosen, rng, easy, astray):
            loss = answer_loss(self.backbone, slots, whole_vocabulary=mixed) / size
            if not mixed:
                loss = loss + self.matcher.loss(slots.ids) / 2
            loss.backward()  # type: ignore[no-untyped-call]
            answer += loss.item()
        language = 0.0
        if mixed:
            rows = self.feed.running(size, rng)
            loss = LANGUAGE_LOSS[self.recipe.family](self.backbone, rows, rng)
            loss.backward()  # type: ignore[no-untyped-call]
            language = loss.item()
        torch.nn.utils.clip_grad_norm_(self.backbone.model.parameters(), self.recipe.clip)
        self.optimiser.step()
        self.schedule.step()
        self.optimiser.zero_grad(set_to_none=True)
        return answer, language

    def _evaluate(self, losses: list[tuple[float, float]]) -> None:
        probes = {task: probe(self.feed, task) for task in self.accuracy}
        self.accuracy = {task: accuracy for task, (accuracy, _) in probes.items()}
        row = {
            "step": self.done,
            "seconds": round(time.time() - self.started),
            "answer_loss": round(_mean([a for a, _ in losses]), 4),
            "language_loss": round(_mean([b for _, b in losses]), 4),
            "accuracy": {task: round(a, 3) for task, (a, _) in probes.items()},
            "margin": {task: round(m, 2) for task, (_, m) in probes.items()},
        }
        with (self.folder / "pretraining.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        self.log(json.dumps(row))

    def _save(self) -> None:
        state = {
            "step": self.done,
            "accuracy": self.accuracy,
            "waiting": sorted(self.waiting),
            "matcher": self.matcher.state_dict(),
            "model": self.backbone.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
        }
        part = self.folder / "checkpoint.part"
        torch.save(state, part)
        part.rename(self.folder / "checkpoint.pt")

    def _resume(self) -> None:
        file = self.folder / "checkpoint.pt"
        if not file.exists():
            (self.folder / "pretraining.jsonl").unlink(missing_ok=True)
            return
        state = torch.load(file, weights_only=True)
        self.backbone.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.done = state["step"]
        self.matcher.load_state_dict(state["matcher"])
        self.accuracy, self.waiting = state["accuracy"], set(state["waiting"])
