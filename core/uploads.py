"""A user's own data: read strictly, checked whole, and only then written as a task.

Nothing in a cell is ever evaluated; formulas and scripts are text like any other.
"""

import csv
import io
import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pandas as pd

from core.errors import BadInput, BadTask
from core.tasks import Task, load_task

LARGEST = 200 * 2**20  # bytes
MOST_CLASSES = 20
FEWEST_ROWS = 10  # per class


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which column is what. `values` are the label column's, in class order."""

    text_a: str
    text_b: str | None
    label: str
    values: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Wish:
    """The task to be made. `words` are the answer words in class order; `adversarial_of` names the
    clean task of a twin; `held` is the share of the rows on which is measured.
    """

    title: str
    columns: Columns
    words: tuple[str, ...]
    held: float = 0.2
    adversarial_of: str | None = None


# --- reading -------------------------------------------------------------------------------------
def read_table(name: str, data: bytes) -> pd.DataFrame:
    """An uploaded file as a table of text. Raises: BadInput, one sentence each."""
    if len(data) > LARGEST:
        raise BadInput(f"{name} has more than {LARGEST // 2**20} MB; upload a part of it.")
    reader = _READERS.get(Path(name).suffix.lower())
    if reader is None:
        raise BadInput(f"{name} is none of {', '.join(_READERS)}.")
    table = reader(name, data)
    if len(table) == 0:
        raise BadInput(f"{name} has no rows.")
    if len(set(table.columns)) < len(table.columns):
        raise BadInput(f"{name} has two columns of the same name.")
    if "id" in table and table["id"].duplicated().any():
        first = table["id"][table["id"].duplicated()].iloc[0]
        raise BadInput(f"{name} has the id {str(first)!r} twice; ids must differ.")
    return table


def _text(name: str, data: bytes) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise BadInput(f"{name} is not UTF-8 (line {line}); save it as UTF-8.") from None
    if "\x00" in text:
        raise BadInput(f"{name} holds zero bytes; it is not a text file.")
    return text


def _separated(delimiter: str) -> Callable[[str, bytes], pd.DataFrame]:
    def read(name: str, data: bytes) -> pd.DataFrame:
        rows = csv.reader(io.StringIO(_text(name, data)), delimiter=delimiter, strict=True)
        try:
            table = [row for row in rows if row]
        except csv.Error as error:
            raise BadInput(f"{name} cannot be read at line {rows.line_num}: {error}.") from None
        if not table:
            raise BadInput(f"{name} is empty.")
        head, body = table[0], table[1:]
        for i, row in enumerate(body, start=2):
            if len(row) != len(head):
                raise BadInput(
                    f"Row {i} of {name} has {len(row)} fields, the first row {len(head)}; quote "
                    "texts that hold the separator."
                )
        return pd.DataFrame(body, columns=head, dtype=str)

    return read


