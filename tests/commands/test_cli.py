"""The command line over tiny backbones and a task of one's own, as a stranger would use it."""

import io
import json
import os
import re
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import typer
from safetensors.torch import load_file, save_file

from core.__main__ import app, main
from core.base.settings import ROOT
from tests.conftest import TINY, here, save_backbone, write_task, write_text_task

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cli-cache")


@pytest.fixture(scope="module")
def toml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_task(tmp_path_factory.mktemp("cli-task"))


def surroundings(cache: Path) -> dict[str, str]:
    return {
        "SKILLSCOPE_CACHE": str(cache),
        "SKILLSCOPE_ASSETS": str(cache / "none"),
        "SKILLSCOPE_THREADS": "1",
    }


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


def call(cache: Path, *words: object) -> Done:
    """A command, in this process: starting Python for each takes seconds."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["skillscope", *map(str, words)])
        for name, value in surroundings(cache).items():
            patch.setenv(name, value)
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
    return Done(code, out.getvalue(), err.getvalue())


def answer(cache: Path, *words: object) -> object:
    done = call(cache, *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def prompt(cache: Path, toml: Path, tiny_roberta: Path) -> str:
    words = ["--steps", 3, "--prompt-length", 4, "--selection", 10, "--seed", 5]
    return answer(cache, "tune", tiny_roberta, toml, *words)["key"]


def test_evaluate_writes_predictions_that_add_up(
    cache: Path, toml: Path, prompt: str, tmp_path: Path
) -> None:
    out = tmp_path / "p.parquet"
    row = answer(cache, "evaluate", prompt, toml, "--predictions", out)
    table = pd.read_parquet(out)
    assert list(table) == ["example", "label", "prediction", "score_0", "score_1"]
    assert (table.label == table.prediction).sum() == row["correct"]
    assert row["n"] == len(table) == 31
    assert row["accuracy"] == row["correct"] / row["n"]
    assert row["low"] < row["accuracy"] < row["high"]
    assert (table[["score_0", "score_1"]].to_numpy().argmax(1) == table.prediction).all()


def test_predictivity_table_follows_from_the_arrays(
    cache: Path, toml: Path, prompt: str, tmp_path: Path
) -> None:
    out, arrays = tmp_path / "n.parquet", tmp_path / "n.safetensors"
    answer(cache, "predictivity", prompt, toml, "--out", out, "--arrays", arrays)
    table, full = pd.read_parquet(out), load_file(arrays)
    assert list(table) == [
        "layer", "neuron", "best_token", "baseline", "accuracy", "correct", "predictivity", "n",
        "p", "p_family", "q",
    ]  # fmt: skip
    accuracy = full["accuracy"]
    assert accuracy.shape == full["baseline"].shape == (3, 5, 24)
    folded = torch.maximum(accuracy, 1 - accuracy)
    assert np.allclose(table.predictivity, folded.amax(1).flatten().numpy(), atol=1e-12)
    assert np.array_equal(table.predictivity, table.correct / table.n)
    index = (table.layer.to_numpy(), table.best_token.to_numpy(), table.neuron.to_numpy())
    assert np.array_equal(table.accuracy, accuracy[index].numpy())
    assert np.allclose(table.baseline, full["baseline"][index].numpy(), atol=1e-6)


def test_suppress_gives_one_row_per_point(cache: Path, toml: Path, prompt: str) -> None:
    rows = answer(cache, "suppress", prompt, toml, "--fractions", "0,0.25,1", "--draws", 2)
    assert [set(r) for r in rows] == [
        {"choose", "fraction", "draw", "accuracy", "correct", "n", "ranked_on"}
    ] * 9
    points = [(r["choose"], r["fraction"], r["draw"]) for r in rows]
    assert points == [
        ("none", 0.0, 0),
        ("causal", 0.25, 0), ("random", 0.25, 0), ("random", 0.25, 1), ("skill", 0.25, 0),
        ("causal", 1.0, 0), ("random", 1.0, 0), ("random", 1.0, 1), ("skill", 1.0, 0),
    ]  # fmt: skip
    all_off = {r["correct"] for r in rows if r["fraction"] == 1.0}
    assert len(all_off) == 1, "with all neurons off it does not matter who chose them"
    plain = answer(cache, "evaluate", prompt, toml)
    assert rows[0]["correct"] == plain["correct"]


# --- likeness of prompts -------------------------------------------------------------------------
def test_indicators_compare_each_pair_of_prompts(
    cache: Path, toml: Path, prompt: str, tiny_roberta: Path
) -> None:
    words = ["--steps", 2, "--prompt-length", 4, "--selection", 10, "--seed", 6]
    other = answer(cache, "tune", tiny_roberta, toml, *words)["key"]
    (row,) = answer(cache, "indicators", prompt, other)
    assert (row["first"], row["second"]) == (prompt, other)
    p, q = (
        load_file(cache / "prompts" / f"{name}.safetensors")["vectors"].double().numpy()
        for name in (prompt, other)
    )
    flat = p.ravel() @ q.ravel() / np.linalg.norm(p) / np.linalg.norm(q)
    assert row["concatenated cosine"] == pytest.approx(flat)
    assert row["concatenated Euclidean similarity"] == pytest.approx(
        1 / (1 + np.linalg.norm(p - q))
    )
    assert 0 < row["overlap of activated neurons (ON)"] <= 1
    assert "ON, layers 0 to 2" not in row, "it has three layers"


def test_indicators_of_neurons_are_what_the_rankings_say(
    cache: Path, toml: Path, prompt: str, tiny_roberta: Path, tmp_path: Path
) -> None:
    """Spearman as `correlate` gives it; shared causal neurons counted in `attribution`'s table."""
    words = ["--steps", 2, "--prompt-length", 4, "--selection", 10, "--seed", 6]
    other = answer(cache, "tune", tiny_roberta, toml, *words)["key"]
    (row,) = answer(cache, "indicators", prompt, other, "--neurons")
    pairs = answer(cache, "correlate", f"{prompt}={toml}", f"{other}={toml}")
    (between,) = {r["spearman"] for r in pairs if r["task_a"] != r["task_b"]}
    assert row["correlation of predictivities"] == pytest.approx(between)
    tops = []
    for name in (prompt, other):
        out = tmp_path / f"{name}.parquet"
        answer(cache, "attribution", name, toml, "--out", out)
        table = pd.read_parquet(out).sort_values("signed", ascending=False)
        tops.append(
            set(table.groupby("layer").head(1)[["layer", "neuron"]].itertuples(index=False))
        )
    assert row["shared causal neurons"] == pytest.approx(len(tops[0] & tops[1]) / len(tops[0]))


