"""Tasks whose answers are written: the frame, with one tiny task and metric."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from core.backbones import FAMILIES, load_backbone
from core.backbones.prompted import PromptedModel
from core.base.errors import BadInput, BadTask
from core.base.measure import Run
from core.base.specs import Pinned
from core.figures import queries
from core.figures import written as figures
from core.lab.lab import Lab
from core.measures import sweeps
from core.measures.evaluation import (
    Evaluation,
    EvaluationSpec,
    Suppression,
    suppressed_neurons,
)
from core.measures.predictivity import PredictivitySpec
from core.measures.prompts import ImportedPrompt
from core.measures.tuning import TuneSpec
from core.stats.intervals import wilson
from core.tasks import Task, Text, load_task, pin_task
from core.tasks.data import load_split
from core.tasks.metrics import exact_match
from tests.conftest import TINY, save_backbone, write_text_task


@pytest.fixture
def t5(tmp_path: Path) -> Path:
    backbone = TINY["t5"]()
    with torch.no_grad():  # so that it does not end at once
        for token in ("<pad>", "</s>"):
            backbone.word_vectors()[backbone.tokenizer.convert_tokens_to_ids(token)] = 0
            backbone.model.lm_head.weight[backbone.tokenizer.convert_tokens_to_ids(token)] = 0
    save_backbone(backbone, tmp_path / "t5")
    return tmp_path / "t5"


@pytest.fixture
def echo(tmp_path: Path) -> Task:
    return load_task(str(write_text_task(tmp_path)))


def tuned(lab: Lab, folder: Path, task: Task, family: str = "t5") -> TuneSpec:
    return TuneSpec(
        backbone=lab.models.pin(str(folder)), task=pin_task(task, family), seed=0, prompt_length=3,
        steps=4, selection=10, evaluate_every=2, learning_rate=0.1,
    )  # fmt: skip


def test_a_written_task_has_no_classes_and_its_targets_are_texts(echo: Task) -> None:
    assert echo.answer == Text(max_new_tokens=3, metric="exact_match")
    assert (echo.labels, echo.words("t5")) == ((), ())
    with pytest.raises(BadTask, match="Echo has written answers; predictivity needs a task with"):
        echo.contrasts()
    examples = load_split(echo, "validation")
    assert examples.targets is not None
    assert [(t.split()[0].strip("."),) for t in examples.text_a] == list(examples.targets)


def test_an_evaluation_is_a_score_per_example_with_its_metric(
    lab: Lab, t5: Path, echo: Task
) -> None:
    prompt = tuned(lab, t5, echo)
    spec = EvaluationSpec(prompt=prompt, task=prompt.task)
    full = lab.answer(spec)
    lab.ask(spec)
    stored = lab.store.read(spec)
    examples = load_split(echo, "validation")
    assert examples.targets is not None
    expected = [exact_match(w, t) for w, t in zip(full.written, examples.targets, strict=True)]
    assert stored.metric == "exact_match"
    assert stored.written == full.written
    assert stored.scores.tolist() == full.scores.tolist() == expected
    assert (stored.labels, stored.predictions) == (None, None)
    assert np.isnan(stored.majority)
    row = queries.evaluations(lab.store, [spec]).iloc[0]
    assert (row.n, row.accuracy) == (9, pytest.approx(np.mean(expected)))
    some = lab.store.read(EvaluationSpec(prompt=prompt, task=prompt.task, limit=4))
    assert some is None


def test_what_is_written_is_what_the_plain_model_generates(lab: Lab, t5: Path, echo: Task) -> None:
    prompt = tuned(lab, t5, echo)
    ours = lab.answer(EvaluationSpec(prompt=prompt, task=prompt.task))
    backbone = load_backbone(t5)
    vectors = lab.prompt(prompt).vectors
    for i, text in enumerate(load_split(echo, "validation").text_a):
        ids = torch.tensor([backbone.encode(text)])
        embedded = torch.cat([vectors[None], backbone.word_vectors()[ids]], dim=1)
        with torch.inference_mode():
            out = backbone.model.generate(
                inputs_embeds=embedded, attention_mask=torch.ones(embedded.shape[:2]).long(),
                max_new_tokens=3, do_sample=False,
            )  # fmt: skip
        expected = backbone.tokenizer.decode(out[0], skip_special_tokens=True).strip()
        assert ours.written[i] == expected != ""


def test_an_answer_ends_before_the_text_that_stops_it(
    lab: Lab, t5: Path, echo: Task, tmp_path: Path
) -> None:
    """Which changes the question: a stored answer to the other one is not taken."""
    prompt = tuned(lab, t5, echo)
    whole = lab.answer(EvaluationSpec(prompt=prompt, task=prompt.task))
    stop = next(text[1] for text in whole.written if len(text) > 1)
    lines = echo.file.read_text().replace("= 3\n", f"= 3\nstop = {json.dumps(stop)}\n")
    (echo.file.parent / "stopped.toml").write_text(lines)
    stopped = load_task(str(echo.file.parent / "stopped.toml"))
    assert stopped.answer == Text(max_new_tokens=3, metric="exact_match", stop=stop)
    task = pin_task(stopped, "t5")
    assert task.fingerprint != prompt.task.fingerprint
    found = lab.answer(EvaluationSpec(prompt=prompt, task=task))
    assert list(found.written) == [text.split(stop)[0].strip() for text in whole.written]
    assert found.written != whole.written


def test_tuning_lowers_the_loss_of_the_texts(lab: Lab, t5: Path, echo: Task) -> None:
    prompt = lab.prompt(tuned(lab, t5, echo))
    losses = [step.loss for step in prompt.history]
    assert losses[-1] < losses[0]
    assert prompt.words == ()


def test_suppressing_everything_changes_what_is_written(lab: Lab, t5: Path, echo: Task) -> None:
    prompt = tuned(lab, t5, echo)
    plain = EvaluationSpec(prompt=prompt, task=prompt.task)
    how = Suppression(ranking=(), choose="random", fraction=1.0)
    off = EvaluationSpec(prompt=prompt, task=prompt.task, suppression=how)
    assert lab.answer(off).written != lab.answer(plain).written


def test_the_decoders_neurons_are_suppressed_at_every_step(lab: Lab, t5: Path, echo: Task) -> None:
    prompt = tuned(lab, t5, echo)
    how = Suppression(ranking=(), choose="random", fraction=0.5, stack="decoder", seed=2)
    ours = lab.answer(EvaluationSpec(prompt=prompt, task=prompt.task, suppression=how))
    model = PromptedModel(load_backbone(t5), lab.prompt(prompt), echo)
    mask = torch.from_numpy(suppressed_neurons(how, lab, model.shape("decoder")))
    plain, changed = [""] * len(ours.written), [""] * len(ours.written)
    for into in (plain, changed):
        with torch.inference_mode():
            for batch in model.batches(load_split(echo, "validation")):
                for row, text in zip(batch.rows, model.write(batch), strict=True):
                    into[row] = text
        with torch.no_grad():
            for linear, off in zip(model.down_projections("decoder"), mask, strict=True):
                linear.weight[:, off] = 0
    assert list(ours.written) == changed
    assert changed != plain


def test_masked_models_are_refused_in_one_sentence(
    lab: Lab, tiny_roberta: Path, echo: Task
) -> None:
    assert {name: family.writes for name, family in FAMILIES.items()} == {
        "bert": False, "roberta": False, "t5": True,
    }  # fmt: skip
    with pytest.raises(BadInput, match="cannot write"):
        lab.ask(tuned(lab, tiny_roberta, echo, "roberta"))


def test_predictivity_is_asked_of_classes_only(lab: Lab, t5: Path, echo: Task) -> None:
    prompt = tuned(lab, t5, echo)
    with pytest.raises(BadInput, match="predictivity needs a task with classes"):
        lab.ask(PredictivitySpec(prompt=prompt, task=prompt.task))


@pytest.mark.parametrize(
    ("entry", "why"),
    [("max_new_tokens = 0", "from 1 to 512"), ('metric = "bleu"', "there are exact_match")],
)
def test_a_bad_answer_entry_is_refused(echo: Task, entry: str, why: str) -> None:
    name = entry.split(" = ")[0]
    lines = [entry if x.startswith(name) else x for x in echo.file.read_text().splitlines()]
    (echo.file.parent / "bad.toml").write_text("\n".join(lines))
    with pytest.raises(BadTask, match=why):
        load_task(str(echo.file.parent / "bad.toml"))


def test_the_first_reference_is_learnt_and_the_best_one_counts(
    lab: Lab, t5: Path, echo: Task
) -> None:
    prompt = tuned(lab, t5, echo)
    spec = EvaluationSpec(prompt=prompt, task=prompt.task)
    written = lab.answer(spec).written
    folder = echo.file.parent
    for split in ("train", "validation"):
        rows = [json.loads(x) for x in (folder / f"{split}.jsonl").read_text().splitlines()]
        for i, row in enumerate(rows):
            extra = written[i] if split == "validation" else "never learnt"
            row["answer"] = {"text": [row["answer"], extra]}
        (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    text = echo.file.read_text().replace('label = "answer"', 'label = "answer.text"')
    echo.file.write_text(text)
    many = load_task(str(echo.file))
    pin = pin_task(many, "t5")
    same = replace(prompt, task=pin)
    assert torch.equal(lab.prompt(same).vectors, lab.prompt(prompt).vectors)
    found = lab.answer(EvaluationSpec(prompt=same, task=pin))
    assert found.written == written
    assert found.score == 1


def test_an_fp32_prompts_texts_are_written_in_the_precision_that_is_asked_for(
    lab: Lab, t5: Path, echo: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    usual = PromptedModel.write
    monkeypatch.setattr(
        PromptedModel, "write",
        lambda self, *a, **k: seen.append(self.backbone.dtype) or usual(self, *a, **k),
    )  # fmt: skip
    prompt = tuned(lab, t5, echo)
    lab.ask(prompt)
    seen.clear()
    lab.ask(EvaluationSpec(prompt=prompt, task=prompt.task, precision="fp64"))
    assert set(seen) == {torch.float64}


def test_a_table_of_what_is_written_has_every_usual_metric(lab: Lab, t5: Path, echo: Task) -> None:
    prompt = tuned(lab, t5, echo)
    spec = EvaluationSpec(prompt=prompt, task=prompt.task)
    found, examples = lab.answer(spec), load_split(echo, "validation")
    rows = figures.answers(found, examples)
    means = figures.scores(rows, found, examples)
    assert rows.exact_match.tolist() == found.scores.tolist()
    assert rows.written.tolist() == list(found.written)
    by_metric = means.set_index("metric")
    assert list(by_metric.index) == ["exact_match", "f1"]
    assert by_metric.score["exact_match"] == pytest.approx(found.score)
    assert (by_metric.low["exact_match"], by_metric.high["exact_match"]) == found.interval
    assert (rows.f1 >= rows.exact_match).all()
    firsts = [r[0] for r in examples.targets]
    most = max(firsts, key=firsts.count)
    right = [exact_match(most, r) for r in examples.targets]
    assert by_metric.constant["exact_match"] == pytest.approx(np.mean(right))


def evaluation(scores: list[float]) -> Evaluation:
    spec = EvaluationSpec(
        prompt=ImportedPrompt(
            backbone=Pinned(name="t5", fingerprint="b"), sha256="0" * 64, task="echo", seed=0,
            prompt_length=2,
        ),
        task=Pinned(name="echo", fingerprint="e"),
    )  # fmt: skip
    return Evaluation(
        spec=spec, index=np.arange(len(scores)), metric="overlap", scores=np.array(scores),
        written=("",) * len(scores),
    )  # fmt: skip


def test_the_interval_of_a_score_is_wilsons_for_shares_and_a_bootstrap_else() -> None:
    assert evaluation([0.0, 1.0, 1.0, 0.0]).interval == wilson(2, 4)
    assert evaluation([0.0] * 5).interval == wilson(0, 5)
    graded = evaluation([0.2, 0.4, 0.6, 0.8] * 25)
    half = 1.96 * graded.scores.std() / 10
    assert graded.interval == pytest.approx((0.5 - half, 0.5 + half), abs=0.01)
    assert (graded.score, graded.correct, graded.accuracy) == (pytest.approx(0.5), 0, 0)


def test_a_curve_of_written_scores_has_a_band(lab: Lab, t5: Path, echo: Task) -> None:
    prompt = tuned(lab, t5, echo)
    choices = sweeps.SuppressionChoices(fractions=(0.0, 0.5), kinds_of_neuron=("lowest",))
    ranking = (PredictivitySpec(prompt=prompt, task=prompt.task),)
    specs = sweeps.suppression_sweep([prompt], ranking, prompt.task, "validation", choices)
    run = Run(started="", seconds=0.0, device="cpu", versions="")
    for spec in specs:
        lab.store.add(replace(evaluation([1.0, 0.0, 1.0]), spec=spec), run)
    curve = queries.suppression_curve(lab.store, specs)
    assert curve.fraction.tolist() == [0.0, 0.5]
    assert curve.accuracy.tolist() == pytest.approx([2 / 3, 2 / 3])
    assert [(r.low, r.high) for r in curve.itertuples()] == [wilson(2, 3)] * 2
