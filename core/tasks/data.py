"""Task -> examples. Datasets of the hub become one Parquet file per split."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from os.path import isfile  # unlike Path.is_file, false for a name that no file can have
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from core.base.errors import BadTask, NotDownloaded, reason
from core.base.progress import Progress, no_progress
from core.base.settings import Places
from core.tasks import PAPERS, Choice, Remote, Task, clean_task, load_task
from core.tasks.metrics import normal

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, eq=False)
class Examples:
    """Rows of one split. `index` is each row's place in the file. Tasks whose answers are written
    have `targets`, the references of each row (the first is the one to learn), and 0 for every
    label.
    """

    text_a: tuple[str, ...]
    text_b: tuple[str, ...] | None
    labels: npt.NDArray[np.int64]
    attack: tuple[str, ...] | None
    index: npt.NDArray[np.int64]
    targets: tuple[tuple[str, ...], ...] | None = None

    @classmethod
    def of_text(cls, text_a: str, text_b: str | None = None) -> "Examples":
        """One text, or a pair, without an answer."""
        nothing = np.zeros(1, np.int64)
        second = None if text_b is None else (text_b,)
        return cls(text_a=(text_a,), text_b=second, labels=nothing, attack=None, index=nothing)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: npt.NDArray[np.int64]) -> "Examples":
        """Some rows, in the given order."""

        def pick(values: tuple[T, ...] | None) -> tuple[T, ...] | None:
            return None if values is None else tuple(values[i] for i in rows)

        return Examples(
            text_a=pick(self.text_a) or (),
            text_b=pick(self.text_b),
            labels=self.labels[rows],
            attack=pick(self.attack),
            index=self.index[rows],
            targets=pick(self.targets),
        )

    @property
    def majority(self) -> float:
        """Accuracy of always answering the most frequent class."""
        return float(np.bincount(self.labels).max() / len(self.labels))


_READERS = {
    ".jsonl": lambda p: pd.read_json(p, lines=True, dtype=False, convert_dates=False),
    ".csv": lambda p: pd.read_csv(p, dtype=str, keep_default_na=False),
    ".tsv": lambda p: pd.read_csv(p, dtype=str, keep_default_na=False, sep="\t", quoting=3),
    ".parquet": lambda p: pd.read_parquet(p),
}


def load_split(task: Task, split: str, limit: int | None = None) -> Examples:
    """The rows of a split whose label is one of the task's; at most `limit`, drawn by a fixed seed.

    An adversarial version has no train split: asking for it gives the clean task's.
    Raises: BadTask.
    """
    if split not in task.splits and split == "train" and task.adversarial_of is not None:
        return load_split(clean_task(task), split, limit)
    if split not in task.splits:
        raise BadTask(
            f"Task {task.title!r} has no split {split!r}; it has {', '.join(task.splits)}."
        )
    path = task.splits[split]
    if not isfile(path):
        if task.remote is not None:
            raise NotDownloaded(
                f"The data of task {task.title!r} are not on this machine yet; "
                f"`python -m core fetch-task {task.name}` or the Library page downloads them."
            )
        hint = "" if task.file.parent != PAPERS else (
            " Set SKILLSCOPE_DATA to a folder with copies of the papers' datasets."
        )  # fmt: skip
        raise BadTask(
            f"The data of task {task.title!r}, split {split!r}, are missing: {path}.{hint}"
        )
    try:
        examples = _read(task, path, path.stat().st_mtime_ns)
    except BadTask as error:
        raise BadTask(f"Task {task.title!r}, split {split!r}: {error}") from error
    if limit is None or limit >= len(examples):
        return examples
    rows = np.random.default_rng(0).permutation(len(examples))[:limit]
    return examples.take(np.sort(rows))


@lru_cache(maxsize=64)
def _read_cached(
    path: Path, fields: tuple[str | None, ...], values: tuple[str, ...] | None, _s: int
) -> Examples:
    reader = _READERS.get(path.suffix)
    if reader is None:
        raise BadTask(f"{path} is not of a known kind; use {', '.join(_READERS)}.")
    try:
        frame = reader(path)
    except pd.errors.EmptyDataError:
        frame = pd.DataFrame()
    except (ValueError, TypeError, OSError) as error:
        why = (path.suffix == ".jsonl" and _bad_line(path)) or reason(error).rstrip(".")
        raise BadTask(f"{path} cannot be read: {why}.") from error
    if frame.empty:
        raise BadTask(f"{path} has no rows.")
    return _examples(path, frame, fields, values)


def _bad_line(path: Path) -> str:
    """The first line that is no JSON object, in words; empty if each is one."""
    for i, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        try:
            row = json.loads(line.decode("utf-8")) if line.strip() else {}
        except UnicodeDecodeError:
            return f"line {i} is not UTF-8"
        except (ValueError, RecursionError):
            return f"line {i} is not JSON"
        if not isinstance(row, dict):
            return f"line {i} is not a JSON object"
    return ""


def _read(task: Task, path: Path, stamp: int) -> Examples:
    f = task.fields
    values = task.values if isinstance(task.answer, Choice) else None
    return _read_cached(path, (f.text_a, f.text_b, f.label, f.attack), values, stamp)


def _examples(
    path: Path, frame: pd.DataFrame, fields: tuple[str | None, ...], values: tuple[str, ...] | None
) -> Examples:
    """Rows with a known label; of written answers (no `values`) all rows."""
    found = {name: _column(path, frame, name) for name in fields if name is not None}
    text_a, text_b, label, attack = fields
    labels = np.zeros(len(frame), np.int64) if values is None else _classes(
        path, found[str(label)], values
    )  # fmt: skip
    kept = np.flatnonzero(labels >= 0)

    def texts(column: str | None) -> tuple[str, ...] | None:
        if column is None:
            return None
        values = found[column].iloc[kept].astype(object)
        return tuple(str(v) for v in values.where(values.notna(), ""))

    first = texts(text_a) or ()
    empty = next((i for i, t in zip(kept, first, strict=True) if not t.strip()), None)
    if empty is not None:
        raise BadTask(f"Row {empty + 1} of {path} has an empty {text_a!r}.")
    return Examples(
        text_a=first,
        text_b=texts(text_b),
        labels=labels[kept],
        attack=texts(attack),
        index=kept.astype(np.int64),
        targets=_references(path, found[str(label)], str(label)) if values is None else None,
    )


def _column(path: Path, frame: pd.DataFrame, name: str) -> "pd.Series[Any]":
    """A column, or what its cells hold under a name: `answers.text`. Raises: BadTask."""
    if name in frame.columns:
        return frame[name]
    outer, _, inner = name.partition(".")
    if inner and outer in frame.columns:
        return frame[outer].map(lambda cell: cell.get(inner) if isinstance(cell, dict) else None)
    have = ", ".join(map(str, frame.columns))
    raise BadTask(f"{path} has no column {name!r}; it has {have}.")


def _references(path: Path, column: "pd.Series[Any]", name: str) -> tuple[tuple[str, ...], ...]:
    """The texts, one or a list of them, that answer each row. Raises: BadTask if a row has none."""

    def texts(cell: object) -> tuple[str, ...]:
        many = cell if isinstance(cell, list | tuple | np.ndarray) else [cell]
        if any(isinstance(t, list | tuple | np.ndarray | dict) for t in many):
            raise BadTask(f"{path} holds lists of lists in {name!r}; references are texts.")
        known = (t for t in many if t is not None and t == t)
        found = ((_plain(t) if isinstance(t, float) else str(t)).strip() for t in known)
        return tuple(t for t in found if t)

    answers = tuple(map(texts, column))
    if () in answers:
        raise BadTask(f"Row {answers.index(()) + 1} of {path} has no answer in {name!r}.")
    return answers


def _classes(
    path: Path, column: "pd.Series[Any]", values: tuple[str, ...]
) -> npt.NDArray[np.int64]:
    """The class of each row, -1 where the label is none of the task's. Raises: BadTask if no row
    has one, or if a class has none while other labels are there.
    """
    codes = {value: i for i, value in enumerate(values)}
    labels: npt.NDArray[np.int64] = column.map(lambda v: codes.get(_plain(v), -1)).to_numpy(
        np.int64
    )
    absent = [value for i, value in enumerate(values) if not (labels == i).any()]
    others = column[labels < 0].map(_plain).value_counts()
    if not (labels >= 0).any() or (absent and len(others)):
        found = ", ".join(f"{value!r} ({n})" for value, n in others.head(5).items())
        raise BadTask(
            f"No row of {path} is labelled {' or '.join(map(repr, absent))}; other labels found: "
            f"{found or 'none'}."
        )
    return labels


def _plain(value: object) -> str:
    """A label as the task file writes it: 1.0 and "1.0" are 1."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return _WHOLE.sub("", str(value))


