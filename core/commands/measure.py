"""Asking: tune, evaluate, predictivity, correlate, suppress, transfer, activations."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from core.base.errors import BadInput
from core.base.results import Evaluation, Predictivity
from core.base.specs import (
    ActivationSpec,
    EvaluationSpec,
    Init,
    Kind,
    Positions,
    PredictivitySpec,
    Scope,
    key,
)
from core.commands import inputs
from core.commands.common import (
    AsJson,
    BackboneArg,
    BackboneOption,
    Exact,
    Limit,
    PromptArg,
    Split,
    TaskArg,
    ask_all,
    bar,
    open_lab,
    say,
)
from core.figures import queries
from core.measures import sweeps
from core.stats.intervals import wilson
from core.store.files import prompt_bytes, write_arrays
from core.store.rows import neuron_table, source_task
from core.tasks import clean_task, pin_task
from core.tasks.data import load_split, obtain_task, shared_rows

app = typer.Typer()


@app.command()
def layout(
    backbone: BackboneArg,
    task: TaskArg,
    example: Annotated[int, typer.Option(min=0, help="Row of the evaluated split.")] = 0,
    prompt_length: Annotated[int, typer.Option(min=1, max=512)] = 8,
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
    seed: int = 0,
    steps: Annotated[int | None, typer.Option(min=1)] = None,
    prompt_length: Annotated[int | None, typer.Option(min=1, max=512)] = None,
    init: Init = "vocabulary",
    learning_rate: Annotated[float | None, typer.Option(min=1e-6)] = None,
    batch_size: Annotated[int | None, typer.Option(min=1)] = None,
    selection: Annotated[int, typer.Option(min=1)] = 200,
    precision: Exact = None,
    out: Path | None = None,
    as_json: AsJson = False,
) -> None:
    """Tune a soft prompt; prints its key. What is not given is as the figures' prompts have it."""
    with open_lab() as lab:
        backbone = lab.models.obtain(backbone, bar())
        spec = sweeps.standard_prompt(
            lab.models.pin(backbone),
            lab.models.family(backbone),
            pin_task(obtain_task(task, bar())),
            seed,
            steps=steps,
            prompt_length=prompt_length,
            init=init,
            learning_rate=learning_rate,
            batch_size=batch_size,
            selection=selection,
            precision=precision or lab.models.precision(backbone),
        )
        prompt = lab.prompt(spec, bar())
        if out:
            out.write_bytes(prompt_bytes(prompt))
        say(
            {
                "key": key(spec),
                "best_step": prompt.best_step,
                "selection_accuracy": prompt.selection_accuracy,
                "selection_rows": prompt.selection_rows,
                "file": str(out or lab.store.prompt_file(key(spec))),
            },
            as_json,
        )


@app.command()
def evaluate(
    prompt: PromptArg,
    task: TaskArg,
    split: Split = None,
    limit: Limit = None,
    backbone: BackboneOption = None,
    predictions: Annotated[Path | None, typer.Option(help="Parquet: one row per example.")] = None,
    as_json: AsJson = False,
) -> None:
    """Accuracy of a prompt on a task."""
    with open_lab() as lab:
        asked, target = inputs.prompt(lab, prompt, backbone), obtain_task(task, bar())
        spec = EvaluationSpec(
            prompt=asked,
            task=pin_task(target),
            split=split or target.evaluation_split,
            limit=limit,
        )
        if predictions:
            result = lab.recompute(spec, bar())
            assert isinstance(result, Evaluation)
            _write_predictions(result, predictions)
        lab.ask(spec, bar())
        say(_point(queries.evaluations(lab.store, [spec])), as_json)


def _point(rows: pd.DataFrame) -> dict[str, Any]:
    row = rows.iloc[0].to_dict()
    low, high = wilson(int(row["correct"]), int(row["n"]))
    names = ("source_task", "target_task", "split", "n", "correct", "accuracy", "majority")
    return {**{n: row[n] for n in names}, "low": low, "high": high, "key": row["key"]}


def _write_predictions(result: Evaluation, path: Path) -> None:
    table = pd.DataFrame(
        {"example": result.index, "label": result.labels, "prediction": result.predictions}
    )
    assert result.scores is not None
    for i in range(result.scores.shape[1]):
        table[f"score_{i}"] = result.scores[:, i]
    table.to_parquet(path, index=False)


