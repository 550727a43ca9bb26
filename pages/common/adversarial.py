"""A task against its adversarial version, in detail: one prompt set, two sets of texts."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from core import charts
from core.base.markdown import plain
from core.base.specs import Spec
from core.figures.robustness import accuracy as robustness
from core.figures.robustness import overlap
from core.figures.robustness.verdict import Numbers, summarise
from core.figures.words import p_value, points
from core.lab.lab import Lab, job_name
from core.measures import sweeps
from core.tasks import Task
from pages.common import answers, controls, warnings


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """What is compared: the questions by backbone, at one fraction of skill neurons."""

    lab: Lab
    clean: Task
    attacked: Task
    asked: Mapping[str, sweeps.RobustnessSweep]
    top: float

    @property
    def backbones(self) -> list[str]:
        """In the page's order."""
        return list(self.asked)

    @property
    def everything(self) -> tuple[Spec, ...]:
        """All questions."""
        return tuple(spec for sweep in self.asked.values() for spec in sweep.everything)

    @property
    def evaluations(self) -> tuple[Spec, ...]:
        """Those about accuracy."""
        return tuple(spec for sweep in self.asked.values() for spec in sweep.evaluations)

    @property
    def compared(self) -> tuple[Spec, ...]:
        """Those about which neurons are skill neurons."""
        return tuple(
            spec
            for sweep in self.asked.values()
            for spec in (*sweep.clean, *sweep.adversarial, sweep.stability)
        )

    @property
    def suppressed(self) -> tuple[Spec, ...]:
        """Those about suppression."""
        return tuple(
            spec
            for sweep in self.asked.values()
            for curve in sweep.suppression.values()
            for spec in curve
        )

    @property
    def seeds(self) -> str:
        """How many prompts a mean is of."""
        used = controls.count([len({s.prompt.seed for s in w.clean}) for w in self.asked.values()])
        return f"{used} seed{'s' * (used != '1')}"

    def state(self, specs: Sequence[Spec]) -> tuple[str, int]:
        """A cache key for the tables of these questions. Answers never change, so the questions and
        the number of stored answers identify a table; it is rebuilt only when one of its answers
        arrives.
        """
        return job_name(specs), len(self.lab.known(specs))


@st.cache_data(show_spinner="Comparing ...", max_entries=20)
def answered(name: str, known: int, _view: View) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Each answer, and accuracies."""
    del name, known
    rows = robustness.answers(_view.lab.store, _view.asked, (_view.clean, _view.attacked))
    return rows, robustness.accuracy(rows)


@st.cache_data(show_spinner="Comparing ...", max_entries=20)
def neuron_tables(name: str, known: int, _view: View) -> tuple[pd.DataFrame, ...]:
    """Discoveries, overlap, rank correlation, each neuron."""
    del name, known
    tables = (overlap.discoveries, overlap.overlap, overlap.stability, overlap.ranked)
    return tuple(table(_view.lab.store, _view.asked) for table in tables)


@st.cache_data(show_spinner="Comparing ...", max_entries=20)
def suppression_tables(name: str, known: int, _view: View) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Paired tests and suppression curves."""
    del name, known
    kinds = robustness.attacks(_view.attacked)
    tests = robustness.paired_tests(_view.lab.store, _view.asked, kinds)
    return tests, robustness.curves(_view.lab.store, _view.asked)


@st.cache_data(show_spinner=False, max_entries=40)
def chosen(name: str, known: int, fraction: float, _view: View) -> tuple[pd.DataFrame, ...]:
    """The same for one share of skill neurons: layers, attacks, rank percentiles, their medians."""
    del name, known
    return (
        overlap.overlap_by_layer(_view.lab.store, _view.asked, fraction),
        overlap.by_attack(_view.lab.store, _view.asked, fraction),
        *overlap.rank_percentiles(_view.lab.store, _view.asked, fraction),
    )


COLOURS = {"agrees": "green", "contradicts": "red"}


def show(view: View) -> None:
    """What is stored and what is missing of a comparison, and what readers should be warned of."""
    answers.show(view.everything, lambda: draw(view), name="version", what="results")
    warnings.shared([view.clean], [view.attacked])
    warnings.origins(p.prompt for sweep in view.asked.values() for p in sweep.evaluations)


