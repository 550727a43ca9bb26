"""What a prompt answers: evaluate, transfer, suppress, dose."""

import math
from collections.abc import Sequence
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
    AttackKind,
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
    WhereOption,
    WorstOf,
    ask_all,
    bar,
    name_shared_rows,
    open_lab,
    say,
    writable,
)
from core.figures import queries
from core.figures.robustness import dose as figures
from core.lab.lab import Lab
from core.measures import sweeps
from core.measures.evaluation import Evaluation, EvaluationSpec, Kind
from core.measures.predictivity import PredictivitySpec
from core.measures.questions import Positions
from core.stats.neurons import Scope
from core.tasks import Task, Text, clean_task
from core.tasks.attacks import Attack
from core.tasks.data import obtain_task

app = typer.Typer()
USUAL = sweeps.SuppressionChoices()


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
    where: WhereOption = "both",
    precision: Exact = None,
    backbone: BackboneOption = None,
    predictions: Annotated[
        Path | None, typer.Option(callback=writable, help="Parquet: one row per example.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Accuracy of a prompt on a task, or its score by the task's metric, with a 95% interval."""
    with open_lab() as lab:
        asked, target = inputs.prompt(lab, prompt, backbone), obtain_task(task, bar())
        spec = sweeps.own_evaluation(
            asked, lab.pin(target, asked.backbone.name), split or target.evaluation_split,
            limit=limit, precision=precision,
            attack=inputs.attack(attack, dose, worst_of, attack_seed, where),
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
def suppress(
    prompt: PromptArg,
    task: TaskArg,
    fractions: Annotated[
        str, typer.Option(help="Shares of the neurons, each from 0 to 1; comma-separated.")
    ] = ",".join(f"{f:g}" for f in sweeps.PAPER_FRACTIONS),
    draws: Annotated[int, typer.Option(min=1, help="Draws of random neurons.")] = USUAL.draws,
    choose: Annotated[
        str | None,
        typer.Option(
            help="skill, causal, random, lowest; comma-separated. Default: "
            f"{', '.join(sweeps.CURVES)}; in the decoder {', '.join(sweeps.IN_DECODER)}."
        ),
    ] = None,
    stack: StackOption = "encoder",
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
    where: WhereOption = "both",
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
        inputs.has_stack(lab, asked, stack)
        ranker = obtain_task(ranked_on, bar()) if ranked_on else clean_task(target)
        choices = sweeps.SuppressionChoices(
            fractions=_fractions(fractions), draws=draws,
            kinds_of_neuron=inputs.kinds(choose, stack), stack=stack,
            scope=scope, positions=positions, kind=kind, noise=spread, limit=limit,
            precision=precision, attack=inputs.attack(attack, dose, worst_of, attack_seed, where),
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
    """The questions of `suppress`; `tasks` are the ranking and the tested one. Raises: BadInput."""
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
    causal = sweeps.attributions(ranked, pin, precision=choices.precision, stack=choices.stack)
    own = lab.clean_name(target.name) == lab.clean_name(ranker.name)
    if "causal" in choices.kinds_of_neuron and own and here[1] in {a.split for a in causal}:
        raise BadInput(
            f"--split {here[1]}: causal neurons are ranked on this split of {target.title}; test "
            "them on another one, or leave them out (--choose)."
        )
    return sweeps.suppression_sweep([prompt], ranking, *here, choices, causal)


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


@app.command()
def transfer(
    prompts: Annotated[list[str], typer.Argument(help="Prompts.")],
    tasks: Annotated[str, typer.Option(help="Target tasks, comma-separated.")],
    limit: Limit = None,
    attack: AttackOption = None,
    dose: Dose = 1,
    worst_of: WorstOf = 1,
    attack_seed: AttackSeed = 0,
    where: WhereOption = "both",
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
        how = inputs.attack(attack, dose, worst_of, attack_seed, where)
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
def dose(
    prompt: PromptArg,
    task: TaskArg,
    attack: AttackKind = "typo",
    doses: Annotated[
        str | None,
        typer.Option(
            help="Edits per text, comma-separated; default: 0,1,2,3,5, as far as the attack goes."
        ),
    ] = None,
    worst_of: WorstOf = 1,
    attack_seed: AttackSeed = 0,
    where: WhereOption = "both",
    top: Annotated[
        float, typer.Option(help="Skill and causal neurons, as a share of each layer.")
    ] = 0.05,
    split: Split = None,
    precision: Exact = None,
    backbone: BackboneOption = None,
    as_json: AsJson = False,
) -> None:
    """Accuracy and the skill and causal neurons kept under attacks of increasing dose; one row per
    dose.
    """
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
            _doses(doses) if doses else None,
            precision,
        )
        ask_all(lab, sweep.everything)
        named = {asked.backbone.name: sweep}
        rows = figures.accuracy(lab.store, named)
        shared = figures.overlap(lab.store, named, top).drop(columns="backbone")
        names = ["dose", "shared", "shuffled", "p", "kept"]
        for kind in sweep.stability:
            mine = shared[shared.neurons == kind][names]
            if kind != "skill":
                mine = mine.rename(columns={name: f"{kind}_{name}" for name in names[1:]})
            rows = rows.merge(mine, on="dose", how="left")
        say(rows, as_json)


def _doses(text: str) -> list[int]:
    """`0,1,2` as whole numbers. Raises: BadInput."""
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        raise BadInput(f"--doses {text!r} is not a list like 0,1,2,3,5.") from None
    if min(found) < 0:
        raise BadInput(f"--doses {text!r}: a dose is 0 or more.")
    return found
