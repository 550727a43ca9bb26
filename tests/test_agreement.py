"""Clean against adversarial predictivities: redrawn data against the plain formula."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from core.agreement import _shared, bootstrap_weights, half_weights
from core.data import load_split
from core.lab import Lab
from core.neurons import predictivity, ranking
from core.specs import AgreementSpec, PredictivitySpec
from core.tasks import Task, load_task, pin_task
from tests.conftest import write_task
from tests.test_predictivity import everything, question


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


def asked(lab: Lab, folder: Path, pair: tuple[Task, Task], seeds: int = 2) -> AgreementSpec:
    clean, twin = pair
    first = question(lab, folder, clean, permutations=0)
    prompts = [replace(first.prompt, seed=seed) for seed in range(seeds)]
    measured = [
        tuple(PredictivitySpec(prompt=p, task=pin_task(t), permutations=0) for p in prompts)
        for t in (clean, twin)
    ]
    return AgreementSpec(
        clean=measured[0], adversarial=measured[1], fractions=(0.1, 0.25), replicates=4, splits=3
    )


def stored(values: torch.Tensor) -> torch.Tensor:
    """As the store keeps them: 1 - 0.4 and 0.6 are then the same."""
    return values.float().double()


def test_what_is_measured_is_the_correlation_of_the_measurements(
    lab: Lab, tiny_folder: Path, pair: tuple[Task, Task]
) -> None:
    spec = asked(lab, tiny_folder, pair)
    result = lab.answer(spec)
    means = [
        ranking([stored(predictivity(lab.measure(s).accuracy)) for s in specs])
        for specs in (spec.clean, spec.adversarial)
    ]
    for layer, (a, b) in enumerate(zip(*means, strict=True)):
        assert result.spearman[0, layer] == pytest.approx(spearmanr(a, b).statistic)
    silly = [lab.measure(specs[0]).majority for specs in (spec.clean, spec.adversarial)]
    for i, fraction in enumerate(spec.fractions):
        k = int(a.numel() * fraction + 1e-9)
        best = [[{n for n in v.argsort(descending=True, stable=True)[:k].tolist()
                  if v[n] > level + 1e-6} for v in m]
                for m, level in zip(means, silly, strict=True)]  # fmt: skip
        assert result.chosen[0, i] == sum(map(len, best[0]))
        assert result.shared[0, i] == sum(len(x & y) for x, y in zip(*best, strict=True))
    assert result.kind == ("measured", *["bootstrap"] * 4, *["ceiling"] * 3)
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
        baseline = lab.measure(spec.clean[0]).baseline
        fired = everything(lab, measured[0], task, drawn) > baseline
        right = fired == torch.from_numpy(drawn.labels).bool()[:, None, None, None]
        again.append(stored(predictivity(right.double().mean(dim=0))))
    for layer, (a, b) in enumerate(zip(*again, strict=True)):
        assert result.spearman[2, layer] == pytest.approx(spearmanr(a, b).statistic, abs=1e-6)


def test_a_split_against_itself_agrees_wholly(
    lab: Lab, tiny_roberta: Path, pair: tuple[Task, Task]
) -> None:
    spec = asked(lab, tiny_roberta, (pair[0], pair[0]))
    result = lab.answer(replace(spec, adversarial=spec.clean))
    assert result.spearman[0] == pytest.approx(1)
    assert result.shared[0].tolist() == [3 * 2, 3 * 6]
    assert result.spearman[1:5].mean() < 1, "both sides are redrawn apart"


def test_redrawn_weights_keep_the_number_of_examples_of_each_class() -> None:
    labels = np.arange(30) % 3
    weights = bootstrap_weights(labels, 5, seed=1)
    assert weights[0].tolist() == [1] * 30
    for label in range(3):
        assert (weights[:, labels == label].sum(axis=1) == 10).all()
    assert len(np.unique(weights, axis=0)) == 6
    assert np.array_equal(weights, bootstrap_weights(labels, 5, seed=1))


def test_halves_are_disjoint_and_one_is_like_the_adversarial_split() -> None:
    labels, wanted = np.arange(30) % 2, np.array([0] * 5 + [1] * 3)
    halves = half_weights(labels, wanted, 4)
    assert (halves.sum(axis=1) == 1).all()
    assert (halves[:, 0][:, labels == 0].sum(axis=1) == 5).all()
    assert (halves[:, 0][:, labels == 1].sum(axis=1) == 3).all()
    assert half_weights(labels, np.arange(99) % 2, 1)[0, 0].sum() == 14


def test_neurons_that_tell_nothing_are_never_shared() -> None:
    a, b = torch.zeros(2, 10), torch.zeros(2, 10)
    a[0, :3], b[0, 2:4], b[1, 5] = 0.1, 0.2, 0.3
    a[1, 6] = -0.1  # below what always giving one answer reaches
    assert _shared(a, b, 0.5) == (3, 1)
    assert _shared(b, a, 0.5) == (3, 1)
    assert _shared(a, b, 0.2) == (2, 0)


def test_a_neuron_that_never_fires_knows_nothing_of_redrawn_data_either() -> None:
    labels = np.arange(40) % 2
    for weights in bootstrap_weights(labels, 20, seed=4):
        assert weights[labels == 1].sum() / weights.sum() == 0.5
