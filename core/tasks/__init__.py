"""Tasks: one TOML each, data only.

Built-in ones lie in `builtin/`, those of the papers in `papers/`, a user's own in the folder
that the settings name, or anywhere if given by path.
"""

import hashlib
import json
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from os.path import isdir, isfile  # unlike Path's, false for a name that no file can have
from pathlib import Path
from typing import Any

from core.base.errors import BadTask, UnknownName, reason
from core.base.settings import Places, Settings
from core.base.specs import Contrast, Pinned
from core.tasks.metrics import METRICS

BUILTIN = Path(__file__).parent / "builtin"
PAPERS = Path(__file__).parent / "papers"
_KNOWN_KEYS = {
    "title", "family", "about", "labels", "adversarial_of", "data", "splits", "fields", "values",
    "verbalizer", "template", "source", "hub", "folder", "answer",
}  # fmt: skip
_NAME = re.compile(r"[\w-]+")
LONGEST_NAME = 100
MOST_CLASSES = 256  # a class is stored in one byte
_ORDER = {"sentiment": 0, "inference": 1, "paraphrase": 2, "ethics": 3}


@dataclass(frozen=True, kw_only=True)
class Template:
    """How an example's texts are joined, e.g. `<s>{a}</s>{b}</s>`; literals may be special."""

    single: str
    pair: str


@dataclass(frozen=True, kw_only=True)
class Fields:
    """Column names; `text_b` None for single texts, `attack` None where nothing was attacked."""

    text_a: str = "text"
    text_b: str | None = None
    label: str = "label"
    attack: str | None = None


@dataclass(frozen=True, kw_only=True)
class Remote:
    """A dataset of the hub. `splits`: our name -> the hub's; `files`: our name -> a pattern of
    files, where a repository does not say itself what its splits are.
    """

    id: str
    config: str | None = None
    revision: str | None = None
    splits: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The answer is one of some words, a class each: answer words by family, in class order."""

    verbalizer: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class Text:
    """The answer is written: at most so many tokens, scored by one of `core.tasks.metrics`."""

    max_new_tokens: int
    metric: str


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is asked. `values[i]` is what the label column holds for class i; a task whose answers
    are written has no classes, and its label column holds the texts to be written.

    `remote` says where absent files can be fetched, `note` what is special about a local copy.
    """

    name: str
    title: str
    family: str
    about: str
    source: str
    labels: tuple[str, ...]
    values: tuple[str, ...]
    fields: Fields
    splits: Mapping[str, Path]
    answer: Choice | Text
    templates: Mapping[str, Template] = field(default_factory=dict)
    adversarial_of: str | None = None
    remote: Remote | None = None
    note: str = ""
    file: Path

    @property
    def ready(self) -> bool:
        """Whether the data of every split are on this machine."""
        return all(isfile(path) for path in self.splits.values())

    @property
    def pair(self) -> bool:
        """Whether an example is two texts."""
        return self.fields.text_b is not None

    @property
    def evaluation_split(self) -> str:
        """Where accuracy and predictivity are measured unless one says otherwise."""
        return next(s for s in ("validation", "dev", "test", *self.splits) if s in self.splits)

    def words(self, family: str) -> tuple[str, ...]:
        """Answer words of a backbone family, in class order; none where answers are written.

        Raises: BadTask.
        """
        if isinstance(self.answer, Text):
            return ()
        verbalizer = self.answer.verbalizer
        try:
            return verbalizer.get(family) or verbalizer["default"]
        except KeyError:
            raise BadTask(
                f"{self.file} has no answer words for {family}; add `{family} = [...]` or "
                "`default = [...]` under [verbalizer]."
            ) from None

    def contrasts(self) -> tuple[Contrast | None, ...]:
        """The task's binary questions: itself, or each class against the rest and each pair."""
        n = len(self.labels)
        if n <= 2:
            return (None,) if n else ()
        rest = [
            Contrast(negative=tuple(j for j in range(n) if j != i), positive=(i,)) for i in range(n)
        ]
        pairs = [Contrast(negative=(i,), positive=(j,)) for i in range(n) for j in range(i + 1, n)]
        return (*rest, *pairs)

    def contrast_name(self, contrast: Contrast | None) -> str:
        """E.g. `positive` against `negative`, or `neutral` against `rest`."""
        if contrast is None:
            return f"{self.labels[1]} | {self.labels[0]}"
        positive = self.labels[contrast.positive[0]]
        single = len(contrast.negative) == 1
        return f"{positive} | {self.labels[contrast.negative[0]] if single else 'rest'}"


