"""Prompts of one backbone for another: train a projector, and test what it makes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from core.base.errors import BadInput
from core.base.specs import key
from core.commands.common import (
    AsJson,
    BackboneArg,
    Exact,
    Length,
    Selection,
    ask_all,
    bar,
    open_lab,
    say,
    writable,
)
from core.figures import projection as figures
from core.measures import projections, sweeps
from core.measures.projected import projected
from core.measures.projector import By, Shape
from core.measures.prompts import artifact
from core.measures.tuning import TuneSpec
from core.store.files import artifact_bytes
from core.tasks import Task, in_order
from core.tasks.data import obtain_task

app = typer.Typer()
Tasks = Annotated[str, typer.Option(help="Tasks, separated by commas.")]


@app.command()
def project(
    from_backbone: BackboneArg,
    to_backbone: BackboneArg,
    tasks: Annotated[str, typer.Option(help="Tasks to train on, separated by commas.")],
    test: Annotated[
        str | None,
        typer.Option(help="Tasks to test on, separated by commas; default: those of --tasks."),
    ] = None,
    by: Annotated[
        By, typer.Option(help="Training objective: distance to the target's prompts, or task loss.")
    ] = "task",
    shape: Annotated[
        Shape, typer.Option(help="Project a prompt's vectors as a whole, or each by itself.")
    ] = "whole",
    seeds: Annotated[int, typer.Option(min=1, max=5, help="Prompts per task.")] = 5,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Training steps; default: those of the figures.")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(min=1e-6, help="AdamW's learning rate.")
    ] = None,
    width: Annotated[
        int | None, typer.Option(min=1, help="Hidden width; default: that of the figures.")
    ] = None,
    tune_steps: Annotated[
        int | None,
        typer.Option(min=1, help="Tuning steps of the prompts; default: as in the figures."),
    ] = None,
    prompt_length: Length = None,
    selection: Selection = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the initial weights and the batches.")
    ] = 0,
    precision: Exact = None,
    out: Annotated[
        Path | None,
        typer.Option(
            callback=writable,
            help="Write the first test task's projected prompt to this safetensors file.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train a projector from one backbone to another and test the projected prompts: one row per
    task and kind of prompt.
    """
    with open_lab() as lab:
        names = [lab.models.obtain(b, bar()) for b in (from_backbone, to_backbone)]
        if len({lab.models.pin(name) for name in names}) == 1:
            raise BadInput("The two backbones are the same; choose different ones.")
        tested = _tasks(test or tasks)
        learned = in_order(_tasks(tasks))

        def tuned(name: str, found: list[Task]) -> list[TuneSpec]:
            settings = {
                "steps": tune_steps, "precision": precision, "prompt_length": prompt_length,
                "selection": selection,
            }  # fmt: skip
            chosen = sweeps.SEEDS[:seeds]
            return [p for t in found for p in lab.standard(name, t, chosen, **settings)]

        spec = projections.projector(
            tuned(names[0], learned), tuned(names[1], learned), by, shape=shape, steps=steps,
            learning_rate=learning_rate, width=width, seed=seed,
        )  # fmt: skip
        asked = {
            t.title: projections.questions(
                {by: spec}, (lab.pin(t, names[1]), t.evaluation_split),
                tuned(names[0], [t]), tuned(names[1], [t]),
            )
            for t in tested
        }  # fmt: skip
        ask_all(lab, [spec, *(s for kinds in asked.values() for e in kinds.values() for s in e)])
        prompts = {t.title: projected(spec, tuned(names[0], [t])[0]) for t in tested}
        if out:
            first = lab.prompt(prompts[tested[0].title])
            out.write_bytes(artifact_bytes(artifact(first)))
        group = figures.groups(
            {t.title: t.category for t in [*tested, *learned]}, [t.title for t in learned]
        )
        table = figures.accuracies(figures.read(lab.store, asked), group)
        keys = {t: key(p) for t, p in prompts.items()}
        mine = table.how == by
        say(table.assign(projector=key(spec), prompt=table.task.map(keys).where(mine)), as_json)


def _tasks(text: str) -> list[Task]:
    """Tasks by name. Raises: BadInput for one with written answers."""
    names = dict.fromkeys(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise BadInput("Name at least one task; several are separated by commas.")
    found = [obtain_task(name, bar()) for name in names]
    for task in found:
        task.need_classes("projection")
    return found
