"""Text for pretraining, drawn and tokenised: answer slots and running text."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from core.backbones.base import Backbone
from demo.corpus import HINTS, Corpus
from demo.questions import Asked
from demo.texts import FAMILY_OF, VERBALIZERS
from demo.texts.example import Example
from demo.weather import Splits, Weather

MAX_TEXT = 96


@dataclass(frozen=True, kw_only=True)
class Slots:
    """A padded batch of answer slots: hint, text, both words' ids and how likely each should be."""

    hints: Int[Tensor, "batch token"]
    ids: Int[Tensor, "batch seq"]
    words: Int[Tensor, "batch 2"]
    labels: Int[Tensor, " batch"]
    targets: Float[Tensor, "batch 2"]


@dataclass(frozen=True, kw_only=True)
class Spoken:
    """A padded batch of questions with answers in words; -100 fills short answers."""

    hints: Int[Tensor, "batch token"]
    ids: Int[Tensor, "batch seq"]
    answers: Int[Tensor, "batch word"]


@dataclass(frozen=True)
class _Drawn:
    ids: list[int]
    hint: list[int]
    task: str
    label: int
    astray: bool


class Feed:
    """Draws and tokenises text for one backbone, under some weather.

    The weather has draws of its own, so that under any weather the same texts come in the same
    order.
    """

    def __init__(self, backbone: Backbone, corpus: Corpus, weather: Weather | None = None) -> None:
        self.backbone, self.corpus, self.weather = backbone, corpus, weather
        tokenizer = backbone.tokenizer
        self.splits = Splits(tokenizer.get_vocab(), frozenset(tokenizer.all_special_ids))
        self.words = {t: [backbone.token_ids(w)[0] for w in VERBALIZERS[t]] for t in VERBALIZERS}
        self.hints = {h: backbone.token_ids(h) for h in _all_hints()}

    def slots(
        self,
        tasks: list[str],
        rng: random.Random,
        easy: Mapping[str, float] = MappingProxyType({}),
        astray: Mapping[str, float] = MappingProxyType({}),
        real: Mapping[str, float] = MappingProxyType({}),
    ) -> Iterator[Slots]:
        """Answer slots of the given tasks in two chunks by length.

        Shares by task: `real` of rows that people wrote, `easy` of the other texts, and `astray`
        of another family's hints.
        """
        drawn = [
            self._draw(t, self._example(t, rng, easy.get(t, 0.0), real.get(t, 0.0)), rng, astray)
            for t in tasks
        ]
        drawn.sort(key=lambda item: len(item.ids))
        half = (len(drawn) + 1) // 2
        for chunk in (drawn[:half], drawn[half:]):
            if chunk:
                yield self._slots(chunk, rng.randint(3, 8))

    def _example(self, task: str, rng: random.Random, easy: float, real: float) -> Example:
        if real and rng.random() < real:
            return self.corpus.real_example(task, rng)
        draw = self.corpus.easy_example if rng.random() < easy else self.corpus.example
        return draw(task, rng)

    def _draw(
        self, task: str, example: Example, rng: random.Random, astray: Mapping[str, float]
    ) -> _Drawn:
        asked, lost = task, rng.random() < astray.get(task, 0.0)
        if lost:
            others = [t for t, family in FAMILY_OF.items() if family != FAMILY_OF[task]]
            asked = rng.choice(others)
        ids = self.encode(example.text_a, example.text_b, rng)
        return _Drawn(ids, self.hints[self.corpus.hint(asked, rng)], task, example.label, lost)

    def encode(
        self, text_a: str, text_b: str | None, rng: random.Random, *, names: bool = True
    ) -> list[int]:
        """Token ids of a text or pair as the weather leaves it, names too unless told."""
        if self.weather is None:
            return self.backbone.encode(text_a, text_b, max_length=MAX_TEXT)
        own = random.Random(f"{rng.getrandbits(60)}/weather")
        weather = self.weather if names else replace(self.weather, unknown_names=0.0)
        texts = weather.on((text_a, text_b), own)
        ids = self.backbone.encode(*texts, max_length=MAX_TEXT)
        return self.weather.apart(ids, self.splits, own)

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

    def spoken(self, asked: list[Asked], rng: random.Random) -> Spoken:
        """Questions with answers in words; the weather strikes their texts, never their names."""
        prompt, end = rng.randint(3, 8), self.backbone.tokenizer.eos_token_id
        hints = [self.backbone.token_ids(each.hint) for each in asked]
        texts = [self.encode(each.text_a, each.text_b, rng, names=False) for each in asked]
        answers = [[*self.backbone.token_ids(each.answer), end] for each in asked]
        return Spoken(
            hints=torch.tensor([(hint * prompt)[:prompt] for hint in hints]),
            ids=pad(texts, self.backbone.pad_id),
            answers=pad(answers, -100),
        )

    def running(self, n: int, rng: random.Random) -> list[list[int]]:
        """Token ids of `n` pieces of running text, no special tokens."""
        pieces = (self._running(self.corpus.sentence(rng), rng)[:48] for _ in range(n))
        return sorted((p for p in pieces if len(p) > 4), key=len)

    def _running(self, text: str, rng: random.Random) -> list[int]:
        if self.weather is None:
            return self.backbone.token_ids(text)
        own = random.Random(f"{rng.getrandbits(60)}/weather")
        text, _ = self.weather.on((text, None), own)
        return self.weather.apart(self.backbone.token_ids(text), self.splits, own)


def _all_hints() -> set[str]:
    return {hint for hints in HINTS.values() for hint in hints}


def pad(rows: list[list[int]], filler: int) -> Int[Tensor, "batch seq"]:
    """Rows of ids as one right-padded tensor."""
    width = max(map(len, rows))
    return torch.tensor([row + [filler] * (width - len(row)) for row in rows])
