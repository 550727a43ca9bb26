"""Prompt tuning against the other ways to tune a backbone."""

import pandas as pd
import streamlit as st

from core import charts
from core.backbones.trained import WAYS
from core.base.markdown import plain
from core.figures import ways as figures
from core.figures import words
from core.measures import alternatives, sweeps
from core.measures.ways import WaySpec
from core.tasks import Task
from pages.common import answers, controls, warnings

ABOUT = (
    "All methods train on the same rows and batches for the same number of steps. Each keeps the "
    "step with the best accuracy on the selection rows. Prompt tuning trains vectors before the "
    "input. Prefix tuning also trains the "
    "states at these positions in every layer of the encoder. BitFit trains the bias vectors; T5 "
    "has none, so its layer-norm scales are trained instead. LoRA trains low-rank updates of the "
    "query and value projections. Adapters are small bottleneck networks after each feed-forward "
    "network."
)
COST_HELP = (
    "Points: means over seeds; bars: 95% bootstrap intervals over seeds and examples. Training "
    "time counts the optimiser's updates only, in processor seconds of the machine that ran them."
)
EXCESS_HELP = (
    "As many random neurons are suppressed, and the drop is the mean over draws. 95% intervals "
    "treat seeds and examples as random effects. Methods whose interval includes 0 are not listed."
)
AGAINST_HELP = (
    "Difference of accuracies, soft prompts minus full fine-tuning, with the same seeds and "
    "examples; 95% intervals treat both as random effects."
)
WITHOUT_HELP = (
    "Neurons are ranked with the soft prompts, not with the tuned backbones: causal ones by "
    "attribution, skill neurons by predictivity. Bars: mean accuracy drop; lines: 95% intervals "
    "that treat seeds, random draws and examples as random effects."
)

answers.heading(
    "Ways to tune",
    "Is prompt tuning as accurate as tuning the weights, and do these methods rely on the same "
    "neurons?",
)
lab = answers.lab()
left, right = controls.row(1, 1)
with left:
    backbones = controls.backbones(lab)
with right:
    task = controls.task(controls.clean_ranked())


def questions(backbone: str, of: Task) -> tuple[WaySpec, ...]:
    """Every way, over the standard seeds."""
    prompts, place = controls.standard(lab, backbone, [of]), lab.pin(of, backbone)
    predictive = sweeps.predictivities(
        ((p, place, of.evaluation_split) for p in prompts), of.contrasts()
    )
    return alternatives.ways(
        prompts, lab.models.family(backbone), predictive, sweeps.attributions(prompts, place),
        split=of.evaluation_split, 
    )  # fmt: skip


asked = tuple(spec for b in backbones for spec in questions(b, task))
look = answers.look(lab.models.names())
titles = [figures.TITLES[way] for way in WAYS]


def draw() -> None:
    """Accuracy against cost, the table, and what is lost without the prompts' neurons."""
    table = figures.compared(lab.store, asked)
    if table.empty:
        answers.nothing("These methods have not been compared yet.")
    if said := figures.as_good(figures.against(lab.store, asked, "prompt", "full"), task.title):
        st.markdown(said, help=AGAINST_HELP)
    lost = figures.without(lab.store, asked)
    names = [b for b in backbones if (table.backbone == b).any()]
    drawn = costs(table, names)
    numbers(table)
    dropped = neurons(lost, names)
    with st.container(horizontal=True):
        answers.downloads("ways", table, *drawn)
        answers.downloads("ways-without", lost, *dropped, label="Accuracy drops")


def costs(table: pd.DataFrame, names: list[str]) -> list[tuple[str, charts.Figure]]:
    """Accuracy against trainable parameters and against training time."""
    drawn = []
    for name, column in zip(names, answers.beside(names), strict=True):
        mine = table[table.backbone == name]
        with column, st.container(border=True):
            st.markdown(f"**{plain(name)}: {plain(task.title)}, accuracy and cost**")
            for place, cost in enumerate(charts.COSTS):
                figure = charts.way_costs(mine, look, backbone=name, cost=cost, legend=not place)
                answers.chart(figure)
                drawn.append((f"{name}-{cost}", figure))
    st.caption(
        f"{controls.count(table.seeds)} seeds per method, {controls.count(table.n)} examples of "
        f"the evaluation split. Majority-class accuracy: {controls.count(table.majority, '.2f')}.",
        help=COST_HELP + " " + ABOUT,
    )
    return drawn


def numbers(table: pd.DataFrame) -> None:
    """The same as a table."""
    st.dataframe(
        table, hide_index=True, width="stretch",
        column_order="backbone title accuracy low high trained share seconds".split(),  # noqa: SIM905
        column_config={
            "backbone": "Backbone", "title": "Method",
            "accuracy": st.column_config.NumberColumn("Accuracy", format="%.3f"),
            "low": st.column_config.NumberColumn("95% from", format="%.3f"),
            "high": st.column_config.NumberColumn("95% to", format="%.3f"),
            "trained": st.column_config.NumberColumn("Trainable parameters", format="localized"),
            "share": st.column_config.NumberColumn("Share of backbone", format="percent"),
            "seconds": st.column_config.NumberColumn("Processor time (s)", format="%.1f"),
        },
    )  # fmt: skip


def neurons(table: pd.DataFrame, names: list[str]) -> list[tuple[str, charts.Figure]]:
    """Accuracy drop without the neurons that prompt tuning found."""
    drawn = []
    ends = min(-0.02, float(table.low.min())), max(0.1, float(table.high.max()))
    if more := excess(table):
        st.markdown(more, help=EXCESS_HELP)
    for name, column in zip(names, answers.beside(names), strict=True):
        mine = table[table.backbone == name]
        figure = charts.way_without(mine, look, backbone=name, ways=titles, ends=ends)
        drawn.append((name, figure))
        with column, st.container(border=True):
            st.markdown(f"**{plain(name)}: accuracy drop with the prompts' neurons suppressed**")
            answers.chart(figure)
    st.caption(
        f"{alternatives.FRACTION:.0%} of each layer's neurons suppressed, "
        f"{controls.count(table.seeds)} seeds per method, {table.draws.max()} random draws.",
        help=WITHOUT_HELP,
    )
    return drawn


def excess(table: pd.DataFrame) -> str:
    """By how much causal neurons cost more than random ones, where that is clear."""
    each = []
    for name, mine in table[table.choose == "causal"].groupby("backbone", sort=False):
        clear = [
            f"{r.title} {words.ranged(r.excess, r.excess_low, r.excess_high)}"
            for r in mine.itertuples()
            if r.excess_low > 0
        ]
        each.append(f"{plain(str(name))}: {', '.join(clear) or 'none'}")
    said = "; ".join(each)
    return (
        (
            "**Suppressing causal neurons costs clearly more accuracy than random ones** "
            f"(difference, 95% interval): {said}."
        )
        if each
        else ""
    )


answers.show(asked, draw, name="ways", what="tuning runs")
warnings.shared([task], [task])
controls.left_out(controls.tasks_shown(), [], controls.NEEDS_CLASSES)
