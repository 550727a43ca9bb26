"""The parts of pretraining: easy texts, matching heads, the matching loss, wrong hints."""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from core.backbones import load_backbone
from core.backbones.base import Backbone
from core.backbones.fresh import fresh_roberta, fresh_t5, look_for_copies
from demo.corpus import Corpus, leaning, normalised
from demo.feed import Feed
from demo.losses import Density, Matcher, answer_loss
from demo.pretrain import _Loop
from demo.recipes import RECIPES
from demo.texts import VERBALIZERS

pytestmark = pytest.mark.slow

CORPUS = Corpus(plain=(), held_out=frozenset())


@pytest.fixture
def backbone(tiny_folder: Path) -> Backbone:
    if "bert" in tiny_folder.name.split("-"):
        pytest.skip("only RoBERTa and T5 are pretrained here")
    return load_backbone(tiny_folder)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The acting was superb and the ending was delightful.", 1),
        ("A dreadful plot and a boring cast.", -1),
        ("It rained on Monday.", 0),
        ("A delightful cast, a dreadful plot.", 0),
    ],
)
def test_leaning_counts_polarity_words(text: str, expected: int) -> None:
    assert leaning(text) == expected


def test_easy_reviews_have_more_words_of_their_own_side() -> None:
    rng = random.Random(0)
    drawn = [CORPUS.easy_example("opinions", rng) for _ in range(60)]
    assert {example.label for example in drawn} == {0, 1}
    assert all(leaning(e.text_a) == (1 if e.label else -1) for e in drawn)


def test_an_easy_pair_is_never_a_held_out_text() -> None:
    rng = random.Random(1)
    first = [normalised(CORPUS.easy_example("excuses", rng)) for _ in range(40)]
    guarded = Corpus(plain=(), held_out=frozenset(first))
    rng = random.Random(1)
    assert not {normalised(guarded.easy_example("excuses", rng)) for _ in range(40)} & set(first)


def test_easy_pairs_of_label_0_share_fewer_words_than_ordinary_ones() -> None:
    def shared(draw: str) -> float:
        rng, total, n = random.Random(0), 0.0, 0
        while n < 100:
            example = getattr(CORPUS, draw)("sentence_pairs", rng)
            if example.label == 0:
                a, b = (set(t.lower().split()) for t in (example.text_a, example.text_b))
                total, n = total + len(a & b) / len(a | b), n + 1
        return total / n

    assert shared("easy_example") < shared("example") / 2


@torch.no_grad()
def test_matching_heads_prefer_a_copy_to_other_words_and_to_themselves(backbone: Backbone) -> None:
    """Twenty words, then the same words again: mean score of the copy, of the rest, of itself."""
    sizes = RECIPES[f"{backbone.family}-mini"].sizes
    make = fresh_roberta if backbone.family == "roberta" else fresh_t5
    mini = make(backbone.tokenizer, seed=0, **sizes)
    look_for_copies(mini)
    generator = torch.Generator().manual_seed(0)
    words = torch.randperm(len(mini.tokenizer) - 40, generator=generator)[:20] + 20
    ids = torch.cat([words, words])[None]
    scores = _first_scores(mini, ids)
    places = torch.arange(40)
    copy = scores[places, (places + 20) % 40].mean()
    itself = scores[places, places].mean()
    others = (scores.sum() - (copy + itself) * 40) / (40 * 38)
    assert copy > others + 2
    assert copy > itself + 2


def _first_scores(backbone: Backbone, ids: torch.Tensor) -> torch.Tensor:
    """Attention scores of the first head of the first layer."""
    if backbone.family == "roberta":
        layer = backbone.model.roberta.encoder.layer[0].attention.self
        states = backbone.model.roberta.embeddings(input_ids=ids)[0]
        query, key = layer.query(states)[:, :32], layer.key(states)[:, :32]
        return query @ key.T / 32**0.5
    block = backbone.model.encoder.block[0].layer[0]
    states = block.layer_norm(backbone.model.shared(ids))[0]
    attention = block.SelfAttention
    query, key = attention.q(states)[:, :32], attention.k(states)[:, :32]
    bias = attention.compute_bias(ids.shape[1], ids.shape[1])[0, 0]
    return query @ key.T + bias


