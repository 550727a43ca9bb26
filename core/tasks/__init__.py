"""Tasks: one TOML each, data only. Built-in ones lie beside this file, a user's anywhere."""

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from core.backbones.base import Template
from core.errors import BadTask, UnknownName
from core.specs import Contrast, Pinned

HERE = Path(__file__).parent
_KNOWN_KEYS = {
    "title", "family", "about", "labels", "adversarial_of", "data", "splits", "fields", "values",
    "verbalizer", "template", "source",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Fields:
    """Column names; `text_b` None for single texts, `attack` None where nothing was attacked."""

    text_a: str = "text"
    text_b: str | None = None
    label: str = "label"
    attack: str | None = None


@dataclass(frozen=True, kw_only=True)
class Task:
    """A classification task. `values[i]` is what the label column holds for class i."""

    name: str
    title: str
    family: str
    about: str
    source: str
    labels: tuple[str, ...]
    values: tuple[str, ...]
    fields: Fields
    splits: Mapping[str, Path]
    verbalizer: Mapping[str, tuple[str, ...]]
    templates: Mapping[str, Template] = field(default_factory=dict)
    adversarial_of: str | None = None
    file: Path

    @property
    def pair(self) -> bool:
        """Whether an example is two texts."""
        return self.fields.text_b is not None

    @property
    def evaluation_split(self) -> str:
        """Where accuracy and predictivity are measured unless one says otherwise."""
        return next(s for s in ("validation", "dev", "test", *self.splits) if s in self.splits)

    def words(self, family: str) -> tuple[str, ...]:
        """Answer words of a backbone family, in class order. Raises: BadTask."""
        try:
            return self.verbalizer.get(family) or self.verbalizer["default"]
        except KeyError:
            raise BadTask(
                f"{self.file} has no answer words for {family}; add `{family} = [...]` or "
                "`default = [...]` under [verbalizer]."
            ) from None

    def contrasts(self) -> tuple[Contrast | None, ...]:
        """The task's binary questions: itself, or each class against the rest and each pair."""
        n = len(self.labels)
        if n == 2:
            return (None,)
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
    """Built-in tasks, in the order in which figures show them."""
    order = {"sentiment": 0, "inference": 1, "paraphrase": 2, "ethics": 3}
    tasks = [load_task(file.stem) for file in HERE.glob("*.toml")]
    tasks.sort(key=lambda t: (t.adversarial_of is not None, order.get(t.family, 9), t.name))
    return tuple(t.name for t in tasks)


def load_task(name: str) -> Task:
    """A built-in task by name, or any by its TOML's path. Raises: BadTask, UnknownName."""
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise BadTask(f"There is no task file {path}.")
        return _read(path.resolve())
    path = HERE / f"{name}.toml"
    if not name.isidentifier() or not path.is_file():
        raise UnknownName("task", name, (f.stem for f in HERE.glob("*.toml")))
    return _read(path)


def _read(path: Path) -> Task:
    stamp = path.stat().st_mtime_ns
    return _parse(path, stamp)


@lru_cache(maxsize=256)
def _parse(path: Path, _stamp: int) -> Task:
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
        return _task(path, raw)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadTask(f"{path} is not valid TOML: {error}.") from error
    except KeyError as error:
        raise BadTask(f"{path} lacks the entry {error}; see docs/tasks.md.") from error
    except (TypeError, AttributeError, ValueError) as error:
        raise BadTask(f"{path} has an entry of the wrong kind: {error}.") from error


def _task(path: Path, raw: dict[str, Any]) -> Task:
    if unknown := set(raw) - _KNOWN_KEYS:
        raise BadTask(f"{path} has an unknown entry {sorted(unknown)[0]!r}; see docs/tasks.md.")
    labels = tuple(str(x) for x in raw["labels"])
    folder = (path.parent / raw.get("data", ".")).resolve()
    task = Task(
        name=path.stem if path.parent == HERE else str(path),
        title=raw.get("title", path.stem),
        family=raw.get("family", "own"),
        about=raw.get("about", ""),
        source=raw.get("source", ""),
        labels=labels,
        values=tuple(str(x) for x in raw.get("values", range(len(labels)))),
        fields=Fields(**raw.get("fields", {})),
        splits={str(k): (folder / v).resolve() for k, v in raw["splits"].items()},
        verbalizer={k: tuple(str(w) for w in v) for k, v in raw["verbalizer"].items()},
        templates={k: Template(**v) for k, v in raw.get("template", {}).items()},
        adversarial_of=raw.get("adversarial_of"),
        file=path,
    )
    _check(task)
    return task


def _check(task: Task) -> None:
    n = len(task.labels)
    if n < 2:
        raise BadTask(f"{task.file} names {n} class; a task needs at least two.")
    if len(task.values) != n:
        raise BadTask(f"{task.file} names {n} labels but {len(task.values)} values.")
    for family, words in task.verbalizer.items():
        if len(words) != n:
            raise BadTask(
                f"{task.file} names {n} labels but {len(words)} answer words for {family}."
            )
    if not task.splits:
        raise BadTask(f"{task.file} names no split under [splits].")


def clean_task(task: Task) -> Task:
    """The task itself, or the clean one an adversarial twin was made from."""
    if task.adversarial_of is None:
        return task
    own = task.file.parent / f"{task.adversarial_of}.toml"
    return load_task(str(own) if task.file.parent != HERE else task.adversarial_of)


def clean_name(name: str) -> str:
    """The same by name; a task whose file is gone is taken for a clean one."""
    try:
        return clean_task(load_task(name)).name
    except (BadTask, UnknownName):
        return name


def pin_task(task: Task) -> Pinned:
    """The task's name and a fingerprint of its file, its data and, for a twin, its origin."""
    digest = hashlib.sha256(_file_hash(task.file).encode())
    for name, path in sorted(task.splits.items()):
        if path.is_file():
            digest.update(f"{name}:{_file_hash(path)}".encode())
    if task.adversarial_of is not None:
        digest.update(pin_task(clean_task(task)).fingerprint.encode())
    return Pinned(name=task.name, fingerprint=digest.hexdigest()[:12])


def _file_hash(path: Path) -> str:
    stat = path.stat()
    return _hash(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=1024)
def _hash(path: Path, _size: int, _stamp: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
