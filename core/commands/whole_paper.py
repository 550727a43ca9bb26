"""`python -m core paper`."""

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from core.commands import paper
from core.commands.common import AsJson, Length, Limit, Steps, ask_all, bar, open_lab, say
from core.lab.lab import Lab
from core.measures import sweeps
from core.tasks import Task
from core.tasks.data import obtain_task

app = typer.Typer()


@app.command("paper")
def whole_paper(
    backbone: Annotated[list[str], typer.Option(help="Backbone; may be given several times.")],
    subset: Annotated[str, typer.Option(help="Tasks, comma-separated.")] = ",".join(paper.TASKS),
    seeds: Annotated[
        int, typer.Option(min=1, help="Prompts per task, with the seeds from 0 on.")
    ] = len(sweeps.SEEDS),
    steps: Steps = None,
    prompt_length: Length = None,
    limit: Limit = None,
    released: Annotated[
        bool, typer.Option(help="Use the imported prompts of the papers instead of tuning.")
    ] = False,
    dry_run: Annotated[bool, typer.Option(help="Print the expected cost and stop.")] = False,
    as_json: AsJson = False,
) -> None:
    """All of Ackermann & Ohmer 2024: tuning, transfer, predictivity, suppression. Resumable."""
    with open_lab() as lab:
        tasks = [obtain_task(name.strip(), bar()) for name in subset.split(",")]
        plans = {}
        for name in (lab.models.obtain(b, bar()) for b in backbone):
            pin = lab.models.pin(name)
            if released:
                prompts = paper.released_prompts(lab, pin, tasks)
            else:
                prompts = paper.standard_prompts(
                    pin, lab.models.family(name), tasks, seeds=range(seeds), steps=steps,
                    prompt_length=prompt_length, precision=lab.models.precision(name),
                )  # fmt: skip
            plans[name] = paper.plan(tasks, prompts, lab.models.family(name), limit=limit)
        say([_expected(lab, name, plan, tasks) for name, plan in plans.items()], as_json)
        if dry_run:
            return
        for name, plan in plans.items():
            ask_all(lab, plan.everything)
            done = len(lab.known(plan.everything))
            print(f"skillscope: {name}: {done} answers are in the cache.", file=sys.stderr)


def _expected(lab: Lab, name: str, plan: paper.Plan, tasks: Sequence[Task]) -> dict[str, Any]:
    """Numbers of a plan: runs by kind, what is left, hours and disk by a short calibration."""
    left = lab.missing(plan.everything)
    model = lab.models.load(name, lab.models.precision(name))
    tokens = max(p.prompt_length for p in plan.prompts) + 1
    neurons = (40 + 2 * tokens) * model.layers * model.intermediate_size  # bytes of a measurement
    return {
        "backbone": name,
        "prompts": len(plan.prompts),
        "transfer": len(plan.transfer),
        "predictivity": len(plan.predictivity),
        "stability": len(plan.stability),
        "suppression": len(plan.suppression),
        "left": len(left),
        "hours": paper.calibrate(lab, plan.prompts[0], tasks[0]).hours(left) if left else 0.0,
        "disk_mb": neurons * len(plan.predictivity) / 1e6,
    }
