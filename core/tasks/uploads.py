"""A user's own data: read strictly, checked whole, and only then written as a task.

Nothing in a cell is ever evaluated; formulas and scripts are text like any other.
"""

import csv
import io
import json
import re
import shutil
import tomllib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tomli_w

from core.base.errors import BadInput, BadTask, reason
from core.base.settings import Places
from core.tasks import Choice, Task, builtin_names, load_task, own_names, paper_names
from core.tasks.metrics import normal
from core.tasks.toml import NAME

LARGEST = 200 * 2**20  # bytes
MOST_CLASSES = 20
FEWEST_ROWS = 10  # different texts per class
RARER = 10  # times that a slip of a class is rarer than the class
ALIKE = 0.85  # how alike a slip and its class are (difflib's ratio)
SHORTEST = 5  # letters of a class that can have a slip in its letters


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
    clean task of an adversarial version; `held` is the share of the rows on which is measured.
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
        raise BadInput(f"{name} is not of a supported type; use {', '.join(_READERS)}.")
    table = _plain_cells(name, reader(name, data))
    if len(table) == 0 or not len(table.columns):
        raise BadInput(f"{name} has no rows.")
    if len(set(table.columns)) < len(table.columns):
        raise BadInput(f"{name} has two columns of the same name.")
    if "id" in table and table["id"].duplicated().any():
        first = table["id"][table["id"].duplicated()].iloc[0]
        raise BadInput(f"{name} has the id {str(first)!r} twice; ids must differ.")
    return table


