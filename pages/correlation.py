"""Do two tasks rely on the same neurons?"""

import streamlit as st

from core import charts
from core.base.markdown import plain
from core.figures import queries
from core.measures import sweeps
from core.tasks.data import load_split
from pages.common import answers, controls

answers.heading(
    "Correlation",
    "A strongly coloured cell means that the neurons that predict one task also predict the other: "
    "Spearman's rank correlation of their predictivities, averaged over layers.",
)
lab = answers.lab()
backbones = controls.backbones(lab)
found = controls.clean(controls.task_set())
titles = controls.titles(found)
sizes = [len(load_split(t, t.evaluation_split)) for t in found]
specs = tuple(s for b in backbones for s in controls.own_predictivities(lab, b, found))


def draw() -> None:
    """One matrix per backbone."""
    table = queries.correlation(lab.store, specs)
    look, figures = answers.look(lab.models.names()), []
    table = charts.titled(table, titles)
    boxes = queries.predictivity_boxes(lab.store, specs)
    for name, column in zip(backbones, answers.beside(backbones), strict=True):
        rows = table[table.backbone == name] if len(table) else table
        with column, st.container(border=True):
            st.subheader(plain(name), anchor=False)
            if rows.empty:
                st.caption("Nothing computed yet.")
                continue
            figure = charts.correlation_heatmap(
                rows, look, backbone=name, tasks=[t.title for t in found]
            )
            st.altair_chart(figure, width="stretch", theme=None)
            figures.append((name, figure))
            st.caption(
                f"{rows.neurons.iloc[0]} neurons in each of {rows.layers.iloc[0]} layers; "
                f"predictivities are means over {len(sweeps.SEEDS)} seeds, on "
                f"{controls.count(sizes)} examples a task, validation split; the tooltip gives the "
                "lowest and the highest layer. Unrelated rankings give 0; neurons that tell "
                "nothing of either task share the last rank and raise it "
                f"({controls.count(boxes[boxes.backbone == name].silent, '.0%')} of a task's)."
            )
    answers.downloads("correlation", table, *figures)


answers.show(specs, draw, name="correlation", what="measurements")
