"""Type a text and see what the backbones and their skill neurons predict."""

import random
import time

import pandas as pd
import streamlit as st

from core import charts
from core.base.errors import BadInput
from core.base.markdown import plain
from core.figures import playground
from core.lab import playground as live
from core.measures.predictivity import PredictivitySpec
from core.measures.reading import Play
from core.stats.neurons import Choose
from core.tasks import attacks, clean_task, data_stamp, familiar
from core.tasks.data import load_split
from pages.common import address, answers, controls, example

DRAWS = 3
SINGLES = 64  # neurons that are suppressed one at a time
LONGEST = 2000

answers.heading(
    "Playground",
    "Type some text to see each backbone's answer, the class that each skill neuron predicts, and "
    "whether the answer changes when neurons are suppressed or the text is attacked.",
)
lab = answers.lab()
one, two, three, four = controls.row(14, 5, 4, 7)
with one:
    backbones = controls.backbones(lab)
with two:
    task = controls.task(controls.origins(controls.ranked_set()))
    own = (p for b in backbones for p in controls.prompts(lab, b, [task]))
    seed = controls.one_seed(three, own)
    kind: Choose = address.bound(
        four.segmented_control, "Suppress", ["skill", "causal"], default="skill", key="which",
        required=True, format_func=lambda k: f"{k} neurons",
        help="Skill neurons have the highest predictivity, causal ones the highest attribution on "
        "train rows.",
    )  # fmt: skip


@st.cache_data(show_spinner=False)
def samples(name: str, fingerprint: str, picked: int | None) -> list[tuple[int, str, str, str]]:
    """A few examples to start from, the picked one first: row, text, second text, class."""
    assert name
    assert fingerprint
    rows = load_split(task, task.evaluation_split)
    chosen = random.Random(0).sample(range(len(rows)), min(8, len(rows)))
    first = [i for i, index in enumerate(rows.index) if index == picked]
    second = rows.text_b or ("",) * len(rows)
    return [
        (int(rows.index[i]), rows.text_a[i], second[i], task.labels[rows.labels[i]])
        for i in dict.fromkeys((*first, *chosen))
    ]


def put(texts: tuple[str, str]) -> None:
    """Fill the text fields."""
    st.session_state["text_a"], st.session_state["text_b"] = texts


def give(texts: tuple[str, str]) -> None:
    """Fill them with an example, which another example may replace."""
    st.session_state.pop("before", None)
    st.session_state["given"] = texts
    put(texts)


def fields() -> tuple[str, str]:
    """The contents of the text fields."""
    return str(st.session_state.get("text_a", "")), str(st.session_state.get("text_b", ""))


def typed_text() -> bool:
    """Whether the user typed a text: neither empty nor an example, attacked or not."""
    given = st.session_state.get("given", ("", ""))
    return any(text not in ("", example) for text, example in zip(fields(), given, strict=True))


def attacked() -> bool:
    """Whether the fields hold an attacked text, so that the attack can be undone."""
    return bool(fields() == st.session_state.get("before", {}).get("after"))


def take_pair() -> None:
    """A link from Flips brings a text before and after an attack: `clean_a` and `struck_a`, and
    those of a second text. It is one only as long as the fields hold what was struck.
    """
    clean, struck = (
        tuple(address.asked(f"{name}_{part}") for part in "ab") for name in ("clean", "struck")
    )
    if clean[0] and st.session_state.get("brought") != (clean, struck):
        st.session_state["brought"] = clean, struck
        st.session_state["before"] = {"texts": clean, "given": clean, "after": struck}


def say_pair() -> None:
    """The address says what was attacked, and into what, as long as the fields hold it."""
    before = st.session_state["before"] if attacked() else {}
    pair = before.get("texts", ("", "")), before.get("after", ("", ""))
    for name, texts in zip(("clean", "struck"), pair, strict=True):
        for part, text in zip("ab", texts, strict=True):
            address.put(f"{name}_{part}", text or None, chosen=False)
    st.session_state["brought"] = pair


def start() -> None:
    """Fill them with the chosen example, and clear the choice at once."""
    name, st.session_state[f"ex_{task.name}"] = st.session_state[f"ex_{task.name}"], None
    if name is not None:
        row, *two, _ = texts[names.index(name)]
        example.pick(task, row)
        st.session_state["played"] = task.name, row
        give((two[0], two[1]))


def undo() -> None:
    """The text as it was before the first of the attacks."""
    before = st.session_state.pop("before")
    st.session_state["given"] = before["given"]
    put(before["texts"])


def attack(way: attacks.Kind) -> None:
    """Attack the text (the second one of a pair), with a new draw at each click."""
    clicks = st.session_state["clicks"] = st.session_state.get("clicks", 0) + 1
    field = "text_b" if task.pair else "text_a"
    try:
        changed = attacks.perturb(st.session_state[field], way, random.Random(clicks))
        if len(changed) > LONGEST:
            raise BadInput(
                f"The attack {way!r} would make the text longer than {LONGEST:,} characters."
            )
    except BadInput as error:
        st.session_state["refused"] = str(error)
        return
    now, given = fields(), st.session_state.get("given", ("", ""))
    if not attacked():
        st.session_state["before"] = {"texts": now, "given": given}
    after = (now[0], changed) if task.pair else (changed, now[1])
    st.session_state["before"]["after"] = after
    if not typed_text():
        st.session_state["given"] = after
    put(after)


