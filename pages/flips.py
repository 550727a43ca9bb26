"""Which examples change their answer under attack, and which neurons move on one of them?"""

from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Any

import pandas as pd
import streamlit as st

from core import charts
from core.base.markdown import plain
from core.figures import playground, words
from core.figures.robustness import flips
from core.lab import playground as live
from core.measures import sweeps
from core.measures.predictivity import PredictivitySpec
from core.tasks.attacks import Attack, attacked, doses_of
from core.tasks.data import load_split
from pages.common import about, address, answers, controls, example, views, warnings

SURE = 0.05  # the p-value below which backbones differ
MOVED = 8  # neurons in the table
EVERY = "all examples"

answers.heading(
    "Flips",
    "Each example is classified twice: once clean and once attacked. An answer flips if it is "
    "right on the clean text and wrong on the attacked one. Choose an example to see which skill "
    "neurons change most.",
)
lab = answers.lab()
left, middle, right = controls.row(6, 3, 3)
with left:
    backbones = controls.backbones(lab)
    kind = controls.attack_kind()
with middle:
    task = controls.task(controls.origins(controls.ranked_set()))
    seed = controls.one_seed(st, (p for b in backbones for p in controls.prompts(lab, b, [task])))
with right:
    doses = doses_of(kind)
    dose = address.only("dose", doses[0]) if len(doses) == 1 else address.bound(
        st.select_slider, "Edits per text", doses, value=doses[0], key="dose"
    )  # fmt: skip
how = Attack(kind=kind, dose=dose)
edits = f"{dose} {controls.EDITS[kind] if dose > 1 else kind}"
about.note(attack=f"{edits} per text")
split = task.evaluation_split
clean = load_split(task, split)
struck = attacked(clean, how)


def pair(backbone: str) -> flips.Pair | None:
    """The two questions; None without a prompt of this seed."""
    found = [p for p in controls.prompts(lab, backbone, [task]) if p.seed == seed]
    place = lab.pin(task, backbone), split
    return None if not found else flips.Pair(
        clean=sweeps.own_evaluation(found[0], *place),
        attacked=sweeps.own_evaluation(found[0], *place, attack=how),
    )  # fmt: skip


asked = {b: both for b in backbones if (both := pair(b)) is not None}
for name in (b for b in backbones if b not in asked):
    controls.no_prompt(task, name, seed)
if not asked:
    address.end()
shown = list(asked)


def filters(table: pd.DataFrame) -> dict[str, "pd.Series[Any]"]:
    """What can be listed, by name: which rows of the table."""
    flip = {b: table[b] == flips.FLIPS for b in shown}
    found = {EVERY: table.example >= 0}
    for b in shown:
        found[f"flips for {b}"] = flip[b]
    for b in shown:
        for other in (o for o in shown if o != b):
            found[f"flips for {b}, stays right for {other}"] = flip[b] & (
                table[other] == flips.HOLDS
            )
    return found


def finding(table: pd.DataFrame) -> None:
    """How many right answers the attack flips, and how two backbones compare."""
    flipped = []
    for name in shown:
        right = table[name].isin((flips.HOLDS, flips.FLIPS)).sum()
        flipped.append(
            f"**{(table[name] == flips.FLIPS).sum()}** of {plain(name)}'s {right} right answers"
        )
    said = f"The attack flips {' and '.join(flipped)}."
    if len(shown) != 2:
        st.markdown(said)
        return
    one, other = shown
    found = flips.compared(table, one, other)
    more = one if found["first"] > found["second"] else other
    lead = "No clear difference between the backbones"
    if found["p"] < SURE:
        lead = f"The attack flips more answers of {plain(more)}"
    st.markdown(
        f"**{lead}** ({words.p_value(found['p'])}). {said}",
        help=f"Exact McNemar test on the {found['n']:.0f} examples that both backbones answer "
        f"correctly when clean: {found['first']:.0f} of them flip for {plain(one)} only, "
        f"{found['second']:.0f} for {plain(other)} only, {found['both']:.0f} for both.",
    )


