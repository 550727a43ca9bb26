"""Pretrain the embedded backbones from nothing: `python -m demo pretrain`.

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
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch

from core.backbones.base import Backbone
from core.backbones.fresh import save_backbone
from demo import card
from demo.corpus import Corpus, read_plain
from demo.feed import Feed
from demo.losses import LANGUAGE_LOSS, Density, Matcher, answer_logits, answer_loss
from demo.recipes import Recipe, Stage, fresh
from demo.splits import held_out
from demo.texts import FAMILY_OF, VERBALIZERS


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


def rate(step: int, recipe: Recipe | Stage) -> float:
    """Learning-rate factor: linear warm-up, constant, at last a linear decay to 5%."""
    left = (recipe.steps - step) / (recipe.decay * recipe.steps)
    return min((step + 1) / recipe.warmup, max(0.05, min(1.0, left)))


def optimiser(
    backbone: Backbone, recipe: Recipe | Stage, matcher: Matcher | None = None
) -> torch.optim.AdamW:
    """AdamW, with a rate of their own for the word vectors."""
    words = backbone.word_vectors()
    others = [p for p in backbone.model.parameters() if p is not words]
    groups = [
        {"params": others, "lr": recipe.learning_rate},
        {"params": [words], "lr": recipe.embedding_rate},
    ]
    if matcher is not None:
        groups.append({"params": list(matcher.parameters()), "lr": recipe.learning_rate})
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
        self.matcher, self.density = Matcher(backbone), Density(backbone)
        self.optimiser = optimiser(backbone, recipe, self.matcher)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimiser, lambda step: rate(step, recipe)
        )
        self.accuracy = dict.fromkeys(VERBALIZERS, 0.5)
        self.waiting = {task for task, _ in recipe.after}
        self.done, self.started = 0, time.time()
        self.dense = 0.0

    def run(self) -> None:
        self._resume()
        total = self.recipe.steps
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

    def _sparsity(self) -> float:
        weights = [weight for start, weight in self.recipe.sparsity if start <= self.done]
        return weights[-1] if weights else 0.0

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
            answer += loss.item()
            density = self.density.take()
            if mixed:
                loss = loss + self._sparsity() * density / 2
            else:
                loss = loss + self.matcher.loss(slots.ids) / 2
            loss.backward()  # type: ignore[no-untyped-call]
        language = 0.0
        if mixed:
            rows = self.feed.running(size, rng)
            loss = LANGUAGE_LOSS[self.recipe.family](self.backbone, rows, rng)
            language = loss.item()
            density = self.density.take()
            self.dense = density.item()
            loss = loss + self._sparsity() * density
            loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.backbone.model.parameters(), self.recipe.clip)
        self.optimiser.step()
        self.schedule.step()
        self.optimiser.zero_grad(set_to_none=True)
        return answer, language

    def _evaluate(self, losses: list[tuple[float, float]]) -> None:
        probes = {task: probe(self.feed, task) for task in self.accuracy}
        self.density.take()
        self.accuracy = {task: accuracy for task, (accuracy, _) in probes.items()}
        row = {
            "step": self.done,
            "seconds": round(time.time() - self.started),
            "answer_loss": round(_mean([a for a, _ in losses]), 4),
            "language_loss": round(_mean([b for _, b in losses]), 4),
            "density": round(self.dense, 3),
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
