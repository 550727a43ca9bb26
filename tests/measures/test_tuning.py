"""Prompt tuning: the vectors learn, the backbone does not."""

import json
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from core.backbones import load_backbone
from core.base.errors import BadInput, Cancelled
from core.base.measure import Artifact, Run
from core.base.prompts import SoftPrompt
from core.base.specs import Pinned, dumps, key, loads
from core.exchange.sharing import read_prompt, share
from core.lab.lab import Lab
from core.measures.evaluation import EvaluationSpec
from core.measures.fitting import split_selection
from core.measures.prompts import ImportedPrompt
from core.measures.tuning import TuneSpec, initial_vectors
from core.store.files import artifact_bytes, read_artifact
from core.tasks import Task, load_task, pin_task
from core.tasks.data import Examples, load_split
from tests.conftest import sentence, write_task

RUN = Run(started="2026-01-01T00:00:00+00:00", seconds=1.0, device="cpu", versions="")


@pytest.fixture(scope="module")
def toml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Label 1 exactly where the text says `warm`."""
    toml = write_task(tmp_path_factory.mktemp("easy"))
    rng = random.Random(5)
    rows = []
    for i in range(120):
        bare = sentence(rng).replace("warm", "dull").replace("cold", "dull")
        text = f"{'warm warm' if i % 2 else 'cold cold'} {bare}"
        rows.append(json.dumps({"text": text, "label": i % 2}))
    (toml.parent / "train.jsonl").write_text("\n".join(rows))
    return toml


@pytest.fixture(scope="module")
def task(toml: Path) -> Task:
    return load_task(str(toml))


@pytest.fixture
def spec(lab: Lab, task: Task, tiny_folder: Path) -> TuneSpec:
    return TuneSpec(
        backbone=lab.models.pin(str(tiny_folder)), task=pin_task(task, "roberta"), seed=1,
        prompt_length=4, steps=6, selection=20, evaluate_every=2, learning_rate=0.05, batch_size=16,
    )  # fmt: skip


def tuned(lab: Lab, spec: TuneSpec) -> SoftPrompt:
    prompt: SoftPrompt = lab.answer(spec)
    return prompt


def test_tuning_leaves_the_backbone_untouched(lab: Lab, spec: TuneSpec) -> None:
    backbone = lab.models.load(spec.backbone.name)
    before = {name: p.clone() for name, p in backbone.model.state_dict().items()}
    lab.answer(spec)
    assert lab.models.load(spec.backbone.name) is backbone
    for name, after in backbone.model.state_dict().items():
        assert torch.equal(after, before[name])


def test_same_seed_gives_the_same_vectors_another_seed_others(lab: Lab, spec: TuneSpec) -> None:
    one, again, other = (tuned(lab, s) for s in (spec, spec, replace(spec, seed=2)))
    assert torch.equal(one.vectors, again.vectors)
    assert one.history == again.history
    assert not torch.equal(one.vectors, other.vectors)


@pytest.mark.parametrize("init", ["vocabulary", "random", "labels"])
def test_every_start_has_the_prompts_shape(spec: TuneSpec, task: Task, init: str) -> None:
    backbone = load_backbone(Path(spec.backbone.name))
    vectors = initial_vectors(replace(spec, init=init), backbone, task)
    assert vectors.shape == (4, backbone.hidden_size)
    assert vectors.std() < 3 * backbone.word_vectors().std()


def test_a_start_from_words_takes_rows_of_the_vocabulary(spec: TuneSpec, task: Task) -> None:
    backbone = load_backbone(Path(spec.backbone.name))
    words = backbone.word_vectors()
    for init in ("vocabulary", "labels"):
        for vector in initial_vectors(replace(spec, init=init), backbone, task):
            assert (words == vector).all(dim=1).any()


def test_learning_and_selection_rows_are_disjoint_and_complete(spec: TuneSpec, task: Task) -> None:
    train = load_split(task, "train")
    learn, select = split_selection(train, spec)
    assert len(select) == 20
    assert len(split_selection(train, replace(spec, selection=1000))[1]) == len(train) // 4
    assert len(split_selection(train, replace(spec, selection=len(train) - 2))[0]) == 2
    assert sorted([*learn.index, *select.index]) == train.index.tolist()


def test_selection_rows_do_not_depend_on_the_seed(spec: TuneSpec, task: Task) -> None:
    train = load_split(task, "train")
    one, other = (split_selection(train, replace(spec, seed=s))[1] for s in (1, 2))
    assert np.array_equal(one.index, other.index)


def test_a_too_small_train_split_is_refused(spec: TuneSpec, task: Task) -> None:
    few: Examples = load_split(task, "train", 8)
    assert [len(part) for part in split_selection(few, spec)] == [6, 2]
    with pytest.raises(BadInput, match="at least 8 train examples; the train split has 7"):
        split_selection(load_split(task, "train", 7), spec)


def test_the_loss_falls_where_there_is_something_to_learn(lab: Lab, spec: TuneSpec) -> None:
    prompt = tuned(lab, replace(spec, steps=40, evaluate_every=20, learning_rate=0.1))
    losses = [s.loss for s in prompt.history]
    assert np.mean(losses[-10:]) < 0.9 * np.mean(losses[:5])


def test_the_kept_step_is_the_last_of_the_best(lab: Lab, spec: TuneSpec) -> None:
    prompt = tuned(lab, spec)
    rated = {s.step: s.accuracy for s in prompt.history if s.accuracy is not None}
    assert sorted(rated) == [2, 4, 6]
    best = max(rated.values())
    assert prompt.selection_accuracy == best
    assert prompt.best_step == max(step for step, a in rated.items() if a == best)
    assert prompt.selection_rows == 20


def test_the_last_step_is_rated_too(lab: Lab, spec: TuneSpec) -> None:
    prompt = tuned(lab, replace(spec, steps=3))
    assert [s.accuracy is None for s in prompt.history] == [True, False, False]


def test_steps_are_reported_as_they_come(lab: Lab, spec: TuneSpec) -> None:
    assert lab.live(spec) == ()
    assert lab.live(spec) == () != tuned(lab, spec).history == lab.live(spec)


def test_a_prompt_round_trips_through_the_store_bit_for_bit(lab: Lab, spec: TuneSpec) -> None:
    fresh = tuned(lab, spec)
    stored = lab.prompt(spec)
    assert torch.equal(stored.vectors, fresh.vectors)
    assert stored.vectors.dtype == torch.float32
    assert (stored.spec, stored.words, stored.history) == (spec, fresh.words, fresh.history)
    assert (stored.best_step, stored.selection_accuracy, stored.selection_rows) == (
        fresh.best_step, fresh.selection_accuracy, fresh.selection_rows,
    )  # fmt: skip


def test_a_prompt_file_says_what_it_is(lab: Lab, spec: TuneSpec) -> None:
    stored = lab.prompt(spec)
    read = read_prompt(lab.store.file("prompts", key(spec)))
    assert torch.equal(read.vectors, stored.vectors)
    assert (read.spec, read.words) == (spec, stored.words)


@pytest.mark.parametrize("content", [b"", b"nothing of the kind"])
def test_another_file_is_no_prompt(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "prompt.safetensors"
    with pytest.raises(BadInput, match=r"prompt\.safetensors"):
        read_prompt(file)
    file.write_bytes(content)
    with pytest.raises(BadInput, match=r"prompt\.safetensors"):
        read_prompt(file)


def test_cancelling_stores_nothing(lab: Lab, spec: TuneSpec) -> None:
    def progress(done: float, message: str = "") -> None:
        if done >= 0.2:  # while the prompt is being tuned
            raise Cancelled("Cancelled.")

    with pytest.raises(Cancelled):
        lab.ask(EvaluationSpec(prompt=spec, task=spec.task), progress)
    assert lab.store.read(spec) is None
    assert list((lab.store.folder / "prompts").glob("*")) == []
    assert all(lab.store.frame(f"SELECT * FROM {t}").empty for t in ("prompt", "step", "run"))


# --- interrupted ---------------------------------------------------------------------------------
def interrupted(lab: Lab, spec: TuneSpec, step: int, error: Exception) -> None:
    """Tuning that ends with this error at a step."""

    def progress(done: float, message: str = "") -> None:
        if message == f"step {step} of {spec.steps}":
            raise error

    with pytest.raises(type(error)):
        lab.ask(spec, progress)


@pytest.mark.parametrize(
    ("step", "error", "kept"), [(3, Cancelled("Cancelled."), 3), (5, MemoryError(), 4)]
)
def test_interrupted_tuning_goes_on_as_if_nothing_had_happened(
    lab: Lab, spec: TuneSpec, step: int, error: Exception, kept: int
) -> None:
    whole = tuned(lab, spec)
    interrupted(lab, spec, step, error)
    assert lab.store.read(spec) is None
    found = list((lab.store.folder / "unfinished").iterdir())
    assert [f.name for f in found] == [f"{key(spec)}.safetensors"]
    told = list[str]()
    lab.ask(spec, lambda done, message="": told.append(message))
    steps = [m for m in told if m.startswith("step")]
    assert steps == [f"step {i} of {spec.steps}" for i in range(kept + 1, spec.steps + 1)]
    assert [s.step for s in lab.live(spec)] == [1, 2, 3, 4, 5, 6]
    prompt: SoftPrompt = lab.stored(spec)
    assert torch.equal(prompt.vectors, whole.vectors)
    assert prompt.history == whole.history
    assert prompt.best_step == whole.best_step
    assert list((lab.store.folder / "unfinished").iterdir()) == [], "it is finished"


def told(change: Callable[[str], str]) -> Callable[[Artifact], Artifact]:
    """The same with other numbers."""
    return lambda a: replace(a, header={**a.header, "halfway": change(a.header["halfway"])})


def longer(numbers: str) -> str:
    history = [{"step": i, "loss": 1.0} for i in range(1, 8)]
    return json.dumps(json.loads(numbers) | {"history": history})


BROKEN: dict[str, Callable[[Artifact], Artifact]] = {
    "no numbers": told(lambda numbers: "{"),
    "another step": told(lambda numbers: numbers.replace('"loss"', '"lost"')),
    "too long": told(longer),
    "no count": lambda a: replace(
        a, tensors={n: t for n, t in a.tensors.items() if not n.endswith(".step")}
    ),
    "other shapes": lambda a: replace(a, tensors={n: t.ravel()[:1] for n, t in a.tensors.items()}),
    "of another": lambda a: replace(a, header={**a.header, "of": "0" * 20}),
    "elsewhere": lambda a: replace(a, header={**a.header, "setting": "cuda"}),
}


@pytest.mark.slow
@pytest.mark.parametrize("how", ["empty", "nonsense", *BROKEN])
def test_what_cannot_be_gone_on_from_is_begun_anew(lab: Lab, spec: TuneSpec, how: str) -> None:
    whole = tuned(lab, spec)
    interrupted(lab, spec, 3, Cancelled("Cancelled."))
    (file,) = (lab.store.folder / "unfinished").iterdir()
    if how in BROKEN:
        file.write_bytes(artifact_bytes(BROKEN[how](read_artifact(file))))
    else:
        file.write_bytes(b"" if how == "empty" else b"nonsense")
    prompt = lab.prompt(spec)
    assert torch.equal(prompt.vectors, whole.vectors)
    assert prompt.history == whole.history


def test_nothing_is_forgotten_before_it_is_stored(
    lab: Lab, spec: TuneSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(lab.store, "add", full)
        with pytest.raises(OSError, match="No space"):
            lab.ask(spec)
    told = list[str]()
    lab.ask(spec, lambda done, message="": told.append(message))
    assert "step 5 of 6" in told
    assert "step 4 of 6" not in told, "its last evaluation"


def test_a_disk_that_is_full_ends_no_run(
    lab: Lab, spec: TuneSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("core.lab.unfinished.write_file", full)
    interrupted(lab, spec, 3, Cancelled("Cancelled."))
    assert lab.prompt(spec).best_step > 0


def test_the_time_of_both_parts_is_stored(lab: Lab, spec: TuneSpec) -> None:
    def slowly(done: float, message: str = "") -> None:
        if message == f"step 3 of {spec.steps}":
            time.sleep(0.5)
            raise Cancelled("Cancelled.")

    with pytest.raises(Cancelled):
        lab.ask(spec, slowly)
    lab.ask(spec)
    assert lab.store.run(key(spec)).seconds >= 0.5


# --- starting from another prompt ----------------------------------------------------------------
def test_tuning_starts_from_another_prompts_vectors(lab: Lab, spec: TuneSpec) -> None:
    first = lab.prompt(spec)
    still = replace(spec, seed=2, steps=1, learning_rate=1e-9, start=spec)
    assert torch.allclose(tuned(lab, still).vectors, first.vectors, atol=1e-6)
    assert key(still) != key(replace(still, start=None))
    again = replace(still, steps=6, learning_rate=0.05)
    assert again.needs == (spec,)
    assert not torch.allclose(tuned(lab, again).vectors, first.vectors, atol=1e-6)
    assert f"initialised from prompt {key(spec)}" in " ".join(again.recipe)
    assert again.reseeded(7).start == spec.reseeded(7), "every seed has its own start"
    assert loads(dumps(again)) == again


def test_a_missing_start_is_tuned_first(lab: Lab, spec: TuneSpec) -> None:
    later = replace(spec, start=replace(spec, seed=5), steps=1)
    assert not lab.known([later.start])
    lab.ask(later)
    assert lab.known([later.start])


def test_a_start_that_does_not_fit_is_refused(lab: Lab, spec: TuneSpec) -> None:
    with pytest.raises(BadInput, match="has 4 vectors; 3 are asked for"):
        lab.answer(replace(spec, prompt_length=3, start=spec))
    other = ImportedPrompt(
        backbone=Pinned(name="another", fingerprint="0"), seed=0, prompt_length=4, sha256="0",
        task="x",
    )  # fmt: skip
    lab.store.add(SoftPrompt(spec=other, vectors=torch.zeros(4, 3), words=()), RUN)
    with pytest.raises(BadInput, match="is for another, not for"):
        lab.answer(replace(spec, start=other))


def test_a_released_prompt_starts_without_its_dead_row(
    lab: Lab, spec: TuneSpec, tiny_folder: Path
) -> None:
    width = lab.backbone(spec).hidden_size
    vectors = torch.randn(5, width, generator=torch.Generator().manual_seed(0))
    imported = ImportedPrompt(
        backbone=spec.backbone, seed=0, prompt_length=5, layout="published", sha256="0", task="x"
    )
    known = lab.adopt(SoftPrompt(spec=imported, vectors=vectors, words=()), "0")
    live = vectors if "t5" in tiny_folder.name else vectors[1:]
    still = replace(spec, prompt_length=len(live), steps=1, learning_rate=1e-9, start=known)
    assert torch.allclose(tuned(lab, still).vectors, live, atol=1e-6)


def test_what_is_shared_names_no_folder_of_the_start_either(
    lab: Lab, spec: TuneSpec, tiny_folder: Path
) -> None:
    later = replace(spec, start=spec, steps=1)
    files = share(lab.prompt(later), lab.models.shape(str(tiny_folder)))
    for data in files.values():
        assert str(tiny_folder.parent).encode() not in data