def test_released_prompts_are_compared_without_a_model(cache: Path, tmp_path: Path) -> None:
    (cache / "none" / "published").mkdir(parents=True, exist_ok=True)
    for name in ("su2022_transfer_accuracy.csv", "su2022_indicators.csv"):
        file = ROOT / "assets" / "published" / name
        (cache / "none" / "published" / name).write_bytes(file.read_bytes())
    rows = answer(cache, "indicators", "--published")
    found = {(r["backbone"], r["indicator"]): r for r in rows}
    best = found["T5 base", "averaged cosine"]
    assert best["spearman"] == pytest.approx(0.43, abs=0.005)
    assert 0 < best["low"] < best["spearman"] < best["high"]
    assert abs(best["across_categories"]) < best["spearman"], "much of it is the tasks' category"
    for task, seed in (("SST2", 0), ("IMDB", 1), ("QNLI", 2), ("MRPC", 3)):
        folder = tmp_path / "seed_su" / f"{task}PromptT5"
        folder.mkdir(parents=True)
        torch.save(torch.randn(3, 4, generator=torch.manual_seed(seed)), folder / "task_prompt")
    out = tmp_path / "likeness.csv"
    rows = answer(cache, "indicators", "--published", tmp_path, "--out", out)
    assert {(r["backbone"], r["pairs"]) for r in rows} == {("T5 base", 12)}
    assert len(pd.read_csv(out)) == 4 * 16


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([], "Give at least two prompts"),
        (["--out", "x.csv"], "--out needs --published"),
        (["--published", "a", "b"], "takes one folder"),
        (["--published", "--neurons"], "--neurons needs prompts"),
        (["--published", "tests/measures"], "holds no released prompt"),
    ],
)
def test_what_indicators_cannot_do_is_one_sentence(cache: Path, words: list[str], why: str) -> None:
    done = call(cache, "indicators", *words)
    assert done.returncode == 1
    assert why in done.stderr


def test_a_prompt_is_read_in_words(cache: Path, prompt: str, tiny_roberta: Path) -> None:
    rows = answer(cache, "read-prompt", prompt, "--count", 2)
    assert [r["row"] for r in rows] == [0, 1, 2, 3]
    vectors = load_file(cache / "prompts" / f"{prompt}.safetensors")["vectors"].double().numpy()
    assert [r["norm"] for r in rows] == pytest.approx(np.linalg.norm(vectors, axis=1))
    assert all(r["nearest"].startswith(r["start"]) for r in rows), "three steps move it little"
    distances = [r["value"] for r in answer(cache, "read-prompt", prompt, "--by", "distance")]
    assert max(distances) < 0.5


