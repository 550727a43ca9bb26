"""Prompt tuning against the other ways to tune a backbone."""

from typing import Annotated, cast

import typer

from core.backbones.trained import WAYS, Way
from core.base.errors import BadInput
from core.commands.common import (
    AsJson,
    BackboneArg,
    Exact,
    Length,
    Selection,
    Steps,
    TaskArg,
    ask_all,
    bar,
    open_lab,
    say,
)
from core.figures import ways as figures
from core.measures import alternatives, sweeps
from core.tasks.data import obtain_task

app = typer.Typer()


@app.command()
def compare_tuning(
    backbone: BackboneArg,
    task: TaskArg,
    ways: Annotated[
        str, typer.Option(help=f"Methods, separated by commas: {', '.join(WAYS)}.")
    ] = ",".join(WAYS),
    fraction: Annotated[
        float, typer.Option(min=0.001, max=1, help="Share of each layer's neurons to suppress.")
    ] = alternatives.FRACTION,
    without: Annotated[
        bool,
        typer.Option("--without", help="Print the accuracy drops with neurons suppressed instead."),
    ] = False,
    seeds: Annotated[int, typer.Option(min=1, max=5, help="Runs per method.")] = 5,
    steps: Steps = None,
    prompt_length: Length = None,
    selection: Selection = None,
    precision: Exact = None,
    as_json: AsJson = False,
) -> None:
    """Compare tuning methods of a backbone: accuracy, trainable parameters and training time."""
    chosen = _ways(ways)
    if precision == "bf16":
        raise BadInput("Weights are not trained in bf16, whose steps are too coarse; choose fp32.")
    with open_lab() as lab:
        name, found = lab.models.obtain(backbone, bar()), obtain_task(task, bar())
        found.need_classes("comparing ways to tune")
        family, place = lab.models.family(name), lab.pin(found, name)
        prompts = lab.standard(
            name, found, sweeps.SEEDS[:seeds], steps=steps, prompt_length=prompt_length,
            selection=selection, precision=precision,
        )  # fmt: skip
        specs = alternatives.ways(
            prompts, family,
            sweeps.predictivities(
                ((p, place, found.evaluation_split) for p in prompts), found.contrasts()
            ),
            sweeps.attributions(prompts, place),
            split=found.evaluation_split, chosen=chosen, fraction=fraction,
        )  # fmt: skip
        ask_all(lab, specs)
        table = figures.without if without else figures.compared
        say(table(lab.store, specs), as_json)


def _ways(text: str) -> tuple[Way, ...]:
    """Ways by name. Raises: BadInput."""
    named = tuple(dict.fromkeys(text.split(",")))
    for name in named:
        if name not in WAYS:
            raise BadInput(f"--ways {name!r}: choose among {', '.join(WAYS)}.")
    return cast(tuple[Way, ...], named)