def _lines(name: str, data: bytes) -> pd.DataFrame:
    rows = list[dict[str, object]]()
    for i, line in enumerate(_text(name, data).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            raise BadInput(f"Line {i} of {name} is not JSON.") from None
        if not isinstance(row, dict):
            raise BadInput(f"Line {i} of {name} is not a JSON object.")
        if rows and set(row) != set(rows[0]):
            raise BadInput(f"Line {i} of {name} has other keys than the first line.")
        rows.append(row)
    return pd.DataFrame(rows)


def _parquet(name: str, data: bytes) -> pd.DataFrame:
    try:
        return pd.read_parquet(io.BytesIO(data))
    except Exception as error:  # pyarrow raises many kinds
        reason = str(error).strip().splitlines()[0]
        raise BadInput(f"{name} is not a Parquet file: {reason}") from error


_READERS = {
    ".csv": _separated(","),
    ".tsv": _separated("\t"),
    ".jsonl": _lines,
    ".parquet": _parquet,
}


# --- checking ------------------------------------------------------------------------------------
def label_values(table: pd.DataFrame, column: str) -> tuple[str, ...]:
    """The classes of a label column, in order. Raises: BadInput if it cannot be one."""
    values = table[column]
    if values.isna().any():
        raise BadInput(f"Row {int(np.argmax(values.isna())) + 1} has no {column!r}.")
    found = sorted({_plain(v) for v in values}, key=lambda v: (len(v), v))
    if any(re.fullmatch(r"-?\d*\.\d+", v) for v in found):
        raise BadInput(f"{column!r} holds fractions such as {found[0]}; labels must be classes.")
    if not 2 <= len(found) <= MOST_CLASSES:
        raise BadInput(
            f"{column!r} has {len(found)} different values; a task has 2 to {MOST_CLASSES} classes."
        )
    return tuple(found)


def _plain(value: object) -> str:
    return re.sub(r"(?<=\d)\.0+$", "", str(value))


def check(table: pd.DataFrame, wish: Wish) -> None:
    """Whether this table can be this task. Raises: BadInput."""
    columns = wish.columns
    used = [columns.text_a, columns.label, *([columns.text_b] if columns.text_b else [])]
    if len(set(used)) < len(used):
        raise BadInput("Each column can be used once: texts and label must differ.")
    texts = table[columns.text_a].fillna("").astype(str)
    if (empty := texts.str.strip() == "").any():
        raise BadInput(f"Row {int(np.argmax(empty)) + 1} has an empty {columns.text_a!r}.")
    counts = table[columns.label].map(_plain).value_counts()
    for value in label_values(table, columns.label):
        if counts[value] < FEWEST_ROWS and wish.adversarial_of is None:
            raise BadInput(
                f"The class {value!r} has {counts[value]} rows; at least {FEWEST_ROWS} are needed."
            )
    if len(wish.words) != len(columns.values) or not all(w.strip() for w in wish.words):
        raise BadInput("Each class needs an answer word.")
    if len(set(wish.words)) < len(wish.words):
        raise BadInput("Two classes have the same answer word.")
    if not 0.05 <= wish.held <= 0.5:
        raise BadInput("Between 5 and 50 % of the rows are held out for measuring.")


# --- writing -------------------------------------------------------------------------------------
def slug(title: str) -> str:
    """A task's name from its title: letters, digits and underscores. Raises: BadInput."""
    name = re.sub(r"\W+", "_", title.strip().lower(), flags=re.ASCII).strip("_")[:40]
    name = f"task_{name}" if name[:1].isdigit() else name
    if not name.isidentifier():
        raise BadInput(f"The title {title!r} needs at least one plain letter.")
    return name


def save(folder: Path, table: pd.DataFrame, wish: Wish) -> Task:
    """Write the task's TOML and a Parquet file per split into the user's folder; all or nothing.

    Raises: BadInput, BadTask.
    """
    check(table, wish)
    name = slug(wish.title)
    try:
        load_task(name)
    except BadInput as error:
        if isinstance(error, BadTask):
            raise
    else:
        raise BadInput(f"There is already a task called {name!r}; choose another title.")
    folder.mkdir(parents=True, exist_ok=True)
    work = Path(mkdtemp(dir=folder, prefix=".new-"))
    try:
        for split, rows in _splits(table, wish).items():
            rows.to_parquet(work / f"{split}.parquet", index=False)
        (work / "task.toml").write_text(_toml(name, wish), "utf-8")
        (work / "task.toml").rename(work / f"{name}.toml")
        work.rename(folder / name)
        (folder / name / f"{name}.toml").rename(folder / f"{name}.toml")
        return load_task(name)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / f"{name}.toml").unlink(missing_ok=True)
        raise


def _splits(table: pd.DataFrame, wish: Wish) -> dict[str, pd.DataFrame]:
    """Each class divided alike, by a fixed seed; a twin is only measured on."""
    columns = wish.columns
    kept = pd.DataFrame({"text": table[columns.text_a].astype(str)})
    if columns.text_b is not None:
        kept["text_b"] = table[columns.text_b].fillna("").astype(str)
    kept["label"] = table[columns.label].map(_plain)
    if wish.adversarial_of is not None:
        return {"validation": kept}
    rng, held = np.random.default_rng(0), list[int]()
    for _, rows in kept.groupby("label", sort=True):
        order = rng.permutation(rows.index.to_numpy())
        held += order[: max(1, round(len(order) * wish.held))].tolist()
    chosen = kept.index.isin(held)
    return {"train": kept[~chosen], "validation": kept[chosen]}


def _toml(name: str, wish: Wish) -> str:
    columns = wish.columns
    lines = [
        f"title = {_string(wish.title.strip())}",
        'family = "own"',
        f"labels = {_list(columns.values)}",
        f"values = {_list(columns.values)}",
        f"data = {_string(name)}",
    ]
    if wish.adversarial_of is not None:
        lines.append(f"adversarial_of = {_string(wish.adversarial_of)}")
    splits = ["validation"] if wish.adversarial_of is not None else ["train", "validation"]
    lines += ["", "[splits]", *(f'{s} = "{s}.parquet"' for s in splits)]
    lines += ["", "[fields]", 'text_a = "text"', 'label = "label"']
    if columns.text_b is not None:
        lines.append('text_b = "text_b"')
    lines += ["", "[verbalizer]", f"default = {_list(wish.words)}", ""]
    return "\n".join(lines)


def _string(text: str) -> str:
    """A TOML string; JSON's escapes are among TOML's."""
    return json.dumps(text, ensure_ascii=True)


def _list(texts: Sequence[str]) -> str:
    return "[" + ", ".join(map(_string, texts)) + "]"