def draw(view: View) -> None:
    """The verdict, then a section for each part of the claim."""
    look = answers.look(view.lab.models.names())
    rows, accuracies = answered(*view.state(view.evaluations), view)
    found, shared, stability, each = neuron_tables(*view.state(view.compared), view)
    tests, curves = suppression_tables(*view.state(view.suppressed), view)
    numbers = Numbers(
        answers=rows, paired_tests=tests, discoveries=found, overlap=shared, stability=stability
    )
    if numbers.answers.empty:
        answers.nothing("The figures appear here as they are computed.")
    said = summarise(numbers, backbones=view.backbones, fraction=view.top)
    with st.container(border=True):
        st.subheader(f"Summary: {plain(view.attacked.title)}", anchor=False)
        st.badge(f"verdict: {said.verdict}", color=COLOURS.get(said.verdict, "gray"))  # type: ignore[arg-type]
        if view.lab.missing(view.everything):
            st.caption("Some results have not been computed yet, so these numbers are provisional.")
        st.markdown(said.lead)
        for text in said.backbones:
            st.markdown(f"- {text}")
    accuracy(view, accuracies, numbers.answers, look)
    layers, attacks, stand, medians = chosen(*view.state(view.compared), view.top, view)
    neurons(view, numbers, layers, attacks, each, look)
    percentiles(view, stand, medians, numbers.discoveries, look)
    suppression(view, numbers.paired_tests, curves, look)


def accuracy(view: View, table: pd.DataFrame, rows: pd.DataFrame, look: charts.Look) -> None:
    """The accuracy drop, overall and by attack."""
    figure = charts.accuracy_points(table, look, chance=1 / len(view.clean.labels))
    sizes = table[table.data == robustness.ADVERSARIAL].groupby("attack", sort=False).n.first()
    st.subheader("How large is the accuracy drop?", anchor=False)
    with st.container(border=True):
        answers.chart(figure)
        st.caption(
            f"Accuracy: means of {view.seeds} with 95% intervals; dotted line: chance. Examples: "
            f"{controls.count(table[table.data == robustness.CLEAN].n)} clean; "
            + (
                ", ".join(f"{n} {plain(kind or 'adversarial')}" for kind, n in sizes.items())
                or "none adversarial"
            )
            + ".",
            help="The intervals resample both seeds and examples; with one seed they are Wilson "
            "intervals.",
        )
        with st.container(horizontal=True):
            answers.downloads("robustness-accuracy", table, ("", figure))
            answers.downloads("robustness-answers", rows, label="Each answer")


def neurons(
    view: View,
    numbers: Numbers,
    by_layer: pd.DataFrame,
    by_attack: pd.DataFrame,
    each: pd.DataFrame,
    look: charts.Look,
) -> None:
    """Overlap against the permutation null and chance, and the rank correlation."""
    shared, agree = numbers.overlap, numbers.stability
    st.subheader("Are the skill neurons the same?", anchor=False)
    if shared.empty:
        st.caption("Not computed yet.")
        return
    st.markdown(
        "Some neurons fire almost always and others almost never, whatever the labels are, and "
        "this alone makes two rankings similar. Each number is therefore shown beside its "
        "**permutation null**, computed with shuffled adversarial labels: only overlap beyond the "
        "null is evidence that the skill is kept.",
        help="A skill neuron is shared if it is also a skill neuron on adversarial data, for "
        "either class and at any position.",
    )
    curve = charts.overlap_curves(shared, look, fraction=view.top)
    layers = charts.overlap_layers(by_layer, look)
    one, two = st.columns(2, gap="medium")
    with one, st.container(border=True):
        st.markdown("**Overlap of skill neurons, by fraction chosen**")
        answers.chart(curve)
        permutations = (
            f"{agree.permutations.iloc[0]} permutations" if len(agree) else "not computed yet"
        )
        st.caption(
            f"Share of clean skill neurons (means of {view.seeds}) that are also adversarial skill "
            f"neurons. Bands: 95% range of the permutation null. {few(shared)}",
            help="Vertical line: the fraction chosen above. The error bars are 1.96 bootstrap "
            f"standard errors. Permutation null: shuffled labels ({permutations}). Chance overlap: "
            "two independent selections (hypergeometric). Split control: two disjoint parts of "
            "the clean data, one as large as the adversarial set.",
        )
        with st.container(horizontal=True):
            answers.downloads("robustness-overlap", shared, ("", curve))
            answers.downloads("robustness-neurons", each, label="Each neuron")
    with two, st.container(border=True):
        st.markdown(f"**Layer by layer, top {view.top:.0%}**")
        answers.chart(layers)
        st.caption(
            "Tick and line: mean and 95% range of the permutation null in each layer. "
            "Uninformative neurons are never skill neurons, so some layers have fewer."
        )
        answers.downloads("robustness-layers", by_layer, ("", layers))
    if len(agree):
        ranks(agree, by_attack, view.top, look)


