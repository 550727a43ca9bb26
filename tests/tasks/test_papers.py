"""The papers' tasks: their files, their answer words, the hub's datasets and local copies."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from huggingface_hub import constants

from core.backbones import load_backbone
from core.backbones.fresh import fresh_roberta, fresh_t5
from core.base.errors import BadTask, NotDownloaded
from core.base.settings import ROOT
from core.lab.lab import Lab
from core.measures.evaluation import EvaluationSpec
from core.measures.predictivity import PredictivitySpec
from core.measures.tuning import TuneSpec
from core.tasks import Task, clean_task, load_task, paper_names, pin_task
from core.tasks.data import download, load_split, overlap, shared_rows
from tests.backbones.hub import Hub, Repo, glue
from tests.backbones.hub import hub as running

pytestmark = pytest.mark.slow
DATA = ROOT.parent / "shared" / "data"
TOKENIZERS = ROOT.parent / "shared" / "tokenizers"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="no local copies of the datasets")
needs_tokenizers = pytest.mark.skipif(not TOKENIZERS.is_dir(), reason="no real tokenizers here")

# Ids of the answer words in class order. Source: the papers' code.
IDS = {
    "roberta": {
        **{key: [33407, 22173] for key in ["sst2", "imdb", "movie_rationales"]},
        "qnli": [2362, 10932],
        "mnli": [2362, 12516, 10932],
        "mnli_binary": [2362, 10932],
        **{key: [22303, 29225] for key in ["mrpc", "qqp"]},
        **{key: [897, 32047] for key in ["ethics_deontology", "ethics_justice"]},
        **{key: [33407, 19397, 22173] for key in ["laptop", "restaurant", "tweet_sentiment"]},
        "snli": [2362, 12516, 10932],
    },
    "t5": {
        **{key: [2841, 1465] for key in ["sst2", "imdb", "movie_rationales"]},
        "qnli": [27252, 3],
        "mnli": [27252, 7163, 3],
        "mnli_binary": [27252, 3],
        **{key: [6136, 1176] for key in ["mrpc", "qqp"]},
        **{key: [29452, 9961] for key in ["ethics_deontology", "ethics_justice"]},
        **{key: [2841, 8107, 1465] for key in ["laptop", "restaurant", "tweet_sentiment"]},
        "snli": [27252, 7163, 3],
    },
}


@pytest.mark.parametrize("name", paper_names())
def test_a_task_file_is_whole(name: str) -> None:
    task = load_task(name)
    assert task.title
    assert task.about
    assert task.source
    for family in ("roberta", "t5", "bert"):
        assert len(task.words(family)) == len(task.labels)
    assert task.labels or "t5" in task.templates
    origin = clean_task(task)
    assert origin.adversarial_of is None
    assert (task is origin) == (not name.startswith("adv_"))


@needs_tokenizers
@pytest.mark.parametrize("family", ["roberta", "t5"])
def test_answer_words_are_the_papers(family: str) -> None:
    from transformers import AutoTokenizer, RobertaTokenizer

    if family == "roberta":
        folder = TOKENIZERS / "roberta-base"
        tokenizer = RobertaTokenizer.from_pretrained(folder)
        sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
        backbone = fresh_roberta(tokenizer, seed=0, intermediate_size=8, **sizes)
    else:
        tokenizer = AutoTokenizer.from_pretrained(TOKENIZERS / "t5")
        backbone = fresh_t5(tokenizer, seed=0, d_model=8, d_kv=8, d_ff=8, num_layers=1, num_heads=1)
    for name, ids in IDS[family].items():
        words = load_task(name).words(family)
        assert [backbone.token_ids(word)[0] for word in words] == ids, name


# --- local copies --------------------------------------------------------------------------------
@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKILLSCOPE_DATA", str(DATA))


@needs_data
@pytest.mark.parametrize("name", [n for n in paper_names() if load_task(n).labels])
@pytest.mark.usefixtures("copies")
def test_a_local_copy_loads_and_is_measured(
    lab: Lab, tiny_roberta: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.settings = replace(lab.settings, data=DATA)
    task = lab.find_task(name)
    assert task.ready
    origin = clean_task(task)
    # The tiny tokenizer cuts the real answer words into pieces that classes may share.
    words = ("the", "film", "meal")[: len(task.labels)]
    monkeypatch.setattr(Task, "words", lambda self, family: words)
    prompt = TuneSpec(
        backbone=lab.models.pin(str(tiny_roberta)), task=pin_task(origin, "roberta"), seed=0,
        prompt_length=2, steps=1, batch_size=2, selection=10, max_length=40,
    )  # fmt: skip
    small = load_split(origin, "train", 40)
    monkeypatch.setattr(
        "core.lab.lab.load_split", lambda t, s, n=None: load_split(t, s, min(n or 40, 40))
    )
    assert len(small) == 40
    split = task.evaluation_split
    evaluated = lab.answer(
        EvaluationSpec(prompt=prompt, task=pin_task(task, "roberta"), split=split)
    )
    assert evaluated.n == 40
    contrast = task.contrasts()[0]
    spec = PredictivitySpec(
        prompt=prompt,
        task=pin_task(task, "roberta"),
        split=split,
        contrast=contrast,
        permutations=2,
    )
    measured = lab.answer(spec)
    assert 0 < measured.n <= 40
    assert measured.accuracy.min() >= 0
    assert measured.accuracy.max() <= 1


@needs_data
@pytest.mark.usefixtures("copies")
def test_shared_rows_are_found() -> None:
    """643 of SST-2's 872 dev rows stand in the train split of Rotten Tomatoes."""
    train = load_split(load_task("rotten_tomatoes"), "train")
    dev = load_split(load_task("sst2"), "validation")
    assert overlap(train, dev) >= 643
    assert overlap(dev, dev) == len(dev)
    assert overlap(load_split(load_task("imdb"), "train"), dev) < 10
    tasks = [load_task(name) for name in ("sst2", "rotten_tomatoes")]
    found = {(s.source_task, s.target_task): s for s in shared_rows(tasks, tasks)}
    assert found["rotten_tomatoes", "sst2"].rows == overlap(train, dev)
    assert found["rotten_tomatoes", "sst2"].n == 872


