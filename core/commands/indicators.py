"""Prompts themselves: how alike they are, whether that goes with transfer, the words near them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import typer

from core.base.errors import BadInput
from core.base.prompts import Prompt
from core.base.settings import Settings
from core.base.specs import key
from core.commands import inputs
from core.commands.common import (
    AsJson,
    BackboneOption,
    PromptArg,
    Steps,
    TaskArg,
    ask_all,
    bar,
    open_lab,
    say,
    writable,
)
from core.exchange import published as prompt_files
from core.figures import advice, literature, queries, released
from core.figures import indicators as figures
from core.figures import prompt as one
from core.lab.lab import Lab
from core.measures import sweeps
from core.measures.nearest import Metric, NearestSpec
from core.stats.neurons import Ranking
from core.stats.similarity import overlapping_rate, windows
from core.tasks import Task, builtin_names, load_task
from core.tasks.data import obtain_task

app = typer.Typer()
Array = npt.NDArray[Any]
WORDS = 10  # a vector, as the page asks
FEWEST = 5  # tasks among which advice can be given: four sources of one target, without another


@app.command()
def indicators(
    prompts: Annotated[
        list[str] | None,
        typer.Argument(help="Prompts of one backbone; with --published a folder of released ones."),
    ] = None,
    published: Annotated[
        bool,
        typer.Option(
            help="Compare the indicators of released prompts with the released accuracies of "
            "Su et al. 2022. No model is needed. Without a folder, the shipped similarities are "
            "used."
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            callback=writable, help="With --published: CSV file to write the similarities to."
        ),
    ] = None,
    neurons: Annotated[
        bool,
        typer.Option(
            help="Also compare the prompts' predictivities and causal neurons, each on the "
            "prompt's own task."
        ),
    ] = False,
    backbone: BackboneOption = None,
    as_json: AsJson = False,
) -> None:
    """Similarity of prompts, a row per pair; with --published, its correlation with transfer."""
    given = prompts or []
    if published:
        if neurons:
            raise BadInput("--neurons needs prompts of a backbone that is here, not --published.")
        likeness, found = _published(given, out)
        say(found.assign(indicator=found.indicator.map(figures.title)), as_json)
        if not as_json:
            typer.echo(f"\n{released.sentence(likeness, found)} {released.ON}".replace("**", ""))
        return
    if out is not None:
        raise BadInput("--out needs --published.")
    if len(given) < 2:
        raise BadInput("Give at least two prompts, or --published.")
    with open_lab() as lab:
        asked = [inputs.prompt(lab, text, backbone) for text in given]
        say(_pairs(lab, asked, neurons=neurons), as_json)


def _published(given: list[str], out: Path | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Likeness of the released prompts, and each indicator's Spearman with the released accuracies.
    Raises: BadInput.
    """
    assets = Settings.from_env().assets
    if len(given) > 1:
        raise BadInput("--published takes one folder of released prompts, or none.")
    likeness = _released(Path(given[0])) if given else released.likeness(assets)
    if out is not None:
        likeness.to_csv(out, index=False, float_format="%.8g")
    transfer = literature.transfer(assets, relative=True)
    pairs = figures.joined(likeness, transfer, literature.categories())
    found = figures.agreement(pairs)
    return likeness, found


def _released(folder: Path) -> pd.DataFrame:
    """Likeness of the authors' own runs (`seed_su`) in a folder. Raises: BadInput."""
    names = {prompt_files.TASKS.get(t.lower(), t.lower()): t for t in literature.TASKS}
    found = {
        (claim.model, names[claim.task]): vectors.double().numpy()
        for claim, vectors in prompt_files.read_folder(folder).items()
        if claim.seed == 0 and claim.model in literature.MODELS and claim.task in names
    }
    if not found:
        raise BadInput(
            f"{folder} contains no prompt by Su et al. for {', '.join(literature.MODELS)}."
        )
    return released.of_prompts(found)


def _pairs(lab: Lab, asked: list[Prompt], *, neurons: bool = False) -> pd.DataFrame:
    """A row per pair of prompts, a column per indicator. Raises: BadInput."""
    if len({p.backbone for p in asked}) > 1:
        raise BadInput("The prompts are for different backbones; give prompts of one backbone.")
    specs = sweeps.activated(asked)
    ask_all(lab, [*asked, *specs])
    vectors = [lab.prompt(p).array for p in asked]
    found = figures.embeddings(vectors, [lab.has_dead_row(p) for p in asked])
    active = [lab.stored(s).active for s in specs]
    for i, (first, last) in enumerate(windows(len(active[0]))):
        name = f"{figures.WINDOW}{first} to {last}" if i else "activated"
        found[name] = overlapping_rate(active, first, last)
    found |= _by_neurons(lab, asked) if neurons else {}
    rows = [
        {
            "first": key(asked[i]), "second": key(asked[j]), "first_task": asked[i].source_task,
            "second_task": asked[j].source_task,
            **{figures.title(name): float(values[i, j]) for name, values in found.items()},
        }
        for i, j in combinations(range(len(asked)), 2)
    ]  # fmt: skip
    return pd.DataFrame(rows).replace({np.nan: None})


