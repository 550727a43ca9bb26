"""Widgets -> plain values and specs. Every choice lives in the URL, under the widget's key."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import streamlit as st

from core.backbones import FAMILIES
from core.base.markdown import plain
from core.base.prompts import Prompt
from core.base.settings import PLAIN
from core.base.specs import Contrast, Precision, Stack
from core.lab.lab import Lab
from core.measures import sweeps
from core.measures.attribution import AttributionSpec
from core.measures.evaluation import Kind
from core.measures.predictivity import PredictivitySpec
from core.measures.questions import Positions
from core.measures.tuning import Init, TuneSpec
from core.stats.neurons import Choose, Scope
from core.tasks import Task, builtin_names, clean_task, load_task, own_names, paper_names
from core.tasks.attacks import KINDS as ATTACKS
from core.tasks.attacks import Kind as AttackKind
from pages.common import about, address

FIRST = "short_reviews"  # the task a page shows before one is chosen
TUNED, IMPORTED, PROMPTS = "tuned here", "imported", "prompts"
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "fp64")
INITS: tuple[Init, ...] = ("vocabulary", "random", "labels")
CHOOSE: tuple[Choose, ...] = ("causal", "skill", "random", "lowest")
SCOPES: tuple[Scope, ...] = ("layer", "model")
POSITIONS: tuple[Positions, ...] = ("all", "prompt")
STACKS: tuple[Stack, ...] = ("encoder", "decoder")
CANNOT_WRITE = (
    "All of these tasks have written answers, and {} cannot write; choose another backbone."
)
NEEDS_CLASSES = "Only tasks with classes are shown."
KINDS: tuple[Kind, ...] = ("zero", "mean", "noise")
EDITS = {
    "typo": "typos", "synonym": "synonyms", "distraction": "distractions", "negation": "negations",
}  # fmt: skip


def row(*widths: int) -> list[Any]:
    """Columns for a page's controls. On a phone they are folded behind a switch, so that the first
    figure is on the first screen; `page.css` says up to which width. A message among them unfolds
    them.
    """
    st.toggle("Settings", key="settings-open")
    return list(st.container(key="settings").columns(widths, gap="medium"))


def one_backbone(lab: Lab, place: Any) -> str:
    """One of the backbones of this machine."""
    known = lab.models.names()
    chosen: str = address.bound(place.selectbox, "Backbone", known, key="backbone")
    about.note(backbone=chosen)
    return chosen


def backbones(lab: Lab, first: Sequence[str] = PLAIN) -> list[str]:
    """The backbones to compare; the plain pair, or those among `first`, by default."""
    known = lab.models.names()
    chosen = address.bound(
        st.pills, "Backbones", known, default=[n for n in known if n in first] or list(known[:1]),
        selection_mode="multi", key="backbone", format_func=plain, wrap=True,
        help="Backbones are shown side by side on one scale. Weathered: "
        "pretrained on its counterpart's texts with typos, asides, invented names and varied "
        "subword segmentation.",
    )  # fmt: skip
    if not chosen:
        st.info("Choose a backbone.")
        address.end()
    prompt_kind(lab, chosen)
    about.note(backbone=chosen)
    return [name for name in known if name in chosen]


def prompt_kind(lab: Lab, chosen: Sequence[str]) -> None:
    """Tuned or imported prompts; the control appears only if there are both."""
    if lab.has_imports(chosen):
        address.bound(
            st.segmented_control, "Prompts", [TUNED, IMPORTED], default=TUNED, key=PROMPTS,
            help="Imported: released prompts that were added on the Library page.",
        )  # fmt: skip


def task_sets() -> dict[str, list[Task]]:
    """All tasks, ready or not, by where they come from; clean ones first."""
    sets = {"built-in": builtin_names(), "papers": paper_names(), "own": own_names()}
    return {name: [load_task(n) for n in names] for name, names in sets.items()}


def task_set() -> list[Task]:
    """The ready tasks of the chosen set; the control appears only if there is more than one."""
    there = _ready_sets()
    if len(there) > 1:
        address.bound(
            st.segmented_control, "Tasks from", list(there), default=next(iter(there)), key="from"
        )
    return tasks_shown()


def tasks_shown() -> list[Task]:
    """The ready tasks of the set that was chosen."""
    there = _ready_sets()
    return there.get(st.session_state.get("from") or "", next(iter(there.values())))


def _ready_sets() -> dict[str, list[Task]]:
    ready = {name: [t for t in found if t.ready] for name, found in task_sets().items()}
    return {name: found for name, found in ready.items() if found}


def ranked_set() -> list[Task]:
    """The ready tasks of the chosen set by which neurons can be ranked: those with classes."""
    found = [t for t in task_set() if t.labels and clean_task(t).labels]
    if not found:
        st.info(
            "All of these tasks have written answers. Neurons are ranked by how well they separate "
            "classes; choose other tasks."
        )
        address.end()
    return found


def clean_ranked() -> list[Task]:
    """The clean ones of these tasks, ready to be tuned on."""
    found = [t for t in origins(ranked_set()) if t.ready]
    if not found:
        st.info("None of these tasks has train data here; choose other tasks.")
        address.end()
    return found


def answered_by(lab: Lab, backbone: str, found: Sequence[Task]) -> list[Task]:
    """Without the tasks with written answers, if the backbone cannot write."""
    writes = FAMILIES[lab.models.family(backbone)].writes
    return [t for t in found if t.labels or writes]


def left_out(every: Sequence[Task], kept: Sequence[Task], why: str) -> None:
    """Name the tasks with written answers that a page leaves out, and say why."""
    names = {t.name for t in kept}
    if others := [plain(t.title) for t in clean(every) if not t.labels and t.name not in names]:
        st.caption(f"{why} Left out: {', '.join(others)}.")


def cannot_write(lab: Lab, backbone: str, every: Sequence[Task]) -> None:
    """Name the tasks that a backbone cannot answer."""
    left_out(
        every, answered_by(lab, backbone, every),
        f"{plain(backbone)}, a masked language model, cannot generate text.",
    )  # fmt: skip


def with_built_in(found: Sequence[Task]) -> list[Task]:
    """One's own tasks with classes, and before them the built-in ones, from whose prompts tuning
    may start; other tasks as they are.
    """
    own = {t.name for t in found if t.labels} & set(own_names())
    more = [t for t in clean(task_sets()["built-in"]) if t.ready and t.name not in own]
    return [*more, *found] if own else list(found)


def tasks(*, adversarial: bool, written: bool = False) -> list[Task]:
    """The built-in tasks with classes, or those with written answers; clean ones first."""
    found = [t for t in map(load_task, builtin_names()) if bool(t.labels) != written]
    return [t for t in found if adversarial or t.adversarial_of is None]


def clean(found: Sequence[Task]) -> list[Task]:
    """Without the adversarial versions."""
    return [t for t in found if t.adversarial_of is None]


def origins(found: Sequence[Task]) -> list[Task]:
    """The clean tasks of these tasks, each once: an adversarial version alone brings its own."""
    clean_tasks = {t.name: t for t in map(clean_task, found)}
    return list(clean_tasks.values())


def titles(found: Sequence[Task]) -> dict[str, str]:
    """Task name -> its title in figures; tasks of one title are told apart by their names."""
    counts = Counter(t.title for t in found)
    return {t.name: t.title if counts[t.title] == 1 else f"{t.title} ({t.name})" for t in found}


def count(sizes: Sequence[float], how: str = "d") -> str:
    """E.g. `600`, or `204 to 600`; `no` of none."""
    if not len(sizes):
        return "no"
    low, high = format(min(sizes), how), format(max(sizes), how)
    return low if low == high else f"{low} to {high}"


def task(found: Sequence[Task], label: str = "Task", key: str = "task") -> Task:
    """One task."""
    names, shown = [t.name for t in found], titles(found)
    chosen = address.bound(
        st.selectbox, label, names, index=names.index(FIRST) if FIRST in names else 0,
        format_func=lambda n: shown[n], key=key,
    )  # fmt: skip
    about.note(**{"task" if key == "task" else label: found[names.index(chosen)].title})
    return found[names.index(chosen)]


def attack_kind() -> AttackKind:
    """The kind of edits of an attack."""
    chosen: AttackKind = address.bound(
        st.segmented_control, "Attack", ATTACKS, default="typo", key="attack", required=True,
        format_func=lambda k: EDITS[k],
        help="Typo: two letters of a word are swapped, or one is dropped or doubled. Synonym: one "
        "word is replaced. Distraction: an unrelated remark is added. Negation: a double negation "
        "before the text keeps its meaning.",
    )  # fmt: skip
    about.note(attack=EDITS[chosen])
    return chosen


def no_prompt(task: Task, backbone: str, seed: int | None = None) -> None:
    """Say that there is no prompt to ask with."""
    which = "" if seed is None else f" with seed {seed}"
    st.info(
        f"There is no prompt for {plain(task.title)} on {plain(backbone)}{which} yet. Tune or "
        "import one first."
    )


def seeds() -> tuple[int, ...]:
    """The prompts' seeds; one or several."""
    chosen = address.bound(
        st.pills, "Seeds", list(sweeps.SEEDS), default=[0], selection_mode="multi", key="seed",
        help="Each seed is a separate prompt, tuned from a different initialisation.",
    )  # fmt: skip
    about.note(seeds=tuple(chosen) or (0,))
    return tuple(chosen) or (0,)


