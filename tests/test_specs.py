"""A spec names its answer: the key depends on every part of the question and on nothing else."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest

from core.errors import BadInput
from core.settings import ROOT
from core.specs import (
    ActivationSpec,
    Contrast,
    EvaluationSpec,
    ImportedPrompt,
    Pinned,
    PredictivitySpec,
    Suppression,
    TuneSpec,
    dumps,
    from_dict,
    key,
    loads,
    to_dict,
)

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
        for field in fields(value):
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


GOLDEN = "11d3253238f2edfc2a7b"


def test_golden_key() -> None:
    """If this changes, every stored and shipped answer is lost: raise VERSIONS only on purpose."""
    assert key(TUNED) == GOLDEN


@pytest.mark.parametrize("salt", ["1", "2"])
def test_key_does_not_depend_on_the_process(salt: str) -> None:
    code = "from tests.test_specs import *; print(key(EVALUATED))"
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
