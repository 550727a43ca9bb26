"""Rankings of neurons: predictive against causal, and compared over layers, seeds and tasks."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from core import charts
from core.base.markdown import plain
from core.figures import queries, rankings
from core.figures.words import p_value, two
from core.lab.lab import job_name
from core.stats.neurons import Ranking
from core.tasks import Task, clean_task, load_task
from pages.common import answers, controls

PREDICTIVITY, ATTRIBUTION = "predictivity", "attribution"

answers.heading(
    "Rankings",
    "Neurons can be ranked by how well they predict the answer (predictivity) or by how much they "
    "add to it (attribution). Do both find the same neurons, and do other seeds and tasks share "
    "them?",
)
lab = answers.lab()
left, middle, right = st.columns([2, 2, 2], gap="medium")
with left:
    backbones = controls.backbones(lab)
with middle:
    found = controls.ranked_set()
    task = controls.task(found)
    rest = [t for t in found if t.name != task.name]
    other = controls.task(rest, "Against", "against") if rest else None
with right:
    top = controls.fraction("Top neurons")
    by = st.segmented_control(
        "Ranked by", [PREDICTIVITY, ATTRIBUTION], default=PREDICTIVITY, key="by", required=True,
        bind="query-params",
        help="Applies from 'In which layers?' on. Attribution is measured on train rows of the "
        "clean task, and an adversarial version uses its clean task's ranking.",
    )  # fmt: skip
named = rankings.NAMES["skill" if by == PREDICTIVITY else "causal"]
titles = controls.titles(found)
clean = controls.clean(found)


def asked(of: Sequence[Task], how: str) -> dict[str, queries.Rankable]:
    """The measurements that rank the neurons of these tasks, by backbone."""
    if how == PREDICTIVITY:
        return {b: controls.own_predictivities(lab, b, of) for b in backbones}
    origins = dict.fromkeys(clean_task(t).name for t in of)
    return {
        b: tuple(s for n in origins for s in controls.own_attributions(lab, b, load_task(n)))
        for b in backbones
    }


predictive, causal = (asked([clean_task(task)], how) for how in (PREDICTIVITY, ATTRIBUTION))
mine, everything = asked([task], by), asked(clean, by)
against = asked([other], by) if other else {}
SEEDS = len({s.prompt.seed for specs in mine.values() for s in specs})
KINDS = {
    "both": "skill and causal", "first only": "skill only", "second only": "causal only",
    "neither": "neither",
}  # fmt: skip


@st.cache_data(show_spinner="Comparing ...", max_entries=20)
def means(name: str, known: int) -> dict[str, dict[str, Ranking]]:
    """Seed-mean rankings by what is asked and backbone, as far as stored. Answers never change, so
    the questions and the number of stored answers identify them.
    """
    del name, known
    groups = {PREDICTIVITY: predictive, ATTRIBUTION: causal, "mine": mine, "against": against}
    return {
        kind: {b: r for b, specs in group.items() if (r := rankings.mean_of(lab.store, specs))}
        for kind, group in groups.items()
    }


@st.cache_data(show_spinner="Comparing ...", max_entries=20)
def tables(name: str, known: int, fraction: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Shares of the layers, and overlap with other seeds."""
    del name, known
    return (
        rankings.layer_shares(lab.store, mine, fraction),
        rankings.stability(lab.store, mine),
    )


@st.cache_data(show_spinner="Comparing ...", max_entries=20)
def shared(name: str, known: int, fraction: float) -> dict[str, pd.DataFrame]:
    """Overlap of each pair of clean tasks, by backbone."""
    del name, known
    out = {}
    for backbone, asked_here in everything.items():
        found = queries.rankings(lab.store, asked_here, clean=lab.clean_name)
        values = {task: value for (_, task), value in found.items()}
        out[backbone] = rankings.shared(values, fraction)
    return out


def draw() -> None:
    """Predictive against causal first; then layers, seeds and pairs of tasks."""
    look = answers.look(lab.models.names())
    state = job_name(specs), len(lab.known(specs))
    ranked = means(*state)
    causes(look, ranked[PREDICTIVITY], ranked[ATTRIBUTION])
    layers, seeds = tables(*state, top)
    if layers.empty:
        st.caption("Nothing computed yet.")
        return
    one, two = st.columns(2, gap="medium")
    with one, st.container(border=True):
        st.subheader("In which layers?", anchor=False)
        figure = charts.layer_shares(layers, look)
        st.altair_chart(figure, width="stretch", theme=None)
        st.caption(
            f"{plain(task.title)}: the top {top:.0%} of all neurons by mean {by} over "
            f"{SEEDS} seeds; vertical lines: range over seeds. Dotted: equal shares in all layers."
        )
        answers.downloads("layers", layers, ("", figure))
    with two, st.container(border=True):
        st.subheader(f"Are {named} shared with other seeds?", anchor=False)
        if seeds.empty:
            st.caption("This comparison needs at least two seeds.")
        else:
            figure = charts.stability(seeds, look)
            st.altair_chart(figure, width="stretch", theme=None)
            st.caption(
                f"{plain(task.title)}: share of one seed's {named} shared with another, mean "
                f"of {seeds.pairs.max()} pairs of {SEEDS} seeds; band: lowest to highest pair. "
                "Dotted: chance overlap.",
                help="Neurons at or below the majority-class accuracy (predictivity) or 0 "
                "(attribution) are never top neurons.",
            )
            answers.downloads("stability", seeds, ("", figure))
    if other is None:
        st.info("There is only one task here. Comparing tasks takes at least two.")
        return
    pairs(look, other, ranked["mine"], ranked["against"])
    matrices(look, shared(*state, top))


