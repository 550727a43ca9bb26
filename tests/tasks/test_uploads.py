"""A user's own data: what becomes a task, and what is refused without a trace."""

import csv
import json
import threading
from pathlib import Path

import pandas as pd
import pytest

from core.base.errors import BadInput, UnknownName
from core.base.settings import Places, Settings
from core.tasks import load_task, own_names, pin_task, uploads
from core.tasks.data import load_split, overlap
from core.tasks.uploads import Columns, Wish, label_values, read_table, save, slug

ROWS = [row for i in range(20)
        for row in ((f"fine, really {i}", "good"), (f'a "dull" film {i}', "bad"))]  # fmt: skip


def as_csv(rows: list[tuple[str, str]] = ROWS) -> bytes:
    return pd.DataFrame(rows, columns=["words", "verdict"]).to_csv(index=False).encode()


def wish(title: str = "My reviews", **changes: object) -> Wish:
    columns = Columns(text_a="words", text_b=None, label="verdict", values=("bad", "good"))
    return Wish(**{"title": title, "columns": columns, "words": ("poor", "great"), **changes})


def places() -> Places:
    return Settings.from_env().places


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
        how = {} if kind == "csv" else {"sep": "\t", "quoting": csv.QUOTE_NONE}
        data = table.to_csv(index=False, **how).encode()
    task = save(places(), read_table(f"x.{kind}", data), wish())
    assert own_names() == ("my_reviews",)
    train, held = load_split(task, "train"), load_split(task, "validation")
    assert (len(train), len(held)) == (32, 8)
    assert held.labels.sum() == 4, "each class is divided alike"
    assert {*train.text_a, *held.text_a} == {text for text, _ in ROWS}
    assert not {*train.text_a} & {*held.text_a}
    assert task.words("roberta") == task.words("t5") == ("poor", "great")
    assert task.labels == ("bad", "good")


def test_a_pair_and_a_twin(folder: Path) -> None:
    pairs = pd.DataFrame(
        {"a": [f"x{i}" for i in range(30)], "b": ["y", None, "z"] * 10, "l": [0, 1] * 15}
    )
    columns = Columns(text_a="a", text_b="b", label="l", values=("0", "1"))
    pairs = read_table("x.jsonl", pairs.to_json(orient="records", lines=True).encode())
    clean = save(places(), pairs, Wish(title="Pairs", columns=columns, words=("no", "yes")))
    assert clean.pair
    twin = save(
        places(), pairs.head(6),
        Wish(title="Pairs attacked", columns=columns, words=("no", "yes"), adversarial_of="pairs"),
    )  # fmt: skip
    assert twin.adversarial_of == "pairs"
    assert list(twin.splits) == ["validation"]
    assert len(load_split(twin, "validation")) == 6
    assert pin_task(twin, "roberta") != pin_task(clean, "roberta")


def test_formulas_and_scripts_are_text(folder: Path) -> None:
    cells = ['=HYPERLINK("http://x")', "<script>alert(1)</script>", "'; DROP TABLE prompt; --"]
    rows = [(f"{c} {i}{v}", v) for c in cells for v in ("good", "bad") for i in range(10)]
    title = 'Odd "title"\n[verbalizer]\ndefault = 1'
    task = save(places(), read_table("x.csv", as_csv(rows)), wish(title))
    kept = {*load_split(task, "train").text_a, *load_split(task, "validation").text_a}
    assert kept == {text for text, _ in rows}
    assert task.title == title


# --- what is refused -----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("x.csv", "words,verdict\nna\xefve,good\n".encode("latin-1"), "not UTF-8 (line 2)"),
        ("x.csv", b"words,verdict\nfine,good,extra\n", "Row 1 of x.csv has 3 fields"),
        ("x.csv", b"words,verdict\nfine\n", "Row 1 of x.csv has 1 fields"),
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
        ("x.xlsx", b"PK", "not of a supported type; use .csv"),
        ("x", b"", "not of a supported type; use .csv"),
    ],
)
def test_a_bad_file_is_refused_in_one_sentence(name: str, data: bytes, said: str) -> None:
    with pytest.raises(BadInput) as error:
        read_table(name, data)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.tasks.uploads.LARGEST", 10 * 2**20)
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
        ([*ROWS[:3], *[("fine", "good")] * 20], {}, "'bad' has 1 different texts"),
        (ROWS, {"words": ("same", "same")}, "same answer word"),
        (ROWS, {"words": ("one", " ")}, "needs an answer word"),
        (ROWS, {"held": 0.9}, "Between 5 and 50%"),
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
        save(places(), read_table("x.csv", as_csv(rows)), wish(**changes))
    assert not folder.exists() or list(folder.iterdir()) == []


