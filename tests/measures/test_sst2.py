"""The command line over SST-2 and tiny random backbones, against the oracle.

Where the real SST-2 is not at hand, rows of the same form take its place.

A person's way: a folder with a backbone, a TOML that points to data elsewhere. In fp64 all counts
and accuracies must be equal; scores in fp32 within 1e-4.
"""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from scipy.stats import spearmanr

from core.backbones import load_backbone
from core.base.settings import ROOT
from tests.commands.test_cli import call
from tests.conftest import sentence
from tests.measures.oracle import Oracle, first_pieces, run_oracle, skill_mask, zero_columns

pytestmark = pytest.mark.slow
DATA = ROOT.parent / "shared" / "data" / "sst2"
TRAIN, HELD = 120, 90


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sst2-cache")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SST-2's folder, or one like it."""
    if DATA.is_dir():
        return DATA
    folder, rng = tmp_path_factory.mktemp("like-sst2"), random.Random(5)
    for split, rows in (("train", 600), ("dev", 200), ("test", 200)):
        lines = (json.dumps({"sentence": sentence(rng), "label": i % 2}) for i in range(rows))
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def toml(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    file = tmp_path_factory.mktemp("sst2") / "sst2.toml"
    file.write_text(
        f"""
title = "SST-2"
labels = ["negative", "positive"]
data = {str(data)!r}
[splits]
train = "train.jsonl"
validation = "dev.jsonl"
test = "test.jsonl"
[fields]
text_a = "sentence"
[verbalizer]
default = ["bad", "great"]
"""
    )
    return file


def ask(cache: Path, *words: object) -> Any:
    done = call(cache, *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def tuned(cache: Path, folder: Path, toml: Path, precision: str, seed: int = 0) -> str:
    words = ("--steps", 2, "--prompt-length", 4, "--precision", precision)
    return str(ask(cache, "tune", folder, toml, "--seed", seed, *words)["key"])


def oracle_of(cache: Path, folder: Path, key: str, precision: str) -> Oracle:
    stored = {p["key"]: p for p in ask(cache, "status")["prompts"]}
    assert key in stored
    (file,) = cache.rglob(f"{key}*.safetensors")
    (vectors,) = load_file(file).values()
    return Oracle(load_backbone(folder, precision=precision), vectors, padded=128)


@pytest.fixture
def both(tiny_folder: Path, cache: Path, toml: Path) -> tuple[str, Oracle]:
    key = tuned(cache, tiny_folder, toml, "fp64")
    return key, oracle_of(cache, tiny_folder, key, "fp64")


def test_evaluate(cache: Path, tiny_folder: Path, toml: Path, tmp_path: Path) -> None:
    key = tuned(cache, tiny_folder, toml, "fp32")
    oracle = oracle_of(cache, tiny_folder, key, "fp32")
    out = tmp_path / "predictions.parquet"
    row = ask(cache, "evaluate", key, toml, "--limit", HELD, "--predictions", out)
    table = pd.read_parquet(out)
    scores, _, labels = run_oracle(oracle, toml, "validation", first_pieces(oracle, toml), HELD)
    assert np.abs(table[["score_0", "score_1"]].to_numpy() - scores.double().numpy()).max() < 1e-4
    assert table.label.tolist() == labels.tolist()
    assert row["correct"] == int((scores.argmax(1) == labels).sum())
    assert row["n"] == HELD


def test_predictivity(cache: Path, both: tuple[str, Oracle], toml: Path, tmp_path: Path) -> None:
    key, oracle = both
    words = first_pieces(oracle, toml)
    out = tmp_path / "neurons.parquet"
    limits = ("--limit", HELD, "--train-limit", TRAIN)
    ask(cache, "predictivity", key, toml, *limits, "--permutations", 0, "--out", out)
    table = pd.read_parquet(out)
    _, train, _ = run_oracle(oracle, toml, "train", words, TRAIN)
    _, held, labels = run_oracle(oracle, toml, "validation", words, HELD)
    baseline = train.mean(dim=0)
    right = ((held > baseline) == labels[:, None, None, None].bool()).sum(dim=0)
    best = torch.maximum(right, HELD - right).amax(dim=1)
    layers, width = best.shape
    found = (table.predictivity.to_numpy() * HELD).reshape(layers, width)
    assert np.array_equal(found.round(9), best.numpy())
    assert (table.n == HELD).all()


def test_suppress_equals_weights_without_the_neurons(
    cache: Path, tiny_folder: Path, toml: Path, data: Path, tmp_path: Path
) -> None:
    """Ranked on a task of 60 rows, so that the oracle can rank them, too."""
    small = tmp_path / "small.toml"
    rows = (data / "dev.jsonl").read_text().splitlines()
    (tmp_path / "train.jsonl").write_text("\n".join(rows[:70]) + "\n")
    (tmp_path / "validation.jsonl").write_text("\n".join(rows[100:160]) + "\n")
    small.write_text(
        toml.read_text().replace(str(data), str(tmp_path)).replace("dev.jsonl", "validation.jsonl")
        .replace('test = "test.jsonl"\n', "")
    )  # fmt: skip
    key = str(
        ask(
            cache, "tune", tiny_folder, small, "--steps", 2, "--prompt-length", 4,
            "--selection", 20, "--precision", "fp64",
        )["key"]
    )  # fmt: skip
    points = ask(
        cache, "suppress", key, small, "--fractions", "0,0.2,0.5", "--choose", "skill", "--alone"
    )  # fmt: skip
    oracle = oracle_of(cache, tiny_folder, key, "fp64")
    words = first_pieces(oracle, small)
    _, train, _ = run_oracle(oracle, small, "train", words)
    scores, held, labels = run_oracle(oracle, small, "validation", words)
    expected = [int((scores.argmax(1) == labels).sum())]
    for fraction in (0.2, 0.5):
        zero_columns(oracle, skill_mask(held, train.mean(dim=0), labels, fraction))
        scores, _, _ = run_oracle(oracle, small, "validation", words)
        expected.append(int((scores.argmax(1) == labels).sum()))
    assert [p["correct"] for p in points] == expected
    assert [p["fraction"] for p in points] == [0, 0.2, 0.5]
    assert all(p["accuracy"] == p["correct"] / p["n"] for p in points)


def test_transfer_and_correlate(
    cache: Path,
    both: tuple[str, Oracle],
    tiny_folder: Path,
    toml: Path,
    data: Path,
    tmp_path: Path,
) -> None:
    """Two prompts on one task: the mean over seeds, and Spearman of two measured rankings."""
    first, _ = both
    second = tuned(cache, tiny_folder, toml, "fp64", seed=1)
    (row,) = ask(cache, "transfer", first, second, "--tasks", toml, "--limit", HELD)
    accuracies = []
    for key in (first, second):
        one = oracle_of(cache, tiny_folder, key, "fp64")
        scores, _, labels = run_oracle(one, toml, "validation", first_pieces(one, toml), HELD)
        accuracies.append(int((scores.argmax(1) == labels).sum()) / HELD)
    assert row["accuracy"] == pytest.approx(np.mean(accuracies), abs=1e-12)
    assert row["seeds"] == 2

    tables = []
    for name in ("dev", "test"):
        rows = (data / f"{name}.jsonl").read_text().splitlines()[:80]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(rows) + "\n")
        (tmp_path / f"{name}.toml").write_text(
            toml.read_text().replace(str(data), str(tmp_path)).replace("dev.jsonl", f"{name}.jsonl")
            .replace("train.jsonl", f"{name}.jsonl").replace('test = "test.jsonl"\n', "")
        )  # fmt: skip
        out = tmp_path / f"{name}.parquet"
        ask(cache, "predictivity", first, tmp_path / f"{name}.toml", "--out", out)
        tables.append(pd.read_parquet(out))
    pairs = [f"{first}={tmp_path / name}.toml" for name in ("dev", "test")]
    rows = ask(cache, "correlate", *pairs)
    (found,) = {r["spearman"] for r in rows if r["task_a"] != r["task_b"]}
    by_layer = [
        spearmanr(a.predictivity, b.predictivity).statistic
        for (_, a), (_, b) in zip(
            tables[0].groupby("layer"), tables[1].groupby("layer"), strict=True
        )
    ]
    assert found == pytest.approx(np.nanmean(by_layer), abs=1e-9)
