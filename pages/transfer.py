"""Does a prompt tuned on one task work on another?"""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from core import charts
from core.base.markdown import plain
from core.figures import literature, queries
from core.measures import sweeps
from core.measures.evaluation import EvaluationSpec
from pages.common import answers, controls, warnings

COMPUTED, PUBLISHED = "computed here", "published (Su et al. 2022)"

answers.heading(
    "Transfer",
    "Each row is a prompt, each column a task it is tried on: a strongly coloured cell means "
    "that the prompt works there, the diagonal is its own task.",
)
lab = answers.lab()
left, middle, right = st.columns([4, 2, 4], gap="medium")
source = right.segmented_control(
    "Numbers", [COMPUTED, PUBLISHED], default=COMPUTED, key="numbers", bind="query-params",
    help="Published: what Su et al. released for RoBERTa and T5; one run each.",
) or COMPUTED  # fmt: skip
relative = middle.segmented_control(
    "Scale", ["absolute", "relative"], default="absolute", key="scale", bind="query-params",
    help="Relative: accuracy over the accuracy of the target's own prompt with the same seed; "
    "the ratio per seed first, then the mean.",
) == "relative"  # fmt: skip


def heatmaps(
    table: pd.DataFrame,
    look: charts.Look,
    names: Sequence[str],
    rows: Sequence[str],
    columns: Sequence[str],
) -> None:
    """One heatmap per backbone, side by side, and the downloads."""
    figures = []
    for name, column in zip(names, answers.beside(names), strict=True):
        mine = table[table.backbone == name]
        with column, st.container(border=True):
            st.subheader(plain(name), anchor=False)
            if mine.empty:
                st.caption("Nothing computed yet.")
                continue
            figure = charts.transfer_heatmap(
                mine, look, backbone=name, relative=relative, rows=rows, columns=columns
            )
            st.altair_chart(figure, width="stretch", theme=None)
            figures.append((name, figure))
            st.caption(caption(mine))
    answers.downloads("transfer", table, *figures)


def caption(mine: pd.DataFrame) -> str:
    """What one heatmap rests on."""
    if source == PUBLISHED:
        return (
            "As released with Su et al. 2022 (assets/published): one run, n and seeds not given; "
            "question answering and summarisation are BLEU, not accuracy."
        )
    return (
        f"Mean of {mine.seeds.max()} seeds; {controls.count(mine.n)} examples a task; chance (the "
        f"most frequent class) is {controls.count(mine.majority, '.2f')}. Adversarial twins stand "
        "on the right; relative values there are over the clean prompt on the twin."
    )


if source == PUBLISHED:
    with left:
        known = list(literature.MODELS.values())
        chosen = st.pills(
            "Backbones", known, default=known[:2], selection_mode="multi", key="published",
            bind="query-params",
        )  # fmt: skip
    table = literature.transfer(lab.settings.assets, relative=relative)
    order = list(literature.TASKS.values())
    with answers.shown_errors(), charts.quickly():
        heatmaps(table[table.backbone.isin(chosen)], answers.look(known), chosen, order, order)
else:
    with left:
        backbones = controls.backbones(lab)
    with middle:
        targets = controls.task_set()
    sources = controls.clean(targets)
    titles = controls.titles(targets)
    specs = tuple[EvaluationSpec, ...](
        s
        for b in backbones
        for s in sweeps.transfer_grid(
            controls.prompts(lab, b, sources),
            [(lab.pin(t, b), t.evaluation_split) for t in targets],
        )
    )

    def draw() -> None:
        """What is computed, one heatmap per backbone."""
        table = charts.titled(queries.transfer(lab.store, specs, relative=relative), titles)
        look = answers.look(lab.models.names())
        heatmaps(table, look, backbones, [t.title for t in sources], [t.title for t in targets])

    answers.show(specs, draw, name="transfer", what="evaluations")
    warnings.shared(sources, targets)
    warnings.origins(s.prompt for s in specs)
