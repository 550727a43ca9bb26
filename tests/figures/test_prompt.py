"""One prompt's tables, from answers made by hand and stored for real."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import binomtest, norm

from core.base.measure import Run
from core.base.prompts import SoftPrompt
from core.base.specs import Pinned
from core.figures import prompt as figures
from core.measures.dropped import Dropped, DroppedSpec
from core.measures.nearest import Nearest, NearestSpec
from core.measures.prompts import ImportedPrompt
from core.stats.intervals import wilson
from core.store import Store
from tests.conftest import here

BACKBONE = Pinned(name="x", fingerprint="0")
TASK = Pinned(name="films", fingerprint="1")
PROMPT = ImportedPrompt(backbone=BACKBONE, seed=0, prompt_length=3, sha256="0", task="films")
RUN = Run(started="2026-01-01T00:00:00+00:00", seconds=1.0, device="cpu", versions="")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    with here(tmp_path) as store:
        yield store


def test_a_vectors_effect_is_paired_over_examples(store: Store) -> None:
    spec = DroppedSpec(prompt=PROMPT, task=TASK, draws=2)
    assert figures.without_each(store, spec).empty
    assert figures.fewer(store, spec).empty
    store.add(
        Dropped(
            spec=spec, n=100, whole=80, row=np.arange(3), lost=np.array([30, 5, 0]),
            gained=np.array([2, 5, 0]), counts=np.array([1, 3]),
            curve=np.array([[60, 50], [70, 50]]),
        ),
        RUN,
    )  # fmt: skip
    table = figures.without_each(store, spec).set_index("row")
    assert table.effect.tolist() == pytest.approx([0.28, 0.0, 0.0])
    for row, (lost, gained) in enumerate([(30, 2), (5, 5), (0, 0)]):
        each = np.repeat([1, -1, 0], [lost, gained, 100 - lost - gained])  # one a changed answer
        half = norm.ppf(0.975) * each.std() / 10
        assert table.high[row] - table.effect[row] == pytest.approx(half)
    p = 3 * binomtest(30, 32, 0.5).pvalue  # Holm
    assert table.p.tolist() == pytest.approx([p, 1.0, 1.0])
    curve = figures.fewer(store, spec).set_index("count")
    assert curve.accuracy.to_dict() == pytest.approx({0: 0.8, 1: 0.65, 3: 0.5})
    assert (curve.low[1], curve.high[1]) == pytest.approx((0.6, 0.7)), "range of the orders"
    assert (curve.low[0], curve.high[0]) == pytest.approx(wilson(80, 100))
    assert (curve.low[3], curve.high[3]) == pytest.approx(wilson(50, 100))


def test_words_say_which_vectors_stayed_where_they_started(store: Store) -> None:
    spec = NearestSpec(prompt=PROMPT, count=2)
    assert figures.words(store, spec, "cosine").empty
    rows = [["good", "fine"], ["bad", "poor"], ["film", "movie"]]
    ids = np.array([[1, 2], [3, 4], [5, 6]])
    values = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]])
    found = Nearest(
        spec=spec, tokens={"cosine": rows, "distance": rows[::-1]},
        ids={"cosine": ids, "distance": ids[::-1]},
        values={"cosine": values, "distance": 1 - values}, norms=np.array([1.0, 2.0, 3.0]),
        vocabulary=(0.5, 1.0, 1.5), start=("good", "film", "film"),
        start_id=(1, 5, 5),
    )  # fmt: skip
    store.add(found, RUN)
    table = figures.words(store, spec, "cosine", count=1)
    assert table.nearest.tolist() == [["good"], ["bad"], ["film"]]
    assert table.unmoved.tolist() == [True, False, True]
    assert table.value.tolist() == pytest.approx([0.9, 0.8, 0.7])
    assert figures.words(store, spec, "distance").nearest.tolist() == rows[::-1]
    other = replace(spec, count=3)
    store.add(replace(found, spec=other, start=(), start_id=()), RUN)
    table = figures.words(store, other, "cosine")
    assert table.start.isna().all()
    assert not table.unmoved.any()


def test_vectors_are_compared_by_their_angle() -> None:
    first = SoftPrompt(spec=PROMPT, vectors=torch.tensor([[1.0, 0], [0, 2], [0, 0]]), words=())
    second = SoftPrompt(spec=PROMPT, vectors=torch.tensor([[3.0, 3]]), words=())
    table = figures.between_rows(first, second)
    assert table.cosine.tolist() == pytest.approx([0.5**0.5, 0.5**0.5, 0])
    assert figures.between_rows(first, first).cosine.tolist() == [1, 0, 0, 0, 1, 0, 0, 0, 0]


def test_the_nearest_prompts_come_first_and_never_the_prompt_itself(store: Store) -> None:
    angles = {0: 0.0, 1: 0.5, 2: 0.1, 3: 2.0}
    asked = [replace(PROMPT, seed=s, sha256=str(s), prompt_length=1) for s in angles]
    for spec, angle in zip(asked, angles.values(), strict=True):
        vectors = torch.tensor([[np.cos(angle), np.sin(angle)]])
        store.add(SoftPrompt(spec=spec, vectors=vectors, words=()), RUN)
    unknown = replace(PROMPT, seed=9, sha256="9")
    table = figures.neighbours(store, asked[0], [*asked, unknown], count=2)
    assert table.seed.tolist() == [2, 1]
    assert table.cosine.tolist() == pytest.approx([np.cos(0.1), np.cos(0.5)])
    assert figures.neighbours(store, unknown, asked).empty
    assert figures.neighbours(store, asked[0], [asked[0]]).empty


def test_a_prompts_sentence_counts_where_it_is_clearly_above_the_majority_class() -> None:
    def row(
        task: str, low: float, *, own: bool = False, metric: str = "accuracy"
    ) -> dict[str, Any]:
        return {
            "task": task, "metric": metric, "accuracy": low + 0.05, "low": low, "high": low + 0.1,
            "n": 50, "majority": 0.5, "own": own,
        }  # fmt: skip

    rows = [row("A", 0.8, own=True), row("B", 0.51), row("C", 0.5), row("D", 0.9, metric="f1")]
    assert figures.sentence(pd.DataFrame(rows)) == (
        "**Accuracy 0.85 (0.80 to 0.90) on its own task; clearly above the majority class on 1 of "
        "2 other clean tasks, highest on B (0.56).**"
    )
    written = pd.DataFrame([row("D", 0.3, own=True, metric="f1")])
    assert figures.sentence(written) == "**F1 0.35 (0.30 to 0.40) on its own task.**"
    assert figures.sentence(pd.DataFrame(rows[1:2])).startswith("**Clearly above the majority")
    assert not figures.sentence(written.iloc[:0])
