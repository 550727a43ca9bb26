"""Intervals and tests against scipy, simulation and small cases worked by hand."""

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import binomtest, hypergeom, ttest_1samp

from core.stats import intervals as statistics
from core.stats.intervals import difference, holm, mean_accuracy, paired
from core.stats.neurons import Ranking, chance_overlap, choose_neurons, chosen, percentiles


@pytest.mark.parametrize(("correct", "n"), [(0, 5), (5, 5), (3, 7), (450, 600)])
def test_one_seed_has_wilsons_interval(correct: int, n: int) -> None:
    right = np.arange(n)[None] < correct
    value, exact = mean_accuracy(right), binomtest(correct, n).proportion_ci(method="wilson")
    assert (value.value, value.low, value.high) == pytest.approx(
        (correct / n, exact.low, exact.high)
    )
    assert 0 <= value.low <= value.value <= value.high <= 1


def test_the_interval_of_several_seeds_covers_the_truth_as_often_as_it_says() -> None:
    rng, hits = np.random.default_rng(0), 0
    for _ in range(200):
        skill = 0.7 + 0.05 * rng.standard_normal((5, 1))
        difficulty = 0.15 * rng.standard_normal((1, 120))
        right = rng.random((5, 120)) < np.clip(skill + difficulty, 0, 1)
        value = mean_accuracy(right)
        hits += value.low <= 0.7 <= value.high
    assert 0.88 <= hits / 200 <= 1


def test_the_redrawn_mean_has_the_mean_of_the_data() -> None:
    right = np.random.default_rng(1).random((4, 50))
    assert statistics.redrawn(right).mean() == pytest.approx(right.mean(), abs=0.005)


def test_large_splits_are_redrawn_in_blocks_with_the_same_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right = np.random.default_rng(1).random((3, 50))
    whole = statistics.redrawn(right, prompts=7)
    monkeypatch.setattr(statistics, "BLOCK", 50 * 130)  # 130 of 2,000 resamples at a time
    assert np.allclose(statistics.redrawn(right, prompts=7), whole, atol=1e-15)
    assert max(len(block) for block in statistics._weights(50, (1, 0))) == 130


def test_a_difference_is_that_of_the_means_and_its_interval_turns_around() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.random((5, 80)) < 0.8, rng.random((5, 60)) < 0.6
    one, other = difference(a, b), difference(b, a)
    assert one.value == pytest.approx(a.mean() - b.mean())
    assert other.value == -one.value
    assert (other.low, other.high) == pytest.approx((-one.high, -one.low), abs=0.01)
    assert one.certain


def test_what_is_redrawn_alike_is_compared_in_pairs() -> None:
    rng = np.random.default_rng(3)
    right = np.clip(rng.random((5, 1)) + 0.3 * rng.random((1, 60)), 0, 1)  # prompts differ most
    same = statistics.redrawn(right)
    assert np.array_equal(same, statistics.redrawn(right))
    spread = {
        "prompts alike": np.std(same - statistics.redrawn(right, examples=1)),
        "examples alike": np.std(same - statistics.redrawn(right, prompts=1)),
        "all apart": np.std(same - statistics.redrawn(right, prompts=1, examples=1)),
    }
    assert spread["prompts alike"] < 0.5 * spread["examples alike"]
    assert spread["examples alike"] < spread["all apart"]
    assert spread["all apart"] == pytest.approx(np.sqrt(2) * np.std(same), rel=0.1)


def test_prompts_that_are_always_right_or_always_wrong_differ_for_sure() -> None:
    right = np.ones((5, 40), bool)
    same = difference(right, right)
    assert (same.value, same.low, same.high) == pytest.approx((0, 0, 0))
    assert not same.certain
    assert difference(right, ~right).low == pytest.approx(1)


def test_paired_differences_agree_with_a_t_test_where_that_holds() -> None:
    values = np.random.default_rng(4).normal(0.15, 1, 300)
    ours, theirs = paired(values), ttest_1samp(values, 0)
    assert ours.value == pytest.approx(values.mean())
    assert ours.p == pytest.approx(theirs.pvalue, abs=0.01)
    interval = theirs.confidence_interval()
    assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high), abs=0.02)


def test_no_differences_are_no_evidence() -> None:
    nothing = paired(np.zeros(30))
    assert (nothing.value, nothing.p, nothing.certain) == (0, 1, False)


def test_flipping_signs_is_exact_on_a_handful() -> None:
    # Of the 2^6 sign patterns only all plus and all minus are as extreme.
    assert paired(np.full(6, 0.5)).p == pytest.approx(2 / 64)


