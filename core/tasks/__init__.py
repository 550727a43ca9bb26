"""Tasks: one TOML each, data only.

Built-in ones lie in `builtin/`, those of the papers in `papers/`, a user's own in the folder
that the settings name, or anywhere if given by path.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, fields
from functools import lru_cache
from os.path import isfile, lexists, realpath  # unlike Path's, these take any name
from pathlib import Path

from core.base.errors import BadTask, UnknownName
from core.base.settings import Places, Settings
from core.base.specs import Pinned
from core.tasks.task import Choice, Fields, Remote, Task, Template, Text
from core.tasks.toml import (
    BUILTIN,
    LONGEST_NAME,
    MOST_CLASSES,
    NAME,
    PAPERS,
    read_task,
)

__all__ = [
    "BUILTIN", "LONGEST_NAME", "MOST_CLASSES", "PAPERS", "Choice", "Fields", "Remote", "Task",
    "Template", "Text", "builtin_names", "clean_name", "clean_task", "data_hashes", "data_stamp",
    "load_task", "own_names", "own_problems", "paper_names", "pin_task",
]  # fmt: skip
_CATEGORIES = ("sentiment", "inference", "paraphrase", "ethics", "questions", "summaries")


def builtin_names() -> tuple[str, ...]:
    """The embedded tasks, in the order in which figures show them."""
    return _names(BUILTIN)


def paper_names() -> tuple[str, ...]:
    """The papers' tasks."""
    return _names(PAPERS)


def own_names(places: Places | None = None) -> tuple[str, ...]:
    """The user's own tasks; a file that is no task is passed over: see `own_problems`."""
    return _sorted([t for t in _own(_places(places)).values() if isinstance(t, Task)])


def own_problems(places: Places | None = None) -> dict[str, str]:
    """The user's files that are no task: file name -> why, in one sentence."""
    found = _own(_places(places))
    return {name: why for name, why in sorted(found.items()) if isinstance(why, str)}


def _places(places: Places | None) -> Places:
    """A lab asks with its own; without one, the environment says where tasks are."""
    return places or Settings.from_env().places


def _own(places: Places) -> dict[str, "Task | str"]:
    """File name -> the task, or why it is none."""
    found = dict[str, Task | str]()
    for file in (f for f in places.tasks.glob("*.toml") if not f.is_dir()):
        try:
            found[file.name] = _own_task(file, places)
        except (BadTask, UnknownName) as error:
            found[file.name] = str(error)
    return found


def _own_task(file: Path, places: Places) -> Task:
    if not NAME.fullmatch(file.stem):
        raise BadTask(f"{file} must be named by letters, digits, - and _; rename it.")
    task = load_task(file.stem, places)
    if task.file.parent in (BUILTIN, PAPERS):
        raise BadTask(f"{file}: there is already a task called {task.name!r}; rename the file.")
    clean_task(task)  # an adversarial version without its clean task cannot be asked about
    return task


def _names(folder: Path) -> tuple[str, ...]:
    return _sorted([load_task(file.stem) for file in folder.glob("*.toml")])


def _place(category: str) -> int:
    known = category in _CATEGORIES
    return _CATEGORIES.index(category) if known else len(_CATEGORIES)


def in_order(tasks: Iterable[Task]) -> list[Task]:
    """As pages list them: clean tasks first, by category and name."""
    return sorted(tasks, key=lambda t: (t.adversarial_of is not None, _place(t.category), t.name))


def _sorted(tasks: list[Task]) -> tuple[str, ...]:
    return tuple(t.name for t in in_order(tasks))


def load_task(name: str, places: Places | None = None) -> Task:
    """A task by name, or any by its TOML's path. Raises: BadTask, UnknownName."""
    places = _places(places)
    if name.endswith(".toml"):
        if not lexists(name):
            raise BadTask(f"There is no task file {name}.")
        return read_task(Path(realpath(name)), places)
    folders = (BUILTIN, PAPERS, places.tasks)
    if NAME.fullmatch(name):
        for folder in folders:
            if lexists(folder / f"{name}.toml"):
                return read_task(folder / f"{name}.toml", places)
    raise UnknownName("task", name, (f.stem for folder in folders for f in folder.glob("*.toml")))


def clean_task(task: Task) -> Task:
    """The task itself, or the clean one an adversarial version was made from."""
    if task.adversarial_of is None:
        return task
    own = task.file.parent / f"{task.adversarial_of}.toml"
    clean = load_task(task.adversarial_of if task.name == task.file.stem else str(own), task.places)
    if clean.adversarial_of is not None:
        raise BadTask(f"{task.file}: {task.adversarial_of!r} is itself an adversarial version.")
    return clean


def clean_name(name: str, places: Places | None = None) -> str:
    """The same by name; a task whose file is gone is taken for a clean one."""
    try:
        return clean_task(load_task(name, places)).name
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
        "answer": task.words(family) if isinstance(answer, Choice) else _written(answer),
        "template": None if template is None else asdict(template),
        "data": data_hashes(task),
    }
    digest = hashlib.sha256(json.dumps(read, sort_keys=True).encode())
    if task.adversarial_of is not None:
        digest.update(pin_task(clean_task(task), family).fingerprint.encode())
    return Pinned(name=task.name, fingerprint=digest.hexdigest()[:12])


def _written(answer: Text) -> dict[str, object]:
    """How an answer is written; without what is left at its default, so that tasks keep their
    fingerprints when a way to write is added.
    """
    return {
        f.name: value for f in fields(answer) if (value := getattr(answer, f.name)) != f.default
    }


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