@needs_data
@pytest.mark.usefixtures("copies")
def test_binary_mnli_is_mnli_without_the_neutral_rows() -> None:
    three, two = (load_split(load_task(n), "test") for n in ("mnli", "mnli_binary"))
    kept = three.labels != 1
    assert [t for t, k in zip(three.text_a, kept, strict=True) if k] == list(two.text_a)
    assert ((three.labels[kept] == 2) == (two.labels == 1)).all()


def test_a_task_without_data_says_where_they_could_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SKILLSCOPE_DATA", raising=False)
    with pytest.raises(BadTask, match="SKILLSCOPE_DATA"):
        load_split(load_task("laptop"), "train")
    with pytest.raises(NotDownloaded, match="fetch-task sst2"):
        load_split(load_task("sst2"), "train")


# --- the hub -------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def server() -> Iterator[Hub]:
    with running() as one:
        yield one


@pytest.fixture
def here(server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A hub with GLUE's SST-2 and ETHICS in the shape of the real ones, and empty caches."""
    import datasets

    monkeypatch.setattr(constants, "ENDPOINT", server.address)
    template = server.address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", server.address)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "datasets"))
    monkeypatch.setenv("SKILLSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SKILLSCOPE_DATA", raising=False)
    server.repos.clear()
    server.asked.clear()
    server.repos["nyu-mll/glue"] = Repo(
        glue(tmp_path / "glue", [f"a film {i}" for i in range(30)], 12), kind="dataset"
    )
    server.repos["hendrycks/ethics"] = Repo(
        ethics(tmp_path / "ethics"), kind="dataset", revisions=("refs/convert/parquet",)
    )
    return server


def ethics(folder: Path) -> Path:
    for split in ("train", "test"):
        (folder / "deontology" / split).mkdir(parents=True)
        table = pd.DataFrame(
            {"label": [0, 1], "scenario": ["wash up", "sleep"], "excuse": ["no", split]}
        )
        table.to_parquet(folder / "deontology" / split / "0000.parquet")
    return folder


def test_a_dataset_of_the_hub_becomes_one_file_per_split(here: Hub) -> None:
    task = load_task("sst2")
    assert not task.ready
    told: list[str] = []
    download(task, lambda done, message="": told.append(message))
    assert task.ready
    assert len(load_split(task, "train")) == 30
    assert load_split(task, "validation").labels.tolist() == [0, 1] * 6
    assert "Downloading SST-2, train" in told
    asked = len(here.asked)
    download(task)
    assert len(here.asked) == asked, "what is here is not asked for again"


def test_a_dataset_given_by_its_files(here: Hub) -> None:
    task = load_task("ethics_deontology")
    download(task)
    examples = load_split(task, "test")
    assert examples.text_b == ("no", "test")
    assert examples.labels.tolist() == [0, 1]


def written(folder: Path) -> dict[str, Repo]:
    """Sets with written answers, with columns as on the hub."""
    tables = {
        "rajpurkar/squad": {
            "question": ["Who?", "Where?"], "context": ["Ann sat.", "In Rome."],
            "answers": [
                {"text": ["Ann"], "answer_start": [0]},
                {"text": ["Rome", "In Rome"], "answer_start": [3, 0]},
            ],
        },
        "google-research-datasets/nq_open": {
            "question": ["who", "where"], "answer": [["Ann", "Anna"], ["Rome"]]
        },
        "knkarthick/samsum": {"dialogue": ["A: Hi.", "B: Bye."], "summary": ["A greets.", "B."]},
        "alexfabbri/multi_news": {"document": ["One ||||| Two", "Three"], "summary": ["1", "2"]},
    }  # fmt: skip
    repos = {}
    for name, table in tables.items():
        place = folder / name
        converted = name.startswith("alex")
        for split in ("train", "validation", "test"):
            file = f"default/{split}/0000" if converted else f"{split}-00000-of-00001"
            if name.startswith("rajpurkar"):
                file = f"plain_text/{file}"
            if name.startswith("google"):
                file = f"nq_open/{file}"
            (place / file).parent.mkdir(parents=True, exist_ok=True)
            pd.DataFrame(table).to_parquet(place / f"{file}.parquet")
        for config in ("plain_text", "nq_open"):
            if (place / config).is_dir():
                (place / "README.md").write_text(
                    f"---\nconfigs:\n- config_name: {config}\n  data_files:\n"
                    + "".join(
                        f"  - split: {s}\n    path: {config}/{s}-*\n"
                        for s in ("train", "validation", "test")
                    )
                    + "---\n"
                )
        revisions = ("refs/convert/parquet",) if converted else ("main",)
        repos[name] = Repo(place, kind="dataset", revisions=revisions)
    return repos


@pytest.mark.parametrize(
    ("name", "text", "references"),
    [
        ("squad", "Where?", ("Rome", "In Rome")),
        ("nq_open", "where", ("Rome",)),
        ("samsum", "B: Bye.", ("B.",)),
        ("multi_news", "Three", ("2",)),
    ],
)
def test_sets_with_written_answers_of_the_hub(
    here: Hub, tmp_path: Path, name: str, text: str, references: tuple[str, ...]
) -> None:
    here.repos.update(written(tmp_path / "written"))
    task = load_task(name)
    download(task)
    examples = load_split(task, task.evaluation_split)
    assert examples.targets is not None
    assert (examples.text_a[1], examples.targets[1]) == (text, references)
    assert (examples.text_b is not None) == (name == "squad")


def test_the_data_are_part_of_a_tasks_pin(here: Hub) -> None:
    task = load_task("sst2")
    before = pin_task(task, "roberta")
    download(task)
    assert pin_task(task, "roberta") != before


def test_a_dataset_that_is_not_there(here: Hub) -> None:
    here.repos.clear()
    with pytest.raises(NotDownloaded, match="nyu-mll/glue"):
        download(load_task("sst2"))
    assert not load_task("sst2").ready


def test_a_dataset_without_the_configuration(here: Hub) -> None:
    with pytest.raises(BadTask, match="cannot be loaded as QNLI"):
        download(load_task("qnli"))


def test_no_network(here: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    nobody = "http://127.0.0.1:9"
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # between attempts
    monkeypatch.setattr(constants, "ENDPOINT", nobody)
    template = nobody + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", nobody)
    with pytest.raises(NotDownloaded, match="cannot be reached"):
        download(load_task("sst2"))


def test_every_family_reads_the_papers_templates(tiny_folder: Path) -> None:
    backbone = load_backbone(tiny_folder)
    task = load_task("qnli")
    ids = backbone.encode("a film", "a book", template=task.templates.get(backbone.family))
    assert len(ids) > 2
