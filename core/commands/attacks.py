"""Attacks and causes: dose, attribution."""

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from core.base.errors import BadInput
from core.base.specs import key
from core.commands import inputs
from core.commands.common import (
    AsJson,
    AttackKind,
    AttackSeed,
    BackboneOption,
    Exact,
    Limit,
    PromptArg,
    Split,
    TaskArg,
    WorstOf,
    ask_all,
    bar,
    open_lab,
    say,
)
from core.figures.robustness import dose as figures
from core.measures import sweeps
from core.measures.attribution import Attribution, AttributionSpec, Positions, table
from core.tasks.attacks import Attack, Where
from core.tasks.data import obtain_task

app = typer.Typer()


@app.command()
def dose(
    prompt: PromptArg,
    task: TaskArg,
    attack: AttackKind = "typo",
    doses: Annotated[str, typer.Option(help="Edits a text, comma-separated.")] = "0,1,2,3,5",
    where: Annotated[Where, typer.Option(help="Which text of a pair is attacked.")] = "both",
    worst_of: WorstOf = 1,
    attack_seed: AttackSeed = 0,
    top: Annotated[float, typer.Option(help="Skill neurons, as a share of each layer.")] = 0.05,
    split: Split = None,
    precision: Exact = None,
    backbone: BackboneOption = None,
    as_json: AsJson = False,
) -> None:
    """Accuracy and shared skill neurons under attacks of increasing dose, one row per dose."""
    with open_lab() as lab:
        if top not in sweeps.PAPER_FRACTIONS[1:]:
            known = ", ".join(f"{f:g}" for f in sweeps.PAPER_FRACTIONS[1:])
            raise BadInput(f"--top {top:g}: choose among {known}.")
        asked, target = inputs.prompt(lab, prompt, backbone), obtain_task(task, bar())
        sweep = sweeps.dose_response(
            [asked],
            (lab.pin(target, asked.backbone.name), split or target.evaluation_split),
            target.contrasts(),
            Attack(kind=attack, dose=1, where=where, seed=attack_seed, worst_of=worst_of),
            _doses(doses),
            precision,
        )
        ask_all(lab, sweep.everything)
        named = {asked.backbone.name: sweep}
        rows = figures.accuracy(lab.store, named)
        shared = figures.overlap(lab.store, named, top)
        names = ["backbone", "dose", "chosen", "shared", "share", "shuffled", "p", "skill_kept"]
        say(rows.merge(shared[names], on=["backbone", "dose"], how="left"), as_json)


def _doses(text: str) -> list[int]:
    """`0,1,2` as whole numbers. Raises: BadInput."""
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        raise BadInput(f"--doses {text!r} is not a list like 0,1,2,3,5.") from None
    if min(found) < 0:
        raise BadInput(f"--doses {text!r}: a dose is 0 or more.")
    return found


@app.command()
def attribution(
    prompt: PromptArg,
    task: TaskArg,
    split: Annotated[str, typer.Option(help="Rows that rank the neurons.")] = "train",
    limit: Limit = 300,
    steps: Annotated[
        int, typer.Option(min=1, help="1: activation x gradient; more: integrated gradients.")
    ] = 1,
    positions: Annotated[
        Positions, typer.Option(help="Positions whose activations count: all, or the prompt's.")
    ] = "all",
    precision: Exact = None,
    backbone: BackboneOption = None,
    out: Annotated[Path | None, typer.Option(help="Parquet file: one row per neuron.")] = None,
    as_json: AsJson = False,
) -> None:
    """What each neuron adds to the margin of the right answer, in logits."""
    with open_lab() as lab:
        asked, target = inputs.prompt(lab, prompt, backbone), obtain_task(task, bar())
        spec = AttributionSpec(
            prompt=asked, task=lab.pin(target, asked.backbone.name), split=split, limit=limit,
            steps=steps, positions=positions, precision=precision or sweeps.measured_in(asked),
        )  # fmt: skip
        lab.ask(spec, bar())
        found: Attribution = lab.stored(spec)
        neurons = table(found)
        if out:
            neurons.to_parquet(out, index=False)
        say({"key": key(spec), "n": found.n, **_summary(neurons)}, as_json)


def _summary(neurons: pd.DataFrame) -> dict[str, object]:
    best = neurons.loc[neurons.signed.idxmax()]
    positive = neurons.signed.clip(lower=0)
    return {
        "neurons": len(neurons),
        "highest": float(best.signed),
        "neuron": f"{int(best.layer)}/{int(best.neuron)}",
        "positive": float(positive.sum()),
        "share_of_top_1_percent": float(
            positive.nlargest(max(1, len(neurons) // 100)).sum() / max(positive.sum(), 1e-12)
        ),
    }
