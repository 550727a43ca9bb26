"""Text for pretraining, drawn and tokenised: answer slots and running text."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from core.backbones.base import Backbone
from demo.corpus import HINTS, Corpus
from demo.texts import FAMILY_OF, VERBALIZERS

MAX_TEXT = 96


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
