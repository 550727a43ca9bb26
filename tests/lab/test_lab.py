"""The lab: what it takes from the store instead of computing it."""

import shutil
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from huggingface_hub import constants

from core.base.errors import BadInput, Cancelled, UnknownName
from core.base.progress import Progress, no_progress
from core.base.prompts import SoftPrompt
from core.base.settings import Settings
from core.base.specs import key
from core.lab.lab import KEPT, Lab, job_name, open_store
from core.lab.workers import InlineWorker
from core.measures.activations import ActivationSpec
from core.measures.evaluation import EvaluationSpec, Suppression
from core.measures.predictivity import PredictivitySpec, Reader
from core.measures.prompts import ImportedPrompt
from core.measures.tuning import TuneSpec
from core.tasks import load_task, own_names, pin_task
from core.tasks.attacks import Attack
from core.tasks.data import load_split
from tests.conftest import write_task


@pytest.fixture
def whole(lab: Lab, tiny_roberta: Path, toy_task: Path) -> EvaluationSpec:
    task = pin_task(load_task(str(toy_task)), "roberta")
    prompt = TuneSpec(
        backbone=lab.models.pin(str(tiny_roberta)), task=task, seed=0, prompt_length=2, steps=1,
        selection=10,
    )  # fmt: skip
    return EvaluationSpec(prompt=prompt, task=task)