def builtin_names() -> tuple[str, ...]:
    """The embedded tasks, in the order in which figures show them."""
    return _names(BUILTIN)


def paper_names() -> tuple[str, ...]:
    """The papers' tasks."""
    return _names(PAPERS)


def own_names() -> tuple[str, ...]:
    """The user's own tasks; a file that is no task is passed over: see `own_problems`."""
    return _sorted([t for t in _own().values() if isinstance(t, Task)])


def own_problems() -> dict[str, str]:
    """The user's files that are no task: file name -> why, in one sentence."""
    return {name: why for name, why in sorted(_own().items()) if isinstance(why, str)}


def _own() -> dict[str, "Task | str"]:
    """File name -> the task, or why it is none."""
    folder, found = Settings.from_env().places.tasks, dict[str, Task | str]()
    for file in (f for f in folder.glob("*.toml") if not f.is_dir()):
        try:
            found[file.name] = _own_task(file)
        except (BadTask, UnknownName) as error:
            found[file.name] = str(error)
    return found


def _own_task(file: Path) -> Task:
    if not _NAME.fullmatch(file.stem):
        raise BadTask(f"{file} must be named by letters, digits, - and _; rename it.")
    task = load_task(file.stem)
    if task.file.parent in (BUILTIN, PAPERS):
        raise BadTask(f"{file}: there is already a task called {task.name!r}; rename the file.")
    clean_task(task)  # a twin without its clean task cannot be asked about
    return task


def _names(folder: Path) -> tuple[str, ...]:
    return _sorted([load_task(file.stem) for file in folder.glob("*.toml")])


def _sorted(tasks: list[Task]) -> tuple[str, ...]:
    tasks.sort(key=lambda t: (t.adversarial_of is not None, _ORDER.get(t.family, 9), t.name))
    return tuple(t.name for t in tasks)


def load_task(name: str) -> Task:
    """A task by name, or any by its TOML's path. Raises: BadTask, UnknownName."""
    places = Settings.from_env().places
    if name.endswith(".toml"):
        path = Path(name).resolve()
        if not isfile(path):
            raise BadTask(f"There is no task file {name}.")
        return _read(path, places)
    folders = (BUILTIN, PAPERS, places.tasks)
    if _NAME.fullmatch(name):
        for folder in folders:
            if isfile(folder / f"{name}.toml"):
                return _read(folder / f"{name}.toml", places)
    raise UnknownName("task", name, (f.stem for folder in folders for f in folder.glob("*.toml")))


def _read(path: Path, places: Places) -> Task:
    return _parse(path, path.stat().st_mtime_ns, places)


@lru_cache(maxsize=256)
def _parse(path: Path, _stamp: int, places: Places) -> Task:
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
        return _task(path, raw, places)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadTask(f"{path} is not valid TOML: {reason(error).rstrip('.')}.") from error
    except RecursionError as error:
        raise BadTask(f"{path} is not valid TOML: it is nested too deeply.") from error
    except OSError as error:
        raise BadTask(f"{path} cannot be read: {reason(error)}.") from error
    except KeyError as error:
        raise BadTask(f"{path} lacks the entry {error}; see docs/tasks.md.") from error
    except (TypeError, AttributeError, ValueError) as error:
        raise BadTask(f"{path} has an entry of the wrong kind: {error}.") from error


