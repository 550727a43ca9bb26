"""Are prompts that are alike also prompts that transfer?"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import pandas as pd
import streamlit as st

from core import charts
from core.base.markdown import plain
from core.figures import advice, indicators, literature, prompt_map, queries, released, words
from core.lab.lab import job_name
from core.measures import sweeps
from core.tasks import Task
from pages.common import address, answers, controls, warnings

COMPUTED, PUBLISHED = "computed here", "published (Su et al. 2022)"
METHODS: tuple[prompt_map.Method, ...] = ("PCA", "t-SNE")
PAIRS_HELP = (
    "Horizontal: the similarity of the two tasks' prompts, or of their neurons. Vertical: the "
    "accuracy of the source's prompt on the target, divided by that of the target's own prompt. "
    "The correlation is computed over the sources of each target, not over all points. Tasks of "
    "the same category tend to have similar prompts and to transfer well, so the correlation is "
    "also given between categories only."
)
CLICK_HELP = " Click a point to compare its two prompts."
AGREEMENT_HELP = (
    "For each target task, the similarity of its sources is correlated (Spearman) with the "
    "accuracy of their prompts on the target; the chart shows the mean over targets, and 95% "
    "intervals from a bootstrap over tasks. The intervals do not account for picking the highest "
    "of several indicators. Concatenated: each prompt as one long vector. Averaged: the mean over "
    "all pairs of vectors, one from each prompt. Euclidean similarity: 1 / (1 + distance). ON: "
    "the overlapping rate of the neurons that are active when the model reads the prompt alone; "
    "windows are of three layers (T5: decoder layers). Dead row: the first vector of a "
    "released RoBERTa prompt, which never reaches the model."
)
SEEDS_HELP = (
    "Prompts tuned with the same seed start from the same vectors and stay similar, whatever the "
    "task. So prompts with different seeds are compared, where there are any."
)
ADVICE_HELP = (
    "The recommended prompt is the one most similar to the task's own prompt, so the task needs a "
    "prompt that was tuned, if only briefly. The indicator of "
    "similarity is the one that correlates best with transfer among the other tasks; no pair with "
    "this task is used. Relative accuracy: accuracy of the other task's prompt on this task "
    "without tuning, divided by that of the task's own prompt. The Tuning page shows how many "
    "steps a start saves."
)
MAP_HELP = (
    "Each point is the mean of a prompt's vectors, each scaled to length 1. Inner products of "
    "these means are the averaged cosines. Trustworthiness is 1 if neighbours on the map are also "
    "neighbours in the full space, and about 0.5 for a random map."
)

answers.heading(
    "Transferability",
    "Can the similarity of two prompts predict how well one works on the other's task? Each "
    "indicator measures similarity in its own way.",
)
lab = answers.lab()
left, middle, right = controls.row(6, 2, 4)
source = address.bound(
    right.segmented_control, "Numbers", [COMPUTED, PUBLISHED], default=COMPUTED, key="numbers",
    help="Published: prompts and accuracies released by Su et al., one run each. Without the "
    "backbones, only the similarities of the prompt vectors can be computed.",
) or COMPUTED  # fmt: skip


def draw(
    likeness: pd.DataFrame,
    transfer: pd.DataFrame,
    categories: Mapping[str, str],
    maps: Mapping[str, pd.DataFrame],
    look: charts.Look,
    caption: str,
    remark: Callable[[pd.DataFrame], str] = lambda agreed: "",
) -> None:
    """All figures of a set of prompts; tasks by title. `remark`: what else correlations show."""
    pairs = indicators.joined(likeness, transfer, categories)
    if pairs.empty:
        answers.nothing("These prompts have not been compared yet.")
    agreed = agreement(pairs).dropna(subset="spearman")
    if agreed.empty:
        st.caption("A correlation needs a target task with at least three source tasks.")
        address.unfinished()
        return
    found = indicators.order(likeness.indicator)
    agreed = agreed.assign(title=agreed.indicator.map(indicators.title))
    st.markdown(
        f"{indicators.sentence(agreed)} {remark(agreed)}".strip(),
        help=indicators.quoted(agreed) or None,
    )
    with st.container(border=True):
        st.markdown(
            "**How well does each indicator predict transfer?** Filled: the 95% interval excludes "
            "0; hollow: it does not."
        )
        figure = charts.indicator_agreement(agreed, look, order=[*map(indicators.title, found)])
        answers.chart(figure)
        st.caption(f"{best(agreed)}{no_windows(agreed)} {caption}", help=AGREEMENT_HELP)
    chosen = address.bound(
        st.selectbox, "Indicator", found, format_func=indicators.title, key="indicator"
    )
    mine = pairs[pairs.indicator == chosen]
    points = charts.indicator_points(linked(mine), look, title=indicators.title(chosen))
    with st.container(border=True):
        st.markdown("**Transfer against similarity, one point per pair of tasks**")
        answers.chart(points)
        st.caption(
            said(agreed[agreed.indicator == chosen]),
            help=PAIRS_HELP + CLICK_HELP * (source == COMPUTED),
        )
    tested = advice_section(pairs, look)
    matrices = heatmaps(likeness[likeness.indicator == chosen], look, chosen, list(categories))
    drawn = drawn_maps(maps, look, categories)
    with st.container(horizontal=True):
        answers.downloads("transferability", agreed, ("", figure))
        answers.downloads("transferability-pairs", pairs, ("", points), label="Pairs")
        answers.downloads("transferability-advice", *tested, label="Advice")
        answers.downloads("prompt-similarity", likeness, *matrices, label="Similarities")
        if maps:
            answers.downloads("prompt-map", pd.concat(maps.values()), *drawn, label="Map")


def advice_section(
    pairs: pd.DataFrame, look: charts.Look
) -> tuple[pd.DataFrame, tuple[str, charts.Figure]]:
    """Which prompt to start from, for each task as if it were new."""
    table = _tested(pairs.to_csv(index=False), pairs)
    table = table.assign(indicator=table.indicator.map(indicators.title))
    order = list(dict.fromkeys(pairs.target_task))
    if table.empty:
        st.caption("A recommendation needs at least five tasks.")
        return table, ("", None)
    figure = charts.advice_tested(table, look, tasks=order)
    with st.container(border=True):
        st.markdown("**Which other task's prompt works best?**")
        answers.chart(figure)
        st.caption(advised(advice.gained(table)), help=ADVICE_HELP)
        st.dataframe(
            table, hide_index=True, width="stretch",
            column_order="backbone target_task source_task indicator advised best_source".split(),  # noqa: SIM905
            column_config={
                "backbone": "Backbone", "target_task": "Task", "source_task": "Start from",
                "indicator": "Most similar by",
                "advised": st.column_config.NumberColumn("Relative accuracy", format="%.2f"),
                "best_source": "Best start",
            },
        )  # fmt: skip
    return table, ("", figure)


def advised(gains: pd.DataFrame) -> str:
    """What following the advice gains."""
    each = []
    for row in gains.itertuples():
        low, high = words.two(row.low), words.two(row.high)
        span = f" ({low} to {high})" * (row.low == row.low)
        which = "all tasks (tick)" if row.over == "all" else "same category"
        each.append(f"{plain(row.backbone)}, {which} {words.two(row.gain)}{span}")
    return (
        "Relative accuracy of the recommended prompt (filled) minus the mean of other prompts, "
        f"{controls.count(gains.tasks)} tasks (95% interval): {'; '.join(each)}. Ring: "
        "best prompt."
    )


def linked(pairs: pd.DataFrame) -> pd.DataFrame:
    """With the address of each pair's two prompts, where they are prompts of this machine."""
    if source == PUBLISHED:
        return pairs
    kept = {n: st.session_state[n] for n in ("from", "prompts") if st.session_state.get(n)}
    rows = zip(pairs.backbone, pairs.source_task, pairs.target_task, strict=True)
    urls = [
        "prompt?" + urlencode({"backbone": b, "task": s, "other": t, **kept}) for b, s, t in rows
    ]
    return pairs.assign(url=urls)


