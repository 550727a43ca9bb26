"""Measurements: tune, evaluate, predictivity, correlate, suppress, transfer, activations."""

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from core.base.errors import BadInput
from core.base.prompts import Prompt
from core.base.specs import key
from core.commands import inputs
from core.commands.common import (
    AsJson,
    AttackOption,
    AttackSeed,
    BackboneArg,
    BackboneOption,
    Dose,
    Exact,
    Length,
    Limit,
    PromptArg,
    Split,
    Steps,
    TaskArg,
    TrainLimit,
    WorstOf,
    ask_all,
    bar,
    name_shared_rows,
    open_lab,
    say,
)
from core.figures import queries
from core.lab.lab import Lab
from core.measures import sweeps
from core.measures.activations import Activations, ActivationSpec
from core.measures.evaluation import Evaluation, EvaluationSpec, Kind, Positions
from core.measures.predictivity import Predictivity, PredictivitySpec, asked_rows, contrasted
from core.measures.prompts import artifact
from core.measures.tuning import Init
from core.stats.neurons import Scope
from core.store.files import artifact_bytes, write_arrays
from core.tasks import Task, Text, clean_task
from core.tasks.data import load_split, obtain_task

app = typer.Typer()
USUAL = sweeps.SuppressionChoices()


@app.command()
def layout(
    backbone: BackboneArg,
    task: TaskArg,
    example: Annotated[int, typer.Option(min=0, help="Row of the evaluation split.")] = 0,
    prompt_length: Annotated[int, typer.Option(min=1, max=512, help="Vectors of the prompt.")] = 8,
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
    seed: Annotated[
        int, typer.Option(min=0, max=2**31 - 1, help="Draws the first vectors and the batches.")
    ] = 0,
    steps: Steps = None,
    prompt_length: Length = None,
    init: Annotated[
        Init,
        typer.Option(help="First vectors: random words, Gaussian noise, or the answer words."),
    ] = "vocabulary",
    learning_rate: Annotated[
        float | None, typer.Option(min=1e-6, help="Of AdamW; default: that of the figures.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Examples per step; default: that of the figures.")
    ] = None,
    selection: Annotated[
        int, typer.Option(min=1, help="Train examples set aside for choosing the best step.")
    ] = 200,
    precision: Exact = None,
    out: Annotated[
        Path | None, typer.Option(help="safetensors file of the prompt, beside that in the cache.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tune a soft prompt and print its key. Default settings are those of the figures' prompts."""
    with open_lab() as lab:
        backbone = lab.models.obtain(backbone, bar())
        target = obtain_task(task, bar())
        if init == "labels" and isinstance(target.answer, Text):
            raise BadInput(
                f"{target.title} has written answers, so there are no answer words to start from; "
                "choose another --init."
            )
        spec = sweeps.standard_prompt(
            lab.models.pin(backbone),
            lab.models.family(backbone),
            lab.pin(target, backbone),
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
            out.write_bytes(artifact_bytes(artifact(prompt)))
        say(
            {
                "key": key(spec),
                "best_step": prompt.best_step,
                "selection_accuracy": prompt.selection_accuracy,
                "selection_rows": prompt.selection_rows,
                "file": str(out or lab.store.file("prompts", key(spec))),
            },
            as_json,
        )


@app.command()
def evaluate(
    prompt: PromptArg,
    task: TaskArg,
    split: Split = None,
    limit: Limit = None,
    attack: AttackOption = None,
    dose: Dose = 1,
    worst_of: WorstOf = 1,
    attack_seed: AttackSeed = 0,
    precision: Exact = None,
    backbone: BackboneOption = None,
    predictions: Annotated[Path | None, typer.Option(help="Parquet: one row per example.")] = None,
    as_json: AsJson = False,
) -> None:
    """Accuracy of a prompt on a task, or its score by the task's metric, with a 95 % interval."""
    with open_lab() as lab:
        asked, target = inputs.prompt(lab, prompt, backbone), obtain_task(task, bar())
        spec = sweeps.own_evaluation(
            asked, lab.pin(target, asked.backbone.name), split or target.evaluation_split,
            limit=limit, precision=precision,
            attack=inputs.attack(attack, dose, worst_of, attack_seed),
        )  # fmt: skip
        if predictions:
            _write_predictions(lab.recompute(spec, bar()), predictions)
        lab.ask(spec, bar())
        name_shared_rows([asked.source_task], [target], split, limit)
        say(_point(spec, lab.stored(spec)), as_json)


def _point(spec: EvaluationSpec, found: Evaluation) -> dict[str, Any]:
    low, high = found.interval
    classes = found.labels is not None
    return {
        "source_task": spec.prompt.source_task,
        "target_task": spec.task.name,
        "split": spec.split,
        "n": found.n,
        **({"correct": found.correct} if classes else {}),
        found.metric: found.score,
        **({"majority": found.majority} if classes else {}),
        "key": key(spec),
        "low": low,
        "high": high,
    }


def _write_predictions(result: Evaluation, path: Path) -> None:
    if result.logits is None:
        table = pd.DataFrame(
            {"example": result.index, "written": result.written, result.metric: result.scores}
        )
    else:
        table = pd.DataFrame(
            {"example": result.index, "label": result.labels, "prediction": result.predictions}
        )
        for i in range(result.logits.shape[1]):
            table[f"score_{i}"] = result.logits[:, i]
    table.to_parquet(path, index=False)


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
    precision: Exact = None,
    backbone: BackboneOption = None,
    out: Annotated[Path | None, typer.Option(help="Parquet file: one row per neuron.")] = None,
    arrays: Annotated[
        Path | None, typer.Option(help="safetensors file: baseline, accuracy; measured again.")
    ] = None,
    examples: Annotated[
        Path | None, typer.Option(help="Parquet file: the rows used for baseline and accuracy.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """How well each neuron alone predicts the classes: a summary, and full values in files."""
    with open_lab() as lab:
        asked, target = inputs.prompt(lab, prompt, backbone), obtain_task(task, bar())
        where = (asked, lab.pin(target, asked.backbone.name), split or target.evaluation_split)
        how = inputs.attack(attack, dose, worst_of, attack_seed)
        asked_specs = sweeps.predictivities(
            [where], target.contrasts(), permutations, precision, how
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
def suppress(
    prompt: PromptArg,
    task: TaskArg,
    fractions: Annotated[
        str, typer.Option(help="Shares of the neurons, each from 0 to 1; comma-separated.")
    ] = ",".join(f"{f:g}" for f in sweeps.PAPER_FRACTIONS),
    draws: Annotated[int, typer.Option(min=1, help="Draws of random neurons.")] = USUAL.draws,
    choose: Annotated[
        str, typer.Option(help="skill, causal, random, lowest; comma-separated.")
    ] = ",".join(sweeps.CURVES),
    scope: Annotated[
        Scope, typer.Option(help="Whether a fraction is one of each layer or of the whole model.")
    ] = USUAL.scope,
    positions: Annotated[
        Positions, typer.Option(help="Suppress at all positions, or at the prompt's only.")
    ] = USUAL.positions,
    kind: Annotated[
        Kind, typer.Option(help="What an activation becomes: zero, its mean, or with noise added.")
    ] = USUAL.kind,
    noise: Annotated[
        float | None,
        typer.Option(min=0, help=f"Spread of --kind noise; default: {USUAL.noise:g}."),
    ] = None,
    split: Split = None,
    limit: Limit = USUAL.limit,
    ranked_on: Annotated[
        str | None,
        typer.Option(help="Task on which neurons are ranked; default: the clean task."),
    ] = None,
    alone: Annotated[
        bool, typer.Option(help="Rank by this prompt only, not by the mean over seeds.")
    ] = False,
    attack: AttackOption = None,
    dose: Dose = 1,
    worst_of: WorstOf = 1,
    attack_seed: AttackSeed = 0,
    precision: Exact = None,
    backbone: BackboneOption = None,
    as_json: AsJson = False,
) -> None:
    """Accuracy with an increasing fraction of neurons suppressed, one row per point.

    As on the page, neurons are ranked by the mean over the seeds' prompts, tuned if missing.
    """
    spread = _noise(noise, kind)
    with open_lab() as lab:
        asked, target = inputs.prompt(lab, prompt, backbone), obtain_task(task, bar())
        ranker = obtain_task(ranked_on, bar()) if ranked_on else clean_task(target)
        choices = sweeps.SuppressionChoices(
            fractions=_fractions(fractions), draws=draws, kinds_of_neuron=inputs.kinds(choose),
            scope=scope, positions=positions, kind=kind, noise=spread, limit=limit,
            precision=precision, attack=inputs.attack(attack, dose, worst_of, attack_seed),
        )  # fmt: skip
        specs = suppression_specs(lab, asked, (ranker, target), split, choices, alone=alone)
        ask_all(lab, specs)
        rows = queries.evaluations(lab.store, specs)
        rows["choose"] = rows["choose"].fillna("none")
        rows["fraction"] = rows["fraction"].fillna(0.0)
        rows["draw"] = rows["draw"].fillna(0).astype(int)
        rows["ranked_on"] = ranker.name
        rows = rows.sort_values(["fraction", "choose", "draw"])
        measured = ["accuracy", "correct"]
        if isinstance(target.answer, Text):
            measured = [target.answer.metric, "low", "high"]
            rows = _with_intervals(lab, specs, rows, target.answer.metric)
        name_shared_rows([asked.source_task], [target], split, limit)
        say(rows[["choose", "fraction", "draw", *measured, "n", "ranked_on"]], as_json)


def _with_intervals(
    lab: Lab, specs: Sequence[EvaluationSpec], rows: pd.DataFrame, metric: str
) -> pd.DataFrame:
    """Evaluations of written answers: the mean score under the metric's name, low and high."""
    intervals = {key(spec): lab.stored(spec).interval for spec in specs}
    low, high = zip(*rows["key"].map(intervals), strict=True)
    return rows.rename(columns={"accuracy": metric}).assign(low=low, high=high)


def suppression_specs(
    lab: Lab,
    prompt: Prompt,
    tasks: tuple[Task, Task],
    split: str | None,
    choices: sweeps.SuppressionChoices,
    *,
    alone: bool = False,
) -> tuple[EvaluationSpec, ...]:
    """The questions of `suppress`; `tasks` are the ranking and the tested one."""
    ranker, target = tasks
    ranking: tuple[PredictivitySpec, ...] = ()
    ranked = (prompt,) if alone else lab.siblings(prompt, sweeps.SEEDS)
    pin = lab.pin(ranker, prompt.backbone.name)
    if choices.kind == "mean" or {*choices.kinds_of_neuron} - {"random", "causal"}:
        ranking = sweeps.predictivities(
            ((p, pin, ranker.evaluation_split) for p in ranked), ranker.contrasts(),
            precision=choices.precision,
        )  # fmt: skip
    here = lab.pin(target, prompt.backbone.name), split or target.evaluation_split
    causal = sweeps.attributions(ranked, pin, precision=choices.precision)
    return sweeps.suppression_sweep([prompt], ranking, *here, choices, causal)


@app.command()
def transfer(
    prompts: Annotated[list[str], typer.Argument(help="Prompts.")],
    tasks: Annotated[str, typer.Option(help="Target tasks, comma-separated.")],
    limit: Limit = None,
    attack: AttackOption = None,
    dose: Dose = 1,
    worst_of: WorstOf = 1,
    attack_seed: AttackSeed = 0,
    precision: Exact = None,
    backbone: BackboneOption = None,
    as_json: AsJson = False,
) -> None:
    """Every prompt on every task: accuracy, and relative to the target's own prompt if given.

    Where answers are written, each row has the mean score by the task's metric, and its name.
    """
    with open_lab() as lab:
        asked = [inputs.prompt(lab, p, backbone) for p in prompts]
        targets = [obtain_task(t, bar()) for t in tasks.split(",")]
        how = inputs.attack(attack, dose, worst_of, attack_seed)
        specs = [
            sweeps.own_evaluation(
                p,
                lab.pin(t, p.backbone.name),
                t.evaluation_split,
                limit=limit,
                precision=precision,
                attack=how,
            )
            for p in asked
            for t in targets
        ]
        ask_all(lab, specs)
        absolute = queries.transfer(lab.store, specs, relative=False, clean=lab.clean_name).drop(
            columns="value"
        )
        relative = queries.transfer(lab.store, specs, relative=True, clean=lab.clean_name)
        names = ["backbone", "source_task", "target_task"]
        name_shared_rows([p.source_task for p in asked], targets, limit=limit)
        both = absolute.merge(
            relative[[*names, "value"]].rename(columns={"value": "relative_accuracy"}),
            on=names,
            how="left",
        )
        if any(isinstance(t.answer, Text) for t in targets):
            both = _scored(both, targets)
        say(both, as_json)


def _scored(table: pd.DataFrame, targets: Sequence[Task]) -> pd.DataFrame:
    """Transfer to tasks of which some have written answers: each row names its metric."""
    written = {t.name: t.answer.metric for t in targets if isinstance(t.answer, Text)}
    metrics = [written.get(name, "accuracy") for name in table["target_task"]]
    names = {"accuracy": "score", "relative_accuracy": "relative_score"}
    return table.assign(metric=metrics).rename(columns=names)


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
    out: Annotated[Path | None, typer.Option(help="safetensors: values, index, labels.")] = None,
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


def _noise(noise: float | None, kind: Kind) -> float:
    """The spread of the noise. Raises: BadInput."""
    if noise is None:
        return USUAL.noise
    if kind != "noise":
        raise BadInput(f"--noise has no effect with --kind {kind}; use --kind noise.")
    if not math.isfinite(noise):
        raise BadInput(f"--noise {noise} is not a finite number.")
    return noise


def _fractions(text: str) -> tuple[float, ...]:
    """`0,0.01,0.03` as numbers in [0, 1]. Raises: BadInput."""
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise BadInput(f"--fractions {text!r} is not a list like 0,0.01,0.03.") from None
    if not all(0 <= value <= 1 for value in values):
        raise BadInput(f"--fractions {text!r}: each must lie between 0 and 1.")
    return values
