"""A cache and an export of schema 1, as commit ce363b9 wrote them: every answer is found again.

`tests/fixtures/schema_1` holds four small prompts (roberta-mini, t5-mini, a local copy named LOCAL
on a user's own task, an import) with evaluations, suppressions, measurements, effects of one neuron
and an agreement.
"""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from core.base.settings import ROOT, Settings
from core.base.specs import dumps, key
from core.lab.lab import Lab, open_store
from core.lab.migration import SHIPPED, Pins, translated
from core.measures.ablation import AblationSpec
from core.measures.evaluation import EvaluationSpec
from core.measures.predictivity import PredictivitySpec
from core.measures.stability import StabilitySpec
from core.store import SCHEMA
from core.store.files import artifact_bytes, read_artifact
from core.tasks import load_task, pin_task

pytestmark = pytest.mark.slow

FIXTURE = ROOT / "tests" / "fixtures" / "schema_1"
TABLES = ("prompt", "predictivity", "evaluation", "effect", "agreement")


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """The user's own copy of roberta-mini."""
    return shutil.copytree(ROOT / "assets" / "backbones" / "roberta-mini", tmp_path / "mine")


@pytest.fixture
def exported(tmp_path: Path, local: Path) -> Path:
    """The export, with the local copy's path in it."""
    folder = tmp_path / "exported"
    (folder / "prompts").mkdir(parents=True)
    for file in (FIXTURE / "export").glob("*.parquet"):
        table = pd.read_parquet(file)
        for column in {"spec", "backbone"} & set(table):
            table[column] = table[column].str.replace("LOCAL", str(local), regex=False)
        table.to_parquet(folder / file.name, index=False)
    for file in (FIXTURE / "export" / "prompts").glob("*.safetensors"):
        found = read_artifact(file)
        header = {k: v.replace("LOCAL", str(local)) for k, v in found.header.items()}
        (folder / "prompts" / file.name).write_bytes(artifact_bytes(replace(found, header=header)))
    return folder