def _task(path: Path, raw: dict[str, Any], places: Places) -> Task:
    if unknown := set(raw) - _KNOWN_KEYS:
        raise BadTask(f"{path} has an unknown entry {sorted(unknown)[0]!r}; see docs/tasks.md.")
    _check_kinds(raw)
    answer = _answer(raw)
    labels = tuple(str(x) for x in raw["labels"]) if isinstance(answer, Choice) else ()
    source, splits, remote = _source(path, raw, places)
    named = path.parent in (BUILTIN, PAPERS, places.tasks)
    task = Task(
        name=path.stem if named else str(path),
        title=raw.get("title", path.stem),
        family=raw.get("family", "own"),
        about=raw.get("about", ""),
        source=raw.get("source", ""),
        labels=labels,
        values=tuple(str(x) for x in source.get("values", range(len(labels)))),
        fields=Fields(**source.get("fields", {})),
        splits=splits,
        answer=answer,
        templates={k: Template(**v) for k, v in raw.get("template", {}).items()},
        adversarial_of=raw.get("adversarial_of"),
        remote=remote,
        note=source.get("note", ""),
        file=path,
    )
    _check(task)
    return task


def _answer(raw: dict[str, Any]) -> Choice | Text:
    """`[verbalizer]` for classes, `[answer]` for written answers."""
    if "answer" in raw:
        return Text(**raw["answer"])
    words = {k: tuple(str(w) for w in v) for k, v in raw["verbalizer"].items()}
    return Choice(verbalizer=words)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_list(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(v, str | int | float) for v in value)


def _table_of(kind: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, dict) and all(map(kind, value.values()))


_TEXT, _LIST = ("a text", _is_text), ("a list of texts or numbers", _is_list)
_TEXTS = ("a table of texts", _table_of(_is_text))
_TABLE = ("a table", lambda value: isinstance(value, dict))
_KINDS: dict[str, tuple[str, Callable[[object], bool]]] = {
    **dict.fromkeys(("title", "family", "about", "source", "note", "data"), _TEXT),
    **dict.fromkeys(("adversarial_of", "id", "config", "revision"), _TEXT),
    **dict.fromkeys(("labels", "values"), _LIST),
    **dict.fromkeys(("splits", "files", "fields"), _TEXTS),
    **dict.fromkeys(("hub", "folder"), _TABLE),
    "verbalizer": ("a table of lists", _table_of(_is_list)),
    "answer": _TABLE,
    "template": ("a table of tables of texts", _table_of(_table_of(_is_text))),
}


def _check_kinds(raw: dict[str, Any], where: str = "") -> None:
    """Whether each entry is of its kind. Raises: ValueError."""
    for name, value in raw.items():
        said, fits = _KINDS.get(name, ("", lambda value: True))
        if not fits(value):
            raise ValueError(f"{where}{name} must be {said}")
        if name in ("hub", "folder") and not where:
            _check_kinds(value, f"{name}.")


def _source(
    path: Path, raw: dict[str, Any], places: Places
) -> tuple[dict[str, Any], dict[str, Path], Remote | None]:
    """Where the data are: the entries that say so, a file per split, and the hub's dataset.

    A local copy below SKILLSCOPE_DATA comes before the hub.
    """
    local, remote = raw.get("folder"), raw.get("hub")
    if local is not None and (remote is None or _has(places.data, local)):
        base = (places.data or Path("SKILLSCOPE_DATA")) / local["data"]
        return local, {str(k): base / v for k, v in local["splits"].items()}, None
    if remote is not None:
        known = {k: v for k, v in remote.items() if k not in ("fields", "values", "note")}
        there = Remote(**known)
        base = places.downloads / path.stem
        if not _NAME.fullmatch(path.stem):
            raise BadTask(f"{path} must be named by letters, digits, - and _; rename it.")
        names = there.files or there.splits
        return remote, {str(k): base / f"{k}.parquet" for k in names}, there
    base = (path.parent / raw.get("data", ".")).resolve()
    return raw, {str(k): (base / v).resolve() for k, v in raw["splits"].items()}, None


def _has(data: Path | None, local: dict[str, Any]) -> bool:
    return data is not None and isdir(data / local["data"])


def _check(task: Task) -> None:
    _check_splits(task)
    if isinstance(task.answer, Choice):
        _check_classes(task)
        _check_words(task, task.answer)
    else:
        _check_writing(task, task.answer)


