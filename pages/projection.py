"""Prompts of one backbone on another, after projection."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from core import charts
from core.base.markdown import plain
from core.base.specs import key
from core.figures import projection as figures
from core.figures import queries
from core.measures import projections
from core.measures.projector import By, ProjectorSpec, Shape
from core.measures.tuning import TuneSpec
from core.tasks import Task
from pages.common import address, answers, controls, warnings

TRAINED = {
    "distance": "trained to match the prompts tuned on {target}.",
    "task": "trained to solve the training tasks on {target}.",
}
SHAPES: dict[str, Shape] = {"as a whole": "whole", "each by itself": "each"}
HOW_HELP = (
    "A projector is a small network: linear, leaky ReLU, linear, layer normalisation. It is "
    "trained on the prompts of the training tasks; both backbones stay frozen. By distance: "
    "minimises the squared distance to the prompts tuned on the target backbone. By task: "
    "minimises the task loss of the projected prompts on the target backbone."
)
FIGURE_HELP = (
    "Points: means over prompts; bars: 95% bootstrap intervals over prompts and examples, without "
    "the variation between projectors; ticks: majority-class accuracy. Hollow: prompts tuned on "
    "the target backbone."
)
GAIN_HELP = (
    "Unseen tasks: other tasks of the training tasks' categories. Unseen categories: tasks of "
    "other categories. Points: means over the tasks of a group. Bars: 95% intervals over prompts "
    "and examples, with the tasks fixed. Ticks: majority-class accuracy. Gain: mean difference "
    "over tasks and prompts, paired by seed. A gain near 0 means that projected random tokens are "
    "as accurate as projected prompts. Its 95% interval treats four or more tasks as "
    "random, fewer as fixed."
)

answers.heading(
    "Projection",
    "A small network, the projector, turns prompts of one backbone into prompts of another. "
    "Projected random tokens are the control.",
)
lab = answers.lab()
one, two, three = controls.row(3, 2, 2)
names = list(lab.models.names())
if len(names) < 2:
    st.info("A projection needs two backbones; add another one on the Library page.")
    address.end()
source = address.bound(one.selectbox, "Source backbone", names, index=1, key="source")
target = address.bound(two.selectbox, "Target backbone", names, key="target")
if lab.models.pin(source) == lab.models.pin(target):
    st.info("Choose two different backbones.")
    address.end()
with three:
    offered = controls.clean_ranked()
titles = controls.titles(offered)
chosen = address.bound(
    one.multiselect, "Training tasks", list(titles),
    default=[t.name for t in projections.learned_by_default(offered)],
    format_func=titles.__getitem__, key="learned",
)  # fmt: skip
shape = SHAPES[
    address.bound(
        two.segmented_control, "Project a prompt's vectors", list(SHAPES), default="as a whole",
        key="shape", help="Su et al. 2022 project a prompt as a whole.",
    )
    or "as a whole"
]  # fmt: skip
ways = address.bound(
    three.pills, "Training objective", projections.WAYS, default=list(projections.WAYS),
    selection_mode="multi", key="objective", help=HOW_HELP,
)  # fmt: skip
if not chosen or not ways:
    st.info("Choose at least one training task and one training objective.")
    address.end()


def tuned(backbone: str, found: Sequence[Task]) -> list[TuneSpec]:
    """The standard prompts; imported ones have no counterpart on the other backbone."""
    return controls.standard(lab, backbone, found)


learned = [t for t in offered if t.name in chosen]
projectors: dict[By, ProjectorSpec] = {
    by: projections.projector(tuned(source, learned), tuned(target, learned), by, shape=shape)
    for by in projections.WAYS
    if by in ways
}
asked = {
    t.title: projections.questions(
        projectors, (lab.pin(t, target), t.evaluation_split), tuned(source, [t]), tuned(target, [t])
    )
    for t in offered
}
group = figures.groups({t.title: t.category for t in offered}, [t.title for t in learned])
order = sorted(group, key=lambda title: figures.GROUPS.index(group[title]))
left_out = [by for by in projections.WAYS if by not in ways]
kinds = {
    how: name for how, name in figures.HOW.items() if how.removesuffix("-random") not in left_out
}
look = answers.look(names)


def accuracy(table: pd.DataFrame) -> list[tuple[str, charts.Figure]]:
    """Accuracy on each task: a figure for each group of tasks, on one scale."""
    lowest = charts.below(float(table[["low", "majority"]].min().min()))
    shown = [g for g in figures.GROUPS if (table.group == g).any()]
    drawn = []
    with st.container(border=True):
        st.markdown(f"**Accuracy of each task on {plain(target)}**")
        for name in shown:
            st.caption(f"**{name.capitalize()}**")
            figure = charts.projected_accuracy(
                table[table.group == name], look, backbone=target, tasks=order, kinds=kinds,
                lowest=lowest, first=name == shown[0], last=name == shown[-1],
            )  # fmt: skip
            answers.chart(figure)
            drawn.append((name, figure))
        st.caption(
            f"{controls.count(table.prompts)} prompts per task, one projector per training "
            "objective; "
            f"{controls.count(table.n)} examples of the evaluation split.",
            help=FIGURE_HELP,
        )
    return drawn


def gains(found: figures.Rights) -> pd.DataFrame:
    """What projection gains over tuned prompts, and over random tokens, projected and not."""
    parts = [
        figures.gain(found, group, by, over)
        for by in projectors
        for over in ("own", f"{by}-random", "random")
    ]
    return pd.concat(parts, ignore_index=True)


def summary(found: figures.Rights, gained: pd.DataFrame) -> list[tuple[str, charts.Figure]]:
    """Mean accuracy by group of tasks, a card per training objective, and what it shows."""
    drawn = list[tuple[str, charts.Figure]]()
    if said := figures.finding(gained):
        near = ". ".join(
            f"With the {by} loss: {figures.differences(gained[gained.how == by], 'own')}"
            for by in projectors
        )
        st.markdown(
            f"**{said}**",
            help=f"Difference in accuracy from tuned prompts (95% interval). {near}. " + GAIN_HELP,
        )
    there = {
        by: means for by in projectors
        if len(means := figures.by_group(found, group, ("own", by, f"{by}-random")))
    }  # fmt: skip
    if not there:
        return drawn
    lowest = charts.below(min(m[["low", "majority"]].min().min() for m in there.values()))
    for by, column in zip(there, answers.beside(list(there)), strict=True):
        names = {"own": f"tuned on {target}", by: f"projected from {source}",
                 f"{by}-random": "projected random tokens"}  # fmt: skip
        means = there[by].assign(task=there[by].task.str.capitalize())
        figure = charts.projected_accuracy(
            means, look, backbone=target, kinds=names, lowest=lowest,
            tasks=[g.capitalize() for g in figures.GROUPS],
        )  # fmt: skip
        drawn.append((f"by {by}", figure))
        over = figures.differences(gained[gained.how == by], f"{by}-random")
        with column, st.container(border=True):
            trained = TRAINED[by].format(target=plain(target))
            st.markdown(
                f"**{by.capitalize()} loss**: {trained} {figures.control(gained, by)}".strip(),
                help=f"Gain over projected random tokens: {over}. " * bool(over) + GAIN_HELP,
            )
            answers.chart(figure)
    return drawn


def draw() -> None:
    """Accuracy by group of tasks and by task, the table, and how training went."""
    found = figures.read(lab.store, asked)
    table = figures.accuracies(found, group)
    if table.empty:
        if not any(len(history(spec)) for spec in projectors.values()):
            answers.nothing("No projector has been trained with these settings yet.")
        training()
        return
    table = table[table.how.isin(kinds)]
    gained = gains(found)
    drawn = [*summary(found, gained), *accuracy(table)]
    heat = charts.projection_heatmap(table, look, backbone=target, tasks=order, kinds=kinds)
    with st.container(border=True):
        st.markdown("**Accuracy relative to prompts tuned on the target backbone**")
        answers.chart(heat)
    listed(table)
    with st.container(horizontal=True):
        answers.downloads("projection", table, *drawn, ("relative", heat))
        answers.downloads("projection-gain", gained, label="Gains")
    training()


def listed(table: pd.DataFrame) -> None:
    """The accuracies as numbers, with their intervals."""
    with st.expander("Table: accuracy of each kind of prompt, task by task"):
        shown = table.assign(how=table.how.map(kinds))
        st.dataframe(
            shown[["task", "group", "how", "accuracy", "low", "high"]],
            hide_index=True, width="stretch",
            column_config={
                "task": "Task", "group": "Group", "how": "Prompt",
                "accuracy": st.column_config.NumberColumn("Accuracy", format="%.3f"),
                "low": st.column_config.NumberColumn("95% from", format="%.3f"),
                "high": st.column_config.NumberColumn("95% to", format="%.3f"),
            },
        )  # fmt: skip


def training() -> None:
    """Loss, and accuracy on held-out rows, of each projector."""
    histories = {by: history(spec) for by, spec in projectors.items()}
    for by, column in zip(histories, answers.beside(list(histories)), strict=True):
        steps = histories[by]
        if len(steps):
            with column, st.container(border=True):
                curve(by, projectors[by], steps)


def history(spec: ProjectorSpec) -> pd.DataFrame:
    """The steps so far, running or stored."""
    stored = queries.tuning_history(lab.store, key(spec))
    if len(stored):
        return stored
    live = [(s.step, s.loss, s.accuracy) for s in lab.live(spec)]
    return pd.DataFrame(live, columns=["step", "loss", "accuracy"]).astype(float)


def curve(by: str, spec: ProjectorSpec, steps: pd.DataFrame) -> None:
    """One projector's training."""
    st.markdown(f"**Projector trained with the {by} loss**")
    loss = charts.tuning_loss(steps, look, backbone=target, steps=spec.steps)
    answers.chart(loss)
    known = steps.accuracy.dropna()
    reached = f" Best mean accuracy on selection rows: {known.max():.3f}." if len(known) else ""
    st.caption(
        f"Loss: {spec.measured[spec.by]}. {len(spec.sources)} pairs of prompts, {spec.steps} "
        f"steps, projector {key(spec)}.{reached}"
    )
    answers.downloads(f"projector-{by}", steps, ("loss", loss), label="Training")


def in_order(by_task: Mapping[str, Mapping[str, Sequence[Any]]]) -> tuple[Any, ...]:
    """All questions: projectors first, then task by task."""
    each = (s for kinds in by_task.values() for specs in kinds.values() for s in specs)
    return (*projectors.values(), *each)


answers.show(in_order(asked), draw, name="projection", what="answers")
warnings.shared(offered, offered)
controls.left_out(controls.tasks_shown(), [], controls.NEEDS_CLASSES)