def causes(look: charts.Look, first: dict[str, Ranking], second: dict[str, Ranking]) -> None:
    """Draw each neuron's rank percentile by what it predicts and by what it causes."""
    origin = clean_task(task)
    both = [b for b in backbones if b in first and b in second]
    if not both:
        return
    st.subheader(f"{plain(origin.title)}: are the skill neurons also causal?", anchor=False)
    for name, column in zip(both, answers.beside(both), strict=True):
        table = rankings.pair(first[name], second[name], top).assign(backbone=name)
        figure = charts.rank_rank(
            answers.linked(table, task=origin.title), look, backbone=name, first=PREDICTIVITY,
            second=ATTRIBUTION, names=KINDS,
        )  # fmt: skip
        common = rankings.compare(first[name].top(top), second[name].top(top))
        with column, st.container(border=True):
            st.markdown(f"**{plain(name)}**")
            st.altair_chart(figure, width="stretch", theme=None)
            st.caption(
                f"{common.shared} of {common.first} skill neurons (top {top:.0%} of each layer) "
                f"are among the {common.second} causal ones; chance overlap: "
                f"{common.chance.mean:.0f}, {p_value(common.p)}. Means of {SEEDS} seeds.",
                help="Skill neurons have the highest predictivity on the evaluation split, causal "
                "neurons the highest attribution (activation times the gradient of the right "
                "answer's margin) on 300 train rows. A rank percentile of 100 % is the highest in "
                "the layer.",
            )
            answers.downloads(f"causes-{name}", table, ("", figure))
    agreement = rankings.by_layer(first, second)
    figure = charts.spearman_by_layer(agreement, look)
    with st.container(border=True):
        st.markdown("**Agreement of the two rankings, layer by layer**")
        st.altair_chart(figure, width="stretch", theme=None)
        means = agreement.groupby("backbone", sort=False).spearman.mean()
        st.caption(
            "1: the same order; 0: unrelated. Mean over layers: "
            + ", ".join(f"{plain(str(b))} {two(rho)}" for b, rho in means.items()) + "."
        )  # fmt: skip
        answers.downloads("agreement", agreement, ("", figure))


def pairs(
    look: charts.Look, other: Task, mine: dict[str, Ranking], against: dict[str, Ranking]
) -> None:
    """Each neuron's rank percentile on two tasks."""
    st.subheader(
        f"{plain(task.title)} against {plain(other.title)}, neuron by neuron", anchor=False
    )
    for name, column in zip(backbones, answers.beside(backbones), strict=True):
        first, second = mine.get(name), against.get(name)
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
            common = rankings.compare(first.top(top), second.top(top))
            st.caption(
                f"{common.shared} of {common.first} {named} of {plain(task.title)} (top "
                f"{top:.0%} of each layer) are shared with the {common.second} of "
                f"{plain(other.title)}; chance overlap: {common.chance.mean:.0f}. Click a point to "
                "open the neuron.",
                help="A rank percentile of 100 % is the highest in the layer. Neurons with equal "
                "values share a percentile.",
            )
            answers.downloads(f"pair-{name}", table, ("", figure))


def matrices(look: charts.Look, found: dict[str, pd.DataFrame]) -> None:
    """Overlap of the top neurons of each pair of clean tasks."""
    st.subheader(f"Which tasks share {named}?", anchor=False)
    for name, column in zip(backbones, answers.beside(backbones), strict=True):
        with column, st.container(border=True):
            st.markdown(f"**{plain(name)}**")
            if found[name].empty:
                st.caption("Nothing computed yet.")
                continue
            table = charts.titled(found[name], titles)
            chance = float(table.chance.mean())
            figure = charts.shared_heatmap(
                table, look, backbone=name, tasks=[t.title for t in clean], chance=chance
            )
            st.altair_chart(figure, width="stretch", theme=None)
            st.caption(
                f"Share of a row's {named} (top {top:.0%} of each layer, means of {SEEDS} "
                f"seeds) shared with the column's. Chance overlap (palest colour): {chance:.0%}."
            )
            answers.downloads(f"shared-{name}", table, ("", figure))


groups = (predictive, causal, mine, against, everything)
specs = tuple(dict.fromkeys(s for group in groups for listed in group.values() for s in listed))
answers.show(specs, draw, name="rankings", what="measurements")
