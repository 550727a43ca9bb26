"""Tune a soft prompt and follow its loss and accuracy."""

import pandas as pd
import streamlit as st

from core import charts
from core.base.markdown import plain
from core.base.prompts import Prompt
from core.base.settings import PLAIN
from core.base.specs import key
from core.figures import queries
from core.figures.starts import convergence as convergence_of
from core.figures.starts import histories, sentence, speed
from core.measures import projections, sweeps
from core.measures.tuning import Init, TuneSpec
from core.tasks import Task, Text
from core.tasks.metrics import TITLES
from pages.common import about, address, answers, controls, warnings

answers.heading(
    "Tuning",
    "Only the prompt's vectors are trained; the backbone stays frozen. The loss should decrease, "
    "and the accuracy on examples held out from training should be above chance (dotted line).",
)
lab = answers.lab()
one, two, three, four = controls.row(1, 1, 1, 1)
with one:
    backbone = controls.one_backbone(lab, st)
    every = controls.clean(controls.task_set())
    found = controls.answered_by(lab, backbone, every)
    if not found:
        st.info(controls.CANNOT_WRITE.format(plain(backbone)))
        address.end()
    task = controls.task(found)
family = lab.models.family(backbone)
seed = address.bound(two.number_input, "Seed", 0, 10_000, 0, key="seed")
usual = sweeps.tuning_defaults(lab.models.pin(backbone))
kind = "" if usual is sweeps.EMBEDDED_DEFAULTS else "_paper"  # each kind keeps its own values
length = address.bound(
    two.number_input, "Prompt length", 1, 512, usual.prompt_length, key=f"length{kind}"
)
steps = address.bound(three.number_input, "Steps", 1, 50_000, usual.steps, key=f"steps{kind}")
exact = lab.models.precision(backbone)
precision = address.bound(
    one.segmented_control, "Precision", controls.PRECISIONS, default=exact, key=f"precision{kind}",
    help="Precision of the backbone. bf16 halves the memory and is fast on a "
    "GPU; fp64 is exactly reproducible. Prompts of the built-in backbones are measured in fp64, "
    "others in the precision in which they were tuned.",
) or exact  # fmt: skip


def standard(name: str, of: Task) -> list[TuneSpec]:
    """The standard prompts of a backbone and a task."""
    return controls.standard(lab, name, [of])


def called(other: str) -> str:
    """What the start from this task's projected prompts of another backbone is called."""
    return f"projected from {other}"


def sources() -> dict[str, list[Prompt]]:
    """Prompts to start from, a list over the standard seeds by what they are called: those of other
    tasks, and those of this task on other backbones, projected.
    """
    known: dict[str, list[Prompt]] = {
        titles[t.name]: [*standard(backbone, t)] for t in classes if t.name != task.name
    }
    for other in (n for n in lab.models.names() if n != backbone and task.labels):
        if here := projections.projected_starts(standard, other, backbone, task, classes):
            known[called(other)] = [*here]
    return known


classes = [t for t in controls.with_built_in(found) if t.labels]
titles = controls.titles(classes)
others = sources()
inits: dict[str, Init] = {i: i for i in (controls.INITS if task.labels else controls.INITS[:2])}
begin = address.bound(
    three.selectbox, "Start from", [*inits, *others], key="init",
    help="Vocabulary: embeddings of random tokens. Random: Gaussian noise with the spread "
    "of the word embeddings. Labels: the answer words. Tuning can also start from a prompt with "
    "this seed and the default length: another task's, or this task's projected from another "
    "backbone.",
)  # fmt: skip
rate = address.bound(
    four.number_input, "Learning rate", 0.0001, 1.0, usual.learning_rate[family], format="%.4f",
    key=f"rate_{family}{kind}",
)  # fmt: skip
batch = address.bound(four.number_input, "Batch size", 1, 128, usual.batch_size, key=f"batch{kind}")

start = others[begin][0].reseeded(int(seed)) if begin in others else None
spec = sweeps.standard_prompt(
    lab.models.pin(backbone),
    family,
    lab.pin(task, backbone),
    int(seed),
    prompt_length=start.prompt_length if start is not None else int(length),
    init=inits.get(begin),
    start=start,
    steps=int(steps),
    learning_rate=float(rate),
    batch_size=int(batch),
    selection=lab.selection(task),
    precision=precision,
)
about.note(seed=int(seed))


def history() -> pd.DataFrame:
    """The steps so far, running or stored."""
    stored = queries.tuning_history(lab.store, key(spec))
    if len(stored):
        return stored
    live = [(s.step, s.loss, s.accuracy) for s in lab.live(spec)]
    return pd.DataFrame(live, columns=["step", "loss", "accuracy"]).astype(float)


