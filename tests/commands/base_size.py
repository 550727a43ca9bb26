"""Random weights of the true configuration of RoBERTa-base and T5-base, for a hub on loopback."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

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
from core.base.settings import ROOT
from tests.backbones.hub import Hub, Repo, glue
from tests.conftest import corpus

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


MAKE = {"roberta": roberta_base, "t5": t5_base}


def fill(hub: Hub, folder: Path, families: Iterable[str]) -> None:
    """Models and a small SST-2, under their real ids."""
    torch.manual_seed(0)
    hub.repos["nyu-mll/glue"] = Repo(glue(folder / "glue", corpus()[:232], 32), kind="dataset")
    for family in families:
        MAKE[family](folder / family)
        hub.repos[REPOS[family]] = Repo(folder / family)
