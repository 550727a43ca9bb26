"""One neuron: what it predicts and adds, when it fires, and what its suppression changes."""

from typing import Any

import pandas as pd
import streamlit as st

from core import charts
from core.backbones import FAMILIES
from core.base.markdown import plain
from core.figures import neuron as profiles
from core.figures import words
from core.lab import playground as live
from core.measures.ablation import AblationSpec
from core.measures.activations import ActivationSpec
from core.tasks import clean_task
from core.tasks.data import load_split
from pages.common import about, address, answers, controls, example, shaded

ENDS = 5  # texts in each of the tables
FINDING_HELP = (
    "With the chosen prompt. The family-wise p-value compares the neuron with the best of all "
    "neurons under permutation; below 0.05, the neuron predicts the task. It clearly supports a "
    "task's right answer if its attribution's 95% interval is above 0 for each seed."
)

lab = answers.lab()
name = st.empty()
name.title("Neuron", anchor=False)
aid = st.empty()
one, two, three, four, five = controls.row(3, 3, 2, 2, 2)
backbone = controls.one_backbone(lab, one)
with two:
    controls.prompt_kind(lab, [backbone])
    found = controls.ranked_set()
    task = controls.task(found)
sizes = lab.models.describe(backbone)
layers, width = int(sizes["Layers"]), int(sizes["Neurons per layer"])
here = controls.own_predictivities(lab, backbone, [task])
seed = controls.one_seed(three, (s.prompt for s in here))
best = profiles.best(lab.store, here)
if st.session_state.get("place-of", backbone) != backbone:
    st.session_state["layer"], st.session_state["neuron"] = best
st.session_state["place-of"] = backbone
layer = int(address.bound(four.number_input, "Layer", 0, layers - 1, best[0], key="layer"))
neuron = int(address.bound(five.number_input, "Neuron", 0, width - 1, best[1], key="neuron"))
name.title(f"Neuron {neuron}, layer {layer}", anchor=False)
about.note(layer=layer, neuron=neuron)
example.picked(task)  # the address is asked for it now, since its figure may have to be computed
aid.markdown(
    f"What this neuron of **{plain(backbone)}** predicts, how much it contributes to the right "
    "answers, where it is active, and what changes when it is suppressed."
)

everywhere = controls.own_predictivities(lab, backbone, found)
contrast = controls.contrast(task)
mine = [s for s in here if s.contrast == contrast]
if not mine:
    st.info("There is no prompt for this task yet. Tune or import one first.")
    address.end()
chosen = next(s for s in mine if s.prompt.seed == seed)
fires = ActivationSpec(ranking=chosen)
alone = AblationSpec(ranking=chosen, layer=layer, neuron=neuron)
titles = controls.titles(found)
attributions = [
    s for t in controls.origins(found) for s in controls.own_attributions(lab, backbone, t)
]


def draw() -> None:
    """What it predicts and what it adds, where and when it fires, and the effect of suppression."""
    look = answers.look(lab.models.names())
    effect = profiles.ablation(lab.store, alone)
    others = [t.name for t in controls.clean(found) if t.name != task.name]
    everything = profiles.profile(lab.store, everywhere, layer, neuron)
    if said := profiles.sentence(
        profiles.profile(lab.store, [chosen], layer, neuron), effect, task.title,
        profiles.elsewhere(everything, others, seed), profiles.helps(added(), titles),
    ):  # fmt: skip
        st.markdown(said, help=FINDING_HELP)
    left, right = st.columns(2, gap="medium")
    with left, st.container(border=True):
        predicts(look)
    with right, st.container(border=True):
        adds(look)
    left, right = st.columns(2, gap="medium")
    with left, st.container(border=True):
        positions(look)
    rows = fired()
    if rows is not None:
        with right, st.container(border=True):
            firing(look, rows)
        left, right = st.columns(2, gap="medium")
        with left, st.container(border=True):
            suppressed(effect)
        with right, st.container(border=True):
            favours(look)
        if rows.activation.any():
            ends(rows.merge(effect.drop(columns="label"), on="example", how="left"))
    near()


