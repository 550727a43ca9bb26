"""Each neuron's rank on clean and on attacked texts, all backbones on one scale."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core import charts
from core.base.markdown import plain
from core.base.specs import key
from core.figures import rankings
from core.figures.words import p_value, two
from core.lab.lab import Lab
from core.measures.stability import StabilitySpec
from core.stats.neurons import Choose
from core.tasks import Task
from pages.common import address, answers, controls

KINDS: tuple[Choose, ...] = ("skill", "causal")
BESIDE = 2  # figures in a row
HELP = (
    "Rank percentile: 100% is the highest in its layer. Both rankings use the same examples, so "
    "some agreement is expected under any attack. The curves under *This task* compare separate "
    "halves of the data with a permutation null."
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
    names: dict[Choose, str] = {"skill": "predictivity", "causal": "attribution"}
    kind = address.bound(
        place.segmented_control, "Ranked by", known, default=known[0], key="ranked", required=True,
        format_func=names.__getitem__,
        help="Predictivity: how well a neuron predicts the answer. Attribution: how much it adds "
        "to the margin of the right answer.",
    )  # fmt: skip
    asked = {b: kinds[kind][view.dose] for b, kinds in view.asked.items()}
    specs = tuple(
        dict.fromkeys(s for one in asked.values() for s in (*one.clean, *one.adversarial))
    )
    answers.show(specs, lambda: draw(view, asked, kind), name="ranks", what="measurements")


def draw(view: View, asked: Mapping[str, StabilitySpec], kind: str) -> None:
    """A point a neuron; two backbones in a row."""
    look, named, store = answers.look(view.lab.models.names()), rankings.NAMES[kind], view.lab.store
    whole = [b for b, one in asked.items() if not view.lab.missing((*one.clean, *one.adversarial))]
    pairs = {
        b: (rankings.mean_of(store, asked[b].clean), rankings.mean_of(store, asked[b].adversarial))
        for b in whole
    }
    there = {b: (x, y) for b, (x, y) in pairs.items() if x is not None and y is not None}
    if not there:
        answers.nothing("These neurons have not been ranked under attack yet.")
    names, figures, tables = list(there), [], []
    kinds = {
        "both": f"{named[:-1]} in both rankings", "first only": "on clean texts only",
        "second only": "under attack only", "neither": "in neither",
    }  # fmt: skip
    for start in range(0, len(names), BESIDE):
        row = names[start : start + BESIDE]
        for name, column in zip(row, st.columns(BESIDE, gap="medium"), strict=False):
            clean, struck = there[name]
            table = rankings.pair(clean, struck, view.top).assign(backbone=name)
            tables.append(table)
            figure = charts.rank_rank(
                answers.linked(table, task=view.task.title), look, first="clean texts",
                second=f"{view.edits} per text", names=kinds,
            )  # fmt: skip
            figures.append((name, figure))
            common = rankings.compare(clean.top(view.top), struck.top(view.top))
            rho = rankings.by_layer({name: clean}, {name: struck}).spearman
            with column, st.container(border=True):
                st.markdown(
                    f"**{plain(name)}**: {common.share:.0%} of its {named} stay in the top "
                    f"{view.top:.0%} under attack"
                )
                answers.chart(figure)
                st.caption(
                    f"{common.shared} of {common.first} {named} on clean texts are also {named} "
                    f"under attack; by chance it would be {common.chance.mean:.0f}.",
                    help=f"Chance overlap: {p_value(common.p)}. Spearman's rank correlation, mean "
                    f"over layers: {two(float(np.nanmean(rho)))}. {HELP}",
                )
    prompts = controls.count([len({key(s.prompt) for s in asked[b].clean}) for b in there])
    st.caption(
        f"{plain(view.task.title)}, {view.task.evaluation_split} split, means over {prompts} "
        "prompts of each backbone. Click a point to open the neuron."
    )
    answers.downloads("robustness-ranks", pd.concat(tables), *figures)
