"""Task files and their data: what is read, what is refused, and what the built-in ones promise."""

import json
import os
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.base.errors import BadTask, UnknownName
from core.base.settings import ROOT
from core.base.specs import Pinned
from core.tasks import (
    Choice,
    Task,
    Text,
    builtin_names,
    clean_task,
    load_task,
    own_names,
    own_problems,
    pin_task,
)
from core.tasks.baselines import constant_answer
from core.tasks.data import Examples, load_split, shared_rows
from core.tasks.metrics import METRICS
from demo.splits import splits
from tests.conftest import write_task

ROWS = [
    {"text": 'a "quoted" meal, warm', "text_b": "the book", "label": 1},
    {"text": "we were not cold", "text_b": "NA", "label": 0},
    {"text": "null", "text_b": "but fine", "label": 1},
    {"text": "dull: 007 1.0", "text_b": "a # b", "label": 0},
]


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return write_task(tmp_path / "task")


def edit(toml: Path, old: str, new: str) -> Path:
    text = toml.read_text()
    assert old in text
    toml.write_text(text.replace(old, new, 1))
    return toml


def refused(toml: Path, *said: str, split: str = "validation") -> None:
    """Reading the task or its split raises a BadTask that says all of `said`."""
    with pytest.raises(BadTask) as error:
        load_split(load_task(str(toml)), split)
    for words in said:
        assert words in str(error.value)


# --- what is refused, and where ------------------------------------------------------------------
def test_an_unknown_entry_is_refused(toml: Path) -> None:
    refused(edit(toml, "title", "tilte"), "'tilte'", str(toml))


@pytest.mark.parametrize("entry", ["labels", "splits", "verbalizer"])
def test_a_missing_entry_is_refused(toml: Path, entry: str) -> None:
    text = toml.read_text()
    section = rf"^\[{entry}\]\n(.+\n)*" if f"[{entry}]" in text else rf"^{entry} = .*\n"
    toml.write_text(re.sub(section, "", text, flags=re.MULTILINE))
    refused(toml, f"'{entry}'", str(toml))


def test_broken_toml_is_refused(toml: Path) -> None:
    refused(edit(toml, "[splits]", "[splits"), "not valid TOML", str(toml))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('labels = ["negative", "positive"]', "labels = 2"),
        ('train = "train.jsonl"', "train = 3"),
        ('labels = ["negative", "positive"]', "labels = [true, false]"),
        ('default = ["negative", "positive"]', "default = [true, false]"),
    ],
)
def test_an_entry_of_the_wrong_kind_is_refused(toml: Path, old: str, new: str) -> None:
    refused(edit(toml, old, new), "wrong kind", str(toml))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('title = "Toy"', 'title = "Toy"\nadversarial_of = 5', "adversarial_of must be a text"),
        ('title = "Toy"', "title = ['Toy']", "title must be a text"),
        ('title = "Toy"', 'title = "Toy"\ndata = 3', "data must be a text"),
        ('title = "Toy"', 'title = "Toy"\nhub = 3', "hub must be a table"),
        ('title = "Toy"', 'title = "Toy"\nhub = { id = 3 }', "hub.id must be a text"),
        ('title = "Toy"', 'title = "Toy"\nfolder = { data = [] }', "folder.data must be a text"),
        ('labels = ["negative", "positive"]', 'labels = "ab"', "labels must be a list"),
        ('labels = ["negative", "positive"]', 'labels = [["a"], "b"]', "labels must be a list"),
        ('labels = ["negative", "positive"]', 'labels = ["a", "b"]\nvalues = "01"',
         "values must be a list"),
        ('default = ["negative", "positive"]', 'default = "no"', "verbalizer must be a table of"),
        ('text_a = "text"', 'text_a = ["text"]', "fields must be a table of texts"),
        ('train = "train.jsonl"', 'train = { a = "train.jsonl" }', "splits must be a table of"),
        ("[verbalizer]", '[template]\nt5 = "{a}"\n[verbalizer]', "template must be a table of"),
    ],
)  # fmt: skip
def test_every_entry_is_of_its_kind(toml: Path, old: str, new: str, said: str) -> None:
    refused(edit(toml, old, new), "wrong kind", said, str(toml))


