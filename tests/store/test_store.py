"""The store: one owner, all or nothing, and merging is a set union."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from core.base.errors import BadInput, StoreBusy
from core.base.measure import Run
from core.base.prompts import SoftPrompt, Step
from core.base.settings import ROOT
from core.base.specs import Pinned, key
from core.measures.ablation import Ablation, AblationSpec
from core.measures.activated import Activated, ActivatedSpec
from core.measures.activations import Activations, ActivationSpec
from core.measures.attacked import Worst, WorstSpec
from core.measures.attribution import Attribution, AttributionSpec
from core.measures.dropped import Dropped, DroppedSpec
from core.measures.evaluation import Evaluation, EvaluationSpec, Suppression
from core.measures.faithfulness import Faithfulness, FaithfulnessSpec
from core.measures.nearest import Nearest, NearestSpec
from core.measures.predictivity import Predictivity, PredictivitySpec
from core.measures.projector import Projector, ProjectorSpec
from core.measures.stability import Stability, StabilitySpec
from core.measures.tuning import TuneSpec
from core.measures.ways import Tuned, WaySpec
from core.store import SCHEMA, Store
from core.tasks.attacks import Attack
from tests.conftest import here, some_floor

RUN = Run(started="2026-01-01T00:00:00+00:00", seconds=1.5, device="cpu", versions="torch")
TASK = Pinned(name="opinions", fingerprint="bb")
TUNED = TuneSpec(backbone=Pinned(name="t5-mini", fingerprint="aa"), task=TASK, seed=3)
MEASURED = PredictivitySpec(prompt=TUNED, task=TASK)
SHAPE = (2, 3, 5)  # layer token neuron


def prompt(seed: int = 3) -> SoftPrompt:
    generator = torch.Generator().manual_seed(seed)
    return SoftPrompt(
        spec=replace(TUNED, seed=seed), vectors=torch.randn(4, 8, generator=generator),
        words=("negative", "positive"), best_step=2, selection_accuracy=0.75, selection_rows=20,
        history=(Step(step=1, loss=0.7), Step(step=2, loss=0.6, accuracy=0.75)),
    )  # fmt: skip


def measured(limit: int | None = None) -> Predictivity:
    rng = np.random.default_rng(limit or 0)
    return Predictivity(
        spec=replace(MEASURED, limit=limit),
        baseline=rng.standard_normal(SHAPE), correct=rng.integers(0, 21, SHAPE), n=20,
        n_train=40, majority=0.5, floor=some_floor(2, 5),
    )  # fmt: skip


def evaluated(limit: int | None = None, fraction: float | None = None) -> Evaluation:
    how = None if fraction is None else Suppression(
        ranking=(MEASURED,), choose="skill", fraction=fraction
    )  # fmt: skip
    return Evaluation(
        spec=EvaluationSpec(prompt=TUNED, task=TASK, limit=limit, suppression=how),
        index=np.array([0, 1, 3]), labels=np.array([0, 1, 1]), predictions=np.array([0, 1, 0]),
        metric="accuracy", scores=np.array([1.0, 1.0, 0.0]), logits=np.zeros((3, 2)),
    )  # fmt: skip


def effect() -> Ablation:
    return Ablation(
        spec=AblationSpec(ranking=MEASURED, layer=1, neuron=2), index=np.array([0, 2]),
        labels=np.array([0, 1]), margin=np.array([0.5, -1.5]), without_slot=np.array([0.25, -1.0]),
        without=np.array([0.0, 1.0]),
    )  # fmt: skip


def attributed() -> Attribution:
    values = np.arange(10.0).reshape(2, 5)
    return Attribution(
        spec=AttributionSpec(prompt=TUNED, task=TASK), signed=values - 4, absolute=values,
        error=values / 8, n=20,
    )  # fmt: skip


def faithful() -> Faithfulness:
    values = np.arange(4.0).reshape(2, 2)
    return Faithfulness(
        spec=FaithfulnessSpec(attribution=attributed().spec), neuron=np.array([[3, 1], [0, 4]]),
        attributed=values, exact=values / 2, error=values / 8, n=20,
    )  # fmt: skip


def searched() -> Worst:
    return Worst(
        spec=WorstSpec(
            prompt=TUNED, task=TASK, split="validation",
            attack=Attack(kind="typo", dose=1, worst_of=3),
        ),
        index=np.array([0, 1, 3]), draws=np.array([2, 0, 1]), margin=np.array([0.5, -1.0, 2.0]),
    )  # fmt: skip


def compared() -> Stability:
    return Stability(
        spec=StabilitySpec(clean=(MEASURED,), adversarial=(MEASURED,), fractions=(0.1, 0.2)),
        kind=("measured", "bootstrap", "control"), attack=("", "", ""),
        spearman=np.array([[0.5, 0.25]] * 3), skill=np.array([[[2, 4], [1, 1]]] * 3),
        shared=np.array([[[1, 2], [0, 1]]] * 3), median=np.array([[0.5, 0.6]] * 3), neurons=5,
        n_clean=20, n_adversarial=10,
    )  # fmt: skip


def of_prompt() -> tuple[Activated, Nearest, Dropped]:
    """What is asked of a prompt itself."""
    words, ids = [["a", "b"], ["c", "d"]], np.array([[1, 2], [3, 4]])
    return (
        Activated(
            spec=ActivatedSpec(prompt=TUNED), active=np.eye(2, 5, dtype=bool), stack="decoder"
        ),
        Nearest(
            spec=NearestSpec(prompt=TUNED, count=2), tokens={"cosine": words, "distance": words},
            ids={"cosine": ids, "distance": ids},
            values={"cosine": ids / 8, "distance": ids / 4}, norms=np.array([0.5, 1.5]),
            vocabulary=(0.1, 0.2, 0.3), start=("a", "d"), start_id=(1, 4),
        ),
        Dropped(
            spec=DroppedSpec(prompt=TUNED, task=TASK, draws=1), n=9, whole=7,
            row=np.array([0, 1]), lost=np.array([2, 0]), gained=np.array([0, 1]),
            counts=np.array([1, 2]), curve=np.array([[6, 4]]),
        ),
    )  # fmt: skip


def trained() -> tuple[Projector, Tuned]:
    """A projector, and a backbone tuned in another way."""
    steps = (Step(step=1, loss=0.5), Step(step=2, loss=0.25, accuracy=0.75))
    how = Suppression(ranking=(), choose="random", fraction=0.1)
    return (
        Projector(
            spec=ProjectorSpec(by="task", sources=(TUNED,), targets=(TUNED,)),
            weights={"first.weight": torch.eye(3), "spread": torch.tensor(2.0)}, best_step=2,
            selection_accuracy=0.75, history=steps,
        ),
        Tuned(
            spec=WaySpec(way="lora", tuning=TUNED, suppressions=(how,)),
            right=np.array([True, False, True]), without=np.array([[False, False, True]]),
            majority=0.5, trained=12, weights=1200, seconds=1.5, best_step=2,
            selection_accuracy=0.75, history=steps,
        ),
    )  # fmt: skip


def activated(seed: int = 1, examples: int = 4) -> Activations:
    values = np.random.default_rng(examples).random((examples, 2, 5), np.float32)
    index = np.arange(examples) * 2
    return Activations(spec=asked(seed), index=index, labels=index % 3, values=values)


def asked(seed: int) -> ActivationSpec:
    return ActivationSpec(ranking=replace(MEASURED, prompt=replace(TUNED, seed=seed)))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with here(tmp_path / "cache") as store:
        yield store


def fill(store: Store) -> None:
    answers = (prompt(), prompt(4), measured(), evaluated(), evaluated(fraction=0.1), effect())
    later = (compared(), attributed(), faithful(), searched(), *of_prompt(), *trained())
    for result in (*answers, *later):
        store.add(result, RUN)


def tables(store: Store) -> dict[str, pd.DataFrame]:
    frames = {t: store.frame(f"SELECT * FROM {t} ORDER BY ALL") for t in store.shared_tables()}
    assert not any(frame.empty for frame in frames.values())
    return frames


def files(store: Store) -> dict[str, bytes]:
    return {f.name: f.read_bytes() for f in (store.folder / "prompts").iterdir()}


def assert_same(one: dict[str, pd.DataFrame], other: dict[str, pd.DataFrame]) -> None:
    for table, frame in one.items():
        pd.testing.assert_frame_equal(frame, other[table])


# --- one owner -----------------------------------------------------------------------------------
def test_a_second_process_is_refused_and_told_who_owns_the_store(store: Store) -> None:
    code = (
        "import sys; from pathlib import Path; from core.store import Store\n"
        "from core.base.errors import StoreBusy\n"
        "try: Store(Path(sys.argv[1]), {})\n"
        "except StoreBusy as error: print(error)"
    )
    run = [sys.executable, "-c", code, str(store.folder)]
    out = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert re.search(rf"process {os.getpid()}\b", out)
    assert str(store.folder) in out


def test_a_second_store_of_this_process_is_refused_too(store: Store) -> None:
    with pytest.raises(StoreBusy, match=str(os.getpid())):
        here(store.folder)


def test_a_closed_store_can_be_opened_again_and_remembers(tmp_path: Path) -> None:
    with here(tmp_path) as store:
        fill(store)
        before = tables(store)
    with here(tmp_path) as store:
        assert_same(tables(store), before)


# --- what goes in comes out ----------------------------------------------------------------------
def test_a_prompt_comes_back(store: Store) -> None:
    store.add(prompt(), RUN)
    stored = store.read(TUNED)
    assert stored is not None
    assert torch.equal(stored.vectors, prompt().vectors)
    assert stored.history == prompt().history
    assert stored.words == ("negative", "positive")
    assert store.specs("prompt") == (TUNED,)


def test_an_evaluation_comes_back_as_its_counts(store: Store) -> None:
    store.add(evaluated(), RUN)
    found = store.read(evaluated().spec)
    assert found is not None
    assert (found.correct, found.n) == (2, 3)
    assert found.index.tolist() == [0, 1, 3]
    assert found.majority == 2 / 3
    assert store.read(evaluated(limit=1).spec) is None


def test_neurons_come_back_in_their_places(store: Store) -> None:
    store.add(measured(), RUN)
    p, values = measured(), store.read(MEASURED)
    folded = np.maximum(p.correct, p.n - p.correct)
    token = folded.argmax(axis=1)
    assert np.array_equal(values.correct, folded.max(axis=1))
    assert np.array_equal(values.predictivity, folded.max(axis=1) / p.n)
    assert np.array_equal(values.best_token, token)
    assert np.allclose(values.mean, p.baseline.mean(axis=1), atol=1e-6)
    at = np.take_along_axis(p.baseline, token[:, None], axis=1)[:, 0]
    assert np.allclose(values.baseline, at, atol=1e-6)


def test_what_was_never_stored_is_none(store: Store) -> None:
    assert store.read(TUNED) is None
    assert store.read(MEASURED) is None
    assert store.read(evaluated().spec) is None
    assert store.read(asked(1)) is None


def test_known_names_exactly_the_stored_keys(store: Store) -> None:
    fill(store)
    store.add(activated(3), RUN)
    there = {key(s) for s in (TUNED, MEASURED, evaluated().spec, asked(3))}
    assert store.known([*there, "nothing", key(asked(9))]) == there
    assert store.known([]) == set()


def test_adding_twice_changes_nothing(store: Store) -> None:
    fill(store)
    before, kept = tables(store), files(store)
    fill(store)
    store.add(replace(prompt(), vectors=torch.zeros(4, 8), history=()), RUN)
    assert_same(tables(store), before)
    assert files(store) == kept


def test_what_rests_on_a_task_or_a_prompt_is_found_and_removed(store: Store) -> None:
    fill(store)
    on_task = store.resting_on(task="opinions", source_task="opinions", target_task="opinions")
    assert {key(TUNED), key(MEASURED), key(evaluated().spec)} <= set(on_task)
    assert store.resting_on(task="other", source_task="other") == ()
    on_prompt = store.resting_on(key=key(TUNED), prompt=key(TUNED))
    assert key(TUNED) in on_prompt
    there = store.counts()
    assert store.remove([key(MEASURED), "nothing"]) == 1
    assert store.known([key(MEASURED), key(TUNED)]) == {key(TUNED)}
    assert store.counts()["predictivity"] == there["predictivity"] - 1
    store.remove(on_prompt)
    assert store.known(on_prompt) == set()
    assert not store.file("prompts", key(TUNED)).exists()
    store.add(prompt(), RUN)
    assert store.known([key(TUNED)]) == {key(TUNED)}, "it can be stored again"


# --- all or nothing ------------------------------------------------------------------------------
def test_a_row_whose_file_is_gone_is_no_answer_until_it_is_stored_again(store: Store) -> None:
    fill(store)
    store.file("prompts", key(TUNED)).unlink()
    assert store.known([key(TUNED), key(MEASURED)]) == {key(MEASURED)}
    assert store.read(TUNED) is None
    assert store.lost("prompt") == (key(TUNED),)
    again = replace(prompt(), best_step=1, history=prompt().history[:1])
    store.add(again, replace(RUN, seconds=9.0))
    found = store.read(TUNED)
    assert (found.best_step, found.history) == (1, again.history)
    assert torch.equal(found.vectors, again.vectors)
    assert store.run(key(TUNED)).seconds == 9.0
    assert store.lost("prompt") == ()


def test_a_row_whose_file_is_gone_is_named_and_not_exported(store: Store, tmp_path: Path) -> None:
    fill(store)
    store.file("prompts", key(TUNED)).unlink()
    assert store.export(tmp_path / "all") == (key(TUNED),)
    assert store.export(tmp_path / "one", [key(MEASURED)]) == ()
    with here(tmp_path / "other") as other:
        other.merge(tmp_path / "all")
        assert [s.seed for s in other.specs("prompt")] == [4]
        assert other.lost("prompt") == ()
        for table in ("run", "step"):
            assert key(TUNED) not in set(other.frame(f"SELECT key FROM {table}").key)
        assert other.known([key(MEASURED)])


def test_a_broken_transaction_leaves_nothing(store: Store) -> None:
    """Labels that do not fit their column fail at the last table, after others were written."""
    good = measured()
    broken = replace(good, n_train=2**40)
    with pytest.raises(Exception, match=r"(?i)range|convert|cast"):
        store.add(broken, RUN)
    for table in store.shared_tables():
        assert store.frame(f"SELECT * FROM {table}").empty
    store.add(good, RUN)
    assert store.read(MEASURED) is not None


def test_broken_activations_leave_the_old_ones(store: Store) -> None:
    store.add(activated(1), RUN)
    broken = replace(activated(2), labels=np.array([0, 1, 2, 999]))
    with pytest.raises(Exception, match=r"(?i)range|convert|cast"):
        store.add(broken, RUN)
    kept = store.read(asked(1))
    assert kept is not None
    assert np.array_equal(kept.values, activated().values)
    assert store.read(asked(2)) is None


def test_no_half_written_file_is_left(store: Store) -> None:
    fill(store)
    assert sorted(files(store)) == sorted(f"{key(prompt(s).spec)}.safetensors" for s in (3, 4))


# --- handing over --------------------------------------------------------------------------------
def test_export_and_merge_into_an_empty_store_give_the_same(store: Store, tmp_path: Path) -> None:
    fill(store)
    store.export(tmp_path / "out")
    with here(tmp_path / "other") as other:
        assert other.merge(tmp_path / "out") == 15
        assert_same(tables(other), tables(store))
        assert files(other) == files(store)


def test_merging_twice_is_merging_once(store: Store, tmp_path: Path) -> None:
    fill(store)
    store.export(tmp_path / "out")
    before = tables(store)
    assert store.merge(tmp_path / "out") == 0
    assert_same(tables(store), before)


def test_merging_is_a_union(store: Store, tmp_path: Path) -> None:
    fill(store)
    with here(tmp_path / "other") as other:
        fill(other)
        other.add(prompt(5), RUN)
        other.add(measured(limit=7), RUN)
        other.export(tmp_path / "out")
    assert store.merge(tmp_path / "out") == 2
    assert store.read(prompt(5).spec) is not None
    assert store.read(replace(MEASURED, limit=7)) is not None


def test_exporting_again_gives_the_same_files(store: Store, tmp_path: Path) -> None:
    fill(store)
    for name in ("one", "two"):
        store.export(tmp_path / name)
    for file in (tmp_path / "one").glob("*.parquet"):
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()


# --- activations ---------------------------------------------------------------------------------
def test_activations_come_back(store: Store) -> None:
    store.add(activated(1), RUN)
    stored, fresh = store.read(asked(1)), activated()
    assert stored is not None
    assert np.array_equal(stored.values, fresh.values)
    assert stored.index.tolist() == fresh.index.tolist()
    assert stored.labels.tolist() == fresh.labels.tolist()


def cached(store: Store) -> set[int]:
    return {s for s in range(10) if key(asked(s)) in store.known([key(asked(s))])}


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Store]:
    """Room for three entries of `big`, 1 MB each."""
    with here(tmp_path / "small", activation_megabytes=3) as store:
        yield store


def big(seed: int) -> Activations:
    values = np.zeros((128, 2, 1024), np.float32)
    index = np.arange(len(values))
    return Activations(spec=asked(seed), index=index, labels=index % 2, values=values)


def test_the_least_recently_used_activations_go_first(small: Store) -> None:
    for seed in (1, 2, 3):
        small.add(big(seed), RUN)
    assert cached(small) == {1, 2, 3}
    small.read(asked(1))
    small.add(big(4), RUN)
    assert cached(small) == {1, 3, 4}
    rows = small.frame("SELECT DISTINCT key FROM activation")
    assert set(rows["key"]) == {key(asked(s)) for s in (1, 3, 4)}


def test_the_newest_activations_stay_even_beyond_the_limit(tmp_path: Path) -> None:
    with here(tmp_path / "none", activation_megabytes=0) as store:
        store.add(activated(1), RUN)
        store.add(activated(2), RUN)
        assert cached(store) == {2}


@pytest.mark.slow
# --- several threads -----------------------------------------------------------------------------
def test_four_threads_lose_nothing(store: Store) -> None:
    def work(thread: int) -> None:
        for i in range(5):
            limit = 1 + 100 * thread + i
            store.add(evaluated(limit=limit), RUN)
            store.add(measured(limit=limit), RUN)
            assert store.read(evaluated(limit=limit).spec) is not None
            store.add(activated(i % 3), RUN)
            assert store.read(asked(i % 3)) is not None
            store.add(prompt(7), RUN)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    every = {t: len(store.frame(f"SELECT key FROM {t}")) for t in store.shared_tables()}
    counts = {t: n for t, n in every.items() if n}
    assert counts == {
        "prompt": 1, "step": 2, "predictivity": 20, "neuron": 200, "evaluation": 20, "run": 44,
    }  # fmt: skip
    assert cached(store) == {0, 1, 2}


@pytest.mark.slow
def test_a_reader_sees_an_answer_whole_or_not_at_all(store: Store) -> None:
    def write() -> None:
        for limit in range(1, 15):
            store.add(measured(limit=limit), RUN)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        while not writing.done():
            rows = store.frame(
                "SELECT p.key, count(n.key) AS neurons FROM predictivity p"
                " LEFT JOIN neuron n USING (key) GROUP BY 1"
            )
            assert set(rows["neurons"]) <= {10}
        writing.result()


# --- schemas -------------------------------------------------------------------------------------
def test_a_table_gets_the_columns_that_a_measurement_has_gained(tmp_path: Path) -> None:
    with here(tmp_path) as store:
        fill(store)
        store.frame("ALTER TABLE neuron DROP COLUMN by_token")
        store.frame("ALTER TABLE predictivity DROP COLUMN floor_fdr")
    with here(tmp_path) as store:
        assert store.frame("SELECT by_token FROM neuron").by_token.isna().all()
        store.add(measured(limit=7), RUN)
        assert len(store.frame("SELECT key FROM neuron WHERE by_token IS NOT NULL")) == 2 * 5


def test_columns_that_either_side_lacks_are_empty_after_a_merge(
    store: Store, tmp_path: Path
) -> None:
    fill(store)
    store.export(tmp_path / "out")
    file = tmp_path / "out" / "stability.parquet"
    pd.read_parquet(file).assign(later=7).drop(columns="shared").to_parquet(file)
    with here(tmp_path / "other") as other:
        assert other.merge(tmp_path / "out") == 15
        assert other.frame("SELECT shared FROM stability").shared.isna().all()


def test_a_cache_of_a_newer_schema_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with here(tmp_path) as store:
        store.frame(f"UPDATE schema_version SET version = {SCHEMA + 1}")
    with pytest.raises(BadInput, match="written by a newer Skillscope") as caught:
        here(tmp_path)
    assert "\n" not in str(caught.value)
    with pytest.raises(BadInput, match="written by a newer"):  # and nobody owns it afterwards
        here(tmp_path)


def test_an_export_of_a_newer_schema_is_refused(store: Store, tmp_path: Path) -> None:
    fill(store)
    store.export(tmp_path / "out")
    (tmp_path / "out" / "schema.json").write_text(f'{{"schema": {SCHEMA + 1}}}')
    before = tables(store)
    with pytest.raises(BadInput, match="exported by a newer Skillscope"):
        store.merge(tmp_path / "out")
    assert_same(tables(store), before)


def test_a_row_that_cannot_be_read_is_left_out_and_named(store: Store) -> None:
    fill(store)
    store.frame('UPDATE prompt SET spec = \'{"spec": "Pinned", "x": 1}\' WHERE seed = 4')
    assert [spec.seed for spec in store.specs("prompt")] == [3]
    assert list(store.unreadable("prompt")) == [key(prompt(4).spec)]


def test_a_lock_that_a_dead_process_left_does_not_bind(tmp_path: Path) -> None:
    code = "import os, sys; from pathlib import Path; from core.store import Store\n"
    code += "Store(Path(sys.argv[1]), {}); print(os.getpid(), flush=True); os._exit(1)"
    run = [sys.executable, "-c", code, str(tmp_path)]
    dead = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    with here(tmp_path), pytest.raises(StoreBusy) as error:
        here(tmp_path)
    assert f"process {os.getpid()};" in str(error.value)
    assert dead.strip() != str(os.getpid())


def test_a_store_may_be_closed_by_another_thread(tmp_path: Path) -> None:
    store = here(tmp_path)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(store.close).result()
    here(tmp_path).close()
