"""Where questions meet verbs, store and worker: ask, submit, status."""

import hashlib
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from typing import assert_never

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from core.backbones import Backbone, load_backbone
from core.backbones.hooks import Intervention
from core.base.errors import BadInput
from core.base.progress import Progress, part, silent
from core.base.results import (
    Activations,
    Agreement,
    Evaluation,
    NeuronEffect,
    Predictivity,
    Result,
    Run,
    SoftPrompt,
    Step,
)
from core.base.settings import EMBEDDED, Settings
from core.base.specs import (
    ActivationSpec,
    AgreementSpec,
    EvaluationSpec,
    ImportedPrompt,
    Measurement,
    NeuronSpec,
    Pinned,
    PredictivitySpec,
    Prompt,
    Suppression,
    TuneSpec,
    key,
)
from core.lab.models import Models
from core.lab.workers import InlineWorker, Status, Worker
from core.measures import evaluation, tuning
from core.measures.ablation import effect
from core.measures.activations import activations
from core.measures.predictivity import measure
from core.measures.reading import Reading, read
from core.measures.stability import agree, redraw
from core.stats.neurons import choose_neurons, ranking
from core.store import Store
from core.tasks import Task, load_task, pin_task
from core.tasks.data import load_split, obtain_task

REMEMBERED = 64  # measurements whose neurons need not be read again