def prompts(
    lab: Lab, backbone: str, found: Sequence[Task], seeds: Sequence[int] = sweeps.SEEDS
) -> list[Prompt]:
    """The standard prompts of a backbone, task by task, or the imported ones if chosen."""
    pin = lab.models.pin(backbone)
    if st.session_state.get(PROMPTS) == IMPORTED:
        return [p for t in found for p in lab.imported(pin, t.name)]
    return [*standard(lab, backbone, found, seeds)]


def standard(
    lab: Lab, backbone: str, found: Sequence[Task], seeds: Sequence[int] = sweeps.SEEDS
) -> list[TuneSpec]:
    """The standard prompts of a backbone, task by task, whether or not imported ones are chosen."""
    return [prompt for t in found for prompt in lab.standard(backbone, t, seeds)]


def own_attributions(
    lab: Lab, backbone: str, task: Task, stack: Stack = "encoder"
) -> tuple[AttributionSpec, ...]:
    """What each neuron adds to the right answer of a task, for all standard prompts of the task."""
    return sweeps.attributions(prompts(lab, backbone, [task]), lab.pin(task, backbone), stack=stack)


def with_decoder(lab: Lab, chosen: Sequence[str]) -> list[str]:
    """Those of the chosen backbones that have a decoder; what is left out is said."""
    found = [name for name in chosen if "decoder" in FAMILIES[lab.models.family(name)].stacks]
    left = [plain(name) for name in chosen if name not in found]
    verb = "has no decoder" if len(left) == 1 else "have no decoder"
    if not found:
        st.info(f"{', '.join(left)} {verb}; choose a T5 backbone, or the encoder's neurons.")
        address.end()
    if left:
        st.info(f"{', '.join(left)} {verb} and {'is' if len(left) == 1 else 'are'} left out.")
    return found


