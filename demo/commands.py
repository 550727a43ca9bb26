"""`python -m demo ...`: make the embedded default again, step by step or as a whole.

Each command imports what it needs: the others should not wait for transformers.
"""

from pathlib import Path
from typing import Annotated

import typer

from core.base.errors import UnknownName
from core.base.settings import Settings
from core.lab.lab import Lab

demo = typer.Typer(no_args_is_help=True, help="Make the embedded default again.")

Corpus = Annotated[Path | None, typer.Option(help="Folder of *.txt.gz files in plain English.")]


@demo.command()
def texts() -> None:
    """Draw the built-in tasks' splits and write them as JSON Lines."""
    from demo import splits

    for file in splits.write(Settings.from_env().assets / "tasks"):
        typer.echo(str(file))


@demo.command("pretrain")
def run_pretraining(backbone: str, corpus: Corpus = None) -> None:
    """Pretrain an embedded backbone from nothing; a killed run goes on where it stopped."""
    from demo.pretrain import pretrain
    from demo.recipes import RECIPES

    if backbone not in RECIPES:
        raise UnknownName("recipe", backbone, RECIPES)
    folder = Settings.from_env().assets / "backbones" / backbone
    pretrain(RECIPES[backbone], folder, corpus, log=typer.echo)


@demo.command()
def rebuild(
    keep_prompts: Annotated[
        bool, typer.Option(help="Measure the shipped prompts anew instead of tuning others.")
    ] = False,
) -> None:
    """Tune all prompts and recompute all shipped answers from weights and text."""
    from demo import rebuild as rebuilding

    settings = Settings.from_env()
    rebuilding.rebuild(
        settings.assets, settings.cache / "rebuild", say=typer.echo, keep_prompts=keep_prompts
    )


@demo.command()
def report(backbone: str) -> None:
    """Accuracy, predictivity and the fall under suppression, task by task."""
    from demo import rebuild as rebuilding

    lab = Lab.open(Settings.from_env())
    table = rebuilding.report(lab, backbone)
    typer.echo(table.to_string(index=False, float_format="%.3f"))
    lab.store.close()