def specs(backbone: str) -> tuple[PredictivitySpec, ...]:
    """The ranking's measurements, the chosen seed's first."""
    found = controls.own_predictivities(lab, backbone, [task])
    first = task.contrasts()[0]
    return tuple(sorted(found, key=lambda s: (s.prompt.seed != seed, s.contrast != first)))


asked = {name: specs(name) for name in backbones}
causal = {
    name: controls.own_attributions(lab, name, task) if kind == "causal" else ()
    for name in backbones
}


@st.cache_data(show_spinner=False, max_entries=50)
def clearest(known: tuple[str, ...], _texts: list[tuple[int, str, str, str]]) -> int:
    """Which of these texts to begin with: the first that every measured backbone answers rightly
    and of which most of its skill neurons predict the right class; the first of all if there is
    none. `known`: the task's data and the measured backbones' questions.
    """
    ready = [b for b in backbones if asked[b] and not lab.missing(asked[b])]
    ranked = {b: playground.ranking(lab.store, asked[b]) for b in ready}
    if len(task.labels) != 2 or not ready:
        return 0

    def clear(backbone: str, first: str, second: str, right: str) -> bool:
        typed = first, second if task.pair else None
        answer = live.play(lab, asked[backbone], typed, share=0, draws=0)
        votes = playground.votes(answer, ranked[backbone], task.labels, backbone).vote
        given = task.labels[int(answer.reading.probabilities[0].argmax())]
        return given == right and bool((votes == right).mean() > 0.5)

    try:
        found = (i for i, (_, *row) in enumerate(_texts) if all(clear(b, *row) for b in ready))
        return next(found, 0)
    except BadInput:
        return 0


picked = example.picked(task)
texts = samples(task.name, data_stamp(task), picked)
if st.session_state.get("played") != (task.name, picked):
    st.session_state["played"] = task.name, picked
    st.session_state.pop("before", None)
    if not typed_text():
        known = (data_stamp(task), *sorted(lab.known([x for b in backbones for x in asked[b]])))
        give(texts[0 if picked is not None else clearest(known, texts)][1:3])
    elif task.pair and not st.session_state.get("text_b"):
        st.session_state["text_b"] = texts[0][2]
take_pair()
names = [f"{a[:70]}{' | ' + b[:60] if b else ''}  ({c})" for _, a, b, c in texts]
st.selectbox(
    "Start from", names, index=None, placeholder="choose an example", key=f"ex_{task.name}",
    on_change=start, help="The text shown first is one whose class the backbones, and most of "
    "their skill neurons, predict correctly, where there is one. Others may behave differently.",
)  # fmt: skip
address.bound(st.text_area, "Text", key="text_a", height=80, max_chars=LONGEST)
if task.pair:
    address.bound(st.text_area, "Second text", key="text_b", height=80, max_chars=LONGEST)
with st.container(horizontal=True, vertical_alignment="center"):
    st.markdown("Attack the text:", width="content")
    for way in attacks.KINDS:
        st.button(way, key=f"attack-{way}", on_click=attack, args=[way], icon=":material/bolt:")
    if attacked():
        st.button("undo", on_click=undo, icon=":material/undo:")
if refused := st.session_state.pop("refused", None):
    st.info(plain(refused))
say_pair()
typed = (st.session_state["text_a"], st.session_state["text_b"] if task.pair else None)


@st.cache_data(show_spinner=False, max_entries=20)
def train_texts(name: str, fingerprint: str) -> familiar.Familiar:
    """The words and lengths of the train texts of the task whose prompts are asked."""
    assert name
    assert fingerprint
    return familiar.of(load_split(clean_task(task), "train"))


if "train" in clean_task(task).splits:
    known_texts = train_texts(task.name, data_stamp(clean_task(task)))
    given = [text for text in typed if text and text.strip()]
    if differs := familiar.remark(known_texts, given, clean_task(task).title):
        st.caption(differs)


def draw() -> None:
    """The answers, then the skill neurons' predictions, then the model input."""
    look = answers.look(lab.models.names())
    ready = [b for b in backbones if asked[b] and not lab.missing((*asked[b], *causal[b]))]
    for name in backbones:
        if not asked[name]:
            controls.no_prompt(task, name)
        elif name not in ready:
            st.caption(f"The neurons of {plain(name)} have not been measured yet.")
    if not all(text.strip() for text in typed if text is not None):
        st.info("Type a text first.")
        address.unfinished()
    elif ready:
        with answers.shown_errors():
            said(ready, look)
            for name, column in zip(ready, answers.beside(ready), strict=True):
                with column, st.container(border=True):
                    votes(name, look)