def draw() -> None:
    """The shares, the list of examples, and one of them in detail."""
    table = flips.examples(lab.store, asked, clean, struck, task.labels)
    if table.empty:
        answers.nothing("The examples appear here once all evaluations have been computed.")
    look = answers.look(lab.models.names())
    figure = charts.answer_states(
        flips.states(table, shown), look, backbones=shown, states=flips.STATES
    )
    with st.container(border=True):
        finding(table)
        answers.chart(figure)
        st.caption(
            f"{plain(task.title)}, {split} split, {len(table)} examples, one prompt per backbone "
            f"(seed {seed}), {edits} per text.",
            help="Stays right: right on both texts. Flips: right on the clean text only. Stays "
            "wrong: wrong on both. Turns right: right on the attacked text only.",
        )
    about.note(examples=len(table))
    row = chosen(table)
    answers.downloads("flips", table, ("", figure))
    if row is not None:
        detail(row, look)


def chosen(table: pd.DataFrame) -> Any:
    """The list of examples, and the one that is selected in it: the first, unless told."""
    known = filters(table)
    names, picked = list(known), example.picked(task)
    seen = picked is None or picked in table.example[known[names[1]]].tolist()
    only = address.bound(
        st.selectbox, "Show", names, index=1 if seen else 0, key="only",
    )  # fmt: skip
    rows = table[known[only]].reset_index(drop=True)
    st.caption(f"{len(rows)} of {len(table)} examples.")
    if rows.empty:
        st.info("There are no such examples. Choose another attack, number of edits or group.")
        return None
    columns: dict[str, Any] = {
        "example": st.column_config.NumberColumn("Example", width=70), "label": "True class",
        "text_a": st.column_config.TextColumn("Clean text", width="medium"),
        "attacked_a": st.column_config.TextColumn("Attacked text", width="medium"),
        "text_b": st.column_config.TextColumn("Clean second text", width="medium"),
        "attacked_b": st.column_config.TextColumn("Attacked second text", width="medium"),
        **{f"{b} {way}": f"{b}, {way}" for b in shown for way in ("clean", "attacked")},
    }  # fmt: skip
    picked = st.dataframe(
        rows.drop(columns=shown), hide_index=True, width="stretch", height=260,
        column_config=columns,
        **example.listed(
            task, rows.example.tolist(),
            f"rows-{task.name}-{only}-{kind}-{dose}-{seed}-{'-'.join(shown)}",
        ),
    )  # fmt: skip
    return next(rows.iloc[[first_of(picked.selection.rows, len(rows))]].itertuples(index=False))


def first_of(selected: Sequence[int], rows: int) -> int:
    """The selected row, or the first; a table may have lost rows since it was selected."""
    return selected[0] if selected and selected[0] < rows else 0


def texts_of(row: Any, *, struck: bool) -> tuple[str, str | None]:
    """The clean or the attacked texts of a row."""
    first, second = ("attacked_a", "attacked_b") if struck else ("text_a", "text_b")
    return getattr(row, first), getattr(row, second, None)


def detail(row: Any, look: charts.Look) -> None:
    """One example: the texts, the neurons that move most, and one of them along both texts."""
    st.subheader(f"Example {row.example}", anchor=False)
    both = {"Clean": texts_of(row, struck=False), "Attacked": texts_of(row, struck=True)}
    for (title, texts), column in zip(both.items(), st.columns(2, gap="medium"), strict=True):
        with column, st.container(border=True):
            st.markdown(f"**{title}:** {marked(both['Clean'], texts)}")
    params = {"task": task.title, "seed": str(seed)}
    for name, texts in (
        ("clean", both["Clean"]), ("struck", both["Attacked"]), ("text", both["Attacked"]),
    ):  # fmt: skip
        params |= {
            f"{name}_{part}": t for part, t in zip("ab", texts, strict=True) if t is not None
        }
    views.to("playground", "Open this pair in Playground", params, ":material/edit_note:")
    for name, column in zip(shown, answers.beside(shown), strict=True):
        with column, st.container(border=True), answers.shown_errors():
            st.markdown(f"**{plain(name)}**: which skill neurons change most?")
            ranked = measured(name)
            if lab.missing(ranked):
                st.caption(
                    "Its neurons have not been measured yet. Measure them on the Predictivity page."
                )
                continue
            neurons(name, ranked, both["Clean"], both["Attacked"], look)


