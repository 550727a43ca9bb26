"""Tiny random backbones of each family, a small task, and a lab over them. No network."""

import json
import os
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock

from core.backbones.base import Backbone
from core.backbones.fresh import (
    fresh_bert,
    fresh_roberta,
    fresh_t5,
    save_backbone,
    train_bpe,
    train_unigram,
    wordpiece,
)
from core.base.settings import Settings
from core.lab.lab import Lab, open_store
from core.measures.predictivity import Floor
from core.measures.registry import MEASURES
from core.store import Store

WORDS = "the a film meal book was is not very good bad fine dull warm cold and but we they".split()  # noqa: SIM905
ANSWERS = ["negative", "positive", "neutral", "no", "yes"]


def sentence(rng: random.Random) -> str:
    return " ".join(rng.choices(WORDS, k=rng.randint(3, 14))) + "."


def corpus() -> list[str]:
    rng = random.Random(0)
    return [sentence(rng) for _ in range(400)] + [w for w in ANSWERS for _ in range(40)]


TINY = {
    "bert": lambda: fresh_bert(
        wordpiece([*WORDS, *ANSWERS]),
        seed=3,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=200,
        initializer_range=0.3,
    ),
    "roberta": lambda: fresh_roberta(
        train_bpe(corpus(), 400),
        seed=1,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=200,
        initializer_range=0.3,
    ),
    "t5": lambda: fresh_t5(
        train_unigram(corpus(), 200),
        seed=1,
        d_model=16,
        d_kv=8,
        d_ff=24,
        num_layers=3,
        num_decoder_layers=2,
        num_heads=2,
    ),
    "t5-gated": lambda: fresh_t5(
        train_unigram(corpus(), 200),
        seed=2,
        d_model=16,
        d_kv=8,
        d_ff=24,
        num_layers=2,
        num_decoder_layers=1,
        num_heads=2,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
    ),
}


THOROUGH = bool(os.environ.get("TEST_THOROUGH"))  # larger samples: `make thorough` has the time
DAILY = ("roberta", "t5")  # the others of a family behave alike: `make check` leaves them out


@pytest.fixture(
    scope="session",
    params=[
        pytest.param(name, marks=[] if name in DAILY else pytest.mark.slow) for name in sorted(TINY)
    ],
)
def tiny_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / f"tiny-{request.param}"
    save_backbone(TINY[request.param](), folder)
    return folder


@pytest.fixture(scope="session")
def tiny_roberta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny-roberta"
    save_backbone(TINY["roberta"](), folder)
    return folder


def write_task(folder: Path, *, pair: bool = False, classes: int = 2, n: int = 60) -> Path:
    """A task TOML with JSONL data whose labels follow a word, so that something can be learnt."""
    rng = random.Random(3)
    folder.mkdir(parents=True, exist_ok=True)
    for split, rows in (("train", n), ("validation", n // 2 + 1)):
        with (folder / f"{split}.jsonl").open("w") as file:
            for i in range(rows):
                row = {"text": sentence(rng), "label": i % classes}
                if pair:
                    row["text_b"] = sentence(rng)
                file.write(json.dumps(row) + "\n")
    words = json.dumps(ANSWERS[:classes])
    text_b = 'text_b = "text_b"' if pair else ""
    (folder / "task.toml").write_text(
        f"""
title = "Toy"
labels = {words}
[splits]
train = "train.jsonl"
validation = "validation.jsonl"
[fields]
text_a = "text"
{text_b}
[verbalizer]
default = {words}
"""
    )
    return folder / "task.toml"


def write_text_task(folder: Path) -> Path:
    """A task whose answers are written: what is the text's first word?"""
    rng = random.Random(1)
    folder.mkdir(parents=True, exist_ok=True)
    for split, n in (("train", 40), ("validation", 9)):
        texts = [sentence(rng) for _ in range(n)]
        rows = [{"text": t, "answer": t.split()[0].strip(".")} for t in texts]
        (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "echo.toml").write_text(
        'title = "Echo"\n[splits]\ntrain = "train.jsonl"\nvalidation = "validation.jsonl"\n'
        '[fields]\ntext_a = "text"\nlabel = "answer"\n'
        '[answer]\nmax_new_tokens = 3\nmetric = "exact_match"\n'
    )
    return folder / "echo.toml"


@pytest.fixture(scope="session")
def toy_task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_task(tmp_path_factory.mktemp("toy"))


@contextmanager
def lab_in(cache: Path) -> Iterator[Lab]:
    """A lab with an empty cache that knows the embedded backbones, if they are there."""
    settings = Settings(cache=cache, threads=1)
    with open_store(settings) as store:
        yield Lab(settings, store)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A lab of the test's own."""
    with lab_in(tmp_path / "cache") as lab:
        yield lab


@pytest.fixture(scope="session")
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that a lab has opened, so that the shipped answers are in it: one for all processes,
    to be copied.
    """
    mine = tmp_path_factory.getbasetemp()
    shared = mine.parent if hasattr(request.config, "workerinput") else mine
    folder = shared / "opened"
    with FileLock(shared / "opened.lock"):
        if not folder.is_dir():
            Lab.open(Settings(cache=shared / "opening")).store.close()
            (shared / "opening").rename(folder)
    return folder


@contextmanager
def opened_lab(opened: Path, cache: Path, **options: Any) -> Iterator[Lab]:
    """A lab over the shipped answers, in a cache of its own."""
    shutil.copytree(opened, cache)
    lab = Lab.open(Settings(cache=cache, **options))
    with lab.store:
        yield lab


def here(folder: Path, **options: Any) -> Store:
    """A store of all measurements, without a migration."""
    return Store(folder, MEASURES, **options)


@pytest.fixture(scope="session", autouse=True)
def _few_threads() -> None:
    torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests first: no process is left alone with one at the end (`--no-loadscope-reorder`)."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write down what failed where somebody asks for it, so that it can be repeated last."""
    if "TEST_FAILURES" not in os.environ or hasattr(terminalreporter.config, "workerinput"):
        return  # nobody asks, or it is one of several processes whose head does it
    with Path(os.environ["TEST_FAILURES"]).open("a", encoding="utf-8") as file:
        for outcome in ("failed", "error"):
            for report in terminalreporter.getreports(outcome):
                crash = getattr(report.longrepr, "reprcrash", None)
                why = (str(crash.message) if crash else str(report.longrepr)).strip().splitlines()
                print(f"{outcome.upper()} {report.nodeid}", *why[:1], sep=" - ", file=file)


def random_vectors(backbone: Backbone, length: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    spread = backbone.word_vectors().std()
    return torch.randn(length, backbone.hidden_size, generator=generator) * spread


def some_floor(layers: int, neurons: int) -> Floor:
    """A floor as `measure` gives it, with made-up numbers."""
    p = np.linspace(0.01, 1, layers * neurons).reshape(layers, neurons)
    return Floor(
        mean=0.55, p99=0.6, fwer=0.65, fdr=0.6, permutations=20, p=p, p_family=np.sqrt(p), q=p
    )
