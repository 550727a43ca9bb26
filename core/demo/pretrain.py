"""Pretrain the embedded backbones from nothing: `python -m core demo pretrain`.

Two phases. First answer slots only: a hint in the soft prompt's place, the text, the answer word.
All tasks at once stall at chance, so one task at a time is in focus and fills most of the batch,
until it is learnt or has had its time; the learnt ones go on in small numbers. A sentiment task
starts with easy texts, whose words alone give the sentiment away: where nothing simple hints at the
answer, the slot learns to ignore its context, and stays so. Then half of each step is ordinary
language modelling (masking for RoBERTa, span corruption for T5), both losses weighing the same.
Each evaluation goes to a log: loss, accuracy and margin per task. The margin is the difference of
the answer logits between the two classes' texts: 0 means that the context is ignored.
"""

import json
import random
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from core.backbones.base import Backbone
from core.backbones.fresh import (
    SENTINELS,
    fresh_roberta,
    fresh_t5,
    save_backbone,
    train_bpe,
    train_unigram,
)
from core.demo import card
from core.demo.corpus import HINTS, Corpus, read_plain, tokenizer_texts
from core.demo.splits import held_out
from core.demo.texts import VERBALIZERS

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
    evaluate_every: int = 250
    order: tuple[str, ...] = (
        "opinions",
        "short_reviews",
        "entailment",
        "long_reviews",
        "sentence_pairs",
        "question_pairs",
        "answerability",
        "treatment",
        "excuses",
    )
    learnt: float = 0.8
    patience: int = 1200
    easy_steps: int = 800


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
        answer_steps=5_000,
        mixed_steps=700,
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
        answer_steps=5_000,
        mixed_steps=700,
        learning_rate=4e-4,
        embedding_rate=4e-3,
    ),
}


def fresh(recipe: Recipe, corpus: Corpus) -> Backbone:
    """Tokenizer and random weights."""
    texts = tokenizer_texts(corpus, seed=recipe.seed, draws=4000)
    if recipe.family == "roberta":
        tokenizer = train_bpe(texts, recipe.vocabulary)
        return fresh_roberta(tokenizer, seed=recipe.seed, **recipe.sizes)
    tokenizer = train_unigram(texts, recipe.vocabulary)
    return fresh_t5(tokenizer, seed=recipe.seed, **recipe.sizes)


# --- batches -------------------------------------------------------------------------------------
@dataclass(frozen=True, kw_only=True)
class Slots:
    """A padded batch of answer slots: hint, text, the answer word's id, both words' ids."""

    hints: Int[Tensor, "batch token"]
    ids: Int[Tensor, "batch seq"]
    answers: Int[Tensor, " batch"]
    words: Int[Tensor, "batch 2"]
    labels: Int[Tensor, " batch"]


class Feed:
    """Draws and tokenises text for one backbone."""

    def __init__(self, backbone: Backbone, corpus: Corpus) -> None:
        self.backbone, self.corpus = backbone, corpus
        self.words = {t: [backbone.token_ids(w)[0] for w in VERBALIZERS[t]] for t in VERBALIZERS}
        self.hints = {h: backbone.token_ids(h) for h in _all_hints()}

    def slots(
        self, tasks: list[str], rng: random.Random, beginners: Collection[str] = ()
    ) -> Iterator[Slots]:
        """Answer slots of the given tasks, those of beginners mostly easy, in two chunks."""
        drawn = []
        for task in tasks:
            easy = task in beginners and rng.random() < 0.8
            draw = self.corpus.easy_example if easy else self.corpus.example
            example = draw(task, rng)
            text = self.backbone.encode(example.text_a, example.text_b, max_length=MAX_TEXT)
            drawn.append((text, self.hints[self.corpus.hint(task, rng)], task, example.label))
        drawn.sort(key=lambda item: len(item[0]))
        half = (len(drawn) + 1) // 2
        for chunk in (drawn[:half], drawn[half:]):
            if chunk:
                yield self._slots(chunk, rng.randint(3, 8))

    def _slots(self, chunk: list[tuple[list[int], list[int], str, int]], prompt: int) -> Slots:
        texts, hints, tasks, labels = zip(*chunk, strict=True)
        words = torch.tensor([self.words[task] for task in tasks])
        label = torch.tensor(labels)
        return Slots(
            hints=torch.tensor([(h * prompt)[:prompt] for h in hints]),
            ids=pad(list(texts), self.backbone.pad_id),
            answers=words[torch.arange(len(label)), label],
            words=words,
            labels=label,
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
    if whole_vocabulary:
        return F.cross_entropy(scores, slots.answers, reduction="sum")
    return F.cross_entropy(scores.gather(1, slots.words), slots.labels, reduction="sum")


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
def probe(feed: Feed, task: str, n: int = 192) -> tuple[float, float]:
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


def optimiser(backbone: Backbone, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW, with a rate of their own for the word vectors."""
    words = backbone.word_vectors()
    others = [p for p in backbone.model.parameters() if p is not words]
    groups = [
        {"params": others, "lr": recipe.learning_rate},
        {"params": [words], "lr": recipe.embedding_rate},
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
        self.optimiser = optimiser(backbone, recipe)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimiser, lambda step: rate(step, recipe)
        )
        self.accuracy = dict.fromkeys(recipe.order, 0.5)
        self.focused = dict.fromkeys(recipe.order, 0)
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

    def _focus(self) -> str | None:
        """The task to learn now: the first that is not learnt, had its time fewest times over."""
        behind = [t for t, a in self.accuracy.items() if a < self.recipe.learnt]
        rounds = {t: self.focused[t] // self.recipe.patience for t in behind}
        return min(behind, key=lambda t: rounds[t], default=None)

    def _weight(self, task: str, focus: str | None) -> float:
        if task == focus:
            return 3.0
        learnt = self.accuracy[task] >= self.recipe.learnt or focus is None
        return 0.15 + 2 * (1 - self.accuracy[task]) if learnt else 0.1

    def _step(self) -> tuple[float, float]:
        rng = random.Random(self.recipe.seed * 10_000_019 + self.done)
        mixed = self.done >= self.recipe.answer_steps
        size = self.recipe.batch_size
        focus = None if mixed else self._focus()
        tasks = list(self.accuracy)
        chosen = rng.choices(tasks, weights=[self._weight(t, focus) for t in tasks], k=size)
        if focus is not None:
            self.focused[focus] += 1
        beginners = [t for t in tasks if self.focused[t] < self.recipe.easy_steps]
        answer = 0.0
        for slots in self.feed.slots(chosen, rng, () if mixed else beginners):
            loss = answer_loss(self.backbone, slots, whole_vocabulary=mixed) / size
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
            "focused": self.focused,
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
        self.accuracy, self.focused = state["accuracy"], state["focused"]
