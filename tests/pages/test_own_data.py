"""Tuning, the library and a user's own tasks, backbones and prompts."""

import re
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import streamlit as st
import torch
from streamlit.testing.v1 import AppTest

from core.base.errors import BadInput
from core.base.markdown import plain
from core.base.settings import Settings
from core.exchange.published import import_folder
from core.lab.lab import Lab
from core.measures import sweeps
from core.tasks import load_task
from pages.common import answers, upload
from tests.conftest import here, write_task, write_text_task
from tests.pages.app import ODD, PAGES, charts, run, words

pytestmark = pytest.mark.slow
RANKING = (
    "predictivity", "correlation", "suppression", "robustness", "rankings", "neuron", "playground",
)  # fmt: skip


def no_page_is_down(**choices: object) -> None:
    """Every page says what it is, whatever lies among the user's own things."""
    for page in PAGES:
        test = run(page, **choices)
        assert not test.exception, page
        assert len(test.title) == 1, page


def test_tuning_compares_starts_from_shipped_answers() -> None:
    page = run("tuning", backbone="t5-mini")
    assert not page.exception
    assert len(page.get("vega_lite_chart")) == 3, "loss, accuracy, starts"
    assert not page.button, "nothing is left to compute"
    rows = page.dataframe[0].value.set_index("start")
    assert list(rows.index) == [
        "vocabulary", "Long reviews", "Treatment", "labels", "projected from roberta-mini",
        "random",
    ]  # fmt: skip
    assert rows.runs.tolist() == [5] * 6
    assert "tuning needs clearly** fewer from projected from roberta-mini (" in words(page)
    assert rows.speedup["vocabulary"] == 1
    assert rows.low["projected from roberta-mini"] > 1, "the one clear effect"
    assert "[This prompt in detail](prompt?key=" in " ".join(c.value for c in page.caption)


@pytest.mark.usefixtures("fresh")
def test_the_library_lists_backbones_and_adds_a_folder(tiny_folder: Path) -> None:
    test = run("library")
    names = list(test.dataframe[0].value["Backbone"])
    assert names[:2] == ["roberta-mini", "t5-mini"]
    test.text_input[0].set_value(str(tiny_folder))
    next(b for b in test.button if b.label == "Add").click().run()
    for _ in range(40):
        if test.success:
            break
        time.sleep(0.25)
        test.run()
    assert test.success
    test.run()
    assert str(tiny_folder) in list(test.dataframe[0].value["Backbone"])


def test_a_backbone_that_is_not_there_is_told_in_one_sentence() -> None:
    test = run("library")
    test.text_input[0].set_value("no such thing")
    next(b for b in test.button if b.label == "Add").click().run()
    for _ in range(40):
        if test.error:
            break
        time.sleep(0.25)
        test.run()
    assert "no backbone called 'no such thing'" in test.error[0].value
    assert not test.exception


def test_the_library_shows_answer_words_as_token_ids() -> None:
    test = run("library", section="tasks")
    assert not test.exception
    words = test.dataframe[1].value
    mine = words[words.Backbone == "roberta-mini"]
    assert list(mine["Answer word"]) == ["negative", "positive"]
    assert all("," not in ids for ids in mine["Token ids"])


def test_tasks_of_the_papers_are_listed_even_if_their_data_are_not_here() -> None:
    test = run("library", section="tasks", **{"from": "papers"})
    table = test.dataframe[0].value
    assert "SST-2" in list(table.Task)
    assert not table.Here.any()
    assert [b.label for b in test.button if b.label.startswith("Download")]


def test_released_prompts_are_imported_from_the_page(tmp_path: Path) -> None:
    folder = tmp_path / "SST2PromptRoberta"
    folder.mkdir()
    torch.save(torch.zeros(3, 128), folder / "task_prompt")
    test = run("library", section="prompts")
    assert len(test.dataframe[0].value) >= 90
    test.text_input[0].set_value(str(tmp_path))
    next(b for b in test.button if b.label == "Import").click().run()
    outcome = test.dataframe[-1].value.iloc[0]
    assert "not on this machine" in outcome.why
    assert any("0 of 1" in m.value for m in test.markdown)


