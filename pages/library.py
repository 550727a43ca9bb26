"""The available backbones, tasks and prompts, and how to add more."""

from dataclasses import asdict
from pathlib import Path

import pandas as pd
import streamlit as st

from core.base.errors import BadInput, BadTask
from core.base.markdown import plain
from core.exchange import published
from core.figures import cached, queries
from core.tasks import Task, Text, clean_task, own_problems
from core.tasks.data import load_split
from core.tasks.metrics import TITLES
from pages.common import address, answers, controls, jobs, sharing, upload, warnings

answers.heading(
    "Library",
    "Browse the backbones, tasks and prompts used on the other pages, add your own, delete "
    "computed results, and follow running jobs.",
)
lab = answers.lab()
section = address.bound(
    st.segmented_control, "Section", ["backbones", "tasks", "prompts", "results", "jobs"],
    default="backbones", key="section", label_visibility="collapsed",
) or "backbones"  # fmt: skip


def backbones() -> None:
    """The available backbones, and a field to add one."""
    rows = [{"Backbone": name, **lab.models.describe(name)} for name in lab.models.names()]
    number = st.column_config.NumberColumn
    st.dataframe(
        pd.DataFrame(rows), hide_index=True, width="stretch",
        column_config={  # in pixels, so that the first four fit a phone
            "Backbone": st.column_config.Column(width=150), "Layers": number(width=55),
            "Family": st.column_config.Column(width=60),
            "Neurons per layer": number("Neurons", help="Neurons per layer", width=65),
            "Width": number(help="Hidden size", width=60),
        },
    )  # fmt: skip
    for name, why in lab.models.missing().items():
        left, right = st.columns([5, 1], vertical_alignment="center")
        left.warning(why, icon=":material/warning:")
        right.button(
            "Remove", key=f"remove-{name}", icon=":material/delete:",
            on_click=lab.store.remove_backbone, args=[name],
            help="Its results stay in the cache and are available again if you add it back.",
        )  # fmt: skip
    added = [name for name in lab.store.backbones() if name not in lab.models.missing()]
    if added:
        with st.popover("Remove a backbone", icon=":material/delete:"):
            gone = st.selectbox("Backbone", added, key="gone")
            st.caption("Its results stay in the cache and are available again if you add it back.")
            st.button("Remove", key="remove-added", on_click=lab.store.remove_backbone, args=[gone])
    with st.form("add", border=True):
        left, right = st.columns([4, 1], vertical_alignment="bottom")
        name = left.text_input(
            "Add a backbone", placeholder="FacebookAI/roberta-base, t5-base@main or a folder",
            help="A Hugging Face Hub id, optionally with @revision, or a folder written by "
            "save_pretrained. RoBERTa, BERT and T5 are supported.",
        )  # fmt: skip
        if right.form_submit_button("Add", icon=":material/download:") and name.strip():
            st.session_state["obtaining"] = lab.submit_backbone(name.strip())
            st.rerun()
    if obtaining := st.session_state.get("obtaining"):
        jobs.one(obtaining, "The backbone is ready; the other pages offer it.")


def tasks() -> None:
    """Counts of each task, and one task's answer words as each backbone tokenizes them."""
    sets = controls.task_sets()
    shown = address.bound(
        st.segmented_control, "From", list(sets), default=next(iter(sets)), key="from"
    ) or next(iter(sets))  # fmt: skip
    found = sets[shown]
    if shown == "own":
        upload.form(lab, found)
        for name, why in own_problems().items():
            st.warning(plain(f"{name} is skipped: {why}"), icon=":material/warning:")
    if not found:
        st.info("There are no tasks here yet. A task is one TOML file and its data: docs/tasks.md.")
        return
    st.dataframe(
        pd.DataFrame(_counts(t) for t in found), hide_index=True, width="stretch",
        column_config={
            "Here": "Available", "Evaluated": "Evaluation", "Split": "Evaluation split",
            "Majority": "Majority-class accuracy",
        },
    )  # fmt: skip
    names = {t.name: t for t in found}
    chosen = names[
        st.selectbox(
            "Task",
            list(names),
            format_func=lambda n: controls.titles(found)[n],
            key=upload.SHOWN_TASK,
        )
    ]
    source = f"*{plain(chosen.source)}*" if chosen.source.strip() else ""
    st.markdown(f"{plain(chosen.about)} {source}".strip())
    if not chosen.ready:
        _absent(chosen)
        return
    if isinstance(chosen.answer, Text):
        answer = chosen.answer
        st.caption(
            f"The backbone writes at most {answer.max_new_tokens} tokens per example"
            + f", up to {plain(repr(answer.stop))}" * bool(answer.stop)
            + f". Answers are scored by {TITLES[answer.metric]}."
        )
    else:
        answer_words(chosen)
    if shown == "own":
        upload.manage(lab, chosen)
    warnings.shared([clean_task(chosen)], [chosen])


