"""Rankings compared, against sets worked out by hand."""

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import hypergeom, spearmanr

from core.base.measure import Run
from core.base.specs import Pinned
from core.figures import faithful, rankings
from core.figures import neuron as profiles
from core.lab.lab import Lab
from core.measures.ablation import Ablation, AblationSpec
from core.measures.activations import Activations, ActivationSpec
from core.measures.attribution import Attribution, AttributionSpec
from core.measures.faithfulness import Faithfulness, FaithfulnessSpec
from core.measures.predictivity import Predictivity, PredictivitySpec
from core.measures.tuning import TuneSpec
from core.stats.neurons import Ranking
from core.tasks.data import Examples
from tests.conftest import some_floor

RUN = Run(started="2026-01-01T00:00:00+00:00", seconds=1.0, device="cpu", versions="")
LAYERS, WIDTH, TOKENS = 2, 40, 3


def spec(task: str, seed: int) -> PredictivitySpec:
    pin = Pinned(name=task, fingerprint=task)
    backbone = Pinned(name="tiny", fingerprint="f")
    return PredictivitySpec(prompt=TuneSpec(backbone=backbone, task=pin, seed=seed), task=pin)


def store(lab: Lab, task: str, seed: int) -> tuple[PredictivitySpec, np.ndarray]:
    """A stored measurement with random counts, and its right guesses [layer token neuron]."""
    rng = np.random.default_rng([seed, *task.encode()])
    counts = rng.integers(0, 101, (LAYERS, TOKENS, WIDTH))
    asked = spec(task, seed)
    lab.store.add(
        Predictivity(
            spec=asked, baseline=np.full((LAYERS, TOKENS, WIDTH), 0.25),
            correct=counts, n=100, n_train=200, majority=0.5,
            floor=some_floor(LAYERS, WIDTH),
        ),
        RUN,
    )  # fmt: skip
    return asked, counts


def folded(counts: np.ndarray) -> np.ndarray:
    return np.maximum(counts, 100 - counts).max(axis=1) / 100


def mean(counts: list[np.ndarray]) -> np.ndarray:
    """Mean over seeds, as one fraction of sums."""
    return np.sum([np.maximum(c, 100 - c).max(axis=1) for c in counts], axis=0) / (
        100 * len(counts)
    )


def top(values: np.ndarray, k: int) -> set[tuple[int, int]]:
    return {(layer, int(n)) for layer, row in enumerate(values)
            for n in np.argsort(-row, kind="stable")[:k]}  # fmt: skip


def of(values: np.ndarray, majority: float = 0.5) -> Ranking:
    return Ranking(values=values, least=majority)


def test_stability_is_the_mean_overlap_of_pairs_of_seeds(lab: Lab) -> None:
    stored = [store(lab, "a", seed) for seed in range(4)]
    table = rankings.stability(lab.store, {"tiny": [s for s, _ in stored]})
    row = table.set_index("fraction").loc[0.15]
    sets = [top(folded(c), 6) for _, c in stored]
    shares = [len(x & y) / 12 for x, y in combinations(sets, 2)]
    assert row.share == pytest.approx(np.mean(shares))
    assert (row.low, row.high) == pytest.approx((min(shares), max(shares)))
    assert row["all"] == pytest.approx(len(set.intersection(*sets)) / 12)
    assert row.chance == pytest.approx(0.15)
    assert (row.seeds, row.pairs) == (4, 6)
    assert 0.01 not in set(table.fraction), "1% of 40 neurons is none"


def test_one_seed_has_no_stability(lab: Lab) -> None:
    asked, _ = store(lab, "a", 0)
    assert rankings.stability(lab.store, {"tiny": [asked]}).empty


def test_layer_shares_are_those_of_the_models_best_neurons(lab: Lab) -> None:
    stored = [store(lab, "a", seed) for seed in range(2)]
    table = rankings.layer_shares(lab.store, {"tiny": [s for s, _ in stored]}, 0.15)
    average = mean([c for _, c in stored])
    best = np.argsort(-average.ravel(), kind="stable")[:12] // WIDTH
    assert table["count"].tolist() == np.bincount(best, minlength=LAYERS).tolist()
    assert table.share.sum() == pytest.approx(1)
    assert table.even.unique().tolist() == [0.5]
    assert (table.low <= table.high).all()


