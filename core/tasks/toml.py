"""A task's TOML, read and checked entry by entry."""

import hashlib
import re
import tomllib
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from inspect import signature
from os.path import isdir  # unlike Path's, false for a name that no file can have
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

from core.base.errors import BadTask, reason
from core.base.settings import Places
from core.tasks.metrics import METRICS
from core.tasks.task import Choice, Fields, Remote, Task, Template, Text

BUILTIN = Path(__file__).parent / "builtin"
PAPERS = Path(__file__).parent / "papers"
_KNOWN_KEYS = {
    "title", "category", "family", "about", "labels", "adversarial_of", "data", "splits", "fields",
    "values", "verbalizer", "template", "source", "hub", "folder", "answer",
}  # fmt: skip
T = TypeVar("T")
NAME = re.compile(r"[\w-]+")
LONGEST_NAME = 100
MOST_CLASSES = 256  # a class is stored in one byte
MOST_TOKENS = 512  # of a written answer; the texts that are read are cut to 128
_BESIDE_REMOTE = {"fields", "values", "note"}  # the entries of [hub] that say how it is read
_FOLDER = {"data", "splits", *_BESIDE_REMOTE}
_PLACE = re.compile(r"\{(\w+)\}")


def read_task(path: Path, places: Places) -> Task:
    """The task of a TOML, read again when the file changes. Raises: BadTask."""
    try:
        stamp = path.stat().st_mtime_ns
    except OSError as error:
        raise BadTask(f"{path} cannot be read: {reason(error)}.") from error
    return _parse(path, stamp, places)


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
    _check_entries(path, raw, "", _KNOWN_KEYS)
    _check_kinds(raw)
    _check_conflicts(path, raw)
    answer = _answer(path, raw)
    labels = tuple(str(x) for x in raw["labels"]) if isinstance(answer, Choice) else ()
    source, splits, remote = _source(path, raw, places)
    task = Task(
        name=path.stem if _is_named(path, places) else str(path),
        title=raw.get("title", path.stem),
        category=raw.get("category", raw.get("family", "own")),  # `family`: its name of old
        about=raw.get("about", ""),
        source=raw.get("source", ""),
        labels=labels,
        values=tuple(str(x) for x in source.get("values", range(len(labels)))),
        fields=_made(Fields, path, source.get("fields", {}), "fields"),
        splits=splits,
        answer=answer,
        templates={
            k: _made(Template, path, v, f"template.{k}") for k, v in raw.get("template", {}).items()
        },
        adversarial_of=raw.get("adversarial_of"),
        remote=remote,
        note=source.get("note", ""),
        file=path,
        places=places,
    )
    _check(task)
    return task


def _check_entries(
    path: Path, table: dict[str, Any], where: str, known: Iterable[str], needed: Iterable[str] = ()
) -> None:
    """Whether a table has the entries it needs, and no unknown one. Raises: BadTask."""
    under = f" under [{where}]" if where else ""
    if unknown := sorted(set(table) - set(known)):
        raise BadTask(f"{path} has an unknown entry {unknown[0]!r}{under}; see docs/tasks.md.")
    if absent := [name for name in needed if name not in table]:
        raise BadTask(f"{path} lacks the entry {absent[0]!r}{under}; see docs/tasks.md.")


def _made(kind: Callable[..., T], path: Path, table: dict[str, Any], where: str) -> T:
    """A table as the dataclass that has a field for each of its entries. Raises: BadTask."""
    parameters = signature(kind).parameters.values()
    needed = [p.name for p in parameters if p.default is p.empty]
    _check_entries(path, table, where, [p.name for p in parameters], needed)
    return kind(**table)


def _check_conflicts(path: Path, raw: dict[str, Any]) -> None:
    """Whether no two entries contradict each other. Raises: BadTask."""
    pairs = [("family", "category"), *(("answer", n) for n in ("verbalizer", "labels", "values"))]
    for one, other in pairs:
        if one in raw and other in raw:
            raise BadTask(f"{path} has both {one!r} and {other!r}; keep one of them.")


def _answer(path: Path, raw: dict[str, Any]) -> Choice | Text:
    """`[verbalizer]` for classes, `[answer]` for written answers."""
    if "answer" in raw:
        return _made(Text, path, raw["answer"], "answer")
    words = {k: tuple(str(w) for w in v) for k, v in raw["verbalizer"].items()}
    return Choice(verbalizer=words)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_list(value: object) -> bool:
    return _is_list_of_cells(value) and not any(isinstance(v, bool) for v in value)


def _is_list_of_cells(value: object) -> TypeGuard[list[object]]:
    return isinstance(value, list) and all(isinstance(v, str | int | float) for v in value)


def _table_of(kind: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, dict) and all(map(kind, value.values()))