def _counts(task: Task) -> dict[str, object]:
    if not task.ready:
        return {"Task": task.title, "Category": task.category, "Here": False}
    try:
        train, held = load_split(task, "train"), load_split(task, task.evaluation_split)
    except BadTask as error:
        return {"Task": task.title, "Category": task.category, "Here": False, "Remark": str(error)}
    return {
        "Task": task.title,
        "Category": task.category,
        "Here": True,
        "Train": len(train),
        "Evaluated": len(held),
        "Split": task.evaluation_split,
        "Majority": round(held.majority, 3) if task.labels else None,
        "Remark": task.note,
    }


def _absent(task: Task) -> None:
    if task.remote is None:
        st.info("This task has no dataset on the Hub. Set SKILLSCOPE_DATA to a local copy.")
        return
    if st.button(
        f"Download {plain(task.title)}", icon=":material/download:", key=f"get-{task.name}"
    ):
        st.session_state["fetching"] = lab.submit_task(task.name)
        st.rerun()
    if fetching := st.session_state.get("fetching"):
        jobs.one(fetching, "The data are ready.")


def answer_words(task: Task) -> None:
    """Token ids of the answer words, and warnings about them."""
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
                warnings.append(
                    f"{name} splits {word!r} into {len(ids)} pieces; only the first is scored."
                )
        if any(not ids or firsts.count(ids) > 1 for ids in firsts):
            warnings.append(
                f"{name} cannot be used for this task: an answer word is empty or shares its "
                "first piece with another."
            )
    st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch")
    for warning in warnings:
        st.warning(plain(warning), icon=":material/warning:")


def delete(key: str) -> None:
    """Delete a prompt that is not shipped, with the results that rest on it."""
    if (lab.settings.assets / "answers" / "prompts" / f"{key}.safetensors").is_file():
        return
    with st.popover("Delete", icon=":material/delete:"):
        resting = lab.store.resting_on(key=key, prompt=key)
        count = len(resting) - 1
        st.markdown(f"This deletes the prompt and what was measured with it directly ({count:,}).")
        if st.button("Delete the prompt", type="primary", key=f"drop-{key}"):
            answers.remove(resting)
            st.rerun()


def computed() -> None:
    """What was computed here, and a way to delete it."""
    table = cached.computed(lab.store, lab.store.exported_keys(lab.settings.assets / "answers"))
    if table.empty:
        st.info(
            "Only the shipped results are stored; nothing else has been computed on this machine."
        )
        return
    titles = controls.titles([t for found in controls.task_sets().values() for t in found])
    table = table.assign(
        kind=table.kind.map(cached.TITLES), task=table.task.map(lambda n: titles.get(n, n)),
        latest=pd.to_datetime(table.latest),
    )  # fmt: skip
    st.dataframe(
        table.drop(columns="keys"), hide_index=True, width="stretch",
        column_config={
            "kind": "Measurement", "backbone": "Backbone", "task": "Task", "answers": "Results",
            "latest": st.column_config.DatetimeColumn("Last computed", format="YYYY-MM-DD HH:mm"),
        },
    )  # fmt: skip
    rows = list(table.itertuples(index=False))
    chosen = st.multiselect(
        "Results to delete", range(len(rows)), placeholder="measurement, backbone, task",
        format_func=lambda i: f"{rows[i].kind}, {rows[i].backbone}, {rows[i].task}", key="dropped",
        help="Shipped results are not listed. Backbones, tasks and prompts are deleted in their "
        "own sections.",
    )  # fmt: skip
    if not chosen:
        return
    keys = [key for i in chosen for key in rows[i].keys]
    st.markdown(
        f"This deletes **{len(keys):,}** stored result{'s' * (len(keys) != 1)}. Pages that need "
        "them offer to compute them again."
    )
    with answers.shown_errors():
        if st.button("Delete these results", type="primary", icon=":material/delete:"):
            answers.remove(keys)
            del st.session_state["dropped"]
            st.rerun()