WRITTEN = "[answer]\nmax_new_tokens = 3\nmetric = 'exact_match'\n"
HUB = '[hub]\nid = "a/b"\nsplits = { train = "train" }\n'


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("[fields]\ntexta = 'text'\n", "has an unknown entry 'texta' under [fields]"),
        ("[template.t5]\nsingle = '{a}'\n", "lacks the entry 'pair' under [template.t5]"),
        ("[template.t5]\nsingle = '{a}'\npair = '{a}{b}'\nfoo = 'x'\n",
         "has an unknown entry 'foo' under [template.t5]"),
        ("[hub]\nsplits = { train = 'train' }\n", "lacks the entry 'id' under [hub]"),
        (HUB + "foo = 'x'\n", "has an unknown entry 'foo' under [hub]"),
        ("[folder]\ndata = 'x'\n", "lacks the entry 'splits' under [folder]"),
        (HUB + "[folder]\ndata = 'x'\nsplits = { train = 'x' }\nfoo = 'x'\n",
         "has an unknown entry 'foo' under [folder]"),
    ],
)  # fmt: skip
def test_an_entry_of_a_table_is_named_in_plain_words(toml: Path, entry: str, said: str) -> None:
    head, rest = toml.read_text().split('[fields]\ntext_a = "text"\n')
    toml.write_text(head + entry + rest)
    refused(toml, f"{toml} {said}; see docs/tasks.md.")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (WRITTEN + "foo = 3\n", "has an unknown entry 'foo' under [answer]"),
        ("[answer]\nmax_new_tokens = 3\n", "lacks the entry 'metric' under [answer]"),
        (WRITTEN.replace("3", "true"), "answer.max_new_tokens must be a whole number"),
        (WRITTEN.replace("3", "1_000_000_000"), "a whole number from 1 to 512"),
        (WRITTEN.replace("'exact_match'", "['x']"), "answer.metric must be a text"),
        (WRITTEN + "stop = 3\n", "answer.stop must be a text"),
        ("labels = ['a', 'b']\n" + WRITTEN, "has both 'answer' and 'labels'"),
        ("values = [0, 1]\n" + WRITTEN, "has both 'answer' and 'values'"),
        (WRITTEN + "[verbalizer]\nt5 = ['a', 'b']\n", "has both 'answer' and 'verbalizer'"),
    ],
)
def test_what_an_answer_that_is_written_cannot_have(toml: Path, answer: str, said: str) -> None:
    toml.write_text(answer + "[splits]\nvalidation = 'validation.jsonl'\n")
    refused(toml, said, str(toml))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('title = "Toy"', 'title = "Toy"\nfamily = "a"\ncategory = "b"',
         "has both 'family' and 'category'"),
        ('title = "Toy"', 'title = " "', "has an empty title"),
        ('default = ["negative", "positive"]', 'default = ["no", "no"]',
         "names 'no' twice among its answer words for default"),
        ("[verbalizer]", "[template.t5]\nsingle = '{zzz}'\npair = '{a}{b}'\n[verbalizer]",
         "has {zzz} in the template for t5"),
    ],
)  # fmt: skip
def test_a_contradiction_or_an_empty_name_is_refused(
    toml: Path, old: str, new: str, said: str
) -> None:
    refused(edit(toml, old, new), said, str(toml))


def test_the_guide_documents_every_entry_and_its_examples_are_valid(tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "tasks.md").read_text("utf-8")
    examples = re.findall(r"```toml\n(title = .*?)```", guide, flags=re.DOTALL)
    for i, text in enumerate(examples):
        (tmp_path / f"{i}.toml").write_text(text)
    tasks = [load_task(str(tmp_path / f"{i}.toml")) for i in range(len(examples))]
    assert [type(t.answer) for t in tasks] == [Choice, Choice, Text]
    for entry in ("[answer]", "max_new_tokens", *METRICS):
        assert f"`{entry}`" in guide


