"""Clean against adversarial: every table against numbers worked out from made-up answers."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import hypergeom

from core.base.measure import Run
from core.base.specs import Pinned
from core.figures import suppressed
from core.figures.robustness import accuracy as R
from core.figures.robustness import overlap as K
from core.figures.robustness.verdict import (
    Numbers,
    Summary,
    _kept_more,
    _suppressed,
    _verdict,
    summarise,
)
from core.lab.lab import Lab
from core.measures import sweeps
from core.measures.evaluation import Evaluation
from core.measures.predictivity import Predictivity, PredictivitySpec
from core.measures.stability import Stability
from core.measures.sweeps import RobustnessSweep
from core.measures.tuning import TuneSpec
from core.stats.intervals import wilson
from core.tasks import Task, load_task, pin_task
from tests.conftest import some_floor

pytestmark = pytest.mark.slow

RUN = Run(started="2026-01-01T00:00:00+00:00", seconds=1.0, device="cpu", versions="")
N, WIDTH = {"clean": 40, "adversarial": 20}, 100


@pytest.fixture
def tasks(tmp_path: Path) -> tuple[Task, Task]:
    """A clean task and a twin with two kinds of attack."""
    for name, n in N.items():
        rows = [{"text": f"{name} {i}", "label": i % 2, "attack": ["typo", "human"][i % 2]}
                for i in range(n)]  # fmt: skip
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    common = 'labels = ["no", "yes"]\n{}\n[splits]\nvalidation = "{}.jsonl"\n{}[fields]\n' + (
        'text_a = "text"\nlabel = "label"\n{}\n[verbalizer]\ndefault = ["no", "yes"]\n'
    )
    train = 'train = "clean.jsonl"\n'
    (tmp_path / "one.toml").write_text(common.format("", "clean", train, ""))
    twin = common.format('adversarial_of = "one"', "adversarial", "", 'attack = "attack"')
    (tmp_path / "two.toml").write_text(twin)
    return load_task(str(tmp_path / "one.toml")), load_task(str(tmp_path / "two.toml"))


def sweep(backbone: str, tasks: tuple[Task, Task], seeds: int = 3) -> RobustnessSweep:
    clean, twin = (pin_task(t, "roberta") for t in tasks)
    pin = Pinned(name=backbone, fingerprint=backbone)
    prompts = [TuneSpec(backbone=pin, task=clean, seed=seed) for seed in range(seeds)]
    return sweeps.robustness(prompts, (clean, "validation"), (twin, "validation"))


def answer(lab: Lab, asked: RobustnessSweep, shares: dict[str, float], seed: int = 0) -> None:
    """Store evaluations that are right with a given probability."""
    rng = np.random.default_rng(seed)
    for spec in asked.evaluations:
        name = "adversarial" if "two" in spec.task.name else "clean"
        labels = np.arange(N[name]) % 2
        right = rng.random(N[name]) < shares[name]
        add(lab, spec, labels, right)


def add(lab: Lab, spec: object, labels: np.ndarray, right: np.ndarray) -> None:
    lab.store.add(
        Evaluation(
            spec=spec, index=np.arange(len(labels)), labels=labels,  # type: ignore[arg-type]
            predictions=np.where(right, labels, 1 - labels), metric="accuracy",
            scores=right.astype(float),
        ),
        RUN,
    )  # fmt: skip


def measure(lab: Lab, specs: tuple[PredictivitySpec, ...], values: np.ndarray) -> None:
    """Store predictivities `[layer neuron]`, given as right guesses of 1,000."""
    for spec in specs:
        lab.store.add(
            Predictivity(
                spec=spec, baseline=np.zeros((2, 1, WIDTH)),
                correct=values[:, None], n=1000, n_train=10, majority=0.5,
                floor=some_floor(2, WIDTH),
            ),
            RUN,
        )  # fmt: skip


@pytest.fixture
def asked(lab: Lab, tasks: tuple[Task, Task]) -> dict[str, RobustnessSweep]:
    both = {name: sweep(name, tasks) for name in ("a", "b")}
    answer(lab, both["a"], {"clean": 0.95, "adversarial": 0.9}, seed=1)
    answer(lab, both["b"], {"clean": 0.95, "adversarial": 0.4}, seed=2)
    return both


# --- accuracy ------------------------------------------------------------------------------------
def test_accuracy_by_attack_adds_up(
    lab: Lab, asked: dict[str, RobustnessSweep], tasks: tuple[Task, Task]
) -> None:
    rows = R.answers(lab.store, asked, tasks)
    assert len(rows) == 2 * 3 * (N["clean"] + N["adversarial"])
    table = R.accuracy(rows).set_index(["backbone", "data", "attack"])
    for backbone in asked:
        mine = rows[(rows.backbone == backbone) & (rows.data == "adversarial")]
        assert table.accuracy[backbone, "adversarial", ""] == pytest.approx(mine.right.mean())
        parts = [table.loc[(backbone, "adversarial", kind)] for kind in ("typo", "human")]
        assert sum(p.n * p.accuracy for p in parts) == pytest.approx(mine.right.sum() / 3)
        assert [p.n for p in parts] == [10, 10]
        assert all(p.low <= p.accuracy <= p.high for p in parts)


def test_what_is_lost_is_clean_less_adversarial(
    lab: Lab, asked: dict[str, RobustnessSweep], tasks: tuple[Task, Task]
) -> None:
    rows = R.answers(lab.store, asked, tasks)
    means = rows.groupby(["backbone", "data"]).right.mean()
    lost = R.accuracy_drops(rows)
    for backbone in asked:
        expected = means[backbone, "clean"] - means[backbone, "adversarial"]
        assert lost[backbone].value == pytest.approx(expected)
    more = R.drop_difference(rows, "a", "b")
    assert more.value == pytest.approx(lost["b"].value - lost["a"].value)
    assert more.certain
    back = R.drop_difference(rows, "b", "a")
    assert (back.value, back.low, back.high) == pytest.approx((-more.value, -more.high, -more.low))


# --- neurons -------------------------------------------------------------------------------------
def test_shared_neurons_against_chance_by_hand(lab: Lab, asked: dict[str, RobustnessSweep]) -> None:
    clean = np.tile(np.arange(WIDTH), (2, 1)) + 600
    attacked = clean.copy()
    attacked[1] = attacked[1][::-1]  # layer 0 keeps its order, layer 1 turns it around
    measure(lab, asked["a"].clean, clean)
    measure(lab, asked["a"].adversarial, attacked)
    row = K.overlap(lab.store, asked).set_index("fraction").loc[0.05]
    assert (row.backbone, row.asked, row.chosen, row.shared, row.share) == ("a", 10, 10, 5, 0.5)
    assert row.chance == pytest.approx(0.05)
    pmf = hypergeom.pmf(np.arange(6), WIDTH, 5, 5)
    both = np.convolve(pmf, pmf)
    assert row.p_chance == pytest.approx(both[5:].sum())
    below = np.cumsum(both)
    low, high = (int(np.argmax(below >= q)) for q in (0.025, 0.975))
    assert (row.chance_low, row.chance_high) == pytest.approx((low / 10, high / 10))
    assert (low, high) == (0, 2)
    layers = K.overlap_by_layer(lab.store, asked, 0.05)
    assert layers.shared.tolist() == [5, 0]
    assert layers.p_chance.tolist() == pytest.approx([pmf[5], 1])


def test_neurons_that_tell_nothing_are_no_skill_neurons(
    lab: Lab, asked: dict[str, RobustnessSweep]
) -> None:
    clean, attacked = np.full((2, WIDTH), 500), np.full((2, WIDTH), 500)
    clean[:, :8] = 700  # 8 neurons of a layer tell something, 15 are asked for
    attacked[0, 4:10] = 700
    measure(lab, asked["a"].clean, clean)
    measure(lab, asked["a"].adversarial, attacked)
    table = K.overlap(lab.store, asked).set_index("fraction")
    row = table.loc[0.15]
    assert (row.asked, row.chosen, row.adversarial, row.shared) == (30, 16, 6, 4)
    assert row.share == pytest.approx(4 / 16)
    assert row.chance == pytest.approx(8 * 6 / WIDTH / 16)
    assert row.p_chance == pytest.approx(hypergeom.sf(3, WIDTH, 8, 6))
    layers = K.overlap_by_layer(lab.store, asked, 0.15)
    assert layers.chosen.tolist() == [8, 8]
    assert layers.shared.tolist() == [4, 0]
    assert layers.p_chance.tolist() == pytest.approx([hypergeom.sf(3, WIDTH, 8, 6), 1])
    assert len(K.rank_percentiles(lab.store, asked, 0.15)[0]) == 16


def test_places_of_the_clean_skill_neurons(lab: Lab, asked: dict[str, RobustnessSweep]) -> None:
    clean = np.tile(np.arange(WIDTH), (2, 1)) + 600
    measure(lab, asked["a"].clean, clean)
    measure(lab, asked["a"].adversarial, clean)
    table, medians = K.rank_percentiles(lab.store, asked, 0.05)
    assert sorted(table.percentile.unique()) == pytest.approx([0.955, 0.965, 0.975, 0.985, 0.995])
    assert set(table.neuron) == {95, 96, 97, 98, 99}
    assert medians["median"].tolist() == pytest.approx([0.975])
    assert medians.p.isna().all(), "no shuffled labels yet"
    stability(lab, asked["a"], 0.5, 0.05)
    median = K.rank_percentiles(lab.store, asked, 0.05)[1].iloc[0]
    assert (median.shuffled, median.p) == pytest.approx((0.7, 1 / 41))


def test_nothing_is_compared_until_all_seeds_are_there(
    lab: Lab, asked: dict[str, RobustnessSweep]
) -> None:
    values = np.tile(np.arange(WIDTH), (2, 1)) + 600
    measure(lab, asked["a"].clean, values)
    measure(lab, asked["a"].adversarial[:2], values)
    assert K.overlap(lab.store, asked).empty
    assert K.overlap_by_layer(lab.store, asked, 0.05).empty
    assert K.rank_percentiles(lab.store, asked, 0.05)[0].empty


SHUFFLED = np.linspace(-0.1, 0.3, 40)  # Spearman with shuffled labels, mean 0.1


def stability(
    lab: Lab, asked: RobustnessSweep, rho: float, spread: float, null: float = 0.1, mixed: int = 2
) -> None:
    """Draws with a share of 10 neurons that stay: 20 replicates, 2 splits of the control, 20 of
    them shuffled, the measurement, 40 shuffles; and an attack with one measurement and two
    shuffles.
    """
    draws = rho - 0.1 + spread * np.array([-1.0, 1.0] * 10)
    values = np.concatenate(
        [draws, [0.8, 0.9], [0.1] * 20, [rho], SHUFFLED - 0.1 + null, [0.3], [0.2, 0.6]]
    )
    stay = np.array(
        [3, 7] * 10 + [8, 6] + [2] * 19 + [mixed] + [5] + [2] * 38 + [5, 6] + [4] + [4, 4]
    )
    n, fractions = len(values), len(asked.stability.fractions)
    kinds = ["bootstrap"] * 20 + ["control"] * 2 + ["control shuffled"] * 20
    kinds += ["measured"] + ["shuffled"] * 40
    lab.store.add(
        Stability(
            spec=asked.stability, kind=(*kinds, "measured", "shuffled", "shuffled"),
            attack=(*[""] * 83, *["typo"] * 3), spearman=values[:, None].repeat(2, axis=1),
            skill=np.full((n, fractions, 2), 5),
            shared=np.stack([stay - stay // 2, stay // 2], axis=1)[:, None].repeat(
                fractions, axis=1
            ),
            median=np.full((n, fractions), 0.7), neurons=WIDTH, n_clean=40, n_adversarial=20,
        ),
        RUN,
    )  # fmt: skip


def test_stability_is_the_measured_value_with_the_replicates_spread(
    lab: Lab, asked: dict[str, RobustnessSweep]
) -> None:
    stability(lab, asked["a"], 0.5, 0.05)
    row, typo = K.stability(lab.store, asked).to_dict("records")
    error = np.std(0.05 * np.array([-1.0, 1.0] * 10), ddof=1)
    assert row["spearman"] == pytest.approx(0.5), "not the replicates' mean"
    assert row["error"] == pytest.approx(error)
    wide = (0.5 - 1.96 * error, 0.5 + 1.96 * error)
    assert (row["low"], row["high"]) == pytest.approx(wide, abs=1e-4)
    assert row["control"] == pytest.approx(0.85)
    assert row["shuffled"] == pytest.approx(0.1)
    assert (row["control_shuffled"], row["control_p"]) == pytest.approx((0.1, 1 / 21))
    expected = np.quantile(SHUFFLED, [0.025, 0.975])
    assert (row["shuffled_low"], row["shuffled_high"]) == pytest.approx(tuple(expected))
    assert row["p"] == pytest.approx(1 / 41)
    assert (row["replicates"], row["permutations"]) == (20, 40)
    assert (typo["attack"], typo["spearman"], typo["shuffled"]) == ("typo", 0.3, pytest.approx(0.4))
    assert typo["p"] == pytest.approx(2 / 3)


def test_what_stays_has_the_spread_of_the_replicates_and_of_shuffled_labels(
    lab: Lab, asked: dict[str, RobustnessSweep]
) -> None:
    clean = np.tile(np.arange(WIDTH), (2, 1)) + 600
    attacked = clean.copy()
    attacked[1] = attacked[1][::-1]
    measure(lab, asked["a"].clean, clean)
    measure(lab, asked["a"].adversarial, attacked)
    stability(lab, asked["a"], 0.5, 0.05)
    row = K.overlap(lab.store, asked).set_index("fraction").loc[0.05]
    half = 1.96 * np.std([0.3, 0.7] * 10, ddof=1)
    assert (row.low, row.high) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-4)
    assert (row.control, row.control_shuffled, row.control_p) == pytest.approx((0.7, 0.2, 1 / 21))
    assert row.error == pytest.approx(np.std([0.3, 0.7] * 10, ddof=1))
    assert row.shuffled == pytest.approx((38 * 0.2 + 0.5 + 0.6) / 40)
    assert row.p == pytest.approx(3 / 41), "two of 40 shuffles share as many"
    layers = K.overlap_by_layer(lab.store, asked, 0.05)
    # of 40 shuffles in layer 0: 38 with 1 of 5, two with 3 of 5; measured 5 of 5
    assert layers.shuffled.tolist() == pytest.approx([(38 + 6) / 200, (38 + 2 + 3) / 200])
    assert layers.p.tolist() == pytest.approx([1 / 41, 1])
    attack = K.by_attack(lab.store, asked, 0.05).set_index("measure")
    assert attack.attack.tolist() == ["typo", "typo"]
    assert attack.value.to_dict() == pytest.approx({"share": 0.4, "median": 0.7})
    assert attack.p.to_dict() == {"share": 1.0, "median": 1.0}


def test_a_constant_layer_is_left_out_also_after_storing(
    lab: Lab, asked: dict[str, RobustnessSweep]
) -> None:
    spec = asked["a"].stability
    lab.store.add(
        Stability(
            spec=spec, kind=("measured",), attack=("",), spearman=np.array([[0.4, np.nan]]),
            skill=np.ones((1, 8, 2), int), shared=np.ones((1, 8, 2), int),
            median=np.full((1, 8), np.nan), neurons=WIDTH, n_clean=4, n_adversarial=2,
        ),
        RUN,
    )  # fmt: skip
    draws = K.stored_draws(lab.store, asked["a"].stability)
    assert draws is not None
    assert draws.spearman.tolist() == [0.4]
    assert np.isnan(draws.median).all()


def test_what_is_not_known_is_not_significant() -> None:
    assert np.isnan(K.permutation_null(np.nan, np.zeros(5))["p"])
    assert np.isnan(K.permutation_null(0.5, np.full(5, np.nan))["p"])
    assert K.permutation_null(0.5, np.array([np.nan, 0.1, 0.6, 0.2]))["p"] == pytest.approx(2 / 4)


def test_a_layer_without_skill_neurons_keeps_no_share(
    lab: Lab, asked: dict[str, RobustnessSweep]
) -> None:
    clean = np.full((2, WIDTH), 500)
    clean[1, :5] = 700
    measure(lab, asked["a"].clean, clean)
    measure(lab, asked["a"].adversarial, clean)
    table = K.overlap_by_layer(lab.store, asked, 0.05)
    assert table.share.isna().tolist() == [True, False]


def test_how_many_neurons_can_be_told_from_shuffled_labels(
    lab: Lab, asked: dict[str, RobustnessSweep]
) -> None:
    values = np.tile(np.arange(WIDTH), (2, 1)) + 600
    measure(lab, asked["a"].clean, values)
    assert K.discoveries(lab.store, asked).data.tolist() == ["clean"]
    measure(lab, asked["a"].adversarial, values)
    table = K.discoveries(lab.store, asked).set_index("data")
    q = some_floor(2, WIDTH).q
    assert table.discoveries["clean"] == pytest.approx(float((q <= 0.05).mean()))
    assert table.neurons.tolist() == [2 * WIDTH] * 2


def test_each_neurons_values_are_given_out(lab: Lab, asked: dict[str, RobustnessSweep]) -> None:
    clean = np.tile(np.arange(WIDTH), (2, 1)) + 600
    measure(lab, asked["a"].clean, clean)
    measure(lab, asked["a"].adversarial, clean[:, ::-1].copy())
    table = K.ranked(lab.store, asked)
    assert table.clean.to_numpy() == pytest.approx(clean.ravel() / 1000)
    assert table.adversarial.to_numpy() == pytest.approx(clean[:, ::-1].ravel() / 1000)
    assert table.neuron.tolist() == [*range(WIDTH)] * 2


# --- suppression ---------------------------------------------------------------------------------
def test_the_cost_of_skill_neurons_is_paired_by_example(
    lab: Lab, asked: dict[str, RobustnessSweep]
) -> None:
    labels = np.arange(40) % 2
    for spec in asked["a"].suppression["clean", "clean"]:
        how = spec.suppression
        wrong = 10 if how is not None and how.choose == "skill" else 0
        add(lab, spec, labels, np.arange(40) >= wrong)
    tests = R.paired_tests(lab.store, asked, {})
    assert len(tests) == 1, "the other curves are not stored yet"
    row = tests.iloc[0]
    assert (row.backbone, row.found, row.tested, row.n) == ("a", "clean", "clean", 40)
    assert (row.draws, row.seeds) == (3, 3)
    assert row.cost == pytest.approx(0.25)
    assert row.low > 0
    assert row.p < 0.01
    assert row.p_holm == pytest.approx(row.p)
    curve = asked["a"].suppression["clean", "clean"]
    (again,) = suppressed.beyond_random(lab.store, curve).itertuples()
    assert (again.choose, again.cost, again.low) == ("skill", row.cost, row.low)
    assert suppressed.beyond_random(lab.store, asked["b"].suppression["clean", "clean"]).empty


def test_costs_are_told_for_each_kind_of_attack(
    lab: Lab, asked: dict[str, RobustnessSweep], tasks: tuple[Task, Task]
) -> None:
    labels = np.arange(20) % 2
    kinds = R.attacks(tasks[1])
    human = np.array([kinds[i] == "human" for i in range(20)])
    for spec in asked["a"].suppression["clean", "adversarial"]:
        how = spec.suppression
        harmed = human & (np.arange(20) < 10)
        right = ~harmed if how is not None and how.choose == "skill" else np.ones(20, bool)
        add(lab, spec, labels, right)
    tests = R.paired_tests(lab.store, asked, kinds).set_index("attack")
    assert tests.cost.to_dict() == pytest.approx({"": 0.25, "typo": 0, "human": 0.5})
    assert tests.n.to_dict() == {"": 20, "typo": 10, "human": 10}
    assert tests.p["typo"] == 1
    assert tests.p_holm["human"] == pytest.approx(2 * tests.p["human"])
    assert tests.p_holm[""] == pytest.approx(tests.p[""])


# --- in words ------------------------------------------------------------------------------------
def numbers(
    lab: Lab, asked: dict[str, RobustnessSweep], tasks: tuple[Task, Task], rows: pd.DataFrame
) -> Numbers:
    return Numbers(
        answers=rows,
        paired_tests=R.paired_tests(lab.store, asked, R.attacks(tasks[1])),
        discoveries=K.discoveries(lab.store, asked), overlap=K.overlap(lab.store, asked),
        stability=K.stability(lab.store, asked),
    )  # fmt: skip


def said(lab: Lab, asked: dict[str, RobustnessSweep], tasks: tuple[Task, Task]) -> Summary:
    rows = R.answers(lab.store, asked, tasks)
    return summarise(numbers(lab, asked, tasks, rows), backbones=list(asked), fraction=0.05)


def kept(**changes: object) -> pd.DataFrame:
    """Overlap at one fraction of a (robust in `asked`) and b."""
    table = pd.DataFrame(
        {
            "share": [0.6, 0.2], "shuffled": [0.1, 0.1], "error": 0.05, "p": [0.01, 0.2],
            "control": [0.7, 0.7], "control_shuffled": [0.1, 0.1], "control_p": 0.04,
        },
        index=["a", "b"],
    )  # fmt: skip
    return table.assign(**changes)


@pytest.mark.parametrize(
    ("overlap", "verdict", "words"),
    [
        (kept(), "agrees", "keeps more of its skill neurons"),
        (kept(share=[0.2, 0.6], p=[0.2, 0.01]), "contradicts", "keeps fewer of its skill neurons"),
        (kept(share=[0.22, 0.2]), "no difference", "does not support the claim"),
        # b shares more, but as little beyond shuffled labels
        (kept(share=[0.2, 0.8], shuffled=[0.1, 0.7]), "no difference", "does not support"),
        # neither keeps anything: less little is not more
        (
            kept(share=[0.1, -0.3], p=[0.9, 0.9]),
            "no difference",
            "no more than the permutation null",
        ),
        # of what can be kept, b keeps all and a a sixth
        (kept(share=[0.2, 0.3], control=[0.7, 0.3], p=[0.01, 0.01]), "contradicts", "keeps fewer"),
        (kept(control_p=[0.04, 0.1]), "open", "for b even the split control"),
    ],
)
def test_the_verdict_follows_from_what_is_lost_and_kept(
    lab: Lab, asked: dict[str, RobustnessSweep], tasks: tuple[Task, Task],
    overlap: pd.DataFrame, verdict: str, words: str,
) -> None:  # fmt: skip
    rows = R.answers(lab.store, asked, tasks)
    found, text = _verdict(rows, overlap, ["a", "b"])
    assert found == verdict
    assert words in text
    assert "**a** is more robust than b" in text


def test_equal_losses_do_not_test_the_claim(lab: Lab, tasks: tuple[Task, Task]) -> None:
    both = {name: sweep(name, tasks) for name in ("a", "b")}
    for name in both:
        answer(lab, both[name], {"clean": 0.9, "adversarial": 0.6}, seed=5)
    found, text = _verdict(R.answers(lab.store, both, tasks), kept(), ["a", "b"])
    assert found == "not tested"
    assert "do **not test the claim**" in text


def test_as_many_prompts_need_not_be_there_of_both_backbones(
    lab: Lab, asked: dict[str, RobustnessSweep], tasks: tuple[Task, Task]
) -> None:
    rows = R.answers(lab.store, asked, tasks)
    fewer = rows[~((rows.backbone == "b") & (rows.seed > 0))]
    found, text = _verdict(fewer, kept(), ["a", "b"])
    assert found == "agrees"
    assert "Results from a single prompt do not generalize" in text
    assert _verdict(rows, kept(), ["a", "b", "c"])[0] == "open"


def test_one_backbone_alone_gets_no_verdict(
    lab: Lab, asked: dict[str, RobustnessSweep], tasks: tuple[Task, Task]
) -> None:
    stability(lab, asked["a"], 0.5, 0.05)
    found = said(lab, {"a": asked["a"]}, tasks)
    assert found.verdict == "open"
    assert "exactly two backbones" in found.lead


def test_a_finding_of_nothing_is_empty_words(lab: Lab, tasks: tuple[Task, Task]) -> None:
    found = said(lab, {"a": sweep("a", tasks)}, tasks)
    assert found.verdict == "open"


def test_a_sweep_asks_each_question_once(lab: Lab, tasks: tuple[Task, Task]) -> None:
    asked = sweep("a", tasks, seeds=5)
    assert len(set(asked.everything)) == len(asked.everything)
    # 5 seeds, 2 tasks: evaluations, measurements; curves: skill of both rankings, 3 random draws
    assert len(asked.everything) == 10 + 10 + 1 + 2 * 5 * (1 + 8 * (2 + 3))
    embedded = sweep(lab.models.pin("t5-mini").fingerprint, tasks, seeds=5).everything
    assert len(embedded) == 10 + 10 + 1 + 2 * 5 * (1 + 8 * (2 + 10)), "ten draws where it is quick"
    found = {s.suppression.ranking[0].task.name for s in asked.suppression["clean", "adversarial"]
             if s.suppression is not None and s.suppression.ranking}  # fmt: skip
    assert found == {tasks[0].name}


def test_one_seed_has_wilsons_intervals(lab: Lab, tasks: tuple[Task, Task]) -> None:
    one = {"a": sweep("a", tasks, seeds=1)}
    answer(lab, one["a"], {"clean": 0.8, "adversarial": 0.5})
    rows = R.answers(lab.store, one, tasks)
    table = R.accuracy(rows)
    for row in table.to_dict("records"):
        expected = wilson(round(row["accuracy"] * row["n"]), row["n"])
        assert (row["low"], row["high"]) == pytest.approx(expected)


def test_the_errors_of_both_backbones_count() -> None:
    table = kept(error=[0.03, 0.04], control=[0.7, 0.3])
    found = _kept_more(table.iloc[0], table.iloc[1])
    half = 1.96 * np.hypot(0.03 / 0.6, 0.04 / 0.2)
    expected = (0.5 / 0.6 - 0.1 / 0.2, 0.5 / 0.6 - 0.1 / 0.2 - half, 0.5 / 0.6 - 0.1 / 0.2 + half)
    assert (found.value, found.low, found.high) == pytest.approx(expected, abs=1e-4)


def test_prompts_that_answered_one_kind_of_data_only_do_not_count(
    lab: Lab, asked: dict[str, RobustnessSweep], tasks: tuple[Task, Task]
) -> None:
    rows = R.answers(lab.store, asked, tasks)
    part = rows[~((rows.data == "adversarial") & (rows.seed == 2))]
    both = rows[rows.seed != 2]
    assert R.accuracy_drops(part)["a"].value == pytest.approx(R.accuracy_drops(both)["a"].value)


def test_there_is_no_verdict_and_no_made_up_interval_before_all_is_there(
    lab: Lab, asked: dict[str, RobustnessSweep], tasks: tuple[Task, Task]
) -> None:
    values = np.tile(np.arange(WIDTH), (2, 1)) + 600
    measure(lab, asked["a"].clean, values)
    measure(lab, asked["a"].adversarial, values)
    table = K.overlap(lab.store, asked)
    assert table[["low", "high", "control", "shuffled", "p"]].isna().all(axis=None)
    found = said(lab, asked, tasks)
    assert "nan" not in " ".join([found.lead, *found.backbones])
    assert "chance overlap: " in found.backbones[0]
    assert found.verdict == "open"
    for name in asked:
        stability(lab, asked[name], 0.5, 0.05)
    rows = R.answers(lab.store, asked, tasks)
    part = rows[~((rows.backbone == "a") & (rows.data == "adversarial") & (rows.seed > 0))]
    early = summarise(numbers(lab, asked, tasks, part), backbones=list(asked), fraction=0.05)
    assert early.verdict == "open"
    assert "not every prompt has been evaluated" in early.lead


def test_suppression_is_told_for_clean_data_first() -> None:
    tests = pd.DataFrame(
        {
            "found": "clean", "tested": ["clean", "adversarial"], "cost": [-0.04, 0.01],
            "p_holm": [0.01, 0.6],
        }
    )  # fmt: skip
    told = _suppressed(tests)
    assert "mean over 1 to 15%" in told
    assert "costs less accuracy (\N{MINUS SIGN}4.0 points, p = 0.010) on clean data" in told
    assert "no significant difference (+1.0 points, p = 0.600) on adversarial data" in told
