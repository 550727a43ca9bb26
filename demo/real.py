"""Labelled rows that people wrote, for the second stage: train splits of a local folder.

No row is shipped, and no dev or test split is opened here. Each built-in task has the rows that ask
its own question; SST-2 stands with short reviews and opinions, IMDB with these and long reviews.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path

from core.base.errors import BadInput
from demo.texts.example import Example

Labelled = tuple[tuple[Example, ...], tuple[Example, ...]]
"""Rows of label 0 and of label 1, so that both are drawn equally often."""

PAIRS: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    "question_pairs": ("qqp/train.jsonl", "question1", "question2", ("1",)),
    "sentence_pairs": ("mrpc/train.jsonl", "sentence1", "sentence2", ("1",)),
    "answerability": ("qnli/derived_train.jsonl", "question", "sentence", ("entailment",)),
    "entailment": ("mnli/derived_train.jsonl", "premise", "hypothesis", ("entailment",)),
}
LONGEST_PAIR = 260
EXTRACT = 320
SURE = 4.0
"""Log odds of a review's sentence from which on its words are taken to agree with the verdict."""

_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
_WORD = re.compile(r"[a-z']+")
_SPACED = ((r"\s+([.,;:!?%)])", r"\1"), (r"\(\s+", "("), (r"\s+(n't|'\w+)\b", r"\1"))


def read_real(folder: Path | None) -> Mapping[str, Labelled]:
    """Rows of each task that has some; empty without a folder."""
    if folder is None:
        return {}
    phrases = list(_texts(folder, "sst2/train.jsonl", "sentence"))
    reviews = list(_texts(folder, "imdb/train.jsonl", "text"))
    short = [*_phrases(phrases), *sure_sentences(reviews, phrases)]
    found = {"short_reviews": short, "opinions": short, "long_reviews": list(_extracts(reviews))}
    for task in PAIRS:
        found[task] = list(_pairs(folder, task))
    return {task: _by_label(examples) for task, examples in found.items()}


def _rows(folder: Path, name: str) -> Iterator[dict[str, object]]:
    file = folder / name
    if not file.is_file():
        raise BadInput(f"{folder} has no {name}; --data takes a folder of such files.")
    with file.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _texts(folder: Path, name: str, column: str) -> Iterator[tuple[str, int]]:
    for row in _rows(folder, name):
        yield str(row[column]).strip(), int(str(row["label"]))


def _by_label(examples: Iterable[Example]) -> Labelled:
    rows = tuple(examples)
    return tuple(e for e in rows if e.label == 0), tuple(e for e in rows if e.label == 1)


def tidy(text: str) -> str:
    """A tokenised phrase as a person would write it: `it 's good .` becomes `It's good.`"""
    for pattern, plain in _SPACED:
        text = re.sub(pattern, plain, text)
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text[-1:] in ".!?" else ".")


def _phrases(rows: Iterable[tuple[str, int]]) -> Iterator[Example]:
    """Each phrase of two or more words as it is stored and as a person would write it."""
    for text, label in rows:
        if len(text.split()) > 1:
            yield Example(text_a=text, label=label, kind="phrase")
            yield Example(text_a=tidy(text), label=label, kind="phrase")


def _extracts(reviews: Iterable[tuple[str, int]]) -> Iterator[Example]:
    """Beginning and end of each review, at whole sentences."""
    for text, label in reviews:
        sentences = _SENTENCE.split(text)
        for part in (sentences, sentences[::-1]):
            kept, size = list[str](), 0
            while len(kept) < len(part) and size + len(part[len(kept)]) <= EXTRACT:
                kept.append(part[len(kept)])
                size += len(kept[-1]) + 1
            if size > 80:
                ordered = kept if part is sentences else kept[::-1]
                yield Example(text_a=" ".join(ordered), label=label, kind="extract")


def _words(text: str) -> set[str]:
    single = _WORD.findall(text.lower())
    return {*single, *(f"{a} {b}" for a, b in pairwise(single))}


def log_odds(rows: Iterable[tuple[str, int]]) -> dict[str, float]:
    """Of each word and pair of words: how much more often it stands in texts of label 1."""
    counts = Counter[str](), Counter[str]()
    for text, label in rows:
        counts[label].update(_words(text))
    known = {word for word in counts[0] | counts[1] if counts[0][word] + counts[1][word] >= 5}
    totals = [sum(c[w] for w in known) + len(known) for c in counts]
    return {
        w: math.log((counts[1][w] + 1) / totals[1]) - math.log((counts[0][w] + 1) / totals[0])
        for w in known
    }


def sure_sentences(
    reviews: list[tuple[str, int]], phrases: list[tuple[str, int]]
) -> Iterator[Example]:
    """Single sentences of long reviews whose words agree with the whole review's verdict.

    The words' odds are counted on the same rows (naive Bayes); plain first-person English, which
    the phrases of critics lack.
    """
    odds = log_odds([*phrases, *reviews])
    for text, label in reviews:
        for sentence in _SENTENCE.split(text):
            score = sum(odds.get(word, 0.0) for word in _words(sentence))
            if 15 <= len(sentence) <= 160 and (score if label else -score) >= SURE:
                yield Example(text_a=sentence, label=label, kind="sentence")


def _pairs(folder: Path, task: str) -> Iterator[Example]:
    name, first, second, yes = PAIRS[task]
    for row in _rows(folder, name):
        a, b = str(row[first]).strip(), str(row[second]).strip()
        if len(a) + len(b) <= LONGEST_PAIR:
            yield Example(text_a=a, text_b=b, label=int(str(row["label"]) in yes), kind="real")