def ranks(agree: pd.DataFrame, by_attack: pd.DataFrame, top: float, look: charts.Look) -> None:
    """The rank correlation of all neurons, overall and by attack."""
    figure = charts.stability_points(agree, look)
    with st.container(border=True):
        st.markdown("**Do all neurons keep their ranks?** Spearman, mean over layers")
        answers.chart(figure)
        few_examples = controls.count(agree.n_adversarial)
        st.caption(
            f"Predictivities on {controls.count(agree.n_clean)} clean against {few_examples} "
            "adversarial examples, overall and by attack. Grey: 95% range of the permutation "
            "null. Points to its right exceed the null; about 1 in 40 does so by chance.",
            help=f"Line: 1.96 standard errors over {controls.count(agree.replicates)} "
            "resamples of examples and seeds. Tick: split control, two disjoint parts of the "
            "clean data, one as large as the adversarial set but at most half.",
        )
        if len(by_attack):
            with st.expander("Skill neurons by kind of attack"):
                attack_table(by_attack, top)
        with st.container(horizontal=True):
            answers.downloads("robustness-stability", agree, ("", figure))
            answers.downloads("robustness-attacks", by_attack, label="By attack")


def attack_table(table: pd.DataFrame, top: float) -> None:
    """Overlap and median rank percentile of the clean skill neurons, by attack."""
    names = {"share": "overlap", "median": "median rank percentile"}
    shown = table.assign(
        measure=table.measure.map(names),
        value=table.value.map("{:.0%}".format),
        shuffled=[f"{low:.0%} to {high:.0%}"
                  for low, high in zip(table.shuffled_low, table.shuffled_high, strict=True)],
        p=table.p_holm.map(plain_p),
    )[["backbone", "attack", "measure", "value", "shuffled", "p"]]  # fmt: skip
    st.dataframe(
        shown.rename(columns={"shuffled": "permutation null"}), hide_index=True, width="stretch"
    )
    st.caption(
        f"Top {top:.0%} of each layer on clean data; p-values are Holm-adjusted over attacks."
    )


def plain_p(p: float) -> str:
    """A p-value for a column headed p."""
    return p_value(p).removeprefix("p = ").removeprefix("p ")


def few(shared: pd.DataFrame) -> str:
    """Backbones with fewer informative neurons than the fraction asks for, and their numbers."""
    widest = shared[shared.fraction == shared.fraction.max()]
    short = [
        f"{plain(row.backbone)} has {row.chosen:,} instead of {row.asked:,} skill neurons at "
        f"{row.fraction:.0%}"
        for row in widest[widest.chosen < widest.asked].itertuples()
    ]
    return f"{' and '.join(short)}; the other neurons are uninformative." if short else ""


def percentiles(
    view: View, table: pd.DataFrame, medians: pd.DataFrame, found: pd.DataFrame, look: charts.Look
) -> None:
    """Rank percentiles of the clean skill neurons on adversarial data."""
    if table.empty:
        return
    st.subheader("Where do clean skill neurons rank on adversarial data?", anchor=False)
    figures, linked = [], answers.linked(table, task=view.clean.title)
    highest = charts.highest_bar(table)
    discovered = found[found.data == robustness.ADVERSARIAL].set_index("backbone").discoveries
    for median, column in zip(
        medians.itertuples(), answers.beside(medians.backbone.tolist()), strict=True
    ):
        name = str(median.backbone)
        mine = linked[linked.backbone == name]
        figure = charts.percentile_histogram(
            mine, look, backbone=name, median=median.median, highest=highest
        )
        figures.append((name, figure))
        with column, st.container(border=True):
            st.markdown(f"**{plain(name)}**")
            answers.chart(figure)
            with st.expander("Open one of these neurons"):
                neuron_table(mine)
            exceeding = (
                f" On adversarial data, {discovered[name]:.0%} of all neurons exceed the "
                "permutation null (false discovery rate 5%)." if name in discovered else ""
            )  # fmt: skip
            null = (
                f" (permutation null {median.shuffled_low:.0%} to {median.shuffled_high:.0%}, "
                f"one-sided {p_value(median.p)})"
                if math.isfinite(median.p) else ""
            )  # fmt: skip
            st.caption(
                f"{len(mine)} clean skill neurons (top {view.top:.0%} of each layer). Vertical "
                f"line: median, {median.median:.0%}{null}. Dotted: uniform distribution.",
                help="Click a piece of a bar to open its neuron. A rank percentile of 100% is the "
                "highest in the layer on adversarial data." + exceeding,
            )
    answers.downloads("robustness-places", table, *figures)