def download(task: Task, progress: Progress = no_progress) -> None:
    """Fetch the splits of a hub task that are not here yet, by `datasets`; never a script.

    Raises: NotDownloaded, BadTask, Cancelled.
    """
    remote = task.remote
    if remote is None:
        return
    missing = [s for s, path in task.splits.items() if not isfile(path)]
    for i, split in enumerate(missing):
        progress(i / len(missing), f"Downloading {task.title}, {split}")
        path = task.splits[split]
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        with _plain_errors(task, remote):
            _load(remote, split).to_parquet(part)
        part.replace(path)
    progress(1.0, "")


def obtain_task(name: str, progress: Progress = no_progress, places: Places | None = None) -> Task:
    """A task whose data are on this machine, downloaded if they are the hub's.

    Raises: UnknownName, BadTask, NotDownloaded.
    """
    task = load_task(name, places)
    for needed in (clean_task(task), task):
        download(needed, progress)
    return task


def _load(remote: Remote, split: str) -> Any:
    import datasets

    datasets.disable_progress_bars()
    if remote.files:
        return datasets.load_dataset(
            remote.id,
            data_files={split: remote.files[split]},
            split=split,
            revision=remote.revision,
        )
    return datasets.load_dataset(
        remote.id, remote.config, split=remote.splits[split], revision=remote.revision
    )