def agreement(pairs: pd.DataFrame) -> pd.DataFrame:
    """Correlations with transfer, kept for the next time that the same table is drawn."""
    return _agreement(pairs.to_csv(index=False), pairs)


@st.cache_data(show_spinner="Comparing ...", max_entries=20)
def _agreement(name: str, _pairs: pd.DataFrame) -> pd.DataFrame:
    del name
    return indicators.agreement(_pairs)


@st.cache_data(show_spinner="Testing the advice ...", max_entries=20)
def _tested(name: str, _pairs: pd.DataFrame) -> pd.DataFrame:
    del name
    return advice.tested(_pairs)


def best(agreed: pd.DataFrame) -> str:
    """The highest indicator of each backbone."""
    found = []
    for name, mine in agreed.groupby("backbone", sort=False):
        top: Any = mine.loc[mine.spearman.idxmax()]
        rho = words.ranged(top.spearman, top.low, top.high)
        found.append(f"best of {len(mine)} on {plain(name)}: {top.title}, {rho}")
    return "; ".join(found).replace("best", "Best", 1) + "."


def no_windows(agreed: pd.DataFrame) -> str:
    """Which backbones have too few layers for windows, where others have them."""
    having = set(agreed.backbone[agreed.indicator.map(indicators.is_window)])
    without = [plain(b) for b in agreed.backbone.unique() if b not in having]
    few = f" {words.listed(without)}: too few layers for windows."
    return few * bool(having and without)