def test_truth_values_may_be_what_the_label_column_holds(toml: Path) -> None:
    edit(toml, "title", "values = [false, true]\ntitle")
    assert load_task(str(toml)).values == ("False", "True")


@pytest.mark.parametrize("target", ["nowhere.toml", "loop.toml"])
def test_a_link_to_nothing_cannot_be_read(own: Path, target: str) -> None:
    (own / "loop.toml").symlink_to(own / target)
    for name in ("loop", str(own / "loop.toml")):
        with pytest.raises(BadTask, match="cannot be read"):
            load_task(name)
    assert "cannot be read" in own_problems()["loop.toml"]


def test_deep_nesting_is_refused(toml: Path) -> None:
    toml.write_text("labels = " + "[" * 100_000)
    refused(toml, "not valid TOML", str(toml))


@pytest.mark.parametrize("name", ["../../../outside/x", "a/b", "", ".", "a b", "x" * 300])
def test_a_split_is_named_by_a_word(toml: Path, name: str) -> None:
    refused(edit(toml, 'train = "train', f'"{name}" = "train'), f"the split {name[:40]!r}")


def test_a_hub_tasks_split_cannot_lie_elsewhere(
    toml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKILLSCOPE_CACHE", str(tmp_path / "cache"))
    toml.write_text(
        'labels = ["a", "b"]\n[verbalizer]\ndefault = ["a", "b"]\n'
        '[hub]\nid = "a/b"\nsplits = { "../../../outside/x" = "train" }\n'
    )
    refused(toml, "the split '../../../outside/x'")
    toml.write_text(toml.read_text().replace("../../../outside/x", "train"))
    assert load_task(str(toml)).splits["train"].is_relative_to(tmp_path / "cache" / "data")
    odd = toml.rename(toml.parent / "...toml")
    refused(odd, "letters, digits, - and _")


def test_more_classes_than_can_be_stored_are_refused(toml: Path) -> None:
    text = toml.read_text()
    for n in (256, 257):
        many = json.dumps([f"c{i}" for i in range(n)])
        toml.write_text(re.sub(r"(labels|default) = .*", rf"\1 = {many}", text))
        if n == 256:
            assert len(load_task(str(toml)).labels) == 256
    refused(toml, "names 257 classes", "at most 256")


@pytest.mark.parametrize("entry", ["labels", "values"])
def test_a_class_is_named_once(toml: Path, entry: str) -> None:
    edit(toml, "title", "values = [0, 1]\ntitle")
    toml.write_text(re.sub(rf"^{entry} = .*", f"{entry} = [1, 1]", toml.read_text(), flags=re.M))
    refused(toml, f"names '1' twice among its {entry}")


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a user's own tasks, with a good one in it."""
    folder = write_task(tmp_path / "own").parent
    (folder / "task.toml").rename(folder / "good.toml")
    monkeypatch.setenv("SKILLSCOPE_TASKS", str(folder))
    return folder


def test_a_bad_own_task_is_passed_over_and_named_with_its_reason(own: Path) -> None:
    good = (own / "good.toml").read_text()
    (own / "number.toml").write_text("adversarial_of = 5\n" + good)
    (own / "columns.toml").write_text(good.replace('text_a = "text"', 'text_a = ["text"]'))
    (own / "deep.toml").write_text("labels = " + "[" * 100_000)
    (own / "alone.toml").write_text('adversarial_of = "nobody"\n' + good)
    (own / "no word.toml").write_text(good)
    (own / "opinions.toml").write_text(good)
    (own / "folder.toml").mkdir()
    (own / "bytes.toml").write_bytes(b"\xff")
    assert own_names() == ("good",)
    reasons = {
        "number": "adversarial_of must be a text", "columns": "fields must be a table of texts",
        "deep": "not valid TOML", "alone": "no task called 'nobody'",
        "no word": "letters, digits, - and _", "opinions": "already a task called 'opinions'",
        "bytes": "not valid TOML",
    }  # fmt: skip
    found = own_problems()
    assert set(found) == {f"{name}.toml" for name in reasons}
    for name, why in reasons.items():
        assert why in found[f"{name}.toml"], name
        assert "\n" not in found[f"{name}.toml"]


def test_a_task_file_that_cannot_be_read_is_a_bad_task(toml: Path) -> None:
    toml.chmod(0)
    if os.access(toml, os.R_OK):
        pytest.skip("this user may read everything")
    refused(toml, "cannot be read")


def test_a_file_name_that_no_disk_can_hold_is_missing_data(toml: Path) -> None:
    task = load_task(str(edit(toml, "validation.jsonl", "x" * 5000)))
    assert not task.ready
    pin_task(task, "roberta")
    refused(toml, "missing")


def test_a_task_needs_two_classes(toml: Path) -> None:
    edit(toml, 'labels = ["negative", "positive"]', 'labels = ["one"]')
    refused(toml, "at least two", str(toml))


def test_answer_words_must_be_as_many_as_labels(toml: Path) -> None:
    edit(toml, 'default = ["negative", "positive"]', 'default = ["negative"]')
    refused(toml, "2 labels", "1 answer words for default", str(toml))


def test_values_must_be_as_many_as_labels(toml: Path) -> None:
    edit(toml, "labels =", 'values = ["0", "1", "2"]\nlabels =')
    refused(toml, "2 labels", "3 values", str(toml))


def test_a_family_without_answer_words_is_told_what_to_add(toml: Path) -> None:
    task = load_task(str(edit(toml, "default =", "t5 =")))
    assert task.words("t5") == ("negative", "positive")
    with pytest.raises(BadTask, match="add `roberta"):
        task.words("roberta")


def test_an_unknown_split_is_refused(toml: Path) -> None:
    refused(toml, "'test'", "train, validation", split="test")


def test_a_missing_column_is_refused(toml: Path) -> None:
    refused(edit(toml, 'text_a = "text"', 'text_a = "body"'), "'body'", "text, label", "validation")


def test_a_missing_data_file_is_refused(toml: Path) -> None:
    (toml.parent / "validation.jsonl").unlink()
    refused(toml, "missing", "validation.jsonl")


def test_an_unknown_kind_of_file_is_refused(toml: Path) -> None:
    (toml.parent / "data.xml").write_text("<a/>")
    refused(edit(toml, "validation.jsonl", "data.xml"), "data.xml", ".csv", ".parquet")


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "tsv", "parquet"])
def test_a_broken_data_file_is_refused(toml: Path, suffix: str) -> None:
    (toml.parent / f"data.{suffix}").write_bytes(b'{"text": \xff\xfe')
    refused(edit(toml, "validation.jsonl", f"data.{suffix}"), f"data.{suffix}")


