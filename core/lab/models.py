"""The backbones of this machine: names, pins, loading, and how others are obtained."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from os.path import isdir
from pathlib import Path

from cachetools import LRUCache

from core.backbones import (
    FAMILIES,
    Backbone,
    Shape,
    describe,
    family_of,
    hub,
    load_backbone,
    neurons,
    shape,
)
from core.backbones import pieces as read_pieces
from core.backbones.identity import fingerprint, is_embedded
from core.base.errors import BadInput, NotDownloaded, UnknownName
from core.base.progress import Progress, no_progress
from core.base.prompts import Prompt
from core.base.settings import EMBEDDED, Settings
from core.base.specs import Pinned, Precision, Stack
from core.store import Store
from core.tasks import Task

SHARED = 3  # backbones that pages keep loaded
OWN = 4  # backbones, each precision counted, that each job's thread keeps loaded
SMALL = 20_000_000  # weights below which a second thread costs more than it helps


class Models:
    """Embedded names, local folders and hub ids; the store remembers which were added."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self.settings, self.store = settings, store
        self._loaded = threading.local()
        self._guard = threading.Lock()
        self._turns: dict[str, threading.Lock] = {}
        self._most_threads = 0  # as many as torch has by itself; known when it is loaded
        self._found: dict[str, str] = {}  # fingerprint -> the name under which it was found here
        self._shared: LRUCache[tuple[str, str], Backbone] = LRUCache(SHARED)

    def embedded(self) -> tuple[str, ...]:
        """Names of the embedded backbones."""
        folder = self.settings.assets / "backbones"
        return tuple(n for n in EMBEDDED if (folder / n / "config.json").is_file())

    def names(self) -> tuple[str, ...]:
        """The embedded backbones, and those that were obtained and can still be used."""
        return (*self.embedded(), *(n for n in self.store.backbones() if not self._trouble(n)))

    def missing(self) -> dict[str, str]:
        """Backbones that were obtained and cannot be used now: name -> why."""
        found = {name: self._trouble(name) for name in self.store.backbones()}
        return {name: why for name, why in found.items() if why}

    def _trouble(self, name: str) -> str:
        """Why a backbone cannot be used; empty if its folder and settings are there."""
        try:
            self.describe(name)
        except UnknownName:
            return f"There is no folder {name} any more; move it back, or remove the backbone."
        except BadInput as error:
            return str(error)
        return ""

    def folder(self, name: str) -> Path:
        """The Hugging Face folder of an embedded name, a local path or a downloaded hub id.

        Raises: UnknownName, NotDownloaded.
        """
        embedded = self.settings.assets / "backbones" / name
        if name in EMBEDDED and embedded.is_dir():
            return embedded
        if isdir(name):  # unlike Path.is_dir, false for a name that no file can have
            return Path(name).resolve()
        ref = hub.reference(name)
        if ref is None:
            known = {*self.embedded(), *self.store.backbones()} - {name}
            raise UnknownName("backbone", name, known)
        found = hub.cached(ref)
        if found is None:
            raise NotDownloaded(
                f"There is no folder {name}, and {ref.name} of the hub is not on this machine yet; "
                f"`python -m core fetch {ref.name}` or the Library page downloads it."
            )
        return found

    def obtain(self, name: str, progress: Progress = no_progress) -> str:
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
        describe(folder)
        shown = self.pin(name).name
        if shown not in EMBEDDED:
            self.store.add_backbone(shown)
        progress(1.0, "")
        return shown

    def precision(self, name: str) -> Precision:
        """What prompts for a backbone are tuned in, unless one says otherwise."""
        try:
            pin = self.pin(name)
        except BadInput:  # it is not here yet
            pin = Pinned(name=name, fingerprint="")
        return "fp32" if is_embedded(pin, self.settings.assets) else self.settings.precision

    def neurons(self, name: str, stack: Stack = "encoder") -> tuple[int, int]:
        """Layers of a stack and neurons per layer. Raises: BadInput."""
        return neurons(self.folder(name), stack)

    def family(self, name: str) -> str:
        """`bert`, `roberta` or `t5`."""
        return family_of(self.folder(name))

    def has_dead_row(self, prompt: Prompt) -> bool:
        """Whether a prompt's first vector never reaches its backbone."""
        if prompt.layout == "mask_first":
            return False
        name = self.found(prompt.backbone).name  # which may have moved
        return FAMILIES[self.family(name)].has_dead_row(prompt.layout)

    def describe(self, name: str) -> dict[str, str | int]:
        """A backbone's family and sizes."""
        return describe(self.folder(name))

    def shape(self, name: str) -> Shape:
        """A backbone's family, layers and heads."""
        return shape(self.folder(name))

    def answer_words(self, name: str, task: Task) -> list[tuple[str, list[int], list[str]]]:
        """A task's answer words for a backbone: word, token ids, pieces, in class order."""
        return self.pieces(name, task.words(self.family(name)))

    def pieces(self, name: str, words: Sequence[str]) -> list[tuple[str, list[int], list[str]]]:
        """Words as a backbone reads them: word, token ids, pieces."""
        return read_pieces(self.folder(name), words)

    def prefix_names(self, prompt: Prompt) -> list[str]:
        """What figures call the positions before the text."""
        family = FAMILIES[self.family(self.found(prompt.backbone).name)]
        return family.prefix_names(prompt.prompt_length, prompt.layout)

    @contextmanager
    def borrowed(self, name: str, precision: str = "fp32") -> Iterator[Backbone]:
        """A loaded backbone that all threads share, one at a time: pages' threads live for one
        redraw, and loading anew each time would take longer than a sentence.
        """
        pin = self.pin(name)
        with self._guard:
            lock = self._turns.setdefault(pin.name, threading.Lock())
        with lock:
            name_of = (pin.fingerprint, precision)
            if name_of not in self._shared:
                self._shared[name_of] = self._load(pin, precision)
            yield self._shared[name_of]

    def pin(self, name: str) -> Pinned:
        """Where the backbone is found, and the fingerprint of what it is: its weights, settings and
        tokenizer, wherever they lie and whatever lies beside them.
        """
        folder = self.folder(name)
        ref = hub.reference(name)
        if name in EMBEDDED:
            shown = name
        elif ref is not None and not isdir(name):
            shown = ref.name
        else:
            shown = str(folder)
        return Pinned(name=shown, fingerprint=fingerprint(folder))

    def found(self, asked: Pinned) -> Pinned:
        """The same weights under a name of this machine: the one asked for, else that of an
        embedded, an added or a downloaded backbone. Raises: BadInput if they are not here.
        """
        remembered = self._found.get(asked.fingerprint, asked.name)
        first = (asked.name, remembered, *self.embedded(), *self.store.backbones())
        for name in chain(first, hub.here()):
            if self._holds(name, asked):
                self._found[asked.fingerprint] = name
                return self.pin(name)
        raise self._gone(asked)

    def _holds(self, name: str, asked: Pinned) -> bool:
        """Whether a name stands for these weights. Other families' weights are not read."""
        try:
            self.family(name)
            return self.pin(name) == asked
        except (BadInput, OSError):
            return False

    def _gone(self, asked: Pinned) -> BadInput:
        """Why a backbone is not found, and what to do."""
        try:
            self.folder(asked.name)
        except NotDownloaded as error:
            return error
        except UnknownName:
            return BadInput(
                f"The backbone {asked.name} (fingerprint {asked.fingerprint}) is not on this "
                "machine under any name; `python -m core fetch FOLDER` adds a folder that holds it."
            )
        return BadInput(
            f"The weights of {asked.name} changed since this question was asked (fingerprint "
            f"{asked.fingerprint}); choose the backbone again."
        )

    def load(self, name: str, precision: str = "fp32") -> Backbone:
        """The loaded backbone; each thread has its own, because hooks are set on it."""
        cache: LRUCache[tuple[str, str], Backbone]
        cache = self._loaded.__dict__.setdefault("cache", LRUCache(OWN))
        pin = self.pin(name)
        name_of = (pin.fingerprint, precision)
        if name_of not in cache:
            cache[name_of] = self._load(pin, precision)
        return cache[name_of]

    def _load(self, pin: Pinned, precision: str) -> Backbone:
        import torch

        with self._guard:
            self._most_threads = self._most_threads or torch.get_num_threads()
        torch.set_num_threads(self.settings.threads or self._most_threads)
        return load_backbone(
            self.folder(pin.name), name=pin.name, device=self.device(), precision=precision
        )

    def set_threads_for(self, backbone: Backbone) -> None:
        """Give torch as many threads as help a backbone, unless the settings say how many."""
        import torch

        if self.settings.threads is None:
            torch.set_num_threads(1 if backbone.parameters() < SMALL else self._most_threads)

    def device(self) -> str:
        import torch

        asked, there = self.settings.device, torch.cuda.is_available()
        if asked == "auto":
            return "cuda" if there else "cpu"
        if asked != "cpu" and not there:
            raise BadInput(
                f"The device {asked!r} was asked for, but torch finds no GPU on this machine; "
                "set SKILLSCOPE_DEVICE to cpu or auto."
            )
        return asked