def _check_writing(task: Task, answer: Text) -> None:
    if answer.metric not in METRICS:
        known = ", ".join(METRICS)
        raise BadTask(f"{task.file} asks for the metric {answer.metric!r}; there are {known}.")
    whole = isinstance(answer.max_new_tokens, int) and not isinstance(answer.max_new_tokens, bool)
    if not whole or answer.max_new_tokens < 1:
        raise BadTask(f"{task.file}: max_new_tokens must be a whole number of 1 or more.")


def _check_classes(task: Task) -> None:
    n = len(task.labels)
    if n < 2:
        raise BadTask(f"{task.file} names {n} class; a task needs at least two.")
    if n > MOST_CLASSES:
        raise BadTask(f"{task.file} names {n} classes; at most {MOST_CLASSES} can be stored.")
    if len(task.values) != n:
        raise BadTask(f"{task.file} names {n} labels but {len(task.values)} values.")
    for what, names in (("labels", task.labels), ("values", task.values)):
        if twice := [name for i, name in enumerate(names) if name in names[:i]]:
            raise BadTask(f"{task.file} names {twice[0]!r} twice among its {what}.")


def _check_words(task: Task, answer: Choice) -> None:
    n = len(task.labels)
    for family, words in answer.verbalizer.items():
        if len(words) != n:
            raise BadTask(
                f"{task.file} names {n} labels but {len(words)} answer words for {family}."
            )
        if not all(word.strip() for word in words):
            raise BadTask(f"{task.file} has an empty answer word for {family}.")


def _check_splits(task: Task) -> None:
    if not task.splits:
        raise BadTask(f"{task.file} names no split under [splits].")
    for split in task.splits:
        if not _NAME.fullmatch(split) or len(split) > LONGEST_NAME:
            raise BadTask(
                f"{task.file} names the split {split[:40]!r}; a split's name is one word of "
                f"letters, digits, - and _, at most {LONGEST_NAME} long."
            )


def clean_task(task: Task) -> Task:
    """The task itself, or the clean one an adversarial twin was made from."""
    if task.adversarial_of is None:
        return task
    own = task.file.parent / f"{task.adversarial_of}.toml"
    clean = load_task(task.adversarial_of if task.name == task.file.stem else str(own))
    if clean.adversarial_of is not None:
        raise BadTask(f"{task.file}: {task.adversarial_of!r} is itself an adversarial twin.")
    return clean


def clean_name(name: str) -> str:
    """The same by name; a task whose file is gone is taken for a clean one."""
    try:
        return clean_task(load_task(name)).name
    except (BadTask, UnknownName):
        return name


def pin_task(task: Task, family: str) -> Pinned:
    """The task as a family is asked it: its name and a fingerprint of what answers depend on, which
    are the data, how they are read, this family's template and answer words, and for an adversarial
    version its clean task. Titles, remarks and other families' words do not count.
    """
    template, answer = task.templates.get(family), task.answer
    read = {
        "values": task.values,
        "fields": asdict(task.fields),
        "answer": task.words(family) if isinstance(answer, Choice) else asdict(answer),
        "template": None if template is None else asdict(template),
        "data": data_hashes(task),
    }
    digest = hashlib.sha256(json.dumps(read, sort_keys=True).encode())
    if task.adversarial_of is not None:
        digest.update(pin_task(clean_task(task), family).fingerprint.encode())
    return Pinned(name=task.name, fingerprint=digest.hexdigest()[:12])


def data_hashes(task: Task) -> dict[str, str]:
    """SHA-256 of each split's file that is here."""
    return {s: _file_hash(path) for s, path in task.splits.items() if isfile(path)}


def data_stamp(task: Task) -> str:
    """Changes with the data of a task and with how its labels are read."""
    read = {"values": task.values, "fields": asdict(task.fields), "data": data_hashes(task)}
    return hashlib.sha256(json.dumps(read, sort_keys=True).encode()).hexdigest()[:12]


def _file_hash(path: Path) -> str:
    stat = path.stat()
    return _hash(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=1024)
def _hash(path: Path, _size: int, _stamp: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
