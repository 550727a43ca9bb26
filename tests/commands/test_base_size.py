"""The commands of the README at base size: random weights of the true configuration, from a hub on
loopback, by the real program. Takes a minute or two. T5 only, as long as there is no time for both:
RoBERTa is the one of the page session (tests/e2e/test_base_size_pages.py).
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from core.base.settings import ROOT
from tests.backbones.hub import Hub
from tests.backbones.hub import hub as running
from tests.commands.base_size import REPOS, fill
from tests.conftest import THOROUGH

pytestmark = pytest.mark.slow
FAMILIES = tuple(REPOS) if THOROUGH else ("t5",)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with running() as one:
        fill(one, tmp_path_factory.mktemp("repos"), FAMILIES)
        yield one


@pytest.fixture(scope="module")
def surroundings(server: Hub, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("base")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SKILLSCOPE_", "HF_"))}
    return {
        **kept,
        "HF_ENDPOINT": server.address,
        "HF_HOME": str(folder / "home"),
        "SKILLSCOPE_CACHE": str(folder / "cache"),
    }


def program(env: dict[str, str], *words: object) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "core", *map(str, words), "--json"],
        cwd=ROOT, env=env, capture_output=True, text=True, timeout=1200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("family", FAMILIES)
def test_tune_and_evaluate_at_base_size(surroundings: dict[str, str], family: str) -> None:
    repo = REPOS[family]
    tuned = program(
        surroundings, "tune", repo, "sst2", "--steps", 2, "--selection", 8, "--batch-size", 4
    )
    assert tuned["selection_rows"] == 8
    offline = {**surroundings, "HF_HUB_OFFLINE": "1"}
    point = program(offline, "evaluate", tuned["key"], "sst2")
    assert (point["n"], point["source_task"], point["target_task"]) == (32, "sst2", "sst2")
    known = program(offline, "status")["prompts"]
    mine = next(p for p in known if p["key"] == tuned["key"])
    assert (mine["backbone"], mine["prompt_length"]) == (repo, 100)
