"""Each neuron's rank on clean and on attacked texts, all backbones on one scale."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core import charts
from core.base.markdown import plain
from core.figures import rankings
from core.figures.words import p_value, two
from core.lab.lab import Lab
from core.measures.stability import StabilitySpec
from core.stats.neurons import Choose
from core.tasks import Task
from pages.common import answers

KINDS: tuple[Choose, ...] = ("skill", "causal")
BESIDE = 2  # figures in a row
HELP = (
    "Rank percentile: 100 % is the highest in its layer. Means over seeds. Both rankings are of "
    "the same examples, so some agreement is expected whatever the attack; the curves of *This "
    "task* compare separate halves of the data and give the permutation null."
)


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """What is compared: questions by backbone, kind of neuron and dose; one dose, in words, and
    one share of each layer.
    """

    lab: Lab
    task: Task
    asked: Mapping[str, Mapping[Choose, Mapping[int, StabilitySpec]]]
    top: float
    dose: int
    edits: str


def show(view: View, place: DeltaGenerator) -> None:
    """The control, in `place`, what is missing, and a figure for each backbone."""
    known: list[Choose] = [
        kind for kind in KINDS if all(kind in kinds for kinds in view.asked.values())
    ]
    kind = place.segmented_control(
        "Ranked by", known, default=known[0], key="ranked", bind="query-params", required=True,
        format_func={"skill": "predictivity", "causal": "attribution"}.__getitem__,
        help="Predictivity: how well a neuron predicts the answer. Attribution: how much it adds "
        "to the right answer.",
    )  # fmt: skip
    asked = {b: kinds[kind][view.dose] for b, kinds in view.asked.items()}
    specs = tuple(
        dict.fromkeys(s for one in asked.values() for s in (*one.clean, *one.adversarial))
    )
    answers.show(specs, lambda: draw(view, asked, kind), name="ranks", what="measurements")


def draw(view: View, asked: Mapping[str, StabilitySpec], kind: str) -> None:
    """A point a neuron; two backbones in a row."""
    look, named, store = answers.look(view.lab.models.names()), rankings.NAMES[kind], view.lab.store
    pairs = {
        b: (rankings.mean_of(store, one.clean), rankings.mean_of(store, one.adversarial))
        for b, one in asked.items()
    }
    there = {b: (x, y) for b, (x, y) in pairs.items() if x is not None and y is not None}
    if not there:
        answers.nothing("These neurons have not been ranked under attack yet.")
    names, figures, tables = list(there), [], []
    kinds = {
        "both": f"{named[:-1]} on both", "first only": "on clean texts only",
        "second only": "under attack only", "neither": "on neither",
    }  # fmt: skip
    for start in range(0, len(names), BESIDE):
        row = names[start : start + BESIDE]
        for name, column in zip(row, st.columns(BESIDE, gap="medium"), strict=False):
            clean, struck = there[name]
            table = rankings.pair(clean, struck, view.top).assign(backbone=name)
            tables.append(table)
            figure = charts.rank_rank(
                answers.linked(table, task=view.task.title), look, backbone=name,
                first="clean texts", second=view.edits, names=kinds,
            )  # fmt: skip
            figures.append((name, figure))
            common = rankings.compare(clean.top(view.top), struck.top(view.top))
            rho = rankings.by_layer({name: clean}, {name: struck}).spearman
            with column, st.container(border=True):
                st.markdown(f"**{plain(name)}**: {common.share:.0%} of its {named} stay")
                st.altair_chart(figure, width="stretch", theme=None)
                st.caption(
                    f"{common.shared} of {common.first} {named} (top {view.top:.0%} of each layer) "
                    f"on clean texts are among the {common.second} under attack; chance overlap "
                    f"{common.chance.mean:.0f}, {p_value(common.p)}. Spearman, mean over layers: "
                    f"{two(float(np.nanmean(rho)))}.",
                    help=HELP,
                )
    seeds = len({s.prompt.seed for one in asked.values() for s in one.clean})
    st.caption(
        f"{plain(view.task.title)}, {view.task.evaluation_split} split, means of {seeds} seeds. "
        "Click a point to open the neuron."
    )
    answers.downloads("robustness-ranks", pd.concat(tables), *figures)