def added() -> pd.DataFrame:
    """Attribution by task and seed, as far as stored."""
    return profiles.attributed(lab.store, attributions, layer, neuron)


def adds(look: charts.Look) -> None:
    """What it adds to each task's answers."""
    st.subheader("What does it add to each task's answers?", anchor=False)
    table = added()
    if table.empty:
        st.caption(
            "Not computed yet. The Suppression page computes it for a task, Rankings for all tasks."
        )
        return
    figure = charts.contribution(
        charts.titled(table, titles), look, backbone=backbone, tasks=[t.title for t in found]
    )
    answers.chart(figure)
    now = table[table.task == clean_task(task).name]
    title = plain(clean_task(task).title)
    place = f" {title}: rank percentile {now.place.mean():.1%} in its layer." if len(now) else ""
    st.caption(
        f"Dots: one per seed, with 95% intervals over {controls.count(table.n)} training examples; "
        f"thick tick: their mean.{place}",
        help="Attribution is activation times the gradient of the right answer's margin: to first "
        "order, what the margin loses without the neuron. A rank percentile of 100% is the "
        "highest in the layer; it is the mean over seeds.",
    )
    answers.downloads("neuron-attribution", table, ("", figure))


def predicts(look: charts.Look) -> None:
    """Predictivity by task and seed."""
    st.subheader("Predictivity: which tasks' classes does it predict?", anchor=False)
    table = profiles.profile(lab.store, everywhere, layer, neuron)
    if table.empty:
        st.caption("Nothing computed yet.")
        return
    shown = charts.titled(table, titles)
    figure = charts.profile(shown, look, backbone=backbone, tasks=[t.title for t in found])
    answers.chart(figure)
    st.caption(
        "Dots: one per seed; coloured tick: their mean. Other ticks come from shuffled labels: the "
        "average neuron (left) and the significance threshold (right).",
        help="Threshold: the 95th percentile of the best neuron under permutation. Only "
        "predictivities beyond it are significant when corrected for all neurons.",
    )
    answers.downloads("neuron-tasks", table, ("", figure))


def positions(look: charts.Look) -> None:
    """Accuracy by position."""
    st.subheader("At which position?", anchor=False)
    rows = profiles.by_token(lab.store, mine, layer, neuron)
    if rows.empty:
        st.caption("Nothing computed yet.")
        return
    names = lab.models.prefix_names(chosen.prompt)
    rows = rows.assign(token=rows.position.map(dict(enumerate(names))), chosen=rows.seed == seed)
    now = profiles.profile(lab.store, [chosen], layer, neuron)
    level = float(now.fwer.max()) if len(now) else float("nan")
    figure = charts.tokens(rows, look, backbone=backbone, order=names, fwer=level)
    answers.chart(figure)
    if len(now):
        n = now.iloc[0]
        meant = plain(repr(task.contrast_name(contrast).split(" | ")[0]))
        st.caption(
            f"{plain(task.title)}, seed {seed} (bold; other seeds pale), {n.n} examples. Best "
            f"at {names[int(n.best_token)]}: predictivity {n.predictivity:.3f}, "
            f"{words.p_value(n.p)} (uncorrected), {words.p_value(n.p_family)} (family-wise).",
            help=f"Accuracy of predicting {meant} from `activation > baseline`; below 0.5 the "
            "neuron fires for the other class. Under permutation, the best of all neurons "
            "stays between the dashed lines in 95% of cases.",
        )
    answers.downloads("neuron-positions", rows, ("", figure))


def fired() -> pd.DataFrame | None:
    """Its activation in each example; None if it is not stored."""
    cached = lab.store.read(fires)
    if cached is None:
        return None
    return profiles.fired(cached, load_split(task, chosen.split), layer, neuron, task.labels)