def test_tuning_starts_from_a_prompt_that_is_given(
    cache: Path, toml: Path, prompt: str, tiny_roberta: Path
) -> None:
    words = ["tune", tiny_roberta, toml, "--steps", 2, "--selection", 10, "--start", prompt]
    later = answer(cache, *words)["key"]
    known = {p["key"]: p for p in answer(cache, "status")["prompts"]}
    assert known[later]["prompt_length"] == 4, "as many vectors as the start has"
    done = call(cache, *words, "--init", "random")
    assert done.returncode == 1
    assert "--init random has no effect with --start" in done.stderr
    done = call(cache, *words, "--prompt-length", 9)
    assert "has 4 vectors; 9 are asked for" in done.stderr


# --- attacks and causes --------------------------------------------------------------------------
TYPO = ("--attack", "typo", "--dose", 2)


def test_an_attack_is_evaluated_and_its_worst_draw_is_no_better(
    cache: Path, toml: Path, prompt: str
) -> None:
    clean = answer(cache, "evaluate", prompt, toml)
    struck = answer(cache, "evaluate", prompt, toml, *TYPO)
    worst = answer(cache, "evaluate", prompt, toml, *TYPO, "--worst-of", 4)
    other = answer(cache, "evaluate", prompt, toml, *TYPO, "--attack-seed", 1)
    assert len({row["key"] for row in (clean, struck, worst, other)}) == 4
    assert worst["correct"] <= struck["correct"]
    first = answer(cache, "evaluate", prompt, toml, *TYPO, "--where", "first")
    second = answer(cache, "evaluate", prompt, toml, *TYPO, "--where", "second")
    assert (first["correct"], second["correct"]) == (struck["correct"], clean["correct"])
    (moved,) = answer(cache, "transfer", prompt, "--tasks", toml, *TYPO)
    assert moved["accuracy"] == struck["accuracy"]


def test_suppression_under_attack_starts_at_the_attacked_accuracy(
    cache: Path, toml: Path, prompt: str
) -> None:
    rows = answer(cache, "suppress", prompt, toml, "--fractions", "0,0.5", "--alone", *TYPO)
    assert rows[0]["correct"] == answer(cache, "evaluate", prompt, toml, *TYPO)["correct"]


def test_the_options_of_an_attack_need_one(cache: Path, toml: Path, prompt: str) -> None:
    done = call(cache, "evaluate", prompt, toml, "--dose", 2)
    assert (done.returncode, done.stdout) == (1, "")
    assert "need --attack KIND" in done.stderr


def test_a_dose_response_has_a_row_per_dose(cache: Path, toml: Path, prompt: str) -> None:
    rows = answer(cache, "dose", prompt, toml, "--doses", "1,3", "--top", 0.09)
    assert [row["dose"] for row in rows] == [0, 1, 3]
    assert rows[0]["n"] == 31
    clean = answer(cache, "evaluate", prompt, toml)
    assert rows[0]["accuracy"] == clean["accuracy"]
    for row in rows:
        assert 0 <= row["shared"] <= 1
        assert 0 <= row["causal_shared"] <= 1
        assert {"shuffled", "p", "kept", "causal_shuffled", "causal_p", "causal_kept"} <= set(row)
    for row in rows[1:]:
        attacked = answer(
            cache, "evaluate", prompt, toml, "--attack", "typo", "--dose", row["dose"]
        )
        assert row["accuracy"] == attacked["accuracy"]
    usual = answer(cache, "dose", prompt, toml, "--attack", "negation")
    assert [row["dose"] for row in usual] == [0, 1], "nested negations are never asked for"
    for wrong, said in (("x", "not a list"), ("-1", "0 or more"), ("21", "from 1 to 20")):
        done = call(cache, "dose", prompt, toml, f"--doses={wrong}")
        assert (done.returncode, said in done.stderr) == (1, True)


def test_attribution_ranks_and_suppress_takes_its_ranking(
    cache: Path, toml: Path, prompt: str, tmp_path: Path
) -> None:
    file = tmp_path / "neurons.parquet"
    said = answer(cache, "attribution", prompt, toml, "--out", file)
    table = pd.read_parquet(file)
    assert list(table) == ["layer", "neuron", "signed", "absolute", "error", "n"]
    assert said["neurons"] == len(table) == 3 * 24
    assert said["highest"] == table.signed.max()
    assert (table.signed.abs() <= table.absolute + 1e-12).all()
    rows = answer(cache, "suppress", prompt, toml, "--choose", "skill,causal", "--alone",
                  "--fractions", "0,0.25,1")  # fmt: skip
    assert [row["choose"] for row in rows] == ["none", "causal", "skill", "causal", "skill"]
    same = call(cache, "suppress", prompt, toml, "--choose", "causal", "--split", "train")
    assert (same.returncode, "causal neurons are ranked on this split" in same.stderr) == (1, True)
    twin = toml.with_name("twin.toml")  # its train rows are those of the clean task
    twin.write_text(f'adversarial_of = "{toml.stem}"\n' + toml.read_text())
    same = call(cache, "suppress", prompt, twin, "--choose", "causal", "--split", "train")
    assert (same.returncode, "causal neurons are ranked on this split" in same.stderr) == (1, True)


