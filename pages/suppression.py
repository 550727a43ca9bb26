"""What happens when skill neurons are suppressed?"""

import pandas as pd
import streamlit as st

from core import charts
from core.base.markdown import plain
from core.base.settings import EMBEDDED, MATCHED
from core.base.specs import Spec
from core.figures import faithful as faithfulness
from core.figures import queries, suppressed, words
from core.figures.robustness import finding
from core.lab.lab import job_name
from core.measures import sweeps
from core.tasks import clean_task
from pages.common import address, answers, controls, warnings

TOP = {"causal": "most causal", "skill": "most predictive"}

answers.heading(
    "Suppression",
    "Causal neurons contribute most to the right answer, skill neurons predict it best. Does "
    "suppressing them cost more accuracy than suppressing random ones?",
)
lab = answers.lab()
left, middle, right = controls.row(6, 3, 4)
with left:
    backbones = controls.backbones(lab, EMBEDDED)
    how = st.popover("How neurons are chosen and suppressed", icon=":material/tune:")
with middle:
    task = controls.task(controls.ranked_set())
    grid = address.bound(
        st.segmented_control, "Fractions", ["paper", "wide"], default="paper", key="grid",
        help="Paper (Ackermann & Ohmer 2024): 0 to 15% of each layer. Wide: up to all neurons.",
    ) or "paper"  # fmt: skip
with right:
    kinds = address.bound(
        st.pills, "Neurons", controls.CHOOSE, default=list(sweeps.CURVES),
        selection_mode="multi", key="neurons",
        help="Causal: highest attribution (activation times the gradient of the right answer's "
        "margin), ranked on train rows. Skill: highest predictivity. Lowest: lowest predictivity.",
    )  # fmt: skip
    seeds = controls.seeds()
with how:
    scope = address.bound(
        st.segmented_control, "Choose per", controls.SCOPES, default="layer", key="scope"
    )
    stack = address.bound(
        st.segmented_control, "Part of the model", controls.STACKS, default="encoder", key="stack",
        help="The decoder's neurons are ranked by attribution alone, because predictivity is "
        "measured in the encoder. Masked models such as RoBERTa have no decoder.",
    ) or "encoder"  # fmt: skip
    decoder = stack == "decoder"
    positions = address.bound(
        st.segmented_control, "Positions", controls.POSITIONS, default="all", key="positions",
        disabled=decoder, help="The prompt has positions in the encoder only.",
    )  # fmt: skip
    kind = address.bound(
        st.segmented_control, "Activation becomes", controls.KINDS, default="zero", key="kind",
        help="Means are stored for the encoder only.",
    )  # fmt: skip
    limit = address.bound(st.select_slider, "Examples", [64, 128, 256, 600], value=256, key="limit")
    draws = address.bound(st.slider, "Random draws", 1, 10, 3, key="draws")
if decoder:
    kinds = [k for k in kinds if k in sweeps.IN_DECODER] or list(sweeps.IN_DECODER)
    backbones = controls.with_decoder(lab, backbones)
    if kind == "mean":
        st.info("Mean activations are stored for the encoder only; here neurons are set to zero.")

choices = sweeps.SuppressionChoices(
    fractions=sweeps.WIDE_FRACTIONS if grid == "wide" else sweeps.PAPER_FRACTIONS,
    draws=draws,
    kinds_of_neuron=tuple(k for k in controls.CHOOSE if k in kinds) or ("skill",),
    scope=scope or "layer",
    positions="all" if decoder else positions or "all",
    kind="zero" if decoder and kind == "mean" else kind or "zero",
    limit=limit,
    stack=stack,
)
origin = clean_task(task)
specs = tuple(
    spec
    for backbone in backbones
    for spec in sweeps.suppression_sweep(
        controls.prompts(lab, backbone, [origin], seeds),
        controls.own_predictivities(lab, backbone, [origin]),
        lab.pin(task, backbone),
        task.evaluation_split,
        choices,
        controls.own_attributions(lab, backbone, origin, stack),
    )
)


