"""A typed text: probabilities, votes and attacks."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from core.backbones.hooks import Intervention
from core.backbones.prompted import PromptedModel
from core.base.errors import BadInput
from core.figures import playground
from core.figures.robustness import flips
from core.lab import playground as live
from core.lab.lab import Lab
from core.measures.activations import ActivationSpec
from core.measures.evaluation import EvaluationSpec, Suppression
from core.measures.predictivity import PredictivitySpec
from core.measures.reading import Alone, read
from core.measures.sweeps import attributions
from core.tasks import load_task
from core.tasks.attacks import Attack, attacked
from core.tasks.data import Examples, load_split
from tests.conftest import lab_in
from tests.measures.test_predictivity import question

pytestmark = pytest.mark.slow

TEXT = "The meal was good, and I think the staff were friendly."


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One for all tests, which only read in it."""
    with lab_in(tmp_path_factory.mktemp("playground")) as lab:
        yield lab


@pytest.fixture(scope="module")
def ranked(lab: Lab, tiny_folder: Path, toy_task: Path) -> tuple[PredictivitySpec, ...]:
    first = question(lab, tiny_folder, load_task(str(toy_task)), permutations=2)
    specs = [replace(first, prompt=replace(first.prompt, seed=seed)) for seed in (1, 2)]
    for spec in specs:
        lab.ask(spec)
    return tuple(specs)


def test_a_reading_is_what_evaluation_says_of_the_same_text(
    lab: Lab, ranked: tuple[PredictivitySpec, ...], toy_task: Path
) -> None:
    spec = ranked[0]
    how = Suppression(ranking=ranked, choose="skill", fraction=0.25)
    plain = lab.answer(EvaluationSpec(prompt=spec.prompt, task=spec.task))
    without = lab.answer(EvaluationSpec(prompt=spec.prompt, task=spec.task, suppression=how))
    examples = load_split(load_task(str(toy_task)), "validation")
    for i in (0, 5):
        answer = live.play(lab, ranked, (examples.text_a[i], None), share=0.25, draws=2)
        rows = answer.reading.probabilities
        for row, scores in ((rows[0], plain.logits), (rows[1], without.logits)):
            assert scores is not None
            expected = torch.from_numpy(scores[i]).softmax(dim=0).numpy()
            assert row == pytest.approx(expected, abs=1e-9)
        assert rows.shape == (4, 2)
        assert rows.sum(axis=1) == pytest.approx(1)


def test_votes_come_from_the_activation_the_baseline_and_the_direction(
    lab: Lab, ranked: tuple[PredictivitySpec, ...], toy_task: Path
) -> None:
    cached = lab.answer(ActivationSpec(ranking=ranked[0], limit=500))
    examples = load_split(load_task(str(toy_task)), "validation")
    answer = live.play(lab, ranked, (examples.text_a[3], None), share=0, draws=3)
    table = playground.votes(answer, playground.ranking(lab.store, ranked), ["no", "yes"], "tiny")
    known = lab.stored(ranked[0])
    assert len(table) == known.predictivity.shape[0] * 1, "5% of 24 neurons is one a layer"
    for row in table.to_dict("records"):
        here = (row["layer"], row["neuron"])
        assert row["activation"] == pytest.approx(cached.values[3][here].item(), abs=1e-6)
        assert row["baseline"] == pytest.approx(known.baseline[here].item(), abs=1e-6)
        mean = np.mean([lab.stored(s).predictivity[here].item() for s in ranked])
        assert row["predictivity"] == pytest.approx(mean, abs=1e-6)
        fires, right = row["above"] > 0, known.accuracy[here] >= 0.5
        assert row["vote"] == ("yes" if fires == right else "no")


def test_without_suppression_there_is_one_state(
    lab: Lab, ranked: tuple[PredictivitySpec, ...]
) -> None:
    table = playground.probabilities(
        live.play(lab, ranked, (TEXT, None), share=0, draws=3), ["a", "b"]
    )
    assert table.how.unique().tolist() == ["unmodified"]
    more = playground.probabilities(
        live.play(lab, ranked, (TEXT, None), share=0.1, draws=3), ["a", "b"]
    )
    assert more.how.nunique() == 3
    random_rows = more[more.how == "random neurons suppressed"]
    assert (random_rows.low < random_rows.high).all(), "the draws differ"
    assert (random_rows.low <= random_rows.probability).all()
    assert np.isclose(random_rows.probability.sum(), 1)


