"""What an embedded backbone of the second edition should reach, measured with hints for prompts.

The hint's words stand in the soft prompt's place; the rows are the built-in tasks' validation rows,
SST-2's dev rows of a local folder, and plain sentences as a first visitor types them.
"""

import json
import random
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from core.backbones.base import Backbone
from demo import questions
from demo.corpus import HINTS, Corpus
from demo.feed import Feed
from demo.second import exact, right, visitors
from demo.texts import FAMILY_OF, VERBALIZERS

Row = tuple[str, str | None, int]
CROSS_ROWS = 200


def rows(file: Path) -> list[Row]:
    """Texts and label of a task's split."""
    found = map(json.loads, file.read_text("utf-8").splitlines())
    return [(row["text"], row.get("text_b"), row["label"]) for row in found]


def slipped(text: str, rng: random.Random) -> str:
    """One slip within a word of four letters or more: two letters swapped, one lost or doubled."""
    words = text.split(" ")
    long = [i for i, word in enumerate(words) if len(word) >= 4 and word[:3].isalpha()]
    if not long:
        return text
    i = rng.choice(long)
    word, at = words[i], rng.randrange(1, len(words[i]) - 1)
    first, second, rest = word[at], word[at + 1], word[at + 2 :]
    changed = rng.choice((second + first, second, first + first + second))
    words[i] = word[:at] + changed + rest
    return " ".join(words)


def measure(backbone: Backbone, tasks: Path, data: Path | None) -> Iterator[dict[str, object]]:
    """A row a number: what, value, n."""
    short = HINTS["short_reviews"][0]
    plain: list[Row] = [(text, None, label) for text, label in visitors()]
    yield _row("visitors", right(backbone, "short_reviews", plain, short), len(plain))
    if data is not None:
        lines = (data / "sst2" / "dev.jsonl").read_text("utf-8").splitlines()
        dev: list[Row] = [(r["sentence"], None, r["label"]) for r in map(json.loads, lines)]
        yield _row("sst2 dev", right(backbone, "short_reviews", dev, short), len(dev))
    texts = {task: rows(tasks / task / "validation.jsonl") for task in VERBALIZERS}
    for task, found in texts.items():
        yield _row(f"clean {task}", right(backbone, task, found, HINTS[task][0]), len(found))
    for task, found in texts.items():
        rng = random.Random(f"slip/{task}")
        struck = [(slipped(a, rng), b and slipped(b, rng), label) for a, b, label in found]
        yield _row(f"one slip {task}", right(backbone, task, struck, HINTS[task][0]), len(struck))
    yield from _other_families(backbone, {t: found[:CROSS_ROWS] for t, found in texts.items()})
    if backbone.family == "t5":
        feed = Feed(backbone, Corpus(plain=(), held_out=frozenset()))
        for question in questions.HINTS:
            yield _row(f"exact {question}", exact(feed, 100, question), 100)


def _other_families(backbone: Backbone, texts: dict[str, list[Row]]) -> Iterator[dict[str, object]]:
    """Accuracy with the hint of a task of another family, mean over all such pairs."""
    found = [
        right(backbone, task, texts[task], HINTS[other][0])
        for task, other in product(texts, texts)
        if FAMILY_OF[task] != FAMILY_OF[other]
    ]
    yield _row("other-family hints", sum(found) / len(found), len(found) * CROSS_ROWS)


def _row(what: str, value: float, n: int) -> dict[str, object]:
    return {"what": what, "value": round(value, 3), "n": n}
