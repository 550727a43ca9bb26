"""CONTRIBUTING.md and README.md name what is there, and its recipes are the ones that work."""

import json
import re
from pathlib import Path

import pytest

from core.backbones import FAMILIES, describe, load_backbone
from core.backbones.fresh import fresh_t5, save_backbone, train_unigram
from core.backbones.t5 import T5
from core.base.settings import ROOT
from core.measures.registry import MEASURES
from core.measures.sweeps import PAPER_DEFAULTS
from core.tasks import BUILTIN, builtin_names, load_task
from tests.conftest import TINY, corpus, write_task

DOCUMENTS = (
    "CONTRIBUTING.md", "README.md", "docs/architecture.md", "docs/tasks.md", "docs/commands.md",
    "docs/pages.md",
)  # fmt: skip
PATH = re.compile(r"`((?:core|pages|tests|docs|demo|assets|benchmarks)/[\w/.-]+)`")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_files_that_a_document_names_exist(name: str) -> None:
    named = PATH.findall((ROOT / name).read_text("utf-8"))
    assert [path for path in named if not (ROOT / path).exists()] == []
    if name == "CONTRIBUTING.md":
        assert len(named) > 15


def test_a_task_is_one_file(tmp_path: Path) -> None:
    toml = write_task(tmp_path / "task")
    assert load_task(str(toml)).ready
    found = {f.stem for f in BUILTIN.glob("*.toml")}
    assert set(builtin_names()) == found
    assert all(load_task(name).ready for name in found)


def test_a_family_is_named_in_each_place_of_its_recipe() -> None:
    fresh = (ROOT / "core" / "backbones" / "fresh.py").read_text("utf-8")
    for family in FAMILIES:
        assert (ROOT / "core" / "backbones" / f"{family}.py").is_file()
        assert f"def fresh_{family}" in fresh
        assert family in PAPER_DEFAULTS.learning_rate
        assert family in TINY


def test_no_other_place_of_core_names_a_family() -> None:
    """A comparison with a family's name is a switch that a new family would have to find."""
    switch = re.compile(r"family\s*[!=]=\s*\"(\w+)\"")
    found = {
        str(file.relative_to(ROOT))
        for file in (ROOT / "core").rglob("*.py")
        if switch.search(file.read_text("utf-8"))
    }
    # PEFT has prompt tuning for encoder-decoders only
    assert found == {"core/exchange/sharing.py"}


def test_an_adapter_and_its_line_make_a_family(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """mT5 has T5's layers and a gated feed-forward block under a name of its own."""
    monkeypatch.setitem(FAMILIES, "mt5", type("MT5", (T5,), {"family": "mt5"}))
    folder = tmp_path / "tiny-mt5"
    tokenizer = train_unigram(corpus(), 200)
    save_backbone(fresh_t5(
        tokenizer, seed=1, d_model=16, d_kv=8, d_ff=24, num_layers=2, num_decoder_layers=1,
        num_heads=2, feed_forward_proj="gated-gelu",
    ), folder)  # fmt: skip
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "mt5"}))
    assert describe(folder)["Family"] == "mt5"
    backbone = load_backbone(folder)
    assert (backbone.family, backbone.layers, backbone.intermediate_size) == ("mt5", 2, 24)


def test_a_measurement_is_one_file_and_one_line() -> None:
    """Besides its own file and the registry, only sweeps, pages and figures name a measurement."""
    modules = {m.compute.__module__ for m in MEASURES.values()}
    assert len(modules) == len(MEASURES), "one file each"
    for folder in ("store", "base"):
        for file in (ROOT / "core" / folder).rglob("*.py"):
            text = file.read_text("utf-8")
            assert not [s.__name__ for s in MEASURES if s.__name__ in text], file


def test_a_page_is_one_line_in_app() -> None:
    app = (ROOT / "app.py").read_text("utf-8")
    for page in (ROOT / "pages").glob("*.py"):
        if page.name != "__init__.py":
            assert app.count(f'st.Page("pages/{page.name}"') == 1