def test_an_empty_data_file_is_refused(toml: Path) -> None:
    (toml.parent / "validation.jsonl").write_text("")
    refused(toml, "validation.jsonl")


@pytest.mark.parametrize("content", ["", "\n\n"])
@pytest.mark.parametrize("suffix", ["jsonl", "csv", "tsv"])
def test_a_file_without_rows_says_which_split_has_none(
    toml: Path, suffix: str, content: str
) -> None:
    (toml.parent / f"data.{suffix}").write_text(content)
    file = edit(toml, "validation.jsonl", f"data.{suffix}")
    refused(file, "'Toy'", "split 'validation'", f"data.{suffix} has no rows")


def test_a_heading_alone_is_no_row(toml: Path) -> None:
    (toml.parent / "data.csv").write_text("text,label\n")
    refused(edit(toml, "validation.jsonl", "data.csv"), "split 'validation'", "has no rows")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"text":', "line 3 is not JSON"),
        ("{'text': 'a'}", "line 3 is not JSON"),
        ("[1]", "line 3 is not a JSON object"),
        ("3", "line 3 is not a JSON object"),
        ("[" * 100_000, "line 3 is not JSON"),
        ('{"text": "a", "label": 99999999999999999999999999}', "cannot be read"),
        ('{"text": "a\xff"}', "line 3 is not UTF-8"),
    ],
)
def test_a_broken_line_of_json_is_named(toml: Path, line: str, said: str) -> None:
    good = [json.dumps({"text": "fine", "label": i}) for i in (0, 1)]
    content = "\n".join([good[0], "", line, good[1]]).encode("latin-1")
    (toml.parent / "validation.jsonl").write_bytes(content)
    refused(toml, said, "validation.jsonl", "split 'validation'")


