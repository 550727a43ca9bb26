"""Common parts of all commands: options, the lab, printing, a progress line."""

import json
import math
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from core.base.errors import BadInput
from core.base.progress import Progress
from core.base.settings import Settings
from core.base.specs import Precision, Spec, Stack
from core.lab.lab import Lab
from core.tasks import Task, clean_task, load_task
from core.tasks.attacks import Kind, Where
from core.tasks.data import shared_rows

TASK = "Name of a built-in task, one of the papers' or your own, or the path of a task TOML"
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
PromptArg = Annotated[str, typer.Argument(help="Key, .safetensors file, or published torch file.")]
TaskArg = Annotated[str, typer.Argument(help=f"{TASK}.")]
BackboneArg = Annotated[
    str,
    typer.Argument(help="Embedded name, Hugging Face folder, or Hub id[@revision]."),
]
BackboneOption = Annotated[str | None, typer.Option(help="Backbone of a published torch file.")]
Limit = Annotated[
    int | None,
    typer.Option(min=1, help="Maximum number of examples, drawn at random with a fixed seed."),
]
TrainLimit = Annotated[
    int | None,
    typer.Option(min=1, help="Maximum number of train examples for the baselines, drawn likewise."),
]
Length = Annotated[
    int | None,
    typer.Option(min=1, max=512, help="Vectors of the prompt; default: that of the figures."),
]
Steps = Annotated[
    int | None, typer.Option(min=1, help="Training steps; default: those of the figures.")
]
Selection = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Train examples set aside for choosing the best step; default: 200, or a quarter of "
        "fewer than 800.",
    ),
]
Split = Annotated[
    str | None, typer.Option(help="Split to evaluate; default: the task's evaluation split.")
]
AttackKind = Annotated[Kind, typer.Option(help="Kind of attack on the evaluated texts.")]
AttackOption = Annotated[
    Kind | None, typer.Option("--attack", help="Attack the evaluated texts; see --dose.")
]
Dose = Annotated[int, typer.Option(min=1, help="Edits per text, with --attack.")]
WorstOf = Annotated[
    int, typer.Option(min=1, help="Draws of an attack, of which the worst for the prompt is taken.")
]
AttackSeed = Annotated[int, typer.Option(help="Seed of an attack.")]
WhereOption = Annotated[
    Where, typer.Option("--where", help="Which text of a pair is attacked, with --attack.")
]
StackOption = Annotated[
    Stack, typer.Option(help="Whose neurons: the encoder's, or a T5's decoder's.")
]
Exact = Annotated[Precision | None, typer.Option(help="fp32, bf16, or fp64 (reproducible).")]


@contextmanager
def open_lab() -> Iterator[Lab]:
    """The lab on this machine's cache. Raises: StoreBusy."""
    lab = Lab.open(Settings.from_env())
    try:
        yield lab
    finally:
        lab.store.close()


def say(rows: pd.DataFrame | list[dict[str, Any]] | dict[str, Any], as_json: bool) -> None:
    """Print a table, or JSON."""
    if isinstance(rows, pd.DataFrame):
        rows = rows.to_dict("records")
    if as_json:
        typer.echo(json.dumps(_clean(rows), indent=1, default=str))
    elif isinstance(rows, dict):
        for name, value in rows.items():
            typer.echo(f"{name:24} {value}")
    else:
        typer.echo(pd.DataFrame(rows).to_string(index=False, float_format="%.4f"))


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _clean(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_clean(v) for v in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def bar() -> Progress:
    """A progress line on standard error, if it is a terminal."""

    def show(done: float, message: str = "") -> None:
        if sys.stderr.isatty():
            print(f"\r{done:6.1%} {message:40.40}", end="", file=sys.stderr, flush=True)
            if done >= 1:
                print("\r" + " " * 48, end="\r", file=sys.stderr)

    return show


def ask_all(lab: Lab, specs: Sequence[Spec]) -> None:
    """Answer these questions one after another."""
    show = bar()
    for i, spec in enumerate(specs):
        lab.ask(spec)
        show((i + 1) / len(specs), f"{i + 1} of {len(specs)}")


def writable(path: Path | None) -> Path | None:
    """A file to be written, refused before anything is computed for it. Raises: BadInput."""
    if path is not None:
        if path.is_dir():
            raise BadInput(f"{path} is a folder; give the name of a file.")
        if not path.parent.is_dir():
            raise BadInput(f"There is no folder {path.parent} for {path.name}; create it first.")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise BadInput(f"{path} cannot be written here; choose another place.")
    return path


def name_shared_rows(
    sources: Sequence[str],
    targets: Sequence[Task],
    split: str | None = None,
    limit: int | None = None,
) -> None:
    """Report on standard error the evaluated rows that also occur in a train split."""
    known = []
    for name in dict.fromkeys(sources):
        try:
            task = load_task(name)
        except BadInput:
            continue  # an imported prompt's task need not be here
        known += [task] if task.ready else []
    for one in shared_rows([clean_task(t) for t in known], targets, split, limit):
        print(
            f"skillscope: {one.rows} of {one.n} evaluated rows of {one.target_task} also occur in "
            f"the train split of {one.source_task}.",
            file=sys.stderr,
        )