def test_imported_prompts_can_be_shown_instead_of_tuned_ones(
    cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SKILLSCOPE_CACHE", str(tmp_path))
    st.cache_resource.clear()
    folder = tmp_path / "seed_33" / "SST2PromptT5"
    folder.mkdir(parents=True)
    torch.save(torch.zeros(3, 128), folder / "task_prompt")
    with here(tmp_path) as store:
        lab = Lab(Settings(cache=tmp_path), store)
        (outcome,) = import_folder(lab, tmp_path / "seed_33", {"T5": "t5-mini"})
    assert outcome.key
    test = run("transfer", backbone="t5-mini", prompts="imported")
    assert not test.exception
    assert [h.value for h in test.subheader][:1] == ["t5-mini"]
    assert any("Nothing computed yet" in c.value for c in test.caption)
    st.cache_resource.clear()


def test_the_library_lists_the_shipped_projectors() -> None:
    test = run("library", section="prompts")
    assert not test.exception
    table = test.dataframe[1].value
    assert set(zip(table.from_backbone, table.to_backbone, table.trained_by, strict=True)) == {
        (a, b, how)
        for a, b in (("roberta-mini", "t5-mini"), ("t5-mini", "roberta-mini"))
        for how in ("distance", "task")
    }
    assert table.selection_accuracy[table.trained_by == "task"].between(0.5, 1).all()
    assert table.tasks.str.contains("long_reviews").all()
    (choice,) = (box for box in test.selectbox if box.label == "Download a projector")
    assert not test.get("download_button")
    choice.set_value(table.key[0]).run()
    assert not test.exception
    assert [b.label for b in test.get("download_button")] == ["Download (safetensors)"]


@pytest.mark.usefixtures("fresh")
def test_what_was_computed_here_is_listed_and_deleted() -> None:
    test = run("library", section="results")
    assert [i.value for i in test.info] == [
        "Only the shipped results are stored; nothing else has been computed on this machine."
    ]
    lab, task = answers.lab(), load_task("opinions")
    prompt = lab.standard("t5-mini", task, [1])[0]
    spec = sweeps.own_evaluation(prompt, lab.pin(task, "t5-mini"), "validation", limit=8)
    lab.ask(spec)
    test = run("library", section="results")
    assert not test.exception
    assert test.dataframe[0].value.values.tolist()[0][:4] == [
        "accuracy", "t5-mini", "Opinions", 1
    ]  # fmt: skip
    test.multiselect(key="dropped").set_value([0]).run()
    assert "This deletes **1** stored result." in words(test)
    next(b for b in test.button if b.label == "Delete these results").click().run()
    assert not test.exception
    assert [i.value for i in test.info]
    assert lab.missing([spec]) == (spec,)
    assert lab.known([prompt]), "the prompt is shipped and stays"


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(
    "page", ["playground", "robustness", "neuron", "rankings", "prompt", "flips"]
)
def test_a_task_without_an_imported_prompt_is_told_in_one_sentence(
    page: str, tmp_path: Path
) -> None:
    folder = tmp_path / "released" / "SST2PromptT5"
    folder.mkdir(parents=True)
    torch.save(torch.zeros(3, 128), folder / "task_prompt")
    run("library")
    import_folder(answers.lab(), tmp_path / "released", {"T5": "t5-mini"})
    test = run(page, backbone="t5-mini", prompts="imported")
    assert not test.exception
    assert any("There is no prompt" in i.value for i in test.info) or page == "rankings"


@pytest.mark.usefixtures("fresh")
def test_a_moved_folder_is_listed_as_missing_and_can_be_removed(
    tiny_roberta: Path, tmp_path: Path
) -> None:
    run("library")
    shutil.copytree(tiny_roberta, tmp_path / "mine")
    name = answers.lab().models.obtain(str(tmp_path / "mine"))
    (tmp_path / "mine" / "tokenizer.json").write_text("{")
    broken = run("library", section="tasks")
    assert any(f"{name}: The tokenizer in" in w.value for w in broken.warning)
    assert len(broken.dataframe) == 2, "the other backbones' answer words are there"
    (tmp_path / "mine").rename(tmp_path / "elsewhere")
    no_page_is_down(backbone=name)
    test = run("library")
    assert any(f"There is no folder {name} any more" in w.value for w in test.warning)
    next(b for b in test.button if b.label == "Remove").click().run()
    assert not test.warning
    assert answers.lab().store.backbones() == ()


@pytest.mark.usefixtures("fresh")
def test_bad_own_tasks_and_a_broken_row_are_named_and_the_pages_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = write_task(tmp_path / "own").parent
    good = (own / "task.toml").read_text()
    (own / "number.toml").write_text("adversarial_of = 5\n" + good)
    (own / "deep.toml").write_text("labels = " + "[" * 100_000)
    monkeypatch.setenv("SKILLSCOPE_TASKS", str(own))
    folder = tmp_path / "released" / "SST2PromptT5"
    folder.mkdir(parents=True)
    torch.save(torch.zeros(3, 128), folder / "task_prompt")
    run("library")
    lab = answers.lab()
    (outcome,) = import_folder(lab, tmp_path / "released", {"T5": "t5-mini"})
    lab.store._cursor().execute("UPDATE prompt SET spec = '{' WHERE key = ?", [outcome.key])
    no_page_is_down(**{"from": "own", "backbone": "t5-mini", "prompts": "imported"})
    said = [w.value for w in run("library", section="tasks", **{"from": "own"}).warning]
    assert [w.split(" is skipped")[0] for w in said] == ["deep.toml", "number.toml"]
    (broken,) = [w.value for w in run("library", section="prompts").warning]
    assert outcome.key in broken


@pytest.mark.usefixtures("fresh")
def test_tasks_with_written_answers_are_left_out_where_neurons_are_ranked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = write_text_task(tmp_path / "own").parent
    monkeypatch.setenv("SKILLSCOPE_TASKS", str(own))
    chosen = {"from": "own", "backbone": "t5-mini"}
    no_page_is_down(**chosen)
    for page in RANKING:
        (said,) = [i.value for i in run(page, **chosen).info]
        assert "All of these tasks have written answers" in said
    toy = write_task(tmp_path / "toy")
    (own / "toy.toml").write_text(f'data = "{toy.parent}"\n{toy.read_text()}')
    no_page_is_down(**chosen)
    for page in ("neuron", "playground", "suppression"):
        assert next(s for s in run(page, **chosen).selectbox if s.label == "Task").options == [
            "Toy"
        ]


@pytest.mark.usefixtures("fresh")
def test_written_answers_are_asked_of_backbones_that_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKILLSCOPE_TASKS", str(write_text_task(tmp_path / "own").parent))
    for page, kind in (
        ("transfer", "caption"), ("tuning", "info"), ("transferability", "info"), ("prompt", "info")
    ):  # fmt: skip
        test = run(page, **{"from": "own", "backbone": "roberta-mini"})
        assert not test.exception
        assert any("cannot write" in e.value for e in getattr(test, kind)), page
    task = load_task("echo")
    lab = answers.lab()
    pin = lab.models.pin("t5-mini")
    prompts = [
        sweeps.standard_prompt(pin, "t5", lab.pin(task, "t5-mini"), seed, steps=2, selection=10)
        for seed in (0, 1)
    ]
    monkeypatch.setattr(sweeps, "standard_prompt", lambda *a, **_: prompts[a[3] % 2])
    for prompt in prompts:
        lab.ask(sweeps.own_evaluation(prompt, lab.pin(task, "t5-mini")))
    t5 = {"from": "own", "backbone": "t5-mini"}
    tuning, transfer, library = (
        run(p, **t5, section="tasks") for p in ("tuning", "transfer", "library")
    )
    for test in (tuning, transfer, library):
        assert not test.exception
        assert not test.error
    assert any("Best Exact match: 0." in m.value for m in tuning.markdown)
    assert len(charts(transfer)) == 1
    (caption,) = [c for c in transfer.caption if "Mean of" in c.value]
    assert "scored by their task's metric" in caption.proto.help
    assert "chance" not in caption.value
    assert any("at most 3 tokens" in c.value for c in library.caption)
    prompt = run("prompt", **t5)
    assert not prompt.exception
    (said,) = [m.value for m in prompt.markdown if m.value.startswith("Exact match **")]
    found = lab.stored(sweeps.own_evaluation(prompts[0], lab.pin(task, "t5-mini")))
    assert f"Exact match **{found.score:.2f}**" in said
    assert "; F1 **" in said
    (shown,) = [d.value for d in prompt.dataframe if "written" in d.value]
    assert shown.written.tolist() == list(found.written)
    wrong = run("prompt", **t5, answers="below full score")
    (kept,) = [d.value for d in wrong.dataframe if "written" in d.value]
    assert len(kept) == int((found.scores < 1).sum())
    assert any("Accuracy on" in c.value for c in prompt.caption)
    assert not [t for t in prompt.text_input if t.label == "Prompt in words"], "no classes"


def test_why_a_tokenizer_cannot_be_used_is_shown_as_typed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    captions = list[str]()
    monkeypatch.setattr(upload.st, "caption", captions.append)

    class Broken:
        def names(self) -> list[str]:
            return [ODD]

        def pieces(self, name: str, words: tuple[str, ...]) -> None:
            raise BadInput(f"The tokenizer in {name} cannot be used.")

    upload._pieces(SimpleNamespace(models=Broken()), ("no", "yes"))
    assert captions == [plain(f"{ODD}: The tokenizer in {ODD} cannot be used.")]


@pytest.mark.usefixtures("fresh")
def test_an_uploaded_file_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read, times = upload.read_table, list[str]()
    monkeypatch.setattr(upload, "read_table", lambda *a: times.append(a[0]) or read(*a))
    rows = "".join(f"text {i},{'ab'[i % 2]}\n" for i in range(40)).encode()
    test = run("library", section="tasks", **{"from": "own"})
    test.file_uploader[0].set_value(("mine.csv", b"words,verdict\n" + rows, "text/csv")).run()
    for title in ("One", "Two"):
        next(t for t in test.text_input if t.label == "Title").set_value(title).run()
    assert not test.exception
    assert times == ["mine.csv"]
    test.file_uploader[0].set_value(("mine.csv", b"words,mark\n" + rows, "text/csv")).run()
    assert times == ["mine.csv", "mine.csv"], "other content under the same name is another file"


@pytest.mark.parametrize("tasks", [1, 3])
def test_many_pairs_that_share_rows_are_one_line_and_a_table(
    tasks: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"task{i}" for i in range(tasks)]
    for name in names:
        toml = write_task(tmp_path / name)
        shutil.copy(toml.parent / "train.jsonl", toml.parent / "validation.jsonl")
        (tmp_path / f"{name}.toml").write_text(f'data = "{toml.parent}"\n{toml.read_text()}')
    monkeypatch.setenv("SKILLSCOPE_TASKS", str(tmp_path))
    script = (
        "from core.tasks import load_task\n"
        "from pages.common import warnings\n"
        f"tasks = [load_task(n) for n in {names}]\n"
        "warnings.shared(tasks, tasks)\n"
    )
    page = AppTest.from_string(script, default_timeout=30).run()
    assert not page.exception
    (said,) = [w.value for w in page.warning]
    if tasks == 1:
        assert "also occur in its own train split" in said
    else:
        assert said.startswith("For 9 pairs of tasks")
        assert len(page.dataframe[0].value) == 9
        assert (page.dataframe[0].value.Share == 1).all()


@pytest.mark.usefixtures("fresh")
def test_an_own_task_may_start_from_built_in_prompts_and_is_compared_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, toy = tmp_path / "own", write_task(tmp_path / "toy")
    own.mkdir()
    (own / "toy.toml").write_text(f'data = "{toy.parent}"\n{toy.read_text()}')
    monkeypatch.setenv("SKILLSCOPE_TASKS", str(own))
    tuning = run("tuning", **{"from": "own"})
    assert not tuning.exception
    starts = next(s for s in tuning.selectbox if s.label == "Start from").options
    assert {"Short reviews", "Excuses", "projected from t5-mini"} <= set(starts)
    assert "Toy" not in starts
    alone, beside = (
        run("transferability", backbone="roberta-mini", builtin=builtin, **{"from": "own"})
        for builtin in ("false", "true")
    )
    for page, tasks in ((alone, 1), (beside, 10)):
        assert not page.exception
        (said,) = [m.value for m in page.markdown if "answers" in m.value and "of" in m.value]
        asked = int(re.search(r"of ([\d,]+)\*\*", said)[1].replace(",", ""))
        assert asked >= 5 * tasks**2, said
