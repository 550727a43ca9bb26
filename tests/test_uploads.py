"""A user's own data: what becomes a task, and what is refused without a trace."""

import json
from pathlib import Path

import pandas as pd
import pytest

from core.data import load_split
from core.errors import BadInput
from core.tasks import load_task, own_names, pin_task
from core.uploads import Columns, Wish, label_values, read_table, save, slug

ROWS = [("fine, really", "good"), ('a "dull" film', "bad")] * 20


def as_csv(rows: list[tuple[str, str]] = ROWS) -> bytes:
    return pd.DataFrame(rows, columns=["words", "verdict"]).to_csv(index=False).encode()


def wish(title: str = "My reviews", **changes: object) -> Wish:
    columns = Columns(text_a="words", text_b=None, label="verdict", values=("bad", "good"))
    return Wish(**{"title": title, "columns": columns, "words": ("poor", "great"), **changes})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SKILLSCOPE_TASKS", str(tmp_path / "tasks"))
    return tmp_path / "tasks"


# --- what becomes a task -------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_every_kind_of_file_becomes_the_same_task(folder: Path, tmp_path: Path, kind: str) -> None:
    table = pd.DataFrame(ROWS, columns=["words", "verdict"])
    if kind == "parquet":
        table.to_parquet(tmp_path / "x.parquet")
        data = (tmp_path / "x.parquet").read_bytes()
    elif kind == "jsonl":
        data = table.to_json(orient="records", lines=True).encode()
    else:
        data = table.to_csv(index=False, sep="," if kind == "csv" else "\t").encode()
    task = save(folder, read_table(f"x.{kind}", data), wish())
    assert own_names() == ("my_reviews",)
    train, held = load_split(task, "train"), load_split(task, "validation")
    assert (len(train), len(held)) == (32, 8)
    assert held.labels.sum() == 4, "each class is divided alike"
    assert set(train.text_a) == {"fine, really", 'a "dull" film'}
    assert task.words("roberta") == task.words("t5") == ("poor", "great")
    assert task.labels == ("bad", "good")


def test_a_pair_and_a_twin(folder: Path) -> None:
    pairs = pd.DataFrame({"a": ["x"] * 30, "b": ["y", None, "z"] * 10, "l": [0, 1] * 15})
    columns = Columns(text_a="a", text_b="b", label="l", values=("0", "1"))
    clean = save(folder, pairs, Wish(title="Pairs", columns=columns, words=("no", "yes")))
    assert clean.pair
    twin = save(
        folder, pairs.head(6),
        Wish(title="Pairs attacked", columns=columns, words=("no", "yes"), adversarial_of="pairs"),
    )  # fmt: skip
    assert twin.adversarial_of == "pairs"
    assert list(twin.splits) == ["validation"]
    assert len(load_split(twin, "validation")) == 6
    assert pin_task(twin) != pin_task(clean)


def test_formulas_and_scripts_are_text(folder: Path) -> None:
    cells = ['=HYPERLINK("http://x")', "<script>alert(1)</script>", "'; DROP TABLE prompt; --"]
    rows = [(c, v) for c in cells for v in ("good", "bad")] * 10
    title = 'Odd "title"\n[verbalizer]\ndefault = 1'
    task = save(folder, read_table("x.csv", as_csv(rows)), wish(title))
    assert set(load_split(task, "train").text_a) == set(cells)
    assert task.title == title


# --- what is refused -----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("x.csv", "words,verdict\nna\xefve,good\n".encode("latin-1"), "not UTF-8 (line 2)"),
        ("x.csv", b"words,verdict\nfine,good,extra\n", "Row 2 of x.csv has 3 fields"),
        ("x.csv", b"words,verdict\nfine\n", "Row 2 of x.csv has 1 fields"),
        ("x.csv", b"", "is empty"),
        ("x.csv", b"words,verdict\n", "no rows"),
        ("x.csv", b'words,verdict\n"open,good\n', "cannot be read at line"),
        ("x.csv", b"a\x00b,c\n", "zero bytes"),
        ("x.csv", b"a,a\n1,2\n", "two columns of the same name"),
        ("x.csv", b"id,words\n1,a\n1,b\n", "the id '1' twice"),
        ("x.jsonl", b'{"a": 1}\n{"b": 1}\n', "Line 2 of x.jsonl has other keys"),
        ("x.jsonl", b"[1]\n", "not a JSON object"),
        ("x.jsonl", b"{\n", "not JSON"),
        ("x.parquet", b"PAR1 or not", "not a Parquet file"),
        ("x.xlsx", b"PK", "none of .csv"),
        ("x", b"", "none of .csv"),
    ],
)
def test_a_bad_file_is_refused_in_one_sentence(name: str, data: bytes, said: str) -> None:
    with pytest.raises(BadInput) as error:
        read_table(name, data)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.uploads.LARGEST", 10 * 2**20)
    with pytest.raises(BadInput, match="more than 10 MB"):
        read_table("x.csv", b"a" * (10 * 2**20 + 1))


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["a"] * 40, "1 different values"),
        ([0.25, 0.5] * 20, "fractions"),
        ([str(i) for i in range(40)], "40 different values"),
        (["a", None] * 20, "Row 2 has no"),
    ],
)
def test_a_column_that_holds_no_classes(labels: list[object], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        label_values(pd.DataFrame({"l": labels}), "l")


def test_labels_written_as_whole_floats_are_classes() -> None:
    assert label_values(pd.DataFrame({"l": [0.0, 1.0]}), "l") == ("0", "1")


@pytest.mark.parametrize(
    ("rows", "changes", "said"),
    [
        ([*ROWS, ("  ", "good")], {}, "Row 41 has an empty"),
        ([*ROWS[:3], *[("fine", "good")] * 20], {}, "'bad' has 1 rows"),
        (ROWS, {"words": ("same", "same")}, "same answer word"),
        (ROWS, {"words": ("one", " ")}, "needs an answer word"),
        (ROWS, {"held": 0.9}, "Between 5 and 50 %"),
        (ROWS, {"title": "!!!"}, "at least one plain letter"),
        (ROWS, {"title": "sst2"}, "already a task"),
        (ROWS, {"columns": Columns(text_a="words", text_b="words", label="verdict",
                                   values=("bad", "good"))}, "used once"),
    ],
)  # fmt: skip
def test_a_wish_that_cannot_be_leaves_nothing_behind(
    folder: Path, rows: list[tuple[str, str]], changes: dict[str, object], said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        save(folder, read_table("x.csv", as_csv(rows)), wish(**changes))
    assert not folder.exists() or list(folder.iterdir()) == []


def test_a_crash_while_writing_leaves_nothing_behind(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.uploads._toml", lambda name, wish: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save(folder, read_table("x.csv", as_csv()), wish())
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("My reviews", "my_reviews"),
        ("../../etc", "etc"),
        ("2nd try", "task_2nd_try"),
        ("A/B", "a_b"),
    ],
)
def test_a_title_never_becomes_a_path(title: str, name: str) -> None:
    assert slug(title) == name


def test_json_numbers_and_text_labels(folder: Path) -> None:
    lines = "\n".join(json.dumps({"words": f"w{i}", "verdict": i % 2}) for i in range(40))
    columns = Columns(text_a="words", text_b=None, label="verdict", values=("0", "1"))
    task = save(folder, read_table("x.jsonl", lines.encode()), wish(columns=columns))
    assert load_task("my_reviews") == task
    assert load_split(task, "validation").labels.tolist().count(1) == 4
