"""Recompute everything the embedded default ships, from weights and text."""

import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import pandas as pd

from core.backbones import FAMILIES
from core.base.prompts import Prompt
from core.base.settings import EMBEDDED, PLAIN, Settings
from core.base.specs import Spec, key
from core.figures import queries
from core.lab.lab import Lab, open_store
from core.measures import alternatives, projections, sweeps
from core.measures.evaluation import EvaluationSpec
from core.measures.nearest import NearestSpec
from core.measures.predictivity import PredictivitySpec
from core.measures.tuning import TuneSpec
from core.store import Store
from core.tasks import Task, builtin_names, clean_task, load_task, pin_task
from core.tasks.attacks import KINDS, Attack, Kind
from core.tasks.baselines import write_shipped

Keep = Literal["nothing", "prompts", "answers"]
FIRST = "short_reviews"  # what pages show before a task is chosen
ROWS = 256  # on which a prompt in words is compared
REPORT_FRACTIONS = (0.0, 0.05, 0.15, 0.3, 0.5)


def tasks() -> tuple[list[Task], list[Task]]:
    """The clean tasks with classes, and all with classes."""
    every = [t for t in map(load_task, builtin_names()) if t.labels]
    return [t for t in every if t.adversarial_of is None], every


def written_tasks(lab: Lab, backbone: str) -> list[Task]:
    """The tasks with written answers, if the backbone can write."""
    writes = FAMILIES[lab.models.family(backbone)].writes
    return [t for t in map(load_task, builtin_names()) if writes and not t.labels]


def prompts(lab: Lab, backbone: str, task: Task) -> list[TuneSpec]:
    """The standard prompts of a (clean) task."""
    pin, family = lab.models.pin(backbone), lab.models.family(backbone)
    origin = pin_task(clean_task(task), family)
    return [sweeps.standard_prompt(pin, family, origin, seed) for seed in sweeps.SEEDS]


def shipped(lab: Lab, backbone: str) -> tuple[Spec, ...]:
    """All questions whose answers are shipped for a backbone. For a weathered one: its prompts, and
    what Robustness and Suppression show of the clean tasks.
    """
    clean, every = tasks()
    if backbone not in PLAIN:
        return weathered(lab, backbone, clean)
    texts = written_tasks(lab, backbone)
    writing = [p for t in texts for p in prompts(lab, backbone, t)]
    tuned = [p for t in clean for p in prompts(lab, backbone, t)] + writing
    places = [(lab.pin(t, backbone), t.evaluation_split) for t in (*every, *texts)]
    grid = sweeps.transfer_grid(tuned, places)
    attacked = [
        spec
        for t in every
        if t.adversarial_of is not None
        for spec in compared(lab, backbone, t).everything
    ]
    curves = [spec for t in clean for spec in suppressed(lab, backbone, t)]
    doses = struck_every_way(lab, backbone, clean)
    first = load_task(FIRST)
    boxes = measured(lab, backbone, every)
    told = [spec for t in clean for spec in of_prompts(lab, backbone, t)]
    told += [*sweeps.activated(writing), *(NearestSpec(prompt=p) for p in writing)]
    begun = starts(lab, backbone, first, clean)
    brought = projected(lab, backbone, clean)
    otherwise = tuned_otherwise(lab, backbone, first)
    every_one = (
        *tuned, *boxes, *grid, *told, *begun, *brought, *otherwise, *attacked, *curves, *doses,
        *suppressed_alone(lab, backbone), *ranked_under_attack(lab, backbone),
    )  # fmt: skip
    return tuple(dict.fromkeys(every_one))


def weathered(lab: Lab, backbone: str, clean: list[Task]) -> tuple[Spec, ...]:
    """The prompts of the clean tasks, their accuracies and predictivities, and the answers to typos
    and suppressions.
    """
    own = [
        spec
        for t in clean
        for p in prompts(lab, backbone, t)
        for spec in (p, sweeps.own_evaluation(p, lab.pin(t, backbone), t.evaluation_split))
    ]
    boxes = measured(lab, backbone, clean)
    curves = [spec for t in clean for spec in suppressed(lab, backbone, t)]
    doses = [spec for t in clean for spec in struck(lab, backbone, t).everything]
    alone = (*suppressed_alone(lab, backbone), *ranked_under_attack(lab, backbone))
    return tuple(dict.fromkeys((*own, *boxes, *curves, *doses, *alone)))


def suppressed_alone(lab: Lab, backbone: str) -> tuple[Spec, ...]:
    """Single neurons against their attribution, as the Suppression page shows below its curves."""
    task = load_task(FIRST)
    return sweeps.faithfulness(
        sweeps.attributions(prompts(lab, backbone, task)[:1], lab.pin(task, backbone))
    )


def struck(lab: Lab, backbone: str, task: Task, kind: Kind = "typo") -> sweeps.DoseSweep:
    """A task under attack, as the Robustness page asks; slips of the keyboard by default."""
    place = lab.pin(task, backbone), task.evaluation_split
    return sweeps.dose_response(
        prompts(lab, backbone, task), place, task.contrasts(), Attack(kind=kind, dose=1)
    )


