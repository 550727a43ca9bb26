"""One soft prompt: where it works, which words are near it, and what each of its vectors does."""

from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core import charts
from core.base.markdown import plain
from core.base.prompts import Prompt
from core.base.specs import key
from core.figures import prompt as figures
from core.figures import queries, written
from core.figures import words as numbers
from core.measures import sweeps
from core.measures.dropped import DroppedSpec
from core.measures.nearest import METRICS, NearestSpec
from core.tasks import Task, load_task
from core.tasks.data import load_split
from core.tasks.metrics import TITLES
from pages.common import about, address, answers, controls, sharing, warnings

NONE = "none"
ROWS = 256  # on which a prompt in words is compared
CLEAR = 0.05  # below which a vector's effect is counted
lab = answers.lab()


@dataclass(frozen=True, kw_only=True)
class View:
    """A prompt, the backbone's name here, its task, the tasks on which it is evaluated, and all
    of their set.
    """

    prompt: Prompt
    backbone: str
    task: Task
    targets: list[Task]
    every: list[Task]


def standard(one: DeltaGenerator, two: DeltaGenerator, three: DeltaGenerator) -> View | None:
    """The standard prompt, or the imported one, of a backbone, task and seed."""
    backbone = controls.one_backbone(lab, one)
    with two:
        controls.prompt_kind(lab, [backbone])
        every = controls.task_set()
        targets = controls.answered_by(lab, backbone, every)
        if not controls.clean(targets):
            st.info(controls.CANNOT_WRITE.format(plain(backbone)))
            return None
        task = controls.task(controls.clean(targets))
    mine = controls.prompts(lab, backbone, [task])
    if not mine:
        controls.no_prompt(task, backbone)
        return None
    seed = controls.one_seed(three, mine)
    prompt = next(p for p in mine if p.seed == seed)
    return View(prompt=prompt, backbone=backbone, task=task, targets=targets, every=every)


def by_key(name: str) -> View:
    """Any stored prompt. Raises: BadInput, UnknownName."""
    prompt = lab.prompt_named(name)
    backbone, task = lab.models.found(prompt.backbone).name, load_task(prompt.source_task)
    sets = controls.task_sets().values()
    around = next((g for g in sets if task.name in {t.name for t in g}), [task])
    every = [t for t in around if t.ready]
    targets = controls.answered_by(lab, backbone, every)
    about.note(backbone=backbone, task=task.title, seed=prompt.seed)
    return View(prompt=prompt, backbone=backbone, task=task, targets=targets, every=every)


def provenance() -> str:
    """When, where and how well the prompt was made."""
    run, found = lab.store.run(key(prompt)), lab.stored(prompt)
    made = f"{prompt.origin.capitalize()} on {run.started[:10]}, {plain(run.device)}."
    if found.selection_accuracy is None:
        return f"{made} Key {key(prompt)}."
    return (
        f"{made} Best selection accuracy {found.selection_accuracy:.3f} on {found.selection_rows} "
        f"held-out rows, at step {found.best_step}. Key {key(prompt)}."
    )


def not_tuned() -> None:
    """What stands where the figures will."""
    st.caption("Its nearest tokens and its vectors appear here once it has been tuned.")


place = st.empty()
place.title("Prompt", anchor=False)
one, two, three, four = controls.row(3, 3, 2, 3)
view = None
with answers.shown_errors():
    named = address.asked("key")
    view = by_key(named) if named else standard(one, two, three)
if view is None:
    address.end()
assert view is not None
prompt, backbone, task, targets = view.prompt, view.backbone, view.task, view.targets
tasks = controls.clean(targets)
others = {t.title: t for t in tasks if t.name != task.name}
other = address.bound(
    four.selectbox, "Compare with", [NONE, *others], key="other",
    help="Compares this prompt's vectors with those of another task's prompt with the same seed, "
    "in the cosine matrix below.",
)  # fmt: skip
place.title(f"Prompt: {plain(task.title)}, seed {prompt.seed}", anchor=False)
kind = "prompt in words of {} tokens" if prompt.origin == "words" else "soft prompt of {} vectors"
st.markdown(
    f"A {kind.format(prompt.prompt_length)} for **{plain(backbone)}**: "
    f"{plain('; '.join(prompt.recipe))}."
)
if not lab.known([prompt]):
    answers.show([prompt], not_tuned, name="prompt-tuned", what="prompt")
    address.end()
with st.expander("Provenance and files"):
    st.caption(provenance())
    sharing.download(lab, key(prompt))