def replace_validation(toml: Path, rows: list[dict[str, object]]) -> Path:
    (toml.parent / "validation.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return toml


@pytest.mark.parametrize("empty", ["", "  ", None])
def test_an_empty_text_is_refused_with_its_row(toml: Path, empty: str | None) -> None:
    rows = [{"text": "fine", "label": 0}, {"text": empty, "label": 1}]
    refused(replace_validation(toml, rows), "Row 2", "'text'", "validation.jsonl")


def test_labels_that_are_none_of_the_tasks_are_refused(toml: Path) -> None:
    refused(
        replace_validation(toml, [{"text": "fine", "label": "good"}]), "'0' or '1'", "'good' (1)"
    )


def test_a_missing_task_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadTask, match="no task file"):
        load_task(str(tmp_path / "none.toml"))


@pytest.mark.parametrize("near", ["opinion", "Opinions", "oppinions"])
def test_an_unknown_task_name_offers_near_matches(near: str) -> None:
    with pytest.raises(UnknownName) as error:
        load_task(near)
    assert repr(near) in str(error.value)
    assert "Did you mean opinions" in str(error.value)


@pytest.mark.parametrize("name", ["", "../tasks/opinions", "a/b", "no such", "x" * 5000])
def test_a_name_is_no_path(name: str) -> None:
    with pytest.raises(UnknownName):
        load_task(name)


# --- what is read --------------------------------------------------------------------------------
def content(examples: Examples) -> tuple[object, ...]:
    return (examples.text_a, examples.text_b, examples.labels.tolist(), examples.index.tolist())


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet", "jsonl"])
def test_every_format_gives_the_same_examples(tmp_path: Path, suffix: str) -> None:
    toml = write_task(tmp_path / "task", pair=True)
    file, frame = toml.parent / f"data.{suffix}", pd.DataFrame(ROWS)
    if suffix == "tsv":
        lines = ["text\ttext_b\tlabel", *("\t".join(map(str, r.values())) for r in ROWS)]
        file.write_text("\n".join(lines) + "\n")
    elif suffix == "csv":
        frame.to_csv(file, index=False)
    elif suffix == "parquet":
        frame.to_parquet(file)
    else:
        file.write_text("\n".join(map(json.dumps, ROWS)))
    edit(toml, "validation.jsonl", f"data.{suffix}")
    assert content(load_split(load_task(str(toml)), "validation")) == (
        tuple(r["text"] for r in ROWS), tuple(r["text_b"] for r in ROWS), [1, 0, 1, 0],
        [0, 1, 2, 3],
    )  # fmt: skip


def test_named_values_become_classes_and_others_are_left_out(toml: Path) -> None:
    edit(toml, "labels =", 'values = ["bad", "good"]\nlabels =')
    rows = [{"text": t, "label": v} for t, v in (("a", "good"), ("b", "?"), ("c", "bad"))]
    examples = load_split(load_task(str(replace_validation(toml, rows))), "validation")
    assert content(examples) == (("a", "c"), None, [1, 0], [0, 2])


def test_a_changed_file_is_read_anew(toml: Path) -> None:
    task = load_task(str(toml))
    before, pinned = len(load_split(task, "validation")), pin_task(task, "roberta")
    replace_validation(toml, [{"text": "fine", "label": 0}])
    assert (before, len(load_split(task, "validation"))) == (31, 1)
    assert pin_task(task, "roberta") != pinned


def test_a_limit_is_a_fixed_sample(toml: Path) -> None:
    task = load_task(str(toml))
    once = load_split(task, "train", 12)
    load_split(task, "validation", 5)
    load_split(task, "train", 20)
    again = load_split(task, "train", 12)
    assert content(once) == content(again)
    assert len(once) == 12
    assert (np.diff(once.index) > 0).all()
    assert set(once.index) <= set(load_split(task, "train", 20).index)


