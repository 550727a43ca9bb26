"""What neurons predict and cause: predictivity, correlate, activations, attribution."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from core.base.errors import BadInput
from core.base.specs import key
from core.commands import inputs
from core.commands.common import (
    AsJson,
    AttackOption,
    AttackSeed,
    BackboneOption,
    Dose,
    Exact,
    Limit,
    PromptArg,
    Split,
    StackOption,
    TaskArg,
    TrainLimit,
    WhereOption,
    WorstOf,
    bar,
    name_shared_rows,
    open_lab,
    say,
    writable,
)
from core.figures import queries
from core.lab.lab import Lab
from core.measures import sweeps
from core.measures.activations import Activations, ActivationSpec
from core.measures.attribution import Attribution, AttributionSpec, table
from core.measures.predictivity import Predictivity, PredictivitySpec, asked_rows, contrasted
from core.measures.questions import Positions
from core.store.files import write_arrays
from core.tasks.data import obtain_task

app = typer.Typer()


@app.command()
def predictivity(
    prompt: PromptArg,
    task: TaskArg,
    split: Split = None,
    limit: Limit = None,
    train_limit: TrainLimit = None,
    permutations: Annotated[
        int, typer.Option(min=0, help="Shufflings of the labels, for null levels and p-values.")
    ] = sweeps.PERMUTATIONS,
    attack: AttackOption = None,
    dose: Dose = 1,
    worst_of: WorstOf = 1,
    attack_seed: AttackSeed = 0,
    where: WhereOption = "both",
    precision: Exact = None,
    backbone: BackboneOption = None,
    out: Annotated[
        Path | None, typer.Option(callback=writable, help="Parquet file: one row per neuron.")
    ] = None,
    arrays: Annotated[
        Path | None,
        typer.Option(
            callback=writable, help="safetensors file: baseline, accuracy; measured again."
        ),
    ] = None,
    examples: Annotated[
        Path | None,
        typer.Option(
            callback=writable, help="Parquet file: the rows used for baseline and accuracy."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """How well each neuron alone predicts the classes: a summary, and full values in files."""
    with open_lab() as lab:
        asked, target = inputs.prompt(lab, prompt, backbone), obtain_task(task, bar())
        here = (asked, lab.pin(target, asked.backbone.name), split or target.evaluation_split)
        how = inputs.attack(attack, dose, worst_of, attack_seed, where)
        asked_specs = sweeps.predictivities(
            [here], target.contrasts(), permutations, precision, how
        )
        specs = [replace(spec, limit=limit, train_limit=train_limit) for spec in asked_specs]
        names = [target.contrast_name(s.contrast) for s in specs]
        if arrays:
            write_arrays(arrays, _tensors([lab.recompute(s, bar()) for s in specs], names))
        tables, rows = [], []
        for spec, name in zip(specs, names, strict=True):
            lab.ask(spec, bar())
            table, floor = queries.neurons(lab.store, spec)
            tables.append(table if spec.contrast is None else table.assign(contrast=name))
            rows.append({"contrast": name, **_summary(table), **floor})
        if out:
            pd.concat(tables).to_parquet(out, index=False)
        if examples:
            pd.concat(_rows_used(lab, s, n) for s, n in zip(specs, names, strict=True)).to_parquet(
                examples, index=False
            )
        name_shared_rows([asked.source_task], [target], split, limit)
        say(rows, as_json)


def _tensors(results: Sequence[Predictivity], names: Sequence[str]) -> dict[str, Any]:
    import torch

    found = {}
    for result, name in zip(results, names, strict=True):
        mark = f"{name}/" if result.spec.contrast is not None else ""
        found[f"{mark}baseline"] = torch.from_numpy(result.baseline)
        found[f"{mark}accuracy"] = torch.from_numpy(result.accuracy)
    return found


def _rows_used(lab: Lab, spec: PredictivitySpec, name: str) -> pd.DataFrame:
    """Which examples a measurement reads: contrast, split, example (its place in the file), label
    (0 or 1).
    """
    task = lab.task(spec.task, spec.prompt)
    train = contrasted(lab.examples(task, "train", spec.train_limit), spec.contrast)
    held = asked_rows(lab.examples(task, spec.split, spec.limit), spec.contrast)
    parts = [
        pd.DataFrame({"split": split, "example": rows.index, "label": rows.labels})
        for split, rows in (("train", train), (spec.split, held))
    ]
    table = pd.concat(parts)
    table.insert(0, "contrast", name)
    return table


def _summary(table: pd.DataFrame) -> dict[str, Any]:
    values = table["predictivity"]
    return {
        "n": int(table["n"].iloc[0]),
        "neurons": len(table),
        "median": values.median(),
        "p99": values.quantile(0.99),
        "highest": values.max(),
    }


@app.command()
def correlate(
    prompts: Annotated[list[str], typer.Argument(help="PROMPT=TASK pairs, at least two.")],
    precision: Exact = None,
    backbone: BackboneOption = None,
    as_json: AsJson = False,
) -> None:
    """Spearman between the predictivities of several (prompt, task) pairs.

    For a task with more than two classes, predictivity is the mean over its binary questions.
    """
    if len(prompts) < 2:
        raise BadInput(f"{prompts[0]!r} is one PROMPT=TASK pair; give at least two to compare.")
    with open_lab() as lab:
        pairs = [inputs.pairing(lab, text, backbone, precision) for text in prompts]
        specs = [spec for pair in pairs for spec in pair]
        if len({s.prompt.backbone for s in specs}) > 1:
            raise BadInput("All prompts must be of one backbone.")
        for spec in specs:
            lab.ask(spec, bar())
        for source, target in dict.fromkeys((s.prompt.source_task, s.task.name) for s in specs):
            name_shared_rows([source], [lab.find_task(target)])
        say(queries.correlation(lab.store, specs, by_seed=True, clean=lab.clean_name), as_json)


@app.command()
def activations(
    prompt: PromptArg,
    task: TaskArg,
    limit: Annotated[
        int, typer.Option(min=1, max=100_000, help="Maximum number of examples, drawn at random.")
    ] = 256,
    contrast: Annotated[str | None, typer.Option(help="As named by `predictivity`.")] = None,
    precision: Exact = None,
    backbone: BackboneOption = None,
    out: Annotated[
        Path | None, typer.Option(callback=writable, help="safetensors: values, index, labels.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Each neuron's activation at its best prompt token, example by example; cached in DuckDB."""
    with open_lab() as lab:
        asked, target = inputs.prompt(lab, prompt, backbone), obtain_task(task, bar())
        where = (asked, lab.pin(target, asked.backbone.name), target.evaluation_split)
        question = inputs.contrast(target, contrast)
        (ranking,) = sweeps.predictivities([where], [question], precision=precision)
        spec = ActivationSpec(ranking=ranking, limit=limit)
        lab.ask(spec, bar())
        values: Activations = lab.stored(spec)
        if out:
            write_arrays(out, inputs.tensors(values))
        name_shared_rows([asked.source_task], [target])
        examples, layers, neurons = values.values.shape
        say({"examples": examples, "layers": layers, "neurons": neurons}, as_json)


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
    stack: StackOption = "encoder",
    precision: Exact = None,
    backbone: BackboneOption = None,
    out: Annotated[
        Path | None, typer.Option(callback=writable, help="Parquet file: one row per neuron.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """What each neuron adds to the margin of the right answer, in logits."""
    with open_lab() as lab:
        asked, target = inputs.prompt(lab, prompt, backbone), obtain_task(task, bar())
        inputs.has_stack(lab, asked, stack)
        spec = AttributionSpec(
            prompt=asked, task=lab.pin(target, asked.backbone.name), split=split, limit=limit,
            steps=steps, positions=positions, stack=stack,
            precision=precision or sweeps.measured_in(asked),
        )  # fmt: skip
        lab.ask(spec, bar())
        found: Attribution = lab.stored(spec)
        neurons = table(found)
        if out:
            neurons.to_parquet(out, index=False)
        say({"key": key(spec), "n": found.n, **_strongest(neurons)}, as_json)


def _strongest(neurons: pd.DataFrame) -> dict[str, object]:
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