def struck_every_way(lab: Lab, backbone: str, clean: list[Task]) -> list[Spec]:
    """The same for each kind of attack."""
    return [
        spec for t in clean for kind in KINDS for spec in struck(lab, backbone, t, kind).everything
    ]


def ranked_under_attack(lab: Lab, backbone: str) -> tuple[Spec, ...]:
    """What ranks the neurons on texts with one slip each, as the Robustness page shows beside their
    ranks on clean texts.
    """
    return struck(lab, backbone, load_task(FIRST)).stability["skill"][1].adversarial


def of_prompts(lab: Lab, backbone: str, task: Task) -> tuple[Spec, ...]:
    """What Transferability and the page of a prompt ask of a task's prompts themselves; vectors are
    left out of the first one only.
    """
    own, place = prompts(lab, backbone, task), (lab.pin(task, backbone), task.evaluation_split)
    words = lab.in_words(backbone, task, sweeps.usual_words(task, lab.models.family(backbone)))
    nearest = (NearestSpec(prompt=p) for p in own)
    return (
        *sweeps.activated(own), *nearest, sweeps.dropped(own[0], *place), words,
        *(sweeps.own_evaluation(p, *place, limit=ROWS) for p in (words, own[0])),
    )  # fmt: skip


def starts(lab: Lab, backbone: str, task: Task, clean: list[Task]) -> tuple[Spec, ...]:
    """A task's tuning from every start, as the Tuning page compares them by default."""
    found = from_starts(lab, backbone, task, clean)
    return tuple(spec for runs in found.values() for spec in runs)


def from_starts(
    lab: Lab, backbone: str, task: Task, clean: list[Task]
) -> dict[str, tuple[TuneSpec, ...]]:
    """The same by what a start is called."""
    sources: dict[str, Sequence[Prompt]] = {
        t.title: prompts(lab, backbone, t) for t in sweeps.usual_sources(task, clean)
    }
    other = next(name for name in PLAIN if name != backbone)
    sources[other] = projections.projected_starts(
        lambda name, t: prompts(lab, name, t), other, backbone, task, clean
    )
    return sweeps.starts(prompts(lab, backbone, task), sources)


def projected(lab: Lab, backbone: str, clean: list[Task]) -> tuple[Spec, ...]:
    """Prompts of the other embedded backbone on this one, as the Projection page asks by
    default.
    """
    other = next(name for name in PLAIN if name != backbone)
    learned = projections.learned_by_default(clean)
    pairs = [[p for t in learned for p in prompts(lab, b, t)] for b in (other, backbone)]
    projectors = {by: projections.projector(pairs[0], pairs[1], by) for by in projections.WAYS}
    asked = (
        projections.questions(
            projectors, (lab.pin(t, backbone), t.evaluation_split),
            prompts(lab, other, t), prompts(lab, backbone, t),
        )
        for t in clean
    )  # fmt: skip
    each = (spec for kinds in asked for specs in kinds.values() for spec in specs)
    return (*projectors.values(), *each)


def tuned_otherwise(lab: Lab, backbone: str, task: Task) -> tuple[Spec, ...]:
    """A task tuned in every way, as the page Ways to tune asks by default."""
    own = prompts(lab, backbone, task)
    return alternatives.ways(
        own, lab.models.family(backbone), measured(lab, backbone, [task]),
        sweeps.attributions(own, lab.pin(task, backbone)), split=task.evaluation_split,
    )  # fmt: skip


def suppressed(lab: Lab, backbone: str, task: Task) -> tuple[Spec, ...]:
    """The curves of causal, skill and random neurons, as the Suppression page asks by default, and
    what ranks the neurons.
    """
    own, place = prompts(lab, backbone, task), lab.pin(task, backbone)
    causal = sweeps.attributions(own, place)
    choices = sweeps.SuppressionChoices(kinds_of_neuron=sweeps.CURVES)
    curves = sweeps.suppression_sweep(
        own, measured(lab, backbone, [task]), place, task.evaluation_split, choices, causal
    )
    return (*causal, *curves)


def compared(lab: Lab, backbone: str, version: Task) -> sweeps.RobustnessSweep:
    """An adversarial version against its clean task, as the Robustness page asks."""
    origin = clean_task(version)
    clean, attacked = ((lab.pin(t, backbone), t.evaluation_split) for t in (origin, version))
    return sweeps.robustness(prompts(lab, backbone, version), clean, attacked, origin.contrasts())


def measured(lab: Lab, backbone: str, found: list[Task]) -> tuple[PredictivitySpec, ...]:
    """Each task's own prompts measured on it."""
    return tuple(
        spec
        for t in found
        for spec in sweeps.predictivities(
            ((p, lab.pin(t, backbone), t.evaluation_split) for p in prompts(lab, backbone, t)),
            t.contrasts(),
        )
    )


