"""Does a prompt tuned on one task work on another?"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from core import charts
from core.base.markdown import plain
from core.figures import categories, literature, queries, rankings, transferred, words
from core.lab.lab import job_name
from core.measures import sweeps
from core.measures.evaluation import EvaluationSpec
from core.tasks import Text
from core.tasks.metrics import TITLES
from pages.common import address, answers, controls, warnings

ADVERSARIAL = {
    False: " Adversarial versions are on the right.",
    True: " Adversarial versions (right) are relative to the clean task's own prompt, which may be "
    "at chance there.",
}
SHARED = 0.05  # of each layer: the neurons compared between tasks
FINDING_HELP = (
    "Means over target tasks of what other tasks' prompts reach; adversarial versions and written "
    "answers are left out. Computed values are averaged over seeds; published values are single "
    "runs. The 95% intervals treat tasks as random and need at least six tasks."
)
COMPUTED, PUBLISHED = "computed here", "published (Su et al. 2022)"

answers.heading(
    "Transfer",
    "Each row is the task a prompt was tuned on; each column is the task it is evaluated on. "
    "A stronger colour means a higher accuracy. Pairs of tasks from the same category are "
    "outlined.",
)
lab = answers.lab()
left, middle, right = controls.row(6, 2, 4)
source = address.bound(
    right.segmented_control, "Numbers", [COMPUTED, PUBLISHED], default=COMPUTED, key="numbers",
    help="Published: the results that Su et al. released for RoBERTa and T5, one run each.",
) or COMPUTED  # fmt: skip
relative = address.bound(
    middle.segmented_control, "Scale", ["absolute", "relative"], default="absolute", key="scale",
    help="Relative: accuracy divided by the accuracy of the target task's own prompt with the "
    "same seed; the ratios are then averaged over seeds.",
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
    accuracies = table[table.majority.notna()] if "majority" in table else table
    lowest = float(accuracies.value.min()) if len(accuracies) else 0.0
    for name, column in zip(names, answers.beside(names), strict=True):
        mine = table[table.backbone == name]
        with column, st.container(border=True):
            st.subheader(plain(name), anchor=False)
            if mine.empty:
                st.caption(empty(name))
                continue
            here = set(mine.source_task) | set(mine.target_task)  # not what it cannot answer
            figure = charts.transfer_heatmap(
                mine, look, backbone=name, relative=relative, lowest=lowest,
                rows=[t for t in rows if t in here], columns=[t for t in columns if t in here],
            )  # fmt: skip
            answers.chart(figure)
            figures.append((name, figure))
            st.caption(caption(mine), help=written(mine))
            if source == COMPUTED:
                controls.cannot_write(lab, name, targets)
    answers.downloads("transfer", table, *figures)


def finding(
    table: pd.DataFrame, category: Mapping[str, str], titles: Mapping[str, str] | None = None
) -> None:
    """Whether prompts transfer better within a category; `titles` of the tasks, if the table has
    names.
    """
    pairs = table.rename(columns={"source_task": "source", "target_task": "target"})
    compared = categories.compared(pairs, category)
    if said := categories.lead(
        compared,
        "Prompts transfer better to tasks of their own category",
        "Prompts transfer worse to tasks of their own category",
        "No clear difference between transfer within and between categories",
    ):
        listed = categories.listed({(titles or {}).get(n, n): c for n, c in category.items()})
        value = "Mean relative accuracy" if relative else "Mean accuracy"
        st.markdown(
            f"{said} {categories.differences(compared)}",
            help=f"{categories.means(compared, value)} {FINDING_HELP} {listed}",
        )


def outlined(table: pd.DataFrame, category: dict[str, str]) -> pd.DataFrame:
    """The table, saying which pairs are of one category."""
    same = categories.same(table.source_task, table.target_task, category)
    return table.assign(same_category=same)


def scored() -> str:
    """The metrics of the tasks with written answers, in brackets."""
    named = [
        f"{plain(t.title)}: {TITLES[t.answer.metric]}"
        for t in targets if isinstance(t.answer, Text)
    ]  # fmt: skip
    return f" ({'; '.join(named)})" if named else ""


def empty(name: str) -> str:
    """Why a heatmap has no cells."""
    if source == COMPUTED and not controls.answered_by(lab, name, targets):
        return controls.CANNOT_WRITE.format(plain(name))
    return "Nothing computed yet."


def caption(mine: pd.DataFrame) -> str:
    """Sample sizes and chance level of one heatmap."""
    if source == PUBLISHED:
        return (
            "Values released with Su et al. 2022 (assets/published): one run; n and seeds are not "
            "reported. Question answering and summarisation are scored with BLEU, not accuracy."
        )
    known = mine.majority.dropna()
    chance = f"; chance (majority class): {controls.count(known, '.2f')}" if len(known) else ""
    return (
        f"Mean of {mine.seeds.max()} seeds; {controls.count(mine.n)} examples per task{chance}."
        + ADVERSARIAL[relative] * bool(set(mine.target_task) & attacked)
    )


def written(mine: pd.DataFrame) -> str | None:
    """How a heatmap's written answers are scored, if it has some."""
    if source == PUBLISHED or mine.majority.notna().all():
        return None
    return f"Written answers are scored by their task's metric{scored()}."


