"""One example that a visitor has picked: it stays picked on the other pages.

It travels between pages, and is in the address of each that shows examples, as `short_reviews:40`:
the task's name and the row of its evaluation split.
"""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from core.tasks import Task
from core.tasks.data import load_split
from pages.common import address

SLOT = "example"
MOST = 9  # digits of a row


def picked(task: Task) -> int | None:
    """The picked row of this task's evaluation split; None if there is none."""
    said = address.asked(SLOT)
    name, _, row = said.rpartition(":")
    whole = row.isdecimal() and len(row) <= MOST
    if whole and name != task.name:
        return None
    if whole and int(row) in load_split(task, task.evaluation_split).index:
        return int(row)
    if said:
        address.refuse(SLOT, [said])
        address.put(SLOT, None, chosen=False)
    return None


def pick(task: Task, row: int) -> None:
    """From now on this one is picked."""
    address.put(SLOT, f"{task.name}:{row}")


def texts(task: Task, row: int) -> tuple[str, str | None]:
    """The texts of a row of the evaluation split."""
    examples = load_split(task, task.evaluation_split)
    place = next(i for i, index in enumerate(examples.index) if int(index) == row)
    return examples.text_a[place], examples.text_b[place] if examples.text_b else None


def listed(task: Task, rows: Sequence[int], name: str) -> dict[str, Any]:
    """For a table with one row per example, in this order: the picked one is selected, and
    selecting another one picks that one, unless the task is an adversarial version, which other
    pages do not show. Arguments of `st.dataframe`; `name` is the table's.
    """
    name = f"{name}-{address.number()}"  # after Back, it selects what the address says
    now = picked(task)
    place = list(rows).index(now) if now is not None and now in rows else 0

    def on_select() -> None:
        chosen = st.session_state[name].selection.rows
        if chosen == [place]:
            return  # the table says what it began with, which nobody has selected
        if chosen and chosen[0] < len(rows) and task.adversarial_of is None:
            pick(task, int(rows[chosen[0]]))

    return {
        "on_select": on_select, "selection_mode": "single-row-required", "key": name,
        "selection_default": {"selection": {"rows": [place]}},
    }  # fmt: skip
