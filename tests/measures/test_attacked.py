"""Attacks as part of a question: which texts are measured, the worst draw, and what stays clean."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from core.base.errors import BadInput, BadTask
from core.base.progress import no_progress
from core.base.specs import Contrast, key
from core.lab.lab import Lab
from core.measures.attacked import WorstSpec, worst
from core.measures.attribution import AttributionSpec, attributed, each_batch
from core.measures.draws import bootstrap_weights
from core.measures.evaluation import EvaluationSpec, Suppression, suppressed_neurons
from core.measures.predictivity import PredictivitySpec
from core.measures.stability import StabilitySpec, redraw
from core.measures.sweeps import SuppressionChoices, attributions, dose_response, suppression_sweep
from core.tasks import load_task
from core.tasks.attacks import Attack, attacked
from core.tasks.data import load_split
from tests.conftest import write_task
from tests.measures.test_predictivity import question

TYPO = Attack(kind="typo", dose=2)


@pytest.fixture
def asked(lab: Lab, tiny_roberta: Path, toy_task: Path) -> PredictivitySpec:
    return replace(
        question(lab, tiny_roberta, load_task(str(toy_task)), permutations=3), precision="fp64"
    )


def evaluation(asked: PredictivitySpec, **changes: object) -> EvaluationSpec:
    given = {"prompt": asked.prompt, "task": asked.task, "precision": "fp64", **changes}
    return EvaluationSpec(**given)


def test_a_question_without_an_attack_keeps_its_key(asked: PredictivitySpec) -> None:
    assert key(replace(asked, attack=None)) == key(asked) != key(replace(asked, attack=TYPO))


def test_logits_are_those_of_the_attacked_texts(
    lab: Lab, asked: PredictivitySpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = lab.answer(evaluation(asked, attack=TYPO))
    clean = lab.answer(evaluation(asked))
    struck = attacked(load_split(load_task(asked.task.name), "validation"), TYPO)
    monkeypatch.setattr(lab, "examples", lambda *_: struck)
    assert np.allclose(ours.logits, lab.answer(evaluation(asked)).logits, atol=1e-12)
    assert not np.allclose(ours.logits, clean.logits)


def test_the_baseline_is_clean_and_the_counts_are_attacked(
    lab: Lab, asked: PredictivitySpec
) -> None:
    clean, struck = lab.answer(asked), lab.answer(replace(asked, attack=TYPO))
    assert np.array_equal(clean.baseline, struck.baseline)
    assert not np.array_equal(clean.correct, struck.correct)
    assert (clean.n, clean.majority) == (struck.n, struck.majority)


def test_some_rows_under_attack_are_taken_from_all(lab: Lab, asked: PredictivitySpec) -> None:
    whole = evaluation(asked, attack=replace(TYPO, worst_of=3))
    lab.ask(whole)
    some = replace(whole, limit=7)
    lab.ask(some)
    kept, computed = lab.store.read(some), lab.answer(some)
    assert kept.predictions.tolist() == computed.predictions.tolist()


# --- the worst draw ------------------------------------------------------------------------------
def test_the_worst_draw_is_the_least_margin_of_all(lab: Lab, asked: PredictivitySpec) -> None:
    attack = replace(TYPO, worst_of=4)
    search = worst(evaluation(asked, attack=attack))
    assert isinstance(search, WorstSpec)
    found = lab.answer(search)
    examples = load_split(load_task(asked.task.name), "validation")
    margins = []
    for draw in range(4):
        model = lab.model(asked.prompt, load_task(asked.task.name), "fp64")
        rows = model.encode(attacked(examples, attack, [draw] * len(examples)))
        with torch.inference_mode():
            one_by_one = [
                model.margins(rows.batch([i], model.backbone)) for i in range(len(examples))
            ]
        margins.append(torch.cat(one_by_one).numpy())
    least = np.min(margins, axis=0)
    assert found.draws.tolist() == (np.array(margins) <= least + 1e-6).argmax(axis=0).tolist()
    assert np.allclose(found.margin, np.min(margins, axis=0), atol=1e-10)


def test_the_worst_of_more_draws_is_no_more_accurate(lab: Lab, asked: PredictivitySpec) -> None:
    rates = [
        lab.answer(evaluation(asked, attack=replace(TYPO, worst_of=n))).accuracy for n in (1, 3, 8)
    ]
    assert rates == sorted(rates, reverse=True)


def test_one_search_serves_accuracy_predictivity_and_suppression(
    lab: Lab, asked: PredictivitySpec
) -> None:
    attack = replace(TYPO, worst_of=3)
    plain = evaluation(asked, attack=attack)
    how = Suppression(ranking=(asked,), choose="skill", fraction=0.2)
    questions = [plain, replace(asked, attack=attack), replace(plain, suppression=how)]
    for question_ in questions:
        lab.ask(question_)
    (count,) = lab.store.frame("SELECT count(*) AS n FROM worst_draw").n
    assert count == 1


def test_the_search_is_kept_and_read(lab: Lab, asked: PredictivitySpec) -> None:
    search = worst(evaluation(asked, attack=replace(TYPO, worst_of=3)))
    lab.ask(search)
    kept, anew = lab.stored(search), lab.answer(search)
    for name in ("index", "draws", "margin"):
        assert getattr(kept, name).tolist() == getattr(anew, name).tolist()


# --- dose-response -------------------------------------------------------------------------------
def test_a_dose_response_asks_clean_data_once_and_each_dose(asked: PredictivitySpec) -> None:
    sweep = dose_response([asked.prompt], (asked.task, "validation"), (None,), TYPO, [1, 3])
    assert list(sweep.evaluations) == [0, 1, 3]
    assert [specs[0].attack for specs in sweep.evaluations.values()] == [
        None, replace(TYPO, dose=1), replace(TYPO, dose=3)
    ]  # fmt: skip
    assert {kind: list(by_dose) for kind, by_dose in sweep.stability.items()} == {
        "skill": [1, 3], "causal": [1, 3]
    }  # fmt: skip
    assert len(set(sweep.everything)) == len(sweep.everything) == 3 + 2 + 2
    questions = (Contrast(negative=(0,), positive=(1,)), Contrast(negative=(0,), positive=(2,)))
    three = dose_response([asked.prompt], (asked.task, "validation"), questions, TYPO, [1])
    assert list(three.stability) == ["skill"], "causal neurons are compared for two classes"


def test_two_parts_one_of_them_attacked_are_compared(lab: Lab, asked: PredictivitySpec) -> None:
    spec = StabilitySpec(
        clean=(asked,), adversarial=(replace(asked, attack=TYPO),), fractions=(0.25,),
        replicates=2, splits=3, permutations=2,
    )  # fmt: skip
    found = lab.answer(spec)
    for kind in ("control", "control shuffled", "crossed", "crossed shuffled"):
        assert found.kind.count(kind) == 3
    other = replace(asked, split="train")
    apart = lab.answer(replace(spec, adversarial=(other,)))
    assert "crossed" not in apart.kind


def test_without_an_effect_of_the_attack_the_crossed_parts_are_the_control(
    lab: Lab, asked: PredictivitySpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.measures.attacked.attacked", lambda examples, *_: examples)
    spec = StabilitySpec(
        clean=(asked,), adversarial=(replace(asked, attack=TYPO),), fractions=(0.25,),
        replicates=1, splits=4, permutations=1,
    )  # fmt: skip
    found = lab.answer(spec)
    by_kind = {kind: found.shared[[k == kind for k in found.kind]] for kind in set(found.kind)}
    assert np.array_equal(by_kind["crossed"], by_kind["control"])
    assert np.array_equal(by_kind["crossed shuffled"], by_kind["control shuffled"])


# --- do causal neurons stay the same? ------------------------------------------------------------
@pytest.fixture
def causal(asked: PredictivitySpec) -> StabilitySpec:
    clean = AttributionSpec(
        prompt=asked.prompt, task=asked.task, split="validation", precision="fp64"
    )
    return StabilitySpec(
        clean=(clean,), adversarial=(replace(clean, attack=TYPO),), fractions=(0.25,),
        replicates=3, splits=3, permutations=4,
    )  # fmt: skip


def test_an_attack_strikes_the_attributed_texts(
    lab: Lab, causal: StabilitySpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = lab.answer(causal.adversarial[0]).signed
    struck = attacked(load_split(load_task(causal.clean[0].task.name), "validation"), TYPO)
    monkeypatch.setattr(lab, "examples", lambda *_: struck)
    assert np.allclose(ours, lab.answer(causal.clean[0]).signed, atol=1e-12)


def test_shared_causal_neurons_are_those_of_both_attributions(
    lab: Lab, causal: StabilitySpec
) -> None:
    found = lab.answer(causal)
    tops = []
    for spec in (causal.clean[0], causal.adversarial[0]):
        signed = lab.answer(spec).signed
        tops.append([{n for n in np.argsort(-row)[:6] if row[n] > 0} for row in signed])
    measured = found.kind.index("measured")
    assert found.skill[measured, 0].tolist() == [len(a) for a in tops[0]]
    assert found.shared[measured, 0].tolist() == [
        len(a & b) for a, b in zip(*tops, strict=True)
    ]  # fmt: skip


def test_shuffled_labels_are_attributions_to_the_other_answer(
    lab: Lab, causal: StabilitySpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = redraw(causal, 0, lab)
    true = load_split(load_task(causal.clean[0].task.name), "validation")
    keys = np.random.default_rng(6).random((4, len(true)))
    for row, order in enumerate(np.argsort(keys, axis=1), start=1):
        labels = true.labels[order]
        monkeypatch.setattr(lab, "examples", lambda *_, kept=labels: replace(true, labels=kept))
        ours = drawn.by_attack[""].values[row].numpy() / len(true)
        assert np.allclose(ours, lab.answer(causal.adversarial[0]).signed, atol=1e-12)


def test_a_replicate_is_the_attribution_on_the_drawn_rows(lab: Lab, causal: StabilitySpec) -> None:
    drawn = redraw(causal, 0, lab)
    labels = load_split(load_task(causal.clean[0].task.name), "validation").labels
    weights = bootstrap_weights(labels, 3, seed=1)
    assert drawn.clean.n.tolist() == weights.sum(axis=1).tolist()
    rows, values = [], lab.answer(causal.clean[0])
    for batch_rows, added in each_batch(
        causal.clean[0], *attributed(causal.clean[0], lab), no_progress
    ):
        rows += list(zip(batch_rows, added.numpy(), strict=True))
    by_row = np.stack([added for _, added in sorted(rows, key=lambda pair: pair[0])])
    assert np.allclose(by_row.mean(axis=0), values.signed, atol=1e-12)
    for row, weight in enumerate(weights):
        expected = (weight[:, None, None] * by_row).sum(axis=0)
        assert np.allclose(drawn.clean.values[row].numpy(), expected, atol=1e-12)


def test_rankings_of_different_kinds_are_not_compared(lab: Lab, causal: StabilitySpec) -> None:
    predictive = PredictivitySpec(prompt=causal.clean[0].prompt, task=causal.clean[0].task)
    with pytest.raises(BadInput, match="causal neurons only with causal neurons"):
        lab.answer(replace(causal, clean=(predictive,)))


def test_causal_neurons_of_three_classes_are_refused(
    lab: Lab, tiny_roberta: Path, tmp_path: Path
) -> None:
    task = load_task(str(write_task(tmp_path / "three", classes=3)))
    one = question(lab, tiny_roberta, task)
    clean = AttributionSpec(prompt=one.prompt, task=one.task, split="validation")
    with pytest.raises(BadTask, match="has 3 classes"):
        lab.answer(
            StabilitySpec(
                clean=(clean,), adversarial=(replace(clean, attack=TYPO),), fractions=(0.25,)
            )
        )


# --- causal neurons ------------------------------------------------------------------------------
def test_causal_neurons_are_those_of_the_highest_attribution(
    lab: Lab, asked: PredictivitySpec
) -> None:
    causal = attributions([asked.prompt], asked.task, limit=20)
    lab.ask(causal[0])
    signed = lab.stored(causal[0]).signed
    how = Suppression(ranking=causal, choose="causal", fraction=0.25)
    mask = suppressed_neurons(how, lab, signed.shape)
    assert (mask.sum(axis=1) == 6).all()
    for row, chosen in zip(signed, mask, strict=True):
        assert row[chosen].min() >= row[~chosen].max()


def test_a_curve_has_causal_points_that_rest_on_attributions(asked: PredictivitySpec) -> None:
    causal = attributions([asked.prompt], asked.task)
    choices = SuppressionChoices(
        fractions=(0.0, 0.1), kinds_of_neuron=("skill", "causal", "random")
    )
    specs = suppression_sweep([asked.prompt], (asked,), asked.task, "validation", choices, causal)
    rankings = {s.suppression.choose: s.suppression.ranking for s in specs if s.suppression}
    assert rankings == {"skill": (asked,), "causal": causal, "random": ()}


def test_a_ranking_of_the_wrong_kind_is_refused(asked: PredictivitySpec) -> None:
    causal = attributions([asked.prompt], asked.task)
    for choose, ranking in (("causal", (asked,)), ("skill", causal)):
        with pytest.raises(BadInput, match="cannot be chosen"):
            Suppression(ranking=ranking, choose=choose, fraction=0.1)
    with pytest.raises(BadInput, match="not their mean"):
        Suppression(ranking=causal, choose="causal", fraction=0.1, kind="mean")