if not task.ready:
    st.info(
        f"The data of {plain(task.title)} are not here, so this page shows only the prompt itself."
    )

titles = controls.titles(targets)
grid = sweeps.transfer_grid([prompt], [(lab.pin(t, backbone), t.evaluation_split) for t in targets])
nearest = NearestSpec(prompt=prompt)
look = answers.look(lab.models.names())


def works() -> None:
    """Accuracy on every task."""
    table = charts.titled(figures.works_on(lab.store, list(grid)), titles)
    if table.empty:
        answers.nothing("This prompt has not been evaluated yet.")
    if said := figures.sentence(table[table.task.isin([t.title for t in tasks])]):
        st.markdown(said, help=WORKS_HELP)
    figure = charts.works_on(table, look, backbone=backbone, tasks=[t.title for t in targets])
    answers.chart(figure)
    named = [
        f"{title}: {TITLES[metric]}"
        for title, metric in zip(table.task, table.metric, strict=True) if metric != "accuracy"
    ]  # fmt: skip
    scored = (
        f"Written answers are scored by their task's metric ({plain('; '.join(named))}). "
        if named
        else ""
    )
    st.caption(
        f"Accuracy on {controls.count(table.n)} examples of each evaluation split, with 95% "
        "intervals. Filled: the task it was tuned on. Ticks: majority class.",
        help=f"{scored}Intervals are over examples: Wilson for accuracy, bootstrap for scores. The "
        "Transfer page gives means over seeds.",
    )
    answers.downloads("prompt-transfer", table, ("", figure))


def words() -> None:
    """The vocabulary's nearest words, vector by vector."""
    metric = address.bound(
        st.segmented_control, "Nearest by", METRICS, default=METRICS[0], key="metric"
    ) or METRICS[0]  # fmt: skip
    table = figures.words(lab.store, nearest, metric)
    if table.empty:
        st.caption("Nothing computed yet.")
        return
    shown = table.assign(nearest=[", ".join(row) for row in table.nearest])
    st.dataframe(
        shown[["row", "nearest", "value", "norm", "start"]], hide_index=True, width="stretch",
        column_config={
            "row": st.column_config.NumberColumn("Vector", width=60),
            "nearest": st.column_config.TextColumn("Nearest tokens", width="medium"),
            "value": st.column_config.NumberColumn(metric.capitalize(), format="%.2f", width=70),
            "norm": st.column_config.NumberColumn("Norm", format="%.2f", width=60),
            "start": st.column_config.TextColumn("Initial token", width="small"),
        },
    )  # fmt: skip
    dead = DEAD_HELP if lab.models.has_dead_row(prompt) else ""
    st.caption(said_of(table), help=WORDS_HELP + dead)
    answers.downloads("prompt-words", shown.drop(columns=["unmoved"]))


WORKS_HELP = (
    "Clearly above: the lower end of the 95% interval is above majority-class accuracy. "
    "Adversarial versions do not count."
)
WORDS_HELP = (
    "The tokens of the backbone's vocabulary whose input embeddings are nearest to each vector. "
    "The vectors of a soft prompt can lie far from every token, so the nearest token need not be "
    "meaningful."
)
DEAD_HELP = " Vector 0 of this prompt (the dead row) never reaches the model."


def said_of(table: pd.DataFrame) -> str:
    """How far the vectors are from the words, and whether they have left their start."""
    first: Any = table.iloc[0]
    norms = (
        f"The vectors' norms are {table.norm.min():.1f} to {table.norm.max():.1f}; the middle 90% "
        f"of the vocabulary's are {first.low:.1f} to {first.high:.1f}."
    )
    if table.start.isna().all():
        return norms
    return (
        f"For {int(table.unmoved.sum())} of {len(table)} vectors, the nearest token is still the "
        f"one that the vector started from. {norms}"
    )


def vectors() -> None:
    """The prompt's vectors among themselves, or with those of another prompt."""
    second, called = compared()
    if second is None:
        st.caption(f"There is no prompt for {plain(str(other))} with seed {prompt.seed} yet.")
        return
    table = figures.between_rows(lab.stored(prompt), lab.stored(second))
    figure = charts.row_matrix(table, look, backbone=backbone, other=called)
    answers.chart(figure)
    off = table[(table.row != table.other) | (second != prompt)]
    rest = ", without the diagonal" if second == prompt else ""
    st.caption(f"Mean cosine {off.cosine.mean():.2f}{rest}." if len(off) else "One vector.")
    answers.downloads("prompt-vectors", table, ("", figure))


