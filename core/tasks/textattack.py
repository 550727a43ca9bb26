"""An attack's results as TextAttack writes them, as an adversarial version of a task.

TextAttack's CSV has a row per example: `perturbed_text` with changed words in [[double brackets]]
and line breaks as `<SPLIT>`, `ground_truth_output` (the class), and `result_type`: Successful,
Failed (the answer stayed), Skipped (the attacked model was wrong before). Of a pair, each text
stands on a line of its own, after its name and a colon.
Source: Morris et al. 2020, `textattack.loggers.CSVLogger`.
"""

import re
from typing import Literal, get_args

import pandas as pd

from core.base.errors import BadInput
from core.base.settings import Places
from core.tasks.task import Task
from core.tasks.uploads import plain_value, save_version

Result = Literal["successful", "failed", "skipped"]
RESULTS: tuple[Result, ...] = get_args(Result)
NEEDED = ("perturbed_text", "ground_truth_output", "result_type")
_MARK, _NAMED = re.compile(r"\[\[([^\[\]]*)\]\]"), re.compile(r"^(\w[\w ]*): ?")


def adversarial_version(
    places: Places,
    table: pd.DataFrame,
    clean: Task,
    title: str,
    kept: tuple[Result, ...],
    classes: tuple[str, ...] = (),
) -> Task:
    """Save the kept results as a task beside the clean one, with its classes, answer words and
    templates; `attack` is the kind of result. `classes` are the task's values in the order in which
    TextAttack counted them; without them the file must hold the values themselves.

    Raises: BadInput, BadTask.
    """
    clean.need_classes("an adversarial version")
    if clean.adversarial_of is not None:
        raise BadInput(f"{clean.title} is itself an adversarial version; name its clean task.")
    if classes and sorted(classes) != sorted(clean.values):
        raise BadInput(
            f"The classes {', '.join(classes)} are not those of {clean.title}: "
            f"{', '.join(clean.values)}."
        )
    if absent := [name for name in NEEDED if name not in table]:
        raise BadInput(
            f"The file has no column {absent[0]!r}; TextAttack's CSV has {', '.join(NEEDED)}."
        )
    results = table["result_type"].map(lambda cell: str(cell).strip().lower())
    chosen = results.isin(kept)
    if not chosen.any():
        there = ", ".join(sorted(set(results))) or "none"
        raise BadInput(f"The file has no {' or '.join(kept)} results, only: {there}.")
    rows = list[dict[str, str]]()
    for place, cells in enumerate(table[chosen].to_dict("records"), start=1):
        first, second = _texts(str(cells["perturbed_text"]), clean, place)
        row = {"text": first, "text_b": second or ""}
        row["label"] = _value(plain_value(cells["ground_truth_output"]), clean, place, classes)
        rows.append({**row, "attack": str(cells["result_type"]).strip().lower()})
    found = pd.DataFrame(rows)
    return save_version(places, found if clean.pair else found.drop(columns="text_b"), clean, title)


def _texts(text: str, clean: Task, place: int) -> tuple[str, str | None]:
    """The one or two texts of a result, without marks. Raises: BadInput."""
    if "\x1b" in text:
        raise BadInput(
            f"Kept result {place} has terminal colours; let TextAttack mark by brackets."
        )
    while (plain := _MARK.sub(r"\1", text)) != text:  # names of texts are marked twice
        text = plain
    lines = [line.strip() for line in text.split("<SPLIT>")]
    if not clean.pair:
        return "\n".join(lines).strip(), None
    if len(lines) != 2:
        raise BadInput(
            f"Kept result {place}: {clean.title} needs two texts, one per line, but the number of "
            f"lines is {len(lines)}."
        )
    named = [_NAMED.match(line) for line in lines]
    if all(named):
        names = [match[1].strip().lower() for match in named if match]
        lines = [_NAMED.sub("", line, count=1) for line in lines]
        fields = [str(name).lower() for name in (clean.fields.text_a, clean.fields.text_b)]
        if names == fields[::-1]:  # the papers ask some tasks with the second text first
            lines.reverse()
    if not all(lines):
        raise BadInput(f"Kept result {place} has an empty text.")
    return lines[0], lines[1]


def _value(cell: str, clean: Task, place: int, classes: tuple[str, ...]) -> str:
    """The class as the label column of the task has it. Raises: BadInput."""
    if classes and cell.isascii() and cell.isdecimal() and int(cell) < len(classes):
        return classes[int(cell)]
    if not classes and cell in clean.values:
        return cell
    raise BadInput(
        f"Kept result {place} has the class {cell!r}; the classes of {clean.title} are "
        f"{', '.join(clean.values)}. If TextAttack counted them from 0, give them in its order as "
        "classes."
    )