@st.fragment
def said(names: list[str], look: charts.Look) -> None:
    """Class probabilities, in a fragment, so that the slider redraws nothing else."""
    share = address.bound(
        st.slider, f"Suppressed {kind} neurons, % of each layer", 0, 50, 0, key="off"
    )
    for name, column in zip(names, answers.beside(names), strict=True):
        with column, st.container(border=True), answers.shown_errors(), charts.quickly():
            st.subheader(plain(name), anchor=False)
            if (shown := asked[name][0].prompt.seed) != seed:
                st.caption(f"There is no prompt with seed {seed}; seed {shown} is shown.")
            started = time.perf_counter()
            answer = live.play(
                lab, asked[name], typed, share=share / 100, draws=DRAWS, causal=causal[name]
            )
            took = time.perf_counter() - started
            table = playground.probabilities(answer, task.labels, kind)
            if attacked():
                first, second = st.session_state["before"]["texts"]
                clean = live.play(
                    lab, asked[name], (first, second if task.pair else None), share=0, draws=0
                )
                table = playground.with_clean(
                    table, playground.probabilities(clean, task.labels, kind)
                )
            figure = charts.probabilities(table, look, classes=task.labels)
            answers.chart(figure)
            st.caption(
                "Softmax over the answer words; dotted line: chance."
                + (
                    f" Random: mean of {DRAWS} draws of as many neurons; line: their range."
                    if share
                    else ""
                )
                + f" Computed in {1000 * took:.0f} ms."
            )
    address.follow()


def votes(name: str, look: charts.Look) -> None:
    """The classes that the skill neurons predict, and the input layout."""
    answer = live.play(lab, asked[name], typed, share=0, draws=0)
    if len(task.labels) == 2:
        table = playground.votes(
            answer, playground.ranking(lab.store, asked[name]), task.labels, name
        )
        counts = table.vote.value_counts()
        tally = ", ".join(f"{counts.get(c, 0)} {plain(c)}" for c in task.labels)
        st.markdown(
            f"**Classes predicted by the {len(table)} skill neurons of {plain(name)}** (top 5% "
            f"of each layer): {tally}"
        )
        shown = answers.linked(
            playground.loudest(table), task=task.title, seed=asked[name][0].prompt.seed
        )
        figure = charts.votes(shown, look, classes=task.labels)
        answers.chart(figure)
        said_by(answer, counts, name)
        st.caption(
            "The 16 neurons furthest from their baselines. Above its baseline, a neuron predicts "
            "the class it fires for; below, the other class.",
            help="Each neuron at its best position; click a bar to open it. The counts weigh all "
            "skill neurons equally. The model's answer need not follow the majority of its skill "
            "neurons.",
        )
        answers.downloads(f"votes-{name}", table, ("", figure))
    single(name)
    with st.expander("Model input, position by position"):
        slots = pd.DataFrame(live.layout(lab, asked[name][0], typed))
        st.dataframe(
            slots.dropna(axis="columns", how="all"), hide_index=True, width="stretch", height=260,
            column_config={"position": "Position", "token": "Token", "kind": "Kind",
                           "position_id": "Position id"},
        )  # fmt: skip


def said_by(answer: Play, counts: "pd.Series[int]", name: str) -> None:
    """Where most skill neurons predict another class than the model gives, say so."""
    given = task.labels[int(answer.reading.probabilities[0].argmax())]
    rest = int(counts.sum() - counts.get(given, 0))
    if 2 * rest > counts.sum():
        st.markdown(
            f"{plain(name)} answers **{plain(given)}**, although {rest} of its {counts.sum()} "
            "skill neurons predict another class: neurons that predict the answer need not "
            "cause it."
        )


def single(name: str) -> None:
    """Show which single neurons the answer hangs on, when someone wants to know."""
    box = address.bound(
        st.expander, "Does any single neuron change this answer?", key=f"single-{name}",
        on_change="rerun",
    )  # fmt: skip
    if not box.open:
        return
    with box:
        found = lab.alone(asked[name][0], typed, SINGLES)
        table = playground.alone(found, task.labels, name)
        flips = int(table.flips.sum())
        st.markdown(
            f"Of the {len(table)} neurons with the highest attribution to this answer, "
            f"**{flips}** change it when suppressed one at a time. The table lists the 8 with the "
            "largest effect."
        )
        shown = answers.linked(table.head(8), task=task.title, seed=asked[name][0].prompt.seed)
        st.dataframe(
            shown[["url", "layer", "neuron", "attribution", "probability", "answer"]],
            hide_index=True, width="stretch", column_config={
                "url": st.column_config.LinkColumn("Open", display_text="open"),
                "attribution": st.column_config.NumberColumn(format="%.2f"),
                "probability": st.column_config.NumberColumn(
                    "probability without it", format="%.3f"
                ),
                "answer": "answer without it",
            },
        )  # fmt: skip
        said = int(found.unmodified.argmax())
        st.caption(
            f"Without suppression: {plain(task.labels[said])}, probability "
            f"{found.unmodified[said]:.3f}. Attribution is measured on this text, in logits."
        )
        answers.downloads(f"single-{name}", table)


everything = tuple(s for b in backbones for s in (*asked[b], *causal[b]))
answers.show(everything, draw, name="playground", what="measurements")