def test_a_crash_while_writing_leaves_nothing_behind(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = pd.DataFrame.to_parquet
    written: list[Path] = []

    def second_fails(table: pd.DataFrame, path: Path, **how: object) -> None:
        write(table, path, **how)
        written.append(path)
        assert len(written) < 2, "the disk is full"

    monkeypatch.setattr(pd.DataFrame, "to_parquet", second_fails)
    with pytest.raises(AssertionError, match="the disk is full"):
        save(places(), read_table("x.csv", as_csv()), wish())
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
    task = save(places(), read_table("x.jsonl", lines.encode()), wish(columns=columns))
    assert load_task("my_reviews") == task
    assert load_split(task, "validation").labels.tolist().count(1) == 4


def test_what_others_have_in_the_folder_is_left_alone(folder: Path) -> None:
    theirs = folder / "my_reviews"
    theirs.mkdir(parents=True)
    (theirs / "precious.csv").write_text("years of work")
    with pytest.raises(BadInput, match="A folder 'my_reviews' lies among your tasks already"):
        save(places(), read_table("x.csv", as_csv()), wish())
    assert (theirs / "precious.csv").read_text() == "years of work"
    assert list(folder.iterdir()) == [theirs]


def test_of_several_savers_of_one_title_one_wins_and_keeps_its_files(folder: Path) -> None:
    table, ends = read_table("x.csv", as_csv()), list[str]()

    def run() -> None:
        try:
            ends.append(save(places(), table, wish()).name)
        except BadInput:
            ends.append("refused")

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ends) == ["my_reviews", "refused", "refused", "refused"]
    assert len(load_split(load_task("my_reviews"), "train")) == 32


def test_rows_of_one_text_stay_on_one_side(folder: Path) -> None:
    rows = [(f"{'Fine' if i % 2 else 'fine'} {i // 4}!", "good") for i in range(60)]
    rows += [(f"dull {i}", "bad") for i in range(20)]
    task = save(places(), read_table("x.csv", as_csv(rows)), wish())
    assert overlap(load_split(task, "train"), load_split(task, "validation")) == 0


@pytest.mark.parametrize(
    "text",
    ['"', "\\", "\x00\x01\x1f\x7f", "a\nb\r\n", "a\u2028b\u2029c", "\N{PILE OF POO}", "'''", '"""'],
)
def test_any_title_and_answer_word_comes_back(folder: Path, text: str) -> None:
    task = save(
        places(), read_table("x.csv", as_csv()), wish(f"My {text} title", words=(text, "b"))
    )
    assert (task.title, task.words("t5")) == (f"My {text} title".strip(), (text, "b"))


def test_a_repeated_index_does_not_change_the_split(folder: Path, tmp_path: Path) -> None:
    table = pd.DataFrame(ROWS, columns=["words", "verdict"])
    pd.concat([table.iloc[:20], table.iloc[20:].set_index(table.index[:20])]).to_parquet(
        tmp_path / "x.parquet"
    )
    task = save(places(), read_table("x.parquet", (tmp_path / "x.parquet").read_bytes()), wish())
    assert (len(load_split(task, "train")), len(load_split(task, "validation"))) == (32, 8)


