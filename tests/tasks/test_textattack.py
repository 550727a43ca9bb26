"""TextAttack's results become an adversarial version, and nothing else does."""

import csv
import io
from pathlib import Path

import pytest

from core.base.errors import BadInput
from core.base.settings import Places, Settings
from core.tasks import Task, load_task, own_names
from core.tasks.data import load_split
from core.tasks.textattack import Result, adversarial_version
from core.tasks.uploads import read_table
from tests.conftest import write_task, write_text_task

HEAD = ["original_text", "perturbed_text", "original_score", "perturbed_score", "original_output",
        "perturbed_output", "ground_truth_output", "num_queries", "result_type"]  # fmt: skip
ROWS = [
    ["a [[good]] film", "a [[goood]] film", 0.1, 0.9, 1, 0, 1, 12, "Successful"],
    ["two lines<SPLIT>of [[text]]", "two lines<SPLIT>of [[txet]]", 0.2, 0.8, 0, 1, "0.0", 9,
     "Successful"],
    ["an [[odd]] one", "an [[strange]] one", 0.1, 0.2, 1, 1, 1, 30, "Failed"],
    ["wrong before", "wrong before", 0.9, 0.9, 0, 0, 1, 1, "Skipped"],
]  # fmt: skip


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    monkeypatch.setenv("SKILLSCOPE_TASKS", str(tmp_path / "tasks"))
    return Settings.from_env().places


def results(rows: list[list[object]] = ROWS, head: list[str] = HEAD) -> bytes:
    file = io.StringIO()
    csv.writer(file).writerows([head, *rows])
    return file.getvalue().encode()


def version(
    places: Places,
    clean: Task,
    data: bytes,
    kept: tuple[Result, ...] = ("successful",),
    classes: tuple[str, ...] = (),
) -> Task:
    return adversarial_version(places, read_table("x.csv", data), clean, "Attacked", kept, classes)


def test_successful_results_are_the_adversarial_examples(places: Places) -> None:
    clean = load_task("short_reviews")
    made = version(places, clean, results())
    rows = load_split(made, "validation")
    assert rows.text_a == ("a goood film", "two lines\nof txet")
    assert rows.labels.tolist() == [1, 0]
    assert rows.attack == ("successful", "successful")
    assert (made.adversarial_of, made.labels) == (clean.name, clean.labels)
    for family in ("roberta", "t5"):
        assert made.words(family) == clean.words(family)
    assert made.templates == clean.templates
    assert load_split(made, "train").text_a == load_split(clean, "train").text_a


def test_failed_and_skipped_results_can_be_kept_too(places: Places) -> None:
    every: tuple[Result, ...] = ("successful", "failed", "skipped")
    rows = load_split(version(places, load_task("opinions"), results(), every), "validation")
    assert rows.attack == ("successful", "successful", "failed", "skipped")
    assert rows.text_a[2] == "an strange one"


def test_a_pair_has_a_text_on_each_line_with_or_without_its_name(
    places: Places, tmp_path: Path
) -> None:
    clean = load_task(str(write_task(tmp_path / "pairs", pair=True)))
    named = "[[[[Premise]]]]: a [[cta]] sat<SPLIT>[[[[Hypothesis]]]]: note: it sat"
    rows = [["x", text, 0, 1, 0, 1, 0, 3, "Successful"] for text in (named, "one [[tow]]<SPLIT>b")]
    found = load_split(version(places, clean, results(rows)), "validation")
    assert found.text_a == ("a cta sat", "one tow")
    assert found.text_b == ("note: it sat", "b")


def renamed(text: str) -> str:
    return text.replace('"text_b"', '"premise"').replace('"text"', '"hypothesis"')


def test_texts_go_where_the_task_has_them(places: Places, tmp_path: Path) -> None:
    """The papers ask some pairs with the second text first; TextAttack writes the first one."""
    file = write_task(tmp_path / "pairs", pair=True)
    for split in ("train", "validation"):
        path = file.parent / f"{split}.jsonl"
        path.write_text(
            path.read_text().replace('"text_b"', '"premise"').replace('"text"', '"hypothesis"')
        )
    toml = file.read_text().replace('"text_b"', '"premise"').replace('"text"', '"hypothesis"')
    file.write_text(toml)
    text = "[[[[Premise]]]]: it [[rians]]<SPLIT>[[[[Hypothesis]]]]: it is wet"
    rows = [["x", text, 0, 1, 0, 1, 0, 3, "Successful"]]
    found = load_split(version(places, load_task(str(file)), results(rows)), "validation")
    assert (found.text_a, found.text_b) == (("it is wet",), ("it rians",))


def test_class_numbers_of_named_values_need_an_order(places: Places, tmp_path: Path) -> None:
    file = write_task(tmp_path / "named")
    text = file.read_text().replace("[splits]", 'values = ["out", "in"]\n[splits]')
    file.write_text(text)
    for split in ("train", "validation"):
        path = file.parent / f"{split}.jsonl"
        lines = path.read_text().replace('"label": 0', '"label": "out"')
        path.write_text(lines.replace('"label": 1', '"label": "in"'))
    clean = load_task(str(file))
    with pytest.raises(BadInput, match="give them in its order as classes"):
        version(places, clean, results())
    with pytest.raises(BadInput, match="are not those of Toy"):
        version(places, clean, results(), classes=("in", "over"))
    made = version(places, clean, results(), classes=("in", "out"))
    assert load_split(made, "validation").labels.tolist() == [0, 1], "class 1 is 'out', the first"


@pytest.mark.parametrize(
    ("rows", "head", "said"),
    [
        (ROWS[3:], HEAD, "The file has no successful results, only: skipped."),
        ([r[:-1] for r in ROWS], HEAD[:-1], "no column 'result_type'"),
        ([[*ROWS[0][:6], 7, 1, "Successful"]], HEAD, "Kept result 1 has the class '7'"),
        ([["x", "[[ ]]", *ROWS[0][2:]]], HEAD, "Row 1 has an empty text."),
        ([[*ROWS[0][:6], "\N{SUPERSCRIPT TWO}", 1, "Successful"]], HEAD, "has the class"),
        ([["x", "a \x1b[91mred\x1b[0m one", *ROWS[0][2:]]], HEAD, "has terminal colours"),
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_nothing(
    places: Places, rows: list[list[object]], head: list[str], said: str
) -> None:
    with pytest.raises(BadInput, match=said.replace("'", ".")):
        version(places, load_task("short_reviews"), results(rows, head))
    assert own_names() == ()


def test_only_a_clean_task_with_classes_can_be_attacked(places: Places, tmp_path: Path) -> None:
    for name, said in (
        ("adv_short_reviews", "is itself an adversarial version"),
        (str(write_text_task(tmp_path / "echo")), "has written answers"),
    ):
        with pytest.raises(BadInput, match=said):
            version(places, load_task(name), results())
    half = [["x", "one text<SPLIT> ", 0, 1, 0, 1, 0, 3, "Successful"]]
    pair = load_task(str(write_task(tmp_path / "half", pair=True)))
    with pytest.raises(BadInput, match="Kept result 1 has an empty text"):
        version(places, pair, results(half))
    one_line = [["x", "one line", 0, 1, 0, 1, 0, 3, "Successful"]]
    pairs = load_task(str(write_task(tmp_path / "pairs", pair=True)))
    with pytest.raises(
        BadInput, match=r"needs two texts, one per line, but the number of lines is 1"
    ):
        version(places, pairs, results(one_line))