def test_pairs_are_sorted_into_both_one_and_neither(lab: Lab) -> None:
    first, second = (folded(store(lab, t, 0)[1]) for t in ("a", "b"))
    table = rankings.pair(of(first), of(second), 0.15)
    assert len(table) == LAYERS * WIDTH
    kinds = table.groupby("kind").apply(
        lambda part: set(zip(part.layer, part.neuron, strict=True)), include_groups=False
    )
    assert kinds["both"] == top(first, 6) & top(second, 6)
    assert kinds["first only"] == top(first, 6) - top(second, 6)
    assert kinds["second only"] == top(second, 6) - top(first, 6)
    assert table.x.between(0, 1).all()


def test_of_a_large_model_every_skill_neuron_is_shown() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random((12, 3072)), rng.random((12, 3072))
    table = rankings.pair(of(first, 0), of(second, 0), 0.05)
    skilled = table[table.kind != "neither"]
    assert len(table) - len(skilled) == rankings.MOST_POINTS
    assert set(zip(skilled.layer, skilled.neuron, strict=True)) == top(first, 153) | top(
        second, 153
    )


def test_tasks_share_what_sets_share(lab: Lab) -> None:
    values = {t: folded(store(lab, t, 0)[1]) for t in ("a", "b")}
    table = rankings.shared({t: of(v) for t, v in values.items()}, 0.15).set_index(
        ["task_a", "task_b"]
    )
    assert table.share["a", "a"] == 1
    both = len(top(values["a"], 6) & top(values["b"], 6))
    assert table.shared["a", "b"] == table.shared["b", "a"] == both
    assert table.chance["a", "b"] == pytest.approx(6 / 40)


def test_choices_of_two_sizes_are_shared_by_either_measure() -> None:
    first, second = np.full((1, WIDTH), 0.5), np.full((1, WIDTH), 0.5)
    first[0, :6], second[0, 4:7] = 0.9, 0.8  # 6 and 3 tell something, 2 of them the same
    table = rankings.shared({"a": of(first), "b": of(second)}, 0.15)
    table = table.set_index(["task_a", "task_b"])
    assert (table.share["a", "b"], table.share["b", "a"]) == pytest.approx((2 / 6, 2 / 3))
    assert (table.chosen["a", "b"], table.chosen["b", "a"]) == (6, 3)
    assert table.chance["a", "b"] == pytest.approx(6 * 3 / WIDTH / 6)
    assert table.p["a", "b"] == pytest.approx(hypergeom.sf(1, WIDTH, 6, 3))


# --- one neuron ----------------------------------------------------------------------------------
def test_a_profile_has_a_row_per_task_and_seed(lab: Lab) -> None:
    stored = {(t, s): store(lab, t, s) for t in ("a", "b") for s in (0, 1)}
    table = profiles.profile(lab.store, [s for s, _ in stored.values()], 1, 7)
    assert len(table) == 4
    for row in table.to_dict("records"):
        counts = stored[row["task"], row["seed"]][1]
        assert row["predictivity"] == pytest.approx(folded(counts)[1, 7], abs=1e-6)
        assert row["accuracy"] == pytest.approx(counts[1, row["best_token"], 7] / 100, abs=1e-6)
        assert (row["floor"], row["fwer"]) == (0.55, 0.65)
    assert table.p.notna().all()


