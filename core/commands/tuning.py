"""Prompts: tune one, and the layout of its input."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from core.base.errors import BadInput
from core.base.specs import key
from core.commands import inputs
from core.commands.common import (
    AsJson,
    BackboneArg,
    Exact,
    Length,
    Selection,
    Steps,
    TaskArg,
    bar,
    open_lab,
    say,
    writable,
)
from core.measures import sweeps
from core.measures.prompts import artifact
from core.measures.tuning import Init
from core.store.files import artifact_bytes
from core.tasks import Text
from core.tasks.data import load_split, obtain_task

app = typer.Typer()


@app.command()
def layout(
    backbone: BackboneArg,
    task: TaskArg,
    example: Annotated[int, typer.Option(min=0, help="Row of the evaluation split.")] = 0,
    prompt_length: Annotated[int, typer.Option(min=1, max=512, help="Vectors of the prompt.")] = 8,
    as_json: AsJson = False,
) -> None:
    """The exact input of one example, position by position."""
    with open_lab() as lab:
        target = obtain_task(task, bar())
        rows = load_split(target, target.evaluation_split)
        if example >= len(rows):
            raise BadInput(f"{target.title} has {len(rows)} examples; the last is {len(rows) - 1}.")
        model = lab.models.load(lab.models.obtain(backbone, bar()))
        slots = model.layout(
            prompt_length,
            rows.text_a[example],
            rows.text_b[example] if rows.text_b else None,
            template=target.templates.get(model.family),
        )
        say([asdict(slot) for slot in slots], as_json)


@app.command()
def tune(
    backbone: BackboneArg,
    task: TaskArg,
    seed: Annotated[
        int, typer.Option(min=0, max=2**31 - 1, help="Draws the first vectors and the batches.")
    ] = 0,
    steps: Steps = None,
    prompt_length: Length = None,
    init: Annotated[
        Init,
        typer.Option(help="First vectors: random tokens, Gaussian noise, or the answer words."),
    ] = "vocabulary",
    start: Annotated[
        str | None,
        typer.Option(help="A prompt whose vectors are the first ones, with a fresh optimiser."),
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(min=1e-6, help="Of AdamW; default: that of the figures.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Examples per step; default: that of the figures.")
    ] = None,
    selection: Selection = None,
    max_length: Annotated[
        int | None,
        typer.Option(min=4, max=4096, help="Input tokens read per example; default: 128."),
    ] = None,
    precision: Exact = None,
    out: Annotated[
        Path | None,
        typer.Option(
            callback=writable, help="safetensors file of the prompt, beside that in the cache."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tune a soft prompt and print its key. Default settings are those of the figures' prompts."""
    with open_lab() as lab:
        backbone = lab.models.obtain(backbone, bar())
        target = obtain_task(task, bar())
        if init == "labels" and isinstance(target.answer, Text):
            raise BadInput(
                f"{target.title} has written answers, so there are no answer words to start from; "
                "choose another --init."
            )
        first = None
        if start is not None:
            first = inputs.start(lab, start, backbone, init)
            prompt_length = prompt_length or first.prompt_length - lab.models.has_dead_row(first)
        spec = sweeps.standard_prompt(
            lab.models.pin(backbone),
            lab.models.family(backbone),
            lab.pin(target, backbone),
            seed,
            steps=steps,
            prompt_length=prompt_length,
            init=init,
            start=first,
            learning_rate=learning_rate,
            batch_size=batch_size,
            selection=selection or lab.selection(target),
            max_length=max_length,
            precision=precision or lab.models.precision(backbone),
        )
        prompt = lab.prompt(spec, bar())
        if out:
            out.write_bytes(artifact_bytes(artifact(prompt)))
        say(
            {
                "key": key(spec),
                "best_step": prompt.best_step,
                "selection_accuracy": prompt.selection_accuracy,
                "selection_rows": prompt.selection_rows,
                "file": str(out or lab.store.file("prompts", key(spec))),
            },
            as_json,
        )
