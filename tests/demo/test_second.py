"""The second stage: weather, real rows, questions in words, and a loop that can be killed."""

import json
import random
import re
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from core.backbones import load_backbone
from core.backbones.base import Backbone
from core.backbones.fresh import fresh_t5
from core.base.errors import BadInput
from core.base.settings import ROOT
from demo import questions
from demo.aims import slipped
from demo.corpus import HINTS, Corpus
from demo.feed import Feed
from demo.losses import spoken_logits, spoken_loss
from demo.real import PAIRS, read_real, sure_sentences, tidy
from demo.recipes import RECIPES, STAGES, WEATHER
from demo.second import SecondStage, right, second_stage, visitors
from demo.texts import GENERATORS, VERBALIZERS, stories
from demo.weather import FAIR, Splits, Weather, invented, rename, slip, with_aside

pytestmark = pytest.mark.slow

CORPUS = Corpus(plain=(), held_out=frozenset())


@pytest.fixture
def backbone(tiny_folder: Path) -> Backbone:
    if "bert" in tiny_folder.name.split("-"):
        pytest.skip("only RoBERTa and T5 are pretrained here")
    return load_backbone(tiny_folder)


# --- weather -------------------------------------------------------------------------------------


def test_fair_weather_leaves_every_text_as_it_was(backbone: Backbone) -> None:
    rng, clear, fair = random.Random(0), Feed(backbone, CORPUS), Feed(backbone, CORPUS, FAIR)
    for task, generator in GENERATORS.items():
        example = generator(rng)
        texts = example.text_a, example.text_b
        assert FAIR.on(texts, rng) == texts, task
        assert fair.encode(*texts, random.Random(1)) == clear.encode(*texts, random.Random(1))


def test_a_slip_strikes_one_word_and_keeps_its_length_within_one() -> None:
    rng = random.Random(0)
    for _ in range(200):
        text = GENERATORS["long_reviews"](rng).text_a
        before, after = text.split(" "), slip(text, rng).split(" ")
        changed = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
        assert len(changed) <= 1
        assert all(abs(len(a) - len(b)) <= 1 for a, b in changed)
    assert slip("a 12 !", rng) == "a 12 !"


def test_an_aside_leaves_the_text_whole() -> None:
    rng = random.Random(0)
    for _ in range(40):
        said = with_aside("The film was good.", rng)
        assert "The film was good." in said
        assert len(said) > len("The film was good.")


def test_a_name_is_replaced_in_both_texts() -> None:
    pair = ("Yesterday, Paul thanked the mayor.", "Paul did not thank the mayor. Then Paul left.")
    first, second = rename(pair, random.Random(0))
    assert "Paul" not in first + (second or "")
    (new,) = set(first.split()) - set(pair[0].split())
    assert second is not None
    assert second.count(new) == 2
    assert rename(("no name here", None), random.Random(0)) == ("no name here", None)


def test_invented_names_are_words_of_letters() -> None:
    rng = random.Random(0)
    assert all(invented(rng).isalpha() for _ in range(50))


def test_other_pieces_spell_the_same_text(backbone: Backbone) -> None:
    tokenizer, rng = backbone.tokenizer, random.Random(0)
    splits = Splits(tokenizer.get_vocab(), frozenset(tokenizer.all_special_ids))
    ids = backbone.encode("the film was very good and the book was dull")
    more = splits.some(ids, 0.9, rng)
    spell = lambda row: "".join(tokenizer.convert_ids_to_tokens(row))  # noqa: E731
    assert len(more) > len(ids)
    assert spell(more) == spell(ids)
    assert splits.some(ids, 0.0, rng) == ids


def test_weather_and_attacks_share_no_words() -> None:
    ours = tomllib.loads((ROOT / "demo/weather.toml").read_text("utf-8"))["asides"]
    theirs = tomllib.loads(next((ROOT / "core").rglob("attacks.toml")).read_text("utf-8"))
    attacks = json.dumps(theirs).lower()
    assert not [a for part in ours.values() for a in part if a.strip().lower() in attacks]


def test_both_backbones_of_a_pair_see_the_same_texts_in_the_same_order(
    backbone: Backbone,
) -> None:
    def drawn(weather: Weather) -> list[tuple[int, list[int]]]:
        feed, rng = Feed(backbone, CORPUS, weather), random.Random(4)
        found = list(feed.slots([*VERBALIZERS] * 3, rng, astray=dict.fromkeys(VERBALIZERS, 0.3)))
        rows = [(s.labels.tolist(), s.words.tolist()) for s in found]
        return sorted((y, w) for labels, words in rows for y, w in zip(labels, words, strict=True))

    assert drawn(FAIR) == drawn(WEATHER)


