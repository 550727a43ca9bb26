"""The built-in tasks' splits: drawn once, written as JSON Lines, never drawn again at run time."""

import json
import random
from collections.abc import Iterable, Iterator
from pathlib import Path

from core.tasks.attacks import slips
from demo.corpus import normalised
from demo.texts import ADVERSARIAL, GENERATORS, HAND_WRITTEN
from demo.texts.example import Example, Generator

SIZES = {"train": 2400, "validation": 600}
ADVERSARIAL_PER_ATTACK = 40
SEED = 2024


def draw(generator: Generator, n: int, rng: random.Random, seen: set[str]) -> list[Example]:
    """`n` new examples, both labels equally often; `seen` grows by them."""
    wanted = {0: n // 2, 1: n - n // 2}
    examples: list[Example] = []
    while len(examples) < n:
        example = generator(rng)
        text = normalised(example)
        if wanted[example.label] and text not in seen:
            wanted[example.label] -= 1
            seen.add(text)
            examples.append(example)
    return examples


def splits(task: str) -> dict[str, list[Example]]:
    """Train and validation of a task, without a shared text."""
    rng, seen = random.Random(f"{SEED}/{task}"), set[str]()
    return {name: draw(GENERATORS[task], n, rng, seen) for name, n in SIZES.items()}


def adversarial(task: str) -> list[Example]:
    """The adversarial version: each attack equally often, then the examples written by hand."""
    rng = random.Random(f"{SEED}/adversarial/{task}")
    seen = {normalised(e) for part in splits(task).values() for e in part}
    attacks = {**ADVERSARIAL[task], "typo": lambda r: typo(GENERATORS[task](r), r)}
    drawn = [e for g in attacks.values() for e in draw(g, ADVERSARIAL_PER_ATTACK, rng, seen)]
    return [*drawn, *HAND_WRITTEN[task]]


def typo(example: Example, rng: random.Random) -> Example:
    """Two slips of the keyboard in longer words: swapped, dropped or doubled letters."""
    text_a, text_b = slips(example.text_a, rng), example.text_b
    if text_b is not None:
        text_b = slips(text_b, rng)
    return Example(text_a=text_a, text_b=text_b, label=example.label, kind="typo")


def held_out() -> frozenset[str]:
    """Every text that is used for measuring; pretraining never sees one of them."""
    parts: list[Iterable[Example]] = [splits(task)["validation"] for task in GENERATORS]
    parts += [adversarial(task) for task in ADVERSARIAL]
    return frozenset(normalised(example) for part in parts for example in part)


def write(folder: Path) -> Iterator[Path]:
    """Write `<task>/<split>.jsonl`; yields the files."""
    for task in GENERATORS:
        for name, examples in splits(task).items():
            yield _write(folder / task / f"{name}.jsonl", examples, "construction")
    for task in ADVERSARIAL:
        yield _write(folder / task / "adversarial.jsonl", adversarial(task), "attack")


def _write(file: Path, examples: list[Example], kind: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8") as lines:
        for e in examples:
            row = {"text": e.text_a} if e.text_b is None else {"text": e.text_a, "text_b": e.text_b}
            lines.write(
                json.dumps({**row, "label": e.label, kind: e.kind}, ensure_ascii=False) + "\n"
            )
    return file