def _by_neurons(lab: Lab, asked: list[Prompt]) -> dict[str, Array]:
    """Our own indicators: how alike are the rankings of each prompt's neurons on its own task?

    Raises: BadInput.
    """
    found = dict[str, list[Ranking]]()
    for prompt in asked:
        task = lab.find_task(prompt.source_task)
        task.need_classes("a ranking of neurons")
        place = lab.pin(task, prompt.backbone.name)
        on = [(prompt, place, task.evaluation_split)]
        measured: dict[str, queries.Rankable] = {
            "predictivity": sweeps.predictivities(on, task.contrasts()),
            "causal": sweeps.attributions([prompt], place),
        }
        for name, specs in measured.items():
            ask_all(lab, specs)
            (one_task,) = queries.rankings(lab.store, specs, clean=lab.clean_name).values()
            found.setdefault(name, []).append(one_task)
    return {
        name: np.array([[figures.ALIKE[name](a, b) for b in ranked] for a in ranked])
        for name, ranked in found.items()
    }


@app.command()
def advise(
    task: TaskArg,
    backbone: Annotated[str, typer.Option(help="Backbone to tune.")],
    tasks: Annotated[
        str | None,
        typer.Option(
            help="Candidate source tasks, separated by commas; default: the built-in ones."
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, max=5, help="Prompts per task.")] = 5,
    steps: Steps = None,
    brief: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Tuning steps of this task's own prompts, which are only compared; default: as "
            "many as for the others.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Rank other tasks' prompts as starting points, the most similar first. The indicator is chosen
    without this task, and no other prompt is evaluated on it; accuracies that are known are given.
    """
    with open_lab() as lab:
        name, target = lab.models.obtain(backbone, bar()), obtain_task(task, bar())
        others = [obtain_task(t.strip(), bar()) for t in tasks.split(",")] if tasks else _builtin()
        found = [target, *(t for t in others if t.name != target.name)]
        if len(found) < FEWEST:
            raise BadInput(
                f"Advice needs at least {FEWEST} tasks, this one included; add more to --tasks."
            )
        for one in found:
            one.need_classes("advice")
        own = {target.name: brief or steps}
        sweep = _similarity(lab, name, found, sweeps.SEEDS[:seeds], lambda t: own.get(t, steps))
        apart = [s for s in sweep.grid if target.name not in (s.prompt.source_task, s.task.name)]
        ask_all(lab, [*sweep.prompts, *apart, *sweep.active, *sweep.causal])
        likeness = figures.of_everything(
            lab.store, name, sweep, clean=lab.clean_name, dead=lab.has_dead_row
        )
        transfer = queries.transfer(lab.store, sweep.grid, relative=True, clean=lab.clean_name)
        pairs = figures.joined(
            likeness, transfer, {t.name: t.category for t in found}, unmeasured=target.name
        )
        table = advice.advise(pairs, target.name)
        if table.empty:
            raise BadInput(
                "No advice can be given: the accuracies of the other tasks' prompts on each other "
                "do not vary, so no indicator can be chosen."
            )
        say(table.assign(indicator=table.indicator.map(figures.title)), as_json)


def _builtin() -> list[Task]:
    """The clean built-in tasks with classes."""
    every = [load_task(name) for name in builtin_names()]
    return [t for t in every if t.labels and t.adversarial_of is None]


def _similarity(
    lab: Lab,
    name: str,
    found: list[Task],
    seeds: tuple[int, ...],
    steps: Callable[[str], int | None],
) -> sweeps.SimilaritySweep:
    """All questions that the Transferability page asks of these tasks; tuning steps by task."""
    return sweeps.similarity(
        {t.name: lab.standard(name, t, seeds, steps=steps(t.name)) for t in found},
        {t.name: (lab.pin(t, name), t.evaluation_split) for t in found},
        {t.name: t.contrasts() for t in found},
    )


@app.command()
def read_prompt(
    prompt: PromptArg,
    by: Annotated[
        Metric, typer.Option(help="Rank tokens by cosine similarity or Euclidean distance.")
    ] = "cosine",
    count: Annotated[int, typer.Option(min=1, max=100, help="Tokens per vector.")] = 5,
    backbone: BackboneOption = None,
    as_json: AsJson = False,
) -> None:
    """The tokens nearest to each vector of a prompt, and the vectors' norms."""
    with open_lab() as lab:
        asked = inputs.prompt(lab, prompt, backbone)
        # The page's question, unless more words are asked for.
        spec = NearestSpec(prompt=asked, count=max(count, WORDS))
        ask_all(lab, [asked, spec])
        table = one.words(lab.store, spec, by, count)
        table["nearest"] = [", ".join(words) for words in table.nearest]
        say(table[["row", "nearest", "value", "norm", "start"]], as_json)