def compared() -> tuple[Prompt | None, str]:
    """The prompt whose vectors stand across, if it is stored, and what it is called."""
    if other == NONE:
        return prompt, "vector"
    found = [p for p in alike_kind([others[other]]) if p.seed == prompt.seed]
    known = [p for p in found if lab.known([p])]
    return (known[0] if known else None), f"vector of the {other} prompt"


def alike_kind(of: list[Task]) -> list[Prompt]:
    """The prompts of these tasks that came about as this one did: tuned, or imported."""
    if prompt.origin == "imported":
        return [p for t in of for p in lab.imported(lab.models.pin(backbone), t.name)]
    return controls.prompts(lab, backbone, of)


def alike() -> None:
    """The most similar prompts of all tasks and seeds."""
    table = figures.neighbours(lab.store, prompt, alike_kind(tasks), dead=lab.has_dead_row)
    shown = charts.titled(table, titles)
    st.dataframe(
        shown, hide_index=True, width="stretch",
        column_config={
            "task": "Task", "seed": "Seed",
            "cosine": st.column_config.NumberColumn("Cosine, averaged", format="%.3f"),
        },
    )  # fmt: skip
    st.caption(
        "The most similar prompts of this backbone, over all tasks and seeds.",
        help="By the mean cosine over all pairs of vectors, one from each prompt. Prompts with the "
        "same seed started from the same tokens, which by itself makes them similar.",
    )


def left_out(dropped: DroppedSpec) -> None:
    """What accuracy loses without vectors."""
    each, curve = figures.without_each(lab.store, dropped), figures.fewer(lab.store, dropped)
    if each.empty:
        answers.nothing("The accuracy without each vector has not been computed yet.")
    rows = queries.evaluations(lab.store, list(grid))
    own = rows[rows.target_task == task.name].majority
    majority = float(own.iloc[0]) if len(own) else 1 / len(task.labels)
    first = charts.without_each(each, look, backbone=backbone)
    second = charts.fewer(curve, look, backbone=backbone, majority=majority)
    for column, figure, said in zip(
        st.columns(2, gap="medium"), (first, second),
        ("**One vector left out**", "**More and more vectors left out**"), strict=True,
    ):  # fmt: skip
        with column, st.container(border=True):
            st.markdown(said)
            answers.chart(figure)
    clear = each[each.p < CLEAR]
    last = curve.iloc[-1]
    st.caption(
        f"{plain(task.title)}, {task.evaluation_split} split, {int(each.n.iloc[0])} examples. For "
        f"{len(clear)} of {len(each)} vectors p < {CLEAR} (Holm). Accuracy is "
        f"{curve.accuracy.iloc[0]:.2f} with all vectors and {last.accuracy:.2f} with none.",
        help="One vector: 95% intervals, paired over examples; p is McNemar's exact test, "
        "adjusted for the number of vectors. Several: mean and range over "
        f"{int(curve.orders.max())} random orders; at both ends the 95% Wilson interval. Dotted: "
        "majority-class accuracy. The prompt is not retuned.",
    )
    with st.container(horizontal=True):
        answers.downloads("prompt-without", each, ("", first))
        answers.downloads("prompt-fewer", curve, ("", second), label="Curve")


def in_words(of: Task) -> None:
    """A prompt in words on the same task, beside the soft one."""
    usual = sweeps.usual_words(of, lab.models.family(backbone))
    if st.session_state.get("words") == st.session_state.get("usual_words", NONE):
        st.session_state["words"] = usual  # of this task, not of the one shown before
    st.session_state["usual_words"] = usual
    text = address.bound(
        st.text_input, "Prompt in words", usual, key="words", max_chars=500,
        help="A hard prompt: the embeddings of its tokens take the place of the soft prompt's "
        "vectors.",
    )  # fmt: skip
    if not text.strip():
        st.caption("Enter a prompt to compare it with the soft prompt.")
        return
    place = lab.pin(of, backbone), of.evaluation_split
    hard = sweeps.own_evaluation(lab.in_words(backbone, of, text), *place, limit=ROWS)
    soft = sweeps.own_evaluation(prompt, *place, limit=ROWS)

    def draw() -> None:
        rows = [
            {"Prompt": label, "Vectors": spec.prompt.prompt_length, **row}
            for label, spec in (("soft", soft), ("in words", hard))
            for row in figures.works_on(lab.store, [spec]).to_dict("records")
        ]
        if not rows:
            st.caption("Nothing computed yet.")
            return
        table = pd.DataFrame(rows)
        st.dataframe(
            table[["Prompt", "Vectors", "accuracy", "low", "high", "n"]], hide_index=True,
            width="stretch",
            column_config={
                "accuracy": st.column_config.NumberColumn("Accuracy", format="%.3f"),
                "low": st.column_config.NumberColumn("From", format="%.3f"),
                "high": st.column_config.NumberColumn("To", format="%.3f"), "n": "Examples",
            },
        )  # fmt: skip
        st.caption(
            f"{plain(of.title)}, {of.evaluation_split} split. 95% Wilson intervals. "
            f"Majority-class accuracy: {table.majority.iloc[0]:.2f}."
        )

    ready = not lab.missing([soft])
    answers.show([soft, hard], draw, name="words", what="evaluations", start_at_once=ready)