def caption(n: int) -> str:
    """Sample sizes, seeds and bands of the figure."""
    random = "random" in choices.kinds_of_neuron
    if len(seeds) > 1:
        band = "standard error over seeds"
    elif random:
        band = "95% Wilson interval (random neurons: range of draws)"
    else:
        band = "95% Wilson interval"
    return (
        f"{plain(task.title)}{', decoder' * decoder}: {n} examples of the {task.evaluation_split} "
        f"split, seed{'s' * (len(seeds) > 1)} "
        f"{', '.join(map(str, seeds))}; "
        + (f"{draws} random draw{'s' * (draws > 1)}; " if random else "")
        + f"band: {band}."
    )


def halves(table: pd.DataFrame) -> str:
    """How many neurons it took to lose half of the skill."""
    found = queries.half_lost(table[table.choose.isin(TOP)]).dropna()
    lost = list[str]()
    for name, rows in found.groupby("backbone", sort=False):
        layers, width = lab.models.neurons(str(name), stack)
        neurons = width if choices.scope == "layer" else width * layers
        of = (
            f"{neurons} neurons in each layer"
            if choices.scope == "layer"
            else f"all {neurons} neurons"
        )
        counts = [
            f"{max(1, round(r.fraction * neurons))} {TOP[str(r.choose)]} ({100 * r.fraction:.2g}%)"
            for r in rows.itertuples()
        ]
        lost.append(
            f"Suppressing the **{' or '.join(counts)}** of {of} halves "
            f"{plain(str(name))}'s lead over the majority class."
        )
    return " ".join(lost)


def details() -> str:
    """How the neurons are ranked, and what that favours."""
    if decoder:
        return (
            f"Neurons of the decoder are ranked on 300 train rows of {plain(origin.title)} by the "
            f"mean attribution over {len(sweeps.SEEDS)} seeds, at the position of the answer."
        )
    return (
        f"Neurons are ranked on {plain(origin.title)} by the mean over {len(sweeps.SEEDS)} seeds: "
        "skill neurons by predictivity, causal ones by attribution on 300 train rows, over all "
        "positions whichever are suppressed. As in the "
        "papers, skill neurons are ranked and tested on the same split, which may favour them."
    )


def draw() -> None:
    """One chart: the hue is the backbone, the line style the kind of neuron."""
    table = queries.suppression_curve(lab.store, specs)
    if table.empty:
        answers.nothing("The curve appears here once its first points have been computed.")
    figure = charts.suppression_curves(
        table, answers.look(lab.models.names()), fractions=choices.fractions, scope=choices.scope
    )
    with st.container(border=True):
        compared = beyond_random(job_name(specs), len(lab.known(specs)))
        if said := f"{suppressed.sentence(compared)} {halves(table)}".strip():
            st.markdown(said, help=finding_help(compared))
        answers.played("suppression", choices.fractions, lambda share: upto(table, share))
        st.caption(caption(int(table.n.max())), help=details())
    with st.container(horizontal=True):
        answers.downloads("suppression", table, ("", figure))
        each = each_answer(job_name(specs), len(lab.known(specs)))
        answers.downloads("suppression-each", each, label="Each answer")
        answers.downloads("suppression-costs", compared, label="Accuracy lost")


def finding_help(compared: pd.DataFrame) -> str:
    """The numbers behind the finding."""
    half = (
        "The lead is halved where accuracy above the majority class is half of what it is without "
        "suppression, interpolated between the points."
    )
    if compared.empty:
        return half
    return (
        f"Accuracy lost beyond random neurons, in points, mean over the fractions (95% intervals "
        f"over seeds, random draws and examples): {suppressed.numbers(compared)}. {half}"
    )


@st.cache_data(show_spinner=False, max_entries=5)
def beyond_random(name: str, known: int) -> pd.DataFrame:
    """What the neurons cost beyond random ones, identified like `each_answer`."""
    del name, known
    return suppressed.beyond_random(lab.store, specs)


@st.cache_data(show_spinner=False, max_entries=5)
def each_answer(name: str, known: int) -> pd.DataFrame:
    """The answers behind the curves; they never change, so the questions and the number of stored
    ones identify the table.
    """
    del name, known
    return queries.suppression_answers(lab.store, specs)