def over(indicator: str) -> str:
    """What an indicator compares."""
    whole = indicator in ("predictivity", "causal")
    return "similarity of tasks" if whole else "similarity of prompts"


def said(agreed: pd.DataFrame) -> str:
    """The correlation of each backbone."""
    each = []
    for row in agreed.itertuples():
        apart = ""
        if row.across_categories == row.across_categories:
            apart = f", between categories {words.two(row.across_categories)}"
        rho = words.ranged(row.spearman, row.low, row.high)
        each.append(f"{plain(row.backbone)} {rho}{apart}")
    return (
        f"{controls.count(agreed.pairs)} ordered pairs of {controls.count(agreed.tasks)} tasks. "
        f"Spearman within each target, mean over targets (95% interval): {'; '.join(each)}."
    )


def heatmaps(
    table: pd.DataFrame, look: charts.Look, chosen: str, tasks: Sequence[str]
) -> list[tuple[str, charts.Figure]]:
    """The indicator for every pair of tasks, a matrix a backbone."""
    names, drawn = list(dict.fromkeys(table.backbone)), []
    for name, column in zip(names, answers.beside(names), strict=True):
        mine = table[table.backbone == name]
        figure = charts.likeness_heatmap(
            mine, look, backbone=name, title=indicators.title(chosen), tasks=tasks
        )
        drawn.append((name, figure))
        with column, st.container(border=True):
            st.markdown(f"**{plain(name)}: {over(chosen)} ({indicators.title(chosen)})**")
            answers.chart(figure)
    if len(table) and table.pairs.max() > 1:
        st.caption(
            f"Means over {controls.count(table.pairs)} pairs of prompts; the tooltips give their "
            "range. Diagonal: prompts of the same task.",
            help=SEEDS_HELP,
        )
    return drawn


def drawn_maps(
    maps: Mapping[str, pd.DataFrame], look: charts.Look, categories: Mapping[str, str]
) -> list[tuple[str, charts.Figure]]:
    """The prompts in the plane, a map a backbone."""
    drawn = []
    for (name, table), column in zip(maps.items(), answers.beside(list(maps)), strict=True):
        figure = charts.prompt_map(table, look, categories=list(dict.fromkeys(categories.values())))
        drawn.append((name, figure))
        with column, st.container(border=True):
            st.markdown(f"**{plain(name)}: map of the prompts**")
            answers.chart(figure)
            st.caption(kept(table), help=MAP_HELP)
    return drawn


def kept(table: pd.DataFrame) -> str:
    """How far a map can be trusted."""
    first: Any = table.iloc[0]
    known = first.variance == first.variance
    held = f"; the two axes explain {first.variance:.0%} of the variance" if known else ""
    return f"Each point is one of {len(table)} prompts. Trustworthiness {first.kept:.2f}{held}."


def published() -> None:
    """The released prompts' similarities against the released accuracies."""
    names = list(literature.MODELS.values())[:2]
    chosen = address.bound(
        left.pills, "Backbones", names, default=names, selection_mode="multi", key="published",
    )  # fmt: skip
    method = mapped()
    if not chosen:
        st.info("Choose a backbone.")
        return
    likeness = released.likeness(lab.settings.assets)
    likeness = likeness[likeness.backbone.isin(chosen)]
    transfer = literature.transfer(lab.settings.assets, relative=True)
    categories = literature.categories()
    maps = {
        name: prompt_map.of_likeness(likeness[likeness.backbone == name], categories, method)
        for name in chosen
    }
    draw(
        likeness[likeness.source_task != likeness.target_task], transfer, categories, maps,
        answers.look(names), "One released run per task.",
        lambda agreed: f"{released.sentence(likeness, agreed)} {released.ON}".strip(),
    )  # fmt: skip


