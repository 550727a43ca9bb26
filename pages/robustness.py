"""How do accuracy and the neurons behind it stand up to more and more edits of the text?"""

from collections.abc import Callable, Collection
from urllib.parse import urlencode

import pandas as pd
import streamlit as st

from core import charts
from core.base.markdown import plain
from core.base.settings import EMBEDDED, MATCHED
from core.base.specs import Spec
from core.figures import words
from core.figures.rankings import NAMES
from core.figures.robustness import claim as claims
from core.figures.robustness import cost, dose, finding
from core.figures.robustness.finding import summarise
from core.lab.lab import job_name
from core.measures import sweeps
from core.stats.intervals import FEWEST_CLUSTERS
from core.tasks import Task
from core.tasks.attacks import KINDS, Attack, Kind, Where, doses_of
from pages.common import address, adversarial, answers, controls, ranks, warnings

ALL, THIS = "All tasks", "This task"
PARTS: dict[str, Where] = {"both texts": "both", "first text": "first", "second text": "second"}

answers.heading(
    "Robustness",
    "The claim: the more robust a model is, the more of its skill neurons it keeps when texts are "
    "attacked. *Weathered* backbones were pretrained on messy texts, their counterparts on clean "
    "ones.",
)
lab = answers.lab()
left, middle, right = controls.row(6, 3, 3)
with left:
    backbones = controls.backbones(lab, EMBEDDED)
    kind = controls.attack_kind()
with middle:
    tasks = controls.origins(controls.ranked_set())
    task = controls.task(tasks)
doses, edits = doses_of(kind), controls.EDITS[kind]
with right:
    top = controls.fraction("Neurons")
    with st.popover("Attack settings", icon=":material/tune:"):
        at = address.only("dose", doses[0]) if len(doses) == 1 else address.bound(
            st.segmented_control, "Edits per text", doses, default=doses[0], key="dose",
            required=True, help="Applies to the numbers below the curves and to *Neuron ranks*.",
        )  # fmt: skip
        worst_of = address.bound(
            st.select_slider, "Worst of", [1, 3, 10], value=1, key="worst",
            help="Of this many random versions of each text, the one with the smallest margin "
            "for the right answer is used. 1: one random version.",
        )  # fmt: skip
        where = address.bound(
            st.segmented_control, "Attacked text", list(PARTS), default="both texts", key="part",
            required=True, help="Applies only to tasks with two texts.",
        )  # fmt: skip
        draw_seed = address.bound(st.selectbox, "Attack seed", range(10), key="draw")
        every_kind = address.bound(
            st.toggle, "All kinds of attack under *All tasks*", key="kinds",
            help="The claim's figure then has a point for each task, kind of attack and dose; the "
            "other tabs keep the chosen kind.",
        )  # fmt: skip
said_edits = f"one {kind}" if at == 1 else f"{at} {edits}"
kinds = KINDS if every_kind else (kind,)


def response(backbone: str, asked: Task, by: Kind) -> sweeps.DoseSweep | None:
    """The dose-response of a task to a kind of attack; None without a prompt."""
    place = lab.pin(asked, backbone), asked.evaluation_split
    own = controls.prompts(lab, backbone, [asked])
    attack = Attack(kind=by, dose=1, where=PARTS[where], worst_of=worst_of, seed=draw_seed)
    known = asked.contrasts()
    return sweeps.dose_response(own, place, known, attack) if own else None


mine = {name: sweep for name in backbones if (sweep := response(name, task, kind)) is not None}
for name in (n for n in backbones if n not in mine):
    controls.no_prompt(task, name)
if not mine:
    address.end()
asked_here = tuple(spec for sweep in mine.values() for spec in sweep.everything)
Every = dict[tuple[str, str, str], sweeps.DoseSweep]  # by backbone, task's title, kind of attack


@st.cache_data(show_spinner="Comparing ...", max_entries=20)
def tables(name: str, known: int, fraction: float) -> tuple[pd.DataFrame, ...]:
    """Each answer, accuracy and shared neurons by dose. Answers never change, so the questions and
    the number of stored answers identify a table.
    """
    del name, known
    return (
        dose.answers(lab.store, mine),
        dose.accuracy(lab.store, mine),
        dose.overlap(lab.store, mine, fraction),
        cost.costs(lab.store, mine, MATCHED, fraction),
    )