@pytest.mark.parametrize("text", ["", "  \n "])
def test_nothing_to_read_is_one_sentence(
    lab: Lab, ranked: tuple[PredictivitySpec, ...], text: str
) -> None:
    with pytest.raises(BadInput, match="nothing to read"):
        live.play(lab, ranked, (text, None), share=0, draws=1)


def test_special_tokens_in_a_text_are_plain_characters(
    lab: Lab, ranked: tuple[PredictivitySpec, ...]
) -> None:
    slots = live.layout(lab, ranked[0], ("the </s> film <mask> was", None))
    kinds = [s["kind"] for s in slots]
    assert kinds.count("mask") <= 1
    assert kinds.count("text_a") > 4


def test_the_loudest_are_the_furthest_from_their_baseline(
    lab: Lab, ranked: tuple[PredictivitySpec, ...]
) -> None:
    answer = live.play(lab, ranked, (TEXT, None), share=0, draws=1)
    table = playground.votes(answer, playground.ranking(lab.store, ranked), ["a", "b"], "tiny")
    loud = playground.loudest(table).above.abs().tolist()
    assert loud == sorted(loud, reverse=True)


def test_a_backbone_on_loan_is_loaded_once(lab: Lab, tiny_folder: Path) -> None:
    with lab.models.borrowed(str(tiny_folder)) as first:
        pass
    with lab.models.borrowed(str(tiny_folder)) as second:
        assert second is first


def test_a_share_of_causal_neurons_is_what_evaluation_suppresses(
    lab: Lab, ranked: tuple[PredictivitySpec, ...], toy_task: Path
) -> None:
    causal = attributions([s.prompt for s in ranked], ranked[0].task, limit=20)
    for spec in causal:
        lab.ask(spec)
    how = Suppression(ranking=causal, choose="causal", fraction=0.25)
    without = lab.answer(
        EvaluationSpec(prompt=ranked[0].prompt, task=ranked[0].task, suppression=how)
    )
    text = load_split(load_task(str(toy_task)), "validation").text_a[2]
    answer = live.play(lab, ranked, (text, None), share=0.25, draws=1, causal=causal)
    assert without.logits is not None
    expected = torch.from_numpy(without.logits[2]).softmax(dim=0).numpy()
    assert answer.reading.probabilities[1] == pytest.approx(expected, abs=1e-9)
    table = playground.probabilities(answer, ["no", "yes"], "causal")
    assert "causal neurons suppressed" in set(table.how)


def test_single_neurons_are_suppressed_one_at_a_time(
    lab: Lab, ranked: tuple[PredictivitySpec, ...], toy_task: Path
) -> None:
    found = lab.alone(ranked[0], (TEXT, None), 10)
    assert (np.diff(found.attributed) <= 0).all()
    backbone = lab.models.load(ranked[0].prompt.backbone.name, "fp64")
    model = PromptedModel(backbone, lab.prompt(ranked[0].prompt), load_task(str(toy_task)))
    for place in (0, 4, 9):
        mask = torch.zeros(model.layers, model.width, dtype=torch.bool)
        mask[found.layer[place], found.neuron[place]] = True
        alone = read(model, (TEXT, None), lab.stored(ranked[0]).best_token,
                     [None, Intervention(mask=mask)])  # fmt: skip
        assert found.probabilities[place] == pytest.approx(alone.probabilities[1], abs=1e-9)
        assert found.unmodified == pytest.approx(alone.probabilities[0], abs=1e-9)


def test_neurons_that_flip_the_answer_come_first() -> None:
    found = Alone(
        layer=np.array([0, 0, 1]), neuron=np.array([3, 4, 5]), attributed=np.array([2.0, 1.0, 0.5]),
        probabilities=np.array([[0.3, 0.7], [0.6, 0.4], [0.1, 0.9]]),
        unmodified=np.array([0.2, 0.8]),
    )  # fmt: skip
    table = playground.alone(found, ["no", "yes"], "tiny")
    assert table[["layer", "neuron"]].values.tolist() == [[0, 4], [0, 3], [1, 5]]
    assert table.flips.tolist() == [True, False, False]
    assert table.answer.tolist() == ["no", "yes", "yes"]
    assert table.lowered.tolist() == pytest.approx([0.4, 0.1, -0.1])


