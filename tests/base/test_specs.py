"""A spec names its answer: the key depends on every part of the question and on nothing else."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np
import pytest

from core.base import specs
from core.base.errors import BadInput
from core.base.settings import ROOT
from core.base.specs import Contrast, Pinned, Spec, dumps, from_dict, key, loads, to_dict
from core.measures.activations import ActivationSpec
from core.measures.evaluation import EvaluationSpec, Suppression
from core.measures.predictivity import PredictivitySpec
from core.measures.prompts import ImportedPrompt
from core.measures.registry import MEASURES
from core.measures.tuning import TuneSpec
from core.tasks.attacks import Attack

BACKBONE = Pinned(name="t5-mini", fingerprint="aa")
TASK = Pinned(name="opinions", fingerprint="bb")
TUNED = TuneSpec(backbone=BACKBONE, task=TASK, seed=3)
IMPORTED = ImportedPrompt(
    backbone=BACKBONE, sha256="cc", task="sst2", seed=5, prompt_length=100, layout="published"
)
CONTRAST = Contrast(negative=(0, 2), positive=(1,))
MEASURED = PredictivitySpec(prompt=TUNED, task=TASK, contrast=CONTRAST, limit=7, train_limit=9)
SUPPRESSED = Suppression(ranking=(MEASURED,), choose="skill", fraction=0.1)
EVALUATED = EvaluationSpec(prompt=TUNED, task=TASK, limit=4, suppression=SUPPRESSED)
ACTIVATED = ActivationSpec(ranking=MEASURED)
QUESTIONS = [TUNED, IMPORTED, MEASURED, EVALUATED, ACTIVATED]
EVERY = [BACKBONE, CONTRAST, SUPPRESSED, *QUESTIONS]


def name(spec: Any) -> str:
    return type(spec).__name__


def changes(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The value with exactly one leaf changed, for every leaf at any depth."""
    if is_dataclass(value):
        for field in (f for f in fields(value) if f.compare):
            for where, other in changes(getattr(value, field.name), f"{path}.{field.name}"):
                yield where, replace(value, **{field.name: other})
    elif isinstance(value, tuple):
        for i, item in enumerate(value):
            for where, other in changes(item, f"{path}[{i}]"):
                yield where, (*value[:i], other, *value[i + 1 :])
        yield f"{path} + 1", (*value, *value[:1])
    elif isinstance(value, str):
        yield path, value + "x"
    elif value is None:
        yield path, 1
    else:
        yield path, value + 1


@pytest.mark.parametrize("spec", QUESTIONS, ids=name)
def test_same_spec_same_key(spec: Any) -> None:
    assert key(spec) == key(replace(spec))
    assert len(key(spec)) == 20
    assert int(key(spec), 16) >= 0


@pytest.mark.parametrize("spec", QUESTIONS, ids=name)
def test_any_changed_field_at_any_depth_gives_a_new_key(spec: Any) -> None:
    changed = dict(changes(spec))
    keys = {key(other) for other in changed.values()} | {key(spec)}
    assert len(keys) == len(changed) + 1


def test_the_changes_reach_the_deepest_field() -> None:
    assert ".suppression.ranking[0].prompt.backbone.fingerprint" in dict(changes(EVALUATED))


def test_the_kind_of_question_is_part_of_the_key() -> None:
    plain = {"prompt": TUNED, "task": TASK}
    assert key(EvaluationSpec(**plain)) != key(PredictivitySpec(**plain))


@pytest.mark.parametrize("spec", EVERY, ids=name)
def test_dict_round_trip(spec: Any) -> None:
    assert from_dict(to_dict(spec)) == spec


@pytest.mark.parametrize("spec", QUESTIONS, ids=name)
def test_json_round_trip_keeps_the_key(spec: Any) -> None:
    assert loads(dumps(spec)) == spec
    assert key(loads(dumps(spec))) == key(spec)


def backwards(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: backwards(v) for k, v in reversed(value.items())}
    return [backwards(v) for v in value] if isinstance(value, list) else value


@pytest.mark.parametrize("spec", QUESTIONS, ids=name)
def test_key_does_not_depend_on_the_order_of_fields(spec: Any) -> None:
    assert key(from_dict(backwards(to_dict(spec)))) == key(spec)


GOLDEN = "5bebeb18ec78acabba6e"