@app.command()
def predictivity(
    prompt: PromptArg,
    task: TaskArg,
    split: Split = None,
    limit: Limit = None,
    train_limit: Limit = None,
    permutations: Annotated[int, typer.Option(min=0)] = 20,
    backbone: BackboneOption = None,
    out: Annotated[Path | None, typer.Option(help="Parquet: one row per neuron.")] = None,
    arrays: Annotated[Path | None, typer.Option(help="safetensors: baseline, accuracy.")] = None,
    as_json: AsJson = False,
) -> None:
    """How well each neuron alone tells the classes apart; a summary, and all of it in files."""
    with open_lab() as lab:
        asked, target = inputs.prompt(lab, prompt, backbone), obtain_task(task, bar())
        tables, tensors, rows = [], {}, []
        for contrast in target.contrasts():
            spec = PredictivitySpec(
                prompt=asked,
                task=pin_task(target),
                split=split or target.evaluation_split,
                contrast=contrast,
                limit=limit,
                train_limit=train_limit,
                permutations=permutations,
            )
            result = lab.recompute(spec, bar())
            assert isinstance(result, Predictivity)
            table = neuron_table(result)
            label = "" if contrast is None else target.contrast_name(contrast)
            tables.append(table if contrast is None else table.assign(contrast=label))
            mark = f"{label}/" if label else ""
            tensors[f"{mark}baseline"] = result.baseline
            tensors[f"{mark}accuracy"] = result.accuracy
            rows.append(_summary(table, result.floor, label or target.contrast_name(None)))
        if out:
            pd.concat(tables).to_parquet(out, index=False)
        if arrays:
            write_arrays(arrays, tensors)
        say(rows, as_json)


def _summary(table: pd.DataFrame, floor: Any, name: str) -> dict[str, Any]:
    values = table["predictivity"]
    return {
        "contrast": name,
        "n": int(table["n"].iloc[0]),
        "neurons": len(table),
        "median": values.median(),
        "top1": values.quantile(0.99),
        "highest": values.max(),
        "floor": None if floor is None else floor.mean,
        "floor_p99": None if floor is None else floor.p99,
    }


@app.command()
def correlate(
    prompts: Annotated[list[str], typer.Argument(help="PROMPT=TASK pairs, at least two.")],
    backbone: BackboneOption = None,
    as_json: AsJson = False,
) -> None:
    """Spearman between the predictivities of several (prompt, task) pairs.

    Of a task with more than two classes, the mean predictivity over its binary questions counts.
    """
    with open_lab() as lab:
        specs = [spec for text in prompts for spec in inputs.pairing(lab, text, backbone)]
        if len({s.prompt.backbone for s in specs}) > 1:
            raise BadInput("All prompts must be of one backbone.")
        named = {(source_task(s.prompt), s.task.name, s.prompt.seed, s.contrast) for s in specs}
        if len(named) < len({key(s) for s in specs}):
            raise BadInput("Two prompts of one task have the same seed; give one of them.")
        for spec in specs:
            lab.ask(spec, bar())
        say(queries.correlation(lab.store, specs, by_seed=True), as_json)