def test_the_stages_of_a_pair_differ_in_their_weather_only() -> None:
    for name in RECIPES:
        twin = STAGES[f"{name}-weathered"]
        assert twin.weather != FAIR
        assert replace(twin, weather=FAIR) == STAGES[name]


# --- rows that people wrote ----------------------------------------------------------------------


def test_tokenised_phrases_are_written_as_people_write() -> None:
    assert tidy("it 's a good film , is n't it ?") == "It's a good film, isn't it?"


def test_sentences_are_kept_where_their_words_agree_with_the_verdict() -> None:
    good = [("This was lovely from start to end.", 1)] * 40
    bad = [("That was dreadful from start to end.", 0)] * 40
    mixed = [("This was lovely. That was dreadful from start to end.", 0)]
    kept = list(sure_sentences([*good, *bad, *mixed], []))
    assert {e.label for e in kept if "lovely" in e.text_a} == {1}
    assert {e.label for e in kept if "dreadful" in e.text_a} == {0}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The train splits with two rows each, and nothing else."""

    def write(name: str, rows: list[dict[str, object]]) -> None:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")

    write("sst2/train.jsonl", [{"sentence": f"so {w} .", "label": y} for y, w in enumerate("ab")])
    write("imdb/train.jsonl", [{"text": "It was long. " * 9, "label": y} for y in (0, 1)])
    for name, first, second, (yes,) in PAIRS.values():
        write(name, [{first: "A?", second: "B.", "label": v} for v in (yes, "other")])
    return tmp_path


def test_labelled_rows_are_read_from_train_splits_and_drawn_evenly(data: Path) -> None:
    real = read_real(data)
    assert {e.text_a for part in real["short_reviews"] for e in part} >= {"so a .", "So b."}
    for task, (no, yes) in real.items():
        assert {e.label for e in no} == {0}, task
        assert {e.label for e in yes} == {1}, task
    corpus, rng = replace(CORPUS, real=real), random.Random(0)
    labels = [corpus.real_example("entailment", rng).label for _ in range(200)]
    assert 70 < sum(labels) < 130


def test_without_a_folder_there_are_no_rows_and_a_missing_file_is_named(data: Path) -> None:
    assert read_real(None) == {}
    (data / "qqp/train.jsonl").unlink()
    with pytest.raises(BadInput, match=r"qqp/train\.jsonl"):
        read_real(data)


# --- questions in words --------------------------------------------------------------------------


def test_answers_stand_in_the_text_in_at_most_three_words() -> None:
    rng = random.Random(0)
    for asked in ("who", "where", "when", "how many", "what", "with whom", "colour"):
        for _ in range(20):
            drawn = questions.draw(CORPUS, rng, asked)
            assert drawn.answer.lower() in drawn.text_a.lower()
            assert 1 <= len(drawn.answer.split()) <= 3


def test_the_same_text_has_another_answer_for_each_hint() -> None:
    rng = random.Random(1)
    told = stories.story(rng)
    text = stories.text(told, rng)
    answers = [stories.answer(q, told, text) for q in stories.QUESTIONS]
    given = [a for a in answers if a is not None]
    assert len(given) == len(set(given)) >= 8
    hints = [hint for part in (questions.HINTS, HINTS) for group in part.values() for hint in group]
    assert len(hints) == len(set(hints))


def test_a_summary_is_shorter_than_its_two_or_three_sentences() -> None:
    rng = random.Random(2)
    for _ in range(30):
        drawn = questions.draw(CORPUS, rng, "summary")
        assert drawn.text_a.count(".") in (2, 3)
        assert drawn.answer.count(".") == 1
        assert len(drawn.answer) < len(drawn.text_a)


def test_a_question_in_words_has_its_answer_in_one_of_two_stories() -> None:
    rng = random.Random(3)
    for _ in range(60):
        drawn = questions.draw(CORPUS, rng, "in words")
        assert drawn.text_b is not None
        one, two = (s for s in drawn.text_b.split(".") if s)
        told = [re.search(rf"\b{drawn.answer}\b", part, re.IGNORECASE) for part in (one, two)]
        assert sum(found is not None for found in told) == 1


def test_a_text_is_asked_for_its_kind_and_for_its_sentences() -> None:
    rng = random.Random(4)
    kinds = {questions.draw(CORPUS, rng, "kind").answer for _ in range(80)}
    assert kinds == set(questions.KINDS.values())
    drawn = questions.draw(CORPUS, rng, "sentences")
    assert drawn.answer in ("one", "two", "three", "four", "five", "six", "seven")


@pytest.fixture
def tiny_t5(backbone: Backbone) -> Backbone:
    if backbone.family != "t5":
        pytest.skip("only T5 answers in words")
    return fresh_t5(
        backbone.tokenizer, seed=0, d_model=16, d_kv=8, d_ff=24, num_layers=2, num_heads=2
    )


@torch.no_grad()
def test_the_loss_of_words_is_the_mean_over_all_words_of_the_answers(tiny_t5: Backbone) -> None:
    feed, rng = Feed(tiny_t5, CORPUS), random.Random(0)
    spoken = feed.spoken([questions.draw(CORPUS, rng) for _ in range(5)], rng)
    chances = spoken_logits(tiny_t5, spoken).log_softmax(-1)
    said = [
        chances[i, j, word].item()
        for i, row in enumerate(spoken.answers.tolist())
        for j, word in enumerate(row)
        if word != -100
    ]
    assert spoken_loss(tiny_t5, spoken).item() == pytest.approx(-sum(said) / len(said), rel=1e-5)


def test_names_stay_in_texts_that_are_asked_for_them(tiny_t5: Backbone) -> None:
    stormy = Weather(unknown_names=1.0)
    feed, asked = Feed(tiny_t5, CORPUS, stormy), questions.draw(CORPUS, random.Random(0), "who")
    clear = tiny_t5.encode(asked.text_a, asked.text_b, max_length=96)
    assert feed.encode(asked.text_a, asked.text_b, random.Random(0), names=False) == clear


# --- measuring, and the loop ---------------------------------------------------------------------


def test_sixty_visitors_are_half_glad_and_no_text_of_ours() -> None:
    assert len(visitors()) == len(set(visitors())) == 60
    assert sum(label for _, label in visitors()) == 30


def test_accuracy_is_counted_over_all_rows(backbone: Backbone) -> None:
    rows = [("the film was good", None, 1), ("a dull book", None, 1)] * 40
    hint = HINTS["short_reviews"][0]
    share = right(backbone, "short_reviews", rows, hint)
    flipped = [(a, b, 1 - y) for a, b, y in rows]
    assert share + right(backbone, "short_reviews", flipped, hint) == pytest.approx(1.0)


def test_a_measured_slip_strikes_one_word_within() -> None:
    rng = random.Random(0)
    for _ in range(50):
        text = "Though the usher was unhelpful, the matinee was good."
        before, after = text.split(" "), slipped(text, rng).split(" ")
        changed = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
        assert all(a[0] == b[0] and len(a) >= 4 for a, b in changed)
        assert len(changed) <= 1


@pytest.mark.parametrize("name", ["roberta-mini-weathered", "t5-mini-weathered"])
def test_a_killed_stage_ends_where_an_uninterrupted_one_does(
    name: str, tiny_folder: Path, tmp_path: Path
) -> None:
    if not tiny_folder.name.endswith(STAGES[name].family):
        pytest.skip("each stage with its own family")
    stage = replace(
        STAGES[name], steps=4, batch_size=6, running=4, questions=min(2, STAGES[name].questions),
        evaluate_every=2, warmup=2,
    )  # fmt: skip

    def run(folder: Path, log: Callable[[str], None]) -> dict[str, torch.Tensor]:
        folder.mkdir(exist_ok=True)
        backbone = load_backbone(tiny_folder)
        backbone.model.requires_grad_(True)
        SecondStage(stage, backbone, CORPUS, folder, log).run()
        weights: dict[str, torch.Tensor] = backbone.model.state_dict()
        return weights

    def killed(row: str) -> None:
        if json.loads(row)["step"] == 4:
            raise KeyboardInterrupt

    whole = run(tmp_path / "whole", lambda row: None)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", killed)
    resumed = run(tmp_path / "killed", lambda row: None)
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


@pytest.mark.parametrize("weathered", [False, True])
def test_the_card_says_what_was_seen(
    tiny_roberta: Path, tmp_path: Path, data: Path, weathered: bool
) -> None:
    name = f"roberta-mini{'-weathered' * weathered}"
    stage = replace(STAGES[name], steps=1, batch_size=4, running=4)
    folder = tmp_path / name
    second_stage(stage, folder, tiny_roberta, None, data, log=lambda row: None)
    card = (folder / "README.md").read_text("utf-8")
    assert f"# {name}\n" in card
    assert "SST-2" in card
    assert ("**Messy texts**" in card) == weathered
    assert ("**No messy texts**" in card) != weathered
    assert json.loads((folder / "config.json").read_text("utf-8"))["dtype"] == "float16"