def draw() -> None:
    """Loss and accuracy, and the tuned prompt."""
    table = history()
    if table.empty:
        answers.nothing("Loss and accuracy appear here. A short run takes well under a minute.")
    look = answers.look(lab.models.names())
    loss = charts.tuning_loss(table, look, backbone=backbone, steps=int(steps))
    metric = TITLES[task.answer.metric] if isinstance(task.answer, Text) else "accuracy"
    accuracy = charts.tuning_accuracy(
        table, look, backbone=backbone, steps=int(steps), metric=metric,
        chance=1 / len(task.labels) if task.labels else None,
    )  # fmt: skip
    prompt = lab.store.read(spec)
    if prompt is not None:
        st.markdown(
            f"**Best {metric}: {prompt.selection_accuracy:.3f}**, at step {prompt.best_step}, on "
            f"{prompt.selection_rows} selection rows held out from the train split."
        )
    with st.container(border=True):
        st.subheader(f"{plain(task.title)}, {plain(backbone)}", anchor=False)
        answers.chart(loss)
        answers.chart(accuracy)
    if prompt is not None:
        st.caption(
            f"[This prompt in detail](prompt?key={key(spec)}). Change the seed or any "
            "other setting to tune another one."
        )
    answers.downloads("tuning", table, ("loss", loss), ("accuracy", accuracy))


begun = address.asked("start") == key(spec)  # a link that asks for exactly this prompt
answers.show((spec,), draw, name="tuning", what="prompt", start_at_once=begun)
warnings.shared([task], [task])
controls.cannot_write(lab, backbone, every)


def compared() -> dict[str, tuple[TuneSpec, ...]]:
    """Every start that is chosen to be compared, over the standard seeds."""
    known = [t for t in classes if titles[t.name] in others]
    usual = [titles[t.name] for t in sweeps.usual_sources(task, known)]
    usual += [name for name in others if name in map(called, PLAIN)]
    chosen = address.bound(
        st.multiselect, "Prompts to start from", list(others), default=usual, key="starts",
    ) if others else []  # fmt: skip
    return sweeps.starts(standard(backbone, task), {name: others[name] for name in chosen})


def convergence(starts: dict[str, tuple[TuneSpec, ...]]) -> None:
    """Accuracy by step from each start, and how many steps it saves."""
    runs = histories(lab.store, starts)
    if runs.empty:
        answers.nothing("Curves appear here, one line per start.")
    names = [s for s in starts if (runs.start == s).any()]
    figure = charts.convergence(
        convergence_of(runs), answers.look(names), starts=names,
        steps=int(runs.step.max()), chance=1 / len(task.labels),
    )  # fmt: skip
    saved = speed(runs)
    if said := sentence(saved):
        st.markdown(said)
    answers.chart(figure)
    st.dataframe(
        saved, hide_index=True, width="stretch",
        column_config={
            "start": "Start", "best": st.column_config.NumberColumn("Best accuracy", format="%.3f"),
            "steps": st.column_config.NumberColumn("Steps to target", format="%.0f"),
            "plain": st.column_config.NumberColumn("Vocabulary: steps to target", format="%.0f"),
            "reached": "Runs at target", "runs": "Runs",
            "speedup": st.column_config.NumberColumn("Speed-up (all runs)", format="%.2f"),
            "low": st.column_config.NumberColumn("95% from", format="%.2f"),
            "high": st.column_config.NumberColumn("95% to", format="%.2f"),
        },
    )  # fmt: skip
    st.caption(
        f"{plain(task.title)}, {controls.count(saved.runs)} seeds per start. Target: "
        "98% of the best accuracy of the vocabulary run with the same seed.",
        help="Means over seeds; bands: range of the runs; dotted: chance. A start from another "
        "task's prompt has a fresh optimiser and the same batches. Speed-up: ratio of steps, "
        "geometric mean with a 95% t interval over seeds; a run that misses the target counts "
        "with its last step, so the speed-up is then an upper bound. Steps to target: mean over "
        "the runs that reach it. Projected: that backbone's prompt for this task, through the "
        "Projection page's default projector.",
    )
    with st.container(horizontal=True):
        answers.downloads("tuning-starts", runs, ("", figure), label="Runs")
        answers.downloads("tuning-speed", saved, label="Speed-up")


if task.labels:
    st.subheader("Is another prompt a better starting point?", anchor=False)
    all_starts = compared()
    asked = tuple(s for runs in all_starts.values() for s in runs)
    answers.show(asked, lambda: convergence(all_starts), name="starts", what="tuning runs")
