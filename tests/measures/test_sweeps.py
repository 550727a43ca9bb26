"""Defaults follow what a backbone is, not what it is called."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from core.base.settings import ROOT
from core.base.specs import Pinned, key
from core.lab.lab import Lab
from core.measures import sweeps

TASK = Pinned(name="opinions", fingerprint="bb")


def test_a_copy_of_an_embedded_backbone_is_asked_the_same_questions(
    lab: Lab, tmp_path: Path
) -> None:
    copy = shutil.copytree(ROOT / "assets" / "backbones" / "roberta-mini", tmp_path / "copy")
    lab.models.settings = replace(lab.settings, precision="bf16")
    pins = [lab.models.pin(name) for name in ("roberta-mini", str(copy))]
    assert pins[0] == pins[1]
    prompts = [sweeps.standard_prompt(pin, "roberta", TASK, 0) for pin in pins]
    asked = [
        sweeps.robustness([p], (TASK, "validation"), (TASK, "test")).everything for p in prompts
    ]
    assert sweeps.measured_in(prompts[1]) == "fp64"
    assert [key(s) for s in asked[0]] == [key(s) for s in asked[1]]
    assert [lab.models.precision(pin.name) for pin in pins] == ["fp32", "fp32"]


def test_other_weights_are_not_embedded_whatever_they_are_called() -> None:
    other = Pinned(name="roberta-mini", fingerprint="ff")
    assert sweeps.tuning_defaults(other) is sweeps.PAPER_DEFAULTS
    assert sweeps.measured_in(sweeps.standard_prompt(other, "roberta", TASK, 0)) is None


def test_without_the_assets_an_embedded_backbone_is_known_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKILLSCOPE_ASSETS", str(tmp_path / "nothing"))
    named = {n: Pinned(name=n, fingerprint="ff") for n in ("t5-mini", "other")}
    assert sweeps.tuning_defaults(named["t5-mini"]) is sweeps.EMBEDDED_DEFAULTS
    assert sweeps.tuning_defaults(named["other"]) is sweeps.PAPER_DEFAULTS
