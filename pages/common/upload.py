"""The form that turns an uploaded file into a task, and what can be done with one's own tasks."""

import pandas as pd
import streamlit as st

from core.base.errors import BadInput
from core.base.markdown import plain
from core.base.specs import key
from core.lab.lab import Lab
from core.tasks import Task, uploads
from core.tasks.uploads import Columns, Wish, label_values, read_table, save
from pages.common import answers, views

NONE = "(none)"
SHOWN = 10  # rows of the preview
SHOWN_TASK = "shown"  # key of the control that says which task the Library shows
EDITED = 500  # rows that are offered for correction at once


@st.cache_resource(max_entries=2, ttl=3600, show_spinner="Reading the file ...")
def _table(name: str, data: bytes) -> pd.DataFrame:
    """The file, read once per content rather than at each change of a control; never changed."""
    return read_table(name, data)


def form(lab: Lab, own: list[Task]) -> None:
    """File, preview, columns, rows to correct, answer words with their pieces, split, save."""
    made: list[str] = st.session_state.setdefault("made", [])
    file = st.file_uploader(
        "Add a task from a file", type=["csv", "tsv", "jsonl", "parquet"],
        help="One row per example, UTF-8, at most 200 MB. It stays on this machine.",
        key=f"up_file_{len(made)}",  # a new, empty field after each saved task
    )  # fmt: skip
    if file is None:
        saved = [t for t in own if made and t.name == made[-1]]
        if saved:
            _saved(lab, saved[0])
        return
    with answers.shown_errors():
        table = _table(file.name, file.getvalue())
        st.dataframe(table.head(SHOWN), hide_index=True, width="stretch")
        st.caption(f"Preview: {min(SHOWN, len(table))} of {len(table):,} rows.")
        wish, table = _wish(lab, own, table, file.file_id)
        if wish is not None and st.button("Save task", type="primary", icon=":material/save:"):
            made.append(save(lab.settings.places, table, wish).name)
            st.rerun()


def _saved(lab: Lab, task: Task) -> None:
    """What can be done with a task that was just saved."""
    left, right = st.columns([3, 2], vertical_alignment="center")
    left.success(
        f"{plain(task.title)} is saved; the other pages offer it.", icon=":material/check:"
    )
    known = lab.models.names()
    if task.adversarial_of is not None or not known:
        return
    (first,) = lab.standard(known[0], task, [0])
    params = {"from": "own", "task": task.title, "backbone": known[0], "start": key(first)}
    views.to("tuning", "Tune its first prompt", params, ":material/play_arrow:", right)


def _wish(
    lab: Lab, own: list[Task], table: pd.DataFrame, file: str
) -> tuple[Wish | None, pd.DataFrame]:
    """What task is wished for, None while something is missing, and the rows it is made of. `file`
    is the upload's own name: what is typed for one file does not count for another.
    """
    names = list(table.columns)
    one, two, three = st.columns(3)
    text_a = one.selectbox("Text", names, key="up_a")
    chosen = two.selectbox("Second text", [NONE, *names], key="up_b")
    label = three.selectbox("Label", names, index=len(names) - 1, key="up_label")
    text_b = None if chosen == NONE else chosen
    if text_a == label:
        raise BadInput("Each column can be used once: texts and label must differ.")
    table = _repaired(uploads.with_plain_labels(table, label), text_a, label, text_b, file)
    if len(uploads.problems(table, text_a, label, text_b)):
        return None, table
    table = _merged(table, label, file)
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
        return None, table
    columns = Columns(text_a=text_a, text_b=text_b, label=label, values=values)
    wish = Wish(
        title=title, columns=columns, words=words, held=held / 100,
        adversarial_of=None if original == NONE else original,
    )  # fmt: skip
    return wish, table


