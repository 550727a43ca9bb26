"""What a prompt writes: generate."""

from pathlib import Path
from typing import Annotated

import typer

from core.base.errors import BadInput
from core.commands import inputs
from core.commands.common import (
    AsJson,
    BackboneOption,
    Exact,
    Limit,
    PromptArg,
    Split,
    TaskArg,
    bar,
    name_shared_rows,
    open_lab,
    say,
    writable,
)
from core.figures import written
from core.measures import sweeps
from core.tasks import Text
from core.tasks.data import load_split, obtain_task

app = typer.Typer()


@app.command()
def generate(
    prompt: PromptArg,
    task: TaskArg,
    out: Annotated[
        Path,
        typer.Option(
            callback=writable,
            help="JSON Lines file: one line per example, with the written answer, its references "
            "and scores.",
        ),
    ],
    split: Split = None,
    limit: Limit = None,
    precision: Exact = None,
    backbone: BackboneOption = None,
    as_json: AsJson = False,
) -> None:
    """Save what a prompt writes for each example of a task with written answers, and print each
    metric's mean with its 95% interval.
    """
    with open_lab() as lab:
        asked, target = inputs.prompt(lab, prompt, backbone), obtain_task(task, bar())
        if not isinstance(target.answer, Text):
            raise BadInput(
                f"{target.title} has classes, not written answers; use `evaluate --predictions`."
            )
        spec = sweeps.own_evaluation(
            asked, lab.pin(target, asked.backbone.name), split or target.evaluation_split,
            limit=limit, precision=precision,
        )  # fmt: skip
        lab.ask(spec, bar())
        name_shared_rows([asked.source_task], [target], split, limit)
        examples, found = load_split(target, spec.split, limit), lab.stored(spec)
        rows = written.answers(found, examples)
        out.write_text(rows.to_json(orient="records", lines=True, force_ascii=False), "utf-8")
        say(written.scores(rows, found, examples), as_json)
