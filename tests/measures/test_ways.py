"""Ways to tune: what each trains, that the shared backbone stays as it is, and the numbers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from peft import PrefixTuningConfig, get_peft_model

from core.backbones import load_backbone
from core.backbones.base import Backbone
from core.backbones.trained import WAYS, Trainable, Way, trainable
from core.base.errors import BadInput, BadTask
from core.base.specs import key
from core.figures import ways as figures
from core.lab.lab import Lab, open_store
from core.measures import alternatives, sweeps
from core.measures.evaluation import EvaluationSpec, Suppression
from core.measures.tuning import TuneSpec
from core.measures.ways import Tuned, WaySpec
from core.stats.intervals import crossed, mean_accuracy
from core.tasks import Task, load_task, pin_task
from tests.conftest import TINY, random_vectors, write_task, write_text_task

pytestmark = pytest.mark.slow
LENGTH, RANK = 3, 2


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    return load_task(str(write_task(tmp_path_factory.mktemp("ways"))))


@pytest.fixture
def tuning(lab: Lab, task: Task, tiny_folder: Path) -> TuneSpec:
    family = lab.models.family(str(tiny_folder))
    return TuneSpec(
        backbone=lab.models.pin(str(tiny_folder)), task=pin_task(task, family), seed=1,
        prompt_length=LENGTH, steps=4, selection=20, evaluate_every=2, learning_rate=0.02,
        batch_size=16, precision="fp64",
    )  # fmt: skip


def batch(backbone: Backbone, n: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.tensor([backbone.encode("the film was good")] * n)
    return ids, torch.ones_like(ids, dtype=torch.bool)


def open_way(backbone: Backbone, way: Way) -> "trainable":
    return trainable(
        backbone, way, vectors=random_vectors(backbone, LENGTH), rank=RANK, seed=0,
        example=batch(backbone, 1),
    )  # fmt: skip


def trained_by_hand(found: Trainable, way: Way) -> int:
    """Sizes of what is trained, from the settings of the model."""
    b = found.backbone
    hidden, linears = b.hidden_size, [m for s in b.stacks for m in b.down_projections(s)]
    if way == "prompt":
        return LENGTH * hidden
    if way == "prefix":
        return LENGTH * hidden * b.layers
    if way == "adapter":
        return len(linears) * (2 * hidden * RANK + RANK + hidden)
    if way == "full":
        return b.parameters()
    if way == "bias":
        named = dict(b.model.named_parameters())
        mine = [n for n in named if n.endswith(".bias")] or [n for n in named if "norm" in n]
        return sum(named[n].numel() for n in mine)
    projections = [
        m for n, m in b.model.named_modules()
        if n.split(".")[-1] in b.attention and hasattr(m, "lora_A")
    ]  # fmt: skip
    assert projections
    return sum(RANK * (m.in_features + m.out_features) for m in projections)


@pytest.mark.parametrize("way", WAYS)
def test_each_way_trains_what_it_says_and_starts_from_the_backbone(
    tiny_folder: Path, way: Way
) -> None:
    backbone = load_backbone(tiny_folder)
    ids = batch(backbone, 1)
    with open_way(backbone, way) as found:
        assert found.count == trained_by_hand(found, way)
        assert all(p.requires_grad for p in found.learned)
        assert len(found.vectors) == (LENGTH if way in ("prompt", "prefix") else 0)
        with torch.no_grad():
            here = found.backbone.answer_state(found.vectors, *ids)
            plain = backbone.answer_state(found.vectors.detach(), *ids)
        assert torch.allclose(here, plain, atol=1e-5)
        if way not in ("prompt", "prefix"):
            rest = [p for n, p in found.backbone.model.named_parameters() if not p.requires_grad]
            assert (len(rest) == 0) == (way == "full")


@pytest.mark.parametrize("way", WAYS)
def test_every_trained_weight_gets_a_gradient_and_the_shared_backbone_none(
    lab: Lab, tuning: TuneSpec, task: Task, way: Way
) -> None:
    backbone = lab.backbone(tuning)
    with open_way(backbone, way) as found:
        state = found.backbone.answer_state(found.vectors, *batch(found.backbone))
        state.square().sum().backward()
        reached = [p.grad is not None and bool(p.grad.abs().sum() > 0) for p in found.learned]
    # An adapter's first layer and LoRA's first factor move only once the second is not zero; biases
    # of keys and of what is not used have no effect.
    assert any(reached)
    if way in ("prompt", "prefix"):
        assert all(reached)
    assert not any(p.requires_grad for p in backbone.model.parameters())


@pytest.mark.parametrize("way", WAYS)
def test_the_shared_backbone_and_its_hooks_are_as_before(
    lab: Lab, tuning: TuneSpec, way: Way
) -> None:
    backbone = lab.backbone(tuning)
    before = {n: p.clone() for n, p in backbone.model.state_dict().items()}
    found: Tuned = lab.answer(WaySpec(way=way, tuning=tuning, rank=RANK))
    assert {
        n: torch.equal(p, before[n]) for n, p in backbone.model.state_dict().items()
    } == dict.fromkeys(before, True)
    for module in backbone.model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
    assert len(found.history) == 4
    assert found.right.shape == (31,)
    assert found.without.shape == (0, 31)


def test_adapters_add_what_their_modules_compute(tiny_folder: Path) -> None:
    backbone = load_backbone(tiny_folder)
    with open_way(backbone, "adapter") as found:
        linear, module = found.backbone.down_projections()[0], found.added[0]
        for p in module.parameters():
            torch.nn.init.normal_(p)
        x = torch.randn(2, 5, linear.in_features)
        plain = torch.nn.functional.linear(x, linear.weight, linear.bias)
        first, last = module[0], module[2]
        expected = plain + (plain @ first.weight.T + first.bias).relu() @ last.weight.T + last.bias
        assert torch.allclose(linear(x), expected, atol=1e-4)


def test_a_prefix_is_what_each_further_layer_sees(tiny_folder: Path) -> None:
    backbone = load_backbone(tiny_folder)
    with open_way(backbone, "prefix") as found:
        seen = []
        handle = found.backbone.blocks()[1].register_forward_pre_hook(
            lambda _, inputs: seen.append(inputs[0].clone())
        )
        with torch.no_grad():
            found.learned[1].fill_(7.0)
            found.backbone.answer_state(found.vectors, *batch(found.backbone))
        handle.remove()
        end = found.backbone.prefix_length(LENGTH)
        assert (seen[0][:, end - LENGTH : end] == 7).all()
        assert not (seen[0][:, end:] == 7).all(dim=-1).any()


def test_the_prompts_way_is_prompt_tuning(lab: Lab, tuning: TuneSpec) -> None:
    """Another path through the code must give the same answers, with neurons suppressed, too."""
    ranking = sweeps.predictivities([(tuning, tuning.task, "validation")], permutations=0)
    how = (
        Suppression(ranking=ranking, choose="skill", fraction=0.2),
        Suppression(ranking=(), choose="random", fraction=0.5, seed=1),
    )
    found: Tuned = lab.answer(WaySpec(way="prompt", tuning=tuning, suppressions=how))
    lab.ask(tuning)
    assert found.selection_accuracy == lab.stored(tuning).selection_accuracy
    for right, suppression in zip((found.right, *found.without), (None, *how), strict=True):
        spec = EvaluationSpec(prompt=tuning, task=tuning.task, suppression=suppression)
        assert right.tolist() == (lab.answer(spec).scores == 1).tolist()


def test_a_task_that_can_be_learnt_is_learnt_by_full_tuning(lab: Lab, tuning: TuneSpec) -> None:
    spec = WaySpec(way="full", tuning=replace(tuning, steps=30, evaluate_every=30))
    losses = [s.loss for s in lab.answer(spec).history]
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])


def test_a_run_is_stored_exported_and_read_as_it_was(
    lab: Lab, tuning: TuneSpec, tmp_path: Path
) -> None:
    how = tuple(
        Suppression(ranking=(), choose="random", fraction=0.3, seed=draw) for draw in (0, 1)
    )
    spec = WaySpec(way="bias", tuning=tuning, suppressions=how)
    full: Tuned = lab.recompute(spec)
    lab.store.export(tmp_path / "export")
    with open_store(replace(lab.settings, cache=tmp_path / "other")) as store:
        store.merge(tmp_path / "export")
        found = store.read(spec)
    assert found.right.tolist() == full.right.tolist()
    assert found.without.tolist() == full.without.tolist()
    names = "majority trained weights seconds best_step selection_accuracy history".split()  # noqa: SIM905
    assert [getattr(found, n) for n in names] == [getattr(full, n) for n in names]


def test_figures_are_means_of_the_stored_answers(lab: Lab, tuning: TuneSpec) -> None:
    how = tuple(
        Suppression(ranking=(), choose="random", fraction=0.3, seed=draw) for draw in (0, 1)
    )
    specs = [
        WaySpec(way=way, tuning=replace(tuning, seed=seed), suppressions=how)
        for way in ("bias", "lora")
        for seed in (0, 1)
    ]  # fmt: skip
    assert figures.compared(lab.store, specs).empty
    assert figures.without(lab.store, specs).empty
    answers = [lab.recompute(s) for s in specs]
    table = figures.compared(lab.store, specs).set_index("way")
    lost = figures.without(lab.store, specs).set_index("way")
    for i, way in enumerate(("bias", "lora")):
        mine = answers[2 * i : 2 * i + 2]
        right = np.array([a.right for a in mine])
        assert table.accuracy[way] == right.mean()
        assert (table.low[way], table.high[way]) == (
            mean_accuracy(right).low, mean_accuracy(right).high,
        )  # fmt: skip
        assert table.seconds[way] == pytest.approx(np.mean([a.seconds for a in mine]))
        assert table.share[way] == mine[0].trained / mine[0].weights
        drops = right[:, None] * 1.0 - np.array([a.without for a in mine])
        assert lost["drop"][way] == pytest.approx(drops.mean())
        assert (lost.low[way], lost.high[way]) == pytest.approx(
            (crossed(drops).low, crossed(drops).high)
        )
        assert (lost.draws[way], lost.seeds[way]) == (2, 2)
        assert np.isnan(lost.excess[way])
    (found,) = figures.against(lab.store, specs, "bias", "lora").itertuples()
    pair = crossed(np.array([answers[i].right - 1.0 * answers[2 + i].right for i in (0, 1)]))
    assert (found.difference, found.low, found.high) == pytest.approx(
        (pair.value, pair.low, pair.high), nan_ok=True
    )
    assert figures.against(lab.store, specs[:3], "bias", "lora").empty, "one seed in common"
    assert found.share == answers[0].trained / answers[0].weights
    assert figures.against(lab.store, specs[:2], "bias", "lora").empty


def test_a_sentence_says_whether_prompts_and_full_tuning_differ() -> None:
    row = {"backbone": "x", "first": 0.9, "second": 0.91, "difference": -0.01, "low": -0.03,
           "high": 0.01, "share": 0.0005}  # fmt: skip
    same, less = pd.DataFrame([row]), pd.DataFrame([row, {**row, "backbone": "y", "high": -0.002}])
    assert figures.as_good(same, "A*") == (
        r"**A\*: no clear difference in accuracy between prompt tuning and full fine-tuning.** "
        "On x, prompt tuning reaches **0.90** by training 0.05% of the parameters, full "
        "fine-tuning **0.91** (difference −1.0 points, 95% interval −3.0 to +1.0)."
    )
    assert figures.as_good(less, "A*").startswith(
        r"**A\*: full fine-tuning is more accurate than prompt tuning on y; the evidence is "
        "unclear on x.**"
    )
    assert figures.as_good(same.iloc[:0], "A*") == ""


def test_the_excess_over_random_neurons_is_paired(lab: Lab, tuning: TuneSpec) -> None:
    ranking = sweeps.attributions([tuning], tuning.task)
    how = (
        Suppression(ranking=ranking, choose="causal", fraction=0.3),
        *(Suppression(ranking=(), choose="random", fraction=0.3, seed=d) for d in (0, 1)),
    )
    specs = [
        WaySpec(way="lora", tuning=replace(tuning, seed=seed), suppressions=how) for seed in (0, 1)
    ]
    drops = []
    for spec in specs:
        found = lab.recompute(spec)
        lost = found.right * 1.0 - found.without
        drops.append(lost[0] - lost[1:].mean(axis=0))
    expected = crossed(np.array(drops))
    row = figures.without(lab.store, specs).set_index("choose").loc["causal"]
    assert (row.excess, row.excess_low, row.excess_high) == pytest.approx(
        (expected.value, expected.low, expected.high)
    )


def test_every_way_has_a_rate_for_every_family_and_is_asked_alike(
    lab: Lab, tuning: TuneSpec
) -> None:
    family = lab.models.family(tuning.backbone.name)
    for rates in (alternatives.EMBEDDED_RATES, alternatives.PAPER_RATES):
        assert all(set(of) == set(WAYS) - {"prompt"} for of in rates.values())
    specs = alternatives.ways([tuning, replace(tuning, seed=2)], family, (), ())
    assert [s.way for s in specs] == [w for w in WAYS for _ in (0, 1)]
    assert {s.tuning.learning_rate for s in specs if s.way == "prompt"} == {0.02}
    assert [h.choose for h in specs[0].suppressions] == ["causal", "skill", *["random"] * 3]
    assert len({key(s) for s in specs}) == len(specs)


def test_written_answers_and_bad_settings_are_refused(
    lab: Lab, tuning: TuneSpec, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="rank is 0"):
        WaySpec(way="lora", tuning=tuning, rank=0)
    coarse = replace(tuning, precision="bf16")
    with pytest.raises(BadInput, match="not trained in bf16"):
        WaySpec(way="full", tuning=coarse)
    family = lab.models.family(tuning.backbone.name)
    assert {s.tuning.precision for s in alternatives.ways([coarse], family, (), ())} == {"fp32"}
    echo = load_task(str(write_text_task(tmp_path)))
    spec = WaySpec(way="full", tuning=replace(tuning, task=pin_task(echo, family)))
    with pytest.raises(BadTask, match="comparing ways to tune"):
        lab.answer(spec)


# --- why prefix tuning is not peft's --------------------------------------------------------------
@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
def test_peft_has_prefix_tuning_for_t5s_decoder_only() -> None:
    """A soft prompt is in the encoder, where its neurons are ranked."""
    model = TINY["t5"]().model.eval()
    ids = torch.arange(5, 12)[None]
    asked = {"input_ids": ids, "decoder_input_ids": torch.zeros(1, 1, dtype=torch.long)}
    with torch.no_grad():
        before = model(**asked)
        config = PrefixTuningConfig(task_type="SEQ_2_SEQ_LM", num_virtual_tokens=4)
        after = get_peft_model(model, config).eval()(**asked, attention_mask=torch.ones_like(ids))
    assert torch.equal(before.encoder_last_hidden_state, after.encoder_last_hidden_state)
    assert not torch.allclose(before.logits, after.logits)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
def test_pefts_prefix_moves_the_positions_of_robertas_text() -> None:
    model = TINY["roberta"]().model.eval()
    places = list[list[int]]()
    model.roberta.embeddings.position_embeddings.register_forward_hook(
        lambda _, given, __: places.append(given[0][0].tolist())
    )
    asked = {"input_ids": torch.arange(5, 12)[None]}
    config = PrefixTuningConfig(task_type="FEATURE_EXTRACTION", num_virtual_tokens=4)
    with torch.no_grad():
        model(**asked)
        prefixed = get_peft_model(model, config).eval()
        prefixed(**asked, attention_mask=torch.ones(1, 7, dtype=torch.long))
    before, after = places
    assert [place - 4 for place in after] == before