def projectors() -> None:
    """All stored projectors, if there are any."""
    table = queries.projectors(lab.store)
    if table.empty:
        return
    st.markdown("**Projectors** (made on the Projection page)")
    st.dataframe(
        table.assign(tasks=table.tasks.map(", ".join))[
            ["key", "from_backbone", "to_backbone", "trained_by", "tasks", "prompts", "seed",
             "selection_accuracy"]
        ],
        hide_index=True, width="stretch",
        column_config={
            "key": "Key", "from_backbone": "From", "to_backbone": "To",
            "trained_by": "Training objective", "tasks": "Training tasks",
            "prompts": "Pairs of prompts", "seed": "Seed",
            "selection_accuracy": st.column_config.NumberColumn(
                "Selection accuracy", format="%.3f",
                help="Mean over the training tasks, on held-out training rows; only measured when "
                "training by task.",
            ),
        },
    )  # fmt: skip
    key = st.selectbox(
        "Download a projector", list(table.key), index=None, placeholder="a projector's key"
    )
    if key is not None:
        st.download_button(
            "Download (safetensors)", lab.store.file("projectors", key).read_bytes,
            f"projector-{key}.safetensors", icon=":material/download:", on_click="ignore",
        )  # fmt: skip


def prompts() -> None:
    """All stored prompts, one to share, and a folder to import."""
    table = queries.prompts(lab.store)
    columns = ["key", "backbone", "task", "seed", "prompt_length", "origin", "selection_accuracy"]
    pages = "prompt?key=" + table.key
    st.dataframe(
        table[columns].assign(page=pages), hide_index=True, width="stretch",
        column_config={
            "key": "Key", "backbone": "Backbone", "task": "Task", "seed": "Seed",
            "prompt_length": "Prompt length", "origin": "Origin",
            "selection_accuracy": st.column_config.NumberColumn(
                "Selection accuracy", format="%.3f", help="Accuracy on the held-out training rows.",
            ),
            "page": st.column_config.LinkColumn("Details", display_text="open"),
        },
    )  # fmt: skip
    projectors()
    for said in lab.broken_prompts().values():
        st.warning(plain(said), icon=":material/warning:")
    key = st.selectbox("Share or delete", list(table.key), index=None, placeholder="a prompt's key")
    if key is not None:
        with answers.shown_errors(), st.container(horizontal=True):
            sharing.download(lab, key)
            delete(key)
    with st.form("import", border=True):
        left, right = st.columns([4, 1], vertical_alignment="bottom")
        folder = left.text_input(
            "Import released prompts", placeholder="a folder with <Task>Prompt<Model>/task_prompt",
            help="The prompts released with Su et al. 2022 and Ackermann & Ohmer 2024. Only "
            "tensors are read; the prompts' backbones must be available here.",
        )  # fmt: skip
        if right.form_submit_button("Import", icon=":material/upload:") and folder.strip():
            with answers.shown_errors(), st.spinner("Reading the folder ..."):
                st.session_state["imported"] = [
                    asdict(o) for o in published.import_folder(lab, Path(folder.strip()), {})
                ]
    if outcomes := st.session_state.get("imported"):
        came = sum(bool(o["key"]) for o in outcomes)
        st.markdown(f"**{came} of {len(outcomes)}** files are now in the cache.")
        st.dataframe(pd.DataFrame(outcomes), hide_index=True, width="stretch")


with answers.shown_errors():
    {
        "backbones": backbones, "tasks": tasks, "prompts": prompts, "results": computed,
        "jobs": jobs.listed,
    }[section]()  # fmt: skip
