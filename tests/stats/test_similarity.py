"""Indicators against loops over vectors and sets, and their correlation with transfer by ranks."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import spearmanr

from core.base.settings import ROOT
from core.exchange import published
from core.stats.similarity import (
    RESAMPLES,
    SIMILARITY,
    by_target,
    overlapping_rate,
    windows,
    with_transfer,
)

RELEASED = ROOT.parent / "shared" / "published" / "prompts"


def cosine(p: np.ndarray, q: np.ndarray) -> float:
    return float(p @ q / np.sqrt((p @ p) * (q @ q)))


def directly(name: str, p: np.ndarray, q: np.ndarray) -> float:
    """One indicator of two prompts, vector by vector."""
    kind, how = name.split("_")
    if how == "concat":
        flat = p.reshape(-1), q.reshape(-1)
        distance = np.sqrt(((flat[0] - flat[1]) ** 2).sum())
        return cosine(*flat) if kind == "cosine" else float(1 / (1 + distance))
    if kind == "cosine":
        return float(np.mean([cosine(a, b) for a in p for b in q]))
    return float(1 / (1 + np.mean([np.sqrt(((a - b) ** 2).sum()) for a in p for b in q])))


@pytest.mark.parametrize("name", SIMILARITY)
def test_an_indicator_is_what_its_formula_says(name: str) -> None:
    rng = np.random.default_rng(0)
    prompts = [rng.normal(0.3, s, (5, 7)) for s in (0.5, 1, 20)]
    found = SIMILARITY[name](prompts)  # type: ignore[index]
    for i, p in enumerate(prompts):
        for j, q in enumerate(prompts):
            assert found[i, j] == pytest.approx(directly(name, p, q), abs=1e-7)


def test_a_vector_of_zeros_has_no_direction() -> None:
    prompts = [np.zeros((2, 3)), np.ones((2, 3))]
    assert SIMILARITY["cosine_average"](prompts)[0].tolist() == [0, 0]
    assert SIMILARITY["cosine_concat"](prompts)[0].tolist() == [0, 0]


@pytest.mark.skipif(not RELEASED.is_dir(), reason="the released prompts are not here")
@pytest.mark.slow
def test_indicators_of_the_released_prompts() -> None:
    """All 48, each against the others of its model, with the first vector and without it."""
    by_model: dict[str, list[np.ndarray]] = {}
    for run in sorted(RELEASED.iterdir()):
        for claim, vectors in published.read_folder(run).items():
            by_model.setdefault(claim.model, []).append(vectors.double().numpy())
    assert sum(map(len, by_model.values())) == 48
    for every, first in product(by_model.values(), (0, 1)):
        prompts = [p[first:] for p in every]
        found = {name: of(prompts) for name, of in SIMILARITY.items()}
        for i, p in enumerate(prompts):
            for j, q in enumerate(prompts[:i]):
                units = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in (p, q)]
                squares = (p**2).sum(1)[:, None] + (q**2).sum(1) - 2 * p @ q.T
                expected = {
                    "cosine_average": (units[0] @ units[1].T).mean(),
                    "cosine_concat": cosine(p.ravel(), q.ravel()),
                    "euclidean_average": 1 / (1 + np.sqrt(squares).mean()),
                    "euclidean_concat": 1 / (1 + np.linalg.norm(p - q)),
                }
                for name, value in expected.items():
                    assert found[name][i, j] == pytest.approx(value, rel=1e-6, abs=1e-9), name


def test_windows_are_three_layers_and_cover_all() -> None:
    assert windows(12) == [(0, 11), (0, 2), (3, 5), (6, 8), (9, 11)]
    assert windows(4) == [(0, 3), (0, 2), (1, 3)]
    assert windows(3) == [(0, 2)]
    assert windows(2) == [(0, 1)]


def test_the_overlapping_rate_counts_shared_neurons() -> None:
    rng = np.random.default_rng(0)
    active = [rng.random((4, 10)) < share for share in (0.3, 0.5, 0.9)]
    for first, last in [(0, 3), (1, 2)]:
        found = overlapping_rate(active, first, last)
        sets = [{(i, j) for i, j in np.argwhere(a) if first <= i <= last} for a in active]
        for i, a in enumerate(sets):
            for j, b in enumerate(sets):
                assert found[i, j] == pytest.approx(len(a & b) / np.sqrt(len(a) * len(b)))
    nothing = overlapping_rate([np.zeros((1, 3), bool), np.ones((1, 3), bool)])
    assert np.isnan(nothing[0]).all()
    assert nothing[1, 1] == 1


# --- against transfer ----------------------------------------------------------------------------
def tables(n: int = 9, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 3))
    likeness = features @ features.T
    return likeness, likeness + 2 * rng.normal(size=(n, n)) + rng.normal(size=n)[:, None]


def test_it_is_the_mean_over_targets_of_spearman_over_sources() -> None:
    x, y = tables()
    expected = []
    for target in range(len(x)):
        others = [s for s in range(len(x)) if s != target]
        expected.append(spearmanr(x[others, target], y[others, target]).statistic)
    found = with_transfer(x, y)
    assert by_target(x, y) == pytest.approx(expected)
    assert found.value == pytest.approx(np.mean(expected))
    assert found.low < found.value < found.high


def test_a_scale_of_each_target_changes_nothing() -> None:
    """Relative accuracy of one run per task is such a scale."""
    x, y = tables()
    relative = y / np.abs(np.diag(y))
    assert with_transfer(x, relative) == with_transfer(x, y)


def test_ties_share_their_rank() -> None:
    x, y = tables()
    x = x.round()
    others = np.arange(1, len(x))
    assert by_target(x, y)[0] == pytest.approx(spearmanr(x[others, 0], y[others, 0]).statistic)


def test_unknown_pairs_and_constant_targets_are_left_out() -> None:
    x, y = tables()
    y[2, 0] = x[3, 0] = np.nan
    y[:, 1] = 0.5
    others = [1, *range(4, len(x))]
    found = by_target(x, y)
    assert found[0] == pytest.approx(spearmanr(x[others, 0], y[others, 0]).statistic)
    assert np.isnan(found[1])
    assert with_transfer(x, y).value == pytest.approx(np.nanmean(found))


def test_intervals_hold_the_truth_where_nothing_goes_together() -> None:
    """They are wide rather than narrow: of 40 independent tables hardly one is found certain."""
    wrong = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        features, others = rng.normal(size=(2, 9, 4))
        quality = rng.normal(size=9)[:, None]
        wrong += with_transfer(features @ features.T, others @ others.T + quality).certain
    assert wrong <= 4


def test_what_goes_together_is_certain_and_few_tasks_have_no_interval() -> None:
    x, _ = tables(12)
    found = with_transfer(x, x)
    assert found.value == pytest.approx(1)
    assert found.certain
    for n in (4, 5):
        few = with_transfer(*tables(n))
        assert np.isfinite(few.value)
        assert np.isnan(few.low)


@pytest.mark.slow
def test_a_task_drawn_twice_counts_as_two_sources_and_two_targets() -> None:
    """The interval is that of scipy's Spearman over tables with the drawn tasks' rows."""
    x, y = tables(9)
    drawn = np.random.default_rng(0).multinomial(9, np.full(9, 1 / 9), size=RESAMPLES)
    means = []
    for counts in drawn:
        tasks = np.repeat(np.arange(9), counts)
        each = []
        for target in tasks:
            others = tasks[tasks != target]
            if len(set(others)) >= 3:
                each.append(spearmanr(x[others, target], y[others, target]).statistic)
        means.append(np.mean(each) if each else np.nan)
    found = with_transfer(x, y)
    assert (found.low, found.high) == pytest.approx(tuple(np.nanquantile(means, [0.025, 0.975])))


@pytest.mark.slow
@pytest.mark.parametrize(("n", "strength"), [(9, 2), (17, 3)])
def test_the_interval_covers_the_truth(n: int, strength: float) -> None:
    """docs/method.md says how often, and how much wider it is than it need be."""

    def one(seed: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        features = rng.normal(size=(n, 3))
        x, quality = features @ features.T, rng.normal(size=n)[:, None]
        return x, strength * x + 2 * rng.normal(size=(n, n)) + quality

    truth = np.mean([np.nanmean(by_target(*one(1000 + i))) for i in range(400)])
    found = [with_transfer(*one(i)) for i in range(100)]
    covered = np.mean([e.low <= truth <= e.high for e in found])
    needed = np.subtract(*np.quantile([e.value for e in found], [0.975, 0.025]))
    width = np.mean([e.high - e.low for e in found]) / needed
    print(f"{n} tasks, strength {strength}: covered {covered:.2f}, {width:.2f} times as wide")
    assert covered >= 0.94
    assert 1 < width < 2.2
