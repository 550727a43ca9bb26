"""The built-in tasks' splits: drawn once, written as JSON Lines, never drawn again at run time."""

import json
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from core.tasks.attacks import slips
from demo.corpus import normalised
from demo.texts import ADVERSARIAL, GENERATORS, HAND_WRITTEN, stories
from demo.texts.example import Example, Generator

SIZES = {"train": 2400, "validation": 600}
ADVERSARIAL_PER_ATTACK = 40
SEED = 2024
WRITTEN = {"story_questions": stories.question_row, "story_summaries": stories.summary_row}


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


def written(task: str) -> dict[str, list[stories.Row]]:
    """Train and validation of a task with written answers, without a shared story."""
    rng, seen, found = random.Random(f"{SEED}/{task}"), set[str](), dict[str, list[stories.Row]]()
    for name, n in SIZES.items():
        rows = found.setdefault(name, [])
        while len(rows) < n:
            row = WRITTEN[task](rng)
            if row["text"] not in seen:
                seen.add(row["text"])
                rows.append(row)
    return found


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
            rows = [_row(e, "construction") for e in examples]
            yield _write(folder / task / f"{name}.jsonl", rows)
    for task in WRITTEN:
        for name, stories_told in written(task).items():
            yield _write(folder / task / f"{name}.jsonl", stories_told)
    for task in ADVERSARIAL:
        rows = [_row(e, "attack") for e in adversarial(task)]
        yield _write(folder / task / "adversarial.jsonl", rows)


def _row(e: Example, kind: str) -> dict[str, object]:
    """An example as it stands in a file; `kind` names the column of its construction."""
    second = {} if e.text_b is None else {"text_b": e.text_b}
    return {"text": e.text_a, **second, "label": e.label, kind: e.kind}


def _write(file: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return file