def test_golden_key() -> None:
    """If this changes, every stored and shipped answer is lost: raise a version only on purpose."""
    assert key(TUNED) == GOLDEN


def test_the_name_of_what_is_pinned_is_no_part_of_the_question() -> None:
    """The same weights at another place, the same data in another folder."""
    here, there = BACKBONE, replace(BACKBONE, name="/elsewhere/t5@main")
    moved = replace(MEASURED, prompt=replace(TUNED, backbone=there))
    assert here == there
    assert moved == MEASURED
    assert key(moved) == key(MEASURED)
    assert loads(dumps(moved)).prompt.backbone.name == "/elsewhere/t5@main", "but it is remembered"


def test_equal_specs_have_equal_keys() -> None:
    whole, part_ = replace(SUPPRESSED, fraction=1), replace(SUPPRESSED, fraction=1.0)
    assert whole == part_
    assert type(whole.fraction) is float
    assert key(replace(EVALUATED, suppression=whole)) == key(replace(EVALUATED, suppression=part_))
    assert key(replace(TUNED, learning_rate=1)) == key(replace(TUNED, learning_rate=1.0))
    assert replace(SUPPRESSED, noise=-0.0) == replace(SUPPRESSED, noise=0.0)
    zero = [key(replace(EVALUATED, suppression=replace(SUPPRESSED, noise=n))) for n in (0, -0.0)]
    assert zero[0] == zero[1]


@pytest.mark.parametrize("given", [256.0, np.int64(256), np.float32(256)])
def test_a_count_is_a_whole_number_however_it_is_given(given: Any) -> None:
    specs._key.cache_clear()
    other, same = replace(MEASURED, limit=given), replace(MEASURED, limit=256)
    assert type(other.limit) is int
    assert other == same
    assert key(other) == key(same)
    assert loads(dumps(other)) == same
    classes = replace(CONTRAST, positive=(given,))
    assert key(classes) == key(replace(CONTRAST, positive=(256,)))


@pytest.mark.parametrize("given", [True, 1.5, float("inf"), float("nan"), np.bool_(True), "7"])
def test_what_is_no_whole_number_is_no_count(given: Any) -> None:
    with pytest.raises(TypeError, match=r"PredictivitySpec\.limit cannot be"):
        replace(MEASURED, limit=given)


def test_a_number_of_numpy_is_a_fraction_and_a_truth_value_is_none() -> None:
    rate = replace(TUNED, learning_rate=np.float32(0.5))
    assert key(rate) == key(replace(TUNED, learning_rate=0.5))
    with pytest.raises(TypeError, match=r"TuneSpec\.learning_rate cannot be True"):
        replace(TUNED, learning_rate=True)


@pytest.mark.parametrize("value", [0, -1])
@pytest.mark.parametrize(
    ("spec", "field"),
    [(MEASURED, "limit"), (MEASURED, "train_limit"), (EVALUATED, "limit"), (ACTIVATED, "limit")],
    ids=lambda part: part if isinstance(part, str) else name(part),
)
def test_a_limit_of_no_row_is_refused(spec: Any, field: str, value: int) -> None:
    with pytest.raises(BadInput, match=f"{field} is {value}; it must be 1 or more"):
        replace(spec, **{field: value})


def test_shuffling_less_than_never_is_refused() -> None:
    assert replace(MEASURED, permutations=0).permutations == 0
    with pytest.raises(BadInput, match="permutations is -1; it must be 0 or more"):
        replace(MEASURED, permutations=-1)


def test_a_spec_can_gain_a_field_without_a_new_key() -> None:
    """A field at its default is not part of the key."""

    @dataclass(frozen=True, kw_only=True)
    class Asked(Spec):
        task: Pinned
        limit: int | None = None

    before = key(Asked(task=TASK))

    @dataclass(frozen=True, kw_only=True)
    class Later(Spec):
        task: Pinned
        limit: int | None = None
        attack: str | None = None

    Later.__name__ = "Asked"
    assert key(Later(task=TASK)) == before
    assert key(Later(task=TASK, attack="typo")) != before
    assert from_dict({"spec": "Asked", "task": to_dict(TASK)}).attack is None


def test_a_raised_version_gives_a_new_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key(MEASURED), key(EVALUATED), key(TUNED)
    monkeypatch.setattr(PredictivitySpec, "version", 2)
    specs._key.cache_clear()
    assert key(MEASURED) != before[0]
    assert key(EVALUATED) != before[1], "it rests on the measurement"
    assert key(TUNED) == before[2]
    monkeypatch.undo()
    specs._key.cache_clear()


