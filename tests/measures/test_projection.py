"""Projectors: what they compute, how they learn, and what comes out."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from core.backbones.fresh import fresh_t5, train_unigram
from core.base.errors import BadInput
from core.base.progress import no_progress
from core.base.prompts import Prompt
from core.base.specs import key
from core.figures import projection as figures
from core.lab.lab import Lab, open_store
from core.measures import projections
from core.measures.evaluation import EvaluationSpec
from core.measures.projected import projected
from core.measures.projector import Place, Projector, ProjectorSpec, fresh, live, project, train
from core.measures.prompts import ImportedPrompt
from core.measures.random_words import RandomPrompt
from core.measures.tuning import TuneSpec, initial_vectors
from core.stats.intervals import mean_accuracy
from core.tasks import Task, load_task, pin_task
from tests.conftest import TINY, corpus, save_backbone, write_task

pytestmark = pytest.mark.slow
LENGTH, WIDE = 4, 24
Tuned = Callable[[str, Task, int], TuneSpec]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A masked model and an encoder-decoder of different widths."""
    root = tmp_path_factory.mktemp("models")
    save_backbone(TINY["roberta"](), root / "roberta")
    wider = fresh_t5(
        train_unigram(corpus(), 200), seed=1, d_model=WIDE, d_kv=8, d_ff=24, num_layers=3,
        num_decoder_layers=2, num_heads=2,
    )  # fmt: skip
    save_backbone(wider, root / "t5")
    save_backbone(TINY["bert"](), root / "bert")
    save_backbone(TINY["t5-gated"](), root / "gated")
    return {name: root / name for name in ("roberta", "t5", "bert", "gated")}


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> list[Task]:
    root = tmp_path_factory.mktemp("tasks")
    return [load_task(str(write_task(root / name))) for name in ("one", "two")]


@pytest.fixture
def tuned(lab: Lab, folders: dict[str, Path]) -> Tuned:
    def of(family: str, task: Task, seed: int = 0) -> TuneSpec:
        words = {"gated": "t5"}.get(family, family)
        return TuneSpec(
            backbone=lab.models.pin(str(folders[family])), task=pin_task(task, words), seed=seed,
            prompt_length=LENGTH, steps=2, selection=20, evaluate_every=2, learning_rate=0.05,
            batch_size=16,
        )  # fmt: skip

    return of


def spec_of(tuned: Tuned, tasks: list[Task], way: str, **changes: object) -> ProjectorSpec:
    """`way` is FROM-TO, such as `t5-roberta`."""
    source, target = way.split("-")
    settings = {"width": 5, "steps": 30, "evaluate_every": 10, **changes}
    return ProjectorSpec(
        sources=tuple(tuned(source, t, s) for t in tasks for s in (0, 1)),
        targets=tuple(tuned(target, t, s) for t in tasks for s in (0, 1)),
        **{"by": "task", **settings},  # type: ignore[arg-type]
    )


WAYS = ("roberta-t5", "t5-roberta", "t5-t5", "roberta-roberta")


@pytest.mark.parametrize("shape", ["whole", "each"])
def test_a_projection_is_what_torchs_modules_compute(
    lab: Lab, tuned: Tuned, tasks: list[Task], shape: str
) -> None:
    spec = spec_of(tuned, tasks, "roberta-t5", shape=shape)
    prompts = [live(p, lab) for p in spec.sources]
    words = lab.backbone(spec.target).word_vectors()
    weights = fresh(spec, prompts, words)
    vectors = 1 if shape == "each" else LENGTH
    net = torch.nn.Sequential(
        torch.nn.Linear(vectors * 16, 5),
        torch.nn.LeakyReLU(0.01),
        torch.nn.Linear(5, vectors * WIDE),
    )
    norm = torch.nn.LayerNorm(WIDE)
    for module, name in ((net[0], "first"), (net[2], "last"), (norm, "norm")):
        module.load_state_dict({n: weights[f"{name}.{n}"] for n in ("weight", "bias")})
    into = prompts[0] / torch.stack(prompts).std()
    expected = norm(net(into if shape == "each" else into.flatten()).reshape(LENGTH, WIDE))
    assert torch.allclose(project(weights, prompts[0], LENGTH), expected, atol=1e-6)
    assert torch.allclose(weights["norm.weight"], words.std())