if source == PUBLISHED:
    with left:
        known = list(literature.MODELS.values())
        chosen = address.bound(
            st.pills, "Backbones", known, default=known[:2], selection_mode="multi",
            key="published",
        )  # fmt: skip
    table = literature.transfer(lab.settings.assets, relative=relative)
    order = list(literature.TASKS.values())
    with answers.shown_errors(), charts.quickly():
        finding(table[table.backbone.isin(chosen)], literature.classified())
        table = outlined(table, literature.categories())
        heatmaps(table[table.backbone.isin(chosen)], answers.look(known), chosen, order, order)
else:
    with left:
        backbones = controls.backbones(lab)
    with middle:
        targets = controls.task_set()
    sources = controls.clean(targets)
    titles = controls.titles(targets)
    attacked = {t.title for t in targets if t not in sources}
    specs = tuple[EvaluationSpec, ...](
        s
        for b in backbones
        for s in sweeps.transfer_grid(
            controls.prompts(lab, b, controls.answered_by(lab, b, sources)),
            [(lab.pin(t, b), t.evaluation_split) for t in controls.answered_by(lab, b, targets)],
        )
    )

    def draw() -> None:
        """The computed values, one heatmap per backbone."""
        rows = queries.transfer(lab.store, specs, relative=relative, clean=lab.clean_name)
        if rows.empty and specs:
            answers.nothing("These prompts have not been evaluated yet.")
        table = charts.titled(outlined(rows, {t.name: t.category for t in targets}), titles)
        finding(rows, {t.name: t.category for t in sources if t.labels}, titles)
        look = answers.look(lab.models.names())
        heatmaps(table, look, backbones, [t.title for t in sources], [t.title for t in targets])

    answers.show(specs, draw, name="transfer", what="evaluations")
    compared = [t for t in sources if t.labels]
    predictive = tuple(s for b in backbones for s in controls.own_predictivities(lab, b, compared))
    causal = tuple(
        s for b in backbones for t in compared for s in controls.own_attributions(lab, b, t)
    )

    @st.cache_data(show_spinner="Comparing ...", max_entries=10)
    def pairs(name: str, known: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Shared neurons and transfer of each pair of tasks, and their correlation."""
        del name, known
        found = {
            "skill": queries.rankings(lab.store, predictive, clean=lab.clean_name),
            "causal": queries.rankings(lab.store, causal, clean=lab.clean_name),
        }
        rows = queries.transfer(lab.store, specs, relative=True, clean=lab.clean_name)
        category = {t.name: t.category for t in sources}
        table = transferred.pairs(rows, found, SHARED)
        same = categories.same(table.source_task, table.target_task, category)
        table = table.assign(same=same)
        return table, transferred.correlations(table)

    def correlation(row: Any) -> str:
        """One backbone's Spearman correlation."""
        return f"{plain(row.backbone)} {words.ranged(row.spearman, row.low, row.high)}"

    def shared() -> None:
        """Draw transfer against shared neurons."""
        asked = (*specs, *predictive, *causal)
        table, agreed = pairs(job_name(asked), len(lab.known(asked)))
        if table.empty:
            answers.nothing("Neurons have not been ranked for these tasks yet.")
        shown, look = charts.titled(table, titles), answers.look(lab.models.names())
        figures, kinds = [], list(dict.fromkeys(table.neurons))
        for kind, column in zip(kinds, st.columns(len(kinds), gap="medium"), strict=True):
            named = rankings.NAMES[kind]
            figure = charts.transfer_points(shown[shown.neurons == kind], look, neurons=named)
            figures.append((kind, figure))
            with column, st.container(border=True):
                st.markdown(f"**{named.capitalize()}**, top {SHARED:.0%} of each layer")
                answers.chart(figure)
                mine = agreed[agreed.neurons == kind]
                said = [correlation(row) for row in mine.itertuples()]
                apart = "; ".join(
                    f"{plain(str(row.backbone))} {words.two(row.apart)}"
                    for row in mine.dropna(subset="apart").itertuples()
                )
                st.caption(
                    f"{controls.count(agreed.pairs)} ordered pairs of "
                    f"{controls.count(agreed.tasks)} tasks. Spearman (95% interval): "
                    f"{', '.join(said)}.",
                    help="Each point is a source task and a different target task. Horizontal: the "
                    "share of the source's neurons that are also the target's. Vertical: the "
                    "accuracy of the source's prompt on the target, divided by that of the "
                    "target's own prompt (means over seeds). Unlike on Transferability, the pairs "
                    "of all targets are ranked together. Intervals treat tasks as clusters. Tasks "
                    "of one category tend to share neurons and to transfer well"
                    + (
                        f"; between categories only, the correlation is: {apart}." if apart else "."
                    ),
                )
        with st.container(horizontal=True):
            answers.downloads("transfer-shared", table, *figures)
            answers.downloads("transfer-correlations", agreed, label="Correlations")

    st.subheader("Do prompts transfer better between tasks that share neurons?", anchor=False)
    answers.show((*predictive, *causal), shared, name="shared", what="rankings")
    warnings.shared(sources, targets)
    warnings.origins(s.prompt for s in specs)