@pytest.mark.parametrize("limit", [1, 7, 30, 31, 1000])
def test_some_rows_of_a_stored_evaluation_are_what_computing_them_gives(
    lab: Lab, whole: EvaluationSpec, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.ask(whole)
    some = replace(whole, limit=limit)
    computed = lab.answer(some)
    with monkeypatch.context() as patch:
        patch.setattr(lab, "answer", None)  # nothing may be computed
        lab.ask(some)
    stored = lab.store.read(some)
    assert stored is not None
    assert stored.index.tolist() == computed.index.tolist()
    assert stored.labels.tolist() == computed.labels.tolist()
    assert stored.predictions.tolist() == computed.predictions.tolist()


def test_a_suppressed_evaluation_is_not_taken_from_the_plain_one(
    lab: Lab, whole: EvaluationSpec
) -> None:
    lab.ask(whole)
    ranking = (PredictivitySpec(prompt=whole.prompt, task=whole.task, permutations=1),)
    how = Suppression(ranking=ranking, choose="skill", fraction=1.0)
    some = replace(whole, limit=20, suppression=how)
    lab.ask(some)
    stored = lab.store.read(some)
    assert stored is not None
    assert stored.predictions.tolist() == lab.answer(some).predictions.tolist()


@pytest.mark.parametrize(("cores", "threads"), [(None, 1), (1, 1), (2, 1), (3, 1), (8, 4)])
def test_a_server_takes_half_of_the_cores_unless_told_otherwise(
    cores: int | None, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    assert Settings().beside_pages().threads == threads
    assert Settings(threads=7).beside_pages().threads == 7


@pytest.mark.parametrize(("asked", "loaded", "used"), [(3, 3, 3), (None, 2, 1)])
def test_torch_is_told_its_threads_when_a_backbone_is_loaded(
    whole: EvaluationSpec, tmp_path: Path, asked: int | None, loaded: int, used: int
) -> None:
    """As many as the settings say; without them its own number, and one for a small backbone."""
    settings, backbone = Settings(cache=tmp_path / "other", threads=asked), whole.prompt.backbone
    torch.set_num_threads(2)
    try:
        with open_store(settings) as store:
            lab = Lab(settings, store)
            assert torch.get_num_threads() == 2
            lab.models.load(backbone.name)
            assert torch.get_num_threads() == loaded
            lab.untuned(whole.prompt, lab.find_task(whole.task.name))
            assert torch.get_num_threads() == used
    finally:
        torch.set_num_threads(1)


# --- jobs of several visitors --------------------------------------------------------------------
class Waits(InlineWorker):
    """A worker that only remembers what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.cancelled: list[str] = []

    def submit(
        self, name: str, job: object, label: str = "", expected: float | None = None
    ) -> None: ...

    def cancel(self, name: str) -> None:
        self.cancelled.append(name)


def test_a_job_stops_when_its_last_follower_has_left(lab: Lab, whole: EvaluationSpec) -> None:
    worker = Waits()
    lab.worker = worker
    for follower in ("a", "b"):
        lab.submit([whole], follower)
    lab.leave([whole], "a")
    assert worker.cancelled == []
    lab.leave([whole], "b")
    assert worker.cancelled == [job_name([whole])]


def test_a_job_that_waits_for_another_can_be_cancelled(lab: Lab, whole: EvaluationSpec) -> None:
    def cancelled(done: float, message: str = "") -> None:
        raise Cancelled(message)

    begun, over = threading.Event(), threading.Event()

    def hold() -> None:
        with lab._alone(key(whole), no_progress):
            begun.set()
            over.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    begun.wait(10)
    with pytest.raises(Cancelled, match="waiting for another job"):
        lab.ask(whole, cancelled)
    over.set()
    holder.join()


def test_a_job_goes_on_after_a_question_that_fails_and_names_its_task(
    lab: Lab, whole: EvaluationSpec
) -> None:
    assert isinstance(whole.prompt, TuneSpec)
    wild = replace(whole.prompt, learning_rate=1e30, steps=5)
    asked, tried = [replace(whole, prompt=wild, limit=n) for n in (5, 6)], list[str]()
    usual = lab.ask
    lab.ask = lambda spec, *a: (tried.append(key(spec)), usual(spec, *a))[1]  # type: ignore[method-assign]
    specs = [wild, *asked, whole]
    lab.submit(specs)
    status = lab.status(specs)
    assert status is not None
    assert status.state == "failed"
    assert status.error.startswith("Not everything could be computed. Toy: Tuning")
    assert status.error.count("Tuning diverged") == 1
    assert lab.known(specs) == {key(whole)}
    assert not {key(s) for s in asked} & set(tried), "what rests on a failure is not tried"


def test_a_prompt_that_is_not_here_fails_in_its_own_words(lab: Lab, whole: EvaluationSpec) -> None:
    missing = ImportedPrompt(
        backbone=whole.prompt.backbone, sha256="0" * 64, task="toy", seed=0, prompt_length=2
    )
    lab.submit([missing, whole])
    status = lab.status([missing, whole])
    assert status is not None
    assert status.state == "failed"
    assert "AttributeError" not in status.error
    assert lab.known([whole]) == {key(whole)}


def test_removed_answers_are_gone_from_memory_and_not_taken_from_a_job(
    lab: Lab, whole: EvaluationSpec
) -> None:
    lab.ask(whole)
    assert lab.stored(whole.prompt) is not None
    keys = lab.store.resting_on(key=key(whole.prompt), prompt=key(whole.prompt))
    said = []

    def during(progress: Progress) -> None:
        try:
            lab.remove(keys)
        except BadInput as error:
            said.append(str(error))

    lab.worker.submit("other", during)
    assert "A job is running" in said[0]
    assert lab.known([whole]) == {key(whole)}
    assert lab.remove(keys) == len(keys) == 2
    assert lab.known([whole, whole.prompt]) == set()
    assert key(whole.prompt) not in lab._read


def test_the_time_of_open_questions_is_that_of_such_answers_before(
    lab: Lab, whole: EvaluationSpec
) -> None:
    open_ones = [replace(whole, limit=n) for n in (5, 6, 7)]
    assert lab.seconds(open_ones) is None, "nothing like it was answered yet"
    lab.ask(whole)
    took = lab.store.run(key(whole)).seconds
    assert lab.seconds(open_ones) == pytest.approx(3 * took)
    unknown = PredictivitySpec(prompt=whole.prompt, task=whole.task)
    assert lab.seconds([*open_ones, unknown]) is None
    assert lab.store.usual_seconds("evaluation", "another") is None


def test_a_jobs_progress_follows_the_time_that_its_questions_usually_take(
    lab: Lab, whole: EvaluationSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = PredictivitySpec(prompt=whole.prompt, task=whole.task, permutations=0)
    lab.ask(whole.prompt)
    usual = {"evaluation": 1.0, "predictivity": 9.0}
    monkeypatch.setattr(lab.store, "usual_seconds", lambda table, _: usual.get(table))
    seen = list[float]()
    jobs = list[Any]()
    monkeypatch.setattr(lab.worker, "submit", lambda name, *given: jobs.append(given))
    lab.submit([whole, slow])
    ((job, _, expected),) = jobs
    assert expected == 10
    job(lambda done, message="": seen.append(done))
    assert seen == sorted(seen)
    assert any(x == pytest.approx(0.1) for x in seen), "the quick one is a tenth"
    assert seen[-1] == pytest.approx(1)
    assert not lab.missing([whole, slow])


def test_selection_rows_are_a_quarter_of_few_and_part_of_the_question(
    lab: Lab, tiny_roberta: Path, tmp_path: Path
) -> None:
    few = load_task(str(write_task(tmp_path / "few")))
    rows = len(load_split(few, "train"))
    assert rows < 800
    (prompt,) = lab.standard(str(tiny_roberta), few, [0])
    assert prompt.selection == lab.selection(few) == rows // 4
    assert lab.selection(load_task("opinions")) is None
    (usual,) = lab.standard("roberta-mini", load_task("opinions"), [0])
    assert usual.selection == 200


def test_a_part_keeps_the_run_of_the_whole(lab: Lab, whole: EvaluationSpec) -> None:
    lab.ask(whole)
    some = replace(whole, limit=5)
    lab.ask(some)
    assert lab.store.run(key(some)) == lab.store.run(key(whole))


# --- where tasks are -----------------------------------------------------------------------------
def test_a_lab_finds_its_tasks_where_its_own_settings_say(
    tmp_path: Path, tiny_roberta: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKILLSCOPE_TASKS", str(tmp_path / "elsewhere"))
    write_task(tmp_path / "mine")
    settings = Settings(cache=tmp_path / "cache", tasks=tmp_path / "mine", threads=1)
    with open_store(settings) as store:
        lab = Lab(settings, store)
        task, backbone = lab.find_task("task"), str(tiny_roberta)
        assert own_names(settings.places) == ("task",)
        prompt = TuneSpec(
            backbone=lab.models.pin(backbone), task=lab.pin(task, backbone), seed=0, steps=1,
            prompt_length=2, selection=10,
        )  # fmt: skip
        spec = EvaluationSpec(prompt=prompt, task=prompt.task)
        lab.ask(spec)
        assert lab.known([spec])
    with pytest.raises(UnknownName):
        load_task("task")


# --- what is no number ---------------------------------------------------------------------------
def test_tuning_that_diverges_is_refused(lab: Lab, whole: EvaluationSpec) -> None:
    assert isinstance(whole.prompt, TuneSpec)
    wild = replace(whole.prompt, learning_rate=1e30, steps=5)
    with pytest.raises(BadInput, match="diverged at step"):
        lab.ask(wild)
    assert not lab.known([wild])


def test_the_set_precision_is_for_backbones_that_are_not_embedded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKILLSCOPE_PRECISION", "bf16")
    settings = replace(Settings.from_env(), cache=tmp_path)
    with open_store(settings) as store:
        models = Lab(settings, store).models
        assert models.precision("google-t5/t5-base") == "bf16"
        assert models.precision("t5-mini") == "fp32"
    monkeypatch.setenv("SKILLSCOPE_PRECISION", "fp8")
    with pytest.raises(BadInput, match="SKILLSCOPE_PRECISION is 'fp8'"):
        Settings.from_env()


# --- backbones that cannot be used now -----------------------------------------------------------
@pytest.fixture
def moved(lab: Lab, tiny_roberta: Path, tmp_path: Path) -> str:
    """A local backbone that was added and whose folder was then moved away."""
    folder = tmp_path / "mine"
    shutil.copytree(tiny_roberta, folder)
    name = lab.models.obtain(str(folder))
    folder.rename(tmp_path / "elsewhere")
    return name


def test_a_moved_folder_is_missing_and_the_others_go_on(lab: Lab, moved: str) -> None:
    assert lab.models.names() == lab.models.embedded()
    assert list(lab.models.missing()) == [moved]
    assert lab.models.missing()[moved].startswith(f"There is no folder {moved} any more")
    with pytest.raises(UnknownName, match="no backbone called"):
        lab.models.folder(moved)


def test_a_missing_backbone_can_be_removed_and_comes_back_if_added_anew(
    lab: Lab, moved: str, tmp_path: Path
) -> None:
    lab.store.remove_backbone(moved)
    assert lab.models.missing() == {}
    (tmp_path / "elsewhere").rename(moved)
    assert moved not in lab.models.names()
    lab.models.obtain(moved)
    assert moved in lab.models.names()


def test_a_folder_whose_settings_broke_is_missing_with_the_reason(
    lab: Lab, tiny_roberta: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_roberta, tmp_path / "mine")
    name = lab.models.obtain(str(tmp_path / "mine"))
    (tmp_path / "mine" / "config.json").write_text("{")
    assert "not valid JSON" in lab.models.missing()[name]
    assert name not in lab.models.names()


@pytest.mark.parametrize("name", ["x" * 5000, "/x/" * 3000, "a\0b"])
def test_a_name_that_no_folder_can_have_is_unknown(lab: Lab, name: str) -> None:
    with pytest.raises(UnknownName):
        lab.models.obtain(name)


def test_an_answer_that_had_to_make_room_at_once_is_given_all_the_same(
    lab: Lab, whole: EvaluationSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another job's activations may push these out between the asking and the reading."""
    ranking = PredictivitySpec(prompt=whole.prompt, task=whole.task, permutations=0)
    spec = ActivationSpec(ranking=ranking, limit=3)
    expected = lab.answer(spec)
    read = lab.store.read
    monkeypatch.setattr(lab.store, "read", lambda s: None if s == spec else read(s))
    assert (lab.stored(spec).values == expected.values).all()


# --- prompts whose file is gone ------------------------------------------------------------------
def test_a_prompt_whose_file_is_gone_is_named_and_tuned_anew(
    lab: Lab, whole: EvaluationSpec
) -> None:
    before = lab.prompt(whole.prompt)
    lab._read.clear()  # another process would know only the cache
    lab.store.file("prompts", key(whole.prompt)).unlink()
    said = f"The file of prompt {key(whole.prompt)} is gone from the cache; tune or import it anew."
    assert lab.broken_prompts() == {key(whole.prompt): said}
    assert lab.missing([whole.prompt]) == (whole.prompt,)
    after = lab.prompt(lab.prompt_named(key(whole.prompt)))
    assert torch.equal(after.vectors, before.vectors)
    assert after.history == before.history
    assert lab.broken_prompts() == {}


def test_an_import_whose_file_is_gone_can_be_imported_again(
    lab: Lab, whole: EvaluationSpec
) -> None:
    spec = ImportedPrompt(
        backbone=whole.prompt.backbone, sha256="0" * 64, task="sst2", seed=0, prompt_length=2
    )
    prompt = SoftPrompt(spec=spec, vectors=torch.ones(2, 16), words=())
    lab.adopt(prompt, spec.sha256)
    lab.store.file("prompts", key(spec)).unlink()
    with pytest.raises(BadInput, match=f"{key(spec)} is not in the cache; import it again"):
        lab.prompt(spec)
    assert lab.adopt(prompt, spec.sha256) == spec
    assert torch.equal(lab.prompt(spec).vectors, prompt.vectors)


# --- what another machine computed ---------------------------------------------------------------
@pytest.fixture
def elsewhere(tiny_roberta: Path, toy_task: Path, tmp_path: Path) -> EvaluationSpec:
    """An evaluation that another machine exported to `exported`; its folder is gone."""
    box = shutil.copytree(tiny_roberta, tmp_path / "gpubox")
    settings = Settings(cache=tmp_path / "theirs", threads=1)
    with open_store(settings) as store:
        theirs = Lab(settings, store)
        pin, task = theirs.models.pin(str(box)), theirs.find_task(str(toy_task))
        prompt = TuneSpec(
            backbone=pin, task=theirs.pin(task, pin.name), seed=0, prompt_length=2, steps=1,
            selection=10,
        )  # fmt: skip
        spec = EvaluationSpec(prompt=prompt, task=prompt.task)
        theirs.ask(spec)
        theirs.store.export(tmp_path / "exported")
    box.rename(tmp_path / "renamed")
    return spec


def test_what_another_machine_computed_goes_on_with_the_same_weights_here(
    lab: Lab, elsewhere: EvaluationSpec, tmp_path: Path
) -> None:
    lab.store.merge(tmp_path / "exported")
    assert lab.missing([elsewhere]) == ()
    with pytest.raises(BadInput, match=f"fingerprint {elsewhere.prompt.backbone.fingerprint}"):
        lab.prompt_named(key(elsewhere.prompt))
    mine = lab.models.obtain(str(tmp_path / "renamed"))
    prompt = lab.prompt_named(key(elsewhere.prompt))
    assert (prompt, prompt.backbone.name) == (elsewhere.prompt, mine)
    fewer = [replace(elsewhere, prompt=p, precision="fp64") for p in (prompt, elsewhere.prompt)]
    for spec in fewer:  # a stored question may still have the other machine's name in it
        assert len(lab.answer(spec).predictions) == 31
    stored = lab.prompt(prompt)
    adopted = lab.adopt(replace(stored, spec=elsewhere.prompt), "0" * 64)
    assert (adopted, adopted.backbone.name) == (prompt, mine)


def test_other_weights_under_the_same_name_are_not_taken(
    lab: Lab, elsewhere: EvaluationSpec, tmp_path: Path
) -> None:
    lab.store.merge(tmp_path / "exported")
    name = elsewhere.prompt.backbone.name
    shutil.copytree(lab.models.folder("roberta-mini"), name)
    with pytest.raises(BadInput, match=f"The weights of {name} changed"):
        lab.prompt_named(key(elsewhere.prompt))
    mine = lab.models.obtain(str(tmp_path / "renamed"))
    assert lab.prompt_named(key(elsewhere.prompt)).backbone.name == mine


def test_a_copy_of_an_embedded_backbone_elsewhere_is_the_embedded_one_here(lab: Lab) -> None:
    here = lab.models.pin("t5-mini")
    assert lab.models.found(replace(here, name="/tmp/gpubox")).name == "t5-mini"
    assert lab.models.found(here).name == "t5-mini"


@pytest.mark.parametrize("newest", [True, False])
def test_a_downloaded_backbone_is_found_by_its_fingerprint(
    lab: Lab, tiny_roberta: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, newest: bool
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    repo, commit = tmp_path / "hub" / "models--someone--tiny", "ab" * 20
    shutil.copytree(tiny_roberta, repo / "snapshots" / commit)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(commit if newest else "cd" * 20)
    away = replace(lab.models.pin(str(tiny_roberta)), name="/tmp/gpubox")
    name = "someone/tiny" if newest else f"someone/tiny@{commit}"
    assert lab.models.found(away).name == name


# --- values on which several measurements rest ---------------------------------------------------
def test_a_value_is_computed_once_and_the_latest_are_kept(lab: Lab) -> None:
    computed: list[int] = []

    def value(of: int) -> int:
        return lab.once(("square", of), lambda: computed.append(of) or of * of)

    assert [value(3), value(3), value(4)] == [9, 9, 16]
    assert computed == [3, 4]
    for _ in range(2):  # each takes more than half of what may be kept
        lab.once("large", lambda: SimpleNamespace(nbytes=KEPT - 1))
        value(5)
        value(6)
    assert computed.count(3) == 1
    value(3)
    assert computed.count(3) == 2, "it had to make room"
    whole = [lab.once("too large", lambda: SimpleNamespace(nbytes=KEPT + 1)) for _ in range(2)]
    assert whole[0] is not whole[1], "it cannot be kept"


def test_a_prompts_baseline_is_read_once_for_all_attacks(
    lab: Lab, whole: EvaluationSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean = PredictivitySpec(prompt=whole.prompt, task=whole.task, permutations=1)
    struck = [replace(clean, attack=Attack(kind="typo", dose=d)) for d in (1, 2)]
    apart = [lab.answer(spec).correct.tolist() for spec in struck]
    fresh = Lab(lab.settings, lab.store)
    read: list[int] = []
    mean = Reader.mean
    monkeypatch.setattr(Reader, "mean", lambda self, *a: read.append(1) or mean(self, *a))
    assert [fresh.answer(spec).correct.tolist() for spec in struck] == apart
    fresh.answer(replace(clean, train_limit=10))
    assert len(read) == 2, "one for all train rows, one for ten"
