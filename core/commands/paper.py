"""All of Ackermann & Ohmer 2024 as one list of questions, with the expected time."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.backbones.batches import Encoded
from core.base.errors import BadInput
from core.base.prompts import Prompt
from core.base.specs import Pinned, Precision, Spec
from core.lab.lab import Lab
from core.measures import sweeps
from core.measures.evaluation import EvaluationSpec
from core.measures.predictivity import PredictivitySpec
from core.measures.stability import StabilitySpec
from core.measures.tuning import TuneSpec
from core.tasks import Task, clean_task, load_task, pin_task
from core.tasks.data import load_split

TASKS = (
    "sst2", "imdb", "movie_rationales", "qnli", "mnli_binary", "mrpc", "qqp",
    "ethics_deontology", "ethics_justice", "adv_sst2", "adv_qnli", "adv_qqp",
)  # fmt: skip
BACKWARD = 3  # a training step costs about three forward passes
SAMPLE = 16  # examples of the calibration


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Questions in the order in which they are asked; each stage rests on those before it."""

    prompts: tuple[Prompt, ...]
    transfer: tuple[EvaluationSpec, ...]
    predictivity: tuple[PredictivitySpec, ...]
    stability: tuple[StabilitySpec, ...]
    suppression: tuple[EvaluationSpec, ...]

    @property
    def everything(self) -> tuple[Spec, ...]:
        """All stages; the start of a curve is a cell of the transfer matrix and is asked once."""
        tuned = (p for p in self.prompts if p.origin == "tuned")
        stages: tuple[Spec, ...] = (
            *tuned, *self.transfer, *self.predictivity, *self.stability, *self.suppression
        )  # fmt: skip
        return tuple(dict.fromkeys(stages))


def standard_prompts(
    backbone: Pinned,
    family: str,
    tasks: Sequence[Task],
    *,
    seeds: Sequence[int] = sweeps.SEEDS,
    steps: int | None = None,
    prompt_length: int | None = None,
    precision: Precision = "fp32",
) -> dict[str, tuple[Prompt, ...]]:
    """The prompts to be tuned, by clean task."""
    return {
        t.name: tuple(
            sweeps.standard_prompt(
                backbone, family, pin_task(t, family), seed,
                steps=steps, prompt_length=prompt_length, precision=precision,
            )
            for seed in seeds
        )
        for t in tasks
        if t.adversarial_of is None
    }  # fmt: skip


def released_prompts(
    lab: Lab, backbone: Pinned, tasks: Sequence[Task]
) -> dict[str, tuple[Prompt, ...]]:
    """The imported prompts of the clean tasks. Raises: BadInput if a task has none."""
    found: dict[str, tuple[Prompt, ...]] = {
        t.name: lab.imported(backbone, t.name) for t in tasks if t.adversarial_of is None
    }
    if absent := [name for name, prompts in found.items() if not prompts]:
        raise BadInput(
            f"No released prompt of {', '.join(absent)} was imported for {backbone.name}; run "
            "`import-prompts`, or leave the task out of --subset."
        )
    return found