def _plain_cells(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """Numbers, truth values, dates and text as they are, absent cells None. Raises: BadInput."""
    table = table.reset_index(drop=True).astype(object)
    table = table.where(table.notna(), None)
    table.columns = [str(c) for c in table.columns]
    for column in table.columns:
        cells = table[column] if isinstance(table[column], pd.Series) else table[column].iloc[:, 0]
        for i, cell in enumerate(cells, start=1):
            if isinstance(cell, list | tuple | dict | set | bytes | np.ndarray):
                raise BadInput(
                    f"Row {i} of {name} holds a {type(cell).__name__} as {column!r}; cells must be "
                    "texts or numbers."
                )
    return table


def _is_unicode(text: str) -> bool:
    """Whether it can be written: JSON's escapes can name halves of a surrogate pair."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


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
        how: dict[str, Any] = {"quoting": csv.QUOTE_NONE} if delimiter == "\t" else {}
        text = io.StringIO(_text(name, data), newline="")
        csv.field_size_limit(LARGEST)
        rows = csv.reader(text, delimiter=delimiter, strict=True, **how)
        try:
            table = [row for row in rows if row]
        except csv.Error as error:
            raise BadInput(f"{name} cannot be read at line {rows.line_num}: {error}.") from None
        if not table:
            raise BadInput(f"{name} is empty.")
        head, body = table[0], table[1:]
        for i, row in enumerate(body, start=1):
            if len(row) != len(head):
                raise BadInput(
                    f"Row {i} of {name} has {len(row)} fields, the heading {len(head)}; texts that "
                    "hold the separator must be quoted (CSV) or freed of it (TSV)."
                )
        return pd.DataFrame(body, columns=head, dtype=str)

    return read


def _lines(name: str, data: bytes) -> pd.DataFrame:
    rows = list[dict[str, object]]()
    for i, line in enumerate(_text(name, data).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            raise BadInput(f"Line {i} of {name} is not JSON.") from None
        if not _is_unicode(json.dumps(row, ensure_ascii=False)):
            raise BadInput(f"Line {i} of {name} holds half a character (an odd \\u escape).")
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
        raise BadInput(f"{name} is not a Parquet file: {reason(error)}") from error


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
    absent = values.map(_absent).astype(bool)
    if absent.any():
        raise BadInput(f"Row {int(np.argmax(absent)) + 1} has no {column!r}.")
    kinds = {"text" if isinstance(v, str) else type(v).__name__ for v in values}
    if len(kinds) > 1:
        raise BadInput(
            f"{column!r} mixes {' and '.join(sorted(kinds))}; labels must all have the same type."
        )
    for value in values:
        if isinstance(value, float) and not value.is_integer():
            raise BadInput(f"{column!r} holds fractions such as {value}; labels must be classes.")
    found = sorted({plain_value(v) for v in values}, key=lambda v: (len(v), v))
    if fraction := next((v for v in found if re.fullmatch(r"-?\d*\.\d+(e[+-]?\d+)?", v)), None):
        raise BadInput(f"{column!r} holds fractions such as {fraction}; labels must be classes.")
    if not 2 <= len(found) <= MOST_CLASSES:
        raise BadInput(
            f"{column!r} has {len(found)} different values; a task has 2 to {MOST_CLASSES} classes."
        )
    return tuple(found)


def with_plain_labels(table: pd.DataFrame, label: str) -> pd.DataFrame:
    """The table with its labels as text, absent ones None, so that they can be typed."""
    cells = [None if _absent(v) else plain_value(v) for v in table[label]]
    return table.assign(**{label: pd.Series(cells, index=table.index, dtype=object)})


def problems(
    table: pd.DataFrame, text_a: str, label: str, text_b: str | None = None
) -> "pd.Series[str]":
    """What is wrong with the rows that cannot be used as they are, in words, by the table's index.
    A second text may be empty.
    """
    no_text = _texts(table[text_a]).str.strip() == ""
    no_label = table[label].map(_absent).astype(bool)
    bad = table.index[no_text | no_label]
    said = [
        " and ".join([*["no text"] * bool(no_text[i]), *["no label"] * bool(no_label[i])])
        for i in bad
    ]
    return pd.Series(said, index=bad, dtype=object)


def corrected(table: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """The table with the cells of some rows, known by their index, as in `rows`."""
    new = table.copy()
    for column in rows.columns:
        new[column] = new[column].astype(object)
        new.loc[rows.index, column] = rows[column]
    return new


@dataclass(frozen=True, kw_only=True)
class Slip:
    """A class that looks like a slip of another: `sure` if they differ only in case, punctuation
    and spacing, else they differ by a few letters.
    """

    value: str
    of: str
    rows: int
    sure: bool


def slips(table: pd.DataFrame, label: str) -> list[Slip]:
    """The classes that look like slips of another one that is ten times as frequent and no slip
    itself. Words of opposite meaning often look alike, so a slip begins as its class does, has the
    same digits and at least five letters; of shorter words, only two swapped neighbours and a
    doubled letter are slips.
    """
    known = table[label][~table[label].map(_absent).astype(bool)]
    counts = known.map(plain_value).value_counts()
    found, sound = list[Slip](), list[str]()
    for name, rows in counts.items():
        value = str(name)
        likely = next((v for v in sound if _alike(value, v) and counts[v] >= RARER * rows), None)
        if likely is None:
            sound.append(value)
        else:
            sure = normal(value) == normal(likely)
            found.append(Slip(value=value, of=likely, rows=int(rows), sure=sure))
    return found


def _alike(one: str, other: str) -> bool:
    a, b = normal(one), normal(other)
    if not a or not b or re.findall(r"\d+", a) != re.findall(r"\d+", b):
        return False
    if a == b:
        return True
    if a[0] != b[0]:
        return False
    if min(len(a), len(b)) < SHORTEST:
        return min(len(a), len(b)) > 2 and _fumbled(a, b)
    return SequenceMatcher(a=a, b=b).ratio() >= ALIKE


def _fumbled(one: str, other: str) -> bool:
    """Whether two neighbouring letters are swapped, or one is doubled."""
    long, short = (one, other) if len(one) > len(other) else (other, one)
    if len(long) == len(short):
        swaps = (
            short[:i] + short[i + 1] + short[i] + short[i + 2 :] for i in range(len(short) - 1)
        )
        return long in swaps
    return any(short[:i] + short[i - 1 : i] + short[i:] == long for i in range(1, len(short) + 1))


def merged(table: pd.DataFrame, label: str, into: Mapping[str, str]) -> pd.DataFrame:
    """The table with some classes' rows given to others; absent labels stay absent."""
    cells = [None if _absent(v) else into.get(plain_value(v), plain_value(v)) for v in table[label]]
    return table.assign(**{label: pd.Series(cells, index=table.index, dtype=object)})


def _absent(value: object) -> bool:
    return value is None or value != value or not str(value).strip()


def plain_value(value: object) -> str:
    """A label cell as text: whole numbers without decimals."""
    return re.sub(r"(?<=\d)\.0+$", "", str(value).strip())


def check(table: pd.DataFrame, wish: Wish) -> None:
    """Whether this table can be this task. Raises: BadInput."""
    columns = wish.columns
    used = [columns.text_a, columns.label, *([columns.text_b] if columns.text_b else [])]
    if len(set(used)) < len(used):
        raise BadInput("Each column can be used once: texts and label must differ.")
    texts = _texts(table[columns.text_a])
    if (empty := texts.str.strip() == "").any():
        raise BadInput(f"Row {int(np.argmax(empty)) + 1} has an empty {columns.text_a!r}.")
    both = table[[columns.text_a, *([columns.text_b] if columns.text_b else [])]]
    same = both.agg(lambda row: normal(" ".join(map(str, row))), axis=1)
    counts = same.groupby(table[columns.label].map(plain_value)).nunique()
    for value in label_values(table, columns.label):
        if counts[value] < FEWEST_ROWS and wish.adversarial_of is None:
            raise BadInput(
                f"The class {value!r} has {counts[value]} different texts; at least {FEWEST_ROWS} "
                "are needed."
            )
    if len(wish.words) != len(columns.values) or not all(w.strip() for w in wish.words):
        raise BadInput("Each class needs an answer word.")
    if len(set(wish.words)) < len(wish.words):
        raise BadInput("Two classes have the same answer word.")
    if not 0.05 <= wish.held <= 0.5:
        raise BadInput("Between 5 and 50% of the rows are held out for measuring.")


# --- writing -------------------------------------------------------------------------------------
def slug(title: str) -> str:
    """A task's name from its title: letters, digits and underscores. Raises: BadInput."""
    name = re.sub(r"\W+", "_", title.strip().lower(), flags=re.ASCII).strip("_")[:40]
    name = f"task_{name}" if name[:1].isdigit() else name
    if not name.isidentifier():
        raise BadInput(f"The title {title!r} needs at least one plain letter.")
    return name


def save(places: Places, table: pd.DataFrame, wish: Wish) -> Task:
    """Write the task's TOML and a Parquet file per split among the user's tasks; all or nothing.

    Raises: BadInput, BadTask.
    """
    check(table, wish)
    _new_title(places, wish.title)
    return _write(places, slug(wish.title), _splits(table, wish), _entries(wish))


def save_version(places: Places, table: pd.DataFrame, clean: Task, title: str) -> Task:
    """The same for an adversarial version, with the clean task's classes, answer words and
    templates. Columns: text, text_b for pairs, label (the clean task's value), attack.

    Raises: BadInput, BadTask.
    """
    assert isinstance(clean.answer, Choice)
    _new_title(places, title)
    if (empty := table["text"].str.strip() == "").any():
        raise BadInput(f"Row {int(np.argmax(empty)) + 1} has an empty text.")
    entries = {
        "title": title.strip(),
        "category": clean.category,
        "labels": list(clean.labels),
        "values": list(clean.values),
        "adversarial_of": clean.name,
        "fields": {"text_a" if name == "text" else name: name for name in table.columns},
        "verbalizer": {family: list(words) for family, words in clean.answer.verbalizer.items()},
        "template": {family: asdict(found) for family, found in clean.templates.items()},
    }
    return _write(places, slug(title), {"validation": table}, entries)


def rename(places: Places, task: Task, title: str) -> None:
    """Give a user's own task another title; its name and its answers stay, and so does the rest of
    its TOML. Raises: BadInput.
    """
    file, new = _own_file(places, task), title.strip()
    if not new:
        raise BadInput("Enter a title.")
    _new_title(places, new, but=task.name)
    text = file.read_text("utf-8")
    line = tomli_w.dumps({"title": new})
    changed, found = re.subn(r"(?m)^title\s*=.*$\n?", lambda _: line, text, count=1)
    changed = changed if found else line + text
    entries = tomllib.loads(text)
    if tomllib.loads(changed) != {**entries, "title": new}:  # a title of several lines
        changed = tomli_w.dumps({**entries, "title": new})
    part = file.with_suffix(".part")
    part.write_text(changed, "utf-8")
    part.replace(file)


def _new_title(places: Places, title: str, but: str = "") -> None:
    """Whether no other task has this title. Raises: BadInput."""
    for name in (*builtin_names(), *paper_names(), *own_names(places)):
        other = load_task(name, places).title
        if name != but and other.casefold() == title.strip().casefold():
            raise BadInput(f"There is already a task with the title {other!r}; choose another.")


def files_of(places: Places, task: Task) -> list[Path]:
    """What deleting a user's own task deletes: its TOML, and those of its data that lie in a folder
    of its name beside it. Raises: BadInput for a task that is not the user's own.
    """
    file = _own_file(places, task)
    folder = places.tasks / file.stem
    return [file, *(f for f in task.splits.values() if f.parent == folder.resolve())]


def remove(places: Places, task: Task) -> None:
    """Delete a user's own task with `files_of` it. Raises: BadInput if another TOML names it or
    its data.
    """
    file, *data = files_of(places, task)
    named = re.compile(rf"""(?m)^\s*(adversarial_of|data)\s*=\s*["']{re.escape(file.stem)}["']""")
    for other in sorted(places.tasks.glob("*.toml")):
        if other != file and other.is_file() and named.search(other.read_text("utf-8", "replace")):
            raise BadInput(f"{other.name} needs this task; delete that one first.")
    file.unlink()
    for one in data:
        one.unlink(missing_ok=True)
    with suppress(OSError):  # what else lies there is not the task's
        (places.tasks / file.stem).rmdir()


def _own_file(places: Places, task: Task) -> Path:
    """The TOML of a task among the user's own. Raises: BadInput for any other."""
    file = places.tasks / f"{task.name}.toml"
    if not NAME.fullmatch(task.name) or not file.is_file() or file.is_symlink():
        raise BadInput(f"{task.title} is not one of your own tasks.")
    return file


def _write(
    places: Places, name: str, splits: dict[str, pd.DataFrame], entries: dict[str, Any]
) -> Task:
    """A task of this name: its TOML with these entries, and its splits."""
    folder = places.tasks
    try:
        load_task(name, places)
    except BadInput as error:
        if isinstance(error, BadTask):
            raise
    else:
        title = load_task(name, places).title
        raise BadInput(
            f"There is already a task called {name!r}, with the title {title!r}; choose another "
            "title."
        )
    files = {split: f"{split}.parquet" for split in splits}
    text = tomli_w.dumps({"data": name, "splits": files, **entries})
    folder.mkdir(parents=True, exist_ok=True)
    try:
        (folder / name).mkdir()  # the name is ours from here on: nobody else's can be made so
    except FileExistsError:
        raise BadInput(
            f"A folder {name!r} lies among your tasks already; choose another title."
        ) from None
    try:
        for split, rows in splits.items():
            rows.to_parquet(folder / name / files[split], index=False)
        with (folder / f"{name}.toml").open("x", encoding="utf-8") as file:
            file.write(text)
    except BaseException:
        shutil.rmtree(folder / name, ignore_errors=True)
        raise
    try:
        return load_task(name, places)
    except BaseException:
        (folder / f"{name}.toml").unlink(missing_ok=True)
        shutil.rmtree(folder / name, ignore_errors=True)
        raise


def _splits(table: pd.DataFrame, wish: Wish) -> dict[str, pd.DataFrame]:
    """Each class divided alike, by a fixed seed; an adversarial version is only measured on. Rows
    of the same text stay together, so that no text is in both splits.
    """
    columns = wish.columns
    kept = pd.DataFrame({"text": _texts(table[columns.text_a])})
    if columns.text_b is not None:
        kept["text_b"] = _texts(table[columns.text_b])
    kept["label"] = table[columns.label].map(plain_value)
    if wish.adversarial_of is not None:
        return {"validation": kept}
    rng, held = np.random.default_rng(0), list[str]()
    same = kept.drop(columns="label").agg(lambda row: normal(" ".join(row)), axis=1)
    first = ~same.duplicated()
    for _, rows in same[first].groupby(kept.label[first], sort=True):
        order = rng.permutation(rows.to_numpy())
        held += order[: max(1, round(len(order) * wish.held))].tolist()
    chosen = same.isin(held)
    return {"train": kept[~chosen], "validation": kept[chosen]}


def _texts(column: "pd.Series[Any]") -> "pd.Series[str]":
    """Cells as text; absent ones are empty."""
    return column.map(lambda cell: "" if cell is None or cell != cell else str(cell))


def _entries(wish: Wish) -> dict[str, Any]:
    """What a wished task's TOML says, but for where the data are."""
    columns = wish.columns
    fields = {"text_a": "text", "label": "label"}
    return {
        "title": wish.title.strip(),
        "category": "own",
        "labels": list(columns.values),
        "values": list(columns.values),
        **({} if wish.adversarial_of is None else {"adversarial_of": wish.adversarial_of}),
        "fields": fields if columns.text_b is None else {**fields, "text_b": "text_b"},
        "verbalizer": {"default": list(wish.words)},
    }