def test_what_a_neuron_adds_has_its_interval_and_its_place_in_the_layer(lab: Lab) -> None:
    rng = np.random.default_rng(5)
    asked, signed = [], []
    for seed in (0, 1):
        one = AttributionSpec(prompt=spec("a", seed).prompt, task=spec("a", seed).task)
        values = rng.normal(size=(LAYERS, WIDTH))
        lab.store.add(
            Attribution(
                spec=one, signed=values, absolute=abs(values), error=np.full_like(values, 0.5), n=60
            ),
            RUN,
        )
        asked.append(one)
        signed.append(values)
    table = profiles.attributed(lab.store, asked, 1, 7)
    assert table.seed.tolist() == [0, 1]
    for row, values in zip(table.itertuples(), signed, strict=True):
        assert row.attribution == pytest.approx(values[1, 7])
        assert (row.high - row.low) / 2 == pytest.approx(1.96 * 0.5, abs=1e-3)
        assert row.place == pytest.approx(((values[1] < values[1, 7]).sum() + 0.5) / WIDTH)
        assert (row.n, row.task) == (60, "a")
    assert profiles.attributed(lab.store, asked[:0], 1, 7).empty


def test_accuracy_by_position_is_the_stored_counts(lab: Lab) -> None:
    asked, counts = store(lab, "a", 0)
    table = profiles.by_token(lab.store, [asked], 0, 11)
    assert table.position.tolist() == [0, 1, 2]
    assert table.accuracy.tolist() == pytest.approx((counts[0, :, 11] / 100).tolist())
    best = np.maximum(counts, 100 - counts)[0, :, 11].argmax()
    assert table.best.tolist() == [i == best for i in range(3)]


def test_the_best_neuron_is_that_of_the_mean_over_seeds(lab: Lab) -> None:
    assert profiles.best(lab.store, [spec("a", 0)]) == (0, 0)
    stored = [store(lab, "a", seed) for seed in range(3)]
    mean = np.mean([folded(c) for _, c in stored], axis=0)
    layer, neuron = profiles.best(lab.store, [s for s, _ in stored])
    assert mean[layer, neuron] == pytest.approx(mean.max())


def test_neighbours_are_the_nearest_profiles(lab: Lab) -> None:
    stored = {t: store(lab, t, 0) for t in ("a", "b", "c")}
    table = profiles.neighbours(lab.store, [s for s, _ in stored.values()], 1, 5, most=4)
    values = np.stack([folded(c) for _, c in stored.values()])
    distance = np.sqrt(((values - values[:, 1, 5][:, None, None]) ** 2).mean(axis=0))
    assert (table.layer[0], table.neuron[0], table.difference[0]) == (1, 5, 0)
    assert len(table) == 5
    for row in table.to_dict("records"):
        assert row["difference"] == pytest.approx(distance[row["layer"], row["neuron"]], abs=1e-6)
    others = np.delete(distance.ravel(), 1 * WIDTH + 5)
    assert table.difference[1:].tolist() == pytest.approx(np.sort(others)[:4].tolist(), abs=1e-6)
    assert table.a[0] == pytest.approx(values[0, 1, 5])


def test_activations_meet_their_texts() -> None:
    examples = Examples(
        text_a=("x", "y", "z"), text_b=None, labels=np.array([0, 1, 1]), attack=None,
        index=np.array([3, 5, 9]),
    )  # fmt: skip
    values = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
    cached = Activations(
        spec=ActivationSpec(ranking=spec("a", 0)),
        index=np.array([9, 3]),
        labels=np.array([1, 0]),
        values=values,
    )
    table = profiles.fired(cached, examples, 1, 0, ["no", "yes"])
    assert table.to_dict("list") == {
        "example": [9, 3], "class": ["yes", "no"], "activation": [2.0, 6.0], "text": ["z", "x"],
        "text_b": ["", ""],
    }  # fmt: skip


def test_an_effect_is_summed_up(lab: Lab) -> None:
    asked = AblationSpec(ranking=spec("a", 0), layer=0, neuron=1)
    lab.store.add(
        Ablation(
            spec=asked, index=np.array([1, 2, 3]), labels=np.array([0, 1, 0]),
            margin=np.array([1.0, 0.5, -2.0]), without_slot=np.array([0.75, 0.5, -2.0]),
            without=np.array([0.5, -0.5, -1.0]),
        ),
        RUN,
    )  # fmt: skip
    rows = profiles.ablation(lab.store, asked)
    assert rows.contribution.tolist() == [0.5, 1.0, -1.0]
    assert rows.slot.tolist() == [0.25, 0, 0]
    s = profiles.summary(rows)
    assert (s["accuracy"], s["without"], s["changed"]) == pytest.approx((2 / 3, 1 / 3, 1))
    assert s["contribution"] == pytest.approx(0.5 / 3)
    assert s["low"] < 0 < s["high"]