def neuron_table(mine: pd.DataFrame) -> None:
    """The clean skill neurons, the highest adversarial ranks first."""
    number = st.column_config.NumberColumn
    st.dataframe(
        mine.sort_values("percentile", ascending=False)[
            ["url", "layer", "neuron", "percentile", "clean", "adversarial"]
        ],
        hide_index=True, width="stretch", height=240, column_config={
            "url": st.column_config.LinkColumn("Open", display_text="open"),
            "percentile": number("rank percentile", format="percent"),
            "clean": number("predictivity, clean", format="%.3f"),
            "adversarial": number("predictivity, adversarial", format="%.3f"),
        },
    )  # fmt: skip


def suppression(view: View, tests: pd.DataFrame, curves: pd.DataFrame, look: charts.Look) -> None:
    """Suppression of skill neurons found on one kind of data, tested on the same or the other."""
    if curves.empty:
        return
    st.subheader("What happens when skill neurons are suppressed?", anchor=False)
    figures = []
    lowest = max(0.0, math.floor(10 * min(curves.low.min(), curves.majority.min()) - 0.5) / 10)
    for name, column in zip(view.backbones, answers.beside(view.backbones), strict=True):
        with column, st.container(border=True):
            for tested in (robustness.CLEAN, robustness.ADVERSARIAL):
                mine = curves[(curves.backbone == name) & (curves.tested == tested)]
                if mine.empty:
                    continue
                figure = charts.cross_curves(
                    mine, look, backbone=name, fractions=sweeps.PAPER_FRACTIONS, lowest=lowest
                )
                st.markdown(f"**{plain(name)}**, tested on {tested} data")
                answers.chart(figure)
                figures.append((f"{name} {tested}", figure))
    n, random = curves.groupby("tested").n.max(), curves[curves.choose == "random"]
    random = random[random.fraction > 0]
    st.caption(
        f"Means of {view.seeds}; bands: standard error over seeds; "
        + ", ".join(f"{count} {tested} examples" for tested, count in n.items())
        + f" (a fixed random subset); {controls.count(random.draws)} random draws. Dotted line: "
        "majority-class accuracy."
    )
    if len(tests):
        test_table(tests[tests.attack == ""].drop(columns="attack"))
        st.caption(
            "Cost: extra accuracy drop, in percentage points, when skill neurons are suppressed "
            "instead of as many random ones (same examples, mean over fractions). Skill neurons "
            "are favoured where they are found and tested on the same rows.",
            help="The 95% intervals and p-values treat the prompts "
            f"({controls.count(tests.seeds)}), the random draws ({controls.count(tests.draws)}) "
            "and the examples as samples; p-values are Holm-adjusted over the four rows of a "
            "backbone.",
        )
        by_kind = tests[(tests.attack != "") & (tests.found == robustness.CLEAN)]
        if len(by_kind):
            with st.expander("By kind of attack"):
                test_table(by_kind)
                st.caption(
                    "As above, on the examples of one attack; p-values are Holm-adjusted over "
                    "attacks."
                )
    with st.container(horizontal=True):
        answers.downloads("robustness-suppression", curves, *figures)
        answers.downloads("robustness-tests", tests, label="Tests")


def test_table(tests: pd.DataFrame) -> None:
    """The accuracy costs, in points."""
    numbers = {name: tests[name].map(points) for name in ("cost", "low", "high")}
    shown = tests.assign(p=tests.p_holm.map(plain_p), **numbers)
    shown = shown.drop(columns=["p_holm", "draws", "seeds"])
    st.dataframe(shown, hide_index=True, width="stretch")
