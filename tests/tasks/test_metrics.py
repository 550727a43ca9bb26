"""Metrics of written answers: against counts by hand, and by law."""

import random
from collections import Counter
from itertools import pairwise

import pytest

from core.tasks.metrics import METRICS, TITLES, beside, exact_match, f1

WORDS = ["ship", "market", "red", "eight", "river", "nurse", "garden", "winter"]


def harmonic(shared: int, written: int, reference: int) -> float:
    return 2 * shared / (written + reference) if shared else 0.0


def shared(a: list[object], b: list[object]) -> int:
    return sum((Counter(a) & Counter(b)).values())


def common_subsequence(a: list[str], b: list[str]) -> int:
    """Length of the longest one, by trying every choice."""
    if not a or not b:
        return 0
    if a[0] == b[0]:
        return 1 + common_subsequence(a[1:], b[1:])
    return max(common_subsequence(a[1:], b), common_subsequence(a, b[1:]))


def test_every_metric_has_a_title_and_is_reported_beside_its_like() -> None:
    assert {"accuracy", *METRICS} == set(TITLES)
    assert list(beside("f1")) == ["exact_match", "f1"]
    assert list(beside("rouge1")) == ["rouge1", "rouge2", "rougeL"]


def test_an_exact_match_looks_past_case_punctuation_and_articles() -> None:
    assert exact_match("The film.", ["  film"]) == 1
    assert exact_match("a film", ["films"]) == 0
    assert exact_match("eight", ["nine", "Eight!"]) == 1


def test_f1_is_that_of_the_words() -> None:
    assert f1("in the old market", ["old market"]) == pytest.approx(0.8, abs=1e-6)
    assert f1("market", ["river", "the market"]) == 1


@pytest.mark.parametrize("seed", range(20))
def test_scores_are_those_of_words_counted_here(seed: int) -> None:
    rng = random.Random(seed)
    a, b = (rng.choices(WORDS, k=rng.randint(1, 8)) for _ in range(2))
    pairs = [list(pairwise(words)) for words in (a, b)]
    expected = {
        "exact_match": float(a == b),
        "f1": harmonic(shared(a, b), len(a), len(b)),
        "rouge1": harmonic(shared(a, b), len(a), len(b)),
        "rouge2": harmonic(shared(*pairs), *map(len, pairs)),
        "rougeL": harmonic(common_subsequence(a, b), len(a), len(b)),
    }
    for name, metric in METRICS.items():
        assert metric(" ".join(a), [" ".join(b)]) == pytest.approx(expected[name], abs=1e-6), name


@pytest.mark.parametrize("name", METRICS)
def test_a_text_scores_against_its_best_reference(name: str) -> None:
    rng = random.Random(1)
    for _ in range(10):
        text, *references = (" ".join(rng.choices(WORDS, k=4)) for _ in range(4))
        one_by_one = [METRICS[name](text, [r]) for r in references]
        assert METRICS[name](text, references) == pytest.approx(max(one_by_one), abs=1e-6)
        assert METRICS[name](text, [*references, text]) == 1
        assert METRICS[name]("", references) == 0
