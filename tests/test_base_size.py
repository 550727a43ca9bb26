"""The commands of the README at base size: random weights of the true configuration, from a hub on
loopback, by the real program. Takes some minutes of two cores.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoTokenizer,
    RobertaConfig,
    RobertaForMaskedLM,
    RobertaTokenizer,
    T5Config,
    T5ForConditionalGeneration,
)

from core.backbones.fresh import train_bpe, train_unigram
from core.settings import ROOT
from tests.conftest import corpus
from tests.hub import Hub, Repo, glue
from tests.hub import hub as running

TOKENIZERS = ROOT.parent / "shared" / "tokenizers"
REPOS = {"roberta": "FacebookAI/roberta-base", "t5": "google-t5/t5-base"}


def roberta_base(folder: Path) -> None:
    """125 million weights, in half precision to be quick."""
    if TOKENIZERS.is_dir():
        tokenizer: Any = RobertaTokenizer.from_pretrained(TOKENIZERS / "roberta-base")
    else:
        tokenizer = train_bpe(corpus(), 400)
    config = RobertaConfig(
        vocab_size=50265, max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-5
    )
    assert (config.hidden_size, config.num_hidden_layers) == (768, 12)
    RobertaForMaskedLM(config).half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def t5_base(folder: Path) -> None:
    """223 million weights."""
    if TOKENIZERS.is_dir():
        tokenizer = AutoTokenizer.from_pretrained(TOKENIZERS / "t5")
    else:
        tokenizer = train_unigram(corpus(), 200)
    config = T5Config(
        vocab_size=32128, d_model=768, d_kv=64, d_ff=3072, num_layers=12, num_heads=12,
        decoder_start_token_id=0,
    )  # fmt: skip
    T5ForConditionalGeneration(config).half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder = tmp_path_factory.mktemp("repos")
    torch.manual_seed(0)
    roberta_base(folder / "roberta")
    t5_base(folder / "t5")
    with running() as one:
        one.repos["nyu-mll/glue"] = Repo(glue(folder / "glue", corpus()[:232], 32), kind="dataset")
        for family, repo in REPOS.items():
            one.repos[repo] = Repo(folder / family)
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


@pytest.mark.parametrize("family", REPOS)
def test_tune_and_evaluate_at_base_size(surroundings: dict[str, str], family: str) -> None:
    repo = REPOS[family]
    tuned = program(surroundings, "tune", repo, "sst2", "--steps", 5)
    assert tuned["selection_rows"] == 200
    offline = {**surroundings, "HF_HUB_OFFLINE": "1"}
    point = program(offline, "evaluate", tuned["key"], "sst2")
    assert (point["n"], point["source_task"], point["target_task"]) == (32, "sst2", "sst2")
    known = program(offline, "status")["prompts"]
    mine = next(p for p in known if p["key"] == tuned["key"])
    assert (mine["backbone"], mine["prompt_length"]) == (repo, 100)