# A default that changes gives the old key a new meaning: raise the version of its class instead.
DEFAULTS = {
    "TuneSpec": {
        "batch_size": 32, "evaluate_every": 20, "init": "vocabulary", "layout": "mask_first",
        "learning_rate": 0.03, "max_length": 128, "precision": "fp32", "prompt_length": 16,
        "selection": 200, "start": None, "steps": 80,
    },
    "ImportedPrompt": {"layout": "mask_first", "max_length": 128, "precision": "fp32"},
    "WordsPrompt": {"layout": "mask_first", "max_length": 128, "precision": "fp32"},
    "ProjectedPrompt": {"layout": "mask_first", "max_length": 128, "precision": "fp32"},
    "RandomPrompt": {"layout": "mask_first", "max_length": 128, "precision": "fp32"},
    "ProjectorSpec": {
        "evaluate_every": 50, "learning_rate": 0.005, "seed": 0, "shape": "whole", "steps": 400,
        "width": 768,
    },
    "WaySpec": {"limit": None, "rank": 8, "split": "validation", "suppressions": ()},
    "PredictivitySpec": {
        "attack": None, "contrast": None, "limit": None, "permutations": 100, "precision": None,
        "split": "validation", "train_limit": None,
    },
    "Suppression": {
        "kind": "zero", "noise": 0.1, "positions": "all", "scope": "layer", "seed": 0,
        "stack": "encoder",
    },
    "EvaluationSpec": {
        "attack": None, "limit": None, "precision": None, "split": "validation",
        "suppression": None,
    },
    "ActivationSpec": {"limit": 256},
    "AblationSpec": {"limit": 256},
    "ActivatedSpec": {"precision": None},
    "NearestSpec": {"count": 10},
    "DroppedSpec": {"draws": 5, "limit": 256, "precision": None, "split": "validation"},
    "StabilitySpec": {"permutations": 100, "replicates": 100, "splits": 20},
    "AttributionSpec": {
        "attack": None, "limit": 300, "positions": "all", "precision": None, "split": "train",
        "stack": "encoder", "steps": 1,
    },
    "FaithfulnessSpec": {"limit": 64, "neurons": 100},
    "WorstSpec": {"limit": None, "precision": None},
    "Attack": {"seed": 0, "where": "both", "worst_of": 1},
}  # fmt: skip


@pytest.mark.parametrize("kind", [*MEASURES, Suppression, Attack], ids=lambda kind: kind.__name__)
def test_defaults_are_those_that_stored_keys_mean(kind: type) -> None:
    found = {f.name: f.default for f in fields(kind) if f.default is not MISSING}
    assert found == DEFAULTS[kind.__name__]


@pytest.mark.slow
@pytest.mark.parametrize("salt", ["1", "2"])
def test_key_does_not_depend_on_the_process(salt: str) -> None:
    code = "from tests.base.test_specs import *; print(key(EVALUATED))"
    env = {**os.environ, "PYTHONHASHSEED": salt}
    run = [sys.executable, "-c", code]
    out = subprocess.run(run, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == key(EVALUATED)


@pytest.mark.parametrize("broken", [{"spec": "Nothing"}, {"seed": 1}, {"spec": "Pinned", "x": 1}])
def test_what_is_no_spec_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError)):
        from_dict(broken)


@pytest.mark.parametrize("spec", [TUNED, IMPORTED])
@pytest.mark.parametrize("field", ["max_length", "prompt_length"])
@pytest.mark.parametrize("value", [0, -1])
def test_a_prompt_of_no_row_and_texts_of_no_token_are_refused(
    spec: TuneSpec | ImportedPrompt, field: str, value: int
) -> None:
    with pytest.raises(BadInput, match=f"{field} is {value}; it must be 1 or more"):
        replace(spec, **{field: value})
    with pytest.raises(BadInput, match=f"{field} is {value}; it must be 1 or more"):
        from_dict({**to_dict(spec), field: value})


@pytest.mark.parametrize("field", ["steps", "batch_size", "evaluate_every", "selection"])
def test_tuning_for_no_step_or_row_is_refused(field: str) -> None:
    with pytest.raises(BadInput, match=f"{field} is 0; it must be 1 or more"):
        replace(TUNED, **{field: 0})
