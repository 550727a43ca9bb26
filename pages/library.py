"""What can be asked about: backbones, tasks, prompts; and how to add to them."""

import io
import zipfile
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import streamlit as st

from core.base.errors import BadInput, BadTask
from core.base.markdown import plain
from core.exchange import published, sharing
from core.figures import queries
from core.tasks import Task, clean_task, own_problems
from core.tasks.data import load_split
from pages.common import answers, controls, upload, warnings

answers.heading(
    "Library",
    "The models, datasets and prompts that the other pages offer, and where new ones come from.",
)
lab = answers.lab()
section = st.segmented_control(
    "Section", ["backbones", "tasks", "prompts"], default="backbones", key="section",
    bind="query-params", label_visibility="collapsed",
) or "backbones"  # fmt: skip


def backbones() -> None:
    """The known ones, and a field for another."""
    rows = [{"Backbone": name, **lab.models.describe(name)} for name in lab.models.names()]
    st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch")
    for name, why in lab.models.missing().items():
        left, right = st.columns([5, 1], vertical_alignment="center")
        left.warning(why, icon=":material/warning:")
        right.button(
            "Remove", key=f"remove-{name}", icon=":material/delete:",
            on_click=lab.store.remove_backbone, args=[name],
            help="Its answers stay in the cache, and are found again if it is added again.",
        )  # fmt: skip
    with st.form("add", border=True):
        left, right = st.columns([4, 1], vertical_alignment="bottom")
        name = left.text_input(
            "Add a backbone", placeholder="FacebookAI/roberta-base, t5-base@main, a folder",
            help="An id of the Hugging Face hub, with @revision if you like, or a folder that "
            "save_pretrained wrote: RoBERTa, BERT or T5.",
        )  # fmt: skip
        if right.form_submit_button("Add", icon=":material/download:") and name.strip():
            st.session_state["obtaining"] = lab.submit_backbone(name.strip())
            st.rerun()
    if obtaining := st.session_state.get("obtaining"):
        answers.job(obtaining, "It is here, and the other pages offer it.")


def tasks() -> None:
    """Counts of each task, and one task's answer words as each backbone reads them."""
    sets = controls.task_sets()
    shown = st.segmented_control(
        "From", list(sets), default=next(iter(sets)), key="from", bind="query-params"
    ) or next(iter(sets))  # fmt: skip
    found = sets[shown]
    if shown == "own":
        upload.form(lab, found)
        for name, why in own_problems().items():
            st.warning(plain(f"{name} is passed over: {why}"), icon=":material/warning:")
    if not found:
        st.info("There are none yet. A task is one TOML file and its data: docs/tasks.md.")
        return
    st.dataframe(pd.DataFrame(_counts(t) for t in found), hide_index=True, width="stretch")
    names = {t.name: t for t in found}
    chosen = names[
        st.selectbox("Task", list(names), format_func=lambda n: names[n].title, key="shown")
    ]
    st.markdown(f"{plain(chosen.about)} *{plain(chosen.source)}*")
    if not chosen.ready:
        _absent(chosen)
        return
    answer_words(chosen)
    warnings.shared([clean_task(chosen)], [chosen])


def _counts(task: Task) -> dict[str, object]:
    if not task.ready:
        return {"Task": task.title, "Family": task.family, "Here": False}
    try:
        train, held = load_split(task, "train"), load_split(task, task.evaluation_split)
    except BadTask as error:
        return {"Task": task.title, "Family": task.family, "Here": False, "Remark": str(error)}
    return {
        "Task": task.title,
        "Family": task.family,
        "Here": True,
        "Train": len(train),
        "Evaluated": len(held),
        "Split": task.evaluation_split,
        "Majority": round(held.majority, 3),
        "Remark": task.note,
    }


def _absent(task: Task) -> None:
    if task.remote is None:
        st.info("No dataset of the hub is known for it: set SKILLSCOPE_DATA to a local copy.")
        return
    if st.button(
        f"Download {plain(task.title)}", icon=":material/download:", key=f"get-{task.name}"
    ):
        st.session_state["fetching"] = lab.submit_task(task.name)
        st.rerun()
    if fetching := st.session_state.get("fetching"):
        answers.job(fetching, "The data are here.")


def answer_words(task: Task) -> None:
    """Token ids of the answer words, and what is wrong with them."""
    rows, warnings = [], []
    for name in lab.models.names():
        try:
            pieces = lab.models.answer_words(name, task)
        except BadInput as error:
            warnings.append(f"{name}: {error}")
            continue
        firsts = [ids[:1] for _, ids, _ in pieces]
        for label, (word, ids, tokens) in zip(task.labels, pieces, strict=True):
            rows.append(
                {"Backbone": name, "Class": label, "Answer word": word,
                 "Token ids": ", ".join(map(str, ids)), "Pieces": " ".join(tokens)}
            )  # fmt: skip
            if len(ids) > 1:
                warnings.append(f"{name} splits {word!r} into {len(ids)}; only the first counts.")
        if any(not ids or firsts.count(ids) > 1 for ids in firsts):
            warnings.append(
                f"{name}: an answer word is empty or begins like another one; it is refused."
            )
    st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch")
    for warning in warnings:
        st.warning(plain(warning), icon=":material/warning:")


def zipped(key: str) -> bytes:
    """A prompt's files for others in one archive."""
    spec = lab.prompt_named(key)
    files = sharing.share(lab.prompt(spec), lab.models.shape(spec.backbone.name))
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


def prompts() -> None:
    """All stored prompts, one to share, and a folder to import."""
    table = queries.prompts(lab.store)
    columns = ["key", "backbone", "task", "seed", "prompt_length", "origin", "selection_accuracy"]
    st.dataframe(table[columns], hide_index=True, width="stretch")
    for name, why in lab.store.unreadable("prompt").items():
        said = f"The row of prompt {name} in the cache is broken ({why}); tune or import it anew."
        st.warning(plain(said), icon=":material/warning:")
    key = st.selectbox("Share", list(table.key), index=None, placeholder="a prompt's key")
    if key is not None:
        with answers.shown_errors():
            st.download_button(
                "Download (safetensors, card, PEFT for T5)",
                lambda: zipped(key),
                f"prompt-{key}.zip",
                "application/zip",
                icon=":material/download:",
            )
    with st.form("import", border=True):
        left, right = st.columns([4, 1], vertical_alignment="bottom")
        folder = left.text_input(
            "Import released prompts", placeholder="a folder with <Task>Prompt<Model>/task_prompt",
            help="The prompts that came with Su et al. 2022 and Ackermann & Ohmer 2024; only "
            "tensors are read. Their backbones must be here.",
        )  # fmt: skip
        if right.form_submit_button("Import", icon=":material/upload:") and folder.strip():
            with answers.shown_errors(), st.spinner("Reading the folder ..."):
                st.session_state["imported"] = [
                    asdict(o) for o in published.import_folder(lab, Path(folder.strip()), {})
                ]
    if outcomes := st.session_state.get("imported"):
        came = sum(bool(o["key"]) for o in outcomes)
        st.markdown(f"**{came} of {len(outcomes)}** files are in the cache.")
        st.dataframe(pd.DataFrame(outcomes), hide_index=True, width="stretch")


with answers.shown_errors():
    {"backbones": backbones, "tasks": tasks, "prompts": prompts}[section]()