_TEXT, _LIST = ("a text", _is_text), ("a list of texts or numbers", _is_list)
_TEXTS = ("a table of texts", _table_of(_is_text))
_TABLE = ("a table", lambda value: isinstance(value, dict))
_KINDS: dict[str, tuple[str, Callable[[object], bool]]] = {
    **dict.fromkeys(("title", "category", "family", "about", "source", "note", "data"), _TEXT),
    **dict.fromkeys(("adversarial_of", "id", "config", "revision", "metric", "stop"), _TEXT),
    "labels": _LIST,
    "values": ("a list of texts, numbers or truth values", _is_list_of_cells),
    "max_new_tokens": ("a whole number", lambda value: type(value) is int),
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
        if name in ("hub", "folder", "answer") and not where:
            _check_kinds(value, f"{name}.")


def _source(
    path: Path, raw: dict[str, Any], places: Places
) -> tuple[dict[str, Any], dict[str, Path], Remote | None]:
    """Where the data are: the entries that say so, a file per split, and the hub's dataset.

    A local copy below SKILLSCOPE_DATA comes before the hub.
    """
    local, remote = raw.get("folder"), raw.get("hub")
    if local is not None:
        _check_entries(path, local, "folder", _FOLDER, ("data", "splits"))
    if local is not None and (remote is None or _has(places.data, local)):
        base = (places.data or Path("SKILLSCOPE_DATA")) / local["data"]
        return local, {str(k): base / v for k, v in local["splits"].items()}, None
    if remote is not None:
        known = {k: v for k, v in remote.items() if k not in _BESIDE_REMOTE}
        there = _made(Remote, path, known, "hub")
        if not NAME.fullmatch(path.stem):
            raise BadTask(f"{path} must be named by letters, digits, - and _; rename it.")
        base = places.downloads / _download_name(path, places)
        names = there.files or there.splits
        return remote, {str(k): base / f"{k}.parquet" for k in names}, there
    base = (path.parent / raw.get("data", ".")).resolve()
    return raw, {str(k): (base / v).resolve() for k, v in raw["splits"].items()}, None


def _is_named(path: Path, places: Places) -> bool:
    """Whether the file's name alone names the task; another task is named by its path."""
    return path.parent in (BUILTIN, PAPERS, places.tasks)


def _download_name(path: Path, places: Places) -> str:
    """A folder of its own for each TOML, where two in different folders have one file name."""
    if _is_named(path, places):
        return path.stem
    return f"{path.stem}-{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"


def _has(data: Path | None, local: dict[str, Any]) -> bool:
    return data is not None and isdir(data / local["data"])


def _check(task: Task) -> None:
    if not task.title.strip():
        raise BadTask(f"{task.file} has an empty title; give it one, or leave the entry out.")
    _check_splits(task)
    _check_templates(task)
    if isinstance(task.answer, Choice):
        _check_classes(task)
        _check_words(task, task.answer)
    else:
        _check_writing(task, task.answer)


def _check_writing(task: Task, answer: Text) -> None:
    if answer.metric not in METRICS:
        known = ", ".join(METRICS)
        raise BadTask(f"{task.file} asks for the metric {answer.metric!r}; there are {known}.")
    if not 1 <= answer.max_new_tokens <= MOST_TOKENS:
        raise BadTask(
            f"{task.file} asks for {answer.max_new_tokens} as max_new_tokens; it must be a whole "
            f"number from 1 to {MOST_TOKENS}."
        )


def _check_templates(task: Task) -> None:
    for family, template in task.templates.items():
        for name in _PLACE.findall(template.single + template.pair):
            if name not in ("a", "b"):
                raise BadTask(
                    f"{task.file} has {{{name}}} in the template for {family}; only {{a}} and "
                    "{b} stand for texts."
                )


def _check_classes(task: Task) -> None:
    n = len(task.labels)
    if n < 2:
        raise BadTask(f"{task.file} names {n} class; a task needs at least two.")
    if n > MOST_CLASSES:
        raise BadTask(f"{task.file} names {n} classes; at most {MOST_CLASSES} can be stored.")
    if len(task.values) != n:
        raise BadTask(f"{task.file} names {n} labels but {len(task.values)} values.")
    for what, names in (("labels", task.labels), ("values", task.values)):
        if twice := _repeated(names):
            raise BadTask(f"{task.file} names {twice!r} twice among its {what}.")


def _repeated(names: Sequence[str]) -> str | None:
    """The first name that occurs twice."""
    return next((name for i, name in enumerate(names) if name in names[:i]), None)


def _check_words(task: Task, answer: Choice) -> None:
    n = len(task.labels)
    for family, words in answer.verbalizer.items():
        if len(words) != n:
            raise BadTask(
                f"{task.file} names {n} labels but {len(words)} answer words for {family}."
            )
        if not all(word.strip() for word in words):
            raise BadTask(f"{task.file} has an empty answer word for {family}.")
        if twice := _repeated(words):
            raise BadTask(f"{task.file} names {twice!r} twice among its answer words for {family}.")


def _check_splits(task: Task) -> None:
    if not task.splits:
        raise BadTask(f"{task.file} names no split under [splits].")
    for split in task.splits:
        if not NAME.fullmatch(split) or len(split) > LONGEST_NAME:
            raise BadTask(
                f"{task.file} names the split {split[:40]!r}; a split's name is one word of "
                f"letters, digits, - and _, at most {LONGEST_NAME} long."
            )