def own_predictivities(
    lab: Lab, backbone: str, found: Sequence[Task], seeds: Sequence[int] = sweeps.SEEDS
) -> tuple[PredictivitySpec, ...]:
    """Each task's prompts measured on the task itself; an adversarial version's prompts are those
    of its clean task.
    """
    return tuple(
        spec
        for t in found
        for spec in sweeps.predictivities(
            (
                (p, lab.pin(t, backbone), t.evaluation_split)
                for p in prompts(lab, backbone, [clean_task(t)], seeds)
            ),
            t.contrasts(),
        )
    )


def one_seed(place: Any, found: Iterable[Prompt]) -> int:
    """The seed of one of these prompts."""
    known = sorted({prompt.seed for prompt in found}) or [0]
    chosen = address.bound(
        place.selectbox, "Seed", known, key="seed",
        help="Each seed is a separate prompt, tuned from a different initialisation.",
    )  # fmt: skip
    about.note(seed=chosen)
    return int(chosen)


def contrast(task: Task) -> Contrast | None:
    """The binary question; the control appears only if the task has several."""
    named = {task.contrast_name(c): c for c in task.contrasts()}
    if len(named) == 1:
        return None
    first = next(iter(named))
    chosen = address.bound(
        st.segmented_control,
        "Question",
        list(named),
        default=first,
        key="question",
        format_func=plain,
    )
    return named[chosen or first]


def fraction(label: str = "Skill neurons", key: str = "top") -> float:
    """The share of each layer's neurons that count as skill neurons."""
    names = {f"{f:.0%}": f for f in sweeps.PAPER_FRACTIONS[1:]}
    chosen = address.bound(
        st.select_slider, label, list(names), value="5%", key=key,
        help="The top share of each layer: skill neurons by predictivity, causal neurons by "
        "attribution.",
    )  # fmt: skip
    return names[chosen]