@app.command()
def suppress(
    prompt: PromptArg,
    task: TaskArg,
    fractions: str = "0,0.01,0.03,0.05,0.07,0.09,0.11,0.13,0.15",
    draws: Annotated[int, typer.Option(min=1)] = 5,
    choose: Annotated[str, typer.Option(help="skill, random, lowest; comma-separated")] = (
        "skill,random"
    ),
    scope: Scope = "layer",
    positions: Positions = "all",
    kind: Kind = "zero",
    noise: float = 0.1,
    split: Split = None,
    limit: Limit = None,
    ranked_on: Annotated[str | None, typer.Option(help="Task that ranks the neurons.")] = None,
    backbone: BackboneOption = None,
    as_json: AsJson = False,
) -> None:
    """Accuracy with a growing share of the neurons switched off; one row per point."""
    with open_lab() as lab:
        asked, target = inputs.prompt(lab, prompt, backbone), obtain_task(task, bar())
        ranker = obtain_task(ranked_on, bar()) if ranked_on else clean_task(target)
        ranking = tuple(
            PredictivitySpec(
                prompt=asked, task=pin_task(ranker), split=ranker.evaluation_split, contrast=c
            )
            for c in ranker.contrasts()
        )
        choices = sweeps.SuppressionChoices(
            fractions=_fractions(fractions),
            draws=draws,
            kinds_of_neuron=inputs.kinds(choose),
            scope=scope,
            positions=positions,
            kind=kind,
            noise=noise,
            limit=limit,
        )
        chosen = split or target.evaluation_split
        specs = sweeps.suppression_sweep([asked], ranking, pin_task(target), chosen, choices)
        ask_all(lab, specs)
        rows = queries.evaluations(lab.store, specs)
        rows["choose"] = rows["choose"].fillna("none")
        rows["fraction"] = rows["fraction"].fillna(0.0)
        rows["draw"] = rows["draw"].fillna(0).astype(int)
        rows = rows.sort_values(["fraction", "choose", "draw"])
        say(rows[["choose", "fraction", "draw", "accuracy", "correct", "n"]], as_json)


@app.command()
def transfer(
    prompts: Annotated[list[str], typer.Argument(help="Prompts.")],
    tasks: Annotated[str, typer.Option(help="Target tasks, comma-separated.")],
    limit: Limit = None,
    backbone: BackboneOption = None,
    as_json: AsJson = False,
) -> None:
    """Every prompt on every task: accuracy, and relative to the target's own prompt if given."""
    with open_lab() as lab:
        asked = [inputs.prompt(lab, p, backbone) for p in prompts]
        if len({(p.backbone, source_task(p), p.seed) for p in asked}) < len(asked):
            raise BadInput("Two prompts of one task have the same seed; give one of them.")
        targets = [obtain_task(t, bar()) for t in tasks.split(",")]
        specs = [
            EvaluationSpec(prompt=p, task=pin_task(t), split=t.evaluation_split, limit=limit)
            for p in asked
            for t in targets
        ]
        ask_all(lab, specs)
        absolute = queries.transfer(lab.store, specs, relative=False).drop(columns="value")
        relative = queries.transfer(lab.store, specs, relative=True)
        names = ["backbone", "source_task", "target_task"]
        for one in shared_rows([t for t in targets if t.adversarial_of is None], targets):
            print(
                f"skillscope: {one.rows} of {one.n} rows of {one.target_task} also stand in the "
                f"train split of {one.source_task}.",
                file=sys.stderr,
            )
        both = absolute.merge(
            relative[[*names, "value"]].rename(columns={"value": "relative_accuracy"}),
            on=names,
            how="left",
        )
        say(both, as_json)


@app.command()
def activations(
    prompt: PromptArg,
    task: TaskArg,
    limit: Annotated[int, typer.Option(min=1, max=100_000)] = 256,
    contrast: Annotated[str | None, typer.Option(help="As `predictivity` names it.")] = None,
    backbone: BackboneOption = None,
    out: Annotated[Path | None, typer.Option(help="safetensors: values, index, labels.")] = None,
    as_json: AsJson = False,
) -> None:
    """Each neuron's activation at its best prompt token, example by example; cached in DuckDB."""
    with open_lab() as lab:
        asked, target = inputs.prompt(lab, prompt, backbone), obtain_task(task, bar())
        ranking = PredictivitySpec(
            prompt=asked,
            task=pin_task(target),
            split=target.evaluation_split,
            contrast=inputs.contrast(target, contrast),
        )
        spec = ActivationSpec(ranking=ranking, limit=limit)
        lab.ask(spec, bar())
        values = lab.store.activations(spec)
        assert values is not None
        if out:
            write_arrays(out, inputs.tensors(values))
        examples, layers, neurons = values.values.shape
        say({"examples": examples, "layers": layers, "neurons": neurons}, as_json)


def _fractions(text: str) -> tuple[float, ...]:
    """`0,0.01,0.03` as numbers in [0, 1]. Raises: BadInput."""
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise BadInput(f"--fractions {text!r} is not a list like 0,0.01,0.03.") from None
    if not all(0 <= value <= 1 for value in values):
        raise BadInput(f"--fractions {text!r}: each must lie between 0 and 1.")
    return values