@pytest.mark.parametrize(
    ("way", "shape"),
    [*((way, "whole") for way in WAYS), *((way, "each") for way in WAYS[:2]),
     ("roberta-bert", "whole"), ("bert-gated", "whole")],
)  # fmt: skip
def test_the_gradient_through_the_target_backbone_is_right(
    lab: Lab, tuned: Tuned, tasks: list[Task], way: str, shape: str
) -> None:
    """The published code cuts the graph for T5 targets: the projector learned nothing there."""
    spec = spec_of(tuned, tasks[:1], way, shape=shape)
    target = replace(spec.target, precision="fp64")
    prompts = [live(p, lab).double() for p in spec.sources]
    words = lab.backbone(target).word_vectors()
    weights = {n: w.double() for n, w in fresh(spec, prompts, words).items()}
    place = Place.of(target, lab)
    batch = place.rows.batch(list(range(8)), place.model.backbone)

    def loss() -> torch.Tensor:
        scores = place.model.scores(batch, project(weights, prompts[0], LENGTH))
        return torch.nn.functional.cross_entropy(scores, batch.labels)  # in double precision

    used = place.model.loss(batch, project(weights, prompts[0], LENGTH))
    assert used.item() == pytest.approx(loss().item(), abs=1e-5)
    for name in ("first.weight", "first.bias", "last.weight", "norm.weight", "norm.bias"):
        weight = weights[name].requires_grad_(True)
        (gradient,) = torch.autograd.grad(loss(), [weight])
        weight.requires_grad_(False)
        flat, place_of = weight.view(-1), int(gradient.abs().argmax())
        value, step = float(flat[place_of]), 1e-5
        ends = []
        for sign in (1, -1):
            flat[place_of] = value + sign * step
            ends.append(float(loss()))
        flat[place_of] = value
        slope = (ends[0] - ends[1]) / (2 * step)
        assert gradient.abs().max() > 1e-9
        assert slope == pytest.approx(float(gradient.view(-1)[place_of]), rel=1e-4)


@pytest.mark.parametrize("way", WAYS[:2])
def test_training_by_task_changes_the_projector_and_no_backbone(
    lab: Lab, tuned: Tuned, tasks: list[Task], way: str
) -> None:
    spec = spec_of(tuned, tasks, way)
    prompts = [live(p, lab) for p in spec.sources]
    backbones = [lab.backbone(p) for p in (spec.sources[0], spec.target)]
    before = [{n: p.clone() for n, p in b.model.state_dict().items()} for b in backbones]
    found: Projector = train(spec, lab, no_progress)
    for backbone, old in zip(backbones, before, strict=True):
        assert all(torch.equal(p, old[n]) for n, p in backbone.model.state_dict().items())
    first = fresh(spec, prompts, backbones[1].word_vectors())
    for name, weight in found.weights.items():
        assert torch.equal(weight, first[name]) == (name == "spread"), name
    rated = {s.step: s.accuracy for s in found.history if s.accuracy is not None}
    assert list(rated) == [10, 20, 30]
    assert found.selection_accuracy == max(rated.values())
    assert found.best_step == max(s for s, a in rated.items() if a == found.selection_accuracy)


def test_training_by_distance_approaches_the_targets_own_prompts(
    lab: Lab, tuned: Tuned, tasks: list[Task]
) -> None:
    spec = spec_of(tuned, tasks, "t5-roberta", by="distance", width=16, steps=300)
    found = train(spec, lab, no_progress)
    goals = torch.stack([live(t, lab) for t in spec.targets])
    own = torch.stack([project(found.weights, live(p, lab), LENGTH) for p in spec.sources])
    assert (own - goals).square().mean() / goals.square().mean() == pytest.approx(
        found.history[-1].loss, abs=0.05
    )
    assert found.history[-1].loss < 0.2 * found.history[0].loss
    assert (found.best_step, found.selection_accuracy) == (300, None)


def test_the_same_question_has_the_same_answer_and_the_seed_counts(
    lab: Lab, tuned: Tuned, tasks: list[Task]
) -> None:
    spec = spec_of(tuned, tasks, "t5-roberta", steps=6, evaluate_every=3)
    one, again, other = (train(s, lab, no_progress) for s in (spec, spec, replace(spec, seed=1)))
    assert one.history == again.history != other.history
    assert all(torch.equal(one.weights[n], again.weights[n]) for n in one.weights)