def rebuild(
    assets: Path, work: Path, say: Callable[[str], None] = print, *, keep: Keep = "nothing"
) -> None:
    """Tune, evaluate and measure, a backbone a process, two at a time; then export to `assets`.

    Shipped `prompts` that are kept are measured anew, not tuned anew: what comes out is then the
    same on every machine. With all shipped `answers` kept, only new questions are answered. Prints
    the report of the plain backbones, and leaves it in `assets/report.csv`. `work` keeps what is
    done: a killed rebuild goes on.
    """
    context = get_context("spawn")
    there = [n for n in EMBEDDED if (assets / "backbones" / n / "config.json").is_file()]
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        jobs = [pool.submit(rebuild_one, name, assets, work / name, keep) for name in there]
        for job in jobs:
            say(job.result())
    target = assets / "answers"
    shutil.rmtree(work / "both", ignore_errors=True)
    with open_store(replace(Settings.from_env(), cache=work / "both")) as store:
        for name in there:
            store.merge(work / name / "export")
        store.export(work / "both" / "export")
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(work / "both" / "export", target)
    say(f"Exported to {target}.")
    write_shipped(assets, map(load_task, builtin_names()))
    table = pd.concat([pd.read_csv(work / name / "report.csv") for name in PLAIN])
    table.to_csv(assets / "report.csv", index=False)
    say(table.to_string(index=False, float_format="%.3f"))


def take_over(assets: Path, work: Path, store: Store, keep: Keep) -> None:
    """Take over the shipped answers, or the prompts only."""
    if keep == "answers":
        store.merge(assets / "answers")
    if keep != "prompts":
        return
    with open_store(replace(Settings.from_env(), cache=work / "shipped")) as shipped_store:
        shipped_store.merge(assets / "answers")
        # A projected prompt follows from its projector, which is trained again.
        kept = (s for s in shipped_store.specs("prompt") if s.origin != "projected")
        keys = [key(spec) for spec in kept]
        shipped_store.export(work / "prompts", keys)
    store.merge(work / "prompts")


def rebuild_one(backbone: str, assets: Path, work: Path, keep: Keep = "nothing") -> str:
    """One backbone's answers, on one core."""
    settings = replace(Settings.from_env(), assets=assets, cache=work / "cache", threads=1)
    with open_store(settings) as store:
        take_over(assets, work, store, keep)
        lab = Lab(settings, store)
        specs = shipped(lab, backbone)
        todo = lab.missing(specs)
        for i, spec in enumerate(todo):
            lab.ask(spec)
            if i % 20 == 0:
                print(f"{backbone}: {i} of {len(todo)}", flush=True)
        shutil.rmtree(work / "export", ignore_errors=True)
        store.export(work / "export", [key(s) for s in specs])
        if backbone in PLAIN:
            table = report(lab, backbone).round(4)
            table.insert(0, "backbone", backbone)
            table.to_csv(work / "report.csv", index=False)
    return f"{backbone}: {len(specs)} answers."


def report(lab: Lab, backbone: str, limit: int = 256) -> pd.DataFrame:
    """Per task: accuracy, predictivity (median, 99th percentile, floor) and the fall of accuracy
    under suppression, skill against random; computes what is missing.
    """
    clean, every = tasks()
    rows = list[dict[str, object]]()
    for task in every:
        evaluations = [
            sweeps.own_evaluation(p, lab.pin(task, backbone), task.evaluation_split)
            for p in prompts(lab, backbone, task)
        ]
        boxes = measured(lab, backbone, [task])
        questions: tuple[Spec, ...] = (*evaluations, *boxes)
        for spec in questions:
            lab.ask(spec)
        accuracy = queries.accuracies(lab.store, evaluations).iloc[0]
        box = queries.predictivity_boxes(lab.store, boxes).iloc[0]
        row = {
            "task": task.name,
            "accuracy": accuracy["accuracy"],
            "median": box["median"],
            "p99": box["p99"],
            "floor": box["floor"],
        }
        if task in clean:
            row |= suppressed_accuracies(lab, backbone, task, limit)
        rows.append(row)
    return pd.DataFrame(rows)


def suppressed_accuracies(lab: Lab, backbone: str, task: Task, limit: int) -> dict[str, float]:
    """Accuracy with a share of skill and of random neurons suppressed: one seed, three draws."""
    choices = sweeps.SuppressionChoices(fractions=REPORT_FRACTIONS, limit=limit)
    ranking = measured(lab, backbone, [task])
    specs: tuple[EvaluationSpec, ...] = sweeps.suppression_sweep(
        prompts(lab, backbone, task)[:1],
        ranking,
        lab.pin(task, backbone),
        task.evaluation_split,
        choices,
    )
    for spec in specs:
        lab.ask(spec)
    curve = queries.suppression_curve(lab.store, specs)
    return {
        f"{row['choose']}_{row['fraction']:.0%}": row["accuracy"]
        for row in curve.to_dict("records")
        if row["fraction"] > 0
    }
