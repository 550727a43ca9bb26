"""From accuracies to a choice of neurons."""

from itertools import pairwise

import pytest
import torch

from core.stats.neurons import at_token, best_token, choose_neurons, count, predictivity, ranking

FRACTIONS = [0.0, 0.01, 0.05, 0.3, 0.5, 0.9, 1.0]


@pytest.fixture
def accuracy() -> torch.Tensor:
    return torch.rand(4, 5, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture
def rank(accuracy: torch.Tensor) -> torch.Tensor:
    return predictivity(accuracy)


def test_predictivity_lies_between_half_and_one(rank: torch.Tensor) -> None:
    assert rank.shape == (4, 40)
    assert ((rank >= 0.5) & (rank <= 1)).all()


def test_swapping_the_labels_changes_no_predictivity() -> None:
    shares = torch.arange(61, dtype=torch.float64).view(1, 1, 61) / 64
    assert torch.equal(predictivity(shares), predictivity(1 - shares))


def test_predictivity_is_reached_at_the_best_token(accuracy: torch.Tensor) -> None:
    reached = at_token(accuracy, best_token(accuracy))
    assert torch.equal(torch.maximum(reached, 1 - reached), predictivity(accuracy))


def test_a_neuron_that_is_always_wrong_is_the_best() -> None:
    accuracy = torch.tensor([0.6, 0.0, 0.9]).view(1, 3, 1)
    assert best_token(accuracy).item() == 1
    assert predictivity(accuracy).item() == 1.0


def test_of_equally_good_tokens_the_first_counts() -> None:
    assert best_token(torch.tensor([0.5, 0.75, 0.25]).view(1, 3, 1)).item() == 1


def test_ranking_is_the_mean_over_seeds() -> None:
    a, b = torch.full((2, 3), 0.5), torch.full((2, 3), 1.0)
    assert torch.equal(ranking([a, b]), torch.full((2, 3), 0.75))


def test_counts_are_those_of_the_papers() -> None:
    percent = [1, 3, 5, 7, 9, 11, 13, 15]
    assert [count(3072, p / 100) for p in percent] == [30, 92, 153, 215, 276, 337, 399, 460]


def test_counts_are_exact_where_the_product_is_whole() -> None:
    for hundredth in range(101):
        assert count(100, hundredth / 100) == hundredth
        assert count(3000, hundredth / 100) == 30 * hundredth


@pytest.mark.parametrize("choose", ["skill", "random", "lowest"])
@pytest.mark.parametrize("fraction", FRACTIONS)
def test_every_layer_gives_its_fraction(rank: torch.Tensor, choose: str, fraction: float) -> None:
    mask = choose_neurons([rank], choose=choose, fraction=fraction)
    assert mask.sum(dim=1).tolist() == [int(40 * fraction)] * 4


@pytest.mark.parametrize("choose", ["skill", "random", "lowest"])
@pytest.mark.parametrize("fraction", FRACTIONS)
def test_model_scope_gives_the_fraction_in_total(
    rank: torch.Tensor, choose: str, fraction: float
) -> None:
    mask = choose_neurons([rank], choose=choose, fraction=fraction, scope="model")
    assert int(mask.sum()) == int(160 * fraction)


@pytest.mark.parametrize("scope", ["layer", "model"])
@pytest.mark.parametrize("choose", ["skill", "random", "lowest"])
def test_choices_are_nested_over_fractions(rank: torch.Tensor, choose: str, scope: str) -> None:
    masks = [choose_neurons([rank], choose=choose, fraction=f, scope=scope) for f in FRACTIONS]
    for smaller, larger in pairwise(masks):
        assert (smaller <= larger).all()


def test_skill_takes_the_highest(rank: torch.Tensor) -> None:
    mask = choose_neurons([rank], choose="skill", fraction=0.3)
    for row, chosen in zip(rank, mask, strict=True):
        assert row[chosen].min() > row[~chosen].max()


def test_model_scope_takes_the_highest_of_all(rank: torch.Tensor) -> None:
    mask = choose_neurons([rank], choose="skill", fraction=0.3, scope="model")
    assert rank[mask].min() > rank[~mask].max()


@pytest.mark.parametrize("scope", ["layer", "model"])
@pytest.mark.parametrize("fraction", [0.0, 0.25, 0.5, 1.0])
def test_lowest_is_the_complement_of_highest(
    rank: torch.Tensor, fraction: float, scope: str
) -> None:
    low = choose_neurons([rank], choose="lowest", fraction=fraction, scope=scope)
    high = choose_neurons([rank], choose="skill", fraction=1 - fraction, scope=scope)
    assert torch.equal(low, ~high)


def test_random_depends_on_the_seed_only(rank: torch.Tensor) -> None:
    def draw(values: torch.Tensor, seed: int) -> torch.Tensor:
        return choose_neurons([values], choose="random", fraction=0.3, seed=seed)

    assert torch.equal(draw(rank, 1), draw(torch.zeros(4, 40), 1))
    assert not torch.equal(draw(rank, 1), draw(rank, 2))


def test_random_leaves_the_global_generator_alone(rank: torch.Tensor) -> None:
    before = torch.random.get_rng_state()
    choose_neurons([rank], choose="random", fraction=0.5, seed=9)
    assert torch.equal(before, torch.random.get_rng_state())


def test_of_equal_ranks_the_lower_index_goes_first() -> None:
    for choose in ("skill", "lowest"):
        mask = choose_neurons([torch.zeros(1, 6)], choose=choose, fraction=0.5)
        assert mask[0].tolist() == [True] * 3 + [False] * 3


def test_several_rankings_take_turns_without_repeats() -> None:
    first = torch.tensor([[9.0, 8, 7, 6, 5, 4]])
    second = torch.tensor([[9.0, 1, 2, 3, 8, 7]])
    expected = [0, 4, 1, 5, 2, 3]  # the second's best, 0, is taken: its turn goes to 4
    for n in range(7):
        mask = choose_neurons([first, second], choose="skill", fraction=n / 6)
        assert mask[0].nonzero().flatten().tolist() == sorted(expected[:n])


def test_the_same_ranking_twice_is_that_ranking(rank: torch.Tensor) -> None:
    once = choose_neurons([rank], choose="skill", fraction=0.3)
    assert torch.equal(once, choose_neurons([rank, rank], choose="skill", fraction=0.3))


def test_nothing_and_everything(rank: torch.Tensor) -> None:
    assert not choose_neurons([rank], choose="skill", fraction=0.0).any()
    assert choose_neurons([rank], choose="skill", fraction=1.0).all()
