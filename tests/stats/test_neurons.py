"""From counts of right guesses to a choice of neurons."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from core.stats.neurons import (
    at_token,
    best_token,
    choose_neurons,
    count,
    folded,
    mean_predictivity,
    predictivity,
    skill_neurons,
)

FRACTIONS = [0.0, 0.01, 0.05, 0.3, 0.5, 0.9, 1.0]
N = 1000


@pytest.fixture
def correct() -> np.ndarray:
    return np.random.default_rng(0).integers(0, N + 1, (4, 5, 40))


@pytest.fixture
def rank() -> np.ndarray:
    return np.random.default_rng(1).random((4, 40))


def test_predictivity_lies_between_half_and_one(correct: np.ndarray) -> None:
    values = predictivity(correct, N)
    assert values.shape == (4, 40)
    assert ((values >= 0.5) & (values <= 1)).all()


@pytest.mark.parametrize("n", [3, 61, 600])
def test_swapping_the_labels_changes_neither_predictivity_nor_best_token(n: int) -> None:
    correct = np.random.default_rng(n).integers(0, n + 1, (2, 7, 50))
    assert np.array_equal(predictivity(correct, n), predictivity(n - correct, n))
    assert np.array_equal(best_token(correct, n), best_token(n - correct, n))


def test_predictivity_is_reached_at_the_best_token(correct: np.ndarray) -> None:
    reached = at_token(folded(correct, N), best_token(correct, N))
    assert np.array_equal(reached / N, predictivity(correct, N))


def test_a_neuron_that_is_always_wrong_is_the_best() -> None:
    correct = np.array([6, 0, 9]).reshape(1, 3, 1)
    assert best_token(correct, 10).item() == 1
    assert predictivity(correct, 10).item() == 1.0


def test_of_equally_good_tokens_the_first_counts() -> None:
    """3 of 10 and 7 of 10 are equally good, though 1 - 0.3 and 0.7 differ as floating point."""
    assert best_token(np.array([5, 7, 3]).reshape(1, 3, 1), 10).item() == 1
    assert best_token(np.array([5, 3, 7]).reshape(1, 3, 1), 10).item() == 1


def test_the_mean_over_seeds_is_one_fraction_so_that_equal_sums_are_equal() -> None:
    a, b, c = np.array([[1, 3]]), np.array([[4, 1]]), np.array([[2, 3]])
    mean = mean_predictivity([(a, 7), (b, 7), (c, 7)])
    assert mean.tolist() == [[7 / 21, 7 / 21]]


def test_suppression_and_figures_share_one_definition(rank: np.ndarray) -> None:
    """With `informative` only neurons above that level are left, in the same order."""
    papers = skill_neurons([rank], 0.3)
    figures = skill_neurons([rank], 0.3, informative=0.8)
    assert np.array_equal(papers, choose_neurons([rank], choose="skill", fraction=0.3))
    assert np.array_equal(figures, papers & (rank > 0.8))
    assert figures.sum() < papers.sum()


def test_counts_are_those_of_the_papers() -> None:
    percent = [1, 3, 5, 7, 9, 11, 13, 15]
    assert [count(3072, p / 100) for p in percent] == [30, 92, 153, 215, 276, 337, 399, 460]


def test_counts_are_exact_where_the_product_is_whole() -> None:
    for hundredth in range(101):
        assert count(100, hundredth / 100) == hundredth
        assert count(3000, hundredth / 100) == 30 * hundredth


@pytest.mark.parametrize("choose", ["skill", "random", "lowest"])
@pytest.mark.parametrize("fraction", FRACTIONS)
def test_every_layer_gives_its_fraction(rank: np.ndarray, choose: str, fraction: float) -> None:
    mask = choose_neurons([rank], choose=choose, fraction=fraction)
    assert mask.sum(axis=1).tolist() == [int(40 * fraction)] * 4


@pytest.mark.parametrize("choose", ["skill", "random", "lowest"])
@pytest.mark.parametrize("fraction", FRACTIONS)
def test_model_scope_gives_the_fraction_in_total(
    rank: np.ndarray, choose: str, fraction: float
) -> None:
    mask = choose_neurons([rank], choose=choose, fraction=fraction, scope="model")
    assert int(mask.sum()) == int(160 * fraction)


@pytest.mark.parametrize("scope", ["layer", "model"])
@pytest.mark.parametrize("choose", ["skill", "random", "lowest"])
def test_choices_are_nested_over_fractions(rank: np.ndarray, choose: str, scope: str) -> None:
    masks = [choose_neurons([rank], choose=choose, fraction=f, scope=scope) for f in FRACTIONS]
    for smaller, larger in pairwise(masks):
        assert (smaller <= larger).all()


def test_skill_takes_the_highest(rank: np.ndarray) -> None:
    mask = choose_neurons([rank], choose="skill", fraction=0.3)
    for row, chosen in zip(rank, mask, strict=True):
        assert row[chosen].min() > row[~chosen].max()


def test_model_scope_takes_the_highest_of_all(rank: np.ndarray) -> None:
    mask = choose_neurons([rank], choose="skill", fraction=0.3, scope="model")
    assert rank[mask].min() > rank[~mask].max()


@pytest.mark.parametrize("scope", ["layer", "model"])
@pytest.mark.parametrize("fraction", [0.0, 0.25, 0.5, 1.0])
def test_lowest_is_the_complement_of_highest(rank: np.ndarray, fraction: float, scope: str) -> None:
    low = choose_neurons([rank], choose="lowest", fraction=fraction, scope=scope)
    high = choose_neurons([rank], choose="skill", fraction=1 - fraction, scope=scope)
    assert np.array_equal(low, ~high)


def test_random_depends_on_the_seed_only(rank: np.ndarray) -> None:
    def draw(values: np.ndarray, seed: int) -> np.ndarray:
        return choose_neurons([values], choose="random", fraction=0.3, seed=seed)

    assert np.array_equal(draw(rank, 1), draw(np.zeros((4, 40)), 1))
    assert not np.array_equal(draw(rank, 1), draw(rank, 2))


def test_random_leaves_the_global_generator_alone(rank: np.ndarray) -> None:
    before = torch.random.get_rng_state()
    choose_neurons([rank], choose="random", fraction=0.5, seed=9)
    assert torch.equal(before, torch.random.get_rng_state())


def test_of_equal_ranks_the_lower_index_goes_first() -> None:
    for choose in ("skill", "lowest"):
        mask = choose_neurons([np.zeros((1, 6))], choose=choose, fraction=0.5)
        assert mask[0].tolist() == [True] * 3 + [False] * 3


def test_several_rankings_take_turns_without_repeats() -> None:
    first = np.array([[9.0, 8, 7, 6, 5, 4]])
    second = np.array([[9.0, 1, 2, 3, 8, 7]])
    expected = [0, 4, 1, 5, 2, 3]  # the second's best, 0, is taken: its turn goes to 4
    for n in range(7):
        mask = choose_neurons([first, second], choose="skill", fraction=n / 6)
        assert np.flatnonzero(mask[0]).tolist() == sorted(expected[:n])


def test_the_same_ranking_twice_is_that_ranking(rank: np.ndarray) -> None:
    once = choose_neurons([rank], choose="skill", fraction=0.3)
    assert np.array_equal(once, choose_neurons([rank, rank], choose="skill", fraction=0.3))


def test_nothing_and_everything(rank: np.ndarray) -> None:
    assert not choose_neurons([rank], choose="skill", fraction=0.0).any()
    assert choose_neurons([rank], choose="skill", fraction=1.0).all()
