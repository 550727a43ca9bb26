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
_MARK, _NAMED = re.compile(r"\[\[(.*?)\]\]", re.DOTALL), re.compile(r"^\w[\w ]*: ?")


def adversarial_version(
    places: Places, table: pd.DataFrame, clean: Task, title: str, kept: tuple[Result, ...]
) -> Task:
    """Save the kept results as a task beside the clean one, with its classes, answer words and
    templates; `attack` is the kind of result. Raises: BadInput, BadTask.
    """
    clean.need_classes("an adversarial version")
    if clean.adversarial_of is not None:
        raise BadInput(f"{clean.title} is itself an adversarial version; name its clean task.")
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
        row["label"] = _value(plain_value(cells["ground_truth_output"]), clean, place)
        rows.append({**row, "attack": str(cells["result_type"]).strip().lower()})
    found = pd.DataFrame(rows)
    return save_version(places, found if clean.pair else found.drop(columns="text_b"), clean, title)


def _texts(text: str, clean: Task, place: int) -> tuple[str, str | None]:
    """The one or two texts of a result, without marks. Raises: BadInput."""
    while (plain := _MARK.sub(r"\1", text)) != text:  # names of texts are marked twice
        text = plain
    lines = text.split("<SPLIT>")
    if not clean.pair:
        return "\n".join(lines).strip(), None
    if len(lines) != 2:
        raise BadInput(
            f"Kept result {place}: {clean.title} needs two texts, one per line, but the number of "
            f"lines is {len(lines)}."
        )
    if all(map(_NAMED.match, lines)):
        lines = [_NAMED.sub("", line, count=1) for line in lines]
    return lines[0].strip(), lines[1].strip()


def _value(cell: str, clean: Task, place: int) -> str:
    """The class as the label column of the task has it; TextAttack counts classes from 0."""
    if cell in clean.values:
        return cell
    if cell.isdigit() and int(cell) < len(clean.values):
        return clean.values[int(cell)]
    raise BadInput(
        f"Kept result {place} has the class {cell!r}; the classes of {clean.title} are "
        f"{', '.join(clean.values)}."
    )