def test_holm_by_hand() -> None:
    assert holm(np.array([0.01, 0.04, 0.03])) == pytest.approx([0.03, 0.06, 0.06])
    assert holm(np.array([0.6, 0.7])) == pytest.approx([1, 1])


def test_a_crossed_table_of_one_sample_is_a_t_test() -> None:
    values = np.random.default_rng(8).normal(0.3, 1, 40)
    ours, theirs = statistics.crossed(values), ttest_1samp(values, 0)
    interval = theirs.confidence_interval()
    assert (ours.value, ours.p) == pytest.approx((values.mean(), theirs.pvalue))
    assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high))
    assert statistics.crossed(values[None, :, None]) == ours, "axes of length 1 tell nothing"


def test_draws_that_differ_make_a_crossed_mean_unsure_and_keep_its_level() -> None:
    rng, low = np.random.default_rng(9), 0
    for _ in range(400):
        draws = 0.05 * rng.standard_normal((1, 10, 1))  # each random choice helps or harms
        values = draws + 0.3 * rng.standard_normal((5, 10, 100))
        estimate = statistics.crossed(values)
        low += estimate.p < 0.05
        assert (estimate.p < 0.05) == (not estimate.low <= 0 <= estimate.high)
    assert 0.005 <= low / 400 <= 0.065
    assert paired(values.mean(axis=(0, 1))).high - paired(values.mean(axis=(0, 1))).low < (
        estimate.high - estimate.low
    ), "taking the draws as they are claims to know more"
    unsure = statistics.crossed(np.full((1, 3, 1), 0.5))
    assert (unsure.value, unsure.p) == (0.5, 1.0), "nothing varies: too little to know"
    assert statistics.crossed(np.zeros((2, 3))) == statistics.Estimate(
        value=0.0, low=0.0, high=0.0, p=1.0
    )


# --- shared neurons ------------------------------------------------------------------------------
def test_chance_in_one_layer_is_hypergeometric() -> None:
    chance = chance_overlap(50, np.array([10]), np.array([7]))
    assert chance.mean == pytest.approx(10 * 7 / 50)
    for shared in range(8):
        assert chance.p(shared) == pytest.approx(hypergeom.sf(shared - 1, 50, 10, 7))


def test_chance_over_layers_is_what_counting_all_choices_gives() -> None:
    pairs, threes = list(combinations(range(4), 2)), list(combinations(range(4), 3))
    one = [len(set(a) & set(b)) for a in pairs for b in pairs]
    other = [len(set(a) & set(b)) for a in pairs for b in threes]
    two = np.array([i + j for i in one for j in other])
    chance = chance_overlap(4, np.array([2, 2]), np.array([2, 3]))
    for shared in range(5):
        assert chance.p(shared) == pytest.approx((two >= shared).mean())
    assert chance.mean == pytest.approx(two.mean())
    assert chance.low <= chance.mean <= chance.high


@pytest.mark.parametrize("count", [0, 1, 7, 20])
def test_the_choice_is_that_of_suppression(count: int) -> None:
    values = np.random.default_rng(5).integers(0, 6, (3, 20)) / 10  # many equals
    theirs = choose_neurons([values], choose="skill", fraction=count / 20)
    assert np.array_equal(chosen(values, count), theirs)


def test_skill_neurons_are_better_than_the_majority_class() -> None:
    values = np.array([[0.6, 0.9, 0.55, 0.6, 0.6], [0.6, 0.6, 0.6, 0.59, 0.7]])
    ranking = Ranking(values=values, least=0.6)
    assert ranking.top(0.6).tolist() == [[False, True, False, False, False], [False] * 4 + [True]]
    assert ranking.top(0.1, scope="model").nonzero() == (np.array([0]), np.array([1]))
    # What rounding makes of equal values is no difference.
    close = Ranking(values=values - 0.1 + 1e-11, least=0.5)
    assert np.array_equal(close.top(0.6), ranking.top(0.6))


def test_where_all_are_informative_skill_neurons_are_those_that_are_suppressed() -> None:
    values = 0.5 + np.random.default_rng(7).integers(1, 50, (3, 40)) / 100
    mine = Ranking(values=values, least=0.5)
    for scope in ("layer", "model"):
        theirs = choose_neurons(
            [values],
            choose="skill",
            fraction=0.2,
            scope=scope,  # type: ignore[arg-type]
        )
        assert np.array_equal(mine.top(0.2, scope=scope), theirs)  # type: ignore[arg-type]


def test_rank_percentiles_are_shares_of_the_layer() -> None:
    places = percentiles(np.array([[3.0, 1.0, 2.0, 2.0]]))
    assert places.tolist() == [[0.875, 0.125, 0.5, 0.5]]