def firing(look: charts.Look, rows: pd.DataFrame) -> None:
    """Activations by class."""
    st.subheader("When does it fire?", anchor=False)
    if rows.activation.any():
        histogram(rows, look)
    else:
        st.caption(f"Its activation at its best position is 0 on all {len(rows)} examples.")


def histogram(rows: pd.DataFrame, look: charts.Look) -> None:
    """Activations by class, with the baseline."""
    level = float(lab.stored(chosen).baseline[layer, neuron])
    figure = charts.activation_histogram(rows, look, baseline=level, classes=task.labels)
    answers.chart(figure)
    st.caption(
        f"Activation at its best position, {len(rows)} examples of the {chosen.split} split. "
        f"Dashed: the baseline, its mean on train ({level:.3f})."
    )
    answers.downloads("neuron-activations", rows, ("", figure))


def suppressed(effect: pd.DataFrame) -> None:
    """Accuracy with the neuron suppressed, and its contribution to the margin."""
    st.subheader("What if this neuron alone is suppressed?", anchor=False)
    if effect.empty:
        st.caption("Not computed yet.")
        return
    s = profiles.summary(effect)
    one, two, three = st.columns(3)
    one.metric("Accuracy", f"{s['accuracy']:.3f}")
    change = f"{s['without'] - s['accuracy']:+.3f}" if s["changed"] else None
    two.metric("When suppressed", f"{s['without']:.3f}", change, delta_color="off")
    three.metric("Changed answers", f"{s['changed']:.0f} of {s['n']:.0f}")
    sure = (
        ""
        if s["low"] > 0 or s["high"] < 0
        else " The interval includes 0: **no significant difference**."
    )
    digits = answers.digits(s["high"] - s["low"])
    mean, low, high = (f"{s[name]:+.{digits}f}" for name in ("contribution", "low", "high"))
    st.markdown(
        f"On average, the neuron adds **{mean}** to the margin of the correct answer (95% "
        f"interval {low} to {high}, {words.p_value(s['p'])})." + sure
    )
    st.caption(
        "The neuron is set to 0 at all positions. The margin is the logit of the correct answer "
        "word minus the highest other one; it is positive if the answer is correct.",
        help="The interval is over examples.",
    )


def favours(look: charts.Look) -> None:
    """The answer words at which its output direction points."""
    st.subheader("Which words does its output favour?", anchor=False)
    found = live.favoured(lab, chosen, layer, neuron)
    figure = charts.word_directions(found.words, look, cosines=found.cosines)
    answers.chart(figure)
    said = "; ".join(
        f"{plain(str(row.word))} {words.two(row.cosine)} (above {row.above:.1%} of the vocabulary)"
        for row in found.words.itertuples()
    )
    nearest = ", ".join(map(plain, found.nearest))
    st.caption(
        f"Cosines: {said}.",
        help=f"The tokens with the highest cosines are {nearest}. When the neuron fires, it adds "
        "its output direction to the residual stream (Geva et al. 2022). The figure shows the "
        "cosine of this direction with each token's output embedding. As in the logit lens, later "
        "layers are ignored. Lines: answer words; bars: the whole vocabulary."
        + (
            " T5 writes its answer with the decoder, so an encoder neuron's direction may not "
            "apply to it."
            if "decoder" in FAMILIES[lab.models.family(backbone)].stacks
            else " So is the transform that masked language models apply before the output layer."
        ),
    )
    answers.downloads("neuron-words", found.words, ("", figure))


