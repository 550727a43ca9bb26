"""Type a sentence and watch the neurons vote."""

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
from core.tasks import attacks, data_stamp
from core.tasks.data import load_split
from pages.common import answers, controls

DRAWS = 3
LONGEST = 2000

answers.heading(
    "Playground",
    "Type a text: how sure is each backbone, which skill neurons vote for which class, and does "
    "the answer hold when they are switched off, or when the text is attacked?",
)
lab = answers.lab()
left, right = st.columns([2, 2], gap="medium")
with left:
    backbones = controls.backbones(lab)
with right:
    task = controls.task(controls.clean(controls.task_set()))
    seed = controls.one_seed(st, (p for b in backbones for p in controls.prompts(lab, b, [task])))


@st.cache_data(show_spinner=False)
def samples(name: str, fingerprint: str) -> list[tuple[str, str, str]]:
    """A few examples to start from: text, second text, class."""
    assert name
    assert fingerprint
    rows = load_split(task, task.evaluation_split)
    chosen = random.Random(0).sample(range(len(rows)), min(8, len(rows)))
    second = rows.text_b or ("",) * len(rows)
    return [(rows.text_a[i], second[i], task.labels[rows.labels[i]]) for i in chosen]


def put(texts: tuple[str, str]) -> None:
    """Fill the text fields."""
    st.session_state["text_a"], st.session_state["text_b"] = texts


def give(texts: tuple[str, str]) -> None:
    """Fill them with an example, which may give way to another."""
    st.session_state.pop("before", None)
    st.session_state["given"] = texts
    put(texts)


def fields() -> tuple[str, str]:
    """What stands in the text fields."""
    return str(st.session_state.get("text_a", "")), str(st.session_state.get("text_b", ""))


def typed_text() -> bool:
    """Whether a person wrote something: neither nothing nor an example, attacked or not."""
    given = st.session_state.get("given", ("", ""))
    return any(text not in ("", example) for text, example in zip(fields(), given, strict=True))


def attacked() -> bool:
    """Whether the fields hold what an attack made of a text, so that it can be undone."""
    return bool(fields() == st.session_state.get("before", {}).get("after"))


def start() -> None:
    """Fill them with the chosen example; the choice is free again at once."""
    name, st.session_state[f"ex_{task.name}"] = st.session_state[f"ex_{task.name}"], None
    if name is not None:
        give(texts[names.index(name)][:2])


def undo() -> None:
    """The text as it was before the first of the attacks."""
    before = st.session_state.pop("before")
    st.session_state["given"] = before["given"]
    put(before["texts"])


def attack(kind: str) -> None:
    """Change the text (of a pair the second) as an adversary would, anew at each click."""
    clicks = st.session_state["clicks"] = st.session_state.get("clicks", 0) + 1
    field = "text_b" if task.pair else "text_a"
    try:
        changed = attacks.perturb(st.session_state[field], kind, random.Random(clicks))
        if len(changed) > LONGEST:
            raise BadInput(f"The attack {kind!r} would make the text longer than {LONGEST:,}.")
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


texts = samples(task.name, data_stamp(task))
if st.session_state.get("played") != task.name:
    st.session_state["played"] = task.name
    st.session_state.pop("before", None)
    if not typed_text():
        give(texts[0][:2])
    elif task.pair and not st.session_state.get("text_b"):
        st.session_state["text_b"] = texts[0][1]
names = [f"{a[:70]}{' | ' + b[:60] if b else ''}  ({c})" for a, b, c in texts]
st.selectbox(
    "Start from", names, index=None, placeholder="an example", key=f"ex_{task.name}",
    on_change=start,
)  # fmt: skip
st.text_area("Text", key="text_a", height=80, max_chars=LONGEST, bind="query-params")
if task.pair:
    st.text_area("Second text", key="text_b", height=80, max_chars=LONGEST, bind="query-params")
with st.container(horizontal=True, vertical_alignment="center"):
    for kind in attacks.KINDS:
        st.button(kind, key=f"attack-{kind}", on_click=attack, args=[kind], icon=":material/bolt:")
    if attacked():
        st.button("undo", on_click=undo, icon=":material/undo:")