# --- the same text twice -------------------------------------------------------------------------
def test_a_neuron_along_a_text_is_what_the_modules_compute(
    lab: Lab, ranked: tuple[PredictivitySpec, ...], toy_task: Path
) -> None:
    spec = ranked[0]
    values = np.stack([lab.along(spec, (TEXT, None), 1, n) for n in range(4)])
    slots = live.layout(lab, spec, (TEXT, None))
    assert values.shape == (4, len(slots))
    play = live.play(lab, ranked, (TEXT, None), share=0, draws=0)
    best = lab.stored(spec).best_token
    for n in range(4):
        assert values[n, best[1, n]] == pytest.approx(play.reading.activations[1, n], abs=1e-9)
    seen = []
    with lab._borrowed(spec) as model:
        batch = model.encode(Examples.of_text(TEXT)).batch([0], model.backbone)
        handle = model.down_projections()[1].register_forward_pre_hook(
            lambda _, inputs: seen.append(inputs[0][0, :, :4].T.clone())
        )
        with torch.inference_mode():
            model.state(batch)
        handle.remove()
    assert values == pytest.approx(seen[0].double().numpy(), abs=1e-9)


def test_moved_neurons_come_first_and_turn_where_their_vote_changes(
    lab: Lab, ranked: tuple[PredictivitySpec, ...]
) -> None:
    labels, ranking = ("no", "yes"), playground.ranking(lab.store, ranked)
    texts = (TEXT, "A dull room with a broken lamp.")
    one, other = (live.play(lab, ranked, (t, None), share=0, draws=0) for t in texts)
    table = flips.moved(one, other, ranking, labels, "tiny")
    votes = [playground.votes(p, ranking, labels, "tiny").set_index("name") for p in (one, other)]
    assert set(table.name) == set(votes[0].index)
    assert table.moved.abs().is_monotonic_decreasing
    for row in table.itertuples():
        before, after = (v.loc[row.name] for v in votes)
        assert row.moved == pytest.approx(after.activation - before.activation)
        assert row.turned == (before.vote != after.vote)


def test_states_and_counts_of_flips_are_those_of_the_answers(
    lab: Lab, ranked: tuple[PredictivitySpec, ...], toy_task: Path
) -> None:
    task = load_task(str(toy_task))
    how = Attack(kind="typo", dose=2)
    clean = load_split(task, "validation")
    struck, asked, right = attacked(clean, how), {}, {}
    for name, spec in zip(("a", "b"), ranked, strict=True):
        place = {"prompt": spec.prompt, "task": spec.task}
        both = EvaluationSpec(**place), EvaluationSpec(**place, attack=how)
        asked[name] = flips.Pair(clean=both[0], attacked=both[1])
        assert flips.examples(lab.store, asked, clean, struck, task.labels).empty
        right[name] = [lab.answer(one).scores == 1 for one in both]
        for one in both:
            lab.ask(one)
    table = flips.examples(lab.store, asked, clean, struck, task.labels)
    assert table.attacked_a.tolist() == list(struck.text_a)
    for name, (before, after) in right.items():
        assert (table[name] == flips.HOLDS).tolist() == (before & after).tolist()
        assert (table[name] == flips.FLIPS).tolist() == (before & ~after).tolist()
        assert (table[name] == flips.MENDED).tolist() == (~before & after).tolist()
        assert ((table[f"{name} clean"] == table.label) == before).all()
    states = flips.states(table, ["a", "b"])
    assert states.groupby("backbone").examples.sum().tolist() == [len(clean)] * 2
    assert states.groupby("backbone").share.sum().tolist() == pytest.approx([1, 1])
    found = flips.compared(table, "a", "b")
    sound = right["a"][0] & right["b"][0]
    assert found["n"] == sound.sum()
    assert found["first"] == (sound & ~right["a"][1] & right["b"][1]).sum()
    assert found["both"] == (sound & ~right["a"][1] & ~right["b"][1]).sum()
