"""The dashboard's questions from a notebook: names in, frames and Altair charts out.

    from core.notebook import Skillscope

    scope = Skillscope()
    scope.accuracy("roberta-mini", "short_reviews")

An answer is computed once and kept in the cache that the dashboard uses, so a notebook and the
dashboard show the same numbers. Only one program at a time can open a cache; close the other one
first, or pass another cache.
"""

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from core import charts
from core.base.errors import BadInput
from core.base.settings import Settings
from core.base.specs import Spec
from core.figures import queries
from core.figures.prompt import works_on
from core.figures.robustness import dose as doses_of
from core.lab.lab import Lab
from core.measures import sweeps
from core.measures.evaluation import EvaluationSpec
from core.measures.tuning import TuneSpec
from core.stats.neurons import Choose, Ranking
from core.tasks import Task, builtin_names, clean_task, own_names, paper_names
from core.tasks.attacks import Attack
from core.tasks.data import obtain_task

Seeds = Sequence[int]


class Skillscope:
    """An open cache. Backbones are names as in the dashboard, Hub ids (`org/name`) or folders;
    tasks are names or paths of TOML files. Prompts are the standard ones that figures show, tuned
    if they are missing; `tuning` changes their settings (fields of TuneSpec, e.g. `steps=50`).
    On bad input, a method raises BadInput with one plain sentence.
    """

    def __init__(
        self, cache: str | Path | None = None, *, progress: bool = True, **tuning: Any
    ) -> None:
        known = {f.name for f in fields(TuneSpec)}
        if unknown := sorted(set(tuning) - known):
            raise BadInput(
                f"TuneSpec has no setting {unknown[0]!r}; it has {', '.join(sorted(known))}."
            )
        settings = Settings.from_env()
        if cache is not None:
            settings = replace(settings, cache=Path(cache))
        self.lab, self._progress, self._tuning = Lab.open(settings), progress, tuning

    def close(self) -> None:
        """Let other programs open the cache."""
        self.lab.store.close()

    def __enter__(self) -> "Skillscope":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- what is there -------------------------------------------------------------------------
    def backbones(self) -> list[str]:
        """Names of the backbones on this machine."""
        return list(self.lab.models.names())

    def tasks(self) -> pd.DataFrame:
        """Per task: name, title, category, classes (empty where answers are written), ready."""
        places = self.lab.settings.places
        names = (*builtin_names(), *paper_names(), *own_names(places))
        rows = [self.lab.find_task(name) for name in names]
        return pd.DataFrame(
            [(t.name, t.title, t.category, ", ".join(t.labels), t.ready) for t in rows],
            columns=["name", "title", "category", "classes", "ready"],
        )

    # --- questions -----------------------------------------------------------------------------
    def prompts(self, backbone: str, task: str, seeds: Seeds = sweeps.SEEDS) -> list[TuneSpec]:
        """A task's standard prompts, as the questions that tune them, one per seed; those of its
        clean task for an adversarial version.
        """
        if isinstance(seeds, int) or not len(seeds):
            raise BadInput("Give a list of seeds, e.g. seeds=[0, 1].")
        name = self._backbone(backbone)
        return self.lab.standard(name, clean_task(self._task(task)), seeds, **self._tuning)

    def accuracy(
        self,
        backbone: str,
        task: str,
        *,
        on: str | None = None,
        seeds: Seeds = sweeps.SEEDS,
        limit: int | None = None,
        attack: Attack | None = None,
    ) -> pd.DataFrame:
        """Accuracy of a task's prompts on the task itself or `on` another, one row per seed: seed,
        task, metric, accuracy, low and high (95%), n, majority.
        """
        prompts = self.prompts(backbone, task, seeds)
        specs = self._evaluations(backbone, prompts, on or task, limit, attack)
        self.ask(specs)
        rows = [works_on(self.lab.store, [spec]).drop(columns="own") for spec in specs]
        table = pd.concat(rows, ignore_index=True)
        table.insert(0, "seed", [p.seed for p in prompts])
        return table

    def transfer(
        self,
        backbone: str,
        sources: Sequence[str],
        targets: Sequence[str] | None = None,
        *,
        seeds: Seeds = sweeps.SEEDS,
        relative: bool = False,
    ) -> pd.DataFrame:
        """Every source task's prompts on every target task (the sources by default): backbone,
        source_task, target_task, value (mean over seeds), sem, seeds, n, majority, accuracy.
        With `relative`, values are relative to the target's own prompts; its task must be among
        the sources.
        """
        if isinstance(sources, str) or isinstance(targets, str):
            raise BadInput('Give lists of tasks, e.g. ["short_reviews"].')
        prompts = [p for task in sources for p in self.prompts(backbone, task, seeds)]
        specs = [
            spec
            for task in targets or sources
            for spec in self._evaluations(backbone, prompts, task, None, None)
        ]
        self.ask(specs)
        return queries.transfer(self.lab.store, specs, relative=relative, clean=self.lab.clean_name)

    def predictivity(
        self, backbone: str, task: str, *, seeds: Seeds = sweeps.SEEDS
    ) -> pd.DataFrame:
        """Each neuron's predictivity (mean over seeds), the highest first: layer, neuron,
        predictivity, least. Neurons at or below `least`, the majority-class accuracy, are
        uninformative.
        """
        found = self._task(task)
        own = self.prompts(backbone, task, seeds)
        pin = self.lab.pin(found, self._backbone(backbone))
        specs = sweeps.predictivities(
            ((p, pin, found.evaluation_split) for p in own), found.contrasts()
        )
        self.ask(specs)
        return _neurons(_only(queries.rankings(self.lab.store, specs)), "predictivity")

    def attribution(self, backbone: str, task: str, *, seeds: Seeds = sweeps.SEEDS) -> pd.DataFrame:
        """What each neuron adds to the margin of the right answer (logits, mean over train rows and
        seeds), the highest first: layer, neuron, attribution, least (0).
        """
        own = self.prompts(backbone, task, seeds)
        clean = clean_task(self._task(task))
        specs = sweeps.attributions(own, self.lab.pin(clean, self._backbone(backbone)))
        self.ask(specs)
        return _neurons(_only(queries.rankings(self.lab.store, specs)), "attribution")

    def suppression(
        self,
        backbone: str,
        task: str,
        *,
        fractions: Sequence[float] = sweeps.PAPER_FRACTIONS,
        kinds: Sequence[Choose] = sweeps.CURVES,
        draws: int = 3,
        seeds: Seeds = sweeps.SEEDS,
        limit: int | None = 256,
    ) -> pd.DataFrame:
        """Accuracy with a fraction of each layer's neurons set to zero: backbone, choose (their
        kind), fraction, accuracy (mean over seeds and draws), low, high, seeds, draws, n, majority.
        """
        found, name = self._task(task), self._backbone(backbone)
        own, place = self.prompts(backbone, task, seeds), self.lab.pin(found, name)
        split, clean = found.evaluation_split, clean_task(found)
        ranked_on = self.lab.pin(clean, name)
        ranking = sweeps.predictivities(
            ((p, ranked_on, clean.evaluation_split) for p in own), clean.contrasts()
        )
        choices = sweeps.SuppressionChoices(
            fractions=tuple(fractions), draws=draws, kinds_of_neuron=tuple(kinds), limit=limit
        )
        causal = sweeps.attributions(own, ranked_on)
        specs = sweeps.suppression_sweep(own, ranking, place, split, choices, causal)
        self.ask(specs)
        return queries.suppression_curve(self.lab.store, specs)

    def dose(
        self,
        backbones: Sequence[str],
        task: str,
        *,
        attack: Attack | None = None,
        doses: Sequence[int] | None = None,
        seeds: Seeds = sweeps.SEEDS,
    ) -> pd.DataFrame:
        """Accuracy under an attack (by default typos) at increasing doses (by default the usual
        ones of its kind): backbone, dose, accuracy, low and high (95%, seeds and examples
        redrawn), n, seeds, majority, accuracy_kept.
        """
        found = self._task(task)
        asked = {
            name: sweeps.dose_response(
                self.prompts(name, task, seeds),
                (self.lab.pin(found, self._backbone(name)), found.evaluation_split),
                found.contrasts(), attack or Attack(kind="typo", dose=1), doses,
            )
            for name in backbones
        }  # fmt: skip
        self.ask([s for sweep in asked.values() for e in sweep.evaluations.values() for s in e])
        return doses_of.accuracy(self.lab.store, asked)

    def ask(self, specs: Sequence[Spec]) -> None:
        """Answer every question that has no stored answer, with a progress bar."""
        missing = self.lab.missing(specs)
        for spec in tqdm(missing, disable=not (self._progress and missing), leave=False):
            self.lab.ask(spec)

    # --- figures -------------------------------------------------------------------------------
    def plot_suppression(self, table: pd.DataFrame) -> charts.Figure:
        """The curves of `suppression`."""
        return charts.suppression_curves(
            table, self._look(), fractions=sorted(table.fraction.unique())
        )

    def plot_dose(self, table: pd.DataFrame, edits: str = "typos") -> charts.Figure:
        """The curves of `dose`."""
        doses = sorted(int(d) for d in table.dose.unique() if d)
        return charts.dose_accuracy(table, self._look(), edits=edits, doses=doses)

    def plot_transfer(self, table: pd.DataFrame, *, relative: bool = False) -> charts.Figure:
        """The matrix of `transfer`, for one backbone."""
        titles = {n: self._task(n).title for n in {*table.source_task, *table.target_task}}
        shown = charts.titled(table, titles)
        return charts.transfer_heatmap(
            shown, self._look(), backbone=str(table.backbone.iloc[0]), relative=relative,
            rows=list(dict.fromkeys(shown.source_task)),
            columns=list(dict.fromkeys(shown.target_task)),
        )  # fmt: skip

    # --- inside --------------------------------------------------------------------------------
    def _look(self) -> charts.Look:
        return charts.Look(backbones=self.lab.models.names())

    def _task(self, name: str) -> Task:
        return obtain_task(name, places=self.lab.settings.places)

    def _backbone(self, name: str) -> str:
        return self.lab.models.obtain(name)

    def _evaluations(
        self,
        backbone: str,
        prompts: Sequence[TuneSpec],
        task: str,
        limit: int | None,
        attack: Attack | None,
    ) -> list[EvaluationSpec]:
        found = self._task(task)
        place = self.lab.pin(found, self._backbone(backbone)), found.evaluation_split
        return [sweeps.own_evaluation(p, *place, limit=limit, attack=attack) for p in prompts]


def _only(found: dict[Any, Ranking]) -> Ranking:
    (ranking,) = found.values()
    return ranking


def _neurons(ranking: Ranking, name: str) -> pd.DataFrame:
    """A ranking as a table, the highest first."""
    layer, neuron = np.indices(ranking.values.shape).reshape(2, -1)
    table = pd.DataFrame(
        {"layer": layer, "neuron": neuron, name: ranking.values.ravel(), "least": ranking.least}
    )
    return table.sort_values(name, ascending=False, kind="stable", ignore_index=True)