def test_the_decoders_neurons_are_ranked_and_suppressed_where_there_is_one(
    cache: Path, toml: Path, prompt: str, tmp_path: Path
) -> None:
    refused = call(cache, "attribution", prompt, toml, "--stack", "decoder")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "has no decoder" in refused.stderr
    save_backbone(TINY["t5"](), tmp_path / "tiny-t5")
    short = ["--steps", 2, "--prompt-length", 3, "--selection", 10]
    mine = answer(cache, "tune", tmp_path / "tiny-t5", toml, *short)["key"]
    said = answer(cache, "attribution", mine, toml, "--stack", "decoder")
    assert said["neurons"] == 2 * 24, "two layers in the decoder, three in the encoder"
    rows = answer(cache, "suppress", mine, toml, "--stack", "decoder", "--alone",
                  "--fractions", "0,1", "--draws", 1)  # fmt: skip
    assert [row["choose"] for row in rows] == ["none", "causal", "random"]
    with here(cache) as kept:
        struck = [s.suppression for s in kept.specs("evaluation") if s.suppression]
        assert {s.choose for s in struck if s.stack == "decoder"} == {"causal", "random"}


def test_transfer_and_correlate(cache: Path, toml: Path, prompt: str) -> None:
    rows = answer(cache, "transfer", prompt, "--tasks", toml)
    assert rows[0]["relative_accuracy"] == 1.0


def test_correlate_two_seeds(toml: Path, tiny_roberta: Path, tmp_path: Path) -> None:
    """Each prompt stands for itself: seeds of one task are not averaged away."""
    words = ("--steps", 3, "--prompt-length", 4, "--selection", 10)
    asked = [answer(tmp_path, "tune", tiny_roberta, toml, *words, "--seed", s) for s in (5, 6)]
    rows = answer(tmp_path, "correlate", *(f"{prompt['key']}={toml}" for prompt in asked))
    rho = {(r["task_a"][-8:], r["task_b"][-8:]): r["spearman"] for r in rows}
    assert len(rho) == 4
    assert all(v == pytest.approx(1) for (a, b), v in rho.items() if a == b)
    assert len({round(v, 9) for (a, b), v in rho.items() if a != b}) == 1
    assert all(v < 1 for (a, b), v in rho.items() if a != b)


def test_activations_are_cached_and_written(
    cache: Path, toml: Path, prompt: str, tmp_path: Path
) -> None:
    out = tmp_path / "a.safetensors"
    shape = answer(cache, "activations", prompt, toml, "--limit", 9, "--out", out)
    assert shape == {"examples": 9, "layers": 3, "neurons": 24}
    assert load_file(out)["values"].shape == (9, 3, 24)


def test_export_and_merge(cache: Path, prompt: str, tmp_path: Path) -> None:
    answer(cache, "export", tmp_path / "out")
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    assert answer(fresh, "merge", tmp_path / "out")["new"] > 0
    found = [[p["key"] for p in answer(c, "status")["prompts"]] for c in (fresh, cache)]
    assert prompt in found[0]
    assert found[0] == found[1]


def test_a_prompt_whose_file_is_gone_is_named_and_can_be_tuned_again(
    toml: Path, tiny_roberta: Path, tmp_path: Path
) -> None:
    words = ["tune", tiny_roberta, toml, "--steps", 1, "--prompt-length", 4, "--selection", 10]
    made = answer(tmp_path, *words)["key"]
    file = tmp_path / "prompts" / f"{made}.safetensors"
    before = load_file(file)["vectors"]
    file.unlink()
    done = call(tmp_path, "export", tmp_path / "out")
    said = f"Prompt {made} is not exported: its file is gone from the cache; tune or import it anew"
    assert said in done.stderr
    assert answer(tmp_path / "new", "merge", tmp_path / "out")["new"] == 0
    assert answer(tmp_path, *words)["key"] == made
    assert torch.equal(load_file(file)["vectors"], before)


def test_a_prompt_file_works_in_another_cache(
    cache: Path, toml: Path, prompt: str, tmp_path: Path
) -> None:
    file = cache / "prompts" / f"{prompt}.safetensors"
    before = answer(cache, "evaluate", prompt, toml)
    assert answer(tmp_path / "new", "evaluate", file, toml)["correct"] == before["correct"]