def writes(of: Task) -> None:
    """What the prompt makes the backbone write, and how well it answers."""
    spec = sweeps.own_evaluation(prompt, lab.pin(of, backbone), of.evaluation_split)

    @st.cache_data(show_spinner="Scoring ...", max_entries=10)
    def tables(name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        del name
        found, examples = lab.stored(spec), load_split(of, spec.split)
        rows = written.answers(found, examples)
        return written.scores(rows, found, examples), rows

    def draw() -> None:
        if not lab.known([spec]):
            st.caption("Nothing computed yet.")
            return
        means, rows = tables(key(spec))
        first = means.metric.iloc[0]
        st.markdown("; ".join(said_of_score(row) for row in means.itertuples()) + ".")
        only = address.bound(
            st.segmented_control,
            f"Show, by {TITLES[first]}",
            SHOWN,
            default=SHOWN[0],
            key="answers",
        )
        kept = {SHOWN[1]: rows[first] < 1, SHOWN[2]: rows[first] == 1}.get(str(only))
        st.dataframe(
            rows if kept is None else rows[kept], hide_index=True, width="stretch", height=320,
            column_config={
                "example": st.column_config.NumberColumn("Example", width=70),
                "text_a": "Text", "text_b": "Second text", "written": "Written answer",
                "references": "References",
                **{
                    m: st.column_config.NumberColumn(TITLES[m], format="%.2f", width=80)
                    for m in means.metric
                },
            },
        )  # fmt: skip
        st.caption(
            f"{plain(of.title)}, {of.evaluation_split} split, {means.n.iloc[0]} examples. Mean "
            "scores with 95% intervals; in square brackets, the score of always writing the most "
            "frequent answer.",
            help="Each step writes the most likely token (greedy decoding). Intervals are over "
            "examples: Wilson for exact match, bootstrap otherwise.",
        )
        answers.downloads("prompt-written", rows)

    answers.show([spec], draw, name="prompt-written", what="evaluations")


SHOWN = ("all", "below full score", "full score")


def said_of_score(row: Any) -> str:
    """A metric's mean, its interval and what the constant answer reaches."""
    score, low, high, always = map(numbers.two, (row.score, row.low, row.high, row.constant))
    return f"{TITLES[row.metric]} **{score}** ({low} to {high}) [{always}]"


left, right = st.columns([2, 3], gap="medium")
with left, st.container(border=True):
    st.subheader("Which tasks does it work on?", anchor=False)
    answers.show(grid, works, name="prompt-works", what="evaluations")
with right, st.container(border=True):
    st.subheader("Which tokens are nearest to its vectors?", anchor=False)
    answers.show([nearest], words, name="prompt-nearest", what="results", start_at_once=True)
if not task.labels and task.ready:
    with st.container(border=True):
        st.subheader("What does it write?", anchor=False)
        with answers.shown_errors():
            writes(task)
if task.labels and task.ready:
    st.subheader("What if vectors are left out?", anchor=False)
    without = sweeps.dropped(prompt, lab.pin(task, backbone), task.evaluation_split)
    answers.show([without], lambda: left_out(without), name="prompt-dropped", what="results")
    with st.container(border=True):
        st.subheader("Does a prompt in words do as well?", anchor=False)
        with answers.shown_errors():
            in_words(task)
left, right = st.columns(2, gap="medium")
with left, st.container(border=True):
    st.subheader("How similar are the vectors?", anchor=False)
    with answers.shown_errors(), charts.quickly():
        vectors()
with right, st.container(border=True):
    st.subheader("Which prompts are most similar?", anchor=False)
    with answers.shown_errors():
        alike()
if not task.labels and task.ready:
    st.caption(
        "Vectors are left out, and a prompt in words is compared, for tasks with classes only."
    )
controls.cannot_write(lab, backbone, view.every)
if task.ready:
    warnings.shared([task], targets)
warnings.origins([prompt])