def plan(
    tasks: Sequence[Task],
    prompts: Mapping[str, Sequence[Prompt]],
    family: str,
    *,
    limit: int | None = None,
) -> Plan:
    """Every prompt on every task; predictivity and suppression on the prompt's own task and its
    adversarial versions, as the pages ask for them. `family` is the backbone's, `limit` the most
    examples of an evaluation.

    Source: Ackermann & Ohmer 2024 (per layer, zeroed; they draw random neurons once,
    we draw three times).
    Raises: BadInput for an adversarial version without its clean task.
    """
    for t in tasks:
        if clean_task(t).name not in prompts:
            raise BadInput(f"{t.name} needs the prompts of {clean_task(t).name}: add that task.")
    own = [(t, prompts[clean_task(t).name]) for t in tasks]
    choices = (
        sweeps.SuppressionChoices() if limit is None else sweeps.SuppressionChoices(limit=limit)
    )
    places = {t.name: (pin_task(t, family), t.evaluation_split) for t in tasks}
    compared = [
        sweeps.robustness(
            group, places[clean_task(t).name], places[t.name], clean_task(t).contrasts(), choices
        )
        for t, group in own
        if t.adversarial_of is not None
    ]
    rankings = {
        t.name: sweeps.predictivities(((p, *places[t.name]) for p in group), t.contrasts())
        for t, group in own
    }
    curves = [
        *(
            sweeps.suppression_sweep(group, rankings[t.name], *places[t.name], choices)
            for t, group in own
            if t.adversarial_of is None
        ),
        *(curve for sweep in compared for curve in sweep.suppression.values()),
    ]
    return Plan(
        prompts=tuple(p for group in prompts.values() for p in group),
        transfer=tuple(
            sweeps.own_evaluation(p, task, split, limit=limit)
            for group in prompts.values()
            for p in group
            for task, split in places.values()
        ),
        predictivity=tuple(spec for group in rankings.values() for spec in group),
        stability=tuple(sweep.stability for sweep in compared),
        suppression=tuple(dict.fromkeys(spec for curve in curves for spec in curve)),
    )


def passes(questions: Sequence[Spec]) -> int:
    """Examples that go through the model, a training step counted three times."""
    return sum(map(_passes, questions))


def _passes(spec: Spec) -> int:
    if isinstance(spec, TuneSpec):
        checks = spec.steps // spec.evaluate_every + 1
        return BACKWARD * spec.steps * spec.batch_size + checks * spec.selection
    if isinstance(spec, PredictivitySpec):
        return _rows(spec.task, "train", None) + _rows(spec.task, spec.split, spec.limit)
    if isinstance(spec, StabilitySpec):
        both = zip(spec.clean, spec.adversarial, strict=True)
        return sum(_passes(c) + _rows(a.task, a.split, a.limit) for c, a in both)
    assert isinstance(spec, EvaluationSpec)
    return _rows(spec.task, spec.split, spec.limit)


def _rows(task: Pinned, split: str, limit: int | None) -> int:
    rows = len(load_split(load_task(task.name), split))
    return rows if limit is None else min(rows, limit)


def rows(questions: Sequence[Spec]) -> int:
    """Examples that are tokenized: each split of each task once."""
    read = set[tuple[str, str]]()
    for spec in questions:
        if isinstance(spec, StabilitySpec):
            continue  # reads what its measurements read
        assert isinstance(spec, TuneSpec | PredictivitySpec | EvaluationSpec)
        read.add((spec.task.name, "train" if isinstance(spec, TuneSpec) else spec.split))
        if isinstance(spec, PredictivitySpec):
            read.add((spec.task.name, "train"))
    return sum(len(load_split(load_task(task), split)) for task, split in read)


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Seconds per example on this machine: of a forward pass, and of tokenising."""

    forward: float
    reading: float

    def hours(self, questions: Sequence[Spec]) -> float:
        """The expected time of these questions."""
        return (passes(questions) * self.forward + rows(questions) * self.reading) / 3600


def calibrate(lab: Lab, prompt: Prompt, task: Task) -> Pace:
    """Time a few examples with such a prompt: tokenized once, passed through twice."""
    import torch

    backbone = lab.models.load(prompt.backbone.name, prompt.precision)
    examples = load_split(task, task.evaluation_split, SAMPLE)
    backbone.token_ids("a first text makes the tokenizer ready")
    start = time.perf_counter()
    encoded = Encoded.of(backbone, examples, task.templates.get(backbone.family))
    reading = time.perf_counter() - start
    batch = encoded.batch(list(range(len(examples))), backbone)
    vectors = backbone.word_vectors()[: prompt.prompt_length]
    for _ in range(2):
        start = time.perf_counter()
        with torch.inference_mode():
            backbone.answer_state(vectors, batch.ids, batch.mask)
    forward = time.perf_counter() - start
    return Pace(forward=forward / len(examples), reading=reading / len(examples))