def _repaired(
    table: pd.DataFrame, text_a: str, label: str, text_b: str | None, file: str
) -> pd.DataFrame:
    """The table with the bad rows corrected or, if the user says so, left out."""
    bad = uploads.problems(table, text_a, label, text_b)
    if bad.empty:
        return table
    place = f"{file}_{text_a}_{label}_{text_b}"
    used = [text_a, *([text_b] if text_b else []), label]
    st.warning(
        f"The text or the label is missing in {len(bad)} of {len(table)} rows. Correct or skip "
        "such rows here." + (f" The first {EDITED} are listed." if len(bad) > EDITED else ""),
        icon=":material/edit:",
    )
    rows = table.loc[bad.index[:EDITED], list(dict.fromkeys(used))]
    row, problem = _unused("Row", rows), _unused("Problem", rows)
    edited = st.data_editor(
        rows.assign(**{row: rows.index + 1, problem: bad[rows.index]}), hide_index=True,
        width="stretch", disabled=[row, problem], column_order=[row, problem, *rows.columns],
        key=f"up_edit_{place}",
    )  # fmt: skip
    table = uploads.corrected(table, edited[list(rows.columns)])
    left = uploads.problems(table, text_a, label, text_b)
    if len(left) and st.checkbox(f"Skip uncorrected rows ({len(left)})", key=f"up_skip_{place}"):
        return table.drop(index=left.index)
    return table


def _unused(name: str, table: pd.DataFrame) -> str:
    """A column's name that the table does not have."""
    while name in table.columns:
        name += "\N{PRIME}"
    return name


def _merged(table: pd.DataFrame, label: str, file: str) -> pd.DataFrame:
    """The table with those classes merged that the user says are slips of others; those that
    differ in case or spacing only are, unless the user says no.
    """
    kept = {
        slip.value: slip.of
        for slip in uploads.slips(table, label)
        if st.checkbox(
            f"Treat {plain(repr(slip.value))} ({slip.rows} {'row' if slip.rows == 1 else 'rows'}) "
            f"as {plain(repr(slip.of))}",
            value=slip.sure, key=f"up_merge_{file}_{label}_{slip.value}",
        )
    }  # fmt: skip
    return uploads.merged(table, label, kept) if kept else table


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


def manage(lab: Lab, task: Task) -> None:
    """Rename or delete one of the user's own tasks; what depends on it is said first."""
    places = lab.settings.places
    with st.popover("Rename or delete", icon=":material/edit:"), answers.shown_errors():
        title = st.text_input("Title", task.title, key=f"retitle-{task.name}")
        st.button(
            "Rename", key=f"rename-{task.name}", on_click=_rename, args=[lab, task, title],
            disabled=title.strip() in ("", task.title),
        )  # fmt: skip
        if refused := st.session_state.pop("rename-refused", None):
            st.error(plain(refused))
        resting = lab.store.resting_on(task=task.name, source_task=task.name, target_task=task.name)
        files = ", ".join(file.name for file in uploads.files_of(places, task))
        st.markdown(
            f"{_answers(len(resting))} on this task or its prompts. Deleting the task deletes "
            f"these files: {plain(files)}."
        )
        also = bool(resting) and st.checkbox(
            "Also delete stored results", key=f"also-{task.name}",
            help="Otherwise they stay in the cache and are available again if you add the same "
            "data under this name.",
        )  # fmt: skip
        if st.button(
            "Delete the task", type="primary", icon=":material/delete:", key=f"drop-{task.name}"
        ):
            if also:
                answers.remove(resting)
            uploads.remove(places, task)
            st.rerun()


def _rename(lab: Lab, task: Task, title: str) -> None:
    """A callback: the control that shows the task must take its new title up."""
    try:
        uploads.rename(lab.settings.places, task, title)
    except BadInput as error:
        st.session_state["rename-refused"] = str(error)
    else:
        st.session_state[SHOWN_TASK] = task.name


def _answers(n: int) -> str:
    return "No stored results depend" if n == 0 else (
        "One stored result depends" if n == 1 else f"{n:,} stored results depend"
    )  # fmt: skip