def test_a_projected_prompt_is_stored_exported_and_evaluated(
    lab: Lab, tuned: Tuned, tasks: list[Task], tmp_path: Path
) -> None:
    spec = spec_of(tuned, tasks[:1], "t5-roberta", steps=4, evaluate_every=2)
    source = tuned("t5", tasks[1], 0)
    prompt = projected(spec, source)
    assert (prompt.backbone, prompt.source_task) == (spec.target.backbone, tasks[1].name)
    asked = EvaluationSpec(prompt=prompt, task=spec.target.task)
    lab.ask(asked)
    vectors = lab.stored(prompt).vectors
    weights = lab.store.read(spec).weights
    assert torch.equal(vectors, project(weights, live(source, lab), LENGTH))
    lab.store.export(tmp_path / "export")
    with open_store(replace(lab.settings, cache=tmp_path / "other")) as store:
        store.merge(tmp_path / "export")
        assert store.known([key(prompt), key(spec), key(asked)]) == {
            key(prompt), key(spec), key(asked),
        }  # fmt: skip
        assert all(torch.equal(weights[n], w) for n, w in store.read(spec).weights.items())
        assert store.read(spec).history == lab.store.read(spec).history


def test_a_projected_prompt_of_another_seed_comes_from_that_source(
    tuned: Tuned, tasks: list[Task]
) -> None:
    spec = spec_of(tuned, tasks, "t5-roberta")
    prompt = projected(spec, tuned("t5", tasks[0], 0)).reseeded(3)
    assert prompt == projected(spec, tuned("t5", tasks[0], 3))


def test_a_dead_row_is_not_projected(lab: Lab, tuned: Tuned, tasks: list[Task]) -> None:
    prompt: Prompt = ImportedPrompt(
        backbone=tuned("roberta", tasks[0], 0).backbone, seed=0, prompt_length=3, sha256="0" * 64,
        task="one", layout="published",
    )  # fmt: skip

    class Bench:
        def stored(self, _: object) -> object:
            return type("Found", (), {"vectors": torch.arange(6.0).reshape(3, 2)})

        has_dead_row = lab.has_dead_row

    assert live(prompt, Bench()).tolist() == [[2, 3], [4, 5]]  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", ["whole", "each"])
def test_a_prompt_of_another_size_is_refused(
    lab: Lab, tuned: Tuned, tasks: list[Task], shape: str
) -> None:
    spec = spec_of(tuned, tasks[:1], "t5-roberta", steps=1, shape=shape)
    longer = replace(tuned("t5", tasks[0], 0), prompt_length=LENGTH + 1)
    with pytest.raises(BadInput, match="A prompt of 5 vectors of width 24 does not fit"):
        lab.ask(projected(spec, longer))
    with pytest.raises(BadInput, match="only between prompts of equal length"):
        replace(spec, shape="each", sources=(longer, longer))


def test_training_by_task_lowers_the_loss(lab: Lab, tuned: Tuned, tasks: list[Task]) -> None:
    spec = spec_of(
        tuned, tasks[:1], "roberta-t5", steps=60, evaluate_every=60, learning_rate=0.02, width=16
    )
    losses = [step.loss for step in train(spec, lab, no_progress).history]
    assert np.mean(losses[-10:]) < np.mean(losses[:10])


def test_several_prompts_are_projected_as_each_of_them(
    lab: Lab, tuned: Tuned, tasks: list[Task]
) -> None:
    spec = spec_of(tuned, tasks, "t5-roberta")
    prompts = [live(p, lab) for p in spec.sources]
    weights = fresh(spec, prompts, lab.backbone(spec.target).word_vectors())
    together = project(weights, torch.stack(prompts), LENGTH)
    for one, prompt in zip(together, prompts, strict=True):
        assert torch.allclose(one, project(weights, prompt, LENGTH), atol=1e-5)
    assert not torch.allclose(together[0], together[1])


