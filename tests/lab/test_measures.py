"""A measurement is one record: the registry is complete, and a new one is one file."""

import importlib
import pkgutil
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

from core import measures
from core.base.measure import Measure, Stored, Table
from core.base.progress import Progress
from core.base.prompts import Prompt
from core.base.settings import Settings
from core.base.specs import Pinned, Spec, dumps, key, loads
from core.lab import lab as lab_module
from core.lab.lab import Lab, open_store
from core.measures.bench import Bench
from core.measures.registry import MEASURES
from core.measures.tuning import TuneSpec
from core.tasks import load_task, pin_task
from tests.conftest import here


def modules() -> list[ModuleType]:
    names = [m.name for m in pkgutil.iter_modules(measures.__path__)]
    return [importlib.import_module(f"core.measures.{name}") for name in names]


def test_every_measurement_of_the_folder_is_in_the_registry() -> None:
    found = {v for m in modules() for v in vars(m).values() if isinstance(v, Measure)}
    assert found == set(MEASURES.values())
    questions = {
        v for m in modules() for n, v in vars(m).items()
        if isinstance(v, type) and issubclass(v, Spec)
        and (n.endswith("Spec") or (issubclass(v, Prompt) and v is not Prompt))
    }  # fmt: skip
    assert questions - {Spec} == set(MEASURES)


@pytest.mark.parametrize("measure", MEASURES.values(), ids=lambda m: m.spec.__name__)
def test_a_record_says_all_that_lab_and_store_need(measure: Measure, tmp_path: Path) -> None:
    assert MEASURES[measure.spec] is measure
    assert measure.spec.__doc__
    assert measure.compute.__doc__ or measure.spec.__name__ == "ImportedPrompt"
    with here(tmp_path) as store:
        for table in measure.tables:
            columns = store.frame(f"DESCRIBE {table.name}").column_name.tolist()
            assert columns[0] == "key"
            assert ("spec" in columns) == (table.name == measure.table)
        exported = set(store.shared_tables())
        assert measure.bounded == (measure.table not in exported)
        assert measure.table in store.counts()


# --- a toy measurement: what a new file in core/measures holds ----------------------------------
@dataclass(frozen=True, kw_only=True)
class LengthSpec(Spec):
    """How many words do a task's texts have behind this prompt's backbone?"""

    prompt: TuneSpec
    task: Pinned
    split: str = "validation"


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """Words of each text."""

    spec: LengthSpec
    words: tuple[int, ...]


def count_words(spec: LengthSpec, bench: Bench, progress: Progress) -> Lengths:
    """Split at spaces."""
    examples = bench.examples(bench.task(spec.task, spec.prompt), spec.split)
    assert bench.stored(spec.prompt) is not None, "what it needs was answered first"
    progress(1.0)
    return Lengths(spec=spec, words=tuple(len(t.split()) for t in examples.text_a))


def as_rows(lengths: Lengths) -> dict[str, pd.DataFrame]:
    """One row with an array."""
    return {"length": pd.DataFrame([{"mean": 1.0, "words": list(lengths.words)}])}


def from_rows(spec: LengthSpec, stored: Stored) -> Lengths:
    """All of it."""
    row = stored.rows("length").iloc[0]
    return Lengths(spec=spec, words=tuple(int(w) for w in row.words))


LENGTH = Measure(
    spec=LengthSpec,
    tables=(Table(name="length", columns="mean DOUBLE, words INTEGER[]"),),
    needs=lambda spec: (spec.prompt,),
    compute=count_words,
    rows=as_rows,
    read=from_rows,
)


def test_a_new_measurement_is_computed_stored_exported_merged_and_read(
    tmp_path: Path, tiny_roberta: Path, toy_task: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = {**MEASURES, LengthSpec: LENGTH}
    monkeypatch.setattr(lab_module, "MEASURES", together)
    with open_store(Settings(cache=tmp_path / "one")) as store:
        lab = Lab(Settings(cache=tmp_path / "one", threads=1), store)
        task = load_task(str(toy_task))
        pin = pin_task(task, "roberta")
        prompt = TuneSpec(
            backbone=lab.models.pin(str(tiny_roberta)), task=pin, seed=0, prompt_length=2, steps=1,
            selection=10,
        )  # fmt: skip
        asked = LengthSpec(prompt=prompt, task=pin)
        assert loads(dumps(asked)) == asked
        assert lab.missing([asked]) == (asked,)
        lab.submit([asked])
        assert lab.missing([asked, prompt]) == ()
        words = lab.stored(asked).words
        assert len(words) == len(lab.examples(task, "validation"))
        assert store.run(key(asked)).seconds >= 0
        store.export(tmp_path / "out")
    with open_store(Settings(cache=tmp_path / "two")) as other:
        assert other.merge(tmp_path / "out") == 2
        assert other.read(asked).words == words
        assert other.counts()["length"] == 1
