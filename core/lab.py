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
from pathlib import Path
from typing import assert_never

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from core import evaluation, tuning
from core.activations import activations
from core.backbones import (
    FAMILIES,
    Backbone,
    describe,
    family_of,
    hub,
    load_backbone,
    pieces,
)
from core.data import download, load_split
from core.errors import BadInput, NotDownloaded, UnknownName
from core.neurons import choose_neurons, ranking
from core.predictivity import measure
from core.progress import Progress, part, silent
from core.results import Activations, Evaluation, Predictivity, Result, Run, SoftPrompt, Step
from core.settings import EMBEDDED, Settings
from core.specs import (
    ActivationSpec,
    EvaluationSpec,
    ImportedPrompt,
    Measurement,
    Pinned,
    PredictivitySpec,
    Prompt,
    Suppression,
    TuneSpec,
    key,
)
from core.store import Store
from core.tasks import Task, clean_task, load_task, pin_task
from core.workers import InlineWorker, Status, Worker

FINGERPRINTED = {".safetensors", ".bin", ".json", ".txt", ".model"}  # weights, settings, tokenizers


class Lab:
    """The one object that pages and the command line talk to."""

    def __init__(self, settings: Settings, store: Store, worker: Worker | None = None) -> None:
        self.settings, self.store = settings, store
        self.worker: Worker = worker or InlineWorker()
        self._live: dict[str, list[Step]] = {}
        self._loaded = threading.local()
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

    # --- backbones and tasks -------------------------------------------------------------------
    def embedded(self) -> tuple[str, ...]:
        """Names of the embedded backbones."""
        folder = self.settings.assets / "backbones"
        return tuple(n for n in EMBEDDED if (folder / n / "config.json").is_file())

    def backbones(self) -> tuple[str, ...]:
        """The embedded backbones, and those that were obtained and are still there."""
        return (*self.embedded(), *(n for n in self.store.backbones() if self._is_here(n)))

    def _is_here(self, name: str) -> bool:
        try:
            return (self.folder(name) / "config.json").is_file()
        except BadInput:
            return False

    def folder(self, name: str) -> Path:
        """The Hugging Face folder of an embedded name, a local path or a downloaded hub id.

        Raises: UnknownName, NotDownloaded.
        """
        embedded = self.settings.assets / "backbones" / name
        if name in EMBEDDED and embedded.is_dir():
            return embedded
        if Path(name).is_dir():
            return Path(name).resolve()
        ref = hub.reference(name)
        if ref is None:
            raise UnknownName("backbone", name, self.backbones())
        found = hub.cached(ref)
        if found is None:
            raise NotDownloaded(
                f"There is no folder {name}, and {ref.name} of the hub is not on this machine yet; "
                f"`python -m core fetch {ref.name}` or the Library page downloads it."
            )
        return found

    def obtain(self, name: str, progress: Progress = silent) -> str:
        """See that a backbone is on this machine, downloading it if it is one of the hub's, and
        remember it; the name under which it goes on.

        Raises: UnknownName, NotDownloaded, BadInput for another family.
        """
        try:
            folder = self.folder(name)
        except NotDownloaded:
            ref = hub.reference(name)
            assert ref is not None
            folder = hub.download(ref, tuple(FAMILIES), progress)
        family_of(folder)
        shown = self.pin_backbone(name).name
        if shown not in EMBEDDED:
            self.store.add_backbone(shown)
        progress(1.0, "")
        return shown

    def family(self, name: str) -> str:
        """`bert`, `roberta` or `t5`."""
        return family_of(self.folder(name))

    def describe(self, name: str) -> dict[str, str | int]:
        """A backbone's family and sizes."""
        return describe(self.folder(name))

    def answer_words(self, name: str, task: Task) -> list[tuple[str, list[int], list[str]]]:
        """A task's answer words for a backbone: word, token ids, pieces, in class order."""
        return self.word_pieces(name, task.words(self.family(name)))

    def word_pieces(
        self, name: str, words: Sequence[str]
    ) -> list[tuple[str, list[int], list[str]]]:
        """Words as a backbone reads them: word, token ids, pieces."""
        return pieces(self.folder(name), words)

    def pin_backbone(self, name: str) -> Pinned:
        """The backbone's name and a fingerprint of its weights and tokenizer: of their content, or
        the commit for one of the hub's.
        """
        folder = self.folder(name)
        ref = hub.reference(name)
        if ref is not None and not Path(name).is_dir():
            return Pinned(name=ref.name, fingerprint=hub.commit(folder)[:12])
        files = sorted(f for f in folder.iterdir() if f.suffix in FINGERPRINTED)
        stamps = tuple((str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in files)
        shown = name if name in EMBEDDED else str(folder)
        return Pinned(name=shown, fingerprint=_fingerprint(stamps))

    def backbone(self, name: str, precision: str = "fp32") -> Backbone:
        """The loaded backbone; each thread has its own, because hooks are set on it."""
        cache: dict[tuple[str, str], Backbone] = self._loaded.__dict__.setdefault("cache", {})
        pin = self.pin_backbone(name)
        name_of = (f"{pin.name}@{pin.fingerprint}", precision)
        if name_of not in cache:
            while len(cache) >= 2:
                cache.pop(next(iter(cache)))
            device = self._device()
            folder = self.folder(name)
            cache[name_of] = load_backbone(
                folder, name=pin.name, device=device, precision=precision
            )
        return cache[name_of]

    def obtain_task(self, name: str, progress: Progress = silent) -> Task:
        """A task whose data are on this machine, downloaded if they are the hub's.

        Raises: UnknownName, BadTask, NotDownloaded.
        """
        task = load_task(name)
        for needed in (clean_task(task), task):
            download(needed, progress)
        return task

    def _device(self) -> str:
        asked, there = self.settings.device, torch.cuda.is_available()
        if asked == "auto":
            return "cuda" if there else "cpu"
        if asked != "cpu" and not there:
            raise BadInput(
                f"The device {asked!r} was asked for, but torch finds no GPU on this machine; "
                "set SKILLSCOPE_DEVICE to cpu or auto."
            )
        return asked

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
            device=self._device(),
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
        self.ask(spec, progress)
        values = self.store.neurons(spec)
        assert values is not None
        return values

    def _means(self, how: Suppression) -> Float[Tensor, "layer neuron"]:
        return ranking([self.neurons(spec)["mean"] for spec in how.ranking])

    def _activations(self, spec: ActivationSpec, progress: Progress) -> Activations:
        asked = spec.ranking
        token = self.neurons(asked, part(progress, 0, 0.5))["best_token"].long()
        task = self._task(asked.task)
        examples = load_split(task, asked.split, spec.limit)
        prompt = self.prompt(asked.prompt)
        backbone = self._backbone(asked.prompt)
        return activations(spec, backbone, prompt, task, examples, token, part(progress, 0.5, 1))

    def _backbone(self, prompt: Prompt) -> Backbone:
        asked = prompt.backbone
        now = self.pin_backbone(asked.name)
        if now != asked:
            raise BadInput(
                f"The weights of {asked.name} changed since this question was asked; "
                "choose the backbone again."
            )
        backbone = self.backbone(asked.name, prompt.precision)
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
            self.obtain(name, progress)

        self.worker.submit(f"obtain {name}", job)
        return f"obtain {name}"

    def submit_task(self, name: str) -> str:
        """Obtain a task's data in the background; the job's name."""

        def job(progress: Progress) -> None:
            self.obtain_task(name, progress)

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


@lru_cache(maxsize=64)
def _fingerprint(stamps: tuple[tuple[str, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for path, _, _ in stamps:
        with Path(path).open("rb") as file:
            digest.update(Path(path).name.encode())
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:12]


@lru_cache(maxsize=1)
def _versions() -> str:
    return f"torch {version('torch')}, transformers {version('transformers')}"