def test_a_projected_start_has_not_seen_its_task(tuned: Tuned, tasks: list[Task]) -> None:
    of = [replace(t, category="x") for t in (*tasks, replace(tasks[0], name="three"))]

    def standard(name: str, task: Task) -> list[TuneSpec]:
        return [tuned(name, task, 0)]

    (start,) = projections.projected_starts(standard, "t5", "roberta", of[0], of)
    assert start.source_task == of[0].name
    assert of[0].name not in start.projector.tasks


def test_what_cannot_be_a_projector_is_refused(tuned: Tuned, tasks: list[Task]) -> None:
    spec = spec_of(tuned, tasks, "t5-roberta")
    with pytest.raises(BadInput, match="needs prompts to learn from"):
        replace(spec, targets=spec.targets[1:])
    with pytest.raises(BadInput, match="The prompts to project from are for different backbones"):
        replace(spec, sources=(*spec.sources[:-1], spec.targets[0]))
    with pytest.raises(BadInput, match="The prompts to project to differ in length"):
        replace(spec, targets=(*spec.targets[:-1], replace(spec.targets[0], prompt_length=9)))


def test_random_words_are_where_tuning_starts(lab: Lab, tuned: Tuned, tasks: list[Task]) -> None:
    tuning = tuned("roberta", tasks[0], 2)
    prompt = RandomPrompt(backbone=tuning.backbone, seed=2, prompt_length=LENGTH)
    backbone = lab.backbone(tuning)
    assert torch.equal(lab.prompt(prompt).vectors, initial_vectors(tuning, backbone, tasks[0]))
    assert not torch.equal(lab.prompt(prompt.reseeded(1)).vectors, lab.prompt(prompt).vectors)


def test_figures_are_means_of_the_stored_rows(lab: Lab, tuned: Tuned, tasks: list[Task]) -> None:
    spec = spec_of(tuned, tasks[:1], "t5-roberta", steps=4, evaluate_every=2)
    asked = {
        t.name: projections.questions(
            {"task": spec}, (lab.pin(t, spec.target.backbone.name), "validation"),
            [tuned("t5", t, s) for s in (0, 1)], [tuned("roberta", t, s) for s in (0, 1)],
        )
        for t in tasks
    }  # fmt: skip
    group = {tasks[0].name: figures.LEARNED, tasks[1].name: figures.OTHER}
    assert figures.accuracies(figures.read(lab.store, asked), group).empty
    for kinds in asked.values():
        for specs in kinds.values():
            for one in specs:
                lab.ask(one)
    found = figures.read(lab.store, asked)
    table = figures.accuracies(found, group).set_index(["task", "how"])
    assert len(table) == 2 * 4
    scores = {
        (t, how): np.array([lab.store.read(s).scores for s in specs])
        for t, kinds in asked.items()
        for how, specs in kinds.items()
    }
    for (task, how), right in scores.items():
        row = table.loc[(task, how)]
        assert row.accuracy == pytest.approx(right.mean())
        assert row.relative == pytest.approx(right.mean() / scores[task, "own"].mean())
        assert (row.low, row.high) == pytest.approx(
            (mean_accuracy(right == 1).low, mean_accuracy(right == 1).high)
        )
    gain = figures.gain(found, group, "task").set_index("group")
    other = tasks[1].name
    assert gain.loc[figures.OTHER, "gain"] == pytest.approx(
        scores[other, "task"].mean() - scores[other, "random"].mean()
    )
    assert (gain.loc[figures.OTHER, "tasks"], gain.loc[figures.OTHER, "prompts"]) == (1, 2)
    same = figures.gain(found, group, "task", "task-random").set_index("group")
    assert same.loc[figures.OTHER, "gain"] == pytest.approx(
        scores[other, "task"].mean() - scores[other, "task-random"].mean()
    )


def test_tasks_are_grouped_by_what_was_learned() -> None:
    categories = {"a": "x", "b": "x", "c": "y"}
    assert figures.groups(categories, ["a"]) == {
        "a": figures.LEARNED, "b": figures.SAME, "c": figures.OTHER,
    }  # fmt: skip


def test_the_default_leaves_new_tasks_of_known_and_of_new_categories() -> None:
    from demo.rebuild import tasks as builtin

    clean, _ = builtin()
    learned = {t.name for t in projections.learned_by_default(clean)}
    categories = {t.name: t.category for t in clean}
    assert set(figures.groups(categories, sorted(learned)).values()) == set(figures.GROUPS)
