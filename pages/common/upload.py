"""The form that turns an uploaded file into a task."""

import pandas as pd
import streamlit as st

from core.base.errors import BadInput
from core.base.markdown import plain
from core.lab.lab import Lab
from core.tasks import Task
from core.tasks.uploads import Columns, Wish, label_values, read_table, save
from pages.common import answers

NONE = "(none)"


@st.cache_resource(max_entries=2, ttl=3600, show_spinner="Reading the file ...")
def _table(name: str, data: bytes) -> pd.DataFrame:
    """The file, read once per content rather than at each change of a control; never changed."""
    return read_table(name, data)


def form(lab: Lab, own: list[Task]) -> None:
    """File, preview, columns, answer words with their pieces, split, save."""
    made: list[str] = st.session_state.setdefault("made", [])
    file = st.file_uploader(
        "Add a task from a file", type=["csv", "tsv", "jsonl", "parquet"],
        help="One row per example, UTF-8, at most 200 MB. It stays on this machine.",
        key=f"up_file_{len(made)}",  # a new, empty field after each saved task
    )  # fmt: skip
    if file is None:
        if made:
            st.success(
                f"{plain(made[-1])} is saved; the other pages offer it.", icon=":material/check:"
            )
        return
    with answers.shown_errors():
        table = _table(file.name, file.getvalue())
        st.dataframe(table.head(5), hide_index=True, width="stretch")
        wish = _wish(lab, own, table)
        if wish is not None and st.button("Save task", type="primary", icon=":material/save:"):
            task = save(lab.settings.places, table, wish)
            made.append(task.title)
            st.rerun()


def _wish(lab: Lab, own: list[Task], table: pd.DataFrame) -> Wish | None:
    names = list(table.columns)
    one, two, three = st.columns(3)
    text_a = one.selectbox("Text", names, key="up_a")
    text_b = two.selectbox("Second text", [NONE, *names], key="up_b")
    label = three.selectbox("Label", names, index=len(names) - 1, key="up_label")
    values = label_values(table, label)
    title = st.text_input("Title", key="up_title", placeholder="the task's name in figures")
    cells = st.columns(min(4, len(values)))
    words = tuple(
        cells[i % len(cells)].text_input(
            f"Answer word for {plain(repr(value))}", value, key=f"up_word_{label}_{value}"
        )
        for i, value in enumerate(values)
    )
    _pieces(lab, words)
    left, right = st.columns(2)
    held = left.slider("Held out for evaluation, %", 5, 50, 20, key="up_held")
    clean = [t for t in own if t.adversarial_of is None]
    titles = {NONE: NONE, **{t.name: t.title for t in clean}}
    original = right.selectbox(
        "Adversarial version of", list(titles), format_func=lambda n: titles[n], key="up_clean",
        help="All rows are then used for evaluation; prompts and baselines are the clean task's.",
    )  # fmt: skip
    if not title.strip():
        st.caption("Enter a title to save the task.")
        return None
    columns = Columns(
        text_a=text_a, text_b=None if text_b == NONE else text_b, label=label, values=values
    )
    return Wish(
        title=title, columns=columns, words=words, held=held / 100,
        adversarial_of=None if original == NONE else original,
    )  # fmt: skip


def _pieces(lab: Lab, words: tuple[str, ...]) -> None:
    """How each backbone tokenizes the answer words, while they are typed."""
    for name in lab.models.names():
        try:
            read = lab.models.pieces(name, words)
        except BadInput as error:
            st.caption(plain(f"{name}: {error}"))
            continue
        shown = "; ".join(f"{w}: {' '.join(tokens)}" for w, _, tokens in read)
        split = any(len(ids) != 1 for _, ids, _ in read)
        same = len({ids[0] for _, ids, _ in read if ids}) < len(read)
        note = " Two words share their first piece: choose others." if same else (
            " Only the first piece of a word is scored." if split else ""
        )  # fmt: skip
        st.caption(plain(f"{name} tokenizes {shown}.{note}"))