if refused := st.session_state.pop("refused", None):
    st.info(plain(refused))
typed = (st.session_state["text_a"], st.session_state["text_b"] if task.pair else None)


def specs(backbone: str) -> tuple[PredictivitySpec, ...]:
    """The ranking, the chosen seed's measurement first."""
    found = controls.own_predictivities(lab, backbone, [task])
    first = task.contrasts()[0]
    return tuple(sorted(found, key=lambda s: (s.prompt.seed != seed, s.contrast != first)))


asked = {name: specs(name) for name in backbones}


def draw() -> None:
    """What the model says, live; then who votes for what, and what it sees."""
    look = answers.look(lab.models.names())
    ready = [name for name in backbones if asked[name] and not lab.missing(asked[name])]
    for name in backbones:
        if not asked[name]:
            st.info(
                f"There is no prompt of {plain(task.title)} for {plain(name)} yet: tune or import "
                "one."
            )
        elif name not in ready:
            st.caption(f"The neurons of {plain(name)} are not measured yet.")
    if not all(text.strip() for text in typed if text is not None):
        st.info("There is nothing to read: type a text.")
    elif ready:
        with answers.shown_errors():
            said(ready, look)
            for name, column in zip(ready, answers.beside(ready), strict=True):
                with column, st.container(border=True):
                    votes(name, look)


@st.fragment
def said(names: list[str], look: charts.Look) -> None:
    """Class probabilities. A fragment: the slider redraws nothing else."""
    share = st.slider(
        "Neurons switched off, % of each layer", 0, 50, 0, key="off", bind="query-params"
    )
    for name, column in zip(names, answers.beside(names), strict=True):
        with column, st.container(border=True), answers.shown_errors(), charts.quickly():
            st.subheader(plain(name), anchor=False)
            if asked[name][0].prompt.seed != seed:
                st.caption(f"No prompt of seed {seed}: seed {asked[name][0].prompt.seed} is shown.")
            started = time.perf_counter()
            answer = live.play(lab, asked[name], typed, share=share / 100, draws=DRAWS)
            took = time.perf_counter() - started
            figure = charts.probabilities(
                playground.probabilities(answer, task.labels), look, classes=task.labels
            )
            st.altair_chart(figure, width="stretch", theme=None)
            st.caption(
                "Softmax over the answer words; dotted: chance."
                + (
                    f" Random: mean of {DRAWS} draws of as many neurons; line: their range."
                    if share
                    else ""
                )
                + f" Read in {1000 * took:.0f} ms."
            )


def votes(name: str, look: charts.Look) -> None:
    """The skill neurons' votes, and the layout."""
    answer = live.play(lab, asked[name], typed, share=0, draws=0)
    if len(task.labels) == 2:
        table = playground.votes(
            answer, playground.ranking(lab.store, asked[name]), task.labels, name
        )
        counts = table.vote.value_counts()
        tally = ", ".join(f"{counts.get(c, 0)} for {plain(c)}" for c in task.labels)
        st.markdown(
            f"**Votes of the {len(table)} skill neurons of {plain(name)}** (top 5 % of each "
            f"layer): {tally}"
        )
        shown = answers.linked(
            playground.loudest(table), task=task.title, seed=asked[name][0].prompt.seed
        )
        figure = charts.votes(shown, look, classes=task.labels)
        st.altair_chart(figure, width="stretch", theme=None)
        st.caption(
            "The 16 furthest from their baseline at their best position. A neuron above its "
            "baseline votes for the class it fires for, one below for the other. All votes count "
            "alike, and the model need not follow them. Click a bar to open the neuron."
        )
        answers.downloads(f"votes-{name}", table, ("", figure))
    with st.expander("What the model sees, position by position"):
        slots = pd.DataFrame(live.layout(lab, asked[name][0], typed))
        st.dataframe(
            slots.dropna(axis="columns", how="all"), hide_index=True, width="stretch", height=260
        )


everything = tuple(s for found in asked.values() for s in found)
answers.show(everything, draw, name="playground", what="measurements")
