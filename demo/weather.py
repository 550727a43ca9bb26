"""What messy training text looks like: slips, asides, unknown names, words in unusual pieces.

For the weathered backbone of a pair. The dashboard's attacks have code and words of their own
(core/tasks/attacks.py): training text and test text are messy in the same spirit, never by the same
hand.
Slips here hit a neighbouring key too, strike words of three letters or more, and any letter of
them. The label of a text stays: an aside says nothing of what is asked, and an invented name
replaces the old one in both texts.
"""

import random
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

Texts = tuple[str, str | None]


@dataclass(frozen=True, kw_only=True)
class Weather:
    """Shares of texts that are struck, in [0, 1]; all at 0 is fair weather."""

    slips: float = 0.0
    another_slip: float = 0.5  # chance of one more, after each
    asides: float = 0.0
    unknown_names: float = 0.0
    pieces: float = 0.0
    split: float = 0.15  # share of a struck text's tokens that come in two pieces

    def on(self, texts: Texts, rng: random.Random) -> Texts:
        """A text or a pair as this weather leaves it; the label stays."""
        if rng.random() < self.unknown_names:
            texts = rename(texts, rng)
        first, second = (text and self._roughen(text, rng) for text in texts)
        return first or "", second

    def _roughen(self, text: str, rng: random.Random) -> str:
        if rng.random() < self.asides:
            text = with_aside(text, rng)
        if rng.random() < self.slips:
            text = slip(text, rng)
            while rng.random() < self.another_slip:
                text = slip(text, rng)
        return text

    def apart(self, ids: list[int], splits: "Splits", rng: random.Random) -> list[int]:
        """The same text in other pieces of the vocabulary, if it is struck."""
        return splits.some(ids, self.split, rng) if rng.random() < self.pieces else ids


FAIR = Weather()


@lru_cache(maxsize=1)
def _lists() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))


def slip(text: str, rng: random.Random) -> str:
    """One slip of a finger in a word of three letters or more; the text itself if it has none."""
    words = list(re.finditer(r"[A-Za-z]{3,}", text))
    if not words:
        return text
    word = rng.choice(words)
    at = rng.randrange(word.start(), word.end())
    return rng.choice(_STRUCK)(text, at, rng)


def _neighbour(text: str, at: int, rng: random.Random) -> str:
    key: str = rng.choice(_lists()["keyboard"][text[at].lower()])
    return text[:at] + (key.upper() if text[at].isupper() else key) + text[at + 1 :]


def _left_out(text: str, at: int, rng: random.Random) -> str:
    return text[:at] + text[at + 1 :]


def _twice(text: str, at: int, rng: random.Random) -> str:
    return text[: at + 1] + text[at].lower() + text[at + 1 :]


def _exchanged(text: str, at: int, rng: random.Random) -> str:
    at = at if text[at + 1 : at + 2].isalpha() else at - 1
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :]


_STRUCK = (_neighbour, _left_out, _twice, _exchanged)


def with_aside(text: str, rng: random.Random) -> str:
    """A remark before or after the text that says nothing of what is asked."""
    asides = _lists()["asides"]
    if rng.random() < 0.5:
        return str(rng.choice(asides["before"])) + text
    return text.rstrip() + str(rng.choice(asides["after"]))


def invented(rng: random.Random) -> str:
    """A name that no tokenizer has met as a whole."""
    parts = _lists()["syllables"]
    middle = rng.choice(parts["middle"]) if rng.random() < 0.5 else ""
    return f"{rng.choice(parts['first'])}{middle}{rng.choice(parts['last'])}"


def rename(texts: Texts, rng: random.Random) -> Texts:
    """One name of the texts, wherever it stands, becomes an invented one.

    A name is a capitalised word that stands within a sentence at least once.
    """
    joined = " \n".join(filter(None, texts))
    names = sorted(set(re.findall(r"(?<=[a-z,] )[A-Z][a-z]{2,}\b", joined)))
    if not names:
        return texts
    old, new = rng.choice(names), invented(rng)
    first, second = (text and re.sub(rf"\b{old}\b", new, text) for text in texts)
    return first or "", second


class Splits:
    """Ways to write a token as two others of the same vocabulary (for BPE and unigram alike)."""

    def __init__(self, vocabulary: Mapping[str, int], special: frozenset[int]) -> None:
        self._halves: dict[int, tuple[tuple[int, int], ...]] = {}
        for piece, number in vocabulary.items():
            cuts = ((piece[:at], piece[at:]) for at in range(1, len(piece)))
            known = ((vocabulary.get(a), vocabulary.get(b)) for a, b in cuts)
            if number not in special:
                self._halves[number] = tuple((a, b) for a, b in known if a and b)

    def some(self, ids: list[int], share: float, rng: random.Random) -> list[int]:
        """Each token that can be split is, with this chance; halves may be split again."""
        result = list[int]()
        waiting = list(reversed(ids))
        while waiting:
            token = waiting.pop()
            halves = self._halves.get(token, ())
            if halves and rng.random() < share:
                waiting += reversed(rng.choice(halves))
            else:
                result.append(token)
        return result
