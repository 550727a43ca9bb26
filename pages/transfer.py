"""Does a prompt tuned on one task work on another?"""

import streamlit as st

from core import charts, queries, sweeps
from core.tasks import pin_task
from pages.common import answers, controls

answers.heading(
    "Transfer",
    "Each row is a prompt, each column a task it is tried on: a strongly coloured cell means "
    "that the prompt works there, the diagonal is its own task.",
)
lab = answers.lab()
left, right = st.columns([2, 3], gap="medium")
with left:
    backbones = controls.backbones(lab)
with right:
    relative = st.segmented_control(
        "Scale", ["absolute", "relative"], default="absolute", key="scale", bind="query-params",
        help="Relative: accuracy over the accuracy of the target's own prompt with the same seed; "
        "the ratio per seed first, then the mean.",
    ) == "relative"  # fmt: skip

sources, targets = controls.tasks(adversarial=False), controls.tasks(adversarial=True)
titles = controls.titles(targets)
columns = [(pin_task(t), t.evaluation_split) for t in targets]
specs = {b: sweeps.transfer_grid(controls.prompts(lab, b, sources), columns) for b in backbones}
everything = tuple(s for b in backbones for s in specs[b])


def draw() -> None:
    """One heatmap per backbone."""
    table = charts.titled(queries.transfer(lab.store, everything, relative=relative), titles)
    look, figures = answers.look(lab.backbones()), []
    for name, column in zip(backbones, answers.beside(backbones), strict=True):
        rows = table[table.backbone == name]
        with column, st.container(border=True):
            st.subheader(name, anchor=False)
            if rows.empty:
                st.caption("Nothing computed yet.")
                continue
            figure = charts.transfer_heatmap(
                rows, look, backbone=name, relative=relative,
                rows=[t.title for t in sources], columns=[t.title for t in targets],
            )  # fmt: skip
            st.altair_chart(figure, width="stretch", theme=None)
            figures.append((name, figure))
            st.caption(
                f"Mean of {rows.seeds.max()} seeds; {controls.count(rows.n)} examples a "
                "task; chance (the most frequent class) is "
                f"{controls.count(rows.majority, '.2f')}. Adversarial twins stand on the right; "
                "relative values there are over the clean prompt on the twin."
            )
    answers.downloads("transfer", table, *figures)


answers.show(everything, draw, name="transfer", what="evaluations")