def test_the_matcher_learns_from_words_in_both_texts_and_from_nothing_else(
    backbone: Backbone,
) -> None:
    """Against a count by hand: loss of constant scores is the entropy of the true share."""
    matcher = Matcher(backbone)
    torch.nn.init.zeros_(matcher.head.weight)
    torch.nn.init.constant_(matcher.head.bias, 1.0)
    end, filler = backbone.tokenizer.eos_token_id, backbone.pad_id
    rows = torch.tensor(
        [[40, 41, 42, end, 41, 43, 42, end, filler], [40, 40, 41, end] + [filler] * 5]
    )
    hints = backbone.word_vectors()[torch.tensor([[50], [50]])]
    backbone.answer_state(hints, rows, rows != filler)
    found, missing = 4, 2  # 41 and 42 twice; 40 and 43; the second row is no pair
    yes, no = torch.tensor(1.0).sigmoid().log(), torch.tensor(-1.0).sigmoid().log()
    expected = -(found * yes + missing * no) / (found + missing)
    assert matcher.loss(rows).item() == pytest.approx(expected.item(), abs=1e-6)
    single = rows[1:]
    backbone.answer_state(hints[:1], single, single != filler)
    assert matcher.loss(single).item() == 0.0


def test_a_hint_of_another_family_asks_for_both_words_alike(backbone: Backbone) -> None:
    feed = Feed(backbone, CORPUS)
    rng = random.Random(0)
    (slots, _) = feed.slots(["opinions"] * 8, rng, astray={"opinions": 1.0})
    assert (slots.targets == 0.5).all()
    (slots, _) = feed.slots(["opinions"] * 8, rng)
    assert (slots.targets.argmax(1) == slots.labels).all()
    assert (slots.targets.sum(1) == 1).all()


@torch.no_grad()
def test_the_answer_loss_is_cross_entropy(backbone: Backbone) -> None:
    feed = Feed(backbone, CORPUS)
    (slots, _) = feed.slots(["excuses"] * 6, random.Random(0))
    state = backbone.answer_state(
        backbone.word_vectors()[slots.hints], slots.ids, slots.ids != backbone.pad_id
    )
    scores = backbone.logits(state, slice(None))
    answers = slots.words[torch.arange(len(slots.labels)), slots.labels]
    whole = torch.nn.functional.cross_entropy(scores, answers, reduction="sum")
    assert answer_loss(backbone, slots, whole_vocabulary=True).item() == pytest.approx(
        whole.item(), rel=1e-5
    )
    own = torch.nn.functional.cross_entropy(
        scores.gather(1, slots.words), slots.labels, reduction="sum"
    )
    assert answer_loss(backbone, slots, whole_vocabulary=False).item() == pytest.approx(
        own.item(), rel=1e-5
    )


def test_every_task_has_hints_of_its_own() -> None:
    hints = {task: {CORPUS.hint(task, random.Random(i)) for i in range(30)} for task in VERBALIZERS}
    assert all(len(found) == 3 for found in hints.values())
    assert len(set().union(*hints.values())) == 3 * len(VERBALIZERS)


@torch.no_grad()
def test_density_is_1_for_equal_activations_and_smallest_for_a_single_one(
    backbone: Backbone,
) -> None:
    density = Density(backbone)
    linears = backbone.down_projections()
    width = linears[0].in_features
    for linear in linears:
        linear(torch.full((2, 3, width), -7.0))
    assert density.take().item() == pytest.approx(1.0)
    for linear in linears:
        linear(torch.eye(width)[None, :3] * 5)
    assert density.take().item() == pytest.approx(width**-0.5)


def test_a_killed_run_ends_where_an_uninterrupted_one_does(
    tiny_roberta: Path, tmp_path: Path
) -> None:
    recipe = replace(
        RECIPES["roberta-mini"], answer_steps=3, mixed_steps=3, batch_size=6, evaluate_every=2,
        warmup=2, easy_steps=2, sparsity=((3, 0.5),),
    )  # fmt: skip

    def run(folder: Path, log: Callable[[str], None]) -> dict[str, torch.Tensor]:
        folder.mkdir(exist_ok=True)
        torch.manual_seed(0)
        backbone = load_backbone(tiny_roberta)
        backbone.model.requires_grad_(True)
        _Loop(recipe, backbone, CORPUS, folder, log).run()
        return backbone.model.state_dict()

    def killed(row: str) -> None:
        if json.loads(row)["step"] == 4:
            raise KeyboardInterrupt

    whole = run(tmp_path / "whole", lambda row: None)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", killed)
    resumed = run(tmp_path / "killed", lambda row: None)
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
