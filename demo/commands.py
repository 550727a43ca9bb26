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

Data = Annotated[
    Path | None, typer.Option(help="Folder of labelled rows: sst2/train.jsonl and so on.")
]
Trunk = Annotated[Path, typer.Option(help="Folder of the first stage's weights.")]


@demo.command()
def texts() -> None:
    """Draw the built-in tasks' splits and write them as JSON Lines."""
    from demo import splits

    for file in splits.write(Settings.from_env().assets / "tasks"):
        typer.echo(str(file))


@demo.command("pretrain")
def run_pretraining(backbone: str, out: Path, corpus: Corpus = None) -> None:
    """Pretrain an embedded backbone from scratch; an interrupted run resumes where it stopped."""
    from demo.pretrain import pretrain
    from demo.recipes import RECIPES

    if backbone not in RECIPES:
        raise UnknownName("recipe", backbone, RECIPES)
    pretrain(RECIPES[backbone], out, corpus, log=typer.echo)


@demo.command("second-stage")
def run_second_stage(
    backbone: str, out: Path, trunk: Trunk, corpus: Corpus = None, data: Data = None
) -> None:
    """Train on from the first stage's weights; an interrupted run resumes where it stopped."""
    from demo.recipes import STAGES
    from demo.second import second_stage

    if backbone not in STAGES:
        raise UnknownName("stage", backbone, STAGES)
    second_stage(STAGES[backbone], out, trunk, corpus, data, log=typer.echo)


@demo.command()
def aims(folder: Path, data: Data = None) -> None:
    """Measure what a backbone of the second edition should reach; a JSON line a number."""
    import json

    from core.backbones import load_backbone
    from demo.aims import measure

    backbone = load_backbone(folder)
    backbone.model.float()
    for row in measure(backbone, Settings.from_env().assets / "tasks", data):
        typer.echo(json.dumps(row))


@demo.command()
def blind(folder: Annotated[Path | None, typer.Argument()] = None) -> None:
    """Write attacked texts without labels, or score the folder's NAME.answers.json files; without a
    folder, score what the last readers answered.
    """
    from demo import blind as reading

    if folder is None:
        scored = reading.compared(reading.kept())
    elif any(folder.glob("*.answers.json")):
        scored = reading.score(folder)
    else:
        for file in reading.write(folder):
            typer.echo(str(file))
        return
    typer.echo(scored.to_string(index=False, float_format="%.3f"))


@demo.command()
def rebuild(
    keep_prompts: Annotated[
        bool, typer.Option(help="Remeasure the shipped prompts instead of tuning new ones.")
    ] = False,
    keep_answers: Annotated[
        bool, typer.Option(help="Keep all shipped answers; compute only what is not shipped yet.")
    ] = False,
) -> None:
    """Tune all prompts and recompute all shipped answers from weights and text."""
    from demo import rebuild as rebuilding

    settings = Settings.from_env()
    keep: rebuilding.Keep = "prompts" if keep_prompts else "nothing"
    rebuilding.rebuild(
        settings.assets, settings.cache / "rebuild", say=typer.echo,
        keep="answers" if keep_answers else keep,
    )  # fmt: skip


@demo.command()
def findings(
    name: Annotated[str | None, typer.Argument(help="One table; default: all of them.")] = None,
) -> None:
    """What the embedded default shows: the numbers of docs/method.md, from stored answers."""
    from demo import findings as found

    if name is not None and name not in found.TABLES:
        raise typer.BadParameter(f"There is no table {name}; there are {', '.join(found.TABLES)}.")
    lab = Lab.open(Settings.from_env())
    for title, table in found.tables(lab, name).items():
        typer.echo(f"\n# {title}\n{table.to_string(index=False, float_format='%.3f')}")
    lab.store.close()


@demo.command()
def sentences(data: Data = None) -> None:
    """Accuracy of the shipped short-reviews prompts on sentences that people wrote."""
    from demo.reached import on_sentences

    lab = Lab.open(Settings.from_env())
    typer.echo(on_sentences(lab, data).to_string(index=False, float_format="%.3f"))
    lab.store.close()


@demo.command()
def report(backbone: str) -> None:
    """Accuracy, predictivity and accuracy drop under suppression, task by task."""
    from demo import rebuild as rebuilding

    lab = Lab.open(Settings.from_env())
    table = rebuilding.report(lab, backbone)
    typer.echo(table.to_string(index=False, float_format="%.3f"))
    lab.store.close()
