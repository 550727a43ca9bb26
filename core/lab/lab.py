"""Where questions meet measurements, store and worker: ask, submit, status."""

import hashlib
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from itertools import accumulate
from os.path import isfile
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from cachetools import LRUCache

from core.backbones import load_backbone
from core.backbones.base import Backbone
from core.backbones.hooks import Intervention
from core.backbones.prompted import PromptedModel
from core.base.errors import BadInput
from core.base.measure import Artifact, Run
from core.base.progress import Progress, no_progress, part
from core.base.prompts import Prompt, SoftPrompt, Step
from core.base.settings import EMBEDDED, Settings
from core.base.specs import Pinned, Precision, Spec, key
from core.lab.migration import upgrader
from core.lab.models import Models
from core.lab.unfinished import Unfinished
from core.lab.workers import InlineWorker, Status, Worker
from core.measures import sweeps
from core.measures.evaluation import Suppression, suppressed_neurons
from core.measures.predictivity import PredictivitySpec
from core.measures.prompts import ImportedPrompt
from core.measures.reading import Alone, Reading, alone, along, read
from core.measures.registry import MEASURES
from core.measures.tuning import TuneSpec
from core.measures.words import WordsPrompt
from core.store import Store
from core.tasks import Task, clean_name, clean_task, load_task, pin_task
from core.tasks.data import Examples, load_split, obtain_task

REMEMBERED = 64  # stored answers that need not be read again
LONGEST = 512  # tokens of a prompt in words
KEPT = 2**30  # bytes of values on which several measurements rest, such as baselines
T = TypeVar("T")


def open_store(settings: Settings) -> Store:
    """The store in the settings' cache; an older one is brought up to date. Raises: StoreBusy."""
    return Store(
        settings.cache,
        MEASURES,
        activation_megabytes=settings.activation_megabytes,
        upgrade=upgrader(settings),
    )