def computed() -> None:
    """Prompts of this machine's backbones against accuracies measured here."""
    with left:
        backbones = controls.backbones(lab)
    with middle:
        every = controls.clean(controls.task_set())
        more = controls.with_built_in(every)
    if len(more) > len(every) and address.bound(
        left.toggle, "With the built-in tasks", value=set(backbones) <= set(lab.models.embedded()),
        key="builtin",
        help="Compares your tasks with the built-in ones, from whose prompts tuning may start.",
    ):  # fmt: skip
        every = more
    found = [t for t in every if t.labels] or every
    method = mapped()
    for b in backbones:
        if not controls.answered_by(lab, b, found):
            st.info(controls.CANNOT_WRITE.format(plain(b)))
            return
    compared = {b: similarity(b, controls.answered_by(lab, b, found)) for b in backbones}
    asked = tuple(s for sweep in compared.values() for s in sweep.everything)
    titles, categories = controls.titles(found), {t.title: t.category for t in found}

    @st.cache_data(show_spinner="Comparing ...", max_entries=10)
    def tables(name: str, known: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Likeness by every indicator, and transfer. Answers never change, so the questions and the
        number of stored answers identify them.
        """
        del name, known
        parts = [
            indicators.of_everything(
                lab.store, b, sweep, clean=lab.clean_name, dead=lab.has_dead_row
            )
            for b, sweep in compared.items()
        ]
        grid = [spec for sweep in compared.values() for spec in sweep.grid]
        transfer = queries.transfer(lab.store, grid, relative=True, clean=lab.clean_name)
        likeness = pd.concat(parts, ignore_index=True)
        return charts.titled(likeness, titles), charts.titled(transfer, titles)

    def stored(b: str) -> tuple[str, ...]:
        """The keys of a backbone's stored prompts."""
        return tuple(sorted(lab.known(compared[b].prompts)))

    @st.cache_data(show_spinner="Drawing the map ...", max_entries=20)
    def a_map(b: str, known: tuple[str, ...], method: prompt_map.Method) -> pd.DataFrame:
        """A backbone's prompts in the plane."""
        del known
        return prompt_map.of_prompts(
            lab.store, compared[b].prompts, titles, categories, method, lab.has_dead_row
        )  # fmt: skip

    def all_figures() -> None:
        name, known = job_name(asked), len(lab.known(asked))
        likeness, transfer = tables(name, known)
        every = {b: a_map(b, stored(b), method) for b in backbones}
        maps = {b: table for b, table in every.items() if len(table)}
        seeds = controls.count(
            [len({p.seed for p in sweep.prompts}) for sweep in compared.values()]
        )
        draw(
            likeness, transfer, categories, maps, answers.look(lab.models.names()),
            f"{seeds} seeds per task; accuracy on {controls.count(transfer.n)} examples of the "
            "evaluation splits.",
        )  # fmt: skip

    answers.show(asked, all_figures, name="transferability", what="answers")
    st.markdown(
        "[One prompt in detail](prompt): its nearest tokens, its vectors, and its accuracy on each "
        "task."
    )
    controls.left_out(every, found, controls.NEEDS_CLASSES)
    warnings.shared(found, found)
    warnings.origins(p for sweep in compared.values() for p in sweep.prompts)


def similarity(backbone: str, found: Sequence[Task]) -> sweeps.SimilaritySweep:
    """All questions about the prompts of a backbone."""
    return sweeps.similarity(
        {t.name: controls.prompts(lab, backbone, [t]) for t in found},
        {t.name: (lab.pin(t, backbone), t.evaluation_split) for t in found},
        {t.name: t.contrasts() if t.labels else () for t in found},
    )


def mapped() -> prompt_map.Method:
    """How prompts are put into the plane."""
    chosen = address.bound(
        middle.segmented_control, "Map", METHODS, default=METHODS[0], key="map",
        help="PCA: the two directions of largest variance. t-SNE: keeps close prompts close; "
        "distances between groups are not meaningful.",
    )  # fmt: skip
    return chosen or METHODS[0]


with answers.shown_errors(), charts.quickly():
    if source == PUBLISHED:
        published()
    else:
        computed()