@contextmanager
def _plain_errors(task: Task, remote: Remote) -> Iterator[None]:
    from datasets.exceptions import DatasetNotFoundError, DatasetsError
    from httpx2 import HTTPError

    try:
        yield
    except DatasetNotFoundError as error:
        raise NotDownloaded(
            f"The Hub has no dataset {remote.id}, or it needs a token (HF_TOKEN); "
            f"{task.title} cannot be downloaded."
        ) from error
    except (HTTPError, ConnectionError) as error:
        raise NotDownloaded(
            f"{remote.id} cannot be reached; try again with a network, or set SKILLSCOPE_DATA to "
            f"a folder with a copy of {task.title}."
        ) from error
    except (DatasetsError, ValueError, RuntimeError, OSError) as error:
        raise BadTask(f"{remote.id} cannot be loaded as {task.title}: {reason(error)}") from error


_WHOLE = re.compile(r"(?<=\d)\.0+$")


def _normal(examples: Examples) -> list[str]:
    """Texts without case, punctuation and spacing; a pair's two texts joined."""
    others = examples.text_b or ("",) * len(examples)
    joined = (f"{a} | {b}" for a, b in zip(examples.text_a, others, strict=True))
    return [normal(text) for text in joined]


def overlap(train: Examples, evaluated: Examples) -> int:
    """How many of the evaluated rows also occur among the train rows, by normalised text."""
    known = set(_normal(train))
    return sum(text in known for text in _normal(evaluated))


@dataclass(frozen=True, kw_only=True)
class Shared:
    """`rows` of the target's `n` evaluated rows stand in the source's train split as well."""

    source_task: str
    target_task: str
    rows: int
    n: int


def shared_rows(
    sources: Sequence[Task],
    targets: Sequence[Task],
    split: str | None = None,
    limit: int | None = None,
) -> tuple[Shared, ...]:
    """Every pair of tasks whose numbers are contaminated, a task with itself included. The targets'
    rows are those of a split, by default the evaluation split, at most `limit`.
    """
    found = list[Shared]()
    held = {t.name: _normal(load_split(t, split or t.evaluation_split, limit)) for t in targets}
    for source in (s for s in sources if "train" in s.splits):
        known = set(_normal(load_split(source, "train")))
        for name, texts in held.items():
            if rows := sum(text in known for text in texts):
                found.append(
                    Shared(source_task=source.name, target_task=name, rows=rows, n=len(texts))
                )
    return tuple(found)
