"""Are prompts that are alike also prompts that transfer?"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import pandas as pd
import streamlit as st

from core import charts
from core.base.markdown import plain
from core.figures import indicators, literature, queries, words
from core.lab.lab import job_name
from core.measures import sweeps
from pages.common import answers, controls, warnings

COMPUTED, PUBLISHED = "computed here", "published (Su et al. 2022)"
SHARED = 0.05  # of each layer: the causal neurons compared between tasks
METHODS: tuple[indicators.Method, ...] = ("PCA", "t-SNE")
PAIRS_HELP = (
    "Each point is a source task and a different target task. Across: how alike their prompts are. "
    "Up: the accuracy of the source's prompt on the target, divided by that of the target's own "
    "prompt. Tasks of one category have similar prompts and transfer anyway, so the correlation is "
    "also given without such pairs. A click opens the two prompts."
)
AGREEMENT_HELP = (
    "For each target task, its source tasks are ranked by the indicator and by the accuracy of "
    "their prompts on the target (Spearman); the figure shows the mean over targets. Intervals "
    "redraw tasks. Concatenated: the prompts as one long vector. Averaged: the mean over all pairs "
    "of a vector of one and a vector of the other. Activated neurons: the overlapping rate of the "
    "neurons that the prompts activate without a text."
)
SEEDS_HELP = (
    "Prompts with the same seed start from the same vectors and stay alike, whatever their task; "
    "so prompts with different seeds are compared."
)

answers.heading(
    "Transferability",
    "Can the similarity of two prompts predict how well one works on the other's task?",
)
lab = answers.lab()
left, middle, right = st.columns([4, 2, 4], gap="medium")
source = right.segmented_control(
    "Numbers", [COMPUTED, PUBLISHED], default=COMPUTED, key="numbers", bind="query-params",
    help="Published: prompts and accuracies released by Su et al., one run each. Only similarities "
    "of vectors can be computed from released prompts without the backbones.",
) or COMPUTED  # fmt: skip


def draw(
    likeness: pd.DataFrame,
    transfer: pd.DataFrame,
    categories: Mapping[str, str],
    maps: Mapping[str, pd.DataFrame],
    look: charts.Look,
    caption: str,
) -> None:
    """All figures of a set of prompts; tasks by title."""
    pairs = indicators.joined(likeness, transfer, categories)
    if pairs.empty:
        st.caption("Nothing computed yet.")
        return
    agreed = agreement(pairs)
    found = indicators.order(likeness.indicator)
    agreed = agreed.assign(title=agreed.indicator.map(indicators.title))
    with st.container(border=True):
        st.markdown("**Which similarity goes with transfer?**")
        figure = charts.indicator_agreement(agreed, look, order=[*map(indicators.title, found)])
        st.altair_chart(figure, width="stretch", theme=None)
        st.caption(best(agreed) + " " + caption, help=AGREEMENT_HELP)
    chosen = st.selectbox(
        "Indicator", found, format_func=indicators.title, key="indicator", bind="query-params"
    )
    mine = pairs[pairs.indicator == chosen]
    points = charts.indicator_points(linked(mine), look, title=indicators.title(chosen))
    with st.container(border=True):
        st.markdown("**Pairs of tasks**")
        st.altair_chart(points, width="stretch", theme=None)
        st.caption(said(agreed[agreed.indicator == chosen]), help=PAIRS_HELP)
    matrices = heatmaps(likeness[likeness.indicator == chosen], look, chosen, list(categories))
    drawn = drawn_maps(maps, look, categories)
    with st.container(horizontal=True):
        answers.downloads("transferability", agreed, ("", figure))
        answers.downloads("transferability-pairs", pairs, ("", points), label="Pairs")
        answers.downloads("prompt-similarity", likeness, *matrices, label="Similarities")
        if maps:
            answers.downloads("prompt-map", pd.concat(maps.values()), *drawn, label="Map")


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


def best(agreed: pd.DataFrame) -> str:
    """The strongest indicator of each backbone."""
    found = []
    for name, mine in agreed.groupby("backbone", sort=False):
        top: Any = mine.loc[mine.spearman.idxmax()]
        found.append(f"{plain(name)}: {top.title}, {interval(top)}")
    return f"Strongest for {'; '.join(found)}."


def said(agreed: pd.DataFrame) -> str:
    """The correlation of each backbone."""
    each = []
    for row in agreed.itertuples():
        apart = f", between categories {words.two(row.apart)}" if row.apart == row.apart else ""
        each.append(f"{plain(row.backbone)} {interval(row)}{apart}")
    return (
        f"{controls.count(agreed.pairs)} ordered pairs of {controls.count(agreed.tasks)} tasks. "
        f"Spearman (95 % interval): {'; '.join(each)}."
    )


def interval(row: Any) -> str:
    """A correlation with its interval."""
    known = row.low == row.low
    return words.two(row.spearman) + (
        f" ({words.two(row.low)} to {words.two(row.high)})" if known else ""
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
            st.markdown(f"**{plain(name)}: {indicators.title(chosen)}**")
            st.altair_chart(figure, width="stretch", theme=None)
    if len(table) and table.pairs.max() > 1:
        st.caption(
            f"Means over {controls.count(table.pairs)} pairs of prompts with different seeds. "
            "Diagonal: prompts of one task.",
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
            st.markdown(f"**{plain(name)}: map of its prompts**")
            st.altair_chart(figure, width="stretch", theme=None)
            st.caption(kept(table), help=MAP_HELP)
    return drawn


MAP_HELP = (
    "Prompts by their mean unit vectors, the geometry of the averaged cosine. Trustworthiness: 1 "
    "if no prompt has neighbours on the map that are not its neighbours in truth; a random map has "
    "about 0.5."
)


def kept(table: pd.DataFrame) -> str:
    """How far a map can be trusted."""
    first: Any = table.iloc[0]
    known = first.variance == first.variance
    held = f"; the axes hold {first.variance:.0%} of the variance" if known else ""
    return f"{len(table)} prompts. Trustworthiness of neighbours {first.kept:.2f}{held}."


def published() -> None:
    """The released prompts' similarities against the released accuracies."""
    names = list(literature.MODELS.values())[:2]
    chosen = left.pills(
        "Backbones", names, default=names, selection_mode="multi", key="published",
        bind="query-params",
    )  # fmt: skip
    method = mapped()
    likeness = indicators.published(lab.settings.assets)
    likeness = likeness[likeness.backbone.isin(chosen)]
    transfer = literature.transfer(lab.settings.assets, relative=True)
    categories = literature.categories()
    maps = {
        name: indicators.map_of_likeness(likeness[likeness.backbone == name], categories, method)
        for name in chosen
    }
    draw(
        likeness[likeness.source_task != likeness.target_task], transfer, categories, maps,
        answers.look(names), "One run per task, as released; no seeds.",
    )  # fmt: skip