@pytest.fixture
def cache(tmp_path: Path, exported: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A database of schema 1 with its prompts, before anyone has opened it."""
    folder = tmp_path / "cache"
    shutil.copytree(exported / "prompts", folder / "prompts")
    shutil.copytree(FIXTURE / "tasks", folder / "tasks")
    monkeypatch.setenv("SKILLSCOPE_CACHE", str(folder))
    with duckdb.connect(str(folder / "skillscope.duckdb")) as database:
        for file in exported.glob("*.parquet"):
            database.execute(f"CREATE TABLE {file.stem} AS FROM read_parquet('{file}')")
        database.execute("CREATE TABLE merged (stamp VARCHAR PRIMARY KEY)")
        database.execute("CREATE TABLE backbone (name VARCHAR PRIMARY KEY)")
        database.execute("INSERT INTO backbone VALUES ('somewhere/else')")
    return replace(Settings.from_env(), threads=1)


@pytest.fixture
def lab(cache: Settings) -> Iterator[Lab]:
    with open_store(cache) as store:
        yield Lab(cache, store)


def old(exported: Path, table: str) -> pd.DataFrame:
    return pd.read_parquet(exported / f"{table}.parquet")


def questions(exported: Path, settings: Settings) -> dict[str, object]:
    """Old key -> today's question."""
    pins = Pins(settings)
    rows = pd.concat([old(exported, table)[["key", "spec"]] for table in TABLES])
    return {k: translated(json.loads(s), pins) for k, s in rows.itertuples(index=False)}


def test_every_answer_is_found_under_its_new_key(lab: Lab, exported: Path) -> None:
    asked = questions(exported, lab.settings)
    assert len(asked) == 4 + 5 + 10 + 3 + 1
    assert lab.missing(tuple(asked.values())) == ()
    assert not {key(spec) for spec in asked.values()} & set(asked), "every key is a new one"
    assert lab.store.backbones() == ("somewhere/else",)
    for name, spec in asked.items():
        assert (
            lab.store.run(key(spec)).started
            == (old(exported, "run").set_index("key").started[name])
        )


def test_the_new_questions_name_tasks_of_today_and_the_backbones_of_then(
    lab: Lab, exported: Path, local: Path
) -> None:
    """The first edition's weights have today's kind of fingerprint; the second's lie here now."""
    for spec in questions(exported, lab.settings).values():
        if isinstance(spec, EvaluationSpec | PredictivitySpec):
            assert spec.prompt.backbone.fingerprint in SHIPPED.values()
            today = lab.find_task(spec.task.name)
            assert spec.task in [pin_task(today, family) for family in ("roberta", "t5")]
    here, there = lab.models.pin("roberta-mini"), lab.models.pin(str(local))
    assert here == there, "a copy elsewhere is the same backbone"
    assert load_task("my_own").ready


def test_what_was_answered_is_still_the_answer(lab: Lab, exported: Path) -> None:
    asked = questions(exported, lab.settings)
    for row in old(exported, "evaluation").to_dict("records"):
        found = lab.store.read(asked[row["key"]])
        assert found.predictions.tolist() == list(row["predictions"])
        assert found.labels.tolist() == list(row["labels"])
        assert (found.correct, found.majority) == (row["correct"], row["majority"])
    neurons = old(exported, "neuron")
    for row in old(exported, "predictivity").to_dict("records"):
        mine = neurons[neurons.key == row["key"]].sort_values(["layer", "neuron"])
        found = lab.store.read(asked[row["key"]])
        assert found.n == row["n"]
        assert np.allclose(found.predictivity.ravel(), mine.predictivity, atol=1e-6)
        assert found.best_token.ravel().tolist() == mine.best_token.tolist()
        assert np.allclose(found.baseline.ravel(), mine.baseline)
    for row in old(exported, "effect").to_dict("records"):
        found = lab.store.read(asked[row["key"]])
        assert isinstance(found.spec, AblationSpec)
        assert found.without.tolist() == list(row["without"])
    (row,) = old(exported, "agreement").to_dict("records")
    found = lab.store.read(asked[row["key"]])
    assert isinstance(found.spec, StabilitySpec)
    assert set(found.kind) == {"bootstrap", "control", "control shuffled", "measured", "shuffled"}
    assert np.array_equal(found.shared, np.array([np.stack(k) for k in row["kept"]]))


def test_prompts_keep_their_vectors_and_say_their_new_question(lab: Lab, exported: Path) -> None:
    asked = questions(exported, lab.settings)
    for name in old(exported, "prompt").key:
        spec = asked[name]
        before = read_artifact(exported / "prompts" / f"{name}.safetensors")
        stored = lab.prompt(spec)
        assert np.array_equal(stored.vectors, before.tensors["vectors"])
        assert read_artifact(lab.store.file("prompts", key(spec))).header["spec"] == dumps(spec)
    first = replace(lab.models.pin("roberta-mini"), fingerprint=SHIPPED["5a206d28482e"])
    (imported,) = lab.imported(first, "short_reviews")
    assert imported.sha256 == "ab" * 32


def test_a_migrated_cache_is_of_todays_schema_and_is_not_migrated_again(
    cache: Settings, exported: Path
) -> None:
    with open_store(cache) as store:
        counts = store.counts()
        assert store.frame("SELECT version FROM schema_version").version.tolist() == [SCHEMA]
        assert not [t for t in store.frame("SHOW TABLES").name if t.startswith("old_")]
    with open_store(cache) as store:
        assert store.counts() == counts


def test_an_export_of_schema_1_can_be_merged(
    tmp_path: Path, exported: Path, cache: Settings
) -> None:
    other = replace(cache, cache=tmp_path / "other")
    with open_store(other) as store:
        assert store.merge(exported) == 4 + 5 + 10 + 3 + 1
        assert store.merge(exported) == 0
        assert store.known(key(s) for s in questions(exported, other).values()) == {
            key(s) for s in questions(exported, other).values()
        }


def test_a_migration_that_fails_leaves_the_cache_as_it_was(
    cache: Settings, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(folder: Path, names: pd.DataFrame) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr("core.lab.migration._copy_files", broken)
        with pytest.raises(OSError, match="no space left"):
            open_store(cache)
    with open_store(cache) as store:
        assert store.known(key(s) for s in questions(exported, cache).values())


def test_files_of_old_names_go_once_the_new_ones_are_committed(cache: Settings) -> None:
    prompts = cache.cache / "prompts"
    before = {f.stem for f in prompts.iterdir()}
    with open_store(cache) as store:
        assert {f.stem for f in prompts.iterdir()} == {key(s) for s in store.specs("prompt")}
    assert not before & {f.stem for f in prompts.iterdir()}


@pytest.mark.parametrize("content", [b"", b"no safetensors", None], ids=["empty", "text", "gone"])
def test_a_broken_prompt_does_not_keep_the_others_from_being_migrated(
    cache: Settings, exported: Path, content: bytes | None
) -> None:
    """`content`: what is in the file of a tuned prompt; None: there is none."""
    bad, *good = old(exported, "prompt").sort_values("origin", ascending=False).key
    file = cache.cache / "prompts" / f"{bad}.safetensors"
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    asked = questions(exported, cache)
    with open_store(cache) as store:
        lab = Lab(cache, store)
        assert lab.missing([asked[name] for name in good]) == ()
        (lost,) = lab.broken_prompts().items()
        name = key(asked[bad])
        assert lost == (
            name,
            f"The file of prompt {name} is gone from the cache; tune or import it anew.",
        )
        assert lab.missing([asked[bad]]) == (asked[bad],)
    assert (file.read_bytes() if content is not None else None) == content
    with open_store(cache) as store:
        assert store.counts()["prompt"] == 1 + len(good)


def test_an_export_of_schema_1_with_a_broken_prompt_can_be_merged(
    tmp_path: Path, exported: Path, cache: Settings
) -> None:
    bad = old(exported, "prompt").key[0]
    (exported / "prompts" / f"{bad}.safetensors").write_bytes(b"")
    with open_store(replace(cache, cache=tmp_path / "other")) as store:
        assert store.merge(exported) == 4 + 5 + 10 + 3 + 1 - 1
        assert len(store.specs("prompt")) == 3


def test_a_question_that_nobody_can_ask_is_passed_over(cache: Settings, exported: Path) -> None:
    with duckdb.connect(str(cache.cache / "skillscope.duckdb")) as database:
        row = old(exported, "evaluation").iloc[0]
        spec = json.dumps({**json.loads(row.spec), "limit": -1})
        database.execute("UPDATE evaluation SET spec = ? WHERE key = ?", [spec, row.key])
    with open_store(cache) as store:
        assert store.counts()["evaluation"] == len(old(exported, "evaluation")) - 1


def test_what_is_gone_keeps_its_old_fingerprint(cache: Settings, local: Path) -> None:
    shutil.rmtree(local)
    pins = Pins(cache)
    assert pins.backbone("/nowhere/to/be/found", "123456789abc") == "123456789abc"
    assert pins.task("no_such_task", "abcdefabcdef", "roberta") == "abcdefabcdef"
    assert pins.backbone("roberta-mini", "5a206d28482e") != "5a206d28482e"
