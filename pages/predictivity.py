"""How well does a single neuron predict the answer?"""

import pandas as pd
import streamlit as st

from core import charts
from core.base.markdown import plain
from core.figures import queries
from core.figures.words import listed, two
from core.measures import sweeps
from core.measures.evaluation import EvaluationSpec
from core.measures.predictivity import PredictivitySpec
from core.tasks import clean_task
from pages.common import address, answers, controls, warnings

answers.heading(
    "Predictivity",
    "Boxes: how well single neurons predict a task's classes (0.5 is chance, 1 is perfect). Ring: "
    "the best one. Thick line: significance. Bars: the whole model's accuracy.",
)
lab = answers.lab()
left, middle, right = controls.row(6, 3, 3)
with left:
    backbones = controls.backbones(lab)
with middle:
    shown = address.bound(
        st.segmented_control, "Tasks", ["clean", "adversarial", "all"], default="clean",
        key="shown", help="Adversarial versions use their clean tasks' mean activations.",
    ) or "clean"  # fmt: skip

with left:
    every = controls.ranked_set()
titles = controls.titles(every)
found = [t for t in every if shown == "all" or (t.adversarial_of is None) == (shown == "clean")]
origins = {t.name: clean_task(t) for t in found}
with right:
    permutations = address.bound(
        st.select_slider, "Label permutations", [20, 100, 500, 1000], value=sweeps.PERMUTATIONS,
        key="permutations",
        help="More permutations give finer thresholds and p-values.",
    )  # fmt: skip


def questions(
    backbone: str,
) -> tuple[tuple[PredictivitySpec, ...], tuple[EvaluationSpec, ...]]:
    """The measurements behind the boxes, the evaluations behind the bars."""
    boxes, bars = list[PredictivitySpec](), list[EvaluationSpec]()
    for t in found:
        prompts = controls.prompts(lab, backbone, [origins[t.name]])
        asked = [(prompt, lab.pin(t, backbone), t.evaluation_split) for prompt in prompts]
        boxes += sweeps.predictivities(asked, t.contrasts(), permutations)
        bars += [sweeps.own_evaluation(*a) for a in asked]
    return tuple(boxes), tuple(bars)


NEAR = 0.05  # of accuracy: so close is near
boxes = tuple(s for b in backbones for s in questions(b)[0])
bars = tuple(s for b in backbones for s in questions(b)[1])


def best(box: pd.DataFrame, bar: pd.DataFrame) -> str:
    """The best single neuron beside the whole model, on clean tasks with two classes."""
    binary = [titles[t.name] for t in found if len(t.labels) == 2 and t.adversarial_of is None]
    both = box[box.task.isin(binary)].merge(bar, on=["backbone", "task"])
    if both.empty:
        return ""
    said, verbs = list[str](), list[str]()
    for name, mine in both.groupby("backbone", sort=False):
        one, whole = mine.highest.median(), mine.accuracy.median()
        gap = round(float(f"{whole:.2f}") - float(f"{one:.2f}"), 2)  # of what is shown
        verbs.append(
            "exceeds" if gap < 0 else "is as good as" if gap == 0
            else "comes within {} of" if gap <= NEAR else "stays {} below"
        )  # fmt: skip
        model = "it" if said else "the whole model"
        values = f"{two(one)} against {two(whole)}"
        said.append(f"{verbs[-1].format(two(gap))} {model} on {plain(str(name))} ({values})")
    far = sum(verb.startswith("stays") for verb in verbs)
    clauses = " but ".join(said) if len(said) == 2 and far == 1 else listed(said)
    tasks = both.groupby("backbone").size()
    over = f", medians over {controls.count(tasks)} tasks" * bool(tasks.max() > 1)
    return f"**The best single neuron {clauses}.** Predictivity against accuracy{over}."


def draw() -> None:
    """Boxes over bars, one chart per backbone, and the layers below."""
    look = answers.look(lab.models.names())
    box = charts.titled(queries.predictivity_boxes(lab.store, boxes), titles)
    if box.empty:
        answers.nothing("Nothing has been measured with these settings yet.")
    dots = answers.linked(charts.titled(queries.predictivity_outliers(lab.store, boxes), titles))
    bar = queries.accuracies(lab.store, bars).rename(columns={"target_task": "task"})
    bar = charts.titled(bar, titles)
    profile = charts.titled(queries.layer_profile(lab.store, boxes), titles)
    order, figures = [t.title for t in found], []
    if said := best(box, bar[["backbone", "task", "accuracy"]]):
        st.markdown(said)
    for name, column in zip(backbones, answers.beside(backbones), strict=True):
        mine = [table[table.backbone == name] for table in (box, dots, bar, profile)]
        with column, st.container(border=True):
            st.markdown(f"**{plain(name)}**")
            if mine[0].empty:
                st.caption("Nothing computed yet.")
                continue
            figure = charts.boxes_over_bars(
                mine[0], mine[1], mine[2], look, backbone=name, tasks=order,
                lowest=charts.boxes_begin(box, bar),
            )  # fmt: skip
            answers.chart(figure)
            figures.append((name, figure))
            first = mine[0].iloc[0]
            st.caption(
                f"{first.seeds} seeds, {controls.count(mine[0].n)} examples per task. Dotted: "
                "chance; thick line: family-wise threshold. Significant (FDR 5%): "
                f"{controls.count(mine[0].discoveries, '.0%')}; uninformative: "
                f"{controls.count(mine[0].uninformative, '.0%')}.",
                help=f"Click a dot to open its neuron. {first.neurons} neurons. FDR: false "
                "discovery rate. Thick line: the 95th percentile of the best neuron over "
                f"{permutations} label permutations. Uninformative neurons are at or below the "
                "majority class. The best neuron is chosen and scored on the same examples, which "
                "favours it. Bars: from the majority class to the mean accuracy, with the standard "
                "error over seeds. Dots: a sample of the outliers.",
            )
            with st.expander("Layer by layer"):
                st.altair_chart(
                    charts.layer_profile(mine[3], look, backbone=name, tasks=order), theme=None
                )
    answers.downloads("predictivity", box, *figures)


answers.show((*boxes, *bars), draw, name="predictivity", what="measurements")
for t in found:
    warnings.shared([origins[t.name]], [t])
warnings.origins(s.prompt for s in bars)