def computed() -> None:
    """Prompts of this machine's backbones against accuracies measured here."""
    with left:
        backbones = controls.backbones(lab)
    with middle:
        found = controls.clean(controls.task_set())
    method = mapped()
    prompts = {b: controls.prompts(lab, b, controls.answered_by(lab, b, found)) for b in backbones}
    grid = tuple(
        spec
        for b in backbones
        for spec in sweeps.transfer_grid(
            prompts[b],
            [(lab.pin(t, b), t.evaluation_split) for t in controls.answered_by(lab, b, found)],
        )
    )
    ranked = [t for t in found if t.labels]
    predictive = tuple(s for b in backbones for s in controls.own_predictivities(lab, b, ranked))
    causal = tuple(
        s for b in backbones for t in ranked for s in controls.own_attributions(lab, b, t)
    )
    active = {b: sweeps.activated(prompts[b]) for b in backbones}
    asked = (*grid, *(s for specs in active.values() for s in specs), *predictive, *causal)
    titles, categories = controls.titles(found), {t.title: t.category for t in found}

    @st.cache_data(show_spinner="Comparing ...", max_entries=10)
    def tables(name: str, known: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Likeness by every indicator, and transfer. Answers never change, so the questions and the
        number of stored answers identify them.
        """
        del name, known
        rankings = {
            "predictivity": queries.rankings(lab.store, predictive, clean=lab.clean_name),
            "causal": queries.rankings(lab.store, causal, clean=lab.clean_name),
        }
        parts = []
        for b in backbones:
            of = {n: {t: r for (o, t), r in f.items() if o == b} for n, f in rankings.items()}
            dead = any(map(lab.models.has_dead_row, prompts[b]))
            same, shared = indicators.same_ranks, indicators.shared_neurons(SHARED)
            parts += [
                indicators.of_prompts(lab.store, b, prompts[b], dead_row=dead),
                indicators.of_activated(lab.store, b, active[b]),
                indicators.of_rankings(b, "predictivity", of["predictivity"], same),
                indicators.of_rankings(b, "causal", of["causal"], shared),
            ]
        transfer = queries.transfer(lab.store, grid, relative=True, clean=lab.clean_name)
        likeness = pd.concat(parts, ignore_index=True)
        return charts.titled(likeness, titles), charts.titled(transfer, titles)

    @st.cache_data(show_spinner="Drawing the map ...", max_entries=20)
    def a_map(name: str, known: int, method: indicators.Method) -> dict[str, pd.DataFrame]:
        """Each backbone's prompts in the plane."""
        del name, known
        return {
            b: indicators.map_of_prompts(lab.store, prompts[b], titles, categories, method)
            for b in backbones
        }

    def all_figures() -> None:
        name, known = job_name(asked), len(lab.known(asked))
        likeness, transfer = tables(name, known)
        maps = {b: t for b, t in a_map(name, known, method).items() if len(t)}
        seeds = controls.count([len({p.seed for p in prompts[b]}) for b in backbones])
        draw(
            likeness, transfer, categories, maps, answers.look(lab.models.names()),
            f"{seeds} seeds per task; evaluation splits.",
        )  # fmt: skip

    answers.show(asked, all_figures, name="transferability", what="answers")
    st.markdown("[One prompt in detail](prompt): its words, its vectors, where it works.")
    warnings.shared(found, found)
    warnings.origins(p for specs in prompts.values() for p in specs)


def mapped() -> indicators.Method:
    """How prompts are put into the plane."""
    chosen = middle.segmented_control(
        "Map", METHODS, default=METHODS[0], key="map", bind="query-params",
        help="PCA: the two directions of largest variance. t-SNE: keeps close prompts close; "
        "distances between groups mean nothing.",
    )  # fmt: skip
    return chosen or METHODS[0]


with answers.shown_errors(), charts.quickly():
    if source == PUBLISHED:
        published()
    else:
        computed()