@pytest.mark.parametrize("limit", [None, 60, 1000])
def test_a_limit_beyond_the_split_gives_all_of_it(toml: Path, limit: int | None) -> None:
    assert len(load_split(load_task(str(toml)), "train", limit)) == 60


def test_a_limited_sample_keeps_texts_and_labels_together(toml: Path) -> None:
    task = load_task(str(toml))
    everything, some = load_split(task, "train"), load_split(task, "train", 9)
    for i, text, label in zip(some.index, some.text_a, some.labels, strict=True):
        assert (everything.text_a[i], everything.labels[i]) == (text, label)


def test_majority_is_the_share_of_the_largest_class(toml: Path) -> None:
    rows = [{"text": "a", "label": int(i == 0)} for i in range(4)]
    assert load_split(load_task(str(replace_validation(toml, rows))), "validation").majority == 0.75


# --- the built-in tasks --------------------------------------------------------------------------
WRITTEN = [n for n in builtin_names() if not load_task(n).labels]
CLEAN = [n for n in builtin_names() if n not in WRITTEN and load_task(n).adversarial_of is None]
TWINS = [n for n in builtin_names() if load_task(n).adversarial_of is not None]


def both(examples: Examples) -> list[tuple[str, ...]]:
    columns = [examples.text_a] + ([examples.text_b] if examples.text_b else [])
    return list(zip(*columns, strict=True))


def words(examples: Examples) -> set[str]:
    return set(re.findall(r"[a-z']+", " ".join(" ".join(t) for t in both(examples)).lower()))


def test_there_are_nine_tasks_with_classes_two_with_texts_and_three_twins() -> None:
    assert (len(CLEAN), len(WRITTEN), len(TWINS)) == (9, 2, 3)
    assert set(builtin_names()) == {*CLEAN, *WRITTEN, *TWINS}


@pytest.mark.parametrize("name", WRITTEN)
def test_texts_to_write_are_many_and_new(name: str) -> None:
    task = load_task(name)
    train, held = load_split(task, "train"), load_split(task, "validation")
    assert (len(train), len(held)) == (2400, 600)
    assert train.targets is not None
    assert all(train.targets), "each has an answer"
    assert not set(both(train)) & set(both(held))
    assert constant_answer(task) < 0.5, "no answer fits all"


@pytest.mark.parametrize("name", CLEAN)
def test_train_and_validation_are_large_balanced_and_disjoint(name: str) -> None:
    task = load_task(name)
    train, held = load_split(task, "train"), load_split(task, "validation")
    assert len(train) >= 2000
    assert len(held) >= 500
    assert not set(both(train)) & set(both(held))
    for part in (train, held):
        assert len(set(both(part))) == len(part)
        counts = np.bincount(part.labels, minlength=2)
        assert abs(counts[0] - counts[1]) <= 1


@pytest.mark.parametrize("name", CLEAN + TWINS)
def test_every_family_has_different_answer_words(name: str) -> None:
    task = load_task(name)
    for family in ("roberta", "t5"):
        assert len(set(task.words(family))) == len(task.labels) == 2
    assert task.words("t5") == clean_task(task).words("t5")


@pytest.mark.parametrize("name", TWINS)
def test_a_twin_has_every_attack_and_new_texts(name: str) -> None:
    task = load_task(name)
    attacked = load_split(task, "validation")
    assert len(attacked) >= 150
    assert attacked.attack is not None
    kinds = Counter(attacked.attack)
    assert set(kinds) == {"typo", "synonym", "distraction", "negation", "human"}
    assert min(kinds.values()) >= 20
    counts = np.bincount(attacked.labels)
    assert abs(counts[0] - counts[1]) <= 2
    clean = clean_task(task)
    for split in ("train", "validation"):
        assert not set(both(attacked)) & set(both(load_split(clean, split)))


@pytest.mark.parametrize("name", TWINS)
def test_a_twins_train_split_is_the_clean_tasks(name: str) -> None:
    task = load_task(name)
    own = load_split(clean_task(task), "train")
    assert content(load_split(task, "train")) == content(own)


