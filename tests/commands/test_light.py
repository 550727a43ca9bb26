"""What reads the store or the tasks starts without the libraries that compute and draw."""

import json
import os
import subprocess
import sys
from pathlib import Path
from shutil import copy

import pytest
import torch

from core.base.measure import Run
from core.base.prompts import SoftPrompt
from core.base.settings import ROOT
from core.base.specs import Pinned
from core.measures.prompts import ImportedPrompt
from tests.conftest import here

pytestmark = pytest.mark.slow
HEAVY = ["torch", "transformers", "scipy", "sklearn", "altair", "streamlit"]
# Each command as `python -m core` runs it, in one process, which says after each what is loaded.
PROGRAM = """
import json, runpy, sys
for words in json.loads(sys.argv[1]):
    sys.argv = ["skillscope", *words]
    try:
        runpy.run_module("core", run_name="__main__", alter_sys=True)
    except SystemExit as stop:
        print(json.dumps([words[0], stop.code, list(sys.modules)]), file=sys.stderr)
"""


@pytest.fixture
def places(tmp_path: Path, tiny_roberta: Path) -> dict[str, str]:
    """A cache with a backbone of one's own and a prompt for it; of what is shipped, the baselines
    only, because to export the answers takes seconds.
    """
    spec = ImportedPrompt(
        backbone=Pinned(name=str(tiny_roberta), fingerprint="0123456789ab"),
        sha256="0" * 64, task="toy", seed=0, prompt_length=2,
    )  # fmt: skip
    prompt = SoftPrompt(spec=spec, vectors=torch.zeros(2, 16), words=("no", "yes"))
    cache, assets = tmp_path / "cache", tmp_path / "assets"
    with here(cache) as store:
        store.add_backbone(str(tiny_roberta))
        store.add(prompt, Run(started="", seconds=0.0, device="cpu", versions=""))
    (assets / "tasks").mkdir(parents=True)
    copy(ROOT / "assets" / "tasks" / "baselines.json", assets / "tasks")
    return {"SKILLSCOPE_CACHE": str(cache), "SKILLSCOPE_ASSETS": str(assets)}


def test_a_command_that_only_reads_loads_nothing_heavy(
    places: dict[str, str], tmp_path: Path
) -> None:
    export = tmp_path / "export"
    asked = [
        ["--help"], ["tune", "--help"], ["status"], ["status", "--json"], ["tasks", "--json"],
        ["export", str(export)], ["merge", str(export)],
    ]  # fmt: skip
    env = {name: value for name, value in os.environ.items() if not name.startswith("SKILLSCOPE_")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(asked)],
        cwd=ROOT, env={**env, **places}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = [json.loads(line) for line in done.stderr.splitlines()]
    found = [(name, code, [lib for lib in HEAVY if lib in there]) for name, code, there in said]
    assert found == [(words[0], 0, []) for words in asked]
    assert len(list((export / "prompts").iterdir())) == 1
