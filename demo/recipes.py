"""The settings of the pretraining runs, and the untrained backbones they start from.

A `Recipe` makes a trunk from nothing. A `Stage` goes on from a trunk and makes an embedded
backbone; the two stages of a pair differ in their weather and in nothing else.
"""

from dataclasses import dataclass, field, replace
from typing import Any

from core.backbones.base import Backbone
from core.backbones.fresh import (
    fresh_roberta,
    fresh_t5,
    look_for_copies,
    train_bpe,
    train_unigram,
)
from demo.corpus import Corpus, tokenizer_texts
from demo.weather import FAIR, Weather


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a pretraining run may vary; written beside the weights."""

    family: str
    sizes: dict[str, Any]
    vocabulary: int = 8000
    seed: int = 0
    documents: int = 60_000
    answer_steps: int
    mixed_steps: int
    batch_size: int = 32
    learning_rate: float
    embedding_rate: float
    warmup: int = 300
    decay: float = 0.12
    clip: float = 1.0
    evaluate_every: int = 400
    learnt: float = 0.8
    # Share of easy texts at first, in single texts and in pairs, and later in all.
    easy: float = 0.9
    easy_pairs: float = 0.5
    easy_steps: int = 2400
    easy_later: float = 0.2
    after: tuple[tuple[str, str], ...] = (("long_reviews", "short_reviews"),)  # once it is learnt
    # Weight of the activations' density, from which step on.
    sparsity: tuple[tuple[int, float], ...]
    astray: float = 0.1  # share of hints of another family, once a task is learnt

    @property
    def steps(self) -> int:
        """Steps of both phases."""
        return self.answer_steps + self.mixed_steps


RECIPES = {
    "roberta-mini": Recipe(
        family="roberta",
        sizes={
            "hidden_size": 128,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "intermediate_size": 512,
            "max_position_embeddings": 256,
            "initializer_range": 0.06,
            "hidden_dropout_prob": 0.0,
            "attention_probs_dropout_prob": 0.0,
        },
        answer_steps=6_400,
        mixed_steps=3_600,
        sparsity=((6400, 0.5), (7600, 1.5)),
        learning_rate=4e-4,
        embedding_rate=4e-4,
    ),
    "t5-mini": Recipe(
        family="t5",
        sizes={
            "d_model": 128,
            "d_kv": 32,
            "d_ff": 512,
            "num_layers": 4,
            "num_decoder_layers": 2,
            "num_heads": 4,
            "dropout_rate": 0.0,
        },
        answer_steps=6_400,
        mixed_steps=3_600,
        sparsity=((6400, 0.5),),
        learning_rate=4e-4,
        embedding_rate=4e-3,
    ),
}


WEIGHTS: dict[str, float] = {
    "short_reviews": 4.0,
    "long_reviews": 1.0,
    "opinions": 1.7,
    "entailment": 1.7,
    "answerability": 1.1,
    "question_pairs": 1.1,
    "sentence_pairs": 1.1,
    "excuses": 0.5,
    "treatment": 1.0,
}
REAL: dict[str, float] = {
    "short_reviews": 0.75,
    "long_reviews": 0.25,
    "opinions": 0.5,
    "entailment": 0.05,
    "answerability": 0.1,
    "question_pairs": 0.15,
    "sentence_pairs": 0.1,
}


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What a second stretch of pretraining may vary; written beside the weights."""

    trunk: str  # the recipe whose weights it starts from
    family: str
    weather: Weather = FAIR
    seed: int = 1
    documents: int = 60_000
    steps: int
    batch_size: int = 40
    running: int = 24  # pieces of running text a step
    questions: int = 0  # questions with answers in words a step
    learning_rate: float = 4e-4
    embedding_rate: float
    warmup: int = 100
    decay: float = 0.4
    clip: float = 1.0
    evaluate_every: int = 250
    density: float  # weight of the activations' density
    easy: float = 0.1
    astray: float
    # How often each task is drawn: fixed, so that both stages of a pair draw the same texts.
    weights: dict[str, float] = field(default_factory=lambda: dict(WEIGHTS))
    # Share of rows that people wrote, where the data has some for the task.
    real: dict[str, float] = field(default_factory=lambda: dict(REAL))


WEATHER = Weather(slips=0.3, asides=0.125, unknown_names=0.15, pieces=0.25)


def _pair(name: str, plain: Stage) -> dict[str, Stage]:
    """A stage under fair weather, and the same with messy texts."""
    return {name: plain, f"{name}-weathered": replace(plain, weather=WEATHER)}


STAGES = {
    **_pair(
        "roberta-mini",
        Stage(
            trunk="roberta-mini",
            family="roberta",
            steps=4_000,
            embedding_rate=4e-4,
            density=1.5,
            astray=0.2,
        ),
    ),
    **_pair(
        "t5-mini",
        Stage(
            trunk="t5-mini",
            family="t5",
            steps=1_800,
            running=16,
            questions=20,
            embedding_rate=4e-3,
            density=0.0,
            astray=0.35,
        ),
    ),
}


def fresh(recipe: Recipe, corpus: Corpus) -> Backbone:
    """Tokenizer and random weights."""
    texts = tokenizer_texts(corpus, seed=recipe.seed, draws=4000)
    if recipe.family == "roberta":
        tokenizer = train_bpe(texts, recipe.vocabulary)
        backbone: Backbone = fresh_roberta(tokenizer, seed=recipe.seed, **recipe.sizes)
    else:
        tokenizer = train_unigram(texts, recipe.vocabulary)
        backbone = fresh_t5(tokenizer, seed=recipe.seed, **recipe.sizes)
    look_for_copies(backbone)
    return backbone
