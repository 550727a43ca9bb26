"""Sets of questions about projection: what trains a projector, and where it is tested."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from core.base.prompts import Prompt
from core.base.specs import Pinned
from core.measures import sweeps
from core.measures.evaluation import EvaluationSpec
from core.measures.projected import ProjectedPrompt, projected
from core.measures.projector import By, ProjectorSpec
from core.measures.random_words import RandomPrompt
from core.measures.tuning import TuneSpec
from core.tasks import Task

WAYS: tuple[By, ...] = ("distance", "task")  # to train a projector


def learned_by_default(tasks: Sequence[Task]) -> list[Task]:
    """What a projector is trained on unless the user chooses: of the first half of the categories,
    all tasks but the last of each. So it is tested on new tasks of the same and of new categories.
    """
    by_category: dict[str, list[Task]] = {}
    for task in tasks:
        by_category.setdefault(task.category, []).append(task)
    several = [found for found in by_category.values() if len(found) > 1]
    chosen = several[: max(1, len(by_category) // 2)]
    return [task for found in chosen for task in found[:-1]] or list(tasks[:1])


def projector(
    sources: Sequence[Prompt], targets: Sequence[TuneSpec], by: By, **changes: Any
) -> ProjectorSpec:
    """The projector that figures show: prompts of one backbone, and the tunings of the same tasks
    and seeds on another one; `changes` that are None are ignored.
    """
    usual = sweeps.tuning_defaults(targets[0].backbone)
    given = {name: value for name, value in changes.items() if value is not None}
    steps = given.get("steps", usual.projector_steps)
    return ProjectorSpec(
        by=by, sources=tuple(sources), targets=tuple(targets),
        **{
            "width": usual.projector_width, "steps": steps, "evaluate_every": -(-steps // 8),
            **given,
        },
    )  # fmt: skip


def projected_starts(
    prompts: Callable[[str, Task], Sequence[TuneSpec]],
    source: str,
    target: str,
    task: Task,
    tasks: Sequence[Task],
) -> list[ProjectedPrompt]:
    """A task's prompts of a source backbone for a target backbone, by the projector that figures
    show, trained by task, but never on this task. `prompts` gives the standard prompts of a
    backbone and a task. None if there is no other task to train on.
    """
    learned = [t for t in learned_by_default(tasks) if t.name != task.name]
    if not learned:
        return []
    pairs = [[p for t in learned for p in prompts(name, t)] for name in (source, target)]
    found = projector(pairs[0], pairs[1], "task")
    return [projected(found, p) for p in prompts(source, task)]


def random_words(like: Prompt) -> RandomPrompt:
    """Random tokens for the same backbone, as many, with the same seed."""
    return RandomPrompt(
        backbone=like.backbone, seed=like.seed, prompt_length=like.prompt_length,
        max_length=like.max_length, precision=like.precision,
    )  # fmt: skip


def questions(
    projectors: Mapping[By, ProjectorSpec],
    place: tuple[Pinned, str],
    sources: Sequence[Prompt],
    own: Sequence[TuneSpec],
) -> dict[str, tuple[EvaluationSpec, ...]]:
    """One task on the target backbone with its own prompts (`own`), random tokens (`random`), and,
    projected in each way, the source backbone's prompts and random tokens (`distance-random`,
    `task-random`): where these do as well, the source prompt does not matter.
    """
    kinds: dict[str, Sequence[Prompt]] = {"own": own}
    for by, found in projectors.items():
        kinds[by] = [projected(found, p) for p in sources]
        kinds[f"{by}-random"] = [projected(found, random_words(p)) for p in sources]
    kinds["random"] = [random_words(p) for p in own]
    return {
        how: tuple(sweeps.own_evaluation(p, *place) for p in found) for how, found in kinds.items()
    }
