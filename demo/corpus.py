"""What the embedded backbones are pretrained on: our own tasks and, if given, plain English."""

import gzip
import random
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from core.base.errors import BadInput
from demo.real import Labelled
from demo.texts import FAMILY_OF, GENERATORS, VERBALIZERS
from demo.texts.example import Example

# What stands where a soft prompt will stand. Bags of words: the hint positions carry no order.
HINTS: dict[str, tuple[str, ...]] = {
    "short_reviews": (
        "verdict of a short review",
        "review opinion short",
        "sentiment review brief",
    ),
    "long_reviews": ("verdict of a long review", "review opinion long", "sentiment review whole"),
    "opinions": ("verdict of a post", "post opinion informal", "sentiment post chat"),
    "entailment": ("does it follow from the statement", "follows premise", "statement implies"),
    "answerability": ("does it answer the question", "answers question", "question answered here"),
    "question_pairs": ("do both questions mean the same", "same question", "equal questions"),
    "sentence_pairs": ("do both sentences mean the same", "same sentence", "equal sentences"),
    "excuses": ("is the excuse fine", "excuse for a duty", "duty excuse reasonable"),
    "treatment": ("is the reason fair", "fair treatment", "reason for a change fair"),
}
_SENTENCE = re.compile(r"(?<=[.!?])\s+")


@lru_cache(maxsize=1)
def _polarity_words() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Negative and positive phrases of the sentiment lexicon."""
    path = Path(__file__).parent / "texts" / "words" / "sentiment.toml"
    found: dict[str, set[str]] = {"neg": set(), "pos": set()}

    def walk(table: dict[str, Any]) -> None:
        for name, value in table.items():
            if isinstance(value, dict):
                walk(value)
            elif isinstance(value, str) and name[:3] in found:
                found[name[:3]].update(part.strip() for part in value.split(","))

    walk(tomllib.loads(path.read_text("utf-8")))
    negative, positive = ("|".join(map(re.escape, sorted(found[k]))) for k in ("neg", "pos"))
    return re.compile(rf"\b({negative})\b"), re.compile(rf"\b({positive})\b")


def leaning(text: str) -> int:
    """1 with more positive than negative phrases, -1 with fewer, else 0; blind to negation."""
    negative, positive = (len(words.findall(text.lower())) for words in _polarity_words())
    return (positive > negative) - (positive < negative)


def normalised(example: Example) -> str:
    """Letters and digits only; two examples with the same value are the same text."""
    both = f"{example.text_a} | {example.text_b or ''}".lower()
    return " ".join(re.findall(r"[a-z0-9|]+", both))


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Endless text, one draw at a time; `held_out` texts never come up."""

    plain: tuple[str, ...]
    held_out: frozenset[str]
    real: Mapping[str, Labelled] = field(default_factory=dict)

    def example(self, task: str, rng: random.Random) -> Example:
        """A fresh example of a task that is in no evaluation split."""
        while normalised(example := GENERATORS[task](rng)) in self.held_out:
            pass
        return example

    def easy_example(self, task: str, rng: random.Random) -> Example:
        """The same, but one to start with.

        Sentiment: the polarity words alone give the label. Pairs: label 0 has two texts of
        different examples.
        """
        while True:
            example = self.example(task, rng)
            if example.text_b is not None:
                other = example if example.label else self.example(task, rng)
                mixed = replace(example, text_b=other.text_b)
                if normalised(mixed) in self.held_out:
                    continue
                return mixed
            if FAMILY_OF[task] != "sentiment":
                return example
            if leaning(example.text_a) == (1 if example.label else -1):
                return example

    def real_example(self, task: str, rng: random.Random) -> Example:
        """A row that a person wrote; a generated one where there is none."""
        rows = self.real.get(task)
        return self.example(task, rng) if rows is None else rng.choice(rows[rng.randrange(2)])

    def sentence(self, rng: random.Random) -> str:
        """One piece of running text: half of the draws from the tasks, half plain English."""
        if not self.plain or rng.random() < 0.5:
            example = self.example(rng.choice(list(GENERATORS)), rng)
            return f"{example.text_a} {example.text_b or ''}".strip()
        sentences = _SENTENCE.split(rng.choice(self.plain))
        start = rng.randrange(len(sentences))
        return " ".join(sentences[start : start + 2])[:240]

    def hint(self, task: str, rng: random.Random) -> str:
        """Words that tell the backbone which task the answer slot asks for."""
        return rng.choice(HINTS[task])


def read_plain(folder: Path | None, *, documents: int, seed: int) -> tuple[str, ...]:
    """A seeded sample of `*.txt.gz` documents (one a line); empty without a folder."""
    if folder is None:
        return ()
    rng = random.Random(seed)
    files = sorted(folder.glob("*.txt.gz"))
    if not files:
        raise BadInput(f"{folder} holds no *.txt.gz; --corpus takes a folder of such files.")
    sample: list[str] = []
    for file in files:
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            texts = [line.strip()[:2000] for line in lines if len(line) > 40]
        sample += rng.sample(texts, min(documents // len(files), len(texts)))
    return tuple(sample)


def tokenizer_texts(corpus: Corpus, *, seed: int, draws: int) -> Iterator[str]:
    """What the tokenizers are trained on; label words stand alone so that each is one piece."""
    rng = random.Random(seed)
    for task, words in VERBALIZERS.items():
        yield from (word for word in words for _ in range(draws // 100))
        for _ in range(draws):
            example = corpus.example(task, rng)
            yield from filter(None, (example.text_a, example.text_b))
        yield from HINTS[task] * 50
    yield from (text[:400] for text in corpus.plain[:: max(1, len(corpus.plain) // 6000)])
