"""Go on from a trunk: `python -m demo second-stage`.

The trunk knows the grammars; here it meets English that people wrote, and its counterpart meets
the same texts in bad weather. Each step has answer slots (generated texts and labelled rows) and
language modelling, as in the first stage's second phase. How often a task is drawn is fixed, and
the weather has draws of its own: both backbones of a pair see the same texts in the same order.
"""

import json
import random
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

import torch

from core.backbones import load_backbone
from core.backbones.base import Backbone
from core.backbones.fresh import save_backbone
from demo import card, questions
from demo.corpus import HINTS, Corpus, read_plain
from demo.feed import Feed, pad
from demo.losses import LANGUAGE_LOSS, Density, answer_loss, spoken_logits, spoken_loss
from demo.pretrain import optimiser, probe, rate
from demo.real import read_real
from demo.recipes import Stage
from demo.splits import held_out
from demo.texts import VERBALIZERS

PROMPT = 8
"""Length of the hint that stands in the soft prompt's place where something is measured."""


@lru_cache(maxsize=1)
def visitors() -> tuple[tuple[str, int], ...]:
    """Plain sentences as a first visitor types them, with their label; never trained on."""
    path = Path(__file__).with_name("visitors.toml")
    lists: Mapping[str, list[str]] = tomllib.loads(path.read_text("utf-8"))
    return tuple(
        (text, label) for label, name in enumerate(("negative", "positive")) for text in lists[name]
    )


@torch.no_grad()
def right(
    backbone: Backbone, task: str, rows: Sequence[tuple[str, str | None, int]], hint: str
) -> float:
    """Share of rows whose answer word wins, with the words of a hint in the prompt's place."""
    words = torch.tensor([backbone.token_ids(w)[0] for w in VERBALIZERS[task]])
    ids = (backbone.token_ids(hint) * PROMPT)[:PROMPT]
    vectors = backbone.word_vectors()[torch.tensor(ids)]
    found = 0
    for start in range(0, len(rows), 64):
        part = rows[start : start + 64]
        texts = pad([backbone.encode(a, b) for a, b, _ in part], backbone.pad_id)
        state = backbone.answer_state(vectors, texts, texts != backbone.pad_id)
        answers = backbone.logits(state, words).argmax(1).tolist()
        found += sum(a == label for a, (_, _, label) in zip(answers, part, strict=True))
    return found / len(rows)


@torch.no_grad()
def exact(feed: Feed, n: int = 200, question: str | None = None) -> float:
    """Share of fresh questions that are answered word for word (T5, the likeliest word each)."""
    rng, found = random.Random("exact"), 0
    asked = [questions.draw(feed.corpus, rng, question) for _ in range(n)]
    for start in range(0, n, 50):
        spoken = feed.spoken(asked[start : start + 50], rng)
        best = spoken_logits(feed.backbone, spoken).argmax(2)
        found += int(((best == spoken.answers) | (spoken.answers == -100)).all(1).sum())
    return found / n


def second_stage(
    stage: Stage,
    folder: Path,
    trunk: Path,
    corpus_folder: Path | None,
    data_folder: Path | None,
    log: Callable[[str], None] = print,
) -> Backbone:
    """Train on from the trunk's folder and write another one, in half precision, with its log.

    A killed run goes on from `checkpoint.pt` in `folder`.
    """
    plain = read_plain(corpus_folder, documents=stage.documents, seed=stage.seed)
    corpus = Corpus(plain=plain, held_out=held_out(), real=read_real(data_folder))
    backbone = load_backbone(trunk)
    backbone.model.float().requires_grad_(True)
    folder.mkdir(parents=True, exist_ok=True)
    SecondStage(stage, backbone, corpus, folder, log).run()
    backbone.model.requires_grad_(False)
    save_backbone(backbone, folder, dtype=torch.float16)
    settings = {
        **asdict(stage),
        "plain_documents": len(plain),
        "real_rows": {task: sum(map(len, rows)) for task, rows in corpus.real.items()},
        "parameters": backbone.parameters(),
    }
    (folder / "second.json").write_text(json.dumps(settings, indent=1) + "\n")
    _keep_first_stage(trunk, folder)
    card.write_second(folder)
    return backbone