@st.cache_data(show_spinner="Comparing ...", max_entries=20)
def claim_tables(
    name: str, known: int, fraction: float, _every: Every
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """A point a backbone, task and dose; differences between backbones, and slopes within them."""
    del name, known
    points = claims.points(lab.store, _every, fraction, {t.title: t.category for t in tasks})
    return points, claims.differences(points), claims.slopes(points)


def all_questions() -> Every:
    """The dose-responses of all tasks."""
    return {
        (name, other.title, by): sweep
        for by in kinds
        for other in tasks
        for name in mine
        if (sweep := response(name, other, by)) is not None
    }


def parts_of(every: Every) -> tuple[Spec, ...]:
    """What they consist of, each question once."""
    return tuple(dict.fromkeys(spec for sweep in every.values() for spec in sweep.everything))


def named(asked: tuple[Spec, ...]) -> str:
    """What identifies a table of points: the questions, and what the tasks are called now."""
    return " ".join((job_name(asked), *(t.title for t in tasks)))


def here() -> None:
    """Draw accuracy and neurons over the dose, for the chosen task."""
    each, accuracy, shared, costs = tables(job_name(asked_here), len(lab.known(asked_here)), top)
    if accuracy.empty:
        answers.nothing("The curves appear here once their first points have been computed.")
    look = answers.look(lab.models.names())
    figures = {"accuracy": charts.dose_accuracy(accuracy, look, edits=edits, doses=doses)}
    for neurons in dict.fromkeys(shared.neurons):
        table = shared[shared.neurons == neurons]
        figures[NAMES[neurons]] = charts.dose_overlap(table, look, edits=edits, doses=doses)

    def upto(last: float) -> None:
        """The same figures, up to a dose."""
        known = shared[shared.dose <= last]
        for (name, figure), column in zip(figures.items(), st.columns(len(figures)), strict=True):
            if last < doses[-1]:
                mine = known[known.neurons.map(NAMES) == name]
                figure = (
                    charts.dose_accuracy(accuracy, look, edits=edits, doses=doses, upto=int(last))
                    if name == "accuracy"
                    else charts.dose_overlap(mine, look, edits=edits, doses=doses)
                )
            with column, st.container(border=True):
                again = " found again in attacked texts" * (name != "accuracy")
                st.markdown(f"**{name.capitalize()}**{again}")
                answers.chart(figure)

    finding_here(costs)
    answers.played("dose", [0, *doses], upto)
    at_dose(accuracy)
    seeds = controls.count(accuracy.seeds)
    st.caption(
        f"{plain(task.title)}, {task.evaluation_split} split, {controls.count(accuracy.n)} "
        f"examples, means of {seeds} seeds; bands: 95% intervals (accuracy), range over "
        "splits (neurons).",
        help="Accuracy intervals resample seeds and examples. Neurons: the top share of each layer "
        "by predictivity (skill) or attribution (causal; 300 examples) is found on one half of the "
        "clean examples; the curve shows how many are found again on the other half under attack. "
        "At dose 0 both halves are clean. Shuffled labels show how much overlap comes from "
        "activity alone.",
    )
    with st.container(horizontal=True):
        answers.downloads("robustness-dose", accuracy, ("", figures["accuracy"]))
        answers.downloads(
            "robustness-shared", shared, *list(figures.items())[1:], label="Shared neurons"
        )
        answers.downloads("robustness-each", each, label="Each answer")
        answers.downloads("robustness-cost", costs, label="Accuracy lost")
    made_of(accuracy, shared)


def made_of(accuracy: pd.DataFrame, shared: pd.DataFrame) -> None:
    """The numbers behind this task's points among those of all tasks, at one dose."""
    table = claims.parts(accuracy, shared, at)
    if table.empty:
        return
    with st.expander(
        f"What the task's points under *All tasks* are made of: {said_edits}",
        expanded=bool(address.asked("parts")), key="made-of",
    ):  # fmt: skip
        number = st.column_config.NumberColumn
        st.dataframe(
            table.assign(neurons=table.neurons.map(NAMES)), hide_index=True, width="stretch",
            column_config={
                **{name: number(name.replace("_", ", "), format="%.3f") for name in claims.PARTS},
                "backbone": "backbone", "neurons": "neurons",
                "majority": number("majority accuracy", format="%.3f"),
                "accuracy_kept": number("accuracy kept", format="%.2f"),
                "kept": number("neurons kept", format="%.2f"),
            },
        )  # fmt: skip
        st.caption(
            "Accuracy kept: accuracy above the majority class, attacked relative to clean. Neurons "
            "kept: overlap above that with shuffled labels, attacked relative to clean."
        )


def finding_here(costs: pd.DataFrame) -> None:
    """What the edits cost the backbones on this task, over all doses."""
    some = f"Over {doses[0]} to {doses[-1]} {edits}" if len(doses) > 1 else f"With one {kind}"
    if said := cost.sentence(costs, f"{some} per text"):
        row = costs.iloc[0]
        st.markdown(
            said,
            help=f"{cost.numbers(costs)} Means over the doses. Accuracy: 95% intervals over "
            f"{row.n} examples and {row.seeds} seeds. Skill neurons found again in attacked texts, "
            f"compared with other clean texts: range over {row.splits} splits of the examples. "
            "One task is a single case; *All tasks* has the test of the claim.",
        )


def at_dose(accuracy: pd.DataFrame) -> None:
    """What some edits cost each backbone: a sentence, and a number for each."""
    found = dose.at(accuracy, at)
    if found.empty:
        return
    edit = said_edits + f" (the worst of {worst_of})" * (worst_of > 1)
    st.caption(
        f"Accuracy on {plain(task.title)} with {edit} per text, and its change from clean texts:"
    )
    with st.container(horizontal=True, gap="small", key="at-dose"):
        for row in found.itertuples():
            st.metric(
                plain(row.backbone), words.two(row.accuracy), width="content",
                delta=f"{-100 * row.lost:+z.0f} points".replace("-", words.MINUS),
                delta_color="off", delta_arrow="off",
                help=f"95% interval {words.two(row.low)} to {words.two(row.high)}; accuracy "
                f"on clean texts {words.two(row.clean)}; {row.n} examples, {row.seeds} seeds.",
            )  # fmt: skip


def claim(asked: tuple[Spec, ...], every: Every) -> None:
    """Draw neurons kept against accuracy kept, over all tasks."""
    points, apart, slopes = claim_tables(named(asked), len(lab.known(asked)), top, every)
    if points.empty:
        answers.nothing("A point appears here for each task and dose that has been computed.")
    look = answers.look(lab.models.names())
    found, difference = finding.compared(apart, MATCHED), None
    said, causal = (
        summarise(apart, slopes, neurons=n, matched=MATCHED) for n in ("skill", "causal")
    )
    with st.container(border=True):
        st.markdown(
            f"**{said.headline}**",
            help="Differences are in shares kept: 1 is everything above chance (accuracy) or above "
            "shuffled labels (neurons) on clean data. " + finding.LIMITS,
        )
        if found.low.notna().any():
            difference = charts.claim_differences(
                found, look, kinds={"accuracy": "accuracy", **NAMES}
            )
            answers.chart(difference)
            counted = controls.count(found.tasks[found.low.notna()])
            st.caption(
                f"Means over {counted} tasks and all doses, with 95% intervals. Filled points: the "
                "interval excludes 0.",
                help="Intervals treat tasks as clusters. " + finding.MATCHED * said.matched,
            )
        with st.expander("Numbers, other pairs of backbones, and each backbone alone", key="pairs"):
            leads = [said.lead] if said.headline != said.lead.replace("**", "") else []
            if causal.verdict != "open":
                leads.append(f"**For causal neurons:** {causal.lead}")
            st.markdown("\n".join(f"- {text}" for text in (*leads, *said.between, *said.within)))
    st.subheader("Where accuracy is kept, are the neurons kept as well?", anchor=False)
    ranked = [n for n in NAMES if (points.neurons == n).any()]
    figures = []
    for neurons, column in zip(ranked, st.columns(len(ranked)), strict=True):
        mine = points[points.neurons == neurons]
        table = linked(claims.usable(mine))
        out = len(mine) - len(table)
        with column, st.container(border=True):
            st.markdown(f"**{NAMES[neurons].capitalize()}**")
            if table.empty:
                st.caption(
                    f"No point can be shown ({out} left out): on clean data, accuracy is not above "
                    "chance, or two parts share no more neurons than with shuffled labels."
                )
                continue
            figure = charts.claim_points(table, look, neurons=NAMES[neurons])
            figures.append((NAMES[neurons], figure))
            answers.chart(figure)
            st.caption(
                f"Each point is a task at one dose{' of one kind of attack' * (len(kinds) > 1)}: "
                f"{len(table)} points, {table.task.nunique()} tasks, doses "
                f"{', '.join(map(str, sorted(set(table.dose))))}; {out} left out. "
                "Click a point to see what it is made of.",
                help="On both axes, 1 means as on clean data, and 0 means chance (accuracy) or "
                "shuffled labels (neurons). Left out: tasks whose clean accuracy is not above "
                "chance, or where two clean parts of the data share no more neurons than with "
                "shuffled labels. Dotted line: equal shares kept. Solid lines: least-squares fits.",
            )
    with st.container(horizontal=True):
        answers.downloads("robustness-claim", points, *figures)
        answers.downloads("robustness-slopes", slopes, label="Slopes")
        answers.downloads(
            "robustness-differences", apart,
            *([("", difference)] if difference is not None else []), label="Differences",
        )  # fmt: skip


def linked(table: pd.DataFrame) -> pd.DataFrame:
    """With the address of each point's task on this page, at its dose."""
    names = ("from", "prompts", "top", "worst", "part", "draw")
    kept = {n: st.session_state[n] for n in names if st.session_state.get(n)}

    def linked_to(title: str, by: Kind, edits_a_text: int) -> str:
        view = {
            "tab": THIS, "task": title, "attack": controls.EDITS[by], "dose": edits_a_text,
            "backbone": list(mine), "parts": "open", **kept,
        }  # fmt: skip
        return "robustness?" + urlencode(view, doseq=True)

    return table.assign(url=list(map(linked_to, table.task, table.attack, table.dose)))


def in_detail(chosen: Collection[str]) -> list[str]:
    """Two backbones, or those without the weathered ones whose counterparts are among them."""
    if len(chosen) <= 2:
        return list(chosen)
    shown = set(chosen)
    counterparts = {weathered for one, weathered in MATCHED if one in shown}
    return [b for b in chosen if b not in counterparts]


def this_task() -> None:
    """Accuracy and shared neurons by dose."""
    answers.show(asked_here, here, name="dose", what="results", start_at_once=not lab.missing(
        [spec for sweep in mine.values() for spec in sweep.evaluations[0]]
    ))  # fmt: skip


def all_tasks() -> None:
    """The claim over all tasks."""
    every = all_questions()
    asked = parts_of(every)
    answers.show(asked, lambda: claim(asked, every), name="claim", what="results of all tasks")


def neuron_ranks() -> None:
    """Each neuron's rank on clean and on attacked texts."""
    st.subheader("Do neurons keep their ranks under attack?", anchor=False)
    ranks.show(
        ranks.View(
            lab=lab, task=task, asked={b: sweep.stability for b, sweep in mine.items()}, top=top,
            dose=at, edits=said_edits,
        ),
        st.container(),
    )  # fmt: skip


def hand_made() -> None:
    """A task against one of its hand-made adversarial versions."""
    attacked = versions[0] if len(versions) == 1 else controls.task(versions, key="version")
    asked = {
        name: sweeps.robustness(
            controls.prompts(lab, name, [task]),
            (lab.pin(task, name), task.evaluation_split),
            (lab.pin(attacked, name), attacked.evaluation_split),
            task.contrasts(),
        )
        for name in in_detail(mine)
    }
    if len(asked) < len(mine):
        st.caption("To compare a weathered backbone here, deselect its plain counterpart.")
    adversarial.show(adversarial.View(lab=lab, clean=task, attacked=attacked, asked=asked, top=top))


versions = [
    t for group in controls.task_sets().values() for t in group
    if t.ready and t.adversarial_of == task.name
]  # fmt: skip
parts: dict[str, Callable[[], None]] = {
    ALL: all_tasks, THIS: this_task, "Neuron ranks": neuron_ranks,
    **({"Adversarial version": hand_made} if versions else {}),
}  # fmt: skip
first = ALL if len(tasks) >= FEWEST_CLUSTERS else THIS
tabs = address.bound(st.tabs, list(parts), default=first, key="tab", on_change="rerun")
for tab, part in zip(tabs, parts.values(), strict=True):
    if tab.open:
        with tab:
            part()
warnings.shared([task], [task])
warnings.origins(p.prompt for sweep in mine.values() for p in sweep.evaluations[0])