def test_a_published_torch_file_needs_a_backbone_and_the_right_width(
    cache: Path, toml: Path, tiny_roberta: Path, tmp_path: Path
) -> None:
    good, wide = tmp_path / "task_prompt", tmp_path / "wide"
    torch.save(torch.randn(6, 16), good)
    torch.save(torch.randn(6, 20), wide)
    assert "--backbone" in call(cache, "evaluate", good, toml).stderr
    row = answer(cache, "evaluate", good, toml, "--backbone", tiny_roberta)
    assert row["n"] == 31
    refused = call(cache, "evaluate", wide, toml, "--backbone", tiny_roberta)
    assert refused.returncode == 1
    assert "width 20" in refused.stderr


def test_a_pickle_that_runs_code_is_refused(
    cache: Path, toml: Path, tiny_roberta: Path, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"

    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {mark}",)

    torch.save(Bomb(), tmp_path / "bomb")
    done = call(cache, "evaluate", tmp_path / "bomb", toml, "--backbone", tiny_roberta)
    assert done.returncode == 1
    assert not mark.exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["evaluate", "abc123", "short_reviews"], 1, "No stored prompt"),
        (["tune", "x", "short_review"], 1, "no backbone"),
        (["tune", "bert", "short_reviews"], 1, "no backbone called 'bert'"),
        (["tune", "../nowhere", "short_reviews"], 1, "no backbone called '../nowhere'"),
        (["tune", str(ROOT / "core" / "tasks"), "short_reviews"], 1, "config.json"),
        (["tune", "bert"], 2, "Missing argument"),
        (["nonsense"], 2, "No such command"),
        (["tune", "bert", "short_reviews", "--steps", "0"], 2, "Invalid value"),
        (["merge", "nowhere"], 1, "not a folder that `export` wrote"),
        (["correlate", "abc"], 1, "PROMPT=TASK"),
        (["correlate", "abc=short_reviews"], 1, "at least two"),
        (["correlate", "abc", "def"], 1, "not of the form PROMPT=TASK"),
        (["suppress", "abc", "short_reviews", "--noise=-3", "--kind", "noise"], 2, "Invalid value"),
        (["suppress", "abc", "short_reviews", "--noise=inf", "--kind", "noise"], 1, "finite"),
        (["suppress", "abc", "short_reviews", "--noise", "0.2"], 1, "use --kind noise"),
        (["tune", "roberta-mini", "short_reviews", "--seed=-1"], 2, "Invalid value"),
        (["tune", "roberta-mini", "short_reviews", "--seed=2147483648"], 2, "Invalid value"),
    ],
)
def test_bad_input_gets_one_sentence_and_the_right_exit_code(
    cache: Path, words: list[str], code: int, said: str
) -> None:
    done = call(cache, *words)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_the_real_program_ends_with_the_right_exit_code(cache: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "core", "tune", "bert", "short_reviews"],
        cwd=ROOT, env={**os.environ, **surroundings(cache)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("skillscope: There is no backbone called 'bert'.")
    assert done.stdout == ""


def test_a_broken_prompt_file_is_refused(cache: Path, toml: Path, tmp_path: Path) -> None:
    empty, foreign = tmp_path / "e.safetensors", tmp_path / "f.safetensors"
    empty.write_bytes(b"not a tensor")
    save_file({"vectors": torch.zeros(2, 16)}, foreign)
    for file in (empty, foreign, tmp_path / "absent.safetensors"):
        done = call(cache, "evaluate", file, toml)
        assert done.returncode == 1
        assert file.name in done.stderr
        assert "Traceback" not in done.stderr


def test_layout_shows_every_position(cache: Path, toml: Path, tiny_roberta: Path) -> None:
    slots = answer(cache, "layout", tiny_roberta, toml, "--prompt-length", 3)
    assert [s["kind"] for s in slots[:5]] == ["mask", "prompt", "prompt", "prompt", "special"]
    assert [s["position"] for s in slots] == list(range(len(slots)))
    assert [s["position_id"] for s in slots[:6]] == [None, None, None, None, 6, 7]
    assert (slots[4]["token"], slots[-1]["token"]) == ("<s>", "</s>")


def test_three_classes_are_split_into_binary_questions(
    cache: Path, tiny_roberta: Path, tmp_path: Path
) -> None:
    toml = write_task(tmp_path / "three", classes=3)
    words = ["--steps", 2, "--prompt-length", 3, "--selection", 10]
    prompt = answer(cache, "tune", tiny_roberta, toml, *words)["key"]
    out = tmp_path / "n.parquet"
    rows = answer(cache, "predictivity", prompt, toml, "--out", out)
    assert [r["contrast"] for r in rows] == [
        "negative | rest", "positive | rest", "neutral | rest",
        "positive | negative", "neutral | negative", "neutral | positive",
    ]  # fmt: skip
    assert set(pd.read_parquet(out).contrast) == {r["contrast"] for r in rows}
    curve = answer(cache, "suppress", prompt, toml, "--fractions", "0,0.5", "--draws", 1)
    assert [r["choose"] for r in curve] == ["none", "causal", "random", "skill"]


def test_tasks_lists_counts_and_baselines(cache: Path) -> None:
    rows = {r["name"]: r for r in answer(cache, "tasks")}
    assert len(rows) == 14
    written = [row for row in rows.values() if row["majority"] is None]
    assert [row["name"] for row in written] == ["story_questions", "story_summaries"]
    assert {row["bag_of_words"] for row in written} == {None}
    for row in (r for r in rows.values() if r not in written):
        assert row["train"] >= 2000
        assert 0.5 <= row["majority"] <= 0.52
        assert 0.35 < row["bag_of_words"] < 0.65, "single words must not give a task away"


# --- help ----------------------------------------------------------------------------------------
COMMANDS = typer.main.get_command(app).commands


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_and_each_of_its_options_says_what_it_is(name: str) -> None:
    command = COMMANDS[name]
    assert [p.name for p in command.params if not p.help] == []
    first, *others = command.help.split("\n\n")
    assert first
    assert not [part for part in others if "\n" in part], "a line break ends a line on screen"


def test_tasks_of_every_kind_are_named_and_train_rows_are_told_from_evaluated_ones() -> None:
    options = {p.name: p.help for p in COMMANDS["predictivity"].params}
    assert "papers" in options["task"]
    assert "your own" in options["task"]
    assert options["train_limit"] != options["limit"]


# --- rows used twice -----------------------------------------------------------------------------
def shared(cache: Path, *words: object) -> list[str]:
    """What a command says of rows that were tuned on and evaluated."""
    done = call(cache, *words)
    assert done.returncode == 0, done.stderr
    return re.findall(r"(\d+ of \d+) evaluated rows", done.stderr)


def test_shared_rows_are_those_of_the_split_and_limit_that_was_evaluated(
    cache: Path, prompt: str, toml: Path
) -> None:
    assert "60 of 60" not in shared(cache, "evaluate", prompt, toml)
    assert shared(cache, "evaluate", prompt, toml, "--split", "train") == ["60 of 60"]
    few = ("--split", "train", "--limit", 20)
    assert shared(cache, "evaluate", prompt, toml, *few) == ["20 of 20"]
    assert shared(cache, "predictivity", prompt, toml, *few) == ["20 of 20"]
    points = ("--fractions", "0", "--draws", 1, "--choose", "skill")
    assert shared(cache, "suppress", prompt, toml, *few, *points) == ["20 of 20"]


def test_correlate_and_activations_name_shared_rows(
    tmp_path: Path, toml: Path, tiny_roberta: Path
) -> None:
    task = tmp_path / "same.toml"
    text = toml.read_text().replace('"validation.jsonl"', '"train.jsonl"')
    task.write_text(f'data = "{toml.parent}"\n{text}')
    words = ["--steps", 2, "--prompt-length", 4, "--selection", 10]
    cache = tmp_path / "cache"
    prompt = answer(cache, "tune", tiny_roberta, task, *words)["key"]
    pair = f"{prompt}={task}"
    assert shared(cache, "correlate", pair, f"{prompt}={toml}")[0] == "60 of 60"
    assert shared(cache, "activations", prompt, task) == ["60 of 60"]
    cell = ("transfer", prompt, "--tasks", task, "--limit", 30)
    assert shared(cache, *cell) == ["30 of 30"]


# --- answers that are written --------------------------------------------------------------------
@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_text_task(tmp_path_factory.mktemp("cli-echo"))


@pytest.fixture(scope="module")
def writing(cache: Path, echo: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A T5 prompt for the task with written answers."""
    folder = tmp_path_factory.mktemp("models") / "tiny-t5"
    save_backbone(TINY["t5"](), folder)
    words = ["--steps", 2, "--prompt-length", 3, "--selection", 10]
    return answer(cache, "tune", folder, echo, *words)["key"]


@pytest.mark.parametrize(
    "words",
    [
        ["activations", "PROMPT", "TASK"],
        ["suppress", "PROMPT", "TASK", "--choose", "skill"],
        ["suppress", "PROMPT", "TASK", "--choose", "random", "--kind", "mean"],
        ["predictivity", "PROMPT", "TASK"],
        ["predictivity", "PROMPT", "TASK", "--out", "n.parquet"],
        ["correlate", "PROMPT=TASK", "PROMPT=TASK"],
    ],
)
def test_what_ranks_neurons_needs_a_task_with_classes(
    cache: Path, echo: Path, writing: str, words: list[str]
) -> None:
    asked = [w.replace("PROMPT", writing).replace("TASK", str(echo)) for w in words]
    done = call(cache, *asked)
    said = "skillscope: Echo has written answers; predictivity needs a task with classes.\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)


def test_a_prompt_for_written_answers_does_not_start_from_answer_words(
    cache: Path, echo: Path, writing: str
) -> None:
    backbone = next(
        p["backbone"] for p in answer(cache, "status")["prompts"] if p["key"] == writing
    )
    done = call(cache, "tune", backbone, echo, "--init", "labels")
    assert done.returncode == 1
    assert "no answer words to start from" in done.stderr


def test_an_own_task_with_written_answers_has_no_baselines(
    cache: Path, echo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKILLSCOPE_TASKS", str(echo.parent))
    row = next(r for r in answer(cache, "tasks") if r["name"] == "echo")
    assert (row["train"], row["evaluated"]) == (40, 9)
    assert row["majority"] is row["bag_of_words"] is None


def test_a_written_score_has_its_metrics_name_and_an_interval(
    cache: Path, echo: Path, writing: str
) -> None:
    row = answer(cache, "evaluate", writing, echo)
    assert set(row) == {
        "source_task", "target_task", "split", "n", "exact_match", "low", "high", "key",
    }  # fmt: skip
    assert row["n"] == 9
    assert row["low"] <= row["exact_match"] <= row["high"]
    assert row["low"] < row["high"]
    points = answer(
        cache, "suppress", writing, echo, "--choose", "random", "--fractions", "0,1", "--draws", 1
    )
    assert [set(p) for p in points] == [
        {"choose", "fraction", "draw", "exact_match", "low", "high", "n", "ranked_on"}
    ] * 2
    names = ("exact_match", "low", "high", "n")
    assert [points[0][name] for name in names] == [row[name] for name in names]


def test_generate_writes_every_answer_with_its_references_and_scores(
    cache: Path, echo: Path, toml: Path, writing: str, tmp_path: Path
) -> None:
    out = tmp_path / "answers.jsonl"
    found = answer(cache, "generate", writing, echo, "--out", out, "--limit", 5)
    assert [row["metric"] for row in found] == ["exact_match", "f1"]
    assert all(row["low"] <= row["score"] <= row["high"] for row in found)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == found[0]["n"] == 5
    names = {"example", "text_a", "written", "references", "exact_match", "f1"}
    assert set(rows[0]) == names
    for row in found:
        mean = sum(r[row["metric"]] for r in rows) / len(rows)
        assert row["score"] == pytest.approx(mean, abs=1e-6)
    done = call(cache, "generate", writing, toml, "--out", out)
    assert (done.returncode, done.stdout) == (1, "")
    assert "has classes, not written answers" in done.stderr


def test_written_answers_are_suppressed_by_a_ranking_on_classes(
    cache: Path, echo: Path, toml: Path, writing: str
) -> None:
    how = ("--ranked-on", toml, "--choose", "skill", "--fractions", "0.5", "--alone")
    (point,) = answer(cache, "suppress", writing, echo, *how)
    assert point["choose"] == "skill"
    assert point["low"] <= point["exact_match"] <= point["high"]


def test_transfer_names_the_metric_of_each_target(
    cache: Path, echo: Path, toml: Path, writing: str
) -> None:
    rows = answer(cache, "transfer", writing, "--tasks", f"{echo},{toml}")
    assert {r["metric"] for r in rows} == {"exact_match", "accuracy"}
    assert all(0 <= r["score"] <= 1 for r in rows)
    assert "accuracy" not in rows[0]


def test_import_attacks_makes_a_version_that_is_evaluated(
    cache: Path, toml: Path, prompt: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKILLSCOPE_TASKS", str(tmp_path / "tasks"))
    file = tmp_path / "textfooler.csv"
    file.write_text(
        "perturbed_text,ground_truth_output,result_type\n"
        "the film was [[goood]],1,Successful\nnot [[vry]] good,0,Successful\nno,0,Failed\n"
    )
    made = answer(cache, "import-attacks", file, "--task", toml)
    assert made == {"task": "toy_textfooler", "adversarial_of": str(toml), "successful": 2}
    assert answer(cache, "evaluate", prompt, "toy_textfooler")["n"] == 2
    done = call(cache, "import-attacks", file, "--task", toml)
    assert (done.returncode, done.stdout) == (1, "")
    assert "already a task with the title 'Toy, textfooler'" in done.stderr


def test_a_projector_is_trained_and_what_it_made_is_evaluated(
    cache: Path, toml: Path, tiny_roberta: Path, tmp_path: Path
) -> None:
    other, out = tmp_path / "tiny-t5", tmp_path / "projected.safetensors"
    save_backbone(TINY["t5"](), other)
    done = call(
        cache, "project", other, tiny_roberta, "--tasks", toml, "--seeds", 1, "--steps", 3,
        "--width", 4, "--tune-steps", 2, "--selection", 20, "--prompt-length", 3,
        "--out", out, "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = {row["how"]: row for row in json.loads(done.stdout)}
    assert set(rows) == {"own", "task", "task-random", "random"}
    assert rows["own"]["prompt"] is None
    found = json.loads(call(cache, "evaluate", out, toml, "--json").stdout)
    assert found["accuracy"] == pytest.approx(rows["task"]["accuracy"])
    assert call(cache, "evaluate", rows["task"]["prompt"], toml).returncode == 0
    same = call(cache, "project", tiny_roberta, tiny_roberta, "--tasks", toml)
    assert (same.returncode, "The two backbones are the same" in same.stderr) == (1, True)
    none = call(cache, "project", other, tiny_roberta, "--tasks", ",")
    assert (none.returncode, "Name at least one task" in none.stderr) == (1, True)


def test_advice_needs_tasks_enough(cache: Path, tiny_roberta: Path, tmp_path: Path) -> None:
    tasks = [write_task(tmp_path / f"task{i}") for i in range(3)]
    few = call(
        cache, "advise", tasks[0], "--backbone", tiny_roberta,
        "--tasks", ",".join(map(str, tasks[1:])),
    )  # fmt: skip
    assert (few.returncode, "Advice needs at least 5 tasks" in few.stderr) == (1, True)


def test_advice_without_any_variation_is_a_sentence(cache: Path, tmp_path: Path) -> None:
    """One step leaves a fresh T5 at one answer for all texts."""
    save_backbone(TINY["t5"](), tmp_path / "t5")
    tasks = [write_task(tmp_path / f"task{i}", n=60 + 2 * i) for i in range(5)]
    done = call(
        cache, "advise", tasks[0], "--backbone", tmp_path / "t5",
        "--tasks", ",".join(map(str, tasks[1:])), "--seeds", 2, "--steps", 1,
    )  # fmt: skip
    assert (done.returncode, "No advice can be given" in done.stderr) == (1, True)


def test_a_file_that_cannot_be_written_is_refused_before_anything_is_computed(
    cache: Path, toml: Path, prompt: str, tmp_path: Path
) -> None:
    before = answer(cache, "status")
    for place, said in ((tmp_path / "no" / "x.parquet", "There is no folder"),
                        (tmp_path, "is a folder; give the name of a file")):  # fmt: skip
        for words in (
            ["predictivity", prompt, toml, "--out", place, "--permutations", 3],
            ["evaluate", prompt, toml, "--limit", 7, "--predictions", place],
            ["tune", "some-backbone", toml, "--steps", 1, "--out", place],
        ):
            done = call(cache, *words)
            assert (done.returncode, said in done.stderr) == (1, True), done.stderr
    assert answer(cache, "status") == before


def test_a_prompt_is_not_evaluated_on_a_backbone_for_which_it_is_not(
    cache: Path, toml: Path, prompt: str, tiny_roberta: Path, tmp_path: Path
) -> None:
    save_backbone(TINY["t5"](), tmp_path / "t5")
    other = call(cache, "evaluate", prompt, toml, "--backbone", tmp_path / "t5")
    assert other.returncode == 1
    assert f"not for {tmp_path / 't5'}; leave out --backbone" in other.stderr
    assert call(cache, "evaluate", prompt, toml, "--backbone", tiny_roberta).returncode == 0


def test_ways_to_tune_are_compared_and_so_is_what_neurons_cost_them(
    cache: Path, toml: Path, tiny_roberta: Path
) -> None:
    words = [
        "compare-tuning", tiny_roberta, toml, "--ways", "prompt,bias", "--seeds", 2, "--steps", 2,
        "--prompt-length", 3, "--selection", 10,
    ]  # fmt: skip
    rows = {row["way"]: row for row in answer(cache, *words)}
    assert set(rows) == {"prompt", "bias"}
    assert rows["prompt"]["trained"] == 3 * 16
    for row in rows.values():
        assert row["low"] <= row["accuracy"] <= row["high"]
        assert (row["n"], row["seeds"]) == (31, 2)
    costs = answer(cache, *words, "--without", "--fraction", 0.5)
    assert {(row["way"], row["choose"]) for row in costs} == {
        (way, kind) for way in rows for kind in ("causal", "skill", "random")
    }
    odd = call(cache, *words[:3], "--ways", "prompt,magic")
    assert (odd.returncode, "--ways 'magic': choose among prompt," in odd.stderr) == (1, True)
    coarse = call(cache, *words, "--precision", "bf16")
    assert (coarse.returncode, "Weights are not trained in bf16" in coarse.stderr) == (1, True)
