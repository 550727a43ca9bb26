"""Nearest words, vectors left out, and prompts in words: against loops without our code."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from core.backbones.prompted import PromptedModel
from core.base.errors import BadInput
from core.base.prompts import SoftPrompt
from core.lab.lab import Lab
from core.measures import sweeps
from core.measures.dropped import DroppedSpec
from core.measures.evaluation import EvaluationSpec
from core.measures.nearest import NearestSpec
from core.measures.prompts import ImportedPrompt
from core.measures.tuning import TuneSpec
from core.tasks import Task, load_task
from core.tasks.data import load_split
from tests.measures.test_predictivity import question

pytestmark = pytest.mark.slow


@pytest.fixture
def task(toy_task: Path) -> Task:
    return load_task(str(toy_task))


@pytest.fixture
def prompt(lab: Lab, tiny_folder: Path, task: Task) -> TuneSpec:
    found = question(lab, tiny_folder, task, permutations=0).prompt
    assert isinstance(found, TuneSpec)
    return found


# --- nearest words -------------------------------------------------------------------------------
def test_the_nearest_words_are_those_of_the_whole_vocabulary(lab: Lab, prompt: TuneSpec) -> None:
    found = lab.answer(NearestSpec(prompt=prompt, count=3))
    backbone = lab.backbone(prompt)
    words = backbone.word_vectors().double().numpy()
    vectors = lab.prompt(prompt).vectors.double().numpy()
    lengths = np.sqrt((words**2).sum(axis=1))
    for row, vector in enumerate(vectors):
        cosines = words @ vector / np.maximum(lengths * np.sqrt(vector @ vector), 1e-300)
        distances = np.sqrt(((words - vector) ** 2).sum(axis=1))
        best, closest = np.argsort(-cosines)[:3], np.argsort(distances)[:3]
        assert found.values["cosine"][row] == pytest.approx(cosines[best])
        assert found.values["distance"][row] == pytest.approx(distances[closest], abs=1e-6)
        for metric, ids in (("cosine", best), ("distance", closest)):
            assert found.ids[metric][row].tolist() == ids.tolist()
            for text, i in zip(found.tokens[metric][row], ids, strict=True):
                token = backbone.tokenizer.convert_ids_to_tokens(int(i))
                assert text in (token, backbone.tokenizer.decode([int(i)]).strip())
    assert found.norms == pytest.approx(np.linalg.norm(vectors, axis=1))
    assert found.vocabulary == pytest.approx(np.quantile(lengths, [0.05, 0.5, 0.95]))


def test_a_prompt_that_was_not_moved_says_the_words_it_started_from(
    lab: Lab, prompt: TuneSpec
) -> None:
    still = replace(prompt, steps=1, learning_rate=1e-9)
    found = lab.answer(NearestSpec(prompt=still))
    assert len(found.start) == still.prompt_length
    assert [row[0] for row in found.tokens["distance"]] == list(found.start)
    assert found.ids["distance"][:, 0].tolist() == list(found.start_id)
    assert found.values["distance"][:, 0] == pytest.approx(0, abs=1e-5)
    other = lab.answer(NearestSpec(prompt=replace(prompt, init="random")))
    assert other.start == ()


def test_the_store_gives_nearest_words_back(lab: Lab, prompt: TuneSpec) -> None:
    for asked in (prompt, replace(prompt, init="random")):
        spec = NearestSpec(prompt=asked, count=4)
        lab.ask(spec)
        again, computed = lab.store.read(spec), lab.answer(spec)
        assert again.tokens == computed.tokens
        assert again.start == computed.start
        assert again.start_id == computed.start_id
        assert again.vocabulary == computed.vocabulary
        for metric, values in computed.values.items():
            assert np.array_equal(again.ids[metric], computed.ids[metric])
            assert np.array_equal(again.values[metric], values)


# --- vectors left out ----------------------------------------------------------------------------
def right(lab: Lab, spec: DroppedSpec, task: Task, kept: list[int]) -> np.ndarray:
    """Which examples are right with some vectors, one example at a time."""
    vectors = lab.prompt(spec.prompt).vectors[kept]
    part = SoftPrompt(spec=spec.prompt, vectors=vectors, words=())
    model = PromptedModel(lab.backbone(spec.prompt, "fp64"), part, task)
    examples = load_split(task, spec.split, spec.limit)
    rows = model.encode(examples)
    with torch.no_grad():
        scores = [model.scores(rows.batch([i], model.backbone))[0] for i in range(len(examples))]
    return np.array([int(s.argmax()) for s in scores]) == examples.labels


def test_it_is_the_prompt_without_these_vectors(lab: Lab, prompt: TuneSpec, task: Task) -> None:
    spec = DroppedSpec(prompt=prompt, task=prompt.task, limit=20, draws=2, precision="fp64")
    found = lab.answer(spec)
    every = list(range(prompt.prompt_length))
    whole, nothing = right(lab, spec, task, every), right(lab, spec, task, [])
    assert (found.n, found.whole) == (20, whole.sum())
    assert found.row.tolist() == every
    for row in every:
        alone = right(lab, spec, task, [r for r in every if r != row])
        assert found.lost[row] == (whole & ~alone).sum()
        assert found.gained[row] == (~whole & alone).sum()
    assert found.counts[-1] == len(every)
    assert (found.curve[:, -1] == nothing.sum()).all(), "without any vector all orders are one"
    for draw in range(2):
        order = np.random.default_rng([prompt.seed, draw]).permutation(len(every))
        count = int(found.counts[0])
        left = right(lab, spec, task, [r for r in every if r not in order[:count]])
        assert found.curve[draw, 0] == left.sum()


def test_a_dead_row_is_never_left_out(lab: Lab, tiny_roberta: Path, task: Task) -> None:
    pin = lab.pin(task, str(tiny_roberta))
    spec = ImportedPrompt(
        backbone=lab.models.pin(str(tiny_roberta)), seed=0, prompt_length=4, layout="published",
        sha256="0", task=task.name,
    )  # fmt: skip
    width = lab.backbone(spec).hidden_size
    vectors = torch.randn(4, width, generator=torch.Generator().manual_seed(0))
    known = lab.adopt(SoftPrompt(spec=spec, vectors=vectors, words=()), "0")
    asked = DroppedSpec(prompt=known, task=pin, limit=8, draws=1)
    found = lab.answer(asked)
    assert found.row.tolist() == [1, 2, 3]
    assert found.curve[0, -1] == right(lab, asked, task, [0]).sum()


def test_the_store_gives_left_out_vectors_back(lab: Lab, prompt: TuneSpec) -> None:
    spec = DroppedSpec(prompt=prompt, task=prompt.task, limit=9, draws=3)
    lab.ask(spec)
    again, computed = lab.store.read(spec), lab.answer(spec)
    assert (again.n, again.whole) == (computed.n, computed.whole)
    for name in ("row", "lost", "gained", "counts", "curve"):
        assert np.array_equal(getattr(again, name), getattr(computed, name)), name


# --- prompts in words ----------------------------------------------------------------------------
def test_a_prompt_in_words_is_the_words(lab: Lab, tiny_folder: Path, task: Task) -> None:
    spec = lab.in_words(str(tiny_folder), task, "  the film\nwas good ")
    assert spec.text == "the film was good"
    found = lab.prompt(spec)
    backbone = lab.backbone(spec)
    ids = backbone.tokenizer("the film was good", add_special_tokens=False).input_ids
    assert torch.equal(found.vectors, backbone.word_vectors()[ids])
    asked = sweeps.own_evaluation(spec, lab.pin(task, str(tiny_folder)))
    same = lab.adopt(replace(found, spec=replace(spec, text="other")), "1")
    assert (
        lab.answer(asked).predictions.tolist()
        == lab.answer(EvaluationSpec(prompt=same, task=asked.task)).predictions.tolist()
    )


@pytest.mark.parametrize(("text", "tokens"), [(" ", 0), ("good " * 600, 600)])
def test_too_few_or_too_many_words_are_refused(
    lab: Lab, tiny_roberta: Path, task: Task, text: str, tokens: int
) -> None:
    with pytest.raises(BadInput, match=f"has 1 to 512 tokens; this one has {tokens}"):
        lab.in_words(str(tiny_roberta), task, text)


def test_special_tokens_are_words_like_others(lab: Lab, tiny_folder: Path, task: Task) -> None:
    token = lab.models.load(str(tiny_folder)).tokenizer.all_special_tokens[0]
    spec = lab.in_words(str(tiny_folder), task, f"good {token}")
    assert spec.prompt_length > 2, "its characters, not the token"
    assert len(lab.prompt(spec).vectors) == spec.prompt_length


def test_words_that_are_tokenized_otherwise_are_refused(
    lab: Lab, tiny_roberta: Path, task: Task
) -> None:
    spec = lab.in_words(str(tiny_roberta), task, "good film")
    with pytest.raises(BadInput, match="tokens, not 9"):
        lab.answer(replace(spec, prompt_length=9))