def ends(rows: pd.DataFrame) -> None:
    """The examples with the highest and the lowest activation."""
    st.subheader("Highest- and lowest-activating texts", anchor=False)
    order = rows.sort_values("activation", ascending=False)
    columns = ["activation", "slot", "class", "text", "text_b", "margin"]
    if not (rows.text_b != "").any():
        columns.remove("text_b")
    wide: dict[str, Any] = {
        "text": st.column_config.TextColumn("Text", width="large"),
        "text_b": st.column_config.TextColumn("Second text", width="large"),
        "class": "Class",
        "activation": st.column_config.NumberColumn("Activation", format="%.2f"),
        "slot": st.column_config.NumberColumn(
            "Effect at this position", format="%+.2g",
            help="The margin minus the margin with the neuron set to 0 at its best position only.",
        ),
        "margin": st.column_config.NumberColumn("Margin", format="%+.2f"),
    }  # fmt: skip
    parts = {"Highest": order.head(ENDS), "Lowest": order.tail(ENDS)[::-1]}
    chosen_rows = list[int]()
    for title, part in parts.items():
        st.caption(title)
        name = f"{title.lower()}-{backbone}-{layer}-{neuron}-{task.name}-{seed}"
        listed = st.dataframe(
            part[columns], hide_index=True, width="stretch", column_config=wide, placeholder="",
            **example.listed(task, part.example.tolist(), name),
        )  # fmt: skip
        at = listed.selection.rows
        chosen_rows.append(int(part.example.iloc[at[0] if at and at[0] < len(part) else 0]))
    two_texts(*chosen_rows)


def two_texts(highest: int, lowest: int) -> None:
    """The neuron along two texts on one scale: the selected one of the highest, and the one that
    was picked on this page or another, or else the selected one of the lowest.
    """
    picked = example.picked(task)
    other = picked if picked not in (None, highest) else lowest
    along = {
        row: live.along(lab, chosen, example.texts(task, row), layer, neuron)
        for row in dict.fromkeys((highest, other)) if row is not None
    }  # fmt: skip
    ends = [0.0, *(end for t in along.values() for end in (t.activation.min(), t.activation.max()))]
    level = float(lab.stored(chosen).baseline[layer, neuron])
    look = answers.look(lab.models.names())
    st.markdown("**Where in the text does it fire?**")
    for (row, table), column in zip(along.items(), st.columns(2, gap="medium"), strict=False):
        with column, st.container(border=True):
            which = "high" if row == highest else "selected" if row == picked else "low"
            st.markdown(f"Example {row} ({which}{'' if which == 'selected' else ' activation'})")
            shaded.text(table, look.hue(backbone), max(ends))
            figure = charts.neuron_along(
                table, look, backbone=backbone, baseline=level, domain=[min(ends), max(ends)]
            )
            answers.chart(figure)
            answers.downloads(f"neuron-text-{which}", table, ("", figure))
    st.caption(
        "Activation at every position; the stronger the shade, the higher it is. Both texts share "
        "one scale. Dashed: the baseline at the neuron's best position.",
        help="Hover over a token, or tap it, to read its activation. Select a row above to see "
        "another text; a selected example stays selected on Flips and Playground.",
    )


def near() -> None:
    """Neurons with the most similar predictivities over tasks."""
    table = profiles.neighbours(lab.store, everywhere, layer, neuron)
    if len(table) < 2:
        return
    st.subheader("Which neurons are most similar?", anchor=False)
    clean = [t.name for t in controls.clean(found) if t.name in table]
    order = ["layer", "neuron", "difference", *clean]
    shown = answers.linked(table[order].assign(backbone=backbone), task=task.title, seed=seed)
    figures = st.column_config.NumberColumn(format="%.3f")
    columns: dict[str, Any] = {
        "url": st.column_config.LinkColumn("Open", display_text="open"),
        "layer": "Layer",
        "neuron": "Neuron",
        "difference": st.column_config.NumberColumn("Difference", format="%.3f"),
        **{titles[name]: figures for name in clean},
    }
    shown = shown.drop(columns="backbone").rename(columns=titles)
    shown.insert(0, "url", shown.pop("url"))
    st.dataframe(shown, hide_index=True, width="stretch", column_config=columns)
    st.caption(
        "Difference: root mean square of the differences between seed-mean predictivities over "
        "the tasks. The first row is the neuron itself."
    )
    answers.downloads("neuron-neighbours", table)


# What is seconds away starts by itself; tuning and measuring a prompt does not.
answers.show(
    (chosen, fires, alone), draw, name="neuron", what="results",
    start_at_once=not lab.missing([chosen]),
)  # fmt: skip
