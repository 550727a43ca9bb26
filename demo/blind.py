"""Does an attack leave the label right? Attacked texts for a blind reader, and the reader's score.

`blind.json` beside this file keeps what the last readers answered: a digit (the class) for each
text of each sheet.

Each sheet has texts of one kind and dose, all of them changed by the attack, or clean ones; no text
is on two sheets. Whoever reads them writes the class of each, without the label; sheets and labels
are drawn by a fixed seed.
"""

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pandas as pd

from core.base.errors import BadInput
from core.stats.intervals import wilson
from core.tasks import load_task
from core.tasks.attacks import KINDS, Attack, attacked, doses_of
from core.tasks.data import Examples, load_split
from demo.texts import VERBALIZERS

ROWS = 100  # a sheet
CLEAN = "clean"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One text of a sheet: what is read, and what is right."""

    task: str
    question: str
    classes: tuple[str, ...]
    text: str
    text_b: str
    label: int


@lru_cache(maxsize=1)  # attacking 1,400 texts takes a while
def sheets() -> dict[str, list[Row]]:
    """Name of each sheet (`clean`, `typo-1` ...) -> its rows."""
    attacks: dict[str, Attack | None] = {CLEAN: None}
    for kind in KINDS:
        for dose in doses_of(kind):
            attacks[f"{kind}-{dose}"] = Attack(kind=kind, dose=dose)
    rng = random.Random("blind")
    places = [(task, i) for task in VERBALIZERS for i in range(600)]
    rng.shuffle(places)
    out = dict[str, list[Row]]()
    for name, attack in attacks.items():
        rows = list[Row]()
        while len(rows) < ROWS:
            task, i = places.pop()
            rows += list(_row(task, i, attack))
        out[name] = rows
    return out


def _row(name: str, i: int, attack: Attack | None) -> Iterator[Row]:
    """The i-th validation row under the attack; nothing if the attack leaves it as it is."""
    task = load_task(name)
    clean, struck = _validation(name, None), _validation(name, attack)
    texts = [(e.text_a[i], (e.text_b or ("",) * len(e))[i]) for e in (clean, struck)]
    if attack is None or texts[0] != texts[1]:
        yield Row(
            task=name, question=task.about, classes=task.labels, text=texts[1][0],
            text_b=texts[1][1], label=int(clean.labels[i]),
        )  # fmt: skip


@lru_cache(maxsize=32)
def _validation(name: str, attack: Attack | None) -> Examples:
    clean = load_split(load_task(name), "validation")
    return clean if attack is None else attacked(clean, attack)


def write(folder: Path) -> list[Path]:
    """A JSON Lines file per sheet, without labels."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, rows in sheets().items():
        lines = [
            {"id": i, "question": r.question, "classes": r.classes, "text": r.text,
             **({"text_b": r.text_b} if r.text_b else {})}
            for i, r in enumerate(rows)
        ]  # fmt: skip
        file = folder / f"{name}.jsonl"
        file.write_text("\n".join(map(json.dumps, lines)) + "\n", "utf-8")
        written.append(file)
    return written


def score(folder: Path) -> pd.DataFrame:
    """Each answered sheet (`NAME.answers.json`: id -> class) as `compared` gives it.

    Raises: BadInput for a sheet that is not answered whole.
    """
    given = dict[str, list[str]]()
    for name, rows in sheets().items():
        file = folder / f"{name}.answers.json"
        if not file.is_file():
            continue
        answers = json.loads(file.read_text("utf-8"))
        given[name] = [answers.get(str(i)) for i in range(len(rows))]
        wrong = [i for i, row in enumerate(rows) if given[name][i] not in row.classes]
        if wrong:
            raise BadInput(f"{file} has no class of the task for text {wrong[0]}.")
    return compared(given)


def kept() -> dict[str, list[str]]:
    """What the last readers answered, by sheet."""
    digits = json.loads(Path(__file__).with_suffix(".json").read_text("utf-8"))
    every = sheets()
    return {
        name: [row.classes[int(d)] for row, d in zip(every[name], given, strict=True)]
        for name, given in digits.items()
    }


def compared(given: Mapping[str, list[str]]) -> pd.DataFrame:
    """The answers to each sheet against its labels: read, broken (share of labels that the reader
    does not share), low and high (95%, Wilson).
    """
    out = list[dict[str, object]]()
    for name, answers in given.items():
        rows = sheets()[name]
        broken = sum(a != row.classes[row.label] for a, row in zip(answers, rows, strict=True))
        low, high = wilson(broken, len(rows))
        out.append(
            {"sheet": name, "read": len(rows), "broken": broken / len(rows), "low": low,
             "high": high}
        )  # fmt: skip
    return pd.DataFrame(out)