def test_the_tasks_speak_of_many_things() -> None:
    vocabulary: set[str] = set()
    for name in CLEAN:
        vocabulary |= words(load_split(load_task(name), "train"))
    assert len(vocabulary) >= 1500


def test_the_shipped_files_are_what_the_generator_draws() -> None:
    task = load_task("opinions")
    for split, drawn in splits("opinions").items():
        shipped = load_split(task, split)
        assert shipped.text_a == tuple(e.text_a for e in drawn)
        assert shipped.labels.tolist() == [e.label for e in drawn]


def test_a_pin_names_the_task_and_its_data() -> None:
    pins = [pin_task(load_task(n), "roberta") for n in builtin_names()]
    assert [p.name for p in pins] == list(builtin_names())
    assert len({p.fingerprint for p in pins}) == len(pins)
    assert pins[0] == pin_task(load_task(builtin_names()[0]), "roberta")


def test_a_twins_pin_changes_with_its_clean_task(toml: Path) -> None:
    def twin_of(task: Path) -> Task:
        twin = task.parent / "twin.toml"
        twin.write_text('adversarial_of = "task"\n' + task.read_text())
        return load_task(str(twin))

    before: Pinned = pin_task(twin_of(toml), "roberta")
    twin = toml.parent / "twin.toml"
    edit(toml, '[verbalizer]\ndefault = ["negative"', '[verbalizer]\ndefault = ["bad"')
    assert pin_task(load_task(str(twin)), "roberta") != before


def test_a_class_that_a_typo_leaves_empty_is_refused(toml: Path) -> None:
    rows = [{"text": "fine", "label": label} for label in ("0", "0", "One")]
    refused(replace_validation(toml, rows), "labelled '1'", "'One' (1)")


def test_whole_numbers_may_be_written_with_a_point(toml: Path) -> None:
    (toml.parent / "validation.csv").write_text("text,label\nfine,0.0\nbad,1.0\n")
    toml.write_text(toml.read_text().replace("validation.jsonl", "validation.csv"))
    assert load_split(load_task(str(toml)), "validation").labels.tolist() == [0, 1]


def test_titles_and_remarks_do_not_change_the_pin_but_answer_words_do(toml: Path) -> None:
    text, before = toml.read_text(), pin_task(load_task(str(toml)), "roberta")
    toml.write_text(text.replace('"Toy"', '"A better name"') + "# a remark\n")
    os.utime(toml, (1, 1))
    assert pin_task(load_task(str(toml)), "roberta") == before
    head, words = text.split("[verbalizer]")
    toml.write_text(head + "[verbalizer]" + words.replace("negative", "bad"))
    os.utime(toml, (2, 2))
    assert pin_task(load_task(str(toml)), "roberta") != before


def test_words_of_another_family_do_not_change_the_pin(toml: Path) -> None:
    text = toml.read_text()
    before = {family: pin_task(load_task(str(toml)), family) for family in ("roberta", "t5")}
    toml.write_text(text + 't5 = ["dull", "fine"]\n')
    os.utime(toml, (3, 3))
    assert pin_task(load_task(str(toml)), "roberta") == before["roberta"]
    assert pin_task(load_task(str(toml)), "t5") != before["t5"]


def test_rows_are_the_same_without_case_and_punctuation(toml: Path) -> None:
    rows = [{"text": "Fine, we said!", "label": 0}, {"text": "a new one", "label": 1}]
    (toml.parent / "train.jsonl").write_text(
        "\n".join(
            json.dumps({"text": t, "label": i}) for i, t in enumerate(["fine we  said", "bad"])
        )
    )
    task = load_task(str(replace_validation(toml, rows)))
    (only,) = shared_rows([task], [task])
    assert (only.rows, only.n, only.source_task) == (1, 2, task.name)


def test_the_built_in_tasks_share_no_rows() -> None:
    tasks = [load_task(name) for name in builtin_names()]
    clean = [t for t in tasks if t.adversarial_of is None]
    assert shared_rows(clean, tasks) == ()