def _keep_first_stage(trunk: Path, folder: Path) -> None:
    """Settings and log of the first stage, beside those of the second."""
    for name in ("pretraining.json", "pretraining.jsonl"):
        if (trunk / name).is_file():
            (folder / name).write_bytes((trunk / name).read_bytes())


class SecondStage:
    """The loop; all randomness comes from the seed and the number of the step."""

    def __init__(
        self,
        stage: Stage,
        backbone: Backbone,
        corpus: Corpus,
        folder: Path,
        log: Callable[[str], None],
    ) -> None:
        self.stage, self.backbone, self.folder, self.log = stage, backbone, folder, log
        self.feed = Feed(backbone, corpus, stage.weather)
        self.clear = Feed(backbone, corpus)
        self.density = Density(backbone)
        self.optimiser = optimiser(backbone, stage)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimiser, lambda step: rate(step, stage)
        )
        self.done, self.seconds, self.since = 0, 0.0, time.time()
        self.losses: dict[str, list[float]] = {}

    def run(self) -> None:
        """All steps that are left, with an evaluation and a checkpoint every now and then."""
        self._resume()
        while self.done < self.stage.steps:
            self._step()
            self.done += 1
            if self.done % self.stage.evaluate_every == 0 or self.done == self.stage.steps:
                self._evaluate()
                self._save()

    def _step(self) -> None:
        rng = random.Random(f"{self.stage.seed}/{self.done}")
        self._answer(rng)
        self._language(rng)
        if self.stage.questions:
            self._questions(rng)
        torch.nn.utils.clip_grad_norm_(self.backbone.model.parameters(), self.stage.clip)
        self.optimiser.step()
        self.schedule.step()
        self.optimiser.zero_grad(set_to_none=True)

    def _answer(self, rng: random.Random) -> None:
        stage = self.stage
        tasks, size = list(stage.weights), stage.batch_size
        chosen = rng.choices(tasks, weights=list(stage.weights.values()), k=size)
        easy, astray = dict.fromkeys(tasks, stage.easy), dict.fromkeys(tasks, stage.astray)
        total = 0.0
        for slots in self.feed.slots(chosen, rng, easy, astray, stage.real):
            loss = answer_loss(self.backbone, slots, whole_vocabulary=True) / size
            total += loss.item()
            self._back(loss, 0.5)
        self._note("answer_loss", total)

    def _language(self, rng: random.Random) -> None:
        rows = self.feed.running(self.stage.running, rng)
        loss = LANGUAGE_LOSS[self.stage.family](self.backbone, rows, rng)
        self._note("language_loss", loss.item())
        self._back(loss, 1.0)

    def _questions(self, rng: random.Random) -> None:
        asked = [questions.draw(self.feed.corpus, rng) for _ in range(self.stage.questions)]
        loss = spoken_loss(self.backbone, self.feed.spoken(asked, rng))
        self._note("question_loss", loss.item())
        self._back(loss, 0.0)

    def _back(self, loss: torch.Tensor, share: float) -> None:
        """Gradients of a loss and of the density of the activations that came with it."""
        density = self.density.take()
        self._note("density", density.item())
        weight = self.stage.density * share
        (loss + weight * density if weight else loss).backward()  # type: ignore[no-untyped-call]

    def _note(self, name: str, value: float) -> None:
        self.losses.setdefault(name, []).append(value)

    def _evaluate(self) -> None:
        accuracy = {task: round(probe(self.clear, task)[0], 3) for task in VERBALIZERS}
        rows = [(text, None, label) for text, label in visitors()]
        plain = right(self.backbone, "short_reviews", rows, HINTS["short_reviews"][0])
        now = time.time()
        self.seconds, self.since = self.seconds + now - self.since, now
        row = {
            "step": self.done,
            "seconds": round(self.seconds),
            **{name: round(sum(v) / len(v), 4) for name, v in self.losses.items()},
            "visitors": round(plain, 3),
            "accuracy": accuracy,
        }
        if self.stage.questions:
            row["exact"] = round(exact(self.clear), 3)
        self.losses.clear()
        self.density.take()
        with (self.folder / "second.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        self.log(json.dumps(row))

    def _save(self) -> None:
        state = {
            "step": self.done,
            "seconds": self.seconds,
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
            (self.folder / "second.jsonl").unlink(missing_ok=True)
            return
        state = torch.load(file, weights_only=True)
        self.backbone.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.done, self.seconds = state["step"], state["seconds"]
