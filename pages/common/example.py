"""One example that a visitor has picked: it stays picked on the other pages.

It is in the address of the page on which it was picked, and in the session for the others.
"""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from core.tasks import Task
from core.tasks.data import load_split

SLOT = "example"  # in the address, and in the session: (task's name, row of its evaluation split)


def picked(task: Task) -> int | None:
    """The picked row of this task's evaluation split; None if there is none."""
    asked, (name, row) = st.query_params.get(SLOT, ""), st.session_state.get(SLOT, ("", -1))
    if asked.isdecimal() and int(asked) != row:  # a link, not what was picked before
        name, row = task.name, int(asked)
    if name != task.name or row not in load_split(task, task.evaluation_split).index:
        return None
    st.session_state[SLOT] = name, row
    return int(row)


def pick(task: Task, row: int) -> None:
    """From now on this one is picked."""
    st.session_state[SLOT] = task.name, row
    st.query_params[SLOT] = str(row)


def texts(task: Task, row: int) -> tuple[str, str | None]:
    """The texts of a row of the evaluation split."""
    examples = load_split(task, task.evaluation_split)
    place = next(i for i, index in enumerate(examples.index) if int(index) == row)
    return examples.text_a[place], examples.text_b[place] if examples.text_b else None


def listed(task: Task, rows: Sequence[int], name: str) -> dict[str, Any]:
    """For a table with one row per example, in this order: the picked one is selected, and
    selecting another one picks that one. Arguments of `st.dataframe`; `name` is the table's.
    """
    now = picked(task)
    place = list(rows).index(now) if now is not None and now in rows else 0

    def on_select() -> None:
        chosen = st.session_state[name].selection.rows
        if chosen and chosen[0] < len(rows):
            pick(task, int(rows[chosen[0]]))

    return {
        "on_select": on_select, "selection_mode": "single-row-required", "key": name,
        "selection_default": {"selection": {"rows": [place]}},
    }  # fmt: skip
