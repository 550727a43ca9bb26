"""Streamed predictivity against the plain formula, contrasts, and the permutation floor."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import false_discovery_control
from torch import Tensor

from core.backbones import load_backbone
from core.backbones.batches import Encoded
from core.backbones.hooks import capture
from core.base.errors import BadTask
from core.base.specs import Contrast
from core.lab.lab import Lab
from core.measures.predictivity import (
    PredictivitySpec,
    balanced,
    best_counts,
    contrasted,
    floor,
    shuffled,
)
from core.measures.stability import StabilitySpec
from core.measures.tuning import TuneSpec
from core.stats.neurons import predictivity
from core.tasks import Task, load_task, pin_task
from core.tasks.data import Examples, load_split
from tests.conftest import write_task


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    """Texts of class 1 begin and end otherwise, so that activations tell the classes apart."""
    toml = write_task(tmp_path / "task", n=150)
    for file in toml.parent.glob("*.jsonl"):
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        for row in rows:
            row["text"] = f"warm warm {row['text']} warm warm" if row["label"] else row["text"]
        file.write_text("\n".join(map(json.dumps, rows)))
    return toml


def question(lab: Lab, folder: Path, task: Task, permutations: int = 20) -> PredictivitySpec:
    prompt = TuneSpec(
        backbone=lab.models.pin(str(folder)), task=pin_task(task, "roberta"), seed=1,
        prompt_length=3, steps=1, selection=10, precision="fp64",
    )  # fmt: skip
    return PredictivitySpec(prompt=prompt, task=prompt.task, permutations=permutations)


def everything(lab: Lab, spec: PredictivitySpec, task: Task, examples: Examples) -> Tensor:
    """All prompt activations `[example layer token neuron]`, one example at a time."""
    backbone = load_backbone(Path(spec.prompt.backbone.name), precision="fp64")
    vectors = lab.prompt(spec.prompt).vectors.double()
    rows = Encoded.of(backbone, examples)
    kept = []
    prefix = slice(0, backbone.prefix_length(3))
    with torch.no_grad(), capture(backbone.down_projections(), prefix) as seen:
        for i in range(len(examples)):
            batch = rows.batch([i], backbone)
            backbone.answer_state(vectors, batch.ids, batch.mask)
            kept.append(torch.stack([seen[layer][0] for layer in range(backbone.layers)]))
    return torch.stack(kept)


def test_the_streamed_mean_is_the_full_mean(lab: Lab, tiny_folder: Path, toml: Path) -> None:
    task = load_task(str(toml))
    spec = replace(question(lab, tiny_folder, task, permutations=0), train_limit=40, limit=10)
    full = everything(lab, spec, task, load_split(task, "train", 40)).mean(dim=0)
    assert np.allclose(lab.answer(spec).baseline, full.numpy(), atol=1e-12)


def test_the_floor_is_what_shuffled_labels_reach(lab: Lab, tiny_roberta: Path, toml: Path) -> None:
    task = load_task(str(toml))
    spec = question(lab, tiny_roberta, task)
    ours = lab.answer(spec)
    examples = load_split(task, "validation")
    fired = everything(lab, spec, task, examples) > torch.from_numpy(ours.baseline)
    rng, naive = np.random.default_rng(7), []
    for _ in range(40):
        labels = torch.from_numpy(rng.permutation(examples.labels)).bool()
        right = fired == labels[:, None, None, None]
        naive.append(predictivity(right.sum(dim=0).numpy(), len(examples)))
    values = torch.from_numpy(np.stack(naive))
    assert ours.floor is not None
    assert ours.floor.permutations == 20
    assert ours.floor.mean == pytest.approx(values.mean().item(), abs=0.01)
    assert ours.floor.p99 == pytest.approx(values.quantile(0.99).item(), abs=0.03)
    assert predictivity(ours.correct, ours.n).mean() > ours.floor.mean + 0.05
    highest = values.flatten(1).amax(dim=1)
    assert ours.floor.fwer == pytest.approx(highest.quantile(0.95).item(), abs=0.04)


def test_p_values_are_counted_by_hand() -> None:
    best = torch.tensor(
        [[[9.0, 6.0, 5.0]], [[6.0, 5.0, 5.0]], [[5.0, 6.0, 5.0]], [[7.0, 5.0, 5.0]]]
    )
    found = floor(best, 10)
    assert found is not None
    assert found.p[0].tolist() == pytest.approx([1 / 4, 2 / 4, 1])
    assert found.p_family[0].tolist() == pytest.approx([1 / 4, 1, 1])
    pooled = np.array([1, 4, 10]) / 10  # of 9 shuffled values 0, 3 and 9 are as high
    assert found.q[0].tolist() == pytest.approx(false_discovery_control(pooled).tolist())
    assert found.mean == pytest.approx(best[1:].mean().item() / 10)
    assert np.isnan(found.fdr), "nothing is certain with three permutations"


def test_thresholds_let_little_through_where_there_is_nothing_to_find() -> None:
    rng, family, discoveries = np.random.default_rng(0), 0, 0
    for _ in range(60):
        labels = rng.integers(0, 2, 80)
        fired = rng.integers(0, 2, (3 * 4 * 20, 80))
        signs = shuffled(labels, 60).numpy()
        counts = (labels == 0).sum() + signs @ fired.T
        correct = torch.from_numpy(counts).float().view(61, 3, 4, 20)
        found = floor(best_counts(correct, torch.full((61,), 80)), 80)
        assert found is not None
        family += bool((found.p_family <= 0.05).any())
        discoveries += bool((found.q <= 0.05).any())
    assert family <= 8, "about one in twenty"
    assert discoveries <= 8


def test_neurons_that_know_the_task_are_found(lab: Lab, tiny_roberta: Path, toml: Path) -> None:
    found = lab.answer(question(lab, tiny_roberta, load_task(str(toml)), permutations=200))
    assert found.floor is not None
    values = predictivity(found.correct, found.n)
    certain = found.floor.q <= 0.05
    assert certain.any()
    assert values[certain].min() == pytest.approx(found.floor.fdr)
    assert values[~certain].max() <= found.floor.fdr
    assert (found.floor.p_family >= found.floor.p - 1e-12).all()
    strict = found.floor.p_family <= 0.05
    assert (certain | ~strict).all(), "what holds family-wise is a discovery, too"


def test_the_floor_parts_are_ordered(lab: Lab, tiny_folder: Path, toml: Path) -> None:
    floor = lab.answer(question(lab, tiny_folder, load_task(str(toml)))).floor
    assert floor is not None
    assert 0.5 < floor.mean < floor.p99 <= floor.fwer <= 1


def test_no_permutations_no_floor(lab: Lab, tiny_roberta: Path, toml: Path) -> None:
    spec = question(lab, tiny_roberta, load_task(str(toml)), permutations=0)
    assert lab.answer(spec).floor is None


def test_permutations_do_not_change_the_counts(lab: Lab, tiny_roberta: Path, toml: Path) -> None:
    spec = question(lab, tiny_roberta, load_task(str(toml)), permutations=0)
    more = replace(spec, permutations=5)
    assert np.array_equal(lab.answer(spec).correct, lab.answer(more).correct)


@pytest.mark.slow
@pytest.mark.parametrize("rows", [1, 7])
def test_rows_that_do_not_fit_into_memory_at_once_are_counted_in_parts(
    lab: Lab, tiny_folder: Path, toml: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    spec = question(lab, tiny_folder, load_task(str(toml)))
    whole = lab.answer(spec)
    size = whole.baseline.size * 4
    monkeypatch.setattr("core.measures.predictivity.MOST_BYTES", rows * size + 1)
    parts = lab.answer(spec)
    assert np.array_equal(parts.correct, whole.correct)
    assert parts.floor is not None
    assert whole.floor is not None
    assert np.array_equal(parts.floor.p_family, whole.floor.p_family)
    assert np.array_equal(parts.floor.q, whole.floor.q)
    assert (parts.floor.mean, parts.floor.fwer) == (whole.floor.mean, whole.floor.fwer)


def test_limits_are_kept(lab: Lab, tiny_roberta: Path, toml: Path) -> None:
    spec = question(lab, tiny_roberta, load_task(str(toml)))
    measured = lab.answer(replace(spec, limit=30, train_limit=40))
    assert (measured.n, measured.n_train) == (30, 40)


# --- contrasts -----------------------------------------------------------------------------------
@pytest.fixture
def three(tmp_path: Path) -> Task:
    return load_task(str(write_task(tmp_path / "three", classes=3, n=90)))


def test_two_classes_ask_one_question(toml: Path) -> None:
    task = load_task(str(toml))
    assert task.contrasts() == (None,)
    assert task.contrast_name(None) == "positive | negative"


def test_three_classes_ask_each_against_the_rest_and_each_pair(three: Task) -> None:
    assert [three.contrast_name(c) for c in three.contrasts()] == [
        "negative | rest",
        "positive | rest",
        "neutral | rest",
        "positive | negative",
        "neutral | negative",
        "neutral | positive",
    ]


def test_a_contrast_keeps_its_classes_only(three: Task) -> None:
    examples = load_split(three, "train")
    pair = contrasted(examples, Contrast(negative=(0,), positive=(2,)))
    assert len(pair) == 60
    original = dict(zip(examples.index, examples.labels, strict=True))
    assert [int(original[i] == 2) for i in pair.index] == pair.labels.tolist()


def test_a_contrast_leaves_the_split_itself_alone(three: Task) -> None:
    before = load_split(three, "train").labels.copy()
    contrasted(load_split(three, "train"), Contrast(negative=(0,), positive=(2,)))
    assert np.array_equal(load_split(three, "train").labels, before)


def test_balancing_thins_the_larger_group_the_same_way_each_time(three: Task) -> None:
    rest = contrasted(load_split(three, "train"), Contrast(negative=(1, 2), positive=(0,)))
    assert np.bincount(rest.labels).tolist() == [60, 30]
    once, again = balanced(rest), balanced(rest)
    assert np.bincount(once.labels).tolist() == [30, 30]
    assert np.array_equal(once.index, again.index)
    assert (np.diff(once.index) > 0).all()


def test_measured_contrasts_have_chance_at_one_half(
    lab: Lab, tiny_roberta: Path, three: Task
) -> None:
    spec = question(lab, tiny_roberta, three, permutations=2)
    for contrast in three.contrasts():
        measured = lab.answer(replace(spec, contrast=contrast))
        counts = np.bincount(load_split(three, "validation").labels)
        assert contrast is not None
        groups = [sum(counts[list(g)]) for g in (contrast.negative, contrast.positive)]
        assert measured.n == 2 * min(groups)
        assert measured.majority == 0.5
        assert measured.n_train == 30 * len(contrast.negative + contrast.positive)


# --- adversarial twins ---------------------------------------------------------------------------
def test_an_adversarial_twin_takes_its_baseline_from_the_clean_task(
    lab: Lab, tiny_roberta: Path, toml: Path
) -> None:
    clean = load_task(str(toml))
    twin_file = toml.parent / "adv_task.toml"
    kept = toml.read_text().replace('train = "train.jsonl"\n', "")
    twin_file.write_text('adversarial_of = "task"\n' + kept)
    rows = (toml.parent / "validation.jsonl").read_text().splitlines()
    (toml.parent / "attacked.jsonl").write_text("\n".join(rows[:20]))
    twin_file.write_text(twin_file.read_text().replace("validation.jsonl", "attacked.jsonl"))
    twin = load_task(str(twin_file))
    assert "train" not in twin.splits
    spec = question(lab, tiny_roberta, clean, permutations=0)
    own, attacked = lab.answer(spec), lab.answer(replace(spec, task=pin_task(twin, "roberta")))
    assert np.array_equal(attacked.baseline, own.baseline)
    assert (attacked.n, attacked.n_train) == (20, own.n_train)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_contrast_without_rows_says_class_and_split(
    tiny_roberta: Path, lab: Lab, tmp_path: Path, split: str
) -> None:
    toml = write_task(tmp_path / "three", classes=3)
    file = toml.parent / f"{split}.jsonl"
    rows = [line for line in file.read_text().splitlines() if json.loads(line)["label"] != 2]
    file.write_text("\n".join(rows))
    task = load_task(str(toml))
    prompt = TuneSpec(
        backbone=lab.models.pin(str(tiny_roberta)), task=pin_task(task, "roberta"), seed=0,
        prompt_length=2, steps=1, selection=10,
    )  # fmt: skip
    for contrast in (c for c in task.contrasts() if c is not None):
        spec = PredictivitySpec(
            prompt=prompt, task=pin_task(task, "roberta"), contrast=contrast, permutations=1
        )
        group = next((g for g in (contrast.negative, contrast.positive) if g == (2,)), None)
        if group is None:
            lab.ask(spec)
            continue
        with pytest.raises(BadTask, match=f"'neutral'.* in the {split} split"):
            lab.ask(spec)
        same = StabilitySpec(clean=(spec,), adversarial=(spec,), fractions=(0.1,), permutations=1)
        with pytest.raises(BadTask, match=f"'neutral'.* in the {split} split"):
            lab.ask(same)