class Lab:
    """The one object that pages and the command line talk to; the bench of every measurement."""

    def __init__(self, settings: Settings, store: Store, worker: Worker | None = None) -> None:
        self.settings, self.store = settings, store
        self.models = Models(settings, store)
        self.worker: Worker = worker or InlineWorker()
        self._live: dict[str, list[Step]] = {}
        self._unfinished = Unfinished(settings.cache / "unfinished")
        self._begun: dict[str, tuple[datetime, float]] = {}  # when, and where the clock stood
        self._read: LRUCache[str, Any] = LRUCache(REMEMBERED)
        self._once: LRUCache[Hashable, Any] = LRUCache(KEPT, getsizeof=_size)
        self._guard = threading.Lock()
        self._locks: dict[str, threading.RLock] = {}
        self._followers: dict[str, set[str]] = {}
        self._following = threading.RLock()

    @classmethod
    def open(cls, settings: Settings, worker: Worker | None = None) -> "Lab":
        """Open the cache and take over the shipped answers. Raises: StoreBusy."""
        store = open_store(settings)
        shipped = settings.assets / "answers"
        try:
            if (shipped / "run.parquet").is_file():
                store.merge_once(shipped)
        except BaseException:
            store.close()
            raise
        return cls(settings, store, worker)

    # --- asking --------------------------------------------------------------------------------
    def known(self, specs: Iterable[Spec]) -> set[str]:
        """Keys of those questions whose answer is stored."""
        return self.store.known(key(s) for s in specs)

    def missing(self, specs: Sequence[Spec]) -> tuple[Spec, ...]:
        """Those questions whose answer is not stored yet, in their order."""
        known = self.known(specs)
        return tuple(s for s in specs if key(s) not in known)

    def ask(self, spec: Spec, progress: Progress = no_progress) -> None:
        """See that the answer is stored: nothing to do, or compute it and what it rests on."""
        with self._alone(key(spec), progress):
            if not self.known([spec]) and not self._taken_from_whole(spec):
                self._compute(spec, progress)

    def _taken_from_whole(self, spec: Spec) -> bool:
        """An answer for some rows is part of the answer for all rows, if that is stored."""
        whole = MEASURES[type(spec)].whole
        general = None if whole is None else whole.question(spec)
        found = None if general is None else self.store.read(general)
        if whole is None or general is None or found is None:
            return False
        self.store.add(whole.part(spec, found, self), self.store.run(key(general)))
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

    def recompute(self, spec: Spec, progress: Progress = no_progress) -> Any:
        """Compute an answer anew, in full; store it unless it is stored already."""
        with self._alone(key(spec), progress):
            return self._compute(spec, progress)

    def _compute(self, spec: Spec, progress: Progress) -> Any:
        progress(0.0, "")
        self._begun[key(spec)] = datetime.now(UTC), time.perf_counter()
        try:
            result = self.answer(spec, progress)
        finally:
            started, clock = self._begun.pop(key(spec))
        self.store.add(result, self._run(started, time.perf_counter() - clock))
        self._unfinished.forget(key(spec))
        return result

    def _run(self, started: datetime, seconds: float) -> Run:
        return Run(
            started=started.isoformat(timespec="seconds"),
            seconds=round(seconds, 3),
            device=self.models.device(),
            versions=_versions(),
        )

    def answer(self, spec: Spec, progress: Progress = no_progress) -> Any:
        """Compute an answer anew and in full, without storing it; what it rests on is asked for."""
        measure = MEASURES[type(spec)]
        needed = self.missing(tuple(dict.fromkeys(measure.needs(spec))))
        border = 0.8 if needed else 0.0
        for i, need in enumerate(needed):
            self.ask(need, part(progress, border * i / len(needed), border * (i + 1) / len(needed)))
        return measure.compute(spec, self, part(progress, border, 1))

    # --- what measurements ask for (`core.measures.bench.Bench`) --------------------------------
    def stored(self, spec: Spec) -> Any:
        """What the store keeps of an answer, computed now if it is not there."""
        name = key(spec)
        found = self._read.get(name)
        if found is None:
            self.ask(spec)
            found = self.store.read(spec)
        if found is None:  # it had to make room between the two
            found = self.answer(spec)
        if not MEASURES[type(spec)].bounded:
            with self._guard:
                self._read[name] = found
        return found

    def task(self, pin: Pinned, prompt: Prompt) -> Task:
        """The pinned task, as the prompt's family is asked it. Raises: BadInput if it is not what
        it was.
        """
        task = self.find_task(pin.name)
        if self.pin(task, self.models.found(prompt.backbone).name) != pin:
            raise BadInput(
                f"The data of task {task.title!r} changed since this question was asked; "
                "choose the task again."
            )
        return task

    def find_task(self, name: str) -> Task:
        """A task by name or path, looked for where this lab's settings say.

        Raises: BadTask, UnknownName.
        """
        return load_task(name, self.settings.places)

    def clean_name(self, name: str) -> str:
        """Name of a task's clean task; a task whose file is gone is taken for a clean one."""
        return clean_name(name, self.settings.places)

    def pin(self, task: Task, backbone: str) -> Pinned:
        """The task as a backbone is asked it."""
        return pin_task(task, self.models.family(backbone))

    def examples(self, task: Task, split: str, limit: int | None = None) -> Examples:
        """Rows of a split, at most `limit`, drawn by a fixed seed. Raises: BadTask."""
        return load_split(task, split, limit)

    def backbone(self, prompt: Prompt, precision: Precision | None = None) -> Backbone:
        """The backbone of a prompt, in a precision or that of the prompt. Raises: BadInput if the
        prompt and a text are too long for it.
        """
        name = self.models.found(prompt.backbone).name
        backbone = self.models.load(name, precision or prompt.precision)
        self.models.set_threads_for(backbone)
        needed = backbone.prefix_length(prompt.prompt_length, prompt.layout) + prompt.max_length
        room = backbone.room()
        if room is not None and needed > room:
            raise BadInput(
                f"{name} takes {room} positions, but a prompt of {prompt.prompt_length} "
                f"vectors and texts of up to {prompt.max_length} tokens need {needed}; "
                "choose a shorter prompt."
            )
        return backbone

    def has_dead_row(self, prompt: Prompt) -> bool:
        """Whether the first vector of a prompt never reaches the model."""
        return self.models.has_dead_row(prompt)

    def model(
        self, prompt: Prompt, task: Task, precision: Precision | None = None
    ) -> PromptedModel:
        """The backbone behind a stored prompt, in a precision or that of the prompt."""
        backbone = self.backbone(prompt, precision)
        return PromptedModel(backbone, self.prompt(prompt), task)

    def untuned(self, prompt: Prompt, task: Task) -> PromptedModel:
        """The backbone of a prompt that is yet to be tuned, behind no vectors."""
        import torch

        backbone = self.backbone(prompt)
        nothing = torch.zeros(prompt.prompt_length, backbone.hidden_size)
        return PromptedModel(backbone, SoftPrompt(spec=prompt, vectors=nothing, words=()), task)

    def once(self, what: Hashable, compute: Callable[[], T]) -> T:
        """What `compute` returned the last time, if it is among the latest that were asked for."""
        with self._guard:
            found: T | None = self._once.get(what)
        if found is None:
            found = compute()
            with self._guard, suppress(ValueError):  # larger than all that may be kept
                self._once[what] = found
        return found

    def report(self, spec: Spec, step: Step) -> None:
        """A step of a tuning run."""
        if step.step == 1:
            self._live[key(spec)] = []
        self._live.setdefault(key(spec), []).append(step)

    def keep(self, spec: Spec, halfway: Artifact) -> None:
        """Keep how far a tuning run is, to go on from there if it is interrupted; nothing if its
        answer is not to be stored.
        """
        if (begun := self._begun.get(key(spec))) is not None:
            spent = time.perf_counter() - begun[1]
            times = {"started": begun[0].isoformat(), "seconds": str(spent)}
            header = {**halfway.header, **times, "setting": self._setting()}
            self._unfinished.keep(key(spec), replace(halfway, header=header))

    def halfway(self, spec: Spec) -> Artifact | None:
        """How far an interrupted tuning run got, if it was made as it would be today; from now on,
        the time that it took counts.
        """
        found = self._unfinished.find(key(spec)) if key(spec) in self._begun else None
        if found is None or found.header.get("setting") != self._setting():
            return None
        started = datetime.fromisoformat(found.header["started"])
        self._begun[key(spec)] = started, time.perf_counter() - float(found.header["seconds"])
        return found

    def _setting(self) -> str:
        """What a run is made with: its steps are rounded otherwise with something else."""
        return f"{self.models.device()}, {self.settings.threads} threads, {_versions()}"

    def live(self, spec: Spec) -> tuple[Step, ...]:
        """The steps so far of a prompt that is being tuned in this process."""
        return tuple(self._live.get(key(spec), ()))

    # --- prompts -------------------------------------------------------------------------------
    def prompt(self, spec: Prompt, progress: Progress = no_progress) -> SoftPrompt:
        """A prompt, tuned now if it is not stored. Raises: BadInput for a lost import."""
        self.ask(spec, progress)
        prompt: SoftPrompt = self.stored(spec)
        return prompt

    def adopt(self, prompt: SoftPrompt, sha256: str) -> Prompt:
        """Store a prompt that came from a file, named by the file's hash.

        A header only claims what the vectors are: unless they are the stored ones, the file becomes
        an imported prompt. Raises: BadInput if it is for other weights.
        """
        import torch

        spec = self._here(prompt.spec)
        if len(prompt.vectors) != spec.prompt_length:
            raise BadInput(
                f"The file holds {len(prompt.vectors)} vectors; its header says "
                f"{spec.prompt_length}."
            )
        if not prompt.vectors.isfinite().all():
            raise BadInput("The file holds vectors that are not numbers.")
        width = self.backbone(spec).hidden_size
        if prompt.vectors.shape[1] != width:
            raise BadInput(
                f"The file holds vectors of width {prompt.vectors.shape[1]}, "
                f"but {spec.backbone.name} has {width}."
            )
        stored = self.store.read(spec)
        if stored is not None and torch.equal(stored.vectors, prompt.vectors):
            known = self.store.specs("prompt", "key = ?", [key(spec)])
            return self._here(known[0]) if known else spec  # with this machine's names
        if spec.origin != "imported":
            spec = ImportedPrompt(
                backbone=spec.backbone,
                sha256=sha256,
                task=spec.source_task,
                seed=spec.seed,
                prompt_length=spec.prompt_length,
                layout=spec.layout,
                max_length=spec.max_length,
                precision=spec.precision,
            )
        self.store.add(replace(prompt, spec=spec), self._run(datetime.now(UTC), 0.0))
        return spec

    def standard(
        self, backbone: str, task: Task, seeds: Sequence[int] = sweeps.SEEDS, **changes: Any
    ) -> list[TuneSpec]:
        """The prompts of a task that figures show by default, one per seed, with other settings
        where `changes` are not None.
        """
        pin, family = self.models.pin(backbone), self.models.family(backbone)
        exact = changes.pop("precision", None) or self.models.precision(backbone)
        place = self.pin(task, backbone)
        changes["selection"] = changes.get("selection") or self.selection(task)
        return [
            sweeps.standard_prompt(pin, family, place, seed, precision=exact, **changes)
            for seed in seeds
        ]

    def selection(self, task: Task) -> int | None:
        """How many train rows choose the best step by default: a quarter, where that is fewer than
        usual; None for the usual number. Another number is another question.
        """
        clean = clean_task(task)
        if "train" not in clean.splits or not isfile(clean.splits["train"]):
            return None
        rows = len(load_split(clean, "train"))
        return max(2, rows // 4) if rows < 4 * TuneSpec.selection else None

    def in_words(self, backbone: str, task: Task, text: str) -> WordsPrompt:
        """A prompt of a text's own tokens. Raises: BadInput for none, or more than 512."""
        words = " ".join(text.split())
        length = len(self.models.pieces(backbone, [words])[0][1])
        if not 1 <= length <= LONGEST:
            raise BadInput(f"A prompt in words has 1 to {LONGEST} tokens; this one has {length}.")
        return WordsPrompt(
            backbone=self.models.pin(backbone),
            task=task.name,
            text=words,
            seed=0,
            prompt_length=length,
            precision=self.models.precision(backbone),
        )

    def imported(self, backbone: Pinned, task: str) -> tuple[ImportedPrompt, ...]:
        """Stored imports for a backbone and a task, by seed; rows that cannot be read are left
        out.
        """
        where = "origin = 'imported' AND fingerprint = ? AND task = ?"
        found: tuple[ImportedPrompt, ...] = self.store.specs(
            "prompt", where, [backbone.fingerprint, task]
        )
        return tuple(replace(spec, backbone=backbone) for spec in found)

    def siblings(self, prompt: Prompt, seeds: Sequence[int]) -> tuple[Prompt, ...]:
        """The prompts that stand beside one in a mean over seeds: tuned alike from these seeds, or
        all imports for its backbone and task; itself among them.
        """
        tuned = [prompt.reseeded(seed) for seed in seeds]
        found = [p for p in tuned if p is not None] or self.imported(
            prompt.backbone, prompt.source_task
        )  # fmt: skip
        return tuple(dict.fromkeys((*found, prompt)))

    def has_imports(self, backbones: Sequence[str]) -> bool:
        """Whether any of these backbones has an imported prompt."""
        pins = [self.models.pin(name).fingerprint for name in backbones]
        return bool(self.store.specs("prompt", "origin = 'imported' AND fingerprint IN ?", [pins]))

    def broken_prompts(self) -> dict[str, str]:
        """Stored prompts whose row is broken or whose file is gone: key -> why."""
        gone = {
            name: f"The file of prompt {name} is gone from the cache; tune or import it anew."
            for name in self.store.lost("prompt")
        }
        broken = {
            name: f"The row of prompt {name} in the cache is broken ({why}); "
            "tune or import it anew."
            for name, why in self.store.unreadable("prompt").items()
        }
        return gone | broken

    def prompt_named(self, prefix: str) -> Prompt:
        """The stored prompt whose key starts so, with its backbone's name on this machine.

        Raises: BadInput.
        """
        found: tuple[Prompt, ...] = self.store.specs("prompt", "starts_with(key, ?)", [prefix])
        broken = self.broken_prompts()
        if not found and (why := next((w for k, w in broken.items() if k.startswith(prefix)), "")):
            raise BadInput(why)
        if len(found) != 1:
            how = "No stored prompt has a key that starts" if not found else "Several keys start"
            raise BadInput(f"{how} with {prefix!r}; `status --json` lists them.")
        return self._here(found[0])

    def _here(self, prompt: Prompt) -> Prompt:
        """The same prompt, its backbone called as it is on this machine. Raises: BadInput."""
        return replace(prompt, backbone=self.models.found(prompt.backbone))

    # --- one typed text ------------------------------------------------------------------------
    def read(
        self,
        ranked: Sequence[PredictivitySpec],
        texts: tuple[str, str | None],
        how: Sequence[Suppression],
    ) -> Reading:
        """One text through the prompt of `ranked[0]`: as the model is, then under each suppression.

        Everything it rests on must be stored: this answers while a person waits.
        """
        import torch

        with self._borrowed(ranked[0]) as model:
            if any(h.stack == "decoder" for h in how):
                raise BadInput("A single text is read with neurons of the encoder suppressed.")
            masks = [suppressed_neurons(h, self, model.shape()) for h in how]
            hooks = [Intervention(mask=torch.from_numpy(mask)) for mask in masks]
            return read(model, texts, self.stored(ranked[0]).best_token, [None, *hooks])

    def alone(self, first: PredictivitySpec, texts: tuple[str, str | None], count: int) -> Alone:
        """Single neurons that carry the answer to one text, through the prompt of `first`."""
        with self._borrowed(first) as model:
            return alone(model, texts, count)

    def along(
        self, first: PredictivitySpec, texts: tuple[str, str | None], layer: int, neuron: int
    ) -> npt.NDArray[np.float64]:
        """One neuron's activation at every position of a text, through the prompt of `first`."""
        with self._borrowed(first) as model:
            return along(model, texts, layer, neuron)

    @contextmanager
    def _borrowed(self, asked: PredictivitySpec) -> Iterator[PromptedModel]:
        """The model behind a question, beside a job that may be using it."""
        prompt, task = self.prompt(asked.prompt), self.task(asked.task, asked.prompt)
        precision = asked.precision or asked.prompt.precision
        name = self.models.found(asked.prompt.backbone).name
        with self.models.borrowed(name, precision) as backbone:
            yield PromptedModel(backbone, prompt, task)

    # --- long jobs -----------------------------------------------------------------------------
    def submit(self, specs: Sequence[Spec], follower: str = "", label: str = "") -> str:
        """Answer the open ones of these questions in the background; the job's name.

        `follower` is who wants it; a job may have several. `label` says what it computes.
        """
        name = job_name(specs)
        wanted = tuple(specs)

        def job(progress: Progress) -> None:
            todo, failed = self.missing(wanted), dict[str, str]()
            ends = self._ends(todo)
            for i, spec in enumerate(todo):
                if _rests_on(spec, failed):
                    continue
                inner = part(progress, ends[i], ends[i + 1])
                try:
                    self.ask(spec, _counted(inner, i, len(todo)))
                except BadInput as error:
                    failed[key(spec)] = self._named(spec, error)
            if failed:
                raise BadInput(_all_failures(failed, len(todo)))

        with self._following:
            self._followers.setdefault(name, set()).add(follower)
            self.worker.submit(name, job, label, self.seconds(self.missing(wanted)))
        return name

    def seconds(self, specs: Sequence[Spec]) -> float | None:
        """How long answering these questions may take, by what such answers took before; None if
        that is not known for each kind.
        """
        known = [t for t in self._usual(specs) if t is not None]
        return sum(known) if len(known) == len(specs) else None

    def _usual(self, specs: Sequence[Spec]) -> list[float | None]:
        """How long an answer of each question's kind took before; None where none is stored."""
        kinds = [(MEASURES[type(s)].table, _backbone_of(s)) for s in specs]
        usual = {kind: self.store.usual_seconds(*kind) for kind in set(kinds)}
        return [usual[kind] for kind in kinds]

    def _ends(self, specs: Sequence[Spec]) -> list[float]:
        """Where in a job each question begins and the last one ends, from 0 to 1: by what such
        answers took before, so that the time left does not jump from the quick ones to the slow
        ones. A kind that was never answered takes as long as the mean of the others.
        """
        usual = self._usual(specs)
        known = [t for t in usual if t]
        times = [t or (sum(known) / len(known) if known else 1.0) for t in usual]
        total = sum(times) or 1.0  # of no questions
        return [t / total for t in accumulate(times, initial=0.0)]

    def _named(self, spec: Spec, error: BadInput) -> str:
        """An error's sentence, and which task it is about."""
        task = getattr(spec, "task", None)
        name = task.name if isinstance(task, Pinned) else ""
        try:
            title = self.find_task(name).title if name else ""
        except BadInput:
            title = name
        known = not name or name in str(error) or title in str(error)
        return str(error) if known else f"{title}: {error}"

    def remove(self, keys: Sequence[str]) -> int:
        """Delete these answers, in memory too; how many there were. Raises: BadInput while a job is
        running, which may need them.
        """
        if any(status.active for status in self.worker.jobs()):
            raise BadInput(
                "A job is running that may need these results; wait until it has ended, or cancel "
                "it on the Library page."
            )
        with self._guard:
            for name in keys:
                self._read.pop(name, None)
                self._live.pop(name, None)
        return self.store.remove(keys)

    def status(self, specs: Sequence[Spec]) -> Status | None:
        """Where the job that answers exactly these questions stands."""
        return self.worker.status(job_name(specs))

    def submit_backbone(self, name: str) -> str:
        """Obtain a backbone in the background; the job's name, which is the backbone's."""

        def job(progress: Progress) -> None:
            self.models.obtain(name, progress)

        self.worker.submit(f"obtain {name}", job, f"Download of {name}")
        return f"obtain {name}"

    def submit_task(self, name: str) -> str:
        """Obtain a task's data in the background; the job's name."""

        def job(progress: Progress) -> None:
            obtain_task(name, progress, self.settings.places)

        self.worker.submit(f"obtain task {name}", job, f"Download of {name}")
        return f"obtain task {name}"

    def leave(self, specs: Sequence[Spec], follower: str) -> None:
        """One follower no longer wants the job; without followers it stops."""
        name = job_name(specs)
        with self._following:  # nobody can follow between the count and the end
            left = self._followers.get(name, set())
            left.discard(follower)
            if not left:
                self.worker.cancel(name)

    def cancel(self, specs: Sequence[Spec]) -> None:
        """Stop that job; what it has answered stays."""
        self.worker.cancel(job_name(specs))


def warm_up(settings: Settings) -> None:
    """Load the embedded backbones for nothing: the libraries' imports take seconds, once."""
    for name in EMBEDDED:
        folder: Path = settings.assets / "backbones" / name
        if (folder / "config.json").is_file():
            load_backbone(folder)


def _size(value: Any) -> int:
    """Bytes, as tensors, arrays and what holds them count them."""
    return int(getattr(value, "nbytes", 1))


def job_name(specs: Sequence[Spec]) -> str:
    """One name for a set of questions."""
    return hashlib.sha256(" ".join(key(s) for s in specs).encode()).hexdigest()[:16]


def _backbone_of(spec: Spec) -> str:
    """The name of the backbone that a question is about; empty if it names none itself."""
    pin = getattr(getattr(spec, "prompt", spec), "backbone", None)
    return pin.name if isinstance(pin, Pinned) else ""


def _rests_on(spec: Spec, failed: Mapping[str, str]) -> bool:
    """Whether a question needs the answer to one that failed."""
    if not failed:
        return False
    needed = MEASURES[type(spec)].needs(spec)
    return any(key(n) in failed or _rests_on(n, failed) for n in needed)


def _all_failures(failed: Mapping[str, str], asked: int) -> str:
    """What a job says of the questions that it could not answer, each reason once."""
    reasons = list(dict.fromkeys(failed.values()))
    if asked == 1:
        return reasons[0]
    more = f" Further reasons: {len(reasons) - 3}." if len(reasons) > 3 else ""
    return f"Not everything could be computed. {' '.join(reasons[:3])}{more}"


def _counted(progress: Progress, i: int, n: int) -> Progress:
    def inner(done: float, message: str = "") -> None:
        progress(done, f"{i + 1} of {n}" + (f": {message}" if message else ""))

    return inner


@lru_cache(maxsize=1)
def _versions() -> str:
    return f"torch {version('torch')}, transformers {version('transformers')}"
