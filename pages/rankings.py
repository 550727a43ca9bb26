"""Rankings of neurons by predictivity, compared over layers, seeds and tasks."""

import streamlit as st

from core import charts
from core.base.markdown import plain
from core.figures import queries, rankings
from core.measures.predictivity import PredictivitySpec
from core.tasks import Task
from pages.common import answers, controls

answers.heading(
    "Rankings",
    "Predictivity ranks a task's neurons. In which layers are the top neurons, are they shared "
    "with other seeds and tasks, and which neurons rank high on two tasks?",
)
lab = answers.lab()
left, middle, right = st.columns([2, 2, 2], gap="medium")
with left:
    backbones = controls.backbones(lab)
with middle:
    found = controls.ranked_set()
    task = controls.task(found)
    rest = [t for t in found if t.name != task.name]
    if not rest:
        st.info("There is only one task here. Comparing rankings takes at least two.")
        st.stop()
    other = controls.task(rest, "Against", "against")
with right:
    top = controls.fraction()
titles = controls.titles(found)


def asked(of: Task) -> dict[str, tuple[PredictivitySpec, ...]]:
    """One task's measurements, by backbone."""
    return {b: controls.own_predictivities(lab, b, [of]) for b in backbones}


mine, against = asked(task), asked(other)
clean = controls.clean(found)
everything = {b: controls.own_predictivities(lab, b, clean) for b in backbones}
SEEDS = len({s.prompt.seed for specs in mine.values() for s in specs})


def draw() -> None:
    """Layers and seeds first, then pairs of tasks."""
    look = answers.look(lab.models.names())
    layers = rankings.layer_shares(lab.store, mine, top)
    if layers.empty:
        st.caption("Nothing computed yet.")
        return
    seeds = rankings.stability(lab.store, mine)
    one, two = st.columns(2, gap="medium")
    with one, st.container(border=True):
        st.subheader("In which layers?", anchor=False)
        figure = charts.layer_shares(layers, look)
        st.altair_chart(figure, width="stretch", theme=None)
        st.caption(
            f"{plain(task.title)}: the top {top:.0%} of all neurons by mean predictivity over "
            f"{SEEDS} seeds; vertical lines: range over seeds. Dotted: equal shares in all layers."
        )
        answers.downloads("layers", layers, ("", figure))
    with two, st.container(border=True):
        st.subheader("Are skill neurons shared with other seeds?", anchor=False)
        if seeds.empty:
            st.caption("This comparison needs at least two seeds.")
        else:
            figure = charts.stability(seeds, look)
            st.altair_chart(figure, width="stretch", theme=None)
            st.caption(
                f"{plain(task.title)}: share of one seed's skill neurons shared with another, mean "
                f"of {seeds.pairs.max()} pairs of {SEEDS} seeds; band: lowest to highest pair. "
                "Dotted: chance overlap.",
                help="Uninformative neurons (at or below the majority class) are never skill "
                "neurons.",
            )
            answers.downloads("stability", seeds, ("", figure))
    pairs(look)
    matrices(look)


def pairs(look: charts.Look) -> None:
    """Each neuron's rank percentile on two tasks."""
    st.subheader(
        f"{plain(task.title)} against {plain(other.title)}, neuron by neuron", anchor=False
    )
    for name, column in zip(backbones, answers.beside(backbones), strict=True):
        first = rankings.mean_of(lab.store, mine[name])
        second = rankings.mean_of(lab.store, against[name])
        with column, st.container(border=True):
            st.markdown(f"**{plain(name)}**")
            if first is None or second is None:
                st.caption("Nothing computed yet.")
                continue
            table = rankings.pair(first, second, top).assign(backbone=name)
            figure = charts.rank_rank(
                answers.linked(table, task=task.title),
                look,
                backbone=name,
                first=task.title,
                second=other.title,
            )
            st.altair_chart(figure, width="stretch", theme=None)
            common = rankings.compare(first.skill(top), second.skill(top))
            st.caption(
                f"{common.shared} of {common.first} skill neurons of {plain(task.title)} (top "
                f"{top:.0%} of each layer) are shared with the {common.second} of "
                f"{plain(other.title)}; chance overlap: {common.chance.mean:.0f}. Click a point to "
                "open the neuron.",
                help="A rank percentile of 100 % is the highest in the layer. Neurons with equal "
                "predictivity share a percentile.",
            )
            answers.downloads(f"pair-{name}", table, ("", figure))


def matrices(look: charts.Look) -> None:
    """Overlap of skill neurons for each pair of clean tasks."""
    st.subheader("Which tasks share skill neurons?", anchor=False)
    for name, column in zip(backbones, answers.beside(backbones), strict=True):
        found = queries.rankings(lab.store, everything[name], clean=lab.clean_name)
        values = {task: value for (_, task), value in found.items()}
        with column, st.container(border=True):
            st.markdown(f"**{plain(name)}**")
            if not values:
                st.caption("Nothing computed yet.")
                continue
            table = charts.titled(rankings.shared(values, top), titles)
            chance = float(table.chance.mean())
            figure = charts.shared_heatmap(
                table, look, backbone=name, tasks=[t.title for t in clean], chance=chance
            )
            st.altair_chart(figure, width="stretch", theme=None)
            st.caption(
                f"Share of a row's skill neurons (top {top:.0%} of each layer, means of {SEEDS} "
                f"seeds) shared with the column's. Chance overlap (palest colour): {chance:.0%}."
            )
            answers.downloads(f"shared-{name}", table, ("", figure))


specs = [s for group in (mine, against, everything) for specs in group.values() for s in specs]
answers.show(tuple(dict.fromkeys(specs)), draw, name="rankings", what="measurements")
