"""The available backbones, tasks, prompts and answers: list, fetch, import, share, merge."""

import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from core.base.errors import BadInput, BadTask
from core.base.settings import Settings
from core.commands import inputs
from core.commands.common import AsJson, BackboneOption, PromptArg, bar, open_lab, say
from core.exchange import published, sharing
from core.figures import queries
from core.tasks import builtin_names, load_task, own_names, paper_names
from core.tasks.baselines import read_shipped
from core.tasks.data import load_split, obtain_task
from core.tasks.textattack import RESULTS, adversarial_version
from core.tasks.uploads import read_table

app = typer.Typer()


@app.command()
def status(as_json: AsJson = False) -> None:
    """List the contents of the cache."""
    with open_lab() as lab:
        prompts = queries.prompts(lab.store)
        if as_json:
            rows = prompts.to_dict("records")
            made = queries.projectors(lab.store)
            made = made.assign(tasks=made.tasks.map(list)).astype(object).where(made.notna(), None)
            listed = {"prompts": rows, "projectors": made.to_dict("records")}
            say({"answers": lab.store.counts(), **listed}, True)
            return
        say(lab.store.counts(), False)
        say({"backbones": ", ".join(lab.models.names()), "cache": lab.settings.cache}, False)
        for name, why in lab.models.missing().items():
            print(f"skillscope: {name} cannot be used: {why}", file=sys.stderr)


@app.command()
def fetch(
    backbone: Annotated[str, typer.Argument(help="Hub id, e.g. FacebookAI/roberta-base@main.")],
    as_json: AsJson = False,
) -> None:
    """Download a backbone from the Hugging Face Hub; an interrupted download is resumed."""
    with open_lab() as lab:
        name = lab.models.obtain(backbone, bar())
        pin = lab.models.pin(name)
        folder = str(lab.models.folder(name))
        say({"name": name, "fingerprint": pin.fingerprint, "folder": folder}, as_json)


@app.command()
def fetch_task(
    task: Annotated[str, typer.Argument(help="Name of one of the papers' tasks.")],
    as_json: AsJson = False,
) -> None:
    """Download a task's data from the Hugging Face Hub."""
    found = obtain_task(task, bar())
    say({s: len(load_split(found, s)) for s in found.splits}, as_json)


@app.command()
def tasks(as_json: AsJson = False) -> None:
    """List the tasks whose data are available, with counts and simple baselines."""
    names = (*builtin_names(), *paper_names(), *own_names())
    ready = [task for task in map(load_task, names) if task.ready]
    rows, shipped = [], read_shipped(Settings.from_env().assets)
    for task in ready:
        try:
            rows.append(inputs.describe(task, shipped))
        except BadTask as error:
            print(f"skillscope: {error}", file=sys.stderr)
    say(rows, as_json)


@app.command()
def import_attacks(
    file: Annotated[Path, typer.Argument(help="A CSV file of results written by TextAttack.")],
    task: Annotated[str, typer.Option(help="The attacked task: name or TOML.")],
    title: Annotated[str, typer.Option(help="Title of the new adversarial version.")] = "",
    every: Annotated[
        bool, typer.Option("--all", help="Also keep failed and skipped attacks.")
    ] = False,
    classes: Annotated[
        str,
        typer.Option(help="The task's label values in the order of TextAttack's class numbers."),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Make an adversarial version of a task from TextAttack's CSV."""
    clean, places = load_task(task), Settings.from_env().places
    table = read_table(file.name, file.read_bytes())
    order = tuple(name.strip() for name in classes.split(",") if name.strip())
    named = title or f"{clean.title}, {file.stem}"
    made = adversarial_version(
        places, table, clean, named, RESULTS if every else RESULTS[:1], order
    )
    counts = Counter(load_split(made, "validation").attack or ())
    say({"task": made.name, "adversarial_of": clean.name, **counts}, as_json)


@app.command()
def import_prompts(
    folder: Annotated[Path, typer.Argument(help="The folder of released prompts, unpacked.")],
    use: Annotated[
        list[str] | None, typer.Option(help="MODEL=BACKBONE, e.g. Roberta=./my-roberta.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Import the released prompts of a folder; reports for each file the result or the reason."""
    with open_lab() as lab:
        outcomes = published.import_folder(lab, folder, inputs.uses(use or ()), bar())
        say([asdict(outcome) for outcome in outcomes], as_json)


@app.command()
def share(
    prompt: PromptArg,
    folder: Annotated[Path, typer.Argument(help="Where to write; made if missing.")],
    backbone: BackboneOption = None,
    as_json: AsJson = False,
) -> None:
    """Write a prompt's files for sharing: safetensors, a card, and for T5 a PEFT adapter."""
    with open_lab() as lab:
        spec = inputs.prompt(lab, prompt, backbone)
        files = sharing.share(lab.prompt(spec), lab.models.shape(spec.backbone.name))
        for name, data in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        say([{"file": str(folder / name)} for name in files], as_json)


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="Where to write; made if missing.")],
    as_json: AsJson = False,
) -> None:
    """Write all answers as Parquet and safetensors, for `merge` on another machine."""
    with open_lab() as lab:
        for name in lab.store.export(folder):
            why = "its file is gone from the cache; tune or import it anew."
            print(f"skillscope: Prompt {name} is not exported: {why}", file=sys.stderr)
        say({"folder": str(folder), **lab.store.counts()}, as_json)


@app.command()
def merge(
    folder: Annotated[Path, typer.Argument(help="A folder that `export` wrote.")],
    as_json: AsJson = False,
) -> None:
    """Import the answers that another machine exported."""
    if not (folder / "evaluation.parquet").is_file():
        raise BadInput(f"{folder} is not a folder that `export` wrote.")
    with open_lab() as lab:
        say({"new": lab.store.merge(folder)}, as_json)
