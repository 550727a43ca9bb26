"""Rankings of neurons: predictive against causal, and compared over layers, seeds and tasks."""

from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from core import charts
from core.base.markdown import plain
from core.figures import queries, rankings
from core.figures.words import p_value, two
from core.lab.lab import job_name
from core.stats.neurons import Ranking
from core.tasks import Task, clean_task, load_task
from pages.common import address, answers, controls

PREDICTIVITY, ATTRIBUTION = "predictivity", "attribution"

answers.heading(
    "Rankings",
    "Skill neurons have the highest predictivity: they predict the right answer best. Causal "
    "neurons have the highest attribution: they contribute most to it. Are these the same neurons? "
    "Do they stay the same across seeds and tasks?",
)
lab = answers.lab()
left, middle, right = controls.row(6, 3, 4)
with left:
    backbones = controls.backbones(lab)
with middle:
    found = controls.ranked_set()
    task = controls.task(found)
    rest = [t for t in found if t.name != task.name]
    other = controls.task(rest, "Compare with", "against") if rest else None
with right:
    top = controls.fraction("Top neurons")
    by = address.bound(
        st.segmented_control, "Ranked by", [PREDICTIVITY, ATTRIBUTION], default=PREDICTIVITY,
        key="by", required=True,
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


def state(specs: queries.Rankable) -> tuple[str, int]:
    """A cache key for what is worked out from these questions alone. Answers never change, so the
    questions, their names and the number of stored answers identify it.
    """
    names = [(s.prompt.backbone.name, s.prompt.source_task, s.task.name) for s in specs]
    return f"{job_name(specs)} {names}", len(lab.known(specs))


@st.cache_data(show_spinner="Comparing ...", max_entries=100)
def mean_of(state: tuple[str, int], _specs: queries.Rankable) -> Ranking | None:
    """The seed-mean ranking, as far as stored."""
    return rankings.mean_of(lab.store, _specs)


@st.cache_data(show_spinner="Comparing ...", max_entries=100)
def over_seeds(
    state: tuple[str, int], fraction: float, backbone: str, _specs: queries.Rankable
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Shares of the layers, and overlap with other seeds."""
    here = {backbone: _specs}
    return rankings.layer_shares(lab.store, here, fraction), rankings.stability(lab.store, here)


@st.cache_data(show_spinner="Comparing ...", max_entries=100)
def shared(state: tuple[str, int], fraction: float, _specs: queries.Rankable) -> pd.DataFrame:
    """Overlap of each pair of clean tasks."""
    found = queries.rankings(lab.store, _specs, clean=lab.clean_name)
    return rankings.shared({task: value for (_, task), value in found.items()}, fraction)


def means(group: Mapping[str, queries.Rankable]) -> dict[str, Ranking]:
    """Seed-mean rankings by backbone, where there are any."""
    found = {backbone: mean_of(state(specs), specs) for backbone, specs in group.items()}
    return {backbone: ranking for backbone, ranking in found.items() if ranking is not None}


def draw() -> None:
    """Predictive against causal first; then layers, seeds and pairs of tasks."""
    look = answers.look(lab.models.names())
    tables = [over_seeds(state(specs), top, b, specs) for b, specs in mine.items()]
    layers, seeds = (pd.concat(parts) for parts in zip(*tables, strict=True))
    if layers.empty:
        answers.nothing("These neurons have not been ranked yet.")
    causes(look, means(predictive), means(causal))
    one, two = st.columns(2, gap="medium")
    with one, st.container(border=True):
        st.subheader("In which layers?", anchor=False)
        figure = charts.layer_shares(layers, look)
        answers.chart(figure)
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
            answers.chart(figure)
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
    pairs(look, other)
    matrices(look)


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
            answers.linked(table, task=origin.title), look, first=PREDICTIVITY,
            second=ATTRIBUTION, names=KINDS,
        )  # fmt: skip
        common = rankings.compare(first[name].top(top), second[name].top(top))
        with column, st.container(border=True):
            mostly = "mostly" if 2 * common.shared > common.first else "mostly not"
            st.markdown(
                f"**{plain(name)}**: {mostly}; {common.shared} of the {common.first} skill neurons "
                f"are also causal ({common.chance.mean:.0f} are expected by chance)."
            )
            answers.chart(figure)
            st.caption(
                f"Skill and causal neurons: top {top:.0%} of each layer, {common.first} and "
                f"{common.second}; {p_value(common.p)} for the overlap. Means of {SEEDS} seeds.",
                help="Skill neurons have the highest predictivity on the evaluation split, causal "
                "neurons the highest attribution (activation times the gradient of the right "
                "answer's margin) on 300 train rows. A rank percentile of 100% is the highest in "
                "the layer.",
            )
            exported = named_columns(table, PREDICTIVITY, ATTRIBUTION)
            answers.downloads(f"causes-{name}", exported, ("", figure))
    agreement = rankings.by_layer(first, second)
    figure = charts.spearman_by_layer(agreement, look)
    with st.container(border=True):
        st.markdown("**Agreement of the two rankings, layer by layer**")
        answers.chart(figure)
        means = agreement.groupby("backbone", sort=False).spearman.mean()
        st.caption(
            "1: the same order; 0: unrelated. Mean over layers: "
            + ", ".join(f"{plain(str(b))} {two(rho)}" for b, rho in means.items()) + "."
        )  # fmt: skip
        answers.downloads("agreement", agreement, ("", figure))


def pairs(look: charts.Look, other: Task) -> None:
    """Each neuron's rank percentile on two tasks."""
    st.subheader(
        f"{plain(task.title)} against {plain(other.title)}, neuron by neuron", anchor=False
    )
    here, there = means(mine), means(against)
    for name, column in zip(backbones, answers.beside(backbones), strict=True):
        first, second = here.get(name), there.get(name)
        with column, st.container(border=True):
            st.markdown(f"**{plain(name)}**")
            if first is None or second is None:
                st.caption("Nothing computed yet.")
                continue
            table = rankings.pair(first, second, top).assign(backbone=name)
            figure = charts.rank_rank(
                answers.linked(table, task=task.title),
                look,
                first=task.title,
                second=other.title,
            )
            answers.chart(figure)
            common = rankings.compare(first.top(top), second.top(top))
            st.caption(
                f"{common.shared} of {common.first} {named} of {plain(task.title)} (top "
                f"{top:.0%} of each layer) are shared with the {common.second} of "
                f"{plain(other.title)}; chance overlap: {common.chance.mean:.0f}. Click a point to "
                "open the neuron.",
                help="A rank percentile of 100% is the highest in the layer. Neurons with equal "
                "values share a percentile.",
            )
            exported = named_columns(table, task.title, other.title)
            answers.downloads(f"pair-{name}", exported, ("", figure))


def named_columns(table: pd.DataFrame, first: str, second: str) -> pd.DataFrame:
    """A pair of rankings as a file has it: values and rank percentiles by their names."""
    return table.rename(
        columns={
            "first": first, "x": f"{first}, rank percentile",
            "second": second, "y": f"{second}, rank percentile",
        }
    )  # fmt: skip


def matrices(look: charts.Look) -> None:
    """Overlap of the top neurons of each pair of clean tasks."""
    st.subheader(f"Which tasks share {named}?", anchor=False)
    for name, column in zip(backbones, answers.beside(backbones), strict=True):
        with column, st.container(border=True):
            st.markdown(f"**{plain(name)}**")
            found = shared(state(everything[name]), top, everything[name])
            if found.empty:
                st.caption("Nothing computed yet.")
                continue
            table = charts.titled(found, titles)
            chance = float(table.chance.mean())
            figure = charts.shared_heatmap(
                table, look, backbone=name, tasks=[t.title for t in clean], chance=chance
            )
            answers.chart(figure)
            st.caption(
                f"Share of a row's {named} (top {top:.0%} of each layer, means of {SEEDS} "
                f"seeds) shared with the column's. Chance overlap (palest colour): {chance:.0%}."
            )
            answers.downloads(f"shared-{name}", table, ("", figure))


groups = (predictive, causal, mine, against, everything)
specs = tuple(dict.fromkeys(s for group in groups for listed in group.values() for s in listed))
answers.show(specs, draw, name="rankings", what="measurements")
