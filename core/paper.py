"""The whole of Ackermann & Ohmer 2024 as one list of questions, and how long it will take here."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from core import sweeps
from core.data import Encoded, load_split
from core.lab import Lab
from core.specs import (
    ActivationSpec,
    EvaluationSpec,
    Measurement,
    Pinned,
    Precision,
    PredictivitySpec,
    Prompt,
    TuneSpec,
)
from core.tasks import Task, clean_task, load_task, pin_task

TASKS = (
    "sst2", "imdb", "movie_rationales", "qnli", "mnli_binary", "mrpc", "qqp",
    "ethics_deontology", "ethics_justice", "adv_sst2", "adv_qnli", "adv_qqp",
)  # fmt: skip
BACKWARD = 3  # a training step costs about three forward passes
SAMPLE = 16  # examples of the calibration


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Questions in the order in which they are asked; each stage rests on those before it."""

    prompts: tuple[TuneSpec, ...]
    transfer: tuple[EvaluationSpec, ...]
    predictivity: tuple[PredictivitySpec, ...]
    suppression: tuple[EvaluationSpec, ...]

    @property
    def everything(self) -> tuple[Measurement, ...]:
        """All stages; a curve's start is a cell of the transfer matrix, and is asked once."""
        stages: tuple[Measurement, ...] = (
            *self.prompts, *self.transfer, *self.predictivity, *self.suppression
        )  # fmt: skip
        return tuple(dict.fromkeys(stages))


def plan(
    backbone: Pinned,
    family: str,
    tasks: Sequence[Task],
    *,
    seeds: Sequence[int] = sweeps.SEEDS,
    limit: int | None = None,
    steps: int | None = None,
    prompt_length: int | None = None,
    precision: Precision = "fp32",
) -> Plan:
    """Tuning on every clean task; every prompt on every task; predictivity and suppression on the
    prompt's own task and its adversarial twins. `limit` is the most examples of an evaluation.

    Source: Ackermann & Ohmer 2024 (one random draw per fraction and seed, per layer, zeroed).
    """
    clean = [t for t in tasks if t.adversarial_of is None]
    prompts: dict[str, tuple[TuneSpec, ...]] = {
        t.name: tuple(
            sweeps.standard_prompt(
                backbone,
                family,
                pin_task(t),
                seed,
                steps=steps,
                prompt_length=prompt_length,
                precision=precision,
            )
            for seed in seeds
        )
        for t in clean
    }
    own = [(t, prompts[clean_task(t).name]) for t in tasks if clean_task(t).name in prompts]
    choices = sweeps.SuppressionChoices(draws=1, limit=limit)
    rankings = {
        t.name: sweeps.predictivities(
            ((p, pin_task(t), t.evaluation_split) for p in prompts[t.name]), t.contrasts()
        )
        for t in clean
    }
    return Plan(
        prompts=tuple(p for group in prompts.values() for p in group),
        transfer=tuple(
            EvaluationSpec(prompt=p, task=pin_task(t), split=t.evaluation_split, limit=limit)
            for group in prompts.values()
            for p in group
            for t in tasks
        ),
        predictivity=tuple(
            spec
            for t, group in own
            for spec in sweeps.predictivities(
                ((p, pin_task(t), t.evaluation_split) for p in group), t.contrasts()
            )
        ),
        suppression=tuple(
            spec
            for t, group in own
            for spec in sweeps.suppression_sweep(
                tuple[Prompt, ...](group), rankings[clean_task(t).name], pin_task(t),
                t.evaluation_split, choices,
            )
        ),
    )  # fmt: skip


def passes(questions: Sequence[Measurement]) -> int:
    """Examples that go through the model, a training step counted three times."""
    return sum(map(_passes, questions))


def _passes(spec: Measurement) -> int:
    if isinstance(spec, TuneSpec):
        checks = spec.steps // spec.evaluate_every + 1
        return BACKWARD * spec.steps * spec.batch_size + checks * spec.selection
    if isinstance(spec, PredictivitySpec):
        return _rows(spec.task, "train", None) + _rows(spec.task, spec.split, spec.limit)
    assert isinstance(spec, EvaluationSpec)
    return _rows(spec.task, spec.split, spec.limit)


def _rows(task: Pinned, split: str, limit: int | None) -> int:
    rows = len(load_split(load_task(task.name), split))
    return rows if limit is None else min(rows, limit)


def rows(questions: Sequence[Measurement]) -> int:
    """Examples that are tokenised: each split of each task once, whoever asks for it."""
    read = set[tuple[str, str]]()
    for spec in questions:
        assert not isinstance(spec, ActivationSpec)
        read.add((spec.task.name, "train" if isinstance(spec, TuneSpec) else spec.split))
        if isinstance(spec, PredictivitySpec):
            read.add((spec.task.name, "train"))
    return sum(len(load_split(load_task(task), split)) for task, split in read)


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Seconds per example on this machine: of a forward pass, and of tokenising."""

    forward: float
    reading: float

    def hours(self, questions: Sequence[Measurement]) -> float:
        """What these questions are expected to take."""
        return (passes(questions) * self.forward + rows(questions) * self.reading) / 3600


@torch.inference_mode()
def calibrate(lab: Lab, prompt: TuneSpec) -> Pace:
    """Time a few examples behind such a prompt: read once, passed through twice."""
    task = load_task(prompt.task.name)
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
        backbone.answer_state(vectors, batch.ids, batch.mask)
    forward = time.perf_counter() - start
    return Pace(forward=forward / len(examples), reading=reading / len(examples))