# --- causal rankings -----------------------------------------------------------------------------
def attribution(lab: Lab, seed: int) -> tuple[AttributionSpec, np.ndarray]:
    """A stored attribution with random values."""
    values = np.random.default_rng(seed).normal(size=(LAYERS, WIDTH))
    one = spec("a", seed)
    asked = AttributionSpec(prompt=one.prompt, task=one.task)
    lab.store.add(
        Attribution(spec=asked, signed=values, absolute=abs(values), error=abs(values), n=300), RUN
    )
    return asked, values


def test_a_causal_ranking_is_the_mean_attribution_above_zero(lab: Lab) -> None:
    stored = [attribution(lab, seed) for seed in range(3)]
    found = rankings.mean_of(lab.store, tuple(s for s, _ in stored))
    assert found is not None
    expected = np.mean([v for _, v in stored], axis=0)
    assert np.allclose(found.values, expected, atol=1e-6), "stored in single precision"
    assert found.least == 0
    mask = found.top(1.0)
    assert np.array_equal(mask, expected > 0), "the others cause nothing"
    assert {tuple(map(int, c)) for c in np.argwhere(found.top(0.1))} == top(expected, 4)
    table = rankings.stability(lab.store, {"tiny": tuple(s for s, _ in stored)})
    assert table.set_index("fraction").loc[0.15].seeds == 3


def test_agreement_by_layer_is_spearmans(lab: Lab) -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(LAYERS, WIDTH)), rng.normal(size=(LAYERS, WIDTH))
    second[1] = 0.5
    table = rankings.by_layer({"x": of(first), "y": of(first)}, {"x": of(second)})
    assert table.backbone.tolist() == ["x", "x"]
    assert table.spearman[0] == pytest.approx(spearmanr(first[0], second[0]).statistic)
    assert np.isnan(table.spearman[1]), "a constant layer has no order"


def test_faithfulness_is_spearmans_and_says_where_it_misses(lab: Lab) -> None:
    asked, _ = attribution(lab, 0)
    spec, rng = FaithfulnessSpec(attribution=asked), np.random.default_rng(4)
    exact = rng.normal(size=(LAYERS, 10))
    said = exact + rng.normal(0, 0.1, exact.shape)
    said[1, 3] = exact[1, 3] + 9
    error = np.full(exact.shape, 0.3)
    lab.store.add(
        Faithfulness(
            spec=spec, neuron=np.tile(np.arange(10) * 3, (LAYERS, 1)), attributed=said,
            exact=exact, error=error, n=64,
        ),
        RUN,
    )  # fmt: skip
    table = faithful.neurons(lab.store, {"tiny": [spec]})
    assert np.array_equal(table.exact, exact.ravel())
    assert np.allclose(table.high - table.low, 2 * 1.96 * 0.3, atol=1e-3)
    agreed = faithful.agreement(table).set_index("layer")
    assert agreed.spearman[-1] == pytest.approx(spearmanr(said.ravel(), exact.ravel()).statistic)
    assert agreed.spearman[0] == pytest.approx(spearmanr(said[0], exact[0]).statistic)
    clear = np.abs(exact[0]) > 1.96 * 0.3
    assert agreed.clear[0] == clear.sum()
    assert agreed.same_sign[0] == np.mean((said[0] * exact[0] > 0)[clear])
    worst = faithful.worst(table, 2)
    assert len(worst) == 2
    assert worst.iloc[0][["layer", "neuron"]].tolist() == [1, 9]
    assert faithful.neurons(lab.store, {"tiny": []}).empty