def marked(clean: tuple[str, str | None], texts: tuple[str, str | None]) -> str:
    """Texts in Markdown, with the words in bold that the clean ones do not have there."""
    parts = []
    for before, after in zip(clean, texts, strict=True):
        if before is None or after is None:
            continue
        old, new = before.split(), after.split()
        for how, _, _, start, end in SequenceMatcher(a=old, b=new, autojunk=False).get_opcodes():
            said = plain(" ".join(new[start:end]))
            parts.append(f"**{said}**" if said and how != "equal" else said)
        parts.append("|")
    return " ".join(p for p in parts[:-1] if p)


def measured(name: str) -> tuple[PredictivitySpec, ...]:
    """The task's predictivities, the chosen seed's first."""
    found = controls.own_predictivities(lab, name, [task])
    return tuple(
        sorted(found, key=lambda s: (s.prompt.seed != seed, s.contrast != task.contrasts()[0]))
    )


def neurons(
    name: str,
    ranked: tuple[PredictivitySpec, ...],
    before: tuple[str, str | None],
    after: tuple[str, str | None],
    look: charts.Look,
) -> None:
    """The neurons that move most, and the first or the chosen one along both texts."""
    one, other = (live.play(lab, ranked, texts, share=0, draws=0) for texts in (before, after))
    ranking = playground.ranking(lab.store, ranked)
    table = flips.moved(one, other, ranking, task.sides(ranked[0].contrast), name)
    turned = int(table.turned.sum())
    st.markdown(f"The attack changes the prediction of **{turned}** of {len(table)} skill neurons.")
    top = answers.linked(table.head(MOVED), task=task.title, seed=seed)
    picked = st.dataframe(
        top.assign(predicts=top.vote + " \N{RIGHTWARDS ARROW} " + top.vote_attacked)[
            ["name", "clean", "attacked", "moved", "predicts", "url"]
        ],
        hide_index=True, width="stretch", on_select="rerun", selection_mode="single-row-required",
        key=f"moved-{name}-{task.name}-{seed}-{before}-{after}",
        column_config={
            "name": "Neuron",
            "predicts": st.column_config.TextColumn(
                "Predicts",
                help="The class that the neuron predicts on the clean text, then on the attacked "
                "one.",
            ),
            "clean": st.column_config.NumberColumn("Clean", format="%.2f"),
            "attacked": st.column_config.NumberColumn("Attacked", format="%.2f"),
            "moved": st.column_config.NumberColumn("Change", format="%+.2f"),
            "url": st.column_config.LinkColumn("Open", display_text="open"),
        },
    )  # fmt: skip
    best: Any = next(top.iloc[[first_of(picked.selection.rows, len(top))]].itertuples(index=False))
    place = int(best.layer), int(best.neuron)
    along = [live.along(lab, ranked[0], texts, *place) for texts in (before, after)]
    ends = [*(t.activation.min() for t in along), *(t.activation.max() for t in along), 0.0]
    for title, rows in zip(("clean", "attacked"), along, strict=True):
        figure = charts.neuron_along(
            rows, look, backbone=name, baseline=float(best.baseline), domain=[min(ends), max(ends)]
        )
        st.caption(f"Neuron {best.name} on the {title} text")
        answers.chart(figure)
    st.caption(
        "Table: activation at each neuron's best position. Charts: the selected neuron at every "
        "position; dashed: its baseline.",
        help="Above its baseline, a neuron predicts the class it fires for; below it, the other "
        "class. Select a row to see another neuron.",
    )


everything = tuple(s for both in asked.values() for s in (both.clean, both.attacked))
answers.show(everything, draw, name="flips", what="evaluations", start_at_once=not lab.missing(
    [both.clean for both in asked.values()]
))  # fmt: skip
warnings.origins(both.clean.prompt for both in asked.values())
