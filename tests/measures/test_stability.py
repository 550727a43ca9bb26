"""Clean against adversarial predictivities: redrawn data against the plain formula."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import rankdata, spearmanr

from core.base.specs import Contrast
from core.lab.lab import Lab
from core.measures.draws import (
    bootstrap_weights,
    control_signs,
    control_weights,
    random_keys,
    shuffled_by_attack,
)
from core.measures.predictivity import PredictivitySpec, balanced, contrasted
from core.measures.stability import (
    Gains,
    StabilitySpec,
    _common,
    _places,
    mean_gain,
    redraw,
)
from core.stats.neurons import mean_predictivity, predictivity
from core.tasks import Task, load_task, pin_task
from core.tasks.data import Examples, load_split
from tests.conftest import write_task
from tests.measures.test_predictivity import everything, question

pytestmark = pytest.mark.slow


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Task, Task]:
    """A task and a twin with the first 21 of its validation rows."""
    toml = write_task(tmp_path / "task", n=150)
    twin = toml.parent / "twin.toml"
    text = toml.read_text().replace('train = "train.jsonl"\n', "")
    twin.write_text('adversarial_of = "task"\n' + text.replace("validation.jsonl", "some.jsonl"))
    rows = (toml.parent / "validation.jsonl").read_text().splitlines()
    (toml.parent / "some.jsonl").write_text("\n".join(rows[:21]))
    return load_task(str(toml)), load_task(str(twin))


MEASURED = 4 + 2 * 3  # the first draw with true labels, after replicates and splits


def asked(lab: Lab, folder: Path, pair: tuple[Task, Task], seeds: int = 2) -> StabilitySpec:
    clean, twin = pair
    first = question(lab, folder, clean, permutations=0)
    prompts = [replace(first.prompt, seed=seed) for seed in range(seeds)]
    measured = [
        tuple(
            PredictivitySpec(prompt=p, task=pin_task(t, "roberta"), permutations=0) for p in prompts
        )
        for t in (clean, twin)
    ]
    return StabilitySpec(
        clean=measured[0],
        adversarial=measured[1],
        fractions=(0.1, 0.25),
        replicates=4,
        splits=3,
        permutations=6,
    )


def test_what_is_measured_is_the_correlation_of_the_measurements(
    lab: Lab, tiny_folder: Path, pair: tuple[Task, Task]
) -> None:
    spec = asked(lab, tiny_folder, pair)
    result = lab.answer(spec)
    means = [
        mean_predictivity([(p.correct, p.n) for p in map(lab.stored, specs)])
        for specs in (spec.clean, spec.adversarial)
    ]
    for layer, (a, b) in enumerate(zip(*means, strict=True)):
        assert result.spearman[MEASURED, layer] == pytest.approx(spearmanr(a, b).statistic)
    silly = [lab.answer(specs[0]).majority for specs in (spec.clean, spec.adversarial)]
    for i, fraction in enumerate(spec.fractions):
        k = int(a.size * fraction + 1e-9)
        best = [[{n for n in np.argsort(-v.round(9), kind="stable")[:k].tolist()
                  if v[n] > level + 1e-6} for v in m]
                for m, level in zip(means, silly, strict=True)]  # fmt: skip
        assert result.skill[MEASURED, i].tolist() == list(map(len, best[0]))
        both = [len(x & y) for x, y in zip(*best, strict=True)]
        assert result.shared[MEASURED, i].tolist() == both
        places = [(rankdata(row) - 0.5) / len(row) for row in means[1]]
        median = np.median([places[layer][n] for layer, row in enumerate(best[0]) for n in row])
        assert result.median[MEASURED, i] == pytest.approx(median)
    kinds = (
        *["bootstrap"] * 4,
        *["control", "control shuffled"] * 3,
        "measured",
        *["shuffled"] * 6,
    )
    assert result.kind == kinds
    assert set(result.attack) == {""}
    assert (result.n_clean, result.n_adversarial) == (76, 21)


def test_a_replicate_is_the_measurement_on_the_redrawn_examples(
    lab: Lab, tiny_roberta: Path, pair: tuple[Task, Task]
) -> None:
    spec = asked(lab, tiny_roberta, pair, seeds=1)
    result = lab.answer(spec)
    again = []
    for measured, task, seed in ((spec.clean, pair[0], 1), (spec.adversarial, pair[1], 2)):
        examples = load_split(task, "validation")
        weights = bootstrap_weights(examples.labels, 4, seed=seed)[2]
        drawn = examples.take(np.repeat(np.arange(len(examples)), weights))
        baseline = lab.answer(spec.clean[0]).baseline
        fired = everything(lab, measured[0], task, drawn) > torch.from_numpy(baseline)
        right = fired == torch.from_numpy(drawn.labels).bool()[:, None, None, None]
        again.append(predictivity(right.sum(dim=0).numpy(), len(drawn)))
    for layer, (a, b) in enumerate(zip(*again, strict=True)):
        assert result.spearman[1, layer] == pytest.approx(spearmanr(a, b).statistic, abs=1e-6)


def test_a_shuffled_draw_is_the_measurement_with_those_labels(
    lab: Lab, tiny_roberta: Path, pair: tuple[Task, Task]
) -> None:
    spec = asked(lab, tiny_roberta, pair, seeds=1)
    result = lab.answer(spec)
    examples = load_split(pair[1], "validation")
    signs = shuffled_by_attack(examples, random_keys(6, len(examples), seed=6))[""]
    assert torch.equal(signs[0] > 0, torch.from_numpy(examples.labels).bool())
    first = lab.answer(spec.clean[0])
    clean = predictivity(first.correct, first.n)
    fired = everything(lab, spec.adversarial[0], pair[1], examples) > (
        torch.from_numpy(first.baseline)
    )
    for draw in (1, 5):
        right = fired == (signs[draw] > 0)[:, None, None, None]
        second = predictivity(right.sum(dim=0).numpy(), len(examples))
        for layer, (a, b) in enumerate(zip(clean, second, strict=True)):
            found = result.spearman[MEASURED + draw, layer]
            assert found == pytest.approx(spearmanr(a, b).statistic, abs=1e-6)


def test_labels_are_shuffled_within_a_kind_of_attack() -> None:
    labels = np.array([0, 1, 1, 0, 1, 0, 0, 0, 1, 1])
    examples = Examples(
        text_a=("x",) * 10, text_b=None, labels=labels, index=np.arange(10),
        attack=("typo",) * 6 + ("one class",) * 2 + ("human",) * 2,
    )  # fmt: skip
    signs = shuffled_by_attack(examples, random_keys(5, 10, seed=6))
    assert list(signs) == ["", "typo"], "the others are of one class"
    assert (signs[""] != 0).all()
    assert (signs["typo"][:, 6:] == 0).all()
    assert (signs["typo"] == 1).sum(dim=1).tolist() == [3] * 6
    assert torch.equal(signs["typo"][0, :6] > 0, torch.from_numpy(labels[:6]).bool())


def test_a_split_against_itself_agrees_wholly(
    lab: Lab, tiny_roberta: Path, pair: tuple[Task, Task]
) -> None:
    spec = asked(lab, tiny_roberta, (pair[0], pair[0]))
    result = lab.answer(replace(spec, adversarial=spec.clean))
    assert result.spearman[MEASURED] == pytest.approx(1)
    assert result.shared[MEASURED].sum(axis=1).tolist() == [3 * 2, 3 * 6]
    assert result.spearman[:4].mean() < 1, "both sides are redrawn apart"
    assert result.spearman[MEASURED + 1 :].mean() < 1, "shuffled labels tell something else"


def test_redrawn_weights_keep_the_number_of_examples_of_each_class() -> None:
    labels = np.arange(30) % 3
    weights = bootstrap_weights(labels, 5, seed=1)
    assert weights[0].tolist() == [1] * 30
    for label in range(3):
        assert (weights[:, labels == label].sum(axis=1) == 10).all()
    assert len(np.unique(weights, axis=0)) == 6
    assert np.array_equal(weights, bootstrap_weights(labels, 5, seed=1))


def test_the_parts_of_the_control_are_disjoint_and_one_is_like_the_adversarial_split() -> None:
    labels, wanted = np.arange(30) % 2, np.array([0] * 5 + [1] * 3)
    parts = control_signs(labels, control_weights(labels, wanted, 4), random_keys(4, 30, seed=5))
    small, rest, mixed = parts.unbind(dim=1)
    assert (small.abs() + rest.abs() == 1).all()
    assert ((small == -1).sum(dim=1) == 5).all()
    assert ((small == 1).sum(dim=1) == 3).all()
    assert torch.equal(
        small[small != 0] > 0, torch.from_numpy(labels > 0).expand(4, 30)[small != 0]
    )
    assert torch.equal(mixed != 0, small != 0)
    assert ((mixed == 1).sum(dim=1) == 3).all()
    assert not torch.equal(mixed, small)
    assert control_weights(labels, np.arange(99) % 2, 1).sum() == 14


def test_uninformative_neurons_are_never_shared() -> None:
    a, b = np.zeros((2, 10)), np.zeros((2, 10))
    a[0, :3], b[0, 2:4], b[1, 5] = 0.1, 0.2, 0.3
    a[1, 6] = -0.1  # below what always giving one answer reaches
    skill, shared, median = _common(a, b, [0.5, 0.2])
    assert skill.tolist() == [[3, 0], [2, 0]]
    assert shared.tolist() == [[1, 0], [0, 0]]
    assert median == pytest.approx([0.4, 0.4])  # equals share the mean of their places
    assert _common(b, a, [0.5])[0].tolist() == [[2, 1]]
    assert np.isnan(_common(np.zeros((1, 4)), np.zeros((1, 4)), [0.5])[2]).all()


def test_a_binary_question_of_a_larger_task_is_measured_as_predictivity_is(
    lab: Lab, tiny_roberta: Path, tmp_path: Path
) -> None:
    three = load_task(str(write_task(tmp_path / "three", classes=3, n=90)))
    contrast = Contrast(negative=(1, 2), positive=(0,))
    first = replace(question(lab, tiny_roberta, three, permutations=0), contrast=contrast)
    spec = StabilitySpec(
        clean=(first,), adversarial=(first,), fractions=(0.25,), replicates=1, splits=1,
        permutations=1,
    )  # fmt: skip
    asked = lab.answer(first)
    found = redraw(spec, 0, lab)
    expected = predictivity(asked.correct, asked.n) - asked.majority
    assert np.allclose(mean_gain([found.clean], 0), expected, atol=1e-12)
    assert np.allclose(mean_gain([found.by_attack[""]], 0), expected, atol=1e-12)


def test_equal_sums_of_gains_are_equal_means() -> None:
    """1/7 + 4/7 + 2/7 and 3/7 + 1/7 + 3/7 differ as sums of floating point numbers."""
    rows = [[1, 3], [4, 1], [2, 3]]
    gains = [Gains(values=torch.tensor([[row]]), n=torch.tensor([7])) for row in rows]
    assert len(set(mean_gain(gains, 0)[0].tolist())) == 1


def test_blank_kinds_and_kinds_of_one_class_are_no_kinds() -> None:
    labels = np.array([0, 1, 0, 1, 0, 1])
    examples = Examples(
        text_a=("x",) * 6, text_b=None, labels=labels, index=np.arange(6),
        attack=("", "", "a", "a", "b", "b"),
    )  # fmt: skip
    signs = shuffled_by_attack(examples, random_keys(3, 6, seed=6))
    assert list(signs) == ["", "a", "b"]
    assert (signs[""] != 0).all(), "all examples, blank or not"
    one = Examples(
        text_a=("x",) * 2, text_b=None, labels=np.array([1, 1]), index=np.arange(2), attack=None
    )
    assert list(shuffled_by_attack(one, random_keys(2, 2, seed=6))) == [""]


def test_binary_questions_of_a_task_share_what_is_drawn(tmp_path: Path) -> None:
    three = load_task(str(write_task(tmp_path / "three", classes=3, n=90)))
    whole = load_split(three, "validation")
    small = control_weights(whole.labels, whole.labels, 5)
    keys = random_keys(4, len(whole), seed=6)
    parts, orders = [], []
    for negative, positive in (((1, 2), (0,)), ((0, 2), (1,))):
        kept = balanced(contrasted(whole, Contrast(negative=negative, positive=positive)))
        here = _places(whole, kept)
        assert np.array_equal(whole.index[here], kept.index)
        signs = control_signs(kept.labels, small[:, here], keys[:1].repeat(5, axis=0)[:, here])
        parts.append({int(i) for i in kept.index[(signs[2, 0] != 0).numpy()]})
        orders.append({int(i) for i in kept.index[(signs[2, 1] != 0).numpy()]})
    assert not parts[0] & orders[1], "what is small for one question is no rest for another"
    assert not parts[1] & orders[0]
