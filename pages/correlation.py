"""Do two tasks rely on the same neurons?"""

import pandas as pd
import streamlit as st

from core import charts
from core.base.markdown import plain
from core.figures import categories, queries
from core.measures import sweeps
from core.tasks.data import load_split
from pages.common import answers, controls

answers.heading(
    "Correlation",
    "Do the same neurons predict two tasks? A correlation near 1 means that they do.",
)
lab = answers.lab()
(place,) = controls.row(1)
with place:
    backbones = controls.backbones(lab)
    found = controls.clean(controls.ranked_set())
titles = controls.titles(found)
sizes = [len(load_split(t, t.evaluation_split)) for t in found]
specs = tuple(s for b in backbones for s in controls.own_predictivities(lab, b, found))


category = {t.title: t.category for t in found}


def finding(table: pd.DataFrame, look: charts.Look) -> charts.Figure | None:
    """Whether tasks of one category are predicted by the same neurons."""
    pairs = table.rename(columns={"task_a": "source", "task_b": "target", "spearman": "value"})
    compared = categories.compared(pairs, category)
    said = categories.lead(
        compared,
        "The same neurons tend to predict tasks of the same category",
        "The same neurons tend to predict tasks of different categories",
        "The same neurons do not clearly tend to predict tasks of the same category",
        depends="correlation",
    )
    if not said:
        return None
    with st.container(border=True):
        st.markdown(
            said,
            help=f"{categories.means(compared, 'Mean Spearman correlation')} Means over tasks, "
            f"without the diagonal. {categories.listed(category)}",
        )
        figure = charts.category_means(
            categories.parts(compared),
            look,
            categories=list(dict.fromkeys(category.values())),
            title="mean correlation between two tasks",
        )
        answers.chart(figure)
        st.caption(
            categories.differences(compared, "Same minus other categories"),
            help="Means over tasks of the correlation with tasks of their category, minus that "
            "with other tasks. Intervals treat tasks as random and need at least six tasks.",
        )
    return figure


def draw() -> None:
    """One matrix per backbone."""
    table = queries.correlation(lab.store, specs, clean=lab.clean_name)
    if table.empty:
        answers.nothing("Predictivities on these tasks have not been computed yet.")
    look = answers.look(lab.models.names())
    figures = list[tuple[str, charts.Figure]]()
    table = charts.titled(table, titles)
    if first := finding(table, look):
        figures.append(("categories", first))
    table = table.assign(same_category=categories.same(table.task_a, table.task_b, category))
    boxes = queries.predictivity_boxes(lab.store, specs)
    for name, column in zip(backbones, answers.beside(backbones), strict=True):
        rows = table[table.backbone == name]
        with column, st.container(border=True):
            st.subheader(plain(name), anchor=False)
            if rows.empty:
                st.caption("Nothing computed yet.")
                continue
            figure = charts.correlation_heatmap(
                rows, look, backbone=name, tasks=[t.title for t in found]
            )
            answers.chart(figure)
            figures.append((name, figure))
            st.caption(
                f"{rows.neurons.iloc[0]} neurons in each of {rows.layers.iloc[0]} layers; "
                f"predictivities: means over {len(sweeps.SEEDS)} seeds, {controls.count(sizes)} "
                "examples per task. Outlined: pairs of one category.",
                help="Each cell is Spearman's rank correlation between the neurons' predictivities "
                "on two tasks, averaged over layers. Unrelated rankings have a correlation of 0. "
                "Uninformative neurons (no better than the majority class) often tie, which raises "
                "the correlation; they are "
                f"{controls.count(boxes[boxes.backbone == name].uninformative, '.0%')} of a task's "
                "neurons. The tooltip gives the lowest and highest correlation over layers.",
            )
    answers.downloads("correlation", table, *figures)


answers.show(specs, draw, name="correlation", what="measurements")