class Lab:
    """The one object that pages and the command line talk to."""

    def __init__(self, settings: Settings, store: Store, worker: Worker | None = None) -> None:
        self.settings, self.store = settings, store
        self.models = Models(settings, store)
        self.worker: Worker = worker or InlineWorker()
        self._live: dict[str, list[Step]] = {}
        self._neurons: dict[str, dict[str, Tensor]] = {}
        self._guard = threading.Lock()
        self._locks: dict[str, threading.RLock] = {}
        self._followers: dict[str, set[str]] = {}
        torch.set_num_threads(settings.threads or torch.get_num_threads())

    @classmethod
    def open(cls, settings: Settings, worker: Worker | None = None) -> "Lab":
        """Open the cache and take over the shipped answers. Raises: StoreBusy."""
        store = Store(settings.cache, activation_megabytes=settings.activation_megabytes)
        shipped = settings.assets / "answers"
        try:
            if (shipped / "evaluation.parquet").is_file():
                store.merge_once(shipped)
        except BaseException:
            store.close()
            raise
        return cls(settings, store, worker)

    # --- asking --------------------------------------------------------------------------------
    def known(self, specs: Iterable[Measurement]) -> set[str]:
        """Keys of those questions whose answer is stored."""
        return self.store.known(key(s) for s in specs)

    def missing(self, specs: Sequence[Measurement]) -> tuple[Measurement, ...]:
        """Those questions whose answer is not stored yet, in their order."""
        known = self.known(specs)
        return tuple(s for s in specs if key(s) not in known)

    def ask(self, spec: Measurement, progress: Progress = silent) -> None:
        """See that the answer is stored: nothing to do, or compute it and what it rests on."""
        with self._alone(key(spec), progress):
            if not self.known([spec]) and not self._narrowed(spec):
                self._compute(spec, progress)

    def _narrowed(self, spec: Measurement) -> bool:
        """An answer for some rows is part of the answer for all rows, if that is stored."""
        if not isinstance(spec, EvaluationSpec) or spec.limit is None:
            return False
        whole = self.store.evaluation(replace(spec, limit=None))
        if whole is None:
            return False
        task = self._task(spec.task)
        kept = np.isin(whole.index, load_split(task, spec.split, spec.limit).index)
        part_of = Evaluation(
            spec=spec,
            index=whole.index[kept],
            labels=whole.labels[kept],
            predictions=whole.predictions[kept],
            scores=None,
        )
        self.store.add(part_of, self.store.run(key(whole.spec)))
        return True

    @contextmanager
    def _alone(self, name: str, progress: Progress) -> Iterator[None]:
        """Two jobs that need the same answer: the second waits for the first, and can be cancelled
        while it waits.
        """
        with self._guard:
            lock = self._locks.setdefault(name, threading.RLock())
        while not lock.acquire(timeout=0.2):
            progress(0.0, "waiting for another job that computes the same")
        try:
            yield
        finally:
            lock.release()

    def recompute(self, spec: Measurement, progress: Progress = silent) -> Result:
        """Compute an answer anew, in full; store it unless it is stored already."""
        with self._alone(key(spec), progress):
            return self._compute(spec, progress)

    def _compute(self, spec: Measurement, progress: Progress) -> Result:
        progress(0.0, "")
        started, clock = datetime.now(UTC), time.perf_counter()
        result = self.answer(spec, progress)
        run = self._run(started, time.perf_counter() - clock)
        if isinstance(result, Activations):
            assert isinstance(spec, ActivationSpec)
            self.store.add_activations(spec, result)
        elif not self.known([spec]):
            self.store.add(result, run)
        return result

    def _run(self, started: datetime, seconds: float) -> Run:
        return Run(
            started=started.isoformat(timespec="seconds"),
            seconds=round(seconds, 3),
            device=self.models.device(),
            versions=_versions(),
        )

    def answer(self, spec: Measurement, progress: Progress = silent) -> Result:
        """Compute an answer anew, without storing it; what it rests on is asked for."""
        match spec:
            case TuneSpec():
                return self._tune(spec, progress)
            case PredictivitySpec():
                return self.measure(spec, progress)
            case EvaluationSpec():
                return self.evaluate(spec, progress)
            case ActivationSpec():
                return self._activations(spec, progress)
            case NeuronSpec():
                return self._effect(spec, progress)
            case AgreementSpec():
                return self._agreement(spec, progress)
            case _:
                assert_never(spec)

    def adopt(self, prompt: SoftPrompt, sha256: str) -> Prompt:
        """Store a prompt that came from a file, named by the file's hash.

        A header only claims what the vectors are: unless they are the stored ones, the file becomes
        an imported prompt. Raises: BadInput if it is for other weights.
        """
        spec = prompt.spec
        if len(prompt.vectors) != spec.prompt_length:
            raise BadInput(
                f"The file holds {len(prompt.vectors)} vectors; its header says "
                f"{spec.prompt_length}."
            )
        if not prompt.vectors.isfinite().all():
            raise BadInput("The file holds vectors that are not numbers.")
        width = self._backbone(spec).hidden_size
        if prompt.vectors.shape[1] != width:
            raise BadInput(
                f"The file holds vectors of width {prompt.vectors.shape[1]}, "
                f"but {spec.backbone.name} has {width}."
            )
        stored = self.store.prompt(spec)
        if stored is not None and torch.equal(stored.vectors, prompt.vectors):
            return spec
        if isinstance(spec, TuneSpec):
            spec = ImportedPrompt(
                backbone=spec.backbone,
                sha256=sha256,
                task=spec.task.name,
                seed=spec.seed,
                prompt_length=spec.prompt_length,
                layout=spec.layout,
                max_length=spec.max_length,
                precision=spec.precision,
            )
        if self.store.prompt(spec) is None:
            named = replace(prompt, spec=spec)
            self.store.add(named, self._run(datetime.now(UTC), 0.0))
        return spec

    def prompt(self, spec: Prompt, progress: Progress = silent) -> SoftPrompt:
        """A prompt, tuned now if it is not stored. Raises: BadInput for a lost import."""
        if isinstance(spec, TuneSpec):
            self.ask(spec, progress)
        stored = self.store.prompt(spec)
        if stored is None and isinstance(spec, ImportedPrompt):
            raise BadInput(f"The imported prompt {key(spec)} is not in the cache; import it again.")
        assert stored is not None
        return stored

    def _tune(self, spec: TuneSpec, progress: Progress) -> SoftPrompt:
        task = self._task(spec.task)
        backbone = self._backbone(spec)
        live = self._live[key(spec)] = list[Step]()
        train = load_split(task, "train")
        return tuning.tune(spec, backbone, task, train, progress, live.append)

    def live(self, spec: TuneSpec) -> tuple[Step, ...]:
        """The steps so far of a prompt that is being tuned in this process."""
        return tuple(self._live.get(key(spec), ()))

    def measure(self, spec: PredictivitySpec, progress: Progress = silent) -> Predictivity:
        """Predictivity with its full arrays."""
        first, then = self._stages([spec.prompt], progress)
        prompt = self.prompt(spec.prompt, first)
        task = self._task(spec.task)
        train = load_split(task, "train", spec.train_limit)
        examples = load_split(task, spec.split, spec.limit)
        return measure(spec, self._backbone(spec.prompt), prompt, task, train, examples, then)

    def evaluate(self, spec: EvaluationSpec, progress: Progress = silent) -> Evaluation:
        """Predictions and scores, example by example."""
        how = spec.suppression
        ranking = how.ranking if how is not None and how.choose != "random" else ()
        first, then = self._stages([spec.prompt, *ranking], progress)
        prompt = self.prompt(spec.prompt, part(first, 0, 0.5))
        task = self._task(spec.task)
        backbone = self._backbone(spec.prompt)
        hook = None
        if how is not None:
            mask = self.mask(how, backbone, part(first, 0.5, 1))
            prefix = backbone.prefix_length(len(prompt.vectors), spec.prompt.layout)
            means = self._means(how) if how.kind == "mean" else None
            hook = evaluation.intervention(mask, spec, prefix, means)
        examples = load_split(task, spec.split, spec.limit)
        return evaluation.evaluate(spec, backbone, prompt, task, examples, hook, then)

    def _stages(
        self, needed: Sequence[Measurement | ImportedPrompt], progress: Progress
    ) -> tuple[Progress, Progress]:
        """Progress of what a question rests on, and of itself; the former counts only if open."""
        asked = [s for s in needed if not isinstance(s, ImportedPrompt)]
        border = 0.8 if self.missing(asked) else 0.0
        return part(progress, 0, border), part(progress, border, 1)

    def mask(
        self, how: Suppression, backbone: Backbone, progress: Progress = silent
    ) -> Bool[Tensor, "layer neuron"]:
        """The neurons that a suppression chooses."""
        if how.choose == "random":
            shape = (backbone.layers, backbone.intermediate_size)
            rankings = [torch.zeros(shape)]
        else:
            rankings = self.rankings(how.ranking, progress)
        return choose_neurons(
            rankings, choose=how.choose, fraction=how.fraction, scope=how.scope, seed=how.seed
        )

    def rankings(
        self, specs: Sequence[PredictivitySpec], progress: Progress = silent
    ) -> list[Float[Tensor, "layer neuron"]]:
        """One ranking per binary question: the mean over its seeds."""
        groups: dict[object, list[Tensor]] = {}
        for i, spec in enumerate(specs):
            values = self.neurons(spec, part(progress, i / len(specs), (i + 1) / len(specs)))
            groups.setdefault(spec.contrast, []).append(values["predictivity"])
        return [ranking(group) for group in groups.values()]

    def neurons(self, spec: PredictivitySpec, progress: Progress = silent) -> dict[str, Tensor]:
        """Stored per-neuron values, measured now if they are not there."""
        name = key(spec)
        if name not in self._neurons:
            self.ask(spec, progress)
            values = self.store.neurons(spec)
            assert values is not None
            while len(self._neurons) >= REMEMBERED:
                self._neurons.pop(next(iter(self._neurons)), None)
            self._neurons[name] = values
        return self._neurons[name]

    def _means(self, how: Suppression) -> Float[Tensor, "layer neuron"]:
        return ranking([self.neurons(spec)["mean"] for spec in how.ranking])

    def read(
        self,
        ranked: Sequence[PredictivitySpec],
        texts: tuple[str, str | None],
        how: Sequence[Suppression],
    ) -> Reading:
        """One text through the prompt of `ranked[0]`: as the model is, then under each suppression.

        Everything it rests on must be stored: this answers while a person waits.
        """
        first = ranked[0]
        prompt, task = self.prompt(first.prompt), self._task(first.task)
        token = self.neurons(first)["best_token"].long()
        with self.models.borrowed(first.prompt.backbone.name, first.prompt.precision) as backbone:
            hooks = [Intervention(mask=self.mask(h, backbone)) for h in how]
            return read(backbone, prompt, task, texts, token, [None, *hooks])

    def _activations(self, spec: ActivationSpec, progress: Progress) -> Activations:
        asked = spec.ranking
        token = self.neurons(asked, part(progress, 0, 0.5))["best_token"].long()
        task = self._task(asked.task)
        examples = load_split(task, asked.split, spec.limit)
        prompt = self.prompt(asked.prompt)
        backbone = self._backbone(asked.prompt)
        return activations(spec, backbone, prompt, task, examples, token, part(progress, 0.5, 1))

    def _effect(self, spec: NeuronSpec, progress: Progress) -> NeuronEffect:
        asked = spec.ranking
        tokens = self.neurons(asked, part(progress, 0, 0.5))["best_token"]
        if not (spec.layer < tokens.shape[0] and spec.neuron < tokens.shape[1]):
            raise BadInput(
                f"{asked.prompt.backbone.name} has layers 0 to {tokens.shape[0] - 1} with neurons "
                f"0 to {tokens.shape[1] - 1}; there is no neuron {spec.layer}/{spec.neuron}."
            )
        task = self._task(asked.task)
        examples = load_split(task, asked.split, spec.limit)
        prompt, backbone = self.prompt(asked.prompt), self._backbone(asked.prompt)
        token = int(tokens[spec.layer, spec.neuron])
        return effect(spec, backbone, prompt, task, examples, token, part(progress, 0.5, 1))

    def _agreement(self, spec: AgreementSpec, progress: Progress) -> Agreement:
        redrawn = []
        for i, (clean, adversarial) in enumerate(zip(spec.clean, spec.adversarial, strict=True)):
            inner = part(progress, i / len(spec.clean), (i + 1) / len(spec.clean))
            first, then = self._stages([clean.prompt], inner)
            prompt = self.prompt(clean.prompt, first)
            tasks = self._task(clean.task), self._task(adversarial.task)
            data = (
                load_split(tasks[0], "train", clean.train_limit),
                load_split(tasks[0], clean.split, clean.limit),
                load_split(tasks[1], adversarial.split, adversarial.limit),
            )
            backbone = self._backbone(clean.prompt)
            redrawn.append(redraw(spec, i, backbone, prompt, tasks, data, then))
        return agree(spec, redrawn)

    def _backbone(self, prompt: Prompt) -> Backbone:
        asked = prompt.backbone
        now = self.models.pin(asked.name)
        if now != asked:
            raise BadInput(
                f"The weights of {asked.name} changed since this question was asked; "
                "choose the backbone again."
            )
        backbone = self.models.load(asked.name, prompt.precision)
        needed = backbone.prefix_length(prompt.prompt_length, prompt.layout) + prompt.max_length
        room = backbone.room()
        if room is not None and needed > room:
            raise BadInput(
                f"{asked.name} takes {room} positions, but a prompt of {prompt.prompt_length} "
                f"vectors and texts of up to {prompt.max_length} tokens need {needed}; "
                "choose a shorter prompt."
            )
        return backbone

    def _task(self, asked: Pinned) -> Task:
        task = load_task(asked.name)
        if pin_task(task) != asked:
            raise BadInput(
                f"The data of task {task.title!r} changed since this question was asked; "
                "choose the task again."
            )
        return task

    # --- long jobs -----------------------------------------------------------------------------
    def submit(self, specs: Sequence[Measurement], follower: str = "") -> str:
        """Answer the open ones of these questions in the background; the job's name.

        `follower` is who wants it; a job may have several.
        """
        name = job_name(specs)
        wanted = tuple(specs)
        with self._guard:
            self._followers.setdefault(name, set()).add(follower)

        def job(progress: Progress) -> None:
            todo = self.missing(wanted)
            for i, spec in enumerate(todo):
                inner = part(progress, i / len(todo), (i + 1) / len(todo))
                self.ask(spec, _counted(inner, i, len(todo)))

        self.worker.submit(name, job)
        return name

    def status(self, specs: Sequence[Measurement]) -> Status | None:
        """Where the job that answers exactly these questions stands."""
        return self.worker.status(job_name(specs))

    def submit_backbone(self, name: str) -> str:
        """Obtain a backbone in the background; the job's name, which is the backbone's."""

        def job(progress: Progress) -> None:
            self.models.obtain(name, progress)

        self.worker.submit(f"obtain {name}", job)
        return f"obtain {name}"

    def submit_task(self, name: str) -> str:
        """Obtain a task's data in the background; the job's name."""

        def job(progress: Progress) -> None:
            obtain_task(name, progress)

        self.worker.submit(f"obtain task {name}", job)
        return f"obtain task {name}"

    def leave(self, specs: Sequence[Measurement], follower: str) -> None:
        """One follower no longer wants the job; without followers it stops."""
        name = job_name(specs)
        with self._guard:
            left = self._followers.get(name, set())
            left.discard(follower)
        if not left:
            self.worker.cancel(name)

    def cancel(self, specs: Sequence[Measurement]) -> None:
        """Stop that job; what it has answered stays."""
        self.worker.cancel(job_name(specs))


def warm_up(settings: Settings) -> None:
    """Load the embedded backbones for nothing: the libraries' imports take seconds, once."""
    for name in EMBEDDED:
        folder = settings.assets / "backbones" / name
        if (folder / "config.json").is_file():
            load_backbone(folder)


def job_name(specs: Sequence[Measurement]) -> str:
    """One name for a set of questions."""
    return hashlib.sha256(" ".join(key(s) for s in specs).encode()).hexdigest()[:16]


def _counted(progress: Progress, i: int, n: int) -> Progress:
    def inner(done: float, message: str = "") -> None:
        progress(done, f"{i + 1} of {n}" + (f": {message}" if message else ""))

    return inner


@lru_cache(maxsize=1)
def _versions() -> str:
    return f"torch {version('torch')}, transformers {version('transformers')}"