def upto(table: pd.DataFrame, share: float) -> None:
    """The curves up to a share of suppressed neurons; weathered backbones beside plain ones."""
    lowest = charts.below(min(float(table.low.min()), float(table.majority.max())))
    weathered = table.backbone.isin([name for _, name in MATCHED])
    parts = {"Plain": table[~weathered], "Weathered": table[weathered]}
    there = {name: part for name, part in parts.items() if len(part)}
    for column, (name, part) in zip(answers.beside(list(there)), there.items(), strict=True):
        with column:
            if len(there) > 1:
                what = (
                    "pretrained on messy texts"
                    if name == "Weathered"
                    else "by % of neurons suppressed"
                )
                st.markdown(f"**{name} backbones** ({what})", help=finding.MATCHED)
            figure = charts.suppression_curves(
                part[part.fraction <= share], answers.look(lab.models.names()),
                fractions=choices.fractions, scope=choices.scope, lowest=lowest,
            )  # fmt: skip
            answers.chart(figure)


def linked(table: pd.DataFrame) -> pd.DataFrame:
    """With the addresses of the neurons; those of the decoder have no page."""
    return table if decoder else answers.linked(table, task=origin.title)


def faithful() -> None:
    """Draw attribution against the exact effect of suppressing single neurons."""
    table = faithfulness.neurons(lab.store, exact)
    if table.empty:
        answers.nothing("The figures appear here as they are computed.")
    look, agreed = answers.look(lab.models.names()), faithfulness.agreement(table)
    shown, figures = linked(table), []
    there = list(dict.fromkeys(table.backbone))
    for name, column in zip(there, answers.beside(there), strict=True):
        figure = charts.attributed_exact(shown[shown.backbone == name], look, backbone=name)
        figures.append((name, figure))
        mine = agreed[(agreed.backbone == name) & (agreed.layer == -1)].iloc[0]
        layers = agreed[(agreed.backbone == name) & (agreed.layer >= 0)].spearman
        with column, st.container(border=True):
            st.markdown(f"**{plain(name)}**" + (", decoder" if decoder else ""))
            answers.chart(figure)
            st.caption(
                f"{mine.neurons} neurons. Spearman {words.two(mine.spearman)} (layers "
                f"{words.two(layers.min())} to {words.two(layers.max())}).",
                help=f"{controls.count(table.n)} train rows, seed {controls.count(table.seed)}. "
                f"The sign is the same for {mine.same_sign:.1%} of the {mine.clear} neurons with a "
                "clear effect. Dotted: attribution equals the exact effect. Vertical lines: 1.96 "
                "standard errors either way. An effect is clear if this range excludes 0. The "
                "neurons are spread evenly over each layer's ranking."
                + ("" if decoder else " Click a point to open the neuron."),
            )
    st.markdown("**Neurons whose attribution is furthest from the exact effect**")
    st.dataframe(
        linked(faithfulness.worst(table))[
            [*([] if decoder else ["url"]), "backbone", "layer", "neuron", "attributed", "exact",
             "miss"]
        ],
        hide_index=True, width="stretch",
        column_config={
            "url": st.column_config.LinkColumn("Open", display_text="open"),
            "attributed": st.column_config.NumberColumn("attribution", format="%.3f"),
            "exact": st.column_config.NumberColumn("exact effect", format="%.3f"),
            "miss": st.column_config.NumberColumn("attribution minus effect", format="%.3f"),
        },
    )  # fmt: skip
    answers.downloads("faithfulness", table, *figures)


# The curve starts by itself once its neurons are ranked; tuning the prompts does not.
ranked: list[Spec] = [
    s
    for b in backbones
    for s in (
        controls.own_predictivities(lab, b, [origin])
        if stack == "encoder"
        else controls.own_attributions(lab, b, origin, stack)
    )
]
answers.show(specs, draw, name="suppression", what="points", start_at_once=not lab.missing(ranked))
checked = address.bound(
    st.expander, "Is attribution faithful? Compared with suppressing one neuron at a time",
    key="faithful", icon=":material/balance:", on_change="rerun",
)  # fmt: skip
if checked.open:
    exact = {
        name: sweeps.faithfulness(controls.own_attributions(lab, name, origin, stack)[:1])
        for name in backbones
    }
    everyone = tuple(spec for group in exact.values() for spec in group)
    with checked:
        answers.show(everyone, faithful, name="faithfulness", what="comparisons")
warnings.shared([origin], [task])
warnings.origins(s.prompt for s in specs)
