"""RoBERTa's and T5's rankings of neurons, side by side."""

import streamlit as st

from core import charts
from core.base.markdown import plain
from core.figures import queries, rankings
from core.measures.predictivity import PredictivitySpec
from core.tasks import Task
from pages.common import answers, controls

answers.heading(
    "Rankings",
    "Predictivity ranks a task's neurons. Where do the best ones lie, do other tasks and other "
    "seeds choose the same ones, and which do two rankings agree on?",
)
lab = answers.lab()
left, middle, right = st.columns([2, 2, 2], gap="medium")
with left:
    backbones = controls.backbones(lab)
with middle:
    found = controls.task_set()
    task = controls.task(found)
    rest = [t for t in found if t.name != task.name]
    if not rest:
        st.info("There is one task here; rankings are compared between at least two.")
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
            f"{plain(task.title)}: the best {top:.0%} of all neurons, by the mean of {SEEDS} "
            "seeds; lines: the seeds' own rankings. Dotted: as many in each layer."
        )
        answers.downloads("layers", layers, ("", figure))
    with two, st.container(border=True):
        st.subheader("Does another seed choose the same?", anchor=False)
        if seeds.empty:
            st.caption("One seed alone cannot tell.")
        else:
            figure = charts.stability(seeds, look)
            st.altair_chart(figure, width="stretch", theme=None)
            st.caption(
                f"{plain(task.title)}: share of one seed's top neurons that are another's, mean of "
                f"{seeds.pairs.max()} pairs of {SEEDS} seeds; band: lowest and highest pair. "
                "Dotted: what chance gives. Neurons that tell no more than always giving one "
                "answer are never chosen."
            )
            answers.downloads("stability", seeds, ("", figure))
    pairs(look)
    matrices(look)


def pairs(look: charts.Look) -> None:
    """Each neuron's place by two tasks."""
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
                f"{top:.0%} of each layer) are among the {common.second} of "
                f"{plain(other.title)}; chance would give {common.chance.mean:.0f}. "
                "100 % is the best of the layer; "
                "neurons that tell nothing share a place. Click a point to open the neuron."
            )
            answers.downloads(f"pair-{name}", table, ("", figure))


def matrices(look: charts.Look) -> None:
    """What each pair of clean tasks shares."""
    st.subheader("Which tasks share skill neurons?", anchor=False)
    for name, column in zip(backbones, answers.beside(backbones), strict=True):
        values = {t: v for (_, t), v in queries.rankings(lab.store, everything[name]).items()}
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
                f"seeds) that are the column's, too; chance, the palest colour, is {chance:.0%}."
            )
            answers.downloads(f"shared-{name}", table, ("", figure))


specs = [s for group in (mine, against, everything) for specs in group.values() for s in specs]
answers.show(tuple(dict.fromkeys(specs)), draw, name="rankings", what="measurements")