def test_emoji_and_control_characters_can_be_titles_labels_and_words(folder: Path) -> None:
    rows = [(text, "\N{THUMBS UP SIGN}" if v == "good" else "\x7fbad") for text, v in ROWS]
    table = read_table("x.csv", as_csv(rows))
    columns = Columns(
        text_a="words", text_b=None, label="verdict", values=label_values(table, "verdict")
    )
    task = save(places(), table, wish("Reviews \N{THUMBS UP SIGN}", columns=columns))
    assert task.title == "Reviews \N{THUMBS UP SIGN}"
    assert set(task.labels) == {"\N{THUMBS UP SIGN}", "\x7fbad"}


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["a", ""] * 20, "Row 2 has no"),
        (["a", " "] * 20, "Row 2 has no"),
        ([1, "1"] * 20, "mixes int and text"),
        ([1, True] * 20, "mixes bool and int"),
        ([1e-5, 1e-6] * 20, "fractions"),
        (["1e-5", "2.5"] * 20, "fractions"),
        ([1.0, float("inf")] * 20, "fractions"),
    ],
)
def test_labels_of_no_one_kind(labels: list[object], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        label_values(pd.DataFrame({"l": pd.Series(labels, dtype=object)}), "l")


def test_blanks_around_a_label_do_not_make_a_class() -> None:
    assert label_values(pd.DataFrame({"l": ["good", " good", "bad "]}), "l") == ("bad", "good")


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("x.jsonl", b"[" * 100_000, "not JSON"),
        ("x.jsonl", b"{}\n{}\n", "no rows"),
        ("x.jsonl", b'{"a": "\\ud800"}\n', "half a character"),
        ("x.jsonl", b'{"a": [1]}\n', "holds a list"),
        ("x.jsonl", b'{"a": {"b": 1}}\n', "holds a dict"),
    ],
)
def test_odd_json_is_one_sentence(name: str, data: bytes, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        read_table(name, data)


def test_binary_cells_are_refused(tmp_path: Path) -> None:
    pd.DataFrame({"a": [b"\xff", b"b"]}).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(BadInput, match="holds a bytes"):
        read_table("x.parquet", (tmp_path / "x.parquet").read_bytes())


def test_a_line_separator_inside_a_text_is_text() -> None:
    table = read_table("x.jsonl", '{"a": "one\u2028two"}\n{"a": "b"}\n'.encode())
    assert list(table.a) == ["one\u2028two", "b"]


def test_quotes_mean_nothing_in_a_tsv() -> None:
    table = read_table("x.tsv", b'a\tb\n"open\t1\nclosed"\t2\n')
    assert table.to_numpy().tolist() == [['"open', "1"], ['closed"', "2"]]


def test_a_long_text_is_read() -> None:
    assert len(read_table("x.csv", b"a,b\n" + b"w" * 200_000 + b",1\n").a[0]) == 200_000


# --- rows and classes that need a look -----------------------------------------------------------
MESSY = pd.DataFrame(
    {
        "words": ["fine", "", "dull", "  ", "grand", None],
        "verdict": ["good", "bad", None, "", "good", "bad"],
    }
)


def test_all_bad_rows_are_listed_with_what_they_lack() -> None:
    found = uploads.problems(MESSY, "words", "verdict")
    assert found.to_dict() == {
        1: "no text", 2: "no label", 3: "no text and no label", 5: "no text",
    }  # fmt: skip
    assert uploads.problems(MESSY.iloc[[0, 4]], "words", "verdict").empty


def test_corrected_cells_are_put_back_and_nothing_else_changes() -> None:
    rows = MESSY.loc[[1, 2], ["words", "verdict"]].copy()
    rows.loc[1, "words"] = "awful"
    rows.loc[2, "verdict"] = "bad"
    table = uploads.corrected(MESSY, rows)
    assert table.words.tolist()[:3] == ["fine", "awful", "dull"]
    assert table.verdict.tolist()[:3] == ["good", "bad", "bad"]
    assert uploads.problems(table, "words", "verdict").index.tolist() == [3, 5]
    assert MESSY.words[1] == "", "the file's own table is as it was"


def test_labels_that_are_numbers_are_corrected_as_text() -> None:
    lines = "\n".join(
        json.dumps({"words": f"text {i}", "l": None if i == 3 else i % 2}) for i in range(40)
    )
    table = uploads.with_plain_labels(read_table("x.jsonl", lines.encode()), "l")
    assert uploads.problems(table, "words", "l").to_dict() == {3: "no label"}
    fixed = uploads.corrected(table, pd.DataFrame({"l": ["1"]}, index=[3]))
    assert label_values(fixed, "l") == ("0", "1")
    merged = uploads.merged(table, "l", {"1": "0"})
    assert merged.l[3] is None, "an absent label is no class"


def counted(labels: dict[str, int]) -> pd.DataFrame:
    return pd.DataFrame({"l": [label for label, n in labels.items() for _ in range(n)]})


@pytest.mark.parametrize(
    ("value", "of", "sure"),
    [("positve", "positive", False), ("Positive ", "positive", True), ("YES", "yes", True),
     ("not entailment", "not_entailment", True), ("negativ", "negative", False),
     ("bda", "bad", False), ("badd", "bad", False), ("yse", "yes", False),
     ("goood", "good", False)],
)  # fmt: skip
def test_rare_classes_that_look_like_slips_are_named(value: str, of: str, sure: bool) -> None:
    table = counted({of: 300, "other": 200, value: 12})
    (slip,) = uploads.slips(table, "l")
    assert (slip.value, slip.of, slip.rows, slip.sure) == (value.strip(), of, 12, sure)
    assert set(uploads.merged(table, "l", {slip.value: slip.of}).l) == {of, "other"}


@pytest.mark.parametrize(
    ("one", "other"),
    [("entailment", "not_entailment"), ("relevant", "irrelevant"), ("helpful", "unhelpful"),
     ("legal", "illegal"), ("possible", "impossible"), ("male", "female"), ("5 stars", "1 star"),
     ("class 1", "class 2"), ("level_1", "level_2"), ("like", "dislike"), ("1", "11"),
     ("no", "now"), ("positive", "negative"), ("bad", "bat"), ("glad", "sad"), ("no", "on"),
     ("up", "upp")],
)  # fmt: skip
def test_other_classes_are_no_slips(one: str, other: str) -> None:
    for frequent, rare in ((one, other), (other, one)):
        assert uploads.slips(counted({frequent: 300, rare: 20}), "l") == []


def test_a_slip_of_a_slip_is_one_of_the_class() -> None:
    table = counted({"positive": 1000, "negative": 900, "positve": 90, "postve": 9})
    assert {s.value: s.of for s in uploads.slips(table, "l")} == {
        "positve": "positive", "postve": "positive",
    }  # fmt: skip


def test_two_frequent_classes_are_never_a_slip_of_each_other() -> None:
    assert uploads.slips(counted({"positive": 30, "positve": 29}), "l") == []


# --- one's own tasks -----------------------------------------------------------------------------
def test_a_renamed_task_keeps_its_name_and_its_answers(folder: Path) -> None:
    task = save(places(), read_table("x.csv", as_csv()), wish())
    before = pin_task(task, "roberta")
    toml = folder / "my_reviews.toml"
    toml.write_text("# A remark.\n" + toml.read_text())
    uploads.rename(places(), task, "  Other title ")
    again = load_task("my_reviews")
    assert again.title == "Other title"
    assert toml.read_text().startswith("# A remark.\n"), "the rest of the file is as it was"
    assert pin_task(again, "roberta") == before
    assert sorted(f.name for f in folder.iterdir()) == ["my_reviews", "my_reviews.toml"]
    with pytest.raises(BadInput, match="Enter a title"):
        uploads.rename(places(), again, " ")
    with pytest.raises(BadInput, match="already a task with the title 'Opinions'"):
        uploads.rename(places(), again, "OPINIONS ")
    with pytest.raises(BadInput, match="already a task called 'my_reviews', with the title 'Other"):
        save(places(), read_table("x.csv", as_csv()), wish())
    with pytest.raises(BadInput, match="already a task with the title 'Other title'"):
        save(places(), read_table("x.csv", as_csv()), wish("Other Title"))


def test_a_task_is_deleted_after_its_versions(folder: Path) -> None:
    task = save(places(), read_table("x.csv", as_csv()), wish())
    version = save(
        places(), read_table("x.csv", as_csv()), wish("Attacked", adversarial_of=task.name)
    )
    with pytest.raises(BadInput, match=r"attacked\.toml needs this task"):
        uploads.remove(places(), task)
    uploads.remove(places(), version)
    uploads.remove(places(), task)
    assert list(folder.iterdir()) == []
    with pytest.raises(UnknownName):
        load_task("my_reviews")


def test_only_own_tasks_are_renamed_or_deleted(folder: Path) -> None:
    for change in (uploads.remove, lambda p, t: uploads.rename(p, t, "x")):
        with pytest.raises(BadInput, match="is not one of your own tasks"):
            change(places(), load_task("opinions"))
    assert load_task("opinions").ready


def test_deleting_a_task_leaves_alone_what_is_not_its_own(folder: Path) -> None:
    task = save(places(), read_table("x.csv", as_csv()), wish())
    toml, notes = folder / "my_reviews.toml", folder / "my_reviews" / "notes.txt"
    notes.write_text("mine")
    other = folder / "other.toml"
    other.write_text(toml.read_text().replace("My reviews", "Other"))
    assert [f.name for f in uploads.files_of(places(), task)] == [
        "my_reviews.toml", "train.parquet", "validation.parquet",
    ]  # fmt: skip
    with pytest.raises(BadInput, match=r"other\.toml needs this task"):
        uploads.remove(places(), task)
    other.write_text("adversarial_of = 'my_reviews'\nbroken = [")
    with pytest.raises(BadInput, match=r"other\.toml needs this task"):
        uploads.remove(places(), task)
    other.unlink()
    uploads.remove(places(), task)
    assert sorted(f.name for f in folder.rglob("*")) == ["my_reviews", "notes.txt"]
